/* trace_check.c - a trace line by line: the chain, the header, given text, and the steps. */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "prove/trace_parts.h"

#include "base/json.h"

#include <stdlib.h>
#include <xxhash.h>

/* ---------------------------------------------------------------------- a step */

static bool is_stop(const checker *c, int32_t id) {
    for (size_t i = 0; i < c->n_stop; i++)
        if (c->stop[i] == id) return true;
    return false;
}

/* The target's law: its largest weight and length are what sampling makes them. */
static bool check_p(checker *c, const law *l) {
    wide largest = 0;
    for (int i = 0; i < l->n; i++)
        if (l->w[i] > largest) largest = l->w[i];
    const bool one = l->n == 1 && largest == 1; /* temperature 0, which a dynamic one can reach */
    const bool fits = c->temperature <= 0      ? one
                      : c->mixed || c->typical ? largest <= c->largest /* the likeliest id may be gone */
                                               : largest == LARGEST;
    if (!fits && !(c->dynamic && one))
        FAIL("a law of the target does not have the weights of its temperature");
    if (c->top_k > 0 && l->n > c->top_k) FAIL("a law of the target has more than top_k ids");
    return true;
}

static bool read_laws(checker *c, const json_t *line) {
    const json_t *p = json_object_get(line, "p"), *q = json_object_get(line, "q");
    for (int i = 0; i <= c->s.n; i++) {
        const json_t *v = json_array_get(p, (size_t)i);
        c->p[i].there = json_is_object(v);
        if (c->p[i].there && (!vb_tc_law(c, v, &c->p[i]) || !check_p(c, &c->p[i]))) return false;
        if (i < c->s.n && !vb_tc_law(c, json_array_get(q, (size_t)i), &c->q[i])) return false;
    }
    return true;
}

static bool read_parent(checker *c, const json_t *draft, int i) {
    step *s = &c->s;
    json_int_t parent = i - 1;
    if (json_object_get(draft, "parent") && !vb_tc_integer(c, draft, "parent", -1, i - 1, &parent))
        return false;
    s->parent[i] = (int)parent;
    s->chain = s->chain && parent == i - 1;
    return true;
}

/* An accepted draft follows the one accepted before it. */
static bool keep(checker *c, int i, int *n) {
    step *s = &c->s;
    if (*n == s->accepted || s->parent[i] != vb_tc_last(s, *n))
        FAIL("draft %d: its flag and the number of accepted ones disagree", i);
    s->kept[(*n)++] = i;
    return true;
}

/* Is draft i looked at? What it follows is kept; under rejection none of the siblings before it is. */
static bool due(const checker *c, int i) {
    const step *s = &c->s;
    if (s->chain) return i <= s->accepted;
    int before = -1, k = 0;
    while (before != s->parent[i] && k < s->accepted) before = s->kept[k++];
    if (before != s->parent[i]) return false;
    return !is(c->rule, "rejection") || k == s->accepted || s->kept[k] >= i;
}

static bool read_drafts(checker *c) {
    step *s = &c->s;
    int n_kept = 0;
    s->chain = true;
    for (int i = 0; i < s->n; i++) {
        const json_t *d = json_array_get(s->drafted, (size_t)i), *p = json_object_get(d, "p");
        if (!vb_tc_id(c, json_object_get(d, "id"), &s->id[i]) ||
            !vb_tc_ratio(c, json_object_get(d, "q"), s->q[i]))
            return false;
        if (!read_parent(c, d, i)) return false;
        s->forced[i] = json_is_true(json_object_get(d, "forced"));
        if (s->forced[i] && !*c->mask_name) FAIL("draft %d: forced text without a mask", i);
        s->copied[i] = json_is_true(json_object_get(d, "copied"));
        if (s->copied[i] && !c->copies) FAIL("draft %d: a copy, and nothing is copied", i);
        s->has_p[i] = json_is_array(p);
        if (s->has_p[i] && !vb_tc_ratio(c, p, s->p[i])) return false;
        if (json_is_true(json_object_get(d, "accepted")) && !keep(c, i, &n_kept)) return false;
    }
    if (n_kept != s->accepted) FAIL("%d drafts are marked as accepted, not %d", n_kept, s->accepted);
    if (!s->chain && !c->trees) FAIL("a tree of drafts in a generation of chains");
    for (int i = 0; i < s->n; i++)
        if (json_is_true(json_object_get(json_array_get(s->drafted, (size_t)i), "tested")) != due(c, i))
            FAIL("draft %d: tested or not does not fit those that were accepted", i);
    return true;
}

