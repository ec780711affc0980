/* chat.c - recognises a file's chat template and renders conversations. Templates are programs from a
 * stranger: they are compared, never executed. What is not recognised for certain is refused (P6).
 *
 * A template is compared in a normal form, because the same template is found with other spacing and quotes:
 * inside {{ }} and {% %} white space outside quotes is dropped, quotes become ', the escape \n in quotes
 * becomes a newline, literals that are added to each other become one, the trim marks of {{- and -%} go,
 * comments go, x.role and x.content become x['role'] and x['content']. Text between the tags is kept but for
 * white space at its ends. */
#include "chat.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------- normal form */

static bool blank(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* A quoted string that starts at s; appends it with ' as the quote; returns the bytes read. */
static size_t normal_string(const char *s, size_t n, vb_string *out) {
    const char quote = s[0];
    size_t i = 1;
    if (out->n >= 2 && out->s[out->n - 1] == '+' && out->s[out->n - 2] == '\'') /* 'a' + 'b' is 'ab' */
        out->n -= 2;
    else
        vb_string_add(out, "'", 1);
    for (; i < n && s[i] != quote; i++) {
        if (s[i] == '\\' && i + 1 < n) {
            i++;
            if (s[i] == 'n')
                vb_string_add(out, "\n", 1);
            else
                vb_string_add(out, s + i, 1);
        } else {
            vb_string_add(out, s + i, 1);
        }
    }
    vb_string_add(out, "'", 1);
    return i < n ? i + 1 : n;
}

static bool word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* ".role" or ".content" that is not the start of a longer word. */
static size_t attribute(const char *s, size_t n, vb_string *out) {
    static const char *const name[] = {"role", "content"};
    for (size_t k = 0; k < 2; k++) {
        size_t len = strlen(name[k]) + 1;
        if (len > n || memcmp(s + 1, name[k], len - 1) != 0 || (len < n && word_char(s[len]))) continue;
        vb_string_puts(out, "['");
        vb_string_puts(out, name[k]);
        vb_string_puts(out, "']");
        return len;
    }
    return 0;
}

/* The inside of a tag, s[0..n), without its delimiters. */
static void normal_tag(const char *s, size_t n, vb_string *out) {
    if (n > 0 && s[0] == '-') s++, n--;
    if (n > 0 && s[n - 1] == '-') n--;
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        if (s[i] == '\'' || s[i] == '"') k = normal_string(s + i, n - i, out);
        if (s[i] == '.') k = attribute(s + i, n - i, out);
        if (k == 0 && !blank(s[i])) vb_string_add(out, s + i, 1);
        i += k > 0 ? k : 1;
    }
}

/* The end of a tag that starts at s ("{{", "{%" or "{#"): quotes may hide the closing pair. n if it never
 * ends. */
static size_t tag_end(const char *s, size_t n) {
    const char close = s[1] == '{' ? '}' : s[1];
    char quote = 0;
    for (size_t i = 2; i + 1 < n; i++) {
        if (quote) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == quote)
                quote = 0;
        } else if (close != '#' && (s[i] == '\'' || s[i] == '"')) {
            quote = s[i];
        } else if (s[i] == close && s[i + 1] == '}') {
            return i + 2;
        }
    }
    return n;
}

static int normal_form(const char *s, size_t n, vb_string *out) {
    for (size_t i = 0; i < n;) {
        bool tag = i + 1 < n && s[i] == '{' && (s[i + 1] == '{' || s[i + 1] == '%' || s[i + 1] == '#');
        if (tag) {
            size_t len = tag_end(s + i, n - i);
            if (s[i + 1] != '#' && len >= 4) {
                vb_string_add(out, s + i, 2);
                normal_tag(s + i + 2, len - 4, out);
                vb_string_puts(out, s[i + 1] == '{' ? "}}" : "%}");
            }
            i += len;
            continue;
        }
        size_t from = i;
        while (i < n &&
               !(i + 1 < n && s[i] == '{' && (s[i + 1] == '{' || s[i + 1] == '%' || s[i + 1] == '#')))
            i++;
        size_t to = i;
        while (from < to && blank(s[from])) from++;
        while (to > from && blank(s[to - 1])) to--;
        vb_string_add(out, s + from, to - from);
    }
    vb_string_add(out, "", 0);
    return out->rc;
}

/* -------------------------------------------------------------------------------------------- recognising */

/* ChatML templates differ in the system prompt that they put in when there is none: literal text after the
 * system header. Every such text must be `prompt`, and if `prompt` is not NULL there must be one. */
static bool default_prompt_is(const char *normal, const char *prompt) {
    static const char header[] = "<|im_start|>system\n", end[] = "<|im_end|>";
    bool found = false;
    for (const char *p = normal; (p = strstr(p, header));) {
        p += strlen(header);
        if (*p == '\'') continue; /* the conversation's own */
        size_t n = prompt ? strlen(prompt) : 0;
        if (!prompt || strncmp(p, prompt, n) != 0 || strncmp(p + n, end, strlen(end)) != 0) return false;
        found = true;
    }
    return found == (prompt != NULL);
}

static bool fits(const vb_chat_family *f, const char *normal) {
    if (f->chatml && !default_prompt_is(normal, f->text)) return false;
    for (size_t i = 0; i < sizeof f->has / sizeof *f->has && f->has[i]; i++)
        if (!strstr(normal, f->has[i])) return false;
    for (size_t i = 0; i < sizeof f->lacks / sizeof *f->lacks && f->lacks[i]; i++)
        if (strstr(normal, f->lacks[i])) return false;
    return f->has[0] != NULL;
}

