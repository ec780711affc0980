/* figures.c - medians and files (figures.h). */
#include "bench/figures.h"

#include <stdio.h>
#include <stdlib.h>

int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    char *s = NULL;
    size_t room = 0;
    *n = 0;
    if (!f) return NULL;
    for (;;) {
        if (*n + 65536 > room) {
            char *grown = realloc(s, room = 2 * room + 65536);
            if (!grown) break;
            s = grown;
        }
        const size_t k = fread(s + *n, 1, 65536, f);
        *n += k;
        if (k == 0) break;
    }
    fclose(f);
    return s;
}
