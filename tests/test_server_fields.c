/* test_server_fields.c - fields that other servers know: which values of them change nothing and are taken,
 * what is refused under which name, what is taken under another name; the same inside messages. Each row is a
 * request. */
#include "server/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static vbs_terms terms(void) {
    vbs_terms t = {.name = "m",
                   .gamma = 5,
                   .has_draft = true,
                   .draft = "models/small.q4.gguf",
                   .n_vocab = 1000,
                   .n_ctx = 512};
    vb_sampling_defaults(&t.sampling);
    return t;
}

static int ask(vbs_ask *a, bool chat, const char *fields, vbs_problem *p) {
    char body[1024];
    vbs_terms t = terms();
    snprintf(body, sizeof body, "{%s%s%s}", fields, fields[0] ? "," : "", chat ? HI : "\"prompt\":\"x\"");
    return vbs_ask_read(a, chat, body, strlen(body), &t, p);
}

/* Taken by the endpoint, with so many warnings. */
static void taken(bool chat, const char *fields, size_t warnings) {
    vbs_ask a;
    vbs_problem p;
    if (ask(&a, chat, fields, &p)) fail_msg("%s, %s: %s", chat ? "chat" : "completion", fields, p.message);
    if (json_array_size(a.warnings) != warnings)
        fail_msg("%s: %zu warnings", fields, json_array_size(a.warnings));
    vbs_ask_close(&a);
}

static void refused(bool chat, const char *fields, const char *param) {
    vbs_ask a;
    vbs_problem p;
    if (!ask(&a, chat, fields, &p)) fail_msg("%s, %s was taken", chat ? "chat" : "completion", fields);
    if (p.status != 400 || strcmp(p.param, param) != 0 || !strstr(p.message, param))
        fail_msg("%s: %d, field \"%s\", %s", fields, p.status, p.param, p.message);
    vbs_ask_close(&a);
}

