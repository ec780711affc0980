/* bench_calls.c - what reading an answer costs beside making it, and how long a long conversation takes to
 * render.
 *
 *   bench_calls TEMPLATE.jinja...
 *
 * For each template: nanoseconds per token (four bytes) for an answer of prose and for one of calls, each
 * read with early events; milliseconds for rendering a conversation of about 30,000 tokens (120,000 bytes)
 * with calls in it. Medians of 21 runs. A model that makes 100 tokens per second takes 10,000,000 ns for
 * each. */
#include "bench/figures.h"
#include "include/verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 21, TOKEN = 4, BYTES = 200000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* whatever else the machine does */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"write\", \"description\": \"Writes.\", "
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"path\": {\"type\": \"string\"}, "
    "\"text\": {\"type\": \"string\"}}}}}]";
static const char prose[] =
    "The quick brown fox (it is one) jumps over <b>the</b> lazy dog [see 2], and 3 < 4.\n\n";

static double per_token(const vb_calls *k, const char *s, size_t n) {
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .early = true};
    double times[RUNS];
    for (int run = 0; run < RUNS; run++) {
        vb_answer *a = NULL;
        vb_said e;
        size_t seen = 0;
        if (vb_answer_open(&a, k, &p, NULL)) return -1;
        const double t = now();
        for (size_t i = 0; i < n; i += TOKEN) {
            if (vb_answer_push(a, s + i, n - i < TOKEN ? n - i : TOKEN, false, NULL)) return -1;
            while (vb_answer_next(a, &e)) seen += e.len;
        }
        if (vb_answer_end(a, NULL) || seen == 0) return -1;
        times[run] = now() - t;
        vb_answer_close(a);
    }
    return median(times, RUNS) / (double)n * TOKEN * 1e9;
}

/* Turns of a user, a call, its result and an answer. */
static char *conversation(size_t bytes, size_t *n) {
    static const char turn[] = "{\"role\": \"user\", \"content\": \"Write the next chapter, and make it "
                               "about as long as this sentence is.\"}, "
                               "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": "
                               "\"call00001\", \"type\": \"function\", "
                               "\"function\": {\"name\": \"write\", \"arguments\": \"{\\\"path\\\": "
                               "\\\"a.txt\\\", \\\"text\\\": \\\"Once upon a time "
                               "there was a fox who wrote.\\\"}\"}}]}, {\"role\": \"tool\", "
                               "\"tool_call_id\": \"call00001\", \"content\": "
                               "\"written\"}, {\"role\": \"assistant\", \"content\": \"It is written, and "
                               "the fox is pleased with how it "
                               "came out in the end.\"}";
    const size_t size = sizeof turn - 1, turns = bytes / 380 + 1;
    char *s = malloc(turns * (size + 2) + sizeof tools + 100), *at = s;
    if (!s) return NULL;
    at +=
        sprintf(at,
                "{\"tools\": %s, \"bos_token\": \"\", \"eos_token\": \"\", \"add_generation_prompt\": true, "
                "\"messages\": [",
                tools);
    for (size_t i = 0; i < turns; i++) at += sprintf(at, "%s%s", i ? ", " : "", turn);
    at += sprintf(at, "]}");
    *n = (size_t)(at - s);
    return s;
}

static double render(const vb_chat *c, const vb_calls *k, const char *request, size_t n, size_t *bytes) {
    const vb_chat_request r = {.variables = request, .n_variables = n, .calls = k};
    double times[RUNS];
    for (int run = 0; run < RUNS; run++) {
        vb_prompt p = {0};
        vb_error err;
        const double t = now();
        if (vb_chat_render(c, NULL, &r, &p, &err)) return -1;
        times[run] = now() - t;
        *bytes = p.len;
        vb_prompt_free(&p);
    }
    return median(times, RUNS) * 1e3;
}

/* `count` calls as the format writes them; its JSON formats only. */
static char *calls_text(const vb_call_format *f, size_t bytes, size_t *n) {
    char *s = malloc(bytes + 8000), *at = s;
    if (!s) return NULL;
    at += sprintf(at, "%s", f->open);
    for (int i = 0; (size_t)(at - s) < bytes; i++)
        at += sprintf(
            at, "%s%swrite%s{\"path\": \"a.txt\", \"text\": \"%.2000s\"}%s", i ? f->separator : "", f->begin,
            f->between,
            "Once upon a time there was a fox who wrote <b>books</b> and [lists], {sets} and 1 < 2.\\n",
            f->end);
    at += sprintf(at, "%s", f->close);
    *n = (size_t)(at - s);
    return s;
}

static int measure(const char *path) {
    char *text = calloc(1, 1 << 20), *said = malloc(BYTES + sizeof prose), *request = NULL, *calls = NULL;
    int rc = 1;
    size_t n_request = 0, n_calls = 0, bytes = 0, n = 0;
    vb_chat *c = NULL;
    vb_calls *k = NULL;
    vb_error err;
    FILE *f = fopen(path, "rb");
    if (f && text && said) n = fread(text, 1, (1 << 20) - 1, f);
    if (f) fclose(f);
    if (!f || !text || !said) goto cleanup;
    if (vb_chat_open_text(&c, text, n, path, &err) || vb_calls_open(&k, c, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        goto cleanup;
    }
    for (n = 0; n < BYTES; n += sizeof prose - 1) memcpy(said + n, prose, sizeof prose);
    const vb_call_format *form = vb_calls_format(k);
    const double plain = per_token(k, said, n);
    if (form->style == VB_CALLS_MEMBERS || form->style == VB_CALLS_NAMED)
        calls = calls_text(form, form->parallel ? BYTES : 1, &n_calls);
    const double in_calls = calls ? per_token(k, calls, n_calls) : 0;
    request = conversation(120000, &n_request);
    const double rendered = request ? render(c, k, request, n_request, &bytes) : -1;
    printf("%-40s prose %6.1f ns/token  calls %6.1f ns/token  %zu bytes rendered in %.2f ms\n", path, plain,
           in_calls, bytes, rendered);
    rc = 0;
cleanup:
    free(text);
    free(said);
    free(request);
    free(calls);
    vb_calls_close(k);
    vb_chat_close(c);
    return rc;
}

int main(int argc, char **argv) {
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) failed |= measure(argv[i]);
    return failed;
}
