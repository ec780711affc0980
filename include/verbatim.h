/* verbatim.h - the public interface of libverbatim: exact speculative decoding of GGUF language models.
 *
 * The one header that programs include. Reading order is the order of use:
 *
 *   vb_gguf      an opened model file (metadata, tensors)               vb_gguf_open
 *   vb_tokenizer text <-> ids, from that file's own tables              vb_tokenizer_open
 *   vb_model     the weights, immutable, shared by any number of users  vb_model_open
 *   vb_context   one sequence: its KV cache and its scratch memory      vb_context_open, vb_eval
 *   vb_spec      speculative generation on a context, step by step      vb_spec_open, vb_spec_step
 *
 * Rules that hold everywhere:
 * - A function that can fail returns 0 or a negative VB_ERR_* and, when `err` is not NULL, fills it with the
 *   same code and a message that names the file, field or argument and the way out. Every call first clears
 *   *err, so that it need not be initialised, can be used again, and after a success holds VB_OK and no
 *   message. Other outputs are untouched on error.
 * - The library never prints, exits or asserts on data. Objects do not know of each other. The library keeps
 *   nothing else of its own, but reads two environment variables, VERBATIM_KERNELS (vb_kernels_resolve) and
 *   VERBATIM_OFFLOAD_PATH (vb_offload_open), and on Linux it asks once that this process may use AMX.
 * - A vb_gguf or vb_tokenizer never changes once it is open, and a vb_model only by vb_model_repack: several
 *   threads may use them at once. A vb_context, vb_spec or vb_trace belongs to one thread at a time.
 * - Objects are closed in the reverse order of opening: the gguf last. Closing NULL does nothing.
 * - Text is UTF-8 in (ptr, length) pairs; it may hold any bytes. Token ids are int32_t, 0 <= id < n_vocab.
 *
 * The promises P1-P6 named below are stated in docs/numerics.md (P1)
 * and docs/speculation.md (P2-P6). */
#ifndef VERBATIM_H
#define VERBATIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VB_VERSION "0.1.0"

/* ----------------------------------------------------------------------------------------- errors */

enum {
    VB_OK = 0,
    VB_ERR_ARGUMENT = -1,    /* the caller asked for something that makes no sense */
    VB_ERR_IO = -2,          /* the operating system said no */
    VB_ERR_FORMAT = -3,      /* the file is malformed */
    VB_ERR_UNSUPPORTED = -4, /* the file is well formed and uses what this build does not know (P6) */
    VB_ERR_MEMORY = -5,      /* out of memory */
    VB_ERR_NUMERIC = -6,     /* an infinity or a NaN came up in a computation */
    VB_ERR_FULL = -7,        /* the context holds no further token */
    VB_ERR_VOCAB = -8,       /* two vocabularies do not fit each other */
    VB_ERR_CANCELLED = -9,   /* the cancel callback asked to stop */
    VB_ERR_MASK = -10        /* a mask lets no id through: nothing may follow */
};

typedef struct vb_error {
    int code;           /* one of VB_ERR_*, or VB_OK */
    char message[1024]; /* one line, no newline at the end */
} vb_error;

/* Frees memory that the library handed out (only where a docstring says so). */
void vb_free(void *p);

/* Bytes that this process may still take before the machine's memory, a limit of its control groups
 * (containers, services) or one of its own (ulimit) ends; UINT64_MAX where the system does not say. An
 * estimate. */
uint64_t vb_available_memory(void);

/* ------------------------------------------------------------------------------------------ GGUF files */

typedef struct vb_gguf vb_gguf;

/* Types of metadata values, as numbered in the file. */
typedef enum vb_value_type {
    VB_VALUE_U8 = 0,
    VB_VALUE_I8 = 1,
    VB_VALUE_U16 = 2,
    VB_VALUE_I16 = 3,
    VB_VALUE_U32 = 4,
    VB_VALUE_I32 = 5,
    VB_VALUE_F32 = 6,
    VB_VALUE_BOOL = 7,
    VB_VALUE_STRING = 8,
    VB_VALUE_ARRAY = 9,
    VB_VALUE_U64 = 10,
    VB_VALUE_I64 = 11,
    VB_VALUE_F64 = 12
} vb_value_type;

/* Types of tensors, as numbered in the file. Others exist; a file that uses one is refused (P6). */
typedef enum vb_type {
    VB_F32 = 0,
    VB_F16 = 1,
    VB_Q4_0 = 2,
    VB_Q4_1 = 3,
    VB_Q5_0 = 6,
    VB_Q5_1 = 7,
    VB_Q8_0 = 8,
    VB_Q2_K = 10,
    VB_Q3_K = 11,
    VB_Q4_K = 12,
    VB_Q5_K = 13,
    VB_Q6_K = 14,
    VB_IQ4_NL = 20,
    VB_IQ4_XS = 23,
    VB_BF16 = 30,
    VB_MXFP4 = 39,
    VB_TYPE_LIMIT = 40, /* one past the largest */
    /* Of no tensor: keys in a cache as blocks of Q8_0 that meet a rounded query (docs/numerics.md). */
    VB_Q8I = 1008
} vb_type;

/* "Q4_K" and so on; NULL for a number that is not a vb_type. */
const char *vb_type_name(int type);
/* Values per block (1, 32 or 256) and bytes per block; 0 for a number that is not a vb_type. */
int vb_type_block_values(int type);
int vb_type_block_bytes(int type);

/* One metadata entry. `raw` points into the file: the value, or an array's first element. */
typedef struct vb_meta {
    const char *key; /* NUL-terminated */
    vb_value_type type;
    vb_value_type elem; /* of an array's elements; equals type otherwise */
    uint64_t count;     /* elements of an array; 1 otherwise */
    const uint8_t *raw;
    uint64_t offset; /* of the value, bytes from the start of its file */
} vb_meta;

typedef struct vb_tensor {
    const char *name; /* NUL-terminated */
    vb_type type;
    int n_dims;       /* 1..4 */
    uint64_t dims[4]; /* dims[0] is the row length (the inner, contiguous dimension); unused ones are 1 */
    const uint8_t *data;
    uint64_t bytes;
    uint64_t offset; /* of the data, bytes from the start of its file */
    int split;       /* index of the file it lies in, 0 for a model in one file */
} vb_tensor;

/* Opens a GGUF file of version 2 or 3, little endian, or the first of a split model (-00001-of-000NN.gguf),
 * maps it read-only and validates header, metadata and tensor table (the rules: docs/formats.md). The weights
 * themselves are validated by vb_model_open. Errors: VB_ERR_IO, VB_ERR_FORMAT (with byte offset and field),
 * VB_ERR_UNSUPPORTED. */
int vb_gguf_open(vb_gguf **out, const char *path, vb_error *err);
void vb_gguf_close(vb_gguf *g);

const char *vb_gguf_path(const vb_gguf *g);
/* The path of the open file that is mapped at this address; NULL: none. May be called in a signal handler: a
 * SIGBUS at such an address (siginfo_t.si_addr) means that the file was cut short while it was open. The
 * library handles no signals itself. */
const char *vb_gguf_file_at(const void *address);
int vb_gguf_version(const vb_gguf *g);
uint64_t vb_gguf_file_bytes(const vb_gguf *g); /* of all splits together */
int vb_gguf_splits(const vb_gguf *g);

/* Which model it is, for caches and fingerprints: XXH3-64 of the tensors' names, types, shapes and first 4096
 * bytes each. Two files of one model that differ in metadata alone have the same. */
uint64_t vb_gguf_hash(const vb_gguf *g);

size_t vb_gguf_meta_count(const vb_gguf *g);
const vb_meta *vb_gguf_meta(const vb_gguf *g, size_t i);
const vb_meta *vb_gguf_find(const vb_gguf *g, const char *key); /* NULL if absent */

size_t vb_gguf_tensor_count(const vb_gguf *g);
const vb_tensor *vb_gguf_tensor(const vb_gguf *g, size_t i);
const vb_tensor *vb_gguf_find_tensor(const vb_gguf *g, const char *name); /* NULL if absent */

/* Element i of an entry (i = 0 for a scalar), converted without loss or refused. Return false when the type
 * does not fit, the value is out of range or i >= count. Strings are not NUL-terminated. */
bool vb_meta_u64(const vb_meta *m, uint64_t i, uint64_t *out);
bool vb_meta_i64(const vb_meta *m, uint64_t i, int64_t *out);
bool vb_meta_f64(const vb_meta *m, uint64_t i, double *out);
bool vb_meta_bool(const vb_meta *m, uint64_t i, bool *out);
bool vb_meta_string(const vb_gguf *g, const vb_meta *m, uint64_t i, const char **text, size_t *len);

/* ----------------------------------------------------------------------------------------- tokenizer */

typedef struct vb_tokenizer vb_tokenizer;

/* Kinds of vocabulary entries, as numbered in the file. */
typedef enum vb_token_kind {
    VB_TOKEN_NORMAL = 1,
    VB_TOKEN_UNKNOWN = 2,
    VB_TOKEN_CONTROL = 3,
    VB_TOKEN_USER = 4,
    VB_TOKEN_UNUSED = 5,
    VB_TOKEN_BYTE = 6
} vb_token_kind;

