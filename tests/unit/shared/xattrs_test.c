/* Tests of the list of extended attributes: what goes in comes out, whatever the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/xattrs.h"

static struct bytes text(const char *s) {
    return bytes_of_string(s);
}

/* Replaces the list by what a change makes of it. */
static int set(struct buffer *list, const char *name, struct bytes value) {
    struct buffer changed = {0};
    int err = xattrs_set(buffer_bytes(list), text(name), value, &changed);
    if (err == 0) {
        buffer_release(list);
        *list = changed;
    } else {
        buffer_release(&changed);
    }
    return err;
}

static int removed(struct buffer *list, const char *name) {
    struct buffer changed = {0};
    int err = xattrs_remove(buffer_bytes(list), text(name), &changed);
    if (err == 0) {
        buffer_release(list);
        *list = changed;
    } else {
        buffer_release(&changed);
    }
    return err;
}

static void assert_value(const struct buffer *list, const char *name, const char *value) {
    struct bytes found;
    assert_int_equal(xattrs_find(buffer_bytes(list), text(name), &found), 0);
    assert_true(bytes_equal(found, text(value)));
}

static void what_was_set_is_found_and_what_was_removed_is_not(void **state) {
    (void)state;
    struct buffer list = {0};
    struct bytes found;
    assert_int_equal(xattrs_find(buffer_bytes(&list), text("user.a"), &found), ERR_NO_ATTRIBUTE);
    assert_int_equal(set(&list, "user.a", text("one")), 0);
    assert_int_equal(set(&list, "user.b", text("")), 0);
    assert_int_equal(set(&list, "user.c", text("three")), 0);
    assert_int_equal(set(&list, "user.a", text("longer than one")), 0);
    assert_value(&list, "user.a", "longer than one");
    assert_value(&list, "user.b", "");
    assert_value(&list, "user.c", "three");
    assert_int_equal(removed(&list, "user.b"), 0);
    assert_int_equal(removed(&list, "user.b"), ERR_NO_ATTRIBUTE);
    assert_int_equal(xattrs_find(buffer_bytes(&list), text("user.b"), &found), ERR_NO_ATTRIBUTE);
    assert_int_equal(removed(&list, "user.a"), 0);
    assert_int_equal(removed(&list, "user.c"), 0);
    assert_int_equal(list.size, 0);
    buffer_release(&list);
}

static void a_replaced_attribute_keeps_its_place(void **state) {
    (void)state;
    struct buffer list = {0};
    set(&list, "user.a", text("1"));
    set(&list, "user.b", text("2"));
    set(&list, "user.a", text("3"));
    struct reader r = reader_of(buffer_bytes(&list));
    struct xattr xattr;
    assert_int_equal(xattrs_next(&r, &xattr), 1);
    assert_true(bytes_equal(xattr.name, text("user.a")));
    assert_int_equal(xattrs_next(&r, &xattr), 1);
    assert_true(bytes_equal(xattr.name, text("user.b")));
    assert_int_equal(xattrs_next(&r, &xattr), 0);
    buffer_release(&list);
}

static void a_list_grows_to_its_bound_and_not_beyond(void **state) {
    (void)state;
    struct buffer list = {0};
    uint8_t *big = calloc(1, 1 << 16);
    size_t overhead = 3 + strlen("user.a");
    assert_int_equal(set(&list, "user.a", bytes_of(big, 1 << 16)), ERR_TOO_BIG);
    assert_int_equal(set(&list, "user.a", bytes_of(big, RECORD_XATTRS_MAX - overhead + 1)),
                     ERR_TOO_BIG);
    assert_int_equal(set(&list, "user.a", bytes_of(big, RECORD_XATTRS_MAX - overhead)), 0);
    assert_int_equal(list.size, RECORD_XATTRS_MAX);
    assert_int_equal(set(&list, "user.b", text("")), ERR_TOO_BIG);
    assert_int_equal(set(&list, "user.a", text("small again")), 0);
    assert_int_equal(set(&list, "user.b", text("")), 0);
    free(big);
    buffer_release(&list);
}

static void what_is_no_name_is_refused(void **state) {
    (void)state;
    struct buffer into = {0};
    char longest[XATTRS_NAME_SIZE_MAX + 2];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct bytes none = {0};
    assert_int_equal(xattrs_set(none, text(""), none, &into), ERR_INVALID);
    assert_int_equal(xattrs_set(none, bytes_of("a\0b", 3), none, &into), ERR_INVALID);
    assert_int_equal(xattrs_set(none, text(longest), none, &into), ERR_INVALID);
    longest[XATTRS_NAME_SIZE_MAX] = '\0';
    assert_int_equal(xattrs_set(none, text(longest), none, &into), 0);
    buffer_release(&into);
}

static void a_malformed_list_is_met_as_corrupt(void **state) {
    (void)state;
    struct buffer list = {0}, into = {0};
    struct bytes found;
    set(&list, "user.a", text("value"));
    for (size_t size = 1; size < list.size; size++) {
        struct bytes cut = bytes_of(list.data, size);
        assert_int_equal(xattrs_find(cut, text("user.x"), &found), ERR_CORRUPT);
        buffer_clear(&into);
        assert_int_equal(xattrs_set(cut, text("user.x"), text("y"), &into), ERR_CORRUPT);
        buffer_clear(&into);
        assert_int_equal(xattrs_remove(cut, text("user.x"), &into), ERR_CORRUPT);
    }
    static const uint8_t nameless[] = {0, 1, 0, 'v'};
    assert_int_equal(xattrs_find(bytes_of(nameless, 4), text("user.x"), &found), ERR_CORRUPT);
    static const uint8_t zero_in_name[] = {2, 'a', 0, 0, 0};
    assert_int_equal(xattrs_find(bytes_of(zero_in_name, 5), text("a"), &found), ERR_CORRUPT);
    buffer_release(&list);
    buffer_release(&into);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_found_and_what_was_removed_is_not),
        cmocka_unit_test(a_replaced_attribute_keeps_its_place),
        cmocka_unit_test(a_list_grows_to_its_bound_and_not_beyond),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(a_malformed_list_is_met_as_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
