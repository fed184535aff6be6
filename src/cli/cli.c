/* The front door: streams, common options, dispatch, errors, exit codes. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fault.h"
#include "base/mem.h"
#include "cli/keys.h"
#include "ledger/ledger.h"
#include "formats/json.h"

static struct {
    const char *dir;
    bool json, quiet, version;
    int64_t threads;
    int cpu, device;
} common;

/* In ac_cpu's order. */
static const char *const cpu_names[] = { "auto", "ref", "avx2", "avx512", "neon", NULL };

/* In ac_device_kind's order. */
static const char *const device_names[] = { "auto", "cpu", "cuda", NULL };

static const ac_opt common_options[] = {
    AC_OPT_GROUP("Common options"),
    AC_OPT_PATH('C', "dir", &common.dir, "folder", "work in this folder"),
    AC_OPT_BOOL(0, "json", &common.json, "results, and failures, as JSON on stdout"),
    AC_OPT_INT('t', "threads", &common.threads, 0, 4096, "n",
               "threads to compute with; 0: all that this process may use; no result depends on it"),
    AC_OPT_ENUM(0, "cpu", &common.cpu, cpu_names,
                "instruction set to compute with; no result depends on it"),
    AC_OPT_ENUM(0, "device", &common.device, device_names,
                "what models are computed on; auto: the CPU, or a GPU for a contract with numerics cuda-bf16"),
    AC_OPT_BOOL('q', "quiet", &common.quiet, "no progress and no notes; warnings stay"),
    AC_OPT_END
};

static const ac_opt global_options[] = {
    AC_OPT_BOOL('V', "version", &common.version, "version"),
    AC_OPT_END
};

const ac_opt *ac_cli_common(void)
{
    return common_options;
}

void ac_cli_common_reset(void)
{
    memset(&common, 0, sizeof common);
}

/* ---- output ---- */

void ac_cli_print(ac_cli *cli, ac_view text)
{
    ac_progress_clear(&cli->progress);
    if (text.len) (void)fwrite(text.ptr, 1, text.len, cli->out);   /* checked once, at the end */
}

void ac_cli_printf(ac_cli *cli, const char *fmt, ...)
{
    va_list ap;
    ac_progress_clear(&cli->progress);
    va_start(ap, fmt);
    (void)vfprintf(cli->out, fmt, ap);
    va_end(ap);
}

ac_status ac_cli_result(ac_cli *cli, const ac_str *text, ac_err *err)
{
    if (!ac_str_ok(text)) return ac_fail_nomem(err, text->len);
    ac_cli_print(cli, ac_str_view(text));
    if (text->len == 0 || text->ptr[text->len - 1] != '\n') ac_cli_print(cli, AC_VIEW("\n"));
    return AC_OK;
}

void ac_cli_foreign(ac_str *out, const ac_cli *cli, ac_view text)
{
    if (!cli->out_tty) {
        ac_str_append(out, text);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        const bool c1 = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] >= 0x80
                        && (unsigned char)text.ptr[i + 1] < 0xa0;
        if (c1) i++;
        ac_str_append_char(out, c1 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c);
    }
}

ac_status ac_cli_stdin_line(ac_str *line, size_t max_bytes, bool *end, ac_err *err)
{
    int c;
    ac_str_reset(line);
    line->max_bytes = max_bytes;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n') ac_str_append_char(line, (char)c);
    if (ferror(stdin)) return ac_fail(err, AC_EIO, "standard input: cannot read");
    if (!ac_str_ok(line) && line->len >= max_bytes)
        return ac_fail(err, AC_EFORMAT, "standard input: a line is longer than %zu bytes", max_bytes);
    if (!ac_str_ok(line)) return ac_fail_nomem(err, line->len);
    *end = c == EOF && line->len == 0;
    return AC_OK;
}

void ac_cli_stage(ac_cli *cli, const char *text, const char *unit, uint64_t total)
{
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_STAGE, .text = text, .unit = unit, .total = total },
                  NULL);
}

void ac_cli_stage_at(ac_cli *cli, uint64_t done)
{
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_PROGRESS, .done = done }, NULL);
}

void ac_cli_stage_end(ac_cli *cli)
{
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_STAGE_END }, NULL);
}

void ac_cli_note(ac_cli *cli, const char *text)
{
    (void)ac_emit(&cli->sink, &(ac_event){ .kind = AC_EV_NOTE, .text = text }, NULL);
}

/* ---- start ---- */

