/* Streaming files of rows into records: one thread reads and cuts, the pool parses and counts. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "data/survey_int.h"
#include "data/unread.h"

#define KEEP_DEFAULT 1000
#define BLOCKS_A_THREAD 4
#define ROWS_MAX ((size_t)UINT32_MAX - 2)

/* ---- names of splits ---- */

const char *ac_split_name(ac_split s)
{
    switch (s) {
    case AC_SPLIT_TRAIN: return "train";
    case AC_SPLIT_VALID: return "valid";
    case AC_SPLIT_TEST: return "test";
    case AC_SPLIT_NONE: break;
    }
    return "none";
}

ac_split ac_split_of(const char *path)
{
    static const struct {
        const char *begins;
        ac_split split;
    } known[] = {
        { "train", AC_SPLIT_TRAIN }, { "val", AC_SPLIT_VALID }, { "dev", AC_SPLIT_VALID }, { "eval", AC_SPLIT_VALID },
        { "test", AC_SPLIT_TEST },
    };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < AC_COUNTOF(known); i++)
        if (strncmp(name, known[i].begins, strlen(known[i].begins)) == 0) return known[i].split;
    return AC_SPLIT_NONE;
}

/* ---- keeping findings ---- */

static ac_survey_count *count_of(ac_survey *s, const ac_finding *f, ac_err *err)
{
    for (size_t i = 0; i < s->n_counts; i++)
        if (strcmp(s->count[i].kind, f->kind) == 0 && s->count[i].severity == f->severity) return &s->count[i];
    if (s->n_counts % 16 == 0) {
        ac_survey_count *p = ac_arena_alloc_array(&s->arena, s->n_counts + 16, sizeof *p);
        if (!p) {
            (void)ac_fail_nomem(err, sizeof *p);
            return NULL;
        }
        if (s->n_counts) memcpy(p, s->count, s->n_counts * sizeof *p);
        s->count = p;
    }
    s->count[s->n_counts] = (ac_survey_count){ f->kind, f->severity, 0, 0 };
    return &s->count[s->n_counts++];
}

ac_status survey_keep(ac_survey *s, size_t keep, const ac_findings *f, const char *path, ac_err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        const ac_finding *x = &f->finding[i];
        ac_survey_count *c = count_of(s, x, err);
        if (!c) return AC_ENOMEM;
        c->n++;
        s->by[x->severity]++;
        if (c->kept == keep) continue;
        c->kept++;
        const ac_status st = ac_finding_copy(&s->found, x, err);
        if (st) return st;
        ac_finding *y = &s->found.finding[s->found.n - 1];
        if (!y->path_a) y->path_a = path;
        if (!y->path_b && y->line_b) y->path_b = y->path_a;
    }
    return AC_OK;
}

/* ---- one block ---- */

typedef struct {
    ac_block block;
    row_reader reader;
    row_rec *rec;
    size_t n, cap;
    size_t n_could[AC_FORMAT_KTO + 1], n_read;
    size_t n_zero, n_long, n_same_pair, n_label[2];
    uint64_t n_tokens, n_targets;
    size_t n_bad, first_bad_line;
    ac_findings found;
    ac_unread unread;
    ac_scan_tally *tally;       /* NULL without a scanner */
    ac_status st;               /* of what is no bad row: out of memory */
    ac_err err, first_bad;
} slot;

typedef struct {
    const survey_job *job;
    survey_rows *rows;
    ac_survey *s;
    ac_survey_file *file;
    ac_stream *stream;
    size_t index;               /* of the file */
    slot *slot;
    size_t n_slots, n_used;
    ac_sha256_state hash;
    ac_scan_tally *tally;       /* of the whole file */
    ac_unread unread;
    ac_row_format format;       /* that rows are read as */
    bool again;                 /* it was not the first guess */
    size_t n_could[AC_FORMAT_KTO + 1], n_read;
} reading;

static ac_status room_for_rec(slot *b, ac_err *err)
{
    if (b->n < b->cap) return AC_OK;
    const size_t cap = b->cap ? b->cap * 2 : 256;
    row_rec *p = ac_realloc(b->rec, cap * sizeof *p);
    if (!p) return ac_fail_nomem(err, cap * sizeof *p);
    b->rec = p;
    b->cap = cap;
    return AC_OK;
}

