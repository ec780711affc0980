/* doctor.c - `verbatim doctor`: may this draft model draft for this target? And `verbatim cpu`. */
#include "cli/cli.h"

#include <string.h>

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
                          const vb_error *err) {
    const vb_model_info *t = vb_model_describe(target->model), *d = vb_model_describe(draft->model);
    if (rc) {
        cli_outf("do not fit: %s\n", err->message);
    } else {
        cli_outf("fit: %d ids in common", shared);
        if (shared < vb_tokenizer_size(target->tokenizer))
            cli_outf("; the target's other %d ids are never drafted",
                     vb_tokenizer_size(target->tokenizer) - shared);
        cli_out("\n", 1);
    }
    int32_t differ = count_differences(target->tokenizer, draft->tokenizer, true);
    cli_outf("entries that differ: %d\n", differ);
    if (rc || !t->weight_bytes) return;
    double c = (double)d->weight_bytes / (double)t->weight_bytes;
    char share[32];
    cli_outf("the draft reads %s of the bytes that the target reads per token\n", cli_percent(c, share));
    expect(c);
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

static int examine(const cli_options *o, const cli_model *target, const cli_model *draft) {
    vb_error err = {0};
    int32_t shared = 0;
    int rc = vb_vocab_compatible(target->tokenizer, draft->tokenizer, &shared, &err), out;
    if (o->json) {
        int32_t differ = count_differences(target->tokenizer, draft->tokenizer, false);
        out = cli_out_json(json_pack("{sb si si so so so}", "compatible", rc == 0, "shared", rc ? 0 : shared,
                                     "different", differ, "reason",
                                     rc ? cli_json_text(err.message, strlen(err.message)) : json_null(),
                                     "target", vocabulary_json(target), "draft", vocabulary_json(draft)));
    } else {
        describe("target", o->model, target);
        describe("draft", o->draft_model, draft);
        print_verdict(target, draft, rc, shared, &err);
        out = cli_out_finish();
    }
    return rc ? CLI_FAIL : out;
}

int cli_doctor(cli_options *o) {
    cli_model target = {0}, draft = {0};
    if (!o->model || !o->draft_model)
        return cli_usage("two models are compared: verbatim doctor -m TARGET -md DRAFT");
    cli_interrupt_install();
    int rc = cli_model_open(&target, o, o->model, true);
    if (!rc) rc = cli_model_open(&draft, o, o->draft_model, true);
    if (!rc) rc = examine(o, &target, &draft);
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
