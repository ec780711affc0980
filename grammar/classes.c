/* classes.c - sets of characters. See classes.h. Categories are those of utf8proc's version of Unicode. */
#include "grammar/classes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/buf.h"

int vbg_class_add(vbg_class *c, uint32_t lo, uint32_t hi, vb_error *err) {
    const int rc = vb_grow((void **)&c->r, &c->room, c->n + 1, sizeof *c->r, "a class of characters", err);
    if (!rc) c->r[c->n++] = (vbg_range){lo, hi};
    return rc;
}

static int by_lo(const void *x, const void *y) {
    const vbg_range *a = x, *b = y;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

int vbg_class_finish(vbg_class *c, bool negate, vb_error *err) {
    size_t n = 0;
    if (c->n) qsort(c->r, c->n, sizeof *c->r, by_lo);
    for (size_t i = 0; i < c->n; i++) {
        if (n && c->r[i].lo <= c->r[n - 1].hi + 1) {
            if (c->r[i].hi > c->r[n - 1].hi) c->r[n - 1].hi = c->r[i].hi;
        } else {
            c->r[n++] = c->r[i];
        }
    }
    c->n = n;
    if (!negate) return VB_OK;
    vbg_class gaps = {0};
    uint32_t from = 0;
    int rc = VB_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        if (c->r[i].lo > from) rc = vbg_class_add(&gaps, from, c->r[i].lo - 1, err);
        from = c->r[i].hi + 1;
    }
    if (!rc && from <= 0x10FFFF) rc = vbg_class_add(&gaps, from, 0x10FFFF, err);
    if (rc) {
        free(gaps.r);
        return rc;
    }
    free(c->r);
    *c = gaps;
    return VB_OK;
}

static int add_all(vbg_class *c, const vbg_range *r, size_t n, vb_error *err) {
    int rc = VB_OK;
    for (size_t i = 0; i < n && !rc; i++) rc = vbg_class_add(c, r[i].lo, r[i].hi, err);
    return rc;
}

int vbg_class_digits(vbg_class *c, vb_error *err) {
    return vbg_class_add(c, '0', '9', err);
}

int vbg_class_word(vbg_class *c, vb_error *err) {
    static const vbg_range r[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    return add_all(c, r, 4, err);
}

/* WhiteSpace and LineTerminator [ECMA-262 12.2, 12.3]: tab .. carriage return, all of category Zs, U+FEFF. */
int vbg_class_space(vbg_class *c, vb_error *err) {
    static const vbg_range r[] = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                                  {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                  {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    return add_all(c, r, sizeof r / sizeof *r, err);
}

int vbg_class_newlines(vbg_class *c, vb_error *err) {
    static const vbg_range r[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    return add_all(c, r, 3, err);
}

/* Names of the general categories [Unicode 15, PropertyValueAliases.txt], in utf8proc's numbering; a letter
 * alone stands for all that begin with it. */
static const struct {
    const char *brief, *full;
} categories[] = {
    {"Cn", "Unassigned"},
    {"Lu", "Uppercase_Letter"},
    {"Ll", "Lowercase_Letter"},
    {"Lt", "Titlecase_Letter"},
    {"Lm", "Modifier_Letter"},
    {"Lo", "Other_Letter"},
    {"Mn", "Nonspacing_Mark"},
    {"Mc", "Spacing_Mark"},
    {"Me", "Enclosing_Mark"},
    {"Nd", "Decimal_Number"},
    {"Nl", "Letter_Number"},
    {"No", "Other_Number"},
    {"Pc", "Connector_Punctuation"},
    {"Pd", "Dash_Punctuation"},
    {"Ps", "Open_Punctuation"},
    {"Pe", "Close_Punctuation"},
    {"Pi", "Initial_Punctuation"},
    {"Pf", "Final_Punctuation"},
    {"Po", "Other_Punctuation"},
    {"Sm", "Math_Symbol"},
    {"Sc", "Currency_Symbol"},
    {"Sk", "Modifier_Symbol"},
    {"So", "Other_Symbol"},
    {"Zs", "Space_Separator"},
    {"Zl", "Line_Separator"},
    {"Zp", "Paragraph_Separator"},
    {"Cc", "Control"},
    {"Cf", "Format"},
    {"Cs", "Surrogate"},
    {"Co", "Private_Use"},
};
static const struct {
    char letter;
    const char *full;
} groups[] = {{'L', "Letter"}, {'M', "Mark"},      {'N', "Number"}, {'P', "Punctuation"},
              {'S', "Symbol"}, {'Z', "Separator"}, {'C', "Other"}};

static bool same(const char *name, size_t n, const char *other) {
    return strlen(other) == n && memcmp(name, other, n) == 0;
}

/* Runs of code points of one category, found once: asking for each of 1,114,112 takes ten milliseconds, and a
 * pattern may name categories many times. */
enum { MOST_RUNS = 8192 };
static struct { uint32_t from, category; } runs[MOST_RUNS];
static size_t n_runs; /* more than MOST_RUNS: they did not fit */
static pthread_once_t runs_once = PTHREAD_ONCE_INIT;

static void find_runs(void) {
    uint32_t last = UINT32_MAX;
    for (int32_t cp = 0; cp <= 0x10FFFF && n_runs <= MOST_RUNS; cp++) {
        const uint32_t is = (uint32_t)utf8proc_category(cp);
        if (is == last) continue;
        if (n_runs < MOST_RUNS) runs[n_runs].from = (uint32_t)cp, runs[n_runs].category = is;
        n_runs++;
        last = is;
    }
}

int vbg_class_property(vbg_class *c, const char *name, size_t n, bool *known, vb_error *err) {
    bool want[32] = {false};
    *known = true;
    if (n > 3 && memcmp(name, "gc=", 3) == 0) name += 3, n -= 3;
    if (n > 17 && memcmp(name, "General_Category=", 17) == 0) name += 17, n -= 17;
    if (same(name, n, "Any")) return vbg_class_add(c, 0, 0x10FFFF, err);
    if (same(name, n, "ASCII")) return vbg_class_add(c, 0, 0x7F, err);
    *known = false;
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) {
        want[i] = same(name, n, categories[i].brief) || same(name, n, categories[i].full);
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            if (categories[i].brief[0] == groups[g].letter &&
                (same(name, n, groups[g].full) || (n == 1 && name[0] == groups[g].letter)))
                want[i] = true;
        *known |= want[i];
    }
    int rc = VB_OK;
    if (*known) pthread_once(&runs_once, find_runs);
    if (*known && n_runs > MOST_RUNS)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "utf8proc has more than %d runs of a category", MOST_RUNS);
    for (size_t i = 0; i < n_runs && *known && !rc; i++)
        if (want[runs[i].category])
            rc = vbg_class_add(c, runs[i].from, i + 1 < n_runs ? runs[i + 1].from - 1 : 0x10FFFF, err);
    return rc;
}
