/* file: reading and writing by two mounts, what reaches the store when, and what failures leave. */
#include <stdio.h>

#include "tests/unit/fs/world.h"

enum { KIB = 1024, MIB = 1 << 20 };

/* ---- visible at close, at once for the first write ---- */

IN_WORLD(the_first_write_is_stored_before_it_returns) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "hello");
    assert_holds(&w->b, "f", "hello");
    put(handle, 5, " world");
    assert_holds(&w->b, "f", "hello");
    close_handle(handle);
    assert_holds(&w->b, "f", "hello world");
}

IN_WORLD(the_first_write_of_a_file_made_with_excl_is_stored_by_close_which_tells_errors) {
    struct handle *handle = create_new(&w->a, "f");
    store_mem_reset_hooks(w->mem);
    put(handle, 0, "hello");
    put(handle, 5, " world");
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_holds(&w->a, "f", "hello world");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_TIMEOUT, false);
    assert_int_equal(handle_flush(handle), ERR_TIMEOUT);
    store_mem_reset_hooks(w->mem);
    close_handle(handle);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_holds(&w->b, "f", "hello world");
}

IN_WORLD(a_first_write_that_fails_says_so_and_does_not_happen_later) {
    struct handle *handle = create(&w->a, "f");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_UNAVAILABLE, false);
    assert_int_equal(handle_write(handle, 0, bytes_of_string("x")), ERR_UNAVAILABLE);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(handle->file->size, 0);
    close_handle(handle);
    assert_holds(&w->b, "f", "");
}

IN_WORLD(a_file_that_is_rewritten_is_never_seen_empty) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "old");
    close_handle(handle);
    handle = open_flags(&w->a, "f", O_WRONLY | O_TRUNC);
    assert_int_equal(handle->file->size, 0);
    assert_holds(&w->b, "f", "old");
    put(handle, 0, "new!");
    assert_holds(&w->b, "f", "new!");
    close_handle(handle);
}

IN_WORLD(a_truncation_alone_arrives_with_close) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "old");
    close_handle(handle);
    handle = open_flags(&w->a, "f", O_WRONLY | O_TRUNC);
    close_handle(handle);
    assert_holds(&w->b, "f", "");
}

IN_WORLD(a_buffered_change_is_written_after_a_second) {
    assert_int_equal(writeback_start(&w->a), 0);
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "a");
    put(handle, 1, "b");
    assert_holds(&w->b, "f", "a");
    task_sleep(2 * SECOND_NS);
    assert_holds(&w->b, "f", "ab");
    handle_release(handle);
}

IN_WORLD(an_error_of_writing_in_the_background_is_told_once) {
    assert_int_equal(writeback_start(&w->a), 0);
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "a");
    put(handle, 1, "b");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_UNAVAILABLE, false);
    task_sleep(SECOND_NS + SECOND_NS / 2);
    assert_int_equal(handle_write(handle, 2, bytes_of_string("c")), ERR_UNAVAILABLE);
    assert_int_equal(handle_write(handle, 2, bytes_of_string("c")), 0);
    close_handle(handle);
    assert_holds(&w->b, "f", "abc");
}

IN_WORLD(a_flush_that_fails_can_be_tried_again) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "a");
    put(handle, 1, "b");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_TIMEOUT, false);
    assert_int_equal(handle_flush(handle), ERR_TIMEOUT);
    close_handle(handle);
    assert_holds(&w->b, "f", "ab");
}

IN_WORLD(an_append_whose_answer_got_lost_is_not_done_twice) {
    struct handle *handle = create(&w->a, "f");
    handle->flags |= O_APPEND;
    put(handle, 0, "a");
    put(handle, 0, "b");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1000, ERR_UNKNOWN, true);
    assert_int_equal(handle_flush(handle), ERR_UNKNOWN);
    store_mem_reset_hooks(w->mem);
    close_handle(handle);
    assert_holds(&w->b, "f", "ab");
}

/* ---- two writers ---- */

