/* accord.yaml: the table's defaults, every kind of bad value, and the texts made from the table (K1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/contract.h"
#include "contract/schema_int.h"
#include "data_fixture.h"

#define NEEDED "base:\n  model: m\ndata:\n  train: t.jsonl\neval:\n  cases: c.jsonl\n"

static ac_status read_text(ac_contract *c, const char *yaml, ac_err *err)
{
    (void)df_text("accord.yaml", yaml);
    return ac_contract_read(c, df_dir, err);
}

static void good(ac_contract *c, const char *yaml)
{
    ac_err err = { 0 };
    if (read_text(c, yaml, &err)) fail_msg("%s", err.text);
}

static void defaults_are_what_people_expect(void **state)
{
    (void)state;
    ac_contract c = { 0 };
    good(&c, NEEDED);
    const ac_contract_values *v = &c.v;
    assert_string_equal(v->base_model, "m");
    assert_null(v->chat_format);
    assert_null(v->valid);
    assert_string_equal(v->mask, "assistant");
    assert_int_equal(v->max_len, 2048);
    assert_string_equal(v->on_long, "refuse");
    assert_int_equal(v->rank, 16);
    assert_true(v->alpha == 32 && v->dropout == 0 && v->lr == 2e-4 && v->clip == 1 && v->warmup_ratio == 0.03);
    assert_string_equal(v->schedule, "cosine");
    assert_string_equal(v->targets, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj");
    assert_true(v->beta1 == 0.9 && v->beta2 == 0.999 && v->eps == 1e-8);
    assert_string_equal(v->numerics, "fp32");
    assert_int_equal(v->guard_refusal, 0);
    const ac_sha256 h = ac_sha256_of(NEEDED, strlen(NEEDED));
    assert_memory_equal(&h, &c.hash, sizeof h);
    ac_contract_release(&c);
    assert_int_equal(ac_live_bytes(), 0);
}

static void values_are_read(void **state)
{
    (void)state;
    ac_contract c = { 0 };
    good(&c, NEEDED "  docs: d\n  refusal: \"No: never\"\n  margin: 12.5\n"
             "method:\n  lr: 1e-5\n  rslora: true\n  targets: [down, v_proj, q, q]\n  batch_rows: 2\n  seed: 9007199254740991\n"
             "  schedule: constant\n");
    assert_true(c.v.lr == 1e-5 && c.v.rslora && c.v.margin == 12.5);
    assert_string_equal(c.v.targets, "q_proj,v_proj,down_proj");       /* canonical order, once each */
    assert_string_equal(c.v.refusal, "No: never");
    assert_int_equal(c.v.seed, 9007199254740991);
    assert_int_equal(c.v.micro_batch, 0);
    assert_string_equal(c.v.recompute, "auto");
    char want[300];
    (void)snprintf(want, sizeof want, "%s/t.jsonl", df_dir);
    assert_string_equal(ac_contract_path(&c, c.v.train), want);
    assert_string_equal(ac_contract_path(&c, "/abs"), "/abs");
    ac_contract_release(&c);
    good(&c, NEEDED "method:\n  targets: up , gate_proj\n  packing: true\n");
    assert_string_equal(c.v.targets, "gate_proj,up_proj");
    ac_contract_release(&c);
    good(&c, "base:\n  model: m\ndata:\n  train: t\n  max_len: 4096\neval:\n  cases: c\nmethod:\n  packing: true\n");
    assert_int_equal(c.v.pack_len, 4096);
    ac_contract_release(&c);
    good(&c, NEEDED "method:\n  packing: true\n  pack_len: 512\n");
    assert_int_equal(c.v.max_len, 512);
    ac_contract_release(&c);
}

static void refused(const char *yaml, const char *place, const char *says)
{
    ac_contract c = { 0 };
    ac_err err = { 0 };
    const ac_status st = read_text(&c, yaml, &err);
    char where[300];
    (void)snprintf(where, sizeof where, "%s/accord.yaml:%s", df_dir, place);
    if (st != AC_ECONTRACT || strncmp(err.text, where, strlen(where)) != 0 || !strstr(err.text, says))
        fail_msg("wanted \"%s ... %s\", found %s \"%s\"", place, says, ac_status_name(st), err.text);
    assert_null(c.v.base_model);
    assert_int_equal(ac_live_bytes(), 0);
}

