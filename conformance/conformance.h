/* conformance.h - golden vectors: making them, checking them, and finding where another engine first differs
 * (docs/vectors.md). Stands beside the commands that use it: above include/verbatim.h, and, for the two
 * levels that look inside (blocks, dots), above gguf/unpack.h and ref/kernels.h. Not part of libverbatim.a.
 *
 * A vector file is made as text in memory, always as a whole; making it again and comparing bytes is the
 * check. */
#ifndef VB_CONFORMANCE_H
#define VB_CONFORMANCE_H

#include "base/json.h"
#include "base/buf.h"

#define CF_VERSION 1
#define CF_LICENCE "CC0-1.0"

/* ----------------------------------------------------------------------------------------- text (text.c) */

/* What a line of a vector file is made of, appended to a buffer. */

/* A JSON value on one line, members in order; takes it over. NULL counts as out of memory. */
void cf_add_json(vb_buf *t, json_t *line);
/* Hex digits: bytes in order; numbers with the most significant digit first, without separators. */
void cf_add_bytes(vb_buf *t, const uint8_t *bytes, size_t n);
void cf_add_f32(vb_buf *t, const float *x, size_t n);
void cf_add_f64(vb_buf *t, const double *x, size_t n);
void cf_add_i16(vb_buf *t, const int16_t *x, size_t n);
/* "1,2,3" */
void cf_add_ids(vb_buf *t, const int32_t *x, size_t n);

/* XXH3-128 (canonical) as 32 hex digits; XXH3-64 as 16. */
void cf_hash128(const void *bytes, size_t n, char out[33]);
void cf_hash64(const void *bytes, size_t n, char out[17]);
/* The inverse of cf_add_f32 and cf_add_f64; false unless `hex` is exactly n numbers. */
bool cf_parse_f32(const char *hex, size_t n, float *out);
bool cf_parse_f64(const char *hex, size_t n, double *out);

/* A whole file; *bytes is allocated (free) and NUL-terminated. */
int cf_read_file(const char *path, char **bytes, size_t *n, vb_error *err);
/* Writes beside the file and renames. */
int cf_write_file(const char *path, const char *bytes, size_t n, vb_error *err);
/* "dir/name", allocated (free); `name` alone where it is absolute or dir is NULL. */
char *cf_path(const char *dir, const char *name);

/* ----------------------------------------------------------------------------------------- making vectors */

/* How a file is made again. The bytes must not depend on it (P1). */
typedef struct cf_config {
    const char *kernels; /* a name from vb_kernel_names(), or NULL: the best */
    int threads;
    int batch; /* tokens evaluated together; 0: all */
} cf_config;

/* Level 2 (blocks.c): blocks of every type and their values. */
int cf_make_blocks(vb_buf *out, vb_error *err);
/* Level 3 (dots.c): activations as integers, integer sums, products. Only config->kernels matters. */
int cf_make_dots(vb_buf *out, const cf_config *config, vb_error *err);
/* A part of a file: part `shard`, from 0, of `shards`; shards 0: all of it. The texts of all parts, one after
 * the other, are the file. There are at most as many parts as texts or prompts. */
typedef struct cf_part {
    int shard, shards;
} cf_part;

/* Level 1 (tokens.c): the ids of every text of dir/texts under the tokenizer of dir/model. `pre` as in
 * vb_tokenizer_params. */
int cf_make_tokens(vb_buf *out, const char *dir, const char *model, const char *pre, const char *texts,
                   cf_part part, vb_error *err);

/* Levels 4 and 5 (model.c). */
typedef struct cf_prompt {
    int32_t *tokens;
    size_t n;
} cf_prompt;

typedef struct cf_model_spec {
    const char *dir,
        *model; /* the model is dir/model; with dir NULL it is `model`, and recorded by that name */
    const char *command;
    vb_activations activations;
    vb_type kv;
    bool full; /* arrays in full; otherwise hash, first and last 8 values */
    int generate;
    const uint64_t *seeds;
    size_t n_seeds;
    const cf_prompt *prompts;
    size_t n_prompts;
    cf_part part; /* of the prompts */
} cf_model_spec;

int cf_make_model(vb_buf *out, const cf_model_spec *spec, const cf_config *config, vb_error *err);

/* Level 5 (traces.c): a full speculative trace (docs/trace.md) under q16 with a float32 cache. */
typedef struct cf_trace_spec {
    const char *dir, *target, *draft;
    const char *pre; /* as in vb_tokenizer_params */
    vb_accept accept;
    int gamma;
    uint64_t seed;
    double temperature;
    const int32_t *tokens;
    size_t n;
    size_t end; /* steps are made until the path has this many tokens; nothing stops it before */
} cf_trace_spec;

int cf_make_trace(vb_buf *out, const cf_trace_spec *spec, const cf_config *config, vb_error *err);

/* Makes a file again from what its own first lines say. */
int cf_remake(vb_buf *out, const char *dir, const char *name, const char *text, size_t len,
              const cf_config *config, vb_error *err);

/* ----------------------------------------------------------------------------------------- checking */

#define CF_MANIFEST "manifest.jsonl"

/* Writes dir/manifest.jsonl over every file below dir but those whose names begin with a dot (manifest.c). */
int cf_write_manifest(const char *dir, vb_error *err);

/* What was found about one file; several times about one file where its bytes differ in several ways. */
typedef struct cf_case {
    int entry;               /* line of the manifest, from 0; -1: about the manifest itself */
    const char *file, *kind; /* as in the manifest */
    bool ok;
    const char *text; /* what was done, or what is wrong and where; names the file */
} cf_case;

typedef struct cf_check_params {
    const char *dir;
    bool quick;        /* one configuration only */
    int shard, shards; /* this part, from 0, of so many; shards 0: all. Part i has the entries k with k mod
                          shards = i; every part hashes all files */
    void (*say)(void *user, const cf_case *found); /* may be NULL */
    bool (*cancel)(void *user);                    /* may be NULL */
    void *user;
} cf_check_params;

typedef struct cf_check_result {
    int files, failed, configurations; /* of this part */
    uint64_t bytes, remade;
    char manifest[33]; /* its hash: parts of one whole have the same */
} cf_check_result;

/* Hashes every file against the manifest, then makes every contract vector again under every set of kernels,
 * {1, 2, 4} threads and {1, 2, 3, 8, all} tokens per call, and compares oracle vectors within their bound.
 * Returns an error only when nothing could be checked; mismatches are counted in `result`. */
int cf_check(const cf_check_params *p, cf_check_result *result, vb_error *err);

/* Parts of it: dir/manifest.jsonl parsed and its own hash checked. *lines is an array of objects
 * (json_decref); `hash` may be NULL. */
int cf_read_manifest(const char *dir, json_t **lines, char hash[33], vb_error *err);
/* The bytes of one listed file against its entry;
 * the message says which byte and bit changed where one did. */
int cf_verify_file(const char *dir, const json_t *entry, vb_error *err);
/* The same for bytes in memory, which are as before afterwards. */
int cf_verify_bytes(const json_t *entry, char *bytes, size_t n, vb_error *err);

#endif
