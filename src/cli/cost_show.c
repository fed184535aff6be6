#include "cli/cost_show.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/timing.h"

const char *const ac_cost_by_names[] = { "run", "person", "project", "week", "verdict", "tag", NULL };

static const char *const line_names[AC_COST_LINES] = { "rent", "machine", "energy" };

/* ---- cells: ">=" where something is not in the figure, "-" where nothing is ---- */

typedef void to_text(char out[32], int64_t v);

static void cell(ac_table *t, int64_t v, size_t missing, size_t n, bool at_least, to_text *text)
{
    char s[32];
    if (missing == n) {
        ac_table_cell(t, AC_VIEW("-"));
        return;
    }
    text(s, v);
    ac_table_cellf(t, "%s%s", missing || at_least ? ">=" : "", s);
}

static void money_cell(ac_table *t, const ac_cost_sum *s)
{
    ac_str all = { 0 };
    for (size_t i = 0; i < s->n_money; i++) {
        char text[32];
        ac_cost_micro_text(text, s->money[i].micro);
        ac_str_appendf(&all, "%s%s%s %s", i ? " + " : "", s->no_money && !i ? ">=" : "", text, s->money[i].currency);
    }
    ac_table_cell(t, s->n_money ? ac_str_view(&all) : AC_VIEW("-"));
    ac_str_release(&all);
}

static void figures(ac_table *t, const ac_cost_sum *s)
{
    cell(t, s->wall_ms, s->no_wall, s->n_parts, false, ac_cost_time_text);
    cell(t, s->cpu_ms, s->no_cpu, s->n_parts, false, ac_cost_time_text);
    cell(t, s->mwh, s->no_energy, s->n_parts, s->energy_at_least, ac_cost_wh_text);
    money_cell(t, s);
}

/* ---- in words ---- */

/* Each reason once, with how many parts it holds for. There are as many as ac_cost_money_of knows. */
static void missing_words(ac_str *out, const ac_cost_part *p, size_t n)
{
    struct {
        const char *text;
        size_t parts;
    } why[16];
    size_t n_why = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        if (!p[i].money.missing) continue;
        while (k < n_why && strcmp(why[k].text, p[i].money.missing) != 0) k++;
        if (k == AC_COUNTOF(why)) continue;
        if (k == n_why) {
            why[n_why].text = p[i].money.missing;
            why[n_why++].parts = 0;
        }
        why[k].parts++;
    }
    for (size_t k = 0; k < n_why; k++) ac_str_appendf(out, "not counted: %zu of %zu part%s: %s\n", why[k].parts, n, ac_plural(n), why[k].text);
}

static void per_point(ac_str *out, const ac_cost_sum *total, const ac_cost_gain *g)
{
    char text[32];
    if (!g->wins && g->points <= 0) {
        ac_str_append_c(out, "no point was gained over base\n");
        return;
    }
    for (size_t i = 0; i < total->n_money; i++) {
        const char *least = total->no_money ? "at least " : "", *currency = total->money[i].currency;
        if (g->points > 0) {
            ac_cost_micro_text(text, llround((double)total->money[i].micro / g->points));
            ac_str_appendf(out, "a point gained over base cost %s%s %s (%.1f points)", least, text, currency, g->points);
        }
        if (g->wins) {
            ac_cost_micro_text(text, llround((double)total->money[i].micro / (double)g->wins));
            ac_str_appendf(out, "%s WIN cost %s%s %s (%zu of them)", g->points > 0 ? ", a" : "a", least, text, currency, g->wins);
        }
        ac_str_append_c(out, "; failed, stopped and untuned work is in it\n");
    }
    if (!total->n_money)
        ac_str_appendf(out, "%.1f points were gained over base, by %zu run%s with WIN; no money is counted\n", g->points,
                       g->wins, ac_plural(g->wins));
}

/* ---- one run ---- */

static void rate_text(ac_str *out, const ac_cost_rates *r, size_t line)
{
    const char *c = r->currency;
    if (line == AC_COST_RENT) ac_str_appendf(out, "%g %s an hour", r->machine_hour, c);
    if (line == AC_COST_MACHINE)
        ac_str_appendf(out, "%g %s over %g years of %g hours", r->machine_price, c, r->machine_years, r->machine_hours_a_year);
    if (line == AC_COST_ENERGY) ac_str_appendf(out, "%g %s a kWh", r->kwh, c);
}

