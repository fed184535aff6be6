#include "cli/check_show.h"

#include <stdio.h>
#include <string.h>

#include "cli/human.h"
#include "cli/table.h"
#include "formats/json.h"

static const char *severity_name(ac_severity s)
{
    return s == AC_FIND_FAIL ? "FAIL" : s == AC_FIND_WARN ? "warn" : "note";
}

/* The survey counts its own kinds, beyond those findings that it kept. */
static void count_kind(ac_check_page *p, const char *kind, size_t n)
{
    size_t i = 0;
    while (i < p->n_kinds && strcmp(p->kind[i].kind, kind) != 0) i++;
    if (i == AC_CHECK_KINDS) return;
    if (i == p->n_kinds) p->kind[p->n_kinds++] = (ac_survey_count){ .kind = kind };
    p->kind[i].n += n;
}

void ac_check_count(ac_check_page *p)
{
    memcpy(p->by, p->survey->by, sizeof p->by);
    for (size_t i = 0; i < p->survey->n_counts; i++) count_kind(p, p->survey->count[i].kind, p->survey->count[i].n);
    for (size_t i = 0; i < p->n_more; i++)
        for (size_t j = 0; j < p->more[i].n; j++) {
            p->by[p->more[i].finding[j].severity]++;
            count_kind(p, p->more[i].finding[j].kind, 1);
        }
}

/* ---- JSON ---- */

static void finding_json(ac_jw *w, const ac_finding *f)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "severity", severity_name(f->severity));
    ac_jw_cstr(w, "kind", f->kind);
    ac_jw_cstr(w, "id", f->id);
    ac_jw_cstr(w, "where", f->path_a);
    ac_jw_cstr(w, "file_a", f->path_a);
    ac_jw_u64(w, "line_a", f->line_a);
    ac_jw_cstr(w, "file_b", f->path_b);
    ac_jw_u64(w, "line_b", f->line_b);
    ac_jw_f64(w, "score", f->score);
    ac_jw_cstr(w, "text", f->text);
    ac_jw_end_object(w);
}

static void lengths_json(ac_jw *w, const ac_lengths *l)
{
    size_t last = AC_LENGTH_BINS;
    while (last > 0 && l->bin[last - 1] == 0) last--;
    ac_jw_object(w, "length");
    ac_jw_u64(w, "min", l->min);
    ac_jw_u64(w, "median", l->median);
    ac_jw_u64(w, "p95", l->p95);
    ac_jw_u64(w, "max", l->max);
    ac_jw_array(w, "histogram");
    for (size_t i = 0; i < last; i++) {
        ac_jw_object(w, NULL);
        ac_jw_u64(w, "from", i ? UINT64_C(1) << (i - 1) : 0);
        ac_jw_u64(w, "to", i ? (UINT64_C(1) << i) - 1 : 0);
        ac_jw_u64(w, "rows", l->bin[i]);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void unread_json(ac_jw *w, const ac_survey_file *f)
{
    ac_jw_array(w, "unread_keys");
    for (size_t i = 0; i < f->n_unread; i++) {
        const ac_unread_key *k = &f->unread[i];
        ac_jw_object(w, NULL);
        ac_jw_str(w, "key", k->name);
        ac_jw_cstr(w, "of", k->in_turn ? "turn" : "row");
        ac_jw_u64(w, "rows", k->n_rows);
        ac_jw_u64(w, "first_line", k->first_line);
        ac_jw_cstr(w, "severity", severity_name(k->severity));
        ac_jw_cstr(w, "did_you_mean", k->near);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

static void file_json(ac_jw *w, const ac_survey_file *f, bool tokens)
{
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &f->hash);
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "path", f->path);
    ac_jw_cstr(w, "split", f->split ? ac_split_name(f->split) : NULL);
    ac_jw_cstr(w, "format", ac_row_format_name(f->format));
    ac_jw_bool(w, "trainable", f->format != AC_FORMAT_PREFERENCE && f->format != AC_FORMAT_KTO);
    ac_jw_u64(w, "bytes", f->bytes);
    ac_jw_cstr(w, "sha256", hex);
    ac_jw_u64(w, "rows", f->n_rows);
    ac_jw_u64(w, "bad_rows", f->n_bad);
    ac_jw_cstr(w, "unit", tokens ? "tokens" : "words");
    ac_jw_u64(w, "units", f->n_tokens);
    ac_jw_u64(w, "supervised_units", f->n_targets);
    lengths_json(w, &f->length);
    ac_jw_u64(w, "zero_target_rows", f->n_zero_target);
    ac_jw_u64(w, "over_long_rows", f->n_long);
    ac_jw_u64(w, "duplicate_rows", f->n_copies);
    ac_jw_u64(w, "distinct_rows", f->n_rows - f->n_copies);
    ac_jw_u64(w, "near_duplicate_groups", f->n_near_groups);
    ac_jw_u64(w, "near_duplicate_rows", f->n_near);
    ac_jw_u64(w, "repeated_prompts", f->n_asked_again);
    ac_jw_u64(w, "repeated_prompts_bytes", f->n_asked_again_bytes);
    ac_jw_u64(w, "conflicting_answers", f->n_other_answer);
    if (f->format == AC_FORMAT_PREFERENCE) ac_jw_u64(w, "chosen_equals_rejected", f->n_same_pair);
    if (f->format == AC_FORMAT_KTO) {
        ac_jw_u64(w, "labelled_true", f->n_label[1]);
        ac_jw_u64(w, "labelled_false", f->n_label[0]);
    }
    unread_json(w, f);
    ac_jw_end_object(w);
}

static void overlap_json(ac_jw *w, const ac_survey *s, const ac_survey_overlap *o)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "rows_of", s->file[o->b].path);
    ac_jw_cstr(w, "in", s->file[o->a].path);
    ac_jw_u64(w, "pairs", o->pairs_words);
    ac_jw_u64(w, "pairs_bytes", o->pairs_bytes);
    ac_jw_u64(w, "pairs_distinct", o->pairs_distinct);
    ac_jw_u64(w, "prompts", o->prompts_words);
    ac_jw_u64(w, "prompts_bytes", o->prompts_bytes);
    ac_jw_u64(w, "prompts_distinct", o->prompts_distinct);
    ac_jw_u64(w, "near", o->near);
    ac_jw_end_object(w);
}

