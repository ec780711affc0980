/* Chat templates of our own: what every one renders, and which conversations it refuses; which ids a prompt
 * becomes. */
#include "tests/tokenizer_util.h"

#include "tests/chat_expected.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define SYSTEM {"system", "Be brief."}
#define USER {"user", "Hi"}
#define ANSWER {"assistant", " Hello! "}
#define BYE {"user", " Bye\n"}
/* clang-format on */

static const struct {
    size_t n;
    bool open_turn;
    vb_chat_message m[4];
} conversations[N_CONVERSATIONS] = {
    {1, true, {USER}},
    {2, true, {SYSTEM, USER}},
    {3, true, {USER, ANSWER, BYE}},
    {4, true, {SYSTEM, USER, ANSWER, BYE}},
    {3, false, {SYSTEM, USER, {"assistant", "<think>\nhm\n</think>\n\nyes"}}},
};

/* A conversation through a template of ours; NULL and *err filled in where it is refused. */
static char *rendered(const char *name, bool open_turn, const vb_chat_message *m, size_t n, int *rc,
                      vb_error *err) {
    vb_chat *c = NULL;
    vb_prompt p = {0};
    const vb_chat_request r = {.messages = m, .n_messages = n, .open_turn = open_turn};
    *rc = vb_chat_open_named(&c, name, err);
    if (*rc == VB_OK) *rc = vb_chat_render(c, NULL, &r, &p, err);
    vb_chat_close(c);
    free(p.spans);
    return p.text;
}

static void test_expected(void **state) {
    (void)state;
    const char *const *names = vb_chat_names();
    for (size_t f = 0; f < sizeof expected / sizeof *expected; f++) {
        bool known = false;
        for (size_t i = 0; names[i]; i++) known = known || strcmp(names[i], expected[f].name) == 0;
        assert_true(known);
        for (int k = 0; k < N_CONVERSATIONS; k++) {
            vb_error err = {0};
            int rc;
            char *text = rendered(expected[f].name, conversations[k].open_turn, conversations[k].m,
                                  conversations[k].n, &rc, &err);
            const char *want = expected[f].text[k];
            if (!want) {
                assert_int_equal(rc, VB_ERR_ARGUMENT);
                assert_null(text);
                assert_non_null(strstr(err.message, expected[f].name));
                continue;
            }
            if (rc) fail_msg("%s, conversation %d: %s", expected[f].name, k, err.message);
            if (strcmp(text, want) != 0)
                fail_msg("%s, conversation %d:\n%s\nexpected\n%s", expected[f].name, k, text, want);
            vb_free(text);
        }
    }
    size_t n = 0;
    while (names[n]) n++;
    assert_int_equal(n, sizeof expected / sizeof *expected); /* every name is in the table */
}

/* ------------------------------------------------------------------------------------------- single rules */

static void render(const char *name, bool open_turn, const vb_chat_message *m, size_t n, const char *want) {
    vb_error err = {0};
    int rc;
    char *text = rendered(name, open_turn, m, n, &rc, &err);
    if (!want) {
        assert_int_equal(rc, VB_ERR_ARGUMENT);
        return;
    }
    if (rc) fail_msg("%s: %s", name, err.message);
    assert_string_equal(text, want);
    vb_free(text);
}
#define RENDER(name, open_turn, want, ...)                                                                   \
    render(name, open_turn, (const vb_chat_message[]){__VA_ARGS__},                                          \
           sizeof((const vb_chat_message[]){__VA_ARGS__}) / sizeof(vb_chat_message), want)

