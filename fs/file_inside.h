/* file_inside: what the parts of an open file share. Private to file*.c. */
#ifndef RINGFS_FS_FILE_INSIDE_H
#define RINGFS_FS_FILE_INSIDE_H

#include "fs/file.h"

/* The stored contents are not those that the changes here were made for. Never leaves file_*.c;
 * not ERR_CONFLICT, which from a change would make the namespace try the same again. */
enum { REBASE = ERR_EXISTS };
/* The record's tail has to move into the blocks first. From appends_put(); never leaves
 * them either. */
enum { MOVE_TAIL = ERR_NOT_EMPTY };

static inline uint64_t file_blocks_in(uint64_t size) {
    return (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

/* ---- file.c ---- */
/* The view begins anew from a record. */
void file_take_record(struct file *file, const struct entry *entry);
/* Appended bytes count among those in memory, until this many leave it. */
void file_left_memory(struct file *file, size_t size);
void file_forget_appends(struct file *file);
/* What a record says is stored; a tail at the end is not yet. */
struct extents file_stored_by(const struct record *record);
/* Where the contents that a record names are stored. */
struct extents file_named(const struct file *file, const struct record *record);
/* In its turn. Whether there were any. */
bool file_drop_void_changes(struct file *file);

/* ---- file_write.c; in the file's turn; may suspend ---- */
/* Blocks that no record names are removed; others when the record is replaced that does. */
void file_give_up_blocks(struct file *file);
/* Back to what is stored now, whatever was pending. */
int file_rebase(struct file *file);
/* Whether a record is of these contents. Does not suspend. */
bool file_names_blocks(const struct file *file, const struct record *record);
/* The tail that the record has now goes into the blocks, which are to be stored before the record
 * is written without it. As it is now: an old tail must not cover what others have put there. */
int file_move_tail(struct file *file);
/* What has its place in the blocks by the record goes there. */
int file_write_kept(struct file *file);

/* ---- file_store.c; in the file's turn; may suspend ---- */
/* What is appended gets its place; full blocks leave by themselves. */
int file_store_appends(struct file *file);

#endif