static ac_status bad_row(slot *b, const ac_item *it, const ac_err *why, ac_err *err)
{
    const size_t line = it->line;
    if (b->n_bad++ == 0) {
        b->first_bad = *why;
        b->first_bad_line = line;
    }
    return ac_finding_add(&b->found, AC_FIND_FAIL, "bad-row", ac_hash_bytes(0, it->text), line, 0, 0, err, "%s",
                          why->text);
}

/* Lengths in tokens, where a tokenizer is there. A row that the chat format cannot express is a finding. */
static ac_status tokens_of(reading *x, slot *b, row_rec *rec, const ac_row *row, uint32_t *targets, bool *has_target,
                           ac_err *err)
{
    const ac_survey_opts *o = x->job->o;
    row_reader *r = &b->reader;
    ac_err why = { "" };
    r->coder.tok = o->tok;
    r->coder.chat = o->chat;
    r->coder.opts = &o->data;
    const ac_status st = ac_row_code(&r->coder, row, x->format, x->file->path, &why);
    if (st == AC_EFORMAT)
        return ac_finding_add(&b->found, AC_FIND_FAIL, "chat-format", ac_row_hash(row), row->line, 0, 0, err, "%s", why.text);
    if (st) return ac_fail(err, st, "%s", why.text);
    size_t n = r->coder.text.ids.n, kept = n, n_target = 0;
    const size_t max = o->data.max_len;
    if (max && n > max && o->data.on_long == AC_LONG_TRUNCATE) kept = max;
    for (size_t i = 0; i < kept; i++) n_target += r->coder.target[i];
    rec->tokens = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    *targets = (uint32_t)n_target;
    *has_target = n_target > 0;
    return AC_OK;
}

static ac_status length_faults(reading *x, slot *b, const row_rec *rec, const ac_row *row, bool has_target, ac_err *err)
{
    const ac_survey_opts *o = x->job->o;
    const char *unit = o->tok ? "tokens" : "words";
    ac_status st = AC_OK;
    if (o->data.max_len && rec->tokens > o->data.max_len) {
        const bool refuse = o->data.on_long == AC_LONG_REFUSE;
        b->n_long++;
        st = ac_finding_add(&b->found, refuse ? AC_FIND_FAIL : AC_FIND_WARN, "over-long", rec->bytes, row->line, 0,
                            (double)rec->tokens, err, "line %zu has %u %s, max_len is %zu%s", row->line, rec->tokens, unit,
                            o->data.max_len, refuse ? "; shorten it, raise data.max_len, or set data.on_long"
                            : o->data.on_long == AC_LONG_DROP ? "; it will be dropped" : "; it will be cut");
        if (o->data.on_long == AC_LONG_DROP) return st;
    }
    if (st || has_target) return st;
    b->n_zero++;
    return ac_finding_add(&b->found, AC_FIND_FAIL, "zero-target", rec->bytes, row->line, 0, 0, err,
                          "line %zu: nothing in this row is learnt; remove it, or change its marks or the mask", row->line);
}

/* The value of the key that rows are grouped by. */
static ac_status key_hash(const ac_json *v, const char *key, const ac_item *it, const char *path, uint64_t *out, ac_err *err)
{
    const ac_json *k = ac_json_get(v, key);
    if (!k)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: the row has no key \"%s\"; every row needs the key that rows are grouped by",
                       path, it->line, key);
    ac_str s = { 0 };
    ac_json_canonical(&s, k);
    *out = ac_hash_bytes(0, ac_str_view(&s));
    const bool ok = ac_str_ok(&s);
    ac_str_release(&s);
    return ok ? AC_OK : ac_fail_nomem(err, 0);
}

