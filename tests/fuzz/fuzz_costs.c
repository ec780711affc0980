/* fuzz_costs.c - libFuzzer: files of --costs and --gamma-trace. Nothing may crash; costs that are taken pass
 * the library's own check and write and read the same, and choose lengths that are lengths. `make fuzz`. */
#include "cli/cli.h"
#include "sampling/cost.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A few steps by these costs, in which the first drafts are right. */
static void use(const vb_costs *c) {
    vb_pace p;
    vb_pace_start(&p, c);
    for (int step = 0; step < 20; step++) {
        vb_drafted d[VB_AUTO_MAX] = {{0}};
        vb_pace_plan(&p, (size_t)step * 50, VB_AUTO_MAX, true);
        const int max = p.planned[VB_BY_MODEL];
        int k = 0;
        if (max < 0 || max > VB_AUTO_MAX) abort();
        while (k < max) {
            d[k].tested = k < 3;
            d[k].accepted = k < 2;
            vb_pace_note(&p, &d[k++], VB_BY_MODEL, 0.9);
            if (!vb_pace_more(&p, max)) break;
        }
        vb_pace_learn(&p, d, k, k < 2 ? k + 1 : 3);
    }
}

/* The same with trees: every shape that is planned fits. */
static void use_trees(const vb_costs *c) {
    vb_pace p;
    vb_pace_start(&p, c);
    p.trees = true;
    for (int step = 0; step < 8; step++) {
        vb_drafted d[VB_AUTO_MAX] = {{0}};
        vb_pace_plan(&p, (size_t)step * 50, VB_AUTO_MAX, true);
        vb_pace_plan_tree(&p, VB_AUTO_MAX);
        const int n = vb_draft_tree_size(p.shape);
        if (n > VB_AUTO_MAX || (n && n != p.planned[VB_BY_MODEL])) abort();
        for (int i = 0; i < n; i++) d[i] = (vb_drafted){.parent = i < p.shape[0] ? -1 : 0, .tested = true};
        if (n) d[step % p.shape[0]].accepted = true;
        vb_pace_learn_tree(&p, d, n, 1 + (n > 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vb_costs c, same;
    vb_error err;
    int32_t *lengths = NULL;
    size_t n = 0;
    if (!cli_costs_parse((const char *)data, size, &c)) {
        if (vb_costs_check(&c, &err)) abort();
        json_t *o = cli_costs_json(&c);
        char *text = o ? vb_json_write(o, JSON_COMPACT, NULL) : NULL;
        if (text && (cli_costs_parse(text, strlen(text), &same) || vb_costs_hash(&same) != vb_costs_hash(&c)))
            abort();
        free(text);
        json_decref(o);
        use(&c);
        use_trees(&c);
    }
    if (!cli_lengths_parse((const char *)data, size, &lengths, &n)) {
        for (size_t i = 0; i < n; i++)
            if (lengths[i] < 0 || lengths[i] > 32) abort();
        free(lengths);
    }
    return 0;
}
