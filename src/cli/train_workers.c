/* `accord train --workers`: the leader's copies, which share its steps (train.h) and do nothing else. */
#include <string.h>

#include "cli/guard_run.h"
#include "cli/train_run.h"

#define SILENCE_MS 5000          /* a worker that is stopped is worth a word */

ac_status ac_workers_check(const ac_train_cli *o, const ac_contract_values *v, ac_err *err)
{
    const long long n = (long long)o->workers, shards = (long long)v->shards;
    if (n < 1 || (n & (n - 1)) != 0)
        return ac_fail(err, AC_EARG, "--workers %lld: expected a power of two: 1, 2, 4, 8, 16, 32 or 64", n);
    if (n > shards)
        return ac_fail(err, AC_EARG, "--workers %lld: the contract's method.shards is %lld, and each worker needs a part of its own; use "
                       "--workers %lld, or raise method.shards and freeze again (that changes the last bits of the result)", n, shards, shards);
    return AC_OK;
}

/* Each its share of the threads, one at least. */
static int64_t threads_of(int64_t all, size_t workers, size_t rank)
{
    const int64_t n = (int64_t)workers, share = all / n + ((int64_t)rank < all % n);
    return share ? share : 1;
}

static void say(void *ctx, const char *text)
{
    const ac_cli *cli = ctx;
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_WARN, .text = text }, NULL);
}

ac_status ac_workers_start(ac_team **out, ac_cli *cli, ac_train_cli *o, ac_err *err)
{
    const size_t n = (size_t)o->workers;
    if (n == 1) return AC_OK;
    const int64_t all = cli->threads ? cli->threads : (int64_t)ac_cpu_count();
    const ac_status st = ac_team_fork(out, n, err);
    if (st) return st;
    o->rank = ac_team_rank(*out);
    cli->threads = threads_of(all, n, o->rank);
    if (o->rank == 0) {
        ac_team_on_silence(*out, SILENCE_MS, say, cli);
        return AC_OK;
    }
    ac_link_leave(o->link);
    cli->quiet = true;                                   /* the leader does all the talking */
    cli->sink = (ac_sink){ NULL, NULL };
    return AC_OK;
}

/* What it is, for the person who reads that it failed. */
static void tell(ac_team *team, ac_status st, const ac_err *why)
{
    if (st && st != AC_ECANCEL && st != AC_EDIVERGED) ac_team_give_up(team, st, why->text);
}

ac_status ac_worker_run(ac_team *team, ac_cli *cli, const ac_train_cli *o, ac_project *p)
{
    ac_train_inputs in = { .total_steps = 0 };
    ac_train_result r;
    ac_err why = { "" };
    const ac_transport t = ac_team_transport(team);
    ac_status st = ac_train_inputs_open(&in, cli, o, &p->contract, &why);
    if (!st) {
        const ac_train_job job = { .opts = &in.opts, .model = in.l.model, .train = &in.train, .valid = in.valid.n ? &in.valid : NULL,
                                   .lock_hash = p->lock.hash, .workers = &t };
        st = ac_train_run(&job, &r, &why);
    }
    tell(team, st, &why);
    ac_train_inputs_close(&in);
    return AC_OK;
}
