package layers

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// FileKind is what a safetensors file is to this program, told by the keys of its header.
type FileKind int

// The kinds of files that the program writes or takes.
const (
	ForeignFile FileKind = iota // not of this program: none of its keys
	// a model in floating point; also a checkpoint of pretrain, of which the model is a part.
	ModelFile
	PackedFile     // a model in packed form
	QuantisedFile  // a model with its quantisers in floating point
	QuantisedRun   // a checkpoint of the training of such a model
	SnapshotFile   // a stream's memory and position
	ClassifierFile // a retention classifier or a Locret-style head
	GoldenFile     // tensors of the reference implementation
)

// fileKinds tell the kinds by their keys: the first all of whose keys are there. The keys are written in the packages
// layers, qat, baee and experiments/conform.
var fileKinds = []struct {
	kind FileKind
	keys []string
	is   string
	use  string // which command takes it
}{
	{PackedFile, []string{configKey, packedKey}, "a packed model", "eval, stream and inspect take it"},
	{QuantisedRun, []string{configKey, "qat", "training"}, "the checkpoint of a training through quantisers",
		"the command that began it continues it with --resume; eval, stream, inspect and export take it"},
	{QuantisedFile, []string{configKey, "qat"}, "a model with its quantisers in floating point, as cajq-3phase leaves it",
		"eval, stream, inspect and export take it"},
	{ModelFile, []string{configKey}, "a model in floating point", "eval, stream and export take it"},
	{SnapshotFile, []string{"memory", "stream"}, "the snapshot of a stream",
		"continue it with stream MODEL --restore FILE"},
	{ClassifierFile, []string{"classifier"}, "a classifier of memory entries",
		"give it to stream, beside a model, with --classifier"},
	{GoldenFile, []string{"case"}, "a file of golden tensors", "conform takes it"},
}

// KindOf says what a file is. It looks at nothing but the keys of the header.
func KindOf(f *safetensors.File) FileKind {
	for _, k := range fileKinds {
		has := true
		for _, key := range k.keys {
			_, ok := f.Metadata[key]
			has = has && ok
		}
		if has {
			return k.kind
		}
	}
	return ForeignFile
}

// OtherKindError is the error of a file that is of this program and whole, but not what was asked for.
type OtherKindError struct {
	Kind FileKind
	Want string // what was asked for, e.g. "a model"
}

// Error names what the file is and the command that takes it.
func (e *OtherKindError) Error() string {
	for _, k := range fileKinds {
		if k.kind == e.Kind {
			return fmt.Sprintf("this is %s, not %s: %s", k.is, e.Want, k.use)
		}
	}
	return "this is not " + e.Want
}

// WantKind is an *OtherKindError for a file of another kind of this program than `want`, called by what it is to be;
// nil for foreign files and for those of one of the kinds.
func WantKind(f *safetensors.File, called string, want ...FileKind) error {
	got := KindOf(f)
	if got == ForeignFile {
		return nil
	}
	if slices.Contains(want, got) {
		return nil
	}
	return &OtherKindError{Kind: got, Want: called}
}
