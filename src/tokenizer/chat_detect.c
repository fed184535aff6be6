/* Recognising a model's chat template by marks that only its family has (C1). Templates are programs; none is
 * run here. A template that does more than its family's (tools in the system turn, thinking, another default
 * text) carries marks of that, and is refused: near enough is not good enough for training. */
#include <string.h>

#include "tokenizer/chat_int.h"

static bool has(ac_view t, const char *mark)
{
    return ac_view_find(t, ac_view_of(mark), 0) != SIZE_MAX;
}

static bool has_any(ac_view t, const char *const *marks)
{
    for (; *marks; marks++)
        if (has(t, *marks)) return true;
    return false;
}

/* A system turn whose text stands in the template: "<|im_start|>system\n" not followed by a quote. */
static bool has_default_system(ac_view t)
{
    static const char *const open[] = { "<|im_start|>system\\n", "<|im_start|>system\n" };
    for (size_t k = 0; k < AC_COUNTOF(open); k++) {
        const ac_view mark = ac_view_of(open[k]);
        for (size_t at = ac_view_find(t, mark, 0); at != SIZE_MAX; at = ac_view_find(t, mark, at + 1)) {
            const size_t next = at + mark.len;
            if (next < t.len && t.ptr[next] != '\'' && t.ptr[next] != '"') return true;
        }
    }
    return false;
}

/* '<|' + role + '|>' and a line break behind it, in one of the spellings in use. */
static bool has_role_line(ac_view t)
{
    static const char *const marks[] = { "'|>\\n'", "'|>\n'", "<|user|>\\n'", "<|user|>\n'",
                                         "'<|user|>' + '\\n'", "'<|user|>' + '\n'", NULL };
    return has_any(t, marks);
}

