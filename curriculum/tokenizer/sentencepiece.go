package tokenizer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// sentencePiece is a SentencePiece model (Kudo and Richardson, SentencePiece, 2018): normalisation, then pieces by byte
// pair encoding or by a unigram model.
type sentencePiece struct {
	model   []byte // of the file
	pieces  []spPiece
	trainer spTrainer
	rules   spNormalizer
	table   *charsMap // nil: characters stay as they are
	ids     vocabulary
	user    *trie // pieces of the user's, which are never cut
	unigram *unigram
	unknown int32
	bytes   [256]int32
	pad     int32
	size    int
}

// spPiece, spTrainer and spNormalizer are messages of sentencepiece_model.proto.
type spPiece struct {
	text  string
	score float32
	kind  uint64
}

type spTrainer struct {
	model        uint64
	suffix       bool // white space belongs to the word before it
	byteFallback bool
	padPiece     string
}

type spNormalizer struct {
	charsMap     []byte
	dummyPrefix  bool // a text begins with a space
	removeSpaces bool // those at its ends, and all but one in a row
	escapeSpaces bool
}

// Types of pieces and of models.
const (
	spNormal, spUnknown, spControl, spUser, spUnused, spByte = 1, 2, 3, 4, 5, 6
	spUnigram, spBPE, spWord, spChar                         = 1, 2, 3, 4
)

// piecesTag is the first byte of a model: its field 1, which is a message.
const piecesTag = 1<<3 | byte(protowire.BytesType)

const spSpace = "\u2581" // stands for a space

// fields calls each for the fields of a message: numbers of type varint and fixed32 are in number, all else in data.
func fields(message []byte, each func(field protowire.Number, number uint64, data []byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var number uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(message)
			number = uint64(bits)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := each(field, number, data); err != nil {
			return err
		}
	}
	return nil
}

// read takes a model's messages apart.
func (m *sentencePiece) read() error {
	m.trainer = spTrainer{model: spUnigram, padPiece: "<pad>"}
	m.rules = spNormalizer{dummyPrefix: true, removeSpaces: true, escapeSpaces: true}
	return fields(m.model, func(field protowire.Number, _ uint64, data []byte) error {
		switch field {
		case 1:
			p := spPiece{kind: spNormal}
			err := fields(data, p.read)
			m.pieces = append(m.pieces, p)
			return err
		case 2:
			return fields(data, m.trainer.read)
		case 3:
			return fields(data, m.rules.read)
		}
		return nil
	})
}

func (p *spPiece) read(field protowire.Number, number uint64, data []byte) error {
	switch field {
	case 1:
		p.text = string(data)
	case 2:
		p.score = math.Float32frombits(uint32(number))
	case 3:
		p.kind = number
	}
	return nil
}

func (t *spTrainer) read(field protowire.Number, number uint64, data []byte) error {
	switch field {
	case 3:
		t.model = number
	case 24:
		t.suffix = number != 0
	case 35:
		t.byteFallback = number != 0
	case 48:
		t.padPiece = string(data)
	}
	return nil
}

func (n *spNormalizer) read(field protowire.Number, number uint64, data []byte) error {
	switch field {
	case 2:
		n.charsMap = data
	case 3:
		n.dummyPrefix = number != 0
	case 4:
		n.removeSpaces = number != 0
	case 5:
		n.escapeSpaces = number != 0
	}
	return nil
}

// parseSentencePiece reads a model, or says what in it is not supported.
func parseSentencePiece(model []byte) (Tokenizer, error) {
	m := &sentencePiece{model: model, ids: vocabulary{}, user: newTrie(), unknown: -1, pad: -1}
	if err := m.read(); err != nil {
		return nil, fmt.Errorf("it is no SentencePiece model: %w; train or download it again", err)
	}
	switch m.trainer.model {
	case spBPE, spChar, spUnigram:
	case spWord:
		return nil, errors.New("a SentencePiece model of words is not supported: train one with --model_type=unigram or bpe")
	default:
		return nil, fmt.Errorf("the type %d of the SentencePiece model is not known", m.trainer.model)
	}
	if len(m.pieces) == 0 || len(m.pieces) >= maxSize {
		return nil, fmt.Errorf("it has %d pieces, so it is no SentencePiece model; train or download it again", len(m.pieces))
	}
	if err := m.index(); err != nil {
		return nil, err
	}
	if len(m.rules.charsMap) > 0 {
		table, err := parseCharsMap(m.rules.charsMap)
		if err != nil {
			return nil, fmt.Errorf("the SentencePiece model: %w", err)
		}
		m.table = table
	}
	if m.trainer.model == spUnigram {
		m.unigram = m.newUnigram()
	}
	m.size = len(m.pieces)
	if m.pad < 0 {
		m.pad = int32(m.size)
		m.size++
	}
	return m, nil
}

// index makes the tables of the pieces.
func (m *sentencePiece) index() error {
	names := vocabulary{}
	for i, p := range m.pieces {
		if err := p.check(); err != nil {
			return fmt.Errorf("piece %d of the SentencePiece model, %s, %w", i, quoted(p.text), err)
		}
		if first, twice := names[p.text]; twice {
			return fmt.Errorf("piece %d of the SentencePiece model, %s, is piece %d, too", i, quoted(p.text), first)
		}
		names[p.text] = int32(i)
		if err := m.add(p, int32(i)); err != nil {
			return err
		}
	}
	if m.unknown < 0 {
		return errors.New("the SentencePiece model has no piece for unknown characters; train or download it again")
	}
	if !m.trainer.byteFallback {
		return nil
	}
	m.bytes = names.bytes()
	for b, id := range m.bytes {
		if id < 0 || m.pieces[id].kind != spByte {
			return fmt.Errorf("the SentencePiece model falls back to bytes but has no piece for byte 0x%02X", b)
		}
	}
	return nil
}

