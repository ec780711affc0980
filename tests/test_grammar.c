/* test_grammar.c - GBNF: what it means and what is refused, with the line; guides on a small
 * vocabulary: forced text, reasoning in front, text given before, ids that end or are banned; the
 * bound of what is kept; grammars that blow up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "grammar/constraint.h"
#include "tests/tokenizer_util.h"

static vb_grammar *gbnf(const char *text) {
    vb_grammar *g = NULL;
    vb_error err = {0};
    if (vb_grammar_open(&g, VB_GRAMMAR_GBNF, text, strlen(text), NULL, &err))
        fail_msg("%s: %s", text, err.message);
    return g;
}

/* 2: complete, 1: a beginning of one, 0: none. */
static int holds(const vb_grammar *g, const char *text) {
    uint64_t next[4];
    bool complete;
    size_t valid;
    assert_int_equal(vb_grammar_text(g, text, strlen(text), next, &complete, &valid, NULL), 0);
    return complete ? 2 : valid == strlen(text);
}

static void meanings(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *text;
        int what;
    } t[] = {
        {"root ::= \"a\" | \"b\"", "a", 2},
        {"root ::= \"a\"\n  | \"b\" # an alternative on the next line\n", "b", 2},
        {"root ::= a b\na ::= \"x\"\n\nb ::= [0-9]+", "x12", 2},
        {"root ::= a b\na ::= \"x\"\n\nb ::= [0-9]+", "x", 1},
        {"root ::= [^a-c]", "b", 0},
        {"root ::= [^a-c]", "\xC3\xA9", 2},
        {"root ::= [^a-c]", "\xC3", 1},
        {"root ::= .", "\n", 2},
        {"root ::= [a\\-z]", "-", 2},
        {"root ::= [a-]", "-", 2},
        {"root ::= [\\]\\\\]", "]", 2},
        {"root ::= \"\\x41\\u00e9\\U0001F600\\t\\\"\"", "A\xC3\xA9\xF0\x9F\x98\x80\t\"", 2},
        {"root ::= \"a\"{2}", "aa", 2},
        {"root ::= \"a\"{2,}", "aaaa", 2},
        {"root ::= \"a\"{2,3}", "aaaa", 0},
        {"root ::= (\"a\" | \"b\"\n | \"c\")*", "abcab", 2},
        {"root ::= \"\" | \"a\"", "", 2},
        {"root ::= e\ne ::= \"(\" e \")\" | \"x\"", "((x))", 2},
        {"root ::= e\ne ::= \"(\" e \")\" | \"x\"", "((x)", 1},
        {"root ::= e\ne ::= \"(\" e \")\" | \"x\"", "((x)))", 0},
        {"root ::= (\"a\"? \"b\"?)* \"c\"", "bbac", 2},
        {"root ::= ((\"a\"*)*)* \"c\"", "aaac", 2},
        {"root ::= [a-z]{1,20}", "abcdefghijklmnopqrst", 2},
        {"root ::= [a-z]{1,20}", "abcdefghijklmnopqrstu", 0},
        {"root ::= [a-z]{9,20} \"!\"", "abcdefgh!", 0},
        {"root-1 ::= \"a\"\r\nroot ::= root-1 # end", "a", 2},
        {"root ::= root \"a\" | \"b\"", "baa", 2},
        {"root ::= root \"a\" | \"b\"", "ab", 0},
        {"root ::= e\ne ::= e \"+\" t | t\nt ::= t \"*\" f | f\nf ::= \"(\" e \")\" | [0-9]", "1+2*(3+4)*5",
         2},
        {"root ::= e\ne ::= e [+*] e | \"(\" e \")\" | [0-9]+", "12*(3+4", 1},
        {"root ::= a\na ::= b \"x\" | \"1\"\nb ::= a \"y\" | \"2\"", "1yxyx", 2},
        {"root ::= a\na ::= b \"x\" | \"1\"\nb ::= a \"y\" | \"2\"", "2xyxx", 0},
        {"root ::= (root \"a\")? \"b\"", "bab", 2},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        vb_grammar *g = gbnf(t[i].grammar);
        if (holds(g, t[i].text) != t[i].what)
            fail_msg("%s on \"%s\": %d", t[i].grammar, t[i].text, holds(g, t[i].text));
        vb_grammar_close(g);
    }
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *says;
    } t[] = {
        {"x ::= \"a\"", "no rule \"root\""},
        {"root ::= a\n\nb ::= c", "line 1: rule \"a\" is used and nowhere defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule \"root\" is defined twice"},
        {"root ::= \"a", "line 1: \" without its closing"},
        {"root ::= [a", "line 1: [ without ]"},
        {"root ::= [z-a]", "below its beginning"},
        {"root ::= (\"a\"", "( without )"},
        {"root ::= \"a\"{3,2}", "n below m"},
        {"root ::= \"a\"{,2}", "a number is missing"},
        {"root ::= *", "nothing to repeat"},
        {"root = \"a\"", "::= is missing"},
        {"root ::= \"a\" )", "is not understood"},
        {"root ::= \"\\q\"", "the escape \\q"},
        {"root ::= \"\\ud800\"", "is not a character"},
        {"root ::= \"\xFF\"", "UTF-8"},
        {"root ::= b? root \"a\" | \"c\"\nb ::= \"b\"*", "\"root\" is left recursive"},
        {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "left recursive"},
        {"root ::= \"a\" root", "no text can ever be complete"},
        {"root ::= []", "no text can ever be complete"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        vb_grammar *g = NULL;
        vb_error err = {0};
        assert_true(vb_grammar_open(&g, VB_GRAMMAR_GBNF, t[i].grammar, strlen(t[i].grammar), NULL, &err) < 0);
        if (!strstr(err.message, t[i].says)) fail_msg("%s: %s", t[i].grammar, err.message);
    }
}

