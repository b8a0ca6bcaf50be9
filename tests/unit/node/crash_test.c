/* crash: what outlives a crash, a broken disk and a clean stop, and what repairs the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/rowkey.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

static uint64_t epoch(struct cluster *c, uint16_t id) {
    return cluster_stat(c, id, "epoch");
}

static void a_clean_stop_keeps_the_epoch_and_a_crash_raises_it(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t first = epoch(c, 1);
    assert_int_equal(do_write(c, &(struct write){.value = "1"}, NULL), 0);
    cluster_stop(c, 1);
    cluster_start(c, 1);
    assert_int_equal(epoch(c, 1), first);
    cluster_crash(c, 1, false);
    cluster_start(c, 1);
    uint64_t second = epoch(c, 1);
    assert_true(second > first);
    /* The mark of the clean stop counts once. */
    cluster_crash(c, 1, true);
    cluster_start(c, 1);
    assert_true(epoch(c, 1) > second);
    cluster_free(c);
}

static void no_dot_is_given_out_twice_across_stops_and_crashes(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
        /* A second use of a dot would be taken for the first write, and no sibling come of it. */
        assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, (unsigned)i + 1);
        if (i % 2 == 0) {
            cluster_stop(c, 1);
        } else {
            cluster_crash(c, 1, false);
        }
        cluster_start(c, 1);
        cluster_advance(c, 300);
    }
    cluster_free(c);
}

static void a_crash_between_replicate_and_local_commit_loses_nothing_acknowledged(void **state) {
    (void)state;
    const uint8_t conditions[] = {ROW_ANY, ROW_OVERWRITE};
    for (size_t i = 0; i < sizeof conditions; i++) {
        struct cluster *c = cluster_new(3, 3);
        cluster_pause_disk(c, 1, true);
        struct write write = {.value = "kept", .condition = conditions[i], .op = 8};
        uint64_t ticket = ask_write(c, &write);
        cluster_run(c);
        bool loaded = disk_mem_step(cluster_disk(c, 1)) && disk_mem_step(cluster_disk(c, 1));
        assert_true(loaded);
        cluster_run(c);
        /* Its own commit is under way; with two others the eventual write is done already. */
        assert_true(disk_mem_queued(cluster_disk(c, 1)) == 1);
        assert_int_equal(cluster_answer(c, ticket).got, true);
        assert_int_equal(cluster_answer(c, ticket).status, 0);
        cluster_crash(c, 1, false);
        cluster_pause_disk(c, 1, false);
        cluster_start(c, 1);
        cluster_advance(c, 300);
        assert_int_equal(stored_row(c, 1, NULL, NULL).n_siblings, 0);
        struct seen_row row = do_get(c, 1, NULL, NULL, 0);
        assert_string_equal(row.value, "kept");
        /* And the next write of the new epoch stays with it. */
        struct write next = {
            .value = "next", .condition = ROW_IF_MATCH, .seen = row.context, .node = 1};
        assert_int_equal(do_write(c, &next, NULL), 0);
        assert_int_equal(do_get(c, 2, NULL, NULL, LEVEL_ALL).n_siblings, 1);
        cluster_free(c);
    }
}

static void a_write_after_a_restart_does_not_swallow_what_only_others_know(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 1, true);
    uint64_t ticket = ask_write(c, &(struct write){.value = "first"});
    cluster_run(c);
    disk_mem_step(cluster_disk(c, 1));
    disk_mem_step(cluster_disk(c, 1));
    cluster_run(c);
    assert_int_equal(cluster_answer(c, ticket).status, 0);
    cluster_crash(c, 1, false);
    cluster_pause_disk(c, 1, false);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_int_equal(do_write(c, &(struct write){.value = "second"}, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 2);
    cluster_free(c);
}

static void a_synced_write_survives_when_all_machines_lose_power(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write synced = {.value = "synced", .sort_key = "s", .flags = MESSAGE_SYNCED};
    assert_int_equal(do_write(c, &synced, NULL), 0);
    assert_int_equal(do_write(c, &(struct write){.value = "buffered", .sort_key = "b"}, NULL), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_crash(c, id, true);
        assert_string_equal(stored_row(c, id, NULL, "s").value, "synced");
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_start(c, id);
    }
    cluster_advance(c, 300);
    assert_string_equal(do_get(c, 1, NULL, "s", 0).value, "synced");
    assert_int_equal(do_get(c, 1, NULL, "b", 0).n_siblings, 0);
    cluster_free(c);
}

