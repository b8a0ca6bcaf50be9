/* ringctl_versions: the versions of a path's row, their contexts and dots, as text and back. */
#ifndef RINGFS_NODE_RINGCTL_VERSIONS_H
#define RINGFS_NODE_RINGCTL_VERSIONS_H

#include "node/ringctl.h"

enum { DOT_TEXT_SIZE = 48 };

/* A path's row: where it is and what it holds. */
struct path_row {
    struct buffer partition, sort;
    struct store_row row; /* after path_row_read() */
};
/* May suspend. path_row_release() whatever the answer. */
int path_row_find(struct ctl *ctl, const char *path, struct path_row *ret);
int path_row_read(struct ctl *ctl, struct path_row *row);
void path_row_release(struct path_row *row);

/* Writes one record, or a tombstone when `record` is NULL, under a condition: the store's answer.
 * *ret_context, when it is 0, is the new context: the caller's to release. May suspend. */
struct path_write {
    enum row_condition condition;
    struct bytes seen;
    const struct record *record;
};
int path_row_write(struct ctl *ctl, const struct path_row *row, const struct path_write *write,
                   struct buffer *ret_context);

/* "NODE.INCARNATION.EPOCH.COUNTER". */
void dot_text(struct dot dot, char ret[DOT_TEXT_SIZE]);
/* The sibling whose dot is written so; NULL when there is none. */
const struct sibling *sibling_of_text(const struct versions *versions, const char *text);

/* Contexts as hexadecimal digits; "none" for the one that has seen nothing. The answer is the
 * caller's to free. */
char *context_text(struct bytes context);
/* Appends the bytes of a context's text. ERR_INVALID when it is none. */
int context_of_text(const char *text, struct buffer *into);

/* ringctl_put.c: what PATH's new contents are: an argument, or standard input. */
struct value_source {
    const char *value; /* NULL = standard input */
    size_t left;
};
struct value_source value_source_of(const char *value);
int64_t value_source_read(void *source, uint8_t *into, size_t size);
/* Puts contents into `record`: small ones inline, others in blocks of their own. May suspend. */
int record_fill(struct ctl *ctl, struct record *record, struct value_source *source);
/* Removes the blocks that only `record` named. May suspend. */
void record_drop(struct ctl *ctl, const struct record *record);

#endif
