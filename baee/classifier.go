package baee

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// DefaultHidden is the width of the classifier's hidden layers (SPEC section 5).
const DefaultHidden = 32

// PositiveShare is the part of a training's examples that are labelled as worth keeping (SPEC section 5).
const PositiveShare = 0.3

// HistoryFeatures is the number of features that follow the content of an entry: salience at write, slot position, age
// and use count.
const HistoryFeatures = 4

// initGain scales the Xavier-uniform initial weights (SPEC section 5).
const initGain = 0.1

// Classifier scores entries: features -> Linear, SiLU, Linear, SiLU, Linear to 1, sigmoid (SPEC section 5,
// Classifier). A retention classifier sees [content D | salience at write | slot position | age | use count]; a
// Locret-style head (History 0) sees the content alone.
type Classifier struct {
	Dim     int // width D of an entry
	History int // HistoryFeatures, or 0
	Hidden  int

	w, b [3]*graph.Param // net.0, net.2, net.4: weights [out, in] and biases
}

// NewClassifier makes an untrained retention classifier: weights Xavier-uniform with gain 0.1, biases 0.
func NewClassifier(dim, hidden int, seed uint64) (*Classifier, error) {
	return newClassifier(dim, HistoryFeatures, hidden, seed)
}

// NewHead makes an untrained Locret-style head: a classifier that sees nothing but the content of an entry.
func NewHead(dim, hidden int, seed uint64) (*Classifier, error) {
	return newClassifier(dim, 0, hidden, seed)
}

// maxWidth bounds what a file may ask for.
const maxWidth = 1 << 16

func newClassifier(dim, history, hidden int, seed uint64) (*Classifier, error) {
	if err := cmp.Or(bounds.Check("dim", dim, 1, maxWidth), bounds.Check("hidden", hidden, 1, maxWidth)); err != nil {
		return nil, fmt.Errorf("classifier: %w", err)
	}
	if history != 0 && history != HistoryFeatures {
		return nil, fmt.Errorf("classifier: history is %d: it must be 0 (content alone) or %d", history, HistoryFeatures)
	}
	c := &Classifier{Dim: dim, History: history, Hidden: hidden}
	rng := rand.New(rand.NewPCG(seed, 0x72657461696e))
	widths := []int{c.Width(), hidden, hidden, 1}
	for i := range c.w {
		in, out := widths[i], widths[i+1]
		c.w[i] = graph.NewParam(fmt.Sprintf("net.%d.weight", 2*i), out, in)
		c.b[i] = graph.NewParam(fmt.Sprintf("net.%d.bias", 2*i), out)
		bound := initGain * math.Sqrt(6/float64(in+out))
		for j := range c.w[i].Data() {
			c.w[i].Data()[j] = float32(bound * (2*rng.Float64() - 1))
		}
	}
	return c, nil
}

// Width is the number of features, D + History.
func (c *Classifier) Width() int { return c.Dim + c.History }

// Params lists the parameters, net.0.weight to net.4.bias.
func (c *Classifier) Params() []*graph.Param {
	var all []*graph.Param
	for i := range c.w {
		all = append(all, c.w[i], c.b[i])
	}
	return all
}

// Parameters is the true number of parameters: (D + History)·H + H + H² + H + H + 1.
func (c *Classifier) Parameters() int {
	n := 0
	for _, p := range c.Params() {
		n += p.Size()
	}
	return n
}

// Forward adds the classifier to g: features [..., D + History] to scores [..., 1] in (0, 1).
func (c *Classifier) Forward(g *graph.Graph, features *graph.Node) *graph.Node {
	x := graph.Linear(g, features, g.Param(c.w[0]), g.Param(c.b[0]), graph.SiLU)
	x = graph.Linear(g, x, g.Param(c.w[1]), g.Param(c.b[1]), graph.SiLU)
	return graph.Linear(g, x, g.Param(c.w[2]), g.Param(c.b[2]), graph.Sigmoid)
}

// Loss is the binary cross-entropy of the scores of features [..., D + History] against labels [..., 1], the attention
// that the entries received, in [0, 1].
func (c *Classifier) Loss(g *graph.Graph, features, labels *graph.Node) *graph.Node {
	return graph.BinaryCrossEntropy(g, c.Forward(g, features), labels)
}

// MovePrior makes scores, which are probabilities where a share `from` of the entries is positive, probabilities where
// a share `to` is: it moves the logits by logit(to) - logit(from), the prior correction of Elkan (2001). The order of
// the entries by score stays. Both shares must lie strictly between 0 and 1.
func (c *Classifier) MovePrior(from, to float64) error {
	if !(from > 0 && from < 1 && to > 0 && to < 1) {
		return fmt.Errorf("classifier: positive shares %g and %g: both must lie between 0 and 1, these not included", from,
			to)
	}
	logit := func(p float64) float64 { return math.Log(p) - math.Log1p(-p) }
	c.b[2].Data()[0] += float32(logit(to) - logit(from))
	return nil
}

// Project is what the first layer makes of an entry's content x [D] before its history is known; dst is [Hidden]. It
// stays the same as long as the content does, so a store computes it once. Each value is one sum in a fixed order: it
// does not depend on what else is projected.
func (c *Classifier) Project(dst, x []float32) {
	w, b, width := c.w[0].Data(), c.b[0].Data(), c.Width()
	for h := range dst {
		dst[h] = b[h] + vec.Dot(w[h*width:h*width+c.Dim], x)
	}
}

