/* report.c - writes reports as HTML and JUnit XML. The looks: one column, system fonts, colours as variables
 * with values for light and dark. */
#include "conformance/report.h"

#include <math.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void add(vb_buf *out, const char *s) {
    vb_buf_add(out, s, strlen(s));
}

void cf_add_xml(vb_buf *out, const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '&')
            add(out, "&amp;");
        else if (*at == '<')
            add(out, "&lt;");
        else if (*at == '>')
            add(out, "&gt;");
        else if (*at == '"')
            add(out, "&quot;");
        else if ((*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            vb_buf_addf(out, "\\x%02x", *at);
        else if (at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe) { /* U+FFFE, U+FFFF */
            vb_buf_addf(out, "\\u%04X", at[2] == 0xbe ? 0xfffeu : 0xffffu);
            at += 2;
        } else
            vb_buf_add(out, (const char *)at, 1);
    }
}

static bool is(const json_t *o, const char *key) {
    return json_is_true(json_object_get(o, key));
}

typedef struct counts {
    size_t all, failed, skipped;
} counts;

static counts count(const json_t *report) {
    const json_t *cases = json_object_get(report, "cases");
    counts n = {.all = json_array_size(cases)};
    for (size_t i = 0; i < n.all; i++) {
        const json_t *c = json_array_get(cases, i);
        n.failed += !is(c, "ok");
        n.skipped += is(c, "ok") && is(c, "skipped");
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------ JUnit */

void cf_add_junit(vb_buf *out, const json_t *report) {
    const json_t *cases = json_object_get(report, "cases");
    const counts n = count(report);
    add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"");
    cf_add_xml(out, text_of(report, "title"));
    vb_buf_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" time=\"%.3f\">\n", n.all,
                n.failed, n.skipped, json_number_value(json_object_get(report, "seconds")));
    for (size_t i = 0; i < n.all; i++) {
        const json_t *c = json_array_get(cases, i);
        const char *outcome = !is(c, "ok") ? "failure" : is(c, "skipped") ? "skipped" : NULL;
        add(out, "<testcase classname=\"");
        cf_add_xml(out, text_of(c, "group"));
        add(out, "\" name=\"");
        cf_add_xml(out, text_of(c, "name"));
        if (!outcome) {
            add(out, "\" />\n");
            continue;
        }
        vb_buf_addf(out, "\"><%s message=\"", outcome);
        cf_add_xml(out, text_of(c, "text"));
        add(out, "\">");
        cf_add_xml(out, text_of(c, "text"));
        vb_buf_addf(out, "</%s></testcase>\n", outcome);
    }
    add(out, "</testsuite>\n</testsuites>\n");
}

/* ------------------------------------------------------------------------------------------------ HTML */