static void test_neutral(void **state) {
    (void)state;
    static const char *const rows[] = {
        "\"typical_p\":1",
        "\"typical_p\":1.0",
        "\"typ_p\":1",
        "\"typical\":1",
        "\"tfs_z\":1",
        "\"tfs\":1.0",
        "\"top_a\":0",
        "\"top_n_sigma\":-1",
        "\"top_n_sigma\":0",
        "\"top_n_sigma\":-1.0",
        "\"nsigma\":0",
        "\"epsilon_cutoff\":0",
        "\"eta_cutoff\":0",
        "\"min_keep\":0",
        "\"mirostat\":0,\"mirostat_tau\":5,\"mirostat_eta\":0.1",
        "\"mirostat_tau\":5,\"mirostat_eta\":0.1",
        "\"mirostat_mode\":0,\"mirostat_tau\":5.0",
        "\"dry_multiplier\":0,\"dry_base\":1.75,\"dry_allowed_length\":2,\"dry_penalty_last_n\":-1",
        "\"dry_base\":1.75,\"dry_sequence_breakers\":[\"\\n\",\":\"]",
        "\"dry_multiplier\":0.0,\"dry_sequence_breakers\":\"[\\\"x\\\"]\"",
        "\"xtc_probability\":0,\"xtc_threshold\":0.1",
        "\"xtc_threshold\":0.1",
        "\"dynatemp_range\":0,\"dynatemp_exponent\":1",
        "\"dynatemp_exponent\":1.5",
        "\"dynamic_temperature\":false,\"dynatemp_low\":1,\"dynatemp_high\":2",
        "\"smoothing_factor\":0,\"smoothing_curve\":1",
        "\"temperature_last\":false",
        "\"temperature_last\":true,\"temperature\":0",
        "\"temperature_last\":true,\"temperature\":1",
        "\"do_sample\":true",
        "\"do_sample\":false,\"temperature\":0",
        "\"encoder_repetition_penalty\":1",
        "\"no_repeat_ngram_size\":0",
        "\"penalty_alpha\":0",
        "\"repetition_penalty_range\":1024",
        "\"repetition_penalty\":1.0,\"repetition_penalty_range\":0",
        "\"num_beams\":1,\"length_penalty\":1,\"early_stopping\":false",
        "\"length_penalty\":0.5",
        "\"num_beams\":1,\"early_stopping\":true",
        "\"use_beam_search\":false",
        "\"guidance_scale\":1,\"negative_prompt\":\"bad\"",
        "\"cfg_scale\":1.0",
        "\"negative_prompt\":\"\"",
        "\"min_tokens\":0,\"min_length\":0,\"min_new_tokens\":0",
        "\"max_tokens_second\":0",
        "\"include_stop_str_in_output\":false",
        "\"stop_token_ids\":[],\"bad_words\":[],\"logits_processors\":null",
        "\"banned_strings\":[],\"banned_tokens\":\"\",\"custom_token_bans\":\"\"",
        "\"skip_special_tokens\":true,\"spaces_between_special_tokens\":true",
        "\"add_generation_prompt\":true,\"continue_final_message\":false",
        "\"add_special_tokens\":true",
        "\"add_bos_token\":true",
        "\"id_slot\":-1",
        "\"n_keep\":-1,\"n_discard\":0",
        "\"n_keep\":0",
        "\"truncation_length\":512",
        "\"num_ctx\":4096",
        "\"modalities\":[\"text\"]",
        "\"audio\":null",
        "\"reasoning_effort\":\"none\"",
        "\"reasoning\":{\"effort\":\"none\"}",
        "\"thinking\":{\"type\":\"disabled\"}",
        "\"thinking\":{\"type\":\"disabled\",\"budget_tokens\":0}",
        "\"reasoning\":{\"enabled\":false,\"effort\":null}",
        "\"logprobs\":false",
        "\"logit_bias\":[]",
        "\"response_format\":{}",
        "\"verbosity\":\"medium\"",
        "\"prompt_logprobs\":null",
        "\"n_probs\":0",
        "\"logit_bias\":{},\"grammar\":\"\",\"json_schema\":null,\"lora\":[],\"chat_template_kwargs\":{}",
        "\"response_format\":{\"type\":\"text\"}",
        "\"keep_alive\":\"5m\"",
        "\"cache_prompt\":true,\"parallel_tool_calls\":true,\"user\":\"u\"",
        "\"suffix\":null,\"echo\":false",
        "\"best_of\":1",
        "\"best_of\":2,\"n\":2",
        "\"format\":\"\",\"system\":\"\",\"options\":{},\"raw\":false,\"template\":\"\"",
        "\"think\":null,\"enable_thinking\":null",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        taken(true, rows[i], 0);
        taken(false, rows[i], 0);
    }
    taken(true, "\"add_special_tokens\":false", 0);
    taken(false, "\"tools\":[],\"tool_choice\":\"auto\",\"top_logprobs\":0", 0);
}

