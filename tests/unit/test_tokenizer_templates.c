/* Which of 102 published chat templates are recognised, and as what; all others must be refused with the list of
 * formats to choose from. That the recognised ones are rendered right is tests/oracle/test_oracle_chat.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tokenizer/chat.h"
#include "tokenizer_fixture.h"

static const struct { const char *path, *format; } expected[] = {
    { "chujiezheng/alpaca.jinja", NULL },
    { "chujiezheng/amberchat.jinja", NULL },
    { "chujiezheng/chatml.jinja", "chatml" },
    { "chujiezheng/chatqa.jinja", NULL },
    { "chujiezheng/falcon-instruct.jinja", NULL },
    { "chujiezheng/gemma-it.jinja", "gemma" },
    { "chujiezheng/granite-3.0-instruct.jinja", NULL },
    { "chujiezheng/llama-2-chat.jinja", "llama2" },
    { "chujiezheng/llama-3-instruct.jinja", "llama3" },
    { "chujiezheng/mistral-instruct.jinja", "mistral" },
    { "chujiezheng/openchat-3.5.jinja", NULL },
    { "chujiezheng/phi-3-small.jinja", "phi3" },
    { "chujiezheng/phi-3.jinja", "phi3" },
    { "chujiezheng/qwen2.5-instruct.jinja", "qwen2" },
    { "chujiezheng/saiga.jinja", NULL },
    { "chujiezheng/solar-instruct.jinja", NULL },
    { "chujiezheng/vicuna.jinja", NULL },
    { "chujiezheng/zephyr.jinja", "zephyr" },
    { "llama.cpp/Apertus-8B-Instruct.jinja", NULL },
    { "llama.cpp/Apriel-1.6-15b-Thinker-fixed.jinja", NULL },
    { "llama.cpp/Bielik-11B-v3.0-Instruct.jinja", NULL },
    { "llama.cpp/ByteDance-Seed-OSS.jinja", NULL },
    { "llama.cpp/Cohere2MoE.jinja", NULL },
    { "llama.cpp/CohereForAI-c4ai-command-r-plus-tool_use.jinja", NULL },
    { "llama.cpp/CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja", NULL },
    { "llama.cpp/GLM-4.6.jinja", NULL },
    { "llama.cpp/GLM-4.7-Flash.jinja", NULL },
    { "llama.cpp/GLM-5.2.jinja", NULL },
    { "llama.cpp/GigaChat3-10B-A1.8B.jinja", NULL },
    { "llama.cpp/GigaChat3.1-10B-A1.8B.jinja", NULL },
    { "llama.cpp/HuggingFaceTB-SmolLM3-3B.jinja", NULL },
    { "llama.cpp/Kimi-K2-Instruct.jinja", NULL },
    { "llama.cpp/Kimi-K2-Thinking.jinja", NULL },
    { "llama.cpp/LFM2-8B-A1B.jinja", NULL },
    { "llama.cpp/LFM2.5-Instruct.jinja", NULL },
    { "llama.cpp/MiMo-VL.jinja", NULL },
    { "llama.cpp/MiroThinker.jinja", NULL },
    { "llama.cpp/Mistral-Small-3.2-24B-Instruct-2506.jinja", NULL },
    { "llama.cpp/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja", NULL },
    { "llama.cpp/NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", NULL },
    { "llama.cpp/NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", NULL },
    { "llama.cpp/Qwen-QwQ-32B.jinja", NULL },
    { "llama.cpp/Qwen-Qwen2.5-7B-Instruct.jinja", "qwen2" },
    { "llama.cpp/Qwen-Qwen3-0.6B.jinja", "qwen3" },
    { "llama.cpp/Qwen3-Coder.jinja", NULL },
    { "llama.cpp/Qwen3.5-4B.jinja", NULL },
    { "llama.cpp/Reka-Edge.jinja", NULL },
    { "llama.cpp/StepFun3.5-Flash.jinja", NULL },
    { "llama.cpp/deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", NULL },
    { "llama.cpp/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", NULL },
    { "llama.cpp/deepseek-ai-DeepSeek-V3.1.jinja", NULL },
    { "llama.cpp/deepseek-ai-DeepSeek-V3.2.jinja", NULL },
    { "llama.cpp/deepseek-ai-DeepSeek-V4.jinja", NULL },
    { "llama.cpp/fireworks-ai-llama-3-firefunction-v2.jinja", NULL },
    { "llama.cpp/google-gemma-2-2b-it.jinja", "gemma" },
    { "llama.cpp/google-gemma-4-31B-it-interleaved.jinja", NULL },
    { "llama.cpp/google-gemma-4-31B-it.jinja", NULL },
    { "llama.cpp/ibm-granite-granite-3.3-2B-Instruct.jinja", NULL },
    { "llama.cpp/llama-cpp-deepseek-r1.jinja", NULL },
    { "llama.cpp/llama-cpp-rwkv-world.jinja", NULL },
    { "llama.cpp/meetkai-functionary-medium-v3.1.jinja", NULL },
    { "llama.cpp/meetkai-functionary-medium-v3.2.jinja", NULL },
    { "llama.cpp/meta-llama-Llama-3.1-8B-Instruct.jinja", "llama3" },
    { "llama.cpp/meta-llama-Llama-3.2-3B-Instruct.jinja", "llama3" },
    { "llama.cpp/meta-llama-Llama-3.3-70B-Instruct.jinja", "llama3" },
    { "llama.cpp/microsoft-Phi-3.5-mini-instruct.jinja", "phi3" },
    { "llama.cpp/mistralai-Ministral-3-14B-Reasoning-2512.jinja", NULL },
    { "llama.cpp/mistralai-Mistral-Nemo-Instruct-2407.jinja", "mistral" },
    { "llama.cpp/moonshotai-Kimi-K2.jinja", NULL },
    { "llama.cpp/openai-gpt-oss-120b.jinja", NULL },
    { "llama.cpp/stepfun-ai-Step-3.5-Flash.jinja", NULL },
    { "llama.cpp/unsloth-Apriel-1.5.jinja", NULL },
    { "llama.cpp/unsloth-mistral-Devstral-Small-2507.jinja", NULL },
    { "mistral-common/templates/v1.jinja", "mistral" },
    { "mistral-common/templates/v11.jinja", "mistral" },
    { "mistral-common/templates/v11_audio.jinja", "mistral" },
    { "mistral-common/templates/v11_image.jinja", "mistral" },
    { "mistral-common/templates/v11_image_think.jinja", "mistral" },
    { "mistral-common/templates/v11_think.jinja", "mistral" },
    { "mistral-common/templates/v13.jinja", "mistral" },
    { "mistral-common/templates/v13_audio.jinja", "mistral" },
    { "mistral-common/templates/v13_image.jinja", "mistral" },
    { "mistral-common/templates/v13_image_think.jinja", "mistral" },
    { "mistral-common/templates/v13_think.jinja", "mistral" },
    { "mistral-common/templates/v15.jinja", NULL },
    { "mistral-common/templates/v15_audio.jinja", NULL },
    { "mistral-common/templates/v15_image.jinja", NULL },
    { "mistral-common/templates/v15_image_think.jinja", NULL },
    { "mistral-common/templates/v15_think.jinja", NULL },
    { "mistral-common/templates/v1_spm.jinja", "mistral" },
    { "mistral-common/templates/v2.jinja", "mistral" },
    { "mistral-common/templates/v2_spm.jinja", "mistral" },
    { "mistral-common/templates/v3.jinja", "mistral" },
    { "mistral-common/templates/v3_image.jinja", "mistral" },
    { "mistral-common/templates/v3_image_spm.jinja", "mistral" },
    { "mistral-common/templates/v3_spm.jinja", "mistral" },
    { "mistral-common/templates/v7.jinja", "mistral" },
    { "mistral-common/templates/v7_audio.jinja", "mistral" },
    { "mistral-common/templates/v7_image.jinja", "mistral" },
    { "mistral-common/templates/v7_image_spm.jinja", "mistral" },
    { "mistral-common/templates/v7_spm.jinja", "mistral" },
    { "onnxruntime-extensions/smollm3.jinja", NULL },
};

static char templates[900];

static void each_template(void **state)
{
    (void)state;
    char *dir = tf_make_dir();
    tf_write_byte_level(dir, NULL);
    for (size_t i = 0; i < AC_COUNTOF(expected); i++) {
        char path[1200];
        ac_str text = { 0 };
        ac_err err = { 0 };
        ac_tokenizer *t = NULL;
        ac_chat *c = NULL;
        snprintf(path, sizeof path, "%s/%s", templates, expected[i].path);
        if (ac_file_read(&text, path, 1 << 20, &err)) fail_msg("%s", err.text);
        tf_write(dir, "chat_template.jinja", ac_str_view(&text));
        ac_str_release(&text);
        assert_int_equal(ac_tokenizer_open(&t, dir, &err), AC_OK);
        const ac_status st = ac_chat_open(&c, t, NULL, &err);
        if (expected[i].format) {
            if (st) fail_msg("%s: %s", expected[i].path, err.text);
            assert_string_equal(ac_chat_format_name(ac_chat_format_of(c)), expected[i].format);
        } else {
            if (st != AC_EFORMAT) fail_msg("%s was taken for %s", expected[i].path,
                                           st ? "?" : ac_chat_format_name(ac_chat_format_of(c)));
            assert_non_null(strstr(err.text, "chat_format: to chatml, smollm2, llama2"));
        }
        ac_chat_close(&c);
        ac_tokenizer_close(&t);
    }
    tf_remove_dir(dir);
}

int main(void)
{
    const char *env = getenv("ACCORD_SHARED_DATA");
    snprintf(templates, sizeof templates, "%s/chat-templates",
             env && *env ? env : ACCORD_SOURCE_DIR "/../shared/data");
    if (!ac_path_is_dir(templates)) {
        print_message("not run: no ../shared/data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_template) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
