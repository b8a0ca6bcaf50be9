/* sweep_barrier: clients note what they move while a sweep is looking for what has no name. */
#include "shared/sweep_barrier.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/sweep_inside.h"

/* Partition 'g': the barrier in the row with the empty sort key (when it was put up, when its sweep
 * was last heard of, a token of the sweep's), and notes under 'n' and the id, and whose turn it is
 * to sweep under 't'. Clients ask only whether it is there, and compare no clocks: one that a dead
 * sweep has left costs them a row for each rename until the next sweep, and nothing else. */
enum { NOTE_KEY_SIZE = 1 + 16 };
#define SECOND_NS 1000000000ull

static struct key key_barrier(void) {
    return (struct key){.data = {'g'}, .size = 1};
}

static struct key key_note(const struct id128 *id) {
    struct key key = {.data = {'n'}, .size = NOTE_KEY_SIZE};
    memcpy(key.data + 1, id->bytes, sizeof id->bytes);
    return key;
}

static uint64_t wall_ns(const struct namespace *ns) {
    return ns->store->wall_ns(ns->store->self);
}

/* ---- the clients' side ---- */

static int barrier_ask(struct namespace *ns) {
    struct key partition = key_barrier();
    struct store_row row = {0};
    uint64_t now_ns = wall_ns(ns);
    int err = ns->store->get(ns->store->self, key_bytes(&partition), (struct bytes){0},
                             LEVEL_QUORUM, &row);
    if (err == 0) {
        bool up = versions_live(&row.versions) > 0;
        ns->barrier_up_ns = up ? now_ns : 0;
        ns->barrier_down_ns = up ? 0 : now_ns;
        store_row_release(&row);
    }
    return err;
}

static int note_put(struct namespace *ns, const struct id128 *id) {
    struct key partition = key_barrier(), sort = key_note(id);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_OVERWRITE,
                                    .sort_key = key_bytes(&sort),
                                    .value = bytes_of_string("n")};
    int err = commit_run(ns, &partition, &commit, 0);
    commit_release(&commit);
    return err;
}

int barrier_note(struct namespace *ns, const struct record *record) {
    const struct id128 *id = S_ISDIR(record->mode) ? &record->directory : &record->contents;
    if (id128_is_zero(id)) {
        return 0; /* all of it is in the record */
    }
    uint64_t asked_ns = ns->barrier_up_ns | ns->barrier_down_ns; /* one of them is 0 */
    int err = 0;
    if (asked_ns == 0 || wall_ns(ns) - asked_ns > BARRIER_KNOWN_SECONDS * SECOND_NS) {
        err = barrier_ask(ns);
    }
    return err == 0 && ns->barrier_up_ns != 0 ? note_put(ns, id) : err;
}

/* ---- the sweep's side ---- */

