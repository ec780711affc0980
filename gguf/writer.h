/* writer.h - writes GGUF files from front to back, without ever holding the weights.
 *
 *   vb_gguf_writer_open    an unfinished file beside OUT is created
 *   vb_gguf_writer_meta*   metadata, in the order of the file
 *   vb_gguf_writer_tensor  the tensor table, in the order of the data
 *   vb_gguf_writer_data    the data, front to back, in pieces of any size; padding is put between tensors
 *   vb_gguf_writer_finish  flushed to the disk, then renamed: OUT is whole or not there
 *   vb_gguf_writer_close   releases; an unfinished file is removed
 *
 * Written is GGUF version 3, little endian. Source: the GGUF specification (ggml, docs/gguf.md). */
#ifndef VB_GGUF_WRITER_H
#define VB_GGUF_WRITER_H

#include "base/base.h"

typedef struct vb_gguf_writer vb_gguf_writer;

/* Creates the unfinished file (base/whole.h). VB_ERR_ARGUMENT when `path` exists (unless `force`) or is no
 * regular file, VB_ERR_IO when the system refuses. */
int vb_gguf_writer_open(vb_gguf_writer **out, const char *path, bool force, vb_error *err);
void vb_gguf_writer_close(vb_gguf_writer *w);

/* One entry of metadata. The value is written as the file's own bytes: `elem` and `count` are written first
 * for VB_VALUE_ARRAY and ignored otherwise. */
int vb_gguf_writer_meta(vb_gguf_writer *w, const char *key, vb_value_type type, vb_value_type elem,
                        uint64_t count, const uint8_t *raw, uint64_t raw_bytes, vb_error *err);
int vb_gguf_writer_meta_u32(vb_gguf_writer *w, const char *key, uint32_t value, vb_error *err);
/* An entry of an opened file, byte for byte. */
int vb_gguf_writer_meta_copy(vb_gguf_writer *w, const vb_meta *m, vb_error *err);
/* Bytes of an entry's value in its file, from m->raw on. */
uint64_t vb_meta_raw_bytes(const vb_meta *m);

/* Where tensor data starts: a power of two, 32 if not called. Writes general.alignment only through the
 * functions above. Before the first tensor. */
int vb_gguf_writer_align(vb_gguf_writer *w, uint64_t alignment, vb_error *err);

/* One row of the tensor table. dims[0] is the row length, a multiple of the type's block. */
int vb_gguf_writer_tensor(vb_gguf_writer *w, const char *name, vb_type type, int n_dims, const uint64_t *dims,
                          vb_error *err);

/* The next n bytes of tensor data. The first call writes the header. VB_ERR_ARGUMENT for more than was
 * announced. */
int vb_gguf_writer_data(vb_gguf_writer *w, const void *bytes, size_t n, vb_error *err);

/* VB_ERR_ARGUMENT when data is missing, VB_ERR_IO when the system refuses. On success `path` is complete. */
int vb_gguf_writer_finish(vb_gguf_writer *w, vb_error *err);

/* Bytes of the whole file, known once the tensor table is. */
uint64_t vb_gguf_writer_bytes(const vb_gguf_writer *w);

#endif
