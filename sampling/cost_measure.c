/* cost_measure.c - the costs of cost.h, by the clock. Measured once, then written down: whatever chooses
 * lengths by them looks at no clock again. */
#include "sampling/cost.h"

#include "engine/context.h"

#include <string.h>

enum {
    FAR = 1024, /* positions of the second curve, fewer where the context is shorter */
    ROUNDS = 3, /* of which the least counts: a neighbour makes a pass longer, nothing makes it shorter */
    QUICK = 5,  /* milliseconds: a pass that takes less is repeated until it has taken so long */
    READ_TOKENS = 16
};

/* The rows that are measured; those between are interpolated. */
static const int ROWS[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16};
enum { N_ROWS = sizeof ROWS / sizeof *ROWS };

/* The context says that it holds n positions. What their rows hold does not matter for the time, but that
 * they are memory of their own: it is written. */
static void pretend(vb_context *c, int n) {
    const vb_cache *cache = &c->cache;
    for (int layer = 0; layer < cache->n_layers; layer++)
        for (int head = 0; head < cache->n_kv_heads; head++) {
            const size_t k = vb_cache_row(cache, cache->k_type, layer, head, 0),
                         v = vb_cache_row(cache, cache->v_type, layer, head, 0);
            memset((char *)cache->k + k, 0, (size_t)n * vb_cache_row_bytes(cache, cache->k_type));
            memset((char *)cache->v + v, 0, (size_t)n * vb_cache_row_bytes(cache, cache->v_type));
        }
    c->length = n;
}

/* Seconds of one pass over n tokens behind `at` positions. */
static int time_pass(vb_context *c, int at, int n, double *seconds, vb_error *err) {
    static const uint8_t want[VB_COST_ROWS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t tokens[VB_COST_ROWS];
    const int32_t n_vocab = vb_model_describe(c->model)->n_vocab;
    int passes = 0, rc;
    for (int i = 0; i < n; i++) tokens[i] = (int32_t)((uint32_t)(i + 1) * 2654435761u % (uint32_t)n_vocab);
    const double start = vb_now();
    do {
        if ((rc = vb_eval(c, tokens, (size_t)n, want, err)) || (rc = vb_context_truncate(c, at, err)))
            return rc;
        passes++;
        *seconds = (vb_now() - start) / passes;
    } while (vb_now() - start < 1e-3 * QUICK);
    return VB_OK;
}

/* The least seconds of ROUNDS for each of the numbers of tokens, in turn, so that a slow moment of the
 * machine does not fall on one number alone. */
static int time_rows(vb_context *c, int at, const int *rows, int n, double *seconds, vb_error *err) {
    int rc = VB_OK;
    double once = 0;
    for (int round = 0; round < ROUNDS && !rc; round++)
        for (int i = 0; i < n && !rc; i++) {
            rc = time_pass(c, at, rows[i], &once, err);
            if (round == 0 || once < seconds[i]) seconds[i] = once;
        }
    return rc;
}

static int32_t thousandths(double seconds, double unit) {
    const double x = 1000 * seconds / unit + 0.5;
    return x < 1 ? 1 : x < 1e9 ? (int32_t)x : 1000000000;
}

/* The curve at every T, ascending. */
static void fill_curve(int32_t out[VB_COST_ROWS], const double seconds[N_ROWS], double unit) {
    int below = 0;
    for (int t = 1; t <= VB_COST_ROWS; t++) {
        while (below + 1 < N_ROWS - 1 && ROWS[below + 1] <= t) below++;
        const double part = (double)(t - ROWS[below]) / (ROWS[below + 1] - ROWS[below]);
        out[t - 1] = thousandths(seconds[below] + part * (seconds[below + 1] - seconds[below]), unit);
        if (t > 1 && out[t - 1] < out[t - 2]) out[t - 1] = out[t - 2];
    }
}

/* Attention looks at every position once for each row, so that what far positions add grows with the rows:
 * two numbers of rows say it. Further positions never make a pass cheaper; what looks so is noise. */
static void fill_far(vb_costs *c, const double far[2], double unit) {
    const int32_t *near = c->target[0];
    double first = thousandths(far[0], unit) - near[0],
           last = thousandths(far[1], unit) - near[VB_COST_ROWS - 1];
    if (first < 0) first = 0;
    if (last < first) last = first;
    for (int t = 0; t < VB_COST_ROWS; t++)
        c->target[1][t] = near[t] + (int32_t)(first + (last - first) * t / (VB_COST_ROWS - 1));
}

static int measure_draft(vb_costs *c, vb_context *draft, double unit, vb_error *err) {
    static const int rows[] = {1, READ_TOKENS};
    double near[2], far[1], warm;
    int rc = time_pass(draft, 0, 1, &warm, err);
    if (rc || (rc = time_rows(draft, 0, rows, 2, near, err))) return rc;
    pretend(draft, c->far);
    if ((rc = time_rows(draft, c->far, rows, 1, far, err))) return rc;
    c->draft[0] = thousandths(near[0], unit);
    c->draft[1] = thousandths(far[0], unit);
    if (c->draft[1] < c->draft[0]) c->draft[1] = c->draft[0];
    c->draft_read = thousandths(near[1] / READ_TOKENS, unit);
    return VB_OK;
}

static int measure(vb_costs *c, vb_context *target, vb_error *err) {
    static const int far_rows[] = {1, VB_COST_ROWS};
    double near[N_ROWS], far[2], warm;
    int rc = time_pass(target, 0, 1, &warm, err);
    if (rc || (rc = time_rows(target, 0, ROWS, N_ROWS, near, err))) return rc;
    pretend(target, c->far);
    if ((rc = time_rows(target, c->far, far_rows, 2, far, err))) return rc;
    c->token_s = near[0];
    fill_curve(c->target[0], near, near[0]);
    fill_far(c, far, near[0]);
    return VB_OK;
}

int vb_costs_measure(vb_costs *out, vb_context *target, vb_context *draft, vb_error *err) {
    vb_begin(err);
    if (!out || !target) return vb_fail(err, VB_ERR_ARGUMENT, "vb_costs_measure: an argument is NULL");
    if (vb_context_length(target) || (draft && vb_context_length(draft)))
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "vb_costs_measure: a context holds tokens: truncate it to 0 first");
    int far = vb_context_size(target);
    if (draft && vb_context_size(draft) < far) far = vb_context_size(draft);
    far = far > FAR + VB_COST_ROWS ? FAR : far - VB_COST_ROWS;
    if (far < 1)
        return vb_fail(err, VB_ERR_FULL, "the context is too short to measure in: at least %d positions",
                       VB_COST_ROWS + 1);
    vb_costs costs = {.far = far};
    int rc = measure(&costs, target, err);
    if (!rc && draft) rc = measure_draft(&costs, draft, costs.token_s, err);
    vb_context_truncate(target, 0, NULL);
    if (draft) vb_context_truncate(draft, 0, NULL);
    if (rc == VB_OK) *out = costs;
    return rc;
}
