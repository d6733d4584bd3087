package experiments

import "github.com/synapnet/synapnet-train/experiments/result"

// Environment says with what and where a result was measured.
type Environment = result.Environment

// Cost is what a measurement took.
type Cost = result.Cost

// MeanStd is a published mean with its standard deviation over seeds.
type MeanStd = result.MeanStd
