#include "cli/load.h"

#include "backend/cuda.h"
#include "base/file.h"

static ac_status locate(ac_loaded *l, const char *name, ac_err *err)
{
    return l->path ? AC_OK : ac_model_locate(&l->path, &l->arena, name, err);
}

/* A run folder holds its adapter, or all its weights, one step down. */
static ac_status load_adapter(ac_loaded *l, const char *dir, ac_err *err)
{
    static const char *const inner[][2] = { { "adapter", "adapter_config.json" }, { "model", "model.safetensors" } };
    for (size_t i = 0; i < AC_COUNTOF(inner); i++) {
        char *folder = ac_path_join(&l->arena, dir, inner[i][0]), *file = NULL;
        if (folder) file = ac_path_join(&l->arena, folder, inner[i][1]);
        if (!file) return ac_fail_nomem(err, 0);
        if (ac_path_exists(file)) return ac_adapter_load(&l->adapter, l->model, folder, err);
    }
    return ac_adapter_load(&l->adapter, l->model, dir, err);
}

static ac_status open_device(ac_loaded *l, const ac_cli *cli, ac_err *err)
{
    const bool gpu = cli->device == AC_DEVICE_CUDA || (cli->device == AC_DEVICE_AUTO && l->wants_gpu);
    return gpu ? ac_device_open_cuda(&l->device, l->gpu, err)
               : ac_device_open_cpu(&l->device, cli->cpu, (size_t)cli->threads, err);
}

ac_status ac_load_model(ac_loaded *l, const ac_cli *cli, const char *name, const char *adapter, ac_err *err)
{
    ac_status st = locate(l, name, err);
    if (!st) st = open_device(l, cli, err);
    if (!st) st = ac_model_open(&l->model, l->device, l->path, err);
    if (!st && adapter) st = load_adapter(l, adapter, err);
    return st;
}

ac_status ac_load_tokenizer(ac_loaded *l, const char *name, ac_err *err)
{
    const ac_status st = locate(l, name, err);
    return st ? st : ac_tokenizer_open(&l->tokenizer, l->path, err);
}

ac_status ac_load_chat(ac_loaded *l, const char *format, ac_err *err)
{
    return ac_chat_open(&l->chat, l->tokenizer, format, err);
}

void ac_loaded_release(ac_loaded *l)
{
    ac_chat_close(&l->chat);
    ac_tokenizer_close(&l->tokenizer);
    ac_adapter_close(&l->adapter);
    ac_model_close(&l->model);
    ac_device_close(&l->device);
    ac_arena_release(&l->arena);
    *l = (ac_loaded){ .path = NULL };
}

ac_status ac_parse_ids(ac_ids *out, const char *text, const char *where, ac_err *err)
{
    ac_view rest = ac_view_trim(ac_view_of(text));
    if (ac_view_starts(rest, AC_VIEW("[")) && ac_view_ends(rest, AC_VIEW("]")))
        rest = ac_view_trim(ac_view_slice(rest, 1, rest.len - 1));
    while (rest.len) {
        size_t comma = ac_view_find(rest, AC_VIEW(","), 0);
        const ac_view word = ac_view_trim(ac_view_slice(rest, 0, comma));
        int64_t id;
        if (!ac_parse_i64(word, &id) || id < 0 || id > INT32_MAX)
            return ac_fail(err, AC_EARG, "%s: expected token ids like 1,2,3; found \"%.40s\"", where, text);
        const ac_status st = ac_ids_push(out, (int32_t)id, err);
        if (st) return st;
        if (comma == SIZE_MAX) break;
        rest = ac_view_slice(rest, comma + 1, rest.len);
        if (rest.len == 0)
            return ac_fail(err, AC_EARG, "%s: ends in a comma; expected token ids like 1,2,3", where);
    }
    return AC_OK;
}

void ac_write_ids(ac_str *out, const int32_t *ids, size_t n)
{
    ac_str_append_char(out, '[');
    for (size_t i = 0; i < n; i++) ac_str_appendf(out, "%s%d", i ? "," : "", ids[i]);
    ac_str_append_char(out, ']');
}
