/* gguf.c - opening model files: mapping, split models, the public accessors. */
#include "gguf/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

/* ---------------------------------------------------------------------------------------------- one file */

static int copy_path(const char *path, char **out, vb_error *err) {
    void *copy = NULL;
    const size_t size = strlen(path) + 1;
    const int code = vb_alloc(&copy, size, 1, "a path", err);
    if (code) return code;
    memcpy(copy, path, size);
    *out = copy;
    return VB_OK;
}

/* Who gives a name without ".gguf" may have another program's habit: a folder of weights, or the name of a
 * repository from which that program downloads. */
static int cannot_open(const char *path, int why, vb_error *err) {
    const size_t n = strlen(path);
    const bool names_file = n >= 5 && !strcmp(path + n - 5, ".gguf");
    return vb_fail(err, VB_ERR_IO, "%s: cannot open: %s%s", vb_short_path(path), strerror(why),
                   why != ENOENT || names_file
                       ? ""
                       : "; a model is a .gguf file on this machine, and nothing is downloaded");
}

/* Maps a file read-only. The descriptor is closed again at once. */
static int map_file(vb_part *part, const char *path, vb_error *err) {
    int code = VB_OK;
    struct stat st;
    /* O_NONBLOCK: opening a pipe must not wait for a writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cannot_open(path, errno, err);
    if (fstat(fd, &st)) {
        code = vb_fail(err, VB_ERR_IO, "%s: cannot stat: %s", vb_short_path(path), strerror(errno));
        goto cleanup;
    }
    if (!S_ISREG(st.st_mode)) {
        code =
            vb_fail(err, VB_ERR_IO, "%s: %s", vb_short_path(path),
                    S_ISDIR(st.st_mode) ? "this is a folder: name a .gguf file in it" : "not a regular file");
        goto cleanup;
    }
    if (st.st_size <= 0) {
        code = vb_fail(err, VB_ERR_FORMAT, "%s: byte 0, magic: the file is empty; is the download complete?",
                       vb_short_path(path));
        goto cleanup;
    }
    if ((uintmax_t)st.st_size > SIZE_MAX / 2) {
        code = vb_fail(err, VB_ERR_UNSUPPORTED, "%s: %jd bytes do not fit into this machine's address space",
                       vb_short_path(path), (intmax_t)st.st_size);
        goto cleanup;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        code = vb_fail(err, VB_ERR_IO, "%s: cannot map: %s", vb_short_path(path), strerror(errno));
        goto cleanup;
    }
    part->data = data;
    part->size = (uint64_t)st.st_size;
    part->mapped = true;
    vb_mapped_add(part);
cleanup:
    close(fd);
    return code;
}

static int open_part(vb_part *part, const char *path, vb_error *err) {
    const int code = copy_path(path, &part->path, err);
    return code ? code : map_file(part, path, err);
}

static void close_part(vb_part *part) {
    if (part->mapped) {
        vb_mapped_remove(part);
        munmap(part->data, (size_t)part->size);
    } else {
        free(part->data);
    }
    free(part->path);
}

/* ---------------------------------------------------------------------------------------------- split models
 *
 * Parts are named PREFIX-00001-of-000NN.gguf. Each has split.no (from 0), split.count and split.tensors.count
 * (of all parts together); the first one has the model's metadata. */

typedef struct split_info {
    uint64_t no, count, tensors;
} split_info;

/* An unsigned integer entry; `absent` if there is none. */
static int get_count(const vb_metas *m, const char *path, const char *key, uint64_t absent, uint64_t *out,
                     vb_error *err) {
    const vb_meta *e = vb_metas_find(m, key);
    *out = absent;
    if (e && (e->type == VB_VALUE_ARRAY || !vb_meta_u64(e, 0, out))) {
        return vb_fail(err, VB_ERR_FORMAT, "%s: byte %" PRIu64 ", metadata '%s': must be a count",
                       vb_short_path(path), e->offset, key);
    }
    return VB_OK;
}

static int read_split_info(const vb_metas *m, const char *path, split_info *s, vb_error *err) {
    int code = get_count(m, path, "split.no", 0, &s->no, err);
    if (!code) code = get_count(m, path, "split.count", 1, &s->count, err);
    if (!code) code = get_count(m, path, "split.tensors.count", 0, &s->tensors, err);
    if (code) return code;
    if (s->count == 0) s->count = 1;
    if (s->count > VB_GGUF_MAX_SPLITS || s->no >= s->count) {
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: metadata 'split.no', 'split.count': part %" PRIu64 " of %" PRIu64
                       " makes no sense (at most %" PRIu64 " parts)",
                       vb_short_path(path), s->no, s->count, VB_GGUF_MAX_SPLITS);
    }
    return VB_OK;
}

enum { SUFFIX = 20 }; /* strlen("-00001-of-00005.gguf") */

/* Writes the ending of part `no` (from 0) of `count`. */
static void part_suffix(char suffix[32], uint64_t no, uint64_t count) {
    snprintf(suffix, 32, "-%05u-of-%05u.gguf", (unsigned)(no + 1), (unsigned)count);
}

