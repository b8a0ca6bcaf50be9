/* xattrs: the list of extended attributes inside a record or a directory's header. */
#include "shared/xattrs.h"

#include <string.h>

#include "shared/err.h"

static bool is_name(struct bytes name) {
    return name.size >= 1 && name.size <= XATTRS_NAME_SIZE_MAX && !memchr(name.data, 0, name.size);
}

int xattrs_next(struct reader *r, struct xattr *ret) {
    if (r->left == 0) {
        return r->bad ? ERR_CORRUPT : 0;
    }
    struct xattr xattr;
    xattr.name = reader_sized8(r);
    xattr.value = reader_sized16(r);
    if (r->bad || !is_name(xattr.name)) {
        return ERR_CORRUPT;
    }
    *ret = xattr;
    return 1;
}

int xattrs_find(struct bytes list, struct bytes name, struct bytes *ret_value) {
    struct reader r = reader_of(list);
    struct xattr xattr;
    int more;
    while ((more = xattrs_next(&r, &xattr)) > 0) {
        if (bytes_equal(xattr.name, name)) {
            *ret_value = xattr.value;
            return 0;
        }
    }
    return more < 0 ? more : ERR_NO_ATTRIBUTE;
}

static void put(struct buffer *into, struct bytes name, struct bytes value) {
    buffer_put_sized8(into, name);
    buffer_put_sized16(into, value);
}

/* The list with `value` in the place of the attribute's (NULL: without it). *ret_n: how many there
 * were of the name. */
static int rewrite(struct bytes list, struct bytes name, const struct bytes *value,
                   struct buffer *into, int *ret_n) {
    struct reader r = reader_of(list);
    struct xattr xattr;
    int more;
    *ret_n = 0;
    while ((more = xattrs_next(&r, &xattr)) > 0) {
        if (!bytes_equal(xattr.name, name)) {
            put(into, xattr.name, xattr.value);
        } else if ((*ret_n)++ == 0 && value != NULL) {
            put(into, name, *value);
        }
    }
    return more;
}

int xattrs_set(struct bytes list, struct bytes name, struct bytes value, struct buffer *into) {
    if (!is_name(name)) {
        return ERR_INVALID;
    }
    if (value.size > XATTRS_VALUE_SIZE_MAX) {
        return ERR_TOO_BIG;
    }
    int n;
    int err = rewrite(list, name, &value, into, &n);
    if (err == 0 && n == 0) {
        put(into, name, value);
    }
    return err == 0 && into->size > RECORD_XATTRS_MAX ? ERR_TOO_BIG : err;
}

int xattrs_remove(struct bytes list, struct bytes name, struct buffer *into) {
    int n;
    int err = rewrite(list, name, NULL, into, &n);
    return err == 0 && n == 0 ? ERR_NO_ATTRIBUTE : err;
}
