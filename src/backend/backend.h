/* backend/backend.h - the device table: buffers, copies and the operations that a transformer's forward and
 * backward need. The model is written once over it; no CUDA type leaves backend/cuda.
 *
 * D1  Device memory is named by ac_buf handles and ac_ref places in them; only write, read and borrow touch
 *     host memory. Small tables that describe a launch (documents, units, feeds) are host memory and are
 *     read before the call returns.
 * D2  An operation is as large as the fastest device needs it; what is fused inside is the device's business,
 *     the order of roundings is the numerics' (docs/numerics.md).
 * D3  Operations may be queued. A failure sticks to the device: later operations do nothing, and sync returns
 *     it once and clears it. So a caller checks at its own safe points only.
 * D4  supports() says, before anything runs, whether an operation takes weights of a type, and lacks() what else of
 *     a call the device cannot do. A run is refused by name, never computed some slow other way.
 * D5  Activations are kept as the device likes (store_bytes): the caller only says what a place is for (ac_store).
 * D6  Host arrays that outlive many calls may be kept on the device (keep): to borrow one is then to use that copy,
 *     and host memory is what it was until pull.
 * Matrices are row-major; an ac_ref counts elements of its buffer, and a ref with buf NULL means "none".
 * Threads: a device belongs to one thread at a time; the CPU device uses its pool inside. */
#ifndef AC_BACKEND_BACKEND_H
#define AC_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "base/team.h"
#include "kernels/kernels.h"

typedef struct ac_device ac_device;
typedef struct ac_buf ac_buf;

/* threads 0: as many as the process may use. */
ac_status ac_device_open_cpu(ac_device **out, ac_cpu tier, size_t threads, ac_err *err);
void      ac_device_close(ac_device **d);
const char *ac_device_name(const ac_device *d);      /* "cpu avx512, 2 threads" */

/* ---- operands ------------------------------------------------------------------------------------ */

typedef struct {
    ac_buf *buf;
    size_t at;                 /* in the buffer's elements; a borrowed buffer's have 4 bytes */
} ac_ref;

typedef struct {               /* n elements from a place on */
    ac_ref at;
    size_t n;
} ac_span;

/* What a buffer is for, and so what its elements are: numbers of 4 bytes, floats or integers; the residual stream; any
 * other activation, or its gradient. Those two are floats of the width that the device computes with. */
typedef enum { AC_STORE_F32, AC_STORE_STREAM, AC_STORE_ACT, AC_STORE_COUNT } ac_store;

typedef struct {               /* weights as stored: rows of cols elements */
    ac_buf *buf;
    ac_dtype type;
    size_t rows, cols, row_bytes;
    void *ahead;               /* the device's own layout for decoding, beside buf (prepare); NULL: none */
} ac_matrix;

typedef enum { AC_BORROW_READ = 1, AC_BORROW_WRITE = 2, AC_BORROW_BOTH = 3 } ac_borrow;

typedef enum { AC_OP_EMBED, AC_OP_LINEAR, AC_OP_LINEAR_GRAD, AC_OP_OUTPUT, AC_OP_LOSS_GRAD,
               AC_OP_WEIGHT_GRAD } ac_op;

typedef struct {               /* rows [first, first + n) of a batch are one document */
    size_t first, n;
} ac_doc_rows;

typedef struct {               /* ... or one unit of the step's plan (B6) */
    size_t first, n;
    uint64_t index;
} ac_unit_rows;

typedef struct {               /* n new rows of a KV slot, which holds pos rows already */
    size_t first, n, slot, pos;
} ac_feed_rows;

/* Dropout of an adapter's input: element (row, column) is kept when the word of AC_RNG_DROPOUT at
 *   step  = step + unit.index * 2^32,  index = module * 2^44 + (row in unit) * 2^20 + column
 * is at least threshold. */
typedef struct {
    uint64_t seed, step;
    uint32_t threshold;        /* 0: no dropout */
    float inv_keep;
} ac_drop;

typedef struct {               /* y = x W^T + scale * (x' A^T) B^T, x' = dropout(x) */
    size_t rank;
    float scale;
    ac_ref a, b;               /* rank x in, out x rank */
    ac_ref h;                  /* rows x rank: (x' A^T) * scale; linear writes it, linear_grad reads it */
    ac_drop drop;
    uint64_t module;           /* keys the dropout */
    /* DoRA, where given: y = f * (W x + scale * (x' A^T) B^T) + bias, f = magnitude / norm, of each output; with
     * dropout f multiplies x' and W x - W x' is added. out0: rows x out, the product with f, which linear writes
     * (it may be y when there is no dropout; none without gradients) and linear_grad reads. */
    ac_ref magnitude, norm, out0;
} ac_lora;