/* Flags of vb_tokenize. What is added is never there twice: a text that begins with BOS or ends with EOS
 * itself keeps the one that it has. */
enum {
    VB_TOKENIZE_ADD_SPECIAL = 1,   /* BOS and EOS as the file's metadata says */
    VB_TOKENIZE_PARSE_SPECIAL = 2, /* text like "<|im_end|>" becomes the control token of that name */
    VB_TOKENIZE_ADD_BOS = 4        /* BOS in front whatever the metadata says (an error if there is none) */
};

/* Builds the tokenizer of a file: SPM (tokenizer.ggml.model "llama") or byte-level BPE ("gpt2") with a known
 * tokenizer.ggml.pre. Errors: VB_ERR_UNSUPPORTED (naming what was found and what is known), VB_ERR_FORMAT. */
int vb_tokenizer_open(vb_tokenizer **out, const vb_gguf *g, vb_error *err);

/* What somebody knows better than the file. Zeros are defaults. */
typedef struct vb_tokenizer_params {
    const char *pre; /* the pre-tokenizer (vb_pre_name) of a BPE file, whatever tokenizer.ggml.pre says, also
                        where it is absent, "default" or not known. NULL: the file's */
} vb_tokenizer_params;
/* The same with parameters; p = NULL: defaults. Errors further: VB_ERR_ARGUMENT for a pre that is not known
 * or that a SPM file has no use for. */
int vb_tokenizer_open_with(vb_tokenizer **out, const vb_gguf *g, const vb_tokenizer_params *p, vb_error *err);
/* The names that tokenizer.ggml.pre may have here: the i-th, NULL after the last. Some are other names of the
 * one before. */
const char *vb_pre_name(size_t i);
void vb_tokenizer_close(vb_tokenizer *t);

int32_t vb_tokenizer_size(const vb_tokenizer *t);      /* number of ids */
const char *vb_tokenizer_model(const vb_tokenizer *t); /* "spm" or "bpe" */
const char *vb_tokenizer_pre(const vb_tokenizer *t);   /* name of the pre-tokenizer pattern, "" for spm */
/* True if vb_tokenizer_params.pre made it another one than the file's: whoever reports which model it is says
 * so. */
bool vb_tokenizer_pre_overridden(const vb_tokenizer *t);
int32_t vb_token_bos(const vb_tokenizer *t); /* -1 if there is none */
int32_t vb_token_eos(const vb_tokenizer *t); /* -1 if there is none */
bool vb_tokenizer_adds_bos(const vb_tokenizer *t);
bool vb_tokenizer_adds_eos(const vb_tokenizer *t);
/* True for every id that ends a generation: EOS, end of turn, end of message. */
bool vb_token_is_stop(const vb_tokenizer *t, int32_t id);
/* All of these ids, ascending: what vb_spec_params.stop is meant for. Valid as long as the tokenizer. */
const int32_t *vb_stop_ids(const vb_tokenizer *t, size_t *n);
vb_token_kind vb_token_type(const vb_tokenizer *t, int32_t id);
/* The entry as written in the file (for BPE in its byte alphabet). Not NUL-terminated. */
const char *vb_token_raw(const vb_tokenizer *t, int32_t id, size_t *len);
/* The bytes that the id stands for in text; control tokens stand for nothing unless `special`, when they
 * stand for their name. Valid as long as the tokenizer. Not NUL-terminated;
 * may be part of a UTF-8 character. */
const char *vb_token_text(const vb_tokenizer *t, int32_t id, bool special, size_t *len);
/* The id whose raw text is exactly this; -1 if there is none. */
int32_t vb_token_find(const vb_tokenizer *t, const char *raw, size_t len);

/* Text to ids. *ids is allocated (vb_free). Never fails on content that the vocabulary can express
 * (docs/tokenizers.md), only for memory or a missing BOS. */
int vb_tokenize(const vb_tokenizer *t, const char *text, size_t len, unsigned flags, int32_t **ids, size_t *n,
                vb_error *err);
/* The ids of a text that a generation goes on from (a prompt, or a conversation as its template writes it).
 * The one rule: BOS in front if the file's metadata says so and the ids do not begin with it already; no EOS
 * behind, whatever the metadata says, since it would end the text before it is continued. `special`: as
 * VB_TOKENIZE_PARSE_SPECIAL. Ids that a caller gives instead of a text are taken as they are. */
int vb_tokenize_prompt(const vb_tokenizer *t, const char *text, size_t len, bool special, int32_t **ids,
                       size_t *n, vb_error *err);
/* Ids to text, *text allocated and NUL-terminated (vb_free). The leading space that SPM adds is taken off
 * when the first id (after BOS) starts with it. Errors: VB_ERR_ARGUMENT for an id outside the vocabulary. */
int vb_detokenize(const vb_tokenizer *t, const int32_t *ids, size_t n, bool special, char **text, size_t *len,
                  vb_error *err);

/* Streaming: bytes in, whole UTF-8 characters out. Zero-initialise. */
typedef struct vb_utf8 {
    unsigned char held[4];
    int n_held;
} vb_utf8;
/* Appends `len` bytes and writes to `out` (capacity >= len + 3) everything that ends on a character boundary.
 * Bytes that cannot start or continue a character pass through. Returns the number of bytes written. */
size_t vb_utf8_push(vb_utf8 *u, const char *bytes, size_t len, char *out);
/* Writes what is still held (at most 3 bytes) and resets. */
size_t vb_utf8_flush(vb_utf8 *u, char *out);

/* Says whether `draft` may propose tokens to `target`: same text and kind on every id the draft can emit,
 * same special ids, same BOS/EOS rule; one of the two may be longer (padding), the ids beyond the shared
 * range are never drafted. On success *shared is the number of ids that both have in common. On VB_ERR_VOCAB
 * the message names the first differences and the way out. */
int vb_vocab_compatible(const vb_tokenizer *target, const vb_tokenizer *draft, int32_t *shared,
                        vb_error *err);

/* ----------------------------------------------------------------------------------------- chat templates */

typedef struct vb_chat_message {
    const char *role; /* "system", "user", "assistant", ... */
    const char *content;
} vb_chat_message;

/* A chat template: a program in the Jinja2 template language, read and ready to run (docs/chat.md).
 * Immutable. */
typedef struct vb_chat vb_chat;

/* The template of a file: tokenizer.chat_template, and for conversations with tools
 * tokenizer.chat_template.tool_use if the file has one; with a `name` tokenizer.chat_template.NAME.
 * VB_ERR_UNSUPPORTED if there is none or it uses what is left out, VB_ERR_FORMAT if it is no template: the
 * message names the line. */
int vb_chat_open(vb_chat **out, const vb_gguf *g, const char *name, vb_error *err);
/* A template of our own by its name ("chatml", "llama3", ...): for files without one. */
int vb_chat_open_named(vb_chat **out, const char *name, vb_error *err);
/* A template's text; `file` is what messages call it. */
int vb_chat_open_text(vb_chat **out, const char *text, size_t len, const char *file, vb_error *err);
void vb_chat_close(vb_chat *c);
/* NULL-terminated list of the names that vb_chat_open_named knows. */
const char *const *vb_chat_names(void);
/* Whether the vocabulary has the markers that a template of our own needs, each as one token; VB_ERR_VOCAB
 * names the one that is missing. A template from elsewhere declares none and fits. */
int vb_chat_fits(const vb_chat *c, const vb_tokenizer *t, vb_error *err);
/* Whether the template takes this variable from its caller ("enable_thinking"). One that it does not read
 * changes nothing. */
bool vb_chat_reads(const vb_chat *c, const char *name);

/* What a template is given. */
typedef struct vb_chat_request {
    const vb_chat_message *messages; /* (n_messages) or NULL: they are in `variables` */
    size_t n_messages;
    const char
        *variables; /* JSON: an object whose members are the template's variables; NULL: none. The members of
                     * its chat_template_kwargs are variables, too. Order and big integers are kept */
    size_t n_variables; /* bytes */
    bool open_turn;     /* the text ends where the assistant speaks next; add_generation_prompt in `variables`
                           wins */
    const int *date;    /* what strftime_now tells: year, month, day, hour, minute, second; NULL: the date in
                         * `variables` ("YYYY-MM-DD" or "YYYY-MM-DD HH:MM:SS"), else now */
    bool
        continue_last; /* the text ends where the last message's content does, for the model to go on with it;
                         * open_turn is not looked at */
    /* Not NULL: the messages in `variables` are as clients of the OpenAI API write them and reach the
     * template as it wants them (docs/chat.md): arguments as objects, reasoning_content under the template's
     * name for it, names of tools with their results. NULL: they are passed on as they are. */
    const struct vb_calls *calls;
} vb_chat_request;

/* Bytes up to `end` that one side wrote: the template, or the conversation (`given`). */
typedef struct vb_span {
    size_t end;
    bool given;
} vb_span;

