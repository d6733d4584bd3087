package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/stream"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

func streamCommand() *cli.Command {
	return &cli.Command{
		Name:        "stream",
		Usage:       "run a model over an unbounded stream of token ids with a memory that stays within its budget",
		ArgsUsage:   "[MODEL.safetensors [INPUT|-]]",
		Description: helpText("stream", "{policyNames}", strings.Join(policy.Names(), ", ")),
		Flags: []cli.Flag{
			&cli.Float64Flag{Name: "budget-mb", Usage: "`MB` (2^20 bytes) that all entries together may take, with what " +
				"is known of each",
				Value: baee.DefaultBudget >> 20},
			&cli.StringFlag{Name: "policy", Usage: "`NAME` of the eviction policy",
				DefaultText: "baee with --classifier, else baee_salience"},
			&cli.StringFlag{Name: "classifier",
				Usage: "trained retention classifier or Locret head, a `FILE` of baee-train, for policies that need one"},
			&cli.IntFlag{Name: "chunk-size", Usage: "`TOKENS` that are read at a time",
				DefaultText: "512, or the model's max_len if that is less"},
			&cli.Uint64Flag{Name: "seed", Usage: "seed of the random policy"},
			&cli.StringFlag{Name: "snapshot", Usage: "write the state of the stream to `FILE` at the end and on Ctrl-C"},
			&cli.IntFlag{Name: "snapshot-every", Usage: "write --snapshot every `CHUNKS` as well",
				DefaultText: "only at the end"},
			&cli.StringFlag{Name: "restore",
				Usage: "continue the stream of a snapshot `FILE`, with its policy, budget and chunk size"},
			&cli.Int64Flag{Name: "skip", Usage: "`TOKENS` at the start of the input to pass over, e.g. those before a snapshot"},
			&cli.BoolFlag{Name: "same-input",
				Usage: "with --restore: the input is the stream's from its beginning; pass over what the snapshot has seen"},
			&cli.BoolFlag{Name: "text", Usage: "INPUT is text, for a model with a tokeniser; each line is a text of its own"},
			&cli.Int64Flag{Name: "random-tokens", Usage: "instead of an INPUT: `N` random ids, uniform over the vocabulary"},
			&cli.Uint64Flag{Name: "input-seed", Usage: "seed of --random-tokens", Value: 1},
			&cli.StringFlag{Name: "report", Usage: "write resident memory and the state of the store over time to `FILE`, JSON"},
			&cli.Int64Flag{Name: "report-every", Usage: "`TOKENS` between its samples", Value: 100_000},
			&cli.IntFlag{Name: "top", Usage: "outputs to print, the most likely first", Value: 5},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			threadsFlag(),
		},
		Action: runStream,
	}
}

// streamGCPercent is how much garbage there may be, in hundredths of what is held, before it is collected.
const streamGCPercent = 10

// streamSummary is what stream --json prints.
type streamSummary struct {
	Model       string  `json:"model"`
	Policy      string  `json:"policy"`
	ChunkSize   int     `json:"chunk_size"`
	Tokens      int64   `json:"tokens"`       // of the stream, those before a snapshot included
	InputTokens int64   `json:"input_tokens"` // of this call
	Chunks      int64   `json:"chunks"`
	BudgetBytes int     `json:"budget_bytes"`
	TotalBytes  int     `json:"total_bytes"` // held at the end: what the budget limits
	Bytes       int     `json:"bytes"`       // of them contents
	Hot         int     `json:"hot"`
	Warm        int     `json:"warm"`
	Summaries   int     `json:"summaries"`
	Evicted     int64   `json:"evicted"`
	Merged      int64   `json:"merged"`
	Demoted     int64   `json:"demoted"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"tokens_per_second"`
	Snapshot    string  `json:"snapshot,omitempty"`
	// Kernels of the tokens, by position, where they changed on the way.
	Kernels graph.KernelHistory `json:"kernels,omitempty"`
	Top     []streamLogit       `json:"top"`
}

// streamLogit is one output of the last chunk: a class, or the next token of a language model.
type streamLogit struct {
	Output      int     `json:"output"`
	Label       string  `json:"label,omitempty"` // its word, of a model that learnt from own data
	Logit       float32 `json:"logit"`
	Probability float64 `json:"probability"`
}

