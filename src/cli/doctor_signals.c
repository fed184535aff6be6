/* doctor --signals: what the guard can read on this machine, now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "cli/cli.h"
#include "cli/human.h"
#include "cli/table.h"
#include "formats/json.h"
#include "guard/signals.h"

typedef struct {
    ac_guard_terms terms;
    ac_guard_sample in;
    ac_signals signals;
    ac_nvml *gpus;
    ac_nvml_gpu gpu[AC_NVML_GPUS_MAX];
    size_t n_gpus;
    bool wakes;
    const char *no_wake;
} look;

/* The level that a signal alone would ask for once its holds are over; NULL: it is not measured. */
static const char *level_of(const look *l, ac_signal s)
{
    if (!l->in.read[s].measured) return NULL;
    const ac_reading seen = ac_guard_judged(&l->terms, &l->in, s);
    return ac_guard_level_name(seen.measured ? ac_guard_level_of(s, seen.value) : AC_GUARD_GREEN);
}

/* Two looks a second apart: rates need them. */
static ac_status take(look *l, ac_err *err)
{
    const char *root = getenv("ACCORD_GUARD_ROOT");
    const ac_signals_from from = { .root = root ? root : "", .checkpoint_dir = ".", .gpus = l->gpus, .gpu = -1 };
    const int64_t begin = ac_mono_ns() / 1000000;
    ac_status st = ac_signals_read(&l->signals, &from, begin, &l->in, err);
    if (!st) ac_sleep_ms(1000 - (ac_mono_ns() / 1000000 - begin));
    const int64_t now = ac_mono_ns() / 1000000;
    if (!st) st = ac_signals_read(&l->signals, &from, now < begin + 1000 ? begin + 1000 : now, &l->in, err);
    const int fd = ac_signals_wake_open(from.root, &l->no_wake);
    l->wakes = fd >= 0;
    ac_signals_wake_close(fd);
    l->n_gpus = ac_nvml_count(l->gpus);
    for (size_t i = 0; i < l->n_gpus; i++) ac_nvml_read(l->gpus, i, NULL, 0, &l->gpu[i]);
    return st;
}

/* ---- as text ---- */

static void row(ac_table *t, const look *l, ac_signal s)
{
    const ac_signal_info *about = ac_signal_about(s);
    const ac_reading r = l->in.read[s];
    ac_table_cell(t, ac_view_of(about->name));
    if (r.measured) ac_table_cellf(t, "%.4g %s", r.value, about->unit);
    else ac_table_cell(t, AC_VIEW("not measured"));
    const char *level = level_of(l, s);
    ac_table_cell(t, ac_view_of(level ? level : "-"));
    ac_table_cell(t, ac_view_of(!r.measured ? r.why : s == AC_SIG_BESIDE && l->in.beside[0] ? l->in.beside : about->what));
}

static void put(ac_str *s, const char *name, ac_reading r, const char *unit)
{
    if (r.measured) ac_str_appendf(s, "%s %.4g %s", name, r.value, unit);
    else ac_str_appendf(s, "%s not measured (%s)", name, r.why);
}

static void gpu_text(ac_str *s, size_t i, const ac_nvml_gpu *g)
{
    char used[32], total[32];
    ac_human_bytes(used, g->memory_used.measured ? (uint64_t)g->memory_used.value : 0);
    ac_human_bytes(total, g->memory_total.measured ? (uint64_t)g->memory_total.value : 0);
    ac_str_appendf(s, "GPU %zu  %s%s", i, g->name[0] ? g->name : "no name", g->lost ? ", lost\n" : ": ");
    if (g->lost) return;
    if (g->memory_used.measured) ac_str_appendf(s, "memory %s of %s", used, total);
    else ac_str_appendf(s, "memory not measured (%s)", g->memory_used.why);
    put(s, ", power", g->watts, "W");
    put(s, ", heat", g->celsius, "C");
    if (g->reasons.measured) ac_str_appendf(s, ", reasons for lower clocks 0x%x", (unsigned)g->reasons.value);
    else ac_str_appendf(s, ", reasons for lower clocks not measured (%s)", g->reasons.why);
    put(s, ", uncorrected errors", g->uncorrected, "since the driver was loaded");
    put(s, ", energy", (ac_reading){ g->energy_mj.measured, g->energy_mj.value / 1e6, g->energy_mj.why }, "kJ");
    ac_str_append_c(s, "\n");
}

static ac_status as_text(ac_str *s, const look *l, ac_cli *cli, ac_err *err)
{
    static const char *const head[] = { "signal", "value", "level", "what, or why not" };
    ac_table t;
    ac_table_init(&t, "llll", head);
    for (int i = 0; i < AC_SIG_N_READ; i++) row(&t, l, (ac_signal)i);
    const ac_status st = ac_table_render(&t, s, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    ac_str_append_c(s, "\n");
    for (size_t i = 0; i < l->n_gpus; i++) gpu_text(s, i, &l->gpu[i]);
    if (l->wakes) ac_str_append_c(s, "wakes   the kernel wakes the guard when tasks wait for memory");
    else ac_str_appendf(s, "wakes   none, the guard looks once a second: %s", l->no_wake);
    return st;
}

/* ---- as JSON ---- */

static void reading(ac_jw *w, const char *key, ac_reading r)
{
    if (r.measured) ac_jw_f64(w, key, r.value);
    else ac_jw_null(w, key);
}

static void gpu_json(ac_jw *w, const ac_nvml_gpu *g)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "name", g->name[0] ? g->name : NULL);
    ac_jw_bool(w, "lost", g->lost);
    reading(w, "memory_used_bytes", g->memory_used);
    reading(w, "memory_total_bytes", g->memory_total);
    reading(w, "watts", g->watts);
    reading(w, "celsius", g->celsius);
    reading(w, "clock_reasons", g->reasons);
    reading(w, "uncorrected_errors", g->uncorrected);
    reading(w, "energy_mj", g->energy_mj);
    reading(w, "processes_bytes", g->foreign_bytes);
    ac_jw_end_object(w);
}

static void as_json(ac_str *s, const look *l)
{
    ac_jw w;
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_array(&w, "signals");
    for (int i = 0; i < AC_SIG_N_READ; i++) {
        const ac_reading r = l->in.read[i];
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "signal", ac_signal_about((ac_signal)i)->name);
        reading(&w, "value", r);
        ac_jw_cstr(&w, "unit", ac_signal_about((ac_signal)i)->unit);
        ac_jw_cstr(&w, "level", level_of(l, (ac_signal)i));
        ac_jw_cstr(&w, "why", r.measured ? NULL : r.why);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "beside", l->in.beside[0] ? l->in.beside : NULL);
    ac_jw_bool(&w, "wakes", l->wakes);
    ac_jw_cstr(&w, "why_not", l->wakes ? NULL : l->no_wake);
    ac_jw_array(&w, "gpus");
    for (size_t i = 0; i < l->n_gpus; i++) gpu_json(&w, &l->gpu[i]);
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
}

ac_status ac_doctor_signals(ac_cli *cli, ac_err *err)
{
    look l;
    ac_str s = { 0 };
    memset(&l, 0, sizeof l);
    l.terms = ac_guard_terms_default(1);
    ac_status st = ac_nvml_open(&l.gpus, NULL, err);
    if (!st) st = take(&l, err);
    if (!st && cli->json) as_json(&s, &l);
    if (!st && !cli->json) st = as_text(&s, &l, cli, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_nvml_close(&l.gpus);
    ac_str_release(&s);
    return st;
}
