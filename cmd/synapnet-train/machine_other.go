//go:build !linux && !darwin

package main

func cpuModel() string { return "unknown" }

func systemMemory() memory { return memory{} }
