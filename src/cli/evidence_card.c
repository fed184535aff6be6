/* MODEL_CARD.md: a Hugging Face model card, of nothing but what the run's records say. */
#include <math.h>
#include <string.h>

#include "cli/evidence.h"
#include "ledger/telemetry.h"

/* One line of YAML: quoted as JSON, which YAML takes. */
static void yaml(ac_str *s, const char *key, ac_view value)
{
    ac_str_appendf(s, "%s: ", key);
    ac_json_quote(s, value);
    ac_str_append_char(s, '\n');
}

/* Text from outside in a table or paragraph: nothing of it may end a cell or begin markup. */
static void plain(ac_str *s, ac_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (c == '|' || c == '<' || c == '>' || c == '`' || c == '*' || c == '_' || c == '[' || c == ']' || c == '\\')
            ac_str_append_char(s, '\\');
        ac_str_append_char(s, (unsigned char)c < 0x20 ? ' ' : c);
    }
}

static void value(ac_str *s, const ac_json *v)
{
    ac_str text = { 0 };
    if (!v || v->type == AC_JSON_NULL) {
        ac_str_append_c(s, "none");
        return;
    }
    if (v->type != AC_JSON_STRING) ac_json_write(&text, v);
    plain(s, v->type == AC_JSON_STRING ? v->text : ac_str_view(&text));
    if (!ac_str_ok(&text)) s->failed = true;
    ac_str_release(&text);
}

static void front_matter(ac_str *s, const ac_evidence *e)
{
    const ac_json *arms = ac_json_get(e->verdict, "arms");
    const bool full = ac_view_eq_str(ac_ev_text(ac_ev_get(e->lock, "values", "method"), "tune", ""), "full");
    ac_str_append_c(s, "---\n");
    yaml(s, "base_model", ac_ev_text(ac_ev_get(e->lock, "values", "base"), "model", "unknown"));
    ac_str_append_c(s, full ? "library_name: transformers\n" : "library_name: peft\n");
    ac_str_append_c(s, "pipeline_tag: text-generation\ntags:\n- accord\n");
    ac_str_appendf(s, "- %s\nmodel-index:\n", full ? "full-fine-tuning" : "lora");
    ac_str_appendf(s, "- name: %s\n  results:\n", e->id);
    for (const ac_json *a = arms ? arms->child : NULL; a; a = a->next) {
        const double n = ac_ev_number(a, "cases", 0), k = ac_ev_number(a, "passed", 0);
        const ac_view arm = ac_ev_text(a, "arm", "?");
        if (!ac_view_starts(arm, AC_VIEW("tuned")) || n <= 0) continue;
        ac_str_append_c(s, "  - task:\n      type: text-generation\n    dataset:\n      name: sealed cases of the contract\n"
                           "      type: accord-cases\n    metrics:\n    - type: pass_rate\n");
        ac_str_append_c(s, "      name: ");
        ac_json_quote(s, arm);
        ac_str_appendf(s, "\n      value: %.1f\n", 100 * k / n);
    }
    ac_str_append_c(s, "---\n\n");
}

static void row(ac_str *s, const char *name, const ac_json *v)
{
    ac_str_appendf(s, "| %s | ", name);
    value(s, v);
    ac_str_append_c(s, " |\n");
}

/* Under every table with times. */
static void timing(ac_str *s, const ac_run_void *v)
{
    if (!v->n) return;
    ac_str_append_c(s, "\n**The times are VOID for timing claims**: ");
    for (size_t i = 0; i < v->n; i++) {
        if (i) ac_str_append_c(s, "; ");
        plain(s, ac_view_of(v->why[i]));
    }
    ac_str_append_c(s, ".\n");
}

static void training(ac_str *s, const ac_evidence *e, const ac_run_void *v)
{
    static const char *const keys[] = { "tune", "rank", "alpha", "targets", "dropout", "optimizer", "lr", "schedule", "epochs",
                                        "batch_rows", "seed", "numerics" };
    const ac_json *sealed = ac_json_get(e->lock, "sealed"), *method = ac_ev_get(e->lock, "values", "method");
    ac_str_append_c(s, "## Training Details\n\n### Training Data\n\n| input | path | SHA-256 |\n|---|---|---|\n");
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next) {
        ac_str_append_c(s, "| ");
        plain(s, c->key);
        ac_str_append_c(s, " | ");
        plain(s, ac_ev_text(c, "path", ""));
        ac_str_appendf(s, " | " AC_VIEW_FMT " |\n", AC_VIEW_ARG(ac_ev_text(c, "sha256", "")));
    }
    ac_str_append_c(s, "\n### Training Hyperparameters\n\n| key | value |\n|---|---|\n");
    for (size_t i = 0; i < AC_COUNTOF(keys); i++) row(s, keys[i], ac_ev_get(method, keys[i], NULL));
    ac_str_append_c(s, "\n### Speeds, Sizes, Times\n\n| figure | value |\n|---|---|\n");
    row(s, "steps", ac_json_get(e->run, "steps"));
    row(s, "tokens", ac_json_get(e->run, "tokens"));
    row(s, "first loss", ac_json_get(e->run, "first_loss"));
    row(s, "last loss", ac_json_get(e->run, "last_loss"));
    row(s, "best validation loss", ac_json_get(e->run, "best_valid_loss"));
    row(s, "seconds of training", ac_json_get(e->run, "train_seconds"));
    row(s, "peak memory, bytes", ac_json_get(e->run, "peak_rss_bytes"));
    timing(s, v);
    ac_str_append_char(s, '\n');
}

