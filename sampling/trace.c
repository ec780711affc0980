/* trace.c - a generation as lines of JSON (docs/trace.md). Integers beyond 2^53 are decimal strings; float64
 * values are given as their 16 hex digits, beside a rounded decimal for the eye: how a library prints doubles
 * may change. */
#include "base/json.h"
#include "sampling/coins.h"
#include "sampling/speculate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define TRACE_VERSION 1

struct vb_trace {
    const vb_spec *spec;
    vb_trace_params p;
    char chain[33]; /* of the last line */
    size_t logged;  /* tokens of the path that are in the trace */
    uint64_t steps;
    bool failed; /* out of memory for a part of the line being made */
};

/* Both take `value` over. A part that could not be made is not left out in silence. */
static void put(vb_trace *t, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value)) t->failed = true;
}
static void append(vb_trace *t, json_t *array, json_t *value) {
    if (json_array_append_new(array, value)) t->failed = true;
}

/* ---------------------------------------------------------------------- values */

static json_t *u128_value(vb_u128 x) {
    char text[40];
    int i = (int)sizeof text;
    text[--i] = 0;
    do text[--i] = (char)('0' + (int)(x % 10));
    while (x /= 10);
    return json_string(text + i);
}

static json_t *halves(uint64_t hi, uint64_t lo) {
    return u128_value((vb_u128)hi << 64 | lo);
}

static json_t *ratio(uint64_t w, uint64_t total) {
    return json_pack("[o, o]", u128_value(w), u128_value(total));
}

/* Sets name and name_bits; a value that is not finite is null. */
static void set_double(vb_trace *t, json_t *o, const char *name, double x) {
    char text[32], key[64];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    snprintf(text, sizeof text, "%.9g", x);
    put(t, o, name, isfinite(x) ? json_string(text) : json_null());
    snprintf(text, sizeof text, "%016llx", (unsigned long long)bits);
    snprintf(key, sizeof key, "%s_bits", name);
    put(t, o, key, json_string(text));
}

static void hex(char *out, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* "text" where the bytes are UTF-8, otherwise "text_hex". */
static void set_text(vb_trace *t, json_t *o, int32_t id) {
    size_t len;
    if (!t->p.tokenizer || id >= vb_tokenizer_size(t->p.tokenizer)) return;
    const char *text = vb_token_text(t->p.tokenizer, id, true, &len);
    json_t *value = text ? json_stringn(text, len) : NULL;
    if (value || !text) {
        put(t, o, "text", value ? value : json_string(""));
        return;
    }
    char *digits = malloc(2 * len + 1);
    if (!digits) {
        t->failed = true;
        return;
    }
    digits[0] = 0;
    hex(digits, (const uint8_t *)text, len);
    put(t, o, "text_hex", json_string(digits));
    free(digits);
}

static json_t *coin_value(const vb_coin *c) {
    return json_pack("{s:[I,I,I,I], s:o, s:o}", "counter", (json_int_t)c->counter[0],
                     (json_int_t)c->counter[1], (json_int_t)c->counter[2], (json_int_t)c->counter[3], "value",
                     halves(c->value_hi, c->value_lo), "bound", halves(c->bound_hi, c->bound_lo));
}

static json_t *dist_value(vb_trace *t, const vb_dist *d) {
    if (d->n == 0) return json_null();
    json_t *id = json_array(), *w = json_array();
    for (int32_t i = 0; i < d->n; i++) {
        append(t, id, json_integer(d->id[i]));
        append(t, w, u128_value(d->w[i]));
    }
    return json_pack("{s:o, s:o}", "id", id, "w", w);
}

static json_t *tokens_value(vb_trace *t, const int32_t *tokens, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) append(t, a, json_integer(tokens[i]));
    return a;
}

/* ---------------------------------------------------------------------- lines */

/* Takes `line` over. The chain is XXH3-128 of the previous chain's 32 hex digits and this line's text up to
 * the comma in front of "chain". */
