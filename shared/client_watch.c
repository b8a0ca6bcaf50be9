/* client_watch: hears from the nodes what others change in partitions that the client has cached.
 */
#include "shared/client_watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "shared/client_link.h"
#include "shared/hash.h"
#include "shared/watch.h"

/* A partition at one of its replicas. */
enum naming_state {
    NAMING_UNNAMED = 0, /* in the source's list of those to be named */
    NAMING_SENT,        /* in its request that is out */
    NAMING_WATCHED,     /* in its list of those that it watches */
};

struct partition;
struct source;

struct naming {
    struct naming *prev, *next; /* in the source's list of its state */
    struct partition *partition;
    struct source *source;
    enum naming_state state;
};

struct partition {
    UT_hash_handle hh;
    bool live, whole;
    uint16_t n_namings;
    struct naming namings[RING_REPLICAS_MAX];
    size_t key_size;
    uint8_t key[];
};

/* A partition that a node need not watch any more. */
struct ended {
    struct ended *next;
    size_t key_size;
    uint8_t key[];
};

/* A node that changes are heard from. */
struct source {
    struct client_watch *watch;
    uint16_t node;
    uint64_t life; /* 0 = it does not know this client */
    bool out;      /* `request` is under way */
    uint8_t read_quorum;
    int64_t asked_ns; /* when `request` was sent */
    int64_t lease_ns; /* its lease ends */
    uint64_t heard;
    int64_t refused_ns; /* it has no room: nothing is named before */
    struct timer timer; /* the next request */
    struct client_request request;
    struct buffer payload;
    struct naming *unnamed, *watched;
    struct naming *sent[WATCH_NAMED_MAX]; /* in the request that is out; NULL = ended since */
    uint16_t n_sent, n_ended_sent;
    struct ended *ended, **ended_end;
};

struct client_watch {
    struct client *client;
    struct client_watch_config config;
    uint64_t turn;
    uint64_t writer;       /* that the nodes know */
    uint64_t ring_version; /* that the namings are of */
    struct partition *partitions;
    uint32_t n_live;
    struct source *sources[RING_MEMBERS_MAX];
    uint32_t n_sources;
};

static int64_t now_of(const struct client_watch *watch) {
    return watch->client->env->now_ns(watch->client->env->self);
}

static struct bytes key_of(const struct partition *partition) {
    return bytes_of(partition->key, partition->key_size);
}

/* ---- live or not ---- */

/* The replicas that watch it. */
struct watched {
    uint16_t n;
    uint8_t read_quorum; /* the least that one of them told */
};

static struct watched watched_by(const struct partition *partition) {
    struct watched watched = {.read_quorum = UINT8_MAX};
    for (uint16_t i = 0; i < partition->n_namings; i++) {
        const struct naming *naming = &partition->namings[i];
        if (naming->state == NAMING_WATCHED) {
            watched.n++;
            uint8_t told = naming->source->read_quorum;
            watched.read_quorum = told < watched.read_quorum ? told : watched.read_quorum;
        }
    }
    return watched;
}

static void judge_whole(struct client_watch *watch, struct partition *partition,
                        const struct watched *by) {
    bool whole = by->n > 0 && by->n == watch->client->ring.n_replicas_held;
    if (whole != partition->whole) {
        partition->whole = whole;
        if (watch->config.whole != NULL) {
            watch->config.whole(watch->config.context, key_of(partition), whole);
        }
    }
}

/* Tells of it when it has changed. */
static void judge(struct client_watch *watch, struct partition *partition) {
    const struct watched by = watched_by(partition);
    judge_whole(watch, partition, &by);
    bool live = by.n > 0 && by.n + by.read_quorum > partition->n_namings;
    if (live == partition->live) {
        return;
    }
    partition->live = live;
    watch->n_live += live ? 1 : 0;
    watch->n_live -= live ? 0 : 1;
    watch->config.live(watch->config.context, key_of(partition), live);
}

static void naming_leave(struct naming *naming) {
    struct source *source = naming->source;
    switch (naming->state) {
    case NAMING_UNNAMED:
        DL_DELETE(source->unnamed, naming);
        break;
    case NAMING_WATCHED:
        DL_DELETE(source->watched, naming);
        break;
    case NAMING_SENT:
        for (uint16_t i = 0; i < source->n_sent; i++) {
            if (source->sent[i] == naming) {
                source->sent[i] = NULL;
            }
        }
        break;
    }
}

