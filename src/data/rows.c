/* Reading a file of rows: decide the format from all of them (R1), then convert each. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/size.h"
#include "data/data_int.h"
#include "data/unread.h"

#define FILE_MAX ((size_t)4 << 30)

const char *ac_row_format_name(ac_row_format f)
{
    switch (f) {
    case AC_FORMAT_AUTO: return "auto";
    case AC_FORMAT_MESSAGES: return "messages";
    case AC_FORMAT_PROMPT_COMPLETION: return "prompt/completion";
    case AC_FORMAT_TEXT: return "text";
    case AC_FORMAT_ALPACA: return "alpaca";
    case AC_FORMAT_SHAREGPT: return "sharegpt";
    case AC_FORMAT_PREFERENCE: return "preference";
    case AC_FORMAT_KTO: return "KTO";
    }
    return "unknown";
}

/* mlx-lm asks in this order too; "text" comes last because sets often carry a rendered copy beside the turns. */
static const ac_row_format preference[] = {
    AC_FORMAT_PROMPT_COMPLETION, AC_FORMAT_MESSAGES, AC_FORMAT_SHAREGPT, AC_FORMAT_ALPACA, AC_FORMAT_TEXT
};


ac_status ac_row_bad(const ac_row_place *p, const ac_json *at, ac_err *err, const char *fmt, ...)
{
    if (!err || err->text[0]) return AC_EFORMAT;
    char text[AC_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t line = 1, column = 1;
    if (at) ac_json_place(p->text, at->offset, &line, &column);
    if (line == 1 && p->first_column) column += p->first_column - 1;
    return ac_fail(err, AC_EFORMAT, "%s:%zu:%zu: %s", p->path, p->first_line + line - 1, column, text);
}

/* ---- a source of rows: one object a line, or the items of one JSON array ---- */

typedef struct {
    const char *path;
    ac_view text;
    size_t at, line;            /* of the next line */
    ac_arena scratch;           /* this row's tree; for an array, the whole tree */
    const ac_json *array, *item;
    size_t counted;             /* array: offset up to which lines are counted */
    bool is_array;
    ac_row_place place;         /* of the row given last */
    size_t row_line;
} source;

static void source_release(source *s)
{
    ac_arena_release(&s->scratch);
}

static void source_rewind(source *s)
{
    s->at = 0;
    s->line = 1;
    s->counted = 0;
    s->item = s->array ? s->array->child : NULL;
}

static ac_status source_open(source *s, const char *path, ac_view text, ac_err *err)
{
    *s = (source){ .path = path, .text = text, .line = 1 };
    size_t i = 0;
    while (i < text.len && strchr(" \t\r\n", text.ptr[i]) && text.ptr[i]) i++;
    if (i < text.len && text.ptr[i] == '[') {
        s->is_array = true;
        const ac_status st = ac_json_parse(&s->array, text, &s->scratch, path, 1, NULL, err);
        if (st) return st;
        s->item = s->array->child;
    }
    return AC_OK;
}

static ac_status next_item(source *s, const ac_json **out)
{
    const ac_json *v = s->item;
    *out = v;
    if (!v) return AC_OK;
    s->item = v->next;
    for (; s->counted < v->offset; s->counted++)
        if (s->text.ptr[s->counted] == '\n') s->line++;
    s->row_line = s->line;
    s->place = (ac_row_place){ .path = s->path, .text = s->text, .first_line = 1 };
    return AC_OK;
}

/* *out NULL with AC_OK: the end. On failure the source stands behind the bad line, and reading can go on. */
static ac_status source_next(source *s, const ac_json **out, ac_err *err)
{
    if (s->is_array) return next_item(s, out);
    *out = NULL;
    while (s->at < s->text.len) {
        const char *p = s->text.ptr + s->at;
        const char *lf = memchr(p, '\n', s->text.len - s->at);
        ac_view line = { p, lf ? (size_t)(lf - p) : s->text.len - s->at };
        s->at += line.len + (lf ? 1 : 0);
        const size_t number = s->line++;
        if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
        if (ac_view_trim(line).len == 0) continue;
        s->row_line = number;
        s->place = (ac_row_place){ .path = s->path, .text = line, .first_line = number };
        if (line.len > AC_ROW_MAX_BYTES)
            return ac_fail(err, AC_EFORMAT, "%s:%zu:1: line has %zu bytes; at most %zu are read; split the row",
                           s->path, number, line.len, AC_ROW_MAX_BYTES);
        ac_arena_release(&s->scratch);
        ac_err own = { 0 };
        const ac_status st = ac_json_parse(out, line, &s->scratch, s->path, number, NULL, &own);
        if (st == AC_EFORMAT)
            return ac_fail(err, st, "%s; expected one JSON object a line", own.text);
        if (st) return ac_fail(err, st, "%s", own.text);
        return AC_OK;
    }
    return AC_OK;
}

/* ---- deciding ---- */

static void list_keys(char *out, size_t size, const ac_json *v)
{
    size_t n = 0;
    out[0] = '\0';
    for (const ac_json *c = v->child; c && n + 48 < size; c = c->next)
        n += (size_t)snprintf(out + n, size - n, "%s\"%.*s\"", n ? ", " : "",
                              (int)(c->key.len > 32 ? 32 : c->key.len), c->key.ptr ? c->key.ptr : "");
}

ac_status ac_row_unknown(const ac_row_place *p, const ac_json *v, ac_err *err)
{
    char keys[256];
    if (v->type != AC_JSON_OBJECT)
        return ac_row_bad(p, v, err, "a row must be an object, found %s", ac_json_type_name(v->type));
    if (ac_json_get(v, "chosen") && ac_json_get(v, "rejected"))
        return ac_row_bad(p, v, err, "a preference row (\"chosen\", \"rejected\"); training on preferences is not "
                          "supported; write the chosen answers as prompt and completion");
    if (ac_json_get(v, "label"))
        return ac_row_bad(p, v, err, "a row with a true/false \"label\" (KTO); training on labels is not supported; "
                          "keep the rows labelled true and drop the key");
    list_keys(keys, sizeof keys, v);
    return ac_row_bad(p, v, err, "found the keys %s; expected %s", keys[0] ? keys : "(none)", AC_ROWS_WANTED);
}

typedef struct {
    size_t n;                               /* rows that could be read */
    size_t n_could[8];                      /* rows that could be this format */
    size_t n_bad, second_bad;               /* lines that are not JSON, or no known row */
    ac_err first;                           /* of them */
    ac_status st;
} survey;

static void survey_bad(survey *v, ac_status st, size_t line)
{
    if (v->n_bad++ == 0) v->st = st;
    else if (v->n_bad == 2) v->second_bad = line;
}

static ac_status more_bad(const survey *v, ac_err *err)
{
    if (v->n_bad > 1)
        return ac_fail(err, v->st, "%s (%zu more bad row%s, the next in line %zu)", v->first.text, v->n_bad - 1,
                       v->n_bad > 2 ? "s" : "", v->second_bad);
    return ac_fail(err, v->st, "%s", v->first.text);
}

static ac_status survey_rows(survey *out, source *s, ac_row_format asked, ac_err *err)
{
    survey v = { 0 };
    for (;;) {
        const ac_json *row;
        const ac_status st = source_next(s, &row, &v.first);
        if (st && st != AC_EFORMAT) return ac_fail(err, st, "%s", v.first.text);
        if (st) {
            survey_bad(&v, st, s->row_line);
            continue;
        }
        if (!row) break;
        const unsigned could = ac_row_candidates(row) & ~AC_ROW_NOT_LEARNT;
        if (row->type != AC_JSON_OBJECT || (!could && asked == AC_FORMAT_AUTO))
            survey_bad(&v, ac_row_unknown(&s->place, row, &v.first), s->row_line);
        for (unsigned f = 0; f < AC_COUNTOF(v.n_could); f++)
            if (could >> f & 1) v.n_could[f]++;
        v.n++;
    }
    *out = v;
    return v.n_bad ? more_bad(&v, err) : AC_OK;
}

/* R1: the first format in the order of preference that every row can be. When there is none, the most
 * frequent one is taken and the first row that differs is named. */
static ac_status decide(ac_row_format *out, const survey *v, source *s, ac_err *err)
{
    ac_row_format best = preference[0];
    for (size_t i = 0; i < AC_COUNTOF(preference); i++) {
        if (v->n_could[preference[i]] == v->n) {
            *out = preference[i];
            return AC_OK;
        }
        if (v->n_could[preference[i]] > v->n_could[best]) best = preference[i];
    }
    source_rewind(s);
    const ac_json *row = NULL;
    ac_status st;
    while (!(st = source_next(s, &row, err)) && row)
        if (!(ac_row_candidates(row) >> best & 1)) {
            char keys[256];
            list_keys(keys, sizeof keys, row);
            return ac_row_bad(&s->place, row, err, "found the keys %s, but %zu of %zu rows are %s; expected one "
                              "format a file; fix or move the row", keys, v->n_could[best], v->n,
                              ac_row_format_name(best));
        }
    return st ? st : ac_fail(err, AC_ESTATE, "%s: no format decided", s->path);
}

/* ---- reading ---- */

ac_status ac_rows_bytes_ok(const char *path, ac_view t, ac_err *err)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *what;
    } known[] = {
        { "\x1f\x8b", 2, "a gzip file; unpack it first" },
        { "PK\x03\x04", 4, "a zip file; unpack it first" },
        { "PAR1", 4, "a Parquet file; write its rows as JSONL first" },
        { "\x28\xb5\x2f\xfd", 4, "a zstd file; unpack it first" },
        { "\xef\xbb\xbf", 3, "a byte order mark; save the file as UTF-8 without one" },
        { "\xff\xfe", 2, "UTF-16; save the file as UTF-8" },
        { "\xfe\xff", 2, "UTF-16; save the file as UTF-8" },
    };
    for (size_t i = 0; i < AC_COUNTOF(known); i++)
        if (t.len >= known[i].len && memcmp(t.ptr, known[i].magic, known[i].len) == 0)
            return ac_fail(err, AC_EFORMAT, "%s:1:1: expected JSON text, found %s", path, known[i].what);
    return AC_OK;
}

