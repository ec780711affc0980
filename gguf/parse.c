/* parse.c - one GGUF file: header, metadata, tensor table (the format: gguf.h).
 *
 * The file is an attacker. Counts and lengths are compared as 64-bit numbers with what is left of the file
 * before they are used for anything; memory grows with entries that were really read, never with a count;
 * every product and sum is checked. The rules follow the defects that GGUF readers have had
 * (docs/formats.md). */
#include "base/buf.h"
#include "gguf/formats.h"
#include "gguf/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct parse {
    vb_cursor c;
    vb_gguf *g;
    vb_metas *metas;
    int split;
    uint64_t alignment;
    size_t first_tensor; /* of this file, in g->tensors */
    uint64_t *entry_at;  /* where this file's tensor entries begin, for messages */
} parse;

/* What an entry takes at least: key length, one byte, type, one byte; the same for tensors with one
 * dimension. */
enum { LEAST_ENTRY = 8 + 1 + 4 + 1, LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };

/* ------------------------------------------------------------------------------------------- header */

/* What people open by mistake, by its first bytes. */
static const char *other_format(const uint8_t *p, uint64_t size) {
    static const struct {
        const char *start, *what;
    } known[] = {
        {"lmgg", "a GGML file from before GGUF; convert the model again"},
        {"fmgg", "a GGMF file from before GGUF; convert the model again"},
        {"tjgg", "a GGJT file from before GGUF; convert the model again"},
        {"FUGG", "a GGUF file with its magic number byte-swapped; convert it to little endian"},
        {"version https://git-lfs", "a Git LFS pointer, not the model itself; run git lfs pull"},
        {"PK\003\004", "a zip archive, perhaps a PyTorch checkpoint; convert it to GGUF"},
        {"<", "a web page or XML, perhaps a failed download"},
        {"{", "JSON text"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t len = strlen(known[i].start);
        if (size >= len && !memcmp(p, known[i].start, len)) return known[i].what;
    }
    return "not a GGUF file";
}

static int parse_header(parse *s, uint64_t *n_entries, uint64_t *n_tensors) {
    vb_cursor *c = &s->c;
    if (c->size < 4 || memcmp(c->data, "GGUF", 4)) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, 0, "magic", "this is %s", other_format(c->data, c->size));
    }
    vb_cursor_bytes(c, 4, "magic");
    const uint32_t version = vb_cursor_u32(c, "version");
    if (c->code) return c->code;
    if (version == 1) {
        return vb_cursor_fail(c, VB_ERR_UNSUPPORTED, 4, "version",
                              "GGUF version 1 (of August 2023) is not supported; convert the model again");
    }
    if (version && !(version & 0xffff)) {
        return vb_cursor_fail(c, VB_ERR_UNSUPPORTED, 4, "version",
                              "the file is big endian; convert it to little endian");
    }
    if (version != 2 && version != 3) {
        return vb_cursor_fail(c, VB_ERR_UNSUPPORTED, 4, "version",
                              "GGUF version %" PRIu32 " is not supported; versions 2 and 3 are", version);
    }
    s->g->parts[s->split].version = (int)version;
    const uint64_t tensors_at = c->pos;
    *n_tensors = vb_cursor_u64(c, "tensor count");
    const uint64_t entries_at = c->pos;
    *n_entries = vb_cursor_u64(c, "metadata count");
    if (c->code) return c->code;
    const uint64_t left = vb_cursor_left(c);
    if (*n_entries > VB_GGUF_MAX_ENTRIES || *n_entries > left / LEAST_ENTRY) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, entries_at, "metadata count",
                              "%" PRIu64 " entries do not fit into the file (or are more than %" PRIu64
                              "); is the download complete?",
                              *n_entries, VB_GGUF_MAX_ENTRIES);
    }
    if (*n_tensors > VB_GGUF_MAX_TENSORS || *n_tensors > left / LEAST_TENSOR) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, tensors_at, "tensor count",
                              "%" PRIu64 " tensors do not fit into the file (or are more than %" PRIu64
                              "); is the download complete?",
                              *n_tensors, VB_GGUF_MAX_TENSORS);
    }
    return VB_OK;
}

