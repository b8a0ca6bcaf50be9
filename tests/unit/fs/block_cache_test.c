/* block_cache: reading here and there in a large file, from blocks that were fetched before. */
#include "fs/range.h"
#include "fs/shown.h"
#include "tests/unit/fs/world.h"

enum { PIECE = 4096, N_BLOCKS = 12, SIZE = N_BLOCKS * BLOCK_SIZE };

static uint8_t model[SIZE];

/* A file of N_BLOCKS blocks with nothing of it in memory, opened by `mount`. */
static struct handle *begin(struct world *w, struct mount *mount, int flags) {
    struct handle *handle = create(&w->a, "f");
    for (size_t i = 0; i < SIZE; i++) {
        model[i] = (uint8_t)(i * 7 + i / PIECE);
    }
    assert_int_equal(handle_write(handle, 0, bytes_of(model, SIZE)), 0);
    close_handle(handle);
    handle = open_flags(mount, "f", flags);
    assert_int_equal(handle->file->blocks.n, 0);
    store_mem_reset_hooks(w->mem);
    return handle;
}

static void assert_piece(struct handle *handle, uint64_t offset) {
    uint8_t found[PIECE];
    size_t size = 0;
    assert_int_equal(handle_read(handle, offset, found, PIECE, &size), 0);
    assert_int_equal(size, PIECE);
    assert_memory_equal(found, model + offset, PIECE);
}

static void change(struct handle *handle, uint64_t offset, int letter) {
    memset(model + offset, letter, PIECE);
    assert_int_equal(handle_write(handle, offset, bytes_of(model + offset, PIECE)), 0);
}

IN_WORLD(a_block_that_is_read_in_pieces_is_asked_for_once) {
    struct handle *handle = begin(w, &w->b, O_RDONLY);
    for (uint64_t at = 0; at < BLOCK_SIZE; at += PIECE) {
        assert_piece(handle, (uint64_t)5 * BLOCK_SIZE + (at * 5) % BLOCK_SIZE);
    }
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(block_cache_count(&w->b.cached), 1);
    assert_int_equal(w->b.cached.n_found, BLOCK_SIZE / PIECE - 1);
    handle_release(handle);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
}

IN_WORLD(what_is_read_in_large_pieces_is_not_kept) {
    struct handle *handle = begin(w, &w->b, O_RDONLY);
    uint8_t *found = malloc(SIZE);
    size_t size = 0;
    assert_int_equal(handle_read(handle, 0, found, SIZE, &size), 0);
    assert_true(size == SIZE && memcmp(found, model, SIZE) == 0);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    free(found);
    handle_release(handle);
}

IN_WORLD(who_reads_past_the_kernels_pages_reads_past_the_cache) {
    struct handle *handle = begin(w, &w->b, O_RDONLY | O_DIRECT);
    assert_piece(handle, 0);
    assert_piece(handle, 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    handle_release(handle);
}

IN_WORLD(what_is_written_here_is_read_in_place_of_what_was_kept) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    assert_piece(handle, BLOCK_SIZE);
    assert_piece(handle, 2 * BLOCK_SIZE);
    change(handle, BLOCK_SIZE + PIECE, 'n');
    assert_int_equal(block_cache_count(&w->b.cached), 1);
    assert_piece(handle, BLOCK_SIZE + PIECE);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_piece(handle, BLOCK_SIZE);
    assert_piece(handle, BLOCK_SIZE + PIECE);
    close_handle(handle);
}

IN_WORLD(what_is_cut_off_or_punched_out_is_not_answered_any_more) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    assert_piece(handle, BLOCK_SIZE);
    assert_piece(handle, 2 * BLOCK_SIZE);
    assert_int_equal(
        range_allocate(handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK_SIZE, BLOCK_SIZE),
        0);
    memset(model + BLOCK_SIZE, 0, BLOCK_SIZE);
    assert_piece(handle, BLOCK_SIZE);
    assert_int_equal(file_lock(handle->file), 0);
    assert_int_equal(file_truncate(handle->file, 2 * BLOCK_SIZE + 100), 0);
    assert_int_equal(file_truncate(handle->file, SIZE), 0);
    file_unlock(handle->file);
    memset(model + 2 * BLOCK_SIZE + 100, 0, SIZE - 2 * BLOCK_SIZE - 100);
    assert_piece(handle, 2 * BLOCK_SIZE);
    assert_piece(handle, 3 * BLOCK_SIZE);
    close_handle(handle);
}

struct meanwhile {
    struct handle *handle;
    bool done;
};

static void write_once(void *context, enum store_mem_call kind, uint64_t number) {
    struct meanwhile *meanwhile = context;
    (void)kind;
    (void)number;
    if (!meanwhile->done) {
        meanwhile->done = true;
        change(meanwhile->handle, PIECE, 'm');
        assert_int_equal(handle_flush(meanwhile->handle), 0);
    }
}

IN_WORLD(a_block_that_is_written_while_it_is_fetched_is_not_kept) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    struct meanwhile meanwhile = {.handle = handle};
    store_mem_before(w->mem, write_once, &meanwhile);
    assert_piece(handle, 0);
    assert_true(meanwhile.done);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    store_mem_reset_hooks(w->mem);
    assert_piece(handle, PIECE);
    close_handle(handle);
}

IN_WORLD(an_opening_sees_what_was_closed_elsewhere_and_so_do_those_before_it) {
    struct handle *before = begin(w, &w->b, O_RDONLY);
    assert_piece(before, 0);
    struct handle *writer = open_flags(&w->a, "f", O_RDWR);
    change(writer, PIECE, 'e');
    close_handle(writer);
    struct handle *after = open_flags(&w->b, "f", O_RDONLY);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    assert_piece(after, PIECE);
    assert_piece(before, PIECE);
    handle_release(before);
    handle_release(after);
}

