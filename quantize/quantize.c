/* quantize.c - a GGUF file to another one with its matrices in fewer bits. Streams: the input is mapped, the
 * output is written front to back, and between them lie a few hundred thousand values at a time.
 *
 * The work is cut into chunks of CHUNK values whatever the number of threads, and what a chunk gives depends
 * on its values alone; sums over chunks are taken in their order. So output and reported errors are the same
 * bits for any number of threads. */
#include "quantize/encode.h"
#include "gguf/formats.h"
#include "gguf/gguf.h"
#include "quantize/mix.h"
#include "base/pool.h"
#include "gguf/unpack.h"
#include "gguf/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 15, CHUNKS_PER_THREAD = 4, MAX_THREADS = 256 };

/* The number that says how blocks are to be read: 2 since the blocks have their present layout. */
enum { QUANTIZATION_VERSION = 2 };

/* What came of one chunk. */
typedef struct chunk_result {
    int64_t bad; /* index in the tensor of a value that does not fit, or -1 */
    vb_encode_fault fault;
    double error, square; /* sums of (x - decoded)^2 and of x^2 */
} chunk_result;

typedef struct job {
    const vb_quantize_params *p;
    const vb_gguf *in;
    const vb_mix *mix;
    vb_mix_model model;
    vb_gguf_writer *out;
    vb_pool *pool;
    int threads, batch;    /* chunks worked on together */
    float *scratch;        /* (threads, 2, CHUNK) source and decoded values */
    uint8_t *encoded;      /* (batch, CHUNK*4) at most; packed */
    chunk_result *results; /* (batch) */
    /* The tensor in work. */
    const vb_tensor *tensor;
    vb_type type;
    uint64_t values, first_chunk;
    size_t chunk_bytes; /* of a whole chunk, encoded */
    vb_quantize_summary sum;
} job;

/* --------------------------------------------------------------------------------------------- planning */

static bool is_float(vb_type type) {
    return type == VB_F32 || type == VB_F16 || type == VB_BF16;
}

/* The type a tensor gets, and the one it would have got if its rows allowed. */
static vb_type plan(const job *j, const vb_tensor *t, vb_type *wanted) {
    *wanted = t->type;
    if (!vb_mix_is_matrix(t->name, t->n_dims)) return t->type;
    *wanted = vb_mix_wanted(j->mix, j->p->pure, &j->model, t->name);
    return vb_mix_fallback(*wanted, t->dims[0]);
}

static int check_input(const vb_gguf *g, vb_error *err) {
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        if (is_float(t->type)) continue;
        return vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "%s: tensor %s is already quantised (%s); quantising it again would lose accuracy twice. Start "
            "from the F32, F16 or BF16 file of this model",
            vb_gguf_path(g), t->name, vb_type_name((int)t->type));
    }
    return VB_OK;
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* OUT must not be (a link to) any part of the input. */
static int check_output(const vb_gguf *g, const char *out, vb_error *err) {
    for (int i = 0; i < g->n_parts; i++) {
        if (same_file(g->parts[i].path, out))
            return vb_fail(err, VB_ERR_ARGUMENT, "%s is the input itself: name another file for the output",
                           out);
    }
    return VB_OK;
}

/* --------------------------------------------------------------------------------------------- metadata */

static int copy_metadata(job *j, vb_error *err) {
    bool has_type = false, has_version = false;
    for (size_t i = 0; i < vb_gguf_meta_count(j->in); i++) {
        const vb_meta *m = vb_gguf_meta(j->in, i);
        int rc = VB_OK;
        if (!strncmp(m->key, "split.", 6)) continue; /* what comes out is one file */
        if (!strcmp(m->key, "general.file_type")) {
            has_type = true;
            rc = vb_gguf_writer_meta_u32(j->out, m->key, j->mix->file_type, err);
        } else if (!strcmp(m->key, "general.quantization_version")) {
            has_version = true;
            rc = vb_gguf_writer_meta_u32(j->out, m->key, QUANTIZATION_VERSION, err);
        } else {
            rc = vb_gguf_writer_meta_copy(j->out, m, err);
        }
        if (rc) return rc;
    }
    int rc = VB_OK;
    if (!has_type) rc = vb_gguf_writer_meta_u32(j->out, "general.file_type", j->mix->file_type, err);
    if (!rc && !has_version)
        rc = vb_gguf_writer_meta_u32(j->out, "general.quantization_version", QUANTIZATION_VERSION, err);
    return rc;
}

static int write_head(job *j, vb_error *err) {
    uint64_t alignment;
    const vb_meta *m = vb_gguf_find(j->in, "general.alignment");
    int rc = VB_OK;
    if (m && vb_meta_u64(m, 0, &alignment) && (rc = vb_gguf_writer_align(j->out, alignment, err))) return rc;
    if ((rc = copy_metadata(j, err))) return rc;
    for (size_t i = 0; i < vb_gguf_tensor_count(j->in); i++) {
        const vb_tensor *t = vb_gguf_tensor(j->in, i);
        vb_type wanted;
        if ((rc = vb_gguf_writer_tensor(j->out, t->name, plan(j, t, &wanted), t->n_dims, t->dims, err)))
            return rc;
    }
    return VB_OK;
}

