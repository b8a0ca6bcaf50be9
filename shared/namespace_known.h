/* namespace_known: changes of names for who keeps what he has read. */
#ifndef RINGFS_SHARED_NAMESPACE_KNOWN_H
#define RINGFS_SHARED_NAMESPACE_KNOWN_H

#include "shared/namespace.h"

/* As their namesakes in namespace.h, which read the names first; in one step when what is known
 * still stands, and like them when it does not. May suspend. */

/* Removes the name of `known`. */
int namespace_unlink_known(struct namespace *ns, const struct entry *known,
                           struct entry *ret_removed);
/* Renames `from` to the directory and name of `to`, where what `to` says stands; record.mode 0:
 * nothing. Saves nothing between partitions, and with RENAME_EXCHANGE. */
int namespace_rename_known(struct namespace *ns, const struct entry *from, const struct entry *to,
                           unsigned flags, struct entry *ret_moved, struct entry *ret_replaced);
/* Removes a name of `file`, which is the row of a file of several names as it was read. */
int namespace_unlink_linked(struct namespace *ns, const struct id128 *directory, const char *name,
                            const struct entry *file, struct entry *ret_removed);
/* The same of a name's row as namespace_link_known() has left it; `file` is what that answered, or
 * was read since. */
int namespace_unlink_pointer(struct namespace *ns, const struct entry *pointer,
                             const struct entry *file, struct entry *ret_removed);
/* As namespace_link(). `missing`: the name is known to be. Where one was removed, which leaves a
 * tombstone, that costs more. *ret_pointer: the row of the name that `file` had, which is a pointer
 * now; record.mode 0 when that was not done together with the new name. Both are the caller's to
 * release, on 0. */
int namespace_link_known(struct namespace *ns, const struct entry *file, const struct link_name *to,
                         bool missing, struct entry *ret, struct entry *ret_pointer);

/* Puts the record of another file (its file_id is set) in the place of the file that `there` was
 * read as; `ret` is what was stored. The blocks of the one before are the caller's to remove.
 * ERR_CONFLICT: it is another one by now. ERR_STALE: it is no regular file with one name and one
 * version. `synced`: on W disks before the answer. */
int namespace_replace(struct namespace *ns, const struct entry *there, const struct record *record,
                      bool synced, struct entry *ret);

/* As namespace_rmdir(). *ret_changed_ns: the directory's mtime then; 0 = it has to be read. */
int namespace_rmdir_changed(struct namespace *ns, const struct id128 *directory, const char *name,
                            int64_t *ret_changed_ns);

#endif
