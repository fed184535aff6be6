/* The memory of a run, before it begins: asked of the engine, told to the person, kept in run.json. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sysmem.h"
#include "cli/human.h"
#include "cli/train_run.h"

/* Pages of the program and its libraries that only training and saving come to (measured: 0.3 to 0.7 MiB), and a thread's stack. */
#define CODE_TO_COME ((int64_t)3 << 19)
#define STACK_TO_COME ((int64_t)64 << 10)

/* What stays as long as the run: pages of its own, and of mapped files other than the weights, which are counted apart. */
static uint64_t held_now(const ac_loaded *l, const ac_cli *cli, int64_t mapped_before)
{
    const int64_t threads = cli->threads ? cli->threads : (int64_t)ac_cpu_count();
    const int64_t weights = (int64_t)ac_model_get_config(l->model)->weight_bytes;
    ac_mem_settle();
    const int64_t beside = ac_rss_mapped_bytes() - weights, mapped = beside > mapped_before ? beside : mapped_before;
    return (uint64_t)(ac_rss_own_bytes() + mapped + CODE_TO_COME + threads * STACK_TO_COME);
}

/* What a run lives in: the machine's memory, or a GPU's own, where the weights are already and nobody else works. */
static ac_budget_facts memory_of(const ac_loaded *l, uint64_t *held)
{
    const ac_device_memory own = l->device->op->memory(l->device);
    if (!own.free) return (ac_budget_facts){ .machine = ac_memory_machine(), .available = ac_memory_available(), .held = *held };
    *held = 0;
    return (ac_budget_facts){ .machine = -1, .available = (int64_t)own.free, .held = own.context + own.held };
}

static ac_status budget_of(ac_budget *out, const ac_train_cli *cli, const ac_contract_values *v, const ac_loaded *l,
                           uint64_t *held, ac_err *err)
{
    ac_budget_facts f = memory_of(l, held);
    if (cli->memory_limit && !ac_parse_size(ac_view_of(cli->memory_limit), &f.asked))
        return ac_fail(err, AC_EARG, "--memory-limit: expected a size like 900M or 4G, found \"%.40s\"", cli->memory_limit);
    /* The contract's sizes were checked when it was read. */
    if (v->memory_budget) (void)ac_parse_size(ac_view_of(v->memory_budget), &f.budget);
    if (v->memory_reserve) (void)ac_parse_size(ac_view_of(v->memory_reserve), &f.reserve);
    *out = ac_budget_decide(&f);
    return AC_OK;
}

ac_status ac_train_plan_memory(ac_train_memory *out, ac_train_opts *o, const ac_cli *common, const ac_train_cli *cli,
                               const ac_contract_values *v, const ac_loaded *l, const ac_dataset *train,
                               const ac_dataset *valid, int64_t mapped_before, ac_err *err)
{
    static const char *const names[] = { "auto", "none", "block" };                  /* ac_recompute */
    ac_train_memory m = { .courtesy = false };
    ac_memory_ask ask = { .held = held_now(l, common, mapped_before), .resume = cli->resume != NULL,
                          .workers = cli->workers > 1 ? (size_t)cli->workers : 1 };
    for (int i = 0; i < (int)AC_COUNTOF(names); i++)
        if (strcmp(v->recompute, names[i]) == 0) ask.recompute = (ac_recompute)i;
    if (cli->recompute) ask.recompute = (ac_recompute)(cli->recompute - 1);
    if (cli->micro_batch) o->micro_batch = (size_t)cli->micro_batch;
    ac_status st = budget_of(&m.budget, cli, v, l, &ask.held, err);
    ask.limit = m.budget.limit;
    if (!st) st = ac_memory_plan_make(&m.plan, o, &ask, l->model, train, valid, err);
    if (st) return st;
    m.recompute_refused = ask.recompute == AC_RECOMPUTE_NONE;
    if (!m.plan.fits && m.plan.peak <= m.budget.at_most) {
        m.courtesy = m.plan.fits = true;
        m.plan.limit = m.budget.at_most;
    }
    *out = m;
    return AC_OK;
}

/* The reserve that could not be kept, said aloud. */
static ac_status courtesy_note(const ac_train_memory *m, const ac_sink *sink, ac_err *err)
{
    char text[256], reserve[32], left[32];
    const uint64_t rest = m->budget.held + (uint64_t)m->budget.available;
    ac_human_bytes(reserve, m->budget.reserve);
    ac_human_bytes(left, rest > m->plan.peak ? rest - m->plan.peak : 0);
    (void)snprintf(text, sizeof text, "this run leaves %s free, less than the usual reserve of %s; it is made as small as it can be. "
                   "memory.reserve says what must stay free", left, reserve);
    const ac_event e = { .kind = AC_EV_WARN, .text = text };
    return ac_emit(sink, &e, err);
}

