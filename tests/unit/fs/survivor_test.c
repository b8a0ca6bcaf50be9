/* survivor: what was put in is found by the next to attach, whenever the last one ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fs/survivor.h"
#include "shared/err.h"

static void *memory_made(void) {
    void *memory = mmap(NULL, survivor_size(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static struct survivor *attach(void *memory) {
    struct survivor *survivor;
    assert_int_equal(survivor_attach(memory, &survivor), 0);
    return survivor;
}

static const struct id128 directory = {{1, 2}}, parent = {{3, 4}};

static struct survivor_inode *put(struct survivor *survivor, struct survivor_inode *old,
                                  uint64_t ino, const char *name) {
    struct survivor_place place = {ino, false, &directory, &parent, name};
    return survivor_put(survivor, old, &place);
}

struct found {
    uint32_t n;
    uint64_t ino;
    uint32_t sequence;
    char name[NAME_SIZE_MAX + 1];
};

static void note(void *context, struct survivor_inode *inode, const char *name) {
    struct found *found = context;
    found->n++;
    if (inode->sequence >= found->sequence) {
        found->ino = inode->ino;
        found->sequence = inode->sequence;
        snprintf(found->name, sizeof found->name, "%s", name);
    }
}

static struct found look(void *memory) {
    struct found found = {0};
    struct survivor *survivor = attach(memory);
    survivor_each(survivor, note, &found);
    survivor_detach(survivor);
    return found;
}

static void names_of_every_length_are_found_again(void **state) {
    (void)state;
    void *memory = memory_made();
    for (size_t size = 1; size <= NAME_SIZE_MAX; size++) {
        char name[NAME_SIZE_MAX + 1] = {0};
        for (size_t i = 0; i < size; i++) {
            name[i] = (char)('a' + i % 26);
        }
        struct survivor *survivor = attach(memory);
        struct survivor_inode *inode = put(survivor, NULL, size, name);
        assert_non_null(inode);
        struct found found = look(memory);
        assert_int_equal(found.n, 1);
        assert_true(found.ino == size);
        assert_string_equal(found.name, name);
        survivor_drop(survivor, inode);
        survivor_detach(survivor);
        assert_int_equal(look(memory).n, 0);
    }
    munmap(memory, survivor_size());
}

static void a_move_keeps_what_was_noted(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    struct survivor_inode *inode = put(survivor, NULL, 7, "old");
    inode->n_lookups = 5;
    inode->dirt = SURVIVOR_WRITTEN;
    inode->gone = 1;
    inode = put(survivor, inode, 7, "new");
    assert_true(inode->n_lookups == 5 && inode->dirt == SURVIVOR_WRITTEN && inode->gone == 1);
    struct found found = look(memory);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.name, "new");
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void of_two_places_of_one_inode_the_later_has_the_larger_number(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    put(survivor, NULL, 7, "old");
    put(survivor, NULL, 7, "new"); /* as if it ended before the old one was dropped */
    survivor_detach(survivor);
    struct found found = look(memory);
    assert_int_equal(found.n, 2);
    assert_string_equal(found.name, "new");
    munmap(memory, survivor_size());
}

