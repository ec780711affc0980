/* tokenizer.h - what the files of this folder share. Internal; docs/tokenizers.md states every rule with its
 * reason.
 *
 *   load.c         a GGUF file's tables, validated, into a vb_tokenizer
 *   tokenizer.c    the public functions: text to ids and back, questions about ids
 *   specials.c     finding special tokens in text
 *   spm.c, bpe.c   the two merge algorithms
 *   pretokenize.c  cutting text into words before BPE; patterns.c holds the published patterns
 *   nfc.c          Unicode normalisation
 *   compat.c       may this draft propose tokens to that target?
 *   translate.c    ids of one vocabulary as ids of another
 *   prompt.c       rendered chat templates: special tokens in the template's bytes only
 */
#ifndef VB_TOKENIZER_H
#define VB_TOKENIZER_H

#include "base/buf.h"
#include "base/utf8.h"

/* Longest text that vb_tokenize takes, bytes. SPM writes a space as 3 bytes, NFC may triple a text: 32-bit
 * offsets hold. */
#define VB_TEXT_LIMIT ((size_t)1 << 30)
/* Longest vocabulary entry, bytes. */
#define VB_TOKEN_LIMIT ((size_t)1 << 16)

/* ----------------------------------------------------------------------------------------- growing arrays */

typedef struct vb_ids {
    int32_t *v;
    size_t n, cap;
} vb_ids;

static inline int vb_ids_push(vb_ids *ids, int32_t id, vb_error *err) {
    if (ids->n == ids->cap) {
        int rc = vb_grow((void **)&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, "token ids", err);
        if (rc) return rc;
    }
    ids->v[ids->n++] = id;
    return VB_OK;
}

/* ----------------------------------------------------------------------------------------- heap.c */

/* A binary min-heap of (key, tag). The key orders; ties cannot matter because keys hold the position. */
typedef struct vb_heap_item {
    uint64_t key;
    uint32_t tag;
} vb_heap_item;

typedef struct vb_heap {
    vb_heap_item *v;
    size_t n, cap;
} vb_heap;

int vb_heap_push(vb_heap *h, vb_heap_item x, vb_error *err);
/* Heap order for n items written in any order. */
void vb_heapify(vb_heap *h);
vb_heap_item vb_heap_pop(vb_heap *h); /* h->n > 0 */

/* ----------------------------------------------------------------------------------------- pretokenize.c */

typedef struct vb_pre_def {
    const char *name;
    const char *also[4];     /* other names that files carry for the same rules */
    const char *patterns[6]; /* applied one after the other, each to the pieces that the one before left */
    int bytes_from;          /* patterns from this one on see bytes, not characters; 0: none does */
    bool nfc;                /* the published tokenizer normalises to NFC first */
    bool whole_words;        /* a word that is a vocabulary entry is taken whole ("ignore_merges") */
    bool add_bos;            /* when tokenizer.ggml.add_bos_token is absent */
} vb_pre_def;

extern const vb_pre_def vb_pre_defs[]; /* ends with name == NULL */

typedef struct vb_pre vb_pre;           /* compiled patterns, immutable */
typedef struct vb_splitter vb_splitter; /* the working memory of one vb_tokenize call */

/* NULL if no family has this name. */
const vb_pre_def *vb_pre_find(const char *name, size_t len);
int vb_pre_open(vb_pre **out, const vb_pre_def *def, vb_error *err);
void vb_pre_close(vb_pre *p);

int vb_splitter_open(vb_splitter **out, const vb_pre *p, vb_error *err);
void vb_splitter_close(vb_splitter *s);
/* Cuts text[0..len) into words. *ends: the end offset of each, ascending, the last one is len; owned by the
 * splitter and valid until the next call. Invalid UTF-8 is cut off as words of its own. */
int vb_split(vb_splitter *s, const char *text, size_t len, const uint32_t **ends, size_t *n, vb_error *err);

/* nfc.c: text in NFC, invalid bytes left as they are. *out points to `text` itself when nothing changes, else
 * to memory that the caller frees (*owned). */
int vb_nfc(const char *text, size_t len, const char **out, size_t *out_len, char **owned, vb_error *err);

/* ----------------------------------------------------------------------------------------- the tokenizer */

/* Text -> id: open addressing, linear probing, at most half full. */
typedef struct vb_text_slot {
    uint32_t tag; /* high half of the hash */
    int32_t id;   /* -1: empty */
} vb_text_slot;

/* (left id, right id) -> rank and merged id. */
typedef struct vb_merge_slot {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: empty */
    int32_t rank;  /* position in tokenizer.ggml.merges */
    int32_t id;
} vb_merge_slot;

/* A trie over the special tokens: children of a node are a linked list. */
typedef struct vb_trie_node {
    int32_t child, sibling; /* node numbers, -1: none */
    int32_t id;             /* token that ends here, -1: none */
    uint8_t byte;
} vb_trie_node;

typedef struct vb_specials {
    vb_trie_node *nodes;
    size_t n, cap;
    int32_t root[256]; /* node of each first byte, -1: none */
} vb_specials;

/* MARKER: an ordinary or unused entry that chat templates write as a marker (prompt.c). */
enum { VB_ID_STOP = 1, VB_ID_RSTRIP = 2, VB_ID_MARKER = 4 };

