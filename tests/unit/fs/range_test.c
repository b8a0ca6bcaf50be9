/* range: holes, fallocate, lseek and copies, against a model and across mounts. */
#include "tests/unit/fs/world.h"

#include <linux/falloc.h>
#include <unistd.h>

#include "fs/range.h"

enum { KIB = 1024, MIB = 1 << 20 };
static const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

static uint64_t blocks_of(struct mount *mount, const char *name) {
    struct stat stat;
    assert_int_equal(tree_lookup(mount, ROOT, name, &stat), 0);
    return (uint64_t)stat.st_blocks * 512;
}

static uint64_t seek_to(struct handle *handle, uint64_t offset, int whence) {
    uint64_t found = 0;
    int status = range_seek(handle, offset, whence, &found);
    return status == ERR_NO_DATA ? UINT64_MAX : found;
}

static void fill(struct handle *handle, uint64_t offset, int letter, size_t size) {
    uint8_t *data = malloc(size);
    memset(data, letter, size);
    assert_int_equal(handle_write(handle, offset, bytes_of(data, size)), 0);
    free(data);
}

static void assert_letters(struct handle *handle, uint64_t offset, int letter, size_t size) {
    uint8_t *data = malloc(size);
    size_t got = 0;
    assert_int_equal(handle_read(handle, offset, data, size, &got), 0);
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(data[i], letter);
    }
    free(data);
}

IN_WORLD(a_hole_costs_nothing_and_is_seen_by_all) {
    struct handle *a = create(&w->a, "f");
    assert_int_equal(file_lock(a->file), 0);
    assert_int_equal(file_truncate(a->file, 1ull << 40), 0);
    file_unlock(a->file);
    fill(a, 1ull << 39, 'x', 100 * KIB);
    close_handle(a);
    assert_int_equal(blocks_of(&w->a, "f"), 128 * KIB);
    assert_int_equal(blocks_of(&w->b, "f"), 128 * KIB);
    struct handle *b = open_flags(&w->b, "f", O_RDWR);
    store_mem_reset_hooks(w->mem);
    assert_true(seek_to(b, 0, SEEK_DATA) == 1ull << 39);
    assert_true(seek_to(b, 5, SEEK_HOLE) == 5);
    assert_true(seek_to(b, (1ull << 39) + 7, SEEK_DATA) == (1ull << 39) + 7);
    assert_true(seek_to(b, 1ull << 39, SEEK_HOLE) == (1ull << 39) + 128 * KIB);
    assert_true(seek_to(b, (1ull << 39) + 128 * KIB, SEEK_DATA) == UINT64_MAX);
    assert_true(seek_to(b, 1ull << 40, SEEK_HOLE) == UINT64_MAX);
    assert_letters(b, 1ull << 38, 0, 300 * KIB);
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_int_equal(range_seek(b, 0, SEEK_SET, &(uint64_t){0}), ERR_INVALID);
    handle_release(b);
    assert_int_equal(tree_unlink(&w->b, ROOT, "f"), 0);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_true(store_mem_calls(w->mem) < 20);
}

IN_WORLD(files_without_holes_say_so) {
    struct handle *a = create(&w->a, "f");
    fill(a, 0, 'x', 100 * KIB);
    assert_true(seek_to(a, 0, SEEK_HOLE) == 100 * KIB);
    assert_true(seek_to(a, 70 * KIB, SEEK_DATA) == 70 * KIB);
    close_handle(a);
    assert_int_equal(blocks_of(&w->b, "f"), 100 * KIB);
    a = create(&w->a, "small");
    fill(a, 0, 'x', 10);
    assert_true(seek_to(a, 0, SEEK_HOLE) == 10);
    assert_true(seek_to(a, 10, SEEK_HOLE) == UINT64_MAX);
    close_handle(a);
}

IN_WORLD(a_punched_range_is_zeros_and_is_removed) {
    struct handle *a = create(&w->a, "f");
    fill(a, 0, 'x', MIB);
    close_handle(a);
    a = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(range_allocate(a, punch, 100 * KIB, 500 * KIB), 0);
    close_handle(a);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 9);
    struct handle *b = open_flags(&w->b, "f", O_RDWR);
    assert_letters(b, 0, 'x', 100 * KIB);
    assert_letters(b, 100 * KIB, 0, 500 * KIB);
    assert_letters(b, 600 * KIB, 'x', MIB - 600 * KIB);
    assert_true(seek_to(b, 64 * KIB, SEEK_HOLE) == 128 * KIB);
    assert_true(seek_to(b, 128 * KIB, SEEK_DATA) == 576 * KIB);
    fill(b, 200 * KIB, 'y', 10);
    close_handle(b);
    assert_int_equal(blocks_of(&w->a, "f"), 10 * 64 * KIB);
    a = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(range_allocate(a, punch, 0, 1ull << 40), 0);
    assert_letters(a, 0, 0, MIB);
    close_handle(a);
    assert_int_equal(blocks_of(&w->b, "f"), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
}

