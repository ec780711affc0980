/* calls.c - how a template writes calls and reasoning: the public functions, what follows from the pieces of
 * text that were found, and the formats of templates that show no calls. */
#include "chat/calls.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------- texts */

const char *vbc_keep(vb_calls *k, const char *s, size_t n) {
    void *texts = k->texts;
    char *copy = malloc(n + 1);
    if (!copy || vb_grow(&texts, &k->texts_room, k->n_texts + 1, sizeof *k->texts, "texts", NULL)) {
        free(copy);
        k->failed = true;
        return "";
    }
    memcpy(copy, s, n);
    copy[n] = 0;
    k->texts = texts;
    k->texts[k->n_texts++] = copy;
    return copy;
}

const char *vbc_keeps(vb_calls *k, const char *a, const char *b) {
    vb_buf s = {0};
    vb_buf_puts(&s, a);
    vb_buf_puts(&s, b);
    k->failed |= s.failed;
    const char *kept = s.failed ? "" : vbc_keep(k, s.s, s.n);
    vb_buf_free(&s);
    return kept;
}

/* Without the white space at both ends. */
static const char *trimmed(vb_calls *k, const char *s) {
    size_t n = strlen(s), from = vbc_spaces(s, n);
    while (n > from && vbc_space(s[n - 1])) n--;
    return vbc_keep(k, s + from, n - from);
}

/* ---------------------------------------------------------------------------------------- what follows */

/* Of `end` the part behind the object that holds the call: found by reading a call as the format has it. */
static const char *behind_object(vb_calls *k, const char *object) {
    const vbc_tools none = {0};
    vbc_reader r = {.k = k, .tools = &none, .any_name = true};
    vb_buf s = {0};
    size_t i = 0, end = 0;
    k->tail = "x"; /* nothing the object could end with */
    vb_buf_puts(&s, object);
    vb_buf_puts(&s, "f");
    vb_buf_puts(&s, k->f.between);
    vb_buf_puts(&s, "{}");
    end = s.n;
    vb_buf_puts(&s, k->f.end);
    for (size_t j = 0; j < s.n; j++)
        if (s.s[j] == 1) s.s[j] = '0';
    vbc_reader_start(&r, false);
    while (!s.failed && i < s.n && r.state != VBC_TAIL && vbc_read_byte(&r, s.s[i]) != VBC_WRONG) i++;
    const bool found = r.state == VBC_TAIL && i >= end;
    const char *tail = found ? vbc_keep(k, k->f.end + (i - end), s.n - i) : "";
    k->failed |= s.failed;
    vbc_reader_free(&r);
    vb_buf_free(&s);
    return tail;
}

void vbc_derive(vb_calls *k) {
    vb_call_format *f = &k->f;
    const char *begin = f->begin;
    k->trigger = k->next = k->tail = "";
    if (f->style == VB_CALLS_NONE) return;
    if (f->style == VB_CALLS_MEMBERS) {
        const char *object = strchr(f->begin, '{');
        k->tail = object ? trimmed(k, behind_object(k, object)) : "";
        begin = vbc_keep(k, f->begin, object ? (size_t)(object - f->begin) : 0);
    } else {
        k->tail = trimmed(k, f->style == VB_CALLS_PYTHON || f->style == VB_CALLS_GEMMA ? f->end + 1 : f->end);
    }
    if (k->channels) k->tail = "";
    k->trigger = trimmed(k, vbc_keeps(k, f->open, begin));
    if (f->style == VB_CALLS_MEMBERS && !*k->trigger) k->other = "<|python_tag|>";
    k->next = trimmed(k, vbc_keeps(k, f->separator, begin));
    if (f->style == VB_CALLS_TAGS) {
        k->item_or = vbc_keeps(k, f->between, f->item);
        k->end_or = vbc_keeps(k, f->between, f->end);
    }
}

/* --------------------------------------------------------------------- formats that templates do not show */

static bool holds(const char *s, size_t n, const char *what) {
    const size_t k = strlen(what);
    for (size_t i = 0; i + k <= n; i++)
        if (s[i] == *what && memcmp(s + i, what, k) == 0) return true;
    return false;
}

/* Such a template tells the model of tools, and the model was trained to answer so, but earlier calls are
 * left out of the prompt. `sign`: a text of the prompt, by which the format is known. */
