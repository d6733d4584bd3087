// Package tokenizer turns text into token ids, for training, evaluation and streaming.
//
//	bytes              an id a byte; no vocabulary
//	words              an id a word, trained on the data (WordCounter); kept as a tokenizer.json
//	a tokenizer.json   of Hugging Face's tokenizers: WordLevel, WordPiece, BPE, Unigram
//	a .model           of SentencePiece: BPE, unigram, characters
//
// Ids are those of the Python packages tokenizers 0.23.3 and sentencepiece 0.2.3, and .ci/run tokenizers compares them:
// Tokenizer.encode(text).ids, with the special tokens that the file adds, without the truncation and the padding that
// it asks for, since samples are cut and filled elsewhere; and SentencePieceProcessor.encode(text). What a file asks
// for and is not here is an error that names it when the file is opened: a tokeniser gives the same ids or none. Known
// to differ are characters that came into Unicode after version 15, which Go does not know.
//
// # Why not a library
//
// Those for Go were tried on 1,000 lines in ten scripts with small tokenisers of each kind, trained by the Python
// packages. github.com/sugarme/tokenizer v0.3.0 gave other ids on 791 lines for WordLevel, 857 for uncased BERT, 7 for
// GPT-2, 75 for RoBERTa, 952 for GPT-1, 679 for Unigram, and panics on the patterns of Llama 3 and Qwen 2;
// github.com/eliben/go-sentencepiece v0.6.0 opens only BPE models without normalisation, dummy prefix and removal of
// spaces, and panics on 117 lines with such a one that has no long pieces. daulet/tokenizers is a library in Rust to be
// linked. What is used are libraries for the parts: regexp2, uniseg, x/text, protowire.
package tokenizer
