/* fuzz_vocab.h - a vocabulary from a fuzzer's input.
 *
 * A byte chooses the kind of tokenizer and flags. Then entries: a byte with kind and length, the raw text, a
 * byte that is the score or, for BPE, the place of a space in the same text as a merge. A length of 15 ends
 * the vocabulary. */
#ifndef VB_TESTS_FUZZ_VOCAB_H
#define VB_TESTS_FUZZ_VOCAB_H

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

typedef struct fuzz_input {
    const uint8_t *p;
    size_t n;
} fuzz_input;

/* The next byte; 0xFF where there is none. */
unsigned fuzz_byte(fuzz_input *in);
/* NULL: what the input says is no vocabulary. *file and *bytes are the caller's to close and to free,
 * afterwards. */
vb_tokenizer *fuzz_vocabulary(fuzz_input *in, vb_gguf **file, uint8_t **bytes);

#endif
