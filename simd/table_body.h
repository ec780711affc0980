/* table_body.h - the kernel table of one instruction set, from the functions of the other bodies. */

/* clang-format off */
#define VB_TABLE(title)                                                                                      \
    {                                                                                                        \
        .name = title, .quantize = quantize,                                                                 \
        .matmul = {[VB_F32] = matmul_f32,    [VB_F16] = matmul_f16,       [VB_BF16] = matmul_bf16,           \
                   [VB_Q4_0] = matmul_q4_0,  [VB_Q4_1] = matmul_q4_1,     [VB_Q5_0] = matmul_q5_0,           \
                   [VB_Q5_1] = matmul_q5_1,  [VB_Q8_0] = matmul_q8_0,     [VB_Q2_K] = matmul_q2_k,           \
                   [VB_Q3_K] = matmul_q3_k,  [VB_Q4_K] = matmul_q4_k,     [VB_Q5_K] = matmul_q5_k,           \
                   [VB_Q6_K] = matmul_q6_k,  [VB_IQ4_NL] = matmul_iq4_nl, [VB_IQ4_XS] = matmul_iq4_xs,       \
                   [VB_MXFP4] = matmul_mxfp4},                                                               \
        .rmsnorm = rmsnorm, .layernorm = layernorm, .rope = rope, .swiglu = swiglu, .geglu = geglu,          \
        .swiglu_clamped = swiglu_clamped, .attend_scores = attend_scores, .attend_softmax = attend_softmax,  \
        .attend_values = attend_values, .softcap = softcap, .add = add, .add_scaled = add_scaled,            \
        .to_half = to_half, .exp_weights = exp_weights, .exp_sum = exp_sum                                   \
    }
/* clang-format on */
