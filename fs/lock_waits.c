/* lock_waits: requests that wait for locks: until one is free, and never in a circle. */
#include "fs/lock_waits.h"

/* ---- deadlocks ---- */

struct search {
    struct locks *locks;
    const struct lock *asker;
    struct lock_waiter *todo; /* waiters whose holders are to be looked at */
};

/* Those that wait under the holder's name are looked at too. */
static void follow(struct search *search, const struct lock *holder) {
    struct locks *locks = search->locks;
    for (struct lock_waiter *w = locks->waiters; w != NULL; w = w->next) {
        if (w->visited != locks->n_searches && lock_same_owner(w->lock, holder)) {
            w->visited = locks->n_searches;
            w->todo = search->todo;
            search->todo = w;
        }
    }
}

/* Whether one of those who hold what `lock` wants is the asker. */
static bool leads_back(struct search *search, const struct file_locks *fl,
                       const struct lock *lock) {
    for (uint32_t i = 0; i < fl->ours.n; i++) {
        struct lock_table one = {.locks = &fl->ours.locks[i], .n = 1};
        const struct lock *holder = lock_table_conflict(&one, lock);
        if (holder != NULL && lock_same_owner(holder, search->asker)) {
            return true;
        }
        if (holder != NULL) {
            follow(search, holder);
        }
    }
    return false;
}

static bool is_deadlock(struct file_locks *fl, const struct lock *lock) {
    struct search search = {.locks = fl->locks, .asker = lock};
    fl->locks->n_searches++;
    bool found = leads_back(&search, fl, lock);
    while (!found && search.todo != NULL) {
        struct lock_waiter *w = search.todo;
        search.todo = w->todo;
        found = leads_back(&search, w->fl, w->lock);
    }
    return found;
}

/* ---- waiting ---- */

static int sleep_until_changed(struct file_locks *fl, struct lock_wish *wish) {
    wish->asleep = true;
    int status = task_wait(&fl->changed);
    wish->asleep = false;
    return status;
}

static int64_t pause_ns(const struct file_locks *fl, int64_t since_ns) {
    int64_t ns = (mount_now_ns(fl->file->mount) - since_ns) / 8;
    ns = ns < LOCKS_PAUSE_MIN_NS ? LOCKS_PAUSE_MIN_NS : ns;
    return ns > LOCKS_PAUSE_MAX_NS ? LOCKS_PAUSE_MAX_NS : ns;
}

/* One look at the row for all who wait for locks of other mounts. */
static int look_after(struct file_locks *fl, struct lock_wish *wish, int64_t since_ns) {
    fl->looked_after = true;
    wish->asleep = true;
    int status = task_sleep(pause_ns(fl, since_ns));
    wish->asleep = false;
    if (status == 0) {
        status = file_locks_look(fl, &wish->lock);
        task_set_deadline(task_self(), 0);
    }
    fl->looked_after = false;
    task_wake_all(&fl->changed);
    return status;
}

static int wait_listed(struct file_locks *fl, struct lock_wish *wish, int64_t since_ns) {
    int status = 0;
    task_set_deadline(task_self(), 0);
    while (status == 0 && !fl->locks->stopping) {
        wish->lock.mount = fl->locks->lease.id;
        if (lock_table_conflict(&fl->ours, &wish->lock) != NULL) {
            status = sleep_until_changed(fl, wish);
        } else if (lock_table_conflict(&fl->others, &wish->lock) == NULL) {
            return 0;
        } else {
            status =
                fl->looked_after ? sleep_until_changed(fl, wish) : look_after(fl, wish, since_ns);
        }
    }
    return status == 0 ? ERR_INTERRUPTED : status;
}

int lock_wait(struct file_locks *fl, struct lock_wish *wish, int64_t since_ns) {
    struct locks *locks = fl->locks;
    if (locks->n_waiters >= LOCKS_WAITERS_MAX) {
        return ERR_NO_LOCKS;
    }
    wish->lock.mount = locks->lease.id;
    if (wish->lock.kind == LOCK_POSIX && is_deadlock(fl, &wish->lock)) {
        return ERR_DEADLOCK;
    }
    struct lock_waiter waiter = {
        .next = locks->waiters, .task = task_self(), .fl = fl, .lock = &wish->lock};
    locks->waiters = &waiter;
    locks->n_waiters++;
    int status = wait_listed(fl, wish, since_ns);
    struct lock_waiter **link = &locks->waiters;
    while (*link != &waiter) {
        link = &(*link)->next;
    }
    *link = waiter.next;
    locks->n_waiters--;
    return status != 0 && locks->stopping ? ERR_CLOSED : status;
}

void lock_waits_interrupt(struct locks *locks) {
    for (struct lock_waiter *w = locks->waiters; w != NULL; w = w->next) {
        task_interrupt(w->task);
    }
}
