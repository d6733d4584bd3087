package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// ProbeCommand is the command line word with which the program runs itself again for one measurement: it then calls
// Serve with its standard input and output.
const ProbeCommand = "probe"

// Kinds are what a process of its own can measure, by name: each decodes its settings from JSON and measures.
type Kinds map[string]func(ctx context.Context, settings json.RawMessage) (any, error)

// Kind is a kind whose settings are of type T.
func Kind[T any](measure func(ctx context.Context, settings T) (any, error)) func(context.Context, json.RawMessage) (
	any, error) {
	return func(ctx context.Context, text json.RawMessage) (any, error) {
		var settings T
		if err := decode(bytes.NewReader(text), &settings); err != nil {
			return nil, err
		}
		return measure(ctx, settings)
	}
}

// unreadable is the error of a request that is none.
func unreadable(err error) error {
	return fmt.Errorf("%s: what to measure cannot be read from the standard input (%w): this command is for the "+
		"program's own use, see 'experiments' and 'bench'", ProbeCommand, err)
}

func decode(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return unreadable(err)
	}
	return nil
}

// InOwnProcess has a new process of this program measure something of a kind and waits for it. The process ends when
// ctx does, and with this one. What it measured is decoded into result.
func InOwnProcess(ctx context.Context, threads int, kind string, settings, result any) error {
	s, err := Open(ctx, threads, kind, settings, result)
	if err != nil {
		return err
	}
	return s.wait()
}

// lastWords is what a process said of its failure, without the program's name, else how it ended.
func lastWords(stderr string, err error) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return strings.TrimPrefix(last, "synapnet-train: ")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return exit.String() + " (out of memory?)"
	}
	return err.Error()
}

// Turns is what a Kind gives that is measured turn by turn, when a Session asks for it.
type Turns struct {
	Ready any // told before the first
	Turn  func(ctx context.Context) (time.Duration, error)
	End   func() any // what is told of all
}

// The words of a Session.
const (
	turnWord = "turn"
	endWord  = "end"
)

// Serve is the other side of InOwnProcess and of Session: it reads what to measure from r, in JSON, and writes what it
// measured to w. It stops when ctx ends, and when r does, for then the process that asked is gone.
func Serve(ctx context.Context, kinds Kinds, r io.Reader, w io.Writer) error {
	requests := json.NewDecoder(r)
	var request map[string]json.RawMessage
	if err := requests.Decode(&request); err != nil {
		return unreadable(err)
	}
	var measure func(context.Context, json.RawMessage) (any, error)
	var settings json.RawMessage
	for kind, text := range request {
		measure, settings = kinds[kind], text
	}
	if len(request) != 1 || measure == nil {
		return unreadable(errors.New("not one measurement"))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	words := make(chan string)
	go func() {
		defer cancel()
		for {
			var word string
			if requests.Decode(&word) != nil {
				return
			}
			select {
			case words <- word:
			case <-ctx.Done():
				return
			}
		}
	}()
	measured, err := measure(ctx, settings)
	if err != nil {
		return err
	}
	answers := json.NewEncoder(w)
	if turns, ok := measured.(Turns); ok {
		return turns.serve(ctx, words, answers)
	}
	return answers.Encode(measured)
}

// serve answers the words of a session.
func (t Turns) serve(ctx context.Context, words <-chan string, answers *json.Encoder) error {
	if err := answers.Encode(t.Ready); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case word := <-words:
			switch word {
			case turnWord:
				took, err := t.Turn(ctx)
				if err != nil {
					return err
				}
				if err := answers.Encode(took.Seconds()); err != nil {
					return err
				}
			case endWord:
				return answers.Encode(t.End())
			default:
				return unreadable(fmt.Errorf("%q is no word of a session", word))
			}
		}
	}
}
