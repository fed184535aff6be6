/* Splitting rows into parts by group.
 *
 * Rows with the same key, and where it is asked for rows that are near duplicates (and with them all copies), are one
 * group. Groups, in the order of their first rows, are shuffled with the seed; then each in turn goes to test while it
 * fits, else to valid while it fits, else to train. Rows keep the order that they had. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "data/survey_int.h"

static const char *const part_names[] = { "", "train.jsonl", "valid.jsonl", "test.jsonl" };

typedef struct {
    const ac_split_opts *o;
    ac_survey survey;
    survey_rows rows;
    near_groups near;
    uint32_t *parent;           /* of groups; near.parent where there is one */
    uint32_t *size;             /* of the group, at its root */
    uint8_t *part;              /* of each row */
    ac_split_result out;
} splitting;

/* ---- groups ---- */

static ac_status join_by_key(splitting *x, ac_err *err)
{
    const row_table *t = &x->rows.table;
    row_key *v = ac_malloc((t->n + 1) * sizeof *v);
    size_t n = 0;
    if (!v) return ac_fail_nomem(err, t->n * sizeof *v);
    for (size_t i = 0; i < t->n; i++)
        if (x->o->by == AC_SPLIT_BY_KEY || !(t->rec[i].flags & ROW_NO_ASK)) v[n++] = (row_key){ t->rec[i].ask, (uint32_t)i };
    row_keys_sort(v, n);
    for (size_t i = 1; i < n; i++)
        if (v[i].key == v[i - 1].key) near_join(x->parent, v[i].row, v[i - 1].row);
    ac_free(v);
    return AC_OK;
}

static ac_status make_groups(splitting *x, ac_err *err)
{
    const row_table *t = &x->rows.table;
    ac_status st = AC_OK;
    if (x->o->near) st = near_find(&x->near, t, &x->rows.sketch, err);
    else if (!(x->near.parent = ac_malloc((t->n + 1) * sizeof *x->near.parent))) st = ac_fail_nomem(err, t->n * 4);
    if (st) return st;
    x->parent = x->near.parent;
    for (size_t i = 0; !x->o->near && i < t->n; i++) x->parent[i] = (uint32_t)i;
    if (x->o->by != AC_SPLIT_BY_NONE) st = join_by_key(x, err);
    x->size = ac_calloc(t->n + 1, sizeof *x->size);
    x->part = ac_calloc(t->n + 1, 1);
    if (!st && (!x->size || !x->part)) st = ac_fail_nomem(err, t->n * 5);
    for (size_t i = 0; !st && i < t->n; i++) x->size[near_root(x->parent, (uint32_t)i)]++;
    return st;
}

static size_t share(double of, size_t n)
{
    return (size_t)(of * (double)n + 0.5);
}

static ac_status too_few(const splitting *x, ac_split s, size_t wanted, ac_err *err)
{
    return ac_fail(err, AC_EARG, "no group fits into %s: %zu rows were wanted and the largest of %zu groups has %zu; ask for a "
                   "larger share, another --by, or give --no-near", ac_split_name(s), wanted, x->out.n_groups,
                   x->out.largest_group);
}

/* The parts of the roots, which the rows then follow. */
static ac_status deal(splitting *x, ac_err *err)
{
    const size_t n = x->rows.table.n;
    uint32_t *root = ac_malloc((n + 1) * sizeof *root), *order = ac_malloc((n + 1) * sizeof *order);
    size_t n_groups = 0, want[4] = { 0, SIZE_MAX, share(x->o->valid, n), share(x->o->test, n) }, have[4] = { 0, 0, 0, 0 };
    if (!order || !root) {
        ac_free(order);
        ac_free(root);
        return ac_fail_nomem(err, n * sizeof *order);
    }
    for (size_t i = 0; i < n; i++) {
        if (!x->size[i]) continue;
        root[n_groups++] = (uint32_t)i;
        if (x->size[i] > x->out.largest_group) x->out.largest_group = x->size[i];
    }
    x->out.n_groups = n_groups;
    ac_rng_shuffle(order, n_groups, x->o->seed, AC_RNG_SPLIT, 0);
    for (size_t i = 0; i < n_groups; i++) {
        const uint32_t group = root[order[i]];
        const size_t rows = x->size[group];
        ac_split s = AC_SPLIT_TRAIN;
        if (have[AC_SPLIT_TEST] + rows <= want[AC_SPLIT_TEST]) s = AC_SPLIT_TEST;
        else if (have[AC_SPLIT_VALID] + rows <= want[AC_SPLIT_VALID]) s = AC_SPLIT_VALID;
        have[s] += rows;
        x->out.part[s].groups++;
        x->part[group] = (uint8_t)s;
    }
    ac_free(order);
    ac_free(root);
    for (size_t i = 0; i < n; i++) x->part[i] = x->part[near_root(x->parent, (uint32_t)i)];
    for (int s = AC_SPLIT_TRAIN; s <= AC_SPLIT_TEST; s++) x->out.part[s].rows = have[s];
    if (!have[AC_SPLIT_TRAIN])
        return ac_fail(err, AC_EARG, "nothing is left for training: valid and test take all %zu rows; ask for smaller shares", n);
    if (x->o->valid > 0 && !have[AC_SPLIT_VALID]) return too_few(x, AC_SPLIT_VALID, want[AC_SPLIT_VALID], err);
    if (x->o->test > 0 && !have[AC_SPLIT_TEST]) return too_few(x, AC_SPLIT_TEST, want[AC_SPLIT_TEST], err);
    return AC_OK;
}