/* What an earlier worker has sent arrives while the same is stored once more. */
struct late {
    struct mount *mount;
    const char *line;
    bool done;
};

static void arrive(void *context, enum store_mem_call kind, uint64_t number) {
    struct late *late = context;
    (void)number;
    if (kind == STORE_MEM_BATCH && !late->done) {
        late->done = true;
        struct handle *handle = open_flags(late->mount, "f", O_WRONLY | O_APPEND);
        put(handle, 0, late->line);
        close_handle(handle);
    }
}

static void append_again(struct world *w, size_t size_before) {
    static char before[2 * RECORD_INLINE_MAX];
    char all[sizeof before + 16];
    memset(before, 'b', size_before);
    struct handle *handle = create(&w->a, "f");
    assert_int_equal(handle_write(handle, 0, bytes_of(before, size_before)), 0);
    close_handle(handle);
    struct late late = {.mount = &w->b, .line = "line 1\n"};
    handle = open_flags(&w->a, "f", O_WRONLY | O_APPEND);
    store_mem_before(w->mem, arrive, &late);
    assert_int_equal(handle_write_again(handle, size_before, bytes_of_string(late.line)), 0);
    assert_true(late.done);
    store_mem_reset_hooks(w->mem);
    /* It was done: asked for once more, nothing is stored. */
    assert_int_equal(handle_write_again(handle, size_before, bytes_of_string(late.line)), 0);
    close_handle(handle);
    snprintf(all, sizeof all, "%.*s%s", (int)size_before, before, late.line);
    assert_holds(&w->b, "f", all);
}

IN_WORLD(an_append_that_an_earlier_worker_has_sent_is_not_done_twice) {
    append_again(w, 10);
}

IN_WORLD(nor_is_one_to_a_large_file) {
    append_again(w, RECORD_INLINE_MAX + 100);
}

IN_WORLD(appends_by_two_mounts_both_arrive) {
    struct handle *a = create(&w->a, "log");
    a->flags |= O_APPEND;
    struct handle *b = open_flags(&w->b, "log", O_WRONLY | O_APPEND);
    put(a, 0, "a1 ");
    put(b, 0, "b1 ");
    put(a, 0, "a2 ");
    put(b, 0, "b2 ");
    close_handle(a);
    close_handle(b);
    assert_holds(&w->a, "log", "a1 b1 a2 b2 ");
}

IN_WORLD(appends_that_outgrow_the_record_both_arrive) {
    char big[3000];
    memset(big, 'a', sizeof big);
    struct handle *a = create(&w->a, "log");
    a->flags |= O_APPEND;
    struct handle *b = open_flags(&w->b, "log", O_WRONLY | O_APPEND);
    assert_int_equal(handle_write(a, 0, bytes_of(big, sizeof big)), 0);
    memset(big, 'b', sizeof big);
    assert_int_equal(handle_write(b, 0, bytes_of(big, sizeof big)), 0);
    memset(big, 'c', sizeof big);
    assert_int_equal(handle_write(a, 0, bytes_of(big, sizeof big)), 0);
    close_handle(a);
    close_handle(b);
    struct handle *handle = open_flags(&w->a, "log", O_RDONLY);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_int_equal(size, 9000);
    int n[3] = {0};
    for (size_t i = 0; i < size; i++) {
        n[held[i] - 'a']++;
    }
    assert_int_equal(n[0], 3000);
    assert_int_equal(n[1], 3000);
    assert_int_equal(n[2], 3000);
    free(held);
    handle_release(handle);
}

