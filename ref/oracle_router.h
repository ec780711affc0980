/* oracle_router.h - see oracle_router.c. Internal to the oracle. */
#ifndef VB_ORACLE_ROUTER_H
#define VB_ORACLE_ROUTER_H

#include "ref/model.h"

/* Logits of one token's router become the weights of its experts, 0 for the others. */
void vb_oracle_route(const vb_experts *x, double *logits);

#endif
