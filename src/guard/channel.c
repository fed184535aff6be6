#include "guard/channel.h"

#include <string.h>

#include "base/fork.h"
#include "base/str.h"
#include "base/time.h"

#define MARK 0xA7
#define HEAD ((size_t)4)
#define STEPS_MAX ((uint64_t)1 << 62)
#define BYTES_MAX ((uint64_t)1 << 60)

const char *ac_msg_name(ac_msg_kind k)
{
    static const char *const names[AC_MSG_KINDS] = { "", "go", "micro-batch", "recompute", "duty", "pause", "resume", "checkpoint",
                                                     "exit", "hello", "heard", "ack", "step", "saved" };
    return names[k];
}

/* One place says which fields a kind has, for both directions. */
typedef struct {
    unsigned char *out;
    const unsigned char *in;
    size_t at, n;
    bool bad;
} io;

static void number(io *x, uint64_t *v, uint64_t from, uint64_t to)
{
    if (x->bad || x->at + 8 > x->n) {
        x->bad = true;
        return;
    }
    if (x->in) {
        *v = 0;
        for (int i = 7; i >= 0; i--) *v = *v << 8 | x->in[x->at + (size_t)i];
    }
    if (*v < from || *v > to) x->bad = true;
    for (int i = 0; x->out && i < 8; i++) x->out[x->at + (size_t)i] = (unsigned char)(*v >> (8 * i));
    x->at += 8;
}

static void flag(io *x, bool *v)
{
    if (x->bad || x->at + 1 > x->n || (x->in && x->in[x->at] > 1)) {
        x->bad = true;
        return;
    }
    if (x->in) *v = x->in[x->at] == 1;
    else x->out[x->at] = *v;
    x->at++;
}

static void seconds(io *x, double *v)
{
    uint64_t bits;
    memcpy(&bits, v, sizeof bits);
    number(x, &bits, 0, UINT64_MAX);
    memcpy(v, &bits, sizeof bits);
    if (!(*v >= 0 && *v <= 1e12)) x->bad = true;
}

/* A length of 16 bits and the bytes: no control characters, valid UTF-8. */
static void text(io *x, char *v, size_t size)
{
    size_t len = x->in || x->bad ? 0 : strlen(v);
    if (x->bad || x->at + 2 > x->n) {
        x->bad = true;
        return;
    }
    if (x->in) {
        len = (size_t)(x->in[x->at] | x->in[x->at + 1] << 8);
    } else {
        x->out[x->at] = (unsigned char)len;
        x->out[x->at + 1] = (unsigned char)(len >> 8);
    }
    x->at += 2;
    if (len >= size || len > x->n - x->at) {
        x->bad = true;
        return;
    }
    if (x->in) {
        memcpy(v, x->in + x->at, len);
        v[len] = '\0';
    } else {
        memcpy(x->out + x->at, v, len);
    }
    x->at += len;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)v[i] < 0x20 || v[i] == 0x7f) x->bad = true;
    if (!ac_utf8_valid((ac_view){ v, len }, NULL)) x->bad = true;
}

static void hello(io *x, ac_msg *m)
{
    text(x, m->run_dir, sizeof m->run_dir);
    number(x, &m->step, 0, STEPS_MAX);
    number(x, &m->durable, 0, STEPS_MAX);
    number(x, &m->total_steps, 0, STEPS_MAX);
    number(x, &m->budget, 0, BYTES_MAX);
    number(x, &m->planned_peak, 0, BYTES_MAX);
    number(x, &m->call_bytes, 0, BYTES_MAX);
    number(x, &m->least_call_bytes, 0, BYTES_MAX);
    number(x, &m->checkpoint_bytes, 0, BYTES_MAX);
    number(x, &m->micro_start, 1, UINT32_MAX);
    flag(x, &m->recompute);
    flag(x, &m->can_recompute);
    number(x, &m->window_from, 0, 1439);
    number(x, &m->window_to, 0, 1439);
    flag(x, &m->battery);
    flag(x, &m->lid);
    flag(x, &m->polite);
    flag(x, &m->beside);
    number(x, &m->gpu, 0, 1000);
    if (m->call_bytes > m->planned_peak || m->least_call_bytes > m->call_bytes) x->bad = true;
}

static void command(io *x, ac_msg *m)
{
    number(x, &m->id, 1, UINT64_MAX);
    switch (m->kind) {
    case AC_MSG_MICRO: number(x, &m->arg, 1, UINT32_MAX); break;
    case AC_MSG_RECOMPUTE: number(x, &m->arg, 0, 1); break;
    case AC_MSG_DUTY: number(x, &m->arg, 1, 100); break;
    case AC_MSG_EXIT:
        number(x, &m->arg, 75, 80);
        if (m->arg != 75 && m->arg != 76 && m->arg != 80) x->bad = true;
        flag(x, &m->save);
        break;
    default: break;
    }
}

