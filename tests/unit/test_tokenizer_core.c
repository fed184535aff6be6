/* The tokenizer's parts on vocabularies of our own: words, merging, added tokens, normal form C, round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <utf8proc.h>

#include "base/rng.h"
#include "tokenizer/tokenizer_int.h"
#include "tokenizer_fixture.h"

static uint32_t draw(uint32_t *at, uint32_t bound)
{
    return ac_rng_below(1, AC_RNG_TEST, 0, (*at)++, bound);
}

/* ---- words ---- */

static void words_are(ac_tok_pre pre, const char *text, const char *want)
{
    ac_str got = { 0 };
    ac_view word;
    ac_words w = ac_words_of(pre, ac_view_of(text));
    while (ac_words_next(&w, &word)) {
        ac_str_append_char(&got, '[');
        ac_str_append(&got, word);
        ac_str_append_char(&got, ']');
    }
    assert_string_equal(ac_str_c(&got), want);
    ac_str_release(&got);
}

/* What the regular expressions of the reference give (checked against the tokenizers package). */
static void words_of_each_family(void **state)
{
    (void)state;
    words_are(AC_PRE_GPT2, "I've 12 dogs'S  and\n\n x", "[I]['ve][ 12][ dogs]['][S][ ][ and][\n\n][ x]");
    words_are(AC_PRE_GPT2, "a  ", "[a][  ]");
    words_are(AC_PRE_GPT2, "'l 'll 're'r", "['][l][ '][ll][ '][re]['][r]");
    words_are(AC_PRE_GPT2, "'ll're", "['ll]['re]");
    words_are(AC_PRE_GPT2, "\xc2\xa0x\xe3\x80\x80 y", "[\xc2\xa0][x][\xe3\x80\x80][ y]");
    words_are(AC_PRE_GPT2, "\xff\xfe!", "[\xff\xfe!]");
    words_are(AC_PRE_SMOLLM, "a12 3b  4", "[a][1][2][ ][3][b][  ][4]");
    words_are(AC_PRE_SMOLLM, "\xc2\xbd\xe2\x85\xa7x", "[\xc2\xbd][\xe2\x85\xa7][x]");
    words_are(AC_PRE_LLAMA3, "x1234567 \n\n a'LLb", "[x][123][456][7][ \n\n][ a]['LL][b]");
    words_are(AC_PRE_LLAMA3, "if(a){\n\n  b", "[if][(a][){\n\n][ ][ b]");
    words_are(AC_PRE_LLAMA3, "'\xc5\xbfx", "['\xc5\xbf][x]");
    words_are(AC_PRE_LLAMA3, "\tx !\r\n", "[\tx][ !\r\n]");
    words_are(AC_PRE_QWEN2, "x123 \n y", "[x][1][2][3][ \n][ y]");
    words_are(AC_PRE_FALCON, "a!?b 1234.5", "[a][!?][b][ ][123][4][.][5]");
    words_are(AC_PRE_FALCON, "\xc2\xb2", "[\xc2][\xb2]");
    words_are(AC_PRE_NONE, "a b", "[a b]");
    words_are(AC_PRE_GPT2, "", "");
}

static void words_cover_every_text(void **state)
{
    static const char *const atoms[] = { "a", " ", "  ", "\n", "'", "'s", "1", "\xc3\xa9", "\xff", "\xc3", "!", "\t",
                                         "\xe4\xb8\xad", "\xf0\x9f\x99\x82", "\xc2\xb2", "\r\n" };
    (void)state;
    uint32_t at = 0;
    for (unsigned round = 0; round < 2000; round++) {
        ac_str s = { 0 };
        const uint32_t n = draw(&at, 20);
        for (uint32_t i = 0; i < n; i++) ac_str_append_c(&s, atoms[draw(&at, AC_COUNTOF(atoms))]);
        for (int pre = AC_PRE_NONE; pre <= AC_PRE_FALCON; pre++) {
            ac_words w = ac_words_of((ac_tok_pre)pre, ac_str_view(&s));
            ac_view word;
            size_t covered = 0;
            while (ac_words_next(&w, &word)) {
                assert_true(word.len > 0 && word.ptr == s.ptr + covered);
                covered += word.len;
            }
            assert_int_equal(covered, s.len);
        }
        ac_str_release(&s);
    }
}

