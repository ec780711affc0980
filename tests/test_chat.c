/* Chat templates: what every family renders, which conversations are refused, and how files' templates are
 * recognised. */
#include "tokenizer_util.h"

#include "chat.h"
#include "chat_expected.h"
#include "gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define SYSTEM {"system", "Be brief."}
#define USER   {"user", "Hi"}
#define ANSWER {"assistant", " Hello! "}
#define BYE    {"user", " Bye\n"}
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

static void test_expected(void **state) {
    (void)state;
    const char *const *names = vb_chat_names();
    size_t n = 0;
    for (; vb_chat_families[n].name; n++) {
        assert_string_equal(names[n], vb_chat_families[n].name);
        assert_string_equal(names[n], expected[n].name); /* every family is in the table */
    }
    assert_null(names[n]);
    assert_int_equal(n, sizeof expected / sizeof *expected);
    for (size_t f = 0; f < n; f++) {
        for (int k = 0; k < N_CONVERSATIONS; k++) {
            vb_error err = {0};
            char *text = NULL;
            size_t len = 0;
            int rc = vb_chat_render(names[f], conversations[k].m, conversations[k].n,
                                    conversations[k].open_turn, &text, &len, &err);
            const char *want = expected[f].text[k];
            if (!want) {
                assert_int_equal(rc, VB_ERR_ARGUMENT);
                assert_null(text);
                assert_non_null(strstr(err.message, names[f]));
                continue;
            }
            if (rc) fail_msg("%s, conversation %d: %s", names[f], k, err.message);
            if (strcmp(text, want) != 0)
                fail_msg("%s, conversation %d:\n%s\nexpected\n%s", names[f], k, text, want);
            assert_int_equal(len, strlen(want));
            vb_free(text);
        }
    }
}

/* ------------------------------------------------------------------------------------------- single rules */

static void render(const char *name, bool open_turn, const vb_chat_message *m, size_t n, const char *want) {
    vb_error err = {0};
    char *text = NULL;
    size_t len;
    int rc = vb_chat_render(name, m, n, open_turn, &text, &len, &err);
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
        RENDER(*name, true, NULL, {"tool", "x"});
        RENDER(*name, true, NULL, {"User", "x"});
        RENDER(*name, true, NULL, {NULL, "x"});
        RENDER(*name, true, NULL, {"user", NULL});
        render(*name, true, NULL, 0, NULL);
    }
    RENDER("no such", true, NULL, {"user", "x"});
    RENDER("", true, NULL, {"user", "x"});
}

/* ------------------------------------------------------------------------------------------- recognising */

/* A file with this template, BOS and EOS tokens of these texts, and this BOS rule. NULL:
 * refused with `what`. */
static void detect_as(const char *template, size_t len, const char *bos, const char *eos, bool adds_bos,
                      const char *want, const char *what) {
    vb_error err = {0};
    vb_gguf *g = NULL;
    const char *name = NULL;
    const char *const tokens[] = {"<unk>", bos, eos};
    gw *w = gw_new();
    gw_str(w, "tokenizer.ggml.model", "llama");
    gw_array_str(w, "tokenizer.ggml.tokens", tokens, 3);
    gw_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gw_u32(w, "tokenizer.ggml.eos_token_id", 2);
    gw_bool(w, "tokenizer.ggml.add_bos_token", adds_bos);
    if (template) gw_strn(w, "tokenizer.chat_template", template, len);
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    assert_int_equal(vb_gguf_open_memory(&g, bytes, n, "test.gguf", &err), 0);
    int rc = vb_chat_detect(g, &name, &err);
    if (want) {
        if (rc) fail_msg("%s", err.message);
        assert_string_equal(name, want);
    } else {
        if (rc == VB_OK) fail_msg("taken for '%s': %s", name, template);
        assert_null(name);
        if (!strstr(err.message, what) || !strstr(err.message, "test.gguf")) fail_msg("%s", err.message);
    }
    vb_gguf_close(g);
    free(bytes);
    gw_free(w);
}

static void detect(const char *template, const char *want, const char *what) {
    detect_as(template, strlen(template), "<s>", "</s>", true, want, what);
}

/* A template made of a family's own marks is of that family and of no other. */
static void test_marks(void **state) {
    (void)state;
    for (const vb_chat_family *f = vb_chat_families; f->name; f++) {
        vb_error err = {0};
        vb_string t = {.err = &err};
        if (f->bos) vb_string_puts(&t, "{{ bos_token }}");
        for (size_t i = 0; i < sizeof f->has / sizeof *f->has && f->has[i]; i++) {
            bool tag = f->has[i][0] == '{';
            if (!tag) vb_string_puts(&t, "{{ ");
            vb_string_puts(&t, f->has[i]);
            if (!tag) vb_string_puts(&t, " }}");
        }
        if (f->chatml && f->text) {
            vb_string_puts(&t, "{{ '<|im_start|>system\n");
            vb_string_puts(&t, f->text);
            vb_string_puts(&t, "<|im_end|>\n' }}");
        }
        assert_int_equal(t.rc, 0);
        detect_as(t.s, t.n, f->bos ? f->bos : "<b>", f->eos ? f->eos : "<e>", false, f->name, NULL);
        /* With other tokens than the template's words it is refused. */
        if (f->bos) detect_as(t.s, t.n, "<other>", f->eos ? f->eos : "<e>", true, NULL, "<other>");
        if (f->eos) detect_as(t.s, t.n, f->bos ? f->bos : "<b>", "<other>", true, NULL, "<other>");
        free(t.s);
    }
}

