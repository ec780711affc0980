/* text.h - from token bytes to text that may be sent: nothing that could still become a stop string, no part
 * of a character. Pure: knows neither HTTP nor models. */
#ifndef VERBATIM_SERVER_TEXT_H
#define VERBATIM_SERVER_TEXT_H

#include "include/verbatim.h"

#define VBS_MAX_STOPS    16
#define VBS_MAX_STOP_LEN 1024 /* bytes of one stop string */

typedef struct vbs_stop {
    const char *text; /* (len) */
    size_t len;       /* at least 1 */
} vbs_stop;

/* Zero-initialise, then vbs_text_open. */
typedef struct vbs_text {
    const vbs_stop *stops; /* (n_stops), outlive it */
    int n_stops;
    size_t longest;
    char *held; /* (n_held) bytes that were not let out: a possible beginning of a stop string */
    size_t n_held, room;
    vb_utf8 utf8;
    char *out; /* (n_out) what the last push or end let out: whole characters as far as they are valid */
    size_t n_out, out_room;
    uint64_t taken; /* bytes pushed so far */
    uint64_t cut;   /* with `stopped`: where the text ends, counted in those bytes */
    bool stopped;   /* a stop string is complete; the text ends before it */
} vbs_text;

/* Stops: at most VBS_MAX_STOPS of at most VBS_MAX_STOP_LEN bytes. Cannot fail. */
void vbs_text_open(vbs_text *t, const vbs_stop *stops, int n_stops);
void vbs_text_close(vbs_text *t);
/* Takes the bytes of a token; t->out then holds what they let out. The first stop string to be complete, byte
 * by byte, ends the text, the longest one if several end there: what comes out does not depend on how the
 * text is cut into tokens. Nothing is taken after that. VB_ERR_MEMORY leaves everything as before. */
int vbs_text_push(vbs_text *t, const char *bytes, size_t n, vb_error *err);
/* The text ends here: lets out what was held back (unless stopped), an unfinished character too. */
int vbs_text_end(vbs_text *t, vb_error *err);

#endif
