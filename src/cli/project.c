#include "cli/project.h"

#include <string.h>

#include "base/file.h"
#include "ledger/ledger.h"

ac_status ac_project_refused(const char *what, ac_status st, ac_err *err)
{
    if (st != AC_EREFUSED && st != AC_ECONTRACT) return st;
    ac_str s = { 0 };
    ac_err second = { "" };
    ac_str_append_c(&s, "\"command\":");
    ac_json_quote(&s, ac_view_of(what));
    ac_str_append_c(&s, ",\"status\":");
    ac_json_quote(&s, ac_view_of(ac_status_name(st)));
    ac_str_append_c(&s, ",\"text\":");
    ac_json_quote(&s, ac_view_of(err ? err->text : ""));
    /* The refusal stands even where it cannot be recorded; then both are said. */
    if (!ac_str_ok(&s) || ac_audit_append(".", "refusal", ac_str_c(&s), &second))
        (void)ac_err_prefix(err, st, "(not recorded in the audit log: %.200s)", second.text);
    ac_str_release(&s);
    return st;
}

ac_status ac_project_open(ac_project *p, const char *what, ac_err *err)
{
    ac_status st = ac_contract_read(&p->contract, ".", err);
    if (st) return st;                                  /* no project here: nowhere to record it */
    st = ac_lock_read(&p->lock, &p->contract, err);
    if (!st) st = ac_gate(&p->lock, &p->contract, err);
    if (!st && !strcmp(what, "train") && !ac_path_exists(AC_REBUILD_MARK)) st = ac_gate_checks(&p->lock, &p->contract, err);
    if (st) return ac_project_refused(what, st, err);
    ac_sha256_hex(p->lock_hex, &p->lock.hash);
    return AC_OK;
}

void ac_project_release(ac_project *p)
{
    ac_lock_release(&p->lock);
    ac_contract_release(&p->contract);
}
