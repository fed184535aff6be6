/* Small tokenizers for tests, written to a temporary folder: every byte and a few merges, byte-level or
 * SentencePiece-style, with the special tokens of the chat formats. */
#ifndef TESTS_TOKENIZER_FIXTURE_H
#define TESTS_TOKENIZER_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/json.h"
#include "formats/tokspec.h"

static const char *const tf_specials[] = {
    "<BOS>", "<EOS>", "<unk>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>",
    "<|endoftext|>", "[INST]", "[/INST]"
};

static inline void tf_fail(const char *what, const ac_err *err)
{
    fprintf(stderr, "fixture: %s: %s\n", what, err->text);
    abort();
}

static inline char *tf_make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = malloc(256);
    snprintf(dir, 256, "%s/accord-tok-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) abort();
    return dir;
}

static inline void tf_remove_dir(char *dir)
{
    ac_err err = { 0 };
    if (ac_remove_tree(dir, &err)) tf_fail(dir, &err);
    free(dir);
}

static inline void tf_write(const char *dir, const char *name, ac_view text)
{
    char path[512];
    ac_err err = { 0 };
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (ac_file_write_atomic(path, text.ptr, text.len, &err)) tf_fail(path, &err);
}

/* The character that stands for a byte in GPT-2's alphabet. */
static inline ac_view tf_byte_char(unsigned byte, char out[4])
{
    for (uint32_t cp = 0; cp < 400; cp++)
        if (ac_tok_byte_of_char(cp) == (int)byte) return (ac_view){ out, ac_utf8_encode(out, cp) };
    return (ac_view){ NULL, 0 };
}

static inline void tf_added(ac_jw *w, int64_t id, const char *content, bool special)
{
    ac_jw_object(w, NULL);
    ac_jw_i64(w, "id", id);
    ac_jw_cstr(w, "content", content);
    ac_jw_bool(w, "special", special);
    ac_jw_bool(w, "normalized", false);
    ac_jw_end_object(w);
}

/* Merges that build "hello", " the" and "\n\n" from bytes. */
static const char *const tf_merges[][2] = {
    { "h", "e" }, { "l", "l" }, { "he", "ll" }, { "hell", "o" }, { "\xc4\xa0", "t" }, { "\xc4\xa0t", "he" },
    { "\xc4\x8a", "\xc4\x8a" }
};

/* pipeline: JSON members "normalizer", "pre_tokenizer", ... ; NULL: GPT-2's. */
static inline void tf_write_byte_level(const char *dir, const char *pipeline)
{
    ac_str s = { 0 };
    ac_jw w;
    int64_t id = 0;
    char both[32], c[4];
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "version", "1.0");
    ac_jw_object(&w, "model");
    ac_jw_cstr(&w, "type", "BPE");
    ac_jw_object(&w, "vocab");
    for (unsigned b = 0; b < 256; b++) {
        const ac_view v = tf_byte_char(b, c);
        snprintf(both, sizeof both, "%.*s", (int)v.len, v.ptr);
        ac_jw_i64(&w, both, id++);
    }
    for (size_t i = 0; i < AC_COUNTOF(tf_merges); i++) {
        snprintf(both, sizeof both, "%s%s", tf_merges[i][0], tf_merges[i][1]);
        ac_jw_i64(&w, both, id++);
    }
    ac_jw_end_object(&w);
    ac_jw_array(&w, "merges");
    for (size_t i = 0; i < AC_COUNTOF(tf_merges); i++) {
        snprintf(both, sizeof both, "%s %s", tf_merges[i][0], tf_merges[i][1]);
        ac_jw_cstr(&w, NULL, both);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    ac_jw_array(&w, "added_tokens");
    for (size_t i = 0; i < AC_COUNTOF(tf_specials); i++) tf_added(&w, id++, tf_specials[i], true);
    tf_added(&w, id++, "<think>", false);
    tf_added(&w, id++, "</think>", false);
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    s.len--;                                                    /* reopen the object */
    ac_str_append_c(&s, ",");
    ac_str_append_c(&s, pipeline ? pipeline : "\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                                              "\"add_prefix_space\":false,\"use_regex\":true}");
    ac_str_append_c(&s, "}");
    tf_write(dir, "tokenizer.json", ac_str_view(&s));
    ac_str_release(&s);
    tf_write(dir, "tokenizer_config.json", AC_VIEW("{\"bos_token\":\"<BOS>\",\"eos_token\":\"<EOS>\"}"));
}

/* SentencePiece-style: unk, bos, eos, 256 byte tokens, some characters and merges; no special but those. */
static inline void tf_write_spm(const char *dir, const char *pipeline)
{
    static const char *const chars[] = { "\xe2\x96\x81", "h", "e", "l", "o", "t", "\xc3\xa9", "." };
    static const char *const merges[][2] = { { "h", "e" }, { "l", "l" }, { "he", "ll" }, { "hell", "o" },
        { "\xe2\x96\x81", "hello" }, { "\xe2\x96\x81", "t" }, { "\xe2\x96\x81t", "he" } };
    ac_str s = { 0 };
    ac_jw w;
    char name[64];
    int64_t id = 0;
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    ac_jw_object(&w, "model");
    ac_jw_cstr(&w, "type", "BPE");
    ac_jw_cstr(&w, "unk_token", "<unk>");
    ac_jw_bool(&w, "byte_fallback", true);
    ac_jw_bool(&w, "fuse_unk", true);
    ac_jw_object(&w, "vocab");
    ac_jw_i64(&w, "<unk>", id++);
    ac_jw_i64(&w, "<BOS>", id++);
    ac_jw_i64(&w, "<EOS>", id++);
    for (unsigned b = 0; b < 256; b++) {
        snprintf(name, sizeof name, "<0x%02X>", b);
        ac_jw_i64(&w, name, id++);
    }
    for (size_t i = 0; i < AC_COUNTOF(chars); i++) ac_jw_i64(&w, chars[i], id++);
    for (size_t i = 0; i < AC_COUNTOF(merges); i++) {
        snprintf(name, sizeof name, "%s%s", merges[i][0], merges[i][1]);
        ac_jw_i64(&w, name, id++);
    }
    ac_jw_end_object(&w);
    ac_jw_array(&w, "merges");
    for (size_t i = 0; i < AC_COUNTOF(merges); i++) {
        ac_jw_array(&w, NULL);
        ac_jw_cstr(&w, NULL, merges[i][0]);
        ac_jw_cstr(&w, NULL, merges[i][1]);
        ac_jw_end_array(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    ac_jw_array(&w, "added_tokens");
    tf_added(&w, 0, "<unk>", true);
    tf_added(&w, 1, "<BOS>", true);
    tf_added(&w, 2, "<EOS>", true);
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    s.len--;
    ac_str_append_c(&s, ",");
    ac_str_append_c(&s, pipeline ? pipeline :
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}]},"
        "\"pre_tokenizer\":null");
    ac_str_append_c(&s, "}");
    tf_write(dir, "tokenizer.json", ac_str_view(&s));
    ac_str_release(&s);
    tf_write(dir, "tokenizer_config.json", AC_VIEW("{\"bos_token\":\"<BOS>\",\"eos_token\":\"<EOS>\"}"));
}

#endif
