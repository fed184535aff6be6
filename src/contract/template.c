/* What comes out of the schema table as text: the commented accord.yaml and docs/contract.md. */
#include <string.h>

#include "contract/schema_int.h"

/* Values that `accord init` writes out; the rest stands in comments with its default. */
static const struct { const char *key, *value; } filled[] = {
    { "model", "smollm2-135m-instruct" }, { "train", "data/train.jsonl" }, { "valid", "data/valid.jsonl" },
    { "cases", "evals/cases.jsonl" },
};

static const char *fill_of(const ac_key *k)
{
    for (size_t i = 0; i < AC_COUNTOF(filled); i++)
        if (!strcmp(k->name, filled[i].key)) return filled[i].value;
    return NULL;
}

static void one_key(ac_str *out, const ac_key *k)
{
    const char *fill = fill_of(k);
    ac_str_appendf(out, "  # %s", k->help);
    if (k->choices) ac_str_appendf(out, " (%s)", k->choices);
    ac_str_append_c(out, "\n");
    if (fill) ac_str_appendf(out, "  %s: %s\n", k->name, fill);
    else if (k->type == AC_KEY_TARGETS) ac_str_appendf(out, "  # %s: [%s]\n", k->name, k->preset);
    else ac_str_appendf(out, "  # %s: %s\n", k->name, k->preset ? k->preset : "");
}

ac_status ac_contract_template(ac_str *out, ac_err *err)
{
    ac_str_append_c(out, "# The contract: what is adapted, from what, how it is trained and how it is judged.\n"
                         "# Lines in comments show the defaults. Paths are relative to this file. `accord freeze` seals\n"
                         "# everything here in accord.lock; commit both.\n");
    for (size_t s = 0; s < ac_n_sections; s++) {
        ac_str_appendf(out, "\n# %s\n%s:\n", ac_sections[s].help, ac_sections[s].name);
        for (size_t i = 0; i < ac_n_keys; i++)
            if (!strcmp(ac_keys[i].section, ac_sections[s].name)) one_key(out, &ac_keys[i]);
    }
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

static void range_of(ac_str *out, const ac_key *k)
{
    switch (k->type) {
    case AC_KEY_STR: ac_str_append_c(out, "text"); break;
    case AC_KEY_BOOL: ac_str_append_c(out, "true, false"); break;
    case AC_KEY_TARGETS: ac_str_append_c(out, "list of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"); break;
    case AC_KEY_ENUM:
        for (const char *p = k->choices; *p; p++) {
            if (*p == '|') ac_str_append_c(out, ", ");
            else ac_str_append_char(out, *p);
        }
        break;
    default:
        ac_str_appendf(out, "%s from %.15g", k->type == AC_KEY_INT ? "whole number" : "number", k->min);
        if (k->max < 1e15) ac_str_appendf(out, " to %.15g", k->max);
        break;
    }
}

/* The rows of one key stand together in the table, so each key is told once. */
static void ignored_docs(ac_str *out)
{
    ac_str_append_c(out, "\n## Keys that would be ignored\n\nWhere one of these stands in the file under such a choice, "
                         "nothing is done and the error names both lines.\n\n| key | has no effect |\n|---|---|\n");
    for (size_t i = 0; i < ac_n_ignored_keys; i++) {
        const ac_ignored *row = &ac_ignored_keys[i];
        ac_str_appendf(out, "| `%s` | ", row->key);
        for (size_t c = 0; c < AC_COUNTOF(row->when) && row->when[c].key; c++) {
            if (c) ac_str_append_c(out, " and ");
            ac_str is = { 0 };
            for (const char *p = row->when[c].is; *p; p++) {
                if (*p == '|') ac_str_append_c(&is, ", ");
                else ac_str_append_char(&is, *p);
            }
            ac_ignored_cause(out, &row->when[c], ac_str_c(&is));
            ac_str_release(&is);
        }
        ac_str_append_c(out, " |\n");
    }
}

ac_status ac_contract_docs(ac_str *out, ac_err *err)
{
    ac_str_append_c(out,
        "# accord.yaml\n\n"
        "<!-- Made from the schema table by `accord help --contract`; a test compares. -->\n\n"
        "Every key, its range and its default. An unknown key is an error that names the nearest known one; a key that\n"
        "would have no effect beside another is an error too. Paths are relative to the file. `accord init` writes a\n"
        "commented example; `accord freeze` seals the resolved value of every key in accord.lock, so that any change of a\n"
        "value needs a new lock (comments and order do not).\n");
    for (size_t s = 0; s < ac_n_sections; s++) {
        ac_str_appendf(out, "\n## %s: %s\n\n| key | default | range | meaning |\n|---|---|---|---|\n", ac_sections[s].name,
                       ac_sections[s].help);
        for (size_t i = 0; i < ac_n_keys; i++) {
            const ac_key *k = &ac_keys[i];
            if (strcmp(k->section, ac_sections[s].name)) continue;
            ac_str_appendf(out, "| `%s.%s` | %s | ", k->section, k->name,
                           k->required ? "needed" : !k->preset ? "none" : k->type == AC_KEY_TARGETS ? "all seven" : k->preset);
            range_of(out, k);
            ac_str_appendf(out, " | %s |\n", k->help);
        }
    }
    ignored_docs(out);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}
