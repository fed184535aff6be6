#include "base/file.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "formats/json.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

static struct {
    const char *out, *config, *tokenizer;
    uint64_t seed;
} a;

static const ac_opt options[] = {
    AC_OPT_ARG("OUT", &a.out, "the folder to make"),
    AC_OPT_GROUP("Model"),
    AC_OPT_PATH_REQ('c', "config", &a.config, "file", "config.json in Hugging Face's form"),
    AC_OPT_PATH_REQ(0, "tokenizer", &a.tokenizer, "path", "tokenizer.json, or a folder with one"),
    AC_OPT_U64(0, "seed", &a.seed, "n", "of the random weights"),
    AC_OPT_END
};

/* A vocabulary that the embedding has no rows for would only be noticed in training. */
static ac_status check_tokenizer(size_t *tokens, ac_err *err)
{
    ac_tokenizer *t = NULL;
    const ac_status st = ac_tokenizer_open(&t, a.tokenizer, err);
    if (!st) *tokens = ac_tokenizer_size(t);
    ac_tokenizer_close(&t);
    return st;
}

static ac_status check_fit(size_t tokens, ac_err *err)
{
    ac_model_config c;
    const ac_status st = ac_model_read_config(&c, a.out, err);
    if (st || tokens <= c.vocab) return st;
    (void)ac_remove_tree(a.out, NULL);
    return ac_fail(err, AC_EFORMAT, "%s: vocab_size is %zu, but the tokenizer has %zu tokens; raise it", a.config, c.vocab,
                   tokens);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    uint64_t n = 0;
    size_t tokens = 0;
    ac_sha256 h;
    char hex[AC_SHA256_HEX], count[32];
    ac_str s = { 0 };
    ac_status st = check_tokenizer(&tokens, err);
    if (!st) st = ac_model_new(a.out, a.config, a.tokenizer, a.seed, &n, err);
    if (!st) st = check_fit(tokens, err);
    if (!st) st = ac_model_hash(&h, a.out, err);
    if (st) return st;
    ac_sha256_hex(hex, &h);
    ac_human_count(count, n);
    if (cli->json) {
        ac_jw w;
        ac_jw_init(&w, &s, true);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "path", a.out);
        ac_jw_u64(&w, "parameters", n);
        ac_jw_u64(&w, "seed", a.seed);
        ac_jw_cstr(&w, "sha256", hex);
        ac_jw_end_object(&w);
    } else {
        ac_str_appendf(&s, "%s: %s random parameters\nsha-256    %s\nnext       train it with method.tune: full\n", a.out,
                       count, hex);
    }
    st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static const char *const examples[] = { "accord model new --config config.json --tokenizer tokenizer.json --seed 1 start", NULL };

const ac_cmd ac_cmd_model_new = {
    .name = "model new",
    .group = "Start",
    .summary = "a model with random weights, to be trained from nothing",
    .text = "Writes a Hugging Face folder: the configuration and the tokenizer that are given, and weights drawn by the seed "
            "(normal, with the configuration's initializer_range; norms 1, biases 0). The same seed gives the same bytes on "
            "every CPU. accord train with method.tune: full trains such a model.",
    .examples = examples,
    .options = options,
    .run = run,
};
