/* The rules of docs/data.md, "Leaks", each with a case that meets it and one that just does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_fixture.h"

typedef struct {
    const char *context, *prompt, *answer;
} ask;

/* "kind:case:line:score" of each finding; notes are left out. */
static void leaks(const ask *asks, size_t n, const char *rows, const char *canary, const char *want)
{
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    ac_leak_text c[16];
    char id[16][32];
    ac_str s = { 0 };
    if (ac_rows_read(&f, df_text("l.jsonl", rows), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(id[i], sizeof id[i], "c%zu", i + 1);
        c[i] = (ac_leak_text){ id[i], ac_view_of(asks[i].prompt), ac_view_of(asks[i].context),
                               ac_view_of(asks[i].answer) };
    }
    if (ac_leak_check(&g, c, n, &f, canary, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < g.n; i++) {
        const ac_finding *x = &g.finding[i];
        if (x->severity == AC_FIND_NOTE) continue;
        ac_str_appendf(&s, "%s%s%s:%zu:%zu:%.2f", s.len ? " " : "", x->severity == AC_FIND_FAIL ? "!" : "", x->kind,
                       x->line_a, x->line_b, x->score);
    }
    if (strcmp(ac_str_c(&s), want) != 0) print_error("%s\n", g.n ? g.finding[0].text : "");
    assert_string_equal(ac_str_c(&s), want);
    ac_str_release(&s);
    ac_findings_release(&g);
    ac_rows_release(&f);
    assert_int_equal(ac_live_bytes(), 0);
}

/* What ac_leak_alike adds: ids of kinds, lines; "" nothing. */
static void alikes(const char *prompt, const char *answer, const char *rows, const char *want)
{
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    ac_str s = { 0 };
    const ac_leak_text c = { "c1", ac_view_of(prompt), { 0 }, ac_view_of(answer) };
    if (ac_rows_read(&f, df_text("l.jsonl", rows), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
    if (ac_leak_check(&g, &c, 1, &f, NULL, &err)) fail_msg("%s", err.text);
    const size_t before = g.n;
    if (ac_leak_alike(&g, &c, 1, &f, &err)) fail_msg("%s", err.text);
    for (size_t i = before; i < g.n; i++) {
        const ac_finding *x = &g.finding[i];
        assert_int_equal(x->severity, AC_FIND_WARN);
        ac_str_appendf(&s, "%s%s:%zu:%zu", s.len ? " " : "", x->kind, x->line_a, x->line_b);
    }
    assert_string_equal(ac_str_c(&s), want);
    ac_str_release(&s);
    ac_findings_release(&g);
    ac_rows_release(&f);
    assert_int_equal(ac_live_bytes(), 0);
}

#define ONE(prompt, answer) &(const ask){ NULL, prompt, answer }, 1
#define ROW(p, c) "{\"prompt\":\"" p "\",\"completion\":\"" c "\"}\n"
#define TURN(r, c) "{\"role\":\"" r "\",\"content\":\"" c "\"}"

static void same_question_fails(void **state)
{
    (void)state;
    const char *rows = ROW("x", "y") ROW("How many orders?", "SELECT COUNT(*) FROM orders");
    leaks(ONE("How many orders?", "SELECT COUNT(*) FROM orders"), rows, NULL, "!leak-exact:1:2:1.00");
    leaks(ONE("how  many ORDERS", "something else"), rows, NULL, "!leak-exact:1:2:1.00");
    leaks(ONE("how many order", NULL), rows, NULL, "");
    leaks(ONE("How many orders > 5?", NULL), ROW("How many orders < 5?", "x"), NULL, "");
    leaks(ONE("Rows over 3.5?", NULL), ROW("Rows over 35?", "x"), NULL, "");
    leaks(ONE("Below -5?", NULL), ROW("Below 5?", "x"), NULL, "");
    /* Full-width and composed letters are the same words. */
    leaks(ONE("caf\xc3\xa9 \xef\xbc\xa1\xef\xbc\xa2", NULL), ROW("Cafe\\u0301 AB", "x"), NULL, "!leak-exact:1:1:1.00");
}

/* Cyrillic and Greek letters in the place of Latin ones are other words, and are seen all the same. */
static void letters_that_look_alike(void **state)
{
    (void)state;
    const char *q = "Which customers live in Oslo now?";
    const char *found = "similar-alike:1:2";
    alikes(q, "x", ROW("a", "b") ROW("Which customers live in Oslo now?", "x"), "");            /* found before */
    alikes(q, "x", ROW("a", "b") ROW("Which cust\xd0\xbemers live in Oslo now?", "x"), found);
    alikes(q, "x", ROW("a", "b") ROW("Whi\xd1\x81h \xd1\x81ust\xd0\xbemers liv\xd0\xb5 in \xd0\x9esl\xd0\xbe n\xd0\xbew?", "y"), found);
    alikes(q, "x", ROW("a", "b") ROW("Which cust\xce\xbfmers live in Oslo n\xce\xbfw?", "x"), found);       /* Greek */
    alikes("Which cust\xd0\xbemers live in Oslo now?", "x", ROW("a", "b") ROW("Which customers live in Oslo now?", "x"), found);
    /* The same letters on both sides are found as they are, and another question stays another. */
    alikes("Which cust\xd0\xbemers?", "x", ROW("Which cust\xd0\xbemers?", "x"), "");
    alikes(q, "x", ROW("Which cust\xd0\xbemers live in Bergen now?", "y"), "");
    /* A text in its own script hides nothing. */
    alikes("cop", "x", ROW("\xd1\x81\xd0\xbe\xd1\x80", "x"), "");
    alikes(q, "x", ROW("\xd0\x93\xd0\xb4\xd0\xb5 \xd0\xb6\xd0\xb8\xd0\xb2\xd1\x83\xd1\x82?", "x"), "");
}

static void context_counts(void **state)
{
    (void)state;
    const char *rows = "{\"messages\":[" TURN("system", "be brief") "," TURN("user", "Orders of Ann?") ","
                       TURN("assistant", "SELECT a") "," TURN("user", "Only those from May") "," TURN("assistant", "SELECT b")
                       "]}\n";
    const ask same = { "Orders of Ann?\nSELECT a", "only those from May", "SELECT b" };
    const ask other = { "Orders of Bob?\nSELECT c", "only those from May", "SELECT d" };
    leaks(&same, 1, rows, NULL, "!leak-exact:1:1:1.00");
    leaks(&other, 1, rows, NULL, "");                   /* four words: a follow-up that any talk may hold */
    /* Five words or more, in another conversation: fails with the same answer, warns with another. */
    const char *longer = "{\"messages\":[" TURN("user", "Hello") "," TURN("assistant", "Hi") ","
                         TURN("user", "Which customers live in Oslo now?") "," TURN("assistant", "SELECT o") "]}\n";
    leaks(ONE("Which customers live in Oslo now?", "SELECT o"), longer, NULL, "!leak-prompt:1:1:1.00");
    leaks(ONE("Which customers live in Oslo now?", "SELECT z"), longer, NULL, "similar-prompt:1:1:1.00");
}

/* Fourteen-word questions that differ in the last word: similarity 9 of 11. */
#define Q(last) "please list the names of all customers who have placed any orders during " last

static void near_questions(void **state)
{
    (void)state;
    leaks(ONE(Q("spring"), "same answer here it is now"), ROW(Q("summer"), "same answer here it is now"), NULL,
          "!leak-near:1:1:0.82");
    leaks(ONE(Q("spring"), NULL), ROW(Q("summer"), "anything"), NULL, "!leak-near:1:1:0.82");   /* no answer to compare */
    leaks(ONE(Q("spring"), "an answer"), ROW(Q("summer"), "another one"), NULL, "similar:1:1:0.82");
    /* Siblings: the slot that differs in the question differs in the answer, or a number differs. */
    leaks(ONE(Q("spring"), "SELECT name FROM customers WHERE bought AND seen AND season = 'spring'"),
          ROW(Q("summer"), "SELECT name FROM customers WHERE bought AND seen AND season = 'summer'"), NULL,
          "similar:1:1:0.82");
    leaks(ONE(Q("2023"), "same answer here it is now"), ROW(Q("2024"), "same answer here it is now"), NULL,
          "similar:1:1:0.82");
    leaks(ONE("one two three four five six seven", "a"), ROW("one two three four five six eight", "b"), NULL,
          "similar:1:1:0.50");
    leaks(ONE("one two three four five six", "a"), ROW("one two three four five nine", "b"), NULL, "");
}

static void shared_runs(void **state)
{
    (void)state;
    const char *run = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu";
    char rows[512], prompt[512];
    (void)snprintf(rows, sizeof rows, ROW("so %s and then quite a few more words that make this row a long one indeed "
                                          "because it goes on", "x"), run);
    (void)snprintf(prompt, sizeof prompt, "%s plus some words of its own to keep the whole far from similar enough for "
                   "the other rule to speak", run);
    leaks(&(const ask){ NULL, prompt, "y" }, 1, rows, NULL, "!leak-ngram:1:1:0.39");
    /* Twelve of them: nothing but characters in common. */
    (void)snprintf(prompt, sizeof prompt, "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu plus some words of "
                   "its own to keep the whole far from similar enough for the other rule to speak");
    leaks(&(const ask){ NULL, prompt, "y" }, 1, rows, NULL, "similar-chars:1:1:0.42");
    /* Eight: less than fifty characters, and less than seven of ten runs of eight. */
    (void)snprintf(prompt, sizeof prompt, "alpha beta gamma delta epsilon zeta eta theta plus some words of its own to keep the "
                   "whole far from similar enough");
    leaks(&(const ask){ NULL, prompt, "y" }, 1, rows, NULL, "");
    /* In two rows, put together, stand most runs of eight words of the question. */
    leaks(ONE("one two three four five six seven eight nine ten eleven two four six eight ten", "y"),
          ROW("a one two three four five six seven eight nine ten eleven b c d e f g h i j k", "x")
          ROW("l six seven eight nine ten eleven two four six eight ten m n o p q r s t u v w", "x"), NULL,
          "similar-8gram:1:1:0.89");
}

/* The whole question in something longer. */
static void inside_turns(void **state)
{
    (void)state;
#define WHOLE "which customers bought two hats in the old shop"
    /* An example in a system turn, also where other rows have the turn without it; a short question is only worth a look. */
#define SYSTEM(text) "{\"messages\":[" TURN("system", text) "," TURN("user", "go on") "," TURN("assistant", "x") "]}\n"
    leaks(ONE(WHOLE, "y"), SYSTEM("be brief") SYSTEM("be brief") SYSTEM("be brief. Q: " WHOLE "? A: y") SYSTEM("be brief"), NULL,
          "!leak-inside:1:3:1.00");
    leaks(ONE(WHOLE, "y"), SYSTEM("Q: which customers bought two hats in the old house") , NULL, "");
    leaks(ONE("which customers bought two hats", "y"), SYSTEM("Q: which customers bought two hats A: y"), NULL,
          "similar-inside:1:1:1.00");
    /* As a sentence of its own, among more words than it has itself, or in what the assistant says: whatever the answer. */
    leaks(ONE(WHOLE, "a"), ROW("Dear helper. Which customers bought two hats in the old shop? Thanks", "z"), NULL,
          "!leak-inside:1:1:1.00");
    leaks(ONE(WHOLE, "a"), ROW("I would like to know from you as soon as you can " WHOLE " and nothing else", "z"), NULL,
          "!leak-inside:1:1:1.00");
    leaks(ONE(WHOLE, "a"), ROW("hello", "you may ask " WHOLE " for example"), NULL, "!leak-inside:1:1:1.00");
    /* As the beginning of another question: with the same answer, else it warns. */
    leaks(ONE(WHOLE, "SELECT a"), ROW(WHOLE " in May", "SELECT a"), NULL, "!leak-inside:1:1:1.00");
    leaks(ONE(WHOLE, "SELECT a"), ROW(WHOLE " in May", "SELECT b"), NULL, "similar-inside:1:1:1.00");
    leaks(ONE("customers bought two hats", "a"), ROW("Dear. Customers bought two hats? Yes", "a"), NULL, "");
}

/* Words split, joined or parted by other marks: the same letters. */
static void same_characters(void **state)
{
    (void)state;
    leaks(ONE("Which data base holds the on line orders of the ware house in the north?", "a"),
          ROW("whichdatabase holds the online-orders of the warehouse, in_the_north", "z"), NULL, "!leak-chars:1:1:1.00");
    leaks(ONE("Which data base holds the on line orders of the ware house in the north?", "a"),
          ROW("whichdatabase holds the offline-orders of the warehouse, in_the_north", "z"), NULL, "");
}

/* A schema in front of every question is the task's frame, not evidence. */
static void frames_do_not_count(void **state)
{
    (void)state;
#define TAIL "now comes a question of many words which is asked about all of this in no way that the case knows, number "
#define SCHEMA "Tables are customers with id name city and orders with id customer day total and items with order product "
    const ask four[] = {
        { NULL, SCHEMA "how many customers?", "a" }, { NULL, SCHEMA "which city sells most?", "b" },
        { NULL, SCHEMA "what did Ann buy?", "c" }, { NULL, SCHEMA "list products never sold", "d" },
    };
    leaks(four, 4, ROW(SCHEMA "total of all orders?", "z") ROW(SCHEMA "cheapest item?", "y"), NULL, "");
    leaks(four, 4, ROW(SCHEMA "What did Ann buy", "z"), NULL, "!leak-exact:3:1:1.00");
    leaks(four, 1, ROW(SCHEMA "total of all orders?", "z"), NULL, "similar-ngram:1:1:0.86");   /* one case alone: a mate */
    /* In other surroundings it counts, unless five different rows have it: then it is the rows' own wording. */
    leaks(four, 1, ROW("x " SCHEMA TAIL "1", "z") ROW("x " SCHEMA TAIL "2", "z") ROW("x " SCHEMA TAIL "3", "z")
          ROW("x " SCHEMA TAIL "4", "z"), NULL, "!leak-ngram:1:1:0.86");
    leaks(four, 1, ROW("x " SCHEMA TAIL "1", "z") ROW("x " SCHEMA TAIL "2", "z") ROW("x " SCHEMA TAIL "3", "z")
          ROW("x " SCHEMA TAIL "4", "z") ROW("x " SCHEMA TAIL "5", "z"), NULL, "similar-ngram:1:1:0.86");
}

static void inside_texts(void **state)
{
    (void)state;
    const char *rows = "{\"text\":\"Q: what did the tall man from Oslo buy? A: a hat\"}\n";
    leaks(ONE("What did the tall man from Oslo buy?", "a coat"), rows, NULL, "!leak-exact:1:1:1.00");
    leaks(ONE("the tall man from Oslo", "a hat"), rows, NULL, "!leak-exact:1:1:1.00");
    leaks(ONE("the tall man from Oslo", "a coat"), rows, NULL, "similar-text:1:1:1.00");
    leaks(ONE("tall man from Oslo", "a hat"), rows, NULL, "");
}

static void canaries_and_twins(void **state)
{
    (void)state;
    const ask two[] = { { NULL, "same question here", "a" }, { NULL, "Same question, here!", "b" } };
    leaks(two, 2, ROW("p", "c"), "canary-1234-abcd", "!case-duplicate:1:2:1.00");
    leaks(two, 1, ROW("p", "see canary-1234-abcd"), "canary-1234-abcd", "!leak-canary:0:1:1.00");
    leaks(two, 1, ROW("p", "see canary-1234"), "canary-1234-abcd", "");
}

static void notes_count_shared_answers(void **state)
{
    (void)state;
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    const ac_leak_text c = { "c1", AC_VIEW("one"), { 0 }, AC_VIEW("I cannot do that") };
    assert_int_equal(ac_rows_read(&f, df_text("n.jsonl", ROW("two", "I cannot do that.")), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_leak_check(&g, &c, 1, &f, NULL, NULL), AC_OK);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.finding[0].severity, AC_FIND_NOTE);
    assert_string_equal(g.finding[0].kind, "same-answer");
    ac_findings_release(&g);
    ac_rows_release(&f);
}

static void nothing_to_compare_is_fine(void **state)
{
    (void)state;
    leaks(ONE("???", NULL), ROW("!!!", "..."), NULL, "");
    leaks(NULL, 0, ROW("a", "b"), NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_question_fails), cmocka_unit_test(letters_that_look_alike), cmocka_unit_test(context_counts), cmocka_unit_test(near_questions),
        cmocka_unit_test(shared_runs), cmocka_unit_test(inside_turns),
        cmocka_unit_test(same_characters), cmocka_unit_test(frames_do_not_count), cmocka_unit_test(inside_texts),
        cmocka_unit_test(canaries_and_twins), cmocka_unit_test(notes_count_shared_answers),
        cmocka_unit_test(nothing_to_compare_is_fine),
    };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
