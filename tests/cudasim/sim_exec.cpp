/* tests/cudasim/sim_exec.cpp - blocks one after another, a block's threads as fibers.
 *
 * A thread runs until it waits for others: lanes of its warp (an exchange) or the block (a barrier). Then the next lane of the
 * warp that can run does, then another warp. One that never waits never gets a stack of its own. Which block, warp and lane is
 * first is drawn for each launch, so that a kernel that lacks a barrier does not give the same bytes twice. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>

#include "sim_int.h"

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

sim_place *sim_self;
uint3 sim_block_at;
dim3 sim_block_size, sim_grid_size;

namespace sim {

enum { WARP = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / WARP, MOST_SHARED = 163 * 1024, MOST_STATIC = 48 * 1024 };
constexpr size_t STACK = 256 << 10, GUARD = 4096;

struct copy16 {
    void *to;
    const void *from;
    bool there;
    unsigned group;
};

struct fiber;
struct thread : sim_place {
    fiber *on;                       /* none yet: it has not begun */
    unsigned groups;                 /* committed */
    bool awaited;                    /* it would have waited for the launch before */
    std::vector<copy16> copies;
};

struct fiber {
    void *sp;                        /* where it stands */
    unsigned char *stack;
    size_t shift;                    /* of its top, so that not all stacks fall on the same lines of a cache */
    fiber *next;                     /* among those that are free */
};

struct warp {
    unsigned ready, waiting, done;   /* lanes: can go on; are in a collective; returned, or never were */
    unsigned mask[WARP];
    lanes_op *op[WARP];
    void *arg[WARP];
};

struct fresh {
    void *at;
    size_t bytes;
    unsigned long block;
};

static struct {
    const sim_launch *launch;
    const std::function<void()> *body;
    int order;
    unsigned threads, warps, current, done, at_barrier;
    unsigned long block;             /* counts blocks of all launches */
    size_t static_bytes;
    thread t[MOST_THREADS];
    warp w[MOST_WARPS];
    fiber host, *free, *on;          /* on: whose stack is in use */
    unsigned char *room;
    std::vector<fresh> shared;
} run;

/* A launch may be named by all that stands in its parentheses. */
static int name_length(const char *name)
{
    int n = 0;
    for (int depth = 0; name[n] && (depth || name[n] != ','); n++) depth += (name[n] == '<') - (name[n] == '>');
    return n;
}

void fail(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fputs("simulated GPU: ", stderr);
    if (run.launch) {
        fprintf(stderr, "%.*s, block %u %u %u, ", name_length(run.launch->name), run.launch->name, sim_block_at.x, sim_block_at.y, sim_block_at.z);
        if (sim_self) fprintf(stderr, "thread %u %u %u, ", threadIdx.x, threadIdx.y, threadIdx.z);
        fprintf(stderr, "order %d: ", run.order);
    }
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

/* ---- fibers --------------------------------------------------------------------------------------------- */

/* Saves what a call must keep, and where, then goes on elsewhere. */
extern "C" void sim_switch(void **from, void *to) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(".text\n.globl sim_switch\n.hidden sim_switch\n.type sim_switch,@function\n"
    "sim_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n.size sim_switch, .-sim_switch\n");
enum { ENTRY = 6, WORDS = 8 };        /* words below a new stack's top; which one is the address to go to */
#elif defined(__aarch64__)
asm(".text\n.globl sim_switch\n.hidden sim_switch\n.type sim_switch,%function\n"
    "sim_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
    "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n  ret\n.size sim_switch, .-sim_switch\n");
enum { ENTRY = 11, WORDS = 22 };
#else
#error "tests/cudasim has no context switch for this processor"
#endif

static void fiber_main();

static void prepare(fiber *f)
{
    void **top = (void **)(void *)(f->stack + STACK - f->shift), **at = top - WORDS;
    for (int i = 0; i < WORDS; i++) at[i] = nullptr;
    at[ENTRY] = (void *)fiber_main;
    f->sp = at;
}

static fiber *fiber_take()
{
    static size_t fibers;
    fiber *f = run.free;
    if (f) {
        run.free = f->next;
    } else {
        f = new fiber();
        void *p = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED || mprotect(p, GUARD, PROT_NONE)) fail("no memory for a thread's stack");
        f->stack = (unsigned char *)p + GUARD;
        f->shift = fibers++ % 61 * 192;
    }
    prepare(f);
    return f;
}