/* ---- writing ---- */

typedef struct {
    ac_writer *w;
    ac_sha256_state hash;
    char *path;
} part_file;

static ac_status write_part(splitting *x, part_file *f, ac_split s, ac_view text, ac_err *err)
{
    ac_status st = ac_writer_write(f[s].w, text.ptr, text.len, err);
    if (!st) st = ac_writer_write(f[s].w, "\n", 1, err);
    ac_sha256_add(&f[s].hash, text.ptr, text.len);
    ac_sha256_add(&f[s].hash, "\n", 1);
    x->out.part[s].bytes += text.len + 1;
    return st;
}

/* A row of an array may stand on several lines: it is written as one, its keys as they were. */
static ac_status write_row(splitting *x, part_file *f, const row_rec *r, ac_split s, char *text, ac_arena *a, ac_err *err)
{
    const ac_view v = { text, r->len };
    if (!memchr(text, '\n', r->len) && !memchr(text, '\r', r->len)) return write_part(x, f, s, ac_view_trim(v), err);
    const ac_json *tree;
    ac_str line = { 0 };
    ac_arena_reset(a);
    ac_status st = ac_json_parse(&tree, v, a, x->survey.file[r->file].path, r->line, NULL, err);
    if (!st) ac_json_write(&line, tree);
    if (!st && !ac_str_ok(&line)) st = ac_fail_nomem(err, line.len);
    if (!st) st = write_part(x, f, s, ac_str_view(&line), err);
    ac_str_release(&line);
    return st;
}

static ac_status write_rows(splitting *x, part_file *f, ac_err *err)
{
    const row_table *t = &x->rows.table;
    ac_arena arena = { 0 };
    char *buf = NULL;
    size_t cap = 0;
    ac_status st = AC_OK;
    for (size_t i = 0; i < t->n && !st; i++) {
        const row_rec *r = &t->rec[i];
        if (r->len > cap) {
            char *p = ac_realloc(buf, (size_t)r->len * 2);
            if (!p) {
                st = ac_fail_nomem(err, r->len * 2);
                break;
            }
            buf = p;
            cap = (size_t)r->len * 2;
        }
        st = ac_reader_at(t->stream[r->file].file, r->offset, buf, r->len, err);
        if (!st) st = write_row(x, f, r, (ac_split)x->part[i], buf, &arena, err);
    }
    ac_free(buf);
    ac_arena_release(&arena);
    return st;
}

static bool is_asked(const splitting *x, int s)
{
    return s == AC_SPLIT_TRAIN || (s == AC_SPLIT_VALID ? x->o->valid : x->o->test) > 0;
}

static ac_status open_parts(splitting *x, part_file *f, const char *dir, ac_err *err)
{
    ac_status st = AC_OK;
    for (int s = AC_SPLIT_TRAIN; s <= AC_SPLIT_TEST && !st; s++) {
        if (!(f[s].path = ac_path_join(&x->out.arena, dir, part_names[s]))) return ac_fail_nomem(err, strlen(dir));
        if (ac_path_exists(f[s].path))
            return ac_fail(err, AC_ECREATE, "%s is there already; nothing is overwritten: name another folder", f[s].path);
    }
    if (!st) st = ac_mkdir_p(dir, err);
    for (int s = AC_SPLIT_TRAIN; s <= AC_SPLIT_TEST && !st; s++) {
        ac_sha256_init(&f[s].hash);
        if (is_asked(x, s)) st = ac_writer_open(&f[s].w, f[s].path, err);
    }
    return st;
}

