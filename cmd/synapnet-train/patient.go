package main

import (
	"context"
	"io"
)

// patient reads r in the background, once each time that it is asked, so that a wait for input can be interrupted and
// what was read is not lost: what arrives while nobody waits any more is given by the next Read. It is not for
// concurrent use.
type patient struct {
	ctx context.Context
	r   io.Reader

	under   chan struct{} // closed when the reading under way ends; nil: none is
	arrived []byte        // by the last reading, and not yet given
	end     error         // of the input
}

func newPatient(ctx context.Context, r io.Reader) *patient { return &patient{ctx: ctx, r: r} }

// Read gives at most what one Read of the input gives. When the context has ended, its error is that of a Read for
// which nothing has arrived.
func (p *patient) Read(b []byte) (int, error) {
	if len(p.arrived) == 0 && p.end == nil {
		if err := p.wait(len(b)); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.arrived)
	p.arrived = p.arrived[n:]
	if len(p.arrived) > 0 {
		return n, nil
	}
	return n, p.end
}

// wait waits for a reading of at most `most` bytes.
func (p *patient) wait(most int) error {
	if p.under == nil {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		ended := make(chan struct{})
		p.under = ended
		go func() { // arrived and end are its own until it ends
			b := make([]byte, most)
			n, err := p.r.Read(b)
			p.arrived, p.end = b[:n], err
			close(ended)
		}()
	}
	select {
	case <-p.under: // what has arrived comes before an interruption
		p.under = nil
		return nil
	default:
	}
	select {
	case <-p.under:
		p.under = nil
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}