static bool detect_im(ac_chat_style *s, ac_view t)
{
    static const char *const more[] = { "tool", "<think>", "</think>", "enable_thinking", "vision", "image",
                                        "You are", "<|im_system|>", NULL };
    static const char *const other_qwen[] = { "<think>", "enable_thinking", "vision_start", "MiMo", NULL };
    static const char *const other_qwen3[] = { "vision_start", "<function=", "You are Qwen", "mcp", NULL };
    if (!has(t, "<|im_start|>") || !has(t, "<|im_end|>") || has(t, "<|im_middle|>")) return false;
    if (has(t, "You are a helpful AI assistant named SmolLM, trained by Hugging Face") && !has(t, "tool")) {
        *s = ac_chat_style_of(AC_CHAT_SMOLLM2);
    } else if (has(t, "last_query_index") && has(t, "enable_thinking is false") &&
               has(t, "<think>\\n\\n</think>\\n\\n") && !has_any(t, other_qwen3)) {
        *s = ac_chat_style_of(AC_CHAT_QWEN3);
    } else if (has(t, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.") &&
               !has_any(t, other_qwen)) {
        *s = ac_chat_style_of(AC_CHAT_QWEN2);
    } else if ((has(t, "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>") ||
                has(t, "<|im_start|>system\nYou are a helpful assistant.<|im_end|>") ||
                has(t, "<|im_start|>system\\nYou are a helpful assistant<|im_end|>")) && !has(t, "tool") &&
               !has_any(t, other_qwen)) {
        *s = ac_chat_style_of(AC_CHAT_QWEN2);
        s->old_qwen = true;
        return !has(t, "a helpful assistant<|im_end|>");   /* Qwen 1.5 betas without the full stop */
    } else if (!has_any(t, more) && !has_default_system(t)) {
        *s = ac_chat_style_of(AC_CHAT_CHATML);
    } else {
        return false;
    }
    return true;
}

static bool detect_llama3(ac_chat_style *s, ac_view t)
{
    static const char *const other[] = { "functools", "recipient", "<function", "<think>", "<|im_start|>", NULL };
    if (!has(t, "<|start_header_id|>") || !has(t, "<|end_header_id|>") || !has(t, "<|eot_id|>")) return false;
    if (has_any(t, other)) return false;
    *s = ac_chat_style_of(AC_CHAT_LLAMA3);
    s->dated = has(t, "Cutting Knowledge Date: December 2023\\n") && has(t, "Today Date: ") &&
               has(t, "26 Jul 2024");
    return s->dated || !has(t, "Cutting Knowledge Date");
}

static bool detect_mistral(ac_chat_style *s, ac_view t)
{
    static const char *const spaced[] = { "{{- ' ' }}", "{{- \" \" }}", "{{ ' ' + ", "{{' ' + ", NULL };
    if (has(t, "MODEL_SETTINGS") || (has(t, "set default_system_message =") &&
                                     !has(t, "set default_system_message = ''")))
        return false;
    const bool spm = has_any(t, spaced);
    *s = ac_chat_style_of(AC_CHAT_MISTRAL);
    s->open = has(t, "' [INST] '") ? " [INST] " : spm || has(t, "[INST] '") || has(t, "[INST] \"") ? "[INST] "
                                                                                                   : "[INST]";
    s->close = has(t, "' [/INST]'") || has(t, "\" [/INST]\"") ? " [/INST]" : "[/INST]";
    s->before_answer = spm ? " " : "";
    s->after_eos = has(t, "eos_token + ' '") || has(t, "eos_token + \" \"") ? " " : "";
    if (has(t, "[SYSTEM_PROMPT]")) s->system_place = AC_SYS_TAGS;
    else if (has(t, "ns.max_idx_user") || has(t, "loop.last and system_message")) s->system_place = AC_SYS_LAST_USER;
    else if (has(t, "loop.index0 == 0 and system_message")) s->system_place = AC_SYS_FIRST_USER;
    else if (has(t, "bos_token + system_message")) s->system_place = AC_SYS_BEFORE;
    else s->system_place = AC_SYS_NONE;
    return true;
}

static bool detect_inst(ac_chat_style *s, ac_view t)
{
    if (!has(t, "[INST]") || !has(t, "[/INST]")) return false;
    if (!has(t, "<<SYS>>")) return detect_mistral(s, t);
    *s = ac_chat_style_of(AC_CHAT_LLAMA2);
    return !has(t, "[SYSTEM_PROMPT]") && !has(t, "tool");
}

static bool detect_bar_roles(ac_chat_style *s, ac_view t)
{
    static const char *const other[] = { "tool", "<think>", "</think>", "[gMASK]", "You are", "<|im_",
                                         "<|start|>", "<|header", NULL };
    if (!has(t, "<|assistant|>") || !has_role_line(t) || has_any(t, other)) return false;
    const bool any_role = has(t, "'<|' + ");
    if (has(t, "<|end|>")) {
        *s = ac_chat_style_of(AC_CHAT_PHI3);
        s->no_system = !any_role && !has(t, "<|system|>");
        s->final_eos = has(t, "{% else %}{{ eos_token }}");
        return true;
    }
    if (!has(t, "eos_token")) return false;
    *s = ac_chat_style_of(AC_CHAT_ZEPHYR);
    s->no_system = !any_role && !has(t, "<|system|>");
    return true;
}

static bool detect_gemma(ac_chat_style *s, ac_view t)
{
    if (!has(t, "<start_of_turn>") || !has(t, "<end_of_turn>") || has(t, "tool")) return false;
    *s = ac_chat_style_of(AC_CHAT_GEMMA);
    s->no_system = has(t, "System role not supported");
    return true;
}

bool ac_chat_detect(ac_chat_style *out, ac_view t)
{
    ac_chat_style s;
    if (!detect_im(&s, t) && !detect_llama3(&s, t) && !detect_inst(&s, t) && !detect_bar_roles(&s, t) &&
        !detect_gemma(&s, t))
        return false;
    /* Gemma's, and Llama 2's answers, are trimmed in each of their templates. */
    if (s.format != AC_CHAT_GEMMA && s.format != AC_CHAT_LLAMA2) s.trim = has(t, "| trim") || has(t, "|trim");
    s.trim_system = has(t, "messages[0]['content'] | trim") || has(t, "messages[0]['content']|trim");
    if (s.format != AC_CHAT_LLAMA2) s.bos = has(t, "bos_token");
    *out = s;
    return true;
}
