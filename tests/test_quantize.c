/* test_quantize.c - vb_quantize on whole files: mixes and fallbacks, metadata, every refusal, a full disk,
 * and (with VB_FIXTURES and numpy) the error against files that another quantiser wrote. The encoders:
 * test_encode.c. */
#include "quantize/encode.h"
#include "tests/gguf_writer.h"
#include "quantize/mix.h"
#include "gguf/unpack.h"
#include "gguf/writer.h"

#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* A folder of its own for every test program, and paths in it. */
static char folder[256];

/* The same name gives the same pointer, valid to the end. */
static const char *in_folder(const char *name) {
    static char paths[32][320];
    static int n;
    char path[320];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (int i = 0; i < n; i++) {
        if (!strcmp(paths[i], path)) return paths[i];
    }
    assert_true(n < (int)COUNT(paths));
    return strcpy(paths[n++], path);
}

static bool exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Unfinished files of an output: OUT.part-1234, OUT.part-1234-2, ... */
static size_t unfinished(const char *out) {
    char pattern[400];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.part*", out);
    const size_t n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
    globfree(&found);
    return n;
}

static int make_folder(void **state) {
    (void)state;
    gw_temp_path(folder);
    return unlink(folder) || mkdir(folder, 0700);
}

static int remove_folder(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* dim 256: K types fit every row. */
static void write_model(const char *path, int dim, int layers, bool tied, vb_type type) {
    const gw_model_spec spec = {
        .dim = dim, .layers = layers, .heads = 4, .ffn = 2 * dim, .tied = tied, .type = type, .seed = 5};
    assert_int_equal(gw_tiny_model(path, &spec), 0);
}

static vb_gguf *open_file(const char *path) {
    vb_gguf *g = NULL;
    vb_error err = {0};
    const int rc = vb_gguf_open(&g, path, &err);
    if (rc) fail_msg("%s", err.message);
    return g;
}

static void quantize(const char *in, const char *out, const vb_quantize_params *p, vb_quantize_summary *sum) {
    vb_error err = {0};
    const int rc = vb_quantize(in, out, p, sum, &err);
    if (rc) fail_msg("%s", err.message);
}

/* The call must fail with this code, say each of the words (separated by |), and leave no file behind. */
static void refuse(const char *in, const char *out, const vb_quantize_params *p, int code,
                   const char *words) {
    vb_error err = {0};
    char word[64];
    const bool before = exists(out);
    const size_t parts_before = unfinished(out);
    const int rc = vb_quantize(in, out, p, NULL, &err);
    if (rc != code) fail_msg("code %d, expected %d (%s)", rc, code, err.message);
    assert_int_equal(err.code, code);
    for (const char *at = words; *at; at += strcspn(at, "|"), at += *at == '|') {
        const size_t len = strcspn(at, "|");
        assert_true(len < sizeof word);
        memcpy(word, at, len);
        word[len] = 0;
        if (!strstr(err.message, word)) fail_msg("\"%s\" does not say \"%s\"", err.message, word);
    }
    assert_int_equal(exists(out), before);
    assert_int_equal(unfinished(out), parts_before);
}

static uint8_t *slurp(const char *path, size_t *n) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    *n = (size_t)st.st_size;
    uint8_t *bytes = malloc(*n + 1);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

/* A whole run to the same output in the middle of another. */
typedef struct meanwhile {
    const char *in, *out;
    vb_quantize_params p;
    int calls;
} meanwhile;

static void run_meanwhile(void *user, const vb_quantize_progress *now) {
    meanwhile *m = user;
    (void)now;
    if (m->calls++) return;
    assert_int_equal(unfinished(m->out), 1);
    quantize(m->in, m->out, &m->p, NULL);
    assert_int_equal(unfinished(m->out), 1); /* that of the first run is still there, and its own */
}

static void two_runs(const char *in, const char *out, bool force) {
    meanwhile m = {in, out, {.type = "Q8_0", .n_threads = 1, .force = force}, 0};
    vb_quantize_params p = m.p;
    vb_quantize_summary sum;
    vb_error err = {0};
    size_t n;
    p.progress = run_meanwhile;
    p.user = &m;
    const int rc = vb_quantize(in, out, &p, &sum, &err);
    assert_true(m.calls > 1);
    if (force) {
        assert_int_equal(rc, VB_OK);
    } else { /* the second run's file is not replaced: it was not there when the first one looked */
        assert_int_equal(rc, VB_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, "exists by now"));
    }
    free(slurp(out, &n));
    if (force) assert_int_equal(n, sum.bytes_out);
    assert_int_equal(unfinished(out), 0);
    vb_gguf_close(open_file(out)); /* whole */
}

