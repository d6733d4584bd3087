package vec

import (
	"fmt"
	"math/rand"
	"testing"
)

// BenchmarkKernels reports elements per second for every function, level and a
// range of lengths.
func BenchmarkKernels(b *testing.B) {
	testScale = 1
	defer func() { testScale = 0.37 }()
	for _, c := range kernelCases() {
		for _, name := range Levels() {
			for _, n := range []int{192, 1024, 1 << 16} {
				b.Run(fmt.Sprintf("%s/%s/%d", c.name, name, n), func(b *testing.B) {
					restore, err := SetLevel(name)
					if err != nil {
						b.Fatal(err)
					}
					defer restore()
					v := c.inputs(rand.New(rand.NewSource(10)), n, 1)
					for b.Loop() {
						c.run(v)
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelem/s")
				})
			}
		}
	}
}