IN_WORLD(what_nobody_tells_of_is_good_as_long_as_attributes_are) {
    struct handle *reader = begin(w, &w->b, O_RDONLY);
    assert_piece(reader, 0);
    struct handle *writer = open_flags(&w->a, "f", O_RDWR);
    change(writer, PIECE, 'e');
    close_handle(writer);
    store_mem_advance(w->mem, (uint64_t)w->b.config.attributes_ns + 1);
    assert_piece(reader, PIECE);
    handle_release(reader);
}

IN_WORLD(a_block_whose_last_bytes_are_on_their_way_is_not_kept) {
    struct handle *handle = begin(w, &w->b, O_RDONLY);
    handle->file->size += BLOCK_SIZE; /* as after an append that has its place, and no more */
    extents_add(&handle->file->blocks.stored, N_BLOCKS, N_BLOCKS + 1);
    uint8_t found[PIECE];
    size_t size = 0;
    assert_int_equal(handle_read(handle, SIZE, found, PIECE, &size), 0);
    assert_piece(handle, SIZE - BLOCK_SIZE);
    assert_int_equal(block_cache_count(&w->b.cached), 1);
    handle_release(handle);
}

static void ignore(void *context, uint64_t ino) {
    (void)context;
    (void)ino;
}

IN_WORLD(who_asks_for_it_reads_anew) {
    struct handle *handle = begin(w, &w->b, O_RDONLY);
    uint64_t ino = ino_of(&w->b, "f");
    assert_piece(handle, 0);
    assert_int_equal(shown_refresh(&w->b, ino, ignore, NULL), 0);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    store_mem_reset_hooks(w->mem);
    assert_piece(handle, 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    handle_release(handle);
}

IN_WORLD(what_is_written_has_the_room_of_what_is_kept) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    for (uint64_t i = 0; i < N_BLOCKS; i++) {
        assert_piece(handle, i * BLOCK_SIZE);
    }
    assert_int_equal(block_cache_count(&w->b.cached), N_BLOCKS);
    w->b.n_dirty_bytes = MOUNT_DIRTY_MAX - 3 * BLOCK_SIZE;
    change(handle, 0, 'w');
    assert_int_equal(block_cache_count(&w->b.cached), 2);
    /* The write is stored: three find room, and the one that was used longest ago none. */
    assert_piece(handle, 4 * BLOCK_SIZE);
    assert_piece(handle, 5 * BLOCK_SIZE);
    assert_int_equal(block_cache_count(&w->b.cached), 3);
    store_mem_reset_hooks(w->mem);
    assert_piece(handle, 4 * BLOCK_SIZE);
    assert_piece(handle, 5 * BLOCK_SIZE);
    assert_piece(handle, (uint64_t)(N_BLOCKS - 1) * BLOCK_SIZE);
    assert_int_equal(store_mem_calls(w->mem), 0);
    w->b.n_dirty_bytes -= MOUNT_DIRTY_MAX - 3 * BLOCK_SIZE;
    close_handle(handle);
}

IN_WORLD(of_a_file_too_large_for_it_the_pieces_alone_are_read) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    assert_int_equal(handle_write(handle, BLOCKS_WHOLE_FILE_MAX, bytes_of(model, PIECE)), 0);
    assert_int_equal(handle_flush(handle), 0);
    assert_piece(handle, 0);
    assert_int_equal(block_cache_count(&w->b.cached), 0);
    close_handle(handle);
}

/* One mount writes and reads at random places, the other sees all of it at the end. */
IN_WORLD(a_random_history_reads_what_was_written) {
    struct handle *handle = begin(w, &w->b, O_RDWR);
    uint32_t dice = 12345;
    for (int i = 0; i < 3000; i++) {
        dice = dice * 1664525 + 1013904223;
        uint64_t offset = (uint64_t)(dice >> 8) % (SIZE - PIECE);
        switch (dice >> 4 & 15) {
        case 0:
            change(handle, offset, (int)(dice >> 24));
            break;
        case 1:
            assert_int_equal(handle_flush(handle), 0);
            break;
        case 2:
            settle();
            break;
        default:
            assert_piece(handle, offset);
        }
    }
    assert_true(w->b.cached.n_found > 500);
    close_handle(handle);
    struct handle *other = open_flags(&w->a, "f", O_RDONLY);
    for (uint64_t at = 0; at < SIZE; at += PIECE) {
        assert_piece(other, at);
    }
    handle_release(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_that_is_read_in_pieces_is_asked_for_once),
        cmocka_unit_test(what_is_read_in_large_pieces_is_not_kept),
        cmocka_unit_test(who_reads_past_the_kernels_pages_reads_past_the_cache),
        cmocka_unit_test(what_is_written_here_is_read_in_place_of_what_was_kept),
        cmocka_unit_test(what_is_cut_off_or_punched_out_is_not_answered_any_more),
        cmocka_unit_test(a_block_that_is_written_while_it_is_fetched_is_not_kept),
        cmocka_unit_test(an_opening_sees_what_was_closed_elsewhere_and_so_do_those_before_it),
        cmocka_unit_test(what_nobody_tells_of_is_good_as_long_as_attributes_are),
        cmocka_unit_test(a_block_whose_last_bytes_are_on_their_way_is_not_kept),
        cmocka_unit_test(who_asks_for_it_reads_anew),
        cmocka_unit_test(what_is_written_has_the_room_of_what_is_kept),
        cmocka_unit_test(of_a_file_too_large_for_it_the_pieces_alone_are_read),
        cmocka_unit_test(a_random_history_reads_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
