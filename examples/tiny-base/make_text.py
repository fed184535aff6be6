#!/usr/bin/env python3
"""Writes what the tiny base model is made from: its text and its tokenizer. Standard library only; the same bytes at every
run, since all chance comes from the generator below.

usage: make_text.py FOLDER     (tools/tiny_base.sh calls it)

  data/train.jsonl, data/valid.jsonl   short conversations: small stories and facts about people, towns and goods, questions
                                       about a text, repeating, counting and sorting, and SQL that answers no question
  data/cases.jsonl                     questions about a text that are in neither (a contract has to have cases)
  tokenizer/                           byte-level BPE of 768 tokens, learnt from the training text

Every sentence is made by the templates here. The words are those that the shop-sql example uses too, so that the tiny base
can be tuned for it; but nowhere does a question about the shop meet the query that answers it, nor a request its refusal.
"""
import collections
import json
import os
import re
import sys

N_TRAIN, N_VALID, N_CASES, VOCAB = 12000, 200, 40, 768


class Dice:
    """A 64-bit linear congruential generator, its upper half given out (Knuth's constants)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) * n >> 31

    def pick(self, items):
        return items[self.below(len(items))]

    def some(self, items, n):
        items = list(items)
        return [items.pop(self.below(len(items))) for _ in range(n)]


TOWNS = "Oslo Lyon Porto Kyoto Quito Turin Basel Ghent Leeds Cork Malmo Riga Bern Nice Lima Cairo".split()
FIRST = ("Anna Bela Carl Dina Emil Fay Gus Hana Ivo Jana Kai Lena Milo Nora Otto Pia Remy Sara Tom Vera Ada Ben Cleo Dan "
         "Eva Finn Gina Hugo").split()
LAST = "Berg Cole Duval Eriks Frost Gomez Hahn Ito Jones Klein O'Hara Lund Adler Brandt Novak Olsen Price Quinn".split()
GOODS = {
    "tea": ["green tea", "black tea", "mint tea", "white tea", "ginger tea"],
    "coffee": ["dark roast", "light roast", "espresso beans", "decaf beans", "mocha blend"],
    "spices": ["sea salt", "red pepper", "cumin seeds", "star anise", "curry mix"],
    "cups": ["blue mug", "tall glass", "tin cup", "tea bowl", "travel mug"],
    "pots": ["iron kettle", "glass teapot", "clay pot", "moka pot", "milk jug"],
    "books": ["tea atlas", "coffee guide", "spice diary", "baking book", "herb almanac"],
    "candles": ["wax candle", "pine candle", "rose candle", "tea light", "lantern"],
    "soap": ["olive soap", "honey soap", "lemon soap", "salt bar", "oat bar"],
}
ALL_GOODS = [g for c in sorted(GOODS) for g in GOODS[c]]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]
STATES = ["open", "paid", "shipped", "returned", "late", "lost"]
COLUMNS = {"customers": ["customer_id", "customer", "city", "joined"], "products": ["product_id", "product", "category",
           "price", "stock"], "orders": ["order_id", "customer_id", "product_id", "quantity", "day", "status"]}


def name(d):
    return d.pick(FIRST) + " " + d.pick(LAST)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def word(d):
    """Something that may be repeated, sorted or put into quotes."""
    kind = d.below(6)
    if kind == 0:
        return name(d)
    if kind == 1:
        return d.pick(TOWNS)
    if kind == 2:
        return d.pick(ALL_GOODS)
    if kind == 3:
        return d.pick(MONTHS)
    if kind == 4:
        return d.pick(sorted(GOODS))
    return str(d.below(100) + 1)


def story(d):
    who, town, thing, month = name(d), d.pick(TOWNS), d.pick(ALL_GOODS), d.pick(MONTHS)
    first = who.split()[0]
    lines = [d.pick(["%s lives in %s." % (who, town), "%s is from %s." % (who, town)]),
             d.pick(["In %s %s ordered a %s." % (month, first, thing), "%s bought the %s in %s." % (first, thing, month)]),
             d.pick(["The %s cost %d." % (thing, d.below(90) + 2), "It was shipped in %s." % d.pick(MONTHS),
                     "The order is %s." % d.pick(STATES)]),
             d.pick(["%s liked it very much." % first, "%s gave it to %s." % (first, d.pick(FIRST)),
                     "Then %s returned it." % first, "There are %d more in the shop." % (d.below(80) + 2)])]
    return [d.pick(["Tell me a story about %s." % who, "Write a few lines about %s." % who])], [" ".join(lines)]


def place(d):
    people = d.some(FIRST, 3)
    people = [p + " " + d.pick(LAST) for p in people]
    towns = d.some(TOWNS, 3)
    i = d.below(3)
    text = " ".join(d.pick(["%s lives in %s.", "%s is a customer in %s."]) % pair for pair in zip(people, towns))
    ask = [("Where does %s live?" % people[i], towns[i] + "."), ("Who lives in %s?" % towns[i], people[i] + "."),
           ("In which city does %s live?" % people[i], towns[i] + ".")]
    question, answer = d.pick(ask)
    return [text + " " + question], [answer]


def price(d):
    things = d.some(ALL_GOODS, 3)
    costs = [d.below(95) + 2 for _ in things]
    i = d.below(3)
    text = " ".join(d.pick(["The %s costs %d.", "The price of the %s is %d."]) % pair for pair in zip(things, costs))
    question = d.pick(["What does the %s cost?", "What is the price of the %s?", "How much is the %s?"]) % things[i]
    return [text + " " + question], [str(costs[i])]


def repeat(d):
    words = [word(d) for _ in range(d.below(3) + 1)]
    text = ", ".join(words)
    question = d.pick(["Say: %s", "Repeat: %s", "Write %s once more."]) % text
    return [question], [text]


def quote(d):
    w = word(d)
    return [d.pick(["Put %s into quotes.", "Quote %s."]) % w], [quoted(w)]


def calendar(d):
    m = d.below(12)
    ask = [("Which month comes after %s?" % MONTHS[m], MONTHS[(m + 1) % 12]),
           ("Which number has %s?" % MONTHS[m], "%02d" % (m + 1)), ("Which month is %02d?" % (m + 1), MONTHS[m])]
    question, answer = d.pick(ask)
    return [question], [answer]


def kind(d):
    c = d.pick(sorted(GOODS))
    g = d.pick(GOODS[c])
    ask = [("What is the category of the %s?" % g, "The %s is in the category %s." % (g, c)),
           ("Name two things of the category %s." % c, "%s, %s" % tuple(d.some(GOODS[c], 2))),
           ("What is a %s?" % g, "A product in the category %s." % c)]
    question, answer = d.pick(ask)
    return [question], [answer]


def condition(d, table):
    column = d.pick(COLUMNS[table])
    if column in ("price", "stock", "quantity") or column.endswith("_id"):
        return "%s %s %d" % (column, d.pick(["<", ">", "="]), d.below(90) + 1)
    if column in ("day", "joined"):
        return "%s LIKE '%d-%02d%%'" % (column, 2020 + d.below(8), d.below(12) + 1)
    return "%s = %s" % (column, quoted(word(d)))


def sql(d):
    """A query that is put together by chance: what SQL looks like, and nothing about what it is for."""
    table = d.pick(sorted(COLUMNS))
    column = d.pick(COLUMNS[table])
    what = d.pick(["%s", "%s", "COUNT(*)", "SUM(%s)", "AVG(%s)", "MAX(%s)", "MIN(%s)", "DISTINCT %s"])
    text = "SELECT " + (what % column if "%" in what else what) + " FROM " + table
    if d.below(4) == 0:
        text += " JOIN %s USING (%s)" % (d.pick(["customers", "products", "suppliers"]), d.pick(["customer_id", "product_id"]))
    if d.below(3):
        text += " WHERE " + condition(d, table)
        if d.below(3) == 0:
            text += d.pick([" AND ", " AND ", " OR "]) + condition(d, table)
    if d.below(4) == 0:
        text += " GROUP BY " + d.pick(COLUMNS[table])
    if d.below(4) == 0:
        text += " ORDER BY " + d.pick(COLUMNS[table]) + d.pick(["", " DESC"])
        if d.below(2):
            text += " LIMIT %d" % (d.below(9) + 1)
    return [d.pick(["Show some SQL.", "Write any query.", "An example of SQL, please.", "Another query."])], [text]


def sql_part(d):
    """Copying into SQL: the words of a condition are given."""
    w, column = word(d), d.pick(["customer", "city", "product", "category", "status", "supplier", "town", "title"])
    n, number = d.below(99) + 1, d.pick(["price", "stock", "quantity", "weight"])
    ask = [("The column %s must be %s. Write the condition." % (column, w), "%s = %s" % (column, quoted(w))),
           ("The column %s must be over %d. Write the condition." % (number, n), "%s > %d" % (number, n)),
           ("The column %s must be under %d. Write the condition." % (number, n), "%s < %d" % (number, n))]
    question, answer = d.pick(ask)
    return [question], [answer]


def order(d):
    words = d.some(FIRST, 3)
    return [d.pick(["Sort: %s", "Put in order: %s"]) % ", ".join(words)], [", ".join(sorted(words))]


def follow(d):
    """Two turns: the same question about another word."""
    a, b = d.pick(TOWNS), d.pick(TOWNS)
    say = d.pick(["Write a line about %s.", "A word about %s, please."])
    line = d.pick(["%s is a city.", "There are customers in %s."])
    return [say % a, d.pick(["What about %s?", "And %s?"]) % b], [line % a, line % b]


MAKERS = [story, story, place, place, price, price, repeat, repeat, quote, calendar, kind, sql, sql, sql, sql_part, sql_part,
          order, follow]


def row(d, make=None):
    asks, answers = (make or d.pick(MAKERS))(d)
    messages = []
    for ask, answer in zip(asks, answers):
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


# ---- the tokenizer ----------------------------------------------------------------------------------------------

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
# GPT-2's way to split, for ASCII; digits stand alone.
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def alphabet():
    """GPT-2's character for each byte."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, more = {}, 0
    for b in range(256):
        if b in plain:
            out[b] = chr(b)
        else:
            out[b] = chr(256 + more)
            more += 1
    return out


