/* namespace_list: pages of a directory's entries, in the order of their names' hashes. */
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

enum {
    COOKIE_MIN = 16, /* cookies below are the caller's, for "." and ".." */
    ENTRY_KEY_NAME = 1 + 8,
    ENTRIES_MAX = SCAN_ROWS_MAX - 1, /* of a page: what one scan gives, and one to look ahead */
    SHARD_ROWS_MIN = 16,
    NAMES_MAX = 384,              /* of a page of names: however long they are, its answer... */
    NAMES_READ_BYTES = 512 << 10, /* ...fits a connection's credit; the node reads so much for it */
};
#define HASH_MAX (UINT64_MAX >> 1)

/* The scan of one shard: where it stands, and what it has found. */
struct shard_scan {
    struct namespace *ns;
    const struct id128 *directory;
    uint8_t shard;
    bool names_only;
    uint32_t rows_max;
    struct key first; /* the next rows are those behind `after`, or from `first` on */
    struct key after;
    bool more; /* there may be */
    struct listing found;
    uint32_t capacity;
    struct store_row row; /* at hand: its memory serves for all */
};

static uint64_t cookie_of(uint64_t hash) {
    return hash < COOKIE_MIN ? COOKIE_MIN : hash;
}

uint64_t namespace_cookie(const char *name) {
    return cookie_of(name_hash(name));
}

/* Room for `n` more entries. */
static void listing_reserve(struct listing *listing, uint32_t *capacity, uint32_t n) {
    uint32_t needed = listing->n + n;
    if (needed > *capacity) {
        *capacity = needed > 2 * *capacity ? needed : 2 * *capacity;
        listing->entries = memory_resize(listing->entries, *capacity * sizeof *listing->entries);
    }
}

void listing_release(struct listing *listing) {
    for (uint32_t i = 0; i < listing->n; i++) {
        entry_release(&listing->entries[i].entry);
    }
    free(listing->entries);
    *listing = (struct listing){0};
}

/* From the head of the only version's record; false when more is to be known. */
static bool head_entry(const struct shard_scan *scan, const char *name, struct entry *ret) {
    const struct versions *versions = &scan->row.versions;
    if (versions->n_siblings != 1 || versions_live(versions) != 1) {
        return false;
    }
    *ret = (struct entry){.directory = *scan->directory, .n_links = 1};
    memcpy(ret->name, name, strlen(name) + 1);
    return record_peek(versions->siblings[0].value, &ret->record);
}

/* The row at hand with the whole of its values. */
static int row_whole(struct shard_scan *scan, struct bytes sort_key) {
    struct store *store = scan->ns->store;
    struct key partition = key_directory(scan->directory, scan->shard);
    struct store_row row = {0};
    int err = store->get(store->self, key_bytes(&partition), sort_key, LEVEL_QUORUM, &row);
    if (err == 0) {
        store_row_release(&scan->row);
        scan->row = row;
    }
    return err;
}

/* A row of the page as an entry. ERR_NO_ENTRY: not to be shown. */
static int row_entry(struct shard_scan *scan, const struct scan_row *row, struct entry *ret) {
    char name[NAME_SIZE_MAX + 1];
    size_t size = row->sort_key.size - ENTRY_KEY_NAME;
    if (row->sort_key.size <= ENTRY_KEY_NAME || size > NAME_SIZE_MAX) {
        return ERR_CORRUPT;
    }
    memcpy(name, row->sort_key.data + ENTRY_KEY_NAME, size);
    name[size] = 0;
    int err = versions_decode(row->versions, &scan->row.versions) < 0 ? ERR_CORRUPT : 0;
    if (err == 0 && scan->names_only) {
        if (head_entry(scan, name, ret)) {
            return 0;
        }
        err = row_whole(scan, row->sort_key);
    }
    if (err < 0) {
        return err;
    }
    err = entry_from_versions(scan->directory, name, &scan->row.versions, ret);
    if (err == 0 && ret->record.move.under_way) {
        entry_release(ret);
        return namespace_lookup(scan->ns, scan->directory, name, ret);
    }
    if (err < 0) {
        entry_release(ret);
    }
    return err;
}

