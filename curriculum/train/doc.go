// Package train is the training loop under pretraining, fine-tuning, the three phases, the retention classifier and the
// experiments that train from scratch.
//
// # How a batch becomes a step
//
// A [Dataset] gives samples by their number, an [Order] says which numbers make up the batch of a step. [Loop.Run]
// takes a step thus, until its phase ends:
//
//	rows := program.Order(step)                     which samples
//	batch := dataset.Sample(i) for each i of rows
//	loss, gradients := program.Backward(batch)      the model's part
//	optimiser.Update(step, gradients)               each Group at the rate of its Schedule
//	record := program.Record(update, batch)         what this training tells of a step
//	History, its file, Hooks.Step                   who is told
//	a checkpoint, every CheckpointEvery steps
//
// After each epoch of a loop that has any, the program evaluates, the evaluation becomes a line of the history, and a
// checkpoint is written. A run is a list of phases, each up to a step: the stages of a curriculum, a warm-up and what
// follows it. A phase begins (it makes its data, compiles its graph) when the run gets to it, not before.
//
// What is specific to a training is in its [Program]: how samples are laid out, which terms the loss has, what is
// recorded and what is evaluated. [Hooks] watch a run and change nothing.
//
// # What determines bytes
//
// Steps, and nothing else: datasets, orders and schedules are functions of a number and have no state, so equal
// settings and equal kernels ([graph.Kernels]) give equal weights, checkpoints and histories, whatever the number of
// threads, and whatever was interrupted. Neither times nor paths are written.
//
// # How a run continues
//
// A checkpoint is one safetensors file: the tensors of the model ([Form]), AdamW's moments, and under the header's key
// "training" the [Position] as JSON, in the form of the training that it is of. Its history is in a file beside it
// (package metrics), of which the position holds the place. [Loop.Resume] brings a loop back to there: it cuts the
// history to that place, says in Warnings what is not as it was (other kernels, a history that is gone), and the next
// Run makes the steps that are left.
//
// A run whose context ends saves after the present step and returns [ErrInterrupted]; an evaluation under way is given
// up and made when the run continues. A loss, a gradient or a weight that is not finite ends it with [ErrDiverged];
// such a state is never saved.
package train