typedef struct vb_prompt {
    char *text; /* NUL-terminated; it may hold NULs */
    size_t len;
    vb_span *spans; /* (n_spans) ascending; they cover the text */
    size_t n_spans;
    bool dated;      /* the template asked for the date, and it was today's */
    bool asked_date; /* the template asked for the date */
    int date[6];     /* and got this one */
} vb_prompt;
void vb_prompt_free(vb_prompt *p); /* and zeroes it */
/* "YYYY-MM-DD" or "YYYY-MM-DD HH:MM:SS" as vb_chat_request.date; false: it is neither, or there is no such
 * day. */
bool vb_chat_date(const char *text, int date[6]);

/* Runs the template. bos_token and eos_token are the texts of the vocabulary's tokens (`t` may be NULL:
 * undefined). Errors: VB_ERR_ARGUMENT where Jinja2 raises, with its reason (raise_exception's message);
 * VB_ERR_UNSUPPORTED for what is left out and for a template that takes too long or too much. */
int vb_chat_render(const vb_chat *c, const vb_tokenizer *t, const vb_chat_request *r, vb_prompt *out,
                   vb_error *err);
/* The ids of a prompt from byte `from` on. Special tokens are recognised in the template's bytes only: those
 * that the conversation spells stay text. At from = 0 BOS comes first by the file's rule unless the template
 * wrote it; EOS is not added. *ids is allocated (vb_free). */
int vb_chat_tokenize(const vb_tokenizer *t, const vb_prompt *p, size_t from, int32_t **ids, size_t *n,
                     vb_error *err);

/* ------------------------------------------------------------------------------------- calls and reasoning
 *
 * What a model writes is more than text for its reader: thoughts come first, and calls of tools stand in it,
 * written as the model's template writes them. vb_calls knows how a template writes both; vb_answer reads an
 * answer while it is generated and says which byte is what (docs/chat.md). */

/* How the arguments of a call are written. */
typedef enum vb_call_style {
    VB_CALLS_NONE = 0, /* the template shows no calls, and none is known for it */
    VB_CALLS_MEMBERS, /* an object with name and arguments as members: {"name": "f", "arguments": {"a": 1}} */
    VB_CALLS_NAMED,   /* the name as text, then a JSON object: f[ARGS]{"a": 1} */
    VB_CALLS_TAGS,    /* the name as text, then each argument between tags: <parameter=a>1</parameter> */
    VB_CALLS_PYTHON,  /* f(a=1, b="x"), Python's literals */
    VB_CALLS_GEMMA    /* call:f{a:1,b:<|"|>x<|"|>} */
} vb_call_style;

/* The text around calls. An answer with two calls is
 *
 *   lead open begin NAME between ARGUMENTS end separator begin NAME between ARGUMENTS end close
 *
 * byte for byte as the template writes it (`lead` only behind content), and the arguments are
 *
 *   MEMBERS, NAMED  a JSON object
 *   TAGS            for each: item KEY value TEXT item_end (other TEXT item_end where value_other is
 *     used)
 *   PYTHON          KEY=LITERAL, with ", " between
 *   GEMMA           KEY:VALUE, with "," between; strings stand between <|"|>, keys without quotes
 *
 * All are NUL-terminated and never NULL; "" where there is nothing. They hold the texts of control tokens
 * (vb_token_text with `special`). In begin, between and end the byte 1 stands for the call's id where a
 * format writes one: nine letters or digits, or the call's number from 0 with id_counts. */
typedef struct vb_call_format {
    vb_call_style style;
    const char *lead, *open, *begin, *between, *end, *separator, *close;
    /* TAGS. value_other stands where the argument is no string; the same as value in most formats. */
    const char *item, *value, *value_other, *item_end;
    bool tools;          /* the template shows the request's tools to the model */
    bool parallel;       /* it can write several calls in one answer */
    bool id_counts;      /* ids are the call's number */
    bool arguments_text; /* the template wants `arguments` as a string, not as an object */
    bool probed;         /* found by rendering; false: from the table of those that do not show calls */
    /* Around reasoning, with the white space that the template writes there; both "": it knows none. */
    const char *think, *think_end;
    const char *think_key; /* the message's member that the template shows as reasoning, "" if none */
    /* Where every message of an answer begins with the name of whom it is for (Functionary), the name that
     * text is for, "all"; then `separator` stands before each but the first. "" otherwise. */
    const char *everyone;
} vb_call_format;

/* How a template writes calls and reasoning. Immutable. */
typedef struct vb_calls vb_calls;

/* Finds it by rendering conversations of its own through the template (a dozen renderings); where the
 * template does not show calls, by what it tells the model about them. Never fails because a template has
 * no calls: style is VB_CALLS_NONE then. `c` must outlive the object; t as in vb_chat_render. */
int vb_calls_open(vb_calls **out, const vb_chat *c, const vb_tokenizer *t, vb_error *err);
void vb_calls_close(vb_calls *k);
const vb_call_format *vb_calls_format(const vb_calls *k);
/* Whether a prompt of this template ends inside reasoning: its last marker, written by the template, opens
 * it. The answer then begins with reasoning. */
bool vb_calls_thinking(const vb_calls *k, const vb_prompt *p);

/* One answer, read while it comes. Belongs to one thread at a time. */
typedef struct vb_answer vb_answer;

typedef enum vb_said_kind {
    VB_SAID_CONTENT = 0,
    VB_SAID_REASONING,
    VB_SAID_CALL,      /* a call begins: index, name, id */
    VB_SAID_ARGUMENTS, /* `text`: the next bytes of the JSON text of its arguments, whole characters */
    VB_SAID_CALL_END,  /* it was well formed; `text`: all that the model wrote for it */
    /* `early` only: it was not, or the answer ended in it; `text`: all that the model wrote for it, which is
     * content unless arguments were passed on already. */
    VB_SAID_CALL_CUT,
    /* Text that is none of these: markers, the white space that belongs to them, control tokens that mean
     * nothing here. */
    VB_SAID_MARKS
} vb_said_kind;

typedef struct vb_said {
    vb_said_kind kind;
    const char *text; /* (len) bytes, not NUL-terminated, "" where there is none; valid until the next push */
    size_t len;
    int index;        /* of the call, from 0 */
    const char *name; /* VB_SAID_CALL; NUL-terminated, valid until the next push */
    const char *id;   /* VB_SAID_CALL: the model's own where it wrote one, else nine letters and digits */
} vb_said;

typedef struct vb_answer_params {
    /* JSON: the request's list of tools; NULL: no call is recognised. Types of arguments are taken from their
     * schemas where the format has none. */
    const char *tools;
    size_t n_tools;    /* bytes */
    bool thinking;     /* it begins inside reasoning: vb_calls_thinking */
    bool no_reasoning; /* reasoning is not set apart: it stays content, with its markers */
    /* Events of a call as soon as its name and the beginning of its arguments are there. Without it when the
     * whole call is, so that what turns out to be none stays content in its place. */
    bool early;
    /* Where calls are objects between marks, one without its marks is a call, too: a JSON object of
     * exactly the members for a name that is in `tools` and for arguments, at the beginning of a line,
     * bare, in a code fence or in a list. Doubled braces count as single ones. */
    bool loose;
    /* A well-formed call of a tool that is not in `tools` is a call, too. Without it, it is content. */
    bool any_name;
    uint64_t seed; /* ids are made from it and the call's index */
} vb_answer_params;

/* `k` must outlive it. Errors: VB_ERR_ARGUMENT for tools that are no list of functions. */
int vb_answer_open(vb_answer **out, const vb_calls *k, const vb_answer_params *p, vb_error *err);
void vb_answer_close(vb_answer *a);
/* The next bytes of the answer: a token's text with `special` (vb_token_text). `control`: the token is one
 * whose text a reader is not shown (all but ordinary tokens); it can be a marker, and is no content if it is
 * none. Not to be given: the token that ended the answer. Any cutting into pieces gives the same events once
 * neighbours of a kind are joined. */
int vb_answer_push(vb_answer *a, const char *text, size_t len, bool control, vb_error *err);
/* The answer ended: what is still held comes out. Nothing may be pushed afterwards. */
int vb_answer_end(vb_answer *a, vb_error *err);
/* The next event; false: no more until the next push or the end. */
bool vb_answer_next(vb_answer *a, vb_said *event);

/* ----------------------------------------------------------------------------------------- model */

typedef struct vb_model vb_model;

typedef struct vb_model_info {
    const char *architecture; /* "llama", "qwen3moe", ...: general.architecture */
    const char *name;         /* general.name, or "" */
    int n_vocab;              /* rows of the output matrix */
    int n_ctx;                /* context length of training */
    int n_layers, n_heads, n_kv_heads, head_dim, dim, ffn_dim;
    uint64_t parameters;
    uint64_t weight_bytes;
    /* Mixtures of experts; 0 in other models. */
    int n_experts, n_experts_used; /* of a layer; those that each token goes through */
    uint64_t expert_parameters;    /* of all experts: each token meets n_experts_used/n_experts of them */
    uint64_t expert_bytes;
} vb_model_info;

