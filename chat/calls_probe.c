/* calls_probe.c - how a template writes calls and reasoning, found by rendering conversations through it.
 *
 * A conversation with a call whose name, keys and values are words that occur nowhere else is rendered; what
 * stands between the words is the format. A second call shows what repeats, an answer of plain text what
 * belongs to the turn and not to the call. */
#include "chat/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER  "vbuser"
#define SAID  "vbsaid"
#define THINK "vbthought"
#define NAME  "vbtoola"
#define OTHER "vbtoolb"
#define KEY_A "vbkeya"
#define KEY_B "vbkeyb"
#define TEXT  "vbtexta"
#define COUNT "47110815"

/* A piece of a rendering. */
typedef struct piece {
    const char *s;
    size_t n;
} piece;

typedef struct probe {
    vb_calls *k;
    bool text;     /* arguments are a string */
    bool thinking; /* it is asked for */
    bool null;     /* content is null where there is none */
    int ids;       /* which of `ids` below */
    vb_prompt one, two, led, plain, open;
    vb_error *err;
    int rc; /* out of memory */
} probe;

static const char *const ids[][2] = {{"vbid00001", "vbid00002"},
                                     {"functions." NAME ":0", "functions." OTHER ":1"}};

/* ------------------------------------------------------------------------------------------- rendering */

/* What the template makes of these messages, from the last user's text on; false: it raises, or leaves out
 * that text. */
static bool render(probe *p, const char *messages, bool tools, bool open, vb_prompt *out) {
    static const int date[6] = {2024, 7, 26, 12, 0, 0};
    static const char list[] =
        "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"" NAME "\", \"description\": \"d\", "
        "\"parameters\": {\"type\": \"object\", \"properties\": {\"" KEY_A "\": {\"type\": \"string\", "
        "\"description\": \"d\"}, \"" KEY_B
        "\": {\"type\": \"integer\", \"description\": \"d\"}}, \"required\": "
        "[\"" KEY_A "\"]}}}, {\"type\": \"function\", \"function\": {\"name\": \"" OTHER
        "\", \"description\": "
        "\"d\", \"parameters\": {\"type\": \"object\", \"properties\": {\"" KEY_A
        "\": {\"type\": \"string\", "
        "\"description\": \"d\"}}, \"required\": [\"" KEY_A "\"]}}}], ";
    static const char tokens[] = "\"bos_token\": \"\", \"eos_token\": \"\", ",
                      thinking[] = "\"thinking\": true, \"enable_thinking\": true, ";
    vb_error err = {0};
    vb_buf v = {0};
    vb_buf_addf(&v, "{%s%s%s\"messages\": %s}", p->k->tokenizer ? "" : tokens, p->thinking ? thinking : "",
                tools ? list : "", messages);
    const vb_chat_request r = {.variables = v.s, .n_variables = v.n, .open_turn = open, .date = date};
    vb_prompt_free(out);
    const int rc = v.failed ? VB_ERR_MEMORY : vb_chat_render(p->k->chat, p->k->tokenizer, &r, out, &err);
    vb_buf_free(&v);
    if (rc == VB_ERR_MEMORY)
        p->rc = vb_fail(p->err, rc, "out of memory while looking for the format of calls");
    return rc == 0;
}

/* A call as the probe's answer holds it; the first one has two arguments. */
static void put_call(vb_buf *b, const probe *p, int which, bool empty) {
    static const char *const names[] = {NAME, OTHER};
    const char *arguments = empty        ? "{}"
                            : which == 0 ? "{\"" KEY_A "\": \"" TEXT "\", \"" KEY_B "\": " COUNT "}"
                                         : "{\"" KEY_A "\": \"" TEXT "\"}";
    vb_buf_addf(b,
                "%s{\"id\": \"%s\", \"type\": \"function\", \"function\": {\"name\": \"%s\", \"arguments\": ",
                which ? ", " : "", ids[p->ids][which], names[which]);
    if (p->text)
        vbc_json_put(b, arguments, strlen(arguments));
    else
        vb_buf_puts(b, arguments);
    vb_buf_puts(b, "}}");
}

