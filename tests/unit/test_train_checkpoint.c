#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "train/train_int.h"
#include "train_run.h"

/* ---- the manifest, without a disk ------------------------------------------------------------------------- */

static ac_manifest sample_manifest(void)
{
    ac_manifest m = { .total_steps = 100, .epoch = 1, .epoch_step = 5, .audit_count = 3, .n_files = 2 };
    m.lock = ac_sha256_of("a", 1);
    m.fingerprint = ac_sha256_of("b", 1);
    m.state = (ac_train_state){ .step = 12, .optimizer_steps = 11, .undone = 1, .last_eval_step = AC_NO_EVAL,
                                .start_valid_loss = (double)NAN, .best_valid_loss = 1.0 / 3, .has_best = true,
                                .trace_bytes = 1234, .trace = ac_sha256_of("c", 1) };
    (void)strcpy(m.file[0].name, "adapter_model.safetensors");
    m.file[0].bytes = 77;
    m.file[0].hash = ac_sha256_of("d", 1);
    (void)strcpy(m.file[1].name, "optimizer.safetensors");
    return m;
}

static void manifest_round_trip(void **state)
{
    (void)state;
    const ac_manifest m = sample_manifest();
    ac_manifest back;
    ac_str a = { 0 }, b = { 0 };
    ac_err err = { 0 };
    ac_manifest_render(&a, &m);
    if (ac_manifest_parse(&back, ac_str_view(&a), "m", &err)) fail_msg("%s", err.text);
    assert_true(back.state.last_eval_step == AC_NO_EVAL && isnan(back.state.start_valid_loss));
    assert_true(back.state.best_valid_loss == 1.0 / 3);
    ac_manifest_render(&b, &back);
    assert_string_equal(a.ptr, b.ptr);
    ac_str_release(&a);
    ac_str_release(&b);
}

static void every_changed_byte_is_found(void **state)
{
    (void)state;
    const ac_manifest m = sample_manifest();
    ac_manifest back;
    ac_str a = { 0 };
    ac_manifest_render(&a, &m);
    for (size_t i = 0; i < a.len; i++) {
        const char kept = a.ptr[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            ac_err err = { 0 };
            a.ptr[i] = (char)(kept ^ (1 << bit));
            if (ac_manifest_parse(&back, ac_str_view(&a), "m", &err) != AC_EFORMAT || !err.text[0]) {
                fail_msg("byte %zu bit %u went unseen", i, bit);
            }
        }
        a.ptr[i] = kept;
    }
    for (size_t n = 0; n < a.len; n++) {
        assert_int_equal(ac_manifest_parse(&back, (ac_view){ a.ptr, n }, "m", NULL), AC_EFORMAT);
    }
    assert_int_equal(ac_manifest_parse(&back, ac_str_view(&a), "m", NULL), AC_OK);
    ac_str_append_c(&a, "\n");
    assert_int_equal(ac_manifest_parse(&back, ac_str_view(&a), "m", NULL), AC_EFORMAT);
    ac_str_release(&a);
}

/* Puts text in place of the first `find` and makes `self` right again, as a forger or another version would. */
static void edit(ac_str *s, const char *find, const char *text)
{
    const size_t at = ac_view_find(ac_str_view(s), ac_view_of(find), 0);
    assert_true(at != SIZE_MAX);
    ac_str out = { 0 };
    ac_str_append(&out, ac_view_slice(ac_str_view(s), 0, at));
    ac_str_append_c(&out, text);
    ac_str_append(&out, ac_view_slice(ac_str_view(s), at + strlen(find), s->len));
    char hex[AC_SHA256_HEX], *self = out.ptr + out.len - 4 - 64;
    memset(self, '0', 64);
    const ac_sha256 h = ac_sha256_of(out.ptr, out.len);
    ac_sha256_hex(hex, &h);
    memcpy(self, hex, 64);
    ac_str_release(s);
    *s = out;
}

static ac_status parse_edited(const char *find, const char *text, ac_err *err)
{
    const ac_manifest m = sample_manifest();
    ac_manifest back;
    ac_str a = { 0 };
    ac_manifest_render(&a, &m);
    edit(&a, find, text);
    const ac_status st = ac_manifest_parse(&back, ac_str_view(&a), "m", err);
    ac_str_release(&a);
    return st;
}

