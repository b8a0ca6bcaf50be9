/* node_server: see the header. Opened in one order, closed in the reverse. */
#include "node/node_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <xxhash.h>

#include "node/core/node.h"
#include "node/disk_directory.h"
#include "node/disk_leveldb.h"
#include "shared/env_system.h"
#include "shared/err.h"
#include "shared/heap.h"
#include "shared/loop.h"
#include "shared/transport.h"
#include "shared/watch.h"

struct node_server {
    const struct node_options *options;
    struct node_log *log;
    struct disk_directory *directory;
    struct disk_identity identity;
    struct loop *loop;
    struct heap *heap;
    struct disk_leveldb *disk;
    struct transport *transport;
    struct membership *membership;
    struct env env;
    struct node *node;
    struct timer stop_deadline;
    enum node_exit exit;
    uint32_t n_owned; /* slices */
    bool pid_written;
    bool served; /* said so */
    bool stopping;
    bool disk_failed; /* said so, and it still does */
};

/* ---- the core's world ---- */

static int64_t env_now_ns(void *self) {
    return loop_now_ns(((struct node_server *)self)->loop);
}

static void env_connect(void *self, uint16_t node, const char *address) {
    transport_connect(((struct node_server *)self)->transport, node, address);
}

static void env_reconnect(void *self, uint16_t node) {
    transport_reconnect(((struct node_server *)self)->transport, node);
}

static void env_disconnect(void *self, uint16_t node) {
    transport_disconnect(((struct node_server *)self)->transport, node);
}

static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    return transport_send(((struct node_server *)self)->transport, to, message);
}

static void env_log(void *self, int level, const char *line) {
    struct node_server *s = self;
    node_log_limited(s->log, (enum node_log_level)level, line, loop_now_ns(s->loop));
}

/* The disk's part of STATS. */
static uint32_t edge_stats(void *self, struct node_stat *ret, uint32_t max) {
    struct disk_leveldb_counters c;
    disk_leveldb_counters(((struct node_server *)self)->disk, &c);
    const struct node_stat stats[] = {
        {"disk_reads", c.reads},
        {"disk_scans", c.scans},
        {"disk_commits", c.commits},
        {"disk_groups", c.groups},
        {"disk_syncs", c.syncs},
        {"disk_bytes_written", c.bytes_written},
        {"disk_refused_busy", c.refused_busy},
        {"disk_refused_space", c.refused_space},
        {"disk_reopened", c.reopened},
        {"disk_corrupt", c.corrupt},
        {"disk_values_segmented", c.values_segmented},
        {"disk_values_as_deltas", c.values_as_deltas},
        {"disk_values_astray", c.values_astray},
        {"disk_segments", c.segments},
        {"disk_segment_bytes", c.segment_bytes},
        {"disk_segment_bytes_live", c.segment_bytes_live},
        {"disk_segment_bytes_moved", c.segment_bytes_moved},
    };
    uint32_t n = sizeof stats / sizeof *stats;
    n = n < max ? n : max;
    memcpy(ret, stats, n * sizeof *stats);
    return n;
}

/* ---- events ---- */

static void received(void *self, const struct endpoint *from, const struct message *message) {
    struct node_server *s = self;
    if (s->node) {
        node_receive(s->node, from, message);
    }
}

/* The core judges its peers by what it hears of them: a lost connection shows as silence. */
static void link_down(void *self, uint16_t link) {
    (void)self, (void)link;
}

/* Rate-limited by the transport. */
static void transport_log(void *self, int level, const char *line) {
    struct node_server *s = self;
    node_log_line(s->log, (enum node_log_level)level, "%s", line);
}

static void pid_file_remove(struct node_server *s) {
    if (s->pid_written) {
        unlink(s->options->pid_file);
    }
}

static void stop_late(void *self) {
    struct node_server *s = self;
    node_log_line(s->log, NODE_LOG_WARNING, "not everything in flight ended within %d ms: ending",
                  NODE_SERVER_STOP_MS);
    s->exit = NODE_EXIT_FAILED;
    loop_stop(s->loop);
}

static void stop_begin(struct node_server *s, int number) {
    s->stopping = true;
    node_log_line(s->log, NODE_LOG_INFO, "stopping on %s", strsignal(number));
    alarm(NODE_SERVER_KILL_S);
    s->stop_deadline = (struct timer){.fire = stop_late, .context = s};
    timers_set(loop_timers(s->loop), &s->stop_deadline,
               loop_now_ns(s->loop) + NODE_SERVER_STOP_MS * 1000000ll);
    node_stop(s->node);
}

