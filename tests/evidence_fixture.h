/* A project folder with one trained and scored run, made without training: enough for evidence. */
#ifndef ACCORD_TESTS_EVIDENCE_FIXTURE_H
#define ACCORD_TESTS_EVIDENCE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/evidence.h"
#include "eval/verdict.h"
#include "ledger/ledger.h"

#define FIX_RUN "20260101T000000Z-0123abcd"
#define FIX_CASES 16

static char fix_dir[] = "/tmp/accord_evidence.XXXXXX";
static char fix_lock_hex[AC_SHA256_HEX];

static void fix_write(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, ".accord/runs/" FIX_RUN "/%s", name);
    if (ac_file_write_atomic(path, text, strlen(text), NULL)) abort();
}

/* tuned passes all but the last two cases, base none; win: as counted, or a claim. */
static void fix_verdict(const char *claim)
{
    ac_arena a = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_case item[FIX_CASES] = { { .line = 0 } };
    ac_cases cases = { .n = FIX_CASES, .item = item };
    ac_answer base[FIX_CASES] = { { .pass = false } }, tuned[FIX_CASES] = { { .pass = false } };
    ac_arm_result arms[2] = { { .arm = AC_ARM_BASE, .n = FIX_CASES, .answer = base },
                              { .arm = AC_ARM_TUNED, .n = FIX_CASES, .answer = tuned } };
    const ac_verdict_rules rules = { .margin = 20, .guard = { 3, 0, 2 }, .openings = 1, .locks = 1 };
    ac_verdict v;
    for (size_t i = 0; i < FIX_CASES; i++) {
        item[i].id = ac_view_of(ac_arena_printf(&a, "case-%zu", i));
        item[i].cls = (ac_class)(i % 3);
        if (i < 2) item[i].cluster = AC_VIEW("together");
        cases.n_class[item[i].cls]++;
        base[i].text = tuned[i].text = AC_VIEW("what was said");
        tuned[i].pass = i + 2 < FIX_CASES;
        arms[1].n_pass += tuned[i].pass;
        arms[1].n_pass_class[item[i].cls] += tuned[i].pass;
    }
    if (ac_verdict_make(&v, &cases, arms, 2, &rules, &a, NULL)) abort();
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "lock", fix_lock_hex);
    ac_jw_cstr(&w, "run", FIX_RUN);
    ac_jw_cstr(&w, "adapter_sha256", fix_lock_hex);
    ac_verdict_write(&w, &v, &cases, arms, 2);
    ac_jw_end_object(&w);
    if (claim) {                                     /* another verdict than the cases give */
        char *at = strstr(s.ptr, "\"verdict\":\"WIN\"");
        if (!at) abort();
        memcpy(at, claim, strlen(claim));
    }
    fix_write("verdict.json", s.ptr);
    ac_str_release(&s);
    ac_arena_release(&a);
}

static void fix_act(const char *act, const char *lock, const char *run)
{
    char fields[256];
    (void)snprintf(fields, sizeof fields, "\"lock\":\"%s\",\"run\":\"%s\"", lock, run);
    if (ac_audit_append(".", act, fields, NULL)) abort();
}

/* Makes the folder and goes there. */
static int fix_make(void)
{
    static const char lock[] =
        "{\"sealed\":{\"base.model\":{\"path\":\"tiny\",\"sha256\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"},"
        "\"data.train\":{\"path\":\"data/train.jsonl\",\"rows\":3,\"sha256\":"
        "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}},"
        "\"values\":{\"base\":{\"model\":\"tiny\"},\"eval\":{\"guard_edge\":2,\"guard_refusal\":0,\"guard_success\":3,\"margin\":20},"
        "\"method\":{\"tune\":\"lora\"}}}\n";
    char run[512];
    const ac_sha256 h = ac_sha256_of(lock, strlen(lock));
    ac_sha256_hex(fix_lock_hex, &h);
    if (!mkdtemp(fix_dir) || chdir(fix_dir) != 0) return -1;
    if (ac_mkdir_p(".accord/runs/" FIX_RUN "/adapter", NULL)) return -1;
    fix_write("lock.json", lock);
    (void)snprintf(run, sizeof run, "{\"id\":\"" FIX_RUN "\",\"state\":\"trained\",\"lock\":\"%s\",\"adapter_sha256\":\"%s\","
                   "\"trace_sha256\":\"%s\"}\n", fix_lock_hex, fix_lock_hex, fix_lock_hex);
    fix_write("run.json", run);
    fix_write("metrics.jsonl", "{\"event\":\"step\",\"step\":1,\"loss\":2.5,\"grad_norm\":1,\"tokens\":10,\"seconds\":1}\n"
                               "{\"event\":\"eval\",\"step\":1,\"loss\":2.25,\"seconds\":1}\n");
    fix_write("cost.json", "{\"wall_seconds\": 2, \"energy\": null}\n");
    fix_write("adapter/adapter_model.safetensors", "weights");
    fix_verdict(NULL);
    fix_act("freeze", fix_lock_hex, "none");
    fix_act("train", fix_lock_hex, FIX_RUN);
    fix_act("freeze", "another", "none");            /* of somebody else: stays out of the bundle */
    fix_act("opening", fix_lock_hex, FIX_RUN);
    fix_act("promote", "another", "other");
    return 0;
}

static void fix_remove(void)
{
    if (chdir("/tmp") == 0) (void)ac_remove_tree(fix_dir, NULL);
}

#endif
