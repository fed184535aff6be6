/* The audit chain (A1, A2). The whole file is checked before each append: acts are rare and lines are short, and
 * a record put on top of a damaged chain would make the damage look old. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/time.h"
#include "ledger/ledger.h"

#define CHAIN_MAX ((size_t)1 << 30)
#define RECORD_MAX ((size_t)1 << 20)
#define LOCK_WAIT_MS 10000

typedef struct {
    ac_arena arena;
    ac_view text;              /* the file */
    uint64_t count;
    ac_sha256 head;            /* zeros while empty */
    size_t good_bytes;         /* up to the end of the last whole record */
    size_t torn_bytes;         /* after it, without a line end */
    uint64_t bad_line;         /* 0: the chain holds */
    char why[256];
} chain;

static ac_audit_key_fn *key_of;

void ac_audit_use_key(ac_audit_key_fn *fn)
{
    key_of = fn;
}

static void chain_release(chain *c)
{
    ac_arena_release(&c->arena);
}

static char *chain_path(ac_arena *a, const char *project, const char *name)
{
    char *dir = ac_path_join(a, project, ".accord");
    return dir ? ac_path_join(a, dir, name) : NULL;
}

/* ---- one record ---- */

/* The record without "hash" (and "mac", where that is to be computed), in canonical form, appended to out. */
static ac_status form_without(ac_str *out, const ac_json *record, bool mac, ac_arena *a, ac_err *err)
{
    ac_json root = *record;
    ac_json *kept = NULL;
    root.child = NULL;
    root.n = 0;
    for (const ac_json *c = record->child; c; c = c->next) {
        if (ac_view_eq_str(c->key, "hash") || (mac && ac_view_eq_str(c->key, "mac"))) continue;
        ac_json *copy = ac_arena_alloc(a, sizeof *copy);
        if (!copy) return ac_fail_nomem(err, sizeof *copy);
        *copy = *c;
        copy->next = NULL;
        if (kept) kept->next = copy;
        else root.child = copy;
        kept = copy;
        root.n++;
    }
    ac_json_canonical(out, &root);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

static ac_status hashed_form(ac_str *out, const ac_json *record, ac_arena *a, ac_err *err)
{
    return form_without(out, record, false, a, err);
}

static bool is_hash(const ac_json *v, ac_sha256 *out)
{
    return v && v->type == AC_JSON_STRING && ac_sha256_parse(out, v->text) == 0;
}

static bool bad(chain *c, const char *why)
{
    c->bad_line = c->count + 1;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    return false;
}

/* Is the record what has to stand here? Takes it into the chain when it is. */
static ac_status check_record(chain *c, ac_view line, const ac_json *record, ac_arena *a, bool *ok, ac_err *err)
{
    ac_str s = { 0 };
    ac_sha256 prev, hash;
    int64_t seq;
    const ac_json *number = ac_json_get(record, "seq"), *act = ac_json_get(record, "act");
    *ok = false;
    ac_json_canonical(&s, record);
    const bool canonical = ac_view_eq(ac_str_view(&s), line);
    ac_status st = ac_str_ok(&s) ? AC_OK : ac_fail_nomem(err, line.len);
    ac_str_reset(&s);
    if (!st) st = hashed_form(&s, record, a, err);
    const ac_sha256 computed = ac_sha256_of(ac_str_c(&s), s.len);
    ac_str_release(&s);
    if (st) return st;
    if (!act || act->type != AC_JSON_STRING) bad(c, "the record has no act");
    else if (!number || !ac_json_as_i64(number, &seq) || seq < 1 || (uint64_t)seq != c->count + 1)
        bad(c, "the record's seq is not one more than the one before: records are missing or out of order");
    else if (!is_hash(ac_json_get(record, "prev"), &prev) || memcmp(prev.byte, c->head.byte, sizeof prev.byte) != 0)
        bad(c, "prev is not the hash of the record before");
    else if (!is_hash(ac_json_get(record, "hash"), &hash) || memcmp(hash.byte, computed.byte, sizeof hash.byte) != 0)
        bad(c, "the record does not match its own hash: it was changed");
    else if (!canonical) bad(c, "the record is not in canonical form: it was rewritten");
    else *ok = true;
    if (*ok) c->head = computed;
    return AC_OK;
}

typedef ac_status each_fn(void *ctx, const ac_json *record, ac_err *err);

static ac_status check_line(chain *c, const char *path, ac_view line, bool *ok, each_fn *each, void *ctx, ac_err *err)
{
    ac_arena scratch = { 0 };
    ac_err parse = { 0 };
    const ac_json *record;
    *ok = false;
    ac_status st = line.len > RECORD_MAX ? AC_EFORMAT
        : ac_json_parse(&record, line, &scratch, path, (size_t)c->count + 1, NULL, &parse);
    if (st == AC_EFORMAT || (!st && record->type != AC_JSON_OBJECT)) {
        bad(c, "the line is not a JSON object of ours");
        st = AC_OK;
    } else if (st) {
        st = ac_fail(err, st, "%s", parse.text);
    } else {
        st = check_record(c, line, record, &scratch, ok, err);
        if (!st && *ok && each) st = each(ctx, record, err);
    }
    ac_arena_release(&scratch);
    return st;
}

/* Reads and checks the chain up to its first bad record. each (may be NULL) sees every good one. */
static ac_status chain_read(chain *c, const char *path, each_fn *each, void *ctx, ac_err *err)
{
    *c = (chain){ 0 };
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_file_read_arena(&c->text, &c->arena, path, CHAIN_MAX, err);
    while (!st && c->good_bytes < c->text.len) {
        const char *p = c->text.ptr + c->good_bytes;
        const size_t left = c->text.len - c->good_bytes;
        const char *lf = memchr(p, '\n', left);
        if (!lf) {
            c->torn_bytes = left;
            break;
        }
        const ac_view line = { p, (size_t)(lf - p) };
        bool ok;
        st = check_line(c, path, line, &ok, each, ctx, err);
        if (st || !ok) break;
        c->good_bytes += line.len + 1;
        c->count++;
    }
    if (st) chain_release(c);
    return st;
}

/* ---- appending ---- */

/* "mac" goes into the text of a record that has neither it nor "hash" yet. */
static ac_status add_mac(ac_str *raw, const ac_json **record, ac_arena *a, ac_err *err)
{
    ac_view key = { NULL, 0 };
    ac_str form = { 0 };
    char hex[AC_SHA256_HEX];
    ac_status st = key_of ? key_of(&key, err) : AC_OK;
    if (st || !key.len) return st;
    st = form_without(&form, *record, true, a, err);
    if (!st) {
        const ac_sha256 mac = ac_hmac_sha256(key, ac_str_view(&form));
        ac_sha256_hex(hex, &mac);
        ac_str_reset(raw);
        ac_str_append(raw, ac_view_slice(ac_str_view(&form), 0, form.len - 1));
        ac_str_appendf(raw, ",\"mac\":\"%s\"}", hex);
        st = ac_str_ok(raw) ? ac_json_parse(record, ac_str_view(raw), a, "audit record", 1, NULL, err)
            : ac_fail_nomem(err, raw->len);
    }
    ac_str_release(&form);
    return st;
}

static ac_status make_record(ac_str *line, const chain *c, const char *act, const char *fields, ac_sha256 *hash,
                             ac_err *err)
{
    char utc[32], prev[AC_SHA256_HEX], hex[AC_SHA256_HEX];
    ac_str raw = { 0 };
    ac_arena a = { 0 };
    const ac_json *record = NULL;
    ac_err parse = { 0 };
    ac_utc_iso(utc, ac_utc_ns());
    ac_sha256_hex(prev, &c->head);
    ac_str_append_c(&raw, "{\"act\":");
    ac_json_quote(&raw, ac_view_of(act));
    ac_str_appendf(&raw, ",\"prev\":\"%s\",\"seq\":%llu,\"utc\":\"%s\"", prev, (unsigned long long)c->count + 1, utc);
    if (fields && fields[0]) ac_str_appendf(&raw, ",%s", fields);
    ac_str_append_char(&raw, '}');
    ac_status st = ac_str_ok(&raw) ? AC_OK : ac_fail_nomem(err, raw.len);
    if (!st && (st = ac_json_parse(&record, ac_str_view(&raw), &a, "audit record", 1, NULL, &parse)))
        st = ac_fail(err, st == AC_EFORMAT ? AC_EARG : st, "%s", parse.text);
    if (!st && (ac_json_get(record, "hash") || ac_json_get(record, "mac")))
        st = ac_fail(err, AC_EARG, "audit record: \"hash\" and \"mac\" are reserved keys");
    if (!st) st = add_mac(&raw, &record, &a, err);
    if (!st) st = hashed_form(line, record, &a, err);
    if (!st && line->len + 80 > RECORD_MAX)
        st = ac_fail(err, AC_EARG, "audit record: has %zu bytes; at most %zu are kept", line->len, RECORD_MAX - 80);
    if (!st) *hash = ac_sha256_of(ac_str_c(line), line->len);
    ac_str_reset(&raw);
    if (!st) {                                       /* "hash" goes where canonical order wants it */
        ac_sha256_hex(hex, hash);
        ac_str_append(&raw, ac_view_slice(ac_str_view(line), 0, line->len - 1));
        ac_str_appendf(&raw, ",\"hash\":\"%s\"}", hex);
        ac_str_reset(line);
        st = ac_str_ok(&raw) ? AC_OK : ac_fail_nomem(err, raw.len);
        if (!st) st = ac_json_parse(&record, ac_str_view(&raw), &a, "audit record", 1, NULL, err);
        if (!st) ac_json_canonical(line, record);
        if (!st && !ac_str_ok(line)) st = ac_fail_nomem(err, line->len);
    }
    ac_str_release(&raw);
    ac_arena_release(&a);
    return st;
}

static ac_status append_record(chain *c, ac_appender *to, const char *act, const char *fields, ac_err *err)
{
    ac_str line = { 0 };
    ac_sha256 hash;
    ac_status st = make_record(&line, c, act, fields, &hash, err);
    if (!st) st = ac_appender_line(to, ac_str_view(&line), err);
    if (!st) {
        c->head = hash;
        c->count++;
    }
    ac_str_release(&line);
    return st;
}

static ac_status append_checked(chain *c, const char *path, const char *act, const char *fields, ac_err *err)
{
    ac_appender *to = NULL;
    const size_t before = c->good_bytes;
    ac_status st = AC_OK;
    if (c->torn_bytes && (st = ac_truncate(path, before, err))) return st;
    st = ac_appender_open(&to, path, err);
    if (!st && c->torn_bytes) {
        char cut[64];
        (void)snprintf(cut, sizeof cut, "\"cut_bytes\":%zu", c->torn_bytes);
        st = append_record(c, to, "recovered", cut, err);
    }
    if (!st) st = append_record(c, to, act, fields, err);
    if (!st) st = ac_appender_sync(to, err);
    ac_appender_close(&to);
    /* Half a record is only a torn tail, but there is no reason to leave one behind. */
    if (st && ac_path_exists(path)) (void)ac_truncate(path, before, NULL);
    return st;
}

static ac_status damaged(const chain *c, const char *path, ac_status st, ac_err *err)
{
    return ac_fail(err, st, "%s:%llu: %s; nothing more is appended; keep the file and compare it with a copy", path,
                   (unsigned long long)c->bad_line, c->why);
}

static ac_status take_lock(ac_lockfile **lock, const char *path, ac_err *err)
{
    for (int waited = 0;; waited += 20) {
        ac_err own = { 0 };
        const ac_status st = ac_lockfile_take(lock, path, &own);
        if (st != AC_ESTATE || waited >= LOCK_WAIT_MS) return st ? ac_fail(err, st, "%s", own.text) : AC_OK;
        const struct timespec pause = { 0, 20000000 };
        (void)nanosleep(&pause, NULL);
    }
}

ac_status ac_audit_append(const char *project, const char *act, const char *fields, ac_err *err)
{
    ac_arena a = { 0 };
    ac_lockfile *lock = NULL;
    chain c = { 0 };
    const char *dir = ac_path_join(&a, project, ".accord");
    const char *path = chain_path(&a, project, "audit.jsonl"), *lock_path = chain_path(&a, project, "audit.lock");
    ac_status st = dir && path && lock_path ? AC_OK : ac_fail_nomem(err, 64);
    if (!st) st = ac_mkdir_p(dir, err);
    if (!st) st = take_lock(&lock, lock_path, err);
    if (!st) st = chain_read(&c, path, NULL, NULL, err);
    const bool is_new = !st && c.text.len == 0;
    if (!st) st = c.bad_line ? damaged(&c, path, AC_ESTATE, err) : append_checked(&c, path, act, fields, err);
    if (!st && is_new) st = ac_dir_sync(dir, err);
    chain_release(&c);
    ac_lockfile_drop(&lock);
    ac_arena_release(&a);
    return st;
}

/* ---- reading ---- */

ac_status ac_audit_verify(const char *project, ac_audit_head *out, ac_err *err)
{
    ac_arena a = { 0 };
    chain c = { 0 };
    const char *path = chain_path(&a, project, "audit.jsonl");
    ac_status st = path ? chain_read(&c, path, NULL, NULL, err) : ac_fail_nomem(err, 64);
    if (!st && c.bad_line)
        st = ac_fail(err, AC_ENO, "%s:%llu: %s", path, (unsigned long long)c.bad_line, c.why);
    else if (!st && c.torn_bytes)
        st = ac_fail(err, AC_ENO, "%s:%llu: the last line is torn (%zu bytes without a line end), as after a power "
                     "loss; the next act cuts it off and says so", path, (unsigned long long)c.count + 1,
                     c.torn_bytes);
    if (!st) *out = (ac_audit_head){ c.count, c.head };
    chain_release(&c);
    ac_arena_release(&a);
    return st;
}

typedef struct {
    const char *act, *lock;
    uint64_t n;
} counter;

static ac_status count_record(void *ctx, const ac_json *record, ac_err *err)
{
    counter *k = ctx;
    const ac_json *act = ac_json_get(record, "act"), *lock = ac_json_get(record, "lock");
    (void)err;
    if (!ac_view_eq_str(act->text, k->act)) return AC_OK;
    if (k->lock && !(lock && lock->type == AC_JSON_STRING && ac_view_eq_str(lock->text, k->lock))) return AC_OK;
    k->n++;
    return AC_OK;
}

ac_status ac_audit_count(const char *project, const char *act, const char *lock_hex, uint64_t *out, ac_err *err)
{
    ac_arena a = { 0 };
    chain c = { 0 };
    counter k = { act, lock_hex, 0 };
    const char *path = chain_path(&a, project, "audit.jsonl");
    ac_status st = path ? chain_read(&c, path, count_record, &k, err) : ac_fail_nomem(err, 64);
    if (!st && c.bad_line) st = damaged(&c, path, AC_ESTATE, err);
    if (!st) *out = k.n;
    chain_release(&c);
    ac_arena_release(&a);
    return st;
}

typedef struct {
    ac_audit_fn *fn;
    void *ctx;
    uint64_t seq;
} seen;

static ac_status see_record(void *ctx, const ac_json *record, ac_err *err)
{
    seen *s = ctx;
    return s->fn(s->ctx, record, ++s->seq, ac_json_get(record, "hash")->text.ptr, err);
}

ac_status ac_audit_each(const char *project, ac_audit_fn *fn, void *ctx, ac_err *err)
{
    ac_arena a = { 0 };
    chain c = { 0 };
    seen s = { fn, ctx, 0 };
    const char *path = chain_path(&a, project, "audit.jsonl");
    ac_status st = path ? chain_read(&c, path, see_record, &s, err) : ac_fail_nomem(err, 64);
    if (!st && c.bad_line) st = ac_fail(err, AC_ENO, "%s:%llu: %s", path, (unsigned long long)c.bad_line, c.why);
    chain_release(&c);
    ac_arena_release(&a);
    return st;
}

/* ---- heads (A4) ---- */

typedef struct {
    uint64_t wanted, count;
    ac_sha256 found;
} looked_for;

static ac_status look(void *ctx, const ac_json *record, uint64_t seq, const char *hash, ac_err *err)
{
    looked_for *f = ctx;
    (void)record;
    f->count = seq;
    if (seq == f->wanted && ac_sha256_parse(&f->found, ac_view_of(hash)) != 0)
        return ac_fail(err, AC_ESTATE, "record %llu has no hash", (unsigned long long)seq);
    return AC_OK;
}

ac_status ac_audit_check_head(const char *project, const ac_audit_head *head, const char *from, ac_err *err)
{
    looked_for f = { .wanted = head->count };
    const ac_status st = ac_audit_each(project, look, &f, err);
    if (st || head->count == 0) return st;
    if (f.count < head->count)
        return ac_fail(err, AC_ENO, "the chain has %llu records, and %s saw %llu: its end was cut off, or it is another chain",
                       (unsigned long long)f.count, from, (unsigned long long)head->count);
    if (memcmp(f.found.byte, head->head.byte, sizeof f.found.byte) == 0) return AC_OK;
    char is[AC_SHA256_HEX], was[AC_SHA256_HEX];
    ac_sha256_hex(is, &f.found);
    ac_sha256_hex(was, &head->head);
    return ac_fail(err, AC_ENO, "record %llu has the hash %.16s..., and %s saw %.16s...: the chain was written anew, or it is "
                   "another one", (unsigned long long)head->count, is, from, was);
}

ac_status ac_audit_head_parse(ac_audit_head *out, const char *text, ac_err *err)
{
    const ac_view v = ac_view_of(text);
    const size_t colon = ac_view_find(v, AC_VIEW(":"), 0);
    ac_audit_head h;
    if (colon == SIZE_MAX || !ac_parse_u64(ac_view_slice(v, 0, colon), &h.count)
        || ac_sha256_parse(&h.head, ac_view_slice(v, colon + 1, v.len)) != 0)
        return ac_fail(err, AC_EARG, "head \"%.100s\": expected COUNT:HASH, as accord audit verify prints it", text);
    *out = h;
    return AC_OK;
}

void ac_audit_head_text(char out[AC_AUDIT_HEAD_TEXT], const ac_audit_head *head)
{
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &head->head);
    (void)snprintf(out, AC_AUDIT_HEAD_TEXT, "%llu:%s", (unsigned long long)head->count, hex);
}

