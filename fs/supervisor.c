/* supervisor: holds the connection with the kernel, and starts the process that serves it, again
 * and again. */
#include "fs/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SYSTEM = 2, EXIT_MOUNT = 32 };

struct supervisor {
    struct supervisor_config config;
    sigset_t signals;
    int signals_fd;
    int kernel_fd;
    int worker_fd; /* its messages; -1 = it has closed them */
    pid_t worker;
    bool served;    /* some worker did */
    bool ending;    /* SIGTERM came */
    bool upgrading; /* SIGUSR2 came */
    int n_short_lives;
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say(struct supervisor *s, int level, const char *line) {
    s->config.log(s->config.context, level, line);
}

/* ---- the worker's side ---- */
static void be_worker(struct supervisor *s, int to_supervisor) {
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NAME, "ringfs-worker");
    setpgid(0, 0); /* a terminal's ^C is for the supervisor to pass on */
    close(s->signals_fd);
    sigprocmask(SIG_UNBLOCK, &s->signals, NULL);
    if (getppid() != parent || parent == 1) {
        _exit(EXIT_SYSTEM);
    }
    struct workplace place = {s->kernel_fd, s->config.memory_fd, to_supervisor};
    int code = s->config.work(s->config.context, &place);
    fflush(NULL);
    _exit(code);
}

void supervisor_tell(const struct workplace *place, int kernel_fd) {
    char byte = 'S';
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &kernel_fd, sizeof kernel_fd);
    (void)!sendmsg(place->supervisor_fd, &message, MSG_NOSIGNAL);
}

/* ---- messages and signals ---- */
static void hear_worker(struct supervisor *s) {
    char byte;
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(s->worker_fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(s->worker_fd);
        s->worker_fd = -1;
    }
    if (header == NULL || header->cmsg_type != SCM_RIGHTS) {
        return;
    }
    int received;
    memcpy(&received, CMSG_DATA(header), sizeof received);
    if (s->kernel_fd >= 0) {
        close(received); /* it is the one that we have */
        return;
    }
    s->kernel_fd = received;
    s->served = true;
    s->config.serving(s->config.context);
}

static void caught(struct supervisor *s, int number) {
    switch (number) {
    case SIGTERM:
    case SIGINT:
        s->ending = true;
        number = SIGTERM;
        break;
    case SIGUSR2:
        s->upgrading = true;
        break;
    case SIGHUP:
        s->config.reopen_log(s->config.context);
        break;
    default:
        break;
    }
    if (number != SIGCHLD && s->worker > 0) {
        kill(s->worker, number);
    }
}

/* Waits for the next event, at most `wait_ms` (-1 = whatever it takes). */
static void attend(struct supervisor *s, int wait_ms) {
    struct pollfd fds[2] = {{.fd = s->signals_fd, .events = POLLIN},
                            {.fd = s->worker_fd, .events = POLLIN}};
    if (poll(fds, 2, wait_ms) <= 0) {
        return;
    }
    if (fds[1].revents != 0) {
        hear_worker(s);
    }
    struct signalfd_siginfo info;
    if (fds[0].revents != 0 && read(s->signals_fd, &info, sizeof info) == sizeof info) {
        caught(s, (int)info.ssi_signo);
    }
}

/* ---- lives ---- */
static bool start_worker(struct supervisor *s) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return false;
    }
    pid_t worker = fork();
    if (worker == 0) {
        close(ends[0]);
        be_worker(s, ends[1]);
    }
    close(ends[1]);
    if (worker < 0) {
        close(ends[0]);
        return false;
    }
    s->worker = worker;
    s->worker_fd = ends[0];
    return true;
}

/* One worker's life; answers as waitpid() does. */
static int watch_life(struct supervisor *s) {
    int status = 0;
    while (waitpid(s->worker, &status, WNOHANG) != s->worker) {
        attend(s, -1);
    }
    while (s->worker_fd >= 0) {
        hear_worker(s); /* what it said last */
    }
    s->worker = 0;
    return status;
}

static void say_end(struct supervisor *s, int status, int64_t lived_ms) {
    char line[160];
    if (WIFSIGNALED(status)) {
        snprintf(line, sizeof line, "the worker ended by signal %d (%s) after %lld ms",
                 WTERMSIG(status), strsignal(WTERMSIG(status)), (long long)lived_ms);
    } else {
        snprintf(line, sizeof line, "the worker ended with code %d after %lld ms",
                 WEXITSTATUS(status), (long long)lived_ms);
    }
    say(s, 0, line);
}

/* Lets the time before the next worker pass; false when there is to be none. */
static bool pause_before_next(struct supervisor *s, int64_t lived_ms) {
    s->n_short_lives = lived_ms < SUPERVISOR_SHORT_LIFE_MS ? s->n_short_lives + 1 : 0;
    if (s->n_short_lives >= SUPERVISOR_SHORT_LIVES_MAX) {
        say(s, 0, "workers end as soon as they begin: giving up and unmounting");
        return false;
    }
    int64_t pause_ms = SUPERVISOR_PAUSE_FIRST_MS;
    for (int i = 1; i < s->n_short_lives; i++) {
        pause_ms *= 2;
    }
    pause_ms = s->n_short_lives == 0 ? 0 : pause_ms;
    pause_ms = pause_ms < SUPERVISOR_PAUSE_MAX_MS ? pause_ms : SUPERVISOR_PAUSE_MAX_MS;
    int64_t end_ms = now_ms() + pause_ms;
    while (!s->ending && now_ms() < end_ms) {
        attend(s, (int)(end_ms - now_ms()));
    }
    return !s->ending;
}

/* Whether the mount ends with this worker, and then with which code. */
static bool is_last(struct supervisor *s, int status, int64_t lived_ms, int *ret_code) {
    bool exited = WIFEXITED(status) != 0;
    int code = exited ? WEXITSTATUS(status) : EXIT_SYSTEM;
    *ret_code = code;
    if (!s->served || (exited && (code == 0 || code == EXIT_MOUNT))) {
        return true;
    }
    *ret_code = EXIT_MOUNT;
    if (exited && code == SUPERVISOR_HANDOVER && !s->ending) {
        if (s->upgrading) {
            s->upgrading = false;
            s->config.upgrade(s->config.context, s->kernel_fd);
        }
        return false;
    }
    say_end(s, status, lived_ms);
    s->config.ended(s->config.context, exited || WTERMSIG(status) != SIGKILL);
    if (s->ending || !pause_before_next(s, lived_ms)) {
        s->config.unmount(s->config.context);
        return true;
    }
    return false;
}

static void block_signals(struct supervisor *s) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigemptyset(&s->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&s->signals, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &s->signals, NULL);
    s->signals_fd = signalfd(-1, &s->signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int supervisor_run(const struct supervisor_config *config) {
    struct supervisor s = {
        .config = *config, .kernel_fd = config->kernel_fd, .worker_fd = -1, .served = false};
    s.served = s.kernel_fd >= 0;
    block_signals(&s);
    int code = EXIT_SYSTEM;
    for (bool last = s.signals_fd < 0; !last;) {
        int64_t began_ms = now_ms();
        if (!start_worker(&s)) {
            say(&s, 0, "no process for a worker");
            last = !s.served || !pause_before_next(&s, 0);
            continue;
        }
        int status = watch_life(&s);
        last = is_last(&s, status, now_ms() - began_ms, &code);
    }
    if (s.kernel_fd >= 0) {
        close(s.kernel_fd);
    }
    return code;
}
