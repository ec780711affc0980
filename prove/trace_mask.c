/* trace_mask.c - masks in a trace: the hash of what the mask said at each place that the rule looked at,
 * from the mask itself and the ids before (docs/trace.md). */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "prove/trace_parts.h"

#include <stdlib.h>
#include <xxhash.h>

static bool make_room(checker *c, size_t n) {
    if (n <= c->ids_room) return true;
    const size_t room = 2 * n + 64;
    int32_t *ids = realloc(c->ids, room * sizeof *ids);
    if (!ids) FAIL("out of memory");
    c->ids = ids;
    c->ids_room = room;
    return true;
}

/* XXH3-128 of one bit per id, id 0 the lowest of the first byte. */
static void hash_of(const checker *c, char digits[33]) {
    XXH3_state_t state;
    XXH128_canonical_t hash;
    XXH3_128bits_reset(&state);
    for (json_int_t id = 0; id < c->n_vocab; id += 8) {
        uint8_t byte = 0;
        for (json_int_t i = id; i < id + 8 && i < c->n_vocab; i++)
            byte |= (uint8_t)((c->allowed[i / 64] >> (i % 64) & 1) << (i - id));
        XXH3_128bits_update(&state, &byte, 1);
    }
    XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
    for (int i = 0; i < 16; i++) snprintf(digits + 2 * i, 3, "%02x", hash.digest[i]);
}

static bool check_place(checker *c, int place, const char *said) {
    vb_error err = {0};
    char digits[33];
    const law *p = &c->p[place];
    memset(c->allowed, 0, ((size_t)c->n_vocab + 63) / 64 * sizeof *c->allowed);
    const int depth = vb_tc_depth(&c->s, place - 1);
    for (int i = place - 1, d = depth; d > 0; i = c->s.parent[i]) c->ids[c->n_ids + (size_t)--d] = c->s.id[i];
    if (c->mask->at(c->mask->self, c->ids, c->n_ids + (size_t)depth, c->allowed, &err))
        FAIL("%.200s", err.message);
    hash_of(c, digits);
    if (strcmp(digits, said)) FAIL("place %d: the mask says otherwise", place);
    for (int i = 0; c->r->full && p->there && i < p->n; i++)
        if (!(c->allowed[p->id[i] / 64] >> (p->id[i] % 64) & 1))
            FAIL("place %d: the law has id %d, which the mask forbids", place, (int)p->id[i]);
    c->r->masks++;
    return true;
}

bool vb_tc_masks(checker *c, const json_t *line) {
    const step *s = &c->s;
    const json_t *masks = json_object_get(line, "mask");
    if (!*c->mask_name) {
        if (masks) FAIL("a mask that the header does not name");
        return true;
    }
    if (json_array_size(masks) != (size_t)s->n + 1) FAIL("\"mask\" does not have a hash for each place");
    if (!make_room(c, c->n_ids + (size_t)s->n + 1)) return false;
    for (int i = 0; i <= s->n; i++) {
        bool asked = false; /* of a draft behind this place its p is known */
        for (int k = i; k < s->n; k++) asked |= s->parent[k] == i - 1 && s->has_p[k];
        const json_t *v = json_array_get(masks, (size_t)i);
        const char *said = json_string_value(v);
        if (json_is_null(v) ? asked || (c->r->full && c->p[i].there) : !said)
            FAIL("the mask of place %d is missing", i);
        if (c->mask && said && !check_place(c, i, said)) return false;
    }
    return true;
}

bool vb_tc_remember(checker *c) {
    const step *s = &c->s;
    if (!*c->mask_name) return true;
    if (!make_room(c, c->n_ids + (size_t)s->n_emitted)) return false;
    for (int i = 0; i < s->n_emitted; i++)
        if (!vb_tc_id(c, json_object_get(json_array_get(s->emitted, (size_t)i), "id"), &c->ids[c->n_ids++]))
            return false;
    return true;
}
