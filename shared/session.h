/* session: a client on a loop: everything that a program needs to be a user of a cluster. */
#ifndef RINGFS_SHARED_SESSION_H
#define RINGFS_SHARED_SESSION_H

#include "shared/client.h"
#include "shared/loop.h"
#include "shared/store.h"
#include "shared/task.h"

/* Wires loop, tasks, transport, client and the store seam together; ringctl and the mount stand on
 * it. One thread. In each turn of the loop tasks run first and what they sent leaves as one frame
 * per node. */
struct session_config {
    const char *addresses; /* separated by commas, spaces or newlines; borrowed for the call */
    const char *key_file;  /* NULL = none: tcp:// is refused */
    int64_t wait_ns;       /* deadline of a store call by a task that has none */
    /* One line for the user; level 0 error, 1 warning, 2 info. */
    void (*log)(void *context, int level, const char *line);
    void *context;
};

struct session;

/* Borrows the loop, which must not have a nanomsg socket yet. ERR_INVALID with a sentence in the
 * log. */
int session_new(struct loop *loop, const struct session_config *config, struct session **ret);
/* Every task must have ended. */
void session_free(struct session *session);

/* The parts, for what stands on them; each lives as long as the session. */
struct tasks *session_tasks(struct session *session);
struct store *session_store(struct session *session);
struct client *session_client(struct session *session);
/* Of the store's call that last ended UNAVAILABLE, UNKNOWN or TIMEOUT, what it needed and who did
 * not answer, as shortfall_text(); empty when none did. Returns `ret`. For programs that do one
 * thing at a time; each such call is in the log too. */
const char *session_shortfall(const struct session *session, char *ret, size_t size);
/* The loop's clock. */
int64_t session_now_ns(struct session *session);

/* Runs the loop until a task of fn(context) has ended, and returns its answer. `deadline_ns` on the
 * loop's clock, 0 = none. For programs that do one thing; not from inside a task. */
int session_run(struct session *session, int (*fn)(void *context), void *context,
                int64_t deadline_ns);
/* May suspend: until the ring is known. 0, ERR_TIMEOUT or ERR_INTERRUPTED by the task's deadline.
 */
int session_wait_ring(struct session *session);
/* May suspend: until every member was heard of, at most `wait_ns`. For what shows who is alive:
 * after session_wait_ring() most members have not had the time to answer. */
void session_wait_members(struct session *session, int64_t wait_ns);

/* May suspend: one request to one node (`node` != 0) or to the slice of `key`, for what the store
 * seam has no call for (STATS). *ret_payload is owned by the caller: free(.data). */
int session_ask(struct session *session, uint8_t type, uint16_t node, struct bytes *ret_payload);
/* The same with a payload, by a deadline of the request's own (0 = the task's), and an answer of at
 * most `reply_size` bytes. */
struct session_question {
    uint8_t type;
    uint16_t node;
    struct bytes payload;
    uint32_t reply_size;
    int64_t deadline_ns;
};
int session_ask_about(struct session *session, const struct session_question *question,
                      struct bytes *ret_payload);

#endif