static void test_acting(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"\"typical_p\":\"1\"", "typical_p"},
        {"\"typical_p\":0.5,\"temperature\":0", "typical_p"},
        {"\"xtc_probability\":0.5,\"temperature\":0", "xtc_probability"},
        {"\"xtc_probability\":1.5", "xtc_probability"},
        {"\"dynatemp_range\":1,\"temperature\":0", "dynatemp_range"},
        {"\"dynatemp_range\":1,\"dynatemp_exponent\":0", "dynatemp_exponent"},
        {"\"dry_multiplier\":0.8,\"dry_base\":0.5", "dry_base"},
        {"\"dry_multiplier\":0.8,\"dry_allowed_length\":0", "dry_allowed_length"},
        {"\"dry_multiplier\":0.8,\"dry_sequence_breakers\":[1]", "dry_sequence_breakers"},
        {"\"dry_multiplier\":0.8,\"dry_sequence_breakers\":\"x\"", "dry_sequence_breakers"},
        {"\"top_n_sigma\":1e9", "top_n_sigma"},
        {"\"tfs_z\":0.5", "tfs_z"},
        {"\"tfs\":0.9", "tfs"},
        {"\"top_a\":0.1", "top_a"},
        {"\"epsilon_cutoff\":3", "epsilon_cutoff"},
        {"\"mirostat\":2,\"mirostat_tau\":5", "mirostat"},
        {"\"mirostat_tau\":5,\"mirostat\":1", "mirostat_tau"},
        {"\"mirostat_mode\":1", "mirostat_mode"},
        {"\"smoothing_factor\":0.2", "smoothing_factor"},
        {"\"do_sample\":false", "do_sample"},
        {"\"temperature_last\":true", "temperature_last"},
        {"\"encoder_repetition_penalty\":1.1", "encoder_repetition_penalty"},
        {"\"repetition_penalty_range\":1024,\"repetition_penalty\":1.1", "repetition_penalty_range"},
        {"\"repetition_penalty_range\":1024,\"presence_penalty\":0.5", "repetition_penalty_range"},
        {"\"num_beams\":4", "num_beams"},
        {"\"length_penalty\":0.5,\"num_beams\":4", "length_penalty"},
        {"\"guidance_scale\":1.5", "guidance_scale"},
        {"\"negative_prompt\":\"x\",\"cfg_scale\":2", "negative_prompt"},
        {"\"min_tokens\":1", "min_tokens"},
        {"\"min_new_tokens\":5", "min_new_tokens"},
        {"\"stop_token_ids\":[2]", "stop_token_ids"},
        {"\"skip_special_tokens\":false", "skip_special_tokens"},
        {"\"id_slot\":1", "id_slot"},
        {"\"n_keep\":5", "n_keep"},
        {"\"truncation_length\":100", "truncation_length"},
        {"\"modalities\":[\"text\",\"audio\"]", "modalities"},
        {"\"reasoning_effort\":\"low\"", "reasoning_effort"},
        {"\"thinking\":{\"type\":\"enabled\"}", "thinking"},
        {"\"thinking\":{\"type\":\"disabled\",\"budget_tokens\":9}", "thinking"},
        {"\"reasoning\":{\"effort\":\"high\",\"enabled\":false}", "reasoning"},
        {"\"enable_thinking\":true", "enable_thinking"},
        {"\"think\":true", "think"},
        {"\"verbosity\":\"high\"", "verbosity"},
        {"\"n_probs\":3", "n_probs"},
        {"\"banned_strings\":[\"x\"]", "banned_strings"},
        {"\"banned_tokens\":\"1,2\"", "banned_tokens"},
        {"\"custom_token_bans\":\"1\"", "custom_token_bans"},
        {"\"system\":\"be brief\"", "system"},
        {"\"options\":{\"temperature\":0}", "options"},
        {"\"raw\":true", "raw"},
        {"\"template\":\"x\"", "template"},
        {"\"images\":[\"AAAA\"]", "images"},
        {"\"ebnf\":\"root\"", "ebnf"},
        {"\"max_length\":20", "max_length"},
        {"\"echo\":true", "echo"},
        {"\"suffix\":\"x\"", "suffix"},
        {"\"best_of\":3", "best_of"},
        {"\"best_of\":1,\"n\":2", "best_of"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refused(true, rows[i][0], rows[i][1]);
        refused(false, rows[i][0], rows[i][1]);
    }
    /* Of a conversation's prompt. */
    refused(false, "\"add_special_tokens\":false", "add_special_tokens");
    refused(false, "\"add_generation_prompt\":false", "add_generation_prompt");
    refused(false, "\"continue_final_message\":true", "continue_final_message");
    refused(false, "\"continue_\":true", "continue_");
    refused(false, "\"chat_template_kwargs\":{\"a\":1}", "chat_template_kwargs");
    refused(false, "\"chat_template_args\":{\"a\":1}", "chat_template_args");
    refused(false, "\"enable_thinking\":false", "enable_thinking");
    refused(false, "\"think\":false", "think");
    refused(false, "\"tools\":[{}]", "tools");
    refused(false, "\"top_logprobs\":3", "top_logprobs");
    refused(false, HI, "messages");
    refused(true, "\"prompt\":\"x\"", "prompt");
}