static void money_lines(ac_str *out, const ac_cost_run *r, const ac_cost_sum *total)
{
    char text[32];
    if (!r->rates.currency) return;
    for (size_t l = 0; l < AC_COST_LINES; l++) {
        int64_t sum = 0;
        size_t n = 0;
        for (size_t i = 0; i < r->n_parts; i++)
            if (r->part[i].money.line[l] >= 0) {
                sum += r->part[i].money.line[l];
                n++;
            }
        if (!n) continue;
        ac_cost_micro_text(text, sum);
        ac_str_appendf(out, "%-10s %s %s: ", line_names[l], text, r->rates.currency);
        rate_text(out, &r->rates, l);
        if (n < r->n_parts) ac_str_appendf(out, ", %zu of %zu part%s", n, r->n_parts, ac_plural(r->n_parts));
        ac_str_append_char(out, '\n');
    }
    for (size_t i = 0; i < total->n_money; i++) {
        ac_cost_micro_text(text, total->money[i].micro);
        ac_str_appendf(out, "%-10s %s%s %s\n", "total", total->no_money ? "at least " : "", text, total->money[i].currency);
    }
}

/* The method of each part, and once for all that say the same why it was no better one. */
static void energy_words(ac_str *out, const ac_cli *cli, const ac_cost_run *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const ac_cost_part *p = &r->part[i];
        ac_str_appendf(out, "%-10s %s: ", i ? "" : "method", p->what);
        ac_cli_foreign(out, cli, ac_view_of(p->method ? p->method : "not measured"));
        if (p->covers) {
            ac_str_append_c(out, ", ");
            ac_cli_foreign(out, cli, ac_view_of(p->covers));
        }
        ac_str_append_char(out, '\n');
    }
    for (size_t i = 0; i < r->n_parts; i++) {
        const char *why = r->part[i].why;
        bool told = !why;
        for (size_t k = 0; k < i && !told; k++) told = r->part[k].why && strcmp(r->part[k].why, why) == 0;
        if (told) continue;
        ac_str_append_c(out, "           because ");
        ac_cli_foreign(out, cli, ac_view_of(why));
        ac_str_append_char(out, '\n');
    }
}

static void node_words(ac_str *out, const ac_cost_run *r, const ac_cost_node *n)
{
    char there[32], time[32], here[32];
    if (!n->known) return;
    ac_cost_micro_text(there, n->node_micro);
    ac_cost_time_text(time, n->node_ms);
    ac_str_appendf(out, "\nOn a node (%g %s an hour, %g times as fast) this would take %s and %s %s.\n", r->rates.node_hour, r->rates.currency,
                   r->rates.node_speed, time, there, r->rates.currency);
    if (n->price_micro) {
        ac_cost_micro_text(here, n->here_micro > 0 ? n->here_micro : 0);
        if (n->runs > 0) {
            char runs[32];
            ac_human_count(runs, (uint64_t)n->runs);
            ac_str_appendf(out, "Owning this machine (%g %s) beats renting from %s such runs on; each costs %s %s here%s.\n",
                           r->rates.machine_price, r->rates.currency, runs, here, r->rates.currency,
                           n->here_micro < 0 ? ", electricity not counted" : " for electricity");
        } else {
            ac_str_appendf(out, "Renting is cheaper than the electricity that this machine draws.\n");
        }
    } else if (n->here_micro >= 0) {
        ac_cost_micro_text(here, n->here_micro);
        ac_str_appendf(out, "Here it cost %s %s: the node is %s.\n", here, r->rates.currency,
                       n->node_micro < n->here_micro ? "cheaper" : n->node_micro > n->here_micro ? "dearer" : "as dear");
    }
}

/* What one more such run costs here: rent and electricity; the price of an own machine is paid already. */
static int64_t marginal(const ac_cost_run *r)
{
    int64_t sum = AC_COST_UNKNOWN;
    for (size_t i = 0; i < r->n_parts; i++)
        for (size_t l = 0; l < AC_COST_LINES; l++)
            if (l != AC_COST_MACHINE && r->part[i].money.line[l] >= 0) sum = (sum < 0 ? 0 : sum) + r->part[i].money.line[l];
    return sum;
}