static bool render_calls(probe *p, int n, bool content, vb_prompt *out) {
    vb_buf b = {0};
    vb_buf_addf(&b,
                "[{\"role\": \"user\", \"content\": \"" USER
                "\"}, {\"role\": \"assistant\", \"content\": %s, "
                "\"tool_calls\": [",
                content   ? "\"" SAID "\""
                : p->null ? "null"
                          : "\"\"");
    for (int i = 0; i < n; i++) put_call(&b, p, i, false);
    vb_buf_puts(&b, "]}]");
    const bool ok = !b.failed && render(p, b.s, true, false, out);
    if (b.failed)
        p->rc = vb_fail(p->err, VB_ERR_MEMORY, "out of memory while looking for the format of calls");
    vb_buf_free(&b);
    return ok;
}

/* ---------------------------------------------------------------------------------------------- finding */

static piece whole(const vb_prompt *p) {
    return (piece){p->text ? p->text : "", p->len};
}

static size_t find_from(piece in, size_t from, const char *what) {
    const size_t n = strlen(what);
    for (size_t i = from; i + n <= in.n; i++)
        if (memcmp(in.s + i, what, n) == 0) return i;
    return SIZE_MAX;
}

static size_t find_last(piece in, const char *what) {
    size_t at = SIZE_MAX;
    for (size_t i = find_from(in, 0, what); i != SIZE_MAX; i = find_from(in, i + 1, what)) at = i;
    return at;
}

/* The turns behind the user's text. */
static piece answer(const vb_prompt *p) {
    piece all = whole(p);
    const size_t at = find_last(all, USER), from = at == SIZE_MAX ? all.n : at + strlen(USER);
    return (piece){all.s + from, all.n - from};
}

static size_t common_start(piece a, piece b) {
    size_t i = 0;
    while (i < a.n && i < b.n && a.s[i] == b.s[i]) i++;
    return i;
}

static size_t common_end(piece a, piece b) {
    size_t i = 0;
    while (i < a.n && i < b.n && a.s[a.n - 1 - i] == b.s[b.n - 1 - i]) i++;
    return i;
}

static piece part(piece a, size_t from, size_t to) {
    return (piece){a.s + from, to - from};
}

static const char *keep(vb_calls *k, piece a) {
    return vbc_keep(k, a.s, a.n);
}

/* The beginning of a as far as it is whole tags: two that begin alike are not the same. */
static size_t whole_tags(piece a, size_t n) {
    for (size_t i = n; i > 0; i--) {
        if (a.s[i - 1] == '>') break;
        if (a.s[i - 1] == '<') return i - 1;
    }
    return n;
}

/* The end of a, n bytes of it, as far as it begins where a piece of text can: not inside a tag. */
static size_t whole_end(piece a, size_t n) {
    if (n == a.n) return n;
    while (n > 0 && !strchr("<[{", a.s[a.n - n])) n--;
    return n;
}

/* --------------------------------------------------------------------------------------------- reasoning */

/* The tag that ends before `to`, white space between left out. SIZE_MAX: none. */
static size_t tag_before(piece a, size_t to) {
    while (to > 0 && vbc_space(a.s[to - 1])) to--;
    if (to == 0 || (a.s[to - 1] != '>' && a.s[to - 1] != ']')) return SIZE_MAX;
    const char open = a.s[to - 1] == '>' ? '<' : '[';
    while (to > 0 && a.s[to - 1] != open) to--;
    return to ? to - 1 : SIZE_MAX;
}

/* Behind the first tag at or after `from` and the white space behind it; SIZE_MAX: none follows. */
static size_t tag_behind(piece a, size_t from) {
    size_t i = from + vbc_spaces(a.s + from, a.n - from);
    if (i == a.n || (a.s[i] != '<' && a.s[i] != '[')) return SIZE_MAX;
    const char close = a.s[i] == '<' ? '>' : ']';
    while (i < a.n && a.s[i] != close) i++;
    return i == a.n ? SIZE_MAX : i + 1 + vbc_spaces(a.s + i + 1, a.n - i - 1);
}