ac_status ac_memory_refuse(const ac_train_memory *m, ac_err *err)
{
    char least[32], limit[32], from[160], need[32], other[96] = "";
    const ac_memory_plan *p = &m->plan;
    const uint64_t free_needed = p->least > m->budget.held ? p->least - m->budget.held : 0;
    ac_human_bytes(least, p->least);
    ac_human_bytes(limit, p->limit);
    ac_human_bytes(need, free_needed + m->budget.reserve);
    ac_budget_text(from, &m->budget);
    if (m->recompute_refused && p->least_recomputed < p->least) {
        char size[32];
        ac_human_bytes(size, p->least_recomputed);
        (void)snprintf(other, sizeof other, "allow method.recompute (%s then), or ", size);
    }
    return ac_fail(err, AC_EMOVE, "it does not fit: the smallest run of this contract needs %s, but %s may be used (%s). Close "
                   "other programs, or %slower method.rank, data.max_len, method.pack_len or the optimizer's state, or move it "
                   "to a machine with %s free; accord plan has the table", least, limit, from, other, need);
}

#define LIMIT_TEXT 256
static void limit_text(char out[LIMIT_TEXT], const ac_train_memory *m)
{
    char limit[32], from[160];
    ac_human_bytes(limit, m->plan.limit);
    ac_budget_text(from, &m->budget);
    if (!m->plan.limit) (void)snprintf(out, LIMIT_TEXT, "(how much there is, is not known)");
    else if (m->courtesy) (void)snprintf(out, LIMIT_TEXT, "of %s that may be used without a reserve", limit);
    else (void)snprintf(out, LIMIT_TEXT, "of %s that may be used: %s", limit, from);
}

static const char *shape_text(const ac_memory_plan *p)
{
    if (!p->fits) return "; the smallest there is, and it does not fit";
    if (!p->shrunk) return "";
    return p->on_device ? "; smaller than asked for, so that it fits" : "; smaller than asked for, so that it fits (no bit changes)";
}

void ac_memory_table(ac_str *out, const ac_train_memory *m)
{
    const ac_memory_plan *p = &m->plan;
    char size[32], limit[LIMIT_TEXT];
    ac_str_append_c(out, p->on_device ? "memory of the GPU\n" : "memory\n");
    for (size_t i = 0; i < p->n_lines; i++) {
        ac_human_bytes(size, p->line[i].bytes);
        ac_str_appendf(out, "  %-38s %10s\n", p->line[i].name, size);
    }
    ac_human_bytes(size, p->peak);
    limit_text(limit, m);
    ac_str_appendf(out, "  %-38s %10s  %s\n", "planned peak", size, limit);
    ac_str_appendf(out, "at most %zu tokens at once, recompute %s%s\n", p->tokens, p->recompute ? "block" : "none",
                   shape_text(p));
}

ac_status ac_memory_note(const ac_train_memory *m, const ac_sink *sink, ac_err *err)
{
    const ac_memory_plan *p = &m->plan;
    ac_str s = { 0 };
    char size[32], limit[LIMIT_TEXT];
    ac_status st = AC_OK;
    for (size_t i = 0; i < p->n_lines; i++) {
        ac_human_bytes(size, p->line[i].bytes);
        ac_str_appendf(&s, "%s%s %s", i ? ", " : "memory: ", p->line[i].name, size);
    }
    for (int line = 0; !st && line < 2; line++) {
        if (line) {
            ac_human_bytes(size, p->peak);
            limit_text(limit, m);
            ac_str_reset(&s);
            ac_str_appendf(&s, "memory: planned peak %s %s; at most %zu tokens at once, recompute %s%s", size, limit,
                           p->tokens, p->recompute ? "block" : "none", shape_text(p));
        }
        if (!ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
        const ac_event e = { .kind = AC_EV_NOTE, .text = ac_str_c(&s) };
        if (!st) st = ac_emit(sink, &e, err);
    }
    ac_str_release(&s);
    if (!st && m->courtesy) st = courtesy_note(m, sink, err);
    return st;
}

void ac_memory_json(ac_jw *w, const ac_train_memory *m)
{
    static const char *const sources[] = { NULL, "--memory-limit", "memory.budget", "free less a reserve" };  /* ac_budget_source */
    const ac_memory_plan *p = &m->plan;
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
    ac_jw_bool(w, "fits", p->fits);
    ac_jw_u64(w, "least_bytes", p->least);
    ac_jw_cstr(w, "limit_from", m->courtesy ? "free less a sixteenth" : sources[m->budget.source]);
    ac_jw_u64(w, "reserve_bytes", m->budget.reserve);
    if (m->budget.available < 0) ac_jw_null(w, "free_bytes");
    else ac_jw_i64(w, "free_bytes", m->budget.available);
    ac_jw_end_object(w);
}
