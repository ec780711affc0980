/* decoder_rope.c - the keys of a RoPE table, and what the caller wants instead (vb_rope_params). A wish that
 * would have no effect is refused: somebody expects something of it.
 *
 * References: linear scaling: Chen et al. 2306.15595; YaRN: Peng et al. 2309.00071; the bases that go with
 * longer contexts ("NTK-aware"): there, section 3.1. Keys: the GGUF specification (ggml, docs/gguf.md). */
#include "ref/arch/arch.h"

#include "ref/mathf.h"

#include <math.h>

/* rope.scaling.factor and what else scaling goes by; 0 in `factor`: the file has none. */
typedef struct scaling {
    vb_rope_scaling kind;
    double factor;
    int from;
    double beta_fast, beta_slow, attn;
} scaling;

/* Without a type the factor alone means linear scaling, as in the first files that had one (there under the
 * key rope.scale_linear). A factor of 0 stands for "none" in some files. */
static double read_factor(vb_hparams *h) {
    const double old = vb_hparams_float(h, "rope.scale_linear", 0.0, 0.0, 1e6);
    return vb_hparams_float(h, "rope.scaling.factor", old, 0.0, 1e6);
}

static vb_rope_scaling read_kind(vb_hparams *h) {
    const bool has_type = vb_hparams_find(h, "rope.scaling.type") != NULL;
    if (vb_hparams_is(h, "rope.scaling.type", "yarn")) return VB_ROPE_YARN;
    if (vb_hparams_float(h, "rope.scaling.attn_factor", 1.0, -1e30, 1e30) != 1.0)
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "rope.scaling.attn_factor",
                          "other than 1 is not supported without yarn");
    if (vb_hparams_is(h, "rope.scaling.type", "none")) return VB_ROPE_NONE;
    if (has_type && !vb_hparams_is(h, "rope.scaling.type", "linear"))
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "rope.scaling.type",
                          "other than \"none\", \"linear\" and \"yarn\" is not supported");
    return VB_ROPE_LINEAR;
}

/* What YaRN reads, which other kinds of scaling do not know. */
static void read_yarn(vb_hparams *h, const vb_model *m, scaling *s) {
    s->from =
        (int)vb_hparams_int(h, "rope.scaling.original_context_length", m->info.n_ctx, 1, VB_MAX_CONTEXT);
    s->beta_fast = vb_hparams_float(h, "rope.scaling.yarn_beta_fast", 32.0, 1e-3, 1e6);
    s->beta_slow = vb_hparams_float(h, "rope.scaling.yarn_beta_slow", 1.0, 1e-3, 1e6);
    s->attn = vb_hparams_float(h, "rope.scaling.attn_factor", 1.0, 1e-3, 1e3);
}

/* ---------------------------------------------------------------------- what the caller wants */

static void refuse_wish(vb_hparams *h, const char *why) {
    if (h->rc == VB_OK) h->rc = vb_fail(h->err, VB_ERR_ARGUMENT, "%s: RoPE: %s", vb_gguf_path(h->g), why);
}

static bool wants_yarn(const vb_rope_params *own) {
    return own->yarn_from || own->yarn_ext >= 0.0 || own->yarn_attn != 0.0 || own->yarn_beta_fast != 0.0 ||
           own->yarn_beta_slow != 0.0;
}

/* Wishes that would have no effect, given the kind of scaling that comes of them. */
static void check_wishes(vb_hparams *h, const scaling *s, bool has_factor) {
    const vb_rope_params *own = h->rope;
    if (s->kind != VB_ROPE_YARN && wants_yarn(own))
        refuse_wish(h, "a setting of YaRN has no effect without it: add scaling \"yarn\"");
    if (s->kind == VB_ROPE_NONE && own->factor != 0.0)
        refuse_wish(h, "a factor has no effect under scaling \"none\": say linear or yarn, or leave it out");
    if (own->scaling > VB_ROPE_NONE && !has_factor)
        refuse_wish(h, "scaling has no effect without a factor, and the file has none: give one");
    if (s->kind == VB_ROPE_YARN && own->factor != 0.0 && s->factor < 1.0)
        refuse_wish(h, "a factor below 1 is none for YaRN");
}

static double or_file(double own, double file) {
    return own != 0.0 ? own : file;
}