static int write_line(vb_trace *t, json_t *line, vb_error *err) {
    int rc = VB_OK;
    char *text = line ? vb_json_write(line, JSON_COMPACT | JSON_PRESERVE_ORDER, NULL) : NULL, *out = NULL;
    json_decref(line);
    if (t->failed) free(text), text = NULL;
    t->failed = false;
    if (!text) return vb_fail(err, VB_ERR_MEMORY, "out of memory for a line of the trace");

    const size_t len = strlen(text) - 1; /* without the closing brace */
    const size_t room = 32 + len + sizeof ",\"chain\":\"\"}\n" + 32;
    if ((rc = vb_alloc((void **)&out, room, 1, "a line of the trace", err))) goto cleanup;
    memcpy(out, t->chain, 32);
    memcpy(out + 32, text, len);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(out, 32 + len));
    hex(t->chain, hash.digest, sizeof hash.digest);
    const int n = snprintf(out, room, "%.*s,\"chain\":\"%s\"}\n", (int)len, text, t->chain);
    if (t->p.write(t->p.user, out, (size_t)n)) rc = vb_fail(err, VB_ERR_IO, "the trace could not be written");
cleanup:
    free(text);
    free(out);
    return rc;
}

/* What is off is left out. */
static void set_samplers(vb_trace *t, json_t *o, const vb_sampling *s) {
    if (s->top_n_sigma > 0) set_double(t, o, "top_n_sigma", s->top_n_sigma);
    if (s->typical_p > 0 && s->typical_p < 1) set_double(t, o, "typical_p", s->typical_p);
    if (s->xtc_probability > 0) {
        set_double(t, o, "xtc_probability", s->xtc_probability);
        set_double(t, o, "xtc_threshold", s->xtc_threshold);
    }
    if (s->dynatemp_range > 0) {
        set_double(t, o, "dynatemp_range", s->dynatemp_range);
        set_double(t, o, "dynatemp_exponent", s->dynatemp_exponent);
    }
    if (s->dry_multiplier > 0) {
        set_double(t, o, "dry_multiplier", s->dry_multiplier);
        set_double(t, o, "dry_base", s->dry_base);
        put(t, o, "dry_allowed_length", json_integer(s->dry_allowed_length));
        put(t, o, "dry_last_n", json_integer(s->dry_last_n));
        put(t, o, "dry_breakers", tokens_value(t, s->dry_breakers, s->n_dry_breakers));
    }
}

static json_t *sampling_value(vb_trace *t, const vb_sampling *s) {
    json_t *o = json_object(), *bias = json_array();
    set_double(t, o, "temperature", s->temperature);
    put(t, o, "top_k", json_integer(s->top_k));
    set_double(t, o, "top_p", s->top_p);
    set_double(t, o, "min_p", s->min_p);
    set_double(t, o, "repeat_penalty", s->repeat_penalty);
    set_double(t, o, "presence_penalty", s->presence_penalty);
    set_double(t, o, "frequency_penalty", s->frequency_penalty);
    put(t, o, "penalty_last_n", json_integer(s->penalty_last_n));
    for (size_t i = 0; i < s->n_bias; i++) {
        json_t *entry = json_object();
        put(t, entry, "id", json_integer(s->bias[i].id));
        set_double(t, entry, "bias", (double)s->bias[i].bias);
        append(t, bias, entry);
    }
    put(t, o, "bias", bias);
    set_samplers(t, o, s);
    return o;
}

static const char *draft_name(vb_draft d) {
    return d == VB_DRAFT_MODEL    ? "model"
           : d == VB_DRAFT_NGRAM  ? "ngram"
           : d == VB_DRAFT_FORCED ? "forced"
           : d == VB_DRAFT_SUFFIX ? "suffix"
                                  : "none";
}

static json_t *optional(const char *text) {
    json_t *s = text ? json_string(text) : NULL; /* a name that is not UTF-8 is left out */
    return s ? s : json_null();
}

