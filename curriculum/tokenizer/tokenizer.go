package tokenizer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// Tokenizer turns text into token ids. It may be used by several goroutines at once.
type Tokenizer interface {
	// Encode gives the ids of a text, each from 0 to Size()-1, without padding and however many they are. Its errors say
	// what of the text has no id: bytes that are not UTF-8, a word where the vocabulary has no token for unknown ones.
	Encode(text string) ([]int32, error)
	// Size is the vocabulary that a model needs: the largest id and one, the padding id included.
	Size() int
	// Pad is the id that fills up samples that are too short.
	Pad() int32
	// Spec is what goes with a checkpoint; FromSpec makes the same tokeniser of it.
	Spec() Spec
}

// Spec is a tokeniser as a checkpoint keeps it.
type Spec struct {
	Kind string `json:"kind"`           // KindBytes, KindJSON or KindSentencePiece
	Data string `json:"data,omitempty"` // the text of tokenizer.json, or the base64 of a SentencePiece model
}

// The kinds of tokenisers that a Spec has. Words trained on the data are a tokenizer.json.
const (
	KindBytes         = "bytes"
	KindJSON          = "tokenizer.json"
	KindSentencePiece = "sentencepiece"
)

const (
	maxFile = 100 << 20 // bytes of a tokeniser's file; the largest known one (Gemma 3's) has 33 MB
	maxSize = 1 << 24   // ids; the largest known vocabulary has 262,144
)

// Open gives the tokeniser of a name as settings have it: "bytes", or the path of a Hugging Face tokenizer.json or of a
// SentencePiece model; which of the two it is shows in its first byte. Errors are one line with the path and the mend.
func Open(name string) (Tokenizer, error) {
	switch name {
	case KindBytes:
		return Bytes{}, nil
	case "words":
		return nil, errors.New("the tokeniser words is trained on the data (WordCounter) and cannot be opened; " +
			"what can is bytes or a file")
	}
	text, err := files.Read(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; a tokeniser is bytes, words, the path of a tokenizer.json or of a "+
			"SentencePiece model", foreign.Path(name), files.Cause(err))
	}
	t, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", foreign.Path(name), err)
	}
	return t, nil
}

// FromSpec gives the tokeniser that a checkpoint has kept. Errors do not name the checkpoint.
func FromSpec(s Spec) (Tokenizer, error) {
	switch s.Kind {
	case KindBytes:
		if s.Data != "" {
			return nil, errors.New("the tokeniser bytes has no data, but the checkpoint gives some")
		}
		return Bytes{}, nil
	case KindJSON:
		return parseJSON(s.Data)
	case KindSentencePiece:
		model, err := base64.StdEncoding.DecodeString(s.Data)
		if err != nil {
			return nil, fmt.Errorf("the SentencePiece model is not base64: %w", err)
		}
		return parseSentencePiece(model)
	}
	return nil, fmt.Errorf("the kind of tokeniser %s is not known: it is %s, %s or %s", foreign.Word(s.Kind),
		KindBytes, KindJSON, KindSentencePiece)
}

// parse reads either form of a file. A tokenizer.json is an object, a SentencePiece model begins with its first piece.
func parse(text []byte) (Tokenizer, error) {
	const mend = "give a Hugging Face tokenizer.json or a SentencePiece model"
	switch {
	case len(text) == 0:
		return nil, errors.New("it is empty; " + mend)
	case text[0] == piecesTag:
		return parseSentencePiece(text)
	}
	if start := strings.TrimLeft(string(text[:min(len(text), 64)]), " \t\r\n\ufeff"); !strings.HasPrefix(start, "{") {
		return nil, errors.New("it is neither a tokenizer.json nor a SentencePiece model; " + mend)
	}
	return parseJSON(string(text))
}

// checkUTF8 is the error of a text that is not UTF-8.
func checkUTF8(text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	at := 0
	for {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("the text is not UTF-8: byte 0x%02x at offset %d; convert it (iconv -t UTF-8), "+
				"or use the tokeniser bytes, which takes any", text[at], at)
		}
		at += size
	}
}
