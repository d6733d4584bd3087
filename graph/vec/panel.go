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

// PanelTranspose makes the panel [k, 2·PanelLanes] of wᵀ, for w [n, k] with ld floats from row to row; if n is below
// the width, its last row is repeated.
func PanelTranspose(dst, w []float32, n, k, ld int) {
	var offsets [MaxPanelLanes]int32
	lanes := PanelLanes()
	for half := range 2 {
		first := min(half*lanes, n-1)
		for i := range lanes {
			offsets[i] = int32(min(i, n-1-first) * ld)
		}
		PanelPack(dst[half*lanes:], w[first*ld:], offsets[:lanes], k, 2*lanes)
	}
}

// PanelCopy makes the panel [k, 2·PanelLanes] of b [k, n] with ld floats from row to row; what n lacks of the width is
// 0.
func PanelCopy(dst, b []float32, k, n, ld int) {
	width := 2 * PanelLanes()
	for r := range k {
		row := dst[r*width : (r+1)*width]
		clear(row[copy(row, b[r*ld:r*ld+n]):])
	}
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
	r, many := 0, panelMany()
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

// PanelAdd adds a·b to c: PanelMul that begins each sum with what is in c.
func PanelAdd(c, a, b []float32, rows, k, lda, ldc int) {
	width := 2 * PanelLanes()
	if rows == 0 {
		return
	}
	if k < 1 || lda < k || ldc < width || len(a) < (rows-1)*lda+k || len(b) < k*width || len(c) < (rows-1)*ldc+width {
		panelMismatch("PanelAdd", len(c), len(a), len(b), rows, k, lda, ldc)
	}
	r, many := 0, panelMany()
	for ; r+many <= rows; r += many {
		panelAddManyKernel(c[r*ldc:], a[r*lda:], b, k, lda, ldc)
	}
	for ; r+4 <= rows; r += 4 {
		panelAddFourKernel(c[r*ldc:], a[r*lda:], b, k, lda, ldc)
	}
	for ; r < rows; r++ {
		panelAddOneKernel(c[r*ldc:], a[r*lda:], b, k, lda, ldc)
	}
}

// PanelAddT adds aᵀ·b to c, for a [k, rows] with lda floats from row to row and the panel b [k, 2·PanelLanes], in c
// [rows, 2·PanelLanes] with ldc floats from row to row. Each element is summed in the order of k, beginning with what
// is in c.
func PanelAddT(c, a, b []float32, rows, k, lda, ldc int) {
	width := 2 * PanelLanes()
	if rows == 0 {
		return
	}
	if k < 1 || lda < rows || ldc < width || len(a) < (k-1)*lda+rows || len(b) < k*width ||
		len(c) < (rows-1)*ldc+width {
		panelMismatch("PanelAddT", len(c), len(a), len(b), rows, k, lda, ldc)
	}
	r, many := 0, panelMany()
	for ; r+many <= rows; r += many {
		panelAddTManyKernel(c[r*ldc:], a[r:], b, k, lda, ldc)
	}
	for ; r+4 <= rows; r += 4 {
		panelAddTFourKernel(c[r*ldc:], a[r:], b, k, lda, ldc)
	}
	for ; r < rows; r++ {
		panelAddTOneKernel(c[r*ldc:], a[r:], b, k, lda, ldc)
	}
}

// panelMany is the number of rows of the largest kernel.
func panelMany() int {
	if active == levelAVX512 {
		return 12
	}
	return 6
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
	for r := range rows {
		copy(c[r*ldc:r*ldc+2*PanelLanes()], bias)
	}
	panelAddGo(rows, c, a, b, k, lda, 1, ldc)
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

func panelAddGo(rows int, c, a, b []float32, k, ldr, ldk, ldc int) {
	width := 2 * PanelLanes()
	for r := range rows {
		y := c[r*ldc : r*ldc+width]
		for i := range k {
			x := a[r*ldr+i*ldk]
			for j, w := range b[i*width : (i+1)*width] {
				y[j] += x * w
			}
		}
	}
}

func panelAddManyGo(c, a, b []float32, k, lda, ldc int)  { panelAddGo(6, c, a, b, k, lda, 1, ldc) }
func panelAddFourGo(c, a, b []float32, k, lda, ldc int)  { panelAddGo(4, c, a, b, k, lda, 1, ldc) }
func panelAddOneGo(c, a, b []float32, k, lda, ldc int)   { panelAddGo(1, c, a, b, k, lda, 1, ldc) }
func panelAddTManyGo(c, a, b []float32, k, lda, ldc int) { panelAddGo(6, c, a, b, k, 1, lda, ldc) }
func panelAddTFourGo(c, a, b []float32, k, lda, ldc int) { panelAddGo(4, c, a, b, k, 1, lda, ldc) }
func panelAddTOneGo(c, a, b []float32, k, lda, ldc int)  { panelAddGo(1, c, a, b, k, 1, lda, ldc) }
