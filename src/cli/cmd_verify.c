/* verify: the run again, elsewhere, and where it parts. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "cli/verify.h"
#include "ledger/ledger.h"

static ac_verify_opts a = { .ab = true };

static const ac_opt options[] = {
    AC_OPT_ARG("RUN", &a.run, "a run folder anywhere, or a run of this project: its id, the beginning of its id, \"latest\""),
    AC_OPT_GROUP("Where the inputs lie, besides here and beside the run"),
    AC_OPT_PATH(0, "against", &a.against, "folder", "look for the lock's paths below this folder first"),
    AC_OPT_PATH(0, "base", &a.base, "path", "the base model"),
    AC_OPT_PATH(0, "data", &a.data, "folder", "rows, cases, documents and database, by their paths or names in the lock"),
    AC_OPT_GROUP("How far"),
    AC_OPT_U64(0, "steps", &a.steps, "n", "verify the first steps only; 0: the whole run"),
    AC_OPT_BOOL(0, "full", &a.full, "go on behind the first difference, to the verdict"),
    AC_OPT_BOOL(0, "ab", &a.ab, "answer the cases again, too, where the run has a verdict"),
    AC_OPT_ENUM(0, "numerics", &a.numerics, ac_verify_numerics,
                "rebuild in another arithmetic than the lock's: the bits are others, the verdict is what is compared"),
    AC_OPT_BOOL(0, "anyway", &a.anyway, "train on inputs that are not the sealed ones, to see where the bits part"),
    AC_OPT_GROUP("How"),
    AC_OPT_STR(0, "program", &a.program, "words", "what trains again: another build of accord, with an emulator in front if need be"),
    AC_OPT_PATH(0, "keep", &a.keep, "folder", "rebuild in this new folder and leave it there"),
    AC_OPT_PATH(0, "report", &a.report, "folder", "where the report goes; else .accord/verify, or here where there is no project"),
    AC_OPT_END
};

static ac_verify_outcome decide(const ac_verify *v)
{
    if (v->n_different && !v->o->anyway) return AC_VERIFY_INPUTS_DIFFER;
    const bool bits = !v->first_difference && (!v->weights_compared || v->weights_same) && (!v->ab_done || v->answers_same);
    if (!bits) return v->ab_done && v->verdict_same ? AC_VERIFY_VERDICT_IDENTICAL : AC_VERIFY_DIVERGED;
    if (v->ab_done && !v->verdict_same) return AC_VERIFY_DIVERGED;
    return v->prefix ? AC_VERIFY_PREFIX_IDENTICAL : AC_VERIFY_BIT_IDENTICAL;
}

static ac_status rebuild(ac_verify *v, ac_err *err)
{
    ac_status st = ac_verify_train(v, err);
    if (!st && !v->prefix && !v->stopped_early) st = ac_verify_weights(v, err);
    if (!st && !v->prefix && !v->stopped_early && v->verdict && a.ab) st = ac_verify_ab(v, err);
    return st ? st : ac_compare_runs(&v->compare, &v->arena, v->run, v->again, "tuned", err);
}

/* An act of the project that we stand in, if any; a project that cannot be written to does not hide the result. */
static void record(ac_verify *v)
{
    char fields[512];
    ac_err own = { "" };
    if (!ac_path_exists(".accord/audit.jsonl")) return;
    (void)snprintf(fields, sizeof fields, "\"run\":\"%.64s\",\"lock\":\"%s\",\"result\":\"%s\",\"steps\":%llu,\"first_difference\":%llu,"
                   "\"cases_scored\":%s", v->id, v->lock_hex, ac_verify_outcome_name(v->outcome), (unsigned long long)v->compared,
                   (unsigned long long)v->first_difference, v->ab_done ? "true" : "false");
    if (ac_audit_append(".", "verify", fields, &own) == AC_OK) return;
    char note[AC_ERR_TEXT_MAX + 64];
    (void)snprintf(note, sizeof note, "not recorded in the audit log: %s", own.text);
    ac_cli_note(v->cli, note);
}

/* Booked in the project that we stand in, if any, by the rates of the run's own lock; where it cannot be, that is said. */
static void book(ac_verify *v, ac_status st)
{
    ac_err own = { "" };
    ac_cost_part *p = &v->cost.part;
    if (!v->n_commands || !ac_path_is_dir(".accord")) return;
    const ac_json *cost = ac_json_get(ac_json_get(v->lock.tree, "values"), "cost");
    const ac_json *project = ac_json_get(cost, "project"), *tags = ac_json_get(cost, "tags");
    ac_status booked = ac_cost_clock_terms(&v->cost, NULL, NULL, &own);
    ac_cost_rates_of(&p->rates, v->lock.tree, &v->cost.arena);
    ac_energy_with_watts(&v->cost.meter, p->rates.watts);
    if (project && project->type == AC_JSON_STRING) p->project = project->text.ptr;
    if (tags && tags->type == AC_JSON_STRING) p->tags = tags->text.ptr;
    v->cost.children = true;
    if (!booked) booked = ac_cost_clock_end_line(&v->cost, st && st != AC_ENO ? "failed" : "done", v->id, v->lock_hex, &own);
    if (!booked) return;
    char note[AC_ERR_TEXT_MAX + 64];
    (void)snprintf(note, sizeof note, "its cost is not booked: %s", own.text);
    ac_cli_note(v->cli, note);
}

