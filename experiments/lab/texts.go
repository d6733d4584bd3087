package lab

import (
	"fmt"
	"strings"

	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Texts are words about an experiment by profile. In a description they are one string for all profiles, or, where what
// is true of one is not of another, a table: says.full = "...", says.strong = "...".
type Texts map[Profile]string

// Of is the text of a profile; where it has none, that of Full.
func (t Texts) Of(p Profile) string {
	if text, ok := t[p]; ok {
		return text
	}
	return t[Full]
}

// UnmarshalTOML reads a string or a table (toml.Unmarshaler).
func (t *Texts) UnmarshalTOML(value any) error {
	table, ok := value.(map[string]any)
	if !ok {
		table = map[string]any{string(Full): value}
	}
	*t = Texts{}
	for profile, v := range table {
		if err := bounds.Known("profile", Profiles(), Profile(profile)); err != nil {
			return err
		}
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("a text of profile %s is %v, which is no string", profile, v)
		}
		(*t)[Profile(profile)] = text
	}
	return nil
}

// sentences are a text and what is added to it, each a sentence.
func sentences(text string, more []string) string {
	for _, s := range more {
		text = strings.TrimSuffix(text, ".") + ". " + s
	}
	return text
}