/* ----------------------------------------------------------------------------------------- guides */

static struct {
    vb_gguf *gguf;
    vb_tokenizer *t;
    vb_vocabulary *v;
    int32_t end, think, done, alphabet, ye, yes, no, quote;
} rig;

static int set_up(void **state) {
    (void)state;
    vocab v = {0};
    gw *w = gw_new();
    size_t n;
    vb_error err = {0};
    char path[256];
    gw_temp_path(path);
    rig.end = vocab_add(&v, "<end>", VB_TOKEN_CONTROL, 0);
    rig.think = vocab_add(&v, "<think>", VB_TOKEN_CONTROL, 0);
    rig.done = vocab_add(&v, "</think>", VB_TOKEN_CONTROL, 0);
    rig.alphabet = (int32_t)v.n;
    vocab_add_alphabet(&v);
    rig.ye = vocab_add(&v, "ye", VB_TOKEN_NORMAL, 0);
    rig.yes = vocab_add(&v, "yes", VB_TOKEN_NORMAL, 0);
    rig.no = vocab_add(&v, "no", VB_TOKEN_NORMAL, 0);
    rig.quote = vocab_add(&v, "\":\"", VB_TOKEN_NORMAL, 0);
    vocab_add(&v, "unused", VB_TOKEN_UNUSED, 0);
    gw_str(w, "general.architecture", "llama");
    gw_str(w, "tokenizer.ggml.model", "gpt2");
    gw_str(w, "tokenizer.ggml.pre", "gpt-2");
    gw_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)rig.end);
    const char *merges[] = {"y e", "ye s", "n o"};
    gw_array_str(w, "tokenizer.ggml.merges", merges, 3);
    vocab_write(&v, w, false);
    uint8_t *bytes = gw_finish(w, &n);
    gw_write_bytes(path, bytes, n);
    gw_free(w);
    free(bytes);
    vocab_free(&v);
    const int opened = vb_gguf_open(&rig.gguf, path, &err);
    unlink(path);
    if (opened || vb_tokenizer_open(&rig.t, rig.gguf, &err) || vb_vocabulary_open(&rig.v, rig.t, 0, &err)) {
        printf("# %s\n", err.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    vb_vocabulary_close(rig.v);
    vb_tokenizer_close(rig.t);
    vb_gguf_close(rig.gguf);
    return 0;
}

enum { WORDS = 5 };

static bool has(const uint64_t *allowed, int32_t id) {
    return allowed[id / 64] >> (id % 64) & 1;
}
static int count(const uint64_t *allowed) {
    int n = 0;
    for (int i = 0; i < WORDS; i++) n += __builtin_popcountll(allowed[i]);
    return n;
}
static int32_t byte_id(char c) {
    return rig.alphabet + (uint8_t)c;
}

typedef struct pair {
    vb_grammar *g;
    vb_constraint *c;
    vb_guide *u;
} pair;

static pair open_pair(const char *grammar, const vb_constraint_params *cp, const vb_guide_params *gp) {
    pair p = {.g = gbnf(grammar)};
    vb_error err = {0};
    if (vb_constraint_open(&p.c, p.g, rig.v, cp, &err) || vb_guide_open(&p.u, p.c, gp, &err))
        fail_msg("%s", err.message);
    return p;
}
static void close_pair(pair *p) {
    vb_guide_close(p->u);
    vb_constraint_close(p->c);
    vb_grammar_close(p->g);
}

static void guides(void **state) {
    (void)state;
    uint64_t a[WORDS];
    vb_guide_state at;
    assert_in_range(vb_tokenizer_size(rig.t), 1, 64 * WORDS);
    pair p = open_pair("root ::= \"yes\" | \"no\" \"w\"?", NULL, NULL);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_int_equal(count(a), 5); /* yes, ye, y, no, n */
    assert_true(has(a, rig.yes) && has(a, rig.no) && has(a, byte_id('y')) && has(a, byte_id('n')));
    int32_t ids[3] = {rig.no, byte_id('w'), rig.end};
    assert_int_equal(vb_guide_allowed(p.u, ids, 1, a, NULL), 0);
    assert_true(count(a) == 2 && has(a, rig.end) && has(a, byte_id('w')));
    assert_int_equal(vb_guide_allowed(p.u, ids, 2, a, NULL), 0);
    assert_true(count(a) == 1 && has(a, rig.end)); /* forced */
    assert_int_equal(vb_guide_at(p.u, ids, 2, &at, NULL), 0);
    assert_true(at.complete && at.only_end && !at.ended && at.begun && at.valid == 2);
    assert_int_equal(vb_guide_at(p.u, ids, 3, &at, NULL), 0);
    assert_true(at.ended && at.valid == 3);
    assert_int_equal(vb_guide_allowed(p.u, ids, 3, a, NULL), 0);
    assert_int_equal(count(a), 0); /* nothing follows the end */
    const int32_t wrong[3] = {rig.yes, rig.yes, rig.end};
    assert_int_equal(vb_guide_at(p.u, wrong, 3, &at, NULL), 0);
    assert_int_equal(at.valid, 1);
    assert_int_equal(vb_guide_allowed(p.u, wrong, 2, a, NULL), 0);
    assert_int_equal(count(a), 0);
    close_pair(&p);
}

static void forced(void **state) {
    (void)state;
    int32_t out[16];
    int n;
    char text[16];
    size_t len;
    pair p = open_pair("root ::= \"yes no\" [a-z]", NULL, NULL);
    assert_int_equal(vb_guide_forced_text(p.u, NULL, 0, text, sizeof text, &len, NULL), 0);
    assert_true(len == 6 && memcmp(text, "yes no", 6) == 0);
    assert_int_equal(vb_guide_forced(p.u, NULL, 0, out, 16, &n, NULL), 0);
    assert_int_equal(n, 2); /* "no" is left out: an id may hold it and the letter */
    assert_true(out[0] == rig.yes && out[1] == byte_id(' '));
    close_pair(&p);
    p = open_pair("root ::= \"yes no\"", NULL, NULL);
    assert_int_equal(vb_guide_forced(p.u, NULL, 0, out, 16, &n, NULL), 0);
    assert_true(n == 3 && out[2] == rig.no);
    assert_int_equal(vb_guide_forced(p.u, NULL, 0, out, 1, &n, NULL), 0);
    assert_int_equal(n, 1);
    close_pair(&p);
}

static void beginnings(void **state) {
    (void)state;
    uint64_t a[WORDS];
    vb_guide_state at;
    const int32_t size = vb_tokenizer_size(rig.t);
    /* Behind a marker. */
    vb_guide_params gp = {.after = &rig.done, .n_after = 1};
    pair p = open_pair("root ::= \"yes\"", NULL, &gp);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_int_equal(count(a), size - 1);
    assert_false(has(a, rig.end));
    const int32_t marked[3] = {byte_id('?'), rig.done, rig.yes};
    assert_int_equal(vb_guide_allowed(p.u, marked, 2, a, NULL), 0);
    assert_true(count(a) == 3 && has(a, rig.yes));
    assert_int_equal(vb_guide_at(p.u, marked, 3, &at, NULL), 0);
    assert_true(at.only_end && at.begun);
    close_pair(&p);
    /* Only if the model opens its reasoning. */
    gp.opens = &rig.think, gp.n_opens = 1;
    p = open_pair("root ::= \"yes\"", NULL, &gp);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_true(count(a) == 4 && has(a, rig.think) && has(a, rig.yes));
    const int32_t opened[3] = {rig.think, byte_id('?'), rig.done};
    assert_int_equal(vb_guide_allowed(p.u, opened, 2, a, NULL), 0);
    assert_int_equal(count(a), size - 1);
    assert_int_equal(vb_guide_allowed(p.u, opened, 3, a, NULL), 0);
    assert_int_equal(count(a), 3);
    close_pair(&p);
    /* Behind text that was given. */
    const vb_guide_params given = {.prefix = "ye", .n_prefix = 2};
    p = open_pair("root ::= \"yes\"", NULL, &given);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_true(count(a) == 1 && has(a, byte_id('s')));
    vb_guide *none = NULL;
    vb_error err = {0};
    const vb_guide_params bad = {.prefix = "no", .n_prefix = 2};
    assert_int_equal(vb_guide_open(&none, p.c, &bad, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no beginning"));
    close_pair(&p);
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Where a byte is missing, each mask asks what can still be spelled. One walk through counts, states and
 * vocabulary answers that for every count: 300 masks after the first together take less than it by far.
 * Walked anew for each count, as it once was, they took some hundred times as much. */
static void counts_without_a_byte(void **state) {
    (void)state;
    enum { LENGTH = 300 };
    static const char schema[] = "{\"type\":\"string\",\"pattern\":\"^a[^q]+$\",\"maxLength\":1024}";
    uint64_t a[WORDS];
    int32_t banned = byte_id('Z'), ids[LENGTH + 2] = {byte_id('"'), byte_id('a')};
    const vb_constraint_params cp = {.banned = &banned, .n_banned = 1};
    pair p = {0};
    vb_error err = {0};
    if (vb_grammar_open(&p.g, VB_GRAMMAR_JSON_SCHEMA, schema, strlen(schema), NULL, &err))
        fail_msg("%s", err.message);
    const double from = thread_seconds();
    if (vb_constraint_open(&p.c, p.g, rig.v, &cp, &err) || vb_guide_open(&p.u, p.c, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vb_guide_allowed(p.u, ids, 0, a, NULL), 0);
    assert_int_equal(vb_guide_allowed(p.u, ids, 2, a, NULL), 0);
    const double between = thread_seconds();
    for (int i = 2; i < LENGTH + 2; i++) {
        ids[i] = i % 3 ? byte_id('x') : rig.yes;
        assert_int_equal(vb_guide_allowed(p.u, ids, (size_t)i + 1, a, NULL), 0);
        assert_true(has(a, byte_id('x')) && has(a, rig.no) && !has(a, banned) && !has(a, byte_id('q')));
    }
    const double first = between - from, rest = thread_seconds() - between;
    vb_constraint_stats s;
    vb_constraint_stats_get(p.c, &s);
    assert_true(s.bytes_missing);
    printf("# the first mask %.0f ms, %d more %.0f ms\n", 1e3 * first, LENGTH, 1e3 * rest);
    if (rest > 10 * first) fail_msg("each length is worked out anew: %.2f s against %.2f s", rest, first);
    close_pair(&p);
}

static void bans(void **state) {
    (void)state;
    uint64_t a[WORDS];
    const int32_t banned[3] = {rig.yes, rig.ye, byte_id('e')};
    vb_constraint_params cp = {.banned = banned, .n_banned = 3};
    /* "yes" cannot be spelled without any of them: y is a dead end, too. */
    pair p = open_pair("root ::= \"yes\" | \"no\"", &cp, NULL);
    vb_constraint_stats s;
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_true(count(a) == 2 && has(a, rig.no) && !has(a, byte_id('y')));
    vb_constraint_stats_get(p.c, &s);
    assert_true(s.bytes_missing);
    close_pair(&p);
    vb_grammar *g = gbnf("root ::= \"yes\"");
    vb_constraint *c = NULL;
    vb_error err = {0};
    assert_int_equal(vb_constraint_open(&c, g, rig.v, &cp, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "can be spelled"));
    cp = (vb_constraint_params){.banned = &rig.end, .n_banned = 1};
    assert_int_equal(vb_constraint_open(&c, g, rig.v, &cp, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no id ends a text"));
    vb_grammar_close(g);
    /* A control id that counts as its name. */
    cp = (vb_constraint_params){.written = &rig.think, .n_written = 1};
    p = open_pair("root ::= \"<think>\"", &cp, NULL);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_true(count(a) == 2 && has(a, rig.think) && has(a, byte_id('<')));
    close_pair(&p);
    p = open_pair("root ::= \"<think>\"", NULL, NULL);
    assert_int_equal(vb_guide_allowed(p.u, NULL, 0, a, NULL), 0);
    assert_true(count(a) == 1 && has(a, byte_id('<')));
    close_pair(&p);
}

/* With room for next to nothing all is forgotten again and again, and the answers stay. */
static void bounds(void **state) {
    (void)state;
    const char *const grammar = "root ::= \"{\" (string \":\" root (\",\" string \":\" root)*)? \"}\"\n"
                                "string ::= \"\\\"\" [a-z]{0,9} \"\\\"\"";
    const vb_constraint_params tight = {.max_bytes = 24000};
    pair wide = open_pair(grammar, NULL, NULL), narrow = open_pair(grammar, &tight, NULL);
    const char *const text = "{\"abc\":{\"\":{},\"xyz\":{\"q\":{\"r\":{}}}},\"abcdefghi\":{}}";
    int32_t ids[64];
    const size_t n = strlen(text);
    vb_constraint_stats s;
    for (size_t i = 0; i < n; i++) ids[i] = byte_id(text[i]);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i <= n; i++) {
            uint64_t a[WORDS], b[WORDS];
            const size_t k = round == 1 ? n - i : i;
            assert_int_equal(vb_guide_allowed(wide.u, ids, k, a, NULL), 0);
            assert_int_equal(vb_guide_allowed(narrow.u, ids, k, b, NULL), 0);
            assert_memory_equal(a, b, sizeof a);
            assert_true(count(a) > 0);
        }
    vb_constraint_stats_get(narrow.c, &s);
    printf("# forgotten %llu times within %zu bytes\n", (unsigned long long)s.forgotten, s.bytes);
    assert_true(s.forgotten > 0);
    vb_constraint_stats_get(wide.c, &s);
    assert_true(s.forgotten == 0 && s.kept > s.masks / 2);
    close_pair(&wide);
    close_pair(&narrow);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Taken or refused within a second of this thread's time, and 64 MB. */
/* Every x may belong to any of the b around it: the ways to read a text double with every byte, the stacks
 * that stand for them do not. */
static void nested_ambiguity(void **state) {
    (void)state;
    static const char *const t[] = {"root ::= b\nb ::= b{0,3} .", "root ::= b\nb ::= \"x\" b{0,3}",
                                    "root ::= b\nb ::= \"x\" b* | \"x\" b? b?"};
    char text[201];
    memset(text, 'x', 200);
    text[200] = 0;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        vb_grammar *g = gbnf(t[i]);
        const double from = seconds();
        assert_int_equal(holds(g, text), 2);
        assert_true(seconds() - from < 1);
        vb_grammar_close(g);
    }
}

static void blow_ups(void **state) {
    (void)state;
    char deep[2100] = "root ::= ";
    memset(deep + 9, '(', 1000);
    strcpy(deep + 1009, "\"a\"");
    memset(deep + 1012, ')', 1000);
    deep[2012] = 0;
    const char *const t[] = {
        "root ::= ([a-z]{1,1000}){1,1000}",
        "root ::= ((([a-z]{0,99}){0,99}){0,99}){0,99} \"!\"",
        "root ::= (\"a\"? ){4000000000}",
        "root ::= (\"a\" | \"aa\" | \"aaa\"){0,1000000} \"b\"",
        "root ::= a{100} \"x\"\na ::= (\"a\" a)?",
        "root ::= s\ns ::= \"a\" s s | \"a\" s | \"a\"",
        "root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s | \"x\"",
        "root ::= a*\na ::= b*\nb ::= c*\nc ::= \"x\"* \"y\"*",
        "root ::= (\"x\" | \"xy\" | \"xyz\" | \"yz\" | \"z\")* r\nr ::= [a-z]* \"1\" | [x-z]{3,700} \"2\"",
        deep,
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        const double from = seconds();
        vb_grammar *g = NULL;
        vb_constraint *c = NULL;
        vb_guide *u = NULL;
        vb_error err = {0};
        int rc = vb_grammar_open(&g, VB_GRAMMAR_GBNF, t[i], strlen(t[i]), NULL, &err);
        if (!rc) rc = vb_constraint_open(&c, g, rig.v, NULL, &err);
        if (!rc) rc = vb_guide_open(&u, c, NULL, &err);
        int32_t ids[40];
        uint64_t a[WORDS];
        vb_constraint_stats s = {0};
        size_t n = 0;
        for (; !rc && n < 40; n++) {
            rc = vb_guide_allowed(u, ids, n, a, &err);
            const char *const wish = "axyz";
            ids[n] = -1;
            for (int k = 0; k < 4 && !rc; k++)
                if (has(a, byte_id(wish[(n + (size_t)k) % 4]))) ids[n] = byte_id(wish[(n + (size_t)k) % 4]);
            if (ids[n] < 0) break;
        }
        if (c) vb_constraint_stats_get(c, &s);
        const double took = seconds() - from;
        printf("# %.40s: %zu ids, %.1f ms, %.1f MB%s%.60s\n", t[i], n, 1e3 * took, (double)s.bytes / 1e6,
               rc ? ": " : "", err.message);
        assert_true(took < 5 && s.bytes <= (size_t)64 << 20); /* five: sanitizers, slow machines */
        if (rc) assert_true(err.message[0] != 0);
        vb_guide_close(u);
        vb_constraint_close(c);
        vb_grammar_close(g);
    }
}

/* ---------------------------------------------------------------------- left recursion */

/* The words of up to five letters a, b: number 1 and then a bit for each letter, so that 1 is "", 2 is "a",
 * 7 is "bb". A language is a set of them, and a grammar's rules are the least sets that solve it: made from
 * nothing, by doing what the rules say until nothing comes in any more. */
enum { SOME_RULES = 3, MOST_LETTERS = 5 };
typedef uint64_t words;

static int letters(unsigned w) {
    int n = 0;
    while (w >>= 1) n++;
    return n;
}

static words joined(words x, words y) {
    words z = 0;
    for (unsigned a = 1; a < 64; a++)
        for (unsigned b = 1; (x >> a & 1) && b < 64; b++)
            if ((y >> b & 1) && letters(a) + letters(b) <= MOST_LETTERS)
                z |= UINT64_C(1) << (a << letters(b) | (b ^ 1u << letters(b)));
    return z;
}

typedef struct piece {
    int what; /* a rule, or 10, 11: a letter */
    char how; /* 0 once, ?, *, + */
} piece;
typedef struct rules_of {
    piece at[SOME_RULES][3][3];
    int alternatives[SOME_RULES], length[SOME_RULES][3];
} rules_of;

static words of_piece(piece p, const words *of) {
    const words one = p.what < 10 ? of[p.what] : UINT64_C(1) << (2 + (p.what - 10));
    words many = 2, before = 0;
    if (p.how == 0) return one;
    if (p.how == '?') return one | 2;
    while (many != before) before = many, many |= joined(many, one);
    return p.how == '*' ? many : joined(one, many);
}

static void solve(const rules_of *g, words *of) {
    for (bool more = true; more;) {
        more = false;
        for (int r = 0; r < SOME_RULES; r++)
            for (int a = 0; a < g->alternatives[r]; a++) {
                words w = 2;
                for (int i = 0; i < g->length[r][a]; i++) w = joined(w, of_piece(g->at[r][a][i], of));
                more |= (w & ~of[r]) != 0;
                of[r] |= w;
            }
    }
}

/* Draws rules and writes them down. */
static void draw_rules(gw_rng *rng, rules_of *g, char *text, size_t room) {
    static const char *const names[] = {"root", "x", "y"};
    size_t n = 0;
    for (int r = 0; r < SOME_RULES; r++) {
        n += (size_t)snprintf(text + n, room - n, "%s ::=", names[r]);
        g->alternatives[r] = 1 + (int)(gw_next(rng) % 3);
        for (int a = 0; a < g->alternatives[r]; a++) {
            if (a) n += (size_t)snprintf(text + n, room - n, " |");
            g->length[r][a] = 1 + (int)(gw_next(rng) % 3);
            for (int i = 0; i < g->length[r][a]; i++) {
                const unsigned d = (unsigned)(gw_next(rng) % 8), h = (unsigned)(gw_next(rng) % 16);
                piece *p = &g->at[r][a][i];
                *p = (piece){d < 3 ? (int)d : 10 + (int)(d & 1), "?*+"[h % 3]};
                if (h > 2) p->how = 0;
                n += (size_t)snprintf(text + n, room - n, " %s%.1s",
                                      p->what < 10    ? names[p->what]
                                      : p->what == 10 ? "\"a\""
                                                      : "\"b\"",
                                      p->how ? &p->how : "");
            }
        }
        n += (size_t)snprintf(text + n, room - n, "\n");
    }
}

/* Random rules, most of them left recursive: what is read has the words that the rules have, and what is not
 * read hides the recursion behind something that may be empty. */
static void left_recursion(void **state) {
    (void)state;
    gw_rng rng = {15};
    int read = 0, hidden = 0, without = 0;
    for (int k = 0; k < 3000; k++) {
        rules_of r;
        words of[SOME_RULES] = {0};
        char text[600], word[8];
        vb_grammar *g = NULL;
        vb_error err = {0};
        draw_rules(&rng, &r, text, sizeof text);
        solve(&r, of);
        if (vb_grammar_open(&g, VB_GRAMMAR_GBNF, text, strlen(text), NULL, &err)) {
            if (err.code == VB_ERR_ARGUMENT && of[0]) fail_msg("%s: %s", text, err.message);
            if (err.code != VB_ERR_ARGUMENT && !strstr(err.message, "left recursive"))
                fail_msg("%s: %s", text, err.message);
            err.code == VB_ERR_ARGUMENT ? without++ : hidden++;
            continue;
        }
        read++;
        for (unsigned w = 1; w < 64; w++) {
            const int n = letters(w);
            for (int i = 0; i < n; i++) word[i] = w >> (n - 1 - i) & 1 ? 'b' : 'a';
            word[n] = 0;
            if ((holds(g, word) == 2) != (of[0] >> w & 1)) fail_msg("%s on \"%s\"", text, word);
        }
        vb_grammar_close(g);
    }
    printf("# %d grammars read, %d hide a left recursion, %d have no text\n", read, hidden, without);
    assert_true(read > 1500 && hidden < 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meanings),
        cmocka_unit_test(refusals),
        cmocka_unit_test(guides),
        cmocka_unit_test(forced),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(bans),
        cmocka_unit_test(counts_without_a_byte),
        cmocka_unit_test(bounds),
        cmocka_unit_test(nested_ambiguity),
        cmocka_unit_test(blow_ups),
        cmocka_unit_test(left_recursion),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