static void test_normal_form(void **state) {
    (void)state;
    /* One template in four spellings. */
    detect("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
           "'<|im_end|>' + "
           "'\\n'}}{% endfor %}{{ '<|im_start|>assistant\\n' }}",
           "chatml", NULL);
    detect("{#- a comment with 'quotes -#}\n{%- for message in messages -%}\n  {{- \"<|im_start|>\" + "
           "message.role + \"\n\" + "
           "message.content + \"<|im_end|>\\n\" -}}\n{%- endfor -%}\n{{- \"<|im_start|>assistant\n\" -}}\n",
           "chatml", NULL);
    /* A quote or a closing pair inside a string does not end it. */
    detect("{{ 'it\\'s }} %}' "
           "}}{{'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'}}{{'<|im_start|>"
           "assistant\\n'}}",
           "chatml", NULL);
    /* A system prompt of its own that is not known, and content that is changed: refused. */
    detect("{{'<|im_start|>system\\nYou are "
           "Bob.<|im_end|>\\n'}}{{'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>"
           "\\n'}}{{'<|im_start|>assistant\\n'}}",
           NULL, "not one of the known ones");
    detect("{{'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'}}{{'<|im_start|>assistant\\n'"
           "}}{{ x | trim }}",
           NULL, "not one of the known ones");
    detect(
        "{{'<|im_start|>'+message.role+' '+message.content+'<|im_end|>\\n'}}{{'<|im_start|>assistant\\n'}}",
        NULL, "not one of the known ones");
    detect("", NULL, "never executed");
    detect("{{", NULL, "chatml, qwen1.5"); /* the names are listed */
    detect("{% for '", NULL, "never executed");
    detect("{{ self.__init__.__globals__ }}", NULL, "never executed");
    detect_as("a\0b", 3, "<s>", "</s>", true, NULL, "NUL");
    detect_as(NULL, 0, "<s>", "</s>", true, NULL, "no tokenizer.chat_template");
    /* ChatML that writes BOS: the same ids if the file's rule puts it there, refused if not. */
    const char *bos = "{{ bos_token "
                      "}}{{'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'}}{{'<|im_start|>"
                      "assistant\\n'}}";
    detect_as(bos, strlen(bos), "<s>", "</s>", true, "chatml", NULL);
    detect_as(bos, strlen(bos), "<s>", "</s>", false, NULL, "writes a BOS token");
}

static void test_fixtures(void **state) {
    (void)state;
    need_fixtures();
    static const struct {
        const char *file, *name;
    } c[] = {{"qwen2", "qwen2.5"}, {"llama-bpe", "llama3.1"}, {"phi-3", "phi3"}, {"gpt-2", NULL}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[256];
        vb_error err = {0};
        vb_gguf *g = NULL;
        vb_tokenizer *t = NULL;
        const char *name = NULL;
        snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", fixtures(), c[i].file);
        if (vb_gguf_open(&g, path, &err) || vb_tokenizer_open(&t, g, &err)) fail_msg("%s", err.message);
        int rc = vb_chat_detect(g, &name, &err);
        if (c[i].name) {
            if (rc) fail_msg("%s", err.message);
            assert_string_equal(name, c[i].name);
            /* The caller's rule: BOS comes once, written by the template or put there by the file's rule. */
            char *text;
            size_t len, n;
            int32_t *ids;
            assert_int_equal(vb_chat_render(name, conversations[0].m, 1, true, &text, &len, &err), 0);
            assert_int_equal(vb_tokenize(t, text, len, VB_TOKENIZE_PARSE_SPECIAL, &ids, &n, &err), 0);
            bool written = n > 0 && ids[0] == vb_token_bos(t);
            assert_int_equal(written, vb_tokenizer_adds_bos(t));
            for (size_t k = 1; k < n; k++) assert_int_not_equal(ids[k], vb_token_bos(t));
            vb_free(ids);
            vb_free(text);
        } else {
            assert_int_equal(rc, VB_ERR_UNSUPPORTED);
        }
        vb_tokenizer_close(t);
        vb_gguf_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected),    cmocka_unit_test(test_rules),    cmocka_unit_test(test_marks),
        cmocka_unit_test(test_normal_form), cmocka_unit_test(test_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