static bool check_emitted(checker *c) {
    const step *s = &c->s;
    for (int i = 0; i < s->n_emitted; i++) {
        const json_t *e = json_array_get(s->emitted, (size_t)i);
        const char *from = json_string_value(json_object_get(e, "from"));
        const char *due = i < s->accepted                             ? "draft"
                          : s->n == 0                                 ? "target"
                          : vb_tc_leaf(s, vb_tc_last(s, s->accepted)) ? "bonus"
                                                                      : "residual";
        int32_t id;
        double logprob;
        if (!vb_tc_id(c, json_object_get(e, "id"), &id)) return false;
        if (!from || !is(from, due)) FAIL("token %d is said to come from elsewhere than \"%s\"", i, due);
        if (i < s->accepted && id != s->id[s->kept[i]]) FAIL("an accepted draft is not what was emitted");
        if (json_is_true(json_object_get(e, "stop")) != is_stop(c, id))
            FAIL("token %d: stop is not what the header's ids say", i);
        if (is_stop(c, id) && i + 1 < s->n_emitted) FAIL("a token after a stop token");
        if (!vb_tc_real(c, e, "logprob", &logprob)) return false;
        if (logprob > 0) FAIL("token %d: a log-probability above 0", i);
    }
    return true;
}

static bool check_step(checker *c, const json_t *line) {
    step *s = &c->s;
    json_int_t number_of, accepted;
    memset(s, 0, sizeof *s);
    if (!vb_tc_integer(c, line, "position", 1, INT32_MAX, &s->position) ||
        !vb_tc_integer(c, line, "step", 0, INT32_MAX, &number_of) ||
        !vb_tc_integer(c, line, "accepted", 0, MAX_DRAFTS, &accepted))
        return false;
    s->drafted = json_object_get(line, "drafted");
    s->emitted = json_object_get(line, "emitted");
    s->final = json_object_get(line, "final");
    s->accepted = (int)accepted;
    if (s->position != c->position) FAIL("position %d follows %d", (int)s->position, (int)c->position);
    if (number_of != c->r->steps) FAIL("step %d where step %d is due", (int)number_of, c->r->steps);
    if (json_array_size(s->drafted) > (size_t)c->gamma || json_array_size(s->drafted) < (size_t)accepted)
        FAIL("%d accepted of %zu drafted", s->accepted, json_array_size(s->drafted));
    s->n = (int)json_array_size(s->drafted);
    const size_t n_emitted = json_array_size(s->emitted);
    s->ends = s->accepted > 0 && n_emitted == (size_t)s->accepted;
    if (!s->ends && n_emitted != (size_t)s->accepted + 1)
        FAIL("%zu emitted after %d accepted", n_emitted, s->accepted);
    s->n_emitted = (int)n_emitted;
    if (!read_drafts(c) || !check_emitted(c)) return false;
    if (c->r->full && !read_laws(c, line)) return false;
    if (s->ends && !is_stop(c, s->id[vb_tc_last(s, s->accepted)])) FAIL("the last token is missing");
    if (!vb_tc_drafts(c) || !vb_tc_masks(c, line) || !vb_tc_remember(c)) return false;
    c->position += s->n_emitted;
    c->r->steps++;
    c->r->tokens += s->n_emitted;
    c->r->accepted += s->accepted;
    return is(c->rule, "rejection") ? vb_tc_rejection(c)
           : is(c->rule, "block")   ? vb_tc_block(c)
                                    : vb_tc_coupled(c);
}

/* ---------------------------------------------------------------------- lines */

static bool one_of(const char *word, const char *const *list) {
    for (; word && *list; list++)
        if (is(word, *list)) return true;
    return false;
}

static bool read_shape(checker *c, const json_t *tree) {
    c->trees = tree != NULL;
    if (json_is_string(tree) && is(json_string_value(tree), "auto")) return true; /* chosen step by step */
    if (tree && (!json_array_size(tree) || json_array_size(tree) >= MAX_DRAFTS))
        FAIL("\"tree\" is malformed");
    for (size_t i = 0; i < json_array_size(tree); i++) {
        const json_int_t n = json_integer_value(json_array_get(tree, i));
        if (n < 1 || n > MAX_DRAFTS) FAIL("\"tree\" is malformed");
        c->shape[i] = (int)n;
    }
    return true;
}

