#include "cli/progress.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/human.h"

#define REDRAW_NS ((int64_t)100000000)
#define LINE_NS   ((int64_t)10000000000)
#define BAR_MAX   30

void ac_progress_init(ac_progress *p, FILE *to, bool tty, bool quiet, size_t width)
{
    *p = (ac_progress){ .to = to, .tty = tty, .quiet = quiet, .width = width, .now_ns = ac_mono_ns,
                        .loss = -1.0 };
}

void ac_progress_clear(ac_progress *p)
{
    if (!p->bar_drawn) return;
    (void)fputs("\r\x1b[K", p->to);
    p->bar_drawn = false;
}

/* What came from a file or a model must not steer the terminal. */
static void put_safe(FILE *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        const bool c1 = *c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        if (c1) c++;
        (void)fputc(c1 || (*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f ? '?' : *c, to);
    }
}

static void line(ac_progress *p, const char *before, const char *text)
{
    ac_progress_clear(p);
    (void)fputs(before, p->to);
    put_safe(p->to, text);
    (void)fputc('\n', p->to);
    (void)fflush(p->to);
}

/* "45%  1,234/3,000 tokens  123 tokens/s  loss 1.234  0:12 left" */
static void figures(const ac_progress *p, char *out, size_t size, int64_t now)
{
    char count[32], of[32], left[32];
    const double seconds = (double)(now - p->started_ns) * 1e-9;
    const double rate = seconds > 0 ? (double)p->done / seconds : 0;
    size_t n = 0;
    out[0] = '\0';
    ac_human_count(count, p->done);
    ac_human_count(of, p->total);
    int w = p->total
        ? snprintf(out, size, "%3.0f%%  %s/%s %s", 100.0 * (double)p->done / (double)p->total, count, of,
                   p->unit)
        : snprintf(out, size, "%s %s", count, p->unit);
    if (w > 0) n = (size_t)w;
    if (n < size && rate > 0) {
        w = snprintf(out + n, size - n, rate < 10 ? "  %.2f/s" : "  %.0f/s", rate);
        if (w > 0) n += (size_t)w;
    }
    if (n < size && p->loss >= 0) {
        w = snprintf(out + n, size - n, "  loss %.4f", p->loss);
        if (w > 0) n += (size_t)w;
    }
    if (n < size && rate > 0 && p->total > p->done) {
        ac_human_time(left, (double)(p->total - p->done) / rate);
        (void)snprintf(out + n, size - n, "  %s left", left);
    }
}

static void draw_bar(ac_progress *p, int64_t now)
{
    char text[192], bar[BAR_MAX + 1];
    figures(p, text, sizeof text, now);
    const size_t fixed = strlen(p->stage) + strlen(text) + 6;
    size_t cells = p->total == 0 || p->width < fixed + 8 ? 0 : p->width - fixed;
    if (cells > BAR_MAX) cells = BAR_MAX;
    const size_t full = p->total && cells
        ? (size_t)((double)cells * ((double)p->done / (double)p->total)) : 0;
    for (size_t i = 0; i < cells; i++) bar[i] = i < full ? '#' : '-';
    bar[cells] = '\0';
    (void)fputs("\r\x1b[K", p->to);
    put_safe(p->to, p->stage);
    if (cells) (void)fprintf(p->to, " [%s]", bar);
    /* A line longer than the terminal would wrap and could not be taken back. */
    const size_t used = strlen(p->stage) + (cells ? cells + 3 : 0) + 1;
    const size_t room = p->width > used + 1 ? p->width - used - 1 : 0;
    (void)fprintf(p->to, " %.*s", (int)room, text);
    (void)fflush(p->to);
    p->bar_drawn = true;
}

static void show(ac_progress *p, bool must)
{
    if (p->quiet || !p->in_stage) return;
    const int64_t now = p->now_ns();
    if (!must && now - p->shown_ns < (p->tty ? REDRAW_NS : LINE_NS)) return;
    p->shown_ns = now;
    if (p->tty) {
        draw_bar(p, now);
        return;
    }
    char text[192];
    figures(p, text, sizeof text, now);
    put_safe(p->to, p->stage);
    (void)fprintf(p->to, ": %s\n", text);
    (void)fflush(p->to);
}

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from ? from : "");
}

static void stage_begin(ac_progress *p, const ac_event *e)
{
    ac_progress_clear(p);
    copy(p->stage, sizeof p->stage, e->text);
    copy(p->unit, sizeof p->unit, e->unit);
    p->done = 0;
    p->total = e->total;
    p->loss = -1.0;
    p->started_ns = p->shown_ns = p->now_ns();
    p->in_stage = true;
    if (p->tty) show(p, true);
}

/* A stage that ends well has done all of its units, whether or not the last ones were told. */
static void stage_end(ac_progress *p, const ac_event *e)
{
    if (!p->in_stage) return;
    if (e->done) p->done = e->done;
    else if (p->total) p->done = p->total;
    ac_progress_clear(p);
    p->in_stage = false;
    if (p->quiet) return;
    char took[32], count[32];
    const double seconds = (double)(p->now_ns() - p->started_ns) * 1e-9;
    ac_human_time(took, seconds);
    put_safe(p->to, p->stage);
    (void)fputs(": done", p->to);
    if (p->done) {
        ac_human_count(count, p->done);
        const int whole = (int)strlen(p->unit), letters = p->done == 1 && whole && p->unit[whole - 1] == 's' ? whole - 1 : whole;
        (void)fprintf(p->to, ", %s %.*s", count, letters, p->unit);
    }
    (void)fprintf(p->to, " in %s\n", took);
    (void)fflush(p->to);
}

static void progress(ac_progress *p, const ac_event *e)
{
    p->done = e->done;
    if (e->total) p->total = e->total;
    if (e->unit) copy(p->unit, sizeof p->unit, e->unit);
    show(p, false);
}

static void evaluated(ac_progress *p, const ac_event *e)
{
    char text[128];
    if (p->quiet) return;
    (void)snprintf(text, sizeof text, "step %llu: validation loss %.4f%s", (unsigned long long)e->step,
                   e->loss, e->flag ? " (best so far)" : "");
    line(p, "", text);
}

static ac_status emit(void *ctx, const ac_event *e, ac_err *err)
{
    ac_progress *p = ctx;
    (void)err;
    switch (e->kind) {
    case AC_EV_STAGE: stage_begin(p, e); break;
    case AC_EV_PROGRESS: progress(p, e); break;
    case AC_EV_STAGE_END: stage_end(p, e); break;
    case AC_EV_NOTE:
        if (!p->quiet) line(p, "", e->text ? e->text : "");
        break;
    case AC_EV_WARN: line(p, "warning: ", e->text ? e->text : ""); break;
    case AC_EV_STEP:
        p->loss = e->loss;
        if (e->total) {
            p->done = e->done;
            p->total = e->total;
        }
        show(p, false);
        break;
    case AC_EV_EVAL: evaluated(p, e); break;
    case AC_EV_CHECKPOINT: break;           /* routine; where it went stands in the run folder */
    case AC_EV_SAMPLE:
        if (!p->quiet) line(p, "sample: ", e->text ? e->text : "");
        break;
    }
    return AC_OK;
}

ac_sink ac_progress_sink(ac_progress *p)
{
    return (ac_sink){ emit, p };
}