/* *s: the file's scaling, which becomes the one that is wanted. */
static void apply_wishes(vb_hparams *h, scaling *s) {
    const vb_rope_params *own = h->rope;
    const bool has_factor = own->factor != 0.0 || s->factor != 0.0;
    if (own->scaling != VB_ROPE_AS_FILE) s->kind = own->scaling;
    s->factor = s->kind == VB_ROPE_NONE ? 1.0 : or_file(own->factor, or_file(s->factor, 1.0));
    if (own->yarn_from) s->from = own->yarn_from;
    s->beta_fast = or_file(own->yarn_beta_fast, s->beta_fast);
    s->beta_slow = or_file(own->yarn_beta_slow, s->beta_slow);
    s->attn = s->attn * or_file(own->yarn_attn, 1.0);
    check_wishes(h, s, has_factor);
}

/* The longest context becomes `n` positions. */
static void stretch(vb_model *m, double n) {
    n = floor(n + 0.5);
    m->info.n_ctx = n < 1.0 ? 1 : n > VB_MAX_CONTEXT ? VB_MAX_CONTEXT : (int)n;
}

/* A file's base b was made for its context; one of b*F^(d/(d - 2)) is the "NTK-aware" one for F times that
 * context. */
static void stretch_by_base(vb_model *m, const vb_rope *rope, double file) {
    if (rope->base <= file || rope->rot <= 2) return;
    const double d = (double)rope->rot;
    stretch(m, (double)m->info.n_ctx * vb_pow(rope->base / file, (d - 2.0) / d));
}

/* ---------------------------------------------------------------------- tables */

/* YaRN: mscale = (1 + 0.1*log F)*attn; where nothing is blended, attn. */
static void set_scaling(vb_hparams *h, vb_rope *rope, const scaling *s) {
    if (s->kind == VB_ROPE_LINEAR) rope->scale = 1.0 / s->factor;
    if (s->kind != VB_ROPE_YARN) return;
    if (s->factor < 1.0)
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "rope.scaling.factor", "is below 1 under yarn");
    rope->yarn_factor = s->factor;
    rope->yarn_from = s->from;
    rope->yarn_beta_fast = s->beta_fast;
    rope->yarn_beta_slow = s->beta_slow;
    rope->yarn_ext = h->rope->yarn_ext >= 0.0 ? h->rope->yarn_ext : 1.0;
    rope->mscale = rope->yarn_ext == 0.0 ? s->attn : (1.0 + 0.1 * vb_log(s->factor)) * s->attn;
}

static void read_scaling(vb_hparams *h, vb_model *m, vb_rope *rope) {
    scaling s = {.kind = read_kind(h), .factor = read_factor(h)};
    const vb_rope_params *own = h->rope;
    const double file = s.kind == VB_ROPE_NONE ? 1.0 : or_file(s.factor, 1.0);
    const bool other = own->factor != 0.0 || own->scaling != VB_ROPE_AS_FILE || own->yarn_from;
    if (s.kind == VB_ROPE_YARN || own->scaling == VB_ROPE_YARN) read_yarn(h, m, &s);
    apply_wishes(h, &s);
    set_scaling(h, rope, &s);
    if (!other || h->rc) return;
    stretch(m,
            s.kind == VB_ROPE_YARN ? (double)s.from * s.factor : (double)m->info.n_ctx * (s.factor / file));
}

vb_rope *vb_decoder_rope(vb_hparams *h, vb_model *m, bool halves, const char *base_key, double base,
                         bool scaled) {
    const bool first = m->n_ropes == 0;
    vb_rope *rope = &m->ropes[m->n_ropes++];
    rope->halves = halves;
    rope->rot = (int)vb_hparams_int(h, "rope.dimension_count", m->info.head_dim, 2, m->info.head_dim);
    if (rope->rot % 2) vb_hparams_refuse(h, VB_ERR_FORMAT, "rope.dimension_count", "is odd");
    const double file = vb_hparams_float(h, base_key, base, 1.0, 1e12);
    rope->base = first ? or_file(h->rope->base, file) : file;
    rope->scale = 1.0;
    rope->mscale = 1.0;
    if (scaled) read_scaling(h, m, rope);
    if (first && !scaled &&
        (h->rope->scaling != VB_ROPE_AS_FILE || h->rope->factor != 0.0 || wants_yarn(h->rope)))
        refuse_wish(h, "this architecture's frequencies have factors of their own in the file, one by one; "
                       "only the base can be another");
    stretch_by_base(m, rope, file);
    return rope;
}
