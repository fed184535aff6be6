#include "cli/commands.h"
#include "cli/load.h"
#include "formats/json.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)

static struct {
    const char *model;
    bool decode, special, json_lines, bos;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Input"),
    AC_OPT_PATH_REQ('m', "model", &a.model, "path",
                    "GGUF file, folder with tokenizer.json, the file itself, or a pulled model's name"),
    AC_OPT_BOOL(0, "json-lines", &a.json_lines,
                "each line is a JSON string; with --decode each answer is one"),
    AC_OPT_GROUP("Meaning"),
    AC_OPT_BOOL('d', "decode", &a.decode, "the other way: an array of ids a line, text out"),
    AC_OPT_BOOL(0, "special", &a.special,
                "spellings of special tokens become those tokens; with --decode they are shown"),
    AC_OPT_BOOL(0, "bos", &a.bos, "begin with the start token where the model's own setting does"),
    AC_OPT_END
};

static ac_status json_line(const ac_json **out, ac_view line, size_t number, ac_arena *arena, ac_err *err)
{
    return ac_json_parse(out, line, arena, "standard input", number, NULL, err);
}

static ac_status encode_line(const ac_tokenizer *t, ac_view line, size_t number, ac_str *out, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_ids ids = { 0 };
    ac_status st = AC_OK;
    if (a.json_lines) {
        const ac_json *v = NULL;
        st = json_line(&v, line, number, &arena, err);
        if (!st && v->type != AC_JSON_STRING)
            st = ac_fail(err, AC_EFORMAT, "standard input:%zu: expected a JSON string, found %s", number,
                         ac_json_type_name(v->type));
        if (!st) line = v->text;
    }
    const unsigned flags = (a.special ? AC_ENCODE_SPECIAL : 0u) | (a.bos ? AC_ENCODE_BOS : 0u);
    if (!st) st = ac_tokenizer_encode(t, line, flags, &ids, err);
    if (!st) ac_write_ids(out, ids.id, ids.n);
    ac_ids_release(&ids);
    ac_arena_release(&arena);
    return st;
}

static ac_status ids_of(ac_ids *ids, const ac_json *v, size_t number, ac_err *err)
{
    if (v->type != AC_JSON_ARRAY)
        return ac_fail(err, AC_EFORMAT, "standard input:%zu: expected an array of token ids, found %s", number,
                       ac_json_type_name(v->type));
    for (const ac_json *c = v->child; c; c = c->next) {
        int64_t id;
        if (!ac_json_as_i64(c, &id) || id < 0 || id > INT32_MAX)
            return ac_fail(err, AC_EFORMAT, "standard input:%zu: a token id must be a whole number from 0",
                           number);
        const ac_status st = ac_ids_push(ids, (int32_t)id, err);
        if (st) return st;
    }
    return AC_OK;
}

static ac_status decode_line(const ac_cli *cli, const ac_tokenizer *t, ac_view line, size_t number,
                             ac_str *out, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_ids ids = { 0 };
    ac_str text = { 0 };
    const ac_json *v = NULL;
    ac_status st = json_line(&v, line, number, &arena, err);
    if (!st) st = ids_of(&ids, v, number, err);
    if (!st) st = ac_tokenizer_decode(t, ids.id, ids.n, a.special ? AC_DECODE_SPECIAL : 0u, &text, err);
    if (st == AC_EARG) {
        st = AC_EFORMAT;                /* the id came from a file, not from an option */
        (void)ac_err_prefix(err, st, "standard input:%zu", number);
    }
    if (!st && (a.json_lines || cli->json)) ac_json_quote(out, ac_str_view(&text));
    else if (!st) ac_cli_foreign(out, cli, ac_str_view(&text));
    ac_str_release(&text);
    ac_ids_release(&ids);
    ac_arena_release(&arena);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_loaded l = { 0 };
    ac_str line = { 0 }, out = { 0 };
    ac_status st = AC_OK;
    bool end = false;
    if (a.decode && a.bos) st = ac_fail(err, AC_EARG, "--bos has no meaning with --decode; leave one out");
    if (!st) st = ac_load_tokenizer(&l, a.model, err);
    for (size_t number = 1; !st; number++) {
        st = ac_cli_stdin_line(&line, LINE_MAX_BYTES, &end, err);
        if (st || end) break;
        ac_str_reset(&out);
        st = a.decode ? decode_line(cli, l.tokenizer, ac_str_view(&line), number, &out, err)
                      : encode_line(l.tokenizer, ac_str_view(&line), number, &out, err);
        if (!st) st = ac_cli_result(cli, &out, err);
    }
    ac_str_release(&line);
    ac_str_release(&out);
    ac_loaded_release(&l);
    return st;
}

static const char *const examples[] = {
    "echo 'Hello world' | accord tokenize --model smollm2-135m-instruct",
    "echo '[19556,905]' | accord tokenize --model smollm2-135m-instruct --decode",
    NULL
};

const ac_cmd ac_cmd_tokenize = {
    .name = "tokenize",
    .group = "Use",
    .summary = "text to token ids and back, a line at a time",
    .text = "Reads standard input. Each line becomes a JSON array of token ids on its own line; with --decode each "
            "array becomes text. Spellings of special tokens are ordinary text unless --special is given.",
    .examples = examples,
    .options = options,
    .run = run,
};