static ac_status parts_table(ac_str *out, const ac_cli *cli, const ac_cost_run *r, const ac_cost_sum *total, ac_err *err)
{
    static const char *const head[] = { "part", "began", "who", "end", "wall", "CPU", "Wh", "money" };
    ac_table t;
    ac_status st = AC_OK;
    ac_table_init(&t, "llllrrrr", head);
    for (size_t i = 0; i < r->n_parts && !st; i++) {
        const ac_cost_part *p = &r->part[i];
        ac_cost_sum one = { .key = NULL };
        st = ac_cost_add(&one, p, err);
        ac_table_cell(&t, ac_view_of(p->what));
        ac_table_cell(&t, ac_view_of(p->began ? p->began : "-"));
        const ac_view who = ac_view_of(p->person ? p->person : p->user ? p->user : "unknown");
        const size_t mail = ac_view_find(who, AC_VIEW(" <"), 0);
        ac_table_cell(&t, ac_view_slice(who, 0, mail ? mail : who.len));
        ac_table_cell(&t, ac_view_of(p->outcome ? p->outcome : "none written"));
        figures(&t, &one);
    }
    ac_table_cell(&t, AC_VIEW("total"));
    for (size_t i = 0; i < 3; i++) ac_table_cell(&t, AC_VIEW(""));
    figures(&t, total);
    if (!st) st = ac_table_render(&t, out, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    return st;
}

ac_status ac_cost_show_run(ac_str *out, const ac_cli *cli, const ac_cost_run *r, ac_arena *a, ac_err *err)
{
    ac_cost_sum total;
    ac_cost_gain gain;
    ac_cost_node node;
    ac_run_void timing = { 0 };
    ac_status st = ac_cost_total(&total, r->part, r->n_parts, a, err);
    if (!st) st = ac_cost_gain_of(&gain, r->part, r->n_parts, a, err);
    if (!st) st = ac_run_void_read(&timing, a, r->dir, err);
    if (st) return st;
    if (cli->json) {
        ac_cost_node_of(&node, &r->rates, total.no_wall ? AC_COST_UNKNOWN : total.wall_ms, marginal(r));
        ac_cost_json_run(out, r, &total, &node, &timing);
        return AC_OK;
    }
    ac_str_appendf(out, "run        %s\nproject    ", r->id);
    ac_cli_foreign(out, cli, ac_view_of(r->project ? r->project : "unknown"));
    if (r->tags) {
        ac_str_append_c(out, "\ntags       ");
        ac_cli_foreign(out, cli, ac_view_of(r->tags));
    }
    ac_str_append_c(out, "\nstate      ");
    ac_cli_foreign(out, cli, ac_view_of(r->state ? r->state : "unknown"));
    if (r->verdict) {
        ac_str_append_c(out, ", ");
        ac_cli_foreign(out, cli, ac_view_of(r->verdict));
        if (!isnan(r->gain)) ac_str_appendf(out, ", %+.1f points over base", r->gain);
    }
    ac_str_append_c(out, "\n\n");
    st = parts_table(out, cli, r, &total, err);
    if (st) return st;
    ac_str_append_char(out, '\n');
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->part[i].wall_from && strcmp(r->part[i].wall_from, "measured") != 0)
            ac_str_appendf(out, "time       %s: %s\n", r->part[i].what, r->part[i].wall_from);
    if (timing.n) {
        ac_str_append_c(out, "times      ");
        ac_timing_text(out, cli, &timing);
        ac_str_append_char(out, '\n');
    }
    energy_words(out, cli, r);
    money_lines(out, r, &total);
    missing_words(out, r->part, r->n_parts);
    if (r->verdict) per_point(out, &total, &gain);
    ac_cost_node_of(&node, &r->rates, total.no_wall ? AC_COST_UNKNOWN : total.wall_ms, marginal(r));
    node_words(out, r, &node);
    if (out->len && out->ptr[out->len - 1] == '\n') out->ptr[--out->len] = '\0';
    return AC_OK;
}

/* ---- JSON ---- */

static void count(ac_jw *w, const char *key, int64_t v, size_t missing, size_t n, double scale)
{
    if (missing == n) ac_jw_null(w, key);
    else ac_jw_f64(w, key, (double)v / scale);
}

