/* translate.c - ids of one vocabulary to ids of another (translate.h).
 *
 *   path     ids of `from`:   <bos> Once  up on   a  time
 *   text     bytes:           Once| upon| a| time             | where pieces end
 *   ids      of `to`:         the pieces' ids, one after the other
 *
 * A piece ends in front of a space between two characters that are none: there every published pre-tokenizer
 * cuts as well, so that the ids are those of the whole text, but for rare cases that cost a guess and nothing
 * else. A text without such places is cut every LONGEST bytes. */
#include "tokenizer/translate.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 256 };

typedef struct piece {
    size_t token; /* `fresh`: of the path, the first one in it */
    size_t text, ids;
    bool fresh; /* at the path's beginning or behind a control token: there SPM puts a space in front */
} piece;

struct vb_translation {
    const vb_tokenizer *from, *to;
    vb_work work;
    char *text; /* (n_text) of the path, control tokens left out */
    size_t n_text, text_room;
    size_t *at; /* (n + 1) bytes of text in front of each token */
    size_t n, at_room;
    piece *pieces; /* (n_pieces) the last one is open */
    size_t n_pieces, pieces_room;
    vb_ids ids;
};

int32_t vb_translate_special(const vb_tokenizer *from, const vb_tokenizer *to, int32_t id) {
    size_t len;
    const char *raw = vb_token_raw(from, id, &len);
    const int32_t same = vb_token_find(to, raw, len);
    if (same >= 0 && vb_token_type(to, same) == VB_TOKEN_CONTROL) return same;
    if (id == from->bos) return to->bos;
    return vb_token_is_stop(from, id) ? to->eos : -1;
}

size_t vb_whole_characters(const char *s, size_t n) {
    /* A lead byte among the last three that wants more bytes than are there. */
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t c = (uint8_t)s[n - back];
        if ((c & 0xC0) == 0x80) continue;
        const size_t need = c >= 0xF0 && c < 0xF5   ? 4
                            : c >= 0xE0 && c < 0xF0 ? 3
                            : c >= 0xC2 && c < 0xE0 ? 2
                                                    : 1;
        return need > back ? n - back : n;
    }
    return n;
}

int vb_encode_more(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, vb_ids *out,
                   vb_error *err) {
    return vb_encode_text(t, w, text, 0, len, VB_ENCODE_MORE, NULL, out, err);
}

/* ---------------------------------------------------------------------- pieces */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the first piece of s[0..n) ends; 0: it may still grow. Looks at the bytes up to two behind that
 * place, or at LONGEST + 1 of them. */
static size_t piece_end(const char *s, size_t n) {
    const size_t most = n < LONGEST ? n : LONGEST;
    for (size_t k = 1; k < most && k + 1 < n; k++)
        if (s[k] == ' ' && !is_space(s[k - 1]) && !is_space(s[k + 1])) return k;
    if (n <= LONGEST) return 0;
    const size_t k = vb_whole_characters(s, LONGEST);
    return k ? k : LONGEST;
}

static int begin_piece(vb_translation *t, size_t token, size_t text, bool fresh, vb_error *err) {
    int rc = vb_grow((void **)&t->pieces, &t->pieces_room, t->n_pieces + 1, sizeof *t->pieces,
                     "a translation", err);
    if (rc) return rc;
    t->pieces[t->n_pieces++] = (piece){token, text, t->ids.n, fresh};
    return VB_OK;
}

/* Encodes what follows the last closed piece, closing those that are complete. */
static int encode_open(vb_translation *t, vb_error *err) {
    for (;;) {
        const piece *p = &t->pieces[t->n_pieces - 1];
        const size_t from = p->text, left = t->n_text - from, end = piece_end(t->text + from, left);
        int rc = VB_OK;
        t->ids.n = p->ids;
        if (left)
            rc = vb_encode_text(t->to, &t->work, t->text + from, 0, end ? end : left,
                                p->fresh ? 0 : VB_ENCODE_MORE, NULL, &t->ids, err);
        if (rc || end == 0) return rc;
        if ((rc = begin_piece(t, 0, from + end, false, err))) return rc;
    }
}

