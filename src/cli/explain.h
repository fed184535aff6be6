/* cli/explain.h - a run's telemetry told to people: each act of the guard with its cause. */
#ifndef AC_CLI_EXPLAIN_H
#define AC_CLI_EXPLAIN_H

#include "cli/cli.h"
#include "formats/json.h"
#include "guard/policy.h"
#include "ledger/telemetry.h"

/* ---- words (explain_words.c): constants, or text appended to out ---- */
/* The line of the table that an act names; NULL: none, or the guard that wrote it had another table. */
const ac_guard_rule *ac_explain_rule(const ac_tel_act *a);
const ac_signal_info *ac_explain_signal(const char *name);                  /* NULL: no signal of ours */
void        ac_explain_headline(ac_str *out, const ac_tel_act *a);          /* "micro-batch 4 instead of 8" */
void        ac_explain_because(ac_str *out, const ac_tel_act *a);           /* value, limit, rule, source; one sentence */
const char *ac_explain_changed(const ac_tel_act *a);                        /* what it did to the run; NULL: nothing */
const char *ac_explain_otherwise(const ac_tel_act *a);                      /* what in the contract; NULL: nothing to say */
/* How the command was obeyed, as a sentence; false: it was none. */
bool        ac_explain_obeyed(ac_str *out, const ac_tel_act *a);
/* The command that goes on where the run stopped; false: it is done. */
bool        ac_explain_next(ac_str *out, const ac_tel *t, const char *id, bool trained);

void ac_explain_text(ac_str *out, const ac_cli *cli, const ac_tel *t, const ac_run_void *v, const char *id, bool trained);
void ac_explain_json(ac_str *out, const ac_tel *t, const ac_run_void *v, const char *id, bool trained);

#endif
