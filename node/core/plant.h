/* plant: bugs put into the core on purpose, so that the simulator proves that it finds them. */
#ifndef RINGFS_NODE_CORE_PLANT_H
#define RINGFS_NODE_CORE_PLANT_H

/* Only the test program `sim_planted` is built with RINGFS_PLANT; in every other build PLANTED() is
 * the constant 0 and nothing of this is left. tests/sim/planted shows that each is caught;
 * docs/simulator.md says within how many seeds. */
#ifdef RINGFS_PLANT

/* Constant, name on the command line. */
#define PLANT_TABLE(X)                                                                             \
    X(WRITE_ONE, "write-one")                 /* a batch is done with one acknowledgement */       \
    X(READ_ONE, "read-one")                   /* a quorum read asks nobody else */                 \
    X(EARLY_ACK, "early-ack")                 /* its own commit counts before it is done */        \
    X(REPLICA_EARLY_ACK, "replica-early-ack") /* a replica answers before its commit is done */    \
    X(OLD_EPOCH, "old-epoch")                 /* dots start over after a crash */                  \
    X(LAST_WRITER, "last-writer-wins")        /* a merge keeps the youngest sibling only */        \
    X(NO_REPAIR, "no-repair")                 /* reads repair nobody */                            \
    X(STALE_TALLY, "stale-tally")             /* deletes are not counted */                        \
    X(STALE_SUM, "stale-sum")                 /* a slice's sum misses deletes */                   \
    X(REAP_EARLY, "reap-early")               /* tombstones go though a replica is away */         \
    X(SAME_PAGES, "same-pages")               /* pages that differ are taken for equal */          \
    X(WIPED_SERVES, "wiped-serves")           /* a node without its disk serves empty */           \
    X(ONE_PEER, "one-peer")                   /* it recovers from one other replica only */        \
    X(RECOVERY_LOST, "recovery-lost")         /* a crash makes it forget that it recovers */       \
    X(LOSE_HINT, "lose-hint")                 /* a stand-in acknowledges what it does not keep */  \
    X(DELETE_HINT_EARLY, "delete-hint-early") /* hints go when they are sent, not when received */ \
    X(FORGET_OP, "forget-op")                 /* a retry is taken for another write */             \
    X(PRUNE_CLOCK, "prune-clock")             /* a merge forgets the eldest of three actors */     \
    X(MAJORITY_ONE, "majority-one")           /* a steward asks nobody */                          \
    X(NO_TOUCH, "no-touch")                   /* a new steward does not look for pendings */       \
    X(UNCONFIRMED, "unconfirmed")             /* strict reads do not ask who is the steward */     \
    X(PROMISE_LOST, "promise-lost")           /* a replica does not keep what it promised */       \
    X(EPOCH_EARLY, "epoch-early")             /* an epoch is used before it is durable */          \
    X(ACCEPT_EARLY, "accept-early")           /* a pending is acknowledged before it is durable */ \
    X(ABANDON, "abandon")                     /* a proposal without answer gives its number up */  \
    X(APPLY_EARLY, "apply-early")             /* a replica's rows take what is not chosen */       \
    X(BEHIND_ACCEPTS, "behind-accepts")       /* a replica accepts over a gap in the chain */      \
    X(LEASE_IGNORED, "lease-ignored")         /* a write is acknowledged before holders know */    \
    X(LEASE_SHORT, "lease-short")             /* a lease ends sooner here than for its holder */   \
    X(UNCOVERED, "uncovered")                 /* a patch is made of what its steward has */

enum plant {
    PLANT_NONE = 0,
#define PLANT_ENUM(constant, name) PLANT_##constant,
    PLANT_TABLE(PLANT_ENUM)
#undef PLANT_ENUM
};
extern enum plant planted;
#define PLANTED(constant) (planted == PLANT_##constant)

#else
#define PLANTED(constant) 0
#endif

#endif
