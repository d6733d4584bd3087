package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file builds the bytes of a file from a header text and a number of data bytes.
func file(header string, dataBytes int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	out = append(out, header...)
	return append(out, make([]byte, dataBytes)...)
}

func entry(dtype, shape string, from, to uint64) string {
	return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, dtype, shape, from, to)
}

// Each kind of damage has one error that says what is wrong.
func TestParseRefuses(t *testing.T) {
	a := entry("F32", "[2]", 0, 8)
	wrap := ^uint64(0) - 99 // from here, offset + header + 8 overflows
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "truncated: 0 bytes"},
		{"half a length", []byte{1, 2, 3}, "truncated: 3 bytes"},
		{"huge header", []byte("PK\x03\x04 some other file"),
			"header length 7885648053892500304 is above the format's limit"},
		{"header beyond file", file(`{}`, 0)[:9], "header of 2 bytes reaches beyond the end of the file (9 bytes)"},
		{"header as long as the file", []byte{8, 0, 0, 0, 0, 0, 0, 0},
			"header of 8 bytes reaches beyond the end of the file (8 bytes)"},
		{"no header", file("", 0), "header: does not start with a JSON object"},
		{"null header", file("null", 0), "header: does not start with a JSON object"},
		{"bad JSON", file(`{"a":`, 0), "header: unexpected end of JSON input"},
		{"text after JSON", file(`{} x`, 0), "header: invalid character 'x'"},
		{"bad UTF-8", file("{\"a\xff\":"+a+"}", 8), "header: not valid UTF-8"},
		{"tensor is not an object", file(`{"a":3}`, 0), "header: "},
		{"missing dtype", file(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "header: "},
		{"unknown dtype", file(`{"a":`+entry("F99", "[2]", 0, 8)+`}`, 8), `F99`},
		{"negative dimension", file(`{"a":`+entry("F32", "[-2]", 0, 8)+`}`, 8), "natural numbers"},
		{"fractional dimension", file(`{"a":`+entry("F32", "[2.5]", 0, 8)+`}`, 8), "natural numbers"},
		{"three offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}`, 8), "2 elements"},
		{"metadata not text", file(`{"__metadata__":{"x":1}}`, 0), "__metadata__"},
		{"truncated data", file(`{"a":`+a+`}`, 7), `tensor "a": data_offsets [0, 8] reach beyond the file's 7 data bytes`},
		{"offsets reversed", file(`{"a":`+entry("F32", "[2]", 8, 0)+`}`, 8),
			`tensor "a": data_offsets [8, 0] end before they begin`},
		{"offsets wrap around", file(`{"a":`+entry("U8", fmt.Sprintf("[%d]", wrap), 0, wrap)+`}`, 8), "reach beyond"},
		{"overlap", file(`{"a":`+a+`,"b":`+entry("F32", "[2]", 4, 12)+`}`, 12),
			`tensor "b": data_offsets [4, 12] overlap tensor "a", which ends at 8`},
		{"gap", file(`{"a":`+a+`,"b":`+entry("F32", "[1]", 12, 16)+`}`, 16),
			`tensor "b": data_offsets [12, 16] leave a gap, the tensor before ends at 8`},
		{"size mismatch", file(`{"a":`+entry("F32", "[3]", 0, 8)+`}`, 8),
			`tensor "a": shape [3] of F32 takes 12 bytes, but it has 8`},
		{"dtype mismatch", file(`{"a":`+entry("F16", "[2]", 0, 8)+`}`, 8),
			`tensor "a": shape [2] of F16 takes 4 bytes, but it has 8`},
		{"shape overflows", file(`{"a":`+entry("F32", "[4294967296,4294967296]", 0, 8)+`}`, 8), "too large to address"},
		{"dimension overflows int", file(`{"a":`+entry("F32", "[0,18446744073709551615]", 0, 0)+`}`, 0),
			"too large to address"},
		{"duplicate tensor", file(`{"a":`+a+`,"a":`+a+`}`, 8), `header: the name "a" occurs twice`},
		{"duplicate field", file(`{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}`, 8),
			`header: the name "dtype" occurs twice`},
		{"duplicate metadata", file(`{"__metadata__":{"x":"1","x":"2"}}`, 0), `header: the name "x" occurs twice`},
		{"trailing bytes", file(`{"a":`+a+`}`, 11), "3 trailing bytes after the last tensor"},
		{"wrong checksum", file(`{"__metadata__":{"sha256":"00"},"a":`+a+`}`, 8),
			"the tensor data does not match its checksum (sha256 \"00\", computed \"af5570f5"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// A name may equal a value, and names repeat across objects, without being duplicates.
func TestParseAcceptsRepeatedTextThatIsNoDuplicate(t *testing.T) {
	data := file(`{"__metadata__":{"a":"a","dtype":"a"},"a":`+entry("U8", "[1]", 0, 1)+`,"dtype":`+
		entry("U8", "[1]", 1, 2)+`}  `, 2)
	if _, err := Parse(data); err != nil {
		t.Error(err)
	}
}

// Any flipped bit of a file written here is noticed, or changes nothing.
func TestFlippedBitsAreNoticed(t *testing.T) {
	f := &File{
		Tensors:  []Tensor{FromFloat32("w", []int{2, 2}, []float32{1, 2, 3, 4}), FromInt64("step", nil, []int64{7})},
		Metadata: map[string]string{"stage": "1", "format": "pt"},
	}
	data := written(t, filepath.Join(t.TempDir(), "x"), f)
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		got, err := Parse(data)
		if err == nil {
			delete(got.Metadata, flippedKey(got))
			if !sameContent(got, f) {
				t.Errorf("bit %d of byte %d (%q) went unnoticed", bit%8, bit/8, data[bit/8])
			}
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

// flippedKey is the checksum key whose own name was hit: a check is then lost, no content.
func flippedKey(f *File) string {
	for key, value := range f.Metadata {
		if len(value) == 64 {
			return key
		}
	}
	return ""
}

// Read names the file once and says what is the matter with it.
func TestReadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	whole, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, whole[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	cases := map[string]string{
		missing: missing + ": no such file or directory",
		dir:     dir + ": it is a folder, not a file; give the path of a .safetensors file",
		short:   short + `: tensor "w.net.0.weight": data_offsets [2104, 6712] reach beyond`,
	}
	for path, want := range cases {
		if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := Read(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := func(t Tensor) *File { return &File{Tensors: []Tensor{t}} }
	good := FromFloat32("a", []int{1}, []float32{1})
	cases := []struct {
		name string
		file *File
		want string
	}{
		{"shape", one(FromFloat32("a", []int{3}, []float32{1})), `tensor "a": shape [3] of F32 takes 12 bytes, but it has 4`},
		{"negative", one(FromFloat32("a", []int{-1, -1}, []float32{1})),
			`tensor "a": shape [-1 -1] has a negative dimension`},
		{"dtype", one(Tensor{Name: "a", DType: 99}), `tensor "a": unknown dtype number 99`},
		{"twice", &File{Tensors: []Tensor{good, good}}, `two tensors are called "a"`},
		{"reserved name", one(FromFloat32("__metadata__", []int{1}, []float32{1})), "reserved by the format"},
		{"name encoding", one(FromFloat32("\xff", []int{1}, []float32{1})), "not valid UTF-8"},
		{"reserved key", &File{Metadata: map[string]string{"sha256": "x"}}, "reserved for the checksum"},
		{"metadata encoding", &File{Metadata: map[string]string{"a": "\xff"}}, "not valid UTF-8"},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		err := Write(path, c.file)
		if err == nil || !strings.HasPrefix(err.Error(), "cannot write "+path+": ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was left (%v)", c.name, err)
		}
	}
}

// A write that fails leaves the old content and no temporary file.
func TestFailedWriteLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "occupied")
	if err := os.MkdirAll(filepath.Join(target, "by a directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(target, &File{}); err == nil {
		t.Fatal("a directory was replaced")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWriteErrorsNameTheMend(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent, below := filepath.Join(dir, "absent"), filepath.Join(dir, "plain")
	for parent, want := range map[string]string{
		absent: "no such file or directory; create the directory " + absent + " first",
		below:  "not a directory; " + below + " is not a directory, choose one that is",
	} {
		path := filepath.Join(parent, "x")
		if err := Write(path, &File{}); err == nil || err.Error() != "cannot write "+path+": "+want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// A directory without write permission is refused (root may write anywhere).
func TestWriteToProtectedDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root ignores permissions")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	err := Write(filepath.Join(dir, "x"), &File{})
	if err == nil || !strings.HasSuffix(err.Error(), "permission denied; make "+dir+
		" writable or choose another directory") {
		t.Errorf("error %v", err)
	}
}

// FuzzRead: no input makes Parse panic or answer with tensors that break their
// own promises, and errors stay on one line.
func FuzzRead(f *testing.F) {
	whole, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(file(`{}`, 0))
	f.Add(file(`{"__metadata__":{"sha256":"00"},"a":`+entry("F32", "[2]", 0, 8)+`}`, 8))
	f.Add(file(`{"a":`+entry("BF16", "[0,3]", 0, 0)+`,"b":`+entry("I64", "[]", 0, 8)+`}`, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := Parse(data)
		if err != nil {
			if text := err.Error(); strings.Contains(text, "\n") || len(text) > 450 {
				t.Errorf("not one short line: %q", text)
			}
			return
		}
		for _, tensor := range parsed.Tensors {
			if err := tensor.check(); err != nil {
				t.Error(err)
			}
		}
	})
}
