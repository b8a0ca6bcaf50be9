/* seal: authenticated encryption of frames with the cluster's key, and the key's file. */
#ifndef RINGFS_SHARED_SEAL_H
#define RINGFS_SHARED_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "shared/bytes.h"

/* XChaCha20-Poly1305 (libsodium), one call each way. The nonce is random: 192 bits, so that any
 * number of processes share one key without agreeing on counters. A sealed run is
 *
 *   nonce 24 | ciphertext, as long as the plain text | tag 16
 *
 * Whoever holds the key is a member of the cluster; nothing tells one holder from another. Any
 * thread. seal.c is the only file that includes libsodium. */
enum {
    SEAL_KEY_SIZE = 32,
    SEAL_NONCE_SIZE = 24,
    SEAL_TAG_SIZE = 16,
    SEAL_OVERHEAD = SEAL_NONCE_SIZE + SEAL_TAG_SIZE,
};

struct seal_key {
    uint8_t bytes[SEAL_KEY_SIZE];
};

/* Makes a random key and writes it to a new file: 64 hexadecimal digits and a newline, mode 0600,
 * durable on return. ERR_EXISTS (a key is never overwritten), ERR_IO; with a sentence in *ret_why
 * (static string). */
int seal_key_write(const char *path, const char **ret_why);
/* Reads such a file. ERR_INVALID with a sentence when it cannot be read, is no regular file, is
 * open to group or others, or is anything but 64 digits with white space after. */
int seal_key_read(const char *path, struct seal_key *ret, const char **ret_why);
/* Wipes it. */
void seal_key_release(struct seal_key *key);

/* Seals `plain` into `ret` (plain.size + SEAL_OVERHEAD bytes), binding `header` to it. `plain` may
 * stand at ret + SEAL_NONCE_SIZE, else the two must not overlap. */
void seal_close(const struct seal_key *key, struct bytes header, struct bytes plain, uint8_t *ret);
/* Opens `size` sealed bytes in place; the plain text then borrows from them. ERR_AUTH (outputs
 * untouched) when they were not sealed with this key under this header. */
int seal_open(const struct seal_key *key, struct bytes header, uint8_t *sealed, size_t size,
              struct bytes *ret_plain);

#endif
