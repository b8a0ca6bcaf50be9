/* namespace: two clients change the same things, one cutting in ahead of every store call of the
 * other; and many clients at random with a store that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/task.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;
static struct id128 d;

static void prepare_directory(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
}
static void prepare_file(struct world *w) {
    prepare_directory(w);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
}

/* ---- create ---- */

static int operate_create(struct world *w) {
    return make_file(w->ns, &d, "a", "one");
}
static int meddle_create(struct world *w) {
    return make_file(w->other, &d, "a", "two");
}
static void judge_create(struct world *w, int one, int two) {
    assert_true((one == 0) != (two == 0));
    assert_true(one == 0 || one == ERR_EXISTS);
    assert_int_equal(look(w->ns, &d, "a", one == 0 ? "one" : "two"), 0);
}
static void of_two_exclusive_creates_one_wins(void **state) {
    (void)state;
    duel_at_every_call(
        &(struct duel){prepare_directory, operate_create, meddle_create, judge_create}, 1);
}

static int meddle_rmdir(struct world *w) {
    return namespace_rmdir(w->other, root, "d");
}
static void judge_rmdir(struct world *w, int made, int removed) {
    assert_true((made == 0) != (removed == 0));
    assert_true(made == 0 || made == ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, root, "d", NULL), made);
}
static int operate_rmdir(struct world *w) {
    return namespace_rmdir(w->ns, root, "d");
}
static void judge_create_during_rmdir(struct world *w, int removed, int made) {
    assert_true((made == 0) != (removed == 0));
    assert_int_equal(look(w->ns, root, "d", NULL), removed == 0 ? ERR_NO_ENTRY : 0);
    assert_int_equal(look(w->ns, &d, "a", "two"), removed == 0 ? ERR_NO_ENTRY : 0);
}
static void a_create_and_the_rmdir_of_its_directory_never_both_succeed(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_directory, operate_create, meddle_rmdir, judge_rmdir},
                       1);
    duel_at_every_call(
        &(struct duel){prepare_directory, operate_rmdir, meddle_create, judge_create_during_rmdir},
        4);
}

static int operate_mkdir(struct world *w) {
    return make_directory(w->ns, &d, "a", NULL);
}
static void judge_mkdir(struct world *w, int one, int two) {
    assert_true((one == 0) != (two == 0));
    assert_int_equal(count_names(w->ns, &d, 10), 1);
    /* The loser left no header: d's, two entries, and the winner's if it is a directory. */
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), one == 0 ? 4 : 3);
}
static void of_mkdir_and_create_one_wins(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_directory, operate_mkdir, meddle_create, judge_mkdir},
                       2);
}

/* ---- update, unlink ---- */

static int operate_append(struct world *w) {
    return append_text(w->ns, &d, "a", "1");
}
static int meddle_append(struct world *w) {
    return append_text(w->other, &d, "a", "2");
}
static void judge_append(struct world *w, int one, int two) {
    assert_int_equal(one, 0);
    if (two == 0) {
        assert_int_equal(look(w->ns, &d, "a", "A21"), 0);
    }
}
static void two_appends_both_arrive(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_file, operate_append, meddle_append, judge_append},
                       2);
}

static int meddle_replace(struct world *w) {
    int err = namespace_unlink(w->other, &d, "a", NULL);
    return err < 0 ? err : make_file(w->other, &d, "a", "B");
}
static void judge_replace(struct world *w, int appended, int replaced) {
    if (replaced == 0) { /* the append met the old file before, or the new one, or none */
        assert_true(appended == ERR_STALE || appended == 0);
        assert_true(look(w->ns, &d, "a", "B") == 0 ||
                    (appended == 0 && look(w->ns, &d, "a", "B1") == 0));
    } else {
        assert_int_equal(look(w->ns, &d, "a", "A1"), 0);
    }
}
static void an_append_never_lands_in_a_file_it_was_not_meant_for(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_file, operate_append, meddle_replace, judge_replace},
                       2);
}

