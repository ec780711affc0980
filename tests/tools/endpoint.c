/* endpoint.c - a small OpenAI-compatible server on 127.0.0.1, for tests of `verbatim prove --endpoint`: it
 * samples rightly from a model with a draft, or makes one of the mistakes that servers make.
 *
 *   endpoint TARGET DRAFT MODE
 *
 * Prints its port on a line of its own and serves until it is ended, two minutes at most. MODE:
 * - right: token_ids and log-probabilities; text: tokens as texts; content: logprobs.content with bytes. All
 *   know llama.cpp's /completion, /tokenize and /props too
 * - biased: samples at twice the temperature
 * - zero: reports the log-probability 0 for every token
 * - seedless: takes no notice of the seed
 * - busy, full: status 503 for every third request, for all
 * - drop, cut: closes the connection instead of answering, in the middle of an answer
 * - json, field: an answer that ends in the middle of its JSON, that has a string where a number belongs
 * - status: status 400 with a message
 * - short: too few tokens, and no reason for it
 * - hang: never answers
 */
#include "include/verbatim.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_TOKENS = 64, MAX_PROMPT = 256 };

static struct {
    const char *mode;
    vb_tokenizer *tokenizer;
    vb_context *context[2];
    pthread_mutex_t lock; /* of everything below and the contexts */
    uint64_t requests;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool mode_is(const char *mode) {
    return !strcmp(server.mode, mode);
}

static vb_context *open_model(const char *path, bool tokenizer) {
    vb_gguf *g = NULL;
    vb_model *m = NULL;
    vb_context *c = NULL;
    vb_context_params p;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = MAX_PROMPT + MAX_TOKENS;
    if (vb_gguf_open(&g, path, &err) || vb_model_open(&m, g, &err) || vb_context_open(&c, m, &p, &err) ||
        (tokenizer && vb_tokenizer_open(&server.tokenizer, g, &err))) {
        fprintf(stderr, "endpoint: %s\n", err.message);
        exit(1);
    }
    return c;
}

/* ----------------------------------------------------------------------------------------------- sampling */

typedef struct completion {
    int32_t prompt[MAX_PROMPT];
    size_t n_prompt, max_tokens, n;
    vb_sampling sampling;
    vb_emitted token[MAX_TOKENS];
    float *logits; /* (max_tokens, n_vocab) */
    int32_t n_vocab;
    int n_top; /* alternatives wanted per token */
    bool stopped;
    uint64_t drafted, accepted;
} completion;

static int generate(completion *c, vb_error *err) {
    vb_spec *spec = NULL;
    vb_spec_params p;
    vb_stats stats;
    int32_t eos = vb_token_eos(server.tokenizer);
    int rc = VB_OK;
    vb_spec_defaults(&p);
    p.draft = VB_DRAFT_MODEL;
    p.draft_context = server.context[1];
    p.gamma = 2;
    p.stop = &eos;
    p.n_stop = eos >= 0;
    for (int i = 0; i < 2; i++) vb_context_truncate(server.context[i], 0, NULL);
    if ((rc = vb_spec_open(&spec, server.context[0], &c->sampling, &p, err)) ||
        (rc = vb_spec_prompt(spec, c->prompt, c->n_prompt, err)))
        goto cleanup;
    while (c->n < c->max_tokens && !c->stopped) {
        vb_step step;
        if ((rc = vb_spec_step(spec, SIZE_MAX, &step, err))) goto cleanup;
        for (int i = 0; i < step.n_emitted && c->n < c->max_tokens && !c->stopped; i++) {
            c->stopped = step.emitted[i].stop;
            if (c->stopped) break;
            memcpy(c->logits + c->n * (size_t)c->n_vocab, step.logits[i],
                   (size_t)c->n_vocab * sizeof *c->logits);
            c->token[c->n++] = step.emitted[i];
        }
    }
    vb_spec_stats(spec, &stats);
    c->drafted = stats.drafted;
    c->accepted = stats.accepted;
cleanup:
    vb_spec_close(spec);
    return rc;
}

static bool read_request(const json_t *r, completion *c) {
    const json_t *ids = json_object_get(r, "prompt");
    const json_t *n = json_object_get(r, "max_tokens"), *top = json_object_get(r, "logprobs");
    if (!n) n = json_object_get(r, "n_predict"), top = json_object_get(r, "n_probs");
    vb_sampling_defaults(&c->sampling);
    c->n_prompt = json_array_size(ids);
    c->max_tokens = (size_t)json_integer_value(n);
    c->n_top = (int)json_integer_value(top);
    c->n_vocab = vb_tokenizer_size(server.tokenizer);
    if (!c->n_prompt || c->n_prompt > MAX_PROMPT || !c->max_tokens || c->max_tokens > MAX_TOKENS)
        return false;
    c->logits = calloc(c->max_tokens * (size_t)c->n_vocab, sizeof *c->logits);
    if (!c->logits) return false;
    for (size_t i = 0; i < c->n_prompt; i++)
        c->prompt[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    vb_sampling *s = &c->sampling;
    s->temperature = json_number_value(json_object_get(r, "temperature")) * (mode_is("biased") ? 2 : 1);
    s->top_p = json_object_get(r, "top_p") ? json_number_value(json_object_get(r, "top_p")) : 1;
    s->top_k = (int)json_integer_value(json_object_get(r, "top_k"));
    s->min_p = json_number_value(json_object_get(r, "min_p"));
    s->seed = mode_is("seedless") ? UINT64_C(1) << 40 | server.requests
                                  : (uint64_t)json_integer_value(json_object_get(r, "seed"));
    return true;
}

static json_t *text_of(int32_t id, bool bytes) {
    size_t n = 0;
    const char *text = vb_token_text(server.tokenizer, id, true, &n);
    if (!bytes) { /* what is no text by itself: "bytes:\\xe2" */
        char escaped[8 + 4 * 64] = "bytes:";
        json_t *string = json_stringn(text, n);
        for (size_t i = 0; i < n && i < 64 && !string; i++)
            snprintf(escaped + 6 + 4 * i, 5, "\\x%02x", (unsigned)(unsigned char)text[i]);
        return string ? string : json_string(escaped);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer((unsigned char)text[i]));
    return list;
}

/* The likeliest ids after token i: [{id, token, bytes, logprob}]. */
static json_t *top_of(const completion *c, size_t i) {
    const float *x = c->logits + i * (size_t)c->n_vocab;
    json_t *list = json_array();
    bool *taken = calloc((size_t)c->n_vocab, sizeof *taken);
    for (int k = 0; k < c->n_top && k < c->n_vocab && taken; k++) {
        int32_t best = -1;
        for (int32_t id = 0; id < c->n_vocab; id++)
            if (!taken[id] && (best < 0 || x[id] > x[best])) best = id;
        taken[best] = true;
        json_t *entry = json_pack("{so sf so}", "token", text_of(best, false), "logprob",
                                  vb_logprob(x, c->n_vocab, best), "bytes", text_of(best, true));
        if (!mode_is("content")) json_object_set_new(entry, "id", json_integer(best));
        json_array_append_new(list, entry);
    }
    free(taken);
    return list;
}

/* The form of llama.cpp's /completion. */
static json_t *native_of(const completion *c) {
    json_t *tokens = json_array(), *rows = json_array();
    for (size_t i = 0; i < c->n; i++) {
        json_array_append_new(tokens, json_integer(c->token[i].id));
        json_array_append_new(rows, json_pack("{si sf so}", "id", c->token[i].id, "logprob",
                                              c->token[i].logprob, "top_logprobs", top_of(c, i)));
    }
    return json_pack("{so so}", "tokens", tokens, "completion_probabilities", rows);
}

/* The form of llama.cpp's /tokenize. */
static json_t *tokenize(const json_t *r) {
    const json_t *content = json_object_get(r, "content");
    int32_t *ids = NULL;
    size_t n = 0;
    json_t *list = json_array();
    const unsigned flags = json_is_true(json_object_get(r, "parse_special")) ? VB_TOKENIZE_PARSE_SPECIAL : 0;
    if (json_is_string(content) && !vb_tokenize(server.tokenizer, json_string_value(content),
                                                json_string_length(content), flags, &ids, &n, NULL))
        for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(ids[i]));
    vb_free(ids);
    return json_pack("{so}", "tokens", list);
}

static json_t *logprobs_of(const completion *c) {
    json_t *tokens = json_array(), *numbers = json_array(), *content = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const double x = mode_is("zero") ? 0 : c->token[i].logprob;
        json_array_append_new(tokens, text_of(c->token[i].id, false));
        json_array_append_new(numbers, mode_is("field") && i == 1 ? json_string("much") : json_real(x));
        json_array_append_new(content, json_pack("{so sf so so}", "token", text_of(c->token[i].id, false),
                                                 "logprob", x, "bytes", text_of(c->token[i].id, true),
                                                 "top_logprobs", top_of(c, i)));
    }
    if (!mode_is("content")) {
        json_decref(content);
        return json_pack("{so so}", "tokens", tokens, "token_logprobs", numbers);
    }
    json_decref(tokens);
    json_decref(numbers);
    return json_pack("{so}", "content", content);
}