/* Checks architecture, shapes, types and the weights' own scales, and binds the tensors. Nothing is copied:
 * the weights stay where the file is mapped. Experts are checked when a token first chooses them, in the
 * evaluation that does: what no token has chosen is never read. */
int vb_model_open(vb_model **out, const vb_gguf *g, vb_error *err);

typedef enum vb_rope_scaling {
    VB_ROPE_AS_FILE = 0,
    VB_ROPE_NONE,
    VB_ROPE_LINEAR,
    VB_ROPE_YARN
} vb_rope_scaling;

/* What somebody wants instead of the file's rotary position embeddings: other logits, as if the file's keys
 * had other values. docs/numerics.md says what each of them does. 0 means the file's, but in yarn_ext. It
 * concerns the table of layers that see everything; those with windows may have one of their own, which
 * stays. The longest context (vb_model_info.n_ctx) grows with the factor and with the base. */
typedef struct vb_rope_params {
    vb_rope_scaling scaling;
    double base;   /* rope.freq_base, 1 to 1e12 */
    double factor; /* rope.scaling.factor: for contexts that many times as long; 1e-6 to 1e6 */
    int yarn_from; /* rope.scaling.original_context_length */
    double
        yarn_ext; /* 1: YaRN as published, 0: every frequency divided by the factor. Negative: the file's */
    double yarn_attn;                      /* times rope.scaling.attn_factor */
    double yarn_beta_fast, yarn_beta_slow; /* rope.scaling.yarn_beta_fast, _slow */
} vb_rope_params;

typedef struct vb_model_params {
    vb_rope_params rope;
} vb_model_params;

/* What the file says, in everything. */
void vb_model_defaults(vb_model_params *p);
/* vb_model_open with parameters; p = NULL: defaults. Errors further: VB_ERR_ARGUMENT for values out of range,
 * and for those that would have no effect: what YaRN reads without YaRN, a factor without scaling, scaling
 * without a factor. */
int vb_model_open_with(vb_model **out, const vb_gguf *g, const vb_model_params *p, vb_error *err);
/* The settings of that table where parameters changed any, as one line; NULL: it is the file's. Whoever
 * reports which model it is says it: the same line, the same logits. */
const char *vb_model_rope(const vb_model *m);
void vb_model_close(vb_model *m);
const vb_model_info *vb_model_describe(const vb_model *m);

typedef struct vb_repack_params {
    const char *kernels; /* as in vb_context_params */
    int threads;         /* 0: one per physical core */
    /* Called between pieces with the bytes done and to do; true stops with VB_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    uint64_t reserve; /* bytes that must stay free besides the copies, for caches and the like */
} vb_repack_params;

/* Copies the block-quantised matrices into memory, 16 rows interleaved, as the SIMD kernels like them best;
 * without it they interleave on the way, a little slower. The pages of the file are given back as it goes, so
 * the weights are not held twice. The output does not change by a bit (P1). To be called once, after
 * vb_model_open and before anything else uses the model; p = NULL: defaults. Does nothing for the reference
 * kernels. Errors: VB_ERR_MEMORY, also where the copies would take more than the machine, the process's
 * control groups and its limits leave; VB_ERR_UNSUPPORTED (kernels), VB_ERR_CANCELLED; the model then is as
 * before and can be used as mapped. */
int vb_model_repack(vb_model *m, const vb_repack_params *p, vb_error *err);
/* Bytes of the interleaved copies; 0 without them. Those of experts are made when a token first chooses them
 * and as long as there is room; they do not count here. */
/* For a draft model: from now on only these rows of the output matrix are multiplied. vb_logits then has n
 * floats, for ids[0..n), which ascend. To be called once, before vb_model_repack and before contexts are
 * opened, by nobody else's use of the model. The rows are copied. */
int vb_model_trim(vb_model *m, const int32_t *ids, size_t n, vb_error *err);
/* The ids of that, *n of them; NULL: all rows are there. */
const int32_t *vb_model_kept(const vb_model *m, size_t *n);
uint64_t vb_model_packed_bytes(const vb_model *m);

/* ----------------------------------------------------------------------------------------- offloading */

/* A backend that computes matrix products elsewhere (docs/offload.md). It must outlive the contexts that use
 * it; several may, from several threads (their products then wait for each other). */
typedef struct vb_offload vb_offload;

typedef enum vb_offload_class {
    VB_OFFLOAD_BITWISE = 0, /* the bits of the contract: P1 to P6 hold as without it */
    VB_OFFLOAD_BOUNDED /* other bits, within what float32 sums in another order give; P2 holds relative to the
                          backend and a width (vb_context_params.offload_width), P1 does not */
} vb_offload_class;

const char *vb_offload_class_name(vb_offload_class c);

typedef struct vb_offload_info {
    const char *name, *description, *path;
    vb_offload_class class_; /* as found on random weights when it was loaded */
    double error;      /* bounded: the largest |y - contract| / sum_i |w_i*x_i| that was measured there */
    uint64_t types;    /* bit t: it computed a product of weights of vb_type t there */
    uint64_t products; /* compared there */
} vb_offload_info;

/* Loads a backend: the path of a library (with a slash, or ending in .so), or NAME for verbatim-NAME.so in
 * the folder VERBATIM_OFFLOAD_PATH, beside the program, or in ../lib/verbatim. Compares it with the reference
 * and classes it. Errors: VB_ERR_IO (missing, cannot be loaded), VB_ERR_UNSUPPORTED (another version of the
 * interface, does not start, refused). */
int vb_offload_open(vb_offload **out, const char *name, vb_error *err);
void vb_offload_close(vb_offload *o);
const vb_offload_info *vb_offload_describe(const vb_offload *o);

typedef struct vb_offload_stats {
    uint64_t products;         /* asked for; the others below are parts of it */
    uint64_t computed;         /* by the backend */
    uint64_t declined, failed; /* computed by the CPU instead */
    int width;                 /* vectors per call; 0: as they come */
} vb_offload_stats;

/* ----------------------------------------------------------------------------------------- context */

typedef struct vb_context vb_context;

typedef enum vb_activations {
    VB_ACT_Q8 = 0, /* activations rounded to 8 bits per 32 values before block-quantised weights (default) */
    VB_ACT_Q16     /* 15 bits: the error is 1e-8 in KL, for golden vectors */
} vb_activations;

enum { VB_MAX_THREADS = 256, VB_MAX_BATCH = 4096 };

typedef struct vb_context_params {
    int n_ctx;     /* positions; 0: the model's training context, at most 4096 */
    int n_threads; /* 0: one per physical core. The bits do not depend on it (P1) */
    int batch;     /* most tokens evaluated together; 0: 64. The bits do not depend on it (P1) */
    vb_activations activations;
    /* Of the keys and of the values in the cache: VB_F16 (default), VB_F32, VB_BF16, VB_Q8_0 or VB_Q4_0, the
     * last two where heads are multiples of 32; keys there VB_Q8I, too, which is VB_Q8_0 with queries rounded
     * to 8 bits, for long contexts. How they round is in docs/numerics.md. */
    vb_type k_type, v_type;
    const char *kernels; /* NULL or "auto", "ref", or a name from vb_kernel_names() */
    /* Called between pieces of a long evaluation; true stops it with VB_ERR_CANCELLED. May be NULL. */
    bool (*cancel)(void *user);
    /* Called with every intermediate result, for recordings (docs/vectors.md). `values` has the shape (rows,
     * cols), row i belongs to position `position` + i. layer is -1 outside the layers. May be NULL. */
    void (*observe)(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values);
    void *user;
    vb_offload *offload; /* computes what it accepts; NULL (default): the CPU computes all */
    /* With a bounded backend: every product is padded or cut to this many vectors, so that the same tokens
     * give the same bits however they are cut into calls. Speculation needs it. 0 (default): as they come. At
     * most `batch`. */
    int offload_width;
    bool offload_check_all; /* compute everything on the CPU as well, not just a part, and compare */
    /* A context of the same model, whose threads and working memory this one uses too: each then costs its KV
     * cache and little more, and vb_eval_many evaluates them in one pass. All that share belong to one thread
     * at a time, and an evaluation of one ends the logits of the others. Everything but n_ctx (at most what
     * the first of them was opened with) and k_type and v_type are then as there. NULL (default): its own. */
    struct vb_context *share;
} vb_context_params;

/* Fills in the defaults. */
void vb_context_defaults(vb_context_params *p);
/* Checks parameters against a model as vb_context_open does, and allocates nothing. *bytes (may be NULL) is
 * what the KV cache takes when it is full. */
int vb_context_check(const vb_model *m, const vb_context_params *p, uint64_t *bytes, vb_error *err);
/* Allocates KV cache and scratch, once. Errors:
 * VB_ERR_ARGUMENT, VB_ERR_MEMORY, VB_ERR_UNSUPPORTED (kernels). */
int vb_context_open(vb_context **out, const vb_model *m, const vb_context_params *p, vb_error *err);
void vb_context_close(vb_context *c);