static void assert_later(struct handle *a, int mode) {
    int64_t before_ns = a->file->inode->known->entry.record.mtime_ns;
    assert_int_equal(range_allocate(a, mode, 2, 5), 0);
    assert_true(a->file->inode->known->entry.record.mtime_ns > before_ns);
}

IN_WORLD(allocating_what_is_there_changes_the_time_all_the_same) {
    struct handle *a = create(&w->a, "f");
    fill(a, 0, 'x', 10);
    assert_later(a, 0);
    assert_later(a, FALLOC_FL_KEEP_SIZE);
    assert_int_equal(a->file->size, 10);
    close_handle(a);
}

IN_WORLD(clearing_what_is_clear_changes_the_time_all_the_same) {
    struct handle *a = create(&w->a, "f");
    fill(a, 0, 'x', 10);
    int64_t before_ns = a->file->inode->known->entry.record.mtime_ns;
    assert_int_equal(range_allocate(a, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 5 * MIB, KIB),
                     0);
    assert_int_equal(a->file->size, 10);
    assert_true(a->file->inode->known->entry.record.mtime_ns > before_ns);
    close_handle(a);
}

IN_WORLD(allocating_and_zeroing_set_the_size_as_asked) {
    struct handle *a = create(&w->a, "f");
    fill(a, 0, 'x', 10);
    assert_int_equal(range_allocate(a, 0, 0, 5), 0);
    assert_int_equal(a->file->size, 10);
    assert_int_equal(range_allocate(a, FALLOC_FL_KEEP_SIZE, 0, MIB), 0);
    assert_int_equal(a->file->size, 10);
    assert_int_equal(range_allocate(a, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 5, 100), 0);
    assert_int_equal(a->file->size, 10);
    assert_letters(a, 0, 'x', 5);
    assert_letters(a, 5, 0, 5);
    assert_int_equal(range_allocate(a, FALLOC_FL_ZERO_RANGE, 2, MIB), 0);
    assert_int_equal(a->file->size, MIB + 2);
    assert_letters(a, 2, 0, MIB);
    assert_int_equal(range_allocate(a, 0, MIB, MIB), 0);
    assert_int_equal(a->file->size, 2 * MIB);
    assert_int_equal(range_allocate(a, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), ERR_NOT_SUPPORTED);
    assert_int_equal(range_allocate(a, 0, FILE_SIZE_MAX, 1), ERR_TOO_BIG);
    w->a.capacity = (struct capacity){.bytes_total = MIB, .bytes_free = KIB};
    assert_int_equal(range_allocate(a, 0, 0, 2 * KIB), ERR_NO_SPACE);
    close_handle(a);
}

IN_WORLD(a_copy_is_the_same_and_keeps_its_holes) {
    struct handle *a = create(&w->a, "from");
    fill(a, 0, 'a', 10);
    fill(a, 3 * MIB, 'b', 2 * MIB);
    fill(a, 9 * MIB, 'c', 777);
    close_handle(a);
    struct handle *from = open_flags(&w->b, "from", O_RDONLY);
    struct handle *to = create(&w->b, "to");
    struct range_copy copy = {.from = from, .to = to, .size = 100 * MIB};
    uint64_t size = 0;
    assert_int_equal(range_copy(&copy, &size), 0);
    assert_int_equal(size, 9 * MIB + 777);
    close_handle(to);
    to = open_flags(&w->a, "to", O_RDWR);
    assert_int_equal(to->file->size, 9 * MIB + 777);
    assert_letters(to, 0, 'a', 10);
    assert_letters(to, 10, 0, 3 * MIB - 10);
    assert_letters(to, 3 * MIB, 'b', 2 * MIB);
    assert_letters(to, 9 * MIB, 'c', 777);
    assert_int_equal(blocks_of(&w->a, "to"), blocks_of(&w->a, "from"));
    copy = (struct range_copy){.from = to, .to = to, .to_offset = 5, .size = 10};
    assert_int_equal(range_copy(&copy, &size), ERR_INVALID);
    copy = (struct range_copy){to, to, 3 * MIB, 4, 6};
    assert_int_equal(range_copy(&copy, &size), 0);
    assert_letters(to, 0, 'a', 4);
    assert_letters(to, 4, 'b', 6);
    close_handle(to);
    handle_release(from);
}

