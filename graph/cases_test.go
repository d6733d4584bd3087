package graph

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// checked are the types of the kernels that kernelCases held against their references.
var checked struct {
	sync.Mutex
	kernels map[string]bool
}

// noteKernels records the kernels of a graph that is held against its reference.
func noteKernels(g *Graph) {
	checked.Lock()
	defer checked.Unlock()
	if checked.kernels == nil {
		checked.kernels = map[string]bool{}
	}
	for _, c := range g.calls {
		checked.kernels[strings.TrimPrefix(fmt.Sprintf("%T", c.kernel), "graph.")] = true
	}
}

// ownTests names the tests of the kernels that have no kernelCase: their gradient is no derivative, or there is none
// (packed weights, what is only read), or the reference has another form.
var ownTests = map[string]string{
	"attentionReceived": "TestAttentionReceived",
	"detach":            "TestDetach",
	"embedAtPacked":     packedTest,
	"embedPacked":       packedTest,
	"gatedConvPacked":   packedTest,
	"gru":               "TestGRU",
	"linearPacked":      packedTest,
	"memoryRead":        "TestMemoryRead",
	"round":             "TestRoundHalfToEvenStraightThrough",
}

// packedTest is in the package of the schemes, which pack.
const packedTest = "TestPackedKernelsEqualFloatingPoint"

// A kernel without a case fails the tests of the package, whenever all of them run.
func TestMain(m *testing.M) {
	code := m.Run()
	if only := flag.Lookup("test.run").Value.String(); code == 0 && only == "" &&
		flag.Lookup("test.list").Value.String() == "" {
		for _, problem := range untested() {
			fmt.Fprintln(os.Stderr, problem)
			code = 1
		}
	}
	os.Exit(code)
}

// untested are the complaints about kernels without a case.
func untested() []string {
	kernels, tests, err := declared()
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for _, k := range slices.Sorted(maps.Keys(kernels)) {
		own, named := ownTests[k]
		switch {
		case checked.kernels[k] && named:
			problems = append(problems, fmt.Sprintf("kernel %s has a case: take it out of ownTests", k))
		case !checked.kernels[k] && !named:
			problems = append(problems, fmt.Sprintf("kernel %s has no kernelCase with a reference", k))
		case named && !tests[own]:
			problems = append(problems, fmt.Sprintf("kernel %s: there is no test %s", k, own))
		}
	}
	return problems
}

// declared are the types of the package that have a method Plan, and the functions of its tests.
func declared() (kernels, tests map[string]bool, err error) {
	kernels, tests = map[string]bool{}, map[string]bool{}
	names, err := filepath.Glob("*.go")
	if err != nil {
		return nil, nil, err
	}
	others, err := filepath.Glob("../layers/scheme/*_test.go")
	if err != nil {
		return nil, nil, err
	}
	for _, name := range append(names, others...) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if inTest := strings.HasSuffix(name, "_test.go"); inTest && fn.Recv == nil {
				tests[fn.Name.Name] = true
			} else if !inTest && fn.Recv != nil && fn.Name.Name == "Plan" && fn.Type.Params.NumFields() == 1 {
				t := fn.Recv.List[0].Type
				if p, ok := t.(*ast.StarExpr); ok {
					t = p.X
				}
				if id, ok := t.(*ast.Ident); ok {
					kernels[id.Name] = true
				}
			}
		}
	}
	return kernels, tests, nil
}