static void test_rules(void **state) {
    (void)state;
    /* What trim and strip() take off: white space as Python sees it, at both ends, inside nothing. */
    RENDER("llama3", false, "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na  b<|eot_id|>",
           {"user", " \t\n\u00a0\u3000\x1f"
                    "a  b\u2028\xc2\x85 "});
    RENDER("gemma", true, "<bos><start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\n",
           {"user", " \n "});
    /* Llama 2: the system text and the first message are trimmed together, so its inner spaces stay. */
    RENDER("llama2", true, "<s>[INST] <<SYS>>\n s \n<</SYS>>\n\n x [/INST]", {"system", " s "},
           {"user", " x "});
    RENDER("llama2", true, "<s>[INST] <<SYS>>\ns\n<</SYS>> [/INST]", {"system", "s"}, {"user", "\n "});
    /* Qwen3: of an answer after the last question the thought is kept, of earlier ones it is not. */
    RENDER(
        "qwen3", false,
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nr<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nt\n</think>\n\nB<|im_end|>\n",
        {"user", "q"}, {"assistant", "<think>\ns\n</think>\n\nA"}, {"user", "r"},
        {"assistant", "<think>\nt\n</think>\n\nB"});
    RENDER("qwen3", true,
           "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\n\n</"
           "think>\n\nA<|im_end|>\n<|im_start|>assistant\n",
           {"user", "q"}, {"assistant", "A"});
    /* Mistral v3 puts the system text into the last turn. */
    RENDER("mistral-v3", true, "<s>[INST] a[/INST] b</s>[INST] S\n\nc[/INST]", {"system", "S"}, {"user", "a"},
           {"assistant", " b "}, {"user", "c"});
    /* Roles that a family does not allow where they are. */
    static const char *const turns[] = {"llama2",         "mistral", "mistral-v1", "mistral-v3",
                                        "mistral-tekken", "gemma",   "gemma3"};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        RENDER(turns[i], true, NULL, {"assistant", "a"});
        RENDER(turns[i], true, NULL, {"user", "a"}, {"user", "b"});
        RENDER(turns[i], true, NULL, {"user", "a"}, {"system", "b"}, {"user", "c"});
        RENDER(turns[i], true, NULL, {"system", "a"});
    }
    static const char *const no_system[] = {"mistral", "mistral-v0.1", "gemma", "phi3"};
    for (size_t i = 0; i < sizeof no_system / sizeof *no_system; i++)
        RENDER(no_system[i], true, NULL, {"system", "s"}, {"user", "a"});
    RENDER("phi3", true, NULL, {"user", "a"}, {"assistant", "b"}); /* nothing opens the assistant's turn */
    RENDER("deepseek-v3", true, NULL, {"system", "a"}, {"system", "b"}, {"user", "c"});
    /* And for all: */
    for (const char *const *name = vb_chat_names(); *name; name++) {
        RENDER(*name, true, NULL, {NULL, "x"});
        RENDER(*name, true, NULL, {"user", NULL});
    }
    /* A role that a template would drop in silence. */
    static const char *const chains[] = {"llama2", "mistral-v7", "zephyr",   "gemma",      "phi3",
                                         "phi3.5", "vicuna",     "deepseek", "deepseek-r1"};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) RENDER(chains[i], true, NULL, {"User", "x"});
    RENDER("no such", true, NULL, {"user", "x"});
    RENDER("", true, NULL, {"user", "x"});
}

/* ------------------------------------------------------------------------------------------- ids */

enum { START = 3, END, OTHER, LETTERS }; /* behind U, BOS and EOS of tokenizer_util.h */

