/* parse.h - a template as tokens, then as a tree. Internal. */
#ifndef VB_CHAT_PARSE_H
#define VB_CHAT_PARSE_H

#include "chat/text.h"

/* ---------------------------------------------------------------------------------------------- lexer.c */

typedef enum vbt_token_type {
    VBT_T_DATA,  /* text between tags */
    VBT_T_PRINT, /* {{ */
    VBT_T_PRINT_END,
    VBT_T_TAG, /* {% */
    VBT_T_TAG_END,
    VBT_T_NAME,
    VBT_T_STRING,
    VBT_T_NUMBER, /* an int or a float */
    VBT_T_OP,
    VBT_T_END
} vbt_token_type;

/* Operators of two characters; those of one are the character itself. */
enum { VBT_OP_EQ = 256, VBT_OP_NE, VBT_OP_LE, VBT_OP_GE, VBT_OP_FLOORDIV, VBT_OP_POW };

typedef struct vbt_token {
    vbt_token_type type;
    int line;
    int op;
    vbt_val value; /* strings, numbers; names: a string that is the same object wherever the name stands */
} vbt_token;

/* The last token is VBT_T_END. */
const vbt_token *vbt_lex(vbt *t, const char *text, size_t n);

/* ------------------------------------------------------------------------------------------- the tree */

typedef enum vbt_kind {
    /* expressions */
    VBT_N_CONST,
    VBT_N_NAME,
    VBT_N_NSREF, /* name.attribute as a target */
    VBT_N_TUPLE,
    VBT_N_LIST,
    VBT_N_DICT,
    VBT_N_PAIR,
    VBT_N_ATTRIBUTE,
    VBT_N_ITEM,
    VBT_N_SLICE,
    VBT_N_CALL,
    VBT_N_FILTER,
    VBT_N_TEST,
    VBT_N_IF_ELSE,
    VBT_N_AND,
    VBT_N_OR,
    VBT_N_NOT,
    VBT_N_COMPARE,
    VBT_N_BINARY,
    VBT_N_CONCAT,
    VBT_N_NEGATE,
    /* arguments of calls */
    VBT_N_ARG,
    VBT_N_NAMED_ARG,
    VBT_N_LIST_ARG,
    VBT_N_DICT_ARG,
    /* statements */
    VBT_N_PRINT,
    VBT_N_FOR,
    VBT_N_IF,
    VBT_N_SET,
    VBT_N_SET_BLOCK,
    VBT_N_MACRO,
    VBT_N_CALL_BLOCK,
    VBT_N_FILTER_BLOCK,
    VBT_N_WITH,
    VBT_N_BLOCK,
    VBT_N_SCOPE, /* {% generation %}, {% autoescape false %} */
    VBT_N_BREAK,
    VBT_N_CONTINUE
} vbt_kind;

typedef struct vbt_scope vbt_scope;

/* What a, b, c, d are:
 *   ATTRIBUTE a.name   ITEM a[b]   SLICE a:b:c   CALL a(list)   FILTER a|name(list), a NULL in blocks
 *   TEST a is name(list)   IF_ELSE b if a else c   AND OR BINARY a op b   NOT NEGATE a
 *   COMPARE a, then `list` of b with their op   TUPLE LIST CONCAT `list`   DICT `list` of PAIR a: b
 *   PRINT a   FOR a in b if c: list, else: d   IF a: list, else: b   SET a = b   SET_BLOCK a, b the filter,
 * list MACRO name(args): list   CALL_BLOCK (args) a: list   FILTER_BLOCK a: list   WITH args (PAIR): list
 * `next` chains the elements of a list. */
typedef struct vbt_node {
    vbt_kind kind;
    int op;
    int line;
    bool flag; /* FOR: recursive; NEGATE: minus */
    bool uses_caller, uses_kwargs, uses_varargs, uses_loop;
    const vbt_str *name;
    vbt_val value;
    struct vbt_node *a, *b, *c, *d, *list, *args, *next;
    vbt_scope *scope, *else_scope, *test_scope;
} vbt_node;

/* parser.c: the statements of a template. */
vbt_node *vbt_parse(vbt *t, const char *text, size_t n);

/* ----------------------------------------------------------------------------------------------- scopes
 *
 * Jinja decides before it runs which scope a name belongs to: one that a scope sets is the scope's own
 * from its start. */

typedef enum vbt_load {
    VBT_LOAD_PARAMETER, /* a loop's target, a macro's argument */
    VBT_LOAD_RESOLVE,   /* starts as the variable that the caller passed in */
    VBT_LOAD_ALIAS,     /* starts as what an outer scope holds */
    VBT_LOAD_UNDEFINED
} vbt_load;

typedef struct vbt_ref {
    const vbt_str *name;
    vbt_load load;
    bool stored; /* else only read: no place of its own */
} vbt_ref;

struct vbt_scope {
    vbt_scope *outer;
    vbt_ref *refs;
    size_t n, cap;
};

/* scope.c: the scope of the whole; those of its parts are entered into the nodes. */
vbt_scope *vbt_find_scopes(vbt *t, vbt_node *body);

/* ----------------------------------------------------------------------------------------- parse_expr.c */

typedef struct vbt_parser {
    vbt *t;
    const vbt_token *at;
    int loops; /* for loops around: break needs one */
} vbt_parser;

vbt_node *vbt_node_new(vbt_parser *p, vbt_kind kind, int line);
bool vbt_at_op(const vbt_parser *p, int op);
bool vbt_at_name(const vbt_parser *p, const char *name);
bool vbt_skip_op(vbt_parser *p, int op);
bool vbt_skip_name(vbt_parser *p, const char *name);
void vbt_expect_op(vbt_parser *p, int op);
const vbt_str *vbt_expect_name(vbt_parser *p);
_Noreturn void vbt_syntax(vbt_parser *p, const char *format, ...) VB_PRINTF(2, 3);

vbt_node *vbt_parse_expression(vbt_parser *p, bool with_if);
/* One expression, or several with commas as a tuple. `end`: a name that ends it. */
vbt_node *vbt_parse_tuple(vbt_parser *p, bool with_if, const char *end);
/* name, name.attribute (with_ns) or a tuple of them. */
vbt_node *vbt_parse_target(vbt_parser *p, bool with_ns, const char *end);
/* "| name(...)" and so on, with `node` in front (NULL in blocks); `inline_start`: the first | is not
 * there. */
vbt_node *vbt_parse_filters(vbt_parser *p, vbt_node *node, bool inline_start);

#endif
