/* client_store: a call encodes its request, waits for the client's answer, decodes it. */
#include "shared/client_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "shared/task.h"

enum {
    GET_LARGE = (64 << 10) + (1 << 10), /* a block and its clock */
    CONTEXTS_OF_ROW = 64,               /* a batch's answer per row */
    SCAN_SLACK = 4 << 10,               /* cursor, tally, headers of rows */
    SCAN_ROW_REST = 400,                /* a row without its value: names have up to 255 bytes */
};

/* One call in flight; lives on the calling task's stack. */
struct call {
    struct client_request request;
    struct task_queue answered;
    bool done;
    int status;
    struct bytes held; /* a copy of the answer; owned */
};

static void call_done(struct client_request *request, int status, struct bytes payload) {
    struct call *call = request->context;
    call->done = true;
    call->status = status;
    call->held = client_keep(request, payload);
    task_wake_all(&call->answered);
}

static void held_free(struct bytes *held) {
    free((void *)(uintptr_t)held->data);
    *held = (struct bytes){0};
}

static const char *name_of(uint8_t type) {
    return type == MESSAGE_GET ? "get" : type == MESSAGE_SCAN ? "scan" : "batch";
}

static void note_shortfall(struct client_store *store, const struct call *call) {
    const struct env *env = store->env;
    bool fell_short = call->status == ERR_UNAVAILABLE || call->status == ERR_UNKNOWN ||
                      call->status == ERR_TIMEOUT;
    uint64_t n_untold = 0;
    if (!fell_short) {
        return;
    }
    store->missed = call->request.missed;
    store->missed_status = call->status;
    if (!complaints_tell(&store->complaints, (uint32_t)-call->status, call->request.type,
                         env->now_ns(env->self), &n_untold)) {
        return;
    }
    char why[SHORTFALL_TEXT_MAX], line[SHORTFALL_TEXT_MAX + 120];
    shortfall_text(&store->missed, why, sizeof why);
    int size = snprintf(line, sizeof line, "store %s: %s%s%s", name_of(call->request.type),
                        err_name(call->status), why[0] != '\0' ? ": " : "", why);
    if (n_untold > 0) {
        snprintf(line + size, sizeof line - (size_t)size, ", untold=%llu",
                 (unsigned long long)n_untold);
    }
    env->log(env->self, 1, line);
}

/* Asks and waits. The client answers by the deadline, so only an interrupt needs an end made here.
 * `call->held` is the caller's afterwards, whatever the answer. */
static int call_run(struct client_store *store, struct call *call) {
    const struct env *env = store->env;
    int64_t deadline_ns = task_deadline_ns(task_self());
    call->request.deadline_ns =
        deadline_ns != 0 ? deadline_ns : env->now_ns(env->self) + store->wait_ns;
    call->request.done = call_done;
    call->request.context = call;
    int status = client_submit(store->client, &call->request);
    if (status != 0) {
        return status;
    }
    while (!call->done) {
        status = task_wait(&call->answered);
        if (call->done) {
            break;
        }
        if (status == ERR_INTERRUPTED) {
            client_cancel(store->client, &call->request);
        } else if (status == ERR_TIMEOUT) {
            task_wait_uninterrupted(&call->answered);
        }
    }
    note_shortfall(store, call);
    if (call->request.type == MESSAGE_BATCH && call->status != 0 && call->status != ERR_CONFLICT) {
        client_renew_writer(store->client);
    }
    return call->status;
}

static uint16_t flags_of(store_options options) {
    return (uint16_t)(options & ~(STORE_LARGE | STORE_AVAILABLE));
}

