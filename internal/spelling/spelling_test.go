package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"fifo", "lru", "needlebench/snia", "needlebench/adn", "FP16"}
	for name, want := range map[string]string{
		"fife": "fifo", "LRU": "lru", "snia": "needlebench/snia", "needlebench/and": "needlebench/adn", "fp61": "FP16",
		"": "lru", strings.Repeat("x", 1<<20): "fifo",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("of no names: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{{"", ""}: 0, {"abc", "ABC"}: 0, {"abc", "abd"}: 1, {"abc", "bc"}: 1,
		{"", "abc"}: 3} {
		if got := Distance(pair[0], pair[1]); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"batch-size", "config", "curriculum", "depth", "dim", "h", "heads", "help", "lr"}
	cases := map[string]string{
		"curiculum": "curriculum", "CURRICULUM": "curriculum", "batch_size": "batch-size", "bach-size": "batch-size",
		"batch": "batch-size", "head": "heads", "dimm": "dim", "dept": "depth", "curr": "curriculum", "lrr": "lr",
		"": "", "x": "", "zzzzzz": "", "memory": "", "-": "",
	}
	for word, want := range cases {
		got, ok := Suggest(word, names)
		if got != want || ok != (want != "") {
			t.Errorf("Suggest(%q) = %q %v, want %q", word, got, ok, want)
		}
	}
	if got, ok := Suggest("x", nil); ok {
		t.Errorf("a suggestion of nothing: %q", got)
	}
}
