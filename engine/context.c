/* context.c - one sequence: its cache of keys and values, and the calls that extend and shorten it. */
#include "engine/context.h"

#include "ref/mathf.h"
#include "simd/simd.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 4096, DEFAULT_BATCH = 64 };

void vb_context_defaults(vb_context_params *p) {
    *p = (vb_context_params){.k_type = VB_F16, .v_type = VB_F16};
}

/* ---------------------------------------------------------------------- opening and closing */

static int check_cache_type(const char *what, bool keys, vb_type type, int head_dim, vb_error *err) {
    const int block = vb_kv_block(type);
    if (block == 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s is %d, must be VB_F32, VB_F16, VB_BF16, VB_Q8_0%s VB_Q4_0%s",
                       what, (int)type, keys ? "," : " or", keys ? " or VB_Q8I" : "");
    if (!keys && vb_kv_keys_only(type))
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "%s is %s: it says how keys meet a query, which values do not: use Q8_0", what,
                       vb_kv_name(type));
    if (head_dim % block)
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "%s: the heads of this model have %d values, which is no multiple of the %d of a block "
            "of %s: use F16 or BF16",
            what, head_dim, block, vb_kv_name(type));
    return VB_OK;
}

static int check_params(vb_context_params *p, const vb_model_info *i, vb_error *err) {
    if (p->n_ctx == 0) p->n_ctx = i->n_ctx < DEFAULT_CONTEXT ? i->n_ctx : DEFAULT_CONTEXT;
    if (p->n_ctx < 1 || p->n_ctx > i->n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "n_ctx is %d, must be 1 to %d, the context this model was trained for", p->n_ctx,
                       i->n_ctx);
    if (p->n_threads == 0) {
        p->n_threads = vb_physical_cores();
        if (p->n_threads > VB_MAX_THREADS) p->n_threads = VB_MAX_THREADS;
    }
    if (p->n_threads < 1 || p->n_threads > VB_MAX_THREADS)
        return vb_fail(err, VB_ERR_ARGUMENT, "n_threads is %d, must be 1 to %d", p->n_threads,
                       VB_MAX_THREADS);
    if (p->batch == 0) p->batch = DEFAULT_BATCH;
    if (p->batch < 1 || p->batch > VB_MAX_BATCH)
        return vb_fail(err, VB_ERR_ARGUMENT, "batch is %d, must be 1 to %d", p->batch, VB_MAX_BATCH);
    if (p->activations != VB_ACT_Q8 && p->activations != VB_ACT_Q16)
        return vb_fail(err, VB_ERR_ARGUMENT, "activations is %d, must be VB_ACT_Q8 or VB_ACT_Q16",
                       (int)p->activations);
    const int rc = check_cache_type("k_type", true, p->k_type, i->head_dim, err);
    return rc ? rc : check_cache_type("v_type", false, p->v_type, i->head_dim, err);
}

static int open_offload(vb_scratch *s, const vb_model *m, vb_offload *o, const vb_offload_session_params *p,
                        vb_error *err) {
    const vb_matrix **all = NULL;
    size_t n = 0;
    while (vb_model_matrix(m, (int)n)) n++;
    int rc = vb_alloc((void **)&all, n, sizeof *all, "offloading", err);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) all[i] = vb_model_matrix(m, (int)i);
    rc = vb_offload_session_open(&s->offload, o, all, n, p, err);
    free(all);
    return rc;
}

int vb_context_check(const vb_model *m, const vb_context_params *p, uint64_t *bytes, vb_error *err) {
    vb_begin(err);
    vb_context_params own = *p;
    vb_cache cache;
    int rc = check_params(&own, &m->info, err);
    if (!rc) rc = vb_cache_size(&cache, m, own.k_type, own.v_type, own.n_ctx, err);
    if (!rc && bytes) *bytes = vb_cache_bytes(&cache);
    return rc;
}

