package safetensors

import (
	"bytes"
	"maps"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

const golden = "testdata/retention-classifier.safetensors"

// A file saved from PyTorch loads in file order, without a checksum.
func TestReadGolden(t *testing.T) {
	f, err := Read(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Metadata["case"], `{"dim": 32, "hidden": 32}`; got != want {
		t.Errorf("metadata case = %s, want %s", got, want)
	}
	if f.Checksum != "" {
		t.Errorf("checksum %q from a file that carries none", f.Checksum)
	}
	if got, want := f.Names()[:3], []string{"in.entries", "in.salience", "in.position"}; !slices.Equal(got, want) ||
		len(f.Tensors) != 20 {
		t.Errorf("first names %v of %d, want %v of 20", got, len(f.Tensors), want)
	}
	scores, ok := f.Lookup("out.scores")
	if !ok || !slices.Equal(scores.Shape, []int{2, 7}) || scores.DType != F32 || scores.Len() != 14 {
		t.Fatalf("out.scores = %+v, found %v", scores, ok)
	}
	values, err := scores.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if values[0] != 0.5455917119979858 || values[13] != 0.43208879232406616 {
		t.Errorf("out.scores runs from %v to %v", values[0], values[13])
	}
	if _, ok := f.Lookup("absent"); ok {
		t.Error("Lookup found a tensor that is not there")
	}
}

// Whatever is written is read back, element for element.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	check := func(want randomFile) bool {
		if err := Write(path, &want.File); err != nil {
			t.Log(err)
			return false
		}
		got, err := Read(path)
		if err != nil {
			t.Log(err)
			return false
		}
		return len(got.Checksum) == 64 && sameContent(got, &want.File)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 60}); err != nil {
		t.Error(err)
	}
}

// The bytes depend on the content, not on the order of tensors or of map entries.
func TestWriteIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	check := func(f randomFile) bool {
		first := written(t, filepath.Join(dir, "a"), &f.File)
		slices.Reverse(f.Tensors)
		f.Metadata = maps.Clone(f.Metadata)
		return bytes.Equal(first, written(t, filepath.Join(dir, "b"), &f.File))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20}); err != nil {
		t.Error(err)
	}
}

// A file that was read and written again has the same content, and from then on the same bytes.
func TestGoldenWrittenAgain(t *testing.T) {
	f, err := Read(golden)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	once := written(t, filepath.Join(dir, "once"), f)
	again, err := Parse(once)
	if err != nil {
		t.Fatal(err)
	}
	if !sameContent(again, f) {
		t.Error("content changed")
	}
	if !bytes.Equal(once, written(t, filepath.Join(dir, "twice"), again)) {
		t.Error("bytes changed")
	}
}