const vb_model *vb_context_model(const vb_context *c);
int vb_context_size(const vb_context *c);   /* positions it can hold */
int vb_context_length(const vb_context *c); /* positions it holds */
uint64_t vb_context_bytes(const vb_context *c);
const char *vb_context_kernels(const vb_context *c); /* the name of the kernels chosen */
int vb_context_threads(const vb_context *c);
/* Watches how long these threads wait, from now on, or no longer: costs two looks at the clock per task. */
void vb_context_watch(vb_context *c, bool on);
/* Seconds, of all of them together, that they waited since then, for one another or for what one thread does
 * alone; over threads times time that is the share that waits. 0 while nobody watches. */
double vb_context_waited(const vb_context *c);
const vb_offload *vb_context_offload(const vb_context *c); /* NULL: none */
void vb_context_offload_stats(const vb_context *c, vb_offload_stats *out);

/* How many experts evaluations have used since the context (or the one it shares memory with) was opened; 0
 * in models without experts. experts/layers is the mean number of distinct experts of a layer per call, each
 * of which was read once; rows/layers the mean number of tokens per call. */
typedef struct vb_expert_stats {
    uint64_t layers;  /* layers with experts, counted once per call (of at most params.batch tokens) */
    uint64_t rows;    /* tokens that went through them */
    uint64_t experts; /* distinct experts that were used, added up over these layers */
} vb_expert_stats;
void vb_context_expert_stats(const vb_context *c, vb_expert_stats *out);

/* Evaluates tokens[0..n) at positions length..length+n-1 and appends them. want[i] != 0 asks for the logits
 * after token i; want = NULL asks for the last one only. Any split of a sequence into calls gives the same
 * bits (P1). On error the context is as before the call. Errors: VB_ERR_ARGUMENT (an id outside the
 * vocabulary), VB_ERR_FULL, VB_ERR_NUMERIC, VB_ERR_CANCELLED. */
int vb_eval(vb_context *c, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err);
/* The logits (n_vocab) after token i of the last vb_eval; NULL if they were not asked for. Valid until the
 * next call on this context or one that it shares with. */
const float *vb_logits(const vb_context *c, size_t i);
/* Several sequences. */
typedef struct vb_eval_item {
    vb_context *context; /* as the arguments of vb_eval */
    const int32_t *tokens;
    size_t n;
    const uint8_t *want;
    vb_error *err; /* may be NULL */
    int code;      /* out: what vb_eval would have returned */
    /* (n) Where the tokens are a tree: the token of this call that token i follows, below i; -1: what the
     * context holds. A token sees its own path, and its position is that of the one it follows plus one.
     * NULL: a chain, parent[i] = i - 1. Where the context holds a tree already, the tokens go on with it, and
     * parents count from its first token. */
    const int32_t *parent;
} vb_eval_item;

/* vb_eval for each item, with one reading of the weights for all contexts that share
 * (vb_context_params.share). The bits are those of evaluating each alone (P1), and an item that fails leaves
 * its context as it was and does not concern the others. A context may come up once. Returns VB_OK or the
 * first code that is not. */
int vb_eval_many(vb_eval_item *items, size_t n);
/* Forgets positions n and above. [0, n) are then byte for byte what a cache holds that never
 * saw more (P4). */
int vb_context_truncate(vb_context *c, int n, vb_error *err);
/* After the evaluations of a tree (vb_eval_item.parent): the path rows[0..k) of its tokens stays, as
 * positions n to n + k - 1, where n is what the context held before; the rest is forgotten. rows[0] follows
 * what was held, each other one the one before it. The cache is then byte for byte one that was fed the path
 * as a chain (P4). Until then the context takes only more of the tree. k = 0: none stays. After a chain, rows
 * 0 to k - 1 can stay: vb_context_truncate(c, n + k). Errors: VB_ERR_ARGUMENT; everything is then as
 * before. */
int vb_context_keep(vb_context *c, int n, const int32_t *rows, size_t k, vb_error *err);
/* Makes `to` hold what `from` holds at positions [0, n), byte for byte: what evaluating the same tokens there
 * would give (P4). Both are of one model, with the same activations, k_type and v_type. Errors:
 * VB_ERR_ARGUMENT, VB_ERR_FULL (`to` is too short); `to` is then as before. */
int vb_context_copy(vb_context *to, const vb_context *from, int n, vb_error *err);
/* XXH3-128 of the KV cache over positions [0, length), as 16 bytes; while a tree is held, over those before
 * it. */
void vb_context_hash(const vb_context *c, uint8_t hash[16]);
/* log softmax of one logit, in float64, over the whole vocabulary (P5). */
double vb_logprob(const float *logits, int n_vocab, int32_t id);

/* The oracle: the same model in float64, weights dequantised exactly, activations never quantised. Slow by
 * design. logits: (n, n_vocab), row i follows tokens[i]. */
int vb_oracle(const vb_model *m, const int32_t *tokens, size_t n, double *logits, vb_error *err);

/* NULL-terminated names of the kernel sets in this build that this CPU can run, best last. */
const char *const *vb_kernel_names(void);
/* The one that a name stands for: itself, or for NULL and "auto" what VERBATIM_KERNELS names, else the best.
 * VB_ERR_UNSUPPORTED, with a message that lists what is there, if it cannot run here. */
int vb_kernels_resolve(const char *name, const char **out, vb_error *err);
/* What this CPU has that kernels use, in words: "AVX2 with FMA and F16C, AVX-512 with VNNI". */
const char *vb_cpu_describe(void);

/* ----------------------------------------------------------------------------------------- sampling */

typedef struct vb_logit_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY bans the id */
} vb_logit_bias;

/* The distribution that is sampled, in this order: bias, mask, penalties, DRY, temperature (dynamic),
 * top-n-sigma, top-k, typical-p, top-p, min-p, XTC. The exact definition on integers: docs/speculation.md. */
typedef struct vb_sampling {
    double temperature;       /* 0: greedy, ties to the lowest id. Default 0.8 */
    int top_k;                /* 0: off. Default 40 */
    double top_p;             /* 1: off. Default 0.95 */
    double min_p;             /* 0: off. Default 0.05 */
    double repeat_penalty;    /* 1: off (default) */
    double presence_penalty;  /* 0: off (default) */
    double frequency_penalty; /* 0: off (default) */
    int penalty_last_n;       /* tokens of prompt and output looked back at; -1: all. Default 64 */
    const vb_logit_bias *bias;
    size_t n_bias;
    uint64_t seed;
    /* Off where they are 0, the default. Those but DRY need a temperature above 0. */
    double top_n_sigma;          /* ids whose logit is so many standard deviations below the largest stay */
    double typical_p;            /* ids whose surprise is nearest to the expected one stay; 1: off, too */
    double xtc_probability;      /* of leaving out all but the least likely of those above the threshold */
    double xtc_threshold;        /* default 0.1; above 0.5 nothing is ever left out */
    double dynatemp_range;       /* the temperature follows the entropy within temperature +- range */
    double dynatemp_exponent;    /* default 1 */
    double dry_multiplier;       /* of the penalty for an id that would go on a repeat */
    double dry_base;             /* default 1.75; at least 1 */
    int dry_allowed_length;      /* repeats shorter than this are not penalised. Default 2; at least 1 */
    int dry_last_n;              /* tokens looked back at; -1 (default): all, 0: off */
    const int32_t *dry_breakers; /* (n_dry_breakers) ids that no repeat goes across */
    size_t n_dry_breakers;
} vb_sampling;

void vb_sampling_defaults(vb_sampling *s);
/* VB_ERR_ARGUMENT naming the field that is out of range (not finite, negative, ...). */
int vb_sampling_check(const vb_sampling *s, int n_vocab, vb_error *err);

/* The ids whose text holds one of these strings, for vb_sampling.dry_breakers: ascending, in *ids (vb_free).
 * texts NULL: a line break, ":", "\"" and "*". VB_ERR_ARGUMENT for a string that no single token holds. */
int vb_dry_breakers(const vb_tokenizer *t, const char *const *texts, size_t n_texts, int32_t **ids, size_t *n,
                    vb_error *err);

/* A mask: which ids may follow, as a pure function of the ids generated so far, ids[0..n): those after the
 * text that was given last (a prompt, the next turn). vb_spec_params.mask puts it into the law of the target
 * and into the drafter's. A mask may keep what it knows about the last ids it was asked for; calls go forth
 * and back along the drafts, and never come from two threads at once. */
typedef struct vb_mask {
    void *self;
    /* Fills allowed[0..(n_vocab + 63)/64): bit id%64 of word id/64 is set iff id may follow; bits from
     * n_vocab on are 0. None set: nothing may follow (ids[0..n) is no prefix of anything allowed, or is
     * complete and ends without a stop token). */
    int (*at)(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err);
    /* May be NULL. Where only one text can follow: the ids that the tokenizer makes of it, at most max, into
     * out[0..*n_out); else *n_out = 0. They are proposed as drafts and verified like any other. */
    int (*forced)(void *self, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out, vb_error *err);
    int32_t n_vocab;  /* ids that it knows; ids of the model beyond are never allowed */
    const char *name; /* 32 hex digits: a hash of what it is. It goes into traces */
} vb_mask;