static ac_status write_all(splitting *x, const char *dir, ac_err *err)
{
    part_file f[4] = { { .w = NULL } };
    bool done[4] = { false, false, false, false };
    ac_status st = open_parts(x, f, dir, err);
    if (!st) st = write_rows(x, f, err);
    for (int s = AC_SPLIT_TRAIN; s <= AC_SPLIT_TEST; s++) {
        if (st) ac_writer_abort(&f[s].w);
        else if (f[s].w) {
            ac_sha256_done(&f[s].hash, &x->out.part[s].hash);
            st = ac_writer_commit(&f[s].w, err);
            done[s] = !st;
        }
    }
    for (int s = AC_SPLIT_TRAIN; st && s <= AC_SPLIT_TEST; s++)      /* all parts or none, as far as that can be had */
        if (done[s]) (void)ac_remove_tree(f[s].path, NULL);
    return st;
}

/* ---- all ---- */

static ac_status same_format(splitting *x, ac_err *err)
{
    const ac_survey *s = &x->survey;
    if (s->first_bad.text[0]) return ac_fail(err, AC_EFORMAT, "%s", s->first_bad.text);
    for (size_t i = 1; i < s->n_files; i++)
        if (s->file[i].format != s->file[0].format)
            return ac_fail(err, AC_EFORMAT, "%s holds %s rows and %s %s rows; expected one format", s->file[0].path,
                           ac_row_format_name(s->file[0].format), s->file[i].path, ac_row_format_name(s->file[i].format));
    x->out.format = s->file[0].format;
    x->out.n_rows = x->rows.table.n;
    return AC_OK;
}

static ac_status split(splitting *x, const char *const *paths, size_t n, const char *dir, ac_err *err)
{
    const ac_survey_opts so = { .near = x->o->near, .pool = x->o->pool, .sink = x->o->sink };
    ac_survey_input *in = ac_arena_alloc_array(&x->out.arena, n, sizeof *in);
    if (!in) return ac_fail_nomem(err, n * sizeof *in);
    for (size_t i = 0; i < n; i++) in[i] = (ac_survey_input){ paths[i], AC_SPLIT_NONE };
    const survey_job job = { .in = in, .n = n, .o = &so, .key = x->o->by == AC_SPLIT_BY_KEY ? x->o->key : NULL };
    ac_status st = survey_read(&x->rows, &x->survey, &job, err);
    for (size_t i = 0; i < n && !st; i++)
        if (ac_reader_sealed(x->rows.stream[i].file))
            st = ac_fail(err, AC_EREFUSED, "%s is sealed, and its rows would be written in the clear; unseal it first", paths[i]);
    if (!st) st = same_format(x, err);
    if (!st) st = make_groups(x, err);
    if (!st) st = deal(x, err);
    if (!st) st = write_all(x, dir, err);
    if (st) return st;
    x->out.n_files = n;
    if (!(x->out.file = ac_arena_alloc_array(&x->out.arena, n, sizeof *x->out.file))) return ac_fail_nomem(err, n);
    memcpy(x->out.file, x->survey.file, n * sizeof *x->out.file);
    return AC_OK;
}

ac_status ac_split_write(ac_split_result *out, const char *const *paths, size_t n, const char *dir,
                         const ac_split_opts *o, ac_err *err)
{
    splitting x = { .o = o };
    if (n == 0) return ac_fail(err, AC_EARG, "no file to split");
    if (!(o->valid >= 0) || !(o->test >= 0) || !(o->valid + o->test < 1))
        return ac_fail(err, AC_EARG, "the shares for valid and test must leave rows for training");
    const ac_status st = split(&x, paths, n, dir, err);
    near_groups_release(&x.near);
    survey_rows_release(&x.rows);
    ac_survey_release(&x.survey);
    ac_free(x.size);
    ac_free(x.part);
    if (st) ac_split_result_release(&x.out);
    else *out = x.out;
    return st;
}

void ac_split_result_release(ac_split_result *r)
{
    ac_arena_release(&r->arena);
    *r = (ac_split_result){ 0 };
}
