/* main: the program ringfs: mounts a cluster at a directory and serves it until it is unmounted. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#undef BLOCK_SIZE /* the kernel's, through sys/mount.h; ours is of shared/record.h */

#include "fs/background.h"
#include "fs/capacity.h"
#include "fs/holds.h"
#include "fs/locks.h"
#include "fs/log.h"
#include "fs/mountinfo.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/report.h"
#include "fs/supervisor.h"
#include "fs/sweep_cluster.h"
#include "fs/sync_cluster.h"
#include "fs/writeback.h"
#include "shared/client_watch.h"
#include "shared/heap.h"
#include "shared/namespace_watch.h"
#include "shared/session.h"
#include "shared/store_available.h"

/* What a program that takes over from an older one is told: the descriptors of the kernel and of
 * the survivor's memory. */
#define TAKEOVER_VARIABLE "RINGFS_TAKEOVER"

/* As mount(8) passes them on. */
enum { EXIT_USAGE = 1, EXIT_SYSTEM = 2, EXIT_MOUNT = 32 };

enum { READ_AHEAD_KB = 4096 };

/* How mountinfo names a ringfs. */
#define FUSE_TYPE "fuse.ringfs "

/* How long what the cluster tells changes of is believed: in case that something goes untold. */
#define WATCHED_NS 60000000000ll

/* Mounts that sweep more often than this (less than twice SWEEPER_TOUCH_NS) are warned. */
#define SWEEP_HASTY_NS (3 * SWEEPER_TOUCH_NS / 2)

/* How long an operation of a hard mount waits: as good as for ever. */
#define HARD_TIMEOUT_NS (20ll * 86400 * 1000000000)

struct program {
    struct options options;
    char mountpoint[PATH_MAX];
    struct loop *loop;
    struct heap *heap;
    struct session *session;
    struct client_watch *watch; /* NULL when nothing may be cached */
    struct watcher watcher;
    struct store_available available; /* unless mode=strict */
    struct store *store;
    struct namespace *ns;
    struct mount mount;
    struct ops *ops;
    struct report report;
    struct cluster_files cluster;
    struct log log;
    int parent; /* where background_tell() tells; -1 = nobody waits */

    char **argv;
    char program[PATH_MAX];        /* this program's file, to be read anew for an upgrade */
    const struct workplace *place; /* NULL: there is no supervisor */
    int memory_fd;
    void *memory; /* the survivor's; NULL without a supervisor */
    struct survivor *survivor;
    dev_t device;  /* of the mount; 0 = not known */
    bool ending;   /* SIGTERM came */
    bool handover; /* SIGUSR2 came: another worker goes on */
    struct sweep_cluster sweep;
};

/* For those who know only that there is a log; `context` is the program. */
static void log_for(void *context, int level, const char *line) {
    struct program *p = context;
    log_line(&p->log, level, line);
}

/* ---- before ---- */
/* What one sees at a path. From mountinfo, which needs no node's answer, nor ours. */
static bool find_mounted(const char *path, struct mounted *ret) {
    struct buffer text = {0};
    int fd = mountinfo_open();
    bool found = mountinfo_read(fd, &text) && mountinfo_top((const char *)text.data, path, ret);
    buffer_release(&text);
    if (fd >= 0) {
        close(fd);
    }
    return found;
}

static bool is_mounted(const char *path) {
    struct mounted mounted;
    return find_mounted(path, &mounted) &&
           strncmp(mounted.type, FUSE_TYPE, sizeof FUSE_TYPE - 1) == 0;
}

