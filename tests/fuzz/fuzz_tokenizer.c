/* The first byte chooses: one of our tokenizers, then the rest is text to encode; or a tokenizer.json, and behind
 * a NUL the text for it. Ids are in range, control tokens never come from text, and texts come back. */
#include "fuzz.h"

#include <string.h>
#include "tokenizer/chat.h"
#include "../tokenizer_fixture.h"

#define BYTES(pre) "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" pre \
    ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define CL100K(digits) "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":" \
    "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}}"

enum { N_PIPELINES = 6, OWN_FILE = 6 };

static const char *const pipelines[N_PIPELINES] = {
    NULL,
    BYTES(CL100K("{1,3}")),
    "\"normalizer\":{\"type\":\"NFC\"}," BYTES(CL100K("")),
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}",
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Punctuation\",\"behavior\":"
    "\"Contiguous\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false},{\"type\":\"Digits\",\"individual_digits\":"
    "false},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[0-9][0-9][0-9]\"},\"behavior\":\"Isolated\"}]}",
    NULL /* SentencePiece-style */
};

static char *dirs[N_PIPELINES + 1];

static void remove_dirs(void)
{
    for (size_t i = 0; i <= N_PIPELINES; i++) tf_remove_dir(dirs[i]);
}

static void make_dirs(void)
{
    if (dirs[0]) return;
    for (size_t i = 0; i <= N_PIPELINES; i++) {
        dirs[i] = tf_make_dir();
        if (i == N_PIPELINES - 1) tf_write_spm(dirs[i], NULL);
        else if (i < N_PIPELINES) tf_write_byte_level(dirs[i], pipelines[i]);
    }
    atexit(remove_dirs);
}

/* libFuzzer runs millions of inputs, so it keeps the tokenizers open; driver.c wants all memory back. */
static ac_tokenizer *open_ours(size_t which)
{
    static ac_tokenizer *kept[N_PIPELINES];
    ac_err err = { 0 };
    if (!kept[which]) FUZZ_CHECK(ac_tokenizer_open(&kept[which], dirs[which], &err) == AC_OK);
    ac_tokenizer *t = kept[which];
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    kept[which] = NULL;
#endif
    return t;
}

static void close_ours(ac_tokenizer *t)
{
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    ac_tokenizer_close(&t);
#else
    (void)t;
#endif
}

static void check_back(const ac_tokenizer *t, const ac_ids *ids, ac_view text, bool spm)
{
    ac_str back = { 0 };
    ac_err err = { 0 };
    size_t at = 0;
    FUZZ_CHECK(ac_tokenizer_decode(t, ids->id, ids->n, 0, &back, &err) == AC_OK);
    for (size_t i = 0; i < text.len; i++, at++) {       /* U+2581 reads back as the space it stands for */
        const bool mark = spm && ac_view_starts(ac_view_slice(text, i, text.len), AC_VIEW("\xe2\x96\x81"));
        FUZZ_CHECK(at < back.len && back.ptr[at] == (mark ? ' ' : text.ptr[i]));
        if (mark) i += 2;
    }
    FUZZ_CHECK(at == back.len);
    ac_str_release(&back);
}

static void encode(const ac_tokenizer *t, ac_view text, unsigned flags, bool same, bool spm, bool may_fail)
{
    ac_ids ids = { 0 };
    ac_err err = { 0 };
    const ac_status st = ac_tokenizer_encode(t, text, flags, &ids, &err);
    FUZZ_CHECK_STATUS(st, err);
    FUZZ_CHECK(may_fail || !st);
    for (size_t i = 0; i < ids.n; i++) {
        FUZZ_CHECK(ids.id[i] >= 0 && (size_t)ids.id[i] < ac_tokenizer_size(t));
        if (!flags && !may_fail) FUZZ_CHECK(!ac_tokenizer_is_control(t, ids.id[i]));
    }
    if (!st && same && !flags) check_back(t, &ids, text, spm);
    ac_ids_release(&ids);
}

/* C4 with the text as question and answer. */
static void chat(const ac_tokenizer *t, ac_view text)
{
    static const char *const names[] = { "chatml", "llama3", "gemma", "llama2", "qwen2", "plain" };
    const ac_message m[] = { { .role = AC_ROLE_USER, .content = text },
                             { .role = AC_ROLE_ASSISTANT, .content = text, .tool_calls = { NULL, 0 } } };
    ac_err err = { 0 };
    ac_rendered part = { 0 }, whole = { 0 };
    ac_chat *c = NULL;
    FUZZ_CHECK(ac_chat_open(&c, t, names[text.len % AC_COUNTOF(names)], &err) == AC_OK);
    FUZZ_CHECK(ac_chat_render(c, m, 1, true, &part, &err) == AC_OK);
    FUZZ_CHECK(ac_chat_render(c, m, 2, false, &whole, &err) == AC_OK);
    FUZZ_CHECK(part.ids.n < whole.ids.n && memcmp(part.ids.id, whole.ids.id, part.ids.n * sizeof(int32_t)) == 0);
    ac_rendered_release(&part);
    ac_rendered_release(&whole);
    ac_chat_close(&c);
}

static void own_file(ac_view input)
{
    char path[300];
    const size_t nul = ac_view_find(input, (ac_view){ "", 1 }, 0);
    const size_t end = nul == SIZE_MAX ? input.len : nul;
    snprintf(path, sizeof path, "%s/tokenizer.json", dirs[OWN_FILE]);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f);
    FUZZ_CHECK(fwrite(input.ptr, 1, end, f) == end);
    FUZZ_CHECK(fclose(f) == 0);
    ac_tokenizer *t = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_tokenizer_open(&t, path, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (st) return;
    encode(t, ac_view_slice(input, end + 1, input.len), 0, false, false, true);
    encode(t, ac_view_slice(input, end + 1, input.len), AC_ENCODE_SPECIAL | AC_ENCODE_BOS, false, false, true);
    ac_tokenizer_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    make_dirs();
    if (len == 0) return 0;
    const ac_view rest = { (const char *)data + 1, len - 1 };
    const size_t which = data[0] % (N_PIPELINES + 1u);
    ac_tokenizer *t = which == OWN_FILE ? NULL : open_ours(which);
    const int64_t live = ac_live_bytes();
    if (which == OWN_FILE) {
        own_file(rest);
    } else {
        const bool spm = which == N_PIPELINES - 1, nfc = which == 2;
        encode(t, rest, 0, !nfc, spm, false);
        encode(t, rest, AC_ENCODE_SPECIAL, false, spm, false);
        if (!spm) chat(t, rest);
    }
    FUZZ_CHECK(ac_live_bytes() == live);
    if (t) close_ours(t);
    return 0;
}