static int open_workspace(vb_scratch *s, const vb_context *c, vb_error *err) {
    const vb_context_params *p = &c->params;
    vb_workspace_params wp = {.kernels = c->kernels,
                              .pool = s->pool,
                              .max_rows = p->batch,
                              .n_ctx = p->n_ctx,
                              .planes = p->activations == VB_ACT_Q16 ? 2 : 1,
                              .cancel = p->cancel,
                              .observe = p->observe,
                              .user = p->user};
    if (p->offload) {
        const vb_offload_session_params op = {.kernels = c->kernels,
                                              .pool = s->pool,
                                              .planes = wp.planes,
                                              .max_rows = wp.max_rows,
                                              .width = p->offload_width,
                                              .check_all = p->offload_check_all};
        int rc = open_offload(s, c->model, p->offload, &op, err);
        if (rc) return rc;
        wp.offload = vb_offload_session_hook(s->offload);
    }
    const int rc = vb_workspace_open(&s->workspace, c->model, &wp, err);
    if (rc == VB_OK) s->executors.cpu = vb_workspace_executor(s->workspace);
    return rc;
}

static void close_scratch(vb_scratch *s) {
    if (!s || --s->users > 0) return;
    vb_executors_close(&s->executors);
    vb_workspace_close(s->workspace);
    vb_offload_session_close(s->offload);
    vb_pool_close(s->pool);
    free(s->rows);
    free(s->logits);
    free(s);
}

/* Room for `rows` rows of logits; what is there stays. */
static int reserve_logits(vb_scratch *s, const vb_model *m, size_t rows, vb_error *err) {
    if (rows <= s->logits_rows) return VB_OK;
    const size_t V = (size_t)vb_model_n_logits(m);
    if (rows > SIZE_MAX / sizeof(float) / V)
        return vb_fail(err, VB_ERR_MEMORY, "logits of %zu tokens are too many: want fewer per call", rows);
    float *p = realloc(s->logits, rows * V * sizeof *p);
    if (!p)
        return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu bytes for the logits of %zu tokens)",
                       rows * V * sizeof *p, rows);
    s->logits = p;
    s->logits_rows = rows;
    return VB_OK;
}

static int open_scratch(vb_context *c, vb_error *err) {
    const vb_context_params *p = &c->params;
    vb_scratch *s = NULL;
    int rc = vb_alloc((void **)&s, 1, sizeof *s, "the context", err);
    if (rc) return rc;
    s->users = 1;
    s->n_ctx = p->n_ctx;
    c->scratch = s;
    c->opened_scratch = true;
    if (p->n_threads > 1 && (rc = vb_pool_open(&s->pool, p->n_threads, err)) != 0) return rc;
    if ((rc = open_workspace(s, c, err)) != 0) return rc;
    rc = vb_alloc((void **)&s->rows, (size_t)p->batch, sizeof *s->rows, "the context", err);
    return rc ? rc : reserve_logits(s, c->model, 1, err);
}

/* Uses what another context works with. */
static int join_scratch(vb_context *c, vb_context *with, vb_error *err) {
    const int n_ctx = c->params.n_ctx ? c->params.n_ctx : with->params.n_ctx;
    const vb_type k_type = c->params.k_type, v_type = c->params.v_type;
    if (with->model != c->model)
        return vb_fail(err, VB_ERR_ARGUMENT, "share: a context of another model has nothing to share");
    if (n_ctx > with->scratch->n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "n_ctx is %d, but the memory to share was made for %d: open the "
                       "longest context first",
                       n_ctx, with->scratch->n_ctx);
    c->params = with->params;
    c->params.n_ctx = n_ctx;
    c->params.k_type = k_type;
    c->params.v_type = v_type;
    c->scratch = with->scratch;
    c->scratch->users++;
    return VB_OK;
}

int vb_context_open(vb_context **out, const vb_model *m, const vb_context_params *p, vb_error *err) {
    vb_begin(err);
    vb_context *c = NULL;
    int rc = vb_alloc((void **)&c, 1, sizeof *c, "the context", err);
    if (rc) return rc;
    c->model = m;
    vb_context_defaults(&c->params);
    if (p) c->params = *p;
    if (c->params.share && (rc = join_scratch(c, c->params.share, err)) != 0) goto cleanup;
    c->params.share = NULL; /* it may be closed before this one */
    if ((rc = check_params(&c->params, &m->info, err)) != 0) goto cleanup;
    if ((rc = vb_kernels_choose(c->params.kernels, &c->kernels, err)) != 0) goto cleanup;
    c->params.kernels = c->kernels->name;
    rc = vb_cache_open(&c->cache, m, c->params.k_type, c->params.v_type, c->params.n_ctx, err);
    if (rc) goto cleanup;
    if (!c->scratch && (rc = open_scratch(c, err)) != 0) goto cleanup;
    rc = vb_alloc((void **)&c->slot, (size_t)c->params.n_ctx, sizeof *c->slot, "the context", err);
    if (rc) goto cleanup;
    *out = c;
    c = NULL;
cleanup:
    vb_context_close(c);
    return rc;
}