static ac_status write_report(ac_verify *v, char **name, ac_err *err)
{
    ac_str page = { 0 }, json = { 0 };
    char utc[32];
    const char *dir = a.report ? a.report : ac_path_is_dir(".accord") ? ".accord/verify" : ".";
    ac_utc_compact(utc, ac_utc_ns());
    ac_status st = ac_mkdir_p(dir, err);
    char *stem = ac_arena_printf(&v->arena, "%s/verify-%s", dir, utc);
    char *md = ac_arena_printf(&v->arena, "%s/verify-%s.md", dir, utc), *js = ac_arena_printf(&v->arena, "%s/verify-%s.json", dir, utc);
    if (!st && (!stem || !md || !js)) st = ac_fail_nomem(err, 128);
    if (!st) {
        ac_verify_markdown(&page, v);
        ac_verify_json(&json, v, stem);
        ac_str_append_char(&json, '\n');
        if (!ac_str_ok(&page) || !ac_str_ok(&json)) st = ac_fail_nomem(err, page.len);
    }
    if (!st) st = ac_file_write_atomic(md, page.ptr, page.len, err);
    if (!st) st = ac_file_write_atomic(js, json.ptr, json.len, err);
    if (st) (void)ac_err_prefix(err, st, "the report (--report names another place)");
    *name = stem;
    ac_str_release(&page);
    ac_str_release(&json);
    return st;
}

static ac_status say(ac_verify *v, ac_err *err)
{
    ac_str s = { 0 };
    char *report = NULL;
    ac_status st = write_report(v, &report, err);
    if (!st) record(v);
    if (!st && v->cli->json) {
        ac_verify_json(&s, v, report);
    } else if (!st) {
        ac_str plain = { 0 };
        ac_verify_text(&plain, v, report);
        if (!ac_str_ok(&plain)) st = ac_fail_nomem(err, plain.len);
        else ac_cli_foreign(&s, v->cli, ac_str_view(&plain));
        ac_str_release(&plain);
    }
    if (!st) st = ac_cli_result(v->cli, &s, err);
    ac_str_release(&s);
    if (st) return st;
    /* Of another arithmetic nothing but the verdict was asked. */
    const bool yes = v->outcome == AC_VERIFY_BIT_IDENTICAL || v->outcome == AC_VERIFY_PREFIX_IDENTICAL
                     || (v->outcome == AC_VERIFY_VERDICT_IDENTICAL && v->numerics[1]);
    return yes ? AC_OK : AC_ENO;
}

/* What cannot be removed holds a copy of the run's weights, so it is named. */
static void clean_up(const ac_verify *v)
{
    char note[AC_ERR_TEXT_MAX + 64];
    ac_err own = { "" };
    if (!v->work || v->keep || ac_remove_tree(v->work, &own) == AC_OK) return;
    (void)snprintf(note, sizeof note, "left behind: %s (%s)", v->work, own.text);
    ac_cli_note(v->cli, note);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_verify v = { .cli = cli, .o = &a };
    ac_cost_clock_start(&v.cost, "verify");
    ac_status st = ac_verify_open(&v, err);
    if (!st) st = ac_verify_find_inputs(&v, err);
    if (!st) st = ac_verify_build(&v, err);
    if (!st && v.n_different) st = ac_verify_rows(&v, err);
    if (!st && (!v.n_different || a.anyway)) st = rebuild(&v, err);
    if (!st) v.outcome = decide(&v);
    if (!st) st = say(&v, err);
    book(&v, st);
    ac_cost_clock_release(&v.cost);
    clean_up(&v);
    ac_lock_release(&v.lock);
    ac_str_release(&v.trace);
    ac_str_release(&v.trace_again);
    ac_arena_release(&v.arena);
    return st;
}

static const char *const examples[] = {
    "accord verify latest",
    "accord verify /mnt/usb/20260131T093000Z-1a2b3c4d --data ~/copies --base smollm2.gguf",
    "accord verify latest --steps 20 --threads 1 --cpu avx2",
    "accord verify latest --program 'qemu-aarch64 build-arm/accord'",
    "accord verify latest --numerics cuda-bf16",
    NULL
};

const ac_cmd ac_cmd_verify = {
    .name = "verify",
    .group = "Look",
    .summary = "train a run again elsewhere, and compare every bit",
    .text = "The run folder may be a copy, read-only, of another user or machine. Its inputs are found by the lock's paths and "
            "taken by their sealed SHA-256; the contract is rebuilt from the run's lock in a folder of its own, and accord train and "
            "accord ab are started there. Both command lines are printed.\n\n"
            "Ends in BIT_IDENTICAL or PREFIX_IDENTICAL (exit code 0), or in VERDICT_IDENTICAL, DIVERGED at a step, or INPUTS_DIFFER "
            "(exit code 1), with a report of inputs, fingerprints and the first differing step that can be attached to a ticket. With "
            "--numerics of another arithmetic (a GPU's, say) VERDICT_IDENTICAL is the yes that was asked for, and exit code 0.",
    .examples = examples,
    .options = options,
    .run = run,
};
