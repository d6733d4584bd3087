// Package data makes a training set of a user's own samples: files are read once into a store on disk, from which the
// training loop reads samples at random, in memory that does not grow with the data.
package data
