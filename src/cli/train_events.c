/* metrics.jsonl: docs/formats/run.md. */
#include <string.h>

#include "cli/train_run.h"
#include "formats/json.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)

static void line_of(ac_str *s, const ac_event *e)
{
    const bool step = e->kind == AC_EV_STEP;
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "event", step ? "step" : "eval");
    ac_jw_u64(&w, "step", e->step);
    if (step) ac_jw_u64(&w, "epoch", e->epoch + 1);          /* people count from 1 */
    ac_jw_f64(&w, "loss", e->loss);
    if (step) {
        ac_jw_f64(&w, "grad_norm", e->grad_norm);
        ac_jw_f64(&w, "lr", e->lr);
        ac_jw_u64(&w, "tokens", e->tokens);
        ac_jw_u64(&w, "supervised_tokens", e->supervised_tokens);
        ac_jw_u64(&w, "padding_tokens", e->padding_tokens);
        ac_jw_f64(&w, "seconds", e->seconds);
        ac_jw_bool(&w, "undone", e->flag);
    } else {
        ac_jw_bool(&w, "best", e->flag);
        ac_jw_f64(&w, "seconds", e->seconds);
    }
    ac_jw_end_object(&w);
}

/* Whether this line belongs to what the checkpoint after `step` has seen. */
static bool belongs(ac_view line, uint64_t step)
{
    ac_arena a = { 0 };
    const ac_json *o = NULL;
    int64_t at = -1;
    const bool ok = ac_json_parse(&o, line, &a, "", 1, NULL, NULL) == AC_OK
                    && ac_json_get_i64(&at, o, "step", "", NULL) == AC_OK;
    ac_arena_release(&a);
    return ok && at >= 0 && (uint64_t)at <= step;
}

/* Drops the lines behind `step`, and a last one that was cut off. Lines are in order, so the rest begins at the first
 * that does not belong. */
static ac_status cut(const char *path, uint64_t step, ac_err *err)
{
    ac_lines *l = NULL;
    uint64_t keep = 0, size = 0;
    ac_view line;
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_file_size(path, &size, err);
    if (!st) st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st) {
        st = ac_lines_next(l, &line, NULL, err);
        if (st || !line.ptr || !belongs(line, step) || keep + line.len + 1 > size) break;
        keep += line.len + 1;
    }
    ac_lines_close(&l);
    if (!st && keep < size) st = ac_truncate(path, keep, err);
    return st;
}

static ac_status begin(ac_recorder *r, uint64_t step, ac_err *err)
{
    r->last_step = step;
    ac_status st = r->begin(r->ctx, err);
    if (st) return st;
    r->began = true;
    st = cut(r->path, step, err);
    return st ? st : ac_appender_open(&r->metrics, r->path, err);
}

/* V2 of event.h: a failure here, as from a full disk, is passed on and ends the run cleanly. */
static ac_status emit(void *ctx, const ac_event *e, ac_err *err)
{
    ac_recorder *r = ctx;
    ac_status st = AC_OK;
    if (e->kind == AC_EV_STAGE && !r->began) st = begin(r, e->done, err);
    if (e->kind == AC_EV_STEP) r->last_step = e->step;
    if (r->metrics && (e->kind == AC_EV_STEP || e->kind == AC_EV_EVAL)) {
        ac_str_reset(&r->line);
        line_of(&r->line, e);
        st = ac_str_ok(&r->line) ? ac_appender_line(r->metrics, ac_str_view(&r->line), err)
                                 : ac_fail_nomem(err, r->line.len);
    }
    if (r->metrics && e->kind == AC_EV_CHECKPOINT) st = ac_appender_sync(r->metrics, err);
    const ac_status shown = ac_emit(&r->next, e, st ? NULL : err);
    return st ? st : shown;
}

ac_sink ac_recorder_sink(ac_recorder *r)
{
    return (ac_sink){ emit, r };
}

void ac_recorder_close(ac_recorder *r)
{
    ac_appender_close(&r->metrics);
    ac_str_release(&r->line);
}