/* A distribution as exact integers: p(id[i]) = w[i] / total; ids ascending, w[i] > 0;
 * other ids have p = 0. */
typedef struct vb_dist {
    int32_t n;
    const int32_t *id;
    const uint64_t *w;
    uint64_t total;
} vb_dist;

/* ----------------------------------------------------------------------------------------- grammars */

/* A language over bytes: which texts are complete, and so which are beginnings of one (docs/grammar.md).
 * Immutable. */
typedef struct vb_grammar vb_grammar;

typedef enum vb_grammar_kind {
    VB_GRAMMAR_GBNF = 0,    /* rules, as llama.cpp's programs take them; the text is one of `root` */
    VB_GRAMMAR_REGEX,       /* a regular expression, which the whole text matches */
    VB_GRAMMAR_JSON_SCHEMA, /* JSON texts that are valid under a JSON schema */
    VB_GRAMMAR_JSON_OBJECT  /* any JSON object; the source text is not looked at */
} vb_grammar_kind;

/* Zeros are defaults. */
typedef struct vb_grammar_params {
    bool any_whitespace; /* schemas: white space wherever RFC 8259 allows it, in bounded runs */
    bool strict;         /* schemas: the subset that other servers call strict, where they differ */
} vb_grammar_params;

/* Reads a grammar. VB_ERR_FORMAT if it is none (names line or place), VB_ERR_UNSUPPORTED for what is not
 * supported, by name, and for what would take too much memory or time, VB_ERR_ARGUMENT if no text at all is
 * complete under it. p = NULL: defaults. */
int vb_grammar_open(vb_grammar **out, vb_grammar_kind kind, const char *text, size_t len,
                    const vb_grammar_params *p, vb_error *err);
void vb_grammar_close(vb_grammar *g);

typedef struct vb_grammar_facts {
    size_t rules, expressions, bytes;
} vb_grammar_facts;
void vb_grammar_describe(const vb_grammar *g, vb_grammar_facts *out);

/* What may follow a text, in bytes, whatever ids may spell: bit c % 64 of word c / 64 of `next` is set
 * iff byte c may come. *complete: the text may end here. No bit and not complete: it is no beginning
 * of a text of the grammar; *valid (may be NULL) is then the length of the longest beginning of it
 * that is one, else `len`. */
int vb_grammar_text(const vb_grammar *g, const char *text, size_t len, uint64_t next[4], bool *complete,
                    size_t *valid, vb_error *err);

/* What the ids of a tokenizer stand for, as a tree that masks are made with. Made once for a tokenizer
 * (a tenth of a second for 150,000 ids), shared by any number of constraints. Immutable. */
typedef struct vb_vocabulary vb_vocabulary;

/* n_vocab: ids of the model, the rows of its output matrix; 0: those of the tokenizer.
 * VB_ERR_UNSUPPORTED for a text of more than 2,048 bytes. The tokenizer must outlive it. */
int vb_vocabulary_open(vb_vocabulary **out, const vb_tokenizer *t, int32_t n_vocab, vb_error *err);
void vb_vocabulary_close(vb_vocabulary *v);

/* A grammar under a vocabulary: its states, and the masks of ids that follow from them, made as they
 * are needed and kept within a bound. Any number of guides share one, from any threads: it locks itself. */
typedef struct vb_constraint vb_constraint;

typedef struct vb_constraint_params {
    const int32_t *end; /* ids that end the text; NULL: all stops of the tokenizer (vb_stop_ids) */
    size_t n_end;
    const int32_t *banned; /* ids that are never generated (a bias of -infinity). Default: none */
    size_t n_banned;
    const int32_t
        *written; /* control ids that stand for their names, "[TOOL_CALLS]", where the grammar has them
                               as text. Default: none. A tree of its own is made then */
    size_t n_written;
    size_t max_bytes; /* of states and masks. 0: 64 MiB. What does not fit is forgotten and made again */
} vb_constraint_params;

/* VB_ERR_ARGUMENT if no text of the grammar can be spelled with these ids, or there is no end id. The grammar
 * and the vocabulary must outlive it. p = NULL: defaults. */
int vb_constraint_open(vb_constraint **out, const vb_grammar *g, const vb_vocabulary *v,
                       const vb_constraint_params *p, vb_error *err);
void vb_constraint_close(vb_constraint *c);

typedef struct vb_constraint_stats {
    uint64_t masks, kept;      /* masks asked for; those of them that were there already */
    double mask_s, slowest_s;  /* time that making them took, in all and the slowest one */
    uint64_t states, lexemes;  /* that exist now */
    size_t bytes, vocab_bytes; /* of states and masks; of the vocabulary's tries */
    uint64_t forgotten;        /* how often the bound was met */
    bool bytes_missing;        /* no id stands for some byte that the grammar uses */
} vb_constraint_stats;
void vb_constraint_stats_get(vb_constraint *c, vb_constraint_stats *out);

/* vb_grammar_text with the constraint's states, which it keeps. */
int vb_constraint_text(vb_constraint *c, const char *text, size_t len, uint64_t next[4], bool *complete,
                       size_t *valid, vb_error *err);

/* One generation under a constraint. Belongs to one thread at a time. */
typedef struct vb_guide vb_guide;

typedef struct vb_guide_params {
    /* The grammar begins after the first of these ids; until then all ids are allowed, end ids too if
     * `end_before`. None: it begins at once. */
    const int32_t *after;
    size_t n_after;
    bool end_before;
    /* With these, `after` counts only if the first id of the generation is one of them (a model that
     * opens its reasoning itself); else the grammar begins at once. */
    const int32_t *opens;
    size_t n_opens;
    const char *prefix; /* text that was given already and belongs to the grammar's: the ids go on from it */
    size_t n_prefix;
} vb_guide_params;

/* The constraint must outlive it. p = NULL: defaults. */
int vb_guide_open(vb_guide **out, vb_constraint *c, const vb_guide_params *p, vb_error *err);
void vb_guide_close(vb_guide *g);

typedef struct vb_guide_state {
    size_t valid;  /* so many of the ids are allowed one after the other; n: all */
    bool complete; /* the text may end here */
    bool only_end; /* and nothing else may follow */
    bool ended;    /* an end id came */
    bool begun;    /* the grammar has begun (vb_guide_params.after) */
} vb_guide_state;

/* ids[0..n): all tokens since the generation began. Each is a pure function of them; the guide keeps what it
 * knows of the last ones, so that going on by one id, or back, costs one step.
 * allowed: (n_vocab + 63)/64 words as in vb_mask.at. */
int vb_guide_allowed(vb_guide *g, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err);
/* Where only one text can follow: as vb_mask.forced. The last of its ids is left out where another id could
 * hold its text and more. */
int vb_guide_forced(vb_guide *g, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                    vb_error *err);
/* The text that must follow, as bytes: at most `room`. */
int vb_guide_forced_text(vb_guide *g, const int32_t *ids, size_t n, char *out, size_t room, size_t *len,
                         vb_error *err);
int vb_guide_at(vb_guide *g, const int32_t *ids, size_t n, vb_guide_state *out, vb_error *err);
/* The guide as a mask for vb_spec_params; valid as long as the guide. */
vb_mask vb_guide_mask(vb_guide *g);
/* An answer that calls tools, as a grammar: written as the model's template writes calls
 * (vb_calls_format). */
typedef struct vb_calls_wanted {
    const char *tools; /* JSON: the request's list of tools */
    size_t n_tools;    /* bytes */
    const char *name;  /* the tool that may be called; NULL: any */
    bool one;          /* one call, no more */
    /* The answer is calls, and their arguments are what the schemas say. Without it the answer is text, or
     * `content`, and calls may come (after text, or instead of content); the arguments of those tools whose
     * function.strict is true are what their schemas say, those of others any JSON object. */
    bool required;
    const char *content; /* without `required`: text that is no call is of this schema; NULL: any text */
    size_t n_content;
    vb_grammar_kind content_kind; /* VB_GRAMMAR_JSON_SCHEMA or VB_GRAMMAR_JSON_OBJECT */
} vb_calls_wanted;

/* Errors: those of vb_grammar_open; VB_ERR_UNSUPPORTED for a format whose arguments are no JSON objects. p =
 * NULL: defaults. */
int vb_grammar_open_calls(vb_grammar **out, const vb_call_format *f, const vb_calls_wanted *w,
                          const vb_grammar_params *p, vb_error *err);

/* ----------------------------------------------------------------------------------------- speculation */

typedef enum vb_accept {
    VB_ACCEPT_COUPLED =
        0,            /* shared-noise race: token for token what the target alone gives for this seed (P2) */
    VB_ACCEPT_GREEDY, /* accept the argmax; temperature 0 only (P2) */
    VB_ACCEPT_REJECTION, /* Leviathan et al. 2211.17192: the same law (P3) */
    VB_ACCEPT_BLOCK      /* Sun et al. 2403.10444: the same law, longer runs (P3) */
} vb_accept;