static void texts_json(ac_jw *w, const ac_check_page *p)
{
    char hex[AC_SHA256_HEX];
    if (p->absent) ac_jw_cstr(w, "absent", p->absent);
    if (p->cases) {
        ac_sha256_hex(hex, &p->cases->hash);
        ac_jw_object(w, "cases");
        ac_jw_cstr(w, "path", p->cases->path);
        ac_jw_cstr(w, "sha256", hex);
        ac_jw_u64(w, "cases", p->cases->n);
        for (int i = 0; i < AC_CLASS_COUNT; i++) ac_jw_u64(w, ac_class_name((ac_class)i), p->cases->n_class[i]);
        ac_jw_bool(w, "canary", p->cases->canary.len > 0);
        ac_jw_end_object(w);
    }
    if (!p->docs) return;
    ac_jw_object(w, "documents");
    ac_jw_cstr(w, "path", p->docs);
    ac_jw_u64(w, "documents", p->n_docs);
    ac_jw_u64(w, "bytes", p->docs_bytes);
    ac_jw_end_object(w);
}

void ac_check_json(ac_str *out, const ac_check_page *p)
{
    const ac_survey *s = p->survey;
    size_t rows = 0;
    uint64_t units = 0, targets = 0;
    ac_jw w;
    for (size_t i = 0; i < s->n_files; i++) {
        rows += s->file[i].n_rows;
        units += s->file[i].n_tokens;
        targets += s->file[i].n_targets;
    }
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "rows", rows);
    ac_jw_u64(&w, "tokens", s->has_tokens ? units : 0);
    ac_jw_u64(&w, "supervised_tokens", s->has_tokens ? targets : 0);
    ac_jw_u64(&w, "fail", p->by[AC_FIND_FAIL]);
    ac_jw_u64(&w, "warn", p->by[AC_FIND_WARN]);
    ac_jw_u64(&w, "note", p->by[AC_FIND_NOTE]);
    if (s->first_bad.text[0]) ac_jw_cstr(&w, "bad_data", s->first_bad.text);
    ac_jw_array(&w, "files");
    for (size_t i = 0; i < s->n_files; i++) file_json(&w, &s->file[i], s->has_tokens);
    ac_jw_end_array(&w);
    ac_jw_array(&w, "overlaps");
    for (size_t i = 0; i < s->n_overlaps; i++) overlap_json(&w, s, &s->overlap[i]);
    ac_jw_end_array(&w);
    texts_json(&w, p);
    ac_jw_object(&w, "counts");
    for (size_t i = 0; i < p->n_kinds; i++) ac_jw_u64(&w, p->kind[i].kind, p->kind[i].n);
    ac_jw_end_object(&w);
    ac_jw_array(&w, "findings");
    for (size_t j = 0; j < s->found.n; j++) finding_json(&w, &s->found.finding[j]);
    for (size_t i = 0; i < p->n_more; i++)
        for (size_t j = 0; j < p->more[i].n; j++) finding_json(&w, &p->more[i].finding[j]);
    ac_jw_end_array(&w);
    if (p->has_masks) ac_jw_str(&w, "masks", p->masks);
    ac_jw_end_object(&w);
}

