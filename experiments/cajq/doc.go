// Package cajq has the experiments on component-aware joint quantisation (SPEC section 4): variants of the pretrained model
// over seeds, its ablation by component, and runs of the three-phase trainer.
package cajq
