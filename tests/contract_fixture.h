/* A small project for tests of the contract: a tokenizer, weights of any bytes, rows, 30 cases, documents. */
#ifndef TESTS_CONTRACT_FIXTURE_H
#define TESTS_CONTRACT_FIXTURE_H

#include "contract/contract.h"
#include "data_fixture.h"
#include "tokenizer_fixture.h"

static const char cf_yaml[] =
    "base:\n  model: model\n  chat_format: chatml\n"
    "data:\n  train: train.jsonl\n  valid: valid.jsonl\n"
    "eval:\n  cases: cases.jsonl\n  docs: docs\n  margin: 12.5\n"
    "method:\n  epochs: 2\n";

/* Questions that share no run of words: number i in its own words. */
static inline void cf_question(ac_str *s, const char *what, unsigned i)
{
    static const char *const word[] = { "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet",
                                        "jetty", "knoll", "larch", "mossy", "north", "otter", "plain" };
    ac_str_appendf(s, "%s %s%u %s%u %s %s%u", what, word[i % 16], i, word[i / 16 % 16], i + 3, word[(i * 7) % 16],
                   word[(i * 5 + 3) % 16], i * 3);
}

static inline void cf_rows(const char *name, unsigned from, unsigned n)
{
    ac_str s = { 0 };
    for (unsigned i = from; i < from + n; i++) {
        ac_str_append_c(&s, "{\"prompt\":\"");
        cf_question(&s, "tell", i);
        ac_str_appendf(&s, "\",\"completion\":\"answer %u\"}\n", i);
    }
    (void)df_write(name, ac_str_c(&s), s.len);
    ac_str_release(&s);
}

static inline void cf_cases(unsigned n, unsigned refusals, unsigned edges, const char *more)
{
    ac_str s = { 0 };
    ac_str_append_c(&s, "{\"canary\":\"canary-of-the-fixture-01\"}\n");
    for (unsigned i = 0; i < n; i++) {
        const char *cls = i < refusals ? "refusal" : i < refusals + edges ? "edge" : "success";
        ac_str_appendf(&s, "{\"id\":\"case-%02u\",\"class\":\"%s\",\"input\":\"", i, cls);
        cf_question(&s, "ask", 1000 + i);
        ac_str_appendf(&s, "\",\"ideal\":\"ideal %u\"}\n", i);
    }
    ac_str_append_c(&s, more);
    (void)df_write("cases.jsonl", ac_str_c(&s), s.len);
    ac_str_release(&s);
}

static inline void cf_doc(const char *name, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof path, "docs/%s", name);
    (void)df_text(path, text);
}

static inline int cf_open(void)
{
    if (df_open()) return -1;
    if (ac_mkdir_p(df_path("model"), NULL) || ac_mkdir_p(df_path("docs"), NULL)) return -1;
    tf_write_byte_level(df_path("model"), NULL);
    (void)df_text("model/config.json", "{}");
    (void)df_text("model/model.safetensors", "any bytes: freezing hashes weights and does not read them");
    return 0;
}

static inline void cf_reset(void)
{
    (void)df_text("accord.yaml", cf_yaml);
    cf_rows("train.jsonl", 0, 40);
    cf_rows("valid.jsonl", 200, 10);
    cf_cases(30, 6, 5, "");
    cf_doc("a.md", "# Notes\n\nThe words of this document stand nowhere else.\n");
    (void)ac_remove_tree(df_path("accord.lock"), NULL);
}

#endif
