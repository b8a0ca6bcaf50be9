/* hash: the hash tables of uthash with XXH3 as their function. */
#ifndef RINGFS_SHARED_HASH_H
#define RINGFS_SHARED_HASH_H

/* Included in place of <uthash.h>: keys come from clients, and XXH3 is several times as fast on
 * them as uthash's own, whose fall-throughs clang warns of besides. */
#include <xxhash.h>

#define HASH_FUNCTION(key, size, hash) ((hash) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

#endif
