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
    assert_int_equal(handle_fsync(handle), 0);
    assert_int_equal(nodes.n_asked, 1);
    assert_true(mount_now_ns(&w->a) - before_ns < BLOCKS_SYNCED_AFTER_NS / 2);
    assert_int_equal(handle->file->blocks.n, 0);
    assert_int_equal(handle_fsync(handle), 0); /* nothing is left to do */
    assert_int_equal(nodes.n_asked, 1);
    handle_release(handle);
}

IN_WORLD(nodes_that_cannot_say_so_are_given_the_time_of_their_own_sync) {
    struct nodes nodes = {.answer = ERR_UNAVAILABLE};
    struct handle *handle = written(w, &nodes, "f", MANY);
    int64_t before_ns = mount_now_ns(&w->a);
    assert_int_equal(handle_fsync(handle), 0);
    assert_int_equal(nodes.n_asked, 1);
    assert_true(mount_now_ns(&w->a) - before_ns >= BLOCKS_SYNCED_AFTER_NS / 2);
    handle_release(handle);
}

IN_WORLD(an_fsync_of_a_few_blocks_sends_them_again) {
    struct nodes nodes = {0};
    struct handle *handle = written(w, &nodes, "f", BLOCKS_AGAIN_MAX);
    assert_int_equal(handle_fsync(handle), 0);
    assert_int_equal(nodes.n_asked, 0);
    handle_release(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_fsync_of_many_blocks_asks_the_nodes_once_and_does_not_wait_for_time),
        cmocka_unit_test(nodes_that_cannot_say_so_are_given_the_time_of_their_own_sync),
        cmocka_unit_test(an_fsync_of_a_few_blocks_sends_them_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