static void test_unknown(void **state) {
    (void)state;
    taken(true, "\"frobnicate\":1,\"store\":true", 2);
    taken(true, "\"frobnicate\":null", 0);
    char many[1000] = "\"a0\":1";
    for (int i = 1; i < 60; i++) snprintf(many + strlen(many), sizeof many - strlen(many), ",\"a%d\":1", i);
    taken(true, many, 33); /* the last says that there are more */
}

/* A name that differs from a known one in case, underscores and dashes asks for that thing. */
static void test_spelling(void **state) {
    (void)state;
    static const char *const names[] = {"topP",           "top-p",      "Temperature", "maxTokens",
                                        "stopSequences",  "TYPICAL_P",  "minTokens",   "frequencyPenalty",
                                        "responseFormat", "logit-bias", "n_Predict",   "maxOutputTokens",
                                        "chatTemplate",   "jsonSchema"};
    char fields[100];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(fields, sizeof fields, "\"%s\":2", names[i]);
        refused(true, fields, names[i]);
        refused(false, fields, names[i]);
        snprintf(fields, sizeof fields, "\"%s\":[]", names[i]);
        taken(true, fields, 1);
    }
    taken(true, "\"top_pp\":1,\"to\":1,\"_\":1,\"\":1", 4);
    refused(true, "\"prompt_embeds\":\"AA\"", "prompt_embeds");
    refused(true, "\"logit_bias_exp\":[{}]", "logit_bias_exp");
}

/* Fields under other names. */
static void test_aliases(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    static const char *const lengths[] = {
        "max_tokens",        "max_completion_tokens", "n_predict",         "max_new_tokens", "num_predict",
        "max_output_tokens", "max_tokens_to_sample",  "tokens_to_generate"};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        static const struct {
            const char *value;
            size_t max;
        } rows[] = {{"7", 7},
                    {"-1", 0},
                    {"2147483648", INT32_MAX},
                    {"9007199254740991", INT32_MAX},
                    {"9007199254740992", INT32_MAX},
                    {"9007199254740992.0", INT32_MAX},
                    {"1e9", 1000000000}};
        char fields[100];
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            snprintf(fields, sizeof fields, "\"%s\":%s", lengths[i], rows[k].value);
            if (ask(&a, true, fields, &p)) fail_msg("%s: %s", fields, p.message);
            assert_int_equal(a.max_tokens, rows[k].max);
            assert_int_equal(json_array_size(a.warnings), 0);
            vbs_ask_close(&a);
        }
        static const char *const wrong[] = {"0", "\"5\"", "-2", "1.5"};
        for (size_t k = 0; k < 4; k++) {
            snprintf(fields, sizeof fields, "\"%s\":%s", lengths[i], wrong[k]);
            refused(false, fields, lengths[i]);
        }
    }
    static const char *const gammas[] = {"gamma",     "num_draft_tokens",       "n_draft",
                                         "draft_max", "num_speculative_tokens", "speculative.n_max"};
    for (size_t i = 0; i < sizeof gammas / sizeof gammas[0]; i++) {
        char fields[100];
        snprintf(fields, sizeof fields, "\"%s\":2", gammas[i]);
        if (ask(&a, true, fields, &p)) fail_msg("%s: %s", fields, p.message);
        assert_int_equal(a.gamma, 2);
        vbs_ask_close(&a);
        snprintf(fields, sizeof fields, "\"%s\":33", gammas[i]);
        refused(false, fields, gammas[i]);
    }
    /* The draft model, by each of its names. */
    taken(true, "\"draft_model\":\"models/small.q4.gguf\"", 0);
    taken(true, "\"draft_model\":\"small.q4.gguf\"", 0);
    taken(false, "\"draft_model\":\"small.q4\"", 0);
    taken(false, "\"draft_model\":null", 0);
    refused(true, "\"draft_model\":\"small\"", "draft_model");
    refused(true, "\"draft_model\":\"large.gguf\"", "draft_model");
    refused(true, "\"draft_model\":1", "draft_model");
    static const char *const stops[] = {"stop", "stop_sequences", "stopping_strings", "stop_sequence"};
    for (size_t i = 0; i < 4; i++) {
        char fields[100];
        snprintf(fields, sizeof fields, "\"%s\":[\"ab\",\"c\"]", stops[i]);
        if (ask(&a, false, fields, &p)) fail_msg("%s: %s", fields, p.message);
        assert_int_equal(a.n_stops, 2);
        assert_string_equal(a.stops[0].text, "ab");
        vbs_ask_close(&a);
        snprintf(fields, sizeof fields, "\"%s\":[\"\"]", stops[i]);
        refused(true, fields, stops[i]);
    }
    assert_int_equal(ask(&a, true,
                         "\"rep_pen\":1.5,\"repeat_penalty\":1.5,\"repetition_penalty\":1.5,\"temp\":0.5,"
                         "\"ban_eos_token\":true,\"n_cmpl\":2,\"sampler_seed\":9",
                         &p),
                     0);
    assert_true(a.sampling.repeat_penalty > 1.4 && a.sampling.temperature < 0.6 && a.ignore_eos && a.n == 2 &&
                a.sampling.seed == 9);
    assert_int_equal(json_array_size(a.warnings), 0);
    vbs_ask_close(&a);
    taken(true, "\"stop\":[\"a\"],\"stopping_strings\":[\"a\"],\"max_tokens\":5,\"max_new_tokens\":5.0", 0);
    taken(true, "\"max_tokens\":null,\"n_predict\":5", 0);
    refused(true, "\"max_tokens\":5,\"n_predict\":6", "n_predict");
    refused(true, "\"stop\":[\"a\"],\"stopping_strings\":[\"b\"]", "stopping_strings");
}

