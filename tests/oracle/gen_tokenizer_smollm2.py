#!/usr/bin/env python3
"""Ids of about 200 strings by an independent tokenizer: the `tokenizers` package, set up as SmolLM2's makers did
(digits alone, then GPT-2's byte-level pre-tokeniser), with the tokens and merges of a GGUF file.

    pip install gguf tokenizers
    gen_tokenizer_smollm2.py MODEL.gguf > tokenizer_smollm2.json

The vocabulary is not kept. Strings with a byte that the vocabulary lacks (U+0004 and others) are left out: the
package drops such characters without a word, Accord encodes U+FFFD for them.
"""
import json
import sys

import gguf
import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

STRINGS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", " \n", "\n ", "\r\n", "\r\n\r\n", "a", " a", "a ", " a ",
    "Hello", " Hello", "  Hello", "   Hello", "    Hello", "Hello world", "Hello  world", "Hello world ", "hello WORLD",
    "Hello, world!", " Hello, world! ", "It's", "it's", "IT'S", "I'm you're we've he'll she'd don't", "'s't're've'm'll'd",
    "'S'T'RE'VE'M'LL'D", "'\u017f", "rock 'n' roll", "o'clock", "''''", "\"quoted\"", "\u2018curly\u2019 \u201cquotes\u201d",
    "0", "1", "12", "123", "1234", "12345", "123456789", "3.14159", "-1.5e-10", "1,000,000", "0x1F", "2024-01-31T09:30:00Z",
    "a1b2c3", "v1.2.3", "10% of $5.00", "1 2  3   4", "\u00bd", "\u00b2\u00b3", "\u2167", "\u0661\u0662\u0663", "\uff11\uff12",
    "100\u20ac", "\u00a35", "12\u4e0734", "call 555-0199 now", "1st 2nd 3rd",
    "!", "!!", "!!!", "...", "?!?!", "------", "=======", "````", "~~~~", "####", "***", "((()))", "[]{}<>", "@user #tag",
    "a.b.c", "a_b_c", "a-b-c", "a/b/c", "a\\b\\c", "C:\\Users\\x", "/usr/bin/env", "https://example.com/a?b=c&d=e#f",
    "user@example.com", "100% & more", "a+b=c", "x<y>z", "a|b|c", "^$^$", "\u2026\u2014\u2013", "\u00ab\u00bb\u00bf\u00a1",
    "Gr\u00fc\u00dfe aus K\u00f6ln", "na\u00efve caf\u00e9", "e\u0301 decomposed", "\u0141\u00f3d\u017a", "\u010ce\u0161tina",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442", "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u4e2d\u6587\u5b57\u7b26", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\ud55c\uad6d\uc5b4",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "Ti\u1ebfng Vi\u1ec7t", "\u1798\u17b6\u178f\u17cb", "\u10e5\u10d0\u10e0",
    "\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    "a\U0001f642b", "\U0001d49c\U0001d4b7", "\u200b", "\u200d", "\ufeff", "\u00a0", " \u00a0 ", "\u3000", "\u2028", "\u2003x",
    "\u00adsoft", "\u202eabc", "\u0301", "x\u0301\u0323y", "\ufffd", "\ue000", "\u0378", "zalgo \u0336\u0336\u0321",
    "ALLCAPS", "camelCase", "PascalCase", "snake_case", "SCREAMING_SNAKE", "kebab-case", "mixedUPPERlower", "iPhone 15",
    "antidisestablishmentarianism", "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababababab", "the the the the", "thethethethe", "qzxjkvbwp", "lorem ipsum dolor sit amet",
    "The quick brown fox jumps over the lazy dog.", "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; i++) {\n\tsum += a[i];\n}\n",
    "if (x == 1) { return; } // done", "#include <stdio.h>\n\nint main(void)\n{\n    return 0;\n}\n",
    "SELECT * FROM t WHERE a = 'b' AND c >= 10;", "{\"key\": [1, 2.5, null, true], \"s\": \"\\n\"}", "<div class=\"a\">x</div>",
    "\\begin{equation} e^{i\\pi} + 1 = 0 \\end{equation}", "| a | b |\n|---|---|\n| 1 | 2 |", "- one\n- two\n  - three\n",
    "1. first\n2. second\n", "Q: What?\nA: That.", "line\n\n\n\nline", "tab\tseparated\tvalues", "   leading", "trailing   ",
    "  both  ", "a\n b\n  c\n   d", "\t\tindent", "\n\n  \n\t\n", "a  b   c    d     e", "x\n\ty", " \t \t ", "                x",
    "<|im_start|>", "<|im_end|> text", "user <|endoftext|> user", "<|im_start|>system\nYou are", "<repo_name>x", "<think>",
    "\u0120", "\u010a\u0120", "caf\u00e9\u00a0\u00e0 la carte", "50\u00b0C \u2248 122\u00b0F", "\u2713 done \u2717 not",
    "\u2190\u2191\u2192\u2193", "\u2500\u2502\u250c", "\u221e \u2211 \u222b \u221a", "H\u2082O", "x\u00b2 + y\u00b2",
    "one\u2009two", "\u00e6\u00f8\u00e5", "\u0130stanbul \u0131", "\u01c5", "\u02b0\u02c6", "\u00aa\u00ba",
    "A" * 100, "ab " * 40, " " * 70, "\n" * 40, "7" * 50, "!?" * 30, "\u4e2d" * 30, "\U0001f642" * 12,
]


def byte_alphabet():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return dict([(b, chr(b)) for b in keep] + [(b, chr(256 + i)) for i, b in enumerate(rest)])


def main():
    fields = gguf.GGUFReader(sys.argv[1]).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    control = [t for t, kind in zip(tokens, types) if kind == 3]
    vocab = {t: i for i, t in enumerate(tokens)}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    alphabet = byte_alphabet()
    rows = []
    for text in STRINGS:
        if any(alphabet[b] not in vocab for b in text.encode()):
            raise SystemExit("a byte of %r is not in the vocabulary" % text)
        rows.append([text, tok.encode(text, add_special_tokens=False).ids])
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    special = [[text, tok.encode(text, add_special_tokens=False).ids] for text in STRINGS if "<" in text]
    json.dump({"tokenizers": tokenizers.__version__, "n_tokens": len(tokens), "plain": rows, "special": special},
              sys.stdout, ensure_ascii=True, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
