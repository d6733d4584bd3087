// Package eviction has the experiments on budget-aware episodic eviction (SPEC section 5): the training of the networks
// that score entries, the grid of policies, memory under pressure, what is answered with it, and what eviction costs.
package eviction
