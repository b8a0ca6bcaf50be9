/* file_locks: the locks on one open file, in memory and in its row. */
#include "fs/file_locks.h"

#include <assert.h>
#include <stdlib.h>

#include "fs/locks.h"
#include "fs/unmade.h"

enum { TRIES_MAX = 64 };
#define TRY_PAUSE_NS 1000000

struct file_locks *file_locks_new(struct locks *locks, struct file *file) {
    struct file_locks *fl = memory_new(1, sizeof *fl);
    fl->locks = locks;
    fl->file = file;
    fl->touched = true; /* what was read when it was opened may be old */
    fl->next = locks->files;
    fl->link = &locks->files;
    if (fl->next != NULL) {
        fl->next->link = &fl->next;
    }
    locks->files = fl;
    return fl;
}

void file_locks_free(struct file_locks *fl) {
    assert(!fl->busy && !fl->indebted && !fl->looked_after);
    *fl->link = fl->next;
    if (fl->next != NULL) {
        fl->next->link = fl->link;
    }
    lock_table_release(&fl->ours);
    lock_table_release(&fl->others);
    lock_row_release(&fl->row);
    free(fl->claims);
    free(fl);
}

const struct lock *file_locks_conflict(const struct file_locks *fl, const struct lock *lock) {
    const struct lock *found = lock_table_conflict(&fl->ours, lock);
    return found != NULL ? found : lock_table_conflict(&fl->others, lock);
}

bool file_locks_told(const struct file_locks *fl) {
    return fl->n_told == fl->n_changes;
}

void file_locks_lose(struct file_locks *fl) {
    lock_table_release(&fl->ours);
    fl->n_changes++;
    fl->n_told = fl->n_changes; /* who meets the old entries takes them out */
    fl->n_claims = 0;
    fl->touched = true;
    task_wake_all(&fl->changed);
}

/* ---- claims ---- */

void file_locks_claim(struct file_locks *fl, const void *handle, uint64_t owner) {
    for (uint32_t i = 0; i < fl->n_claims; i++) {
        if (fl->claims[i].handle == handle && fl->claims[i].owner == owner) {
            return;
        }
    }
    if (fl->n_claims == fl->claims_capacity) {
        fl->claims_capacity = fl->claims_capacity * 2 + 4;
        fl->claims = memory_resize(fl->claims, fl->claims_capacity * sizeof *fl->claims);
    }
    fl->claims[fl->n_claims++] = (struct claim){handle, owner};
}

void file_locks_unclaim(struct file_locks *fl, const void *handle, uint64_t owner) {
    for (uint32_t i = 0; i < fl->n_claims; i++) {
        if (fl->claims[i].handle == handle && fl->claims[i].owner == owner) {
            fl->claims[i] = fl->claims[--fl->n_claims];
            return;
        }
    }
}

bool file_locks_next_claim(struct file_locks *fl, const void *handle, uint64_t *ret_owner) {
    for (uint32_t i = 0; i < fl->n_claims; i++) {
        if (fl->claims[i].handle == handle) {
            *ret_owner = fl->claims[i].owner;
            fl->claims[i] = fl->claims[--fl->n_claims];
            return true;
        }
    }
    return false;
}

/* ---- the row ---- */

static struct mount *mount_of(const struct file_locks *fl) {
    return fl->locks->lease.mount;
}

static void set_deadline(const struct file_locks *fl) {
    struct mount *mount = mount_of(fl);
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
}

static int take_turn(struct file_locks *fl) {
    while (fl->busy) {
        int status = task_wait(&fl->turn);
        if (status != 0) {
            task_wake_one(&fl->turn); /* a wake that came with the error belongs to the next */
            return status;
        }
    }
    fl->busy = true;
    return 0;
}

static void end_turn(struct file_locks *fl) {
    fl->busy = false;
    task_wake_one(&fl->turn);
}

