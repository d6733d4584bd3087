// Command asm writes the assembly kernels of package vec with avo, and the Go
// files that choose between them:
//
//	asm -isa avx512|avx2 -pkg vec -out kernels.s -stubs kernels.go
//	asm -dispatch DIR
//
// It is run by go generate in package vec.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

var (
	isaFlag      = flag.String("isa", "", "instruction set to write: avx512 or avx2")
	dispatchFlag = flag.String("dispatch", "",
		"write dispatch_amd64.go and dispatch_noasm.go to this directory, and nothing else")
)

func main() {
	flag.Parse()
	if *dispatchFlag != "" {
		if err := writeDispatch(*dispatchFlag); err != nil {
			fmt.Fprintln(os.Stderr, "asm:", err)
			os.Exit(1)
		}
		return
	}
	g := &gen{consts: map[konst]int{}}
	switch *isaFlag {
	case "avx512":
		g.avx512, g.width, g.suffix = true, 16, "AVX512"
	case "avx2":
		g.width, g.suffix = 8, "AVX2"
	default:
		fmt.Fprintf(os.Stderr, "asm: -isa %q: unknown instruction set; allowed are avx512 and avx2\n", *isaFlag)
		os.Exit(2)
	}
	ConstraintExpr("!purego")
	for _, k := range kernels() {
		g.emit(k)
	}
	g.data()
	g.shifts()
	Generate()
}
