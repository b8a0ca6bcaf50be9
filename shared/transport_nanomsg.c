/* transport_nanomsg: frames over nanomsg sockets; docs/transport.md says what the sockets do to us.
 */
#include "shared/transport_nanomsg.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/address.h"

enum {
    FILES_WANTED = 65536,
    WMEM_MAX_DEFAULT = 212992, /* the kernel's, where it does not tell */
};

/* ---- The log ---- */

void transport_tell(struct transport *transport, int level, enum cause cause, uint64_t origin,
                    const char *format, ...) {
    uint64_t untold = 0;
    if (cause != CAUSE_ALWAYS && !complaints_tell(&transport->complaints, cause, origin,
                                                  loop_now_ns(transport->loop), &untold)) {
        return;
    }
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (untold > 0 && size > 0 && (size_t)size < sizeof(line)) {
        snprintf(line + size, sizeof(line) - (size_t)size, " (%llu more since this was last told)",
                 (unsigned long long)untold);
    }
    transport->config.log(transport->config.context, level, line);
}

/* ---- Turns ---- */

void transport_turn_needed(struct transport *transport) {
    if (!timer_armed(&transport->turn)) {
        timers_set(loop_timers(transport->loop), &transport->turn, loop_now_ns(transport->loop));
    }
}

int transport_send(struct transport *transport, const struct endpoint *to,
                   const struct message *message) {
    if (to->kind == ENDPOINT_CLIENT) {
        return reply_send(transport, to->route, message);
    }
    struct link *link = link_find(transport, to->node);
    return link == NULL ? ERR_BUSY : link_send(link, message);
}

static bool turn_end(void *context) {
    struct transport *transport = context;
    for (size_t i = 0; i < transport->n_dirty; i++) {
        struct link *link = link_find(transport, transport->dirty[i]);
        if (link != NULL && link->dirty) {
            link->dirty = false;
            link_flush(link);
        }
    }
    transport->n_dirty = 0;
    replies_flush(transport);
    timers_cancel(loop_timers(transport->loop), &transport->turn);
    return false;
}

static void turn_fire(void *context) {
    (void)context; /* the hook at the end of this turn does the work */
}

/* ---- Sockets ---- */

static int read_wmem_max(void) {
    int value = 0;
    FILE *file = fopen("/proc/sys/net/core/wmem_max", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value > 0 ? value : WMEM_MAX_DEFAULT;
}

static void socket_set(int socket, int level, int option, int value) {
    (void)nn_setsockopt(socket, level, option, &value, sizeof(value));
}

/* A socket with every option that matters, or -1. */
int transport_socket(struct transport *transport, int domain, int protocol, const char *address) {
    int socket = nn_socket(domain, protocol);
    if (socket < 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: no socket can be made: %s", address,
                       nn_strerror(nn_errno()));
        return -1;
    }
    socket_set(socket, NN_SOL_SOCKET, NN_SNDBUF, transport->send_buffer);
    socket_set(socket, NN_SOL_SOCKET, NN_RCVBUF, TRANSPORT_SOCKET_BUFFER);
    socket_set(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, FRAME_SIZE_MAX + REQUEST_ID_SIZE);
    socket_set(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL, TRANSPORT_RECONNECT_MS);
    socket_set(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, TRANSPORT_RECONNECT_MAX_MS);
    socket_set(socket, NN_TCP, NN_TCP_NODELAY, 1);
    if (strchr(address, '[') != NULL) {
        socket_set(socket, NN_SOL_SOCKET, NN_IPV4ONLY, 0);
    }
    return socket;
}

int transport_socket_fd(int socket, int option) {
    int fd = -1;
    size_t size = sizeof(fd);
    (void)nn_getsockopt(socket, NN_SOL_SOCKET, option, &fd, &size);
    return fd;
}

/* The key that frames of this address are sealed with; NULL for none. ERR_INVALID when there must
 * be one and is not. */
