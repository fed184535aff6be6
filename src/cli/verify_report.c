/* What verify found: on the terminal, as JSON, and as a page that can be attached to a ticket. */
#include <string.h>

#include "cli/verify.h"

const char *ac_verify_outcome_name(ac_verify_outcome o)
{
    static const char *const names[] = { "BIT_IDENTICAL", "PREFIX_IDENTICAL", "VERDICT_IDENTICAL", "DIVERGED", "INPUTS_DIFFER" };
    return names[o];
}

const char *const ac_verify_numerics[] = { "same", "fp32", "bf16", "cuda-bf16", NULL };

/* Fingerprint rows that differ between any two runs, and say nothing about bits. */
static bool incidental(const char *key)
{
    static const char *const keys[] = { "utc", "argv", "git", "lock", "accord_environment", "machine.host" };
    for (size_t i = 0; i < AC_COUNTOF(keys); i++) {
        const size_t n = strlen(keys[i]);
        if (strncmp(key, keys[i], n) == 0 && (key[n] == '\0' || key[n] == '.')) return true;
    }
    return false;
}

static void value(ac_str *out, const ac_json *v)
{
    if (!v) ac_str_append_c(out, "none");
    else if (v->type == AC_JSON_STRING) ac_str_append(out, v->text);
    else ac_json_write(out, v);
}

/* ---- sentences ---- */

static void headline(ac_str *s, const ac_verify *v)
{
    const unsigned long long n = v->compared, all = v->trace_steps, at = v->first_difference;
    ac_str_append_c(s, ac_verify_outcome_name(v->outcome));
    switch (v->outcome) {
    case AC_VERIFY_BIT_IDENTICAL:
        ac_str_appendf(s, ": %s%llu step%s and every byte of the weights", n == 1 ? "the " : "all ", n, ac_plural(n));
        if (v->ab_done) ac_str_appendf(s, ", every answer and the verdict (%s)", v->verdict_text[0]);
        break;
    case AC_VERIFY_PREFIX_IDENTICAL:
        ac_str_appendf(s, ": the first %llu of %llu steps%s; nothing is said about the rest", n, all,
                       v->trained ? "" : " of a run that has not ended");
        break;
    case AC_VERIFY_VERDICT_IDENTICAL:
        ac_str_appendf(s, ": the bits differ, the verdict (%s) is the same", v->verdict_text[0]);
        if (v->numerics[1]) ac_str_appendf(s, "; numerics %s, now %s", v->numerics[0], v->numerics[1]);
        else if (at) ac_str_appendf(s, "; first different step %llu", at);
        break;
    case AC_VERIFY_DIVERGED:
        if (at) ac_str_appendf(s, " at step %llu of %llu", at, all);
        else if (v->weights_compared && !v->weights_same) ac_str_appendf(s, " after the last step: %s differs", v->weights_what);
        else ac_str_append_c(s, " in the answers: steps and weights are the same");
        if (v->ab_done && !v->verdict_same) ac_str_appendf(s, "; verdict %s, now %s", v->verdict_text[0], v->verdict_text[1]);
        break;
    case AC_VERIFY_INPUTS_DIFFER:
        ac_str_append_c(s, ": nothing was trained; --anyway trains on what is there and says where the bits part");
        break;
    }
    ac_str_append_char(s, '\n');
}

static void inputs(ac_str *s, const ac_verify *v)
{
    for (size_t i = 0; i < v->n_inputs; i++) {
        const ac_verify_input *in = &v->input[i];
        if (in->same || !in->full) continue;
        ac_str_appendf(s, "%s is not the run's: %s has sha-256 %.16s..., sealed is %.16s...\n", in->in.name, in->full, in->have,
                       in->sealed);
    }
    for (size_t i = 0; i < v->n_rows && i < AC_VERIFY_ROWS; i++) {
        const ac_verify_row *r = &v->row[i];
        ac_str_appendf(s, "  line %llu of data.train: hash %s, the run's was %s", (unsigned long long)r->line,
                       r->is[0] ? r->is : "none", r->was[0] ? r->was : "none");
        if (r->step) ac_str_appendf(s, "; first used in step %llu", (unsigned long long)r->step);
        ac_str_append_char(s, '\n');
    }
    if (v->n_rows > AC_VERIFY_ROWS) ac_str_appendf(s, "  and %zu more line%s\n", v->n_rows - AC_VERIFY_ROWS,
                                                   ac_plural(v->n_rows - AC_VERIFY_ROWS));
    if (v->rows_was != v->rows_is)
        ac_str_appendf(s, "  it has %llu lines, the run's had %llu: the order of all rows is another\n",
                       (unsigned long long)v->rows_is, (unsigned long long)v->rows_was);
    if (v->rows_note) ac_str_appendf(s, "  %s\n", v->rows_note);
}