IN_WORLD(an_open_reader_meets_the_new_contents_not_zeros_when_the_old_are_removed) {
    char *big = malloc(200 * KIB);
    memset(big, 'o', 200 * KIB);
    struct handle *a = create(&w->a, "f");
    assert_int_equal(handle_write(a, 0, bytes_of(big, 200 * KIB)), 0);
    close_handle(a);
    struct handle *reader = open_flags(&w->b, "f", O_RDONLY);
    a = open_flags(&w->a, "f", O_WRONLY | O_TRUNC);
    memset(big, 'n', 200 * KIB);
    assert_int_equal(handle_write(a, 0, bytes_of(big, 200 * KIB)), 0);
    close_handle(a);
    settle();
    uint8_t byte = 0;
    size_t size;
    assert_int_equal(handle_read(reader, 100 * KIB, &byte, 1, &size), 0);
    assert_int_equal(byte, 'n');
    handle_release(reader);
    free(big);
}

/* ---- unlinked, replaced ---- */

IN_WORLD(an_unlinked_file_works_until_its_last_close_and_leaves_nothing) {
    char *big = malloc(MIB);
    memset(big, 'x', MIB);
    uint64_t before = store_mem_live_rows(w->mem, 'b');
    struct handle *handle = create(&w->a, "f");
    assert_int_equal(handle_write(handle, 0, bytes_of(big, MIB / 2)), 0);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    assert_int_equal(handle_write(handle, MIB / 2, bytes_of(big, MIB / 2)), 0);
    assert_int_equal(handle_flush(handle), 0);
    char *read = malloc(MIB);
    size_t size;
    assert_int_equal(handle_read(handle, 0, (uint8_t *)read, MIB, &size), 0);
    assert_int_equal(size, MIB);
    assert_memory_equal(read, big, MIB);
    assert_true(store_mem_live_rows(w->mem, 'b') > before);
    handle_release(handle);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), before);
    free(read);
    free(big);
}

IN_WORLD(rewriting_and_removing_large_files_leaves_no_blocks) {
    char *big = malloc(300 * KIB);
    memset(big, 'x', 300 * KIB);
    for (int i = 0; i < 3; i++) {
        struct handle *handle =
            i == 0 ? create(&w->a, "f") : open_flags(&w->a, "f", O_WRONLY | O_TRUNC);
        assert_int_equal(handle_write(handle, 0, bytes_of(big, 300 * KIB)), 0);
        close_handle(handle);
        settle();
        assert_int_equal(store_mem_live_rows(w->mem, 'b'), 5);
    }
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    free(big);
}

IN_WORLD(contents_whose_removal_failed_are_removed_later) {
    char *big = calloc(1, 300 * KIB);
    struct handle *handle = create(&w->a, "f");
    assert_int_equal(handle_write(handle, 0, bytes_of(big, 300 * KIB)), 0);
    close_handle(handle);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 2, ERR_UNAVAILABLE, false);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 5);
    task_sleep(20 * SECOND_NS);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_int_equal(w->a.n_removals_failed, 0);
    free(big);
}

IN_WORLD(an_append_behind_what_another_mount_has_appended_is_on_no_page_of_the_kernel) {
    struct cache_advice advice;
    struct handle *a = create(&w->a, "f");
    a->flags |= O_APPEND;
    put(a, 0, "aaa");
    struct handle *b = open_flags(&w->b, "f", O_WRONLY | O_APPEND);
    put(b, 3, "bbb");
    close_handle(b);
    struct handle *again = open_flags(&w->a, "f", O_WRONLY | O_APPEND);
    put(again, 3, "ccc"); /* the kernel believes in three bytes still */
    close_handle(again);
    close_handle(a);
    assert_int_equal(handle_open(&w->a, ino_of(&w->a, "f"), O_RDONLY, &again, &advice), 0);
    assert_false(advice.keep);
    handle_release(again);
    assert_holds(&w->b, "f", "aaabbbccc");
}

/* ---- against a model ---- */