static const char STYLE[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1c2024;--dim:#5f6870;--line:#d8dde2;--good:#1a7f37;--bad:#b3261e;"
    "--h0:#eef4f0;--h1:#d9ebdf;--h2:#bfe0c9;--h3:#f2e6b8;--h4:#f2cf9b;--over:#f0b4ae}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#16191c;--fg:#e4e8eb;--dim:#9aa4ad;--line:#343a40;--good:#"
    "57c277;"
    "--bad:#ff8a80;--h0:#1d2621;--h1:#20362a;--h2:#245138;--h3:#4d4420;--h4:#5e431d;--over:#702c27}}\n"
    "body{background:var(--bg);color:var(--fg);font:15px/1.5 "
    "system-ui,sans-serif;max-width:72rem;margin:2rem auto;"
    "padding:0 1rem}\n"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 "
    ".5rem}.verdict{font-size:1.1rem;font-weight:600}"
    ".good{color:var(--good)}.bad{color:var(--bad)}.skipped{color:var(--dim)}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.2rem "
    ".6rem;"
    "border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--dim);font-weight:600}"
    ".scroll{overflow-x:auto}.heat td{text-align:right}\n"
    ".h0{background:var(--h0)}.h1{background:var(--h1)}.h2{background:var(--h2)}.h3{background:var(--h3)}"
    ".h4{background:var(--h4)}.over{background:var(--over)}svg{max-width:100%}\n";

/* The shade of a value: how far below its bound, in powers of 16; "over" above it. */
static const char *shade(double x, double bound) {
    static const char *const names[] = {"h4", "h3", "h2", "h1"};
    if (x > bound) return "over";
    if (x <= 0) return "h0";
    const double octaves = log2(bound / x) / 4;
    return octaves < 4 ? names[(int)octaves] : "h0";
}

static void add_heat(vb_buf *out, const json_t *heat) {
    const json_t *columns = json_object_get(heat, "columns"), *rows = json_object_get(heat, "rows");
    const double bound = json_number_value(json_object_get(heat, "bound"));
    if (!json_array_size(rows)) return;
    add(out, "<h2>");
    cf_add_xml(out, text_of(heat, "title"));
    add(out, "</h2>\n<div class=\"scroll\"><table class=\"heat\">\n<tr><th></th>");
    for (size_t i = 0; i < json_array_size(columns); i++) {
        add(out, "<th>");
        cf_add_xml(out, json_string_value(json_array_get(columns, i)));
        add(out, "</th>");
    }
    add(out, "</tr>\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        add(out, "<tr><th>");
        cf_add_xml(out, json_string_value(json_array_get(row, 0)));
        add(out, "</th>");
        for (size_t k = 1; k < json_array_size(row); k++) {
            const json_t *v = json_array_get(row, k);
            const double x = json_number_value(v);
            if (json_is_number(v))
                vb_buf_addf(out, "<td class=\"%s\">%.2g</td>", shade(x, bound), x);
            else
                add(out, "<td></td>");
        }
        add(out, "</tr>\n");
    }
    add(out, "</table></div>\n");
}

/* Bars on a logarithmic scale from 1e-12 to 10. */
static void add_bars(vb_buf *out, const json_t *bars) {
    const json_t *values = json_object_get(bars, "values");
    const double bound = json_number_value(json_object_get(bars, "bound"));
    const size_t n = json_array_size(values);
    enum { HEIGHT = 156, STEP = 12, LEFT = 48 }; /* 12 per power of ten */
    if (!n) return;
    add(out, "<h2>");
    cf_add_xml(out, text_of(bars, "title"));
    vb_buf_addf(
        out,
        "</h2>\n<div class=\"scroll\"><svg width=\"%zu\" height=\"%d\" role=\"img\" aria-label=\"bars, "
        "logarithmic\" "
        "font-size=\"10\" fill=\"currentColor\">\n",
        LEFT + n * STEP + 8, HEIGHT + 20);
    for (int e = -12; e <= 0; e += 3)
        vb_buf_addf(out,
                    "<text x=\"4\" y=\"%d\">1e%d</text><line x1=\"%d\" x2=\"%zu\" y1=\"%d\" y2=\"%d\" "
                    "stroke=\"var(--line)\" "
                    "/>\n",
                    HEIGHT - (e + 12) * 12 + 3, e, LEFT, LEFT + n * STEP, HEIGHT - (e + 12) * 12,
                    HEIGHT - (e + 12) * 12);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(values, i);
        const double x = json_number_value(json_array_get(pair, 1));
        const double h = fmin(fmax((log10(fmax(x, 1e-12)) + 12) * 12, 1), HEIGHT);
        vb_buf_addf(out, "<rect x=\"%zu\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"var(--%s)\"><title>",
                    LEFT + i * STEP, HEIGHT - h, STEP - 2, h, x > bound && bound > 0 ? "bad" : "good");
        cf_add_xml(out, json_string_value(json_array_get(pair, 0)));
        vb_buf_addf(out, ": %.3g</title></rect>\n", x);
    }
    add(out, "</svg></div>\n");
}

static void add_cases(vb_buf *out, const json_t *report, bool failed) {
    const json_t *cases = json_object_get(report, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const bool ok = is(c, "ok"), skipped = ok && is(c, "skipped");
        if (ok == failed) continue;
        vb_buf_addf(out, "<tr><td class=\"%s\">%s</td><td>",
                    skipped ? "skipped"
                    : ok    ? "good"
                            : "bad",
                    skipped ? "not compared"
                    : ok    ? "pass"
                            : "FAIL");
        cf_add_xml(out, text_of(c, "group"));
        add(out, "</td><td>");
        cf_add_xml(out, text_of(c, "name"));
        add(out, "</td><td>");
        cf_add_xml(out, text_of(c, "text"));
        add(out, "</td></tr>\n");
    }
}

void cf_add_html(vb_buf *out, const json_t *report) {
    const json_t *facts = json_object_get(report, "facts");
    const bool pass = is(report, "pass");
    const counts n = count(report);
    add(out, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head><meta "
             "charset=\"utf-8\" "
             "/><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<title>");
    cf_add_xml(out, text_of(report, "title"));
    add(out, "</title>\n<style>\n");
    add(out, STYLE);
    add(out, "</style></head>\n<body>\n<h1>");
    cf_add_xml(out, text_of(report, "title"));
    vb_buf_addf(out, "</h1>\n<p class=\"verdict %s\">", pass ? "good" : "bad");
    cf_add_xml(out, text_of(report, "verdict"));
    add(out, "</p>\n<table>\n");
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const json_t *fact = json_array_get(facts, i);
        add(out, "<tr><th>");
        cf_add_xml(out, json_string_value(json_array_get(fact, 0)));
        add(out, "</th><td>");
        cf_add_xml(out, json_string_value(json_array_get(fact, 1)));
        add(out, "</td></tr>\n");
    }
    add(out, "</table>\n");
    add_heat(out, json_object_get(report, "heat"));
    add_bars(out, json_object_get(report, "bars"));
    vb_buf_addf(out, "<h2>%zu checks, %zu failed", n.all, n.failed);
    if (n.skipped) vb_buf_addf(out, ", %zu not compared", n.skipped);
    add(out, "</h2>\n<div class=\"scroll\"><table>\n");
    add_cases(out, report, true);
    add_cases(out, report, false);
    add(out, "</table></div>\n</body>\n</html>\n");
}
