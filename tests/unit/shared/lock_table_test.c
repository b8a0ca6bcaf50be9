/* lock_table: ranges merge, split and exclude each other as fcntl(2) says. */
#include "shared/lock_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/dice.h"

static struct lock lock_of(uint64_t owner, enum lock_type type, uint64_t first, uint64_t last) {
    return (struct lock){.mount = {{1}},
                         .owner = owner,
                         .pid = (uint32_t)owner,
                         .kind = LOCK_POSIX,
                         .type = (uint8_t)type,
                         .first = first,
                         .last = last};
}

static int set(struct lock_table *table, uint64_t owner, enum lock_type type, uint64_t first,
               uint64_t last) {
    struct lock lock = lock_of(owner, type, first, last);
    int status = lock_table_set(table, &lock);
    lock_table_check(table);
    return status;
}

static bool conflicts(const struct lock_table *table, uint64_t owner, enum lock_type type,
                      uint64_t first, uint64_t last) {
    struct lock lock = lock_of(owner, type, first, last);
    return lock_table_conflict(table, &lock) != NULL;
}

static void a_lock_given_up_in_the_middle_leaves_both_ends(void **state) {
    (void)state;
    struct lock_table table = {0};
    set(&table, 1, LOCK_EXCLUSIVE, 0, LOCK_TO_END);
    set(&table, 1, LOCK_NONE, 10, 19);
    assert_int_equal(table.n, 2);
    assert_int_equal(table.locks[0].last, 9);
    assert_int_equal(table.locks[1].first, 20);
    assert_true(table.locks[1].last == LOCK_TO_END);
    assert_false(conflicts(&table, 2, LOCK_EXCLUSIVE, 10, 19));
    assert_true(conflicts(&table, 2, LOCK_SHARED, 19, 20));
    lock_table_release(&table);
}

static void locks_of_one_type_that_touch_are_one(void **state) {
    (void)state;
    struct lock_table table = {0};
    set(&table, 1, LOCK_SHARED, 0, 9);
    set(&table, 1, LOCK_SHARED, 20, LOCK_TO_END);
    set(&table, 2, LOCK_SHARED, 5, 25);
    assert_int_equal(table.n, 3);
    set(&table, 1, LOCK_SHARED, 10, 19);
    assert_int_equal(table.n, 2);
    assert_true(table.locks[0].last == LOCK_TO_END);
    lock_table_release(&table);
}

static void another_type_replaces_the_part_it_covers(void **state) {
    (void)state;
    struct lock_table table = {0};
    set(&table, 1, LOCK_SHARED, 0, 99);
    set(&table, 1, LOCK_EXCLUSIVE, 40, 59);
    assert_int_equal(table.n, 3);
    assert_false(conflicts(&table, 2, LOCK_SHARED, 0, 39));
    assert_true(conflicts(&table, 2, LOCK_SHARED, 39, 40));
    set(&table, 1, LOCK_SHARED, 40, 59);
    assert_int_equal(table.n, 1);
    lock_table_release(&table);
}

static void nobody_is_in_his_own_way_nor_in_the_way_of_the_other_kind(void **state) {
    (void)state;
    struct lock_table table = {0};
    set(&table, 1, LOCK_EXCLUSIVE, 0, LOCK_TO_END);
    assert_false(conflicts(&table, 1, LOCK_EXCLUSIVE, 5, 5));
    struct lock flock = lock_of(2, LOCK_EXCLUSIVE, 0, LOCK_TO_END);
    flock.kind = LOCK_FLOCK;
    assert_null(lock_table_conflict(&table, &flock));
    struct lock elsewhere = lock_of(1, LOCK_SHARED, 5, 5);
    elsewhere.mount.bytes[0] = 2; /* the same number on another mount is somebody else */
    assert_non_null(lock_table_conflict(&table, &elsewhere));
    lock_table_release(&table);
}

static void a_table_is_full_at_its_bound_and_can_be_emptied(void **state) {
    (void)state;
    struct lock_table table = {0};
    for (uint64_t i = 0; i < LOCK_TABLE_MAX; i++) {
        assert_int_equal(set(&table, 1, LOCK_EXCLUSIVE, 4 * i, 4 * i + 2), 0);
    }
    assert_int_equal(set(&table, 2, LOCK_SHARED, 3, 3), ERR_NO_LOCKS);
    assert_int_equal(set(&table, 1, LOCK_NONE, 1, 1), ERR_NO_LOCKS); /* it would split one */
    assert_int_equal(table.n, LOCK_TABLE_MAX);
    assert_int_equal(set(&table, 1, LOCK_EXCLUSIVE, 3, 3), 0); /* it joins two */
    assert_int_equal(set(&table, 1, LOCK_NONE, 0, LOCK_TO_END), 0);
    assert_int_equal(table.n, 0);
    lock_table_release(&table);
}

/* ---- against a table of bytes ---- */
enum { BYTES = 40, OWNERS = 3, STEPS = 20000 };

struct model {
    uint8_t types[OWNERS][BYTES + 1]; /* the last one: everything behind */
};

