/* Tokenizer files that must be refused, each with a sentence that names what is wrong (robustness 38 to 49). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer_fixture.h"

static char *dir;

static void refused(const char *path, const char *want)
{
    ac_tokenizer *t = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_tokenizer_open(&t, path, &err);
    if (st == AC_OK || st == AC_ESTATE) fail_msg("%s was accepted", want);
    if (!strstr(err.text, want)) fail_msg("said \"%s\", expected \"%s\"", err.text, want);
    assert_null(t);
    assert_int_equal(ac_live_bytes(), 0);
}

/* The byte-level fixture with the first `from` replaced by `to`. */
static void changed(const char *from, const char *to, const char *want)
{
    char path[300];
    ac_str s = { 0 }, out = { 0 };
    ac_err err = { 0 };
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    tf_write_byte_level(dir, NULL);
    assert_int_equal(ac_file_read(&s, path, 1 << 20, &err), AC_OK);
    const size_t at = ac_view_find(ac_str_view(&s), ac_view_of(from), 0);
    if (at == SIZE_MAX) fail_msg("the fixture has no %s", from);
    ac_str_append(&out, ac_view_slice(ac_str_view(&s), 0, at));
    ac_str_append_c(&out, to);
    ac_str_append(&out, ac_view_slice(ac_str_view(&s), at + strlen(from), s.len));
    tf_write(dir, "tokenizer.json", ac_str_view(&out));
    ac_str_release(&s);
    ac_str_release(&out);
    refused(dir, want);
}

static void pipeline(const char *members, const char *want)
{
    tf_write_byte_level(dir, members);
    refused(dir, want);
}

