/* The guard's policy over faked machines: each script of tests/guard sets files, a GPU, a child and a clock; what the guard then
 * does is compared with the timeline that stands below its script. Between them they reach every rule, change of level and act.
 * ACCORD_GOLDEN=write puts the timelines down anew.
 *
 *   term KEY VALUE      before the first run: window 22:00-07:00, battery yes, lid yes, polite no, beside yes, recompute no, micro 8
 *   file PATH TEXT      a file of the machine ("\n" and "\0" as in C); gone PATH; touch PATH SECONDS-AGO
 *   ramp PATH RATE KEY  a line "KEY value" whose value grows by RATE a second
 *   load PERCENT        of the processors, taken by others
 *   gpu KEY VALUE       of the NVML stub: reasons, xid, ecc, status, memory-of-others
 *   set SIGNAL VALUE    in place of what is read (what only macOS has); VALUE "-": not any more
 *   disk N, wear N      so many checkpoints fit; so many percent of a day's allowance are written
 *   ratio X             last steps over the first
 *   child WHAT          obeys (at once; ends a second after it was told to), hears (answers, and goes on), silent
 *   clock HH:MM         local time, which then goes on
 *   run SECONDS [MS]    look every MS (1000), or as often as the policy asks for (MS 0)
 *   sleep SECONDS       without a look */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "guard/signals.h"
#include "stub/nvml_stub.h"

#define UTC_NS ((int64_t)1700000000 * 1000000000)
#define RAMPS_MAX 8

typedef struct {
    char root[64];
    ac_guard_terms terms;
    ac_guard_state state;
    ac_guard_sample in;
    ac_signals signals;
    ac_signals_from from;
    int64_t now_ms, begin_ms, clock_ms, minute_at_clock;
    bool begun, ends, silent, hears;
    int64_t end_ms;                      /* when the child will have ended; -1: it was not told to */
    double busy, idle_ticks, load;
    struct { char path[128], key[32]; double value, rate; } ramp[RAMPS_MAX];
    size_t n_ramps;
    ac_reading set[AC_SIG_N_READ];
    bool is_set[AC_SIG_N_READ];
    ac_str out;
} machine;

static machine m;
static bool saw_on[AC_GUARD_RULES_MAX], saw_off[AC_GUARD_RULES_MAX], saw_act[AC_ACT_N], saw_change[4][4];
static nvml_stub_state *stub, stub_as_built;

static const char *full(const char *path)
{
    static char buf[400];
    (void)snprintf(buf, sizeof buf, "%s%s", m.root, path);
    return buf;
}

