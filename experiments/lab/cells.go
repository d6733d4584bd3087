package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// Cells are the finished parts of an experiment by name. Each is saved as soon as it is done, so that a run that was
// stopped continues with the next one. T is kept as JSON in the details of the result.
type Cells[T any] struct {
	Done map[string]T `json:"cells"`

	job     *Job
	total   int
	fresh   bool                     // a cell was computed
	Outcome func() (*Outcome, error) `json:"-"` // of the cells that are done
}

// NewCells takes over what an earlier call finished. total is the number of cells in all.
func NewCells[T any](j *Job, total int) (*Cells[T], error) {
	c := &Cells[T]{job: j, total: total}
	if _, err := j.Before(c); err != nil {
		return nil, fmt.Errorf("what an earlier run saved cannot be read: %w", err)
	}
	if c.Done == nil {
		c.Done = map[string]T{}
	}
	j.Progress(len(c.Done), total)
	return c, nil
}

// Do computes a cell unless it is done, and saves it.
func (c *Cells[T]) Do(ctx context.Context, name string, compute func() (T, error)) (T, error) {
	if done, ok := c.Done[name]; ok {
		return done, nil
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	cell, err := compute()
	if err != nil {
		return none, err
	}
	return cell, c.Put(name, cell)
}

// Put adds a finished cell and saves all.
func (c *Cells[T]) Put(name string, cell T) error {
	c.Done[name], c.fresh = cell, true
	o, err := c.Finish()
	if err != nil {
		return err
	}
	c.job.Progress(len(c.Done), c.total)
	return c.job.Save(o)
}

// Finish is the outcome of the cells that are done, with them as its details. If all were done before, where they were
// and what they cost is what it was.
func (c *Cells[T]) Finish() (*Outcome, error) {
	o, err := c.Outcome()
	if err != nil {
		return nil, err
	}
	o.Details = c
	if before := c.job.before; !c.fresh && before != nil && o.Environment == nil && o.Cost == nil {
		o.Environment, o.Cost = &before.Environment, &before.Cost
	}
	return o, nil
}

// Kept are the settings and the cells of a result.
func Kept[S, T any](r *result.Result) (settings S, cells map[string]T, err error) {
	var c Cells[T]
	err = errors.Join(json.Unmarshal(r.Config, &settings), json.Unmarshal(r.Details, &c))
	return settings, c.Done, err
}
