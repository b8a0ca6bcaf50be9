/* namespace_conflicts: several versions of one name: what shows, and where. */
#ifndef RINGFS_SHARED_NAMESPACE_CONFLICTS_H
#define RINGFS_SHARED_NAMESPACE_CONFLICTS_H

#include "shared/namespace.h"

/* Contents that two sides of a partition gave one name: the later shows under the name, every other
 * as `stem.conflict-<node>-<6 hex digits>.ext` in the same directory, to every client alike:
 * namespace_lookup() and namespace_list() show it, the other calls change it, as a file of its own.
 * Reading writes nothing; who changes the name or one of the others first makes them all files of
 * their own (docs/schema.md). */
/* Whether a name is of that form; `ret_of` (may be NULL): the name it is a version of (mangled when
 * that is too long). */
bool namespace_conflict_name(const char *name, char ret_of[NAME_SIZE_MAX + 1]);
/* Whether `name` is a version of `of`, however long that is. */
bool namespace_conflict_is_of(const char *name, const char *of);

/* ---- for namespace*.c ---- */
/* What a row shows under its name: the latest live version (`ret` borrows), and how many others
 * differ from it in their contents. ERR_NO_ENTRY, ERR_CORRUPT. */
int conflicts_show(const struct versions *versions, struct record *ret, struct op_id *ret_version,
                   uint16_t *ret_n_conflicts);
/* The others, each under its own name, without `seen`; what does not decode is left out. Answers
 * how many; losers_release(). */
uint32_t conflicts_losers(const struct id128 *directory, const char *name,
                          const struct versions *versions, struct entry **ret);
void losers_release(struct entry *losers, uint32_t n);
/* The loser that shows under the name, which has no row. ERR_NO_ENTRY. May suspend. */
int conflict_lookup(struct namespace *ns, const struct id128 *directory, const char *name,
                    struct entry *ret);
/* Gives every loser of a name a row of its own, and makes the name's row the one version that
 * shows. ERR_CORRUPT when a loser does not decode: nobody may drop it unseen. May suspend. */
int conflicts_settle(struct namespace *ns, const struct id128 *directory, const char *name);
/* The same for the row that `name`, if it is of a loser's form, belongs to; then it is a row like
 * others. May suspend. */
int conflict_make_real(struct namespace *ns, const struct id128 *directory, const char *name);

#endif
