/* client_store: the store seam on a cluster: tasks wait, the client asks. */
#ifndef RINGFS_SHARED_CLIENT_STORE_H
#define RINGFS_SHARED_CLIENT_STORE_H

#include "shared/client.h"
#include "shared/store.h"

/* Fills `ret` so that its calls submit to `client` and suspend the calling task until the answer.
 * Borrows both for the store's life. A call without a deadline on its task gets
 * `deadline_default_ns`. */
void client_store_init(struct client *client, const struct env *env, int64_t deadline_default_ns,
                       struct store *ret);

#endif
