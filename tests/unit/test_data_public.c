/* The public sets that lie beside the project: what is known about them is what we find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/survey.h"
#include "data_fixture.h"
#include "formats/json.h"
#include "fresh_questions.h"

static const char *shared;

static const char *in(const char *name)
{
    static char path[2][512];
    static int turn;
    char *p = path[turn++ & 1];
    (void)snprintf(p, sizeof path[0], "%s/%s", shared, name);
    return p;
}

/* Which files are rows of which format, and which are not rows that can be learnt. */
static void formats(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        ac_row_format format;       /* AUTO: refused */
        size_t n;
        const char *says;
    } known[] = {
        { "mlx-wikisql/train.jsonl", AC_FORMAT_TEXT, 1000, "" },
        { "mlx-wikisql/valid.jsonl", AC_FORMAT_TEXT, 100, "" },
        { "mlx-wwdc25/train.jsonl", AC_FORMAT_PROMPT_COMPLETION, 1800, "" },
        { "mlx-wwdc25/valid.jsonl", AC_FORMAT_PROMPT_COMPLETION, 144, "" },
        { "instruct-1100/instruction-data.json", AC_FORMAT_ALPACA, 1100, "" },
        { "instruct-1100/instruction-data-with-preference.json", AC_FORMAT_AUTO, 0, "preference" },
        { "gsm8k/train.jsonl", AC_FORMAT_AUTO, 0, "found the keys \"question\", \"answer\"" },
        { "fastchat-sharegpt/dummy_conversation.json", AC_FORMAT_SHAREGPT, 500, "" },
        { "llamafactory-demo/alpaca_en_demo.json", AC_FORMAT_ALPACA, 999, "" },
        { "llamafactory-demo/c4_demo.jsonl", AC_FORMAT_TEXT, 300, "" },
        { "llamafactory-demo/dpo_en_demo.json", AC_FORMAT_AUTO, 0, "preference" },
        { "llamafactory-demo/glaive_toolcall_en_demo.json", AC_FORMAT_SHAREGPT, 300, "" },
        { "llamafactory-demo/identity.json", AC_FORMAT_ALPACA, 91, "" },
        { "llamafactory-demo/kto_en_demo.json", AC_FORMAT_AUTO, 0, "KTO" },
        { "llamafactory-demo/reason_tool_use_demo_50.jsonl", AC_FORMAT_AUTO, 0, "content part of type reasoning" },
        { "llamafactory-demo/v1_dpo_demo.jsonl", AC_FORMAT_AUTO, 0, "chosen_messages" },
        { "llamafactory-demo/v1_sft_demo.jsonl", AC_FORMAT_MESSAGES, 500, "" },
        { "axolotl-fixtures/alpaca.json", AC_FORMAT_ALPACA, 2, "" },
        { "axolotl-fixtures/conversation.json", AC_FORMAT_AUTO, 0, "one JSON object a line" },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_row_file f = { 0 };
        ac_err err = { 0 };
        const ac_status st = ac_rows_read(&f, in(known[i].file), AC_FORMAT_AUTO, &err);
        const bool rows = known[i].format != AC_FORMAT_AUTO;
        if (st != (rows ? AC_OK : AC_EFORMAT)) fail_msg("%s: %s", known[i].file, err.text);
        if (!strstr(err.text, known[i].says)) fail_msg("%s: \"%s\"", known[i].file, err.text);
        if (rows && (f.format != known[i].format || f.n != known[i].n))
            fail_msg("%s: %zu rows of %s", known[i].file, f.n, ac_row_format_name(f.format));
        ac_rows_release(&f);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

/* Copies beyond the first of each row. */
static size_t copies(const char *file)
{
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    double n = 0;
    assert_int_equal(ac_rows_read(&f, in(file), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_check(&g, &f, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++)
        if (strcmp(g.finding[i].kind, "duplicate") == 0) n += g.finding[i].score;
    ac_findings_release(&g);
    ac_rows_release(&f);
    return (size_t)n;
}

static void duplicates(void **state)
{
    (void)state;
    assert_int_equal(copies("mlx-wikisql/train.jsonl"), 1);
    assert_int_equal(copies("mlx-wwdc25/train.jsonl"), 1800 - 1363);
    assert_int_equal(copies("instruct-1100/instruction-data.json"), 0);
}

/* 1,100 rows hold 25 repeated inputs byte for byte, and 6 more whose words are the same: all answered otherwise. */
static void repeated_inputs(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    size_t others = 0;
    assert_int_equal(ac_rows_read(&f, in("instruct-1100/instruction-data.json"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_check(&g, &f, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++)
        if (strcmp(g.finding[i].kind, "conflict") == 0) others += (size_t)g.finding[i].score;
    assert_int_equal(others, 31);
    ac_findings_release(&g);
    ac_rows_release(&f);
}

static void validation_in_training(void **state)
{
    (void)state;
    ac_row_file t = { 0 }, v = { 0 };
    ac_findings g = { 0 };
    assert_int_equal(ac_rows_read(&t, in("mlx-wwdc25/train.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_read(&v, in("mlx-wwdc25/valid.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_overlap(&g, &t, &v, NULL), AC_OK);
    assert_int_equal(g.n, 2);
    /* Byte for byte: 16 rows with 11 distinct pairs. By words all 144 questions stand in train, 50 with their
     * answer: the set repeats its questions in other letters. */
    assert_int_equal(g.finding[0].score, 50);
    assert_int_equal(g.finding[1].score, 94);
    if (!strstr(g.finding[0].text, "(16 byte for byte)")) fail_msg("%s", g.finding[0].text);
    ac_findings_release(&g);
    ac_rows_release(&t);
    ac_rows_release(&v);
    assert_int_equal(ac_rows_read(&t, in("mlx-wikisql/train.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_read(&v, in("mlx-wikisql/valid.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_overlap(&g, &t, &v, NULL), AC_OK);
    assert_int_equal(g.n, 0);
    ac_findings_release(&g);
    ac_rows_release(&t);
    ac_rows_release(&v);
}

static ac_survey survey(const char *const *file, const ac_split *split, size_t n)
{
    static char path[4][512];
    ac_survey_input inputs[4];
    const ac_survey_opts o = { .near = true };
    ac_survey s = { .n_files = 0 };
    ac_err err = { "" };
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/%s", shared, file[i]);
        inputs[i] = (ac_survey_input){ path[i], split ? split[i] : AC_SPLIT_NONE };
    }
    if (ac_survey_run(&s, inputs, n, &o, &err)) fail_msg("%s", err.text);
    return s;
}

static size_t count(const ac_survey *s, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_counts; i++)
        if (strcmp(s->count[i].kind, kind) == 0) n += s->count[i].n;
    return n;
}

/* What is known to be wrong with these sets is found with its counts, and nothing else is said of them. */
static void known_defects(void **state)
{
    (void)state;
    static const ac_split sides[] = { AC_SPLIT_TRAIN, AC_SPLIT_VALID };
    ac_survey s = survey((const char *[]){ "mlx-wwdc25/train.jsonl", "mlx-wwdc25/valid.jsonl" }, sides, 2);
    assert_int_equal(s.file[0].n_rows, 1800);
    assert_int_equal(s.file[0].n_rows - s.file[0].n_copies, 1363);
    assert_int_equal(s.overlap[0].prompts_distinct, 16);
    assert_int_equal(s.overlap[0].pairs_distinct, 11);
    assert_int_equal(s.overlap[0].prompts_bytes, 48);
    assert_int_equal(s.overlap[0].pairs_bytes, 16);
    assert_int_equal(s.overlap[0].pairs_words, 50);
    assert_int_equal(s.overlap[0].prompts_words, 144);
    assert_int_equal(s.by[AC_FIND_FAIL], 1);
    assert_int_equal(count(&s, "train-valid"), 1);
    assert_int_equal(s.by[AC_FIND_WARN], count(&s, "duplicate") + count(&s, "conflict") + count(&s, "near-duplicate")
                     + count(&s, "train-valid-prompt"));
    ac_survey_release(&s);

    s = survey((const char *[]){ "mlx-wikisql/train.jsonl", "mlx-wikisql/valid.jsonl" }, sides, 2);
    assert_int_equal(s.file[0].n_copies, 1);
    assert_int_equal(s.file[1].n_copies, 0);
    assert_int_equal(count(&s, "near-duplicate"), 1);          /* two rows that differ in the case of a letter */
    assert_int_equal(s.by[AC_FIND_WARN], 2);
    assert_int_equal(s.by[AC_FIND_FAIL], 0);
    assert_int_equal(s.overlap[0].prompts_words + s.overlap[0].pairs_words + s.overlap[0].near, 0);
    ac_survey_release(&s);

    s = survey((const char *[]){ "instruct-1100/instruction-data.json" }, NULL, 1);
    assert_int_equal(s.file[0].n_copies, 0);
    assert_int_equal(s.file[0].n_asked_again_bytes, 25);
    assert_int_equal(s.file[0].n_asked_again, 31);
    assert_int_equal(s.by[AC_FIND_WARN], count(&s, "conflict") + count(&s, "near-duplicate"));
    assert_int_equal(s.by[AC_FIND_FAIL], 0);
    ac_survey_release(&s);

    s = survey((const char *[]){ "instruct-1100/instruction-data-with-preference.json" }, NULL, 1);
    assert_int_equal(s.file[0].format, AC_FORMAT_PREFERENCE);
    assert_int_equal(s.file[0].n_same_pair, 6);
    assert_int_equal(s.file[0].n_asked_again_bytes, 25);
    assert_int_equal(s.by[AC_FIND_FAIL], 6);
    assert_int_equal(s.by[AC_FIND_WARN], count(&s, "conflict"));
    ac_survey_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

/* The formats of other trainers, read as what they are. */
static void others(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        ac_row_format format;
        size_t n;
    } known[] = {
        { "llamafactory-demo/dpo_en_demo.json", AC_FORMAT_PREFERENCE, 300 },
        { "llamafactory-demo/kto_en_demo.json", AC_FORMAT_KTO, 300 },
        { "llamafactory-demo/glaive_toolcall_en_demo.json", AC_FORMAT_SHAREGPT, 300 },
        { "llamafactory-demo/v1_sft_demo.jsonl", AC_FORMAT_MESSAGES, 500 },
        { "fastchat-sharegpt/dummy_conversation.json", AC_FORMAT_SHAREGPT, 500 },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_survey s = survey(&known[i].file, NULL, 1);
        assert_int_equal(s.file[0].format, known[i].format);
        assert_int_equal(s.file[0].n_rows, known[i].n);
        assert_int_equal(s.file[0].n_bad, 0);
        assert_int_equal(count(&s, "role-order"), 0);
        ac_survey_release(&s);
    }
}

/* Each of 100 training prompts, taken as a case, is found; none of the 100 wikisql questions is. */
static void planted_cases(void **state)
{
    (void)state;
    ac_row_file t = { 0 }, w = { 0 };
    ac_findings g = { 0 };
    ac_leak_text c[100];
    size_t exact = 0;
    assert_int_equal(ac_rows_read(&t, in("mlx-wwdc25/train.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_rows_read(&w, in("mlx-wikisql/valid.jsonl"), AC_FORMAT_AUTO, NULL), AC_OK);
    for (size_t i = 0; i < 100; i++) c[i] = (ac_leak_text){ .id = "x", .prompt = t.row[i * 18].message[0].content };
    assert_int_equal(ac_leak_check(&g, c, 100, &t, NULL, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++) exact += strcmp(g.finding[i].kind, "leak-exact") == 0;
    assert_int_equal(exact, 100);
    ac_findings_release(&g);
    for (size_t i = 0; i < 100; i++) c[i].prompt = w.row[i].message[0].content;
    assert_int_equal(ac_leak_check(&g, c, 100, &t, NULL, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++) assert_int_not_equal(strncmp(g.finding[i].kind, "leak", 4), 0);
    ac_findings_release(&g);
    ac_rows_release(&t);
    ac_rows_release(&w);
}

/* gsm8k's question and answer as prompt and completion. */
static const char *gsm8k_rows(void)
{
    ac_lines *l = NULL;
    ac_view line;
    size_t number = 0;
    ac_str out = { 0 };
    assert_int_equal(ac_lines_open(&l, in("gsm8k/train.jsonl"), 1 << 20, NULL), AC_OK);
    while (ac_lines_next(l, &line, &number, NULL) == AC_OK && line.ptr) {
        ac_arena a = { 0 };
        const ac_json *v = NULL;
        assert_int_equal(ac_json_parse(&v, line, &a, "gsm8k", number, NULL, NULL), AC_OK);
        ac_str_append_c(&out, "{\"prompt\":");
        ac_json_quote(&out, ac_json_get(v, "question")->text);
        ac_str_append_c(&out, ",\"completion\":");
        ac_json_quote(&out, ac_json_get(v, "answer")->text);
        ac_str_append_c(&out, "}\n");
        ac_arena_release(&a);
    }
    ac_lines_close(&l);
    const char *path = df_write("gsm8k.jsonl", ac_str_c(&out), out.len);
    ac_str_release(&out);
    return path;
}

/* Fifty fresh questions against 7,473 rows: nothing is blocked. Fifty of the rows' own: all are. */
static void word_problems(void **state)
{
    (void)state;
    enum { N = sizeof fresh_questions / sizeof fresh_questions[0] };
    ac_row_file t = { 0 };
    ac_findings g = { 0 };
    ac_leak_text c[N];
    size_t fails = 0;
    assert_int_equal(N, 50);
    if (df_open()) fail();
    assert_int_equal(ac_rows_read(&t, gsm8k_rows(), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(t.n, 7473);
    for (size_t i = 0; i < N; i++)
        c[i] = (ac_leak_text){ .id = "x", .prompt = ac_view_of(fresh_questions[i].question),
                               .answer = ac_view_of(fresh_questions[i].answer) };
    assert_int_equal(ac_leak_check(&g, c, N, &t, NULL, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++)
        if (g.finding[i].severity != AC_FIND_NOTE) fail_msg("%s", g.finding[i].text);
    ac_findings_release(&g);
    for (size_t i = 0; i < N; i++)
        c[i] = (ac_leak_text){ .id = "x", .prompt = t.row[i * 149].message[0].content, .answer = t.row[i * 149].message[1].content };
    assert_int_equal(ac_leak_check(&g, c, N, &t, NULL, NULL), AC_OK);
    for (size_t i = 0; i < g.n; i++) fails += strcmp(g.finding[i].kind, "leak-exact") == 0;
    assert_int_equal(fails, N);
    ac_findings_release(&g);
    ac_rows_release(&t);
    df_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats), cmocka_unit_test(duplicates), cmocka_unit_test(repeated_inputs),
        cmocka_unit_test(validation_in_training), cmocka_unit_test(planted_cases), cmocka_unit_test(word_problems),
        cmocka_unit_test(known_defects), cmocka_unit_test(others),
    };
    if (!(shared = df_shared())) {
        (void)printf("not run: no ../shared/data\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
