/* serve.c - `verbatim serve`: opens the server, then the models, and waits for the end. */
#include "cli/cli.h"
#include "server/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

typedef struct serve_state {
    const cli_options *o;
    vbs_server_params sp;
    vbs_engine_params ep;
    vbs_server *server;
    vbs_engine *engine;
    cli_costs costs; /* for gamma auto */
    cli_load load;   /* since before they were measured */
    char name[200], precision[32];
    int date[6];
    bool dated;   /* --date */
    char *system; /* file's text */
    char *template_text;
    char *key_text;
    const char **keys;
    size_t n_keys;
} serve_state;

/* ------------------------------------------------------------------------------------------------ signals */

static int wake[2] = {-1, -1};

static void on_signal(int number) {
    int saved = errno;
    char byte = (char)number;
    if (write(wake[1], &byte, 1) < 0) errno = saved; /* full: others are in there */
    errno = saved;
}

/* Nothing has been promised yet, and loading is not interrupted: the signal is named and has its default
 * effect. */
static void on_early_signal(int number) {
    static const char text[] = "\nverbatim: stopped while the models were being loaded\n";
    const ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void)n;
    raise(number); /* comes when this handler returns; SA_RESETHAND took it away */
}

static void catch_early_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND;
    action.sa_handler = on_early_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int catch_signals(void) {
    struct sigaction action;
    if (pipe(wake)) return cli_error("cannot make a pipe: %s", strerror(errno));
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return CLI_OK;
}

/* Waits for a signal, at most `seconds` (< 0: for ever). */
static bool signalled(double seconds) {
    struct pollfd p = {.fd = wake[0], .events = POLLIN};
    char byte;
    int rc = poll(&p, 1, seconds < 0 ? -1 : (int)(1000 * seconds));
    return rc > 0 && read(wake[0], &byte, 1) == 1;
}

/* ------------------------------------------------------------------------------------------------ options */

static int read_keys(serve_state *s) {
    const cli_options *o = s->o;
    size_t n = 0, lines = 1;
    if (o->serve.api_key_file) {
        int rc = cli_read_file(o->serve.api_key_file, &s->key_text, &n);
        if (rc) return rc;
        for (size_t i = 0; i < n; i++) lines += s->key_text[i] == '\n';
    }
    s->keys = calloc(lines + 1, sizeof *s->keys);
    if (!s->keys) return cli_error("out of memory");
    if (o->serve.api_key) {
        if (!o->serve.api_key[0])
            return cli_usage("the API key (--api-key, VERBATIM_API_KEY) is empty, which protects nothing");
        s->keys[s->n_keys++] = o->serve.api_key;
    }
    for (char *at = s->key_text, *line; at && (line = strsep(&at, "\r\n"));)
        if (*line) s->keys[s->n_keys++] = line;
    if (o->serve.api_key_file && !s->n_keys) return cli_error("%s holds no key", o->serve.api_key_file);
    s->sp.keys = s->keys;
    s->sp.n_keys = s->n_keys;
    return CLI_OK;
}

/* A shipped prompt by its name, or a file. */
static int read_system(serve_state *s) {
    const char *wanted = s->o->system;
    char asset[96];
    size_t n;
    if (!wanted) return CLI_OK;
    snprintf(asset, sizeof asset, "prompts/%.60s.txt", wanted);
    const vbs_asset *a = vbs_find_asset(asset);
    if (!a && access(wanted, R_OK))
        return cli_usage(
            "--system-prompt %s: expected none, expert, direct or a file, and that file cannot be read: %s",
            wanted, strerror(errno));
    if (a) {
        s->system = malloc(a->n + 1);
        if (!s->system) return cli_error("out of memory");
        if (a->n) memcpy(s->system, a->bytes, a->n);
        n = a->n;
    } else {
        int rc = cli_read_file(wanted, &s->system, &n);
        if (rc) return rc;
        if (strlen(s->system) != n) return cli_error("%s: a system prompt cannot hold a zero byte", wanted);
    }
    while (n && (s->system[n - 1] == '\n' || s->system[n - 1] == '\r')) n--;
    s->system[n] = 0;
    s->sp.system_prompt = s->system;
    return CLI_OK;
}