/* ---- MACs (A5) ---- */

typedef struct {
    ac_view key;
    uint64_t from, seq;
    ac_audit_macs found;
} mac_check;

static bool same_bytes(const ac_sha256 *x, const ac_sha256 *y)
{
    unsigned differ = 0;
    for (size_t i = 0; i < sizeof x->byte; i++) differ |= (unsigned)(x->byte[i] ^ y->byte[i]);
    return !differ;
}

static ac_status check_mac(void *ctx, const ac_json *record, ac_err *err)
{
    mac_check *k = ctx;
    ac_sha256 said;
    ac_arena a = { 0 };
    ac_str form = { 0 };
    const ac_json *mac = ac_json_get(record, "mac");
    const unsigned long long seq = ++k->seq;
    if (!mac && k->found.first)
        return ac_fail(err, AC_ENO, "record %llu carries no MAC, and record %llu does: it was written without the key", seq,
                       (unsigned long long)k->found.first);
    if (!mac && k->from && seq >= k->from)
        return ac_fail(err, AC_ENO, "record %llu carries no MAC: it was written without the key", seq);
    if (!mac) return AC_OK;
    ac_status st = form_without(&form, record, true, &a, err);
    if (!st) {
        const ac_sha256 computed = ac_hmac_sha256(k->key, ac_str_view(&form));
        if (!is_hash(mac, &said) || !same_bytes(&said, &computed))
            st = ac_fail(err, AC_ENO, "record %llu: its MAC is not one of this key: it was written with another key, or changed",
                         seq);
    }
    if (!k->found.first) k->found.first = seq;
    k->found.keyed++;
    ac_str_release(&form);
    ac_arena_release(&a);
    return st;
}

ac_status ac_audit_check_macs(const char *project, ac_view key, uint64_t from, ac_audit_macs *out, ac_err *err)
{
    ac_arena a = { 0 };
    chain c = { 0 };
    mac_check k = { .key = key, .from = from };
    const char *path = chain_path(&a, project, "audit.jsonl");
    ac_status st = path ? chain_read(&c, path, check_mac, &k, err) : ac_fail_nomem(err, 64);
    if (!st && c.bad_line) st = ac_fail(err, AC_ENO, "%s:%llu: %s", path, (unsigned long long)c.bad_line, c.why);
    if (!st && from > k.seq)
        st = ac_fail(err, AC_ENO, "the chain has %llu records, and record %llu was to carry a MAC: its end was cut off, or it is "
                     "another chain", (unsigned long long)k.seq, (unsigned long long)from);
    if (!st) *out = k.found;
    chain_release(&c);
    ac_arena_release(&a);
    return st;
}
