/* main: the program ringfs: mounts a cluster at a directory and serves it until it is unmounted. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#undef BLOCK_SIZE /* the kernel's, through sys/mount.h; ours is of shared/record.h */

#include "fs/capacity.h"
#include "fs/locks.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/report.h"
#include "fs/writeback.h"
#include "shared/client_watch.h"
#include "shared/namespace_watch.h"
#include "shared/session.h"

/* As mount(8) passes them on. */
enum { EXIT_USAGE = 1, EXIT_SYSTEM = 2, EXIT_MOUNT = 32 };

enum { READ_AHEAD_KB = 1024 };

/* How long what the cluster tells changes of is believed: in case that something goes untold. */
#define WATCHED_NS 60000000000ll

/* How long an operation of a hard mount waits: as good as for ever. */
#define HARD_TIMEOUT_NS (20ll * 86400 * 1000000000)

struct program {
    struct options options;
    char mountpoint[PATH_MAX];
    struct loop *loop;
    struct session *session;
    struct client_watch *watch; /* NULL when nothing may be cached */
    struct watcher watcher;
    struct namespace *ns;
    struct mount mount;
    struct ops *ops;
    struct report report;
    struct cluster_files cluster;
    FILE *log_file; /* NULL: syslog when in the background, stderr before */
    bool background;
    int parent; /* the pipe on which the starting process waits; -1 = none does */
};

/* ---- log ---- */
static void log_line(void *context, int level, const char *line) {
    static const char *const names[] = {"error", "warning", "info"};
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO};
    struct program *p = context;
    level = level < 0 ? 0 : level > 2 ? 2 : level;
    /* Before the mount stands the user reads stderr, but wants to hear of failures only. */
    if (p->log_file == NULL && p->background && (p->parent < 0 || level == 2)) {
        syslog(priorities[level], "%s", line);
        return;
    }
    if (p->log_file == NULL) {
        fprintf(stderr, "ringfs: %s\n", line);
        return;
    }
    struct timespec now;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
    fprintf(p->log_file, "%s.%03ldZ %s %s\n", when, now.tv_nsec / 1000000, names[level], line);
    fflush(p->log_file);
    if (p->parent >= 0 && level == 0) {
        fprintf(stderr, "ringfs: %s\n", line); /* somebody waits for it */
    }
}

static void say(struct program *p, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct program *p, int level, const char *format, ...) {
    char line[PATH_MAX + 512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log_line(p, level, line);
}

/* ---- before ---- */
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
    if (access("/dev/fuse", F_OK) != 0) {
        fprintf(stderr, "ringfs: there is no /dev/fuse: try modprobe fuse\n");
        return -1;
    }
    return 0;
}

/* Opens the log, or opens it anew: after it was renamed away. */
static int open_log(struct program *p) {
    if (p->options.log_file == NULL) {
        return 0;
    }
    FILE *opened = fopen(p->options.log_file, "ae");
    if (opened == NULL) {
        say(p, 0, "cannot write %.512s: %s", p->options.log_file, strerror(errno));
        return -1;
    }
    if (p->log_file != NULL) {
        fclose(p->log_file);
    }
    p->log_file = opened;
    return 0;
}

/* Goes into the background: the starting process waits on a pipe until the mount stands and exits
 * with what it is told. Before any thread is made. Answers in the new process only. */
static int daemonize(struct program *p) {
    int ends[2];
    /* What the starting shell has open is not ours to hold open for days. */
    close_range(3, ~0u, 0);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "ringfs: no pipe: %s\n", strerror(errno));
        return -1;
    }
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "ringfs: no process: %s\n", strerror(errno));
        return -1;
    }
    if (child > 0) {
        close(ends[1]);
        unsigned char status = EXIT_SYSTEM; /* it died without a word */
        ssize_t n;
        do {
            n = read(ends[0], &status, 1);
        } while (n < 0 && errno == EINTR);
        _exit(status);
    }
    close(ends[0]);
    p->parent = ends[1];
    p->background = true;
    setsid();
    return 0;
}

/* Tells the starting process how it went; after success nobody listens to stderr any more. */
static void tell_parent(struct program *p, int exit_code) {
    if (p->parent < 0) {
        return;
    }
    if (exit_code == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd <= 2 && null >= 0; fd++) {
            dup2(null, fd);
        }
        if (null > 2) {
            close(null);
        }
        (void)!chdir("/");
    }
    unsigned char byte = (unsigned char)exit_code;
    (void)!write(p->parent, &byte, 1);
    close(p->parent);
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
        say(p, 0, "the directory %.512s of the tree: %s", p->options.subdir, err_text(status));
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

/* Has the cluster tell of what changes in directories that are cached. */
static void start_watching(struct program *p) {
    struct client_watch_config config = {
        .changed = row_changed, .live = partition_live, .context = p};
    if (p->options.attributes_ns > 0) {
        p->watch = client_watch_new(session_client(p->session), &config);
        p->watcher = (struct watcher){p->watch, watch_begin, watch_ended};
    }
}

