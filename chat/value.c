/* value.c - the memory of a run, its limits and errors; values made, lists and dicts. */
#include "chat/value.h"

#include "chat/compare.h"
#include "chat/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* ---------------------------------------------------------------------------------------------- the run */

void vbt_fail(vbt *t, int code, const char *format, ...) {
    char said[900];
    va_list ap;
    va_start(ap, format);
    vsnprintf(said, sizeof said, format, ap);
    va_end(ap);
    t->rc = t->line > 0 ? vb_fail(t->err, code, "%s, line %d: %s", t->file, t->line, said)
                        : vb_fail(t->err, code, "%s: %s", t->file, said);
    longjmp(t->out, 1);
}

void *vbt_alloc(vbt *t, size_t n) {
    enum { BLOCK = 16384, ALIGN = 16 };
    if (n > SIZE_MAX / 2) n = SIZE_MAX / 2;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n > t->room) {
        size_t head = (sizeof(vbt_block) + ALIGN - 1) / ALIGN * ALIGN,
               size = n > BLOCK / 4 ? n : (size_t)BLOCK;
        if (size > t->limit || t->used > t->limit - size)
            vbt_fail(t, VB_ERR_UNSUPPORTED, "the template needs more than %zu MiB of memory", t->limit >> 20);
        vbt_block *b = calloc(1, head + size);
        if (!b) vbt_fail(t, VB_ERR_MEMORY, "out of memory (%zu bytes for a chat template)", size);
        t->used += size;
        b->size = size;
        b->before = t->blocks;
        t->blocks = b;
        if (size == n) return (char *)b + head; /* what is left of the block before stays in use */
        t->at = (char *)b + head;
        t->room = size;
    }
    void *p = t->at;
    t->at += n;
    t->room -= n;
    return p;
}

void vbt_free_all(vbt *t) {
    while (t->blocks) {
        vbt_block *b = t->blocks;
        t->blocks = b->before;
        free(b);
    }
    t->room = 0;
}

void vbt_steps(vbt *t, uint64_t n) {
    t->steps += n;
    if (t->steps > VBT_STEP_LIMIT)
        vbt_fail(t, VB_ERR_UNSUPPORTED, "the template takes more than %llu steps",
                 (unsigned long long)VBT_STEP_LIMIT);
}

void vbt_enter(vbt *t) {
    if (++t->depth > VBT_DEPTH_LIMIT)
        vbt_fail(t, VB_ERR_UNSUPPORTED, "nested more than %d deep", VBT_DEPTH_LIMIT);
    vbt_steps(t, 1);
}

/* ----------------------------------------------------------------------------------------------- values */

