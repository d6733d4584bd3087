package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// template is ids around those of a text, which stand where wholeText is.
type template []int32

const wholeText = -1

// processorConfig is a post-processor of a tokenizer.json: the fields of all kinds, those that change no ids of a
// single text, too.
type processorConfig struct {
	Type          string            `json:"type"`
	Processors    []json.RawMessage `json:"processors"`
	Single        []templatePart    `json:"single"`
	Pair          json.RawMessage   `json:"pair"`
	SpecialTokens map[string]struct {
		ID     string   `json:"id"`
		IDs    []int32  `json:"ids"`
		Tokens []string `json:"tokens"`
	} `json:"special_tokens"`
	Sep            tokenAndID `json:"sep"`
	Cls            tokenAndID `json:"cls"`
	TrimOffsets    bool       `json:"trim_offsets"`
	AddPrefixSpace bool       `json:"add_prefix_space"`
	UseRegex       bool       `json:"use_regex"`
}

// newTemplates is what a post-processor puts around the ids of a single text.
func newTemplates(raw json.RawMessage, size int) ([]template, error) {
	kind, err := kindOf("post_processor", raw)
	if err != nil || kind == "" {
		return nil, err
	}
	var c processorConfig
	if err := decode("post_processor "+kind, raw, &c); err != nil {
		return nil, err
	}
	var t template
	switch kind {
	case "ByteLevel": // it changes offsets alone
		return nil, nil
	case "BertProcessing", "RobertaProcessing":
		t = template{c.Cls.id, wholeText, c.Sep.id}
	case "TemplateProcessing":
		for _, p := range c.Single {
			switch {
			case p.Sequence != nil && p.Sequence.ID == "A":
				t = append(t, wholeText)
			case p.SpecialToken != nil && len(c.SpecialTokens[p.SpecialToken.ID].IDs) > 0:
				t = append(t, c.SpecialTokens[p.SpecialToken.ID].IDs...)
			default:
				return nil, errors.New("post_processor TemplateProcessing: a part of single is neither the text nor a " +
					"known token")
			}
		}
	case "Sequence":
		var all []template
		for _, r := range c.Processors {
			more, err := newTemplates(r, size)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	default:
		return nil, fmt.Errorf("the post_processor %s is not supported; supported are TemplateProcessing, "+
			"BertProcessing, RobertaProcessing, ByteLevel and sequences of them", quoted(kind))
	}
	if err := t.check(size); err != nil {
		return nil, fmt.Errorf("post_processor %s: %w", kind, err)
	}
	return []template{t}, nil
}

// check says what is wrong with a template for a vocabulary of some size.
func (t template) check(size int) error {
	texts := 0
	for _, id := range t {
		switch {
		case id == wholeText:
			texts++
		case id < 0 || id >= int32(size):
			return fmt.Errorf("the id %d is not in the vocabulary of %d ids", id, size)
		}
	}
	if texts != 1 { // an id of -1 is counted, too
		return fmt.Errorf("the text is in it %d times, not once", texts)
	}
	return nil
}

// tokenAndID is ["[SEP]", 102].
type tokenAndID struct{ id int32 }

// UnmarshalJSON takes the id.
func (t *tokenAndID) UnmarshalJSON(text []byte) error {
	var token string
	return json.Unmarshal(text, &[2]any{&token, &t.id})
}

// templatePart is a part of a TemplateProcessing: the text or a token.
type templatePart struct {
	Sequence     *templateID `json:"Sequence"`
	SpecialToken *templateID `json:"SpecialToken"`
}

type templateID struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}
