/* doctor.c - `verbatim doctor`: may this draft model draft for this target, and does it pay here? And
 * `verbatim cpu`. */
#include "cli/doctor.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SHOWN = 10 };

static const char *kind_name(vb_token_kind k) {
    static const char *const names[] = {"?",      "normal", "unknown", "control", "user-defined",
                                        "unused", "byte"};
    return (unsigned)k < sizeof names / sizeof names[0] ? names[k] : "?";
}

static void describe(const char *who, const char *path, const cli_model *m) {
    const vb_tokenizer *t = m->tokenizer;
    const vb_model_info *i = vb_model_describe(m->model);
    char bytes[32], name[128], shown[256], count[32];
    vb_chat *template = NULL;
    vb_error err = {0};
    cli_escape(path, strlen(path), shown, sizeof shown);
    cli_escape(i->name, strlen(i->name), name, sizeof name);
    cli_outf("%s: %s\n", who, shown);
    cli_outf("  model      %s%s%s, %s parameters, weights %s, trained for %d positions\n", i->architecture,
             name[0] ? ", " : "", name, cli_count((double)i->parameters, count),
             cli_bytes(i->weight_bytes, bytes), i->n_ctx);
    cli_outf("  vocabulary %s%s%s%s, %d ids (output matrix %d rows)\n", vb_tokenizer_model(t),
             vb_tokenizer_pre(t)[0] ? " " : "", vb_tokenizer_pre(t),
             vb_tokenizer_pre_overridden(t) ? " (by --pre, not by the file)" : "", vb_tokenizer_size(t),
             i->n_vocab);
    cli_outf("  special    bos %d (%s), eos %d (%s)\n", vb_token_bos(t),
             vb_tokenizer_adds_bos(t) ? "added" : "not added", vb_token_eos(t),
             vb_tokenizer_adds_eos(t) ? "added" : "not added");
    bool has = vb_gguf_find(m->gguf, "tokenizer.chat_template") != NULL;
    int bad = has ? vb_chat_open(&template, m->gguf, NULL, &err) : 0;
    cli_outf("  chat       %s\n", !has ? "no template" : bad ? err.message : "a template of its own");
    vb_chat_close(template);
}

static bool same_entry(const vb_tokenizer *a, const vb_tokenizer *b, int32_t id) {
    size_t na = 0, nb = 0;
    const char *ta = vb_token_raw(a, id, &na), *tb = vb_token_raw(b, id, &nb);
    return vb_token_type(a, id) == vb_token_type(b, id) && na == nb && (na == 0 || !memcmp(ta, tb, na));
}

static void print_entry(const char *who, const vb_tokenizer *t, int32_t id) {
    size_t n = 0;
    char text[96];
    const char *raw = vb_token_raw(t, id, &n);
    cli_escape(raw ? raw : "", raw ? n : 0, text, sizeof text);
    cli_outf("  %s \"%s\" (%s)", who, text, kind_name(vb_token_type(t, id)));
}

/* Entries that differ, of those that both vocabularies have; the first few are printed. */
static int32_t count_differences(const vb_tokenizer *a, const vb_tokenizer *b, bool print) {
    int32_t na = vb_tokenizer_size(a), nb = vb_tokenizer_size(b), n = na < nb ? na : nb, differ = 0;
    for (int32_t id = 0; id < n; id++) {
        if (same_entry(a, b, id)) continue;
        if (print && differ < SHOWN) {
            cli_outf("  id %d:", id);
            print_entry("target", a, id);
            print_entry("draft", b, id);
            cli_out("\n", 1);
        }
        differ++;
    }
    if (print && differ > SHOWN) cli_outf("  ... and %d more\n", differ - SHOWN);
    return differ;
}

/* On paper: with alpha of the guesses right, a step of gamma guesses writes (1 - alpha^(gamma+1)) / (1 -
 * alpha) tokens [Leviathan 2211.17192]. It takes gamma times the draft's share of a token's time, and one
 * pass over gamma + 1 tokens, which reads the weights once: 1 up to 4 tokens, then a tenth more per token
 * (docs/bench.md has c(T) of real machines). */
