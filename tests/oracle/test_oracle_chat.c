/* Our rendering against Jinja's of the models' own templates (gen_chat.py). The templates lie outside the
 * project; without them the two that the generator carries itself are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tokenizer/chat.h"
#include "tokenizer_fixture.h"

#define MAX_MESSAGES 8

static ac_arena arena;
static const ac_json *oracle;
static char *dir;
static size_t n_compared, n_templates, n_absent;

static const char *shared_dir(void)
{
    const char *env = getenv("ACCORD_SHARED_DATA");
    return env && *env ? env : ACCORD_SOURCE_DIR "/../shared/data";
}

static ac_view text_of(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_STRING ? v->text : (ac_view){ NULL, 0 };
}

static const ac_json *nth(const ac_json *array, size_t i)
{
    const ac_json *v = array->child;
    while (v && i-- > 0) v = v->next;
    return v;
}

static size_t read_messages(ac_message *m, const ac_json *conversation)
{
    size_t n = 0;
    for (const ac_json *c = conversation->child; c; c = c->next, n++) {
        assert_true(n < MAX_MESSAGES);
        m[n] = (ac_message){ .content = text_of(c, "content"), .train = -1 };
        assert_true(ac_role_parse(text_of(c, "role"), &m[n].role));
        const ac_json *calls = ac_json_get(c, "tool_calls");
        if (calls) {
            ac_str s = { 0 };
            ac_json_write(&s, calls);
            m[n].tool_calls.ptr = ac_arena_strndup(&arena, s.ptr, s.len);
            m[n].tool_calls.len = s.len;
            ac_str_release(&s);
        }
    }
    return n;
}

/* The template as the tokenizer's own; empty when it is not on this machine. */
static bool write_template(const ac_json *entry)
{
    char path[1024];
    ac_str s = { 0 };
    ac_err err = { 0 };
    ac_view text = text_of(entry, "text");
    if (!text.ptr) {
        snprintf(path, sizeof path, "%s/chat-templates/%.*s", shared_dir(),
                 AC_VIEW_ARG(text_of(entry, "template")));
        if (!ac_path_exists(path)) return false;
        assert_int_equal(ac_file_read(&s, path, 1 << 20, &err), AC_OK);
        text = ac_str_view(&s);
    }
    tf_write(dir, "chat_template.jinja", text);
    ac_str_release(&s);
    return true;
}

static void check_said(const ac_tokenizer *t, const ac_rendered *r, const ac_message *m, size_t n,
                       int32_t end_id)
{
    for (size_t i = 0; i < r->ids.n; i++) {
        if (!r->said[i]) continue;
        assert_true(r->message[i] >= 0 && (size_t)r->message[i] < n);
        assert_int_equal(m[r->message[i]].role, AC_ROLE_ASSISTANT);
        /* What an assistant said ends with the end-of-turn token, and goes on until there. */
        const bool last = i + 1 == r->ids.n || !r->said[i + 1];
        assert_int_equal(r->ids.id[i] == end_id, last);
    }
    size_t ends = 0, answers = 0;
    for (size_t i = 0; i < n; i++) answers += m[i].role == AC_ROLE_ASSISTANT;
    for (size_t i = 0; i < r->ids.n; i++) ends += r->said[i] && r->ids.id[i] == end_id;
    assert_int_equal(ends, answers);
    (void)t;
}

static void compare_case(const ac_tokenizer *t, const ac_chat *chat, const ac_json *entry, const ac_json *one)
{
    ac_message m[MAX_MESSAGES];
    ac_rendered r = { 0 };
    ac_str got = { 0 };
    ac_err err = { 0 };
    int64_t conversation = 0, generation = 0, text = 0;
    assert_true(ac_json_as_i64(nth(one, 0), &conversation) && ac_json_as_i64(nth(one, 1), &generation) &&
                ac_json_as_i64(nth(one, 2), &text));
    const size_t n = read_messages(m, nth(ac_json_get(oracle, "conversations"), (size_t)conversation));
    const ac_view want = nth(ac_json_get(oracle, "texts"), (size_t)text)->text;
    if (ac_chat_render(chat, m, n, generation != 0, &r, &err))
        fail_msg("%.*s, conversation %d: %s", AC_VIEW_ARG(text_of(entry, "template")), (int)conversation, err.text);
    assert_int_equal(ac_tokenizer_decode(t, r.ids.id, r.ids.n, AC_DECODE_SPECIAL, &got, &err), AC_OK);
    if (!ac_view_eq(ac_str_view(&got), want))
        fail_msg("%.*s, conversation %d:\n--- got\n%s\n--- want\n%.*s", AC_VIEW_ARG(text_of(entry, "template")),
                 (int)conversation, ac_str_c(&got), AC_VIEW_ARG(want));
    size_t n_stops;
    check_said(t, &r, m, n, ac_chat_stop_ids(chat, &n_stops)[0]);
    n_compared++;
    ac_rendered_release(&r);
    ac_str_release(&got);
}

static void compare_template(const ac_json *entry)
{
    ac_tokenizer *t = NULL;
    ac_chat *chat = NULL;
    ac_err err = { 0 };
    if (!write_template(entry)) {
        n_absent++;
        return;
    }
    n_templates++;
    assert_int_equal(ac_tokenizer_open(&t, dir, &err), AC_OK);
    if (ac_chat_open(&chat, t, NULL, &err))
        fail_msg("%.*s: %s", AC_VIEW_ARG(text_of(entry, "template")), err.text);
    assert_true(ac_view_eq_str(text_of(entry, "format"), ac_chat_format_name(ac_chat_format_of(chat))));
    for (const ac_json *c = ac_json_get(entry, "cases")->child; c; c = c->next) compare_case(t, chat, entry, c);
    ac_chat_close(&chat);
    ac_tokenizer_close(&t);
}

static void renders_as_jinja_does(void **state)
{
    (void)state;
    ac_err err = { 0 };
    dir = tf_make_dir();
    tf_write_byte_level(dir, NULL);
    if (ac_json_parse_file(&oracle, ACCORD_SOURCE_DIR "/tests/oracle/chat.json", &arena, NULL, &err))
        fail_msg("%s", err.text);
    for (const ac_json *e = ac_json_get(oracle, "templates")->child; e; e = e->next) compare_template(e);
    print_message("%zu templates, %zu conversations; %zu templates not run: no ../shared/data\n", n_templates,
                  n_compared, n_absent);
    assert_true(n_templates >= 2 && n_compared >= 20);
    tf_remove_dir(dir);
    ac_arena_release(&arena);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(renders_as_jinja_does) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
