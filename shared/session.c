#include "shared/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/address.h"
#include "shared/client_store.h"
#include "shared/env_system.h"
#include "shared/transport.h"

enum { RING_POLL_MS = 2, ANSWER_SIZE = 64 << 10 };

struct session {
    struct session_config config;
    struct loop *loop;
    struct tasks *tasks;
    struct transport *transport;
    struct client *client;
    struct env env;
    struct client_store client_store;
    struct store store;
};

/* ---- env: the client's view of the world --------------------------------------------------------
 */

static int64_t env_now_ns(void *self) {
    return loop_now_ns(((struct session *)self)->loop);
}

static void env_connect(void *self, uint16_t link, const char *address) {
    transport_connect(((struct session *)self)->transport, link, address);
}

static void env_reconnect(void *self, uint16_t link) {
    transport_reconnect(((struct session *)self)->transport, link);
}

static void env_disconnect(void *self, uint16_t link) {
    transport_disconnect(((struct session *)self)->transport, link);
}

static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    return transport_send(((struct session *)self)->transport, to, message);
}

static void log_line(void *self, int level, const char *line) {
    struct session *s = self;
    if (s->config.log != NULL) {
        s->config.log(s->config.context, level, line);
    }
}

static void received(void *self, const struct endpoint *from, const struct message *message) {
    struct session *s = self;
    if (s->client != NULL) {
        client_receive(s->client, from, message);
    }
}

static void link_down(void *self, uint16_t link) {
    struct session *s = self;
    if (s->client != NULL) {
        client_link_down(s->client, link);
    }
}

