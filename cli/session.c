/* session.c - opens what a command needs: model files, contexts, sampling and speculation parameters. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Bytes for threads, scratch and what else a process needs beside weights and caches. */
#define CLI_ROOM ((uint64_t)32 << 20)

void cli_model_close(cli_model *m) {
    vb_model_close(m->model);
    vb_tokenizer_close(m->tokenizer);
    vb_gguf_close(m->gguf);
    memset(m, 0, sizeof *m);
}

int cli_check_pre(const cli_options *o) {
    char list[512] = "";
    const char *name;
    if (!o->pre) return CLI_OK;
    for (size_t i = 0; (name = vb_pre_name(i)); i++) {
        if (!strcmp(name, o->pre)) return CLI_OK;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", name);
    }
    return cli_usage("--pre %s: expected one of %s", o->pre, list);
}

int cli_model_open(cli_model *m, const cli_options *o, const char *path, bool weights) {
    const vb_tokenizer_params p = {.pre = o->pre};
    vb_model_params mp;
    vb_error err = {0};
    if (cli_check_pre(o) || cli_rope_params(o, path != o->model, &mp)) return CLI_USAGE;
    memset(m, 0, sizeof *m);
    int rc = vb_gguf_open(&m->gguf, path, &err);
    if (!rc) rc = vb_tokenizer_open_with(&m->tokenizer, m->gguf, &p, &err);
    if (!rc && weights) rc = vb_model_open_with(&m->model, m->gguf, &mp, &err);
    if (!rc) return CLI_OK;
    cli_model_close(m);
    return cli_report(&err);
}

void cli_token_quote(const vb_tokenizer *t, int32_t id, char *out, size_t size) {
    size_t n = 0;
    const char *text = id >= 0 && id < vb_tokenizer_size(t) ? vb_token_text(t, id, true, &n) : "";
    if (size < 8) return;
    out[0] = '"';
    cli_escape(text ? text : "", text ? n : 0, out + 1, size - 2);
    n = strlen(out);
    out[n] = '"';
    out[n + 1] = 0;
}

static vb_type type_named(const char *name) {
    static const vb_type types[] = {VB_F32, VB_BF16, VB_Q8_0, VB_Q4_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcasecmp(vb_type_name((int)types[i]), name)) return types[i];
    return strcasecmp(name, "q8i") ? VB_F16 : VB_Q8I;
}

static const char *first_given(const char *a, const char *b, const char *c) {
    return a ? a : b ? b : c;
}

void cli_kv_types(const cli_options *o, bool draft, vb_type *k, vb_type *v) {
    *k = type_named(first_given(draft ? o->draft_cache_k : NULL, o->cache_k, o->kv));
    *v = type_named(first_given(draft ? o->draft_cache_v : NULL, o->cache_v, o->kv));
}

const char *cli_kv_text(const cli_options *o, char out[16]) {
    const char *k = o->cache_k ? o->cache_k : o->kv, *v = o->cache_v ? o->cache_v : o->kv;
    snprintf(out, 16, strcmp(k, v) ? "%.6s %.6s" : "%.6s", k, v);
    return out;
}

void cli_context_params(const cli_options *o, vb_context_params *p) {
    vb_context_defaults(p);
    p->n_ctx = (int)o->ctx;
    p->n_threads = (int)o->threads;
    p->batch = (int)o->batch;
    p->activations = strcmp(o->activations, "q16") ? VB_ACT_Q8 : VB_ACT_Q16;
    cli_kv_types(o, false, &p->k_type, &p->v_type);
    p->kernels = o->kernels;
    p->cancel = cli_interrupt_callback;
}

int cli_check_offload(const cli_options *o) {
    if (cli_given(o, "--offload-width") && !o->offload)
        return cli_usage("--offload-width says how a backend is called: add --offload NAME");
    return CLI_OK;
}

/* A width that the batch holds. Small batches are asked for where memory is short, not to say anything about
 * backends. */
void cli_offload_params(const cli_options *o, vb_offload *offload, vb_context_params *p) {
    p->offload = offload;
    p->offload_width = (int)o->offload_width;
    if (!cli_given(o, "--offload-width") && p->batch > 0 && p->batch < p->offload_width)
        p->offload_width = p->batch;
}

