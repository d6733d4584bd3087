//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/host"
)

// What a run may take beside and beyond its plan. The program itself, with its code, Go's runtime, OpenBLAS's buffers
// and its two threads, is in no plan: 50 MB where this was written, less in pure Go, which has no buffers. Garbage may
// lie about to the size of the heap, but most of a run is arenas and moments, which are no garbage and do not grow:
// what is left are the samples, the names of a model, and the text of checkpoints. On the other side, a plan counts the
// evaluation's arena beside that of the step, both whole: pages that the kernels of some machine leave alone are not
// resident.
const (
	besideThePlan = 100 << 20
	beyondThePlan = 1.3
	shortOfPlan   = 1.5
)

// A plan of memory is near what the run really takes, on both sides: one that is too small lets the system end the run,
// one that is too large refuses a run that would have fitted. Measured on processes of the program's own.
func TestPlanIsNearThePeak(t *testing.T) {
	if testing.Short() {
		t.Skip("trains four models for a few steps")
	}
	for name, size := range map[string]string{
		"small":             "--dim 64 --depth 2 --heads 2 --curriculum 256 --batch-size 16",
		"medium":            "--dim 128 --depth 3 --heads 4 --curriculum 512 --batch-size 8",
		"mostly weights":    "--dim 512 --depth 2 --heads 4 --curriculum 64 --batch-size 2",
		"mostly vocabulary": "--dim 128 --depth 1 --heads 2 --curriculum 64 --batch-size 2 --vocab 131072",
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "GOMAXPROCS=2", killable+"=pretrain "+size+
				" --samples-per-stage 8 --epochs-per-stage 1 --eval-samples 8 --warmup-steps 0 --output-dir run")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var r struct {
				Details struct {
					Config curriculum.Config `json:"config"`
					Cost   struct {
						Peak uint64 `json:"peak_rss_bytes"`
					} `json:"cost"`
				} `json:"details"`
			}
			if err := json.Unmarshal([]byte(read(t, "run/pretrain.json")), &r); err != nil || r.Details.Cost.Peak == 0 {
				t.Fatalf("%v, peak %d", err, r.Details.Cost.Peak)
			}
			peak, plan := float64(r.Details.Cost.Peak),
				float64(least(func(room host.Room) error { return checkMemory(r.Details.Config, false, room) }))
			t.Logf("planned %.0f MB, peak %.0f MB", plan/1e6, peak/1e6)
			if most := beyondThePlan*plan + besideThePlan; peak > most {
				t.Errorf("planned %.0f MB, the peak is %.0f MB: above %.0f MB", plan/1e6, peak/1e6, most/1e6)
			}
			if plan > shortOfPlan*peak {
				t.Errorf("planned %.0f MB, the peak is %.0f MB: more than %g times as much is planned", plan/1e6, peak/1e6,
					shortOfPlan)
			}
		})
	}
}