/* The directory, made absolute. A mount whose process has died is cleared away. */
static int check_mountpoint(struct program *p) {
    const char *given = p->options.mountpoint;
    struct stat stat_now;
    if (stat(given, &stat_now) != 0 && errno == ENOTCONN) {
        fprintf(stderr, "ringfs: clearing a dead mount at %s\n", given);
        if (umount2(given, MNT_DETACH) != 0) {
            fprintf(stderr, "ringfs: it stays (%s): try fusermount3 -uz %s\n", strerror(errno),
                    given);
            return -1;
        }
    }
    if (realpath(given, p->mountpoint) == NULL || stat(p->mountpoint, &stat_now) != 0) {
        fprintf(stderr, "ringfs: cannot mount at %s: %s\n", given, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(stat_now.st_mode)) {
        fprintf(stderr, "ringfs: cannot mount at %s: it is not a directory\n", given);
        return -1;
    }
    if (is_mounted(p->mountpoint)) {
        fprintf(stderr, "ringfs: a ringfs is mounted at %s already: umount it first\n", given);
        return -1;
    }
    if (access("/dev/fuse", F_OK) != 0) {
        fprintf(stderr, "ringfs: there is no /dev/fuse: try modprobe fuse\n");
        return -1;
    }
    return 0;
}

/* The mount stands: nobody listens to stderr any more. */
static void leave_terminal(struct program *p) {
    if (p->log.starting) {
        p->log.starting = false;
        background_leave_terminal();
    }
}

/* Tells the starting process how it went. */
static void tell_parent(struct program *p, int exit_code) {
    if (p->parent < 0) {
        return;
    }
    if (exit_code == 0) {
        leave_terminal(p);
    }
    background_tell(p->parent, exit_code);
    p->parent = -1;
}

/* ---- the cluster ---- */
/* The directory of the tree that is to be mounted. */
static int find_root(struct program *p) {
    struct id128 directory;
    int status = namespace_resolve_directory(p->ns, p->options.subdir, &directory);
    if (status == 0) {
        inodes_set_root(&p->mount.inodes, &directory);
    } else {
        log_say(&p->log, 0, "the directory %.512s of the tree: %s", p->options.subdir,
                err_text(status));
    }
    return status;
}

static int watch_begin(void *self, struct bytes partition_key) {
    return client_watch_begin(self, partition_key);
}

static void watch_ended(void *self, struct bytes partition_key) {
    client_watch_end(self, partition_key);
}

static void row_changed(void *context, struct bytes partition_key, struct bytes sort_key) {
    struct program *p = context;
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1];
    if (namespace_watch_directory(partition_key, &directory)) {
        namespace_watch_name(sort_key, name);
        watch_told(&p->mount.inodes.watches, &directory, name);
    }
}

static void partition_live(void *context, struct bytes partition_key, bool live) {
    struct program *p = context;
    struct id128 directory;
    if (namespace_watch_directory(partition_key, &directory)) {
        watch_live(&p->mount.inodes.watches, &directory, live);
    }
}

static void partition_whole(void *context, struct bytes partition_key, bool whole) {
    struct program *p = context;
    struct id128 directory;
    if (namespace_watch_directory(partition_key, &directory)) {
        watch_whole(&p->mount.inodes.watches, &directory, whole);
    }
}

static bool watch_is_leased(void *self, struct bytes partition_key) {
    return client_watch_leased(self, partition_key);
}

/* Has the cluster tell of what changes in directories that are cached. */
static void start_watching(struct program *p) {
    struct client_watch_config config = {
        .changed = row_changed, .live = partition_live, .whole = partition_whole, .context = p};
    if (p->options.attributes_ns > 0) {
        p->watch = client_watch_new(session_client(p->session), &config);
        p->watcher = (struct watcher){p->watch, watch_begin, watch_ended, watch_is_leased};
    }
}

/* The replicas of a partition, numbered by who they are, not by the order of preference. */
static struct replica_set replicas_of(void *context, struct bytes partition_key) {
    const struct client *client = context;
    const struct ring *ring = client_ring(client);
    struct replica_set set = {0};
    if (ring == NULL) {
        return set;
    }
    const uint16_t *members = ring_preference(ring, ring_slice(ring, partition_key));
    for (set.n = 0; set.n < ring->n_replicas_held; set.n++) {
        uint32_t id = ring->members[members[set.n]].id;
        set.number += (id * id) * 2654435761u >> 8;
        set.n_alive += client_node_alive(client, (uint16_t)id);
    }
    return set;
}

/* The rows as the mount's mode has them. */
static void choose_store(struct program *p) {
    p->store = session_store(p->session);
    if (!p->options.strict) {
        p->available = (struct store_available){.inner = p->store,
                                                .now_ns = loop_now_ns,
                                                .clock = p->loop,
                                                .replicas = replicas_of,
                                                .context = session_client(p->session)};
        store_available_init(&p->available);
        p->store = &p->available.store;
    }
}