static bool run_tasks(void *self) {
    struct session *s = self;
    tasks_run(s->tasks);
    return tasks_runnable(s->tasks);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

/* Splits a copy of the list in place; answers how many addresses, or an error with a sentence
 * logged. */
static int split_addresses(struct session *s, char *list, const char *ret[CLIENT_NODES_MAX]) {
    int n = 0;
    char *rest = NULL;
    char line[RING_ADDRESS_MAX + 200];
    for (char *a = strtok_r(list, ", \t\n", &rest); a != NULL;
         a = strtok_r(NULL, ", \t\n", &rest)) {
        const char *why = NULL;
        if (n == CLIENT_NODES_MAX || address_check(a, &why) != 0) {
            snprintf(line, sizeof line, "cluster address %.150s: %s", a,
                     why != NULL ? why : "too many addresses");
            log_line(s, 0, line);
            return ERR_INVALID;
        }
        ret[n++] = a;
    }
    if (n == 0) {
        log_line(s, 0, "no cluster address was given");
        return ERR_INVALID;
    }
    return n;
}

static int start_client(struct session *s, const char *const *addresses, uint16_t n) {
    struct transport_config config = {
        .role = TRANSPORT_TO_NODE,
        .key_file = s->config.key_file,
        .received = received,
        .link_down = link_down,
        .log = log_line,
        .context = s,
    };
    int status = transport_new(s->loop, &config, &s->transport);
    if (status != 0) {
        return status;
    }
    s->env = (struct env){
        .self = s,
        .now_ns = env_now_ns,
        .wall_ns = env_system_wall_ns,
        .random = env_system_random,
        .connect = env_connect,
        .reconnect = env_reconnect,
        .disconnect = env_disconnect,
        .send = env_send,
        .log = log_line,
    };
    struct client_config client = {.addresses = addresses, .n_addresses = n};
    status = client_new(&client, &s->env, loop_timers(s->loop), &s->client);
    if (status == 0) {
        client_store_init(&s->client_store, s->client, &s->env, s->config.wait_ns, &s->store);
    }
    return status;
}

int session_new(struct loop *loop, const struct session_config *config, struct session **ret) {
    struct session *s = memory_new(1, sizeof *s);
    s->config = *config;
    s->loop = loop;
    s->tasks = tasks_new(loop_timers(loop), loop_now_ns, loop);
    /* Before the transport adds its own: tasks run first, what they send is flushed after. */
    loop_add_turn_end(loop, run_tasks, s);

    struct bytes list = bytes_copy(bytes_of_string(config->addresses));
    const char *addresses[CLIENT_NODES_MAX];
    int n = split_addresses(s, (char *)(uintptr_t)list.data, addresses);
    int status = n < 0 ? n : start_client(s, addresses, (uint16_t)n);
    free((void *)(uintptr_t)list.data);
    if (status != 0) {
        session_free(s);
        return status;
    }
    *ret = s;
    return 0;
}

void session_free(struct session *s) {
    if (s->client != NULL) {
        client_free(s->client);
        s->client = NULL;
        tasks_run(s->tasks); /* those that waited for an answer have one now */
    }
    if (s->transport != NULL) {
        transport_free(s->transport);
    }
    loop_remove_turn_end(s->loop, run_tasks, s);
    tasks_free(s->tasks);
    free(s);
}

struct tasks *session_tasks(struct session *s) {
    return s->tasks;
}

struct store *session_store(struct session *s) {
    return &s->store;
}

struct client *session_client(struct session *s) {
    return s->client;
}

int64_t session_now_ns(struct session *s) {
    return env_now_ns(s);
}

/* ---- one thing to do ----------------------------------------------------------------------------
 */

struct run {
    int (*fn)(void *context);
    void *context;
    int status;
    bool ended;
};

static void run_task(void *arg) {
    struct run *run = arg;
    run->status = run->fn(run->context);
    run->ended = true;
}

int session_run(struct session *s, int (*fn)(void *context), void *context, int64_t deadline_ns) {
    struct run run = {.fn = fn, .context = context};
    int status = task_spawn(s->tasks, run_task, &run, deadline_ns);
    if (status != 0) {
        return status;
    }
    tasks_run(s->tasks); /* begins now, not after the loop's next event */
    while (!run.ended) {
        loop_turn(s->loop, INT64_MAX);
    }
    return run.status;
}

int session_wait_ring(struct session *s) {
    while (client_ring(s->client) == NULL) {
        int status = task_sleep((int64_t)RING_POLL_MS * 1000000);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static bool all_alive(const struct client *client) {
    const struct ring *ring = client_ring(client);
    for (uint16_t i = 0; ring != NULL && i < ring->n_members; i++) {
        if (!client_node_alive(client, ring->members[i].id)) {
            return false;
        }
    }
    return ring != NULL;
}

void session_wait_members(struct session *s, int64_t wait_ns) {
    int64_t until_ns = session_now_ns(s) + wait_ns;
    while (!all_alive(s->client) && session_now_ns(s) < until_ns) {
        if (task_sleep((int64_t)RING_POLL_MS * 1000000) != 0) {
            return;
        }
    }
}

struct question {
    struct client_request request;
    struct task_queue answered;
    bool done;
    int status;
    struct bytes payload;
};

static void question_done(struct client_request *request, int status, struct bytes payload) {
    struct question *q = request->context;
    q->done = true;
    q->status = status;
    if (status == 0) {
        q->payload = bytes_copy(payload);
    }
    task_wake_all(&q->answered);
}

int session_ask(struct session *s, uint8_t type, uint16_t node, struct bytes *ret_payload) {
    struct session_question question = {.type = type, .node = node, .reply_size = ANSWER_SIZE};
    return session_ask_about(s, &question, ret_payload);
}

int session_ask_about(struct session *s, const struct session_question *question,
                      struct bytes *ret_payload) {
    int64_t deadline =
        question->deadline_ns != 0 ? question->deadline_ns : task_deadline_ns(task_self());
    struct question q = {
        .request = {.type = question->type,
                    .node = question->node,
                    .payload = question->payload,
                    .reply_size = question->reply_size,
                    .deadline_ns = deadline != 0 ? deadline : env_now_ns(s) + s->config.wait_ns,
                    .done = question_done},
    };
    q.request.context = &q;
    int status = client_submit(s->client, &q.request);
    if (status != 0) {
        return status;
    }
    while (!q.done) {
        if (task_wait(&q.answered) == ERR_INTERRUPTED && !q.done) {
            client_cancel(s->client, &q.request);
        } else if (!q.done) {
            task_wait_uninterrupted(&q.answered); /* the client keeps the deadline */
        }
    }
    if (q.status == 0) {
        *ret_payload = q.payload;
    }
    return q.status;
}

const char *session_shortfall(const struct session *s, char *ret, size_t size) {
    return shortfall_text(&s->client_store.missed, ret, size);
}
