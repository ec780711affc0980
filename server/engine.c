/* engine.c - the engine's life: models are loaded, slots allocated, the thread started; and what it is made
 * of. */
#include "server/engine_parts.h"

#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { DEFAULT_SLOTS = 4, DEFAULT_QUEUE = 32, MAX_QUEUE = 100000 };
/* Positions of a slot where nobody says how many. */
enum { AGENT_CONTEXT = 16384, LEAST_CONTEXT = 4096 };

/* Bytes for threads, scratch and what else a process needs beside weights and caches. */
#define ROOM ((uint64_t)64 << 20)

/* Rows of one pass: a step of each slot with some drafts, and a piece of a prompt. More rows are possible and
 * take a second pass. */
static int choose_batch(int slots) {
    const int rows = 8 * slots + 32;
    return rows < 64 ? 64 : rows;
}

/* ---------------------------------------------------------------------- loading */

typedef struct loading {
    const vbs_engine_params *p;
    const char *what;
} loading;

static void say(const vbs_engine_params *p, const char *what, double fraction) {
    if (p->progress) p->progress(p->user, what, fraction);
}

static bool on_repack(void *user, uint64_t done, uint64_t total) {
    const loading *l = user;
    say(l->p, l->what, total ? (double)done / (double)total : 1.0);
    return false;
}

static void close_file(vbs_file *f) {
    vb_model_close(f->model);
    vb_tokenizer_close(f->tokenizer);
    vb_gguf_close(f->gguf);
    *f = (vbs_file){0};
}

static void context_params(const vbs_engine_params *p, vb_context_params *cp) {
    vb_context_defaults(cp);
    cp->n_ctx = p->n_ctx;
    cp->n_threads = p->n_threads;
    cp->kernels = p->kernels;
    cp->activations = p->activations;
    cp->k_type = p->k_type;
    cp->v_type = p->v_type;
}

/* Interleaves the weights, under "auto" only where they fit beside what the slots may take: else they stay as
 * mapped, and the note says so. */
static int repack(vbs_file *f, const char *what, const vbs_engine_params *p, uint64_t context,
                  vb_error *err) {
    loading l = {p, what};
    vb_error why = {0};
    char note[sizeof why.message + 64];
    const bool when_it_fits = !p->repack || !strcmp(p->repack, "auto");
    vb_repack_params rp = {.kernels = p->kernels, .threads = p->n_threads, .progress = on_repack, .user = &l};
    if (p->repack && !strcmp(p->repack, "off")) return VB_OK;
    if (when_it_fits) rp.reserve = context * (uint64_t)(p->slots ? p->slots : DEFAULT_SLOTS) + ROOM;
    const int rc = vb_model_repack(f->model, &rp, &why);
    if (!rc) return rc;
    if (rc != VB_ERR_MEMORY || !when_it_fits) return vb_fail(err, rc, "%s", why.message);
    snprintf(note, sizeof note, "weights of the %s stay as mapped: %s", what, why.message);
    if (p->note) p->note(p->user, note);
    return VB_OK;
}

/* The positions of a slot where nobody says how many: agents send prompts of ten thousand tokens, so up to
 * AGENT_CONTEXT as far as the model was trained for them and all slots together take at most half of the
 * memory that is left beside the weights' copy; never less than the library's own default. */
static int choose_context(const vbs_file *f, const vbs_engine_params *p) {
    const vb_model_info *i = vb_model_describe(f->model);
    const uint64_t there = vb_available_memory();
    const uint64_t left = there > i->weight_bytes ? there - i->weight_bytes : 0;
    const uint64_t slots = (uint64_t)(p->slots ? p->slots : DEFAULT_SLOTS);
    vb_context_params cp;
    context_params(p, &cp);
    for (int n = AGENT_CONTEXT; n > LEAST_CONTEXT; n /= 2) {
        uint64_t bytes = 0;
        cp.n_ctx = n < i->n_ctx ? n : i->n_ctx;
        if (!vb_context_check(f->model, &cp, &bytes, NULL) && bytes <= left / 2 / slots) return cp.n_ctx;
    }
    return 0;
}

static int trim(const vbs_file *f, const vbs_engine_params *p, vb_error *err) {
    int32_t *ids = NULL;
    if (!p->draft_vocab) return VB_OK;
    int rc = vb_vocab_frequent(f->tokenizer, p->draft_vocab_from, p->n_draft_vocab_from, p->draft_vocab, &ids,
                               err);
    if (!rc) rc = vb_model_trim(f->model, ids, p->draft_vocab, err);
    vb_free(ids);
    return rc;
}

