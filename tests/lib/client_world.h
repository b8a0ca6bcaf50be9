/* client_world: the env of a client under test: records what is sent, hands replies back. */
#ifndef RINGFS_TESTS_CLIENT_WORLD_H
#define RINGFS_TESTS_CLIENT_WORLD_H

#include "shared/client.h"

/* One world at a time, in globals that tests look into. Time stands still but in world_pass(). Five
 * nodes, 1 to 5, at "ipc:///n<id>"; every call asserts with cmocka. */
enum {
    SENT_MAX = 4096,
    LINKS_MAX = 400,
    CREDIT = 100 << 10, /* told in HELLO */
    ALL = 0x3e,         /* every node, for world_pass() */
};
#define MS INT64_C(1000000)

/* One message as it was sent. */
struct sent {
    uint16_t link;
    uint8_t type;
    uint64_t id;
    uint32_t budget_ms;
    uint16_t flags;
    uint64_t stamp_ns;
    uint32_t age_ms;
    uint8_t payload[32];
    size_t payload_size;
};

struct world {
    int64_t now;
    uint64_t dice;
    struct sent sent[SENT_MAX];
    uint32_t n_sent;
    char address[LINKS_MAX][RING_ADDRESS_MAX]; /* "" = not open */
    uint32_t n_reopened[LINKS_MAX];
    bool full;              /* send answers BUSY */
    uint8_t read_quorum;    /* told in HELLO; 0 unless the test sets it before world_ready() */
    int64_t nodes_ahead_ns; /* of the nodes' stamps */
};
extern struct world world;
extern struct client *client;
/* What the nodes show in their HELLO answers. */
extern struct ring ring;

/* How a request ended: `status` is 1 until it did. */
struct outcome {
    int n_done;
    int status;
    size_t size;
    uint8_t answer[64]; /* the first bytes of it */
};

/* Setup and teardown; the client is freed when the test has not done it. */
int world_start(void **state);
int world_end(void **state);
/* Makes `ring` anew, of nodes 1 to `n_members`. */
void world_ring(uint64_t version, uint16_t n_members);
/* Makes `client` with these addresses, or (ready) one that has heard of all five nodes. */
void world_client(const char *const *addresses, uint16_t n);
void world_ready(void);

/* The link open at an address, or to a node's own address; -1 when there is none. */
int world_link_at(const char *address);
int world_link_of(uint16_t node);
int world_links_open(void);
/* The node id of the key's k-th replica. */
uint16_t world_replica(const char *key, int k);

/* A message from a link: any reply, or a HELLO answer of this node (with a damaged ring). */
void world_reply(int link, uint8_t type, uint64_t id, int status, struct bytes payload);
void world_greet(int link, uint16_t node, bool garbage);
/* Time passes in small steps; nodes of `answering` (bit per id) answer their heartbeats. */
void world_pass(int64_t ms, unsigned answering);

/* A request of 5 s with the payload "payload", which will fill `outcome`. */
struct client_request world_request(uint8_t type, const char *key, struct outcome *outcome);
/* The k-th message sent that is no heartbeat (NULL when there are fewer), and how many there are.
 */
const struct sent *world_sent(uint32_t k);
uint32_t world_n_sent(void);
void world_assert_sent_to(uint32_t k, uint16_t node);
/* The answer to the k-th. */
void world_answer(uint32_t k, int status, const char *text);

#endif
