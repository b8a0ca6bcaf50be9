/* locks: one holder over two mounts, whatever dies, waits or gets lost. */
#include "fs/locks.h"

#include "fs/lock_waits.h"
#include "tests/unit/fs/world.h"

static struct lock_wish wish_of(enum lock_kind kind, uint64_t owner, enum lock_type type) {
    return (struct lock_wish){.lock = {.owner = owner,
                                       .pid = 1,
                                       .kind = (uint8_t)kind,
                                       .type = (uint8_t)type,
                                       .last = LOCK_TO_END}};
}

static int posix(struct handle *handle, uint64_t owner, enum lock_type type) {
    struct lock_wish wish = wish_of(LOCK_POSIX, owner, type);
    return locks_set(handle, &wish);
}

static int flock_of(struct handle *handle, uint64_t owner, enum lock_type type) {
    struct lock_wish wish = wish_of(LOCK_FLOCK, owner, type);
    return locks_set(handle, &wish);
}

/* A file that both mounts have open. */
struct pair {
    struct handle *a, *b;
};

static struct pair open_pair(struct world *w, const char *text) {
    struct pair pair;
    pair.a = create(&w->a, "f");
    if (text[0] != '\0') {
        put(pair.a, 0, text);
    }
    assert_int_equal(handle_flush(pair.a), 0);
    pair.b = open_flags(&w->b, "f", O_RDWR);
    return pair;
}

static void close_pair(struct pair *pair) {
    uint64_t owners[] = {1, 2, 3};
    for (int i = 0; i < 3; i++) {
        locks_close(pair->a, owners[i]);
        locks_close(pair->b, owners[i]);
        locks_release(pair->a, &owners[i]);
        locks_release(pair->b, &owners[i]);
    }
    handle_release(pair->a);
    handle_release(pair->b);
}

/* A request in a task of its own. */
struct waiting {
    struct handle *handle;
    struct lock_wish wish;
    struct task *task;
    int status;
    bool done;
    int64_t done_ns;
};

static void run_waiting(void *arg) {
    struct waiting *waiting = arg;
    waiting->task = task_self();
    waiting->status = locks_set(waiting->handle, &waiting->wish);
    waiting->done_ns = mount_now_ns(waiting->handle->file->mount);
    waiting->done = true;
}

static void start_waiting(struct waiting *waiting, struct handle *handle, enum lock_kind kind,
                          uint64_t owner, enum lock_type type) {
    *waiting = (struct waiting){.handle = handle, .wish = wish_of(kind, owner, type)};
    waiting->wish.wait = true;
    assert_int_equal(task_spawn(task_scheduler(task_self()), run_waiting, waiting,
                                mount_now_ns(handle->file->mount) + 10 * SECOND_NS),
                     0);
}

/* Lets it go on for so long, asleep or not. */
static void let_pass(int64_t ns) {
    task_set_deadline(task_self(), 0);
    assert_int_equal(task_sleep(ns), 0);
}

/* ---- who may hold what ---- */
IN_WORLD(what_one_mount_has_locked_the_other_does_not_get) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(flock_of(pair.b, 1, LOCK_SHARED), ERR_LOCKED);
    assert_int_equal(posix(pair.b, 1, LOCK_EXCLUSIVE), 0); /* the other kind */
    assert_int_equal(posix(pair.a, 1, LOCK_SHARED), ERR_LOCKED);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    assert_int_equal(flock_of(pair.b, 1, LOCK_SHARED), 0);
    assert_int_equal(flock_of(pair.a, 2, LOCK_SHARED), 0);
    close_pair(&pair);
}

IN_WORLD(closing_any_descriptor_gives_up_the_owners_posix_locks_and_nobody_elses) {
    struct pair pair = open_pair(w, "");
    struct handle *other = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(posix(pair.a, 1, LOCK_SHARED), 0);
    assert_int_equal(posix(pair.a, 2, LOCK_SHARED), 0);
    locks_close(other, 1);
    assert_int_equal(posix(pair.b, 3, LOCK_EXCLUSIVE), ERR_LOCKED);
    locks_close(other, 2);
    assert_int_equal(posix(pair.b, 3, LOCK_EXCLUSIVE), 0);
    handle_release(other);
    close_pair(&pair);
}

