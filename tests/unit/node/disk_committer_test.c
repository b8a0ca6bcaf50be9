/* disk_committer: groups keep the order, share a sync, and what was buffered is synced soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "node/disk_committer.h"
#include "shared/err.h"

/* An engine that records what it is told, and waits where a test wants it to. */
enum { RECORD_MAX = 64 };

static struct {
    char
        record[RECORD_MAX]; /* '0'...: a commit by its number; ' ' ends a group, '!' a synced one */
    pthread_t writer;       /* of the last group */
    bool gated;             /* groups wait for `gate` */
    sem_t entered, gate, synced;
} engine;

static void record(char c) {
    size_t n = strlen(engine.record);
    assert_true(n + 1 < RECORD_MAX);
    engine.record[n] = c;
}

static int engine_write(void *self, struct disk_commit *list, bool synced) {
    (void)self;
    if (!list) {
        sem_post(&engine.synced);
        return 0;
    }
    if (engine.gated) {
        sem_post(&engine.entered);
        sem_wait(&engine.gate);
    }
    engine.writer = pthread_self();
    for (; list; list = list->next) {
        record((char)('0' + *(int *)list->context));
    }
    record(synced ? '!' : ' ');
    return 0;
}

static struct disk_committer *committer;

static int start(void **state) {
    (void)state;
    memset(&engine, 0, sizeof engine);
    sem_init(&engine.entered, 0, 0);
    sem_init(&engine.gate, 0, 0);
    sem_init(&engine.synced, 0, 0);
    struct disk_committer_config config = {.write = engine_write};
    return disk_committer_start(&config, &committer);
}

static int take(void) {
    int n = 0;
    for (struct disk_group *group = disk_committer_take(committer); group;) {
        struct disk_group *next = group->next;
        for (struct disk_commit *commit = group->list; commit; commit = commit->next) {
            n++;
        }
        free(group);
        group = next;
    }
    return n;
}

static int stop(void **state) {
    (void)state;
    take();
    disk_committer_free(committer);
    return 0;
}

static int numbers[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static struct disk_commit commits[10];

/* Hands over commit `i` alone. */
static void submit(int i, bool synced, size_t size) {
    commits[i] = (struct disk_commit){.synced = synced, .context = &numbers[i]};
    disk_committer_submit(committer, &commits[i], size);
}

static void a_small_commit_is_written_by_the_asking_thread(void **state) {
    (void)state;
    submit(0, false, 100);
    assert_int_equal(take(), 1);
    assert_true(pthread_equal(engine.writer, pthread_self()));
    disk_committer_stop(committer);
}

static void a_synced_or_large_commit_is_not(void **state) {
    (void)state;
    submit(0, true, 100);
    submit(1, false, DISK_INLINE_BYTES_MAX + 1);
    disk_committer_stop(committer);
    assert_false(pthread_equal(engine.writer, pthread_self()));
    assert_int_equal(take(), 2);
}

static void what_queues_up_during_a_write_is_the_next_group_in_order(void **state) {
    (void)state;
    engine.gated = true;
    submit(0, true, 100);
    sem_wait(&engine.entered); /* the committer is inside the write of 0 */
    submit(1, false, 100);
    submit(2, true, 100);
    submit(3, false, 100);
    assert_int_equal(take(), 0);
    sem_post(&engine.gate);
    sem_wait(&engine.entered);
    assert_string_equal(engine.record, "0!");
    sem_post(&engine.gate);
    disk_committer_stop(committer);
    assert_string_equal(engine.record, "0!123!");
    assert_int_equal(take(), 4);
}

static void the_end_of_a_group_is_announced(void **state) {
    (void)state;
    submit(0, true, 100);
    struct pollfd wait = {disk_committer_event_fd(committer), POLLIN, 0};
    assert_int_equal(poll(&wait, 1, 20000), 1);
    assert_int_equal(take(), 1);
    disk_committer_stop(committer);
}

/* The test waits for the sync itself; without one it never ends, and the runner says so. */
static void what_was_buffered_is_synced_without_being_asked(void **state) {
    (void)state;
    submit(0, false, 100);
    sem_wait(&engine.synced);
    disk_committer_stop(committer);
}

static void a_stop_writes_what_is_queued_and_syncs_what_is_not(void **state) {
    (void)state;
    int n_synced = 0;
    submit(0, false, 100);
    submit(1, false, DISK_INLINE_BYTES_MAX + 1);
    disk_committer_stop(committer);
    assert_int_equal(take(), 2);
    sem_getvalue(&engine.synced, &n_synced);
    assert_int_equal(n_synced, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_small_commit_is_written_by_the_asking_thread),
        TEST(a_synced_or_large_commit_is_not),
        TEST(what_queues_up_during_a_write_is_the_next_group_in_order),
        TEST(the_end_of_a_group_is_announced),
        TEST(what_was_buffered_is_synced_without_being_asked),
        TEST(a_stop_writes_what_is_queued_and_syncs_what_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