int cli_check_models(const cli_options *o) {
    if (!o->model) return cli_usage("no model: give one with -m FILE");
    if (o->draft && !strcmp(o->draft, "model") && !o->draft_model)
        return cli_usage("--draft model needs the draft model: -md FILE");
    if (cli_rope_check(o)) return CLI_USAGE;
    if (o->draft && strcmp(o->draft, "model") && o->draft_model)
        return cli_usage("-md gives a draft model, --draft %s asks for another drafter: leave one out",
                         o->draft);
    if ((o->draft_vocab || o->draft_vocab_from.n) && !o->draft_model)
        return cli_usage("--draft-vocab trims the output matrix of a draft model: give one with -md FILE");
    if (o->draft_text && !o->draft_model && !o->drafts)
        return cli_usage("--draft-text is for a draft model of another vocabulary: give one with -md FILE");
    if (o->draft_vocab_from.n && !o->draft_vocab)
        return cli_usage("--draft-vocab-from says which ids --draft-vocab keeps: add --draft-vocab N");
    if (o->corpus.n && !o->draft_suffix && (!o->draft || strcmp(o->draft, "suffix")))
        return cli_usage(
            "--ngram-corpus is what --draft suffix copies from, or --draft-suffix N before a model: "
            "add one of them");
    if (o->draft_suffix && !o->draft_model &&
        (!o->draft || (strcmp(o->draft, "suffix") && strcmp(o->draft, "self"))))
        return cli_usage("--draft-suffix says which matches are copied: add --draft suffix, or -md FILE");
    if (!strcmp(o->accept, "greedy") && o->sampling.temperature > 0)
        return cli_usage(
            "--accept greedy is the rule of temperature 0, and the temperature is %g: add --temp 0, or use "
            "--accept coupled",
            o->sampling.temperature);
    return CLI_OK;
}

/* Options that contradict each other: nothing is ignored that would change the output (P6). */
static int check_options(const cli_options *o) {
    const int rc = cli_check_models(o);
    if (rc) return rc;
    if (cli_check_offload(o) || cli_shape_check(o)) return CLI_USAGE;
    if (o->draft && !strcmp(o->draft, "forced") && !cli_shape_given(o))
        return cli_usage(
            "--draft forced drafts what a grammar says must follow: add --json-schema, --grammar or --regex");
    if (o->trace_full && !o->trace)
        return cli_usage("--trace-full says what a trace holds: add --trace FILE");
    return CLI_OK;
}

/* "ID=BIAS" */
static int parse_bias(const char *text, vb_logit_bias *out) {
    char *end;
    errno = 0;
    long id = strtol(text, &end, 10);
    if (end == text || *end != '=' || errno || id < 0 || id > INT32_MAX)
        return cli_usage("--logit-bias %s: expected ID=BIAS, such as 1234=-5 or 1234=-inf", text);
    const char *number = end + 1;
    float bias = strtof(number, &end);
    if (end == number || *end || bias != bias)
        return cli_usage("--logit-bias %s: expected a number after the =", text);
    *out = (vb_logit_bias){(int32_t)id, bias};
    return CLI_OK;
}

/* A seed of 53 bits: every program that reads JSON keeps it whole. */
int cli_random_seed(uint64_t *seed) {
    FILE *f = fopen("/dev/urandom", "rb");
    uint64_t bits;
    bool got = f && fread(&bits, sizeof bits, 1, f) == 1;
    if (f) fclose(f);
    if (!got) return cli_error("cannot read /dev/urandom for a random seed: give one with --seed N");
    *seed = bits >> 11;
    return CLI_OK;
}

vb_sampling cli_sampling(const cli_options *o) {
    vb_sampling p = o->sampling;
    if (p.top_n_sigma < 0) p.top_n_sigma = 0; /* off, too */
    return p;
}

/* Which ids break repeats depends on the vocabulary. */
static int set_breakers(cli_session *s) {
    const cli_list *texts = &s->o->dry_breakers;
    vb_error err = {0};
    if (!(s->o->sampling.dry_multiplier > 0))
        return texts->n ? cli_usage("--dry-sequence-breaker is for DRY: add --dry-multiplier M") : CLI_OK;
    if (texts->n == 1 && !strcmp(texts->items[0], "none")) return CLI_OK;
    size_t n = 0;
    if (vb_dry_breakers(s->target.tokenizer, texts->n ? texts->items : NULL, texts->n, &s->breakers, &n,
                        &err)) {
        cli_report(&err);
        return CLI_USAGE;
    }
    s->sampling.dry_breakers = s->breakers;
    s->sampling.n_dry_breakers = n;
    return CLI_OK;
}

