package report

import (
	"fmt"
	"maps"
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
	least, most, unbeaten := claimOf(ruleLeast, 0, ""), claimOf(ruleMost, 0, ""), claimOf(ruleUnbeaten, 0, "")
	least.Bound, most.Bound = 0.9, 0.1
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
		{claim: least, a: between("a", 0.91, 0.95, 0.97, 0), want: "yes holds"},
		{claim: least, a: between("a", 0.89, 0.95, 0.97, 0), want: "open not shown"},
		{claim: least, a: between("a", 0.7, 0.8, 0.89, 0), want: "no does not hold"},
		{claim: most, a: between("a", 0, 0.05, 0.09, 0), want: "yes holds"},
		{claim: most, a: between("a", 0, 0.05, 0.11, 0), want: "open not shown"},
		{claim: most, a: between("a", 0.2, 0.3, 0.4, 0), want: "no does not hold"},
		{claim: unbeaten, a: between("a", -0.3, -0.2, -0.1, 0), want: "yes holds"},
		{claim: unbeaten, a: between("a", -0.1, 0, 0.1, 0), want: "yes holds"},
		{claim: unbeaten, a: between("a", 0.01, 0.1, 0.2, 0), want: "no does not hold"},
	} {
		v := c.claim.judge(lab.Full, []result.Measurement{c.a, c.b})
		if got := fmt.Sprintf("%s %s", v.Outcome, v.Word); got != c.want {
			t.Errorf("%s, ours %s, against %s: %s (%s), want %s", c.claim.Rule, v.Ours, v.Beside, got, v.Why, c.want)
		}
	}
}

