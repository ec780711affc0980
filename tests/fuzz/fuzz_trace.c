/* fuzz_trace.c - libFuzzer: files for `verbatim trace-check`. Nothing may crash; what is refused says where
 * and why. `make fuzz` builds and runs it.
 *
 * The input are the lines of a trace without their chain, which is made here: the fuzzer could not. It is
 * also checked as it stands. */
#include "prove/trace_check.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text, size_t len) {
    vb_trace_report r;
    const bool ok = vb_trace_check(text, len, NULL, &r);
    if (ok != r.ok || (!ok && !r.why[0]) || r.line < 0) abort();
    if (r.accepted > r.drafted && r.ok) abort();
}

static size_t add(char *out, size_t at, const char *bytes, size_t n) {
    memcpy(out + at, bytes, n);
    return at + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char chain[] = ",\"chain\":\"00000000000000000000000000000000\"}\n";
    size_t lines = 1, len = 0;
    for (size_t i = 0; i < size; i++) lines += data[i] == '\n';
    char *text = malloc(size + lines * sizeof chain), *exact = malloc(size + !size);
    if (!text || !exact) abort();
    memcpy(exact, data, size);
    check(exact, size);
    vb_trace_rechain(exact, size);
    check(exact, size);
    free(exact);
    for (size_t at = 0; at < size;) {
        const char *line = (const char *)data + at, *end = memchr(line, '\n', size - at);
        const size_t n = end ? (size_t)(end - line) : size - at;
        len = add(text, len, line, n && line[n - 1] == '}' ? n - 1 : n);
        len = add(text, len, chain, sizeof chain - 1);
        at += n + 1;
    }
    exact = malloc(len + !len);
    if (!exact) abort();
    memcpy(exact, text, len);
    free(text);
    vb_trace_rechain(exact, len);
    check(exact, len);
    free(exact);
    return 0;
}
