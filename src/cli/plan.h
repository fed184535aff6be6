/* cli/plan.h - accord plan: what a run will take of memory, time, disk and money, before anything of it is written. */
#ifndef AC_CLI_PLAN_H
#define AC_CLI_PLAN_H

#include "cli/train_run.h"
#include "plan/outlook.h"

typedef struct {
    ac_train_inputs in;
    ac_forecast time;                /* counts in any case */
    const char *time_from;           /* how the times are known; NULL: they are not */
    double setup_seconds, save_seconds;   /* before the first step; of one checkpoint. NAN: unknown */
    double checkpoint_bytes;         /* of one */
    double total_seconds;            /* NAN: unknown */
    ac_outlook_facts facts;
    ac_outlook outlook;
} ac_plan;

/* ---- what earlier runs and the disk tell (plan_past.c) ---- */
/* Times from the newest run of this model, method and machine that took steps; leaves *p as it is where there is none. */
ac_status ac_plan_from_past(ac_plan *p, ac_cli *cli, const ac_contract_values *v, ac_arena *a, ac_err *err);
/* Seconds that a checkpoint takes here: a file of a part of its size is written, synced, read back and removed. NAN: not known. */
double    ac_plan_save_seconds(double bytes);

/* ---- how it is shown (plan_show.c) ---- */
ac_status ac_plan_text(ac_str *s, const ac_plan *p, const ac_contract_values *v, ac_err *err);
void      ac_plan_json(ac_str *s, const ac_plan *p, const ac_contract_values *v);

#endif
