/* chat.h - the chat template families. Internal. */
#ifndef VB_CHAT_H
#define VB_CHAT_H

#include "tokenizer.h"

/* One conversation on its way to text. */
typedef struct vb_chat {
    const vb_chat_message *m;
    size_t n;
    bool open_turn;
    const char *name; /* of the family, for messages */
    vb_string out;
    vb_error *err;
} vb_chat;

typedef struct vb_chat_family {
    const char *name;
    const char *bos; /* what the published template writes for bos_token; NULL: it does not write one */
    const char *eos; /* what it writes for eos_token; NULL: it does not use it */
    /* Pieces of the published template, in the normal form of chat.c. All of `has` and none of `lacks` in a
     * file's template: it is of this family. The first family that fits is taken. */
    const char *has[5];
    const char *lacks[5];
    bool chatml;      /* the template's literal system prompts must be `text`, or there must be none */
    const char *text; /* for `render`: a default system prompt, a role's name, ... */
    int (*render)(vb_chat *c, const struct vb_chat_family *f);
} vb_chat_family;

/* chat_render.c: append the conversation to c->out;
 * VB_ERR_ARGUMENT for roles that the family does not allow. */
int vb_render_chatml(vb_chat *c, const vb_chat_family *f);
int vb_render_deepseek(vb_chat *c, const vb_chat_family *f);
int vb_render_deepseek_coder(vb_chat *c, const vb_chat_family *f);
int vb_render_deepseek_r1(vb_chat *c, const vb_chat_family *f);
int vb_render_deepseek_v3(vb_chat *c, const vb_chat_family *f);
int vb_render_gemma(vb_chat *c, const vb_chat_family *f);
int vb_render_gemma3(vb_chat *c, const vb_chat_family *f);
int vb_render_llama2(vb_chat *c, const vb_chat_family *f);
int vb_render_llama3(vb_chat *c, const vb_chat_family *f);
int vb_render_llama31(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_tekken(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_v01(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_v02(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_v1(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_v3(vb_chat *c, const vb_chat_family *f);
int vb_render_mistral_v7(vb_chat *c, const vb_chat_family *f);
int vb_render_phi3(vb_chat *c, const vb_chat_family *f);
int vb_render_phi31(vb_chat *c, const vb_chat_family *f);
int vb_render_phi35(vb_chat *c, const vb_chat_family *f);
int vb_render_qwen3(vb_chat *c, const vb_chat_family *f);
int vb_render_vicuna(vb_chat *c, const vb_chat_family *f);
int vb_render_zephyr(vb_chat *c, const vb_chat_family *f);

extern const vb_chat_family vb_chat_families[]; /* ends with name == NULL */

#endif
