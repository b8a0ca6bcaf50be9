/* client_store: the store seam on a cluster: tasks wait, the client asks. */
#ifndef RINGFS_SHARED_CLIENT_STORE_H
#define RINGFS_SHARED_CLIENT_STORE_H

#include "shared/client.h"
#include "shared/store.h"

struct client_store {
    struct client *client;
    const struct env *env;
    int64_t wait_ns;
};

/* Fills `ret` so that its calls submit to `client` and suspend the calling task until the answer.
 * `store` is the caller's memory; it and what it borrows outlive `ret`. A call without a deadline
 * on its task is given `wait_ns`. */
void client_store_init(struct client_store *store, struct client *client, const struct env *env,
                       int64_t wait_ns, struct store *ret);

#endif