// A claim on several measurements has the verdict of the one that speaks most against it, which it names; what it names
// and is not there leaves it open.
func TestVerdictsOnEach(t *testing.T) {
	at := func(policy, seed string, low, mean, high float64) result.Measurement {
		m := between("a", low, mean, high, 0)
		m.Labels = map[string]string{"variant": "a", "policy": policy, "seed": seed}
		return m
	}
	c := claimOf(ruleLeast, 0, "")
	c.Bound, c.Each = 0.5, map[string][]string{"policy": {"x", "y"}, "seed": nil}
	good := []result.Measurement{at("x", "1", 0.6, 0.7, 0.8), at("y", "2", 0.55, 0.65, 0.8)}
	for name, k := range map[string]struct {
		all  []result.Measurement
		want string
	}{
		"all": {good, "holds: 0.650 [0.550, 0.800]; y, seed 2: our interval is above 0.500"},
		"one is open": {append(good, at("x", "3", 0.4, 0.9, 0.95)),
			"not shown: 0.900 [0.400, 0.950]; x, seed 3: our interval holds 0.500"},
		"one is below": {append(good, at("x", "3", 0.4, 0.6, 0.7), at("x", "4", 0.1, 0.2, 0.3)),
			"does not hold: 0.200 [0.100, 0.300]; x, seed 4: our interval is below 0.500"},
		"one lacks": {good[:1],
			"not shown: 0.700 [0.600, 0.800]; not measured: policy y; x, seed 1: our interval is above 0.500"},
		"others are not asked for": {append(good, at("z", "3", 0.1, 0.2, 0.3), between("a", 0.1, 0.2, 0.3, 0)),
			"holds: 0.650 [0.550, 0.800]; y, seed 2: our interval is above 0.500"},
		"none": {nil, "not measured: ; there is no such measurement"},
	} {
		v := c.judge(lab.Strong, k.all)
		if got := v.Word + ": " + v.Ours + "; " + v.Why; got != k.want {
			t.Errorf("%s: %s, want %s", name, got, k.want)
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
		"text = 'x'\nrule = 'least'":                                   `claim "x": a bound above 0 belongs to rules "least"`,
		"text = 'x'\nrule = 'above'\nbound = 0.5":                      `claim "x": a bound above 0 belongs to rules "least"`,
		"text = 'x'\nrule = 'least'\nbound = 0.5\nprofile = 'quick'":   `claim "x": its profile is "strong" or none`,
		"text = 'x'\nrule = 'exact'\nprofile = 'strong'":               `claim "x": no published value is of the`,
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
		if i < 0 || c.Text == "" || c.Source == "" || c.Profile == lab.Strong && !all[i].In(lab.Strong) {
			t.Errorf("%+v: it lacks a text, a source or an experiment of its profile", c)
			continue
		}
		if c.Profile == lab.Strong {
			continue // which is still to be measured
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
	paths, r, err := Write(d, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Claims) != len(claimsIn(lab.Full)) || r.Claims[0].Outcome != NotMeasured || r.Claims[0].State != "stale" {
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

// claimsIn are the claims of a profile.
func claimsIn(p lab.Profile) []Claim {
	return slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool { return !c.of(p) })
}

// strongResults are results of all experiments that the claims on the strong model name, with a measurement for each.
func strongResults(t *testing.T) *lab.Driver {
	t.Helper()
	d := &lab.Driver{Profile: lab.Strong, Root: t.TempDir(), Experiments: experiments.Of(lab.Strong)}
	measured := map[string][]result.Measurement{}
	for _, c := range claimsIn(lab.Strong) {
		var labels []map[string]string
		for _, others := range []map[string]string{nil, c.Against} {
			l := maps.Clone(c.Labels)
			maps.Copy(l, others)
			labels = append(labels, l)
		}
		for label, values := range c.Each {
			if len(values) == 0 {
				values = []string{"42", "43", "44"}
			}
			var more []map[string]string
			for _, value := range values {
				for _, l := range labels {
					more = append(more, result.With(l, label, value))
				}
			}
			labels = more
		}
		for _, l := range labels {
			m := between("", 0.93, 0.95, 0.96, 0)
			m.Labels, m.Metric, m.Protocol = l, c.Metric, c.Protocol
			if c.Metric == "difference" {
				m.Mean, m.Interval = -0.001, &result.Interval{Low: -0.008, High: 0.006, Method: "newcombe"}
			}
			if measurementOf(measured[c.Experiment], m.Metric, m.Protocol, m.Labels) == nil {
				measured[c.Experiment] = append(measured[c.Experiment], m)
			}
		}
	}
	for _, e := range d.Experiments {
		if measured[e.Name] == nil {
			continue
		}
		r := &result.Result{
			Experiment: e.Name, Profile: "strong", Complete: true, Key: strings.Repeat("0", 64), Version: 1,
			Config: []byte("{}"), Protocol: "some", Environment: result.Environment{Commit: "0123456789abcdef", Host: "h"},
			Measurements: measured[e.Name],
		}
		if err := result.Write(d.Path(e), r); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// The verdicts on the strong model come first, then those of the reproduction, and so do the sections; what is not yet
// run on it is one line, and no claim.
func TestStrongVerdictsComeFirst(t *testing.T) {
	d, strong := folder(t), strongResults(t)
	paths, r, err := Write(d, strong, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.StrongClaims) != len(claimsIn(lab.Strong)) || len(r.Claims) != len(claimsIn(lab.Full)) {
		t.Errorf("%d and %d claims", len(r.StrongClaims), len(r.Claims))
	}
	for _, v := range r.StrongClaims {
		if v.Outcome == NotMeasured || v.Outcome == NoComparison || v.Ours == "" || v.Beside == "" {
			t.Errorf("%+v", v)
		}
	}
	first := "strong-" + claimsIn(lab.Strong)[0].Experiment
	for i, order := range [][]string{
		{`<section id="claims">`, "on a model that answers", `<a href="#` + first + `">`, "of the paper and of its README",
			`<a href="#pretrain">`, "Not yet run on the strong model: ", `id="` + first + `"`, `id="pretrain"`},
		{"## What was found", "on a model that answers", "(#" + first + ")", "of the paper and of its README",
			"(#pretrain)", "Not yet run on the strong model: ", `<a id="` + first + `">`, `<a id="pretrain">`},
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
	strong.Root = filepath.Join(t.TempDir(), "none")
	if r, err = New(d, strong); err != nil || len(r.StrongClaims)+len(r.Strong) != 0 ||
		!strings.HasPrefix(r.NotYetRun(), "Not yet run on the strong model: pretrain, ") {
		t.Errorf("of no results: %d claims, %q (%v)", len(r.StrongClaims), r.NotYetRun(), err)
	}
}
