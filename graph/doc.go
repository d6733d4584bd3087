// Package graph is the engine: differentiable operations for Gorgonia, a driver for their gradients, a plan of their
// memory, and the optimisers, AdamW and SGD.
//
// # Few, large operations
//
// Gorgonia's own operations are fine-grained: one elementwise step each, single-threaded, with copies for broadcasts
// and a new tensor for every result. A model of this size spends most of its time there. Here an operation is a Kernel:
// as much of the equation as shares its data in cache (a matrix product with bias and activation, a whole attention,
// the gated convolution), forward and backward, in parallel Go over single-threaded BLAS calls (package graph/blas) and
// vector assembly (package graph/vec).
//
// Apply makes a Kernel a node of a Gorgonia expression graph. The Op behind the node is a gorgonia.SDOp: its SymDiff
// adds the gradient's nodes, so gorgonia.Grad works on graphs of kernels, and Gorgonia's TapeMachine runs them.
//
// # Several outputs
//
// A Gorgonia Op has one output, but the backward of a kernel has one for each operand. SymDiff therefore adds a node
// that computes them all into memory which the planner knows one by one, and for each a node that returns that memory:
// nothing is packed or copied, and a gradient that is used at once does not live as long as one that the optimiser
// needs.
//
// # Memory
//
// Compile takes the order in which the TapeMachine will execute, finds for every intermediate value the instructions
// between which it must be preserved, and places all of them in one arena, the largest first, each at the lowest
// address free during its life (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
// Every instruction checks that it runs in the order planned for. Values meant to be read after a run are named with
// Keep.
//
// # Gradients
//
// Backward is reverse-mode differentiation over SymDiff, as gorgonia.Grad is, except that the gradients of a node with
// many consumers (the normalised input of a block has eleven) are summed by one parallel kernel.
//
// Kernels and Gorgonia's own operations (on Graph.Expr) mix in any order. No gradient is lost between a parameter and
// the loss: what cannot pass it on is an error of Build that names the operation and says what to do.
//
//   - A kernel is Differentiable, or it may stand only where no gradient is wanted. An operand that has none although
//     it holds floats (a label, a mask) is in its Plan.Constant, and must not depend on a parameter that is trained.
//   - Detach says that no gradient shall flow. None can through integers: token ids, labels, the positions of TopK.
//   - Of Gorgonia v0.9.18's operations those are differentiated whose gradients agree with central differences in every
//     form of their operands; the others are refused, some of them (Log2, InverseSqrt, OuterProd, Max, SoftMax) because
//     they are wrong. Operations of others are differentiated by their SymDiff.
//   - A Backward that forgets to write a gradient is an error of Run.
//
// Unreached lists the parameters which may be trained but which no gradient reaches.
//
// # Gorgonia's operations
//
// They allocate their results, and the planner does not know them: what they read, which their result may be a view of,
// lives to the end of the run. Gorgonia would let them write over what they read last, without seeing that it is kept,
// or shared by a view; a last node that reads it all forbids it. Kernels read their views in the order of their
// indices.
//
// # Determinism
//
// Work is cut into tiles whose size depends on the shapes alone, never on the number of threads; sums over tiles are
// made in order. Every BLAS call is single-threaded. Results are the same to the last bit whatever GOMAXPROCS is; they
// differ between vector instruction sets and BLAS libraries, within rounding.
//
// # Measurements
//
// Reference model (8.7 M parameters), batch 4, 2 cores of a Xeon with AVX-512 on which sgemm reaches 307 GFLOP/s
// (`synapnet-train bench`): a training step takes 0.6 s at context 512 and 1.3 s at 1024, in 419 and 676 MB.
// Products with weights, weight gradients and attention are made by panels (graph/vec), whose kernels need no
// packing of both operands: against OpenBLAS's sgemm in two interleaved runs inference is 1.36 times as fast at
// 8,192 tokens and 1.0 to 1.1 times below, a training step 1.0 to 1.05 times. The intermediate values of a step at
// context 1024 share an arena of 481 MB. Tiles of 512 rows for linear layers and 1 MB of scores for attention are
// a fifth faster than half of that.
package graph
