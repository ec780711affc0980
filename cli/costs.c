/* costs.c - what passes cost on this machine, for --gamma auto: measured once, then kept in a file, so that a
 * seed's text under `rejection` and `block` is the same after a restart; and the lengths that a run used
 * (--gamma-trace). docs/speculation.md, "How many tokens". */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

/* ---------------------------------------------------------------------------------------- where */

/* The processor, as the system names it; what vb_cpu_describe says where it does not. */
static void machine(char out[256]) {
    char line[256] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, 256, "%.200s", vb_cpu_describe());
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(out, 256, "%.180s", colon + 2);
        out[strcspn(out, "\n")] = 0;
        break;
    }
    if (f) fclose(f);
    const size_t n = strlen(out);
    snprintf(out + n, 256 - n, ", %ld CPUs", sysconf(_SC_NPROCESSORS_ONLN));
}

/* Of all that the costs depend on: the files' contents, the machine, and the options that change speed. */
uint64_t cli_speed_key(const cli_options *o, const vb_gguf *target, const vb_gguf *draft) {
    char text[600], cpu[256], kv[16];
    vb_type k, v; /* of what drafts */
    cli_kv_types(o, true, &k, &v);
    machine(cpu);
    const int n = snprintf(text, sizeof text, "%s %016llx %016llx %s %d %s %s %s %d %d %s", VB_VERSION,
                           (unsigned long long)vb_gguf_hash(target),
                           (unsigned long long)(draft ? vb_gguf_hash(draft) : 0), cpu, (int)o->threads,
                           o->kernels, o->activations, cli_kv_text(o, kv), (int)k, (int)v, o->repack);
    return XXH3_64bits(text, (size_t)n);
}

static int make_folders(char *path) {
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = 0;
        const int rc = mkdir(path, 0777);
        *at = '/';
        if (rc && errno != EEXIST) return -1;
    }
    return 0;
}

bool cli_cache_path(const char *kind, uint64_t key, char out[1024]) {
    const char *own = getenv("VERBATIM_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[800];
    if (own)
        snprintf(folder, sizeof folder, "%s", own);
    else if (xdg && xdg[0] == '/')
        snprintf(folder, sizeof folder, "%.700s/verbatim", xdg);
    else if (home && home[0] == '/')
        snprintf(folder, sizeof folder, "%.700s/.cache/verbatim", home);
    else
        return false;
    if (!folder[0]) return false;
    snprintf(out, 1024, "%s/%s-%016llx.json", folder, kind, (unsigned long long)key);
    return make_folders(out) == 0;
}

/* ---------------------------------------------------------------------------------------- as JSON */

static json_t *numbers(const int32_t *x, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, json_integer(x[i]));
    return a;
}

json_t *cli_costs_json(const vb_costs *c) {
    char cpu[256], hash[24];
    machine(cpu);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)vb_costs_hash(c));
    return json_pack("{ss si ss so si so so so si so}", "verbatim", "costs", "version", 1, "hash", hash,
                     "machine", cli_json_text(cpu, strlen(cpu)), "far", (int)c->far, "target",
                     numbers(c->target[0], VB_COST_ROWS), "target_far", numbers(c->target[1], VB_COST_ROWS),
                     "draft", numbers(c->draft, 2), "draft_read", (int)c->draft_read, "token_s",
                     cli_json_real(c->token_s));
}

/* A whole number that an int32_t holds. */
static bool read_int(const json_t *v, int32_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < INT32_MIN || json_integer_value(v) > INT32_MAX)
        return false;
    *out = (int32_t)json_integer_value(v);
    return true;
}

