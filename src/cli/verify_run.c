/* The children of verify, and the comparison of what they leave. */
#include <signal.h>
#include <string.h>

#include "base/exit.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/time.h"
#include "cli/project.h"
#include "cli/verify.h"
#include "eval/arms.h"
#include "ledger/ledger.h"

#define ARGS_MAX 40
#define TRACE_MAX_BYTES ((size_t)1 << 30)
#define FILE_MAX_BYTES ((size_t)256 << 20)
#define GRACE_MS 30000

typedef struct {
    size_t n;
    const char *argv[ARGS_MAX + 1];
} args;

static volatile sig_atomic_t stop_asked;

static void on_stop(int sig)
{
    (void)sig;
    stop_asked = 1;
}

/* The child gets a terminal's signal too; ours is to clean up behind it. */
static void catch_signals(void)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction sa = { .sa_handler = on_stop, .sa_flags = (int)(SA_RESETHAND | SA_RESTART) };
    (void)sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < AC_COUNTOF(signals); i++) (void)sigaction(signals[i], &sa, NULL);
}

static void add(args *g, const char *arg)
{
    if (g->n < ARGS_MAX) g->argv[g->n++] = arg;
}

/* ---- children ---- */

/* This program, or what --program names, in words divided by spaces. */
static ac_status add_program(args *g, ac_verify *v, ac_err *err)
{
    char self[4096];
    ac_view rest = ac_view_of(v->o->program);
    if (!v->o->program) {
        if (!ac_path_real(self, sizeof self, "/proc/self/exe"))
            return ac_fail(err, AC_ENOENT, "cannot tell where this program lies; name it with --program");
        add(g, ac_arena_strndup(&v->arena, self, strlen(self)));
        return g->argv[0] ? AC_OK : ac_fail_nomem(err, 64);
    }
    while ((rest = ac_view_trim(rest)).len) {
        const size_t space = ac_view_find(rest, AC_VIEW(" "), 0);
        const ac_view word = ac_view_slice(rest, 0, space);
        if (g->n >= ARGS_MAX / 2) return ac_fail(err, AC_EARG, "--program: too many words");
        add(g, ac_arena_strndup(&v->arena, word.ptr, word.len));
        if (!g->argv[g->n - 1]) return ac_fail_nomem(err, word.len);
        rest = space == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, space, rest.len);
    }
    return g->n ? AC_OK : ac_fail(err, AC_EARG, "--program: is empty");
}

static ac_status begin_args(args *g, ac_verify *v, const char *command, ac_err *err)
{
    const ac_status st = add_program(g, v, err);
    if (st) return st;
    add(g, "-C");
    add(g, v->project);
    add(g, command);
    if (v->cli->quiet) add(g, "--quiet");
    if (v->cli->threads) {
        add(g, "--threads");
        add(g, ac_arena_printf(&v->arena, "%lld", (long long)v->cli->threads));
    }
    if (v->cli->cpu != AC_CPU_AUTO) {
        add(g, "--cpu");
        add(g, ac_cpu_name(v->cli->cpu));
    }
    if (v->cli->device != AC_DEVICE_AUTO) {
        add(g, "--device");
        add(g, v->cli->device == AC_DEVICE_CPU ? "cpu" : "cuda");
    }
    return AC_OK;
}

/* Shown and kept for the report, so that a person can do the same. */
static ac_status say_command(ac_verify *v, const args *g, ac_err *err)
{
    ac_str s = { 0 }, note = { 0 };
    for (size_t i = 0; i < g->n; i++) {
        if (!g->argv[i]) {
            ac_str_release(&s);
            return ac_fail_nomem(err, 64);
        }
        ac_str_appendf(&s, strpbrk(g->argv[i], " '\"$\\") ? "%s'%s'" : "%s%s", i ? " " : "", g->argv[i]);
    }
    ac_str_appendf(&note, "run: %s", ac_str_c(&s));
    const char *kept = ac_arena_strndup(&v->arena, ac_str_c(&s), s.len);
    if (kept && v->n_commands < AC_COUNTOF(v->command)) v->command[v->n_commands++] = kept;
    ac_cli_note(v->cli, ac_str_c(&note));
    const ac_status st = kept && ac_str_ok(&s) && ac_str_ok(&note) ? AC_OK : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    ac_str_release(&note);
    return st;
}

