package experiments

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

// ProbeCommand is the command line word with which the program runs itself again for one measurement: it then calls RunProbe
// with its standard input and output.
const ProbeCommand = "probe"

// inProcess is what a process of its own measures: one of these.
type inProcess struct {
	Pass  *probe     `json:"pass,omitempty"`  // a probeResult
	Bench *BenchCase `json:"bench,omitempty"` // a BenchResult, or a Growth
}

// start has a new process measure and waits for it. The process ends when ctx does, and with this one.
func (m inProcess) start(ctx context.Context, threads int, result any) error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("this program cannot be found to run it again: %w", err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, path, ProbeCommand)
	command.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", threads), "OPENBLAS_NUM_THREADS=1", "VECLIB_MAXIMUM_THREADS=1")
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

// RunProbe is the other side of a measurement in a process of its own: it reads what to measure from r, in JSON, and writes
// what it measured to w. It stops when ctx ends, and when r does, for then the process that asked is gone.
func RunProbe(ctx context.Context, r io.Reader, w io.Writer) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var m inProcess
	err := d.Decode(&m)
	if err == nil && (m.Pass == nil) == (m.Bench == nil) {
		err = errors.New("not one measurement")
	}
	if err != nil {
		return fmt.Errorf("%s: what to measure cannot be read from the standard input (%w): this command is for the program's own use, see 'experiments' and 'bench'", ProbeCommand, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	var measured any
	switch {
	case m.Pass != nil:
		measured, err = m.Pass.run(ctx)
	case m.Bench.Name == GrowthBench:
		measured, err = MeasureGrowth(ctx, m.Bench.Context, m.Bench.Batch)
	default:
		measured, err = m.Bench.Run(ctx)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(measured)
}
