/* fuzz_endpoint.c - libFuzzer: what a server answers to `verbatim prove --endpoint`. Nothing may crash; what
 * is taken are ids of the vocabulary and log-probabilities; what is refused names the field. `make fuzz`
 * builds and runs it.
 *
 * Byte 0 chooses the vocabulary and what is asked, then comes the body of the answer. The HTTP client is
 * replaced. */
#include "prove/endpoint.h"
#include "gguf/gguf.h"
#include "tests/gguf_writer.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *body; /* of every answer */
static size_t body_len;
static uint8_t *models[2]; /* in which the files lie */
static vb_gguf *files[2];
static vb_tokenizer *tokenizers[2];

static void check(bool good) {
    if (!good) abort();
}

int vb_http_open(vb_http **out, const vb_http_params *p, vb_error *err) {
    (void)p, (void)err;
    *out = NULL;
    return VB_OK;
}
void vb_http_close(vb_http *h) {
    (void)h;
}
void vb_http_count(const vb_http *h, vb_http_counts *out) {
    (void)h;
    *out = (vb_http_counts){0};
}
int vb_http_get(vb_http *h, const char *path, const vb_http_exchange *x, vb_error *err) {
    (void)h, (void)path;
    return x->answer(x->self, 0, "URL", body, body_len, err);
}
int vb_http_post(vb_http *h, const char *path, size_t n, const vb_http_exchange *x, vb_error *err) {
    (void)h, (void)path;
    int rc = VB_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        char *request = x->request(x->self, i);
        check(request != NULL);
        free(request);
        rc = x->answer(x->self, i, "URL", body, body_len, err);
    }
    return rc;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const char *const vocab[] = {"spm", "bpe"};
    (void)argc, (void)argv;
    for (int i = 0; i < 2; i++) {
        const gw_model_spec spec = {.dim = 32, .layers = 1, .heads = 1, .vocab = vocab[i]};
        gw *w = gw_tiny_writer(&spec);
        size_t n;
        vb_error err = {0};
        models[i] = w ? gw_finish(w, &n) : NULL;
        check(models[i] && !vb_gguf_open_memory(&files[i], models[i], n, "vocabulary", &err));
        check(!vb_tokenizer_open(&tokenizers[i], files[i], &err));
        gw_free(w);
    }
    return 0;
}

static void judge(unsigned mode, const vb_tokenizer *t) {
    vb_sampling sampling;
    vb_error err = {0};
    vb_endpoint *e = NULL;
    vb_completion c[2];
    const int32_t prompt[] = {1, 5}, stop = vb_token_eos(t);
    vb_sampling_defaults(&sampling);
    const vb_endpoint_params p = {.model = mode & 2 ? NULL : "m",
                                  .sampling = &sampling,
                                  .tokenizer = t,
                                  .prompt = prompt,
                                  .n_prompt = 2,
                                  .stop = &stop,
                                  .n_stop = mode & 4 ? 1 : 0,
                                  .tokens = 1 + (int)(mode >> 3 & 3)};
    if (vb_endpoint_open(&e, &p, &err)) {
        check(err.message[0] != 0);
        return;
    }
    if (vb_endpoint_draw(e, 1, 2, false, c, &err)) {
        check(!strncmp(err.message, "URL: ", 5));
    } else {
        check(c[0].n >= 1 && c[0].n <= p.tokens && c[1].n == c[0].n);
        for (int i = 0; i < c[0].n; i++) {
            check(c[0].token[i] >= 0 && c[0].token[i] < vb_tokenizer_size(t));
            check(isnan(c[0].logprob[i]) || (isfinite(c[0].logprob[i]) && c[0].logprob[i] <= 0));
        }
    }
    vb_endpoint_close(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    body_len = size - 1;
    body = malloc(size); /* ends with NUL, as http.h promises */
    check(body != NULL);
    memcpy(body, data + 1, body_len);
    body[body_len] = 0;
    judge(data[0], tokenizers[data[0] & 1]);
    free(body);
    return 0;
}
