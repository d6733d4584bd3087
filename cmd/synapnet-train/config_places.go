package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/synapnet/synapnet-train/internal/registry"
)

// What a configuration file may take. Within these bounds the TOML library is quick; beyond them its work and
// memory grow with the square of the text: a key of 20,000 dots took it a minute and 5 GB. The files under
// configs/ have 5 kB, three names in a key at most, and keys of 30 letters.
const (
	maxConfigBytes = 64 << 10
	maxKeyNames    = 16      // of a dotted key: a.b.c has three
	maxKeyBytes    = 256     // of a dotted key with its dots
	maxBrackets    = 16      // lists and inline tables within each other
	maxDecoded     = 1 << 10 // brackets and dots in all of a text that is not TOML, to be decoded for its message
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

// find is the line of the key that a message begins with, e.g. `quantisation.group_size`; 0: there is none.
func (p *place) find(message string) (line int) {
	other := func(r rune) bool { return !strings.ContainsRune(registry.Word, r) }
	for name := range strings.FieldsFuncSeq(message, other) {
		if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(p.items) { // a table of a list, from 1
			p = p.items[n-1]
		} else if p = p.keys[name]; p == nil {
			break
		}
		line = p.line
	}
	return line
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

// placer finds the lines of the keys of a TOML text, which the library that decodes keeps to itself.
type placer struct {
	unstable.Parser
	offset, line int // of what was read last
}

// placesOf finds the keys of a TOML text. The error says, without the line, which bound the text is beyond. A text that
// is not TOML has no error here if it is small enough to decode, which tells the mistake in better words.
func placesOf(text string) (root *place, line int, err error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} { // as the library that decodes does
		text = strings.TrimPrefix(text, mark)
	}
	p := &placer{line: 1}
	p.Reset([]byte(text))
	root = &place{line: 1}
	for table := root; err == nil && p.NextExpression(); {
		e := p.Expression()
		if e.Kind == unstable.KeyValue {
			err = p.pair(e, table, 0)
			continue
		}
		if table, err = p.key(e, root); e.Kind == unstable.ArrayTable {
			table.items = append(table.items, &place{line: p.line})
		}
		table = table.last()
	}
	bad, refused := errors.AsType[*unstable.ParserError](p.Error())
	if refused && strings.Count(text, "[")+strings.Count(text, "{")+strings.Count(text, ".") > maxDecoded {
		return root, p.Shape(p.Range(bad.Highlight)).Start.Line, bad
	}
	return root, p.line, err
}

// lineOf is the line of a node behind all that was read. A list is where its first element is.
func (p *placer) lineOf(n *unstable.Node) int {
	for n.Kind == unstable.Array && n.Child() != nil {
		n = n.Child()
	}
	if at := int(n.Raw.Offset); at > p.offset {
		p.line += bytes.Count(p.Data()[p.offset:at], []byte{'\n'})
		p.offset = at
	}
	return p.line
}

// key opens the place of the key, dotted or not, of a header or a pair below a table.
func (p *placer) key(e *unstable.Node, table *place) (*place, error) {
	names, begin := 0, 0
	for all := e.Key(); all.Next(); names++ {
		name := all.Node()
		table = table.last().open(string(name.Data), p.lineOf(name))
		if names == 0 {
			begin = p.offset
		}
		if letters := p.offset + int(name.Raw.Length) - begin; letters > maxKeyBytes {
			return table, fmt.Errorf("a key of %d letters: at most %d; shorten it", letters, maxKeyBytes)
		}
		if names == maxKeyNames {
			return table, fmt.Errorf("a key of more than %d names with dots between them; leave some out", maxKeyNames)
		}
	}
	return table, nil
}

func isBareKey(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// pair reads key = value into a table.
func (p *placer) pair(e *unstable.Node, table *place, brackets int) error {
	at, err := p.key(e, table)
	if err != nil {
		return err
	}
	return p.value(e.Value(), at, brackets)
}

// value reads a value, within so many brackets, at its place.
func (p *placer) value(v *unstable.Node, at *place, brackets int) (err error) {
	if v.Kind != unstable.Array && v.Kind != unstable.InlineTable {
		return nil
	}
	if brackets == maxBrackets {
		return fmt.Errorf("more than %d brackets within each other; leave some out", maxBrackets)
	}
	for all := v.Children(); err == nil && all.Next(); {
		if v.Kind == unstable.InlineTable {
			err = p.pair(all.Node(), at, brackets+1)
			continue
		}
		item := &place{line: p.lineOf(all.Node())}
		at.items = append(at.items, item)
		err = p.value(all.Node(), item, brackets+1)
	}
	return err
}
