/* nfc.c - Unicode normalisation form C, for the families whose published tokenizer normalises.
 *
 * utf8proc decomposes and composes. Its own ordering of combining marks exchanges neighbours, which takes
 * quadratic time on a long run of marks in the wrong order,
 * so the marks are put in order here, by counting. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct nfc_work {
    utf8proc_int32_t *cp, *sorted; /* one run, decomposed */
    size_t n, cap, cap_sorted;
} nfc_work;

static int decompose(nfc_work *w, const unsigned char *s, size_t len, vb_error *err) {
    w->n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        i += vb_utf8_char(s + i, len - i, &c);
        int boundary = 0;
        /* No canonical decomposition is longer than four code points;
         * leave room for the longest of any kind. */
        int rc = vb_grow((void **)&w->cp, &w->cap, w->n + 20, sizeof *w->cp, "normalised text", err);
        if (rc) return rc;
        utf8proc_ssize_t k =
            utf8proc_decompose_char((utf8proc_int32_t)c, w->cp + w->n, 20, UTF8PROC_COMPOSE, &boundary);
        if (k < 0 || k > 20)
            return vb_fail(err, VB_ERR_MEMORY, "utf8proc cannot decompose U+%04X", (unsigned)c);
        w->n += (size_t)k;
    }
    return VB_OK;
}

/* Stable sort of cp[0..n), all with a combining class above 0, by that class. */
static int order_marks(nfc_work *w, utf8proc_int32_t *cp, size_t n, vb_error *err) {
    bool ordered = true;
    for (size_t i = 1; ordered && i < n; i++)
        ordered = utf8proc_get_property(cp[i - 1])->combining_class <=
                  utf8proc_get_property(cp[i])->combining_class;
    if (ordered) return VB_OK;
    int rc = vb_grow((void **)&w->sorted, &w->cap_sorted, n, sizeof *w->sorted, "normalised text", err);
    if (rc) return rc;
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++) at[utf8proc_get_property(cp[i])->combining_class + 1]++;
    for (size_t k = 1; k < 257; k++) at[k] += at[k - 1];
    for (size_t i = 0; i < n; i++) w->sorted[at[utf8proc_get_property(cp[i])->combining_class]++] = cp[i];
    memcpy(cp, w->sorted, n * sizeof *cp);
    return VB_OK;
}

static int normalise_run(nfc_work *w, const char *s, size_t len, vb_buf *out, vb_error *err) {
    int rc = decompose(w, (const unsigned char *)s, len, err);
    for (size_t i = 0; rc == VB_OK && i < w->n;) {
        size_t end = i;
        while (end < w->n && utf8proc_get_property(w->cp[end])->combining_class > 0) end++;
        if (end > i + 1) rc = order_marks(w, w->cp + i, end - i, err);
        i = end + 1;
    }
    if (rc) return rc;
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(w->cp, (utf8proc_ssize_t)w->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0) return vb_fail(err, VB_ERR_MEMORY, "utf8proc cannot normalise: %s", utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char c[4];
        vb_buf_add(out, c, vb_utf8_put((uint32_t)w->cp[i], c));
    }
    return vb_buf_done(out, "normalised text", err);
}

int vb_nfc(const char *text, size_t len, const char **out, size_t *out_len, char **owned, vb_error *err) {
    const unsigned char *t = (const unsigned char *)text;
    /* Nothing below U+0300 changes or combines, and lead bytes below CC write nothing above U+02FF. */
    size_t i = 0;
    while (i < len && t[i] < 0xCC) i++;
    if (i == len) {
        *out = text, *out_len = len, *owned = NULL;
        return VB_OK;
    }
    nfc_work w = {0};
    vb_buf b = {0};
    int rc = VB_OK;
    for (size_t at = 0; rc == VB_OK && at < len;) {
        size_t end = at, c;
        while (end < len && (c = vb_utf8_char(t + end, len - end, NULL)) > 0) end += c;
        if (end > at) rc = normalise_run(&w, text + at, end - at, &b, err);
        at = end;
        while (end < len && vb_utf8_char(t + end, len - end, NULL) == 0) end++;
        vb_buf_add(&b, text + at, end - at);
        if (rc == VB_OK) rc = vb_buf_done(&b, "normalised text", err);
        at = end;
    }
    free(w.cp);
    free(w.sorted);
    if (rc) {
        free(b.s);
        return rc;
    }
    *out = b.s, *out_len = b.n, *owned = b.s;
    return VB_OK;
}