IN_WORLD(a_lock_of_an_open_file_description_goes_with_its_last_close) {
    struct pair pair = open_pair(w, "");
    struct handle *other = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(posix(other, 77, LOCK_EXCLUSIVE), 0);
    locks_close(other, 1); /* the closing process is not the owner */
    assert_int_equal(posix(pair.b, 3, LOCK_EXCLUSIVE), ERR_LOCKED);
    locks_release(other, NULL);
    handle_release(other);
    assert_int_equal(posix(pair.b, 3, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

IN_WORLD(getlk_names_the_lock_in_the_way_and_its_pid_on_this_mount_only) {
    struct pair pair = open_pair(w, "");
    struct lock_wish wish = wish_of(LOCK_POSIX, 1, LOCK_EXCLUSIVE);
    wish.lock.first = 10;
    wish.lock.last = 19;
    wish.lock.pid = 1234;
    assert_int_equal(locks_set(pair.a, &wish), 0);
    struct lock asked = wish_of(LOCK_POSIX, 2, LOCK_SHARED).lock, found;
    assert_int_equal(locks_get(pair.a, &asked, &found), 0);
    assert_int_equal(found.type, LOCK_EXCLUSIVE);
    assert_int_equal(found.first, 10);
    assert_int_equal(found.pid, 1234);
    assert_int_equal(locks_get(pair.b, &asked, &found), 0);
    assert_int_equal(found.last, 19);
    assert_int_equal(found.pid, 0);
    asked.first = 20;
    assert_int_equal(locks_get(pair.b, &asked, &found), 0);
    assert_int_equal(found.type, LOCK_NONE);
    close_pair(&pair);
}

/* ---- waiting ---- */
IN_WORLD(who_waits_gets_the_lock_when_it_is_free_however_long_that_takes) {
    struct pair pair = open_pair(w, "");
    struct waiting here, there;
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    start_waiting(&here, pair.a, LOCK_FLOCK, 2, LOCK_SHARED);
    start_waiting(&there, pair.b, LOCK_FLOCK, 3, LOCK_SHARED);
    let_pass(3600 * SECOND_NS); /* far beyond timeo= and any lease */
    assert_false(here.done);
    assert_false(there.done);
    int64_t freed_ns = mount_now_ns(&w->a);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    let_pass(SECOND_NS);
    assert_true(here.done && here.status == 0);
    assert_true(there.done && there.status == 0);
    assert_true(here.done_ns - freed_ns < SECOND_NS / 100);
    assert_true(there.done_ns - freed_ns <= LOCKS_PAUSE_MAX_NS);
    close_pair(&pair);
}

IN_WORLD(a_waiter_who_is_interrupted_leaves_at_once_and_without_a_trace) {
    struct pair pair = open_pair(w, "");
    struct waiting waiting;
    for (int local = 0; local < 2; local++) {
        struct handle *mine = local ? pair.a : pair.b;
        assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
        start_waiting(&waiting, mine, LOCK_FLOCK, 2, LOCK_EXCLUSIVE);
        let_pass(SECOND_NS);
        while (!waiting.wish.asleep) {
            task_yield();
        }
        task_interrupt(waiting.task);
        settle();
        assert_true(waiting.done);
        assert_int_equal(waiting.status, ERR_INTERRUPTED);
        assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
        assert_int_equal(flock_of(pair.a, 3, LOCK_EXCLUSIVE), 0);
        assert_int_equal(flock_of(pair.a, 3, LOCK_NONE), 0);
    }
    close_pair(&pair);
}

IN_WORLD(the_second_of_two_who_would_wait_for_each_other_is_told_of_the_deadlock) {
    struct pair pair = open_pair(w, "");
    struct waiting waiting;
    assert_int_equal(posix(pair.a, 1, LOCK_SHARED), 0);
    assert_int_equal(posix(pair.a, 2, LOCK_SHARED), 0);
    start_waiting(&waiting, pair.a, LOCK_POSIX, 1, LOCK_EXCLUSIVE);
    settle();
    struct lock_wish wish = wish_of(LOCK_POSIX, 2, LOCK_EXCLUSIVE);
    wish.wait = true;
    assert_int_equal(locks_set(pair.a, &wish), ERR_DEADLOCK);
    assert_int_equal(posix(pair.a, 2, LOCK_NONE), 0);
    settle();
    assert_true(waiting.done && waiting.status == 0);
    close_pair(&pair);
}

IN_WORLD(a_circle_of_three_over_three_files_is_a_deadlock) {
    struct handle *f[3] = {create(&w->a, "x"), create(&w->a, "y"), create(&w->a, "z")};
    struct waiting waiting[2];
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(posix(f[i], i + 1, LOCK_EXCLUSIVE), 0);
    }
    for (uint64_t i = 0; i < 2; i++) {
        start_waiting(&waiting[i], f[i + 1], LOCK_POSIX, i + 1, LOCK_EXCLUSIVE);
        settle();
    }
    struct lock_wish wish = wish_of(LOCK_POSIX, 3, LOCK_EXCLUSIVE);
    wish.wait = true;
    assert_int_equal(locks_set(f[0], &wish), ERR_DEADLOCK);
    for (uint64_t i = 3; i > 0; i--) {
        for (int at = 0; at < 3; at++) {
            locks_close(f[at], i);
        }
        settle();
    }
    assert_true(waiting[0].done && waiting[1].done);
    for (int at = 0; at < 3; at++) {
        locks_release(f[at], NULL);
        close_handle(f[at]);
    }
}

IN_WORLD(more_waiters_than_the_bound_are_refused) {
    struct pair pair = open_pair(w, "");
    static struct waiting waiting[LOCKS_WAITERS_MAX + 1];
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    for (int i = 0; i <= LOCKS_WAITERS_MAX; i++) {
        start_waiting(&waiting[i], pair.a, LOCK_FLOCK, 2, LOCK_SHARED);
    }
    settle();
    assert_true(waiting[LOCKS_WAITERS_MAX].done);
    assert_int_equal(waiting[LOCKS_WAITERS_MAX].status, ERR_NO_LOCKS);
    assert_false(waiting[0].done);
    locks_stop_waiting(&w->a);
    settle();
    assert_true(waiting[0].done);
    assert_int_equal(waiting[0].status, ERR_CLOSED);
    close_pair(&pair);
}

/* ---- what it costs, and what it brings ---- */
IN_WORLD(uncontended_it_is_one_round_trip_to_lock_and_one_to_unlock) {
    struct pair pair = open_pair(w, "text");
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    close_pair(&pair);
}

IN_WORLD(without_locks_closing_asks_the_cluster_nothing) {
    struct pair pair = open_pair(w, "text");
    uint64_t owner = 1;
    store_mem_reset_hooks(w->mem);
    locks_close(pair.a, owner);
    locks_release(pair.a, &owner);
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_null(pair.a->file->locks);
    close_pair(&pair);
}

static void assert_reads(struct handle *handle, const char *text) {
    size_t size;
    char *held = contents_of(handle, &size);
    assert_string_equal(held, text);
    free(held);
}

IN_WORLD(who_gets_the_lock_reads_what_was_written_under_it_before) {
    struct pair pair = open_pair(w, "0");
    for (char digit = '1'; digit < '9'; digit++) {
        char text[2] = {digit};
        struct handle *writer = digit % 2 ? pair.a : pair.b;
        struct handle *reader = digit % 2 ? pair.b : pair.a;
        assert_int_equal(posix(writer, 1, LOCK_EXCLUSIVE), 0);
        put(writer, 0, text); /* buffered */
        assert_int_equal(posix(writer, 1, LOCK_NONE), 0);
        assert_int_equal(posix(reader, 2, LOCK_SHARED), 0);
        assert_reads(reader, text);
        assert_int_equal(posix(reader, 2, LOCK_NONE), 0);
    }
    close_pair(&pair);
}

/* ---- what goes wrong ---- */
IN_WORLD(an_unlocking_that_the_row_was_not_told_is_told_later) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 2, ERR_UNAVAILABLE, false);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    settle(); /* it is tried once more at once */
    assert_int_equal(flock_of(pair.b, 2, LOCK_EXCLUSIVE), ERR_LOCKED);
    let_pass(LEASE_DEFAULT_NS / LEASE_RENEW_PART * 2);
    assert_int_equal(flock_of(pair.b, 2, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

IN_WORLD(a_lock_whose_answer_was_lost_is_not_held_by_anybody) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(flock_of(pair.a, 1, LOCK_NONE), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 3, ERR_UNKNOWN, true);
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), ERR_UNKNOWN);
    settle();
    assert_int_equal(flock_of(pair.b, 2, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

IN_WORLD(a_lock_fails_when_the_cluster_does_not_answer) {
    struct pair pair = open_pair(w, "");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, UINT64_MAX, ERR_UNAVAILABLE, false);
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), ERR_UNAVAILABLE);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

/* As a process that is stopped or killed: nothing in the background goes on. */
static void stop_mount(struct mount *mount) {
    mount_stop_background(mount);
}

IN_WORLD(a_dead_mounts_lock_is_free_after_its_lease_and_not_before) {
    struct pair pair = open_pair(w, "");
    struct waiting waiting;
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    stop_mount(&w->a);
    int64_t dead_ns = mount_now_ns(&w->a);
    start_waiting(&waiting, pair.b, LOCK_FLOCK, 2, LOCK_EXCLUSIVE);
    let_pass(LEASE_DEFAULT_NS - SECOND_NS);
    assert_false(waiting.done);
    let_pass(4 * SECOND_NS);
    assert_true(waiting.done && waiting.status == 0);
    assert_true(waiting.done_ns - dead_ns >= LEASE_DEFAULT_NS);
    close_pair(&pair);
}

IN_WORLD(who_only_tries_now_and_then_gets_a_dead_mounts_lock_too) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(flock_of(pair.a, 1, LOCK_EXCLUSIVE), 0);
    stop_mount(&w->a);
    assert_int_equal(flock_of(pair.b, 2, LOCK_EXCLUSIVE), ERR_LOCKED);
    let_pass(LEASE_DEFAULT_NS + SECOND_NS);
    assert_int_equal(flock_of(pair.b, 2, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

IN_WORLD(a_mount_that_lost_its_lease_fails_writes_until_the_file_is_closed) {
    struct pair pair = open_pair(w, "old");
    struct handle *unlocked = create(&w->a, "g");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    put(pair.a, 0, "two"); /* buffered */
    stop_mount(&w->a);
    let_pass(LEASE_DEFAULT_NS * 2 / 3);
    assert_int_equal(handle_write(pair.a, 0, bytes_of_string("three")), ERR_LEASE_LOST);
    assert_int_equal(handle_fsync(pair.a, false), ERR_LEASE_LOST);
    assert_int_equal(handle_flush(pair.a), ERR_LEASE_LOST);
    put(unlocked, 0, "not affected");
    close_handle(unlocked);
    struct handle *again = open_flags(&w->a, "f", O_RDWR);
    assert_reads(again, "old");
    put(again, 0, "new");
    close_handle(again);
    assert_int_equal(handle_write(pair.a, 0, bytes_of_string("three")), ERR_LEASE_LOST);
    assert_int_equal(w->a.locks->n_leases_lost, 1);
    close_pair(&pair);
    assert_holds(&w->b, "f", "new");
}

IN_WORLD(a_lease_that_others_have_ended_is_lost_at_the_next_renewal) {
    struct pair pair = open_pair(w, "old");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    struct lease_row row = {0};
    assert_int_equal(lease_read(w->ns_b, &w->a.locks->lease.id, &row), 0);
    assert_int_equal(lease_end(w->ns_b, &w->a.locks->lease.id, &row), 0);
    assert_int_equal(posix(pair.b, 2, LOCK_EXCLUSIVE), 0);
    let_pass(LEASE_DEFAULT_NS / LEASE_RENEW_PART + SECOND_NS);
    assert_int_equal(handle_write(pair.a, 0, bytes_of_string("x")), ERR_LEASE_LOST);
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), ERR_LOCKED); /* under a fresh id */
    assert_int_equal(posix(pair.b, 2, LOCK_NONE), 0);
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    lease_row_release(&row);
    close_pair(&pair);
}

IN_WORLD(a_lease_that_is_renewed_is_ended_by_nobody) {
    struct pair pair = open_pair(w, "");
    struct lease_row row = {0};
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(lease_read(w->ns_b, &w->a.locks->lease.id, &row), 0);
    let_pass(LEASE_DEFAULT_NS / LEASE_RENEW_PART + SECOND_NS);
    assert_int_equal(lease_end(w->ns_b, &w->a.locks->lease.id, &row), ERR_CONFLICT);
    lease_row_release(&row);
    close_pair(&pair);
}

IN_WORLD(an_idle_mount_gives_up_its_lease_and_leaves_no_row) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    assert_int_equal(posix(pair.a, 1, LOCK_NONE), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'l'), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'm'), 1);
    let_pass(LOCKS_IDLE_NS + LEASE_DEFAULT_NS);
    assert_int_equal(store_mem_live_rows(w->mem, 'm'), 0);
    assert_false(w->a.locks->keeping);
    close_pair(&pair);
}