/* The samplers that are off by default, under the names that clients use. */
static void test_sampling_fields(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    static const char fields[] =
        "\"typ_p\":0.5,\"nsigma\":1.5,\"xtc_probability\":0.25,"
        "\"xtc_threshold\":0.2,\"dynatemp_range\":0.5,\"dynatemp_exponent\":2,"
        "\"dry_multiplier\":0.8,\"dry_base\":1.5,\"dry_allowed_length\":3,\"dry_range\":99,"
        "\"dry_sequence_breakers\":\"[\\\"a\\\"]\"";
    if (ask(&a, false, fields, &p)) fail_msg("%s", p.message);
    const vb_sampling *s = &a.sampling;
    assert_true(s->typical_p == 0.5 && s->top_n_sigma == 1.5 && s->xtc_probability == 0.25);
    assert_true(s->xtc_threshold == 0.2 && s->dynatemp_range == 0.5 && s->dynatemp_exponent == 2);
    assert_true(s->dry_multiplier == 0.8 && s->dry_base == 1.5);
    assert_true(s->dry_allowed_length == 3 && s->dry_last_n == 99);
    vbs_ask_close(&a);
}

/* An order of steps is taken where it gives the law that this server's order gives. */
static void test_samplers(void **state) {
    (void)state;
    static const char *const same[] = {
        "\"samplers\":[]",
        "\"samplers\":[\"penalties\",\"dry\",\"temperature\",\"top_n_sigma\",\"top_k\",\"typ_p\",\"top_p\","
        "\"min_p\",\"xtc\"]",
        "\"samplers\":[\"top_k\",\"temperature\",\"top_p\",\"min_p\"]", /* top_k and temperature commute */
        "\"samplers\":\"etkpm\"",
        "\"samplers\":\"edtskypmx\",\"dry_multiplier\":1,\"top_n_sigma\":1,\"typical_p\":0.9,\"xtc_"
        "probability\":0.5",
        "\"samplers\":\"stkpm\",\"top_n_sigma\":1", /* the temperature scales deviations, too */
        "\"samplers\":[\"top_k\",\"top_p\",\"min_p\",\"temperature\"],\"temperature\":1",
        "\"samplers\":[\"top_k\",\"top_p\",\"min_p\",\"temperature\"],\"temperature\":0",
        "\"samplers\":[\"top_k\",\"temperature\"],\"top_p\":1,\"min_p\":0",
        "\"samplers\":\"mkt\",\"top_p\":1,\"temperature\":1",
        "\"sampler_priority\":[\"repetition_penalty\",\"presence_penalty\",\"frequency_penalty\",\"dry\","
        "\"temperature\","
        "\"dynamic_temperature\",\"quadratic_sampling\",\"top_k\",\"top_p\",\"typical_p\",\"epsilon_cutoff\","
        "\"eta_cutoff\",\"tfs\","
        "\"top_a\",\"min_p\",\"mirostat\",\"xtc\",\"encoder_repetition_penalty\",\"no_repeat_ngram\"]",
    };
    static const char *const other[] = {
        "\"samplers\":[\"top_k\",\"top_p\",\"min_p\",\"temperature\"]", /* the cuts before the temperature */
        "\"samplers\":[\"temperature\",\"top_k\",\"min_p\",\"top_p\"]",
        "\"samplers\":[\"temperature\",\"top_k\",\"top_p\"]", /* min_p is on, and would be left out */
        "\"samplers\":[\"top_k\"],\"temperature\":0",
        "\"samplers\":\"tpmk\"",
        "\"samplers\":\"tkpm\",\"xtc_probability\":0.5", /* on, and would be left out */
        "\"samplers\":\"ktpm\",\"dynatemp_range\":0.5",  /* the entropy of what top_k left */
        "\"samplers\":\"tkspm\",\"top_n_sigma\":1",
        "\"samplers\":\"tkpym\",\"typical_p\":0.5",
        "\"samplers\":\"tkpme\",\"presence_penalty\":1",
        "\"samplers\":[\"infill\",\"temperature\",\"top_k\",\"top_p\",\"min_p\"]",
        "\"samplers\":[\"temperature\",\"top_k\",\"top_p\",\"top_p\",\"min_p\"]",
        "\"samplers\":[\"temperature\",\"temp\",\"top_k\",\"top_p\",\"min_p\"]",
        "\"samplers\":\"eetkpm\",\"presence_penalty\":1",
        "\"samplers\":[1]",
        "\"samplers\":7",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) taken(true, same[i], 0);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) refused(true, other[i], "samplers");
}