/* --------------------------------------------------------------------------------------------- one tensor */

static uint64_t encoded_bytes(vb_type type, uint64_t values) {
    return values / (uint64_t)vb_type_block_values((int)type) * (uint64_t)vb_type_block_bytes((int)type);
}

static uint64_t chunk_values(const job *j, uint64_t chunk) {
    const uint64_t left = j->values - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

/* Encodes chunk first_chunk + index, and decodes it again to measure the error. */
static void work_chunk(void *arg, int index, int worker) {
    job *j = arg;
    const uint64_t chunk = j->first_chunk + (uint64_t)index;
    const size_t n = (size_t)chunk_values(j, chunk);
    const size_t source_bytes = (size_t)vb_type_block_bytes((int)j->tensor->type);
    float *x = j->scratch + (size_t)worker * 2 * CHUNK, *y = x + CHUNK;
    uint8_t *out = j->encoded + (size_t)index * j->chunk_bytes;
    chunk_result r = {-1, VB_ENCODE_NOT_FINITE, 0, 0};
    vb_dequantize_row(j->tensor->type, j->tensor->data + chunk * CHUNK * source_bytes, n, x);
    r.bad = vb_encode(j->type, x, n, out, &r.fault);
    if (r.bad < 0) {
        vb_dequantize_row(j->type, out, n, y);
        for (size_t i = 0; i < n; i++) {
            const double e = (double)x[i] - (double)y[i];
            r.error += e * e;
            r.square += (double)x[i] * (double)x[i];
        }
    } else {
        r.bad += (int64_t)(chunk * CHUNK);
    }
    j->results[index] = r;
}

static int report_fault(const job *j, const chunk_result *r, vb_error *err) {
    const vb_tensor *t = j->tensor;
    const uint64_t row = (uint64_t)r->bad / t->dims[0], column = (uint64_t)r->bad % t->dims[0];
    float value;
    const size_t bytes = (size_t)vb_type_block_bytes((int)t->type);
    vb_dequantize_row(t->type, t->data + (uint64_t)r->bad * bytes, 1, &value);
    if (r->fault == VB_ENCODE_NOT_FINITE)
        return vb_fail(
            err, VB_ERR_NUMERIC,
            "%s: tensor %s, element %lld (row %llu, column %llu) is %g: the file is damaged or its training "
            "diverged",
            vb_gguf_path(j->in), t->name, (long long)r->bad, (unsigned long long)row,
            (unsigned long long)column, (double)value);
    return vb_fail(err, VB_ERR_NUMERIC,
                   "%s: tensor %s, element %lld (row %llu, column %llu) is %g, too large for %s; quantise to "
                   "BF16 instead",
                   vb_gguf_path(j->in), t->name, (long long)r->bad, (unsigned long long)row,
                   (unsigned long long)column, (double)value, vb_type_name((int)j->type));
}

/* Lets go of the pages of the mapped input that hold the `count` chunks before first_chunk: they stay in the
 * system's cache, but no longer count as this process's memory, which would otherwise grow to the size of the
 * model. */
static void release_input(const job *j, int count) {
#ifdef MADV_DONTNEED
    const vb_part *part = &j->in->parts[j->tensor->split];
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t chunk_bytes = CHUNK * (uint64_t)vb_type_block_bytes((int)j->tensor->type);
    const uint64_t data = (uint64_t)(j->tensor->data - part->data);
    const uint64_t to = (data + j->first_chunk * chunk_bytes) / page * page;
    const uint64_t from = (data + (j->first_chunk - (uint64_t)count) * chunk_bytes) / page * page;
    if (part->mapped && from < to && to <= part->size)
        madvise(part->data + from, (size_t)(to - from), MADV_DONTNEED);
#else
    (void)j;
    (void)count;
#endif
}

/* One round over `count` chunks: encode, look for faults in order, write, add up. */
static int work_batch(job *j, int count, double *error, double *square, vb_error *err) {
    vb_pool_run(j->pool, count, work_chunk, j);
    for (int i = 0; i < count; i++) {
        if (j->results[i].bad >= 0) return report_fault(j, &j->results[i], err);
        *error += j->results[i].error;
        *square += j->results[i].square;
    }
    const uint64_t last = chunk_values(j, j->first_chunk + (uint64_t)count - 1);
    const size_t bytes = (size_t)(count - 1) * j->chunk_bytes + (size_t)encoded_bytes(j->type, last);
    return vb_gguf_writer_data(j->out, j->encoded, bytes, err);
}

static int work_tensor(job *j, size_t index, vb_error *err) {
    const vb_tensor *t = vb_gguf_tensor(j->in, index);
    vb_type wanted;
    double error = 0, square = 0;
    j->tensor = t;
    j->type = plan(j, t, &wanted);
    j->values = t->bytes / (uint64_t)vb_type_block_bytes((int)t->type);
    j->chunk_bytes = (size_t)encoded_bytes(j->type, CHUNK);
    vb_quantize_progress progress = {.tensor = t,
                                     .index = index,
                                     .count = vb_gguf_tensor_count(j->in),
                                     .type = j->type,
                                     .wanted = wanted,
                                     .bytes = encoded_bytes(j->type, j->values)};
    const uint64_t chunks = (j->values + CHUNK - 1) / CHUNK;
    for (j->first_chunk = 0; j->first_chunk < chunks;) {
        if (j->p->cancel && j->p->cancel(j->p->user))
            return vb_fail(err, VB_ERR_CANCELLED, "stopped at tensor %s; nothing was left behind", t->name);
        const uint64_t left = chunks - j->first_chunk;
        const int count = left < (uint64_t)j->batch ? (int)left : j->batch;
        const int rc = work_batch(j, count, &error, &square, err);
        if (rc) return rc;
        j->first_chunk += (uint64_t)count;
        release_input(j, count);
        progress.fraction = (double)j->first_chunk / (double)chunks;
        if (j->p->progress && j->first_chunk < chunks) j->p->progress(j->p->user, &progress);
    }
    progress.fraction = 1;
    progress.done = true;
    if (j->values) {
        progress.rmse = sqrt(error / (double)j->values);
        progress.relative = square > 0 ? sqrt(error / square) : 0;
    }
    if (j->p->progress) j->p->progress(j->p->user, &progress);
    j->sum.tensors++;
    j->sum.fallbacks += j->type != wanted;
    j->sum.parameters += j->values;
    j->sum.error += error;
    j->sum.square += square;
    return VB_OK;
}

/* --------------------------------------------------------------------------------------------- whole */

static int allocate(job *j, vb_error *err) {
    int rc;
    j->threads = j->p->n_threads > 0 ? j->p->n_threads : vb_physical_cores();
    if (j->threads > MAX_THREADS) j->threads = MAX_THREADS;
    j->batch = j->threads * CHUNKS_PER_THREAD;
    if ((rc = vb_pool_open(&j->pool, j->threads, err))) return rc;
    if ((rc = vb_alloc((void **)&j->scratch, (size_t)j->threads * 2 * CHUNK, sizeof(float), "weights", err)))
        return rc;
    if ((rc = vb_alloc((void **)&j->encoded, (size_t)j->batch * CHUNK, 4, "weights", err))) return rc;
    return vb_alloc((void **)&j->results, (size_t)j->batch, sizeof *j->results, "results", err);
}

static int run(job *j, const char *out, vb_error *err) {
    int rc;
    if ((rc = check_input(j->in, err))) return rc;
    if ((rc = check_output(j->in, out, err))) return rc;
    j->model = vb_mix_model_of(j->in);
    if ((rc = allocate(j, err))) return rc;
    if ((rc = vb_gguf_writer_open(&j->out, out, j->p->force, err))) return rc;
    if ((rc = write_head(j, err))) return rc;
    for (size_t i = 0; i < vb_gguf_tensor_count(j->in); i++) {
        if ((rc = work_tensor(j, i, err))) return rc;
    }
    j->sum.bytes_in = vb_gguf_file_bytes(j->in);
    j->sum.bytes_out = vb_gguf_writer_bytes(j->out);
    j->sum.relative = j->sum.square > 0 ? sqrt(j->sum.error / j->sum.square) : 0;
    return vb_gguf_writer_finish(j->out, err);
}

static int unknown_type(const char *type, vb_error *err) {
    char list[160] = "";
    size_t len = 0;
    for (const char *const *name = vb_quantize_types(); *name && len < sizeof list; name++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", *name);
    return vb_fail(err, VB_ERR_ARGUMENT, "\"%s\" is no type to quantise to: choose one of %s",
                   type ? type : "", list);
}

int vb_quantize(const char *in, const char *out, const vb_quantize_params *p, vb_quantize_summary *summary,
                vb_error *err) {
    vb_begin(err);
    vb_gguf *g = NULL;
    job j;
    memset(&j, 0, sizeof j);
    const double start = vb_now();
    j.p = p;
    j.mix = vb_mix_find(p->type);
    if (!j.mix) return unknown_type(p->type, err);
    int rc = vb_gguf_open(&g, in, err);
    if (rc) goto cleanup;
    j.in = g;
    if ((rc = run(&j, out, err))) goto cleanup;
    j.sum.seconds = vb_now() - start;
    if (summary) *summary = j.sum;
cleanup:
    vb_gguf_writer_close(j.out);
    vb_pool_close(j.pool);
    free(j.results);
    free(j.encoded);
    free(j.scratch);
    vb_gguf_close(g);
    return rc;
}
