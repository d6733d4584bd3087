//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/layers"
)

// header is a safetensors file that is nothing but a header with the given metadata.
func headerOnly(t *testing.T, path string, metadata map[string]string, tensors string) {
	t.Helper()
	text, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(`{"__metadata__":%s%s}`, text, tensors)
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// underLimit runs a command of this very program, which the test's binary is, with 1,000,000 kB of address space.
func underLimit(t *testing.T, dir string, args ...string) (code int, text string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, "bash", "-c", `ulimit -v 1000000; exec "$0"`, self)
	c.Dir, c.Env = dir, append(os.Environ(), killable+"="+strings.Join(args, " "))
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("%v: not refused within 15 s", args)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	return code, string(out)
}

// Files of a few bytes and settings that ask for more than there is are refused with one line, whatever they are.
func TestHostileInputsUnderALimit(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program 50 times")
	}
	small := smallModelFile(t, func(*layers.Config) {})
	dir := t.TempDir()
	type attempt struct{ name, line string }
	var all []attempt
	for name, config := range map[string]string{
		"vocabulary": `{"vocab_size":16777216,"dim":64,"heads":1}`, "positions": `{"max_len":16777216,"dim":64,"heads":1}`,
		"width": `{"dim":8192,"heads":1,"depth":1}`, "depth": `{"depth":4096,"dim":64,"heads":1}`,
		"layers":   `{"depth":2147483648}`,
		"overflow": `{"dim":65536,"depth":4096,"heads":1}`, "minus": `{"dim":-192}`, "classes": `{"num_classes":16777216}`,
		"max": `{"dim":9223372036854775807}`, "above": `{"dim":92233720368547758080}`, "ratio": `{"mlp_ratio":1e300}`,
		"slots": `{"episodic_slots":1048576}`,
		"llama": `{"architecture":"llama","dim":4096,"heads":1,"depth":8}`, "deep": strings.Repeat("[", 200000),
	} {
		path := filepath.Join(dir, name+".safetensors")
		headerOnly(t, path, map[string]string{"config": config}, "")
		all = append(all, attempt{name, "info " + path}, attempt{name, "eval " + path})
	}
	shape := `{"version":1,"weights":{"pos_embed":{"kind":"int8","shape":[1,1000000000,1000000000]}}}`
	headerOnly(t, filepath.Join(dir, "packed.safetensors"), map[string]string{"config": "{}", "packed": shape}, "")
	for name, memory := range map[string]string{
		"budget": `{"version":1,"config":{"dim":8,"layers":2,"slots":4,"policy":"fifo","protocol":"strict",` +
			`"budget_bytes":70368744177664,"window":32},"layers":[{},{}]}`,
		"wide": `{"version":1,"config":{"dim":65536,"layers":1,"slots":1048576,"policy":"expected_attention",` +
			`"protocol":"strict","budget_bytes":70368744177664,"window":32},"layers":[{"queries":1}]}`,
		"layers": `{"version":1,"config":{"dim":8,"layers":4096,"slots":1048576,"policy":"fifo","protocol":"strict",` +
			`"entries_per_layer":268435456,"window":32},"layers":[]}`,
		"net": `{"version":1,"config":{},"classifier":{"dim":65536,"history":4,"hidden":65536},"layers":[]}`,
	} {
		path := filepath.Join(dir, "snapshot-"+name)
		headerOnly(t, path, map[string]string{"memory": memory, "stream": "{}"}, "")
		all = append(all, attempt{"snapshot " + name, "stream " + small + " --restore " + path})
	}
	headerOnly(t, filepath.Join(dir, "classifier"),
		map[string]string{"classifier": `{"dim":65536,"history":4,"hidden":65536}`}, "")
	sparse := filepath.Join(dir, "sparse.safetensors")
	headerOnly(t, sparse, map[string]string{"config": "{}"}, "")
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Logf("no sparse file here: %v", err)
	}
	all = append(all, attempt{"packed", "inspect " + filepath.Join(dir, "packed.safetensors")},
		attempt{"sparse", "info " + sparse},
		attempt{"classifier", "stream " + small + " --classifier " + filepath.Join(dir, "classifier")})
	result := filepath.Join(dir, "result.json")
	if err := os.WriteFile(result, []byte("["+strings.Repeat("0,", 40<<20)+"0]"), 0o600); err != nil {
		t.Fatal(err)
	}
	all = append(all, attempt{"result", "baee-grid --output " + result + " --checkpoint " + small})
	for _, line := range []string{
		"pretrain --batch-size 65536", "pretrain --samples-per-stage 16777216", "pretrain --eval-samples 16777216",
		"pretrain --vocab 16777216 --dim 128 --heads 1",
		"pretrain --max-len 8388608 --curriculum 8388608", "pretrain --dim 4096 --heads 8 --depth 4",
		"pretrain --depth 4096 --dim 64 --heads 1",
		"eval " + small + " --contexts 64 --samples 16777216 --batch-size 16777216",
		"bench --batch-size 100000 --contexts 1024",
		"export " + small + " --calib-samples 1048576 --targets attention --output " + filepath.Join(dir, "x"),
		"stream " + small + " --budget-mb 67108864 --random-tokens 10",
		"cajq-qat --qat-batch 65536 --qat-ctx 64 --checkpoint " + small + " --output r.json",
		"cajq-qat --qat-batch 4 --qat-steps 16777216 --qat-ctx 64 --checkpoint " + small + " --output r.json",
	} {
		all = append(all, attempt{"setting", line})
	}
	for _, a := range all {
		code, text := underLimit(t, dir, strings.Fields(a.line)...)
		t.Logf("%s: status %d: %.200s", a.name, code, text)
		if code != exitFailure && code != exitUsage || strings.Count(text, "\n") != 1 ||
			bytes.Contains([]byte(text), []byte("goroutine")) || strings.Contains(text, "fatal error") {
			t.Errorf("%s: %s: status %d, %d lines: %.300s", a.name, a.line, code, strings.Count(text, "\n"), text)
		}
	}
	t.Logf("%d inputs", len(all))
}

// What cannot be measured is said, and the rest is told all the same.
func TestDoctorUnderALimit(t *testing.T) {
	code, text := underLimit(t, t.TempDir(), "doctor")
	if code != exitOK || !strings.Contains(text, "not measured: measuring matrix products takes") ||
		!strings.Contains(text, "CPU features") {
		t.Errorf("status %d: %s", code, text)
	}
}
