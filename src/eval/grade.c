/* The graders over text; sql-equal and JSON have files of their own. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "eval/grade.h"
#include "eval/grade_int.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Openings that count as a refusal where no sentence is fixed; compared without regard to case. */
static const char *const refusal_openings[] = {
    "i can't", "i cannot", "i can not", "i'm sorry", "i am sorry", "sorry,", "i won't", "i will not",
    "i'm not able", "i am not able", "i'm unable", "i am unable", "i must decline", "unfortunately, i can",
};

ac_status ac_grade_open(ac_grade_ctx **out, const char *database, const char *refusal, ac_err *err)
{
    ac_grade_ctx *g = ac_calloc(1, sizeof *g);
    ac_status st = g ? AC_OK : ac_fail_nomem(err, sizeof *g);
    if (!st && database) {
        g->database = ac_strdup(database);
        st = g->database ? ac_store_open(&g->db, database, true, err) : ac_fail_nomem(err, strlen(database));
    }
    if (!st && refusal) {
        g->refusal = ac_strdup(refusal);
        if (!g->refusal) st = ac_fail_nomem(err, strlen(refusal));
    }
    if (st) ac_grade_close(&g);
    else *out = g;
    return st;
}

void ac_grade_close(ac_grade_ctx **g)
{
    if (!g || !*g) return;
    ac_store_close(&(*g)->db);
    ac_free((*g)->database);
    ac_free((*g)->refusal);
    ac_free(*g);
    *g = NULL;
}

/* ---- text ------------------------------------------------------------------------------------------------ */

/* Unicode case folding; invalid UTF-8 is kept byte by byte, so that a broken answer is still compared. */
ac_status ac_grade_fold(ac_view *out, ac_view v, ac_arena *a, ac_err *err)
{
    char *to = ac_arena_alloc(a, v.len * 4 + 1);
    size_t n = 0;
    if (!to) return ac_fail_nomem(err, v.len * 4);
    for (size_t i = 0; i < v.len;) {
        uint32_t cp = 0;
        const size_t len = ac_utf8_decode(v.ptr + i, v.len - i, &cp);
        if (len == 0) {
            to[n++] = v.ptr[i++];
            continue;
        }
        n += ac_utf8_encode(to + n, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
        i += len;
    }
    *out = (ac_view){ to, n };
    return AC_OK;
}

static bool contains(ac_view text, ac_view part)
{
    return ac_view_find(text, part, 0) != SIZE_MAX;
}

/* Values of an assertion, as the text comparers see them. */
typedef bool compare_fn(ac_view answer, ac_view value);
static bool is_equal(ac_view a, ac_view v) { return ac_view_eq(a, ac_view_trim(v)); }
static bool starts(ac_view a, ac_view v) { return ac_view_starts(a, v); }

static bool any_of(const ac_assert *as, ac_view answer, compare_fn *holds)
{
    for (size_t i = 0; i < as->n_values; i++)
        if (holds(answer, as->value[i])) return true;
    return false;
}

static bool all_of(const ac_assert *as, ac_view answer, compare_fn *holds)
{
    for (size_t i = 0; i < as->n_values; i++)
        if (!holds(answer, as->value[i])) return false;
    return true;
}

static ac_status icontains(const ac_assert *as, ac_view answer, ac_arena *a, bool *hold, ac_err *err)
{
    ac_view low, value;
    ac_status st = ac_grade_fold(&low, answer, a, err);
    for (size_t i = 0; !st && !*hold && i < as->n_values; i++) {
        st = ac_grade_fold(&value, as->value[i], a, err);
        if (!st) *hold = contains(low, value);
    }
    return st;
}

static ac_status is_refusal(const ac_grade_ctx *g, const ac_assert *as, ac_view answer, ac_arena *a, bool *hold,
                            ac_err *err)
{
    ac_view low;
    if (as->n_values) {
        *hold = any_of(as, answer, starts);
        return AC_OK;
    }
    if (g->refusal) {
        *hold = ac_view_starts(answer, ac_view_of(g->refusal));
        return AC_OK;
    }
    const ac_status st = ac_grade_fold(&low, answer, a, err);
    for (size_t i = 0; !st && !*hold && i < AC_COUNTOF(refusal_openings); i++)
        *hold = ac_view_starts(low, ac_view_of(refusal_openings[i]));
    return st;
}

/* ---- regex -------------------------------------------------------------------------------------------------- */

static ac_status match_one(ac_view pattern, ac_view answer, bool *hold, ac_err *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &code,
                                   &at, NULL);
    if (!re) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(code, text, sizeof text);
        return ac_fail(err, AC_ECONTRACT, "regex \"" AC_VIEW_FMT "\" does not compile at byte %zu: %s; fix the case",
                       AC_VIEW_ARG(pattern), (size_t)at, (const char *)text);
    }
    ac_status st = AC_OK;
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!data || !limits) {
        st = ac_fail_nomem(err, 0);
    } else {
        pcre2_set_match_limit(limits, 1000000);     /* backtracking bombs end as "no match" */
        pcre2_set_heap_limit(limits, 64u << 10);
        *hold = pcre2_match(re, (PCRE2_SPTR)answer.ptr, answer.len, 0, 0, data, limits) >= 0;
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    return st;
}