/* -------------------------------------------------------------------------------------------- messages */

static int converse(const char *messages, vbs_ask *a, vbs_problem *p) {
    char body[1024];
    vbs_terms t = terms();
    snprintf(body, sizeof body, "{\"messages\":[%s]}", messages);
    return vbs_ask_read(a, true, body, strlen(body), &t, p);
}

static void test_inner(void **state) {
    (void)state;
    static const struct {
        const char *field;
        int warnings; /* -1: refused */
    } rows[] = {
        {"\"images\":[\"AAAA\"]", -1},
        {"\"images\":[]", 0},
        {"\"images\":null", 0},
        {"\"audio\":{\"id\":\"x\"}", -1},
        {"\"audio\":null", 0},
        {"\"video\":\"x\"", -1},
        {"\"image_url\":\"x\"", -1},
        {"\"documents\":[\"x\"]", -1},
        {"\"toolCalls\":[{}]", -1},
        {"\"reasoningContent\":\"hm\"", -1},
        {"\"Name\":\"x\"", -1},
        {"\"prefix\":true", -1}, /* not the last one */
        {"\"prefix\":false", 0},
        {"\"partial\":true", -1},
        {"\"partial\":false", 0},
        {"\"reasoning_content\":\"hm\"", 0},
        {"\"reasoning\":\"hm\"", 0},
        {"\"reasoning\":{\"a\":1}", -1},
        {"\"reasoning_content\":\"\"", 0},
        {"\"reasoning_content\":null", 0},
        {"\"thinking\":\"hm\"", -1},
        {"\"refusal\":null", 0},
        {"\"refusal\":\"no\"", -1},
        {"\"annotations\":[]", 0},
        {"\"annotations\":[{\"type\":\"url_citation\"}]", 0},
        {"\"tool_calls\":[]", 0},
        {"\"tool_calls\":null,\"function_call\":null", 0},
        {"\"function_call\":{}", 0},
        {"\"function_call\":{\"name\":\"f\"}", -1},
        {"\"tool_calls\":[{\"id\":\"1\"}]", -1},
        {"\"tool_calls\":{\"id\":\"1\"}", -1},
        {"\"tool_call_id\":1", -1},
        {"\"weight\":0", 0},
        {"\"cache_control\":{\"type\":\"ephemeral\"}", 0},
        {"\"name\":\"bob\"", 0},
        {"\"name\":3", -1},
        {"\"frobnicate\":1", 1},
        {"\"frobnicate\":null", 0},
    };
    static const char *const part[] = {
        "{\"type\":\"text\",\"text\":\"a\"%s}",
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}%s}",
    };
    vbs_ask a;
    vbs_problem p;
    char text[500];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text,
                 "{\"role\":\"assistant\",\"content\":\"a\",%s},{\"role\":\"user\",\"content\":\"b\"}",
                 rows[i].field);
        const int rc = converse(text, &a, &p);
        if ((rc != 0) != (rows[i].warnings < 0))
            fail_msg("%s: %d %s", rows[i].field, rc, rc ? p.message : "");
        if (rc)
            assert_non_null(strstr(p.message, "messages[0]"));
        else if (json_array_size(a.warnings) != (size_t)rows[i].warnings)
            fail_msg("%s: %zu warnings", rows[i].field, json_array_size(a.warnings));
        vbs_ask_close(&a);
    }
    static const struct {
        int part;
        const char *more;
        bool good;
    } parts[] = {{0, "", true},
                 {0, ",\"cache_control\":{\"type\":\"ephemeral\"}", true},
                 {0, ",\"image_url\":null", true},
                 {0, ",\"image_url\":{\"url\":\"x\"}", false},
                 {1, "", false}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char one[200];
        snprintf(one, sizeof one, part[0], parts[i].more);
        if (parts[i].part) snprintf(one, sizeof one, part[1], parts[i].more);
        snprintf(text, sizeof text, "{\"role\":\"user\",\"content\":[%s]}", one);
        const int rc = converse(text, &a, &p);
        if ((rc == 0) != parts[i].good) fail_msg("%s", text);
        if (rc) assert_non_null(strstr(p.message, "messages[0].content[0]"));
        vbs_ask_close(&a);
    }
}

