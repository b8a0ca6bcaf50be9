/* locks: flock(2) and fcntl(2) locks that hold on all mounts. */
#include "fs/locks.h"

#include <assert.h>
#include <stdlib.h>

#include "fs/lock_waits.h"

#define RESUME_PAUSE_NS 100000000

static void set_deadline(const struct locks *locks) {
    const struct mount *mount = locks->lease.mount;
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
}

/* ---- the keeper, and the loss of the lease ---- */

static bool holds_any(const struct locks *locks) {
    for (const struct file_locks *fl = locks->files; fl != NULL; fl = fl->next) {
        if (fl->ours.n > 0) {
            return true;
        }
    }
    return false;
}

static void lose(struct locks *locks) {
    lease_drop(&locks->lease);
    locks->n_leases_lost += holds_any(locks);
    for (struct file_locks *fl = locks->files; fl != NULL; fl = fl->next) {
        if (fl->ours.n > 0) {
            file_lose_lease(fl->file);
        }
        file_locks_lose(fl);
    }
}

static struct file_locks *find_indebted(const struct locks *locks) {
    struct file_locks *fl = locks->files;
    while (fl != NULL && !fl->indebted) {
        fl = fl->next;
    }
    return fl;
}

static void forgive(struct file_locks *fl) {
    if (fl->indebted) {
        fl->indebted = false;
        file_put(fl->file);
    }
}

static int pay(struct file_locks *fl) {
    struct file *file = fl->file;
    file->n_users++;
    int status = file_locks_tell(fl);
    if (status == 0) {
        forgive(fl);
    }
    file_put(file);
    return status;
}

static void pay_at_once(void *arg) {
    struct file_locks *fl = arg;
    struct file *file = fl->file;
    struct mount *mount = file->mount;
    pay(fl); /* else the keeper tries again */
    file_put(file);
    mount_background_done(mount);
}

static void pay_all(struct locks *locks) {
    struct file_locks *fl;
    while ((fl = find_indebted(locks)) != NULL && pay(fl) == 0) {
    }
}

/* Whatever timeo= says a try ends early enough for another one. */
static void set_renewal_deadline(const struct locks *locks) {
    const struct mount *mount = locks->lease.mount;
    int64_t try_ns = locks->lease.length_ns / 3;
    int64_t timeout_ns = mount->config.timeout_ns;
    task_set_deadline(task_self(),
                      mount_now_ns(mount) + (try_ns < timeout_ns ? try_ns : timeout_ns));
}

static void renew(struct locks *locks) {
    struct lease *lease = &locks->lease;
    bool idle = !holds_any(locks) && lease_now_ns(lease) - locks->used_ns >= LOCKS_IDLE_NS;
    set_renewal_deadline(locks);
    if (idle) {
        lease_give_up(lease);
    } else if (lease_renew_now(lease) == ERR_CONFLICT || lease_overdue(lease)) {
        lose(locks);
    }
}

static void keep(void *arg) {
    struct locks *locks = arg;
    struct mount *mount = locks->lease.mount;
    while (mount_pause(mount, locks->lease.length_ns / LEASE_RENEW_PART)) {
        if (lease_overdue(&locks->lease)) {
            lose(locks);
        }
        if (locks->lease.live) {
            renew(locks);
        }
        pay_all(locks);
        if (!locks->lease.live && !holds_any(locks) && find_indebted(locks) == NULL) {
            break;
        }
    }
    locks->keeping = false;
    mount_background_done(mount);
}

static void start_keeper(struct locks *locks) {
    struct mount *mount = locks->lease.mount;
    if (!locks->keeping && !mount->stopping &&
        task_spawn(mount->config.tasks, keep, locks, 0) == 0) {
        locks->keeping = true;
        mount->n_background++;
    }
}