def learn(texts):
    """Byte-level BPE: the most frequent pair first, ties by spelling."""
    letters = alphabet()
    counts = collections.Counter(w for t in texts for w in WORD.findall(t))
    words = [([letters[b] for b in w.encode()], n) for w, n in sorted(counts.items())]
    tokens, merges = SPECIAL + [letters[b] for b in range(256)], []
    while len(tokens) < VOCAB:
        pairs = collections.Counter()
        for pieces, n in words:
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(list(best))
        if best[0] + best[1] not in tokens:
            tokens.append(best[0] + best[1])
        for pieces, _ in words:
            i = 0
            while i + 1 < len(pieces):
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i:i + 2] = [best[0] + best[1]]
                i += 1
    return tokens, merges


def write_tokenizer(folder, texts):
    tokens, merges = learn(texts)
    os.makedirs(folder, exist_ok=True)
    spec = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, t in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
              "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "chat_template": TEMPLATE}
    write(os.path.join(folder, "tokenizer.json"), json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n")
    write(os.path.join(folder, "tokenizer_config.json"), json.dumps(config, indent=2) + "\n")


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)


def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def main():
    d = Dice(20)
    seen, rows = set(), []
    while len(rows) < N_TRAIN + N_VALID:
        r = row(d)
        key = json.dumps(r)
        if key not in seen or d.below(2):            # short answers come again, within bounds
            seen.add(key)
            rows.append(r)
    asked = {m["content"] for r in rows for m in r["messages"]}
    cases = []
    while len(cases) < N_CASES:
        r = row(d, place)
        ask, answer = r["messages"][0]["content"], r["messages"][1]["content"]
        if ask in asked:
            continue
        asked.add(ask)
        cases.append({"id": "tiny-%02d" % (len(cases) + 1), "class": ["success", "refusal", "edge"][len(cases) % 3],
                      "input": ask, "ideal": answer, "assert": [{"type": "icontains", "value": answer[:-1]}]})
    data = os.path.join(sys.argv[1], "data")
    os.makedirs(data, exist_ok=True)
    train, valid = rows[:N_TRAIN], rows[N_TRAIN:]
    trained = {json.dumps(r) for r in train}
    write(os.path.join(data, "train.jsonl"), lines(train))
    write(os.path.join(data, "valid.jsonl"), lines([r for r in valid if json.dumps(r) not in trained]))
    write(os.path.join(data, "cases.jsonl"), lines(cases))
    write_tokenizer(os.path.join(sys.argv[1], "tokenizer"), [m["content"] for r in train for m in r["messages"]])


if __name__ == "__main__":
    main()
