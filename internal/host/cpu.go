package host

import (
	"strings"

	"golang.org/x/sys/cpu"
)

// CPUFeatures lists the vector instruction sets that the CPU has and the
// operating system has switched on, of those that matter to the kernels.
func CPUFeatures() []string {
	features := []struct {
		name string
		has  bool
	}{
		{"SSE4.1", cpu.X86.HasSSE41},
		{"AVX", cpu.X86.HasAVX},
		{"AVX2", cpu.X86.HasAVX2},
		{"FMA", cpu.X86.HasFMA},
		{"AVX-512F", cpu.X86.HasAVX512F},
		{"AVX-512DQ", cpu.X86.HasAVX512DQ},
		{"AVX-512BW", cpu.X86.HasAVX512BW},
		{"AVX-512VL", cpu.X86.HasAVX512VL},
		{"AVX-512VNNI", cpu.X86.HasAVX512VNNI},
		{"AVX-512BF16", cpu.X86.HasAVX512BF16},
		{"ASIMD", cpu.ARM64.HasASIMD},
		{"ASIMDDP", cpu.ARM64.HasASIMDDP},
		{"SVE", cpu.ARM64.HasSVE},
	}
	found := []string{}
	for _, f := range features {
		if f.has {
			found = append(found, f.name)
		}
	}
	return found
}

// field returns the value of the first `name : value` line, "" without one: the
// form of /proc/cpuinfo.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
