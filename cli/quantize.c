/* quantize.c - `verbatim quantize`: a model in fewer bits. One line per tensor on standard output. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

typedef struct report {
    bool live;   /* standard error is a terminal: show how far the tensor is */
    bool dirty;  /* a line of that kind stands there */
    double last; /* when it was written */
} report;

static bool cancelled(void *user) {
    (void)user;
    return cli_interrupted() || cli_out_failed();
}

static void clear_live(report *r) {
    if (r->dirty) fputs("\r\033[K", stderr);
    r->dirty = false;
}

static void show_live(report *r, const vb_quantize_progress *p) {
    const double now = cli_now();
    if (!r->live || now - r->last < 0.1) return;
    r->last = now;
    r->dirty = true;
    fprintf(stderr, "\r\033[K[%zu/%zu] %s %.0f %%", p->index + 1, p->count, p->tensor->name,
            100 * p->fraction);
    fflush(stderr);
}

static void on_progress(void *user, const vb_quantize_progress *p) {
    report *r = user;
    char shape[96], size[32], name[256];
    if (!p->done) {
        show_live(r, p);
        return;
    }
    clear_live(r);
    size_t used = 0;
    for (int i = 0; i < p->tensor->n_dims; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%llu", i ? " x " : "",
                                 (unsigned long long)p->tensor->dims[i]);
    cli_escape(p->tensor->name, strlen(p->tensor->name), name, sizeof name);
    cli_outf("[%*zu/%zu] %-28s %-16s %4s -> %-4s %9s", p->count > 99 ? 3 : 2, p->index + 1, p->count, name,
             shape, vb_type_name((int)p->tensor->type), vb_type_name((int)p->type),
             cli_bytes(p->bytes, size));
    if (p->rmse > 0) cli_outf("  rmse %.3g (%.3f %%)", p->rmse, 100 * p->relative);
    if (p->type != p->wanted)
        cli_outf("  not %s: rows of %llu are no multiple of %d", vb_type_name((int)p->wanted),
                 (unsigned long long)p->tensor->dims[0], vb_type_block_values((int)p->wanted));
    cli_out("\n", 1);
    cli_out_flush();
}

static void print_summary(const char *out, const vb_quantize_summary *s) {
    char a[32], b[32];
    cli_outf("%s: %s to %s, %.2f bits per parameter, rmse %.3f %% of the weights'", out,
             cli_bytes(s->bytes_in, a), cli_bytes(s->bytes_out, b),
             s->parameters ? 8 * (double)s->bytes_out / (double)s->parameters : 0.0, 100 * s->relative);
    if (s->fallbacks) cli_outf("; %llu tensors in a stand-in type", (unsigned long long)s->fallbacks);
    cli_outf("; %.1f s\n", s->seconds);
}

int cli_quantize(cli_options *o) {
    vb_error err = {0};
    vb_quantize_summary summary;
    report r = {.live = isatty(STDERR_FILENO) == 1};
    if (o->n_words < 3) return cli_usage("three arguments are needed: verbatim quantize IN OUT TYPE");
    if (!*o->words[1] || !strcmp(o->words[1], "-")) /* elsewhere that is standard output */
        return cli_usage("OUT is \"%s\": a model is written into a file, so name one", o->words[1]);
    vb_quantize_params p = {.type = o->words[2],
                            .pure = o->pure,
                            .force = o->force,
                            .n_threads = (int)o->threads,
                            .cancel = cancelled,
                            .progress = on_progress,
                            .user = &r};
    cli_interrupt_install();
    const int rc = vb_quantize(o->words[0], o->words[1], &p, &summary, &err);
    clear_live(&r);
    if (rc) {
        if (cli_out_failed()) return cli_out_finish(); /* that is what it was cancelled for */
        cli_out_flush();
        return cli_report(&err);
    }
    print_summary(o->words[1], &summary);
    return cli_out_finish();
}
