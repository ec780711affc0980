/* metrics.c - /metrics in Prometheus' text format. */
#include "server/httpd.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

static void head(vb_buf *p, const char *name, const char *type, const char *help) {
    vb_buf_addf(p, "# HELP verbatim_%s %s\n# TYPE verbatim_%s %s\n", name, help, name, type);
}

static void counter(vb_buf *p, const char *name, const char *help, uint64_t value) {
    head(p, name, "counter", help);
    vb_buf_addf(p, "verbatim_%s %llu\n", name, (unsigned long long)value);
}

static void gauge(vb_buf *p, const char *name, const char *help, double value) {
    head(p, name, "gauge", help);
    vb_buf_addf(p, "verbatim_%s %.17g\n", name, value);
}

static void http_part(vb_buf *p, vbs_server *s) {
    vbs_counts *c = &s->counts;
    head(p, "http_responses_total", "counter", "Replies by class of status.");
    for (int i = 1; i < 6; i++)
        vb_buf_addf(p, "verbatim_http_responses_total{class=\"%dxx\"} %llu\n", i,
                    (unsigned long long)atomic_load(&c->by_class[i]));
    counter(p, "http_refused_origin_total", "Requests refused for their Host or Origin.",
            atomic_load(&c->refused_host));
    counter(p, "http_refused_key_total", "Requests without a right API key.", atomic_load(&c->refused_key));
    counter(p, "http_too_busy_total", "Requests refused because the queue was full.",
            atomic_load(&c->too_busy));
    counter(p, "http_timeouts_total", "Connections cut for their time.", atomic_load(&c->timed_out));
    counter(p, "http_evicted_total", "Connections cut to make room.", atomic_load(&c->evicted));
    counter(p, "http_disconnects_total", "Connections that ended in the middle of a request.",
            atomic_load(&c->gone));
    pthread_mutex_lock(&s->lock);
    int peers = s->n_peers;
    pthread_mutex_unlock(&s->lock);
    gauge(p, "http_connections", "Open connections.", peers);
    gauge(p, "http_active", "Requests in progress, this one among them.", atomic_load(&s->active));
}

static void by_position(vb_buf *p, const vbs_metrics *m) {
    head(p, "draft_tested_at_total", "counter", "Draft tokens tested, by position in the draft.");
    for (int k = 0; k < 32 && m->tested_at[k]; k++)
        vb_buf_addf(p, "verbatim_draft_tested_at_total{position=\"%d\"} %llu\n", k,
                    (unsigned long long)m->tested_at[k]);
    head(p, "draft_accepted_at_total", "counter", "Draft tokens accepted, by position in the draft.");
    for (int k = 0; k < 32 && m->tested_at[k]; k++)
        vb_buf_addf(p, "verbatim_draft_accepted_at_total{position=\"%d\"} %llu\n", k,
                    (unsigned long long)m->accepted_at[k]);
}

static void engine_part(vb_buf *p, const vbs_metrics *m) {
    counter(p, "requests_total", "Choices taken for generation.", m->requests);
    counter(p, "requests_finished_total", "Choices generated to their end.", m->finished);
    counter(p, "requests_cancelled_total",
            "Choices ended early: a stop string, a client that left, shutdown.", m->cancelled);
    counter(p, "requests_refused_total", "Choices refused because the queue was full.", m->refused);
    counter(p, "requests_failed_total", "Choices ended by an error.", m->failed);
    gauge(p, "requests_running", "Choices in a slot.", m->running);
    gauge(p, "requests_waiting", "Choices in the queue.", m->waiting);
    gauge(p, "slots", "Choices that run together at most.", m->slots);
    gauge(p, "queue_limit", "Choices that may wait.", m->queue);
    counter(p, "prompt_tokens_total", "Prompt tokens of requests.", m->prompt_tokens);
    counter(p, "prompt_cached_tokens_total", "Prompt tokens found in a cache.", m->cached_tokens);
    counter(p, "output_tokens_total", "Tokens generated.", m->output_tokens);
    counter(p, "steps_total", "Steps of speculation: draft, verify, accept.", m->steps);
    counter(p, "draft_tokens_total", "Draft tokens proposed.", m->drafted);
    counter(p, "draft_tested_tokens_total", "Draft tokens compared with the target.", m->tested);
    counter(p, "draft_accepted_tokens_total", "Draft tokens accepted.", m->accepted);
    by_position(p, m);
    head(p, "time_to_first_token_seconds", "summary", "From acceptance to the first token.");
    vb_buf_addf(p, "verbatim_time_to_first_token_seconds_sum %.17g\n", m->first_s);
    vb_buf_addf(p, "verbatim_time_to_first_token_seconds_count %llu\n", (unsigned long long)m->first_n);
    head(p, "seconds_total", "counter", "Computing time by what it was spent on.");
    vb_buf_addf(p, "verbatim_seconds_total{part=\"draft\"} %.17g\n", m->draft_s);
    vb_buf_addf(p, "verbatim_seconds_total{part=\"verify\"} %.17g\n", m->verify_s);
    vb_buf_addf(p, "verbatim_seconds_total{part=\"sample\"} %.17g\n", m->sample_s);
    vb_buf_addf(p, "verbatim_seconds_total{part=\"prompt\"} %.17g\n", m->prompt_s);
    vb_buf_addf(p, "verbatim_seconds_total{part=\"busy\"} %.17g\n", m->busy_s);
    gauge(p, "weight_bytes", "Weights of the models.", (double)m->weight_bytes);
    gauge(p, "context_bytes", "KV caches and scratch of the slots.", (double)m->context_bytes);
}

char *vbs_metrics_text(vbs_server *s) {
    vb_buf p = {0};
    vbs_metrics m;
    vbs_engine *e = s->engine;
    gauge(&p, "ready", "1 once the models are loaded.", e != NULL);
    gauge(&p, "uptime_seconds", "Since the start.", vb_now() - s->started);
    http_part(&p, s);
    if (e) {
        vbs_metrics_read(e, &m);
        engine_part(&p, &m);
    }
    return vb_buf_take(&p, NULL);
}