IN_WORLD(a_mount_that_ends_takes_its_locks_and_its_lease_with_it) {
    struct pair pair = open_pair(w, "");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    stop_mount(&w->a);
    locks_end(&w->a);
    assert_int_equal(store_mem_live_rows(w->mem, 'l'), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'm'), 0);
    assert_int_equal(posix(pair.b, 1, LOCK_EXCLUSIVE), 0);
    close_pair(&pair);
}

/* What a worker leaves behind: its lease in memory that stays, its locks in the row. */
static void leave_to_next(struct mount *mount, struct survivor_lease *kept) {
    stop_mount(mount);
    locks_leave(mount);
    mount->locks->lease.kept = NULL; /* its end is not seen */
    assert_int_equal(kept->valid, 1);
}

IN_WORLD(another_worker_goes_on_with_locks_and_lease) {
    struct survivor_lease kept = {0};
    w->a.locks->lease.kept = &kept;
    struct pair pair = open_pair(w, "");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    leave_to_next(&w->a, &kept);
    w->b.locks->lease.kept = &kept;
    assert_int_equal(locks_resume(&w->b), 0);
    assert_int_equal(locks_resume_file(pair.b, 1), 0);
    let_pass(LEASE_DEFAULT_NS * 2);
    assert_int_equal(locks_check(pair.b), 0);
    assert_int_equal(posix(pair.b, 2, LOCK_EXCLUSIVE), ERR_LOCKED);
    locks_release(pair.b, NULL); /* the claim has come over too */
    assert_int_equal(posix(pair.b, 2, LOCK_EXCLUSIVE), 0);
    locks_end(&w->b);
    assert_int_equal(kept.valid, 0);
    close_pair(&pair);
}