static const struct known {
    const char *sign, *but; /* but: and this is in it, too; NULL: anything */
    vb_call_format f;
} known[] = {
    /* SmolLM3, and others that describe it in words: <tool_call> {"name": ..., "arguments": ...}
     * </tool_call> */
    {"<tool_call>",
     "\"arguments\"",
     {.style = VB_CALLS_MEMBERS,
      .open = "",
      .begin = "<tool_call>\n{\"name\": \"",
      .between = "\", \"arguments\": ",
      .end = "}\n</tool_call>",
      .separator = "\n",
      .close = ""}},
    /* Granite 3: "respond only with <|tool_call|> followed by a JSON list of tools used" */
    {"<|tool_call|>",
     NULL,
     {.style = VB_CALLS_MEMBERS,
      .open = "<|tool_call|>[",
      .begin = "{\"name\": \"",
      .between = "\", \"arguments\": ",
      .end = "}",
      .separator = ", ",
      .close = "]"}},
    /* Phi-4-mini: tools stand between <|tool|> and <|/tool|> in the system turn */
    {"<|tool|>",
     NULL,
     {.style = VB_CALLS_MEMBERS,
      .open = "<|tool_call|>[",
      .begin = "{\"name\": \"",
      .between = "\", \"arguments\": ",
      .end = "}",
      .separator = ", ",
      .close = "]<|/tool_call|>"}},
    /* Hammer: "a list of function calls", in JSON */
    {"[BEGIN OF AVAILABLE_TOOLS]",
     "\"arguments\"",
     {.style = VB_CALLS_MEMBERS,
      .open = "[",
      .begin = "{\"name\": \"",
      .between = "\", \"arguments\": ",
      .end = "}",
      .separator = ", ",
      .close = "]"}},
    /* LFM2 and the text models of LFM2.5 */
    {"<|tool_list_start|>",
     NULL,
     {.style = VB_CALLS_PYTHON,
      .open = "<|tool_call_start|>[",
      .begin = "",
      .between = "(",
      .end = ")",
      .separator = ", ",
      .close = "]<|tool_call_end|>"}},
    {"List of tools: [",
     "<|im_start|>",
     {.style = VB_CALLS_PYTHON,
      .open = "<|tool_call_start|>[",
      .begin = "",
      .between = "(",
      .end = ")",
      .separator = ", ",
      .close = "]<|tool_call_end|>"}},
};

static void take_known(vb_calls *k, const vb_call_format *from) {
    vb_call_format *f = &k->f;
    f->style = from->style;
    f->open = from->open;
    f->begin = from->begin;
    f->between = from->between;
    f->end = from->end;
    f->separator = from->separator;
    f->close = from->close;
    f->parallel = true;
}

void vbc_known(vb_calls *k, const char *prompt, size_t n) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!holds(prompt, n, known[i].sign) || (known[i].but && !holds(prompt, n, known[i].but))) continue;
        take_known(k, &known[i].f);
        return;
    }
}

bool vbc_known_channels(vb_calls *k, const char *prompt, size_t n) {
    static const vb_call_format f = {.style = VB_CALLS_NAMED,
                                     .open = "",
                                     .begin = "<|channel|>commentary to=functions.",
                                     .between = " <|constrain|>json<|message|>",
                                     .end = "<|call|>",
                                     .separator = "",
                                     .close = ""};
    static const char open[] = "<|start|>assistant";
    if (n < sizeof open - 1 || memcmp(prompt + n - (sizeof open - 1), open, sizeof open - 1) != 0 ||
        !holds(prompt, n, "<|message|>"))
        return false;
    take_known(k, &f);
    k->f.parallel = false; /* <|call|> ends the answer */
    k->channels = true;
    k->f.think = "<|channel|>analysis<|message|>";
    k->f.think_end = "<|end|><|start|>assistant";
    k->f.think_key = "thinking";
    return true;
}

/* ----------------------------------------------------------------------------------------------- public */

int vb_calls_open(vb_calls **out, const vb_chat *c, const vb_tokenizer *t, vb_error *err) {
    vb_begin(err);
    vb_calls *k = NULL;
    if (!c) return vb_fail(err, VB_ERR_ARGUMENT, "calls: no chat template: open one first");
    int rc = vb_alloc((void **)&k, 1, sizeof *k, "a format of calls", err);
    if (rc) return rc;
    vb_call_format *f = &k->f;
    const char **const texts[] = {&f->lead,      &f->open,  &f->begin,     &f->between,   &f->end,
                                  &f->separator, &f->close, &f->item,      &f->value,     &f->value_other,
                                  &f->item_end,  &f->think, &f->think_end, &f->think_key, &f->everyone};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) *texts[i] = "";
    k->chat = c;
    k->tokenizer = t;
    rc = vbc_probe(k, err);
    if (!rc) vbc_derive(k);
    if (!rc && k->failed) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for a format of calls");
    if (rc) {
        vb_calls_close(k);
        return rc;
    }
    *out = k;
    return VB_OK;
}

void vb_calls_close(vb_calls *k) {
    if (!k) return;
    for (size_t i = 0; i < k->n_texts; i++) free(k->texts[i]);
    free(k->texts);
    free(k);
}

const vb_call_format *vb_calls_format(const vb_calls *k) {
    return &k->f;
}

/* The last byte of `s` that is not white space stands before this. */
static size_t end_of(const char *s, size_t n) {
    while (n > 0 && vbc_space(s[n - 1])) n--;
    return n;
}

bool vb_calls_thinking(const vb_calls *k, const vb_prompt *p) {
    const char *think = k->f.think;
    const size_t n = end_of(p->text, p->len), from = vbc_spaces(think, strlen(think)),
                 size = end_of(think, strlen(think));
    if (k->channels || size <= from || n < size - from) return false;
    const size_t at = n - (size - from);
    if (memcmp(p->text + at, think + from, size - from) != 0) return false;
    /* The conversation's bytes open nothing. */
    for (size_t i = 0, begin = 0; i < p->n_spans; begin = p->spans[i++].end)
        if (p->spans[i].given && begin < n && p->spans[i].end > at) return false;
    return true;
}
