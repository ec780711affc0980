/* options.c - every option of every command, once. Parsing, range checks and --help come from this table. */
#include "cli/options.h"

#include "include/verbatim.h"

#include <string.h>

#define AT(field) offsetof(cli_options, field)
#define TALK      (CMD_RUN | CMD_CHAT)
#define GENERATE  (TALK | CMD_PROVE)
#define SHAPED    (GENERATE | CMD_TRACE_CHECK)
#define COMPUTE   (CMD_RUN | CMD_CHAT | CMD_LOGITS | CMD_PROVE | CMD_BENCH)
#define SPEED     (COMPUTE | CMD_DOCTOR)
#define MODEL     (COMPUTE | CMD_TOKENIZE | CMD_RENDER | CMD_DOCTOR | CMD_INSPECT | CMD_RECORD | CMD_SERVE)
#define MAX_CTX   16777216.0
#define BIG       1e9
#define KV_TYPES  "f16|f32|bf16|q8_0|q4_0"
#define KEY_TYPES KV_TYPES "|q8i"

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): strings are joined to strings, which parentheses would forbid */
#define OF_TARGET(name) "--" name
#define OF_DRAFT(name)  "--" name "-draft|--draft-" name
#define ROPE_OPTIONS(of, whose, commands, field)                                                             \
    {of("rope-scaling"), "KIND",                                                                             \
     "how positions of " whose " are encoded, instead of as the file says: none, linear or yarn. This and "  \
     "what follows gives other logits (docs/numerics.md)",                                                   \
     commands, CLI_CHOICE, AT(field.scaling), 0, 0, "none|linear|yarn"},                                     \
    {of("rope-scale"), "F", "for contexts F times as long as in training", commands, CLI_REAL,               \
     AT(field.scale), 1e-6, 1e6, NULL},                                                                      \
    {of("rope-freq-scale"), "X", "the same, as 1/F", commands, CLI_REAL, AT(field.freq_scale), 1e-6, 1e6,    \
     NULL},                                                                                                  \
    {of("rope-freq-base"), "B", "the base of the frequencies", commands, CLI_REAL, AT(field.base), 1, 1e12,  \
     NULL},                                                                                                  \
    {of("yarn-orig-ctx"), "N", "YaRN: the context that the model was trained with at first", commands,       \
     CLI_INT, AT(field.from), 1, MAX_CTX, NULL},                                                             \
    {of("yarn-ext-factor"), "E", "YaRN: 1 as published, 0 divides every frequency", commands, CLI_REAL,      \
     AT(field.ext), 0, 1, NULL},                                                                             \
    {of("yarn-attn-factor"), "X", "YaRN: times what the file says of lengths", commands, CLI_REAL,           \
     AT(field.attn), 1e-3, 1e3, NULL},                                                                       \
    {of("yarn-beta-fast"), "X", "YaRN: pairs that turn more often stay. Default: the file's, or 32",         \
     commands, CLI_REAL, AT(field.beta_fast), 1e-3, 1e6, NULL},                                              \
    {of("yarn-beta-slow"), "X", "YaRN: pairs that turn less often are divided. Default: the file's, or 1",   \
     commands, CLI_REAL, AT(field.beta_slow), 1e-3, 1e6, NULL}
/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

