/* templates.h - templates of our own, one file each in chat/templates; the build writes them into the
 * library. */
#ifndef VB_CHAT_TEMPLATES_H
#define VB_CHAT_TEMPLATES_H

extern const char *const vbt_template_names[], *const vbt_template_texts[]; /* end with NULL */

#endif