static void a_buffered_write_survives_when_all_processes_die(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_crash(c, id, false);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_start(c, id);
    }
    cluster_advance(c, 300);
    assert_string_equal(do_get(c, 1, NULL, NULL, 0).value, "x");
    cluster_free(c);
}

static void a_stopping_node_ends_what_it_has_begun(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_hold(c, 0, MESSAGE_PROPOSE);
    uint64_t ticket = ask_write(c, &(struct write){.value = "x", .condition = ROW_IF_ABSENT});
    cluster_run(c);
    node_stop(cluster_node(c, 1));
    cluster_run(c);
    assert_int_equal(node_state(cluster_node(c, 1)), NODE_STOPPING);
    assert_int_equal(do_write(c, &(struct write){.value = "y"}, NULL), ERR_UNAVAILABLE);
    cluster_release(c);
    assert_int_equal(wait_for(c, ticket), 0);
    cluster_run(c);
    assert_int_equal(node_state(cluster_node(c, 1)), NODE_STOPPED);
    cluster_free(c);
}

/* The contents of a node's disk, kept while it is down. */
enum { COPY_MAX = 256 };
struct copy {
    struct disk_put puts[COPY_MAX];
    uint32_t n;
};

static void copy_take(struct cluster *c, uint16_t id, struct copy *ret) {
    ret->n = disk_mem_size(cluster_disk(c, id));
    assert_in_range(ret->n, 1, COPY_MAX);
    for (uint32_t i = 0; i < ret->n; i++) {
        struct disk_row row = disk_mem_at(cluster_disk(c, id), i);
        ret->puts[i] =
            (struct disk_put){.key = bytes_copy(row.key), .value = bytes_copy(row.value)};
    }
}

static void on_copied(struct disk_commit *commit, int status) {
    (void)commit;
    assert_int_equal(status, 0);
}

/* Instead of what is there now. */
static void copy_put_back(struct cluster *c, uint16_t id, struct copy *copy) {
    struct disk_mem *mem = cluster_disk(c, id);
    const struct disk *disk = disk_mem_disk(mem);
    struct disk_commit commit = {
        .puts = copy->puts, .n = copy->n, .synced = true, .done = on_copied};
    disk_mem_wipe(mem);
    disk->commit(disk->self, &commit);
    disk_mem_run(mem);
    for (uint32_t i = 0; i < copy->n; i++) {
        free((void *)(uintptr_t)copy->puts[i].key.data);
        free((void *)(uintptr_t)copy->puts[i].value.data);
    }
}

static void an_old_copy_of_a_data_directory_is_found_out(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct copy copy;
    assert_int_equal(do_write(c, &(struct write){.value = "first"}, NULL), 0);
    cluster_stop(c, 1);
    copy_take(c, 1, &copy);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_int_equal(do_write(c, &(struct write){.value = "second"}, NULL), 0);
    cluster_stop(c, 1);
    copy_put_back(c, 1, &copy);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_int_equal(node_state(cluster_node(c, 1)), NODE_SERVING);
    assert_int_equal(do_write(c, &(struct write){.value = "third", .node = 2}, NULL), 0);
    cluster_advance(c, 300);
    assert_int_equal(node_state(cluster_node(c, 1)), NODE_FAILED);
    assert_int_equal(node_failure(cluster_node(c, 1)), ERR_STALE);
    assert_int_equal(cluster_lines(c, "old copy"), 1);
    cluster_crash(c, 1, false);
    assert_int_equal(do_get(c, 2, NULL, NULL, 0).n_siblings, 3);
    cluster_free(c);
}

static void a_node_whose_mark_is_unreadable_does_not_serve(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 1, false);
    assert_true(disk_mem_corrupt(cluster_disk(c, 1), bytes_of_string("mnode")));
    cluster_start(c, 1);
    assert_int_equal(node_state(cluster_node(c, 1)), NODE_FAILED);
    assert_int_equal(node_failure(cluster_node(c, 1)), ERR_CORRUPT);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), ERR_UNAVAILABLE);
    cluster_free(c);
}

/* ---- disks that fail ---- */

static void a_full_disk_on_one_replica_is_not_in_the_way(void **state) {
    (void)state;
    for (uint16_t full = 1; full <= 3; full++) {
        struct cluster *c = cluster_new(3, 3);
        disk_mem_fail(cluster_disk(c, full), DISK_MEM_COMMIT, ERR_NO_SPACE, 1000);
        struct write write = {.value = "x"};
        assert_int_equal(do_write(c, &write, NULL), 0);
        write.condition = ROW_IF_ABSENT;
        write.sort_key = "b";
        assert_int_equal(do_write(c, &write, NULL), 0);
        cluster_advance(c, 5);
        assert_true(cluster_stat(c, full, "commit_errors") > 0);
        assert_string_equal(do_get(c, full, NULL, "b", 0).value, "x");
        cluster_free(c);
    }
}

