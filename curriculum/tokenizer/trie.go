package tokenizer

// trie finds which of a set of words a text begins with. Its nodes are numbered as they are made, 0 is the root.
type trie struct {
	next  map[uint64]int32 // node<<8 | byte: the node behind that byte
	value []int32          // of each node: what the word that ends there stands for; -1: none does
}

func newTrie() *trie { return &trie{next: map[uint64]int32{}, value: []int32{-1}} }

// add makes word stand for value, in place of what it stood for.
func (t *trie) add(word string, value int32) {
	node := int32(0)
	for i := range len(word) {
		edge := uint64(node)<<8 | uint64(word[i])
		child, ok := t.next[edge]
		if !ok {
			child = int32(len(t.value))
			t.next[edge] = child
			t.value = append(t.value, -1)
		}
		node = child
	}
	t.value[node] = value
}

// step is the node behind byte b of node, or false.
func (t *trie) step(node int32, b byte) (int32, bool) {
	child, ok := t.next[uint64(node)<<8|uint64(b)]
	return child, ok
}

// longest is the length of the longest word that text begins with, and its value; 0: there is none.
func (t *trie) longest(text string) (length int, value int32) {
	node := int32(0)
	for i := range len(text) {
		child, ok := t.step(node, text[i])
		if !ok {
			break
		}
		node = child
		if v := t.value[node]; v >= 0 {
			length, value = i+1, v
		}
	}
	return length, value
}