static int store_get(void *self, struct bytes partition_key, struct bytes sort_key,
                     store_options options, struct store_row *ret) {
    struct call call = {.request = {.type = MESSAGE_GET,
                                    .flags = flags_of(options),
                                    .key = partition_key,
                                    .payload = sort_key,
                                    .reply_size = (options & STORE_LARGE) != 0
                                                      ? (uint32_t)GET_LARGE
                                                      : (uint32_t)STORE_SMALL_MAX}};
    struct store_row row = {0};
    struct get_reply reply;
    int status = call_run(self, &call);
    if (status == 0) {
        status = get_reply_decode(call.held, &reply);
    }
    if (status == 0) {
        status = versions_decode(reply.versions, &row.versions);
    }
    if (status != 0) {
        held_free(&call.held);
        return status;
    }
    row.tally = reply.tally;
    row.held = call.held;
    *ret = row;
    return 0;
}

/* A conflict's answer carries the row it met. */
static uint32_t batch_reply_size(const struct batch *batch) {
    uint32_t size = CLIENT_REPLY_SMALL + batch->n * CONTEXTS_OF_ROW;
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].condition >= ROW_IF_MATCH) {
            return size + STORE_SMALL_MAX;
        }
    }
    return size;
}

static int store_batch(void *self, struct bytes partition_key, const struct batch *batch,
                       store_options options, struct store_outcome *ret) {
    if (batch->n == 0 || batch->n > BATCH_ROWS_MAX) {
        return batch->n == 0 ? ERR_INVALID : ERR_TOO_BIG;
    }
    struct buffer payload = {0};
    batch_encode(batch, &payload);
    struct call call = {.request = {.type = MESSAGE_BATCH,
                                    .flags = flags_of(options),
                                    .key = partition_key,
                                    .payload = buffer_bytes(&payload),
                                    .reply_size = batch_reply_size(batch)}};
    int status = call_run(self, &call);
    buffer_release(&payload);
    struct store_outcome outcome = {0};
    if (ret != NULL && (status == 0 || status == ERR_CONFLICT)) {
        int decoded = batch_reply_decode(call.held, &outcome.reply);
        if (decoded == 0) {
            outcome.held = call.held;
            *ret = outcome;
            return status;
        }
        status = decoded;
    }
    held_free(&call.held);
    return status;
}

/* Of parts of values less comes than is read for them. */
static uint32_t scan_reply_size(const struct scan_request *request) {
    uint64_t parts = (uint64_t)request->rows_max * (request->value_max + SCAN_ROW_REST);
    bool less = request->value_max > 0 && parts < request->bytes_max;
    return (less ? (uint32_t)parts : request->bytes_max) + SCAN_SLACK;
}

static int store_scan(void *self, struct bytes partition_key, const struct scan_request *request,
                      store_options options, struct store_page *ret) {
    struct buffer payload = {0};
    scan_request_encode(request, &payload);
    struct call call = {.request = {.type = MESSAGE_SCAN,
                                    .flags = flags_of(options),
                                    .key = partition_key,
                                    .payload = buffer_bytes(&payload),
                                    .reply_size = scan_reply_size(request)}};
    struct store_page page = {0};
    int status = call_run(self, &call);
    buffer_release(&payload);
    if (status == 0) {
        status = scan_reply_decode(call.held, &page.reply);
    }
    if (status != 0) {
        held_free(&call.held);
        return status;
    }
    page.held = call.held;
    *ret = page;
    return 0;
}

static struct op_id store_op_id(void *self) {
    const struct client_store *store = self;
    struct op_id op;
    bytes_store_u64(op.bytes, store->env->random(store->env->self));
    bytes_store_u64(op.bytes + 8, client_writer(store->client));
    return op;
}

static uint64_t store_wall_ns(void *self) {
    const struct env *env = ((const struct client_store *)self)->env;
    return env->wall_ns(env->self);
}

static uint64_t store_random(void *self) {
    const struct env *env = ((const struct client_store *)self)->env;
    return env->random(env->self);
}

void client_store_init(struct client_store *store, struct client *client, const struct env *env,
                       int64_t wait_ns, struct store *ret) {
    *store = (struct client_store){.client = client, .env = env, .wait_ns = wait_ns};
    *ret = (struct store){
        .self = store,
        .get = store_get,
        .batch = store_batch,
        .scan = store_scan,
        .op_id = store_op_id,
        .wall_ns = store_wall_ns,
        .random = store_random,
    };
}