#ifdef SIM_ASAN
static const void *host_stack;
static size_t host_stack_bytes;
#endif

/* Only run.host has no stack of ours. */
static void go_to(fiber *to)
{
    fiber *from = run.on;
    run.on = to;
#ifdef SIM_ASAN
    void *fake = nullptr;
    const void *left;
    size_t left_bytes;
    if (to == &run.host) __sanitizer_start_switch_fiber(&fake, host_stack, host_stack_bytes);
    else __sanitizer_start_switch_fiber(&fake, to->stack, STACK);
    sim_switch(&from->sp, to->sp);
    __sanitizer_finish_switch_fiber(fake, &left, &left_bytes);
#else
    sim_switch(&from->sp, to->sp);
#endif
}

/* ---- who is next ------------------------------------------------------------------------------------------ */

static unsigned next_of(unsigned set, unsigned after, bool down)
{
    if (down) {
        const unsigned below = set & ((1u << after) - 1u);
        return 31u - (unsigned)__builtin_clz(below ? below : set);
    }
    const unsigned above = after == 31 ? 0 : set >> (after + 1) << (after + 1);
    return (unsigned)__builtin_ctz(above ? above : set);
}

/* A thread that can go on, taken out of the ready ones; NULL: the block is done. */
static thread *pick()
{
    unsigned at = run.current / WARP;
    if (!run.w[at].ready) {
        unsigned n = 0;
        for (; n < run.warps && !run.w[at].ready; n++) at = (run.order & WARPS_DOWN ? at + run.warps - 1 : at + 1) % run.warps;
        if (!run.w[at].ready) {
            if (run.done == run.threads) return nullptr;
            fail("all threads that have not returned wait: %u at a barrier, the others in an exchange of lanes", run.at_barrier);
        }
    }
    warp *w = &run.w[at];
    const unsigned lane = next_of(w->ready, run.current % WARP, run.order & LANES_DOWN);
    w->ready &= ~(1u << lane);
    run.current = at * WARP + lane;
    sim_self = &run.t[run.current];
    return &run.t[run.current];
}

static void give_way()
{
    const unsigned own = run.current;
    thread *next = pick();
    if (run.current == own) return;
    if (!next->on) next->on = fiber_take();
    go_to(next->on);
}