static json_t *answer_of(const completion *c) {
    const bool brief = mode_is("short");
    json_t *choice =
        json_pack("{si ss so so}", "index", 0, "finish_reason", c->stopped && !brief ? "stop" : "length",
                  "text", json_string(""), "logprobs", logprobs_of(c));
    if (!mode_is("text") && !mode_is("content")) {
        json_t *ids = json_array();
        for (size_t i = 0; i < (brief ? 1 : c->n); i++)
            json_array_append_new(ids, json_integer(c->token[i].id));
        json_object_set_new(choice, "token_ids", ids);
    }
    return json_pack("{ss s[o] s{sI sI}}", "object", "text_completion", "choices", choice, "timings",
                     "draft_n", (json_int_t)c->drafted, "draft_n_accepted", (json_int_t)c->accepted);
}

/* The status and body of a request's answer; -1: no answer at all. */
static int answer(const char *path, const char *body, char **out) {
    completion c = {0};
    vb_error err = {0};
    int status = 200;
    json_t *reply = NULL, *r = NULL;
    pthread_mutex_lock(&server.lock);
    const uint64_t number = server.requests++;
    if (strstr(path, "/props")) {
        reply = json_pack("{ss}", "build_info", "a test");
    } else if (strstr(path, "/models")) {
        reply = json_pack("{s[{ss}]}", "data", "id", "tiny");
    } else if (mode_is("full") || (mode_is("busy") && number % 3 == 1)) {
        status = 503;
        reply = json_pack("{s{ss}}", "error", "message", "no slot is free");
    } else if (mode_is("status")) {
        status = 400;
        reply = json_pack("{s{ss}}", "error", "message", "top_k is not known here");
    } else if (mode_is("drop")) {
        status = -1;
    } else {
        r = json_loads(body, JSON_ALLOW_NUL, NULL);
        if (r && strstr(path, "/tokenize")) {
            reply = tokenize(r);
        } else if (!r || !read_request(r, &c) || generate(&c, &err)) {
            status = 400;
            reply = json_pack("{s{ss}}", "error", "message", err.message[0] ? err.message : "a bad request");
        } else {
            reply = strstr(path, "/completions") ? answer_of(&c) : native_of(&c);
        }
        json_decref(r);
        free(c.logits);
    }
    pthread_mutex_unlock(&server.lock);
    *out = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    json_decref(reply);
    return status;
}

