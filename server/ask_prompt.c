/* ask_prompt.c - prompts of a completion. See ask.h. */
#include "server/ask_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(vbs_problem *p) {
    return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
}

/* A list of token ids as one prompt. */
static int read_ids(vbs_ask *a, const json_t *v, const vbs_terms *t, vbs_problem *p) {
    vbs_prompt *out = &a->prompts[a->n_prompts];
    size_t n = json_array_size(v);
    out->ids = calloc(n, sizeof *out->ids);
    if (!out->ids) return no_memory(p);
    a->n_prompts++;
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(v, i);
        json_int_t id = json_integer_value(e);
        if (!json_is_integer(e) || id < 0 || id >= t->n_vocab)
            return VBS_BAD(p, "prompt", "prompt: element %zu is no token id; they go from 0 to %d", i,
                           t->n_vocab - 1);
        out->ids[i] = (int32_t)id;
    }
    return 0;
}

static void add_text(vbs_ask *a, const json_t *v) {
    a->prompts[a->n_prompts++] = (vbs_prompt){json_string_value(v), json_string_length(v), NULL, 0};
}

static int read_prompts(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "prompt");
    if (!v) return VBS_BAD(p, "prompt", "prompt: there is none");
    bool list = json_is_array(v), ids = list && json_is_number(json_array_get(v, 0));
    size_t n = list && !ids ? json_array_size(v) : 1;
    if ((!list && !json_is_string(v)) || n == 0)
        return VBS_BAD(p, "prompt", "prompt: expected a string, a list of strings, or token ids");
    if (n > VBS_MAX_CHOICES)
        return VBS_BAD(p, "prompt", "prompt: %zu prompts in one request; the limit is %d", n,
                       VBS_MAX_CHOICES);
    a->prompts = calloc(n, sizeof *a->prompts);
    if (!a->prompts) return no_memory(p);
    if (ids) return read_ids(a, v, t, p);
    if (!list) {
        add_text(a, v);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(v, i);
        if (json_is_string(e))
            add_text(a, e);
        else if (!json_is_array(e) || !json_array_size(e))
            return VBS_BAD(p, "prompt", "prompt[%zu]: expected a string or a list of token ids", i);
        else if (read_ids(a, e, t, p))
            return -1;
    }
    return 0;
}

int vbs_ask_prompts(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    if (read_prompts(a, t, p)) return -1;
    bool texts = false;
    for (size_t i = 0; i < a->n_prompts; i++) texts |= a->prompts[i].text != NULL;
    /* Ids have been copied; as JSON they take eight times as much. */
    if (!texts) json_object_del(a->root, "prompt");
    return 0;
}
