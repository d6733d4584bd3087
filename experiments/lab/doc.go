// Package lab is the machinery of experiments: what an experiment is, how a plan is made of them, how they are run, and
// how their results are kept. It knows none of them: package experiments lists them, and each subject has a package of
// its own.
//
// # An experiment
//
// An [Experiment] is a row or a figure of the paper. It is a description that can be read without the code, and a run.
// The description, NAME.toml, has its title, how its numbers are got, what they show, the [View]s in which the report
// shows them, the [Published] figures of the paper that stand beside them, and the settings of its protocol for each
// [Profile]:
//
//	title = "What mine is about"
//	needs = ["pretrain"]
//	estimate = { quick = "3s", full = "2m" }
//	protocol = "how the numbers are got"
//	says = "what they show, and what they do not"
//
//	[[views]]
//	title = "Accuracy"
//	metric = "accuracy"
//	rows = ["variant"]
//	column = "context"
//
//	[[published]] # beside each accuracy, in a file of results/published
//	file = "exp_mine.json"
//	at.accuracy = "results.$variant.#(ctx_len==$context).accuracy" # gjson, with what the measurement has for its labels
//
//	[full]
//	seeds = [42, 43, 44]
//
//	[quick] # what differs from full
//	seeds = [42]
//
//	[strong] # likewise, of what profiles = ["full", "quick", "strong"] makes part of it; without it as in full
//	samples = 1000
//
// The run is a file in Go beside it; [Describe] makes one of both, and [Define] one of values in Go alone:
//
//	//go:embed *.toml
//	var descriptions embed.FS
//
//	type settings struct {
//		Seeds      []uint64   `json:"seeds"`
//		SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // set by Define
//	}
//
//	func (s settings) Validate() error { return bounds.List("seeds", s.Seeds...) }
//
//	func Experiment() lab.Experiment { return lab.Describe(descriptions, "mine", settings{}, run) }
//
//	func run(ctx context.Context, j *lab.Job, s settings) (*lab.Outcome, error)
//
// The run gets a [Job]: the folders, the environment, and where to tell its progress. It gives back an [Outcome]:
// measurements in the form of package result, the seeds, and how the numbers were got. [Planned] has the driver refuse
// a run whose memory does not fit before it begins.
//
// # A plan
//
// [Driver.Plan] lists experiments behind those that they need, and says what is to be done for each. The content
// address of a result, its key, is the SHA-256 of the experiment's name, the version of its protocol, the profile, the
// settings and the SHA-256 of every file that it reads. Settings with their zero value are left out, so that a setting
// that is added later changes no key. The [State] of a step follows from the key that a run would have now:
//
//	UpToDate    the result is complete and has this key, and the files beside it are those that its run left
//	Missing     there is no result
//	Unfinished  the result has this key, or an earlier version of the protocol that carries over, and continues
//	Stale       settings, inputs or the protocol changed, or a file beside it is gone: it is measured anew
//	Waits       an experiment that it needs has to run first: its inputs are not known yet
//	Unreadable  the file is no valid result: nothing is done, the reason says the mend
//	Foreign     the file is a result of another experiment or profile: it is not overwritten
//
// # Other settings
//
// [Driver.Change] makes of an experiment one with other settings than a profile's, by their names in JSON. It has
// an [Experiment.ID] made of the settings, a folder of that name under custom, and results of the profile [Custom]: the
// same settings find and continue their own result, and never touch the protocol's. [Driver.Custom] has a plan run it
// in place of the registered experiment; what other experiments need is the registered one always. [Validate] asks the
// settings' own method Validate before anything runs; package bounds makes its errors, which name the setting by its
// key.
// [Driver.CustomResults] finds the results that are there.
//
// # Keys of samples
//
// A result keeps the version of the keys of samples that it was measured with (tasks.Keys): it is up to date with that
// one, and what is measured anew has the current one.
//
// # A run
//
// [Driver.Run] carries the steps out, several at a time if it is allowed, those that measure time or memory alone. A
// failed experiment does not stop those that do not need it. One process at a time runs experiments in a results
// folder, and one writes a result.
//
// # How work is kept
//
// A run is made of [Cells]: a cell is the smallest part that can be computed on its own, e.g. a variant with a seed.
// Each is kept in the details of the unfinished result as soon as it is done, so that a run that was stopped computes
// the others only. A training within a cell keeps its checkpoint in [Job.Work], a folder that is marked with the key of
// the run and is removed when the result is complete. A command that runs one experiment with settings of its own makes
// its job with [Standalone]; its result has the profile [Custom] and counts for no plan. A training run with a folder
// of its own, as pretrain makes it, is a [RunDir].
//
// The measurements are computed from the cells alone, in one function, so that a result whose details have the form of
// an earlier program can be brought into today's: Experiment.Convert reads them, and [Driver.Convert] writes the file
// if the measurements are those that it has. What is computed from the cells since, Experiment.Recompute adds.
//
// # A command of its own
//
// A command that runs one experiment is settings from its flags, [Standalone] and [Job.Run]: the same run, on a file
// that the user names. Settings that are [Joint] may be given for a file that holds others: the run computes what it
// was asked for and is not there, and the file holds all.
package lab