static ac_status good_row(reading *x, slot *b, const ac_item *it, ac_row *row, const ac_json *tree, ac_err *err)
{
    const ac_survey_opts *o = x->job->o;
    row_rec *rec = &b->rec[b->n];
    uint32_t words, targets;
    bool has_target;
    *rec = (row_rec){ .offset = it->offset, .len = (uint32_t)it->text.len, .file = (uint16_t)x->index,
                      .line = it->line < UINT32_MAX ? (uint32_t)it->line : UINT32_MAX };
    ac_status st = row_facts(rec, &b->reader, row, x->format, o->data.mask, &words, &targets, &has_target, err);
    if (st) return st;
    rec->tokens = words;
    const bool coded = o->tok != NULL;
    if (coded && (st = tokens_of(x, b, rec, row, &targets, &has_target, err))) return st;
    if (x->job->key && (st = key_hash(tree, x->job->key, it, x->file->path, &rec->ask, err))) return st;
    b->n_tokens += rec->tokens;
    b->n_targets += targets;
    if (x->rows->sketch.once) {
        st = gram_set_fill(&b->reader.grams, b->reader.w.word, b->reader.w.n, err);
        if (!st) gram_sketch_add(&x->rows->sketch, &b->reader.grams);
    }
    const size_t before = b->found.n;
    if (!st) st = ac_row_faults(&b->found, row, x->format, err);
    if (!st && b->tally) st = ac_scan_tally_row(b->tally, row, err);
    for (size_t i = before; i < b->found.n; i++) b->n_same_pair += strcmp(b->found.finding[i].kind, "same-pair") == 0;
    if (!st) st = length_faults(x, b, rec, row, has_target, err);
    if (row->label >= 0) b->n_label[row->label]++;
    b->n++;
    return st;
}

static ac_status no_format(const reading *x, const ac_item *it, const ac_json *tree, ac_err *err)
{
    const ac_row_place place = { .path = x->file->path, .text = it->text, .first_line = it->line,
                                 .first_column = it->column };
    return ac_row_unknown(&place, tree, err);
}

static ac_status take_item(reading *x, slot *b, const ac_item *it, ac_err *err)
{
    ac_row row = { 0 };
    const ac_json *tree = NULL;
    ac_err why = { "" };
    ac_status st = room_for_rec(b, err);
    if (st) return st;
    b->n_read++;
    st = row_read(&b->reader, &row, &tree, it, x->format, x->file->path, &why);
    const unsigned could = tree ? ac_row_candidates(tree) : 0;
    for (size_t f = 0; f < AC_COUNTOF(b->n_could); f++)
        if (could >> f & 1) b->n_could[f]++;
    if (st == AC_EFORMAT && !tree && !x->stream->is_array && why.text[0]) {
        const ac_err json = why;
        why.text[0] = '\0';
        (void)ac_fail(&why, st, "%s; expected one JSON object a line", json.text);
    }
    if (!st && x->format == AC_FORMAT_AUTO) st = no_format(x, it, tree, &why);
    if (!st) st = good_row(x, b, it, &row, tree, &why);
    if (!st) st = ac_unread_row(&b->unread, tree, x->format, it->line, &why);
    if (!st) return AC_OK;
    return st == AC_EFORMAT ? bad_row(b, it, &why, err) : ac_fail(err, st, "%s", why.text);
}

static void block_run(void *ctx, size_t task, size_t worker)
{
    reading *x = ctx;
    (void)worker;
    if (task == 0) {                            /* bytes are hashed in order, beside the rest */
        for (size_t i = 0; i < x->n_used; i++) ac_sha256_add(&x->hash, x->slot[i].block.buf, x->slot[i].block.len);
        return;
    }
    slot *b = &x->slot[task - 1];
    ac_items items;
    ac_item it;
    b->reader.arena.wipe = b->reader.secret = b->reader.secret || ac_reader_sealed(x->stream->file);
    ac_items_start(&items, x->stream, &b->block);
    while (!b->st && ac_items_next(&items, &it)) b->st = take_item(x, b, &it, &b->err);
}

static void slot_reset(slot *b)
{
    b->n = b->n_read = b->n_zero = b->n_long = b->n_same_pair = b->n_bad = 0;
    b->n_label[0] = b->n_label[1] = 0;
    b->n_tokens = b->n_targets = 0;
    memset(b->n_could, 0, sizeof b->n_could);
    ac_arena_reset(&b->found.arena);
    b->found.finding = NULL;
    b->found.n = 0;
    ac_unread_reset(&b->unread);
    b->err.text[0] = '\0';
}

static void slot_release(slot *b)
{
    ac_block_release(&b->block);
    row_reader_release(&b->reader);
    ac_findings_release(&b->found);
    ac_unread_release(&b->unread);
    ac_scan_tally_close(&b->tally);
    ac_free(b->rec);
}

/* ---- one file ---- */