static int set_sampling(cli_session *s) {
    const cli_options *o = s->o;
    vb_sampling *p = &s->sampling;
    *p = cli_sampling(o);
    p->seed = (uint64_t)o->seed;
    if (o->seed < 0) {
        int rc = cli_random_seed(&p->seed);
        if (rc) return rc;
    }
    if (o->logit_bias.n) {
        s->bias = calloc(o->logit_bias.n, sizeof *s->bias);
        if (!s->bias) return cli_error("out of memory");
        for (size_t i = 0; i < o->logit_bias.n; i++) {
            int rc = parse_bias(o->logit_bias.items[i], &s->bias[i]);
            if (rc) return rc;
        }
        p->bias = s->bias;
        p->n_bias = o->logit_bias.n;
    }
    return CLI_OK;
}

/* What has taken half a second may take long, and says so: a file that is read from the disk for the first
 * time, more than one that is large. */
static bool on_repack(void *user, uint64_t done, uint64_t total) {
    if (cli_now() - *(const double *)user > 0.5)
        cli_progress("interleaving weights", (double)done / (double)total);
    return cli_interrupt_callback(NULL);
}

int cli_check_context(const cli_options *o, const vb_model *m) {
    const int most = vb_model_describe(m)->n_ctx;
    if (o->ctx <= most) return CLI_OK;
    return cli_error("-c %lld: this model was trained for %d positions: use -c %d or less", (long long)o->ctx,
                     most, most);
}

const char *cli_longer_context(const vb_model *m, size_t need, char out[96]) {
    const int most = vb_model_describe(m)->n_ctx;
    if (need <= (size_t)most)
        snprintf(out, 96, "use -c %zu or more, or", need);
    else
        snprintf(out, 96, "this model was trained for %d, the most that -c can give: use", most);
    return out;
}

/* What shall stay free beside a copy of the weights: the KV cache, and some for threads and scratch. */
static uint64_t room_for_the_rest(const cli_options *o, const vb_model *m) {
    vb_context_params p;
    uint64_t bytes = 0;
    cli_context_params(o, &p);
    const int most = vb_model_describe(m)->n_ctx;
    if (p.n_ctx > most) p.n_ctx = most; /* a draft model's context may be the shorter one */
    if (vb_context_check(m, &p, &bytes, NULL)) return 0;
    return bytes + CLI_ROOM;
}

int cli_repack(const cli_options *o, vb_model *m) {
    vb_error err = {0};
    double since = cli_now();
    const bool when_it_fits = !strcmp(o->repack, "auto");
    const vb_repack_params p = {.kernels = o->kernels,
                                .threads = (int)o->threads,
                                .progress = on_repack,
                                .user = &since,
                                .reserve = when_it_fits ? room_for_the_rest(o, m) : 0};
    if (!strcmp(o->repack, "off") || !vb_model_repack(m, &p, &err)) return CLI_OK;
    if (err.code == VB_ERR_MEMORY && when_it_fits) {
        fprintf(stderr, "verbatim: note: weights stay as mapped: %s\n", err.message);
        return CLI_OK;
    }
    cli_report(&err);
    if (err.code == VB_ERR_MEMORY)
        return cli_error("--repack off reads the weights as mapped, --repack auto where they do not fit");
    return CLI_FAIL;
}

static vb_accept accept_rule(const char *name) {
    for (int a = VB_ACCEPT_COUPLED; a <= VB_ACCEPT_BLOCK; a++)
        if (!strcmp(name, vb_accept_name((vb_accept)a))) return (vb_accept)a;
    return VB_ACCEPT_COUPLED; /* not reached: the parser knows the names */
}

/* --draft-vocab N, before the weights are interleaved. */
static int trim(const cli_options *o, cli_model *file) {
    vb_error err = {0};
    int32_t *ids = NULL;
    if (!o->draft_vocab) return CLI_OK;
    int rc = vb_vocab_frequent(file->tokenizer, o->draft_vocab_from.items, o->draft_vocab_from.n,
                               (size_t)o->draft_vocab, &ids, &err);
    if (!rc) rc = vb_model_trim(file->model, ids, (size_t)o->draft_vocab, &err);
    vb_free(ids);
    return rc ? cli_report(&err) : CLI_OK;
}

