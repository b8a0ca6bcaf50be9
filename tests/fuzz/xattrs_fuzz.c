/* xattrs_fuzz: any bytes as a list of extended attributes, and as an ACL.
 *
 * Input: one byte that says which, then the bytes.
 * Promises: what is read lies within the input; what was set is found; what was removed is not, and
 * a list never grows beyond its bound. Of an ACL that passed its check the mode and the ACL say the
 * same after chmod and after inheriting, and it is an ACL still. */
#include <string.h>
#include <sys/stat.h>

#include "fs/acl.h"
#include "fs/xattr.h"
#include "shared/err.h"
#include "shared/xattrs.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 300000;

enum { TRY_LIST, TRY_ACL };

static void within(struct bytes part, struct bytes whole) {
    FUZZ_CHECK(part.size == 0 ||
               (part.data >= whole.data && part.data + part.size <= whole.data + whole.size));
}

static bool is_list(struct bytes list) {
    struct reader r = reader_of(list);
    struct xattr xattr;
    int more;
    while ((more = xattrs_next(&r, &xattr)) > 0) {
        FUZZ_CHECK(xattr.name.size >= 1 && xattr.name.size <= XATTRS_NAME_SIZE_MAX);
        within(xattr.name, list);
        within(xattr.value, list);
    }
    FUZZ_CHECK(more == 0 || more == ERR_CORRUPT);
    return more == 0;
}

static void try_list(struct bytes list) {
    struct bytes name = bytes_of_string("user.name"), value = bytes_of_string("value"), found;
    struct buffer set = {0}, removed = {0}, made = {0};
    bool whole = is_list(list);
    int err = xattrs_set(list, name, value, &set);
    FUZZ_CHECK(whole ? err == 0 || err == ERR_TOO_BIG : err == ERR_CORRUPT);
    if (err == 0) {
        FUZZ_CHECK(is_list(buffer_bytes(&set)) && set.size <= RECORD_XATTRS_MAX);
        FUZZ_CHECK(xattrs_find(buffer_bytes(&set), name, &found) == 0);
        FUZZ_CHECK(bytes_equal(found, value));
        FUZZ_CHECK(xattrs_remove(buffer_bytes(&set), name, &removed) == 0);
        FUZZ_CHECK(xattrs_find(buffer_bytes(&removed), name, &found) == ERR_NO_ATTRIBUTE);
    }
    buffer_clear(&set);
    if (xattrs_chmod(list, 0640, &set)) {
        FUZZ_CHECK(is_list(buffer_bytes(&set)));
    }
    uint32_t mode = xattrs_inherit(list, S_IFDIR | 0777, 022, &made);
    FUZZ_CHECK(S_ISDIR(mode) && is_list(buffer_bytes(&made)));
    buffer_release(&set);
    buffer_release(&removed);
    buffer_release(&made);
}

static void try_acl(struct bytes acl) {
    struct buffer changed = {0}, made = {0};
    if (acl_check(acl) == 0) {
        FUZZ_CHECK(acl_mode(acl, 0100000) <= 0100777);
        acl_chmod(acl, 0100751, &changed);
        FUZZ_CHECK(acl_check(buffer_bytes(&changed)) == 0);
        FUZZ_CHECK(acl_mode(buffer_bytes(&changed), 0100000) == 0100751);
        FUZZ_CHECK(acl_is_mode(buffer_bytes(&changed)) == acl_is_mode(acl));
        uint32_t mode = acl_inherit(acl, 0100666, &made);
        FUZZ_CHECK(acl_check(buffer_bytes(&made)) == 0);
        FUZZ_CHECK((mode & ~0100666u) == 0 && acl_mode(buffer_bytes(&made), 0100000) == mode);
    }
    buffer_release(&changed);
    buffer_release(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == TRY_LIST) {
        try_list(bytes_of(data + 1, size - 1));
    } else if (size > 0) {
        try_acl(bytes_of(data + 1, size - 1));
    }
    return 0;
}

static void seed_acl(struct buffer *into) {
    static const uint16_t tags[] = {1, 2, 4, 8, 16, 32};
    buffer_put_u32(into, 2);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        buffer_put_u16(into, tags[i]);
        buffer_put_u16(into, 6);
        buffer_put_u32(into, 1000);
    }
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    struct buffer acl = {0};
    seed_acl(&acl);
    if (n == 0) {
        buffer_put_u8(into, TRY_ACL);
        buffer_put_bytes(into, buffer_bytes(&acl));
    } else if (n == 1) {
        struct buffer one = {0}, two = {0};
        xattrs_set((struct bytes){0}, bytes_of_string("user.name"), bytes_of_string("old"), &one);
        xattrs_set(buffer_bytes(&one), bytes_of_string(ACL_ACCESS), buffer_bytes(&acl), &two);
        buffer_put_u8(into, TRY_LIST);
        buffer_put_bytes(into, buffer_bytes(&two));
        buffer_clear(&one);
        xattrs_set(buffer_bytes(&two), bytes_of_string(ACL_DEFAULT), buffer_bytes(&acl), &one);
        buffer_put_bytes(into, bytes_of(one.data + two.size, one.size - two.size));
        buffer_release(&one);
        buffer_release(&two);
    }
    buffer_release(&acl);
    return n < 2;
}
