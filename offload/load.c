/* load.c - finds and opens a backend's library. A library that is missing, of another version or wrong is an
 * error, never a silent fall-back: who asks for a backend wants to know. */
#include "offload/session.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *vb_offload_class_name(vb_offload_class c) {
    switch (c) {
    case VB_OFFLOAD_BITWISE: return "bitwise";
    case VB_OFFLOAD_BOUNDED: return "bounded";
    }
    return NULL;
}

const vb_offload_info *vb_offload_describe(const vb_offload *o) {
    return &o->info;
}

/* -------------------------------------------------------------------------------------------- the table */

static int check_table(const vb_offload_backend *b, vb_error *err) {
    if (b->abi != VB_OFFLOAD_ABI || b->size < sizeof *b)
        return vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "an offload backend of interface version %u (table of %u bytes); this build needs version %u "
            "(%zu bytes): rebuild the backend with this offload/offload.h",
            b->abi, b->size, VB_OFFLOAD_ABI, sizeof *b);
    if (!b->name || !b->description || !b->open || !b->close || !b->accepts || !b->multiply ||
        !b->attach != !b->detach)
        return vb_fail(
            err, VB_ERR_FORMAT,
            "an offload backend whose table lacks name, description, open, close, accepts or multiply, or "
            "one of attach and detach");
    return VB_OK;
}

int vb_offload_adopt(vb_offload **out, const vb_offload_backend *b, void *library, const char *path,
                     vb_error *err) {
    vb_offload *o = NULL;
    char message[256] = "";
    bool opened = false;
    int rc = check_table(b, err);
    if (rc) return rc;
    rc = vb_alloc((void **)&o, 1, sizeof *o, "the offload backend", err);
    if (rc) return rc;
    o->backend = b;
    pthread_mutex_init(&o->mutex, NULL);
    if (path && !(o->path = strdup(path))) {
        rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for the offload backend");
        goto cleanup;
    }
    if (b->open(&o->self, message, sizeof message) != 0) {
        message[sizeof message - 1] = 0;
        rc = vb_fail(err, VB_ERR_UNSUPPORTED, "offload backend %.64s does not start: %s", b->name,
                     message[0] ? message : "it gives no reason");
        goto cleanup;
    }
    opened = true;
    o->info = (vb_offload_info){.name = b->name, .description = b->description, .path = o->path};
    if ((rc = vb_offload_prove(o, err)) != 0) goto cleanup;
    o->library = library;
    *out = o;
    return VB_OK;
cleanup:
    if (opened) b->close(o->self);
    pthread_mutex_destroy(&o->mutex);
    free(o->path);
    free(o);
    return rc;
}

void vb_offload_close(vb_offload *o) {
    if (!o) return;
    o->backend->close(o->self);
    pthread_mutex_destroy(&o->mutex);
    if (o->library) dlclose(o->library);
    free(o->residents);
    free(o->path);
    free(o);
}

/* -------------------------------------------------------------------------------------------- the library */

/* Candidate number i for a backend called `name`; false when there are no more. A folder that cannot be told
 * is "". */
static bool candidate(int i, const char *name, char *path, size_t size) {
    char program[1024] = "";
    const char *folder = getenv("VERBATIM_OFFLOAD_PATH");
    if (i >= 3) return false;
    if (i > 0) {
        const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
        if (n > 0) program[n] = 0;
        char *slash = strrchr(program, '/');
        if (slash) *slash = 0;
        folder = slash ? program : NULL;
    }
    path[0] = 0;
    if (!folder || !*folder) return true;
    const int n = snprintf(path, size, "%s%s/verbatim-%s.so", folder, i == 2 ? "/../lib/verbatim" : "", name);
    if (n < 0 || (size_t)n >= size) path[0] = 0;
    return true;
}

static int find_library(const char *name, char *path, size_t size, vb_error *err) {
    if (strchr(name, '/') || (strlen(name) > 3 && !strcmp(name + strlen(name) - 3, ".so"))) {
        const char *here = strchr(name, '/') ? "" : "./"; /* a bare file name, not a library of the system */
        const int n = snprintf(path, size, "%s%s", here, name);
        if (n < 0 || (size_t)n >= size) return vb_fail(err, VB_ERR_ARGUMENT, "offload: the path is too long");
        if (access(path, R_OK))
            return vb_fail(err, VB_ERR_IO, "offload: there is no readable library %s", path);
        return VB_OK;
    }
    char tried[700] = "";
    for (int i = 0; candidate(i, name, path, size); i++) {
        if (!path[0]) continue;
        if (!access(path, R_OK)) return VB_OK;
        const size_t used = strlen(tried);
        snprintf(tried + used, sizeof tried - used, "%s%s", used ? ", " : "", path);
    }
    return vb_fail(
        err, VB_ERR_IO,
        "offload: no library for \"%.64s\" (tried %s): build it (make offload-%.64s), name its folder in "
        "VERBATIM_OFFLOAD_PATH or give the path of the .so",
        name, tried[0] ? tried : "nothing", name);
}

int vb_offload_open(vb_offload **out, const char *name, vb_error *err) {
    vb_begin(err);
    char path[1200];
    if (!out || !name || !*name) return vb_fail(err, VB_ERR_ARGUMENT, "offload: no backend named");
    int rc = find_library(name, path, sizeof path, err);
    if (rc) return rc;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return vb_fail(err, VB_ERR_IO, "offload: cannot load %s: %s", path, dlerror());
    void *symbol = dlsym(library, VB_OFFLOAD_SYMBOL);
    if (!symbol) {
        rc = vb_fail(err, VB_ERR_UNSUPPORTED,
                     "offload: %s is no backend: it does not export " VB_OFFLOAD_SYMBOL, path);
        goto cleanup;
    }
    vb_offload_entry_fn *entry;
    memcpy(&entry, &symbol, sizeof entry); /* ISO C knows no cast between the two kinds of pointer */
    const vb_offload_backend *b = entry(VB_OFFLOAD_ABI);
    if (!b) {
        rc = vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "offload: %s does not know version %u of the interface: rebuild it with this offload/offload.h",
            path, VB_OFFLOAD_ABI);
        goto cleanup;
    }
    rc = vb_offload_adopt(out, b, library, path, err);
cleanup:
    if (rc) dlclose(library);
    return rc;
}
