/* fuzz: what a fuzz target offers, to libFuzzer and to the deterministic run in the unit tests. */
#ifndef RINGFS_TESTS_FUZZ_FUZZ_H
#define RINGFS_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "shared/bytes.h"

/* A target is one *_fuzz.c with the functions below. Built with FUZZ=ON it is a libFuzzer program
 * (clang); in every build it is also an ordinary test, in which replay.c feeds it its own seeds,
 * mutated by dice that roll the same each time. */

/* Ends the process (abort, or a sanitizer) when the input breaks a promise; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the `n`-th well-formed input, from 0; returns 0 when there is no such seed. */
int fuzz_seed(uint32_t n, struct buffer *into);

/* How many mutated inputs the ordinary test feeds: about a second's worth. */
extern const uint32_t fuzz_rounds;

/* A promise, checked in every build. */
#define FUZZ_CHECK(promise) ((promise) ? (void)0 : fuzz_broken(#promise, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *promise, const char *file, int line);

#endif
