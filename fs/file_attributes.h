/* file_attributes: attributes that a program has set of a file that it is writing. */
#ifndef RINGFS_FS_FILE_ATTRIBUTES_H
#define RINGFS_FS_FILE_ATTRIBUTES_H

#include "fs/survivor.h"
#include "shared/namespace.h"

/* tar and cp -p make a file, write it, set its times, owner and mode, and close it. What they set
 * waits for the record that is written next and is stored with it; at the latest at close or fsync,
 * which tell when it could not be, or after MOUNT_WRITEBACK_NS. On this mount stat(2) shows it at
 * once. The survivor keeps it at each opening for writing: another worker stores it when that is
 * used. */
struct file_attributes {
    unsigned mask; /* enum attribute_mask: those that wait */
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
    int64_t atime_ns, mtime_ns;
    int64_t ctime_ns; /* when the last of them was set */
};
enum {
    FILE_ATTRIBUTES_TIMES = ATTRIBUTE_ATIME | ATTRIBUTE_MTIME,
    FILE_ATTRIBUTES_RIGHTS = ATTRIBUTE_MODE | ATTRIBUTE_UID | ATTRIBUTE_GID,
};

struct file;

/* Whether what this process (0 = unknown) sets now may wait: it has opened the file for writing and
 * has not closed it, so that it will hear of an error. */
bool file_attributes_may_wait(const struct file *file, uint32_t process);
/* Whether nobody may do less with a file of this record (what shows of it) when these are set:
 * other mounts hear of them late. Without setuid, setgid and ACLs, which have rules of their own.
 */
bool file_attributes_only_give(const struct record *record, const struct file_attributes *set);
/* In the file's turn: these wait, beside others that do. */
void file_attributes_wait(struct file *file, const struct file_attributes *set);
/* What an earlier worker left to store, when it is opened again. */
void file_attributes_take_over(struct file *file, const struct survivor_handle *kept);
/* The record has them. */
void file_attributes_stored(struct file *file);
/* In the file's turn, before its contents are changed: no mtime that was set earlier is theirs. */
void file_attributes_outdate(struct file *file);
/* Puts what waits in the place of what is stored, or was written. */
void file_attributes_put(const struct file_attributes *waiting, struct record *record);
/* A record's mode, and what its access ACL says of it. `mode`: permission bits. */
void file_attributes_chmod(struct record *record, uint32_t mode);

#endif
