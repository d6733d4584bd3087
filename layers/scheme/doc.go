// Package scheme holds the quantisers of weights. A scheme is one file: the simulation that a weight is trained
// through with its gradient, and the packed form with its unpacking. FORMAT.md describes packed files.
//
// To add one, write a file like int8.go: a Scheme with a name, a line on how it holds a weight, the bits of a code, and
//
//	Fake   a graph.Kernel of the quantised and dequantised weight. Its gradient is that of the identity if it is applied
//	       by graph.StraightThrough, or its own Backward.
//	Form   the size of its bytes, Pack, and Parse, which gives a graph.Unpacker: Rows, and panels for products, for which
//	       graph.PanelOfRows will do. Both have to compute what Fake computes, to the bit, which is best done by one
//	       function.
//
// and give it a line in the list of registry.go, or call Register from another module. From then on it can be chosen
// by name for a target (qat.Options.Schemes), trained through, exported, inspected and run. scheme_test.go holds
// every scheme of the list against what is promised above, and fails for one without a case.
//
// A scheme with learned steps (SEQ2) or with groups and salient columns (Int4) says so by further fields.
package scheme