// scoreRows is the number of entries that are scored in one part.
const scoreRows = 512

// Score completes the scores of N projected entries: projected [N, Hidden], history [N, History], result dst [N].
func (c *Classifier) Score(dst, projected, history []float32) {
	n, h, width := len(dst), c.Hidden, c.Width()
	w1, w2, b2 := c.w[0].Data(), c.w[1].Data(), c.b[1].Data()
	w3, b3 := c.w[2].Data(), c.b[2].Data()[0]
	parts := (n + scoreRows - 1) / scoreRows
	graph.ParallelScratch(parts, 2*scoreRows*h, func(i int, scratch []float32) {
		from, to := i*scoreRows, min((i+1)*scoreRows, n)
		m := to - from
		x, y := scratch[:m*h], scratch[scoreRows*h:scoreRows*h+m*h]
		copy(x, projected[from*h:to*h])
		if c.History > 0 {
			blas.Gemm(false, true, m, h, c.History, 1, history[from*c.History:], c.History, w1[c.Dim:], width, 1, x, h)
		}
		vec.Silu(x, x)
		for r := range m {
			copy(y[r*h:(r+1)*h], b2)
		}
		blas.Gemm(false, true, m, h, h, 1, x, h, w2, h, 1, y, h)
		vec.Silu(y, y)
		for r := range m {
			dst[from+r] = b3 + vec.Dot(y[r*h:(r+1)*h], w3)
		}
		vec.Sigmoid(dst[from:to], dst[from:to])
	})
}

// Scores are the scores of features [N, D + History].
func (c *Classifier) Scores(features []float32) []float32 {
	width := c.Width()
	n := len(features) / width
	projected, history := make([]float32, n*c.Hidden), make([]float32, 0, n*c.History)
	for i := range n {
		x := features[i*width : (i+1)*width]
		c.Project(projected[i*c.Hidden:(i+1)*c.Hidden], x[:c.Dim])
		history = append(history, x[c.Dim:]...)
	}
	scores := make([]float32, n)
	c.Score(scores, projected, history)
	return scores
}

// classifierKey is the metadata entry of a file that holds a classifier.
const classifierKey = "classifier"

type classifierShape struct {
	Dim     int `json:"dim"`
	History int `json:"history"`
	Hidden  int `json:"hidden"`
}

// tensors are the parameters for a file, named prefix + net.0.weight and so on.
func (c *Classifier) tensors(prefix string) []safetensors.Tensor {
	var all []safetensors.Tensor
	for _, p := range c.Params() {
		all = append(all, safetensors.FromFloat32(prefix+p.Name, p.Shape(), p.Data()))
	}
	return all
}

func (c *Classifier) shape() classifierShape { return classifierShape{c.Dim, c.History, c.Hidden} }

// SetWeights sets all parameters from the tensors prefix + name of f; if one is missing, malformed or not finite, none
// is changed.
func (c *Classifier) SetWeights(f *safetensors.File, prefix string) error {
	return layers.SetParams(f, prefix, c.Params())
}

// Save writes the classifier to a safetensors file.
func (c *Classifier) Save(path string) error {
	for _, p := range c.Params() {
		if vec.HasNonFinite(p.Data()) {
			return fmt.Errorf("cannot write %s: %s has values that are not finite", path, p.Name)
		}
	}
	shape, err := json.Marshal(c.shape())
	if err != nil {
		return err
	}
	return safetensors.Write(path, &safetensors.File{
		Tensors:  c.tensors(""),
		Metadata: map[string]string{classifierKey: string(shape)},
	})
}

// LoadClassifier reads what Save wrote.
func LoadClassifier(path string) (*Classifier, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	if err := layers.WantKind(f, "a classifier", layers.ClassifierFile); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, ok := f.Metadata[classifierKey]
	if !ok {
		return nil, fmt.Errorf("%s: not a classifier: the header has no key %q", path, classifierKey)
	}
	var s classifierShape
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("%s: the header's %q is not valid: %w", path, classifierKey, foreign.JSON(err))
	}
	c, err := classifierFrom(f, s, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// classifierFrom makes the classifier of the given shape from tensors. The shape is compared with the tensors before
// memory is taken for it.
func classifierFrom(f *safetensors.File, s classifierShape, prefix string) (*Classifier, error) {
	t, ok := f.Lookup(prefix + "net.0.weight")
	if !ok || len(t.Shape) != 2 || t.Shape[0] != s.Hidden || t.Shape[1] != s.Dim+s.History {
		return nil, fmt.Errorf("tensor %snet.0.weight is missing or not [%d, %d]", prefix, s.Hidden, s.Dim+s.History)
	}
	if second, ok := f.Lookup(prefix + "net.2.weight"); !ok || len(second.Shape) != 2 || second.Shape[0] != s.Hidden ||
		second.Shape[1] != s.Hidden {
		return nil, fmt.Errorf("tensor %snet.2.weight is missing or not [%d, %d]", prefix, s.Hidden, s.Hidden)
	}
	c, err := newClassifier(s.Dim, s.History, s.Hidden, 0)
	if err != nil {
		return nil, err
	}
	return c, c.SetWeights(f, prefix)
}
