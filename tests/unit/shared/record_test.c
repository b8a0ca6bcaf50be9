/* record: what is encoded comes back, and malformed bytes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/record.h"

static struct record small_file(void) {
    return (struct record){.mode = S_IFREG | 0640,
                           .uid = 1000,
                           .gid = 100,
                           .file_id = 0x1122334455667788,
                           .atime_ns = -5,
                           .mtime_ns = 1700000000123456789,
                           .ctime_ns = 3,
                           .size = 5,
                           .data = bytes_of_string("hello"),
                           .xattrs = bytes_of_string("xattrs")};
}

static struct record moving_file(void) {
    struct record record = small_file();
    record.move = (struct record_move){
        .under_way = true, .txid = {{9}}, .to_directory = {{8}}, .to_name = "b", .started_ns = 7};
    record.arrival =
        (struct record_arrival){.txid = {{5}}, .from_directory = {{4}}, .from_name = "a"};
    record.n_lineage = 2;
    record.lineage[0] = 11;
    record.lineage[1] = 12;
    return record;
}

static void a_record_comes_back_as_it_was(void **state) {
    (void)state;
    struct record record = moving_file(), back;
    struct buffer encoded = {0};
    record_encode(&record, &encoded);
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), 0);
    assert_int_equal(back.mode, record.mode);
    assert_int_equal(back.uid, 1000);
    assert_int_equal(back.gid, 100);
    assert_true(back.file_id == record.file_id);
    assert_true(back.atime_ns == -5 && back.mtime_ns == record.mtime_ns && back.ctime_ns == 3);
    assert_true(bytes_equal(back.data, record.data));
    assert_true(bytes_equal(back.xattrs, record.xattrs));
    assert_true(back.move.under_way && id128_equal(&back.move.txid, &record.move.txid));
    assert_string_equal(back.move.to_name, "b");
    assert_true(back.move.started_ns == 7);
    assert_true(id128_equal(&back.arrival.from_directory, &record.arrival.from_directory));
    assert_string_equal(back.arrival.from_name, "a");
    assert_int_equal(back.n_lineage, 2);
    assert_int_equal(back.lineage[0], 11);
    assert_int_equal(back.lineage[1], 12);
    buffer_release(&encoded);
}

static void every_type_of_file_can_be_encoded(void **state) {
    (void)state;
    const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct record record = {.mode = types[i] | 0600, .file_id = 5, .rdev = 77}, back;
        struct buffer encoded = {0};
        if (S_ISDIR(types[i])) {
            record.directory.bytes[0] = 3;
        }
        if (S_ISLNK(types[i])) {
            record.data = bytes_of_string("target");
            record.size = 6;
        }
        record_encode(&record, &encoded);
        assert_int_equal(record_decode(buffer_bytes(&encoded), &back), 0);
        assert_int_equal(back.mode, record.mode);
        assert_true(back.rdev == 77);
        assert_true(id128_equal(&back.directory, &record.directory));
        buffer_release(&encoded);
    }
}

static void a_record_cut_short_or_with_bytes_behind_is_refused(void **state) {
    (void)state;
    struct record record = moving_file(), back = {0};
    struct buffer encoded = {0};
    record_encode(&record, &encoded);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(record_decode(bytes_of(encoded.data, size), &back), ERR_INVALID);
    }
    buffer_put_u8(&encoded, 0);
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    assert_int_equal(back.mode, 0);
    buffer_release(&encoded);
}

/* The encoded small file with one byte changed. */
static int decode_with(size_t at, uint8_t value) {
    struct record record = small_file(), back;
    struct buffer encoded = {0};
    record_encode(&record, &encoded);
    encoded.data[at] = value;
    int err = record_decode(buffer_bytes(&encoded), &back);
    buffer_release(&encoded);
    return err;
}

static void fields_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    assert_int_equal(decode_with(0, 1), 0);               /* as it was */
    assert_int_equal(decode_with(0, 2), ERR_INVALID);     /* version */
    assert_int_equal(decode_with(1, 32), ERR_INVALID);    /* an unknown flag */
    assert_int_equal(decode_with(2, 3), ERR_INVALID);     /* contents kind */
    assert_int_equal(decode_with(2, 1), ERR_INVALID);     /* blocks and data */
    assert_int_equal(decode_with(3, 5), ERR_INVALID);     /* too long a lineage */
    assert_int_equal(decode_with(5, 0x01), ERR_INVALID);  /* no such type */
    assert_int_equal(decode_with(48, 4), ERR_INVALID);    /* less than the data */
    assert_int_equal(decode_with(55, 0x80), ERR_INVALID); /* size beyond 63 bits */
}