func runStream(c *cli.Context) error {
	if err := checkStreamFlags(c); err != nil {
		return err
	}
	// What is held is a few large arrays without pointers: collecting often costs next to nothing, and keeps the process
	// near what is held in place of twice that.
	defer debug.SetGCPercent(debug.SetGCPercent(streamGCPercent))
	model, m, err := loadArgument(c)
	if err != nil {
		return err
	}
	s, err := openStream(c, m)
	if err != nil {
		return err
	}
	defer s.Close()
	run := &streamRun{
		c: c, model: model, stream: s, skip: c.Int64("skip"),
		every: int64(c.Int("snapshot-every")), live: newDisplay(c.App.ErrWriter),
		passed: baee.NewDigest(), failing: map[string]error{},
	}
	if s.Warning != "" {
		run.warn("%s", s.Warning)
	}
	input, name, err := streamInput(c, m.Config.VocabSize)
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }() // it was only read
	reader, err := streamReader(c, m, name, newPatient(c.Context, input), s.ChunkSize())
	if err != nil {
		return err
	}
	if run.labels, err = curriculum.LabelsOf(m.Extra); err != nil { // now, and not at the end of the stream
		return err
	}
	run.start = time.Now()
	if run.record, err = streamRecord(c, model, s, name); err != nil {
		return err
	}
	if c.Bool("same-input") {
		run.skip, run.same = s.Position(), s.Taken()
	}
	err = run.all(reader)
	run.live.clear()
	if run.record != nil {
		run.note("the report", run.record.Finish(s, err == nil))
	}
	if err != nil {
		return err
	}
	if err := printStream(c, run.report(), m.Config.LanguageModel()); err != nil {
		return err
	}
	for _, what := range []string{"the snapshot", "the report"} {
		if err := run.failing[what]; err != nil {
			return fmt.Errorf("the stream is complete, but %s failed: %w", what, err)
		}
	}
	if snapshot := c.String("snapshot"); snapshot != "" && !c.Bool("text") {
		next(c, "stream", model, "--restore", snapshot, "--random-tokens", tried)
	} else if !m.Config.LanguageModel() && !learntOwn(m.Extra) {
		next(c, "eval", model)
	}
	return nil
}

// checkStreamFlags checks what needs no model.
func checkStreamFlags(c *cli.Context) error {
	switch n := c.Args().Len(); {
	case n > 2:
		return usagef(c, "unexpected argument %s: stream takes a model and an input", printable(c.Args().Get(2)))
	case c.Int("top") < 1:
		return usagef(c, "--top %d: must be at least 1", c.Int("top"))
	case c.Int64("skip") < 0:
		return usagef(c, "--skip %d: must be at least 0", c.Int64("skip"))
	case c.IsSet("snapshot-every") && (c.Int("snapshot-every") < 1 || c.String("snapshot") == ""):
		return usagef(c, "--snapshot-every %d: it must be at least 1 and goes with --snapshot FILE", c.Int("snapshot-every"))
	}
	if err := checkStreamInput(c); err != nil || c.String("restore") == "" {
		return err
	}
	for _, f := range []string{"budget-mb", "policy", "classifier", "chunk-size", "seed"} {
		if c.IsSet(f) {
			return usagef(c, "--%s goes with a new stream: --restore takes it from the snapshot; leave one of them out", f)
		}
	}
	return nil
}

// checkStreamInput checks what the flags say of the input and the report.
func checkStreamInput(c *cli.Context) error {
	n := c.Int64("random-tokens")
	switch {
	case c.IsSet("random-tokens") && n < 1:
		return usagef(c, "--random-tokens %d: must be at least 1", n)
	case n > 0 && c.Bool("text"):
		return usagef(c, "--random-tokens %d are ids, and --text says that the input is text: leave one of them out", n)
	case n > 0 && c.Args().Len() == 2:
		return usagef(c, "--random-tokens %d takes the place of an input: leave out %s", n, printable(c.Args().Get(1)))
	case n == 0 && c.IsSet("input-seed"):
		return usagef(c, "--input-seed %d: it goes with --random-tokens N", c.Uint64("input-seed"))
	case c.Bool("same-input") && c.String("restore") == "":
		return usagef(c, "--same-input goes with --restore FILE")
	case c.Bool("same-input") && c.IsSet("skip"):
		return usagef(c, "--same-input and --skip %d both say where to begin: leave one of them out", c.Int64("skip"))
	case c.Int64("report-every") < 1:
		return usagef(c, "--report-every %d: must be at least 1", c.Int64("report-every"))
	case c.IsSet("report-every") && c.String("report") == "":
		return usagef(c, "--report-every %d: it goes with --report FILE", c.Int64("report-every"))
	}
	return nil
}

