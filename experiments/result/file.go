package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/results"
)

// Invalid is the error of a file that is no result in the form of this program.
type Invalid struct {
	Path    string
	Problem string
}

// Error is one line that names the file, what is wrong, and the mend.
func (e *Invalid) Error() string {
	return fmt.Sprintf("%s is not a valid result: %s; move it away, or delete it to measure anew", e.Path, e.Problem)
}

// schema is results/schema.json, compiled.
var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(results.Schema))
	if err != nil {
		return nil, fmt.Errorf("results/schema.json: %w", err)
	}
	const name = "schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, text); err != nil {
		return nil, fmt.Errorf("results/schema.json: %w", err)
	}
	return c.Compile(name)
})

// Decode reads a result from JSON and checks it against the schema and by Validate.
func Decode(text []byte) (*Result, error) {
	s, err := schema()
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON (%w)", err)
	}
	if err := s.Validate(v); err != nil {
		return nil, errors.New(firstProblem(err))
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	return &r, r.Validate()
}

// firstProblem says where a document breaks the schema first, and how, in one line.
func firstProblem(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	what := v.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if len(v.InstanceLocation) == 0 {
		return what
	}
	return "/" + strings.Join(v.InstanceLocation, "/") + ": " + what
}

// Validate checks what the schema cannot say: numbers are finite, intervals in order, and no two measurements are of
// the same.
func (r *Result) Validate() error {
	seen := map[string]int{}
	for i, m := range r.Measurements {
		at := fmt.Sprintf("/measurements/%d (%s)", i, m.Metric)
		values := []float64{m.Mean, m.Std}
		if iv := m.Interval; iv != nil {
			if iv.Low > iv.High {
				return fmt.Errorf("%s: the interval runs from %g down to %g", at, iv.Low, iv.High)
			}
			values = append(values, iv.Low, iv.High)
		}
		if m.Published != nil {
			values = append(values, m.Published.Mean, m.Published.Std)
		}
		if slices.ContainsFunc(values, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return fmt.Errorf("%s: a value is not finite: %v", at, values)
		}
		name := m.name()
		if j, ok := seen[name]; ok {
			return fmt.Errorf("%s: it has the labels, protocol and metric of measurement %d", at, j)
		}
		seen[name] = i
	}
	return nil
}

// name tells a measurement from the others of its result.
func (m Measurement) name() string {
	parts := []string{m.Protocol, m.Metric}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		parts = append(parts, k, m.Labels[k])
	}
	return strings.Join(parts, "\x00")
}

const (
	// maxBytes is the most that a result file may have. Most have some MB; that of a training has 230 bytes a step.
	maxBytes = 4 << 30
	// decodeMemory is how many bytes a byte of JSON may take while it is decoded: those of a list of zeros take the most.
	decodeMemory = 32
)

// Read reads a result file. The error of a file that is not there is fs.ErrNotExist, that of one that is none an
// *Invalid.
func Read(path string) (*Result, error) {
	if info, err := os.Stat(path); err == nil {
		if err := host.Check("a result of this size", host.Times(decodeMemory, int(info.Size()))); err != nil {
			return nil, &Invalid{path, err.Error()}
		}
	}
	text, err := files.Read(path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, &Invalid{path, files.Cause(err).Error()}
	}
	r, err := Decode(text)
	if err != nil {
		return nil, &Invalid{path, err.Error()}
	}
	return r, nil
}

// Write replaces the file at path by r, which must be valid, and makes its folder where there is none. After a failure
// the file is what it was before.
func Write(path string, r *Result) error {
	text, err := Encode(r)
	if err != nil {
		return err
	}
	if err := files.MakeFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Dir(path), files.Cause(err))
	}
	if err := files.Write(path, text); err != nil {
		return fmt.Errorf("%w: the same command continues", err)
	}
	return nil
}

// Encode is the text of the file of r, which must be valid.
func Encode(r *Result) ([]byte, error) {
	err := r.Validate()
	var text []byte
	if err == nil {
		text, err = r.encode()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the result is not valid, this is a bug: %w", r.Experiment, err)
	}
	return text, nil
}

// encode is r as JSON that Decode takes.
func (r *Result) encode() ([]byte, error) {
	c := *r
	c.Schema = Schema
	if c.Seeds == nil {
		c.Seeds = []uint64{}
	}
	if c.Measurements == nil {
		c.Measurements = []Measurement{}
	}
	for i, m := range c.Measurements {
		if m.Labels == nil {
			c.Measurements = slices.Clone(c.Measurements)
			c.Measurements[i].Labels = map[string]string{}
		}
	}
	text, err := json.MarshalIndent(&c, "", " ")
	if err != nil {
		return nil, err
	}
	_, err = Decode(text)
	return append(text, '\n'), err
}