static void a_tail_comes_back_with_its_place(void **state) {
    (void)state;
    struct record record = small_file(), back;
    struct buffer encoded = {0};
    record.contents_kind = CONTENTS_BLOCKS;
    record.size = 70005;
    record.data_at = 70000;
    record_encode(&record, &encoded);
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), 0);
    assert_true(record_has_tail(&back));
    assert_true(back.data_at == 70000);
    assert_true(bytes_equal(back.data, record.data));
    record.data_at = 70001; /* beyond the size */
    assert_int_equal(record_check(&record), ERR_INVALID);
    record.contents_kind = CONTENTS_INLINE;
    record.data_at = 1;
    assert_int_equal(record_check(&record), ERR_INVALID);
    buffer_release(&encoded);
}

static void data_and_xattrs_over_their_bounds_are_refused(void **state) {
    (void)state;
    uint8_t *large = calloc(1, RECORD_XATTRS_MAX + 1);
    struct record record = small_file();
    record.xattrs = bytes_of(large, RECORD_XATTRS_MAX + 1);
    assert_int_equal(record_check(&record), ERR_INVALID);
    record.xattrs.size--;
    assert_int_equal(record_check(&record), 0);
    record.data = bytes_of(large, RECORD_INLINE_MAX + 1);
    record.size = RECORD_INLINE_MAX + 1;
    assert_int_equal(record_check(&record), ERR_INVALID);
    record.data.size--;
    assert_int_equal(record_check(&record), 0);
    free(large);
}

static void a_name_with_a_slash_or_a_nul_in_a_record_is_refused(void **state) {
    (void)state;
    struct record record = moving_file(), back;
    struct buffer encoded = {0};
    record_encode(&record, &encoded);
    uint8_t *name = encoded.data + encoded.size - 9;
    assert_int_equal(*name, 'b');
    *name = '/';
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    *name = 0;
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_release(&encoded);
}

static void a_copy_owns_its_bytes_and_setting_data_keeps_xattrs(void **state) {
    (void)state;
    char data[] = "hello", xattrs[] = "xattrs";
    struct record from = small_file(), copy;
    from.data = bytes_of_string(data);
    from.xattrs = bytes_of_string(xattrs);
    record_copy(&from, &copy);
    memset(data, 'x', 5);
    memset(xattrs, 'x', 6);
    assert_true(bytes_equal(copy.data, bytes_of_string("hello")));
    record_set_data(&copy, bytes_of_string("other contents"));
    assert_true(bytes_equal(copy.data, bytes_of_string("other contents")));
    assert_true(bytes_equal(copy.xattrs, bytes_of_string("xattrs")));
    record_set_data(&copy, bytes_of(copy.data.data + 6, 4)); /* out of its own bytes */
    assert_true(bytes_equal(copy.data, bytes_of_string("cont")));
    record_set_xattrs(&copy, (struct bytes){0});
    assert_int_equal(copy.xattrs.size, 0);
    record_release(&copy);
}

static void inode_numbers_are_never_0_and_1_is_the_root(void **state) {
    (void)state;
    struct record file = {.mode = S_IFREG};
    struct record root = {.mode = S_IFDIR, .directory = {{[15] = 1}}};
    struct record directory = {.mode = S_IFDIR, .directory = {{1}}};
    assert_int_equal(record_ino(&root), 1);
    assert_true(record_ino(&file) > 1);
    file.file_id = 1;
    assert_true(record_ino(&file) > 1);
    assert_true(record_ino(&directory) > 1);
    file.file_id = 1ull << 63;
    assert_true(record_ino(&file) == 1ull << 63);
}

static void a_header_with_xattrs_is_of_version_2_and_one_without_of_version_1(void **state) {
    (void)state;
    struct header header = {.state = DIRECTORY_LIVE, .mode = 0755, .name = "n"}, back;
    struct buffer encoded = {0};
    header_encode(&header, &encoded);
    assert_int_equal(encoded.data[0], 1);
    encoded.data[0] = 2;
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_clear(&encoded);
    header.xattrs = bytes_of_string("list");
    header_encode(&header, &encoded);
    assert_int_equal(encoded.data[0], 2);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(header_decode(bytes_of(encoded.data, size), &back), ERR_INVALID);
    }
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), 0);
    assert_true(bytes_equal(back.xattrs, header.xattrs));
    encoded.data[0] = 3;
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_release(&encoded);
}

