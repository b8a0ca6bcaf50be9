/* disk_directory: see the header. */
#include "node/disk_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/err.h"

struct disk_directory {
    char *path;
    int lock_fd;
};

#define DAMAGED "damaged"

enum { PATH_MAX_HERE = DISK_PATH_MAX + 64, SUPERBLOCK_MAX = 512 };

__attribute__((format(printf, 2, 3))) static void say(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, DISK_WHY_MAX, format, arguments);
    va_end(arguments);
}

static void path_join(char path[PATH_MAX_HERE], const char *directory, const char *name) {
    snprintf(path, PATH_MAX_HERE, "%s/%s", directory, name);
}

static int write_synced(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ERR_IO;
    }
    size_t size = strlen(text);
    bool failed = write(fd, text, size) != (ssize_t)size || fsync(fd) != 0;
    failed = close(fd) != 0 || failed;
    return failed ? ERR_IO : 0;
}

static int directory_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    bool failed = fsync(fd) != 0;
    close(fd);
    return failed ? ERR_IO : 0;
}

int disk_file_write(const char *directory, const char *name, const char *text) {
    char path[PATH_MAX_HERE], new_path[PATH_MAX_HERE];
    path_join(path, directory, name);
    snprintf(new_path, sizeof new_path, "%s/%s.new", directory, name);
    if (write_synced(new_path, text) || rename(new_path, path) != 0) {
        return ERR_IO;
    }
    return directory_sync(directory);
}

/* The parent must exist: a typing error must not grow a tree. */
static int directory_make(const char *path, char why[DISK_WHY_MAX]) {
    if (strlen(path) > DISK_PATH_MAX) {
        say(why, "the data directory's path is longer than %d bytes: use a shorter one",
            DISK_PATH_MAX);
        return ERR_IO;
    }
    if (mkdir(path, 0700) == 0) {
        char parent[PATH_MAX_HERE];
        path_join(parent, path, "..");
        directory_sync(parent); /* fails where the parent may not be read: no reason to refuse */
        return 0;
    }
    struct stat st;
    if (errno != EEXIST) {
        say(why,
            "cannot make the data directory %s (%s): make its parent, or choose another with "
            "--data",
            path, strerror(errno));
        return ERR_IO;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        say(why, "%s is not a directory: choose another with --data", path);
        return ERR_IO;
    }
    return 0;
}

static void say_locked(const char *path, int fd, char why[DISK_WHY_MAX]) {
    char pid[24] = "";
    ssize_t size = pread(fd, pid, sizeof pid - 1, 0);
    pid[size > 0 ? strcspn(pid, "\n") : 0] = '\0';
    say(why,
        "the data directory %s is in use by another ringnode (process %s): stop that one first, or "
        "give this one a directory of its own",
        path, pid[0] ? pid : "unknown");
}

