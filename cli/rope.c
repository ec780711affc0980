/* rope.c - another RoPE than the file's: from options to vb_model_params, and into reports. */
#include "cli/cli.h"

#include <string.h>

static vb_rope_scaling kind(const char *name) {
    if (!name) return VB_ROPE_AS_FILE;
    return !strcmp(name, "none") ? VB_ROPE_NONE : !strcmp(name, "yarn") ? VB_ROPE_YARN : VB_ROPE_LINEAR;
}

static bool given(const cli_rope *r) {
    return r->scaling || r->base != 0 || r->scale != 0 || r->freq_scale != 0 || r->from || r->ext >= 0 ||
           r->attn != 0 || r->beta_fast != 0 || r->beta_slow != 0;
}

int cli_rope_params(const cli_options *o, bool draft, vb_model_params *p) {
    const cli_rope *r = draft ? &o->draft_rope : &o->rope;
    const char *suffix = draft ? "-draft" : "";
    vb_model_defaults(p);
    if (r->scale != 0 && r->freq_scale != 0)
        return cli_usage("--rope-scale%s F and --rope-freq-scale%s X say the same, X = 1/F: leave one out",
                         suffix, suffix);
    p->rope = (vb_rope_params){.scaling = kind(r->scaling),
                               .base = r->base,
                               .factor = r->freq_scale != 0 ? 1 / r->freq_scale : r->scale,
                               .yarn_from = (int)r->from,
                               .yarn_ext = r->ext,
                               .yarn_attn = r->attn,
                               .yarn_beta_fast = r->beta_fast,
                               .yarn_beta_slow = r->beta_slow};
    return CLI_OK;
}

int cli_rope_check(const cli_options *o) {
    if (given(&o->draft_rope) && !o->draft_model)
        return cli_usage("--rope-...-draft and --yarn-...-draft are about a draft model: add -md FILE");
    return CLI_OK;
}

int cli_rope_open(const cli_options *o, const vb_gguf *g, vb_model **m) {
    vb_model_params p;
    vb_error err = {0};
    if (!given(&o->rope)) return CLI_OK;
    if (cli_rope_params(o, false, &p)) return CLI_USAGE;
    return vb_model_open_with(m, g, &p, &err) ? cli_report(&err) : CLI_OK;
}

void cli_json_rope(json_t *o, const vb_model *target, const vb_model *draft) {
    const char *rope = target ? vb_model_rope(target) : NULL;
    if (rope) json_object_set_new(o, "rope", json_string(rope));
    rope = draft ? vb_model_rope(draft) : NULL;
    if (rope) json_object_set_new(o, "draft_rope", json_string(rope));
}

static void print_one(const char *whose, const vb_model *m) {
    if (m && vb_model_rope(m))
        fprintf(stderr, "RoPE%s: %s: by options, not by the file\n", whose, vb_model_rope(m));
}

void cli_print_rope(const vb_model *target, const vb_model *draft) {
    print_one("", target);
    print_one(" of the draft", draft);
}
