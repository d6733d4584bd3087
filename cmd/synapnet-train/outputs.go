package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// fileUse is what a command does with the files that its flags and arguments name.
type fileUse struct {
	arguments []string // what they are called in messages, all of them read; the last name is that of all further ones
	inputs    []string // flags whose files are read
	outputs   []output
}

// output is a flag whose file, or files in the folder that it names, a command writes.
type output struct {
	flag string
	of   kind // what a file that is there must be to be replaced
	// files in the folder that the flag names, which is made where there is none; nil: it names a file
	in    map[string]kind
	makes bool   // the file's folder is made where there is none
	same  string // the flag of an input that may be the output: a run that continues writes over what it began with
}

// kind is what a file is. is says whether one is of it, nil that none is: such files are never replaced.
type kind struct {
	name string
	is   func(path string) bool
}

func tensors(name string, of ...layers.FileKind) kind {
	return kind{name, func(path string) bool {
		metadata, err := safetensors.ReadMetadata(path)
		return err == nil && slices.Contains(of, layers.KindOf(&safetensors.File{Metadata: metadata}))
	}}
}

func results(of ...string) kind {
	return kind{"result of " + strings.Join(of, " or "), func(path string) bool {
		r, err := result.Read(path)
		return err == nil && slices.Contains(of, r.Experiment)
	}}
}

// runFile are files that a run continues with or refuses itself: it knows best what there may be.
var runFile = kind{"file of the run", func(string) bool { return true }}

// ofRun are the files of a training run with a result of the given name.
func ofRun(result string) map[string]kind {
	all := map[string]kind{}
	for _, name := range lab.RunFiles(result) {
		all[name] = runFile
	}
	return all
}

// Kinds of files that several commands write.
var (
	classifiers   = tensors("retention classifier", layers.ClassifierFile)
	packedModels  = tensors("packed model", layers.PackedFile)
	trainedModels = tensors("trained variant", layers.ModelFile, layers.QuantisedFile)
)

