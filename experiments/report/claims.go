package report

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Claim is a sentence of the paper or of its public README, with the measurement that decides it.
type Claim struct {
	Text       string
	Source     string
	Experiment string
	Rule       rule
	Margin     float64 // of ruleLevel
	Metric     string
	Protocol   string
	Labels     map[string]string // all labels of the measurement
	Against    map[string]string // labels in which another measurement differs, that it is held against
	Quick      map[string]string // labels that are others in the quick profile
}

// rule says how a claim's verdict follows from its measurement; claims.toml describes the rules.
type rule string

const (
	rulePublished rule = "published"
	ruleExact     rule = "exact"
	ruleAbove     rule = "above"
	ruleLevel     rule = "level"
)

//go:embed claims.toml
var claimsText string

// claims is claims.toml. It is part of the program: one that is wrong panics.
var claims = func() []Claim {
	all, err := readClaims(claimsText)
	if err != nil {
		panic("claims.toml: " + err.Error())
	}
	return all
}()

// readClaims reads claims and refuses those that no verdict can follow from.
func readClaims(text string) ([]Claim, error) {
	var file struct{ Claim []Claim }
	if err := decode(text, &file); err != nil {
		return nil, err
	}
	for _, c := range file.Claim {
		switch {
		case !slices.Contains([]rule{rulePublished, ruleExact, ruleAbove, ruleLevel}, c.Rule):
			return nil, fmt.Errorf("claim %q: there is no rule %q", c.Text, c.Rule)
		case (c.Rule == ruleLevel) != (c.Margin > 0):
			return nil, fmt.Errorf("claim %q: a margin above 0 belongs to rule %q, and to no other", c.Text, ruleLevel)
		case c.Against != nil && (c.Rule == rulePublished || c.Rule == ruleExact):
			return nil, fmt.Errorf("claim %q: rule %q holds it against the published value", c.Text, c.Rule)
		}
	}
	return file.Claim, nil
}

// Outcome is the kind of a verdict.
type Outcome string

// The outcomes. Yes, No and Open are of claims that the measurement can decide.
const (
	Yes          Outcome = "yes"
	No           Outcome = "no"
	Open         Outcome = "open"         // the interval leaves it open
	NoComparison Outcome = "incomparable" // the measurement cannot decide it
	NotMeasured  Outcome = "unmeasured"
)

// Verdict is a claim with what was found.
type Verdict struct {
	Claim
	Outcome Outcome
	Word    string // the verdict in a word or two
	Why     string // in a few words
	Ours    string // with its interval, "" where there is none
	Beside  string // what it is held against
	Command string // measures what is not measured
	Section string // of the report, that shows the measurement
	State   string // of the result
}

// judge gives the verdict on a claim from the measurements of its experiment under a profile.
func (c Claim) judge(profile lab.Profile, all []result.Measurement) Verdict {
	v := Verdict{Claim: c, Section: c.Experiment}
	m, other := c.find(profile, all, nil), c.find(profile, all, c.Against)
	if m == nil || other == nil {
		v.Outcome, v.Word, v.Why = NotMeasured, "not measured", "there is no such measurement"
		v.Command = "synapnet-train experiments run " + c.Experiment
		if profile == lab.Quick || profile == lab.Strong {
			v.Command += " --profile " + string(profile)
		}
		return v
	}
	v.Ours = withSpan(m)
	switch c.Rule {
	case rulePublished, ruleExact:
		if m.Published != nil && profile == lab.Full {
			v.Beside = published(m)
		}
	case ruleAbove, ruleLevel:
		v.Beside = c.beside(other)
	}
	switch {
	case profile == lab.Quick:
		v.Outcome, v.Word, v.Why = NoComparison, "no comparison", "small sizes on a small model"
	case profile == lab.Strong && c.ofPublished():
		v.Outcome, v.Word, v.Why = NoComparison, "no comparison", "another model than the paper's"
	case profile == lab.Custom && c.ofPublished():
		v.Outcome, v.Word, v.Why = NoComparison, "no comparison", "other settings than the paper's"
	default:
		v.Outcome, v.Word, v.Why = c.decide(m, other)
	}
	return v
}

// ofPublished says whether the claim is held against a published value.
func (c Claim) ofPublished() bool { return c.Rule == rulePublished || c.Rule == ruleExact }

// find is the claim's measurement, with other values of the labels in against; nil for none.
func (c Claim) find(profile lab.Profile, all []result.Measurement, against map[string]string) *result.Measurement {
	labels := maps.Clone(c.Labels)
	if profile == lab.Quick {
		maps.Copy(labels, c.Quick)
	}
	maps.Copy(labels, against)
	for i := range all {
		if m := all[i]; m.Metric == c.Metric && m.Protocol == c.Protocol && maps.Equal(m.Labels, labels) {
			m = within(m)
			return &m
		}
	}
	return nil
}

// decide applies the claim's rule.
func (c Claim) decide(m, other *result.Measurement) (outcome Outcome, word, why string) {
	switch c.Rule {
	case rulePublished:
		return decidePublished(m)
	case ruleExact:
		return decideExact(m)
	}
	low, high, ok := c.differenceOf(m, other)
	if !ok {
		return NoComparison, "no comparison", "no interval, or one without a width"
	}
	f := plain(m.Unit)
	span := fmt.Sprintf("difference [%s, %s]", f.signed(low), f.signed(high))
	if c.Rule == ruleAbove {
		switch {
		case low > 0:
			return Yes, "holds", span + ", above 0"
		case high < 0:
			return No, "does not hold", span + ", below 0"
		}
		return Open, "not shown", span + ", holds 0"
	}
	margin := f.value(c.Margin)
	switch {
	case -c.Margin <= low && high <= c.Margin:
		return Yes, "holds", span + ", within ±" + margin
	case high < -c.Margin || low > c.Margin:
		return No, "does not hold", span + ", beyond ±" + margin
	}
	return Open, "not shown", span + ", partly beyond ±" + margin
}

