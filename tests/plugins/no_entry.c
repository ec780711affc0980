/* no_entry.c - a library that is no backend. */
int vb_not_a_backend(void);
int vb_not_a_backend(void) {
    return 1;
}
