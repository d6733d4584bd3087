package baee

import (
	"fmt"
	"strconv"
)

// Digest tells sequences of token ids apart, as they come: FNV-1a of their bytes (Fowler, Noll and Vo), four an id. It
// finds mistakes, not forgeries. The zero value is "not known", to which nothing can be added.
type Digest uint64

// NewDigest is that of no tokens.
func NewDigest() Digest { return 0xcbf29ce484222325 }

// Add is the digest of a sequence with ids behind it.
func (d Digest) Add(ids []int32) Digest {
	if d == 0 {
		return 0
	}
	for _, id := range ids {
		for shift := 0; shift < 32; shift += 8 {
			d = (d ^ Digest(byte(id>>shift))) * 0x100000001b3
		}
	}
	return d
}

// MarshalText is 16 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(d)), nil }

// UnmarshalText reads what MarshalText gives.
func (d *Digest) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		return fmt.Errorf("%.40q is no digest of 16 hexadecimal digits", text)
	}
	*d = Digest(n)
	return nil
}