/* Runs threads from their start as long as the next one has not begun. */
static void fiber_main()
{
    fiber *own = run.on;
#ifdef SIM_ASAN
    const void *left;
    size_t left_bytes;
    __sanitizer_finish_switch_fiber(nullptr, &left, &left_bytes);
    if (!host_stack) {
        host_stack = left;
        host_stack_bytes = left_bytes;
    }
#endif
    for (;;) {
        thread *t = &run.t[run.current];
        (*run.body)();
        t->copies.clear();
        if (run.launch->early && !t->awaited) fail("returns without having waited for the launch before it");
        if (run.at_barrier) fail("returns while %u threads wait at a barrier", run.at_barrier);
        run.w[run.current / WARP].done |= 1u << run.current % WARP;
        run.done++;
        thread *next = pick();
        if (next && !next->on) {
            next->on = own;
            continue;
        }
        own->next = run.free;        /* nobody takes it before it was left */
        run.free = own;
#ifdef SIM_ASAN
        fiber *to = next ? next->on : &run.host;
        run.on = to;
        if (to == &run.host) __sanitizer_start_switch_fiber(nullptr, host_stack, host_stack_bytes);
        else __sanitizer_start_switch_fiber(nullptr, to->stack, STACK);
        sim_switch(&own->sp, to->sp);
#else
        go_to(next ? next->on : &run.host);
#endif
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

static void run_block(uint3 at)
{
    sim_block_at = at;
    run.block++;
    run.static_bytes = 0;
    run.done = run.at_barrier = 0;
    memset(run.room, 0xff, run.launch->shared);
    for (unsigned i = 0; i < run.threads; i++) {
        thread *t = &run.t[i];
        t->at = { i % sim_block_size.x, i / sim_block_size.x % sim_block_size.y, i / sim_block_size.x / sim_block_size.y };
        t->on = nullptr;
        t->groups = 0;
        t->awaited = false;
    }
    for (unsigned i = 0; i < run.warps; i++) {
        const unsigned n = run.threads - i * WARP;
        run.w[i].ready = n >= WARP ? 0xffffffffu : (1u << n) - 1u;
        run.w[i].done = ~run.w[i].ready;
        run.w[i].waiting = 0;
    }
    /* the one after it is first */
    run.current = (run.order & WARPS_DOWN ? run.warps - 1 : 0) * WARP + (run.order & LANES_DOWN ? 0 : WARP - 1);
#ifdef SIM_ASAN
    host_stack = nullptr;
#endif
    thread *first = pick();
    first->on = fiber_take();
    run.on = &run.host;
    go_to(first->on);
    sim_self = nullptr;
}

static uint3 block_of(unsigned long i)
{
    return { (unsigned)(i % sim_grid_size.x), (unsigned)(i / sim_grid_size.x % sim_grid_size.y),
             (unsigned)(i / sim_grid_size.x / sim_grid_size.y) };
}

static int draw_order()
{
    static uint32_t state = 1;
    const int set = order_set();
    if (set >= 0) return set % ORDERS;
    state = state * 1664525u + 1013904223u;
    return (int)(state >> 24) % ORDERS;
}

void execute(const sim_launch &l, const std::function<void()> &body)
{
    run.launch = &l;
    run.body = &body;
    run.order = draw_order();
    run.threads = l.block.x * l.block.y * l.block.z;
    run.warps = (run.threads + WARP - 1) / WARP;
    sim_block_size = l.block;
    sim_grid_size = l.grid;
    run.shared.clear();
    run.room = nullptr;
    if (posix_memalign((void **)&run.room, 1024, l.shared)) fail("no memory for %zu shared bytes", l.shared);
    const unsigned long n = (unsigned long)l.grid.x * l.grid.y * l.grid.z;
    for (unsigned long i = 0; i < n; i++) run_block(block_of(run.order & BLOCKS_DOWN ? n - 1 - i : i));
    free(run.room);
    run.room = nullptr;
    run.launch = nullptr;
}

/* ---- waiting for each other ------------------------------------------------------------------------------------ */

void together(unsigned mask, lanes_op *op, const char *what, void *arg)
{
    const unsigned lane = run.current % WARP, bit = 1u << lane;
    warp *w = &run.w[run.current / WARP];
    if (!(mask & bit)) fail("%s with a mask (%08x) that its own lane is not in", what, mask);
    if (mask & w->done) fail("%s waits for lanes (%08x) that have returned or never were", what, mask & w->done);
    w->mask[lane] = mask;
    w->op[lane] = op;
    w->arg[lane] = arg;
    if (w->waiting & mask) {         /* one of them stands for all: they have been compared */
        const unsigned other = (unsigned)__builtin_ctz(w->waiting & mask);
        if (w->op[other] != op || w->mask[other] != mask)
            fail("%s (mask %08x) meets lane %u in another exchange (mask %08x)", what, mask, other, w->mask[other]);
    }
    w->waiting |= bit;
    if ((w->waiting & mask) != mask) {
        give_way();
        return;
    }
    op(w->arg, mask);
    w->waiting &= ~mask;
    w->ready |= mask & ~bit;
}

void await_previous()
{
    run.t[run.current].awaited = true;
}

/* ---- cp.async -------------------------------------------------------------------------------------------------- */

static void perform(const copy16 &c)
{
    if (c.there) memcpy(c.to, c.from, 16);
    else memset(c.to, 0, 16);
}

void copy_later(void *to, const void *from, bool there)
{
    thread *t = &run.t[run.current];
    const copy16 c = { to, from, there, t->groups };
    if (run.order & COPIES_EARLY) perform(c);
    else t->copies.push_back(c);
}

void copies_commit()
{
    run.t[run.current].groups++;
}

void copies_wait(unsigned left)
{
    thread *t = &run.t[run.current];
    size_t kept = 0;
    for (const copy16 &c : t->copies)
        if (c.group + left < t->groups) perform(c);
        else t->copies[kept++] = c;
    t->copies.resize(kept);
}

bool in_shared(const void *p, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)p;
    if (run.room && at >= run.room && at + bytes <= run.room + run.launch->shared) return true;
    for (const fresh &f : run.shared) {
        const unsigned char *from = (const unsigned char *)f.at;
        if (at >= from && at + bytes <= from + f.bytes) return true;
    }
    return false;
}

struct exchange {
    uint64_t value, taken;
    unsigned from;
};

static void do_exchange(void *const arg[32], unsigned mask)
{
    for (unsigned left = mask; left; left &= left - 1) {
        exchange *own = (exchange *)arg[__builtin_ctz(left)];
        if (own->from >= WARP || !(mask >> own->from & 1u)) fail("a lane takes from lane %u, which is not in the mask", own->from);
        own->taken = ((const exchange *)arg[own->from])->value;
    }
}

struct vote {
    bool yes;
    unsigned all;
};

static void do_vote(void *const arg[32], unsigned mask)
{
    unsigned all = 0;
    for (unsigned left = mask; left; left &= left - 1)
        if (((const vote *)arg[__builtin_ctz(left)])->yes) all |= left & -left;
    for (unsigned left = mask; left; left &= left - 1) ((vote *)arg[__builtin_ctz(left)])->all = all;
}

}