static ac_status take_slot(reading *x, slot *b, ac_err *err)
{
    row_table *t = &x->rows->table;
    ac_survey_file *f = x->file;
    if (b->st) return ac_fail(err, b->st, "%s", b->err.text);
    if (t->n + b->n > ROWS_MAX) return ac_fail(err, AC_EFORMAT, "%s: more than %zu rows", f->path, ROWS_MAX);
    if (t->n + b->n > t->cap) {
        size_t cap = t->cap ? t->cap + t->cap / 2 : 1024;
        if (cap < t->n + b->n) cap = t->n + b->n;
        row_rec *p = ac_realloc(t->rec, cap * sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        t->rec = p;
        t->cap = cap;
    }
    if (b->n) memcpy(t->rec + t->n, b->rec, b->n * sizeof *b->rec);
    t->n += b->n;
    for (size_t i = 0; i < AC_COUNTOF(x->n_could); i++) x->n_could[i] += b->n_could[i];
    x->n_read += b->n_read;
    f->n_rows += b->n;
    f->n_tokens += b->n_tokens;
    f->n_targets += b->n_targets;
    f->n_zero_target += b->n_zero;
    f->n_long += b->n_long;
    f->n_same_pair += b->n_same_pair;
    f->n_label[0] += b->n_label[0];
    f->n_label[1] += b->n_label[1];
    if (b->n_bad && !f->n_bad) f->first_bad = b->first_bad_line;
    if (b->n_bad && !x->s->first_bad.text[0]) x->s->first_bad = b->first_bad;
    f->n_bad += b->n_bad;
    ac_status st = ac_unread_merge(&x->unread, &b->unread, err);
    if (b->tally) {
        if (!st) st = ac_scan_tally_merge(x->tally, b->tally, err);
        ac_scan_tally_close(&b->tally);
    }
    if (st) return st;
    return survey_keep(x->s, x->job->o->keep ? x->job->o->keep : KEEP_DEFAULT, &b->found, f->path, err);
}

static ac_status stream_file(reading *x, ac_err *err)
{
    ac_event e = { .kind = AC_EV_STAGE, .text = x->file->path, .unit = "KiB", .total = x->stream->size / 1024 };
    ac_status st = ac_emit(x->job->o->sink, &e, err);
    bool end = false;
    e.kind = AC_EV_PROGRESS;
    while (!st && !end) {
        x->n_used = 0;
        while (x->n_used < x->n_slots && !end && !st) {
            slot_reset(&x->slot[x->n_used]);
            st = ac_stream_next(x->stream, &x->slot[x->n_used].block, &end, err);
            if (!st && !end && x->tally)
                st = ac_scan_tally_open(&x->slot[x->n_used].tally, x->job->o->scanner, x->file->path, err);
            if (!st && !end) x->n_used++;
        }
        if (st || !x->n_used) break;
        ac_pool_run(x->job->o->pool, x->n_used + 1, block_run, x);
        for (size_t i = 0; i < x->n_used && !st; i++) st = take_slot(x, &x->slot[i], err);
        e.done = x->stream->at / 1024;
        if (!st) st = ac_emit(x->job->o->sink, &e, err);
    }
    e.kind = AC_EV_STAGE_END;
    e.done = e.total;
    return st ? st : ac_emit(x->job->o->sink, &e, err);
}

/* R1: the first format in this order that every row can be, else the one that most can. AUTO: none can be any. */
static ac_row_format decide(const size_t *n_could, size_t n)
{
    static const ac_row_format order[] = { AC_FORMAT_PREFERENCE, AC_FORMAT_KTO, AC_FORMAT_PROMPT_COMPLETION,
                                           AC_FORMAT_MESSAGES, AC_FORMAT_SHAREGPT, AC_FORMAT_ALPACA, AC_FORMAT_TEXT };
    ac_row_format best = AC_FORMAT_AUTO;
    size_t most = 0;
    for (size_t i = 0; i < AC_COUNTOF(order); i++) {
        if (n && n_could[order[i]] == n) return order[i];
        if (n_could[order[i]] > most) {
            most = n_could[order[i]];
            best = order[i];
        }
    }
    return best;
}

/* The format of the first block: mostly the file's. */
static ac_status guess(reading *x, ac_err *err)
{
    slot *b = &x->slot[0];
    bool end;
    ac_item it;
    ac_items items;
    ac_row row = { 0 };
    size_t n_could[AC_FORMAT_KTO + 1] = { 0 }, n = 0;
    ac_status st = ac_stream_next(x->stream, &b->block, &end, err);
    if (st || end) return st;
    ac_items_start(&items, x->stream, &b->block);
    for (size_t i = 0; i < 256 && ac_items_next(&items, &it); i++) {
        const ac_json *tree = NULL;
        ac_err why = { "" };
        st = row_read(&b->reader, &row, &tree, &it, AC_FORMAT_AUTO, x->file->path, &why);
        if (st == AC_ENOMEM) return ac_fail(err, st, "%s", why.text);
        if (st) continue;
        const unsigned could = ac_row_candidates(tree);
        n += could != 0;
        for (size_t f = 0; f < AC_COUNTOF(n_could); f++) n_could[f] += could >> f & 1;
    }
    x->format = decide(n_could, n);
    return AC_OK;
}

static ac_status restart(reading *x, ac_err *err)
{
    const ac_survey_input *in = &x->job->in[x->index];
    ac_stream_close(x->stream);
    x->rows->table.n -= x->file->n_rows;
    *x->file = (ac_survey_file){ .path = in->path, .split = in->split };
    memset(x->n_could, 0, sizeof x->n_could);
    x->n_read = 0;
    ac_unread_reset(&x->unread);
    ac_sha256_init(&x->hash);
    return ac_stream_open(x->stream, in->path, err);
}

/* What one reading of a file found goes to the rest. */
static ac_status merge(ac_survey *s, const ac_survey *part, size_t keep, ac_err *err)
{
    for (size_t i = 0; i < part->found.n; i++) {
        ac_survey_count *c = count_of(s, &part->found.finding[i], err);
        if (!c) return AC_ENOMEM;
        if (c->kept == keep) continue;
        const ac_status st = ac_finding_copy(&s->found, &part->found.finding[i], err);
        if (st) return st;
        c->kept++;
    }
    for (size_t i = 0; i < part->n_counts; i++) {
        const ac_finding like = { .kind = part->count[i].kind, .severity = part->count[i].severity };
        ac_survey_count *c = count_of(s, &like, err);
        if (!c) return AC_ENOMEM;
        c->n += part->count[i].n;
        s->by[like.severity] += part->count[i].n;
    }
    if (!s->first_bad.text[0]) s->first_bad = part->first_bad;
    return AC_OK;
}

/* The keys outlive the reading of their file. */
static ac_status keep_unread(ac_survey *s, ac_survey_file *f, const ac_unread *u, ac_err *err)
{
    ac_unread_key *k = u->n ? ac_arena_alloc_array(&s->arena, u->n, sizeof *k) : NULL;
    if (u->n && !k) return ac_fail_nomem(err, u->n * sizeof *k);
    for (size_t i = 0; i < u->n; i++) {
        k[i] = u->key[i];
        if (!(k[i].name.ptr = ac_arena_strndup(&s->arena, k[i].name.ptr, k[i].name.len))) return ac_fail_nomem(err, 0);
    }
    f->unread = k;
    f->n_unread = u->n;
    return AC_OK;
}

static ac_status no_rows(const reading *x, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s:1:1: has no rows; expected one JSON object a line with %s", x->file->path,
                   AC_ROWS_WANTED);
}

