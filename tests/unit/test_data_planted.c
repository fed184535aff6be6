/* Planted leaks, at random: every one is found, in rows and in documents; and fresh questions are not blocked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "data_fixture.h"

enum { CASES = 40, ROWS = 1500, DOCS = 12 };

static uint64_t seed = 20261123;

static uint32_t any(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

/* Words of a made-up language: two of 4,000 texts share a run of words by accident as rarely as real ones. */
static void word(ac_str *s)
{
    static const char *const parts[] = { "ka", "lo", "mi", "ren", "su", "tor", "ve", "ban", "dil", "fo", "gra", "hu", "jen",
                                         "pli", "qua", "sto" };
    const uint32_t n = 1 + any(3);
    for (uint32_t i = 0; i <= n; i++) ac_str_append_c(s, parts[any(16)]);
}

static void words(ac_str *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i) ac_str_append_char(s, ' ');
        word(s);
    }
}

static char *text(ac_arena *a, uint32_t n)
{
    ac_str s = { 0 };
    words(&s, n);
    char *p = ac_arena_strndup(a, ac_str_c(&s), s.len);
    ac_str_release(&s);
    return p;
}

/* The same words in other letters and between other marks. */
static void disguised(ac_str *s, const char *t, bool json)
{
    static const char *const marks[] = { " ", "  ", ", ", "; ", " - ", "... ", "! ", " (", "\\n" };
    for (; *t; t++) {
        if (*t == ' ') ac_str_append_c(s, marks[any(json ? 9 : 8)]);
        else ac_str_append_char(s, any(2) && *t >= 'a' && *t <= 'z' ? (char)(*t - 32) : *t);
    }
    ac_str_append_c(s, any(2) ? "?" : " !");
}

/* `n` words of t, from a random one on. */
static void some_words(ac_str *s, const char *t, uint32_t n)
{
    uint32_t have = 1, skip, at = 0;
    for (const char *p = t; *p; p++) have += *p == ' ';
    skip = any(have - n + 1);
    for (; *t && at < skip + n; t++) {
        if (*t == ' ') at++;
        if (at >= skip && at < skip + n && !(at == skip && *t == ' ')) ac_str_append_char(s, *t);
    }
}

typedef enum { NOTHING, EXACT, DISGUISED, EMBEDDED, IN_ANSWER, RUN, KINDS } plant;

static void row(ac_str *s, const char *prompt, size_t n_prompt, const char *answer)
{
    ac_str_append_c(s, "{\"prompt\":\"");
    ac_str_append(s, (ac_view){ prompt, n_prompt });
    ac_str_appendf(s, "\",\"completion\":\"%s\"}\n", answer);
}

static void plant_row(ac_str *s, plant kind, const ac_leak_text *c, const char *own)
{
    ac_str p = { 0 }, a = { 0 };
    ac_str_append_c(&a, any(2) ? c->answer.ptr : own);
    if (kind == EXACT) ac_str_append_c(&p, c->prompt.ptr);
    if (kind == DISGUISED) disguised(&p, c->prompt.ptr, true);
    if (kind == EMBEDDED || kind == RUN) {
        words(&p, 20 + any(40));
        ac_str_append_char(&p, ' ');
        if (kind == EMBEDDED) disguised(&p, c->prompt.ptr, true);
        else some_words(&p, c->prompt.ptr, 13);
        ac_str_append_char(&p, ' ');
        words(&p, 20 + any(40));
    }
    if (kind == IN_ANSWER) {
        words(&p, 6);
        ac_str_append_char(&a, ' ');
        ac_str_append_c(&a, c->prompt.ptr);
    }
    row(s, ac_str_c(&p), p.len, ac_str_c(&a));
    ac_str_release(&p);
    ac_str_release(&a);
}

static bool failed(const ac_findings *f, size_t number, size_t line)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->finding[i].severity == AC_FIND_FAIL && f->finding[i].line_a == number && (!line || f->finding[i].line_b == line))
            return true;
    return false;
}