static bool shown_reasoning(probe *p, const char *key, bool tools) {
    vb_buf b = {0};
    vb_prompt out = {0};
    vb_call_format *f = &p->k->f;
    vb_buf_addf(&b,
                "[{\"role\": \"user\", \"content\": \"" USER
                "\"}, {\"role\": \"assistant\", \"content\": \"" SAID "\", \"%s\": \"" THINK "\"}]",
                key);
    bool found = !b.failed && render(p, b.s, tools, false, &out);
    const piece a = found ? answer(&out) : (piece){"", 0};
    const size_t at = find_from(a, 0, THINK), from = at == SIZE_MAX ? at : tag_before(a, at),
                 behind = at == SIZE_MAX ? at : tag_behind(a, at + strlen(THINK));
    found = from != SIZE_MAX && behind != SIZE_MAX;
    if (found) {
        f->think = keep(p->k, part(a, from, at));
        f->think_end = keep(p->k, part(a, at + strlen(THINK), behind));
        f->think_key = vbc_keep(p->k, key, strlen(key));
    }
    vb_prompt_free(&out);
    vb_buf_free(&b);
    return found;
}

/* Markers that templates look for in earlier answers, or end their prompts with, without showing
 * reasoning. */
static const struct known_thought {
    const char *begin, *end, *think, *think_end;
} known_thoughts[] = {
    {"<think>", "</think>", "<think>\n", "\n</think>\n\n"},
    {"<|START_THINKING|>", "<|END_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>"},
    {"[THINK]", "[/THINK]", "[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>", "<seed:think>", "</seed:think>"},
    {"<|channel>thought\n", "<channel|>", "<|channel>thought\n", "<channel|>"},
};

/* An earlier answer's thoughts are left out by templates that know the markers. */
static bool drops_thought(probe *p, const struct known_thought *t) {
    vb_buf b = {0}, said = {0};
    vb_prompt out = {0};
    vb_buf_addf(&said, "%s" THINK "%s" SAID, t->think, t->think_end);
    vb_buf_puts(&b,
                "[{\"role\": \"user\", \"content\": \"" USER "\"}, {\"role\": \"assistant\", \"content\": ");
    if (!said.failed) vbc_json_put(&b, said.s, said.n);
    vb_buf_puts(&b, "}, {\"role\": \"user\", \"content\": \"vbagain\"}]");
    const bool ok = !b.failed && !said.failed && render(p, b.s, false, false, &out),
               drops = ok && find_from(whole(&out), 0, THINK) == SIZE_MAX &&
                       find_from(whole(&out), 0, SAID) != SIZE_MAX;
    vb_prompt_free(&out);
    vb_buf_free(&said);
    vb_buf_free(&b);
    return drops;
}

static void find_reasoning(probe *p) {
    static const char *const keys[] = {"reasoning_content", "reasoning", "thinking"};
    vb_call_format *f = &p->k->f;
    for (size_t i = 0; i < 4 * sizeof keys / sizeof *keys; i++) {
        p->thinking = i >= 2 * sizeof keys / sizeof *keys;
        const bool shown = shown_reasoning(p, keys[i / 2 % (sizeof keys / sizeof *keys)], i % 2);
        p->thinking = false;
        if (shown || p->rc) return;
    }
    const piece open = answer(&p->open), one = answer(&p->one);
    for (size_t i = 0; i < sizeof known_thoughts / sizeof *known_thoughts; i++) {
        const struct known_thought *t = &known_thoughts[i];
        if (find_from(open, 0, t->begin) == SIZE_MAX && find_from(open, 0, t->end) == SIZE_MAX &&
            find_from(one, 0, t->end) == SIZE_MAX && !drops_thought(p, t))
            continue;
        f->think = t->think;
        f->think_end = t->think_end;
        return;
    }
}

/* ----------------------------------------------------------------------------------- pieces around a call */

/* The call's parts in the answer that holds it alone. */
typedef struct places {
    size_t header, name, name_end, args, args_end;
} places;