// decidePublished says whether the published value lies in our interval.
func decidePublished(m *result.Measurement) (outcome Outcome, word, why string) {
	switch {
	case m.Published == nil:
		return NoComparison, "no comparison", "there is no published value"
	case !machineFree(m):
		return NoComparison, "no comparison", "times of another machine and program"
	case !judged(m):
		return NoComparison, "no comparison", "no interval, or one without a width"
	case inside(m):
		return Yes, "reproduced", "published value in our interval"
	}
	return notReproduced(m, "published value "+sideOf(m.Published.Mean > m.Interval.High)+" our interval")
}

// decideExact says whether our number is the published one, to as many decimals as that has.
func decideExact(m *result.Measurement) (outcome Outcome, word, why string) {
	if m.Published == nil {
		return NoComparison, "no comparison", "there is no published value"
	}
	digits := strconv.FormatFloat(m.Published.Mean, 'f', -1, 64)
	_, decimals, _ := strings.Cut(digits, ".")
	if strconv.FormatFloat(m.Mean, 'f', len(decimals), 64) == digits {
		return Yes, "reproduced", "the published number, to its last digit"
	}
	return notReproduced(m, "not the published number, to its last digit")
}

func notReproduced(m *result.Measurement, why string) (Outcome, string, string) {
	if m.Mean < m.Published.Mean {
		return No, "not reproduced: lower", why
	}
	return No, "not reproduced: higher", why
}

func sideOf(above bool) string {
	if above {
		return "above"
	}
	return "below"
}

// differenceOf is the interval of m minus other, from end to end of both; of m itself where that is a difference. ok is
// false where there is none.
func (c Claim) differenceOf(m, other *result.Measurement) (low, high float64, ok bool) {
	wide := func(m *result.Measurement) bool { return m.Interval != nil && m.Interval.Low < m.Interval.High }
	switch {
	case !wide(m) || !wide(other):
		return 0, 0, false
	case c.Against == nil:
		return m.Interval.Low, m.Interval.High, true
	}
	return m.Interval.Low - other.Interval.High, m.Interval.High - other.Interval.Low, true
}

// beside is what a value is held against where it is not the published one.
func (c Claim) beside(other *result.Measurement) string {
	bound := "above 0"
	if c.Rule == ruleLevel {
		bound = "within ±" + strconv.FormatFloat(c.Margin, 'f', -1, 64)
	}
	if c.Against == nil {
		return bound
	}
	var names []string
	for _, label := range slices.Sorted(maps.Keys(c.Against)) {
		name := c.Against[label]
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			name = "at " + name
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ") + ": " + withSpan(other)
}

// published is the published value of a measurement, with its unit.
func published(m *result.Measurement) string {
	s := plain(m.Unit).withStd(m.Published.Mean, m.Published.Std)
	if u := unitName(m.Unit); u != "" {
		s += " " + u
	}
	return "published " + s
}

// claimsOf are the verdicts on the claims that a result of other settings than those of a profile has measurements of.
func claimsOf(profile lab.Profile, step *lab.Step) []Verdict {
	if step.Result == nil {
		return nil
	}
	if profile != lab.Quick { // whose sizes are as small with other settings
		profile = lab.Custom
	}
	var all []Verdict
	for _, c := range claims {
		if c.Experiment != step.Name {
			continue
		}
		if v := c.judge(profile, step.Result.Measurements); v.Outcome != NotMeasured {
			v.Section = step.ID()
			all = append(all, v)
		}
	}
	return all
}

// judgeAll gives the verdicts on all claims from the results of a plan.
func judgeAll(profile lab.Profile, steps []*lab.Step) []Verdict {
	var all []Verdict
	for _, c := range claims {
		if profile == lab.Strong && !slices.ContainsFunc(steps, func(s *lab.Step) bool { return s.Name == c.Experiment }) {
			continue // of no experiment of the profile
		}
		var found []result.Measurement
		state := "missing"
		for _, s := range steps {
			if s.Name != c.Experiment {
				continue
			}
			if s.Result != nil {
				found = s.Result.Measurements
			}
			state, _ = stateOf(s)
		}
		v := c.judge(profile, found)
		v.State = state
		all = append(all, v)
	}
	return all
}

// Found counts the verdicts in a sentence.
func (r *Report) Found() string {
	n := map[Outcome]int{}
	for _, v := range r.Claims {
		n[v.Outcome]++
	}
	var parts []string
	for _, p := range []struct {
		outcome Outcome
		says    string
	}{
		{Yes, "reproduced or held up"}, {No, "not"}, {Open, "left open by our intervals"},
		{NoComparison, "without a comparison"}, {NotMeasured, "not measured"},
	} {
		if n[p.outcome] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[p.outcome], p.says))
		}
	}
	return fmt.Sprintf("Of %d claims of the paper and of its README: %s.", len(r.Claims), strings.Join(parts, ", "))
}
