/* manifest.c - the list of all files with their hashes. One XXH3-128 for each file, and XXH3-64 of every
 * piece of 16 KiB, so that a change can be placed; the last line is a hash of the manifest itself. These are
 * checksums: they show damage, not forgery. */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "conformance/conformance.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { PIECE = 16384 };

/* ---------------------------------------------------------------------------------------------- the files */

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct names {
    char **name;
    size_t n;
} names;

static void names_free(names *l) {
    for (size_t i = 0; i < l->n; i++) free(l->name[i]);
    free(l->name);
}

/* All files below dir/below but the manifest and what begins with a dot, as paths below dir. */
static int list_files(const char *dir, const char *below, int depth, names *out, vb_error *err) {
    char *path = *below ? cf_path(dir, below) : strdup(dir);
    DIR *d = path ? opendir(path) : NULL;
    int rc = VB_OK;
    if (!d) {
        rc = vb_fail(err, VB_ERR_IO, "%s: %s", path ? path : dir, strerror(errno));
        free(path);
        return rc;
    }
    for (struct dirent *e; !rc && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (e->d_name[0] == '.') continue;
        char *name = *below ? cf_path(below, e->d_name) : strdup(e->d_name), *full = cf_path(path, e->d_name);
        if (!name || !full || stat(full, &st)) {
            rc = vb_fail(err, VB_ERR_IO, "%s/%s: %s", path, e->d_name, strerror(errno));
        } else if (S_ISDIR(st.st_mode)) {
            if (depth < 8) rc = list_files(dir, name, depth + 1, out, err);
        } else if (strcmp(name, CF_MANIFEST) != 0) {
            char **grown = realloc(out->name, (out->n + 1) * sizeof *grown);
            if (grown) {
                out->name = grown;
                out->name[out->n++] = name;
                name = NULL;
            } else {
                rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for file names");
            }
        }
        free(name);
        free(full);
    }
    closedir(d);
    free(path);
    return rc;
}

/* ---------------------------------------------------------------------------------------------- writing */

static const char *text_of(const json_t *o, const char *key, const char *otherwise) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : otherwise;
}

/* The first line of a JSON Lines file; NULL if it is not JSON. */
static json_t *first_line(const char *bytes, size_t n) {
    const char *end = memchr(bytes, '\n', n);
    return vb_json_read(bytes, end ? (size_t)(end - bytes) : n, 0, NULL);
}

/* What models/sources.jsonl says of a model ("model":PATH) or another file ("file":PATH). */
static json_t *source_of(const char *dir, const char *name) {
    char *path = cf_path(dir, "models/sources.jsonl"), *bytes = NULL;
    size_t n = 0;
    json_t *found = NULL;
    if (!path || cf_read_file(path, &bytes, &n, NULL)) goto cleanup;
    for (char *at = bytes; !found && *at;) {
        const size_t len = strcspn(at, "\n");
        json_t *line = vb_json_read(at, len, 0, NULL);
        if (!strcmp(text_of(line, "model", text_of(line, "file", "")), name))
            found = line;
        else
            json_decref(line);
        at += len + (at[len] == '\n');
    }
cleanup:
    free(bytes);
    free(path);
    return found;
}

static int add_entry(vb_buf *out, const char *dir, const char *name, vb_error *err) {
    char *path = cf_path(dir, name), *bytes = NULL, hash[33], command[512];
    size_t n = 0;
    vb_buf pieces = {0};
    json_t *head = NULL;
    int rc = path ? cf_read_file(path, &bytes, &n, err)
                  : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (rc) goto cleanup;
    const bool model = ends_with(name, ".gguf"), lines = ends_with(name, ".jsonl");
    head = lines ? first_line(bytes, n) : source_of(dir, name);
    if (!head && !model && !lines) head = json_object(); /* a page, a picture */
    if (!head) {
        rc = model ? vb_fail(err, VB_ERR_FORMAT,
                             "%s: models/sources.jsonl has no line for %s: add its licence and command", dir,
                             name)
                   : vb_fail(err, VB_ERR_FORMAT, "%s: line 1 is not a JSON object", path);
        goto cleanup;
    }
    const bool trace = json_object_get(head, "trace") != NULL;
    const char *kind = model    ? "weights"
                       : !lines ? "file"
                       : trace  ? "trace"
                                : text_of(head, "kind", "source");
    if (trace && json_is_string(json_object_get(head, "draft_model")))
        snprintf(command, sizeof command, "verbatim record -m %s -md %s --out DIR",
                 text_of(head, "target", "?"), text_of(head, "draft_model", "?"));
    else
        snprintf(command, sizeof command, "%s", text_of(head, "command", "by hand"));
    cf_hash128(bytes, n, hash);
    for (size_t at = 0; at < n; at += PIECE) {
        char piece[17];
        cf_hash64(bytes + at, n - at < PIECE ? n - at : PIECE, piece);
        vb_buf_add(&pieces, piece, 16);
    }
    if ((rc = vb_buf_done(&pieces, "a vector file", err))) goto cleanup;
    cf_add_json(out, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "file", name, "kind", kind,
                               "origin", text_of(head, "origin", trace ? "contract" : "source"), "licence",
                               text_of(head, "licence", CF_LICENCE), "command", command, "bytes",
                               (json_int_t)n, "xxh3", hash, "pieces", pieces.s ? pieces.s : ""));
