/* The signals and their limits: the one place where a threshold of the guard stands. */
#include "guard/policy.h"

#include <assert.h>

static const ac_signal_info signals[AC_SIG_N] = {
    [AC_SIG_FOOTPRINT]     = { "footprint", "% of budget", "memory that the system charges to the training process" },
    [AC_SIG_AVAILABLE]     = { "available", "% of memory", "what may still be taken, the least of machine and control group" },
    [AC_SIG_PSI_SOME]      = { "psi-some", "% of 10 s", "time in which some task waited for memory" },
    [AC_SIG_PSI_FULL]      = { "psi-full", "% of 10 s", "time in which every task waited for memory" },
    [AC_SIG_PRESSURE]      = { "pressure", "level", "macOS memory pressure: 1 normal, 2 warning, 4 critical" },
    [AC_SIG_SWAP_RATE]     = { "swap-rate", "MiB/s", "pages written to swap" },
    [AC_SIG_SWAP_GROWN]    = { "swap-grown", "MiB in 10 min", "written to swap in the last ten minutes" },
    [AC_SIG_SWAP_SHARE]    = { "swap-share", "% of memory", "swap in use more than at the start" },
    [AC_SIG_THERMAL_LEVEL] = { "thermal-level", "level", "macOS: 0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping" },
    [AC_SIG_TRIP_MARGIN]   = { "trip-margin", "C", "degrees below the nearest passive trip point" },
    [AC_SIG_HOT_MARGIN]    = { "hot-margin", "C", "degrees below the nearest hot or critical trip point" },
    [AC_SIG_THROTTLE]      = { "throttle", "a minute", "times that cores were throttled" },
    [AC_SIG_GPU_WARM]      = { "gpu-warm", "% of 60 s", "GPU clocks lowered by software for heat" },
    [AC_SIG_GPU_SLOWED]    = { "gpu-slowed", "yes = 1", "GPU clocks lowered by hardware: heat or power" },
    [AC_SIG_GPU_ERRORS]    = { "gpu-errors", "errors", "uncorrected memory errors since the start, or the GPU is lost" },
    [AC_SIG_LOW_POWER]     = { "low-power", "yes = 1", "low power mode" },
    [AC_SIG_ON_BATTERY]    = { "on-battery", "yes = 1", "no mains" },
    [AC_SIG_BATTERY]       = { "battery", "%", "charge; decides on battery only" },
    [AC_SIG_LID]           = { "lid", "closed = 1", "the lid" },
    [AC_SIG_FOREIGN_CPU]   = { "foreign-cpu", "% of machine", "processors busy with other programs" },
    [AC_SIG_USER_IDLE]     = { "user-idle", "s", "since the last key or pointer event; from 180 s on nobody works" },
    [AC_SIG_BESIDE]        = { "beside", "programs", "inference servers and video exports at work" },
    [AC_SIG_STEP_TIME]     = { "step-time", "x baseline", "median of the last steps over that of the first" },
    [AC_SIG_DISK]          = { "disk", "checkpoints", "checkpoints that still fit" },
    [AC_SIG_WRITTEN]       = { "written", "% of a day", "written by us and to swap in 24 h, of what a disk of this size bears a day" },
    [AC_SIG_WINDOW]        = { "window", "outside = 1", "the contract's hours" },
    [AC_SIG_BLIND]         = { "blind", "samples", "samples in a row that were late, incomplete or out of order" },
};

