// Package bridge has the experiments on the ScaleBridge: what a trained model loses without it, and what a model that
// is trained without it from the beginning reaches.
package bridge
