/* namespace: extended attributes of directories, which lie in the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/xattrs.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

/* Sets an attribute of the name to the name; before that, another client changes the directory. */
struct change {
    const char *name;
    struct namespace *other;
    const struct id128 *directory;
    struct buffer list;
    int n_runs;
};

static int set_one(void *context, struct directory_attributes *attributes);

static int set_name(struct namespace *ns, const struct id128 *directory, const char *name,
                    struct namespace *other, int *ret_n_runs) {
    struct change change = {.name = name, .other = other, .directory = directory};
    struct directory_attributes now;
    int err = namespace_update_directory(ns, directory, set_one, &change, &now);
    if (err == 0) {
        directory_attributes_release(&now);
    }
    buffer_release(&change.list);
    *ret_n_runs = change.n_runs;
    return err;
}

static int set_one(void *context, struct directory_attributes *attributes) {
    struct change *change = context;
    int n_runs;
    if (change->n_runs++ == 0 && change->other != NULL) {
        assert_int_equal(set_name(change->other, change->directory, "theirs", NULL, &n_runs), 0);
    }
    buffer_clear(&change->list);
    struct bytes name = bytes_of_string(change->name);
    assert_int_equal(xattrs_set(attributes->xattrs, name, name, &change->list), 0);
    attributes->xattrs = buffer_bytes(&change->list);
    return ATTRIBUTE_XATTRS;
}

static void assert_has(struct namespace *ns, const struct id128 *directory, const char *name) {
    struct directory_attributes attributes;
    struct bytes value;
    assert_int_equal(namespace_attributes(ns, directory, &attributes), 0);
    assert_int_equal(xattrs_find(attributes.xattrs, bytes_of_string(name), &value), 0);
    assert_true(bytes_equal(value, bytes_of_string(name)));
    directory_attributes_release(&attributes);
}

static struct id128 made_directory(struct world *w, const char *name) {
    struct entry entry;
    assert_int_equal(namespace_mkdir(w->ns, root, name, 0755, 0, 0, &entry), 0);
    struct id128 id = entry.record.directory;
    entry_release(&entry);
    return id;
}

IN_WORLD(attributes_set_by_two_clients_at_once_are_both_there) {
    struct id128 d = made_directory(w, "d");
    int n_runs;
    assert_int_equal(set_name(w->ns, &d, "ours", w->other, &n_runs), 0);
    assert_int_equal(n_runs, 2);
    assert_has(w->other, &d, "ours");
    assert_has(w->other, &d, "theirs");
}

IN_WORLD(the_root_has_attributes_too) {
    int n_runs;
    assert_int_equal(set_name(w->ns, root, "ours", NULL, &n_runs), 0);
    assert_has(w->other, root, "ours");
}

IN_WORLD(attributes_stay_when_mode_or_place_change) {
    struct id128 d = made_directory(w, "d");
    struct id128 into = made_directory(w, "into");
    int n_runs;
    assert_int_equal(set_name(w->ns, &d, "ours", NULL, &n_runs), 0);
    struct directory_attributes set = {.mode = 0700}, now;
    assert_int_equal(namespace_set_attributes(w->other, &d, ATTRIBUTE_MODE, &set, &now), 0);
    assert_true(now.xattrs.size > 0);
    directory_attributes_release(&now);
    assert_int_equal(namespace_rename(w->ns, root, "d", &into, "e", 0, NULL, NULL), 0);
    assert_has(w->other, &d, "ours");
    assert_int_equal(namespace_rmdir(w->ns, &into, "e"), 0);
}

IN_WORLD(a_directory_can_be_made_with_attributes) {
    struct buffer list = {0};
    xattrs_set((struct bytes){0}, bytes_of_string("n"), bytes_of_string("n"), &list);
    struct directory_attributes made = {.mode = 0750, .xattrs = buffer_bytes(&list)};
    struct entry entry;
    assert_int_equal(namespace_mkdir_as(w->ns, root, "d", &made, &entry), 0);
    buffer_release(&list);
    assert_has(w->other, &entry.record.directory, "n");
    entry_release(&entry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_set_by_two_clients_at_once_are_both_there),
        cmocka_unit_test(the_root_has_attributes_too),
        cmocka_unit_test(attributes_stay_when_mode_or_place_change),
        cmocka_unit_test(a_directory_can_be_made_with_attributes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
