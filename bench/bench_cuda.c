/* bench_cuda - training speed on a GPU: LoRA steps over random rows of a model of a real shape with random weights.
 *
 * usage: bench_cuda SHAPE ROWS LENGTH [STEPS [recompute | within GIB] [TYPE [ahead]] [json]]    SHAPE: 135m, 0.5b, 1.5b or 8b
 * within GIB: rows at once and recompute as `accord train` chooses them for so much memory of the GPU; else all rows at once.
 * TYPE: Q4_0, Q4_K, ..., of the matrices of a GGUF, expanded ahead or not; else a folder of bfloat16.
 * A step is what `accord train` computes: gradient of all rows, its norm, AdamW; rank 16 on all seven linears, every token
 * but a row's first supervised. Prints the first step, the median of the others and their spread, and memory; then, from
 * further steps that wait after each operation, where the time goes (their sum is more than a step: nothing overlaps).
 * bench_cuda SHAPE ROWS LENGTH STEPS decode [json]: no training; ROWS prompts of LENGTH tokens, then STEPS tokens of each, greedily, as
 * `accord ab` generates them (logits come to the host); bandwidth is that of a copy on the device.
 * json: the figures alone, on one line. The model's folder (16 GB for 8b) is made in /dev/shm where it has room, else in /tmp,
 * and removed; under ACCORD_BENCH_DIR it is left as SHAPE and taken again by the next call. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backend/cuda.h"
#include "base/file.h"
#include "bench_gguf.h"
#include "base/rng.h"
#include "base/time.h"
#include "formats/tensors.h"
#include "generate/generate.h"
#include "train/train_int.h"

typedef struct {
    const char *name, *family;
    size_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab;
    bool tied;
} shape;

static const shape shapes[] = {
    { "135m", "Llama", 30, 576, 1536, 9, 3, 64, 49152, true },
    { "0.5b", "Qwen2", 24, 896, 4864, 14, 2, 64, 151936, true },
    { "1.5b", "Qwen2", 28, 1536, 8960, 12, 2, 128, 151936, true },
    { "8b", "Llama", 32, 4096, 14336, 32, 8, 128, 128256, false },
};

enum { STEPS_MAX = 100, PROFILED = 3 };

static void stop(const char *what, const ac_err *err)
{
    fprintf(stderr, "bench_cuda: %s: %s\n", what, err ? err->text : "out of memory");
    exit(1);
}

/* ---- a folder of random weights --------------------------------------------------------------------------------- */

enum { PERIOD = 1048573 };       /* a prime: rows of a weight are not each other's repetition */

typedef struct {
    ac_tensor_out t[512];
    char name[512][96];
    size_t n, bytes;
    uint16_t *noise, *one;       /* what all tensors' data lies in, each from a place of its own */
} folder;

/* The largest tensor's worth of numbers within 0.035, a million of them over and over: inventing 8 billion takes half a minute. */
static void make_noise(folder *f, size_t largest, size_t widest)
{
    uint64_t state = 42;
    f->noise = malloc((largest + PERIOD) * sizeof *f->noise);
    f->one = malloc(widest * sizeof *f->one);
    if (!f->noise || !f->one) stop("random weights", NULL);
    for (size_t i = 0; i < PERIOD; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const float x = (float)((int32_t)(state >> 40) - (1 << 23)) * (0.035f / (1 << 23));
        uint32_t u;
        memcpy(&u, &x, sizeof u);
        f->noise[i] = (uint16_t)(u >> 16);
    }
    for (size_t at = PERIOD; at < largest + PERIOD;) {
        const size_t left = largest + PERIOD - at, n = left < at ? left : at;
        memcpy(f->noise + at, f->noise, n * sizeof *f->noise);   /* at is a multiple of PERIOD */
        at += n;
    }
    for (size_t i = 0; i < widest; i++) f->one[i] = 0x3f80;
}