static void difference(ac_str *s, const ac_verify *v)
{
    static const char *const who[] = { "the run", "rebuilt" };
    if (!v->first_difference) return;
    for (size_t i = 0; i < 2; i++)
        ac_str_appendf(s, "  %s: " AC_VIEW_FMT "\n", who[i], AC_VIEW_ARG(v->line[i].ptr ? v->line[i] : AC_VIEW("no such line")));
}

static void fingerprint(ac_str *s, const ac_verify *v, const char *bullet)
{
    for (size_t i = 0; i < v->compare.fingerprint.n; i++) {
        const ac_compare_row *r = &v->compare.fingerprint.row[i];
        if (incidental(r->key)) continue;
        ac_str_appendf(s, "%s%s: ", bullet, r->key);
        value(s, r->value[0]);
        ac_str_append_c(s, ", now ");
        value(s, r->value[1]);
        ac_str_append_char(s, '\n');
    }
}

static size_t n_keys(const ac_verify *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->compare.fingerprint.n; i++) n += !incidental(v->compare.fingerprint.row[i].key);
    return n;
}

void ac_verify_text(ac_str *out, const ac_verify *v, const char *report)
{
    headline(out, v);
    inputs(out, v);
    difference(out, v);
    if (v->stopped_early) ac_str_append_c(out, "  stopped there; --full goes on, and tells whether the verdict is the same\n");
    if (v->ab_done && !v->answers_same) ac_str_append_c(out, "answers differ; see accord compare\n");
    if (v->outcome != AC_VERIFY_INPUTS_DIFFER) {
        if (n_keys(v)) ac_str_append_c(out, "the fingerprints differ in\n");
        else ac_str_append_c(out, "the fingerprints are the same\n");
        fingerprint(out, v, "  ");
    }
    if (v->keep) ac_str_appendf(out, "kept       %s\n", v->project);
    ac_str_appendf(out, "report     %s.md and .json\n", report);
}

/* ---- JSON ---- */

static void optional(ac_jw *w, const char *key, bool known, bool v)
{
    if (known) ac_jw_bool(w, key, v);
    else ac_jw_null(w, key);
}

static void inputs_json(ac_jw *w, const ac_verify *v)
{
    ac_jw_array(w, "inputs");
    for (size_t i = 0; i < v->n_inputs; i++) {
        const ac_verify_input *in = &v->input[i];
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "name", in->in.name);
        ac_jw_cstr(w, "path", in->in.path);
        ac_jw_cstr(w, "found", in->full);
        ac_jw_cstr(w, "sealed_sha256", in->sealed);
        ac_jw_cstr(w, "sha256", in->full ? in->have : NULL);
        ac_jw_bool(w, "same", in->same);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_u64(w, "changed_rows", v->n_rows);
    ac_jw_array(w, "rows");
    for (size_t i = 0; i < v->n_rows && i < AC_VERIFY_ROWS; i++) {
        const ac_verify_row *r = &v->row[i];
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "input", "data.train");
        ac_jw_u64(w, "line", r->line);
        ac_jw_cstr(w, "was", r->was[0] ? r->was : NULL);
        ac_jw_cstr(w, "is", r->is[0] ? r->is : NULL);
        if (r->step) ac_jw_u64(w, "first_step", r->step);
        else ac_jw_null(w, "first_step");
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_cstr(w, "rows_note", v->rows_note);
}

static void difference_json(ac_jw *w, const ac_verify *v)
{
    if (!v->first_difference) {
        ac_jw_null(w, "first_difference");
        return;
    }
    ac_jw_object(w, "first_difference");
    ac_jw_u64(w, "step", v->first_difference);
    for (size_t i = 0; i < 2; i++) {
        if (v->line[i].ptr) ac_jw_str(w, i ? "rebuilt" : "run", v->line[i]);
        else ac_jw_null(w, i ? "rebuilt" : "run");
    }
    ac_jw_end_object(w);
}

static void fingerprint_json(ac_jw *w, const ac_verify *v)
{
    ac_jw_array(w, "fingerprint_differs");
    for (size_t i = 0; i < v->compare.fingerprint.n; i++) {
        const ac_compare_row *r = &v->compare.fingerprint.row[i];
        if (incidental(r->key)) continue;
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "key", r->key);
        ac_compare_value_json(w, "run", r->value[0]);
        ac_compare_value_json(w, "rebuilt", r->value[1]);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
}