void vb_context_close(vb_context *c) {
    if (!c) return;
    if (c->scratch) vb_executors_forget(&c->scratch->executors, &c->cache);
    close_scratch(c->scratch);
    vb_cache_close(&c->cache);
    free(c->hidden);
    vb_tree_close(&c->tree);
    free(c->slot);
    free(c);
}

/* ---------------------------------------------------------------------- what it is */

const vb_model *vb_context_model(const vb_context *c) {
    return c->model;
}
int vb_context_size(const vb_context *c) {
    return c->params.n_ctx;
}
int vb_context_length(const vb_context *c) {
    return c->length;
}
const char *vb_context_kernels(const vb_context *c) {
    return c->kernels->name;
}
void vb_context_watch(vb_context *c, bool on) {
    vb_pool_watch(c->scratch->pool, on);
}

double vb_context_waited(const vb_context *c) {
    return vb_pool_waited(c->scratch->pool);
}

int vb_context_threads(const vb_context *c) {
    return c->params.n_threads;
}

const vb_offload *vb_context_offload(const vb_context *c) {
    return c->params.offload;
}
void vb_context_offload_stats(const vb_context *c, vb_offload_stats *out) {
    *out = (vb_offload_stats){0};
    if (c->scratch->offload) vb_offload_session_stats(c->scratch->offload, out);
}

void vb_context_expert_stats(const vb_context *c, vb_expert_stats *out) {
    vb_workspace_expert_stats(c->scratch->workspace, out);
}

uint64_t vb_context_bytes(const vb_context *c) {
    const vb_scratch *s = c->scratch;
    const uint64_t own = sizeof *c + vb_cache_bytes(&c->cache) + (uint64_t)c->params.n_ctx * sizeof *c->slot;
    if (!c->opened_scratch) return own;
    return own + sizeof *s + vb_executors_bytes(&s->executors, c->model, c->params.batch) +
           (s->offload ? vb_offload_session_bytes(s->offload) : 0) +
           (uint64_t)c->params.batch * sizeof *s->rows +
           (uint64_t)s->logits_rows * (uint64_t)vb_model_n_logits(c->model) * sizeof *s->logits;
}

/* ---------------------------------------------------------------------- evaluating */

static bool is_wanted(const vb_eval_item *item, size_t i) {
    return item->want ? item->want[i] != 0 : i == item->n - 1;
}

/* Item whose tokens are a tree. *tree: they are, and not a chain. */
static int take_tree(const vb_eval_item *item, bool *tree) {
    vb_context *c = item->context;
    bool chain = true;
    *tree = false;
    if (!item->parent) return VB_OK;
    const int rc = vb_tree_take(&c->tree, c->length, item->parent, item->n, &chain, item->err);
    if (rc || chain) return rc;
    if (c->params.observe)
        return vb_fail(item->err, VB_ERR_UNSUPPORTED,
                       "observe follows one path, and these tokens are a tree");
    *tree = true;
    return VB_OK;
}

static int check_item(const vb_eval_item *item) {
    const vb_context *c = item->context;
    if (c->tree.held && !item->parent)
        return vb_fail(item->err, VB_ERR_ARGUMENT,
                       "the context holds a tree of %d tokens: keep a path first (vb_context_keep), or give "
                       "parents",
                       c->tree.n);
    if (item->n == 0) return vb_fail(item->err, VB_ERR_ARGUMENT, "no tokens to evaluate");
    if (item->n > (size_t)(c->params.n_ctx - c->length))
        return vb_fail(item->err, VB_ERR_FULL, "the context holds %d of %d positions, %zu more do not fit",
                       c->length, c->params.n_ctx, item->n);
    for (size_t i = 0; i < item->n; i++) {
        if (item->tokens[i] < 0 || item->tokens[i] >= c->model->info.n_vocab)
            return vb_fail(item->err, VB_ERR_ARGUMENT, "token %zu is %d, must be 0 to %d", i,
                           (int)item->tokens[i], c->model->info.n_vocab - 1);
    }
    return VB_OK;
}

