/* schema_internal.h - what the files of the schema compiler share.
 *
 * The way of a schema:
 *   schema_read.c      the document: where each part stands, what it is called, what a reference means
 *   schema_expr.c      a schema object is a conjunction of its keywords: expressions of and, or, not,
 *                      made when needed
 *   schema_shape.c     what an expression allows, type by type, as a union of atoms: intersections,
 *                      unions, exactly one of
 *   schema_base.c      the atoms of one schema object's own keywords; schema_value.c: those of one value
 *   schema_complement.c  what fails: the atoms of complements
 *   schema_numbers.c   sets of numbers, as automata over their decimal spellings
 *   schema_strings.c   sets of strings: patterns, formats, lengths
 *   schema_emit.c      from shapes to the expression over bytes; schema_object.c, schema_array.c,
 *                      schema_spell.c: its parts
 *
 * Since the types of JSON exclude each other, and, or and not work on each type for itself. So the
 * complement of "has a property a" is "an object without a", not "anything else". Sets of strings and
 * numbers are regular and have exact complements; those of arrays and objects are written as unions of
 * atoms, one for each way to fail. */
#ifndef VB_GRAMMAR_SCHEMA_INTERNAL_H
#define VB_GRAMMAR_SCHEMA_INTERNAL_H

#include "base/json.h"
#include "grammar/schema_dfa.h"
#include "grammar/schema.h"

enum {
    VBJ_MAX_DEPTH = 200,   /* of schemas applied to one and the same value */
    VBJ_MAX_ATOMS = 400,   /* of one type in one shape */
    VBJ_MAX_STATES = 8000, /* of the automaton of one string or number */
    VBJ_MAX_GRID = 20000,  /* places in an object or array that counts */
    VBJ_ARENA_BYTES = 48 << 20,
    VBJ_MAX_STEPS = 40000000,
    VBJ_MAX_TEXT = 8 << 20
};
#define VBJ_NO_LIMIT UINT32_MAX

typedef int32_t vbj_expr; /* index of an expression; negative: error */

typedef struct vbj_compiler vbj_compiler;

/* ------------------------------------------------------------------------------------ schema_read.c */

/* A value of the document and where it stands. */
typedef struct vbj_place {
    const json_t *value;
    const struct vbj_place *parent;
    const char *key; /* of the parent, or NULL: element `index` */
    size_t index;
    const struct vbj_place *resource; /* the schema whose $id is the base of references here */
    const char *base;                 /* of a resource: its absolute URI, "" for one without $id */
    bool old_refs;                    /* of a resource: a draft in which $ref hides what stands beside it */
} vbj_place;

/* Walks the whole document and notes every object's and array's place. */
int vbj_read(vbj_compiler *c, json_t *root);
const vbj_place *vbj_place_of(const vbj_compiler *c, const json_t *value);
/* What the reference names, as seen from the schema that holds it; NULL after an error. */
const json_t *vbj_resolve(vbj_compiler *c, const json_t *schema, const char *ref);
/* Fails with "KEYWORD at POINTER: ..."; pointer and keyword are those of `schema`. Returns code. */
int vbj_refuse(vbj_compiler *c, int code, const json_t *schema, const char *keyword, const char *format, ...)
    VB_PRINTF(5, 6);
/* The arena's limit was met, or the system's: says so for the schema that is being worked on. Returns a
 * negative code. */
int vbj_full(vbj_compiler *c);

/* ------------------------------------------------------------------------------------ schema_expr.c */

typedef enum {
    VBJ_TRUE,
    VBJ_FALSE,
    VBJ_SCHEMA, /* a schema of the document, taken apart when its shape is needed */
    VBJ_BASE,   /* a schema object's own keywords: type, enum, properties, ... */
    VBJ_VALUE,  /* one JSON value */
    VBJ_HAS,    /* if it is an object, it has the property `name` */
    VBJ_AND,
    VBJ_OR,
    VBJ_ONE, /* exactly one of the children */
    VBJ_NOT
} vbj_kind;