/* ---- text ---- */

/* "1,234 rows", "1 row" */
static void counted(ac_str *s, uint64_t n, const char *what)
{
    char text[32];
    ac_human_count(text, n);
    ac_str_appendf(s, "%s %s%s", text, what, ac_plural(n));
}

static void file_text(ac_str *s, const ac_survey_file *f, bool tokens)
{
    const char *unit = tokens ? "tokens" : "words";
    char trained[32];
    ac_str_appendf(s, "%s: ", f->path);
    counted(s, f->n_rows, "row");
    ac_str_appendf(s, " (%s%s%s), ", ac_row_format_name(f->format), f->split ? ", " : "",
                   f->split ? ac_split_name(f->split) : "");
    counted(s, f->n_tokens, tokens ? "token" : "word");
    ac_human_count(trained, f->n_targets);
    ac_str_appendf(s, ", %s of them trained\n  length in %s: least %u, median %u, 95 %% %u, most %u\n", trained, unit, f->length.min, f->length.median,
                   f->length.p95, f->length.max);
    if (f->n_bad) ac_str_appendf(s, "  %zu bad row%s, the first in line %zu\n", f->n_bad, ac_plural(f->n_bad), f->first_bad);
    if (f->n_zero_target) ac_str_appendf(s, "  %zu row%s in which nothing is learnt\n", f->n_zero_target,
                                         ac_plural(f->n_zero_target));
    if (f->n_long) ac_str_appendf(s, "  %zu row%s longer than max_len\n", f->n_long, ac_plural(f->n_long));
    if (f->n_copies)
        ac_str_appendf(s, "  %zu row%s: %zu distinct row%s\n", f->n_copies,
                       f->n_copies == 1 ? " is a copy of an earlier one" : "s are copies of earlier ones", f->n_rows - f->n_copies,
                       ac_plural(f->n_rows - f->n_copies));
    if (f->n_near_groups)
        ac_str_appendf(s, "  %zu row%s in %zu group%s of near duplicates, copies apart\n", f->n_near, ac_plural(f->n_near),
                       f->n_near_groups, ac_plural(f->n_near_groups));
    if (f->n_asked_again)
        ac_str_appendf(s, "  %zu row%s what an earlier row asks (%zu of them byte for byte), %zu with another answer\n",
                       f->n_asked_again, f->n_asked_again == 1 ? " asks" : "s ask", f->n_asked_again_bytes, f->n_other_answer);
    if (f->n_same_pair) ac_str_appendf(s, "  %zu row%s with chosen equal to rejected\n", f->n_same_pair,
                                       ac_plural(f->n_same_pair));
    if (f->format == AC_FORMAT_KTO)
        ac_str_appendf(s, "  %zu row%s labelled true, %zu false\n", f->n_label[1], ac_plural(f->n_label[1]), f->n_label[0]);
}

static void overlap_text(ac_str *s, const ac_survey *v, const ac_survey_overlap *o)
{
    if (!o->pairs_words && !o->prompts_words && !o->near) return;
    ac_str_appendf(s, "%s in %s: %zu row%s by %s words, %zu byte for byte (%zu distinct); %zu prompt%s by %s words, %zu "
                   "byte for byte (%zu distinct)\n", v->file[o->b].path, v->file[o->a].path, o->pairs_words,
                   ac_plural(o->pairs_words), o->pairs_words == 1 ? "its" : "their", o->pairs_bytes, o->pairs_distinct,
                   o->prompts_words, ac_plural(o->prompts_words), o->prompts_words == 1 ? "its" : "their", o->prompts_bytes, o->prompts_distinct);
}

static void place(ac_table *t, const ac_finding *f)
{
    const char *a = f->path_a ? f->path_a : "-", *b = f->path_b ? f->path_b : a;
    if (!f->line_a && f->line_b) ac_table_cellf(t, "%s:%zu", b, f->line_b);
    else if (!f->line_a) ac_table_cell(t, ac_view_of(a));
    else if (!f->line_b) ac_table_cellf(t, "%s:%zu", a, f->line_a);
    else if (strcmp(a, b) == 0) ac_table_cellf(t, "%s:%zu, %zu", a, f->line_a, f->line_b);
    else ac_table_cellf(t, "%s:%zu, %s:%zu", a, f->line_a, b, f->line_b);
}