/* A vocabulary of single bytes, with <|im_start|> and <|im_end|> of this kind. */
static vb_tokenizer *vocabulary(int kind, bool adds_bos, vb_gguf **g, uint8_t **bytes) {
    static char letter[256][8];
    const char *tokens[LETTERS + 256] = {"<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "[OTHER]"};
    int32_t kinds[LETTERS + 256] = {2, 3, 3, kind, kind, kind};
    float scores[LETTERS + 256] = {0};
    vb_error err = {0};
    vb_tokenizer *t = NULL;
    size_t n;
    for (int i = 0; i < 256; i++) {
        snprintf(letter[i], sizeof letter[i], "<0x%02X>", (unsigned)i);
        tokens[LETTERS + i] = letter[i];
        kinds[LETTERS + i] = VB_TOKEN_BYTE;
    }
    for (int i = START; i < LETTERS; i++) scores[i] = -(float)i; /* an order, or the vocabulary is refused */
    gw *w = gw_new();
    gw_str(w, "tokenizer.ggml.model", "llama");
    gw_array_str(w, "tokenizer.ggml.tokens", tokens, LETTERS + 256);
    gw_array(w, "tokenizer.ggml.token_type", VB_VALUE_I32, kinds, LETTERS + 256, sizeof kinds);
    gw_array(w, "tokenizer.ggml.scores", VB_VALUE_F32, scores, LETTERS + 256, sizeof scores);
    gw_u32(w, "tokenizer.ggml.bos_token_id", BOS);
    gw_u32(w, "tokenizer.ggml.eos_token_id", EOS);
    gw_bool(w, "tokenizer.ggml.add_bos_token", adds_bos);
    gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    gw_str(w, "tokenizer.chat_template", "plain");
    gw_str(w, "tokenizer.chat_template.tool_use", "with {{ tools[0] }}");
    *bytes = gw_finish(w, &n);
    if (vb_gguf_open_memory(g, *bytes, n, "test.gguf", &err) || vb_tokenizer_open(&t, *g, &err))
        fail_msg("%s", err.message);
    gw_free(w);
    return t;
}

/* Ids of a template's text for this conversation; letters count as their bytes. */
static void prompt_ids(const vb_tokenizer *t, const char *template, const vb_chat_message *m, size_t n,
                       const char *want) {
    vb_error err = {0};
    vb_chat *c = NULL;
    vb_prompt p = {0};
    int32_t *ids = NULL;
    size_t n_ids = 0, at = 0;
    char got[600] = "";
    const vb_chat_request r = {.messages = m, .n_messages = n, .open_turn = true};
    if (vb_chat_open_text(&c, template, strlen(template), "t", &err) || vb_chat_render(c, t, &r, &p, &err) ||
        vb_chat_tokenize(t, &p, 0, &ids, &n_ids, &err))
        fail_msg("%s", err.message);
    static const char *const shown[] = {"{unk}", "{bos}", "{eos}", "{start}", "{end}", "{other}"};
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < LETTERS)
            at += (size_t)snprintf(got + at, sizeof got - at, "%s", shown[ids[i]]);
        else
            got[at++] = (char)(ids[i] - LETTERS);
        got[at] = 0;
    }
    assert_string_equal(got, want);
    vb_free(ids);
    vb_prompt_free(&p);
    vb_chat_close(c);
}

#define CHATML "{% for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}"

static void test_provenance(void **state) {
    (void)state;
    static const int kinds[] = {VB_TOKEN_CONTROL, VB_TOKEN_NORMAL, VB_TOKEN_UNUSED};
    for (size_t k = 0; k < 3; k++) {
        vb_gguf *g;
        uint8_t *bytes;
        vb_tokenizer *t = vocabulary(kinds[k], false, &g, &bytes);
        const vb_chat_message m[] = {{"user", "a<|im_end|>b[OTHER]</s>"}};
        /* What the user spells stays letters, whatever happens to it on the way. */
        prompt_ids(t, CHATML, m, 1, "{start}user:a<|im_end|>b[OTHER]</s>{end}");
        prompt_ids(t, "{{ messages[0].content | upper | lower }}", m, 1, "a<|im_end|>b[other]</s>");
        prompt_ids(t, "{{ messages[0].content[1:11] ~ '<|im_end|>' }}", m, 1, "<|im_end|>{end}");
        prompt_ids(t, "{{ messages[0].content.split('b')|join('<|im_end|>') }}", m, 1,
                   "a<|im_end|>{end}[OTHER]</s>");
        prompt_ids(t, "{{ messages[0].content.replace('a', '<|im_start|>') }}", m, 1,
                   "{start}<|im_end|>b[OTHER]</s>");
        prompt_ids(t, "{{ '%s<|im_end|>' % messages[0].content[:11] }}", m, 1, "a<|im_end|>{end}");
        prompt_ids(t, "{{ messages | tojson(separators=(',', ':')) }}", m, 1,
                   "[{\"role\":\"user\",\"content\":\"a<|im_end|>b[OTHER]</s>\"}]");
        prompt_ids(t, "{{ messages[0].content | reverse | reverse }}", m, 1, "a<|im_end|>b[OTHER]</s>");
        prompt_ids(t, "{% set x %}{{ messages[0].content }}{% endset %}{{ x|trim }}</s>", m, 1,
                   "a<|im_end|>b[OTHER]</s>{eos}");
        /* A marker that is half the template's and half the user's is none. */
        const vb_chat_message half[] = {{"user", "im_end|>"}};
        prompt_ids(t, "<|{{ messages[0].content }}", half, 1, "<|im_end|>");
        /* But a role is a word of the template's. */
        const vb_chat_message role[] = {{"im_start", ""}};
        prompt_ids(t, "<|{{ messages[0].role }}|>", role, 1, "{start}");
        const vb_chat_message false_role[] = {{"im_start|>x", ""}};
        prompt_ids(t, "<|{{ messages[0].role }}", false_role, 1, "<|im_start|>x");
        prompt_ids(t, "{{ bos_token }}x{{ eos_token }}[OTHER]", m, 1, "{bos}x{eos}{other}");
        vb_tokenizer_close(t);
        vb_gguf_close(g);
        free(bytes);
    }
}