// add puts a piece into the tables.
func (m *sentencePiece) add(p spPiece, id int32) error {
	switch p.kind {
	case spNormal:
		m.ids[p.text] = id
	case spUser:
		m.ids[p.text] = id
		m.user.add(p.text, id)
	case spUnknown:
		if m.unknown >= 0 {
			return errors.New("the SentencePiece model has two pieces for unknown characters")
		}
		m.unknown = id
	case spControl:
		if p.text == m.trainer.padPiece {
			m.pad = id
		}
	case spUnused:
		if m.trainer.model != spUnigram {
			return fmt.Errorf("piece %d of the SentencePiece model, %s, is unused, which is not supported outside "+
				"unigram models", id, quoted(p.text))
		}
	}
	return nil
}

// check says what is wrong with a piece.
func (p *spPiece) check() error {
	switch score := float64(p.score); {
	case p.text == "" || strings.Contains(p.text, "\x00") || !utf8.ValidString(p.text):
		return errors.New("is empty, has a zero byte or is not UTF-8")
	case math.IsNaN(score) || math.IsInf(score, 0):
		return fmt.Errorf("has the score %g", score)
	case p.kind < spNormal || p.kind > spByte:
		return fmt.Errorf("has the type %d, which is not known", p.kind)
	}
	return nil
}

func (m *sentencePiece) newUnigram() *unigram {
	u := &unigram{tokens: newTrie(), unknown: m.unknown, single: true, longest: utf8.UTFMax}
	u.score, u.always = make([]float64, len(m.pieces)), make([]bool, len(m.pieces))
	worst := math.MaxFloat32
	for i, p := range m.pieces {
		u.score[i], u.always[i] = float64(p.score), p.kind == spUser
		u.longest = max(u.longest, len(p.text))
		if p.kind == spNormal {
			worst = min(worst, u.score[i])
		}
		if _, ok := m.ids[p.text]; ok {
			u.tokens.add(p.text, int32(i))
		}
	}
	u.unknownScore = u.rounded(worst - unknownPenalty)
	return u
}

// Encode gives what Python's SentencePieceProcessor.encode(text) does: no tokens for the begin and the end of a text.
func (m *sentencePiece) Encode(text string) ([]int32, error) {
	if err := checkUTF8(text); err != nil {
		return nil, err
	}
	ids := make([]int32, 0, len(text)/2)
	wasUnknown := false
	for _, p := range m.parts(m.normalized(text)) {
		unknown := p.id == m.unknown
		switch {
		case unknown && m.trainer.byteFallback:
			for i := range len(p.text) {
				ids = append(ids, m.bytes[p.text[i]])
			}
		case unknown && wasUnknown: // neighbouring unknowns are one
		default:
			ids = append(ids, p.id)
		}
		wasUnknown = unknown
	}
	return ids, nil
}

// parts are the pieces of a normalised text.
func (m *sentencePiece) parts(text string) []part {
	if m.unigram != nil {
		return m.unigram.parts(text)
	}
	var symbols []symbol
	for at := 0; at < len(text); {
		length, _ := m.user.longest(text[at:])
		fixed := length > 0
		if !fixed {
			_, length = utf8.DecodeRuneInString(text[at:])
		}
		symbols = append(symbols, symbol{start: at, end: at + length, fixed: fixed})
		at += length
	}
	if m.trainer.model == spBPE {
		symbols = mergeAll(symbols, func(left, right *symbol) (float64, int32, bool) {
			id, ok := m.ids[text[left.start:right.end]]
			if !ok {
				return 0, 0, false
			}
			return -float64(m.pieces[id].score), id, true
		})
	}
	parts := make([]part, len(symbols))
	for i, s := range symbols {
		word := text[s.start:s.end]
		id, ok := m.ids[word]
		if !ok {
			id = m.unknown
		}
		parts[i] = part{word, id}
	}
	return parts
}

// normalized is the text with characters replaced, spaces removed and written as spSpace (normalizer.cc).
func (m *sentencePiece) normalized(text string) string {
	if text == "" {
		return ""
	}
	space := " "
	if m.rules.escapeSpaces {
		space = spSpace
	}
	var b strings.Builder
	wasSpace := m.rules.removeSpaces
	for text != "" {
		read, written := m.character(text)
		text = text[read:]
		if wasSpace {
			written = strings.TrimLeft(written, " ")
		}
		if written != "" {
			wasSpace = m.rules.removeSpaces && strings.HasSuffix(written, " ")
			b.WriteString(strings.ReplaceAll(written, " ", space))
		}
	}
	out := b.String()
	if m.rules.removeSpaces {
		for strings.HasSuffix(out, space) {
			out = strings.TrimSuffix(out, space)
		}
		if out == "" {
			return ""
		}
	}
	switch {
	case !m.rules.dummyPrefix:
		return out
	case m.trainer.suffix:
		return out + space
	}
	return space + out
}

// character is how many bytes of text the next step of normalisation reads, and what it makes of them.
func (m *sentencePiece) character(text string) (read int, written string) {
	if length, _ := m.user.longest(text); length > 0 {
		return length, text[:length]
	}
	if m.table != nil {
		if length, replacement := m.table.find(text, true); length > 0 {
			return length, replacement
		}
	}
	_, size := utf8.DecodeRuneInString(text)
	return size, text[:size]
}

func (m *sentencePiece) Size() int { return m.size }

func (m *sentencePiece) Pad() int32 { return m.pad }

func (m *sentencePiece) Spec() Spec {
	return Spec{Kind: KindSentencePiece, Data: base64.StdEncoding.EncodeToString(m.model)}
}
