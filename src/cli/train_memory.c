/* The memory of a run, before it begins: asked of the engine, told to the person, kept in run.json. */
#include <stdio.h>
#include <string.h>

#include "base/sysmem.h"
#include "cli/human.h"
#include "cli/train_run.h"

/* What the process may hold in all. A sixteenth of what is free stays free: others need some, and a plan is no
 * measurement. */
static uint64_t system_limit(uint64_t held, uint64_t weights)
{
    const int64_t left = ac_memory_available();
    if (left < 0) return 0;
    /* Pages of the weights that are mapped already count as free to the system, so they are not added. */
    const uint64_t limit = held + (uint64_t)left - (uint64_t)left / 16;
    return limit > weights ? limit : weights;
}

/* A GPU's own memory, where that is what a run lives in; its weights are there already. */
static uint64_t limit_of(const ac_loaded *l, uint64_t *held)
{
    const uint64_t weights = ac_model_get_config(l->model)->weight_bytes;
    const uint64_t own = l->device->op->free_memory(l->device);
    if (!own) return system_limit(*held, weights);
    *held = 0;
    return own - own / 16 + weights;
}

ac_status ac_train_plan_memory(ac_memory_plan *out, ac_train_opts *o, const ac_train_cli *cli,
                               const ac_contract_values *v, const ac_loaded *l, const ac_dataset *train,
                               const ac_dataset *valid, int64_t mapped_before, ac_err *err)
{
    static const char *const names[] = { "auto", "none", "block" };                  /* ac_recompute */
    ac_memory_ask ask = { .held = (uint64_t)(ac_rss_own_bytes() + mapped_before) };
    for (int i = 0; i < (int)AC_COUNTOF(names); i++)
        if (strcmp(v->recompute, names[i]) == 0) ask.recompute = (ac_recompute)i;
    if (cli->recompute) ask.recompute = (ac_recompute)(cli->recompute - 1);
    if (cli->micro_batch) o->micro_batch = (size_t)cli->micro_batch;
    ac_status st = AC_OK;
    if (cli->memory_limit && !ac_parse_size(ac_view_of(cli->memory_limit), &ask.limit))
        st = ac_fail(err, AC_EARG, "--memory-limit: expected a size like 900M or 4G, found \"%.40s\"", cli->memory_limit);
    else if (!cli->memory_limit) ask.limit = limit_of(l, &ask.held);
    return st ? st : ac_memory_plan_make(out, o, &ask, l->model, train, valid, err);
}

static void limit_text(char out[64], const ac_memory_plan *p)
{
    char limit[32];
    ac_human_bytes(limit, p->limit);
    if (p->limit) (void)snprintf(out, 64, "of %s that may be used", limit);
    else (void)snprintf(out, 64, "(how much there is, is not known)");
}

void ac_memory_table(ac_str *out, const ac_memory_plan *p)
{
    char size[32], limit[64];
    ac_str_append_c(out, "memory\n");
    for (size_t i = 0; i < p->n_lines; i++) {
        ac_human_bytes(size, p->line[i].bytes);
        ac_str_appendf(out, "  %-38s %10s\n", p->line[i].name, size);
    }
    ac_human_bytes(size, p->peak);
    limit_text(limit, p);
    ac_str_appendf(out, "  %-38s %10s  %s\n", "planned peak", size, limit);
    ac_str_appendf(out, "at most %zu tokens at once, recompute %s%s\n", p->tokens, p->recompute ? "block" : "none",
                   p->shrunk ? "; smaller than asked for, so that it fits" : "");
}

ac_status ac_memory_note(const ac_memory_plan *p, const ac_sink *sink, ac_err *err)
{
    ac_str s = { 0 };
    char size[32], limit[64];
    ac_status st = AC_OK;
    for (size_t i = 0; i < p->n_lines; i++) {
        ac_human_bytes(size, p->line[i].bytes);
        ac_str_appendf(&s, "%s%s %s", i ? ", " : "memory: ", p->line[i].name, size);
    }
    for (int line = 0; !st && line < 2; line++) {
        if (line) {
            ac_human_bytes(size, p->peak);
            limit_text(limit, p);
            ac_str_reset(&s);
            ac_str_appendf(&s, "memory: planned peak %s %s; at most %zu tokens at once, recompute %s%s", size, limit,
                           p->tokens, p->recompute ? "block" : "none",
                           p->shrunk ? " (smaller than asked for, so that it fits; no bit changes)" : "");
        }
        if (!ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
        const ac_event e = { .kind = AC_EV_NOTE, .text = ac_str_c(&s) };
        if (!st) st = ac_emit(sink, &e, err);
    }
    ac_str_release(&s);
    return st;
}

void ac_memory_json(ac_jw *w, const ac_memory_plan *p)
{
    ac_jw_object(w, "memory");
    ac_jw_array(w, "parts");
    for (size_t i = 0; i < p->n_lines; i++) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "what", p->line[i].name);
        ac_jw_u64(w, "bytes", p->line[i].bytes);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_u64(w, "planned_peak_bytes", p->peak);
    if (p->limit) ac_jw_u64(w, "limit_bytes", p->limit);
    else ac_jw_null(w, "limit_bytes");
    ac_jw_u64(w, "tokens_at_once", p->tokens);
    ac_jw_u64(w, "micro_batch", p->micro_batch);
    ac_jw_cstr(w, "recompute", p->recompute ? "block" : "none");
    ac_jw_bool(w, "shrunk", p->shrunk);
    ac_jw_end_object(w);
}
