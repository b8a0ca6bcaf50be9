/* address: where a node listens, and how the addresses of its sockets derive from one. */
#include "shared/address.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/err.h"

#define IPC_PREFIX "ipc://"
#define TCP_PREFIX "tcp://"
#define PEER_SUFFIX ".peer"
#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

enum {
    /* sockaddr_un holds 108 bytes with the NUL; the peer socket's name must fit too. */
    SOCKET_PATH_MAX = 107 - (sizeof(PEER_SUFFIX) - 1),
    HOST_MAX = 150,
    PORT_MAX = 65534, /* the peer port is one more */
};

static int refuse(const char *why, const char **ret_why) {
    *ret_why = why;
    return ERR_INVALID;
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A decimal number of `size` digits and nothing else, at most `max` (below 2^32 / 10); -1 when it
 * is none. */
static int64_t number_parse(const char *text, size_t size, uint32_t max) {
    int64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
        if (value > max) {
            return -1;
        }
    }
    return size == 0 ? -1 : value;
}

static int ipc_check(const char *path, const char **ret_why) {
    size_t size = strlen(path);
    if (path[0] != '/') {
        return refuse("an ipc address needs an absolute path: ipc:///run/ringfs/node1", ret_why);
    }
    if (path[size - 1] == '/') {
        return refuse("an ipc address names a socket, not a directory", ret_why);
    }
    if (size > SOCKET_PATH_MAX) {
        return refuse("an ipc address's path may have 102 bytes at most", ret_why);
    }
    return 0;
}

/* A host name, an IPv4 address, or an IPv6 address in brackets. */
static bool host_is_valid(const char *host, size_t size) {
    if (size == 0 || size > HOST_MAX) {
        return false;
    }
    if (host[0] != '[') {
        return strspn(host, ALPHANUMERIC "-._") >= size && host[0] != '-' && host[0] != '.';
    }
    size_t inner = strspn(host + 1, "0123456789abcdefABCDEF:.");
    return inner >= 2 && inner + 2 == size && host[size - 1] == ']' &&
           memchr(host + 1, ':', inner) != NULL;
}

static int tcp_check(const char *host, const char **ret_why) {
    const char *colon = strrchr(host, ':');
    if (colon == NULL || strchr(colon, ']') != NULL) {
        return refuse("a tcp address needs a port: tcp://host:7001", ret_why);
    }
    if (!host_is_valid(host, (size_t)(colon - host))) {
        return refuse("a tcp address needs a host: a name, an IPv4 address or [an IPv6 address]",
                      ret_why);
    }
    if (number_parse(colon + 1, strlen(colon + 1), PORT_MAX) <= 0) {
        return refuse("a tcp address's port is a number from 1 to 65534 (other nodes use the next)",
                      ret_why);
    }
    return 0;
}

int address_check(const char *address, const char **ret_why) {
    if (strlen(address) + sizeof(PEER_SUFFIX) > RING_ADDRESS_MAX) {
        return refuse("an address may have 194 bytes at most", ret_why);
    }
    for (const char *c = address; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == ',' || *c == ';') {
            return refuse("an address has no spaces, commas or semicolons", ret_why);
        }
    }
    if (starts_with(address, IPC_PREFIX)) {
        return ipc_check(address + strlen(IPC_PREFIX), ret_why);
    }
    if (starts_with(address, TCP_PREFIX)) {
        return tcp_check(address + strlen(TCP_PREFIX), ret_why);
    }
    return refuse("an address begins with ipc:/// or tcp://", ret_why);
}

bool address_is_tcp(const char *address) {
    return starts_with(address, TCP_PREFIX);
}

void address_peer(const char *address, char ret[RING_ADDRESS_MAX]) {
    int size;
    if (address_is_tcp(address)) {
        const char *colon = strrchr(address, ':');
        assert(colon != NULL);
        int64_t port = number_parse(colon + 1, strlen(colon + 1), PORT_MAX);
        assert(port > 0);
        size = snprintf(ret, RING_ADDRESS_MAX, "%.*s:%d", (int)(colon - address), address,
                        (int)port + 1);
    } else {
        size = snprintf(ret, RING_ADDRESS_MAX, "%s%s", address, PEER_SUFFIX);
    }
    assert(size > 0 && size < RING_ADDRESS_MAX);
    (void)size;
}

/* One "name=value" after the address, of `size` bytes. Members begin with weight 0 and no zone, so
 * that one given twice shows. */
static int option_parse(const char *option, size_t size, struct ring_member *member,
                        const char **ret_why) {
    if (starts_with(option, "zone=")) {
        const char *name = option + 5;
        size_t name_size = size - 5;
        if (name_size == 0 || name_size >= RING_ZONE_MAX ||
            strspn(name, ALPHANUMERIC "-._") < name_size) {
            return refuse("a zone is 1 to 31 letters, digits, dots, dashes or underscores",
                          ret_why);
        }
        if (member->zone[0] != '\0') {
            return refuse("a member has one zone", ret_why);
        }
        memcpy(member->zone, name, name_size);
        return 0;
    }
    if (starts_with(option, "weight=")) {
        int64_t weight = number_parse(option + 7, size - 7, RING_WEIGHT_MAX);
        if (weight <= 0 || member->weight != 0) {
            return refuse("a member has one weight, from 1 to 10000", ret_why);
        }
        member->weight = (uint16_t)weight;
        return 0;
    }
    return refuse("after a member's address come ,zone=NAME and ,weight=N", ret_why);
}

int member_parse(const char *text, struct ring_member *ret, const char **ret_why) {
    struct ring_member member = {0};
    const char *equals = strchr(text, '=');
    int64_t id = equals == NULL ? -1 : number_parse(text, (size_t)(equals - text), UINT16_MAX);
    if (id <= 0) {
        return refuse("a member is written ID=ADDRESS, the ID from 1 to 65535", ret_why);
    }
    member.id = (uint16_t)id;
    const char *address = equals + 1;
    size_t size = strcspn(address, ",");
    if (size >= RING_ADDRESS_MAX) {
        return refuse("an address may have 194 bytes at most", ret_why);
    }
    memcpy(member.address, address, size);
    if (address_check(member.address, ret_why) != 0) {
        return ERR_INVALID;
    }
    const char *at = address + size;
    while (*at == ',') {
        size_t option_size = strcspn(at + 1, ",");
        if (option_parse(at + 1, option_size, &member, ret_why) != 0) {
            return ERR_INVALID;
        }
        at += 1 + option_size;
    }
    if (member.weight == 0) {
        member.weight = RING_WEIGHT_DEFAULT;
    }
    *ret = member;
    return 0;
}