static void full_disks_answer_no_space_and_go_on_reading(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "old"}, NULL), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        disk_mem_fail(cluster_disk(c, id), DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, ERR_NO_SPACE,
                      100000);
    }
    for (int i = 0; i < 200; i++) {
        struct write write = {.value = "new",
                              .condition = i % 2 == 0 ? ROW_OVERWRITE : ROW_IF_ABSENT,
                              .sort_key = i % 2 == 0 ? "" : "b"};
        assert_int_equal(do_write(c, &write, NULL), ERR_NO_SPACE);
    }
    assert_string_equal(do_get(c, 1, NULL, NULL, 0).value, "old");
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).tally.n_live, 1);
    for (uint16_t id = 1; id <= 3; id++) {
        disk_mem_fail(cluster_disk(c, id), 0, 0, 0);
    }
    do_write(c, &(struct write){.value = "newer", .condition = ROW_OVERWRITE}, NULL);
    cluster_advance(c, 1000);
    assert_int_equal(
        do_write(c, &(struct write){.value = "newer", .condition = ROW_OVERWRITE}, NULL), 0);
    assert_string_equal(do_get(c, 2, NULL, NULL, LEVEL_ALL).value, "newer");
    cluster_free(c);
}

static void a_failed_commit_does_not_make_a_later_write_swallow_it(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_COMMIT, ERR_DISK, 1);
    assert_int_equal(do_write(c, &(struct write){.value = "first"}, NULL), 0);
    cluster_advance(c, 5);
    assert_int_equal(stored_row(c, 1, NULL, NULL).n_siblings, 0);
    assert_int_equal(do_write(c, &(struct write){.value = "second"}, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 2);
    cluster_free(c);
}

static void corrupt(struct cluster *c, uint16_t id, const char *sort_key) {
    struct buffer key = {0};
    struct bytes p = bytes_of_string("p");
    rowkey_put_row(&key, ring_slice(cluster_ring(c), p), p, bytes_of_string(sort_key));
    assert_true(disk_mem_corrupt(cluster_disk(c, id), buffer_bytes(&key)));
    buffer_release(&key);
    /* What the node has in memory would hide it. */
    cluster_stop(c, id);
    cluster_start(c, id);
    cluster_advance(c, 300);
}

static void a_corrupt_row_is_read_from_the_others_and_repaired(void **state) {
    (void)state;
    for (uint16_t asked = 1; asked <= 2; asked++) {
        struct cluster *c = cluster_new(3, 3);
        assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
        corrupt(c, 1, "");
        assert_int_equal(stored_row(c, 1, NULL, NULL).status, ERR_CORRUPT);
        assert_string_equal(do_get(c, asked, NULL, NULL, LEVEL_ONE).value, "x");
        struct seen_row row = do_get(c, asked, NULL, NULL, 0);
        assert_string_equal(row.value, "x");
        cluster_advance(c, 50);
        do_get(c, 2, NULL, NULL, LEVEL_ALL);
        cluster_advance(c, 50);
        assert_int_equal(stored_row(c, 1, NULL, NULL).status, 0);
        assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ONE).tally.n_live, 1);
        cluster_free(c);
    }
}

static void a_corrupt_row_can_be_written_and_is_whole_again(void **state) {
    (void)state;
    for (uint16_t asked = 1; asked <= 2; asked++) {
        struct cluster *c = cluster_new(3, 3);
        struct bytes seen;
        assert_int_equal(do_write(c, &(struct write){.value = "x"}, &seen), 0);
        corrupt(c, 1, "");
        struct write next = {.value = "y", .condition = ROW_IF_MATCH, .seen = seen, .node = asked};
        int status = do_write(c, &next, NULL);
        if (status == ERR_UNAVAILABLE) {
            /* The row is whole, and its partition is being counted. */
            cluster_advance(c, 5);
            status = do_write(c, &next, NULL);
        }
        assert_int_equal(status, 0);
        cluster_advance(c, 50);
        struct seen_row row = stored_row(c, 1, NULL, NULL);
        assert_int_equal(row.status, 0);
        assert_string_equal(row.value, "y");
        assert_int_equal(row.n_siblings, 1);
        cluster_free(c);
    }
}

