/* sweep_locks: leases of mounts that died, and locks that they held. */
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_locks.h"
#include "shared/sweep_inside.h"

enum {
    LEASE_KEY_SIZE = 1 + 16,
    LOCKS_KEY_SIZE = 1 + 8,
    LEASES_MISSED = 2, /* a lease that was not renewed for so many times its length is a dead one */
};

static uint64_t wall_ns(const struct sweep *sweep) {
    return sweep->ns->store->wall_ns(sweep->ns->store->self);
}

/* ---- leases ---- */

/* 0 = it was renewed for the last time long ago. A mount that lives makes the end of it fail all
 * the same, since it renews what was read. */
static int lease_judge(struct sweep *sweep, const struct id128 *mount, uint64_t stamp_ns,
                       struct lease_row *row) {
    int err = lease_read(sweep->ns, mount, row);
    uint64_t limit_ns = (uint64_t)row->lease_ms * LEASES_MISSED * 1000000;
    limit_ns = limit_ns > sweep->config->age_min_ns ? limit_ns : sweep->config->age_min_ns;
    if (err < 0) {
        return err == ERR_NO_ENTRY ? SWEEP_GONE : err;
    }
    return wall_ns(sweep) > stamp_ns + limit_ns ? 0 : SWEEP_GONE;
}

static int take_stamp(void *context, struct bytes sort_key, const struct versions *versions) {
    uint64_t *stamp_ns = context;
    const struct sibling *winner = versions_winner(versions);
    if (sort_key.size == 0 && winner != NULL) {
        *stamp_ns = winner->stamp_ns;
    }
    return 0;
}

static int lease_partition(struct sweep *sweep, const struct partition_tally *partition) {
    struct sweep_finding finding = {.kind = SWEEP_LEASE};
    if (partition->key.size != LEASE_KEY_SIZE || partition->key.data[0] != 'm' ||
        partition->tally.n_live == 0) {
        return 0;
    }
    memcpy(finding.id.bytes, partition->key.data + 1, sizeof finding.id.bytes);
    sweep_find(sweep, &finding);
    return 0;
}

int sweep_repair_lease(struct sweep *sweep, const struct sweep_finding *finding) {
    struct lease_row row = {0};
    uint64_t stamp_ns = UINT64_MAX / 2;
    uint8_t key[LEASE_KEY_SIZE] = {'m'};
    memcpy(key + 1, finding->id.bytes, sizeof finding->id.bytes);
    int err = sweep_rows(sweep, bytes_of(key, sizeof key), 0, take_stamp, &stamp_ns);
    err = err < 0 ? err : lease_judge(sweep, &finding->id, stamp_ns, &row);
    if (err == 0 && sweep->config->repair) {
        err = lease_end(sweep->ns, &finding->id, &row);
        err = err == ERR_CONFLICT ? SWEEP_GONE : err;
    }
    lease_row_release(&row);
    return err;
}

int sweep_read_leases(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, LEASE_KEY_SIZE, lease_partition};
    return sweep_partitions(&walk);
}

/* ---- locks ---- */

static int locks_partition(struct sweep *sweep, const struct partition_tally *partition) {
    struct sweep_finding finding = {.kind = SWEEP_LOCK};
    if (partition->key.size != LOCKS_KEY_SIZE || partition->key.data[0] != 'l' ||
        partition->tally.n_live == 0) {
        return 0;
    }
    bytes_store_u64(finding.id.bytes, key_number(partition->key.data + 1));
    sweep_find(sweep, &finding);
    return 0;
}

/* Takes out the locks of mounts whose lease has ended, which is for good. */
static int drop_dead(struct sweep *sweep, struct lock_table *table, bool *ret_dropped) {
    int err = 0;
    for (uint32_t i = 0; i < table->n && err == 0;) {
        const struct id128 mount = table->locks[i].mount;
        struct lease_row lease = {0};
        err = lease_read(sweep->ns, &mount, &lease);
        lease_row_release(&lease);
        if (err == ERR_NO_ENTRY) {
            err = 0;
            *ret_dropped = lock_table_drop_mount(table, &mount);
            i = 0;
        } else {
            i++;
        }
    }
    return err;
}

int sweep_repair_lock(struct sweep *sweep, const struct sweep_finding *finding) {
    uint64_t ino = bytes_load_u64(finding->id.bytes);
    struct lock_row row = {0};
    struct lock_table table = {0};
    bool dropped = false;
    int err = lock_row_read(sweep->ns, ino, &row);
    if (err == 0) {
        lock_table_copy(&row.table, &table);
        err = drop_dead(sweep, &table, &dropped);
    }
    if (err == 0 && !dropped) {
        err = SWEEP_GONE;
    } else if (err == 0 && sweep->config->repair) {
        err = lock_row_write(sweep->ns, ino, &table, &row);
        err = err == ERR_CONFLICT ? SWEEP_GONE : err; /* somebody else is at it */
    }
    lock_table_release(&table);
    lock_row_release(&row);
    return err;
}

int sweep_read_locks(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, LOCKS_KEY_SIZE, locks_partition};
    return sweep_partitions(&walk);
}
