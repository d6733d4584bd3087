package host

import "testing"

func TestProcFields(t *testing.T) {
	text := "processor\t: 0\nmodel name\t: Some CPU: fast @ 2 GHz\nmodel name\t: other\nMemTotal:       8123456 kB\n"
	if got := field(text, "model name"); got != "Some CPU: fast @ 2 GHz" {
		t.Errorf("model name = %q", got)
	}
	if got := field(text, "absent"); got != "" {
		t.Errorf("absent = %q", got)
	}
}
