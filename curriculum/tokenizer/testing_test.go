package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// scripts are words and spellings that tokenisers are compared on.
var scripts = map[string][]string{
	"latin": strings.Fields("the a of model Über naïve café déjà señor ångström Straße İstanbul façade piñata œuvre " +
		"Łódź čeština žluťoučký kůň don't we're I'll it's THEY'VE it'ſ 3.14 1,000 e-mail co-op state-of-the-art"),
	"cyrillic": strings.Fields("привет мир машина ёлка Йод модель обучение данные київ їжак съешь же ещё этих булок"),
	"greek":    strings.Fields("γειά σου κόσμε ὁ λόγος Ἀθῆναι μάθηση μοντέλο Σίσυφος ἄνθρωπος ΟΔΟΣ"),
	"cjk": strings.Fields("你好 世界 机器学习 模型 数据 東京都 日本語 ひらがな カタカナ ｶﾀｶﾅ 한국어 기계 학습 ＡＢＣ １２３ 𠮷野家 。 、 " +
		"「引用」 ㎏ ㍿"),
	"arabic":     strings.Fields("مرحبا بالعالم نموذج تَعَلُّم بيانات الآلة ١٢٣ لا ﷺ ،؟ שלום עולם"),
	"devanagari": strings.Fields("नमस्ते दुनिया मशीन लर्निंग क्षत्रिय हिन्दी १२३ । ज्ञान ภาษาไทย தமிழ்"),
	"emoji": strings.Fields("😀 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ 🏳️‍🌈 ✨ ①② ½ ﬁ ﬂ ™ € £ ∑ ∞ ≠ \u212b A\u030a e\u0301 é " +
		"ǆ"),
	"code": {"for (int i=0; i<n; i++) {", "if err != nil {", "\treturn x[i]*2.0e-5", "def f(x: int) -> str:", `"a\n"`,
		"a_b_c __init__", "#include <stdio.h>", "x == y && z || !w", "https://example.org/a?b=c&d=%20",
		"    indented", "\t\ttabs",
		"<s> </s> [CLS] [SEP] [MASK] <pad> <unk> [UNK] [PAD]", "<start_of_turn>", "~`@#$%^&*()_+-={}[]|\\:;'<>,.?/"},
}

var (
	scriptNames = []string{"latin", "cyrillic", "greek", "cjk", "arabic", "devanagari", "emoji", "code"}
	separators  = []string{"  ", "   ", "\t", "\u00a0", "\u3000", "", "\u200b", "\u200d", "\u00ad", "\r\n", "\x07",
		" . ", ", ", "!", "\n", "\n\n", "  \n ", "\u2028", "\ufeff", "\ufffd", "\x00", "\u0085"}
	// odd are lines of their own.
	odd = []string{"", "a", " ", "  ", "\t", "Hello world", " lead", "trail ", "ſ", "İ", "ΟΔΟΣ ὈΔΌΣ", "\x00", "\u0301",
		"▁", "▁▁a",
		strings.Repeat("x", 300), strings.Repeat("ü", 120), strings.Repeat("字", 120), strings.Repeat("😀", 50),
		strings.Repeat("a", 99) + " " + strings.Repeat("b", 100) + " " + strings.Repeat("c", 101)}
)

// generatedLines are n lines in several scripts, the same for the same seed.
func generatedLines(n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 14))
	pick := func(s []string) string { return s[rng.IntN(len(s))] }
	lines := odd[:min(n, len(odd))]
	for len(lines) < n {
		script := []string{pick(scriptNames), pick(scriptNames)}
		if rng.IntN(10) < 7 {
			script = script[:1]
		}
		var b strings.Builder
		for range 1 + rng.IntN(18) {
			b.WriteString(pick(scripts[pick(script)]))
			if rng.IntN(50) < 30 {
				b.WriteByte(' ')
			} else {
				b.WriteString(pick(separators))
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}

// everyCharacter is lines that have every character which Go's Unicode knows, one in 37 of the ideographs and
// syllables.
func everyCharacter() (lines []string) {
	known := []*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc,
		unicode.Cf}
	var b strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		many := unicode.In(r, unicode.Han, unicode.Hangul, unicode.Tangut) && r%37 != 0
		if many || !unicode.In(r, known...) && (!unicode.Is(unicode.Co, r) || r%1000 != 0) {
			continue
		}
		b.WriteString("a" + string(r) + "b ")
		if b.Len() > 1000 {
			lines = append(lines, b.String())
			b.Reset()
		}
	}
	return append(lines, b.String())
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(path, err)
	}
}

// opened is the tokeniser of a file in a folder, NAME.json or NAME.model.
func opened(t *testing.T, folder, name string) Tokenizer {
	t.Helper()
	path := filepath.Join(folder, name+".json")
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(folder, name+".model")
	}
	tok, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// compare checks the ids of lines, and that a tokeniser made of the Spec gives them, too.
func compare(t *testing.T, tok Tokenizer, lines []string, want [][]int32) {
	t.Helper()
	if len(want) != len(lines) {
		t.Fatalf("%d lines of ids, want %d", len(want), len(lines))
	}
	kept, err := FromSpec(tok.Spec())
	if err != nil {
		t.Fatal(err)
	}
	if kept.Size() != tok.Size() || kept.Pad() != tok.Pad() {
		t.Errorf("the Spec's has size %d and pad %d, want %d and %d", kept.Size(), kept.Pad(), tok.Size(), tok.Pad())
	}
	bad := 0
	for i, line := range lines {
		ids, err := tok.Encode(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		again, err := kept.Encode(line)
		if err != nil || !slices.Equal(again, ids) {
			t.Errorf("%q: the Spec's gives other ids (%v)", line, err)
		}
		if slices.Equal(ids, want[i]) {
			continue
		}
		if bad++; bad == 1 {
			t.Errorf("line %d, %q:\n got %v\nwant %v", i, line, ids, want[i])
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d lines have other ids", bad, len(lines))
	}
}
