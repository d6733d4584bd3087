package qat

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

func allParams(q *Quantised) []*graph.Param {
	return append(slices.Clone(q.Model.Params.All()), q.Params()...)
}

func sameParams(t *testing.T, a, b *Quantised) {
	t.Helper()
	other := allParams(b)
	for i, p := range allParams(a) {
		if !slices.Equal(p.Data(), other[i].Data()) {
			t.Fatalf("%s differs", p.Name)
		}
	}
}

// A function of the configuration and the seed, to the last bit, whatever GOMAXPROCS is.
func TestFinetuningIsDeterministic(t *testing.T) {
	run := func(procs int, seed uint64) (*Quantised, []Step) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		q := prepareTiny(t, tinyOptions())
		steps, err := Finetune(t.Context(), q.Model, q, tinyFinetune(), tasks.Seeded(seed), Session{})
		if err != nil {
			t.Fatal(err)
		}
		return q, steps.Steps
	}
	a, stepsA := run(1, 3)
	b, stepsB := run(4, 3)
	sameParams(t, a, b)
	if !slices.Equal(stepsA, stepsB) {
		t.Error("the steps differ")
	}
	if _, other := run(4, 4); slices.Equal(stepsA, other) {
		t.Error("another seed gives the same steps")
	}
}

func TestStepSizesTrainAtTheirOwnRateWithoutDecay(t *testing.T) {
	q := prepareTiny(t, tinyOptions())
	trained, err := Finetune(t.Context(), q.Model, q, tinyFinetune(), tasks.Seeded(3), Session{})
	if err != nil {
		t.Fatal(err)
	}
	steps := trained.Steps
	first, last := steps[0], steps[len(steps)-1]
	if first.LR != 1e-4 || first.StepLR != 1e-2 || !(last.LR > 0 && last.LR < 0.05e-4) {
		t.Errorf("rates %v %v … %v, want a cosine from 1e-4 and 1e-2 to about 0", first.LR, first.StepLR, last.LR)
	}
	if first.Drift != 0 || last.Drift == 0 || q.Steps().Least == 1 {
		t.Errorf("drift from %v to %v: the steps do not move from their initial sizes", first.Drift, last.Drift)
	}
	// With no rate of their own they stay where they are, decay of the weights or not.
	q = prepareTiny(t, tinyOptions())
	c := tinyFinetune()
	c.StepLR, c.WeightDecay = 0, 5
	if _, err := Finetune(t.Context(), q.Model, q, c, tasks.Seeded(3), Session{}); err != nil {
		t.Fatal(err)
	}
	if s := q.Steps(); s.Least != 1 || s.Most != 1 {
		t.Errorf("the step sizes moved: %+v", s)
	}
}

// A strong regulariser holds the step sizes near their initial ones.
func TestRatesStayConstantWhereAsked(t *testing.T) {
	q := prepareTiny(t, tinyOptions())
	c := tinyFinetune()
	c.ConstantLR = true
	trained, err := Finetune(t.Context(), q.Model, q, c, tasks.Seeded(3), Session{})
	if err != nil {
		t.Fatal(err)
	}
	steps := trained.Steps
	for _, s := range steps {
		if s.LR != c.LR || s.StepLR != c.StepLR {
			t.Errorf("step %d has rates %g and %g, want %g and %g", s.Step, s.LR, s.StepLR, c.LR, c.StepLR)
		}
	}
}

func TestLambdaHoldsTheSteps(t *testing.T) {
	drift := func(lambda float64) float64 {
		q := prepareTiny(t, tinyOptions())
		c := tinyFinetune()
		c.Lambda, c.Steps = lambda, 30
		if _, err := Finetune(t.Context(), q.Model, q, c, tasks.Seeded(3), Session{}); err != nil {
			t.Fatal(err)
		}
		return q.Steps().Drift
	}
	if free, held := drift(0), drift(1e4); !(held < free/4) {
		t.Errorf("drift %v without and %v with the regulariser", free, held)
	}
}

