/* ids.h - where an id stands in an ascending list. */
#ifndef VB_IDS_H
#define VB_IDS_H

#include <stdint.h>

/* The place of x in ids[0..n), ascending; -1 if it is not there. */
static inline int32_t vb_id_place(const int32_t *ids, int32_t n, int32_t x) {
    int32_t low = 0, high = n;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (ids[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ids[low] == x ? low : -1;
}

#endif
