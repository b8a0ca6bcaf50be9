/* ringctl_race: two clients that both want to be the first to write a row, again and again. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/ringctl_bench.h"

/* Two processes, each with links of its own, write the same row under the condition that it is
 * absent; each tells the other what it was answered, and both go on to the next row. An answer that
 * leaves it open is asked again with the same operation id until it is definite. */
enum {
    ROUND_MAX_S = 120, /* until the answer is definite */
    PAUSE_MS = 20,
    FAULTS_SHOWN = 20,
};

enum verdict { RACE_LOST = 1, RACE_WON = 2, RACE_GAVE_UP = 3 };

static struct race {
    struct ctl *ctl;
    struct store *store;
    const char *prefix;
    uint64_t n_rounds;
    uint64_t run;
    int me; /* 0 or 1 */
    int other;
    struct task_queue heard;
    uint8_t verdict; /* of the other, for this round; 0 = not heard yet */
    bool gone;       /* the other has ended */
    uint64_t n_asked_again, n_won, n_faults;
    int last_error; /* why the last request was asked again */
} race;

static void fault(uint64_t round, const char *what) {
    if (race.n_faults++ < FAULTS_SHOWN) {
        fprintf(stderr, "ringctl: race %llu: %s\n", (unsigned long long)round, what);
    }
}

static void hear(void *context) {
    (void)context;
    ssize_t got = recv(race.other, &race.verdict, 1, MSG_DONTWAIT);
    if (got == 0) {
        race.gone = true;
        loop_unwatch(race.ctl->loop, race.other);
    }
    task_wake_all(&race.heard);
}

/* Tells the other and waits for what it says: 0 when it is gone. */
static uint8_t exchange(uint8_t verdict) {
    if (send(race.other, &verdict, 1, MSG_NOSIGNAL) != 1) {
        race.gone = true;
    }
    while (race.verdict == 0 && !race.gone) {
        task_wait_uninterrupted(&race.heard);
    }
    uint8_t theirs = race.verdict;
    race.verdict = 0;
    return theirs;
}

/* Whose value the row shows: 1 or 2, 0 = nobody's. */
static uint64_t holder_of(const struct versions *versions, uint64_t round) {
    struct bench_write write;
    if (versions_live(versions) != 1 ||
        bench_value_read(versions_winner(versions)->value, &write) != 0 || write.row != round ||
        write.run != race.run) {
        return 0;
    }
    return write.sequence;
}

/* A conflict shows the row that stands: our own when an earlier answer got lost. */
static enum verdict verdict_of_conflict(const struct store_outcome *outcome, uint64_t round) {
    struct versions versions = {0};
    enum verdict verdict = RACE_LOST;
    if (versions_decode(outcome->reply.current, &versions) == 0 &&
        holder_of(&versions, round) == (uint64_t)race.me + 1) {
        verdict = RACE_WON;
    }
    versions_release(&versions);
    return verdict;
}

static enum verdict contend(uint64_t round) {
    char key[BENCH_KEY_MAX];
    uint8_t value[BENCH_VALUE_MIN];
    struct bench_write write = {.run = race.run, .row = round, .sequence = (uint64_t)race.me + 1};
    bench_value(&write, value, sizeof value);
    struct row_op op = {
        .kind = ROW_PUT, .condition = ROW_IF_ABSENT, .value = bytes_of(value, sizeof value)};
    struct batch batch = {.op = race.store->op_id(race.store->self), .n = 1, .ops = &op};
    int64_t until_ns = bench_now_ns() + (int64_t)ROUND_MAX_S * 1000000000;
    do {
        struct store_outcome outcome = {0};
        int status = race.store->batch(
            race.store->self, bench_key(race.prefix, race.run, round, key), &batch, 0, &outcome);
        enum verdict verdict = status == 0 ? RACE_WON : verdict_of_conflict(&outcome, round);
        store_outcome_release(&outcome);
        if (status == 0 || status == ERR_CONFLICT) {
            return verdict;
        }
        race.n_asked_again++;
        race.last_error = status;
        task_sleep((int64_t)PAUSE_MS * 1000000);
    } while (bench_now_ns() < until_ns);
    fprintf(stderr, "ringctl: race %llu: no definite answer within two minutes, the last: %s\n",
            (unsigned long long)round, err_text(race.last_error));
    return RACE_GAVE_UP;
}

