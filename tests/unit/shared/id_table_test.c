/* id_table: what was added is found, whatever else there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/id_table.h"

struct item {
    struct id128 id;
    uint32_t number;
};

/* Every third one differs from others in its last byte only, as ids that are not random do. */
static struct id128 id_of(uint32_t number) {
    struct id128 id = {{0}};
    bytes_store_u64(id.bytes, number % 3 == 0 ? 0 : number * 0x9e3779b97f4a7c15u);
    bytes_store_u64(id.bytes + 8, number + 1);
    return id;
}

enum { N = 100000 };

static void what_was_added_is_found_and_nothing_else(void **state) {
    (void)state;
    struct id_table table;
    id_table_init(&table, sizeof(struct item));
    struct id128 id = id_of(0);
    assert_null(id_table_find(&table, &id));
    for (uint32_t i = 0; i < N; i++) {
        id = id_of(i);
        struct item *item = id_table_add(&table, &id);
        assert_int_equal(item->number, 0);
        item->number = i + 1;
    }
    assert_int_equal(table.n, N);
    for (uint32_t i = 0; i < N; i++) {
        id = id_of(i);
        const struct item *item = id_table_find(&table, &id);
        assert_non_null(item);
        assert_int_equal(item->number, i + 1);
        assert_ptr_equal(id_table_add(&table, &id), item);
    }
    id = id_of(N + 1);
    assert_null(id_table_find(&table, &id));
    assert_null(id_table_find(&table, &(struct id128){{0}}));
    assert_true(table.n_slots <= 3 * N);
    id_table_release(&table);
}

static void a_walk_meets_each_item_once(void **state) {
    (void)state;
    struct id_table table;
    uint8_t met[1000] = {0};
    size_t at = 0;
    id_table_init(&table, sizeof(struct item));
    for (uint32_t i = 0; i < sizeof met; i++) {
        struct id128 id = id_of(i);
        ((struct item *)id_table_add(&table, &id))->number = i;
    }
    for (struct item *item; (item = id_table_next(&table, &at)) != NULL;) {
        met[item->number]++;
    }
    for (uint32_t i = 0; i < sizeof met; i++) {
        assert_int_equal(met[i], 1);
    }
    id_table_release(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_and_nothing_else),
        cmocka_unit_test(a_walk_meets_each_item_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