static int barrier_write(struct sweep *sweep, uint8_t kind, uint8_t condition) {
    struct key partition = key_barrier();
    struct buffer value = {0};
    uint64_t now_ns = wall_ns(sweep->ns);
    buffer_put_u64(&value, now_ns);
    buffer_put(&value, sweep->token.bytes, sizeof sweep->token.bytes);
    struct commit commit = {.n = 1};
    commit.ops[0] =
        (struct row_op){.kind = kind,
                        .condition = condition,
                        .seen = sweep->barrier_seen,
                        .value = kind == ROW_PUT ? buffer_bytes(&value) : (struct bytes){0}};
    int err = commit_run(sweep->ns, &partition, &commit, 0);
    if (err == 0) {
        free((void *)(uintptr_t)sweep->barrier_seen.data);
        sweep->barrier_seen = commit_context(&commit, 0);
        sweep->renewed_ns = now_ns;
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

int barrier_raise(struct sweep *sweep) {
    sweep->token = namespace_id(sweep->ns);
    int err = barrier_write(sweep, ROW_PUT, ROW_OVERWRITE);
    if (err < 0) {
        sweep->token = (struct id128){{0}};
    }
    return err;
}

int barrier_renew(struct sweep *sweep) {
    uint64_t age_ns = wall_ns(sweep->ns) - sweep->renewed_ns;
    if (age_ns < BARRIER_RENEW_SECONDS * SECOND_NS) {
        return 0;
    }
    int err = barrier_write(sweep, ROW_PUT, ROW_IF_MATCH);
    return err == ERR_CONFLICT ? ERR_BUSY : err;
}

static int take_note(void *context, struct bytes sort_key, const struct versions *versions) {
    struct sweep *sweep = context;
    struct id128 id;
    if (sort_key.size == NOTE_KEY_SIZE && versions_live(versions) > 0) {
        memcpy(id.bytes, sort_key.data + 1, sizeof id.bytes);
        if (!id128_is_zero(&id)) {
            id_table_add(&sweep->index.contents, &id);
        }
    }
    return 0;
}

int barrier_notes(struct sweep *sweep) {
    struct key partition = key_barrier();
    return sweep_rows(sweep, key_bytes(&partition), 0, take_note, sweep);
}

static int note_delete(void *context, struct bytes sort_key, const struct versions *versions) {
    struct sweep *sweep = context;
    struct key partition = key_barrier();
    struct commit commit = {.n = 1};
    commit.ops[0] =
        (struct row_op){.kind = ROW_DELETE, .condition = ROW_OVERWRITE, .sort_key = sort_key};
    if (sort_key.size != NOTE_KEY_SIZE || versions_live(versions) == 0) {
        return 0;
    }
    int err = commit_run(sweep->ns, &partition, &commit, 0);
    commit_release(&commit);
    return err;
}

void barrier_lower(struct sweep *sweep) {
    struct key partition = key_barrier();
    if (id128_is_zero(&sweep->token)) {
        return;
    }
    if (barrier_write(sweep, ROW_DELETE, ROW_IF_MATCH) == 0) {
        sweep_rows(sweep, key_bytes(&partition), 0, note_delete, sweep);
    }
    sweep->token = (struct id128){{0}};
    free((void *)(uintptr_t)sweep->barrier_seen.data);
    sweep->barrier_seen = (struct bytes){0};
}

/* ---- turns, and what is in use without a name ---- */

static int put_and_delete(struct namespace *ns, const struct key *partition,
                          const struct key *sort) {
    const uint8_t kinds[] = {ROW_PUT, ROW_DELETE};
    int err = 0;
    for (int i = 0; i < 2 && err == 0; i++) {
        struct commit commit = {.n = 1};
        commit.ops[0] = (struct row_op){.kind = kinds[i],
                                        .condition = ROW_OVERWRITE,
                                        .sort_key = key_bytes(sort),
                                        .value = kinds[i] == ROW_PUT ? bytes_of_string("u")
                                                                     : (struct bytes){0}};
        err = commit_run(ns, partition, &commit, 0);
        commit_release(&commit);
    }
    return err;
}

int sweep_touch(struct namespace *ns, const struct id128 *contents) {
    /* What counts is that the partition's tally changes. */
    const struct key partition = key_stripe(contents, 0);
    const struct key sort = {.data = {'u'}, .size = 1};
    return put_and_delete(ns, &partition, &sort);
}

static struct key key_turn(void) {
    return (struct key){.data = {'t'}, .size = 1};
}

/* Whether the turn is over that the row tells of. */
static bool turn_over(const struct namespace *ns, const struct versions *versions,
                      uint64_t every_ns) {
    const struct sibling *winner = versions_winner(versions);
    if (winner == NULL || (winner->flags & SIBLING_TOMBSTONE)) {
        return true;
    }
    int64_t age_ns = (int64_t)(wall_ns(ns) - winner->stamp_ns);
    return age_ns > (int64_t)every_ns;
}

int sweep_claim(struct namespace *ns, uint64_t every_ns) {
    struct key partition = key_barrier(), sort = key_turn();
    struct store_row row = {0};
    struct buffer seen = {0};
    int err = ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort), LEVEL_QUORUM,
                             &row);
    if (err < 0) {
        return err;
    }
    if (row.versions.context.n > 0) {
        context_encode(&row.versions.context, &seen);
    }
    err = turn_over(ns, &row.versions, every_ns) ? 0 : ERR_BUSY;
    store_row_release(&row);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = buffer_bytes(&seen),
                                    .value = bytes_of_string("t")};
    err = err < 0 ? err : commit_run(ns, &partition, &commit, 0);
    commit_release(&commit);
    buffer_release(&seen);
    return err == ERR_CONFLICT ? ERR_BUSY : err;
}

int sweep_claim_return(struct namespace *ns) {
    struct key partition = key_barrier(), sort = key_turn();
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){
        .kind = ROW_DELETE, .condition = ROW_OVERWRITE, .sort_key = key_bytes(&sort)};
    int err = commit_run(ns, &partition, &commit, 0);
    commit_release(&commit);
    return err;
}
