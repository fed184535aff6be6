/* What the readers of all systems share: reasons, growth, room on the disk, GPUs. */
#include "guard/signals_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sysfile.h"

#define FOREIGN_GPU_BYTES (256.0 * 1048576.0)    /* a desktop's own programs hold less */

ac_reading ac_sig_value(double v)
{
    return (ac_reading){ .measured = true, .value = v };
}

ac_reading ac_sig_none(ac_signals *s, ac_signal sig, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->why[sig], sizeof s->why[sig], fmt, ap);
    va_end(ap);
    return (ac_reading){ .why = s->why[sig] };
}

bool ac_sig_due(bool *had, int64_t *last, int64_t every_ms, int64_t now)
{
    if (*had && now >= *last && now - *last < every_ms) return false;
    *had = true;
    *last = now;
    return true;
}

double ac_growth_feed(ac_growth *g, size_t cap, int64_t every_ms, int64_t now, int64_t v)
{
    if (g->n && (v < g->v[g->n - 1] || now < g->at[g->n - 1])) g->n = 0;
    if (g->n == 0 || now - g->at[g->n - 1] >= every_ms) {
        if (g->n == cap) {
            memmove(g->at, g->at + 1, (cap - 1) * sizeof *g->at);
            memmove(g->v, g->v + 1, (cap - 1) * sizeof *g->v);
            g->n--;
        }
        g->at[g->n] = now;
        g->v[g->n++] = v;
    }
    for (size_t i = 0; i < g->n; i++)
        if (now - g->at[i] <= (int64_t)cap * every_ms) return (double)(v - g->v[i]);
    return 0;
}

void ac_sig_disk(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in)
{
    double left, all;
    if (!f->checkpoint_dir || f->checkpoint_bytes <= 0)
        in->read[AC_SIG_DISK] = ac_sig_none(s, AC_SIG_DISK, "size or folder of a checkpoint unknown");
    else if (!ac_fs_room(f->checkpoint_dir, &left, &all))
        in->read[AC_SIG_DISK] = ac_sig_none(s, AC_SIG_DISK, "the checkpoints' folder cannot be asked for its room");
    else
        in->read[AC_SIG_DISK] = ac_sig_value(left / (double)f->checkpoint_bytes);
}

/* bytes: written by the trainer and to swap so far; -1: unknown, and why. */
void ac_sig_written(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, int64_t now, int64_t bytes, const char *why)
{
    double left, all = 0;
    if (bytes < 0)
        in->read[AC_SIG_WRITTEN] = ac_sig_none(s, AC_SIG_WRITTEN, "%s", why);
    else if (!f->checkpoint_dir || !ac_fs_room(f->checkpoint_dir, &left, &all) || all <= 0)
        in->read[AC_SIG_WRITTEN] = ac_sig_none(s, AC_SIG_WRITTEN, "the size of the checkpoints' disk is unknown");
    else
        in->read[AC_SIG_WRITTEN] = ac_sig_value(100.0 * ac_growth_feed(&s->written, 24, 3600000, now, bytes)
                                                / (all * AC_DISK_SHARE_A_DAY));
}

void ac_sig_steps(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in)
{
    in->read[AC_SIG_STEP_TIME] = f->step_ratio > 0 ? ac_sig_value(f->step_ratio)
                                                   : ac_sig_none(s, AC_SIG_STEP_TIME, "no steps measured yet");
}

/* ---- GPUs ---- */

/* Looks and warm looks of the last minute, a slot a second. A minute must have been seen. */
static void gpu_warm(ac_signals *s, ac_guard_sample *in, int64_t now, bool warm)
{
    const int64_t second = now / 1000 + 1;
    const size_t slot = (size_t)(second % AC_GPU_SECONDS);
    size_t looks = 0, hot = 0;
    if (!s->had_gpu || now < s->gpu_ms || now - s->gpu_ms > 30000) memset(s->gpu_second, 0, sizeof s->gpu_second);
    s->gpu_ms = now;
    s->had_gpu = true;
    if (s->gpu_second[slot] != second) {
        s->gpu_second[slot] = second;
        s->gpu_looks[slot] = s->gpu_warm[slot] = 0;
    }
    if (s->gpu_looks[slot] < UINT16_MAX) {
        s->gpu_looks[slot]++;
        if (warm) s->gpu_warm[slot]++;
    }
    int64_t oldest = second;
    for (size_t i = 0; i < AC_GPU_SECONDS; i++) {
        if (s->gpu_second[i] == 0 || second - s->gpu_second[i] >= AC_GPU_SECONDS) continue;
        if (s->gpu_second[i] < oldest) oldest = s->gpu_second[i];
        looks += s->gpu_looks[i];
        hot += s->gpu_warm[i];
    }
    in->read[AC_SIG_GPU_WARM] = second - oldest < AC_GPU_SECONDS - 5
        ? ac_sig_none(s, AC_SIG_GPU_WARM, "a share of a minute needs a minute of readings")
        : ac_sig_value(100.0 * (double)hot / (double)looks);
}