static void json_vocabularies(void **state)
{
    (void)state;
    changed("\"hell o\"", "\"hell ox\"", "not in the vocabulary");
    changed("\"hell o\"", "\"hello\"", "expected two tokens parted by one space");
    changed("\"hell o\"", "[\"hell\"]", "must be \"left right\"");
    changed("\"hell o\"", "[\"\", \"hello\"]", "two parts of at least one byte");
    changed("\"hell o\"", "7", "must be \"left right\"");
    changed("\"hello\":259", "\"hello\":300", "ids must be dense");
    changed("\"hello\":259", "\"hello\":258", "each id must have one token");
    changed("\"hello\":259", "\"hello\":-1", "ids are 0 to 2147483647");
    changed("\"hello\":259", "\"hello\":4294967296", "ids are 0 to 2147483647");
    changed("\"hello\":259", "\"hello\":2.5", "must be an integer");
    changed("\"hello\":259", "\"hello\":\"x\"", "must be an integer");
    changed("\"hello\":259,", "", "not in the vocabulary");
    changed("\"content\":\"<think>\"", "\"content\":\"\"", "is empty");
    changed("\"content\":\"<think>\"", "\"content\":\"</think>\"", "281 as an added token");
    changed("\"content\":\"<think>\"", "\"content\":\"hello\"", "has id 259 in the vocabulary");
    changed("\"content\":\"<think>\"", "\"content\":\"<think>\",\"single_word\":true", "single_word");
    changed("\"content\":\"<think>\"", "\"content\":\"<think>\",\"lstrip\":1", "must be true or false");
    changed("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "only BPE is supported");
    changed("\"type\":\"BPE\"", "\"type\":\"BPE\",\"dropout\":0.1", "dropout");
    changed("\"type\":\"BPE\"", "\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\"", "continuing_subword_prefix");
    changed("\"type\":\"BPE\"", "\"type\":\"BPE\",\"unk_token\":\"nope\"", "unk_token");
    changed("\"model\":", "\"modell\":", "is this a tokenizer.json?");
    changed("{\"version\"", "\xef\xbb\xbf{\"version\"", "tokenizer.json");
    changed("{\"version\":\"1.0\"", "{\"version\":\"1.0\",\"truncation\":{\"max_length\":4,\"stride\":4}",
            "the stride must be smaller");
    changed("{\"version\":\"1.0\"", "{\"version\":\"1.0\",\"padding\":{\"strategy\":{\"Fixed\":0}}", "fixed length");
}

static void missing_bytes(void **state)
{
    (void)state;
    tf_write(dir, "tokenizer.json", AC_VIEW("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},"
                                            "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}}"));
    tf_write(dir, "tokenizer_config.json", AC_VIEW("{}"));
    refused(dir, "no token for byte 0x00");
    tf_write(dir, "tokenizer.json", AC_VIEW("{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,"
        "\"<0x41>\":1},\"merges\":[]},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"\xe2\x96\x81\"}}"));
    refused(dir, "1 of the 256 byte tokens");
    tf_write(dir, "tokenizer.json", AC_VIEW("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},"
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}}"));
    refused(dir, "neither byte tokens nor an unknown token");
    tf_write(dir, "tokenizer.json", AC_VIEW("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}"));
    refused(dir, "vocabulary is empty");
}

/* Patterns are compared with the known ones, never run. */
static void json_pipelines(void **state)
{
    (void)state;
    pipeline("\"pre_tokenizer\":null", "pre_tokenizer");
    pipeline("\"pre_tokenizer\":{\"type\":\"Whitespace\"}", "\"Whitespace\" is not one of the known forms");
    pipeline("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
             "\"(a+)+$\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"use_regex\":false}]}", "\"Split\"");
    pipeline("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA==\"}", "\"Precompiled\"");
    pipeline("\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true}", "\"Strip\"");
    pipeline("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"content\":\"x\"}", "\"Replace\"");
    pipeline("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"WordPiece\"}",
             "decoder \"WordPiece\"");
    pipeline("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"post_processor\":{\"type\":"
             "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\"}},{\"Sequence\":{\"id\":\"A\"}}],"
             "\"special_tokens\":{}}", "uses \"[CLS]\"");
    pipeline("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"post_processor\":{\"type\":"
             "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<BOS>\"}},{\"Sequence\":{\"id\":\"A\"}}],"
             "\"special_tokens\":{\"<BOS>\":{\"ids\":[99999]}}}", "must have one id");
    pipeline("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"post_processor\":{\"type\":"
             "\"BertProcessing\"}", "\"BertProcessing\"");
    pipeline("\"pre_tokenizer\":[]", "without type");
}

static void settings_beside(void **state)
{
    (void)state;
    tf_write_byte_level(dir, NULL);
    tf_write(dir, "tokenizer_config.json", AC_VIEW("{\"eos_token\":\"<nope>\"}"));
    refused(dir, "names \"<nope>\"");
    tf_write(dir, "tokenizer_config.json", AC_VIEW("{\"eos_token\":"));
    refused(dir, "tokenizer_config.json");
    refused("/nonexistent", "/nonexistent");
    char *empty = tf_make_dir();
    refused(empty, "no tokenizer.json in this folder");
    tf_write(empty, "vocab.json", AC_VIEW("{\"a\":0}"));
    tf_write(empty, "merges.txt", AC_VIEW("#version: 0.2\na b\n"));
    refused(empty, "not in the vocabulary");
    tf_remove_dir(empty);
}

/* ---- GGUF ---- */

static void put_u32(ac_str *s, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) ac_str_append_char(s, (char)(v >> (8 * i)));
}

static void put_u64(ac_str *s, uint64_t v)
{
    put_u32(s, (uint32_t)v);
    put_u32(s, (uint32_t)(v >> 32));
}

static void put_string(ac_str *s, const char *text)
{
    put_u64(s, strlen(text));
    ac_str_append_c(s, text);
}

typedef struct {
    const char *model, *pre, *token[4], *merge;
    int32_t type[4];
    float score[4];
    unsigned n, n_types, n_scores;
    int64_t bos;
} small_gguf;

static void key(ac_str *s, unsigned *n, const char *name, uint32_t type)
{
    put_string(s, name);
    put_u32(s, type);
    ++*n;
}

