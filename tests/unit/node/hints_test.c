/* hints: what stand-ins keep for replicas that are away, and how it gets there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/blob.h"
#include "node/core/hints.h"
#include "node/core/rowkey.h"
#include "shared/err.h"
#include "shared/hint_report.h"
#include "tests/lib/rows_of.h"

enum { AWAY_MS = 1300, BACK_MS = 1500 };

/* Five nodes, three replicas; of the partition "p" these hold it, and these stand in, in order. */
struct scene {
    struct cluster *c;
    uint16_t home[3];
    uint16_t beyond[2];
};

static struct scene scene_repairing(uint16_t n_nodes, uint32_t round_ms) {
    struct scene s = {.c = cluster_new_repairing(n_nodes, 3, round_ms)};
    const struct ring *ring = cluster_ring(s.c);
    uint16_t slice = ring_slice(ring, bytes_of_string("p"));
    uint16_t beyond[2] = {0};
    uint16_t n = ring_beyond(ring, slice, beyond, 2);
    for (int i = 0; i < 3; i++) {
        s.home[i] = ring->members[ring_preference(ring, slice)[i]].id;
    }
    for (int i = 0; i < n; i++) {
        s.beyond[i] = ring->members[beyond[i]].id;
    }
    return s;
}

static struct scene scene_of(uint16_t n_nodes) {
    return scene_repairing(n_nodes, 0);
}

static void go_away(struct scene *s, uint16_t id) {
    cluster_crash(s->c, id, false);
    cluster_advance(s->c, AWAY_MS);
}

static void come_back(struct scene *s, uint16_t id) {
    cluster_start(s->c, id);
    cluster_advance(s->c, BACK_MS);
}

static uint64_t hints_on(struct scene *s, uint16_t id) {
    return cluster_stat(s->c, id, "hints");
}

static uint32_t hint_keys_on(struct scene *s, uint16_t id) {
    uint32_t n = 0;
    struct disk_mem *disk = cluster_disk(s->c, id);
    for (uint32_t i = 0; i < disk_mem_size(disk); i++) {
        n += disk_mem_at(disk, i).key.data[0] == 'h' ? 1 : 0;
    }
    return n;
}

static struct write put(struct scene *s, const char *sort_key, const char *value) {
    return (struct write){.node = s->home[0], .sort_key = sort_key, .value = value};
}

/* How many replicas the write was acknowledged by. */
static int do_put(struct scene *s, struct write write, uint8_t *ret_answered) {
    uint64_t ticket = ask_write(s->c, &write);
    int status = wait_for(s->c, ticket);
    struct batch_reply reply;
    if (status == 0 && ret_answered != NULL) {
        assert_int_equal(batch_reply_decode(cluster_answer(s->c, ticket).payload, &reply), 0);
        assert_int_equal(reply.needed, 2);
        *ret_answered = reply.answered;
        batch_reply_release(&reply);
    }
    return status;
}

static struct hint_report report_of(struct scene *s, uint16_t node) {
    struct message ask = {.type = MESSAGE_HINTS, .budget_ms = 1000};
    struct cluster_answer answer = cluster_call(s->c, node, &ask);
    struct hint_report report;
    assert_int_equal(answer.status, 0);
    assert_int_equal(hint_report_decode(answer.payload, &report), 0);
    return report;
}

/* ---- a stand-in ---- */

static void a_write_reaches_a_replica_that_was_away_without_anybody_reading(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    uint8_t answered = 0;
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), &answered), 0);
    assert_int_equal(do_put(&s, put(&s, "b", NULL), NULL), 0);
    assert_int_equal(answered, 2);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 2);
    assert_int_equal(hints_on(&s, s.beyond[1]), 0);
    come_back(&s, s.home[2]);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    assert_int_equal(stored_row(s.c, s.home[2], NULL, "b").n_siblings, 1);
    assert_int_equal(hints_on(&s, s.beyond[0]), 0);
    assert_int_equal(hint_keys_on(&s, s.beyond[0]), 0);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_delivered"), 2);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_bytes"), 0);
    cluster_free(s.c);
}