/* A file opened later must not land on a standard descriptor that was closed. Standard output stays one that cannot be
 * written: a result that nobody gets is a failure (a command that prints none does not notice). */
static void open_standard_fds(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF
            && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0) _exit(AC_EXIT_IO);
}

/* A mapped file that another program cut short. */
static void on_bus_error(int sig)
{
    static const char text[] =
        "accord: a mapped input file was shortened or failed while it was read; check the file\n";
    (void)sig;
    const ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(n < 0 ? AC_EXIT_IO : AC_EXIT_IO);
}

static size_t columns(int fd)
{
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20 ? w.ws_col : 80;
}

static void start(ac_cli *cli, int argc, char **argv)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    struct sigaction bus = { .sa_handler = on_bus_error };
    open_standard_fds();
    (void)signal(SIGPIPE, SIG_IGN);      /* a reader that left is a write error like any other */
    (void)sigaction(SIGBUS, &bus, NULL);
    const bool able = term && strcmp(term, "dumb") != 0;
    *cli = (ac_cli){ .out = stdout, .err = stderr, .argc = argc, .argv = argv };
    cli->out_tty = isatty(STDOUT_FILENO) == 1;
    cli->err_tty = isatty(STDERR_FILENO) == 1 && able;
    cli->color = cli->out_tty && able && !(no_color && no_color[0]);
    cli->width = cli->out_tty ? columns(STDOUT_FILENO) : 80;
}

/* ---- dispatch ---- */

/* The command that argv[at] and, for two words, argv[at + 1] name; *words tells how many. */
static const ac_cmd *find(int argc, char *const *argv, int at, int *words)
{
    for (size_t i = 0; ac_cmds[i]; i++) {
        const char *name = ac_cmds[i]->name, *space = strchr(name, ' ');
        if (!space && strcmp(argv[at], name) == 0) {
            *words = 1;
            return ac_cmds[i];
        }
        if (space && at + 1 < argc && strncmp(argv[at], name, (size_t)(space - name)) == 0
            && argv[at][space - name] == '\0' && strcmp(argv[at + 1], space + 1) == 0) {
            *words = 2;
            return ac_cmds[i];
        }
    }
    return NULL;
}

static ac_status unknown_command(int argc, char *const *argv, int at, ac_err *err)
{
    const char *names[128];
    size_t n = 0;
    char typed[256], inner[256] = "";
    for (; n < AC_COUNTOF(names) && ac_cmds[n]; n++) {
        const char *name = ac_cmds[n]->name, *space = strchr(name, ' ');
        names[n] = name;
        if (!space || strncmp(argv[at], name, (size_t)(space - name)) != 0
            || argv[at][space - name] != '\0')
            continue;
        const size_t used = strlen(inner);
        (void)snprintf(inner + used, sizeof inner - used, "%s%s", used ? ", " : "", name);
    }
    if (inner[0] && (at + 1 >= argc || argv[at + 1][0] == '-'))
        return ac_fail(err, AC_EARG, "\"%s\" needs a second word: %s", argv[at], inner);
    (void)snprintf(typed, sizeof typed, "%s%s%s", argv[at], inner[0] ? " " : "",
                   inner[0] ? argv[at + 1] : "");
    const char *near = ac_opt_nearest(ac_view_of(typed), names, n);
    if (near)
        return ac_fail(err, AC_EARG, "unknown command \"%s\"; did you mean \"%s\"? See accord --help",
                       typed, near);
    return ac_fail(err, AC_EARG, "unknown command \"%s\"; see accord --help", typed);
}

static ac_status enter(ac_cli *cli, ac_err *err)
{
    cli->json = common.json;
    cli->quiet = common.quiet;
    cli->threads = common.threads;
    cli->cpu = (ac_cpu)common.cpu;
    cli->device = (ac_device_kind)common.device;
    ac_progress_init(&cli->progress, cli->err, cli->err_tty, cli->quiet,
                     cli->err_tty ? columns(STDERR_FILENO) : 80);
    cli->sink = ac_progress_sink(&cli->progress);
    if (common.dir && chdir(common.dir) != 0) {
        const int e = errno;
        return ac_fail_errno(err, e == ENOENT || e == ENOTDIR ? AC_ENOENT : AC_EIO, e, "-C %s", common.dir);
    }
    return AC_OK;
}