static bool check_header(checker *c, const json_t *line) {
    static const char *const rules[] = {"coupled", "greedy", "rejection", "block", NULL};
    static const char *const drafts[] = {"none", "model", "ngram", "forced", "suffix", NULL};
    const char *trace = json_string_value(json_object_get(line, "trace"));
    const char *rule = json_string_value(json_object_get(line, "accept"));
    const char *draft = json_string_value(json_object_get(line, "draft"));
    const json_t *sampling = json_object_get(line, "sampling"), *stop = json_object_get(line, "stop");
    wide seed;
    if (!trace || !is(trace, "verbatim") || json_integer_value(json_object_get(line, "version")) != 1)
        FAIL("not a trace of version 1");
    if (!one_of(rule, rules)) FAIL("\"accept\" is none of coupled, greedy, rejection, block");
    if (!one_of(draft, drafts)) FAIL("\"draft\" is none of none, model, ngram, forced, suffix");
    if (!vb_tc_integer(c, line, "n_vocab", 1, LAW_IDS, &c->n_vocab) ||
        !vb_tc_integer(c, line, "gamma", 0, MAX_DRAFTS, &c->gamma) ||
        !vb_tc_integer(c, sampling, "top_k", 0, INT32_MAX, &c->top_k) ||
        !vb_tc_real(c, sampling, "temperature", &c->temperature) ||
        !vb_tc_number(c, json_object_get(line, "seed"), &seed))
        return false;
    if (!read_shape(c, json_object_get(line, "tree"))) return false;
    if (c->trees && is(rule, "block")) FAIL("trees of drafts under block verification");
    if (seed >> 64) FAIL("a seed of more than 64 bits");
    c->mixed = json_object_get(sampling, "xtc_probability") != NULL;
    c->typical = json_object_get(sampling, "typical_p") != NULL;
    c->dynamic = json_object_get(sampling, "dynatemp_range") != NULL;
    c->largest = c->mixed ? LARGEST << 20 : LARGEST;
    if (!json_is_boolean(json_object_get(line, "full"))) FAIL("\"full\" is missing");
    c->copies = is(draft, "suffix") || json_integer_value(json_object_get(line, "suffix")) > 0;
    c->through_text = json_is_true(json_object_get(line, "through_text"));
    c->n_stop = json_array_size(stop);
    if (c->n_stop && !(c->stop = malloc(c->n_stop * sizeof *c->stop))) FAIL("out of memory");
    for (size_t i = 0; i < c->n_stop; i++)
        if (!vb_tc_id(c, json_array_get(stop, i), &c->stop[i])) return false;
    const json_t *mask = json_object_get(line, "mask");
    const char *name = json_string_value(mask);
    if (mask && (!name || strlen(name) != 32)) FAIL("\"mask\" is not 32 hex digits");
    if (c->mask && !name) FAIL("the generation had no mask");
    if (c->mask && !is(name, c->mask->name))
        FAIL("the generation had another mask: %s, not %s (grammar, its options, vocabulary and end ids "
             "count)",
             name, c->mask->name);
    if (c->mask && c->mask->n_vocab > c->n_vocab) FAIL("the mask is for %d ids", (int)c->mask->n_vocab);
    if (c->mask && !(c->allowed = calloc(((size_t)c->n_vocab + 63) / 64, sizeof *c->allowed)))
        FAIL("out of memory");
    snprintf(c->mask_name, sizeof c->mask_name, "%s", name ? name : "");
    c->r->masked = name != NULL;
    c->r->full = json_is_true(json_object_get(line, "full"));
    c->seed = (uint64_t)seed;
    snprintf(c->draft, sizeof c->draft, "%s", draft);
    snprintf(c->rule, sizeof c->rule, "%s", is(draft, "none") ? "coupled" : rule);
    c->headed = true;
    return true;
}

