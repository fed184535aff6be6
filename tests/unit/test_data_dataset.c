/* Rows to ids and masks: which tokens are learnt (T2, T3), and what happens to long rows (T5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_fixture.h"
#include "tokenizer_fixture.h"

static ac_tokenizer *tok;
static ac_chat *chat;

static ac_status build(ac_dataset *d, const char *rows, const ac_data_opts *o, ac_err *err)
{
    ac_row_file f = { 0 };
    ac_status st = ac_rows_read(&f, df_text("d.jsonl", rows), AC_FORMAT_AUTO, err);
    if (!st) st = ac_dataset_build(d, &f, tok, chat, o, NULL, err);
    ac_rows_release(&f);
    return st;
}

/* The text of a sample, with what is learnt in { }. */
static void sample_is(const ac_sample *s, const char *want)
{
    ac_str got = { 0 };
    size_t n_target = 0;
    for (size_t i = 0; i < s->n; i++) {
        const bool on = s->target[i], before = i > 0 && s->target[i - 1];
        if (on && !before) ac_str_append_char(&got, '{');
        if (!on && before) ac_str_append_char(&got, '}');
        (void)ac_tokenizer_decode(tok, s->ids + i, 1, AC_DECODE_SPECIAL | AC_DECODE_KEEP_PREFIX_SPACE, &got, NULL);
        n_target += s->target[i];
    }
    if (s->target[s->n - 1]) ac_str_append_char(&got, '}');
    assert_int_equal(s->target[0], 0);
    assert_int_equal(s->n_target, n_target);
    assert_string_equal(ac_str_c(&got), want);
    ac_str_release(&got);
}

static void masked(const char *rows, ac_mask mask, const char *want)
{
    ac_dataset d = { 0 };
    ac_err err = { 0 };
    const ac_data_opts o = { mask, 2048, AC_LONG_REFUSE, true };
    if (build(&d, rows, &o, &err)) fail_msg("%s", err.text);
    assert_int_equal(d.n, 1);
    sample_is(&d.sample[0], want);
    assert_int_equal(d.n_tokens, d.sample[0].n);
    assert_int_equal(d.n_targets, d.sample[0].n_target);
    assert_int_equal(d.max_len, d.sample[0].n);
    ac_dataset_release(&d);
}

#define U(t) "<|im_start|>user\n" t "<|im_end|>\n"
#define A_OPEN "<|im_start|>assistant\n"
#define TURN(r, c, more) "{\"role\":\"" r "\",\"content\":\"" c "\"" more "}"

static void masks(void **state)
{
    (void)state;
    const char *two = "{\"messages\":[" TURN("system", "s", "") "," TURN("user", "q", "") "," TURN("assistant", "hello", "")
                      "," TURN("user", "r", "") "," TURN("assistant", "b", "") "]}\n";
    const char *sys = "<|im_start|>system\ns<|im_end|>\n";
    char want[512];
    (void)snprintf(want, sizeof want, "%s" U("q") A_OPEN "{hello<|im_end|>}\n" U("r") A_OPEN "{b<|im_end|>}\n", sys);
    masked(two, AC_MASK_ALL_TURNS, want);
    (void)snprintf(want, sizeof want, "%s" U("q") A_OPEN "hello<|im_end|>\n" U("r") A_OPEN "{b<|im_end|>}\n", sys);
    masked(two, AC_MASK_LAST, want);
    (void)snprintf(want, sizeof want, "<|im_start|>{system\ns<|im_end|>\n" U("q") A_OPEN "hello<|im_end|>\n" U("r") A_OPEN
                   "b<|im_end|>\n}");
    masked(two, AC_MASK_NONE, want);
}

/* The row's own marks go before the mode. */
static void marks(void **state)
{
    (void)state;
    const char *rows = "{\"messages\":[" TURN("user", "q", "") "," TURN("assistant", "a", ",\"weight\":1") ","
                       TURN("user", "r", "") "," TURN("assistant", "b", ",\"weight\":0") "]}\n";
    const char *want = U("q") A_OPEN "{a<|im_end|>}\n" U("r") A_OPEN "b<|im_end|>\n";
    masked(rows, AC_MASK_ALL_TURNS, want);
    masked(rows, AC_MASK_LAST, want);
    masked("{\"prompt\":[" TURN("user", "p", "") "," TURN("assistant", "x", "") "," TURN("user", "q", "")
           "],\"completion\":[" TURN("assistant", "c", "") "]}\n",
           AC_MASK_ALL_TURNS, U("p") A_OPEN "x<|im_end|>\n" U("q") A_OPEN "{c<|im_end|>}\n");
}

static void texts(void **state)
{
    (void)state;
    masked("{\"text\":\"hello you\"}\n", AC_MASK_ALL_TURNS, "hello{ you<EOS>}");
    /* User text cannot forge a frame. */
    masked("{\"prompt\":\"<|im_end|>\",\"completion\":\"a\"}\n", AC_MASK_ALL_TURNS, U("<|im_end|>") A_OPEN "{a<|im_end|>}\n");
}

static void refused(const char *rows, const ac_data_opts *o, ac_status want, const char *says)
{
    ac_dataset d = { 0 };
    ac_err err = { 0 };
    const ac_status st = build(&d, rows, o, &err);
    if (st != want || !strstr(err.text, says)) fail_msg("%s: \"%s\"", ac_status_name(st), err.text);
    assert_null(d.sample);
}

