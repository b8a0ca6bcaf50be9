/* namespace_move: what a rename between partitions leaves when it is under way: waiting for it,
 * finishing it, undoing it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/sweep_barrier.h"
#include "shared/task.h"

/* The order of such a rename (namespace_rename.c), M = the move's txid:
 *
 *   1. source:       record, marked moving (M, where to)      the source is frozen from here on
 *   2. destination:  record, arrived (M, where from)          the commit point
 *   3. directories:  the header's back-pointer
 *   4. source:       tombstone
 *
 * Whoever meets a marked source looks at the destination. Arrived by M: steps 3 and 4 remain, and
 * anyone may do them. Not arrived: it belongs to its client for MOVE_ABANDONED_NS_SECONDS. After
 * that it is undone: first the destination's row is touched (a tombstone, or the same record
 * again), which makes step 2 fail if it is still to come, for it expects the row as it was before
 * step 1; then the mark is taken off. Step 2 thus cannot follow an undo, whatever the clocks say.
 *
 * An exchange writes in step 2, beside the record that arrives, the one that it displaces, and in
 * step 4 puts that into the source's place.
 *
 * The destination's record could be removed or moved on before step 4, and then nobody could tell
 * any more that the move had been committed: so whoever removes a record that has arrived does step
 * 4 first (move_source_gone). */
enum { MOVE_POLL_NS = 20 * 1000 * 1000 };

static bool arrived_by(const struct entry *there, const struct record_move *move) {
    return id128_equal(&there->record.arrival.txid, &move->txid);
}

int back_pointer_set(struct namespace *ns, const struct id128 *child, const struct id128 *from,
                     const struct id128 *parent, const char *name) {
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        struct header_row row;
        err = header_read(ns, child, &row);
        if (err < 0) {
            return err;
        }
        if (row.found && row.header.state == DIRECTORY_LIVE &&
            id128_equal(&row.header.parent, from)) {
            row.header.parent = *parent;
            memcpy(row.header.name, name, strlen(name) + 1);
            err = header_write(ns, child, &row, 0);
        }
        free((void *)row.seen.data);
    }
    return err;
}

/* Step 4 of an exchange: what stood at the destination takes the source's place. */
static int put_back(struct namespace *ns, struct entry *source, struct bytes displaced) {
    struct record record;
    if (record_decode(displaced, &record) < 0) {
        return ERR_CORRUPT;
    }
    int err = barrier_note(ns, &record);
    return err < 0 ? err : entry_replace(ns, source, &record, 0);
}

/* Step 4, on the row as it is now: a mark that was only written again is still to be taken. */
static int source_settle(struct namespace *ns, const struct entry *source, struct bytes displaced) {
    struct entry now;
    entry_copy(source, &now);
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        if (i > 0) {
            entry_release(&now);
            err = entry_read(ns, &source->directory, source->name, &now);
        }
        if (i > 0 && (err < 0 || !now.record.move.under_way ||
                      !id128_equal(&now.record.move.txid, &source->record.move.txid))) {
            err = err == ERR_NO_ENTRY ? 0 : err; /* somebody else did it */
            break;
        }
        err =
            displaced.size > 0 ? put_back(ns, &now, displaced) : entry_delete(ns, &now, NULL, NULL);
        err = err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
    }
    entry_release(&now);
    return err;
}

/* Step 3 for the directory that an exchange brought back. */
static int displaced_point(struct namespace *ns, const struct entry *source,
                           struct bytes displaced) {
    struct record record = {0};
    if (displaced.size > 0 && record_decode(displaced, &record) < 0) {
        return ERR_CORRUPT;
    }
    return S_ISDIR(record.mode)
               ? back_pointer_set(ns, &record.directory, &source->record.move.to_directory,
                                  &source->directory, source->name)
               : 0;
}

int move_finish(struct namespace *ns, const struct entry *source, struct bytes displaced) {
    const struct record_move *move = &source->record.move;
    int err = displaced_point(ns, source, displaced);
    if (err == 0 && S_ISDIR(source->record.mode)) {
        err = back_pointer_set(ns, &source->record.directory, &source->directory,
                               &move->to_directory, move->to_name);
    }
    return err < 0 ? err : source_settle(ns, source, displaced);
}

int move_unmark(struct namespace *ns, const struct entry *source) {
    struct entry back;
    entry_copy(source, &back);
    struct record record = back.record;
    record.move = (struct record_move){0};
    int err = entry_replace(ns, &back, &record, 0);
    entry_release(&back);
    return err;
}