static void whole_but_wrong(void **state)
{
    (void)state;
    ac_err err = { 0 };
    assert_int_equal(parse_edited("\"schema\": 1", "\"schema\": 2", &err), AC_ECONTRACT);
    assert_non_null(strstr(err.text, "schema 2"));
    assert_int_equal(parse_edited("accord-checkpoint", "other", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"step\": 12", "\"step\": -12", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"step\": 12", "\"step\": \"12\"", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"step\": 12", "\"stop\": 12", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"optimizer.safetensors\"", "\"../optimizer.safetensors\"", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"optimizer.safetensors\"", "\"/etc/passwd\"", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"files\": [", "\"files\": [ 1,", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"files\"", "\"fils\"", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"lock\": \"", "\"lock\": \"0", NULL), AC_EFORMAT);
    assert_int_equal(parse_edited("\"bytes\": 77", "\"bytes\": 18446744073709551616", NULL), AC_EFORMAT);
}

/* ---- folders ----------------------------------------------------------------------------------------------- */

static tiny t1;
static ac_dataset rows, valid;
static ac_train_opts opts;
static outcome_bits want;

static int open_all(void **state)
{
    (void)state;
    rows = tiny_rows(24, 12, 97, 1);
    valid = tiny_rows(5, 12, 97, 2);
    opts = tiny_opts();
    opts.keep_checkpoints = 3;
    if (!tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1)) return -1;
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &opts, &rows, &valid, dir);
    ac_train_result r;
    if (ac_train_run(&j, &r, NULL)) return -1;
    want = bits_of(dir);
    return ac_remove_tree(dir, NULL);
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static char base[256], path_buf[4][600];

static const char *in(const char *name)
{
    static unsigned turn;
    char *b = path_buf[turn++ % 4];
    (void)snprintf(b, sizeof path_buf[0], "%s/%s", base, name);
    return b;
}

/* A run stopped after step 6 with checkpoints of steps 4, 5 and 6. */
static ac_train_job stopped_run(void)
{
    (void)snprintf(base, sizeof base, "%s", tiny_dir());
    ac_train_job j = tiny_job(&t1, &opts, &rows, &valid, base);
    ac_train_result r;
    j.stop_after_step = 6;
    opts.save_every = 1;
    assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
    opts.save_every = 0;
    j.stop_after_step = 0;
    j.resume = true;
    assert_false(ac_path_exists(in("checkpoints/step-3")));
    assert_true(ac_path_exists(in("checkpoints/step-4")));
    assert_true(ac_path_exists(in("checkpoints/step-6")));
    return j;
}

static size_t n_warnings;

static ac_status count_warnings(void *ctx, const ac_event *e, ac_err *err)
{
    (void)ctx;
    (void)err;
    if (e->kind == AC_EV_WARN) n_warnings++;
    return AC_OK;
}

static void ends_the_same(ac_train_job *j)
{
    static const ac_sink sink = { count_warnings, NULL };
    ac_train_result r;
    ac_err err = { 0 };
    n_warnings = 0;
    j->sink = &sink;
    if (ac_train_run(j, &r, &err)) fail_msg("%s", err.text);
    const outcome_bits got = bits_of(base);
    assert_true(same_bits(&got, &want));
    assert_int_equal(ac_remove_tree(base, NULL), AC_OK);
}

static void damage(const char *name, size_t at, unsigned flip, bool cut)
{
    ac_str s = { 0 };
    assert_int_equal(ac_file_read(&s, in(name), 1 << 26, NULL), AC_OK);
    const size_t place = at % (s.len ? s.len : 1);
    if (cut) s.len = place;
    else s.ptr[place] = (char)(s.ptr[place] ^ (char)flip);
    assert_int_equal(ac_file_write_atomic(in(name), s.ptr, s.len, NULL), AC_OK);
    ac_str_release(&s);
}

static void falls_back(const char *name, size_t at, unsigned flip, bool cut)
{
    ac_train_job j = stopped_run();
    damage(name, at, flip, cut);
    ac_train_result r;
    j.stop_after_step = 6;
    n_warnings = 0;
    static const ac_sink sink = { count_warnings, NULL };
    j.sink = &sink;
    assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
    if (n_warnings != 1) fail_msg("%s damaged at %zu gave %zu warnings", name, at, n_warnings);
    assert_true(ac_path_exists(in("checkpoints/step-6.bad")));
    assert_true(ac_path_exists(in("checkpoints/step-6")));
    j.stop_after_step = 0;
    ends_the_same(&j);
}

static void damaged_files(void **state)
{
    (void)state;
    static const char *const names[] = { "manifest.json", "adapter_model.safetensors", "adapter_config.json",
                                         "optimizer.safetensors", "best.safetensors" };
    for (size_t i = 0; i < AC_COUNTOF(names); i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "checkpoints/step-6/%s", names[i]);
        for (size_t k = 0; k < 4; k++) falls_back(name, k * 7919 + i, 1u << k, false);
        falls_back(name, 0, 0, true);                   /* 0 bytes */
        falls_back(name, 4096 + i, 0, true);
        ac_train_job j = stopped_run();
        assert_int_equal(ac_remove_tree(in(name), NULL), AC_OK);
        ends_the_same(&j);
        assert_int_equal(n_warnings, 1);
    }
}