static int operate_unlink(struct world *w) {
    return namespace_unlink(w->ns, &d, "a", NULL);
}
static int meddle_unlink(struct world *w) {
    return namespace_unlink(w->other, &d, "a", NULL);
}
static void judge_unlink(struct world *w, int one, int two) {
    assert_true((one == 0) != (two == 0));
    assert_true(one == 0 || one == ERR_NO_ENTRY);
    assert_int_equal(count_names(w->ns, &d, 10), 0);
}
static void of_two_unlinks_one_wins(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_file, operate_unlink, meddle_unlink, judge_unlink},
                       2);
}

/* ---- directories ---- */

static int operate_chown(struct world *w) {
    struct directory_attributes set = {.uid = 11}, shown;
    return namespace_set_attributes(w->ns, root, ATTRIBUTE_UID, &set, &shown);
}
static int meddle_chgrp(struct world *w) {
    struct directory_attributes set = {.gid = 22}, shown;
    return namespace_set_attributes(w->other, root, ATTRIBUTE_GID, &set, &shown);
}
static void prepare_nothing(struct world *w) {
    (void)w;
}
static void judge_attributes(struct world *w, int one, int two) {
    struct directory_attributes shown;
    assert_int_equal(one, 0);
    assert_int_equal(namespace_attributes(w->ns, root, &shown), 0);
    assert_int_equal(shown.uid, 11);
    assert_int_equal(shown.gid, two == 0 ? 22 : 0);
}
static void two_changes_of_a_directorys_attributes_both_hold(void **state) {
    (void)state;
    duel_at_every_call(
        &(struct duel){prepare_nothing, operate_chown, meddle_chgrp, judge_attributes}, 18);
}

static void judge_two_rmdirs(struct world *w, int one, int two) {
    assert_true(one == 0 || two == 0);
    assert_true(one == 0 || one == ERR_NO_ENTRY);
    assert_int_equal(count_names(w->ns, root, 10), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
}
static void two_rmdirs_remove_everything_once(void **state) {
    (void)state;
    duel_at_every_call(
        &(struct duel){prepare_directory, operate_rmdir, meddle_rmdir, judge_two_rmdirs}, 4);
}

/* ---- an answer lost, and others writing before it is asked again ---- */

static uint64_t lost_batch; /* the call whose answer is lost; others cut in ahead of the next */
static int n_writes_between;
static bool clock_jumps;

static void write_between(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    (void)kind;
    if (number == lost_batch + 1) {
        store_mem_advance(w->mem, clock_jumps ? 60ull * 1000 * 1000 * 1000 : 0);
        for (int i = 0; i < n_writes_between; i++) {
            assert_int_equal(append_text(w->other, &d, "a", "2"), 0);
        }
    }
}

static void lose_answer(struct world *w, uint64_t at, bool applied, int n_writes) {
    lost_batch = at;
    n_writes_between = n_writes;
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, at, at, ERR_UNKNOWN, applied);
    store_mem_before(w->mem, write_between, w);
}

IN_WORLD(an_update_whose_answer_is_lost_is_done_once) {
    prepare_file(w);
    lose_answer(w, 2, true, 1);
    assert_int_equal(append_text(w->ns, &d, "a", "1"), 0);
    assert_int_equal(look(w->ns, &d, "a", "A12"), 0);
    lose_answer(w, 2, false, 1);
    assert_int_equal(append_text(w->ns, &d, "a", "1"), 0);
    assert_int_equal(look(w->ns, &d, "a", "A1221"), 0);
    lose_answer(w, 2, true, RECORD_LINEAGE_MAX);
    assert_int_equal(append_text(w->ns, &d, "a", "1"), 0);
    lose_answer(w, 2, true, RECORD_LINEAGE_MAX + 1);
    assert_int_equal(append_text(w->ns, &d, "a", "1"), ERR_UNKNOWN);
    assert_int_equal(look(w->ns, &d, "a", "A122112222122222"), 0);
}

IN_WORLD(a_create_whose_answer_is_lost_owns_what_others_changed_since) {
    prepare_directory(w);
    lose_answer(w, 1, true, 1);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    assert_int_equal(look(w->ns, &d, "a", "A2"), 0);
}