func interruptAt(step int) (context.Context, func(Step)) {
	ctx, cancel := context.WithCancel(context.Background())
	return ctx, func(s Step) {
		if s.Step == step {
			cancel()
		}
	}
}

// A run that was interrupted and continued ends as one that was not, with quantisers (frozen ones too) and without.
func TestInterruptedFinetuningEndsAsIfItWasNot(t *testing.T) {
	frozen := tinyOptions()
	frozen.Int4Mode = Int4Frozen
	for name, options := range map[string]*Options{"train": new(tinyOptions()), "frozen": &frozen, "control": nil} {
		t.Run(name, func(t *testing.T) {
			begin := func() *Quantised {
				if options == nil {
					return &Quantised{Model: newModel(t, tiny())}
				}
				return prepareTiny(t, *options)
			}
			finetune := func(ctx context.Context, q *Quantised, s Session) (Training, error) {
				if options == nil {
					return Finetune(ctx, q.Model, nil, tinyFinetune(), tasks.Seeded(3), s)
				}
				return Finetune(ctx, q.Model, q, tinyFinetune(), tasks.Seeded(3), s)
			}
			whole := begin()
			want, err := finetune(t.Context(), whole, Session{})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "c.safetensors")
			ctx, stop := interruptAt(5)
			_, err = finetune(ctx, begin(), Session{CheckpointPath: path, Report: stop})
			if !errors.Is(err, train.ErrInterrupted) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an interruption that names the checkpoint", err)
			}
			resumed := begin()
			var reported []int
			got, err := finetune(t.Context(), resumed,
				Session{CheckpointPath: path, Report: func(s Step) { reported = append(reported, s.Step) }})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Steps, want.Steps) || !slices.Equal(got.Kernels, want.Kernels) ||
				!slices.Equal(reported, []int{6, 7, 8}) {
				t.Errorf("steps %v after the checkpoint of step 5", reported)
			}
			sameParams(t, resumed, whole)
		})
	}
}

func TestAnothersCheckpointIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.safetensors")
	q := prepareTiny(t, tinyOptions())
	if _, err := Finetune(t.Context(), q.Model, q, tinyFinetune(), tasks.Seeded(3),
		Session{CheckpointPath: path, CheckpointEvery: 4}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := tinyFinetune()
	other.LR = 1
	ssm := prepareTiny(t, tinyOptions(SSM))
	for name, f := range map[string]func() error{
		"another rate": func() error {
			_, err := Finetune(t.Context(), q.Model, q, other, tasks.Seeded(3), Session{CheckpointPath: path})
			return err
		},
		"another seed": func() error {
			_, err := Finetune(t.Context(), q.Model, q, tinyFinetune(), tasks.Seeded(4), Session{CheckpointPath: path})
			return err
		},
		"other quantisers": func() error {
			_, err := Finetune(t.Context(), ssm.Model, ssm, tinyFinetune(), tasks.Seeded(3), Session{CheckpointPath: path})
			return err
		},
		"without quantisers": func() error {
			_, err := Finetune(t.Context(), newModel(t, tiny()), nil, tinyFinetune(), tasks.Seeded(3),
				Session{CheckpointPath: path})
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "another run") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	if after, _ := os.ReadFile(path); !slices.Equal(before, after) {
		t.Error("the checkpoint was overwritten")
	}
}

// A run that was interrupted does not go on with the weights of one model where it was begun with another, not even
// where no salient columns tell the two apart.
func TestTheCheckpointOfAnotherBaseModelIsRefused(t *testing.T) {
	for _, name := range []string{FP16Finetuned, "cajq_ssm_only", "cajq_memory_only", CAJQQAT} {
		t.Run(name, func(t *testing.T) {
			found, err := LookupVariants(name)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "c.safetensors")
			build := func(ctx context.Context, m *layers.Model, report func(Step)) error {
				_, err := found[0].Build(ctx, m, tinyExperiment(), tasks.Seeded(3), Session{CheckpointPath: path, Report: report})
				return err
			}
			ctx, stop := interruptAt(2)
			if err := build(ctx, newModel(t, tiny()), stop); !errors.Is(err, train.ErrInterrupted) {
				t.Fatalf("got %v, want an interruption", err)
			}
			other := newModel(t, tiny())
			other.Head.Out.B.Data()[0] = 0.5
			err = build(t.Context(), other, nil)
			if err == nil || !strings.Contains(err.Error(), "another run") ||
				!strings.HasSuffix(err.Error(), "; delete it to begin anew") {
				t.Errorf("on other weights: got %v, want an error that says how to begin anew", err)
			}
			if err := build(t.Context(), newModel(t, tiny()), nil); err != nil {
				t.Errorf("on the weights that it began with: %v", err)
			}
		})
	}
}