/* norm[j] = length of row j of W + scale * B A (rank 0: of W alone), 1 where that is 0. */
typedef struct {
    ac_ref norm, a, b;
    const ac_matrix *w;
    size_t rank;
    float scale;
} ac_dora_norm_args;

/* ---- operations ---------------------------------------------------------------------------------- */

typedef struct {               /* y[i] = expanded row id[i]; ids were checked */
    ac_ref y, ids;
    size_t rows;
    const ac_matrix *table;
} ac_embed_args;

/* sum = x + add where add is given (sum may be x); y = rmsnorm(sum) * w, where y is given. */
typedef struct {
    ac_ref y, sum, x, add, w;
    size_t rows, cols;
    float eps;
} ac_norm_args;

/* dx (+)= gradient of rmsnorm at x; dx may be dy. */
typedef struct {
    ac_ref dx, dy, x, w;
    size_t rows, cols;
    float eps;
    bool accumulate;
} ac_norm_grad_args;

typedef struct {
    ac_ref y, x, bias;         /* bias: out floats, or none. y none, with lora only: h alone is computed */
    size_t rows;
    const ac_matrix *w;        /* out x in */
    const ac_lora *lora;       /* NULL: none */
    const ac_unit_rows *units; /* read with dropout only */
    size_t n_units;
    ac_ref scratch;
} ac_linear_args;

/* Adapter gradient, unit by unit in order: da += dh^T x', db += dy^T h, with dh = (dy B) * scale.
 * Input gradient, where dx is given: dx (+)= dy W, then dx += dropout(dh A). dx may not be dy.
 * x none (where the device has adapter_grad): da is left to that, which finds dh in scratch. */
typedef struct {
    ac_ref dx, dy, x;
    bool accumulate;
    size_t rows;
    const ac_matrix *w;
    const ac_lora *lora;       /* NULL: none */
    ac_ref da, db, dm;         /* read and added to; given with lora, dm with a magnitude: dm += sum of dy * out0 over
                                  the unit's tokens, divided by the magnitude */
    const ac_unit_rows *units;
    size_t n_units;
    ac_ref scratch;
} ac_linear_grad_args;

/* Rotary embedding of q and k in place; pos: rows of uint32; tables: rows of head_dim/2 floats. */
typedef struct {
    ac_ref q, k, pos, cos_table, sin_table;
    size_t rows, n_heads, n_kv_heads, head_dim;
    bool inverse;
} ac_rotary_args;

/* Causal attention inside each document; rows of q and out are n_heads * head_dim floats, rows of k and v
 * n_kv_heads * head_dim. lse: n_heads x rows, or none. */
typedef struct {
    ac_ref q, k, v, out, lse;
    size_t rows, n_heads, n_kv_heads, head_dim, window;
    float scale;
    const ac_doc_rows *docs;
    size_t n_docs;
} ac_attention_args;

typedef struct {
    ac_attention_args fwd;     /* out and lse as forward left them */
    ac_ref dout, dq, dk, dv;   /* the last three are overwritten */
    ac_ref scratch;
} ac_attention_grad_args;

/* Appends the new rows of k and v to the slots' caches, then attends over them. A slot's cache is slot_rows
 * rows of n_kv_heads * head_dim floats; slots lie one after another from k_cache and v_cache. rotary: done first, of the same q
 * and k, which are undefined afterwards; or NULL. */
typedef struct {
    ac_ref q, k, v, out, k_cache, v_cache;
    size_t slot_rows, n_heads, n_kv_heads, head_dim, window;
    float scale;
    const ac_feed_rows *feeds;
    size_t n_feeds;
    const ac_rotary_args *rotary;
} ac_attention_kv_args;

/* A pass of operations that comes again: what it follows from, but for what write puts into its buffers and for the slots and
 * positions of its feeds. Bytes that are not used are 0. */
typedef struct {
    const void *who[4];
    size_t n[4];
    ac_ref params;             /* an adapter's that takes part, or none */
    const ac_feed_rows *feeds;
    size_t n_feeds;
} ac_recurring;

/* y = silu(g) * u, n floats. */
typedef struct {
    ac_ref y, g, u;
    size_t n;
} ac_gated_args;
typedef struct {               /* dg may be g or dy, du may be u */
    ac_ref dg, du, dy, g, u;
    ac_ref y;                  /* silu(g) * u once more, or none; given only where the device has adapter_grad */
    size_t n;
} ac_gated_grad_args;

