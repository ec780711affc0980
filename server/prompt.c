/* prompt.c - conversations and texts to token ids, as `verbatim chat` and `verbatim run` do it. */
#include "server/httpd.h"

int vbs_prompt_text(const vbs_server *s, const char *text, size_t len, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    vb_error err = {0};
    if (!vb_tokenize_prompt(vbs_tokenizer(s->engine), text, len, true, ids, n_ids, &err)) return 0;
    vbs_problem_from(p, &err);
    return -1;
}

int vbs_prompt_chat(const vbs_server *s, const vb_chat_message *m, size_t n, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    const vb_tokenizer *t = vbs_tokenizer(s->engine);
    const vb_chat_request request = {.messages = m, .n_messages = n, .open_turn = true};
    vb_error err = {0};
    vb_prompt prompt = {0};
    if (!s->template)
        return vbs_refuse(p, 400, "invalid_request_error", "no_chat_template", NULL, "%s", s->no_chat);
    if (vb_chat_render(s->template, t, &request, &prompt, &err)) {
        if (err.code != VB_ERR_MEMORY) return VBS_BAD(p, "messages", "%s", err.message);
        vbs_problem_from(p, &err);
        return -1;
    }
    int rc = vb_chat_tokenize(t, &prompt, 0, ids, n_ids, &err);
    vb_prompt_free(&prompt);
    if (rc) vbs_problem_from(p, &err);
    return rc ? -1 : 0;
}