// openStream begins a stream or continues one.
func openStream(c *cli.Context, m *layers.Model) (*baee.Stream, error) {
	if path := c.String("restore"); path != "" {
		s, err := baee.RestoreStream(m, path)
		if err != nil {
			return nil, err
		}
		debug.FreeOSMemory() // the file, which is no longer held, is room
		if err := checkStreamMemory(c, m, s, mostTokens(c, s.Position())); err != nil {
			s.Close()
			return nil, err
		}
		return s, nil
	}
	conf, err := streamMemory(c, m.Config)
	if err != nil {
		return nil, err
	}
	memory, err := baee.New(conf)
	if err != nil {
		return nil, usagef(c, "--policy %s: %v", conf.Policy, err)
	}
	chunk := min(512, m.Config.MaxLen)
	override(c, setting{flag: "chunk-size", field: &chunk})
	s, err := baee.NewStream(m, memory, chunk)
	if err != nil {
		return nil, usagef(c, "--chunk-size %d: it must be from 1 to the model's %d positions (max_len)", chunk,
			m.Config.MaxLen)
	}
	if err := checkStreamMemory(c, m, s, mostTokens(c, 0)); err != nil {
		return nil, err
	}
	return s, nil
}

// streamMemory is the configuration that the flags ask for.
func streamMemory(c *cli.Context, m layers.Config) (baee.Config, error) {
	conf := baee.Default(m.Dim, m.Depth, m.EpisodicSlots, nil)
	conf.Seed, conf.CountMetadata = c.Uint64("seed"), true
	conf.Policy = "baee_salience"
	if path := c.String("classifier"); path != "" {
		network, err := baee.LoadClassifier(path)
		if err != nil {
			return conf, err
		}
		conf.Policy, conf.Classifier = "baee", network
		if network.History == 0 {
			conf.Policy, conf.Classifier, conf.Head = "locret_proxy", nil, network
		}
	}
	if c.IsSet("policy") {
		conf.Policy = c.String("policy")
	}
	p, err := policy.Lookup(conf.Policy)
	if err != nil {
		return conf, usagef(c, "--policy: %v", err)
	}
	if p.Needs.Retention && conf.Classifier == nil {
		return conf, usagef(c, "--policy %s needs a trained retention classifier: give --classifier FILE, made by '%s'",
			p.Name, shell.CommandLine("baee-train"))
	}
	if p.Needs.Head && conf.Head == nil {
		return conf, usagef(c, "--policy %s needs a trained Locret-style head: give --classifier FILE, made by '%s'", p.Name,
			shell.CommandLine("baee-train"))
	}
	conf.Tiers = p.Score != nil
	return conf, streamBudget(c, &conf)
}

// streamBudget sets the bytes that all entries together may take, what is known of them included.
func streamBudget(c *cli.Context, conf *baee.Config) error {
	least, mb := float64(conf.EntryBytes()*conf.Layers)/(1<<20), c.Float64("budget-mb")
	if !(mb >= least && mb <= 1<<26) {
		return usagef(c, "--budget-mb %g: it must be at least %.6f, one entry of %d bytes in each of %d layers, and "+
			"at most %d", mb, math.Ceil(least*1e6)/1e6, conf.EntryBytes(), conf.Layers, 1<<26)
	}
	conf.BudgetBytes = int(mb * (1 << 20))
	return nil
}

// mostTokens bounds the tokens that a stream at the given position will take in: an id takes two bytes of a file at
// least. It is -1 where there is no bound, as with a pipe, or with text, of which a tokeniser may make any number.
func mostTokens(c *cli.Context, position int64) int64 {
	if c.Bool("text") {
		return -1
	}
	most, skip := c.Int64("random-tokens"), c.Int64("skip")
	if c.Bool("same-input") {
		skip = position
	}
	if most == 0 {
		var info os.FileInfo
		var err error
		if path := c.Args().Get(1); path != "" && path != "-" {
			info, err = os.Stat(path)
		} else if f, ok := c.App.Reader.(*os.File); ok {
			info, err = f.Stat()
		}
		if err != nil || info == nil || !info.Mode().IsRegular() { // an error is told where the input is opened
			return -1
		}
		most = info.Size()/2 + 1
	}
	return max(0, most-skip)
}

