/* experts.h - the weights of experts, made ready when a token first chooses them. Internal. */
#ifndef VB_ENGINE_EXPERTS_H
#define VB_ENGINE_EXPERTS_H

#include "base/pool.h"
#include "ref/model.h"
#include "simd/repack.h"

/* Interleaved copies of experts, one behind the other in the order of their first use, in a region whose
 * pages cost nothing before that. */
struct vb_expert_copies {
    vb_pack_fn *pack;
    uint8_t *to;
    uint64_t bytes; /* of the region: as much as all experts take */
    uint64_t room;  /* that copies may take; experts that come later are read as mapped */
    uint64_t used;
};

/* Experts ids[0 .. n-1] of a layer: those that nobody used before are checked, and interleaved as long as
 * there is room (vb_model_repack). VB_ERR_FORMAT names the tensor and block that is damaged. */
int vb_experts_prepare(const vb_model *m, const vb_experts *x, const int32_t *ids, int n, vb_pool *pool,
                       vb_error *err);

/* Of copies of all experts; 0: there are none to make. */
uint64_t vb_experts_packed_bytes(const vb_model *m);
/* From now on experts are interleaved when they are first used, in at most `room` bytes. */
int vb_experts_pack_by_use(vb_model *m, vb_pack_fn *pack, uint64_t room, vb_error *err);

#endif