static void when_attributes_were_changed_comes_back_in_records_and_headers(void **state) {
    (void)state;
    struct header header = {.state = DIRECTORY_LIVE,
                            .mode = 0755,
                            .name = "n",
                            .changed = {.owner_ns = 3, .xattrs_ns = UINT64_MAX}},
                  back_header;
    struct record record = {.mode = S_IFREG | 0600, .changed = {1, 2, 3, 4}}, back;
    struct buffer encoded = {0};
    for (unsigned mask = 1; mask < 16; mask++) {
        record.changed = (struct attribute_stamps){mask & 1 ? 11 : 0, mask & 2 ? 12 : 0,
                                                   mask & 4 ? 13 : 0, mask & 8 ? 14 : 0};
        buffer_clear(&encoded);
        record_encode(&record, &encoded);
        assert_int_equal(encoded.data[0], 2);
        assert_int_equal(record_decode(buffer_bytes(&encoded), &back), 0);
        assert_memory_equal(&back.changed, &record.changed, sizeof back.changed);
        for (size_t size = 0; size < encoded.size; size++) {
            assert_int_equal(record_decode(bytes_of(encoded.data, size), &back), ERR_INVALID);
        }
    }
    encoded.data[encoded.size - 1 - 4 * 8] = 16; /* a bit that stands for nothing */
    assert_int_equal(record_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_clear(&encoded);
    header_encode(&header, &encoded);
    assert_int_equal(encoded.data[0], 3);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(header_decode(bytes_of(encoded.data, size), &back_header), ERR_INVALID);
    }
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back_header), 0);
    assert_memory_equal(&back_header.changed, &header.changed, sizeof header.changed);
    assert_int_equal(back_header.xattrs.size, 0);
    buffer_release(&encoded);
}

static void a_header_comes_back_and_malformed_ones_are_refused(void **state) {
    (void)state;
    struct header header = {.state = DIRECTORY_DYING,
                            .mode = 01777,
                            .uid = 1,
                            .gid = 2,
                            .atime_ns = 3,
                            .mtime_ns = -4,
                            .ctime_ns = 5,
                            .mtime_tally_ns = 6,
                            .parent = {{7}},
                            .name = "n\xff",
                            .shard_bits = 8},
                  back = {0};
    struct buffer encoded = {0};
    header_encode(&header, &encoded);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(header_decode(bytes_of(encoded.data, size), &back), ERR_INVALID);
    }
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), 0);
    assert_memory_equal(&back, &header, sizeof back);
    encoded.data[1] = 3;
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    encoded.data[1] = DIRECTORY_LIVE;
    encoded.data[2] = 9;
    assert_int_equal(header_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_release(&encoded);
}

static void names_are_1_to_255_bytes_of_anything_but_slash(void **state) {
    (void)state;
    char name[258];
    memset(name, 0xff, 255);
    name[255] = 0;
    assert_int_equal(name_check(name), 0);
    name[255] = 'a';
    name[256] = 0;
    assert_int_equal(name_check(name), ERR_NAME_TOO_LONG);
    assert_int_equal(name_check(""), ERR_INVALID);
    assert_int_equal(name_check("."), ERR_INVALID);
    assert_int_equal(name_check(".."), ERR_INVALID);
    assert_int_equal(name_check("..."), 0);
    assert_int_equal(name_check("a/b"), ERR_INVALID);
    assert_int_equal(name_check("\n \t"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(every_type_of_file_can_be_encoded),
        cmocka_unit_test(a_record_cut_short_or_with_bytes_behind_is_refused),
        cmocka_unit_test(fields_that_contradict_each_other_are_refused),
        cmocka_unit_test(a_tail_comes_back_with_its_place),
        cmocka_unit_test(data_and_xattrs_over_their_bounds_are_refused),
        cmocka_unit_test(a_name_with_a_slash_or_a_nul_in_a_record_is_refused),
        cmocka_unit_test(a_copy_owns_its_bytes_and_setting_data_keeps_xattrs),
        cmocka_unit_test(inode_numbers_are_never_0_and_1_is_the_root),
        cmocka_unit_test(when_attributes_were_changed_comes_back_in_records_and_headers),
        cmocka_unit_test(a_header_with_xattrs_is_of_version_2_and_one_without_of_version_1),
        cmocka_unit_test(a_header_comes_back_and_malformed_ones_are_refused),
        cmocka_unit_test(names_are_1_to_255_bytes_of_anything_but_slash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
