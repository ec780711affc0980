/* writer.c - collects the header in memory, because its counts are known only at its end, and then streams
 * the tensors' data. */
#include "gguf/writer.h"

#include "base/buf.h"
#include "base/whole.h"
#include "gguf/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = 24, DEFAULT_ALIGNMENT = 32 };

struct vb_gguf_writer {
    char *path, *part;
    int fd;       /* -1: closed */
    bool created; /* the unfinished file is there, to be removed */
    bool force;   /* what is at `path` when it is finished may be replaced */
    vb_buf kv, table;
    uint64_t n_kv, n_tensors, alignment;
    uint64_t *ends; /* (n_tensors) where each tensor's data ends, from the start of the data section */
    size_t ends_cap;
    uint64_t size;    /* of the data section, without padding after the last tensor */
    uint64_t written; /* of it, so far */
    uint64_t current; /* tensor that the next byte belongs to */
    bool begun;
};

/* --------------------------------------------------------------------------------------- bytes in memory */

static int append(vb_buf *b, const void *data, size_t n, vb_error *err) {
    vb_buf_add(b, data, n);
    return vb_buf_done(b, "metadata", err);
}

static void store_le(uint8_t *p, uint64_t v, int n) {
    for (int k = 0; k < n; k++) p[k] = (uint8_t)(v >> 8 * k);
}

static uint64_t load_le64(const uint8_t *p) {
    uint64_t v = 0;
    for (int k = 0; k < 8; k++) v |= (uint64_t)p[k] << 8 * k;
    return v;
}

static int append_le(vb_buf *b, uint64_t v, int n, vb_error *err) {
    uint8_t raw[8];
    store_le(raw, v, n);
    return append(b, raw, (size_t)n, err);
}

static int append_string(vb_buf *b, const char *text, vb_error *err) {
    const size_t len = strlen(text);
    const int rc = append_le(b, len, 8, err);
    return rc ? rc : append(b, text, len, err);
}

/* --------------------------------------------------------------------------------------- opening, closing */

static int io_fail(const vb_gguf_writer *w, const char *what, vb_error *err) {
    const int e = errno;
    if (e == ENOSPC || e == EFBIG || e == EDQUOT) {
        return vb_fail(err, VB_ERR_IO, "%s: %s (the file needs %llu bytes); nothing was left behind", w->path,
                       strerror(e), (unsigned long long)vb_gguf_writer_bytes(w));
    }
    return vb_fail(err, VB_ERR_IO, "%s: cannot %s: %s", w->path, what, strerror(e));
}

int vb_gguf_writer_open(vb_gguf_writer **out, const char *path, bool force, vb_error *err) {
    int rc = VB_OK;
    void *memory = NULL;
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return vb_fail(err, VB_ERR_ARGUMENT, "%s is not a regular file: name a file to be created", path);
    if (exists && !force)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s exists: choose another name, or force it to be replaced",
                       path);
    if ((rc = vb_alloc(&memory, 1, sizeof(vb_gguf_writer), "a GGUF writer", err))) return rc;
    vb_gguf_writer *w = memory;
    w->fd = -1;
    w->alignment = DEFAULT_ALIGNMENT;
    w->force = force;
    const size_t len = strlen(path);
    if ((rc = vb_alloc((void **)&w->path, len + 1, 1, "a path", err))) goto cleanup;
    memcpy(w->path, path, len + 1);
    if ((rc = vb_whole_open(path, &w->part, &w->fd, err))) goto cleanup;
    w->created = true;
    *out = w;
    w = NULL;
cleanup:
    vb_gguf_writer_close(w);
    return rc;
}

void vb_gguf_writer_close(vb_gguf_writer *w) {
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->created) unlink(w->part);
    free(w->path);
    free(w->part);
    vb_buf_free(&w->kv);
    vb_buf_free(&w->table);
    free(w->ends);
    free(w);
}

/* --------------------------------------------------------------------------------------- metadata */

/* The file was validated when it was opened, so lengths may be trusted here. */
uint64_t vb_meta_raw_bytes(const vb_meta *m) {
    const vb_value_type elem = m->type == VB_VALUE_ARRAY ? m->elem : m->type;
    if (elem != VB_VALUE_STRING) return m->count * vb_value_size((uint32_t)elem);
    uint64_t at = 0;
    for (uint64_t i = 0; i < m->count; i++) at += 8 + load_le64(m->raw + at);
    return at;
}

