/* What the guard's acts mean, in plain words. */
#include <math.h>
#include <string.h>

#include "base/exit.h"
#include "cli/explain.h"
#include "cli/human.h"

static bool is(const ac_tel_act *a, const char *act)
{
    return strcmp(a->act, act) == 0;
}

const ac_signal_info *ac_explain_signal(const char *name)
{
    for (size_t i = 0; name && i < AC_SIG_N; i++)
        if (strcmp(ac_signal_about((ac_signal)i)->name, name) == 0) return ac_signal_about((ac_signal)i);
    return NULL;
}

const ac_guard_rule *ac_explain_rule(const ac_tel_act *a)
{
    if (a->rule < 0 || (uint64_t)a->rule >= ac_guard_n_rules || !a->signal) return NULL;
    const ac_guard_rule *r = &ac_guard_rules[a->rule];
    const bool same = isnan(a->limit) || fabs(a->limit - r->enter) < 1e-9;
    return same && strcmp(ac_signal_about(r->signal)->name, a->signal) == 0 ? r : NULL;
}

static void number(ac_str *out, double v)
{
    char text[32];
    ac_format_f64(text, fabs(v) < 1e6 ? round(v * 10) / 10 : v);
    ac_str_append_c(out, text);
}

/* ---- what was done ---------------------------------------------------------------------------------------------- */

static void setting(ac_str *out, const ac_tel_act *a, const char *what, const char *unit)
{
    ac_str_append_c(out, what);
    if (!isnan(a->arg)) number(out, a->arg);
    ac_str_append_c(out, unit);
    if (isnan(a->before) || (a->before <= a->arg && a->before >= a->arg)) return;
    ac_str_append_c(out, " instead of ");
    number(out, a->before);
    ac_str_append_c(out, unit);
}

void ac_explain_headline(ac_str *out, const ac_tel_act *a)
{
    static const struct {
        const char *act, *says;
    } plain[] = {
        { "pause", "pause" }, { "resume", "go on after the pause" }, { "checkpoint", "a checkpoint, and go on" },
        { "advise-move", "advice to move the run" }, { "warn", "a warning" }, { "name", "a competing program" },
        { "term", "SIGTERM to the trainer" }, { "kill", "SIGKILL to the trainer" },
    };
    if (a->is_level) {
        ac_str_appendf(out, "%s, %s before", ac_tel_level_name(a->to), ac_tel_level_name(a->from));
    } else if (is(a, "micro-batch")) {
        setting(out, a, "micro-batch ", "");
    } else if (is(a, "duty")) {
        setting(out, a, "computing ", " % of the time");
    } else if (is(a, "recompute")) {
        ac_str_append_c(out, a->arg > 0 ? "recompute on" : "recompute off");
    } else if (is(a, "checkpoint-exit")) {
        setting(out, a, "a checkpoint, and exit ", "");
    } else if (is(a, "drop-exit")) {
        setting(out, a, "leave the step in flight, exit ", "");
    } else {
        const char *says = a->act;                   /* of a newer guard: its own word */
        for (size_t i = 0; i < AC_COUNTOF(plain); i++)
            if (is(a, plain[i].act)) says = plain[i].says;
        ac_str_append_c(out, says);
    }
}

/* ---- why -------------------------------------------------------------------------------------------------------- */

/* "yes = 1": a signal that is so or not. */
static bool is_yes_or_no(const ac_signal_info *about)
{
    return about && ac_view_ends(ac_view_of(about->unit), AC_VIEW("= 1"));
}

static void limit(ac_str *out, const ac_guard_rule *r, bool yes_or_no)
{
    if (yes_or_no) {
        ac_str_append_c(out, r->enter_ms ? "; the limit is that it lasts" : "; that is the limit");
    } else {
        ac_str_append_c(out, r->above ? "; the limit is " : "; the limit is less than ");
        number(out, r->enter);
        if (r->above) ac_str_append_c(out, " or more");
    }
    if (r->enter_ms) ac_str_appendf(out, " for %d s", r->enter_ms / 1000);
    if (r->enter_samples > 1) ac_str_appendf(out, " in %d samples in a row", r->enter_samples);
    ac_str_appendf(out, " (rule %d, %s; source: %s)", (int)(r - ac_guard_rules), ac_guard_level_name(r->level), r->source);
}

/* The state itself acts where no limit is reached, or where one was for long. */
static const char *by_itself(const ac_tel_act *a)
{
    if (is(a, "micro-batch") && a->arg > a->before) return "15 minutes of green, and it was smaller than at the start";
    if (is(a, "duty") && a->arg >= 100) return "green again";
    if (is(a, "resume")) return "nothing asks for red any more";
    if (is(a, "checkpoint") && a->cause && strcmp(a->cause, "window") == 0) return "the contract's hours end soon";
    if (is(a, "checkpoint-exit") && a->arg < 76) return "the pause lasted ten minutes: it gives its memory back, too";
    return a->text ? a->text : "the state itself";
}