/* Where the JSON object that begins at `from` ends; SIZE_MAX: it is none. */
static size_t object_end(piece a, size_t from) {
    vbc_json j = {0};
    for (size_t i = from; i < a.n; i++) {
        const vbc_step step = vbc_json_byte(&j, (unsigned char)a.s[i]);
        if (step == VBC_WRONG) return SIZE_MAX;
        if (step == VBC_DONE) return i + 1;
    }
    return SIZE_MAX;
}

/* The object whose first key is the probe's: back to its { over white space and the quote. */
static size_t object_start(piece a, size_t key) {
    if (key == 0 || a.s[key - 1] != '"') return SIZE_MAX;
    size_t i = key - 1;
    while (i > 0 && vbc_space(a.s[i - 1])) i--;
    return i > 0 && a.s[i - 1] == '{' ? i - 1 : SIZE_MAX;
}

/* The turn's own text before calls: what an answer of plain text or an open turn begins with, too. */
static size_t header_of(const probe *p, piece one) {
    const size_t plain = whole_tags(one, common_start(one, answer(&p->plain))),
                 open = whole_tags(one, common_start(one, answer(&p->open)));
    const vb_call_format *f = &p->k->f;
    size_t at = plain > open ? plain : open, used = 0, end = 0;
    at += vbc_spaces(one.s + at, one.n - at);
    /* Empty reasoning that the template writes before a call is no part of it; its first marker may be the
     * prompt's. */
    const size_t skip = vbc_spaces(f->think_end, strlen(f->think_end));
    if (*f->think && vbc_match(f->think, one.s + at, one.n - at, &used, NULL) == VBC_YES) at += used;
    at += vbc_spaces(one.s + at, one.n - at);
    if (*f->think && vbc_match(f->think_end + skip, one.s + at, one.n - at, &end, NULL) == VBC_YES) at += end;
    return at + vbc_spaces(one.s + at, one.n - at);
}

/* The pieces as they stand in one answer with an id in place of the byte 1. */
static const char *with_id(vb_calls *k, piece a, const char *id) {
    const size_t at = find_from(a, 0, id), n = strlen(id);
    if (at == SIZE_MAX) return keep(k, a);
    vb_buf b = {0};
    vb_buf_add(&b, a.s, at);
    vb_buf_add(&b, "\1", 1);
    vb_buf_add(&b, a.s + at + n, a.n - at - n);
    k->failed |= b.failed;
    const char *s = b.failed ? "" : vbc_keep(k, b.s, b.n);
    vb_buf_free(&b);
    return s;
}

/* Numbers that count calls: "tool_call_id": "0" in the first, "1" in the second. */
static piece counted(vb_calls *k, piece a, char digit) {
    const char quoted[] = {'"', digit, '"', 0}, *const bare = quoted;
    const size_t at = find_from(a, 0, bare);
    if (at == SIZE_MAX) return a;
    char *copy = (char *)(uintptr_t)keep(k, a);
    if (!*copy) return a;
    copy[at + 1] = 1;
    return (piece){copy, a.n};
}

static piece text_of(const char *s) {
    return (piece){s, strlen(s)};
}

/* before: up to the name; after: behind the arguments. A second call tells what of them repeats. */
static void split(probe *p, piece before, piece after, piece gap) {
    vb_calls *k = p->k;
    vb_call_format *f = &k->f;
    const piece plain = answer(&p->plain);
    const size_t said = find_from(plain, 0, SAID);
    const piece behind = said == SIZE_MAX ? (piece){"", 0} : part(plain, said + strlen(SAID), plain.n);
    size_t turn = common_end(after, behind);
    if (turn < behind.n) turn = whole_end(after, turn);
    after.n -= turn;
    if (gap.n == 0) { /* one call is all that the template writes */
        f->begin = keep(k, before);
        f->end = keep(k, after);
        return;
    }
    const size_t begin = whole_end(before, common_end(before, gap));
    const piece rest = part(gap, 0, gap.n - begin);
    const size_t end = common_start(rest, after);
    f->open = keep(k, part(before, 0, before.n - begin));
    f->begin = keep(k, part(before, before.n - begin, before.n));
    f->separator = keep(k, part(rest, end, rest.n));
    f->end = keep(k, part(after, 0, end));
    f->close = keep(k, part(after, end, after.n));
    f->parallel = true;
}

