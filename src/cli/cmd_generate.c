#include "base/time.h"
#include "cli/commands.h"
#include "cli/sampling.h"
#include "formats/json.h"

static struct {
    const char *model, *adapter, *prompt, *prompt_ids, *system, *chat_format;
    bool raw, ignore_eos;
    ac_sampling s;
} a = { .s = AC_SAMPLING_DEFAULT };

static const ac_opt options[] = {
    AC_OPT_GROUP("Model"),
    AC_OPT_PATH_REQ('m', "model", &a.model, "path", "GGUF file, folder, or a pulled model's name"),
    AC_OPT_PATH('a', "adapter", &a.adapter, "folder", "adapter in PEFT's layout, or a run folder; or weights trained from this model"),
    AC_OPT_GROUP("Prompt"),
    AC_OPT_STR('p', "prompt", &a.prompt, "text", "what the user says, or with --raw the text to go on from"),
    AC_OPT_STR(0, "prompt-ids", &a.prompt_ids, "1,2,3", "token ids to go on from, as they are"),
    AC_OPT_STR(0, "system", &a.system, "text", "system turn in front of the prompt"),
    AC_OPT_STR(0, "chat-format", &a.chat_format, "name", "instead of the one recognised from the model"),
    AC_OPT_BOOL(0, "raw", &a.raw, "no chat format: go on from the prompt's text"),
    AC_SAMPLING_OPTIONS(a.s),
    AC_OPT_BOOL(0, "ignore-eos", &a.ignore_eos, "go on after an end token"),
    AC_OPT_END
};

static ac_status check(ac_err *err)
{
    const bool raw = a.raw || a.prompt_ids;
    if (!a.prompt == !a.prompt_ids)
        return ac_fail(err, AC_EARG, a.prompt ? "give --prompt or --prompt-ids, not both"
                                              : "--prompt or --prompt-ids is missing");
    if (raw && a.system) return ac_fail(err, AC_EARG, "--system has no meaning without a chat format");
    if (raw && a.chat_format)
        return ac_fail(err, AC_EARG, "--chat-format has no meaning with --raw or --prompt-ids");
    return ac_sampling_check(&a.s, err);
}

static ac_status chat_prompt(ac_loaded *l, ac_ids *ids, ac_err *err)
{
    ac_message msgs[2];
    size_t n = 0;
    ac_rendered r = { 0 };
    if (a.system)
        msgs[n++] = (ac_message){ .role = AC_ROLE_SYSTEM, .content = ac_view_of(a.system), .train = -1 };
    msgs[n++] = (ac_message){ .role = AC_ROLE_USER, .content = ac_view_of(a.prompt), .train = -1 };
    ac_status st = ac_load_chat(l, a.chat_format, err);
    if (!st) st = ac_chat_render(l->chat, msgs, n, true, &r, err);
    for (size_t i = 0; !st && i < r.ids.n; i++) st = ac_ids_push(ids, r.ids.id[i], err);
    ac_rendered_release(&r);
    return st;
}

static ac_status make_prompt(ac_loaded *l, ac_ids *ids, ac_err *err)
{
    ac_status st;
    if (a.prompt_ids) st = ac_parse_ids(ids, a.prompt_ids, "--prompt-ids", err);
    else if (a.raw) st = ac_tokenizer_encode(l->tokenizer, ac_view_of(a.prompt), AC_ENCODE_BOS, ids, err);
    else st = chat_prompt(l, ids, err);
    const size_t vocab = ac_model_get_config(l->model)->vocab;
    for (size_t i = 0; !st && i < ids->n; i++)
        if ((size_t)ids->id[i] >= vocab)
            st = ac_fail(err, AC_EARG, "token id %d is not in the vocabulary of %zu", ids->id[i], vocab);
    if (!st && ids->n == 0) st = ac_fail(err, AC_EARG, "the prompt is empty; give at least one token");
    return st;
}

