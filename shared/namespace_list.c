/* namespace_list: pages of a directory's entries, in the order of their names' hashes. */
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

enum {
    COOKIE_MIN = 16, /* cookies below are the caller's, for "." and ".." */
    ENTRY_KEY_NAME = 1 + 8,
};
#define HASH_MAX (UINT64_MAX >> 1)

/* Where a listing stands: next, the rows behind `after` (or from `first`) in `shard`. */
struct cursor {
    const struct id128 *directory;
    uint32_t shard;
    uint32_t n_shards;
    struct key first;
    struct key after;
};

static uint64_t key_hash(struct bytes sort_key) {
    uint64_t hash = 0;
    for (int i = 1; i < ENTRY_KEY_NAME; i++) {
        hash = hash << 8 | sort_key.data[i];
    }
    return hash;
}

static uint64_t cookie_of(uint64_t hash) {
    return hash < COOKIE_MIN ? COOKIE_MIN : hash;
}

static void listing_add(struct listing *listing, uint32_t *capacity, uint64_t cookie,
                        const struct entry *entry) {
    if (listing->n == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        listing->entries = memory_resize(listing->entries, *capacity * sizeof *listing->entries);
    }
    listing->entries[listing->n++] = (struct listing_entry){cookie, *entry};
}

void listing_release(struct listing *listing) {
    for (uint32_t i = 0; i < listing->n; i++) {
        entry_release(&listing->entries[i].entry);
    }
    free(listing->entries);
    *listing = (struct listing){0};
}

/* A row of the page as an entry. ERR_NO_ENTRY: not to be shown. */
static int row_entry(struct namespace *ns, const struct cursor *cursor, const struct scan_row *row,
                     struct entry *ret) {
    char name[NAME_SIZE_MAX + 1];
    size_t size = row->sort_key.size - ENTRY_KEY_NAME;
    if (row->sort_key.size <= ENTRY_KEY_NAME || size > NAME_SIZE_MAX) {
        return ERR_CORRUPT;
    }
    memcpy(name, row->sort_key.data + ENTRY_KEY_NAME, size);
    name[size] = 0;
    int err = entry_from_encoded(cursor->directory, name, row->versions, ret);
    if (err == 0 && ret->record.move.under_way) {
        entry_release(ret);
        return namespace_lookup(ns, cursor->directory, name, ret);
    }
    if (err < 0) {
        entry_release(ret);
    }
    return err;
}

/* One scan. Entries that cannot be read are left out, so that one bad row does not hide the others:
 * looking it up says what is wrong. Sets *ret_more when the shard may hold more. */
static int scan_page(struct namespace *ns, struct cursor *cursor, uint32_t rows_max,
                     struct listing *listing, uint32_t *capacity, bool *ret_more) {
    struct key partition = key_directory(cursor->directory, (uint8_t)cursor->shard);
    struct key end = key_entries_end();
    struct scan_request request = {.after = key_bytes(&cursor->after),
                                   .first = key_bytes(&cursor->first),
                                   .before = key_bytes(&end),
                                   .rows_max = rows_max,
                                   .bytes_max = SCAN_BYTES_MAX};
    struct store_page page = {0};
    int err =
        ns->store->scan(ns->store->self, key_bytes(&partition), &request, LEVEL_QUORUM, &page);
    for (uint32_t i = 0; err == 0 && i < page.reply.n_rows; i++) {
        const struct scan_row *row = &page.reply.rows[i];
        struct entry entry;
        int met = row_entry(ns, cursor, row, &entry);
        if (met == 0) {
            listing_add(listing, capacity, cookie_of(key_hash(row->sort_key)), &entry);
        } else if (met != ERR_NO_ENTRY && met != ERR_CORRUPT) {
            err = met;
        }
    }
    if (err == 0) {
        *ret_more = page.reply.more;
        size_t size = page.reply.cursor.size;
        if (size > sizeof cursor->after.data || (size == 0 && page.reply.more)) {
            err = ERR_CORRUPT;
        } else if (size > 0) {
            memcpy(cursor->after.data, page.reply.cursor.data, size);
            cursor->after.size = size;
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

static void listing_truncate(struct listing *listing, uint32_t n) {
    for (uint32_t i = n; i < listing->n; i++) {
        entry_release(&listing->entries[i].entry);
    }
    listing->n = n;
}

static int list_fill(struct namespace *ns, struct cursor *cursor, uint32_t entries_max,
                     struct listing *listing) {
    uint32_t capacity = 0;
    while (cursor->shard < cursor->n_shards) {
        bool more = false;
        uint32_t wanted = entries_max - (listing->n < entries_max ? listing->n : entries_max) + 1;
        uint32_t rows_max = wanted < SCAN_ROWS_MAX ? wanted : SCAN_ROWS_MAX;
        int err = scan_page(ns, cursor, rows_max, listing, &capacity, &more);
        if (err < 0) {
            return err;
        }
        if (!more) {
            cursor->shard++;
            cursor->after.size = 0;
        }
        uint32_t whole = more ? whole_entries(listing) : listing->n;
        if (whole > 0 && listing->n >= entries_max) {
            listing_truncate(listing, whole);
            listing->end = cursor->shard == cursor->n_shards;
            return 0;
        }
    }
    listing->end = true;
    return 0;
}

int namespace_list(struct namespace *ns, const struct id128 *directory, uint64_t after,
                   uint32_t entries_max, struct listing *ret) {
    if (after >= HASH_MAX) {
        *ret = (struct listing){.end = true};
        return 0;
    }
    uint64_t hash = after < COOKIE_MIN ? 0 : after + 1;
    struct cursor cursor = {.directory = directory,
                            .shard = directory_shard(directory, hash),
                            .n_shards = 1u << directory_shard_bits(directory),
                            .first = key_entries_from(hash)};
    struct listing listing = {0};
    int err = list_fill(ns, &cursor, entries_max > 0 ? entries_max : 1, &listing);
    if (err < 0) {
        listing_release(&listing);
        return err;
    }
    *ret = listing;
    return 0;
}
