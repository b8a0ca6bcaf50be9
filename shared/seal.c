/* seal: authenticated encryption of frames with the cluster's key, and the key's file. */
#include "shared/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/err.h"

_Static_assert(SEAL_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

enum { DIGITS = 2 * SEAL_KEY_SIZE };

/* Idempotent and cheap; without it libsodium runs its slow portable code. */
static void sodium_start(void) {
    if (sodium_init() < 0) {
        fprintf(stderr, "ringfs: libsodium does not start: no source of random bytes\n");
        exit(1);
    }
}

static int refuse(int err, const char *why, const char **ret_why) {
    *ret_why = why;
    return err;
}

/* The name is durable when its directory is. */
static bool directory_sync(const char *path) {
    char directory[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL && (size_t)(slash - path) < sizeof(directory) - 1) {
        size_t size = slash == path ? 1 : (size_t)(slash - path);
        memcpy(directory, path, size);
        directory[size] = '\0';
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

int seal_key_write(const char *path, const char **ret_why) {
    sodium_start();
    uint8_t key[SEAL_KEY_SIZE];
    char text[DIGITS + 2];
    randombytes_buf(key, sizeof(key));
    sodium_bin2hex(text, DIGITS + 1, key, sizeof(key));
    memcpy(text + DIGITS, "\n", 2);
    sodium_memzero(key, sizeof(key));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        sodium_memzero(text, sizeof(text));
        return errno == EEXIST
                   ? refuse(ERR_EXISTS, "the key file exists already; it is left alone", ret_why)
                   : refuse(ERR_IO, "the key file cannot be made there", ret_why);
    }
    bool written = fchmod(fd, 0600) == 0 && write(fd, text, DIGITS + 1) == DIGITS + 1;
    sodium_memzero(text, sizeof(text));
    written = fsync(fd) == 0 && written;
    written = close(fd) == 0 && written;
    if (!written || !directory_sync(path)) {
        unlink(path);
        return refuse(ERR_IO, "the key file cannot be written", ret_why);
    }
    return 0;
}

/* 64 digits, then nothing but white space. */
static int key_parse(char *text, size_t size, struct seal_key *ret, const char **ret_why) {
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    size_t n = 0;
    struct seal_key key;
    if (size != DIGITS ||
        sodium_hex2bin(key.bytes, sizeof(key.bytes), text, size, NULL, &n, NULL) ||
        n != SEAL_KEY_SIZE) {
        sodium_memzero(&key, sizeof(key));
        return refuse(ERR_INVALID, "the key file must hold 64 hexadecimal digits", ret_why);
    }
    *ret = key;
    sodium_memzero(&key, sizeof(key));
    return 0;
}

int seal_key_read(const char *path, struct seal_key *ret, const char **ret_why) {
    sodium_start();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return refuse(ERR_INVALID, "the key file cannot be opened", ret_why);
    }
    struct stat status;
    char text[DIGITS + 16] = {0};
    int result;
    ssize_t size;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        result = refuse(ERR_INVALID, "the key file is not a regular file", ret_why);
    } else if ((status.st_mode & 077) != 0) {
        result = refuse(ERR_INVALID, "the key file is open to others: chmod 600 it", ret_why);
    } else if ((size = read(fd, text, sizeof(text))) < 0) {
        result = refuse(ERR_INVALID, "the key file cannot be read", ret_why);
    } else {
        result = key_parse(text, (size_t)size, ret, ret_why);
    }
    sodium_memzero(text, sizeof(text));
    close(fd);
    return result;
}

void seal_key_release(struct seal_key *key) {
    sodium_memzero(key, sizeof(*key));
}

void seal_close(const struct seal_key *key, struct bytes header, struct bytes plain, uint8_t *ret) {
    randombytes_buf(ret, SEAL_NONCE_SIZE);
    unsigned long long size = 0;
    int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(ret + SEAL_NONCE_SIZE, &size,
                                                            plain.data, plain.size, header.data,
                                                            header.size, NULL, ret, key->bytes);
    assert(!failed);
    assert(size == plain.size + SEAL_TAG_SIZE);
    (void)failed;
}

int seal_open(const struct seal_key *key, struct bytes header, uint8_t *sealed, size_t size,
              struct bytes *ret_plain) {
    if (size < SEAL_OVERHEAD) {
        return ERR_AUTH;
    }
    uint8_t *text = sealed + SEAL_NONCE_SIZE;
    unsigned long long plain_size = 0;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(text, &plain_size, NULL, text,
                                                   size - SEAL_NONCE_SIZE, header.data, header.size,
                                                   sealed, key->bytes) != 0) {
        return ERR_AUTH;
    }
    *ret_plain = bytes_of(text, (size_t)plain_size);
    return 0;
}