static void gguf(const small_gguf *g, const char *want)
{
    ac_str kv = { 0 }, s = { 0 };
    char path[300];
    unsigned n = 0;
    key(&kv, &n, "tokenizer.ggml.model", 8);
    put_string(&kv, g->model);
    if (g->pre) {
        key(&kv, &n, "tokenizer.ggml.pre", 8);
        put_string(&kv, g->pre);
    }
    key(&kv, &n, "tokenizer.ggml.tokens", 9);
    put_u32(&kv, 8);
    put_u64(&kv, g->n);
    for (unsigned i = 0; i < g->n; i++) put_string(&kv, g->token[i]);
    if (g->n_types) {
        key(&kv, &n, "tokenizer.ggml.token_type", 9);
        put_u32(&kv, 5);
        put_u64(&kv, g->n_types);
        for (unsigned i = 0; i < g->n_types; i++) put_u32(&kv, (uint32_t)g->type[i]);
    }
    if (g->n_scores) {
        key(&kv, &n, "tokenizer.ggml.scores", 9);
        put_u32(&kv, 6);
        put_u64(&kv, g->n_scores);
        for (unsigned i = 0; i < g->n_scores; i++) {
            uint32_t bits;
            memcpy(&bits, &g->score[i], 4);
            put_u32(&kv, bits);
        }
    }
    if (g->merge) {
        key(&kv, &n, "tokenizer.ggml.merges", 9);
        put_u32(&kv, 8);
        put_u64(&kv, 1);
        put_string(&kv, g->merge);
    }
    if (g->bos >= 0) {
        key(&kv, &n, "tokenizer.ggml.bos_token_id", 4);
        put_u32(&kv, (uint32_t)g->bos);
    }
    ac_str_append_c(&s, "GGUF");
    put_u32(&s, 3);
    put_u64(&s, 0);
    put_u64(&s, n);
    ac_str_append(&s, ac_str_view(&kv));
    tf_write(dir, "model.gguf", ac_str_view(&s));
    ac_str_release(&kv);
    ac_str_release(&s);
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    refused(path, want);
}

static void gguf_files(void **state)
{
    (void)state;
    const small_gguf base = { .model = "llama", .token = { "<unk>", "a", "b", "ab" }, .n = 4, .n_scores = 4,
                              .type = { 2, 1, 1, 1 }, .n_types = 4, .bos = -1 };
    small_gguf g = base;
    g.n_types = 3;
    gguf(&g, "has 3 entries and tokenizer.ggml.tokens 4");
    g = base;
    g.type[1] = 9;
    gguf(&g, "token_type[1] is 9");
    g = base;
    g.score[2] = (float)strtod("nan", NULL);
    gguf(&g, "scores[2] is not finite");
    g = base;
    g.n_scores = 0;
    gguf(&g, "neither tokenizer.ggml.scores nor");
    g = base;
    g.bos = 4;
    gguf(&g, "bos_token_id is 4");
    g = base;
    g.token[2] = "a";
    gguf(&g, "stands twice");
    g = base;
    g.token[0] = "";
    gguf(&g, "is empty");
    g = base;
    g.type[0] = 1;
    gguf(&g, "byte tokens");
    g = base;
    g.model = "bert";
    gguf(&g, "tokenizer.ggml.model is \"bert\"");
    g = base;
    g.model = "gpt2";
    gguf(&g, "tokenizer.ggml.pre is missing");
    g.pre = "tekken";
    gguf(&g, "tokenizer.ggml.pre is \"tekken\"");
    g.pre = "gpt-2";
    g.merge = "a c";
    gguf(&g, "uses \"c\", which is not in the vocabulary");
    g.merge = "a b";
    gguf(&g, "no token for byte 0x00");
    g.model = "llama";
    g.n = 0;
    gguf(&g, "the vocabulary is empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_vocabularies), cmocka_unit_test(missing_bytes), cmocka_unit_test(json_pipelines),
        cmocka_unit_test(settings_beside), cmocka_unit_test(gguf_files),
    };
    dir = tf_make_dir();
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    tf_remove_dir(dir);
    return rc;
}
