/* id_table: items found by their 128-bit ids, a million of them in little memory. */
#ifndef RINGFS_SHARED_ID_TABLE_H
#define RINGFS_SHARED_ID_TABLE_H

#include "shared/record.h"

/* Open addressing in one array, doubled when two thirds are taken: an item costs between 1.5 and 3
 * times its size. Items begin with their id and are all of one size. Ids are random, or few are
 * not: they are not hashed. The id of zeros is none. Pure. */
struct id_table {
    size_t item_size;
    uint8_t *slots; /* owned */
    size_t n_slots; /* a power of two, or 0 */
    size_t n;
};

/* `item_size` at least that of an id. */
void id_table_init(struct id_table *table, size_t item_size);
void id_table_release(struct id_table *table);
/* NULL when there is none. Good until the next id_table_add(). */
void *id_table_find(const struct id_table *table, const struct id128 *id);
/* The item, made when there is none: zeros but for its id. Good until the next one is made. */
void *id_table_add(struct id_table *table, const struct id128 *id);
/* The next item from slot *at on, which is moved behind it; begin with 0; NULL at the end. Nothing
 * may be added meanwhile. */
void *id_table_next(const struct id_table *table, size_t *at);

#endif
