#include "cli/sampling.h"

ac_status ac_sampling_check(const ac_sampling *s, ac_err *err)
{
    if (s->temperature > 0) return AC_OK;
    const char *ignored = s->top_k ? "--top-k" : s->top_p < 1 ? "--top-p" : s->min_p > 0 ? "--min-p"
                          : s->seed ? "--seed" : NULL;
    if (!ignored) return AC_OK;
    return ac_fail(err, AC_EARG, "%s has no effect at --temperature 0; give a temperature or leave it out",
                   ignored);
}

void ac_sampling_apply(ac_gen_opts *o, const ac_sampling *s)
{
    o->max_tokens = (size_t)s->max_tokens;
    o->temperature = s->temperature;
    o->top_k = (size_t)s->top_k;
    o->top_p = s->top_p;
    o->min_p = s->min_p;
    o->seed = s->seed;
}

const char *ac_gen_end_name(ac_gen_end e)
{
    return e == AC_GEN_STOP ? "stop" : e == AC_GEN_LENGTH ? "length" : "context";
}

/* How many of the bytes form complete characters: a sequence that may still grow is kept back. */
static size_t complete(ac_view v)
{
    size_t back = 0;
    while (back < 3 && back < v.len) {
        const unsigned char c = (unsigned char)v.ptr[v.len - 1 - back];
        const size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
        if (want) return back + 1 < want ? v.len - 1 - back : v.len;
        if (c < 0x80) break;
        back++;
    }
    return v.len;
}

static void put(ac_stream *s, size_t n)
{
    ac_str_reset(&s->out);
    ac_cli_foreign(&s->out, s->cli, ac_view_slice(ac_str_view(&s->pending), 0, n));
    ac_cli_print(s->cli, ac_str_view(&s->out));
    (void)fflush(s->cli->out);
    ac_str rest = { 0 };
    ac_str_append(&rest, ac_view_slice(ac_str_view(&s->pending), n, s->pending.len));
    if (!ac_str_ok(&rest) || !ac_str_ok(&s->out)) s->failed = true;
    ac_str_release(&s->pending);
    s->pending = rest;
}

bool ac_stream_token(void *stream, size_t request, int32_t id)
{
    ac_stream *s = stream;
    (void)request;
    const unsigned flags = s->any || s->keep_space ? AC_DECODE_KEEP_PREFIX_SPACE : 0u;
    s->any = true;
    if (ac_tokenizer_decode(s->tokenizer, &id, 1, flags, &s->pending, NULL)) s->failed = true;
    const size_t n = complete(ac_str_view(&s->pending));
    if (n) put(s, n);
    return !s->failed && !ferror(s->cli->out);
}

void ac_stream_end(ac_stream *s)
{
    if (s->pending.len) put(s, s->pending.len);
    ac_str_release(&s->pending);
    ac_str_release(&s->out);
}

ac_status ac_answer_text(ac_str *out, const ac_tokenizer *t, const ac_ids *ids, bool keep_space, ac_err *err)
{
    return ac_tokenizer_decode(t, ids->id, ids->n, keep_space ? AC_DECODE_KEEP_PREFIX_SPACE : 0u, out, err);
}