/* ----------------------------------------------------------------------------------------- whole files */

/* The output against the input: the same tensors in the same order, each as its rule says, each the bytes
 * that its encoder gives, and the metadata byte for byte but for two keys.
 * Returns the number of fallbacks. */
static int check_output(const char *in, const char *out, const char *type, bool pure) {
    vb_gguf *a = open_file(in), *b = open_file(out);
    const vb_mix *mix = vb_mix_find(type);
    const vb_mix_model model = vb_mix_model_of(a);
    int fallbacks = 0;
    assert_int_equal(vb_gguf_tensor_count(a), vb_gguf_tensor_count(b));
    for (size_t i = 0; i < vb_gguf_tensor_count(a); i++) {
        const vb_tensor *x = vb_gguf_tensor(a, i), *y = vb_gguf_tensor(b, i);
        vb_type wanted = x->type, expected = x->type;
        if (vb_mix_is_matrix(x->name, x->n_dims)) {
            wanted = vb_mix_wanted(mix, pure, &model, x->name);
            expected = vb_mix_fallback(wanted, x->dims[0]);
        }
        fallbacks += expected != wanted;
        assert_string_equal(x->name, y->name);
        assert_int_equal(y->type, expected);
        assert_memory_equal(x->dims, y->dims, sizeof x->dims);
        const size_t n = (size_t)(x->bytes / (uint64_t)vb_type_block_bytes((int)x->type));
        float *values = malloc((n + 1) * sizeof *values);
        uint8_t *bytes = malloc((size_t)y->bytes + 1);
        vb_encode_fault fault;
        vb_dequantize_row(x->type, x->data, n, values);
        assert_int_equal(vb_encode(expected, values, n, bytes, &fault), -1);
        assert_memory_equal(bytes, y->data, (size_t)y->bytes);
        free(values);
        free(bytes);
    }
    size_t kept = 0;
    for (size_t i = 0; i < vb_gguf_meta_count(a); i++) {
        const vb_meta *x = vb_gguf_meta(a, i), *y = vb_gguf_find(b, x->key);
        if (!strncmp(x->key, "split.", 6)) {
            assert_null(y);
            continue;
        }
        assert_non_null(y);
        kept++;
        if (!strcmp(x->key, "general.file_type") || !strcmp(x->key, "general.quantization_version")) continue;
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->elem, y->elem);
        assert_int_equal(x->count, y->count);
        assert_int_equal(vb_meta_raw_bytes(x), vb_meta_raw_bytes(y));
        assert_memory_equal(x->raw, y->raw, (size_t)vb_meta_raw_bytes(x));
    }
    uint64_t value;
    assert_true(vb_meta_u64(vb_gguf_find(b, "general.file_type"), 0, &value) && value == mix->file_type);
    assert_true(vb_meta_u64(vb_gguf_find(b, "general.quantization_version"), 0, &value) && value == 2);
    kept += !vb_gguf_find(a, "general.file_type");
    kept += !vb_gguf_find(a, "general.quantization_version");
    assert_int_equal(vb_gguf_meta_count(b), kept);
    vb_gguf_close(a);
    vb_gguf_close(b);
    return fallbacks;
}

static void test_every_type(void **state) {
    (void)state;
    static const struct {
        vb_type source;
        bool tied, pure;
        const char *types[13];
    } cases[] = {
        {VB_F32,
         false,
         false,
         {"F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K", "Q5_0", "Q4_1", "Q4_K_M", "Q4_K", "Q4_0",
          NULL}},
        {VB_F32, false, true, {"Q4_K_M", "Q4_0", NULL}},
        {VB_F16, true, false, {"Q4_K_M", "F16", "Q8_0", NULL}},
        {VB_BF16, true, false, {"Q5_K_M", "BF16", NULL}},
    };
    const char *in = in_folder("model.gguf"), *out = in_folder("out.gguf");
    for (size_t c = 0; c < COUNT(cases); c++) {
        write_model(in, 256, 1, cases[c].tied, cases[c].source);
        for (const char *const *type = cases[c].types; *type; type++) {
            const vb_quantize_params p = {
                .type = *type, .pure = cases[c].pure, .force = true, .n_threads = 2};
            vb_quantize_summary sum;
            struct stat st;
            quantize(in, out, &p, &sum);
            assert_int_equal(check_output(in, out, *type, cases[c].pure), 0);
            assert_int_equal(stat(out, &st), 0);
            assert_int_equal(sum.bytes_out, st.st_size);
            assert_int_equal(sum.fallbacks, 0);
            assert_true(sum.relative >= 0 && sum.relative < 0.1);
        }
    }
}