static double on_paper(double alpha, int gamma, double c) {
    double tokens = 0, power = 1;
    for (int i = 0; i <= gamma; i++, power *= alpha) tokens += power;
    return tokens / (gamma * c + 1 + (gamma > 3 ? 0.1 * (gamma - 3) : 0));
}

static void expect(double c) {
    static const double agree[] = {0.9, 0.7, 0.5};
    char x[32];
    cli_outf("speed-up to expect where the bytes are what takes time:\n");
    for (int i = 0; i < 3; i++) {
        int best = 1;
        for (int gamma = 2; gamma <= 16; gamma++)
            if (on_paper(agree[i], gamma, c) > on_paper(agree[i], best, c)) best = gamma;
        const double gain = on_paper(agree[i], best, c);
        if (gain > 1.02)
            cli_outf("  %2.0f %% of tested guesses right: about %s times with --gamma %d\n", 100 * agree[i],
                     cli_digits(gain, x), best);
        else
            cli_outf("  %2.0f %% of tested guesses right: none; do not draft\n", 100 * agree[i]);
    }
    cli_outf("`verbatim bench -m TARGET -md DRAFT` measures both on this machine\n");
}

static void print_verdict(const cli_model *target, const cli_model *draft, int rc, int32_t shared,
                          const vb_error *err, const cli_options *o) {
    const vb_model_info *t = vb_model_describe(target->model), *d = vb_model_describe(draft->model);
    if (rc) {
        cli_outf("do not fit: %s\n", err->message);
        cli_outf(o->draft_text ? "drafts go through text\n"
                               : "--draft-text: drafts may go through text all the same\n");
    } else {
        cli_outf("fit: %d ids in common", shared);
        if (shared < vb_tokenizer_size(target->tokenizer))
            cli_outf("; the target's other %d ids are never drafted",
                     vb_tokenizer_size(target->tokenizer) - shared);
        cli_out("\n", 1);
    }
    int32_t differ = count_differences(target->tokenizer, draft->tokenizer, true);
    cli_outf("entries that differ: %d\n", differ);
    if ((rc && !o->draft_text) || !t->weight_bytes) return;
    const double c = (double)cli_token_bytes(d) / (double)cli_token_bytes(t);
    char share[32];
    cli_outf("the draft reads %s of the bytes that the target reads per token%s\n", cli_percent(c, share),
             c > 1 ? ": are the two files swapped?" : "");
    if (o->quick) expect(c);
    if (d->n_ctx < t->n_ctx) cli_outf("the draft stops drafting at position %d\n", d->n_ctx);
}

static json_t *vocabulary_json(const cli_model *m) {
    const vb_tokenizer *t = m->tokenizer;
    const vb_model_info *i = vb_model_describe(m->model);
    return json_pack("{ss ss ss sb si si si si sb sb sI sI}", "architecture", i->architecture, "tokenizer",
                     vb_tokenizer_model(t), "pre", vb_tokenizer_pre(t), "pre_overridden",
                     vb_tokenizer_pre_overridden(t), "ids", vb_tokenizer_size(t), "rows", i->n_vocab, "bos",
                     vb_token_bos(t), "eos", vb_token_eos(t), "adds_bos", vb_tokenizer_adds_bos(t),
                     "adds_eos", vb_tokenizer_adds_eos(t), "parameters", (json_int_t)i->parameters,
                     "weight_bytes", (json_int_t)i->weight_bytes);
}

/* Everything as one object; parts that are not there are null. */
static json_t *result_json(const cli_model *target, const cli_model *draft, int fits, bool text,
                           int32_t shared, const vb_error *err, json_t *memory, json_t *measured,
                           json_t *ranks, const char *advice) {
    const int32_t differ = draft ? count_differences(target->tokenizer, draft->tokenizer, false) : 0;
    return json_pack("{sb sb si si so so so sO sO sO so}", "compatible", fits == 0, "through_text",
                     fits && text, "shared", fits ? 0 : shared, "different", differ, "reason",
                     fits ? cli_json_text(err->message, strlen(err->message)) : json_null(), "target",
                     vocabulary_json(target), "draft", draft ? vocabulary_json(draft) : json_null(), "memory",
                     memory, "measured", measured ? measured : json_null(), "drafts",
                     ranks ? ranks : json_null(), "recommendation",
                     advice[0] ? json_string(advice) : json_null());
}