static uint32_t dice(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

enum { MODEL_SIZE = 400 * KIB };

struct model {
    uint8_t data[MODEL_SIZE];
    size_t size;
};

static void model_write(struct model *model, size_t offset, const uint8_t *data, size_t size) {
    if (offset > model->size) {
        memset(model->data + model->size, 0, offset - model->size);
    }
    memcpy(model->data + offset, data, size);
    model->size = offset + size > model->size ? offset + size : model->size;
}

static void model_truncate(struct model *model, size_t size) {
    if (size > model->size) {
        memset(model->data + model->size, 0, size - model->size);
    }
    model->size = size;
}

static void check_model(struct mount *mount, struct handle *handle, const struct model *model) {
    uint8_t *read = malloc(MODEL_SIZE + 1);
    size_t size;
    struct stat stat;
    assert_int_equal(handle_read(handle, 0, read, MODEL_SIZE + 1, &size), 0);
    assert_int_equal(size, model->size);
    assert_memory_equal(read, model->data, size);
    assert_int_equal(attributes_get(mount, handle->file->inode->ino, &stat), 0);
    assert_int_equal(stat.st_size, model->size);
    free(read);
}

/* Sizes that like the limits: of a record, of a block. */
static size_t any_size(uint32_t *seed) {
    static const size_t likes[] = {1, 100, 4000, 4096, 4097, 65535, 65536, 65537, 131072, 200000};
    return dice(seed) % 3 == 0 ? dice(seed) % (MODEL_SIZE / 2)
                               : likes[dice(seed) % (sizeof likes / sizeof *likes)];
}

static void any_step(struct mount *mount, struct handle *handle, struct model *model,
                     uint32_t *seed) {
    size_t size = any_size(seed);
    size_t offset = any_size(seed) % (MODEL_SIZE / 2);
    uint8_t *data = malloc(size);
    memset(data, (int)(1 + dice(seed) % 250), size);
    struct stat stat;
    struct attributes_change change = {.mask = ATTRIBUTE_SIZE, .size = size};
    switch (dice(seed) % 8) {
    case 0:
        assert_int_equal(attributes_set(mount, handle->file->inode->ino, &change, &stat), 0);
        model_truncate(model, size);
        break;
    case 1:
        assert_int_equal(
            dice(seed) % 2 ? handle_flush(handle) : handle_fsync(handle, dice(seed) % 2), 0);
        break;
    case 2:
        check_model(mount, handle, model);
        break;
    default:
        if ((handle->flags & O_APPEND) != 0) {
            offset = model->size;
        }
        if (offset + size <= MODEL_SIZE) {
            assert_int_equal(handle_write(handle, offset, bytes_of(data, size)), 0);
            model_write(model, offset, data, size);
        }
    }
    free(data);
}

IN_WORLD(random_writes_and_truncations_by_turns_of_two_mounts_agree_with_a_model) {
    struct model *model = calloc(1, sizeof *model);
    uint32_t seed = 20261121;
    handle_release(create(&w->a, "f"));
    for (int round = 0; round < 150; round++) {
        struct mount *mount = dice(&seed) % 2 ? &w->a : &w->b;
        int flags = O_RDWR | (dice(&seed) % 4 == 0 ? O_APPEND : 0);
        if (dice(&seed) % 8 == 0) {
            flags |= O_TRUNC;
            model->size = 0;
        }
        store_mem_yield(w->mem, dice(&seed) % 2 == 0);
        struct handle *handle = open_flags(mount, "f", flags);
        int n_steps = (int)(dice(&seed) % 12);
        for (int i = 0; i < n_steps; i++) {
            any_step(mount, handle, model, &seed);
        }
        check_model(mount, handle, model);
        close_handle(handle);
    }
    store_mem_yield(w->mem, false);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    free(model);
}

/* ---- bounds ---- */

IN_WORLD(a_large_file_never_sits_in_memory) {
    char *piece = malloc(MIB);
    memset(piece, 'x', MIB);
    store_mem_yield(w->mem, true);
    struct handle *handle = create(&w->a, "f");
    for (uint64_t i = 0; i < 64; i++) {
        assert_int_equal(handle_write(handle, i * MIB, bytes_of(piece, MIB)), 0);
        assert_true(w->a.n_dirty_bytes <= (BLOCKS_SENDING_MAX + BLOCKS_KEPT_MAX + 2) * BLOCK_SIZE);
    }
    close_handle(handle);
    assert_int_equal(w->a.n_dirty_bytes, 0);
    free(piece);
}

IN_WORLD(scattered_small_writes_are_bounded_in_memory) {
    struct handle *handle = create(&w->a, "f");
    for (uint64_t i = 0; i < 300; i++) {
        put(handle, i * 2 * BLOCK_SIZE, "x");
        assert_true(w->a.n_dirty_bytes <= BLOCKS_MAX * BLOCK_SIZE);
    }
    close_handle(handle);
    struct handle *reader = open_flags(&w->b, "f", O_RDONLY);
    uint8_t two[2];
    size_t size;
    for (uint64_t i = 0; i < 299; i++) {
        assert_int_equal(handle_read(reader, i * 2 * BLOCK_SIZE, two, 2, &size), 0);
        assert_memory_equal(two, "x\0", 2);
    }
    handle_release(reader);
}

IN_WORLD(a_file_may_be_sparse_and_has_an_end) {
    struct handle *handle = create(&w->a, "f");
    put(handle, (1ull << 40), "end");
    assert_int_equal(handle_write(handle, FILE_SIZE_MAX, bytes_of_string("x")), ERR_TOO_BIG);
    uint8_t byte = 1;
    size_t size;
    assert_int_equal(handle_read(handle, 12345, &byte, 1, &size), 0);
    assert_int_equal(size, 1);
    assert_int_equal(byte, 0);
    close_handle(handle);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 1);
}

