package vec

import "testing"

func TestChooseLevel(t *testing.T) {
	tests := []struct {
		value   string
		best    level
		want    level
		problem bool
	}{
		{"", levelAVX2, levelAVX2, false},
		{"go", levelAVX512, levelGo, false},
		{"avx2", levelAVX512, levelAVX2, false},
		{"avx512", levelAVX2, levelAVX2, true},
		{"sse", levelAVX512, levelAVX512, true},
	}
	for _, tt := range tests {
		got, problem := chooseLevel(tt.value, tt.best)
		if got != tt.want || (problem != "") != tt.problem {
			t.Errorf("chooseLevel(%q, %v) = %v, %q", tt.value, tt.best, got, problem)
		}
	}
}
