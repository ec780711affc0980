/* unicode.c - what Python says about characters: case, white space, what can be printed.
 *
 * Simple case mappings and categories come from utf8proc; case_table.h adds the characters that become
 * several. */
#include "chat/case_table.h"
#include "chat/text.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

#include <utf8proc.h>

static int category(uint32_t cp) {
    return cp > 0x10FFFF ? UTF8PROC_CATEGORY_CN : (int)utf8proc_category((utf8proc_int32_t)cp);
}

static bool in_ranges(const uint32_t (*r)[2], size_t n, uint32_t cp) {
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i][0] && cp <= r[i][1]) return true;
    return false;
}
#define IN(table, cp) in_ranges((table), sizeof(table) / sizeof *(table), (cp))

bool vbt_space(uint32_t cp) {
    return vb_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

bool vbt_printable(uint32_t cp) {
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return cp == ' ';
    default: return true;
    }
}

static bool is_lower(uint32_t cp) {
    if (cp < 0x80) return cp >= 'a' && cp <= 'z';
    return category(cp) == UTF8PROC_CATEGORY_LL || IN(other_lower, cp);
}

static bool is_upper(uint32_t cp) {
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z';
    return category(cp) == UTF8PROC_CATEGORY_LU || IN(other_upper, cp);
}

static bool is_title(uint32_t cp) {
    return category(cp) == UTF8PROC_CATEGORY_LT;
}

static bool is_cased(uint32_t cp) {
    return is_lower(cp) || is_upper(cp) || is_title(cp);
}

/* ----------------------------------------------------------------------------------------------- case */

static bool put_many(vbt_buf *b, const uint16_t (*table)[4], size_t n, uint32_t cp, bool given) {
    for (size_t i = 0; i < n; i++) {
        if (table[i][0] != cp) continue;
        for (int k = 1; k < 4 && table[i][k]; k++) vbt_put_char(b, table[i][k], given);
        return true;
    }
    return false;
}
#define MANY(b, table, cp, given) put_many((b), (table), sizeof(table) / sizeof *(table), (cp), (given))

/* Characters that the rule for sigma looks past. */
static bool ignorable(uint32_t cp) {
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default:
        return cp == '\'' || cp == '.' || cp == ':' || cp == 0xB7 || cp == 0x387 || cp == 0x55F ||
               cp == 0x5F4 || cp == 0x2018 || cp == 0x2019 || cp == 0x2024 || cp == 0x2027 || cp == 0xFE13 ||
               cp == 0xFE52 || cp == 0xFE55 || cp == 0xFF07 || cp == 0xFF0E || cp == 0xFF1A;
    }
}

/* A capital sigma at the end of a word has a small form of its own. */
static uint32_t small_sigma(const vbt_str *s, size_t at) {
    size_t bytes, i = at;
    bool before = false, after = false;
    while (i > 0) {
        do i--;
        while (i > 0 && ((unsigned char)s->s[i] & 0xC0) == 0x80);
        uint32_t cp = vbt_char(s, i, &bytes);
        if (ignorable(cp)) continue;
        before = is_cased(cp);
        break;
    }
    vbt_char(s, at, &bytes);
    for (i = at + bytes; i < s->n; i += bytes) {
        uint32_t cp = vbt_char(s, i, &bytes);
        if (ignorable(cp)) continue;
        after = is_cased(cp);
        break;
    }
    return before && !after ? 0x3C2 : 0x3C3;
}

static void put_lower(vbt_buf *b, const vbt_str *s, size_t at, uint32_t cp, bool given) {
    if (cp == 0x3A3) {
        vbt_put_char(b, small_sigma(s, at), given);
    } else if (cp == 0x130) {
        vbt_put_char(b, 'i', given);
        vbt_put_char(b, 0x307, given);
    } else {
        vbt_put_char(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp), given);
    }
}

static void put_upper(vbt_buf *b, uint32_t cp, bool given) {
    if (!MANY(b, upper_many, cp, given))
        vbt_put_char(b, (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp), given);
}

static void put_title(vbt_buf *b, uint32_t cp, bool given) {
    if (!MANY(b, title_many, cp, given))
        vbt_put_char(b, (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp), given);
}

static void put_folded(vbt_buf *b, uint32_t cp, bool given) {
    utf8proc_int32_t out[8];
    int bound = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, out, 8, UTF8PROC_CASEFOLD, &bound);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) vbt_put_char(b, (uint32_t)out[i], given);
}

