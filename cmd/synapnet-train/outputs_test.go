package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/layers"
)

// wordFlags are the flags of text that name no file.
var wordFlags = []string{
	"policy", "policies", "positions", "protocol", "tasks", "suite", "cases", "variants", "targets", "step-init",
	"architecture", "profile", "scheme", "set", "long-samples", "extend-by", "benchmark",
	"recipe", "init", "python",
}

// Every flag that names a file is in the table of what is read and written. A new flag fails here until somebody has
// said which it is.
func TestEveryFlagThatNamesAFileIsChecked(t *testing.T) {
	for _, command := range commands() {
		use := fileUses[command.Name]
		var known []string
		known = append(known, use.inputs...)
		for _, o := range use.outputs {
			known = append(known, o.flag)
		}
		var found []string
		for _, f := range command.Flags {
			switch f.(type) {
			case *cli.IntFlag, *cli.Int64Flag, *cli.Uint64Flag, *cli.Float64Flag, *cli.BoolFlag, *cli.DurationFlag,
				*cli.IntSliceFlag, *cli.Uint64SliceFlag, *cli.Float64SliceFlag:
				continue
			}
			name := f.Names()[0]
			if found = append(found, name); !slices.Contains(known, name) && !slices.Contains(wordFlags, name) {
				t.Errorf("%s --%s: say in fileUses whether its file is read or written, or here that it names none", command.Name,
					name)
			}
		}
		for _, name := range known {
			if !slices.Contains(found, name) {
				t.Errorf("%s has no flag --%s", command.Name, name)
			}
		}
		if strings.Contains(command.ArgsUsage, "safetensors") && len(use.arguments) == 0 {
			t.Errorf("%s: say in fileUses what its arguments are", command.Name)
		}
	}
}

// fixture is a command line of a command with a file for everything that it reads, and its outputs elsewhere.
type fixture struct {
	dir     string
	command string
	use     fileUse
	inputs  []string // paths, arguments first, then the flags in order
}

func newFixture(t *testing.T, command string) fixture {
	t.Helper()
	f := fixture{dir: t.TempDir(), command: command, use: fileUses[command]}
	for _, name := range append(slices.Clone(f.use.arguments), f.use.inputs...) {
		path := filepath.Join(f.dir, "in-"+name)
		if err := os.WriteFile(path, []byte("precious "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		f.inputs = append(f.inputs, path)
	}
	return f
}

// refuses runs the command with the given outputs, which must be refused as a mistake in the command line, in one line
// with these words, and change no file of the folder.
func (f fixture) refuses(t *testing.T, outputs []string, words ...string) {
	t.Helper()
	line := append([]string{f.command}, f.inputs[:len(f.use.arguments)]...)
	for i, flag := range f.use.inputs {
		line = append(line, "--"+flag, f.inputs[len(f.use.arguments)+i])
	}
	line = append(line, outputs...)
	before := contents(t, f.dir)
	code, stdout, stderr := real(t, line...)
	if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%s: %d %s%s", strings.Join(line, " "), code, stdout, stderr)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("%s:\n got %swant …%s", strings.Join(line, " "), stderr, w)
		}
	}
	if after := contents(t, f.dir); after != before {
		t.Errorf("%s changed the files: before %s, after %s", strings.Join(line, " "), before, after)
	}
}

// contents are the regular files in a folder, with their bytes.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		_, _ = b.WriteString(path + "=" + string(text) + ";")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// at is the value of an output's flag that makes the command write the file at path, whose base name is of the
// output's.
func (o output) at(path string) []string {
	if o.in != nil {
		path = filepath.Dir(path)
	}
	return []string{"--" + o.flag, path}
}

// bases are names that an output can have in a folder.
func (o output) bases() []string {
	if o.in == nil {
		return []string{"out"}
	}
	return slices.Sorted(maps.Keys(o.in))
}

func withOutputs(t *testing.T, test func(t *testing.T, command string, o output, base string)) {
	t.Helper()
	for _, command := range commands() {
		for _, o := range fileUses[command.Name].outputs {
			for _, base := range o.bases() {
				t.Run(command.Name+" --"+o.flag+" "+base, func(t *testing.T) { test(t, command.Name, o, base) })
			}
		}
	}
}

// No output of any command is one of its inputs, by whatever name.
func TestOutputsAreNoInputs(t *testing.T) {
	withOutputs(t, func(t *testing.T, command string, o output, base string) {
		count := len(newFixture(t, command).inputs)
		for i := range count {
			for _, how := range []string{"itself", "link", "hard link"} {
				f := newFixture(t, command)
				name := append(slices.Clone(f.use.arguments), f.use.inputs...)[i]
				if name == o.same {
					continue
				}
				path := filepath.Join(f.dir, "place", base)
				if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				switch how {
				case "itself":
					err = os.Rename(f.inputs[i], path)
					f.inputs[i] = path
				case "link":
					err = os.Symlink(f.inputs[i], path)
				default:
					err = os.Link(f.inputs[i], path)
				}
				if err != nil {
					t.Skip(err)
				}
				f.refuses(t, o.at(path), "--"+o.flag+" ", "is the same file as", name+" ", "which is read")
			}
		}
	})
}