#define S 1000
#define MIN 60000
const ac_guard_rule ac_guard_rules[] = {
    /* signal               level               cause              above  enter leave  for     n  hold */
    { AC_SIG_FOOTPRINT,     AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   true,  85,   75,    0,      2, 60 * S, "mlx-guard: warn 90, recover 80" },
    { AC_SIG_FOOTPRINT,     AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  95,   75,    0,      2, 60 * S, "oMLX: hard 95" },
    { AC_SIG_FOOTPRINT,     AC_GUARD_EMERGENCY, AC_CAUSE_MEMORY,   true,  110,  75,    0,      1, 60 * S, "mlx-guard: kill at 110" },
    { AC_SIG_AVAILABLE,     AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   false, 15,   20,    5 * S,  1, 60 * S, "nohang: warn 20" },
    { AC_SIG_AVAILABLE,     AC_GUARD_RED,       AC_CAUSE_MEMORY,   false, 10,   20,    2 * S,  1, 60 * S, "earlyoom: TERM at 10" },
    { AC_SIG_AVAILABLE,     AC_GUARD_EMERGENCY, AC_CAUSE_MEMORY,   false, 5,    20,    0,      1, 60 * S, "earlyoom: KILL at 5" },
    { AC_SIG_PSI_SOME,      AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   true,  10,   3,     10 * S, 1, 60 * S, "nohang: warn 10" },
    { AC_SIG_PSI_FULL,      AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  40,   3,     30 * S, 1, 60 * S, "nohang: soft 40 for 30 s" },
    { AC_SIG_PSI_FULL,      AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  60,   3,     10 * S, 1, 60 * S, "oomd: 60, here for 10 s" },
    { AC_SIG_PRESSURE,      AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   true,  2,    2,     5 * S,  1, 60 * S, "macOS: 2 is warning" },
    { AC_SIG_PRESSURE,      AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  4,    2,     2 * S,  1, 60 * S, "macOS: 4 is critical" },
    { AC_SIG_SWAP_RATE,     AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   true,  4,    0.5,   15 * S, 1, 120 * S, "proposed" },
    { AC_SIG_SWAP_RATE,     AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  32,   0.5,   30 * S, 1, 120 * S, "proposed" },
    { AC_SIG_SWAP_GROWN,    AC_GUARD_YELLOW,    AC_CAUSE_MEMORY,   true,  256,  64,    0,      1, 60 * S, "proposed" },
    { AC_SIG_SWAP_SHARE,    AC_GUARD_RED,       AC_CAUSE_MEMORY,   true,  10,   5,     0,      2, 60 * S, "proposed" },
    { AC_SIG_THERMAL_LEVEL, AC_GUARD_YELLOW,    AC_CAUSE_HEAT,     true,  2,    2,     60 * S, 1, 120 * S, "macOS: 1 is normal under load" },
    { AC_SIG_THERMAL_LEVEL, AC_GUARD_RED,       AC_CAUSE_HEAT,     true,  3,    2,     5 * S,  1, 120 * S, "macOS: serious" },
    { AC_SIG_TRIP_MARGIN,   AC_GUARD_YELLOW,    AC_CAUSE_HEAT,     false, 5,    10,    30 * S, 1, 120 * S, "proposed" },
    { AC_SIG_HOT_MARGIN,    AC_GUARD_RED,       AC_CAUSE_HEAT,     false, 0.5,  10,    0,      1, 120 * S, "Linux: at a hot trip point" },
    { AC_SIG_THROTTLE,      AC_GUARD_YELLOW,    AC_CAUSE_HEAT,     true,  1,    1,     30 * S, 2, 120 * S, "proposed" },
    { AC_SIG_GPU_WARM,      AC_GUARD_YELLOW,    AC_CAUSE_HEAT,     true,  50,   1,     0,      2, 120 * S, "NVML reason 0x20" },
    { AC_SIG_GPU_SLOWED,    AC_GUARD_RED,       AC_CAUSE_HEAT,     true,  1,    1,     30 * S, 1, 120 * S, "NVML reasons 0x8, 0x40, 0x80" },
    { AC_SIG_GPU_ERRORS,    AC_GUARD_EMERGENCY, AC_CAUSE_SICK,     true,  1,    1,     0,      1, 120 * S, "DCGM: a sick node" },
    { AC_SIG_LOW_POWER,     AC_GUARD_YELLOW,    AC_CAUSE_POWER,    true,  1,    1,     10 * S, 1, 60 * S, "proposed" },
    { AC_SIG_ON_BATTERY,    AC_GUARD_RED,       AC_CAUSE_POWER,    true,  1,    1,     10 * S, 1, 60 * S, "BOINC: suspend on battery" },
    { AC_SIG_BATTERY,       AC_GUARD_RED,       AC_CAUSE_POWER,    false, 30,   35,    2 * S,  1, 60 * S, "proposed" },
    { AC_SIG_LID,           AC_GUARD_RED,       AC_CAUSE_POWER,    true,  1,    1,     10 * S, 1, 60 * S, "proposed" },
    { AC_SIG_FOREIGN_CPU,   AC_GUARD_YELLOW,    AC_CAUSE_OTHERS,   true,  25,   25,    60 * S, 1, 180 * S, "BOINC: 25, back after 3 min" },
    { AC_SIG_FOREIGN_CPU,   AC_GUARD_RED,       AC_CAUSE_OTHERS,   true,  60,   25,    120 * S, 1, 180 * S, "proposed" },
    { AC_SIG_BESIDE,        AC_GUARD_YELLOW,    AC_CAUSE_OTHERS,   true,  1,    1,     5 * S,  2, 120 * S, "proposed" },
    { AC_SIG_STEP_TIME,     AC_GUARD_YELLOW,    AC_CAUSE_SLOW,     true,  1.5,  1.2,   2 * MIN, 1, 5 * MIN, "proposed" },
    { AC_SIG_STEP_TIME,     AC_GUARD_RED,       AC_CAUSE_SLOW,     true,  3,    1.2,   5 * MIN, 1, 5 * MIN, "proposed" },
    { AC_SIG_DISK,          AC_GUARD_YELLOW,    AC_CAUSE_DISK,     false, 3,    4,     0,      2, 30 * S, "a checkpoint is kept thrice" },
    { AC_SIG_DISK,          AC_GUARD_RED,       AC_CAUSE_DISK,     false, 1,    4,     0,      2, 30 * S, "the next one would not fit" },
    { AC_SIG_WRITTEN,       AC_GUARD_YELLOW,    AC_CAUSE_DISK,     true,  25,   20,    0,      2, 60 * S, "proposed" },
    { AC_SIG_WRITTEN,       AC_GUARD_RED,       AC_CAUSE_DISK,     true,  100,  20,    0,      2, 60 * S, "0.6 TB a GB over 5 years" },
    { AC_SIG_WINDOW,        AC_GUARD_RED,       AC_CAUSE_WINDOW,   true,  1,    1,     0,      1, 60 * S, "contract" },
    { AC_SIG_BLIND,         AC_GUARD_YELLOW,    AC_CAUSE_BLIND,    true,  3,    1,     0,      1, 30 * S, "proposed" },
    { AC_SIG_BLIND,         AC_GUARD_RED,       AC_CAUSE_BLIND,    true,  30,   1,     0,      1, 30 * S, "proposed" },
};
#undef S
#undef MIN
const size_t ac_guard_n_rules = AC_COUNTOF(ac_guard_rules);
static_assert(AC_COUNTOF(ac_guard_rules) <= AC_GUARD_RULES_MAX, "a latch for every rule");