/* A name: 1..most bytes of printable ASCII without the space, so that it can be printed anywhere and compared
 * as a C string. *out is a copy. */
static int parse_name(parse *s, uint64_t most, const char *field, const char **out) {
    vb_cursor *c = &s->c;
    const uint64_t at = c->pos;
    uint64_t len;
    const char *text = vb_cursor_string(c, &len, field);
    if (c->code) return c->code;
    if (len < 1 || len > most) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, at, field,
                              "%" PRIu64 " bytes long; 1 to %" PRIu64 " are allowed", len, most);
    }
    for (uint64_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return vb_cursor_fail(c, VB_ERR_FORMAT, at + 8 + i, field,
                                  "byte 0x%02x is not allowed; names are printable ASCII without spaces",
                                  (unsigned)(uint8_t)text[i]);
        }
    }
    *out = vb_arena_copy(&s->g->arena, text, (size_t)len);
    if (!*out) c->code = vb_fail(c->err, VB_ERR_MEMORY, "out of memory (a name of %" PRIu64 " bytes)", len);
    return c->code;
}

/* ------------------------------------------------------------------------------------------- metadata */

static int check_bools(vb_cursor *c, const uint8_t *p, uint64_t n, uint64_t at) {
    for (uint64_t i = 0; i < n; i++) {
        if (p[i] > 1) {
            return vb_cursor_fail(c, VB_ERR_FORMAT, at + i, "value", "a truth value is 0 or 1, not %u",
                                  (unsigned)p[i]);
        }
    }
    return VB_OK;
}

/* Walks over the strings of an array and notes where each begins, so that string i is found in one step. A
 * string takes 8 bytes of the file at least, so the table is at most half the size of what was read. */
static int parse_strings(parse *s, uint64_t count, uint32_t **table) {
    vb_cursor *c = &s->c;
    const uint64_t start = c->pos;
    if (count > vb_cursor_left(c) / 8) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, start, "array count",
                              "%" PRIu64 " strings do not fit into the file; is the download complete?",
                              count);
    }
    void *at = NULL;
    c->code = vb_alloc(&at, (size_t)count, sizeof(uint32_t), "string offsets", c->err);
    if (c->code) return c->code;
    *table = at;
    for (uint64_t i = 0; i < count; i++) {
        if (c->pos - start > UINT32_MAX) {
            return vb_cursor_fail(c, VB_ERR_FORMAT, c->pos, "value",
                                  "an array of strings is larger than 4 GiB");
        }
        (*table)[i] = (uint32_t)(c->pos - start);
        uint64_t len;
        if (!vb_cursor_string(c, &len, "string of an array")) return c->code;
    }
    return VB_OK;
}

/* The value of an entry whose type has been read; fills in elem, count, raw and offset. */
static int parse_value(parse *s, vb_meta *m, uint32_t **strings) {
    vb_cursor *c = &s->c;
    uint32_t elem = (uint32_t)m->type;
    m->count = 1;
    if (m->type == VB_VALUE_ARRAY) {
        const uint64_t at = c->pos;
        elem = vb_cursor_u32(c, "array type");
        m->count = vb_cursor_u64(c, "array count");
        if (c->code) return c->code;
        if (elem == VB_VALUE_ARRAY) {
            return vb_cursor_fail(c, VB_ERR_UNSUPPORTED, at, "array type",
                                  "arrays of arrays are not supported");
        }
        if (elem > VB_VALUE_F64) {
            return vb_cursor_fail(c, VB_ERR_FORMAT, at, "array type", "%" PRIu32 " is not a type of values",
                                  elem);
        }
    }
    m->elem = (vb_value_type)elem;
    m->offset = c->pos;
    m->raw = c->data + c->pos;
    if (elem == VB_VALUE_STRING) {
        if (m->type == VB_VALUE_ARRAY) return parse_strings(s, m->count, strings);
        uint64_t len;
        vb_cursor_string(c, &len, "value");
        return c->code;
    }
    uint64_t bytes;
    if (!vb_mul_u64(m->count, vb_value_size(elem), &bytes) || bytes > vb_cursor_left(c)) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, c->pos, "value",
                              "%" PRIu64 " elements of %" PRIu64 " bytes do not fit into the file", m->count,
                              vb_value_size(elem));
    }
    const uint8_t *p = vb_cursor_bytes(c, bytes, "value");
    if (c->code) return c->code;
    return elem == VB_VALUE_BOOL ? check_bools(c, p, m->count, m->offset) : VB_OK;
}

