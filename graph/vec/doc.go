// Package vec holds the float32 vector kernels under the graph's operations:
// transcendental activations, softmax and LayerNorm pieces, reductions and the
// AdamW update.
//
// Every kernel exists three times: AVX-512 (F, BW, DQ, VL) and AVX2+FMA
// assembly, both generated with avo from _asm, and portable Go. The level is
// chosen once, when the package is initialised, from what the CPU offers; see
// [Level]. The build tag purego leaves the assembly out.
//
// Conventions that hold for all functions:
//
//   - Slices that are walked together must have equal lengths; a mismatch is a
//     programming error and panics. Length 0 is allowed.
//   - A destination may be the very same slice as a source, but must not
//     overlap it partially.
//   - Nothing is allocated and nothing outside the slices is read or written.
//   - Reductions use a lane order that depends on the length and the level
//     only, so equal input gives equal bits on every call. Levels agree with
//     each other to 1e-6, relative to the sum of magnitudes for sums.
//   - NaN propagates unless a function says otherwise.
package vec

//go:generate go run -C _asm . -isa avx512 -pkg vec -out ../kernels_avx512_amd64.s -stubs ../kernels_avx512_amd64.go
//go:generate go run -C _asm . -isa avx2 -pkg vec -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go
//go:generate go run -C _asm . -dispatch ..
