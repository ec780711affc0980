/* stream.c - what is seen while text is generated:
 * the text itself, in colours, and the lines of --verbose. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#define GREEN      "\x1b[32m"
#define STRUCK_RED "\x1b[9;31m"
#define PLAIN      "\x1b[0m"

void cli_stream_init(cli_stream *st, const cli_session *s, bool text) {
    memset(st, 0, sizeof *st);
    st->session = s;
    st->text = text;
    st->verbose = s->o->verbose;
    st->tty = isatty(STDOUT_FILENO) == 1;
    st->color = text && s->params.draft != VB_DRAFT_NONE && cli_use_color(s->o, stdout);
}

/* Text for standard output. A terminal obeys control characters, so it gets them shown as '?'; a file gets
 * the bytes. */
static void put_text(const cli_stream *st, const char *text, size_t n) {
    if (!st->tty) {
        cli_out(text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
        cli_out(control ? "?" : &text[i], 1);
    }
}

void cli_stream_put(cli_stream *st, const char *text, size_t n, const char *code) {
    char whole[256 + 3]; /* in pieces: with one come up to 3 bytes that were held back */
    if (code && n) cli_outf("%s", code);
    for (size_t i = 0; i < n; i += 256) {
        const size_t piece = n - i < 256 ? n - i : 256;
        put_text(st, whole, vb_utf8_push(&st->utf8, text + i, piece, whole));
    }
    if (code && n) cli_outf(PLAIN);
}

static void put_token(cli_stream *st, const vb_emitted *e) {
    const vb_tokenizer *t = st->session->target.tokenizer;
    size_t n = 0;
    const char *text = e->id < vb_tokenizer_size(t) ? vb_token_text(t, e->id, false, &n) : NULL;
    const bool green = st->color && e->origin == VB_FROM_DRAFT;
    cli_stream_put(st, text ? text : "", text ? n : 0, green ? GREEN : NULL);
}

/* The draft that was refused, struck out. Newlines stay on the line: it is not part of the text. */
static void put_rejected(const cli_stream *st, const vb_step *step) {
    const int32_t last = step->n_accepted ? step->kept[step->n_accepted - 1] : -1;
    int at = last + 1; /* of siblings the first */
    while (at < step->n_drafted && step->drafted[at].parent != last) at++;
    if (at == step->n_drafted) return;
    const int32_t id = step->drafted[at].id;
    const vb_tokenizer *t = st->session->target.tokenizer;
    size_t n = 0;
    const char *text = id < vb_tokenizer_size(t) ? vb_token_text(t, id, false, &n) : NULL;
    char shown[128];
    cli_escape(text ? text : "", text ? n : 0, shown, sizeof shown);
    cli_outf(STRUCK_RED "%s" PLAIN, shown);
}

static void stream_text(cli_stream *st, const vb_step *step) {
    for (int i = 0; i < step->n_emitted && !step->emitted[i].stop; i++) {
        if (st->color && step->emitted[i].origin == VB_FROM_RESIDUAL) put_rejected(st, step);
        put_token(st, &step->emitted[i]);
    }
    cli_out_flush();
}

static const char *color(const cli_stream *st, const char *code) {
    return cli_use_color(st->session->o, stderr) ? code : "";
}

static void verbose_draft(const cli_stream *st, const vb_step *step) {
    char quote[96];
    fprintf(stderr, "[DRAFT]  step %llu, position %d, %d drafted:", (unsigned long long)st->step,
            step->position, step->n_drafted);
    for (int i = 0; i < step->n_drafted; i++) {
        cli_token_quote(st->session->target.tokenizer, step->drafted[i].id, quote, sizeof quote);
        fprintf(stderr, " %d %s", step->drafted[i].id, quote);
        if (step->drafted[i].parent != i - 1) fprintf(stderr, " (after %d)", step->drafted[i].parent);
    }
    fprintf(stderr, "  (%.1f ms)\n", 1e3 * step->draft_s);
}

static double share(uint64_t w, uint64_t total) {
    return total ? (double)w / (double)total : 0;
}

static void verbose_decision(const cli_stream *st, const vb_drafted *d, bool accepted) {
    char quote[96];
    cli_token_quote(st->session->target.tokenizer, d->id, quote, sizeof quote);
    fprintf(stderr, "%s%s%s %d %s  p %.6f  q %.6f", color(st, accepted ? GREEN : STRUCK_RED),
            accepted ? "[ACCEPT]" : "[REJECT]", color(st, PLAIN), d->id, quote, share(d->p_w, d->p_total),
            share(d->q_w, d->q_total));
}

static void verbose_step(const cli_stream *st, const vb_step *step) {
    char quote[96];
    const vb_tokenizer *t = st->session->target.tokenizer;
    if (step->n_drafted) verbose_draft(st, step);
    fprintf(
        stderr,
        "[VERIFY] step %llu, position %d: 1 target call over %d tokens (%.1f ms), %d tested, %d accepted\n",
        (unsigned long long)st->step, step->position, step->n_drafted + 1, 1e3 * step->verify_s,
        step->n_tested, step->n_accepted);
    for (int i = 0; i < step->n_drafted; i++) {
        if (!step->drafted[i].tested) continue;
        verbose_decision(st, &step->drafted[i], step->drafted[i].accepted);
        fputc('\n', stderr);
    }
    if (!step->n_emitted) return;
    const vb_emitted *last = &step->emitted[step->n_emitted - 1];
    if (last->origin == VB_FROM_DRAFT) return;
    cli_token_quote(t, last->id, quote, sizeof quote);
    fprintf(stderr, "[TARGET] %d %s  log p %.6f%s%s\n", last->id, quote, last->logprob,
            last->origin == VB_FROM_BONUS ? "  (bonus: all drafts accepted)" : "",
            last->stop ? "  (ends the text)" : "");
}

int cli_stream_step(void *stream, const vb_step *step) {
    cli_stream *st = stream;
    st->step++;
    if (st->verbose) verbose_step(st, step);
    if (st->text) stream_text(st, step);
    return cli_out_failed() ? cli_out_finish() : CLI_OK;
}

void cli_stream_end(cli_stream *st) {
    char held[8];
    if (!st->text) return;
    put_text(st, held, vb_utf8_flush(&st->utf8, held));
    cli_out_flush();
}
