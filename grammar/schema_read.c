/* schema_read.c - the schema's document: where each part stands, what it is called, what a reference
 * means.
 *
 * References
 *   JSON Schema 2020-12, core, 8.2 ($id, $anchor, $ref) and 9.2 (references into documents with embedded
 *   resources)
 *   RFC 6901 (JSON pointers), RFC 3986 5.2 (resolving references: here without dot segments) */
#include "grammar/schema_internal.h"

#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------- a map */

static size_t hash_pointer(const void *p) {
    uint64_t h = (uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 32);
}

const void *vbj_map_get(const vbj_map *m, const void *key) {
    if (!m->size) return NULL;
    for (size_t at = hash_pointer(key) & (m->size - 1); m->slots[at].key; at = (at + 1) & (m->size - 1))
        if (m->slots[at].key == key) return m->slots[at].value;
    return NULL;
}

static void put(vbj_map *m, const void *key, const void *value) {
    size_t at = hash_pointer(key) & (m->size - 1);
    while (m->slots[at].key && m->slots[at].key != key) at = (at + 1) & (m->size - 1);
    if (!m->slots[at].key) m->n++;
    m->slots[at] = (vbj_slot){key, value};
}

bool vbj_map_put(vbj_arena *a, vbj_map *m, const void *key, const void *value) {
    if (2 * (m->n + 1) > m->size) {
        vbj_map bigger = {.size = m->size ? 2 * m->size : 64};
        bigger.slots = vbj_take(a, bigger.size, sizeof *bigger.slots);
        if (!bigger.slots) return false;
        for (size_t i = 0; i < m->size; i++)
            if (m->slots[i].key) put(&bigger, m->slots[i].key, m->slots[i].value);
        *m = bigger;
    }
    put(m, key, value);
    return true;
}

/* ----------------------------------------------------------------------------------------- messages */

static void add_text(char *out, size_t size, size_t *n, const char *s) {
    for (; *s && *n + 4 < size; s++) {
        /* RFC 6901 3: ~ and / inside a name. */
        if (*s == '~' || *s == '/') {
            out[(*n)++] = '~';
            out[(*n)++] = *s == '~' ? '0' : '1';
        } else {
            out[(*n)++] = *s;
        }
    }
    out[*n] = 0;
}

static void write_pointer(const vbj_place *p, char *out, size_t size, size_t *n) {
    if (!p || !p->parent) return;
    write_pointer(p->parent, out, size, n);
    if (*n + 4 >= size) return;
    out[(*n)++] = '/';
    char number[32];
    snprintf(number, sizeof number, "%zu", p->index);
    add_text(out, size, n, p->key ? p->key : number);
}

int vbj_refuse(vbj_compiler *c, int code, const json_t *schema, const char *keyword, const char *format,
               ...) {
    char pointer[160] = "#", what[220];
    size_t n = 1;
    write_pointer(vbj_place_of(c, schema), pointer, sizeof pointer, &n);
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return vb_fail(c->err, code, "JSON schema, \"%s\" at %s: %s", keyword, pointer, what);
}

int vbj_full(vbj_compiler *c) {
    if (c->err && c->err->code) return c->err->code;
    if (c->arena.failed) return vb_fail(c->err, VB_ERR_MEMORY, "out of memory for a JSON schema");
    return vbj_refuse(c, VB_ERR_UNSUPPORTED, c->at, c->at_keyword ? c->at_keyword : "schema",
                      "this takes too much memory or time to compile: simplify it, or write smaller bounds");
}

/* ------------------------------------------------------------------------------------------- places */

const vbj_place *vbj_place_of(const vbj_compiler *c, const json_t *value) {
    return value ? vbj_map_get(&c->places, value) : NULL;
}

static char *join(vbj_compiler *c, const char *a, size_t n_a, const char *b) {
    size_t n_b = strlen(b);
    char *s = vbj_take(&c->arena, n_a + n_b + 1, 1);
    if (!s) return NULL;
    memcpy(s, a, n_a);
    memcpy(s + n_a, b, n_b);
    return s;
}

static size_t scheme_length(const char *uri) {
    size_t n = strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return n && uri[n] == ':' ? n + 1 : 0;
}

