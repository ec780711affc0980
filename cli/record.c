/* record.c - `verbatim record`: writes golden vectors (docs/vectors.md). */
#include "cli.h"

#include "conformance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const cf_config BEST = {NULL, 1, 0};

/* The model's path below the folder, if it lies there, otherwise absolute. *out is allocated. */
static int model_name(const char *dir, const char *model, char **out) {
    char *d = realpath(dir, NULL), *m = realpath(model, NULL);
    int rc = CLI_OK;
    if (!m) {
        rc = cli_error("%s: %s", model, strerror(errno));
    } else if (!d) {
        rc = cli_error("%s: %s", dir, strerror(errno));
    } else {
        const size_t n = strlen(d);
        *out = strdup(!strncmp(m, d, n) && m[n] == '/' ? m + n + 1 : m);
        if (!*out) rc = cli_error("out of memory");
    }
    free(d);
    free(m);
    return rc;
}

/* Writes DIR/SUB/NAME.SUFFIX and frees the text. */
static int put(const cli_options *o, const char *sub, const char *name, const char *suffix, cf_text *t) {
    char path[4096];
    vb_error err = {0};
    int rc = CLI_OK;
    if (*sub) {
        snprintf(path, sizeof path, "%s/%s", o->out, sub);
        if (mkdir(path, 0777) && errno != EEXIST) rc = cli_error("%s: %s", path, strerror(errno));
    }
    const int n =
        snprintf(path, sizeof path, "%s/%s%s%s%s.jsonl", o->out, sub, *sub ? "/" : "", name, suffix);
    if (!rc && (n < 0 || (size_t)n >= sizeof path)) rc = cli_error("%s: the name is too long", o->out);
    if (!rc && cf_write_file(path, t->data, t->len, &err)) rc = cli_report(&err);
    if (!rc) cli_outf("%s: %zu bytes\n", path, t->len);
    cf_text_free(t);
    return rc;
}

static int record_formats(const cli_options *o) {
    cf_text t = {0};
    vb_error err = {0};
    if (cf_make_blocks(&t, &err)) goto failed;
    int rc = put(o, "", "blocks", "", &t);
    if (rc) return rc;
    if (cf_make_dots(&t, &BEST, &err)) goto failed;
    return put(o, "", "dots", "", &t);
failed:
    cf_text_free(&t);
    return cli_report(&err);
}

/* --tokens, or -p with the model's own tokenizer. */
static int read_prompt(const cli_options *o, cf_prompt *p) {
    cli_model m = {0};
    vb_error err = {0};
    if (o->tokens) return cli_parse_tokens(o->tokens, &p->tokens, &p->n);
    int rc = cli_model_open(&m, o->model, false);
    if (!rc && vb_tokenize(m.tokenizer, o->prompt, strlen(o->prompt),
                           VB_TOKENIZE_ADD_SPECIAL | VB_TOKENIZE_PARSE_SPECIAL, &p->tokens, &p->n, &err))
        rc = cli_report(&err);
    if (!rc && !p->n) rc = cli_usage("-p: the text has no tokens");
    cli_model_close(&m);
    return rc;
}

static int record_model(const cli_options *o, const char *model, const char *name, const cf_prompt *p) {
    static const uint64_t seeds[] = {1, 2};
    int rc = CLI_OK;
    for (int precise = 0; precise < 2 && !rc; precise++) {
        cf_text t = {0}, command = {0};
        vb_error err = {0};
        cf_addf(&command, "verbatim record -m %s --tokens ", model);
        cf_add_ids(&command, p->tokens, p->n);
        cf_addf(&command, " -n %d --out DIR", (int)o->n_predict);
        if (command.failed) return cli_error("out of memory");
        const cf_model_spec s = {.dir = o->out,
                                 .model = model,
                                 .command = command.data,
                                 .activations = precise ? VB_ACT_Q16 : VB_ACT_Q8,
                                 .kv = precise ? VB_F32 : VB_F16,
                                 .full = precise != 0,
                                 .generate = (int)o->n_predict,
                                 .seeds = seeds,
                                 .n_seeds = sizeof seeds / sizeof seeds[0],
                                 .prompts = p,
                                 .n_prompts = 1};
        if (cf_make_model(&t, &s, &BEST, &err))
            rc = cli_report(&err);
        else
            rc = put(o, "recordings", name, precise ? ".q16" : ".q8", &t);
        cf_text_free(&command);
        cf_text_free(&t);
    }
    return rc;
}