static void sum_json(ac_jw *w, const char *key, const ac_cost_sum *s)
{
    ac_jw_object(w, key);
    if (!key) ac_jw_cstr(w, "key", s->key);
    ac_jw_u64(w, "runs", s->n_runs);
    ac_jw_u64(w, "parts", s->n_parts);
    count(w, "wall_seconds", s->wall_ms, s->no_wall, s->n_parts, 1e3);
    count(w, "cpu_seconds", s->cpu_ms, s->no_cpu, s->n_parts, 1e3);
    ac_jw_f64(w, "gpu_seconds", (double)s->gpu_ms / 1e3);
    ac_jw_i64(w, "peak_rss_bytes", s->peak_bytes);
    ac_jw_i64(w, "tokens", s->tokens);
    count(w, "energy_kwh", s->mwh, s->no_energy, s->n_parts, 1e6);
    ac_jw_object(w, "money");
    for (size_t i = 0; i < s->n_money; i++) ac_jw_f64(w, s->money[i].currency, (double)s->money[i].micro / 1e6);
    ac_jw_end_object(w);
    ac_jw_object(w, "parts_not_counted");
    ac_jw_u64(w, "wall", s->no_wall);
    ac_jw_u64(w, "cpu", s->no_cpu);
    ac_jw_u64(w, "energy", s->no_energy);
    ac_jw_u64(w, "money", s->no_money);
    ac_jw_end_object(w);
    ac_jw_bool(w, "at_least", s->no_wall || s->no_cpu || s->no_energy || s->no_money || s->energy_at_least);
    ac_jw_bool(w, "energy_estimated", s->estimated);
    ac_jw_end_object(w);
}

static void gain_json(ac_jw *w, const ac_cost_gain *g, const ac_cost_sum *total)
{
    ac_jw_object(w, "gain");
    ac_jw_f64(w, "points", g->points);
    ac_jw_u64(w, "wins", g->wins);
    ac_jw_object(w, "money_a_point");
    for (size_t i = 0; i < total->n_money && g->points > 0; i++)
        ac_jw_f64(w, total->money[i].currency, (double)llround((double)total->money[i].micro / g->points) / 1e6);
    ac_jw_end_object(w);
    ac_jw_object(w, "money_a_win");
    for (size_t i = 0; i < total->n_money && g->wins; i++)
        ac_jw_f64(w, total->money[i].currency, (double)llround((double)total->money[i].micro / (double)g->wins) / 1e6);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
}

void ac_cost_json_run(ac_str *out, const ac_cost_run *r, const ac_cost_sum *total, const ac_cost_node *node, const ac_run_void *timing)
{
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "run", r->id);
    ac_jw_cstr(&w, "state", r->state);
    ac_jw_cstr(&w, "verdict", r->verdict);
    ac_jw_f64(&w, "gain_points", r->gain);
    ac_jw_array(&w, "parts");
    for (size_t i = 0; i < r->n_parts; i++) ac_cost_part_json(&w, &r->part[i], true);
    ac_jw_end_array(&w);
    sum_json(&w, "total", total);
    ac_timing_json(&w, timing);
    if (node->known) {
        ac_jw_object(&w, "node");
        ac_jw_f64(&w, "seconds", (double)node->node_ms / 1e3);
        ac_jw_f64(&w, "money", (double)node->node_micro / 1e6);
        if (node->here_micro < 0) ac_jw_null(&w, "money_here");
        else ac_jw_f64(&w, "money_here", (double)node->here_micro / 1e6);
        if (node->runs > 0) ac_jw_i64(&w, "break_even_runs", node->runs);
        else ac_jw_null(&w, "break_even_runs");
        ac_jw_end_object(&w);
    } else {
        ac_jw_null(&w, "node");
    }
    ac_jw_end_object(&w);
}

/* ---- many ---- */

typedef struct {
    ac_cost_sum *row, total;
    size_t n;
    ac_cost_gain gain;
} sums;

static ac_status sum_all(sums *s, const ac_cost_view *v, ac_err *err)
{
    ac_status st = ac_cost_sums(&s->row, &s->n, v->part, v->n, v->by, v->arena, err);
    if (!st) st = ac_cost_total(&s->total, v->part, v->n, v->arena, err);
    return st ? st : ac_cost_gain_of(&s->gain, v->part, v->n, v->arena, err);
}

