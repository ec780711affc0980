/* names.h - filters and tests by name. Internal. */
#ifndef VB_CHAT_NAMES_H
#define VB_CHAT_NAMES_H

#include "chat/value.h"

/* Whether Jinja has one of this name. */
bool vbt_filter_known(const vbt_str *name);
bool vbt_test_known(const vbt_str *name);
vbt_val vbt_filter(vbt *t, const vbt_str *name, vbt_val v, const vbt_args *a);
bool vbt_test(vbt *t, const vbt_str *name, vbt_val v, const vbt_args *a);

#endif