cleanup:
    json_decref(head);
    vb_buf_free(&pieces);
    free(bytes);
    free(path);
    return rc;
}

/* The last line: a hash of all bytes before it. */
static void last_line(const char *bytes, size_t n, char out[64]) {
    char hash[33];
    cf_hash128(bytes, n, hash);
    snprintf(out, 64, "{\"manifest_xxh3\":\"%s\"}\n", hash);
}

/* The text of the manifest, as it should be for the files that are there. */
static int make_manifest(vb_buf *out, const char *dir, vb_error *err) {
    names l = {0};
    char last[64];
    int rc = list_files(dir, "", 0, &l, err);
    if (rc) goto cleanup;
    if (l.n) qsort(l.name, l.n, sizeof *l.name, compare_names);
    cf_add_json(out, json_pack("{s:s, s:i, s:s, s:i, s:I}", "verbatim", "manifest", "version", CF_VERSION,
                               "library", VB_VERSION, "piece", PIECE, "files", (json_int_t)l.n));
    for (size_t i = 0; i < l.n && !rc; i++) rc = add_entry(out, dir, l.name[i], err);
    if (!rc) rc = vb_buf_done(out, "a vector file", err);
    if (rc) goto cleanup;
    last_line(out->s, out->n, last);
    vb_buf_add(out, last, strlen(last));
    rc = vb_buf_done(out, "a vector file", err);
cleanup:
    names_free(&l);
    return rc;
}

int cf_write_manifest(const char *dir, vb_error *err) {
    vb_buf out = {0};
    char *path = cf_path(dir, CF_MANIFEST);
    int rc = path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = make_manifest(&out, dir, err);
    if (!rc) rc = cf_write_file(path, out.s, out.n, err);
    free(path);
    vb_buf_free(&out);
    return rc;
}

/* ---------------------------------------------------------------------------------------------- reading */

/* Files of the folder that the manifest does not list. */
static int check_unlisted(const char *dir, const json_t *lines, vb_error *err) {
    names l = {0};
    int rc = list_files(dir, "", 0, &l, err);
    for (size_t i = 0; i < l.n && !rc; i++) {
        bool listed = false;
        for (size_t k = 0; k < json_array_size(lines) && !listed; k++)
            listed = !strcmp(text_of(json_array_get(lines, k), "file", ""), l.name[i]);
        if (!listed)
            rc = vb_fail(err, VB_ERR_FORMAT,
                         "%s/%s is not in the manifest: `verbatim record --manifest --out %s` writes it anew",
                         dir, l.name[i], dir);
    }
    names_free(&l);
    return rc;
}

static size_t line_number(const char *bytes, size_t at) {
    size_t n = 1;
    for (size_t i = 0; i < at; i++) n += bytes[i] == '\n';
    return n;
}

/* The manifest does not have its own hash: where was it changed? The files say what should stand there. */
static int damaged(const char *dir, const char *path, const char *bytes, size_t n, vb_error *err) {
    vb_buf want = {0};
    size_t at = 0;
    char place[96] = "changed or cut off";
    if (!make_manifest(&want, dir, NULL)) {
        while (at < n && at < want.n && bytes[at] == want.s[at]) at++;
        const int flip = at < n && at < want.n ? (uint8_t)(bytes[at] ^ want.s[at]) : 0;
        const bool one = flip && !(flip & (flip - 1)) && n == want.n &&
                         !memcmp(bytes + at + 1, want.s + at + 1, n - at - 1);
        int bit = 0;
        while (flip >> bit > 1) bit++;
        if (one)
            snprintf(place, sizeof place, "line %zu, byte %zu: bit %d was changed", line_number(bytes, at),
                     at, bit);
        else
            snprintf(place, sizeof place, "line %zu, byte %zu: not what the files themselves give",
                     line_number(bytes, at), at);
    }
    vb_buf_free(&want);
    return vb_fail(err, VB_ERR_FORMAT, "%s: its last line is not the hash of the lines before it: %s", path,
                   place);
}