static void evaluation(ac_str *s, const ac_evidence *e)
{
    const ac_json *arms = ac_json_get(e->verdict, "arms"), *all = ac_json_get(e->verdict, "comparisons");
    const ac_json *says = ac_json_get(e->verdict, "sentences");
    ac_str_append_c(s, "## Evaluation\n\nSealed cases, judged by fixed graders; each arm decodes greedily. Paired by case, mid-p "
                       "McNemar, Holm over the comparisons.\n\n| arm | passed | of | 95 % interval |\n|---|---|---|---|\n");
    for (const ac_json *a = arms ? arms->child : NULL; a; a = a->next) {
        ac_str_append_c(s, "| ");
        plain(s, ac_ev_text(a, "arm", "?"));
        ac_str_appendf(s, " | %.0f | %.0f | %.1f-%.1f %% |\n", ac_ev_number(a, "passed", 0), ac_ev_number(a, "cases", 0),
                       100 * ac_ev_number(a, "wilson_low", 0), 100 * ac_ev_number(a, "wilson_high", 1));
    }
    ac_str_append_c(s, "\n| comparison | wins | losses | ties | net points | Holm p | outcome |\n|---|---|---|---|---|---|---|\n");
    for (const ac_json *c = all ? all->child : NULL; c; c = c->next) {
        ac_str_append_c(s, "| ");
        plain(s, ac_ev_text(c, "arm", "?"));
        ac_str_append_c(s, " against ");
        plain(s, ac_ev_text(c, "against", "?"));
        ac_str_appendf(s, " | %.0f | %.0f | %.0f | %+.1f | %.4f | ", ac_ev_number(c, "wins", 0), ac_ev_number(c, "losses", 0),
                       ac_ev_number(c, "ties", 0), ac_ev_number(c, "net_points", 0), ac_ev_number(c, "holm_p", 1));
        plain(s, ac_ev_text(c, "outcome", "?"));
        ac_str_append_c(s, " |\n");
    }
    ac_str_append_c(s, "\n**Verdict: ");
    plain(s, ac_ev_text(e->verdict, "verdict", "?"));
    ac_str_append_c(s, "**\n\n");
    for (const ac_json *t = says ? says->child : NULL; t; t = t->next) {
        ac_str_append_c(s, "- ");
        plain(s, t->text);
        ac_str_append_char(s, '\n');
    }
    ac_str_append_char(s, '\n');
}

static void the_rest(ac_str *s, const ac_evidence *e, const ac_run_void *v)
{
    ac_str_append_c(s, "## Bias, Risks, and Limitations\n\nThe verdict speaks of the sealed cases and of nothing else; how many there "
                       "are, and what so few can show, stands above. Leak checks find copies and near copies of cases in the "
                       "training rows, and no paraphrase.\n\n## Environmental Impact\n\n| figure | value |\n|---|---|\n");
    row(s, "hardware", ac_json_get(e->run, "cpu"));
    row(s, "wall seconds", ac_ev_get(e->cost, "wall_seconds", NULL));
    row(s, "CPU seconds", ac_ev_get(e->cost, "cpu_seconds", NULL));
    const ac_json *kwh = ac_ev_get(e->cost, "energy_kwh", NULL);
    if (kwh && kwh->type == AC_JSON_NUMBER) {
        ac_str_appendf(s, "| energy | %.6f kWh, method: ", kwh->number);
        plain(s, ac_ev_text(e->cost, "energy_method", "not told"));
        ac_str_append_c(s, " |\n");
    } else {
        ac_str_append_c(s, "| energy | not measured |\n");
    }
    timing(s, v);
    ac_str_appendf(s, "\n## How to check this\n\n`accord evidence verify` on the folder that this file came in checks its signature, "
                   "every hash, the audit records and the verdict. Lock: `%s`. Adapter: `" AC_VIEW_FMT "`.\n", e->lock_hex,
                   AC_VIEW_ARG(ac_ev_text(e->run, "adapter_sha256", "unknown")));
}

ac_status ac_ev_card(ac_evidence *e, ac_err *err)
{
    ac_str s = { 0 };
    ac_run_void v = { 0 };
    const ac_status read = ac_run_void_read(&v, &e->arena, e->dir, err);
    if (read) return read;
    front_matter(&s, e);
    ac_str_appendf(&s, "# Model card of run %s\n\nWritten by accord %s from the run's records.\n\n## Model Details\n\n"
                   "| | |\n|---|---|\n", e->id, ACCORD_VERSION);
    row(&s, "base model", ac_ev_get(ac_ev_get(e->lock, "values", "base"), "model", NULL));
    row(&s, "SHA-256 of the base model", ac_ev_get(ac_ev_get(e->lock, "sealed", "base.model"), "sha256", NULL));
    row(&s, "method", ac_ev_get(ac_ev_get(e->lock, "values", "method"), "tune", NULL));
    row(&s, "trained", ac_json_get(e->run, "finished"));
    ac_str_append_char(&s, '\n');
    training(&s, e, &v);
    evaluation(&s, e);
    the_rest(&s, e, &v);
    const ac_status st = ac_str_ok(&s) ? ac_ev_add(e, "MODEL_CARD.md", ac_str_view(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}