/* A template that is no name of ours is a file. */
static int read_template(serve_state *s) {
    const char *wanted = s->o->chat_template;
    if (!wanted || cli_template_named(wanted)) return CLI_OK;
    int rc = cli_template_file(wanted, &s->template_text, &s->sp.template_len);
    s->sp.template_text = s->template_text;
    return rc;
}

static int model_name(serve_state *s) {
    const char *path = s->o->model, *slash = strrchr(path, '/');
    snprintf(s->name, sizeof s->name, "%s", s->o->name ? s->o->name : slash ? slash + 1 : path);
    if (!s->o->name && cli_is_gguf(s->name)) s->name[strlen(s->name) - strlen(".gguf")] = 0;
    const bool clean = !vbs_clean_text(s->name);
    if (s->o->name && (!clean || !s->name[0] || strlen(s->o->name) >= sizeof s->name))
        return cli_usage("--name %s: expected 1 to %zu bytes of UTF-8", s->name, sizeof s->name - 1);
    if (clean) return CLI_OK;
    fprintf(stderr, "verbatim: the file's name is not UTF-8: the model is called \"%s\" (see --name)\n",
            s->name);
    return CLI_OK;
}

/* Who drafts where no model does. */
static vb_draft drafts_alone(const cli_options *o) {
    if (!o->draft) return VB_DRAFT_NONE;
    return !strcmp(o->draft, "ngram")    ? VB_DRAFT_NGRAM
           : !strcmp(o->draft, "suffix") ? VB_DRAFT_SUFFIX
                                         : VB_DRAFT_NONE;
}

static vb_accept accept_rule(const char *name) {
    int a = VB_ACCEPT_COUPLED;
    while (a < VB_ACCEPT_BLOCK && strcmp(name, vb_accept_name((vb_accept)a))) a++;
    return (vb_accept)a;
}

static void log_line(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "%s\n", line);
}

/* Names that no request can have would let nobody in without a word: a browser's Origin ends with the host
 * and port, and what the Host header is compared with is a name alone. */
static int check_names(const cli_serve_options *w) {
    for (size_t i = 0; i < w->cors.n; i++) {
        const char *origin = w->cors.items[i], *host = strstr(origin, "://");
        if (!strcmp(origin, "*") || !strcmp(origin, "null")) continue;
        if (!host || host == origin || strchr(host + 3, '/'))
            return cli_usage("--cors %s: expected an origin without a path, such as https://app.example, "
                             "or '*'",
                             origin);
    }
    for (size_t i = 0; i < w->allow_host.n; i++)
        if (!*w->allow_host.items[i] || strpbrk(w->allow_host.items[i], ":/ "))
            return cli_usage("--allow-host %s: expected a name without scheme, port or path, such as "
                             "models.example (addresses are let in as they are)",
                             w->allow_host.items[i]);
    return CLI_OK;
}