static int parse_entry(parse *s, uint64_t index) {
    vb_cursor *c = &s->c;
    vb_metas *ms = s->metas;
    vb_meta m = {0};
    vb_cursor_at(c, "metadata entry %" PRIu64, index);
    if (parse_name(s, VB_GGUF_MAX_KEY, "key", &m.key)) return c->code;
    vb_cursor_at(c, "metadata entry %" PRIu64 " '%.100s'", index, m.key);
    const uint64_t type_at = c->pos;
    const uint32_t type = vb_cursor_u32(c, "type");
    if (c->code) return c->code;
    if (type > VB_VALUE_F64) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, type_at, "type",
                              "%" PRIu32 " is not a type of values (0 to 12)", type);
    }
    m.type = (vb_value_type)type;

    size_t cap = ms->cap;
    void *entries = ms->entry, *tables = (void *)ms->string_at;
    c->code = vb_grow(&entries, &cap, ms->n + 1, sizeof *ms->entry, "metadata", c->err);
    ms->entry = entries;
    if (c->code) return c->code;
    c->code = vb_grow(&tables, &ms->cap, ms->n + 1, sizeof *ms->string_at, "metadata", c->err);
    ms->string_at = tables;
    if (c->code) return c->code;
    ms->string_at[ms->n] = NULL;
    const int code = parse_value(s, &m, &ms->string_at[ms->n]);
    ms->entry[ms->n++] = m; /* kept on error too, so that its table is freed */
    return code;
}

static int parse_alignment(parse *s) {
    vb_cursor *c = &s->c;
    const vb_meta *m = vb_metas_find(s->metas, "general.alignment");
    s->alignment = 32;
    if (!m) return VB_OK;
    uint64_t a;
    vb_cursor_at(c, "metadata 'general.alignment'");
    if (m->type != VB_VALUE_U32 || !vb_meta_u64(m, 0, &a)) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, m->offset, "type", "must be a 32-bit unsigned integer");
    }
    if (a < 8 || a > VB_GGUF_MAX_ALIGNMENT || (a & (a - 1))) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, m->offset, "value",
                              "%" PRIu64 " is not a power of two from 8 to %" PRIu64, a,
                              VB_GGUF_MAX_ALIGNMENT);
    }
    s->alignment = a;
    return VB_OK;
}

static int parse_metadata(parse *s, uint64_t n) {
    vb_cursor *c = &s->c;
    for (uint64_t i = 0; i < n; i++) {
        if (parse_entry(s, i)) return c->code;
    }
    size_t clash = 0;
    vb_metas *ms = s->metas;
    const int code = vb_names_build(&ms->names, ms->entry, ms->n, sizeof *ms->entry, &clash, c->err);
    if (code == VB_ERR_FORMAT) {
        vb_cursor_at(c, "metadata entry %zu '%.100s'", clash, ms->entry[clash].key);
        return vb_cursor_fail(c, code, ms->entry[clash].offset, "key", "occurs twice");
    }
    return code ? code : parse_alignment(s);
}

/* ------------------------------------------------------------------------------------------- tensor table */

