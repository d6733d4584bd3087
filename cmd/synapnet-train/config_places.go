package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/internal/registry"
)

// What a configuration file may take. Within these bounds the TOML library is quick; beyond them its work and
// memory grow with the square of the text: a key of 20,000 dots took it a minute and 5 GB. The files under
// configs/ have 5 kB, three names in a key at most, and keys of 30 letters.
const (
	maxConfigBytes = 64 << 10
	maxKeyNames    = 16  // of a dotted key: a.b.c has three
	maxKeyBytes    = 256 // of a dotted key with its dots
	maxBrackets    = 16  // lists and inline tables within each other
)

// place is where a configuration sets a key, and the places below it.
type place struct {
	line  int
	keys  map[string]*place // of a table
	items []*place          // of a list; of an array of tables
}

// of is the place of a key in this table; its own line if there is none.
func (p *place) of(key string) *place {
	if found := p.keys[key]; found != nil {
		return found
	}
	return &place{line: p.line}
}

// find is the line of the key that a message begins with, as `warmup.lr` or `quantisation: group_size`, and what its
// name lacks of its table's. 0: this table, and those in it, have no such key.
func (p *place) find(message string) (line int, table string) {
	names := strings.FieldsFunc(message, func(r rune) bool { return !strings.ContainsRune(registry.Word, r) })
	for i, name := range names {
		for _, t := range slices.Sorted(maps.Keys(p.keys)) {
			if i == 0 && p.keys[name] == nil && p.keys[t].keys[name] != nil {
				p, table = p.keys[t], t+"."
			}
		}
		if p.keys[name] == nil {
			break
		}
		p = p.keys[name]
		line = p.line
	}
	return line, table
}

// item is the place of an element of this list.
func (p *place) item(i int) *place {
	if i < len(p.items) {
		return p.items[i]
	}
	return &place{line: p.line}
}

// open is the place of a key in this table, made if this is its first mention.
func (p *place) open(key string, line int) *place {
	if p.keys == nil {
		p.keys = map[string]*place{}
	}
	if p.keys[key] == nil {
		p.keys[key] = &place{line: line}
	}
	return p.keys[key]
}

// last is the table that a header's further names go into: of an array of tables the last so far.
func (p *place) last() *place {
	if len(p.items) > 0 {
		return p.items[len(p.items)-1]
	}
	return p
}

// placer reads the keys of a TOML text with their lines, which the TOML library keeps to itself, before that
// library sees the text. It reads right what is TOML, and stops where the text is not: there the library will
// report the mistake, and it reads no further either.
type placer struct {
	text  string
	at    int
	line  int
	depth int
	stop  bool  // not TOML from here on
	err   error // beyond one of the bounds
}

// placesOf finds the keys of a TOML text. The error says, without the line, which bound the text is beyond.
func placesOf(text string) (root *place, line int, err error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} { // as the TOML library does
		if strings.HasPrefix(text, mark) {
			text = text[len(mark):]
			break
		}
	}
	p := &placer{text: text, line: 1}
	root = &place{line: 1}
	table := root
	for p.blank(true); p.at < len(p.text) && !p.stop; p.blank(true) {
		if p.peek() == '[' {
			table = p.header(root)
		} else {
			p.pair(table)
		}
	}
	return root, p.line, p.err
}

// fail ends the reading at a bound.
func (p *placer) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.stop = true
}

// peek is the next byte, 0 at the end.
func (p *placer) peek() byte {
	if p.at < len(p.text) && !p.stop {
		return p.text[p.at]
	}
	return 0
}

// accept passes over c; if something else stands there, the text is not TOML.
func (p *placer) accept(c byte) {
	if p.peek() != c {
		p.stop = true
		return
	}
	p.at++
}

// blank passes over spaces, and with lines over line ends and comments as well.
func (p *placer) blank(lines bool) {
	for {
		switch c := p.peek(); {
		case c == ' ' || c == '\t':
		case lines && c == '\n':
			p.line++
		case lines && c == '\r':
		case lines && c == '#':
			if end := strings.IndexByte(p.text[p.at:], '\n'); end >= 0 {
				p.at += end
			} else {
				p.at = len(p.text)
			}
			continue
		default:
			return
		}
		p.at++
	}
}