int vb_gguf_writer_meta(vb_gguf_writer *w, const char *key, vb_value_type type, vb_value_type elem,
                        uint64_t count, const uint8_t *raw, uint64_t raw_bytes, vb_error *err) {
    int rc;
    if (w->begun) return vb_fail(err, VB_ERR_ARGUMENT, "%s: metadata comes before the data", key);
    if (raw_bytes > SIZE_MAX) return vb_fail(err, VB_ERR_MEMORY, "%s: too large for this machine", key);
    if ((rc = append_string(&w->kv, key, err))) return rc;
    if ((rc = append_le(&w->kv, (uint64_t)type, 4, err))) return rc;
    if (type == VB_VALUE_ARRAY) {
        if ((rc = append_le(&w->kv, (uint64_t)elem, 4, err))) return rc;
        if ((rc = append_le(&w->kv, count, 8, err))) return rc;
    }
    if ((rc = append(&w->kv, raw, (size_t)raw_bytes, err))) return rc;
    w->n_kv++;
    return VB_OK;
}

int vb_gguf_writer_meta_u32(vb_gguf_writer *w, const char *key, uint32_t value, vb_error *err) {
    uint8_t raw[4];
    store_le(raw, value, 4);
    return vb_gguf_writer_meta(w, key, VB_VALUE_U32, VB_VALUE_U32, 1, raw, 4, err);
}

int vb_gguf_writer_meta_copy(vb_gguf_writer *w, const vb_meta *m, vb_error *err) {
    return vb_gguf_writer_meta(w, m->key, m->type, m->elem, m->count, m->raw, vb_meta_raw_bytes(m), err);
}

/* --------------------------------------------------------------------------------------- tensors */

int vb_gguf_writer_align(vb_gguf_writer *w, uint64_t alignment, vb_error *err) {
    if (alignment < 8 || alignment > 1u << 20 || (alignment & (alignment - 1)) || w->n_tensors)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "alignment %llu is no power of two from 8 to 2^20, or came too late",
                       (unsigned long long)alignment);
    w->alignment = alignment;
    return VB_OK;
}

/* Bytes of a tensor; false when they do not fit 64 bits or a row is not whole blocks. */
static bool tensor_bytes(vb_type type, int n_dims, const uint64_t *dims, uint64_t *out) {
    const uint64_t values = (uint64_t)vb_type_block_values((int)type);
    uint64_t n = 1;
    if (!values || n_dims < 1 || n_dims > 4 || dims[0] % values) return false;
    for (int i = 0; i < n_dims; i++) {
        if (!vb_mul_u64(n, dims[i], &n)) return false;
    }
    return vb_mul_u64(n / values, (uint64_t)vb_type_block_bytes((int)type), out);
}

static uint64_t padding(uint64_t at, uint64_t alignment) {
    return (alignment - at % alignment) % alignment;
}

int vb_gguf_writer_tensor(vb_gguf_writer *w, const char *name, vb_type type, int n_dims, const uint64_t *dims,
                          vb_error *err) {
    int rc;
    uint64_t size, at, end;
    if (w->begun) return vb_fail(err, VB_ERR_ARGUMENT, "%s: the tensor table comes before the data", name);
    if (!tensor_bytes(type, n_dims, dims, &size))
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: rows of %llu values do not fit type %d", name,
                       n_dims > 0 ? (unsigned long long)dims[0] : 0ull, (int)type);
    if (!vb_add_u64(w->size, padding(w->size, w->alignment), &at) || !vb_add_u64(at, size, &end) ||
        end > (uint64_t)INT64_MAX / 2)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: the file would pass 2^62 bytes", name);
    rc = vb_grow((void **)&w->ends, &w->ends_cap, (size_t)w->n_tensors + 1, sizeof *w->ends, "tensors", err);
    if (rc) return rc;
    if ((rc = append_string(&w->table, name, err))) return rc;
    if ((rc = append_le(&w->table, (uint64_t)n_dims, 4, err))) return rc;
    for (int i = 0; i < n_dims; i++) {
        if ((rc = append_le(&w->table, dims[i], 8, err))) return rc;
    }
    if ((rc = append_le(&w->table, (uint64_t)type, 4, err))) return rc;
    if ((rc = append_le(&w->table, at, 8, err))) return rc;
    w->ends[w->n_tensors++] = end;
    w->size = end;
    return VB_OK;
}

