/* record_fuzz: any bytes as a record and as a directory's header.
 *
 * Input: one byte that says which, then the value of the row.
 * Promises: what decodes is within its bounds, lies within the input, and encodes to the bytes it
 * was decoded from. */
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/record.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 1000000;

enum { TRY_RECORD, TRY_HEADER };

static void within(struct bytes part, struct bytes whole) {
    FUZZ_CHECK(part.size == 0 ||
               (part.data >= whole.data && part.data + part.size <= whole.data + whole.size));
}

static void try_record(struct bytes value, struct buffer *again) {
    struct record record;
    int err = record_decode(value, &record);
    FUZZ_CHECK(err == 0 || err == ERR_INVALID);
    if (err < 0) {
        return;
    }
    FUZZ_CHECK(record_check(&record) == 0);
    FUZZ_CHECK(record_ino(&record) != 0);
    FUZZ_CHECK(record.owned == NULL);
    within(record.data, value);
    within(record.xattrs, value);
    record_encode(&record, again);
    FUZZ_CHECK(bytes_equal(buffer_bytes(again), value));
}

static void try_header(struct bytes value, struct buffer *again) {
    struct header header;
    int err = header_decode(value, &header);
    FUZZ_CHECK(err == 0 || err == ERR_INVALID);
    if (err == 0) {
        within(header.xattrs, value);
        header_encode(&header, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer again = {0};
    if (size > 0 && data[0] == TRY_RECORD) {
        try_record(bytes_of(data + 1, size - 1), &again);
    } else if (size > 0) {
        try_header(bytes_of(data + 1, size - 1), &again);
    }
    buffer_release(&again);
    return 0;
}

static void seed_record(uint32_t n, struct buffer *into) {
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR};
    struct record record = {.mode = types[n] | 0644, .file_id = 77, .mtime_ns = -1};
    if (n == 0 || n == 3) {
        record.data = bytes_of_string("contents");
        record.size = record.data.size;
        record.xattrs = bytes_of_string("xattrs");
    }
    if (n == 1) {
        record.contents_kind = CONTENTS_BLOCKS;
        record.contents.bytes[3] = 9;
        record.size = 1 << 20;
        record.n_lineage = 3;
        record.arrival = (struct record_arrival){.txid = {{1}}, .from_name = "from"};
        record.move = (struct record_move){.under_way = true, .txid = {{2}}, .to_name = "to"};
    }
    record.directory.bytes[0] = S_ISDIR(record.mode);
    record_encode(&record, into);
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    struct header header = {.state = DIRECTORY_LIVE, .mode = 0755, .parent = {{1}}, .name = "name"};
    if (n < 5) {
        buffer_put_u8(into, TRY_RECORD);
        seed_record(n, into);
        return 1;
    }
    if (n == 5 || n == 6) {
        header.xattrs = bytes_of_string(n == 5 ? "" : "xattrs");
        buffer_put_u8(into, TRY_HEADER);
        header_encode(&header, into);
        return 1;
    }
    return 0;
}