/* ---------------------------------------------------------------------------------------- measuring */

/* Kept under what speed depends on and what was asked. */
static bool cache_path(const cli_options *o, const cli_model *target, const cli_model *draft,
                       const doctor_prompts *p, bool brief, char path[1024]) {
    char asked[200];
    uint64_t h = cli_speed_key(o, target->gguf, draft ? draft->gguf : NULL);
    const int n = snprintf(asked, sizeof asked, "%s %lld %g %lld %g %g %lld %lld %d %d", o->accept,
                           (long long)o->n_predict, o->sampling.temperature, (long long)o->sampling.top_k,
                           o->sampling.top_p, o->sampling.min_p, (long long)o->seed, (long long)o->ctx, brief,
                           o->draft_text);
    h = XXH3_64bits_withSeed(asked, (size_t)n, h);
    for (int i = 0; i < p->n; i++) h = XXH3_64bits_withSeed(p->line[i], p->len[i], h);
    return cli_cache_path("doctor", h, path);
}

/* What speaks against a measurement: other work on the machine, and rounds that disagree. */
static void doubt(const json_t *measured) {
    const json_t *spread = json_object_get(measured, "spread");
    cli_load_warn(cli_load_read(measured), "this was measured", "", "--force measures again");
    if (json_number_value(spread) > DOCTOR_SPREAD)
        fprintf(stderr,
                "verbatim: note: the same text took up to %.0f %% longer in one round than in another: the "
                "speeds "
                "below are rough; --force measures again\n",
                100 * json_number_value(spread));
}

/* From the cache, or measured now and kept. */
static int find_measured(const cli_options *o, const cli_model *target, const cli_model *draft,
                         const char *draft_path, const doctor_prompts *p, bool brief, json_t **out) {
    char path[1024], age[32];
    const bool kept = cache_path(o, target, draft, p, brief, path);
    json_error_t e;
    if (kept && !o->force && (*out = json_load_file(path, JSON_REJECT_DUPLICATES, &e)) != NULL) {
        if (json_is_array(json_object_get(*out, "rows"))) {
            fprintf(stderr, "doctor: measured %s, kept in %s; --force measures again\n",
                    cli_load_age(*out, age), path);
            doubt(*out);
            return CLI_OK;
        }
        json_decref(*out);
        *out = NULL;
    }
    if (!o->json || !brief)
        fprintf(stderr, "doctor: measuring%s%s; models of gigabytes take minutes\n", draft_path ? " " : "",
                draft_path ? draft_path : "");
    const int rc = doctor_measure(o, draft_path, p, brief, out);
    if (!rc) doubt(*out);
    return rc || !kept ? rc : cli_cache_write(path, json_incref(*out));
}

/* ---------------------------------------------------------------------------------------- a folder */

static int by_speed_up(const void *a, const void *b) {
    const double x = json_number_value(json_object_get(*(json_t *const *)a, "speed_up")),
                 y = json_number_value(json_object_get(*(json_t *const *)b, "speed_up"));
    return (x < y) - (x > y);
}

/* One file of the folder: measured, or why it cannot draft. */
static json_t *rank_one(const cli_options *o, const cli_model *target, const char *path,
                        const doctor_prompts *p) {
    cli_model draft = {0};
    vb_error err = {0};
    int32_t shared;
    json_t *measured = NULL, *out = json_pack("{so}", "file", cli_json_text(path, strlen(path)));
    const char *why = NULL;
    if (cli_model_open(&draft, o, path, true))
        why = "cannot be opened (see above)";
    else if (vb_vocab_compatible(target->tokenizer, draft.tokenizer, &shared, &err) && !o->draft_text)
        why = err.message;
    else if (find_measured(o, target, &draft, path, p, true, &measured))
        why = "cannot be measured (see above)";
    if (why)
        json_object_set_new(out, "reason", cli_json_text(why, strlen(why)));
    else
        json_object_update_missing(out, json_array_get(json_object_get(measured, "rows"), 1));
    if (!why && err.code) json_object_set_new(out, "through_text", json_true());
    json_decref(measured);
    cli_model_close(&draft);
    return out;
}