/* What stands between two calls in one answer; empty: the template does not write two. */
static piece gap_of(probe *p, const places *w, piece one) {
    if (!render_calls(p, 2, false, &p->two)) return (piece){"", 0};
    const piece two = answer(&p->two);
    if (two.n < w->args_end || memcmp(one.s, two.s, w->args_end) != 0) return (piece){"", 0};
    const size_t name = find_from(two, w->args_end, OTHER);
    return name == SIZE_MAX ? (piece){"", 0} : part(two, w->args_end, name);
}

static void find_lead(probe *p) {
    const vb_call_format *f = &p->k->f;
    if (!render_calls(p, 1, true, &p->led)) return;
    const piece a = answer(&p->led);
    const size_t said = find_last(a, SAID), from = said == SIZE_MAX ? said : said + strlen(SAID);
    const char *first = *f->open ? f->open : f->begin;
    if (from == SIZE_MAX || !*first) return;
    const size_t spaces = vbc_spaces(a.s + from, a.n - from);
    const piece at = part(a, from + spaces, a.n);
    if (common_start(at, text_of(first)) > 0 || *first == 1)
        p->k->f.lead = keep(p->k, part(a, from, from + spaces));
}

/* -------------------------------------------------------------------------------------------- the styles */

/* {"name": "f", "arguments": {...}}: a key stands before the name, and one between it and the arguments. */
static bool is_members(piece before, piece between) {
    size_t i = before.n;
    if (i == 0 || before.s[i - 1] != '"') return false;
    i--;
    while (i > 0 && vbc_space(before.s[i - 1])) i--;
    if (i == 0 || before.s[i - 1] != ':') return false;
    const size_t comma = find_from(between, 0, ","), key = find_from(between, 0, "\"");
    return key == 0 && comma != SIZE_MAX && memchr(between.s, ':', between.n) != NULL &&
           memchr(before.s, '{', before.n) != NULL;
}

/* Arguments between tags: A vbkeya V vbtexta B vbkeyb W 47110815 C. */
static bool tags(probe *p, piece a, places *w, size_t key_a) {
    vb_calls *k = p->k;
    vb_call_format *f = &k->f;
    const size_t text = find_from(a, key_a, TEXT), key_b = find_from(a, key_a, KEY_B),
                 count = find_from(a, key_a, COUNT);
    if (text == SIZE_MAX || key_b == SIZE_MAX || count == SIZE_MAX || text > key_b || key_b > count)
        return false;
    const piece head = part(a, w->name_end, key_a), value = part(a, key_a + strlen(KEY_A), text),
                inner = part(a, text + strlen(TEXT), key_b), other = part(a, key_b + strlen(KEY_B), count);
    size_t item = head.n;
    while (item > 0 && head.s[item - 1] != '<') item--;
    if (item == 0 || value.n == 0) return false;
    item--;
    const piece tag = part(head, item, head.n);
    if (inner.n <= tag.n || memcmp(inner.s + inner.n - tag.n, tag.s, tag.n) != 0) return false;
    f->style = VB_CALLS_TAGS;
    f->between = keep(k, part(head, 0, item));
    f->item = keep(k, tag);
    f->value = keep(k, value);
    f->value_other = keep(k, other);
    f->item_end = keep(k, part(inner, 0, inner.n - tag.n));
    w->args = w->name_end + item;
    w->args_end = count + strlen(COUNT) + strlen(f->item_end);
    if (w->args_end > a.n ||
        memcmp(a.s + w->args_end - strlen(f->item_end), f->item_end, strlen(f->item_end)) != 0)
        return false;
    return true;
}

