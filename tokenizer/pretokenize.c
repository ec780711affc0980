/* pretokenize.c - cuts a text into words with the published patterns.
 *
 * Three points where "run the regex" is not the whole story:
 *
 * 1. \s. The published tokenizers run on regex engines whose \s is the Unicode property White_Space. PCRE2's
 *    \s under PCRE2_UCP also takes U+180E, so \s and \S are spelled out as code points before compiling
 *    (rewrite() below).
 * 2. Invalid UTF-8. The text is first cut into maximal runs of well-formed UTF-8 and of other bytes. Patterns
 *    see only the former, each as a text of its own; a run of other bytes is one word. Nothing is replaced or
 *    lost.
 * 3. Time. Every pattern is linear in practice but one: \s+$ retries at every space of a run that does not
 *    end the text. Its leftmost match starts where a run of spaces starts, so it is compiled as (?<!\s)\s+$:
 *    same matches.
 *
 * A sequence of patterns works as in tokenizer.json's Split(behavior = Isolated): the matches and the
 * stretches between them become the pieces that the next pattern sees, each as a whole text (so $ and (?!\S)
 * see its end). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/tokenizer.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERNS = 6 };

struct vb_pre {
    const vb_pre_def *def;
    pcre2_code *code[MAX_PATTERNS];
    int n;
};

struct vb_splitter {
    const vb_pre *pre;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint32_t *ends, *pieces, *next; /* result; the pieces of one run before and after a pattern */
    size_t n_ends, cap_ends, cap_pieces, cap_next;
};

#define WHITE_SPACE                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{" \
    "3000}"

/* \s becomes the code points of White_Space, \S their complement (which none of our patterns needs inside a
 * class). */
static void rewrite(const char *pattern, vb_buf *out) {
    if (strcmp(pattern, "\\s+$") == 0) vb_buf_puts(out, "(?<![" WHITE_SPACE "])");
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && (p[1] == 's' || p[1] == 'S')) {
            if (!in_class) vb_buf_puts(out, p[1] == 's' ? "[" : "[^");
            vb_buf_puts(out, WHITE_SPACE);
            if (!in_class) vb_buf_puts(out, "]");
            p++;
        } else if (*p == '\\' && p[1]) {
            vb_buf_add(out, p++, 2);
        } else {
            if (*p == '[') in_class = true;
            if (*p == ']') in_class = false;
            vb_buf_add(out, p, 1);
        }
    }
}

const char *vb_pre_name(size_t i) {
    for (const vb_pre_def *d = vb_pre_defs; d->name; d++) {
        if (i-- == 0) return d->name;
        for (size_t k = 0; k < sizeof d->also / sizeof *d->also && d->also[k]; k++)
            if (i-- == 0) return d->also[k];
    }
    return NULL;
}

const vb_pre_def *vb_pre_find(const char *name, size_t len) {
    for (const vb_pre_def *d = vb_pre_defs; d->name; d++) {
        if (strlen(d->name) == len && memcmp(d->name, name, len) == 0) return d;
        for (size_t i = 0; i < sizeof d->also / sizeof *d->also && d->also[i]; i++)
            if (strlen(d->also[i]) == len && memcmp(d->also[i], name, len) == 0) return d;
    }
    return NULL;
}

static int compile(pcre2_code **out, const char *pattern, bool bytes, const char *name, vb_error *err) {
    vb_buf p = {0};
    int code, rc;
    rewrite(pattern, &p);
    if ((rc = vb_buf_done(&p, "a pattern", err))) goto cleanup;
    PCRE2_SIZE at;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)p.s, p.n, bytes ? 0 : PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    if (!c) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        rc = vb_fail(err, VB_ERR_UNSUPPORTED,
                     "this PCRE2 library cannot compile the pattern of '%s': %s at %zu", name, why,
                     (size_t)at);
        goto cleanup;
    }
    /* Without JIT (not built in, or forbidden by the system) the interpreter gives the
     * same matches, slower. */
    (void)pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);
    *out = c;
cleanup:
    vb_buf_free(&p);
    return rc;
}

int vb_pre_open(vb_pre **out, const vb_pre_def *def, vb_error *err) {
    vb_pre *p = NULL;
    int rc = vb_alloc((void **)&p, 1, sizeof *p, "a pre-tokenizer", err);
    if (rc) return rc;
    p->def = def;
    for (; p->n < MAX_PATTERNS && def->patterns[p->n]; p->n++) {
        bool bytes = def->bytes_from > 0 && p->n >= def->bytes_from;
        if ((rc = compile(&p->code[p->n], def->patterns[p->n], bytes, def->name, err))) {
            vb_pre_close(p);
            return rc;
        }
    }
    *out = p;
    return VB_OK;
}

void vb_pre_close(vb_pre *p) {
    if (!p) return;
    for (int i = 0; i < p->n; i++) pcre2_code_free(p->code[i]);
    free(p);
}

