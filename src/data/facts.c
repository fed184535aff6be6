/* One row: its hashes, its shape, and how its answer ends. */
#include <string.h>

#include "base/size.h"
#include "data/survey_int.h"

#define SHORT_ANSWER 3              /* words */
#define PROSE_WORDS 8
#define LINE_WORDS 8

void row_reader_release(row_reader *r)
{
    ac_arena_release(&r->arena);
    ac_words_release(&r->w);
    ac_words_release(&r->turn);
    gram_set_release(&r->grams);
    ac_row_coder_release(&r->coder);
    if (r->secret && r->buf) ac_wipe(r->buf, r->cap);
    ac_free(r->buf);
    *r = (row_reader){ 0 };
}

ac_status row_read(row_reader *r, ac_row *row, const ac_json **tree, const ac_item *it, ac_row_format format,
                   const char *path, ac_err *err)
{
    const ac_json_limits limits = { .first_column = it->column };
    const ac_row_place place = { .path = path, .text = it->text, .first_line = it->line, .first_column = it->column,
                                 .borrow = true };
    const ac_json *v;
    ac_arena_reset(&r->arena);
    if (it->text.len > AC_ROW_MAX_BYTES)
        return ac_fail(err, AC_EFORMAT, "%s:%zu:%zu: row has %zu bytes; at most %zu are read; split the row", path,
                       it->line, it->column, it->text.len, AC_ROW_MAX_BYTES);
    ac_status st = ac_json_parse(&v, it->text, &r->arena, path, it->line, &limits, err);
    if (st) return st;
    if (tree) *tree = v;
    row->line = it->line;
    if (format == AC_FORMAT_AUTO) return AC_OK;
    if (!(ac_row_candidates(v) >> format & 1)) {
        const ac_status known = ac_row_candidates(v) ? AC_OK : ac_row_unknown(&place, v, err);
        return known ? known : ac_row_bad(&place, v, err, "this row is not %s as the others are; expected one format a "
                                          "file; fix or move the row", ac_row_format_name(format));
    }
    return ac_row_convert(row, v, format, &place, &r->arena, err);
}

/* ---- words ---- */

static ac_status turn_words(ac_words *w, const ac_message *m, ac_err *err)
{
    const ac_status st = ac_words_add(w, m->content, err);
    return st || !m->tool_calls.len ? st : ac_words_add(w, m->tool_calls, err);
}

ac_status row_words(row_reader *r, const ac_row *row, ac_err *err)
{
    ac_status st = AC_OK;
    r->w.n = 0;
    for (size_t i = 0; i < row->n_messages && !st; i++)
        if (row->message[i].role != AC_ROLE_SYSTEM) st = turn_words(&r->w, &row->message[i], err);
    for (size_t i = 0; i < row->n_rejected && !st; i++) st = turn_words(&r->w, &row->rejected[i], err);
    return st;
}

/* ---- how an answer ends ---- */

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c) != NULL;
}

static size_t fences(ac_view t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len;) {
        while (i < t.len && (t.ptr[i] == ' ' || t.ptr[i] == '\t')) i++;
        if (t.len - i >= 3 && memcmp(t.ptr + i, "```", 3) == 0) n++;
        const char *lf = memchr(t.ptr + i, '\n', t.len - i);
        i = lf ? (size_t)(lf - t.ptr) + 1 : t.len;
    }
    return n;
}

