// Package data makes training sets of a user's own samples. Files are read once, from front to end, into a store on
// disk, from which the training loop reads samples at random: 10 GB train in the memory that 10 MB do.
//
// # Files
//
// [Open] reads JSON lines, JSON arrays and Parquet, the former also in gzip or zstd. Content decides, not the name. A
// sample has one of these forms:
//
//	{"ids": [5, 17, 3], "label": 3}
//	{"text": "Mary went home. Where is Mary?", "label": "home"}
//	{"input": "Mary went home.", "question": "Where is Mary?", "target": "home"}    BABILong's
//
// A label is a class by its number, or a word; words get classes in sorted order ([Labels]), which go with a model.
// What is broken, missing, unknown or of another kind than before is an error that names file, line and mend.
//
// # The store
//
// [Prepare] makes it in one pass (Parquet is read once more, for its hash): ids as 2 or 4 bytes, uncut, with a table of
// offsets in the same file, as Megatron-LM's .bin and .idx. A sample is two small reads, checked by a CRC; in memory
// are 8 bytes for each 4,096 samples and the number of samples of each length. The file is written under a temporary
// name and renamed when it is whole. Its [Key] is all that decides about its bytes: hashes of the files, tokenizer,
// settings. A run that goes on gives the key back ([Options.Expect]) and gets the same samples, without a pass while
// the files are as they were, or an error that says what has changed.
//
// # Sides
//
// Evaluation samples are files of their own, or a share of the training samples, chosen by a hash of each sample's ids:
// neither order nor other samples matter, and equal ids are on one side, whatever their labels. Samples of evaluation
// files that training files have, too, are refused. A [Dataset] fits a side to a context: shorter samples are filled
// on the left, longer ones refused, or cut as [Long] says.
//
// # Order
//
// [Shuffle.Order] is a seeded order of all samples, another one each epoch, that is computed and not held
// ([Permutation]).
package data