/* The path of part `to`, given that of part `from`; NULL when it does not end as it should, or without
 * memory. */
static char *part_path(const char *path, uint64_t from, uint64_t to, uint64_t count) {
    char suffix[32];
    const size_t len = strlen(path);
    part_suffix(suffix, from, count);
    if (len < SUFFIX || strcmp(path + len - SUFFIX, suffix)) return NULL;
    char *other = malloc(len + 1);
    if (!other) return NULL;
    part_suffix(suffix, to, count);
    memcpy(other, path, len - SUFFIX);
    memcpy(other + len - SUFFIX, suffix, SUFFIX + 1);
    return other;
}

static int refuse_later_part(const char *path, const split_info *s, vb_error *err) {
    char *first = part_path(path, s->no, 0, s->count);
    char suffix[32];
    part_suffix(suffix, 0, s->count);
    const int code = vb_fail(
        err, VB_ERR_ARGUMENT, "%s: this is part %" PRIu64 " of %" PRIu64 " of a model; open the first%s%s",
        vb_short_path(path), s->no + 1, s->count, first ? ", " : ", the file that ends in ",
        first ? vb_short_path(first) : suffix);
    free(first);
    return code;
}

/* What a later part says about itself must agree with the first. */
static int check_part(const vb_gguf *g, const vb_metas *m, const char *path, uint64_t no,
                      const split_info *first, vb_error *err) {
    split_info s;
    const int code = read_split_info(m, path, &s, err);
    if (code) return code;
    if (s.no != no || s.count != first->count || s.tensors != first->tensors) {
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: metadata 'split.*': says part %" PRIu64 " of %" PRIu64 " with %" PRIu64
                       " tensors in all, the first part expects %" PRIu64 " of %" PRIu64 " with %" PRIu64,
                       vb_short_path(path), s.no + 1, s.count, s.tensors, no + 1, first->count,
                       first->tensors);
    }
    const vb_meta *mine = vb_metas_find(m, "general.architecture");
    const vb_meta *theirs = vb_metas_find(&g->metas, "general.architecture");
    const char *a, *b;
    size_t a_len, b_len;
    if (mine && theirs && mine->type == VB_VALUE_STRING && vb_meta_string(g, mine, 0, &a, &a_len) &&
        vb_meta_string(g, theirs, 0, &b, &b_len) && (a_len != b_len || memcmp(a, b, a_len))) {
        return vb_fail(err, VB_ERR_FORMAT, "%s: metadata 'general.architecture': not that of the first part",
                       vb_short_path(path));
    }
    return VB_OK;
}

/* Opens and reads part `no`, and makes sure that it belongs to the others. */
static int add_part(vb_gguf *g, uint64_t no, const split_info *first, vb_error *err) {
    vb_metas metas = {0};
    vb_part *part = &g->parts[no];
    char suffix[32];
    char *path = part_path(g->parts[0].path, 0, no, first->count);
    int code;
    if (!path) {
        part_suffix(suffix, 0, first->count);
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: this is the first of %" PRIu64
                       " parts; its name must end in %s for the others to be found",
                       vb_short_path(g->parts[0].path), first->count, suffix);
    }
    g->n_parts++; /* closed with the rest, whatever happens */
    code = open_part(part, path, err);
    if (!code) code = vb_gguf_parse(g, (int)no, &metas, err);
    if (!code) code = check_part(g, &metas, path, no, first, err);
    vb_metas_free(&metas);
    free(path);
    return code;
}

