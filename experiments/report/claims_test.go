package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// between is a measurement of variant v with its interval; published 0 for none.
func between(v string, low, mean, high, published float64) result.Measurement {
	m := result.Measurement{Labels: map[string]string{"variant": v}, Protocol: result.Strict, Metric: "accuracy",
		Unit: "1", N: 100, Mean: mean}
	if low < mean || mean < high {
		m.Interval = &result.Interval{Low: low, High: high, Method: "wilson"}
	}
	if published != 0 {
		m.Published = &result.MeanStd{Mean: published}
	}
	return m
}

func claimOf(r rule, margin float64, against string) Claim {
	c := Claim{Text: "it works", Experiment: "some", Rule: r, Margin: margin, Metric: "accuracy", Protocol: result.Strict,
		Labels: map[string]string{"variant": "a"}}
	if against != "" {
		c.Against = map[string]string{"variant": against}
	}
	return c
}

// Each rule gives each of its verdicts, with the direction.
func TestVerdicts(t *testing.T) {
	published, exact := claimOf(rulePublished, 0, ""), claimOf(ruleExact, 0, "")
	zero, b := claimOf(ruleAbove, 0, ""), claimOf(ruleAbove, 0, "b")
	level, near := claimOf(ruleLevel, 0.05, ""), claimOf(ruleLevel, 0.05, "b")
	ofTimes := between("a", 0.4, 0.5, 0.6, 0.5)
	ofTimes.Unit = "ms"
	for _, c := range []struct {
		claim Claim
		a, b  result.Measurement
		want  string
	}{
		{claim: published, a: between("a", 0.4, 0.5, 0.6, 0.6), want: "yes reproduced"},
		{claim: published, a: between("a", 0.4, 0.5, 0.6, 0.61), want: "no not reproduced: lower"},
		{claim: published, a: between("a", 0.4, 0.5, 0.6, 0.39), want: "no not reproduced: higher"},
		{claim: published, a: between("a", 0.4, 0.5, 0.6, 0), want: "incomparable no comparison"},
		{claim: published, a: between("a", 0.5, 0.5, 0.5, 0.5), want: "incomparable no comparison"},
		{claim: published, a: ofTimes, want: "incomparable no comparison"},
		{claim: exact, a: between("a", 4.41, 4.41, 4.41, 4.4), want: "yes reproduced"},
		{claim: exact, a: between("a", 4.34, 4.34, 4.34, 4.4), want: "no not reproduced: lower"},
		{claim: exact, a: between("a", 134013185, 134013185, 134013185, 134013184), want: "no not reproduced: higher"},
		{claim: exact, a: between("a", 4, 4, 4, 0), want: "incomparable no comparison"},
		{claim: zero, a: between("a", 0.01, 0.1, 0.2, 0), want: "yes holds"},
		{claim: zero, a: between("a", -0.01, 0.1, 0.2, 0), want: "open not shown"},
		{claim: zero, a: between("a", -0.3, -0.1, -0.01, 0), want: "no does not hold"},
		{claim: zero, a: between("a", 0.1, 0.1, 0.1, 0), want: "incomparable no comparison"},
		{claim: b, a: between("a", 0.5, 0.6, 0.7, 0), b: between("b", 0.3, 0.4, 0.49, 0), want: "yes holds"},
		{claim: b, a: between("a", 0.5, 0.6, 0.7, 0), b: between("b", 0.3, 0.4, 0.51, 0), want: "open not shown"},
		{claim: b, a: between("a", 0.1, 0.2, 0.29, 0), b: between("b", 0.3, 0.4, 0.5, 0), want: "no does not hold"},
		{claim: b, a: between("a", 0.5, 0.6, 0.7, 0), want: "unmeasured not measured"},
		{claim: level, a: between("a", -0.05, 0, 0.05, 0), want: "yes holds"},
		{claim: level, a: between("a", -0.06, 0, 0.05, 0), want: "open not shown"},
		{claim: level, a: between("a", -0.2, -0.1, -0.06, 0), want: "no does not hold"},
		{claim: near, a: between("a", 0.49, 0.5, 0.51, 0), b: between("b", 0.5, 0.51, 0.52, 0), want: "yes holds"},
		{claim: near, a: between("a", 0.6, 0.65, 0.7, 0), b: between("b", 0.5, 0.51, 0.54, 0), want: "no does not hold"},
	} {
		v := c.claim.judge(lab.Full, []result.Measurement{c.a, c.b})
		if got := fmt.Sprintf("%s %s", v.Outcome, v.Word); got != c.want {
			t.Errorf("%s, ours %s, against %s: %s (%s), want %s", c.claim.Rule, v.Ours, v.Beside, got, v.Why, c.want)
		}
	}
}

