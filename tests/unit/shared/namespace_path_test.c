/* namespace_path: what a path means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;
static struct id128 d, e;

/* /d, /d/e, /d/e/file, /file, /link */
static void make_tree(struct world *w) {
    struct record link = {.mode = S_IFLNK | 0777, .size = 2, .data = bytes_of_string("/d")};
    struct entry entry;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &e, "file", "deep"), 0);
    assert_int_equal(make_file(w->ns, root, "file", "top"), 0);
    assert_int_equal(namespace_create(w->ns, root, "link", &link, &entry), 0);
    entry_release(&entry);
}

/* The text that a path resolves to, or the error. */
static int resolve(struct world *w, const char *path, const char *text) {
    struct entry entry;
    int err = namespace_resolve(w->other, path, &entry);
    if (err == 0) {
        if (text) {
            assert_true(bytes_equal(entry.record.data, bytes_of_string(text)));
        }
        entry_release(&entry);
    }
    return err;
}

IN_WORLD(paths_lead_to_their_files) {
    make_tree(w);
    assert_int_equal(resolve(w, "/file", "top"), 0);
    assert_int_equal(resolve(w, "file", "top"), 0);
    assert_int_equal(resolve(w, "//d///e/file", "deep"), 0);
    assert_int_equal(resolve(w, "/d/./e/./file", "deep"), 0);
    assert_int_equal(resolve(w, "/d/../file", "top"), 0);
    assert_int_equal(resolve(w, "/../../d/e/../../file", "top"), 0);
    assert_int_equal(resolve(w, "/link", "/d"), 0);
    assert_int_equal(resolve(w, "/d/", NULL), 0);
    assert_int_equal(resolve(w, "/d/e/.", NULL), 0);
    assert_int_equal(resolve(w, "/d/e/..", NULL), 0);
}

IN_WORLD(paths_that_lead_nowhere_say_why) {
    make_tree(w);
    assert_int_equal(resolve(w, "", NULL), ERR_NO_ENTRY);
    assert_int_equal(resolve(w, "/", NULL), ERR_IS_DIRECTORY);
    assert_int_equal(resolve(w, "/d/..", NULL), ERR_IS_DIRECTORY);
    assert_int_equal(resolve(w, ".", NULL), ERR_IS_DIRECTORY);
    assert_int_equal(resolve(w, "/file/", NULL), ERR_NOT_DIRECTORY);
    assert_int_equal(resolve(w, "/file/.", NULL), ERR_NOT_DIRECTORY);
    assert_int_equal(resolve(w, "/file/..", NULL), ERR_NOT_DIRECTORY);
    assert_int_equal(resolve(w, "/file/x", NULL), ERR_NOT_DIRECTORY);
    assert_int_equal(resolve(w, "/link/e", NULL), ERR_NOT_DIRECTORY);
    assert_int_equal(resolve(w, "/none/../file", NULL), ERR_NO_ENTRY);
    char *path = memory_new(1, NAMESPACE_PATH_MAX + 2);
    memset(path, '/', NAMESPACE_PATH_MAX - 1);
    assert_int_equal(resolve(w, path, NULL), ERR_IS_DIRECTORY);
    path[NAMESPACE_PATH_MAX - 1] = '/';
    assert_int_equal(resolve(w, path, NULL), ERR_NAME_TOO_LONG);
    memset(path, 0, NAMESPACE_PATH_MAX + 2);
    memset(path, 'a', 256);
    assert_int_equal(resolve(w, path, NULL), ERR_NAME_TOO_LONG);
    path[255] = 0;
    assert_int_equal(resolve(w, path, NULL), ERR_NO_ENTRY);
    free(path);
}

IN_WORLD(a_missing_last_part_is_named_so_that_it_can_be_created) {
    struct entry entry;
    make_tree(w);
    assert_int_equal(namespace_resolve(w->ns, "/d/e/new", &entry), ERR_NO_ENTRY);
    assert_string_equal(entry.name, "new");
    assert_true(id128_equal(&entry.directory, &e));
    assert_int_equal(entry.record.mode, 0);
    assert_int_equal(entry.seen.size, 0);
    assert_int_equal(namespace_resolve(w->ns, "/none/new", &entry), ERR_NO_ENTRY);
    assert_string_equal(entry.name, ""); /* a parent is missing */
}

IN_WORLD(directories_resolve_the_root_included) {
    struct id128 id;
    make_tree(w);
    assert_int_equal(namespace_resolve_directory(w->ns, "/", &id), 0);
    assert_true(id128_equal(&id, root));
    assert_int_equal(namespace_resolve_directory(w->ns, "/d/e/", &id), 0);
    assert_true(id128_equal(&id, &e));
    assert_int_equal(namespace_resolve_directory(w->ns, "/d/e/..", &id), 0);
    assert_true(id128_equal(&id, &d));
    assert_int_equal(namespace_resolve_directory(w->ns, "/file", &id), ERR_NOT_DIRECTORY);
    assert_int_equal(namespace_resolve_directory(w->ns, "/none", &id), ERR_NO_ENTRY);
}

