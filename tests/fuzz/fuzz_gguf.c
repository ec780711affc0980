/* fuzz_gguf.c - libFuzzer entry for the GGUF reader: whatever opens is then read to its last byte. `make
 * fuzz` runs it.
 *
 * Seeds in fuzz_gguf.seeds/: sample.gguf is gw_sample() of tests/gguf_writer.h, types.gguf holds one tensor
 * of 256 random values of every supported type. */
#include "tests/walk_gguf.h"

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