int cf_read_manifest(const char *dir, json_t **lines, char hash[33], vb_error *err) {
    char *path = cf_path(dir, CF_MANIFEST), *bytes = NULL, last[64];
    size_t n = 0;
    json_t *found = json_array(), *head = NULL;
    int rc = path && found ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for the manifest");
    if (!rc) rc = cf_read_file(path, &bytes, &n, err);
    if (rc) goto cleanup;
    const size_t tail = sizeof "{\"manifest_xxh3\":\"\"}\n" - 1 + 32;
    if (n < tail) {
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: cut off: it ends with its own hash", path);
        goto cleanup;
    }
    last_line(bytes, n - tail, last);
    if (memcmp(bytes + n - tail, last, tail) != 0) {
        rc = damaged(dir, path, bytes, n, err);
        goto cleanup;
    }
    head = first_line(bytes, n);
    if (strcmp(text_of(head, "verbatim", ""), "manifest") != 0 ||
        json_integer_value(json_object_get(head, "version")) != CF_VERSION ||
        json_integer_value(json_object_get(head, "piece")) != PIECE) {
        rc = vb_fail(err, VB_ERR_UNSUPPORTED, "%s: line 1: not a manifest of version %d", path, CF_VERSION);
        goto cleanup;
    }
    int number = 2;
    for (const char *at = memchr(bytes, '\n', n); at && at + 1 < bytes + n - tail; number++) {
        const char *start = at + 1;
        at = memchr(start, '\n', (size_t)(bytes + n - start));
        json_t *line = at ? vb_json_read(start, (size_t)(at - start), 0, NULL) : NULL;
        if (!json_is_object(line) || json_array_append_new(found, line)) {
            json_decref(line);
            rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %d is not a JSON object", path, number);
            goto cleanup;
        }
    }
    if ((rc = check_unlisted(dir, found, err))) goto cleanup;
    if (hash) snprintf(hash, 33, "%.32s", bytes + n - tail + sizeof "{\"manifest_xxh3\":\"" - 1);
    *lines = found;
    found = NULL;
cleanup:
    json_decref(head);
    json_decref(found);
    free(bytes);
    free(path);
    return rc;
}

/* The one bit whose change gives the piece its hash back: bit index, or -1. What stands before the bit is
 * hashed once for every 256 bytes, not for every bit. */
static int64_t changed_bit(char *piece, size_t n, uint64_t hash) {
    enum { CHUNK = 256 };
    XXH3_state_t before, all;
    int64_t found = -1;
    XXH3_64bits_reset(&before);
    for (size_t at = 0; at < n && found < 0; at += CHUNK) {
        const size_t m = n - at < CHUNK ? n - at : CHUNK;
        for (size_t bit = 8 * at; bit < 8 * (at + m) && found < 0; bit++) {
            piece[bit / 8] = (char)(piece[bit / 8] ^ 1 << bit % 8);
            XXH3_copyState(&all, &before);
            XXH3_64bits_update(&all, piece + at, n - at);
            if (XXH3_64bits_digest(&all) == hash) found = (int64_t)bit;
            piece[bit / 8] = (char)(piece[bit / 8] ^ 1 << bit % 8);
        }
        XXH3_64bits_update(&before, piece + at, m);
    }
    return found;
}

int cf_verify_bytes(const json_t *entry, char *bytes, size_t n, vb_error *err) {
    const char *name = text_of(entry, "file", ""), *pieces = text_of(entry, "pieces", "");
    const json_int_t size = json_integer_value(json_object_get(entry, "bytes"));
    char hash[33], where[64] = "";
    if ((json_int_t)n != size || strlen(pieces) != (n + PIECE - 1) / PIECE * 16)
        return vb_fail(err, VB_ERR_FORMAT, "%s: %zu bytes, the manifest says %lld", name, n, (long long)size);
    cf_hash128(bytes, n, hash);
    if (!strcmp(hash, text_of(entry, "xxh3", ""))) return VB_OK;
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t m = n - at < PIECE ? n - at : PIECE;
        char piece[17], digits[17] = "";
        cf_hash64(bytes + at, m, piece);
        if (!memcmp(piece, pieces + at / PIECE * 16, 16)) continue;
        memcpy(digits, pieces + at / PIECE * 16, 16);
        const int64_t bit = changed_bit(bytes + at, m, strtoull(digits, NULL, 16));
        const size_t byte = at + (size_t)(bit < 0 ? 0 : bit / 8);
        if (!ends_with(name, ".gguf") && !ends_with(name, ".f32"))
            snprintf(where, sizeof where, "line %zu, ", line_number(bytes, byte));
        if (bit >= 0)
            return vb_fail(err, VB_ERR_FORMAT, "%s: %sbyte %zu: bit %d was changed", name, where, byte,
                           (int)(bit % 8));
        return vb_fail(err, VB_ERR_FORMAT, "%s: %sbytes %zu to %zu differ from the manifest's hash", name,
                       where, at, at + m - 1);
    }
    return vb_fail(err, VB_ERR_FORMAT,
                   "%s: the hash of the file differs from the manifest's, those of its pieces do not", name);
}

int cf_verify_file(const char *dir, const json_t *entry, vb_error *err) {
    char *path = cf_path(dir, text_of(entry, "file", "")), *bytes = NULL;
    size_t n = 0;
    int rc = path ? cf_read_file(path, &bytes, &n, err)
                  : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_verify_bytes(entry, bytes, n, err);
    free(bytes);
    free(path);
    return rc;
}