IN_WORLD(a_rename_whose_mark_was_undone_unseen_begins_again) {
    prepare_file(w);
    assert_int_equal(look(w->other, root, "d", NULL), 0);
    clock_jumps = true; /* the other one undoes the mark as abandoned, and writes */
    lose_answer(w, 3, true, 1);
    assert_int_equal(move(w->ns, &d, "a", root, "b"), 0);
    clock_jumps = false;
    store_mem_reset_hooks(w->mem);
    assert_int_equal(look(w->ns, root, "b", "A2"), 0);
    assert_int_equal(look(w->ns, &d, "a", NULL), ERR_NO_ENTRY);
}

/* ---- many at one file ---- */

static void outrun(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    (void)number;
    if (kind == STORE_MEM_BATCH) {
        assert_int_equal(write_text(w->other, &d, "a", "other"), 0);
    }
}

IN_WORLD(who_is_outrun_every_time_is_told_busy_after_some_waiting) {
    prepare_file(w);
    store_mem_reset_hooks(w->mem);
    store_mem_before(w->mem, outrun, w);
    uint64_t before_ns = store_mem_now_ns(w->mem);
    assert_int_equal(append_text(w->ns, &d, "a", "1"), ERR_BUSY);
    uint64_t waited_ns = store_mem_now_ns(w->mem) - before_ns;
    assert_true(waited_ns > 20 * 1000 * 1000 && waited_ns < 2000u * 1000 * 1000);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(look(w->ns, &d, "a", "other"), 0);
}

enum { APPENDERS = 60, APPENDS = 10 };

static int append_often(void *arg) {
    struct world *w = arg;
    int err = 0;
    for (int i = 0; err == 0 && i < APPENDS; i++) {
        err = append_text(w->ns, &d, "a", "x");
    }
    return err;
}

IN_WORLD(sixty_writers_of_one_file_all_get_through) {
    struct task_group group = {0};
    struct entry entry;
    prepare_directory(w);
    assert_int_equal(make_file(w->ns, &d, "a", ""), 0);
    store_mem_yield(w->mem, true);
    for (int i = 0; i < APPENDERS; i++) {
        task_group_run(&group, append_often, w);
    }
    task_group_wait(&group, 0);
    assert_int_equal(group.status, 0);
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &entry), 0);
    assert_int_equal(entry.record.size, APPENDERS * APPENDS);
    entry_release(&entry);
}

/* ---- many clients, at random, on a store whose calls fail now and then ---- */

enum { CLIENTS = 6, FILES = 12, DIRECTORIES = 4, STEPS = 60 };

struct crowd {
    struct world *w;
    struct id128 directories[DIRECTORIES];
    struct namespace *clients[CLIENTS];
    uint32_t appended[FILES]; /* answered with success */
    uint32_t doubtful[FILES]; /* may have happened */
    uint64_t dice;
    uint32_t n_moves;
};

struct member {
    struct crowd *crowd;
    int number;
};

static uint32_t roll(struct crowd *crowd, uint32_t n) {
    crowd->dice = crowd->dice * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(crowd->dice >> 33) % n;
}

static void fail_sometimes(void *context, enum store_mem_call kind, uint64_t number) {
    struct crowd *crowd = context;
    (void)kind;
    if (roll(crowd, 12) == 0) {
        store_mem_fail(crowd->w->mem, number, number, ERR_UNKNOWN, roll(crowd, 2) == 0);
    }
}

/* Every file is named after its number wherever it is: "f3". */
static void member_step(struct crowd *crowd, struct namespace *ns) {
    char name[16];
    uint32_t file = roll(crowd, FILES);
    snprintf(name, sizeof name, "f%u", file);
    const struct id128 *from = &crowd->directories[roll(crowd, DIRECTORIES)];
    const struct id128 *to = &crowd->directories[roll(crowd, DIRECTORIES)];
    if (roll(crowd, 3) == 0) {
        int err = append_text(ns, from, name, "x");
        crowd->appended[file] += err == 0;
        crowd->doubtful[file] += err == ERR_UNKNOWN;
        return;
    }
    int err = namespace_rename(ns, from, name, to, name, RENAME_NOREPLACE, NULL, NULL);
    assert_true(err == 0 || err == ERR_NO_ENTRY || err == ERR_EXISTS || err == ERR_UNKNOWN);
    crowd->n_moves += err == 0;
}

