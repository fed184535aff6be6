/* top: a run while it goes on. The terminal is given back as it was on every way out. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/top.h"
#include "ledger/ledger.h"

#define REFRESH_MS 1000
#define PLAIN_WIDTH 120          /* where stdout is no terminal */

static struct {
    const char *run;
    bool once;
} a = { .run = "latest" };

static const ac_opt options[] = {
    AC_OPT_ARG_OPTIONAL("RUN", &a.run, "its id, the beginning of its id, its path, or \"latest\", which is the default"),
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('1', "once", &a.once, "one frame, and done; so it is where stdout is no terminal"),
    AC_OPT_END
};

/* ---- signals: flags alone, so that the loop gives the terminal back ---- */

static volatile sig_atomic_t end_signal, stop_asked, resized;

static void on_end(int sig)
{
    end_signal = sig;
}

static void on_stop(int sig)
{
    (void)sig;
    stop_asked = 1;
}

static void on_resize(int sig)
{
    (void)sig;
    resized = 1;
}

static const struct {
    int sig;
    void (*fn)(int);
} caught[] = { { SIGINT, on_end }, { SIGTERM, on_end }, { SIGHUP, on_end }, { SIGQUIT, on_end },
               { SIGTSTP, on_stop }, { SIGWINCH, on_resize } };

static void catch_signals(struct sigaction *before)
{
    end_signal = stop_asked = resized = 0;
    for (size_t i = 0; i < AC_COUNTOF(caught); i++) {
        struct sigaction sa = { .sa_handler = caught[i].fn };        /* without SA_RESTART: poll wakes */
        (void)sigemptyset(&sa.sa_mask);
        (void)sigaction(caught[i].sig, &sa, &before[i]);
    }
}

static void leave_signals(const struct sigaction *before)
{
    for (size_t i = 0; i < AC_COUNTOF(caught); i++) (void)sigaction(caught[i].sig, &before[i], NULL);
}

/* ---- the terminal ---- */

typedef struct {
    ac_cli *cli;
    bool keys;                       /* stdin is a terminal, and its settings are kept */
    struct termios before;
} screen;

static void enter(screen *s)
{
    s->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->before) == 0;
    if (s->keys) {
        struct termios t = s->before;
        t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        t.c_cc[VMIN] = 0;
        t.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &t);
    }
    (void)fputs("\x1b[?1049h\x1b[?25l", s->cli->out);                 /* the other screen, without a cursor */
    (void)fflush(s->cli->out);
}

static void leave(screen *s)
{
    (void)fputs("\x1b[?25h\x1b[?1049l", s->cli->out);
    (void)fflush(s->cli->out);
    if (s->keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

/* One that can place its cursor. */
static bool able(const ac_cli *cli)
{
    const char *term = getenv("TERM");
    return cli->out_tty && term && term[0] && strcmp(term, "dumb") != 0;
}

static ac_top_screen measure(const ac_cli *cli)
{
    struct winsize w;
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0;
    return (ac_top_screen){ .width = known && w.ws_col >= 20 ? w.ws_col : 80, .height = known && w.ws_row >= 6 ? w.ws_row : 24,
                            .color = cli->color };
}

/* Line by line over what is there, so that nothing flickers. */
static ac_status draw(screen *s, const ac_top *t, ac_str *frame, ac_err *err)
{
    const ac_top_screen size = measure(s->cli);
    ac_str_reset(frame);
    ac_top_frame(frame, t, &size);
    if (!ac_str_ok(frame)) return ac_fail_nomem(err, frame->len);
    (void)fputs("\x1b[H", s->cli->out);
    size_t rows = 0;
    for (size_t i = 0; i < frame->len && rows + 1 < size.height; rows++) {
        const size_t lf = ac_view_find(ac_str_view(frame), AC_VIEW("\n"), i);
        const size_t end = lf == SIZE_MAX ? frame->len : lf;
        (void)fwrite(frame->ptr + i, 1, end - i, s->cli->out);
        (void)fputs("\x1b[K\r\n", s->cli->out);
        i = end + 1;
    }
    (void)fputs("\x1b[J", s->cli->out);
    if (fflush(s->cli->out) != 0) return ac_fail_errno(err, AC_EIO, errno, "standard output: cannot write");
    return AC_OK;
}

/* Ctrl-Z: the shell gets its terminal, and we get ours back with fg. */
static void stand_still(screen *s)
{
    stop_asked = 0;
    leave(s);
    (void)raise(SIGSTOP);
    enter(s);
}

/* Waits for a key, a signal or the next look; true where the person wants out. */
static bool leaves(const screen *s)
{
    struct pollfd p = { .fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN };
    char key = 0;
    if (poll(&p, 1, REFRESH_MS) > 0 && p.revents) {
        const ssize_t n = read(STDIN_FILENO, &key, 1);
        if (n == 1 && (key == 'q' || key == 'Q' || key == 4)) return true;
        if (n <= 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL))) return true;   /* the terminal is gone */
    }
    return end_signal != 0;
}

static ac_status live(ac_cli *cli, ac_top *t, ac_err *err)
{
    struct sigaction before[AC_COUNTOF(caught)];
    screen s = { .cli = cli };
    ac_str frame = { 0 };
    ac_status st = AC_OK;
    catch_signals(before);
    enter(&s);
    while (!st) {
        st = draw(&s, t, &frame, err);
        if (st || ac_top_ended(t) || leaves(&s)) break;
        if (stop_asked) stand_still(&s);
        st = ac_top_read(t, err);
    }
    leave(&s);
    leave_signals(before);
    ac_str_release(&frame);
    if (end_signal && end_signal != SIGINT) (void)raise((int)end_signal);   /* ends as without us */
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_top t;
    ac_str s = { 0 };
    char *dir = NULL;
    ac_status st = ac_run_find(&dir, &arena, ".", a.run, err);
    if (st) {
        ac_arena_release(&arena);
        return st;
    }
    ac_top_open(&t, dir);
    st = ac_top_read(&t, err);
    if (!st && !cli->json && !a.once && able(cli)) st = live(cli, &t, err);
    /* What stood on the screen last stays readable. */
    const ac_top_screen size = { .width = cli->out_tty ? cli->width : PLAIN_WIDTH, .color = cli->color };
    if (!st && cli->json) ac_top_json(&s, &t);
    else if (!st) ac_top_frame(&s, &t, &size);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_top_close(&t);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_top = {
    .name = "top",
    .group = "Look",
    .summary = "a run while it goes on: level, steps, loss, memory, and what the guard does",
    .text = "Looks at the files of the run alone, once a second, and ends when the run ends; q or Ctrl-C leave it, and the run goes on. "
            "With --json, or where stdout is no terminal, one look.",
    .options = options,
    .run = run,
};