static void one_replica_and_a_stand_in_make_a_quorum_and_the_answer_says_so(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    uint8_t answered = 0;
    go_away(&s, s.home[1]);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), &answered), 0);
    assert_int_equal(answered, 1);
    assert_int_equal(cluster_stat(s.c, s.home[0], "stood_in"), 1);
    /* Each replica has a stand-in of its own. */
    assert_int_equal(hints_on(&s, s.beyond[0]) + hints_on(&s, s.beyond[1]), 2);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    /* Even with the coordinator's disk gone for good the write is not. */
    cluster_crash(s.c, s.home[0], true);
    cluster_start(s.c, s.home[1]);
    come_back(&s, s.home[2]);
    struct seen_row row = do_get(s.c, s.home[1], NULL, "a", 0);
    assert_string_equal(row.value, "1");
    cluster_free(s.c);
}

static void conditions_and_level_all_know_no_stand_ins(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[1]);
    struct write all = put(&s, "a", "1");
    all.flags = LEVEL_ALL;
    assert_int_equal(do_put(&s, all, NULL), ERR_UNAVAILABLE);
    go_away(&s, s.home[2]);
    struct write absent = put(&s, "b", "1");
    absent.condition = ROW_IF_ABSENT;
    assert_int_equal(do_put(&s, absent, NULL), ERR_UNAVAILABLE);
    cluster_advance(s.c, 10);
    assert_int_equal(hints_on(&s, s.beyond[0]) + hints_on(&s, s.beyond[1]), 0);
    assert_int_equal(do_get(s.c, s.home[0], NULL, "a", 0).status, ERR_UNAVAILABLE);
    cluster_free(s.c);
}

static void too_few_stand_ins_are_too_few(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[1]);
    go_away(&s, s.home[2]);
    go_away(&s, s.beyond[0]);
    go_away(&s, s.beyond[1]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), ERR_UNAVAILABLE);
    assert_int_equal(stored_row(s.c, s.home[0], NULL, "a").n_siblings, 0);
    cluster_free(s.c);
}

static void stand_ins_alone_take_nothing(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    for (int i = 0; i < 3; i++) {
        go_away(&s, s.home[i]);
    }
    struct write write = put(&s, "a", "1");
    write.node = s.beyond[0];
    assert_int_equal(do_put(&s, write, NULL), ERR_UNAVAILABLE);
    assert_int_equal(hints_on(&s, s.beyond[0]) + hints_on(&s, s.beyond[1]), 0);
    cluster_free(s.c);
}

static void a_silent_replica_gets_a_stand_in_when_the_write_needs_one(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    uint8_t answered = 0;
    cluster_lose(s.c, s.home[1], MESSAGE_REPLICATE);
    cluster_lose(s.c, s.home[2], MESSAGE_REPLICATE);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), &answered), 0);
    assert_int_equal(answered, 1);
    /* Both answer all the while, so they have it soon. */
    cluster_advance(s.c, BACK_MS);
    assert_string_equal(stored_row(s.c, s.home[1], NULL, "a").value, "1");
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    assert_int_equal(hints_on(&s, s.beyond[0]) + hints_on(&s, s.beyond[1]), 0);
    cluster_free(s.c);
}

