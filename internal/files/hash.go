package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
)

// HashFile is the SHA-256 of the regular file at path, in hexadecimal.
func HashFile(path string) (string, error) {
	f, err := Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", errors.Join(err, f.Close())
	}
	return hex.EncodeToString(h.Sum(nil)), f.Close()
}
