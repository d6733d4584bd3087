// Package metrics keeps the history of a training run in a file of its own beside the checkpoint: one JSON object a
// line, in the order of the run, each with its kind. Lines are only ever appended, so that a checkpoint need not hold
// them: it holds a [Mark], and a run that continues from it cuts the file back to there. What a killed run wrote after
// its last checkpoint is written again, in the same bytes if the run is the same. Beside it is the same history in
// TensorBoard's form, which follows the lines, in all but the times at which they came.
package metrics

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/internal/files"
)

// Name is the file's name in the folder of a run.
const Name = "metrics.jsonl"

// checkpointName is that of the checkpoint in a run's folder, whose history has the plain name.
const checkpointName = "checkpoint.safetensors"

// Beside is where the history of the run with the given checkpoint is: metrics.jsonl in the folder of a run,
// NAME.metrics.jsonl for a checkpoint NAME.safetensors in a folder of many.
func Beside(checkpoint string) string {
	dir, name := filepath.Split(checkpoint)
	if name == checkpointName {
		return filepath.Join(dir, Name)
	}
	return filepath.Join(dir, strings.TrimSuffix(name, filepath.Ext(name))+"."+Name)
}

// The kinds of lines that every training has.
const (
	StepKind       = "step"       // of the optimiser
	EvaluationKind = "evaluation" // at the end of an epoch
	// first in a history whose beginning was gone when the run was resumed: {"kind":"lost","steps":N}.
	LostKind = "lost"
	// last in the history of a run whose numbers were no longer finite: {"kind":"diverged","step":N}, the step that could
	// not be made.
	DivergedKind = "diverged"
)

// Mark is a place in a history: all lines up to it. It has the same size wherever it is.
type Mark struct {
	Bytes  int64  `json:"bytes"`
	Lines  int64  `json:"lines"`
	SHA256 string `json:"sha256"` // of the bytes up to it
}

// Changed says that a file does not hold what it held at a mark.
type Changed struct{ Path, Problem string }

// Error is one line with the mend.
func (e *Changed) Error() string {
	return fmt.Sprintf("%s is not the history that the checkpoint goes with (%s): put back the file that was written "+
		"with it, "+
		"or delete it to continue without the history so far", e.Path, e.Problem)
}

// Log is a history under way. It touches its file when it is opened, or the first line or mark asks for it, not before.
type Log struct {
	path string
	from *Mark // where it continues; nil: it begins
	file *os.File
	sum  hash.Hash
	mark Mark

	events *events
}

// New is a log that begins. A file of an earlier run in its place is replaced, a file of another kind is refused, both
// when the first line is added.
func New(path string) *Log { return &Log{path: path} }

// Continue is the log that was at a mark when its checkpoint was written. What follows the mark in the file is cut off
// when the first line is added. Errors, then: a *Changed; one that is fs.ErrNotExist without a file.
func Continue(path string, at Mark) *Log { return &Log{path: path, from: &at} }

// Add appends v, a JSON object, as a line of the given kind. The line is handed to the system before Add returns: it
// survives the end of the process. A nil log keeps nothing.
func (l *Log) Add(kind string, v any) error {
	if l == nil {
		return nil
	}
	if err := l.Open(); err != nil {
		return err
	}
	text, err := encode(kind, v)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	if _, err := l.file.Write(text); err != nil {
		return writeError(l.path, err)
	}
	l.count(text, 1)
	if err := l.events.add(text); err != nil {
		return err
	}
	return l.events.flush()
}

func (l *Log) count(text []byte, lines int64) {
	_, _ = l.sum.Write(text) // never fails
	l.mark.Bytes += int64(len(text))
	l.mark.Lines += lines
}

// encode is {"kind":KIND, then the fields of v}, and a line's end.
func encode(kind string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(text) < 3 || text[0] != '{' {
		return nil, fmt.Errorf("a line of kind %s is %s: it must be an object with a field", kind, text)
	}
	return append(append([]byte(beginning+kind+`",`), text[1:]...), '\n'), nil
}

// beginning of every line.
const beginning = `{"kind":"`

// Mark is where the log is now. What is up to it is on the disk when Mark returns.
func (l *Log) Mark() (Mark, error) {
	if err := l.Open(); err != nil {
		return Mark{}, err
	}
	if err := l.file.Sync(); err != nil {
		return Mark{}, writeError(l.path, err)
	}
	l.mark.SHA256 = hex.EncodeToString(l.sum.Sum(nil))
	return l.mark, nil
}

// Close closes the file, if there is one. A later Add opens it again.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	l.mark.SHA256 = hex.EncodeToString(l.sum.Sum(nil))
	at := l.mark
	err := l.file.Close()
	l.file, l.from = nil, &at
	if err != nil {
		err = writeError(l.path, err)
	}
	return errors.Join(err, l.events.close())
}

// Open makes the file ready to be appended to.
func (l *Log) Open() error {
	if l.file != nil {
		return nil
	}
	if err := l.check(); err != nil {
		return err
	}
	l.sum, l.mark = sha256.New(), Mark{}
	var err error
	if l.events, err = openEvents(eventsOf(l.path), l.from == nil); err != nil {
		return err
	}
	file, err := files.OpenAppending(l.path, l.from == nil)
	if err != nil {
		return errors.Join(writeError(l.path, err), l.events.close())
	}
	if err := l.position(file); err != nil {
		return errors.Join(err, file.Close(), l.events.close())
	}
	l.file = file
	return nil
}

