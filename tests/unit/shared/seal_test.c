/* seal: what another key or another header sealed does not open; key files are made and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/err.h"
#include "shared/seal.h"

static char directory[64];
static char path[80];

static void file_write(const char *text, mode_t mode) {
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void sealed_text(const struct seal_key *key, uint8_t *ret) {
    seal_close(key, bytes_of_string("header"), bytes_of_string("plain"), ret);
}

static void what_was_sealed_opens_with_the_same_key_and_header(void **state) {
    (void)state;
    struct seal_key key = {{1}};
    uint8_t sealed[5 + SEAL_OVERHEAD];
    sealed_text(&key, sealed);
    struct bytes plain;
    assert_int_equal(seal_open(&key, bytes_of_string("header"), sealed, sizeof(sealed), &plain), 0);
    assert_true(bytes_equal(plain, bytes_of_string("plain")));
}

static void sealing_in_place_gives_the_same(void **state) {
    (void)state;
    struct seal_key key = {{1}};
    uint8_t sealed[5 + SEAL_OVERHEAD];
    memcpy(sealed + SEAL_NONCE_SIZE, "plain", 5);
    seal_close(&key, bytes_of_string("header"), bytes_of(sealed + SEAL_NONCE_SIZE, 5), sealed);
    assert_memory_not_equal(sealed + SEAL_NONCE_SIZE, "plain", 5);
    struct bytes plain;
    assert_int_equal(seal_open(&key, bytes_of_string("header"), sealed, sizeof(sealed), &plain), 0);
    assert_true(bytes_equal(plain, bytes_of_string("plain")));
}

static void the_same_text_is_never_sealed_alike_twice(void **state) {
    (void)state;
    struct seal_key key = {{1}};
    uint8_t one[5 + SEAL_OVERHEAD], two[5 + SEAL_OVERHEAD];
    sealed_text(&key, one);
    sealed_text(&key, two);
    assert_memory_not_equal(one, two, SEAL_NONCE_SIZE);
    assert_memory_not_equal(one + SEAL_NONCE_SIZE, two + SEAL_NONCE_SIZE, 5);
}

static void any_changed_bit_another_key_or_header_or_a_cut_is_refused(void **state) {
    (void)state;
    struct seal_key key = {{1}}, other = {{2}};
    uint8_t good[5 + SEAL_OVERHEAD], sealed[5 + SEAL_OVERHEAD];
    sealed_text(&key, good);
    struct bytes header = bytes_of_string("header"), plain = {NULL, 99};
    for (size_t i = 0; i < sizeof(good); i++) {
        memcpy(sealed, good, sizeof(good));
        sealed[i] ^= 0x10;
        assert_int_equal(seal_open(&key, header, sealed, sizeof(sealed), &plain), ERR_AUTH);
    }
    for (size_t size = 0; size < sizeof(good); size++) {
        memcpy(sealed, good, sizeof(good));
        assert_int_equal(seal_open(&key, header, sealed, size, &plain), ERR_AUTH);
    }
    memcpy(sealed, good, sizeof(good));
    assert_int_equal(seal_open(&other, header, sealed, sizeof(sealed), &plain), ERR_AUTH);
    memcpy(sealed, good, sizeof(good));
    assert_int_equal(seal_open(&key, bytes_of_string("Header"), sealed, sizeof(sealed), &plain),
                     ERR_AUTH);
    assert_int_equal(plain.size, 99);
}

static void a_key_file_is_private_and_reads_back(void **state) {
    (void)state;
    const char *why = NULL;
    unlink(path);
    mode_t mask = umask(0); /* the mode must not depend on it */
    assert_int_equal(seal_key_write(path, &why), 0);
    umask(mask);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 2 * SEAL_KEY_SIZE + 1);
    struct seal_key one, two;
    assert_int_equal(seal_key_read(path, &one, &why), 0);
    assert_int_equal(seal_key_read(path, &two, &why), 0);
    assert_memory_equal(&one, &two, sizeof(one));
    unlink(path);
    assert_int_equal(seal_key_write(path, &why), 0);
    assert_int_equal(seal_key_read(path, &two, &why), 0);
    assert_memory_not_equal(&one, &two, sizeof(one));
}

static void a_key_file_is_never_overwritten(void **state) {
    (void)state;
    const char *why = NULL;
    file_write("precious", 0600);
    assert_int_equal(seal_key_write(path, &why), ERR_EXISTS);
    assert_non_null(why);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 8);
    why = NULL;
    assert_int_equal(seal_key_write("/nonexistent/key", &why), ERR_IO);
    assert_non_null(why);
}

#define DIGITS "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"

static void assert_refused(const char *text, mode_t mode) {
    file_write(text, mode);
    const char *why = NULL;
    struct seal_key key = {{7}};
    assert_int_equal(seal_key_read(path, &key, &why), ERR_INVALID);
    assert_non_null(why);
    assert_int_equal(key.bytes[0], 7);
}

static void a_key_file_open_to_others_or_of_another_content_is_refused(void **state) {
    (void)state;
    assert_refused(DIGITS "\n", 0640);
    assert_refused(DIGITS "\n", 0604);
    assert_refused(DIGITS "\n", 0610);
    assert_refused("", 0600);
    assert_refused(DIGITS "0\n", 0600);
    assert_refused(DIGITS "\n" DIGITS "\n", 0600);
    assert_refused("g" DIGITS, 0600);
    assert_refused(" " DIGITS, 0600);
    char text[] = DIGITS;
    text[63] = '\n';
    assert_refused(text, 0600);
    const char *why = NULL;
    struct seal_key key;
    assert_int_equal(seal_key_read(directory, &key, &why), ERR_INVALID);
    assert_int_equal(seal_key_read("/nonexistent/key", &key, &why), ERR_INVALID);
    file_write(DIGITS "\r\n \n", 0400);
    assert_int_equal(seal_key_read(path, &key, &why), 0);
    assert_int_equal(key.bytes[1], 0x11);
    assert_int_equal(key.bytes[16], 0xff);
}

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/ringfs-seal.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/key", directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_with_the_same_key_and_header),
        cmocka_unit_test(sealing_in_place_gives_the_same),
        cmocka_unit_test(the_same_text_is_never_sealed_alike_twice),
        cmocka_unit_test(any_changed_bit_another_key_or_header_or_a_cut_is_refused),
        cmocka_unit_test(a_key_file_is_private_and_reads_back),
        cmocka_unit_test(a_key_file_is_never_overwritten),
        cmocka_unit_test(a_key_file_open_to_others_or_of_another_content_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