static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    refused(NEEDED "method:\n  rnak: 8\n", "8:", "unknown key \"method.rnak\"; did you mean method.rank?");
    refused(NEEDED "method:\n  learning_rate: 1\n", "8:", "did you mean method.lr?");
    refused(NEEDED "method:\n  lora_alpha: 1\n", "8:", "did you mean method.alpha?");
    refused(NEEDED "method:\n  max_seq_length: 1\n", "8:", "did you mean data.max_len?");
    refused(NEEDED "  rank: 1\n", "7:", "did you mean method.rank?");
    refused(NEEDED "method:\n  zzzzzzzz: 1\n", "8:", "docs/contract.md lists the keys");
    refused("model: m\n", "1:", "docs/contract.md lists them (the key base.model?)");
    refused("trainer: {}\n", "1:", "unknown section \"trainer\"");
    refused("base:\n  model: m\n  model: n\n", "3:", "model");
}

static void bad_values_are_placed(void **state)
{
    (void)state;
    refused(NEEDED "method:\n  shards: 3\n", "8:", "method.shards must be a power of two");
    refused(NEEDED "method:\n  shards: 128\n", "8:", "method.shards must be from 1 to 64");
    refused(NEEDED "method:\n  shards: 8\n  batch_rows: 4\n", "8:", "method.shards must be at most method.batch_rows");
    refused(NEEDED "method:\n  rank: 0\n", "8:", "method.rank must be from 1 to 1024");
    refused(NEEDED "method:\n  rank: 2.5\n", "8:", "must be a whole number");
    refused(NEEDED "method:\n  rank: \"8\"\n", "8:", "must be a number, found a string");
    refused(NEEDED "method:\n  lr: -1\n", "8:", "method.lr must be from");
    refused(NEEDED "method:\n  lr: 1e-4x\n", "8:", "must be a number, found a string");
    refused(NEEDED "method:\n  lr: .nan\n", "8:", "");
    refused(NEEDED "method:\n  lr: .inf\n", "8:", "");
    refused(NEEDED "method:\n  max_steps: 1e30\n", "8:", "");
    refused(NEEDED "method:\n  max_steps: 9223372036854775808\n", "8:", "");
    refused(NEEDED "method:\n  dropout: 1\n", "8:", "method.dropout must be");
    refused(NEEDED "method:\n  packing: yes\n", "8:", "must be true or false");
    refused(NEEDED "method:\n  schedule: step\n", "8:", "must be one of cosine|linear|constant");
    refused(NEEDED "method:\n  targets: [q, x]\n", "8:", "must name some of q_proj");
    refused(NEEDED "method:\n  targets: []\n", "8:", "must name some of q_proj");
    refused(NEEDED "  margin: 101\n", "7:", "from 0 to 100");
    refused(NEEDED "memory:\n  budget: 8X\n", "8:", "memory.budget must be a size like 900M or 4G");
    refused(NEEDED "memory:\n  budget: 8G\n  reserve: 2G\n", "9:", "memory.reserve");
    refused(NEEDED "guard:\n  window: 22-7\n", "8:", "window \"22-7\" must be two times of day");
    refused(NEEDED "guard:\n  window: 07:00-07:00\n", "8:", "begins when it ends");
    refused(NEEDED "  refusal: \"\"\n", "7:", "must not be empty");
    refused(NEEDED "method: 3\n", "7:", "key: value");
    refused("base:\n  model: ~\n", "2:", "base.model must be a string, found null");
    refused("base:\n  model: m\n", "", "");
    refused("- a\n", "", "no sections");
    refused("", "", "");
    refused("base: &x {model: m}\n", "1:", "");
    refused("base:\n\tmodel: m\n", "2:", "");
    refused(NEEDED "method:\n  numerics: fp64\n", "8:", "must be one of fp32");
}

static void missing_needed_keys_are_named(void **state)
{
    (void)state;
    ac_contract c = { 0 };
    ac_err err = { 0 };
    assert_int_equal(read_text(&c, "base:\n  model: m\ndata:\n  train: t\n", &err), AC_ECONTRACT);
    assert_non_null(strstr(err.text, "eval.cases is missing"));
    assert_int_equal(ac_remove_tree(df_path("accord.yaml"), NULL), AC_OK);
    err = (ac_err){ 0 };
    assert_int_equal(ac_contract_read(&c, df_dir, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "accord init"));
}