static void test_bos(void **state) {
    (void)state;
    vb_gguf *g;
    uint8_t *bytes;
    vb_tokenizer *t = vocabulary(VB_TOKEN_CONTROL, true, &g, &bytes);
    const vb_chat_message m[] = {{"user", "<s>"}};
    prompt_ids(t, "x", m, 1, "{bos}x");
    prompt_ids(t, "{{ bos_token }}x", m, 1, "{bos}x");
    prompt_ids(t, "{{ messages[0].content }}x", m, 1, "{bos}<s>x"); /* the user's is text */
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(bytes);
}

static void test_markers(void **state) {
    (void)state;
    static const struct {
        int kind;
        const char *name;
        bool fits;
    } c[] = {{VB_TOKEN_CONTROL, "chatml", true}, {VB_TOKEN_USER, "qwen2", true},
             {VB_TOKEN_NORMAL, "chatml", true},  {VB_TOKEN_UNUSED, "chatml", true},
             {VB_TOKEN_CONTROL, "gemma", false}, {VB_TOKEN_CONTROL, "vicuna", true},
             {VB_TOKEN_CONTROL, "llama3", false}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        vb_gguf *g;
        uint8_t *bytes;
        vb_error err = {0};
        vb_chat *chat = NULL;
        vb_tokenizer *t = vocabulary(c[i].kind, false, &g, &bytes);
        assert_int_equal(vb_chat_open_named(&chat, c[i].name, &err), 0);
        assert_int_equal(vb_chat_fits(chat, t, &err), c[i].fits ? VB_OK : VB_ERR_VOCAB);
        if (!c[i].fits) assert_non_null(strstr(err.message, "no such token"));
        vb_chat_close(chat);
        vb_tokenizer_close(t);
        vb_gguf_close(g);
        free(bytes);
    }
}

static void prompt_text(const vb_chat *c, const char *json, const char *want) {
    vb_error err = {0};
    vb_prompt p = {0};
    const vb_chat_request r = {.variables = json, .n_variables = strlen(json)};
    if (vb_chat_render(c, NULL, &r, &p, &err)) fail_msg("%s", err.message);
    assert_string_equal(p.text, want);
    vb_prompt_free(&p);
}

/* A file with several templates: the one for tools where there are tools, or one by its name. */
static void test_of_file(void **state) {
    (void)state;
    vb_gguf *g;
    uint8_t *bytes;
    vb_error err = {0};
    vb_chat *c = NULL;
    vb_tokenizer *t = vocabulary(VB_TOKEN_CONTROL, false, &g, &bytes);
    assert_int_equal(vb_chat_open(&c, g, NULL, &err), 0);
    prompt_text(c, "{\"messages\": []}", "plain");
    prompt_text(c, "{\"tools\": null}", "plain");
    prompt_text(c, "{\"tools\": [7]}", "with 7");
    vb_chat_close(c);
    assert_int_equal(vb_chat_open(&c, g, "tool_use", &err), 0);
    prompt_text(c, "{\"tools\": [8]}", "with 8");
    vb_chat_close(c);
    assert_int_equal(vb_chat_open(&c, g, "none", &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "test.gguf"));
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(bytes);
}

