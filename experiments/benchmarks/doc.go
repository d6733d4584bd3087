// Package benchmarks scores models on files of public benchmarks as they ship.
//
// A [Benchmark] is an entry of the list that [Names] gives, one file of this package each: the form of its rows, what a
// model reads of one, which answers there are, and its metric. [Benchmark.Files] finds its files under a path or in the
// cache of Hugging Face; nothing is downloaded. [Benchmark.Read] reads one of them for a model of own data, with its
// tokeniser and its labels, and [Set.Evaluate] has the model answer.
//
// # Answers
//
// A classifier answers with one of its labels: with that of the highest logit among those that the sample allows
// (LongBench's all_classes, the letters of LongBench v2), and among all of them elsewhere. The label's word is the
// prediction that the benchmark's metric is given. An answer for which no label would score is outside of the model's
// labels: it counts as wrong, and [Result] says how many there are. A file that asks for free-form text, or none of
// whose answers is among the labels, is an [UnfitError].
//
// # Metrics
//
// They give what the benchmarks' own code gives, oddities included: testdata/golden.json has its values on generated
// cases, with the commits.
package benchmarks