static ac_status regex(const ac_assert *as, ac_view answer, bool *hold, ac_err *err)
{
    ac_status st = AC_OK;
    const ac_view text = answer.ptr ? answer : AC_VIEW("");
    for (size_t i = 0; !st && !*hold && i < as->n_values; i++) st = match_one(as->value[i], text, hold, err);
    return st;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* The last number in the text; thousands separators between groups of three digits are skipped. */
static bool last_number(ac_view v, double *out)
{
    bool found = false;
    for (size_t i = 0; i < v.len;) {
        char digits[64];
        size_t n = 0, j = i;
        bool dot = false, any = false;
        if (v.ptr[j] == '-' && (j == 0 || strchr(" \t\n(=:$", v.ptr[j - 1]))) digits[n++] = v.ptr[j++];
        for (; j < v.len && n < sizeof digits - 1; j++) {
            const char c = v.ptr[j];
            if (c >= '0' && c <= '9') {
                any = true;
                digits[n++] = c;
            } else if (c == '.' && !dot && any && j + 1 < v.len && v.ptr[j + 1] >= '0' && v.ptr[j + 1] <= '9') {
                dot = true;
                digits[n++] = c;
            } else if (!(c == ',' && any && !dot && j + 3 < v.len && v.ptr[j + 1] >= '0' && v.ptr[j + 1] <= '9' &&
                         v.ptr[j + 2] >= '0' && v.ptr[j + 2] <= '9' && v.ptr[j + 3] >= '0' && v.ptr[j + 3] <= '9')) {
                break;
            }
        }
        double number;
        if (any && ac_parse_f64((ac_view){ digits, n }, &number)) {
            *out = number;
            found = true;
        }
        i = j > i ? j : i + 1;
    }
    return found;
}

static ac_status numeric(const ac_assert *as, ac_view answer, bool *hold, ac_err *err)
{
    double got, want;
    const bool found = last_number(answer, &got);
    for (size_t i = 0; i < as->n_values; i++) {
        if (!ac_parse_f64(ac_view_trim(as->value[i]), &want))
            return ac_fail(err, AC_ECONTRACT, "numeric value \"" AC_VIEW_FMT "\" is not a number; fix the case",
                           AC_VIEW_ARG(as->value[i]));
        if (found && fabs(got - want) <= as->threshold + 1e-9 * fabs(want)) *hold = true;
    }
    return AC_OK;
}

/* ---- citations, F1 ------------------------------------------------------------------------------------------- */

/* At least one [i], and each with 1 <= i <= n. */
static bool citations_ok(ac_view v, size_t n)
{
    bool any = false;
    for (size_t i = 0; i + 2 < v.len; i++) {
        size_t j = i + 1, number = 0;
        if (v.ptr[i] != '[') continue;
        while (j < v.len && j < i + 8 && v.ptr[j] >= '0' && v.ptr[j] <= '9')
            number = number * 10 + (size_t)(v.ptr[j++] - '0');
        if (j == i + 1 || j >= v.len || v.ptr[j] != ']') continue;
        if (number < 1 || number > n) return false;
        any = true;
    }
    return any;
}

static bool is_article(ac_view w)
{
    return ac_view_eq_str(w, "a") || ac_view_eq_str(w, "an") || ac_view_eq_str(w, "the");
}

static int view_order(const void *x, const void *y)
{
    return ac_view_cmp(*(const ac_view *)x, *(const ac_view *)y);
}

/* Sorted words of the folded text, without ASCII punctuation and articles. */
static ac_status words(ac_view **out, size_t *n, ac_view v, ac_arena *a, ac_err *err)
{
    ac_view low;
    const ac_status st = ac_grade_fold(&low, v, a, err);
    if (st) return st;
    ac_view *list = ac_arena_alloc_array(a, low.len / 2 + 1, sizeof *list);
    char *kept = ac_arena_alloc(a, low.len + 1);
    if (!list || !kept) return ac_fail_nomem(err, low.len * sizeof *list);
    size_t count = 0, used = 0, start = 0;
    for (size_t i = 0; i <= low.len; i++) {
        const unsigned char c = i < low.len ? (unsigned char)low.ptr[i] : ' ';
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            const ac_view w = { kept + start, used - start };
            if (w.len && !is_article(w)) list[count++] = w;
            start = used;
        } else if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) {
            kept[used++] = (char)c;
        }
    }
    qsort(list, count, sizeof *list, view_order);
    *out = list;
    *n = count;
    return AC_OK;
}