// streamInput opens what the second argument names, or makes the random ids that are asked for.
func streamInput(c *cli.Context, vocab int) (io.ReadCloser, string, error) {
	if n := c.Int64("random-tokens"); n > 0 {
		return io.NopCloser(newRandomIDs(n, vocab, c.Uint64("input-seed"))), "random tokens", nil
	}
	path := c.Args().Get(1)
	if path == "" || path == "-" {
		return io.NopCloser(c.App.Reader), "standard input", nil
	}
	f, err := files.OpenStream(c.Context, path)
	if err != nil {
		return nil, "", err
	}
	return f, path, nil
}

// idReader gives the ids of an input.
type idReader interface {
	input() string // its name
	// some are the next ids, at least one and at most `most`; err says how the input went on after them.
	some(most int) (ids []int32, err error)
	unfinished() string // what was begun and not read to its end
}

// streamReader reads the input as ids, or as text with the tokeniser that goes with the model.
func streamReader(c *cli.Context, m *layers.Model, name string, in io.Reader, chunk int) (idReader, error) {
	_, ofText := m.Extra[curriculum.TokenizerName]
	switch {
	case !c.Bool("text"):
		ids := newTokenReader(name, in, m.Config.VocabSize, chunk)
		if ofText {
			ids.mend = "; --text reads text"
		}
		return ids, nil
	case !ofText:
		return nil, usagef(c, "--text: the model has no tokeniser, which goes with models that learnt from text (pretrain "+
			"--data FILE --tokenizer words): give token ids, without --text")
	}
	t, err := curriculum.TokenizerOf(m.Extra)
	if err != nil {
		return nil, err
	}
	return newTextReader(name, in, t, m.Config.VocabSize), nil
}

// streamRecord begins the --report, if there is one.
func streamRecord(c *cli.Context, model string, s *baee.Stream, input string) (*stream.Record, error) {
	if c.String("report") == "" {
		return nil, nil
	}
	r, err := stream.NewRecord(c.String("report"), s, stream.Settings{
		Model: model, Classifier: c.String("classifier"), Restored: c.String("restore"), Input: input,
		Skip:         c.Int64("skip"),
		RandomTokens: c.Int64("random-tokens"), InputSeed: c.Uint64("input-seed"), SampleEvery: c.Int64("report-every"),
	}, environment())
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return r, nil
}

// streamRun is one call of the command.
type streamRun struct {
	c      *cli.Context
	model  string       // the file
	labels *data.Labels // that go with it; nil: none
	stream *baee.Stream
	every  int64 // chunks between snapshots; 0: only the last one
	live   *display
	record *stream.Record // nil without --report

	skip    int64       // tokens of the input to pass over
	skipped int64       // of them passed over
	taken   int64       // tokens of the input behind them
	passed  baee.Digest // of those passed over
	same    baee.Digest // what it must be in the end; not known: anything
	logits  []float32
	start   time.Time
	// What failed without ending the stream, by what it is of: told when it begins, and at the end if it lasts.
	failing map[string]error
}

func (r *streamRun) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(r.c.App.ErrWriter, program+": warning: "+format+"\n", args...)
}

// all takes in the input to its end, or until the command is interrupted, passing over the tokens to skip. The snapshot
// at the end is made before the tokens that do not fill a chunk are run, so that a restored stream goes on with the
// same chunks as one that was never cut. What was read of the input is in it, whatever ended the reading.
func (r *streamRun) all(t idReader) error {
	for {
		_, ended, err := r.readSome(t)
		if err != nil {
			return err
		}
		switch {
		case errors.Is(ended, io.EOF):
			return r.finish(t.input())
		case r.c.Err() != nil:
			return r.interrupted(t)
		case ended != nil:
			return r.stopped(ended)
		}
	}
}

// readSome takes in what has arrived of the input: n ids, those passed over included. ended is how it went on.
func (r *streamRun) readSome(t idReader) (n int, ended, err error) {
	ids, ended := t.some(r.stream.ChunkSize())
	passed := min(r.skip-r.skipped, int64(len(ids)))
	r.skipped, r.passed = r.skipped+passed, r.passed.Add(ids[:passed])
	if passed > 0 && r.skipped == r.skip && r.same != 0 && r.same != r.passed {
		return len(ids), ended, usagef(r.c, "--same-input: the first %d token ids of %s are not those that the stream of %s "+
			"has taken: give the input of that stream, or leave out --same-input", r.skip, t.input(), r.c.String("restore"))
	}
	return len(ids), ended, r.push(ids[passed:])
}