int locks_ensure_lease(struct locks *locks) {
    if (lease_overdue(&locks->lease)) {
        lose(locks);
    }
    int status = lease_ensure(&locks->lease);
    locks_used(locks);
    start_keeper(locks);
    /* A lease that nobody renews must not be relied on: no task could be made, or we stop. */
    return status != 0 || locks->keeping ? status : ERR_BUSY;
}

void locks_owe(struct file_locks *fl) {
    struct mount *mount = fl->file->mount;
    if (fl->indebted) {
        return;
    }
    fl->indebted = true;
    fl->file->n_users++;
    start_keeper(fl->locks);
    if (task_spawn(mount->config.tasks, pay_at_once, fl,
                   mount_now_ns(mount) + mount->config.timeout_ns) == 0) {
        fl->file->n_users++;
        mount->n_background++;
    }
}

void locks_used(struct locks *locks) {
    locks->used_ns = lease_now_ns(&locks->lease);
}

void locks_check_file(struct file *file) {
    if (file->locks != NULL && file->locks->ours.n > 0 &&
        lease_overdue(&file->locks->locks->lease)) {
        lose(file->locks->locks);
    }
}

int locks_check(const struct handle *handle) {
    locks_check_file(handle->file);
    return handle->n_leases_lost == handle->file->n_leases_lost ? 0 : ERR_LEASE_LOST;
}

/* ---- life ---- */

static struct file_locks *locks_of(struct file *file) {
    if (file->locks == NULL) {
        file->locks = file_locks_new(file->mount->locks, file);
    }
    return file->locks;
}

void locks_start(struct mount *mount, const struct locks_config *config) {
    struct locks *locks = memory_new(1, sizeof *locks);
    locks->config = *config;
    locks->lease.mount = mount;
    locks->lease.now_ns = config->now_ns;
    locks->lease.clock = config->clock;
    locks->lease.length_ns = config->lease_ns;
    if (mount->config.survivor != NULL) {
        locks->lease.kept = &survivor_header(mount->config.survivor)->lease;
    }
    lease_init(&locks->lease);
    mount->locks = locks;
}

int locks_resume(struct mount *mount) {
    struct locks *locks = mount->locks;
    struct lease *lease = &locks->lease;
    if (lease->kept == NULL || lease->kept->valid == 0) {
        return ERR_LEASE_LOST;
    }
    int64_t began_ns = lease_now_ns(lease);
    int status;
    do {
        set_deadline(locks);
        status = lease_resume(lease);
        bool ended = status == ERR_NO_ENTRY || status == ERR_CONFLICT;
        if (ended || lease_now_ns(lease) - began_ns >= lease->length_ns) {
            lease_drop(lease);
            return ERR_LEASE_LOST;
        }
    } while (status != 0 && task_sleep(RESUME_PAUSE_NS) == 0);
    locks_used(locks);
    start_keeper(locks);
    return status;
}

int locks_resume_file(struct handle *handle, uint64_t owner) {
    struct file_locks *fl = locks_of(handle->file);
    int status = file_locks_resume(fl);
    struct lock lock = {.mount = fl->locks->lease.id, .kind = LOCK_POSIX, .owner = owner};
    if (status == 0 && lock_table_holds(&fl->ours, &lock)) {
        file_locks_claim(fl, handle, owner);
    }
    return status;
}

static void forgive_all(struct locks *locks) {
    struct file_locks *fl;
    while ((fl = find_indebted(locks)) != NULL) {
        forgive(fl);
    }
}

void locks_leave(struct mount *mount) {
    if (mount->locks != NULL) {
        pay_all(mount->locks);
        forgive_all(mount->locks);
        task_set_deadline(task_self(), 0);
    }
}

void locks_stop_waiting(struct mount *mount) {
    if (mount->locks != NULL) {
        mount->locks->stopping = true;
        lock_waits_interrupt(mount->locks);
    }
}

