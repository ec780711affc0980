/* fuzz_chat.c - a template from nowhere with variables from nowhere: the first line is JSON, the rest the
 * template. Whatever it does, it ends, within its limits, with a prompt whose spans cover its text, or with
 * a message. */
#include "include/verbatim.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int date[6] = {2026, 11, 27, 12, 0, 0};
    const char *s = (const char *)data, *line = memchr(s, '\n', size);
    const size_t n = line ? (size_t)(line - s) : 0, from = line ? n + 1 : 0;
    const vb_chat_request r = {
        .variables = line ? s : NULL, .n_variables = n, .open_turn = true, .date = date};
    vb_error err = {0};
    vb_chat *c = NULL;
    vb_prompt p = {0};
    if (vb_chat_open_text(&c, s + from, size - from, "fuzz", &err)) {
        if (!err.message[0]) abort();
        return 0;
    }
    if (vb_chat_render(c, NULL, &r, &p, &err)) {
        if (!err.message[0] || p.text) abort();
    } else {
        size_t at = 0;
        for (size_t i = 0; i < p.n_spans; at = p.spans[i++].end)
            if (p.spans[i].end <= at) abort();
        if (at != p.len || p.text[p.len]) abort();
    }
    vb_prompt_free(&p);
    vb_chat_close(c);
    return 0;
}