static void fields(io *x, ac_msg *m)
{
    switch (m->kind) {
    case AC_MSG_GO: break;
    case AC_MSG_HELLO: hello(x, m); break;
    case AC_MSG_HEARD: number(x, &m->id, 1, UINT64_MAX); break;
    case AC_MSG_ACK:
        number(x, &m->id, 1, UINT64_MAX);
        number(x, &m->step, 0, STEPS_MAX);
        number(x, &m->durable, 0, STEPS_MAX);
        flag(x, &m->ok);
        text(x, m->text, sizeof m->text);
        break;
    case AC_MSG_STEP:
        number(x, &m->step, 0, STEPS_MAX);
        number(x, &m->durable, 0, STEPS_MAX);
        seconds(x, &m->seconds);
        number(x, &m->tokens, 0, STEPS_MAX);
        number(x, &m->ms, 0, STEPS_MAX);
        break;
    case AC_MSG_SAVED:
        number(x, &m->step, 0, STEPS_MAX);
        number(x, &m->ms, 0, STEPS_MAX);
        number(x, &m->bytes, 0, BYTES_MAX);
        break;
    default: command(x, m); break;
    }
}

size_t ac_msg_write(unsigned char out[AC_MSG_FRAME_MAX], const ac_msg *m)
{
    ac_msg copy = *m;
    io x = { .out = out, .at = HEAD, .n = AC_MSG_FRAME_MAX };
    if (m->kind < AC_MSG_GO || m->kind >= AC_MSG_KINDS) return 0;
    fields(&x, &copy);
    if (x.bad) return 0;
    const size_t len = x.at - HEAD;
    out[0] = MARK;
    out[1] = (unsigned char)m->kind;
    out[2] = (unsigned char)len;
    out[3] = (unsigned char)(len >> 8);
    return x.at;
}

ac_status ac_msg_read(ac_msg *out, size_t *used, const unsigned char *p, size_t n, ac_err *err)
{
    *used = 0;
    if (n && p[0] != MARK) return ac_fail(err, AC_EFORMAT, "guard channel: a frame begins with byte %u, expected %u", p[0], MARK);
    if (n > 1 && (p[1] < AC_MSG_GO || p[1] >= AC_MSG_KINDS))
        return ac_fail(err, AC_EFORMAT, "guard channel: kind %u is unknown", p[1]);
    if (n < HEAD) return AC_OK;
    const size_t len = (size_t)(p[2] | p[3] << 8);
    if (len > AC_MSG_FRAME_MAX - HEAD)
        return ac_fail(err, AC_EFORMAT, "guard channel: a frame of %zu bytes is longer than any can be", len);
    if (n < HEAD + len) return AC_OK;
    ac_msg m = { .kind = (ac_msg_kind)p[1] };
    io x = { .in = p + HEAD, .n = len };
    fields(&x, &m);
    if (x.bad || x.at != len)
        return ac_fail(err, AC_EFORMAT, "guard channel: a %s of %zu bytes has a field that is missing, too many or out of range",
                       ac_msg_name(m.kind), len);
    *out = m;
    *used = HEAD + len;
    return AC_OK;
}

void ac_channel_init(ac_channel *c, int fd)
{
    c->fd = fd;
    c->n_in = 0;
}

bool ac_channel_send(ac_channel *c, const ac_msg *m, int64_t wait_ms)
{
    unsigned char frame[AC_MSG_FRAME_MAX];
    const size_t n = ac_msg_write(frame, m);
    const int64_t until = ac_mono_ns() + wait_ms * 1000000;
    size_t sent = 0;
    if (c->fd < 0 || n == 0) return false;
    while (sent < n) {
        const int64_t put = ac_fd_write(c->fd, frame + sent, n - sent);
        if (put > 0) {
            sent += (size_t)put;
        } else if (put == -2) {
            c->fd = -1;
            return false;
        } else if (sent == 0 && ac_mono_ns() >= until) {
            return false;
        } else if (ac_mono_ns() >= until + 1000000000) {   /* half a frame would spoil what follows */
            c->fd = -1;
            return false;
        } else {
            ac_sleep_ms(1);
        }
    }
    return true;
}

ac_status ac_channel_next(ac_channel *c, ac_msg *m, bool *got, ac_err *err)
{
    *got = false;
    for (;;) {
        size_t used = 0;
        const ac_status st = ac_msg_read(m, &used, c->in, c->n_in, err);
        if (st) {
            c->fd = -1;
            return st;
        }
        if (used) {
            c->n_in -= used;
            memmove(c->in, c->in + used, c->n_in);
            *got = true;
            return AC_OK;
        }
        if (c->fd < 0) return AC_OK;
        const int64_t n = ac_fd_read(c->fd, c->in + c->n_in, sizeof c->in - c->n_in);
        if (n == -1) return AC_OK;
        if (n <= 0) c->fd = -1;
        else c->n_in += (size_t)n;
    }
}
