/* gguf_writer.h - GGUF files made in memory, for tests: good ones, deliberately broken ones, and small
 * complete models.
 *
 * Everything is deterministic: the numbers come from a PRNG of our own, normal deviates are sums of integers,
 * and no libm function takes part. The same specification gives the same bytes on every machine.
 *
 *   gw *w = gw_new();
 *   gw_str(w, "general.architecture", "llama");
 *   gw_tensor(w, "x.weight", VB_F32, 2, (uint64_t[]){32, 4}, data, 512);
 *   size_t n;
 *   uint8_t *bytes = gw_finish(w, &n);   // malloc'ed; w stays usable, change something and finish again
 *   gw_free(w);
 *
 * Running out of memory or of disk in here ends the program: these are test helpers. */
#ifndef GGUF_WRITER_H
#define GGUF_WRITER_H

#include "include/verbatim.h"

typedef struct gw_tensor_entry {
    char *name;
    uint64_t name_len; /* as written */
    size_t name_bytes; /* bytes of name that are written */
    uint32_t n_dims;   /* as written; at most 8 dims are */
    uint64_t dims[8];
    uint32_t type;
    uint64_t offset; /* set by gw_tensor to the next free aligned place */
    uint8_t *data;
    uint64_t bytes;
} gw_tensor_entry;

/* All fields may be changed before gw_finish to plant a defect. */
typedef struct gw {
    char magic[4];
    uint32_t version;
    uint64_t alignment;       /* of the data section; gw_alignment also writes the key */
    uint64_t n_kv, n_tensors; /* as written in the header; kept in step by the functions below */
    uint8_t *kv;              /* the key-value section, bytes as they go to the file */
    size_t kv_size, kv_cap;
    gw_tensor_entry *tensors;
    size_t tensors_len, tensors_cap;
    uint64_t next_offset;
    /* Set by gw_finish: byte offsets in the file. */
    uint64_t kv_at, tensors_at, data_at;
} gw;

gw *gw_new(void);
void gw_free(gw *w);
uint8_t *gw_finish(gw *w, size_t *size);
/* gw_finish, written to a file. */
void gw_write(gw *w, const char *path);
/* Any bytes to a file. */
void gw_write_bytes(const char *path, const void *bytes, size_t size);
/* Creates an empty file of a new name in $TMPDIR or /tmp; `path` holds at least 256 bytes. */
void gw_temp_path(char *path);

/* A small file with a value of every type ("t.u8", ... 17 entries in all) and three tensors: "a.weight", F32
 * (4, 32), values 0, 1, 2, ...; "b.weight", Q8_0, 64 values; "c.weight", F16, four dimensions. */
gw *gw_sample(void);

/* Key-value pairs. */
void gw_u8(gw *w, const char *key, uint8_t v);
void gw_u16(gw *w, const char *key, uint16_t v);
void gw_u32(gw *w, const char *key, uint32_t v);
void gw_i32(gw *w, const char *key, int32_t v);
void gw_u64(gw *w, const char *key, uint64_t v);
void gw_i64(gw *w, const char *key, int64_t v);
void gw_f32(gw *w, const char *key, float v);
void gw_f64(gw *w, const char *key, double v);
void gw_bool(gw *w, const char *key, bool v);
void gw_str(gw *w, const char *key, const char *v);
void gw_strn(gw *w, const char *key, const char *v, size_t len);
/* Little-endian elements of a fixed-size type, `size` bytes in all. */
void gw_array(gw *w, const char *key, vb_value_type elem, const void *data, uint64_t count, size_t size);
void gw_array_str(gw *w, const char *key, const char *const *v, size_t count);
void gw_alignment(gw *w, uint32_t alignment);
/* One entry from raw pieces: the value is written as it is. */
void gw_raw(gw *w, const char *key, size_t key_len, uint32_t type, const void *value, size_t size);
/* Bytes appended to the key-value section as they are; n_kv is left alone. */
void gw_raw_bytes(gw *w, const void *bytes, size_t size);

/* A tensor; the data is copied (zeros if NULL). */
void gw_tensor(gw *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
               const void *data, uint64_t bytes);