static void a_replica_that_refuses_gets_a_stand_in(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    disk_mem_fail(cluster_disk(s.c, s.home[1]), DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    disk_mem_fail(cluster_disk(s.c, s.home[2]), DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_advance(s.c, BACK_MS);
    assert_string_equal(stored_row(s.c, s.home[1], NULL, "a").value, "1");
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    cluster_free(s.c);
}

/* ---- durability ---- */

static void what_a_stand_in_acknowledged_survives_its_machine(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[1]);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    uint64_t bytes = cluster_stat(s.c, s.beyond[0], "hints_bytes");
    assert_true(bytes > 0);
    cluster_crash(s.c, s.beyond[0], true);
    cluster_start(s.c, s.beyond[0]);
    cluster_advance(s.c, 10);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_bytes"), bytes);
    come_back(&s, s.home[1]);
    come_back(&s, s.home[2]);
    assert_string_equal(stored_row(s.c, s.home[1], NULL, "a").value, "1");
    assert_int_equal(hint_keys_on(&s, s.beyond[0]), 0);
    cluster_free(s.c);
}

static void hints_go_only_when_the_replica_has_the_rows_on_its_disk(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_start(s.c, s.home[2]);
    cluster_pause_disk(s.c, s.home[2], true);
    cluster_advance(s.c, 4 * BACK_MS);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    struct hint_report report = report_of(&s, s.beyond[0]);
    assert_int_equal(report.n_targets, 1);
    assert_int_equal(report.targets[0].state, HINTS_RETRYING);
    assert_int_equal(report.targets[0].last_error, -ERR_TIMEOUT);
    hint_report_release(&report);
    cluster_crash(s.c, s.home[2], true);
    cluster_pause_disk(s.c, s.home[2], false);
    assert_int_equal(stored_row(s.c, s.home[2], NULL, "a").n_siblings, 0);
    come_back(&s, s.home[2]);
    cluster_advance(s.c, 2 * BACK_MS);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    cluster_crash(s.c, s.home[2], true); /* and not by its log alone */
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    cluster_free(s.c);
}

static void a_hint_that_grows_while_it_is_handed_over_stays(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_hold(s.c, 0, MESSAGE_HANDOFF | MESSAGE_REPLY);
    cluster_lose(s.c, s.home[2], MESSAGE_REPLICATE);
    come_back(&s, s.home[2]);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    /* The second write needs a stand-in too. */
    cluster_lose(s.c, s.home[1], MESSAGE_REPLICATE);
    assert_int_equal(do_put(&s, put(&s, "a", "2"), NULL), 0);
    cluster_release(s.c);
    cluster_advance(s.c, 3 * BACK_MS);
    assert_int_equal(stored_row(s.c, s.home[2], NULL, "a").n_siblings, 2);
    assert_int_equal(hints_on(&s, s.beyond[0]) + hints_on(&s, s.beyond[1]), 0);
    cluster_free(s.c);
}

/* ---- bounds ---- */

static void a_row_written_often_is_one_hint(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[2]);
    for (int i = 0; i < 50; i++) {
        struct write write = put(&s, "a", i == 49 ? "last" : "x");
        write.condition = ROW_OVERWRITE;
        assert_int_equal(do_put(&s, write, NULL), 0);
    }
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_stored"), 50);
    assert_true(cluster_stat(s.c, s.beyond[0], "hints_bytes") < 200);
    come_back(&s, s.home[2]);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "last");
    cluster_free(s.c);
}

static void beyond_its_share_a_hint_is_dropped_and_the_slice_marked(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    uint16_t slice = ring_slice(cluster_ring(s.c), bytes_of_string("p"));
    /* 4,000 bytes of hints, half of them for one replica. */
    disk_mem_set_space(cluster_disk(s.c, s.beyond[0]), 20000, 40000);
    go_away(&s, s.beyond[1]);
    go_away(&s, s.home[2]);
    char value[901] = {0};
    memset(value, 'v', 900);
    assert_int_equal(do_put(&s, put(&s, "a", value), NULL), 0);
    assert_int_equal(do_put(&s, put(&s, "b", value), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 2);
    assert_false(slice_needs_repair(cluster_node(s.c, s.home[0]), slice, s.home[2]));
    assert_int_equal(do_put(&s, put(&s, "c", value), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 2);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_dropped"), 1);
    /* The coordinator, which is asked no more of than a name, has room; until it has none. */
    assert_int_equal(hints_on(&s, s.home[0]), 1);
    assert_false(slice_needs_repair(cluster_node(s.c, s.home[0]), slice, s.home[2]));
    disk_mem_set_space(cluster_disk(s.c, s.home[0]), 20000, 50);
    assert_int_equal(do_put(&s, put(&s, "e", value), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.home[0]), 1);
    assert_true(slice_needs_repair(cluster_node(s.c, s.home[0]), slice, s.home[2]));
    assert_int_equal(cluster_stat(s.c, s.home[0], "slices_marked"), 1);
    slice_repaired(cluster_node(s.c, s.home[0]), slice, s.home[2]);
    assert_int_equal(cluster_stat(s.c, s.home[0], "slices_marked"), 0);
    struct hint_report report = report_of(&s, s.beyond[0]);
    assert_int_equal(report.bytes_max, 4000);
    assert_int_equal(report.target_max, 2000);
    assert_int_equal(report.targets[0].dropped, 2);
    assert_int_equal(report.targets[0].state, HINTS_WAITING);
    hint_report_release(&report);
    /* What is handed over makes room. */
    come_back(&s, s.home[2]);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "d", value), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    cluster_free(s.c);
}

static void a_slice_is_marked_until_repair_has_found_it_equal(void **state) {
    (void)state;
    struct scene s = scene_repairing(3, 500);
    uint16_t slice = ring_slice(cluster_ring(s.c), bytes_of_string("p"));
    disk_mem_set_space(cluster_disk(s.c, s.home[0]), 20000, 50); /* no room for a name */
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_advance(s.c, 2000);
    assert_true(slice_needs_repair(cluster_node(s.c, s.home[0]), slice, s.home[2]));
    come_back(&s, s.home[2]);
    cluster_advance(s.c, 8000);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    assert_false(slice_needs_repair(cluster_node(s.c, s.home[0]), slice, s.home[2]));
    cluster_free(s.c);
}

static void on_laid(struct disk_commit *commit, int status) {
    (void)commit;
    assert_int_equal(status, 0);
}

/* Makes the only hint on a disk, whose node is down, one that has been kept since 1970. */
static void age_hint(struct scene *s, uint16_t node) {
    struct disk_mem *disk = cluster_disk(s->c, node);
    uint32_t index = 0;
    while (disk_mem_at(disk, index).key.data[0] != 'h') {
        index++;
    }
    struct bytes key = bytes_copy(disk_mem_at(disk, index).key);
    struct buffer value = {0};
    struct bytes kept, versions;
    uint64_t stored_ns;
    assert_int_equal(blob_check(disk_mem_at(disk, index).value, &kept), 0);
    assert_int_equal(hint_value_take(kept, &stored_ns, &versions), 0);
    hint_value_put(&value, 1, versions);
    struct blob *blob = blob_new(buffer_bytes(&value));
    struct disk_put put = {.key = key, .value = blob_stored(blob)};
    struct disk_commit commit = {.puts = &put, .n = 1, .synced = true, .done = on_laid};
    disk_mem_disk(disk)->commit(disk_mem_disk(disk)->self, &commit);
    disk_mem_run(disk);
    blob_unref(blob);
    buffer_release(&value);
    free((void *)(uintptr_t)key.data);
}

static void a_replica_that_is_away_too_long_gets_only_what_an_answer_hangs_on(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[1]);
    go_away(&s, s.beyond[1]);
    assert_int_equal(do_put(&s, put(&s, "old", "0"), NULL), 0);
    cluster_stop(s.c, s.beyond[0]);
    age_hint(&s, s.beyond[0]);
    come_back(&s, s.beyond[0]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "hints_dropped"), 1);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "b", "2"), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 2);
    cluster_free(s.c);
}