static int server_params(serve_state *s) {
    char kv[16];
    const cli_options *o = s->o;
    const cli_serve_options *w = &o->serve;
    vbs_server_params *p = &s->sp;
    vb_error err = {0};
    int rc = check_names(w);
    if (!rc) rc = read_keys(s);
    if (!rc) rc = read_system(s);
    if (!rc) rc = read_template(s);
    if (!rc) rc = model_name(s);
    if (!rc) rc = cli_template_date(o, s->date, &s->dated);
    if (rc) return rc;
    p->host = w->host;
    p->port = !cli_given(o, "--port") ? 0 : w->port ? (int)w->port : -1;
    p->hosts = w->allow_host.items;
    p->n_hosts = w->allow_host.n;
    p->origins = w->cors.items;
    p->n_origins = w->cors.n;
    p->name = s->name;
    p->target = o->model;
    p->draft = o->draft_model;
    snprintf(s->precision, sizeof s->precision, "%.4s %s", o->activations, cli_kv_text(o, kv));
    p->precision = s->precision;
    p->chat_template = o->chat_template;
    p->has_draft = o->draft_model || drafts_alone(o) != VB_DRAFT_NONE;
    p->draft_name = o->draft_model ? "model" : p->has_draft ? o->draft : "none";
    p->gamma = cli_given(o, "--gamma") ? (int)o->gamma : vbs_find_preset(w->preset, strlen(w->preset))->gamma;
    if ((rc = cli_read_tree(o, p->tree))) return rc;
    if (p->tree[0]) p->gamma = p->tree[0] == VB_TREE_AUTO ? VB_GAMMA_AUTO : vb_draft_tree_size(p->tree);
    p->ignore_tools = w->ignore_tools;
    p->continue_final = o->continue_final;
    p->strict_calls = o->strict_calls;
    p->parse_content_specials = o->content_specials;
    p->date = s->dated ? s->date : NULL;
    p->accept = accept_rule(o->accept);
    p->max_tokens = o->n_predict;
    p->max_body = (size_t)(w->max_body * 1048576);
    p->max_connections = (int)w->max_connections;
    p->idle_s = p->head_s = w->idle_timeout;
    p->request_s = w->request_timeout;
    p->keep_alive_s = w->keep_alive;
    p->log = w->quiet ? NULL : log_line;
    p->sampling = cli_sampling(o);
    if (!vb_sampling_check(&p->sampling, INT32_MAX, &err)) return CLI_OK;
    cli_report(&err);
    return CLI_USAGE;
}

/* ------------------------------------------------------------------------------------------------ start */

/* How far loading is: on a terminal one line that changes, in a log a line per quarter. */
typedef struct loading {
    vbs_server *server;
    bool terminal, pair; /* pair: a draft model comes behind the target */
    int said;            /* quarters of the model under way that a log has; -1: none yet */
} loading;

static void progress(void *user, const char *what, double fraction) {
    loading *l = user;
    /* Of a pair the target is by far the larger part. */
    const bool draft = !strcmp(what, "draft");
    vbs_server_loading(l->server, !l->pair ? fraction : draft ? 0.85 + 0.15 * fraction : 0.85 * fraction);
    if (l->terminal) {
        fprintf(stderr, "\rloading the %s: %.0f %%%s", what, 100 * fraction, fraction >= 1 ? "\r\033[K" : "");
        return;
    }
    const int quarters = (int)(4 * fraction);
    if (quarters == l->said) return;
    l->said = quarters;
    fprintf(stderr, "loading the %s: %d %%\n", what, 25 * quarters);
}

static void note(void *user, const char *text) {
    fprintf(stderr, "%sverbatim: note: %s\n", ((loading *)user)->terminal ? "\r\033[K" : "", text);
}

/* The costs that an earlier start measured, or --costs. A file that cannot be opened is the engine's to
 * report. */
static int find_costs(serve_state *s) {
    const cli_options *o = s->o;
    vb_gguf *target = NULL, *draft = NULL;
    int rc = CLI_OK;
    if (s->sp.has_draft && !vb_gguf_open(&target, o->model, NULL) &&
        (!o->draft_model || !vb_gguf_open(&draft, o->draft_model, NULL)))
        rc = cli_costs_find(o, target, draft, &s->costs);
    vb_gguf_close(draft);
    vb_gguf_close(target);
    return rc;
}

/* For the next start: under rejection and block a seed's text is then the same. */
static int keep_costs(serve_state *s) {
    const vb_costs *c = vbs_costs(s->engine);
    if (!c) return CLI_OK;
    s->costs.costs = *c;
    if (!s->costs.known) s->costs.others = cli_load_others(&s->load);
    cli_costs_doubt(&s->costs);
    return cli_costs_keep(s->o, &s->costs);
}

