/* turns.c - how a round's share of prompts is divided among those who read one. A pure function, so that its
 * promises can be tested without a model (tests/test_server_turns.c). */
#include "server/engine_parts.h"

/* The oldest has a quarter of every round, so that however many short prompts keep coming, it ends at most
 * four times as late as it would alone. */
enum { OLDEST_PART = 4 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* A reader counts as short as the shortest of those who wait for it: they would read the same tokens
 * themselves, and sooner, if they did not wait. From the youngest on, because one who is waited for may wait
 * for somebody older. */
static void find_ranks(vbs_reader *readers, size_t n) {
    for (size_t i = 0; i < n; i++) readers[i].rank = readers[i].left;
    for (size_t i = n; i-- > 0;) {
        const vbs_reader *r = &readers[i];
        if (r->behind >= 0) readers[r->behind].rank = least(readers[r->behind].rank, r->rank);
    }
}

/* The reader with the shortest rest among those who could still take more; the older one of two that are
 * equal. */
static vbs_reader *next_one(vbs_reader *readers, size_t n) {
    vbs_reader *best = NULL;
    for (size_t i = 0; i < n; i++) {
        vbs_reader *r = &readers[i];
        if (r->behind < 0 && r->piece < r->left && (!best || r->rank < best->rank)) best = r;
    }
    return best;
}

void vbs_divide(vbs_reader *readers, size_t n, size_t budget) {
    if (n == 0) return;
    find_ranks(readers, n);
    for (size_t i = 0; i < n; i++) readers[i].piece = 0;
    size_t part = budget / OLDEST_PART;
    if (part == 0) part = least(budget, 1);
    budget -= readers[0].piece = least(readers[0].left, part);
    for (vbs_reader *r; budget > 0 && (r = next_one(readers, n));) {
        const size_t more = least(r->left - r->piece, budget);
        r->piece += more;
        budget -= more;
    }
}
