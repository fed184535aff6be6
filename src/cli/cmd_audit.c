#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "formats/json.h"
#include "ledger/ledger.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)

static struct {
    bool list;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('l', "list", &a.list, "print the records, one a line, before the result"),
    AC_OPT_END
};

static const char *const acts[] = { "freeze", "train", "opening", "refusal" };

static ac_status list(ac_cli *cli, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    ac_str s = { 0 };
    ac_status st = ac_lines_open(&l, ".accord/audit.jsonl", LINE_MAX_BYTES, err);
    while (!st) {
        st = ac_lines_next(l, &line, NULL, err);
        if (st || !line.ptr) break;
        ac_str_reset(&s);
        ac_cli_foreign(&s, cli, line);
        st = ac_cli_result(cli, &s, err);
    }
    ac_lines_close(&l);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_audit_head head = { .count = 0 };
    ac_str s = { 0 };
    ac_jw w;
    char hex[AC_SHA256_HEX];
    ac_status st = ac_audit_verify(".", &head, err);
    if (!st && a.list && head.count) st = list(cli, err);
    ac_sha256_hex(hex, &head.head);
    ac_jw_init(&w, &s, false);
    if (cli->json) {
        ac_jw_object(&w, NULL);
        ac_jw_bool(&w, "intact", true);
        ac_jw_u64(&w, "records", head.count);
        ac_jw_cstr(&w, "head", hex);
    } else if (head.count) {
        ac_str_appendf(&s, "%llu records, the chain is intact; head %s\n", (unsigned long long)head.count, hex);
    } else {
        ac_str_append_c(&s, "no records yet\n");
    }
    for (size_t i = 0; !st && head.count && i < AC_COUNTOF(acts); i++) {
        uint64_t n = 0;
        st = ac_audit_count(".", acts[i], NULL, &n, err);
        if (cli->json) ac_jw_u64(&w, acts[i], n);
        else ac_str_appendf(&s, "%-8s %llu\n", acts[i], (unsigned long long)n);
    }
    if (cli->json) ac_jw_end_object(&w);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

const ac_cmd ac_cmd_audit = {
    .name = "audit",
    .group = "Look",
    .summary = "verify the chain of records: freezes, trainings, openings, refusals",
    .text = "Every record of .accord/audit.jsonl holds the hash of the one before it. A record that was changed, taken "
            "out or put in is named, and the exit code is 1. A tail that was cut off shows only against a head noted "
            "elsewhere: each lock, checkpoint and verdict notes it.",
    .options = options,
    .run = run,
};