/* The raw text of the token that a metadata key names; false if there is none. */
static bool token_named(const vb_gguf *g, const char *key, const char **s, size_t *len) {
    const vb_meta *m = vb_gguf_find(g, key), *tokens = vb_gguf_find(g, "tokenizer.ggml.tokens");
    uint64_t id;
    return m && tokens && m->type != VB_VALUE_ARRAY && vb_meta_u64(m, 0, &id) &&
           tokens->type == VB_VALUE_ARRAY && vb_meta_string(g, tokens, id, s, len);
}

/* What the template writes for bos_token and eos_token must be what rendering will write. */
static int check_tokens(const vb_gguf *g, const vb_chat_family *f, const char *normal, vb_error *err) {
    const char *s;
    size_t len;
    char shown[64];
    bool writes_bos = strstr(normal, "bos_token") != NULL;
    if (writes_bos != (f->bos != NULL) && !vb_file_adds_bos(g))
        return vb_fail(err, VB_ERR_UNSUPPORTED,
                       "%s: tokenizer.chat_template is of the family '%s', but this one %s a BOS token and "
                       "the file's BOS "
                       "rule does not make up for it; name the template to use yourself",
                       vb_gguf_path(g), f->name, writes_bos ? "writes" : "does not write");
    const struct {
        const char *want, *key;
    } check[] = {{f->bos, "tokenizer.ggml.bos_token_id"}, {f->eos, "tokenizer.ggml.eos_token_id"}};
    for (size_t i = 0; i < 2; i++) {
        if (!check[i].want) continue;
        if (!token_named(g, check[i].key, &s, &len)) s = "", len = 0;
        if (len == strlen(check[i].want) && memcmp(s, check[i].want, len) == 0) continue;
        return vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "%s: tokenizer.chat_template is of the family '%s', which writes '%s', but %s is '%s'; name the "
            "template to use yourself",
            vb_gguf_path(g), f->name, check[i].want, check[i].key, vb_escape(s, len, shown, sizeof shown));
    }
    return VB_OK;
}

static const char *list_names(vb_string *b) {
    for (const vb_chat_family *f = vb_chat_families; f->name; f++) {
        if (b->n > 0) vb_string_puts(b, ", ");
        vb_string_puts(b, f->name);
    }
    return b->s ? b->s : "";
}

int vb_chat_detect(const vb_gguf *g, const char **name, vb_error *err) {
    vb_begin(err);
    const vb_meta *m = vb_gguf_find(g, "tokenizer.chat_template");
    vb_string normal = {.err = err}, names = {0};
    const char *s;
    size_t len;
    int rc = VB_OK;
    if (!m || m->type != VB_VALUE_STRING || !vb_meta_string(g, m, 0, &s, &len)) {
        rc = vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "%s: no tokenizer.chat_template in the file; name the template to use yourself, one of: %s",
            vb_gguf_path(g), list_names(&names));
        goto cleanup;
    }
    if (memchr(s, 0, len)) {
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: tokenizer.chat_template holds a NUL byte", vb_gguf_path(g));
        goto cleanup;
    }
    if ((rc = normal_form(s, len, &normal))) goto cleanup;
    const vb_chat_family *f = vb_chat_families;
    while (f->name && !fits(f, normal.s)) f++;
    if (!f->name) {
        rc = vb_fail(err, VB_ERR_UNSUPPORTED,
                     "%s: tokenizer.chat_template is not one of the known ones, and templates are never "
                     "executed; name "
                     "the template to use yourself, one of: %s",
                     vb_gguf_path(g), list_names(&names));
        goto cleanup;
    }
    if ((rc = check_tokens(g, f, normal.s, err))) goto cleanup;
    *name = f->name;
cleanup:
    free(normal.s);
    free(names.s);
    return rc;
}

/* -------------------------------------------------------------------------------------------- rendering */

int vb_chat_render(const char *name, const vb_chat_message *messages, size_t n, bool open_turn, char **text,
                   size_t *len, vb_error *err) {
    vb_begin(err);
    vb_string names = {0};
    const vb_chat_family *f = vb_chat_families;
    while (f->name && strcmp(f->name, name) != 0) f++;
    if (!f->name) {
        char shown[64];
        int rc = vb_fail(err, VB_ERR_ARGUMENT, "no chat template is called '%s'; there are: %s",
                         vb_escape(name, strlen(name), shown, sizeof shown), list_names(&names));
        free(names.s);
        return rc;
    }
    if (n == 0) return vb_fail(err, VB_ERR_ARGUMENT, "chat template '%s': there are no messages", name);
    for (size_t i = 0; i < n; i++) {
        const char *role = messages[i].role;
        if (!role ||
            (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0))
            return vb_fail(
                err, VB_ERR_ARGUMENT,
                "chat template '%s': message %zu has the role '%.40s'; known are system, user, assistant",
                name, i + 1, role ? role : "(none)");
        if (!messages[i].content)
            return vb_fail(err, VB_ERR_ARGUMENT, "chat template '%s': message %zu has no content", name,
                           i + 1);
    }
    vb_chat c = {messages, n, open_turn, f->name, {.err = err}, err};
    vb_string_add(&c.out, "", 0);
    int rc = f->render(&c, f);
    if (rc == VB_OK) rc = c.out.rc;
    if (rc) {
        free(c.out.s);
        return rc;
    }
    *text = c.out.s;
    *len = c.out.n;
    return VB_OK;
}