/* Output layer over chosen rows of the residual stream: final norm, then logits[n_rows x vocab]. */
typedef struct {
    ac_ref x, rows, norm_w, logits;   /* rows: n_rows uint32 */
    size_t n_rows;
    float eps;
    const ac_matrix *w;        /* vocab x hidden */
    ac_ref scratch;
} ac_output_args;

/* The same fused with the loss, in chunks of rows: nll[i] for target[i]; with dx, the rows of dx named in
 * `rows` (no row twice) are set to the gradient of grad_scale * sum(nll) at x; other rows are left alone. */
typedef struct {
    ac_ref x, rows, target, norm_w, nll, dx;
    size_t n_rows;
    float eps, grad_scale;
    const ac_matrix *w;
    ac_ref scratch;
} ac_loss_args;

/* ---- gradients of the weights themselves; each is added to what is there, units in order (B6) -------- */

typedef struct {               /* dw += dy^T x, dbias += the sum of dy's rows; dbias: none without a bias */
    ac_ref dw, dbias, dy, x;
    size_t in, out;
    const ac_unit_rows *units;
    size_t n_units;
    ac_ref scratch;
} ac_weight_grad_args;

typedef struct {               /* dw += sum of (x * r) * dy over the unit's rows, rows_per_token for each token */
    ac_ref dw, dy, x;
    size_t cols, rows_per_token;
    float eps;
    const ac_unit_rows *units;
    size_t n_units;
    ac_ref scratch;
} ac_norm_weight_grad_args;

typedef struct {               /* row id[i] of dw += row i of dy, i ascending */
    ac_ref dw, dy, ids;
    size_t rows, cols;
} ac_embed_grad_args;

/* loss with dx, and the gradients of its norm and of its matrix; unit_rows[u] of the n_rows belong to unit u and
 * are taken in runs (M.15). */
typedef struct {
    const ac_loss_args *loss;
    ac_ref dw, dnorm_w;
    const size_t *unit_rows;
    size_t n_units;
} ac_output_grad_args;

/* ---- optimizers (kernels.h has the formulas) ---- */

typedef enum { AC_RULE_ADAMW, AC_RULE_SGD, AC_RULE_LION, AC_RULE_NESTEROV } ac_rule;
typedef enum { AC_STATE_F32, AC_STATE_BF16, AC_STATE_INT8 } ac_state_type;   /* how moments are stored */
enum { AC_STATE_BLOCK = 256 };   /* values that share a scale, counted from a part's first */

typedef struct {               /* n values of a moment, from the at-th of data */
    ac_buf *data;              /* NULL: none */
    size_t at;
    ac_ref scale;              /* INT8: one float a block */
} ac_moment;

/* One step of a rule over n elements. Stored state is expanded, stepped and stored again, element i drawing word
 * draw.index + i (draw.stream for m, draw.stream + 1 for v). NESTEROV leaves the update in g and lets p be. */
typedef struct {
    ac_rule rule;
    ac_state_type state;
    ac_ref p, g;
    ac_moment m, v;
    size_t n;
    ac_draw draw;
    float grad_scale, keep, b1, one_minus_b1, b2, one_minus_b2, step, inv_sqrt_bc2, eps;
} ac_optim_args;

/* x becomes its Newton-Schulz orthogonalisation (it is changed), then p = p * keep - step * x. */
typedef struct {
    ac_ref p, x;
    size_t rows, cols;
    float keep, step;
    ac_ref scratch;            /* ac_muon_scratch floats */
} ac_muon_args;

/* Adafactor over one tensor; g is changed. Factored with row and col, else v holds rows * cols values. */
typedef struct {
    ac_ref p, g, row, col, v;
    size_t rows, cols;
    float grad_scale, keep, b2, one_minus_b2;
    double rho;                /* min(lr, 1 / sqrt(t)) */
    ac_ref scratch;            /* cols floats when factored */
} ac_adafactor_args;

/* What a caller is about to do, for scratch_floats: the largest of each over all calls. */
typedef struct {
    size_t rows, longest_doc, output_rows;
    size_t hidden, ffn, widest_in, vocab, n_heads, n_kv_heads, head_dim, rank;
    bool grad, dropout, dora, weights;   /* weights: their gradients are wanted too */
    bool decode;
} ac_shape;

enum { AC_LINEARS_MAX = 4 };

