//go:build !unix

package experiments

// usage is not known on this system.
func usage() (cpu float64, rss uint64) { return 0, 0 }
