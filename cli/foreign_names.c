/* foreign_names.c - what people bring from other programs (llama.cpp's tools, mlx_lm, vLLM, TabbyAPI, LM
 * Studio): options and configuration keys that are none here, and what to use instead or why there is
 * nothing. A guess by spelling ("did you mean --min-p?") would send them the wrong way. Names that mean
 * exactly what an option here means are taken. Keys stand as options do, with dashes. `verbatim help
 * coming-from` prints the table as docs/coming-from.md. */
#include "cli/cli.h"
#include "cli/options.h"

#include <string.h>

typedef struct foreign_name {
    const char *names;  /* NULL: a heading of docs/coming-from.md, the answer is its text */
    unsigned commands;  /* where the answer holds; a name that is an option of the command never comes here */
    const char *answer; /* "=--option": taken, it means the same as that option of ours */
} foreign_name;

#define ANY ((unsigned)-1)

#define CPU_ONLY                                                                                             \
    "not here: everything is computed on the CPU (--offload NAME hands products to a library, "              \
    "docs/offload.md)"
#define PLACING     "not here: threads are placed by the system; -t N says how many, taskset or numactl where"
#define MEMORY      "not here: weights are mapped, or copied once where they fit (--repack auto|on|off)"
#define KV          "use --kv TYPE, or -ctk TYPE and -ctv TYPE: f16, f32, bf16, q8_0 or q4_0"
#define ALPHA       "use --rope-freq-base B: the file's base times ALPHA^(d/(d - 2)), d the values of a head"
#define ADAPTERS    "not here: merge adapters into the model before it is converted to GGUF"
#define TEXT_ONLY   "not here: models read and write text only"
#define NO_DOWNLOAD "not here: nothing is downloaded; fetch the .gguf file and name it with -m FILE"
#define SAMPLER                                                                                              \
    "not here: the law is penalties, DRY, temperature, --top-nsigma, --top-k, --typical, --top-p, --min-p "  \
    "and XTC, in this order"
#define CACHE                                                                                                \
    "not needed: each slot keeps its last conversation, and what a new prompt shares with it is not "        \
    "computed again"
#define ENDPOINTS "not needed: every endpoint is there (docs/server.md)"
#define LOGGING   "not here: messages go to standard error; serve prints a line per request, -q leaves it out"
#define THINKING  "no option here: docs/server.md says what a request may ask for"
#define LOOKUP                                                                                               \
    "use --draft suffix, which finds the longest repeat; --draft-suffix N is the shortest that counts"
#define ONE_MODEL "not here: one server has one target and one draft model (-m FILE, -md FILE)"

