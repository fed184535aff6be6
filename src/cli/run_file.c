/* Files of a run folder. */
#include <string.h>

#include "base/file.h"
#include "cli/project.h"

#define JSON_FILE_MAX ((size_t)256 << 20)

ac_status ac_run_path(char **out, ac_arena *a, const char *dir, const char *name, ac_err *err)
{
    *out = ac_path_join(a, dir, name);
    return *out ? AC_OK : ac_fail_nomem(err, strlen(dir) + strlen(name) + 2);
}

const char *ac_run_id(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void member(ac_str *out, bool *first, ac_view key, ac_view value)
{
    ac_str_append_c(out, *first ? "{\n  " : ",\n  ");
    *first = false;
    ac_json_quote(out, key);
    ac_str_append_c(out, ": ");
    ac_str_append(out, value);
}

static void others(ac_str *out, bool *first, const ac_json *object, const char *but, ac_view value, bool *placed)
{
    ac_str text = { 0 };
    for (const ac_json *c = object->child; c; c = c->next) {
        const bool same = ac_view_eq_str(c->key, but);
        ac_str_reset(&text);
        if (!same) ac_json_write(&text, c);
        if (!ac_str_ok(&text)) out->failed = true;
        member(out, first, c->key, same ? value : ac_str_view(&text));
        *placed |= same;
    }
    ac_str_release(&text);
}

ac_status ac_json_file_set(const char *path, const char *key, ac_view value, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = JSON_FILE_MAX };
    ac_arena arena = { 0 };
    ac_str out = { 0 };
    const ac_json *object = NULL;
    bool first = true, placed = false;
    ac_status st = AC_OK;
    if (ac_path_exists(path)) st = ac_json_parse_file(&object, path, &arena, &limits, err);
    if (!st && object && object->type != AC_JSON_OBJECT)
        st = ac_fail(err, AC_EFORMAT, "%s: expected a JSON object, found %s", path, ac_json_type_name(object->type));
    if (!st) {
        if (object) others(&out, &first, object, key, value, &placed);
        if (!placed) member(&out, &first, ac_view_of(key), value);
        ac_str_append_c(&out, "\n}\n");
        st = ac_str_ok(&out) ? ac_file_write_atomic(path, out.ptr, out.len, err) : ac_fail_nomem(err, out.len);
    }
    ac_str_release(&out);
    ac_arena_release(&arena);
    return st;
}