/* The versions of the row at hand that do not show under its name, behind it in the page. One that
 * has got a row of its own shows as that. */
static int losers_take(struct shard_scan *scan, uint64_t cookie, const char *name) {
    struct entry *losers;
    int err = 0;
    uint32_t n = conflicts_losers(scan->directory, name, &scan->row.versions, &losers);
    for (uint32_t i = 0; i < n && err == 0; i++) {
        struct entry own;
        err = entry_read(scan->ns, scan->directory, losers[i].name, &own);
        entry_release(&own);
        if (err == ERR_NO_ENTRY) {
            listing_reserve(&scan->found, &scan->capacity, 1);
            struct listing_entry *met = &scan->found.entries[scan->found.n++];
            met->cookie = cookie;
            entry_copy(&losers[i], &met->entry);
        }
        err = err == ERR_NO_ENTRY || err == ERR_CORRUPT ? 0 : err;
    }
    losers_release(losers, n);
    return err;
}

/* Entries that cannot be read are left out, so that one bad row does not hide the others: looking
 * it up says what is wrong. */
static int rows_take(struct shard_scan *scan, const struct scan_reply *page) {
    struct listing *found = &scan->found;
    for (uint32_t i = 0; i < page->n_rows; i++) {
        const struct scan_row *row = &page->rows[i];
        listing_reserve(found, &scan->capacity, page->n_rows - i);
        struct listing_entry *met = &found->entries[found->n];
        int err = row_entry(scan, row, &met->entry);
        if (err == 0) {
            met->cookie = cookie_of(key_number(row->sort_key.data + 1));
            found->n++;
            err = met->entry.n_conflicts > 0 ? losers_take(scan, met->cookie, met->entry.name) : 0;
        }
        if (err < 0 && err != ERR_NO_ENTRY && err != ERR_CORRUPT) {
            return err;
        }
    }
    return 0;
}

/* One page further. */
static int scan_page(void *arg) {
    struct shard_scan *scan = arg;
    struct store *store = scan->ns->store;
    struct key partition = key_directory(scan->directory, scan->shard);
    struct key end = key_entries_end();
    struct scan_request request = {.after = key_bytes(&scan->after),
                                   .first = key_bytes(&scan->first),
                                   .before = key_bytes(&end),
                                   .rows_max = scan->rows_max,
                                   .bytes_max = NAMESPACE_PAGE_BYTES};
    if (scan->names_only) {
        request.bytes_max = NAMES_READ_BYTES;
        request.value_max = RECORD_HEAD_SIZE;
    }
    struct store_page page = {0};
    int err = store->scan(store->self, key_bytes(&partition), &request, LEVEL_QUORUM, &page);
    if (err < 0) {
        return err;
    }
    err = rows_take(scan, &page.reply);
    scan->more = page.reply.more;
    if (err == 0 && scan->more) {
        scan->after.size = page.reply.cursor.size;
        if (scan->after.size == 0 || scan->after.size > sizeof scan->after.data) {
            err = ERR_CORRUPT;
        } else {
            memcpy(scan->after.data, page.reply.cursor.data, scan->after.size);
        }
    }
    store_page_release(&page);
    return err;
}

/* How many entries are before those of the last cookie, whose names may go on behind the page. */
static uint32_t whole_entries(const struct listing *listing) {
    uint32_t n = listing->n;
    while (n > 0 && listing->entries[n - 1].cookie == listing->entries[listing->n - 1].cookie) {
        n--;
    }
    return n;
}

/* Goes on in a shard until there is an entry to show that is surely the last of its cookie, or the
 * shard ends; then drops what is not. */
static int scan_until_whole(struct shard_scan *scan) {
    while (scan->more && whole_entries(&scan->found) == 0) {
        int err = scan_page(scan);
        if (err < 0) {
            return err;
        }
    }
    uint32_t whole = scan->more ? whole_entries(&scan->found) : scan->found.n;
    for (uint32_t i = whole; i < scan->found.n; i++) {
        entry_release(&scan->found.entries[i].entry);
    }
    scan->found.n = whole;
    return 0;
}