static ac_status status_of(int exit_code)
{
    static const ac_status all[] = { AC_EARG, AC_EFORMAT, AC_ENOENT, AC_ECREATE, AC_EIO, AC_EREFUSED, AC_ECONTRACT, AC_EDIVERGED };
    for (size_t i = 0; i < AC_COUNTOF(all); i++)
        if (ac_exit_of(all[i]) == (ac_exit)exit_code) return all[i];
    return AC_ESTATE;
}

static ac_status ended_badly(const ac_verify *v, const char *command, int code, ac_err *err)
{
    return ac_fail(err, status_of(code), "run %s: the rebuilding \"accord %s\" ended with exit code %d; its own message stands "
                   "above", v->id, command, code);
}

/* ---- traces ---- */

static ac_view next_line(ac_view *rest)
{
    const size_t lf = ac_view_find(*rest, AC_VIEW("\n"), 0);
    if (lf == SIZE_MAX) return (ac_view){ NULL, 0 };     /* a line that is still being written does not count */
    const ac_view line = { rest->ptr, lf };
    *rest = ac_view_slice(*rest, lf + 1, rest->len);
    return line;
}

/* Compares as many steps as both have; over: the new run has ended, so what it lacks is a difference. growing: it is being
 * written, and a line may come while it is read; then the next look will do. */
static ac_status compare_traces(ac_verify *v, bool over, bool growing, ac_err *err)
{
    char *path = NULL;
    ac_err own = { "" };
    if (!v->again) return AC_OK;
    ac_status st = ac_run_path(&path, &v->arena, v->again, "trace.jsonl", err);
    if (!st && !ac_path_exists(path)) return over ? ac_fail(err, AC_EIO, "%s: the rebuilt run has no trace", path) : AC_OK;
    if (!st) st = ac_file_read(&v->trace_again, path, TRACE_MAX_BYTES, &own);
    if (st == AC_EIO && growing) return AC_OK;
    if (st) return own.text[0] ? ac_fail(err, st, "%s", own.text) : st;
    ac_view a = ac_str_view(&v->trace), b = ac_str_view(&v->trace_again);
    v->compared = v->first_difference = 0;
    for (uint64_t step = 1; step <= v->steps; step++) {
        const ac_view x = next_line(&a), y = next_line(&b);
        if (!y.ptr && !over) break;
        if (y.ptr && ac_view_eq(x, y)) {
            v->compared = step;
            continue;
        }
        v->first_difference = step;
        v->line[0] = x;
        v->line[1] = y;
        return AC_OK;
    }
    if (over && !v->prefix && next_line(&b).ptr)
        return ac_fail(err, AC_ESTATE, "the rebuilt run has more steps than the run, all alike until there; please report it");
    return AC_OK;
}

/* The one run folder of the project, once it is there. */
static ac_status find_again(ac_verify *v, ac_err *err)
{
    ac_run_info *list = NULL;
    size_t n = 0;
    if (v->again) return AC_OK;
    const ac_status st = ac_runs_list(&list, &n, &v->arena, v->project, err);
    if (!st && n) v->again = ac_arena_strndup(&v->arena, list[n - 1].path, strlen(list[n - 1].path));
    return !st && n && !v->again ? ac_fail_nomem(err, 64) : st;
}

/* Waits for the child and looks at the trace on the way. */
static ac_status watch(ac_verify *v, ac_child *child, bool *ended, int *code, ac_err *err)
{
    int64_t pause_ms = 100;
    ac_status st = AC_OK;
    while (!st) {
        st = ac_child_wait(child, pause_ms, ended, code, err);
        ac_cost_clock_look(&v->cost);
        if (st || *ended) break;
        if (stop_asked) return ac_fail(err, AC_ECANCEL, "stopped; nothing was decided about run %s", v->id);
        if (v->o->full || v->numerics[1]) continue;
        const int64_t begun = ac_mono_ns();
        st = find_again(v, err);
        if (!st) st = compare_traces(v, false, true, err);
        if (st || v->first_difference) break;
        pause_ms = 100 + (ac_mono_ns() - begun) / 50000;  /* looking takes at most a twentieth of the time */
    }
    return st;
}