typedef struct {
    vbj_kind kind;
    const json_t *value; /* the schema, the value, or the schema to blame */
    const char *name;
    const vbj_expr *kids;
    size_t n_kids;
    uint64_t hash;
} vbj_node;

vbj_expr vbj_expr_constant(vbj_compiler *c, bool value);
vbj_expr vbj_expr_schema(vbj_compiler *c, const json_t *schema);
vbj_expr vbj_expr_base(vbj_compiler *c, const json_t *schema);
vbj_expr vbj_expr_value(vbj_compiler *c, const json_t *value);
vbj_expr vbj_expr_has(vbj_compiler *c, const char *name);
vbj_expr vbj_expr_not(vbj_compiler *c, vbj_expr x);
/* Flattened, without repetitions; the order of the children stays: it is the order of keys. */
vbj_expr vbj_expr_list(vbj_compiler *c, vbj_kind kind, const vbj_expr *kids, size_t n, const json_t *blame);
vbj_expr vbj_expr_and(vbj_compiler *c, vbj_expr x, vbj_expr y);
/* The conjunction that a schema is. */
vbj_expr vbj_expand(vbj_compiler *c, const json_t *schema);
enum { VBJ_EXPR_TRUE = 0, VBJ_EXPR_FALSE = 1 }; /* their indices */

/* ------------------------------------------------------------------------------------------- shapes */

/* Spellings of numbers that are in a set for certain, and those that are outside for certain. Where they
 * do not fill the whole (1.0 as an integer) the spelling is left to nobody: neither the set nor its
 * complement writes it. The second are only needed where a schema says `not`: they are made when they are
 * asked for. */
typedef struct vbj_late vbj_late;
typedef struct {
    const vbj_dfa *yes;
    const vbj_late *no;
} vbj_numbers;

/* Strings of an automaton (NULL: all) that are lo to hi characters long. */
typedef struct {
    const vbj_dfa *dfa;
    uint32_t lo, hi;
} vbj_string;

/* Elements of an array as one schema object sees them: the first ones, and those after them. */
typedef struct {
    const vbj_expr *prefix;
    size_t n_prefix;
    vbj_expr rest;
} vbj_item_group;

typedef struct {
    vbj_expr what;
    uint32_t lo, hi; /* how many elements are it */
} vbj_contains;

/* An array has lo to hi elements, fits all groups and all counts. */
typedef struct {
    const vbj_item_group *groups;
    size_t n_groups;
    const vbj_contains *counts;
    size_t n_counts;
    uint32_t lo, hi;
    uint64_t unique;     /* 0 or 1; as wide as a pointer, so that atoms compare as bytes */
    const json_t *blame; /* the schema whose keywords made it hard */
} vbj_array;

typedef struct {
    const char *name;
    vbj_expr value;
} vbj_property;

typedef struct {
    const vbj_dfa *keys;
    vbj_expr value;
} vbj_key_class;

/* Properties as one schema object sees them. What is neither named nor matched by a pattern is `rest`.
 * Groups that stem from complements and conditions are `quiet`: their names say nothing about the order
 * of keys. */
typedef struct {
    const vbj_property *named;
    size_t n_named;
    const vbj_key_class *patterns;
    size_t n_patterns;
    vbj_expr rest;
    int32_t quiet;
} vbj_group;

/* An object has lo to hi properties, all required ones, all keys in `keys` (NULL: any), fits all groups,
 * and has for each of `some` a property of that class. */
typedef struct {
    const vbj_group *groups;
    size_t n_groups;
    const char *const *required;
    size_t n_required;
    const vbj_dfa *keys;
    const vbj_key_class *some;
    size_t n_some;
    uint32_t lo, hi;
    const json_t *blame;
} vbj_object;

typedef struct {
    bool null, no, yes; /* the literals null, false, true */
    vbj_numbers numbers;
    const vbj_string *strings;
    size_t n_strings;
    const vbj_array *arrays;
    size_t n_arrays;
    const vbj_object *objects;
    size_t n_objects;
} vbj_shape;

