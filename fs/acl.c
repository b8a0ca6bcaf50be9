/* acl: POSIX access control lists, as the kernel hands them over. */
#include "fs/acl.h"

#include "shared/err.h"

enum {
    ACL_VERSION = 2,
    ENTRY_SIZE = 8,
    ALL = 7,
    USER_SHIFT = 6,
    GROUP_SHIFT = 3,
};

/* In the order in which they have to come. */
enum tag {
    TAG_OWNER = 1,
    TAG_USER = 2,
    TAG_GROUP = 4,
    TAG_NAMED_GROUP = 8,
    TAG_MASK = 16,
    TAG_OTHER = 32,
    TAGS_NEEDED = TAG_OWNER | TAG_GROUP | TAG_OTHER,
    TAGS_NAMED = TAG_USER | TAG_NAMED_GROUP,
};

struct entry {
    uint16_t tag;
    uint16_t permissions;
    uint32_t id;
};

static struct reader entries_of(struct bytes acl) {
    struct reader r = reader_of(acl);
    reader_u32(&r);
    return r;
}

static bool next(struct reader *r, struct entry *ret) {
    if (r->left == 0) {
        return false;
    }
    ret->tag = reader_u16(r);
    ret->permissions = reader_u16(r);
    ret->id = reader_u32(r);
    return true;
}

static void put(struct buffer *into, const struct entry *entry) {
    buffer_put_u16(into, entry->tag);
    buffer_put_u16(into, entry->permissions);
    buffer_put_u32(into, entry->id);
}

static bool is_tag(uint16_t tag) {
    return tag != 0 && tag <= TAG_OTHER && (tag & (tag - 1)) == 0;
}

/* The tags that an ACL has, or'ed; 0 when its entries are not in order. */
static unsigned tags_of(struct bytes acl) {
    struct reader r = entries_of(acl);
    struct entry entry;
    unsigned tags = 0;
    unsigned last = 0;
    while (next(&r, &entry)) {
        bool again = entry.tag == last && (entry.tag & TAGS_NAMED) != 0;
        if (!is_tag(entry.tag) || entry.permissions > ALL || (entry.tag <= last && !again)) {
            return 0;
        }
        last = entry.tag;
        tags |= entry.tag;
    }
    return tags;
}

int acl_check(struct bytes acl) {
    if (acl.size < 4 || acl.size > ACL_SIZE_MAX || (acl.size - 4) % ENTRY_SIZE != 0 ||
        bytes_load_u32(acl.data) != ACL_VERSION) {
        return ERR_INVALID;
    }
    unsigned tags = tags_of(acl);
    bool masked = (tags & TAGS_NAMED) == 0 || (tags & TAG_MASK) != 0;
    return (tags & TAGS_NEEDED) == TAGS_NEEDED && masked ? 0 : ERR_INVALID;
}

bool acl_is_mode(struct bytes acl) {
    return tags_of(acl) == TAGS_NEEDED;
}

/* Where in the mode the permissions of an entry stand; -1 for those that it does not tell. With a
 * mask that is where the group's would be. */
static int shift_of(uint16_t tag, bool masked) {
    switch (tag) {
    case TAG_OWNER:
        return USER_SHIFT;
    case TAG_GROUP:
        return masked ? -1 : GROUP_SHIFT;
    case TAG_MASK:
        return GROUP_SHIFT;
    case TAG_OTHER:
        return 0;
    default:
        return -1;
    }
}

static bool has_mask(struct bytes acl) {
    return (tags_of(acl) & TAG_MASK) != 0;
}

uint32_t acl_mode(struct bytes acl, uint32_t mode) {
    struct reader r = entries_of(acl);
    struct entry entry;
    bool masked = has_mask(acl);
    while (next(&r, &entry)) {
        int shift = shift_of(entry.tag, masked);
        if (shift >= 0) {
            mode = (mode & ~((uint32_t)ALL << shift)) | (uint32_t)entry.permissions << shift;
        }
    }
    return mode;
}

void acl_chmod(struct bytes acl, uint32_t mode, struct buffer *into) {
    struct reader r = entries_of(acl);
    struct entry entry;
    bool masked = has_mask(acl);
    buffer_put_u32(into, ACL_VERSION);
    while (next(&r, &entry)) {
        int shift = shift_of(entry.tag, masked);
        if (shift >= 0) {
            entry.permissions = (uint16_t)(mode >> shift & ALL);
        }
        put(into, &entry);
    }
}

uint32_t acl_inherit(struct bytes acl, uint32_t mode, struct buffer *into) {
    struct reader r = entries_of(acl);
    struct entry entry;
    bool masked = has_mask(acl);
    buffer_put_u32(into, ACL_VERSION);
    while (next(&r, &entry)) {
        int shift = shift_of(entry.tag, masked);
        if (shift >= 0) {
            entry.permissions = (uint16_t)(entry.permissions & (mode >> shift));
            mode = (mode & ~((uint32_t)ALL << shift)) | (uint32_t)entry.permissions << shift;
        }
        put(into, &entry);
    }
    return mode;
}
