package measure

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
)

// OpenTraining continues the training of an experiment that an earlier call left at path, or begins one of the
// configuration; continued says which. The trainer keeps its checkpoint there. A file that cannot be read, or is of
// other settings, is an error with the mend: it may be hours of training. name is what is trained, in the experiment's
// words.
func OpenTraining(j *lab.Job, name, path string, c curriculum.Config) (t *curriculum.Trainer, continued bool,
	err error) {
	t, err = curriculum.Resume(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if t, err = curriculum.New(c); err != nil {
			return nil, false, err
		}
	case err != nil:
		return nil, false, fmt.Errorf("%w; delete it to train %s anew", err, name)
	case !reflect.DeepEqual(lab.Canonical(t.Config), lab.Canonical(c)):
		return nil, false, fmt.Errorf("%s is of other settings; delete it to train %s anew", path, name)
	default:
		continued = true
		j.Line("%s: continues at step %d", name, t.Done())
		for _, line := range t.Warnings {
			j.Line("%s", line)
		}
	}
	t.CheckpointPath = path
	return t, continued, nil
}