static void naming_enter(struct naming *naming, enum naming_state state) {
    struct source *source = naming->source;
    naming->state = state;
    if (state == NAMING_UNNAMED) {
        DL_APPEND(source->unnamed, naming);
    } else if (state == NAMING_WATCHED) {
        DL_APPEND(source->watched, naming);
    }
}

/* ---- requests ---- */

static void source_ask(struct source *source);

static void on_timer(void *context) {
    source_ask(context);
}

static void ask_in(struct source *source, int64_t ms) {
    struct client_watch *watch = source->watch;
    timers_set(watch->client->timers, &source->timer, now_of(watch) + ms * CLIENT_MS);
}

static void drop_ended(struct source *source) {
    struct ended *ended = source->ended;
    source->ended = ended->next;
    if (ended->next == NULL) {
        source->ended_end = &source->ended;
    }
    free(ended);
}

/* Nothing is watched there any more, or not for certain. */
static void source_lost(struct source *source) {
    struct client_watch *watch = source->watch;
    source->life = 0;
    source->lease_ns = 0;
    source->n_ended_sent = 0;
    while (source->ended != NULL) {
        drop_ended(source);
    }
    for (uint16_t i = 0; i < source->n_sent; i++) {
        if (source->sent[i] != NULL) {
            naming_enter(source->sent[i], NAMING_UNNAMED);
        }
    }
    source->n_sent = 0;
    while (source->watched != NULL) {
        struct naming *naming = source->watched;
        naming_leave(naming);
        naming_enter(naming, NAMING_UNNAMED);
        judge(watch, naming->partition);
    }
}

/* What was named and found room, in the order of the request. */
static void take_begun(struct source *source, uint16_t n_begun) {
    struct naming *sent[WATCH_NAMED_MAX];
    uint16_t n = source->n_sent;
    memcpy(sent, source->sent, sizeof sent);
    source->n_sent = 0;
    for (uint16_t i = 0; i < n; i++) {
        if (sent[i] != NULL) {
            naming_enter(sent[i], i < n_begun ? NAMING_WATCHED : NAMING_UNNAMED);
        }
    }
    if (n_begun < n) {
        source->refused_ns = now_of(source->watch) + CLIENT_WATCH_REFUSED_MS * CLIENT_MS;
    }
    for (uint16_t i = 0; i < n; i++) {
        if (sent[i] != NULL) {
            judge(source->watch, sent[i]->partition);
        }
    }
}

static void take_changes(struct source *source, const struct watch_reply *reply) {
    const struct client_watch_config *config = &source->watch->config;
    struct bytes left = reply->changes;
    struct watch_change change;
    for (uint64_t number = reply->first; watch_next(&left, &change); number++) {
        if (number > source->heard) {
            source->heard = number;
            config->changed(config->context, change.partition_key, change.sort_key);
        }
    }
}

static void on_answer(struct client_request *request, int status, struct bytes payload) {
    struct source *source = request->context;
    struct watch_reply reply;
    source->out = false;
    if (status == ERR_CLOSED || status == ERR_INTERRUPTED) {
        return; /* the client ends, or source_ask() asks anew */
    }
    if (status != 0 || watch_reply_decode(payload, &reply) != 0 || reply.life == 0) {
        bool forgotten = status == 0;
        source_lost(source);
        ask_in(source, forgotten ? CLIENT_WATCH_PACE_MS : CLIENT_WATCH_RETRY_MS);
        return;
    }
    source->life = reply.life;
    source->read_quorum = reply.read_quorum;
    for (; source->n_ended_sent > 0; source->n_ended_sent--) {
        drop_ended(source);
    }
    take_changes(source, &reply);
    if (reply.lease_ms > 0) {
        source->lease_ns = source->asked_ns + reply.lease_ms * CLIENT_MS;
    }
    take_begun(source, reply.n_begun);
    /* A write may wait until the node knows that this client has heard of it. */
    ask_in(source, reply.n_changes > 0 ? 0 : CLIENT_WATCH_PACE_MS);
}

