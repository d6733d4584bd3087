//go:build !amd64 || purego

package vec

func bestLevel() level { return levelGo }
