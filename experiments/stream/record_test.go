package stream

import (
	"testing"

	"github.com/synapnet/synapnet-train/baee"
)

// The record of a stream of any length can be written and read: it thins itself out.
func TestStreamRecordsDoNotGrow(t *testing.T) {
	r := &Record{settings: Settings{SampleEvery: 512, ChunkSize: 512, Memory: baee.Config{}}}
	for at := int64(512); at <= 512*1_000_000; at += 512 {
		last := int64(0)
		if n := len(r.details.Samples); n > 0 {
			last = r.details.Samples[n-1].Tokens
		}
		if every := max(r.settings.SampleEvery, r.details.Every); at/every == last/every {
			continue
		}
		r.thin()
		r.details.Samples = append(r.details.Samples, Sample{Tokens: at})
	}
	s := r.details.Samples
	if len(s) > mostSamples || len(s) < mostSamples/4 || s[0].Tokens != 512 || s[len(s)-1].Tokens < 512*999_000 {
		t.Errorf("%d samples from %d to %d, one in %d tokens", len(s), s[0].Tokens, s[len(s)-1].Tokens, r.details.Every)
	}
}
