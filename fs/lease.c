/* lease: this mount's lease, and what this mount makes of the leases of others. */
#include "fs/lease.h"

#include <stdlib.h>

#define MS_NS 1000000

static void choose_id(struct lease *lease) {
    struct store *store = lease->mount->config.store;
    do {
        bytes_store_u64(lease->id.bytes, store->random(store->self));
        bytes_store_u64(lease->id.bytes + 8, store->random(store->self));
    } while (id128_is_zero(&lease->id));
}

void lease_init(struct lease *lease) {
    choose_id(lease);
}

void lease_release(struct lease *lease) {
    lease_row_release(&lease->row);
    for (int i = 0; i < LEASE_WATCHED_MAX; i++) {
        free((void *)(uintptr_t)lease->watched[i].seen.data);
        lease->watched[i] = (struct watched){0};
    }
}

int64_t lease_now_ns(const struct lease *lease) {
    return lease->now_ns(lease->clock);
}

/* ---- our own ---- */

bool lease_overdue(const struct lease *lease) {
    return lease->live && lease_now_ns(lease) - lease->renewed_ns >= lease->length_ns / 3 * 2;
}

/* Before the first lock is held for it. */
static void keep(struct lease *lease) {
    if (lease->kept != NULL) {
        lease->kept->id = lease->id;
        survivor_publish(&lease->kept->valid, 1);
    }
}

int lease_resume(struct lease *lease) {
    struct id128 id = lease->kept->id;
    struct lease_row row = {0};
    int64_t sent_ns = lease_now_ns(lease);
    int status = lease_read(lease->mount->config.ns, &id, &row);
    if (status == 0) {
        status = lease_renew(lease->mount->config.ns, &id, &row);
    }
    if (status != 0) {
        lease_row_release(&row);
        return status;
    }
    lease->id = id;
    lease->row = row;
    lease->renewed_ns = sent_ns;
    lease->live = true;
    return 0;
}

int lease_ensure(struct lease *lease) {
    while (lease->making) {
        int status = task_wait(&lease->made);
        if (status != 0) {
            return status;
        }
    }
    if (lease->live) {
        return 0;
    }
    lease->making = true;
    struct lease_row row = {.lease_ms = (uint32_t)(lease->length_ns / MS_NS)};
    int64_t sent_ns = lease_now_ns(lease);
    int status = lease_make(lease->mount->config.ns, &lease->id, &row);
    if (status == 0) {
        lease->row = row;
        lease->renewed_ns = sent_ns;
        lease->live = true;
        keep(lease);
    } else {
        choose_id(lease); /* it may have been made after all: nothing was held under it */
        lease_row_release(&row);
    }
    lease->making = false;
    task_wake_all(&lease->made);
    return status == ERR_CONFLICT ? ERR_UNKNOWN : status;
}

int lease_renew_now(struct lease *lease) {
    struct id128 id = lease->id;
    struct lease_row row = {lease->row.lease_ms, bytes_copy(lease->row.seen)};
    int64_t sent_ns = lease_now_ns(lease);
    int status = lease_renew(lease->mount->config.ns, &id, &row);
    if (status == 0 && lease->live && id128_equal(&id, &lease->id)) {
        lease_row_release(&lease->row);
        lease->row = row;
        lease->renewed_ns = sent_ns;
    } else {
        lease_row_release(&row);
        status = id128_equal(&id, &lease->id) ? status : 0;
    }
    return status;
}

void lease_drop(struct lease *lease) {
    if (lease->kept != NULL) {
        survivor_publish(&lease->kept->valid, 0);
    }
    lease->live = false;
    lease_row_release(&lease->row);
    choose_id(lease);
}

void lease_give_up(struct lease *lease) {
    if (!lease->live) {
        return;
    }
    struct id128 id = lease->id;
    struct lease_row row = lease->row;
    lease->row = (struct lease_row){0};
    lease_drop(lease);
    lease_end(lease->mount->config.ns, &id, &row); /* else others wait until it is due */
    lease_row_release(&row);
}

/* ---- of others ---- */

/* The slot of a mount, or the one to be used for it. */
static struct watched *find(struct lease *lease, const struct id128 *mount) {
    struct watched *oldest = &lease->watched[0];
    for (int i = 0; i < LEASE_WATCHED_MAX; i++) {
        struct watched *watched = &lease->watched[i];
        if (id128_equal(&watched->mount, mount)) {
            return watched;
        }
        oldest = watched->looked_ns < oldest->looked_ns ? watched : oldest;
    }
    return oldest;
}

static void forget(struct watched *watched) {
    free((void *)(uintptr_t)watched->seen.data);
    *watched = (struct watched){0};
}

/* Whether it is time to end it: unchanged since long enough, as a reading has shown that began at
 * `began_ns`. */
static bool is_due(struct lease *lease, const struct id128 *mount, const struct lease_row *row,
                   int64_t began_ns) {
    struct watched *watched = find(lease, mount);
    bool same = id128_equal(&watched->mount, mount) && bytes_equal(watched->seen, row->seen);
    if (!same) {
        forget(watched);
        watched->mount = *mount;
        watched->seen = bytes_copy(row->seen);
        watched->since_ns = lease_now_ns(lease);
    }
    watched->looked_ns = lease_now_ns(lease);
    return same && began_ns - watched->since_ns >= (int64_t)row->lease_ms * MS_NS;
}

int lease_judge(struct lease *lease, const struct id128 *mount, bool *ret_ended) {
    struct namespace *ns = lease->mount->config.ns;
    struct watched *watched = find(lease, mount);
    int64_t began_ns = lease_now_ns(lease);
    if (id128_equal(&watched->mount, mount) && began_ns - watched->looked_ns < LEASE_LOOK_NS) {
        *ret_ended = false;
        return 0;
    }
    struct lease_row row = {0};
    int status = lease_read(ns, mount, &row);
    bool ended = status == ERR_NO_ENTRY;
    if (status == 0 && is_due(lease, mount, &row, began_ns)) {
        status = lease_end(ns, mount, &row);
        ended = status == 0;
        status = status == ERR_CONFLICT ? 0 : status;
    }
    lease_row_release(&row);
    if (ended) {
        watched = find(lease, mount);
        if (id128_equal(&watched->mount, mount)) {
            forget(watched);
        }
        status = 0;
    }
    if (status == 0) {
        *ret_ended = ended;
    }
    return status;
}
