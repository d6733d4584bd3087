package experiments

import (
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
)

// StreamRecord is the course of one stream: how much memory the process takes as tokens go by. It is a result file that
// Sample and Finish rewrite, so that a run that is killed leaves what it has.
type StreamRecord struct {
	Experiment  string         `json:"experiment"` // stream
	Complete    bool           `json:"complete"`   // the input was read to its end
	Config      StreamSettings `json:"config"`
	Seeds       []uint64       `json:"seeds"` // of the policy, of random input
	Environment Environment    `json:"environment"`
	Cost        Cost           `json:"cost"` // since the record began: loading the model is not in it
	PerSecond   float64        `json:"tokens_per_second"`
	Change      float64        `json:"rss_change"` // the last sample's resident memory over the first one's, less 1
	Samples     []StreamSample `json:"samples"`

	path  string
	first int64 // position at which the record began
	watch stopwatch
}

// StreamSettings is what determines a stream, but for the input of a file.
type StreamSettings struct {
	Model        string      `json:"model"`
	ChunkSize    int         `json:"chunk_size"`
	Memory       baee.Config `json:"memory"`
	Classifier   string      `json:"classifier,omitempty"`
	Restored     string      `json:"restored,omitempty"` // snapshot
	Input        string      `json:"input"`
	RandomTokens int64       `json:"random_tokens,omitempty"` // uniform over the vocabulary
	InputSeed    uint64      `json:"input_seed,omitempty"`
	SampleEvery  int64       `json:"sample_every"` // tokens, rounded up to a chunk
}

// StreamSample is the state after some tokens.
type StreamSample struct {
	Tokens    int64   `json:"tokens"` // of the stream
	Seconds   float64 `json:"seconds"`
	RSSBytes  uint64  `json:"rss_bytes"` // resident memory of the process
	Bytes     int     `json:"bytes"`     // of all contents, which the budget limits
	Hot       int     `json:"hot"`
	Warm      int     `json:"warm"`
	Summaries int     `json:"summaries"`
	Evicted   int64   `json:"evicted"`
	Merged    int64   `json:"merged"`
}

// NewStreamRecord begins a record at the stream's present position, which is written to path. It fails where the resident
// memory of a process cannot be read, or where the file cannot be written.
func NewStreamRecord(path string, s *baee.Stream, settings StreamSettings, env Environment) (*StreamRecord, error) {
	if settings.SampleEvery < 1 {
		return nil, fmt.Errorf("a sample every %d tokens: it must be at least 1", settings.SampleEvery)
	}
	settings.ChunkSize, settings.Memory = s.ChunkSize(), s.Memory().Config()
	r := &StreamRecord{
		Experiment: "stream", Config: settings, Seeds: []uint64{settings.Memory.Seed}, Environment: env, Samples: []StreamSample{},
		path: path, first: s.Position(), watch: startWatch(),
	}
	if settings.RandomTokens > 0 {
		r.Seeds = append(r.Seeds, settings.InputSeed)
	}
	if _, err := CurrentRSS(); err != nil {
		return nil, err
	}
	return r, r.write(s)
}

// Chunk is to be called after each chunk. It takes a sample when one is due.
func (r *StreamRecord) Chunk(s *baee.Stream) error {
	last := r.first
	if n := len(r.Samples); n > 0 {
		last = r.Samples[n-1].Tokens
	}
	every := r.Config.SampleEvery
	if s.Position()/every == last/every {
		return nil
	}
	return r.sample(s)
}

// Finish takes the last sample. complete says that the input was read to its end.
func (r *StreamRecord) Finish(s *baee.Stream, complete bool) error {
	r.Complete = complete
	if n := len(r.Samples); n > 0 && r.Samples[n-1].Tokens == s.Position() {
		return r.write(s)
	}
	return r.sample(s)
}

func (r *StreamRecord) sample(s *baee.Stream) error {
	rss, err := CurrentRSS()
	if err != nil {
		return err
	}
	t := s.Memory().Total()
	r.Samples = append(r.Samples, StreamSample{
		Tokens: s.Position(), Seconds: r.watch.cost().WallSeconds, RSSBytes: rss, Bytes: t.Bytes, Hot: t.Hot, Warm: t.Warm,
		Summaries: t.Summaries, Evicted: t.Evicted, Merged: t.Merged,
	})
	r.Change = float64(rss)/float64(r.Samples[0].RSSBytes) - 1
	return r.write(s)
}

func (r *StreamRecord) write(s *baee.Stream) error {
	r.Cost = r.watch.cost()
	r.PerSecond = float64(s.Position()-r.first) / r.Cost.WallSeconds
	return writeJSON(r.path, r)
}
