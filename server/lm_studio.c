/* lm_studio.c - what LM Studio's REST interface (/api/v0) has beyond OpenAI's: how models are described, and
 * what answers say of the model and the program. The names are those of its documentation
 * (lmstudio.ai/docs/developer/rest/endpoints); what each number means here: docs/server.md. */
#include "server/httpd.h"

#include <math.h>
#include <string.h>

/* Numbers of general.file_type: the GGUF specification, and llama.h for those behind Q6_K. */
static const struct {
    uint64_t number;
    const char *name;
} FILE_TYPES[] = {{0, "F32"},     {1, "F16"},     {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
                  {8, "Q5_0"},    {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
                  {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
                  {18, "Q6_K"},   {21, "Q2_K_S"}, {25, "IQ4_NL"}, {30, "IQ4_XS"}, {32, "BF16"},
                  {38, "MXFP4"}};

/* The mix that the file says it is in, else the type of most of its bytes. */
static const char *quantization(const vb_gguf *g) {
    const vb_meta *m = vb_gguf_find(g, "general.file_type");
    uint64_t number, bytes[VB_TYPE_LIMIT] = {0};
    int most = 0;
    if (m && vb_meta_u64(m, 0, &number))
        for (size_t i = 0; i < sizeof FILE_TYPES / sizeof FILE_TYPES[0]; i++)
            if (FILE_TYPES[i].number == number) return FILE_TYPES[i].name;
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        bytes[t->type] += t->bytes;
        if (bytes[t->type] > bytes[most]) most = (int)t->type;
    }
    return vb_type_name(most);
}

/* Who published it, if the file says. */
static json_t *publisher(const vb_gguf *g) {
    static const char *const keys[] = {"general.organization", "general.author", "general.quantized_by"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const vb_meta *m = vb_gguf_find(g, keys[i]);
        const char *s;
        size_t n;
        if (m && vb_meta_string(g, m, 0, &s, &n)) return vbs_json_text(s, n);
    }
    return json_string("");
}

json_t *vbs_native_model(const vbs_server *s, const char *id) {
    const vb_model_info *i = vb_model_describe(vbs_target(s->engine));
    const vb_gguf *g = vbs_target_file(s->engine);
    return json_pack("{ss ss ss so ss ss ss ss si si}", "id", id, "object", "model", "type", "llm",
                     "publisher", publisher(g), "arch", i->architecture, "compatibility_type", "gguf",
                     "quantization", quantization(g), "state", "loaded", "max_context_length", i->n_ctx,
                     "loaded_context_length", vbs_context_size(s->engine));
}

void vbs_native_json(const vbs_answer *a, json_t *into) {
    const vbs_server *s = a->s;
    json_object_set_new(into, "model_info",
                        json_pack("{ss ss ss si}", "arch",
                                  vb_model_describe(vbs_target(s->engine))->architecture, "quant",
                                  quantization(vbs_target_file(s->engine)), "format", "gguf",
                                  "context_length", vbs_context_size(s->engine)));
    json_object_set_new(
        into, "runtime",
        json_pack("{ss ss s[s]}", "name", "verbatim", "version", VB_VERSION, "supported_formats", "gguf"));
}

/* ------------------------------------------------------------------------------------------ statistics */

/* Whether an id that ended the text is one of the request's stop strings, not one of the model's own. */
static bool asked_for(const vbs_answer *a, int32_t id) {
    size_t n;
    const int32_t *own = vb_stop_ids(a->x->tokenizer, &n);
    for (size_t i = 0; i < n && !a->ask.ignore_eos; i++)
        if (own[i] == id) return false;
    return true;
}

const char *vbs_native_reason(const vbs_answer *a, const vbs_choice *c) {
    const vbs_result *r = &c->result;
    const char *reason = vbs_choice_reason(c);
    if (!strcmp(reason, "error")) return a->x->gone ? "userStopped" : "failed";
    if (!strcmp(reason, "tool_calls")) return "toolCalls";
    if (c->stopped) return "stopStringFound";
    if (r->end == VBS_END_STOP) return asked_for(a, r->stop_id) ? "stopStringFound" : "eosFound";
    if (r->end != VBS_END_LENGTH) return "userStopped"; /* the server's time limit, which warnings name */
    return a->ask.max_tokens && r->output_tokens == a->ask.max_tokens ? "maxPredictedTokensReached"
                                                                      : "contextLengthReached";
}

void vbs_native_stats(const vbs_answer *a, const vbs_totals *o, json_t *stats) {
    const vbs_server *s = a->s;
    const char *reason = vbs_native_reason(a, &a->x->choices[0]), *draft = s->p.draft;
    const char *slash = draft ? strrchr(draft, '/') : NULL;
    for (int i = 1; i < a->x->n && reason; i++)
        if (strcmp(reason, vbs_native_reason(a, &a->x->choices[i])) != 0) reason = NULL;
    if (slash) draft = slash + 1;
    json_object_set_new(stats, "tokens_per_second",
                        vbs_json_real(o->decode_s > 0 ? (double)o->output / o->decode_s : (double)NAN));
    json_object_set_new(stats, "time_to_first_token", vbs_json_real(o->first_s));
    json_object_set_new(stats, "generation_time", vbs_json_real(o->decode_s));
    json_object_set_new(stats, "stop_reason", reason ? json_string(reason) : json_null());
    if (a->ask.gamma == 0) return;
    if (draft) json_object_set_new(stats, "draft_model", vbs_json_text(draft, strlen(draft)));
    json_object_set_new(stats, "total_draft_tokens_count", json_integer((json_int_t)o->t.drafted));
    json_object_set_new(stats, "accepted_draft_tokens_count", json_integer((json_int_t)o->t.accepted));
    json_object_set_new(stats, "rejected_draft_tokens_count",
                        json_integer((json_int_t)(o->t.tested - o->t.accepted)));
    json_object_set_new(stats, "ignored_draft_tokens_count",
                        json_integer((json_int_t)(o->t.drafted - o->t.tested)));
}
