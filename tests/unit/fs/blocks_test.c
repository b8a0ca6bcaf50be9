/* blocks: how an fsync brings many blocks to the nodes' disks. */
#include "tests/unit/fs/world.h"

enum { MANY = 24 };

struct nodes {
    int n_asked;
    int answer;
};

static int ask_nodes(void *context) {
    struct nodes *nodes = context;
    nodes->n_asked++;
    return nodes->answer;
}

static struct handle *written(struct world *w, struct nodes *nodes, const char *name,
                              uint32_t n_blocks) {
    static uint8_t data[MANY * BLOCK_SIZE];
    w->a.config.sync_nodes = ask_nodes;
    w->a.config.nodes = nodes;
    struct handle *handle = create(&w->a, name);
    memset(data, 'x', sizeof data);
    assert_int_equal(handle_write(handle, 0, bytes_of(data, (size_t)n_blocks * BLOCK_SIZE)), 0);
    return handle;
}

IN_WORLD(an_fsync_of_many_blocks_asks_the_nodes_once_and_does_not_wait_for_time) {
    struct nodes nodes = {0};
    struct handle *handle = written(w, &nodes, "f", MANY);
    int64_t before_ns = mount_now_ns(&w->a);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 1);
    assert_true(mount_now_ns(&w->a) - before_ns < BLOCKS_SYNCED_AFTER_NS / 2);
    assert_int_equal(handle->file->blocks.n, 0);
    assert_int_equal(handle_fsync(handle, false), 0); /* nothing is left to do */
    assert_int_equal(nodes.n_asked, 1);
    handle_release(handle);
}

IN_WORLD(nodes_that_cannot_say_so_are_given_the_time_of_their_own_sync) {
    struct nodes nodes = {.answer = ERR_UNAVAILABLE};
    struct handle *handle = written(w, &nodes, "f", MANY);
    int64_t before_ns = mount_now_ns(&w->a);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 1);
    assert_true(mount_now_ns(&w->a) - before_ns >= BLOCKS_SYNCED_AFTER_NS / 2);
    handle_release(handle);
}

IN_WORLD(an_fsync_of_a_few_blocks_sends_them_again) {
    struct nodes nodes = {0};
    struct handle *handle = written(w, &nodes, "f", BLOCKS_AGAIN_MAX);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(nodes.n_asked, 0);
    handle_release(handle);
}

static uint64_t synced_patch(struct world *w, struct handle *handle, uint64_t offset,
                             bool data_only) {
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(handle_write(handle, offset, bytes_of("patch", 5)), 0);
    assert_int_equal(handle_fsync(handle, data_only), 0);
    return store_mem_calls(w->mem) - before;
}

static bool waits_for_record(const struct handle *handle) {
    return file_pending(handle->file);
}

IN_WORLD(an_fdatasync_leaves_a_record_of_nothing_but_times_for_later) {
    struct nodes nodes = {0};
    struct handle *handle = written(w, &nodes, "f", BLOCKS_AGAIN_MAX);
    uint64_t size = (uint64_t)BLOCKS_AGAIN_MAX * BLOCK_SIZE;
    assert_int_equal(handle_fsync(handle, false), 0);
    synced_patch(w, handle, 0, false);
    uint64_t whole = synced_patch(w, handle, 100, false);
    assert_false(waits_for_record(handle));
    assert_int_equal(synced_patch(w, handle, 200, true), whole - 1);
    assert_true(waits_for_record(handle));
    assert_int_equal(synced_patch(w, handle, size, true), whole); /* the file grows */
    assert_false(waits_for_record(handle));
    assert_int_equal(handle_write(handle, 300, bytes_of("patch", 5)), 0);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(synced_patch(w, handle, 400, true), whole - 1);
    assert_int_equal(handle_flush(handle), 0);
    assert_false(waits_for_record(handle));
    handle_release(handle);
}

IN_WORLD(an_fdatasync_syncs_a_record_that_was_stored_and_not_synced) {
    struct nodes nodes = {0};
    struct handle *handle = written(w, &nodes, "f", BLOCKS_AGAIN_MAX);
    uint64_t size = (uint64_t)BLOCKS_AGAIN_MAX * BLOCK_SIZE;
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(handle_write(handle, size, bytes_of("more", 4)), 0);
    assert_int_equal(handle_flush(handle), 0); /* the size: stored, not synced */
    assert_int_equal(handle_write(handle, 100, bytes_of("patch", 5)), 0);
    assert_int_equal(handle_fsync(handle, true), 0);
    assert_true(handle->file->record_synced);
    assert_int_equal(handle_flush(handle), 0);
    handle_release(handle);
    handle = open_flags(&w->a, "f", O_RDWR); /* what an opening before has left is not known */
    assert_int_equal(handle_write(handle, 100, bytes_of("again", 5)), 0);
    assert_int_equal(handle_fsync(handle, true), 0);
    assert_true(handle->file->record_synced);
    handle_release(handle);
}

/* Blocks that a single write fills, of which `n_requests` are to be made. */
static void count_requests(struct world *w, uint64_t first, uint32_t n_blocks,
                           uint32_t n_requests) {
    static uint8_t data[MANY * BLOCK_SIZE], found[MANY * BLOCK_SIZE];
    size_t size = (size_t)n_blocks * BLOCK_SIZE, read = 0;
    struct handle *handle = create(&w->a, "f");
    assert_int_equal(handle_write(handle, first * BLOCK_SIZE, bytes_of(data, 1)), 0);
    assert_int_equal(handle_flush(handle), 0);
    uint64_t before = store_mem_calls(w->mem);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i / BLOCK_SIZE + i);
    }
    assert_int_equal(handle_write(handle, first * BLOCK_SIZE, bytes_of(data, size)), 0);
    blocks_wait(&handle->file->blocks);
    assert_int_equal(store_mem_calls(w->mem) - before, n_requests);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(handle_read(handle, first * BLOCK_SIZE, found, size, &read), 0);
    assert_true(read == size && memcmp(found, data, size) == 0);
    handle_release(handle);
}

IN_WORLD(blocks_that_one_write_fills_leave_together) {
    count_requests(w, 0, STRIPE_BLOCKS, STRIPE_BLOCKS / CONTENTS_TOGETHER_MAX);
}

IN_WORLD(blocks_of_two_stripes_never_leave_together) {
    count_requests(w, STRIPE_BLOCKS - 2, 4, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_fsync_of_many_blocks_asks_the_nodes_once_and_does_not_wait_for_time),
        cmocka_unit_test(nodes_that_cannot_say_so_are_given_the_time_of_their_own_sync),
        cmocka_unit_test(an_fsync_of_a_few_blocks_sends_them_again),
        cmocka_unit_test(an_fdatasync_leaves_a_record_of_nothing_but_times_for_later),
        cmocka_unit_test(an_fdatasync_syncs_a_record_that_was_stored_and_not_synced),
        cmocka_unit_test(blocks_that_one_write_fills_leave_together),
        cmocka_unit_test(blocks_of_two_stripes_never_leave_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