/* RFC 3986 5.2 for what schemas have: a full URI, a path from the root, or one beside the base. */
static const char *absolute(vbj_compiler *c, const char *base, const char *ref) {
    if (scheme_length(ref)) return ref;
    if (!*ref) return base;
    size_t scheme = scheme_length(base);
    size_t host = scheme;
    if (strncmp(base + scheme, "//", 2) == 0) host += 2 + strcspn(base + scheme + 2, "/");
    if (strncmp(ref, "//", 2) == 0) return join(c, base, scheme, ref);
    if (*ref == '/') return join(c, base, host, ref);
    while (strncmp(ref, "./", 2) == 0) ref += 2;
    const char *slash = strrchr(base + host, '/');
    return join(c, base, slash ? (size_t)(slash + 1 - base) : host, ref);
}

/* The URI before '#', in the arena. */
static const char *without_fragment(vbj_compiler *c, const char *uri) {
    size_t n = strcspn(uri, "#");
    return join(c, uri, n, "");
}

static bool is_any(const char *s, const char *const *list) {
    for (; s && *list; list++)
        if (strcmp(s, *list) == 0) return true;
    return false;
}

static bool drafts_hide(const char *dialect) {
    static const char *const old[] = {"draft-03", "draft-04", "draft-05", "draft-06", "draft-07", NULL};
    for (size_t i = 0; old[i]; i++)
        if (strstr(dialect, old[i])) return true;
    return false;
}

typedef struct {
    const vbj_place *resource;
    const char *name;
    const json_t *schema;
} anchor;

static int add_anchor(vbj_compiler *c, const vbj_place *p, const char *name) {
    anchor *a = vbj_take(&c->arena, 1, sizeof *a);
    if (!a) return vbj_full(c);
    *a = (anchor){p->resource, name, p->value};
    return vbj_map_put(&c->arena, &c->anchors, a, a) ? 0 : vbj_full(c);
}

/* An $id makes a resource of its own; "#name" as $id or id is the older spelling of $anchor. */
static int note_names(vbj_compiler *c, vbj_place *p) {
    const char *id = json_string_value(json_object_get(p->value, "$id"));
    if (!id) id = json_string_value(json_object_get(p->value, "id"));
    const char *dialect = json_string_value(json_object_get(p->value, "$schema"));
    bool hidden = p->parent && p->resource->old_refs && json_object_get(p->value, "$ref");
    if (!p->parent || (id && *id != '#' && !hidden)) {
        const char *base = p->parent ? p->resource->base : "";
        p->old_refs = p->parent ? p->resource->old_refs : false;
        if (dialect) p->old_refs = drafts_hide(dialect);
        p->base = id && *id != '#' ? absolute(c, base, id) : base;
        if (p->base) p->base = without_fragment(c, p->base);
        if (!p->base) return vbj_full(c);
        p->resource = p;
        if (!vbj_grow(&c->arena, &c->resources, c->n_resources, &c->resources_room, sizeof *c->resources))
            return vbj_full(c);
        c->resources[c->n_resources++] = p;
    }
    if (id && *id == '#' && add_anchor(c, p, id + 1)) return c->err ? c->err->code : VB_ERR_UNSUPPORTED;
    static const char *const names[] = {"$anchor", "$dynamicAnchor"};
    for (size_t i = 0; i < 2; i++) {
        const char *name = json_string_value(json_object_get(p->value, names[i]));
        if (name && add_anchor(c, p, name)) return c->err ? c->err->code : VB_ERR_UNSUPPORTED;
    }
    return 0;
}

typedef enum { A_SCHEMA, A_MAP, A_DATA } role;

static role role_of(role parent, const char *key) {
    static const char *const maps[] = {"properties",       "patternProperties", "$defs", "definitions",
                                       "dependentSchemas", "dependencies",      NULL};
    static const char *const data[] = {"enum", "const", "default", "examples", "example", NULL};
    if (parent != A_SCHEMA) return parent == A_MAP ? A_SCHEMA : A_DATA;
    return is_any(key, maps) ? A_MAP : is_any(key, data) ? A_DATA : A_SCHEMA;
}

