/* partial: changes in place of blocks that are not in memory: sent as patches, without a reading.
 */
#include "tests/unit/fs/world.h"

enum { KIB = 1024, PIECE = 100 };

struct nodes {
    int n_asked;
};

static int ask_nodes(void *context) {
    ((struct nodes *)context)->n_asked++;
    return 0;
}

/* A stored file of n whole blocks of one letter, opened anew. */
static struct handle *stored(struct mount *mount, const char *name, int letter, uint32_t n) {
    uint8_t *data = malloc((size_t)n * BLOCK_SIZE);
    memset(data, letter, (size_t)n * BLOCK_SIZE);
    struct handle *handle = create(mount, name);
    assert_int_equal(handle_write(handle, 0, bytes_of(data, (size_t)n * BLOCK_SIZE)), 0);
    close_handle(handle);
    free(data);
    return open_flags(mount, name, O_RDWR);
}

static void write_piece(struct handle *handle, uint64_t offset, int letter, size_t size) {
    uint8_t data[BLOCK_SIZE];
    memset(data, letter, size);
    assert_int_equal(handle_write(handle, offset, bytes_of(data, size)), 0);
}

static void expect(struct handle *handle, uint64_t offset, int letter, size_t size) {
    uint8_t data[BLOCK_SIZE];
    size_t read = 0;
    assert_int_equal(handle_read(handle, offset, data, size, &read), 0);
    assert_int_equal(read, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(data[i], letter);
    }
}

IN_WORLD(a_change_in_place_is_the_block_and_the_record_and_reads_nothing) {
    struct handle *handle = stored(&w->a, "f", 'x', 2);
    store_mem_reset_hooks(w->mem);
    write_piece(handle, 5000, 'y', PIECE);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    assert_int_equal(handle->file->blocks.n, 0);
    expect(handle, 5000, 'y', PIECE);
    expect(handle, 5000 + PIECE, 'x', BLOCK_SIZE);
    close_handle(handle);
}

/* The first write of an opening is stored at once; what follows waits. */
static struct handle *buffering(struct mount *mount, const char *name, uint32_t n) {
    struct handle *handle = stored(mount, name, 'x', n);
    write_piece(handle, 0, 'x', 1);
    return handle;
}

IN_WORLD(what_waits_is_read_with_what_is_stored_around_it) {
    struct handle *handle = buffering(&w->a, "f", 2);
    write_piece(handle, 1000, 'y', PIECE);
    write_piece(handle, 3000, 'z', PIECE);
    store_mem_reset_hooks(w->mem);
    expect(handle, 1000, 'y', PIECE);
    assert_int_equal(store_mem_calls(w->mem), 0); /* all of it was written here */
    expect(handle, 900, 'x', 100);
    expect(handle, 1000 + PIECE, 'x', 2000 - PIECE);
    expect(handle, 3000, 'z', PIECE);
    close_handle(handle);
    handle = open_flags(&w->b, "f", O_RDONLY);
    expect(handle, 1000, 'y', PIECE);
    expect(handle, 3000, 'z', PIECE);
    expect(handle, 3000 + PIECE, 'x', BLOCK_SIZE);
    close_handle(handle);
}

IN_WORLD(two_mounts_that_change_one_block_both_arrive) {
    struct handle *a = buffering(&w->a, "f", 1);
    struct handle *b = open_flags(&w->b, "f", O_RDWR);
    write_piece(b, 0, 'x', 1);
    for (uint64_t at = 0; at < 10; at++) {
        write_piece(a, 2000 * at, 'a', PIECE);
        write_piece(b, 2000 * at + 1000, 'b', PIECE);
    }
    close_handle(b);
    close_handle(a);
    struct handle *seen = open_flags(&w->b, "f", O_RDONLY);
    for (uint64_t at = 0; at < 10; at++) {
        expect(seen, 2000 * at, 'a', PIECE);
        expect(seen, 2000 * at + PIECE, 'x', 1000 - PIECE);
        expect(seen, 2000 * at + 1000, 'b', PIECE);
    }
    close_handle(seen);
}

IN_WORLD(patches_of_one_stripe_leave_together) {
    struct handle *handle = buffering(&w->a, "f", CONTENTS_TOGETHER_MAX);
    for (uint64_t i = 0; i < CONTENTS_TOGETHER_MAX; i++) {
        write_piece(handle, i * BLOCK_SIZE + 7 * i, (int)('a' + i), PIECE);
    }
    store_mem_reset_hooks(w->mem);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    for (uint64_t i = 0; i < CONTENTS_TOGETHER_MAX; i++) {
        expect(handle, i * BLOCK_SIZE + 7 * i, (int)('a' + i), PIECE);
    }
    close_handle(handle);
}

IN_WORLD(a_block_written_in_small_pieces_to_its_end_is_put_whole) {
    struct handle *handle = buffering(&w->a, "f", 2);
    store_mem_reset_hooks(w->mem);
    for (uint64_t at = 0; at < BLOCK_SIZE; at += 4 * KIB) {
        write_piece(handle, BLOCK_SIZE + at, 'y', 4 * KIB);
    }
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    expect(handle, BLOCK_SIZE, 'y', BLOCK_SIZE);
    close_handle(handle);
}