/* ----------------------------------------------------------------------------------------------- HTTP */

static bool send_all(int fd, const char *bytes, size_t n) {
    while (n) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool reply_to(int fd, const char *head, const char *body) {
    char path[128] = "", line[160], *text = NULL;
    sscanf(head, "%*s %127s", path);
    if (mode_is("hang") && !strstr(path, "/models")) sleep(60);
    const int status = answer(path, body, &text);
    size_t n = text ? strlen(text) : 0;
    bool open = status > 0 && text;
    if (open) {
        if (mode_is("json") && strstr(path, "/completions")) n /= 2;
        snprintf(line, sizeof line,
                 "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status, n);
        open = send_all(fd, line, strlen(line));
        if (mode_is("cut") && strstr(path, "/completions")) {
            open = false;
            n /= 2;
        }
        open = send_all(fd, text, n) && open;
    }
    free(text);
    return open;
}

static void *serve(void *arg) {
    const int fd = *(int *)arg, yes = 1;
    char buffer[16384];
    free(arg);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (bool open = true; open;) {
        size_t have = 0, want = SIZE_MAX;
        char *body = NULL;
        while (have < want && have < sizeof buffer - 1) {
            const ssize_t got = recv(fd, buffer + have, sizeof buffer - 1 - have, 0);
            if (got <= 0) goto end;
            have += (size_t)got;
            buffer[have] = 0;
            if (!body && (body = strstr(buffer, "\r\n\r\n"))) {
                const char *length = strcasestr(buffer, "content-length:");
                body += 4;
                want =
                    (size_t)(body - buffer) + (length && length < body ? strtoul(length + 15, NULL, 10) : 0);
            }
        }
        open = body && reply_to(fd, buffer, body);
    }
end:
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (argc != 4) {
        fprintf(stderr, "usage: endpoint TARGET DRAFT MODE\n");
        return 2;
    }
    server.mode = argv[3];
    server.context[0] = open_model(argv[1], true);
    server.context[1] = open_model(argv[2], false);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("endpoint");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    alarm(120);
    for (;;) {
        int *fd = malloc(sizeof *fd);
        pthread_t thread;
        if (!fd || (*fd = accept(listener, NULL, NULL)) < 0 || pthread_create(&thread, NULL, serve, fd)) {
            free(fd);
            return 1;
        }
        pthread_detach(thread);
    }
}
