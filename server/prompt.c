/* prompt.c - conversations and texts to token ids, as `verbatim chat` and `verbatim run` do it. */
#include "httpd.h"

#include <string.h>

static int tokenize(const vb_tokenizer *t, const char *text, size_t len, bool add, int32_t **ids, size_t *n,
                    vbs_problem *p) {
    vb_error err = {0};
    unsigned flags = VB_TOKENIZE_PARSE_SPECIAL | (add ? VB_TOKENIZE_ADD_SPECIAL : 0u);
    if (vb_tokenize(t, text, len, flags, ids, n, &err)) {
        vbs_problem_from(p, &err);
        return -1;
    }
    /* A vocabulary that adds EOS would end the text before it is continued. */
    if (add && *n && vb_tokenizer_adds_eos(t) && (*ids)[*n - 1] == vb_token_eos(t)) --*n;
    return 0;
}

int vbs_prompt_text(const vbs_server *s, const char *text, size_t len, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    return tokenize(vbs_tokenizer(s->engine), text, len, true, ids, n_ids, p);
}

int vbs_prompt_chat(const vbs_server *s, const vb_chat_message *m, size_t n, int32_t **ids, size_t *n_ids,
                    vbs_problem *p) {
    const vb_tokenizer *t = vbs_tokenizer(s->engine);
    vb_error err = {0};
    char *text = NULL;
    size_t len = 0, n_bos = 0;
    if (!s->template)
        return vbs_refuse(p, 400, "invalid_request_error", "no_chat_template", NULL, "%s", s->no_chat);
    if (vb_chat_render(s->template, m, n, true, &text, &len, &err))
        return VBS_BAD(p, "messages", "%s", err.message);
    const char *bos = vb_token_bos(t) >= 0 ? vb_token_text(t, vb_token_bos(t), true, &n_bos) : NULL;
    bool has_bos = bos && n_bos && len >= n_bos && !memcmp(text, bos, n_bos);
    int rc = tokenize(t, text, len, !has_bos, ids, n_ids, p);
    vb_free(text);
    return rc;
}
