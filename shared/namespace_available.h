/* namespace_available: what may be written without a majority. Private to namespace*.c. */
#ifndef RINGFS_SHARED_NAMESPACE_AVAILABLE_H
#define RINGFS_SHARED_NAMESPACE_AVAILABLE_H

#include "shared/namespace.h"

enum { FRESH_CONTENTS_MAX = 1024 }; /* remembered */

/* Whether contents were made here and no record that a majority has names them: then no other side
 * can write them too. */
bool contents_fresh(const struct namespace *ns, const struct id128 *contents);
/* A record that a majority may have is about to name them. */
void contents_named(struct namespace *ns, const struct id128 *contents);

/* As entry_delete() (namespace_rows.h), also without a majority where the store allows it: then
 * entry->alone. Fills entry->directory_changed_ns. */
int entry_delete_available(struct namespace *ns, struct entry *entry, bool *ret_doubtful);

#endif
