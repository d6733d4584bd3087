// Package stream keeps the course of one stream as a result: how much memory the process takes as tokens go by.
package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/host"
)

// Record is the course of one stream: how much memory the process takes as tokens go by. It is a result file that
// Chunk and Finish rewrite, so that a run that is killed leaves what it has.
type Record struct {
	settings Settings
	details  Details
	file     *lab.ResultFile
	first    int64 // position at which the record began
	complete bool
}

// Details are what a record keeps of single moments.
type Details struct {
	Samples []Sample `json:"samples"`
	// Every is the number of tokens between samples, where that is more than was asked for: a long stream keeps every
	// second one, again and again, so that its record does not grow for ever.
	Every int64 `json:"every,omitempty"`
}

// mostSamples is how many a record keeps, at most.
const mostSamples = 4096

// Settings is what determines a stream, but for the input of a file.
type Settings struct {
	Model        string      `json:"model"`
	ChunkSize    int         `json:"chunk_size"`
	Memory       baee.Config `json:"memory"`
	Classifier   string      `json:"classifier,omitempty"`
	Restored     string      `json:"restored,omitempty"` // snapshot
	Input        string      `json:"input"`
	Skip         int64       `json:"skip,omitempty"`          // tokens at its start that were passed over
	RandomTokens int64       `json:"random_tokens,omitempty"` // uniform over the vocabulary
	InputSeed    uint64      `json:"input_seed,omitempty"`
	SampleEvery  int64       `json:"sample_every"` // tokens, rounded up to a chunk
}

// Sample is the state after some tokens.
type Sample struct {
	Tokens    int64   `json:"tokens"` // of the stream
	Seconds   float64 `json:"seconds"`
	RSSBytes  uint64  `json:"rss_bytes"` // resident memory of the process
	Bytes     int     `json:"bytes"`     // of all contents
	Counted   int     `json:"counted"`   // what the budget limits: contents, and what is known of them
	Hot       int     `json:"hot"`
	Warm      int     `json:"warm"`
	Summaries int     `json:"summaries"`
	Evicted   int64   `json:"evicted"`
	Merged    int64   `json:"merged"`
}

// NewRecord begins a record at the stream's present position, which is written to path. It fails where the resident
// memory of a process cannot be read, or where the file cannot be written.
func NewRecord(path string, s *baee.Stream, settings Settings, env result.Environment) (*Record, error) {
	if settings.SampleEvery < 1 {
		return nil, fmt.Errorf("a sample every %d tokens: it must be at least 1", settings.SampleEvery)
	}
	if _, err := host.CurrentRSS(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, files.Cause(err))
	}
	settings.ChunkSize, settings.Memory = s.ChunkSize(), s.Memory().Config()
	inputs := map[string]string{}
	for name, file := range map[string]string{"model": settings.Model, "classifier": settings.Classifier,
		"restored": settings.Restored} {
		if file != "" {
			inputs[name] = file
		}
	}
	sums, err := lab.HashFiles(inputs)
	if err != nil {
		return nil, err
	}
	// Version 2 stored entries in tiers by thresholds of their scores.
	e := lab.Experiment{Name: "stream", Version: 3, Protocol: lab.Texts{lab.Full: protocol}}
	file, err := lab.NewResultFile(e, lab.Custom, settings, sums, path, env)
	if err != nil {
		return nil, err
	}
	r := &Record{settings: settings, details: Details{Samples: []Sample{}}, file: file, first: s.Position()}
	return r, r.write(s)
}

// Chunk is to be called after each chunk. It takes a sample when one is due.
func (r *Record) Chunk(s *baee.Stream) error {
	last := r.first
	if n := len(r.details.Samples); n > 0 {
		last = r.details.Samples[n-1].Tokens
	}
	every := max(r.settings.SampleEvery, r.details.Every)
	if s.Position()/every == last/every {
		return nil
	}
	return r.sample(s)
}

// Finish takes the last sample. complete says that the input was read to its end.
func (r *Record) Finish(s *baee.Stream, complete bool) error {
	r.complete = complete
	if n := len(r.details.Samples); n > 0 && r.details.Samples[n-1].Tokens == s.Position() {
		return r.write(s)
	}
	return r.sample(s)
}

func (r *Record) sample(s *baee.Stream) error {
	rss, err := host.CurrentRSS()
	if err != nil {
		return err
	}
	r.thin()
	t := s.Memory().Total()
	r.details.Samples = append(r.details.Samples, Sample{
		Tokens: s.Position(), Seconds: r.file.Watch.Cost().WallSeconds, RSSBytes: rss, Bytes: t.Bytes,
		Counted: t.Counted, Hot: t.Hot, Warm: t.Warm, Summaries: t.Summaries, Evicted: t.Evicted, Merged: t.Merged,
	})
	return r.write(s)
}

// thin makes room for another sample. The first stays: changes are measured from it.
func (r *Record) thin() {
	if len(r.details.Samples) < mostSamples {
		return
	}
	kept := r.details.Samples[:0]
	for i, s := range r.details.Samples {
		if i%2 == 0 {
			kept = append(kept, s)
		}
	}
	r.details.Samples = kept
	r.details.Every = 2 * max(r.settings.SampleEvery, int64(r.settings.ChunkSize), r.details.Every)
}

// protocol says how the numbers of a record are got.
const protocol = "one stream, read once. Resident memory is the kernel's (VmRSS), of the whole process; " +
	"store_bytes are contents, counted_bytes what the budget limits: with what is known of each entry. rss_change is " +
	"the last sample's resident memory over the first one's, less 1. The cost begins with the record: loading the " +
	"model is not in it"

func (r *Record) write(s *baee.Stream) error {
	o := &lab.Outcome{Seeds: []uint64{r.settings.Memory.Seed}, Details: r.details}
	if r.settings.RandomTokens > 0 {
		o.Seeds = append(o.Seeds, r.settings.InputSeed)
	}
	add := func(l result.Labels, metric, unit string, value float64) {
		o.Measurements = append(o.Measurements, result.Measurement{Labels: l, Protocol: string(r.settings.Memory.Protocol),
			Metric: metric, Unit: unit, N: 1, Mean: value})
	}
	if n := len(r.details.Samples); n > 0 {
		add(result.Labels{}, "rss_change", "1",
			float64(r.details.Samples[n-1].RSSBytes)/float64(r.details.Samples[0].RSSBytes)-1)
		add(result.Labels{}, "tokens_per_second", "tokens/s", float64(s.Position()-r.first)/r.file.Watch.Cost().WallSeconds)
	}
	for _, x := range r.details.Samples {
		at := result.Labels{result.TokensLabel: strconv.FormatInt(x.Tokens, 10)}
		add(at, "rss_bytes", "bytes", float64(x.RSSBytes))
		add(at, "store_bytes", "bytes", float64(x.Bytes))
		add(at, "counted_bytes", "bytes", float64(x.Counted))
	}
	return r.file.Write(o, r.complete)
}
