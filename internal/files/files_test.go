package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// names are those in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWriteReplacesAndKeepsPermissions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := Write(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o606); err != nil { // more than any umask lets a new file have
			t.Fatal(err)
		}
	}
	if err := Write(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "two" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o606 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
	if got := names(t, dir); got != "a" {
		t.Errorf("the folder holds %q", got)
	}
}

func TestFailedWriteLeavesTheFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	put(t, path, "before")
	failure := errors.New("no more")
	err := Replace(path, 3<<20, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 3<<20)); err != nil { // more than is buffered
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) || !strings.HasPrefix(err.Error(), "cannot write "+path+": ") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "before" || names(t, dir) != "a" {
		t.Errorf("%q, %v; the folder holds %q", text, err, names(t, dir))
	}
}

func TestWriteErrorsNameTheMend(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "")
	for path, mend := range map[string]string{
		filepath.Join(dir, "none", "a"): "create the directory " + filepath.Join(dir, "none") + " first",
		filepath.Join(dir, "file", "a"): filepath.Join(dir, "file") + " is not a directory, choose one that is",
		dir:                             "it is a folder, not a file; give another path",
	} {
		for what, err := range map[string]error{"Write": Write(path, nil), "CheckWritable": CheckWritable(path, 0)} {
			if err == nil || !strings.HasSuffix(err.Error(), mend) || strings.Contains(err.Error(), ".tmp") {
				t.Errorf("%s(%s): %v, want the end %q", what, path, err, mend)
			}
		}
	}
	for _, c := range []struct {
		cause error
		want  string
	}{
		{syscall.ENOSPC, "no space left on device; free at least 6 MB there or choose another directory"},
		{syscall.EROFS, "read-only file system; make out writable or choose another directory"},
	} {
		err := writeError("out/x", 5<<20, &fs.PathError{Op: "write", Path: "out/.x123", Err: c.cause})
		if want := "cannot write out/x: " + c.want; runtime.GOOS != "windows" && err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := names(t, dir); got != "file" {
		t.Errorf("the folder holds %q", got)
	}
}

func TestNamesOfAnyLength(t *testing.T) {
	for _, base := range []string{strings.Repeat("x", 255), strings.Repeat("ä", 127), strings.Repeat("x", 199) + "ä"} {
		dir := t.TempDir()
		path := filepath.Join(dir, base)
		if err := Write(path, nil); err != nil {
			t.Error(err)
		}
		left := abandon(t, path)
		if err := Sweep(path); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Sweep left %s: %v", left, err)
		}
	}
}

// abandon leaves what a killed writer of the file at path does.
func abandon(t *testing.T, path string) string {
	t.Helper()
	f, err := newTemporary(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if f.lock != nil {
		_ = f.lock.Unlock() // as the system does when the process ends
	}
	return f.Name()
}

// What a sweep may take is what no process writes and what nobody but this program can have named so.
func TestSweepTakesOnlyWhatKilledWritersLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	users := []string{".backup-20260101", ".notes123456", ".a.json5577006791947779410", ".synapnet-notes.tmp",
		".synapnet-a.json-1.tmp", "a.json", ".gitignore"}
	for _, name := range users {
		put(t, filepath.Join(dir, name), "mine")
	}
	live, err := newTemporary(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = live.discard() }()
	left, other := abandon(t, path), abandon(t, filepath.Join(dir, "b.json"))

	if err := Sweep(path); err != nil {
		t.Fatal(err)
	}
	check := func(file string, there bool) {
		t.Helper()
		if _, err := os.Lstat(file); (err == nil) != there {
			t.Errorf("%s: there: %v, want %v", file, err == nil, there)
		}
	}
	check(left, false)
	check(other, true)
	check(live.Name(), true)
	if err := SweepFolder(dir); err != nil {
		t.Fatal(err)
	}
	check(other, false)
	check(live.Name(), true)
	for _, name := range users {
		check(filepath.Join(dir, name), true)
	}
	if err := live.become(path); err != nil {
		t.Error(err)
	}
	if err := SweepFolder(filepath.Join(dir, "none")); err != nil {
		t.Errorf("of no folder: %v", err)
	}
}