void locks_end(struct mount *mount) {
    struct locks *locks = mount->locks;
    int status = 0;
    if (locks == NULL) {
        return;
    }
    for (struct file_locks *fl = locks->files; fl != NULL && status == 0; fl = fl->next) {
        if (fl->ours.n > 0) {
            lock_table_release(&fl->ours);
            fl->n_changes++;
        }
        status = file_locks_tell(fl);
    }
    set_deadline(locks);
    lease_give_up(&locks->lease); /* what no row was told is void with it */
    forgive_all(locks);
    task_set_deadline(task_self(), 0);
}

void locks_free(struct mount *mount) {
    if (mount->locks != NULL) {
        assert(mount->locks->files == NULL && mount->locks->waiters == NULL);
        lease_release(&mount->locks->lease);
        free(mount->locks);
        mount->locks = NULL;
    }
}

void locks_file_free(struct file *file) {
    if (file->locks != NULL) {
        file_locks_free(file->locks);
        file->locks = NULL;
    }
}

/* ---- requests ---- */

/* The ways of flock(2): who turns a lock into one of the other type gives up the old one first, and
 * may find itself with none. */
static void convert(struct file_locks *fl, const struct lock *lock) {
    if (lock->kind == LOCK_FLOCK) {
        file_locks_give_up(fl, lock);
    }
}

static int acquire(struct file_locks *fl, struct lock_wish *wish) {
    int64_t since_ns = mount_now_ns(fl->file->mount);
    for (;;) {
        int status = file_locks_try(fl, &wish->lock);
        if (status == ERR_LOCKED) {
            convert(fl, &wish->lock);
        }
        if (!wish->wait || (status != ERR_LOCKED && status != ERR_BUSY)) {
            return status;
        }
        status = lock_wait(fl, wish, since_ns);
        if (status != 0) {
            return status;
        }
    }
}

int locks_set(struct handle *handle, struct lock_wish *wish) {
    struct file *file = handle->file;
    file->n_users++;
    struct file_locks *fl = locks_of(file);
    int status;
    if (wish->lock.type == LOCK_NONE) {
        status = file_locks_give_up(fl, &wish->lock);
    } else {
        status = acquire(fl, wish);
        if (status == 0 && wish->lock.kind == LOCK_POSIX) {
            file_locks_claim(fl, handle, wish->lock.owner);
        }
    }
    file_put(file);
    return status;
}

int locks_get(struct handle *handle, struct lock *lock, struct lock *ret) {
    struct file *file = handle->file;
    int status = 0;
    file->n_users++;
    struct file_locks *fl = locks_of(file);
    lock->mount = fl->locks->lease.id;
    if (lock_table_conflict(&fl->ours, lock) == NULL) {
        status = file_locks_look(fl, lock);
        lock->mount = fl->locks->lease.id;
    }
    if (status == 0) {
        const struct lock *found = file_locks_conflict(fl, lock);
        *ret = found != NULL ? *found : *lock;
        ret->type = found != NULL ? found->type : LOCK_NONE;
        ret->pid = id128_equal(&ret->mount, &lock->mount) ? ret->pid : 0;
    }
    file_put(file);
    return status;
}

static void give_up_all(struct file_locks *fl, enum lock_kind kind, uint64_t owner) {
    struct lock lock = {.kind = (uint8_t)kind, .owner = owner, .last = LOCK_TO_END};
    file_locks_give_up(fl, &lock);
}

void locks_close(struct handle *handle, uint64_t owner) {
    struct file_locks *fl = handle->file->locks;
    if (fl != NULL) {
        file_locks_unclaim(fl, handle, owner);
        give_up_all(fl, LOCK_POSIX, owner);
    }
}

void locks_release(struct handle *handle, const uint64_t *flock_owner) {
    struct file_locks *fl = handle->file->locks;
    uint64_t owner;
    if (fl == NULL) {
        return;
    }
    if (flock_owner != NULL) {
        give_up_all(fl, LOCK_FLOCK, *flock_owner);
    }
    while (file_locks_next_claim(fl, handle, &owner)) {
        give_up_all(fl, LOCK_POSIX, owner);
    }
}