static int open_engine(serve_state *s) {
    const cli_options *o = s->o;
    vb_error err = {0};
    static loading l;
    vb_model_params target_as, draft_as;
    if (cli_rope_params(o, false, &target_as) || cli_rope_params(o, true, &draft_as)) return CLI_USAGE;
    const int rc = find_costs(s);
    if (rc) return rc;
    l = (loading){.server = s->server,
                  .terminal = isatty(STDERR_FILENO) == 1,
                  .pair = o->draft_model != NULL,
                  .said = -1};
    s->ep = (vbs_engine_params){.target = o->model,
                                .draft = o->draft_model,
                                .pre = o->pre,
                                .alone = drafts_alone(o),
                                .suffix_min = (int)o->draft_suffix,
                                .corpus = o->corpus.items,
                                .n_corpus = o->corpus.n,
                                .draft_text = o->draft_text,
                                .draft_vocab = (size_t)o->draft_vocab,
                                .draft_vocab_from = o->draft_vocab_from.items,
                                .n_draft_vocab_from = o->draft_vocab_from.n,
                                .target_as = &target_as,
                                .draft_as = &draft_as,
                                .slots = (int)o->serve.slots,
                                .queue = (int)o->serve.queue,
                                .n_ctx = (int)o->ctx,
                                .n_threads = (int)o->threads,
                                .kernels = o->kernels,
                                .activations = strcmp(o->activations, "q16") ? VB_ACT_Q8 : VB_ACT_Q16,
                                .repack = o->repack,
                                .costs = s->costs.known ? &s->costs.costs : NULL,
                                .progress = progress,
                                .note = note,
                                .user = &l};
    cli_kv_types(o, false, &s->ep.k_type, &s->ep.v_type);
    cli_kv_types(o, true, &s->ep.draft_k_type, &s->ep.draft_v_type);
    cli_load_begin(&s->load);
    if (!vbs_engine_open(&s->engine, &s->ep, &err)) return keep_costs(s);
    cli_report(&err);
    if (err.code == VB_ERR_VOCAB)
        return cli_error(
            "`verbatim doctor -m %s -md %s` shows every difference; --draft-text drafts through text all "
            "the same",
            o->model, o->draft_model);
    if (err.code == VB_ERR_MEMORY && !strcmp(o->repack, "on"))
        return cli_error("--repack off reads the weights as mapped, --repack auto where they do not fit");
    return CLI_FAIL;
}

static void quote(const char *text, char out[80]) {
    cli_escape(text, strlen(text), out, 80);
}

/* What the chat template can do. */
static void say_chat(const vbs_server *s) {
    const vbs_chat_info i = vbs_server_chat(s);
    const vb_call_format *f = i.format;
    char begin[80], end[80];
    if (!f) return;
    fprintf(stderr, "  template %s\n", i.template);
    snprintf(begin, sizeof begin, "%.40s%.39s", f->open, f->everyone[0] ? "NAME" : f->begin);
    quote(begin, end);
    if (f->tools && f->style != VB_CALLS_NONE)
        fprintf(stderr, "  tools    yes: a call begins with %s%s\n", end,
                f->parallel ? "" : "; one in an answer");
    else
        fprintf(stderr, "  tools    no: the template %s\n",
                f->tools ? "writes calls in a way that is not known here"
                         : "does not show them to the model");
    quote(f->think, begin);
    quote(f->think_end, end);
    if (f->think[0] || f->think_end[0])
        fprintf(stderr, "  thinking between %s and %s%s%s%s\n", begin, end,
                i.thinking_switch ? ", switched by " : "", i.thinking_switch ? i.thinking_switch : "",
                i.reads_effort ? ", with reasoning_effort" : "");
}

