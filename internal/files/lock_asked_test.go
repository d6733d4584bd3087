package files

import (
	"path/filepath"
	"testing"
)

// Who only asks whether a lock is taken keeps nobody from taking it.
func TestAskingKeepsNobodyOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".run.lock")
	done, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-done:
				return
			default:
				if _, err := Locked(path); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for i := range 300 {
		release, held, err := Lock(path)
		if err != nil || !held {
			t.Errorf("lock %d: held %t, %v", i, held, err)
			break
		}
		release()
	}
	close(done)
	<-asked
}