IN_WORLD(where_names_the_row_of_a_path) {
    struct buffer partition = {0}, sort = {0};
    struct store_row row = {0};
    struct store *store = store_mem_store(w->mem);
    make_tree(w);
    assert_int_equal(namespace_where(w->ns, "/d/e/file", &partition, &sort), 0);
    assert_int_equal(partition.size, 18);
    assert_int_equal(partition.data[0], 'd');
    assert_memory_equal(partition.data + 1, e.bytes, 16);
    assert_int_equal(sort.size, 9 + 4);
    assert_memory_equal(sort.data + 9, "file", 4);
    assert_int_equal(
        store->get(store->self, buffer_bytes(&partition), buffer_bytes(&sort), 0, &row), 0);
    assert_int_equal(versions_live(&row.versions), 1);
    store_row_release(&row);
    buffer_clear(&partition);
    buffer_clear(&sort);
    assert_int_equal(namespace_where(w->ns, "/", &partition, &sort), 0);
    assert_int_equal(sort.data[0], 'h');
    buffer_release(&partition);
    buffer_release(&sort);
    assert_int_equal(namespace_where(w->ns, "/none/x", &partition, &sort), ERR_NO_ENTRY);
}

IN_WORLD(the_roots_names_are_spread_over_its_shards) {
    bool used[16] = {false};
    int n = 0;
    for (char c = 'a'; c <= 'z'; c++) {
        for (char k = 'a'; k <= 'h'; k++) {
            char path[4] = {'/', c, k};
            struct buffer partition = {0}, sort = {0};
            assert_int_equal(namespace_where(w->ns, path, &partition, &sort), 0);
            uint8_t shard = partition.data[17];
            assert_true(shard < 16);
            assert_int_equal(shard, sort.data[1] >> 3); /* the top 4 of 63 bits */
            n += !used[shard];
            used[shard] = true;
            buffer_release(&partition);
            buffer_release(&sort);
        }
    }
    assert_int_equal(n, 16);
}

/* ---- the superblock ---- */

static void open_over(struct store_mem *mem, int expected) {
    struct namespace *ns;
    assert_int_equal(namespace_open(store_mem_store(mem), &ns), expected);
    if (expected == 0) {
        namespace_close(ns);
    }
}

static void a_later_format_is_not_opened(void **state) {
    (void)state;
    struct context nothing = {0};
    struct store_mem *mem = store_mem_new();
    open_over(mem, 0);
    open_over(mem, 0);
    assert_int_equal(store_mem_live_rows(mem, 's'), 1);
    store_mem_put(mem, bytes_of("s", 1), (struct bytes){0}, &nothing,
                  bytes_of("ringfs\0\0\2\0\0\0\0\0\0\0\0\0\0\0", 20));
    open_over(mem, ERR_NOT_SUPPORTED);
    store_mem_put(mem, bytes_of("s", 1), (struct bytes){0}, &nothing, bytes_of_string("else"));
    open_over(mem, ERR_CORRUPT);
    store_mem_free(mem);
}

static void assert_described(struct namespace *ns, struct bytes partition, struct bytes sort,
                             const char *text) {
    struct buffer words = {0};
    namespace_describe(ns, partition, sort, &words);
    assert_true(bytes_equal(buffer_bytes(&words), bytes_of_string(text)));
    buffer_release(&words);
}

IN_WORLD(keys_are_described_by_the_path_that_they_stand_for) {
    static const char *const paths[] = {"/d/e/file", "/d/e", "/file"};
    make_tree(w);
    for (int i = 0; i < 3; i++) {
        struct buffer partition = {0}, sort = {0};
        assert_int_equal(namespace_where(w->ns, paths[i], &partition, &sort), 0);
        assert_described(w->other, buffer_bytes(&partition), buffer_bytes(&sort), paths[i]);
        buffer_release(&partition);
        buffer_release(&sort);
    }
    assert_described(w->ns, bytes_of_string("user\n"), bytes_of_string("1"), "row user\\x0a, 1");
    uint8_t locks[9] = {'l', [8] = 77}, lease[17] = {'m', 0xab};
    assert_described(w->ns, bytes_of(locks, 9), (struct bytes){0}, "locks on file 77");
    assert_described(w->ns, bytes_of(lease, 17), (struct bytes){0},
                     "lease of mount ab000000000000000000000000000000");
}

static void count_partition(void *context, struct bytes partition_key) {
    assert_true(partition_key.size > 0);
    ++*(int *)context;
}

IN_WORLD(a_path_is_in_the_partitions_of_its_entry_and_its_contents) {
    int n = 0;
    make_tree(w);
    assert_int_equal(namespace_partitions(w->ns, "/d/e/file", count_partition, &n), 0);
    assert_int_equal(n, 1);
    n = 0;
    assert_int_equal(namespace_partitions(w->ns, "/d/e", count_partition, &n), 0);
    assert_int_equal(n, 2);
    n = 0;
    assert_int_equal(namespace_partitions(w->ns, "/", count_partition, &n), 0);
    assert_int_equal(n, 1 + (1 << ROOT_SHARD_BITS));
    assert_int_equal(namespace_partitions(w->ns, "/none/x", count_partition, &n), ERR_NO_ENTRY);
}

static void an_unreachable_store_is_not_opened(void **state) {
    (void)state;
    struct store_mem *mem = store_mem_new();
    store_mem_fail(mem, 1, 1, ERR_UNAVAILABLE, false);
    open_over(mem, ERR_UNAVAILABLE);
    open_over(mem, 0);
    store_mem_free(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_to_their_files),
        cmocka_unit_test(paths_that_lead_nowhere_say_why),
        cmocka_unit_test(a_missing_last_part_is_named_so_that_it_can_be_created),
        cmocka_unit_test(directories_resolve_the_root_included),
        cmocka_unit_test(where_names_the_row_of_a_path),
        cmocka_unit_test(the_roots_names_are_spread_over_its_shards),
        cmocka_unit_test(keys_are_described_by_the_path_that_they_stand_for),
        cmocka_unit_test(a_path_is_in_the_partitions_of_its_entry_and_its_contents),
        cmocka_unit_test(a_later_format_is_not_opened),
        cmocka_unit_test(an_unreachable_store_is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
