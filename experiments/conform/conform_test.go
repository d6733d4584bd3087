package conform

import (
	"path/filepath"
	"testing"
)

// The golden files were made by the reference implementation; see their README for what each one shows.
func TestGoldenFilesMatch(t *testing.T) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) < 5 {
		t.Fatalf("golden files: %v %v", files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, err := File(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range r.Results {
				if !x.OK {
					t.Errorf("%s: largest error %.3g at %d: got %g, want %g", x.Name, x.Worst, x.At, x.Got, x.Want)
				}
			}
			if !r.OK() {
				t.Errorf("%d tensors compared: not all match", len(r.Results))
			}
		})
	}
}