static void a_slot_that_was_not_published_is_free_again(void **state) {
    (void)state;
    void *memory = memory_made();
    char longest[NAME_SIZE_MAX + 1] = {0};
    memset(longest, 'x', NAME_SIZE_MAX);
    struct survivor *survivor = attach(memory);
    struct survivor_inode *inode = put(survivor, NULL, 7, longest);
    uint32_t n = survivor_header(survivor)->n_inodes;
    survivor_publish(&inode->ino, 0); /* it ended here: the rest of the name lies about */
    survivor_detach(survivor);
    assert_int_equal(look(memory).n, 0);
    survivor = attach(memory);
    assert_non_null(put(survivor, NULL, 8, longest));
    assert_int_equal(survivor_header(survivor)->n_inodes, n);
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void a_damaged_slot_is_left_out(void **state) {
    (void)state;
    void *memory = memory_made();
    char longest[NAME_SIZE_MAX + 1] = {0};
    memset(longest, 'x', NAME_SIZE_MAX);
    struct survivor *survivor = attach(memory);
    put(survivor, NULL, 7, longest)->more = 900000;
    put(survivor, NULL, 8, "short")->name[2] = '\0';
    put(survivor, NULL, 9, "good");
    survivor_detach(survivor);
    struct found found = look(memory);
    assert_int_equal(found.n, 1);
    assert_true(found.ino == 9);
    munmap(memory, survivor_size());
}

static void when_it_is_full_things_are_not_remembered(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    struct survivor_inode *first = put(survivor, NULL, 1, "a");
    survivor_header(survivor)->n_inodes = SURVIVOR_INODES_MAX - 1;
    assert_null(put(survivor, NULL, 2, "b"));
    assert_null(put(survivor, first, 1, "c")); /* not at a wrong place either */
    assert_non_null(put(survivor, NULL, 2, "b"));
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void the_record_of_a_file_without_a_name_is_kept_until_it_is_dropped(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    survivor_put_gone(survivor, 5, bytes_of_string("first"));
    survivor_put_gone(survivor, 5, bytes_of_string("second"));
    survivor_detach(survivor);
    survivor = attach(memory);
    const struct survivor_gone *gone = NULL;
    for (uint32_t i = 0; i < SURVIVOR_GONE_MAX; i++) {
        const struct survivor_gone *found = survivor_gone(survivor, i);
        assert_true(found == NULL || gone == NULL);
        gone = found != NULL ? found : gone;
    }
    assert_non_null(gone);
    assert_true(gone->ino == 5);
    assert_true(bytes_equal(bytes_of(gone->record, gone->size), bytes_of_string("second")));
    survivor_put_gone(survivor, 5, bytes_of(NULL, 0));
    for (uint32_t i = 0; i < SURVIVOR_GONE_MAX; i++) {
        assert_null(survivor_gone(survivor, i));
    }
    for (uint64_t i = 1; i <= 2 * SURVIVOR_GONE_MAX; i++) {
        survivor_put_gone(survivor, i, bytes_of_string("x")); /* what is too much is left out */
    }
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void the_record_of_a_file_that_is_not_stored_yet_is_kept_in_its_slot(void **state) {
    (void)state;
    static const uint8_t large[SURVIVOR_GONE_BYTES + 1];
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    assert_true(survivor_put_unmade(survivor, 3, 5, bytes_of_string("record")));
    assert_true(survivor_put_unmade(survivor, 4, 6, bytes_of_string("other")));
    assert_true(survivor_put_unmade(survivor, 4, 0, bytes_of(NULL, 0)));
    assert_false(survivor_put_unmade(survivor, 7, 8, bytes_of(large, sizeof large)));
    survivor_detach(survivor);
    survivor = attach(memory);
    for (uint32_t i = 0; i < SURVIVOR_UNMADE_MAX; i++) {
        const struct survivor_gone *left = survivor_unmade(survivor, i);
        assert_int_equal(left != NULL, i == 3);
        assert_true(left == NULL || left->ino == 5);
    }
    const struct survivor_gone *left = survivor_unmade(survivor, 3);
    assert_true(bytes_equal(bytes_of(left->record, left->size), bytes_of_string("record")));
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void new_contents_are_kept_until_they_are_dropped_and_the_last_ones_count(void **state) {
    (void)state;
    static const uint8_t large[SURVIVOR_NEW_BYTES + 1];
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    assert_true(survivor_put_new(survivor, 5, bytes_of_string("first")));
    assert_true(survivor_put_new(survivor, 5, bytes_of_string("second")));
    assert_false(survivor_put_new(survivor, 5, bytes_of(large, sizeof large)));
    survivor_detach(survivor);
    survivor = attach(memory);
    const struct survivor_new *new = survivor_find_new(survivor, 5);
    assert_non_null(new);
    assert_true(bytes_equal(bytes_of(new->data, new->size), bytes_of_string("second")));
    assert_null(survivor_find_new(survivor, 6));
    assert_true(survivor_put_new(survivor, 5, bytes_of(NULL, 0)));
    assert_null(survivor_find_new(survivor, 5));
    for (uint64_t i = 1; i <= SURVIVOR_NEW_MAX; i++) {
        assert_true(survivor_put_new(survivor, i, bytes_of(large, SURVIVOR_NEW_BYTES)));
    }
    assert_false(survivor_put_new(survivor, SURVIVOR_NEW_MAX + 1, bytes_of_string("x")));
    assert_true(survivor_put_new(survivor, 1, bytes_of(NULL, 0)));
    assert_true(survivor_put_new(survivor, SURVIVOR_NEW_MAX + 1, bytes_of_string("x")));
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void a_request_that_comes_again_finds_its_first_time(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    struct survivor_request *request = survivor_request(survivor, 10, 111, false);
    survivor_publish(&survivor_request(survivor, 12, 222, false)->unique, 0);
    survivor_detach(survivor);
    survivor = attach(memory);
    assert_ptr_equal(survivor_request(survivor, 10, 333, true), request);
    assert_true(request->began_ns == 111);
    assert_int_equal(request->n_tries, 1);
    survivor_header(survivor)->crashed = 1;
    survivor_request(survivor, 10, 333, true);
    assert_int_equal(request->n_tries, 2);
    assert_true(survivor_request(survivor, 12, 444, true)->began_ns == 444);
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void more_requests_than_there_is_room_for_overwrite_the_oldest(void **state) {
    (void)state;
    void *memory = memory_made();
    struct survivor *survivor = attach(memory);
    for (uint64_t i = 1; i <= 3 * SURVIVOR_REQUESTS_MAX; i++) {
        struct survivor_request *request = survivor_request(survivor, i, (int64_t)i, false);
        assert_true(request->unique == i);
    }
    survivor_detach(survivor);
    munmap(memory, survivor_size());
}

static void memory_of_another_version_is_refused(void **state) {
    (void)state;
    void *memory = memory_made();
    survivor_detach(attach(memory));
    ((struct survivor_header *)memory)->magic++;
    struct survivor *survivor;
    assert_int_equal(survivor_attach(memory, &survivor), ERR_NOT_SUPPORTED);
    munmap(memory, survivor_size());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_every_length_are_found_again),
        cmocka_unit_test(a_move_keeps_what_was_noted),
        cmocka_unit_test(of_two_places_of_one_inode_the_later_has_the_larger_number),
        cmocka_unit_test(a_slot_that_was_not_published_is_free_again),
        cmocka_unit_test(a_damaged_slot_is_left_out),
        cmocka_unit_test(when_it_is_full_things_are_not_remembered),
        cmocka_unit_test(the_record_of_a_file_without_a_name_is_kept_until_it_is_dropped),
        cmocka_unit_test(the_record_of_a_file_that_is_not_stored_yet_is_kept_in_its_slot),
        cmocka_unit_test(new_contents_are_kept_until_they_are_dropped_and_the_last_ones_count),
        cmocka_unit_test(a_request_that_comes_again_finds_its_first_time),
        cmocka_unit_test(more_requests_than_there_is_room_for_overwrite_the_oldest),
        cmocka_unit_test(memory_of_another_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
