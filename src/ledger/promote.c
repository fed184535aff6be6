/* What serves: the history of a channel, the link that servers follow, and the hashes of what was promoted. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "ledger/ledger.h"

#define HISTORY_MAX_BYTES ((size_t)64 << 20)

bool ac_channel_ok(const char *channel)
{
    const size_t n = strlen(channel);
    for (size_t i = 0; i < n; i++) {
        const char c = channel[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return n > 0 && n <= 40;
}

static char *history_path(ac_arena *a, const char *project, const char *channel)
{
    const char *dir = ac_path_join(a, project, ".accord/promoted");
    char *name = ac_arena_printf(a, "%s.json", channel);
    return dir && name ? ac_path_join(a, dir, name) : NULL;
}

/* ---- reading ---- */

static ac_status text_of(const char **out, const ac_json *o, const char *key, bool needed, const char *where, ac_arena *a,
                         ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    *out = NULL;
    if (!needed && (!v || v->type == AC_JSON_NULL)) return AC_OK;
    ac_view text;
    const ac_status st = ac_json_get_str(&text, o, key, where, err);
    if (st) return st == AC_ENOENT ? ac_fail(err, AC_EFORMAT, "%s: an act lacks \"%s\"", where, key) : st;
    *out = ac_arena_strndup(a, text.ptr, text.len);
    return *out ? AC_OK : ac_fail_nomem(err, text.len);
}

static ac_status one_act(ac_promotion *p, const ac_json *o, const char *where, ac_arena *a, ac_err *err)
{
    const char *act = NULL;
    ac_status st = text_of(&act, o, "act", true, where, a, err);
    if (!st) st = text_of(&p->run, o, "run", true, where, a, err);
    if (!st) st = text_of(&p->folder, o, "folder", true, where, a, err);
    if (!st) st = text_of(&p->lock, o, "lock", true, where, a, err);
    if (!st) st = text_of(&p->verdict, o, "verdict", false, where, a, err);
    if (!st) st = text_of(&p->adapter_sha256, o, "adapter_sha256", true, where, a, err);
    if (!st) st = text_of(&p->utc, o, "utc", true, where, a, err);
    if (!st) st = text_of(&p->by, o, "by", true, where, a, err);
    if (!st) st = text_of(&p->reason, o, "reason", false, where, a, err);
    if (!st) st = text_of(&p->integration, o, "integration", false, where, a, err);
    if (st) return st;
    p->rollback = strcmp(act, "rollback") == 0;
    p->files = ac_json_get(o, "files");
    if (!p->rollback && strcmp(act, "promote") != 0)
        return ac_fail(err, AC_EFORMAT, "%s: \"act\" must be \"promote\" or \"rollback\", found \"%.40s\"", where, act);
    if (!ac_path_component_ok(ac_view_of(p->run)) || (strcmp(p->folder, "adapter") && strcmp(p->folder, "model")))
        return ac_fail(err, AC_EFORMAT, "%s: an act names no run folder of this project", where);
    if (!p->rollback && (!p->files || p->files->type != AC_JSON_OBJECT || !p->files->child))
        return ac_fail(err, AC_EFORMAT, "%s: the promotion of %s lacks the hashes of its files", where, p->run);
    return AC_OK;
}

/* Replays the history: the stack of promotions that no rollback has taken off. */
static ac_status replay(ac_promotions *h, const char *where, ac_err *err)
{
    for (size_t i = 0; i < h->n; i++) {
        const ac_promotion *p = &h->act[i];
        if (!p->rollback) {
            h->stack[h->n_stack++] = i;
            continue;
        }
        if (h->n_stack) h->n_stack--;
        while (h->n_stack && strcmp(h->act[h->stack[h->n_stack - 1]].run, p->run) != 0) h->n_stack--;
        if (!h->n_stack)
            return ac_fail(err, AC_EFORMAT, "%s: act %zu goes back to %s, which did not serve before; the history was "
                           "changed by hand", where, i + 1, p->run);
    }
    return AC_OK;
}

ac_status ac_promotions_read(ac_promotions *out, ac_arena *a, const char *project, const char *channel, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = HISTORY_MAX_BYTES };
    ac_promotions h = { 0 };
    const ac_json *o = NULL;
    const char *path = history_path(a, project, channel);
    if (!path) return ac_fail_nomem(err, 128);
    if (!ac_path_exists(path)) {
        *out = h;
        return AC_OK;
    }
    ac_status st = ac_json_parse_file(&o, path, a, &limits, err);
    if (st) return st;
    const ac_json *acts = ac_json_get(o, "acts");
    if (!acts || acts->type != AC_JSON_ARRAY) return ac_fail(err, AC_EFORMAT, "%s: lacks the list \"acts\"", path);
    h.act = ac_arena_alloc_array(a, acts->n + 1, sizeof *h.act);
    h.stack = ac_arena_alloc_array(a, acts->n + 1, sizeof *h.stack);
    if (!h.act || !h.stack) return ac_fail_nomem(err, acts->n * sizeof *h.act);
    for (const ac_json *c = acts->child; c && !st; c = c->next) st = one_act(&h.act[h.n++], c, path, a, err);
    if (!st) st = replay(&h, path, err);
    if (!st) *out = h;
    return st;
}

/* ---- writing ---- */