/* Plainly: no fsync, a script writes thousands of them. */
static void put(const char *path, const char *text, size_t len)
{
    char dir[400];
    int fd = open(full(path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(full(path), '/') - full(path)), full(path));
        assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
        fd = open(full(path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    assert_true(fd >= 0);
    assert_true(write(fd, text, len) == (ssize_t)len);
    (void)close(fd);
}

static size_t unescape(char *out, size_t room, ac_view text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n + 1 < room; i++) {
        if (text.ptr[i] == '\\' && i + 1 < text.len) {
            i++;
            out[n++] = text.ptr[i] == 'n' ? '\n' : text.ptr[i] == '0' ? '\0' : text.ptr[i];
        } else {
            out[n++] = text.ptr[i];
        }
    }
    out[n] = '\0';
    return n;
}

/* The first word; *rest is what follows. */
static ac_view word(ac_view *rest)
{
    const ac_view all = ac_view_trim(*rest);
    const size_t blank = ac_view_find(all, AC_VIEW(" "), 0);
    *rest = blank == SIZE_MAX ? (ac_view){ "", 0 } : ac_view_trim(ac_view_slice(all, blank, all.len));
    return ac_view_slice(all, 0, blank);
}

static double number(ac_view v)
{
    double d = 0;
    int64_t i = 0;
    if (v.len > 2 && v.ptr[0] == '0' && v.ptr[1] == 'x') return (double)strtoull(v.ptr, NULL, 16);
    if (ac_parse_i64(v, &i)) return (double)i;
    if (!ac_parse_f64(v, &d)) fail_msg("not a number: " AC_VIEW_FMT, AC_VIEW_ARG(v));
    return d;
}

static ac_signal signal_named(ac_view name)
{
    for (int i = 0; i < AC_SIG_N_READ; i++)
        if (ac_view_eq_str(name, ac_signal_about((ac_signal)i)->name)) return (ac_signal)i;
    fail_msg("no signal " AC_VIEW_FMT, AC_VIEW_ARG(name));
    return AC_SIG_N;
}

/* ---- the machine ---- */

static void term(ac_view key, ac_view value)
{
    const bool yes = ac_view_eq_str(value, "yes");
    if (ac_view_eq_str(key, "window"))
        assert_int_equal(ac_guard_window_parse(&m.terms.window_from, &m.terms.window_to, value, NULL), AC_OK);
    else if (ac_view_eq_str(key, "battery")) m.terms.battery_ok = yes;
    else if (ac_view_eq_str(key, "lid")) m.terms.lid_ok = yes;
    else if (ac_view_eq_str(key, "polite")) m.terms.polite = yes;
    else if (ac_view_eq_str(key, "beside")) m.terms.beside_ok = yes;
    else if (ac_view_eq_str(key, "recompute")) m.terms.can_recompute = yes;
    else if (ac_view_eq_str(key, "micro")) m.terms.micro_start = (int64_t)number(value);
    else fail_msg("no term " AC_VIEW_FMT, AC_VIEW_ARG(key));
}

static void gpu(ac_view key, double v)
{
    if (!stub) return;
    if (ac_view_eq_str(key, "reasons")) stub->gpu[0].reasons = (unsigned long long)v;
    else if (ac_view_eq_str(key, "ecc")) stub->gpu[0].uncorrected = (unsigned long long)v;
    else if (ac_view_eq_str(key, "status")) stub->gpu[0].status = (int)v;
    else if (ac_view_eq_str(key, "xid")) stub->gpu[0].xid[stub->gpu[0].n_xids++] = (unsigned long long)v;
    else if (ac_view_eq_str(key, "memory-of-others")) {
        stub->gpu[0].n_processes = v > 0;
        stub->gpu[0].process[0].pid = 90;
        stub->gpu[0].process[0].used = (unsigned long long)v;
    } else fail_msg("no gpu " AC_VIEW_FMT, AC_VIEW_ARG(key));
    if (!m.from.gpus) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/nvml_stub_whole.so", ACCORD_NVML_STUBS);
        assert_int_equal(ac_nvml_open(&m.from.gpus, path, NULL), AC_OK);
    }
}

static void disk(double checkpoints)
{
    double left, all;
    assert_true(ac_fs_room(m.root, &left, &all));
    m.from.checkpoint_bytes = (int64_t)(left / checkpoints);
}

static void wear(double percent)
{
    char text[64];
    double left, all;
    assert_true(ac_fs_room(m.root, &left, &all));
    (void)snprintf(text, sizeof text, "write_bytes: %.0f\n", 1e6 + percent / 100 * 0.33 * all);
    put("/proc/77/io", text, strlen(text));
}

/* Counters and clocks as they are at now_ms. */
static void turn(double seconds)
{
    char text[128];
    for (size_t i = 0; i < m.n_ramps; i++) {
        m.ramp[i].value += m.ramp[i].rate * seconds;
        const int n = snprintf(text, sizeof text, "%s%.0f\n", m.ramp[i].key, m.ramp[i].value);
        put(m.ramp[i].path, text, (size_t)n);
    }
    if (m.load >= 0) {
        m.busy += seconds * m.load;
        m.idle_ticks += seconds * (100 - m.load);
        const int n = snprintf(text, sizeof text, "cpu  %.0f 0 0 %.0f 0 0 0 0 0 0\n", m.busy, m.idle_ticks);
        put("/proc/stat", text, (size_t)n);
    }
}

static void say(const char *fmt, ...) AC_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
    const int64_t at = (m.now_ms - m.begin_ms) / 100;
    ac_str_appendf(&m.out, "%5lld.%lld  ", (long long)(at / 10), (long long)(at % 10));
    va_list ap;
    va_start(ap, fmt);
    ac_str_vappendf(&m.out, fmt, ap);
    va_end(ap);
    ac_str_append_c(&m.out, "\n");
}

