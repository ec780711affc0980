/* types.c - the table of tensor types: names, values and bytes per block. Layouts: formats.h. */
#include "gguf/formats.h"

typedef struct type_row {
    const char *name;
    uint8_t supported;
    uint16_t values, bytes; /* of a block; 0 where not supported */
} type_row;

/* clang-format off */
#define ROW(name, values, bytes) {name, 1, values, bytes}
#define OTHER(name)              {name, 0, 0, 0}
/* clang-format on */

/* Indexed by the number in the file. Numbers from 43 on have no public meaning; private ones exist. */
static const type_row types[] = {
    [VB_F32] = ROW("F32", 1, 4),
    [VB_F16] = ROW("F16", 1, 2),
    [VB_Q4_0] = ROW("Q4_0", 32, sizeof(vb_block_q4_0)),
    [VB_Q4_1] = ROW("Q4_1", 32, sizeof(vb_block_q4_1)),
    [4] = OTHER("Q4_2, removed in 2023"),
    [5] = OTHER("Q4_3, removed in 2023"),
    [VB_Q5_0] = ROW("Q5_0", 32, sizeof(vb_block_q5_0)),
    [VB_Q5_1] = ROW("Q5_1", 32, sizeof(vb_block_q5_1)),
    [VB_Q8_0] = ROW("Q8_0", 32, sizeof(vb_block_q8_0)),
    [9] = OTHER("Q8_1, for activations only"),
    [VB_Q2_K] = ROW("Q2_K", 256, sizeof(vb_block_q2_k)),
    [VB_Q3_K] = ROW("Q3_K", 256, sizeof(vb_block_q3_k)),
    [VB_Q4_K] = ROW("Q4_K", 256, sizeof(vb_block_q4_k)),
    [VB_Q5_K] = ROW("Q5_K", 256, sizeof(vb_block_q5_k)),
    [VB_Q6_K] = ROW("Q6_K", 256, sizeof(vb_block_q6_k)),
    [15] = OTHER("Q8_K, for activations only"),
    [16] = OTHER("IQ2_XXS"),
    [17] = OTHER("IQ2_XS"),
    [18] = OTHER("IQ3_XXS"),
    [19] = OTHER("IQ1_S"),
    [VB_IQ4_NL] = ROW("IQ4_NL", 32, sizeof(vb_block_iq4_nl)),
    [21] = OTHER("IQ3_S"),
    [22] = OTHER("IQ2_S"),
    [VB_IQ4_XS] = ROW("IQ4_XS", 256, sizeof(vb_block_iq4_xs)),
    [24] = OTHER("I8"),
    [25] = OTHER("I16"),
    [26] = OTHER("I32"),
    [27] = OTHER("I64"),
    [28] = OTHER("F64"),
    [29] = OTHER("IQ1_M"),
    [VB_BF16] = ROW("BF16", 1, 2),
    [31] = OTHER("Q4_0_4_4, removed in 2024"),
    [32] = OTHER("Q4_0_4_8, removed in 2024"),
    [33] = OTHER("Q4_0_8_8, removed in 2024"),
    [34] = OTHER("TQ1_0"),
    [35] = OTHER("TQ2_0"),
    [36] = OTHER("IQ4_NL_4_4, removed in 2024"),
    [37] = OTHER("IQ4_NL_4_8, removed in 2024"),
    [38] = OTHER("IQ4_NL_8_8, removed in 2024"),
    [VB_MXFP4] = ROW("MXFP4", 32, sizeof(vb_block_mxfp4)),
    [40] = OTHER("NVFP4"),
    [41] = OTHER("Q1_0"),
    [42] = OTHER("Q2_0"),
};

const int8_t vb_iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t vb_e2m1_twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static const type_row *find(int64_t type, bool supported_only) {
    if (type < 0 || type >= (int64_t)(sizeof types / sizeof types[0])) return NULL;
    const type_row *row = &types[type];
    return row->name && (row->supported || !supported_only) ? row : NULL;
}

const char *vb_type_name(int type) {
    const type_row *row = find(type, true);
    return row ? row->name : NULL;
}

int vb_type_block_values(int type) {
    const type_row *row = find(type, true);
    return row ? row->values : 0;
}

int vb_type_block_bytes(int type) {
    const type_row *row = find(type, true);
    return row ? row->bytes : 0;
}

const char *vb_type_any_name(uint32_t type) {
    const type_row *row = find((int64_t)type, false);
    return row ? row->name : NULL;
}

bool vb_type_is_quantized(int type) {
    return vb_type_block_values(type) > 1;
}