static int open_root(void *context) {
    struct program *p = context;
    int status = session_wait_ring(p->session);
    if (status != 0) {
        return status;
    }
    choose_store(p);
    status = namespace_open(p->store, &p->ns);
    if (status != 0) {
        return status;
    }
    p->report = (struct report){p->session, &p->mount, &p->options, p->mountpoint, &p->ops};
    start_watching(p);
    struct mount_config config = {
        .sync_nodes = sync_cluster,
        .nodes = p->session,
        .print_replicas = report_replicas,
        .replicas = &p->report,
        .survivor = p->survivor,
        .ns = p->ns,
        .store = p->store,
        .tasks = session_tasks(p->session),
        .now_ns = loop_now_ns,
        .clock = p->loop,
        .timeout_ns = p->options.hard ? HARD_TIMEOUT_NS : p->options.timeout_ns,
        .attributes_ns = p->options.attributes_ns,
        .watched_ns = WATCHED_NS,
        .names_ns = p->options.names_ns,
        .watcher = p->watch != NULL ? &p->watcher : NULL,
        .believes_at_open = p->options.nocto,
        .atime = p->options.strict_atime     ? ATIME_ALWAYS
                 : p->options.relative_atime ? ATIME_RELATIVE
                                             : ATIME_NEVER,
        .keep_ns = HOLDS_KEEP_NS,
        .hide_conflicts = p->options.hide_conflicts,
    };
    mount_init(&p->mount, &config);
    if (p->options.subdir != NULL) {
        status = find_root(p);
    }
    status = status != 0 ? status : mount_refresh(&p->mount, p->mount.inodes.root, MOUNT_READ_NOW);
    if (status != 0) {
        mount_release(&p->mount);
        namespace_close(p->ns);
        p->ns = NULL;
    }
    return status;
}

static int join_cluster(struct program *p) {
    struct session_config config = {
        .addresses = p->options.addresses,
        .key_file = p->options.key_file,
        .wait_ns = p->options.timeout_ns,
        .log = log_for,
        .context = p,
    };
    int status = session_new(p->loop, &config, &p->session);
    if (status != 0) {
        p->session = NULL;
        return status; /* the log has the sentence */
    }
    bool again = p->place != NULL && p->place->kernel_fd >= 0;
    do {
        int64_t deadline_ns = loop_now_ns(p->loop) + p->options.timeout_ns;
        status = session_run(p->session, open_root, p, deadline_ns);
        /* Who takes over waits for the cluster: there is a mount to keep. */
    } while (status != 0 && again && !p->ending);
    if (status != 0 && p->ns == NULL) {
        log_say(&p->log, 0, "the cluster at %.512s does not answer: %s%s", p->options.addresses,
                err_text(status),
                strstr(p->options.addresses, "tcp://") != NULL
                    ? " (nor would one that has another key)"
                    : "");
    }
    return status;
}

/* ---- the mount ---- */
static void ended(void *context) {
    struct program *p = context;
    loop_stop(p->loop);
}

/* The device of what is mounted at our directory; 0 when there is nothing. */
static dev_t find_device(const struct program *p) {
    struct mounted mounted;
    return find_mounted(p->mountpoint, &mounted) ? mounted.device : 0;
}

/* The kernel's own read-ahead for this mount; it cannot be asked for at mount time. */
static void raise_read_ahead(const struct program *p) {
    char path[96];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(p->device),
             minor(p->device));
    FILE *read_ahead = p->device != 0 ? fopen(path, "we") : NULL;
    if (read_ahead != NULL) {
        fprintf(read_ahead, "%d\n", READ_AHEAD_KB);
        fclose(read_ahead); /* not allowed to: the default serves too */
    }
}

/* The kernel has agreed. */
static void started(void *context) {
    struct program *p = context;
    const struct mount *mount = &p->mount;
    if (p->place != NULL && p->place->kernel_fd >= 0) {
        struct survivor_header *left = survivor_header(p->survivor);
        left->n_takeovers++;
        log_say(
            &p->log, 2,
            "took over: ringfs %s, worker %u, %u inodes, %u openings, %u of them with lost writes",
            RINGFS_VERSION, left->n_takeovers + 1, mount->inodes.n - 1, mount->handles.n,
            mount->n_losses);
    } else {
        log_say(&p->log, 2, "mounted %.512s at %s", p->options.source, p->mountpoint);
        p->device = find_device(p);
        raise_read_ahead(p);
        if (p->survivor != NULL) {
            survivor_header(p->survivor)->device = p->device;
        }
    }
    if (p->place != NULL) {
        supervisor_tell(p->place, ops_kernel_fd(p->ops));
    }
    tell_parent(p, 0);
    leave_terminal(p);
}

