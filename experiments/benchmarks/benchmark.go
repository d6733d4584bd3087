package benchmarks

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// Benchmark is a public benchmark whose files can be scored.
type Benchmark struct {
	Name  string // "longbench"
	Title string // "LongBench (Bai et al. 2024)"
	// Reads is what a model reads of a sample, in the names of its fields.
	Reads string
	// Repositories are its datasets at Hugging Face, the present name first; none: Obtain says where files are from.
	Repositories []string
	Obtain       string
	// Long is what becomes of samples that are longer than the context, where nothing else is asked for.
	Long data.Long

	form string // of a row, for errors
	// sample takes a row of the file of the given name.
	sample func(file string, r *row) (*dataset, Sample, error)
}

// Sample is a question of a benchmark.
type Sample struct {
	Text     string   // what a model reads
	Question string   // for metrics that look at it
	Answers  []string // at least one; what several mean, the metric says
	Classes  []string // answers that there can be; nil: any
}

// dataset is what a file of a benchmark holds.
type dataset struct {
	name     string
	metric   string
	freeForm bool                                         // answers are text of the model's own
	score    func(prediction string, s *Sample) float64   // from 0 to 1
	percent  func(sum float64, n int) (published float64) // of the scores' sum, as its own code rounds it
}

// all are the benchmarks, in the order of help texts.
var all = []*Benchmark{&babilong, &longBench, &longBenchV2, &ruler}

// Names are those of all benchmarks.
func Names() []string {
	var names []string
	for _, b := range all {
		names = append(names, b.Name)
	}
	return names
}

// Lookup is the benchmark of a name.
func Lookup(name string) (*Benchmark, bool) {
	i := slices.IndexFunc(all, func(b *Benchmark) bool { return b.Name == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// File is one of a benchmark's files.
type File struct {
	Path  string // on disk
	Entry string // of a ZIP archive; "": Path itself is the file
}

// String is the file's name for messages.
func (f File) String() string { return filepath.Join(f.Path, f.Entry) }

// kinds are the ends of names that files of benchmarks have.
var kinds = []string{".json", ".jsonl", ".parquet", ".zip"}

func ofKind(name string) bool {
	return slices.Contains(kinds, strings.ToLower(filepath.Ext(name)))
}

// Files are the benchmark's files at path: one file, or those in a folder and below it, in the order of their names.
// The path "" is the benchmark in Hugging Face's cache; the error where it is not there says how to get it.
func (b *Benchmark) Files(path string) ([]File, error) {
	if path == "" {
		var err error
		if path, err = b.cached(); err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w; give a file of %s or a folder of them", foreign.Path(path),
			files.Cause(err), b.Title)
	case !info.IsDir():
		return expand(path)
	}
	var found []File
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != path && strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || !ofKind(name) || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		some, err := expand(name)
		found = append(found, some...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no file of %s (%s): give the folder that has them", foreign.Path(path), b.Title,
			strings.Join(kinds, ", "))
	}
	return found, nil
}

// expand is a file, or those in it if it is a ZIP archive.
func expand(path string) (found []File, err error) {
	if !strings.EqualFold(filepath.Ext(path), ".zip") {
		return []File{{Path: path}}, nil
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: broken ZIP (%w): copy or download the file again", foreign.Path(path), err)
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	for _, entry := range z.File {
		if name := entry.Name; !entry.FileInfo().IsDir() && ofKind(name) && !strings.HasPrefix(name, "__MACOSX/") {
			found = append(found, File{path, name})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no file of a benchmark (%s)", foreign.Path(path), strings.Join(kinds, ", "))
	}
	return found, nil
}

// open opens the file or the archive's entry.
func (f File) open() (io.ReadCloser, error) {
	if f.Entry == "" {
		opened, err := files.Open(f.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", foreign.Path(f.Path), files.Cause(err))
		}
		return opened, nil
	}
	z, err := zip.OpenReader(f.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: broken ZIP (%w): copy or download the file again", foreign.Path(f.Path), err)
	}
	entry, err := z.Open(f.Entry)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", foreign.Path(f.String()), err), z.Close())
	}
	return &entryReader{entry, z}, nil
}

// entryReader is an entry of an archive that is closed with it.
type entryReader struct {
	io.ReadCloser
	archive io.Closer
}

// Close closes the entry and its archive.
func (e *entryReader) Close() error { return errors.Join(e.ReadCloser.Close(), e.archive.Close()) }

// cached is the folder of the benchmark in Hugging Face's cache, whose layout is documented:
// datasets--ORG--NAME/refs/main names the commit whose files are in snapshots/COMMIT.
func (b *Benchmark) cached() (string, error) {
	if len(b.Repositories) == 0 {
		return "", fmt.Errorf("%s is not a download: %s", b.Title, b.Obtain)
	}
	cache, err := hubCache()
	if err != nil {
		return "", err
	}
	for _, repository := range b.Repositories {
		folder := filepath.Join(cache, "datasets--"+strings.ReplaceAll(repository, "/", "--"))
		commit, err := os.ReadFile(filepath.Join(folder, "refs", "main"))
		if err != nil {
			continue
		}
		snapshot := filepath.Join(folder, "snapshots", strings.TrimSpace(string(commit)))
		if info, err := os.Stat(snapshot); err == nil && info.IsDir() {
			return snapshot, nil
		}
	}
	return "", fmt.Errorf("%s is not in Hugging Face's cache, %s, and nothing is downloaded from here: fetch it with: "+
		"hf download %s --repo-type dataset", b.Title, foreign.Path(cache), b.Repositories[0])
}

// hubCache is the folder that Hugging Face's tools keep downloads in.
func hubCache() (string, error) {
	if path := os.Getenv("HF_HUB_CACHE"); path != "" {
		return path, nil
	}
	if path := os.Getenv("HF_HOME"); path != "" {
		return filepath.Join(path, "hub"), nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("where is Hugging Face's cache? %w; set HF_HUB_CACHE, or give the files' folder", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "huggingface", "hub"), nil
}

// rounded is x with the given number of decimals, as Python's round(x, decimals) gives it.
func rounded(x float64, decimals int) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', decimals, 64), 64) // what was formatted parses
	return y
}
