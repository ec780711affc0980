/* chat_render.c - each family's published template, as C. Expected strings: tests/test_chat.c.
 *
 * Kept as published: where the system message goes, what is trimmed, which roles may follow which. Where a
 * template would drop a message in silence (Phi-3 the system message, Mistral v3 one without a user turn
 * after it), that is an error here (P6). Which model each is from: chat_templates.c. */
#include "chat.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------ helpers */

static bool is(const vb_chat_message *m, const char *role) {
    return strcmp(m->role, role) == 0;
}

static void put(vb_chat *c, const char *s) {
    vb_string_puts(&c->out, s);
}

/* White space as Python's str.strip() sees it, which is what the templates' trim and strip() do. */
static bool strips(uint32_t cp) {
    return vb_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

static void trim(const char **s, size_t *n) {
    const unsigned char *p = (const unsigned char *)*s;
    uint32_t cp;
    size_t k, end = *n;
    while ((k = vb_utf8_char(p, end, &cp)) > 0 && strips(cp)) p += k, end -= k;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && end - at < 4 && (p[at] & 0xC0) == 0x80) at--;
        if (vb_utf8_char(p + at, end - at, &cp) != end - at || !strips(cp)) break;
        end = at;
    }
    *s = (const char *)p;
    *n = end;
}

static void put_trimmed(vb_chat *c, const char *s) {
    size_t n = strlen(s);
    trim(&s, &n);
    vb_string_add(&c->out, s, n);
}

static int refuse(vb_chat *c, const char *why) {
    return vb_fail(c->err, VB_ERR_ARGUMENT, "chat template '%s': %s", c->name, why);
}

/* The system message at the start, NULL if there is none; *rest is the first of the others. */
static const char *leading_system(const vb_chat *c, size_t *rest) {
    *rest = is(&c->m[0], "system") ? 1 : 0;
    return *rest ? c->m[0].content : NULL;
}

/* From message `at` on user and assistant take turns, the user first. */
static int alternate(vb_chat *c, size_t at) {
    for (size_t i = at; i < c->n; i++)
        if (!is(&c->m[i], (i - at) % 2 == 0 ? "user" : "assistant"))
            return refuse(
                c, "after an optional system message, user and assistant must take turns, the user first");
    return VB_OK;
}

/* Templates without a prompt for the assistant: it speaks after a user turn. */
static int ends_with_user(vb_chat *c) {
    if (!c->open_turn || is(&c->m[c->n - 1], "user")) return VB_OK;
    return refuse(c, "the last message must be the user's for the assistant to answer");
}

/* ------------------------------------------------------------------------------------------ ChatML, Qwen */

static void chatml_turn(vb_chat *c, const char *role, const char *content) {
    put(c, "<|im_start|>");
    put(c, role);
    put(c, "\n");
    put(c, content);
    put(c, "<|im_end|>\n");
}

/* f->text: the system prompt that the template puts in when the conversation has none. */
int vb_render_chatml(vb_chat *c, const vb_chat_family *f) {
    if (f->text && !is(&c->m[0], "system")) chatml_turn(c, "system", f->text);
    for (size_t i = 0; i < c->n; i++) chatml_turn(c, c->m[i].role, c->m[i].content);
    if (c->open_turn) put(c, "<|im_start|>assistant\n");
    return VB_OK;
}

static bool starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

static void strip_newlines(const char **s, const char **end, bool front, bool back) {
    while (front && *s < *end && **s == '\n') ++*s;
    while (back && *end > *s && (*end)[-1] == '\n') --*end;
}

/* The last place of `word` in s, NULL if it does not occur before `end`. */
static const char *last(const char *s, const char *end, const char *word) {
    const char *found = NULL;
    for (const char *p = s; (p = strstr(p, word)) && p < end; p++) found = p;
    return found;
}

/* Qwen3: thoughts of earlier turns are left out; those after the last question are kept in a fixed form. */
static void qwen3_assistant(vb_chat *c, size_t i, size_t last_query) {
    const char *s = c->m[i].content, *s_end = s + strlen(s);
    const char *thought = "", *thought_end = thought;
    const char *first_close = strstr(s, "</think>");
    if (first_close) {
        thought = s, thought_end = first_close;
        strip_newlines(&thought, &thought_end, false, true);
        const char *open = last(thought, thought_end, "<think>");
        if (open) thought = open + strlen("<think>") < thought_end ? open + strlen("<think>") : thought_end;
        strip_newlines(&thought, &thought_end, true, false);
        s = last(s, s_end, "</think>") + strlen("</think>");
        strip_newlines(&s, &s_end, true, false);
    }
    put(c, "<|im_start|>assistant\n");
    if (i > last_query && (i + 1 == c->n || thought < thought_end)) {
        strip_newlines(&thought, &thought_end, true, true);
        strip_newlines(&s, &s_end, true, false);
        put(c, "<think>\n");
        vb_string_add(&c->out, thought, (size_t)(thought_end - thought));
        put(c, "\n</think>\n\n");
    }
    vb_string_add(&c->out, s, (size_t)(s_end - s));
    put(c, "<|im_end|>\n");
}