static void take_others(struct file_locks *fl) {
    lock_table_release(&fl->others);
    lock_table_copy(&fl->row.table, &fl->others);
    lock_table_drop_mount(&fl->others, &fl->locks->lease.id);
}

/* In its turn. */
static int read_row(struct file_locks *fl) {
    struct lock_row row = {0};
    int status = lock_row_read(mount_of(fl)->config.ns, fl->file->inode->ino, &row);
    if (status != 0) {
        return status;
    }
    fl->touched = fl->touched || !bytes_equal(row.seen, fl->row.seen);
    lock_row_release(&fl->row);
    fl->row = row;
    take_others(fl);
    return 0;
}

/* In its turn: the row becomes ours, with `more` (may be NULL), and others'. ERR_CONFLICT: others
 * came first, and are known now. */
static int write_row(struct file_locks *fl, const struct lock *more) {
    struct lock_table table;
    uint64_t n_changes = fl->n_changes;
    lock_table_copy(&fl->ours, &table);
    int status = more != NULL ? lock_table_set(&table, more) : 0;
    if (status == 0) {
        status = lock_table_join(&table, &fl->others);
    }
    if (status != 0) {
        lock_table_release(&table);
        return status;
    }
    status = lock_row_write(mount_of(fl)->config.ns, fl->file->inode->ino, &table, &fl->row);
    lock_table_release(&table);
    if (status == 0) {
        fl->n_told = n_changes;
    } else if (status == ERR_CONFLICT) {
        fl->touched = true;
        take_others(fl);
    } else {
        fl->n_changes++; /* it may have been written: it is to be told what holds */
        locks_owe(fl);
    }
    return status;
}

static int tell_in_turn(struct file_locks *fl) {
    int status = ERR_CONFLICT;
    for (int i = 0; i < TRIES_MAX && status == ERR_CONFLICT && !file_locks_told(fl); i++) {
        status = write_row(fl, NULL);
    }
    return file_locks_told(fl) ? 0 : status;
}

int file_locks_tell(struct file_locks *fl) {
    set_deadline(fl);
    int status = take_turn(fl);
    if (status == 0) {
        status = tell_in_turn(fl);
        end_turn(fl);
    }
    return status;
}

/* ---- locking ---- */

/* The first lock of another mount in the way: whether that mount is dead, and its locks are out. */
static int judge(struct file_locks *fl, const struct lock *other, bool *ret_out) {
    struct id128 mount = other->mount;
    int status = lease_judge(&fl->locks->lease, &mount, ret_out);
    if (status == 0 && *ret_out) {
        lock_table_drop_mount(&fl->others, &mount);
    }
    return status;
}

/* Others may have changed the file while they held it: what is cached here is given up. */
static int catch_up(struct file_locks *fl) {
    struct locks *locks = fl->locks;
    struct file *file = fl->file;
    struct inode *inode = file->inode;
    int status = mount_refresh(mount_of(fl), inode, MOUNT_READ_NOW);
    if (status != 0) {
        return status;
    }
    file_adopt(file);
    if (locks->config.drop_pages != NULL && !op_id_equal(&inode->kernel_version, &file->version)) {
        struct op_id version = file->version;
        status = locks->config.drop_pages(locks->config.context, inode->ino);
        inode->kernel_version = version;
    }
    fl->touched = status != 0;
    return status;
}

/* The row has the lock. Whether it is good for anything. */
static int take_lock(struct file_locks *fl, const struct lock *lock) {
    int status = fl->touched ? catch_up(fl) : 0;
    locks_check_file(fl->file);
    if (status == 0 && !id128_equal(&lock->mount, &fl->locks->lease.id)) {
        status = ERR_CONFLICT; /* the lease was lost on the way */
    }
    bool told = file_locks_told(fl);
    status = status == 0 ? lock_table_set(&fl->ours, lock) : status;
    fl->n_changes++;
    if (status == 0) {
        fl->n_told += told;
    } else {
        locks_owe(fl); /* it is to be taken out of the row */
    }
    return status;
}