static ac_status stream_as(reading *x, ac_err *err)
{
    const ac_survey_opts *o = x->job->o;
    ac_status st = restart(x, err);
    if (st) return st;
    x->rows->format[x->index] = x->file->format = x->format;
    if (o->tok && !o->chat && x->format != AC_FORMAT_TEXT && x->format != AC_FORMAT_AUTO)
        return ac_fail(err, AC_EARG, "%s: rows of format %s need a chat format; set base.chat_format, or give "
                       "--chat-format", x->file->path, ac_row_format_name(x->format));
    if (o->scanner && (st = ac_scan_tally_open(&x->tally, o->scanner, x->file->path, err))) return st;
    ac_findings found = { 0 };
    st = stream_file(x, err);
    if (!st) st = ac_unread_report(&found, &x->unread, x->format, err);
    if (!st && x->tally) st = ac_scan_tally_report(&found, x->tally, err);
    if (!st && x->tally) st = ac_scan_place(&found, x->file->path, true, err);
    if (!st) st = survey_keep(x->s, o->keep ? o->keep : KEEP_DEFAULT, &found, x->file->path, err);
    ac_findings_release(&found);
    ac_scan_tally_close(&x->tally);
    return st;
}

/* When the first block's format is not the file's, what was found is dropped and the file is read once more. */
static ac_status whole_file(reading *x, ac_survey *s, ac_err *err)
{
    ac_status st = restart(x, err);
    if (!st) st = guess(x, err);
    for (bool done = false; !st && !done;) {
        ac_survey part = { .n_files = 0 };
        /* Until the end of this round alone; cppcheck-suppress autoVariables */
        x->s = &part;
        st = stream_as(x, err);
        const ac_row_format decided = decide(x->n_could, x->n_read);
        done = decided == x->format || x->again;
        if (!st && done) st = merge(s, &part, x->job->o->keep ? x->job->o->keep : KEEP_DEFAULT, err);
        ac_survey_release(&part);
        x->s = NULL;
        x->format = decided;
        x->again = true;
    }
    if (!st) st = keep_unread(s, x->file, &x->unread, err);
    if (st) return st;
    x->file->bytes = x->stream->size;
    if (x->n_read == 0) return no_rows(x, err);
    if (x->stream->is_array) return ac_sha256_file(&x->file->hash, x->file->path, err);
    ac_sha256_done(&x->hash, &x->file->hash);
    return AC_OK;
}

