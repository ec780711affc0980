/* answer_recipients.c - Functionary: an answer is a chain of messages, and each begins with the name of whom
 * it is for.
 *
 *   all
 *   TEXT>>>f
 *   {"a": 1}>>>g
 *   {}
 *
 * The prompt ends behind the mark that stands before every other name (here >>>). */
#include "chat/calls.h"

#include <string.h>

enum { NAME_LIMIT = 128 }; /* bytes of a name */

static vbc_fit begins_with(const char *s, size_t n, const char *what) {
    const size_t k = strlen(what);
    if (memcmp(s, what, k < n ? k : n) != 0) return VBC_NO;
    return n < k ? VBC_PART : VBC_YES;
}

/* What a message begins with: a mark, a name, what the format puts behind it. */
typedef struct head {
    size_t name, n_name, size;
} head;

static bool is_everyone(const vb_answer *a, const char *name, size_t n) {
    const char *everyone = a->k->f.everyone;
    return n == strlen(everyone) && memcmp(name, everyone, n) == 0;
}

static vbc_fit read_head(const vb_answer *a, const char *mark, const char *s, size_t n, head *h) {
    const vbc_fit marked = begins_with(s, n, mark);
    if (marked != VBC_YES) return marked;
    const char *between = a->k->f.between;
    size_t i = strlen(mark);
    h->name = i;
    while (i < n && vbc_name_byte(s[i])) i++;
    h->n_name = i - h->name;
    h->size = i + strlen(between);
    if (h->n_name > NAME_LIMIT) return VBC_NO;
    if (i == n) return VBC_PART;
    const vbc_fit fit = h->n_name > 0 ? begins_with(s + i, n - i, between) : VBC_NO;
    if (fit != VBC_YES || is_everyone(a, s + h->name, h->n_name)) return fit;
    const bool tool = a->has_tools && (a->reader.any_name || vbc_tool(&a->tools, s + h->name, h->n_name));
    return tool ? VBC_YES : VBC_NO;
}

static void begin_message(vb_answer *a, size_t from, const head *h) {
    const char *name = a->in.s + a->base + from + h->name;
    if (!is_everyone(a, name, h->n_name) && vbc_reader_named(&a->reader, name, h->n_name)) {
        a->at = a->base + from + h->size;
        a->place = VBC_IN_CALL;
        return;
    }
    vbc_say(a, VB_SAID_MARKS, from + h->size);
    a->place = VBC_IN_BODY;
}

/* The answer's first message. What does not begin as one is content. */
static bool in_header(vb_answer *a, bool last) {
    const size_t n = a->in.n - a->base;
    head h;
    const vbc_fit fit = read_head(a, "", a->in.s + a->base, n, &h);
    if (n == 0 || (fit == VBC_PART && !last)) return false;
    if (fit == VBC_YES)
        begin_message(a, 0, &h);
    else
        a->place = VBC_IN_BODY;
    return true;
}

static bool in_body(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base, *mark = a->k->f.separator;
    const size_t n = a->in.n - a->base;
    size_t i = 0;
    head h;
    if (n == 0) return false;
    while (i < n && s[i] != *mark) i++;
    if (i > 0) {
        vbc_say(a, VB_SAID_CONTENT, i);
        return true;
    }
    const vbc_fit fit = read_head(a, mark, s, n, &h);
    if (fit == VBC_PART && !last) return false;
    if (fit == VBC_YES)
        begin_message(a, 0, &h);
    else
        vbc_say(a, VB_SAID_CONTENT, 1);
    return true;
}

/* White space between a call and what follows it belongs to neither. */
static bool behind_call(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base, spaces = vbc_spaces(s, n);
    vbc_fit fit = VBC_NO;
    size_t from = 0;
    head h;
    if (n == 0) return false;
    /* The mark may begin with white space of its own. */
    for (;; from = spaces) {
        fit = read_head(a, a->k->f.separator, s + from, n - from, &h);
        if (fit != VBC_NO || from == spaces) break;
    }
    if ((fit == VBC_PART || spaces == n) && !last) return false;
    if (fit == VBC_YES)
        begin_message(a, from, &h);
    else if (spaces == n)
        vbc_say(a, VB_SAID_MARKS, n);
    else
        a->place = VBC_IN_BODY;
    return true;
}

bool vbc_recipients(vb_answer *a, bool last) {
    if (a->place == VBC_IN_HEADER) return in_header(a, last);
    return a->place == VBC_BEHIND_CALL ? behind_call(a, last) : in_body(a, last);
}