IN_WORLD(writers_of_one_file_take_turns) {
    store_mem_yield(w->mem, true);
    struct handle *one = create(&w->a, "f");
    assert_int_equal(file_lock(one->file), 0);
    task_set_deadline(task_self(), world_now_ns(w->mem) + SECOND_NS);
    assert_int_equal(handle_write(one, 0, bytes_of_string("x")), ERR_TIMEOUT);
    task_set_deadline(task_self(), 0);
    file_unlock(one->file);
    close_handle(one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_write_is_stored_before_it_returns),
        cmocka_unit_test(
            the_first_write_of_a_file_made_with_excl_is_stored_by_close_which_tells_errors),
        cmocka_unit_test(a_first_write_that_fails_says_so_and_does_not_happen_later),
        cmocka_unit_test(a_file_that_is_rewritten_is_never_seen_empty),
        cmocka_unit_test(a_truncation_alone_arrives_with_close),
        cmocka_unit_test(a_buffered_change_is_written_after_a_second),
        cmocka_unit_test(an_error_of_writing_in_the_background_is_told_once),
        cmocka_unit_test(a_flush_that_fails_can_be_tried_again),
        cmocka_unit_test(an_append_whose_answer_got_lost_is_not_done_twice),
        cmocka_unit_test(an_append_that_an_earlier_worker_has_sent_is_not_done_twice),
        cmocka_unit_test(nor_is_one_to_a_large_file),
        cmocka_unit_test(appends_by_two_mounts_both_arrive),
        cmocka_unit_test(appends_that_outgrow_the_record_both_arrive),
        cmocka_unit_test(an_open_reader_meets_the_new_contents_not_zeros_when_the_old_are_removed),
        cmocka_unit_test(an_unlinked_file_works_until_its_last_close_and_leaves_nothing),
        cmocka_unit_test(rewriting_and_removing_large_files_leaves_no_blocks),
        cmocka_unit_test(contents_whose_removal_failed_are_removed_later),
        cmocka_unit_test(
            an_append_behind_what_another_mount_has_appended_is_on_no_page_of_the_kernel),
        cmocka_unit_test(random_writes_and_truncations_by_turns_of_two_mounts_agree_with_a_model),
        cmocka_unit_test(a_large_file_never_sits_in_memory),
        cmocka_unit_test(scattered_small_writes_are_bounded_in_memory),
        cmocka_unit_test(a_file_may_be_sparse_and_has_an_end),
        cmocka_unit_test(writers_of_one_file_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
