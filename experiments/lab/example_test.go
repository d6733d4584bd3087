package lab_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// coinSettings are the settings of the experiment below; their names in JSON are those of --set and of files.
type coinSettings struct {
	Seeds  []uint64 `json:"seeds"`
	Tosses int      `json:"tosses"`
}

// coin is an experiment of one's own: what it is, its settings in both profiles, and its run.
func coin() lab.Experiment {
	return lab.Define(lab.Experiment{
		Name: "coin", Title: "Heads of a coin", Source: "this file",
		Protocol: lab.Texts{lab.Full: "tosses of a made-up coin"},
		Views:    []lab.View{{Title: "Heads", Metric: "heads", Rows: []string{"seed"}}},
	}, map[lab.Profile]coinSettings{lab.Full: {[]uint64{42, 43, 44}, 1000}, lab.Quick: {[]uint64{42, 43}, 10}}, runCoin)
}

// runCoin computes a cell a seed. Each is kept when it is done, so that a run that was stopped continues with the next.
func runCoin(ctx context.Context, j *lab.Job, s coinSettings) (*lab.Outcome, error) {
	cells, err := lab.NewCells[int](j, len(s.Seeds))
	if err != nil {
		return nil, err
	}
	cells.Outcome = func() (*lab.Outcome, error) {
		o := &lab.Outcome{Seeds: s.Seeds}
		for name, heads := range cells.Done {
			m := result.ExactOf(result.Labels{"seed": name}, result.Strict, "heads", "1", float64(heads))
			o.Measurements = append(o.Measurements, m)
		}
		return o, nil
	}
	for _, seed := range s.Seeds {
		if _, err := cells.Do(ctx, fmt.Sprint(seed), func() (int, error) { return int(seed) % s.Tosses, nil }); err != nil {
			return nil, err
		}
	}
	return cells.Finish()
}

// A driver plans experiments, runs what is missing, and keeps their results in a folder.
func ExampleDriver() {
	root, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(root) }()
	d := &lab.Driver{
		Profile: lab.Quick, Root: root, Jobs: 1, Experiments: []lab.Experiment{coin()},
		Environment: result.Environment{Commit: "example"},
	}
	for range 2 {
		steps, err := d.Plan()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(steps[0].Name, steps[0].State)
		if err := d.Run(context.Background(), steps); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// coin missing
	// coin up to date
}
