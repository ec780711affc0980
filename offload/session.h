/* session.h - offloading inside the library: a loaded backend, and its use by one context. Internal. */
#ifndef VB_OFFLOAD_SESSION_H
#define VB_OFFLOAD_SESSION_H

#include "base/pool.h"
#include "offload/offload.h"
#include "ref/kernels.h"

#include <pthread.h>

/* Weights that a backend keeps, shared by the contexts of a model. */
typedef struct vb_resident {
    const void *data; /* vb_matrix.data, the key; NULL: a free place */
    void *handle;
    int users;
} vb_resident;

struct vb_offload {
    const vb_offload_backend *backend;
    void *self;    /* the backend's own */
    void *library; /* of dlopen; NULL for a table that was handed in */
    char *path;    /* of the library, or NULL */
    vb_offload_info info;
    pthread_mutex_t mutex; /* around every call of the backend */
    vb_resident *residents;
    size_t n_residents;
};

/* What vb_offload_open does once it has a table: checks it, starts the backend, proves and classes it. Takes
 * `library` over on success only. */
int vb_offload_adopt(vb_offload **out, const vb_offload_backend *b, void *library, const char *path,
                     vb_error *err);

/* Compares the backend with the reference; fills in o->info. VB_ERR_UNSUPPORTED: refused. */
int vb_offload_prove(vb_offload *o, vb_error *err);

/* A call of the backend as it is: DONE, DECLINED or FAILED. The mutex is held. */
int vb_offload_call(vb_offload *o, void *handle, const vb_matrix *w, const vb_acts *x, float *y,
                    vb_pool *pool);
vb_offload_matrix vb_offload_view(const vb_matrix *w);

/* |got - want| is within the class, for output row r of w and vector t of x. *error, if not NULL, grows to
 * |got - want| over the size of the products, as in offload.h. */
bool vb_offload_within(vb_offload_class class, const vb_matrix *w, const vb_acts *x, int r, int t, float got,
                       float want, double *error);

/* -------------------------------------------------------------------------------------------- per context */

typedef struct vb_offload_session vb_offload_session;

/* Where a pass may have a whole product computed instead of by its kernels. */
typedef struct vb_product_hook {
    void *self;
    /* True: y (x->rows, w->rows) is filled. False: y is not to be read; the kernels compute it. */
    bool (*multiply)(void *self, const vb_matrix *w, const vb_acts *x, float *y);
    /* VB_OK, or why no result of this pass or a later one is to be believed any more. */
    int (*check)(void *self, vb_error *err);
} vb_product_hook;

typedef struct vb_offload_session_params {
    const vb_kernels *kernels;
    vb_pool *pool;
    int planes;     /* of quantised activations */
    int max_rows;   /* vectors per product at most */
    int width;      /* > 0 under a bounded backend: every product is computed on exactly that many vectors */
    bool check_all; /* compare every product with the kernels */
} vb_offload_session_params;

/* Attaches the weights of a model: its n matrices. Errors: VB_ERR_ARGUMENT, VB_ERR_MEMORY, VB_ERR_UNSUPPORTED
 * (the results of that width depend on the place of a vector or on its neighbours). */
int vb_offload_session_open(vb_offload_session **out, vb_offload *o, const vb_matrix *const *matrices,
                            size_t n, const vb_offload_session_params *p, vb_error *err);
void vb_offload_session_close(vb_offload_session *s);
vb_product_hook vb_offload_session_hook(vb_offload_session *s);
void vb_offload_session_stats(const vb_offload_session *s, vb_offload_stats *out);
uint64_t vb_offload_session_bytes(const vb_offload_session *s);

#endif
