package data

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inFolder makes a folder with a store of ours in it.
func inFolder(t *testing.T, dir string) Options {
	t.Helper()
	source := put(t, filepath.Join(t.TempDir(), "train.jsonl"), idLines(0, 40)...)
	o := Options{Train: []string{source}, Dir: dir, EvalShare: 0.2}
	s, err := Prepare(background, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRemoveTakesWhatIsOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data.work")
	inFolder(t, dir)
	if err := Remove(dir); err != nil || exists(dir) {
		t.Errorf("%v, the folder is there: %t", err, exists(dir))
	}

	inFolder(t, dir)
	path := filepath.Join(dir, storeName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	putBytes(t, path, text[:len(text)-3]) // a damaged one is ours, too
	if err := Remove(dir); err != nil || exists(dir) {
		t.Errorf("damaged: %v, the folder is there: %t", err, exists(dir))
	}
	if err := Remove(dir); err != nil {
		t.Errorf("where nothing is: %v", err)
	}
}

// What a user has where the store would be is the user's: a run on data must not take it away at its end.
func TestRemoveLeavesWhatIsTheUsers(t *testing.T) {
	for name, text := range map[string]string{
		storeName: "samples of mine", seenName: `{"mine": true}`, "train.jsonl": `{"ids": [1], "label": 0}`,
	} {
		dir := t.TempDir()
		path := put(t, filepath.Join(dir, name), text)
		if err := Remove(dir); err != nil || !exists(path) {
			t.Errorf("%s: %v, it is there: %t", name, err, exists(path))
		}
		if name == "train.jsonl" {
			continue
		}
		source := put(t, filepath.Join(t.TempDir(), "train.jsonl"), idLines(0, 40)...)
		s, err := Prepare(background, Options{Train: []string{source}, Dir: dir, EvalShare: 0.2})
		if err == nil {
			t.Error(name+": its folder was taken", s.Close())
		} else if !strings.Contains(err.Error(), "choose another folder or move it away") {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s is %q, %v", name, now, err)
		}
	}

	t.Run("a link in the folder's place", func(t *testing.T) {
		real := filepath.Join(t.TempDir(), "big-disk")
		inFolder(t, real)
		link := filepath.Join(t.TempDir(), "data.work")
		if err := os.Symlink(real, link); err != nil {
			t.Skip("no links here:", err)
		}
		if err := Remove(link); err != nil || !exists(link) || exists(filepath.Join(real, storeName)) {
			t.Errorf("%v, link %t, store %t", err, exists(link), exists(filepath.Join(real, storeName)))
		}
	})
	t.Run("a file in the folder's place", func(t *testing.T) {
		path := put(t, filepath.Join(t.TempDir(), "data.work"), "mine")
		source := put(t, filepath.Join(t.TempDir(), "train.jsonl"), idLines(0, 40)...)
		_, err := Prepare(background, Options{Train: []string{source}, Dir: path, EvalShare: 0.2})
		if err == nil || !strings.Contains(err.Error(), "move away what is there") {
			t.Error(err)
		}
		if err := Remove(path); err != nil || !exists(path) {
			t.Errorf("%v, it is there: %t", err, exists(path))
		}
	})
}