static void add(folder *f, const char *name, size_t rows, size_t cols)
{
    const bool norm = !rows && strstr(name, "norm");
    snprintf(f->name[f->n], sizeof f->name[0], "%s", name);
    f->t[f->n] = (ac_tensor_out){ .name = f->name[f->n], .type = AC_BF16, .n_dims = rows ? 2 : 1,
                                  .data = norm ? f->one : f->noise + (f->n * 104729) % PERIOD };
    f->t[f->n].dim[0] = rows ? rows : cols;
    f->t[f->n].dim[1] = rows ? cols : 0;
    f->bytes += (rows ? rows : 1) * cols * sizeof *f->noise;
    f->n++;
}

static void write_config(const shape *s, const char *path)
{
    ac_str c = { 0 };
    ac_err err = { 0 };
    const bool qwen = strcmp(s->family, "Qwen2") == 0;
    ac_str_appendf(&c, "{\"architectures\": [\"%sForCausalLM\"], \"model_type\": \"%s\", \"hidden_act\": \"silu\",\n", s->family,
                   qwen ? "qwen2" : "llama");
    ac_str_appendf(&c, "\"num_hidden_layers\": %zu, \"hidden_size\": %zu, \"intermediate_size\": %zu,\n", s->layers, s->hidden, s->ffn);
    ac_str_appendf(&c, "\"num_attention_heads\": %zu, \"num_key_value_heads\": %zu, \"head_dim\": %zu,\n", s->heads, s->kv_heads,
                   s->head_dim);
    ac_str_appendf(&c, "\"vocab_size\": %zu, \"max_position_embeddings\": 8192, \"rms_norm_eps\": 1e-5,\n", s->vocab);
    ac_str_appendf(&c, "\"rope_theta\": 100000.0, \"tie_word_embeddings\": %s}\n", s->tied ? "true" : "false");
    if (ac_file_write_atomic(path, c.ptr, c.len, &err)) stop(path, &err);
    ac_str_release(&c);
}

static bool has_room(const char *dir, size_t bytes)
{
    struct statvfs v;
    return statvfs(dir, &v) == 0 && (double)v.f_bavail * (double)v.f_frsize > 1.1 * (double)bytes;
}

/* A folder for the model's file; under ACCORD_BENCH_DIR it has a name and stays. true: it is to be removed. */
static bool make_dir(char dir[256], size_t bytes, const char *name)
{
    ac_err err = { 0 };
    const char *where = getenv("ACCORD_BENCH_DIR");
    const int n = where ? snprintf(dir, 256, "%s/%s", where, name)
                        : snprintf(dir, 256, "%s/accord_bench.XXXXXX", has_room("/dev/shm", bytes) ? "/dev/shm" : "/tmp");
    if (n >= 256) stop("ACCORD_BENCH_DIR: too long", NULL);
    if (where ? ac_mkdir_p(dir, &err) != AC_OK : !mkdtemp(dir)) stop(dir, where ? &err : NULL);
    return !where;
}

/* Makes the model's folder and gives its path; true: it is to be removed. */
static bool write_folder(const shape *s, char dir[256])
{
    static folder f;
    char path[512], name[96];
    ac_err err = { 0 };
    const size_t qw = s->heads * s->head_dim, kw = s->kv_heads * s->head_dim;
    const struct { const char *name; size_t rows, cols; } linear[] = {
        { "self_attn.q_proj", qw, s->hidden }, { "self_attn.k_proj", kw, s->hidden }, { "self_attn.v_proj", kw, s->hidden },
        { "self_attn.o_proj", s->hidden, qw }, { "mlp.gate_proj", s->ffn, s->hidden }, { "mlp.up_proj", s->ffn, s->hidden },
        { "mlp.down_proj", s->hidden, s->ffn } };
    make_noise(&f, s->hidden * (s->vocab > s->ffn ? s->vocab : s->ffn), s->hidden);
    add(&f, "model.embed_tokens.weight", s->vocab, s->hidden);
    for (size_t i = 0; i < s->layers; i++) {
        for (size_t t = 0; t < 7; t++) {
            snprintf(name, sizeof name, "model.layers.%zu.%s.weight", i, linear[t].name);
            add(&f, name, linear[t].rows, linear[t].cols);
            snprintf(name, sizeof name, "model.layers.%zu.%s.bias", i, linear[t].name);
            if (t < 3 && strcmp(s->family, "Qwen2") == 0) add(&f, name, 0, linear[t].rows);
        }
        snprintf(name, sizeof name, "model.layers.%zu.input_layernorm.weight", i);
        add(&f, name, 0, s->hidden);
        snprintf(name, sizeof name, "model.layers.%zu.post_attention_layernorm.weight", i);
        add(&f, name, 0, s->hidden);
    }
    add(&f, "model.norm.weight", 0, s->hidden);
    if (!s->tied) add(&f, "lm_head.weight", s->vocab, s->hidden);
    const bool passing = make_dir(dir, f.bytes, s->name);
    snprintf(path, sizeof path, "%s/config.json", dir);
    write_config(s, path);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if ((passing || !ac_path_exists(path)) && ac_safetensors_write(path, f.t, f.n, NULL, 0, &err)) {
        (void)ac_remove_tree(dir, NULL);
        stop(path, &err);
    }
    free(f.noise);
    free(f.one);
    return passing;
}

