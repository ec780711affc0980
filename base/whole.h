/* whole.h - output files that appear whole or not at all: what is written goes to a file of another name
 * beside the place, PATH.part-PID, which is moved there when it is complete.
 *
 * The name belongs to one run: it is made with O_EXCL and counted on (PATH.part-PID-2) where it is taken, as
 * a killed run of the same process number may have left it, or one in another container. So two runs with one
 * output never write, rename or remove each other's file. */
#ifndef VB_WHOLE_H
#define VB_WHOLE_H

#include "base/base.h"

/* *part is allocated (free), *fd open for writing. VB_ERR_IO, VB_ERR_MEMORY. */
int vb_whole_open(const char *path, char **part, int *fd, vb_error *err);
/* write(2) until all is written. Returns 0, or -1 with errno. */
int vb_whole_write(int fd, const void *bytes, size_t n);
/* Moves the complete, closed file to its place. Without `replace` VB_ERR_ARGUMENT if there is one by now. The
 * part stays on error, the caller removes it. */
int vb_whole_place(const char *part, const char *path, bool replace, vb_error *err);

#endif
