package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// WordCounter counts the words of texts, of which Train makes a tokeniser with an id a word: the longest runs of
// letters, digits and underscores, and of what is neither that nor white space (`\w+|[^\w\s]+`), in the case they have.
// Its memory grows with the number of different words alone. The zero value counts from nothing; it is for one
// goroutine.
type WordCounter struct {
	counts map[string]int64
	held   int // bytes of the words
}

const (
	maxWords     = 4_000_000 // different ones
	maxWordBytes = 256 << 20 // of all different ones together
)

// Add counts the words of a text. It is an error if the text is not UTF-8, or if there are more different words than
// would be held: then nothing of the text's rest is counted.
func (c *WordCounter) Add(text string) error { return c.add(text, maxWords, maxWordBytes) }

func (c *WordCounter) add(text string, most, mostBytes int) error {
	if err := checkUTF8(text); err != nil {
		return err
	}
	if c.counts == nil {
		c.counts = map[string]int64{}
	}
	found, err := words(text)
	if err != nil {
		return err
	}
	for _, s := range found {
		word := text[s.start:s.end]
		n, known := c.counts[word]
		if !known {
			if len(c.counts) >= most || c.held+len(word) > mostBytes {
				return fmt.Errorf("the data have more than %d different words (or more than %d MB of them), "+
					"which is no vocabulary of words: use the tokeniser bytes, or a trained tokenizer.json", most, mostBytes>>20)
			}
			word = strings.Clone(word) // a part of the text would keep all of it
			c.held += len(word)
		}
		c.counts[word] = n + 1
	}
	return nil
}

// The first two ids of words.
const (
	padToken     = "[PAD]" // 0
	unknownToken = "[UNK]" // 1
)

// ErrNoWords is the error of Train where no word was counted.
var ErrNoWords = errors.New("the data have no words to train a tokeniser on")

// Train makes a tokeniser of at most size ids: 0 is padding, 1 every word that has no id, then the words that were
// counted most often, those counted equally often in the order of their bytes. Its Spec is a tokenizer.json, which
// Python's tokenizers reads, too. size is at least 3, and one word has to have been counted.
func (c *WordCounter) Train(size int) (Tokenizer, error) {
	const reserved = 2
	switch {
	case size <= reserved:
		return nil, fmt.Errorf("a vocabulary of %d ids has no room for words: it has to have %d or more", size, reserved+1)
	case len(c.counts) == 0:
		return nil, ErrNoWords
	}
	all := make([]string, 0, len(c.counts))
	for word := range c.counts {
		all = append(all, word)
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.counts[b], c.counts[a]), strings.Compare(a, b))
	})
	all = all[:min(len(all), size-reserved)]
	text, err := wordLevelJSON(append([]string{padToken, unknownToken}, all...))
	if err != nil {
		return nil, err
	}
	return parseJSON(text)
}

// wordLevelJSON is the tokenizer.json of words, each with its place as its id. The two special tokens are not among its
// added_tokens: a text in which they are written has none of their ids.
func wordLevelJSON(words []string) (string, error) {
	const head = `{
  "version": "1.0",
  "truncation": null,
  "padding": {
    "strategy": "BatchLongest",
    "direction": "Right",
    "pad_to_multiple_of": null,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]"
  },
  "added_tokens": [],
  "normalizer": null,
  "pre_tokenizer": {
    "type": "Whitespace"
  },
  "post_processor": null,
  "decoder": null,
  "model": {
    "type": "WordLevel",
    "vocab": {`
	var b bytes.Buffer
	b.WriteString(head)
	for id, word := range words {
		quoted, err := json.Marshal(word)
		if err != nil {
			return "", err
		}
		if id > 0 {
			b.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&b, "\n      %s: %d", quoted, id) // a buffer never fails
	}
	b.WriteString("\n    },\n    \"unk_token\": \"[UNK]\"\n  }\n}\n")
	return b.String(), nil
}
