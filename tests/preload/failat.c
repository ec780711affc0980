/* failat.c - in front of the C library (LD_PRELOAD): lets the N-th allocation fail, for tests/cli/memory.sh.
 *
 * VB_FAILAT names a file of 24 bytes that this library and the test share: a letter, a decimal number N of 15
 * digits, and the number of allocations counted, which this library writes as 8 bytes of the machine.
 *   a  the test's: from now on count allocations, the N-th is to fail
 *   e  the test's, instead: the N-th fails, and then every N-th
 *   c  this library's: counting
 *   f  this library's: the N-th has failed; every later one succeeds again
 * Allocations before main are not counted: they are the loader's and the libraries'.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DIGITS = 15, FILE_SIZE = 24 };

typedef int main_function(int, char **, char **);

/* The C library's own, which calls nobody's but its own: dlsym would allocate. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);

typedef struct control {
    _Atomic(char) letter;
    char digits[DIGITS];
    _Atomic(uint64_t) counted;
} control;

static control *shared; /* NULL: nothing fails */
static atomic_long to_go, every;
static main_function *real_main;

static bool fails(void) {
    if (!shared) return false;
    char letter = atomic_load(&shared->letter);
    if (letter == 'a' || letter == 'e') {
        long n = 0;
        for (int i = 0; i < DIGITS; i++) n = 10 * n + (shared->digits[i] - '0');
        atomic_store(&every, letter == 'e' ? n : 0);
        atomic_store(&to_go, n);
        atomic_store(&shared->counted, 0);
        letter = 'c';
        atomic_store(&shared->letter, letter); /* threads that come here at once begin to count twice */
    }
    if (letter != 'c' && !(letter == 'f' && atomic_load(&every))) return false;
    atomic_fetch_add(&shared->counted, 1);
    if (atomic_fetch_sub(&to_go, 1) != 1) return false;
    atomic_store(&to_go, atomic_load(&every));
    atomic_store(&shared->letter, 'f');
    errno = ENOMEM;
    return true;
}

static int counted_main(int argc, char **argv, char **envp) {
    const char *path = getenv("VB_FAILAT");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0) close(fd);
    if (p != MAP_FAILED) shared = p;
    return real_main(argc, argv, envp);
}

int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end) {
    int (*real)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = main;
    return real(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

/* ---------------------------------------------------------------------- what others call */

void *malloc(size_t n) {
    return fails() ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    return fails() ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    return fails() ? NULL : __libc_realloc(p, n);
}
void *aligned_alloc(size_t alignment, size_t n) {
    return fails() ? NULL : __libc_memalign(alignment, n);
}
void *memalign(size_t alignment, size_t n) {
    return fails() ? NULL : __libc_memalign(alignment, n);
}
int posix_memalign(void **out, size_t alignment, size_t n) {
    void *p = fails() ? NULL : __libc_memalign(alignment, n);
    if (!p) return ENOMEM;
    *out = p;
    return 0;
}
char *strdup(const char *s) {
    const size_t n = strlen(s) + 1;
    char *p = malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}
char *strndup(const char *s, size_t most) {
    const size_t n = strnlen(s, most);
    char *p = malloc(n + 1);
    if (!p) return NULL;
    p[n] = 0;
    return memcpy(p, s, n);
}