static void write_act(ac_jw *w, const ac_promotion *p)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "act", p->rollback ? "rollback" : "promote");
    ac_jw_cstr(w, "run", p->run);
    ac_jw_cstr(w, "folder", p->folder);
    ac_jw_cstr(w, "lock", p->lock);
    ac_jw_cstr(w, "verdict", p->verdict);
    ac_jw_cstr(w, "adapter_sha256", p->adapter_sha256);
    ac_jw_cstr(w, "utc", p->utc);
    ac_jw_cstr(w, "by", p->by);
    ac_jw_cstr(w, "reason", p->reason);
    ac_jw_cstr(w, "integration", p->integration);
    if (p->files) {
        ac_jw_object(w, "files");
        for (const ac_json *f = p->files->child; f; f = f->next) ac_jw_str(w, f->key.ptr, f->text);
        ac_jw_end_object(w);
    }
    ac_jw_end_object(w);
}

static ac_status point(const char *project, const char *channel, const ac_promotion *p, ac_arena *a, ac_err *err)
{
    const char *dir = ac_path_join(a, project, ".accord/promoted");
    const char *link = dir ? ac_path_join(a, dir, channel) : NULL;
    const char *target = ac_arena_printf(a, "../runs/%s/%s", p->run, p->folder);
    if (!link || !target) return ac_fail_nomem(err, 128);
    const ac_status st = ac_symlink_replace(target, link, err);
    return st ? st : ac_dir_sync(dir, err);
}

ac_status ac_promotions_relink(const ac_promotions *h, const char *project, const char *channel, ac_err *err)
{
    ac_arena a = { 0 };
    if (!h->n_stack) return AC_OK;
    const ac_status st = point(project, channel, &h->act[h->stack[h->n_stack - 1]], &a, err);
    ac_arena_release(&a);
    return st;
}

ac_status ac_promotions_push(const char *project, const char *channel, const ac_promotion *p, const char *files_json,
                             ac_err *err)
{
    ac_arena a = { 0 };
    ac_promotions h;
    ac_promotion own = *p;
    ac_str s = { 0 };
    ac_jw w;
    const char *path = history_path(&a, project, channel), *dir = ac_path_join(&a, project, ".accord/promoted");
    ac_status st = path && dir ? ac_promotions_read(&h, &a, project, channel, err) : ac_fail_nomem(err, 128);
    if (!st && files_json) st = ac_json_parse(&own.files, ac_view_of(files_json), &a, "hashes", 1, NULL, err);
    if (!st) {
        ac_jw_init(&w, &s, true);
        ac_jw_object(&w, NULL);
        ac_jw_u64(&w, "format", 1);
        ac_jw_cstr(&w, "channel", channel);
        ac_jw_array(&w, "acts");
        for (size_t i = 0; i < h.n; i++) write_act(&w, &h.act[i]);
        write_act(&w, &own);
        ac_jw_end_array(&w);
        ac_jw_end_object(&w);
        ac_str_append_char(&s, '\n');
        st = ac_str_ok(&s) ? ac_mkdir_p(dir, err) : ac_fail_nomem(err, s.len);
    }
    if (!st) st = ac_file_write_atomic(path, s.ptr, s.len, err);
    if (!st) st = point(project, channel, &own, &a, err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

/* ---- hashes of what was promoted ---- */

ac_status ac_run_files_json(ac_str *out, const char *run, const char *folder, ac_err *err)
{
    ac_arena a = { 0 };
    char **names = NULL, hex[AC_SHA256_HEX];
    size_t n = 0;
    const char *dir = ac_path_join(&a, run, folder);
    ac_status st = dir ? ac_dir_list(dir, &a, &names, &n, err) : ac_fail_nomem(err, 128);
    ac_str_append_char(out, '{');
    for (size_t i = 0; i < n && !st; i++) {
        ac_sha256 h;
        const char *path = ac_path_join(&a, dir, names[i]);
        st = path ? ac_sha256_file(&h, path, err) : ac_fail_nomem(err, 128);
        if (st) break;
        ac_sha256_hex(hex, &h);
        if (i) ac_str_append_char(out, ',');
        ac_json_quote(out, ac_view_of(names[i]));
        ac_str_appendf(out, ":\"%s\"", hex);
    }
    ac_str_append_char(out, '}');
    if (!st && n == 0) st = ac_fail(err, AC_EFORMAT, "%s: holds no file", dir);
    if (!st && !ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    ac_arena_release(&a);
    return st;
}

ac_status ac_run_files_check(const char *run, const char *folder, const ac_json *files, ac_err *err)
{
    ac_arena a = { 0 };
    ac_str now = { 0 };
    const ac_json *have = NULL;
    ac_status st = ac_run_files_json(&now, run, folder, err);
    if (!st) st = ac_json_parse(&have, ac_str_view(&now), &a, "hashes", 1, NULL, err);
    for (const ac_json *f = files->child; f && !st; f = f->next) {
        const ac_json *is = NULL;
        for (const ac_json *c = have->child; c && !is; c = c->next)
            if (ac_view_eq(c->key, f->key)) is = c;
        if (!is || f->type != AC_JSON_STRING || !ac_view_eq(is->text, f->text))
            st = ac_fail(err, AC_ECONTRACT, "%s/%s/" AC_VIEW_FMT ": %s since it was promoted", run, folder,
                         AC_VIEW_ARG(f->key), is ? "was changed" : "has gone");
    }
    if (!st && have->n != files->n)
        st = ac_fail(err, AC_ECONTRACT, "%s/%s: holds %u files, %u were promoted", run, folder, have->n, files->n);
    ac_str_release(&now);
    ac_arena_release(&a);
    return st;
}