ac_status survey_read(survey_rows *out, ac_survey *s, const survey_job *job, ac_err *err)
{
    survey_rows r = { .table = { .pool = job->o->pool, .sink = job->o->sink } };
    reading x = { .job = job, .rows = &r, .n_slots = BLOCKS_A_THREAD * ac_pool_threads(job->o->pool) };
    uint64_t bytes = 0, size = 0;
    ac_status st = AC_OK;
    if (job->n > UINT16_MAX) return ac_fail(err, AC_EARG, "more than %u files", UINT16_MAX);
    for (size_t i = 0; i < job->n && !st; i++, bytes += size) st = ac_file_size(job->in[i].path, &size, err);
    x.slot = ac_calloc(x.n_slots, sizeof *x.slot);
    r.stream = ac_calloc(job->n + 1, sizeof *r.stream);
    r.n_files = job->n;
    r.format = ac_calloc(job->n + 1, sizeof *r.format);
    s->file = ac_arena_alloc_array(&s->arena, job->n, sizeof *s->file);
    if (!st && (!x.slot || !r.stream || !r.format || !s->file)) st = ac_fail_nomem(err, x.n_slots * sizeof *x.slot);
    if (!st && job->o->near) st = gram_sketch_init(&r.sketch, bytes, err);
    for (size_t i = 0; i < job->n && !st; i++) {
        x.index = i;
        x.stream = &r.stream[i];
        x.file = &s->file[i];
        x.again = false;
        st = whole_file(&x, s, err);
        s->n_files = i + 1;
    }
    for (size_t i = 0; x.slot && i < x.n_slots; i++) slot_release(&x.slot[i]);
    ac_free(x.slot);
    ac_unread_release(&x.unread);
    r.table.stream = r.stream;
    r.table.format = r.format;
    if (st) survey_rows_release(&r);
    else *out = r;
    return st;
}

void survey_rows_release(survey_rows *r)
{
    for (size_t i = 0; r->stream && i < r->n_files; i++) ac_stream_close(&r->stream[i]);
    gram_sketch_release(&r->sketch);
    ac_free(r->table.rec);
    ac_free(r->stream);
    ac_free(r->format);
    *r = (survey_rows){ 0 };
}

/* ---- reading rows again ---- */

ac_status rows_again(const row_table *t, size_t from, size_t to, row_reader *r, row_words_fn *fn, void *ctx, ac_err *err)
{
    const row_rec *first = &t->rec[from], *last = &t->rec[to - 1];
    const ac_stream *s = &t->stream[first->file];
    const size_t bytes = (size_t)(last->offset - first->offset) + last->len;
    if (bytes > r->cap) {
        char *p = ac_realloc(r->buf, bytes);
        if (!p) return ac_fail_nomem(err, bytes);
        r->buf = p;
        r->cap = bytes;
    }
    r->arena.wipe = r->secret = r->secret || ac_reader_sealed(s->file);
    ac_status st = ac_reader_at(s->file, first->offset, r->buf, bytes, err);
    for (size_t i = from; i < to && !st; i++) {
        const row_rec *rec = &t->rec[i];
        const ac_item it = { { r->buf + (rec->offset - first->offset), rec->len }, rec->offset, rec->line, 1 };
        ac_row row = { 0 };
        st = row_read(r, &row, NULL, &it, t->format[rec->file], s->path, err);
        if (!st) st = row_words(r, &row, err);
        if (!st) st = fn(ctx, i, r, err);
    }
    return st;
}
