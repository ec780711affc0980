/* part.c - parts of a run as JSON, and back. */
#include "prove/part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const COUNTS[] = {"repeated",     "repeat_differs", "paths",
                                     "path_differs", "logprobs",       "logprob_differs",
                                     "drafted",      "accepted",       "impossible"};
enum { N_COUNTS = sizeof COUNTS / sizeof *COUNTS };

static void counts_of(vb_prove_report *r, uint64_t *out[N_COUNTS]) {
    uint64_t *const at[N_COUNTS] = {&r->repeated,     &r->repeat_differs, &r->paths,
                                    &r->path_differs, &r->logprobs,       &r->logprob_differs,
                                    &r->drafted,      &r->accepted,       &r->stage[0].impossible};
    memcpy(out, at, sizeof at);
}

json_t *vb_prove_part_json(const vb_joint *j, const vb_prove_report *r) {
    json_t *cells = json_array(), *seen = json_array(), *level = json_array(), *rest = json_array();
    vb_prove_report copy = *r;
    uint64_t *counts[N_COUNTS];
    for (size_t i = 0; i < j->n; i++) {
        const vb_cell *c = &j->cells[i];
        json_array_append_new(
            cells, json_pack("[i, i, i, b, f]", (int)c->parent, (int)c->token, c->depth, c->ended, c->p));
        json_array_append_new(seen, json_integer((json_int_t)c->seen[0]));
    }
    for (int d = 0; d <= j->depth + 1; d++)
        json_array_append_new(level, json_integer((json_int_t)j->level[d]));
    for (int d = 0; d <= j->depth; d++) json_array_append_new(rest, json_real(j->rest[d]));
    json_t *out =
        json_pack("{s:{s:i, s:I, s:o, s:o, s:o}, s:o}", "law", "tokens", j->depth, "prefixes",
                  (json_int_t)j->n_expanded, "level", level, "rest", rest, "cells", cells, "seen", seen);
    counts_of(&copy, counts);
    for (int i = 0; i < N_COUNTS; i++)
        json_object_set_new(out, COUNTS[i], json_integer((json_int_t)*counts[i]));
    return out;
}

/* ------------------------------------------------------------------------------------------------ back */

static int bad(size_t part, const char *what, vb_error *err) {
    return vb_fail(err, VB_ERR_FORMAT, "part %zu: %s", part + 1, what);
}

static bool is_count(const json_t *v) {
    return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool read_cell(const json_t *v, size_t i, int depth, vb_cell *c) {
    int parent, token, at, ended;
    double p;
    if (json_unpack((json_t *)(uintptr_t)v, "[i, i, i, b, F]", &parent, &token, &at, &ended, &p))
        return false;
    if (at < 0 || at > depth || !(p >= 0 && p <= 1) || (i == 0) != (at == 0) || parent >= (int)i)
        return false;
    if (i > 0 && parent < 0) return false;
    *c = (vb_cell){.parent = parent, .token = token, .depth = at, .ended = ended != 0, .p = p};
    return true;
}

/* The tree without what is needed to count in it. */
static int read_law(const json_t *law, vb_joint *j, vb_error *err) {
    const json_t *cells = json_object_get(law, "cells"), *level = json_object_get(law, "level"),
                 *rest = json_object_get(law, "rest"), *depth = json_object_get(law, "tokens");
    const size_t n = json_array_size(cells);
    if (!json_is_integer(depth) || json_integer_value(depth) < 1 ||
        json_integer_value(depth) > VB_JOINT_DEPTH || n < 1)
        return bad(0, "\"law\" has no cells", err);
    j->depth = (int)json_integer_value(depth);
    if (json_array_size(level) != (size_t)j->depth + 2 || json_array_size(rest) != (size_t)j->depth + 1)
        return bad(0, "\"level\" or \"rest\" of another length than \"tokens\" says", err);
    int rc = vb_alloc((void **)&j->cells, n, sizeof *j->cells, "the cells of the law", err);
    if (rc) return rc;
    j->n = n;
    for (size_t i = 0; i < n; i++)
        if (!read_cell(json_array_get(cells, i), i, j->depth, &j->cells[i]))
            return bad(0, "a cell is malformed", err);
    for (int d = 0; d <= j->depth + 1; d++) {
        const json_t *v = json_array_get(level, (size_t)d);
        if (!is_count(v) || (size_t)json_integer_value(v) > n ||
            (d && (size_t)json_integer_value(v) < j->level[d - 1]))
            return bad(0, "\"level\" is malformed", err);
        j->level[d] = (size_t)json_integer_value(v);
    }
    for (int d = 0; d <= j->depth; d++) {
        j->rest[d] = json_number_value(json_array_get(rest, (size_t)d));
        if (!(j->rest[d] >= 0 && j->rest[d] <= 1)) return bad(0, "\"rest\" is malformed", err);
    }
    const json_t *prefixes = json_object_get(law, "prefixes");
    j->n_expanded = is_count(prefixes) ? (size_t)json_integer_value(prefixes) : 0;
    return VB_OK;
}

static int add_part(const json_t *part, size_t index, vb_joint *j, vb_prove_report *r, vb_error *err) {
    const json_t *seen = json_object_get(part, "seen");
    uint64_t *counts[N_COUNTS];
    if (json_array_size(seen) != j->n) return bad(index, "\"seen\" has not a number for each cell", err);
    for (size_t i = 0; i < j->n; i++) {
        const json_t *v = json_array_get(seen, i);
        if (!is_count(v)) return bad(index, "\"seen\" holds something that is no count", err);
        j->cells[i].seen[0] += (uint64_t)json_integer_value(v);
    }
    counts_of(r, counts);
    for (int i = 0; i < N_COUNTS; i++) {
        const json_t *v = json_object_get(part, COUNTS[i]);
        if (!is_count(v)) return bad(index, "a count is missing", err);
        *counts[i] += (uint64_t)json_integer_value(v);
    }
    return VB_OK;
}

int vb_prove_parts_judge(const json_t *parts, uint64_t samples, vb_prove_report *out, vb_error *err) {
    vb_joint j = {0};
    vb_prove_report r = {0};
    const json_t *law = json_object_get(json_array_get(parts, 0), "law");
    int rc = samples ? read_law(law, &j, err) : vb_fail(err, VB_ERR_ARGUMENT, "no samples");
    for (size_t i = 0; i < json_array_size(parts) && !rc; i++) {
        const json_t *part = json_array_get(parts, i);
        if (!json_equal(json_object_get(part, "law"), law))
            rc = bad(i, "its law is not that of part 1: another model, prompt or way of sampling", err);
        else
            rc = add_part(part, i, &j, &r, err);
    }
    if (!rc) {
        vb_prove_judge(&j, samples, &r);
        *out = r;
    }
    free(j.cells);
    return rc;
}