static void a_corrupt_row_that_nobody_else_has_can_be_written_anew(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 0, MESSAGE_REPLICATE);
    cluster_lose(c, 0, MESSAGE_HANDOFF);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), ERR_UNKNOWN);
    corrupt(c, 1, "");
    cluster_release(c);
    struct write anew = {.value = "y", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &anew, NULL), 0);
    assert_string_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).value, "y");
    cluster_free(c);
}

static bool has_row(struct cluster *c, uint16_t id, const char *sort_key) {
    struct buffer key = {0};
    struct bytes p = bytes_of_string("p");
    rowkey_put_row(&key, ring_slice(cluster_ring(c), p), p, bytes_of_string(sort_key));
    bool has = disk_mem_get(cluster_disk(c, id), buffer_bytes(&key)).size > 0;
    buffer_release(&key);
    return has;
}

static void a_corrupt_row_that_nobody_else_has_goes_when_it_is_read(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 0, MESSAGE_REPLICATE);
    cluster_lose(c, 0, MESSAGE_HANDOFF);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), ERR_UNKNOWN);
    cluster_crash(c, 3, false);
    corrupt(c, 1, "");
    do_get(c, 1, NULL, NULL, 0);
    cluster_advance(c, 500);
    assert_true(has_row(c, 1, "")); /* node 3 may have it */
    cluster_start(c, 3);
    cluster_advance(c, 500);
    do_get(c, 1, NULL, NULL, 0);
    cluster_advance(c, 500);
    assert_false(has_row(c, 1, ""));
    struct seen_row row = do_get(c, 1, NULL, NULL, LEVEL_ALL);
    assert_int_equal(row.status, 0);
    assert_int_equal(row.n_siblings, 0);
    assert_int_equal(row.tally.n_live, 0);
    cluster_free(c);
}

static void corrupt_tally(struct cluster *c, uint16_t id) {
    struct buffer key = {0};
    struct bytes p = bytes_of_string("p");
    rowkey_put_tally(&key, ring_slice(cluster_ring(c), p), p);
    assert_true(disk_mem_corrupt(cluster_disk(c, id), buffer_bytes(&key)));
    buffer_release(&key);
}

static void a_recount_rests_while_a_row_cannot_be_mended(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = "a"}, NULL), 0);
    cluster_advance(c, 10);
    cluster_crash(c, 3, false);
    corrupt_tally(c, 1);
    corrupt(c, 1, "a");
    do_get(c, 1, NULL, "a", LEVEL_ONE);
    cluster_advance(c, 1000);
    assert_int_equal(cluster_stat(c, 1, "recounts"), 0);
    assert_in_range(cluster_stat(c, 1, "corrupt_found"), 2, 10); /* each asks the others */
    cluster_start(c, 3);
    cluster_advance(c, 1000);
    assert_int_equal(cluster_stat(c, 1, "recounts"), 1);
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ONE).tally.n_live, 1);
    cluster_free(c);
}

static void a_corrupt_tally_is_counted_anew(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = names[i]}, NULL), 0);
    }
    struct write gone = {.sort_key = "b", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &gone, NULL), 0);
    cluster_stop(c, 1);
    corrupt_tally(c, 1);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    struct write next = {.value = "x", .sort_key = "d"};
    assert_int_equal(do_write(c, &next, NULL), ERR_UNAVAILABLE);
    cluster_advance(c, 5);
    assert_int_equal(cluster_stat(c, 1, "recounts"), 1);
    assert_int_equal(do_write(c, &next, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ONE).tally.n_live, 3);
    cluster_free(c);
}

static void a_replica_that_is_asked_for_a_row_counts_a_corrupt_tally_anew(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_advance(c, 10);
    cluster_crash(c, 2, false);
    corrupt_tally(c, 2);
    cluster_start(c, 2);
    cluster_advance(c, 300);
    do_get(c, 1, NULL, NULL, LEVEL_ALL);
    cluster_advance(c, 50);
    assert_int_equal(cluster_stat(c, 2, "recounts"), 1);
    cluster_free(c);
}

