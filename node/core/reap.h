/* reap: what a replica says about tombstones that are to go, and their removal here. */
#ifndef RINGFS_NODE_CORE_REAP_H
#define RINGFS_NODE_CORE_REAP_H

#include "node/core/inside.h"
#include "shared/exchange.h"

/* A tombstone may go when nothing is left anywhere that it has to win over. Each replica answers
 * for itself: REAP_READY means that it has held exactly this tombstone, and nothing else, for
 * reap_hold_ms of its own clock and of its present life, that no hint for the slice is on its disk
 * and no strict batch of the partition pending. What every replica says so of goes (reaper.h).
 *
 * Why that is enough. Whatever could bring an older value back is a copy of it: on a disk, or on
 * its way. *On disks of the replicas* there is none, since each says what it holds, and what it has
 * held for reap_hold_ms was synced meanwhile, so that a machine that goes down does not fall back
 * behind it; a replica that is away says nothing, and then nothing goes. *On other disks* there are
 * hints only; every member is asked. *On its way* nothing is older than the hold: all requests end
 * within NODE_BUDGET_MAX_MS, and connections that deliver nothing are torn down long before. What a
 * replica says is as old as its memory: a restart begins the hold anew.
 *
 * A replica that kept the tombstone, because the message that removes it was lost, spreads it
 * again, which does no harm: it is asked about again. A client that still knows a version from
 * before the deletion cannot match against the row that is gone (condition.h). */
enum {
    /* Tombstones that a replica can be holding at once, 1.5 MiB. Those that find no room wait. */
    REAP_NOTED_MAX = 1 << 16,
    REAP_PROBES_MAX = 16,  /* places that one may be noted at */
    REAP_STALE_HOLDS = 16, /* a note that nobody asked about for so many holds makes room: its row
                              was written again, or went elsewhere */
};

struct reap_notes;

/* Nothing is noted; memory is taken with the first. */
struct reap_notes *reap_notes_new(void);
void reap_notes_free(struct reap_notes *notes);

/* Since when the tombstone `id` (not 0) is held, which is noted now if it was not; `now_ns` when
 * there is no room. A note not asked about for `stale_ns` makes room. */
int64_t reap_notes_since(struct reap_notes *notes, uint64_t id, int64_t now_ns, int64_t stale_ns);

/* REAP from a peer. */
void reap_receive(struct node *node, const struct endpoint *from, const struct message *message);

/* The same for this node itself: `payload` is a request, copied. `done` is called once, perhaps
 * before this returns, with a verdict for each row; not when this node is freed before. 0, or
 * ERR_BUSY or ERR_INVALID: then `done` is not called. */
typedef void reap_done(void *context, int status, const uint8_t *verdicts, uint16_t n);
int reap_here(struct node *node, struct bytes payload, reap_done *done, void *context);

#endif