static void caught(void *self, int number) {
    struct node_server *s = self;
    if (number == SIGHUP) {
        if (node_log_reopen(s->log)) {
            node_log_line(s->log, NODE_LOG_WARNING,
                          "cannot reopen the log (%s): going on with the "
                          "old one",
                          strerror(errno));
        }
    } else if (!s->stopping) {
        stop_begin(s, number);
    } else {
        node_log_line(s->log, NODE_LOG_WARNING, "told to stop twice: ending at once");
        pid_file_remove(s);
        _exit(NODE_EXIT_FAILED);
    }
}

static void say_serving(struct node_server *s) {
    const struct node_options *o = s->options;
    char line[RING_ADDRESS_MAX + 128];
    s->served = true;
    snprintf(line, sizeof line, "serving %s (ring of %u, %u slices owned)", o->listen, o->n_members,
             s->n_owned);
    printf("ringnode %u: %s\n", o->id, line);
    fflush(stdout);
    node_log_line(s->log, NODE_LOG_INFO, "%s", line);
}

static void disk_watch(struct node_server *s) {
    char notice[DISK_WHY_MAX];
    if (disk_leveldb_notice(s->disk, notice)) {
        node_log_line(s->log, NODE_LOG_WARNING, "%s", notice);
    }
    const char *failure = disk_leveldb_failure(s->disk);
    if (failure && !s->disk_failed) {
        node_log_line(s->log, NODE_LOG_ERROR, "a write to the disk of %s failed: %s",
                      s->options->data, failure);
    }
    s->disk_failed = failure != NULL;
}

/* At each turn's end: what the core and the disk have become. */
static bool turn_end(void *self) {
    struct node_server *s = self;
    enum node_state state = node_state(s->node);
    if (state == NODE_SERVING && !s->served && node_recovering(s->node) == 0) {
        say_serving(s);
    } else if (state == NODE_FAILED) {
        node_log_line(s->log, NODE_LOG_ERROR, "cannot go on: %s", err_text(node_failure(s->node)));
        s->exit = NODE_EXIT_FAILED;
        loop_stop(s->loop);
    } else if (state == NODE_STOPPED) {
        loop_stop(s->loop);
    }
    disk_watch(s);
    return false;
}

/* ---- opening ---- */

static void files_raise(struct node_server *s) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            node_log_line(s->log, NODE_LOG_WARNING, "cannot raise the number of open files (%s)",
                          strerror(errno));
        }
    }
}

static int pid_file_write(struct node_server *s) {
    const char *path = s->options->pid_file;
    char pid[24];
    int size = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (!path[0]) {
        return 0;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, pid, (size_t)size) == size;
    if (fd >= 0) {
        close(fd);
    }
    if (!written) {
        node_log_line(s->log, NODE_LOG_ERROR, "cannot write the pid file %s (%s)", path,
                      strerror(errno));
        return ERR_IO;
    }
    s->pid_written = true;
    return 0;
}

static int data_open(struct node_server *s) {
    char why[DISK_WHY_MAX];
    const struct node_options *o = s->options;
    s->identity = (struct disk_identity){.node = o->id, .slices = o->n_slices, .cluster = o->seed};
    int status = o->rebuild ? disk_directory_set_aside(o->data, &s->identity, why) : 0;
    status = status ? status : disk_directory_open(o->data, &s->identity, &s->directory, why);
    if (!status) {
        struct disk_leveldb_config config = {.directory = disk_directory_path(s->directory),
                                             .reserve_bytes = o->reserve_bytes};
        status = disk_leveldb_open(&config, &s->disk, why);
    }
    if (status) {
        node_log_line(s->log, NODE_LOG_ERROR, "%s", why);
        s->exit = NODE_EXIT_DATA;
    }
    return status;
}

static int loop_open(struct node_server *s) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    s->loop = loop_new();
    s->heap = heap_keep(s->loop);
    loop_set_spin_us(s->loop, s->options->spin_us);
    signal(SIGPIPE, SIG_IGN);
    return loop_on_signals(s->loop, signals, 3, caught, s);
}

