/* json.c - values for answers. */
#include "server/httpd.h"
#include "base/json.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *vbs_json_text(const char *bytes, size_t n) {
    char small[256];
    char *clean = n <= sizeof small / 3 ? small : n < SIZE_MAX / 3 ? malloc(3 * n) : NULL;
    if (!clean) {
        vb_json_fail();
        return NULL;
    }
    size_t used = 0;
    small[0] = 0;
    for (size_t i = 0; i < n;) {
        size_t len = vb_utf8_char((const unsigned char *)bytes + i, n - i, NULL);
        memcpy(clean + used, len ? bytes + i : "\xEF\xBF\xBD", len ? len : 3);
        used += len ? len : 3;
        i += len ? len : 1;
    }
    json_t *text = json_stringn_nocheck(clean, used);
    if (clean != small) free(clean);
    return text;
}

json_t *vbs_json_token(const char *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    size_t whole = 0, used = 6;
    for (size_t len = 1; len && whole < n; whole += len)
        len = vb_utf8_char((const unsigned char *)bytes + whole, n - whole, NULL);
    if (whole == n) return vbs_json_text(bytes, n);
    char *out = n < SIZE_MAX / 4 - 6 ? malloc(6 + 4 * n) : NULL;
    if (!out) {
        vb_json_fail();
        return NULL;
    }
    memcpy(out, "bytes:", 6);
    for (size_t i = 0; i < n; i++, used += 4) {
        const unsigned char c = (unsigned char)bytes[i];
        const char escape[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
        memcpy(out + used, escape, 4);
    }
    json_t *text = json_stringn_nocheck(out, used);
    free(out);
    return text;
}

size_t vbs_clean_text(char *text) {
    size_t replaced = 0;
    for (size_t i = 0, n = strlen(text); i < n;) {
        const size_t len = vb_utf8_char((const unsigned char *)text + i, n - i, NULL);
        if (!len) {
            text[i] = '?';
            replaced++;
        }
        i += len ? len : 1;
    }
    return replaced;
}

json_t *vbs_json_real(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *vbs_json_bytes(const char *bytes, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) json_array_append_new(list, json_integer((unsigned char)bytes[i]));
    return list;
}

/* ------------------------------------------------------------------------------------------------ writing
 *
 * Jansson prints 0.8 as 0.80000000000000004. Here every number is as short as reads back to the same bits. */

static void put_string(vb_buf *w, const char *s, size_t n) {
    size_t from = 0;
    vb_buf_puts(w, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char escape[8];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        vb_buf_add(w, s + from, i - from);
        from = i + 1;
        const char *named = c ? strchr("\bb\ff\nn\rr\tt", c) : NULL;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (named)
            snprintf(escape, sizeof escape, "\\%c", named[1]);
        else
            snprintf(escape, sizeof escape, "\\u%04X", c);
        vb_buf_puts(w, escape);
    }
    vb_buf_add(w, s + from, n - from);
    vb_buf_puts(w, "\"");
}

/* With a point or an exponent, so that a whole number stays a real one. */
static void put_real(vb_buf *w, double x) {
    char text[40];
    for (int digits = 1; digits <= 17; digits += digits < 15 ? 14 : 1) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    if (!strpbrk(text, ".eni")) strcat(text, ".0");
    vb_buf_puts(w, text);
}

static void put_value(vb_buf *w, const json_t *v);

static void put_object(vb_buf *w, const json_t *v) {
    json_t *object = (json_t *)(uintptr_t)v, *value; /* the iterator's interface knows no const */
    const char *key, *comma = "";
    vb_buf_puts(w, "{");
    json_object_foreach(object, key, value) {
        vb_buf_puts(w, comma);
        comma = ",";
        put_string(w, key, strlen(key));
        vb_buf_puts(w, ":");
        put_value(w, value);
    }
    vb_buf_puts(w, "}");
}

static void put_value(vb_buf *w, const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT: put_object(w, v); return;
    case JSON_ARRAY:
        vb_buf_puts(w, "[");
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i) vb_buf_puts(w, ",");
            put_value(w, json_array_get(v, i));
        }
        vb_buf_puts(w, "]");
        return;
    case JSON_STRING: put_string(w, json_string_value(v), json_string_length(v)); return;
    case JSON_REAL: put_real(w, json_real_value(v)); return;
    case JSON_INTEGER: vb_buf_addf(w, "%lld", (long long)json_integer_value(v)); return;
    case JSON_TRUE: vb_buf_puts(w, "true"); return;
    case JSON_FALSE: vb_buf_puts(w, "false"); return;
    default: vb_buf_puts(w, "null"); return;
    }
}

char *vbs_json_dump(const json_t *value, size_t *n) {
    vb_buf w = {0};
    *n = 0;
    if (!value) return NULL;
    put_value(&w, value);
    if (vb_json_failed()) {
        vb_buf_free(&w);
        return NULL;
    }
    return vb_buf_take(&w, n);
}
