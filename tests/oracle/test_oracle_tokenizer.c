/* SmolLM2's ids against an independent tokenizer (gen_tokenizer_smollm2.py). The model's file is named by
 * ACCORD_SMOLLM2 or lies where `accord model pull` puts it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "formats/json.h"
#include "tokenizer/chat.h"

static char model[1024];
static ac_tokenizer *t;

static size_t compare(const ac_json *rows, unsigned flags)
{
    size_t n = 0;
    for (const ac_json *row = rows->child; row; row = row->next, n++) {
        const ac_view text = row->child->text;
        const ac_json *want = row->child->next;
        ac_ids ids = { 0 };
        ac_str back = { 0 };
        ac_err err = { 0 };
        if (ac_tokenizer_encode(t, text, flags, &ids, &err)) fail_msg("%s", err.text);
        if (ids.n != want->n) fail_msg("\"" AC_VIEW_FMT "\": %zu ids, expected %u", AC_VIEW_ARG(text), ids.n, want->n);
        const ac_json *w = want->child;
        for (size_t i = 0; i < ids.n; i++, w = w->next)
            if (ids.id[i] != (int32_t)w->number)
                fail_msg("\"" AC_VIEW_FMT "\": id %zu is %d, expected %d", AC_VIEW_ARG(text), i, ids.id[i],
                         (int32_t)w->number);
        assert_int_equal(ac_tokenizer_decode(t, ids.id, ids.n, AC_DECODE_SPECIAL, &back, &err), AC_OK);
        assert_true(ac_view_eq(ac_str_view(&back), text));
        ac_ids_release(&ids);
        ac_str_release(&back);
    }
    return n;
}

static void ids_equal_the_oracles(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    const ac_json *oracle = NULL;
    ac_err err = { 0 };
    int64_t n_tokens = 0;
    if (ac_json_parse_file(&oracle, ACCORD_SOURCE_DIR "/tests/oracle/tokenizer_smollm2.json", &a, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ac_json_get_i64(&n_tokens, oracle, "n_tokens", "the oracle", &err), AC_OK);
    assert_int_equal(ac_tokenizer_size(t), n_tokens);
    const size_t plain = compare(ac_json_get(oracle, "plain"), 0);
    const size_t special = compare(ac_json_get(oracle, "special"), AC_ENCODE_SPECIAL);
    print_message("%zu strings, %zu with special tokens\n", plain, special);
    assert_true(plain >= 200 && special >= 5);
    ac_arena_release(&a);
}

/* The vocabulary has no token for 21 bytes; a character with one of them becomes U+FFFD. */
static void lacking_bytes(void **state)
{
    (void)state;
    ac_ids ids = { 0 };
    ac_str back = { 0 };
    ac_err err = { 0 };
    assert_int_equal(ac_tokenizer_encode(t, AC_VIEW("a\x04" "b\xf1\x80\x80\x80" "c\xff"), 0, &ids, &err), AC_OK);
    assert_int_equal(ac_tokenizer_decode(t, ids.id, ids.n, 0, &back, &err), AC_OK);
    assert_string_equal(ac_str_c(&back), "a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd");
    ac_ids_release(&ids);
    ac_str_release(&back);
}

/* The file's own template is recognised, and its rendering is what encoding its text with specials gives. */
static void the_chat_template(void **state)
{
    (void)state;
    const ac_message m[] = { { .role = AC_ROLE_USER, .content = AC_VIEW("What is 2+2?") },
                             { .role = AC_ROLE_ASSISTANT, .content = AC_VIEW("It is 4.") } };
    const ac_view text = AC_VIEW("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
                                 "Face<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
                                 "It is 4.<|im_end|>\n");
    ac_chat *c = NULL;
    ac_rendered r = { 0 };
    ac_ids want = { 0 };
    ac_err err = { 0 };
    size_t n_stops = 0;
    if (ac_chat_open(&c, t, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_chat_format_of(c), AC_CHAT_SMOLLM2);
    assert_int_equal(ac_chat_render(c, m, 2, false, &r, &err), AC_OK);
    assert_int_equal(ac_tokenizer_encode(t, text, AC_ENCODE_SPECIAL, &want, &err), AC_OK);
    assert_int_equal(r.ids.n, want.n);
    assert_memory_equal(r.ids.id, want.id, want.n * sizeof *want.id);
    assert_int_equal(ac_chat_stop_ids(c, &n_stops)[0], 2);
    ac_rendered_release(&r);
    ac_ids_release(&want);
    ac_chat_close(&c);
}

int main(void)
{
    const char *env = getenv("ACCORD_SMOLLM2");
    ac_arena a = { 0 };
    ac_err err = { 0 };
    const char *pulled = ac_cache_model_path(&a, "smollm2-135m-instruct");
    snprintf(model, sizeof model, "%s", env && *env ? env : pulled ? pulled : "");
    ac_arena_release(&a);
    if (!ac_path_exists(model)) {
        print_message("not run: no SmolLM2 (set ACCORD_SMOLLM2, or accord model pull smollm2-135m-instruct)\n");
        return 77;
    }
    if (ac_tokenizer_open(&t, model, &err)) {
        print_error("%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(ids_equal_the_oracles), cmocka_unit_test(lacking_bytes),
                                        cmocka_unit_test(the_chat_template) };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ac_tokenizer_close(&t);
    return rc;
}