static void the_tally_is_exact_after_a_corrupt_row_was_replaced(void **state) {
    (void)state;
    for (int deleted = 0; deleted < 2; deleted++) {
        struct cluster *c = cluster_new(3, 3);
        struct write other = {.value = "x", .sort_key = "a"};
        struct write before = {.value = "x", .sort_key = "b", .condition = ROW_OVERWRITE};
        struct write after = {.sort_key = "b", .condition = ROW_OVERWRITE, .node = 2};
        assert_int_equal(do_write(c, &other, NULL), 0);
        assert_int_equal(do_write(c, &before, NULL), 0);
        before.value = NULL;
        after.value = deleted != 0 ? NULL : "y";
        assert_int_equal(deleted != 0 ? 0 : do_write(c, &before, NULL), 0);
        corrupt(c, 1, "b");
        assert_int_equal(do_write(c, &after, NULL), 0);
        cluster_advance(c, 50);
        do_get(c, 2, NULL, "b", LEVEL_ALL);
        cluster_advance(c, 50);
        assert_int_equal(stored_row(c, 1, NULL, "b").status, 0);
        assert_int_equal(cluster_stat(c, 1, "recounts"), 1);
        assert_int_equal(do_get(c, 1, NULL, "b", LEVEL_ONE).tally.n_live, deleted != 0 ? 1 : 2);
        cluster_free(c);
    }
}

static void a_tally_reckoned_from_a_commit_that_failed_is_counted_anew(void **state) {
    (void)state;
    for (int dies = 0; dies < 2; dies++) {
        struct cluster *c = cluster_new(3, 3);
        assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = "a"}, NULL), 0);
        cluster_pause_disk(c, 1, true);
        const char *names[] = {"b", "c"};
        for (int i = 0; i < 2; i++) {
            struct write next = {.value = "x", .sort_key = names[i], .node = 2};
            assert_int_equal(do_write(c, &next, NULL), 0);
        }
        disk_mem_fail(cluster_disk(c, 1), DISK_MEM_COMMIT, ERR_DISK, 1);
        cluster_pause_disk(c, 1, false);
        cluster_advance(c, 50);
        if (dies != 0) {
            cluster_crash(c, 1, false);
            cluster_start(c, 1);
            cluster_advance(c, 300);
        }
        struct seen_row row = do_get(c, 1, NULL, "c", LEVEL_ONE);
        assert_int_equal(row.n_live, 1);
        assert_int_equal(do_get(c, 1, NULL, "b", LEVEL_ONE).n_live, 0);
        assert_int_equal(row.tally.n_live, 2);
        cluster_free(c);
    }
}

static void a_tally_counts_a_row_that_came_with_the_next_commit_only(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write next = {.value = "x", .sort_key = "b", .node = 2};
    cluster_pause_disk(c, 1, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(do_write(c, &next, NULL), 0);
    }
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_COMMIT, ERR_DISK, 1);
    cluster_pause_disk(c, 1, false);
    cluster_advance(c, 50);
    struct seen_row row = do_get(c, 1, NULL, "b", LEVEL_ONE);
    assert_int_equal(row.n_live, 2);
    assert_int_equal(row.tally.n_live, 1);
    cluster_free(c);
}

/* That the tally is not to be trusted did not reach the disk either, which has the one of before.
 */
static void a_row_that_comes_while_the_tally_is_doubted_here_alone_outlives_a_crash(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = "a"}, NULL), 0);
    const char *names[] = {"b", "c"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(do_get(c, 1, NULL, names[i], 0).status, 0); /* in memory from now on */
    }
    cluster_pause_disk(c, 1, true);
    for (int i = 0; i < 2; i++) {
        struct write next = {.value = "x", .sort_key = names[i], .node = 2};
        assert_int_equal(do_write(c, &next, NULL), 0);
    }
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_ANY, ERR_DISK, DISK_MEM_ALWAYS);
    cluster_pause_disk(c, 1, false);
    cluster_advance(c, 50);
    disk_mem_fail(cluster_disk(c, 1), 0, 0, 0);
    cluster_advance(c, 3000);
    cluster_hold(c, 1, MESSAGE_REPAIR);
    assert_int_equal(do_get(c, 2, NULL, "b", LEVEL_ALL).status, 0);
    cluster_pause_disk(c, 1, true);
    cluster_release(c);
    cluster_run(c);
    while (stored_row(c, 1, NULL, "b").n_live == 0) {
        assert_true(disk_mem_step(cluster_disk(c, 1)));
    }
    cluster_crash(c, 1, false);
    cluster_pause_disk(c, 1, false);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    struct write next = {.value = "x", .sort_key = "d"}; /* looks at the tally */
    do_write(c, &next, NULL);
    cluster_advance(c, 50);
    assert_int_equal(do_write(c, &next, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, "b", LEVEL_ONE).tally.n_live, 3);
    cluster_free(c);
}

