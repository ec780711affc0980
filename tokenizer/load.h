/* load.h - from a file's metadata to a vb_tokenizer. Internal. */
#ifndef VB_TOKENIZER_LOAD_H
#define VB_TOKENIZER_LOAD_H

#include "tokenizer/tokenizer.h"

#define VB_VOCAB_LIMIT (1 << 24)

/* Fills the zero-initialised *t. On error *t holds what had been allocated; vb_tokenizer_close frees it. */
int vb_tokenizer_load(vb_tokenizer *t, const vb_gguf *g, const vb_tokenizer_params *p, vb_error *err);

#endif