/* A GGUF of stored weights; the model is that file. */
static bool write_stored(const shape *s, ac_dtype type, char path[512], char dir[256])
{
    const bool qwen = strcmp(s->family, "Qwen2") == 0;
    const size_t layer = s->hidden * (2 * (s->heads + s->kv_heads) * s->head_dim + 3 * s->ffn);
    const gguf_shape g = { qwen ? "qwen2" : "llama", s->layers, s->hidden, s->ffn, s->heads, s->kv_heads, s->head_dim, s->vocab,
                           s->tied, qwen, type };
    const size_t bytes = (s->layers * layer + 2 * s->vocab * s->hidden) / ac_dtype_block_elems(type) * ac_dtype_block_bytes(type);
    char name[64];
    snprintf(name, sizeof name, "%s-%s", s->name, ac_dtype_name(type));
    const bool passing = make_dir(dir, bytes, name);
    snprintf(path, 512, "%s/model.gguf", dir);
    if ((!passing && ac_path_exists(path)) || bench_gguf_write(&g, path)) return passing;
    (void)ac_remove_tree(dir, NULL);
    exit(1);
}

/* ---- where the time goes ------------------------------------------------------------------------------------------ */

static const ac_device_ops *sound;
static struct { const char *name; double seconds; size_t calls; } spent[20];

static void charge(ac_device *d, const char *name, int64_t start)
{
    ac_err err = { 0 };
    if (sound->sync(d, &err)) stop(name, &err);
    size_t i = 0;
    while (spent[i].name && strcmp(spent[i].name, name) != 0) i++;
    spent[i].name = name;
    spent[i].seconds += (double)(ac_mono_ns() - start) / 1e9;
    spent[i].calls++;
}