/* A text that begins as JSON does and is not closed. */
static bool json_open(ac_view t)
{
    if (t.len < 2 || (t.ptr[0] != '{' && t.ptr[0] != '[')) return false;
    size_t i = 1, depth = 1;
    while (i < t.len && one_of(t.ptr[i], " \t\r\n")) i++;
    if (i == t.len || !(t.ptr[i] == '"' || t.ptr[i] == '{' || (t.ptr[0] == '[' && t.ptr[i] == '['))) return false;
    for (bool quoted = false; i < t.len; i++) {
        const char c = t.ptr[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') quoted = true;
        else if (c == '{' || c == '[') depth++;
        else if ((c == '}' || c == ']') && --depth == 0) return false;
    }
    return true;
}

/* More opening brackets than closing ones; faces do not count. */
static bool bracket_open(ac_view t)
{
    long round = 0, square = 0, curly = 0;
    for (size_t i = 0; i < t.len; i++) {
        const char before = i ? t.ptr[i - 1] : ' ';
        switch (t.ptr[i]) {
        case '(': round += one_of(before, ":;=-^'") ? 0 : 1; break;
        case ')': round -= 1; break;
        case '[': square += one_of(before, ":;=-\x1b") ? 0 : 1; break;
        case ']': square -= 1; break;
        case '{': curly++; break;
        case '}': curly--; break;
        default: break;
        }
    }
    return round > 0 || square > 0 || curly > 0;
}

static bool lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool wants_more(ac_view t)
{
    static const char *const words[] = { "the", "a", "an", "and", "or", "of", "because", "than", "into", "our", "their",
                                         "your", "its", "my", "but" };
    const char last = t.ptr[t.len - 1];
    if (last == ',' || last == '(' || last == '[' || last == '{') return true;
    size_t from = t.len;
    while (from > 0 && letter(t.ptr[from - 1])) from--;
    if (from > 0 && t.ptr[from - 1] != ' ') return false;
    for (size_t i = 0; i < AC_COUNTOF(words); i++)
        if (ac_view_eq_str(ac_view_slice(t, from, t.len), words[i])) return true;
    return false;
}

/* The last line is long prose, an earlier sentence of it shows that sentences end with a point here, and the last one
 * stops at a plain word; names, tags and signatures behind a text are no sentence. */
static bool line_cut(ac_view t)
{
    size_t from = t.len, words = 1, tail = 0;
    while (from > 0 && t.ptr[from - 1] != '\n') from--;
    if (!letter(t.ptr[from]) && t.ptr[from] != '"') return false;
    bool sentence = false;
    for (size_t i = from; i < t.len; i++) {
        words += t.ptr[i] == ' ';
        tail += t.ptr[i] == ' ';
        if (i + 1 < t.len && one_of(t.ptr[i], ".!?") && t.ptr[i + 1] == ' ') {
            sentence = true;
            tail = 0;
        }
    }
    size_t word = t.len;
    while (word > from && lower(t.ptr[word - 1])) word--;
    return sentence && words >= LINE_WORDS && tail >= 3 && word < t.len && word > from && t.ptr[word - 1] == ' ';
}

static uint16_t answer_flags(ac_view text, size_t n_words)
{
    const ac_view t = ac_view_trim(text);
    unsigned f = 0;
    if (!t.len || !n_words) return 0;
    f |= ROW_ANSWER;
    if (n_words >= PROSE_WORDS) f |= ROW_PROSE;
    const char last = t.ptr[t.len - 1];
    if (!letter(last) && !one_of(last, ",([{-")) f |= ROW_END_OK;
    if ((fences(t) % 2 == 1 && !ac_view_ends(t, AC_VIEW("\n```"))) || json_open(t)) f |= ROW_CUT_FORM;
    if (bracket_open(t)) f |= ROW_OPEN;
    if (n_words >= PROSE_WORDS && wants_more(t)) f |= ROW_CUT_WORD;
    if (line_cut(t)) f |= ROW_CUT_LINE;
    return (uint16_t)f;
}

/* ---- shape ---- */

enum { FORM_NONE, FORM_JSON, FORM_CODE, FORM_NUMBER, FORM_SHORT, FORM_TEXT };

static unsigned answer_form(const ac_message *m, size_t n_words)
{
    const ac_view t = ac_view_trim(m->content);
    if (m->tool_calls.len) return FORM_JSON;
    if (!t.len) return FORM_NONE;
    if (t.ptr[0] == '{' || t.ptr[0] == '[') return FORM_JSON;
    if (t.len >= 3 && memcmp(t.ptr, "```", 3) == 0) return FORM_CODE;
    if (n_words == 1 && (t.ptr[0] == '-' || (t.ptr[0] >= '0' && t.ptr[0] <= '9'))) return FORM_NUMBER;
    return n_words <= SHORT_ANSWER ? FORM_SHORT : FORM_TEXT;
}

static uint32_t small(uint64_t h)
{
    const uint32_t x = (uint32_t)(ac_mix64(h) >> 32);
    return x ? x : 1;
}

/* ---- all of it ---- */

typedef struct {
    uint64_t ask, ask_bytes, answer, system;
    size_t n_questions, n_answer_words;
    bool asks;
    uint32_t opening;
} parts;

static void one_turn(parts *p, const uint64_t *w, size_t n, const ac_message *m, bool is_answer)
{
    const uint64_t h = ac_words_hash(w, 0, n);
    if (is_answer) {
        p->answer = h;
        p->n_answer_words = n;
        return;
    }
    if (m->role == AC_ROLE_SYSTEM) p->system = h;
    else if (n) p->asks = true;
    if (m->role == AC_ROLE_USER) {
        p->n_questions++;
        p->opening = n ? small(ac_words_hash(w, 0, n < 2 ? n : 2)) : 0;
    }
    p->ask = ac_mix64(p->ask ^ h ^ (uint64_t)m->role);
    p->ask_bytes = ac_hash_bytes(ac_mix64(p->ask_bytes ^ (uint64_t)m->role), m->content);
}

static void count_learnt(const ac_row *row, size_t i, size_t last, ac_mask mask, size_t n_words, uint32_t *targets,
                         bool *has_target)
{
    const ac_message *m = &row->message[i];
    if (!ac_row_takes(row, i, last, mask)) return;
    *targets += (uint32_t)n_words;
    if (m->content.len || m->tool_calls.len) *has_target = true;
}

ac_status row_facts(row_rec *rec, row_reader *r, const ac_row *row, ac_row_format format, ac_mask mask,
                    uint32_t *n_words, uint32_t *n_target_words, bool *has_target, ac_err *err)
{
    parts p = { .ask = 1 };
    const size_t last = ac_row_last_answer(row);
    const bool is_text = format == AC_FORMAT_TEXT;
    ac_status st = AC_OK;
    *n_words = *n_target_words = 0;
    *has_target = false;
    r->w.n = 0;
    for (size_t i = 0; i < row->n_messages && !st; i++) {
        const bool system = row->message[i].role == AC_ROLE_SYSTEM;   /* not among the words that rows are compared by */
        ac_words *w = system ? &r->turn : &r->w;
        const size_t from = system ? 0 : w->n;
        r->turn.n = 0;
        if ((st = turn_words(w, &row->message[i], err))) break;
        const size_t n = w->n - from;
        if (last == SIZE_MAX || i <= last) one_turn(&p, w->word ? w->word + from : NULL, n, &row->message[i], i == last);
        *n_words += (uint32_t)n;
        count_learnt(row, i, last, mask, n, n_target_words, has_target);
    }
    for (size_t i = 0; i < row->n_rejected && !st; i++) st = turn_words(&r->w, &row->rejected[i], err);
    if (st) return st;
    rec->bytes = ac_row_hash(row);
    rec->words = ac_words_hash(r->w.word, 0, r->w.n);
    rec->n_words = r->w.n < UINT32_MAX ? (uint32_t)r->w.n : UINT32_MAX;
    rec->ask = p.ask;
    rec->ask_bytes = p.ask_bytes;
    rec->answer = p.answer + (uint64_t)(row->label == 1);
    if (row->n_rejected) rec->answer = ac_mix64(rec->words);
    unsigned flags = !p.asks || is_text ? ROW_NO_ASK : 0;
    const ac_message *answer = last == SIZE_MAX ? NULL : &row->message[last];
    if (answer && !is_text && row->label != 0 && ac_row_takes(row, last, last, mask) && !answer->tool_calls.len)
        flags |= answer_flags(answer->content, p.n_answer_words);
    rec->flags = (uint16_t)flags;
    if (!is_text) {
        const unsigned form = answer ? answer_form(answer, p.n_answer_words) : FORM_NONE;
        rec->opening = p.opening;
        rec->shape = small(p.system + form * 16 + (p.n_questions > 3 ? 3 : p.n_questions));
    }
    return AC_OK;
}
