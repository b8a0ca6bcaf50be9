/* pages of a listing that are asked for before the kernel comes for them. */
#include <stdio.h>

#include "tests/unit/fs/world.h"

/* A page of names alone has 384 of them. */
enum { PAGE = 384, FILES = 2000, PAGES = 6, HANDLES = PAGES_AHEAD_MAX + 8 };

/* Names as they come, in their order. */
struct listed {
    int n;
    int room;
    uint64_t last_offset;
    char names[FILES + 8][16];
};

static bool take(void *context, const char *name, const struct stat *stat, uint64_t next_offset) {
    struct listed *listed = context;
    (void)stat;
    if (listed->room-- <= 0) {
        return false;
    }
    assert_true(next_offset > listed->last_offset);
    listed->last_offset = next_offset;
    snprintf(listed->names[listed->n++], sizeof listed->names[0], "%s", name);
    return true;
}

static int read_some(struct mount *mount, struct directory_handle *handle, struct listed *listed,
                     int n) {
    listed->room = n;
    struct listener listener = {.take = take, .context = listed};
    return directory_read(mount, handle, listed->last_offset, &listener);
}

static void read_rest(struct mount *mount, struct directory_handle *handle, struct listed *listed) {
    for (int before = -1; before != listed->n;) {
        before = listed->n;
        assert_int_equal(read_some(mount, handle, listed, 300), 0);
    }
}

static bool has(const struct listed *listed, const char *name) {
    bool met = false;
    for (int i = 0; i < listed->n; i++) {
        met = met || strcmp(listed->names[i], name) == 0;
    }
    return met;
}

/* A directory of many files that mount b, which has not made them, has opened. */
struct opened {
    uint64_t ino;
    struct directory_handle *handle;
    struct listed *listed;
};

static struct opened open_large(struct world *w) {
    struct opened ret = {.listed = calloc(1, sizeof *ret.listed)};
    struct stat stat;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker_file, &stat), 0);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(tree_mknod(&w->a, stat.st_ino, name, &maker_file, &stat), 0);
        stat.st_ino = ino_of(&w->a, "d");
    }
    ret.ino = ino_of(&w->b, "d");
    assert_int_equal(directory_open(&w->b, ret.ino, &ret.handle), 0);
    store_mem_yield(w->mem, true);
    store_mem_reset_hooks(w->mem);
    store_mem_yield(w->mem, true);
    return ret;
}

static void close_large(struct world *w, struct opened *opened) {
    directory_release(&w->b, opened->handle);
    settle();
    assert_int_equal(w->b.n_pages_ahead, 0);
    free(opened->listed);
}

/* The name that comes last. */
static void last_name(struct world *w, uint64_t ino, char ret[16]) {
    struct listed *all = calloc(1, sizeof *all);
    struct directory_handle *handle;
    assert_int_equal(directory_open(&w->b, ino, &handle), 0);
    read_rest(&w->b, handle, all);
    assert_int_equal(all->n, FILES + 2);
    memcpy(ret, all->names[all->n - 1], sizeof all->names[0]);
    directory_release(&w->b, handle);
    settle();
    free(all);
}

IN_WORLD(the_next_pages_are_there_before_the_kernel_comes_for_them) {
    struct opened d = open_large(w);
    assert_int_equal(read_some(&w->b, d.handle, d.listed, 10), 0);
    settle();
    assert_int_equal(store_mem_calls(w->mem), 2); /* one more, as long as it is not used */
    while (d.listed->n <= PAGE + 2) {
        assert_int_equal(read_some(&w->b, d.handle, d.listed, 100), 0);
    }
    settle();
    assert_int_equal(store_mem_calls(w->mem), 4); /* then two */
    read_rest(&w->b, d.handle, d.listed);
    assert_int_equal(d.listed->n, FILES + 2);
    assert_int_equal(store_mem_calls(w->mem), PAGES); /* each was read once */
    close_large(w, &d);
}

IN_WORLD(the_kernel_is_given_what_there_is_while_the_next_page_is_coming) {
    struct opened d = open_large(w);
    assert_int_equal(read_some(&w->b, d.handle, d.listed, 4000), 0);
    assert_true(d.listed->n > 2 && d.listed->n < FILES);
    assert_true(d.handle->asked != NULL);
    read_rest(&w->b, d.handle, d.listed);
    assert_int_equal(d.listed->n, FILES + 2);
    close_large(w, &d);
}

