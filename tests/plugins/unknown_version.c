/* unknown_version.c - a backend that says that it does not know this version. */
#include "offload/offload.h"

const vb_offload_backend *vb_offload_entry(uint32_t abi);
const vb_offload_backend *vb_offload_entry(uint32_t abi) {
    (void)abi;
    return NULL;
}