/* The drafting model's file and what of the vocabularies both have; *text: it drafts through text. */
static int open_draft_file(const cli_session *s, const char *path, cli_model *file, int32_t *shared,
                           bool *text) {
    vb_error err = {0};
    cli_interrupt_loading(path);
    int rc = cli_model_open(file, s->o, path, true);
    if (!rc) rc = trim(s->o, file);
    if (!rc) rc = cli_repack(s->o, file->model);
    rc = cli_interrupt_loaded(rc);
    if (rc || !vb_vocab_compatible(s->target.tokenizer, file->tokenizer, shared, &err)) return rc;
    *text = s->o->draft_text;
    if (*text) return CLI_OK;
    cli_report(&err);
    return cli_error(
        "`verbatim doctor -m %s -md %s` shows every difference; --draft-text drafts through text all "
        "the same",
        s->o->model, path);
}

void cli_warn_draft(const vb_model *target, const vb_model *draft) {
    char t[32], d[32];
    const uint64_t reads = cli_token_bytes(vb_model_describe(target)),
                   guess = cli_token_bytes(vb_model_describe(draft));
    if (reads && guess > reads)
        fprintf(stderr,
                "verbatim: note: the draft (%s of weights for a token) is larger than the target (%s), so no "
                "guess can pay; are -m and -md swapped?\n",
                cli_bytes(guess, d), cli_bytes(reads, t));
}

/* As long as the target's context, or as its training allows. Another vocabulary may want more ids for a
 * text. */
static int draft_context_size(const cli_session *s, const vb_model *model, bool own, bool text) {
    const int n = vb_context_size(s->context), trained = vb_model_describe(model)->n_ctx,
              wanted = text && n <= INT_MAX / 2 ? n + n / 2 : n;
    if (!own || trained <= 0 || wanted <= trained) return wanted;
    if (n > trained)
        fprintf(stderr,
                "verbatim: note: the draft model was trained for %d positions and stops drafting there\n",
                trained);
    return trained;
}

/* The drafting model (path NULL: the target itself), in a context of its own: as long as the target's, or as
 * its training allows. What drafted before stays where this fails. */
static int open_draft(cli_session *s, const char *path) {
    const vb_model *model = s->target.model;
    cli_model file = {0};
    vb_context *context = NULL;
    vb_context_params p;
    vb_error err = {0};
    int32_t shared = 0;
    bool text = false;
    int rc = path ? open_draft_file(s, path, &file, &shared, &text) : CLI_OK;
    if (rc) goto cleanup;
    if (path) {
        model = file.model;
        cli_warn_draft(s->target.model, model);
    }
    cli_context_params(s->o, &p);
    cli_kv_types(s->o, true, &p.k_type, &p.v_type);
    cli_offload_params(s->o, s->offload, &p);
    p.n_ctx = draft_context_size(s, model, path != NULL, text);
    if (vb_context_open(&context, model, &p, &err)) {
        rc = cli_report(&err);
        goto cleanup;
    }
    vb_context_close(s->draft_context);
    cli_model_close(&s->draft_file);
    s->draft_file = file;
    s->draft_context = s->params.draft_context = context;
    s->params.draft = VB_DRAFT_MODEL;
    s->params.draft_vocab = shared;
    s->params.target_tokenizer = text ? s->target.tokenizer : NULL;
    s->params.draft_tokenizer = text ? s->draft_file.tokenizer : NULL;
    return CLI_OK;
cleanup:
    cli_model_close(&file);
    return rc;
}

int cli_session_draft(cli_session *s, const char *kind, const char *path) {
    const bool model = !strcmp(kind, "model"), self = !strcmp(kind, "self");
    if (model || self) {
        const int rc = open_draft(s, model ? path : NULL);
        if (rc) return rc;
    } else {
        s->params.draft = !strcmp(kind, "ngram")    ? VB_DRAFT_NGRAM
                          : !strcmp(kind, "suffix") ? VB_DRAFT_SUFFIX
                          : !strcmp(kind, "forced") ? VB_DRAFT_FORCED
                                                    : VB_DRAFT_NONE;
    }
    s->draft_name = kind;
    /* Copies and forced text have no siblings. */
    memset(s->params.tree, 0, sizeof s->params.tree);
    if (s->params.draft == VB_DRAFT_MODEL) memcpy(s->params.tree, s->tree, sizeof s->params.tree);
    /* A copy costs no draft pass and is no longer than twice what it repeats: more of it pays. */
    if (s->params.draft == VB_DRAFT_SUFFIX && !cli_given(s->o, "--gamma")) s->params.gamma = 16;
    return cli_session_costs(s);
}

