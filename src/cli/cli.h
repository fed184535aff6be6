/* cli/cli.h - what every command gets: streams, common options, progress; and how a command is described.
 *
 * I1  Results go to stdout, progress and messages to stderr. With --json a result is one JSON document, and a
 *     failure is {"error":{...}} on stdout beside its line on stderr.
 * I2  A command returns a status and one sentence; ac_cli_main prints it once and gives the exit code. A status
 *     AC_ENO without a sentence is an answer that was printed already.
 * I3  Text that came from files or models has its control characters replaced before it reaches a terminal. */
#ifndef AC_CLI_CLI_H
#define AC_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include "base/err.h"
#include "base/event.h"
#include "base/str.h"
#include "cli/opt.h"
#include "cli/progress.h"
#include "kernels/kernels.h"

typedef struct ac_cmd ac_cmd;

/* AUTO: the CPU, or a GPU where the contract's numerics are a GPU's. */
typedef enum { AC_DEVICE_AUTO, AC_DEVICE_CPU, AC_DEVICE_CUDA } ac_device_kind;

typedef struct {
    FILE *out, *err;
    bool out_tty, err_tty, color;   /* color: stdout is a terminal that wants it */
    size_t width;                   /* columns of the terminal; 80 elsewhere */
    bool json, quiet;
    int exit_as;                    /* not 0: the exit code, whatever the status says */
    bool answered;                  /* the result is printed: a failure has its line on stderr and nothing more */
    int64_t threads;                /* 0: all that the process may use */
    ac_cpu cpu;
    ac_device_kind device;
    const ac_cmd *cmd;
    int argc;                       /* the whole command line, for env.json */
    char *const *argv;
    ac_progress progress;
    ac_sink sink;                   /* draws on stderr */
} ac_cli;

struct ac_cmd {
    const char *name;               /* "score", "model inspect" */
    const char *group;              /* heading in the list of commands */
    const char *summary;            /* one line, lower-case, no full stop */
    const char *text;               /* a paragraph or two; blank lines divide */
    const char *const *examples;    /* command lines, NULL at the end; may be NULL */
    const ac_opt *options;          /* the command's own; the common ones are added */
    ac_status (*run)(ac_cli *cli, ac_err *err);
};

extern const ac_cmd *const ac_cmds[];        /* NULL at the end; in the order of the help */
const ac_opt *ac_cli_common(void);           /* the options that every command takes */
void ac_cli_common_reset(void);              /* their defaults, before help shows them */

int ac_cli_main(int argc, char **argv);

/* ---- output ---- */
void ac_cli_print(ac_cli *cli, ac_view text);                      /* to stdout as it is */
void ac_cli_printf(ac_cli *cli, const char *fmt, ...) AC_PRINTF(2, 3);
/* Checks that text could be built, then prints it and a line end. */
ac_status ac_cli_result(ac_cli *cli, const ac_str *text, ac_err *err);
/* Appends text from outside; on a terminal control characters other than LF and TAB become '?'. */
void ac_cli_foreign(ac_str *out, const ac_cli *cli, ac_view text);

/* Reads one line of standard input without its LF; *end at the end of the input. */
ac_status ac_cli_stdin_line(ac_str *line, size_t max_bytes, bool *end, ac_err *err);
/* Progress of work that cli does itself. */
void ac_cli_stage(ac_cli *cli, const char *text, const char *unit, uint64_t total);
void ac_cli_stage_at(ac_cli *cli, uint64_t done);
void ac_cli_stage_end(ac_cli *cli);
void ac_cli_note(ac_cli *cli, const char *text);

/* Why this tier is computed with, for the fingerprint. */
const char *ac_tier_why(const ac_cli *cli);

/* doctor --signals. */
ac_status ac_doctor_signals(ac_cli *cli, ac_err *err);

/* ---- help ---- */
void ac_help_list(ac_str *out, size_t width);                      /* accord --help */
void ac_help_command(ac_str *out, const ac_cmd *cmd, size_t width);
void ac_help_json(ac_str *out, const ac_cmd *cmd);                 /* cmd NULL: all of them */
void ac_help_man(ac_str *out);                                     /* roff */
void ac_help_man_command(ac_str *out, const ac_cmd *cmd);          /* accord-<name>(1) */

#endif