// No output is a folder, a pipe or a device, leads nowhere, or replaces what is of another kind.
func TestOutputsReplaceOnlyTheirKind(t *testing.T) {
	withOutputs(t, func(t *testing.T, command string, o output, base string) {
		place := func(f fixture) string {
			path := filepath.Join(f.dir, "place", base)
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		for what, make := range map[string]func(path string) error{
			"it is a folder, not a file":      func(path string) error { return os.Mkdir(path, 0o755) },
			"it is a device, not a file":      func(path string) error { return os.Symlink(os.DevNull, path) },
			"it is a link that leads nowhere": func(path string) error { return os.Symlink("nowhere", path) },
			"it is a pipe, not a file":        makePipe,
		} {
			f := newFixture(t, command)
			path := place(f)
			if err := make(path); err != nil {
				continue // there is no such thing here
			}
			f.refuses(t, o.at(path), "--"+o.flag+" ", what)
		}
		of := o.of
		if o.in != nil {
			of = o.in[base]
		}
		if of.name == runFile.name {
			return // a run knows its own files: see TestRunsKeepOthersFiles
		}
		f := newFixture(t, command)
		path := place(f)
		model, err := os.ReadFile(smallModelFile(t, func(*layers.Config) {}))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{[]byte("lr = 0.1\n"), []byte("{}"), model} {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			f.refuses(t, o.at(path), "--"+o.flag+" ", "it exists and is no "+of.name)
		}
	})
}

// Two outputs are not one file, whether it is there or not.
func TestOutputsAreApart(t *testing.T) {
	f := newFixture(t, "stream")
	once := filepath.Join(f.dir, "once")
	f.refuses(t, []string{"--snapshot", once, "--report", filepath.Join(f.dir, ".", "x", "..", "once")}, "--report ",
		"is the same file as --snapshot ")
	if err := errors.Join(os.Mkdir(filepath.Join(f.dir, "d"), 0o755),
		os.Symlink("d", filepath.Join(f.dir, "l"))); err != nil {
		t.Skip(err)
	}
	f.refuses(t, []string{"--snapshot", filepath.Join(f.dir, "d", "a"), "--report", filepath.Join(f.dir, "l", "a")},
		"is the same file as --snapshot ")
	if err := errors.Join(os.WriteFile(once, nil, 0o644), os.Link(once, filepath.Join(f.dir, "twice"))); err != nil {
		t.Skip(err)
	}
	f.refuses(t, []string{"--snapshot", once, "--report", filepath.Join(f.dir, "twice")},
		"is the same file as --snapshot ")
}

// A new run does not begin where there are files that it would replace.
func TestRunsKeepOthersFiles(t *testing.T) {
	for command, line := range map[string]string{
		"pretrain":    "pretrain --curriculum 32 " + tiny + " --output-dir ",
		"cajq-3phase": "cajq-3phase --config ../../configs/cajq-3phase-small.toml --output-dir ",
	} {
		for _, base := range fileUses[command].outputs[0].bases() {
			dir := t.TempDir()
			path := filepath.Join(dir, base)
			if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			refusal(t, exitFailure, line+dir, dir, base, "give another --output-dir")
			if read(t, path) != "precious" || present(t, dir) != base {
				t.Errorf("%s: %s holds %s", command, base, present(t, dir))
			}
		}
	}
}

// A link is followed in writing as in reading: the file it leads to is replaced, and it stays.
func TestOutputsFollowLinks(t *testing.T) {
	model, dir := smallModelFile(t, func(*layers.Config) {}), t.TempDir()
	target, link := filepath.Join(dir, "s.safetensors"), filepath.Join(dir, "latest")
	success(t, "stream", model, textFile(t, ids(20)), "--snapshot", target)
	before := read(t, target)
	if err := os.Symlink("s.safetensors", link); err != nil {
		t.Skip(err)
	}
	success(t, "stream", model, textFile(t, ids(40)), "--snapshot", link)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 || read(t, target) == before {
		t.Errorf("%v %v; the target is new: %v", info, err, read(t, target) != before)
	}
}

// What a killed run left half-written of an output goes; what looks like it is the user's.
func TestOutputsAreSwept(t *testing.T) {
	model, dir := smallModelFile(t, func(*layers.Config) {}), t.TempDir()
	for _, name := range []string{".synapnet-s.safetensors-0123456789abcdef.tmp", ".synapnet-other-0123456789abcdef.tmp",
		".s.safetensors123456"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	success(t, "stream", model, textFile(t, ids(20)), "--snapshot", filepath.Join(dir, "s.safetensors"))
	if got := present(t, dir); got != ".s.safetensors123456 .synapnet-other-0123456789abcdef.tmp s.safetensors" {
		t.Errorf("the folder holds %s", got)
	}
}