vbt_val vbt_undefined(vbt *t, const char *format, ...) {
    char said[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(said, sizeof said, format, ap);
    va_end(ap);
    return (vbt_val){.type = VBT_UNDEFINED, .u.s = vbt_text(t, said, strlen(said), false).u.s};
}

void vbt_need_defined(vbt *t, vbt_val v) {
    if (v.type == VBT_UNDEFINED) vbt_raise(t, "%.*s", (int)v.u.s->n, v.u.s->s);
}

vbt_val vbt_list_new(vbt *t, vbt_type type, size_t cap) {
    vbt_list *l = vbt_alloc(t, sizeof *l);
    if (cap > 0) l->v = vbt_alloc(t, cap * sizeof *l->v);
    l->cap = cap;
    return (vbt_val){.type = type, .u.list = l};
}

void vbt_list_add(vbt *t, vbt_val list, vbt_val v) {
    vbt_list *l = list.u.list;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        vbt_val *grown = vbt_alloc(t, cap * sizeof *grown);
        if (l->n > 0) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = v;
}

vbt_val vbt_iter_new(vbt *t, void (*fill)(vbt *t, vbt_list *l), void *how) {
    vbt_val v = vbt_list_new(t, VBT_ITER, 0);
    v.u.list->fill = fill;
    v.u.list->how = how;
    return v;
}

vbt_val vbt_pair(vbt *t, vbt_val a, vbt_val b) {
    vbt_val v = vbt_list_new(t, VBT_TUPLE, 2);
    v.u.list->n = 2;
    v.u.list->v[0] = a;
    v.u.list->v[1] = b;
    return v;
}

/* ----------------------------------------------------------------------------------------------- dicts */

vbt_val vbt_dict_new(vbt *t, size_t cap) {
    vbt_dict *d = vbt_alloc(t, sizeof *d);
    if (cap > 0) {
        d->keys = vbt_alloc(t, cap * sizeof *d->keys);
        d->values = vbt_alloc(t, cap * sizeof *d->values);
        d->cap = cap;
    }
    return (vbt_val){.type = VBT_DICT, .u.dict = d};
}

static uint64_t mix(uint64_t k) {
    return XXH3_64bits(&k, sizeof k);
}

/* Equal keys have equal hashes: 1, 1.0 and true are one key. */
static uint64_t hash(vbt *t, vbt_val k) {
    uint64_t h = 0;
    switch (k.type) {
    case VBT_STR:
    case VBT_BIG: return XXH3_64bits(k.u.s->s, k.u.s->n);
    case VBT_BOOL: return hash(t, vbt_int(k.u.b));
    case VBT_INT: return mix((uint64_t)k.u.i);
    case VBT_FLOAT:
        if (k.u.f >= -9.2e18 && k.u.f <= 9.2e18 && k.u.f == (double)(int64_t)k.u.f)
            return hash(t, vbt_int((int64_t)k.u.f));
        return XXH3_64bits(&k.u.f, sizeof k.u.f);
    case VBT_TUPLE:
        vbt_enter(t);
        for (size_t i = 0; i < k.u.list->n; i++) h = h * 1000003 + hash(t, k.u.list->v[i]);
        vbt_leave(t);
        return h;
    case VBT_NONE: return 2;
    case VBT_UNDEFINED: return 3;
    case VBT_RANGE:
        for (size_t i = 0; i < k.u.list->n; i++) h = h * 1000003 + hash(t, k.u.list->v[i]);
        return h;
    case VBT_LIST:
    case VBT_DICT: vbt_raise(t, "unhashable type: '%s'", vbt_type_name(k));
    default: vbt_left_out(t, "a %s as a key is not supported", vbt_type_name(k));
    }
}

/* Few entries are looked through, more have a table. */
enum { FEW = 8 };

static void index_all(vbt *t, vbt_dict *d) {
    d->n_slots = 4 * d->cap;
    d->slots = vbt_alloc(t, d->n_slots * sizeof *d->slots);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = hash(t, d->keys[i]) % d->n_slots;
        while (d->slots[at]) at = (at + 1) % d->n_slots;
        d->slots[at] = (uint32_t)(i + 1);
    }
}

static bool same_key(vbt *t, vbt_val a, vbt_val b) {
    if (a.type == VBT_STR && b.type == VBT_STR)
        return a.u.s->n == b.u.s->n && memcmp(a.u.s->s, b.u.s->s, a.u.s->n) == 0;
    return vbt_equal(t, a, b);
}

static size_t find(vbt *t, const vbt_dict *d, vbt_val key) {
    uint64_t h = hash(t, key); /* also when there are few: it refuses lists */
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (same_key(t, d->keys[i], key)) return i;
        return SIZE_MAX;
    }
    for (size_t at = h % d->n_slots; d->slots[at]; at = (at + 1) % d->n_slots)
        if (same_key(t, d->keys[d->slots[at] - 1], key)) return d->slots[at] - 1;
    return SIZE_MAX;
}

void vbt_dict_set(vbt *t, vbt_dict *d, vbt_val key, vbt_val value) {
    size_t i = find(t, d, key);
    if (i != SIZE_MAX) {
        d->values[i] = value;
        return;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        vbt_val *keys = vbt_alloc(t, cap * sizeof *keys), *values = vbt_alloc(t, cap * sizeof *values);
        if (d->n > 0) {
            memcpy(keys, d->keys, d->n * sizeof *keys);
            memcpy(values, d->values, d->n * sizeof *values);
        }
        d->keys = keys;
        d->values = values;
        d->cap = cap;
        if (cap > FEW) index_all(t, d);
    }
    d->keys[d->n] = key;
    d->values[d->n++] = value;
    if (!d->slots) return;
    size_t at = hash(t, key) % d->n_slots;
    while (d->slots[at]) at = (at + 1) % d->n_slots;
    d->slots[at] = (uint32_t)d->n;
}