// position brings the file and the sum to where the log begins or continues.
func (l *Log) position(file *os.File) error {
	if l.from == nil {
		return nil
	}
	if err := scan(l.path, file, *l.from, func(text []byte) error { l.count(text, 1); return nil }); err != nil {
		return err
	}
	if err := l.checkRest(file); err != nil {
		return err
	}
	if err := file.Truncate(l.mark.Bytes); err != nil {
		return writeError(l.path, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return writeError(l.path, err)
	}
	if err := scan(l.path, file, *l.from, l.events.add); err != nil { // which leaves the file at its end
		return err
	}
	return l.events.settle()
}

// checkRest refuses to cut off what no log wrote: a note of the user's. What a killed run wrote after its checkpoint
// are lines that it will write again, the last one perhaps not whole.
func (l *Log) checkRest(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return writeError(l.path, err)
	}
	rest := bufio.NewReaderSize(io.NewSectionReader(file, l.mark.Bytes, info.Size()-l.mark.Bytes), 1<<16)
	for lines := l.mark.Lines + 1; ; {
		line, err := rest.ReadSlice('\n')
		said := bytes.TrimLeft(line, "\x00\r\n\t ") // a power cut leaves zeros
		if begin := said[:min(len(said), len(beginning))]; !strings.HasPrefix(beginning, string(begin)) {
			return fmt.Errorf("%s: line %d, after those that the checkpoint goes with, is none of the run's: move it away; "+
				"the run would cut it off", l.path, lines)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // a line that is longer than any of a run is judged by its beginning
			_, err = rest.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return writeError(l.path, err)
		}
		lines++
	}
}

// check refuses what is in the log's place and is no file, or that no log wrote. Where a log continues, the sum tells
// that.
func (l *Log) check() error {
	file, err := files.Open(l.path)
	var other files.NotRegularError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &other):
		return fmt.Errorf("%s, where the history of the run goes, cannot be used, %w: move it away", l.path, other)
	case err != nil:
		return writeError(l.path, err)
	}
	if l.from != nil {
		return file.Close()
	}
	first := make([]byte, len(beginning))
	n, err := io.ReadFull(file, first)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return writeError(l.path, err)
	}
	if !strings.HasPrefix(beginning, string(first[:n])) {
		return fmt.Errorf("%s, where the history of the run goes, is a file of another kind: move it away", l.path)
	}
	return nil
}

// Read gives every line up to a mark to see, with its kind; the text, an object with the kind in it, is valid until see
// returns. What follows the mark is not read. Errors: a *Changed; one that is fs.ErrNotExist without a file; see's.
func Read(path string, at Mark, see func(kind string, text []byte) error) error {
	file, err := files.Open(path)
	if errors.As(err, new(files.NotRegularError)) {
		return &Changed{path, files.Cause(err).Error()}
	}
	if err != nil {
		return err
	}
	err = scan(path, file, at, func(line []byte) error {
		kind, _, ok := bytes.Cut(bytes.TrimPrefix(line, []byte(beginning)), []byte(`",`))
		if !ok || !bytes.HasPrefix(line, []byte(beginning)) {
			return &Changed{path, fmt.Sprintf("a line begins with %.20q", line)}
		}
		return see(string(kind), line)
	})
	return errors.Join(err, file.Close())
}

// EndsDiverged says whether the last line of a history is that of a run which diverged. Without a file it is not.
func EndsDiverged(path string) (bool, error) {
	file, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, files.Cause(err))
	}
	last, reader := "", bufio.NewReader(file)
	for err == nil {
		var line string
		if line, err = reader.ReadString('\n'); err == nil {
			last = line
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.HasPrefix(last, beginning+DivergedKind+`"`), errors.Join(err, file.Close())
}

// scan gives every line up to a mark to see, and holds them against the mark.
func scan(path string, file io.Reader, at Mark, see func(line []byte) error) error {
	sum, read, lines := sha256.New(), int64(0), int64(0)
	in := bufio.NewReaderSize(io.LimitReader(file, max(0, at.Bytes)), 1<<16)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return &Changed{path, fmt.Sprintf("line %d is too long", lines+1)}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return writeError(path, err)
		}
		if errors.Is(err, io.EOF) {
			read += int64(len(line)) // a line without its end
			break
		}
		_, _ = sum.Write(line)
		read, lines = read+int64(len(line)), lines+1
		if err := see(line); err != nil {
			return err
		}
	}
	switch {
	case read < at.Bytes:
		return &Changed{path, fmt.Sprintf("it has %d bytes, there were %d", read, at.Bytes)}
	case lines != at.Lines:
		return &Changed{path, fmt.Sprintf("its first %d bytes are %d lines, there were %d", at.Bytes, lines, at.Lines)}
	case hex.EncodeToString(sum.Sum(nil)) != at.SHA256:
		return &Changed{path, "its lines are others"}
	}
	return nil
}

// writeError is one line with the path, once, and the mend.
func writeError(path string, err error) error {
	return fmt.Errorf("cannot write %s: %w; free space or make the folder writable: the run continues from its checkpoint",
		path, files.Cause(err))
}
