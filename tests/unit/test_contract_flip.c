/* T7: each key of the contract, given another legal value, changes the lock or is refused by name; so does each byte of a
 * sealed file. Keys come from the schema table: a new key is tested without a new line here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "contract/schema_int.h"
#include "contract_fixture.h"

/* What the base project's file says; a flipped key takes the place of its line. */
static const struct { const char *key, *value; } given[] = {
    { "base.model", "model" }, { "base.chat_format", "chatml" }, { "data.train", "train.jsonl" }, { "data.valid", "valid.jsonl" },
    { "eval.cases", "cases.jsonl" }, { "eval.docs", "docs" }, { "method.epochs", "2" }, { "triage.reason", "a test" },
    { "integration.command", "make check" },
};

static void line_of(ac_str *s, const ac_key *k, const char *flipped, const char *value)
{
    char path[96];
    const char *v = NULL;
    (void)snprintf(path, sizeof path, "%s.%s", k->section, k->name);
    for (size_t i = 0; i < AC_COUNTOF(given); i++)
        if (strcmp(given[i].key, path) == 0) v = given[i].value;
    if (flipped && strcmp(flipped, path) == 0) v = value;
    if (v) ac_str_appendf(s, "  %s: %s\n", k->name, v);
}

static void write_contract(const char *flipped, const char *value)
{
    ac_str s = { 0 };
    for (size_t i = 0; i < ac_n_sections; i++) {
        const size_t before = s.len;
        ac_str_appendf(&s, "%s:\n", ac_sections[i].name);
        const size_t head = s.len;
        for (size_t k = 0; k < ac_n_keys; k++)
            if (strcmp(ac_keys[k].section, ac_sections[i].name) == 0) line_of(&s, &ac_keys[k], flipped, value);
        if (s.len == head) s.len = before;                /* a section without a line is not written */
    }
    (void)df_write("accord.yaml", s.ptr, s.len);
    ac_str_release(&s);
}

static ac_status freeze_hash(ac_sha256 *out, ac_err *err)
{
    static const ac_freeze_opts none = { 0 };
    ac_contract c = { 0 };
    ac_lock l = { 0 };
    ac_str report = { 0 };
    *err = (ac_err){ 0 };
    (void)ac_remove_tree(df_path("accord.lock"), NULL);
    ac_status st = ac_contract_read(&c, df_dir, err);
    if (!st) st = ac_freeze(&l, &c, &none, &report, err);
    if (!st) *out = l.hash;
    ac_lock_release(&l);
    ac_str_release(&report);
    ac_contract_release(&c);
    return st;
}

static ac_sha256 base_hash(void)
{
    ac_sha256 h;
    ac_err err;
    write_contract(NULL, NULL);
    if (freeze_hash(&h, &err)) fail_msg("%s", err.text);
    return h;
}

static size_t n_changed, n_refused;

static void flip(const ac_key *k, const char *value, const ac_sha256 *base)
{
    char path[96];
    ac_sha256 h;
    ac_err err;
    (void)snprintf(path, sizeof path, "%s.%s", k->section, k->name);
    write_contract(path, value);
    const ac_status st = freeze_hash(&h, &err);
    if (!st && memcmp(&h, base, sizeof h) == 0) fail_msg("%s: %s is taken and changes nothing", path, value);
    /* What is refused names the key, or the file or value that it gave. */
    if (st && !strstr(err.text, k->name) && !strstr(err.text, value))
        fail_msg("%s: %s is refused without its name: %s", path, value, err.text);
    n_changed += !st;
    n_refused += st != AC_OK;
}

static const char *current_of(const ac_key *k)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s.%s", k->section, k->name);
    for (size_t i = 0; i < AC_COUNTOF(given); i++)
        if (strcmp(given[i].key, path) == 0) return given[i].value;
    return k->preset;
}

static void flip_choices(const ac_key *k, const ac_sha256 *base)
{
    const char *now = current_of(k);
    for (const char *p = k->choices; *p;) {
        char word[64];
        const size_t n = strcspn(p, "|");
        (void)snprintf(word, sizeof word, "%.*s", (int)n, p);
        if (!now || strcmp(word, now) != 0) flip(k, word, base);
        p += n + (p[n] == '|');
    }
}

static void flip_number(const ac_key *k, const ac_sha256 *base)
{
    char text[64];
    double now = 0;
    assert_true(ac_parse_f64(ac_view_of(current_of(k)), &now));
    const double step = k->type == AC_KEY_INT ? 1 : (k->max < 1 ? k->max : 1) / 16;
    const double next = now + step <= k->max ? now + step : now - step;
    (void)snprintf(text, sizeof text, k->type == AC_KEY_INT ? "%.0f" : "%.17g", next);
    flip(k, text, base);
}

/* Texts: another file with another content where it is a file, else other words. */
static void flip_text(const ac_key *k, const ac_sha256 *base)
{
    static const struct { const char *key, *value; } other[] = {
        { "model", "model2" }, { "chat_format", "zephyr" }, { "train", "train2.jsonl" }, { "valid", "valid2.jsonl" },
        { "cases", "cases2.jsonl" }, { "docs", "docs2" }, { "database", "other.db" },
        { "budget", "8G" }, { "reserve", "900M" }, { "window", "22:00-07:00" },
    };
    const char *value = "some other words";
    for (size_t i = 0; i < AC_COUNTOF(other); i++)
        if (strcmp(other[i].key, k->name) == 0) value = other[i].value;
    flip(k, value, base);
}

