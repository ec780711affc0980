/* spell.h - whether what may still come can be spelled with the ids of a vocabulary. Internal.
 *
 * A vocabulary that has every byte as a text of its own spells everything. Others (bytes missing, ids banned)
 * do not, and a token may straddle the ends of lexemes and rules. So this is asked exactly: the
 * spellable texts are the runs of an automaton whose states are the nodes of a trie, its root being
 * where a token begins; a node's texts-so-far go on by a byte, and where a token ends also at the
 * root. For an expression x and a set A of nodes
 *
 *   pre(x, A) = the nodes from which some text of x leads to a node of A
 *   pre(x y, A) = pre(x, pre(y, A))     pre(x|y, A) = pre(x, A) + pre(y, A)
 *   pre(x{m,n}, A) = the sum of pre^k(x, A) over m <= k <= n
 *   pre(rule, A) = the least fixed point of its body's
 *
 * and of regular expressions by a search over their derivatives and the nodes together. What may still
 * come can be spelled iff the root is in pre(head, pre(tail, {root})). The trie is that of the texts
 * that are not themselves spelled by others, which are few.
 *
 * A fresh text (ir.h) counts only where infinitely many texts of it can be spelled: then no memory can
 * exhaust it. That is sound (never an empty mask) and complete but for grammars whose fresh texts are
 * finitely many in this vocabulary. */
#ifndef VBG_SPELL_H
#define VBG_SPELL_H

#include "grammar/machine.h"
#include "grammar/trie.h"

typedef struct vbg_spell vbg_spell;

/* no_text: ids that are not to be used, as a set; may be NULL. *out = NULL if the vocabulary has every
 * byte that the grammar uses: then all can be spelled. */
int vbg_spell_new(vbg_spell **out, vbg_machine *m, const vbg_vocab *v, const uint64_t *no_text,
                  vb_error *err);
void vbg_spell_free(vbg_spell *s);
size_t vbg_spell_bytes(const vbg_spell *s);
/* At the end of a token. */
bool vbg_spell_head(vbg_spell *s, const vbg_head *h);
bool vbg_spell_state(vbg_spell *s, uint32_t state);
int vbg_spell_error(const vbg_spell *s, vb_error *err);

#endif
