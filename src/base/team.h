/* base/team.h - this process and copies of it that work as one, and the sockets between them.
 *
 * M1  ac_team_fork is called before this process has threads. Rank 0, the leader, is the process that called; ranks 1 to
 *     n - 1 are its children. n is a power of two.
 * M2  Ranks whose numbers differ in one bit exchange data; the leader and each worker say words to each other besides.
 * M3  Nobody outlives the leader: its sockets close, and where the system can (Linux) its workers are killed besides.
 *     The leader waits for all of them in close, and kills one that does not end in time or is stopped.
 * M4  Signals that ask a process to end are the leader's affair: workers ignore them.
 * M5  A worker that ends makes the next call that needs it fail with AC_EIO and a text that says which one, and why.
 * M6  A worker that does not answer is waited for as long as it lives: it may compute, or a person may have stopped it. The
 *     leader says so (ac_team_on_silence), and names the one that is stopped rather than those that wait for it.
 * ac_transport is all that work needs of a team, so that another kind of wire can be put in its place.
 * Threads: one. */
#ifndef AC_BASE_TEAM_H
#define AC_BASE_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define AC_TEAM_MAX 64

/* Called every now and then by somebody who waits; a failure ends the wait with it. */
typedef struct {
    ac_status (*fn)(void *ctx, ac_err *err);
    void *ctx;
} ac_idle;

typedef struct {
    size_t rank, n;
    void *ctx;
    /* Sends `bytes` and receives as many. partner: rank with one bit changed. send and recv may not overlap. idle may be NULL. */
    ac_status (*exchange)(void *ctx, size_t partner, const void *send, void *recv, size_t bytes, const ac_idle *idle, ac_err *err);
    /* A word of the leader to a worker, or of a worker to rank 0; and the next one from there, of that length. */
    ac_status (*tell)(void *ctx, size_t to, const void *data, size_t bytes, ac_err *err);
    ac_status (*hear)(void *ctx, size_t from, void *data, size_t bytes, const ac_idle *idle, ac_err *err);
    /* hear would not wait: there is a word, or there will never be one again. */
    bool (*has_word)(void *ctx, size_t from);
    /* Nobody whom this process is joined to has gone. */
    bool (*whole)(void *ctx);
} ac_transport;

typedef struct ac_team ac_team;

/* Returns in each of the n processes. Failure: in the leader alone, and nobody is left. */
ac_status    ac_team_fork(ac_team **out, size_t n, ac_err *err);
size_t       ac_team_rank(const ac_team *t);
ac_transport ac_team_transport(ac_team *t);
/* The leader: fn is called with a sentence when a worker has been stopped for after_ms, or has not answered for six times that,
 * then whenever the time has grown fourfold, and once it answers again. */
typedef void ac_team_say(void *ctx, const char *text);
void         ac_team_on_silence(ac_team *t, int64_t after_ms, ac_team_say *fn, void *ctx);
/* A worker cannot go on: the leader will say this. */
void         ac_team_give_up(ac_team *t, ac_status st, const char *text);
/* The leader: why the team broke (M5), or NULL while it did not. */
const char  *ac_team_broken(const ac_team *t);
/* Seconds that the workers that still run have computed; the others' are among those of children that ended. */
double       ac_team_cpu_seconds(const ac_team *t);
/* Accepts NULL, leaves NULL. */
void         ac_team_close(ac_team **t, int64_t grace_ms);

#endif