static void obey(const ac_guard_acts *acts)
{
    for (size_t i = 0; i < acts->n; i++) {
        const ac_guard_act *a = &acts->act[i];
        if (a->kind == AC_ACT_KILL) m.end_ms = m.now_ms + 100;
        if (a->kind > AC_ACT_DROP_EXIT || m.silent) continue;
        m.in.answered = a->id;
        if (!m.hears && (a->kind == AC_ACT_CHECKPOINT_EXIT || a->kind == AC_ACT_DROP_EXIT)) m.end_ms = m.now_ms + 1000;
    }
}

static void look(int64_t *next_ms)
{
    ac_guard_acts acts;
    char was_on[AC_GUARD_RULES_MAX] = { 0 };
    const ac_guard_level level = m.state.level;
    for (size_t i = 0; i < ac_guard_n_rules; i++) was_on[i] = m.state.latch[i].on;
    assert_int_equal(ac_signals_read(&m.signals, &m.from, m.now_ms, &m.in, NULL), AC_OK);
    for (int i = 0; i < AC_SIG_N_READ; i++)
        if (m.is_set[i]) m.in.read[i] = m.set[i];
    m.in.minute = m.clock_ms < 0 ? -1 : (int32_t)((m.minute_at_clock + (m.now_ms - m.clock_ms) / 60000) % 1440);
    if (m.in.child_runs && m.end_ms >= 0 && m.now_ms >= m.end_ms) {
        m.in.child_runs = false;
        say("the trainer has ended");
    }
    m.state = ac_guard_step(m.state, &m.terms, &m.in, &acts);
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        saw_on[i] |= !was_on[i] && m.state.latch[i].on;
        saw_off[i] |= was_on[i] && !m.state.latch[i].on;
    }
    if (acts.changed) {
        saw_change[level][m.state.level] = true;
        say("%s -> %s", ac_guard_level_name(level), ac_guard_level_name(m.state.level));
    }
    for (size_t i = 0; i < acts.n; i++) {
        const ac_guard_act *a = &acts.act[i];
        saw_act[a->kind] = true;
        const ac_guard_rule *r = a->rule >= 0 ? &ac_guard_rules[a->rule] : NULL;
        const bool names = a->kind == AC_ACT_NAME;
        say("%s %lld%s%s%s%s%s%s", ac_guard_act_name(a->kind), (long long)a->arg, r ? ": " : "", r ? ac_signal_about(r->signal)->name : "",
            r ? " " : "", r ? ac_guard_level_name(r->level) : "", names ? ", " : "", names ? m.in.beside : "");
    }
    obey(&acts);
    *next_ms = acts.next_ms;
}

static void run(int64_t seconds, int64_t every_ms)
{
    if (!m.begun) {
        m.state = ac_guard_begin(&m.terms);
        m.begun = true;
    }
    const int64_t end = m.now_ms + seconds * 1000;
    while (m.now_ms < end) {
        int64_t next = 0;
        look(&next);
        const int64_t step = every_ms ? every_ms : next;
        m.now_ms += step;
        turn((double)step / 1000);
    }
}

