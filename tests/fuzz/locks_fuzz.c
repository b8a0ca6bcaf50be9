/* locks_fuzz: any bytes as the value of a lock row.
 *
 * Input: the value of the row.
 * Promises: what decodes keeps the table's invariants and encodes to the bytes it was decoded from.
 */
#include "shared/err.h"
#include "shared/lock_table.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 300000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct lock_table table = {0};
    struct buffer again = {0};
    int err = lock_table_decode(bytes_of(data, size), &table);
    FUZZ_CHECK(err == 0 || err == ERR_INVALID);
    if (err == 0) {
        lock_table_check(&table);
        lock_table_encode(&table, &again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(&again), bytes_of(data, size)));
    }
    lock_table_release(&table);
    buffer_release(&again);
    return 0;
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    struct lock_table table = {0};
    for (uint64_t i = 0; i < n; i++) {
        struct lock lock = {.mount = {{(uint8_t)(1 + i % 3)}},
                            .owner = i / 3,
                            .kind = (uint8_t)(1 + i % 2),
                            .type = (uint8_t)(1 + i % 2),
                            .first = 10 * i,
                            .last = i % 4 == 0 ? LOCK_TO_END : 10 * i + 5};
        lock_table_set(&table, &lock);
    }
    lock_table_encode(&table, into);
    lock_table_release(&table);
    return n < 8;
}