IN_WORLD(a_lease_that_ended_between_two_workers_is_lost) {
    struct survivor_lease kept = {0};
    w->a.locks->lease.kept = &kept;
    struct pair pair = open_pair(w, "");
    assert_int_equal(posix(pair.a, 1, LOCK_EXCLUSIVE), 0);
    leave_to_next(&w->a, &kept);
    struct lease_row row = {0};
    assert_int_equal(lease_read(w->ns_b, &kept.id, &row), 0);
    assert_int_equal(lease_end(w->ns_b, &kept.id, &row), 0);
    lease_row_release(&row);
    w->b.locks->lease.kept = &kept;
    assert_int_equal(locks_resume(&w->b), ERR_LEASE_LOST);
    assert_int_equal(kept.valid, 0);
    close_pair(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_mount_has_locked_the_other_does_not_get),
        cmocka_unit_test(closing_any_descriptor_gives_up_the_owners_posix_locks_and_nobody_elses),
        cmocka_unit_test(a_lock_of_an_open_file_description_goes_with_its_last_close),
        cmocka_unit_test(getlk_names_the_lock_in_the_way_and_its_pid_on_this_mount_only),
        cmocka_unit_test(who_waits_gets_the_lock_when_it_is_free_however_long_that_takes),
        cmocka_unit_test(a_waiter_who_is_interrupted_leaves_at_once_and_without_a_trace),
        cmocka_unit_test(the_second_of_two_who_would_wait_for_each_other_is_told_of_the_deadlock),
        cmocka_unit_test(a_circle_of_three_over_three_files_is_a_deadlock),
        cmocka_unit_test(more_waiters_than_the_bound_are_refused),
        cmocka_unit_test(uncontended_it_is_one_round_trip_to_lock_and_one_to_unlock),
        cmocka_unit_test(without_locks_closing_asks_the_cluster_nothing),
        cmocka_unit_test(who_gets_the_lock_reads_what_was_written_under_it_before),
        cmocka_unit_test(an_unlocking_that_the_row_was_not_told_is_told_later),
        cmocka_unit_test(a_lock_whose_answer_was_lost_is_not_held_by_anybody),
        cmocka_unit_test(a_lock_fails_when_the_cluster_does_not_answer),
        cmocka_unit_test(a_dead_mounts_lock_is_free_after_its_lease_and_not_before),
        cmocka_unit_test(who_only_tries_now_and_then_gets_a_dead_mounts_lock_too),
        cmocka_unit_test(a_mount_that_lost_its_lease_fails_writes_until_the_file_is_closed),
        cmocka_unit_test(a_lease_that_others_have_ended_is_lost_at_the_next_renewal),
        cmocka_unit_test(a_lease_that_is_renewed_is_ended_by_nobody),
        cmocka_unit_test(an_idle_mount_gives_up_its_lease_and_leaves_no_row),
        cmocka_unit_test(a_mount_that_ends_takes_its_locks_and_its_lease_with_it),
        cmocka_unit_test(another_worker_goes_on_with_locks_and_lease),
        cmocka_unit_test(a_lease_that_ended_between_two_workers_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