static int open_file(vbs_file *f, const char *path, const char *what, vbs_engine_params *p, vb_error *err) {
    const vb_tokenizer_params tp = {.pre = p->pre};
    vb_context_params cp;
    uint64_t context;
    int rc;
    context_params(p, &cp);
    say(p, what, 0);
    if ((rc = vb_gguf_open(&f->gguf, path, err)) ||
        (rc = vb_tokenizer_open_with(&f->tokenizer, f->gguf, &tp, err)) ||
        (rc = vb_model_open_with(&f->model, f->gguf, path == p->target ? p->target_as : p->draft_as, err)))
        return rc;
    if (path == p->draft && (rc = trim(f, p, err))) return rc;
    if (path == p->target && !p->n_ctx) cp.n_ctx = p->n_ctx = choose_context(f, p);
    /* The drafter's context is as long as its training allows; the target's must be as long as was asked. */
    const int most = vb_model_describe(f->model)->n_ctx;
    if (path == p->draft && cp.n_ctx > most) cp.n_ctx = most;
    if (path == p->draft) cp.k_type = p->draft_k_type, cp.v_type = p->draft_v_type;
    if ((rc = vb_context_check(f->model, &cp, &context, err)) || (rc = repack(f, what, p, context, err)))
        return rc;
    say(p, what, 1);
    return VB_OK;
}

/* ---------------------------------------------------------------------- opening */

static int check_params(const vbs_engine_params *p, vb_error *err) {
    if (!p->target) return vb_fail(err, VB_ERR_ARGUMENT, "target: no model file is named");
    if (p->slots < 0 || p->slots > VBS_MAX_SLOTS)
        return vb_fail(err, VB_ERR_ARGUMENT, "slots is %d, must be 1 to %d", p->slots, VBS_MAX_SLOTS);
    if (p->queue < 0 || p->queue > MAX_QUEUE)
        return vb_fail(err, VB_ERR_ARGUMENT, "queue is %d, must be 1 to %d", p->queue, MAX_QUEUE);
    if (p->repack && strcmp(p->repack, "auto") != 0 && strcmp(p->repack, "on") != 0 &&
        strcmp(p->repack, "off") != 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "repack is \"%.32s\", must be auto, on or off", p->repack);
    return VB_OK;
}

static bool is_closing(void *engine) {
    return atomic_load(&((vbs_engine *)engine)->closing);
}

/* Measured while nobody else computes. A context too short for that gets typical ones. */
static int find_costs(vbs_engine *e, const vbs_engine_params *p, vb_error *err) {
    int rc = VB_OK;
    vb_costs_typical(&e->costs);
    if (!e->draft.model && e->alone == VB_DRAFT_NONE) return VB_OK;
    if (p->costs && (rc = vb_costs_check(p->costs, err)) == VB_OK)
        e->costs = *p->costs;
    else if (!p->costs)
        rc = vb_costs_measure(&e->costs, e->slots[0].target, e->slots[0].draft, err);
    return rc == VB_ERR_FULL ? VB_OK : rc;
}

static int open_slots(vbs_engine *e, const vbs_engine_params *p, vb_error *err) {
    vb_context_params cp;
    context_params(p, &cp);
    cp.batch = choose_batch(e->n_slots);
    e->batch = (size_t)cp.batch;
    cp.cancel = is_closing;
    cp.user = e;
    int rc = vb_alloc((void **)&e->slots, (size_t)e->n_slots, sizeof *e->slots, "slots", err);
    for (int i = 0; i < e->n_slots && rc == VB_OK; i++) rc = vbs_slot_open(e, &e->slots[i], p, &cp, err);
    if (rc) return rc;
    e->n_ctx = vb_context_size(e->slots[0].target);
    e->kernels = e->slots[0].target->kernels;
    for (int i = 0; i < e->n_slots; i++) e->m.context_bytes += vbs_slot_bytes(&e->slots[i]);
    return find_costs(e, p, err);
}

static uint64_t mix(uint64_t h, uint64_t x) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> 8 * i);
    return XXH3_64bits_withSeed(bytes, sizeof bytes, h);
}

