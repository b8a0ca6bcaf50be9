/* file: an open file as this mount sees it: what is stored, and what was written since. */
#include "fs/file_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/holds.h"
#include "fs/locks.h"
#include "fs/unmade.h"

void file_left_memory(struct file *file, size_t size) {
    file->mount->n_dirty_bytes -= size;
    task_wake_one(&file->mount->room);
}

void file_forget_appends(struct file *file) {
    file_left_memory(file, file->appends.pending.size + file->appends.kept.size);
    appends_release(&file->appends);
}

struct extents file_stored_by(const struct record *record) {
    struct extents stored = contents_stored(record);
    extents_remove(&stored, file_blocks_in(contents_blocks_end(record)), UINT64_MAX);
    return stored;
}

void file_take_record(struct file *file, const struct entry *entry) {
    const struct record *record = &entry->record;
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_release(&file->blocks);
    }
    file->version = entry->version;
    file->kind = record->contents_kind;
    file->size = record->size;
    buffer_clear(&file->data);
    buffer_put_bytes(&file->data, record->data);
    file->tail_at = record->data_at;
    file_forget_appends(file);
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_init(&file->blocks, file->mount, &record->contents);
        file->blocks.shared = true;
        file->blocks.stored = file_stored_by(record);
    } else {
        file->size = record->data.size;
    }
    file->dirty = file->replaced = file->size_set = file->outgrown = file->uncertain = false;
    file->grown = false;
    file->contents_synced = false; /* that nobody here knows */
    file->record_synced = file->attributes.mask == 0 && !file->inode->unmade;
    if (file->inode->unmade) {
        file->dirty = file->replaced = true; /* its name has to be stored, and what it holds */
        file->modified_ns = record->mtime_ns;
        file->dirty_ns = mount_now_ns(file->mount);
    }
    patches_clear(&file->patches);
    inode_set_dirt(file->inode, SURVIVOR_CLEAN);
    file_unremember(file);
}

bool file_pending(const struct file *file) {
    return file->dirty || appends_waiting(&file->appends) ||
           (file->kind == CONTENTS_BLOCKS && blocks_pending(&file->blocks));
}

bool file_unstored(const struct file *file) {
    return file_pending(file) || file->attributes.mask != 0;
}

static void adopt(struct file *file) {
    const struct entry *entry = &file->inode->known->entry;
    if (!op_id_equal(&entry->version, &file->version) && !file_pending(file)) {
        file_take_record(file, entry);
    }
}

void file_adopt(struct file *file) {
    if (!file->busy) {
        adopt(file);
    }
}

/* ---- contents that another worker will have ---- */

static bool is_new(const struct file *file) {
    const struct record *record = &file->inode->known->entry.record;
    return record->size == 0 && record->contents_kind == CONTENTS_INLINE;
}

bool file_remember(struct file *file) {
    struct survivor *survivor = file->mount->config.survivor;
    bool may = survivor != NULL && file->kind == CONTENTS_INLINE && file->data.size > 0 &&
               is_new(file) && !file->inode->gone;
    if (!may || !survivor_put_new(survivor, file->inode->ino, buffer_bytes(&file->data))) {
        return false;
    }
    file->remembered = true;
    return true;
}

void file_unremember(struct file *file) {
    if (file->remembered) {
        survivor_put_new(file->mount->config.survivor, file->inode->ino, bytes_of(NULL, 0));
        file->remembered = false;
    }
}

/* What an earlier worker left, if it did not come to storing it. */
static void recall(struct file *file) {
    struct survivor *survivor = file->mount->config.survivor;
    const struct survivor_new *left =
        survivor != NULL ? survivor_find_new(survivor, file->inode->ino) : NULL;
    if (left == NULL) {
        return;
    }
    file->remembered = true;
    if (!is_new(file)) {
        file_unremember(file);
        return;
    }
    const struct patch patch = {.kind = PATCH_WRITE, .data = bytes_of(left->data, left->size)};
    int status = patch_apply(&patch, &file->data, RECORD_INLINE_MAX);
    assert(status == 0);
    (void)status;
    patches_add(&file->patches, &patch);
    file->size = file->data.size;
    file_touch(file);
}

struct file *file_get(struct mount *mount, struct inode *inode) {
    assert(inode->known != NULL && !inode->is_directory);
    struct file *file = inode->file;
    if (file == NULL) {
        file = memory_new(1, sizeof *file);
        file->mount = mount;
        file->inode = inode;
        inode->file = file;
        inode_pin(inode);
        file->next = mount->files;
        file->link = &mount->files;
        if (file->next != NULL) {
            file->next->link = &file->next;
        }
        mount->files = file;
        file_take_record(file, &inode->known->entry);
        recall(file);
    }
    file->n_users++;
    file_adopt(file);
    return file;
}