void sim_barrier()
{
    using namespace sim;
    if (run.done) fail("waits at a barrier that %u threads will not come to: they have returned", run.done);
    if (++run.at_barrier < run.threads) {
        give_way();
        return;
    }
    run.at_barrier = 0;
    for (unsigned i = 0; i < run.warps; i++) run.w[i].ready = ~run.w[i].done;
    run.w[run.current / WARP].ready &= ~(1u << run.current % WARP);
}

void sim_exchange(unsigned mask, unsigned from, uint64_t *value)
{
    sim::exchange e = { *value, 0, from };
    sim::together(mask, sim::do_exchange, "__shfl_sync", &e);
    *value = e.taken;
}

unsigned sim_vote(unsigned mask, bool yes)
{
    sim::vote v = { yes, 0 };
    sim::together(mask, sim::do_vote, "a vote or __syncwarp", &v);
    return v.all;
}

void *sim_dynamic()
{
    return sim::run.room;
}

void sim_fresh(void *at, size_t bytes)
{
    using namespace sim;
    fresh *f = nullptr;
    for (fresh &x : run.shared)
        if (x.at == at) f = &x;
    if (f && f->block == run.block) return;
    if (!f) {
        run.shared.push_back({ at, bytes, 0 });
        f = &run.shared.back();
    }
    f->block = run.block;
    run.static_bytes += bytes;
    if (run.static_bytes > MOST_STATIC) fail("%zu bytes of shared memory that is declared; at most %d", run.static_bytes, MOST_STATIC);
    if (run.static_bytes + run.launch->shared > MOST_SHARED) fail("more than %d bytes of shared memory", MOST_SHARED);
    memset(at, 0xff, bytes);
}
