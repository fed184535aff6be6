#include "cli/ab_run.h"
#include "cli/commands.h"

static ac_opt_list endpoints;
static ac_ab_cli a = { .run = "latest", .endpoints = &endpoints, .endpoint_seconds = 120 };

static const ac_opt options[] = {
    AC_OPT_GROUP("What is compared"),
    AC_OPT_STR('r', "run", &a.run, "run", "its id, the beginning of its id, its path, or \"latest\""),
    AC_OPT_STR(0, "arms", &a.arms, "list",
               "of base, rag, tuned, tuned+rag, with commas; none given: all that the contract has documents for"),
    AC_OPT_LIST('e', "endpoint", &endpoints, "NAME=URL,MODEL",
                "also ask this OpenAI-compatible server; its key, if any, is taken from ACCORD_ENDPOINT_KEY"),
    AC_OPT_INT(0, "endpoint-seconds", &a.endpoint_seconds, 1, 86400, "n", "longest wait for one answer of a server"),
    AC_OPT_BOOL(0, "untuned", &a.untuned, "score the base model without any run, for accord triage; no verdict"),
    AC_OPT_BOOL(0, "perplexity", &a.perplexity,
                "also measure how well each arm predicts the references and its own answers: a column, never a verdict"),
    AC_OPT_BOOL(0, "ci", &a.ci, "print one line; the exit code says the rest: 0 for WIN, 1 for anything else"),
    AC_OPT_BOOL(0, "dry-run", &a.dry_run, "say what would be scored, and open nothing"),
    AC_OPT_END
};

static ac_status run(ac_cli *cli, ac_err *err)
{
    return ac_ab_command(cli, &a, err);
}

static const char *const examples[] = {
    "accord ab",
    "accord ab --run 20260131 --arms base,tuned",
    "accord ab --endpoint big=http://127.0.0.1:8080/v1,qwen3-8b",
    NULL
};

const ac_cmd ac_cmd_ab = {
    .name = "ab",
    .group = "Tune",
    .summary = "score base, retrieval, tuned and both on the sealed cases, and give the verdict",
    .text = "Every arm answers every sealed case with greedy decoding; deterministic graders judge; pairs are compared with "
            "a mid-p McNemar test, corrected by Holm. WIN needs a significant difference, the contract's margin, and no "
            "class losing more than its guard.\n\n"
            "Exit code 0: WIN; 1: LOSS or NO CLEAR LIFT. Each scoring is an opening: it is recorded before it begins, "
            "counted, and shown with every later verdict.",
    .examples = examples,
    .options = options,
    .run = run,
};
