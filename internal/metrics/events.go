package metrics

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synapnet/synapnet-train/internal/files"
)

// EventsName is the name, in the folder of a run, of the file from which TensorBoard shows the history.
const EventsName = "metrics.tfevents"

// EventsBeside is where TensorBoard's file of the run with the given checkpoint is, beside the history. See [Beside].
func EventsBeside(checkpoint string) string { return eventsOf(Beside(checkpoint)) }

// eventsOf is TensorBoard's file of the history at path. TensorBoard takes files with "tfevents" in their names.
func eventsOf(path string) string { return strings.TrimSuffix(path, ".jsonl") + ".tfevents" }

// events is TensorBoard's view of a history: an event for each line that has scalars, in the file that TFRecord
// describes (https://www.tensorflow.org/tutorials/load_data/tfrecord), tensorflow.Event messages (tensorflow/core/util/
// event.proto). All but their wall times follows from the lines, so that a run that continues brings the file to where
// its history stands: events that are right stay with their times, what is missing or wrong is made anew.
type events struct {
	path string
	file *os.File // nil: there is none, and no event yet
	out  *bufio.Writer
	old  *bufio.Reader // what the file holds from at on, while it is what it should be; nil: new events are written
	at   int64         // bytes of the events so far
	step int64         // of the last line that has one
}

// openEvents is the file at path at its beginning. With anew what is in it does not count.
func openEvents(path string, anew bool) (*events, error) {
	e := &events{path: path}
	switch there, err := checkEvents(path); {
	case err != nil:
		return nil, err
	case anew || !there:
		return e, nil
	}
	if err := e.open(false); err != nil {
		return nil, err
	}
	e.old = bufio.NewReader(e.file)
	return e, nil
}

// checkEvents says whether there is a file of events at path. What is none of them is refused: it is the user's.
func checkEvents(path string) (there bool, err error) {
	file, err := files.Open(path)
	var other files.NotRegularError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &other):
		return false, fmt.Errorf("%s, where TensorBoard's view of the run goes, cannot be used, %w: move it away", path,
			other)
	case err != nil:
		return false, writeError(path, err)
	}
	want := record(version(0))[:lengthBytes] // whatever the time
	first := make([]byte, len(want))
	n, err := io.ReadFull(file, first)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return false, writeError(path, err)
	}
	if !bytes.HasPrefix(want, first[:n]) {
		return false, fmt.Errorf("%s, where TensorBoard's view of the run goes, is a file of another kind: move it away",
			path)
	}
	return true, nil
}

func (e *events) open(anew bool) error {
	file, err := files.OpenAppending(e.path, anew)
	if err != nil {
		return writeError(e.path, err)
	}
	e.file, e.out = file, bufio.NewWriter(file)
	return nil
}

// add takes a line of the history, and writes its event unless the file holds it. What it writes is in the file when it
// is flushed.
func (e *events) add(line []byte) error {
	values := e.scalars(line)
	if len(values) == 0 {
		return nil
	}
	if e.at == 0 {
		if err := e.put(version); err != nil {
			return err
		}
	}
	return e.put(func(wall float64) []byte { return summary(wall, e.step, values) })
}

// put appends an event, or finds it in the file.
func (e *events) put(event func(wall float64) []byte) error {
	if e.old != nil {
		if held := e.next(); held != nil {
			if wall, ok := wallTime(held); ok && bytes.Equal(held, record(event(wall))) {
				e.at += int64(len(held))
				return nil
			}
		}
		if err := e.settle(); err != nil {
			return err
		}
	}
	if e.file == nil {
		if err := e.open(true); err != nil {
			return err
		}
	}
	text := record(event(float64(time.Now().UnixMicro()) / 1e6))
	if _, err := e.out.Write(text); err != nil {
		return writeError(e.path, err)
	}
	e.at += int64(len(text))
	return nil
}

// settle cuts off what the file holds behind the events so far, so that others are written there.
func (e *events) settle() error {
	if e.old == nil {
		return e.flush()
	}
	e.old = nil
	if err := e.file.Truncate(e.at); err != nil {
		return writeError(e.path, err)
	}
	if _, err := e.file.Seek(e.at, io.SeekStart); err != nil {
		return writeError(e.path, err)
	}
	return nil
}

func (e *events) flush() error {
	if e.file == nil {
		return nil
	}
	if err := e.out.Flush(); err != nil {
		return writeError(e.path, err)
	}
	return nil
}