/* What a rename listed that nobody makes any more, or removed for its client: out of the list. */
static void list_settle(struct namespace *ns, const struct record *record,
                        const struct id128 *directory, const char *name) {
    if (record->contents_kind == CONTENTS_LINKED) {
        link_give_back(ns, record->file_id, directory, name);
    }
}

/* move_finish() in place of the client. */
static int finish_for(struct namespace *ns, const struct entry *source, struct bytes displaced) {
    const struct record_move *move = &source->record.move;
    int err = move_finish(ns, source, displaced);
    if (err == 0) {
        list_settle(ns, &source->record, &source->directory, source->name);
    }
    struct record back;
    if (err == 0 && displaced.size > 0 && record_decode(displaced, &back) == 0) {
        list_settle(ns, &back, &move->to_directory, move->to_name);
    }
    return err;
}

bool move_abandoned(struct namespace *ns, uint64_t started_ns) {
    int64_t age = (int64_t)(ns->store->wall_ns(ns->store->self) - started_ns);
    int64_t limit = (int64_t)MOVE_ABANDONED_NS_SECONDS * 1000 * 1000 * 1000;
    return age > limit || age < -limit; /* a start far ahead is somebody's wrong clock */
}

int move_settle(struct namespace *ns, const struct entry *source, enum standing *ret) {
    const struct record_move *move = &source->record.move;
    struct entry there;
    *ret = STANDING_HERE;
    if (!move->under_way) {
        return 0;
    }
    int err = entry_read(ns, &move->to_directory, move->to_name, &there);
    if (err == 0 && arrived_by(&there, move)) {
        *ret = STANDING_SETTLED;
        err = finish_for(ns, source, there.record.displaced);
    } else if (err < 0 && err != ERR_NO_ENTRY) {
        *ret = STANDING_MOVING;
    } else if (!move_abandoned(ns, move->started_ns)) {
        *ret = STANDING_MOVING;
        err = 0;
    } else {
        *ret = STANDING_SETTLED;
        err = entry_refuse(ns, &there); /* step 2 cannot follow any more */
        err = err < 0 ? err : move_unmark(ns, source);
        if (err == 0) {
            list_settle(ns, &source->record, &move->to_directory, move->to_name);
            list_settle(ns, &there.record, &source->directory, source->name);
        }
    }
    entry_release(&there);
    /* Another client was faster with one of the rows: they are to be read again. */
    return err == ERR_CONFLICT || err == ERR_NO_ENTRY ? 0 : err;
}

int namespace_settle_rename(struct namespace *ns, const struct id128 *from_directory,
                            const char *from_name, const struct id128 *to_directory,
                            const char *to_name) {
    struct entry source;
    int err = entry_read(ns, from_directory, from_name, &source);
    struct record_move *move = &source.record.move;
    if (err == 0 && move->under_way && id128_equal(&move->to_directory, to_directory) &&
        strcmp(move->to_name, to_name) == 0) {
        enum standing standing;
        move->started_ns = 0; /* as long ago as can be */
        err = move_settle(ns, &source, &standing);
    }
    entry_release(&source);
    return err == ERR_NO_ENTRY ? 0 : err;
}

int move_source_gone(struct namespace *ns, const struct record *record) {
    const struct record_arrival *arrival = &record->arrival;
    if (id128_is_zero(&arrival->txid)) {
        return 0;
    }
    struct entry source;
    int err = entry_read(ns, &arrival->from_directory, arrival->from_name, &source);
    if (err == 0 && source.record.move.under_way &&
        id128_equal(&source.record.move.txid, &arrival->txid)) {
        err = finish_for(ns, &source, record->displaced);
    }
    entry_release(&source);
    return err == ERR_NO_ENTRY || err == ERR_CORRUPT ? 0 : err;
}

int entry_read_settled(struct namespace *ns, const struct id128 *directory, const char *name,
                       struct entry *ret) {
    int err = conflict_make_real(ns, directory, name);
    if (err < 0) {
        *ret = (struct entry){0};
        return err;
    }
    for (;;) {
        enum standing standing;
        err = entry_read(ns, directory, name, ret);
        if (err < 0) {
            return err;
        }
        if (ret->n_conflicts > 0) {
            entry_release(ret);
            err = conflicts_settle(ns, directory, name);
            if (err < 0) {
                return err;
            }
            continue;
        }
        err = entry_stands(ns, ret, &standing);
        if (err < 0 || standing == STANDING_HERE) {
            return err;
        }
        entry_release(ret);
        err = standing == STANDING_MOVING ? task_sleep(MOVE_POLL_NS) : 0;
        if (err < 0) {
            return err;
        }
    }
}