static const foreign_name NAMES[] = {
    {NULL, 0, "Where things are computed"},
    {"-ngl|--gpu-layers|--n-gpu-layers|-ngld|--gpu-layers-draft|--n-gpu-layers-draft|--spec-draft-ngl", ANY,
     CPU_ONLY},
    {"-dev|--device|--list-devices|-devd|--device-draft|--spec-draft-device|-sm|--split-mode|-ts|--tensor-"
     "split|-mg|"
     "--main-gpu|-fit|--fit|-fitt|--fit-target|-fitc|--fit-ctx|--rpc|-ot|--override-tensor|-otd|"
     "--override-tensor-draft|--spec-draft-override-tensor|-kvo|--kv-offload|-nkvo|--no-kv-offload|--op-"
     "offload|"
     "--no-op-offload|--no-host|-bs|--backend-sampling|--spec-draft-backend-sampling|"
     "--no-spec-draft-backend-sampling|--moe-cache-mib|-ncffn|--n-cpu-ffn",
     ANY, CPU_ONLY},
    {"--tensor-parallel|--tensor-parallel-backend|--gpu-split|--gpu-split-auto|--autosplit-reserve|--draft-"
     "gpu-split|"
     "--cuda-malloc-async|--tensor-parallel-size|--pipeline-parallel-size|--gpu-memory-utilization|--enforce-"
     "eager|"
     "--offload-kqv|--gpu|--gpuoffload|--pipeline|--backend",
     ANY, CPU_ONLY},
    {"-cmoe|--cpu-moe|-ncmoe|--n-cpu-moe|-cmoed|--cpu-moe-draft|--spec-draft-cpu-moe|-ncmoed|--n-cpu-moe-"
     "draft|"
     "--spec-draft-n-cpu-moe|--spec-draft-ncmoe",
     ANY, "not needed: all weights are on the CPU"},
    {"-fa|--flash-attn|--flash-attention|--flashattention", ANY,
     "not needed: attention has one order of sums here, for any length and any number of threads"},
    {"--numa|-C|--cpu-mask|-Cr|--cpu-range|--cpu-strict|--prio|--poll|-Cb|--cpu-mask-batch|-Crb|--cpu-range-"
     "batch|"
     "--cpu-strict-batch|--prio-batch|--poll-batch|-Cd|--cpu-mask-draft|-Crd|--cpu-range-draft|--cpu-strict-"
     "draft|"
     "--prio-draft|--poll-draft|-Cbd|--cpu-mask-batch-draft|--cpu-strict-batch-draft|--prio-batch-draft|"
     "--poll-batch-draft|--spec-draft-cpu-mask|--spec-draft-cpu-range|--spec-draft-cpu-strict|--spec-draft-"
     "prio|"
     "--spec-draft-poll|--spec-draft-cpu-mask-batch|--spec-draft-cpu-strict-batch|--spec-draft-prio-batch|"
     "--spec-draft-poll-batch|--realtime-process-priority",
     ANY, PLACING},
    {"-tb|--threads-batch|-td|--threads-draft|-tbd|--threads-batch-draft|--spec-draft-threads|"
     "--spec-draft-threads-batch",
     ANY, "use -t N: the same threads do everything"},
    {"--threads-http", ANY, "not needed: each connection has a thread (--max-connections N)"},
    {NULL, 0, "Memory"},
    {"--mlock|--no-mmap|--mmap|-lm|--load-mode|-lzm|--lazy-mode|--direct-io|-dio|--no-direct-io|-ndio|"
     "--no-repack|-nr|--check-tensors|--keepmodelinmemory|--trymmap",
     ANY, MEMORY},
    {"--cache-mode|--draft-cache-mode|--kv-cache-dtype", ANY, KV},
    {"--kv-bits|--kv-group-size|--quantized-kv-start", ANY, KV},
    {"-ub|--ubatch-size|--chunk-size|--prefill-step-size|--output-chunking|--max-num-batched-tokens", ANY,
     "use -b N (run, chat, bench), or leave it out: how a prompt is cut changes the speed and never the "
     "text"},
    {"--max-seq-len|--max-model-len|--context-length|--contextlength|--n-ctx|--num-ctx", ANY, "=--ctx"},
    {"--max-kv-size|--cache-size|-cd|--ctx-size-draft|--kv-unified-per-slot", ANY,
     "use -c N: the positions of a context, a server's slot each; a draft model's is as long as the "
     "target's"},
    {"--context-shift|--no-context-shift|--keep", ANY,
     "not here: when the context is full the text ends, and says so"},
    {"--swa-full|-dt|--defrag-thold|-kvu|--kv-unified|-no-kvu|--no-kv-unified|-ctxcp|--ctx-checkpoints|"
     "--swa-checkpoints|-cms|--checkpoint-min-step|--sysmem-recurrent-cache",
     ANY, "not needed: a context keeps every position, and belongs to one slot"},
    {"--cache-prompt|--no-cache-prompt|-cram|--cache-ram|--cache-reuse|--cache-idle-slots|--no-cache-idle-"
     "slots|"
     "--prompt-cache-size|--prompt-cache-bytes|--enable-prefix-caching|-sps|--slot-prompt-similarity",
     ANY, CACHE},
    {"--prompt-cache|--prompt-cache-all|--prompt-cache-ro|--prompt-cache-file|--slot-save-path|-lcs|"
     "--lookup-cache-static|-lcd|--lookup-cache-dynamic",
     ANY, "not here: caches are not kept in files"},
    {NULL, 0, "The model"},
    {"--rope-alpha|--draft-rope-alpha", ANY, ALPHA},
    {"-gan|--grp-attn-n|-gaw|--grp-attn-w", ANY, "use --rope-scaling yarn --rope-scale F"},
    {"--ropefrequencybase", ANY, "=--rope-freq-base"},
    {"--ropefrequencyscale", ANY, "=--rope-freq-scale"},
    {"--lora|--lora-scaled|--lora-init-without-apply|--lora-base|--lora-dir|--loras|--adapter-path|--control-"
     "vector|"
     "--control-vector-scaled|--control-vector-layer-range|--enable-lora",
     ANY, ADAPTERS},
    {"-mm|--mmproj|-mmu|--mmproj-url|--mmproj-auto|--no-mmproj|--no-mmproj-auto|--mmproj-offload|"
     "--no-mmproj-offload|-mmdev|--mmproj-device|--image|--audio|--video|--image-min-tokens|--image-max-"
     "tokens|"
     "--mtmd-batch-max-tokens|--video-fps|--video-timestamp-interval|--video-ffmpeg-dir|--media-path|--"
     "vision",
     ANY, TEXT_ONLY},
    {"-hf|-hfr|--hf-repo|-hff|--hf-file|-hft|--hf-token|-hfd|-hfrd|--hf-repo-draft|--spec-draft-hf|-hfv|--hf-"
     "repo-v|"
     "-hffv|--hf-file-v|-mu|--model-url|-dr|--docker-repo|--offline|-cl|--cache-list|--embd-gemma-default|"
     "--fim-qwen-1.5b-default|--fim-qwen-3b-default|--fim-qwen-7b-default|--fim-qwen-7b-spec|--fim-qwen-14b-"
     "spec|"
     "--fim-qwen-30b-default|--gpt-oss-20b-default|--gpt-oss-120b-default|--vision-gemma-4b-default|"
     "--vision-gemma-12b-default|--revision|--tokenizer",
     ANY, NO_DOWNLOAD},
    {"--trust-remote-code|--unsafe-launch", ANY, "not needed: a model file holds no code that is run"},
    {"--override-kv", ANY, "not here: a file is taken as it is, or refused with the key that is wrong"},
    {"--modelpath|--model-path", ANY, "=--model"},
    {"--model-dir|--model-name|--inline-model-loading", ANY, "use -m FOLDER/NAME.gguf (the key \"model\")"},
    {"--draftmodel|--draft-model-path|--speculative-model|--spec-draft-model", ANY, "=--draft-model"},
    {"--draft-model-dir|--draft-model-name", ANY, "use -md FOLDER/NAME.gguf (the key \"draft_model\")"},
    {"--models-dir|--models-preset|--models-max|--models-autoload|--no-models-autoload|--use-as-default", ANY,
     ONE_MODEL},
    {"--dtype|--quantization|--quantize-activations|-qa|--load-format", ANY,
     "not here: weights are computed with as the file has them; --activations q8|q16 is the precision beside "
     "them"},
    {"--embedding|--embeddings|--pooling|--embd-normalize|--rerank|--reranking|--embedding-model-dir|"
     "--embedding-model-name|--embeddings-device",
     ANY, "not here: models generate text only"},
    {NULL, 0, "Speculation"},
    {"--spec-draft-n-max|--draft-num-tokens|--num-speculative-tokens|--draft-block-size|--n-draft-tokens",
     ANY, "=--gamma"},
    {"--draft-min|--draft-n-min|--spec-draft-n-min|--draft-p-min|--spec-draft-p-min|--draft-p-split|"
     "--spec-draft-p-split|--spec-synth-len|--spec-synth-rates|--spec-default|--speculative-config",
     ANY, "not here: every step drafts --gamma tokens (serve: --preset)"},
    {"--spec-draft-sampling|--draft-sampling-method", ANY,
     "use --accept coupled, greedy, rejection or block: the rule says how a draft is drawn"},
    {"--spec-type|--draft-kind|--draft-mode|--speculativedecoding|--visualizespeculativedecoding", ANY,
     "use -md FILE (a draft model), --draft ngram (prompt lookup) or --draft suffix (the longest repeat)"},
    {"--ngram|--ngram-decoding|--lookup", ANY, "use --draft ngram"},
    {"--ngram-match-min|--lookup-ngram-min|--spec-ngram-mod-n-min|--spec-ngram-mod-n-max|--spec-ngram-mod-n-"
     "match|"
     "--spec-ngram-simple-size-n|--spec-ngram-simple-size-m|--spec-ngram-simple-min-hits|--spec-ngram-map-k-"
     "size-n|"
     "--spec-ngram-map-k-size-m|--spec-ngram-map-k-min-hits|--spec-ngram-map-k4v-size-n|"
     "--spec-ngram-map-k4v-size-m|--spec-ngram-map-k4v-min-hits|--spec-ngram-size-n|--spec-ngram-size-m|"
     "--spec-ngram-min-hits",
     ANY, LOOKUP},
    {"--spec-replace|--translate", ANY,
     "not here: a draft's ids are the target's (`verbatim doctor` compares them)"},
    {NULL, 0, "Sampling"},
    {"--mirostat|--mirostat-lr|--mirostat-ent|--adaptive-target|--adaptive-decay", ANY,
     "not here: its state is no function of the text so far, so no draft could be judged by it; "
     "--dynatemp-range "
     "follows "
     "the entropy, and --top-nsigma cuts by it"},
    {"--dry-sequence-breaker", CMD_SERVE,
     "no option of the server: a request says \"dry_sequence_breakers\""},
    {"--samplers|--sampler-seq|--sampling-seq|--tfs|--top-a|--min-tokens-to-keep|--override-preset|--"
     "smoothing-factor|--penalize-nl|"
     "--no-penalize-nl",
     ANY, SAMPLER},
    {"-l|--logit-bias", CMD_SERVE, "no option of the server: a request says \"logit_bias\""},
    {"-l", ANY, "use --logit-bias ID=B (with an equals sign)"},
    {"--grammar|--grammar-file|-j|--json-schema|-jf|--json-schema-file", ANY,
     "no option here: a request says \"response_format\", \"grammar\" or \"json_schema\" (docs/server.md)"},
    {"--guided-decoding-backend|--structured-outputs-config", ANY,
     "not needed: there is one implementation, and it is exact (docs/grammar.md)"},
    {"--rng-seed|--random-seed", ANY, "=--seed"},
    {"--num-predict|--max-new-tokens|--n-tokens", ANY, "=--n-predict"},
    {NULL, 0, "Prompts and conversations"},
    {"--jinja|--no-jinja|--use-default-chat-template", ANY,
     "not needed: a conversation is written as the model's own template does it"},
    {"--ignore-chat-template|--no-chat-template", ANY,
     "use `verbatim run` (over HTTP: /v1/completions): it continues plain text"},
    {"--prompt-template|--chat-template-file", ANY, "=--chat-template"},
    {"--chat-template-kwargs|--chat-template-args|--chat-template-config|--force-enable-thinking|--enable-"
     "thinking|"
     "--reasoning-format|-rea|--reasoning|--reasoning-effort|--reasoning-budget|--reasoning-budget-message|"
     "--reasoning-preserve|--no-reasoning-preserve|--reasoning-parser|--reasoning-start-token|--reasoning-"
     "end-token|"
     "--reasoning-suppress-header",
     ANY, THINKING},
    {"--tool-format|--tool-call-parser|--enable-auto-tool-choice|--tool-parser-plugin", ANY,
     "not needed: how a model writes calls of tools is found from its template; the start of serve says it"},
    {"--skip-chat-parsing|--no-skip-chat-parsing", CMD_SERVE,
     "leave the tools out of a request, or set its reasoning_format to none"},
    {"--prefill-assistant", CMD_SERVE, "=--continue-final"},
    {"--no-prefill-assistant|--prefill-response", CMD_SERVE,
     "not needed: an answer that was begun is gone on with where a request, or --continue-final, says so"},
    {"-sys|--system-message", CMD_CHAT, "=--system"},
    {"-sys|--system-message", ANY, "use --system-prompt NAME|FILE (serve)"},
    {"-sysf|--system-prompt-file", ANY,
     "use --system-prompt FILE (serve), or --system \"$(cat FILE)\" (chat)"},
    {"-cnv|--conversation|-i|--interactive|-ins|--instruct|-if|--interactive-first", ANY,
     "use `verbatim chat`: run continues a text"},
    {"-no-cnv|--no-conversation", ANY, "use `verbatim run`: it continues a text and ends"},
    {"-st|--single-turn", ANY, "use `echo TEXT | verbatim chat`: the conversation ends with its input"},
    {"-r|--reverse-prompt|--stop|--stop-strings|--extra-eos-token", ANY,
     "not here: a text ends at the model's own tokens; over HTTP a request says \"stop\""},
    {"-e|--escape|--no-escape", ANY,
     "not needed: a text is taken byte for byte; $'a\\nb' is a way to write a line break in a shell"},
    {"-bf|--binary-file", ANY, "use -f FILE: it is read byte for byte"},
    {"-mli|--multiline-input|--simple-io|--in-prefix|--in-prefix-bos|--in-suffix|--server-base", ANY,
     "not here; in `verbatim chat` a line that ends in \\ goes on in the next one"},
    {"-sp|--special", ANY,
     "not here: special tokens have no text of their own; `verbatim tokenize --pieces` shows them"},
    {"--display-prompt|--no-display-prompt|--verbose-prompt|--echo", ANY,
     "not here: standard output is the new text alone"},
    {"--spm-infill", ANY, "not here: a text is continued at its end only"},
    {"-co|--no-color", ANY, "use --color auto, always or never"},
    {NULL, 0, "The server"},
    {"-np|--n-parallel|--max-num-seqs", CMD_SERVE, "=--slots"},
    {"--max-batch-size|--decode-concurrency|--prompt-concurrency", CMD_SERVE,
     "use --slots N: requests computed together, each with a context of its own (-c)"},
    {"-b|--batch|--batch-size", CMD_SERVE, "not needed: the server chooses how many tokens go into a pass"},
    {"-np|--n-parallel", ANY, "`verbatim serve --slots N` computes several requests together"},
    {"-ns|--sequences", ANY, "`verbatim serve` answers several requests together"},
    {"-cb|--cont-batching|-nocb|--no-cont-batching", ANY,
     "not needed: requests join and leave at every step"},
    {"-a|--served-model-name|--api-identifier", CMD_SERVE, "=--name"},
    {"-a|--served-model-name|--api-identifier|--dummy-model-names|--use-dummy-models|--tags", ANY,
     "use --name NAME: what the model is called"},
    {"--allowed-origins|--cors-origins|--cors-methods|--cors-headers|--cors-credentials|--no-cors-"
     "credentials",
     ANY, "use --cors ORIGIN"},
    {"--disable-auth", ANY, "not needed: without --api-key no key is asked for"},
    {"-to", ANY, "use --request-timeout S or --idle-timeout S"},
    {"--timeout", CMD_SERVE, "use --request-timeout S (one answer) or --idle-timeout S (a silent client)"},
    {"--sse-ping-interval", ANY, "=--keep-alive"},
    {"--metrics|--props|--no-slots|--endpoint-metrics|--endpoint-props|--api-servers", ANY, ENDPOINTS},
    {"--ssl-key-file|--ssl-cert-file|--ssl-keyfile|--ssl-certfile", ANY,
     "not here: put a proxy that speaks TLS in front"},
    {"--path|--api-prefix|--ui|--webui|--no-ui|--no-webui|--ui-config|--webui-config|--ui-config-file|"
     "--webui-config-file|--ui-mcp-proxy|--webui-mcp-proxy|--no-ui-mcp-proxy|--no-webui-mcp-proxy|--reuse-"
     "port|"
     "--disable-request-streaming|--disable-fetch-requests|--sleep-idle-seconds|--root-path",
     ANY, "not here: the server has its own page at /, and the API below /v1"},
    {"--tools|--tools-runtime|--mcp-servers-config|--mcp-servers-json|-ag|--agent|-no-ag|--no-agent", ANY,
     "not here: the server runs no tools"},
    {"--network|--logging|--sampling|--developer|--memory", ANY,
     "a section, and there are none here: write its keys side by side"},
    {NULL, 0, "What is printed"},
    {"--log-disable|--log-file|--log-jsonl|--no-log-jsonl|--log-colors|-lv|--verbosity|--log-verbosity|--log-"
     "verbose|"
     "--log-prefix|--no-log-prefix|--log-timestamps|--no-log-timestamps|--log-prompts-dir|--log-level|--log-"
     "prompt|"
     "--log-requests|--log-generation-params|--log-chat-completion-requests|--send-tracebacks|--seqlog|"
     "--seqlog-server-url|--seqlog-api-key|--uvicorn-log-level|--disable-log-requests",
     ANY, LOGGING},
    {"-v|--verbose", CMD_SERVE,
     "not needed: serve prints a line per request, and a request with \"verbatim\" reports every token"},
    {"--perf|--no-perf|--show-timings|--no-show-timings", ANY,
     "not needed: statistics are always printed, on standard error"},
    {"--warmup|--no-warmup", ANY, "not needed: the first token takes as long as any other"},
    {"--completion-bash", ANY, "not here: `verbatim COMMAND --help` lists the options"},
    {"--usage", ANY, "use --help"},
};