static void say_counters(struct program *p) {
    struct client_counters c;
    client_counters(session_client(p->session), &c);
    log_say(
        &p->log, 2,
        "answered=%llu asked=%llu sent=%llu received=%llu retries=%llu inodes=%u known=%u "
        "dirty_bytes=%llu removals=%u removals_failed=%llu writes_lost=%llu watched=%u told=%llu",
        (unsigned long long)ops_answered(p->ops), (unsigned long long)c.requests,
        (unsigned long long)c.messages_sent, (unsigned long long)c.messages_received,
        (unsigned long long)c.retries, p->mount.inodes.n, p->mount.inodes.n_known,
        (unsigned long long)p->mount.n_dirty_bytes, p->mount.n_removals,
        (unsigned long long)p->mount.n_removals_failed, (unsigned long long)p->mount.n_writes_lost,
        p->watch != NULL ? client_watch_n_live(p->watch) : 0,
        (unsigned long long)p->mount.inodes.watches.n_told);
}

static void caught(void *context, int number) {
    struct program *p = context;
    if (number == SIGHUP) {
        log_open(&p->log, p->options.log_file);
        if (p->ops != NULL) {
            watch_forget_all(&p->mount.inodes.watches);
        }
    } else if (number == SIGUSR1) {
        if (p->ops != NULL) {
            say_counters(p);
        }
    } else if (number == SIGUSR2) {
        p->handover = p->place != NULL;
        log_say(&p->log, 2, "caught %s: writing what is buffered and %s", strsignal(number),
                p->handover ? "handing over" : "going on: there is no supervisor");
        if (p->handover) {
            loop_stop(p->loop);
        }
    } else {
        p->ending = true;
        log_say(&p->log, 2, "caught %s: writing what is buffered and unmounting",
                strsignal(number));
        loop_stop(p->loop);
    }
}

static int start_sweeper(struct program *p) {
    int64_t every_ns = p->options.sweep_ns;
    if (every_ns > 0 && every_ns < SWEEP_HASTY_NS) {
        log_say(
            &p->log, 1,
            "sweep=%lld: blocks that other mounts are about to name could be taken for leftovers",
            (long long)(every_ns / 1000000000));
    }
    p->sweep =
        (struct sweep_cluster){&p->mount, p->session, p->options.timeout_ns, every_ns, log_for, p};
    return sweep_cluster_start(&p->sweep);
}

static int start_mount(struct program *p) {
    struct cluster_texts texts = report_texts(&p->report);
    cluster_files_init(&p->cluster, &p->mount, &texts);
    struct ops_config config = {
        .loop = p->loop,
        .mount = &p->mount,
        .cluster = &p->cluster,
        .mountpoint = p->mountpoint,
        .kernel_fd = p->place != NULL ? p->place->kernel_fd : -1,
        .device = p->survivor != NULL ? (dev_t)survivor_header(p->survivor)->device : 0,
        .kernel_options = (const char *)p->options.kernel.data,
        .debug = p->options.debug,
        .lease_ns = p->options.local_locks ? 0 : p->options.lease_ns,
        .log = log_for,
        .started = started,
        .ended = ended,
        .context = p,
    };
    int status = ops_start(&config, &p->ops);
    if (status != 0) {
        return status;
    }
    status = writeback_start(&p->mount);
    status = status != 0 ? status : holds_start(&p->mount);
    status = status != 0 ? status : capacity_start(&p->mount, p->session);
    return status != 0 || p->options.read_only ? status : start_sweeper(p);
}

static int drain(void *context) {
    struct program *p = context;
    /* Whoever unmounts does not wait for ever, hard or not. */
    p->mount.config.timeout_ns = p->options.timeout_ns;
    if (p->handover) {
        ops_hand_over(p->ops);
    }
    ops_wait_idle(p->ops, p->options.timeout_ns);
    int status = writeback_drain(&p->mount);
    if (p->handover) {
        locks_leave(&p->mount);
    } else {
        locks_end(&p->mount);
    }
    ops_close_all(p->ops);
    mount_stop_background(&p->mount);
    return status;
}

/* Serves until unmounted or told to end; answers the exit code. */
static int serve(struct program *p) {
    if (!p->ending) {
        loop_run(p->loop);
    }
    p->handover = p->handover && !p->ending && !ops_unmounted(p->ops);
    ops_pause(p->ops);
    int status = session_run(p->session, drain, p, 0);
    if (p->handover) {
        return SUPERVISOR_HANDOVER;
    }
    if (status != 0 || p->mount.n_writes_lost > 0) {
        log_say(&p->log, 0, "unmounted %s; buffered changes could not be written and are lost: %s",
                p->mountpoint, err_text(status != 0 ? status : ERR_IO));
        return EXIT_MOUNT;
    }
    log_say(&p->log, 2, "unmounted %s", p->mountpoint);
    return 0;
}