static int try_once(struct file_locks *fl, struct lock *lock, bool *fresh) {
    struct lease *lease = &fl->locks->lease;
    int status = locks_ensure_lease(fl->locks);
    if (status != 0) {
        return status;
    }
    lock->mount = lease->id;
    if (lock_table_conflict(&fl->ours, lock) != NULL) {
        return ERR_LOCKED;
    }
    const struct lock *other = lock_table_conflict(&fl->others, lock);
    if (other != NULL && !*fresh) {
        *fresh = true;
        status = read_row(fl);
        return status == 0 ? ERR_CONFLICT : status;
    }
    if (other != NULL) {
        bool out = false;
        status = judge(fl, other, &out);
        return status != 0 ? status : out ? ERR_CONFLICT : ERR_LOCKED;
    }
    status = write_row(fl, lock);
    *fresh = *fresh || status == ERR_CONFLICT;
    return status == 0 ? take_lock(fl, lock) : status;
}

int file_locks_try(struct file_locks *fl, struct lock *lock) {
    set_deadline(fl);
    int status = unmade_settle(mount_of(fl), fl->file->inode); /* others meet it by its row */
    status = status == 0 ? take_turn(fl) : status;
    if (status != 0) {
        return status;
    }
    bool fresh = false;
    status = ERR_CONFLICT;
    for (int i = 0; i < TRIES_MAX && status == ERR_CONFLICT; i++) {
        status = try_once(fl, lock, &fresh);
        if (status == ERR_CONFLICT && i > 2) {
            int slept = task_sleep(TRY_PAUSE_NS * i);
            status = slept != 0 ? slept : status;
        }
    }
    end_turn(fl);
    return status == ERR_CONFLICT ? ERR_BUSY : status;
}

int file_locks_look(struct file_locks *fl, const struct lock *lock) {
    set_deadline(fl);
    int status = take_turn(fl);
    if (status != 0) {
        return status;
    }
    status = read_row(fl);
    const struct lock *other;
    bool out = true;
    while (status == 0 && out && (other = lock_table_conflict(&fl->others, lock)) != NULL) {
        status = judge(fl, other, &out);
    }
    end_turn(fl);
    return status;
}

int file_locks_resume(struct file_locks *fl) {
    set_deadline(fl);
    int status = take_turn(fl);
    if (status != 0) {
        return status;
    }
    status = read_row(fl);
    if (status == 0 && file_locks_told(fl)) {
        lock_table_release(&fl->ours);
        lock_table_copy(&fl->row.table, &fl->ours);
        lock_table_drop_others(&fl->ours, &fl->locks->lease.id);
    }
    end_turn(fl);
    return status;
}

/* ---- unlocking ---- */

/* What was written under the lock is to be seen by who gets it next. */
static void store(struct file *file) {
    if (!file_pending(file) || file_lock(file) != 0) {
        return;
    }
    int status = file_store(file, false, NULL, NULL);
    if (status != 0) {
        file->error = status; /* told by the next write, fsync or close */
    }
    file_unlock(file);
}

int file_locks_give_up(struct file_locks *fl, const struct lock *lock) {
    struct lock none = *lock;
    none.type = LOCK_NONE;
    none.mount = fl->locks->lease.id;
    if (!lock_table_holds(&fl->ours, &none)) {
        return 0;
    }
    set_deadline(fl);
    store(fl->file);
    none.mount = fl->locks->lease.id; /* if the lease was lost nothing is held */
    int status = lock_table_set(&fl->ours, &none);
    if (status != 0) {
        return status;
    }
    fl->n_changes++;
    locks_used(fl->locks);
    task_wake_all(&fl->changed);
    if (file_locks_tell(fl) != 0) {
        locks_owe(fl);
    }
    return 0;
}
