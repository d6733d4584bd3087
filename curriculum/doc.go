// Package curriculum trains a model on a sequence of context lengths: for each stage a fresh dataset of the task mixture,
// some epochs, an evaluation by task after each one (SPEC section 3). Package curriculum/tasks holds the tasks.
//
// A run is a function of its Config: the same configuration gives the same weights to the last bit, whatever GOMAXPROCS
// is, and a run that was interrupted and resumed gives the same as one that was not.
package curriculum
