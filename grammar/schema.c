/* schema.c - a JSON schema from its text to the expression of its instances. */
#include "grammar/schema_internal.h"

#include <string.h>

static int begin(vbj_compiler *c, vbg_ir *ir, const vbj_options *options, vb_error *err) {
    memset(c, 0, sizeof *c);
    vbj_arena_begin(&c->arena, VBJ_ARENA_BYTES, VBJ_MAX_STEPS);
    c->ir = ir;
    c->err = err;
    if (options) c->options = *options;
    c->all_strings = vbj_dfa_all(&c->arena);
    if (!c->all_strings) return vbj_full(c);
    /* The first two expressions have fixed places: VBJ_EXPR_TRUE, VBJ_EXPR_FALSE. */
    if (vbj_expr_constant(c, true) != VBJ_EXPR_TRUE || vbj_expr_constant(c, false) != VBJ_EXPR_FALSE)
        return vbj_full(c);
    vbj_make_spaces(c);
    return 0;
}

static int emit_root(vbj_compiler *c, vbj_expr x, vbg_node *root) {
    vbg_node node;
    int rc = vbj_emit(c, x, &node);
    if (!rc) rc = vbj_emit_all(c);
    if (rc) return rc;
    if (c->options.any_whitespace) node = vbg_seq(c->ir, c->space, vbg_seq(c->ir, node, c->space));
    *root = node;
    return vbg_ir_error(c->ir, c->err);
}

/* Read as a double, a bound would become another one in silence. */
static const char *way_out(const json_error_t *where) {
    const char too_big[] = "too big integer";
    if (strncmp(where->text, too_big, sizeof too_big - 1) != 0) return "";
    return ": integers are kept exactly and within 64 bits; with an exponent (1.8e19) it is the nearest "
           "double";
}

int vbj_schema_compile(vbg_ir *ir, const char *text, size_t len, const vbj_options *options, vbg_node *root,
                       vb_error *err) {
    vb_error own;
    vbj_compiler c;
    json_error_t where;
    vb_begin(&own);
    vb_json_begin();
    if (len > VBJ_MAX_TEXT)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "JSON schema: a text of more than %d MB", VBJ_MAX_TEXT >> 20);
    int rc = begin(&c, ir, options, &own);
    json_t *document = NULL;
    if (!rc) {
        document = vb_json_read(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &where);
        if (!document && vb_json_failed())
            rc = vb_fail(&own, VB_ERR_MEMORY, "out of memory for a JSON schema");
        else if (!document)
            rc = vb_fail(&own, VB_ERR_FORMAT, "JSON schema, line %d, column %d: %s%s", where.line,
                         where.column, where.text, way_out(&where));
    }
    if (!rc && !json_is_object(document) && !json_is_boolean(document))
        rc = vb_fail(&own, VB_ERR_FORMAT, "JSON schema: a schema is an object, true or false");
    if (!rc) rc = vbj_read(&c, document);
    if (!rc) rc = emit_root(&c, vbj_expr_schema(&c, document), root);
    json_decref(document);
    vbj_arena_end(&c.arena);
    return rc ? vb_fail(err, own.code ? own.code : rc, "%s", own.message) : 0;
}

int vbj_object_compile(vbg_ir *ir, const vbj_options *options, vbg_node *root, vb_error *err) {
    static const char text[] = "{\"type\":\"object\"}";
    return vbj_schema_compile(ir, text, sizeof text - 1, options, root, err);
}