/* The code of an item that is valid and not yet evaluated. */
enum { PENDING = 1 };

static bool is_member(const vb_eval_item *item, const vb_scratch *s) {
    return item->code == PENDING && item->context->scratch == s;
}

static vb_row row_of(const vb_eval_item *item, size_t i, bool want) {
    vb_context *c = item->context;
    const int slot = c->length + (int)i;
    vb_row r = {.token = item->tokens[i],
                .position = slot,
                .want = want,
                .cache = &c->cache,
                .hidden = c->keeps_hidden ? c->hidden + i * (size_t)c->model->info.dim : NULL,
                .slot = slot};
    if (c->takes_tree) {
        const size_t of_tree = vb_tree_row(&c->tree, i);
        r.position = c->tree.base + c->tree.depth[of_tree];
        r.base = c->tree.base;
        r.path = c->tree.path + c->tree.start[of_tree];
    }
    return r;
}

/* The rows of all members, in pieces of at most a batch; `row` is the row of the first wanted logits. */
static int forward(vb_scratch *s, const vb_eval_item *items, size_t n, size_t row, vb_error *err) {
    int held = 0, rc;
    size_t done = row, V = 0;
    const vb_model *m = NULL;
    for (size_t k = 0; k < n; k++) {
        const vb_eval_item *item = &items[k];
        vb_context *c = item->context;
        if (!is_member(item, s)) continue;
        m = c->model;
        V = (size_t)vb_model_n_logits(m);
        for (size_t i = 0; i < item->n; i++) {
            const bool want = c->slot[i] >= 0;
            s->rows[held++] = row_of(item, i, want);
            row += want;
            if (held < c->params.batch) continue;
            rc = vb_executors_forward(&s->executors, c->model, s->rows, held, s->logits + done * V, err);
            if (rc) return rc;
            held = 0;
            done = row;
        }
    }
    return held ? vb_executors_forward(&s->executors, m, s->rows, held, s->logits + done * V, err) : VB_OK;
}

/* Gives every member its rows of logits; returns how many rows, and how many members. */
static size_t assign_rows(vb_scratch *s, const vb_eval_item *items, size_t n, size_t *members) {
    int32_t row = 0;
    *members = 0;
    for (size_t k = 0; k < n; k++) {
        vb_context *c = items[k].context;
        if (!is_member(&items[k], s)) continue;
        for (size_t i = 0; i < items[k].n; i++) c->slot[i] = is_wanted(&items[k], i) ? row++ : -1;
        c->slots = 0; /* whatever happens now, the logits of the last call are gone */
        ++*members;
    }
    return (size_t)row;
}

/* Room for the hidden rows of the members that keep them. */
static int reserve_hidden(const vb_scratch *s, const vb_eval_item *items, size_t n, vb_error *err) {
    for (size_t k = 0; k < n; k++) {
        vb_context *c = items[k].context;
        if (!is_member(&items[k], s) || !c->keeps_hidden || items[k].n <= c->hidden_rows) continue;
        float *rows = NULL;
        int rc = vb_alloc((void **)&rows, items[k].n * (size_t)c->model->info.dim, sizeof *rows,
                          "hidden rows", err);
        if (rc) return rc;
        free(c->hidden);
        c->hidden = rows;
        c->hidden_rows = items[k].n;
    }
    return VB_OK;
}

static void finish(vb_scratch *s, vb_eval_item *item, int rc, const vb_error *why) {
    vb_context *c = item->context;
    item->code = rc;
    if (rc) {
        vb_fail(item->err, rc, "%s", why->message);
        return;
    }
    c->slots = item->n;
    c->length += (int)item->n;
    if (c->takes_tree) vb_tree_hold(&c->tree);
    c->call = s->call;
}

/* All members in one pass. A number that is not finite says nothing about whose it was: then each is
 * evaluated alone, and fails alone. Observers are told about one sequence at a time. */
