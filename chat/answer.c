/* answer.c - an answer as it comes, byte by byte: what is content, what reasoning, what a call.
 *
 * Bytes that could still become a marker are held back, from `base` on; every decision depends on the bytes
 * so far and never on how they were cut. A call that turns out to be none gives its first byte back as
 * content, and reading goes on with the second: a call that begins inside it is still found. */
#include "chat/calls.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------- opening */

int vb_answer_open(vb_answer **out, const vb_calls *k, const vb_answer_params *p, vb_error *err) {
    vb_begin(err);
    vb_answer *a = NULL;
    int rc = vb_alloc((void **)&a, 1, sizeof *a, "the reading of an answer", err);
    if (rc) return rc;
    a->k = k;
    a->has_tools = p->tools && k->f.style != VB_CALLS_NONE;
    a->reasoning = !p->no_reasoning && (*k->f.think_end || k->channels);
    a->early = p->early;
    a->shows_thought = p->no_reasoning;
    a->seed = p->seed;
    if (k->channels || k->recipients)
        a->place = VBC_IN_HEADER;
    else if (p->thinking && a->reasoning)
        a->place = VBC_IN_THOUGHT;
    a->reader.k = k;
    a->reader.tools = &a->tools;
    a->reader.any_name = p->any_name;
    a->loose = p->loose && a->has_tools && k->f.style == VB_CALLS_MEMBERS && *k->trigger;
    a->reader.lenient = a->loose;
    if (!vb_buf_reserve(&a->in, 256)) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for an answer");
    if (!rc && p->tools) rc = vbc_tools_read(&a->tools, p->tools, p->n_tools, err);
    if (rc) {
        vb_answer_close(a);
        return rc;
    }
    *out = a;
    return VB_OK;
}

void vb_answer_close(vb_answer *a) {
    if (!a) return;
    vbc_tools_free(&a->tools);
    vbc_reader_free(&a->reader);
    vb_buf_free(&a->in);
    vb_buf_free(&a->out);
    free(a->control);
    free(a->events);
    free(a);
}

/* ------------------------------------------------------------------------------------------------ events */

/* Appends to the last event if it is of the same kind and nobody has taken it. */
static void event(vb_answer *a, vb_said_kind kind, const char *s, size_t n) {
    void *events = a->events;
    const bool joins = kind == VB_SAID_CONTENT || kind == VB_SAID_REASONING || kind == VB_SAID_ARGUMENTS ||
                       kind == VB_SAID_MARKS;
    vbc_event *last = a->n_events > a->taken ? &a->events[a->n_events - 1] : NULL;
    const size_t from = a->out.n;
    if (joins && n == 0) return;
    vb_buf_add(&a->out, s, n);
    if (joins && last && last->kind == kind) {
        last->to = a->out.n;
        return;
    }
    if (vb_grow(&events, &a->events_room, a->n_events + 1, sizeof *a->events, "events", NULL)) {
        a->failed = true;
        return;
    }
    a->events = events;
    a->events[a->n_events++] = (vbc_event){.kind = kind, .from = from, .to = a->out.n, .index = a->n_calls};
}

void vbc_say(vb_answer *a, vb_said_kind kind, size_t n) {
    while (n > 0) {
        const bool control = a->control[a->base];
        size_t k = 1;
        while (k < n && (a->control[a->base + k] != 0) == control) k++;
        event(a, control ? VB_SAID_MARKS : kind, a->in.s + a->base, k);
        if (!control && kind == VB_SAID_CONTENT) a->before = a->in.s[a->base + k - 1];
        a->base += k;
        n -= k;
    }
}

