/* other_version.c - a backend of an interface version that does not exist, which does not look at what it is
 * asked for. */
#include "offload/offload.h"

static const vb_offload_backend backend = {
    .abi = VB_OFFLOAD_ABI + 1, .size = sizeof backend, .name = "other", .description = "of another version"};

const vb_offload_backend *vb_offload_entry(uint32_t abi);
const vb_offload_backend *vb_offload_entry(uint32_t abi) {
    (void)abi;
    return &backend;
}