static uint64_t head_bytes(const vb_gguf_writer *w) {
    const uint64_t n = HEADER_BYTES + w->kv.n + w->table.n;
    return n + padding(n, w->alignment);
}

uint64_t vb_gguf_writer_bytes(const vb_gguf_writer *w) {
    return head_bytes(w) + w->size + padding(w->size, w->alignment);
}

/* --------------------------------------------------------------------------------------- to the disk */

static int put(vb_gguf_writer *w, const void *data, size_t n, vb_error *err) {
    return vb_whole_write(w->fd, data, n) ? io_fail(w, "write", err) : VB_OK;
}

static int put_zeros(vb_gguf_writer *w, uint64_t n, vb_error *err) {
    static const uint8_t zeros[256];
    while (n) {
        const size_t piece = n < sizeof zeros ? (size_t)n : sizeof zeros;
        const int rc = put(w, zeros, piece, err);
        if (rc) return rc;
        n -= piece;
    }
    return VB_OK;
}

static int begin(vb_gguf_writer *w, vb_error *err) {
    int rc;
    uint8_t head[HEADER_BYTES] = {'G', 'G', 'U', 'F', 3};
    store_le(head + 8, w->n_tensors, 8);
    store_le(head + 16, w->n_kv, 8);
    w->begun = true;
    if ((rc = put(w, head, sizeof head, err))) return rc;
    if ((rc = put(w, w->kv.s, w->kv.n, err))) return rc;
    if ((rc = put(w, w->table.s, w->table.n, err))) return rc;
    return put_zeros(w, head_bytes(w) - HEADER_BYTES - w->kv.n - w->table.n, err);
}

/* Steps over tensors that are complete, and over the padding behind them. */
static int next_tensor(vb_gguf_writer *w, vb_error *err) {
    while (w->current < w->n_tensors && w->written == w->ends[w->current]) {
        w->current++;
        if (w->current == w->n_tensors) break;
        const uint64_t gap = padding(w->written, w->alignment);
        const int rc = put_zeros(w, gap, err);
        if (rc) return rc;
        w->written += gap;
    }
    return VB_OK;
}

int vb_gguf_writer_data(vb_gguf_writer *w, const void *data, size_t n, vb_error *err) {
    const uint8_t *at = data;
    int rc;
    if (!w->begun && (rc = begin(w, err))) return rc;
    while (n) {
        if ((rc = next_tensor(w, err))) return rc;
        if (w->current == w->n_tensors)
            return vb_fail(err, VB_ERR_ARGUMENT, "%s: more data than the tensor table announces", w->path);
        const uint64_t room = w->ends[w->current] - w->written;
        const size_t piece = n < room ? n : (size_t)room;
        if ((rc = put(w, at, piece, err))) return rc;
        w->written += piece;
        at += piece;
        n -= piece;
    }
    return VB_OK;
}

/* The rename is on disk only when the folder is. Best effort:
 * not every file system lets a folder be synced. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    const size_t len = slash ? (size_t)(slash - path) : 0;
    char *folder = malloc(len + 2);
    if (!folder) return;
    memcpy(folder, slash ? path : ".", len ? len : 1); /* "/x" lies in "/", "x" in "." */
    folder[len ? len : 1] = 0;
    const int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

int vb_gguf_writer_finish(vb_gguf_writer *w, vb_error *err) {
    int rc;
    if (!w->begun && (rc = begin(w, err))) return rc;
    if ((rc = next_tensor(w, err))) return rc;
    if (w->current < w->n_tensors)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: data ends at byte %llu of %llu", w->path,
                       (unsigned long long)w->written, (unsigned long long)w->size);
    if ((rc = put_zeros(w, padding(w->size, w->alignment), err))) return rc;
    if (fsync(w->fd) && errno != EINVAL) return io_fail(w, "flush", err);
    const int fd = w->fd;
    w->fd = -1;
    if (close(fd)) return io_fail(w, "close", err);
    if ((rc = vb_whole_place(w->part, w->path, w->force, err))) return rc;
    w->created = false;
    sync_folder(w->path);
    return VB_OK;
}