static int directory_lock(struct disk_directory *d, char why[DISK_WHY_MAX]) {
    char path[PATH_MAX_HERE];
    path_join(path, d->path, "lock");
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        say(why, "cannot open %s (%s): the data directory must be writable by this user", path,
            strerror(errno));
        return ERR_IO;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        say_locked(d->path, d->lock_fd, why);
        return ERR_IN_USE;
    }
    char pid[24];
    int size = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(d->lock_fd, 0) != 0 || pwrite(d->lock_fd, pid, (size_t)size, 0) != size) {
        say(why, "cannot write %s (%s)", path, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

/* Whether the directory holds anything but its lock and what a first start cut short left. */
static bool directory_used(const char *path) {
    DIR *dir = opendir(path);
    bool used = false;
    for (struct dirent *entry; dir && !used && (entry = readdir(dir));) {
        used = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
               strcmp(entry->d_name, "lock") != 0 && strcmp(entry->d_name, "superblock.new") != 0 &&
               strcmp(entry->d_name, DAMAGED) != 0 && strcmp(entry->d_name, "lost+found") != 0;
    }
    if (dir) {
        closedir(dir);
    }
    return used;
}

static int superblock_write(const char *path, const struct disk_identity *identity,
                            char why[DISK_WHY_MAX]) {
    char text[SUPERBLOCK_MAX];
    snprintf(text, sizeof text,
             "ringnode data directory: do not edit\nformat %d\nnode %" PRIu16
             "\ncluster %016" PRIx64 "\nslices %" PRIu16 "\nincarnation %" PRIu16 "\n",
             DISK_FORMAT, identity->node, identity->cluster, identity->slices,
             identity->incarnation);
    if (chmod(path, 0700) != 0 || disk_file_write(path, "superblock", text)) {
        say(why,
            "cannot write %s/superblock (%s): the directory must be this user's, and its disk "
            "not full",
            path, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int superblock_create(const char *path, struct disk_identity *identity,
                             char why[DISK_WHY_MAX]) {
    if (directory_used(path)) {
        say(why,
            "%s is not empty and has no superblock, so it is not a ringnode's data directory (or "
            "its superblock was lost): choose an empty one with --data",
            path);
        return ERR_EXISTS;
    }
    do {
        if (getrandom(&identity->incarnation, sizeof identity->incarnation, 0) < 0) {
            say(why, "the system gives no random numbers (%s)", strerror(errno));
            return ERR_IO;
        }
    } while (identity->incarnation == 0);
    return superblock_write(path, identity, why);
}

/* Reads the superblock into `text`. ERR_NOT_FOUND when there is none. */
static int superblock_read(const char *path, char text[SUPERBLOCK_MAX]) {
    char file[PATH_MAX_HERE];
    path_join(file, path, "superblock");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    ssize_t size = read(fd, text, SUPERBLOCK_MAX - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return size < 0 ? ERR_IO : 0;
}

/* Sets *ret_format, 0 when it cannot be told. */
static int superblock_verify(const char *path, const char *text, struct disk_identity *mine,
                             unsigned *ret_format, char why[DISK_WHY_MAX]) {
    unsigned format = 0;
    struct disk_identity found = {0};
    int n = sscanf(text,
                   "ringnode data directory: do not edit format %u node %" SCNu16
                   " cluster %" SCNx64 " slices %" SCNu16 " incarnation %" SCNu16,
                   &format, &found.node, &found.cluster, &found.slices, &found.incarnation);
    *ret_format = format;
    if (n >= 1 && (format < DISK_FORMAT_OLDEST || format > DISK_FORMAT)) {
        say(why,
            "%s was written in format %u, this ringnode knows format %d: use the version that "
            "wrote it",
            path, format, DISK_FORMAT);
        return ERR_EXISTS;
    }
    if (n != 5) {
        say(why,
            "%s/superblock is damaged: start once with --rebuild, which sets the directory's "
            "contents "
            "aside and fetches the rows from the other replicas",
            path);
        return ERR_CORRUPT;
    }
    if (found.node != mine->node) {
        say(why, "%s is the data directory of node %u, this is node %u: check --id and --data",
            path, found.node, mine->node);
        return ERR_EXISTS;
    }
    if (found.cluster != mine->cluster || found.slices != mine->slices) {
        say(why,
            "%s is the data directory of another cluster (%016" PRIx64
            " of %u slices, this one is %016" PRIx64
            " of %u): check --cluster, --slices and --data",
            path, found.cluster, found.slices, mine->cluster, mine->slices);
        return ERR_EXISTS;
    }
    mine->incarnation = found.incarnation;
    return 0;
}

static int superblock_check(const char *path, struct disk_identity *identity,
                            char why[DISK_WHY_MAX]) {
    char text[SUPERBLOCK_MAX];
    int status = superblock_read(path, text);
    if (status == ERR_NOT_FOUND) {
        return superblock_create(path, identity, why);
    }
    if (status) {
        say(why, "cannot read %s/superblock (%s)", path, strerror(errno));
        return ERR_IO;
    }
    unsigned format;
    status = superblock_verify(path, text, identity, &format, why);
    bool older = status == 0 && format < DISK_FORMAT;
    return older ? superblock_write(path, identity, why) : status;
}

int disk_directory_open(const char *path, struct disk_identity *identity,
                        struct disk_directory **ret, char why[DISK_WHY_MAX]) {
    int status = directory_make(path, why);
    if (status) {
        return status;
    }
    struct disk_directory *d = memory_new(1, sizeof *d);
    d->path = strdup(path);
    d->lock_fd = -1;
    status = directory_lock(d, why);
    if (!status) {
        status = superblock_check(path, identity, why);
    }
    if (status) {
        disk_directory_close(d);
        return status;
    }
    *ret = d;
    return 0;
}

void disk_directory_close(struct disk_directory *directory) {
    if (directory->lock_fd >= 0) {
        close(directory->lock_fd);
    }
    free(directory->path);
    free(directory);
}

const char *disk_directory_path(const struct disk_directory *directory) {
    return directory->path;
}

/* ---- setting aside ---- */

/* One that cannot be read or is damaged may be anybody's: it is what is to be set aside. */
static int aside_check(const char *path, const struct disk_identity *identity,
                       char why[DISK_WHY_MAX]) {
    char text[SUPERBLOCK_MAX];
    struct disk_identity mine = *identity;
    if (!directory_used(path)) {
        say(why, "%s holds no rows to set aside: start without --rebuild", path);
        return ERR_NOT_FOUND;
    }
    if (superblock_read(path, text) != 0) {
        return 0;
    }
    unsigned format;
    int status = superblock_verify(path, text, &mine, &format, why);
    return status == ERR_CORRUPT ? 0 : status;
}

static int aside_make(const char *path, char damaged[PATH_MAX_HERE], char why[DISK_WHY_MAX]) {
    path_join(damaged, path, DAMAGED);
    if (mkdir(damaged, 0700) == 0) {
        return 0;
    }
    if (errno == EEXIST) {
        say(why,
            "%s exists already, so this directory was rebuilt before: start without --rebuild; to "
            "rebuild it once more, move %s away first",
            damaged, damaged);
        return ERR_EXISTS;
    }
    say(why, "cannot make %s (%s)", damaged, strerror(errno));
    return ERR_IO;
}

/* The superblock first: what is left without one is not taken for a directory of a node, so that no
 * new rows are made under the old incarnation. */
static int aside_move(const char *path, const char *damaged, char why[DISK_WHY_MAX]) {
    char from[PATH_MAX_HERE + 256], to[PATH_MAX_HERE + 256];
    snprintf(from, sizeof from, "%s/superblock", path);
    snprintf(to, sizeof to, "%s/superblock", damaged);
    bool failed = (rename(from, to) != 0 && errno != ENOENT) || directory_sync(path);
    DIR *dir = opendir(path);
    failed = failed || dir == NULL;
    for (struct dirent *entry; !failed && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lock") == 0 ||
            strcmp(name, DAMAGED) == 0 || strcmp(name, "lost+found") == 0) {
            continue;
        }
        snprintf(from, sizeof from, "%s/%s", path, name);
        snprintf(to, sizeof to, "%s/%s", damaged, name);
        failed = rename(from, to) != 0;
    }
    if (dir) {
        closedir(dir);
    }
    if (failed || directory_sync(damaged) || directory_sync(path)) {
        say(why, "cannot move the contents of %s to %s (%s)", path, damaged, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

int disk_directory_set_aside(const char *path, const struct disk_identity *identity,
                             char why[DISK_WHY_MAX]) {
    char damaged[PATH_MAX_HERE];
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        say(why, "%s is no directory: there is nothing to set aside; start without --rebuild",
            path);
        return ERR_NOT_FOUND;
    }
    struct disk_directory d = {.path = strdup(path), .lock_fd = -1};
    int status = directory_lock(&d, why);
    status = status ? status : aside_check(path, identity, why);
    status = status ? status : aside_make(path, damaged, why);
    status = status ? status : aside_move(path, damaged, why);
    if (d.lock_fd >= 0) {
        close(d.lock_fd);
    }
    free(d.path);
    return status;
}
