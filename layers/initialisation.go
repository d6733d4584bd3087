package layers

import "math"

// Initialisation says which values a new model begins with. None changes the forward pass or the files.
type Initialisation string

// The initialisations.
const (
	// Published is that of the paper (SPEC section 1): all weights N(0, 0.02²), convolutions uniform ±1/3.
	Published Initialisation = "published"
	// Induction begins with the two halves of an induction head (Olsson et al. 2022), which Published has to find by
	// chance: in the convolution of every block the even channels carry the token before in place of the present one, as
	// a shift SSM does (Fu et al. 2023), and the keys of attention begin equal to its queries, so that tokens attend to
	// what is like them (Trockman & Kolter 2023). A token behind the same token as another, as the answer in "key answer"
	// is like the place in "key ?" that it belongs to, is found from the first step on. Position embeddings begin at 0:
	// as large as those of tokens, they would be noise to the match, and rows beyond the trained lengths stay noise.
	Induction Initialisation = "induction"
)

// Initialisations lists them, the default first.
func Initialisations() []Initialisation { return []Initialisation{Published, Induction} }

// matchLogit is the expected attention logit of a token with one that is the same, in each head: far enough above the 0
// of those that are not alike to stand out among a thousand tokens, and not so far that the softmax has no gradient.
const matchLogit = 8

// Initialise gives a new model of SynapNet other initial values, made from those that it has: nothing is drawn.
func (m *Model) Initialise(by Initialisation) {
	if by != Induction {
		return
	}
	clear(m.Embedding.Positions.Param.Data())
	for _, b := range m.Blocks {
		shift(b.SSM)
		match(b.Attention, m.Config)
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

// match makes keys of queries, both so large that like tokens have matchLogit. Of D inputs of unit variance and dh
// outputs of weights N(0, s²) that is s² D dh / sqrt(dh).
func match(l *SparseAttention, c Config) {
	s := math.Sqrt(matchLogit / (float64(c.Dim) * math.Sqrt(float64(c.Dim/c.Heads))))
	q := l.Q.W.Param.Data()
	scale(q, float32(s/InitStd))
	copy(l.K.W.Param.Data(), q)
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
