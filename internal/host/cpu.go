package host

import (
	cpuinfo "github.com/shirou/gopsutil/v4/cpu"
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

// CPUModel is the processor's name as the kernel tells it.
func CPUModel() string {
	all, err := cpuinfo.Info()
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	for _, c := range all {
		if c.ModelName != "" {
			return c.ModelName
		}
	}
	return "unknown"
}