/* A tier that this CPU lacks is refused everywhere, also where nothing is computed. */
static ac_status check_cpu(const ac_cli *cli, ac_err *err)
{
    if (cli->cpu == AC_CPU_AUTO || cli->cpu == AC_CPU_REF) return AC_OK;
    ac_kernels k;
    return ac_kernels_init(&k, cli->cpu, err);
}

static ac_status run_command(ac_cli *cli, int first, ac_err *err)
{
    char who[64];
    const ac_opt *const tables[] = { cli->cmd->options, common_options, NULL };
    (void)snprintf(who, sizeof who, "accord %s", cli->cmd->name);
    if (ac_opt_wants_help(tables, cli->argc, cli->argv, first)) {
        ac_str s = { 0 };
        ac_cli_common_reset();           /* help shows defaults, not what stood in front of the command */
        ac_help_command(&s, cli->cmd, cli->width);
        const ac_status st = ac_cli_result(cli, &s, err);
        ac_str_release(&s);
        return st;
    }
    ac_status st = ac_opt_parse(tables, cli->argc, cli->argv, first, NULL, who, err);
    if (!st) st = enter(cli, err);
    if (!st) st = check_cpu(cli, err);
    if (!st) st = cli->cmd->run(cli, err);
    return st;
}

static ac_status print_help(ac_cli *cli, ac_err *err)
{
    ac_str s = { 0 };
    ac_cli_common_reset();
    ac_help_list(&s, cli->width);
    const ac_status st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status dispatch(ac_cli *cli, ac_err *err)
{
    const ac_opt *const tables[] = { common_options, global_options, NULL };
    int at = 0, words = 0;
    if (!ac_fault_arm_from_env())
        return ac_fail(err, AC_EARG, "ACCORD_FAULT: expected alloc:N or io:N with N from 1");
    ac_status st = ac_opt_parse(tables, cli->argc, cli->argv, 1, &at, "accord", err);
    if (st) return st;
    if (at < cli->argc) cli->cmd = find(cli->argc, cli->argv, at, &words);
    if (cli->cmd) return run_command(cli, at + words, err);
    if (at < cli->argc) return unknown_command(cli->argc, cli->argv, at, err);
    if (common.version) {
        ac_cli_printf(cli, "accord %s\n", ACCORD_VERSION);
        return AC_OK;
    }
    if (ac_opt_wants_help(tables, cli->argc, cli->argv, 1)) return print_help(cli, err);
    return ac_fail(err, AC_EARG, "no command; see accord --help");
}

/* ---- end ---- */

static bool asked_for_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0) return true;
    return false;
}

static void report(ac_cli *cli, ac_status st, const ac_err *err)
{
    ac_progress_clear(&cli->progress);
    if (!err->text[0]) return;
    (void)fflush(cli->out);
    (void)fprintf(cli->err, "accord: %s\n", err->text);
    if (cli->answered || !asked_for_json(cli->argc, cli->argv)) return;
    ac_str s = { 0 };
    ac_jw w;
    ac_fault_disarm();                   /* it has done its work; this must still be told */
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    ac_jw_object(&w, "error");
    ac_jw_cstr(&w, "status", ac_status_name(st));
    ac_jw_i64(&w, "exit", cli->exit_as ? cli->exit_as : (int)ac_exit_of(st));
    ac_jw_cstr(&w, "text", err->text);
    ac_jw_end_object(&w);
    ac_jw_end_object(&w);
    if (ac_str_ok(&s)) (void)fprintf(cli->out, "%s\n", ac_str_c(&s));
    ac_str_release(&s);
}

int ac_cli_main(int argc, char **argv)
{
    ac_cli cli;
    ac_err err = { "" };
    start(&cli, argc, argv);
    ac_keys_open_sealed();
    ac_audit_use_key(ac_keys_audit);
    const ac_status st = dispatch(&cli, &err);
    int code = cli.exit_as ? cli.exit_as : (int)ac_exit_of(st);
    if (st && st != AC_ENO && !err.text[0])
        (void)ac_fail(&err, st, "failed without a reason (%s); please report it", ac_status_name(st));
    if (st) report(&cli, st, &err);
    ac_keys_release();
    errno = 0;
    if (fflush(cli.out) != 0 || ferror(cli.out)) {
        (void)fprintf(cli.err, "accord: standard output: cannot write%s%s\n", errno ? ": " : "",
                      errno == EBADF ? "it is closed" : errno ? strerror(errno) : "");
        if (code == AC_EXIT_DONE || code == AC_EXIT_NO) code = AC_EXIT_IO;
    }
    (void)fflush(cli.err);
    return code;
}
