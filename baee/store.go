package baee

import (
	"encoding/binary"
	"math"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Tier is the form in which an entry is held (SPEC section 5).
type Tier uint8

// The tiers, from the most to the least faithful. What is not in one is evicted.
const (
	Hot  Tier = iota // IEEE half precision: 2D bytes
	Warm             // one signed byte an element and a half-precision scale: D + 2 bytes
	Cold             // in a summary, the mean of several entries: 2D bytes for all of them
)

// String is the tier's name.
func (t Tier) String() string { return [...]string{"HOT", "WARM", "COLD"}[t] }

// ScorePrior is the share of positives under the published label, the 30% with the highest value (SPEC section 5).
// Written classifiers give probabilities where that share is positive, whatever the label that they learnt, so that
// their scores can be compared: Classifier.MovePrior brings them there. A memory goes by the order of scores alone.
const ScorePrior = 0.3

func hotBytes(dim int) int  { return 2 * dim }
func warmBytes(dim int) int { return dim + 2 }

// maxHalf is the largest finite half-precision number. Manager.Update refuses values beyond it; what is made of several
// entries and rounds beyond it is stored as it, since an infinity would spoil every read.
const maxHalf = 65504

// toHalf rounds to the nearest half-precision number, to the even one of two.
func toHalf(x float32) uint16 {
	sign := uint16(math.Float32bits(x) >> 16 & 0x8000)
	magnitude := min(math.Float32frombits(math.Float32bits(x)&0x7fffffff), maxHalf)
	if magnitude < 0x1p-14 { // subnormal: the sum's last place is that of the result
		return sign | uint16(math.Float32bits(magnitude+0.5)-math.Float32bits(0.5))
	}
	b := math.Float32bits(magnitude)
	return sign | uint16((b-112<<23+0xfff+b>>13&1)>>13)
}

func fromHalf(b []byte) float32 {
	return float16.Frombits(binary.LittleEndian.Uint16(b)).Float32()
}

// encodeHot stores x [D] in half precision, little-endian: within 2^-11 of each value or, of those below 6.1e-5, within
// 2^-25, which is nothing beside the other rows of a read.
func encodeHot(x []float32) []byte {
	b := make([]byte, hotBytes(len(x)))
	for i, v := range x {
		binary.LittleEndian.PutUint16(b[2*i:], toHalf(v))
	}
	return b
}

// encodeWarm stores x [D] as D signed bytes behind a half-precision scale, max|x|/127 (scheme.HalfScale). The bytes are
// rounded with the scale as it is stored, so that values up to 65504 come back within half of it, which is max|x|/254
// and at most 2^-25 or a share of 2^-11 more.
func encodeWarm(x []float32) []byte {
	b := make([]byte, warmBytes(len(x)))
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	scale := min(scheme.HalfScale(largest).Float32(), maxHalf)
	binary.LittleEndian.PutUint16(b, toHalf(scale))
	if scale == 0 { // all values are
		return b
	}
	for i, v := range x {
		b[2+i] = byte(int8(min(max(math.RoundToEven(float64(v/scale)), -127), 127)))
	}
	return b
}

// decode writes the content of an entry to dst [D].
func decode(dst []float32, t Tier, b []byte) {
	if t == Warm {
		vec.Unpack8(dst, b[2:], 0, fromHalf(b))
		return
	}
	decodeHot(dst, b)
}

// decodeHot is fromHalf of every element. The bits of a finite half-precision number, moved to where those of a float32
// are, make that number divided by 2^112, exactly.
func decodeHot(dst []float32, b []byte) {
	b = b[:2*len(dst)]
	for i := range dst {
		h := uint32(b[2*i]) | uint32(b[2*i+1])<<8
		if h&0x7c00 == 0x7c00 { // not finite: only a damaged file has it
			dst[i] = fromHalf(b[2*i:])
			continue
		}
		magnitude := math.Float32frombits(h&0x7fff<<13) * 0x1p112
		dst[i] = math.Float32frombits(math.Float32bits(magnitude) | h&0x8000<<16)
	}
}