typedef struct {
    bool asked, warm, slowed, counted, lost;
    double errors;
    const char *why_reasons, *why_errors;
} gpu_sum;

static void one_gpu(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, size_t i, gpu_sum *t)
{
    ac_nvml_gpu g;
    const int64_t ours[] = { f->pid, (int64_t)getpid() };
    ac_nvml_read(f->gpus, i, ours, AC_COUNTOF(ours), &g);
    if (g.reasons.measured) {
        const unsigned bits = (unsigned)g.reasons.value;
        t->asked = true;
        t->warm |= (bits & AC_NVML_SW_THERMAL) != 0;
        t->slowed |= (bits & (AC_NVML_HW_SLOWDOWN | AC_NVML_HW_THERMAL | AC_NVML_POWER_BRAKE)) != 0;
    } else {
        t->why_reasons = g.reasons.why;
    }
    t->lost |= g.lost;
    t->counted |= g.uncorrected.measured || g.xids.measured;
    if (g.uncorrected.measured) t->errors += g.uncorrected.value;
    else t->why_errors = g.uncorrected.why;
    if (g.xids.measured) t->errors += g.xids.value;
    char name[64];
    if (!g.foreign_bytes.measured || g.foreign_bytes.value < FOREIGN_GPU_BYTES) return;
    if (!ac_sig_process_name(name, f->root, g.foreign_pid)) return;      /* of another container: perhaps this very run */
    const double others = s->beside_count > 0 ? s->beside_count : 0;
    if (others < 1) memcpy(in->beside, name, sizeof in->beside);
    if (others < (double)g.n_foreign) in->read[AC_SIG_BESIDE] = ac_sig_value((double)g.n_foreign);
}

void ac_sig_gpu(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, int64_t now)
{
    static const ac_signal all[] = { AC_SIG_GPU_WARM, AC_SIG_GPU_SLOWED, AC_SIG_GPU_ERRORS };
    const char *why = !f->gpus ? "the run uses no GPU" : ac_nvml_why(f->gpus);
    const size_t n = f->gpus ? ac_nvml_count(f->gpus) : 0;
    if (!why && f->gpu >= 0 && (size_t)f->gpu >= n) why = "there is no GPU of this number";
    gpu_sum t = { .why_reasons = why, .why_errors = why };
    for (size_t i = 0; !why && i < n; i++)
        if (f->gpu < 0 || (size_t)f->gpu == i) one_gpu(s, f, in, i, &t);
    for (size_t i = 0; i < AC_COUNTOF(all); i++) in->read[all[i]] = ac_sig_none(s, all[i], "%s", why ? why : t.why_reasons);
    if (t.asked) {
        gpu_warm(s, in, now, t.warm);
        in->read[AC_SIG_GPU_SLOWED] = ac_sig_value(t.slowed ? 1 : 0);
    }
    if (t.counted && !s->had_errors) s->uncorrected_first = t.errors;   /* what was before this run is not its own */
    s->had_errors |= t.counted;
    if (t.lost)
        in->read[AC_SIG_GPU_ERRORS] = ac_sig_value(1);
    else if (t.counted)
        in->read[AC_SIG_GPU_ERRORS] = ac_sig_value(t.errors > s->uncorrected_first ? t.errors - s->uncorrected_first : 0);
    else if (!why)
        in->read[AC_SIG_GPU_ERRORS] = ac_sig_none(s, AC_SIG_GPU_ERRORS, "%s", t.why_errors ? t.why_errors : "no counter of errors");
}
