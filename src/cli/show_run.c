#include "cli/show_run.h"

#include <string.h>

#include "base/file.h"
#include "cli/human.h"

/* ---- values that may be absent ---- */

typedef struct {
    ac_str *out;
    const ac_cli *cli;
    const ac_json *run;
} page;

static bool has(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type != AC_JSON_NULL;
}

static double number(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER ? v->number : 0;
}

static uint64_t whole(const ac_json *o, const char *key)
{
    const double v = number(o, key);
    return v > 0 && v < 1e18 ? (uint64_t)v : 0;
}

static bool yes(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_BOOL && v->boolean;
}

static void name(const page *p, const char *topic)
{
    ac_str_appendf(p->out, "%-11s", topic);
}

static void word(const page *p, const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    if (v && v->type == AC_JSON_STRING) ac_cli_foreign(p->out, p->cli, v->text);
    else ac_str_append_char(p->out, '-');
}

static void line(const page *p, const char *topic, const char *key)
{
    if (!has(p->run, key)) return;
    name(p, topic);
    word(p, p->run, key);
    ac_str_append_char(p->out, '\n');
}

static void count(const page *p, const char *key)
{
    char text[32];
    ac_human_count(text, whole(p->run, key));
    ac_str_append_c(p->out, text);
}

static void span(const page *p, const char *key)
{
    char text[32];
    ac_human_time(text, number(p->run, key));
    ac_str_append_c(p->out, text);
}

static void bytes(const page *p, const ac_json *o, const char *key)
{
    char text[32];
    ac_human_bytes(text, whole(o, key));
    ac_str_append_c(p->out, text);
}

/* ---- the lines ---- */

static void when(const page *p)
{
    name(p, "when");
    word(p, p->run, "started");
    if (has(p->run, "finished")) {
        ac_str_append_c(p->out, " to ");
        word(p, p->run, "finished");
    }
    if (whole(p->run, "resumed")) ac_str_appendf(p->out, ", resumed %llu time%s", (unsigned long long)whole(p->run, "resumed"),
                                                  ac_plural(whole(p->run, "resumed")));
    if (has(p->run, "train_seconds")) {
        ac_str_append_c(p->out, "; training ");
        span(p, "train_seconds");
        ac_str_append_c(p->out, ", validation ");
        span(p, "eval_seconds");
    }
    ac_str_append_char(p->out, '\n');
}

static void method(const page *p)
{
    name(p, "method");
    word(p, p->run, "method");
    if (has(p->run, "rank")) {
        ac_str_appendf(p->out, ", rank %.6g, alpha %.6g on ", number(p->run, "rank"), number(p->run, "alpha"));
        word(p, p->run, "targets");
    }
    ac_str_appendf(p->out, "; seed %.17g\n", number(p->run, "seed"));
}

static void steps(const page *p)
{
    name(p, "steps");
    if (has(p->run, "steps")) {
        count(p, "steps");
        ac_str_append_c(p->out, " of ");
    }
    count(p, "total_steps");
    if (!has(p->run, "steps")) ac_str_append_c(p->out, " planned");
    if (yes(p->run, "stopped_early")) ac_str_append_c(p->out, ", stopped early");
    if (whole(p->run, "undone_steps")) {
        ac_str_append_c(p->out, ", undone ");
        count(p, "undone_steps");
    }
    ac_str_append_char(p->out, '\n');
}

static void losses(const page *p)
{
    if (!has(p->run, "last_loss")) return;
    name(p, "loss");
    ac_str_appendf(p->out, "%.4f at first, %.4f at last", number(p->run, "first_loss"), number(p->run, "last_loss"));
    if (has(p->run, "best_valid_loss"))
        ac_str_appendf(p->out, "; validation %.4f at first, %.4f at best, step %.0f", number(p->run, "start_valid_loss"),
                       number(p->run, "best_valid_loss"), number(p->run, "best_step"));
    ac_str_append_char(p->out, '\n');
}

static void tokens(const page *p)
{
    if (!has(p->run, "tokens")) return;
    name(p, "tokens");
    count(p, "tokens");
    ac_str_append_c(p->out, ", ");
    count(p, "supervised_tokens");
    ac_str_appendf(p->out, " of them supervised; %.0f a second\n", number(p->run, "tokens_per_second"));
}

static void memory(const page *p)
{
    const ac_json *m = ac_json_get(p->run, "memory");
    const bool shared = has(p->run, "workers") && number(p->run, "workers") > 1;
    name(p, "memory");
    if (has(p->run, "finished")) {                 /* before, the figure is of the beginning */
        bytes(p, p->run, "peak_rss_bytes");
        ac_str_append_c(p->out, shared ? " of the first worker at most, " : " at most, ");
    }
    bytes(p, m, "planned_peak_bytes");
    ac_str_append_c(p->out, shared ? " planned for all" : " planned");
    if (has(m, "limit_bytes")) {
        ac_str_append_c(p->out, " of ");
        bytes(p, m, "limit_bytes");
    }
    ac_str_appendf(p->out, "; %.0f tokens at once, recompute ", number(m, "tokens_at_once"));
    word(p, m, "recompute");
    ac_str_append_char(p->out, '\n');
}