// push takes in ids up to a chunk's end at a time.
func (r *streamRun) push(ids []int32) error {
	before := r.stream.Position()
	err := r.stream.Push(ids, func([]float32) error {
		r.tell(time.Since(r.start), r.taken+r.stream.Position()-before)
		if r.every > 0 && r.stream.Memory().Chunk()%r.every == 0 {
			r.note("the snapshot", r.save())
		}
		if r.record != nil {
			r.note("the report", r.record.Chunk(r.stream))
		}
		return nil
	})
	r.taken += r.stream.Position() - before
	return err
}

// tell shows the state of the stream after a chunk.
func (r *streamRun) tell(elapsed time.Duration, taken int64) {
	m := r.stream.Memory()
	line := fmt.Sprintf("%s tokens  %s  %.0f tok/s", grouped(int(r.stream.Position())),
		countsText(m.Total(), m.Config().BudgetBytes), float64(taken)/elapsed.Seconds())
	r.live.show(false, 0, -1, line, line)
}

// note keeps a failure that is no reason to lose the stream, and tells it when it is new.
func (r *streamRun) note(what string, err error) {
	if err == nil {
		delete(r.failing, what)
		return
	}
	if r.failing[what] == nil {
		r.live.clear()
		r.warn("%s failed: %v", what, err)
	}
	r.failing[what] = err
}

func (r *streamRun) save() error {
	if snapshot := r.c.String("snapshot"); snapshot != "" {
		return r.stream.Save(snapshot)
	}
	return nil
}

// finish ends a stream whose input has ended.
func (r *streamRun) finish(name string) error {
	switch {
	case r.skipped < r.skip && r.c.Bool("same-input"):
		return usagef(r.c, "--same-input: the stream of %s has taken %d token ids, and %s holds %d: it is not the input of "+
			"that stream; give it, or leave out --same-input", r.c.String("restore"), r.skip, name, r.skipped)
	case r.skipped < r.skip:
		return usagef(r.c, "--skip %d: %s holds %d token ids; give at most as many, or the whole input", r.skip, name,
			r.skipped)
	case r.taken == 0 && r.skip == 0 && r.c.Bool("text"):
		return fmt.Errorf("%s holds no text: give at least one character", name)
	case r.taken == 0 && r.skip == 0:
		return fmt.Errorf("%s holds no token ids: give at least one, a whole number from 0 on", name)
	}
	r.note("the snapshot", r.save())
	if err := r.stream.Flush(func([]float32) error { return nil }); err != nil {
		return err
	}
	if r.logits = r.stream.LastLogits(); r.logits == nil {
		return fmt.Errorf("%s holds no token ids after the %d that are passed over, and the snapshot, if there is one, is "+
			"of an older version and without the stream's answer: give the ids that follow", name, r.skip)
	}
	return nil
}

// stopped saves the work before a mistake in the input.
func (r *streamRun) stopped(cause error) error {
	if err := r.save(); err != nil {
		return fmt.Errorf("%w; and the snapshot failed: %w", cause, err)
	}
	if snapshot := r.c.String("snapshot"); snapshot != "" {
		return fmt.Errorf("%w; the %d tokens before it are in the snapshot %s", cause, r.taken, snapshot)
	}
	return cause
}