/* No option may be ignored (T7). */
static void keys_without_effect_are_refused(void **state)
{
    (void)state;
    refused(NEEDED "method:\n  warmup_steps: 5\n  max_steps: 5\n", "8:", "method.warmup_steps must be under method.max_steps");
    refused(NEEDED "method:\n  warmup_steps: 5\n  warmup_ratio: 0.1\n", "9:",
            "method.warmup_ratio has no effect beside method.warmup_steps (line 8); remove it, or remove "
            "method.warmup_steps");
    refused(NEEDED "method:\n  max_steps: 5\n  epochs: 2\n", "9:", "beside method.max_steps (line 8); remove it");
    refused(NEEDED "method:\n  pack_len: 512\n", "8:",
            "method.pack_len has no effect with method.packing: false (the default); remove it, or choose "
            "method.packing: true");
    refused(NEEDED "method:\n  pack_len: 512\n  packing: false\n", "8:", "packing: false (line 9)");
    refused(NEEDED "method:\n  schedule: constant\n  min_lr_ratio: 0.1\n", "9:",
            "with method.schedule: constant (line 8); remove it, or choose method.schedule: cosine or linear");
    refused(NEEDED "method:\n  momentum: 0.9\n", "8:",
            "method.momentum has no effect with method.optimizer: adamw (the default); remove it, or choose "
            "method.optimizer: sgd or muon");
    refused(NEEDED "method:\n  optimizer: sgd\n  beta2: 0.99\n", "9:",
            "with method.optimizer: sgd (line 8); remove it, or choose method.optimizer: adamw or lion");
    refused(NEEDED "method:\n  eps: 1e-8\n  optimizer: lion\n", "8:", "with method.optimizer: lion (line 9)");
    refused(NEEDED "method:\n  optimizer: muon\n  beta1: 0.9\n", "9:",
            "with method.optimizer: muon (line 8) and with method.tune: lora (the default); remove it, or choose "
            "method.optimizer: adamw or lion, or choose method.tune: full");
    refused(NEEDED "method:\n  optimizer: adafactor\n  optimizer_state: bf16\n", "9:", "optimizer: adafactor (line 8)");
    refused(NEEDED "method:\n  optimizer: sgd\n  momentum: 0\n  optimizer_state: int8\n", "10:",
            "method.optimizer_state has no effect with method.optimizer: sgd (line 8) and with method.momentum: 0 (line 9); "
            "remove it, or choose method.optimizer: adamw, lion or muon, or give method.momentum a value over 0");
    refused(NEEDED "method:\n  eval_every: 5\n", "8:",
            "method.eval_every has no effect without data.valid; remove it, or give data.valid");
    refused(NEEDED "method:\n  patience: 5\n", "8:", "without data.valid");
    refused(NEEDED "  rag_top: 3\n", "7:", "without eval.docs");
    refused(NEEDED "  docs: d\n  rag_overlap_tokens: 300\n", "8:", "under eval.rag_chunk_tokens");
    refused(NEEDED "  docs: d\n  rag_chunk_tokens: 30\n", "8:", "over eval.rag_overlap_tokens");
    refused(NEEDED "method:\n  batch_rows: 4\n  micro_batch: 8\n", "9:", "at most method.batch_rows");
    refused("base:\n  model: m\ndata:\n  train: t\n  max_len: 1024\neval:\n  cases: c\nmethod:\n  packing: true\n  pack_len: 512\n",
            "10:", "at least data.max_len");
    refused("base:\n  model: m\ndata:\n  train: t\n  valid: t\neval:\n  cases: c\n", "5:", "validate on other rows");
}

static bool is_word_of(const ac_key *k, ac_view word)
{
    switch (k->type) {
    case AC_KEY_ENUM: return ac_choice_in(k->choices, word);
    case AC_KEY_BOOL: return ac_choice_in("true|false", word);
    case AC_KEY_STR: return ac_choice_in("none|set", word);
    default: return ac_choice_in("0|set", word);
    }
}

/* A slip in the table would never fire: each row names keys that exist and values that they can take. */
static void the_table_of_ignored_keys_is_sound(void **state)
{
    (void)state;
    assert_true(ac_n_ignored_keys > 8);
    for (size_t i = 0; i < ac_n_ignored_keys; i++) {
        const ac_ignored *row = &ac_ignored_keys[i];
        if (ac_key_of_path(row->key) == ac_n_keys) fail_msg("no key %s", row->key);
        assert_non_null(row->when[0].key);
        for (size_t c = 0; c < AC_COUNTOF(row->when) && row->when[c].key; c++) {
            const size_t k = ac_key_of_path(row->when[c].key);
            if (k == ac_n_keys) fail_msg("no key %s", row->when[c].key);
            for (const char *p = row->when[c].is; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
                const ac_view word = { p, strcspn(p, "|") };
                if (!is_word_of(&ac_keys[k], word)) fail_msg("%s is never " AC_VIEW_FMT, row->when[c].key, AC_VIEW_ARG(word));
            }
        }
    }
}

