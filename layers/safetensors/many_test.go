package safetensors

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// A header of more tensors than any model has is refused before its names are decoded, which would take long.
func TestHeadersOfMillionsOfTensorsAreRefused(t *testing.T) {
	var header strings.Builder
	header.WriteString("{")
	for i := range maxTensors + 1 {
		if i > 0 {
			header.WriteString(",")
		}
		fmt.Fprintf(&header, `"%d":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}`, i, i, i+1)
	}
	header.WriteString("}")
	file := binary.LittleEndian.AppendUint64(nil, uint64(header.Len()))
	file = append(append(file, header.String()...), make([]byte, maxTensors+1)...)
	_, err := Parse(file)
	if err == nil || !strings.Contains(err.Error(), "the header has 524289 tensors: a file may have at most 524288") {
		t.Errorf("got %v", err)
	}
}
