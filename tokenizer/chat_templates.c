/* chat_templates.c - the families: how each is recognised, and its own words. Data only.
 *
 * Source of each: the chat_template of tokenizer_config.json of the model named beside it. */
#include "chat.h"

#define DEEPSEEK_CODER_PROMPT                                                                                \
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek "        \
    "Company, and you "                                                                                      \
    "only answer questions related to computer science. For politically sensitive questions, security and "  \
    "privacy "                                                                                               \
    "issues, and other non-computer science questions, you will refuse to answer\n"

#define DEEPSEEK_BOS "<｜begin▁of▁sentence｜>"
#define DEEPSEEK_EOS "<｜end▁of▁sentence｜>"
#define CHATML                                                                                               \
    .has = {"'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'",                         \
            "'<|im_start|>assistant\n'"},                                                                    \
    .lacks = {"trim", "strip(", "loop.lastandadd_generation_prompt", "<think>", "<|im_sep|>"},               \
    .render = vb_render_chatml, .chatml = true
#define LLAMA3_TURN                                                                                          \
    "'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'"
#define PHI35_SYSTEM                                                                                         \
    "{%ifmessage['role']=='system'andmessage['content']%}{{'<|system|>\n'+message['content']+'<|end|>\n'}}"
#define ASSISTANT_THEN_EOS  "message['content']+eos_token"
#define SYSTEM_IN_LAST_TURN "loop.lastandsystem_messageisdefined"