static void command(ac_view line)
{
    char text[2048], path[120];
    ac_view rest = line;
    const ac_view what = word(&rest);
    if (ac_view_eq_str(what, "term")) {
        const ac_view key = word(&rest);
        term(key, rest);
    } else if (ac_view_eq_str(what, "file")) {
        const ac_view named = word(&rest);
        (void)snprintf(path, sizeof path, AC_VIEW_FMT, AC_VIEW_ARG(named));
        put(path, text, unescape(text, sizeof text, rest));
    } else if (ac_view_eq_str(what, "gone")) {
        (void)snprintf(path, sizeof path, AC_VIEW_FMT, AC_VIEW_ARG(rest));
        assert_int_equal(ac_remove_tree(full(path), NULL), AC_OK);
    } else if (ac_view_eq_str(what, "touch")) {
        const ac_view named = word(&rest);
        (void)snprintf(path, sizeof path, AC_VIEW_FMT, AC_VIEW_ARG(named));
        put(path, "", 0);
        const struct timespec at[2] = { { .tv_sec = (time_t)(1700000000 - (int64_t)number(rest)) }, { .tv_sec = 1 } };
        assert_int_equal(utimensat(AT_FDCWD, full(path), at, 0), 0);
    } else if (ac_view_eq_str(what, "ramp")) {
        size_t i = 0;
        const ac_view named = word(&rest);
        (void)snprintf(path, sizeof path, AC_VIEW_FMT, AC_VIEW_ARG(named));
        while (i < m.n_ramps && strcmp(m.ramp[i].path, path) != 0) i++;
        assert_true(i < RAMPS_MAX);
        if (i == m.n_ramps) m.ramp[m.n_ramps++].value = 1000;
        (void)snprintf(m.ramp[i].path, sizeof m.ramp[i].path, "%s", path);
        m.ramp[i].rate = number(word(&rest));
        (void)snprintf(m.ramp[i].key, sizeof m.ramp[i].key, AC_VIEW_FMT "%s", AC_VIEW_ARG(rest), rest.len ? " " : "");
        turn(0);
    } else if (ac_view_eq_str(what, "load")) {
        m.load = number(rest);
        put("/proc/77/stat", "77 (a) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5\n", 52);
        turn(0);
    } else if (ac_view_eq_str(what, "gpu")) {
        const ac_view key = word(&rest);
        gpu(key, number(rest));
    } else if (ac_view_eq_str(what, "set")) {
        const ac_signal s = signal_named(word(&rest));
        m.is_set[s] = !ac_view_eq_str(rest, "-");
        if (m.is_set[s]) m.set[s] = (ac_reading){ .measured = true, .value = number(rest) };
    } else if (ac_view_eq_str(what, "disk")) {
        disk(number(rest));
    } else if (ac_view_eq_str(what, "wear")) {
        wear(number(rest));
    } else if (ac_view_eq_str(what, "ratio")) {
        m.from.step_ratio = number(rest);
    } else if (ac_view_eq_str(what, "child")) {
        m.silent = ac_view_eq_str(rest, "silent");
        m.hears = ac_view_eq_str(rest, "hears");
        assert_true(m.silent || m.hears || ac_view_eq_str(rest, "obeys"));
    } else if (ac_view_eq_str(what, "clock")) {
        m.minute_at_clock = (int64_t)(60 * number(ac_view_slice(rest, 0, 2)) + number(ac_view_slice(rest, 3, 5)));
        m.clock_ms = m.now_ms;
    } else if (ac_view_eq_str(what, "sleep")) {
        m.now_ms += (int64_t)number(rest) * 1000;
    } else if (ac_view_eq_str(what, "run")) {
        const int64_t seconds = (int64_t)number(word(&rest));
        run(seconds, rest.len ? (int64_t)number(rest) : 1000);
    } else {
        fail_msg("no command: " AC_VIEW_FMT, AC_VIEW_ARG(line));
    }
}

