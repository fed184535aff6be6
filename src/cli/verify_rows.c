/* rows.txt of a run, and which rows are others now. docs/formats/run.md has the layout. */
#include <string.h>

#include "base/file.h"
#include "cli/train_run.h"
#include "cli/verify.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define ROWS_MAX 2000000u                    /* 34 MB of text; of larger files no row can be named later */

static void half_hash(char out[17], ac_view line)
{
    char hex[AC_SHA256_HEX];
    const ac_sha256 h = ac_sha256_of(line.ptr, line.len);
    ac_sha256_hex(hex, &h);
    memcpy(out, hex, 16);
    out[16] = '\0';
}

static ac_status add_file(ac_str *out, const char *key, const char *path, uint64_t *left, ac_err *err)
{
    ac_lines *l = NULL;
    const size_t begun = out->len;
    const uint64_t unsealed = ac_file_unsealed();
    ac_status st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    ac_str_appendf(out, "# %s\n", key);
    while (!st && *left) {
        ac_view line;
        char half[17];
        st = ac_lines_next(l, &line, NULL, err);
        if (st || !line.ptr) break;
        half_hash(half, line);
        ac_str_appendf(out, "%s\n", half);
        --*left;
    }
    ac_lines_close(&l);
    if (ac_file_unsealed() != unsealed || !*left) out->len = begun;     /* sealed: not even hashes of its rows */
    return st;
}

ac_status ac_rows_write(const char *run, ac_contract *c, ac_err *err)
{
    const struct {
        const char *key, *path;
    } files[] = { { "data.train", c->v.train }, { "data.valid", c->v.valid } };
    ac_arena a = { 0 };
    ac_str s = { 0 };
    uint64_t left = ROWS_MAX;
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(files) && !st; i++) {
        if (!files[i].path) continue;
        const char *full = ac_contract_path(c, files[i].path);
        st = full ? add_file(&s, files[i].key, full, &left, err) : ac_fail_nomem(err, 64);
    }
    char *path = st ? NULL : ac_path_join(&a, run, "rows.txt");
    if (!st && (!path || !ac_str_ok(&s))) st = ac_fail_nomem(err, s.len);
    if (!st && s.len) st = ac_file_write_atomic(path, s.ptr, s.len, err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

/* ---- what differs ---- */

static const ac_verify_input *train_input(const ac_verify *v)
{
    for (size_t i = 0; i < v->n_inputs; i++)
        if (strcmp(v->input[i].in.name, "data.train") == 0) return &v->input[i];
    return NULL;
}

static void note_row(ac_verify *v, uint64_t line, ac_view was, ac_view is)
{
    if (v->n_rows++ >= AC_VERIFY_ROWS) return;
    ac_verify_row *r = &v->row[v->n_rows - 1];
    *r = (ac_verify_row){ .line = line };
    if (was.len == 16) memcpy(r->was, was.ptr, 16);
    if (is.len == 16) memcpy(r->is, is.ptr, 16);
}

/* Line by line; with another number of lines every line behind the first difference may show. */
static ac_status compare_rows(ac_verify *v, ac_lines *old, ac_lines *now, ac_err *err)
{
    bool inside = false, more = true;
    ac_status st = AC_OK;
    for (ac_view line; !inside && !st;) {
        st = ac_lines_next(old, &line, NULL, err);
        if (st || !line.ptr) break;
        inside = ac_view_eq_str(line, "# data.train");
    }
    if (!st && !inside) v->rows_note = "the run holds no hashes of its training rows";
    for (uint64_t number = 1; inside && !st; number++) {
        ac_view was = { NULL, 0 }, is = { NULL, 0 };
        char half[17] = "";
        if (more) st = ac_lines_next(old, &was, NULL, err);
        if (!st && (!was.ptr || ac_view_starts(was, AC_VIEW("#")))) {
            was = (ac_view){ NULL, 0 };
            more = false;
        }
        if (!st) st = ac_lines_next(now, &is, NULL, err);
        if (st || (!was.ptr && !is.ptr)) break;
        if (is.ptr) half_hash(half, is);
        v->rows_was += was.ptr != NULL;
        v->rows_is += is.ptr != NULL;
        if (!was.ptr || !is.ptr || !ac_view_eq_str(was, half)) note_row(v, number, was, ac_view_of(half));
    }
    return st;
}

static void steps_of(ac_verify *v, const ac_dataset *d, const ac_epoch_plan *p)
{
    for (size_t s = 0; s < p->n_steps && s < v->trace_steps; s++)
        for (uint32_t u = p->step_first[s]; u < p->step_first[s + 1]; u++)
            for (uint32_t r = p->unit_first[u]; r < p->unit_first[u + 1]; r++)
                for (size_t k = 0; k < v->n_rows && k < AC_VERIFY_ROWS; k++)
                    if (!v->row[k].step && d->sample[p->row[r]].line == v->row[k].line) v->row[k].step = s + 1;
}

/* Every row is seen once an epoch, so the first one tells. The order is that of the rows as they are now. */
static ac_status plan_steps(ac_verify *v, ac_err *err)
{
    ac_contract c = { 0 };
    ac_loaded l = { 0 };
    ac_row_file rows = { .n = 0 };
    ac_dataset d = { .n = 0 };
    ac_train_opts o;
    ac_epoch_plan plan;
    ac_arena a = { 0 };
    const char *model = NULL;
    ac_status st = ac_contract_read(&c, v->project, err);
    if (!st) st = ac_contract_model_path(&c, &model, err);
    if (!st) st = ac_load_tokenizer(&l, model, err);
    if (!st) st = ac_train_opts_of(&o, &c.v, err);
    if (!st) st = ac_train_data(&d, &rows, &l, &c, c.v.train, &v->cli->sink, err);
    if (!st) st = ac_epoch_plan_make(&plan, &d, &o, 0, &a, err);
    if (!st) steps_of(v, &d, &plan);
    ac_dataset_release(&d);
    ac_rows_release(&rows);
    ac_loaded_release(&l);
    ac_contract_release(&c);
    ac_arena_release(&a);
    return st;
}

ac_status ac_verify_rows(ac_verify *v, ac_err *err)
{
    const ac_verify_input *in = train_input(v);
    ac_lines *old = NULL, *now = NULL;
    char *path = NULL;
    if (!in || in->same) return AC_OK;
    ac_status st = ac_run_path(&path, &v->arena, v->run, "rows.txt", err);
    if (!st && !ac_path_exists(path)) {
        v->rows_note = "the run holds no hashes of its training rows";
        return AC_OK;
    }
    if (!st) st = ac_lines_open(&old, path, 4096, err);
    if (!st) st = ac_lines_open(&now, in->full, LINE_MAX_BYTES, err);
    if (!st) st = compare_rows(v, old, now, err);
    ac_lines_close(&old);
    ac_lines_close(&now);
    if (st || !v->n_rows) return st;
    ac_err own = { "" };
    st = plan_steps(v, &own);
    if (st == AC_ENOMEM) return ac_fail(err, st, "%s", own.text);
    if (st) {                                            /* the changed rows may be unusable; training will say it again */
        v->rows_note = ac_arena_strndup(&v->arena, own.text, strlen(own.text));
        if (!v->rows_note) return ac_fail_nomem(err, sizeof own.text);
    }
    return AC_OK;
}