int vb_splitter_open(vb_splitter **out, const vb_pre *p, vb_error *err) {
    vb_splitter *s = NULL;
    int rc = vb_alloc((void **)&s, 1, sizeof *s, "a text splitter", err);
    if (rc) return rc;
    s->pre = p;
    s->match = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(32 * 1024, 16 * 1024 * 1024, NULL); /* NULL without JIT */
    if (!s->match || !s->context) {
        vb_splitter_close(s);
        return vb_fail(err, VB_ERR_MEMORY, "out of memory (PCRE2)");
    }
    /* A limit that is hit would lose text; the patterns need none, they are linear. */
    pcre2_set_match_limit(s->context, UINT32_MAX);
    pcre2_set_heap_limit(s->context, UINT32_MAX);
    if (s->stack) pcre2_jit_stack_assign(s->context, NULL, s->stack);
    *out = s;
    return VB_OK;
}

void vb_splitter_close(vb_splitter *s) {
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    if (s->stack) pcre2_jit_stack_free(s->stack);
    free(s->ends);
    free(s->pieces);
    free(s->next);
    free(s);
}

static int put(uint32_t **v, size_t *cap, size_t *n, uint32_t end, vb_error *err) {
    int rc = vb_grow((void **)v, cap, *n + 1, sizeof **v, "words", err);
    if (rc == VB_OK) (*v)[(*n)++] = end;
    return rc;
}

/* Cuts the piece text[from..to) at the matches of one pattern; appends the ends to s->next. */
static int cut(vb_splitter *s, const pcre2_code *code, const char *text, uint32_t from, uint32_t to,
               size_t *n, vb_error *err) {
    PCRE2_SPTR piece = (PCRE2_SPTR)text + from;
    const size_t len = to - from;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);
    int rc = VB_OK;
    for (size_t done = 0; done < len;) {
        int m = pcre2_match(code, piece, len, done, PCRE2_NO_UTF_CHECK, s->match, s->context);
        if (m == PCRE2_ERROR_JIT_STACKLIMIT)
            m = pcre2_match(code, piece, len, done, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, s->context);
        if (m == PCRE2_ERROR_NOMATCH) return put(&s->next, &s->cap_next, n, to, err);
        if (m < 0 || at[1] <= at[0]) {
            char why[128] = "an empty match";
            if (m < 0) pcre2_get_error_message(m, (PCRE2_UCHAR *)why, sizeof why);
            return vb_fail(err, VB_ERR_MEMORY, "pre-tokenizer '%s': PCRE2 gave up at byte %zu: %s",
                           s->pre->def->name, from + done, why);
        }
        if (at[0] > done && (rc = put(&s->next, &s->cap_next, n, from + (uint32_t)at[0], err))) return rc;
        if ((rc = put(&s->next, &s->cap_next, n, from + (uint32_t)at[1], err))) return rc;
        done = at[1];
    }
    return rc;
}

/* Appends the words of text[from..to), well-formed UTF-8, to s->ends. */
static int split_run(vb_splitter *s, const char *text, uint32_t from, uint32_t to, vb_error *err) {
    size_t n_pieces = 0, n_next = 0;
    int rc = put(&s->pieces, &s->cap_pieces, &n_pieces, to, err);
    for (int k = 0; rc == VB_OK && k < s->pre->n; k++) {
        n_next = 0;
        uint32_t begin = from;
        for (size_t i = 0; rc == VB_OK && i < n_pieces; i++) {
            rc = cut(s, s->pre->code[k], text, begin, s->pieces[i], &n_next, err);
            begin = s->pieces[i];
        }
        uint32_t *v = s->pieces;
        size_t cap = s->cap_pieces;
        s->pieces = s->next, s->cap_pieces = s->cap_next, n_pieces = n_next;
        s->next = v, s->cap_next = cap;
    }
    if (rc == VB_OK)
        rc = vb_grow((void **)&s->ends, &s->cap_ends, s->n_ends + n_pieces, sizeof *s->ends, "words", err);
    if (rc) return rc;
    memcpy(s->ends + s->n_ends, s->pieces, n_pieces * sizeof *s->ends);
    s->n_ends += n_pieces;
    return VB_OK;
}

int vb_split(vb_splitter *s, const char *text, size_t len, const uint32_t **ends, size_t *n, vb_error *err) {
    const unsigned char *t = (const unsigned char *)text;
    int rc = VB_OK;
    s->n_ends = 0;
    for (size_t at = 0; rc == VB_OK && at < len;) {
        size_t end = at, c;
        while (end < len && (c = vb_utf8_char(t + end, len - end, NULL)) > 0) end += c;
        if (end > at) rc = split_run(s, text, (uint32_t)at, (uint32_t)end, err);
        at = end;
        while (end < len && vb_utf8_char(t + end, len - end, NULL) == 0) end++;
        if (rc == VB_OK && end > at) rc = put(&s->ends, &s->cap_ends, &s->n_ends, (uint32_t)end, err);
        at = end;
    }
    if (rc) return rc;
    *ends = s->ends;
    *n = s->n_ends;
    return VB_OK;
}