static uint64_t hash_drafts(const vbs_engine *e, const vbs_engine_params *p) {
    const vb_model *draft = e->draft.model;
    uint64_t h = mix(0, draft ? VB_DRAFT_MODEL : e->alone);
    if (!draft && e->alone == VB_DRAFT_NONE) return 0;
    h = mix(mix(h, (uint64_t)e->suffix_min), e->corpus ? vb_corpus_hash(e->corpus) : 0);
    h = mix(h, vb_costs_hash(&e->costs));
    if (!draft) return h;
    const char *rope = vb_model_rope(draft);
    size_t n_kept;
    const int32_t *kept = vb_model_kept(draft, &n_kept);
    h = mix(mix(h, vb_gguf_hash(e->draft.gguf)), rope ? XXH3_64bits(rope, strlen(rope)) : 0);
    h = mix(mix(h, p->draft_k_type), p->draft_v_type);
    h = mix(mix(h, e->through_text), n_kept);
    for (size_t i = 0; i < n_kept; i++) h = mix(h, (uint64_t)kept[i]);
    return h;
}

static int load(vbs_engine *e, const vbs_engine_params *given, vb_error *err) {
    vbs_engine_params own = *given, *p = &own;
    int rc = open_file(&e->target, p->target, "target", p, err);
    if (rc) return rc;
    e->m.weight_bytes = vb_model_describe(e->target.model)->weight_bytes;
    if (p->draft) {
        vb_error why = {0};
        if ((rc = open_file(&e->draft, p->draft, "draft", p, err))) return rc;
        rc = vb_vocab_compatible(e->target.tokenizer, e->draft.tokenizer, &e->draft_vocab, &why);
        e->through_text = rc == VB_ERR_VOCAB && p->draft_text;
        if (rc && !e->through_text) return vb_fail(err, rc, "%s", why.message);
        e->m.weight_bytes += vb_model_describe(e->draft.model)->weight_bytes;
    }
    if (p->n_corpus && (rc = vb_corpus_read(&e->corpus, e->target.tokenizer, p->corpus, p->n_corpus, err)))
        return rc;
    rc = open_slots(e, p, err);
    e->drafts_hash = hash_drafts(e, p);
    return rc;
}

int vbs_engine_open(vbs_engine **out, const vbs_engine_params *p, vb_error *err) {
    vbs_engine *e = NULL;
    int rc = check_params(p, err);
    if (rc || (rc = vb_alloc((void **)&e, 1, sizeof *e, "the engine", err))) return rc;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->news, NULL);
    atomic_init(&e->closing, false);
    e->n_slots = p->slots ? p->slots : DEFAULT_SLOTS;
    e->n_queue = p->queue ? p->queue : DEFAULT_QUEUE;
    e->alone = p->alone;
    e->suffix_min = p->suffix_min;
    if ((rc = load(e, p, err))) goto cleanup;
    e->m.slots = e->n_slots;
    e->m.queue = e->n_queue;
    e->m.ready = true;
    e->metrics = e->m;
    if (vb_thread_start(&e->thread, vbs_engine_run, e) != 0) {
        rc = vb_fail(err, VB_ERR_IO, "cannot start the engine's thread: no memory for it, or too many run");
        goto cleanup;
    }
    e->started = true;
    *out = e;
    e = NULL;
cleanup:
    vbs_engine_close(e);
    return rc;
}

void vbs_engine_close(vbs_engine *e) {
    if (!e) return;
    pthread_mutex_lock(&e->mutex);
    e->draining = true;
    atomic_store(&e->closing, true);
    pthread_cond_broadcast(&e->news);
    pthread_mutex_unlock(&e->mutex);
    if (e->started) pthread_join(e->thread, NULL);
    for (int i = 0; e->slots && i < e->n_slots; i++) vbs_slot_close(&e->slots[i]);
    free(e->slots);
    vb_corpus_close(e->corpus);
    close_file(&e->draft);
    close_file(&e->target);
    pthread_cond_destroy(&e->news);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}

/* ---------------------------------------------------------------------- what it is */

const vb_tokenizer *vbs_tokenizer(const vbs_engine *e) {
    return e->target.tokenizer;
}
const vb_gguf *vbs_target_file(const vbs_engine *e) {
    return e->target.gguf;
}
const vb_model *vbs_target(const vbs_engine *e) {
    return e->target.model;
}
const vb_model *vbs_draft(const vbs_engine *e) {
    return e->draft.model;
}
const vb_costs *vbs_costs(const vbs_engine *e) {
    return e->draft.model || e->alone != VB_DRAFT_NONE ? &e->costs : NULL;
}
uint64_t vbs_drafts_hash(const vbs_engine *e) {
    return e->drafts_hash;
}
const char *vbs_kernels(const vbs_engine *e) {
    return vb_context_kernels(e->slots[0].target);
}

int vbs_threads(const vbs_engine *e) {
    return vb_context_threads(e->slots[0].target);
}

int vbs_context_size(const vbs_engine *e) {
    return e->n_ctx;
}
