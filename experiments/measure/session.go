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
	"time"
)

// Session is a process that measures turn by turn: what is compared in times takes turns, each in a process of its own,
// so that a machine whose speed changes is as fast for one as for the other.
type Session struct {
	ctx     context.Context
	command *exec.Cmd
	stdin   io.WriteCloser
	words   *json.Encoder
	answers *json.Decoder
	stderr  bytes.Buffer
}

// Open has a new process of this program, of so many threads, begin a measurement of a kind. What it tells before the
// first turn is decoded into ready. The process ends when ctx does, and with this one.
func Open(ctx context.Context, threads int, kind string, settings, ready any) (*Session, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program cannot be found to run it again: %w", err)
	}
	command := exec.CommandContext(ctx, path, ProbeCommand)
	command.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", threads), "OPENBLAS_NUM_THREADS=1",
		"VECLIB_MAXIMUM_THREADS=1")
	return OpenCommand(ctx, command, map[string]any{kind: settings}, ready)
}

// OpenCommand is Open of any program that speaks as Serve does, made with ctx.
func OpenCommand(ctx context.Context, command *exec.Cmd, request, ready any) (*Session, error) {
	s := &Session{ctx: ctx, command: command}
	command.Stderr = &s.stderr
	// Its standard input stays open for as long as this process lives: its end is the sign to stop.
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s cannot be run: %w", command.Path, err)
	}
	s.stdin, s.words, s.answers = stdin, json.NewEncoder(stdin), json.NewDecoder(stdout)
	return s, s.ask(request, ready)
}

// ask sends a value and decodes the answer, unless that is nil. After an error the process is gone.
func (s *Session) ask(value, answer any) error {
	if answer == nil {
		answer = new(json.RawMessage)
	}
	sent := s.words.Encode(value) // a process that failed does not listen, and says why
	err := s.answers.Decode(answer)
	if err == nil && sent == nil {
		return nil
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) { // it goes on
		s.Kill()
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		return fmt.Errorf("its process does not speak as expected: %w", errors.Join(sent, err))
	}
	if err := s.wait(); err != nil {
		return err
	}
	return errors.New("its process ended without an answer")
}

// wait waits for the end of a process that is not asked any more.
func (s *Session) wait() error {
	err := s.command.Wait()
	_ = s.stdin.Close() // closed already
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case err != nil:
		return errors.New(lastWords(s.stderr.String(), err))
	}
	return nil
}

// Turn has the process do one pass more and gives the time that it took, in seconds.
func (s *Session) Turn() (seconds float64, err error) {
	err = s.ask(turnWord, &seconds)
	return seconds, err
}

// End ends the process. What it tells of all turns is decoded into result.
func (s *Session) End(result any) error {
	if err := s.ask(endWord, result); err != nil {
		return err
	}
	return s.wait()
}

// Kill ends the process as it is; of one that has ended nothing is left to do.
func (s *Session) Kill() {
	_ = s.stdin.Close()
	_ = s.command.Process.Kill() // it may have ended
	_ = s.command.Wait()         // as it was told
}

// TakeTurns has every session do a pass in each of so many rounds, in an order that moves on by one each round, and
// gives the seconds of each session by round. Before each turn it rests so many seconds: threads that wait for more
// work in a loop, as those of OpenMP do, are asleep then.
func TakeTurns(ctx context.Context, sessions []*Session, rounds int, rest float64) ([][]float64, error) {
	seconds := make([][]float64, len(sessions))
	for round := range rounds {
		for i := range sessions {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Duration(rest * float64(time.Second))):
			}
			at := (i + round) % len(sessions)
			took, err := sessions[at].Turn()
			if err != nil {
				return nil, err
			}
			seconds[at] = append(seconds[at], took)
		}
	}
	return seconds, nil
}