static json_t *header(vb_trace *t) {
    const vb_sampling *s = vb_spec_sampling(t->spec);
    const vb_spec_params *p = vb_spec_parameters(t->spec);
    json_t *o = json_object();
    char costs[24];
    put(t, o, "trace", json_string("verbatim"));
    put(t, o, "version", json_integer(TRACE_VERSION));
    put(t, o, "library", json_string(VB_VERSION));
    put(t, o, "accept", json_string(vb_accept_name(p->accept)));
    put(t, o, "draft", json_string(draft_name(p->draft)));
    put(t, o, "gamma", json_integer(vb_spec_longest(t->spec)));
    if (vb_spec_costs(t->spec)) { /* lengths are chosen, up to that */
        snprintf(costs, sizeof costs, "%016llx", (unsigned long long)vb_costs_hash(vb_spec_costs(t->spec)));
        put(t, o, "gamma_auto", json_string(costs));
    }
    if (p->draft == VB_DRAFT_MODEL && p->tree[0] == VB_TREE_AUTO) {
        put(t, o, "tree", json_string("auto"));
    } else if (p->draft == VB_DRAFT_MODEL && p->tree[0]) {
        json_t *tree = json_array();
        for (int i = 0; i < VB_TREE_DEPTH && p->tree[i]; i++) append(t, tree, json_integer(p->tree[i]));
        put(t, o, "tree", tree);
    }
    put(t, o, "seed", u128_value(s->seed));
    put(t, o, "n_vocab", json_integer(vb_spec_vocab(t->spec)));
    put(t, o, "draft_vocab", json_integer(p->draft_vocab));
    put(t, o, "ngram", json_pack("[i, i]", p->ngram_max, p->ngram_min));
    if (p->draft == VB_DRAFT_MODEL && p->draft_tokenizer) put(t, o, "through_text", json_true());
    if (p->suffix_min) put(t, o, "suffix", json_integer(p->suffix_min));
    put(t, o, "stop", tokens_value(t, p->stop, p->n_stop));
    put(t, o, "sampling", sampling_value(t, s));
    put(t, o, "target", optional(t->p.target));
    put(t, o, "draft_model", optional(t->p.draft));
    if (t->p.rope) put(t, o, "rope", json_string(t->p.rope));
    if (t->p.draft_rope) put(t, o, "draft_rope", json_string(t->p.draft_rope));
    if (t->p.tokenizer && vb_tokenizer_pre_overridden(t->p.tokenizer)) {
        put(t, o, "pre", json_string(vb_tokenizer_pre(t->p.tokenizer)));
        put(t, o, "pre_overridden", json_true());
    }
    if (p->mask) put(t, o, "mask", json_string(p->mask->name));
    put(t, o, "full", json_boolean(t->p.full));
    return o;
}

/* The tokens that came as text before position `end`. */
static int write_prompt(vb_trace *t, size_t end, vb_error *err) {
    size_t n;
    const int32_t *path = vb_spec_tokens(t->spec, &n);
    if (end <= t->logged) return VB_OK;
    int rc = write_line(t,
                        json_pack("{s:I, s:o}", "prompt", (json_int_t)t->logged, "tokens",
                                  tokens_value(t, path + t->logged, end - t->logged)),
                        err);
    if (rc == VB_OK) t->logged = end;
    return rc;
}

int vb_trace_open(vb_trace **out, const vb_spec *s, const vb_trace_params *p, vb_error *err) {
    vb_begin(err);
    vb_trace *t = NULL;
    if (!out || !s || !p || !p->write || !vb_spec_sampling(s))
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_trace_open: an argument is NULL");
    int rc = vb_alloc((void **)&t, 1, sizeof *t, "the trace", err);
    if (rc) return rc;
    t->spec = s;
    t->p = *p;
    memset(t->chain, '0', 32);
    if ((rc = write_line(t, header(t), err))) {
        free(t);
        return rc;
    }
    *out = t;
    return VB_OK;
}

/* ---------------------------------------------------------------------- a step */