static void test_last_message(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    static const char *const begun[] = {
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"There was\"}",
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\"}",
        "{\"role\":\"assistant\",\"content\":null}",
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(converse(begun[i], &a, &p), -1);
        assert_int_equal(p.status, 400);
        assert_non_null(strstr(p.message, "continue_final_message"));
        vbs_ask_close(&a);
    }
    /* The same field in many messages is one warning. */
    assert_int_equal(converse("{\"role\":\"user\",\"mood\":\"a\",\"content\":\"x\"},{\"role\":\"user\","
                              "\"mood\":\"b\",\"content\":\"y\"}",
                              &a, &p),
                     0);
    assert_int_equal(json_array_size(a.warnings), 1);
    vbs_ask_close(&a);
    assert_int_equal(converse("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What "
                              "is\"},{\"type\":\"text\",\"text\":\"the best "
                              "book\"},{\"type\":\"text\",\"text\":\"\"}]}",
                              &a, &p),
                     0);
    assert_non_null(strstr(a.variables, "\"What is\\nthe best book\\n\""));
    vbs_ask_close(&a);
}

/* ------------------------------------------------------------------------------------------------ JSON */

static void test_json_errors(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } rows[] = {
        {"{\"prompt\":\"a\\u0000b\"}", "\\u0000 (NUL)"},
        {"{\"a\\u0000b\":1}", "NUL"},
        {"{\"prompt\":\"\xFF\"}", "not UTF-8"},
        {"{\"prompt\":\"x\"", "ends in the middle"},
        {"{\"prompt\":\"x\"}}", "follows after"},
        {"{\"prompt\":\"x\",\"seed\":18446744073709551615}", "a seed is at most 2^63 - 1"},
        {"{\"prompt\":\"x\", \"seed\" : 9223372036854775808 }", "a seed is at most 2^63 - 1"},
        {"{\"prompt\":\"x\",\"max_tokens\":1e400}", "max_tokens: the number is too large"},
        {"{\"prompt\":[99999999999999999999]}", "too large"},
        {"{\"n\":1,\"n\":2}", "duplicate"},
        {"\xEF\xBB\xBF\xEF\xBB\xBF{}", "line 1"},
        {"\xEF\xBB", "not the JSON"},
        {"", "the body is empty"},
        {"\xEF\xBB\xBF", "the body is empty"},
        {"\xFF\xFE{", "not UTF-8"},
    };
    vbs_terms t = terms();
    vbs_ask a;
    vbs_problem p;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(vbs_ask_read(&a, false, rows[i].body, strlen(rows[i].body), &t, &p), -1);
        if (p.status != 400 || !strstr(p.message, rows[i].words) || strstr(p.message, "JSON_"))
            fail_msg("%s: %s", rows[i].body, p.message);
        vbs_ask_close(&a);
    }
    static const char *const good[] = {"\xEF\xBB\xBF{\"prompt\":\"x\"}",
                                       "{\"prompt\":\"x\",\"seed\":9223372036854775807}",
                                       "{\"prompt\":\"x\",\"seed\":-1}"};
    for (size_t i = 0; i < 3; i++) {
        if (vbs_ask_read(&a, false, good[i], strlen(good[i]), &t, &p)) fail_msg("%s: %s", good[i], p.message);
        vbs_ask_close(&a);
    }
}

