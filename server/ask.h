/* ask.h - what a client asks for: a body of JSON, checked field by field. Pure: knows neither HTTP nor the
 * engine. docs/server.md lists the fields. */
#ifndef VERBATIM_SERVER_ASK_H
#define VERBATIM_SERVER_ASK_H

#include "server/text.h"

#include <jansson.h>

#define VBS_MAX_CHOICES  16 /* n times the number of prompts */
#define VBS_MAX_MESSAGES 4096
#define VBS_MAX_RENAMED  8
/* Of a body's JSON: depth, values, and lists and objects among these. */
#define VBS_MAX_DEPTH      32
#define VBS_MAX_VALUES     1048576
#define VBS_MAX_CONTAINERS 65536

/* Why a request is refused: an HTTP status and the fields of the API's error object. */
typedef struct vbs_problem {
    int status;       /* 0: no problem */
    const char *type; /* static strings; param and code may be NULL */
    const char *code;
    char param[64];
    char message[1024];
} vbs_problem;

/* Fills *p and returns -1. */
int vbs_refuse(vbs_problem *p, int status, const char *type, const char *code, const char *param,
               const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 6, 7)))
#endif
    ;
#define VBS_BAD(p, param, ...) vbs_refuse(p, 400, "invalid_request_error", NULL, param, __VA_ARGS__)

typedef struct vbs_preset {
    const char *name;
    int gamma;
} vbs_preset;
extern const vbs_preset VBS_PRESETS[]; /* fast, balanced, max, auto, off; ends with name == NULL */
json_t *vbs_gamma_json(int gamma);     /* a number or "auto" */
const vbs_preset *vbs_find_preset(const char *name, size_t len);

/* What a request is read against: the server's settings. */
typedef struct vbs_terms {
    const char *name;              /* of the model, without a preset */
    int gamma;                     /* of the default preset */
    int tree[VB_TREE_DEPTH];       /* where a request says neither preset, gamma nor tree */
    bool has_draft;                /* false: presets other than off are not there */
    const char *draft;             /* the draft model's file; NULL: there is none */
    vb_sampling sampling;          /* where the request says nothing */
    const vb_tokenizer *tokenizer; /* of the target: which ids break repeats (DRY) */
    vb_accept accept;
    int64_t max_tokens;     /* the same; 0: as the API, 16 for completions, no limit for chat; -1: no limit */
    int32_t n_vocab, n_ctx; /* n_ctx: positions of a slot */
    bool ignore_tools;
    const char *system_prompt; /* for conversations without one; NULL or "": none */
    /* Of the chat template. */
    const vb_chat *template; /* NULL: there is none */
    bool shows_tools;        /* to the model */
    bool reads_calls;        /* how it writes calls is known: those of the model are told from text */
    bool strict_calls;       /* a call without its marks is content */
    bool forces_calls;       /* and a grammar can write them */
    bool continue_final; /* an assistant's message at the end is gone on with where a request does not say */
} vbs_terms;

typedef enum vbs_tool_choice {
    VBS_TOOLS_AUTO = 0,
    VBS_TOOLS_NONE,     /* the model is not shown any */
    VBS_TOOLS_REQUIRED, /* at least one call */
    VBS_TOOLS_NAMED     /* a call of vbs_ask.tool_name */
} vbs_tool_choice;

/* Where an answer's reasoning goes. */
typedef enum vbs_reasoning {
    VBS_REASONING_APART = 0, /* reasoning_content */
    VBS_REASONING_CONTENT,   /* it stays in the content, with its markers */
    VBS_REASONING_HIDDEN     /* nowhere */
} vbs_reasoning;

/* Whether `id` is a model served here: NAME, then *preset is NULL, or NAME:PRESET. */
bool vbs_find_model(const vbs_terms *t, const char *id, const vbs_preset **preset);

/* What the text must look like. */
typedef enum vbs_shape_kind {
    VBS_SHAPE_NONE = 0,
    VBS_SHAPE_SCHEMA, /* JSON that is valid under a schema */
    VBS_SHAPE_OBJECT, /* any JSON object */
    VBS_SHAPE_GBNF,
    VBS_SHAPE_REGEX
} vbs_shape_kind;

typedef struct vbs_prompt {
    const char *text; /* NULL: ids are given */
    size_t len;
    int32_t *ids; /* (n) */
    size_t n;
} vbs_prompt;