/* ---- against a model ---- */
static uint32_t dice(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

enum { MODEL_SIZE = 900 * KIB };
struct model {
    uint8_t data[MODEL_SIZE];
    size_t size;
};

static void check_model(struct handle *handle, const struct model *model) {
    uint8_t *read = malloc(MODEL_SIZE + 1);
    size_t size;
    assert_int_equal(handle_read(handle, 0, read, MODEL_SIZE + 1, &size), 0);
    assert_int_equal(size, model->size);
    assert_memory_equal(read, model->data, size);
    for (uint64_t at = 0; at < model->size;) {
        uint64_t data = seek_to(handle, at, SEEK_DATA);
        uint64_t end = data < model->size ? data : model->size;
        for (; at < end; at++) {
            assert_int_equal(model->data[at], 0);
        }
        at = at < model->size ? seek_to(handle, at, SEEK_HOLE) : at;
    }
    free(read);
}

static void model_reach(struct model *model, size_t end) {
    if (end > model->size) {
        memset(model->data + model->size, 0, end - model->size);
        model->size = end;
    }
}

static void any_step(struct handle *handle, struct model *model, uint32_t *seed) {
    size_t offset = dice(seed) % (MODEL_SIZE / 2);
    size_t size = 1 + dice(seed) % (dice(seed) % 2 ? 300 * KIB : 5000);
    int letter = (int)(1 + dice(seed) % 250);
    int zero = FALLOC_FL_ZERO_RANGE | (dice(seed) % 2 ? FALLOC_FL_KEEP_SIZE : 0);
    size_t end = offset + size < model->size ? offset + size : model->size;
    switch (dice(seed) % 7) {
    case 0:
        assert_int_equal(range_allocate(handle, punch, offset, size), 0);
        memset(model->data + offset, 0, offset < end ? end - offset : 0);
        break;
    case 1:
        assert_int_equal(range_allocate(handle, zero, offset, size), 0);
        memset(model->data + offset, 0, offset < end ? end - offset : 0);
        model_reach(model, (zero & FALLOC_FL_KEEP_SIZE) != 0 ? 0 : offset + size);
        break;
    case 2:
        assert_int_equal(file_lock(handle->file), 0);
        assert_int_equal(file_truncate(handle->file, offset), 0);
        file_unlock(handle->file);
        model_reach(model, offset);
        model->size = offset;
        break;
    case 3:
        check_model(handle, model);
        break;
    case 4:
        handle->flags |= O_APPEND;
        offset = model->size;
        __attribute__((fallthrough));
    default:
        if (offset + size <= MODEL_SIZE) {
            fill(handle, offset, letter, size);
            model_reach(model, offset + size);
            memset(model->data + offset, letter, size);
        }
        handle->flags &= ~O_APPEND;
    }
}

IN_WORLD(random_histories_by_turns_of_two_mounts_agree_with_a_model) {
    struct model *model = calloc(1, sizeof *model);
    uint32_t seed = 20261122;
    handle_release(create(&w->a, "f"));
    for (int round = 0; round < 200; round++) {
        struct mount *mount = dice(&seed) % 2 ? &w->a : &w->b;
        store_mem_yield(w->mem, dice(&seed) % 2 == 0);
        struct handle *handle = open_flags(mount, "f", O_RDWR);
        int n_steps = (int)(dice(&seed) % 8);
        for (int i = 0; i < n_steps; i++) {
            any_step(handle, model, &seed);
        }
        check_model(handle, model);
        close_handle(handle);
    }
    store_mem_yield(w->mem, false);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hole_costs_nothing_and_is_seen_by_all),
        cmocka_unit_test(files_without_holes_say_so),
        cmocka_unit_test(a_punched_range_is_zeros_and_is_removed),
        cmocka_unit_test(allocating_what_is_there_changes_the_time_all_the_same),
        cmocka_unit_test(clearing_what_is_clear_changes_the_time_all_the_same),
        cmocka_unit_test(allocating_and_zeroing_set_the_size_as_asked),
        cmocka_unit_test(a_copy_is_the_same_and_keeps_its_holes),
        cmocka_unit_test(random_histories_by_turns_of_two_mounts_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
