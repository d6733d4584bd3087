package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Claim is a sentence of the paper, of its public README or of what the strong model is to do, with the measurement
// that decides it.
type Claim struct {
	Text       string
	Source     string
	Profile    lab.Profile // Strong: of the model of recipe strong; "": of the reproduction
	Experiment string
	Rule       rule
	Margin     float64 // of ruleLevel
	Bound      float64 // of ruleLeast and ruleMost
	Metric     string
	Protocol   string
	Labels     map[string]string // all labels of the measurement but those of Each
	// Each are further labels, with the values that they have in the measurements that the claim is about, none for any:
	// it is judged by the one that speaks most against it.
	Each    map[string][]string
	Against map[string]string // labels in which another measurement differs, that it is held against
	Quick   map[string]string // labels that are others in the quick profile
}

// rule says how a claim's verdict follows from its measurement; claims.toml describes the rules.
type rule string

const (
	rulePublished rule = "published"
	ruleExact     rule = "exact"
	ruleAbove     rule = "above"
	ruleLevel     rule = "level"
	ruleLeast     rule = "least"
	ruleMost      rule = "most"
	ruleUnbeaten  rule = "unbeaten"
)

// rules lists them.
var rules = []rule{rulePublished, ruleExact, ruleAbove, ruleLevel, ruleLeast, ruleMost, ruleUnbeaten}

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
		case !slices.Contains(rules, c.Rule):
			return nil, fmt.Errorf("claim %q: there is no rule %q", c.Text, c.Rule)
		case c.Profile != "" && c.Profile != lab.Strong:
			return nil, fmt.Errorf("claim %q: its profile is %q or none, not %q", c.Text, lab.Strong, c.Profile)
		case (c.Rule == ruleLevel) != (c.Margin > 0):
			return nil, fmt.Errorf("claim %q: a margin above 0 belongs to rule %q, and to no other", c.Text, ruleLevel)
		case (c.Rule == ruleLeast || c.Rule == ruleMost) != (c.Bound > 0):
			return nil, fmt.Errorf("claim %q: a bound above 0 belongs to rules %q and %q, and to no other", c.Text, ruleLeast,
				ruleMost)
		case c.Against != nil && c.Rule != ruleAbove && c.Rule != ruleLevel:
			return nil, fmt.Errorf("claim %q: rule %q holds it against the published value, or a bound", c.Text, c.Rule)
		case c.Profile == lab.Strong && c.ofPublished():
			return nil, fmt.Errorf("claim %q: no published value is of the strong model", c.Text)
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
	Section string // ID of the one that shows the measurement
	State   string // of the result

	room float64 // to the worst, among measurements with the same outcome
}

// judge gives the verdict on a claim from the measurements of its experiment under a profile.
func (c Claim) judge(profile lab.Profile, all []result.Measurement) Verdict {
	found, lacking := c.find(profile, all)
	if len(found) == 0 {
		return c.notMeasured(profile)
	}
	verdicts := make([]Verdict, len(found))
	for i := range found {
		verdicts[i] = c.judgeOne(profile, &found[i], all)
	}
	worst := slices.MinFunc(verdicts, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(a.Outcome.against(), b.Outcome.against()), cmp.Compare(a.room, b.room))
	})
	if len(c.Each) == 0 {
		return worst
	}
	if len(lacking) > 0 {
		worst.Why = "not measured: " + strings.Join(lacking, ", ") + "; " + worst.Why
		if worst.Outcome == Yes {
			worst.Outcome, worst.Word = Open, "not shown"
		}
	}
	return worst
}

// notMeasured is the verdict without a measurement.
func (c Claim) notMeasured(profile lab.Profile) Verdict {
	v := Verdict{Claim: c, Section: c.Experiment, Outcome: NotMeasured, Word: "not measured",
		Why: "there is no such measurement", Command: "synapnet-train experiments run " + c.Experiment}
	if profile == lab.Quick || profile == lab.Strong {
		v.Command += " --profile " + string(profile)
	}
	return v
}

// against orders outcomes by how much they speak against a claim, the most first.
func (o Outcome) against() int {
	return slices.Index([]Outcome{No, Open, NotMeasured, NoComparison, Yes}, o)
}

// judgeOne is the verdict by one measurement.
func (c Claim) judgeOne(profile lab.Profile, m *result.Measurement, all []result.Measurement) Verdict {
	v := Verdict{Claim: c, Section: c.Experiment, Ours: withSpan(m)}
	other := m
	if c.Against != nil {
		labels := maps.Clone(m.Labels)
		maps.Copy(labels, c.Against)
		if other = measurementOf(all, c.Metric, c.Protocol, labels); other == nil {
			return c.notMeasured(profile)
		}
	}
	if !c.ofPublished() {
		v.Beside = c.beside(other)
	} else if m.Published != nil && profile == lab.Full {
		v.Beside = published(m)
	}
	switch {
	case profile == lab.Quick:
		v.Outcome, v.Word, v.Why = NoComparison, "no comparison", "small sizes on a small model"
	case profile == lab.Custom && c.ofPublished():
		v.Outcome, v.Word, v.Why = NoComparison, "no comparison", "other settings than the paper's"
	default:
		v.Outcome, v.Word, v.Why = c.decide(m, other)
	}
	if name := c.nameOf(m); name != "" {
		v.Why = name + ": " + v.Why
	}
	v.room = c.roomOf(m)
	return v
}

// ofPublished says whether the claim is held against a published value.
func (c Claim) ofPublished() bool { return c.Rule == rulePublished || c.Rule == ruleExact }

