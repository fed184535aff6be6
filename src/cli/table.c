#include "cli/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

/* Width of the character at v.ptr[at]; its length goes to *len. */
static size_t char_width(ac_view v, size_t at, size_t *len)
{
    uint32_t cp = 0;
    *len = ac_utf8_decode(v.ptr + at, v.len - at, &cp);
    if (*len == 0) {
        *len = 1;
        return 1;
    }
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) return 1;
    const int w = utf8proc_charwidth((utf8proc_int32_t)cp);
    return w > 0 ? (size_t)w : 0;
}

size_t ac_text_width(ac_view v)
{
    size_t width = 0;
    for (size_t i = 0, n; i < v.len; i += n) width += char_width(v, i, &n);
    return width;
}

void ac_table_init(ac_table *t, const char *align, const char *const *headings)
{
    *t = (ac_table){ .n_cols = strlen(align) };
    if (t->n_cols > AC_TABLE_COLS) t->n_cols = AC_TABLE_COLS;
    for (size_t c = 0; c < t->n_cols; c++) t->right[c] = align[c] == 'r';
    for (size_t c = 0; c < t->n_cols; c++) ac_table_cell(t, ac_view_of(headings[c]));
}

void ac_table_cell(ac_table *t, ac_view text)
{
    if (t->failed) return;
    if (t->n_cells == t->cap) {
        const size_t cap = t->cap ? t->cap * 2 : 64;
        ac_view *more = ac_arena_alloc_array(&t->arena, cap, sizeof *more);
        if (!more) {
            t->failed = true;
            return;
        }
        if (t->n_cells) memcpy(more, t->cell, t->n_cells * sizeof *more);
        t->cell = more;
        t->cap = cap;
    }
    char *copy = ac_arena_strndup(&t->arena, text.ptr, text.len);
    if (!copy) {
        t->failed = true;
        return;
    }
    /* A cell is one line of plain text. */
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f) copy[i] = copy[i] == '\n' ? ' ' : '?';
        else if ((unsigned char)copy[i] == 0xc2 && (unsigned char)copy[i + 1] >= 0x80
                 && (unsigned char)copy[i + 1] < 0xa0)
            copy[i] = copy[i + 1] = '?';
    t->cell[t->n_cells++] = (ac_view){ copy, text.len };
}

void ac_table_cellf(ac_table *t, const char *fmt, ...)
{
    ac_str s = { 0 };
    va_list ap;
    va_start(ap, fmt);
    ac_str_vappendf(&s, fmt, ap);
    va_end(ap);
    if (!ac_str_ok(&s)) t->failed = true;
    ac_table_cell(t, ac_str_view(&s));
    ac_str_release(&s);
}

static void spaces(ac_str *out, size_t n)
{
    while (n--) ac_str_append_char(out, ' ');
}

/* The text in exactly `width` columns, cut with an ellipsis where it is wider. `last` pads nothing. */
static void put_cell(ac_str *out, ac_view v, size_t width, bool right, bool last)
{
    size_t have = ac_text_width(v);
    if (right && have < width) spaces(out, width - have);
    if (have > width) {
        size_t used = 0, i = 0, n;
        for (; i < v.len; i += n) {
            const size_t w = char_width(v, i, &n);
            if (used + w + 1 > width) break;
            used += w;
        }
        ac_str_append(out, ac_view_slice(v, 0, i));
        ac_str_append_c(out, "\xe2\x80\xa6");
        have = used + 1;
    } else {
        ac_str_append(out, v);
    }
    if (!right && !last && have < width) spaces(out, width - have);
}

/* Takes what is too much from the widest left-aligned column, down to eight. */
static void fit(const ac_table *t, size_t *width, size_t max_width)
{
    size_t total = 2 * (t->n_cols - 1), widest = SIZE_MAX;
    for (size_t c = 0; c < t->n_cols; c++) {
        total += width[c];
        if (!t->right[c] && (widest == SIZE_MAX || width[c] > width[widest])) widest = c;
    }
    if (total <= max_width || widest == SIZE_MAX) return;
    const size_t over = total - max_width;
    width[widest] = width[widest] > over + 8 ? width[widest] - over : width[widest] < 8 ? width[widest] : 8;
}

ac_status ac_table_render(const ac_table *t, ac_str *out, size_t max_width, bool color, ac_err *err)
{
    size_t width[AC_TABLE_COLS] = { 0 }, row = out->len;
    if (t->failed) return ac_fail_nomem(err, t->n_cells * sizeof *t->cell);
    if (t->n_cols == 0) return AC_OK;
    for (size_t i = 0; i < t->n_cells; i++) {
        const size_t w = ac_text_width(t->cell[i]);
        if (w > width[i % t->n_cols]) width[i % t->n_cols] = w;
    }
    if (max_width) fit(t, width, max_width);
    for (size_t i = 0; i < t->n_cells; i++) {
        const size_t c = i % t->n_cols;
        const bool last = c + 1 == t->n_cols || i + 1 == t->n_cells;
        if (color && i == 0) ac_str_append_c(out, "\x1b[1m");
        put_cell(out, t->cell[i], width[c], t->right[c], last);
        if (last)                             /* empty cells at the end leave no blanks */
            while (out->len > row && out->ptr[out->len - 1] == ' ') out->len--;
        if (color && i + 1 == t->n_cols) ac_str_append_c(out, "\x1b[0m");
        if (!last) spaces(out, 2);
        else ac_str_append_char(out, '\n');
        if (last) row = out->len;
    }
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

void ac_table_release(ac_table *t)
{
    ac_arena_release(&t->arena);
    *t = (ac_table){ .n_cols = 0 };
}