const char *vb_accept_name(vb_accept a);

typedef enum vb_draft {
    VB_DRAFT_NONE = 0, /* the target alone */
    VB_DRAFT_MODEL,    /* a smaller model, or the target itself in a context of its own */
    VB_DRAFT_NGRAM,    /* prompt lookup: what followed the last time these tokens came up */
    VB_DRAFT_FORCED,   /* only what the mask says must follow, which the others draft as well */
    VB_DRAFT_SUFFIX    /* what followed the longest repeat of the path's end, in the path or in a corpus */
} vb_draft;

/* Texts as ids, indexed for drafts that are copied from them. Immutable: any number of generations share
 * one. It takes about 100 bytes a token. */
typedef struct vb_corpus vb_corpus;

/* tokens[0..n), copied; -1 separates texts. At most 2^28. */
int vb_corpus_open(vb_corpus **out, const int32_t *tokens, size_t n, vb_error *err);
/* The texts of files. Errors further: VB_ERR_IO, those of vb_tokenize. */
int vb_corpus_read(vb_corpus **out, const vb_tokenizer *t, const char *const *paths, size_t n_paths,
                   vb_error *err);
/* For vb_model_trim: n ids of a vocabulary, ascending, in *ids (vb_free). Those that end a text, then those
 * that the files hold most often, then the lowest: byte-pair vocabularies are numbered by frequency. */
int vb_vocab_frequent(const vb_tokenizer *t, const char *const *paths, size_t n_paths, size_t n,
                      int32_t **ids, vb_error *err);
void vb_corpus_close(vb_corpus *c);
size_t vb_corpus_tokens(const vb_corpus *c);
/* XXH3-64 of its ids, the same on every machine. */
uint64_t vb_corpus_hash(const vb_corpus *c);

/* What passes cost on a machine: times in thousandths of that of one token of the target behind an empty
 * cache. Integers, so that they can be written down and are the same again. */
#define VB_COST_ROWS 16
typedef struct vb_costs {
    int32_t far; /* positions behind which the second curve was measured */
    /* T tokens of the target in one pass at [T - 1]: [0] behind an empty cache, [1] behind `far` positions.
     * Ascending in T. */
    int32_t target[2][VB_COST_ROWS];
    int32_t draft[2];   /* a token of the draft model at those; 0: nobody evaluates anything to draft */
    int32_t draft_read; /* a token of text that the draft model reads among others */
    double token_s;     /* seconds of that one token, for reports: no choice depends on it */
} vb_costs;

/* What was measured on some machine, for where nothing is: four tokens at the price of one, the draft a sixth
 * of the target. */
void vb_costs_typical(vb_costs *out);
/* Measures both contexts, which must be empty and are empty again afterwards; draft NULL: no model drafts.
 * Takes some thirty passes. Errors: those of vb_eval. */
int vb_costs_measure(vb_costs *out, vb_context *target, vb_context *draft, vb_error *err);
/* VB_ERR_ARGUMENT where a figure makes no sense: names it. */
int vb_costs_check(const vb_costs *c, vb_error *err);
/* XXH3-64 of the figures that lengths depend on, the same on every machine: what a request's fingerprint
 * names. */
uint64_t vb_costs_hash(const vb_costs *c);

/* vb_spec_params.gamma: each step's length is chosen, 0 to 15 (docs/speculation.md, "How many tokens"): from
 * vb_spec_params.costs, what came of this generation's drafts so far, and how sure the draft model is. Under
 * VB_ACCEPT_REJECTION and VB_ACCEPT_BLOCK a function of these alone, so that a seed's text can be had again;
 * under the others, which promise the text anyway, sequences that share a pass count too. */
#define VB_GAMMA_AUTO (-1)

/* vb_spec_params.tree[0]: with VB_GAMMA_AUTO each step is a chain or a tree, whichever is expected to bring
 * more tokens per time by the costs and by what came of this generation's drafts. */
enum { VB_TREE_DEPTH = 16, VB_TREE_AUTO = -1 };

typedef struct vb_spec_params {
    vb_accept accept;
    vb_draft draft;
    vb_context *draft_context; /* for VB_DRAFT_MODEL; belongs to the vb_spec while it lives */
    int gamma;                 /* tokens drafted per step, 1..32, or VB_GAMMA_AUTO. Default 5 */
    /* The draft model proposes a tree: tree[0] tokens after the path, tree[1] after each of these, and so on;
     * 0 ends the list. At most 32 tokens in all, whatever gamma says. Not under VB_ACCEPT_BLOCK, whose rule
     * judges chains. {0} (default): a chain of gamma tokens. */
    int tree[VB_TREE_DEPTH];
    const vb_costs *costs; /* for VB_GAMMA_AUTO. Copied. NULL (default): vb_costs_typical */
    /* Lengths to be used again (vb_step.n_drafted of each step of an earlier run): step i drafts at most
     * lengths[i] tokens, whatever gamma would say; those beyond n_lengths are gamma's. Copied. */
    const int32_t *lengths;
    size_t n_lengths;
    int32_t draft_vocab; /* ids below this are drafted (vb_vocab_compatible); 0: all of the target's */
    /* For VB_DRAFT_MODEL, both or neither (default): the two vocabularies are not one (vb_vocab_compatible
     * says so). The draft model reads the path as text and writes text, which is proposed in the target's
     * ids; q is one-hot. Both must outlive the vb_spec. */
    const vb_tokenizer *target_tokenizer, *draft_tokenizer;
    /* With these: what the draft's cache holds, in its own ids (vb_spec_draft_tokens of an earlier vb_spec);
     * where it holds something else, that is forgotten. Copied. */
    const int32_t *draft_history;
    size_t n_draft_history;
    int ngram_max, ngram_min; /* lengths of the suffix looked up. Default 4, 1 */
    /* Copies of what followed an earlier occurrence of the path's last tokens: the shortest match that
     * proposes. VB_DRAFT_SUFFIX: 0 means 2. VB_DRAFT_MODEL: the model drafts where the match is shorter; 0
     * (default): it always does. */
    int suffix_min;
    const vb_corpus *corpus; /* searched beside the path. Must outlive the vb_spec. Default: none */
    const int32_t *stop;     /* ids that end the output */
    size_t n_stop;
    /* The tokens that the target's cache holds already, all of them: n_history = vb_context_length(target).
     * The draft's cache, if it is not empty, must hold the first ones of these (but see draft_history).
     * Copied. Default: none. */
    const int32_t *history;
    size_t n_history;
    bool logprobs; /* fill in vb_emitted.logprob;
                      off saves a pass over the vocabulary per token. Default true */
    /* Which ids may be generated; NULL (default): all. What it points to must outlive the vb_spec, and serves
     * no other one meanwhile. A step that finds that nothing may follow fails with VB_ERR_MASK. */
    const vb_mask *mask;
} vb_spec_params;

void vb_spec_defaults(vb_spec_params *p);
/* "3,2,1" as vb_spec_params.tree; "off": {0}; "auto": {VB_TREE_AUTO}. VB_ERR_ARGUMENT: not such a list, or
 * more than 32 tokens. */
int vb_draft_tree_read(const char *text, int tree[VB_TREE_DEPTH], vb_error *err);
/* All tokens of a tree of that shape; 0 of {0}. */
int vb_draft_tree_size(const int tree[VB_TREE_DEPTH]);

/* A coin: a uniform integer below `bound`, both 128 bits, and the Philox counter it came from. */
typedef struct vb_coin {
    uint32_t counter[4]; /* (position, offset or id, purpose, index) */
    uint64_t value_hi, value_lo, bound_hi, bound_lo;
} vb_coin;

typedef enum vb_origin {
    VB_FROM_TARGET = 0, /* no draft was involved */
    VB_FROM_DRAFT,      /* drafted and accepted */
    VB_FROM_RESIDUAL,   /* the target's own choice where a draft was rejected */
    VB_FROM_BONUS       /* the target's own choice after all drafts were accepted */
} vb_origin;

/* One drafted token and what became of it. */
typedef struct vb_drafted {
    int32_t id;
    int32_t parent; /* the draft that it follows, one before it in the list; -1: none. In a chain i - 1 */
    bool tested;   /* compared with the target: every draft up to and including the first rejection; of a tree
                    those whose siblings before them were rejected, behind one that is accepted */
    bool accepted; /* and emitted */
    uint64_t p_w, p_total; /* p(id) = p_w/p_total under the target, after truncation (greedy: 1/1 or 0/1) */
    uint64_t q_w, q_total; /* q(id) = q_w/q_total, what it was drawn from */
    bool has_draw, has_coin;
    bool forced;  /* text that must follow, proposed because the mask says so: q is one-hot */
    bool copied;  /* what followed a repeat, in front of a draft model: q is one-hot */
    vb_coin draw; /* that drew it from q (rejection, block) */
    vb_coin coin; /* that decided (rejection, block) */
} vb_drafted;