/* Runs among the parts whose times are VOID; those that are no longer here do not count. */
static ac_status void_runs(size_t *n_void, size_t *n_runs, const ac_cost_view *v, ac_err *err)
{
    *n_void = *n_runs = 0;
    for (size_t i = 0; i < v->n; i++) {
        const char *id = v->part[i].run;
        bool told = !id;
        for (size_t k = 0; k < i && !told; k++) told = v->part[k].run && strcmp(v->part[k].run, id) == 0;
        if (told) continue;
        const char *dir = ac_arena_printf(v->arena, ".accord/runs/%s", id);
        ac_run_void timing = { 0 };
        if (!dir) return ac_fail_nomem(err, strlen(id));
        if (!ac_path_is_dir(dir)) continue;
        const ac_status st = ac_run_void_read(&timing, v->arena, dir, err);
        if (st) return st;
        ++*n_runs;
        *n_void += timing.n > 0;
    }
    return AC_OK;
}

ac_status ac_cost_show_table(ac_str *out, const ac_cli *cli, const ac_cost_view *v, ac_err *err)
{
    const char *const head[] = { ac_cost_by_names[v->by], "runs", "parts", "wall", "CPU", "Wh", "money" };
    sums s;
    ac_table t;
    size_t n_void = 0, n_runs = 0;
    ac_status st = sum_all(&s, v, err);
    if (!st) st = void_runs(&n_void, &n_runs, v, err);
    if (st) return st;
    if (!v->n) {
        ac_str_append_c(out, "nothing is booked here");
        return AC_OK;
    }
    ac_table_init(&t, "lrrrrrr", head);
    for (size_t i = 0; i <= s.n; i++) {
        const ac_cost_sum *row = i < s.n ? &s.row[i] : &s.total;
        ac_table_cell(&t, ac_view_of(row->key));
        ac_table_cellf(&t, "%zu", row->n_runs);
        ac_table_cellf(&t, "%zu", row->n_parts);
        figures(&t, row);
    }
    st = ac_table_render(&t, out, cli->out_tty ? cli->width : 0, cli->color, err);
    ac_table_release(&t);
    if (st) return st;
    ac_str_append_char(out, '\n');
    if (s.total.no_energy) ac_str_appendf(out, "not measured: the energy of %zu of %zu part%s\n", s.total.no_energy, v->n,
                                           ac_plural(v->n));
    if (n_void) ac_str_appendf(out, "times: VOID for timing claims in %zu of %zu run%s; accord runs tells which\n", n_void, n_runs,
                               ac_plural(n_runs));
    if (s.total.estimated) ac_str_append_c(out, "some of the energy is estimated (watts x load)\n");
    missing_words(out, v->part, v->n);
    per_point(out, &s.total, &s.gain);
    if (v->unreadable[0]) {
        ac_str_append_c(out, "not counted, for it cannot be read:\n");
        ac_cli_foreign(out, cli, ac_view_of(v->unreadable));
    }
    if (out->len && out->ptr[out->len - 1] == '\n') out->ptr[--out->len] = '\0';
    return AC_OK;
}

ac_status ac_cost_json_table(ac_str *out, const ac_cost_view *v, ac_err *err)
{
    sums s;
    ac_jw w;
    size_t n_void = 0, n_runs = 0;
    ac_status st = sum_all(&s, v, err);
    if (!st) st = void_runs(&n_void, &n_runs, v, err);
    if (st) return st;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "by", ac_cost_by_names[v->by]);
    ac_jw_array(&w, "rows");
    for (size_t i = 0; i < s.n; i++) sum_json(&w, NULL, &s.row[i]);
    ac_jw_end_array(&w);
    sum_json(&w, "total", &s.total);
    gain_json(&w, &s.gain, &s.total);
    ac_jw_u64(&w, "void_runs", n_void);
    ac_jw_cstr(&w, "unreadable", v->unreadable[0] ? v->unreadable : NULL);
    ac_jw_end_object(&w);
    return AC_OK;
}

/* ---- CSV: RFC 4180, empty where not known ---- */

void ac_csv_cell(ac_str *out, ac_view v)
{
    bool quote = false;
    if (out->len && out->ptr[out->len - 1] != '\n') ac_str_append_char(out, ',');
    for (size_t i = 0; i < v.len && !quote; i++) quote = v.ptr[i] == ',' || v.ptr[i] == '"' || v.ptr[i] == '\n' || v.ptr[i] == '\r';
    if (!quote) {
        ac_str_append(out, v);
        return;
    }
    ac_str_append_char(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '"') ac_str_append_char(out, '"');
        ac_str_append_char(out, v.ptr[i]);
    }
    ac_str_append_char(out, '"');
}

