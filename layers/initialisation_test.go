package layers

import (
	"math"
	"slices"
	"testing"
)

func initialised(t *testing.T, by Initialisation) *Model {
	t.Helper()
	c := Reference()
	c.Depth, c.VocabSize, c.MaxLen = 2, 128, 32
	m, err := NewModel(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	m.Initialise(by)
	return m
}

// Published leaves everything as it was drawn.
func TestPublishedInitialisation(t *testing.T) {
	a, b := initialised(t, Published), initialised(t, "")
	for i, p := range a.Params.All() {
		if !slices.Equal(p.Data(), b.Params.All()[i].Data()) {
			t.Errorf("%s differs", p.Name)
		}
	}
}

// Induction changes what it names, and nothing else.
func TestInductionChangesNothingElse(t *testing.T) {
	a, b := initialised(t, Published), initialised(t, Induction)
	changed := 0
	for i, p := range a.Params.All() {
		if !slices.Equal(p.Data(), b.Params.All()[i].Data()) {
			changed++
		}
	}
	if want := 9*a.Config.Depth + 3; changed != want { // attention 4, memory 4, fuse; conv 2, pos_embed
		t.Errorf("%d parameters differ, want %d", changed, want)
	}
}

// An initialisation is one of those that have names, or parts of induction, each once.
func TestInitialisationsAreChecked(t *testing.T) {
	for i, ok := range map[Initialisation]bool{
		"": true, Published: true, Induction: true, "shift": true, "match+shift": true,
		"mimetic": false, "shift+match+shift": false, "match+": false, "shift+published": false,
	} {
		if err := i.Check("init"); (err == nil) != ok {
			t.Errorf("%q: %v", i, err)
		}
	}
}

// In the first block, behind a half-open gate, the even channels carry the token before, the odd ones the present
// token, each up to the tenth that is left of what was drawn.
func TestInductionShiftsEvenChannels(t *testing.T) {
	w := initialised(t, Induction).Blocks[0].SSM.Conv.Param.Data()
	drawn := initialised(t, Published).Blocks[0].SSM.Conv.Param.Data()
	for at := 0; at < len(w); at += KernelSize {
		for tap := range KernelSize {
			want := 0.1 * drawn[at+tap]
			switch even := at/KernelSize%2 == 0; {
			case even && tap == KernelSize/2-1:
				want += 2
			case even && tap == KernelSize/2:
				want -= 2
			}
			if math.Abs(float64(w[at+tap]-want)) > 1e-6 {
				t.Fatalf("channel %d, tap %d: %v, want %v", at/KernelSize, tap, w[at+tap], want)
			}
		}
	}
}

// In every head like tokens have a logit near matchLogit, and unlike ones one near 0.
func TestInductionMatchesLikeTokens(t *testing.T) {
	m := initialised(t, Induction)
	d, heads := m.Config.Dim, m.Config.Heads
	x := [2][]float64{make([]float64, d), make([]float64, d)} // two tokens of unit variance that are at right angles
	for i := range d {
		x[0][i] = float64(1 - i%2*2)
		x[1][i] = float64(1 - i/2%2*2)
	}
	project := func(w []float32, x []float64, row int) (sum float64) {
		for i, v := range x {
			sum += float64(w[row*d+i]) * v
		}
		return sum
	}
	check := func(what string, q, k []float32, heads int) {
		width := d / heads
		for h := range heads {
			like, unlike := 0.0, 0.0
			for r := h * width; r < (h+1)*width; r++ {
				like += project(q, x[0], r) * project(k, x[0], r) / math.Sqrt(float64(width))
				unlike += project(q, x[0], r) * project(k, x[1], r) / math.Sqrt(float64(width))
			}
			// A sum of 32 squares has a relative deviation of a quarter.
			if like < matchLogit/2.5 || like > matchLogit*2.5 || math.Abs(unlike) > matchLogit*0.8 {
				t.Errorf("%s, head %d: like tokens have the logit %.2f and unlike ones %.2f", what, h, like, unlike)
			}
		}
	}
	for _, b := range m.Blocks {
		check("attention", b.Attention.Q.W.Param.Data(), b.Attention.K.W.Param.Data(), heads)
		check("memory", b.Memory.Query.W.Param.Data(), b.Memory.Key.W.Param.Data(), 1)
	}
}

// What attention and memory read comes out of them nearly as it went in, and the ScaleBridge passes it on.
func TestInductionCarries(t *testing.T) {
	m := initialised(t, Induction)
	d := m.Config.Dim
	for i, b := range m.Blocks {
		for name, l := range map[string][2]*Linear{
			"attention": {b.Attention.V, b.Attention.Out}, "memory": {b.Memory.Val, b.Memory.Out},
		} {
			v, o := l[0].W.Param.Data(), l[1].W.Param.Data()
			inside, outside := 0.0, 0.0
			for r := range d {
				for c := range d {
					sum := 0.0
					for k := range d {
						sum += float64(o[r*d+k]) * float64(v[k*d+c])
					}
					if r == c {
						inside += sum
					} else {
						outside += sum * sum
					}
				}
			}
			// The trace of the identity is d; d² products of random directions of d dimensions have 1/d each.
			if inside /= float64(d); math.Abs(inside-1) > 0.1 {
				t.Errorf("block %d, %s: %.2f of an input comes out, want 1", i, name, inside)
			}
			if outside /= float64(d * (d - 1)); outside > 2/float64(d) {
				t.Errorf("block %d, %s: other channels get %.4f of it, want about %.4f", i, name, outside, 1/float64(d))
			}
		}
		w := b.Bridge.Fuse.W.Param.Data()
		for r := range 3 * d {
			for c := range 3 * d {
				if want := map[bool]float32{true: 1}[r == c]; w[r*3*d+c] != want {
					t.Fatalf("block %d: fuse[%d, %d] is %v", i, r, c, w[r*3*d+c])
				}
			}
		}
	}
}