const vb_chat_family vb_chat_families[] = {
    {.name = "chatml", CHATML}, /* OpenHermes, SmolLM, ... */
    {.name = "qwen1.5", .text = "You are a helpful assistant", CHATML},
    {.name = "qwen2", .text = "You are a helpful assistant.", CHATML},
    {.name = "qwen2.5",
     .text = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     CHATML},
    {.name = "smollm2",
     .text = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     CHATML},
    {.name = "qwen3",
     .has = {"'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'", "ns.last_query_index",
             ".split('</think>')[-1].lstrip('\n')",
             "'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+content.lstrip('\n')",
             "enable_thinkingisdefinedandenable_thinkingisfalse"},
     .render = vb_render_qwen3,
     .chatml = true},
    {.name = "llama2", /* Llama-2-7b-chat-hf */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"bos_token+'[INST] '+content.strip()+' [/INST]'", "' '+content.strip()+' '+eos_token",
             "'<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content']"},
     .lacks = {"eliftrue==true", "USE_DEFAULT_PROMPT",
               "{%else%}{%setloop_messages=messages%}{%setsystem_message='"},
     .render = vb_render_llama2},
    {.name = "llama3", /* Meta-Llama-3-8B-Instruct */
     .bos = "<|begin_of_text|>",
     .has = {LLAMA3_TURN, "'<|start_header_id|>assistant<|end_header_id|>\n\n'"},
     .lacks = {"Cutting Knowledge Date", "system"},
     .render = vb_render_llama3},
    {.name = "llama3.1", /* Llama-3.1-8B-Instruct, 3.2, 3.3 */
     .bos = "<|begin_of_text|>",
     .has = {LLAMA3_TURN, "'<|start_header_id|>system<|end_header_id|>\n\n'",
             "'Cutting Knowledge Date: December 2023\n'", "'Today Date: '+date_string+'\n\n'",
             "'26 Jul 2024'"},
     .render = vb_render_llama31},
    {.name = "mistral", /* Mistral-7B-Instruct-v0.2 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"'[INST] '+message['content']+' [/INST]'", ASSISTANT_THEN_EOS},
     .lacks = {"system", "eos_token+' '", "' '+message['content']", "|trim"},
     .render = vb_render_mistral_v02},
    {.name = "mistral-v0.1", /* Mistral-7B-Instruct-v0.1 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"'[INST] '+message['content']+' [/INST]'", ASSISTANT_THEN_EOS "+' '"},
     .lacks = {"system", "' '+message['content']", "|trim"},
     .render = vb_render_mistral_v01},
    {.name = "mistral-v1", /* the later template of Mistral-7B-Instruct-v0.1 and v0.2 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"' [INST] '+system_message+'\n\n'+message['content']+' [/INST]'",
             "' [INST] '+message['content']+' [/INST]'", "' '+" ASSISTANT_THEN_EOS,
             "loop.firstandsystem_messageisdefined"},
     .render = vb_render_mistral_v1},
    {.name = "mistral-v3", /* Mistral-7B-Instruct-v0.3, Mistral-Large-Instruct-2407 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"'[INST] '+system_message+'\n\n'+message['content']+'[/INST]'",
             "'[INST] '+message['content']+'[/INST]'", "' '+message['content']|trim+eos_token",
             SYSTEM_IN_LAST_TURN},
     .render = vb_render_mistral_v3},
    {.name = "mistral-tekken", /* Mistral-Nemo-Instruct-2407, Ministral-8B-Instruct-2410 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"'[INST]'+system_message+'\n\n'+message['content']+'[/INST]'",
             "'[INST]'+message['content']+'[/INST]'", "{{" ASSISTANT_THEN_EOS "}}", SYSTEM_IN_LAST_TURN},
     .render = vb_render_mistral_tekken},
    {.name = "mistral-v7", /* Mistral-Large-Instruct-2411 */
     .bos = "<s>",
     .eos = "</s>",
     .has = {"'[SYSTEM_PROMPT] '+message['content']+'[/SYSTEM_PROMPT]'",
             "'[INST] '+message['content']+'[/INST]'", "' '+" ASSISTANT_THEN_EOS},
     .render = vb_render_mistral_v7},
    {.name = "zephyr", /* zephyr-7b-beta, TinyLlama-1.1B-Chat-v1.0 */
     .eos = "</s>",
     .has = {"'<|user|>\n'+message['content']+eos_token", "'<|system|>\n'+message['content']+eos_token",
             "'<|assistant|>\n'+message['content']+eos_token", "'<|assistant|>'"},
     .render = vb_render_zephyr},
    {.name = "gemma", /* gemma-2b-it, gemma-2-9b-it */
     .bos = "<bos>",
     .has = {"'<start_of_turn>'+role+'\n'+message['content']|trim+'<end_of_turn>\n'",
             "raise_exception('System role not supported')", "'<start_of_turn>model\n'"},
     .render = vb_render_gemma},
    {.name = "gemma3", /* gemma-3-1b-it and larger */
     .bos = "<bos>",
     .has = {"'<start_of_turn>'+role+'\n'+(first_user_prefixifloop.firstelse'')",
             "{{message['content']|trim}}", "messages[0]['content']+'\n\n'", "'<end_of_turn>\n'",
             "'<start_of_turn>model\n'"},
     .render = vb_render_gemma3},
    {.name = "phi3", /* Phi-3-mini-4k-instruct as first released */
     .bos = "<s>",
     .has = {"{%if(message['role']=='user')%}{{'<|user|>\n'+message['content']+'<|end|>\n<|assistant|>\n'}}",
             "{%elif(message['role']=='assistant')%}{{message['content']+'<|end|>\n'}}"},
     .lacks = {"<|system|>"},
     .render = vb_render_phi3},
    {.name = "phi3.1", /* Phi-3-mini-4k-instruct, the update of July 2024 */
     .eos = "<|endoftext|>",
     .has = {"{%ifmessage['role']=='system'%}{{'<|system|>\n'+message['content']+'<|end|>\n'}}",
             "{%elifmessage['role']=='user'%}{{'<|user|>\n'+message['content']+'<|end|>\n'}}",
             "{%elifmessage['role']=='assistant'%}{{'<|assistant|>\n'+message['content']+'<|end|>\n'}}",
             "{%ifadd_generation_prompt%}{{'<|assistant|>\n'}}{%else%}{{eos_token}}{%endif%}"},
     .render = vb_render_phi31},
    {.name = "phi3.5", /* Phi-3.5-mini-instruct */
     .eos = "<|endoftext|>",
     .has = {PHI35_SYSTEM, "{%elifmessage['role']=='user'%}{{'<|user|>\n'+message['content']+'<|end|>\n'}}",
             "{%elifmessage['role']=='assistant'%}{{'<|assistant|>\n'+message['content']+'<|end|>\n'}}",
             "{%ifadd_generation_prompt%}{{'<|assistant|>\n'}}{%else%}{{eos_token}}{%endif%}"},
     .render = vb_render_phi35},
    {.name = "vicuna", /* vicuna-7b-v1.1 to v1.5 */
     .eos = "</s>",
     .has = {"''+message['content']+'\n\n'", "'USER: '+message['content']+'\n'",
             "'ASSISTANT: '+message['content']+'</s>\n'", "'ASSISTANT:'"},
     .text = "",
     .render = vb_render_vicuna},
    {.name = "vicuna-orca",
     .eos = "</s>",
     .has = {"'SYSTEM: '+message['content']+'\n'", "'USER: '+message['content']+'\n'",
             "'ASSISTANT: '+message['content']+'</s>\n'", "'ASSISTANT:'"},
     .text = "SYSTEM: ",
     .render = vb_render_vicuna},
    {.name = "deepseek", /* deepseek-llm-7b-chat, DeepSeek-V2-Chat */
     .bos = DEEPSEEK_BOS,
     .eos = DEEPSEEK_EOS,
     .has = {"{{'User: '+message['content']+'\n\n'}}", "{{'Assistant: '+message['content']+eos_token}}",
             "{{message['content']+'\n\n'}}", "{{'Assistant:'}}"},
     .render = vb_render_deepseek},
    {.name = "deepseek-coder", /* deepseek-coder-6.7b-instruct */
     .bos = DEEPSEEK_BOS,
     .has = {"{{'### Instruction:\n'+message['content']+'\n'}}",
             "{{'### Response:\n'+message['content']+'\n<|EOT|>\n'}}", "{{'" DEEPSEEK_CODER_PROMPT "'}}",
             "{{'### Response:'}}"},
     .text = DEEPSEEK_CODER_PROMPT,
     .render = vb_render_deepseek_coder},
    {.name = "deepseek-v3", /* DeepSeek-V3 */
     .bos = DEEPSEEK_BOS,
     .eos = DEEPSEEK_EOS,
     .has = {"'<｜User｜>'+message['content']", "{{'<｜Assistant｜>'+message['content']+'" DEEPSEEK_EOS "'}}",
             "{{'<｜Assistant｜>'}}"},
     .lacks = {"</think>", "<think>"},
     .text = "<｜Assistant｜>",
     .render = vb_render_deepseek_v3},
    {.name = "deepseek-r1", /* DeepSeek-R1 and its distilled models */
     .bos = DEEPSEEK_BOS,
     .eos = DEEPSEEK_EOS,
     .has = {"'<｜User｜>'+message['content']",
             "{%if'</think>'incontent%}{%setcontent=content.split('</think>')[-1]%}",
             "{{'<｜Assistant｜>'+content+'" DEEPSEEK_EOS "'}}", "{{'<｜Assistant｜><think>\n'}}"},
     .text = "<｜Assistant｜><think>\n",
     .render = vb_render_deepseek_r1},
    {.name = "deepseek-r1-plain", /* the same before February 2025: the model opens its thoughts itself */
     .bos = DEEPSEEK_BOS,
     .eos = DEEPSEEK_EOS,
     .has = {"'<｜User｜>'+message['content']",
             "{%if'</think>'incontent%}{%setcontent=content.split('</think>')[-1]%}",
             "{{'<｜Assistant｜>'+content+'" DEEPSEEK_EOS "'}}", "{{'<｜Assistant｜>'}}"},
     .text = "<｜Assistant｜>",
     .render = vb_render_deepseek_r1},
    {.name = NULL}};

const char *const *vb_chat_names(void) {
    /* In the order of vb_chat_families; a test compares. */
    static const char *const names[] = {"chatml",
                                        "qwen1.5",
                                        "qwen2",
                                        "qwen2.5",
                                        "smollm2",
                                        "qwen3",
                                        "llama2",
                                        "llama3",
                                        "llama3.1",
                                        "mistral",
                                        "mistral-v0.1",
                                        "mistral-v1",
                                        "mistral-v3",
                                        "mistral-tekken",
                                        "mistral-v7",
                                        "zephyr",
                                        "gemma",
                                        "gemma3",
                                        "phi3",
                                        "phi3.1",
                                        "phi3.5",
                                        "vicuna",
                                        "vicuna-orca",
                                        "deepseek",
                                        "deepseek-coder",
                                        "deepseek-v3",
                                        "deepseek-r1",
                                        "deepseek-r1-plain",
                                        NULL};
    return names;
}
