/* patch: bytes laid over a row at its steward: nothing that was acknowledged is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/overlay.h"
#include "tests/lib/rows_of.h"

static uint64_t ask_patch(struct cluster *c, const struct write *write, uint32_t offset) {
    struct buffer overlay = {0};
    overlay_add(&overlay, offset, bytes_of_string(write->value));
    struct row_op op = {
        .kind = ROW_PATCH, .condition = ROW_OVERWRITE, .value = buffer_bytes(&overlay)};
    uint64_t ticket = ask_batch(c, write, &op, 1);
    buffer_release(&overlay);
    return ticket;
}

static int patch(struct cluster *c, uint16_t node, uint32_t offset, const char *text) {
    struct write write = {.node = node, .value = text};
    return wait_for(c, ask_patch(c, &write, offset));
}

static int put(struct cluster *c, uint16_t node, const char *text) {
    struct write write = {.node = node, .value = text, .condition = ROW_OVERWRITE};
    return do_write(c, &write, NULL);
}

/* Acknowledged by nodes 2 and 3; node 1, the steward, does not hear of it. */
static void put_past_steward(struct cluster *c, const char *text) {
    cluster_lose(c, 1, MESSAGE_REPLICATE);
    assert_int_equal(put(c, 2, text), 0);
    cluster_release(c);
}

/* At every node the same one version. */
static void assert_row(struct cluster *c, const char *value) {
    for (uint16_t id = 1; id <= 3; id++) {
        struct seen_row row = do_get(c, id, NULL, NULL, LEVEL_ALL);
        assert_int_equal(row.status, 0);
        assert_string_equal(row.value, value);
        assert_int_equal(row.n_siblings, 1);
    }
}

static void a_patch_changes_its_bytes_only(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(put(c, 1, "abcdef"), 0);
    assert_int_equal(patch(c, 1, 2, "CD"), 0);
    assert_int_equal(patch(c, 2, 5, "FGH"), 0);
    assert_int_equal(patch(c, 3, 0, "A"), 0);
    assert_row(c, "AbCDeFGH");
    cluster_free(c);
}

static void a_row_that_is_absent_or_deleted_is_empty(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "new"), 0);
    assert_row(c, "new");
    struct write gone = {.condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &gone, NULL), 0);
    assert_int_equal(patch(c, 1, 0, "N"), 0);
    assert_row(c, "N");
    cluster_free(c);
}

static void a_patch_that_is_asked_again_is_done_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.value = "first", .op = 7};
    assert_int_equal(wait_for(c, ask_patch(c, &write, 0)), 0);
    assert_int_equal(patch(c, 1, 0, "then"), 0);
    write.flags = MESSAGE_RETRY;
    assert_int_equal(wait_for(c, ask_patch(c, &write, 0)), 0);
    write.node = 3;
    assert_int_equal(wait_for(c, ask_patch(c, &write, 0)), 0);
    assert_row(c, "thent");
    cluster_free(c);
}

static void what_a_reader_would_be_shown_of_several_versions_is_patched(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.value = "older"};
    assert_int_equal(do_write(c, &write, NULL), 0);
    write.value = "later";
    assert_int_equal(do_write(c, &write, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, 2);
    assert_int_equal(patch(c, 1, 0, "L"), 0);
    assert_row(c, "Later");
    cluster_free(c);
}

static void in_the_steady_state_a_patch_is_one_message_to_each_other_replica(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "first"), 0);
    cluster_run(c);
    uint64_t second = cluster_stat(c, 2, "messages");
    uint64_t third = cluster_stat(c, 3, "messages");
    struct write write = {.value = "next"};
    uint64_t ticket = ask_patch(c, &write, 0);
    cluster_run(c);
    assert_true(cluster_answer(c, ticket).got);
    assert_int_equal(cluster_stat(c, 2, "messages") - second, 1);
    assert_int_equal(cluster_stat(c, 3, "messages") - third, 1);
    assert_int_equal(cluster_stat(c, 1, "withdrawn"), 0);
    cluster_free(c);
}

/* The steward was away from a put that the two others acknowledged. */
static void a_patch_is_made_of_what_was_acknowledged_without_its_steward(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(put(c, 1, "aaaa"), 0);
    assert_int_equal(patch(c, 1, 1, "-"), 0);
    cluster_advance(c, 10);
    put_past_steward(c, "bbbbbb");
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "a-aa");
    assert_int_equal(patch(c, 1, 2, "--"), 0);
    assert_int_equal(cluster_stat(c, 1, "withdrawn"), 1);
    cluster_advance(c, 300);
    assert_row(c, "bb--bb");
    cluster_free(c);
}

/* The same with one of the two silent: it is not needed to find the put. */
static void one_replica_that_knows_better_is_enough(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "aaaa"), 0);
    cluster_advance(c, 10);
    put_past_steward(c, "bbbb");
    cluster_lose(c, 3, 0);
    assert_int_equal(patch(c, 1, 0, "-"), 0);
    cluster_release(c);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_row(c, "-bbb");
    cluster_free(c);
}

/* What only one replica has was not acknowledged: it may be before the patch or after. */
static void what_was_not_acknowledged_holds_nobody_up(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "aaaa"), 0);
    cluster_advance(c, 10);
    cluster_lose(c, 0, MESSAGE_REPLICATE);
    struct write write = {.node = 2, .value = "bbbb", .condition = ROW_OVERWRITE};
    ask_write(c, &write);
    cluster_run(c);
    cluster_release(c);
    assert_int_equal(patch(c, 1, 0, "-"), 0);
    assert_int_equal(cluster_stat(c, 1, "withdrawn"), 0);
    assert_string_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).value, "-aaa");
    cluster_free(c);
}

