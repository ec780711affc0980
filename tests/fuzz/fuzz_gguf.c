/* fuzz_gguf.c - libFuzzer entry for the GGUF reader. From the root of the checkout:
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Ibase -Igguf -Itests \
 *       tests/fuzz/fuzz_gguf.c gguf/*.c base/base.c -lxxhash -lm -o fuzz_gguf
 *   ./fuzz_gguf -max_len=65536 CORPUS
 *
 * Seeds for CORPUS: small models (gguf_writer.h), a vocabulary, anything from tests/test_gguf_defects.c. */
#include "walk_gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vb_gguf *g = NULL;
    vb_error err = {0};
    const int code = vb_gguf_open_memory(&g, data, size, "fuzz", &err);
    walk_check(code == err.code && (code == VB_OK) == (g != NULL));
    if (!code) walk_gguf(g);
    vb_gguf_close(g);
    return 0;
}