static int record_traces(const cli_options *o, const char *model, const char *draft, const char *name,
                         const cf_prompt *p) {
    int rc = CLI_OK;
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK && !rc; rule++) {
        cf_text t = {0};
        vb_error err = {0};
        char suffix[32];
        const cf_trace_spec s = {.dir = o->out,
                                 .target = model,
                                 .draft = draft,
                                 .accept = (vb_accept)rule,
                                 .gamma = 4,
                                 .seed = 1,
                                 .temperature = rule == VB_ACCEPT_GREEDY ? 0 : 0.8,
                                 .tokens = p->tokens,
                                 .n = p->n,
                                 .end = p->n + (size_t)o->n_predict};
        snprintf(suffix, sizeof suffix, ".%s", vb_accept_name((vb_accept)rule));
        rc = cf_make_trace(&t, &s, &BEST, &err) ? cli_report(&err) : put(o, "traces", name, suffix, &t);
        cf_text_free(&t);
    }
    return rc;
}

static int record_tokens(const cli_options *o, const char *model, const char *name) {
    cf_text t = {0};
    vb_error err = {0};
    const int rc =
        cf_make_tokens(&t, o->out, model, o->texts, &err) ? cli_report(&err) : put(o, "tokens", name, "", &t);
    cf_text_free(&t);
    return rc;
}

/* "dir/x.gguf" -> "x" */
static void base_name(const char *path, char out[256]) {
    const char *slash = strrchr(path, '/');
    snprintf(out, 256, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot && !strcmp(dot, ".gguf")) *dot = 0;
}

static int of_model(const cli_options *o) {
    char *model = NULL, *draft = NULL, name[256];
    cf_prompt p = {0};
    int rc = model_name(o->out, o->model, &model);
    if (!rc && o->draft_model) rc = model_name(o->out, o->draft_model, &draft);
    if (rc) goto cleanup;
    if (o->name)
        snprintf(name, sizeof name, "%s", o->name);
    else
        base_name(model, name);
    if (o->prompt || o->tokens) rc = read_prompt(o, &p);
    if (!rc && o->texts) rc = record_tokens(o, model, name);
    if (!rc && p.n) rc = record_model(o, model, name, &p);
    if (!rc && p.n && draft) rc = record_traces(o, model, draft, name, &p);
cleanup:
    free(p.tokens);
    free(draft);
    free(model);
    return rc;
}

int cli_record(cli_options *o) {
    vb_error err = {0};
    if (!o->out) return cli_usage("no folder: give --out DIR");
    if (o->model && !o->prompt && !o->tokens && !o->texts)
        return cli_usage("nothing to record of the model: give -p TEXT, --tokens IDS or --texts FILE");
    if (!o->model && (o->prompt || o->tokens || o->texts || o->draft_model))
        return cli_usage("no model: give one with -m FILE");
    if (o->prompt && o->tokens) return cli_usage("-p and --tokens exclude each other");
    if (o->draft_model && !o->prompt && !o->tokens) return cli_usage("-md needs -p TEXT or --tokens IDS");
    if (o->n_predict < 1 || o->n_predict > 4096) return cli_usage("-n: record takes 1 to 4096");
    if (mkdir(o->out, 0777) && errno != EEXIST) return cli_error("%s: %s", o->out, strerror(errno));
    int rc = o->model ? of_model(o) : o->manifest ? CLI_OK : record_formats(o);
    if (!rc && o->manifest && cf_write_manifest(o->out, &err)) rc = cli_report(&err);
    const int done = cli_out_finish();
    return rc ? rc : done;
}