/* ---- merging: the heap and the scan against the definition ---- */

static size_t naive_merge(const ac_merge_table *m, uint32_t *id, size_t n)
{
    for (;;) {
        size_t best = SIZE_MAX;
        uint32_t rank = UINT32_MAX, to = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t slot = 0; slot <= m->mask; slot++)
                if (m->pair[slot] == ((uint64_t)id[i] << 32 | id[i + 1]) && m->rank[slot] < rank) {
                    rank = m->rank[slot];
                    to = m->to[slot];
                    best = i;
                }
        if (best == SIZE_MAX) return n;
        id[best] = to;
        memmove(id + best + 1, id + best + 2, (n - best - 2) * sizeof *id);
        n--;
    }
}

static void merging_follows_its_definition(void **state)
{
    (void)state;
    uint32_t at = 0;
    for (unsigned round = 0; round < 300; round++) {
        ac_arena a = { 0 };
        ac_merge_table m = { 0 };
        ac_merge_work w = { 0 };
        ac_err err = { 0 };
        uint32_t id[120];
        assert_true(ac_merge_table_init(&m, 40, &a));
        for (uint32_t k = 0; k < 40; k++)
            ac_merge_table_set(&m, draw(&at, 4 + k / 2), draw(&at, 4 + k / 2), draw(&at, 25), 4 + k);
        const size_t n = 1 + draw(&at, round % 2 ? 24 : 119);
        for (size_t i = 0; i < n; i++) {
            id[i] = draw(&at, 4);
            assert_int_equal(ac_merge_push(&w, id[i], &err), AC_OK);
        }
        assert_int_equal(ac_merge_run(&m, &w, &err), AC_OK);
        const size_t left = naive_merge(&m, id, n);
        size_t k = 0;
        for (uint32_t i = 0; i != UINT32_MAX; i = w.symbol[i].next, k++) {
            assert_true(k < left);
            assert_int_equal(w.symbol[i].id, id[k]);
        }
        assert_int_equal(k, left);
        ac_merge_release(&w);
        ac_arena_release(&a);
    }
}

/* ---- normal form C ---- */

static void nfc_is_utf8procs(void **state)
{
    (void)state;
    uint32_t at = 0;
    for (unsigned round = 0; round < 3000; round++) {
        ac_str s = { 0 }, got = { 0 };
        ac_err err = { 0 };
        char c[4];
        const uint32_t n = draw(&at, 30);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t cp = 1 + draw(&at, 0x600);
            if (draw(&at, 4) == 0) cp = 0x300 + draw(&at, 0x70);
            if (draw(&at, 6) == 0) cp = 0x1100 + draw(&at, 0x100);
            if (draw(&at, 9) == 0) cp = 0x1e00 + draw(&at, 0x1200);
            if (draw(&at, 9) == 0) cp = 0xac00 + draw(&at, 0x2ba4);
            ac_str_append(&s, (ac_view){ c, ac_utf8_encode(c, cp) });
        }
        ac_str_append_c(&s, "");
        assert_int_equal(ac_normalize_nfc(&got, ac_str_view(&s), &err), AC_OK);
        utf8proc_uint8_t *want = utf8proc_NFC((const utf8proc_uint8_t *)ac_str_c(&s));
        assert_non_null(want);
        assert_string_equal(ac_str_c(&got), (const char *)want);
        free(want);
        ac_str_release(&s);
        ac_str_release(&got);
    }
}

