"""Trains small tokenisers with PyPI tokenizers and sentencepiece and encodes lines with them.

    python pypi.py FOLDER [NAME...]

FOLDER/in.json has {"train": [...], "lines": [...], "size": n, "points": [...]}. For each tokeniser, or those named, it
writes NAME.json or NAME.model, and NAME.ids: the ids of each of the lines, or of each of the points for tokenisers that
only normalise and cut (their pieces are spelt in bytes, so that their ids show all that they do). A NAME of none of the
kinds is a NAME.json that is in the folder.
"""
import json
import os
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

folder, wanted = sys.argv[1], sys.argv[2:]
given = json.load(open(os.path.join(folder, "in.json"), encoding="utf-8"))
train, lines, size, points = given["train"], given["lines"], given["size"], given["points"]

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?"
         + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?"
         + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def keep(name, t, texts=lines):
    t.no_truncation()
    ids = [t.encode(text).ids for text in texts]
    t.save(os.path.join(folder, name + ".json"), pretty=False)
    json.dump(ids, open(os.path.join(folder, name + ".ids"), "w"))


def word_level(name):
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(train, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], vocab_size=size))
    keep(name, t)


def bert(name, lowercase):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(train, trainers.WordPieceTrainer(special_tokens=BERT, vocab_size=size,
                                                           limit_alphabet=size // 2))
    cls, sep = t.token_to_id("[CLS]"), t.token_to_id("[SEP]")
    if lowercase:
        t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                         special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    else:
        t.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
        t.enable_truncation(512)
    keep(name, t)


def byte_level(name, special, pattern=None, normalizer=None, prefix=False, post=None, **options):
    t = Tokenizer(models.BPE(**options))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    if pattern:
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(train, trainers.BpeTrainer(special_tokens=special, vocab_size=256 + size // 2,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.post_processor = post or processors.ByteLevel(trim_offsets=False)
    keep(name, t)


def characters(name, normalizer, cutter, suffix=None, **options):
    if suffix:
        options["end_of_word_suffix"] = suffix
    t = Tokenizer(models.BPE(unk_token="<unk>", **options))
    if normalizer:
        t.normalizer = normalizer
    if cutter:
        t.pre_tokenizer = cutter
    special = ["<unk>"] + ["<0x%02X>" % b for b in range(256)] * options.get("byte_fallback", False)
    t.train_from_iterator(train, trainers.BpeTrainer(special_tokens=special, vocab_size=len(special) + size,
                                                     end_of_word_suffix=suffix or "", limit_alphabet=size // 3))
    if options.get("byte_fallback"):  # as Llama 2's: bytes are tokens of the vocabulary, and none of a text's
        file = json.loads(t.to_str())
        file["added_tokens"] = file["added_tokens"][:1]
        t = Tokenizer.from_str(json.dumps(file))
    keep(name, t)


def unigram(name, normalizer, cutter, **options):
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer = normalizer, cutter
    t.train_from_iterator(train, trainers.UnigramTrainer(special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
                                                         vocab_size=size))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    keep(name, t)


def added(name):
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(train, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], vocab_size=size))
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True), AddedToken("<s>", rstrip=True), "</s>", "<unk>"])
    t.add_tokens([AddedToken("the", single_word=True), AddedToken("MODEL", normalized=True), AddedToken("del"),
                  AddedToken("модель", lstrip=True, rstrip=True, normalized=False), AddedToken("世", normalized=True)])
    keep(name, t)


def words(name):
    """One that is in the folder."""
    t = Tokenizer.from_file(os.path.join(folder, name + ".json"))
    json.dump([t.encode(text).ids for text in lines], open(os.path.join(folder, name + ".ids"), "w"))


def pieces(name, normalizer=None, cutter=None):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    if normalizer:
        t.normalizer = normalizer
    spell = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([cutter, spell]) if cutter else spell
    keep(name, t, points)


def sp(name, **options):
    path = os.path.join(folder, name)
    rules = os.path.join(folder, "rules.tsv")
    with open(rules, "w") as f:  # a full-width A and B, an e with an accent in two characters, a ligature
        f.write("FF21\t41\nFF22\t42\n65 301\tE9\nFB01\t66 69\nA0\t20\n3000\t20\n2026\t2E 2E 2E\n")
    if options.pop("rules", False):
        options["normalization_rule_tsv"] = rules
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(train), model_prefix=path, vocab_size=size + 256 * options.get("byte_fallback", False),
        hard_vocab_limit=False, character_coverage=0.98, minloglevel=2, num_threads=1, **options)
    os.remove(path + ".vocab")
    os.remove(rules)
    s = sentencepiece.SentencePieceProcessor(model_file=path + ".model")
    json.dump([s.encode(text) for text in lines], open(path + ".ids", "w"))


def field(message, wanted):
    """The bytes of a field of a protobuf message."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value

    while True:
        tag = number()
        if tag & 7 == 2:
            size = number()
            at += size
            if tag >> 3 == wanted:
                return message[at - size:at]
        elif tag & 7 == 5:
            at += 4
        else:
            number()


def table():
    """nmt_nfkc, as SentencePiece's models have it."""
    path = os.path.join(folder, "table")
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(train), model_prefix=path, vocab_size=size,
                                             hard_vocab_limit=False, minloglevel=2)
    model = open(path + ".model", "rb").read()
    os.remove(path + ".model")
    os.remove(path + ".vocab")
    return normalizers.Precompiled(field(field(model, 3), 2))  # normalizer_spec.precompiled_charsmap


