//go:build !unix

package main

import "os"

// Signals that not all systems have; nil there.
var hangup, brokenPipe os.Signal