vbt_val vbt_change_case(vbt *t, const vbt_str *s, vbt_case to) {
    vbt_buf out = {.t = t};
    bool after_cased = false;
    size_t bytes;
    for (size_t i = 0; i < s->n; i += bytes) {
        uint32_t cp = vbt_char(s, i, &bytes);
        bool given = vbt_byte_given(s, i);
        if (cp >= 0xDC80 && cp <= 0xDCFF && bytes == 1) { /* no UTF-8 */
            vbt_put_part(&out, s, i, i + 1);
            after_cased = false;
            continue;
        }
        vbt_case how = to;
        if (to == VBT_TITLE && after_cased) how = VBT_LOWER;
        if (to == VBT_CAPITAL) how = i == 0 ? VBT_TITLE : VBT_LOWER;
        if (to == VBT_SWAP) how = is_upper(cp) ? VBT_LOWER : is_lower(cp) ? VBT_UPPER : VBT_SWAP;
        after_cased = is_cased(cp);
        switch (how) {
        case VBT_UPPER: put_upper(&out, cp, given); break;
        case VBT_LOWER: put_lower(&out, s, i, cp, given); break;
        case VBT_TITLE: put_title(&out, cp, given); break;
        case VBT_FOLD: put_folded(&out, cp, given); break;
        default: vbt_put_part(&out, s, i, i + bytes);
        }
    }
    return vbt_buf_value(&out);
}

/* ------------------------------------------------------------------------------------------ questions */

static bool is_alpha(uint32_t cp) {
    int c = category(cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t cp) {
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

static bool is_digit(uint32_t cp) {
    return is_decimal(cp) || IN(other_digit, cp);
}

static bool is_numeric(vbt *t, uint32_t cp) {
    int c = category(cp);
    if (c == UTF8PROC_CATEGORY_LO && cp >= 0x2E80)
        vbt_left_out(t, "isnumeric() and isalnum() of Chinese characters are not supported");
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

/* True if there are characters and each is one of the kind. */
static bool every(vbt *t, const vbt_str *s, const char *m) {
    size_t bytes;
    for (size_t i = 0; i < s->n; i += bytes) {
        uint32_t cp = vbt_char(s, i, &bytes);
        bool yes = !strcmp(m, "isalpha")     ? is_alpha(cp)
                   : !strcmp(m, "isdecimal") ? is_decimal(cp)
                   : !strcmp(m, "isdigit")   ? is_digit(cp)
                   : !strcmp(m, "isspace")   ? vbt_space(cp)
                   : !strcmp(m, "isnumeric") ? is_numeric(t, cp)
                                             : is_alpha(cp) || is_numeric(t, cp); /* isalnum */
        if (!yes) return false;
    }
    return s->n > 0;
}

/* islower, isupper: there is one of the case and none of another. */
static bool all_of_case(const vbt_str *s, bool upper) {
    bool found = false;
    size_t bytes;
    for (size_t i = 0; i < s->n; i += bytes) {
        uint32_t cp = vbt_char(s, i, &bytes);
        if (is_title(cp) || (upper ? is_lower(cp) : is_upper(cp))) return false;
        if (upper ? is_upper(cp) : is_lower(cp)) found = true;
    }
    return found;
}

static bool titled(const vbt_str *s) {
    bool found = false, before = false;
    size_t bytes;
    for (size_t i = 0; i < s->n; i += bytes) {
        uint32_t cp = vbt_char(s, i, &bytes);
        bool capital = is_upper(cp) || is_title(cp);
        if (capital ? before : is_lower(cp) && !before) return false;
        before = capital || is_lower(cp);
        found = found || before;
    }
    return found;
}

bool vbt_text_is(vbt *t, const vbt_str *s, const char *method) {
    size_t bytes;
    vbt_steps(t, s->n / 8);
    if (!strcmp(method, "isascii")) return vbt_ascii(s);
    if (!strcmp(method, "islower")) return all_of_case(s, false);
    if (!strcmp(method, "isupper")) return all_of_case(s, true);
    if (!strcmp(method, "istitle")) return titled(s);
    if (!strcmp(method, "isprintable")) {
        for (size_t i = 0; i < s->n; i += bytes)
            if (!vbt_printable(vbt_char(s, i, &bytes))) return false;
        return true;
    }
    if (!strcmp(method, "isidentifier")) {
        if (!vbt_ascii(s)) vbt_left_out(t, "isidentifier() of text beyond ASCII is not supported");
        for (size_t i = 0; i < s->n; i++) {
            char c = s->s[i];
            bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
            if (!letter && !(i > 0 && c >= '0' && c <= '9')) return false;
        }
        return s->n > 0;
    }
    return every(t, s, method);
}
