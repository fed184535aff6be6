/* Programs that want the machine for themselves while they run: inference servers, renderers, video exports. One table. */
#include <string.h>

#include "guard/signals.h"

typedef struct {
    const char *says;        /* what to call it */
    const char *program;     /* the last part of the command; NULL: run by python */
    const char *arg;         /* an argument that must be there (a python module or script); NULL: none */
} competitor;

/* A server that waits without a model ("ollama serve") and an editor that is only open ("blender") are none. */
static const competitor table[] = {
    { "llama-server", "llama-server", NULL },
    { "llama-cli", "llama-cli", NULL },
    { "llama-bench", "llama-bench", NULL },
    { "llamafile", "llamafile", NULL },
    { "ollama runner", "ollama", "runner" },
    { "ollama runner", "ollama_llama_server", NULL },
    { "koboldcpp", "koboldcpp", NULL },
    { "LM Studio", "LM Studio", NULL },
    { "LocalAI", "local-ai", NULL },
    { "text-generation-launcher", "text-generation-launcher", NULL },
    { "text-generation-server", "text-generation-server", NULL },
    { "tritonserver", "tritonserver", NULL },
    { "vllm", "vllm", NULL },
    { "vllm", "VLLM::EngineCore", NULL },
    { "sglang", "sglang", NULL },
    { "mlx_lm.server", "mlx_lm.server", NULL },
    { "mlx_lm.server", NULL, "mlx_lm.server" },
    { "mlx_lm.generate", NULL, "mlx_lm.generate" },
    { "mlx_lm", NULL, "mlx_lm" },
    { "mlx_vlm.server", NULL, "mlx_vlm.server" },
    { "vllm", NULL, "vllm" },
    { "vllm", NULL, "vllm.entrypoints.openai.api_server" },
    { "vllm", NULL, "vllm.entrypoints.api_server" },
    { "sglang", NULL, "sglang.launch_server" },
    { "llama_cpp.server", NULL, "llama_cpp.server" },
    { "koboldcpp", NULL, "koboldcpp.py" },
    { "text-generation-server", NULL, "text-generation-server" },
    { "fastchat", NULL, "fastchat.serve.model_worker" },
    { "lmdeploy", NULL, "lmdeploy" },
    { "ffmpeg", "ffmpeg", NULL },
    { "HandBrake", "HandBrakeCLI", NULL },
    { "HandBrake", "ghb", NULL },
    { "HandBrake", "HandBrake", NULL },
    { "kdenlive", "kdenlive_render", NULL },
    { "melt", "melt", NULL },
    { "Blender", "blender", "-b" },
    { "Blender", "blender", "--background" },
    { "Blender", "Blender", "-b" },
    { "Blender", "Blender", "--background" },
    { "DaVinci Resolve", "resolve", NULL },
    { "DaVinci Resolve", "Resolve", NULL },
    { "Final Cut Pro", "Final Cut Pro", NULL },
    { "Compressor", "Compressor", NULL },
    { "Adobe Media Encoder", "Adobe Media Encoder", NULL },
    { "OBS", "obs", NULL },
    { "OBS", "OBS", NULL },
    { "makemkv", "makemkvcon", NULL },
};

#define COMM_BYTES 15            /* where the kernel cuts a name */
#define ARGS_LOOKED_AT 64

static ac_view last_part(ac_view path)
{
    size_t from = path.len;
    while (from && path.ptr[from - 1] != '/') from--;
    return ac_view_slice(path, from, path.len);
}

static ac_view next_arg(ac_view *args)
{
    const char *end = args->len ? memchr(args->ptr, '\0', args->len) : NULL;
    const size_t len = end ? (size_t)(end - args->ptr) : args->len;
    const ac_view one = ac_view_slice(*args, 0, len);
    *args = ac_view_slice(*args, len + (end != NULL), args->len);
    return one;
}

static bool named(ac_view name, const char *program, bool cut)
{
    const size_t len = strlen(program);
    if (cut && len > COMM_BYTES && name.len == COMM_BYTES) return memcmp(name.ptr, program, COMM_BYTES) == 0;
    return ac_view_eq_str(name, program);
}

static bool has_arg(ac_view args, const char *want)
{
    for (int i = 0; i < ARGS_LOOKED_AT && args.len; i++)
        if (ac_view_eq_str(next_arg(&args), want)) return true;
    return false;
}

/* What a python runs: the module behind -m, else the first argument that is no option. */
static ac_view python_runs(ac_view args)
{
    for (int i = 0; i < ARGS_LOOKED_AT && args.len; i++) {
        const ac_view a = next_arg(&args);
        if (ac_view_eq_str(a, "-m")) return next_arg(&args);
        if (ac_view_starts(a, AC_VIEW("-m")) && a.len > 2) return ac_view_slice(a, 2, a.len);
        if (ac_view_eq_str(a, "-c")) return (ac_view){ NULL, 0 };
        if (ac_view_eq_str(a, "-W") || ac_view_eq_str(a, "-X")) (void)next_arg(&args);
        else if (a.len && a.ptr[0] != '-') return last_part(a);
    }
    return (ac_view){ NULL, 0 };
}

const char *ac_guard_competitor(ac_view name, ac_view args)
{
    ac_view rest = args;
    const ac_view command = last_part(next_arg(&rest));
    const bool python = ac_view_starts(command, AC_VIEW("python")) || ac_view_starts(command, AC_VIEW("Python"));
    const ac_view module = python ? python_runs(rest) : (ac_view){ NULL, 0 };
    for (size_t i = 0; i < AC_COUNTOF(table); i++) {
        const competitor *c = &table[i];
        if (!c->program) {
            if (module.len && ac_view_eq_str(module, c->arg)) return c->says;
            continue;
        }
        /* A title that a program gave itself ("ollama runner --model ...") stands in its name alone. */
        if (!named(name, c->program, true) && !(command.len && named(command, c->program, false))) continue;
        if (!c->arg || has_arg(rest, c->arg)) return c->says;
    }
    return NULL;
}
