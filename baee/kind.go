package baee

// IsSnapshot says whether a safetensors file with this metadata is the snapshot of a stream.
func IsSnapshot(metadata map[string]string) bool { return metadata[streamKey] != "" }

// IsClassifier says whether a safetensors file with this metadata is a retention classifier or a Locret-style head.
func IsClassifier(metadata map[string]string) bool { return metadata[classifierKey] != "" }
