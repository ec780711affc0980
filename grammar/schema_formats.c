/* schema_formats.c - the formats that are enforced, as patterns.
 *
 * References
 *   RFC 3339 5.6 and appendix A (dates, times, durations), RFC 5321 4.1.2 (mailboxes), RFC 1123 2.1 (host
 *   names),
 *   RFC 4291 2.2 and RFC 3986 3.2.2 (IPv6), RFC 3986 appendix A (URIs), RFC 3987 2.2 (IRIs), RFC 9562 4
 *   (UUIDs),
 *   RFC 6901 3 (JSON pointers), RFC 6570 2 (URI templates) */
#include "grammar/schema_internal.h"

#include <string.h>

/* Every day that there is: 30 and 31 by the month, the 29th of February in leap years, years from 1 on. */
#define LEAP_TWO "(?:0[48]|[2468][048]|[13579][26])"
#define YEAR     "(?:000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})"
#define LEAP     "(?:\\d\\d" LEAP_TWO "|" LEAP_TWO "00)"
#define DATE                                                                                                 \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"        \
    "02-(?:0[1-9]|1\\d|2[0-8]))|" LEAP "-02-29)"
/* A leap second is the last one of a day in UTC. */
#define TIME                                                                                                 \
    "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3])"                      \
    ":[0-5]\\d)|23:59:60(?:\\.\\d+)?(?:[Zz]|[+-]00:00))"

#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4  OCTET "\\." OCTET "\\." OCTET "\\." OCTET
#define H16   "[0-9A-Fa-f]{1,4}"
#define LS32  "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                 \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32 "|(?:(?:" H16  \
    ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32          \
    "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16    \
    ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?::)"

#define LABEL    "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL ")*"
#define ATOM     "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define EMAIL                                                                                                \
    "(?:" ATOM "(?:\\." ATOM ")*|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")@(?:" HOSTNAME "|\\[" IPV4                \
    "\\]|\\[IPv6:" IPV6 "\\])"

/* URIs; X is what IRIs add to the unreserved characters. */
#define IRI_CHARS   "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF"
#define PCHAR(X)    "(?:[A-Za-z0-9._~!$&'()*+,;=:@" X "-]|%[0-9A-Fa-f]{2})"
#define SEGMENTS(X) "(?:/" PCHAR(X) "*)*"
#define AUTHORITY(X)                                                                                         \
    "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:" X "-]|%[0-9A-Fa-f]{2})*@)?(?:\\[(?:" IPV6                              \
    "|[vV][0-9A-Fa-f]+\\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\\]|(?:[A-Za-z0-9._~!$&'()*+,;=" X                     \
    "-]|%[0-9A-Fa-f]{2})*)(?::\\d*)?"
#define QUERY_AND_FRAGMENT(X) "(?:\\?(?:" PCHAR(X) "|[/?])*)?(?:#(?:" PCHAR(X) "|[/?])*)?"
#define ROOTED(X)             "//" AUTHORITY(X) SEGMENTS(X) "|/(?:" PCHAR(X) "+" SEGMENTS(X) ")?"
#define URI(X)                "[A-Za-z][A-Za-z0-9+.-]*:(?:" ROOTED(X) "|" PCHAR(X) "+" SEGMENTS(X) "|)" QUERY_AND_FRAGMENT(X)
/* Without a scheme the first segment holds no colon. */
#define RELATIVE(X)                                                                                          \
    "(?:" ROOTED(X) "|(?:[A-Za-z0-9._~!$&'()*+,;=@" X                                                        \
                    "-]|%[0-9A-Fa-f]{2})+" SEGMENTS(X) "|)" QUERY_AND_FRAGMENT(X)

#define TIME_PART "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION                                                                                             \
    "P(?:(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)(?:" TIME_PART ")?|" TIME_PART "|\\d+W)"
#define POINTER "(?:/(?:[^/~]|~[01])*)*"

/* RFC 6570 2 */
#define VARCHAR "(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})"
#define VARSPEC VARCHAR "(?:\\.?" VARCHAR ")*(?::[1-9]\\d{0,3}|\\*)?"
#define URI_TEMPLATE                                                                                         \
    "(?:[!#$&(-;=?-\\[\\]_a-z~\\u00A0-\\uD7FF\\uE000-\\uFDCF\\uFDF0-\\uFFEF]|%[0-9A-Fa-f]{2}|"               \
    "\\{[+#./;?&=,!@|]?" VARSPEC "(?:," VARSPEC ")*\\})*"

#define WHOLE(x) "^(?:" x ")$"

static const struct {
    const char *name, *pattern, *other; /* one or the other */
} formats[] = {
    {"date", WHOLE(DATE), NULL},
    {"time", WHOLE(TIME), NULL},
    {"date-time", WHOLE(DATE "[Tt]" TIME), NULL},
    {"duration", WHOLE(DURATION), NULL},
    {"email", WHOLE(EMAIL), NULL},
    {"hostname", WHOLE(HOSTNAME), NULL},
    {"ipv4", WHOLE(IPV4), NULL},
    {"ipv6", WHOLE(IPV6), NULL},
    {"uuid", WHOLE("[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"), NULL},
    {"uri", WHOLE(URI("")), NULL},
    {"uri-reference", WHOLE(URI("")), WHOLE(RELATIVE(""))},
    {"iri", WHOLE(URI(IRI_CHARS)), NULL},
    {"iri-reference", WHOLE(URI(IRI_CHARS)), WHOLE(RELATIVE(IRI_CHARS))},
    {"uri-template", WHOLE(URI_TEMPLATE), NULL},
    {"json-pointer", WHOLE(POINTER), NULL},
    {"relative-json-pointer", WHOLE("(?:0|[1-9]\\d*)(?:#|" POINTER ")"), NULL},
};

/* The union of two patterns, under the first one's name. */
static const vbj_dfa *either(vbj_compiler *c, const json_t *schema, const char *x, const char *y) {
    const vbj_dfa *d = vbj_cache_get(c, x);
    if (d) return d;
    d = vbj_dfa_product(&c->arena, vbj_pattern(c, schema, "format", x, strlen(x)),
                        vbj_pattern(c, schema, "format", y, strlen(y)), VBJ_EITHER);
    return d && vbj_cache_put(c, x, d) ? d : NULL;
}

int vbj_format(vbj_compiler *c, const json_t *schema, const char *name, const vbj_dfa **out) {
    *out = NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const char *pattern = formats[i].pattern, *other = formats[i].other;
        if (strcmp(formats[i].name, name) != 0) continue;
        *out = other ? either(c, schema, pattern, other)
                     : vbj_pattern(c, schema, "format", pattern, strlen(pattern));
        return *out ? 0 : vbj_full(c);
    }
    /* The drafts leave a format that nobody enforces to be an annotation. */
    return 0;
}