#define TIMED(op, type)                                            \
    static void timed_##op(ac_device *d, const type *a)            \
    {                                                              \
        const int64_t start = ac_mono_ns();                        \
        sound->op(d, a);                                           \
        charge(d, #op, start);                                     \
    }
TIMED(embed, ac_embed_args)
TIMED(norm, ac_norm_args)
TIMED(norm_grad, ac_norm_grad_args)
TIMED(rotary, ac_rotary_args)
TIMED(attention, ac_attention_args)
TIMED(attention_grad, ac_attention_grad_args)
TIMED(gated, ac_gated_args)
TIMED(gated_grad, ac_gated_grad_args)
TIMED(adapter_grad, ac_linear_grad_args)
TIMED(loss, ac_loss_args)
TIMED(optim, ac_optim_args)

static void timed_linears(ac_device *d, const ac_linear_args *a, size_t n)
{
    const int64_t start = ac_mono_ns();
    sound->linears(d, a, n);
    charge(d, "linears", start);
}

static void timed_gated_linears(ac_device *d, const ac_linear_args a[2], const ac_gated_args *g)
{
    const int64_t start = ac_mono_ns();
    sound->gated_linears(d, a, g);
    charge(d, "gated_linears", start);
}

static void timed_linear_grads(ac_device *d, const ac_linear_grad_args *a, size_t n)
{
    const int64_t start = ac_mono_ns();
    sound->linear_grads(d, a, n);
    charge(d, "linear_grads", start);
}

static void timed_gated_linear_grad(ac_device *d, const ac_linear_grad_args *a, const ac_gated_grad_args *g)
{
    const int64_t start = ac_mono_ns();
    sound->gated_linear_grad(d, a, g);
    charge(d, "gated_linear_grad", start);
}

static void timed_sums(ac_device *d, const ac_span *part, size_t n, double *out)
{
    const int64_t start = ac_mono_ns();
    sound->sum_squares(d, part, n, out);
    charge(d, "sum_squares", start);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

typedef struct {
    ac_device *dev;
    ac_model *model;
    ac_adapter *ad;
    ac_optimizer opt;
    ac_train_opts o;
    ac_unit *unit;
    double *loss;
    size_t rows, length;
    size_t micro;                /* rows at once */
    uint64_t t;
} job;

/* What the run will take, its weights being there already. limit 0: all rows at once; else as many as fit. */
static uint64_t planned(job *j, uint64_t limit, bool quiet)
{
    ac_err err = { 0 };
    ac_memory_plan p;
    ac_sample *sample = calloc(j->rows, sizeof *sample);
    if (!sample) stop("rows", NULL);
    for (size_t i = 0; i < j->rows; i++)
        sample[i] = (ac_sample){ j->unit[i].ids, j->unit[i].target, j->length, j->length - 1, i };
    const ac_dataset d = { .n = j->rows, .sample = sample, .n_tokens = j->rows * j->length,
                           .n_targets = j->rows * (j->length - 1), .max_len = j->length };
    const ac_memory_ask ask = { .limit = limit, .recompute = limit ? AC_RECOMPUTE_AUTO :
                                                             j->o.recompute ? AC_RECOMPUTE_BLOCK : AC_RECOMPUTE_NONE };
    j->o.batch_rows = j->rows;
    j->o.micro_batch = limit ? 0 : j->rows;
    if (ac_memory_plan_make(&p, &j->o, &ask, j->model, &d, NULL, &err)) stop("the memory plan", &err);
    j->micro = p.tokens / j->length;
    for (size_t i = 0; i < p.n_lines && !quiet; i++)
        printf("  %-34s %9.1f MiB\n", p.line[i].name, (double)p.line[i].bytes / 1048576.0);
    free(sample);
    return p.peak;
}

static double one_step(job *j)
{
    ac_err err = { 0 };
    double norm = 0;
    const ac_pass pass = { .inv_n = 1.0 / (double)(j->rows * (j->length - 1)), .recompute = j->o.recompute };
    const int64_t start = ac_mono_ns();
    ac_status st = ac_optimizer_zero_grad(&j->opt, &err);
    for (size_t i = 0, n; !st && i < j->rows; i += n) {
        n = j->rows - i < j->micro ? j->rows - i : j->micro;
        st = ac_model_grad(j->model, j->ad, j->unit + i, n, &pass, j->opt.grad, j->loss + i, &err);
    }
    if (!st) st = ac_optimizer_norm(&j->opt, &norm, &err);
    if (!st) st = ac_optimizer_step(&j->opt, &j->o, 1e-4, norm, ++j->t, &err);
    if (st) stop("a step", &err);
    return (double)(ac_mono_ns() - start) / 1e9;
}

static void make_rows(job *j, size_t vocab)
{
    static const uint32_t from_start = 0;
    j->unit = calloc(j->rows, sizeof *j->unit);
    j->loss = calloc(j->rows, sizeof *j->loss);
    int32_t *ids = malloc(j->rows * j->length * sizeof *ids);
    uint8_t *target = malloc(j->length);
    if (!j->unit || !j->loss || !ids || !target) stop("rows", NULL);
    for (size_t i = 0; i < j->rows * j->length; i++) ids[i] = (int32_t)ac_rng_below(1, AC_RNG_TEST, 0, i, (uint32_t)vocab);
    memset(target, 1, j->length);
    target[0] = 0;
    for (size_t i = 0; i < j->rows; i++)
        j->unit[i] = (ac_unit){ ids + i * j->length, target, j->length, &from_start, 1, i };
}

static int ascending(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Of all programs on the GPU, with our context; 0 where nvidia-smi does not say. */
static double memory_mib(void)
{
    char line[64] = "";
    FILE *p = popen("nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i 0 2>/dev/null", "r");
    const bool got = p && fgets(line, sizeof line, p);
    if (p) pclose(p);
    return got ? atof(line) : 0;
}

static void profile(job *j)
{
    ac_device_ops timed = *sound;
    timed.embed = timed_embed, timed.norm = timed_norm, timed.norm_grad = timed_norm_grad;
    timed.linears = timed_linears, timed.linear_grads = timed_linear_grads, timed.rotary = timed_rotary;
    timed.attention = timed_attention, timed.attention_grad = timed_attention_grad, timed.gated = timed_gated;
    timed.gated_linears = timed_gated_linears, timed.gated_linear_grad = timed_gated_linear_grad;
    timed.adapter_grad = timed_adapter_grad, timed.gated_grad = timed_gated_grad, timed.loss = timed_loss, timed.optim = timed_optim, timed.sum_squares = timed_sums;
    j->dev->op = &timed;
    double all = 0;
    for (int i = 0; i < PROFILED; i++) all += one_step(j);
    j->dev->op = sound;
    printf("one at a time, ms a step of %.1f:\n", all / PROFILED * 1e3);
    for (size_t i = 0; spent[i].name; i++)
        printf("  %-16s %8.2f  in %5zu calls\n", spent[i].name, spent[i].seconds / PROFILED * 1e3, spent[i].calls / PROFILED);
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 5; i < argc; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return false;
}

/* The number after a word; 0 without it. */
static double after_word(int argc, char **argv, const char *word)
{
    for (int i = 5; i + 1 < argc; i++)
        if (strcmp(argv[i], word) == 0) return atof(argv[i + 1]);
    return 0;
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

/* Bytes a second, read and written, of a copy on the device. */
static double copy_speed(ac_device *d)
{
    enum { N = 256 << 20, TIMES = 20 };
    ac_buf *a = NULL, *b = NULL;
    ac_err err = { 0 };
    if (d->op->buf_open(d, &a, N / 4, AC_STORE_F32, &err) || d->op->buf_open(d, &b, N / 4, AC_STORE_F32, &err)) stop("a copy", &err);
    for (int i = 0; i < 3; i++) d->op->copy(d, (ac_ref){ b, 0 }, (ac_ref){ a, 0 }, N / 4);
    (void)d->op->sync(d, &err);
    const int64_t start = ac_mono_ns();
    for (int i = 0; i < TIMES; i++) d->op->copy(d, (ac_ref){ b, 0 }, (ac_ref){ a, 0 }, N / 4);
    if (d->op->sync(d, &err)) stop("a copy", &err);
    const double seconds = (double)(ac_mono_ns() - start) / 1e9;
    d->op->buf_close(d, &a);
    d->op->buf_close(d, &b);
    return 2.0 * N * TIMES / seconds;
}

typedef struct {
    int64_t start, at[4096];
    size_t n, every;
} clock_of;

static bool on_token(void *ctx, size_t request, int32_t id)
{
    clock_of *c = ctx;
    (void)id;
    if (request == 0 && c->n < AC_COUNTOF(c->at)) c->at[c->n++] = ac_mono_ns();
    return true;
}

static int decode(const shape *s, ac_device *dev, ac_model *m, size_t rows, size_t length, size_t tokens, bool json)
{
    static clock_of c;
    ac_err err = { 0 };
    int32_t *ids = malloc(length * sizeof *ids);
    ac_gen_request *req = calloc(rows, sizeof *req);
    ac_gen_answer *answers = calloc(rows, sizeof *answers);
    if (!ids || !req || !answers) stop("decoding", NULL);
    for (size_t i = 0; i < length; i++) ids[i] = (int32_t)(i * 7919 % s->vocab);
    for (size_t i = 0; i < rows; i++) req[i] = (ac_gen_request){ .prompt = ids, .n_prompt = length, .number = i };
    const ac_gen_opts o = { .max_tokens = tokens, .max_batch = rows };
    if (ac_generate(m, NULL, req, rows, &o, answers, on_token, &c, NULL, &err)) stop("decoding", &err);
    double step[4096];
    for (size_t i = 1; i < c.n; i++) step[i - 1] = (double)(c.at[i] - c.at[i - 1]) / 1e9;
    const size_t n = c.n - 1;
    qsort(step, n, sizeof *step, ascending);
    const double median = step[n / 2], copy = copy_speed(dev);
    const double weights = 2.0 * (double)(s->layers * (s->hidden * s->head_dim * (2 * s->heads + 2 * s->kv_heads) + 3 * s->hidden * s->ffn) +
                                          s->vocab * s->hidden);
    if (json)
        printf("{\"model\": \"%s\", \"decode\": %zu, \"length\": %zu, \"ms\": %.4f, \"ms_min\": %.4f, \"ms_max\": %.4f, \"tokens_s\": %.1f, "
               "\"weights_gb\": %.3f, \"copy_gb_s\": %.1f, \"share\": %.4f}\n", s->name, rows, length, median * 1e3, step[0] * 1e3,
               step[n - 1] * 1e3, (double)rows / median, weights / 1e9, copy / 1e9, weights / median / copy);
    else
        printf("%s decoding %zu after %zu on %s: %.3f ms a token (%.3f to %.3f over %zu), %.0f tokens/s; %.2f GB of weights at %.0f GB/s, "
               "%.1f %% of a copy's %.0f\n", s->name, rows, length, ac_device_name(dev), median * 1e3, step[0] * 1e3, step[n - 1] * 1e3, n,
               (double)rows / median, weights / 1e9, weights / median / 1e9, 100.0 * weights / median / copy, copy / 1e9);
    for (size_t i = 0; i < rows; i++) ac_ids_release(&answers[i].ids);
    free(ids), free(req), free(answers);
    return 0;
}

int main(int argc, char **argv)
{
    ac_err err = { 0 };
    const bool json = has_word(argc, argv, "json");
    const shape *s = NULL;
    job j = { .rows = argc > 3 ? (size_t)atol(argv[2]) : 0, .length = argc > 3 ? (size_t)atol(argv[3]) : 0 };
    size_t steps = argc > 4 ? (size_t)atol(argv[4]) : 20;
    ac_dtype type = AC_DTYPE_COUNT;              /* none: a folder of bfloat16 */
    for (ac_dtype t = AC_F32; t <= AC_Q6_K; t++)
        if (has_word(argc, argv, ac_dtype_name(t))) type = t;
    for (size_t i = 0; argc > 1 && i < AC_COUNTOF(shapes); i++)
        if (strcmp(argv[1], shapes[i].name) == 0) s = &shapes[i];
    if (!s || j.rows == 0 || j.length < 2) {
        fprintf(stderr, "usage: bench_cuda 135m|0.5b|1.5b|8b ROWS LENGTH [STEPS [recompute | within GIB] [TYPE [ahead]] [json]]\n");
        return 64;
    }
    if (steps < 1 || steps > STEPS_MAX) steps = STEPS_MAX;
    char dir[256], path[512];
    bool passing = true;
    if (type == AC_DTYPE_COUNT) {
        passing = write_folder(s, dir);
        snprintf(path, sizeof path, "%s", dir);
    } else {
        passing = write_stored(s, type, path, dir);
    }
    const int64_t start = ac_mono_ns();
    ac_status st = ac_device_open_cuda(&j.dev, 0, &err);
    if (!st) st = ac_model_open(&j.model, j.dev, path, &err);
    const double opened = (double)(ac_mono_ns() - start) / 1e9;
    if (passing) (void)ac_remove_tree(dir, NULL);
    if (st) stop("the model", &err);
    if (has_word(argc, argv, "decode")) return decode(s, j.dev, j.model, j.rows, j.length, argc > 4 ? (size_t)atol(argv[4]) : 64, json);
    j.o = (ac_train_opts){ .shards = 1, .lora = { .rank = 16, .alpha = 32, .targets = (1u << AC_TARGET_COUNT) - 1 }, .beta1 = 0.9, .beta2 = 0.999,
                           .eps = 1e-8, .clip = 1.0, .weight_decay = 0.01, .numerics = AC_NUM_CUDA_BF16,
                           .recompute = has_word(argc, argv, "recompute") };
    if (has_word(argc, argv, "ahead") && ac_model_prepare_decode(j.model, &err)) stop("expanding", &err);
    make_rows(&j, s->vocab);
    const uint64_t plan = planned(&j, (uint64_t)(after_word(argc, argv, "within") * 1073741824.0), json);
    st = ac_adapter_open(&j.ad, j.model, &j.o.lora, &err);
    if (!st) {
        ac_adapter_init(j.ad, 1);
        st = ac_optimizer_open(&j.opt, j.dev, j.ad, &j.o, &err);
    }
    if (!st) st = ac_optimizer_keep(&j.opt, &err);
    if (!st) j.dev->op->take_own(j.dev);
    if (st) stop("the adapter", &err);
    sound = j.dev->op;
    const double first = one_step(&j), ready = (double)(ac_mono_ns() - start) / 1e9;
    for (int i = 0; i < 3; i++) (void)one_step(&j);
    double took[STEPS_MAX];
    for (size_t i = 0; i < steps; i++) took[i] = one_step(&j);
    qsort(took, steps, sizeof *took, ascending);
    const double median = took[steps / 2], tokens = (double)(j.rows * j.length);
    const double mib = memory_mib(), loss = j.loss[0] / (double)(j.length - 1);
    const double planned_mib = (double)plan / 1048576.0, peak_mib = (double)j.dev->op->memory(j.dev).peak / 1048576.0;
    const char *stored = type == AC_DTYPE_COUNT ? "BF16" : ac_dtype_name(type);
    if (json) {
        printf("{\"model\": \"%s\", \"stored\": \"%s\", \"rows\": %zu, \"length\": %zu, \"at_once\": %zu, \"recompute\": %s, \"tokens_s\": %.1f, "
               "\"tokens_s_min\": %.1f, \"tokens_s_max\": %.1f, \"step_ms\": %.3f, \"steps\": %zu, \"opened_s\": %.3f, "
               "\"first_step_s\": %.3f, \"ready_s\": %.3f, \"device_mib\": %.0f, \"planned_mib\": %.0f, \"loss\": %.6f}\n", s->name,
               stored, j.rows, j.length, j.micro, j.o.recompute ? "true" : "false", tokens / median, tokens / took[steps - 1],
               tokens / took[0], median * 1e3, steps, opened, first, ready, mib, planned_mib, loss);
    } else {
        printf("%s %s %zu x %zu, %zu at once%s on %s: %.0f tokens/s, %.2f ms a step (%.2f to %.2f over %zu)\n", s->name, stored,
               j.rows, j.length, j.micro, j.o.recompute ? ", recompute" : "", ac_device_name(j.dev), tokens / median, median * 1e3,
               took[0] * 1e3, took[steps - 1] * 1e3, steps);
        printf("model opened after %.2f s, first step done after %.2f s (itself %.3f s), loss %.4f\n", opened, ready, first, loss);
        printf("memory planned %.0f MiB, measured %.0f MiB: %.3f\n", planned_mib, peak_mib, planned_mib / peak_mib);
        if (peak_mib > planned_mib) {
            fprintf(stderr, "bench_cuda: more memory was taken than planned\n");
            return 1;
        }
        if (mib > 0) printf("memory of the GPU in use: %.0f MiB\n", mib);
        profile(&j);
    }
    ac_optimizer_close(&j.opt);
    ac_adapter_close(&j.ad);
    ac_model_close(&j.model);
    ac_device_close(&j.dev);
    return 0;
}