static void fill(struct source *source, struct watch_request *request) {
    for (struct ended *e = source->ended; e != NULL && request->n_ended < WATCH_NAMED_MAX;
         e = e->next) {
        request->ended[request->n_ended++] = bytes_of(e->key, e->key_size);
    }
    source->n_ended_sent = request->n_ended;
    /* What is ended and begun anew must come in this order: a node ends first. */
    bool more = request->n_ended == WATCH_NAMED_MAX || now_of(source->watch) < source->refused_ns;
    while (!more && source->unnamed != NULL && source->n_sent < WATCH_NAMED_MAX) {
        struct naming *naming = source->unnamed;
        naming_leave(naming);
        naming_enter(naming, NAMING_SENT);
        source->sent[source->n_sent++] = naming;
        request->begun[request->n_begun++] = key_of(naming->partition);
    }
}

static void renew_namings(struct client_watch *watch);

/* The client is another writer now: what the former one wrote is to be told. */
static void renew_writer(struct client_watch *watch) {
    watch->writer = client_writer(watch->client);
    for (uint32_t i = 0; i < watch->n_sources; i++) {
        struct source *source = watch->sources[i];
        if (source->out) {
            client_cancel(watch->client, &source->request);
        }
        source_lost(source);
        ask_in(source, CLIENT_WATCH_NAME_MS);
    }
}

/* Whether there is anything to ask or say. */
static bool source_wants(const struct source *source) {
    return source->unnamed != NULL || source->watched != NULL || source->ended != NULL;
}

/* One request that only waits for changes gives way to one that names something. */
static bool source_free_to_ask(struct source *source) {
    if (source->out && source->n_sent == 0 && source->n_ended_sent == 0) {
        client_cancel(source->watch->client, &source->request);
    }
    return !source->out;
}

static void source_ask(struct source *source) {
    struct client_watch *watch = source->watch;
    if (watch->writer != client_writer(watch->client)) {
        renew_writer(watch);
        return; /* asked for anew */
    }
    if (watch->ring_version != watch->client->ring.version) {
        renew_namings(watch);
    }
    if (!source_wants(source) || !source_free_to_ask(source)) {
        return;
    }
    source->heard = source->life != 0 ? source->heard : 0;
    struct watch_request request = {.writer = watch->writer,
                                    .turn = ++watch->turn,
                                    .life = source->life,
                                    .heard = source->heard};
    fill(source, &request);
    buffer_clear(&source->payload);
    watch_request_encode(&request, &source->payload);
    source->request = (struct client_request){
        .type = MESSAGE_WATCH,
        .node = source->node,
        .payload = buffer_bytes(&source->payload),
        .reply_size = WATCH_REPLY_SIZE,
        .deadline_ns = now_of(watch) + CLIENT_WATCH_SILENCE_MS * CLIENT_MS,
        .done = on_answer,
        .context = source,
    };
    source->asked_ns = now_of(watch);
    source->out = client_submit(watch->client, &source->request) == 0;
    if (!source->out) {
        source_lost(source);
        ask_in(source, CLIENT_WATCH_RETRY_MS);
    }
}

/* ---- partitions and their replicas ---- */

static struct source *source_of(struct client_watch *watch, uint16_t node) {
    for (uint32_t i = 0; i < watch->n_sources; i++) {
        if (watch->sources[i]->node == node) {
            return watch->sources[i];
        }
    }
    if (watch->n_sources == RING_MEMBERS_MAX) {
        return NULL;
    }
    struct source *source = memory_new(1, sizeof *source);
    source->watch = watch;
    source->node = node;
    source->ended_end = &source->ended;
    source->timer = (struct timer){.fire = on_timer, .context = source};
    watch->sources[watch->n_sources++] = source;
    return source;
}

static void name_partition(struct client_watch *watch, struct partition *partition) {
    const struct ring *ring = &watch->client->ring;
    const uint16_t *preference = ring_preference(ring, ring_slice(ring, key_of(partition)));
    partition->n_namings = 0;
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        struct source *source = source_of(watch, ring->members[preference[i]].id);
        if (source == NULL) {
            continue;
        }
        struct naming *naming = &partition->namings[partition->n_namings++];
        *naming = (struct naming){.partition = partition, .source = source};
        naming_enter(naming, NAMING_UNNAMED);
        if (!timer_armed(&source->timer)) {
            ask_in(source, CLIENT_WATCH_NAME_MS);
        }
    }
}