/* A control token closes what stands before it. */
static int read_special(vb_translation *t, int32_t id, vb_error *err) {
    const int32_t to = vb_translate_special(t->from, t->to, id);
    const bool first = t->n == 0 && t->to->add_bos;
    int rc = encode_open(t, err);
    if (!rc && to >= 0 && !(first && to == t->to->bos)) rc = vb_ids_push(&t->ids, to, err);
    return rc ? rc : begin_piece(t, t->n + 1, t->n_text, true, err);
}

static int read_token(vb_translation *t, int32_t id, vb_error *err) {
    size_t len;
    const char *s = vb_token_text(t->from, id, false, &len);
    const vb_token_kind kind = vb_token_type(t->from, id);
    const piece *open = &t->pieces[t->n_pieces - 1];
    int rc;
    if ((rc = vb_grow((void **)&t->at, &t->at_room, t->n + 2, sizeof *t->at, "a translation", err)))
        return rc;
    /* The space that SPM puts in front of a text is not the text's. */
    if (len && s[0] == ' ' && t->from->spm && t->from->space_prefix && open->fresh && open->text == t->n_text)
        s++, len--;
    if (kind == VB_TOKEN_CONTROL && (rc = read_special(t, id, err))) return rc;
    if (len) {
        if ((rc = vb_grow((void **)&t->text, &t->text_room, t->n_text + len, 1, "a translation", err)))
            return rc;
        memcpy(t->text + t->n_text, s, len);
        t->n_text += len;
    }
    t->at[++t->n] = t->n_text;
    return VB_OK;
}

int vb_translation_read(vb_translation *t, const int32_t *path, size_t n, vb_error *err) {
    int rc = VB_OK;
    while (t->n < n && !rc) rc = read_token(t, path[t->n], err);
    return rc ? rc : encode_open(t, err);
}

/* The place where a piece was closed was decided by the bytes behind it: those must still be there. */
bool vb_translation_cut(vb_translation *t, size_t n) {
    if (n >= t->n) return false;
    t->n = n;
    t->n_text = t->at[n];
    for (; t->n_pieces > 1; t->n_pieces--) {
        const piece *p = &t->pieces[t->n_pieces - 1];
        if (p->fresh ? p->token <= n : p->text + 4 <= t->n_text) break;
    }
    t->ids.n = t->pieces[t->n_pieces - 1].ids;
    return true;
}

const int32_t *vb_translation_ids(const vb_translation *t, size_t *n) {
    *n = t->ids.n;
    return t->ids.v;
}

bool vb_translation_whole(const vb_translation *t) {
    return vb_whole_characters(t->text, t->n_text) == t->n_text;
}

/* ---------------------------------------------------------------------- opening */

int vb_translation_open(vb_translation **out, const vb_tokenizer *from, const vb_tokenizer *to,
                        vb_error *err) {
    vb_translation *t = NULL;
    int rc = vb_alloc((void **)&t, 1, sizeof *t, "a translation", err);
    if (rc) return rc;
    t->from = from;
    t->to = to;
    if ((rc = vb_grow((void **)&t->at, &t->at_room, 1, sizeof *t->at, "a translation", err)) ||
        (rc = vb_grow((void **)&t->text, &t->text_room, 1, 1, "a translation", err)) ||
        (to->add_bos && to->bos >= 0 && (rc = vb_ids_push(&t->ids, to->bos, err))) ||
        (rc = begin_piece(t, 0, 0, true, err))) {
        vb_translation_close(t);
        return rc;
    }
    t->at[0] = 0;
    *out = t;
    return VB_OK;
}

void vb_translation_close(vb_translation *t) {
    if (!t) return;
    vb_work_free(&t->work);
    free(t->text);
    free(t->at);
    free(t->pieces);
    free(t->ids.v);
    free(t);
}
