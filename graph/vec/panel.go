package vec

import "fmt"

// A panel holds the weights of 2·PanelLanes output channels, channel by channel within a column, the columns one after
// the other: [columns, 2·PanelLanes]. In this order a product reads it from one end to the other, and packed codes of
// as many rows as a register has lanes are unpacked into it directly.

// PanelLanes is half the width of a panel.
func PanelLanes() int {
	if active == levelAVX512 {
		return 16
	}
	return 8
}

// MaxPanelLanes is the most that PanelLanes gives.
const MaxPanelLanes = 16

// HasPanels says whether this processor has assembly for panels; without it they are slow.
func HasPanels() bool { return active != levelGo }

// PanelUnpack computes (q - zero)·scale for the codes of PanelLanes rows: those of row i begin at codes[offsets[i]],
// zeros[i] and scales[i] are its own. words is the number of columns in units of 32/bits, bits 8 (two's complement), 4
// or 2, the first code in a byte's lowest bits. Column j of row i goes to dst[j·stride + i]. All levels give the same
// bits.
func PanelUnpack(bits int, dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int) {
	lanes := PanelLanes()
	if words <= 0 {
		return
	}
	columns := words * 32 / bits
	if len(offsets) != lanes || len(zeros) != lanes || len(scales) != lanes || stride < lanes ||
		len(dst) < (columns-1)*stride+lanes {
		panelMismatch("PanelUnpack", len(dst), len(offsets), len(zeros), len(scales))
	}
	for _, o := range offsets {
		if o < 0 || int(o)+4*words > len(codes) {
			panelMismatch("PanelUnpack", len(dst), len(codes), int(o), words)
		}
	}
	switch bits {
	case 8:
		panelUnpack8Kernel(dst, codes, offsets, zeros, scales, words, stride)
	case 4:
		panelUnpack4Kernel(dst, codes, offsets, zeros, scales, words, stride)
	case 2:
		panelUnpack2Kernel(dst, codes, offsets, zeros, scales, words, stride)
	default:
		panelMismatch("PanelUnpack", bits)
	}
}

// PanelPack is PanelUnpack for floats: w[offsets[i] + j] goes to dst[j·stride + i], for k columns j.
func PanelPack(dst, w []float32, offsets []int32, k, stride int) {
	lanes := PanelLanes()
	if k <= 0 {
		return
	}
	if len(offsets) != lanes || stride < lanes || len(dst) < (k-1)*stride+lanes {
		panelMismatch("PanelPack", len(dst), len(offsets), k, stride)
	}
	for _, o := range offsets {
		if o < 0 || int(o)+k > len(w) {
			panelMismatch("PanelPack", len(w), int(o), k)
		}
	}
	panelPackKernel(dst, w, offsets, k, stride)
}

// PanelMul computes c = a·b + bias for a [rows, k] with lda floats from row to row, the panel b [k, 2·PanelLanes] and
// bias [2·PanelLanes], into c [rows, 2·PanelLanes] with ldc floats from row to row. Each element is summed in the order
// of k, beginning with the bias.
func PanelMul(c, a, b, bias []float32, rows, k, lda, ldc int) {
	width := 2 * PanelLanes()
	if rows == 0 {
		return
	}
	if k < 1 || lda < k || ldc < width || len(a) < (rows-1)*lda+k || len(b) < k*width || len(bias) < width ||
		len(c) < (rows-1)*ldc+width {
		panelMismatch("PanelMul", len(c), len(a), len(b), len(bias), rows, k, lda, ldc)
	}
	many := 6
	if active == levelAVX512 {
		many = 12
	}
	r := 0
	for ; r+many <= rows; r += many {
		panelMulManyKernel(c[r*ldc:], a[r*lda:], b, bias, k, lda, ldc)
	}
	for ; r+4 <= rows; r += 4 {
		panelMulFourKernel(c[r*ldc:], a[r*lda:], b, bias, k, lda, ldc)
	}
	for ; r < rows; r++ {
		panelMulOneKernel(c[r*ldc:], a[r*lda:], b, bias, k, lda, ldc)
	}
}

//go:noinline
func panelMismatch(fn string, sizes ...int) {
	panic(fmt.Sprintf("vec.%s: sizes %v do not fit", fn, sizes))
}

func panelUnpackGo(bits int, dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int) {
	for i, o := range offsets {
		for j := range words * 32 / bits {
			code := codes[int(o)+j*bits/8] >> (j * bits % 8)
			q := float32(code & (1<<bits - 1))
			if bits == 8 {
				q = float32(int8(code))
			}
			dst[j*stride+i] = (q - zeros[i]) * scales[i]
		}
	}
}

func panelUnpack8Go(dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int) {
	panelUnpackGo(8, dst, codes, offsets, zeros, scales, words, stride)
}

func panelUnpack4Go(dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int) {
	panelUnpackGo(4, dst, codes, offsets, zeros, scales, words, stride)
}

func panelUnpack2Go(dst []float32, codes []byte, offsets []int32, zeros, scales []float32, words, stride int) {
	panelUnpackGo(2, dst, codes, offsets, zeros, scales, words, stride)
}

func panelPackGo(dst, w []float32, offsets []int32, k, stride int) {
	for i, o := range offsets {
		for j, v := range w[o : int(o)+k] {
			dst[j*stride+i] = v
		}
	}
}

func panelMulGo(rows int, c, a, b, bias []float32, k, lda, ldc int) {
	width := 2 * PanelLanes()
	for r := range rows {
		y := c[r*ldc : r*ldc+width]
		copy(y, bias)
		for i, x := range a[r*lda : r*lda+k] {
			for j, w := range b[i*width : (i+1)*width] {
				y[j] += x * w
			}
		}
	}
}

func panelMulManyGo(c, a, b, bias []float32, k, lda, ldc int) {
	panelMulGo(6, c, a, b, bias, k, lda, ldc)
}
func panelMulFourGo(c, a, b, bias []float32, k, lda, ldc int) {
	panelMulGo(4, c, a, b, bias, k, lda, ldc)
}
func panelMulOneGo(c, a, b, bias []float32, k, lda, ldc int) {
	panelMulGo(1, c, a, b, bias, k, lda, ldc)
}
