package baee

import (
	"encoding/binary"
	"hash/fnv"
	"testing"
)

// A digest is that of the ids' bytes, however they are cut, and tells sequences apart.
func TestDigest(t *testing.T) {
	ids := []int32{5, 0, 4095, 1 << 20, 5, 6}
	h := fnv.New64a()
	for _, id := range ids {
		_ = binary.Write(h, binary.LittleEndian, id)
	}
	whole := NewDigest().Add(ids)
	if uint64(whole) != h.Sum64() {
		t.Errorf("%x, want %x", uint64(whole), h.Sum64())
	}
	for at := range ids {
		if NewDigest().Add(ids[:at]).Add(ids[at:]) != whole {
			t.Errorf("cut at %d it is another", at)
		}
		other := append([]int32(nil), ids...)
		other[at]++
		if NewDigest().Add(other) == whole {
			t.Errorf("another id at %d is not told", at)
		}
	}
	if Digest(0).Add(ids) != 0 {
		t.Error("what is not known becomes known")
	}
	text, err := whole.MarshalText()
	var back Digest
	if err != nil || back.UnmarshalText(text) != nil || back != whole {
		t.Errorf("%s: %x", text, uint64(back))
	}
	for _, bad := range []string{"", "12", "00000000000000000", "x000000000000000", "-000000000000001"} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
