/* Tests of ACLs: what is one, what it does to the mode, and what is inherited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fs/acl.h"
#include "shared/err.h"

/* Entries as "tag permissions id", tags in acl(5)'s order: u named-u g named-g m o. */
struct entry {
    uint16_t tag, permissions;
    uint32_t id;
};
enum { U = 1, NAMED_U = 2, G = 4, NAMED_G = 8, M = 16, O = 32 };

static struct buffer acl_of(const struct entry *entries, size_t n) {
    struct buffer acl = {0};
    buffer_put_u32(&acl, 2);
    for (size_t i = 0; i < n; i++) {
        buffer_put_u16(&acl, entries[i].tag);
        buffer_put_u16(&acl, entries[i].permissions);
        buffer_put_u32(&acl, entries[i].id);
    }
    return acl;
}

#define ACL(...)                                                                                   \
    acl_of((const struct entry[]){__VA_ARGS__},                                                    \
           sizeof((const struct entry[]){__VA_ARGS__}) / sizeof(struct entry))

static int checked(struct buffer acl) {
    int err = acl_check(buffer_bytes(&acl));
    buffer_release(&acl);
    return err;
}

static void what_is_no_acl_is_refused(void **state) {
    (void)state;
    assert_int_equal(checked(ACL({U, 6, 0}, {G, 4, 0}, {O, 0, 0})), 0);
    assert_int_equal(
        checked(ACL({U, 6, 0}, {NAMED_U, 7, 5}, {NAMED_U, 7, 6}, {G, 4, 0}, {M, 7, 0}, {O, 0, 0})),
        0);
    assert_int_equal(checked(ACL({U, 6, 0}, {G, 4, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({U, 6, 0}, {NAMED_U, 7, 5}, {G, 4, 0}, {O, 0, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({U, 8, 0}, {G, 4, 0}, {O, 0, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({U, 6, 0}, {U, 6, 0}, {G, 4, 0}, {O, 0, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({G, 6, 0}, {U, 4, 0}, {O, 0, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({U, 6, 0}, {G, 4, 0}, {3, 4, 0}, {O, 0, 0})), ERR_INVALID);
    assert_int_equal(checked(ACL({U, 6, 0}, {G, 4, 0}, {O, 4, 0}, {64, 0, 0})), ERR_INVALID);
    struct buffer acl = ACL({U, 6, 0}, {G, 4, 0}, {O, 0, 0});
    for (size_t size = 0; size < acl.size; size++) {
        assert_int_equal(acl_check(bytes_of(acl.data, size)), ERR_INVALID);
    }
    acl.data[0] = 1;
    assert_int_equal(checked(acl), ERR_INVALID);
}

static void the_mode_tells_owner_mask_and_others(void **state) {
    (void)state;
    struct buffer plain = ACL({U, 6, 0}, {G, 4, 0}, {O, 1, 0});
    struct buffer named = ACL({U, 7, 0}, {NAMED_U, 7, 5}, {G, 4, 0}, {M, 2, 0}, {O, 0, 0});
    assert_true(acl_is_mode(buffer_bytes(&plain)));
    assert_false(acl_is_mode(buffer_bytes(&named)));
    assert_int_equal(acl_mode(buffer_bytes(&plain), 0107777), 0107641);
    assert_int_equal(acl_mode(buffer_bytes(&named), 0100000), 0100720);
    buffer_release(&plain);
    buffer_release(&named);
}

static void chmod_changes_the_mask_where_there_is_one(void **state) {
    (void)state;
    struct buffer named = ACL({U, 7, 0}, {NAMED_U, 7, 5}, {G, 4, 0}, {M, 2, 0}, {O, 0, 0});
    struct buffer expected = ACL({U, 6, 0}, {NAMED_U, 7, 5}, {G, 4, 0}, {M, 5, 0}, {O, 1, 0});
    struct buffer changed = {0};
    acl_chmod(buffer_bytes(&named), 0104651, &changed);
    assert_true(bytes_equal(buffer_bytes(&changed), buffer_bytes(&expected)));
    buffer_release(&named);
    buffer_release(&expected);
    buffer_release(&changed);
}

static void what_is_made_gets_what_both_the_default_and_its_maker_allow(void **state) {
    (void)state;
    struct buffer named = ACL({U, 7, 0}, {NAMED_U, 7, 5}, {G, 5, 0}, {M, 7, 0}, {O, 4, 0});
    struct buffer expected = ACL({U, 6, 0}, {NAMED_U, 7, 5}, {G, 5, 0}, {M, 6, 0}, {O, 0, 0});
    struct buffer made = {0};
    assert_int_equal(acl_inherit(buffer_bytes(&named), 0102660, &made), 0102660);
    assert_true(bytes_equal(buffer_bytes(&made), buffer_bytes(&expected)));
    buffer_release(&named);
    buffer_release(&expected);
    buffer_release(&made);
    struct buffer plain = ACL({U, 7, 0}, {G, 4, 0}, {O, 0, 0});
    assert_int_equal(acl_inherit(buffer_bytes(&plain), 0100666, &made), 0100640);
    assert_true(acl_is_mode(buffer_bytes(&made)));
    buffer_release(&plain);
    buffer_release(&made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_acl_is_refused),
        cmocka_unit_test(the_mode_tells_owner_mask_and_others),
        cmocka_unit_test(chmod_changes_the_mask_where_there_is_one),
        cmocka_unit_test(what_is_made_gets_what_both_the_default_and_its_maker_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
