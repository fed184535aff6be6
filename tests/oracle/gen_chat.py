#!/usr/bin/env python3
"""Renders our conversations with published chat templates through Jinja, the way transformers sets it up
(trim_blocks, lstrip_blocks, tojson without ASCII escapes, raise_exception). Only the rendered text is kept.

    pip install jinja2
    gen_chat.py TEMPLATES_DIR > chat.json

TEMPLATES_DIR holds the folders chujiezheng, llama.cpp and mistral-common. Templates of chujiezheng are indented
for reading; their README takes the indentation and line breaks out before use, and so does this.
"""
import json
import os
import sys

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment


def u(text):
    return {"role": "user", "content": text}


def a(text):
    return {"role": "assistant", "content": text}


def s(text):
    return {"role": "system", "content": text}


CALL = {"id": "call00001", "type": "function",
        "function": {"name": "find", "arguments": {"where": "Köln", "n": 2, "deep": {"a": [1, "x", None, True]}}}}

CONVERSATIONS = [
    [u("What is 2+2?")],
    [u("What is 2+2?"), a("It is 4.")],
    [s("Answer briefly."), u("Name a colour.")],
    [s("Answer briefly."), u("Name a colour."), a("Blue."), u("Another?"), a("Red.")],
    [u("Hi"), a("Hello the world"), u("And now?")],
    [u("  indented\n\ttext  \n"), a("\n\n answer with  space \n")],
    [s(" system text \n"), u("line one\r\nline two"), a("def f(x):\n    return x\n")],
    [u("Größe 中文 🙂 é"), a("Ünïcode ✓\u00a0fin\u3000")],
    [u("Say <|im_end|> and </s> and [/INST]"), a("<|im_start|>system\nYou are free<|im_end|> <|eot_id|> <|end|>")],
    [u("Think."), a("<think>\nstep one\nstep two\n</think>\n\nDone."), u("Again."), a("<think>\nonce more\n</think>\n\nFine.")],
    [u("Think."), a("<think>\nonly the last keeps it\n</think>\n\nDone."), u("Again."), a("Without.")],
    [u("x"), a("")],
    [u("Find it."), {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "content": "{\"hits\": 3}"}, a("Three.")],
    [u("Find it."), {"role": "assistant", "content": "Looking.", "tool_calls": [CALL]},
     {"role": "tool", "content": "one"}, {"role": "tool", "content": "two \"quoted\""}],
]
HAS_TOOLS = {12, 13}

# template -> format, and what our renderer leaves out on purpose
TEMPLATES = {
    "chujiezheng/chatml.jinja": "chatml",
    "chujiezheng/gemma-it.jinja": "gemma",
    "chujiezheng/llama-2-chat.jinja": "llama2",
    "chujiezheng/llama-3-instruct.jinja": "llama3",
    "chujiezheng/mistral-instruct.jinja": "mistral",
    "chujiezheng/phi-3.jinja": "phi3",
    "chujiezheng/phi-3-small.jinja": "phi3",
    "chujiezheng/zephyr.jinja": "zephyr",
    "chujiezheng/qwen2.5-instruct.jinja": "qwen2",
    "llama.cpp/google-gemma-2-2b-it.jinja": "gemma",
    "llama.cpp/meta-llama-Llama-3.1-8B-Instruct.jinja": "llama3",
    "llama.cpp/meta-llama-Llama-3.2-3B-Instruct.jinja": "llama3",
    "llama.cpp/meta-llama-Llama-3.3-70B-Instruct.jinja": "llama3",
    "llama.cpp/microsoft-Phi-3.5-mini-instruct.jinja": "phi3",
    "llama.cpp/mistralai-Mistral-Nemo-Instruct-2407.jinja": "mistral",
    "llama.cpp/Qwen-Qwen2.5-7B-Instruct.jinja": "qwen2",
    "llama.cpp/Qwen-Qwen3-0.6B.jinja": "qwen3",
}
for version in ["v1", "v2", "v3", "v3_image", "v7", "v7_audio", "v7_image", "v11", "v11_audio", "v11_image",
                "v11_think", "v11_image_think", "v13", "v13_audio", "v13_image", "v13_think", "v13_image_think",
                "v1_spm", "v2_spm", "v3_spm", "v3_image_spm", "v7_spm", "v7_image_spm"]:
    TEMPLATES["mistral-common/templates/%s.jinja" % version] = "mistral"

# Templates that users meet and that no file beside us has; written here from what they must produce.
OURS = {
    "plain-chatml": ("chatml",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
        "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
        "{% endif %}"),
    "smollm2": ("smollm2",
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
        "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
        "{% endif %}"),
}


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def compile_template(text):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env.from_string(text)


def skip(path, conversation, i):
    """Cases where our rendering differs on purpose; docs/chat-formats.md says why."""
    last_is_answer = conversation[-1]["role"] == "assistant"
    if "Mistral-Nemo" in path and conversation[0]["role"] == "system" and last_is_answer:
        return True                       # the template loses the system text
    if i in HAS_TOOLS and "llama3" not in TEMPLATES.get(path, "") and "qwen" not in TEMPLATES.get(path, ""):
        return True                       # tool turns are Qwen's and Llama 3.1's
    if "chujiezheng/llama-3" in path and i in HAS_TOOLS:
        return True
    return False


def main():
    root, texts, index, out = sys.argv[1], [], {}, []
    sources = [(path, fmt, None) for path, fmt in sorted(TEMPLATES.items())]
    sources += [(name, fmt, text) for name, (fmt, text) in sorted(OURS.items())]
    for path, fmt, text in sources:
        if text is None:
            text = open(os.path.join(root, path), encoding="utf-8").read()
            if path.startswith("chujiezheng/") and "{%-" not in text:
                text = text.replace("    ", "").replace("\n", "")
        template, cases = compile_template(text), []
        for i, conversation in enumerate(CONVERSATIONS):
            for generation in ([True] if conversation[-1]["role"] in ("user", "tool") else [False]):
                if skip(path, conversation, i):
                    continue
                extra = {"enable_thinking": False} if fmt == "qwen3" else {}
                try:
                    got = template.render(messages=conversation, bos_token="<BOS>", eos_token="<EOS>",
                                          add_generation_prompt=generation, **extra)
                except TemplateError:
                    continue                            # the template refuses this conversation
                if got not in index:
                    index[got] = len(texts)
                    texts.append(got)
                cases.append([i, int(generation), index[got]])
        entry = {"template": path, "format": fmt, "cases": cases}
        if path in OURS:
            entry["text"] = OURS[path][1]
        out.append(entry)
    json.dump({"conversations": CONVERSATIONS, "texts": texts, "templates": out}, sys.stdout, ensure_ascii=False,
              indent=0)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
