package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"
)

// charsMap is SentencePiece's compiled table of replacements: the number of bytes of a double-array trie (darts-clone;
// Yata et al., A Compact Static Double-Array Keeping Character Codes, 2007), the trie, in 32-bit units, and the
// replacements, each ended by a zero byte. All numbers are little-endian.
type charsMap struct {
	units        []uint32
	replacements string
}

func parseCharsMap(data []byte) (*charsMap, error) {
	if len(data) < 4 {
		return nil, errors.New("the table of replacements (precompiled_charsmap) is cut short")
	}
	size := int64(binary.LittleEndian.Uint32(data))
	data = data[4:]
	if size > int64(len(data)) || size%4 != 0 || size == 0 {
		return nil, errors.New("the table of replacements (precompiled_charsmap) is broken: its trie is longer than it")
	}
	m := &charsMap{units: make([]uint32, size/4), replacements: string(data[size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	return m, nil
}

// find goes along text through the trie and gives the first or the longest entry that text begins with: its length, and
// what replaces it; 0: there is none.
func (m *charsMap) find(text string, longest bool) (length int, replacement string) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	node := offset(m.units[0])
	for i := range len(text) {
		node ^= uint32(text[i])
		if int64(node) >= int64(len(m.units)) {
			break
		}
		unit := m.units[node]
		if unit&(1<<31|0xff) != uint32(text[i]) {
			break
		}
		node ^= offset(unit)
		if unit>>8&1 == 0 { // no entry ends here
			continue
		}
		if int64(node) >= int64(len(m.units)) {
			break
		}
		at := int64(m.units[node] & (1<<31 - 1))
		if at >= int64(len(m.replacements)) { // of a broken table
			continue
		}
		length = i + 1
		replacement, _, _ = strings.Cut(m.replacements[at:], "\x00")
		if !longest {
			break
		}
	}
	return length, replacement
}