static void machine_new(void)
{
    memset(&m, 0, sizeof m);
    (void)snprintf(m.root, sizeof m.root, "%s/accord_line.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(m.root));
    m.terms = ac_guard_terms_default(8);
    m.now_ms = m.begin_ms = 1000000;
    m.end_ms = m.clock_ms = -1;
    m.load = -1;
    m.in.child_runs = true;
    m.from = (ac_signals_from){ .root = m.root, .pid = 77, .budget_bytes = 1000 * 1024, .checkpoint_dir = m.root, .gpu = -1, .utc_ns = UTC_NS };
    if (stub) *stub = stub_as_built;
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n", 39);
}

static void machine_drop(void)
{
    ac_nvml_close(&m.from.gpus);
    assert_int_equal(ac_remove_tree(m.root, NULL), AC_OK);
    ac_str_release(&m.out);
}

/* ---- scripts ---- */

static bool one_script(const char *path)
{
    static const char mark[] = "\n---\n";
    ac_str all = { 0 };
    assert_int_equal(ac_file_read(&all, path, 1 << 20, NULL), AC_OK);
    const size_t at = ac_view_find(ac_str_view(&all), ac_view_of(mark), 0);
    const size_t end = at == SIZE_MAX ? all.len : at + 1;
    machine_new();
    ac_view rest = ac_view_slice(ac_str_view(&all), 0, end);
    while (rest.len) {
        const size_t lf = ac_view_find(rest, AC_VIEW("\n"), 0);
        const ac_view line = ac_view_trim(ac_view_slice(rest, 0, lf));
        rest = lf == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, lf + 1, rest.len);
        if (line.len && line.ptr[0] != '#') command(line);
    }
    assert_true(m.begun && ac_str_ok(&m.out));
    bool same = at != SIZE_MAX && ac_view_eq(ac_view_slice(ac_str_view(&all), at + strlen(mark), all.len), ac_str_view(&m.out));
    const char *golden = getenv("ACCORD_GOLDEN");
    if (!same && golden && strcmp(golden, "write") == 0) {
        ac_str new = { 0 };
        ac_str_append(&new, ac_view_slice(ac_str_view(&all), 0, end));
        ac_str_appendf(&new, "---\n%s", ac_str_c(&m.out));
        assert_true(ac_str_ok(&new));
        assert_int_equal(ac_file_write_atomic(path, new.ptr, new.len, NULL), AC_OK);
        ac_str_release(&new);
        same = true;
    }
    if (!same) print_error("%s: another timeline (ACCORD_GOLDEN=write puts it down):\n%s", path, ac_str_c(&m.out));
    machine_drop();
    ac_str_release(&all);
    return same;
}

static void scripts(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    char **names;
    size_t n, failed = 0;
    assert_int_equal(ac_dir_list(ACCORD_SOURCE_DIR "/tests/guard", &a, &names, &n, NULL), AC_OK);
    assert_true(n >= 10);
    for (size_t i = 0; i < n; i++) {
        const char *path = ac_path_join(&a, ACCORD_SOURCE_DIR "/tests/guard", names[i]);
        assert_non_null(path);
        if (!stub && strncmp(names[i], "gpu", 3) == 0) continue;      /* a static program opens no libraries */
        if (!one_script(path)) failed++;
    }
    ac_arena_release(&a);
    assert_int_equal(failed, 0);
}

/* Nothing in the table that no script reaches. */
static void everything_was_seen(void **state)
{
    (void)state;
    size_t missing = 0;
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        const ac_guard_rule *r = &ac_guard_rules[i];
        const bool of_gpu = r->signal == AC_SIG_GPU_WARM || r->signal == AC_SIG_GPU_SLOWED || r->signal == AC_SIG_GPU_ERRORS;
        if (!stub && of_gpu) continue;
        if (!saw_on[i] || !saw_off[i]) {
            print_error("rule %zu (%s %s) never goes %s\n", i, ac_signal_about(r->signal)->name, ac_guard_level_name(r->level),
                        saw_on[i] ? "off" : "on");
            missing++;
        }
    }
    for (int k = 0; k < AC_ACT_N; k++)
        if (!saw_act[k]) {
            print_error("%s never happens\n", ac_guard_act_name((ac_guard_act_kind)k));
            missing++;
        }
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++) {
            if (from == to || (to < from && to != from - 1) || saw_change[from][to]) continue;      /* better: one level at a time */
            print_error("%s -> %s never happens\n", ac_guard_level_name((ac_guard_level)from), ac_guard_level_name((ac_guard_level)to));
            missing++;
        }
    assert_int_equal(missing, 0);
}

int main(void)
{
    if (ACCORD_NVML_STUBS[0]) {
        void *lib = dlopen(ACCORD_NVML_STUBS "/nvml_stub_whole.so", RTLD_NOW | RTLD_LOCAL);
        stub = lib ? dlsym(lib, "nvml_stub") : NULL;
        if (!stub) return 1;
        stub_as_built = *stub;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(scripts), cmocka_unit_test(everything_was_seen) };
    return cmocka_run_group_tests_name("guard timelines", tests, NULL, NULL);
}