static int parse_dims(parse *s, vb_tensor *t, uint64_t *values) {
    vb_cursor *c = &s->c;
    const uint64_t at = c->pos;
    const uint32_t n = vb_cursor_u32(c, "number of dimensions");
    if (c->code) return c->code;
    if (n < 1 || n > 4) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, at, "number of dimensions", "%" PRIu32 "; 1 to 4 are allowed",
                              n);
    }
    t->n_dims = (int)n;
    *values = 1;
    for (uint32_t i = 0; i < 4; i++) {
        const uint64_t dim_at = c->pos;
        t->dims[i] = i < n ? vb_cursor_u64(c, "dimension") : 1;
        if (c->code) return c->code;
        if (t->dims[i] < 1 || t->dims[i] > VB_GGUF_MAX_DIM) {
            return vb_cursor_fail(c, VB_ERR_FORMAT, dim_at, "dimension", "%" PRIu64 "; 1 to 2^40 are allowed",
                                  t->dims[i]);
        }
        if (!vb_mul_u64(*values, t->dims[i], values)) {
            return vb_cursor_fail(c, VB_ERR_FORMAT, dim_at, "dimension",
                                  "the product of the dimensions overflows");
        }
    }
    return VB_OK;
}

static int parse_tensor_type(parse *s, vb_tensor *t) {
    vb_cursor *c = &s->c;
    const uint64_t at = c->pos;
    const uint32_t type = vb_cursor_u32(c, "type");
    if (c->code) return c->code;
    if (type >= VB_TYPE_LIMIT || !vb_type_name((int)type)) {
        const char *name = vb_type_any_name(type);
        return vb_cursor_fail(c, VB_ERR_UNSUPPORTED, at, "type",
                              "tensor type %" PRIu32
                              " (%s) is not supported; use a file quantised otherwise, such as "
                              "Q4_K_M or Q8_0",
                              type, name ? name : "unknown");
    }
    t->type = (vb_type)type;
    return VB_OK;
}

/* t->offset is relative to the data section until place_tensors. */
static int parse_tensor(parse *s, uint64_t index, vb_tensor *t) {
    vb_cursor *c = &s->c;
    uint64_t values = 0;
    *t = (vb_tensor){.split = s->split};
    vb_cursor_at(c, "tensor %" PRIu64, index);
    if (parse_name(s, VB_GGUF_MAX_NAME, "name", &t->name)) return c->code;
    vb_cursor_at(c, "tensor %" PRIu64 " '%s'", index, t->name);
    const uint64_t dims_at = c->pos;
    if (parse_dims(s, t, &values) || parse_tensor_type(s, t)) return c->code;
    const uint64_t block = (uint64_t)vb_type_block_values((int)t->type);
    if (t->dims[0] % block) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, dims_at + 4, "dimension",
                              "a row of %" PRIu64 " values is not whole blocks of %" PRIu64 " (%s)",
                              t->dims[0], block, vb_type_name((int)t->type));
    }
    if (!vb_mul_u64(values / block, (uint64_t)vb_type_block_bytes((int)t->type), &t->bytes) ||
        t->bytes > c->size) {
        return vb_cursor_fail(
            c, VB_ERR_FORMAT, dims_at + 4, "dimension",
            "the tensor is larger than the file (%" PRIu64 " bytes); is the download complete?", c->size);
    }
    const uint64_t offset_at = c->pos;
    t->offset = vb_cursor_u64(c, "offset");
    if (c->code) return c->code;
    if (t->offset % s->alignment) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, offset_at, "offset",
                              "%" PRIu64 " is not a multiple of the alignment %" PRIu64, t->offset,
                              s->alignment);
    }
    return VB_OK;
}

typedef struct extent {
    uint64_t offset, bytes;
    size_t index;
} extent;

