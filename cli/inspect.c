/* inspect.c - `verbatim inspect`: what is in a GGUF file and what it takes to run it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const char *value_type_name(vb_value_type t) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)t < sizeof names / sizeof names[0] ? names[t] : "?";
}

/* ---- metadata ---- */

static json_t *element_json(const vb_gguf *g, const vb_meta *m, uint64_t i) {
    const char *text;
    size_t n;
    bool b;
    int64_t s;
    uint64_t u;
    double d;
    switch (m->elem) {
    case VB_VALUE_STRING: return vb_meta_string(g, m, i, &text, &n) ? cli_json_text(text, n) : json_null();
    case VB_VALUE_BOOL: return vb_meta_bool(m, i, &b) ? json_boolean(b) : json_null();
    case VB_VALUE_F32:
    case VB_VALUE_F64: return vb_meta_f64(m, i, &d) ? cli_json_real(d) : json_null();
    default:
        if (vb_meta_i64(m, i, &s)) return json_integer(s);
        return vb_meta_u64(m, i, &u) ? json_real((double)u)
                                     : json_null(); /* above 2^63: JSON has no such integer */
    }
}

/* How many elements of an array are shown: a vocabulary has 150,000. */
enum { SHOWN = 8 };

static json_t *metadata_json(const vb_gguf *g) {
    json_t *all = json_object();
    for (size_t i = 0; i < vb_gguf_meta_count(g); i++) {
        const vb_meta *m = vb_gguf_meta(g, i);
        json_t *value;
        if (m->type == VB_VALUE_ARRAY) {
            json_t *items = json_array();
            for (uint64_t j = 0; j < m->count && j < SHOWN; j++)
                json_array_append_new(items, element_json(g, m, j));
            value = json_pack("{ss ss sI so}", "type", "array", "of", value_type_name(m->elem), "count",
                              (json_int_t)m->count, "first", items);
        } else {
            value = element_json(g, m, 0);
        }
        json_t *key = cli_json_text(m->key, strlen(m->key));
        if (key)
            json_object_set_new(all, json_string_value(key), value);
        else
            json_decref(value);
        json_decref(key);
    }
    return all;
}

static void print_element(const vb_gguf *g, const vb_meta *m, uint64_t i) {
    const char *text;
    size_t n;
    char shown[160];
    if (m->elem == VB_VALUE_STRING && vb_meta_string(g, m, i, &text, &n)) {
        cli_escape(text, n, shown, m->type == VB_VALUE_ARRAY ? 32 : sizeof shown);
        cli_outf("\"%s\"", shown);
        return;
    }
    json_t *value = element_json(g, m, i);
    char *dump = value ? vb_json_write(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9), NULL) : NULL;
    cli_outf("%s", dump ? dump : "?");
    free(dump);
    json_decref(value);
}

static void print_metadata(const vb_gguf *g) {
    char key[160];
    cli_outf("metadata (%zu entries)\n", vb_gguf_meta_count(g));
    for (size_t i = 0; i < vb_gguf_meta_count(g); i++) {
        const vb_meta *m = vb_gguf_meta(g, i);
        cli_escape(m->key, strlen(m->key), key, sizeof key);
        if (m->type != VB_VALUE_ARRAY) {
            cli_outf("  %-44s %-7s ", key, value_type_name(m->type));
            print_element(g, m, 0);
        } else {
            cli_outf("  %-44s %s[%llu] ", key, value_type_name(m->elem), (unsigned long long)m->count);
            for (uint64_t j = 0; j < m->count && j < SHOWN; j++) {
                if (j) cli_outf(", ");
                print_element(g, m, j);
            }
            if (m->count > SHOWN) cli_outf(", ...");
        }
        cli_out("\n", 1);
    }
}

/* ---- tensors ---- */

static void shape(const vb_tensor *t, char out[96]) {
    int n = 0;
    for (int d = 0; d < t->n_dims && n < 90; d++)
        n += snprintf(out + n, 96 - (size_t)n, "%s%llu", d ? " x " : "", (unsigned long long)t->dims[d]);
}

static void print_tensors(const vb_gguf *g) {
    char name[96], dims[96], bytes[32];
    cli_outf("tensors (%zu; the first dimension is the row)\n", vb_gguf_tensor_count(g));
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        cli_escape(t->name, strlen(t->name), name, sizeof name);
        shape(t, dims);
        cli_outf("  %-32s %-7s %-20s %9s  at %llu", name, vb_type_name((int)t->type), dims,
                 cli_bytes(t->bytes, bytes), (unsigned long long)t->offset);
        if (vb_gguf_splits(g) > 1) cli_outf(" of part %d", t->split + 1);
        cli_out("\n", 1);
    }
}

