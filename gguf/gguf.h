/* gguf.h - inside of a vb_gguf, and the parser's parts. Internal; programs use verbatim.h.
 *
 *   gguf.c    opening, mapping, split models, closing
 *   parse.c   header, metadata and tensor table of one file, validated
 *   meta.c    values of metadata entries
 *
 * The file format, little endian throughout:
 *
 *   "GGUF"  u32 version  u64 n_tensors  u64 n_entries
 *   n_entries times:  string key, u32 type, value
 *   n_tensors times:  string name, u32 n_dims, n_dims x u64, u32 type, u64 offset
 *   zeros up to a multiple of general.alignment (32)
 *   tensor data, each tensor at its offset from here
 *
 *   string = u64 length, bytes;  array = u32 element type, u64 count, elements
 *
 * Source: the GGUF specification (ggml, docs/gguf.md). What is refused beyond it: docs/formats.md. */
#ifndef VB_GGUF_H
#define VB_GGUF_H

#include "gguf/cursor.h"
#include "gguf/names.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "verbatim reads weights in place and needs a little-endian machine"
#endif

/* Limits, each far above what models in use need. docs/formats.md lists them. */
#define VB_GGUF_MAX_ENTRIES   UINT64_C(100000)
#define VB_GGUF_MAX_TENSORS   UINT64_C(1000000)
#define VB_GGUF_MAX_KEY       UINT64_C(65535)
#define VB_GGUF_MAX_NAME      UINT64_C(64) /* of a tensor */
#define VB_GGUF_MAX_DIM       (UINT64_C(1) << 40)
#define VB_GGUF_MAX_ALIGNMENT (UINT64_C(1) << 20)
#define VB_GGUF_MAX_SPLITS    UINT64_C(1000)

/* Metadata of one file. */
typedef struct vb_metas {
    vb_meta *entry;
    uint32_t *
        *string_at; /* (n) for an array of strings, where each begins, relative to its raw; NULL otherwise */
    size_t n, cap;
    vb_names names;
} vb_metas;

/* One file of a model. */
typedef struct vb_part {
    char *path;
    uint8_t *data;
    uint64_t size;
    bool mapped; /* else allocated */
    int version;
} vb_part;

struct vb_gguf {
    vb_part *parts;
    int n_parts;
    vb_metas metas; /* of the first part */
    vb_tensor *tensors;
    size_t n_tensors, tensors_cap;
    vb_names tensor_names;
    vb_arena arena;
};

/* Opens a model in memory, for tests and fuzzing: as vb_gguf_open on a file of these bytes (they are copied)
 * that is not split. `name` stands for the path in messages. */
int vb_gguf_open_memory(vb_gguf **out, const void *bytes, size_t size, const char *name, vb_error *err);

/* Tells the system that the tensors will be read soon, in order. A hint; never fails. */
void vb_gguf_prefetch(const vb_gguf *g);
/* Tells the system that these n bytes of the tensors are not needed for now: where the file is mapped they
 * leave this process's memory, and come back when they are read again. A hint; never fails. */
/* For vb_gguf_file_at: a part from when it is mapped to when it is unmapped. */
void vb_mapped_add(const vb_part *part);
void vb_mapped_remove(const vb_part *part);
void vb_gguf_release(const vb_gguf *g, const uint8_t *from, size_t n);

/* parse.c: reads part `split` of g: its metadata into `metas` (zero-initialised), its tensors appended to
 * g's. Everything is validated except names across parts. Names are kept in g's arena. */
int vb_gguf_parse(vb_gguf *g, int split, vb_metas *metas, vb_error *err);
void vb_metas_free(vb_metas *m);

/* meta.c: bytes of a fixed-size value or array element; 0 for strings, arrays and unknown numbers. */
uint64_t vb_value_size(uint32_t type);
const vb_meta *vb_metas_find(const vb_metas *m, const char *key);

#endif