/* Programs that let a model work send it their own instructions and tools before anybody has asked
 * anything. */
static void say_agents(const serve_state *s) {
    enum { ENOUGH = 12288 }; /* OpenCode's are some 9,000 tokens */
    const int there = vbs_context_size(s->engine), most = vb_model_describe(vbs_target(s->engine))->n_ctx;
    if (there >= ENOUGH) return;
    fprintf(stderr,
            "  agents   no: OpenCode sends some 9,000 tokens before a question, and the context holds %d; ",
            there);
    if (most >= ENOUGH)
        fprintf(stderr, "use -c %d\n", most < 16384 ? most : 16384);
    else
        fprintf(stderr, "this model was trained for %d, so agents need another\n", most);
}

static void say_rope(const char *whose, const vb_model *m) {
    if (vb_model_rope(m))
        fprintf(stderr, "  RoPE%s: %s: by options, not by the file\n", whose, vb_model_rope(m));
}

/* drafts_alone, and that there is nothing to draft with, in words. */
static const char *drafts_of(const cli_options *o, bool drafts) {
    if (drafts)
        return drafts_alone(o) == VB_DRAFT_SUFFIX ? "what followed the longest repeat (suffix)"
                                                  : "prompt lookup (n-grams)";
    return cli_given(o, "--preset")
               ? "none: the target alone; --preset is for a draft: give -md FILE or --draft ngram"
               : "none: the target alone";
}

static void say_hello(const serve_state *s) {
    const cli_options *o = s->o;
    char weights[32], contexts[32], gamma[32], url[300];
    const char *given = s->sp.host ? s->sp.host : "127.0.0.1", *host = given;
    vbs_metrics m;
    vbs_metrics_read(s->engine, &m);
    if (!strcmp(host, "0.0.0.0") || !strcmp(host, "::")) host = "127.0.0.1";
    snprintf(url, sizeof url, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host,
             vbs_server_port(s->server));
    const char *chat = vbs_server_no_chat(s->server);
    fprintf(stderr, "verbatim %s\n", VB_VERSION);
    fprintf(stderr, "  target   %s\n", o->model);
    if (o->draft_model)
        fprintf(stderr, "  draft    %s\n", o->draft_model);
    else
        fprintf(stderr, "  draft    %s\n", drafts_of(o, s->sp.has_draft));
    if (s->sp.has_draft)
        fprintf(stderr,
                "  preset   %s: %s tokens drafted per step, accept %s; model %s:fast drafts 3, :balanced 5, "
                ":max 7, :auto as many as pay, :off none\n",
                cli_given(o, "--gamma") || o->tree ? "your own" : o->serve.preset,
                cli_gamma_name(s->sp.gamma, gamma), o->accept, s->name);
    if (vb_tokenizer_pre_overridden(vbs_tokenizer(s->engine)))
        fprintf(stderr, "  pre      %s: by --pre, not by the file\n",
                vb_tokenizer_pre(vbs_tokenizer(s->engine)));
    say_rope("", vbs_target(s->engine));
    if (vbs_draft(s->engine)) {
        say_rope(" of the draft", vbs_draft(s->engine));
        cli_warn_draft(vbs_target(s->engine), vbs_draft(s->engine));
    }
    fprintf(stderr, "  memory   weights %s, contexts %s when full (%d slot%s of %d positions",
            cli_bytes(m.weight_bytes, weights), cli_bytes(m.context_bytes, contexts), m.slots,
            m.slots == 1 ? "" : "s", vbs_context_size(s->engine));
    if (m.slots > 1)
        fprintf(stderr, "; --slots 1: %s", cli_bytes(m.context_bytes / (uint64_t)m.slots, contexts));
    fprintf(stderr, ")\n  computed kernels %s, threads %d\n", vbs_kernels(s->engine), vbs_threads(s->engine));
    if (chat) fprintf(stderr, "  chat     no: %s\n", chat);
    say_chat(s->server);
    if (!chat) say_agents(s);
    bool local = !strncmp(host, "127.", 4) || !strcmp(host, "localhost") || !strcmp(host, "::1");
    if ((!local || host != given) && !s->n_keys)
        fprintf(
            stderr,
            "  warning  whoever reaches this machine over the network may use the server: see --api-key\n");
    if (vbs_server_fell_back(s->server)) fprintf(stderr, "  port     8000 is taken: listening on 8080\n");
    fprintf(stderr, "  page     %s/\n  API      %s/v1\n", url, url);
    fprintf(stderr, "  try      curl %s/v1/%s%s -d '{\"model\": \"%s\", %s, \"max_tokens\": 64}'\n", url,
            chat ? "completions" : "chat/completions",
            s->n_keys ? " -H \"Authorization: Bearer $VERBATIM_API_KEY\"" : "", s->name,
            chat ? "\"prompt\": \"Once upon a time\""
                 : "\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]");
    fprintf(stderr, "ready; Ctrl-C ends\n");
}

