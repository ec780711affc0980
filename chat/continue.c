/* continue.c - going on with the last message of a conversation instead of answering it. As transformers does
 * it: a tag is put behind the message's content, the conversation is rendered without a generation prompt,
 * and the text ends where the tag stands. The tag ends in a space: a template that trims contents takes it
 * off, and then the text's own white space at this place goes, too. */
#include "chat/run.h"

#include <stdio.h>
#include <string.h>

/* A tag that the request does not hold: it is made of all of the request. FNV-1a. */
static uint64_t mix(uint64_t h, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h;
}

static vbt_val make_tag(vbt *t, const vb_chat_request *q) {
    uint64_t h = 0xcbf29ce484222325u;
    char tag[48];
    if (q->variables) h = mix(h, q->variables, q->n_variables);
    for (size_t i = 0; q->messages && i < q->n_messages; i++)
        h = mix(h, q->messages[i].content, strlen(q->messages[i].content));
    const int n = snprintf(tag, sizeof tag, "CONTINUE%016llXHERE ", (unsigned long long)h);
    return vbt_text(t, tag, (size_t)n, true);
}

/* The text that is gone on with: a message's content, or the last text of its parts. NULL: there is none. */
static vbt_dict *find_text(vbt *t, const vbt_val *messages, const char **key) {
    if (!messages || messages->type != VBT_LIST || messages->u.list->n == 0) return NULL;
    const vbt_val last = messages->u.list->v[messages->u.list->n - 1];
    const vbt_val *content = last.type == VBT_DICT ? vbt_dict_name(t, last.u.dict, "content") : NULL;
    *key = "content";
    if (content && content->type == VBT_STR) return last.u.dict;
    *key = "text";
    for (size_t i = content && content->type == VBT_LIST ? content->u.list->n : 0; i-- > 0;) {
        const vbt_val part = content->u.list->v[i];
        const vbt_val *text = part.type == VBT_DICT ? vbt_dict_name(t, part.u.dict, "text") : NULL;
        if (text && text->type == VBT_STR) return part.u.dict;
    }
    return NULL;
}

vbt_val vbt_continue_mark(vbt *t, const vb_chat_request *q) {
    const vbt_dict *d = t->variables;
    const vbt_val *asked = vbt_dict_name(t, d, "add_generation_prompt");
    const char *key;
    if (asked && vbt_truth(t, *asked))
        vbt_raise(t, "the last message cannot be gone on with and answered (add_generation_prompt) at once");
    vbt_dict *at = find_text(t, vbt_dict_name(t, d, "messages"), &key);
    if (!at) vbt_raise(t, "the last message has no text that could be gone on with");
    const vbt_val tag = make_tag(t, q);
    vbt_dict_set(t, at, vbt_word(t, key), vbt_join(t, vbt_dict_name(t, at, key)->u.s, tag.u.s));
    return tag;
}

vbt_val vbt_continue_cut(vbt *t, const vbt_str *text, vbt_val tag) {
    const vbt_str *whole = tag.u.s, *mark = vbt_part(t, whole, 0, whole->n - 1).u.s;
    const size_t at = vbt_rfind(t, text, 0, text->n, mark);
    if (at == SIZE_MAX)
        vbt_raise(t, "the template does not show the last message as it is, so it cannot be gone on with");
    const bool kept = at + mark->n < text->n && text->s[at + mark->n] == ' ';
    const vbt_val before = vbt_part(t, text, 0, at);
    return kept ? before : vbt_strip(t, before.u.s, NULL, 2);
}