static void eval_together(vb_scratch *s, vb_eval_item *items, size_t n) {
    const vb_context *any = NULL;
    vb_error err = {.code = VB_OK};
    size_t members, row = 0;
    for (size_t k = 0; k < n && !any; k++)
        if (is_member(&items[k], s)) any = items[k].context;
    const size_t rows = assign_rows(s, items, n, &members);
    int rc = rows > INT32_MAX ? vb_fail(&err, VB_ERR_ARGUMENT, "logits of %zu tokens are too many", rows)
                              : reserve_logits(s, any->model, rows, &err);
    if (!rc) rc = reserve_hidden(s, items, n, &err);
    s->call++;
    const bool apart = members > 1 && any->params.observe;
    if (!rc && !apart) rc = forward(s, items, n, 0, &err);
    const bool again = members > 1 && (apart ? rc == VB_OK : rc == VB_ERR_NUMERIC);
    for (size_t k = 0; k < n; k++) {
        vb_eval_item *item = &items[k];
        if (!is_member(item, s)) continue;
        if (again) {
            vb_begin(&err);
            rc = forward(s, item, 1, row, &err);
        }
        for (size_t i = 0; i < item->n; i++) row += item->context->slot[i] >= 0;
        finish(s, item, rc, &err);
    }
}

int vb_eval_many(vb_eval_item *items, size_t n) {
    for (size_t k = 0; k < n; k++) {
        vb_begin(items[k].err);
        items[k].code = check_item(&items[k]);
        for (size_t j = 0; j < k && items[k].code == VB_OK; j++)
            if (items[j].context == items[k].context)
                items[k].code =
                    vb_fail(items[k].err, VB_ERR_ARGUMENT,
                            "item %zu has the context of item %zu: give all its tokens in one", k, j);
        if (items[k].code == VB_OK) items[k].code = take_tree(&items[k], &items[k].context->takes_tree);
        if (items[k].code == VB_OK) items[k].code = PENDING;
    }
    for (size_t k = 0; k < n; k++)
        if (items[k].code == PENDING) eval_together(items[k].context->scratch, items + k, n - k);
    for (size_t k = 0; k < n; k++)
        if (items[k].code) return items[k].code;
    return VB_OK;
}

int vb_eval(vb_context *c, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err) {
    vb_begin(err);
    vb_eval_item item = {.context = c, .tokens = tokens, .n = n, .want = want, .err = err};
    return vb_eval_many(&item, 1);
}

const float *vb_logits(const vb_context *c, size_t i) {
    if (i >= c->slots || c->slot[i] < 0 || c->call != c->scratch->call) return NULL;
    return c->scratch->logits + (size_t)c->slot[i] * (size_t)vb_model_n_logits(c->model);
}

int vb_context_delegate(vb_context *c, const vb_executor *other, int first, int last, vb_error *err) {
    vb_begin(err);
    vb_scratch *s = c->scratch;
    if (c->params.observe)
        return vb_fail(err, VB_ERR_UNSUPPORTED,
                       "executor %s: a pass cannot be observed while another than the CPU computes it",
                       other->name);
    if (s->call > 0 || s->users > 1 || s->executors.first < s->executors.last)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "executor %s: it must come before the first evaluation, before another context "
                       "shares the memory, and once",
                       other->name);
    return vb_executors_split(&s->executors, c->model, other, first, last, c->params.batch, err);
}

void vb_context_keep_hidden(vb_context *c) {
    c->keeps_hidden = true;
}

const float *vb_context_hidden(const vb_context *c, size_t i) {
    if (!c->keeps_hidden || i >= c->slots || i >= c->hidden_rows) return NULL;
    return c->hidden + i * (size_t)c->model->info.dim;
}

int vb_context_truncate(vb_context *c, int n, vb_error *err) {
    vb_begin(err);
    if (n < 0 || n > c->length)
        return vb_fail(err, VB_ERR_ARGUMENT, "cannot truncate to %d positions, the context holds %d", n,
                       c->length);
    if (c->tree.held && n > c->tree.base && !vb_tree_is_chain(&c->tree, n - c->tree.base))
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "cannot truncate to %d positions inside a tree that begins at %d: vb_context_keep says "
            "which path stays",
            n, c->tree.base);
    c->length = n; /* a position's keys and values never depend on later ones: nothing to undo (P4) */
    c->tree.held = false;
    return VB_OK;
}