static void make_cases(ac_arena *a, ac_leak_text *c)
{
    for (size_t i = 0; i < CASES; i++)
        c[i] = (ac_leak_text){ ac_arena_printf(a, "c%zu", i), ac_view_of(text(a, 13 + any(25))), { 0 },
                               ac_view_of(text(a, 3 + any(12))) };
}

static void round_of_rows(ac_arena *a, plant kind)
{
    static ac_leak_text c[CASES];
    size_t line_of[CASES] = { 0 }, hidden[CASES];
    ac_str s = { 0 };
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    make_cases(a, c);
    for (size_t i = 0; i < CASES; i++) hidden[i] = 1 + i * (ROWS / CASES) + any(ROWS / CASES);
    for (size_t line = 1; line <= ROWS; line++) {
        const size_t i = (line - 1) / (ROWS / CASES);
        const char *own = text(a, 3 + any(12));
        if (kind != NOTHING && i < CASES && hidden[i] == line && any(4)) {
            plant_row(&s, kind, &c[i], own);
            line_of[i] = line;
        } else {
            const char *p = text(a, 5 + any(60));
            row(&s, p, strlen(p), own);
        }
    }
    if (ac_rows_read(&f, df_write("p.jsonl", ac_str_c(&s), s.len), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
    if (ac_leak_check(&g, c, CASES, &f, NULL, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < CASES; i++)
        if (failed(&g, i + 1, line_of[i]) != (line_of[i] != 0))
            fail_msg("plant %d, case %zu: line %zu, %s\n%s", (int)kind, i, line_of[i], line_of[i] ? "not found" : "blocked",
                     c[i].prompt.ptr);
    ac_findings_release(&g);
    ac_rows_release(&f);
    ac_str_release(&s);
}

static void in_rows(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++)
        for (int kind = NOTHING; kind < KINDS; kind++) {
            ac_arena a = { 0 };
            round_of_rows(&a, (plant)kind);
            ac_arena_release(&a);
        }
}

/* A question hidden in a document, and where; its answer may stand there. */
static void in_documents(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        ac_arena a = { 0 };
        ac_str s[DOCS] = { { 0 } };
        ac_leak_document d[DOCS];
        ac_leak_text c[CASES];
        size_t line_of[CASES] = { 0 };
        ac_findings g = { 0 };
        make_cases(&a, c);
        for (size_t i = 0; i < DOCS; i++) {
            for (uint32_t k = 0; k < 60; k++) {
                const size_t who = any(CASES);
                const bool hide = !line_of[who] && !any(60);
                if (hide) {
                    words(&s[i], any(12));
                    ac_str_append_char(&s[i], ' ');
                    if (any(2)) disguised(&s[i], c[who].prompt.ptr, false);
                    else ac_str_append_c(&s[i], c[who].prompt.ptr);
                    line_of[who] = k + 1;
                }
                if (!any(3)) ac_str_append_c(&s[i], c[any(CASES)].answer.ptr);
                ac_str_append_char(&s[i], ' ');
                words(&s[i], any(30));
                ac_str_append_char(&s[i], '\n');
            }
            d[i] = (ac_leak_document){ "doc", ac_str_view(&s[i]) };
        }
        assert_int_equal(ac_leak_documents(&g, c, CASES, d, DOCS, NULL, NULL), AC_OK);
        for (size_t i = 0; i < CASES; i++)
            if (failed(&g, i + 1, line_of[i]) != (line_of[i] != 0))
                fail_msg("round %d, case %zu: line %zu, %s\n%s", round, i, line_of[i], line_of[i] ? "not found" : "blocked",
                         c[i].prompt.ptr);
        ac_findings_release(&g);
        for (size_t i = 0; i < DOCS; i++) ac_str_release(&s[i]);
        ac_arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_rows), cmocka_unit_test(in_documents) };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
