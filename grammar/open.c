/* open.c - a grammar from its source text. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/regex.h"
#include "grammar/schema.h"

static int read_regex(vbg_ir *ir, const char *text, size_t n, vbg_node *root, vb_error *err) {
    vbg_regex r;
    const int rc = vbg_regex_parse(&r, text, n, err);
    if (rc) return rc;
    *root = vbg_regex_build(ir, &r, false);
    vbg_regex_free(&r);
    return vbg_ir_error(ir, err);
}

void vbg_hash_source(vb_grammar *g, vb_grammar_kind kind, const char *text, size_t n,
                     const vb_grammar_params *p) {
    const uint8_t head[4] = {(uint8_t)kind, p->any_whitespace, p->strict, 1};
    XXH3_state_t *s = XXH3_createState();
    if (!s) return; /* then the name says less: zeros */
    XXH3_128bits_reset(s);
    XXH3_128bits_update(s, head, sizeof head);
    if (n) XXH3_128bits_update(s, text, n);
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s));
    memcpy(g->hash, c.digest, sizeof g->hash);
    XXH3_freeState(s);
}

int vb_grammar_open(vb_grammar **out, vb_grammar_kind kind, const char *text, size_t len,
                    const vb_grammar_params *p, vb_error *err) {
    const vb_grammar_params defaults = {0};
    vbg_ir *ir;
    vbg_node root = VBG_NONE;
    vb_grammar *g = NULL;
    vb_begin(err);
    if (!p) p = &defaults;
    const vbj_options json = {.any_whitespace = p->any_whitespace, .strict = p->strict};
    int rc = vbg_ir_new(&ir, err);
    if (rc) return rc;
    switch (kind) {
    case VB_GRAMMAR_GBNF: rc = vbg_gbnf_read(ir, text, len, &root, err); break;
    case VB_GRAMMAR_REGEX: rc = read_regex(ir, text, len, &root, err); break;
    case VB_GRAMMAR_JSON_SCHEMA: rc = vbj_schema_compile(ir, text, len, &json, &root, err); break;
    case VB_GRAMMAR_JSON_OBJECT: rc = vbj_object_compile(ir, &json, &root, err); break;
    default: rc = vb_fail(err, VB_ERR_ARGUMENT, "there is no kind %d of grammar", (int)kind);
    }
    if (!rc) rc = vbg_ir_finish(ir, root, &g, err);
    if (rc) {
        vbg_ir_free(ir);
        return rc;
    }
    vbg_hash_source(g, kind, text, len, p);
    *out = g;
    return VB_OK;
}

void vb_grammar_describe(const vb_grammar *g, vb_grammar_facts *out) {
    *out = (vb_grammar_facts){g->ir->n_rules, g->ir->n_nodes, g->ir->bytes};
}

int vb_grammar_text(const vb_grammar *g, const char *text, size_t len, uint64_t next[4], bool *complete,
                    size_t *valid, vb_error *err) {
    vbg_ir *ir;
    vbg_machine *m;
    vb_begin(err);
    if (len > PTRDIFF_MAX) return vb_fail(err, VB_ERR_ARGUMENT, "a text of %zu bytes", len);
    int rc = vbg_ir_copy(&ir, g->ir, err);
    if (!rc) rc = vbg_machine_new(&m, ir, err);
    if (rc) return rc;
    m->max_bytes = VBG_MAX_BYTES;
    if (!vbg_follow_text(m, text, len, next, complete, valid))
        rc = vb_fail(err, m->error.code, "%s", m->error.message);
    vbg_machine_free(m);
    return rc;
}