const ac_signal_info *ac_signal_about(ac_signal s)
{
    return &signals[s];
}

const char *ac_guard_level_name(ac_guard_level l)
{
    static const char *const names[] = { "green", "yellow", "red", "emergency" };
    return names[l];
}

const char *ac_guard_cause_name(ac_guard_cause c)
{
    static const char *const names[AC_CAUSE_N] = { "memory", "heat", "power", "others", "slow steps", "disk", "window",
                                                   "blind", "sick" };
    return names[c];
}

const char *ac_guard_act_name(ac_guard_act_kind k)
{
    static const char *const names[AC_ACT_N] = { "micro-batch", "recompute", "duty", "pause", "resume", "checkpoint",
                                                 "checkpoint-exit", "drop-exit", "advise-move", "warn", "name", "term",
                                                 "kill" };
    return names[k];
}

ac_guard_level ac_guard_level_of(ac_signal s, double value)
{
    ac_guard_level worst = AC_GUARD_GREEN;
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        const ac_guard_rule *r = &ac_guard_rules[i];
        if (r->signal != s || r->level <= worst) continue;
        if (r->above ? value >= r->enter : value < r->enter) worst = r->level;
    }
    return worst;
}

static void number(ac_str *out, double v)
{
    char text[32];
    ac_format_f64(text, v);
    ac_str_append_c(out, text);
}

static void one_row(ac_str *out, const ac_guard_rule *r)
{
    const ac_signal_info *about = &signals[r->signal];
    ac_str_appendf(out, "| %s | %s | %s | %s | %s ", about->name, about->unit, ac_guard_level_name(r->level),
                   ac_guard_cause_name(r->cause), r->above ? ">=" : "<");
    number(out, r->enter);
    if (r->enter_ms) ac_str_appendf(out, " for %d s", r->enter_ms / 1000);
    if (r->enter_samples > 1) ac_str_appendf(out, ", %d samples", r->enter_samples);
    ac_str_appendf(out, " | %s ", r->above ? "<" : ">=");
    number(out, r->leave);
    ac_str_appendf(out, " | %d s | %s |\n", r->leave_ms / 1000, r->source);
}

void ac_guard_table_md(ac_str *out)
{
    ac_str_append_c(out, "| signal | unit | level | cause | enter | leave | hold | source |\n"
                         "|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < ac_guard_n_rules; i++) one_row(out, &ac_guard_rules[i]);
}
