/* fuzz_request.c - libFuzzer: bodies of requests to the server. The first byte chooses the endpoint. Nothing
 * may crash; what is refused says why, what is taken is within its limits. `make fuzz` builds and runs it. */
#include "server/ask.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

/* A template that reads the variables of reasoning. */
static const vb_chat *thinking(void) {
    static vb_chat *c;
    static const char text[] = "{{ messages }}{{ enable_thinking }}{{ reasoning_effort }}";
    if (!c && vb_chat_open_text(&c, text, sizeof text - 1, "t", NULL)) abort();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    vbs_terms t = {.name = "m",
                   .gamma = 5,
                   .has_draft = (data[0] & 2) != 0,
                   .n_vocab = 1000,
                   .n_ctx = 512,
                   .system_prompt = "s"};
    vb_sampling_defaults(&t.sampling);
    t.ignore_tools = (data[0] & 4) != 0;
    t.continue_final = (data[0] & 8) != 0;
    t.shows_tools = (data[0] & 16) != 0;
    t.reads_calls = (data[0] & 32) != 0;
    t.template = thinking();
    vbs_ask a;
    vbs_problem p;
    const bool chat = (data[0] & 1) != 0;
    /* In memory of its own, so that a read beyond it is seen. */
    char *body = malloc(size);
    if (!body) return 0;
    memcpy(body, data + 1, size - 1);
    if (vbs_ask_read(&a, chat, body, size - 1, &t, &p)) {
        check(p.status >= 400 && p.status < 600 && p.message[0]);
    } else {
        vb_error err = {0};
        check(p.status == 0 && a.n >= 1 && a.n <= VBS_MAX_CHOICES && a.n_stops <= VBS_MAX_STOPS);
        check(a.gamma >= 0 && a.gamma <= 32 && (t.has_draft || a.gamma == 0) && a.n_top >= 0 &&
              a.n_top <= 20);
        check(!vb_sampling_check(&a.sampling, t.n_vocab, &err));
        check(chat ? a.n_variables > 0 && a.variables[0] == '{' : a.n_prompts >= 1);
        check(!(a.continue_last && a.open_turn) && (!a.tools || a.tools[0] == '['));
        check(a.tool_choice != VBS_TOOLS_NAMED || a.tool_name[0]);
        for (size_t i = 0; i < a.n_prompts; i++) check(a.prompts[i].text || a.prompts[i].n > 0);
        for (int i = 0; i < a.n_stops; i++) check(a.stops[i].len >= 1);
    }
    vbs_ask_close(&a);
    free(body);
    return 0;
}