static int open_other_parts(vb_gguf *g, vb_error *err) {
    split_info s;
    int code = read_split_info(&g->metas, g->parts[0].path, &s, err);
    if (code || s.count == 1) return code;
    if (s.no != 0) return refuse_later_part(g->parts[0].path, &s, err);
    if (!g->parts[0].mapped)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: a split model in memory", g->parts[0].path);
    void *parts = NULL;
    code = vb_alloc(&parts, (size_t)s.count, sizeof *g->parts, "parts of a model", err);
    if (code) return code;
    memcpy(parts, g->parts, sizeof *g->parts);
    free(g->parts);
    g->parts = parts;
    for (uint64_t i = 1; i < s.count; i++) {
        code = add_part(g, i, &s, err);
        if (code) return code;
    }
    if (g->n_tensors != s.tensors) {
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: metadata 'split.tensors.count': %" PRIu64 ", but the parts hold %zu",
                       vb_short_path(g->parts[0].path), s.tensors, g->n_tensors);
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------------------------------- opening */

/* g->parts[0] is filled in. Reads it and whatever belongs to it. */
static int read_model(vb_gguf *g, vb_error *err) {
    int code = vb_gguf_parse(g, 0, &g->metas, err);
    if (!code) code = open_other_parts(g, err);
    if (code) return code;
    size_t clash = 0;
    code = vb_names_build(&g->tensor_names, g->tensors, g->n_tensors, sizeof *g->tensors, &clash, err);
    if (code == VB_ERR_FORMAT) {
        const vb_tensor *t = &g->tensors[clash];
        return vb_fail(err, code, "%s: byte %" PRIu64 ", tensor '%s', name: occurs twice",
                       vb_short_path(g->parts[t->split].path), t->offset, t->name);
    }
    return code;
}

static int new_gguf(vb_gguf **out, vb_error *err) {
    void *g = NULL, *parts = NULL;
    int code = vb_alloc(&g, 1, sizeof(vb_gguf), "a GGUF file", err);
    if (!code) code = vb_alloc(&parts, 1, sizeof(vb_part), "a GGUF file", err);
    if (code) {
        free(g);
        return code;
    }
    *out = g;
    (*out)->parts = parts;
    (*out)->n_parts = 1;
    return VB_OK;
}

int vb_gguf_open(vb_gguf **out, const char *path, vb_error *err) {
    vb_begin(err);
    vb_gguf *g = NULL;
    int code = new_gguf(&g, err);
    if (!code) code = open_part(&g->parts[0], path, err);
    if (!code) code = read_model(g, err);
    if (code) {
        vb_gguf_close(g);
        return code;
    }
    *out = g;
    return VB_OK;
}

int vb_gguf_open_memory(vb_gguf **out, const void *bytes, size_t size, const char *name, vb_error *err) {
    vb_gguf *g = NULL;
    int code = new_gguf(&g, err);
    if (!code) code = copy_path(name, &g->parts[0].path, err);
    if (!code) {
        void *data = NULL;
        if (posix_memalign(&data, 64, size ? size : 1)) code = vb_fail(err, VB_ERR_MEMORY, "out of memory");
        if (data && size) memcpy(data, bytes, size);
        g->parts[0].data = data;
        g->parts[0].size = size;
    }
    if (!code) code = read_model(g, err);
    if (code) {
        vb_gguf_close(g);
        return code;
    }
    *out = g;
    return VB_OK;
}

void vb_gguf_close(vb_gguf *g) {
    if (!g) return;
    for (int i = 0; i < g->n_parts; i++) close_part(&g->parts[i]);
    free(g->parts);
    vb_metas_free(&g->metas);
    free(g->tensors);
    vb_names_free(&g->tensor_names);
    vb_arena_free(&g->arena);
    free(g);
}

void vb_gguf_prefetch(const vb_gguf *g) {
    for (int i = 0; i < g->n_parts; i++) {
        const vb_part *part = &g->parts[i];
        if (part->mapped) posix_madvise(part->data, (size_t)part->size, POSIX_MADV_WILLNEED);
    }
}

/* Whole pages only: what lies around the range may be in use. */
void vb_gguf_release(const vb_gguf *g, const uint8_t *from, size_t n) {
#ifdef MADV_DONTNEED
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < g->n_parts; i++) {
        const vb_part *part = &g->parts[i];
        if (!part->mapped || from < part->data || (uint64_t)(from - part->data) > part->size ||
            n > part->size - (uint64_t)(from - part->data))
            continue;
        const uintptr_t begin = ((uintptr_t)from + page - 1) / page * page;
        const uintptr_t end = ((uintptr_t)from + n) / page * page;
        if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
#else
    (void)g, (void)from, (void)n;
#endif
}

/* ---------------------------------------------------------------------------------------------- accessors */

const char *vb_gguf_path(const vb_gguf *g) {
    return g->parts[0].path;
}

int vb_gguf_version(const vb_gguf *g) {
    return g->parts[0].version;
}

int vb_gguf_splits(const vb_gguf *g) {
    return g->n_parts;
}

uint64_t vb_gguf_file_bytes(const vb_gguf *g) {
    uint64_t sum = 0;
    for (int i = 0; i < g->n_parts; i++) sum += g->parts[i].size;
    return sum;
}

size_t vb_gguf_meta_count(const vb_gguf *g) {
    return g->metas.n;
}

const vb_meta *vb_gguf_meta(const vb_gguf *g, size_t i) {
    return i < g->metas.n ? &g->metas.entry[i] : NULL;
}

const vb_meta *vb_gguf_find(const vb_gguf *g, const char *key) {
    return vb_metas_find(&g->metas, key);
}

size_t vb_gguf_tensor_count(const vb_gguf *g) {
    return g->n_tensors;
}

const vb_tensor *vb_gguf_tensor(const vb_gguf *g, size_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const vb_tensor *vb_gguf_find_tensor(const vb_gguf *g, const char *name) {
    return vb_names_find(&g->tensor_names, name);
}

uint64_t vb_gguf_hash(const vb_gguf *g) {
    enum { SAMPLE = 4096 };
    uint64_t h = 0;
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        const size_t n = t->bytes < SAMPLE ? (size_t)t->bytes : (size_t)SAMPLE;
        uint8_t head[5 * 8];
        for (size_t j = 0; j < sizeof head; j++) {
            const uint64_t word = j < 8 ? (uint64_t)t->type : t->dims[j / 8 - 1];
            head[j] = (uint8_t)(word >> 8 * (j % 8));
        }
        h = XXH3_64bits_withSeed(t->name, strlen(t->name), h);
        h = XXH3_64bits_withSeed(head, sizeof head, h);
        h = XXH3_64bits_withSeed(t->data, n, h);
    }
    return h;
}
