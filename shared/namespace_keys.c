/* namespace_keys: what a row's key means to people, and which partitions a path's rows are in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

enum { PATH_DEPTH_MAX = 256, ID_SIZE = 16, HASH_SIZE = 8 };

/* ---- from a row's key to words ---- */

static void put_text(struct buffer *into, const char *text) {
    buffer_put(into, text, strlen(text));
}

static void put_hex(struct buffer *into, struct bytes bytes) {
    for (size_t i = 0; i < bytes.size; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", bytes.data[i]);
        buffer_put(into, hex, 2);
    }
}

/* Bytes that a terminal or a sentence could stumble over are escaped. */
static void put_name(struct buffer *into, struct bytes name) {
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c < 0x20 || c == 0x7f || c == '\\') {
            char text[5];
            snprintf(text, sizeof text, "\\x%02x", c);
            put_text(into, text);
        } else {
            buffer_put_u8(into, c);
        }
    }
}

/* The name of a directory in its parent; ERR_STALE when it is in none any more. */
static int step_up(struct namespace *ns, struct id128 *directory, char *ret_name) {
    struct header_row row;
    int err = header_read(ns, directory, &row);
    if (err != 0) {
        return err;
    }
    if (row.found) {
        memcpy(ret_name, row.header.name, sizeof row.header.name);
        *directory = row.header.parent;
    }
    free((void *)(uintptr_t)row.seen.data);
    return row.found ? 0 : ERR_STALE;
}

/* The names from the root down to a directory. */
static int put_directory(struct namespace *ns, const struct id128 *directory, struct buffer *into) {
    char(*names)[NAME_SIZE_MAX + 1] = memory_new(PATH_DEPTH_MAX, sizeof *names);
    struct id128 at = *directory;
    uint32_t n = 0;
    int err = 0;
    while (err == 0 && !id128_equal(&at, &namespace_root)) {
        err = n == PATH_DEPTH_MAX ? ERR_TOO_BIG : step_up(ns, &at, names[n]);
        n++;
    }
    for (; err == 0 && n > 0; n--) {
        buffer_put_u8(into, '/');
        put_name(into, bytes_of_string(names[n - 1]));
    }
    free(names);
    return err;
}

static bool is_directory_key(struct bytes partition_key) {
    return partition_key.size == 1 + ID_SIZE + 1 && partition_key.data[0] == 'd';
}

static bool is_stripe_key(struct bytes partition_key, struct bytes sort_key) {
    return partition_key.size == 1 + ID_SIZE + 8 && partition_key.data[0] == 'b' &&
           sort_key.size == 8;
}

static bool is_number_key(struct bytes partition_key, char kind) {
    return partition_key.size == 1 + 8 && partition_key.data[0] == (uint8_t)kind;
}

static bool is_file_key(struct bytes partition_key) {
    return is_number_key(partition_key, 'i');
}

static void describe_in_directory(struct namespace *ns, struct bytes partition_key,
                                  struct bytes sort_key, struct buffer *into) {
    struct id128 directory;
    size_t start = into->size;
    memcpy(directory.bytes, partition_key.data + 1, ID_SIZE);
    if (ns == NULL || put_directory(ns, &directory, into) != 0) {
        into->size = start;
        put_text(into, "directory ");
        put_hex(into, bytes_of(directory.bytes, ID_SIZE));
    }
    if (sort_key.size > 1 + HASH_SIZE && sort_key.data[0] == 'e') {
        buffer_put_u8(into, '/');
        put_name(into, bytes_of(sort_key.data + 1 + HASH_SIZE, sort_key.size - 1 - HASH_SIZE));
    } else {
        put_text(into, into->size == start ? "/ (header)" : " (header)");
    }
}

void namespace_describe(struct namespace *ns, struct bytes partition_key, struct bytes sort_key,
                        struct buffer *into) {
    if (is_directory_key(partition_key)) {
        describe_in_directory(ns, partition_key, sort_key, into);
    } else if (is_stripe_key(partition_key, sort_key)) {
        char text[64];
        snprintf(text, sizeof text, "block %llu of contents ",
                 (unsigned long long)key_number(sort_key.data));
        put_text(into, text);
        put_hex(into, bytes_of(partition_key.data + 1, ID_SIZE));
    } else if (is_file_key(partition_key)) {
        char text[64];
        snprintf(text, sizeof text, "file %llu, which has several names",
                 (unsigned long long)key_number(partition_key.data + 1));
        put_text(into, text);
    } else if (is_number_key(partition_key, 'l')) {
        char text[64];
        snprintf(text, sizeof text, "locks on file %llu",
                 (unsigned long long)key_number(partition_key.data + 1));
        put_text(into, text);
    } else if (partition_key.size == 1 + ID_SIZE && partition_key.data[0] == 'm') {
        put_text(into, "lease of mount ");
        put_hex(into, bytes_of(partition_key.data + 1, ID_SIZE));
    } else {
        put_text(into, "row ");
        put_name(into, partition_key);
        if (sort_key.size > 0) {
            put_text(into, ", ");
            put_name(into, sort_key);
        }
    }
}

/* ---- from a path to partitions ---- */

static void each_shard(const struct id128 *directory, void (*each)(void *context, struct bytes key),
                       void *context) {
    uint32_t n = 1u << directory_shard_bits(directory);
    for (uint32_t shard = 0; shard < n; shard++) {
        struct key key = key_directory(directory, (uint8_t)shard);
        each(context, key_bytes(&key));
    }
}

static void each_stripe(const struct record *record, void (*each)(void *context, struct bytes key),
                        void *context) {
    uint64_t size = (uint64_t)STRIPE_BLOCKS * BLOCK_SIZE;
    for (uint64_t stripe = 0; stripe * size < record->size; stripe++) {
        struct key key = key_stripe(&record->contents, stripe);
        each(context, key_bytes(&key));
    }
}

int namespace_partitions(struct namespace *ns, const char *path,
                         void (*each)(void *context, struct bytes partition_key), void *context) {
    struct buffer partition = {0}, sort = {0};
    int err = namespace_where(ns, path, &partition, &sort);
    if (err == 0) {
        each(context, buffer_bytes(&partition));
    }
    buffer_release(&partition);
    buffer_release(&sort);
    struct id128 directory;
    if (err == 0 && namespace_resolve_directory(ns, path, &directory) == 0) {
        each_shard(&directory, each, context);
        return 0;
    }
    struct entry entry;
    if (err == 0 && namespace_resolve(ns, path, &entry) == 0) {
        if (entry.linked) {
            struct key key = key_entry_partition(&entry);
            each(context, key_bytes(&key));
        }
        if (entry.record.contents_kind == CONTENTS_BLOCKS) {
            each_stripe(&entry.record, each, context);
        }
        entry_release(&entry);
    }
    return err;
}