static int rank(const cli_options *o, const cli_model *target, const doctor_prompts *p, json_t **out) {
    DIR *folder = opendir(o->drafts);
    json_t *one[64];
    size_t n = 0;
    if (!folder) return cli_error("%s: the folder cannot be read", o->drafts);
    for (const struct dirent *e; n < 64 && (e = readdir(folder)) != NULL;) {
        char path[1024];
        const size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", o->drafts, e->d_name);
        if (strcmp(path, o->model) != 0) one[n++] = rank_one(o, target, path, p);
    }
    closedir(folder);
    qsort(one, n, sizeof *one, by_speed_up);
    *out = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(*out, one[i]);
    return n ? CLI_OK : cli_error("%s: there is no .gguf file in it but the target", o->drafts);
}

/* ---------------------------------------------------------------------------------------- the command */

static int examine(const cli_options *o, const cli_model *target, const cli_model *draft) {
    vb_error err = {0};
    int32_t shared = 0;
    char advice[400] = "";
    doctor_prompts prompts = {0};
    json_t *memory = doctor_memory(o, target, draft), *measured = NULL, *ranks = NULL;
    const int fits = draft ? vb_vocab_compatible(target->tokenizer, draft->tokenizer, &shared, &err) : 0;
    const bool usable = !fits || (fits == VB_ERR_VOCAB && o->draft_text);
    int rc = CLI_OK;
    if (!o->json) {
        describe("target", o->model, target);
        if (draft) describe("draft", o->draft_model, draft);
        if (draft) print_verdict(target, draft, fits, shared, &err, o);
        doctor_print_memory(memory);
    }
    if (usable && !o->quick) rc = doctor_read_prompts(o, &prompts);
    if (!rc && usable && !o->quick)
        rc = find_measured(o, target, draft, draft ? o->draft_model : NULL, &prompts, false, &measured);
    if (!rc && o->drafts && !o->quick) rc = rank(o, target, &prompts, &ranks);
    if (measured) doctor_recommend(measured, advice, sizeof advice);
    if (!rc && !o->json && measured) doctor_print_measured(measured);
    if (!rc && !o->json && ranks) doctor_print_ranks(ranks);
    if (!rc && !o->json && measured) cli_outf("recommendation: %s\n", advice);
    if (!rc && o->json)
        rc = cli_out_json(
            result_json(target, draft, fits, o->draft_text, shared, &err, memory, measured, ranks, advice));
    if (!rc) rc = cli_out_finish();
    json_decref(memory);
    json_decref(measured);
    json_decref(ranks);
    free(prompts.text);
    return usable ? rc : CLI_FAIL;
}

int cli_doctor(cli_options *o) {
    cli_model target = {0}, draft = {0};
    if (!o->model && o->n_words)
        o->model = o->words[0];
    else if (o->n_words && !o->draft_model)
        o->draft_model = o->words[0];
    if (o->n_words > 1) o->draft_model = o->words[1];
    if (!o->model) return cli_usage("no model: verbatim doctor TARGET [DRAFT]");
    if (o->drafts && o->quick)
        return cli_usage(
            "--quick measures nothing, and --drafts ranks what was measured: leave one of them out");
    cli_interrupt_install();
    int rc = cli_model_open(&target, o, o->model, true);
    if (!rc && o->draft_model) rc = cli_model_open(&draft, o, o->draft_model, true);
    if (!rc) rc = examine(o, &target, o->draft_model ? &draft : NULL);
    cli_model_close(&draft);
    cli_model_close(&target);
    return rc;
}

int cli_cpu(cli_options *o) {
    (void)o;
    const char *const *names = vb_kernel_names();
    const char *chosen = NULL;
    vb_error err = {0};
    if (vb_kernels_resolve("auto", &chosen, &err)) return cli_error("%s", err.message);
    cli_outf("this CPU has: %s\n", vb_cpu_describe());
    cli_outf("kernels that this build has and this CPU can run:");
    for (size_t i = 0; names[i]; i++) cli_outf(" %s", names[i]);
    cli_outf("\nchosen by --kernels auto: %s\n", chosen);
    return cli_out_finish();
}
