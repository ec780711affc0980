/* part.h - a run in parts, on many machines: each counts its completions in cells of the same law and says so
 * as JSON; the sums are judged as if one machine had counted them. */
#ifndef VB_PROVE_PART_H
#define VB_PROVE_PART_H

#include "prove/prove.h"

#include <jansson.h>

/* Members "law" (the cells, the same in all parts), "seen" and the counts of a part; NULL: out of memory. */
json_t *vb_prove_part_json(const vb_joint *j, const vb_prove_report *r);

/* Adds up an array of such objects and judges the sum as one stage of `samples` completions; r->undecided as
 * for given samples. VB_ERR_FORMAT: a part is malformed, or its law is another one. */
int vb_prove_parts_judge(const json_t *parts, uint64_t samples, vb_prove_report *r, vb_error *err);

#endif