/* Lazily: programs that still use the mount see ENOTCONN. What somebody else has mounted there
 * meanwhile is left alone. */
static void unmount(void *context) {
    struct program *p = context;
    dev_t ours =
        p->memory != NULL ? (dev_t)((struct survivor_header *)p->memory)->device : p->device;
    if (find_device(p) != ours || umount2(p->mountpoint, MNT_DETACH) == 0 || errno != EPERM) {
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", p->mountpoint, (char *)NULL);
        _exit(EXIT_SYSTEM);
    }
    int status;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
}

static void stop_mount(struct program *p) {
    if (p->ops != NULL) {
        if (!p->handover && !ops_unmounted(p->ops)) {
            unmount(p);
        }
        ops_stop(p->ops);
    }
}

/* Serves; answers the exit code. */
static int run(struct program *p) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    p->loop = loop_new();
    p->heap = heap_keep(p->loop);
    signal(SIGPIPE, SIG_IGN);
    if (loop_on_signals(p->loop, signals, 5, caught, p) != 0) {
        return EXIT_SYSTEM;
    }
    int code = EXIT_MOUNT;
    if (join_cluster(p) == 0) {
        if (start_mount(p) == 0) {
            code = serve(p);
        } else {
            log_say(&p->log, 0, "cannot mount at %s%s", p->mountpoint,
                    geteuid() != 0 ? ": other users than root need fusermount3 and /dev/fuse" : "");
        }
        stop_mount(p);
        cluster_files_release(&p->cluster);
        locks_free(&p->mount);
        mount_release(&p->mount);
        namespace_close(p->ns);
    }
    if (p->watch != NULL) {
        client_watch_free(p->watch);
    }
    if (p->session != NULL) {
        session_free(p->session);
    }
    heap_free(p->heap);
    loop_free(p->loop);
    return code;
}

/* ---- under a supervisor ---- */
static int work(void *context, const struct workplace *place) {
    struct program *p = context;
    p->place = place;
    if (p->parent >= 0) {
        close(p->parent); /* the supervisor's to tell */
        p->parent = -1;
    }
    if (survivor_attach(p->memory, &p->survivor) != 0) {
        /* Of another version: what the kernel holds is ESTALE, but the mount goes on. */
        log_say(&p->log, 1, "what the last worker left is of another version and is given up");
        const struct survivor_header left = *(struct survivor_header *)p->memory;
        memset(p->memory, 0, survivor_size());
        struct survivor_header *header = p->memory;
        *header = left;
        header->magic = header->n_inodes = 0;
        if (survivor_attach(p->memory, &p->survivor) != 0) {
            return EXIT_SYSTEM;
        }
    }
    int code = run(p);
    survivor_detach(p->survivor);
    return code;
}

static void first_serves(void *context) {
    tell_parent(context, 0);
}

static void worker_ended(void *context, bool crashed) {
    struct program *p = context;
    ((struct survivor_header *)p->memory)->crashed = crashed;
}

static void reopen_log(void *context) {
    struct program *p = context;
    log_open(&p->log, p->options.log_file);
}

static void upgrade(void *context, int kernel_fd) {
    struct program *p = context;
    char value[64];
    snprintf(value, sizeof value, "%d,%d", kernel_fd, p->memory_fd);
    setenv(TAKEOVER_VARIABLE, value, 1);
    fcntl(kernel_fd, F_SETFD, 0);
    fcntl(p->memory_fd, F_SETFD, 0);
    log_say(&p->log, 2, "starting %s anew", p->program);
    execv(p->program, p->argv);
    log_say(&p->log, 0, "cannot start %s: %s; going on with what is running", p->program,
            strerror(errno));
    fcntl(kernel_fd, F_SETFD, FD_CLOEXEC);
    fcntl(p->memory_fd, F_SETFD, FD_CLOEXEC);
    unsetenv(TAKEOVER_VARIABLE);
}

