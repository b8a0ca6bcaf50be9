/* coordinator_read: what reading a row and reading a page have in common. */
#ifndef RINGFS_NODE_CORE_COORDINATOR_READ_H
#define RINGFS_NODE_CORE_COORDINATOR_READ_H

#include "node/core/coordinator.h"

/* READING: the local copy, and the digests of as many others as the level needs beside it. If all
 * are equal, that is the answer. Those that differ are asked for all they have: FETCHING. A slow or
 * failing replica is not waited for when there is another to ask; a corrupt copy is left out and
 * repaired from the others. */
struct quorum_read {
    struct request request;
    uint8_t ask_type; /* READ or READ_SCAN */
    bool local_known;
    bool hedged;
    bool pending; /* somebody answered with what may not be chosen: nobody is repaired */
    int local_status;
    struct bytes local; /* the kind's; empty unless local_status is 0 */
    uint8_t digest[16]; /* of `local` */
    struct tally tally; /* the latest of those who answered */
    /* Both answer, repair, and end the request. */
    void (*agreed)(struct quorum_read *read);  /* the local copy is what a quorum has */
    void (*fetched)(struct quorum_read *read); /* peers in PEER_DONE hold `reply`, or are `same` */
    /* FETCHING ends without a quorum since all that did not answer recover; may be NULL. */
    void (*lost)(struct quorum_read *read);
};

/* Starts after the kind has set ask_type, agreed and fetched and before it reads its local copy.
 * Whether the request goes on; if not, it was answered and is gone. */
bool quorum_read_begin(struct quorum_read *read);
/* Answers if what is known is enough: where more is known than when it was last looked at. May end
 * the request. */
void quorum_read_check(struct quorum_read *read);
/* The local copy is known. May end the request. */
void quorum_read_local(struct quorum_read *read, int status, struct bytes local);
/* A peer's answer was taken in: peer->status, and when that is 0 peer->digest or, while FETCHING,
 * peer->reply (which this takes over) are set. May end the request. */
void quorum_read_heard(struct quorum_read *read, struct peer *peer);
void quorum_read_learn_tally(struct quorum_read *read, const struct tally *tally);
/* Whether the copies that were read together have all that a replica which cannot read its own may
 * have acknowledged: it must not be made whole with less. */
bool quorum_read_is_whole(const struct quorum_read *read);
/* request_kind.expired of both. */
void quorum_read_expired(struct request *request);

static inline struct quorum_read *quorum_read_from(struct request *request) {
    return (struct quorum_read *)(void *)request;
}

#endif