N, P = normalizers, pre_tokenizers
IDENTITY = dict(normalization_rule_name="identity", remove_extra_whitespaces=False)
USER = ["<start_of_turn>", "\n", "\t", "model", "世界"]
all_kinds = {
    "wordlevel": word_level,
    "bert-uncased": lambda n: bert(n, True),
    "bert-cased": lambda n: bert(n, False),
    "gpt2": lambda n: byte_level(n, ["<|endoftext|>"]),
    "roberta": lambda n: byte_level(n, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], prefix=True,
                                    post=processors.RobertaProcessing(("</s>", 2), ("<s>", 0))),
    "llama3": lambda n: byte_level(n, ["<|begin|>"], LLAMA3, ignore_merges=True, post=processors.Sequence([
        processors.ByteLevel(),
        processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])])),
    "qwen2": lambda n: byte_level(n, ["<|endoftext|>"], QWEN2, N.NFC()),
    "gpt4o": lambda n: byte_level(n, ["<|endoftext|>"], GPT4O),
    "deepseek": lambda n: byte_level(n, ["<eos>"], DEEPSEEK),
    "gpt1": lambda n: characters(n, N.Lowercase(), P.BertPreTokenizer(), "</w>"),
    "llama2": lambda n: characters(n, N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, byte_fallback=True,
                                   fuse_unk=True),
    "mistral": lambda n: characters(n, None, P.Metaspace(prepend_scheme="first", split=False), byte_fallback=True,
                                    fuse_unk=True),
    "unigram": lambda n: unigram(n, N.Sequence([N.NFKC(), N.Replace(Regex(" {2,}"), " ")]), P.Metaspace()),
    "t5": lambda n: unigram(n, table(), P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="always")])),
    "t5-first": lambda n: unigram(n, N.Sequence([table(), N.Strip(left=False, right=True),
                                                   N.Replace(Regex(" {2,}"), "▁")]), P.Metaspace(prepend_scheme="first")),
    "albert": lambda n: unigram(n, N.Sequence([N.Replace("``", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(),
                                                 table()]),
                                P.Metaspace(prepend_scheme="never")),
    "added": added,
    "pieces-bert": lambda n: pieces(n, N.BertNormalizer(), P.BertPreTokenizer()),
    "pieces-bert-cased": lambda n: pieces(n, N.BertNormalizer(lowercase=False, strip_accents=False),
                                          P.BertPreTokenizer()),
    "pieces-whitespace": lambda n: pieces(n, None, P.Whitespace()),
    "pieces-punctuation": lambda n: pieces(n, N.NFC(), P.Punctuation("contiguous")),
    "pieces-digits": lambda n: pieces(n, N.NFD(), P.Sequence([P.WhitespaceSplit(), P.Digits(False)])),
    "pieces-digit": lambda n: pieces(n, N.NFKC(), P.Digits(True)),
    "pieces-accents": lambda n: pieces(n, N.Sequence([N.NFKD(), N.StripAccents()])),
    "pieces-marks": lambda n: pieces(n, N.Sequence([N.Strip(), N.Lowercase(), N.StripAccents()])),
    "pieces-previous": lambda n: pieces(n, None, P.Split(Regex(r"[\s\p{P}]"), "merged_with_previous")),
    "pieces-next": lambda n: pieces(n, None, P.Split(Regex(r"[\s\p{S}]"), "merged_with_next")),
    "pieces-inverted": lambda n: pieces(n, None, P.Split(Regex(r"\p{L}+|\p{M}|\d+"), "removed", invert=True)),
    "pieces-clip": lambda n: pieces(n, N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]),
                                    P.Split(Regex(CLIP), "removed", invert=True)),
    "pieces-gemma": lambda n: pieces(n, N.Replace(" ", "▁"), P.Split("▁", "merged_with_previous")),
    "pieces-string": lambda n: pieces(n, N.Replace("a", "b "), P.Split("b", "contiguous")),
    "pieces-table": lambda n: pieces(n, table()),
    "sp-bpe": lambda n: sp(n, model_type="bpe"),
    "sp-bpe-casefold": lambda n: sp(n, model_type="bpe", normalization_rule_name="nmt_nfkc_cf", split_digits=True),
    "sp-llama2": lambda n: sp(n, model_type="bpe", byte_fallback=True, **IDENTITY),
    "sp-gemma": lambda n: sp(n, model_type="bpe", byte_fallback=True, add_dummy_prefix=False, pad_id=0, eos_id=1,
                             bos_id=2, unk_id=3, user_defined_symbols=USER, **IDENTITY),
    "sp-unigram": lambda n: sp(n, model_type="unigram"),
    "sp-unigram-user": lambda n: sp(n, model_type="unigram", user_defined_symbols=USER, byte_fallback=True, **IDENTITY),
    "sp-unigram-suffix": lambda n: sp(n, model_type="unigram", treat_whitespace_as_suffix=True),
    "sp-char": lambda n: sp(n, model_type="char", user_defined_symbols=USER),
    "sp-rules": lambda n: sp(n, model_type="unigram", rules=True),
    "sp-rules-bpe": lambda n: sp(n, model_type="bpe", rules=True, pad_id=3),
}

for name in wanted or all_kinds:
    all_kinds.get(name, words)(name)
