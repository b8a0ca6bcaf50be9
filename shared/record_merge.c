/* record_merge: attributes that two sides of a partition changed, brought together group by group.
 */
#include <string.h>

#include "shared/record.h"
#include "shared/xattrs.h"

/* Records and headers have the same attributes in different places. */
struct attributes {
    uint32_t *mode, *uid, *gid;
    int64_t *atime_ns, *mtime_ns, *ctime_ns;
    uint64_t *mtime_tally_ns; /* a header's, else NULL */
    struct bytes *xattrs;
    struct attribute_stamps *changed;
};

static struct attributes of_record(struct record *r) {
    return (struct attributes){&r->mode,     &r->uid, &r->gid,    &r->atime_ns, &r->mtime_ns,
                               &r->ctime_ns, NULL,    &r->xattrs, &r->changed};
}

static struct attributes of_header(struct header *h) {
    return (struct attributes){&h->mode,           &h->uid,      &h->gid,
                               &h->atime_ns,       &h->mtime_ns, &h->ctime_ns,
                               &h->mtime_tally_ns, &h->xattrs,   &h->changed};
}

/* ---- marking ---- */

/* Later than any of before, also when this client's clock is behind others'. */
static uint64_t stamp_after(uint64_t before_ns, uint64_t now_ns) {
    return now_ns > before_ns ? now_ns : before_ns + 1;
}

static void mark(const struct attributes *before, const struct attributes *after, uint64_t now_ns) {
    const struct attribute_stamps *was = before->changed;
    struct attribute_stamps *changed = after->changed;
    if (*before->mode != *after->mode) {
        changed->mode_ns = stamp_after(was->mode_ns, now_ns);
    }
    if (*before->uid != *after->uid || *before->gid != *after->gid) {
        changed->owner_ns = stamp_after(was->owner_ns, now_ns);
    }
    if (!bytes_equal(*before->xattrs, *after->xattrs)) {
        changed->xattrs_ns = stamp_after(was->xattrs_ns, now_ns);
    }
    if (*before->atime_ns != *after->atime_ns || *before->mtime_ns != *after->mtime_ns) {
        changed->times_ns = stamp_after(was->times_ns, now_ns);
    }
}

void record_mark_changes(const struct record *before, struct record *record, uint64_t now_ns) {
    struct record was = *before;
    struct attributes a = of_record(&was), b = of_record(record);
    bool written = before->mtime_ns != record->mtime_ns && record->mtime_ns == record->ctime_ns;
    mark(&a, &b, now_ns);
    if (written) {
        record->changed.times_ns = 0; /* mtime tells */
    }
}

void header_mark_changes(const struct header *before, struct header *header, uint64_t now_ns) {
    struct header was = *before;
    struct attributes a = of_header(&was), b = of_header(header);
    mark(&a, &b, now_ns);
}

/* ---- merging ---- */

static bool has_access_acl(const struct attributes *a) {
    struct bytes value;
    return a->xattrs->size > 0 && xattrs_find(*a->xattrs, bytes_of_string(ACL_ACCESS), &value) == 0;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t times_stamp(const struct attributes *a) {
    bool tells = a->mtime_tally_ns == NULL && *a->mtime_ns > 0;
    return a->changed->times_ns == 0 && tells ? (uint64_t)*a->mtime_ns : a->changed->times_ns;
}

static void merge_times(const struct attributes *into, const struct attributes *from) {
    if (times_stamp(from) > times_stamp(into)) {
        *into->atime_ns = *from->atime_ns;
        *into->mtime_ns = *from->mtime_ns;
        into->changed->times_ns = from->changed->times_ns;
        if (into->mtime_tally_ns != NULL) {
            *into->mtime_tally_ns = *from->mtime_tally_ns;
        }
    }
    if (*from->ctime_ns > *into->ctime_ns) {
        *into->ctime_ns = *from->ctime_ns;
    }
}

static void merge(const struct attributes *into, const struct attributes *from) {
    struct attribute_stamps a = *into->changed, b = *from->changed;
    if (has_access_acl(into) || has_access_acl(from)) {
        a.mode_ns = a.xattrs_ns = later(a.mode_ns, a.xattrs_ns);
        b.mode_ns = b.xattrs_ns = later(b.mode_ns, b.xattrs_ns);
    }
    if (b.mode_ns > a.mode_ns) {
        *into->mode = *from->mode;
        into->changed->mode_ns = from->changed->mode_ns;
    }
    if (b.xattrs_ns > a.xattrs_ns) {
        *into->xattrs = *from->xattrs;
        into->changed->xattrs_ns = from->changed->xattrs_ns;
    }
    if (b.owner_ns > a.owner_ns) {
        *into->uid = *from->uid;
        *into->gid = *from->gid;
        into->changed->owner_ns = b.owner_ns;
    }
    merge_times(into, from);
}

void record_merge_attributes(struct record *record, const struct record *other) {
    struct record from = *other;
    struct attributes a = of_record(record), b = of_record(&from);
    merge(&a, &b);
}

void header_merge_attributes(struct header *header, const struct header *other) {
    struct header from = *other;
    struct attributes a = of_header(header), b = of_header(&from);
    merge(&a, &b);
}