typedef struct vb_emitted {
    int32_t id;
    vb_origin origin;
    double
        logprob; /* log softmax of the target's raw logits, before temperature (P5); NaN when not asked for */
    bool stop;   /* an id of vb_spec_params.stop: the output ends before it */
} vb_emitted;

/* What one step did. Pointers are valid until the next call on the same vb_spec. */
typedef struct vb_step {
    int32_t position; /* of the first token emitted, counted from the start of the prompt */
    int n_drafted, n_tested, n_accepted;
    const vb_drafted *drafted; /* (n_drafted) */
    const int32_t
        *kept;     /* (n_accepted) the accepted ones, each the parent of the next: 0, 1, ... in a chain */
    int n_emitted; /* n_accepted + 1, or fewer when a stop token or max_emit ended it */
    const vb_emitted *emitted;
    bool has_final; /* `final` drew the last token (rejection, block; also a bonus) */
    vb_coin final;  /* coin of the residual or bonus draw */
    /* (n_drafted + 1) The target's distribution after draft i - 1 (0: after the path), where it was asked
     * for, else empty: that of emitted[i] is p[i ? kept[i - 1] + 1 : 0]. */
    const vb_dist *p;
    const vb_dist *q; /* (n_drafted) the drafter's */
    /* (n_drafted + 1) What the mask said where p was computed: XXH3-128 of the bits of all ids, id 0 the
     * lowest of the first byte. NULL: no mask. */
    const uint8_t (*mask)[16];
    const float *const *logits;         /* (n_emitted) the raw logits that each emitted token came from */
    double draft_s, verify_s, sample_s; /* of vb_spec_step_many: the first two are shared by all its steps */
    int n_text; /* vb_spec_step_many: so many tokens of given text were evaluated, and nothing was emitted.
                   Else 0 */
} vb_step;

typedef struct vb_stats {
    uint64_t steps, target_calls, emitted;
    uint64_t drafted, tested, accepted;      /* acceptance = accepted/drafted, alpha = accepted/tested */
    uint64_t tested_at[32], accepted_at[32]; /* per position in the draft; in a tree on its own path */
    uint64_t by_length[33];                  /* steps that drafted so many tokens */
    uint64_t draft_calls; /* evaluations of the draft model, those that read alone left out */
    double likely;        /* sum over tested drafts of p(draft): what equality accepts of them on average */
    double prompt_s, draft_s, verify_s, sample_s;
    uint64_t prompt_tokens;
} vb_stats;

typedef struct vb_spec vb_spec;

/* Speculative generation on `target` (whose cache may hold a prefix already: vb_spec_params.history). With
 * VB_DRAFT_NONE it is the target alone: the same race with the same noise whatever `accept` says. Errors:
 * VB_ERR_ARGUMENT for combinations that make no sense (VB_ACCEPT_GREEDY with a temperature above 0, gamma out
 * of range, ...). */
int vb_spec_open(vb_spec **out, vb_context *target, const vb_sampling *s, const vb_spec_params *p,
                 vb_error *err);
void vb_spec_close(vb_spec *s);
/* Evaluates tokens as given text (a prompt, or the next turn of a conversation). At least one token must have
 * been given before the first step. */
int vb_spec_prompt(vb_spec *s, const int32_t *tokens, size_t n, vb_error *err);
/* The same, evaluated by the steps that follow instead of here. */
int vb_spec_give(vb_spec *s, const int32_t *tokens, size_t n, vb_error *err);
/* One step: draft, verify, accept, roll back. Emits 1..gamma+1 tokens, at most max_emit (>= 1). A stop token
 * is emitted (with `stop` set), belongs to vb_spec_tokens, and is the step's last. VB_ERR_FULL when the
 * target's context holds no further token; a draft whose context is full stops drafting instead. On any error
 * both caches are rolled back and the call can be repeated. */
int vb_spec_step(vb_spec *s, size_t max_emit, vb_step *step, vb_error *err);
/* A step of one of several generations. */
typedef struct vb_step_item {
    vb_spec *spec;
    size_t max_emit; /* as in vb_spec_step */
    size_t max_text; /* most tokens of given text to evaluate in this call. 0: a few hundred */
    vb_error *err;   /* may be NULL; no other item's */
    vb_step step;    /* out */
    int code;        /* out: what vb_spec_step would have returned */
} vb_step_item;

/* A step of each of n <= 64 generations, together: what their models evaluate shares a pass where their
 * contexts share (vb_context_params.share). A generation whose given text (vb_spec_give) is not all evaluated
 * goes on with that instead of making a step: step.n_text says how far, and n_emitted is 0. Every generation
 * gets the bits that it gets alone (P1, P2); one that fails is rolled back and does not concern the others.
 * The pointers in all `step`s are valid until the next call on any of the contexts. Returns VB_OK or the
 * first code that is not. */
int vb_spec_step_many(vb_step_item *items, size_t n);
/* All tokens so far: prompt and output. */
const int32_t *vb_spec_tokens(const vb_spec *s, size_t *n);
/* What the draft model's cache holds: the first of these, or ids of its own where it drafts through text.
 * NULL: no model drafts. Valid until the next call. */
const int32_t *vb_spec_draft_tokens(const vb_spec *s, size_t *n);
void vb_spec_stats(const vb_spec *s, vb_stats *out);

/* ----------------------------------------------------------------------------------------- traces */

/* A record of a generation from which every decision can be derived again without the models: one line of
 * JSON per step, chained by hashes (docs/trace.md). The same generation gives the same bytes on every
 * machine. */
typedef struct vb_trace vb_trace;

typedef struct vb_trace_params {
    /* Takes one line, newline included. Returns 0; anything else becomes VB_ERR_IO. */
    int (*write)(void *user, const char *line, size_t len);
    void *user;
    const vb_tokenizer *tokenizer; /* for the texts of ids; NULL: no texts */
    const char *target, *draft;    /* names of the models, or NULL */
    const char *rope, *draft_rope; /* vb_model_rope of both */
    bool full;                     /* also all weights of p and q, and the hash of each row of logits */
} vb_trace_params;

/* Writes the header line. Errors: VB_ERR_IO, VB_ERR_MEMORY. The vb_spec must outlive the trace. */
int vb_trace_open(vb_trace **out, const vb_spec *s, const vb_trace_params *p, vb_error *err);
/* Writes a step, right after vb_spec_step and before anything else is done with the vb_spec; in front of it
 * the tokens that were given as text since the last one. */
int vb_trace_step(vb_trace *t, const vb_step *step, vb_error *err);
/* Writes the last line and frees the trace, also on error. */
int vb_trace_close(vb_trace *t, vb_error *err);

/* ----------------------------------------------------------------------------------------- quantising */

/* How far vb_quantize is, and with `done` what became of a tensor. */
typedef struct vb_quantize_progress {
    const vb_tensor *tensor; /* of the input */
    size_t index, count;     /* it is number `index` of `count` */
    vb_type type;            /* in the output */
    vb_type wanted;          /* what the mix asks for; differs from `type` where rows are not whole blocks */
    uint64_t bytes;          /* in the output */
    double fraction;         /* of this tensor that is written */
    bool done;
    double rmse;     /* root mean square of what was lost; with `done` */
    double relative; /* the same over the root mean square of the tensor */
} vb_quantize_progress;

typedef struct vb_quantize_params {
    const char *type;           /* one of vb_quantize_types() */
    bool pure;                  /* every matrix that type, the output matrix and attn_v too */
    bool force;                 /* replace an existing output */
    int n_threads;              /* 0: one per physical core. The bytes do not depend on it */
    bool (*cancel)(void *user); /* true stops with VB_ERR_CANCELLED. May be NULL */
    void (*progress)(void *user, const vb_quantize_progress *p); /* may be NULL */
    void *user;
} vb_quantize_params;

typedef struct vb_quantize_summary {
    uint64_t tensors, fallbacks, parameters, bytes_in, bytes_out;
    double error, square; /* sums over all values: of (x - decoded)^2 and of x^2 */
    double relative;      /* sqrt(error/square) */
    double seconds;
} vb_quantize_summary;

/* NULL-terminated names of the types and mixes that vb_quantize writes, largest first. */
const char *const *vb_quantize_types(void);

/* Writes the F32, F16 or BF16 model `in` to `out` with its matrices in fewer bits (docs/quantize.md):
 * metadata byte for byte but for general.file_type and general.quantization_version, tensors in file order.
 * Holds a few megabytes, not the model. `out` appears when it is complete; until then it is `out`.part-PID,
 * which is removed on any error. The bytes are the same on every platform. Errors: VB_ERR_ARGUMENT (unknown
 * type, `out` exists or is `in`), VB_ERR_UNSUPPORTED (a tensor is quantised already), VB_ERR_NUMERIC (a value
 * is not finite or too large: names tensor and element), VB_ERR_IO (a full disk), VB_ERR_CANCELLED, and those
 * of vb_gguf_open. `summary` may be NULL. */
int vb_quantize(const char *in, const char *out, const vb_quantize_params *p, vb_quantize_summary *summary,
                vb_error *err);

#ifdef __cplusplus
}
#endif
#endif