func TestFloat32sConverts(t *testing.T) {
	inf := float32(math.Inf(1))
	cases := []struct {
		name   string
		tensor Tensor
		want   []float32
	}{
		{"F64", fromSlice("x", F64, []int{3}, []float64{0.1, -2, 1e300}), []float32{0.1, -2, inf}},
		{"BF16", Tensor{Name: "x", DType: BF16, Shape: []int{2}, Data: []byte{0x80, 0x3f, 0x49, 0xc0}},
			[]float32{1, -3.140625}},
		{"F16 normal", half(0x3c00, 0xc000, 0x7bff, 0x3555), []float32{1, -2, 65504, 0.333251953125}},
		{"F16 subnormal", half(0x0001, 0x8001, 0x03ff), []float32{0x1p-24, -0x1p-24, 1023 * 0x1p-24}},
		{"F16 infinite", half(0x7c00, 0xfc00), []float32{inf, -inf}},
	}
	for _, c := range cases {
		got, err := c.tensor.Float32s()
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	if nan, err := half(0x7e00).Float32s(); err != nil || !math.IsNaN(float64(nan[0])) {
		t.Errorf("F16 NaN: %v, %v", nan, err)
	}
	if zero, err := half(0x8000).Float32s(); err != nil || !math.Signbit(float64(zero[0])) {
		t.Errorf("F16 negative zero: %v, %v", zero, err)
	}
}

func TestIntegersConvert(t *testing.T) {
	wide := FromInt64("x", []int{3}, []int64{-128, 0, 127})
	signed := Tensor{Name: "x", DType: I16, Shape: []int{1}, Data: []byte{0xfe, 0xff}}
	if got, err := signed.Int64s(); err != nil || got[0] != -2 {
		t.Errorf("I16 as int64: %v, %v", got, err)
	}
	failures := []struct {
		convert func() error
		want    string
	}{
		{func() error { _, err := fromSlice("x", U64, []int{1}, []uint64{1 << 63}).Int64s(); return err },
			`tensor "x": element 0 is 9223372036854775808, which does not fit I64`},
		{func() error { _, err := FromFloat32("x", []int{1}, []float32{1}).Int64s(); return err },
			`tensor "x": dtype F32 is not an integer type`},
		{func() error { _, err := wide.Float32s(); return err },
			`tensor "x": dtype I64 is not a floating-point type (F16, BF16, F32, F64)`},
		{func() error { _, err := (Tensor{Name: "x", DType: I64, Shape: []int{2}}).Int64s(); return err },
			`tensor "x": shape [2] of I64 takes 16 bytes, but it has 0`},
	}
	for _, f := range failures {
		if err := f.convert(); err == nil || err.Error() != f.want {
			t.Errorf("error %v, want %s", err, f.want)
		}
	}
}

// Int64s agrees with the value that went in, for every width.
func TestIntegersRoundTrip(t *testing.T) {
	check := func(a []int8, b []uint8, c []int32, d []int64, e []uint64) bool {
		for i := range e {
			e[i] >>= 1 // those beyond int64 are refused
		}
		return comesBack(I8, a) && comesBack(U8, b) && comesBack(I32, c) && comesBack(I64, d) && comesBack(U64, e)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func comesBack[T int8 | uint8 | int32 | int64 | uint64](dtype DType, data []T) bool {
	got, err := fromSlice("x", dtype, []int{len(data)}, data).Int64s()
	return err == nil && slices.EqualFunc(data, got, func(want T, v int64) bool { return int64(want) == v })
}

// Big-endian machines store the same bytes.
func TestReversedElements(t *testing.T) {
	if got, want := reversedElements([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 4),
		[]byte{4, 3, 2, 1, 8, 7, 6, 5}; !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Writing needs memory for the header, not for a second copy of the data.
func TestWriteDoesNotCopyTheData(t *testing.T) {
	data := make([]float32, 8<<20)
	f := &File{Tensors: []Tensor{FromFloat32("x", []int{len(data)}, data)}}
	path := filepath.Join(t.TempDir(), "x")
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if err := Write(path, f); err != nil {
				b.Fatal(err)
			}
		}
	})
	if got := result.AllocedBytesPerOp(); got > 4<<20 {
		t.Errorf("%d bytes allocated to write %d bytes", got, 4*len(data))
	}
}

func half(bits ...uint16) Tensor {
	t := Tensor{Name: "x", DType: F16, Shape: []int{len(bits)}}
	for _, b := range bits {
		t.Data = append(t.Data, byte(b), byte(b>>8))
	}
	return t
}

func written(t *testing.T, path string, f *File) []byte {
	t.Helper()
	if err := Write(path, f); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameContent(got, want *File) bool {
	if len(got.Tensors) != len(want.Tensors) || !maps.Equal(got.Metadata, want.Metadata) {
		return false
	}
	for _, w := range want.Tensors {
		g, ok := got.Lookup(w.Name)
		if !ok || g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || !bytes.Equal(g.Data, w.Data) {
			return false
		}
	}
	return true
}

// randomFile is a valid File with odd names, scalars and empty tensors.
type randomFile struct{ File }

// Generate implements quick.Generator.
func (randomFile) Generate(r *rand.Rand, _ int) reflect.Value {
	f := randomFile{File{Metadata: map[string]string{}}}
	names := []string{"", "a", "w.layers.0.weight", "Gewicht ß", "<&>", "quo\"te", "line\nbreak", "日本", "\u2028"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names[:r.Intn(len(names)+1)] {
		t := Tensor{Name: name, DType: DType(r.Intn(int(U64) + 1)), Shape: []int{}}
		for range r.Intn(4) {
			t.Shape = append(t.Shape, r.Intn(4))
		}
		t.Data = make([]byte, t.Len()*int(t.DType.Size()))
		r.Read(t.Data)
		f.Tensors = append(f.Tensors, t)
	}
	for _, key := range names[:r.Intn(len(names)+1)] {
		f.Metadata[key] = names[r.Intn(len(names))]
	}
	return reflect.ValueOf(f)
}

// A header that Read would refuse is not written, and what is at the path stays.
func TestWriteRefusesHeadersThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	small := &File{Metadata: map[string]string{"a": "b"}}
	if err := Write(path, small); err != nil {
		t.Fatal(err)
	}
	large := &File{Metadata: map[string]string{"history": strings.Repeat("x", maxHeader)}}
	if err := Write(path, large); err == nil || !strings.Contains(err.Error(), "the format allows 100000000") {
		t.Errorf("%v", err)
	}
	if f, err := Read(path); err != nil || f.Metadata["a"] != "b" {
		t.Errorf("%v", err)
	}
}