/* The first row that answers for `name` in one of these commands; `taken`: of those that are taken. */
static const foreign_name *find(const char *name, unsigned command, bool taken) {
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (!NAMES[i].names || !(NAMES[i].commands & command) || (NAMES[i].answer[0] == '=') != taken)
            continue;
        for (const char *at = NAMES[i].names; *at;) {
            const size_t len = strcspn(at, "|");
            if (len == n && !strncmp(at, name, n)) return &NAMES[i];
            at += len + (at[len] == '|');
        }
    }
    return NULL;
}

const char *cli_foreign_name(const char *name, unsigned command) {
    const foreign_name *row = find(name, command, false);
    return row ? row->answer : NULL;
}

const char *cli_foreign_alias(const char *name, unsigned command) {
    const foreign_name *row = find(name, command, true);
    return row ? row->answer + 1 : NULL;
}

static void print_row(const foreign_name *row) {
    const char *separator = "| ";
    for (const char *at = row->names; *at;) {
        const size_t len = strcspn(at, "|");
        cli_outf("%s`%.*s`", separator, (int)len, at);
        separator = ", ";
        at += len + (at[len] == '|');
    }
    if (row->answer[0] == '=') {
        cli_outf(" | **taken**: `%s` |\n", row->answer + 1);
        return;
    }
    cli_outf(" | ");
    for (const char *c = row->answer; *c; c++) cli_outf(*c == '|' ? "\\|" : "%c", *c);
    cli_outf(" |\n");
}

void cli_foreign_table(void) {
    cli_outf(
        "# Coming from another program\n\n"
        "`verbatim help coming-from` prints this page. It lists the options and configuration keys of "
        "llama.cpp's\n"
        "programs, mlx_lm, vLLM, TabbyAPI, LM Studio and Ollama that are no options here, and what to write "
        "instead. Keys\n"
        "of a configuration file stand as options do: `draft_model_name` as `--draft-model-name`. **taken** "
        "means that the\n"
        "name works here as it stands, because it means the same as the option beside it. One dash does for "
        "two in front\n"
        "of a long name. Names that both sides share (`-m`, `-md`, `--draft-max`, `--temp`, ...) are in\n"
        "`verbatim COMMAND --help`; the fields of a request over HTTP are in [server.md](server.md).\n");
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (NAMES[i].names)
            print_row(&NAMES[i]);
        else
            cli_outf("\n## %s\n\n| there | here |\n|---|---|\n", NAMES[i].answer);
    }
}