int vb_render_qwen3(vb_chat *c, const vb_chat_family *f) {
    (void)f;
    size_t last_query = c->n - 1;
    for (size_t i = c->n; i-- > 0;) {
        const vb_chat_message *m = &c->m[i];
        if (!is(m, "user")) continue;
        if (starts_with(m->content, "<tool_response>") && ends_with(m->content, "</tool_response>")) continue;
        last_query = i;
        break;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (is(&c->m[i], "assistant"))
            qwen3_assistant(c, i, last_query);
        else
            chatml_turn(c, c->m[i].role, c->m[i].content);
    }
    if (c->open_turn) put(c, "<|im_start|>assistant\n");
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------ Llama */

int vb_render_llama2(vb_chat *c, const vb_chat_family *f) {
    size_t at;
    const char *system = leading_system(c, &at);
    int rc = alternate(c, at);
    if (rc == VB_OK) rc = ends_with_user(c);
    if (rc) return rc;
    if (at == c->n) return refuse(c, "a system message alone is no conversation");
    for (size_t i = at; i < c->n; i++) {
        if (is(&c->m[i], "assistant")) {
            put(c, " ");
            put_trimmed(c, c->m[i].content);
            put(c, " ");
            put(c, f->eos);
            continue;
        }
        put(c, f->bos);
        put(c, "[INST] ");
        if (i == at && system) {
            /* The whole of it is trimmed, not the parts: only the end of the user's message can be. */
            put(c, "<<SYS>>\n");
            put(c, system);
            put(c, "\n<</SYS>>\n\n");
            size_t from = c->out.n;
            put(c, c->m[i].content);
            if (c->out.rc) return c->out.rc;
            const char *s = c->out.s;
            size_t n = c->out.n,
                   start = from - strlen("\n<</SYS>>\n\n") - strlen(system) - strlen("<<SYS>>\n");
            const char *part = s + start;
            n -= start;
            trim(&part, &n);
            c->out.n = start + n;
            c->out.s[c->out.n] = 0;
        } else {
            put_trimmed(c, c->m[i].content);
        }
        put(c, " [/INST]");
    }
    return VB_OK;
}

static void llama3_turn(vb_chat *c, const char *role, const char *content) {
    put(c, "<|start_header_id|>");
    put(c, role);
    put(c, "<|end_header_id|>\n\n");
    put_trimmed(c, content);
    put(c, "<|eot_id|>");
}

int vb_render_llama3(vb_chat *c, const vb_chat_family *f) {
    put(c, f->bos);
    for (size_t i = 0; i < c->n; i++) llama3_turn(c, c->m[i].role, c->m[i].content);
    if (c->open_turn) put(c, "<|start_header_id|>assistant<|end_header_id|>\n\n");
    return VB_OK;
}

/* Llama 3.1 to 3.3 always have a system turn. Its date is the one that the template falls back to when nobody
 * tells it the time: the same conversation gives the same tokens every day. */
int vb_render_llama31(vb_chat *c, const vb_chat_family *f) {
    size_t at;
    const char *system = leading_system(c, &at);
    put(c, f->bos);
    put(c, "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: "
           "26 Jul "
           "2024\n\n");
    if (system) put_trimmed(c, system);
    put(c, "<|eot_id|>");
    for (size_t i = at; i < c->n; i++) llama3_turn(c, c->m[i].role, c->m[i].content);
    if (c->open_turn) put(c, "<|start_header_id|>assistant<|end_header_id|>\n\n");
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------ Mistral */

typedef struct mistral_style {
    const char *open, *close; /* around the user's message */
    const char *reply;        /* before the assistant's */
    const char *after;        /* after the assistant's end of text */
    bool trim_reply;
    int system; /* 0: none allowed, 1: in the first user turn, 2: in the last message if it is the user's */
} mistral_style;

static int mistral(vb_chat *c, const vb_chat_family *f, const mistral_style *y) {
    size_t at;
    const char *system = leading_system(c, &at);
    int rc = alternate(c, at);
    if (rc == VB_OK) rc = ends_with_user(c);
    if (rc) return rc;
    if (system && y->system == 0)
        return refuse(c, "this model has no system role; put the text into the first message");
    if (system && (at == c->n || (y->system == 2 && !is(&c->m[c->n - 1], "user"))))
        return refuse(c, "the system message goes into the user's last turn, and there is none at the end");
    put(c, f->bos);
    for (size_t i = at; i < c->n; i++) {
        if (is(&c->m[i], "assistant")) {
            put(c, y->reply);
            y->trim_reply ? put_trimmed(c, c->m[i].content) : put(c, c->m[i].content);
            put(c, f->eos);
            put(c, y->after);
            continue;
        }
        put(c, y->open);
        if (system && i == (y->system == 1 ? at : c->n - 1)) {
            put(c, system);
            put(c, "\n\n");
        }
        put(c, c->m[i].content);
        put(c, y->close);
    }
    return VB_OK;
}

int vb_render_mistral_v01(vb_chat *c, const vb_chat_family *f) {
    return mistral(c, f, &(mistral_style){"[INST] ", " [/INST]", "", " ", false, 0});
}
int vb_render_mistral_v02(vb_chat *c, const vb_chat_family *f) {
    return mistral(c, f, &(mistral_style){"[INST] ", " [/INST]", "", "", false, 0});
}
int vb_render_mistral_v1(vb_chat *c, const vb_chat_family *f) {
    return mistral(c, f, &(mistral_style){" [INST] ", " [/INST]", " ", "", false, 1});
}
int vb_render_mistral_v3(vb_chat *c, const vb_chat_family *f) {
    return mistral(c, f, &(mistral_style){"[INST] ", "[/INST]", " ", "", true, 2});
}
int vb_render_mistral_tekken(vb_chat *c, const vb_chat_family *f) {
    return mistral(c, f, &(mistral_style){"[INST]", "[/INST]", "", "", false, 2});
}

int vb_render_mistral_v7(vb_chat *c, const vb_chat_family *f) {
    int rc = ends_with_user(c);
    if (rc) return rc;
    put(c, f->bos);
    for (size_t i = 0; i < c->n; i++) {
        bool system = is(&c->m[i], "system"), user = is(&c->m[i], "user");
        put(c, system ? "[SYSTEM_PROMPT] " : user ? "[INST] " : " ");
        put(c, c->m[i].content);
        put(c, system ? "[/SYSTEM_PROMPT]" : user ? "[/INST]" : f->eos);
    }
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------ Zephyr, Phi-3 */

int vb_render_zephyr(vb_chat *c, const vb_chat_family *f) {
    for (size_t i = 0; i < c->n; i++) {
        put(c, "<|");
        put(c, c->m[i].role);
        put(c, "|>\n");
        put(c, c->m[i].content);
        put(c, f->eos);
        put(c, "\n");
    }
    if (c->open_turn) put(c, "<|assistant|>\n");
    return VB_OK;
}

/* The first release of Phi-3: every user turn opens the assistant's, and there is no system role. */
int vb_render_phi3(vb_chat *c, const vb_chat_family *f) {
    int rc = ends_with_user(c);
    if (rc) return rc;
    put(c, f->bos);
    for (size_t i = 0; i < c->n; i++) {
        if (is(&c->m[i], "system"))
            return refuse(c, "this model has no system role; put the text into the first message");
        bool user = is(&c->m[i], "user");
        if (user) put(c, "<|user|>\n");
        put(c, c->m[i].content);
        put(c, user ? "<|end|>\n<|assistant|>\n" : "<|end|>\n");
    }
    return VB_OK;
}

static int phi3_roles(vb_chat *c, const vb_chat_family *f, bool skip_empty_system) {
    for (size_t i = 0; i < c->n; i++) {
        if (skip_empty_system && is(&c->m[i], "system") && !*c->m[i].content) continue;
        put(c, "<|");
        put(c, c->m[i].role);
        put(c, "|>\n");
        put(c, c->m[i].content);
        put(c, "<|end|>\n");
    }
    put(c, c->open_turn ? "<|assistant|>\n" : f->eos);
    return VB_OK;
}

int vb_render_phi31(vb_chat *c, const vb_chat_family *f) {
    return phi3_roles(c, f, false);
}
int vb_render_phi35(vb_chat *c, const vb_chat_family *f) {
    return phi3_roles(c, f, true);
}

/* ------------------------------------------------------------------------------------------ Gemma */

static int gemma_turns(vb_chat *c, const vb_chat_family *f, size_t at, const char *system) {
    int rc = alternate(c, at);
    if (rc) return rc;
    if (at == c->n) return refuse(c, "a system message alone is no conversation");
    put(c, f->bos);
    for (size_t i = at; i < c->n; i++) {
        put(c, is(&c->m[i], "user") ? "<start_of_turn>user\n" : "<start_of_turn>model\n");
        if (i == at && system) {
            put(c, system);
            put(c, "\n\n");
        }
        put_trimmed(c, c->m[i].content);
        put(c, "<end_of_turn>\n");
    }
    if (c->open_turn) put(c, "<start_of_turn>model\n");
    return VB_OK;
}

int vb_render_gemma(vb_chat *c, const vb_chat_family *f) {
    if (is(&c->m[0], "system"))
        return refuse(c, "this model has no system role; put the text into the first message");
    return gemma_turns(c, f, 0, NULL);
}

int vb_render_gemma3(vb_chat *c, const vb_chat_family *f) {
    size_t at;
    const char *system = leading_system(c, &at);
    return gemma_turns(c, f, at, system);
}

/* ------------------------------------------------------------------------------------------ Vicuna */

/* f->text: what stands before a system message. */
int vb_render_vicuna(vb_chat *c, const vb_chat_family *f) {
    const bool orca = *f->text != 0;
    for (size_t i = 0; i < c->n; i++) {
        bool system = is(&c->m[i], "system"), user = is(&c->m[i], "user");
        put(c, system ? f->text : user ? "USER: " : "ASSISTANT: ");
        put(c, c->m[i].content);
        put(c, system ? (orca ? "\n" : "\n\n") : user ? "\n" : "</s>\n");
    }
    if (c->open_turn) put(c, "ASSISTANT:");
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------ DeepSeek */

int vb_render_deepseek(vb_chat *c, const vb_chat_family *f) {
    put(c, f->bos);
    for (size_t i = 0; i < c->n; i++) {
        bool system = is(&c->m[i], "system"), user = is(&c->m[i], "user");
        put(c, system ? "" : user ? "User: " : "Assistant: ");
        put(c, c->m[i].content);
        put(c, system || user ? "\n\n" : f->eos);
    }
    if (c->open_turn) put(c, "Assistant:");
    return VB_OK;
}

/* f->text: the system prompt when the conversation has none. */
int vb_render_deepseek_coder(vb_chat *c, const vb_chat_family *f) {
    bool found = false;
    for (size_t i = 0; i < c->n; i++) found = found || is(&c->m[i], "system");
    put(c, f->bos);
    if (!found) put(c, f->text);
    for (size_t i = 0; i < c->n; i++) {
        bool system = is(&c->m[i], "system"), user = is(&c->m[i], "user");
        put(c, system ? "" : user ? "### Instruction:\n" : "### Response:\n");
        put(c, c->m[i].content);
        put(c, system ? "" : user ? "\n" : "\n<|EOT|>\n");
    }
    if (c->open_turn) put(c, "### Response:\n");
    return VB_OK;
}

/* f->text: what opens the assistant's turn; with the R1 kinds thoughts of earlier turns are left out. */
static int deepseek_turns(vb_chat *c, const vb_chat_family *f, bool forget) {
    size_t systems = 0;
    put(c, f->bos);
    for (size_t i = 0; i < c->n; i++) {
        if (!is(&c->m[i], "system")) continue;
        if (systems++ > 0) return refuse(c, "more than one system message");
        put(c, c->m[i].content);
    }
    for (size_t i = 0; i < c->n; i++) {
        const char *s = c->m[i].content;
        if (is(&c->m[i], "user")) {
            put(c, "<｜User｜>");
            put(c, s);
        } else if (is(&c->m[i], "assistant")) {
            const char *close = forget ? last(s, s + strlen(s), "</think>") : NULL;
            put(c, "<｜Assistant｜>");
            put(c, close ? close + strlen("</think>") : s);
            put(c, f->eos);
        }
    }
    if (c->open_turn) put(c, f->text);
    return VB_OK;
}

int vb_render_deepseek_v3(vb_chat *c, const vb_chat_family *f) {
    return deepseek_turns(c, f, false);
}
int vb_render_deepseek_r1(vb_chat *c, const vb_chat_family *f) {
    return deepseek_turns(c, f, true);
}
