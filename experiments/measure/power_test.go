package measure

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// rapl writes a folder as the kernel's.
func rapl(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPowerMeterReadsThePackages(t *testing.T) {
	files := map[string]string{
		"intel-rapl:0/name": "package-0", "intel-rapl:0/energy_uj": "5000000", "intel-rapl:0/max_energy_range_uj": "9000000",
		"intel-rapl:1/name": "package-1", "intel-rapl:1/energy_uj": "1000000", "intel-rapl:1/max_energy_range_uj": "9000000",
		// Not counted: parts of a package, the whole computer, the same package by another way.
		"intel-rapl:0:0/name": "core", "intel-rapl:0:0/energy_uj": "1", "intel-rapl:0:0/max_energy_range_uj": "9",
		"intel-rapl:2/name": "psys", "intel-rapl:2/energy_uj": "1", "intel-rapl:2/max_energy_range_uj": "9",
		"intel-rapl-mmio:0/name": "package-0", "intel-rapl-mmio:0/energy_uj": "1",
		"intel-rapl-mmio:0/max_energy_range_uj": "9",
	}
	root := rapl(t, files)
	m := NewPowerMeter(root, 15)
	if m.Source != sourceRAPL || len(m.packages) != 2 {
		t.Fatalf("%+v", m)
	}
	from, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	// The first package's counter began again: 4 J to the end, 2 J after it.
	for name, text := range map[string]string{"intel-rapl:0/energy_uj": "2000000", "intel-rapl:1/energy_uj": "1500000"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	if joules, _, _ := m.Joules(from, to); math.Abs(joules-6.5) > 1e-9 {
		t.Errorf("%g J, want 6.5", joules)
	}
	if err := os.Remove(filepath.Join(root, "intel-rapl:1/energy_uj")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(); err == nil || !strings.Contains(err.Error(), "cannot be read any more") {
		t.Errorf("%v", err)
	}
}

// Without a counter that can be read the rated power stands in, and is named so; without that an assumption.
func TestPowerMeterWithoutCounters(t *testing.T) {
	rated := NewPowerMeter(rapl(t, map[string]string{
		"intel-rapl:0/name": "package-0", "intel-rapl:0/max_energy_range_uj": "9000000",
		"intel-rapl:0/constraint_0_max_power_uw": "0", "intel-rapl:0/constraint_0_power_limit_uw": "28000000",
	}), 15)
	if rated.Source != sourceRated || rated.watts != 28 || !strings.Contains(rated.Describe(), "28 W") ||
		!strings.Contains(rated.Describe(), "not a measurement") {
		t.Errorf("%+v: %s", rated, rated.Describe())
	}
	assumed := NewPowerMeter(t.TempDir(), 15)
	if assumed.Source != SourceAssumed || assumed.watts != 15 ||
		!strings.Contains(assumed.Describe(), "an assumption, not a measurement") {
		t.Errorf("%+v: %s", assumed, assumed.Describe())
	}
	start := time.Now()
	joules, seconds, cpu := assumed.Joules(PowerReading{At: start, cpu: 1},
		PowerReading{At: start.Add(4 * time.Second), cpu: 1 + 2*float64(runtime.NumCPU())})
	if math.Abs(joules-30) > 1e-9 || seconds != 4 || cpu != 2*float64(runtime.NumCPU()) {
		t.Errorf("%g J in %g s with %g s of CPU: 2 s of all CPUs at 15 W are 30 J", joules, seconds, cpu)
	}
}
