// Package qat is component-aware joint quantisation (CAJQ, SPEC section 4) in four stages, in the manner of torchao:
//
//	calibrate  Calibrate runs data through the floating-point model and collects activation statistics.
//	prepare    Prepare gives the weights of the chosen targets their quantisers (package scheme), through which gradients
//	           go straight.
//	train      Finetune (a short run from a pretrained model) and ThreePhase (warm-up, QAT, cooldown) train through them.
//	convert    PackedFile holds the integers and steps, from which inference runs.
//
// The two default targets are those of the published CAJQ: 2 bits for the SSM's convolution and gate with learned
// per-channel steps, INT4 in groups for attention after SmoothQuant with salient input channels in floating point.
// All others are extensions of ours, and Options.Schemes gives a target any scheme that is registered. The
// ScaleBridge stays in floating point unless it is a target.
//
// Every run is a function of its configuration: the same seed gives the same weights to the last bit on the same
// kernels (graph.Kernels), whatever GOMAXPROCS is.
package qat