static void end_later(struct source *source, struct bytes key) {
    struct ended *ended = memory_new(1, sizeof *ended + key.size);
    ended->key_size = key.size;
    memcpy(ended->key, key.data, key.size);
    *source->ended_end = ended;
    source->ended_end = &ended->next;
}

static void unname_partition(struct partition *partition) {
    for (uint16_t i = 0; i < partition->n_namings; i++) {
        struct naming *naming = &partition->namings[i];
        naming_leave(naming);
        if (naming->state != NAMING_UNNAMED) {
            end_later(naming->source, key_of(partition));
        }
    }
    partition->n_namings = 0;
}

/* The ring is another: every partition may have other replicas. */
static void renew_namings(struct client_watch *watch) {
    struct partition *partition, *next;
    watch->ring_version = watch->client->ring.version;
    HASH_ITER(hh, watch->partitions, partition, next) {
        unname_partition(partition);
        name_partition(watch, partition);
    }
    HASH_ITER(hh, watch->partitions, partition, next) {
        judge(watch, partition);
    }
}

static struct partition *find(const struct client_watch *watch, struct bytes key) {
    struct partition *partition;
    HASH_FIND(hh, watch->partitions, key.data, key.size, partition);
    return partition;
}

int client_watch_begin(struct client_watch *watch, struct bytes key) {
    assert(key.size > 0 && key.size <= PARTITION_KEY_MAX);
    if (find(watch, key) != NULL) {
        return 0;
    }
    if (!watch->client->has_ring || HASH_COUNT(watch->partitions) >= CLIENT_WATCH_PARTITIONS_MAX) {
        return ERR_BUSY;
    }
    if (watch->partitions == NULL) {
        watch->ring_version = watch->client->ring.version;
    }
    struct partition *partition = memory_new(1, sizeof *partition + key.size);
    partition->key_size = key.size;
    memcpy(partition->key, key.data, key.size);
    HASH_ADD_KEYPTR(hh, watch->partitions, partition->key, key.size, partition);
    name_partition(watch, partition);
    return 0;
}

void client_watch_end(struct client_watch *watch, struct bytes key) {
    struct partition *partition = find(watch, key);
    if (partition == NULL) {
        return;
    }
    watch->n_live -= partition->live ? 1 : 0;
    HASH_DEL(watch->partitions, partition);
    unname_partition(partition);
    free(partition);
}

bool client_watch_leased(const struct client_watch *watch, struct bytes key) {
    const struct partition *partition = find(watch, key);
    if (partition == NULL || !partition->whole ||
        watch->ring_version != watch->client->ring.version) {
        return false;
    }
    int64_t now_ns = now_of(watch);
    for (uint16_t i = 0; i < partition->n_namings; i++) {
        if (now_ns >= partition->namings[i].source->lease_ns) {
            return false;
        }
    }
    return true;
}

uint32_t client_watch_n_live(const struct client_watch *watch) {
    return watch->n_live;
}

/* ---- life ---- */

struct client_watch *client_watch_new(struct client *client,
                                      const struct client_watch_config *config) {
    struct client_watch *watch = memory_new(1, sizeof *watch);
    watch->client = client;
    watch->writer = client_writer(client);
    watch->config = *config;
    return watch;
}

static void source_free(struct source *source) {
    timers_cancel(source->watch->client->timers, &source->timer);
    if (source->out) {
        client_cancel(source->watch->client, &source->request);
    }
    while (source->ended != NULL) {
        drop_ended(source);
    }
    buffer_release(&source->payload);
    free(source);
}

void client_watch_free(struct client_watch *watch) {
    struct partition *partition, *next;
    HASH_ITER(hh, watch->partitions, partition, next) {
        client_watch_end(watch, key_of(partition));
    }
    for (uint32_t i = 0; i < watch->n_sources; i++) {
        source_free(watch->sources[i]);
    }
    free(watch);
}
