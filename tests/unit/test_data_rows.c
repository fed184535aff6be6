/* Reading rows: five formats, and every way in which a file can be bad (robustness.md, 50 to 60). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "data_fixture.h"

/* ---- good rows ---- */

/* "role:content" of all turns, "!" for not to be learnt, "+" for to be learnt, "[calls]". */
static void shows(const char *text, ac_row_format format, const char *const *want, size_t n)
{
    ac_err err = { 0 };
    ac_row_file f = { 0 };
    if (ac_rows_read(&f, df_text("good.jsonl", text), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
    assert_int_equal(f.format, format);
    assert_int_equal(f.n, n);
    for (size_t i = 0; i < n; i++) {
        ac_str s = { 0 };
        for (size_t k = 0; k < f.row[i].n_messages; k++) {
            const ac_message *m = &f.row[i].message[k];
            ac_str_appendf(&s, "%s%s%s:" AC_VIEW_FMT, k ? "|" : "", ac_role_name(m->role),
                           m->train < 0 ? "" : m->train ? "+" : "!", AC_VIEW_ARG(m->content));
            if (m->tool_calls.len) ac_str_appendf(&s, AC_VIEW_FMT, AC_VIEW_ARG(m->tool_calls));
        }
        assert_string_equal(ac_str_c(&s), want[i]);
        ac_str_release(&s);
    }
    ac_rows_release(&f);
    assert_int_equal(ac_live_bytes(), 0);
}

#define SHOWS(text, format, ...)                                                                              \
    do {                                                                                                      \
        static const char *const want_[] = { __VA_ARGS__ };                                                   \
        shows(text, format, want_, sizeof want_ / sizeof want_[0]);                                           \
    } while (0)

static void messages(void **state)
{
    (void)state;
    SHOWS("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"caf\\u00e9\"},"
          "{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0},{\"role\":\"user\",\"content\":\"b\"},"
          "{\"role\":\"assistant\",\"content\":\"c\",\"weight\":1}]}\n",
          AC_FORMAT_MESSAGES, "system:s|user:caf\xc3\xa9|assistant!:a|user:b|assistant+:c");
    SHOWS("{\"id\":7,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"text\",\"text\":\"b\"}],\"train\":false},{\"role\":\"assistant\",\"content\":\"x\",\"train\":true}]}",
          AC_FORMAT_MESSAGES, "user!:ab|assistant+:x");
    SHOWS("{\"messages\":[{\"role\":\"user\",\"content\":\"w?\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":"
          "[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
          "{\"role\":\"tool\",\"content\":\"9\"},{\"role\":\"assistant\",\"content\":\"nine\"}],"
          "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
          AC_FORMAT_MESSAGES,
          "system:# Tools\n[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]|user:w?|assistant:[{\"id\":\"1\",\"type\":"
          "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]|tool:9|assistant:nine");
    SHOWS("{\"messages\":[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"q\"},"
          "{\"role\":\"assistant\",\"content\":\"a\"}],\"tools\":[{\"name\":\"g\"}]}",
          AC_FORMAT_MESSAGES, "system:be\n\n# Tools\n[{\"name\":\"g\"}]|user:q|assistant:a");
}

static void other_formats(void **state)
{
    (void)state;
    SHOWS("{\"prompt\":\"p\",\"completion\":\"c\"}\r\n\r\n  \n{\"prompt\":\"q\",\"completion\":\"d\"}",
          AC_FORMAT_PROMPT_COMPLETION, "user:p|assistant:c", "user:q|assistant:d");
    SHOWS("{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"user\","
          "\"content\":\"q\"}],\"completion\":[{\"role\":\"assistant\",\"content\":\"c\"}]}",
          AC_FORMAT_PROMPT_COMPLETION, "user!:p|assistant!:x|user!:q|assistant:c");
    SHOWS("{\"text\":\"one\"}\n{\"text\":\"two \\u4e2d\"}\n", AC_FORMAT_TEXT, "assistant:one", "assistant:two \xe4\xb8\xad");
    SHOWS("{\"instruction\":\"do\",\"input\":\"\",\"output\":\"o\"}\n{\"instruction\":\"do\",\"input\":\"in\",\"output\":\"p\","
          "\"system\":\"s\",\"history\":[[\"a\",\"b\"]]}\n",
          AC_FORMAT_ALPACA, "user:do|assistant:o", "system:s|user:a|assistant:b|user:do\nin|assistant:p");
    SHOWS("{\"conversations\":[{\"from\":\"human\",\"value\":\"h\"},{\"from\":\"function_call\",\"value\":\"{}\"},"
          "{\"from\":\"observation\",\"value\":\"o\"},{\"from\":\"gpt\",\"value\":\"g\"}],\"system\":\"s\",\"tools\":\"[]\"}",
          AC_FORMAT_SHAREGPT, "system:s\n\n# Tools\n[]|user:h|assistant:{}|tool:o|assistant:g");
    SHOWS("[\n {\"text\":\"a\"},\n {\"text\":\"b\"}\n]\n", AC_FORMAT_TEXT, "assistant:a", "assistant:b");
}

/* R1: all rows decide. mlx-lm looks at row 0 only. */
static void format_is_decided_by_all_rows(void **state)
{
    (void)state;
    SHOWS("{\"text\":\"r\",\"prompt\":\"p\",\"completion\":\"c\"}\n{\"text\":\"only\"}\n", AC_FORMAT_TEXT, "assistant:r",
          "assistant:only");
    SHOWS("{\"text\":\"r\",\"prompt\":\"p\",\"completion\":\"c\"}\n{\"prompt\":\"q\",\"completion\":\"d\",\"text\":\"z\"}\n",
          AC_FORMAT_PROMPT_COMPLETION, "user:p|assistant:c", "user:q|assistant:d");
    SHOWS("{\"prompt\":\"p\",\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}]}",
          AC_FORMAT_MESSAGES, "user:u|assistant:a");
}

static void lines_and_hash_are_the_files(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    const char *text = "\n{\"text\":\"a\"}\n\n\n{\"text\":\"b\"}";
    assert_int_equal(ac_rows_read(&f, df_text("l.jsonl", text), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(f.row[0].line, 2);
    assert_int_equal(f.row[1].line, 5);
    const ac_sha256 h = ac_sha256_of(text, strlen(text));
    assert_memory_equal(&h, &f.hash, sizeof h);
    ac_rows_release(&f);
    assert_int_equal(ac_rows_read(&f, df_text("l.json", "[\n\n{\"text\":\"a\"},{\"text\":\"b\"},\n{\"text\":\"c\"}]"),
                                  AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(f.row[0].line, 3);
    assert_int_equal(f.row[1].line, 3);
    assert_int_equal(f.row[2].line, 4);
    ac_rows_release(&f);
}

/* ---- bad rows ---- */

static void refused(const char *text, size_t len, const char *place, const char *says)
{
    ac_err err = { 0 };
    ac_row_file f = { 0 };
    const char *path = df_write("bad.jsonl", text, len);
    const ac_status st = ac_rows_read(&f, path, AC_FORMAT_AUTO, &err);
    if (st != AC_EFORMAT) fail_msg("%s for: %.80s", ac_status_name(st), text);
    char where[300];
    (void)snprintf(where, sizeof where, "%s%s", path, place);
    if (strncmp(err.text, where, strlen(where)) != 0 || !strstr(err.text, says))
        fail_msg("wanted \"%s ... %s\", found \"%s\"", place, says, err.text);
    assert_int_equal(ac_live_bytes(), 0);
}

#define BAD(text, place, says) refused(text, sizeof(text) - 1, place, says)
#define M(inside) "{\"messages\":[" inside "]}"
#define OK_ROW M("{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}") "\n"

static void bytes_that_are_no_rows(void **state)
{
    (void)state;
    BAD("", ":1:1: ", "has no rows");
    BAD(" \n\r\n\t\n", ":1:1: ", "has no rows");
    BAD("[]", ":1:1: ", "has no rows");
    BAD("\xef\xbb\xbf{\"text\":\"a\"}\n", ":1:1: ", "byte order mark");
    BAD("\xff\xfe{\0", ":1:1: ", "UTF-16");
    BAD("\x1f\x8b\x08", ":1:1: ", "gzip");
    BAD("PK\x03\x04", ":1:1: ", "zip");
    BAD("PAR1xx", ":1:1: ", "Parquet");
    BAD("{\"text\":\"a\"}\r{\"text\":\"b\"}\r", ":1:1", "");         /* CR alone ends no line: two values in one */
    BAD("{\"text\":\"a\"}\n{\"text\":\"b", ":2:", "cut off");
    BAD("{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n", ":2:", "UTF-8");
    BAD("{\"text\":\"\\ud800\"}\n", ":1:", "surrogate");
    BAD("{\"text\":\"a\\u0000b\"}\n", ":1:9: ", "NUL");
    BAD("{\"text\":\"a\0b\"}\n", ":1:", "");
    BAD("{\"text\":\"a\",\"text\":\"b\"}\n", ":1:", "text");           /* duplicate key */
    BAD("{\"text\":\"a\",\"x\":1e9999}\n", ":1:", "");
    BAD("{\"text\":\"a\",\"x\":NaN}\n", ":1:", "");
    BAD("\"just text\"\n", ":1:1: ", "must be an object, found a string");
    BAD("{\"text\":\"a\"} {\"text\":\"b\"}\n", ":1:", "");
    BAD("{\n \"text\": \"a\"\n}\n", ":1:", "one JSON object a line");
}

static void rows_of_no_known_format(void **state)
{
    (void)state;
    BAD("{\"question\":\"q\",\"answer\":\"a\"}\n", ":1:1: ", "found the keys \"question\", \"answer\"");
    BAD("{\"prompt\":\"p\"}\n", ":1:1: ", "found the keys \"prompt\"");
    BAD("{}\n", ":1:1: ", "(none)");
    BAD("{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n", ":1:1: ", "preference");
    BAD("{\"prompt\":\"p\",\"completion\":\"b\",\"label\":true}\n", ":1:1: ", "KTO");
    BAD("{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"prompt\":\"p\",\"completion\":\"c\"}\n", ":3:1: ", "2 of 3 rows are text");
    BAD("{\"text\":\"a\"}\n{\"tex\":\"b\"}\n{\"tex\":\"c\"}\n", ":2:1: ", "(1 more bad row, the next in line 3)");
    BAD("{\"text\":\"a\"}\nx\n{\"tex\":\"c\"}\ny\n", ":2:1: ", "(2 more bad rows, the next in line 3)");
}

static void turns_that_are_wrong(void **state)
{
    (void)state;
    BAD(OK_ROW "{\"messages\":{}}\n", ":2:13: ", "must be a list");
    BAD("{\"messages\":[]}\n", ":1:13: ", "empty list");
    BAD(M("7") "\n", ":1:14: ", "must be an object, found a number");
    BAD(M("{\"content\":\"a\"}") "\n", ":1:14: ", "\"role\" is missing");
    BAD(M("{\"role\":\"bot\",\"content\":\"a\"}") "\n", ":1:22: ", "\"bot\"; expected system, user, assistant or tool");
    BAD(M("{\"role\":3,\"content\":\"a\"}") "\n", ":1:22: ", "\"role\" must be a string, found a number");
    BAD(M("{\"role\":\"user\"}") "\n", ":1:14: ", "\"content\" is missing");
    BAD(M("{\"role\":\"user\",\"content\":null}") "\n", ":1:39: ", "null");
    BAD(M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}") "\n", ":1:40: ", "image_url");
    BAD(M("{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]}") "\n", ":1:", "only assistant turns call tools");
    BAD(M("{\"role\":\"user\",\"content\":\"a\",\"train\":true}") "\n", ":1:14: ", "only assistant turns");
    BAD(M("{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0.5}") "\n", ":1:", "0 or 1");
    BAD(M("{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0,\"train\":true}") "\n", ":1:", "disagree");
    BAD(M("{\"role\":\"assistant\",\"content\":\"a\",\"train_detail\":[]}") "\n", ":1:", "would be ignored");
    BAD("{\"prompt\":\"p\",\"completion\":[]}\n", ":1:", "two strings or two message lists");
    BAD("{\"prompt\":\"p\",\"completion\":5}\n", ":1:28: ", "must be a string, found a number");
    BAD("{\"instruction\":\"a\",\"output\":null}\n", ":1:", "\"output\" must be a string, found null");
    BAD("{\"instruction\":\"a\",\"output\":\"b\",\"history\":[[\"x\"]]}\n", ":1:", "pairs");
    BAD("{\"conversations\":[{\"from\":\"alien\",\"value\":\"x\"}]}\n", ":1:", "\"alien\"; expected human");
    BAD("{\"conversations\":[{\"from\":\"human\"}]}\n", ":1:19: ", "\"value\" is missing");
    BAD("[{\"text\":\"a\"},\n\n {\"text\":5}]", ":3:10: ", "must be a string");
}

static void files_that_are_wrong(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_row_file f = { 0 };
    assert_int_equal(ac_rows_read(&f, df_path("absent.jsonl"), AC_FORMAT_AUTO, &err), AC_ENOENT);
    err = (ac_err){ 0 };
    assert_int_equal(ac_rows_read(&f, df_dir, AC_FORMAT_AUTO, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "a folder"));
    assert_int_equal(mkfifo(df_path("fifo"), 0600), 0);
    assert_int_equal(ac_rows_read(&f, df_path("fifo"), AC_FORMAT_AUTO, NULL), AC_EFORMAT);
    assert_int_equal(ac_rows_read(&f, "/dev/zero", AC_FORMAT_AUTO, NULL), AC_EFORMAT);
}

static void huge_lines_and_deep_ones(void **state)
{
    (void)state;
    const size_t n = (17u << 20) + 64;
    char *big = malloc(n);
    memset(big, 'a', n);
    memcpy(big, "{\"text\":\"b\"}\n{\"text\":\"", 22);
    memcpy(big + n - 3, "\"}\n", 3);
    refused(big, n, ":2:1: ", "at most 16777216 are read");
    memset(big, '[', 100000);
    memcpy(big, "{\"text\":", 8);
    refused(big, 100000, ":1:", "64");
    free(big);
}

static void asked_format_wins(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    ac_err err = { 0 };
    const char *path = df_text("f.jsonl", "{\"instruction\":\"i\",\"output\":\"o\",\"chosen\":\"o\",\"rejected\":\"r\"}\n");
    assert_int_equal(ac_rows_read(&f, path, AC_FORMAT_ALPACA, &err), AC_OK);
    assert_int_equal(f.format, AC_FORMAT_ALPACA);
    ac_rows_release(&f);
    assert_int_equal(ac_rows_read(&f, path, AC_FORMAT_MESSAGES, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "\"messages\" is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages), cmocka_unit_test(other_formats), cmocka_unit_test(format_is_decided_by_all_rows),
        cmocka_unit_test(lines_and_hash_are_the_files), cmocka_unit_test(bytes_that_are_no_rows),
        cmocka_unit_test(rows_of_no_known_format), cmocka_unit_test(turns_that_are_wrong),
        cmocka_unit_test(files_that_are_wrong), cmocka_unit_test(huge_lines_and_deep_ones),
        cmocka_unit_test(asked_format_wins),
    };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