static void as_json(ac_str *s, const ac_ids *prompt, const ac_gen_answer *answer, ac_view text,
                    double seconds)
{
    ac_jw w;
    ac_jw_init(&w, s, false);
    ac_jw_object(&w, NULL);
    ac_jw_array(&w, "ids");
    for (size_t i = 0; i < answer->ids.n; i++) ac_jw_i64(&w, NULL, answer->ids.id[i]);
    ac_jw_end_array(&w);
    ac_jw_str(&w, "text", text);
    ac_jw_cstr(&w, "end", ac_gen_end_name(answer->end));
    ac_jw_array(&w, "prompt_ids");
    for (size_t i = 0; i < prompt->n; i++) ac_jw_i64(&w, NULL, prompt->id[i]);
    ac_jw_end_array(&w);
    ac_jw_f64(&w, "seconds", seconds);
    ac_jw_end_object(&w);
}

static ac_status answer(ac_cli *cli, ac_loaded *l, const ac_ids *prompt, ac_err *err)
{
    const bool raw = a.raw || a.prompt_ids, live = cli->out_tty && !cli->json;
    const int32_t eos = ac_tokenizer_eos(l->tokenizer);
    ac_gen_opts o = { .ignore_stop = a.ignore_eos, .stop = &eos, .n_stop = eos >= 0 ? 1 : 0 };
    if (l->chat) o.stop = ac_chat_stop_ids(l->chat, &o.n_stop);
    ac_sampling_apply(&o, &a.s);
    const ac_gen_request req = { .prompt = prompt->id, .n_prompt = prompt->n };
    ac_gen_answer got = { .ids = { 0 } };
    ac_stream stream = { .cli = cli, .tokenizer = l->tokenizer, .keep_space = raw };
    ac_str text = { 0 }, out = { 0 };
    const int64_t before = ac_mono_ns();
    /* On a terminal the text itself is the progress. */
    ac_status st = ac_generate(l->model, l->adapter, &req, 1, &o, &got, live ? ac_stream_token : NULL, &stream,
                               live ? NULL : &cli->sink, err);
    ac_stream_end(&stream);
    if (!st) st = ac_answer_text(&text, l->tokenizer, &got.ids, raw, err);
    if (!st && !ac_str_ok(&text)) st = ac_fail_nomem(err, text.len);
    if (!st && cli->json) {
        as_json(&out, prompt, &got, ac_str_view(&text), (double)(ac_mono_ns() - before) * 1e-9);
        st = ac_cli_result(cli, &out, err);
    } else if (!st) {
        st = live ? AC_OK : ac_cli_result(cli, &text, err);
        if (live) ac_cli_print(cli, AC_VIEW("\n"));
    }
    ac_ids_release(&got.ids);
    ac_str_release(&text);
    ac_str_release(&out);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_loaded l = { 0 };
    ac_ids prompt = { 0 };
    ac_status st = check(err);
    if (!st) st = ac_load_model(&l, cli, a.model, a.adapter, err);
    if (!st) st = ac_load_tokenizer(&l, a.model, err);
    if (!st) st = make_prompt(&l, &prompt, err);
    if (!st) st = answer(cli, &l, &prompt, err);
    ac_ids_release(&prompt);
    ac_loaded_release(&l);
    return st;
}

static const char *const examples[] = {
    "accord generate --model smollm2-135m-instruct --prompt 'Why is the sky blue?'",
    "accord generate --model stories260k.gguf --raw --prompt 'Once upon a time' --max-tokens 100",
    NULL
};

const ac_cmd ac_cmd_generate = {
    .name = "generate",
    .group = "Use",
    .summary = "one answer, or one continuation, from a model with or without an adapter",
    .text = "The prompt becomes a user turn in the model's own chat format; with --raw, or with --prompt-ids, the model "
            "goes on from it as it is. At temperature 0 the answer is the same on every machine.\n\n"
            "--json gives ids, text, what ended the answer (stop, length, context) and the prompt's ids.",
    .examples = examples,
    .options = options,
    .run = run,
};
