/* cli/project.h - the contract in the current folder, its lock, and files of a run. */
#ifndef AC_CLI_PROJECT_H
#define AC_CLI_PROJECT_H

#include "cli/cli.h"
#include "contract/contract.h"

typedef struct {
    ac_contract contract;
    ac_lock lock;
    char lock_hex[AC_SHA256_HEX];
} ac_project;                          /* {0} is valid */

/* A file that `accord verify` lays into the folder where it rebuilds a run, with the run's name: freeze may have looked for less
 * when that was trained, and it is rebuilt all the same. */
#define AC_REBUILD_MARK "rebuild-of"

/* Reads accord.yaml and accord.lock here and holds the world against the lock. A refusal (77) or a broken seal (78)
 * goes to the audit log before it is shown; what names the act: "train". */
ac_status ac_project_open(ac_project *p, const char *what, ac_err *err);
void      ac_project_release(ac_project *p);
/* Records a refusal of `what` and returns st. */
ac_status ac_project_refused(const char *what, ac_status st, ac_err *err);

/* Sets one key of the JSON object in a file to `value` (JSON text), keeps the others, and replaces the file; an absent
 * file is made. */
ac_status ac_json_file_set(const char *path, const char *key, ac_view value, ac_err *err);
/* "<dir>/<name>" in the arena. */
ac_status ac_run_path(char **out, ac_arena *a, const char *dir, const char *name, ac_err *err);
/* The last component of a run folder's path. */
const char *ac_run_id(const char *path);

#endif
