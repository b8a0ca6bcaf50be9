/* chain_recover: promises, tails and pendings that a recovering node takes over from others. */
#ifndef RINGFS_NODE_CORE_CHAIN_RECOVER_H
#define RINGFS_NODE_CORE_CHAIN_RECOVER_H

#include "node/core/inside.h"

/* A node that forgot what it promised and accepted may have been the one that made it a majority.
 * So it takes over the highest promise, the latest tail (once the rows that it speaks of are here)
 * and the latest pending of the replicas that it recovers from, before it takes part again.
 *
 * A slice that it trusts itself with is left alone, though pages hold such slices beside those that
 * it recovers: there it takes part already. A pending that it did not accept may follow a batch
 * that it does not have, which a takeover from here would drop; a promise that the acceptor did not
 * give would leave a steward here leading. */

/* Takes over one key and value of kind 'p', 's' or 'q' (rowkey.h) as another replica has them,
 * unless what is here is later or the slice is trusted. `done` is called later, perhaps before this
 * returns. 0, or ERR_INVALID, ERR_BUSY: then it is not called. */
int chain_recover(struct node *node, struct bytes key, struct bytes value,
                  void (*done)(void *context, int status), void *context);

#endif