int transport_address_key(struct transport *transport, const char *address,
                          const struct seal_key **ret) {
    const char *why;
    if (address_check(address, &why) != 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, why);
        return ERR_INVALID;
    }
    if (address_is_tcp(address) && !transport->has_key) {
        transport_tell(
            transport, 0, CAUSE_ALWAYS, 0,
            "%s: refused, tcp:// needs the cluster's key file (ringctl keygen makes one)", address);
        return ERR_INVALID;
    }
    *ret = address_is_tcp(address) ? &transport->key : NULL;
    return 0;
}

/* ---- Listening ---- */

/* Whether somebody listens at the socket; false too when its file is a stale one. */
static bool ipc_is_live(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool live =
        fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0 || errno != ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return live;
}

/* Looks first whether the name can be bound: nanomsg ends the process when it may not remove a
 * stale socket's file, and leaks when it cannot bind. */
static int ipc_make_room(struct transport *transport, const char *path) {
    char directory[RING_ADDRESS_MAX];
    snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path + 1), path);
    struct stat status;
    const char *why = NULL;
    if (access(directory, W_OK | X_OK) != 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", directory, strerror(errno));
        return ERR_IO;
    }
    if (lstat(path, &status) != 0) {
        return 0;
    }
    if (!S_ISSOCK(status.st_mode)) {
        why = "there is a file that is no socket";
    } else if (ipc_is_live(path)) {
        why = "another process listens there";
    }
    if (why != NULL) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path, why);
        return ERR_IN_USE;
    }
    if (unlink(path) != 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

/* nanomsg binds to numbers and interfaces only; a host's name is looked up here. */
static int tcp_numeric(struct transport *transport, const char *address,
                       char ret[RING_ADDRESS_MAX]) {
    const char *host = address + strlen("tcp://");
    const char *port = strrchr(host, ':');
    char name[RING_ADDRESS_MAX];
    snprintf(name, sizeof(name), "%.*s", (int)(port - host), host);
    if (name[0] == '[') {
        snprintf(ret, RING_ADDRESS_MAX, "%s", address);
        return 0;
    }
    struct addrinfo *found = NULL;
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    char numeric[64];
    int failed = getaddrinfo(name, NULL, &want, &found);
    if (failed == 0) {
        failed = getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof(numeric), NULL, 0,
                             NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    if (failed != 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, gai_strerror(failed));
        return ERR_INVALID;
    }
    snprintf(ret, RING_ADDRESS_MAX, "tcp://%s%s", numeric, port);
    return 0;
}

static int bind_error(int error) {
    switch (error) {
    case EADDRINUSE:
        return ERR_IN_USE;
    case EINVAL:
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENAMETOOLONG:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}

static int inbox_bind(struct inbox *inbox, const char *address) {
    struct transport *transport = inbox->transport;
    char bound[RING_ADDRESS_MAX];
    const char *path = address + strlen("ipc://");
    bool tcp = address_is_tcp(address);
    snprintf(bound, sizeof(bound), "%s", address);
    int err = tcp ? tcp_numeric(transport, address, bound) : ipc_make_room(transport, path);
    if (err != 0) {
        return err;
    }
    inbox->socket = inbox->from_clients ? transport_socket(transport, AF_SP_RAW, NN_REP, address)
                                        : transport_socket(transport, AF_SP, NN_PULL, address);
    if (inbox->socket < 0) {
        return ERR_IO;
    }
    mode_t mask = umask(0177); /* the socket's file is made with mode 0600 */
    int endpoint = nn_bind(inbox->socket, bound);
    int error = nn_errno();
    umask(mask);
    if (endpoint < 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, nn_strerror(error));
        nn_close(inbox->socket);
        inbox->socket = -1;
        return bind_error(error);
    }
    snprintf(inbox->path, sizeof(inbox->path), "%s", tcp ? "" : path);
    inbox->fd = transport_socket_fd(inbox->socket, NN_RCVFD);
    return loop_watch(transport->loop, inbox->fd,
                      inbox->from_clients ? clients_readable : peers_readable, inbox);
}

static void inbox_close(struct inbox *inbox) {
    if (inbox->socket < 0) {
        return;
    }
    loop_unwatch(inbox->transport->loop, inbox->fd);
    if (inbox->path[0] != '\0') {
        unlink(inbox->path); /* while it is ours still: afterwards it may be the next process's */
    }
    nn_close(inbox->socket);
    inbox->socket = -1;
}

int transport_listen(struct transport *transport, const char *address) {
    assert(transport->clients.socket < 0);
    const struct seal_key *key;
    int err = transport_address_key(transport, address, &key);
    if (err != 0) {
        return err;
    }
    char peer[RING_ADDRESS_MAX];
    address_peer(address, peer);
    transport->clients.key = key;
    transport->peers.key = key;
    err = inbox_bind(&transport->clients, address);
    if (err == 0) {
        err = inbox_bind(&transport->peers, peer);
    }
    if (err != 0) {
        inbox_close(&transport->clients);
        inbox_close(&transport->peers);
    }
    return err;
}

uint32_t transport_credit(const struct transport *transport) {
    return (uint32_t)transport->send_buffer;
}

/* ---- Life ---- */

/* nanomsg ends the process when it meets descriptors 0 to 2, and spins when there are none left. */
static void descriptors_prepare(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2) {
        close(fd);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int key_load(struct transport *transport) {
    const char *why;
    const char *path = transport->config.key_file;
    if (path == NULL) {
        return 0;
    }
    if (seal_key_read(path, &transport->key, &why) != 0) {
        transport_tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path, why);
        return ERR_INVALID;
    }
    transport->has_key = true;
    transport->fence = memory_new(1, sizeof(*transport->fence));
    fence_init(transport->fence, env_system_wall_ns(NULL));
    return 0;
}

int transport_new(struct loop *loop, const struct transport_config *config,
                  struct transport **ret) {
    assert(config->received != NULL && config->link_down != NULL && config->log != NULL);
    struct transport *transport = memory_new(1, sizeof(*transport));
    transport->loop = loop;
    transport->config = *config;
    transport->clients = (struct inbox){transport, -1, -1, true, NULL, ""};
    transport->peers = (struct inbox){transport, -1, -1, false, NULL, ""};
    transport->poll = (struct timer){.fire = links_poll, .context = transport};
    transport->turn = (struct timer){.fire = turn_fire, .context = transport};
    if (key_load(transport) != 0) {
        free(transport);
        return ERR_INVALID;
    }
    descriptors_prepare();
    int wmem_max = read_wmem_max();
    transport->send_buffer =
        wmem_max < TRANSPORT_SOCKET_BUFFER ? wmem_max : TRANSPORT_SOCKET_BUFFER;
    if (getrandom(&transport->session, sizeof(transport->session), 0) !=
        (ssize_t)sizeof(transport->session)) {
        fprintf(stderr, "ringfs: no source of random bytes\n");
        exit(1);
    }
    loop_add_turn_end(loop, turn_end, transport);
    *ret = transport;
    return 0;
}

void transport_free(struct transport *transport) {
    if (transport == NULL) {
        return;
    }
    (void)turn_end(transport);
    loop_remove_turn_end(transport->loop, turn_end, transport);
    for (size_t i = 0; i < transport->n_links; i++) {
        transport_disconnect(transport, (uint16_t)i);
    }
    inbox_close(&transport->clients);
    inbox_close(&transport->peers);
    timers_cancel(loop_timers(transport->loop), &transport->poll);
    timers_cancel(loop_timers(transport->loop), &transport->turn);
    replies_release(transport);
    seal_key_release(&transport->key);
    free(transport->fence);
    free(transport->links);
    free(transport->dirty);
    free(transport);
}

void transport_counters(const struct transport *transport, struct transport_counters *ret) {
    *ret = transport->counters;
}
