/* trim.c - a draft model that knows all ids and multiplies few rows of its output matrix. The rows that stay
 * are copied as they are, so each logit has the bits that it had. */
#include "ref/model.h"

#include <stdlib.h>
#include <string.h>

static int check_ids(const vb_model *m, const int32_t *ids, size_t n, vb_error *err) {
    if (!ids || n == 0) return vb_fail(err, VB_ERR_ARGUMENT, "no ids: a model without logits drafts nothing");
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= m->info.n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "ids[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)ids[i], m->info.n_vocab);
        if (i && ids[i] <= ids[i - 1])
            return vb_fail(err, VB_ERR_ARGUMENT, "ids[%zu]: id %d after %d: they must ascend", i, (int)ids[i],
                           (int)ids[i - 1]);
    }
    if (m->kept) return vb_fail(err, VB_ERR_ARGUMENT, "the output matrix of this model is trimmed already");
    if (m->packed || m->expert_copies)
        return vb_fail(err, VB_ERR_ARGUMENT, "the weights of this model are interleaved: trim it before");
    return VB_OK;
}

int vb_model_trim(vb_model *m, const int32_t *ids, size_t n, vb_error *err) {
    vb_begin(err);
    static const char what[] = "a trimmed output matrix";
    vb_matrix *w = &m->output;
    int32_t *kept = NULL;
    uint8_t *rows = NULL;
    float *bias = NULL;
    int rc = check_ids(m, ids, n, err);
    if (rc || (rc = vb_alloc((void **)&kept, n, sizeof *kept, what, err)) ||
        (rc = vb_alloc((void **)&rows, n, w->row_bytes, what, err)) ||
        (m->output_bias && (rc = vb_alloc((void **)&bias, n, sizeof *bias, what, err)))) {
        free(kept);
        free(rows);
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        kept[i] = ids[i];
        memcpy(rows + i * w->row_bytes, w->data + (size_t)ids[i] * w->row_bytes, w->row_bytes);
        if (bias) bias[i] = m->output_bias[ids[i]];
    }
    m->kept = kept;
    m->kept_rows = rows;
    m->kept_bias = bias;
    if (bias) m->output_bias = bias;
    w->data = rows;
    w->rows = (int)n;
    return VB_OK;
}

const int32_t *vb_model_kept(const vb_model *m, size_t *n) {
    *n = m->kept ? (size_t)m->output.rows : 0;
    return m->kept;
}