static int by_offset(const void *a, const void *b) {
    const extent *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* No two tensors of this file may share a byte. */
static int check_overlap(parse *s, size_t n) {
    vb_cursor *c = &s->c;
    const vb_tensor *tensors = s->g->tensors + s->first_tensor;
    void *memory = NULL;
    c->code = vb_alloc(&memory, n, sizeof(extent), "tensor extents", c->err);
    if (c->code) return c->code;
    extent *e = memory;
    for (size_t i = 0; i < n; i++) e[i] = (extent){tensors[i].offset, tensors[i].bytes, i};
    qsort(e, n, sizeof *e, by_offset);
    for (size_t i = 1; i < n; i++) {
        if (e[i].offset - e[i - 1].offset >= e[i - 1].bytes) continue;
        const vb_tensor *t = &tensors[e[i].index];
        vb_cursor_at(c, "tensor %zu '%s'", e[i].index, t->name);
        vb_cursor_fail(c, VB_ERR_FORMAT, s->entry_at[e[i].index], "offset", "its data overlap those of '%s'",
                       tensors[e[i - 1].index].name);
        break;
    }
    free(e);
    return c->code;
}

/* Where the data section begins is known now:
 * checks that every tensor lies inside and points it to its data. */
static int place_tensors(parse *s, size_t n) {
    vb_cursor *c = &s->c;
    /* pos <= size < 2^63 (a file), so rounding up cannot overflow. */
    const uint64_t start = (c->pos + s->alignment - 1) & ~(s->alignment - 1);
    const uint64_t length = start > c->size ? 0 : c->size - start;
    for (size_t i = 0; i < n; i++) {
        vb_tensor *t = &s->g->tensors[s->first_tensor + i];
        if (t->offset > length || t->bytes > length - t->offset) {
            vb_cursor_at(c, "tensor %zu '%s'", i, t->name);
            return vb_cursor_fail(c, VB_ERR_FORMAT, s->entry_at[i], "offset",
                                  "data of %" PRIu64 " bytes at %" PRIu64
                                  " reach beyond the data section, which has %" PRIu64
                                  " bytes; is the download complete?",
                                  t->bytes, t->offset, length);
        }
    }
    if (check_overlap(s, n)) return c->code;
    for (size_t i = 0; i < n; i++) {
        vb_tensor *t = &s->g->tensors[s->first_tensor + i];
        t->offset += start;
        t->data = c->data + t->offset;
    }
    return VB_OK;
}

static int parse_tensors(parse *s, uint64_t n) {
    vb_cursor *c = &s->c;
    vb_gguf *g = s->g;
    size_t cap = 0;
    s->first_tensor = g->n_tensors;
    if (g->n_tensors + n > VB_GGUF_MAX_TENSORS) {
        return vb_cursor_fail(c, VB_ERR_FORMAT, 8, "tensor count",
                              "more than %" PRIu64 " tensors in all parts", VB_GGUF_MAX_TENSORS);
    }
    for (uint64_t i = 0; i < n; i++) {
        void *tensors = g->tensors, *at = s->entry_at;
        c->code = vb_grow(&tensors, &g->tensors_cap, g->n_tensors + 1, sizeof *g->tensors, "tensors", c->err);
        g->tensors = tensors;
        if (c->code) return c->code;
        c->code = vb_grow(&at, &cap, (size_t)i + 1, sizeof *s->entry_at, "tensors", c->err);
        s->entry_at = at;
        if (c->code) return c->code;
        s->entry_at[i] = c->pos;
        if (parse_tensor(s, i, &g->tensors[g->n_tensors])) return c->code;
        g->n_tensors++;
    }
    return n ? place_tensors(s, (size_t)n) : VB_OK;
}

int vb_gguf_parse(vb_gguf *g, int split, vb_metas *metas, vb_error *err) {
    parse s = {.g = g, .metas = metas, .split = split};
    const vb_part *part = &g->parts[split];
    uint64_t n_entries = 0, n_tensors = 0;
    vb_cursor_init(&s.c, part->path, part->data, part->size, err);
    int code = parse_header(&s, &n_entries, &n_tensors);
    if (!code) code = parse_metadata(&s, n_entries);
    if (!code) code = parse_tensors(&s, n_tensors);
    free(s.entry_at);
    return code;
}

void vb_metas_free(vb_metas *m) {
    for (size_t i = 0; i < m->n; i++) free(m->string_at[i]);
    free((void *)m->string_at);
    free(m->entry);
    vb_names_free(&m->names);
    memset(m, 0, sizeof *m);
}
