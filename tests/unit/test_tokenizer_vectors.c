/* Ids for llama.cpp's 46 strings, for every tokenizer whose file lies in ../shared/data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "tokenizer/tokenizer.h"

#define N_STRINGS 46
#define SEPARATOR AC_VIEW("\n__ggml_vocab_test__\n")

static char shared[800];

static void read_file(ac_str *out, const char *name)
{
    char path[1200];
    ac_err err = { 0 };
    snprintf(path, sizeof path, "%s/%s", shared, name);
    if (ac_file_read(out, path, (size_t)64 << 20, &err)) fail_msg("%s", err.text);
}

static ac_tokenizer *open_tokenizer(const char *name)
{
    char path[1200];
    ac_err err = { 0 };
    ac_tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/%s", shared, name);
    if (ac_tokenizer_open(&t, path, &err)) fail_msg("%s", err.text);
    return t;
}

static void ids_text(ac_str *out, const ac_tokenizer *t, ac_view text)
{
    ac_ids ids = { 0 };
    ac_err err = { 0 };
    ac_str_reset(out);
    if (ac_tokenizer_encode(t, text, 0, &ids, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.n; i++) ac_str_appendf(out, " %d", ids.id[i]);
    ac_ids_release(&ids);
}

static ac_view part(ac_view all, ac_view separator, size_t *at)
{
    size_t end = ac_view_find(all, separator, *at);
    if (end == SIZE_MAX) end = all.len;
    const ac_view v = ac_view_slice(all, *at, end);
    *at = end + separator.len;
    return v;
}

/* skip: strings with two or more spaces or tabs in a row, which Phi-2 has tokens of its own for. */
static void compare(const char *tokenizer, const char *vectors, bool skip_runs)
{
    char name[200];
    ac_str inp = { 0 }, out = { 0 }, got = { 0 };
    ac_tokenizer *t = open_tokenizer(tokenizer);
    snprintf(name, sizeof name, "tokenizer-vectors/ggml-vocab-%s.gguf.inp", vectors);
    read_file(&inp, name);
    snprintf(name, sizeof name, "tokenizer-vectors/ggml-vocab-%s.gguf.out", vectors);
    read_file(&out, name);
    size_t at_in = 0, at_out = 0, compared = 0;
    for (size_t i = 0; i < N_STRINGS; i++) {
        const ac_view text = part(ac_str_view(&inp), SEPARATOR, &at_in);
        const ac_view want = part(ac_str_view(&out), AC_VIEW("\n"), &at_out);
        if (skip_runs && (ac_view_find(text, AC_VIEW("  "), 0) != SIZE_MAX ||
                          ac_view_find(text, AC_VIEW("\t\t"), 0) != SIZE_MAX))
            continue;
        ids_text(&got, t, text);
        if (!ac_view_eq(ac_str_view(&got), want))
            fail_msg("%s, string %zu \"" AC_VIEW_FMT "\":\n got%s\nwant" AC_VIEW_FMT, tokenizer, i,
                     AC_VIEW_ARG(text), ac_str_c(&got), AC_VIEW_ARG(want));
        compared++;
    }
    assert_int_equal(compared, skip_runs ? 39 : N_STRINGS);
    ac_str_release(&inp);
    ac_str_release(&out);
    ac_str_release(&got);
    ac_tokenizer_close(&t);
    assert_int_equal(ac_live_bytes(), 0);
}

static void gpt2(void **state) { (void)state; compare("tokenizers-hf/gpt2", "gpt-2", false); }
static void phi2(void **state) { (void)state; compare("tokenizers-hf/phi-2", "gpt-2", true); }
static void qwen(void **state) { (void)state; compare("tokenizers-hf/qwen3", "qwen2", false); }
static void r1_qwen(void **state) { (void)state; compare("tokenizers-hf/qwen3", "deepseek-r1-qwen", false); }
static void falcon(void **state) { (void)state; compare("tokenizers-hf/falcon-tokenizer", "falcon", false); }
static void roberta(void **state) { (void)state; compare("tokenizers-hf/roberta-base", "roberta-bpe", false); }
static void phi3(void **state) { (void)state; compare("tokenizers-hf/phi-3-mini", "phi-3", false); }
static void llama_merges(void **state) { (void)state; compare("tokenizers-hf/phi-3-mini", "llama-spm", false); }
static void llama_scores(void **state)
{
    (void)state;
    compare("weights-tiny-random/llama-2-tiny-random.gguf", "llama-spm", false);
}