// interrupted saves the work and says how to go on.
func (r *streamRun) interrupted(t idReader) error {
	for {
		if err := r.save(); err != nil {
			return fmt.Errorf("%w after %d tokens, and the snapshot failed: %w", train.ErrInterrupted, r.taken, err)
		}
		n, _, err := r.readSome(t) // what came in meanwhile: nobody who continues with a pipe would read it again
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	cut := ""
	if begun := t.unfinished(); begun != "" {
		cut = ", and " + begun + " whose end was not read, which is in none"
	}
	if r.c.String("snapshot") == "" {
		return fmt.Errorf("%w after %d tokens%s; there is no snapshot, --snapshot FILE would make one", train.ErrInterrupted,
			r.taken, cut)
	}
	return fmt.Errorf("%w after %d tokens%s; continue with the same input: %s", train.ErrInterrupted, r.taken, cut,
		r.again())
}

// again is the command line that continues from the snapshot, with the same input from its beginning.
func (r *streamRun) again() string {
	words := []string{"stream", r.model}
	if input := r.c.Args().Slice(); len(input) > 1 {
		words = append(words, input[1:]...)
	}
	words = append(words, "--restore", r.c.String("snapshot"), "--skip", strconv.FormatInt(r.skipped+r.taken, 10))
	return shell.CommandLine(again(r.c, words, "text", "snapshot", "snapshot-every", "random-tokens", "input-seed",
		"report", "report-every", "top", "json", "threads")...)
}

func (r *streamRun) report() streamSummary {
	m := r.stream.Memory()
	t := m.Total()
	seconds := time.Since(r.start).Seconds()
	s := streamSummary{
		Model: r.model, Policy: m.Config().Policy, ChunkSize: r.stream.ChunkSize(), Tokens: r.stream.Position(),
		InputTokens: r.taken,
		Chunks:      m.Chunk(), BudgetBytes: m.Config().BudgetBytes, TotalBytes: t.Counted, Bytes: t.Bytes,
		Hot: t.Hot, Warm: t.Warm, Summaries: t.Summaries,
		Evicted: t.Evicted, Merged: t.Merged, Demoted: t.Demoted, Seconds: seconds, PerSecond: float64(r.taken) / seconds,
		Snapshot: r.c.String("snapshot"), Kernels: r.stream.Kernels().Changes(), Top: topLogits(r.logits, r.c.Int("top")),
	}
	for i := range s.Top {
		if x := &s.Top[i]; r.labels != nil && x.Output < r.labels.Len() {
			x.Label = r.labels.Label(x.Output).Word
		}
	}
	return s
}

// topLogits are the k largest with their softmax.
func topLogits(logits []float32, k int) []streamLogit {
	wide, largest := make([]float64, len(logits)), math.Inf(-1)
	for i, x := range logits {
		wide[i] = float64(x)
		largest = max(largest, wide[i])
	}
	sum := 0.0
	for _, x := range wide {
		sum += math.Exp(x - largest)
	}
	var all []streamLogit
	for _, i := range policy.Best(wide, k) {
		all = append(all, streamLogit{Output: i, Logit: logits[i], Probability: math.Exp(wide[i]-largest) / sum})
	}
	return all
}

func printStream(c *cli.Context, r streamSummary, languageModel bool) error {
	w := &firstError{w: c.App.Writer}
	if c.Bool("json") {
		return printJSON(w, r)
	}
	w.printf("%s tokens in %s chunks of %d, policy %s, %.0f tok/s\n", grouped(int(r.Tokens)), grouped(int(r.Chunks)),
		r.ChunkSize, r.Policy, r.PerSecond)
	w.printf("memory: %s\n", countsText(baee.Counts{Hot: r.Hot, Warm: r.Warm, Summaries: r.Summaries, Bytes: r.Bytes,
		Counted: r.TotalBytes, Evicted: r.Evicted, Merged: r.Merged, Demoted: r.Demoted}, r.BudgetBytes))
	if r.Snapshot != "" {
		w.printf("snapshot: %s\n", foreign.Path(r.Snapshot))
	}
	output := "class"
	if languageModel {
		output = "token"
	}
	rows, left := [][]string{{output, "logit", "probability"}}, 0
	if r.Top[0].Label != "" {
		rows[0][0], left = "label", 1
	}
	for _, x := range r.Top {
		name := strconv.Itoa(x.Output)
		if x.Label != "" {
			name = foreign.Word(x.Label)
		}
		rows = append(rows, []string{name, fmt.Sprintf("%.4f", x.Logit), fmt.Sprintf("%.4f", x.Probability)})
	}
	if err := table.Write(w, left, rows...); err != nil {
		return err
	}
	return w.err
}

// countsText is the state of a memory in a line, in the units of --budget-mb.
func countsText(t baee.Counts, budget int) string {
	held := fmt.Sprintf("%.3g of %.3g MB", float64(t.Counted)/(1<<20), float64(budget)/(1<<20))
	if t.Counted > t.Bytes { // streams that were begun by versions of before count contents alone
		held += fmt.Sprintf(" (contents %.3g)", float64(t.Bytes)/(1<<20))
	}
	return fmt.Sprintf("HOT %s  WARM %s  COLD %d  %s  evicted %s  merged %s  demoted %s", grouped(t.Hot),
		grouped(t.Warm), t.Summaries, held, grouped(int(t.Evicted)), grouped(int(t.Merged)), grouped(int(t.Demoted)))
}