typedef struct vbs_ask {
    json_t *root; /* owns the strings below */
    bool chat, stream, include_usage, verbatim, logprobs, token_ids, ignore_eos, has_seed;
    bool law;        /* post_sampling_probs: probabilities in the law instead of log-probabilities */
    char model[256]; /* the id as it is reported */
    /* Chat: JSON for the template, an object with messages, tools and whatever else it is given. */
    char *variables;
    size_t n_variables;
    char *tools; /* JSON: the list of tools that may be called; NULL: none */
    size_t n_tools;
    vbs_tool_choice tool_choice;
    char tool_name[128]; /* with VBS_TOOLS_NAMED */
    bool loose_calls;    /* calls without their marks are calls (vb_answer_params.loose) */
    bool one_call;       /* parallel_tool_calls: false */
    bool continue_last;  /* the last message is gone on with */
    bool open_turn;      /* add_generation_prompt */
    vbs_reasoning reasoning;
    vbs_shape_kind shape;
    char *shape_text; /* (n_shape) its source; NULL for VBS_SHAPE_OBJECT */
    size_t n_shape;
    const char *shape_field; /* that said so */
    bool shape_whitespace, shape_strict;
    bool strict_tools; /* one of the tools is marked so */
    bool has_date;
    int date[6];
    vbs_prompt *prompts; /* completions: (n_prompts) */
    size_t n_prompts;
    int n; /* choices per prompt */
    vb_sampling sampling;
    vb_logit_bias *bias;
    int32_t *breakers;
    vb_accept accept;
    int gamma;
    int tree[VB_TREE_DEPTH]; /* instead of gamma; {0}: gamma */
    size_t max_tokens;       /* 0: as many as the context holds */
    int n_top;
    vbs_stop stops[VBS_MAX_STOPS];
    int n_stops;
    json_t *warnings;                                 /* array of strings */
    const struct vbs_alias *renamed[VBS_MAX_RENAMED]; /* fields that came under another name */
    int n_renamed;
} vbs_ask;

/* Reads a body. Returns 0, or -1 with *p filled in. Close it either way. */
int vbs_ask_read(vbs_ask *a, bool chat, const char *body, size_t n, const vbs_terms *t, vbs_problem *p);
void vbs_ask_close(vbs_ask *a);
/* The key of choice `i`: the seed itself for 0, else a 53-bit mix of seed and i. */
uint64_t vbs_choice_seed(uint64_t seed, int i);
/* 64 bits from the system; false if it has none. */
bool vbs_random(uint64_t *bits);
/* ask_json.c: JSON of a client. Refuses what is nested too deeply, has too many values, has a key twice or
 * holds what is no text; skips a byte order mark. */
json_t *vbs_json_read(const char *body, size_t n, vbs_problem *p);

/* Fields, for ask_*.c. Each returns 0 or -1;
 * *set (may be NULL) says whether the field is there and not null. */
int vbs_get_bool(const json_t *root, const char *key, bool *out, bool *set, vbs_problem *p);
int vbs_get_int(const json_t *root, const char *key, int64_t min, int64_t max, int64_t *out, bool *set,
                vbs_problem *p);
int vbs_get_real(const json_t *root, const char *key, double min, double max, double *out, bool *set,
                 vbs_problem *p);
const json_t *vbs_get(const json_t *root, const char *key); /* NULL also for null */
/* ask_chat.c: a->variables and what else a conversation comes with. */
int vbs_ask_chat(vbs_ask *a, const vbs_terms *t, vbs_problem *p);
/* ask_messages.c: the messages as a template takes them, a list to be released; NULL with *p. *last says
 * what is asked of the last one: whether it may be gone on with, and whether that is asked for. */
typedef struct vbs_last {
    bool assistant, calls; /* it is the assistant's; it calls tools */
    bool marked;           /* "prefix": true, "partial": true */
} vbs_last;
json_t *vbs_ask_messages(vbs_ask *a, const vbs_terms *t, vbs_last *last, vbs_problem *p);
/* ask_tools.c: a->tools, tool_choice and so on; *shown is what the template is given (not to be released), or
 * NULL. */
int vbs_ask_tools(vbs_ask *a, const vbs_terms *t, const json_t **shown, vbs_problem *p);
/* ask_shape.c: a->shape. */
int vbs_ask_shape(vbs_ask *a, vbs_problem *p);
/* Whether calls are part of what the text must look like: a call is demanded, or a tool is strict. */
static inline bool vbs_ask_forces(const vbs_ask *a) {
    return a->tools &&
           (a->tool_choice == VBS_TOOLS_REQUIRED || a->tool_choice == VBS_TOOLS_NAMED || a->strict_tools);
}
/* Whether the answer is under a grammar. */
static inline bool vbs_ask_shaped(const vbs_ask *a) {
    return a->shape != VBS_SHAPE_NONE || vbs_ask_forces(a);
}
/* ask_reasoning.c: switches of reasoning, as variables of the template. */
int vbs_ask_reasoning(vbs_ask *a, const vbs_terms *t, json_t *variables, vbs_problem *p);
/* The template's variable that turns thinking on and off, or NULL. */
const char *vbs_thinking_switch(const vb_chat *template);
/* ask_prompt.c: prompts of a completion. */
int vbs_ask_prompts(vbs_ask *a, const vbs_terms *t, vbs_problem *p);
/* ask_fields.c. Fields under the names that they have here; what a problem says of them, under those the
 * client used. */
int vbs_ask_aliases(vbs_ask *a, vbs_problem *p);
void vbs_ask_rename(const vbs_ask *a, vbs_problem *p);
/* Everything a request may not have, and what is ignored. After sampling and n have been read. */
int vbs_ask_foreign(vbs_ask *a, const vbs_terms *t, vbs_problem *p);
void vbs_ask_warn(vbs_ask *a, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#endif