static void a_hint_is_taken_by_stand_ins_only_and_never_malformed(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    struct buffer payload = {0};
    struct hint_request hint = {.target = s.home[1], .batch = bytes_of_string("nonsense")};
    hint_request_encode(&hint, &payload);
    struct message message = {.type = MESSAGE_HINT,
                              .id = 64,
                              .budget_ms = 500,
                              .key = bytes_of_string("p"),
                              .payload = buffer_bytes(&payload)};
    uint64_t bad = cluster_stat(s.c, s.beyond[0], "messages_bad");
    cluster_inject(s.c, s.home[0], s.beyond[0], &message);
    cluster_run(s.c);
    assert_int_equal(cluster_stat(s.c, s.beyond[0], "messages_bad"), bad + 1);
    cluster_inject(s.c, s.home[0], s.home[2], &message); /* a replica of its own */
    message.payload = bytes_of_string("x");
    cluster_inject(s.c, s.home[0], s.beyond[0], &message);
    cluster_run(s.c);
    for (uint16_t id = 1; id <= 5; id++) {
        assert_int_equal(hints_on(&s, id), 0);
    }
    buffer_release(&payload);
    cluster_free(s.c);
}

/* ---- no stand-in ---- */

static void without_a_stand_in_the_coordinator_remembers_which_rows_to_bring(void **state) {
    (void)state;
    struct scene s = scene_of(3);
    go_away(&s, s.home[2]);
    char value[61] = {0};
    memset(value, 'v', 60);
    assert_int_equal(do_put(&s, put(&s, "a", value), NULL), 0);
    assert_int_equal(do_put(&s, put(&s, "b", "2"), NULL), 0);
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.home[0]), 2);
    assert_true(cluster_stat(s.c, s.home[0], "hints_bytes") < 40); /* names alone */
    assert_true(hints_exist_for_slice(cluster_node(s.c, s.home[0]),
                                      ring_slice(cluster_ring(s.c), bytes_of_string("p"))));
    go_away(&s, s.home[1]);
    assert_int_equal(do_put(&s, put(&s, "c", "3"), NULL), ERR_UNAVAILABLE);
    come_back(&s, s.home[2]);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, value);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "b").value, "2");
    assert_int_equal(hint_keys_on(&s, s.home[0]), 0);
    cluster_free(s.c);
}

