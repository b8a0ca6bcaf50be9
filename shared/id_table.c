/* id_table: items found by their 128-bit ids, a million of them in little memory. */
#include "shared/id_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

void id_table_init(struct id_table *table, size_t item_size) {
    assert(item_size >= sizeof(struct id128));
    *table = (struct id_table){.item_size = item_size};
}

void id_table_release(struct id_table *table) {
    free(table->slots);
    *table = (struct id_table){.item_size = table->item_size};
}

/* The slot of the id: its own, or the free one where it belongs. */
static uint8_t *slot_of(const struct id_table *table, const struct id128 *id) {
    size_t at = (size_t)(bytes_load_u64(id->bytes) ^ bytes_load_u64(id->bytes + 8));
    for (;; at++) {
        uint8_t *slot = table->slots + (at & (table->n_slots - 1)) * table->item_size;
        const struct id128 *there = (const void *)slot;
        if (id128_is_zero(there) || id128_equal(there, id)) {
            return slot;
        }
    }
}

static void grow(struct id_table *table) {
    struct id_table larger = *table;
    larger.n_slots = table->n_slots == 0 ? SLOTS_MIN : 2 * table->n_slots;
    larger.slots = memory_new(larger.n_slots, table->item_size);
    size_t at = 0;
    for (void *item; (item = id_table_next(table, &at)) != NULL;) {
        memcpy(slot_of(&larger, item), item, table->item_size);
    }
    free(table->slots);
    *table = larger;
}

void *id_table_find(const struct id_table *table, const struct id128 *id) {
    if (table->n_slots == 0 || id128_is_zero(id)) {
        return NULL;
    }
    uint8_t *slot = slot_of(table, id);
    return id128_is_zero((const void *)slot) ? NULL : slot;
}

void *id_table_add(struct id_table *table, const struct id128 *id) {
    assert(!id128_is_zero(id));
    if (3 * (table->n + 1) > 2 * table->n_slots) {
        grow(table);
    }
    uint8_t *slot = slot_of(table, id);
    if (id128_is_zero((const void *)slot)) {
        memcpy(slot, id->bytes, sizeof id->bytes);
        table->n++;
    }
    return slot;
}

void *id_table_next(const struct id_table *table, size_t *at) {
    while (*at < table->n_slots) {
        uint8_t *slot = table->slots + (*at)++ * table->item_size;
        if (!id128_is_zero((const void *)slot)) {
            return slot;
        }
    }
    return NULL;
}