// On data of the user's, of a context that no task has: the samples are what is learnt, and there is no checkpoint.
func TestFinetuningOnData(t *testing.T) {
	var own train.Samples[tasks.Sample]
	for i := range int32(24) {
		own = append(own, tasks.Sample{IDs: []int32{i, 1, 2, 3, 4, 5, 6, 7 + i%2}, Label: i % 2})
	}
	c := tinyFinetune()
	c.Context, c.Steps, c.LR = 8, 60, 1e-2
	loss := func(seed uint64) []Step {
		r, err := Finetune(t.Context(), newModel(t, tiny()), nil, c, tasks.Seeded(seed), Session{Data: own})
		if err != nil {
			t.Fatal(err)
		}
		return r.Steps
	}
	steps := loss(1)
	if first, last := steps[0].Loss, steps[len(steps)-1].Loss; len(steps) != c.Steps || !(last < first/4) {
		t.Errorf("%d steps, loss from %v to %v", len(steps), first, last)
	}
	if !slices.Equal(steps, loss(1)) || slices.Equal(steps, loss(2)) {
		t.Error("the order of the samples is not that of the seed")
	}
	session := Session{Data: own, CheckpointPath: "c.safetensors"}
	if _, err := Finetune(t.Context(), newModel(t, tiny()), nil, c, tasks.Seeded(1), session); err == nil ||
		!strings.Contains(err.Error(), "keeps no checkpoint") {
		t.Error(err)
	}
}