static bool model_conflicts(const struct model *model, const struct lock *lock) {
    for (uint64_t at = lock->first; at <= BYTES && at <= lock->last; at++) {
        for (uint64_t owner = 0; owner < OWNERS; owner++) {
            uint8_t held = model->types[owner][at];
            if (owner != lock->owner && held != LOCK_NONE &&
                (held == LOCK_EXCLUSIVE || lock->type == LOCK_EXCLUSIVE)) {
                return true;
            }
        }
    }
    return false;
}

static void assert_is_model(const struct lock_table *table, const struct model *model) {
    struct model told = {0};
    for (uint32_t i = 0; i < table->n; i++) {
        const struct lock *lock = &table->locks[i];
        for (uint64_t at = lock->first; at <= BYTES && at <= lock->last; at++) {
            told.types[lock->owner][at] = lock->type;
        }
    }
    assert_memory_equal(&told, model, sizeof told);
}

static struct lock random_lock(struct dice *dice) {
    uint64_t a = dice_below(dice, BYTES), b = dice_below(dice, BYTES);
    struct lock lock = lock_of(dice_below(dice, OWNERS), (enum lock_type)dice_below(dice, 3),
                               a < b ? a : b, a < b ? b : a);
    if (dice_below(dice, 5) == 0) {
        lock.last = LOCK_TO_END;
    }
    return lock;
}

static void a_random_history_is_what_a_table_of_bytes_says(void **state) {
    (void)state;
    struct dice dice;
    dice_init(&dice, 7, DICE_OP, 0);
    struct lock_table table = {0};
    struct model model = {0};
    for (int step = 0; step < STEPS; step++) {
        struct lock lock = random_lock(&dice);
        bool excluded = lock.type != LOCK_NONE && model_conflicts(&model, &lock);
        assert_int_equal(lock_table_conflict(&table, &lock) != NULL, excluded);
        if (!excluded) {
            assert_int_equal(lock_table_set(&table, &lock), 0);
            for (uint64_t at = lock.first; at <= BYTES && at <= lock.last; at++) {
                model.types[lock.owner][at] = lock.type;
            }
        }
        lock_table_check(&table);
        assert_is_model(&table, &model);
    }
    lock_table_release(&table);
}

/* ---- the value of a row ---- */

static void a_table_comes_back_as_it_was_encoded_and_cut_short_it_is_refused(void **state) {
    (void)state;
    struct lock_table table = {0}, back = {0};
    struct buffer encoded = {0};
    set(&table, 1, LOCK_SHARED, 0, 9);
    set(&table, 2, LOCK_SHARED, 3, LOCK_TO_END);
    lock_table_encode(&table, &encoded);
    assert_int_equal(lock_table_decode(buffer_bytes(&encoded), &back), 0);
    assert_int_equal(back.n, 2);
    assert_true(back.locks[1].last == LOCK_TO_END);
    assert_int_equal(back.locks[1].pid, 2);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(lock_table_decode(bytes_of(encoded.data, size), &back), ERR_INVALID);
    }
    buffer_put_u8(&encoded, 0);
    assert_int_equal(lock_table_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    assert_int_equal(back.n, 2);
    buffer_release(&encoded);
    lock_table_release(&table);
    lock_table_release(&back);
}

static int decode_with(size_t at, uint8_t value) {
    struct lock_table table = {0}, back = {0};
    struct buffer encoded = {0};
    set(&table, 1, LOCK_SHARED, 0, 9);
    set(&table, 1, LOCK_EXCLUSIVE, 10, 19);
    lock_table_encode(&table, &encoded);
    encoded.data[at] = value;
    int status = lock_table_decode(buffer_bytes(&encoded), &back);
    buffer_release(&encoded);
    lock_table_release(&table);
    lock_table_release(&back);
    return status;
}

static void values_that_break_the_invariants_are_refused(void **state) {
    (void)state;
    assert_int_equal(decode_with(0, 1), 0);                         /* as it was */
    assert_int_equal(decode_with(0, 2), ERR_INVALID);               /* version */
    assert_int_equal(decode_with(31, 3), ERR_INVALID);              /* kind */
    assert_int_equal(decode_with(32, 0), ERR_INVALID);              /* type */
    assert_int_equal(decode_with(32, LOCK_EXCLUSIVE), ERR_INVALID); /* two that should be one */
    assert_int_equal(decode_with(33, 10), ERR_INVALID);             /* ends before it begins */
    assert_int_equal(decode_with(41, 10), ERR_INVALID);             /* overlaps the next */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_given_up_in_the_middle_leaves_both_ends),
        cmocka_unit_test(locks_of_one_type_that_touch_are_one),
        cmocka_unit_test(another_type_replaces_the_part_it_covers),
        cmocka_unit_test(nobody_is_in_his_own_way_nor_in_the_way_of_the_other_kind),
        cmocka_unit_test(a_table_is_full_at_its_bound_and_can_be_emptied),
        cmocka_unit_test(a_random_history_is_what_a_table_of_bytes_says),
        cmocka_unit_test(a_table_comes_back_as_it_was_encoded_and_cut_short_it_is_refused),
        cmocka_unit_test(values_that_break_the_invariants_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
