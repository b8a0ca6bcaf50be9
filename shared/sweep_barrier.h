/* sweep_barrier: what clients do while a sweep looks for what has no name. Private to the
 * namespace.
 */
#ifndef RINGFS_SHARED_SWEEP_BARRIER_H
#define RINGFS_SHARED_SWEEP_BARRIER_H

#include "shared/namespace_rows.h"

/* To be called before a name that stands for `record` is moved to another row, or a record without
 * one is given a name: notes its contents or directory if a sweep is under way (shared/sweep.h).
 * Costs a reading each BARRIER_KNOWN_SECONDS, and while the barrier is up a row. On an error the
 * move must not be made. May suspend. */
int barrier_note(struct namespace *ns, const struct record *record);

#endif
