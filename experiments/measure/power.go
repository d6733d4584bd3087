package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/internal/host"
)

// Powercap is where the kernel tells the energy of the CPU packages (RAPL of Intel, and of AMD under the same name).
const Powercap = "/sys/class/powercap"

// The sources of an energy, from the best to none at all.
const (
	sourceRAPL    = "RAPL"
	sourceRated   = "rated power x CPU time"
	SourceAssumed = "assumed power x CPU time"
)

// PowerMeter tells the energy that the computer's CPU packages take.
type PowerMeter struct {
	packages []raplPackage // whose counters can be read
	watts    float64       // rated power of all packages, where there are no counters
	Source   string
}

// raplPackage is one CPU package.
type raplPackage struct {
	energy string // path of the counter, microjoules
	limit  uint64 // value at which the counter begins again
}

// NewPowerMeter looks for counters under root, then for the rated power there; assumed, in watts, is for systems that
// tell neither.
func NewPowerMeter(root string, assumed float64) PowerMeter {
	m := PowerMeter{Source: sourceRAPL}
	readable := true
	for _, dir := range packageDirs(root) {
		p := raplPackage{energy: filepath.Join(dir, "energy_uj")}
		var err error
		if p.limit, err = readCounter(filepath.Join(dir, "max_energy_range_uj")); err == nil {
			_, err = readCounter(p.energy) // only root may, on most systems
		}
		readable = readable && err == nil
		m.packages = append(m.packages, p)
		m.watts += ratedWatts(dir)
	}
	if len(m.packages) > 0 && readable {
		return m
	}
	m.packages, m.Source = nil, sourceRated
	if m.watts == 0 {
		m.watts, m.Source = assumed, SourceAssumed
	}
	return m
}

var packageName = regexp.MustCompile(`^intel-rapl:\d+$`)

// packageDirs are the folders of the CPU packages: not those of their parts, and not that of the whole computer (psys),
// which has the packages in it.
func packageDirs(root string) (dirs []string) {
	all, _ := filepath.Glob(filepath.Join(root, "intel-rapl:*")) // the pattern is valid
	for _, dir := range all {
		name, err := os.ReadFile(filepath.Join(dir, "name"))
		if err == nil && packageName.MatchString(filepath.Base(dir)) && strings.HasPrefix(string(name), "package") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// ratedWatts is the power that a package is made for, 0 if it does not say.
func ratedWatts(dir string) float64 {
	for _, name := range []string{"constraint_0_max_power_uw", "constraint_0_power_limit_uw"} {
		if n, err := readCounter(filepath.Join(dir, name)); err == nil && n > 0 {
			return float64(n) / 1e6
		}
	}
	return 0
}

func readCounter(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s reads %q: %w", path, text, err)
	}
	return n, nil
}

// PowerReading is the state of a meter at one moment.
type PowerReading struct {
	At       time.Time
	counters []uint64
	cpu      float64 // seconds
}

func (m PowerMeter) Read() (r PowerReading, err error) {
	for _, p := range m.packages {
		n, err := readCounter(p.energy)
		if err != nil {
			return r, fmt.Errorf("the energy counter cannot be read any more: %w", err)
		}
		r.counters = append(r.counters, n)
	}
	r.At, r.cpu = time.Now(), host.CPUSeconds()
	return r, nil
}

// Joules is the energy between two readings, the seconds that passed and the CPU time of this process. Without
// counters, the rated power is that of all of the computer's CPUs at work, of which the process had its share.
func (m PowerMeter) Joules(from, to PowerReading) (joules, seconds, cpu float64) {
	seconds, cpu = to.At.Sub(from.At).Seconds(), to.cpu-from.cpu
	if len(m.packages) == 0 {
		return m.watts * cpu / float64(runtime.NumCPU()), seconds, cpu
	}
	for i, p := range m.packages {
		a, b := from.counters[i], to.counters[i]
		if b < a {
			b += p.limit
		}
		joules += float64(b-a) / 1e6
	}
	return joules, seconds, cpu
}

// Describe says how the energy is got.
func (m PowerMeter) Describe() string {
	switch m.Source {
	case sourceRAPL:
		return fmt.Sprintf("the energy counters of %d CPU package(s), everything included that runs on them, without memory",
			len(m.packages))
	case sourceRated:
		return fmt.Sprintf("an estimate, not a measurement: the energy counters cannot be read (on Linux, run as root); "+
			"%.4g W, the CPU's rated power, times the CPU time over %d CPUs", m.watts, runtime.NumCPU())
	}
	return fmt.Sprintf("an assumption, not a measurement: this system tells neither energy nor rated power of its CPU; "+
		"%.4g W times the CPU time over %d CPUs", m.watts, runtime.NumCPU())
}
