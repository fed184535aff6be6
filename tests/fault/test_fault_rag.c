/* Opening an index, asking it and hashing the documents, failed at the n-th allocation and I/O call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "rag/rag.h"

static char dir[] = "/tmp/accord-fault-rag-XXXXXX";
static char docs[128];
static ac_tokenizer *tok;

static ac_status scenario(ac_err *err)
{
    const ac_rag_opts o = { 60, 20, 3 };
    ac_rag *r = NULL;
    ac_arena a = { 0 };
    ac_passage *p = NULL;
    size_t n = 0;
    ac_str s = { 0 };
    ac_sha256 h;
    ac_status st = ac_rag_open(&r, docs, tok, &o, err);
    if (!st) st = ac_rag_search(r, AC_VIEW("where is the second word?"), &a, &p, &n, err);
    if (!st) st = ac_rag_prompt(&s, p, n, AC_VIEW("where?"), err);
    if (!st) st = ac_rag_hash(&h, docs, err);
    ac_rag_close(&r);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

static char corpus[160], queries[160], qrels[160];

static void put(char *path, const char *name, const char *text)
{
    (void)snprintf(path, 160, "%s/%s", dir, name);
    assert_int_equal(ac_file_write_atomic(path, text, strlen(text), NULL), AC_OK);
}

/* A collection, both rankings of it, and the citations of an answer. */
static ac_status judged(ac_err *err)
{
    static const float vectors[4] = { 1, 0, 0, 1 };
    ac_rag_collection c = { .n_passages = 0 };
    ac_rag *r = NULL;
    ac_arena a = { 0 };
    ac_passage *p = NULL;
    size_t n = 0;
    ac_rag_cites cites;
    ac_status st = ac_rag_collection_read(&c, corpus, queries, qrels, err);
    if (!st) st = ac_rag_open_passages(&r, c.passage, c.n_passages, NULL, err);
    if (!st) ac_rag_set_vectors(r, vectors, 2);
    if (!st) st = ac_rag_search_both(r, c.query[0].text, vectors, &a, &p, &n, err);
    if (!st) st = ac_rag_check_cites(&cites, AC_VIEW("\"pumps lift the water\" [1]"), p, n, err);
    ac_rag_close(&r);
    ac_rag_collection_release(&c);
    ac_arena_release(&a);
    return st;
}

static ac_status (*scene)(ac_err *) = scenario;

static void fail_each(ac_fault_kind kind)
{
    const int64_t live = ac_live_bytes();
    long nth = 1;
    for (;; nth++) {
        ac_err err = { "" };
        ac_fault_arm(kind, nth);
        const ac_status st = scene(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_int_equal(ac_live_bytes(), live);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_true(err.text[0]);
        assert_int_equal(st, kind == AC_FAULT_ALLOC ? AC_ENOMEM : AC_EIO);
    }
    print_message("%ld points failed\n", nth - 1);
    assert_true(nth > 5);
}

static void every_allocation(void **state)
{
    AC_UNUSED(state);
    scene = scenario;
    fail_each(AC_FAULT_ALLOC);
    scene = judged;
    fail_each(AC_FAULT_ALLOC);
}

static void every_io_call(void **state)
{
    AC_UNUSED(state);
    scene = scenario;
    fail_each(AC_FAULT_IO);
    scene = judged;
    fail_each(AC_FAULT_IO);
}

static int prepare(void **state)
{
    AC_UNUSED(state);
    char path[160];
    ac_str s = { 0 };
    uint32_t next = 256;
    if (!mkdtemp(dir)) return -1;
    ac_str_append_c(&s, "{\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                    "\"add_prefix_space\":false,\"use_regex\":true},\"post_processor\":null,\"decoder\":{\"type\":"
                    "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (uint32_t b = 0; b < 256; b++) {
        const bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        ac_str_appendf(&s, "%s\"\\u%04x\":%u", b ? "," : "", plain ? b : next, b);
        if (!plain) next++;
    }
    ac_str_append_c(&s, "}}}");
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(ac_file_write_atomic(path, s.ptr, s.len, NULL), AC_OK);
    ac_err err = { "" };
    if (ac_tokenizer_open(&tok, path, &err)) fail_msg("%s", err.text);
    ac_str_reset(&s);
    for (int i = 0; i < 200; i++) ac_str_appendf(&s, "%sThe word number %d. ", i % 40 ? "" : "\n# Part\n\n", i);
    (void)snprintf(docs, sizeof docs, "%s/docs", dir);
    (void)snprintf(path, sizeof path, "%s/docs/sub", dir);
    assert_int_equal(ac_mkdir_p(path, NULL), AC_OK);
    (void)snprintf(path, sizeof path, "%s/docs/a.md", dir);
    assert_int_equal(ac_file_write_atomic(path, s.ptr, s.len, NULL), AC_OK);
    (void)snprintf(path, sizeof path, "%s/docs/sub/b.txt", dir);
    assert_int_equal(ac_file_write_atomic(path, "the second word", 15, NULL), AC_OK);
    ac_str_release(&s);
    put(corpus, "corpus.jsonl", "{\"_id\":\"a\",\"title\":\"Pumps\",\"text\":\"A pump lifts water.\"}\n"
                                "{\"_id\":\"b\",\"text\":\"A mill grinds corn.\"}\n");
    put(queries, "queries.jsonl", "{\"_id\":\"q\",\"text\":\"what lifts water\"}\n");
    put(qrels, "qrels.tsv", "query-id\tcorpus-id\tscore\nq\ta\t2\n");
    return 0;
}

static int clean(void **state)
{
    AC_UNUSED(state);
    ac_tokenizer_close(&tok);
    return ac_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    return cmocka_run_group_tests(tests, prepare, clean);
}
