//go:build !linux && !darwin

package main

func cpuModel() string { return "unknown" }
