/* foreign_engine.h - what the engine of foreign.h is made of: foreign.c opens files, goes through the layers
 * and writes the recording; foreign_layer.c is the arithmetic of a layer, foreign_experts.c that of a mixture
 * of experts. */
#ifndef FOREIGN_ENGINE_H
#define FOREIGN_ENGINE_H

#include "tests/foreign.h"

typedef struct fe_engine {
    vb_gguf *g;
    fe_fault fault;
    const char *arch;
    bool gemma;
    int dim, layers, heads, kv_heads, head_dim, ffn, rot, n_vocab;
    int window, period; /* positions a token sees, 0: all; the last of every `period` layers sees all */
    int long_from;      /* longrope: longer sequences take the long factors */
    double embd_scale, residual_scale, logit_divisor, attention_scale; /* granite's; 0: none */
    bool yarn;
    double eps, base, local_base, factor, attn_factor, softcap;
    double *x, *h, *q, *k, *v, *heads_out, *delta, *hidden; /* (T, ...) */
    double *logits;                                         /* (n_vocab) of the row last asked for */
    int from;                                               /* the first position whose arrays are recorded */
    vb_buf *out;                                            /* NULL: nothing is recorded */
} fe_engine;

/* Tensor `name` of a layer, or of the model where the layer is negative; NULL where there is none. */
const vb_tensor *fe_tensor(const fe_engine *e, int layer, const char *name);
/* Row r of a tensor, as numbers. */
void fe_row(const vb_tensor *t, uint64_t r, double *out);
/* One array of the recording. */
void fe_show(vb_buf *rows, int position, int layer, const char *op, const double *x, int n);

/* y = W x + b; b may be missing, or NULL. */
void fe_linear(const fe_engine *e, int layer, const char *name, const char *bias, const double *x, double *y);
void fe_norm(const fe_engine *e, int layer, const char *name, const double *x, int n, double *y);
/* y = W x for `rows` rows of W: first, first + step, ... */
void fe_product(const vb_tensor *w, int first, int step, int rows, const double *x, double *y);
/* act(gate)*up, as the architecture has it. */
double fe_gated(const fe_engine *e, double gate, double up);
/* The largest hidden vector of a layer's dense part. */
int fe_dense_size(const fe_engine *e);
/* out = the experts' sum for h; `shared` is what the dense part gives, NULL where there is none. The router's
 * logits and the weights go to r. */
void fe_experts(const fe_engine *e, int layer, int position, const double *h, const double *shared,
                double *out, vb_buf *r);
/* One layer for n tokens from position 0; rows[t] gets what is recorded of token t, rows may be NULL. */
void fe_layer(const fe_engine *e, int layer, int n, vb_buf *rows);

#endif