// TestSweepLeavesOtherProcesses sweeps while another process writes, and after it was killed.
func TestSweepLeavesOtherProcesses(t *testing.T) {
	const of = "SYNAPNET_TEST_WRITE"
	if path := os.Getenv(of); path != "" {
		_ = Replace(path, 0, func(io.Writer) error {
			fmt.Println("writing")
			select {} // until it is killed
		})
	}
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no processes")
	}
	path := filepath.Join(t.TempDir(), "a")
	c := exec.Command(os.Args[0], "-test.run=^TestSweepLeavesOtherProcesses$")
	c.Env = append(os.Environ(), of+"="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	written := names(t, filepath.Dir(path))
	if err := Sweep(path); err != nil || names(t, filepath.Dir(path)) != written || written == "" {
		t.Errorf("while it is written: %v, %q, before %q", err, names(t, filepath.Dir(path)), written)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if err := Sweep(path); err != nil || names(t, filepath.Dir(path)) != "" {
		t.Errorf("after it was killed: %v, %q", err, names(t, filepath.Dir(path)))
	}
}

// A sweep at the worst moment loses nothing.
func TestWritersAndSweepersAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var writers, sweepers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := SweepFolder(dir); err != nil {
					t.Error(err)
					return
				}
			}
		})
		writers.Go(func() {
			for i := range 50 {
				if err := Write(path, fmt.Append(nil, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	sweepers.Wait()
	if got := names(t, dir); got != "a" {
		t.Errorf("the folder holds %q", got)
	}
}

func TestOpenAppending(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if _, err := OpenAppending(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	for _, c := range []struct {
		before, after string
		anew          bool
	}{{"", "x", true}, {"x", "y", false}, {"yz", "w", true}} {
		if c.before != "" {
			put(t, path, c.before)
		}
		f, err := OpenAppending(path, c.anew)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(c.after)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.after {
			t.Errorf("%+v: %q, %v", c, text, err)
		}
	}
}

func TestReadHasALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	put(t, path, strings.Repeat("x", 2<<10))
	if text, err := Read(path, 2<<10); err != nil || len(text) != 2<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, err := Read(path, 1<<10); err == nil || !strings.Contains(err.Error(), "larger than 1 KB") {
		t.Errorf("error %v", err)
	}
}

func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	target, link, nowhere := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "nowhere")
	put(t, target, "before")
	if err := errors.Join(os.Symlink("target", link), os.Symlink("gone", nowhere)); err != nil {
		t.Skip(err)
	}
	if err := Write(link, []byte("after")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	text, _ := os.ReadFile(target)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 || string(text) != "after" {
		t.Errorf("the link is %v, %v; the target holds %q", info.Mode(), err, text)
	}
	if err := Write(nowhere, nil); err == nil || !strings.Contains(err.Error(), "it is a link that leads nowhere") {
		t.Errorf("a link to nothing: %v", err)
	}
}

func TestLockIsHeldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	release, held, err := Lock(path)
	if err != nil || !held {
		t.Fatal(held, err)
	}
	if _, again, err := Lock(path); err != nil || again {
		t.Errorf("a second time: %v, %v", again, err)
	}
	release()
	if release, held, err = Lock(path); err != nil || !held {
		t.Fatal(held, err)
	}
	release()
}

// However many try, and though the file is removed each time, one has the lock at a time.
func TestLockIsHeldByOneOfMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var inside, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				release, held, err := Lock(path)
				if err != nil {
					t.Error(err)
					return
				}
				if !held {
					continue
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				taken.Add(1)
				inside.Add(-1)
				release()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the lock")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of a lock that nobody has is there")
	}
}

func TestMakeFolder(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := MakeFolder(deep); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(deep); err != nil || !info.IsDir() {
		t.Errorf("%v %v", info, err)
	}
	put(t, filepath.Join(dir, "file"), "")
	if err := MakeFolder(filepath.Join(dir, "file", "x")); err == nil {
		t.Error("a folder in a file was made")
	}
	t.Chdir(dir)
	if err := MakeFolder("relative/x"); err != nil {
		t.Error(err)
	}
}