/* f(a=1, b="x") and call:f{a:1,b:<|"|>x<|"|>}: what ends the arguments closes what opened them. */
static bool literal(probe *p, piece a, places *w, size_t key_a) {
    vb_call_format *f = &p->k->f;
    const char *after = a.s + key_a + strlen(KEY_A);
    if (w->name_end + 1 != key_a || (*after != '=' && *after != ':')) return false;
    const char open = a.s[w->name_end], close = open == '(' ? ')' : '}';
    const size_t count = find_from(a, key_a, COUNT);
    if ((open != '(' && open != '{') || (open == '(') != (*after == '=') || count == SIZE_MAX) return false;
    w->args = key_a;
    w->args_end = count + strlen(COUNT);
    if (w->args_end >= a.n || a.s[w->args_end] != close) return false;
    f->style = open == '(' ? VB_CALLS_PYTHON : VB_CALLS_GEMMA;
    f->between = open == '(' ? "(" : "{";
    return true;
}

/* Which style the call is written in, and where its arguments stand. */
static bool find_style(probe *p, piece a, places *w) {
    vb_call_format *f = &p->k->f;
    const size_t key = find_from(a, w->name_end, KEY_A);
    if (key == SIZE_MAX) return false;
    const size_t object = object_start(a, key), end = object == SIZE_MAX ? object : object_end(a, object);
    if (end == SIZE_MAX) return literal(p, a, w, key) || tags(p, a, w, key);
    const piece between = part(a, w->name_end, object);
    w->args = object;
    w->args_end = end;
    f->style = is_members(part(a, w->header, w->name), between) ? VB_CALLS_MEMBERS : VB_CALLS_NAMED;
    f->between = with_id(p->k, between, p->ids ? "0" : ids[0][0]);
    return true;
}

/* Whether the prompt ends with this mark, so that an answer begins behind it. */
static bool in_prompt(const probe *p, const char *mark) {
    const piece open = answer(&p->open);
    const size_t n = strlen(mark);
    return open.n >= n && memcmp(open.s + open.n - n, mark, n) == 0;
}

/* Functionary's answers begin with the name of a tool, or with one that stands for everyone: text is behind
 * it. False: an answer of text begins otherwise. */
static bool find_everyone(probe *p) {
    vb_call_format *f = &p->k->f;
    const piece open = answer(&p->open), plain = answer(&p->plain), between = text_of(f->between);
    size_t end = open.n;
    if (plain.n < open.n || memcmp(plain.s, open.s, open.n) != 0 || *f->end || *f->close || !f->parallel ||
        between.n == 0)
        return false;
    while (end < plain.n && vbc_name_byte(plain.s[end])) end++;
    const piece said = part(plain, end, plain.n);
    if (end == open.n || said.n < between.n || memcmp(said.s, between.s, between.n) != 0 ||
        find_from(said, between.n, SAID) != between.n)
        return false;
    f->everyone = keep(p->k, part(plain, open.n, end));
    f->separator = vbc_keeps(p->k, f->separator, f->begin);
    f->begin = "";
    p->k->recipients = true;
    return *f->separator;
}