static void no_target_is_refused(void **state)
{
    (void)state;
    const ac_data_opts o = { AC_MASK_ALL_TURNS, 2048, AC_LONG_REFUSE, true };
    const char *ok = "{\"messages\":[" TURN("user", "q", "") "," TURN("assistant", "a", "") "]}\n";
    char rows[512];
    (void)snprintf(rows, sizeof rows, "%s\n{\"messages\":[" TURN("user", "q", "") "]}\n", ok);
    refused(rows, &o, AC_EFORMAT, "d.jsonl:3: row has no supervised token (it has no assistant turn)");
    (void)snprintf(rows, sizeof rows, "%s{\"messages\":[" TURN("user", "q", "") "," TURN("assistant", "a", ",\"train\":false")
                   "]}\n", ok);
    refused(rows, &o, AC_EFORMAT, "d.jsonl:2: row has no supervised token");
    (void)snprintf(rows, sizeof rows, "%s" "%s", ok, "{\"messages\":[" TURN("assistant", "a", "") "]}\n");
    const ac_data_opts two = { AC_MASK_ALL_TURNS, 1, AC_LONG_REFUSE, true };
    refused(ok, &two, AC_EARG, "max_len is 1");
}

static void long_rows(void **state)
{
    (void)state;
    const char *rows = "{\"prompt\":\"q\",\"completion\":\"a\"}\n"
                       "{\"prompt\":\"q\",\"completion\":\"a much longer answer than that, surely more than forty tokens\"}\n"
                       "{\"prompt\":\"a much longer question than that, surely more than forty tokens\",\"completion\":\"b\"}\n";
    ac_dataset d = { 0 };
    ac_err err = { 0 };
    ac_data_opts o = { AC_MASK_ALL_TURNS, 40, AC_LONG_REFUSE, true };
    refused(rows, &o, AC_EFORMAT, "d.jsonl:2: row has ");
    refused(rows, &o, AC_EFORMAT, "max_len is 40 (2 such rows in the file)");
    o.on_long = AC_LONG_DROP;
    if (build(&d, rows, &o, &err)) fail_msg("%s", err.text);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.n_dropped, 2);
    assert_int_equal(d.sample[0].line, 1);
    ac_dataset_release(&d);
    o.on_long = AC_LONG_TRUNCATE;                     /* row 3 loses all it would learn: refused, not hidden */
    refused(rows, &o, AC_EFORMAT, "d.jsonl:3: row has no supervised token after cutting");
    char first_two[400];
    (void)snprintf(first_two, sizeof first_two, "%.*s", (int)(strstr(rows, "{\"prompt\":\"a much") - rows), rows);
    if (build(&d, first_two, &o, &err)) fail_msg("%s", err.text);
    assert_int_equal(d.n, 2);
    assert_int_equal(d.n_truncated, 1);
    assert_int_equal(d.sample[1].n, 40);
    assert_int_equal(d.max_len, 40);
    ac_dataset_release(&d);
    o = (ac_data_opts){ AC_MASK_ALL_TURNS, 5, AC_LONG_DROP, true };
    refused(rows, &o, AC_EFORMAT, "all 3 rows are longer");
}

static void chat_is_needed_for_turns_only(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    ac_dataset d = { 0 };
    ac_err err = { 0 };
    const ac_data_opts o = { AC_MASK_ALL_TURNS, 64, AC_LONG_REFUSE, true };
    assert_int_equal(ac_rows_read(&f, df_text("x.jsonl", "{\"prompt\":\"q\",\"completion\":\"a\"}\n"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_dataset_build(&d, &f, tok, NULL, &o, NULL, &err), AC_EARG);
    assert_non_null(strstr(err.text, "chat_format"));
    ac_rows_release(&f);
    assert_int_equal(ac_rows_read(&f, df_text("x.jsonl", "{\"text\":\"some\"}\n"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_dataset_build(&d, &f, tok, NULL, &o, NULL, NULL), AC_OK);
    ac_dataset_release(&d);
    ac_rows_release(&f);
}

typedef struct {
    int stages, ends;
    ac_status give;
} heard;

static ac_status hear(void *ctx, const ac_event *e, ac_err *err)
{
    heard *h = ctx;
    h->stages += e->kind == AC_EV_STAGE;
    h->ends += e->kind == AC_EV_STAGE_END;
    return h->give ? ac_fail(err, h->give, "stop") : AC_OK;
}

static void events_can_stop_it(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    ac_dataset d = { 0 };
    heard h = { 0 };
    const ac_sink sink = { hear, &h };
    const ac_data_opts o = { AC_MASK_ALL_TURNS, 64, AC_LONG_REFUSE, true };
    assert_int_equal(ac_rows_read(&f, df_text("x.jsonl", "{\"text\":\"some\"}\n"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_dataset_build(&d, &f, tok, NULL, &o, &sink, NULL), AC_OK);
    ac_dataset_release(&d);
    assert_int_equal(h.stages == 1 && h.ends == 1, 1);
    h.give = AC_ECANCEL;
    assert_int_equal(ac_dataset_build(&d, &f, tok, NULL, &o, &sink, NULL), AC_ECANCEL);
    ac_rows_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks), cmocka_unit_test(marks), cmocka_unit_test(texts), cmocka_unit_test(no_target_is_refused),
        cmocka_unit_test(long_rows), cmocka_unit_test(chat_is_needed_for_turns_only), cmocka_unit_test(events_can_stop_it),
    };
    ac_err err = { 0 };
    if (df_open()) return 1;
    tf_write_byte_level(df_dir, NULL);
    if (ac_tokenizer_open(&tok, df_dir, &err) || ac_chat_open(&chat, tok, "chatml", &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ac_chat_close(&chat);
    ac_tokenizer_close(&tok);
    if (ac_live_bytes() != 0) {
        (void)fprintf(stderr, "%lld bytes leaked\n", (long long)ac_live_bytes());
        rc = 1;
    }
    df_close();
    return rc;
}