/* What `accord init` writes is a contract with the defaults, and comments name every key. */
static void template_reads_as_the_defaults(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_contract t = { 0 }, d = { 0 };
    assert_int_equal(ac_contract_template(&s, NULL), AC_OK);
    for (size_t i = 0; i < ac_n_keys; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, " %s:", ac_keys[i].name);
        if (!strstr(ac_str_c(&s), name)) fail_msg("the template lacks %s", ac_keys[i].name);
    }
    good(&t, ac_str_c(&s));
    good(&d, "base:\n  model: smollm2-135m-instruct\ndata:\n  train: data/train.jsonl\n  valid: data/valid.jsonl\n"
             "eval:\n  cases: evals/cases.jsonl\n");
    for (size_t i = 0; i < ac_n_keys; i++) {
        const char *a = (const char *)&t.v + ac_keys[i].at, *b = (const char *)&d.v + ac_keys[i].at;
        if (ac_keys[i].type == AC_KEY_BOOL) assert_int_equal(*a, *b);
        else if (ac_keys[i].type == AC_KEY_INT || ac_keys[i].type == AC_KEY_F64) assert_memory_equal(a, b, 8);
        else {
            const char *x, *y;
            memcpy(&x, a, sizeof x);
            memcpy(&y, b, sizeof y);
            if (x && y) assert_string_equal(x, y);
            else assert_ptr_equal(x, y);
        }
    }
    ac_contract_release(&t);
    ac_contract_release(&d);
    ac_str_release(&s);
}

/* Each commented default, put in force, changes nothing: the comment tells the truth. */
static void commented_defaults_are_the_defaults(void **state)
{
    (void)state;
    ac_str s = { 0 };
    size_t tried = 0;
    assert_int_equal(ac_contract_template(&s, NULL), AC_OK);
    for (size_t i = 0; i < ac_n_keys; i++) {
        char mark[64];
        ac_contract c = { 0 };
        ac_err err = { 0 };
        (void)snprintf(mark, sizeof mark, "  # %s: ", ac_keys[i].name);
        char *copy = strdup(ac_str_c(&s)), *line = strstr(copy, mark);
        if (line && ac_keys[i].preset) {
            memmove(line + 2, line + 4, strlen(line + 4) + 1);
            const ac_status st = read_text(&c, copy, &err);
            if (st && !strstr(err.text, "has no effect")) fail_msg("%s: %s", ac_keys[i].name, err.text);
            tried++;
        }
        ac_contract_release(&c);
        free(copy);
    }
    assert_true(tried > 35);
    ac_str_release(&s);
}

static void docs_are_the_tables(void **state)
{
    (void)state;
    ac_str made = { 0 }, there = { 0 };
    assert_int_equal(ac_contract_docs(&made, NULL), AC_OK);
    assert_int_equal(ac_file_read(&there, ACCORD_SOURCE_DIR "/docs/contract.md", 1 << 20, NULL), AC_OK);
    if (!ac_view_eq(ac_str_view(&made), ac_str_view(&there)))
        fail_msg("docs/contract.md differs from the table; run: accord help --contract > docs/contract.md");
    ac_str_release(&made);
    ac_str_release(&there);
}

static void models_are_found(void **state)
{
    (void)state;
    ac_contract c = { 0 };
    ac_err err = { 0 };
    const char *path = NULL;
    assert_int_equal(setenv("ACCORD_CACHE", df_path("cache"), 1), 0);
    good(&c, "base:\n  model: smollm2-135m-instruct\ndata:\n  train: t\neval:\n  cases: c\n");
    assert_int_equal(ac_contract_model_path(&c, &path, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "run: accord model pull smollm2-135m-instruct"));
    assert_int_equal(ac_mkdir_p(df_path("cache/models/smollm2-135m-instruct"), NULL), AC_OK);
    (void)df_text("cache/models/smollm2-135m-instruct/model.gguf", "x");
    assert_int_equal(ac_contract_model_path(&c, &path, NULL), AC_OK);
    assert_string_equal(path, df_path("cache/models/smollm2-135m-instruct/model.gguf"));
    (void)df_text("smollm2-135m-instruct", "a file beside the contract goes first");
    assert_int_equal(ac_contract_model_path(&c, &path, NULL), AC_OK);
    assert_string_equal(path, df_path("smollm2-135m-instruct"));
    ac_contract_release(&c);
    good(&c, "base:\n  model: ../../x/y.gguf\ndata:\n  train: t\neval:\n  cases: c\n");
    assert_int_equal(ac_contract_model_path(&c, &path, NULL), AC_ENOENT);
    ac_contract_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_what_people_expect), cmocka_unit_test(values_are_read),
        cmocka_unit_test(unknown_keys_name_the_nearest), cmocka_unit_test(bad_values_are_placed),
        cmocka_unit_test(missing_needed_keys_are_named), cmocka_unit_test(keys_without_effect_are_refused),
        cmocka_unit_test(the_table_of_ignored_keys_is_sound),
        cmocka_unit_test(template_reads_as_the_defaults), cmocka_unit_test(commented_defaults_are_the_defaults),
        cmocka_unit_test(docs_are_the_tables), cmocka_unit_test(models_are_found),
    };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
