/* plan: what a run of this contract will take here, before anything of it is written. */
#include <math.h>
#include <string.h>

#include "base/sysfile.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/plan.h"
#include "guard/policy.h"

static struct {
    ac_train_cli t;
    bool measure;
    double seconds;
} a = { .measure = true, .seconds = 20 };

static const char *const recompute_names[] = { "contract", "auto", "none", "block", NULL };

static const ac_opt options[] = {
    AC_OPT_GROUP("Plan"),
    AC_OPT_BOOL(0, "measure", &a.measure, "run a few real steps in memory; without, times are those of earlier runs, or unknown"),
    AC_OPT_F64(0, "seconds", &a.seconds, 0, 3600, "n", "that measuring may take, about; one call of the model is made in any case"),
    AC_OPT_INT(0, "micro-batch", &a.t.micro_batch, 0, 1e6, "rows", "as for train"),
    AC_OPT_ENUM(0, "recompute", &a.t.recompute, recompute_names, "as for train"),
    AC_OPT_STR(0, "memory-limit", &a.t.memory_limit, "size",
               "memory that the run may take in all, like 900M or 4G; else memory.budget, or what is free less memory.reserve"),
    AC_OPT_END
};

/* Adapter or weights, the optimizer's state, the best parameters so far; the words around them are small. */
static double checkpoint_bytes(const ac_train_inputs *in)
{
    const double params = (double)in->memory.plan.n_params * sizeof(float);
    return params * (in->valid.n ? 2 : 1) + (double)in->memory.plan.state_bytes + 8192;
}

static ac_status measure(ac_plan *p, ac_cli *cli, const ac_contract_values *v, ac_arena *arena, ac_err *err)
{
    const ac_train_inputs *in = &p->in;
    ac_status st = ac_forecast_counts(&p->time, &in->opts, &in->train, &in->valid, err);
    if (st || !a.measure || !in->memory.plan.fits) return st ? st : ac_plan_from_past(p, cli, v, arena, err);
    const ac_forecast_job job = { .opts = &in->opts, .model = in->l.model, .train = &in->train,
                                  .valid = in->valid.n ? &in->valid : NULL, .sink = &cli->sink, .seconds = a.seconds };
    st = ac_train_forecast(&p->time, &job, err);
    if (st) return st;
    p->time_from = ac_arena_printf(arena, "%zu measured step%s", p->time.measured_steps, ac_plural(p->time.measured_steps));
    p->setup_seconds += p->time.open_seconds;
    p->save_seconds = ac_plan_save_seconds(p->checkpoint_bytes);
    return p->time_from ? AC_OK : ac_fail_nomem(err, 64);
}

static void sum_up(ac_plan *p)
{
    const ac_forecast *t = &p->time;
    p->total_seconds = (double)NAN;
    if (!p->time_from) return;
    p->total_seconds = p->setup_seconds + t->train_seconds + (double)t->evals * t->eval_seconds;
    if (!isnan(p->save_seconds)) p->total_seconds += p->save_seconds * (double)(t->saves + 1);
}

static void gather(ac_plan *p, const ac_contract_values *v)
{
    const ac_memory_plan *m = &p->in.memory.plan;
    ac_outlook_facts f = {
        .fits = m->fits, .peak = m->peak, .limit = m->limit, .least = m->least, .seconds = p->total_seconds,
        .local_hours = v->triage_local_hours, .minute = ac_local_minute(ac_utc_ns()), .checkpoint_bytes = p->checkpoint_bytes,
        .kept = (double)p->in.opts.keep_checkpoints + 1, .disk_free = (double)NAN, .disk_all = (double)NAN, .watts = v->cost_watts,
        .kwh = v->cost_kwh, .machine_hour = v->cost_machine_hour, .machine_price = v->cost_machine_price,
        .machine_years = v->cost_machine_years, .machine_hours_a_year = v->cost_machine_hours_a_year,
        .node_hour = v->cost_node_hour, .node_speed = v->cost_node_speed,
    };
    double left = 0, all = 0;
    if (ac_fs_room(".", &left, &all)) {
        f.disk_free = left;
        f.disk_all = all;
    }
    f.has_window = v->guard_window && !ac_guard_window_parse(&f.window_from, &f.window_to, ac_view_of(v->guard_window), NULL);
    p->facts = f;
}

static ac_status show(ac_cli *cli, const ac_plan *p, const ac_contract_values *v, ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = AC_OK;
    if (cli->json) ac_plan_json(&s, p, v);
    else st = ac_plan_text(&s, p, v, err);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_contract c = { .path = NULL };
    ac_plan p = { .save_seconds = (double)NAN };
    ac_status st = ac_contract_read(&c, ".", err);
    if (!st) st = ac_train_inputs_open(&p.in, cli, &a.t, &c, err);
    if (!st) {
        p.setup_seconds = p.in.seconds;
        p.checkpoint_bytes = checkpoint_bytes(&p.in);
        st = measure(&p, cli, &c.v, &arena, err);
    }
    if (!st) {
        sum_up(&p);
        gather(&p, &c.v);
        st = ac_outlook_decide(&p.outlook, &p.facts, &arena, err);
    }
    if (!st) st = show(cli, &p, &c.v, err);
    if (!st) {
        cli->answered = true;
        if (!p.in.memory.plan.fits) st = ac_memory_refuse(&p.in.memory, err);
        else if (!p.outlook.disk_fits) st = AC_ENO;
    }
    ac_train_inputs_close(&p.in);
    ac_contract_release(&c);
    ac_arena_release(&arena);
    return st;
}

static const char *const examples[] = {
    "accord plan",
    "accord plan --no-measure --json",
    NULL
};

const ac_cmd ac_cmd_plan = {
    .name = "plan",
    .group = "Contract",
    .summary = "what a run will take here: memory, time, disk and money; here, tonight, or a node",
    .text = "Memory is counted by part; time comes from a few real steps on this machine. Nothing is recorded, no run is made, and "
            "no lock is needed; one file beside the runs is written and removed, to learn how long a checkpoint takes.\n\n"
            "The exit code is 76 where the smallest run does not fit (as for train), and 1 where the disk has no room for its "
            "checkpoints.",
    .examples = examples,
    .options = options,
    .run = run,
};
