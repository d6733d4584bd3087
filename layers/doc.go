// Package layers holds the parts of the SynapNet-Edge hybrid model (SPEC section 1): state-space convolution, sparse
// attention with a learned salience, episodic memory, the ScaleBridge between them, and the model they form.
//
// A layer is one file: a struct of its parameters, a constructor that registers them under the names of the reference's
// state dict, and a Forward that adds its equation to a graph. B is the batch, T the tokens, D the width, H the heads,
// S the memory slots.
//
// Besides the hybrid there are the architectures that it is compared with (Architectures), each of one file with its
// block and what its parameters are counted as (Use); MatchedConfig gives them the hybrid's number of parameters. They
// have the same embedding, head, trainer and files, and no memory from chunk to chunk. Other modules register
// architectures (RegisterArchitecture) and layers for the hybrid's blocks (RegisterLayer) of their own.
//
// What can be quantised is a Weight: a layer registers it with NewWeight or, mostly, as that of a Linear, and calls
// its methods, which do the right thing in floating point, behind a quantiser and in packed form. Params.Weights
// walks through all of them. Package scheme has the quantisers.
//
// To add a layer, write one such file; examples/custom-layer does.
package layers