const vbt_val *vbt_dict_get(vbt *t, const vbt_dict *d, vbt_val key) {
    size_t i = find(t, d, key);
    return i == SIZE_MAX ? NULL : &d->values[i];
}

const vbt_val *vbt_dict_name(vbt *t, const vbt_dict *d, const char *name) {
    vbt_str s = {.s = name, .n = strlen(name)};
    return vbt_dict_get(t, d, (vbt_val){.type = VBT_STR, .u.s = &s});
}

/* ------------------------------------------------------------------------------------------ questions */

const char *vbt_type_name(vbt_val v) {
    static const char *const names[] = {[VBT_MISSING] = "missing",
                                        [VBT_UNDEFINED] = "Undefined",
                                        [VBT_NONE] = "NoneType",
                                        [VBT_BOOL] = "bool",
                                        [VBT_INT] = "int",
                                        [VBT_BIG] = "int",
                                        [VBT_FLOAT] = "float",
                                        [VBT_STR] = "str",
                                        [VBT_LIST] = "list",
                                        [VBT_TUPLE] = "tuple",
                                        [VBT_RANGE] = "range",
                                        [VBT_VIEW] = "dict view",
                                        [VBT_ITER] = "generator",
                                        [VBT_DICT] = "dict",
                                        [VBT_NAMESPACE] = "Namespace",
                                        [VBT_LOOP] = "LoopContext",
                                        [VBT_MACRO] = "Macro",
                                        [VBT_METHOD] = "method",
                                        [VBT_FUNCTION] = "function",
                                        [VBT_CYCLER] = "Cycler",
                                        [VBT_JOINER] = "Joiner"};
    return names[v.type];
}

bool vbt_truth(vbt *t, vbt_val v) {
    (void)t;
    switch (v.type) {
    case VBT_MISSING:
    case VBT_UNDEFINED:
    case VBT_NONE: return false;
    case VBT_BOOL: return v.u.b;
    case VBT_INT: return v.u.i != 0;
    case VBT_FLOAT: return v.u.f != 0;
    case VBT_STR: return v.u.s->n > 0;
    case VBT_LIST:
    case VBT_TUPLE:
    case VBT_RANGE:
    case VBT_VIEW: return v.u.list->n > 0;
    case VBT_DICT: return v.u.dict->n > 0;
    default: return true;
    }
}

bool vbt_can_iterate(vbt_val v) {
    return vbt_is_sequence(v) || v.type == VBT_STR || v.type == VBT_DICT || v.type == VBT_UNDEFINED ||
           v.type == VBT_LOOP;
}

const vbt_list *vbt_elements(vbt *t, vbt_val v) {
    if (v.type == VBT_ITER) {
        vbt_list *l = v.u.list, *all = vbt_alloc(t, sizeof *all);
        if (!l->used && l->fill) l->fill(t, l);
        if (!l->used) *all = *l;
        l->used = true;
        return all;
    }
    if (vbt_is_sequence(v)) return v.u.list;
    vbt_val out = vbt_list_new(t, VBT_LIST, 0);
    switch (v.type) {
    case VBT_UNDEFINED: break;
    case VBT_STR: vbt_chars(t, v.u.s, out); break;
    case VBT_DICT:
        out.u.list->v = v.u.dict->keys;
        out.u.list->n = out.u.list->cap = v.u.dict->n;
        break;
    case VBT_LOOP: vbt_left_out(t, "going through `loop` itself is not supported");
    default: vbt_raise(t, "'%s' object is not iterable", vbt_type_name(v));
    }
    return out.u.list;
}

size_t vbt_length(vbt *t, vbt_val v) {
    switch (v.type) {
    case VBT_UNDEFINED: return 0;
    case VBT_STR: return vbt_char_count(v.u.s);
    case VBT_LIST:
    case VBT_TUPLE:
    case VBT_RANGE:
    case VBT_VIEW: return v.u.list->n;
    case VBT_DICT: return v.u.dict->n;
    default: vbt_raise(t, "object of type '%s' has no len()", vbt_type_name(v));
    }
}
