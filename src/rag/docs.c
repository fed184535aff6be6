/* rag/docs.c - finding and reading the documents. */
#include "rag/rag_int.h"

#include <stdlib.h>
#include <string.h>
#include "base/file.h"

#define DEPTH_MAX  16
#define DOCS_MAX   ((size_t)100000)
#define DOC_BYTES  ((size_t)64 << 20)

typedef struct {
    ac_rag_doc *doc;       /* grown with ac_realloc */
    size_t n, cap;
    ac_arena *a;
    ac_err *err;
} lister;

static bool is_document(const char *name)
{
    const ac_view v = ac_view_of(name);
    return ac_view_ends(v, AC_VIEW(".md")) || ac_view_ends(v, AC_VIEW(".txt")) || ac_view_ends(v, AC_VIEW(".markdown"));
}

static ac_status add_doc(lister *l, const char *name, const char *path)
{
    if (l->n == DOCS_MAX)
        return ac_fail(l->err, AC_EFORMAT, "%s: more than %zu documents below this folder; split it", path, DOCS_MAX);
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 64;
        ac_rag_doc *p = ac_realloc(l->doc, cap * sizeof *p);
        if (!p) return ac_fail_nomem(l->err, cap * sizeof *p);
        l->doc = p;
        l->cap = cap;
    }
    l->doc[l->n++] = (ac_rag_doc){ name, path };
    return AC_OK;
}

/* Recursion ends at DEPTH_MAX folders, also when a symlink leads back up. */
static ac_status list_dir(lister *l, const char *dir, const char *prefix, int depth)
{
    char **name;
    size_t n;
    ac_status st = ac_dir_list(dir, l->a, &name, &n, l->err);
    for (size_t i = 0; i < n && !st; i++) {
        if (name[i][0] == '.') continue;
        const char *path = ac_path_join(l->a, dir, name[i]);
        const char *rel = prefix[0] ? ac_arena_printf(l->a, "%s/%s", prefix, name[i]) : name[i];
        if (!path || !rel) return ac_fail_nomem(l->err, strlen(dir));
        if (ac_path_is_dir(path)) {
            if (depth == DEPTH_MAX)
                st = ac_fail(l->err, AC_EFORMAT, "%s: folders nested deeper than %d (or a link that leads back)", path,
                             DEPTH_MAX);
            else st = list_dir(l, path, rel, depth + 1);
        } else if (is_document(name[i])) {
            st = add_doc(l, rel, path);
        }
    }
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ac_rag_doc *)a)->name, ((const ac_rag_doc *)b)->name);
}

ac_status ac_rag_list(const char *dir, ac_arena *a, ac_rag_doc **docs, size_t *n, ac_err *err)
{
    lister l = { .a = a, .err = err };
    ac_status st = list_dir(&l, dir, "", 0);
    if (!st && l.n == 0)
        st = ac_fail(err, AC_ENOENT, "%s: holds no .md or .txt file; name the folder of your documents", dir);
    ac_rag_doc *kept = st ? NULL : ac_arena_alloc_array(a, l.n, sizeof *kept);
    if (!st && !kept) st = ac_fail_nomem(err, l.n * sizeof *kept);
    if (!st) {
        memcpy(kept, l.doc, l.n * sizeof *kept);
        qsort(kept, l.n, sizeof *kept, by_name);
        *docs = kept;
        *n = l.n;
    }
    ac_free(l.doc);
    return st;
}

/* Tag characters, direction overrides and isolates, zero-width and invisible operators. The joiners U+200C and
 * U+200D stay: scripts and emoji need them. */
static bool is_hidden(uint32_t c)
{
    return c == 0xad || c == 0x200b || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e)
        || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

ac_status ac_rag_read(const ac_rag_doc *doc, ac_arena *a, ac_view *text, size_t *hidden, ac_err *err)
{
    ac_view raw;
    size_t bad, n = 0, i = 0;
    const ac_status st = ac_file_read_arena(&raw, a, doc->path, DOC_BYTES, err);
    if (st) return st;
    if (!ac_utf8_valid(raw, &bad))
        return ac_fail(err, AC_EFORMAT, "%s: byte %zu is not valid UTF-8; save the document as UTF-8", doc->path, bad);
    if (raw.len && memchr(raw.ptr, 0, raw.len))
        return ac_fail(err, AC_EFORMAT, "%s: contains NUL and is no text; leave it out of the folder", doc->path);
    char *clean = ac_arena_alloc(a, raw.len + 1);
    if (!clean) return ac_fail_nomem(err, raw.len);
    while (i < raw.len) {
        uint32_t c = 0;
        const size_t len = ac_utf8_decode(raw.ptr + i, raw.len - i, &c);
        const bool crlf = c == '\r' && i + 1 < raw.len && raw.ptr[i + 1] == '\n';
        if (is_hidden(c)) {
            if (!(c == 0xfeff && i == 0)) (*hidden)++;       /* a BOM at the start hides nothing */
        } else if (!crlf) {
            memcpy(clean + n, raw.ptr + i, len);
            n += len;
        }
        i += len;
    }
    *text = (ac_view){ clean, n };
    return AC_OK;
}

ac_status ac_rag_texts(ac_rag_text **out, size_t *n_out, ac_arena *a, const char *dir, ac_err *err)
{
    ac_rag_doc *docs = NULL;
    size_t n = 0, hidden = 0;
    ac_status st = ac_rag_list(dir, a, &docs, &n, err);
    ac_rag_text *t = st ? NULL : ac_arena_alloc_array(a, n, sizeof *t);
    if (!st && !t) st = ac_fail_nomem(err, n * sizeof *t);
    for (size_t i = 0; i < n && !st; i++) {
        t[i] = (ac_rag_text){ .name = docs[i].name, .path = docs[i].path };
        st = ac_rag_read(&docs[i], a, &t[i].text, &hidden, err);
    }
    if (!st) {
        *out = t;
        *n_out = n;
    }
    return st;
}
