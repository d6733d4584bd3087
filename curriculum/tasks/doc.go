// Package tasks generates the synthetic long-context classification tasks of
// SynapNet-Edge: the training mixture, the memory-pressure task of the eviction
// experiments, and proxies in the manner of NeedleBench, RULER and LongBench.
//
// # Token ids
//
// 0 PAD, 1 BOS, 2 EOS, 3 SEP, 4 QUERY; class c is token 5+c for c in [0, N);
// filler is drawn uniformly from [5+N, V). Filler never equals a class token.
//
// # Layout
//
// Every sample has exactly Params.Length tokens and one label in [0, N):
//
//	BOS filler ... needles among filler ... QUERY SEP          the question is implied
//	BOS filler ... needles among filler ... QUERY key SEP      the question names a key
//
// In a task whose question names a key the classes are split: the first
// K = max(N/2, keys in use + 1) are keys, the other N-K are values; a fact is a
// key followed at once by its value, and the label is the value's index in
// [0, N-K).
//
// # Names
//
// Tasks stand in a registry by name, as in lm-evaluation-harness: the curriculum
// tasks under their bare names, each suite under its own prefix (needlebench/,
// ruler/, longbench/). ruler/ and longbench/ are the strict form: the layout the
// model was trained on, and an answer that follows from the input. The same tasks
// as published are registered under paper/; where a published task has no answer
// in its input, Task.Unanswerable says why. [Register] adds a task of your own.
//
// # Facts never overlap
//
// The reference places facts at distinct positions without keeping them apart, so
// a fact may overwrite its neighbour's value (about 0.6% of niah_multi_key samples
// at length 512 cannot be answered). Here facts are drawn from the same
// distribution conditioned on no overlap, so every sample can be answered.
//
// # Reproducibility
//
// The samples of a (task, params, [Source]) come from one PCG stream keyed by a hash
// of the task's name and of the source: seed, stage and what the samples are for
// ([Purpose]). So they depend neither on the other tasks of a mixture nor on how many
// samples are drawn after them, and what a model is tested on is not what it was
// trained on, whatever the two seeds are. Results of before the purpose was part of
// the key keep the keys that they were made with ([Keys]).
package tasks