static void a_thousand_rows_are_handed_over_page_by_page(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[2]);
    struct row_op ops[200];
    char keys[200][8];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 200; i++) {
            snprintf(keys[i], sizeof keys[i], "%d", round * 200 + i);
            ops[i] = (struct row_op){.kind = ROW_PUT,
                                     .sort_key = bytes_of_string(keys[i]),
                                     .value = bytes_of_string("v")};
        }
        assert_int_equal(do_batch(s.c, &(struct write){.node = s.home[0]}, ops, 200), 0);
    }
    cluster_advance(s.c, 5);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1000);
    come_back(&s, s.home[2]);
    assert_int_equal(hints_on(&s, s.beyond[0]), 0);
    assert_int_equal(cluster_stat(s.c, s.home[2], "handoffs_received"), 4);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "999").value, "v");
    cluster_free(s.c);
}

static void a_node_stops_cleanly_while_it_hands_over(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[2]);
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), 0);
    cluster_lose(s.c, s.home[2], MESSAGE_HANDOFF);
    come_back(&s, s.home[2]);
    cluster_stop(s.c, s.beyond[0]);
    cluster_release(s.c);
    come_back(&s, s.beyond[0]);
    assert_string_equal(stored_row(s.c, s.home[2], NULL, "a").value, "1");
    cluster_free(s.c);
}

static void what_cannot_be_stored_is_not_acknowledged(void **state) {
    (void)state;
    struct scene s = scene_of(5);
    go_away(&s, s.home[1]);
    go_away(&s, s.home[2]);
    for (int i = 0; i < 2; i++) {
        disk_mem_fail(cluster_disk(s.c, s.beyond[i]), DISK_MEM_COMMIT_SYNCED, ERR_NO_SPACE, 1);
    }
    assert_int_equal(do_put(&s, put(&s, "a", "1"), NULL), ERR_UNKNOWN);
    cluster_advance(s.c, 5);
    assert_int_equal(hint_keys_on(&s, s.beyond[0]) + hint_keys_on(&s, s.beyond[1]), 0);
    /* What they count is counted anew, and then they take hints again. */
    cluster_advance(s.c, 2000);
    assert_int_equal(hints_on(&s, s.beyond[0]), 0);
    assert_int_equal(do_put(&s, put(&s, "a", "2"), NULL), 0);
    assert_int_equal(hints_on(&s, s.beyond[0]), 1);
    cluster_free(s.c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_reaches_a_replica_that_was_away_without_anybody_reading),
        cmocka_unit_test(one_replica_and_a_stand_in_make_a_quorum_and_the_answer_says_so),
        cmocka_unit_test(conditions_and_level_all_know_no_stand_ins),
        cmocka_unit_test(too_few_stand_ins_are_too_few),
        cmocka_unit_test(stand_ins_alone_take_nothing),
        cmocka_unit_test(a_silent_replica_gets_a_stand_in_when_the_write_needs_one),
        cmocka_unit_test(a_replica_that_refuses_gets_a_stand_in),
        cmocka_unit_test(what_a_stand_in_acknowledged_survives_its_machine),
        cmocka_unit_test(hints_go_only_when_the_replica_has_the_rows_on_its_disk),
        cmocka_unit_test(a_hint_that_grows_while_it_is_handed_over_stays),
        cmocka_unit_test(a_row_written_often_is_one_hint),
        cmocka_unit_test(beyond_its_share_a_hint_is_dropped_and_the_slice_marked),
        cmocka_unit_test(a_slice_is_marked_until_repair_has_found_it_equal),
        cmocka_unit_test(a_replica_that_is_away_too_long_gets_only_what_an_answer_hangs_on),
        cmocka_unit_test(a_hint_is_taken_by_stand_ins_only_and_never_malformed),
        cmocka_unit_test(without_a_stand_in_the_coordinator_remembers_which_rows_to_bring),
        cmocka_unit_test(a_thousand_rows_are_handed_over_page_by_page),
        cmocka_unit_test(a_node_stops_cleanly_while_it_hands_over),
        cmocka_unit_test(what_cannot_be_stored_is_not_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