/* schema_shape.c. All return 0 or a negative code; or VBJ_LATER, without an error: the answer hangs on a
 * shape that is being made while vbj_possible looks ahead from it, which takes that for a "maybe". */
enum { VBJ_LATER = 1 };
int vbj_shape_of(vbj_compiler *c, vbj_expr x, const vbj_shape **out);
int vbj_shape_and(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out);
int vbj_shape_or(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out);
void vbj_shape_all(vbj_shape *out);
void vbj_shape_none(vbj_shape *out);
bool vbj_shape_empty(const vbj_shape *s);
/* Is there a value? Three answers: what recursion or depth leaves open is MAYBE. */
typedef enum { VBJ_NO, VBJ_YES, VBJ_MAYBE } vbj_answer;
vbj_answer vbj_possible(vbj_compiler *c, vbj_expr x);
vbj_answer vbj_object_possible(vbj_compiler *c, const vbj_object *o);
vbj_answer vbj_object_room(vbj_compiler *c, const vbj_object *o);
vbj_answer vbj_array_possible(vbj_compiler *c, const vbj_array *a);
/* The value of property `name`, or of element i, under all groups. */
vbj_expr vbj_property_value(vbj_compiler *c, const vbj_object *o, const char *name);
vbj_expr vbj_element_value(vbj_compiler *c, const vbj_array *a, size_t i);
size_t vbj_prefix_length(const vbj_array *a);

/* schema_base.c */
int vbj_base_shape(vbj_compiler *c, const json_t *schema, vbj_shape *out);
int vbj_base_complement(vbj_compiler *c, const json_t *schema, vbj_shape *out);
/* schema_value.c */
int vbj_value_shape(vbj_compiler *c, const json_t *value, vbj_shape *out);

/* schema_complement.c. What fails is gathered here: one atom for each way to. */
typedef struct {
    vbj_compiler *c;
    const json_t *schema; /* to blame */
    vbj_array *arrays;
    vbj_object *objects;
    size_t n_arrays, arrays_room, n_objects, objects_room;
} vbj_failures;

int vbj_string_complement(vbj_compiler *c, const vbj_string *s, vbj_shape *out);
int vbj_array_complement(vbj_failures *f, const vbj_array *a);
int vbj_object_complement(vbj_failures *f, const vbj_object *o);
int vbj_value_complement(vbj_compiler *c, const json_t *value, vbj_shape *out);
/* Anything that has the property if it is an object (`has`), or an object without it. */
int vbj_has_shape(vbj_compiler *c, const char *name, bool has, vbj_shape *out);

/* schema_numbers.c: NULL dfa after an error, which is set. */
void vbj_numbers_all(vbj_numbers *out);
void vbj_numbers_none(vbj_numbers *out);
/* The automaton itself, where d stands for all numbers. */
const vbj_dfa *vbj_numbers_written(vbj_compiler *c, const vbj_dfa *d);
/* The set that a schema's type (integer, if it says so alone), minimum, maximum, ... describe. */
int vbj_numbers_base(vbj_compiler *c, const json_t *schema, bool integer, vbj_numbers *out);
int vbj_numbers_value(vbj_compiler *c, const json_t *value, vbj_numbers *out);
int vbj_numbers_and(vbj_compiler *c, const vbj_numbers *x, const vbj_numbers *y, vbj_numbers *out);
int vbj_numbers_or(vbj_compiler *c, const vbj_numbers *x, const vbj_numbers *y, vbj_numbers *out);
int vbj_numbers_not(vbj_compiler *c, const vbj_numbers *x, vbj_numbers *out);
bool vbj_has_number_keywords(const json_t *schema);

/* schema_strings.c */
const vbj_dfa *vbj_pattern(vbj_compiler *c, const json_t *schema, const char *keyword, const char *pattern,
                           size_t len);
