// Package baee is Budget-Aware Episodic Eviction: the memory of a stream that stays within a number of bytes, however
// long the stream is, and keeps what will matter (SPEC section 5).
//
// A Manager holds, for each layer, the entries that chunks wrote to their episodic memories. After each chunk it
// appends the new ones, notes how much attention every entry received in the real read, and lets a policy (package
// policy) choose what stays. A Classifier predicts from an entry's content and history whether later chunks will attend
// to it. A Stream runs a model over tokens with a manager, chunk by chunk, and can be saved and restored.
//
// # Bytes
//
// Entries are stored as they are counted. HOT is IEEE half precision, 2D bytes; WARM is one signed byte an element and
// a half-precision scale, D + 2 bytes; COLD is a summary, the mean of several entries, 2D bytes in half precision. The
// ledger is the sum of the lengths of these contents over all layers, and the budget limits exactly this sum after
// every update. What is known of an entry besides its content (position, salience, use, cached features) is reported
// apart, as Stats.MetadataBytes, and so is not part of the budget; nor is the working memory of the forward pass, into
// which the rows are decoded for one chunk.
package baee