// nameOf are the values of the labels in Each that a measurement has.
func (c Claim) nameOf(m *result.Measurement) string {
	var values []string
	for _, label := range slices.Sorted(maps.Keys(c.Each)) {
		value := m.Labels[label]
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			value = label + " " + value
		}
		values = append(values, value)
	}
	return strings.Join(values, ", ")
}

// roomOf is how far a measurement is from speaking against the claim, for the order of those with the same outcome.
func (c Claim) roomOf(m *result.Measurement) float64 {
	switch c.Rule {
	case ruleLevel:
		return -math.Abs(m.Mean)
	case ruleMost, ruleUnbeaten:
		return -m.Mean
	}
	return m.Mean
}

// find are the measurements that the claim is about, and the values of labels in Each of which there is none.
func (c Claim) find(profile lab.Profile, all []result.Measurement) (found []result.Measurement, lacking []string) {
	labels := maps.Clone(c.Labels)
	if profile == lab.Quick {
		maps.Copy(labels, c.Quick)
	}
	met := map[string]bool{}
	for _, m := range all {
		own := maps.Clone(m.Labels)
		fits := m.Metric == c.Metric && m.Protocol == c.Protocol
		for label, values := range c.Each {
			value, ok := own[label]
			fits = fits && ok && (len(values) == 0 || slices.Contains(values, value))
			delete(own, label)
		}
		if !fits || !maps.Equal(own, labels) {
			continue
		}
		for label := range c.Each {
			met[label+" "+m.Labels[label]] = true
		}
		found = append(found, within(m))
	}
	for _, label := range slices.Sorted(maps.Keys(c.Each)) {
		for _, value := range c.Each[label] {
			if name := label + " " + value; !met[name] {
				lacking = append(lacking, name)
			}
		}
	}
	return found, lacking
}

// measurementOf is the one with exactly these labels; nil for none.
func measurementOf(all []result.Measurement, metric, protocol string, labels map[string]string) *result.Measurement {
	for _, m := range all {
		if m.Metric == metric && m.Protocol == protocol && maps.Equal(m.Labels, labels) {
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
	switch c.Rule {
	case ruleAbove:
		return decideAbove(low, high, span, ", above 0", ", holds 0", ", below 0")
	case ruleLeast, ruleMost:
		bound := f.value(c.Bound)
		beyond, holds, short := "our interval is above "+bound, "our interval holds "+bound, "our interval is below "+bound
		if c.Rule == ruleLeast {
			return decideAbove(low-c.Bound, high-c.Bound, "", beyond, holds, short)
		}
		return decideAbove(c.Bound-high, c.Bound-low, "", short, holds, beyond)
	case ruleUnbeaten:
		switch {
		case low > 0:
			return No, "does not hold", span + ", above 0"
		case high < 0:
			return Yes, "holds", span + ", below 0"
		}
		return Yes, "holds", span + ", holds 0"
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

// decideAbove says whether an interval lies above 0, with the reason for each outcome behind span.
func decideAbove(low, high float64, span, above, holds, below string) (outcome Outcome, word, why string) {
	switch {
	case low > 0:
		return Yes, "holds", span + above
	case high < 0:
		return No, "does not hold", span + below
	}
	return Open, "not shown", span + holds
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
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	if c.Against == nil {
		switch c.Rule {
		case ruleLevel:
			return "within ±" + number(c.Margin)
		case ruleLeast:
			return "at least " + number(c.Bound)
		case ruleMost:
			return "at most " + number(c.Bound)
		case ruleUnbeaten:
			return "not above 0"
		}
		return "above 0"
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

// of says whether the claim is one of a profile.
func (c Claim) of(p lab.Profile) bool { return (c.Profile == lab.Strong) == (p == lab.Strong) }

// claimsOf are the verdicts on the claims that a result of other settings than those of a profile has measurements of.
func claimsOf(profile lab.Profile, step *lab.Step) []Verdict {
	if step.Result == nil {
		return nil
	}
	var all []Verdict
	for _, c := range claims {
		if c.Experiment != step.Name || !c.of(profile) {
			continue
		}
		as := lab.Profile(lab.Custom)
		if profile == lab.Quick { // whose sizes are as small with other settings
			as = profile
		}
		if v := c.judge(as, step.Result.Measurements); v.Outcome != NotMeasured {
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
		if !c.of(profile) {
			continue
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
	if r.Profile == lab.Strong {
		return found(strongClaims, r.Claims, "hold")
	}
	return found("Of %d claims of the paper and of its README", r.Claims, "reproduced or held up")
}

// strongClaims is how a sentence on those of the strong model begins.
const strongClaims = "Of %d claims on a model that answers (recipe strong)"

// FoundStrong counts the verdicts on the strong model.
func (r *Report) FoundStrong() string { return found(strongClaims, r.StrongClaims, "hold") }

// found counts verdicts behind the beginning of a sentence.
func found(begins string, claims []Verdict, yes string) string {
	n := map[Outcome]int{}
	for _, v := range claims {
		n[v.Outcome]++
	}
	var parts []string
	for _, p := range []struct {
		outcome Outcome
		says    string
	}{
		{Yes, yes}, {No, "not"}, {Open, "left open by our intervals"},
		{NoComparison, "without a comparison"}, {NotMeasured, "not measured"},
	} {
		if n[p.outcome] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[p.outcome], p.says))
		}
	}
	return fmt.Sprintf(begins+": %s.", len(claims), strings.Join(parts, ", "))
}
