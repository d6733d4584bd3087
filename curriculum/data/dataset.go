package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
)

// Long is the setting that says what becomes of samples that are longer than the context.
type Long string

// The values of Long.
const (
	Refuse    Long = "refuse" // as ""
	CutLeft   Long = "left"   // the first tokens are left out
	CutRight  Long = "right"  // the last tokens are left out
	CutMiddle Long = "middle" // the first half of the context's tokens stays, and the last
)

// Longs lists the values of Long.
func Longs() []Long { return []Long{Refuse, CutLeft, CutRight, CutMiddle} }

// Check refuses a value that there is none of.
func (l Long) Check() error {
	if l == "" || slices.Contains(Longs(), l) {
		return nil
	}
	names := strings.ReplaceAll(strings.Trim(fmt.Sprint(Longs()), "[]"), " ", ", ")
	return fmt.Errorf("long_samples is %q: it must be one of %s", string(l), names)
}

// Dataset is samples of one length, read from the store as they are asked for. It may be read by several goroutines at
// once.
type Dataset struct {
	store  *store
	side   *side
	length int
	pad    int32
	long   Long
	task   string
}

var _ train.Dataset[tasks.Sample] = (*Dataset)(nil)

// newDataset fits the samples of a side to a length.
func (s *Set) newDataset(of *side, length int) (*Dataset, error) {
	if length < 1 {
		return nil, fmt.Errorf("a context of %d tokens: it must be at least 1", length)
	}
	d := &Dataset{s.store, of, length, s.pad, s.options.Long, s.options.Task}
	if n := d.Cut(); n > 0 && (d.long == Refuse || d.long == "") {
		return nil, fmt.Errorf("%d of %d samples have more than the %d tokens of the context, the longest %d (%s): use a "+
			"longer context, or set long_samples to left, right or middle to cut there", n, of.Samples, length, of.Longest,
			of.LongestAt)
	}
	return d, nil
}

// Len is the number of samples.
func (d *Dataset) Len() int { return int(d.side.Samples) }

// Cut is how many samples are longer than the context, and cut.
func (d *Dataset) Cut() int64 { return d.side.longer(d.length) }

// Sample reads sample i: ids [T], filled with the padding token on the left, since the model's head reads the last
// token, or cut.
func (d *Dataset) Sample(i int) (tasks.Sample, error) {
	ids, label, err := d.store.sample(d.side, i)
	if err != nil {
		return tasks.Sample{}, err
	}
	if ids, err = d.long.Fit(ids, d.length, d.pad); err != nil {
		return tasks.Sample{}, err
	}
	return tasks.Sample{IDs: ids, Label: label, Task: d.task}, nil
}

// Fit gives ids the given length: filled with pad on the left, or cut, in the same memory. It is an error if they are
// longer and not to be cut.
func (l Long) Fit(ids []int32, length int, pad int32) ([]int32, error) {
	over := len(ids) - length
	switch {
	case over < 0:
		filled := make([]int32, length)
		for k := range -over {
			filled[k] = pad
		}
		copy(filled[-over:], ids)
		ids = filled
	case over == 0:
	case l == CutLeft:
		ids = ids[over:]
	case l == CutRight:
		ids = ids[:length]
	case l == CutMiddle:
		front := (length + 1) / 2
		ids = append(ids[:front], ids[front+over:]...)
	default:
		return nil, errors.New("it is longer than the context")
	}
	return ids[:length:length], nil
}
