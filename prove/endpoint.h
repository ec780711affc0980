/* endpoint.h - an OpenAI-compatible server as the subject of `verbatim prove` (docs/prove.md, "An endpoint").
 *
 * POST URL/completions, one request per completion and seed. What is needed of an answer are token ids; they
 * are taken from the first of these that is there, so that most servers need no special treatment:
 * - choices[0].token_ids, a list of ids (this project's server; vLLM with return_token_ids)
 * - choices[0].logprobs.content[].id (llama.cpp)
 * - choices[0].logprobs.content[].bytes or .token: the token's text, looked up in the target's vocabulary
 * - choices[0].logprobs.tokens[], the older form: "token_id:N", "bytes:\\xe2" or text
 *
 * Texts that two ids share are an error, but for a byte's own id beside an ordinary one: that is passed over,
 * and counted. Log-probabilities: logprobs.content[].logprob or logprobs.token_logprobs[].
 */
#ifndef VB_ENDPOINT_H
#define VB_ENDPOINT_H

#include "prove/http.h"
#include "prove/prove.h"

typedef struct vb_endpoint_params {
    vb_http_params http;
    const char *model; /* as requests call it; NULL: the only one of URL/models */
    const char
        *request; /* a JSON object whose members are put into every request (null takes one out), or NULL */
    const char *alone; /* the same for requests without speculation; NULL: the endpoint knows no such thing */
    const vb_sampling *sampling;
    const vb_tokenizer *tokenizer; /* of the target */
    const int32_t *prompt;
    size_t n_prompt;
    const char *text; /* the prompt as text instead of ids, or NULL */
    const int32_t *stop;
    size_t n_stop;
    int tokens; /* first tokens that are judged, 1..VB_JOINT_DEPTH */
    int more;   /* tokens asked for beyond these, so that steps of speculation are not cut short */
} vb_endpoint_params;

typedef struct vb_endpoint vb_endpoint;

typedef struct vb_endpoint_counts {
    vb_http_counts http;
    uint64_t drafted, accepted; /* what answers say in timings.draft_n and draft_n_accepted, if they do */
    uint64_t by_text;           /* tokens told by their text where a byte's id has the same */
    uint64_t stops;    /* completions that ended without naming the stop token, taken for the target's EOS */
    uint64_t unlogged; /* tokens without a log-probability */
} vb_endpoint_counts;

/* Asks for the model's name if it must. Everything pointed at must outlive it. Errors: VB_ERR_ARGUMENT (URL,
 * JSON), those of http.h. */
int vb_endpoint_open(vb_endpoint **out, const vb_endpoint_params *p, vb_error *err);
void vb_endpoint_close(vb_endpoint *e);
const char *vb_endpoint_model(const vb_endpoint *e);
void vb_endpoint_count(const vb_endpoint *e, vb_endpoint_counts *out);

/* vb_prove_batches.draw, with self = the endpoint. VB_ERR_FORMAT: an answer that is not what it should be;
 * the message names URL and field. */
int vb_endpoint_draw(void *self, uint64_t seed, size_t n, bool alone, vb_completion *out, vb_error *err);

#endif
