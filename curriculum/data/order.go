package data

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
)

// rounds of the network. Four make a permutation that no test in polynomial time tells from a random one (Luby and
// Rackoff 1988), if round functions are random and halves are wide; ours are narrow for small data, so there are more.
const rounds = 16

// Permutation is an order of n things that takes no memory: a keyed bijection of 0 to n-1.
//
// It is a Feistel network over the least number of bits b that n numbers fit in, whose two parts have floor(b/2) and
// ceil(b/2) bits and change places each round. What comes out at n or above is put in again until it is below (cycle
// walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002), fewer than two times on average,
// because 2^b < 2n. The round function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014) on the part plus the
// round's key; keys are numbers of ChaCha8 seeded with a SHA-256. It mixes well and is no cipher.
type Permutation struct {
	n           uint64
	left, right int // bits
	keys        [rounds]uint64
}

// NewPermutation is the order in which an epoch, from 0, of a stage takes n samples.
func NewPermutation(n int, from Shuffle, epoch int) Permutation {
	key := append([]byte("order of data\x00"+string(from.Purpose)), 0)
	for _, number := range []uint64{from.Seed, uint64(from.Stage), uint64(epoch)} {
		key = binary.LittleEndian.AppendUint64(key, number)
	}
	generator := rand.NewChaCha8(sha256.Sum256(key))
	b := max(2, bits.Len64(uint64(max(n, 1)-1)))
	p := Permutation{n: uint64(n), left: b / 2, right: b - b/2}
	for i := range p.keys {
		p.keys[i] = generator.Uint64()
	}
	return p
}

// At is the number at place i, both from 0 to n-1.
func (p *Permutation) At(i int) int {
	x := p.pass(uint64(i))
	for x >= p.n {
		x = p.pass(x)
	}
	return int(x)
}

// pass is the network.
func (p *Permutation) pass(x uint64) uint64 {
	left, right := p.left, p.right
	l, r := x>>right, x&(1<<right-1)
	for _, key := range p.keys { // an even number: the parts end with the widths that they began with
		l, r = r, l^mix(r+key)>>(64-left)
		left, right = right, left
	}
	return l<<right | r
}

// mix is the finaliser of SplitMix64 (Stafford's variant 13 of MurmurHash3's).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Shuffle is what an order is for.
type Shuffle struct {
	Seed    uint64
	Purpose tasks.Purpose
	Stage   int // of a curriculum
}

// Order takes n of `of` samples each epoch, the first of another order of all, in memory of one batch; the last batch
// of an epoch may be smaller.
func (s Shuffle) Order(n, of, batch int) train.Order {
	perEpoch := train.StepsPerEpoch(n, batch)
	var p Permutation
	current := -1 // its epoch
	rows := make([]int, 0, batch)
	return func(step int) []int {
		if epoch := step / perEpoch; epoch != current {
			p, current = NewPermutation(of, s, epoch), epoch
		}
		at := step % perEpoch * batch
		rows = rows[:0]
		for i := at; i < min(at+batch, n); i++ {
			rows = append(rows, p.At(i))
		}
		return rows
	}
}
