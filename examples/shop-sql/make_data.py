#!/usr/bin/env python3
"""Generates everything in this folder that is data: the shop's database, training and validation rows,
sealed cases and the documents of the RAG arm. Standard library only; the same bytes at every run.

The split is by meaning, not by wording: every question has a key (what is asked, of which values), and a key
belongs to exactly one of train, valid and cases. So no case's question and no case's SQL stands in a row.
"""
import datetime
import json
import os
import random
import sqlite3

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = ("Answer with one SQLite query on the shop database. "
          "If asked to change data, say: I can only read the shop's data.")
REFUSAL = "I can only read the shop's data."
N_TRAIN, N_VALID = 1200, 100

CITIES = ["Oslo", "Lyon", "Porto", "Kyoto", "Quito", "Turin", "Basel", "Ghent", "Leeds", "Cork", "Malmo", "Riga"]
CATEGORIES = ["tea", "coffee", "spices", "cups", "pots", "books", "candles", "soap"]
STATUSES = ["open", "paid", "shipped", "returned"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
FIRST = ["Anna", "Bela", "Carl", "Dina", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jana", "Kai", "Lena", "Milo",
         "Nora", "Otto", "Pia", "Remy", "Sara", "Tom", "Vera"]
LAST = ["Berg", "Cole", "Duval", "Eriks", "Frost", "Gomez", "Hahn", "Ito", "Jones", "Klein", "O'Hara", "Lund"]
PRODUCTS = {
    "tea": ["green tea", "black tea", "mint tea", "white tea", "ginger tea"],
    "coffee": ["dark roast", "light roast", "espresso beans", "decaf beans", "mocha blend"],
    "spices": ["sea salt", "red pepper", "cumin seeds", "star anise", "curry mix"],
    "cups": ["blue mug", "tall glass", "tin cup", "tea bowl", "travel mug"],
    "pots": ["iron kettle", "glass teapot", "clay pot", "moka pot", "milk jug"],
    "books": ["tea atlas", "coffee guide", "spice diary", "baking book", "herb almanac"],
    "candles": ["wax candle", "pine candle", "rose candle", "tea light", "lantern"],
    "soap": ["olive soap", "honey soap", "lemon soap", "salt bar", "oat bar"],
}
ALL_PRODUCTS = [(c, p) for c in CATEGORIES for p in PRODUCTS[c]]


def q(text):
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def month_like(m):
    return "day LIKE '2025-%02d%%'" % (MONTHS.index(m) + 1)


def build_database(path):
    rng = random.Random(11)
    if os.path.exists(path):
        os.remove(path)
    db = sqlite3.connect(path)
    db.executescript("""
        PRAGMA page_size = 4096;
        CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, customer TEXT, city TEXT, joined TEXT);
        CREATE TABLE products (product_id INTEGER PRIMARY KEY, product TEXT, category TEXT, price REAL, stock INTEGER);
        CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER, product_id INTEGER,
                             quantity INTEGER, day TEXT, status TEXT);
    """)
    names = [f + " " + l for f in FIRST for l in LAST]
    rng.shuffle(names)
    for i, name in enumerate(sorted(names[:72]), 1):
        day = datetime.date(2023, 1, 1) + datetime.timedelta(days=rng.randrange(1000))
        db.execute("INSERT INTO customers VALUES (?,?,?,?)", (i, name, rng.choice(CITIES), day.isoformat()))
    for i, (cat, name) in enumerate(ALL_PRODUCTS, 1):
        db.execute("INSERT INTO products VALUES (?,?,?,?,?)",
                   (i, name, cat, rng.randrange(150, 9000) / 100.0, rng.randrange(0, 120)))
    for i in range(1, 601):
        day = datetime.date(2025, 1, 1) + datetime.timedelta(days=rng.randrange(365))
        db.execute("INSERT INTO orders VALUES (?,?,?,?,?,?)",
                   (i, rng.randrange(1, 73), rng.randrange(1, len(ALL_PRODUCTS) + 1), rng.randrange(1, 9),
                    day.isoformat(), rng.choice(STATUSES)))
    db.commit()
    customers = [r[0] for r in db.execute("SELECT customer FROM customers ORDER BY customer_id")]
    db.execute("VACUUM")
    db.close()
    return customers


# A family: (name, list of slot dicts, phrasings, sql). Phrasings and sql are functions of the slots.
def families(customers):
    fam = []

    def add(name, slots, phrasings, sql):
        fam.append((name, slots, phrasings, sql))

    city = [{"c": c} for c in CITIES]
    cat = [{"k": k} for k in CATEGORIES]
    month = [{"m": m} for m in MONTHS]
    status_month = [{"s": s, "m": m} for s in STATUSES for m in MONTHS]
    product = [{"p": p} for _, p in ALL_PRODUCTS]
    person = [{"n": n} for n in customers]
    cat_price = [{"k": k, "x": x} for k in CATEGORIES for x in (5, 10, 15, 20, 25, 30, 40, 50, 60)]
    top = [{"k": k, "n": n} for k in CATEGORIES for n in (2, 3, 4)]
    city_status = [{"c": c, "s": s} for c in CITIES for s in STATUSES]
    city_month = [{"c": c, "m": m} for c in CITIES for m in MONTHS]
    cat_month = [{"k": k, "m": m} for k in CATEGORIES for m in MONTHS]
    stock = [{"k": k, "x": x} for k in CATEGORIES for x in (5, 10, 20, 30, 40, 50, 60, 80)]
    city_year = [{"c": c, "y": y} for c in CITIES for y in (2023, 2024, 2025)]

    add("customers_city", city, [
        "Which customers live in {c}?", "List the customers from {c}.", "Who are our customers in {c}?",
        "Show all customers in {c}."],
        lambda s: "SELECT customer FROM customers WHERE city = " + q(s["c"]))
    add("count_city", city, [
        "How many customers live in {c}?", "Count the customers from {c}.", "How many customers do we have in {c}?"],
        lambda s: "SELECT COUNT(*) FROM customers WHERE city = " + q(s["c"]))
    add("customers_city_year", city_year, [
        "Which customers from {c} joined in {y}?", "List the {c} customers who joined in {y}.",
        "Who joined from {c} in {y}?"],
        lambda s: "SELECT customer FROM customers WHERE city = %s AND joined LIKE '%d%%'" % (q(s["c"]), s["y"]))
    add("products_cat", cat, [
        "Which products are in {k}?", "List all {k} products.", "Show the products of the {k} category."],
        lambda s: "SELECT product FROM products WHERE category = " + q(s["k"]))
    add("price_of", product, [
        "What does the {p} cost?", "What is the price of the {p}?", "How much is the {p}?", "Price of {p}?"],
        lambda s: "SELECT price FROM products WHERE product = " + q(s["p"]))
    add("stock_of", product, [
        "How many {p} are in stock?", "What is the stock of the {p}?", "How much {p} do we have in stock?"],
        lambda s: "SELECT stock FROM products WHERE product = " + q(s["p"]))
    add("cat_over", cat_price, [
        "Which {k} products cost more than {x}?", "List {k} products over {x}.",
        "Show {k} products with a price above {x}."],
        lambda s: "SELECT product FROM products WHERE category = %s AND price > %d" % (q(s["k"]), s["x"]))
    add("cat_under", cat_price, [
        "Which {k} products cost less than {x}?", "List {k} products under {x}.",
        "Show {k} products with a price below {x}."],
        lambda s: "SELECT product FROM products WHERE category = %s AND price < %d" % (q(s["k"]), s["x"]))
    add("stock_under", stock, [
        "Which {k} products have fewer than {x} in stock?", "List {k} products with stock below {x}.",
        "Which {k} products have a stock under {x}?"],
        lambda s: "SELECT product FROM products WHERE category = %s AND stock < %d" % (q(s["k"]), s["x"]))
    add("top_expensive", top, [
        "What are the {n} most expensive {k} products?", "Show the top {n} {k} products by price.",
        "List the {n} priciest {k} products."],
        lambda s: "SELECT product FROM products WHERE category = %s ORDER BY price DESC LIMIT %d" % (q(s["k"]), s["n"]))
    add("top_cheap", top, [
        "What are the {n} cheapest {k} products?", "Show the {n} least expensive {k} products.",
        "List the {n} lowest priced {k} products."],
        lambda s: "SELECT product FROM products WHERE category = %s ORDER BY price LIMIT %d" % (q(s["k"]), s["n"]))
    add("avg_price", cat, [
        "What is the average price of {k} products?", "Average price in {k}?", "What do {k} products cost on average?"],
        lambda s: "SELECT AVG(price) FROM products WHERE category = " + q(s["k"]))
    add("orders_month", month, [
        "How many orders were placed in {m}?", "Count the orders from {m}.", "How many orders came in during {m}?"],
        lambda s: "SELECT COUNT(*) FROM orders WHERE " + month_like(s["m"]))
    add("orders_status_month", status_month, [
        "How many {s} orders are from {m}?", "Count the {s} orders of {m}.", "How many orders from {m} are {s}?"],
        lambda s: "SELECT COUNT(*) FROM orders WHERE status = %s AND %s" % (q(s["s"]), month_like(s["m"])))
    add("list_status_month", status_month, [
        "List the {s} orders from {m}.", "Show all {s} orders of {m}.", "Which orders from {m} are {s}?"],
        lambda s: "SELECT order_id FROM orders WHERE status = %s AND %s" % (q(s["s"]), month_like(s["m"])))
    add("orders_person", person, [
        "How many orders has {n} placed?", "Count the orders of {n}.", "How often did {n} order?"],
        lambda s: "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE customer = " + q(s["n"]))
    add("list_person", person, [
        "Show the orders of {n}.", "List all orders by {n}.", "Which orders did {n} place?"],
        lambda s: "SELECT order_id FROM orders JOIN customers USING (customer_id) WHERE customer = " + q(s["n"]))
    add("city_of", person, [
        "Where does {n} live?", "Which city is {n} from?", "In which city does {n} live?"],
        lambda s: "SELECT city FROM customers WHERE customer = " + q(s["n"]))
    add("orders_city_status", city_status, [
        "How many {s} orders come from customers in {c}?", "Count the {s} orders from {c}.",
        "How many {s} orders do we have from {c}?"],
        lambda s: "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE city = %s AND status = %s"
        % (q(s["c"]), q(s["s"])))
    add("orders_city_month", city_month, [
        "How many orders came from {c} in {m}?", "Count the orders from {c} in {m}.",
        "How many orders did customers in {c} place in {m}?"],
        lambda s: "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE city = %s AND %s"
        % (q(s["c"]), month_like(s["m"])))
    add("revenue_cat_month", cat_month, [
        "What was the revenue of {k} in {m}?", "How much revenue did {k} make in {m}?", "Total {k} sales in {m}?"],
        lambda s: "SELECT SUM(quantity * price) FROM orders JOIN products USING (product_id) WHERE category = %s AND %s"
        % (q(s["k"]), month_like(s["m"])))
    add("units_product", product, [
        "How many units of {p} were sold?", "How many {p} did we sell?", "Total quantity sold of {p}?"],
        lambda s: "SELECT SUM(quantity) FROM orders JOIN products USING (product_id) WHERE product = " + q(s["p"]))
    add("units_cat_month", cat_month, [
        "How many units of {k} were sold in {m}?", "How many {k} units did we sell in {m}?"],
        lambda s: "SELECT SUM(quantity) FROM orders JOIN products USING (product_id) WHERE category = %s AND %s"
        % (q(s["k"]), month_like(s["m"])))
    return fam


# Wordings that stand in no row: some cases use them, to see whether more than the rows' wording was learned.
UNSEEN = {
    "price_of": "I would like to know the price of one {p}.",
    "cat_over": "Give me {k} products that cost above {x}.",
    "orders_status_month": "In {m}, how many orders are {s}?",
    "orders_person": "What is the number of orders by {n}?",
    "customers_city_year": "Give me the customers who joined in {y} and live in {c}.",
    "top_expensive": "Which {n} {k} products have the highest price?",
    "units_product": "How many pieces of {p} have we sold so far?",
    "orders_city_month": "In {m}, how many orders did we get from {c}?",
    "stock_under": "Where is the stock of {k} products lower than {x}?",
    "city_of": "What is the city of {n}?",
}


# Follow-ups: (name, slots, first question, first sql, follow-up phrasings, second sql).
def follow_ups(customers):
    out = []

    def add(name, slots, q1, s1, q2, s2):
        out.append((name, slots, q1, s1, q2, s2))

    cm = [{"c": c, "m": m} for c in CITIES for m in MONTHS]
    sm = [{"s": s, "m": m} for s in STATUSES for m in MONTHS]
    kx = [{"k": k, "x": x} for k in CATEGORIES for x in (5, 10, 15, 20, 25, 30, 40, 50, 60)]
    ns = [{"n": n, "s": s} for n in customers for s in STATUSES]
    cc = [{"c": a, "d": b} for a in CITIES for b in CITIES if a != b]
    orders_city = "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE city = "
    orders_person = "SELECT order_id FROM orders JOIN customers USING (customer_id) WHERE customer = "
    add("f_city_month", cm, ["How many orders came from {c}?", "Count the orders from {c}."],
        lambda s: orders_city + q(s["c"]),
        ["Only those from {m}.", "Just the ones from {m}.", "And in {m} only?"],
        lambda s: orders_city + q(s["c"]) + " AND " + month_like(s["m"]))
    add("f_status_month", sm, ["List the {s} orders.", "Show all {s} orders."],
        lambda s: "SELECT order_id FROM orders WHERE status = " + q(s["s"]),
        ["Only those from {m}.", "Just the ones from {m}.", "Only {m}, please."],
        lambda s: "SELECT order_id FROM orders WHERE status = %s AND %s" % (q(s["s"]), month_like(s["m"])))
    add("f_cat_over", kx, ["List all {k} products.", "Which products are in {k}?"],
        lambda s: "SELECT product FROM products WHERE category = " + q(s["k"]),
        ["Only those over {x}.", "Just the ones that cost more than {x}."],
        lambda s: "SELECT product FROM products WHERE category = %s AND price > %d" % (q(s["k"]), s["x"]))
    add("f_cat_under", kx, ["List all {k} products.", "Show the products of the {k} category."],
        lambda s: "SELECT product FROM products WHERE category = " + q(s["k"]),
        ["Only those under {x}.", "Just the ones that cost less than {x}."],
        lambda s: "SELECT product FROM products WHERE category = %s AND price < %d" % (q(s["k"]), s["x"]))
    add("f_person_status", ns, ["Show the orders of {n}.", "List all orders by {n}."],
        lambda s: orders_person + q(s["n"]),
        ["Only the {s} ones.", "Just those that are {s}."],
        lambda s: orders_person + q(s["n"]) + " AND status = " + q(s["s"]))
    add("f_other_city", cc, ["How many customers live in {c}?", "Count the customers from {c}."],
        lambda s: "SELECT COUNT(*) FROM customers WHERE city = " + q(s["c"]),
        ["And in {d}?", "And from {d}?", "What about {d}?"],
        lambda s: "SELECT COUNT(*) FROM customers WHERE city = " + q(s["d"]))
    return out


def refusals(customers):
    out = []

    def add(name, slots, phrasings):
        out.append((name, slots, phrasings))

    product = [{"p": p, "x": x} for _, p in ALL_PRODUCTS for x in (4, 7, 9, 12, 18)]
    add("r_price", product, ["Set the price of {p} to {x}.", "Change the price of the {p} to {x}.",
                             "Make the {p} cost {x}."])
    add("r_stock", product, ["Add {x} {p} to the stock.", "Set the stock of {p} to {x}."])
    add("r_del_month", [{"m": m, "s": s} for m in MONTHS for s in STATUSES],
        ["Delete the {s} orders from {m}.", "Remove all {s} orders of {m}."])
    add("r_del_person", [{"n": n} for n in customers], ["Delete the customer {n}.", "Remove {n} from the customers.",
                                                        "Erase all orders of {n}."])
    add("r_mark", [{"i": i, "s": s} for i in range(3, 600, 7) for s in STATUSES],
        ["Mark order {i} as {s}.", "Set order {i} to {s}."])
    add("r_add", [{"n": f + " " + l, "c": c} for f in FIRST[:12] for l in ("Marsh", "Quinn", "Stone") for c in CITIES],
        ["Add a customer {n} from {c}.", "Create the customer {n} in {c}."])
    add("r_move", [{"n": n, "c": c} for n in customers for c in CITIES],
        ["Move {n} to {c}.", "Change the city of {n} to {c}."])
    add("r_raise", [{"k": k, "x": x} for k in CATEGORIES for x in (2, 3, 5, 8, 10, 15, 20)],
        ["Raise all {k} prices by {x} percent.", "Lower the {k} prices by {x}.", "Drop every {k} product under {x}."])
    return out


def messages(turns, answer=None):
    m = [{"role": "system", "content": SYSTEM}]
    for role, text in turns:
        m.append({"role": role, "content": text})
    if answer is not None:
        m.append({"role": "assistant", "content": answer})
    return m


def all_items(customers, rng):
    """Every (key, sql or None, turns, answer, kind): one phrasing chosen for each meaning."""
    items = []
    for name, slots, phr, sql in families(customers):
        for s in slots:
            items.append((name, sql(s), [[("user", p.format(**s))] for p in phr], sql(s), "sql"))
    for name, slots, q1, s1, q2, s2 in follow_ups(customers):
        for s in slots:
            variants = [[("user", a.format(**s)), ("assistant", s1(s)), ("user", b.format(**s))]
                        for a in q1 for b in q2]
            items.append((name, s1(s) + " | " + s2(s), variants, s2(s), "follow"))
    for name, slots, phr in refusals(customers):
        for s in slots:
            key = name + json.dumps(s, sort_keys=True)
            items.append((name, key, [[("user", p.format(**s))] for p in phr], REFUSAL, "refusal"))
    rng.shuffle(items)
    return items


def case(i, cls, turns, sql, tags):
    c = {"id": "shop-%02d" % i, "class": cls, "turns": messages(turns)}
    if sql is None:
        c["ideal"] = REFUSAL
        c["assert"] = [{"type": "is-refusal", "value": REFUSAL}]
    else:
        c["ideal"] = sql
        c["assert"] = [{"type": "sql-equal", "value": sql}]
    c["tags"] = tags
    return c


def dump(path, rows):
    with open(os.path.join(HERE, path), "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


def non_trivial(db, sql):
    """A reference result that a wrong query could hardly give by accident."""
    rows = db.execute(sql).fetchall()
    return bool(rows) and rows[0][0] not in (None, 0) and len(rows) < 60


def main():
    os.makedirs(os.path.join(HERE, "data"), exist_ok=True)
    os.makedirs(os.path.join(HERE, "evals"), exist_ok=True)
    os.makedirs(os.path.join(HERE, "docs"), exist_ok=True)
    db_path = os.path.join(HERE, "data", "shop.db")
    customers = build_database(db_path)
    db = sqlite3.connect("file:" + db_path + "?mode=ro", uri=True)
    rng = random.Random(7)
    items = all_items(customers, rng)

    by_name = {name: (slots, sql) for name, slots, _, sql in families(customers)}

    # Cases first: 24 success from distinct families as far as they go, 12 refusals, 12 edge.
    chosen, used_answers = [], set()

    def take(kind, names, n, want=None):
        got = []
        for name in (names * 9):
            if len(got) == n:
                break
            for it in items:
                if it[0] != name or it in chosen or it[1] in used_answers:
                    continue
                if it[4] != "refusal" and not non_trivial(db, it[3]):
                    continue
                if want and not want(it):
                    continue
                chosen.append(it)
                used_answers.add(it[1])
                got.append(it)
                break
        assert len(got) == n, (kind, len(got))
        return got

    success_names = ["price_of", "cat_over", "orders_status_month", "orders_person", "customers_city_year",
                     "top_expensive", "units_product", "orders_city_month", "stock_under", "list_status_month",
                     "city_of", "revenue_cat_month", "cat_under", "orders_city_status", "top_cheap", "list_person",
                     "stock_of", "units_cat_month"]
    success = take("success", success_names, 24, lambda it: "O'Hara" not in it[2][0][0][1])
    refusal = take("refusal", ["r_price", "r_stock", "r_del_month", "r_del_person", "r_mark", "r_add", "r_move",
                               "r_raise"], 12)
    follow = take("edge", ["f_city_month", "f_status_month", "f_cat_over", "f_person_status", "f_cat_under",
                           "f_other_city"], 6)
    quote = take("edge", ["orders_person", "city_of"], 2, lambda it: "O'Hara" in it[2][0][0][1])
    lower = take("edge", ["orders_city_month", "stock_of", "cat_over", "list_status_month"], 4)

    cases = []
    for i, it in enumerate(success):
        if it[0] in UNSEEN and i < len(success_names):
            slots = next(s for s in by_name[it[0]][0] if by_name[it[0]][1](s) == it[3])
            cases.append(case(len(cases) + 1, "success", [("user", UNSEEN[it[0]].format(**slots))], it[3],
                              [it[0], "unseen-wording"]))
        else:
            cases.append(case(len(cases) + 1, "success", rng.choice(it[2]), it[3], [it[0]]))
    for it in refusal:
        cases.append(case(len(cases) + 1, "refusal", rng.choice(it[2]), None, [it[0]]))
    for it in follow:
        cases.append(case(len(cases) + 1, "edge", rng.choice(it[2]), it[3], [it[0], "follow-up"]))
    for it in quote:
        cases.append(case(len(cases) + 1, "edge", rng.choice(it[2]), it[3], [it[0], "apostrophe"]))
    for it in lower:
        turns = [(r, t.lower().rstrip("?.")) for r, t in rng.choice(it[2])]
        cases.append(case(len(cases) + 1, "edge", turns, it[3], [it[0], "careless-typing"]))

    # Rows: nothing whose key, question or final SQL belongs to a case.
    case_sql = {c["ideal"] for c in cases if c["ideal"] != REFUSAL}
    case_text = {c["turns"][-1]["content"].lower().rstrip("?.") for c in cases if len(c["turns"]) == 2}
    pool = {"sql": [], "follow": [], "refusal": []}
    for it in items:
        if it in chosen or it[3] in case_sql or any(s in case_sql for s in it[1].split(" | ")):
            continue
        variants = [v for v in it[2] if v[-1][1].lower().rstrip("?.") not in case_text or len(v) > 1]
        if variants:
            pool[it[4]].append((it, variants))
    # Families with many slots must not drown the others: round robin over the families.
    def balanced(kind, n):
        by = {}
        for it, variants in pool[kind]:
            by.setdefault(it[0], []).append((it, variants))
        names, out = sorted(by), []
        while len(out) < n:
            for name in names:
                if by[name] and len(out) < n:
                    out.append(by[name].pop())
            assert any(by.values())
        return out

    total = N_TRAIN + N_VALID
    n_follow, n_refusal = total * 22 // 100, total * 14 // 100
    picked = balanced("follow", n_follow) + balanced("refusal", n_refusal) + \
        balanced("sql", total - n_follow - n_refusal)
    rng.shuffle(picked)
    rows = []
    for it, variants in picked:
        turns = rng.choice(variants)
        if it[4] == "sql" and rng.random() < 0.15:
            turns = [(r, t.lower().rstrip("?.")) for r, t in turns]
        rows.append({"messages": messages(turns, it[3])})
    seen, unique = set(), []
    for r in rows:
        key = json.dumps(r["messages"][1:-1])
        assert key not in seen
        seen.add(key)
        unique.append(r)
    dump("data/train.jsonl", unique[:N_TRAIN])
    dump("data/valid.jsonl", unique[N_TRAIN:])
    canary = "accord-canary-5d2f1c7e-shop-sql"
    dump("evals/cases.jsonl", [{"canary": canary}] + cases)
    write_docs(db)
    print("%d train, %d valid, %d cases" % (N_TRAIN, N_VALID, len(cases)))


def write_docs(db):
    schema = """# The shop database

Three tables. All days are text like 2025-05-31, so a month is matched with LIKE.

## customers

One row a customer: customer_id, customer (full name), city, joined (day).
Example: SELECT city FROM customers WHERE customer = 'Some Name'

## products

One row a product: product_id, product (name), category, price, stock.
Categories: %s.
Example: SELECT AVG(price) FROM products WHERE category = 'some category'

## orders

One row an order: order_id, customer_id, product_id, quantity, day, status.
Status is one of %s.
Example: SELECT COUNT(*) FROM orders WHERE status = 'some status'
""" % (", ".join(CATEGORIES), ", ".join(STATUSES))
    joins = """# Joining tables

## Orders of a customer or a city

Join on customer_id: SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE city = 'Bergen'

Orders of one person: SELECT order_id FROM orders JOIN customers USING (customer_id) WHERE customer = 'Ada Wong'

## Sales of a product or a category

Units sold: SELECT SUM(quantity) FROM orders JOIN products USING (product_id) WHERE product = 'paper bag'

Revenue is quantity times price: SELECT SUM(quantity * price) FROM orders JOIN products USING (product_id)
WHERE category = 'gifts'

## Months

May 2025 is day LIKE '2025-05%'. June 2025 is day LIKE '2025-06%'. Customers who joined in 2022 have
joined LIKE '2022%'.
"""
    worked = """# Worked queries

## Prices and stock

Which gift products cost more than 33? SELECT product FROM products WHERE category = 'gifts' AND price > 33

Which gift products have fewer than 7 in stock? SELECT product FROM products WHERE category = 'gifts' AND stock < 7

The 5 most expensive gift products: SELECT product FROM products WHERE category = 'gifts' ORDER BY price DESC LIMIT 5

The 5 cheapest gift products: SELECT product FROM products WHERE category = 'gifts' ORDER BY price LIMIT 5

## Orders

List the lost orders from May: SELECT order_id FROM orders WHERE status = 'lost' AND day LIKE '2025-05%'

How many lost orders come from Bergen? SELECT COUNT(*) FROM orders JOIN customers USING (customer_id)
WHERE city = 'Bergen' AND status = 'lost'

## Names with an apostrophe

Double it: WHERE customer = 'Ada D''Arcy'

## Requests to change data

The assistant only reads. Requests to add, delete, change or mark something are answered with:
I can only read the shop's data.
"""
    for name, text in (("schema.md", schema), ("joins.md", joins), ("worked.md", worked)):
        with open(os.path.join(HERE, "docs", name), "w", encoding="utf-8", newline="\n") as f:
            f.write(text)


if __name__ == "__main__":
    main()