static void count_fallbacks(void *user, const vb_quantize_progress *p) {
    if (p->done && p->type != p->wanted) ++*(int *)user;
}

static void test_fallback_files(void **state) {
    (void)state;
    const char *in = in_folder("small.gguf"), *out = in_folder("small-out.gguf");
    write_model(in, 64, 2, false, VB_F32); /* rows of 64 and 128: no K type fits */
    static const char *const types[] = {"Q4_K_M", "Q5_K", "Q6_K", "Q4_0"};
    for (size_t i = 0; i < COUNT(types); i++) {
        int reported = 0;
        const vb_quantize_params p = {
            .type = types[i], .force = true, .n_threads = 1, .progress = count_fallbacks, .user = &reported};
        vb_quantize_summary sum;
        quantize(in, out, &p, &sum);
        const int expected = check_output(in, out, types[i], false);
        assert_int_equal(reported, expected);
        assert_int_equal(sum.fallbacks, expected);
        assert_int_equal(expected,
                         i < 3 ? 16 : 1); /* all 7 matrices of 2 layers, embedding and output; or output */
    }
}

static void test_same_bytes_for_any_threads(void **state) {
    (void)state;
    const char *in = in_folder("threads.gguf");
    write_model(in, 256, 1, false, VB_F32);
    size_t n0 = 0, n;
    uint8_t *first = NULL;
    for (int threads = 1; threads <= 5; threads += 2) {
        const vb_quantize_params p = {.type = "Q4_K_M", .force = true, .n_threads = threads};
        quantize(in, in_folder("t.gguf"), &p, NULL);
        uint8_t *bytes = slurp(in_folder("t.gguf"), &n);
        if (first) {
            assert_int_equal(n, n0);
            assert_memory_equal(bytes, first, n);
            free(bytes);
        } else {
            first = bytes;
            n0 = n;
        }
    }
    free(first);
}

/* Big alignment, keys of many kinds. */
static void test_metadata(void **state) {
    (void)state;
    const char *in = in_folder("keys.gguf"), *out = in_folder("keys-out.gguf");
    static const char *const words[] = {"a", "", "longer text with \xc3\xa9"};
    const float values[512] = {1.0f, -2.0f, 0.5f};
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_u32(w, "general.quantization_version", 1);
    gw_array_str(w, "words", words, 3);
    gw_array_str(w, "none", words, 0);
    gw_array(w, "reals", VB_VALUE_F64, values, 3, 24);
    gw_bool(w, "flag", true);
    gw_i64(w, "long", -5);
    gw_alignment(w, 4096);
    gw_tensor(w, "blk.0.attn_q.weight", VB_F32, 2, (uint64_t[]){256, 2}, values, 2048);
    gw_tensor(w, "blk.0.attn_q.bias", VB_F32, 1, (uint64_t[]){3}, values, 12);
    gw_tensor(w, "blk.0.ffn_up.weight", VB_F32, 3, (uint64_t[]){32, 2, 2}, values, 512);
    gw_write(w, in);
    gw_free(w);
    const vb_quantize_params p = {.type = "Q4_K", .n_threads = 1};
    quantize(in, out, &p, NULL);
    assert_int_equal(check_output(in, out, "Q4_K", false), 1);
    vb_gguf *g = open_file(out);
    assert_int_equal(vb_gguf_tensor(g, 1)->offset % 4096, 0);
    vb_gguf_close(g);
}

