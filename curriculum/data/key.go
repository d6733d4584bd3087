package data

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/internal/files"
)

// Key is all that decides about the content of a store: equal keys, equal bytes. A run's checkpoint keeps it, so that
// the run goes on with the data that it began with.
type Key struct {
	Version   int      `json:"version"`
	Train     []Source `json:"train,omitempty"`
	Eval      []Source `json:"eval,omitempty"`
	EvalShare float64  `json:"eval_share,omitempty"`
	Tokenizer string   `json:"tokenizer,omitempty"`
	Vocab     int      `json:"vocab,omitempty"`
	Classes   int      `json:"classes,omitempty"`
	Labels    *Labels  `json:"labels,omitempty"`
	Ignore    []string `json:"ignore,omitempty"`
}

// Source is a file of samples.
type Source struct {
	Name   string `json:"name"` // without folders; for people alone
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// seen is what a source was when the store was made or last found to be of it. It stands beside the store, not in it:
// the bytes of a store do not depend on times and paths.
type seen struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns

	parquet bool
}

// look says what a source is now.
func look(path string) (s seen, err error) {
	f, err := files.Open(path)
	if err != nil {
		return seen{}, fmt.Errorf("cannot read %s: %w; give a file of samples", path, files.Cause(err))
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return seen{}, err
	}
	begin := make([]byte, 4)
	if _, err := io.ReadFull(f, begin); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return seen{}, fmt.Errorf("cannot read %s: %w", path, files.Cause(err))
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return seen{}, err
	}
	return seen{full, info.Size(), info.ModTime().UnixNano(), string(begin) == "PAR1"}, nil
}

// unsourced is the key of the options, but for the sources.
func (o *Options) unsourced() Key {
	return Key{Version: version, EvalShare: o.EvalShare, Tokenizer: o.TokenizerID, Vocab: o.vocab(), Classes: o.Classes,
		Labels: o.Labels, Ignore: o.Ignore}
}

// key is the key of the options, but for the hashes of the sources.
func (o *Options) key() (Key, []seen, error) {
	k := o.unsourced()
	var all []seen
	for _, list := range []struct {
		paths []string
		into  *[]Source
	}{{o.Eval, &k.Eval}, {o.Train, &k.Train}} {
		for _, path := range list.paths {
			s, err := look(path)
			if err != nil {
				return Key{}, nil, err
			}
			all = append(all, s)
			*list.into = append(*list.into, Source{Name: filepath.Base(path), Size: s.Size})
		}
	}
	return k, all, nil
}

// sources are those of the evaluation, then those of training: the order in which they are read.
func (k *Key) sources() []*Source {
	var all []*Source
	for i := range k.Eval {
		all = append(all, &k.Eval[i])
	}
	for i := range k.Train {
		all = append(all, &k.Train[i])
	}
	return all
}

// Changed is an error that says what is not as it was in a run that began with another key. Names do not count. A
// source without a hash has not been read yet.
func (k Key) Changed(since Key) error {
	const mend = "put back what it was, or begin a new run"
	if len(k.Train) != len(since.Train) || len(k.Eval) != len(since.Eval) {
		return fmt.Errorf("the run began with %d files of training data and %d of evaluation data, it is given %d and %d: %s",
			len(since.Train), len(since.Eval), len(k.Train), len(k.Eval), mend)
	}
	then := since.sources()
	for i, now := range k.sources() {
		switch {
		case now.Size != then[i].Size:
			return fmt.Errorf("%s has changed since the run began: it has %d bytes, it had %d (%s); %s", now.Name, now.Size,
				then[i].Size, then[i].Name, mend)
		case now.SHA256 != "" && now.SHA256 != then[i].SHA256:
			return fmt.Errorf("%s has changed since the run began: its SHA-256 is %.12s…, it was %.12s… (%s); %s", now.Name,
				now.SHA256, then[i].SHA256, then[i].Name, mend)
		}
	}
	now, before := k.settings(), since.settings()
	if now != before {
		return fmt.Errorf("the settings of the data have changed since the run began: they are %s, they were %s; %s", now,
			before, mend)
	}
	return nil
}