const cli_option CLI_OPTIONS[] = {
    {"-m|--model", "FILE", "the target model, a GGUF file (of a split model: the first part)",
     MODEL | CMD_GRAMMAR, CLI_STRING, AT(model), 0, 0, NULL},
    {"-m|--model", "FILE", "the model whose vocabulary the grammar was for", CMD_TRACE_CHECK, CLI_STRING,
     AT(model), 0, 0, NULL},
    {"-md|--draft-model|--model-draft", "FILE",
     "a smaller model that drafts for the target: of the same vocabulary, or with --draft-text of any",
     GENERATE | CMD_DOCTOR | CMD_RECORD | CMD_BENCH | CMD_SERVE, CLI_STRING, AT(draft_model), 0, 0, NULL},
    {"--draft|--drafter", "KIND",
     "who drafts: none, self (the target itself), ngram (prompt lookup), suffix (what followed the longest "
     "repeat, in the text or in --ngram-corpus), model (with -md) or forced (only what a grammar says must "
     "follow, which the others draft as well); default: model if -md is given, else none, under a grammar "
     "forced",
     GENERATE | CMD_BENCH, CLI_CHOICE, AT(draft), 0, 0, "none|self|ngram|suffix|model|forced"},
    {"--draft-suffix", "N",
     "copy what followed the text's last tokens where they occurred before: matches of N tokens and more. "
     "With -md "
     "or --draft self the model drafts where the match is shorter (default 0: always); with --draft suffix "
     "default 2",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_INT, AT(draft_suffix), 0, 1024, NULL},
    {"--draft-text", NULL,
     "the draft model (-md) may have another vocabulary: it reads and writes text, and what it writes is "
     "proposed in "
     "the target's ids. Where the vocabularies are one this changes nothing",
     GENERATE | CMD_DOCTOR | CMD_BENCH | CMD_SERVE, CLI_FLAG, AT(draft_text), 0, 0, NULL},
    {"--draft-vocab", "N",
     "the draft model (-md) proposes N ids only, and multiplies their rows of its output matrix alone: the "
     "ids "
     "most frequent in --draft-vocab-from, then the lowest; 0: all (default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_INT, AT(draft_vocab), 0, BIG, NULL},
    {"--draft-vocab-from", "FILE", "a text whose ids are counted for --draft-vocab; may be repeated",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_LIST, AT(draft_vocab_from), 0, 0, NULL},
    {"--ngram-corpus", "FILE",
     "also copy from this text (--draft suffix, or --draft-suffix N before a model); may be repeated. About "
     "100 bytes of memory a token",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_LIST, AT(corpus), 0, 0, NULL},
    {"--pre", "NAME",
     "the pre-tokenizer of target and draft, where tokenizer.ggml.pre is absent, \"default\", not known or "
     "wrong: "
     "llama-bpe, qwen2, ... (docs/tokenizers.md)",
     (MODEL & ~CMD_INSPECT) | CMD_GRAMMAR, CLI_STRING, AT(pre), 0, 0, NULL},
    {"-p|--prompt", "TEXT", "the text to continue", CMD_RUN | CMD_PROVE | CMD_RECORD | CMD_BENCH, CLI_STRING,
     AT(prompt), 0, 0, NULL},
    {"-f|--file", "FILE", "read the text to continue from a file, byte for byte; - is standard input",
     CMD_RUN | CMD_BENCH, CLI_STRING, AT(file), 0, 0, NULL},
    {"-p|--prefix|--text", "TEXT", "the text to test, and to go on from", CMD_GRAMMAR, CLI_STRING, AT(prompt),
     0, 0, NULL},
    {"-f|--file", "FILE", "the same from a file, byte for byte; - is standard input", CMD_GRAMMAR, CLI_STRING,
     AT(file), 0, 0, NULL},
    {"--kind", "KIND",
     "what FILE is: gbnf, regex, json-schema or json-object. Default: .json a schema, .regex a regular "
     "expression, else gbnf",
     CMD_GRAMMAR, CLI_CHOICE, AT(kind), 0, 0, "gbnf|regex|json-schema|json-object"},
    {"--system|--system-prompt", "TEXT", "the system message of the conversation", CMD_CHAT, CLI_STRING,
     AT(system), 0, 0, NULL},
    {"--chat-template", "NAME|FILE",
     "a chat template instead of the model's own: one of ours by its name (chatml, llama3, ...: "
     "docs/chat.md), or a file",
     CMD_CHAT | CMD_SERVE, CLI_STRING, AT(chat_template), 0, 0, NULL},
    {"--template|--chat-template", "NAME|FILE",
     "the template: one of ours by its name (chatml, llama3, ...: docs/chat.md), or a file; default: the "
     "model's own",
     CMD_RENDER, CLI_STRING, AT(chat_template), 0, 0, NULL},
    {"--date", "DATE",
     "what a template is told that asks for the time: YYYY-MM-DD or \"YYYY-MM-DD HH:MM:SS\". Default: the "
     "request's "
     "date, else now",
     CMD_RENDER | CMD_SERVE | CMD_CHAT, CLI_STRING, AT(date), 0, 0, NULL},
    {"-n|--n-predict|--predict|--max-tokens", "N",
     "tokens to generate at most; -1: until the context is full. Default: run 128, chat -1, record 12",
     TALK | CMD_RECORD | CMD_BENCH, CLI_INT, AT(n_predict), -1, BIG, NULL},
    {"--gamma|--num-draft-tokens|--n-draft|--draft-max|--draft-n", "K",
     "tokens drafted per step, 1 to 32, or auto: each step's length is chosen by what passes cost here and "
     "what came of the drafts so far (docs/speculation.md). Default 5; with --draft suffix 16",
     TALK, CLI_INT, AT(gamma), 1, 32, "auto"},
    {"--gamma|--num-draft-tokens|--n-draft|--draft-max|--draft-n", "K",
     "tokens drafted per step where a request does not say, 0 to 32 or auto, instead of what --preset means",
     CMD_SERVE, CLI_INT, AT(gamma), 0, 32, "auto"},
    {"--tree", "SHAPE",
     "the draft model proposes trees of guesses instead of chains of --gamma: 3,2,1 is three tokens, two "
     "after each of these, one after each of those; at most 32 in all; auto: each step is a chain or a tree, "
     "as "
     "--gamma auto chooses lengths. Not with --accept block",
     GENERATE, CLI_STRING, AT(tree), 0, 0, NULL},
    {"--tree", "SHAPE",
     "where a request says neither preset, gamma nor tree, the draft model proposes trees of guesses instead "
     "of "
     "chains: 3,2,1 is three tokens, two after each of these, one after each of those; at most 32 in all; "
     "auto: "
     "a chain or a tree, as --preset auto chooses lengths",
     CMD_SERVE, CLI_STRING, AT(tree), 0, 0, NULL},
    {"--accept", "RULE",
     "coupled: with a seed, token for token what the target alone gives (default); greedy: the same at "
     "temperature 0; "
     "rejection, block: exactly the target's distribution",
     CMD_DOCTOR | TALK | CMD_BENCH | CMD_SERVE, CLI_CHOICE, AT(accept), 0, 0,
     "coupled|greedy|rejection|block"},
    {"--accept", "RULE",
     "the rule that is judged: coupled (default), greedy, rejection, block, or one of the wrong rules below",
     CMD_PROVE, CLI_STRING, AT(accept), 0, 0, NULL},
    {"--gamma|--num-draft-tokens", "K",
     "tokens drafted per step, 1 to 32 or auto. Default 2, so that --tokens 3 sees whole steps", CMD_PROVE,
     CLI_INT, AT(gamma), 1, 32, "auto"},
    {"--samples", "N|FILE",
     "completions to sample, default 20000; or a file of completions that another program "
     "sampled, one a line",
     CMD_PROVE, CLI_STRING, AT(samples), 0, 0, NULL},
    {"--samples-as", "FORM",
     "what a line of that file is: ids (default), token ids; text, as it is; json, a string or "
     "{\"text\":...,\"finish_reason\":\"stop\"}. Of texts the law of their bytes is compared",
     CMD_PROVE, CLI_CHOICE, AT(samples_as), 0, 0, "ids|text|json"},
    {"--bytes", "B", "of texts: so many bytes are compared, 1 to 16. Default 12", CMD_PROVE, CLI_INT,
     AT(bytes), 1, 16, NULL},
    {"--endpoint", "URL",
     "judge a server instead: the URL of its OpenAI-compatible API, such as http://127.0.0.1:8000/v1. "
     "Defaults "
     "are then temperature 1 and no truncation",
     CMD_PROVE, CLI_STRING, AT(endpoint), 0, 0, NULL},
    {"--model-name", "NAME", "what the endpoint calls the model. Default: the only one that it lists",
     CMD_PROVE, CLI_STRING, AT(model_name), 0, 0, NULL},
    {"--connections", "N", "requests under way at once at the endpoint. Default 4", CMD_PROVE, CLI_INT,
     AT(connections), 1, 256, NULL},
    {"--timeout", "S", "seconds for one request to the endpoint. Default 120", CMD_PROVE, CLI_REAL,
     AT(timeout), 0.01, 1e5, NULL},
    {"--request", "JSON",
     "members put into every request to the endpoint; null takes one out, as in '{\"top_k\":null}'",
     CMD_PROVE, CLI_STRING, AT(request), 0, 0, NULL},
    {"--request-alone", "JSON",
     "members that switch the endpoint's speculation off: the path with and without must be the same (P2)",
     CMD_PROVE, CLI_STRING, AT(request_alone), 0, 0, NULL},
    {"--prompt-as", "FORM", "how the prompt is sent to the endpoint: ids (default) or text", CMD_PROVE,
     CLI_CHOICE, AT(prompt_as), 0, 0, "ids|text"},
    {"--logprob-tolerance", "X",
     "largest difference, in nats, of a log-probability that the endpoint reports; 0: bit for bit. Default "
     "0.25",
     CMD_PROVE, CLI_REAL, AT(logprob_tolerance), 0, 1e3, NULL},
    {"--repeats", "N", "completions made twice with the same seed, which must be equal. Default 200",
     CMD_PROVE, CLI_INT, AT(repeats), 0, 1e9, NULL},
    {"--tokens", "K", "the joint law of so many tokens is compared, 1 to 8. Default 3", CMD_PROVE, CLI_INT,
     AT(depth), 1, 8, NULL},
    {"--cells", "N", "likeliest prefixes counted one by one at each depth, the rest together. Default 64",
     CMD_PROVE, CLI_INT, AT(cells), 1, 1e6, NULL},
    {"-s|--seed", "S", "the first seed; completion i has seed S + i. Default 1", CMD_PROVE, CLI_INT, AT(seed),
     0, 1e18, NULL},
    {"--temp|--temperature", "T", "0 is greedy. Default 0.8", GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE,
     CLI_REAL, AT(sampling.temperature), 0, 1e6, NULL},
    {"--top-k", "K", "keep the K likeliest tokens; 0: off. Default 40",
     GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE, CLI_SHORT, AT(sampling.top_k), 0, BIG, NULL},
    {"--top-p", "P", "keep the likeliest tokens that make up P; 1: off. Default 0.95",
     GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE, CLI_REAL, AT(sampling.top_p), CLI_ABOVE_0, 1, NULL},
    {"--min-p", "P", "drop tokens less likely than P times the likeliest; 0: off. Default 0.05",
     GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE, CLI_REAL, AT(sampling.min_p), 0, 1, NULL},
    {"--typical|--typical-p", "P",
     "keep the tokens whose surprise is nearest to the expected one and that make up P; 0 or 1: off "
     "(default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.typical_p), 0, 1, NULL},
    {"--top-nsigma|--top-n-sigma", "N",
     "keep tokens whose logit is at most N standard deviations below the largest; 0 or -1: off (default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.top_n_sigma), -1, 1000, NULL},
    {"--xtc-probability", "P",
     "with this probability leave out all but the least likely of the tokens above --xtc-threshold; 0: off "
     "(default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.xtc_probability), 0, 1, NULL},
    {"--xtc-threshold", "P", "default 0.1; above 0.5 nothing is ever left out",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.xtc_threshold), 0, 1, NULL},
    {"--dynatemp-range", "R",
     "the temperature follows the entropy, from --temp minus R to --temp plus R; 0: off (default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.dynatemp_range), 0, 1e6, NULL},
    {"--dynatemp-exp", "X", "its exponent. Default 1", GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL,
     AT(sampling.dynatemp_exponent), CLI_ABOVE_0, 100, NULL},
    {"--dry-multiplier", "M",
     "penalty for a token that would go on a repeat: M times --dry-base to the power of the repeat's length "
     "beyond --dry-allowed-length; 0: off (default)",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.dry_multiplier), 0, 1e6, NULL},
    {"--dry-base", "B", "default 1.75", GENERATE | CMD_BENCH | CMD_SERVE, CLI_REAL, AT(sampling.dry_base), 1,
     1000, NULL},
    {"--dry-allowed-length", "N", "shorter repeats are not penalised. Default 2",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_SHORT, AT(sampling.dry_allowed_length), 1, BIG, NULL},
    {"--dry-penalty-last-n", "N", "tokens that DRY looks back at; -1 (default): all, 0: off",
     GENERATE | CMD_BENCH | CMD_SERVE, CLI_SHORT, AT(sampling.dry_last_n), -1, BIG, NULL},
    {"--dry-sequence-breaker", "TEXT",
     "no repeat goes across a token with this text; may be repeated; none: there are no breakers. Default: a "
     "line "
     "break, \":\", \"\\\"\" and \"*\"",
     GENERATE | CMD_BENCH, CLI_LIST, AT(dry_breakers), 0, 0, NULL},
    {"--repeat-penalty|--repetition-penalty", "X",
     "divides positive logits of tokens seen lately; 1: off (default)", GENERATE | CMD_SERVE, CLI_REAL,
     AT(sampling.repeat_penalty), 0.001, 1000, NULL},
    {"--presence-penalty", "X", "taken once off the logit of every token seen lately; 0: off (default)",
     GENERATE | CMD_SERVE, CLI_REAL, AT(sampling.presence_penalty), -1e6, 1e6, NULL},
    {"--frequency-penalty", "X", "taken off as often as the token was seen lately; 0: off (default)",
     GENERATE | CMD_SERVE, CLI_REAL, AT(sampling.frequency_penalty), -1e6, 1e6, NULL},
    {"--repeat-last-n", "N", "tokens that the penalties look back at; -1: all. Default 64",
     GENERATE | CMD_SERVE, CLI_SHORT, AT(sampling.penalty_last_n), -1, BIG, NULL},
    {"--logit-bias", "ID=B", "add B to the logit of token ID (-inf bans it); may be repeated", GENERATE,
     CLI_LIST, AT(logit_bias), 0, 0, NULL},
    {"-s|--seed", "S", "seed of the noise; -1 (default): random, and printed", TALK | CMD_BENCH, CLI_INT,
     AT(seed), -1, 1e19, NULL},
    {"--json-schema|--json-schema-file|-j|-jf", "FILE|JSON",
     "the text is a JSON text that is valid under this schema (docs/grammar.md): a file, or the schema "
     "itself",
     SHAPED, CLI_STRING, AT(json_schema), 0, 0, NULL},
    {"--grammar|--grammar-file", "FILE", "the text is one of this grammar, in GBNF (docs/grammar.md)", SHAPED,
     CLI_STRING, AT(grammar), 0, 0, NULL},
    {"--regex", "R", "the text matches this regular expression, from its beginning to its end", SHAPED,
     CLI_STRING, AT(regex), 0, 0, NULL},
    {"--json-whitespace", "HOW",
     "of a schema's texts: compact (default), a space or an indented line where writers of JSON put them; "
     "any, "
     "all that JSON allows",
     SHAPED, CLI_CHOICE, AT(json_whitespace), 0, 0, "compact|any"},
    {"--ignore-eos", NULL, "do not stop at the model's end-of-text tokens", GENERATE, CLI_FLAG,
     AT(ignore_eos), 0, 0, NULL},
    {"--tokens", "IDS", "token ids separated by commas or spaces, or @FILE", CMD_LOGITS | CMD_RECORD,
     CLI_STRING, AT(tokens), 0, 0, NULL},
    {"-o|--out|--output", "FILE", "where the logits go: float32, little endian, positions x vocabulary",
     CMD_LOGITS, CLI_STRING, AT(out), 0, 0, NULL},
    {"-o|--out|--output", "DIR", "the folder of the vectors", CMD_RECORD, CLI_STRING, AT(out), 0, 0, NULL},
    {"--name", "NAME", "what the files are called; default: the model's file name without .gguf", CMD_RECORD,
     CLI_STRING, AT(name), 0, 0, NULL},
    {"--texts", "FILE", "record the token ids of these texts (a file below DIR, docs/vectors.md)", CMD_RECORD,
     CLI_STRING, AT(texts), 0, 0, NULL},
    {"--manifest", NULL, "write DIR/manifest.jsonl over all files that are there", CMD_RECORD, CLI_FLAG,
     AT(manifest), 0, 0, NULL},
    {"--quick", NULL, "make every file again once only, with the best kernels", CMD_CHECK, CLI_FLAG,
     AT(quick), 0, 0, NULL},
    {"--quick", NULL, "nothing is measured: vocabularies, memory, and what to expect on paper", CMD_DOCTOR,
     CLI_FLAG, AT(quick), 0, 0, NULL},
    {"--drafts", "DIR", "measure every .gguf file of a folder as a draft, and rank them", CMD_DOCTOR,
     CLI_STRING, AT(drafts), 0, 0, NULL},
    {"--prompts", "FILE",
     "the prompts that are measured on, one a line; default: code, prose and a list of our own", CMD_DOCTOR,
     CLI_STRING, AT(prompts), 0, 0, NULL},
    {"-n|--n-predict|--predict|--max-tokens", "N", "tokens generated behind each prompt. Default 48",
     CMD_DOCTOR, CLI_INT, AT(n_predict), 1, BIG, NULL},
    {"--force", NULL, "measure again what is kept", CMD_DOCTOR, CLI_FLAG, AT(force), 0, 0, NULL},
    {"-s|--seed", "S", "seed of the noise; -1 (default): 1", CMD_DOCTOR, CLI_INT, AT(seed), -1, 1e18, NULL},
    {"--tolerance", "T",
     "bitwise (default), f32, f16 or q8: what is let pass to an engine with float32, float16 or 8-bit "
     "activations",
     CMD_COMPARE, CLI_CHOICE, AT(tolerance), 0, 0, "bitwise|f32|f16|q8"},
    {"--oracle", NULL, "compute in float64 with unquantised activations (slow)", CMD_LOGITS, CLI_FLAG,
     AT(oracle), 0, 0, NULL},
    {"--ids", NULL, "print ids separated by spaces (default)", CMD_TOKENIZE, CLI_FLAG, AT(ids), 0, 0, NULL},
    {"--ids", NULL, "print the token ids of the prompt instead of its text (needs -m)", CMD_RENDER, CLI_FLAG,
     AT(ids), 0, 0, NULL},
    {"--pieces", NULL, "print one token a line: id, tab, its text with escapes", CMD_TOKENIZE, CLI_FLAG,
     AT(pieces), 0, 0, NULL},
    {"--no-special|--no-parse-special", NULL, "text that looks like a special token stays text",
     CMD_TOKENIZE | CMD_RUN, CLI_FLAG, AT(no_special), 0, 0, NULL},
    {"--add-bos", NULL, "put the beginning-of-text token in front", CMD_TOKENIZE, CLI_FLAG, AT(add_bos), 0, 0,
     NULL},
    {"-c|--ctx|--ctx-size|--context", "N",
     "positions of the context; 0 (default): what the model was trained with, at most 4096 (inspect: all of "
     "it; serve: at most 16384, within the memory at hand)",
     COMPUTE | CMD_INSPECT | CMD_DOCTOR | CMD_SERVE, CLI_INT, AT(ctx), 0, MAX_CTX, NULL},
    ROPE_OPTIONS(OF_TARGET, "the target", COMPUTE | CMD_INSPECT | CMD_DOCTOR | CMD_SERVE, rope),
    ROPE_OPTIONS(OF_DRAFT, "the draft model", GENERATE | CMD_DOCTOR | CMD_BENCH | CMD_SERVE, draft_rope),
    {"-t|--threads|--n-threads", "N",
     "threads; 0 (default): one per physical core, fewer where a container's share of the CPUs is smaller. "
     "The output does not depend on it",
     SPEED | CMD_QUANTIZE | CMD_SERVE, CLI_INT, AT(threads), 0, VB_MAX_THREADS, NULL},
    {"-b|--batch|--batch-size", "N",
     "most tokens evaluated together; 0 (default): 64. The output does not depend on it", SPEED, CLI_INT,
     AT(batch), 0, VB_MAX_BATCH, NULL},
    {"--activations", "A", "precision of the activations before quantised weights: q8 (default) or q16",
     SPEED | CMD_SERVE, CLI_CHOICE, AT(activations), 0, 0, "q8|q16"},
    {"--kv|--kv-type", "TYPE",
     "precision of keys and values in the cache: f16 (default), f32, bf16, q8_0 or q4_0 (docs/numerics.md)",
     SPEED | CMD_SERVE, CLI_CHOICE, AT(kv), 0, 0, KV_TYPES},
    {"-ctk|--cache-type-k", "TYPE",
     "the same of the keys alone, or q8i: keys as q8_0 that meet a query rounded to 8 bits, for long "
     "contexts",
     SPEED | CMD_SERVE, CLI_CHOICE, AT(cache_k), 0, 0, KEY_TYPES},
    {"-ctv|--cache-type-v", "TYPE", "of the values alone", SPEED | CMD_SERVE, CLI_CHOICE, AT(cache_v), 0, 0,
     KV_TYPES},
    {"-ctkd|--cache-type-k-draft|--spec-draft-type-k", "TYPE",
     "of the keys of what drafts. Default: as the target's", GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE,
     CLI_CHOICE, AT(draft_cache_k), 0, 0, KEY_TYPES},
    {"-ctvd|--cache-type-v-draft|--spec-draft-type-v", "TYPE", "of its values",
     GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE, CLI_CHOICE, AT(draft_cache_v), 0, 0, KV_TYPES},
    {"--kernels", "NAME",
     "auto (default), ref, avx2, avxvnni, avx512, amx, neon. The output does not depend on it",
     SPEED | CMD_SERVE, CLI_STRING, AT(kernels), 0, 0, NULL},
    {"--repack", "WHEN",
     "on: interleave quantised weights in memory once, which costs a second per gigabyte or so at the start; "
     "off: read them as mapped; auto (default): on where the copy fits beside the KV cache, else off. The "
     "output does not depend on it",
     SPEED | CMD_SERVE, CLI_CHOICE, AT(repack), 0, 0, "auto|on|off"},
    {"--offload", "NAME",
     "a backend that computes matrix products elsewhere: a NAME such as openblas, or the path of a library "
     "(docs/offload.md)",
     GENERATE | CMD_BENCH | CMD_LOGITS, CLI_STRING, AT(offload), 0, 0, NULL},
    {"--offload-width", "N",
     "vectors per product under a backend that is not bitwise, so that the output does not depend on drafts; "
     "0: as they "
     "come (no drafts). Default 16",
     GENERATE | CMD_BENCH | CMD_LOGITS, CLI_INT, AT(offload_width), 0, 4096, NULL},
    {"--reps", "N", "repetitions, of which the median counts. Default 5", CMD_BENCH, CLI_INT, AT(reps), 1,
     100, NULL},
    {"--lengths", "LIST", "lengths of prompts. Default 128,512", CMD_BENCH, CLI_STRING, AT(lengths), 0, 0,
     NULL},
    {"--costs", "FILE",
     "what passes cost, for --gamma auto: read from FILE, or measured at the start and written to it where "
     "it "
     "is not there. Without it they are kept under ~/.cache/verbatim (VERBATIM_CACHE: another folder; empty: "
     "nowhere)",
     GENERATE | CMD_BENCH | CMD_DOCTOR | CMD_SERVE, CLI_STRING, AT(costs), 0, 0, NULL},
    {"--gamma-trace", "FILE",
     "the lengths that the steps used: written to FILE, or used again where it is there", CMD_RUN, CLI_STRING,
     AT(gamma_trace), 0, 0, NULL},
    {"--gammas", "LIST",
     "tokens drafted per step, auto among them, tree (--tree auto) and shapes (3x2x1). Default 1,3,5,7",
     CMD_BENCH, CLI_STRING, AT(gammas), 0, 0, NULL},
    {"--bandwidth", "G",
     "read bandwidth of the memory in GB/s, from an earlier run; 0 (default): measured, on 2 GiB if there is "
     "room",
     CMD_BENCH, CLI_REAL, AT(bandwidth), 0, 1e6, NULL},
    {"--at", "LIST",
     "positions that the context holds when single tokens are measured; the first one also for tokens "
     "together. Default 128",
     CMD_BENCH, CLI_STRING, AT(positions), 0, 0, NULL},
    {"--json", NULL, "print one JSON object instead of text",
     CMD_RUN | CMD_GRAMMAR | CMD_INSPECT | CMD_DOCTOR | CMD_TRACE_CHECK | CMD_PROVE | CMD_BENCH |
         CMD_COMPARE | CMD_CHECK,
     CLI_FLAG, AT(json), 0, 0, NULL},
    {"--short", NULL, "the summary only: size, types, memory", CMD_INSPECT, CLI_FLAG, AT(brief), 0, 0, NULL},
    {"--html", "FILE", "also write a report as one HTML file that needs nothing from outside",
     CMD_CHECK | CMD_COMPARE, CLI_STRING, AT(html), 0, 0, NULL},
    {"--junit", "FILE", "also write a report as JUnit XML, for build servers", CMD_CHECK | CMD_COMPARE,
     CLI_STRING, AT(junit), 0, 0, NULL},
    {"--shard", "I/N", "do part I of N, I from 1: for many machines (docs/vectors.md, \"In parts\")",
     CMD_RECORD | CMD_CHECK | CMD_PROVE, CLI_STRING, AT(shard), 0, 0, NULL},
    {"--merge", "FILE...",
     "add up what all parts printed with --json and --shard, and judge the whole; needs no model",
     CMD_CHECK | CMD_PROVE, CLI_LIST, AT(merge), 0, 0, NULL},
    {"--prompts", "FILE",
     "record these prompts: one a line, {\"text\":...} or {\"tokens\":[ids]}; other lines are skipped",
     CMD_RECORD, CLI_STRING, AT(prompts), 0, 0, NULL},
    {"--trace", "FILE", "write every step as one line of JSON (docs/trace.md)", CMD_RUN, CLI_STRING,
     AT(trace), 0, 0, NULL},
    {"--trace-full", NULL,
     "the trace also holds the weights of p and q, so that it can be re-derived without a model", CMD_RUN,
     CLI_FLAG, AT(trace_full), 0, 0, NULL},
    {"--compare", NULL,
     "also run the target alone with the same seed: speed-up, and whether the tokens are identical", CMD_RUN,
     CLI_FLAG, AT(compare), 0, 0, NULL},
    {"-v|--verbose", NULL, "show each step as [DRAFT] [VERIFY] [ACCEPT] [REJECT] lines on standard error",
     TALK, CLI_FLAG, AT(verbose), 0, 0, NULL},
    {"--color|--colour", "WHEN",
     "accepted drafts green, rejected ones struck out in red: auto (default: on a terminal), always, never",
     CMD_RUN, CLI_CHOICE, AT(color), 0, 0, "auto|always|never"},
    {"--color|--colour", "WHEN",
     "always: accepted drafts green, rejected ones struck out in red, as /drafts does; auto (default), "
     "never: plain text",
     CMD_CHAT, CLI_CHOICE, AT(color), 0, 0, "auto|always|never"},
    {"--pure", NULL, "every matrix in TYPE itself: no mixture, the output matrix too", CMD_QUANTIZE, CLI_FLAG,
     AT(pure), 0, 0, NULL},
    {"--force", NULL, "replace OUT if it exists", CMD_QUANTIZE, CLI_FLAG, AT(force), 0, 0, NULL},
    {"--draft|--drafter", "KIND",
     "who drafts: none, ngram (prompt lookup), suffix (what followed the longest repeat, in the request's "
     "text or in --ngram-corpus) or model (with -md); default: model if -md is given, else none",
     CMD_SERVE, CLI_CHOICE, AT(draft), 0, 0, "none|ngram|suffix|model"},
    {"--preset", "NAME",
     "tokens drafted per step where a request does not say: fast (3), balanced (5, default), max (7), auto "
     "(as "
     "many as pay), off. Every "
     "preset is also a model id, NAME:fast and so on",
     CMD_SERVE, CLI_CHOICE, AT(serve.preset), 0, 0, "fast|balanced|max|auto|off"},
    {"-n|--n-predict|--max-tokens", "N",
     "tokens generated where a request does not say; -1: until the context is full. Default: chat -1, "
     "completions 16",
     CMD_SERVE, CLI_INT, AT(n_predict), -1, BIG, NULL},
    {"--host", "HOST", "address to listen on. Default 127.0.0.1: this machine only", CMD_SERVE, CLI_STRING,
     AT(serve.host), 0, 0, NULL},
    {"--port", "N", "port to listen on; 0: any that is free. Default 8000, or 8080 if that is taken",
     CMD_SERVE, CLI_INT, AT(serve.port), 0, 65535, NULL},
    {"--name|--alias", "NAME", "what the model is called; default: its file name without .gguf", CMD_SERVE,
     CLI_STRING, AT(name), 0, 0, NULL},
    {"--slots|--parallel", "N", "requests computed together; each has a context of its own. Default 4",
     CMD_SERVE, CLI_INT, AT(serve.slots), 1, 64, NULL},
    {"--queue", "N", "requests that may wait for a slot; more are refused with 429. Default 32", CMD_SERVE,
     CLI_INT, AT(serve.queue), 1, 10000, NULL},
    {"--system-prompt|--system", "NAME|FILE",
     "system message of conversations that have none: none (default), expert, direct, or a file", CMD_SERVE,
     CLI_STRING, AT(system), 0, 0, NULL},
    {"--ignore-tools", NULL, "take requests with tools, and do not show the tools to the model", CMD_SERVE,
     CLI_FLAG, AT(serve.ignore_tools), 0, 0, NULL},
    {"--continue-final", NULL,
     "go on with a conversation's last message if it is the assistant's, where a request does not say",
     CMD_SERVE, CLI_FLAG, AT(continue_final), 0, 0, NULL},
    {"--continue-final", NULL, "end where the last message's content does, for a model to go on with it",
     CMD_RENDER, CLI_FLAG, AT(continue_final), 0, 0, NULL},
    {"--tools", "FILE",
     "tools that the model may call: a JSON list, each with a `command` that is run after asking "
     "(docs/chat.md)",
     CMD_CHAT, CLI_STRING, AT(tools), 0, 0, NULL},
    {"--strict-calls", NULL,
     "a call of a tool without the marks that the template has around calls stays text; else a JSON object "
     "of a "
     "tool's name and arguments on lines of its own is a call, too",
     CMD_SERVE | CMD_CHAT, CLI_FLAG, AT(strict_calls), 0, 0, NULL},
    {"--parse-content-specials", NULL,
     "special tokens that messages spell become tokens, as in transformers; else they stay text",
     CMD_SERVE | CMD_CHAT | CMD_RENDER, CLI_FLAG, AT(content_specials), 0, 0, NULL},
    {"--api-key", "KEY",
     "ask for this key (better in VERBATIM_API_KEY: a command line can be seen by others)", CMD_SERVE,
     CLI_STRING, AT(serve.api_key), 0, 0, NULL},
    {"--api-key-file", "FILE", "ask for one of the keys in this file, one a line", CMD_SERVE, CLI_STRING,
     AT(serve.api_key_file), 0, 0, NULL},
    {"--allow-host", "NAME", "also answer to this name in the Host header; may be repeated", CMD_SERVE,
     CLI_LIST, AT(serve.allow_host), 0, 0, NULL},
    {"--cors", "ORIGIN",
     "web pages of this origin may ask too ('*': all); may be repeated. Default: pages of this machine and "
     "of "
     "applications on it, with an API key all",
     CMD_SERVE, CLI_LIST, AT(serve.cors), 0, 0, NULL},
    {"--max-body", "MIB", "largest body of a request. Default 8", CMD_SERVE, CLI_REAL, AT(serve.max_body),
     0.001, 1024, NULL},
    {"--max-connections", "N", "connections at once. Default 256", CMD_SERVE, CLI_INT,
     AT(serve.max_connections), 8, 10000, NULL},
    {"--request-timeout", "S",
     "longest time for one answer, which then ends as if by length; 0 (default): no limit", CMD_SERVE,
     CLI_REAL, AT(serve.request_timeout), 0, 1e6, NULL},
    {"--idle-timeout", "S",
     "time for a request to arrive whole, and for a client that takes nothing of its answer. Default 30",
     CMD_SERVE, CLI_REAL, AT(serve.idle_timeout), 1, 86400, NULL},
    {"--keep-alive", "S", "between comments in a stream that has nothing to say. Default 10", CMD_SERVE,
     CLI_REAL, AT(serve.keep_alive), 0.1, 3600, NULL},
    {"--drain", "S", "time that running answers get after SIGINT or SIGTERM. Default 30", CMD_SERVE, CLI_REAL,
     AT(serve.drain), 0, 86400, NULL},
    {"--config", "FILE",
     "options from a JSON file: {\"port\": 9000}; the command line and VERBATIM_* go first", CMD_SERVE,
     CLI_STRING, AT(serve.config), 0, 0, NULL},
    {"-q|--quiet", NULL, "no line per request on standard error", CMD_SERVE, CLI_FLAG, AT(serve.quiet), 0, 0,
     NULL},
    {"-h|--help", NULL, "show this help",
     CMD_RUN | CMD_CHAT | CMD_LOGITS | CMD_TOKENIZE | CMD_RENDER | CMD_GRAMMAR | CMD_INSPECT | CMD_DOCTOR |
         CMD_CPU | CMD_QUANTIZE | CMD_TRACE_CHECK | CMD_PROVE | CMD_RECORD | CMD_CHECK | CMD_COMPARE |
         CMD_BENCH | CMD_SERVE,
     CLI_FLAG, AT(help), 0, 0, NULL},
};
const size_t CLI_N_OPTIONS = sizeof CLI_OPTIONS / sizeof CLI_OPTIONS[0];

/* cli_options.given has a bit for each. */
_Static_assert(sizeof CLI_OPTIONS / sizeof CLI_OPTIONS[0] <= CLI_MAX_OPTIONS,
               "more options than bits in cli_options.given");

void cli_defaults(unsigned command, cli_options *o) {
    memset(o, 0, sizeof *o);
    o->n_predict = command == CMD_CHAT ? -1 : command == CMD_RECORD ? 12 : 128;
    if (command == CMD_BENCH) o->n_predict = 64;
    if (command == CMD_DOCTOR) o->n_predict = 48;
    if (command == CMD_SERVE) o->n_predict = 0; /* as the API has it */
    o->offload_width = 16;
    o->reps = 5;
    o->lengths = "128,512";
    o->gammas = "1,3,5,7";
    o->positions = "128";
    o->gamma = command == CMD_PROVE ? 2 : 5;
    o->depth = 3;
    o->bytes = 12;
    o->samples_as = "ids";
    o->cells = 64;
    o->connections = 4;
    o->timeout = 120;
    o->prompt_as = "ids";
    o->logprob_tolerance = 0.25;
    o->repeats = 200;
    o->serve = (cli_serve_options){.preset = "balanced",
                                   .slots = 4,
                                   .queue = 32,
                                   .max_connections = 256,
                                   .max_body = 8,
                                   .idle_timeout = 30,
                                   .keep_alive = 10,
                                   .drain = 30};
    o->accept = "coupled";
    vb_sampling_defaults(&o->sampling);
    o->rope.ext = o->draft_rope.ext = -1;
    o->seed = command == CMD_PROVE ? 1 : -1;
    o->activations = "q8";
    o->kv = "f16";
    o->kernels = "auto";
    o->repack = "auto";
    o->color = "auto";
    o->tolerance = "bitwise";
    o->json_whitespace = "compact";
}
