#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/sampling.h"
#include "formats/json.h"

#define TURNS_MAX      1024
#define LINE_MAX_BYTES ((size_t)1 << 20)

static struct {
    const char *model, *adapter, *system, *chat_format;
    ac_sampling s;
} a = { .s = AC_SAMPLING_DEFAULT };

static const ac_opt options[] = {
    AC_OPT_GROUP("Model"),
    AC_OPT_PATH_REQ('m', "model", &a.model, "path", "GGUF file, folder, or a pulled model's name"),
    AC_OPT_PATH('a', "adapter", &a.adapter, "folder", "adapter in PEFT's layout, or a run folder; or weights trained from this model"),
    AC_OPT_GROUP("Conversation"),
    AC_OPT_STR(0, "system", &a.system, "text", "system turn at the beginning"),
    AC_OPT_STR(0, "chat-format", &a.chat_format, "name", "instead of the one recognised from the model"),
    AC_SAMPLING_OPTIONS(a.s),
    AC_OPT_END
};

typedef struct {
    ac_loaded l;
    ac_arena arena;                      /* what was said */
    ac_message turn[TURNS_MAX];
    size_t n;
    ac_gen_cache cache;                  /* of what was said */
    uint64_t answers;                    /* keys the sampling */
    bool prompted;                       /* a person types */
} talk;

static ac_status say(talk *t, ac_role role, ac_view text, ac_err *err)
{
    if (t->n == TURNS_MAX)
        return ac_fail(err, AC_EARG, "the conversation has %d turns; begin a new one with /reset", TURNS_MAX);
    char *copy = ac_arena_strndup(&t->arena, text.ptr, text.len);
    if (!copy) return ac_fail_nomem(err, text.len);
    t->turn[t->n++] = (ac_message){ .role = role, .content = { copy, text.len }, .train = -1 };
    return AC_OK;
}

static ac_status begin(talk *t, ac_err *err)
{
    ac_arena_release(&t->arena);
    t->n = 0;
    return a.system ? say(t, AC_ROLE_SYSTEM, ac_view_of(a.system), err) : AC_OK;
}

static void print_json(ac_str *s, const ac_gen_answer *got, ac_view text)
{
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "role", "assistant");
    ac_jw_str(&w, "content", text);
    ac_jw_u64(&w, "tokens", got->ids.n);
    ac_jw_cstr(&w, "end", ac_gen_end_name(got->end));
    ac_jw_end_object(&w);
}

static ac_status show(ac_cli *cli, const ac_gen_answer *got, ac_view text, bool live, ac_err *err)
{
    ac_str s = { 0 };
    if (cli->json) print_json(&s, got, text);
    else if (!live) ac_str_append(&s, text);
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    (void)fflush(cli->out);
    if (got->end == AC_GEN_LENGTH && live) ac_cli_note(cli, "(cut at --max-tokens)");
    if (got->end == AC_GEN_CONTEXT) ac_cli_note(cli, "(the context is full; begin a new one with /reset)");
    return st;
}

static ac_status reply(ac_cli *cli, talk *t, ac_err *err)
{
    const bool live = cli->out_tty && !cli->json;
    ac_rendered r = { 0 };
    ac_gen_opts o = { .stop = NULL };
    ac_gen_answer got = { .ids = { 0 } };
    ac_stream stream = { .cli = cli, .tokenizer = t->l.tokenizer };
    ac_str text = { 0 };
    o.stop = ac_chat_stop_ids(t->l.chat, &o.n_stop);
    ac_sampling_apply(&o, &a.s);
    o.cache = &t->cache;
    ac_status st = ac_chat_render(t->l.chat, t->turn, t->n, true, &r, err);
    const size_t context = ac_model_get_config(t->l.model)->context;
    if (!st && r.ids.n >= context)
        st = ac_fail(err, AC_EARG, "the conversation has %zu tokens and the model's context %zu; begin a new one",
                     r.ids.n, context);
    if (!st) {
        const ac_gen_request req = { .prompt = r.ids.id, .n_prompt = r.ids.n, .number = t->answers++ };
        st = ac_generate(t->l.model, t->l.adapter, &req, 1, &o, &got, live ? ac_stream_token : NULL, &stream,
                         NULL, err);
    }
    ac_stream_end(&stream);
    if (!st) st = ac_answer_text(&text, t->l.tokenizer, &got.ids, false, err);
    if (!st) st = show(cli, &got, ac_str_view(&text), live, err);
    if (!st) st = say(t, AC_ROLE_ASSISTANT, ac_view_trim(ac_str_view(&text)), err);
    ac_str_release(&text);
    ac_ids_release(&got.ids);
    ac_rendered_release(&r);
    return st;
}

static ac_status converse(ac_cli *cli, talk *t, ac_err *err)
{
    ac_str line = { 0 };
    ac_status st = begin(t, err);
    while (!st) {
        bool end = false;
        if (t->prompted) {
            (void)fputs("> ", cli->err);
            (void)fflush(cli->err);
        }
        st = ac_cli_stdin_line(&line, LINE_MAX_BYTES, &end, err);
        if (st || end) break;
        const ac_view said = ac_view_trim(ac_str_view(&line));
        if (ac_view_eq_str(said, "/quit") || ac_view_eq_str(said, "/exit")) break;
        if (ac_view_eq_str(said, "/reset")) {
            st = begin(t, err);
        } else if (said.len) {
            st = say(t, AC_ROLE_USER, said, err);
            if (!st) st = reply(cli, t, err);
        }
    }
    ac_str_release(&line);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    static talk t;
    t.prompted = isatty(STDIN_FILENO) == 1 && cli->err_tty && !cli->quiet;
    ac_status st = ac_sampling_check(&a.s, err);
    if (!st) st = ac_load_model(&t.l, cli, a.model, a.adapter, err);
    if (!st) st = ac_load_tokenizer(&t.l, a.model, err);
    if (!st) st = ac_load_chat(&t.l, a.chat_format, err);
    if (!st && t.prompted) ac_cli_note(cli, "/reset begins anew, /quit ends");
    if (!st) st = converse(cli, &t, err);
    ac_arena_release(&t.arena);
    ac_gen_cache_close(&t.cache);
    ac_loaded_release(&t.l);
    return st;
}

static const char *const examples[] = {
    "accord chat --model smollm2-135m-instruct",
    "echo 'What is the capital of France?' | accord chat --model smollm2-135m-instruct --json",
    NULL
};

const ac_cmd ac_cmd_chat = {
    .name = "chat",
    .group = "Use",
    .summary = "a conversation with a model, in its own chat format",
    .text = "Each line of standard input is a user turn. /reset begins a new conversation, /quit ends. In a pipe, answers "
            "are printed one after the other; with --json each is one JSON object on its line.",
    .examples = examples,
    .options = options,
    .run = run,
};
