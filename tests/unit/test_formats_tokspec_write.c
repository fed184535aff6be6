/* A byte-level tokenizer written as Hugging Face's files reads back as what it was, whichever way it splits words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "formats/tokspec.h"

static const char head[] = "{\"added_tokens\":[{\"id\":260,\"content\":\"<|end|>\",\"special\":true},"
                           "{\"id\":259,\"content\":\"\\u00e9!\",\"special\":false,\"lstrip\":true}],\"normalizer\":null,"
                           "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
                           "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{";

/* The 256 byte tokens, three merges and two added tokens. */
static ac_tokspec fixture(ac_arena *a, const char *dir)
{
    char path[256];
    ac_str s = { 0 };
    ac_err err = { 0 };
    ac_tokspec out;
    unsigned id = 0;
    ac_str_append_c(&s, head);
    for (uint32_t cp = 0; cp < 0x400 && id < 256; cp++) {
        if (ac_tok_byte_of_char(cp) < 0) continue;
        if (cp == '"' || cp == '\\') ac_str_appendf(&s, "\"\\%c\":%u,", (int)cp, id++);
        else ac_str_appendf(&s, "\"\\u%04x\":%u,", cp, id++);
    }
    assert_int_equal(id, 256);
    ac_str_append_c(&s, "\"th\":256,\"the\":257,\"\\u0120the\":258},\"merges\":[\"t h\",\"th e\",[\"\\u0120\",\"the\"]]}}");
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(ac_file_write_atomic(path, s.ptr, s.len, &err), AC_OK);
    ac_str_release(&s);
    if (ac_tokspec_from_json(&out, path, a, &err)) fail_msg("%s", err.text);
    return out;
}

static void same(const ac_tokspec *x, const ac_tokspec *y)
{
    assert_int_equal(x->model, y->model);
    assert_int_equal(x->pre, y->pre);
    assert_int_equal(x->prefix, y->prefix);
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_int_equal(x->n_merges, y->n_merges);
    assert_true(x->nfc == y->nfc && x->ignore_merges == y->ignore_merges && x->add_bos == y->add_bos &&
                x->add_eos == y->add_eos);
    assert_true(x->bos == y->bos && x->eos == y->eos);
    assert_true(ac_view_eq(x->chat_template, y->chat_template));
    for (uint32_t i = 0; i < x->n_tokens; i++) {
        assert_true(ac_view_eq(x->token[i], y->token[i]));
        assert_int_equal(x->type[i], y->type[i]);
        assert_int_equal(x->flags[i], y->flags[i]);
    }
    assert_memory_equal(x->merge, y->merge, x->n_merges * sizeof *x->merge);
    assert_memory_equal(x->merge_to, y->merge_to, x->n_merges * sizeof *x->merge_to);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const struct { ac_tok_pre pre; ac_tok_prefix prefix; bool nfc, bos, eos, ignore; } ways[] = {
        { AC_PRE_GPT2, AC_PREFIX_NONE, false, false, false, false },
        { AC_PRE_GPT2, AC_PREFIX_UNLESS_SPACE, false, true, true, false },
        { AC_PRE_SMOLLM, AC_PREFIX_NONE, false, false, false, false },
        { AC_PRE_LLAMA3, AC_PREFIX_NONE, false, true, false, true },
        { AC_PRE_QWEN2, AC_PREFIX_NONE, true, false, true, false },
        { AC_PRE_FALCON, AC_PREFIX_NONE, false, false, false, false },
    };
    char dir[] = "/tmp/accord_tokspec.XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < AC_COUNTOF(ways); i++) {
        ac_arena a = { 0 };
        ac_err err = { 0 };
        ac_tokspec s = fixture(&a, dir), back;
        s.pre = ways[i].pre, s.prefix = ways[i].prefix, s.nfc = ways[i].nfc, s.ignore_merges = ways[i].ignore;
        s.add_bos = ways[i].bos, s.add_eos = ways[i].eos, s.bos = s.eos = 260;
        s.chat_template = AC_VIEW("{{ messages }}");
        assert_int_equal(ac_tokspec_write_folder(&s, dir, &err), AC_OK);
        if (ac_tokspec_from_json(&back, dir, &a, &err)) fail_msg("%zu: %s", i, err.text);
        same(&s, &back);
        ac_arena_release(&a);
    }
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void test_refusal(void **state)
{
    (void)state;
    ac_err err = { 0 };
    const ac_tokspec s = { .model = AC_TOK_BPE_SPM, .source = AC_VIEW("x.gguf") };
    assert_int_equal(ac_tokspec_write_folder(&s, "/nowhere", &err), AC_EARG);
    assert_non_null(strstr(err.text, "x.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refusal) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