static void test_fixtures(void **state) {
    (void)state;
    need_fixtures();
    static const struct {
        const char *file, *name;
    } c[] = {{"qwen2", "qwen2.5"}, {"llama-bpe", "llama3.1"}, {"phi-3", "phi3"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[256];
        vb_error err = {0};
        vb_gguf *g = NULL;
        vb_tokenizer *t = NULL;
        vb_chat *chat = NULL;
        snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", fixtures(), c[i].file);
        if (vb_gguf_open(&g, path, &err) || vb_tokenizer_open(&t, g, &err) ||
            vb_chat_open(&chat, g, NULL, &err))
            fail_msg("%s", err.message);
        /* The file's template and ours of that name write the same, and BOS comes once. */
        for (int k = 0; k < N_CONVERSATIONS; k++) {
            vb_prompt p = {0};
            int rc;
            const int date[6] = {2024, 7, 26, 0, 0, 0};
            const vb_chat_request r = {.messages = conversations[k].m,
                                       .n_messages = conversations[k].n,
                                       .open_turn = conversations[k].open_turn,
                                       .date = date};
            if (vb_chat_render(chat, t, &r, &p, &err)) fail_msg("%s: %s", c[i].file, err.message);
            char *ours = rendered(c[i].name, r.open_turn, r.messages, r.n_messages, &rc, &err);
            if (rc == VB_OK) assert_string_equal(p.text, ours);
            memset(&err, 0, sizeof err);
            size_t n;
            int32_t *ids;
            assert_int_equal(vb_chat_tokenize(t, &p, 0, &ids, &n, &err), 0);
            assert_int_equal(n > 0 && ids[0] == vb_token_bos(t), vb_tokenizer_adds_bos(t));
            for (size_t j = 1; j < n; j++) assert_int_not_equal(ids[j], vb_token_bos(t));
            vb_free(ids);
            vb_free(ours);
            vb_prompt_free(&p);
        }
        vb_chat_close(chat);
        vb_tokenizer_close(t);
        vb_gguf_close(g);
    }
}

/* ------------------------------------------------------------------------------------------- going on */

/* A template's text after it has gone on with the last of the messages, or NULL with the reason. */
static char *gone_on(const char *template, const char *variables, vb_error *err) {
    vb_chat *c = NULL;
    vb_prompt p = {0};
    assert_int_equal(vb_chat_open_text(&c, template, strlen(template), "t", err), 0);
    const vb_chat_request r = {.variables = variables,
                               .n_variables = strlen(variables),
                               .open_turn = true, /* not looked at */
                               .continue_last = true};
    vb_chat_render(c, NULL, &r, &p, err);
    /* The spans end where the text does. */
    if (p.text && p.n_spans) assert_int_equal(p.spans[p.n_spans - 1].end, p.len);
    vb_chat_close(c);
    free(p.spans);
    return p.text;
}

static void test_going_on(void **state) {
    (void)state;
#define TURNS(content)                                                                                       \
    "{% for m in messages %}<{{ m.role }}>{{ " content                                                       \
    " }}</s>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
#define TALK(last)                                                                                           \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"e\"},{\"role\":\"assistant\",\"content\":" last "}]}"
    static const struct {
        const char *template, *variables, *want; /* want NULL: an error that says `says` */
        const char *says;
    } rows[] = {
        {TURNS("m.content"), TALK("\"Hello \""), "<user>e</s>\n<assistant>Hello ", NULL},
        /* The template takes white space off: so does the text. */
        {TURNS("m.content|trim"), TALK("\"Hello \""), "<user>e</s>\n<assistant>Hello", NULL},
        /* Nothing, and what also stands in the template's own text behind it. */
        {TURNS("m.content"), TALK("\"\""), "<user>e</s>\n<assistant>", NULL},
        {TURNS("m.content"), TALK("\"s\""), "<user>e</s>\n<assistant>s", NULL},
        /* Parts: the last text. */
        {TURNS("m.content if m.content is string else m.content|map(attribute='text')|join('+')"),
         TALK("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]"),
         "<user>e</s>\n<assistant>a+b", NULL},
        {TURNS("m.role"), TALK("\"x\""), NULL, "does not show"},
        {TURNS("m.content"), TALK("null"), NULL, "no text"},
        {TURNS("m.content"), "{\"messages\":[]}", NULL, "no text"},
        {TURNS("m.content"),
         "{\"add_generation_prompt\":true,\"messages\":[{\"role\":\"a\",\"content\":\"x\"}]}", NULL,
         "at once"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vb_error err = {0};
        char *text = gone_on(rows[i].template, rows[i].variables, &err);
        if (rows[i].want && !text) fail_msg("row %zu: %s", i, err.message);
        if (rows[i].want) assert_string_equal(text, rows[i].want);
        if (!rows[i].want && text) fail_msg("row %zu: %s", i, text);
        if (!rows[i].want) assert_non_null(strstr(err.message, rows[i].says));
        vb_free(text);
    }
}

static void test_reads(void **state) {
    (void)state;
    static const struct {
        const char *template, *name;
        bool reads;
    } rows[] = {
        {"{{ a }}", "a", true},
        {"{{ a }}", "b", false},
        {"{% if x is defined and x %}1{% endif %}", "x", true},
        {"{% set x = x | default(1) %}", "x", true},
        {"{% set x = 1 %}{{ x }}", "x", false},
        {"{% for m in messages %}{% if m.a %}{{ deep }}{% endif %}{% endfor %}", "deep", true},
        {"{% for m in messages %}{{ m }}{% endfor %}", "m", false},
        {"{% macro f(v) %}{{ v ~ w }}{% endmacro %}{{ f(1) }}", "w", true},
        {"{% macro f(v) %}{{ v ~ w }}{% endmacro %}{{ f(1) }}", "v", false},
        {"{{ m.thinking }}{{ 'thinking' }}", "thinking", false},
        {"{% for m in l if k %}{% else %}{{ e }}{% endfor %}", "k", true},
        {"{% for m in l if k %}{% else %}{{ e }}{% endfor %}", "e", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vb_chat *c = NULL;
        vb_error err = {0};
        if (vb_chat_open_text(&c, rows[i].template, strlen(rows[i].template), "t", &err))
            fail_msg("row %zu: %s", i, err.message);
        if (vb_chat_reads(c, rows[i].name) != rows[i].reads) fail_msg("row %zu: %s", i, rows[i].name);
        vb_chat_close(c);
    }
}

static void test_date(void **state) {
    (void)state;
    vb_chat *c = NULL;
    vb_prompt p = {0};
    const int date[6] = {2026, 11, 27, 9, 5, 3};
    vb_chat_request r = {.variables = "{\"y\":true}", .n_variables = 10, .date = date};
    const char *text = "{% if y %}{{ strftime_now('%H') }}{% endif %}";
    assert_int_equal(vb_chat_open_text(&c, text, strlen(text), "t", NULL), 0);
    assert_int_equal(vb_chat_render(c, NULL, &r, &p, NULL), 0);
    assert_string_equal(p.text, "09");
    assert_true(p.asked_date && !p.dated);
    assert_memory_equal(p.date, date, sizeof date);
    vb_prompt_free(&p);
    r.variables = "{\"y\":null}";
    assert_int_equal(vb_chat_render(c, NULL, &r, &p, NULL), 0);
    assert_true(!p.asked_date && !p.dated);
    vb_prompt_free(&p);
    vb_chat_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected), cmocka_unit_test(test_rules),    cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_bos),      cmocka_unit_test(test_markers),  cmocka_unit_test(test_of_file),
        cmocka_unit_test(test_fixtures), cmocka_unit_test(test_going_on), cmocka_unit_test(test_reads),
        cmocka_unit_test(test_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