/* The same vocabulary, once by merges and once by scores. */
static void stories_json_and_gguf_agree(void **state)
{
    (void)state;
    ac_tokenizer *json = open_tokenizer("weights-stories260k/hf");
    ac_tokenizer *gguf = open_tokenizer("weights-stories260k/stories260K.gguf");
    ac_str text = { 0 }, back = { 0 };
    ac_ids a = { 0 }, b = { 0 };
    ac_err err = { 0 };
    read_file(&text, "tinystories-2mib/tinystories_sample.txt");
    assert_int_equal(ac_tokenizer_encode(json, ac_str_view(&text), AC_ENCODE_BOS, &a, &err), AC_OK);
    assert_int_equal(ac_tokenizer_encode(gguf, ac_str_view(&text), AC_ENCODE_BOS, &b, &err), AC_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.id, b.id, a.n * sizeof *a.id);
    assert_int_equal(a.id[0], 1);
    assert_int_equal(ac_tokenizer_decode(gguf, b.id, b.n, 0, &back, &err), AC_OK);
    assert_true(ac_view_eq(ac_str_view(&text), ac_str_view(&back)));
    ac_ids_release(&a);
    ac_ids_release(&b);
    ac_str_release(&text);
    ac_str_release(&back);
    ac_tokenizer_close(&json);
    ac_tokenizer_close(&gguf);
}

/* What must come back unchanged, on awkward strings, from real vocabularies. */
static void naughty_strings_come_back(void **state)
{
    static const char *const names[] = { "tokenizers-hf/gpt2", "tokenizers-hf/phi-2", "tokenizers-hf/phi-3-mini" };
    (void)state;
    char path[1200];
    ac_arena a = { 0 };
    ac_err err = { 0 };
    char **file = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/naughty-strings", shared);
    assert_int_equal(ac_dir_list(path, &a, &file, &n, &err), AC_OK);
    for (size_t k = 0; k < AC_COUNTOF(names); k++) {
        ac_tokenizer *t = open_tokenizer(names[k]);
        for (size_t i = 0; i < n; i++) {
            ac_str text = { 0 }, back = { 0 };
            ac_ids ids = { 0 };
            const char *full = ac_path_join(&a, path, file[i]);
            if (ac_path_is_dir(full)) continue;
            assert_int_equal(ac_file_read(&text, full, (size_t)64 << 20, &err), AC_OK);
            assert_int_equal(ac_tokenizer_encode(t, ac_str_view(&text), 0, &ids, &err), AC_OK);
            for (size_t j = 0; j < ids.n; j++) assert_false(ac_tokenizer_is_control(t, ids.id[j]));
            assert_int_equal(ac_tokenizer_decode(t, ids.id, ids.n, 0, &back, &err), AC_OK);
            assert_true(ac_view_eq(ac_str_view(&text), ac_str_view(&back)));
            ac_ids_release(&ids);
            ac_str_release(&text);
            ac_str_release(&back);
        }
        ac_tokenizer_close(&t);
    }
    ac_arena_release(&a);
}

static void holes_are_refused(void **state)
{
    (void)state;
    char path[1200];
    ac_err err = { 0 };
    ac_tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/tokenizers-hf/added-tokens", shared);
    assert_int_equal(ac_tokenizer_open(&t, path, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "ids must be dense"));
}

int main(void)
{
    const char *env = getenv("ACCORD_SHARED_DATA");
    snprintf(shared, sizeof shared, "%s", env && *env ? env : ACCORD_SOURCE_DIR "/../shared/data");
    if (!ac_path_is_dir(shared)) {
        print_message("not run: no ../shared/data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2), cmocka_unit_test(phi2), cmocka_unit_test(qwen), cmocka_unit_test(r1_qwen),
        cmocka_unit_test(falcon), cmocka_unit_test(roberta), cmocka_unit_test(phi3),
        cmocka_unit_test(llama_merges), cmocka_unit_test(llama_scores),
        cmocka_unit_test(stories_json_and_gguf_agree), cmocka_unit_test(naughty_strings_come_back),
        cmocka_unit_test(holes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