/* A model in two files gives one file, which says nothing of splits; neither part may be the output. */
static void test_split_input(void **state) {
    (void)state;
    const char *parts[2] = {in_folder("s-00001-of-00002.gguf"), in_folder("s-00002-of-00002.gguf")};
    float values[512];
    for (int i = 0; i < 512; i++) values[i] = (float)(i % 37) - 11.0f;
    for (uint16_t i = 0; i < 2; i++) {
        gw *w = gw_new();
        gw_str(w, "general.architecture", "llama");
        gw_u16(w, "split.no", i);
        gw_u16(w, "split.count", 2);
        gw_i32(w, "split.tensors.count", 2);
        gw_tensor(w, i ? "blk.1.ffn_up.weight" : "blk.0.ffn_up.weight", VB_F32, 2, (uint64_t[]){256, 2},
                  values, 2048);
        gw_write(w, parts[i]);
        gw_free(w);
    }
    const vb_quantize_params p = {.type = "Q5_K", .n_threads = 1, .force = true};
    quantize(parts[0], in_folder("whole.gguf"), &p, NULL);
    assert_int_equal(check_output(parts[0], in_folder("whole.gguf"), "Q5_K", false), 0);
    for (int i = 0; i < 2; i++) refuse(parts[0], parts[i], &p, VB_ERR_ARGUMENT, "is the input itself");
    vb_gguf_close(open_file(parts[0]));
}

/* ------------------------------------------------------------------------------ refusals */

static bool always(void *user) {
    (void)user;
    return true;
}

static void test_refused_requests(void **state) {
    (void)state;
    const char *in = in_folder("in.gguf"), *out = in_folder("refused.gguf");
    write_model(in, 64, 1, false, VB_F32);
    const vb_quantize_params good = {.type = "Q8_0", .n_threads = 1},
                             force = {.type = "Q8_0", .n_threads = 1, .force = true};
    vb_quantize_params bad = good;
    bad.type = "Q7_K";
    refuse(in, out, &bad, VB_ERR_ARGUMENT, "Q7_K|Q4_K_M|F16");
    bad.type = NULL;
    refuse(in, out, &bad, VB_ERR_ARGUMENT, "Q4_0");
    refuse(in_folder("absent.gguf"), out, &good, VB_ERR_IO, "absent.gguf");
    refuse(in, in_folder("no/such/folder.gguf"), &good, VB_ERR_IO, "folder.gguf");
    refuse(in, folder, &force, VB_ERR_ARGUMENT, "not a regular file");
    refuse(in, "/dev/full", &force, VB_ERR_ARGUMENT, "/dev/full|not a regular file");
    bad = good;
    bad.cancel = always;
    refuse(in, out, &bad, VB_ERR_CANCELLED, "stopped at tensor");

    /* The input itself, by its name, a link of either kind, and as the name of the unfinished output. */
    assert_int_equal(symlink(in, in_folder("soft.gguf")), 0);
    assert_int_equal(link(in, in_folder("hard.gguf")), 0);
    refuse(in, in, &force, VB_ERR_ARGUMENT, "is the input itself");
    refuse(in, in_folder("soft.gguf"), &force, VB_ERR_ARGUMENT, "is the input itself");
    refuse(in, in_folder("hard.gguf"), &force, VB_ERR_ARGUMENT, "is the input itself");
    vb_gguf_close(open_file(in)); /* still whole */

    /* An output that is there already, finished or not. */
    quantize(in, out, &good, NULL);
    refuse(in, out, &good, VB_ERR_ARGUMENT, "refused.gguf exists");
    quantize(in, out, &force, NULL);

    two_runs(in, in_folder("both.gguf"), true);
    two_runs(in, in_folder("first.gguf"), false);
    /* An unfinished file of this very name was left by another run, which may be going on: it stays. */
    char left[64];
    snprintf(left, sizeof left, "left.gguf.part-%ld", (long)getpid());
    gw_write_bytes(in_folder(left), "x", 1);
    quantize(in, in_folder("left.gguf"), &good, NULL);
    quantize(in, in_folder("left.gguf"), &force, NULL);
    assert_true(exists(in_folder(left)));
    assert_int_equal(unfinished(in_folder("left.gguf")), 1);

    /* Twice. */
    refuse(out, in_folder("twice.gguf"), &good, VB_ERR_UNSUPPORTED, "token_embd.weight|Q8_0|lose accuracy");
}

static void one_tensor_file(const char *path, const char *name, const float *values, uint64_t rows) {
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_tensor(w, name, VB_F32, rows > 1 ? 2 : 1, (uint64_t[]){256, rows}, values, 1024 * rows);
    gw_write(w, path);
    gw_free(w);
}

