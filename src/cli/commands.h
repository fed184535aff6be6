/* cli/commands.h - the commands; one cmd_<name>.c each. */
#ifndef AC_CLI_COMMANDS_H
#define AC_CLI_COMMANDS_H

#include "cli/cli.h"

extern const ac_cmd ac_cmd_verify, ac_cmd_data_split;
extern const ac_cmd ac_cmd_audit_verify, ac_cmd_audit_list, ac_cmd_audit_show;
extern const ac_cmd ac_cmd_triage, ac_cmd_plan, ac_cmd_drift, ac_cmd_rag_eval, ac_cmd_init, ac_cmd_model_pull, ac_cmd_model_inspect, ac_cmd_model_new, ac_cmd_data_check, ac_cmd_freeze, ac_cmd_train,
    ac_cmd_ab, ac_cmd_runs, ac_cmd_show, ac_cmd_report, ac_cmd_audit, ac_cmd_generate, ac_cmd_chat, ac_cmd_score,
    ac_cmd_tokenize, ac_cmd_cost, ac_cmd_promote, ac_cmd_rollback, ac_cmd_compare, ac_cmd_doctor, ac_cmd_help;
extern const ac_cmd ac_cmd_key_new, ac_cmd_key_show, ac_cmd_key_audit, ac_cmd_seal_data, ac_cmd_unseal_data, ac_cmd_backup, ac_cmd_backup_verify,
    ac_cmd_backup_restore, ac_cmd_forget, ac_cmd_evidence, ac_cmd_evidence_verify;
extern const ac_cmd ac_cmd_guard_explain, ac_cmd_guard_table, ac_cmd_top;

#endif