/* ---- repair ---- */

static void a_read_repairs_a_replica_that_lags(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "1"}, NULL), 0);
    cluster_crash(c, 1, false);
    struct write next = {.value = "2", .node = 2, .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &next, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "1");
    assert_string_equal(do_get(c, 1, NULL, NULL, 0).value, "2");
    cluster_advance(c, 5);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "2");
    cluster_free(c);
}

static void a_read_repairs_the_other_replica_too(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 2, false);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_start(c, 2);
    cluster_advance(c, 300);
    assert_int_equal(stored_row(c, 2, NULL, NULL).n_siblings, 0);
    assert_string_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).value, "x");
    cluster_advance(c, 5);
    assert_string_equal(stored_row(c, 2, NULL, NULL).value, "x");
    cluster_free(c);
}

static void a_deleted_row_stays_deleted_when_a_lagging_replica_returns(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_crash(c, 3, false);
    assert_int_equal(do_write(c, &(struct write){.condition = ROW_OVERWRITE}, NULL), 0);
    cluster_start(c, 3);
    cluster_advance(c, 300);
    struct seen_row row = do_get(c, 3, NULL, NULL, 0);
    assert_int_equal(row.n_live, 0);
    cluster_advance(c, 5);
    assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, 0);
    assert_int_equal(do_get(c, 3, NULL, NULL, LEVEL_ONE).tally.n_live, 0);
    cluster_free(c);
}

static void a_slow_replica_is_not_waited_for(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_hold(c, 2, MESSAGE_READ);
    struct message get = {.type = MESSAGE_GET, .budget_ms = 3000, .key = bytes_of_string("p")};
    for (int i = 0; i < 4; i++) {
        uint64_t ticket = cluster_ask(c, 1, &get);
        cluster_advance(c, 40);
        assert_true(cluster_answer(c, ticket).got);
        assert_int_equal(cluster_answer(c, ticket).status, 0);
    }
    assert_true(cluster_stat(c, 1, "hedges") > 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_stop_keeps_the_epoch_and_a_crash_raises_it),
        cmocka_unit_test(no_dot_is_given_out_twice_across_stops_and_crashes),
        cmocka_unit_test(a_crash_between_replicate_and_local_commit_loses_nothing_acknowledged),
        cmocka_unit_test(a_write_after_a_restart_does_not_swallow_what_only_others_know),
        cmocka_unit_test(a_synced_write_survives_when_all_machines_lose_power),
        cmocka_unit_test(a_buffered_write_survives_when_all_processes_die),
        cmocka_unit_test(a_stopping_node_ends_what_it_has_begun),
        cmocka_unit_test(an_old_copy_of_a_data_directory_is_found_out),
        cmocka_unit_test(a_node_whose_mark_is_unreadable_does_not_serve),
        cmocka_unit_test(a_full_disk_on_one_replica_is_not_in_the_way),
        cmocka_unit_test(full_disks_answer_no_space_and_go_on_reading),
        cmocka_unit_test(a_failed_commit_does_not_make_a_later_write_swallow_it),
        cmocka_unit_test(a_corrupt_row_is_read_from_the_others_and_repaired),
        cmocka_unit_test(a_corrupt_row_can_be_written_and_is_whole_again),
        cmocka_unit_test(a_corrupt_row_that_nobody_else_has_can_be_written_anew),
        cmocka_unit_test(a_corrupt_row_that_nobody_else_has_goes_when_it_is_read),
        cmocka_unit_test(a_recount_rests_while_a_row_cannot_be_mended),
        cmocka_unit_test(a_corrupt_tally_is_counted_anew),
        cmocka_unit_test(a_replica_that_is_asked_for_a_row_counts_a_corrupt_tally_anew),
        cmocka_unit_test(the_tally_is_exact_after_a_corrupt_row_was_replaced),
        cmocka_unit_test(a_tally_reckoned_from_a_commit_that_failed_is_counted_anew),
        cmocka_unit_test(a_tally_counts_a_row_that_came_with_the_next_commit_only),
        cmocka_unit_test(a_row_that_comes_while_the_tally_is_doubted_here_alone_outlives_a_crash),
        cmocka_unit_test(a_read_repairs_a_replica_that_lags),
        cmocka_unit_test(a_read_repairs_the_other_replica_too),
        cmocka_unit_test(a_deleted_row_stays_deleted_when_a_lagging_replica_returns),
        cmocka_unit_test(a_slow_replica_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
