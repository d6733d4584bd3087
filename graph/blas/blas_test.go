package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// product is one call of Gemm with its operands, paddings included.
type product struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	a, b, c        []float32
	lda, ldb, ldc  int
}

const padding = 12345 // what stands between the columns and the leading dimension

func (p product) String() string {
	return fmt.Sprintf("transA=%t transB=%t m=%d n=%d k=%d alpha=%g beta=%g lda=%d ldb=%d ldc=%d",
		p.transA, p.transB, p.m, p.n, p.k, p.alpha, p.beta, p.lda, p.ldb, p.ldc)
}

// newProduct draws operands from a normal distribution; each leading dimension
// exceeds the columns by pad.
func newProduct(r *rand.Rand, transA, transB bool, m, n, k int, alpha, beta float32, pad int) product {
	p := product{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, beta: beta}
	p.a, p.lda = matrix(r, m, k, transA, pad)
	p.b, p.ldb = matrix(r, k, n, transB, pad)
	p.c, p.ldc = matrix(r, m, n, false, pad)
	return p
}

func matrix(r *rand.Rand, rows, cols int, trans bool, pad int) (x []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	ld = max(1, cols+pad)
	x = make([]float32, rows*ld)
	for i := range x {
		x[i] = padding
		if i%ld < cols {
			x[i] = float32(r.NormFloat64())
		}
	}
	return x, ld
}

func (p product) run() {
	Gemm(p.transA, p.transB, p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, p.c, p.ldc)
}

// reference is the same product in float64, and for every element the sum of the
// magnitudes that went into it, which scales the admissible rounding error.
func (p product) reference() (c, magnitude []float64) {
	c, magnitude = make([]float64, len(p.c)), make([]float64, len(p.c))
	for i := range c {
		c[i] = float64(p.c[i])
	}
	at := func(x []float32, ld int, trans bool, row, col int) float64 {
		if trans {
			row, col = col, row
		}
		return float64(x[row*ld+col])
	}
	for i := range p.m {
		for j := range p.n {
			var sum, mag float64
			if p.beta != 0 {
				sum = float64(p.beta) * c[i*p.ldc+j]
				mag = math.Abs(sum)
			}
			for l := range p.k {
				t := float64(p.alpha) * at(p.a, p.lda, p.transA, i, l) * at(p.b, p.ldb, p.transB, l, j)
				sum += t
				mag += math.Abs(t)
			}
			c[i*p.ldc+j], magnitude[i*p.ldc+j] = sum, mag
		}
	}
	return c, magnitude
}

// check runs p and compares it with the reference within 2^-22 (two roundings)
// per summand in the worst case, far less for what rounding does on average.
func (p product) check(t *testing.T) {
	t.Helper()
	want, magnitude := p.reference()
	p.run()
	for i, got := range p.c {
		tolerance := magnitude[i] * math.Sqrt(float64(p.k+2)) * 0x1p-22
		if d := math.Abs(float64(got) - want[i]); !(d <= tolerance) {
			t.Fatalf("%v: element (%d, %d) is %g, want %g within %g", p, i/p.ldc, i%p.ldc, got, want[i], tolerance)
		}
	}
}

func TestGemmEqualsFloat64Reference(t *testing.T) {
	shapes := [][3]int{
		{1, 1, 1}, {1, 7, 5}, {7, 1, 5}, {7, 5, 1}, {3, 4, 5}, {16, 16, 16}, {31, 33, 17},
		{64, 128, 64}, {65, 129, 66}, {128, 96, 32}, {40, 192, 300}, {200, 70, 130},
		// nothing to compute, and nothing to sum up
		{0, 4, 5}, {4, 0, 5}, {0, 0, 0}, {4, 5, 0}, {70, 140, 0},
	}
	scalars := [][2]float32{{1, 0}, {1, 1}, {0.5, -2}, {-1, 0.25}, {0, 3}, {0, 0}, {0, 1}}
	for _, transA := range []bool{false, true} {
		for _, transB := range []bool{false, true} {
			t.Run(fmt.Sprintf("transA=%t,transB=%t", transA, transB), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				for _, s := range shapes {
					for _, ab := range scalars {
						for _, pad := range []int{0, 1, 13} {
							newProduct(r, transA, transB, s[0], s[1], s[2], ab[0], ab[1], pad).check(t)
						}
					}
				}
			})
		}
	}
}

// The heads of attention are column ranges of [T, D] matrices: rows of 32
// columns at a distance of 192, the last row ending before a full stride.
func TestGemmReadsColumnRangesOfWiderMatrices(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const rows, keys, headDim, width = 128, 200, 32, 192
	for head := range width / headDim {
		q, _ := matrix(r, rows, width, false, 0)
		k, _ := matrix(r, keys, width, false, 0)
		scores, _ := matrix(r, rows, keys, false, 0)
		product{transB: true, m: rows, n: keys, k: headDim, alpha: 1,
			a: q[head*headDim:], lda: width, b: k[head*headDim:], ldb: width, c: scores, ldc: keys}.check(t)
		out, _ := matrix(r, rows, width, false, 0)
		product{m: rows, n: headDim, k: keys, alpha: 1,
			a: scores, lda: keys, b: k[head*headDim:], ldb: width, c: out[head*headDim:], ldc: width}.check(t)
	}
}

func TestGemmWithBetaZeroOverwritesGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {64, 64, 32}, {130, 200, 150}, {5, 9, 0}, {70, 140, 0}} {
		for _, alpha := range []float32{1, 0.5, 0} {
			for _, transB := range []bool{false, true} {
				p := newProduct(r, false, transB, s[0], s[1], s[2], alpha, 0, 0)
				for i := range p.c {
					p.c[i] = []float32{nan, inf, -inf}[i%3]
				}
				want, magnitude := p.reference()
				p.run()
				for i, got := range p.c {
					if !(math.Abs(float64(got)-want[i]) <= magnitude[i]*math.Sqrt(float64(p.k+2))*0x1p-22) {
						t.Fatalf("%v: element %d is %g, want %g", p, i, got, want[i])
					}
				}
			}
		}
	}
}

func TestGemmPanicsOnBadArguments(t *testing.T) {
	good := func() product {
		return newProduct(rand.New(rand.NewPCG(7, 8)), false, false, 150, 160, 170, 1, 0, 0)
	}
	for name, spoil := range map[string]func(*product){
		"negative m": func(p *product) { p.m = -1 },
		"negative n": func(p *product) { p.n = -1 },
		"negative k": func(p *product) { p.k = -1 },
		"small lda":  func(p *product) { p.lda = p.k - 1 },
		"small ldb":  func(p *product) { p.ldb = p.n - 1 },
		"small ldc":  func(p *product) { p.ldc = p.n - 1 },
		"short a":    func(p *product) { p.a = p.a[:len(p.a)-1] },
		"short b":    func(p *product) { p.b = p.b[:len(p.b)-1] },
		"short c":    func(p *product) { p.c = p.c[:len(p.c)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			p := good()
			spoil(&p)
			before := slices.Clone(p.c)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
				if !slices.Equal(before, p.c) {
					t.Error("C was written before the arguments were checked")
				}
			}()
			p.run()
		})
	}
	good().check(t) // and the package still works
}

// More goroutines than any machine has processors: all get the bits that a call
// on its own gets.
func TestGemmIsTheSameFromManyGoroutines(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	shapes := [][3]int{{128, 192, 192}, {128, 256, 32}, {33, 65, 200}, {1, 192, 64}}
	products := make([]product, len(shapes))
	want := make([][]float32, len(shapes))
	for i, s := range shapes {
		products[i] = newProduct(r, i%2 == 1, i > 1, s[0], s[1], s[2], 1, 0, 0)
		alone := products[i]
		alone.c = make([]float32, len(alone.c))
		alone.run()
		want[i] = alone.c
	}
	var wg sync.WaitGroup
	for g := range 400 {
		wg.Go(func() {
			p := products[g%len(products)]
			p.c = make([]float32, len(p.c))
			for range 3 {
				p.run()
				if !slices.Equal(p.c, want[g%len(products)]) {
					t.Errorf("goroutine %d: %v differs from the same call alone", g, p)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestGemmAllocatesNothing(t *testing.T) {
	p := newProduct(rand.New(rand.NewPCG(11, 12)), false, true, 256, 192, 192, 1, 0, 0)
	if n := testing.AllocsPerRun(20, p.run); n != 0 {
		t.Errorf("%v allocations per call, want 0", n)
	}
}

func TestGorgoniaMultipliesWithThisPackage(t *testing.T) {
	before := gorgonia.WhichBLAS()
	t.Cleanup(func() { gorgonia.Use(before) })
	UseForGorgonia()
	if got := fmt.Sprintf("%T", tensor.WhichBLAS()); got != fmt.Sprintf("%T", Implementation()) {
		t.Errorf("tensor uses %s, want %T", got, Implementation())
	}

	p := newProduct(rand.New(rand.NewPCG(13, 14)), false, false, 150, 160, 170, 1, 0, 0)
	want, _ := p.reference()
	g := gorgonia.NewGraph()
	leaf := func(name string, rows, cols int, x []float32) *gorgonia.Node {
		return gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithName(name), gorgonia.WithShape(rows, cols),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(x))))
	}
	y, err := gorgonia.Mul(leaf("a", p.m, p.k, p.a), leaf("b", p.k, p.n, p.b))
	if err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, got := range y.Value().Data().([]float32) {
		if math.Abs(float64(got)-want[i]) > 1e-3 {
			t.Fatalf("element %d is %g, want %g", i, got, want[i])
		}
	}
}

func TestNameTellsTheLibrary(t *testing.T) {
	n := Name()
	if !strings.HasPrefix(n, "OpenBLAS ") && n != "Accelerate (cgo)" && n != "gonum (pure Go)" &&
		n != "panels and gonum (pure Go)" {
		t.Errorf("Name is %q", n)
	}
	if strings.Contains(n, "unknown") {
		t.Errorf("Name %q lacks the version", n)
	}
	t.Log(n)
}

func TestMeasureCountsWork(t *testing.T) {
	rate := Measure(time.Millisecond)
	if !(rate > 0.01 && rate < 1e6) {
		t.Errorf("rate %g GFLOP/s is not one of a processor", rate)
	}
}