// Another mixture has other samples, and its questions are labels of their own; without one it is the training's.
func TestFinetuningOnAMixture(t *testing.T) {
	steps := func(mixture ...tasks.Weight) []Step {
		c := tinyFinetune()
		c.Mixture = mixture
		r, err := Finetune(t.Context(), newModel(t, tiny()), nil, c, tasks.Seeded(1), Session{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Steps
	}
	if !slices.Equal(steps(), steps(tasks.TrainingMixture()...)) {
		t.Error("without a mixture it is not the training's")
	}
	once := steps(tasks.Weight{Task: "niah_multi_key", Share: 1})
	if twice := steps(tasks.Weight{Task: "niah_multi_key", Share: 1, Questions: 2}); twice[0].Loss == once[0].Loss {
		t.Error("two questions have the loss of one")
	}
	c := tinyFinetune()
	c.Mixture = tasks.TrainingMixture()
	own := train.Samples[tasks.Sample]{{IDs: make([]int32, c.Context)}}
	if _, err := Finetune(t.Context(), newModel(t, tiny()), nil, c, tasks.Seeded(1), Session{Data: own}); err == nil ||
		!strings.Contains(err.Error(), "mixture is ") {
		t.Errorf("a mixture and data of one's own: %v", err)
	}
}

func TestUnsuitableFinetuningIsRefused(t *testing.T) {
	for _, x := range []struct {
		want string
		set  func(c *FinetuneConfig)
	}{
		{"steps is 0", func(c *FinetuneConfig) { c.Steps = 0 }},
		{"context is 65: it must be from 8 to the model's max_len 64", func(c *FinetuneConfig) { c.Context = 65 }},
		{"batch is -1", func(c *FinetuneConfig) { c.Batch = -1 }},
		{"step_lr is -1", func(c *FinetuneConfig) { c.StepLR = -1 }},
		{"beta2 is 1", func(c *FinetuneConfig) { c.Beta2 = 1 }},
		{`mixture is "nia"`, func(c *FinetuneConfig) { c.Mixture = []tasks.Weight{{Task: "nia", Share: 1}} }},
		{"mixture is [fa=2]", func(c *FinetuneConfig) { c.Mixture = []tasks.Weight{{Task: "fa", Share: 2}} }},
		{"mixture.questions is 2", func(c *FinetuneConfig) {
			c.Mixture = []tasks.Weight{{Task: "fa", Share: 1, Questions: 2}}
		}},
	} {
		c := tinyFinetune()
		x.set(&c)
		if _, err := Finetune(t.Context(), newModel(t, tiny()), nil, c, tasks.Seeded(1), Session{}); err == nil ||
			!strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want an error with %q", err, x.want)
		}
	}
	q := prepareTiny(t, tinyOptions())
	if _, err := Finetune(t.Context(), q.Model, nil, tinyFinetune(), tasks.Seeded(1), Session{}); err == nil {
		t.Error("a quantised model was trained without its quantisers")
	}
}

func TestQuantisedModelsSurviveTheirFile(t *testing.T) {
	for _, mode := range []string{Int4Train, Int4Frozen} {
		o := tinyOptions(AllTargets()...)
		o.Int4Mode, o.Metadata = mode, MetadataCompact
		q := prepareTiny(t, o)
		path := filepath.Join(t.TempDir(), "q.safetensors")
		if err := q.Save(path); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		read, err := FromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sameParams(t, q, read)
		if !slices.Equal(logits(t, q.Model), logits(t, read.Model)) {
			t.Errorf("%s: the logits differ", mode)
		}
		if len(read.StepParams()) != 4 || len(read.OtherParams()) != len(q.OtherParams()) {
			t.Errorf("%s: another set trains", mode)
		}
	}
}

// A file holds the statistics that quantisers are made with. Earlier ones hold those of the ScaleBridge as well, and
// are read.
func TestFilesWithStatisticsOfTheScaleBridgeAreRead(t *testing.T) {
	q := prepareTiny(t, tinyOptions())
	f, err := q.File()
	if err != nil {
		t.Fatal(err)
	}
	now := f.Metadata[quantisedKey]
	if strings.Contains(now, "pathways") {
		t.Errorf("the header has statistics that nothing reads: %.300s", now)
	}
	f.Metadata[quantisedKey] = strings.ReplaceAll(now, `{"input_max":`, `{"pathways":[{"mean":0.1,"std":2}],"input_max":`)
	read, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	sameParams(t, q, read)
}

func TestFilesThatAreNotQuantisedModelsAreRefused(t *testing.T) {
	q := prepareTiny(t, tinyOptions())
	for _, x := range []struct {
		want   string
		damage func(f *safetensors.File)
	}{
		{`a model in floating point, not a model with quantisers`, func(f *safetensors.File) { delete(f.Metadata, "qat") }},
		{"not valid", func(f *safetensors.File) { f.Metadata["qat"] = "{" }},
		{"group_size is 0", func(f *safetensors.File) {
			f.Metadata["qat"] = strings.Replace(f.Metadata["qat"], `"group_size":16`, `"group_size":0`, 1)
		}},
		{"salient columns", func(f *safetensors.File) {
			f.Metadata["qat"] = strings.Replace(f.Metadata["qat"], `"salient":{`, `"salient":{"head.weight":[99],`, 1)
		}},
		{"tensors of quantisers", func(f *safetensors.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors,
				func(x safetensors.Tensor) bool { return strings.HasSuffix(x.Name, "0.attn.smooth_scale") })
		}},
		{"missing", func(f *safetensors.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return x.Name == "head.bias" })
		}},
	} {
		f, err := q.File()
		if err != nil {
			t.Fatal(err)
		}
		x.damage(f)
		if _, err := FromFile(f); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want an error with %q", err, x.want)
		}
	}
}