ac_status ac_grade_token_f1(double *out, ac_view answer, ac_view reference, ac_arena *a, ac_err *err)
{
    ac_view *x = NULL, *y = NULL;
    size_t nx = 0, ny = 0, common = 0;
    ac_status st = words(&x, &nx, answer, a, err);
    if (!st) st = words(&y, &ny, reference, a, err);
    if (st) return st;
    for (size_t i = 0, j = 0; i < nx && j < ny;) {
        const int order = ac_view_cmp(x[i], y[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    *out = nx + ny == 0 ? 1 : 2.0 * (double)common / (double)(nx + ny);
    return AC_OK;
}

static ac_status token_f1(const ac_assert *as, ac_view answer, ac_arena *a, bool *hold, double *best, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < as->n_values; i++) {
        double f1 = 0;
        st = ac_grade_token_f1(&f1, answer, as->value[i], a, err);
        if (!st && f1 > *best) *best = f1;
    }
    *hold = *best >= as->threshold;
    return st;
}

/* ---- one assertion, one case ------------------------------------------------------------------------------- */

static ac_status simple(ac_grade_ctx *g, const ac_assert *as, ac_view answer, size_t n_passages, ac_arena *a,
                        ac_verdict_one *out, ac_err *err)
{
    ac_status st = AC_OK;
    double f1 = 0;
    switch (as->type) {
    case AC_GRADE_EQUALS: out->hold = any_of(as, answer, is_equal); break;
    case AC_GRADE_CONTAINS:
    case AC_GRADE_CONTAINS_ANY: out->hold = any_of(as, answer, contains); break;
    case AC_GRADE_CONTAINS_ALL: out->hold = all_of(as, answer, contains); break;
    case AC_GRADE_STARTS_WITH: out->hold = any_of(as, answer, starts); break;
    case AC_GRADE_ICONTAINS: st = icontains(as, answer, a, &out->hold, err); break;
    case AC_GRADE_REGEX: st = regex(as, answer, &out->hold, err); break;
    case AC_GRADE_NUMERIC: st = numeric(as, answer, &out->hold, err); break;
    case AC_GRADE_IS_REFUSAL: st = is_refusal(g, as, answer, a, &out->hold, err); break;
    case AC_GRADE_CITATION: out->hold = citations_ok(answer, n_passages); break;
    case AC_GRADE_F1: st = token_f1(as, answer, a, &out->hold, &f1, err); break;
    default: return ac_fail(err, AC_ESTATE, "grader %d has no code", (int)as->type);
    }
    if (st) return st;
    if (as->type == AC_GRADE_F1)
        out->why = ac_arena_printf(a, "f1 %.3f, needed %.3f", f1, as->threshold);
    else
        out->why = ac_arena_printf(a, "%s %s", ac_grader_name(as->type), out->hold ? "holds" : "does not hold");
    return AC_OK;
}

static ac_status low_perplexity(const ac_assert *as, double is, ac_arena *a, ac_verdict_one *out)
{
    out->hold = is <= as->threshold;                       /* NAN: false */
    out->why = isnan(is) ? ac_arena_printf(a, "perplexity is not known of this answer")
                         : ac_arena_printf(a, "perplexity %.3f, at most %.3f allowed", is, as->threshold);
    return AC_OK;
}

static ac_status judge(ac_grade_ctx *g, const ac_case *c, const ac_assert *as, ac_view answer, size_t n_passages,
                       double perplexity, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    ac_status st;
    if (as->type == AC_GRADE_PERPLEXITY) st = low_perplexity(as, perplexity, a, out);
    else if (as->type == AC_GRADE_SQL_EQUAL) st = ac_grade_sql(g, c, as, answer, a, out, err);
    else if (as->type == AC_GRADE_IS_JSON || as->type == AC_GRADE_CONTAINS_JSON)
        st = ac_grade_json(as, answer, a, out, err);
    else if (as->type == AC_GRADE_TOOL_CALL) st = ac_grade_tool_call(as, answer, a, out, err);
    else if (as->type == AC_GRADE_LEVENSHTEIN || as->type == AC_GRADE_ROUGE_L || as->type == AC_GRADE_ROUGE_N)
        st = ac_grade_distance(as, answer, a, out, err);
    else st = simple(g, as, answer, n_passages, a, out, err);
    if (st) return st;
    if (!out->why) return ac_fail_nomem(err, 0);
    if (as->negate) {
        out->hold = !out->hold;
        out->why = ac_arena_printf(a, "not: %s", out->why);
        if (!out->why) return ac_fail_nomem(err, 0);
    }
    return AC_OK;
}

ac_status ac_grade_answer(ac_grade_ctx *g, const ac_case *c, ac_view answer, size_t n_passages, double perplexity,
                          ac_arena *a, ac_grade *out, ac_err *err)
{
    const ac_view text = ac_view_trim(answer);
    ac_verdict_one one = { 0 };
    for (size_t i = 0; i < c->n_asserts; i++) {
        one = (ac_verdict_one){ 0 };
        const ac_status st = judge(g, c, &c->assert_[i], text, n_passages, perplexity, a, &one, err);
        if (st) return ac_err_prefix(err, st, "case \"" AC_VIEW_FMT "\" (line %zu)", AC_VIEW_ARG(c->id), c->line);
        if (!one.hold) break;
    }
    *out = (ac_grade){ one.hold, ac_view_of(one.why) };
    return AC_OK;
}

/* Found on such different answers, a pattern is found on every one (one that may be empty and stands nowhere fixed). */
static ac_status check_regex(const ac_assert *as, ac_err *err)
{
    const ac_view unlike[] = { AC_VIEW(""), AC_VIEW("q"), AC_VIEW("\xe2\x88\x9e 7\n\t#"), AC_VIEW("ZX-40 @ [~]") };
    for (size_t i = 0; i < as->n_values; i++) {
        bool always = true;
        for (size_t k = 0; k < AC_COUNTOF(unlike); k++) {
            bool hold = false;
            const ac_status st = match_one(as->value[i], unlike[k], &hold, err);
            if (st) return st;
            always = always && hold;
        }
        if (always)
            return ac_fail(err, AC_ECONTRACT, "regex \"" AC_VIEW_FMT "\" is found in every answer, so the assertion can%s; "
                           "write what the answer must hold", AC_VIEW_ARG(as->value[i]), as->negate ? " never hold" : "not fail");
    }
    return AC_OK;
}

/* An answer that fails the first assertion would hide that the second does not compile. */
static ac_status try_each(ac_grade_ctx *g, const ac_case *c, ac_arena *a, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < c->n_asserts && !st; i++) {
        ac_verdict_one ignored = { 0 };
        st = judge(g, c, &c->assert_[i], AC_VIEW(""), 0, 1, a, &ignored, err);
        if (!st && c->assert_[i].type == AC_GRADE_REGEX) st = check_regex(&c->assert_[i], err);
    }
    return st ? ac_err_prefix(err, st, "case \"" AC_VIEW_FMT "\" (line %zu)", AC_VIEW_ARG(c->id), c->line) : AC_OK;
}

ac_status ac_grade_reference(ac_grade_ctx *g, const ac_case *c, ac_arena *a, ac_grade *out, ac_err *err)
{
    const ac_status st = try_each(g, c, a, err);
    if (st) return st;
    if (!c->ideal.ptr) {
        *out = (ac_grade){ true, AC_VIEW("no reference to try") };
        return AC_OK;
    }
    return ac_grade_answer(g, c, c->ideal, 1, 1, a, out, err);
}