/* Moves what was found into the page; all of it when it is the first. */
static void hand_over(struct shard_scan *scan, struct listing *page, uint32_t *capacity) {
    struct listing *found = &scan->found;
    if (page->n == 0) {
        free(page->entries);
        page->entries = found->entries;
        *capacity = scan->capacity;
        found->entries = NULL;
    } else if (found->n > 0) {
        listing_reserve(page, capacity, found->n);
        memcpy(&page->entries[page->n], found->entries, found->n * sizeof *found->entries);
    }
    page->n += found->n;
    found->n = 0;
}

/* Joins what the shards hold, in their order, up to the first that has not been read to its end:
 * the page ends there. */
static int scans_join(struct shard_scan *scans, uint32_t n, struct listing *ret) {
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct shard_scan *scan = &scans[i];
        if (scan->more && ret->n > 0 && whole_entries(&scan->found) == 0) {
            return 0;
        }
        int err = scan_until_whole(scan);
        if (err < 0) {
            return err;
        }
        hand_over(scan, ret, &capacity);
        if (scan->more) {
            return 0;
        }
    }
    ret->end = true;
    return 0;
}

/* What is listed of a directory. */
struct wish {
    const struct id128 *directory;
    uint64_t after;
    uint32_t entries_max;
    bool names_only;
};

/* All shards from the one of `hash` on at once, each for its part of the page and some more: a
 * directory that fits into a page costs one round trip however many shards it has. */
static int list_shards(struct namespace *ns, const struct wish *wish, uint64_t hash,
                       struct listing *ret) {
    uint32_t first = directory_shard(wish->directory, hash);
    uint32_t n = (1u << directory_shard_bits(wish->directory)) - first;
    uint32_t rows_max =
        n == 1 ? wish->entries_max + 1 : 2 * (wish->entries_max / n) + SHARD_ROWS_MIN;
    struct shard_scan *scans = memory_new(n, sizeof *scans);
    struct task_group group = {0};
    for (uint32_t i = 0; i < n; i++) {
        scans[i] = (struct shard_scan){.ns = ns,
                                       .directory = wish->directory,
                                       .shard = (uint8_t)(first + i),
                                       .names_only = wish->names_only,
                                       .rows_max = rows_max,
                                       .first = key_entries_from(hash)};
        if (n > 1) {
            task_group_run(&group, scan_page, &scans[i]);
        }
    }
    task_group_wait(&group, 0);
    int err = n > 1 ? group.status : scan_page(&scans[0]);
    if (err == 0) {
        err = scans_join(scans, n, ret);
    }
    for (uint32_t i = 0; i < n; i++) {
        listing_release(&scans[i].found);
        store_row_release(&scans[i].row);
    }
    free(scans);
    return err;
}

static int list(struct namespace *ns, const struct wish *wish, struct listing *ret) {
    struct listing listing = {.end = wish->after >= HASH_MAX};
    uint64_t hash = wish->after < COOKIE_MIN ? 0 : wish->after + 1;
    int err = listing.end ? 0 : list_shards(ns, wish, hash, &listing);
    if (err < 0) {
        listing_release(&listing);
        return err;
    }
    *ret = listing;
    return 0;
}

static uint32_t at_most(uint32_t n, uint32_t max) {
    return n < max ? n : max;
}

int namespace_list(struct namespace *ns, const struct id128 *directory, uint64_t after,
                   uint32_t entries_max, struct listing *ret) {
    struct wish wish = {directory, after, at_most(entries_max, ENTRIES_MAX), false};
    return list(ns, &wish, ret);
}

int namespace_list_names(struct namespace *ns, const struct id128 *directory, uint64_t after,
                         uint32_t entries_max, struct listing *ret) {
    struct wish wish = {directory, after, at_most(entries_max, NAMES_MAX), true};
    return list(ns, &wish, ret);
}
