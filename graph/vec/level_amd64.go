//go:build !purego

package vec

import "golang.org/x/sys/cpu"

// bestLevel returns the highest level the CPU and the operating system support.
func bestLevel() level {
	c := &cpu.X86
	switch {
	case !c.HasAVX2 || !c.HasFMA:
		return levelGo
	case c.HasAVX512F && c.HasAVX512BW && c.HasAVX512DQ && c.HasAVX512VL:
		return levelAVX512
	default:
		return levelAVX2
	}
}