int cli_read_tree(const cli_options *o, int tree[VB_TREE_DEPTH]) {
    vb_error err = {0};
    memset(tree, 0, VB_TREE_DEPTH * sizeof *tree);
    if (!o->tree) return CLI_OK;
    if (vb_draft_tree_read(o->tree, tree, &err)) return cli_usage("--%s", err.message);
    if (!tree[0]) return CLI_OK;
    if (tree[0] == VB_TREE_AUTO ? cli_given(o, "--gamma") && o->gamma != CLI_AUTO : cli_given(o, "--gamma"))
        return cli_usage("--tree %s has a size of its own: leave out --gamma, the length of a chain",
                         o->tree);
    if (o->gamma_trace) return cli_usage("--gamma-trace has lengths of chains: leave out --tree %s", o->tree);
    if (o->draft_text)
        return cli_usage("--tree %s: a draft that reads and writes text (--draft-text) drafts chains",
                         o->tree);
    if (!strcmp(o->accept, "block"))
        return cli_usage("--tree %s: block verification judges chains; use --accept coupled, greedy or "
                         "rejection",
                         o->tree);
    if (o->draft ? strcmp(o->draft, "model") != 0 && strcmp(o->draft, "self") != 0 : !o->draft_model)
        return cli_usage("--tree %s: a tree needs a draft model: give -md FILE or --draft self", o->tree);
    return CLI_OK;
}

static int open_all(cli_session *s) {
    const cli_options *o = s->o;
    vb_error err = {0};
    vb_context_params p;
    int rc = check_options(o);
    if (!rc) rc = set_sampling(s);
    cli_interrupt_loading(o->model);
    if (!rc) rc = cli_model_open(&s->target, o, o->model, true);
    if (!rc) rc = cli_check_context(o, s->target.model);
    if (!rc) rc = cli_repack(o, s->target.model);
    rc = cli_interrupt_loaded(rc);
    if (!rc) rc = set_breakers(s);
    if (rc) return rc;
    int n_vocab = vb_model_describe(s->target.model)->n_vocab;
    if (vb_sampling_check(&s->sampling, n_vocab, &err)) {
        cli_report(&err);
        return CLI_USAGE;
    }
    if (o->offload && vb_offload_open(&s->offload, o->offload, &err)) return cli_report(&err);
    cli_context_params(o, &p);
    cli_offload_params(o, s->offload, &p);
    if (vb_context_open(&s->context, s->target.model, &p, &err)) return cli_report(&err);
    vb_spec_defaults(&s->params);
    s->params.accept = accept_rule(o->accept);
    s->params.gamma = (int)o->gamma;
    s->params.suffix_min = (int)o->draft_suffix;
    if ((rc = cli_read_tree(o, s->tree))) return rc;
    if (s->tree[0] == VB_TREE_AUTO) s->params.gamma = VB_GAMMA_AUTO;
    if ((rc = cli_shape_open(&s->shape, o, s->target.tokenizer, n_vocab, &s->sampling))) return rc;
    if (s->shape.guide) s->params.mask = &s->shape.mask;
    if (o->corpus.n) {
        if (vb_corpus_read(&s->corpus, s->target.tokenizer, o->corpus.items, o->corpus.n, &err))
            return cli_report(&err);
        s->params.corpus = s->corpus;
    }
    const char *alone = s->params.mask ? "forced" : "none";
    rc = cli_session_draft(s, o->draft ? o->draft : o->draft_model ? "model" : alone, o->draft_model);
    if (!o->ignore_eos) s->params.stop = vb_stop_ids(s->target.tokenizer, &s->params.n_stop);
    return rc;
}

int cli_session_open(cli_session *s, const cli_options *o) {
    memset(s, 0, sizeof *s);
    s->o = o;
    int rc = open_all(s);
    if (rc) cli_session_close(s);
    return rc;
}

void cli_session_close(cli_session *s) {
    vb_context_close(s->draft_context);
    vb_context_close(s->context);
    vb_offload_close(s->offload);
    vb_corpus_close(s->corpus);
    cli_shape_close(&s->shape);
    cli_model_close(&s->draft_file);
    cli_model_close(&s->target);
    free(s->bias);
    free(s->lengths);
    vb_free(s->breakers);
    memset(s, 0, sizeof *s);
}
