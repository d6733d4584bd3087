package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
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
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("this program cannot be found to run it again: %w", err)
	}
	text, err := json.Marshal(map[string]any{kind: settings})
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, path, ProbeCommand)
	command.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", threads), "OPENBLAS_NUM_THREADS=1",
		"VECLIB_MAXIMUM_THREADS=1")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	// Its standard input stays open for as long as this process lives: its end is the sign to stop.
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("this program cannot be run again: %w", err)
	}
	_, writeErr := stdin.Write(text)
	err = command.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return errors.New(lastWords(stderr.String(), err))
	case writeErr != nil:
		return fmt.Errorf("its process does not listen: %w", writeErr)
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		return fmt.Errorf("its process printed %q: %w", stdout.String(), err)
	}
	return nil
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

// Serve is the other side of InOwnProcess: it reads what to measure from r, in JSON, and writes what it measured to w.
// It stops when ctx ends, and when r does, for then the process that asked is gone.
func Serve(ctx context.Context, kinds Kinds, r io.Reader, w io.Writer) error {
	var request map[string]json.RawMessage
	if err := decode(r, &request); err != nil {
		return err
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
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	measured, err := measure(ctx, settings)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(measured)
}