// header reads [a.b] or [[a.b]] and returns the table that it begins.
func (p *placer) header(root *place) *place {
	p.accept('[')
	array := p.peek() == '['
	if array {
		p.accept('[')
	}
	line := p.line
	table := root
	names := p.key()
	for i, name := range names {
		table = table.open(name, line)
		if array && i == len(names)-1 {
			table.items = append(table.items, &place{line: line})
		}
		table = table.last()
	}
	p.accept(']')
	if array {
		p.accept(']')
	}
	return table
}

// pair reads key = value into a table.
func (p *placer) pair(table *place) {
	line := p.line
	for _, name := range p.key() {
		table = table.open(name, line)
	}
	p.blank(false)
	p.accept('=')
	p.blank(false)
	p.value(table)
}

// key reads a dotted key.
func (p *placer) key() []string {
	var names []string
	begin := p.at
	for !p.stop {
		p.blank(false)
		switch c := p.peek(); c {
		case '"', '\'':
			names = append(names, p.quoted(c))
		default:
			from := p.at
			for isBareKey(p.peek()) {
				p.at++
			}
			if p.at == from {
				p.stop = true
				return names
			}
			names = append(names, p.text[from:p.at])
		}
		switch {
		case p.at-begin > maxKeyBytes:
			p.fail("a key of %d letters: at most %d; shorten it", p.at-begin, maxKeyBytes)
		case len(names) > maxKeyNames:
			p.fail("a key of more than %d names with dots between them; leave some out", maxKeyNames)
		}
		p.blank(false)
		if p.peek() != '.' {
			return names
		}
		p.at++
	}
	return names
}

func isBareKey(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// value reads a value at its place.
func (p *placer) value(at *place) {
	switch c := p.peek(); c {
	case '"', '\'':
		if three := strings.Repeat(string(c), 3); strings.HasPrefix(p.text[p.at:], three) {
			p.multiline(c, three)
			return
		}
		p.quoted(c)
	case '[', '{':
		if p.depth++; p.depth > maxBrackets {
			p.fail("more than %d brackets within each other; leave some out", maxBrackets)
			return
		}
		p.at++
		p.inside(at, c == '{')
		p.depth--
	default:
		for p.at < len(p.text) && !strings.ContainsRune(",]}#\r\n", rune(p.text[p.at])) {
			p.at++
		}
	}
}

// inside reads a list or an inline table from behind its bracket to its end.
func (p *placer) inside(at *place, table bool) {
	end := byte(']')
	if table {
		end = '}'
	}
	for p.blank(true); p.peek() != end && !p.stop; p.blank(true) {
		if table {
			p.pair(at)
		} else {
			item := &place{line: p.line}
			at.items = append(at.items, item)
			p.value(item)
		}
		p.blank(true)
		if p.peek() != end {
			p.accept(',')
		}
	}
	p.accept(end)
}

// quoted reads a string in quotes of one line and returns what it means.
func (p *placer) quoted(quote byte) string {
	p.accept(quote)
	var text strings.Builder
	for {
		switch c := p.peek(); {
		case c == quote && !p.stop:
			p.at++
			return text.String()
		case c == 0 || c == '\n':
			p.stop = true
			return text.String()
		case c == '\\' && quote == '"':
			p.escape(&text)
		default:
			text.WriteByte(c)
			p.at++
		}
	}
}

// escape reads what follows a backslash.
func (p *placer) escape(text *strings.Builder) {
	p.at++
	c := p.peek()
	p.at++
	if i := strings.IndexByte(`btnfre"\`, c); i >= 0 && c != 0 {
		text.WriteByte("\b\t\n\f\r\x1b\"\\"[i])
		return
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 || p.at+digits > len(p.text) {
		p.stop = true
		return
	}
	code, err := strconv.ParseUint(p.text[p.at:p.at+digits], 16, 31)
	if err != nil {
		p.stop = true
		return
	}
	text.WriteRune(rune(code))
	p.at += digits
}

// multiline passes over a string in three quotes. It ends with the last three of up to five quotes in a row.
func (p *placer) multiline(quote byte, three string) {
	for p.at += len(three); ; p.at++ {
		switch c := p.peek(); {
		case c == 0:
			p.stop = true
			return
		case c == '\n':
			p.line++
		case c == '\\' && quote == '"':
			if p.at++; p.peek() == '\n' {
				p.line++
			}
		case c == quote && strings.HasPrefix(p.text[p.at:], three) && !strings.HasPrefix(p.text[p.at:], three+string(quote)):
			p.at += len(three)
			return
		}
	}
}