static void row(ac_table *t, const ac_finding *f)
{
    ac_table_cell(t, ac_view_of(severity_name(f->severity)));
    ac_table_cell(t, ac_view_of(f->kind));
    place(t, f);
    ac_table_cell(t, ac_view_of(f->id));
    ac_table_cell(t, ac_view_of(f->text));
}

static size_t rows(ac_table *t, const ac_check_page *p, int level, size_t left)
{
    const ac_survey *s = p->survey;
    const size_t before = left;
    for (size_t j = 0; j < s->found.n && left; j++)
        if ((int)s->found.finding[j].severity == level) {
            row(t, &s->found.finding[j]);
            left--;
        }
    for (size_t i = 0; i < p->n_more; i++)
        for (size_t j = 0; j < p->more[i].n && left; j++)
            if ((int)p->more[i].finding[j].severity == level) {
                row(t, &p->more[i].finding[j]);
                left--;
            }
    return before - left;
}

static void total(ac_str *s, const ac_check_page *p)
{
    const ac_survey *v = p->survey;
    size_t n = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < v->n_files; i++) {
        n += v->file[i].n_rows;
        bytes += v->file[i].bytes;
    }
    counted(s, n, "row");
    if (p->cases) {
        ac_str_append_c(s, ", ");
        counted(s, p->cases->n, "case");
    }
    if (p->docs) {
        ac_str_append_c(s, ", ");
        counted(s, p->n_docs, "document");
    }
    if (n && p->seconds >= 1.0) {
        char size[32];
        ac_human_bytes(size, (uint64_t)((double)bytes / p->seconds));
        ac_str_appendf(s, " in %.1f s (%s a second)", p->seconds, size);
    }
    ac_str_append_c(s, ": ");
    counted(s, p->by[AC_FIND_FAIL], "failure");
    ac_str_append_c(s, ", ");
    counted(s, p->by[AC_FIND_WARN], "warning");
    ac_str_append_c(s, ", ");
    counted(s, p->by[AC_FIND_NOTE], "note");
    ac_str_append_char(s, '\n');
}

static void texts_text(ac_str *s, const ac_check_page *p)
{
    const ac_cases *c = p->cases;
    if (p->absent) ac_str_appendf(s, "%s: is not there; cases and documents are checked without it\n", p->absent);
    if (c)
        ac_str_appendf(s, "%s: %zu case%s (%zu success, %zu refusal, %zu edge), %s canary\n", c->path, c->n, ac_plural(c->n), c->n_class[0],
                       c->n_class[1], c->n_class[2], c->canary.len ? "with a" : "no");
    if (p->docs) {
        char size[32];
        ac_human_bytes(size, p->docs_bytes);
        ac_str_appendf(s, "%s: %zu document%s, %s\n", p->docs, p->n_docs, ac_plural(p->n_docs), size);
    }
}

ac_status ac_check_text(ac_str *s, const ac_check_page *p, const ac_cli *cli, ac_err *err)
{
    static const char *const head[] = { "", "kind", "where", "id", "finding" };
    const size_t all = p->by[0] + p->by[1] + p->by[2], most = p->limit ? p->limit : SIZE_MAX;
    ac_table t;
    size_t printed = 0;
    ac_status st = AC_OK;
    ac_str_append(s, p->masks);
    for (size_t i = 0; i < p->survey->n_files; i++) file_text(s, &p->survey->file[i], p->survey->has_tokens);
    for (size_t i = 0; i < p->survey->n_overlaps; i++) overlap_text(s, p->survey, &p->survey->overlap[i]);
    texts_text(s, p);
    ac_table_init(&t, "lllll", head);
    for (int level = AC_FIND_FAIL; level >= AC_FIND_NOTE; level--) printed += rows(&t, p, level, most - printed);
    if (printed) {
        ac_str_append_char(s, '\n');
        st = ac_table_render(&t, s, 0, cli->color, err);
    }
    ac_table_release(&t);
    if (printed < all)
        ac_str_appendf(s, "... and %zu more; --limit 0 shows all that are kept, --json counts them by kind\n", all - printed);
    if (all) ac_str_append_char(s, '\n');
    total(s, p);
    return st;
}