/* Memory that workers share, one after the other. */
static int share_memory(struct program *p) {
    bool fresh = p->memory_fd < 0;
    if (fresh) {
        p->memory_fd = memfd_create("ringfs", MFD_CLOEXEC);
    }
    if (p->memory_fd < 0 || ftruncate(p->memory_fd, (off_t)survivor_size()) != 0) {
        log_say(&p->log, 0, "no memory to share: %s", strerror(errno));
        return -1;
    }
    p->memory = mmap(NULL, survivor_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                     p->memory_fd, 0);
    if (p->memory == MAP_FAILED) {
        log_say(&p->log, 0, "no memory to share: %s", strerror(errno));
        return -1;
    }
    struct survivor_header *header = p->memory;
    if (fresh) {
        memcpy(header->mountpoint, p->mountpoint, sizeof header->mountpoint);
        memcpy(header->directory, p->options.directory, sizeof header->directory);
    } else {
        memcpy(p->mountpoint, header->mountpoint, sizeof p->mountpoint);
        p->mountpoint[sizeof p->mountpoint - 1] = '\0';
    }
    return 0;
}

static int supervise(struct program *p, int kernel_fd) {
    struct supervisor_config config = {
        .kernel_fd = kernel_fd,
        .memory_fd = p->memory_fd,
        .work = work,
        .serving = first_serves,
        .upgrade = upgrade,
        .reopen_log = reopen_log,
        .ended = worker_ended,
        .unmount = unmount,
        .log = log_for,
        .context = p,
    };
    return supervisor_run(&config);
}

/* ---- the command ---- */
/* The descriptors of an older program whose mount this one goes on with. */
static bool taken_over(int *ret_kernel_fd, int *ret_memory_fd) {
    const char *value = getenv(TAKEOVER_VARIABLE);
    bool taken = value != NULL && sscanf(value, "%d,%d", ret_kernel_fd, ret_memory_fd) == 2 &&
                 fcntl(*ret_kernel_fd, F_SETFD, FD_CLOEXEC) == 0 &&
                 fcntl(*ret_memory_fd, F_SETFD, FD_CLOEXEC) == 0;
    unsetenv(TAKEOVER_VARIABLE);
    return taken;
}

static int go_on(struct program *p, int kernel_fd) {
    p->log.background = !p->options.foreground;
    if (share_memory(p) != 0) {
        return EXIT_SYSTEM;
    }
    options_resolve(&p->options, ((struct survivor_header *)p->memory)->directory);
    return log_open(&p->log, p->options.log_file) == 0 ? supervise(p, kernel_fd) : EXIT_SYSTEM;
}

static int begin(struct program *p) {
    char directory[PATH_MAX];
    if (check_mountpoint(p) != 0) {
        return EXIT_MOUNT;
    }
    options_resolve(&p->options, getcwd(directory, sizeof directory) != NULL ? directory : "/");
    if (!p->options.foreground) {
        p->parent = background_begin(EXIT_SYSTEM);
        p->log.background = p->log.starting = p->parent >= 0;
    }
    if ((!p->options.foreground && p->parent < 0) || log_open(&p->log, p->options.log_file) != 0) {
        return EXIT_SYSTEM;
    }
    if (!p->options.supervised) {
        return run(p);
    }
    return share_memory(p) == 0 ? supervise(p, -1) : EXIT_SYSTEM;
}

static void print_help(void) {
    struct buffer text = {0};
    options_help(&text);
    fputs((const char *)text.data, stdout);
    buffer_release(&text);
}

int main(int argc, char **argv) {
    static struct program program = {.parent = -1, .memory_fd = -1};
    struct program *p = &program;
    p->argv = argv;
    if (readlink("/proc/self/exe", p->program, sizeof p->program - 1) < 0) {
        p->program[0] = '\0';
    }
    switch (options_parse(argc, argv, geteuid() == 0, &p->options)) {
    case OPTIONS_HELP:
        print_help();
        return 0;
    case OPTIONS_VERSION:
        printf("ringfs %s\n", RINGFS_VERSION);
        return 0;
    case OPTIONS_ERROR:
        fprintf(stderr, "ringfs: %s\n", p->options.error);
        return EXIT_USAGE;
    case OPTIONS_RUN:
        break;
    }
    int code = 0;
    int kernel_fd = -1;
    prctl(PR_SET_NAME, "ringfs"); /* also when it is called mount.ringfs */
    if (taken_over(&kernel_fd, &p->memory_fd)) {
        code = go_on(p, kernel_fd);
    } else if (!p->options.fake) {
        code = begin(p);
    }
    tell_parent(p, code);
    options_release(&p->options);
    log_close(&p->log);
    return code;
}