static int member_run(void *arg) {
    struct member *member = arg;
    for (int i = 0; i < STEPS; i++) {
        member_step(member->crowd, member->crowd->clients[member->number]);
    }
    return 0;
}

/* Every file exists once, with what was appended to it. */
static void crowd_check(struct crowd *crowd) {
    struct world *w = crowd->w;
    store_mem_advance(w->mem, 60ull * 1000 * 1000 * 1000);
    for (uint32_t file = 0; file < FILES; file++) {
        char name[16];
        uint32_t n = 0;
        snprintf(name, sizeof name, "f%u", file);
        for (uint32_t i = 0; i < DIRECTORIES; i++) {
            struct entry entry;
            if (namespace_lookup(w->ns, &crowd->directories[i], name, &entry) == 0) {
                n++;
                assert_true(entry.record.size >= crowd->appended[file]);
                assert_true(entry.record.size <= crowd->appended[file] + crowd->doubtful[file]);
                assert_false(entry.record.move.under_way);
                entry_release(&entry);
            }
        }
        assert_int_equal(n, 1);
    }
}

static uint64_t seed;
static uint32_t n_moves;
static void crowd_run(struct world *w) {
    struct crowd crowd = {.w = w, .dice = seed};
    struct member members[CLIENTS];
    struct task_group group = {0};
    for (uint32_t i = 0; i < DIRECTORIES; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        assert_int_equal(make_directory(w->ns, root, name, &crowd.directories[i]), 0);
    }
    for (uint32_t file = 0; file < FILES; file++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", file);
        assert_int_equal(make_file(w->ns, &crowd.directories[file % DIRECTORIES], name, ""), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(namespace_open(store_mem_store(w->mem), &crowd.clients[i]), 0);
    }
    store_mem_reset_hooks(w->mem);
    store_mem_yield(w->mem, true);
    store_mem_before(w->mem, fail_sometimes, &crowd);
    for (int i = 0; i < CLIENTS; i++) {
        members[i] = (struct member){&crowd, i};
        task_group_run(&group, member_run, &members[i]);
    }
    task_group_wait(&group, 0);
    store_mem_reset_hooks(w->mem);
    n_moves += crowd.n_moves;
    crowd_check(&crowd);
    for (int i = 0; i < CLIENTS; i++) {
        namespace_close(crowd.clients[i]);
    }
}

static void many_clients_lose_no_file_and_no_append(void **state) {
    (void)state;
    for (seed = 1; seed <= 300; seed++) {
        world_run(crowd_run);
    }
    assert_true(n_moves > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_exclusive_creates_one_wins),
        cmocka_unit_test(a_create_and_the_rmdir_of_its_directory_never_both_succeed),
        cmocka_unit_test(of_mkdir_and_create_one_wins),
        cmocka_unit_test(two_appends_both_arrive),
        cmocka_unit_test(an_append_never_lands_in_a_file_it_was_not_meant_for),
        cmocka_unit_test(of_two_unlinks_one_wins),
        cmocka_unit_test(two_changes_of_a_directorys_attributes_both_hold),
        cmocka_unit_test(two_rmdirs_remove_everything_once),
        cmocka_unit_test(an_update_whose_answer_is_lost_is_done_once),
        cmocka_unit_test(a_create_whose_answer_is_lost_owns_what_others_changed_since),
        cmocka_unit_test(a_rename_whose_mark_was_undone_unseen_begins_again),
        cmocka_unit_test(who_is_outrun_every_time_is_told_busy_after_some_waiting),
        cmocka_unit_test(sixty_writers_of_one_file_all_get_through),
        cmocka_unit_test(many_clients_lose_no_file_and_no_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
