/* loop: the event loop of every ringfs program: descriptors, timers, signals, one thread. */
#ifndef RINGFS_SHARED_LOOP_H
#define RINGFS_SHARED_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/timers.h"

/* epoll, one thread. A turn: wait (until the earliest timer), run due timers, call the descriptors
 * that are ready, then call every turn-end hook (which is where what was queued in the turn is
 * flushed). After each event the loop spins for `spin_us` without sleeping (0 = never), because a
 * wake-up of an idle core costs more than the work it brings. */
struct loop;

/* Never fails: the process ends with a sentence when the kernel gives no epoll descriptor. What was
 * watched and hooked is forgotten by loop_free(), not closed. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);
/* Monotonic ns, read once per turn and after each callback batch; cheap. `loop` as void * so that
 * it fits env.now_ns and tasks_new(). */
int64_t loop_now_ns(void *loop);
struct timers *loop_timers(struct loop *loop);
void loop_set_spin_us(struct loop *loop, uint32_t spin_us);

/* Watches a descriptor for reading; level-triggered. `ready` may return without draining. 0 or
 * ERR_IO. A descriptor is watched once at a time (asserted). */
int loop_watch(struct loop *loop, int fd, void (*ready)(void *context), void *context);
/* Ends the watch; nothing is called for it any more, not even for what the running turn had already
 * found ready. Any handler may unwatch itself or others. Harmless on what is not watched. Call it
 * before closing the descriptor. */
void loop_unwatch(struct loop *loop, int fd);
/* Called at the end of every turn, in the order of adding; returns true while it has more to do
 * right away (the loop then does not sleep). */
void loop_add_turn_end(struct loop *loop, bool (*hook)(void *context), void *context);
/* Also from inside a hook. At most 16 hooks (asserted). */
void loop_remove_turn_end(struct loop *loop, bool (*hook)(void *context), void *context);
/* Delivers these signals (blocked for the process from this call on, so call it before any thread
 * or nanomsg socket is made) to the callback, on the loop. 0 or ERR_IO. */
int loop_on_signals(struct loop *loop, const int *signals, int n_signals,
                    void (*caught)(void *context, int signal), void *context);
/* Turns until loop_stop(); the turn in which that is called ends first. */
void loop_run(struct loop *loop);
/* One turn, waiting at most `wait_ns` for an event. */
void loop_turn(struct loop *loop, int64_t wait_ns);
void loop_stop(struct loop *loop);

#endif