static void two_damaged(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    damage("checkpoints/step-6/manifest.json", 5, 1, false);
    damage("checkpoints/step-5/optimizer.safetensors", 500, 1, false);
    ends_the_same(&j);
    assert_int_equal(n_warnings, 2);
}

static void all_damaged(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    for (int i = 4; i <= 6; i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "checkpoints/step-%d/manifest.json", i);
        damage(name, 5, 1, false);
    }
    ac_train_result r;
    ac_err err = { 0 };
    assert_int_equal(ac_train_run(&j, &r, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "no complete checkpoint"));
    j.resume = false;                                   /* nothing whole is left: a new start is allowed */
    ends_the_same(&j);
}

static void mixed_up(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();                     /* a shard of another step */
    ac_str s = { 0 };
    assert_int_equal(ac_file_read(&s, in("checkpoints/step-5/optimizer.safetensors"), 1 << 26, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(in("checkpoints/step-6/optimizer.safetensors"), s.ptr, s.len, NULL), AC_OK);
    ends_the_same(&j);
    assert_int_equal(n_warnings, 1);
    j = stopped_run();                                  /* a folder under another's name */
    assert_int_equal(ac_rename(in("checkpoints/step-6"), in("checkpoints/step-7"), NULL), AC_OK);
    ends_the_same(&j);
    assert_int_equal(n_warnings, 1);
    ac_str_release(&s);
}

static void leftovers(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    assert_int_equal(ac_mkdir_p(in("checkpoints/step-9.tmp.123"), NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(in("checkpoints/step-9.tmp.123/x"), "x", 1, NULL), AC_OK);
    assert_int_equal(ac_mkdir_p(in("checkpoints/step-0009"), NULL), AC_OK);        /* not a name of ours */
    assert_int_equal(ac_file_write_atomic(in("checkpoints/latest"), "step-9", 6, NULL), AC_OK);
    j.stop_after_step = 6;
    ac_train_result r;
    assert_int_equal(ac_train_run(&j, &r, NULL), AC_ECANCEL);
    assert_false(ac_path_exists(in("checkpoints/step-9.tmp.123")));
    j.stop_after_step = 0;
    ends_the_same(&j);
    assert_int_equal(n_warnings, 0);
}

static void refused(ac_train_job *j, ac_status status, const char *text)
{
    ac_train_result r;
    ac_err err = { 0 };
    assert_int_equal(ac_train_run(j, &r, &err), status);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void another_contract(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    const ac_sha256 lock = j.lock_hash;
    j.lock_hash.byte[0] ^= 1;
    refused(&j, AC_ECONTRACT, "under lock");
    j.lock_hash = lock;
    ac_train_opts other = opts;
    other.lr *= 2;
    j.opts = &other;
    refused(&j, AC_ECONTRACT, "other training options");
    j.opts = &opts;
    j.train = &valid;
    refused(&j, AC_ECONTRACT, "other");
    j.train = &rows;
    ends_the_same(&j);                                  /* none of it has done harm */
}

static void changed_trace(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    damage("trace.jsonl", 20, 1, false);
    refused(&j, AC_EFORMAT, "trace.jsonl:1");
    damage("trace.jsonl", 20, 1, false);
    damage("trace.jsonl", 300, 0, true);
    refused(&j, AC_EFORMAT, "trace.jsonl");
    assert_int_equal(ac_remove_tree(base, NULL), AC_OK);
    j = stopped_run();                                  /* a torn last line is cut off */
    ac_appender *a = NULL;
    assert_int_equal(ac_appender_open(&a, in("trace.jsonl"), NULL), AC_OK);
    assert_int_equal(ac_appender_line(a, AC_VIEW("{\"step\":7,\"loss_b"), NULL), AC_OK);
    ac_appender_close(&a);
    ends_the_same(&j);
}

static void one_trainer_a_folder(void **state)
{
    (void)state;
    ac_train_job j = stopped_run();
    ac_lockfile *l = NULL;
    assert_int_equal(ac_lockfile_take(&l, in("train.lock"), NULL), AC_OK);
    refused(&j, AC_ESTATE, "train.lock");
    ac_lockfile_drop(&l);
    ends_the_same(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_round_trip),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(whole_but_wrong),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(two_damaged),
        cmocka_unit_test(all_damaged),
        cmocka_unit_test(mixed_up),
        cmocka_unit_test(leftovers),
        cmocka_unit_test(another_contract),
        cmocka_unit_test(changed_trace),
        cmocka_unit_test(one_trainer_a_folder),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
