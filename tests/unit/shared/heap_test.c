/* heap: buffers that come and go do not go to the kernel; what is left does when it is quiet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "shared/heap.h"

/* Their malloc() is another one. gcc and clang say it differently. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

enum { BUFFERS = 16, BUFFER_SIZE = 512 << 10 };

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* Page faults of having so many buffers at a time, filled, and freeing them. */
static long use_buffers(void) {
    uint8_t *buffers[BUFFERS];
    long before = faults();
    for (int i = 0; i < BUFFERS; i++) {
        buffers[i] = malloc(BUFFER_SIZE);
        memset(buffers[i], i, BUFFER_SIZE);
    }
    for (int i = 0; i < BUFFERS; i++) {
        free(buffers[i]);
    }
    return faults() - before;
}

static void the_same_pages_serve_again_until_it_is_quiet(void **state) {
    (void)state;
    if (SANITIZED) {
        skip();
    }
    struct loop *loop = loop_new();
    struct heap *heap = heap_keep(loop);
    long first = use_buffers();
    assert_true(use_buffers() < first / 4);
    int64_t later_ns = loop_now_ns(loop) + HEAP_LOOK_MS * 1500000ll;
    timers_run(loop_timers(loop), later_ns);
    assert_int_equal(heap_given_back(heap), 1);
    assert_true(use_buffers() > first / 2);
    heap_free(heap);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_pages_serve_again_until_it_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
