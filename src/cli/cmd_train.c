#include "cli/commands.h"
#include "cli/guard_run.h"

static struct {
    ac_train_cli t;
} a = { .t = { .guard = true, .workers = 1 } };

static const char *const recompute_names[] = { "contract", "auto", "none", "block", NULL };

static const ac_opt options[] = {
    AC_OPT_GROUP("Run"),
    AC_OPT_STR('r', "resume", &a.t.resume, "run",
               "go on with this run: its id, the beginning of its id, its path, or \"latest\""),
    AC_OPT_INT(0, "micro-batch", &a.t.micro_batch, 0, 1e6, "rows",
               "rows computed at once at most: memory against speed, no bit changes; 0: as the contract says"),
    AC_OPT_ENUM(0, "recompute", &a.t.recompute, recompute_names,
                "whether layers are computed again on the way back, which changes no bit"),
    AC_OPT_INT(0, "workers", &a.t.workers, 1, 64, "n",
               "processes that share each step, with the threads or a GPU each; a power of two up to the contract's method.shards; no bit changes"),
    AC_OPT_STR(0, "memory-limit", &a.t.memory_limit, "size",
               "memory that the run may take in all, like 900M or 4G; else what the system and its groups leave"),
    AC_OPT_U64(0, "stop-after-step", &a.t.stop_after, "n",
               "checkpoint after this step and stop with exit code 75; 0: go to the end"),
    AC_OPT_BOOL(0, "guard", &a.t.guard,
                "watch the machine from a process beside the training, and make room for others when it gets tight"),
    AC_OPT_BOOL(0, "dry-run", &a.t.dry_run, "check everything, say how many steps and how much memory, and stop"),
    AC_OPT_END
};

static ac_status run(ac_cli *cli, ac_err *err)
{
    return ac_guard_train(cli, &a.t, err);
}

static const char *const examples[] = {
    "accord train",
    "accord train --resume latest",
    NULL
};

const ac_cmd ac_cmd_train = {
    .name = "train",
    .group = "Tune",
    .summary = "train the adapter, or all weights, as the lock describes",
    .text = "Refused without accord.lock (77), or when anything that it seals has changed (78). Everything that can change "
            "a bit of the result stands in the contract; so the same lock gives the same adapter, byte for byte, on every "
            "CPU, at any number of threads, and after any interruption.\n\n"
            "Interrupt once (Ctrl-C, SIGTERM) to checkpoint and stop with exit code 75; go on with --resume.",
    .examples = examples,
    .options = options,
    .run = run,
};
