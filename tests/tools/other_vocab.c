/* other_vocab.c - writes a byte-level BPE model again with another vocabulary, for the tests of drafts
 * through text.
 *
 *   other_vocab IN.gguf OUT.gguf MERGES    the first so many merges stay, and ids count backwards */
#include "tests/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc != 4 || gw_other_vocab(argv[1], argv[2], atoi(argv[3]))) {
        fprintf(stderr, "usage: other_vocab IN.gguf OUT.gguf MERGES\n");
        return 1;
    }
    return 0;
}