func (e *events) close() error {
	if e.file == nil {
		return nil
	}
	if err := e.file.Close(); err != nil {
		return writeError(e.path, err)
	}
	return nil
}

// scalar is a number of a line under TensorBoard's name for it.
type scalar struct {
	tag   string
	value float64
}

// places are the numbers of a line that say where the run was, not how it went.
var places = map[string]bool{"step": true, "stage": true, "context": true, "epoch": true}

// scalars are what a line shows: train/NAME for the numbers of a step, accuracy/TASK for those of an evaluation, which
// stand at the last step if they name none.
func (e *events) scalars(line []byte) (all []scalar) {
	fields := gjson.ParseBytes(line)
	if at := fields.Get("step"); at.Exists() {
		e.step = at.Int()
	}
	switch fields.Get("kind").String() {
	case StepKind:
		fields.ForEach(func(name, value gjson.Result) bool {
			if value.Type == gjson.Number && !places[name.String()] {
				all = append(all, scalar{"train/" + name.String(), value.Num})
			}
			return true
		})
	case EvaluationKind:
		fields = Accuracies(fields)
		if overall := fields.Get("overall.mean"); overall.Exists() {
			all = append(all, scalar{"accuracy/overall", overall.Num})
		}
		fields.Get("per_task").ForEach(func(task, of gjson.Result) bool {
			all = append(all, scalar{"accuracy/" + task.String(), of.Get("mean").Num})
			return true
		})
	}
	return all
}

// Accuracies is where the line of an evaluation has its accuracies, overall and per_task: those of a three-phase run
// are in a table of their own.
func Accuracies(line gjson.Result) gjson.Result {
	if within := line.Get("accuracy"); within.IsObject() {
		return within
	}
	return line
}

// Fields of tensorflow.Event, tensorflow.Summary and tensorflow.Summary.Value.
const (
	wallTimeField, stepField, versionField, summaryField = 1, 2, 3, 5

	valueField, tagField, simpleValueField = 1, 1, 2
)

// version is the event that each file begins with.
func version(wall float64) []byte {
	b := protowire.AppendTag(nil, wallTimeField, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(wall))
	b = protowire.AppendTag(b, versionField, protowire.BytesType)
	return protowire.AppendString(b, "brain.Event:2")
}

// summary is the event of a line.
func summary(wall float64, step int64, values []scalar) []byte {
	var all []byte
	for _, v := range values {
		value := protowire.AppendTag(nil, tagField, protowire.BytesType)
		value = protowire.AppendString(value, v.tag)
		value = protowire.AppendTag(value, simpleValueField, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(v.value)))
		all = protowire.AppendTag(all, valueField, protowire.BytesType)
		all = protowire.AppendBytes(all, value)
	}
	b := protowire.AppendTag(nil, wallTimeField, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(wall))
	b = protowire.AppendTag(b, stepField, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(step))
	b = protowire.AppendTag(b, summaryField, protowire.BytesType)
	return protowire.AppendBytes(b, all)
}

// Sizes of a record's parts.
const (
	lengthBytes = 8 + 4 // with its sum
	sumBytes    = 4
	mostBytes   = 1 << 20 // of an event; more is damage
)

// record is an event as it stands in the file: its length, its bytes, and a sum of each.
func record(event []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, event...)
	return binary.LittleEndian.AppendUint32(b, masked(event))
}

// masked is TFRecord's sum: a CRC of bytes that hold a CRC is a poor one.
func masked(b []byte) uint32 {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// next is the next record that the file holds; nil where there is no whole one.
func (e *events) next() []byte {
	head := make([]byte, lengthBytes)
	if _, err := io.ReadFull(e.old, head); err != nil {
		return nil
	}
	n := binary.LittleEndian.Uint64(head)
	if n > mostBytes {
		return nil
	}
	rest := make([]byte, n+sumBytes)
	if _, err := io.ReadFull(e.old, rest); err != nil {
		return nil
	}
	return append(head, rest...)
}

// wallTime is that of a record's event.
func wallTime(record []byte) (seconds float64, ok bool) {
	number, kind, n := protowire.ConsumeTag(record[lengthBytes:])
	if n < 0 || number != wallTimeField || kind != protowire.Fixed64Type {
		return 0, false
	}
	bits, n := protowire.ConsumeFixed64(record[lengthBytes+n:])
	return math.Float64frombits(bits), n > 0
}
