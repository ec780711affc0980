/* json.c - values for answers. */
#include "httpd.h"

#include "tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *vbs_json_text(const char *bytes, size_t n) {
    char small[256];
    char *clean = n <= sizeof small / 3 ? small : n < SIZE_MAX / 3 ? malloc(3 * n) : NULL;
    if (!clean) return NULL;
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

json_t *vbs_json_real(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *vbs_json_bytes(const char *bytes, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) json_array_append_new(list, json_integer((unsigned char)bytes[i]));
    return list;
}

char *vbs_json_dump(const json_t *value, size_t *n) {
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    *n = text ? strlen(text) : 0;
    return text;
}