typedef struct {               /* bytes of a device with memory of its own; all 0: it computes in the host's */
    uint64_t free;             /* that may still be taken */
    uint64_t context;          /* taken when it was opened: driver, libraries, their workspace */
    uint64_t held, peak;       /* taken since; and the most that this and the context were at once */
} ac_device_memory;

/* Devices of a kind, one a process, that add up without their hosts (ranks and partners as in base/team.h). */
enum { AC_PEERS_ID = 128 };
typedef struct {
    ac_status (*can)(ac_device *d, ac_err *err);          /* AC_ENOENT: what it takes is not there */
    ac_status (*id)(ac_device *d, unsigned char id[AC_PEERS_ID], ac_err *err);        /* of a new group; made by rank 0 */
    ac_status (*open)(ac_device *d, const unsigned char id[AC_PEERS_ID], size_t rank, size_t n, ac_err *err);   /* with all others */
    /* to += what the partner has there, in both at once; complete on return. idle is asked while it waits; its failure, as any
     * other, is the end of the group. */
    ac_status (*add)(ac_device *d, size_t partner, ac_ref to, size_t n, const ac_idle *idle, ac_err *err);
    /* Accepts what is not open. in_order: all others close too, and nobody waits for anything but that. */
    void (*close)(ac_device *d, bool in_order);
} ac_peers_ops;

