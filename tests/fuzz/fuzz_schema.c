/* fuzz_schema.c - a JSON schema from nowhere: the first line is an instance, the rest the schema. It
 * compiles to a grammar or is refused with a message, within its limits; of a grammar every text can be
 * completed, byte by byte. */
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/schema.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Draws bytes that may come, by the input's own bytes; where none may, the text must be complete. */
static void walk(vbg_machine *m, const char *text, size_t n) {
    uint32_t at = m->start;
    for (size_t i = 0; i < n && i < 12 && !m->error.code; i++) {
        uint32_t next = VBG_DEAD_STATE;
        for (int b = 0; b < 256 && next == VBG_DEAD_STATE && !m->error.code; b++) {
            const char c = (char)((unsigned char)text[i] + b);
            next = vbg_advance(m, at, &c, 1);
        }
        if (m->error.code) return;
        if (next == VBG_DEAD_STATE && !m->states[at].accept) abort();
        if (next == VBG_DEAD_STATE) return;
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *s = (const char *)data, *line = memchr(s, '\n', size);
    const size_t n = line ? (size_t)(line - s) : 0, from = line ? n + 1 : 0;
    const vbj_options o = {.any_whitespace = n & 1, .strict = n > 20 && (n & 2)};
    vb_error err = {0};
    vbg_ir *ir;
    vbg_node root;
    vb_grammar *g = NULL;
    vbg_machine *m = NULL;
    if (vbg_ir_new(&ir, &err)) return 0;
    if (vbj_schema_compile(ir, s + from, size - from, &o, &root, &err) || vbg_ir_finish(ir, root, &g, &err)) {
        if (!err.message[0]) abort();
        vbg_ir_free(ir);
        return 0;
    }
    vbg_ir *copy;
    if (!vbg_ir_copy(&copy, g->ir, &err) && !vbg_machine_new(&m, copy, &err)) {
        m->max_bytes = 64 << 20;
        vbg_advance(m, m->start, s, n);
        walk(m, s, n);
        vbg_machine_free(m);
    }
    vb_grammar_close(g);
    return 0;
}