static void each_key_counts(void **state)
{
    (void)state;
    const ac_sha256 base = base_hash();
    n_changed = n_refused = 0;
    for (size_t i = 0; i < ac_n_keys; i++) {
        const ac_key *k = &ac_keys[i];
        switch (k->type) {
        case AC_KEY_ENUM: flip_choices(k, &base); break;
        case AC_KEY_BOOL: flip(k, strcmp(current_of(k), "true") == 0 ? "false" : "true", &base); break;
        case AC_KEY_INT:
        case AC_KEY_F64: flip_number(k, &base); break;
        case AC_KEY_TARGETS: flip(k, "[q_proj]", &base); break;
        default: flip_text(k, &base); break;
        }
    }
    print_message("%zu keys: %zu values change the lock, %zu are refused\n", ac_n_keys, n_changed, n_refused);
    assert_true(n_changed > ac_n_keys / 2);
}

/* ---- bytes ---- */

static ac_status gate(ac_err *err)
{
    ac_contract c = { 0 };
    ac_lock l = { 0 };
    *err = (ac_err){ 0 };
    ac_status st = ac_contract_read(&c, df_dir, err);
    if (!st) st = ac_lock_read(&l, &c, err);
    if (!st) st = ac_gate(&l, &c, err);
    ac_lock_release(&l);
    ac_contract_release(&c);
    return st;
}

/* A lock with other words in it is another lock: its name, which every run and record carries, is another. */
static void other_name(const ac_str *whole, size_t at, unsigned bit)
{
    const ac_sha256 is = ac_sha256_of(whole->ptr, whole->len);
    whole->ptr[at] = (char)(whole->ptr[at] ^ (char)(1u << bit));
    const ac_sha256 was = ac_sha256_of(whole->ptr, whole->len);
    assert_memory_not_equal(&is, &was, sizeof is);
    ac_contract c = { 0 };
    ac_lock l = { 0 };
    ac_err err = { 0 };
    if (ac_contract_read(&c, df_dir, &err) || ac_lock_read(&l, &c, &err)) fail_msg("%s", err.text);
    assert_memory_equal(&l.hash, &is, sizeof is);
    ac_lock_release(&l);
    ac_contract_release(&c);
}

static void flip_byte(const char *name, const ac_str *whole, size_t at, unsigned bit)
{
    ac_err err;
    whole->ptr[at] = (char)(whole->ptr[at] ^ (char)(1u << bit));
    (void)df_write(name, whole->ptr, whole->len);
    const ac_status st = gate(&err);
    if (!st && strcmp(name, "accord.lock") == 0) {
        other_name(whole, at, bit);
        return;
    }
    if (!st) fail_msg("%s: byte %zu, bit %u was flipped and the gate let it pass", name, at, bit);
    if (!err.text[0]) fail_msg("%s: refused without a word", name);
    whole->ptr[at] = (char)(whole->ptr[at] ^ (char)(1u << bit));
}

static void each_sealed_byte_counts(void **state)
{
    static const char *const files[] = { "train.jsonl", "valid.jsonl", "cases.jsonl", "docs/a.md", "model/model.safetensors",
                                         "model/config.json", "model/tokenizer.json", "accord.lock" };
    (void)state;
    ac_err err;
    (void)base_hash();
    if (gate(&err)) fail_msg("%s", err.text);
    for (size_t f = 0; f < AC_COUNTOF(files); f++) {
        ac_str whole = { 0 };
        if (ac_file_read(&whole, df_path(files[f]), 1 << 24, &err)) fail_msg("%s", err.text);
        const size_t tries = whole.len < 40 ? whole.len : 40;
        for (size_t i = 0; i < tries; i++) {
            const size_t at = i == 0 ? 0 : i == 1 ? whole.len - 1 : ac_rng_below(5, AC_RNG_TEST, f, i, (uint32_t)whole.len);
            flip_byte(files[f], &whole, at, ac_rng_below(6, AC_RNG_TEST, f, i, 8));
        }
        (void)df_write(files[f], whole.ptr, whole.len);
        ac_str_release(&whole);
        if (gate(&err)) fail_msg("%s", err.text);
    }
}

static int setup(void **state)
{
    (void)state;
    cf_reset();
    cf_rows("train2.jsonl", 400, 40);
    cf_rows("valid2.jsonl", 600, 10);
    /* Other cases: the same file with other ids. */
    ac_str s = { 0 };
    if (ac_file_read(&s, df_path("cases.jsonl"), 1 << 20, NULL)) return -1;
    for (size_t i = 0; i + 5 < s.len; i++)
        if (!memcmp(s.ptr + i, "case-", 5)) memcpy(s.ptr + i, "item-", 5);
    (void)df_write("cases2.jsonl", s.ptr, s.len);
    ac_str_release(&s);
    if (ac_mkdir_p(df_path("docs2"), NULL) || ac_mkdir_p(df_path("model2"), NULL)) return -1;
    (void)df_text("docs2/b.md", "# Other notes\n\nThese words are different ones.\n");
    tf_write_byte_level(df_path("model2"), NULL);
    (void)df_text("model2/config.json", "{}");
    (void)df_text("model2/model.safetensors", "other bytes");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup(each_key_counts, setup),
                                        cmocka_unit_test_setup(each_sealed_byte_counts, setup) };
    if (cf_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