/* The call as the template shows it; false: it does not. */
static bool find_call(probe *p) {
    vb_calls *k = p->k;
    vb_call_format *f = &k->f;
    const piece a = answer(&p->one);
    places w = {.name = find_from(a, 0, NAME)};
    if (w.name == SIZE_MAX) return false;
    w.name_end = w.name + strlen(NAME);
    w.header = header_of(p, a);
    if (w.header > w.name || !find_style(p, a, &w)) {
        f->style = VB_CALLS_NONE;
        return false;
    }
    piece before = part(a, w.header, w.name), after = part(a, w.args_end, a.n), gap = gap_of(p, &w, a);
    if (p->ids == 0) {
        const piece was = before;
        before = text_of(with_id(k, before, ids[0][0]));
        after = text_of(with_id(k, after, ids[0][0]));
        gap = text_of(with_id(k, text_of(with_id(k, gap, ids[0][0])), ids[0][1]));
        if (gap.n > 0 && !memchr(before.s, 1, before.n)) {
            const piece first = counted(k, was, '0'), second = counted(k, gap, '1');
            f->id_counts = first.s != was.s && second.s != gap.s;
            if (f->id_counts) before = first, gap = second;
        }
    } else {
        f->id_counts = true;
    }
    split(p, before, after, gap);
    find_lead(p);
    f->probed = true;
    if (f->style == VB_CALLS_NAMED && !*f->open && in_prompt(p, f->begin) && !find_everyone(p)) {
        f->style = VB_CALLS_NONE;
        f->parallel = f->probed = false;
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- together */

static const char plain_messages[] =
    "[{\"role\": \"user\", \"content\": \"" USER "\"}, {\"role\": \"assistant\", \"content\": \"" SAID "\"}]",
                  open_messages[] = "[{\"role\": \"user\", \"content\": \"" USER "\"}]",
                  system_messages[] = "[{\"role\": \"system\", \"content\": \"s\", \"tools\": \"" NAME
                                      "\"}, {\"role\": \"user\", \"content\": \"" USER "\"}]";

/* Whether the call's arguments, and its name, stand in what was rendered. */
static bool shows_call(probe *p) {
    const piece a = answer(&p->one);
    const size_t name = find_from(a, 0, NAME);
    return name != SIZE_MAX && find_from(a, name, KEY_A) != SIZE_MAX;
}

/* Renders the call in the ways that templates want it, until it shows. */
static bool try_calls(probe *p) {
    for (int way = 0; way < 8; way++) {
        p->text = way & 1;
        p->null = way & 2;
        p->ids = way >> 2;
        if (render_calls(p, 1, false, &p->one) && shows_call(p)) return true;
        if (p->rc) return false;
    }
    p->text = p->null = false;
    p->ids = 0;
    render_calls(p, 1, false, &p->one);
    return false;
}

/* Ids that are not nine letters and digits are refused by some templates. */
static bool wants_short_ids(probe *p) {
    static const char messages[] =
        "[{\"role\": \"user\", \"content\": \"" USER "\"}, {\"role\": \"assistant\", \"content\": \"\", "
        "\"tool_calls\": [{\"id\": \"call_vb_0001\", \"type\": \"function\", \"function\": {\"name\": \"" NAME
        "\", \"arguments\": {\"" KEY_A "\": \"" TEXT "\"}}}]}]";
    vb_prompt out = {0};
    const bool taken = render(p, messages, true, false, &out);
    vb_prompt_free(&out);
    return !taken && !p->text && !p->null;
}

/* Content in parts of text comes out as the text. */
static bool takes_parts(probe *p) {
    static const char messages[] =
        "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"" USER "\"}]}]";
    vb_prompt out = {0};
    const bool taken =
        render(p, messages, false, true, &out) && find_from(whole(&out), 0, USER) != SIZE_MAX &&
        find_from(whole(&out), 0, "'type'") == SIZE_MAX && find_from(whole(&out), 0, "\"type\"") == SIZE_MAX;
    vb_prompt_free(&out);
    return taken;
}

int vbc_probe(vb_calls *k, vb_error *err) {
    probe p = {.k = k, .err = err};
    vb_prompt system = {0};
    if (!render(&p, plain_messages, true, false, &p.plain))
        render(&p, plain_messages, false, false, &p.plain);
    if (!render(&p, open_messages, true, true, &p.open)) render(&p, open_messages, false, true, &p.open);
    k->f.tools = find_from(whole(&p.open), 0, NAME) != SIZE_MAX;
    if (!k->f.tools && render(&p, system_messages, false, true, &system))
        k->f.tools = k->tools_in_system = find_from(whole(&system), 0, NAME) != SIZE_MAX;
    const bool channels = p.open.text && vbc_known_channels(k, p.open.text, p.open.len);
    const bool shown = try_calls(&p);
    if (!channels) find_reasoning(&p);
    if (channels || (shown && find_call(&p))) {
        k->f.arguments_text = p.text;
        k->names_in_ids = p.ids == 1;
        k->short_ids = wants_short_ids(&p);
    } else if (k->f.tools) {
        const vb_prompt *shows = k->tools_in_system ? &system : &p.open;
        vbc_known(k, shows->text, shows->len);
    }
    k->null_content = shown && p.null;
    k->joins_parts = !takes_parts(&p);
    vb_prompt *const all[] = {&p.one, &p.two, &p.led, &p.plain, &p.open, &system};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) vb_prompt_free(all[i]);
    return p.rc;
}