IN_WORLD(too_many_pieces_are_put_over_what_is_stored) {
    struct handle *handle = buffering(&w->a, "f", 1);
    for (uint64_t i = 0; i <= OVERLAY_PIECES_MAX; i++) {
        write_piece(handle, 20 * i, 'y', 10);
    }
    assert_int_equal(handle_flush(handle), 0);
    for (uint64_t i = 0; i <= OVERLAY_PIECES_MAX; i++) {
        expect(handle, 20 * i, 'y', 10);
        expect(handle, 20 * i + 10, 'x', 10);
    }
    close_handle(handle);
}

IN_WORLD(nodes_that_know_no_patches_get_whole_blocks) {
    struct handle *handle = buffering(&w->a, "f", 2);
    write_piece(handle, 1000, 'y', PIECE);
    write_piece(handle, BLOCK_SIZE + 1000, 'z', PIECE);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_INVALID, false);
    assert_int_equal(handle_flush(handle), 0);
    expect(handle, 1000, 'y', PIECE);
    expect(handle, 1000 + PIECE, 'x', PIECE);
    expect(handle, BLOCK_SIZE + 1000, 'z', PIECE);
    close_handle(handle);
}

IN_WORLD(a_patch_that_fails_is_sent_again_by_the_next_flush) {
    struct handle *handle = buffering(&w->a, "f", 1);
    write_piece(handle, 1000, 'y', PIECE);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_UNAVAILABLE, false);
    assert_int_equal(handle_flush(handle), ERR_UNAVAILABLE);
    write_piece(handle, 2000, 'z', PIECE);
    assert_int_equal(handle_flush(handle), 0);
    expect(handle, 1000, 'y', PIECE);
    expect(handle, 2000, 'z', PIECE);
    expect(handle, 2000 + PIECE, 'x', PIECE);
    close_handle(handle);
}

IN_WORLD(a_cut_within_a_block_that_waits_keeps_what_is_stored_before_it) {
    struct handle *handle = buffering(&w->a, "f", 2);
    write_piece(handle, BLOCK_SIZE + 1000, 'y', 2 * PIECE);
    assert_int_equal(file_lock(handle->file), 0);
    assert_int_equal(file_truncate(handle->file, BLOCK_SIZE + 1000 + PIECE), 0);
    assert_int_equal(file_truncate(handle->file, 2 * BLOCK_SIZE), 0);
    file_unlock(handle->file);
    close_handle(handle);
    handle = open_flags(&w->b, "f", O_RDONLY);
    expect(handle, BLOCK_SIZE, 'x', 1000);
    expect(handle, BLOCK_SIZE + 1000, 'y', PIECE);
    expect(handle, BLOCK_SIZE + 1000 + PIECE, 0, BLOCK_SIZE - 1000 - PIECE);
    close_handle(handle);
}

IN_WORLD(an_fsync_syncs_its_patches_and_asks_the_nodes_for_those_before) {
    struct nodes nodes = {0};
    w->a.config.sync_nodes = ask_nodes;
    w->a.config.nodes = &nodes;
    struct handle *handle = stored(&w->a, "f", 'x', 2);
    write_piece(handle, 1000, 'y', PIECE); /* the first: stored, not synced */
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 1);
    write_piece(handle, 1000, 'z', PIECE);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 1);
    close_handle(handle);
}

IN_WORLD(an_fsync_of_many_patches_asks_the_nodes_once) {
    struct nodes nodes = {0};
    w->a.config.sync_nodes = ask_nodes;
    w->a.config.nodes = &nodes;
    struct handle *handle = buffering(&w->a, "f", CONTENTS_TOGETHER_MAX);
    assert_int_equal(handle_fsync(handle, false), 0);
    nodes.n_asked = 0;
    for (uint64_t i = 0; i <= BLOCKS_EACH_SYNCED_MAX; i++) {
        write_piece(handle, i * BLOCK_SIZE, 'y', PIECE);
    }
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 1);
    assert_int_equal(handle->file->blocks.n, 0);
    close_handle(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_in_place_is_the_block_and_the_record_and_reads_nothing),
        cmocka_unit_test(what_waits_is_read_with_what_is_stored_around_it),
        cmocka_unit_test(two_mounts_that_change_one_block_both_arrive),
        cmocka_unit_test(patches_of_one_stripe_leave_together),
        cmocka_unit_test(a_block_written_in_small_pieces_to_its_end_is_put_whole),
        cmocka_unit_test(too_many_pieces_are_put_over_what_is_stored),
        cmocka_unit_test(nodes_that_know_no_patches_get_whole_blocks),
        cmocka_unit_test(a_patch_that_fails_is_sent_again_by_the_next_flush),
        cmocka_unit_test(a_cut_within_a_block_that_waits_keeps_what_is_stored_before_it),
        cmocka_unit_test(an_fsync_of_many_patches_asks_the_nodes_once),
        cmocka_unit_test(an_fsync_syncs_its_patches_and_asks_the_nodes_for_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
