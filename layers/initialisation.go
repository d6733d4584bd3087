package layers

import (
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Initialisation says which values a new model begins with: Published, Induction, or some of Induction's parts joined
// by a plus sign ("shift+match"), to learn what each is worth. None changes the forward pass or the files.
type Initialisation string

// The initialisations.
const (
	// Published is that of the paper (SPEC section 1): all weights N(0, 0.02²), convolutions uniform ±1/3.
	Published Initialisation = "published"
	// Induction begins with the two halves of an induction head (Olsson et al. 2022), which Published has to find by
	// chance, and with pathways that carry what they are given: a token behind the same token as another, as the answer
	// in "key answer" is like the place in "key ?" that it belongs to, is found and copied from the first step on.
	//
	//   - shift: in the first block the even channels carry the token before in place of the present one, as in a shift
	//     SSM (Fu et al. 2023).
	//   - match: in every block the keys of attention and memory equal their queries, so that tokens attend to what is
	//     like them, and
	//   - carry: their output projections are the transposes of their values, so that what is attended to is copied
	//     (Trockman & Kolter 2023).
	//   - bridge: the ScaleBridge is the identity behind its LayerNorms. As a random map it mixes pathways that are still
	//     empty, which the LayerNorms blow up to unit size, into the one that is not.
	//   - positions: position embeddings are 0. As large as those of tokens they are noise to the match, and in the rows
	//     beyond the trained lengths they stay noise.
	Induction Initialisation = "induction"
)

// Initialisations lists them, the default first.
func Initialisations() []Initialisation { return []Initialisation{Published, Induction} }

// inductionParts are the parts of Induction.
var inductionParts = []string{"shift", "match", "carry", "bridge", "positions"}

// parts are those that a model of SynapNet is changed in, and whether all are known and named once.
func (i Initialisation) parts() (parts []string, ok bool) {
	switch i {
	case "", Published:
		return nil, true
	case Induction:
		return inductionParts, true
	}
	parts = strings.Split(string(i), "+")
	known := !slices.ContainsFunc(parts, func(p string) bool { return !slices.Contains(inductionParts, p) })
	once := len(slices.Compact(slices.Sorted(slices.Values(parts)))) == len(parts)
	return parts, known && once
}

// Check names an initialisation that there is none of, and what there is.
func (i Initialisation) Check(setting string) error {
	if _, ok := i.parts(); ok {
		return nil
	}
	if !strings.Contains(string(i), "+") {
		return bounds.Known(setting, Initialisations(), i)
	}
	return bounds.Wrong(setting, i, "the parts of %s are %s, each once", Induction, strings.Join(inductionParts, ", "))
}

// matchLogit is the expected logit of a token with one that is the same, in each head of an attention or a memory: far
// enough above the 0 of those that are not alike to stand out among a thousand tokens, and not so far that the softmax
// has no gradient.
const matchLogit = 8

// Initialise gives a new model of SynapNet other initial values, made from those that it has: nothing is drawn.
func (m *Model) Initialise(by Initialisation) {
	parts, _ := by.parts()
	for _, part := range parts {
		for i, b := range m.Blocks {
			switch {
			case part == "shift" && i == 0:
				shift(b.SSM)
			case part == "match":
				match(b.Attention.Q, b.Attention.K, m.Config.Dim/m.Config.Heads)
				match(b.Memory.Query, b.Memory.Key, m.Config.Dim)
			case part == "carry":
				carry(b.Attention.V, b.Attention.Out, m.Config.Dim)
				carry(b.Memory.Val, b.Memory.Out, m.Config.Dim)
			case part == "bridge" && b.Bridge != nil:
				identity(b.Bridge.Fuse)
			}
		}
		if part == "positions" {
			clear(m.Embedding.Positions.Param.Data())
		}
	}
}

// shift lets the even channels of a convolution, whose gate is half open, put the token before in place of the present
// one: n + ½·2 (n[t-1] - n[t]). What was drawn stays, at a tenth, to tell the taps apart.
func shift(l *SSM) {
	w := l.Conv.Param.Data()
	scale(w, 0.1)
	scale(l.ConvB.Data(), 0.1)
	for at := 0; at < len(w); at += 2 * KernelSize {
		w[at+KernelSize/2-1] += 2
		w[at+KernelSize/2] -= 2
	}
}

// match makes keys of queries, both so large that like tokens have matchLogit. Of D inputs of unit variance and heads
// of a width of weights N(0, s²) that is s² D width / sqrt(width).
func match(query, key *Linear, width int) {
	d := query.W.Shape[1]
	s := math.Sqrt(matchLogit / (float64(d) * math.Sqrt(float64(width))))
	q := query.W.Param.Data()
	scale(q, float32(s/InitStd))
	copy(key.W.Param.Data(), q)
}

// carry makes the output the transpose of the values, whose rows become near unit length: the two together are near the
// identity.
func carry(value, out *Linear, d int) {
	v, o := value.W.Param.Data(), out.W.Param.Data()
	scale(v, float32(1/(InitStd*math.Sqrt(float64(d)))))
	for r := range d {
		for c := range d {
			o[c*d+r] = v[r*d+c]
		}
	}
}

// identity makes a square layer the identity.
func identity(l *Linear) {
	w := l.W.Param.Data()
	clear(w)
	for i, n := 0, l.W.Shape[0]; i < n; i++ {
		w[i*n+i] = 1
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