static json_t *drafted_value(vb_trace *t, const vb_drafted *d, int place) {
    json_t *o = json_object();
    put(t, o, "id", json_integer(d->id));
    set_text(t, o, d->id);
    if (d->parent != place - 1) put(t, o, "parent", json_integer(d->parent));
    if (d->forced) put(t, o, "forced", json_true());
    if (d->copied) put(t, o, "copied", json_true());
    put(t, o, "q", ratio(d->q_w, d->q_total));
    put(t, o, "p", d->p_total ? ratio(d->p_w, d->p_total) : json_null());
    if (d->has_draw) put(t, o, "draw", coin_value(&d->draw));
    if (d->has_coin) put(t, o, "coin", coin_value(&d->coin));
    put(t, o, "tested", json_boolean(d->tested));
    put(t, o, "accepted", json_boolean(d->accepted));
    return o;
}

static json_t *emitted_value(vb_trace *t, const vb_emitted *e, const float *logits) {
    static const char *const from[] = {"target", "draft", "residual", "bonus"};
    json_t *o = json_object();
    put(t, o, "id", json_integer(e->id));
    set_text(t, o, e->id);
    put(t, o, "from", json_string(from[e->origin]));
    set_double(t, o, "logprob", e->logprob);
    put(t, o, "stop", json_boolean(e->stop));
    if (t->p.full) {
        XXH128_canonical_t hash;
        char digits[33];
        XXH128_canonicalFromHash(&hash,
                                 XXH3_128bits(logits, (size_t)vb_spec_vocab(t->spec) * sizeof *logits));
        hex(digits, hash.digest, sizeof hash.digest);
        put(t, o, "logits", json_string(digits));
    }
    return o;
}

int vb_trace_step(vb_trace *t, const vb_step *step, vb_error *err) {
    vb_begin(err);
    if (step->n_emitted == 0) return VB_OK; /* only text was read */
    int rc = write_prompt(t, (size_t)step->position, err);
    if (rc) return rc;

    json_t *o = json_object(), *drafted = json_array(), *emitted = json_array();
    for (int i = 0; i < step->n_drafted; i++) append(t, drafted, drafted_value(t, &step->drafted[i], i));
    for (int i = 0; i < step->n_emitted; i++)
        append(t, emitted, emitted_value(t, &step->emitted[i], step->logits[i]));
    put(t, o, "step", json_integer((json_int_t)t->steps));
    put(t, o, "position", json_integer(step->position));
    put(t, o, "drafted", drafted);
    put(t, o, "accepted", json_integer(step->n_accepted));
    if (step->has_final) put(t, o, "final", coin_value(&step->final));
    put(t, o, "emitted", emitted);
    if (step->mask) {
        json_t *masks = json_array();
        for (int i = 0; i <= step->n_drafted; i++) {
            char digits[33];
            hex(digits, step->mask[i], 16);
            append(t, masks, step->p[i].n ? json_string(digits) : json_null());
        }
        put(t, o, "mask", masks);
    }
    if (t->p.full) {
        json_t *p = json_array(), *q = json_array();
        for (int i = 0; i <= step->n_drafted; i++) append(t, p, dist_value(t, &step->p[i]));
        for (int i = 0; i < step->n_drafted; i++) append(t, q, dist_value(t, &step->q[i]));
        put(t, o, "p", p);
        put(t, o, "q", q);
    }
    if ((rc = write_line(t, o, err))) return rc;
    t->logged = (size_t)step->position + (size_t)step->n_emitted;
    t->steps++;
    return VB_OK;
}

int vb_trace_close(vb_trace *t, vb_error *err) {
    vb_begin(err);
    if (!t) return VB_OK;
    size_t n;
    vb_spec_tokens(t->spec, &n);
    int rc = write_prompt(t, n, err);
    if (rc == VB_OK)
        rc = write_line(t, json_pack("{s:I, s:I}", "end", (json_int_t)n, "steps", (json_int_t)t->steps), err);
    free(t);
    return rc;
}