static json_t *tensors_json(const vb_gguf *g) {
    json_t *all = json_array();
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        json_t *dims = json_array();
        for (int d = 0; d < t->n_dims; d++) json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
        json_array_append_new(
            all, json_pack("{so ss so sI sI si}", "name", cli_json_text(t->name, strlen(t->name)), "type",
                           vb_type_name((int)t->type), "dims", dims, "bytes", (json_int_t)t->bytes, "offset",
                           (json_int_t)t->offset, "part", t->split + 1));
    }
    return all;
}

/* ---- types and memory ---- */

typedef struct summary {
    uint64_t values, bytes;
    uint64_t type_tensors[VB_TYPE_LIMIT], type_bytes[VB_TYPE_LIMIT];
    uint64_t experts, used;               /* of a layer; 0: no mixture */
    uint64_t expert_values, expert_bytes; /* of all experts */
    uint64_t ctx,
        kv_values;  /* positions; values of K and V together per position. 0: the metadata do not say */
    bool kv_blocks; /* whole blocks of 32 values for every head */
} summary;

static uint64_t meta_of_arch(const vb_gguf *g, const char *suffix, uint64_t index, uint64_t otherwise) {
    const vb_meta *arch = vb_gguf_find(g, "general.architecture");
    const char *name;
    size_t n;
    char key[128];
    uint64_t value;
    if (!arch || !vb_meta_string(g, arch, 0, &name, &n) || n > 64) return otherwise;
    snprintf(key, sizeof key, "%.*s.%s", (int)n, name, suffix);
    const vb_meta *m = vb_gguf_find(g, key);
    if (!m) return otherwise;
    return vb_meta_u64(m, m->type == VB_VALUE_ARRAY ? index : 0, &value) ? value : otherwise;
}

static void summarise(const vb_gguf *g, const cli_options *o, summary *s) {
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        s->values += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        s->bytes += t->bytes;
        s->type_tensors[t->type]++;
        s->type_bytes[t->type] += t->bytes;
        if (!strstr(t->name, "_exps.")) continue;
        s->expert_values += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        s->expert_bytes += t->bytes;
    }
    s->experts = meta_of_arch(g, "expert_count", 0, 0);
    s->used = meta_of_arch(g, "expert_used_count", 0, 0);
    if (s->experts == 0 || s->used > s->experts) s->experts = s->used = 0;
    s->ctx = o->ctx ? (uint64_t)o->ctx : meta_of_arch(g, "context_length", 0, 0);
    uint64_t layers = meta_of_arch(g, "block_count", 0, 0), dim = meta_of_arch(g, "embedding_length", 0, 0);
    s->kv_blocks = true;
    for (uint64_t i = 0; i < layers && layers < 100000; i++) {
        uint64_t heads = meta_of_arch(g, "attention.head_count", i, 0);
        uint64_t head_dim = heads ? dim / heads : 0;
        const uint64_t k = meta_of_arch(g, "attention.key_length", 0, head_dim),
                       v = meta_of_arch(g, "attention.value_length", 0, head_dim);
        s->kv_values += meta_of_arch(g, "attention.head_count_kv", i, heads) * (k + v);
        s->kv_blocks = s->kv_blocks && k % 32 == 0 && v % 32 == 0;
    }
    uint64_t most;
    if (__builtin_mul_overflow(s->kv_values, s->ctx, &most) || most > UINT64_MAX / 4) s->kv_values = 0;
}

static uint64_t active(const summary *s, uint64_t all, uint64_t of_experts) {
    return cli_active(all, of_experts, s->experts, s->used);
}

