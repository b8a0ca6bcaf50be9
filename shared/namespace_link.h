/* namespace_link: files with several names, whose record is in a row of their own. */
#ifndef RINGFS_SHARED_NAMESPACE_LINK_H
#define RINGFS_SHARED_NAMESPACE_LINK_H

#include "shared/namespace.h"

/* Gives a file that is no directory another name. `file` is as it was read under one of its names,
 * or of its own row; `ret` is the entry of the new name. ERR_EXISTS; ERR_NO_ENTRY when the
 * directory is gone; ERR_STALE when the file is; ERR_TOO_MANY_LINKS; ERR_IS_DIRECTORY. */
int namespace_link(struct namespace *ns, const struct entry *file, const struct id128 *directory,
                   const char *name, struct entry *ret);
/* A file that has several names or had, by its id; `ret` is at one of its names. ERR_NO_ENTRY when
 * there is none: the file is gone, or never had two names. */
int namespace_file(struct namespace *ns, uint64_t file_id, struct entry *ret);
/* Takes a name that does not stand for the file out of the list of its names, for who clears up: it
 * may stay in there after a crash. 0 also when it was not there or does stand for the file; the
 * file's own row goes with the last name. `ret_file` is the file as it is then (n_links 0: the row
 * went, the blocks are the caller's to remove). ERR_NO_ENTRY when there is no such file. */
int namespace_link_prune(struct namespace *ns, uint64_t file_id, const struct link_name *name,
                         struct entry *ret_file);
/* A listing's records of files with several names are pointers (CONTENTS_LINKED: type and file id
 * only); this fills them in, several at a time. Those that cannot be read stay pointers. */
void namespace_list_follow(struct namespace *ns, struct listing *listing);

/* ---- private to namespace*.c ---- */
/* Brings `now` to what there is of the file that `file` was read of: where it was found last, under
 * the name of `file`, or in its own row. ERR_STALE when it is gone. May suspend. */
int entry_renew(struct namespace *ns, struct entry *now, const struct entry *file);
/* Makes writes fail that expect the row as it was before: a tombstone, or the same record again.
 * ERR_CONFLICT when `there` is not what it is any more. May suspend. */
int entry_refuse(struct namespace *ns, struct entry *there);
/* Whether the entry is of a name's row that only points to the file's own. */
static inline bool entry_points(const struct entry *entry) {
    return !entry->linked && entry->record.contents_kind == CONTENTS_LINKED;
}
/* A pointer becomes what it points to; other entries stay. ERR_NO_ENTRY when that is gone, which
 * the name should be, too. May suspend. */
int link_follow(struct namespace *ns, struct entry *entry);
/* The concurrent contents of a file's own row that do not show become files beside the name that
 * `file` has. May suspend. */
int link_settle(struct namespace *ns, struct entry *file);
/* What link_begin() began and did not finish. 0 also when somebody else did. May suspend. */
int link_finish(struct namespace *ns, const struct entry *frozen);
/* Notes in the row of `file`, which becomes what was stored, that it has this name or is about to
 * have it; writes in any case. The name's row must have been read before, and the name be made
 * under IF_MATCH: who finds the name in the list and not in place makes that fail. ERR_CONFLICT:
 * `file` is the newer one. May suspend. */
int link_claim(struct namespace *ns, struct entry *file, const struct id128 *directory,
               const char *name);
/* Takes a name out of the list that has stopped to stand for `file`, which was read before it did,
 * and becomes what is left of it. May suspend. */
int link_drop(struct namespace *ns, struct entry *file, const struct id128 *directory,
              const char *name);
/* A claimed name was not made: takes it back; what that leaves of the file without any name goes.
 * May suspend. */
void link_give_back(struct namespace *ns, uint64_t file_id, const struct id128 *directory,
                    const char *name);

#endif
