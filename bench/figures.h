/* figures.h - what the programs of this folder share: medians, and files as they are. */
#ifndef VB_BENCH_FIGURES_H
#define VB_BENCH_FIGURES_H

#include <stddef.h>

/* Of doubles, for qsort: ascending. */
int by_value(const void *a, const void *b);
/* Of values (n), n > 0, which it sorts. */
double median(double *values, int n);
/* The bytes of a file, *n of them; NULL if it cannot be opened or there is no memory. To be freed. */
char *read_file(const char *path, size_t *n);

#endif
