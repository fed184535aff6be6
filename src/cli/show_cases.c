#include "cli/show_cases.h"

#include <string.h>

#define INDENT "            "

static const ac_json *passed(const ac_json *answer)
{
    const ac_json *p = ac_json_get(answer, "pass");
    return p && p->type == AC_JSON_BOOL ? p : NULL;
}

static bool wanted(const ac_json *c, const ac_show_cases *o)
{
    const ac_json *answers = ac_json_get(c, "answers"), *id = ac_json_get(c, "id");
    bool named = o->n_ids == 0, some_pass = false, some_fail = false;
    for (size_t i = 0; i < o->n_ids; i++) named |= id && id->type == AC_JSON_STRING && ac_view_eq_str(id->text, o->id[i]);
    if (!named) return false;
    for (const ac_json *a = answers ? answers->child : NULL; a; a = a->next) {
        const ac_json *p = passed(a);
        some_pass |= p && p->boolean;
        some_fail |= p && !p->boolean;
    }
    if (o->which == AC_SHOW_DIFFERING) return some_pass && some_fail;
    if (o->which != AC_SHOW_FAILED) return true;
    const ac_json *tuned = passed(ac_json_get(answers, "tuned"));
    return tuned && !tuned->boolean;
}

/* Every line after the first begins under the first. */
static void lines(ac_str *s, const ac_cli *cli, ac_view text, const char *indent)
{
    text = ac_view_trim(text);
    if (text.len == 0) ac_str_append_c(s, "(nothing)");
    for (size_t from = 0; from < text.len;) {
        size_t to = ac_view_find(text, AC_VIEW("\n"), from);
        if (to == SIZE_MAX) to = text.len;
        if (from) ac_str_append_c(s, indent);
        ac_cli_foreign(s, cli, ac_view_slice(text, from, to));
        if (to < text.len) ac_str_append_char(s, '\n');
        from = to + 1;
    }
    ac_str_append_char(s, '\n');
}

static void word(ac_str *s, const ac_cli *cli, const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    if (v && v->type == AC_JSON_STRING) ac_cli_foreign(s, cli, v->text);
    else if (v && v->type == AC_JSON_NUMBER) ac_str_appendf(s, "%.6g", v->number);
    else ac_str_append_char(s, '-');
}

static void passages(ac_str *s, const ac_cli *cli, const ac_json *answer)
{
    const ac_json *list = ac_json_get(answer, "passages");
    size_t n = 0;
    for (const ac_json *p = list ? list->child : NULL; p; p = p->next) {
        ac_str_appendf(s, INDENT "[%zu] ", ++n);
        word(s, cli, p, "source");
        const ac_json *heading = ac_json_get(p, "heading"), *score = ac_json_get(p, "score");
        if (heading && heading->type == AC_JSON_STRING && heading->text.len) {
            ac_str_append_c(s, ", ");
            ac_cli_foreign(s, cli, heading->text);
        }
        if (score && score->type == AC_JSON_NUMBER) ac_str_appendf(s, " (%.2f)", score->number);
        ac_str_append_char(s, '\n');
    }
}

static void answer_text(ac_str *s, const ac_cli *cli, const ac_json *answer)
{
    const ac_json *p = passed(answer), *text = ac_json_get(answer, "text"), *cut = ac_json_get(answer, "cut");
    const bool ok = p && p->boolean;
    ac_str_appendf(s, "  %s%-5s%s ", cli->color ? ok ? "\x1b[32m" : "\x1b[31m" : "", !p ? "-" : ok ? "pass" : "FAIL",
                   cli->color ? "\x1b[0m" : "");
    ac_cli_foreign(s, cli, answer->key);
    ac_str_append_c(s, "\n" INDENT);
    if (text && text->type == AC_JSON_STRING) lines(s, cli, text->text, INDENT);
    else ac_str_append_c(s, "(sealed)\n");
    ac_str_append_c(s, INDENT "-- ");
    word(s, cli, answer, "why");
    ac_str_append_c(s, "; ");
    word(s, cli, answer, "prompt_tokens");
    ac_str_append_c(s, " tokens in, ");
    word(s, cli, answer, "tokens");
    ac_str_append_c(s, cut && cut->type == AC_JSON_BOOL && cut->boolean ? " out, cut off\n" : " out\n");
    if (ac_json_get(answer, "perplexity") || ac_json_get(answer, "reference_perplexity")) {
        ac_str_append_c(s, INDENT "-- perplexity ");
        word(s, cli, answer, "perplexity");
        ac_str_append_c(s, ", of the reference ");
        word(s, cli, answer, "reference_perplexity");
        ac_str_append_char(s, '\n');
    }
    passages(s, cli, answer);
}

static void case_text(ac_str *s, const ac_cli *cli, const ac_json *c)
{
    const ac_json *turns = ac_json_get(c, "turns"), *answers = ac_json_get(c, "answers"), *ideal = ac_json_get(c, "ideal");
    ac_str_append_c(s, cli->color ? "\n\x1b[1m" : "\n");
    word(s, cli, c, "id");
    ac_str_append_c(s, cli->color ? "\x1b[0m, " : ", ");
    word(s, cli, c, "class");
    ac_str_append_char(s, '\n');
    for (const ac_json *t = turns ? turns->child : NULL; t; t = t->next) {
        const ac_json *role = ac_json_get(t, "role"), *content = ac_json_get(t, "content");
        if (!role || role->type != AC_JSON_STRING || !content || content->type != AC_JSON_STRING) continue;
        ac_str_append_c(s, "  ");
        ac_cli_foreign(s, cli, role->text);
        for (size_t i = role->text.len; i < 10; i++) ac_str_append_char(s, ' ');
        lines(s, cli, content->text, INDENT);
    }
    if (!turns) ac_str_append_c(s, "  (the question lies sealed)\n");
    if (ideal && ideal->type == AC_JSON_STRING) {
        ac_str_append_c(s, "  reference ");
        lines(s, cli, ideal->text, INDENT);
    }
    for (const ac_json *a = answers ? answers->child : NULL; a; a = a->next) answer_text(s, cli, a);
}

static bool has_id(const ac_json *list, const char *id)
{
    for (const ac_json *c = list->child; c; c = c->next) {
        const ac_json *v = ac_json_get(c, "id");
        if (v && v->type == AC_JSON_STRING && ac_view_eq_str(v->text, id)) return true;
    }
    return false;
}

ac_status ac_show_cases_text(ac_str *out, const ac_cli *cli, const ac_json *verdict, const ac_show_cases *o, ac_err *err)
{
    const ac_json *list = ac_json_get(verdict, "by_case");
    size_t n = 0, all = 0;
    if (!list || list->type != AC_JSON_ARRAY)
        return ac_fail(err, AC_ENOENT, "verdict.json holds no cases (the run was forgotten, or the file is of another kind)");
    for (size_t i = 0; i < o->n_ids; i++)
        if (!has_id(list, o->id[i])) return ac_fail(err, AC_ENOENT, "no case \"%.80s\" in verdict.json", o->id[i]);
    for (const ac_json *c = list->child; c; c = c->next, all++) {
        if (!wanted(c, o)) continue;
        case_text(out, cli, c);
        n++;
    }
    ac_str_appendf(out, "\n%zu of %zu case%s shown\n", n, all, ac_plural(all));
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}
