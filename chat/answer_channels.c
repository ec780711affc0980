/* answer_channels.c - gpt-oss: an answer is a chain of messages, each with a header that says whom it is for.
 *
 *   <|channel|>analysis<|message|>THOUGHTS<|end|>
 *   <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>
 *   <|start|>assistant<|channel|>final<|message|>TEXT<|return|>
 *
 * The prompt ends behind <|start|>assistant. Whom a call is for stands before or behind the channel. */
#include "chat/calls.h"

#include <string.h>

enum { HEADER_LIMIT = 512 }; /* bytes of a header, which has no line ends in it either */

static const char *const ends[] = {"<|end|>", "<|return|>", "<|call|>", NULL}, *const begins[] = {
                                                                                   "<|start|>", "<|channel|>",
                                                                                   NULL};

/* Which of the words s begins with; PART: it may still become one. */
static vbc_fit one_of(const char *const *words, const char *s, size_t n, size_t *size) {
    vbc_fit fit = VBC_NO;
    for (; *words; words++) {
        const size_t k = strlen(*words);
        if (memcmp(s, *words, k < n ? k : n) != 0) continue;
        if (n < k) {
            fit = VBC_PART;
            continue;
        }
        *size = k;
        return VBC_YES;
    }
    return fit;
}

static const char *find(const char *s, size_t n, const char *what, size_t size) {
    for (size_t i = 0; i + size <= n; i++)
        if (s[i] == *what && memcmp(s + i, what, size) == 0) return s + i;
    return NULL;
}

/* "to=functions.NAME" in a header */
static bool recipient(const char *s, size_t n, const char **name, size_t *size) {
    static const char to[] = "to=functions.";
    const char *at = find(s, n, to, sizeof to - 1);
    if (!at) return false;
    *name = at + sizeof to - 1;
    for (*size = 0; *name + *size < s + n && vbc_name_byte((*name)[*size]);) ++*size;
    return *size > 0;
}

static vb_said_kind kind_of(const vb_answer *a, const char *s, size_t n) {
    static const char analysis[] = "<|channel|>analysis";
    const bool thought = find(s, n, analysis, sizeof analysis - 1) != NULL;
    return thought && a->reasoning ? VB_SAID_REASONING : VB_SAID_CONTENT;
}

/* A header ends with <|message|>. What begins like none is content. */
static bool in_header(vb_answer *a, bool last) {
    static const char message[] = "<|message|>";
    static const char *const heads[] = {"<|start|>", "<|channel|>", "to=", " to=", NULL};
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base, spaces = vbc_spaces(s, n);
    size_t size = 0;
    if (n == 0) return false;
    if (one_of(ends, s, n, &size) == VBC_YES) {
        a->body = VB_SAID_CONTENT;
        vbc_say(a, VB_SAID_MARKS, size);
        return true;
    }
    vbc_fit head = one_of(heads, s + spaces, n - spaces, &size);
    if (spaces == n || one_of(ends, s, n, &size) == VBC_PART) head = VBC_PART;
    if (head == VBC_PART && !last) return false;
    if (head == VBC_PART && spaces == n && a->thought) {
        vbc_say(a, VB_SAID_MARKS, n);
        return true;
    }
    const char *end = head == VBC_YES ? find(s, n, message, sizeof message - 1) : NULL;
    const size_t looked = end ? (size_t)(end - s) : n;
    if (head == VBC_YES && !memchr(s, '\n', looked) && looked <= HEADER_LIMIT) {
        if (!end && !last) return false;
        const char *name;
        size_t n_name;
        const size_t raw = looked + sizeof message - 1;
        a->thought = true;
        if (end && a->has_tools && recipient(s, looked, &name, &n_name) &&
            vbc_reader_named(&a->reader, name, n_name)) {
            a->at = a->base + raw;
            a->place = VBC_IN_CALL;
            return true;
        }
        if (end) {
            a->body = kind_of(a, s, looked);
            vbc_say(a, VB_SAID_MARKS, raw);
            a->place = VBC_IN_BODY;
            return true;
        }
    }
    a->place = VBC_IN_BODY;
    vbc_say(a, a->body, 1);
    return true;
}

static bool in_body(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base;
    size_t size = 0, i = 0;
    if (n == 0) return false;
    while (i < n && s[i] != '<') i++;
    if (i > 0) {
        vbc_say(a, a->body, i);
        return true;
    }
    const vbc_fit end = one_of(ends, s, n, &size);
    if (end == VBC_YES) {
        vbc_say(a, VB_SAID_MARKS, size);
        a->body = VB_SAID_CONTENT;
        a->place = VBC_IN_HEADER;
        return true;
    }
    const vbc_fit begin = one_of(begins, s, n, &size);
    if ((end == VBC_PART || begin == VBC_PART) && !last) return false;
    if (begin == VBC_YES)
        a->place = VBC_IN_HEADER; /* which says at least a byte, if it is none */
    else
        vbc_say(a, a->body, 1);
    return true;
}

bool vbc_channels(vb_answer *a, bool last) {
    return a->place == VBC_IN_HEADER ? in_header(a, last) : in_body(a, last);
}