IN_WORLD(a_page_is_read_anew_when_this_mount_has_changed_the_directory_since) {
    struct opened d = open_large(w);
    char last[16];
    last_name(w, d.ino, last);
    assert_int_equal(read_some(&w->b, d.handle, d.listed, 1000), 0);
    settle();
    while (d.listed->n < 1100) {
        assert_int_equal(read_some(&w->b, d.handle, d.listed, 100), 0);
        settle();
    }
    assert_int_equal(tree_unlink(&w->b, d.ino, last), 0);
    read_rest(&w->b, d.handle, d.listed);
    assert_int_equal(d.listed->n, FILES + 1);
    assert_false(has(d.listed, last));
    close_large(w, &d);
}

IN_WORLD(a_page_that_has_become_old_is_read_anew) {
    struct opened d = open_large(w);
    assert_int_equal(read_some(&w->b, d.handle, d.listed, 10), 0);
    settle();
    store_mem_advance(w->mem, 2 * (uint64_t)SECOND_NS);
    read_rest(&w->b, d.handle, d.listed);
    assert_int_equal(d.listed->n, FILES + 2);
    assert_int_equal(store_mem_calls(w->mem), PAGES + 1); /* and none ahead after it */
    close_large(w, &d);
}

IN_WORLD(an_error_of_a_page_that_was_asked_for_is_told_when_it_is_wanted_and_still_there) {
    struct opened d = open_large(w);
    store_mem_fail(w->mem, 2, 3, ERR_UNAVAILABLE, false);
    assert_int_equal(read_some(&w->b, d.handle, d.listed, 10), 0);
    settle();
    assert_int_equal(store_mem_calls(w->mem), 2);
    int status = 0;
    while (status == 0 && d.listed->n < FILES) {
        status = read_some(&w->b, d.handle, d.listed, 100);
    }
    assert_int_equal(status, ERR_UNAVAILABLE);
    assert_true(d.listed->n > PAGE - 100 && d.listed->n <= PAGE + 2);
    read_rest(&w->b, d.handle, d.listed); /* the next try is as good as the first */
    assert_int_equal(d.listed->n, FILES + 2);
    close_large(w, &d);
}

IN_WORLD(rewinding_and_closing_drop_what_is_under_way) {
    struct opened d = open_large(w);
    for (int i = 0; i < 3; i++) {
        d.listed->n = 0;
        d.listed->last_offset = 0;
        assert_int_equal(read_some(&w->b, d.handle, d.listed, 10), 0);
    }
    directory_release(&w->b, d.handle);
    assert_true(w->b.n_pages_ahead > 0);
    settle();
    assert_int_equal(w->b.n_pages_ahead, 0);
    free(d.listed);
}

IN_WORLD(no_more_pages_are_asked_for_than_the_bound) {
    struct opened d = open_large(w);
    struct directory_handle *handles[HANDLES];
    for (int i = 0; i < HANDLES; i++) {
        d.listed->n = 0;
        d.listed->last_offset = 0;
        assert_int_equal(directory_open(&w->b, d.ino, &handles[i]), 0);
        assert_int_equal(read_some(&w->b, handles[i], d.listed, 10), 0);
    }
    settle();
    assert_int_equal(w->b.n_pages_ahead, PAGES_AHEAD_MAX);
    for (int i = 0; i < HANDLES; i++) {
        directory_release(&w->b, handles[i]);
    }
    close_large(w, &d);
}

static bool take_whole(void *context, const char *name, const struct stat *stat,
                       uint64_t next_offset) {
    assert_true(name[0] == '.' || stat->st_uid == 1);
    return take(context, name, stat, next_offset);
}

IN_WORLD(attributes_are_given_from_where_they_are_wanted_on) {
    struct opened d = open_large(w);
    struct listener whole = {.take = take_whole, .context = d.listed, .attributes = true};
    for (int i = 0; d.listed->n < FILES + 2; i++) {
        d.listed->room = 90;
        if (i % 3 == 2) {
            assert_int_equal(directory_read(&w->b, d.handle, d.listed->last_offset, &whole), 0);
        } else {
            assert_int_equal(read_some(&w->b, d.handle, d.listed, 90), 0);
        }
    }
    close_large(w, &d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_pages_are_there_before_the_kernel_comes_for_them),
        cmocka_unit_test(the_kernel_is_given_what_there_is_while_the_next_page_is_coming),
        cmocka_unit_test(a_page_is_read_anew_when_this_mount_has_changed_the_directory_since),
        cmocka_unit_test(a_page_that_has_become_old_is_read_anew),
        cmocka_unit_test(
            an_error_of_a_page_that_was_asked_for_is_told_when_it_is_wanted_and_still_there),
        cmocka_unit_test(rewinding_and_closing_drop_what_is_under_way),
        cmocka_unit_test(no_more_pages_are_asked_for_than_the_bound),
        cmocka_unit_test(attributes_are_given_from_where_they_are_wanted_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