static int membership_open(struct node_server *s) {
    const struct node_options *o = s->options;
    struct ring ring;
    int status = ring_build(o->seed, o->n_slices, o->n_replicas, o->members, o->n_members, &ring);
    if (status) {
        node_log_line(s->log, NODE_LOG_ERROR,
                      "these members make no ring: check --member, --slices and --replicas");
        s->exit = NODE_EXIT_OPTIONS;
        return status;
    }
    s->n_owned = ring_owned(&ring, (uint16_t)ring_member_index(&ring, o->id));
    if (ring.zones_dropped) {
        node_log_line(s->log, NODE_LOG_WARNING,
                      "there are too few zones to keep all copies of a row in different ones");
    }
    s->membership = membership_new(o->id, &ring);
    return 0;
}

static int transport_open(struct node_server *s) {
    const struct node_options *o = s->options;
    const struct transport_config config = {
        .role = TRANSPORT_TO_PEER,
        .self_node = o->id,
        .key_file = o->key_file[0] ? o->key_file : NULL,
        .received = received,
        .link_down = link_down,
        .log = transport_log,
        .context = s,
    };
    int status = transport_new(s->loop, &config, &s->transport);
    return status ? status : transport_listen(s->transport, o->listen);
}

/* A number of this start of the machine; 0 when the system does not tell. */
static uint64_t boot_number(void) {
    char id[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, id, sizeof id) : 0;
    if (fd >= 0) {
        close(fd);
    }
    return size > 0 ? XXH3_64bits(id, (size_t)size) : 0;
}

static void node_open(struct node_server *s) {
    const struct node_options *o = s->options;
    s->env = (struct env){s,           env_now_ns,    env_system_wall_ns, env_system_random,
                          env_connect, env_reconnect, env_disconnect,     env_send,
                          env_log};
    const struct node_config config = {
        .id = o->id,
        .incarnation = s->identity.incarnation,
        .read_quorum = o->read_quorum,
        .write_quorum = o->write_quorum,
        .credit_bytes = transport_credit(s->transport),
        .hint_bytes_max = o->hint_bytes,
        .repair_round_ms = NODE_REPAIR_ROUND_MS,
        .reap_age_ms = NODE_REAP_AGE_MS,
        .reap_hold_ms = NODE_REAP_HOLD_MS,
        .scrub_round_ms = NODE_SCRUB_ROUND_MS,
        .lease_ms = WATCH_LEASE_MS,
        .edge_stats = edge_stats,
        .edge_context = s,
        .boot = boot_number(),
        .trusts_disk = o->trust_disk,
    };
    s->node =
        node_new(&config, &s->env, disk_leveldb_seam(s->disk), loop_timers(s->loop), s->membership);
}

/* The loop first (it blocks the signals, which threads inherit), the disk's hook before the
 * transport's (answers leave in the turn in which the disk gave them). */
static int server_open(struct node_server *s) {
    s->exit = NODE_EXIT_FAILED;
    files_raise(s);
    if (loop_open(s) || data_open(s) || pid_file_write(s) || membership_open(s)) {
        return ERR_IO;
    }
    if (loop_watch(s->loop, disk_leveldb_event_fd(s->disk), disk_leveldb_ready, s->disk)) {
        return ERR_IO;
    }
    loop_add_turn_end(s->loop, disk_leveldb_drain, s->disk);
    if (transport_open(s)) {
        return ERR_IO;
    }
    node_open(s);
    loop_add_turn_end(s->loop, turn_end, s);
    s->exit = NODE_EXIT_CLEAN;
    return 0;
}

/* What the core still waits for is answered by the disk's closing, so the core goes after it. */
static void server_close(struct node_server *s) {
    if (s->disk) {
        loop_unwatch(s->loop, disk_leveldb_event_fd(s->disk));
        disk_leveldb_close(s->disk);
    }
    if (s->transport) {
        transport_free(s->transport);
    }
    if (s->node) {
        node_free(s->node);
    }
    if (s->membership) {
        membership_free(s->membership);
    }
    if (s->loop) {
        heap_free(s->heap);
        loop_free(s->loop);
    }
    pid_file_remove(s);
    if (s->directory) {
        disk_directory_close(s->directory);
    }
}

enum node_exit node_server_run(const struct node_options *options, struct node_log *log) {
    struct node_server s = {.options = options, .log = log};
    if (!server_open(&s)) {
        node_start(s.node);
        loop_turn(s.loop, 0); /* what the start asked of the disk is served at a turn's end */
        loop_run(s.loop);
    }
    server_close(&s);
    if (s.served && s.exit == NODE_EXIT_CLEAN) {
        node_log_line(log, NODE_LOG_INFO, "stopped");
    }
    return s.exit;
}