static void file_free(struct file *file) {
    struct mount *mount = file->mount;
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_release(&file->blocks);
    }
    file_forget_appends(file);
    *file->link = file->next;
    if (file->next != NULL) {
        file->next->link = file->link;
    }
    if (!handles_hold(&mount->handles, file->inode->ino)) {
        file_unremember(file);
    }
    file->inode->file = NULL;
    mount_unpin(mount, file->inode);
    buffer_release(&file->data);
    patches_release(&file->patches);
    locks_file_free(file);
    free(file);
}

struct extents file_named(const struct file *file, const struct record *record) {
    struct extents stored = contents_removable(record);
    if (!record->contents_shared && id128_equal(&record->contents, &file->left.contents)) {
        extents_join(&stored, &file->left.stored);
    }
    return stored;
}

/* Contents that no record names, nor will. */
static void remove_unnamed(struct file *file) {
    const struct record *record = &file->inode->known->entry.record;
    struct mount *mount = file->mount;
    bool blocks = file->kind == CONTENTS_BLOCKS;
    bool alone = file->inode->known->entry.alone; /* others may name them still */
    if (file->inode->gone && record->contents_kind == CONTENTS_BLOCKS) {
        bool same = blocks && id128_equal(&record->contents, &file->blocks.contents);
        struct extents stored = file_named(file, record);
        if (same && !record->contents_shared) {
            extents_join(&stored, &file->blocks.stored);
        }
        if (!alone) {
            holds_remove(mount, &record->contents, &stored);
        }
        blocks = blocks && !same;
    }
    if (blocks && !file->uncertain && (file->inode->gone || file->replaced)) {
        mount_remove_contents(mount, &file->blocks.contents, &file->blocks.stored);
    }
}

/* After the last close: one more try for what the last flush could not store. */
static void finish(void *arg) {
    struct file *file = arg;
    struct mount *mount = file->mount;
    if (file_unstored(file) && !file->inode->gone && file_lock(file) == 0) {
        mount->n_writes_lost += file_store(file, false, NULL, NULL) != 0;
        file_unlock(file);
    }
    if (file->n_users == 1 && file->inode->unmade && !mount->stopping &&
        !handles_hold(&mount->handles, file->inode->ino)) {
        unmade_drop(mount, file->inode);
    }
    if (file->n_users == 1) {
        if (file->kind == CONTENTS_BLOCKS) {
            blocks_wait(&file->blocks);
        }
        if (file->n_users == 1) {
            remove_unnamed(file);
            file_free(file);
            mount_background_done(mount);
            return;
        }
    }
    file->n_users--; /* opened again meanwhile */
    mount_background_done(mount);
}

void file_put(struct file *file) {
    assert(file->n_users > 0);
    if (file->n_users == 1 && (file_unstored(file) || file->inode->gone)) {
        mount_background(file->mount, finish, file);
    } else if (--file->n_users == 0) {
        file_free(file);
    }
}

bool file_drop_void_changes(struct file *file) {
    bool any = file->void_changes;
    file->void_changes = false;
    if (any) {
        file_forget_unstored(file);
    }
    return any;
}

void file_lose_lease(struct file *file) {
    file->n_leases_lost++;
    file->void_changes = file_pending(file);
    if (!file->busy) {
        file_drop_void_changes(file);
    }
}

int file_lock(struct file *file) {
    while (file->busy) {
        int status = task_wait(&file->turn);
        if (status != 0) {
            task_wake_one(&file->turn); /* a wake that came with the error belongs to the next */
            return status;
        }
    }
    file->busy = true;
    file_drop_void_changes(file);
    adopt(file);
    return 0;
}

void file_unlock(struct file *file) {
    assert(file->busy);
    file_drop_void_changes(file);
    file->busy = false;
    task_wake_one(&file->turn);
}

int file_take_error(struct file *file) {
    int error = file->error;
    if (error == 0 && file->kind == CONTENTS_BLOCKS) {
        error = file->blocks.error;
        file->blocks.error = 0;
    }
    file->error = 0;
    return error;
}

void file_touch(struct file *file) {
    file->modified_ns = mount_wall_ns(file->mount);
    file->record_synced = false;
    if (!file->dirty && file->attributes.mask == 0) {
        file->dirty_ns = mount_now_ns(file->mount);
    }
    file->dirty = true;
}