/* -------------------------------------------------------------------------------------------- numbers */

/* SplitMix64 [Steele, Lea and Flood 2014]. Zero is a good seed too. */
typedef struct gw_rng {
    uint64_t state;
} gw_rng;

uint64_t gw_next(gw_rng *r);
/* Mean 0, standard deviation 1: the sum of 12 uniform 16-bit integers [Irwin-Hall], exact in float32. */
float gw_normal(gw_rng *r);

/* Rounds n values to `type`: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 (plain rounding to nearest). `out`
 * holds n / block values * block bytes. False for other types, and when n is not whole blocks. */
bool gw_quantize(vb_type type, const float *x, size_t n, uint8_t *out);
/* Random blocks of any supported type, n values with mean about 0 and standard deviation about `std`. For
 * K-quants and the other types that need a clever quantiser, random bits are as good a weight as any. False
 * as above. */
bool gw_random_blocks(vb_type type, gw_rng *r, float std, size_t n, uint8_t *out);

/* --------------------------------------------------------------------------------------------- models */

/* A complete small model with seeded weights. Zero-initialise and set what matters; 0 or NULL means the
 * default. Weights depend on (seed, tensor name) alone: two models of one seed and other layer counts share
 * their first layers, which makes the shorter one a natural draft of the longer one. */
typedef struct gw_model_spec {
    /* "llama" (default), "qwen2" (biases), "qwen3" (q and k norms), "gemma3" (post-norms, windows), "phi3"
     * (fused tensors) */
    const char *arch;
    int dim;           /* 64 */
    int layers;        /* 2 */
    int heads;         /* 4 */
    int kv_heads;      /* = heads */
    int head_dim;      /* dim/heads */
    int ffn;           /* 2*dim */
    int n_ctx;         /* 512 */
    const char *vocab; /* "spm" (default for llama) or "bpe" (default for the others) */
    int vocab_size;    /* 0: what the vocabulary comes to (about 400). More: padded with unused tokens */
    int vocab_variant; /* models of equal vocab, vocab_size and variant share one vocabulary, byte for byte;
                        * from 100 on there are also words of digits, signs and spaces */
    const char *pre;   /* tokenizer.ggml.pre of a "bpe" vocabulary: "qwen2" */
    const char *chat_template; /* none */
    uint64_t seed;
    vb_type type;       /* of all matrices: VB_F32 (default), any type that is supported */
    bool tied;          /* no output.weight */
    float rope_base;    /* 10000 */
    float rope_linear;  /* > 0: {arch}.rope.scaling.type = "linear" with this factor */
    bool rope_freqs;    /* a rope_freqs.weight tensor, factors 1..8 */
    int rot;            /* values of a head that RoPE turns: all */
    int window;         /* attention.sliding_window: none */
    int window_pattern; /* attention.sliding_window_pattern: none */
    float softcap;      /* final_logit_softcapping: none */
    int experts;        /* of each layer, in architectures that have them; their hidden size is `ffn` */
    int experts_used;   /* 2 */
    int long_from;      /* phi3: longrope, with the long table for contexts of more positions */
    float logit_scale;  /* standard deviation of the logits, about: 4 */
    float branch; /* size of what a layer adds, relative to the embedding: 1. Smaller: layers matter less */
    /* Every weight w becomes w + noise*std(w)*n, n normal with a seed of its own: a draft whose agreement
     * with the model without noise falls as noise grows. For the types that gw_quantize knows. */
    float noise;
    uint64_t noise_seed;
} gw_model_spec;

/* Returns 0, or VB_ERR_ARGUMENT when the type does not fit the dimensions (rows must be whole blocks). */
int gw_tiny_model(const char *path, const gw_model_spec *spec);
/* The writer before it is finished, for tests that break something; NULL as above. */
gw *gw_tiny_writer(const gw_model_spec *spec);

/* other_vocab.c: the byte-level BPE model `in` with the first `merges` of its merges alone, its ids counting
 * backwards. Returns 0, or -1. */
int gw_other_vocab(const char *in, const char *out, int merges);

#endif
