/* prompt.c - conversations and texts to token ids, as `verbatim chat` and `verbatim run` do it. */
#include "server/httpd.h"

int vbs_prompt_text(const vbs_server *s, const char *text, size_t len, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    vb_error err = {0};
    if (!vb_tokenize_prompt(vbs_tokenizer(s->engine), text, len, true, ids, n_ids, &err)) return 0;
    vbs_problem_from(p, &err);
    return -1;
}

/* Special tokens that the conversation spells become tokens, too, as in transformers
 * (--parse-content-specials): then nobody asks who wrote what. */
static void forget_writers(vb_prompt *prompt) {
    for (size_t i = 0; i < prompt->n_spans; i++) prompt->spans[i].given = false;
}

int vbs_prompt_chat(const vbs_server *s, const vbs_ask *a, vb_prompt *prompt, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    const vb_tokenizer *t = vbs_tokenizer(s->engine);
    const vb_chat_request request = {.variables = a->variables,
                                     .n_variables = a->n_variables,
                                     .open_turn = a->open_turn,
                                     .continue_last = a->continue_last,
                                     .calls = s->calls,
                                     .date = a->has_date ? a->date : s->p.date};
    vb_error err = {0};
    if (!s->template)
        return vbs_refuse(p, 400, "invalid_request_error", "no_chat_template", NULL, "%s", s->no_chat);
    if (vb_chat_render(s->template, t, &request, prompt, &err)) {
        if (err.code != VB_ERR_MEMORY) return VBS_BAD(p, "messages", "%s", err.message);
        vbs_problem_from(p, &err);
        return -1;
    }
    if (s->p.parse_content_specials) forget_writers(prompt);
    const int rc = vb_chat_tokenize(t, prompt, 0, ids, n_ids, &err);
    if (rc) vbs_problem_from(p, &err);
    return rc ? -1 : 0;
}
