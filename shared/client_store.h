/* client_store: the store seam on a cluster: tasks wait, the client asks. */
#ifndef RINGFS_SHARED_CLIENT_STORE_H
#define RINGFS_SHARED_CLIENT_STORE_H

#include "shared/client.h"
#include "shared/complaints.h"
#include "shared/store.h"

struct client_store {
    struct client *client;
    const struct env *env;
    int64_t wait_ns;
    struct complaints complaints;
    struct shortfall missed; /* of the call that last fell short */
    int missed_status;       /* 0 = none did */
};

/* Fills `ret` so that its calls submit to `client` and suspend the calling task until the answer.
 * `store` is the caller's memory; it and what it borrows outlive `ret`. A call without a deadline
 * on its task is given `wait_ns`. A call that ends UNAVAILABLE, UNKNOWN or TIMEOUT is a line in
 * env's log (a warning; what repeats within a minute is counted), with what was needed, what
 * answered and who did not. */
void client_store_init(struct client_store *store, struct client *client, const struct env *env,
                       int64_t wait_ns, struct store *ret);

#endif