/* *out NULL: a format that restricts nothing. */
int vbj_format(vbj_compiler *c, const json_t *schema, const char *name, const vbj_dfa **out);
int vbj_string_possible(vbj_compiler *c, const vbj_string *s, bool *yes);
int vbj_check_dfa(vbj_compiler *c, const vbj_dfa *d); /* the limit on states; 0 or refusal */

/* ----------------------------------------------------------------------------------------- emission */

/* The JSON strings, quotes included, whose text the automaton accepts. */
vbg_node vbj_spell_strings(vbj_compiler *c, const vbj_dfa *d);
vbg_node vbj_spell_ascii(vbj_compiler *c, const vbj_dfa *d); /* as it is, for numbers */
vbg_node vbj_spell_key(vbj_compiler *c,
                       const char *name);    /* one string: as it is, and with \u for what is not ASCII */
vbg_node vbj_any_character(vbj_compiler *c); /* one character of a string, spelt in any way */
/* A reference to the rule of x, whose body comes later: vbj_emit_all. */
int vbj_emit(vbj_compiler *c, vbj_expr x, vbg_node *out);
int vbj_emit_all(vbj_compiler *c);
/* The strings of an atom, quotes included, as a regular expression. */
int vbj_emit_string(vbj_compiler *c, const vbj_string *s, vbg_node *out);
int vbj_emit_object(vbj_compiler *c, const vbj_object *o, vbg_node *out);
int vbj_emit_array(vbj_compiler *c, const vbj_array *a, vbg_node *out);
/* Punctuation with the white space that may stand around it. */
void vbj_make_spaces(vbj_compiler *c);
/* OPEN, then `inner` or (if `empty`) nothing, then CLOSE. */
vbg_node vbj_bracket(vbj_compiler *c, char open, vbg_node inner, bool empty, char close);

typedef struct {
    const void *key;
    const void *value;
} vbj_slot;

/* A map from pointers to pointers. */
typedef struct {
    vbj_slot *slots;
    size_t n, size;
} vbj_map;

const void *vbj_map_get(const vbj_map *m, const void *key);
bool vbj_map_put(vbj_arena *a, vbj_map *m, const void *key, const void *value);

/* Automata by name, so that what a schema says a hundred times is made once. NULL: not there, or no room. */
const vbj_dfa *vbj_cache_get(const vbj_compiler *c, const char *name);
bool vbj_cache_put(vbj_compiler *c, const char *name, const vbj_dfa *d);

enum { VBJ_CACHE_SLOTS = 1024 };

struct vbj_compiler {
    vbj_arena arena;
    vb_error *err;
    vbg_ir *ir;
    vbj_options options;
    const json_t *at; /* the schema being worked on, for messages about limits */
    const char *at_keyword;
    vbj_map places;  /* json_t * -> vbj_place */
    vbj_map anchors; /* of anchors, by themselves */
    const vbj_place **resources;
    size_t n_resources, resources_room;

    vbj_node *nodes;
    size_t n_nodes, nodes_room;
    int32_t *node_table;
    size_t node_table_size;
    const vbj_shape **shapes; /* by expression */
    /* 0 unknown, 255 known; otherwise in progress since vbj_possible was nested so deep, plus 1. */
    uint8_t *shape_state;
    uint8_t *answers; /* vbj_answer + 1, or 0 */
    uint32_t *rules;  /* by expression: its rule + 1, or 0 */
    size_t expr_room;
    vbj_map expansions; /* json_t * -> vbj_expr + 1 */
    int depth, possible_depth;

    const struct vbj_cached *cache[VBJ_CACHE_SLOTS]; /* lists */
    vbj_map late;                                    /* vbj_late -> vbj_dfa, those that were made */
    vbj_map spelt;                                   /* vbj_dfa -> uint32_t, its rule */
    vbj_expr *pending;                               /* expressions whose rules have no body yet */
    size_t n_pending, pending_room;
    struct {
        vbg_node body;
        uint32_t rule;
    } * bodies; /* strings with lengths */
    size_t n_bodies, bodies_room;
    vbg_node any_character, space, comma, colon;
    const vbj_dfa *all_strings;
};

#endif
