/* background: leaving the terminal, while the command that was typed waits to hear how it went. */
#include "fs/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void wait_and_exit(int from, int otherwise) {
    unsigned char status = (unsigned char)otherwise;
    ssize_t n;
    do {
        n = read(from, &status, 1);
    } while (n < 0 && errno == EINTR);
    _exit(status);
}

int background_begin(int otherwise) {
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
        wait_and_exit(ends[0], otherwise);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

void background_leave_terminal(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++) {
        dup2(null, fd);
    }
    if (null > 2) {
        close(null);
    }
    (void)!chdir("/");
}

void background_tell(int where, int exit_code) {
    unsigned char byte = (unsigned char)exit_code;
    (void)!write(where, &byte, 1);
    close(where);
}
