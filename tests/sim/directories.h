/* directories: sessions that use partitions as the filesystem does: a header, entries, and guards.
 */
#ifndef RINGFS_TESTS_SIM_DIRECTORIES_H
#define RINGFS_TESTS_SIM_DIRECTORIES_H

#include "tests/sim/check.h"
#include "tests/sim/workload.h"

/* The first row of a directory is its header, live while the directory is; the others are entries.
 *
 *   make     header IF_ABSENT
 *   create   entry IF_ABSENT, while the header is as it was read (a guard)
 *   remove   entry deleted IF_MATCH
 *   unmake   header deleted IF_MATCH, while the header is the only live row (COUNT_MAX)
 *
 * What should never be, and is counted: a directory unmade and an entry created, both acknowledged,
 * and the entry there in the end. */
enum { DIRECTORY_COUNT_MAX = 1 };

/* Chooses a directory and what to do with it; sets session->row. False when a row (session->row)
 * must be read first. */
bool directory_choose(struct session *session);
/* Fills the write that was chosen. */
void directory_fill(struct session *session, struct write *write);
/* A write met a conflict: what the session knows of the directory is old. */
void directory_forget(struct session *session);

void check_directories(struct world *world, const struct final_rows *rows);

#endif
