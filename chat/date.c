/* date.c - strftime of the C locale, without the system's: the same text everywhere. */
#include "chat/run.h"

#include <stdio.h>
#include <string.h>

static int64_t days_from_civil(int y, int m, int d) {
    y -= m <= 2;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* One directive; false: it is not known. */
static bool directive(char c, char pad, const int *d, char *out, size_t size) {
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"},
                             *const months[] = {"January",   "February", "March",    "April",
                                                "May",       "June",     "July",     "August",
                                                "September", "October",  "November", "December"};
    const int64_t day = days_from_civil(d[0], d[1], d[2]), yday = day - days_from_civil(d[0], 1, 1);
    const int weekday = (int)(((day + 4) % 7 + 7) % 7), hour12 = d[3] % 12 ? d[3] % 12 : 12;
    const int sunday_week = (int)((yday + 7 - weekday) / 7),
              monday_week = (int)((yday + 7 - (weekday + 6) % 7) / 7);
    int n = -1, digits = 2;
    switch (c) {
    case 'Y': snprintf(out, size, "%d", d[0]); return true;
    case 'y': n = d[0] % 100; break;
    case 'C': n = d[0] / 100; break;
    case 'm': n = d[1]; break;
    case 'd': n = d[2]; break;
    case 'H': n = d[3]; break;
    case 'I': n = hour12; break;
    case 'M': n = d[4]; break;
    case 'S': n = d[5]; break;
    case 'j': n = (int)yday + 1, digits = 3; break;
    case 'f': n = 0, digits = 6; break;
    case 'U': n = sunday_week; break;
    case 'W': n = monday_week; break;
    case 'w': n = weekday, digits = 1; break;
    case 'u': n = weekday ? weekday : 7, digits = 1; break;
    case 'e': snprintf(out, size, pad == '-' ? "%d" : "%2d", d[2]); return true;
    case 'k': snprintf(out, size, pad == '-' ? "%d" : "%2d", d[3]); return true;
    case 'l': snprintf(out, size, pad == '-' ? "%d" : "%2d", hour12); return true;
    case 'B': snprintf(out, size, "%s", months[d[1] - 1]); return true;
    case 'b':
    case 'h': snprintf(out, size, "%.3s", months[d[1] - 1]); return true;
    case 'A': snprintf(out, size, "%s", days[weekday]); return true;
    case 'a': snprintf(out, size, "%.3s", days[weekday]); return true;
    case 'p': snprintf(out, size, d[3] < 12 ? "AM" : "PM"); return true;
    case 'P': snprintf(out, size, d[3] < 12 ? "am" : "pm"); return true;
    case 'F': snprintf(out, size, "%d-%02d-%02d", d[0], d[1], d[2]); return true;
    case 'D':
    case 'x': snprintf(out, size, "%02d/%02d/%02d", d[1], d[2], d[0] % 100); return true;
    case 'T':
    case 'X': snprintf(out, size, "%02d:%02d:%02d", d[3], d[4], d[5]); return true;
    case 'R': snprintf(out, size, "%02d:%02d", d[3], d[4]); return true;
    case 'r':
        snprintf(out, size, "%02d:%02d:%02d %s", hour12, d[4], d[5], d[3] < 12 ? "AM" : "PM");
        return true;
    case 'c':
        snprintf(out, size, "%.3s %.3s %2d %02d:%02d:%02d %d", days[weekday], months[d[1] - 1], d[2], d[3],
                 d[4], d[5], d[0]);
        return true;
    case 'Z':
    case 'z': out[0] = 0; return true; /* a time without a zone */
    case 'n': snprintf(out, size, "\n"); return true;
    case 't': snprintf(out, size, "\t"); return true;
    case '%': snprintf(out, size, "%%"); return true;
    default: return false;
    }
    if (pad == '-')
        snprintf(out, size, "%d", n);
    else
        snprintf(out, size, pad == '_' ? "%*d" : "%0*d", digits, n);
    return true;
}

vbt_val vbt_strftime(vbt *t, const vbt_str *format, const int *date) {
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    for (size_t i = 0; i < format->n; i++) {
        char text[64], pad = 0;
        size_t start = i;
        if (format->s[i] != '%' || i + 1 == format->n) {
            vbt_put_part(&out, format, i, i + 1);
            continue;
        }
        i++;
        if (i + 1 < format->n && (format->s[i] == '-' || format->s[i] == '_' || format->s[i] == '0'))
            pad = format->s[i++];
        if (!directive(format->s[i], pad, date, text, sizeof text))
            vbt_left_out(t, "strftime_now: %.*s is not supported", (int)(i - start + 1), format->s + start);
        vbt_puts(&out, text, false);
    }
    return vbt_buf_value(&out);
}