void ac_verify_json(ac_str *out, const ac_verify *v, const char *report)
{
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "result", ac_verify_outcome_name(v->outcome));
    ac_jw_cstr(&w, "run", v->id);
    ac_jw_cstr(&w, "lock", v->lock_hex);
    ac_jw_cstr(&w, "numerics", v->numerics[0]);
    ac_jw_cstr(&w, "numerics_rebuilt", v->numerics[1]);
    ac_jw_u64(&w, "steps", v->trace_steps);
    ac_jw_u64(&w, "compared_steps", v->compared);
    ac_jw_bool(&w, "prefix", v->prefix);
    ac_jw_bool(&w, "stopped_at_first_difference", v->stopped_early);
    difference_json(&w, v);
    optional(&w, "weights_same", v->weights_compared, v->weights_same);
    optional(&w, "answers_same", v->ab_done, v->answers_same);
    optional(&w, "verdict_same", v->ab_done, v->verdict_same);
    ac_jw_cstr(&w, "verdict", v->ab_done ? v->verdict_text[0] : NULL);
    ac_jw_cstr(&w, "verdict_rebuilt", v->ab_done ? v->verdict_text[1] : NULL);
    inputs_json(&w, v);
    fingerprint_json(&w, v);
    ac_jw_array(&w, "commands");
    for (size_t i = 0; i < v->n_commands; i++) ac_jw_cstr(&w, NULL, v->command[i]);
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "project", v->keep ? v->project : NULL);
    ac_jw_cstr(&w, "report", report);
    ac_jw_end_object(&w);
}

/* ---- the page ---- */

static void both_fingerprints(ac_str *s, const ac_verify *v)
{
    static const char *const who[] = { "Fingerprint of the run", "Fingerprint here" };
    for (size_t i = 0; i < 2; i++) {
        const ac_json *env = v->compare.side[i].env;
        if (!env) continue;
        ac_str_appendf(s, "\n## %s\n\n```json\n", who[i]);
        ac_json_write(s, env);
        ac_str_append_c(s, "\n```\n");
    }
}

void ac_verify_markdown(ac_str *s, const ac_verify *v)
{
    ac_str_appendf(s, "# Verification of run %s\n\n**", v->id);
    const size_t at = s->len;
    headline(s, v);
    if (s->len > at) s->len--;                           /* its line end goes behind the stars */
    ac_str_appendf(s, "**\n\nLock `%s`, %llu step%s in the run, %llu compared without a difference.\n", v->lock_hex,
                   (unsigned long long)v->trace_steps, ac_plural(v->trace_steps), (unsigned long long)v->compared);
    if (v->first_difference) {
        ac_str_append_c(s, "\n## First difference\n\n```\n");
        difference(s, v);
        ac_str_append_c(s, "```\n\nAnother loss at step 1 points to the forward pass or to other inputs, the same loss with another "
                           "norm to the backward pass,\na later first step to the optimizer, the schedule or the order of rows "
                           "(docs/identity.md).\n");
    }
    ac_str_append_c(s, "\n## Inputs\n\n| input | path in the lock | found | sealed | here |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < v->n_inputs; i++) {
        const ac_verify_input *in = &v->input[i];
        ac_str_appendf(s, "| %s | `%s` | `%s` | `%.16s` | %s%.16s%s |\n", in->in.name, in->in.path, in->full ? in->full : "nowhere",
                       in->sealed, in->same ? "same, `" : "**differs**, `", in->full ? in->have : "-", "`");
    }
    if (v->n_different) {
        ac_str_append_c(s, "\n```\n");
        inputs(s, v);
        ac_str_append_c(s, "```\n");
    }
    if (v->outcome != AC_VERIFY_INPUTS_DIFFER) {
        ac_str_append_c(s, "\n## Differing keys of the fingerprints\n\n");
        if (n_keys(v)) fingerprint(s, v, "- ");
        else ac_str_append_c(s, "None.\n");
    }
    if (v->n_commands) {
        ac_str_append_c(s, "\n## To repeat by hand\n\n");
        if (!v->keep) ac_str_append_c(s, "The folder was removed afterwards; `accord verify --keep DIR` leaves it.\n\n");
        for (size_t i = 0; i < v->n_commands; i++) ac_str_appendf(s, "    %s\n", v->command[i]);
    }
    both_fingerprints(s, v);
}