static void nfc_keeps_bad_bytes_and_sorts_long_runs(void **state)
{
    (void)state;
    ac_str s = { 0 }, got = { 0 };
    ac_err err = { 0 };
    assert_int_equal(ac_normalize_nfc(&got, AC_VIEW("e\xcc\x81\xff" "e\xcc"), &err), AC_OK);
    assert_string_equal(ac_str_c(&got), "\xc3\xa9\xff" "e\xcc");
    ac_str_reset(&got);
    ac_str_append_char(&s, 'e');
    for (unsigned i = 0; i < 200000; i++) ac_str_append_c(&s, "\xcc\x81\xcc\xa3"); /* above, below, above, ... */
    assert_int_equal(ac_normalize_nfc(&got, ac_str_view(&s), &err), AC_OK);
    assert_memory_equal(got.ptr, "\xe1\xba\xb9\xcc\xa3\xcc\xa3", 7);                /* the marks below come first */
    assert_int_equal(got.len, 3 + (200000 - 1) * 2 + 200000 * 2);
    ac_str_release(&s);
    ac_str_release(&got);
    assert_false(ac_needs_nfc(AC_VIEW("plain and \xc3\xa9")));
}

/* ---- whole tokenizers ---- */

static ac_tokenizer *open_dir(const char *dir)
{
    ac_tokenizer *t = NULL;
    ac_err err = { 0 };
    if (ac_tokenizer_open(&t, dir, &err)) fail_msg("%s", err.text);
    return t;
}