static void print_summary(const vb_gguf *g, const summary *s) {
    char a[32], b[32], path[512];
    const char *p = vb_gguf_path(g);
    cli_escape(p, strlen(p), path, sizeof path);
    cli_outf("%s: GGUF version %d, %s", path, vb_gguf_version(g), cli_bytes(vb_gguf_file_bytes(g), a));
    if (vb_gguf_splits(g) > 1) cli_outf(" in %d parts", vb_gguf_splits(g));
    cli_outf("\n%s parameters\ntypes:", cli_count((double)s->values, a));
    for (int t = 0; t < VB_TYPE_LIMIT; t++)
        if (s->type_tensors[t])
            cli_outf(" %s (%llu tensors, %s)", vb_type_name(t), (unsigned long long)s->type_tensors[t],
                     cli_bytes(s->type_bytes[t], a));
    if (s->experts)
        cli_outf("\nexperts: %llu of %llu per token, so that it goes through %s parameters in %s",
                 (unsigned long long)s->used, (unsigned long long)s->experts,
                 cli_count((double)active(s, s->values, s->expert_values), a),
                 cli_bytes(active(s, s->bytes, s->expert_bytes), b));
    cli_outf("\nmemory: weights %s", cli_bytes(s->bytes, a));
    const uint64_t kv = s->kv_values * s->ctx;
    if (kv)
        cli_outf("; KV cache of %llu positions %s as F16, %s as F32", (unsigned long long)s->ctx,
                 cli_bytes(2 * kv, a), cli_bytes(4 * kv, b));
    if (kv && s->kv_blocks)
        cli_outf(", %s as Q8_0, %s as Q4_0", cli_bytes(kv / 32 * 34, a), cli_bytes(kv / 32 * 18, b));
    cli_out("\n", 1);
}

static json_t *summary_json(const vb_gguf *g, const summary *s) {
    json_t *types = json_object(), *kv = json_null();
    for (int t = 0; t < VB_TYPE_LIMIT; t++)
        if (s->type_tensors[t])
            json_object_set_new(types, vb_type_name(t),
                                json_pack("{sI sI}", "tensors", (json_int_t)s->type_tensors[t], "bytes",
                                          (json_int_t)s->type_bytes[t]));
    const uint64_t f16 = 2 * s->kv_values * s->ctx, f32 = 2 * f16;
    if (f16)
        kv = json_pack("{sI sI sI}", "positions", (json_int_t)s->ctx, "f16", (json_int_t)f16, "f32",
                       (json_int_t)f32);
    if (f16 && s->kv_blocks && kv) {
        json_object_set_new(kv, "q8_0", json_integer((json_int_t)f16 / 64 * 34));
        json_object_set_new(kv, "q4_0", json_integer((json_int_t)f16 / 64 * 18));
    }
    json_t *experts = json_null();
    if (s->experts)
        experts = json_pack("{sI sI sI sI}", "count", (json_int_t)s->experts, "used", (json_int_t)s->used,
                            "active_parameters", (json_int_t)active(s, s->values, s->expert_values),
                            "active_bytes", (json_int_t)active(s, s->bytes, s->expert_bytes));
    const char *path = vb_gguf_path(g);
    return json_pack("{so si sI si sI so so s{sI so} so so}", "file", cli_json_text(path, strlen(path)),
                     "version", vb_gguf_version(g), "file_bytes", (json_int_t)vb_gguf_file_bytes(g), "parts",
                     vb_gguf_splits(g), "parameters", (json_int_t)s->values, "experts", experts, "types",
                     types, "memory", "weights", (json_int_t)s->bytes, "kv", kv, "metadata", metadata_json(g),
                     "tensors", tensors_json(g));
}

int cli_inspect(cli_options *o) {
    vb_gguf *g = NULL;
    vb_model *as = NULL;
    vb_error err = {0};
    summary s;
    if (o->n_words && o->model) return cli_usage("-m and FILE both name the file: leave one out");
    const char *path = o->n_words ? o->words[0] : o->model;
    if (!path) return cli_usage("no file: verbatim inspect FILE");
    cli_interrupt_install();
    if (vb_gguf_open(&g, path, &err)) return cli_report(&err);
    summarise(g, o, &s);
    int rc = cli_rope_open(o, g, &as);
    if (as && !o->ctx) s.ctx = (uint64_t)vb_model_describe(as)->n_ctx;
    if (rc == CLI_OK && o->json) {
        json_t *shown = summary_json(g, &s);
        if (shown) cli_json_rope(shown, as, NULL);
        rc = cli_out_json(shown);
    } else if (rc == CLI_OK) {
        if (!o->brief) print_metadata(g);
        if (!o->brief) print_tensors(g);
        print_summary(g, &s);
        if (as)
            cli_outf("RoPE: %s: by options, not by the file; up to %d positions\n", vb_model_rope(as),
                     vb_model_describe(as)->n_ctx);
        rc = cli_out_finish();
    }
    vb_model_close(as);
    vb_gguf_close(g);
    return rc;
}
