//go:build !unix

package main

import "errors"

// makePipe fails: there are no pipes in folders here.
func makePipe(string) error { return errors.ErrUnsupported }