static int walk(vbj_compiler *c, const json_t *value, const vbj_place *parent, const char *key, size_t index,
                role what) {
    if (!json_is_object(value) && !json_is_array(value)) return 0;
    vbj_place *p = vbj_take(&c->arena, 1, sizeof *p);
    if (!p) return vbj_full(c);
    *p = (vbj_place){.value = value, .parent = parent, .key = key, .index = index};
    p->resource = parent ? parent->resource : NULL;
    if (!vbj_map_put(&c->arena, &c->places, value, p) || !vbj_steps(&c->arena, 1)) return vbj_full(c);
    int rc = 0;
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && !rc; i++)
            rc = walk(c, json_array_get(value, i), p, NULL, i, what);
        return rc;
    }
    if (what == A_SCHEMA || !parent) rc = note_names(c, p);
    const char *name;
    json_t *child;
    json_object_foreach((json_t *)(uintptr_t)value, name, child) if (!rc) rc =
        walk(c, child, p, name, 0, role_of(what, name));
    return rc;
}

int vbj_read(vbj_compiler *c, json_t *root) {
    return walk(c, root, NULL, NULL, 0, A_SCHEMA);
}

/* --------------------------------------------------------------------------------------- references */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static char *decode_percent(vbj_compiler *c, const char *s) {
    char *out = join(c, s, strlen(s), ""), *w = out;
    if (!out) return NULL;
    for (const char *r = out; *r; r++) {
        if (*r == '%' && hex_digit(r[1]) >= 0 && hex_digit(r[2]) >= 0 && (r[1] != '0' || r[2] != '0')) {
            *w++ = (char)(hex_digit(r[1]) * 16 + hex_digit(r[2]));
            r += 2;
        } else {
            *w++ = *r;
        }
    }
    *w = 0;
    return out;
}

/* One step of a pointer: `token` up to the next slash, with ~0 and ~1 undone in place. */
static const json_t *step_into(const json_t *at, char *token) {
    char *w = token;
    for (const char *r = token; *r; r++) {
        if (*r == '~' && (r[1] == '0' || r[1] == '1'))
            *w++ = *++r == '0' ? '~' : '/';
        else
            *w++ = *r;
    }
    *w = 0;
    if (json_is_object(at)) return json_object_get(at, token);
    size_t n = strspn(token, "0123456789");
    if (!json_is_array(at) || !n || token[n] || n > 9) return NULL;
    size_t index = 0;
    for (size_t i = 0; i < n; i++) index = index * 10 + (size_t)(token[i] - '0');
    return json_array_get(at, index);
}

static const json_t *follow_pointer(const json_t *at, char *pointer) {
    while (at && *pointer == '/') {
        char *token = pointer + 1, *end = token + strcspn(token, "/");
        char after = *end;
        *end = 0;
        at = step_into(at, token);
        *end = after;
        pointer = end;
    }
    return at;
}

static const json_t *find_anchor(vbj_compiler *c, const vbj_place *resource, const char *name) {
    for (size_t i = 0; i < c->anchors.size; i++) {
        const anchor *a = c->anchors.slots[i].value;
        if (a && a->resource == resource && strcmp(a->name, name) == 0) return a->schema;
    }
    return NULL;
}

static const vbj_place *find_resource(vbj_compiler *c, const vbj_place *from, const char *uri) {
    if (!*uri) return from;
    const char *full = absolute(c, from->base, uri);
    for (size_t i = 0; full && i < c->n_resources; i++)
        if (strcmp(c->resources[i]->base, full) == 0) return c->resources[i];
    return NULL;
}

const json_t *vbj_resolve(vbj_compiler *c, const json_t *schema, const char *ref) {
    const vbj_place *here = vbj_place_of(c, schema);
    const char *uri = without_fragment(c, ref);
    const char *fragment = strchr(ref, '#');
    char *pointer = decode_percent(c, fragment ? fragment + 1 : "");
    if (!here || !uri || !pointer) {
        vbj_full(c);
        return NULL;
    }
    const vbj_place *resource = find_resource(c, here->resource, uri);
    if (!resource) {
        vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, "$ref",
                   "\"%.80s\" is not in this document: put what it names under \"$defs\"", ref);
        return NULL;
    }
    const json_t *target = !*pointer         ? resource->value
                           : *pointer == '/' ? follow_pointer(resource->value, pointer)
                                             : find_anchor(c, resource, pointer);
    if (!target)
        vbj_refuse(c, VB_ERR_FORMAT, schema, "$ref", "\"%.80s\" names nothing in this document", ref);
    return target;
}