struct vb_tokenizer {
    bool spm; /* else byte-level BPE */
    int32_t n;
    const char **raw; /* (n) into the file */
    uint32_t *raw_len;
    uint8_t *kind;
    uint8_t *flags;    /* VB_ID_* */
    float *score;      /* (n), SPM only; -0 is stored as 0 */
    char *text;        /* decoded texts, one after the other */
    uint32_t *text_at; /* (n + 1) */
    uint32_t longest;  /* of all entries, bytes */
    vb_text_slot *slots;
    uint32_t slot_mask;
    vb_specials specials;
    vb_ids stops;                    /* every id with VB_ID_STOP, ascending */
    vb_specials markers;             /* entries with VB_ID_MARKER */
    int32_t bos, eos, eot, eom, unk; /* -1: none */
    bool add_bos, add_eos;
    int32_t byte_id[256];   /* -1: the vocabulary has no token for this byte */
    int32_t replacement[3]; /* BPE: the ids of U+FFFD, for bytes without a token */
    int n_replacement;
    /* SPM */
    bool space_prefix;
    bool has_unused;        /* entries that merging may pass through but not end at */
    bool words_stand_alone; /* no entry has a space after a non-space: words may be merged one by one */
    /* BPE */
    const vb_pre_def *pre_def;
    bool pre_overridden; /* the file names another one, or none */
    vb_pre *pre;
    char byte_char[256][2]; /* the byte alphabet as UTF-8 */
    uint8_t byte_char_len[256];
    vb_merge_slot *merges;
    uint64_t merge_mask;
};

int32_t vb_text_find(const vb_tokenizer *t, const char *s, size_t len);

static inline uint64_t vb_mix64(uint64_t k) {
    k ^= k >> 32;
    k *= 0x9E3779B97F4A7C15u;
    k ^= k >> 29;
    return k;
}
static inline const vb_merge_slot *vb_merge_find(const vb_tokenizer *t, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint64_t i = vb_mix64(pair) & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        if (t->merges[i].pair == pair) return &t->merges[i];
        if (t->merges[i].pair == UINT64_MAX) return NULL;
    }
}

/* specials.c */
int vb_specials_add(vb_specials *s, const char *text, size_t len, int32_t id, vb_error *err);
/* The longest token of the trie that starts at s, at most n bytes; -1 if there is none. With `all` false only
 * user-defined tokens count. */
int32_t vb_specials_match(const vb_tokenizer *t, const vb_specials *sp, const char *s, size_t n, bool all,
                          size_t *len);
bool vb_specials_starts(const vb_specials *s, unsigned char byte);

/* The working memory of one vb_tokenize call, shared by spm.c and bpe.c. */
typedef struct vb_work {
    vb_heap heap;
    uint32_t *next, *prev, *end; /* linked list of symbols; end: byte offset (SPM) */
    int32_t *id, *rank, *made_of;
    size_t cap;
    char *norm; /* SPM: the text with its spaces rewritten */
    size_t norm_cap;
    uint32_t *unused_left; /* SPM: (n ids) bytes of the left part that an unused entry was last made of */
    uint32_t *later;       /* SPM: a stack of lengths */
    size_t cap_later;
    bool in_unknown; /* SPM: the last id stands for a run of unknown characters */
    vb_splitter *splitter;
} vb_work;

int vb_work_reserve(vb_work *w, size_t symbols, vb_error *err);
void vb_work_free(vb_work *w);

/* Append the ids of text[0..len), which holds no special token. `prefix`: put a space in front (SPM). */
int vb_spm_encode(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, bool prefix, vb_ids *out,
                  vb_error *err);
/* VB_ERR_FORMAT if the scores do not order the merges: a placeholder. */
int vb_spm_check_order(const vb_tokenizer *t, const vb_gguf *g, vb_error *err);
int vb_bpe_word(const vb_tokenizer *t, vb_work *w, const char *word, size_t n, vb_ids *out, vb_error *err);
int vb_bpe_encode(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, vb_ids *out,
                  vb_error *err);

/* How vb_encode_text reads. */
enum {
    VB_ENCODE_SPECIAL = 1, /* without spans: all special tokens count, not those that users define alone */
    VB_ENCODE_MORE = 2     /* the text goes on from other text: SPM puts no space in front */
};
/* tokenizer.c: the ids of text[from..len), special tokens among them, appended. With spans they count where
 * they lie in bytes that are not given. */
int vb_encode_text(const vb_tokenizer *t, vb_work *w, const char *text, size_t from, size_t len, unsigned how,
                   const vb_span *spans, vb_ids *out, vb_error *err);
/* prompt.c: finds the entries that are markers without being typed as special tokens. */
int vb_find_markers(vb_tokenizer *t, vb_error *err);
/* Whether a template that writes this token's text gets this id. */
bool vb_token_is_marker(const vb_tokenizer *t, int32_t id);

/* The byte that a character of the GPT-2 byte alphabet stands for, -1 if it is none of the 256; and back. */
int vb_byte_of_char(uint32_t cp);
uint32_t vb_char_of_byte(uint8_t byte);

/* load.c: the file's BOS rule without building a tokenizer (the metadata, else the family's default). */
bool vb_file_adds_bos(const vb_gguf *g);

#endif
