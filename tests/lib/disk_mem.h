/* disk_mem: the disk seam in memory: slow when told, failing when told, forgetful when it crashes.
 */
#ifndef RINGFS_TESTS_LIB_DISK_MEM_H
#define RINGFS_TESTS_LIB_DISK_MEM_H

#include "node/core/disk.h"
#include "shared/timers.h"

/* Nothing is answered inside the asking call. Two ways to let work complete:
 *   - by hand: disk_mem_step() and disk_mem_run() answer in the order asked;
 *   - by time: after disk_mem_timed() each read, scan and commit is answered by a timer, as long
 *     after it was asked as the latency function says. Commits keep their order among each other;
 *     reads may overtake. Same timers, same latencies: same run, exactly.
 * A commit is applied at the moment of its `done`, so reads see exactly what was answered.
 *
 * The contents outlive crashes of the node that uses them: disk_mem_crash() forgets what a crash
 * forgets and drops all work without an answer; free the node after that, make a new one on the
 * same disk_mem. One thread. */
struct disk_mem;

enum disk_mem_work {
    DISK_MEM_READ = 1,
    DISK_MEM_SCAN = 2,
    DISK_MEM_COMMIT = 4,
    DISK_MEM_COMMIT_SYNCED = 8,
    DISK_MEM_ANY = 15,
};

struct disk_mem *disk_mem_new(void);
/* Work not answered is dropped. */
void disk_mem_free(struct disk_mem *mem);
/* The seam; good for the life of `mem`. */
const struct disk *disk_mem_disk(struct disk_mem *mem);

/* Answers the oldest piece of work; false when there is none. */
bool disk_mem_step(struct disk_mem *mem);
/* Answers everything, also what is asked meanwhile. */
void disk_mem_run(struct disk_mem *mem);
/* Pieces of work not yet answered. */
uint32_t disk_mem_pending(const struct disk_mem *mem);

/* From now on work is answered by `timers` (borrowed), `latency_ns` after it was asked at
 * `now_ns`. Work already waiting is answered at once when the timers next run. */
struct disk_mem_time {
    struct timers *timers;
    void *context;
    int64_t (*now_ns)(void *context);
    int64_t (*latency_ns)(void *context, enum disk_mem_work work);
};
void disk_mem_timed(struct disk_mem *mem, const struct disk_mem_time *time);

/* What a crash keeps. The first `queued_kept` commits that were asked for and not answered survive
 * (a process may die between the write and the answer). With `machine`, of the commits that were
 * answered but not synced, only the first `unsynced_kept` survive (a synced commit makes all before
 * it durable); `queued_kept` then counts only if all of those do. */
struct disk_mem_loss {
    bool machine;
    uint32_t queued_kept;
    uint32_t unsynced_kept;
};
void disk_mem_crash(struct disk_mem *mem, const struct disk_mem_loss *loss);
/* How many commits a crash could take: asked and not answered; answered and not synced. */
uint32_t disk_mem_queued(const struct disk_mem *mem);
uint32_t disk_mem_unsynced(const struct disk_mem *mem);

/* The next `count` pieces of work of the kinds in `works` answer `status` and change nothing; 0
 * ends it. With DISK_MEM_ALWAYS it is a disk that fails until it is told otherwise: as with
 * LevelDB, commits that were asked for and not answered fail too, and those asked for before the
 * last of them was answered. */
#define DISK_MEM_ALWAYS UINT32_MAX
void disk_mem_fail(struct disk_mem *mem, unsigned works, int status, uint32_t count);
/* Everything is gone, as on a new disk; for a node that is down (after disk_mem_crash()). */
void disk_mem_wipe(struct disk_mem *mem);
/* Flips a bit of a stored value; false when there is no such key. */
bool disk_mem_corrupt(struct disk_mem *mem, struct bytes key);
/* What disk.space answers; 0, 0 at first. */
void disk_mem_set_space(struct disk_mem *mem, uint64_t free_bytes, uint64_t total);
/* `changed` is called for each key of each commit that is applied, before it is (also for what a
 * crash keeps): a look over the shoulder for tests that judge every state a disk was in. An empty
 * value = no such key. All bytes are borrowed for the call. */
void disk_mem_watch(struct disk_mem *mem,
                    void (*changed)(void *context, struct bytes key, struct bytes old,
                                    struct bytes now),
                    void *context);
/* `failed` is called for each key of each commit that is answered with an error. */
void disk_mem_watch_failed(struct disk_mem *mem,
                           void (*failed)(void *context, struct bytes key, struct bytes value),
                           void *context);
/* `asked` is called when a commit was asked for and is not answered yet. */
void disk_mem_watch_asked(struct disk_mem *mem, void (*asked)(void *context), void *context);
/* The contents: size and the index-th pair in key order; borrowed until the next change. */
uint32_t disk_mem_size(const struct disk_mem *mem);
struct disk_row disk_mem_at(const struct disk_mem *mem, uint32_t index);
/* The value of a key; size 0 when there is none. */
struct bytes disk_mem_get(const struct disk_mem *mem, struct bytes key);

#endif