int vb_context_keep(vb_context *c, int n, const int32_t *rows, size_t k, vb_error *err) {
    vb_begin(err);
    if (n < 0 || n > c->length || k > (size_t)(c->length - n))
        return vb_fail(err, VB_ERR_ARGUMENT, "cannot keep %d positions and %zu tokens, the context holds %d",
                       n, k, c->length);
    if (!c->tree.held) {
        for (size_t i = 0; i < k; i++)
            if (rows[i] != (int32_t)i)
                return vb_fail(err, VB_ERR_ARGUMENT, "rows[%zu] is %d, must be %zu: the tokens are a chain",
                               i, (int)rows[i], i);
        return vb_context_truncate(c, n + (int)k, err);
    }
    if (n != c->tree.base)
        return vb_fail(err, VB_ERR_ARGUMENT, "n is %d, but the tree that the context holds begins at %d", n,
                       c->tree.base);
    const int rc = vb_tree_check_path(&c->tree, rows, k, err);
    if (rc) return rc;
    vb_executors_fetch(&c->scratch->executors, &c->cache, c->length);
    /* Rows ascend along a path, so no row is overwritten before it has moved. */
    for (size_t i = 0; i < k; i++)
        if (rows[i] != (int32_t)i) vb_cache_move(&c->cache, n + rows[i], n + (int)i);
    vb_executors_written(&c->scratch->executors, &c->cache, n, n + (int)k);
    c->length = n + (int)k;
    c->tree.held = false;
    return VB_OK;
}

int vb_context_copy(vb_context *to, const vb_context *from, int n, vb_error *err) {
    vb_begin(err);
    if (n < 0 || n > from->length)
        return vb_fail(err, VB_ERR_ARGUMENT, "cannot copy %d positions, the context holds %d", n,
                       from->length);
    if (from->tree.held && n > from->tree.base)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "cannot copy %d positions: from %d on the context holds a tree (vb_context_keep)", n,
                       from->tree.base);
    if (from->model != to->model || from->cache.k_type != to->cache.k_type ||
        from->cache.v_type != to->cache.v_type || from->params.activations != to->params.activations ||
        from->params.offload != to->params.offload)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "cannot copy: the contexts must be of one model, and have the same "
                       "activations, k_type, v_type and offload");
    for (int i = 0; i < to->model->n_ropes; i++) {
        const vb_rope *r = &to->model->ropes[i];
        if (vb_rope_freq(r, to->params.n_ctx) != vb_rope_freq(r, from->params.n_ctx))
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "cannot copy from a context of %d positions to one of %d: this model's RoPE "
                           "frequencies are others beyond %d",
                           from->params.n_ctx, to->params.n_ctx, r->long_from);
    }
    if (n > to->params.n_ctx)
        return vb_fail(err, VB_ERR_FULL, "cannot copy %d positions to a context of %d", n, to->params.n_ctx);
    to->slots = 0;
    to->length = n;
    to->tree.held = false;
    if (from == to) return VB_OK;
    vb_executors_fetch(&from->scratch->executors, &from->cache, n);
    vb_cache_copy(&to->cache, &from->cache, n);
    vb_executors_written(&to->scratch->executors, &to->cache, 0, n);
    return VB_OK;
}

void vb_context_hash(const vb_context *c, uint8_t hash[16]) {
    const int n = c->tree.held ? c->tree.base : c->length;
    vb_executors_fetch(&c->scratch->executors, &c->cache, n);
    vb_cache_hash(&c->cache, n, 0, NULL, hash);
}

/* l_id - max - log(sum_i exp(l_i - max)), i ascending. */
double vb_logprob_by(const vb_kernels *kernels, const float *logits, int n_vocab, int32_t id) {
    float max = logits[0];
    for (int i = 1; i < n_vocab; i++) {
        if (logits[i] > max) max = logits[i];
    }
    const double sum = kernels->exp_sum(logits, n_vocab, max);
    return ((double)logits[id] - (double)max) - vb_log(sum);
}

double vb_logprob(const float *logits, int n_vocab, int32_t id) {
    return vb_logprob_by(&vb_kernels_ref, logits, n_vocab, id);
}
