/* shown: attributes that are not stored: what a mount shows of a file's place in the cluster. */
#include "fs/shown.h"

#include <string.h>

#include "fs/file.h"
#include "fs/journal.h"

enum {
    DEPTH_MAX = 64
}; /* of a tree that is refreshed; what lies deeper is seen within attr_timeout */

bool shown_is(const char *name) {
    return strncmp(name, SHOWN_PREFIX, strlen(SHOWN_PREFIX)) == 0;
}

static void put_hex(struct buffer *into, struct bytes bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        text_put(into, "%02x", bytes.data[i]);
    }
}

/* The row that an inode's name, or a directory's header, lies in. */
static void row_of(const struct inode *inode, struct buffer *ret_partition,
                   struct buffer *ret_sort) {
    const struct id128 *directory = inode->is_directory ? &inode->directory : &inode->parent;
    namespace_row_of(directory, inode->is_directory ? "" : inode->name, ret_partition, ret_sort);
}

static int put_place(const struct mount *mount, const struct inode *inode, bool replicas,
                     struct buffer *into) {
    struct buffer partition = {0}, sort = {0};
    int status = 0;
    row_of(inode, &partition, &sort);
    if (!replicas) {
        put_hex(into, buffer_bytes(&partition));
        buffer_put_u8(into, ' ');
        put_hex(into, buffer_bytes(&sort));
    } else if (mount->config.print_replicas != NULL) {
        mount->config.print_replicas(mount->config.replicas, buffer_bytes(&partition), into);
    } else {
        status = ERR_NO_ATTRIBUTE;
    }
    buffer_release(&partition);
    buffer_release(&sort);
    return status;
}

int shown_get(const struct mount *mount, const struct inode *inode, const char *name,
              struct buffer *into) {
    const char *what = name + strlen(SHOWN_PREFIX);
    bool replicas = strcmp(what, "replicas") == 0;
    if (replicas || strcmp(what, "key") == 0) {
        return put_place(mount, inode, replicas, into);
    }
    if (inode->is_directory) {
        return ERR_NO_ATTRIBUTE;
    }
    const struct entry *entry = &inode->known->entry;
    if (strcmp(what, "version") == 0) {
        put_hex(into, bytes_of(entry->version.bytes, sizeof entry->version.bytes));
        return 0;
    }
    if (strcmp(what, "conflicts") == 0) {
        text_put(into, "%u", entry->n_conflicts);
        return 0;
    }
    return ERR_NO_ATTRIBUTE;
}

/* ---- refresh ---- */
static bool is_below(const struct inodes *inodes, const struct inode *inode,
                     const struct inode *top) {
    for (int i = 0; i < DEPTH_MAX && inode != NULL; i++) {
        if (inode == top) {
            return true;
        }
        inode = inode == inodes->root ? NULL : inodes_find(inodes, directory_ino(&inode->parent));
    }
    return false;
}

int shown_refresh(struct mount *mount, uint64_t ino, void (*each)(void *context, uint64_t ino),
                  void *context) {
    struct inodes *inodes = &mount->inodes;
    const struct inode *top = inodes_find(inodes, ino);
    if (top == NULL) {
        return ERR_STALE;
    }
    for (uint32_t i = 0; i < inodes->n_buckets; i++) {
        for (struct inode *inode = inodes->buckets[i]; inode != NULL; inode = inode->next) {
            if (!is_below(inodes, inode, top)) {
                continue;
            }
            if (inode->known != NULL) {
                inodes_uncover(inodes, inode->known);
            }
            watch_forget(&inodes->watches, inode);
            if (inode->file != NULL && inode->file->kind == CONTENTS_BLOCKS) {
                blocks_forget_cached(&inode->file->blocks);
            }
            inode->kernel_version = (struct op_id){{0}};
            each(context, inode->ino);
        }
    }
    return 0;
}
