/* shape.c - --grammar, --json-schema and --regex: what the text must look like, as a mask for vb_spec. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Which of the options is given, and where its text comes from. */
static int find_source(const cli_options *o, vb_grammar_kind *kind, const char **file, const char **text) {
    const int n = (o->grammar != NULL) + (o->json_schema != NULL) + (o->regex != NULL);
    *file = *text = NULL;
    if (n > 1) return cli_usage("--grammar, --json-schema and --regex exclude each other: give one");
    if (o->grammar) *kind = VB_GRAMMAR_GBNF, *file = o->grammar;
    if (o->regex) *kind = VB_GRAMMAR_REGEX, *text = o->regex;
    if (!o->json_schema) return CLI_OK;
    *kind = VB_GRAMMAR_JSON_SCHEMA;
    if (o->json_schema[0] == '{')
        *text = o->json_schema;
    else
        *file = o->json_schema;
    return CLI_OK;
}

bool cli_shape_given(const cli_options *o) {
    return o->grammar || o->json_schema || o->regex;
}

int cli_shape_check(const cli_options *o) {
    vb_grammar_kind kind;
    const char *file, *text;
    const int rc = find_source(o, &kind, &file, &text);
    if (rc) return rc;
    if (cli_given(o, "--json-whitespace") && !o->json_schema)
        return cli_usage("--json-whitespace says how a schema's texts are written: add --json-schema FILE");
    if (o->ignore_eos && cli_shape_given(o))
        return cli_usage(
            "--ignore-eos asks for text without an end, and a grammar's texts end: leave one out");
    return CLI_OK;
}

static int read_grammar(cli_shape *g, const cli_options *o) {
    const vb_grammar_params p = {.any_whitespace = !strcmp(o->json_whitespace, "any")};
    vb_grammar_kind kind = VB_GRAMMAR_GBNF;
    const char *file, *text;
    char *bytes = NULL;
    size_t n = 0;
    vb_error err = {0};
    int rc = find_source(o, &kind, &file, &text);
    if (!rc && file) rc = cli_read_file(file, &bytes, &n);
    if (rc) return rc;
    if (text) n = strlen(text);
    if (vb_grammar_open(&g->grammar, kind, text ? text : bytes, n, &p, &err))
        rc = cli_error("%s: %s",
                       file                       ? file
                       : kind == VB_GRAMMAR_REGEX ? "--regex"
                                                  : "--json-schema",
                       err.message);
    free(bytes);
    return rc;
}

/* Ids with a bias of -infinity: texts that need them are no texts here. */
static int find_banned(const vb_sampling *s, int32_t **out, size_t *n) {
    *n = 0;
    *out = calloc(s->n_bias + 1, sizeof **out);
    if (!*out) return cli_error("out of memory");
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].bias < -1e38f) (*out)[(*n)++] = s->bias[i].id;
    return CLI_OK;
}

int cli_shape_open(cli_shape *g, const cli_options *o, const vb_tokenizer *t, int n_vocab,
                   const vb_sampling *s) {
    vb_error err = {0};
    vb_constraint_params p = {0};
    int32_t *banned = NULL;
    memset(g, 0, sizeof *g);
    if (!cli_shape_given(o)) return CLI_OK;
    int rc = read_grammar(g, o);
    if (!rc && s) rc = find_banned(s, &banned, &p.n_banned);
    p.banned = banned;
    if (!rc && (vb_vocabulary_open(&g->vocabulary, t, n_vocab, &err) ||
                vb_constraint_open(&g->constraint, g->grammar, g->vocabulary, &p, &err) ||
                vb_guide_open(&g->guide, g->constraint, NULL, &err)))
        rc = cli_report(&err);
    free(banned);
    if (rc) {
        cli_shape_close(g);
        return rc;
    }
    g->mask = vb_guide_mask(g->guide);
    return CLI_OK;
}

void cli_shape_close(cli_shape *g) {
    vb_guide_close(g->guide);
    vb_constraint_close(g->constraint);
    vb_vocabulary_close(g->vocabulary);
    vb_grammar_close(g->grammar);
    memset(g, 0, sizeof *g);
}