typedef struct {
    /* Memory. borrow gives a buffer over host memory: a CPU works in place; another device copies in at once
     * (READ) and out at close (WRITE). The host memory must outlive the buffer. close accepts NULL. */
    ac_status (*buf_open)(ac_device *d, ac_buf **out, size_t n, ac_store store, ac_err *err);
    size_t (*store_bytes)(const ac_device *d, ac_store store);            /* of an element */
    ac_status (*buf_borrow)(ac_device *d, ac_buf **out, void *host, size_t bytes, ac_borrow mode, ac_err *err);
    void (*buf_close)(ac_device *d, ac_buf **b);
    /* D6. keep copies in; let_go forgets, accepts what is not kept, and must come before the memory is freed. On a
     * CPU all four do nothing. */
    ac_status (*keep)(ac_device *d, void *host, size_t bytes, ac_err *err);
    void (*pull)(ac_device *d, void *host);                               /* complete on return */
    void (*push)(ac_device *d, void *host);
    void (*let_go)(ac_device *d, void *host);
    /* n elements, 4 bytes each in host memory: activations are converted. */
    void (*write)(ac_device *d, ac_ref to, const void *from, size_t n);
    void (*read)(ac_device *d, void *to, ac_ref from, size_t n);          /* complete on return */
    void (*copy)(ac_device *d, ac_ref to, ac_ref from, size_t n);         /* no overlap; same element */
    void (*zero)(ac_device *d, ac_ref to, size_t n);
    void (*add)(ac_device *d, ac_ref to, ac_ref from, size_t n);          /* to += from: n floats, one rounding each */
    ac_status (*sync)(ac_device *d, ac_err *err);                         /* D3 */
    bool (*supports)(const ac_device *d, ac_op op, ac_dtype type);        /* D4 */
    /* D4: "heads of 10 values", or NULL where a call of this shape can be computed. */
    const char *(*lacks)(const ac_device *d, const ac_shape *s);
    bool (*has_rule)(const ac_device *d, ac_rule rule, ac_state_type state);   /* optim's; muon and adafactor go with SGD */
    /* How the products of linear, output and loss, and of their gradients, are computed from here on; false: not
     * on this device. A device starts with AC_NUM_FP32. */
    bool (*set_numerics)(ac_device *d, ac_numerics n);
    size_t (*scratch_floats)(const ac_device *d, const ac_shape *s);      /* size of every .scratch */
    ac_device_memory (*memory)(const ac_device *d);
    size_t (*own_bytes)(const ac_device *d);      /* what operations will have taken beside buffers and context */
    void (*take_own)(ac_device *d);               /* takes all of that now; NULL: it is taken already */

    /* Lays w out once more for products of few rows, where the device has such a layout for its type (it sets
     * w->ahead; else it leaves NULL); changes no bit of any result. prepared_bytes: what that takes. */
    ac_status (*prepare)(ac_device *d, ac_matrix *w, ac_err *err);
    void (*unprepare)(ac_device *d, ac_matrix *w);
    size_t (*prepared_bytes)(const ac_device *d, const ac_matrix *w);

    void (*embed)(ac_device *d, const ac_embed_args *a);
    void (*norm)(ac_device *d, const ac_norm_args *a);
    void (*norm_grad)(ac_device *d, const ac_norm_grad_args *a);
    void (*linear)(ac_device *d, const ac_linear_args *a);
    /* linear for each of n (at most AC_LINEARS_MAX) whose outputs are apart; a device may do them together. */
    void (*linears)(ac_device *d, const ac_linear_args *a, size_t n);
    /* linears of gate and up, then gated of what they gave: their y are its g and u. */
    void (*gated_linears)(ac_device *d, const ac_linear_args a[2], const ac_gated_args *g);
    void (*linear_grad)(ac_device *d, const ac_linear_grad_args *a);
    /* linear_grad for each of n (at most AC_LINEARS_MAX) that share x, rows, units, scratch and dx, which the later ones
     * accumulate into; a device may do them together. */
    void (*linear_grads)(ac_device *d, const ac_linear_grad_args *a, size_t n);
    /* linear_grad of a layer whose x is the gated unit's output, then gated_grad of what it gave (g->dy is a->dx, which a device
     * may leave unwritten). */
    void (*gated_linear_grad)(ac_device *d, const ac_linear_grad_args *a, const ac_gated_grad_args *g);
    /* The da that a linear_grad without x left: the same arguments with x, and no other use of scratch in between. NULL:
     * this device wants x at once. */
    void (*adapter_grad)(ac_device *d, const ac_linear_grad_args *a);
    void (*dora_norm)(ac_device *d, const ac_dora_norm_args *a);
    void (*rotary)(ac_device *d, const ac_rotary_args *a);
    void (*attention)(ac_device *d, const ac_attention_args *a);
    void (*attention_grad)(ac_device *d, const ac_attention_grad_args *a);
    void (*attention_kv)(ac_device *d, const ac_attention_kv_args *a);
    void (*gated)(ac_device *d, const ac_gated_args *a);
    void (*gated_grad)(ac_device *d, const ac_gated_grad_args *a);
    void (*output)(ac_device *d, const ac_output_args *a);
    void (*loss)(ac_device *d, const ac_loss_args *a);
    void (*weight_grad)(ac_device *d, const ac_weight_grad_args *a);
    void (*norm_weight_grad)(ac_device *d, const ac_norm_weight_grad_args *a);
    void (*embed_grad)(ac_device *d, const ac_embed_grad_args *a);
    void (*output_grad)(ac_device *d, const ac_output_grad_args *a);
    /* Gradient norm: out[i] = sum of squares of part[i], in binary64; complete on return. */
    void (*sum_squares)(ac_device *d, const ac_span *part, size_t n, double *out);
    bool (*all_finite)(ac_device *d, const ac_matrix *w);                 /* of expanded weights */
    void (*optim)(ac_device *d, const ac_optim_args *a);
    void (*muon)(ac_device *d, const ac_muon_args *a);
    void (*adafactor)(ac_device *d, const ac_adafactor_args *a);

    /* Greedy choice: out[i] = the place of the largest of row i of the logits, the first among equals; -1 where one of them is not
     * finite. cols: a multiple of 8. NULL: the host chooses. */
    void (*largest)(ac_device *d, ac_ref out, ac_ref logits, size_t rows, size_t cols);
    /* Operations between the two may be recorded, and run again at once. begin, true: they do; the caller goes on behind end. Else it
     * gives them, then calls end; false from that: nothing has run, again from begin. In between no operation waits, writes or reads.
     * Both NULL: not on this device. */
    bool (*pass_begin)(ac_device *d, const ac_recurring *r);
    bool (*pass_end)(ac_device *d);

    const ac_peers_ops *peers;                            /* NULL: data of several devices meets in the hosts */
    void (*close)(ac_device **d);
} ac_device_ops;

struct ac_device {             /* a device's own state follows in its file */
    const ac_device_ops *op;
    const char *name;
    size_t call_tokens;        /* more at once make nothing faster */
    bool keeps_norms;          /* reading a norm's output again costs less than computing it */
    size_t feed_rows;          /* decoding, 0: a row's bits are the same however rows are joined. Else they are where a feed of
                                  one token is joined with such alone, at most this many, and a longer one with none */
};

static inline size_t ac_muon_scratch(size_t rows, size_t cols)
{
    const size_t least = rows < cols ? rows : cols;
    return rows * cols + 2 * least * least;
}

/* ref + n elements. */
static inline ac_ref ac_ref_at(ac_ref r, size_t n)
{
    return (ac_ref){ r.buf, r.at + n };
}

#endif