static void test_refused_values(void **state) {
    (void)state;
    enum { ROWS = 600 }; /* several chunks */
    const char *in = in_folder("bad.gguf"), *out = in_folder("bad-out.gguf");
    float *x = calloc(256 * ROWS, sizeof *x);
    vb_quantize_params p = {.type = "Q4_K", .n_threads = 3};
    x[500 * 256 + 3] = -INFINITY;
    x[400 * 256 + 7] = NAN; /* the first of them, though in another thread's hands */
    x[599 * 256 + 9] = NAN;
    one_tensor_file(in, "blk.0.ffn_up.weight", x, ROWS);
    refuse(in, out, &p, VB_ERR_NUMERIC, "bad.gguf|blk.0.ffn_up.weight|element 102407|row 400, column 7|nan");
    x[400 * 256 + 7] = 0;
    one_tensor_file(in, "blk.0.ffn_up.weight", x, ROWS);
    refuse(in, out, &p, VB_ERR_NUMERIC, "row 500, column 3|-inf");
    one_tensor_file(in, "output_norm.weight", x + 599 * 256, 1); /* also where nothing is quantised */
    refuse(in, out, &p, VB_ERR_NUMERIC, "output_norm.weight|element 9 |nan");
    memset(x, 0, 256 * ROWS * sizeof *x);
    x[300] = 1e9f;
    one_tensor_file(in, "blk.0.ffn_up.weight", x, ROWS);
    refuse(in, out, &p, VB_ERR_NUMERIC, "row 1, column 44|1e+09|too large for Q4_K|BF16");
    p.type = "F16";
    refuse(in, out, &p, VB_ERR_NUMERIC, "too large for F16");
    p.type = "BF16";
    quantize(in, out, &p, NULL);
    free(x);
}

/* A limit on the size of files stands in for a full disk; it needs no rights. Each limit cuts the output
 * elsewhere: in the header, in the data, at its last byte. */