static ac_status convert_rows(ac_row_file *f, source *s, ac_err *err)
{
    survey v = { 0 };
    size_t i = 0;
    source_rewind(s);
    for (;;) {
        const ac_json *row;
        ac_status st = source_next(s, &row, err);
        if (st) return st;
        if (!row) break;
        if (i == f->n) return ac_fail(err, AC_ESTATE, "%s: more rows than were counted", f->path);
        ac_row *r = &f->row[i++];
        r->line = s->row_line;
        st = ac_row_convert(r, row, f->format, &s->place, &f->arena, &v.first);
        if (st && st != AC_EFORMAT) return ac_fail(err, st, "%s", v.first.text);
        if (st) survey_bad(&v, st, s->row_line);
        else if ((st = ac_unread_row(&f->unread, row, f->format, s->row_line, err))) return st;
    }
    return v.n_bad ? more_bad(&v, err) : AC_OK;
}

static ac_status read_rows(ac_row_file *f, const char *path, ac_row_format format, source *s, ac_err *err)
{
    ac_view text;
    ac_status st = ac_file_read_arena(&text, &f->arena, path, FILE_MAX, err);
    if (st) return st;
    f->hash = ac_sha256_of(text.ptr, text.len);
    if (!(f->path = ac_arena_strndup(&f->arena, path, strlen(path)))) return ac_fail_nomem(err, strlen(path));
    survey v = { 0 };
    if ((st = ac_rows_bytes_ok(path, text, err))) return st;
    if ((st = source_open(s, f->path, text, err))) return st;
    if ((st = survey_rows(&v, s, format, err))) return st;
    if (v.n == 0)
        return ac_fail(err, AC_EFORMAT, "%s:1:1: has no rows; expected one JSON object a line with %s", path, AC_ROWS_WANTED);
    f->n = v.n;
    f->format = format;
    if (format == AC_FORMAT_AUTO && (st = decide(&f->format, &v, s, err))) return st;
    if (!(f->row = ac_arena_alloc_array(&f->arena, f->n, sizeof *f->row)))
        return ac_fail_nomem(err, f->n * sizeof *f->row);
    return convert_rows(f, s, err);
}

ac_status ac_rows_read(ac_row_file *out, const char *path, ac_row_format format, ac_err *err)
{
    ac_row_file f = { 0 };
    source s = { 0 };
    const ac_status st = read_rows(&f, path, format, &s, err);
    source_release(&s);
    if (st) ac_rows_release(&f);
    else *out = f;
    return st;
}

void ac_rows_release(ac_row_file *f)
{
    ac_arena_release(&f->arena);
    ac_unread_release(&f->unread);
    *f = (ac_row_file){ 0 };
}