/* What both were told, and what the row says then. */
static void judge(uint64_t round, enum verdict mine, enum verdict theirs) {
    char key[BENCH_KEY_MAX];
    struct store_row row = {0};
    if (mine == RACE_GAVE_UP || theirs == RACE_GAVE_UP) {
        race.n_faults++; /* said by who gave up */
        return;
    }
    if (mine == theirs) {
        fault(round, mine == RACE_WON ? "two winners" : "no winner");
    }
    int status = ERR_TIMEOUT;
    int64_t until_ns = bench_now_ns() + (int64_t)ROUND_MAX_S * 1000000000;
    while (status != 0 && bench_now_ns() < until_ns) {
        status = race.store->get(race.store->self, bench_key(race.prefix, race.run, round, key),
                                 (struct bytes){0}, 0, &row);
    }
    uint64_t holder = status == 0 ? holder_of(&row.versions, round) : 0;
    uint64_t winner = (uint64_t)(mine == RACE_WON ? race.me : 1 - race.me) + 1;
    if (mine != theirs && holder != winner) {
        fault(round, status == 0 ? "the row does not show the winner" : "the row cannot be read");
    }
    store_row_release(&row);
    bench_remove(race.store, bench_key(race.prefix, race.run, round, key));
}

static int run_rounds(struct ctl *ctl) {
    race.ctl = ctl;
    race.store = ctl->store;
    task_set_deadline(task_self(), 0);
    loop_watch(ctl->loop, race.other, hear, NULL);
    for (uint64_t round = 0; round < race.n_rounds; round++) {
        enum verdict mine = contend(round);
        race.n_won += mine == RACE_WON;
        uint8_t theirs = exchange((uint8_t)mine);
        if (theirs == 0) {
            fault(round, "the other client has ended");
            break;
        }
        if (race.me == 0) {
            judge(round, mine, (enum verdict)theirs);
        }
        if (exchange(RACE_LOST) == 0) { /* begin the next one together */
            fault(round, "the other client has ended");
            break;
        }
    }
    loop_unwatch(ctl->loop, race.other);
    return race.n_faults == 0 ? CTL_DONE : CTL_FAILED;
}

static void report(const struct ctl *ctl, double seconds) {
    if (ctl->json) {
        ctl_print_json(json_pack("{s:I, s:I, s:I, s:I, s:f}", "rounds", (json_int_t)race.n_rounds,
                                 "won_by_first", (json_int_t)race.n_won, "asked_again",
                                 (json_int_t)race.n_asked_again, "faults",
                                 (json_int_t)race.n_faults, "seconds", seconds));
        return;
    }
    printf("%llu races, %llu won by the first client, %llu requests asked again, %llu faults, "
           "%.1f s\n",
           (unsigned long long)race.n_rounds, (unsigned long long)race.n_won,
           (unsigned long long)race.n_asked_again, (unsigned long long)race.n_faults, seconds);
}

int bench_race(struct ctl *ctl, uint64_t n_rounds) {
    int ends[2];
    race.prefix = bench_prefix(ctl);
    race.n_rounds = n_rounds;
    race.run = (uint64_t)bench_now_ns();
    if (race.prefix == NULL) {
        return CTL_USAGE;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        perror("ringctl: socketpair");
        return CTL_FAILED;
    }
    int64_t begun = bench_now_ns();
    pid_t child = fork();
    if (child < 0) {
        perror("ringctl: fork");
        return CTL_FAILED;
    }
    race.me = child == 0 ? 1 : 0;
    race.other = ends[race.me];
    close(ends[1 - race.me]);
    int exit_code = ctl_run_session(ctl, CTL_CLUSTER, run_rounds);
    if (child == 0) {
        _exit(exit_code);
    }
    close(race.other);
    int status = 0;
    waitpid(child, &status, 0);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == CTL_DONE;
    report(ctl, (double)(bench_now_ns() - begun) / 1e9);
    return exit_code == CTL_DONE && !good ? CTL_FAILED : exit_code;
}
