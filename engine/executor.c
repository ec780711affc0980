/* executor.c - cuts a pass into the spans of its executors. See executor.h. */
#include "engine/executor.h"

#include <stdlib.h>

static bool has_other(const vb_executors *e) {
    return e->first < e->last;
}

int vb_executors_split(vb_executors *e, const vb_model *m, const vb_executor *other, int first, int last,
                       int max_rows, vb_error *err) {
    if (first < 0 || first >= last || last > m->info.n_layers)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "executor %s: layers %d to %d are not a part of the model's %d layers", other->name,
                       first, last - 1, m->info.n_layers);
    const size_t values = (size_t)max_rows * (size_t)m->info.dim;
    const int rc = vb_alloc((void **)&e->x, values, sizeof *e->x, "the executor", err);
    if (rc) return rc;
    e->other = *other;
    e->first = first;
    e->last = last;
    return VB_OK;
}

void vb_executors_close(vb_executors *e) {
    free(e->x);
}

uint64_t vb_executors_bytes(const vb_executors *e, const vb_model *m, int max_rows) {
    const uint64_t own = e->cpu.bytes(e->cpu.self);
    if (!has_other(e)) return own;
    return own + e->other.bytes(e->other.self) +
           (uint64_t)max_rows * (uint64_t)m->info.dim * (uint64_t)sizeof *e->x;
}

static int compute(const vb_executor *who, vb_pass_span *s, int first, int last, vb_error *err) {
    if (first == last) return VB_OK;
    s->first = first;
    s->last = last;
    return who->compute(who->self, s, err);
}

int vb_executors_forward(const vb_executors *e, const vb_model *m, const vb_row *rows, int n, float *logits,
                         vb_error *err) {
    vb_pass_span s = {.rows = rows, .n = n, .x = e->x, .logits = logits};
    int rc;
    if ((rc = compute(&e->cpu, &s, 0, e->first, err)) ||
        (rc = compute(&e->other, &s, e->first, e->last, err)))
        return rc;
    return compute(&e->cpu, &s, e->last, m->info.n_layers, err);
}

void vb_executors_fetch(const vb_executors *e, const vb_cache *c, int slots) {
    if (e->other.fetch) e->other.fetch(e->other.self, c, slots);
}

void vb_executors_written(const vb_executors *e, const vb_cache *c, int from, int to) {
    if (e->other.written) e->other.written(e->other.self, c, from, to);
}

void vb_executors_forget(const vb_executors *e, const vb_cache *c) {
    if (e->other.forget) e->other.forget(e->other.self, c);
}