/* A body of so many values in a list that is ignored. */
static void many(const char *value, size_t n, const char *words) {
    const size_t len = strlen(value);
    char *body = malloc(n * (len + 1) + 64), *at = body;
    vbs_terms t = terms();
    vbs_ask a;
    vbs_problem p;
    assert_non_null(body);
    at += sprintf(at, "{\"prompt\":\"x\",\"x\":[");
    for (size_t i = 0; i < n; i++) at += sprintf(at, "%s%s", i ? "," : "", value);
    at += sprintf(at, "]}");
    const int rc = vbs_ask_read(&a, false, body, (size_t)(at - body), &t, &p);
    if ((rc != 0) != (words != NULL)) fail_msg("%zu times %s: %s", n, value, rc ? p.message : "taken");
    if (rc) {
        assert_int_equal(p.status, 413);
        assert_non_null(strstr(p.message, words));
    } else {
        assert_null(json_object_get(a.root, "x")); /* its memory is free again */
    }
    vbs_ask_close(&a);
    free(body);
}

static void test_many_values(void **state) {
    (void)state;
    many("{}", VBS_MAX_CONTAINERS - 2, NULL);
    many("{}", VBS_MAX_CONTAINERS, "65536");
    many("[]", VBS_MAX_CONTAINERS, "65536");
    many("1", VBS_MAX_VALUES, "1048576");
    many("\"{},,[]\"", 1000, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neutral),         cmocka_unit_test(test_acting),
        cmocka_unit_test(test_unknown),         cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_aliases),         cmocka_unit_test(test_samplers),
        cmocka_unit_test(test_sampling_fields), cmocka_unit_test(test_inner),
        cmocka_unit_test(test_last_message),    cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