static void number(ac_str *out, int64_t v, size_t missing, size_t n, int64_t scale)
{
    if (missing == n) {
        ac_csv_cell(out, AC_VIEW(""));
        return;
    }
    ac_csv_cell(out, AC_VIEW(""));
    if (scale == 1) ac_str_appendf(out, "%lld", (long long)v);
    else ac_str_appendf(out, scale == 1000 ? "%lld.%03lld" : "%lld.%06lld", (long long)(v / scale), (long long)(v % scale));
}

ac_status ac_cost_csv_table(ac_str *out, const ac_cost_view *v, ac_err *err)
{
    sums s;
    const ac_status st = sum_all(&s, v, err);
    if (st) return st;
    ac_str_appendf(out, "%s,runs,parts,wall_seconds,cpu_seconds,gpu_seconds,energy_kwh,currency,money,at_least\n", ac_cost_by_names[v->by]);
    for (size_t i = 0; i < s.n; i++) {
        const ac_cost_sum *r = &s.row[i];
        /* A row a currency; what has none is told in the first. */
        for (size_t m = 0; m == 0 || m < r->n_money; m++) {
            const size_t n = r->n_parts;
            ac_str_append_char(out, '"');
            for (const char *k = r->key; *k; k++) {
                if (*k == '"') ac_str_append_char(out, '"');
                ac_str_append_char(out, *k);
            }
            ac_str_append_char(out, '"');
            number(out, (int64_t)r->n_runs, m ? n : 0, n, 1);
            number(out, (int64_t)n, m ? n : 0, n, 1);
            number(out, r->wall_ms, m ? n : r->no_wall, n, 1000);
            number(out, r->cpu_ms, m ? n : r->no_cpu, n, 1000);
            number(out, r->gpu_ms, m ? n : 0, n, 1000);
            number(out, r->mwh, m ? n : r->no_energy, n, 1000000);
            ac_csv_cell(out, ac_view_of(m < r->n_money ? r->money[m].currency : ""));
            number(out, m < r->n_money ? r->money[m].micro : 0, m < r->n_money ? 0 : n, n, 1000000);
            ac_csv_cell(out, r->no_wall || r->no_energy || r->no_money || r->energy_at_least ? AC_VIEW("yes") : AC_VIEW("no"));
            ac_str_append_char(out, '\n');
        }
    }
    if (out->len) out->ptr[--out->len] = '\0';
    return AC_OK;
}

void ac_cost_csv_parts(ac_str *out, const ac_cost_view *v)
{
    ac_str_append_c(out, "run,part,began,ended,outcome,person,user,host,device,project,tags,state,verdict,wall_seconds,cpu_seconds,gpu_seconds,"
                         "peak_rss_bytes,tokens,energy_kwh,energy_method,currency,rent,machine,energy,money,missing\n");
    for (size_t i = 0; i < v->n; i++) {
        const ac_cost_part *p = &v->part[i];
        const char *const texts[] = { p->what, p->began, p->ended, p->outcome, p->person, p->user, p->host, p->device, p->project,
                                      p->tags, p->state, p->verdict };
        const struct {
            int64_t v, scale;
        } counts[] = { { p->wall_ms, 1000 }, { p->cpu_ms, 1000 }, { p->gpu_ms, 1000 }, { p->peak_bytes, 1 }, { p->tokens, 1 }, { p->mwh, 1000000 } };
        ac_str_append_c(out, p->run ? p->run : "");
        if (!p->run) ac_str_append_c(out, "\"\"");
        for (size_t k = 0; k < AC_COUNTOF(texts); k++) ac_csv_cell(out, ac_view_of(texts[k]));
        for (size_t k = 0; k < AC_COUNTOF(counts); k++) number(out, counts[k].v, counts[k].v < 0, 1, counts[k].scale);
        ac_csv_cell(out, ac_view_of(p->method));
        ac_csv_cell(out, ac_view_of(p->rates.currency));
        for (size_t l = 0; l < AC_COST_LINES; l++) number(out, p->money.line[l], p->money.line[l] < 0, 1, 1000000);
        number(out, p->money.total, p->money.total < 0, 1, 1000000);
        ac_csv_cell(out, ac_view_of(p->money.missing));
        ac_str_append_char(out, '\n');
    }
    if (out->len) out->ptr[--out->len] = '\0';
}
