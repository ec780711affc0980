/* record.c - `verbatim record`: writes golden vectors (docs/vectors.md). */
#include "cli/cli.h"

#include "conformance/conformance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const cf_config BEST = {NULL, 1, 0};

/* The model's path below the folder, if it lies there, otherwise absolute. *out is allocated. */
static int model_name(const char *dir, const char *model, char **out) {
    char *m = realpath(model, NULL), *d = m ? realpath(dir, NULL) : NULL;
    int rc = CLI_OK;
    if (!m || !d) {
        rc = cli_error("%s: %s", m ? dir : model, strerror(errno));
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
static int put(const cli_options *o, const char *sub, const char *name, const char *suffix, vb_buf *t) {
    char path[4096];
    vb_error err = {0};
    int rc = CLI_OK;
    if (*sub) {
        snprintf(path, sizeof path, "%s/%s", o->out, sub);
        if (mkdir(path, 0777) && errno != EEXIST) rc = cli_error("%s: %s", path, strerror(errno));
    }
    int part, parts;
    char tail[32] = "";
    if (!rc) rc = cli_parse_shard(o, &part, &parts);
    if (!rc && parts && strcmp(sub, "traces") != 0) /* so that the parts' names sort as their numbers do */
        snprintf(tail, sizeof tail, ".%06d-of-%d", part + 1, parts);
    const int n =
        snprintf(path, sizeof path, "%s/%s%s%s%s.jsonl%s", o->out, sub, *sub ? "/" : "", name, suffix, tail);
    if (!rc && (n < 0 || (size_t)n >= sizeof path)) rc = cli_error("%s: the name is too long", o->out);
    if (!rc && cf_write_file(path, t->s, t->n, &err)) rc = cli_report(&err);
    if (!rc) cli_outf("%s: %zu bytes\n", path, t->n);
    vb_buf_free(t);
    return rc;
}

static int record_formats(const cli_options *o) {
    vb_buf t = {0};
    vb_error err = {0};
    if (cf_make_blocks(&t, &err)) goto failed;
    int rc = put(o, "", "blocks", "", &t);
    if (rc) return rc;
    if (cf_make_dots(&t, &BEST, &err)) goto failed;
    return put(o, "", "dots", "", &t);
failed:
    vb_buf_free(&t);
    return cli_report(&err);
}

typedef struct prompt_set {
    cf_prompt *prompt;
    size_t n;
} prompt_set;

static void free_prompts(prompt_set *set) {
    for (size_t i = 0; i < set->n; i++) free(set->prompt[i].tokens);
    free(set->prompt);
}

/* Appends; the tokens are taken over. */
static int add_prompt(prompt_set *set, int32_t *tokens, size_t n) {
    cf_prompt *grown = realloc(set->prompt, (set->n + 1) * sizeof *grown);
    if (!grown) {
        free(tokens);
        return cli_error("out of memory");
    }
    set->prompt = grown;
    set->prompt[set->n++] = (cf_prompt){tokens, n};
    return CLI_OK;
}

static int add_text(prompt_set *set, const cli_model *m, const char *text, size_t len, const char *where) {
    vb_error err = {0};
    int32_t *ids = NULL, *copy;
    size_t n;
    if (vb_tokenize_prompt(m->tokenizer, text, len, true, &ids, &n, &err)) return cli_report(&err);
    copy = n ? malloc(n * sizeof *copy) : NULL;
    if (copy) memcpy(copy, ids, n * sizeof *copy);
    vb_free(ids);
    if (!n) return cli_usage("%s: the text has no tokens", where);
    return copy ? add_prompt(set, copy, n) : cli_error("out of memory");
}

static int add_ids(prompt_set *set, const json_t *array, const char *where) {
    const size_t n = json_array_size(array);
    int32_t *ids = n ? malloc(n * sizeof *ids) : NULL;
    if (!ids) return cli_error("%s: \"tokens\" must be an array of ids that is not empty", where);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(array, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX) {
            free(ids);
            return cli_error("%s: a token id must be a whole number from 0", where);
        }
        ids[i] = (int32_t)json_integer_value(v);
    }
    return add_prompt(set, ids, n);
}

/* --prompts FILE */
static int read_prompts(const cli_options *o, const cli_model *m, prompt_set *set) {
    char *file = NULL, where[512];
    size_t n = 0, number = 0;
    int rc = cli_read_file(o->prompts, &file, &n);
    for (const char *at = file, *end = file + n; !rc && at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((newline ? newline : end) - at);
        json_error_t je;
        snprintf(where, sizeof where, "%s: line %zu", o->prompts, ++number);
        json_t *line = vb_json_read(at, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
        const json_t *text = json_object_get(line, "text"), *tokens = json_object_get(line, "tokens");
        if (!json_is_object(line))
            rc = cli_error("%s: %s", where, line ? "not a JSON object" : je.text);
        else if (tokens)
            rc = add_ids(set, tokens, where);
        else if (json_is_string(text) && json_string_length(text))
            rc = add_text(set, m, json_string_value(text), json_string_length(text), where);
        json_decref(line);
        at += len + (newline != NULL);
    }
    free(file);
    return rc ? rc : set->n ? CLI_OK : cli_error("%s: no prompt", o->prompts);
}

/* --tokens, or -p with the model's own tokenizer, or --prompts. */
static int read_prompt(const cli_options *o, prompt_set *set) {
    cli_model m = {0};
    int32_t *ids = NULL;
    size_t n;
    int rc;
    if (o->tokens) return (rc = cli_parse_tokens(o->tokens, &ids, &n)) ? rc : add_prompt(set, ids, n);
    rc = cli_model_open(&m, o, o->model, false);
    if (!rc)
        rc = o->prompts ? read_prompts(o, &m, set) : add_text(set, &m, o->prompt, strlen(o->prompt), "-p");
    cli_model_close(&m);
    return rc;
}

static int record_model(const cli_options *o, const char *model, const char *name, const prompt_set *set) {
    static const uint64_t seeds[] = {1, 2};
    cf_part part;
    int rc = cli_parse_shard(o, &part.shard, &part.shards);
    for (int precise = 0; precise < 2 && !rc; precise++) {
        vb_buf t = {0}, command = {0};
        vb_error err = {0};
        vb_buf_addf(&command, "verbatim record -m %s ", model);
        if (o->prompts) {
            vb_buf_addf(&command, "--prompts FILE");
        } else {
            vb_buf_addf(&command, "--tokens ");
            cf_add_ids(&command, set->prompt[0].tokens, set->prompt[0].n);
        }
        vb_buf_addf(&command, " -n %d --out DIR", (int)o->n_predict);
        if (command.failed) return cli_error("out of memory");
        const cf_model_spec s = {.dir = o->out,
                                 .model = model,
                                 .command = command.s,
                                 .activations = precise ? VB_ACT_Q16 : VB_ACT_Q8,
                                 .kv = precise ? VB_F32 : VB_F16,
                                 .full = precise != 0,
                                 .generate = (int)o->n_predict,
                                 .seeds = seeds,
                                 .n_seeds = sizeof seeds / sizeof seeds[0],
                                 .prompts = set->prompt,
                                 .n_prompts = set->n,
                                 .part = part};
        if (cf_make_model(&t, &s, &BEST, &err))
            rc = cli_report(&err);
        else
            rc = put(o, "recordings", name, precise ? ".q16" : ".q8", &t);
        vb_buf_free(&command);
        vb_buf_free(&t);
    }
    return rc;
}

static int record_traces(const cli_options *o, const char *model, const char *draft, const char *name,
                         const cf_prompt *p) {
    int part, parts, rc = cli_parse_shard(o, &part, &parts);
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK && !rc; rule++) {
        if (parts && rule % parts != part) continue; /* whole files: one part has this one */
        vb_buf t = {0};
        vb_error err = {0};
        char suffix[32];
        const cf_trace_spec s = {.dir = o->out,
                                 .target = model,
                                 .draft = draft,
                                 .pre = o->pre,
                                 .accept = (vb_accept)rule,
                                 .gamma = 4,
                                 .seed = 1,
                                 .temperature = rule == VB_ACCEPT_GREEDY ? 0 : 0.8,
                                 .tokens = p->tokens,
                                 .n = p->n,
                                 .end = p->n + (size_t)o->n_predict};
        snprintf(suffix, sizeof suffix, ".%s", vb_accept_name((vb_accept)rule));
        rc = cf_make_trace(&t, &s, &BEST, &err) ? cli_report(&err) : put(o, "traces", name, suffix, &t);
        vb_buf_free(&t);
    }
    return rc;
}

static int record_tokens(const cli_options *o, const char *model, const char *name) {
    vb_buf t = {0};
    vb_error err = {0};
    cf_part part;
    int rc = cli_parse_shard(o, &part.shard, &part.shards);
    if (rc) return rc;
    rc = cf_make_tokens(&t, o->out, model, o->pre, o->texts, part, &err) ? cli_report(&err)
                                                                         : put(o, "tokens", name, "", &t);
    vb_buf_free(&t);
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
    prompt_set set = {0};
    int rc = model_name(o->out, o->model, &model);
    if (!rc && o->draft_model) rc = model_name(o->out, o->draft_model, &draft);
    if (rc) goto cleanup;
    if (o->name)
        snprintf(name, sizeof name, "%s", o->name);
    else
        base_name(model, name);
    if (o->prompt || o->tokens || o->prompts) rc = read_prompt(o, &set);
    if (!rc && o->texts) rc = record_tokens(o, model, name);
    if (!rc && set.n) rc = record_model(o, model, name, &set);
    if (!rc && set.n && draft) rc = record_traces(o, model, draft, name, &set.prompt[0]);
cleanup:
    free_prompts(&set);
    free(draft);
    free(model);
    return rc;
}

int cli_record(cli_options *o) {
    vb_error err = {0};
    if (!o->out) return cli_usage("no folder: give --out DIR");
    if (o->model && !o->prompt && !o->tokens && !o->texts && !o->prompts)
        return cli_usage(
            "nothing to record of the model: give -p TEXT, --tokens IDS, --prompts FILE or --texts FILE");
    if (!o->model && (o->prompt || o->tokens || o->texts || o->prompts || o->draft_model))
        return cli_usage("no model: give one with -m FILE");
    if (!!o->prompt + !!o->tokens + !!o->prompts > 1)
        return cli_usage("-p, --tokens and --prompts exclude each other");
    if (o->draft_model && !o->prompt && !o->tokens && !o->prompts)
        return cli_usage("-md needs -p TEXT, --tokens IDS or --prompts FILE");
    if (o->shard && (!o->model || o->manifest))
        return cli_usage(
            "--shard splits what is recorded of a model: give -m FILE, and write the manifest afterwards");
    if (cli_check_pre(o)) return CLI_USAGE;
    if (o->n_predict < 1 || o->n_predict > 4096) return cli_usage("-n: record takes 1 to 4096");
    if (mkdir(o->out, 0777) && errno != EEXIST) return cli_error("%s: %s", o->out, strerror(errno));
    int rc = o->model ? of_model(o) : o->manifest ? CLI_OK : record_formats(o);
    if (!rc && o->manifest && cf_write_manifest(o->out, &err)) rc = cli_report(&err);
    const int done = cli_out_finish();
    return rc ? rc : done;
}
