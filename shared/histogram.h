/* histogram: how often which value occurred, for percentiles of latencies in fixed memory. */
#ifndef RINGFS_SHARED_HISTOGRAM_H
#define RINGFS_SHARED_HISTOGRAM_H

#include <stdint.h>

/* Log-linear, after G. Tene's HdrHistogram: 32 buckets of equal width in each power of two, so that
 * the middle of a bucket is within 1/64 (1.6 %) of every value in it; values below 64 are exact.
 * Every uint64_t has a bucket: nothing is clipped. Zero-initialized is empty. 15 KiB. Pure. */
enum {
    HISTOGRAM_SUB_BITS = 5,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n;
    uint64_t max; /* exact */
};

/* Counts one value. */
void histogram_add(struct histogram *h, uint64_t value);
/* Adds what `other` counted. */
void histogram_join(struct histogram *into, const struct histogram *other);
/* The least value that `ppm` millionths of all values are not above (500000 = the median), as the
 * middle of its bucket and never above the maximum; 0 when empty. `ppm` at most 1000000 (asserted).
 */
uint64_t histogram_quantile(const struct histogram *h, uint32_t ppm);

#endif
