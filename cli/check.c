/* check.c - `verbatim check`: the golden vectors against this build. */
#include "cli/cli.h"

#include "conformance/conformance.h"

#include <stdlib.h>
#include <string.h>

typedef struct state {
    const cli_options *o;
    json_t *cases;
} state;

static void say(void *user, const cf_case *found) {
    state *s = user;
    json_array_append_new(s->cases, json_pack("{s:i, s:o, s:s, s:b, s:o}", "entry", found->entry, "file",
                                              cli_json_text(found->file, strlen(found->file)), "kind",
                                              found->kind, "ok", found->ok, "text",
                                              cli_json_text(found->text, strlen(found->text))));
    if (s->o->json) return;
    cli_outf("%s - %s\n", found->ok ? "ok" : "not ok", found->text);
    cli_out_flush();
}

static json_int_t number(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

/* What --json prints, as the reports of conformance/report.h want it. */
static json_t *report_of(const json_t *result) {
    json_t *cases = json_array(), *facts = json_array();
    const json_t *found = json_object_get(result, "cases");
    char text[64];
    for (size_t i = 0; i < json_array_size(found); i++) {
        const json_t *c = json_array_get(found, i);
        json_array_append_new(cases, json_pack("{s:O, s:O, s:O, s:O}", "group", json_object_get(c, "kind"),
                                               "name", json_object_get(c, "file"), "ok",
                                               json_object_get(c, "ok"), "text", json_object_get(c, "text")));
    }
    static const char *const keys[] = {"files", "failed", "configurations", "bytes", "remade"};
    static const char *const names[] = {"files", "failed", "made again (times)", "bytes", "bytes made again"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%lld", (long long)number(result, keys[i]));
        json_array_append_new(facts, json_pack("[s, s]", names[i], text));
    }
    json_array_append_new(facts, json_pack("[s, O]", "manifest", json_object_get(result, "manifest")));
    if (json_is_string(json_object_get(result, "shard")))
        json_array_append_new(facts, json_pack("[s, O]", "part", json_object_get(result, "shard")));
    const bool pass = json_is_true(json_object_get(result, "pass"));
    return json_pack("{s:s, s:b, s:s, s:O, s:o, s:o}", "title", "verbatim check", "pass", pass, "verdict",
                     pass ? "Every file is as the manifest says, and comes out the same again."
                          : "Something differs.",
                     "seconds", json_object_get(result, "seconds"), "facts", facts, "cases", cases);
}

static int finish(const cli_options *o, json_t *result) {
    int rc = result ? CLI_OK : cli_error("out of memory");
    const bool pass = json_is_true(json_object_get(result, "pass"));
    if (!rc && (o->html || o->junit)) rc = cli_write_reports(o, report_of(result));
    if (!rc && o->json)
        rc = cli_out_json(json_incref(result));
    else if (!rc)
        cli_outf("%lld files, %.1f MB; made again %lld times, %.1f MB; %lld failed; %.1f s\n",
                 (long long)number(result, "files"), (double)number(result, "bytes") / 1e6,
                 (long long)number(result, "configurations"), (double)number(result, "remade") / 1e6,
                 (long long)number(result, "failed"), json_number_value(json_object_get(result, "seconds")));
    json_decref(result);
    const int done = cli_out_finish();
    if (rc) return rc;
    return pass ? done : CLI_FAIL;
}

/* -------------------------------------------------------------------------------------------- --merge */

static int by_entry(const void *a, const void *b) {
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    const json_int_t i = number(x, "entry"), j = number(y, "entry");
    if (i != j) return i < j ? -1 : 1;
    return strcmp(json_string_value(json_object_get(x, "text")),
                  json_string_value(json_object_get(y, "text")));
}

/* The cases of all parts in the order of the manifest. Every part hashes all files: what several found of one
 * file counts once. NULL: a part is malformed, or out of memory. */
static json_t *merge_cases(const json_t *parts) {
    json_t *out = json_array(), **all = NULL;
    size_t n = 0, room = 0;
    bool good = out != NULL;
    for (size_t i = 0; i < json_array_size(parts); i++)
        room += json_array_size(json_object_get(json_array_get(parts, i), "cases"));
    good = good && (all = calloc(room + 1, sizeof *all)) != NULL;
    for (size_t i = 0; i < json_array_size(parts) && good; i++) {
        const json_t *cases = json_object_get(json_array_get(parts, i), "cases");
        for (size_t k = 0; k < json_array_size(cases); k++) {
            all[n++] = json_array_get(cases, k);
            good = good && json_is_string(json_object_get(all[n - 1], "text"));
        }
    }
    if (good && n) qsort(all, n, sizeof *all, by_entry);
    for (size_t i = 0; i < n && good; i++)
        if (!i || by_entry(&all[i - 1], &all[i]) != 0) good = !json_array_append(out, all[i]);
    free(all);
    if (good) return out;
    json_decref(out);
    return NULL;
}

static int merge(const cli_options *o) {
    static const char *const sums[] = {"files", "configurations", "bytes", "remade"};
    json_t *parts = NULL, *cases = NULL;
    json_int_t total[4] = {0}, failed = 0;
    double seconds = 0;
    int rc = cli_read_parts(o, "check", &parts);
    if (rc) return rc;
    const json_t *first = json_array_get(parts, 0);
    for (size_t i = 0; i < json_array_size(parts) && !rc; i++) {
        const json_t *p = json_array_get(parts, i);
        if (!json_equal(json_object_get(p, "manifest"), json_object_get(first, "manifest")) ||
            !json_equal(json_object_get(p, "quick"), json_object_get(first, "quick")))
            rc = cli_error("parts 1 and %zu are of different vectors, or only one is --quick", i + 1);
        for (int k = 0; k < 4; k++) total[k] += number(p, sums[k]);
        seconds += json_number_value(json_object_get(p, "seconds"));
    }
    if (!rc && !(cases = merge_cases(parts))) rc = cli_error("a part's \"cases\" are malformed");
    for (size_t i = 0; i < json_array_size(cases); i++)
        failed += !json_is_true(json_object_get(json_array_get(cases, i), "ok"));
    json_t *result = NULL;
    if (!rc)
        result = json_pack("{s:s, s:i, s:b, s:O, s:O, s:n, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "verbatim",
                           "check", "version", 1, "pass", failed == 0, "manifest",
                           json_object_get(first, "manifest"), "quick", json_object_get(first, "quick"),
                           "shard", "files", total[0], "failed", failed, "configurations", total[1], "bytes",
                           total[2], "remade", total[3], "seconds", seconds, "cases", cases);
    json_decref(parts);
    return rc ? rc : finish(o, result);
}

/* -------------------------------------------------------------------------------------------- the command */

int cli_check(cli_options *o) {
    cf_check_result r;
    vb_error err = {0};
    state s = {o, NULL};
    cf_check_params p = {.dir = o->n_words ? o->words[0] : "vectors",
                         .quick = o->quick,
                         .say = say,
                         .cancel = cli_interrupt_callback,
                         .user = &s};
    int rc = cli_parse_shard(o, &p.shard, &p.shards);
    if (rc) return rc;
    if (o->merge.n) {
        if (o->quick || o->shard)
            return cli_usage("--merge adds up what was checked: without --quick and --shard");
        return merge(o);
    }
    if (!(s.cases = json_array())) return cli_error("out of memory");
    cli_interrupt_install();
    const double start = cli_now();
    if (cf_check(&p, &r, &err)) {
        json_decref(s.cases);
        return cli_report(&err);
    }
    return finish(o,
                  json_pack("{s:s, s:i, s:b, s:s, s:b, s:s?, s:i, s:i, s:i, s:I, s:I, s:f, s:o}", "verbatim",
                            "check", "version", 1, "pass", r.failed == 0, "manifest", r.manifest, "quick",
                            o->quick, "shard", o->shard, "files", r.files, "failed", r.failed,
                            "configurations", r.configurations, "bytes", (json_int_t)r.bytes, "remade",
                            (json_int_t)r.remade, "seconds", cli_now() - start, "cases", s.cases));
}
