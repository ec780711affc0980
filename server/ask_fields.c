/* ask_fields.c - fields that a request may not have because they would change the output (P6), and fields
 * that change nothing and are reported as ignored. */
#include "ask.h"

#include <string.h>

/* Read elsewhere. */
static const char *const COMMON[] = {"model",
                                     "temperature",
                                     "top_p",
                                     "top_k",
                                     "min_p",
                                     "max_tokens",
                                     "max_completion_tokens",
                                     "stop",
                                     "seed",
                                     "n",
                                     "logprobs",
                                     "logit_bias",
                                     "presence_penalty",
                                     "frequency_penalty",
                                     "repeat_penalty",
                                     "repetition_penalty",
                                     "repeat_last_n",
                                     "stream",
                                     "stream_options",
                                     "user",
                                     "accept",
                                     "gamma",
                                     "verbatim",
                                     "return_token_ids",
                                     "ignore_eos",
                                     NULL};
static const char *const CHAT[] = {"messages",    "top_logprobs", "response_format", "tools",
                                   "tool_choice", "functions",    "function_call",   NULL};
static const char *const COMPLETION[] = {"prompt", "echo", "suffix", "best_of", "response_format", NULL};

/* Would change the output, and is not there. Refused unless the value is one that asks for nothing. */
static const char *const REFUSED[] = {"grammar",
                                      "json_schema",
                                      "guided_json",
                                      "guided_regex",
                                      "guided_choice",
                                      "guided_grammar",
                                      "structured_outputs",
                                      "typical_p",
                                      "tfs_z",
                                      "top_a",
                                      "top_n_sigma",
                                      "epsilon_cutoff",
                                      "eta_cutoff",
                                      "mirostat",
                                      "mirostat_tau",
                                      "mirostat_eta",
                                      "xtc_probability",
                                      "xtc_threshold",
                                      "dry_multiplier",
                                      "dry_base",
                                      "dry_allowed_length",
                                      "dry_penalty_last_n",
                                      "dry_sequence_breakers",
                                      "dynatemp_range",
                                      "dynatemp_exponent",
                                      "smoothing_factor",
                                      "samplers",
                                      "length_penalty",
                                      "use_beam_search",
                                      "num_beams",
                                      "early_stopping",
                                      "min_tokens",
                                      "min_length",
                                      "stop_token_ids",
                                      "bad_words",
                                      "allowed_token_ids",
                                      "logits_processors",
                                      "no_repeat_ngram_size",
                                      "truncate_prompt_tokens",
                                      "prompt_logprobs",
                                      "chat_template",
                                      "chat_template_kwargs",
                                      "add_generation_prompt",
                                      "continue_final_message",
                                      "add_special_tokens",
                                      "skip_special_tokens",
                                      "documents",
                                      "modalities",
                                      "audio",
                                      "reasoning_effort",
                                      "reasoning",
                                      "thinking",
                                      "verbosity",
                                      "web_search_options",
                                      "lora",
                                      "n_predict",
                                      "input_extract",
                                      "image_data",
                                      "id_slot",
                                      "n_keep",
                                      "n_discard",
                                      NULL};

static bool listed(const char *const *list, const char *key) {
    for (; *list; list++)
        if (!strcmp(*list, key)) return true;
    return false;
}

/* null, false, 0, "", [], {}, "none", "auto": asks for nothing. */
static bool asks_nothing(const json_t *v) {
    if (json_is_null(v) || json_is_false(v)) return true;
    if (json_is_number(v)) return !(json_number_value(v) > 0) && !(json_number_value(v) < 0);
    if (json_is_string(v)) {
        const char *s = json_string_value(v);
        return !*s || !strcmp(s, "none") || !strcmp(s, "auto");
    }
    return (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v));
}

static int check_format(const vbs_ask *a, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "response_format");
    if (!v) return 0;
    const json_t *type = json_object_get(v, "type");
    if (json_is_string(type) && !strcmp(json_string_value(type), "text")) return 0;
    return VBS_BAD(p, "response_format",
                   "response_format: this server writes text only: {\"type\": \"text\"}, not \"%.40s\"",
                   json_is_string(type) ? json_string_value(type) : "");
}

/* Tools are not rendered and not called: refused, unless they may not be called anyway. */
static int check_tools(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    static const char *const pairs[][2] = {{"tools", "tool_choice"}, {"functions", "function_call"}};
    for (int i = 0; i < 2; i++) {
        const json_t *tools = vbs_get(a->root, pairs[i][0]), *choice = vbs_get(a->root, pairs[i][1]);
        const char *word = json_is_string(choice) ? json_string_value(choice) : "";
        bool none = !strcmp(word, "none"), any = tools && json_array_size(tools);
        if (tools && !json_is_array(tools))
            return VBS_BAD(p, pairs[i][0], "%s: expected a list", pairs[i][0]);
        if (!none && any && !t->ignore_tools)
            return VBS_BAD(
                p, pairs[i][0],
                "%s: this server calls no tools; set %s to \"none\", leave them out, or start it with "
                "--ignore-tools",
                pairs[i][0], pairs[i][1]);
        if (!none && !t->ignore_tools && choice && strcmp(word, "auto") != 0)
            return VBS_BAD(p, pairs[i][1], "%s asks for a tool to be called; this server calls none",
                           pairs[i][1]);
        if (any) vbs_ask_warn(a, "%s ignored: the model does not see them", pairs[i][0]);
    }
    return 0;
}

static int check_completion(const vbs_ask *a, vbs_problem *p) {
    const json_t *r = a->root, *suffix = vbs_get(r, "suffix");
    bool echo = false;
    int64_t best = 1, n = 1;
    if (vbs_get_bool(r, "echo", &echo, NULL, p) || vbs_get_int(r, "n", 1, VBS_MAX_CHOICES, &n, NULL, p))
        return -1;
    best = n;
    if (vbs_get_int(r, "best_of", 1, 128, &best, NULL, p)) return -1;
    if (echo) return VBS_BAD(p, "echo", "echo: the prompt is not repeated here; put it in front yourself");
    if (best != n)
        return VBS_BAD(p, "best_of", "best_of: this server returns all that it generates: n = best_of");
    if (suffix && !asks_nothing(suffix))
        return VBS_BAD(p, "suffix", "suffix: this server continues texts, it does not fill gaps");
    return 0;
}

int vbs_ask_foreign(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const char *key;
    json_t *v;
    json_object_foreach(a->root, key, v) {
        if (listed(COMMON, key) || listed(a->chat ? CHAT : COMPLETION, key)) continue;
        if (!listed(REFUSED, key)) {
            if (!json_is_null(v)) vbs_ask_warn(a, "%.100s ignored: not known here", key);
        } else if (!asks_nothing(v)) {
            return VBS_BAD(p, key, "%.60s would change the output and is not supported: leave it out", key);
        }
    }
    if (check_format(a, p)) return -1;
    return a->chat ? check_tools(a, t, p) : check_completion(a, p);
}
