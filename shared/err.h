/* err: the one table of errors, shared by every part of ringfs. */
#ifndef RINGFS_SHARED_ERR_H
#define RINGFS_SHARED_ERR_H

#include <errno.h>

/* Every function that can fail returns 0 or one of these codes, negated in the enum. The numbers
 * travel in messages as the status byte (0 = done, n = -code) and must never be reused.
 * Columns: name, number on the wire, errno shown to a program on the mount, text. */
#define ERR_TABLE(X)                                                                               \
    X(NOT_FOUND, 1, ENOENT, "no such row")                                                         \
    X(CONFLICT, 2, EAGAIN, "the row has changed since it was read")                                \
    X(UNAVAILABLE, 3, EIO, "not enough replicas answer")                                           \
    X(UNKNOWN, 4, EIO, "timed out after it was sent: the write may or may not have happened")      \
    X(TIMEOUT, 5, EIO, "the deadline passed")                                                      \
    X(BUSY, 6, EAGAIN, "too many requests at once, try again")                                     \
    X(TOO_BIG, 7, EFBIG, "larger than the limit")                                                  \
    X(WRONG_RING, 8, EIO, "the ring has changed")                                                  \
    X(INVALID, 9, EINVAL, "malformed message or argument")                                         \
    X(CORRUPT, 10, EIO, "checksum mismatch")                                                       \
    X(DISK, 11, EIO, "the node's disk failed")                                                     \
    X(NO_SPACE, 12, ENOSPC, "no space left on the node")                                           \
    X(SIBLINGS, 13, EIO, "too many concurrent versions of one row")                                \
    X(AUTH, 14, EACCES, "not sealed with this cluster's key")                                      \
    X(CLOSED, 15, EIO, "shutting down")                                                            \
    X(NO_MEMORY, 16, ENOMEM, "out of memory")                                                      \
    X(EXISTS, 17, EEXIST, "already exists")                                                        \
    X(NO_ENTRY, 18, ENOENT, "no such file or directory")                                           \
    X(NOT_DIRECTORY, 19, ENOTDIR, "not a directory")                                               \
    X(IS_DIRECTORY, 20, EISDIR, "is a directory")                                                  \
    X(NOT_EMPTY, 21, ENOTEMPTY, "directory not empty")                                             \
    X(NAME_TOO_LONG, 22, ENAMETOOLONG, "name longer than 255 bytes")                               \
    X(STALE, 23, ESTALE, "the file is gone or was replaced")                                       \
    X(INTERRUPTED, 24, EINTR, "interrupted")                                                       \
    X(LOOP, 25, EINVAL, "a directory cannot move into itself")                                     \
    X(NOT_SUPPORTED, 26, EOPNOTSUPP, "not supported")                                              \
    X(PERMISSION, 27, EPERM, "operation not permitted")                                            \
    X(ACCESS, 28, EACCES, "permission denied")                                                     \
    X(READ_ONLY, 29, EROFS, "read-only")                                                           \
    X(IO, 30, EIO, "input/output error")                                                           \
    X(IN_USE, 31, EBUSY, "in use by another process")                                              \
    X(SYMLINKS, 32, ELOOP, "too many symbolic links")                                              \
    X(STALE_EPOCH, 33, EIO, "another node is the steward of the slice")                            \
    X(RECOVERING, 34, EIO, "this replica is catching up on the others")                            \
    X(TOO_MANY_LINKS, 35, EMLINK, "the file has too many names")                                   \
    X(NO_DATA, 42, ENXIO, "no data at or behind this offset")                                      \
    X(NO_ATTRIBUTE, 36, ENODATA, "no such extended attribute")                                     \
    X(RANGE, 37, ERANGE, "the answer is longer than the room for it")                              \
    X(LOCKED, 38, EAGAIN, "locked by another process")                                             \
    X(DEADLOCK, 39, EDEADLK, "to wait for this lock would be a deadlock")                          \
    X(LEASE_LOST, 40, EIO, "the mount could not keep its locks: others may have changed the file") \
    X(NO_LOCKS, 43, ENOLCK, "too many locks")

enum err {
#define ERR_ENUM(name, number, errno_, text) ERR_##name = -(number),
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* The text of an error code; "done" for 0, "unknown error" for a code not in the table.
 * A static string. Any thread. */
const char *err_text(int err);

/* The table's name of a code ("NOT_FOUND"), "OK" for 0, "?" for a code not in the table. A static
 * string. Any thread. */
const char *err_name(int err);

/* The errno (positive) that a program on the mount sees for a code; 0 for 0, EIO for a code not in
 * the table. Any thread. */
int err_errno(int err);

#endif