// settings is the key without its sources, as JSON.
func (k Key) settings() string {
	k.Train, k.Eval = nil, nil
	text, err := json.Marshal(k)
	if err != nil {
		return err.Error() // it is made of numbers and words
	}
	return string(text)
}

const (
	storeName = "samples.bin"
	seenName  = "samples.seen.json"
)

// Remove removes the store in a folder, and the folder if nothing else is in it. Files of these names that are not of
// this package stay, as does a link in the folder's place.
func Remove(dir string) error {
	path := filepath.Join(dir, storeName)
	s, err := openStore(path)
	switch {
	case err == nil:
		if err := errors.Join(s.file.Close(), os.Remove(path)); err != nil {
			return err
		}
	case errors.Is(err, errDamaged):
		if err := os.Remove(path); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return nil //nolint:nilerr // it is the user's
	}
	if _, ours := readSeen(dir); ours {
		if err := os.Remove(filepath.Join(dir, seenName)); err != nil {
			return err
		}
	}
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		_ = os.Remove(dir) // which has no effect unless it is empty
	}
	return nil
}

// readSeen is what stands beside the store, and whether that is ours; it is not where there is none.
func readSeen(dir string) (all []seen, ours bool) {
	text, err := files.Read(filepath.Join(dir, seenName), 1<<20)
	if err != nil {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&all) != nil || len(all) == 0 || !filepath.IsAbs(all[0].Path) {
		return nil, false
	}
	return all, true
}

// checkPlace refuses a folder in which a file of the user's would be replaced.
func checkPlace(dir string) error {
	path := filepath.Join(dir, seenName)
	if _, err := os.Lstat(path); err != nil {
		return nil //nolint:nilerr // there is none, or the folder says why
	}
	if _, ours := readSeen(dir); !ours {
		return fmt.Errorf("%s is no file of this program: choose another folder or move it away", path)
	}
	return nil
}

// find is the store in the folder if it is of the key, nil if there is none. Where a source has another modification
// time than when it was last seen, its content is compared.
func (o *Options) find(ctx context.Context, want Key, now []seen) (*store, error) {
	s, err := openStore(filepath.Join(o.Dir, storeName))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errDamaged) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ours, err := o.isOf(ctx, s, want, now)
	if err != nil || !ours {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// left is the store of a run that goes on, whose sources are gone: nil unless it is whole and of the run's key.
func (o *Options) left() *store {
	s, err := openStore(filepath.Join(o.Dir, storeName))
	if err != nil {
		return nil
	}
	if s.Key.Changed(*o.Expect) != nil || o.unsourced().settings() != s.Key.settings() {
		_ = s.file.Close() // nothing was written
		return nil
	}
	return s
}

func (o *Options) isOf(ctx context.Context, s *store, want Key, now []seen) (bool, error) {
	if want.Changed(s.Key) != nil {
		return false, nil
	}
	if before, ours := readSeen(o.Dir); ours && slices.EqualFunc(now, before, func(a, b seen) bool {
		return a.Path == b.Path && a.Size == b.Size && a.Mtime == b.Mtime
	}) {
		return true, nil
	}
	p := o.newProgress(now, 1)
	for i, source := range s.Key.sources() {
		sum, err := hashFile(ctx, now[i].Path, p.read)
		if err != nil {
			return false, err
		}
		if sum != source.SHA256 {
			return false, nil
		}
	}
	return true, o.note(now)
}

// note writes what the sources of the store are now.
func (o *Options) note(now []seen) error { return files.WriteJSON(filepath.Join(o.Dir, seenName), now) }

func hashFile(ctx context.Context, path string, read func(n int64)) (sum string, err error) {
	f, err := files.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(io.Discard, bufio.NewReaderSize(&meter{ctx, f, h, read}, 1<<20)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return digest(h), nil
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
