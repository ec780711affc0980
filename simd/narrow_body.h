/* narrow_body.h - what matmul_body.h calls wide_* where a set has no matrix instructions: nothing. */

INLINE void wide_open(bool halves, int tokens) {
    (void)halves;
    (void)tokens;
}
INLINE void wide_close(int tokens) {
    (void)tokens;
}
/* No token of the tile is done. */
INLINE int wide_group(vb_type type, int planes, const quads *w, const scales *s, const vb_tile *x,
                      size_t record, fvec *acc) {
    (void)type;
    (void)planes;
    (void)w;
    (void)s;
    (void)x;
    (void)record;
    (void)acc;
    return 0;
}
