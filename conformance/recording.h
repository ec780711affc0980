/* recording.h - recordings of a model read back, ours or another engine's, and compared (docs/vectors.md). */
#ifndef VB_CONFORMANCE_RECORDING_H
#define VB_CONFORMANCE_RECORDING_H

#include "conformance/conformance.h"

/* One array: in full, its first and last 8 values, or some of its elements. What is kept is as large as what
 * the file holds: `n` alone says nothing about memory. */
typedef struct cf_row {
    int prompt, position, layer; /* layer -1 outside of the layers */
    char op[16];
    int n, have; /* values of the array, and values known: n, 16, or as many as `element` has */
    int32_t
        *element; /* (have), ascending: where the known values stand; NULL: all, or the first and last 8 */
    double *x;    /* (have), finite */
    size_t line;
} cf_row;

typedef struct cf_tokens {
    int prompt;
    bool greedy;
    uint64_t seed; /* of sampled ones */
    size_t n, line;
    int32_t *id;
    bool prompt_itself;
    double *margin;  /* (n), at least 0 or NaN: not known; or NULL */
    double *logprob; /* (n); of a prompt (n - 1), the first of token 1; finite or NaN: not known; or NULL */
} cf_tokens;

typedef struct cf_recording {
    char *path;
    json_t *head;
    cf_row *rows;
    size_t n_rows;
    cf_tokens *prompts, *outputs;
    size_t n_prompts, n_outputs;
} cf_recording;

/* Reads a recording. Malformed or cut off, an array or output that is there twice: VB_ERR_FORMAT, naming the
 * line. */
int cf_recording_open(cf_recording *r, const char *path, vb_error *err);
/* The same from memory; `path` is what messages call it. */
int cf_recording_read(cf_recording *r, const char *path, const char *text, size_t len, vb_error *err);
void cf_recording_close(cf_recording *r);
/* Of two pointers to cf_row pointers, for qsort: by prompt, position, layer and operation. */
int cf_row_order(const void *a, const void *b);

typedef enum cf_tolerance { CF_BITWISE = 0, CF_F32, CF_F16, CF_Q8, CF_GIVEN } cf_tolerance;

typedef struct cf_bounds {
    double row;      /* largest |ours - theirs| in an array, over the largest |ours| in it */
    double kl;       /* of one position's next-token law, nats */
    double near_tie; /* a greedy step with a smaller margin does not count */
    double logprob;  /* largest difference of a log-probability, nats */
} cf_bounds;

/* "bitwise", "f32", "f16", "q8"; false for anything else. */
bool cf_tolerance_of(const char *name, cf_tolerance *out, cf_bounds *bounds);

typedef struct cf_divergence {
    bool found, near_tie;
    int level, prompt, position, layer, element; /* layer -1: none; element -1: none */
    char what[24];
    double ours, theirs;
    int64_t ulp; /* float32 steps between them; 0 for tokens */
    size_t line_ours, line_theirs;
} cf_divergence;

typedef struct cf_comparison {
    bool pass;
    cf_divergence first;      /* beyond the tolerance, in the order of computation */
    cf_divergence first_bits; /* the first that differs at all */
    size_t rows, rows_beyond; /* arrays with values known in both; of these beyond the tolerance */
    size_t rows_missing;      /* of OURS, without a value to compare in THEIRS */
    double worst_row;         /* relative difference */
    size_t positions;         /* with logits in full in both */
    double mean_kl, max_kl;
    size_t top1, top5;       /* positions whose best id, and whose set of 5 best, agree */
    size_t steps, near_ties; /* greedy tokens compared, and differences that are near ties */
    size_t steps_missing;    /* tokens of OURS that were not compared: not there, or after a difference */
    size_t logprobs;         /* compared */
    size_t logprobs_missing; /* of OURS, not compared: not known in THEIRS, or after a difference */
    double worst_logprob;    /* difference */
} cf_comparison;

/* What a comparison looks at, as it goes: for reports. Each may be NULL. */
typedef struct cf_watch {
    void *user;
    /* Arrays of ours, and theirs or NULL where nothing was compared; kl is -1 but for logits in full. */
    void (*array)(void *user, const cf_row *ours, const cf_row *theirs, double relative, double kl,
                  bool good);
    /* Tokens and their log-probabilities, of a prompt or an output, and how many of each were compared;
     * d->found where they differ. */
    void (*tokens)(void *user, const cf_tokens *ours, size_t tokens, size_t logprobs, const cf_divergence *d);
} cf_watch;

/* Compares theirs with ours; `watch` may be NULL. VB_ERR_ARGUMENT when they are of different models or
 * prompts or have nothing in common. */
int cf_compare(const cf_recording *ours, const cf_recording *theirs, cf_tolerance t, const cf_bounds *b,
               const cf_watch *watch, cf_comparison *out, vb_error *err);

/* Levels 1 to 3, from memory: files of one kind (tokens, blocks, dots), line by line in OURS' order. In *out
 * `position` is the number of the line after the head, from 0, `element` the place in its array. Errors as
 * above; those of a malformed line are VB_ERR_FORMAT. */
int cf_compare_lines(const char *ours, const char *a, size_t n, const char *theirs, const char *b, size_t m,
                     cf_tolerance t, const cf_bounds *bounds, cf_comparison *out, vb_error *err);

/* Two files of any kind. */
int cf_compare_files(const char *ours, const char *theirs, cf_tolerance t, const cf_bounds *b,
                     const cf_watch *watch, cf_comparison *out, vb_error *err);

/* float32 numbers from one to the other; 0 if both are zeros. */
int64_t cf_float_steps(double x, double y);

#endif
