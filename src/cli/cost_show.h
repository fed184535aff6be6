/* cli/cost_show.h - what `accord cost` prints (docs/cost.md). */
#ifndef AC_CLI_COST_SHOW_H
#define AC_CLI_COST_SHOW_H

#include "cli/cli.h"
#include "ledger/cost.h"
#include "ledger/telemetry.h"

typedef struct {
    ac_cost_part *part;
    size_t n;
    ac_cost_by by;
    ac_arena *arena;
    const char *unreadable;      /* what could not be read, a line each; "" */
} ac_cost_view;

extern const char *const ac_cost_by_names[];     /* NULL at the end, in the order of ac_cost_by */

/* One run: its parts, its lines of money, what is missing, what a point cost, the node. */
ac_status ac_cost_show_run(ac_str *out, const ac_cli *cli, const ac_cost_run *r, ac_arena *a, ac_err *err);
void      ac_cost_json_run(ac_str *out, const ac_cost_run *r, const ac_cost_sum *total, const ac_cost_node *node, const ac_run_void *timing);
/* Many: one row a key, the total, what is missing, what a point and a WIN cost. */
ac_status ac_cost_show_table(ac_str *out, const ac_cli *cli, const ac_cost_view *v, ac_err *err);
ac_status ac_cost_json_table(ac_str *out, const ac_cost_view *v, ac_err *err);
ac_status ac_cost_csv_table(ac_str *out, const ac_cost_view *v, ac_err *err);
void      ac_cost_csv_parts(ac_str *out, const ac_cost_view *v);
/* FOCUS 1.2: a row a line of money of each part (cost_focus.c). What has no price has no row; *left_out counts such parts. */
ac_status ac_cost_csv_focus(ac_str *out, const ac_cost_view *v, size_t *left_out, ac_err *err);
void      ac_csv_cell(ac_str *out, ac_view text);

#endif