static void processor(const page *p)
{
    name(p, "processor");
    word(p, p->run, "cpu");
    ac_str_append_c(p->out, "; ");
    word(p, p->run, "tier");
    if (has(p->run, "workers") && number(p->run, "workers") > 1)
        ac_str_appendf(p->out, ", in %.0f workers", number(p->run, "workers"));
    if (has(p->run, "finished") && has(p->run, "cpu_seconds")) {
        ac_str_append_c(p->out, "; ");
        span(p, "cpu_seconds");
        ac_str_append_c(p->out, " of its time");
    }
    ac_str_append_char(p->out, '\n');
}

static void command(const page *p)
{
    const ac_json *list = ac_json_get(p->run, "command");
    if (!list) return;
    name(p, "command");
    for (const ac_json *v = list->child; v; v = v->next) {
        if (v->type == AC_JSON_STRING) ac_cli_foreign(p->out, p->cli, v->text);
        if (v->next) ac_str_append_char(p->out, ' ');
    }
    ac_str_append_char(p->out, '\n');
}

static void channels(const page *p, const ac_show_channel *on, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        name(p, on[i].serves ? "serves" : "served");
        ac_str_appendf(p->out, "%s since %s, promoted by ", on[i].channel, on[i].act->utc);
        ac_cli_foreign(p->out, p->cli, ac_view_of(on[i].act->by ? on[i].act->by : "-"));
        if (on[i].gone)
            ac_str_appendf(p->out, "; %s at %s%s", on[i].gone->rollback ? "rolled back" : "followed by another",
                           on[i].gone->utc, on[i].gone->reason ? ": " : "");
        if (on[i].gone && on[i].gone->reason) ac_cli_foreign(p->out, p->cli, ac_view_of(on[i].gone->reason));
        ac_str_append_char(p->out, '\n');
    }
}

void ac_show_run_text(ac_str *out, const ac_cli *cli, const ac_json *run, const ac_show_channel *on, size_t n_on)
{
    const page p = { out, cli, run };
    name(&p, "run");
    word(&p, run, "id");
    ac_str_append_c(out, ", ");
    word(&p, run, "state");
    ac_str_append_char(out, '\n');
    line(&p, "error", "error");
    when(&p);
    line(&p, "lock", "lock");
    line(&p, "base", "base_model");
    method(&p);
    steps(&p);
    losses(&p);
    tokens(&p);
    memory(&p);
    processor(&p);
    line(&p, "adapter", "adapter_sha256");
    line(&p, "trace", "trace_sha256");
    if (has(run, "audit_head")) {
        name(&p, "audit");
        ac_str_appendf(out, "%.0f:", number(run, "audit_count"));
        word(&p, run, "audit_head");
        ac_str_append_char(out, '\n');
    }
    channels(&p, on, n_on);
    command(&p);
}

/* ---- channels ---- */

/* Whether the run was promoted there, and what became of that. */
static bool look(ac_show_channel *c, const ac_promotions *h, const char *run)
{
    size_t last = h->n;
    for (size_t i = 0; i < h->n; i++)
        if (!h->act[i].rollback && strcmp(h->act[i].run, run) == 0) last = i;
    if (last == h->n) return false;
    c->act = &h->act[last];
    const ac_promotion *top = h->n_stack ? &h->act[h->stack[h->n_stack - 1]] : NULL;
    c->serves = top && strcmp(top->run, run) == 0;
    if (!c->serves && last + 1 < h->n) c->gone = &h->act[last + 1];
    return true;
}

ac_status ac_show_channels(ac_show_channel **out, size_t *n, ac_arena *a, const char *project, const char *run, ac_err *err)
{
    char **names = NULL;
    size_t n_names = 0, found = 0;
    const char *dir = ac_path_join(a, project, ".accord/promoted");
    if (!dir) return ac_fail_nomem(err, strlen(project));
    ac_status st = ac_path_is_dir(dir) ? ac_dir_list(dir, a, &names, &n_names, err) : AC_OK;
    ac_show_channel *list = ac_arena_alloc_array(a, n_names + 1, sizeof *list);
    if (!st && !list) return ac_fail_nomem(err, n_names * sizeof *list);
    for (size_t i = 0; !st && i < n_names; i++) {
        const ac_view file = ac_view_of(names[i]);
        if (!ac_view_ends(file, AC_VIEW(".json"))) continue;
        char *channel = ac_arena_strndup(a, file.ptr, file.len - 5);
        ac_promotions *h = ac_arena_alloc(a, sizeof *h);
        if (!channel || !h) return ac_fail_nomem(err, file.len);
        if (!ac_channel_ok(channel)) continue;
        *h = (ac_promotions){ 0 };
        st = ac_promotions_read(h, a, project, channel, err);
        list[found] = (ac_show_channel){ .channel = channel };
        if (!st && look(&list[found], h, run)) found++;
    }
    if (st) return st;
    *out = list;
    *n = found;
    return AC_OK;
}

void ac_show_channels_json(ac_str *out, const ac_show_channel *on, size_t n)
{
    ac_jw w;
    ac_jw_init(&w, out, false);
    ac_jw_array(&w, NULL);
    for (size_t i = 0; i < n; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "channel", on[i].channel);
        ac_jw_bool(&w, "serves", on[i].serves);
        ac_jw_cstr(&w, "since", on[i].act->utc);
        ac_jw_cstr(&w, "by", on[i].act->by);
        ac_jw_cstr(&w, "until", on[i].gone ? on[i].gone->utc : NULL);
        ac_jw_bool(&w, "rolled_back", on[i].gone && on[i].gone->rollback);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
}
