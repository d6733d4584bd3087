// Package experiments runs the project's measurements and writes their results. An experiment is one file: the constants
// of its protocol, its run, its table.
package experiments
