// Package curriculum trains a model on a sequence of context lengths: for each stage a fresh dataset of the task
// mixture, some epochs, an evaluation by task after each one (SPEC section 3). Package curriculum/tasks holds the
// tasks, package curriculum/train the loop.
//
// It begins from the initial weights of its seed, or from a model (Config.InitFrom): one with quantisers is trained
// through them. A run that diverged can go on from its last checkpoint with a lower rate (Trainer.LowerRate).
//
// A run is a function of its Config and of the kernels that compute it (graph.Kernels): the same configuration gives
// the same weights to the last bit on the same kernels, whatever GOMAXPROCS is, and on others within rounding. A run
// that was interrupted and resumed gives the same as one that was not; resumed on other kernels, it says so and keeps a
// record of both.
package curriculum