// Nothing is said of the paper by small sizes or other settings, but an order under other settings is an order.
func TestVerdictsOfOtherProfiles(t *testing.T) {
	all := []result.Measurement{between("a", 0.5, 0.6, 0.7, 0.6), between("b", 0.1, 0.2, 0.3, 0)}
	for _, c := range []struct {
		profile lab.Profile
		rule    rule
		against string
		want    Outcome
	}{
		{lab.Quick, rulePublished, "", NoComparison}, {lab.Quick, ruleAbove, "b", NoComparison},
		{lab.Custom, rulePublished, "", NoComparison}, {lab.Custom, ruleAbove, "b", Yes},
	} {
		v := claimOf(c.rule, 0, c.against).judge(c.profile, all)
		if v.Outcome != c.want || v.Ours != "0.600 [0.500, 0.700]" || (v.Beside == "") != (c.rule == rulePublished) {
			t.Errorf("%s, %s: %+v", c.profile, c.rule, v)
		}
	}
	c := claimOf(rulePublished, 0, "")
	c.Quick = map[string]string{"variant": "c"}
	if v := c.judge(lab.Quick, all); v.Command != "synapnet-train experiments run some --profile quick" {
		t.Errorf("not measured: %+v", v)
	}
}

// A result of other settings speaks of the claims of its experiment that it has measurements of, and of no others.
func TestClaimsOfOtherSettings(t *testing.T) {
	step := &lab.Step{Experiment: lab.Experiment{Name: "sustained"}, Result: &result.Result{Key: strings.Repeat("0", 64)}}
	if all := claimsOf(lab.Full, step); len(all) != 0 {
		t.Errorf("of no measurements: %+v", all)
	}
	for profile, context := range map[lab.Profile]string{lab.Full: "1024", lab.Quick: "256"} {
		step.Result.Measurements = []result.Measurement{
			result.ExactOf(result.Labels{"context": context}, result.Paper, "slowdown", "1", 0.2)}
		all := claimsOf(profile, step)
		if len(all) != 1 || all[0].Outcome != NoComparison || all[0].Ours != "0.200" || all[0].Section != step.ID() {
			t.Errorf("%s: %+v", profile, all)
		}
	}
}

// A claims.toml from which no verdict can follow is refused, with the claim.
func TestWrongClaims(t *testing.T) {
	for text, want := range map[string]string{
		"text = 'x'\nrule = 'feeling'":                                 `claim "x": there is no rule "feeling"`,
		"text = 'x'\nrule = 'level'":                                   `claim "x": a margin above 0 belongs to rule "level"`,
		"text = 'x'\nrule = 'above'\nmargin = 1.0":                     `claim "x": a margin above 0 belongs to rule "level"`,
		"text = 'x'\nrule = 'exact'\nagainst = { policy = 'fifo' }":    `claim "x": rule "exact" holds it against the publ`,
		"text = 'x'\nrule = 'exact'\nverdict = 'reproduced, honestly'": "unknown keys [claim.verdict]",
	} {
		if _, err := readClaims("[[claim]]\n" + text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Every claim has a source and an experiment, and its measurement stands in the committed results, with the published
// value that its rule needs; every list of claims of the README is among them.
func TestClaimsAreMeasured(t *testing.T) {
	all := experiments.All()
	judged := map[Outcome]int{}
	for _, c := range claims {
		i := slices.IndexFunc(all, func(e lab.Experiment) bool { return e.Name == c.Experiment })
		if i < 0 || c.Text == "" || c.Source == "" {
			t.Errorf("%+v: it lacks a text, a source or an experiment", c)
			continue
		}
		r, err := result.Read(filepath.Join("..", "..", "results", all[i].Folder, c.Experiment+".json"))
		if err != nil {
			t.Fatal(err)
		}
		v := c.judge(lab.Full, r.Measurements)
		judged[v.Outcome]++
		if v.Outcome == NotMeasured || v.Ours == "" || v.Beside == "" {
			t.Errorf("%s: %+v", c.Text, v)
		}
	}
	if judged[Yes] == 0 || judged[No] == 0 || judged[Open] == 0 {
		t.Errorf("the rules tell nothing apart: %v", judged)
	}
}

// The pages open with the verdicts; what is not measured says by which command it would be.
func TestPagesOpenWithVerdicts(t *testing.T) {
	d := folder(t)
	paths, r, err := Write(d, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Claims) != len(claims) || r.Claims[0].Outcome != NotMeasured || r.Claims[0].State != "stale" {
		t.Fatalf("%+v", r.Claims)
	}
	for i, order := range [][]string{
		{`<section id="claims">`, "<code>synapnet-train experiments run pretrain</code>", `id="overview"`, `id="pretrain"`},
		{"## What was found", "synapnet-train experiments run pretrain |", "## All experiments", `<a id="pretrain">`},
	} {
		page, at := read(t, paths[i]), 0
		for _, want := range order {
			next := strings.Index(page[at:], want)
			if next < 0 {
				t.Fatalf("%s: %q does not come in its place", paths[i], want)
			}
			at += next
		}
	}
}
