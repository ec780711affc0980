/* ready.c - from loaded models to a server that answers:
 * the terms of requests, chat template, fingerprint. */
#include "server/httpd.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

/* Of what decides the text besides the request: version, target (the head of each of its tensors), the
 * pre-tokenizer and the RoPE if they are not the file's own, precisions. Not of threads or kernels, which
 * change nothing; nor of drafts, but for answers under rejection and block, where the path of a seed depends
 * on them. */
static int make_fingerprint(vbs_server *s, const vbs_engine *e, vb_error *err) {
    XXH3_state_t *h = XXH3_createState();
    if (!h) return vb_fail(err, VB_ERR_MEMORY, "out of memory for a fingerprint");
    XXH3_64bits_reset(h);
    XXH3_64bits_update(h, VB_VERSION, sizeof VB_VERSION);
    const uint64_t model = vb_gguf_hash(vbs_target_file(e));
    XXH3_64bits_update(h, &model, sizeof model);
    if (vb_tokenizer_pre_overridden(vbs_tokenizer(e))) {
        const char *pre = vb_tokenizer_pre(vbs_tokenizer(e));
        XXH3_64bits_update(h, pre, strlen(pre) + 1);
    }
    const char *rope = vb_model_rope(vbs_target(e));
    if (rope) XXH3_64bits_update(h, rope, strlen(rope) + 1);
    const char *precision = s->p.precision ? s->p.precision : "";
    XXH3_64bits_update(h, precision, strlen(precision));
    snprintf(s->fingerprint, sizeof s->fingerprint, "vb-%016llx", (unsigned long long)XXH3_64bits_digest(h));
    const uint64_t drafts = vbs_drafts_hash(e);
    XXH3_64bits_update(h, &drafts, sizeof drafts);
    snprintf(s->drafted_fingerprint, sizeof s->drafted_fingerprint, "vb-%016llx",
             (unsigned long long)XXH3_64bits_digest(h));
    XXH3_freeState(h);
    return 0;
}

static int find_template(vbs_server *s, const vbs_engine *e, vb_error *err) {
    const char *wanted = s->p.chat_template;
    vb_error why = {0};
    int rc;
    if (wanted && s->p.template_text)
        rc = vb_chat_open_text(&s->template, s->p.template_text, s->p.template_len, wanted, err);
    else if (wanted)
        rc = vb_chat_open_named(&s->template, wanted, err);
    else
        rc = vb_chat_open(&s->template, vbs_target_file(e), NULL, &why);
    s->template_name = wanted ? wanted : "tokenizer.chat_template";
    if (!wanted && rc) {
        snprintf(s->no_chat, sizeof s->no_chat,
                 "%.300s: use /v1/completions, or start the server with --chat-template NAME|FILE",
                 why.message);
        return 0;
    }
    return rc ? rc : vb_chat_fits(s->template, vbs_tokenizer(e), err);
}

/* A system prompt that the template does not take is an error now, not with every request. */
static int try_system_prompt(const vbs_server *s, const vbs_engine *e, vb_error *err) {
    const vb_chat_message m[2] = {{"system", s->p.system_prompt}, {"user", "?"}};
    const vb_chat_request request = {.messages = m, .n_messages = 2, .open_turn = true};
    vb_error why = {0};
    vb_prompt prompt = {0};
    if (!s->template || !s->p.system_prompt || !s->p.system_prompt[0]) return 0;
    int rc = vb_chat_render(s->template, vbs_tokenizer(e), &request, &prompt, &why);
    vb_prompt_free(&prompt);
    if (rc) return vb_fail(err, rc, "the system prompt: %s", why.message);
    return 0;
}

int vbs_server_ready(vbs_server *s, vbs_engine *e, vb_error *err) {
    /* Nobody looks at any of this before `engine` is seen to be set. */
    s->terms = (vbs_terms){.name = s->p.name,
                           .gamma = s->p.gamma,
                           .has_draft = s->p.has_draft,
                           .draft = s->p.draft,
                           .sampling = s->p.sampling,
                           .accept = s->p.accept,
                           .max_tokens = s->p.max_tokens,
                           .tokenizer = vbs_tokenizer(e),
                           .n_vocab = vb_model_describe(vbs_target(e))->n_vocab,
                           .n_ctx = vbs_context_size(e),
                           .ignore_tools = s->p.ignore_tools,
                           .continue_final = s->p.continue_final,
                           .strict_calls = s->p.strict_calls,
                           .system_prompt = s->p.system_prompt};
    memcpy(s->terms.tree, s->p.tree, sizeof s->terms.tree);
    int rc = make_fingerprint(s, e, err);
    if (!rc) rc = find_template(s, e, err);
    if (!rc) rc = try_system_prompt(s, e, err);
    if (!rc && s->template) rc = vb_calls_open(&s->calls, s->template, vbs_tokenizer(e), err);
    s->terms.template = s->template;
    if (!rc && s->calls) {
        s->terms.shows_tools = vb_calls_format(s->calls)->tools;
        s->terms.reads_calls = vb_calls_format(s->calls)->style != VB_CALLS_NONE;
        s->terms.forces_calls =
            vb_calls_format(s->calls)->style == VB_CALLS_MEMBERS ||
            (vb_calls_format(s->calls)->style == VB_CALLS_NAMED && !vb_calls_format(s->calls)->everyone[0]);
    }
    if (!rc) s->engine = e;
    return rc;
}

void vbs_server_loading(vbs_server *s, double fraction) {
    atomic_store(&s->loaded, (int)(100 * fraction));
}

const char *vbs_server_no_chat(const vbs_server *s) {
    return s->template ? NULL : s->no_chat;
}

vbs_chat_info vbs_server_chat(const vbs_server *s) {
    if (!s->template) return (vbs_chat_info){NULL, NULL, NULL, false};
    return (vbs_chat_info){.template = s->template_name,
                           .format = vb_calls_format(s->calls),
                           .thinking_switch = vbs_thinking_switch(s->template),
                           .reads_effort = vb_chat_reads(s->template, "reasoning_effort")};
}