/* It was withdrawn, its steward dies, and a replica still had it pending from before. */
static void a_patch_survives_its_steward(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "aaaa"), 0);
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    assert_int_equal(patch(c, 1, 1, "-"), 0);
    cluster_crash(c, 1, false);
    cluster_release(c);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(patch(c, 3, 2, "-"), 0);
    cluster_start(c, 1);
    cluster_advance(c, 500);
    assert_row(c, "a--a");
    cluster_free(c);
}

/* Neither of the two that know better takes it; its steward dies before it hears that. */
static void what_the_others_refuse_is_not_brought_up_again(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(patch(c, 1, 0, "aaaa"), 0);
    cluster_advance(c, 10);
    put_past_steward(c, "bbbb");
    cluster_lose(c, 1, MESSAGE_PROPOSE | MESSAGE_REPLY);
    struct write write = {.value = "-", .flags = MESSAGE_SYNCED};
    ask_patch(c, &write, 0);
    cluster_run(c);
    cluster_crash(c, 1, false);
    cluster_release(c);
    cluster_start(c, 1);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(patch(c, 1, 1, "+"), 0);
    cluster_advance(c, 300);
    assert_row(c, "b+bb");
    cluster_free(c);
}

static void a_synced_patch_is_on_all_disks_when_all_are_asked_for(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.value = "aaaa", .flags = MESSAGE_SYNCED | LEVEL_ALL};
    assert_int_equal(wait_for(c, ask_patch(c, &write, 0)), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_crash(c, id, true);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_trust_disk(c, id);
        cluster_start(c, id);
    }
    cluster_advance(c, 3 * MEMBERSHIP_SUSPECT_MS);
    assert_row(c, "aaaa");
    cluster_free(c);
}

static void several_rows_are_patched_at_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct buffer overlay = {0};
    struct row_op ops[BATCH_PATCHES_MAX + 1];
    static const char *const keys[] = {"a", "b"};
    overlay_add(&overlay, 0, bytes_of_string("x"));
    for (uint32_t i = 0; i < 2; i++) {
        ops[i] = (struct row_op){.kind = ROW_PATCH,
                                 .condition = ROW_OVERWRITE,
                                 .sort_key = bytes_of_string(keys[i]),
                                 .value = buffer_bytes(&overlay)};
    }
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), 0);
    assert_string_equal(do_get(c, 2, NULL, "a", LEVEL_ALL).value, "x");
    assert_string_equal(do_get(c, 3, NULL, "b", LEVEL_ALL).value, "x");
    char many[BATCH_PATCHES_MAX + 1][2];
    for (uint32_t i = 0; i <= BATCH_PATCHES_MAX; i++) {
        many[i][0] = (char)('0' + i);
        ops[i] = ops[0];
        ops[i].sort_key = bytes_of(many[i], 1);
    }
    assert_int_equal(do_batch(c, &(struct write){0}, ops, BATCH_PATCHES_MAX), 0);
    assert_int_equal(do_batch(c, &(struct write){0}, ops, BATCH_PATCHES_MAX + 1), ERR_TOO_BIG);
    buffer_release(&overlay);
    cluster_free(c);
}

/* The disk refuses a put after a patch was made of what it was to hold, and takes the patch. */
static void a_put_that_a_patch_took_in_is_done_when_it_is_asked_again(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    assert_int_equal(put(c, 1, "aaaa"), 0);
    assert_int_equal(patch(c, 1, 3, "-"), 0);
    cluster_pause_disk(c, 1, true);
    struct write lost = {.value = "bbbb", .condition = ROW_OVERWRITE, .op = 9};
    uint64_t put_ticket = ask_write(c, &lost);
    uint64_t patch_ticket = ask_patch(c, &(struct write){.value = "+"}, 1);
    cluster_run(c);
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    cluster_pause_disk(c, 1, false);
    assert_int_equal(wait_for(c, put_ticket), ERR_UNKNOWN);
    assert_int_equal(wait_for(c, patch_ticket), 0);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "b+bb");
    lost.flags = MESSAGE_RETRY;
    assert_int_equal(do_write(c, &lost, NULL), 0);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "b+bb");
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_changes_its_bytes_only),
        cmocka_unit_test(a_row_that_is_absent_or_deleted_is_empty),
        cmocka_unit_test(a_patch_that_is_asked_again_is_done_once),
        cmocka_unit_test(what_a_reader_would_be_shown_of_several_versions_is_patched),
        cmocka_unit_test(in_the_steady_state_a_patch_is_one_message_to_each_other_replica),
        cmocka_unit_test(a_patch_is_made_of_what_was_acknowledged_without_its_steward),
        cmocka_unit_test(one_replica_that_knows_better_is_enough),
        cmocka_unit_test(what_was_not_acknowledged_holds_nobody_up),
        cmocka_unit_test(a_patch_survives_its_steward),
        cmocka_unit_test(what_the_others_refuse_is_not_brought_up_again),
        cmocka_unit_test(a_synced_patch_is_on_all_disks_when_all_are_asked_for),
        cmocka_unit_test(several_rows_are_patched_at_once),
        cmocka_unit_test(a_put_that_a_patch_took_in_is_done_when_it_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