ac_status ac_verify_train(ac_verify *v, ac_err *err)
{
    args g = { .n = 0 };
    ac_child *child = NULL;
    char *out = NULL;
    bool ended = false;
    int code = 0;
    ac_status st = begin_args(&g, v, "train", err);
    if (!st) st = ac_run_path(&out, &v->arena, v->project, "train.out", err);
    if (v->prefix) {
        add(&g, "--stop-after-step");
        add(&g, ac_arena_printf(&v->arena, "%llu", (unsigned long long)v->steps));
    }
    if (!st) st = say_command(v, &g, err);
    catch_signals();
    if (!st) st = ac_child_start(&child, g.argv, out, err);
    if (!st) st = watch(v, child, &ended, &code, err);
    v->stopped_early = !st && !ended;
    ac_child_close(&child, GRACE_MS);
    if (!st && stop_asked) st = ac_fail(err, AC_ECANCEL, "stopped; nothing was decided about run %s", v->id);
    if (!st) st = find_again(v, err);
    /* A run that was not finite ends in the same way when it is rebuilt. */
    const bool as_before = code == AC_EXIT_DONE || (v->prefix && (code == AC_EXIT_RESUME || code == AC_EXIT_DIVERGED));
    if (!st && ended && (!as_before || !v->again)) st = ended_badly(v, "train", code, err);
    return st ? st : compare_traces(v, ended, false, err);
}

/* ---- weights ---- */

static const ac_json *member(const ac_json *o, ac_view key)
{
    for (const ac_json *c = o->child; c; c = c->next)
        if (ac_view_eq(c->key, key)) return c;
    return NULL;
}

/* adapter_config.json names the base model, which may have another path here. */
static bool only_name_differs(const ac_verify *v, const char *file)
{
    if (strcmp(file, "adapter_config.json") != 0) return false;
    for (size_t i = 0; i < v->n_inputs; i++)
        if (v->input[i].renamed && strcmp(v->input[i].in.name, "base.model") == 0) return true;
    return false;
}

ac_status ac_verify_weights(ac_verify *v, ac_err *err)
{
    ac_str text[2] = { { 0 }, { 0 } };
    const ac_json *tree[2] = { NULL, NULL };
    char *folder = ac_path_join(&v->arena, v->run, "adapter");
    const char *name = folder && ac_path_is_dir(folder) ? "adapter" : "model";
    ac_status st = folder ? ac_run_files_json(&text[0], v->run, name, err) : ac_fail_nomem(err, 64);
    if (!st) st = ac_run_files_json(&text[1], v->again, name, err);
    for (size_t i = 0; i < 2 && !st; i++) st = ac_json_parse(&tree[i], ac_str_view(&text[i]), &v->arena, name, 1, NULL, err);
    v->weights_compared = !st;
    v->weights_same = !st;
    for (size_t side = 0; side < 2 && !st; side++)
        for (const ac_json *f = tree[side]->child; f && v->weights_same; f = f->next) {
            const ac_json *other = member(tree[1 - side], f->key);
            if ((other && ac_view_eq(other->text, f->text)) || only_name_differs(v, f->key.ptr)) continue;
            v->weights_same = false;
            v->weights_what = ac_arena_printf(&v->arena, "%s/" AC_VIEW_FMT, name, AC_VIEW_ARG(f->key));
        }
    ac_str_release(&text[0]);
    ac_str_release(&text[1]);
    return st;
}

/* ---- verdict ---- */

/* The arms that the run was scored with and that can be scored anywhere. */
static char *arms_of(ac_verify *v)
{
    ac_str s = { 0 };
    const ac_json *arms = ac_json_get(v->verdict, "arms");
    for (const ac_json *one = arms ? arms->child : NULL; one; one = one->next) {
        const ac_json *name = ac_json_get(one, "arm");
        ac_arm arm;
        if (name && name->type == AC_JSON_STRING && ac_arm_parse(name->text, &arm))
            ac_str_appendf(&s, "%s" AC_VIEW_FMT, s.len ? "," : "", AC_VIEW_ARG(name->text));
    }
    char *out = ac_str_ok(&s) ? ac_arena_strndup(&v->arena, ac_str_c(&s), s.len) : NULL;
    ac_str_release(&s);
    return out;
}

