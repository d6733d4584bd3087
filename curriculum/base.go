package curriculum

import (
	"cmp"
	"fmt"

	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Base is a model that a run trains, with its quantisers if it has any (qat.Base).
type Base struct {
	Model *layers.Model
	// Quantisers are what the model is trained through; nil: none.
	Quantisers *Quantisers
}

// Quantisers are what is trained of a model with quantisers, in place of its parameters, and how it is saved.
type Quantisers struct {
	Steps  []*graph.Param // log step sizes, which have no weight decay
	Others []*graph.Param // all else that is trained
	File   func() (*safetensors.File, error)
}

// ReadBase makes the model of a file: FloatBase, or qat.Base, which knows quantisers.
type ReadBase func(f *safetensors.File) (Base, error)

// FloatBase reads a model in floating point.
func FloatBase(f *safetensors.File) (Base, error) {
	m, err := layers.FromFile(f)
	if err == nil && m.Packed() {
		err = layers.ErrPacked
	}
	return Base{Model: m}, err
}

// file is the model as it is saved.
func (b Base) file() (*safetensors.File, error) {
	if b.Quantisers != nil {
		return b.Quantisers.File()
	}
	return b.Model.File()
}

// extra is what goes with the model, if there is one.
func (b Base) extra() map[string]string {
	if b.Model == nil {
		return nil
	}
	return b.Model.Extra
}

// readBase reads the model that the run begins from, with the positions that the run adds, and gives the configuration
// with the hash of its file.
func (c Config) readBase(read ReadBase) (Config, Base, error) {
	sum, err := files.HashFile(c.InitFrom)
	if err != nil {
		return c, Base{}, bounds.Wrong("init_from", c.InitFrom, "%v", files.Cause(err))
	}
	if c.InitSHA256 != "" && c.InitSHA256 != sum {
		return c, Base{}, bounds.Wrong("init_sha256", c.InitSHA256, "that of %s is %s: name the file that is meant, or "+
			"leave the hash out", c.InitFrom, sum)
	}
	c.InitSHA256 = sum
	f, err := safetensors.Read(c.InitFrom)
	if err != nil {
		return c, Base{}, err
	}
	b, err := read(f)
	if err != nil {
		return c, Base{}, fmt.Errorf("%s: %w", c.InitFrom, err)
	}
	if err := c.CheckBase(b.Model.Config, b.Model.Extra); err != nil || c.ExtendMaxLen == 0 {
		return c, b, err
	}
	if b.Quantisers != nil {
		return c, b, bounds.Wrong("extend_max_len", c.ExtendMaxLen, "the model of `init_from` has quantisers: extend the "+
			"one in floating point that it was made of")
	}
	b.Model, err = b.Model.Extended(c.ExtendMaxLen, cmp.Or(c.ExtendBy, layers.Interpolate), c.Seed)
	return c, b, err
}

// CheckBase names the first setting that does not go with the model that the run begins from, of configuration m, with
// what goes with it.
func (c Config) CheckBase(m layers.Config, extra map[string]string) error {
	if c.ExtendMaxLen > 0 {
		if c.ExtendMaxLen <= m.MaxLen {
			return bounds.Wrong("extend_max_len", c.ExtendMaxLen, "the model has %d positions: it must be more, or be left out",
				m.MaxLen)
		}
		m.MaxLen = c.ExtendMaxLen
	}
	if difference := m.Difference(c.Model); difference != "" {
		mend := ""
		if c.Model.MaxLen > m.MaxLen {
			mend = "; `extend_max_len` gives it more positions"
		}
		return bounds.Wrong("init_from", c.InitFrom, "the model has %s as the settings say: leave those out, or name "+
			"another model%s", difference, mend)
	}
	_, labels := extra[LabelsName]
	switch {
	case labels && c.Data == nil:
		return bounds.Wrong("init_from", c.InitFrom, "the model learnt from data of its own, whose ids and classes the "+
			"tasks do not have: give --data, too, or name another model")
	case c.Data != nil && c.Data.Tokenizer != "":
		return c.checkTokenizer(extra)
	}
	return nil
}

// checkTokenizer refuses another tokeniser than the one that goes with the model that the run begins from.
func (c Config) checkTokenizer(extra map[string]string) error {
	own, ok := extra[TokenizerName]
	if !ok {
		return nil
	}
	if c.Data.Tokenizer != Words {
		t, err := tokenizer.Open(c.Data.Tokenizer)
		if err != nil {
			return err
		}
		spec, err := specOf(t)
		if err != nil || spec == own {
			return err
		}
	}
	return bounds.Wrong("data.tokenizer", c.Data.Tokenizer, "the model of `init_from` has a tokeniser of its own, which "+
		"is another: leave it out")
}

// checkInit names the first setting of a run that begins from a model which cannot be.
func (c Config) checkInit() error {
	switch {
	case c.Init != "" && c.InitFrom != "":
		return bounds.Wrong("init", c.Init, "the model of `init_from` has values already: leave one of the two out")
	case c.Init.Check("init") != nil:
		return c.Init.Check("init")
	case c.Init != "" && c.Init != layers.Published && c.Model.Architecture != layers.SynapNet:
		return bounds.Wrong("init", c.Init, "architecture %s has no such initial values: give %s, or leave it out",
			c.Model.Architecture, layers.Published)
	case c.InitFrom == "" && c.InitSHA256 != "":
		return bounds.Wrong("init_sha256", c.InitSHA256, "it is that of `init_from`: name that, too")
	case c.InitFrom == "" && c.ExtendMaxLen != 0:
		return bounds.Wrong("extend_max_len", c.ExtendMaxLen, "it lengthens the model of `init_from`: name that, too")
	case c.ExtendMaxLen < 0 || c.ExtendMaxLen > 1<<24:
		return bounds.Check("extend_max_len", c.ExtendMaxLen, 0, 1<<24)
	case c.ExtendMaxLen == 0 && c.ExtendBy != "":
		return bounds.Wrong("extend_by", c.ExtendBy, "it says how `extend_max_len` makes positions: give that, too")
	case c.ExtendMaxLen != 0 && c.ExtendMaxLen != c.Model.MaxLen:
		return bounds.Wrong("extend_max_len", c.ExtendMaxLen, "`model.max_len` says %d: leave that out", c.Model.MaxLen)
	case c.ExtendBy != "":
		return bounds.Known("extend_by", layers.Extensions(), c.ExtendBy)
	}
	return nil
}