void ac_explain_because(ac_str *out, const ac_tel_act *a)
{
    const ac_signal_info *about = ac_explain_signal(a->signal);
    const ac_guard_rule *r = ac_explain_rule(a);
    const bool yes_or_no = is_yes_or_no(about);
    if (!a->signal) {
        ac_str_append_c(out, by_itself(a));
        return;
    }
    ac_str_append_c(out, a->signal);
    if (about) ac_str_appendf(out, " (%s)", about->what);
    if (isnan(a->value)) ac_str_append_c(out, " reached its limit");
    else if (yes_or_no) ac_str_append_c(out, a->value >= 1 ? ": yes" : ": no");
    else {
        ac_str_append_c(out, " was ");
        number(out, a->value);
        if (about) ac_str_appendf(out, " %s", about->unit);
    }
    if (r) limit(out, r, yes_or_no);
    else if (!isnan(a->limit)) {
        ac_str_append_c(out, "; the limit was ");
        number(out, a->limit);
        if (a->rule >= 0) ac_str_appendf(out, " (rule %lld of the guard that wrote this)", (long long)a->rule);
    }
}

/* ---- what it changed -------------------------------------------------------------------------------------------- */

const char *ac_explain_changed(const ac_tel_act *a)
{
    if (a->is_level) return NULL;
    if (is(a, "micro-batch"))
        return a->arg < a->before ? "no bit of the result; fewer rows at once take less memory, and a step may take longer"
                                  : "no bit of the result; as many rows at once as there is room for again";
    if (is(a, "recompute"))
        return "no bit of the result; layers are computed again on the way back instead of kept: less memory, slower steps";
    if (is(a, "duty"))
        return a->arg < 100 ? "no bit of the result; the trainer sleeps between units of work"
                            : "no bit of the result; the trainer no longer sleeps between units of work";
    if (is(a, "pause")) return "no bit of the result; the trainer stands still between two units and keeps its memory";
    if (is(a, "resume")) return "no bit of the result";
    if (is(a, "checkpoint")) return "no bit of the result; what is done so far is safe";
    if (is(a, "checkpoint-exit")) return "no bit of the result; a resume goes on behind the checkpoint";
    if (is(a, "drop-exit")) return "no bit of the result; a resume does again what came after the last checkpoint";
    if (is(a, "term") || is(a, "kill"))
        return "no bit of the result; the trainer did not end when told to, and no other process was signalled";
    return NULL;
}

/* ---- what to change --------------------------------------------------------------------------------------------- */

const char *ac_explain_otherwise(const ac_tel_act *a)
{
    static const struct {
        const char *signal, *says;
    } by_signal[] = {
        { "footprint", "raise memory.budget, or begin smaller with method.micro_batch or method.recompute: block" },
        { "available", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch; the limit itself is "
                       "not the contract's" },
        { "psi-some", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "psi-full", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "pressure", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "swap-rate", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "swap-grown", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "swap-share", "close other programs, or begin smaller: memory.reserve, memory.budget, method.micro_batch" },
        { "thermal-level", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "trip-margin", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "hot-margin", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "throttle", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "gpu-warm", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "gpu-slowed", "nothing in the contract; cool the machine, or train in cooler hours with guard.window" },
        { "gpu-errors", "nothing: this GPU cannot be trusted; go on elsewhere" },
        { "low-power", "nothing in the contract; leave low power mode" },
        { "on-battery", "guard.battery: true trains on the battery, down to 30 %" },
        { "battery", "nothing in the contract: below 30 % a run always stops; plug the machine in" },
        { "lid", "guard.lid: true goes on with the lid closed" },
        { "foreign-cpu", "guard.polite: false keeps the full pace; guard.window trains while nobody works" },
        { "beside", "guard.beside: true keeps the full size beside such a program" },
        { "step-time", "nothing in the contract; something that the guard cannot see slows the machine" },
        { "disk", "make room on the disk, or keep fewer: method.keep_checkpoints" },
        { "written", "save less often, with method.save_every; what a disk bears is not the contract's" },
        { "window", "guard.window says when a run computes; without the key it always does" },
        { "blind", "nothing in the contract; the machine was too busy to be looked at" },
    };
    for (size_t i = 0; a->signal && i < AC_COUNTOF(by_signal); i++)
        if (strcmp(by_signal[i].signal, a->signal) == 0) return by_signal[i].says;
    return NULL;
}

/* ---- how it went ------------------------------------------------------------------------------------------------ */

bool ac_explain_obeyed(ac_str *out, const ac_tel_act *a)
{
    if (!a->id || is(a, "term") || is(a, "kill")) return false;
    if (!a->acked) {
        ac_str_append_c(out, "no answer is on record");
        return true;
    }
    ac_str_append_c(out, a->ok ? "yes" : "refused");
    if (!isnan(a->ack_ms)) ac_str_appendf(out, a->ack_ms < 1000 ? ", after %.0f ms" : ", after %.1f s",
                                          a->ack_ms < 1000 ? a->ack_ms : a->ack_ms / 1000);
    ac_str_appendf(out, ", with step %llu done and step %llu durable", (unsigned long long)a->ack_step,
                   (unsigned long long)a->ack_durable);
    if (a->ack_text) ac_str_appendf(out, ": %s", a->ack_text);
    return true;
}

bool ac_explain_next(ac_str *out, const ac_tel *t, const char *id, bool trained)
{
    const ac_tel_session *s = t->n_sessions ? &t->session[t->n_sessions - 1] : NULL;
    if (trained || !s || (s->ended && s->exit == AC_EXIT_DONE)) return false;
    if (!s->ended) ac_str_append_c(out, "unless it still runs: ");
    if (s->exit == AC_EXIT_MOVE) ac_str_append_c(out, "where there is more memory, with this folder: ");
    if (s->exit == AC_EXIT_SICK) ac_str_append_c(out, "on another machine, with this folder: ");
    ac_str_appendf(out, "accord train --resume %s", id);
    return true;
}
