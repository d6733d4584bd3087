package safetensors

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/synapnet/synapnet-train/internal/files"
)

// ReadMetadata is the metadata of the file at path, of which it reads no more than the header and checks no checksum.
// It tells what a file is at little cost.
func ReadMetadata(path string) (metadata map[string]string, err error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	prefix := make([]byte, min(lengthBytes, stat.Size()))
	if _, err := io.ReadFull(file, prefix); err != nil {
		return nil, fmt.Errorf("%s: %w", path, files.Cause(err))
	}
	n, err := headerLength(prefix, uint64(stat.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil, fmt.Errorf("%s: %w", path, files.Cause(err))
	}
	var of struct {
		Metadata map[string]string `json:"__metadata__"`
	}
	if err := json.Unmarshal(header, &of); err != nil {
		return nil, fmt.Errorf("%s: header: %w", path, err)
	}
	return of.Metadata, nil
}