/* Over the lines of samples.jsonl; an endpoint's answers came from elsewhere and are passed over. */
static ac_status answers_hash(ac_sha256 *out, const char *path, bool *endpoint, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    ac_sha256_state s;
    ac_sha256_init(&s);
    ac_status st = ac_lines_open(&l, path, FILE_MAX_BYTES, err);
    while (!st) {
        const ac_view begin = AC_VIEW("{\"arm\":\"");
        ac_arm arm;
        st = ac_lines_next(l, &line, NULL, err);
        if (st || !line.ptr) break;
        const size_t end = ac_view_find(line, AC_VIEW("\""), begin.len);
        if (ac_view_starts(line, begin) && !ac_arm_parse(ac_view_slice(line, begin.len, end), &arm)) {
            *endpoint = true;
            continue;
        }
        ac_sha256_add(&s, line.ptr, line.len);
        ac_sha256_add(&s, "\n", 1);
    }
    ac_lines_close(&l);
    ac_sha256_done(&s, out);
    return st;
}

static ac_status compare_answers(ac_verify *v, bool *endpoint, ac_err *err)
{
    ac_sha256 h[2];
    const char *dir[2] = { v->run, v->again };
    for (size_t i = 0; i < 2; i++) {
        char *path = NULL;
        ac_status st = ac_run_path(&path, &v->arena, dir[i], "samples.jsonl", err);
        if (!st && i == 0 && !ac_path_exists(path)) return AC_OK;       /* the verdict alone is what there is */
        if (!st) st = answers_hash(&h[i], path, endpoint, err);
        if (st) return st;
    }
    v->answers_same = memcmp(h[0].byte, h[1].byte, sizeof h[0].byte) == 0;
    return AC_OK;
}

static const char *verdict_of(const ac_json *o)
{
    const ac_json *t = ac_json_get(o, "verdict");
    return t && t->type == AC_JSON_STRING ? t->text.ptr : "none";
}

ac_status ac_verify_ab(ac_verify *v, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = FILE_MAX_BYTES };
    args g = { .n = 0 };
    ac_child *child = NULL;
    char *out = NULL, *path = NULL;
    const ac_json *again = NULL;
    bool ended = false, endpoint = false;
    int code = 0;
    ac_status st = begin_args(&g, v, "ab", err);
    if (!st) st = ac_run_path(&out, &v->arena, v->project, "ab.out", err);
    add(&g, "--arms");
    add(&g, arms_of(v));
    if (!st) st = say_command(v, &g, err);
    if (!st) st = ac_child_start(&child, g.argv, out, err);
    while (!st && !ended) {
        st = ac_child_wait(child, 200, &ended, &code, err);
        ac_cost_clock_look(&v->cost);
        if (!st && !ended && stop_asked) st = ac_fail(err, AC_ECANCEL, "stopped; the verdict of run %s was not compared", v->id);
    }
    ac_child_close(&child, GRACE_MS);
    if (!st && code != AC_EXIT_DONE && code != AC_EXIT_NO) st = ended_badly(v, "ab", code, err);
    if (!st) st = ac_run_path(&path, &v->arena, v->again, "verdict.json", err);
    if (!st && !ac_path_exists(path)) st = ended_badly(v, "ab", code, err);
    if (!st) st = ac_json_parse_file(&again, path, &v->arena, &limits, err);
    v->answers_same = true;
    if (!st) st = compare_answers(v, &endpoint, err);
    if (st) return st;
    v->ab_done = true;
    v->verdict_text[0] = verdict_of(v->verdict);
    v->verdict_text[1] = verdict_of(again);
    v->verdict_same = strcmp(v->verdict_text[0], v->verdict_text[1]) == 0;
    /* Holm's correction counts the endpoints' comparisons; the same answers give the same verdict. */
    if (endpoint && v->answers_same) {
        v->verdict_same = true;
        v->verdict_text[1] = v->verdict_text[0];
    }
    return AC_OK;
}
