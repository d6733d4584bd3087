//go:build unix

package main

import (
	"os"
	"syscall"
)

// Signals that not all systems have; nil there.
var (
	hangup     os.Signal = syscall.SIGHUP
	brokenPipe os.Signal = syscall.SIGPIPE
)