static bool read_ints(const json_t *a, int32_t *out, size_t n) {
    if (!json_is_array(a) || json_array_size(a) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (!read_int(json_array_get(a, i), &out[i])) return false;
    return true;
}

static bool is_a(const json_t *root, const char *kind) {
    const char *s = json_string_value(json_object_get(root, "verbatim"));
    return s && !strcmp(s, kind) && json_integer_value(json_object_get(root, "version")) == 1;
}

/* The same, and how busy the machine was. */
static const char *parse(const char *text, size_t n, vb_costs *out, double *others) {
    static char why[200];
    const char *field = NULL;
    json_error_t e;
    vb_error err = {0};
    vb_costs c = {0};
    json_t *root = vb_json_read(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!root) {
        snprintf(why, sizeof why, "line %d, column %d: %.100s", e.line, e.column, e.text);
        return why;
    }
    if (!is_a(root, "costs"))
        field = "verbatim (\"costs\") and version (1)";
    else if (!read_int(json_object_get(root, "far"), &c.far))
        field = "far";
    else if (!read_ints(json_object_get(root, "target"), c.target[0], VB_COST_ROWS))
        field = "target";
    else if (!read_ints(json_object_get(root, "target_far"), c.target[1], VB_COST_ROWS))
        field = "target_far";
    else if (!read_ints(json_object_get(root, "draft"), c.draft, 2))
        field = "draft";
    else if (!read_int(json_object_get(root, "draft_read"), &c.draft_read))
        field = "draft_read";
    c.token_s = json_number_value(json_object_get(root, "token_s"));
    *others = cli_load_read(root);
    json_decref(root);
    if (field)
        snprintf(why, sizeof why, "the field %s is missing or not as --costs writes it", field);
    else if (vb_costs_check(&c, &err))
        snprintf(why, sizeof why, "%.180s", err.message);
    else {
        *out = c;
        return NULL;
    }
    return why;
}

const char *cli_costs_parse(const char *text, size_t n, vb_costs *out) {
    double others;
    return parse(text, n, out, &others);
}

static int write_json(const char *path, json_t *value) {
    cli_file f = {0};
    char *text = value ? vb_json_write(value, JSON_INDENT(1), NULL) : NULL;
    json_decref(value);
    if (!text) return cli_error("out of memory for %s", path);
    int rc = cli_file_open(&f, path);
    if (!rc) {
        rc = cli_file_write(&f, text, strlen(text));
        if (!rc) rc = cli_file_write(&f, "\n", 1);
        const int closed = cli_file_close(&f, rc == CLI_OK);
        if (!rc) rc = closed;
    }
    free(text);
    return rc;
}

int cli_cache_write(const char *path, json_t *value) {
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    if (access(folder, W_OK) == 0)
        (void)write_json(path, value); /* a full disk is told of, and what was asked for goes on */
    else
        json_decref(value);
    return CLI_OK;
}

static bool there(const char *path) {
    return access(path, F_OK) == 0;
}

static int read_costs(cli_costs *c) {
    char *text = NULL;
    size_t n;
    const int rc = cli_read_file(c->path, &text, &n);
    if (rc) return rc;
    const char *why = parse(text, n, &c->costs, &c->others);
    free(text);
    return why ? cli_error("%s: %s: remove the file to measure anew", c->path, why) : CLI_OK;
}

/* ---------------------------------------------------------------------------------------- finding */

int cli_costs_find(const cli_options *o, const vb_gguf *target, const vb_gguf *draft, cli_costs *out) {
    *out = (cli_costs){.others = (double)NAN};
    if (o->costs) {
        snprintf(out->path, sizeof out->path, "%s", o->costs);
        if (!there(o->costs)) return CLI_OK;
        out->known = true;
        return read_costs(out);
    }
    char *text = NULL;
    size_t n;
    if (!cli_cache_path("costs", cli_speed_key(o, target, draft), out->path)) {
        out->path[0] = 0;
        return CLI_OK;
    }
    /* A cache that cannot be read is measured again, and any by `doctor --force`. */
    if (!o->force && there(out->path) && !cli_read_file(out->path, &text, &n))
        out->known = parse(text, n, &out->costs, &out->others) == NULL;
    free(text);
    return CLI_OK;
}

int cli_costs_keep(const cli_options *o, const cli_costs *c) {
    if (c->known || !c->path[0]) return CLI_OK;
    json_t *value = cli_costs_json(&c->costs);
    cli_load_write(value, c->others);
    return o->costs ? write_json(c->path, value) : cli_cache_write(c->path, value);
}

void cli_costs_doubt(const cli_costs *c) {
    cli_load_warn(c->others, "what passes cost was measured", c->path,
                  c->path[0] ? "`verbatim doctor TARGET DRAFT --force` measures again"
                             : "start again on a quieter one");
}

int cli_session_costs(cli_session *s) {
    const cli_options *o = s->o;
    vb_error err = {0};
    cli_costs c;
    s->params.costs = NULL;
    if (s->params.gamma != VB_GAMMA_AUTO || s->params.draft == VB_DRAFT_NONE) return CLI_OK;
    vb_context *drafter = s->params.draft == VB_DRAFT_MODEL ? s->draft_context : NULL;
    const vb_gguf *draft = !drafter ? NULL : s->draft_file.gguf ? s->draft_file.gguf : s->target.gguf;
    int rc = cli_costs_find(o, s->target.gguf, draft, &c);
    if (rc) return rc;
    if (!c.known && vb_context_length(s->context) > 0) {
        fputs("(what passes cost is not measured in the middle of a conversation: typical costs choose the "
              "lengths; start with --gamma auto)\n",
              stderr);
        vb_costs_typical(&c.costs);
    } else if (!c.known) {
        cli_load load;
        cli_load_begin(&load);
        cli_progress("measuring what passes cost, which is kept", 0);
        rc = vb_costs_measure(&c.costs, s->context, drafter, &err);
        cli_progress("", 1);
        if (rc) return cli_report(&err);
        c.others = cli_load_others(&load);
        if ((rc = cli_costs_keep(o, &c))) return rc;
    }
    cli_costs_doubt(&c);
    s->costs = c.costs;
    s->params.costs = &s->costs;
    return CLI_OK;
}

/* ---------------------------------------------------------------------------------------- --gamma-trace */

const char *cli_tree_name(const int tree[VB_TREE_DEPTH], char between, char out[80]) {
    size_t n = 0;
    snprintf(out, 80, "%s", tree[0] == VB_TREE_AUTO ? "auto" : "");
    if (tree[0] < 0) return out;
    for (int i = 0; i < VB_TREE_DEPTH && tree[i]; i++) {
        if (i) out[n++] = between;
        n += (size_t)snprintf(out + n, 80 - n, "%d", tree[i]);
    }
    return out;
}

const char *cli_step_name(const vb_spec_params *p, char out[100]) {
    char name[80];
    if (p->tree[0])
        snprintf(out, 100, "tree %s", cli_tree_name(p->tree, ',', name));
    else
        snprintf(out, 100, "gamma %s", cli_gamma_name(p->gamma, name));
    return out;
}

const char *cli_gamma_name(int gamma, char out[32]) {
    snprintf(out, 32, gamma == VB_GAMMA_AUTO ? "auto" : "%d", gamma);
    return out;
}

const char *cli_lengths_parse(const char *text, size_t n, int32_t **lengths, size_t *n_lengths) {
    static char why[200];
    json_error_t e;
    json_t *root = vb_json_read(text, n, JSON_REJECT_DUPLICATES, &e);
    const json_t *list = json_object_get(root, "lengths");
    const size_t count = json_array_size(list);
    int32_t *out = NULL;
    why[0] = 0;
    if (!root)
        snprintf(why, sizeof why, "line %d, column %d: %.100s", e.line, e.column, e.text);
    else if (!is_a(root, "gamma-trace") || !json_is_array(list))
        snprintf(why, sizeof why, "not what --gamma-trace writes");
    else if (!(out = malloc((count ? count : 1) * sizeof *out)))
        snprintf(why, sizeof why, "out of memory");
    for (size_t i = 0; i < count && !why[0]; i++)
        if (!read_int(json_array_get(list, i), &out[i]) || out[i] < 0 || out[i] > 32)
            snprintf(why, sizeof why, "lengths[%zu] is no whole number from 0 to 32", i);
    json_decref(root);
    if (why[0]) {
        free(out);
        return why;
    }
    *lengths = out;
    *n_lengths = count;
    return NULL;
}

int cli_lengths_read(cli_session *s) {
    const char *path = s->o->gamma_trace;
    char *text = NULL;
    size_t n;
    if (!path || !there(path)) return CLI_OK;
    if (s->params.draft == VB_DRAFT_NONE)
        return cli_usage("--gamma-trace %s: nobody drafts: give -md FILE or --draft", path);
    const int rc = cli_read_file(path, &text, &n);
    if (rc) return rc;
    const char *why = cli_lengths_parse(text, n, &s->lengths, &s->params.n_lengths);
    free(text);
    if (why) return cli_error("%s: %s: remove the file to write it anew", path, why);
    s->params.lengths = s->lengths;
    fprintf(stderr, "the lengths of %zu steps come from %s\n", s->params.n_lengths, path);
    return CLI_OK;
}

int cli_lengths_write(const cli_session *s, const cli_result *r) {
    if (!s->o->gamma_trace || s->params.n_lengths || s->params.lengths) return CLI_OK;
    json_t *o = json_pack("{ss si ss sI so}", "verbatim", "gamma-trace", "version", 1, "accept", s->o->accept,
                          "seed", (json_int_t)s->sampling.seed, "lengths", numbers(r->lengths, r->n_lengths));
    if (o && s->params.costs) json_object_set_new(o, "costs", cli_costs_json(s->params.costs));
    return write_json(s->o->gamma_trace, o);
}