static void round_trip(const ac_tokenizer *t, ac_view text, ac_view want)
{
    ac_ids ids = { 0 };
    ac_str back = { 0 };
    ac_err err = { 0 };
    if (ac_tokenizer_encode(t, text, 0, &ids, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.n; i++) assert_false(ac_tokenizer_is_control(t, ids.id[i]));
    assert_int_equal(ac_tokenizer_decode(t, ids.id, ids.n, 0, &back, &err), AC_OK);
    if (!ac_view_eq(ac_str_view(&back), want)) fail_msg("\"" AC_VIEW_FMT "\" came back as \"%s\"",
                                                        AC_VIEW_ARG(text), ac_str_c(&back));
    ac_ids_release(&ids);
    ac_str_release(&back);
}

/* T1 and T3: any bytes, spellings of control tokens among them, come back and never are a control token. */
static void any_bytes_come_back(void **state)
{
    static const char *const atoms[] = { "hello", " the", "<BOS>", "<EOS>", "<|im_start|>", "<think>", "<unk>", " ",
                                         "  ", "\n\n", "\xe2\x96\x81", "\xc3\xa9", "<0x41>", "\xf0\x9f\x99\x82" };
    (void)state;
    char *dir = tf_make_dir();
    uint32_t at = 0;
    for (int spm = 0; spm < 2; spm++) {
        if (spm) tf_write_spm(dir, NULL);
        else tf_write_byte_level(dir, NULL);
        ac_tokenizer *t = open_dir(dir);
        for (unsigned round = 0; round < 1500; round++) {
            ac_str s = { 0 };
            const uint32_t n = draw(&at, 40);
            for (uint32_t i = 0; i < n; i++) {
                if (draw(&at, 3)) ac_str_append_c(&s, atoms[draw(&at, AC_COUNTOF(atoms))]);
                else ac_str_append_char(&s, (char)draw(&at, 256));
            }
            /* U+2581 is SentencePiece's own sign for a space, and reads back as one. */
            ac_str want = { 0 };
            for (size_t i = 0; i < s.len; i++) {
                const bool mark = spm && ac_view_starts(ac_view_slice(ac_str_view(&s), i, s.len), AC_VIEW("\xe2\x96\x81"));
                ac_str_append_char(&want, mark ? ' ' : s.ptr[i]);
                if (mark) i += 2;
            }
            round_trip(t, ac_str_view(&s), ac_str_view(&want));
            ac_str_release(&s);
            ac_str_release(&want);
        }
        ac_tokenizer_close(&t);
    }
    tf_remove_dir(dir);
}

static void encodes_to(const ac_tokenizer *t, const char *text, unsigned flags, const char *want)
{
    ac_ids ids = { 0 };
    ac_str got = { 0 };
    ac_err err = { 0 };
    if (ac_tokenizer_encode(t, ac_view_of(text), flags, &ids, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.n; i++) {
        ac_str_append_char(&got, '[');
        assert_int_equal(ac_tokenizer_decode(t, ids.id + i, 1, AC_DECODE_SPECIAL | AC_DECODE_KEEP_PREFIX_SPACE,
                                             &got, &err), AC_OK);
        ac_str_append_char(&got, ']');
    }
    assert_string_equal(ac_str_c(&got), want);
    ac_ids_release(&ids);
    ac_str_release(&got);
}

static void control_tokens_need_the_flag(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    tf_write_byte_level(dir, NULL);
    ac_tokenizer *t = open_dir(dir);
    encodes_to(t, "hello<|im_end|> the", AC_ENCODE_SPECIAL, "[hello][<|im_end|>][ the]");
    encodes_to(t, "<|im_end|>", 0, "[<][|][i][m][_][e][n][d][|][>]");
    encodes_to(t, "a<think>b", 0, "[a][<think>][b]");      /* not special: found in any text */
    encodes_to(t, "x", AC_ENCODE_BOS | AC_ENCODE_EOS, "[x][<EOS>]");   /* this file asks for no BOS */
    assert_int_equal(ac_tokenizer_find(t, AC_VIEW("<|im_end|>")), 256 + (int)AC_COUNTOF(tf_merges) + 4);
    assert_int_equal(ac_tokenizer_find(t, AC_VIEW("hello")), 256 + 3);
    assert_int_equal(ac_tokenizer_find(t, AC_VIEW("hellos")), -1);
    assert_int_equal(ac_tokenizer_find(t, AC_VIEW("\n")), '\n');
    assert_string_equal(ac_tokenizer_describe(t), "byte-level BPE, 282 tokens, gpt2");
    const int32_t bad[] = { 0, 282 };
    ac_str s = { 0 };
    ac_err err = { 0 };
    assert_int_equal(ac_tokenizer_decode(t, bad, 2, 0, &s, &err), AC_EARG);
    assert_int_equal(s.len, 0);
    ac_tokenizer_close(&t);
    tf_remove_dir(dir);
}

#define SPM(pre) "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\"," pre "}"

static void prefix_spaces(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    tf_write_spm(dir, NULL);                                /* Prepend: always */
    ac_tokenizer *t = open_dir(dir);
    encodes_to(t, "hello the", 0, "[ hello][ the]");
    encodes_to(t, " hello", 0, "[ ][ hello]");
    encodes_to(t, "hello<EOS>hello", AC_ENCODE_SPECIAL, "[ hello][<EOS>][ hello]");
    encodes_to(t, "hello", AC_ENCODE_CONTINUE, "[hello]");
    encodes_to(t, "", 0, "");
    encodes_to(t, "\xc3\xa9\xc3\xa8", 0, "[ ][\xc3\xa9][\xc3][\xa8]");
    ac_tokenizer_close(&t);
    tf_write_spm(dir, SPM("\"prepend_scheme\":\"first\",\"split\":false"));
    t = open_dir(dir);
    encodes_to(t, "hello<EOS>hello", AC_ENCODE_SPECIAL, "[ hello][<EOS>][hello]");
    encodes_to(t, " hello", 0, "[ hello]");
    ac_tokenizer_close(&t);
    tf_write_spm(dir, SPM("\"prepend_scheme\":\"never\",\"split\":true"));
    t = open_dir(dir);
    encodes_to(t, "hello", 0, "[hello]");
    ac_tokenizer_close(&t);
    tf_write_byte_level(dir, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}");
    t = open_dir(dir);
    encodes_to(t, "the", 0, "[ the]");
    encodes_to(t, " the", 0, "[ the]");
    ac_tokenizer_close(&t);
    tf_remove_dir(dir);
}

/* lstrip and rstrip take white space along, in any text where the token is found. */
static void stripping_added_tokens(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    ac_str s = { 0 };
    ac_err err = { 0 };
    char path[300];
    tf_write_byte_level(dir, NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(ac_file_read(&s, path, 1 << 20, &err), AC_OK);
    char *at = strstr(s.ptr, "\"content\":\"<think>\"");
    assert_non_null(at);
    ac_str changed = { 0 };
    ac_str_append(&changed, (ac_view){ s.ptr, (size_t)(at - s.ptr) });
    ac_str_append_c(&changed, "\"lstrip\":true,\"rstrip\":true,");
    ac_str_append_c(&changed, at);
    tf_write(dir, "tokenizer.json", ac_str_view(&changed));
    ac_tokenizer *t = open_dir(dir);
    encodes_to(t, "a \xe3\x80\x80\n<think>\t b <think>", 0, "[a][<think>][b][<think>]");
    encodes_to(t, "  <think>  <think>", 0, "[<think>][<think>]");
    ac_str_release(&s);
    ac_str_release(&changed);
    ac_tokenizer_close(&t);
    tf_remove_dir(dir);
}

static void ignoring_merges(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    char path[300];
    ac_str s = { 0 };
    ac_err err = { 0 };
    tf_write_byte_level(dir, NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(ac_file_read(&s, path, 1 << 20, &err), AC_OK);
    /* Without its merge, "hello" is a token that only a whole word can be. */
    char *merge = strstr(s.ptr, "\"hell o\"");
    assert_non_null(merge);
    memcpy(merge, "\"l l\"   ", 8);
    tf_write(dir, "tokenizer.json", ac_str_view(&s));
    ac_tokenizer *t = open_dir(dir);
    encodes_to(t, "hello", 0, "[hell][o]");
    ac_tokenizer_close(&t);
    char *type = strstr(s.ptr, "\"type\":\"BPE\"");
    ac_str changed = { 0 };
    ac_str_append(&changed, (ac_view){ s.ptr, (size_t)(type - s.ptr) });
    ac_str_append_c(&changed, "\"ignore_merges\":true,");
    ac_str_append_c(&changed, type);
    tf_write(dir, "tokenizer.json", ac_str_view(&changed));
    t = open_dir(dir);
    encodes_to(t, "hello hello", 0, "[hello][ ][hell][o]");
    ac_tokenizer_close(&t);
    ac_str_release(&s);
    ac_str_release(&changed);
    tf_remove_dir(dir);
}

static void huge_words(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    tf_write_byte_level(dir, NULL);
    ac_tokenizer *t = open_dir(dir);
    ac_str s = { 0 };
    ac_ids ids = { 0 };
    ac_err err = { 0 };
    for (unsigned i = 0; i < 200000; i++) ac_str_append_c(&s, "hello");
    assert_int_equal(ac_tokenizer_encode(t, ac_str_view(&s), 0, &ids, &err), AC_OK);
    assert_int_equal(ids.n, 200000);
    ac_str more = { 0 };
    for (unsigned i = 0; i < 17; i++) ac_str_append(&more, ac_str_view(&s));
    assert_int_equal(ac_tokenizer_encode(t, ac_str_view(&more), 0, &ids, &err), AC_EFORMAT);
    ac_str_release(&more);
    assert_non_null(strstr(err.text, "without a break"));
    assert_int_equal(ids.n, 200000);                     /* outputs change on success only */
    ac_ids_release(&ids);
    ac_str_release(&s);
    ac_tokenizer_close(&t);
    tf_remove_dir(dir);
}

static void hash_covers_the_settings(void **state)
{
    static const char *const pipelines[] = {
        NULL, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}",
        "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
    };
    (void)state;
    char *dir = tf_make_dir();
    ac_sha256 h[4];
    ac_err err = { 0 };
    for (size_t i = 0; i < 4; i++) {
        tf_write_byte_level(dir, pipelines[i % 3]);
        ac_tokenizer *t = open_dir(dir);
        assert_int_equal(ac_tokenizer_hash(t, &h[i], &err), AC_OK);
        ac_tokenizer_close(&t);
    }
    assert_memory_equal(&h[0], &h[3], sizeof h[0]);
    assert_memory_not_equal(&h[0], &h[1], sizeof h[0]);
    assert_memory_not_equal(&h[0], &h[2], sizeof h[0]);
    tf_remove_dir(dir);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_each_family), cmocka_unit_test(words_cover_every_text),
        cmocka_unit_test(merging_follows_its_definition), cmocka_unit_test(nfc_is_utf8procs),
        cmocka_unit_test(nfc_keeps_bad_bytes_and_sorts_long_runs), cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(control_tokens_need_the_flag), cmocka_unit_test(prefix_spaces),
        cmocka_unit_test(stripping_added_tokens), cmocka_unit_test(ignoring_merges),
        cmocka_unit_test(huge_words), cmocka_unit_test(hash_covers_the_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