static int open_root(void *context) {
    struct program *p = context;
    int status = session_wait_ring(p->session);
    if (status != 0) {
        return status;
    }
    status = namespace_open(session_store(p->session), &p->ns);
    if (status != 0) {
        return status;
    }
    p->report = (struct report){p->session, &p->mount, &p->options, p->mountpoint, &p->ops};
    start_watching(p);
    struct mount_config config = {
        .print_replicas = report_replicas,
        .replicas = &p->report,
        .ns = p->ns,
        .store = session_store(p->session),
        .tasks = session_tasks(p->session),
        .now_ns = loop_now_ns,
        .clock = p->loop,
        .timeout_ns = p->options.hard ? HARD_TIMEOUT_NS : p->options.timeout_ns,
        .attributes_ns = p->options.attributes_ns,
        .watched_ns = WATCHED_NS,
        .watcher = p->watch != NULL ? &p->watcher : NULL,
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
        .log = log_line,
        .context = p,
    };
    int status = session_new(p->loop, &config, &p->session);
    if (status != 0) {
        p->session = NULL;
        return status; /* the log has the sentence */
    }
    int64_t deadline_ns = loop_now_ns(p->loop) + p->options.timeout_ns;
    status = session_run(p->session, open_root, p, deadline_ns);
    if (status != 0 && p->ns == NULL) {
        say(p, 0, "the cluster at %.512s does not answer: %s", p->options.addresses,
            err_text(status));
    }
    return status;
}

/* ---- the mount ---- */
static void ended(void *context) {
    struct program *p = context;
    loop_stop(p->loop);
}

static void say_counters(struct program *p) {
    struct client_counters c;
    client_counters(session_client(p->session), &c);
    say(p, 2,
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
        open_log(p);
        if (p->ops != NULL) {
            watch_forget_all(&p->mount.inodes.watches);
        }
    } else if (number == SIGUSR1) {
        if (p->ops != NULL) {
            say_counters(p);
        }
    } else {
        say(p, 2, "caught %s: writing what is buffered and unmounting", strsignal(number));
        loop_stop(p->loop);
    }
}

/* The kernel's own read-ahead for this mount; it cannot be asked for at mount time. Looked up in
 * mountinfo: stat() would ask ourselves. */
static void raise_read_ahead(struct program *p) {
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[PATH_MAX + 512];
    unsigned major_number = 0, minor_number = 0;
    while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
        unsigned a, b;
        char where[PATH_MAX];
        if (sscanf(line, "%*s %*s %u:%u %*s %4095s", &a, &b, where) == 3 &&
            strcmp(where, p->mountpoint) == 0) {
            major_number = a;
            minor_number = b;
        }
    }
    if (mounts != NULL) {
        fclose(mounts);
    }
    char path[96];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major_number, minor_number);
    FILE *read_ahead = minor_number != 0 ? fopen(path, "we") : NULL;
    if (read_ahead != NULL) {
        fprintf(read_ahead, "%d\n", READ_AHEAD_KB);
        fclose(read_ahead); /* not allowed to: the default serves too */
    }
}

static int start_mount(struct program *p) {
    struct cluster_texts texts = report_texts(&p->report);
    cluster_files_init(&p->cluster, &p->mount, &texts);
    struct ops_config config = {
        .loop = p->loop,
        .mount = &p->mount,
        .cluster = &p->cluster,
        .mountpoint = p->mountpoint,
        .kernel_options = (const char *)p->options.kernel.data,
        .debug = p->options.debug,
        .lease_ns = p->options.local_locks ? 0 : p->options.lease_ns,
        .log = log_line,
        .ended = ended,
        .context = p,
    };
    int status = ops_start(&config, &p->ops);
    if (status != 0) {
        return status;
    }
    raise_read_ahead(p);
    status = writeback_start(&p->mount);
    return status != 0 ? status : capacity_start(&p->mount, p->session);
}

static int drain(void *context) {
    struct program *p = context;
    /* Whoever unmounts does not wait for ever, hard or not. */
    p->mount.config.timeout_ns = p->options.timeout_ns;
    ops_wait_idle(p->ops, p->options.timeout_ns);
    int status = writeback_drain(&p->mount);
    locks_end(&p->mount);
    ops_close_all(p->ops);
    mount_stop_background(&p->mount);
    return status;
}

/* Serves until unmounted or told to end; answers the exit code. */
static int serve(struct program *p) {
    say(p, 2, "mounted %.512s at %s", p->options.addresses, p->mountpoint);
    tell_parent(p, 0);
    loop_run(p->loop);
    ops_pause(p->ops);
    int status = session_run(p->session, drain, p, 0);
    if (status != 0 || p->mount.n_writes_lost > 0) {
        say(p, 0, "unmounted %s; buffered changes could not be written and are lost: %s",
            p->mountpoint, err_text(status != 0 ? status : ERR_IO));
        return EXIT_MOUNT;
    }
    say(p, 2, "unmounted %s", p->mountpoint);
    return 0;
}

static int run(struct program *p) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    p->loop = loop_new();
    signal(SIGPIPE, SIG_IGN);
    if (loop_on_signals(p->loop, signals, 4, caught, p) != 0) {
        return EXIT_SYSTEM;
    }
    int code = EXIT_MOUNT;
    if (join_cluster(p) == 0) {
        if (start_mount(p) == 0) {
            code = serve(p);
        } else {
            say(p, 0, "cannot mount at %s", p->mountpoint);
        }
        if (p->ops != NULL) {
            ops_stop(p->ops);
        }
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
    loop_free(p->loop);
    return code;
}

static void print_help(void) {
    struct buffer text = {0};
    options_help(&text);
    fputs((const char *)text.data, stdout);
    buffer_release(&text);
}

int main(int argc, char **argv) {
    static struct program program = {.parent = -1};
    struct program *p = &program;
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
    int code = EXIT_MOUNT;
    if (p->options.fake) {
        code = 0;
    } else if (check_mountpoint(p) == 0) {
        bool ready = (p->options.foreground || daemonize(p) == 0) && open_log(p) == 0;
        code = ready ? run(p) : EXIT_SYSTEM;
    }
    tell_parent(p, code);
    options_release(&p->options);
    if (p->log_file != NULL) {
        fclose(p->log_file);
    }
    return code;
}