/* Nine letters and digits: what every template takes, Mistral's too. */
static void make_id(const vb_answer *a, char id[10]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    /* splitmix64 [Steele, Lea, Flood 2014] */
    uint64_t z = a->seed + ((uint64_t)a->n_calls + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    for (int i = 0; i < 9; i++, z /= 62) id[i] = letters[z % 62];
    id[9] = 0;
}

/* The model's own id if it stands where the format has one and is known by now. A number is none that a
 * client could tell from another answer's. */
static void put_id(vb_answer *a) {
    const vb_calls *k = a->k;
    const vbc_reader *r = &a->reader;
    const bool written = strchr(k->f.begin, 1) || strchr(k->f.between, 1) || strchr(k->f.end, 1);
    char id[10];
    if (k->names_in_ids && r->id.n > 0) {
        vb_buf_addf(&a->out, "functions.%s:%s", r->name.s, r->id.s);
    } else if (written && !k->f.id_counts && r->id.n > 0 && r->id.n <= 64 && !memchr(r->id.s, 0, r->id.n)) {
        vb_buf_add(&a->out, r->id.s, r->id.n);
    } else {
        make_id(a, id);
        vb_buf_puts(&a->out, id);
    }
    vb_buf_add(&a->out, "", 1);
}

static void say_begin(vb_answer *a) {
    const vbc_reader *r = &a->reader;
    event(a, VB_SAID_CALL, "", 0);
    if (a->failed) return;
    vbc_event *e = &a->events[a->n_events - 1];
    e->name = a->out.n;
    vb_buf_add(&a->out, r->name.s, r->name.n + 1);
    e->id = a->out.n;
    put_id(a);
    a->announced = true;
    a->told = 0;
}

void vbc_say_arguments(vb_answer *a) {
    const vbc_reader *r = &a->reader;
    if (!a->announced) {
        if (!r->named || !r->begun) return;
        say_begin(a);
    }
    if (r->sure > a->told) event(a, VB_SAID_ARGUMENTS, r->args.s + a->told, r->sure - a->told);
    a->told = r->sure;
}

void vbc_say_end(vb_answer *a, vb_said_kind kind, size_t raw) {
    event(a, kind, a->in.s + a->base, raw);
    a->base += raw;
    a->n_calls++;
    a->announced = false;
}

/* --------------------------------------------------------------------------------------------- a call */

static void begin_call(vb_answer *a, size_t raw, bool other) {
    vbc_reader_start(&a->reader, other);
    a->at = a->base + raw;
    a->place = VBC_IN_CALL;
}

/* What was read is no call: its first byte is content. */
static void give_back(vb_answer *a) {
    a->place = a->k->channels || a->k->recipients ? VBC_IN_BODY : VBC_IN_CONTENT;
    a->body = VB_SAID_CONTENT;
    if (!a->announced) {
        vbc_say(a, VB_SAID_CONTENT, 1);
        return;
    }
    /* It was passed on as a call: said, and not said again. */
    vbc_say_end(a, VB_SAID_CALL_CUT, a->at - a->base);
}

static void say_whole(vb_answer *a) {
    vbc_say_arguments(a);
    vbc_say_end(a, VB_SAID_CALL_END, a->at - a->base);
    a->place = a->k->channels ? VBC_IN_HEADER : VBC_BEHIND_CALL;
}

bool vbc_in_call(vb_answer *a, bool last) {
    vbc_reader *r = &a->reader;
    while (a->at < a->in.n) {
        const vbc_step step = vbc_read_byte(r, a->in.s[a->at]);
        if (step == VBC_WRONG) {
            give_back(a);
            return true;
        }
        a->at++;
        if (a->early) vbc_say_arguments(a);
        if (step == VBC_MORE) continue;
        say_whole(a);
        return true;
    }
    if (!last) return false;
    if (vbc_read_end(r))
        say_whole(a);
    else
        give_back(a);
    return true;
}

/* ----------------------------------------------------------------------------------------- finding a call */

/* Whether s begins with what a call is recognised by; *raw: its bytes. */
static vbc_fit trigger(const vb_answer *a, const char *s, size_t n, size_t *raw, bool *is_other) {
    const vb_calls *k = a->k;
    vbc_fit one = VBC_NO, other = VBC_NO;
    *is_other = false;
    if (!a->has_tools) return VBC_NO;
    if (*k->trigger) one = vbc_match(k->trigger, s, n, raw, NULL);
    if (one == VBC_YES) return one;
    if (k->other) other = vbc_match(k->other, s, n, raw, NULL);
    *is_other = other == VBC_YES;
    if (other == VBC_YES) return other;
    return one == VBC_PART || other == VBC_PART ? VBC_PART : VBC_NO;
}

/* The same where content may stand before: with the white space that the template writes between. */
static vbc_fit led_trigger(const vb_answer *a, const char *s, size_t n, size_t *raw, bool *other) {
    const char *lead = a->k->f.lead;
    const size_t size = strlen(lead), common = size < n ? size : n;
    vbc_fit fit = VBC_NO;
    if (a->has_tools && memcmp(s, lead, common) == 0) {
        fit = n <= size ? VBC_PART : trigger(a, s + size, n - size, raw, other);
        *raw += fit == VBC_YES ? size : 0;
    }
    if (fit != VBC_NO || size == 0) return fit;
    return trigger(a, s, n, raw, other);
}

/* How many bytes can be nothing but content. */
static size_t plain(const vb_answer *a, const char *s, size_t n) {
    if (!a->has_tools && !a->shows_thought) return n;
    char stops[4] = {*a->k->f.lead, *a->k->trigger, a->k->other ? *a->k->other : 0, 0};
    size_t i = 0;
    while (i < n && s[i] != stops[0] && s[i] != stops[1] && s[i] != stops[2] &&
           !(a->shows_thought && a->control[a->base + i]) &&
           !(a->loose && (s[i] == '{' || s[i] == '[' || s[i] == '`')))
        i++;
    return i;
}

/* Whether an object begins at *raw, or a list whose first element is one: then *raw is moved to it. */
static vbc_fit object_at(const char *s, size_t n, size_t *raw) {
    if (*raw >= n) return VBC_PART;
    if (s[*raw] == '{') return VBC_YES;
    if (s[*raw] != '[') return VBC_NO;
    const size_t at = *raw + 1 + vbc_spaces(s + *raw + 1, n - *raw - 1);
    if (at == n) return VBC_PART;
    if (s[at] != '{') return VBC_NO;
    *raw = at;
    return VBC_YES;
}

/* Whether a call without its marks may begin here, at the beginning of a line: an object, or a code fence and
 * an object, or one in a list; *raw: the bytes before the object. */
static vbc_fit loose_trigger(const vb_answer *a, const char *s, size_t n, size_t *raw) {
    static const char *const fences[] = {"```json", "```tool_call", "```"};
    *raw = 0;
    if (!a->loose || n == 0) return VBC_NO;
    vbc_fit best = object_at(s, n, raw);
    if (best == VBC_YES) return best;
    for (size_t i = 0; i < sizeof fences / sizeof *fences; i++) {
        const size_t len = strlen(fences[i]), common = len < n ? len : n;
        if (memcmp(s, fences[i], common) != 0) continue;
        const size_t spaces = n > len ? vbc_spaces(s + len, n - len) : 0;
        *raw = len + spaces;
        const vbc_fit fit = n <= *raw ? VBC_PART : spaces > 0 ? object_at(s, n, raw) : VBC_NO;
        if (fit == VBC_YES) return fit;
        if (fit == VBC_PART) best = fit;
    }
    return best;
}

/* raw: the bytes before the object, which say whether it stands in a fence and in a list. */
static void begin_loose(vb_answer *a, size_t raw) {
    const char *s = a->in.s + a->base;
    a->fence = memchr(s, '`', raw) != NULL;
    a->list = memchr(s, '[', raw) != NULL;
    begin_call(a, raw, false);
    a->reader.loose = true;
}

/* Where reasoning is not set apart, its markers are content also as control tokens. */
static vbc_fit thought_mark(const vb_answer *a, const char *s, size_t n, size_t *size) {
    const char *const marks[] = {a->k->f.think, a->k->f.think_end};
    size_t run = 0;
    vbc_fit fit = VBC_NO;
    while (run < n && a->control[a->base + run]) run++;
    for (int i = 0; i < 2 && run > 0 && a->shows_thought; i++) {
        const char *mark = marks[i] + vbc_spaces(marks[i], strlen(marks[i]));
        const vbc_fit one = *mark ? vbc_match(mark, s, run, size, NULL) : VBC_NO;
        if (one == VBC_YES) return one;
        if (one == VBC_PART && run == n) fit = one;
    }
    return fit;
}

static bool in_content(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base, free_bytes = plain(a, s, n);
    size_t raw = 0;
    if (n == 0) return false;
    if (free_bytes > 0) {
        vbc_say(a, VB_SAID_CONTENT, free_bytes);
        return true;
    }
    const vbc_fit mark = thought_mark(a, s, n, &raw);
    if (mark == VBC_PART && !last) return false;
    if (mark == VBC_YES) {
        memset(a->control + a->base, 0, raw);
        vbc_say(a, VB_SAID_CONTENT, raw);
        return true;
    }
    bool other = false;
    const vbc_fit fit = led_trigger(a, s, n, &raw, &other);
    size_t before = 0;
    const bool fresh = a->before == '\n' || a->before == 0;
    const vbc_fit loose = fit == VBC_NO && fresh ? loose_trigger(a, s, n, &before) : VBC_NO;
    if ((fit == VBC_PART || loose == VBC_PART) && !last) return false;
    if (fit == VBC_YES)
        begin_call(a, raw, other);
    else if (loose == VBC_YES)
        begin_loose(a, before);
    else
        vbc_say(a, VB_SAID_CONTENT, 1);
    return true;
}

/* Nothing but white space so far: reasoning, a call or content may begin. */
static bool at_start(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base, spaces = vbc_spaces(s, n);
    size_t raw = 0;
    if (n == 0 || (spaces == n && !last)) return false;
    if (spaces == n) {
        vbc_say(a, a->n_calls > 0 ? VB_SAID_MARKS : VB_SAID_CONTENT, n);
        return true;
    }
    vbc_fit thought = VBC_NO;
    if (a->reasoning && !a->thought && a->n_calls == 0 && *a->k->f.think)
        thought = vbc_match(a->k->f.think, s + spaces, n - spaces, &raw, NULL);
    if (thought == VBC_YES) {
        vbc_say(a, VB_SAID_MARKS, spaces + raw);
        a->place = VBC_IN_THOUGHT;
        return true;
    }
    const bool bare = a->has_tools && !*a->k->trigger;
    bool other = false;
    const vbc_fit fit = trigger(a, s + spaces, n - spaces, &raw, &other);
    if (fit == VBC_YES || (bare && s[spaces] == '{')) {
        begin_call(a, spaces + (fit == VBC_YES ? raw : 0), other);
        return true;
    }
    const vbc_fit loose =
        fit == VBC_NO && thought == VBC_NO ? loose_trigger(a, s + spaces, n - spaces, &raw) : VBC_NO;
    if (loose == VBC_YES) {
        begin_loose(a, spaces + raw);
        return true;
    }
    if ((fit == VBC_PART || thought == VBC_PART || loose == VBC_PART) && !last) return false;
    a->place = VBC_IN_CONTENT;
    return true;
}

/* ------------------------------------------------------------------------------------------- reasoning */

/* White space at the ends of a literal. */
static size_t spaces_behind(const char *literal) {
    size_t n = strlen(literal), k = 0;
    while (k < n && vbc_space(literal[n - 1 - k])) k++;
    return k;
}

/* Between the marker and the text stands white space that the template writes: as much of it as is there. */
static bool skip_spaces(vb_answer *a, const char *literal, bool last, bool *decided) {
    const size_t k = spaces_behind(literal), n = a->in.n - a->base;
    const char *want = literal + strlen(literal) - k, *s = a->in.s + a->base;
    size_t i = 0;
    while (i < k && i < n && s[i] == want[i]) i++;
    *decided = i == k || i < n || last;
    if (*decided) vbc_say(a, VB_SAID_MARKS, i);
    return *decided;
}

static bool in_thought(vb_answer *a, bool last) {
    const char *end = a->k->f.think_end;
    const size_t before = vbc_spaces(end, strlen(end));
    bool decided = true;
    if (!a->thought) { /* right behind the marker that opened it */
        if (!skip_spaces(a, a->k->f.think, last, &decided)) return false;
        a->thought = true;
    }
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base;
    size_t i = 0, used = 0;
    if (n == 0) return false;
    while (i < n && s[i] != end[0] && s[i] != end[before]) i++;
    if (i > 0) {
        vbc_say(a, VB_SAID_REASONING, i);
        return true;
    }
    /* The white space before the marker, if it is exactly the template's. */
    const size_t common = before < n ? before : n;
    vbc_fit fit = VBC_NO;
    if (before > 0 && memcmp(s, end, common) == 0) {
        fit = n <= before ? VBC_PART : vbc_match(end + before, s + before, n - before, &used, NULL);
        used += before;
    }
    if (fit == VBC_NO) fit = vbc_match(end + before, s, n, &used, NULL);
    if (fit == VBC_PART && !last) return false;
    if (fit == VBC_YES) {
        vbc_say(a, VB_SAID_MARKS, used);
        a->place = VBC_BEHIND_THOUGHT;
    } else {
        vbc_say(a, VB_SAID_REASONING, 1);
    }
    return true;
}

static bool behind_thought(vb_answer *a, bool last) {
    bool decided;
    if (!skip_spaces(a, a->k->f.think_end, last, &decided)) return false;
    a->place = VBC_AT_START;
    return true;
}

/* --------------------------------------------------------------------------------------- behind a call */

/* The same behind one without marks: the list's and the fence's end, another such call, a brace too many. */
static bool behind_loose(vb_answer *a, size_t spaces, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base;
    size_t used = 0, next = spaces;
    if (a->list && spaces < n && s[spaces] == ',') next += 1 + vbc_spaces(s + spaces + 1, n - spaces - 1);
    const vbc_fit fence =
        a->fence && spaces < n ? vbc_match("```", s + spaces, n - spaces, &used, NULL) : VBC_NO;
    if (fence == VBC_YES || (spaces < n && s[spaces] == '}')) {
        vbc_say(a, VB_SAID_MARKS, spaces + (fence == VBC_YES ? used : 1));
        a->fence = a->fence && fence != VBC_YES;
    } else if (spaces < n && a->list && s[spaces] == ']') {
        vbc_say(a, VB_SAID_MARKS, spaces + 1);
        a->list = false;
    } else if (next < n && s[next] == '{') {
        begin_call(a, next, false);
        a->reader.loose = true;
    } else if ((spaces == n || next == n || fence == VBC_PART) && !last) {
        return false;
    } else if (spaces == n) {
        vbc_say(a, VB_SAID_MARKS, n);
    } else {
        /* What else comes begins as an answer does, with a call of either kind or with content. */
        a->place = VBC_IN_CONTENT;
        a->before = memchr(s, '\n', spaces) ? '\n' : ' ';
        a->reader.loose = false;
    }
    return true;
}

static bool behind_call(vb_answer *a, bool last) {
    const char *s = a->in.s + a->base;
    const size_t n = a->in.n - a->base, spaces = vbc_spaces(s, n);
    size_t next = 0, close = 0, fresh = 0;
    bool other = false;
    if (n == 0) return false;
    const vb_calls *k = a->k;
    const bool bare = !*k->trigger;
    if (a->reader.loose) return behind_loose(a, spaces, last);
    const vbc_fit goes_on = *k->next ? vbc_match(k->next, s + spaces, n - spaces, &next, NULL) : VBC_NO,
                  closes = *k->f.close ? vbc_match(k->f.close, s + spaces, n - spaces, &close, NULL) : VBC_NO,
                  begins = spaces == n ? VBC_PART : trigger(a, s + spaces, n - spaces, &fresh, &other);
    if (goes_on == VBC_YES) {
        begin_call(a, spaces + next, false);
    } else if (begins == VBC_YES) {
        begin_call(a, spaces + fresh, other);
    } else if (bare && spaces < n && s[spaces] == '{') {
        begin_call(a, spaces, false);
    } else if (bare && spaces < n && s[spaces] == ';') { /* what models write between such calls */
        vbc_say(a, VB_SAID_MARKS, spaces + 1);
    } else if (closes == VBC_YES) {
        vbc_say(a, VB_SAID_MARKS, spaces + close);
    } else if ((goes_on == VBC_PART || closes == VBC_PART || begins == VBC_PART) && !last) {
        return false;
    } else if (spaces == n || closes == VBC_PART) {
        vbc_say(a, VB_SAID_MARKS, n);
    } else {
        a->place = VBC_IN_CONTENT;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------- pushing */

static void run(vb_answer *a, bool last) {
    for (bool more = true; more && !a->failed && !a->out.failed && !a->in.failed;) {
        switch (a->place) {
        case VBC_AT_START: more = at_start(a, last); break;
        case VBC_IN_THOUGHT: more = in_thought(a, last); break;
        case VBC_BEHIND_THOUGHT: more = behind_thought(a, last); break;
        case VBC_IN_CONTENT: more = in_content(a, last); break;
        case VBC_IN_CALL: more = vbc_in_call(a, last); break;
        case VBC_BEHIND_CALL: more = a->k->recipients ? vbc_recipients(a, last) : behind_call(a, last); break;
        default: more = a->k->channels ? vbc_channels(a, last) : vbc_recipients(a, last); break;
        }
    }
}

static int outcome(vb_answer *a, vb_error *err) {
    const vb_buf *const all[] = {&a->in,          &a->out,         &a->reader.name,
                                 &a->reader.id,   &a->reader.args, &a->reader.key,
                                 &a->reader.text, &a->reader.held, &a->reader.literal.held};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) a->failed |= all[i]->failed;
    return a->failed ? vb_fail(err, VB_ERR_MEMORY, "out of memory for an answer") : VB_OK;
}

/* Forgets what was decided and taken. */
static void tidy(vb_answer *a) {
    if (a->taken == a->n_events) a->n_events = a->taken = a->out.n = 0;
    if (a->base < 4096 && a->base < a->in.n) return;
    const size_t left = a->in.n - a->base;
    if (left > 0) {
        memmove(a->in.s, a->in.s + a->base, left);
        memmove(a->control, a->control + a->base, left);
    }
    a->at -= a->at < a->base ? a->at : a->base;
    a->in.n = left;
    a->base = 0;
}

int vb_answer_push(vb_answer *a, const char *text, size_t len, bool control, vb_error *err) {
    vb_begin(err);
    void *marks = a->control;
    if (a->ended) return vb_fail(err, VB_ERR_ARGUMENT, "the answer has ended: open another one");
    if (a->failed) return outcome(a, err);
    tidy(a);
    int rc = vb_grow(&marks, &a->control_room, a->in.n + len + 1, 1, "an answer", err);
    if (rc) return rc;
    a->control = marks;
    if (len > 0) memset(a->control + a->in.n, control, len);
    vb_buf_add(&a->in, text, len);
    run(a, false);
    return outcome(a, err);
}

int vb_answer_end(vb_answer *a, vb_error *err) {
    vb_begin(err);
    if (a->ended) return vb_fail(err, VB_ERR_ARGUMENT, "the answer has ended already");
    a->ended = true;
    if (!a->failed) run(a, true);
    return outcome(a, err);
}

bool vb_answer_next(vb_answer *a, vb_said *out) {
    static const char none[] = "";
    if (a->taken == a->n_events || a->failed || a->out.failed) return false;
    const vbc_event *e = &a->events[a->taken++];
    const char *s = a->out.s ? a->out.s : none;
    *out = (vb_said){.kind = e->kind, .text = s + e->from, .len = e->to - e->from, .index = e->index};
    out->name = e->kind == VB_SAID_CALL ? s + e->name : none;
    out->id = e->kind == VB_SAID_CALL ? s + e->id : none;
    return true;
}
