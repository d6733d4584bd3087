package safetensors

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// otherToolsFile is what the files of testdata/other-tools were made from, by Hugging Face's library (0.8, Python):
//
//	with safe_open("ours.safetensors", "np") as f:
//		metadata, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
//	save_file(tensors, "same.safetensors", metadata)
//	save_file({**tensors, "w": tensors["w"] * (abs(tensors["w"]) > 1)}, "pruned.safetensors", metadata)
//	save_file({**tensors, "w": tensors["w"].astype(np.float16)}, "half.safetensors", metadata)
//	save_file(tensors, "note.safetensors", {**metadata, "note": "mine"})
//	save_file({**tensors, "w": tensors["w"] * (abs(tensors["w"]) > 1)}, "dropped.safetensors",
//		{k: v for k, v in metadata.items() if not k.startswith("sha256")})
func otherToolsFile() *File {
	return &File{
		Tensors: []Tensor{
			FromFloat32("w", []int{2, 2}, []float32{0.5, -1.5, 2, 0.25}), half(0x3c00, 0x4000),
			FromUint8("codes", []int{3}, []uint8{1, 2, 3}),
			FromInt64("step", nil, []int64{7}),
		},
		Metadata: map[string]string{"config": `{"dim":2}`, "format": "pt"},
	}
}

// A file that another tool saved again as it was, checksums and all, is as good as ours. One that it changed is not
// called corrupt: the message names what happened and how to save it so that it is read.
func TestFilesSavedAgainByOtherTools(t *testing.T) {
	const told = "the file was damaged, or changed by another tool that kept the old checksum; copy or make it anew, " +
		"or, if the change is meant, save it again without the metadata entries sha256 and sha256.header"
	for name, want := range map[string]string{
		"same": "", "dropped": "", "pruned": "the tensor data does not match", "half": "the header does not match",
		"note": "the header does not match",
	} {
		f, err := Read(filepath.Join("testdata", "other-tools", name+".safetensors"))
		switch {
		case want != "":
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), told) ||
				strings.Contains(err.Error(), "corrupt") {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case name == "same" && (!sameContent(f, otherToolsFile()) || len(f.Checksum) != 64):
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// The order in which a tool lays tensors out is not part of what the checksum covers; every byte of them is.
func TestChecksumDoesNotDependOnTheLayout(t *testing.T) {
	want := otherToolsFile()
	data := written(t, filepath.Join(t.TempDir(), "x"), want)
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	reversed := backToFront(t, data, f)
	got, err := Parse(reversed)
	if err != nil || !sameContent(got, want) || got.Checksum != f.Checksum {
		t.Fatalf("%v: the same tensors in another order: %+v", err, got)
	}
	size := 0
	for _, x := range f.Tensors {
		size += len(x.Data)
	}
	for bit := range 8 * size {
		at := len(reversed) - size + bit/8
		reversed[at] ^= 1 << (bit % 8)
		if _, err := Parse(reversed); err == nil {
			t.Errorf("bit %d of the data went unnoticed", bit)
		}
		reversed[at] ^= 1 << (bit % 8)
	}
}

// backToFront lays the tensors of a file out in the opposite order, with the same metadata, checksums included.
func backToFront(t *testing.T, data []byte, f *File) []byte {
	t.Helper()
	n, err := headerLength(data[:lengthBytes], uint64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	_, metadata, err := parseHeader(data[lengthBytes : lengthBytes+n])
	if err != nil {
		t.Fatal(err)
	}
	header, body := map[string]any{metadataName: maps.Clone(metadata)}, []byte(nil)
	for _, x := range slices.Backward(f.Tensors) {
		header[x.Name] = map[string]any{"dtype": x.DType.String(), "shape": x.Shape,
			"data_offsets": []int{len(body), len(body) + len(x.Data)}}
		body = append(body, x.Data...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return append(file(string(text), 0), body...)
}

// The refusal of a type that is not read lists those that are.
func TestUnknownTypesAreRefusedWithThoseThatAreRead(t *testing.T) {
	for _, dtype := range []string{"F8_E4M3", "F8_E5M2", "C64", "F4", "f32"} {
		_, err := Parse(file(`{"__metadata__":{"dtype":"X"},"a":`+entry("F32", "[1]", 0, 4)+`,"b":`+entry(dtype, "[1]", 4, 5)+
			`}`, 5))
		want := `header: tensor "b" has dtype "` + dtype +
			`", and the types that are read are BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64: convert it ` +
			`to one of them`
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