/* ------------------------------------------------------------------------------------------------ end */

/* Says once that few guesses are right. Of the first thousand nothing is said. */
static bool warn_of_guesses(const serve_state *s) {
    vbs_metrics m;
    char share[32];
    vbs_metrics_read(s->engine, &m);
    if (m.drafted < 1000 || (double)m.accepted >= CLI_LOW_ACCEPTANCE * (double)m.drafted) return false;
    fprintf(stderr,
            "verbatim: note: %s of %llu guesses were right; texts are the target's all the same, but a "
            "smaller --gamma, NAME:off or another draft would be faster (`verbatim bench`)\n",
            cli_percent((double)m.accepted / (double)m.drafted, share), (unsigned long long)m.drafted);
    return true;
}

/* Running answers get their time, then what is left is ended with an error that says so. */
static void wind_down(serve_state *s) {
    double until = cli_now() + s->o->serve.drain;
    bool again = false;
    vbs_server_drain(s->server);
    vbs_engine_drain(s->engine);
    if (vbs_server_active(s->server))
        fprintf(stderr, "verbatim: ending; running answers have %g seconds, another signal ends them now\n",
                s->o->serve.drain);
    while (vbs_server_active(s->server) && cli_now() < until && !again) again = signalled(0.05);
    vbs_server_abort(s->server);
    until = cli_now() + 2; /* to say so to the clients */
    while (vbs_server_active(s->server) && cli_now() < until) signalled(0.02);
    fprintf(stderr, "verbatim: ended\n");
}

static int serve(serve_state *s) {
    vb_error err = {0};
    int rc = cli_check_models(s->o);
    if (!rc) rc = cli_check_pre(s->o);
    if (!rc) rc = server_params(s);
    if (rc) return rc;
    if (vbs_server_open(&s->server, &s->sp, &err)) return cli_report(&err);
    catch_early_signals();
    rc = open_engine(s);
    if (!rc) rc = catch_signals();
    if (rc) return rc;
    if (vbs_server_ready(s->server, s->engine, &err)) return cli_report(&err);
    say_hello(s);
    for (bool warned = false; !signalled(warned ? -1 : 2);) warned = warned || warn_of_guesses(s);
    wind_down(s);
    return CLI_OK;
}

int cli_serve(cli_options *o) {
    serve_state s;
    memset(&s, 0, sizeof s);
    s.o = o;
    signal(SIGPIPE, SIG_IGN);
#if defined(__GLIBC__)
    mallopt(M_ARENA_MAX, 2); /* a thread per connection would otherwise spread memory over many arenas */
#endif
    int rc = serve(&s);
    vbs_server_close(s.server);
    vbs_engine_close(s.engine);
    free(s.keys);
    free(s.key_text);
    free(s.system);
    free(s.template_text);
    return rc;
}
