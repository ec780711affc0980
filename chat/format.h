/* format.h - str % values, str.format. Internal. */
#ifndef VB_CHAT_FORMAT_H
#define VB_CHAT_FORMAT_H

#include "chat/value.h"

/* s % values */
vbt_val vbt_percent(vbt *t, const vbt_str *s, vbt_val values);
/* s.format(...) */
vbt_val vbt_format(vbt *t, const vbt_str *s, const vbt_args *a);

#endif