static bool check_prompt(checker *c, const json_t *line) {
    const json_t *tokens = json_object_get(line, "tokens");
    const size_t n = json_array_size(tokens);
    int32_t id;
    if (json_integer_value(json_object_get(line, "prompt")) != c->position) FAIL("text at another position");
    if (n < 1 || n > INT32_MAX - (size_t)c->position) FAIL("%zu tokens of text", n);
    for (size_t i = 0; i < n; i++)
        if (!vb_tc_id(c, json_array_get(tokens, i), &id)) return false;
    c->position += (json_int_t)n;
    c->n_ids = 0; /* a mask sees what is generated behind it */
    c->r->prompts++;
    return true;
}

static bool check_line(checker *c, const json_t *line) {
    json_int_t end, steps;
    if (c->ended) FAIL("a line after the end");
    if (!json_is_object(line)) FAIL("not a JSON object");
    if (!c->headed) return check_header(c, line);
    if (json_object_get(line, "step")) return check_step(c, line);
    if (json_object_get(line, "prompt")) return check_prompt(c, line);
    if (!vb_tc_integer(c, line, "end", 0, INT32_MAX, &end) ||
        !vb_tc_integer(c, line, "steps", 0, INT32_MAX, &steps))
        return false;
    if (end != c->position || steps != c->r->steps) FAIL("the end does not fit");
    c->ended = true;
    return true;
}

/* ---------------------------------------------------------------------- the chain */

static const char chain_key[] = ",\"chain\":\"";
#define TAIL (sizeof chain_key - 1 + 32 + 2) /* ,"chain":"32 digits"} */

/* XXH3-128 of the digits before and this line's text up to the comma. */
static void link_of(const char *chain, const char *body, size_t len, char digits[33]) {
    XXH3_state_t state;
    XXH128_canonical_t hash;
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, chain, 32);
    XXH3_128bits_update(&state, body, len);
    XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
    for (int i = 0; i < 16; i++) snprintf(digits + 2 * i, 3, "%02x", hash.digest[i]);
}

static bool has_chain(const char *line, size_t len) {
    return len > TAIL && !memcmp(line + len - TAIL, chain_key, sizeof chain_key - 1) &&
           !memcmp(line + len - 2, "\"}", 2);
}

static bool check_chain(checker *c, const char *line, size_t len) {
    char digits[33];
    if (!has_chain(line, len)) FAIL("the line has no chain, as every line of --trace and --trace-full has");
    link_of(c->chain, line, len - TAIL, digits);
    if (memcmp(digits, line + len - 34, 32))
        FAIL("the chain breaks: this line or the order of lines was changed");
    memcpy(c->chain, digits, 33);
    return true;
}

void vb_trace_rechain(char *text, size_t len) {
    char chain[33] = "00000000000000000000000000000000";
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(text + at, '\n', len - at);
        const size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        char digits[33];
        if (!has_chain(text + at, n)) return;
        link_of(chain, text + at, n - TAIL, digits);
        memcpy(text + at + n - 34, digits, 32);
        memcpy(chain, digits, 33);
        at += n + 1;
    }
}

static bool check_text(checker *c, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        const char *line = text + at, *newline = memchr(line, '\n', len - at);
        c->r->line = c->r->lines + 1;
        if (!newline) FAIL("the line is cut off");
        const size_t n = (size_t)(newline - line);
        if (!check_chain(c, line, n)) return false;
        json_t *v = vb_json_read(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        const bool ok = v && check_line(c, v);
        if (!v) snprintf(c->r->why, sizeof c->r->why, vb_json_failed() ? "out of memory" : "not JSON");
        json_decref(v);
        if (!ok) return false;
        c->r->lines++;
        at += n + 1;
    }
    if (!c->ended) FAIL("the trace ends early: its last line is missing");
    return true;
}

bool vb_trace_check(const char *text, size_t len, const vb_mask *mask, vb_trace_report *r) {
    memset(r, 0, sizeof *r);
    checker *c = calloc(1, sizeof *c);
    if (!c) {
        snprintf(r->why, sizeof r->why, "out of memory");
        return false;
    }
    c->r = r;
    c->mask = mask;
    memset(c->chain, '0', 32);
    r->ok = check_text(c, text, len);
    for (int i = 0; i <= MAX_DRAFTS; i++) free(c->p[i].id), free(c->p[i].w);
    for (int i = 0; i < MAX_DRAFTS; i++) free(c->q[i].id), free(c->q[i].w);
    free(c->w);
    free(c->stop);
    free(c->ids);
    free(c->allowed);
    free(c);
    return r->ok;
}
