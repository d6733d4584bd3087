// Package suites has the experiments that evaluate variants of the pretrained model on suites of tasks.
package suites
