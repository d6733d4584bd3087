package layers

// IsPacked says whether a safetensors file with this metadata is a packed model.
func IsPacked(metadata map[string]string) bool { return metadata[packedKey] != "" }