// fileUses is the one table of what the commands read and write. A flag that names a file and is not in it fails a
// test.
var fileUses = map[string]fileUse{
	"pretrain": {inputs: []string{"config", "data", "eval-data", "tokenizer", "init-from"},
		outputs: []output{{flag: "output-dir", in: ofRun(lab.PretrainFile)}}},
	"cajq-qat": {inputs: []string{"config", "checkpoint"}, outputs: []output{
		{flag: "output", of: results("cajq-qat", "cajq-ablation"), makes: true},
		{flag: "save", in: map[string]kind{}}, // whose names depend on the settings: see checkKept
	}},
	"cajq-3phase": {inputs: []string{"config", "checkpoint"},
		outputs: []output{{flag: "output-dir", in: ofRun(cajq.ThreePhaseFile)}}},
	"baee-train": {inputs: []string{"checkpoint"}, outputs: []output{{flag: "output-dir", in: map[string]kind{
		eviction.TrainFile: results("baee-train"), lab.ClassifierFile: classifiers,
		eviction.AttentionClassifierFile: classifiers, lab.HeadFile: classifiers,
	}}}},
	"baee-grid": {inputs: []string{"classifier", "head", "checkpoint"},
		outputs: []output{{flag: "output", of: results("baee-grid"), makes: true}}},
	// Of experiments, plans and reports check each file.
	"experiments":          {outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"experiments list":     {outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"experiments run":      {inputs: []string{"config"}, outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"experiments settings": {inputs: []string{"config"}, outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"experiments convert":  {outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"experiments report":   {outputs: []output{{flag: "results", in: map[string]kind{}}}},
	"stream": {arguments: []string{"MODEL", "INPUT"}, inputs: []string{"classifier", "restore"}, outputs: []output{
		{flag: "snapshot", of: tensors("snapshot of a stream", layers.SnapshotFile), same: "restore"},
		{flag: "report", of: results("stream")},
	}},
	"export": {arguments: []string{"MODEL"}, inputs: []string{"data"},
		outputs: []output{{flag: "output", of: packedModels}}},
	"plot":    {outputs: []output{{flag: "output", of: figures}}},
	"inspect": {arguments: []string{"FILE"}, inputs: []string{"against"}},
	"eval":    {arguments: []string{"MODEL"}, inputs: []string{"data"}},
	"info":    {arguments: []string{"MODEL"}, inputs: []string{"config"}},
	"conform": {arguments: []string{"FILE"}},
}

// named is a file as the command line names it.
type named struct {
	by     string // --flag, or what an argument is called
	path   string
	info   fs.FileInfo // nil: there is none yet
	output *output     // nil: it is read
	of     kind        // of an output
}

// use is what is done with a file that is no output by a flag.
func (n named) use() string {
	if n.by == standardOutput || n.by == standardError {
		return "written to"
	}
	return "read"
}

// What the standard streams are called in messages.
const (
	standardInput  = "the standard input"
	standardOutput = "the standard output"
	standardError  = "the standard error"
)

// word is the file in a message.
func (n named) word() string { return n.by + " " + printable(n.path) }

// checkFiles refuses, before any work, outputs that would destroy something or cannot be written: an output may be no
// input, no other output and no device, pipe, socket or folder, and replaces only a file of its own kind. Links are
// followed, in reading and in writing, so they are what they lead to. It also removes what a killed run left
// half-written of an output.
func checkFiles(c *cli.Context) error {
	use := fileUses[c.Command.Name]
	if len(use.outputs) == 0 {
		return nil
	}
	read := use.read(c)
	written, err := use.written(c)
	if err != nil {
		return err
	}
	if err := checkOutputs(c, read, written); err != nil {
		return err
	}
	return canWrite(c, written)
}

// checkOutputs refuses outputs that are an input, another output, or in the place of a file of another kind.
func checkOutputs(c *cli.Context, read, written []named) error {
	for i, w := range written {
		for _, r := range read {
			if w.sameAs(r) && (w.output.same == "" || r.by != dashed(w.output.same)) {
				return usagef(c, "%s is the same file as %s, which is %s: give another %s", w.word(), r.word(), r.use(),
					dashed(w.output.flag))
			}
		}
		for _, o := range written[:i] {
			if w.sameAs(o) {
				return usagef(c, "%s is the same file as %s: give each a file of its own", w.word(), o.word())
			}
		}
		if err := w.replaceable(c, read); err != nil {
			return err
		}
	}
	return nil
}

// read are the files that are read, the standard input and what it is redirected from among them.
func (u fileUse) read(c *cli.Context) []named {
	var all []named
	add := func(by, path string) {
		if info, err := os.Stat(path); err == nil {
			all = append(all, named{by: by, path: path, info: info})
		}
	}
	for i, path := range c.Args().Slice() {
		if len(u.arguments) > 0 {
			add(u.arguments[min(i, len(u.arguments)-1)], path)
		}
	}
	for _, flag := range u.inputs {
		paths := []string{c.String(flag)}
		if list, ok := flagValue(c, flag).([]string); ok {
			paths = list
		}
		for _, path := range paths {
			add(dashed(flag), path)
		}
	}
	for by, f := range map[string]*os.File{standardInput: os.Stdin, standardOutput: os.Stdout, standardError: os.Stderr} {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			all = append(all, named{by: by, path: f.Name(), info: info})
		}
	}
	return all
}

// written are the files that are written.
func (u fileUse) written(c *cli.Context) ([]named, error) {
	var all []named
	for i := range u.outputs {
		o := &u.outputs[i]
		path := c.String(o.flag)
		if path == "" {
			continue
		}
		folder, paths := filepath.Dir(path), map[string]kind{path: o.of}
		if o.in != nil {
			folder, paths = path, map[string]kind{}
			for name, of := range o.in {
				paths[filepath.Join(path, name)] = of
			}
		}
		if at, info := existing(folder); info != nil && !info.IsDir() {
			return nil, usagef(c, "%s %s: %s is a %s, not a folder; give another path", dashed(o.flag), printable(path),
				printable(at), files.Kind(info.Mode()))
		}
		for _, p := range slices.Sorted(maps.Keys(paths)) {
			target, err := files.Target(p)
			if err != nil {
				return nil, usagef(c, "%s %s: %v; give another path", dashed(o.flag), printable(p), files.Cause(err))
			}
			info, err := os.Stat(target)
			if err != nil {
				info = nil
			}
			all = append(all, named{dashed(o.flag), p, info, o, paths[p]})
		}
	}
	return all, nil
}

// existing is the path, or the nearest above it, that there is; nil: none can be looked at.
func existing(path string) (string, fs.FileInfo) {
	for {
		info, err := os.Stat(path)
		if err == nil {
			return path, info
		}
		up := filepath.Dir(path)
		if up == path {
			return path, nil
		}
		path = up
	}
}

// sameAs says whether two names are one file's, by whatever path or link, or will be.
func (n named) sameAs(o named) bool {
	if n.info != nil && o.info != nil {
		return os.SameFile(n.info, o.info)
	}
	return n.info == nil && o.info == nil && placeOf(n.path) == placeOf(o.path)
}

// placeOf is where a file that is not there would be.
func placeOf(path string) string {
	dir := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if whole, err := filepath.Abs(filepath.Join(dir, filepath.Base(path))); err == nil {
		return whole
	}
	return filepath.Clean(path)
}

// replaceable refuses to replace what is of another kind. An empty file holds nothing that could be lost.
func (n named) replaceable(c *cli.Context, read []named) error {
	if n.info == nil {
		return nil
	}
	if !n.info.Mode().IsRegular() {
		return usagef(c, "%s: it is a %s, not a file; give another path", n.word(), files.Kind(n.info.Mode()))
	}
	continued := slices.ContainsFunc(read, func(r named) bool { return r.sameAs(n) }) // what it is, its reader finds out
	if n.info.Size() == 0 || continued || n.of.is(n.path) {
		return nil
	}
	return usagef(c, "%s: it exists and is no %s: move it away, or give another path", n.word(), n.of.name)
}

// missing is the first folder on the way to dir that is not there.
func missing(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if _, err := os.Stat(parent); err == nil || parent == dir {
			return dir
		}
		dir = parent
	}
}

// canWrite finds out that the outputs can be written where they are to be.
func canWrite(c *cli.Context, written []named) error {
	for _, w := range written {
		dir := filepath.Dir(w.path)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			if w.output.makes || w.output.in != nil { // it is made when there is something to write
				if err := files.CheckWritable(missing(dir), 0); err != nil {
					return fmt.Errorf("%s: %w", w.by, err)
				}
				continue
			}
			return usagef(c, "%s: there is no directory %s; create it first", w.word(), printable(dir))
		}
		if err := files.CheckWritable(w.path, 0); err != nil {
			return fmt.Errorf("%s: %w", w.by, err)
		}
		if w.output.in == nil { // folders of runs are swept under their locks
			if err := files.Sweep(w.path); err != nil {
				return fmt.Errorf("%s: %w", w.by, err)
			}
		}
	}
	return nil
}
