/* descriptors: whether a process may write a file as its standard input, output or error. */
#include "fs/descriptors.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_NAME_MAX = 64 };

struct file {
    char path[FILE_NAME_MAX];
    const char *name; /* in `path` */
    int fd;
    uint64_t ino;
    int input; /* what was the standard input */
};

static int begin(void **state) {
    static struct file file;
    struct stat stat;
    strcpy(file.path, "/tmp/ringfs.descriptors.XXXXXX");
    file.fd = mkstemp(file.path);
    file.input = dup(0);
    if (file.fd < 0 || file.input < 0 || fstat(file.fd, &stat) != 0) {
        return -1;
    }
    file.name = strrchr(file.path, '/') + 1;
    file.ino = stat.st_ino;
    *state = &file;
    return 0;
}

static int end(void **state) {
    struct file *file = *state;
    dup2(file->input, 0);
    close(file->input);
    close(file->fd);
    unlink(file->path);
    return 0;
}

static bool have(const struct file *file) {
    return descriptors_have((uint32_t)getpid(), file->ino, file->name);
}

static void a_file_is_had_while_it_is_a_standard_descriptor(void **state) {
    struct file *file = *state;
    assert_false(have(file));
    dup2(file->fd, 0);
    assert_true(have(file));
    dup2(file->input, 0);
    assert_false(have(file));
}

static void also_when_its_name_is_gone(void **state) {
    struct file *file = *state;
    dup2(file->fd, 0);
    unlink(file->path);
    assert_true(have(file));
}

static void what_can_only_be_read_is_not_had(void **state) {
    struct file *file = *state;
    int fd = open(file->path, O_RDONLY);
    dup2(fd, 0);
    close(fd);
    assert_false(have(file));
}

static void another_number_name_or_process_is_not_had(void **state) {
    struct file *file = *state;
    dup2(file->fd, 0);
    assert_false(descriptors_have((uint32_t)getpid(), file->ino + 1, file->name));
    assert_false(descriptors_have((uint32_t)getpid(), file->ino, "another"));
    assert_false(descriptors_have(0, file->ino, file->name));
    assert_false(descriptors_have(UINT32_MAX, file->ino, file->name));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_had_while_it_is_a_standard_descriptor),
        CASE(also_when_its_name_is_gone),
        CASE(what_can_only_be_read_is_not_had),
        CASE(another_number_name_or_process_is_not_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