static void test_full_disk(void **state) {
    (void)state;
    const char *in = in_folder("disk.gguf"), *out = in_folder("disk-out.gguf");
    write_model(in, 256, 1, false, VB_F32);
    const vb_quantize_params p = {.type = "Q8_0", .n_threads = 2};
    vb_quantize_summary sum;
    quantize(in, out, &p, &sum);
    assert_int_equal(unlink(out), 0);
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    const rlim_t limits[] = {10, 5000, (rlim_t)sum.bytes_out / 2, (rlim_t)sum.bytes_out - 1};
    for (size_t i = 0; i < COUNT(limits); i++) {
        low = old;
        low.rlim_cur = limits[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        vb_error err = {0};
        const int rc = vb_quantize(in, out, &p, NULL, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(rc, VB_ERR_IO);
        char need[64];
        snprintf(need, sizeof need, "disk-out.gguf: File too large (the file needs %llu bytes)",
                 (unsigned long long)sum.bytes_out);
        assert_non_null(strstr(err.message, need));
        assert_false(exists(out));
        assert_int_equal(unfinished(out), 0);
    }
    signal(SIGXFSZ, handler);
    quantize(in, out, &p, NULL);
}

/* ------------------------------------------------------------------------------ the writer */

static void test_writer(void **state) {
    (void)state;
    const char *path = in_folder("writer.gguf");
    const uint64_t dims[2] = {32, 3}, bad[2] = {31, 3}, huge[4] = {UINT64_MAX / 32 * 32, 2, 2, 2};
    const uint8_t data[200] = {1, 2, 3};
    vb_gguf_writer *w = NULL;
    vb_error err = {0};
    assert_int_equal(vb_gguf_writer_open(&w, path, false, &err), VB_OK);
    assert_int_equal(vb_gguf_writer_tensor(w, "odd", VB_Q8_0, 2, bad, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_tensor(w, "huge", VB_Q8_0, 4, huge, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_tensor(w, "none", VB_Q8_0, 0, dims, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_align(w, 48, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_meta_u32(w, "k", 7, &err), VB_OK);
    assert_int_equal(vb_gguf_writer_tensor(w, "a", VB_Q8_0, 2, dims, &err), VB_OK);
    assert_int_equal(vb_gguf_writer_tensor(w, "b", VB_Q8_0, 1, dims, &err), VB_OK);
    assert_int_equal(vb_gguf_writer_data(w, data, 100, &err), VB_OK); /* 102 + 34 bytes are announced */
    assert_int_equal(vb_gguf_writer_tensor(w, "c", VB_Q8_0, 1, dims, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_meta_u32(w, "late", 7, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_gguf_writer_finish(w, NULL), VB_ERR_ARGUMENT);
    assert_false(exists(path));
    assert_int_equal(vb_gguf_writer_data(w, data, 36, &err), VB_OK); /* across the padding */
    assert_int_equal(vb_gguf_writer_data(w, data, 1, NULL), VB_ERR_ARGUMENT);
    const uint64_t size = vb_gguf_writer_bytes(w);
    assert_int_equal(vb_gguf_writer_finish(w, &err), VB_OK);
    vb_gguf_writer_close(w);
    vb_gguf *g = open_file(path);
    assert_int_equal(vb_gguf_file_bytes(g), size);
    assert_int_equal(vb_gguf_tensor(g, 1)->bytes, 34);
    assert_memory_equal(vb_gguf_tensor(g, 0)->data, data, 100);
    assert_memory_equal(vb_gguf_tensor(g, 1)->data, data + 2, 34);
    vb_gguf_close(g);
}

/* ------------------------------------------------------------------------------ against another quantiser */

static double error_of(const vb_tensor *source, const vb_tensor *t) {
    const size_t n = (size_t)source->bytes / sizeof(float);
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    double e = 0;
    vb_dequantize_row(source->type, source->data, n, x);
    vb_dequantize_row(t->type, t->data, n, y);
    for (size_t i = 0; i < n; i++) e += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    free(x);
    free(y);
    return e;
}

/* Files of the fixtures' quantiser, and ours from the same F32 model, which a seeded program makes again. Per
 * tensor and over all: root mean square error at most 1.02 times theirs. */
static void test_against_fixtures(void **state) {
    (void)state;
    const char *fixtures = getenv("VB_FIXTURES");
    static const char *const types[] = {"F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",  "Q5_0",
                                        "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q4_K_M"};
    char command[2048], path[512];
    const char *source = in_folder("seeded.gguf");
    if (!fixtures) {
        print_message("# VB_FIXTURES is not set\n");
        skip();
    }
    snprintf(
        command, sizeof command,
        "for python in python3 /usr/bin/python3; do $python -c 'import numpy' 2>/dev/null && break; done; "
        "$python "
        "'%s/../tools/mkmodel.py' '%s' --f32 --dim 256 --layers 2 --heads 4 --kv-heads 2 --ffn 512 --ctx 512 "
        "--seed "
        "11 --name seeded-quant-types --arch llama --vocab-from '%s/models/stories260K.gguf' >/dev/null 2>&1",
        fixtures, source, fixtures);
    if (system(command)) {
        print_message("# no Python with numpy to make the F32 source of the fixtures again\n");
        skip();
    }
    vb_gguf *s = open_file(source);
    for (size_t i = 2; i < COUNT(types); i++) { /* the fixtures in F16 and BF16 are of another model */
        const bool mix = !strcmp(types[i], "Q4_K_M");
        const vb_quantize_params p = {.type = types[i], .pure = !mix, .force = true};
        quantize(source, in_folder("ours.gguf"), &p, NULL);
        snprintf(path, sizeof path, "%s/models/%s-%s.gguf", fixtures, mix ? "mix" : "type", types[i]);
        vb_gguf *ours = open_file(in_folder("ours.gguf")), *theirs = open_file(path);
        double sum_ours = 0, sum_theirs = 0, worst = 0;
        for (size_t k = 0; k < vb_gguf_tensor_count(s); k++) {
            const vb_tensor *x = vb_gguf_tensor(s, k), *a = vb_gguf_find_tensor(ours, x->name);
            const vb_tensor *b = vb_gguf_find_tensor(theirs, x->name);
            assert_non_null(b);
            assert_int_equal(a->type, b->type);
            if (x->n_dims < 2) continue;
            const double ea = error_of(x, a), eb = error_of(x, b);
            sum_ours += ea;
            sum_theirs += eb;
            worst = fmax(worst, sqrt(ea / eb));
            if (!(ea <= 1.02 * 1.02 * eb))
                fail_msg("%s, %s: %.4f of theirs", types[i], x->name, sqrt(ea / eb));
        }
        print_message("# %s: rmse %.4f of the other quantiser's over all, %.4f in the worst tensor\n",
                      types[i], sqrt(sum_ours / sum_theirs), worst);
        assert_int_equal(vb_gguf_meta_count(ours), vb_gguf_meta_count(theirs));
        vb_gguf_close(ours);
        vb_gguf_close(theirs);
    }
    vb_gguf_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_fallback_files),
        cmocka_unit_test(test_same_bytes_for_any_threads),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_split_input),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_refused_values),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_against_fixtures),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
