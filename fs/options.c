/* options: the command line of ringfs, also as mount(8) and fstab write it. */
#include "fs/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_MAX = 86400, NAME_MAX_SIZE = 64, SUGGESTION_DISTANCE_MAX = 3 };
#define SECOND_NS 1000000000ll

const char options_help[] =
    "Usage: ringfs ADDRESS[,ADDRESS...] DIRECTORY [OPTION]...\n"
    "Mounts a ringfs cluster at DIRECTORY. Any of its nodes' addresses will do:\n"
    "ipc:///path or tcp://host:port.\n"
    "\n"
    "  -o OPTION,...    options, see below\n"
    "  -f               stay in the foreground, log to stderr\n"
    "  -d               the same, and log every request\n"
    "  -h, --help       this text\n"
    "  -V, --version    the version\n"
    "\n"
    "  timeo=SECONDS         an operation that cannot be served by then fails with EIO (10)\n"
    "  attr_timeout=SECONDS  how long names and attributes may be cached (1)\n"
    "  key_file=FILE         the cluster's key, needed for tcp://\n"
    "  log_file=FILE         log there instead of syslog\n"
    "  ro, rw                mount read-only, or not\n"
    "  allow_other           other users may use the mount (default for root)\n"
    "  noallow_other         they may not\n"
    "  fsname=NAME           the name in /proc/mounts (ringfs)\n"
    "  [no]dev, [no]suid, [no]exec, [a]sync, noatime, dirsync: as in mount(8); its other\n"
    "  generic options are accepted and ignored\n"
    "\n"
    "Unmount: umount DIRECTORY, or fusermount3 -u DIRECTORY.\n"
    "Exit: 0 mounted; 1 usage; 2 system error; 32 the mount failed.\n";

static const char *const kernel_options[] = {"dev",    "nodev", "suid",  "nosuid",  "exec",
                                             "noexec", "sync",  "async", "noatime", "dirsync"};

static const char *const ignored_options[] = {
    "defaults",   "auto",       "noauto",     "user",        "nouser",
    "users",      "owner",      "group",      "_netdev",     "nofail",
    "relatime",   "norelatime", "atime",      "strictatime", "diratime",
    "nodiratime", "lazytime",   "nolazytime", "iversion",    "noiversion",
    "silent",     "loud",       "mand",       "nomand",      "nostrictatime",
};

static const char *const own_options[] = {
    "timeo", "attr_timeout", "key_file",      "log_file", "ro",
    "rw",    "allow_other",  "noallow_other", "fsname",   "subtype",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_among(const char *name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance: letters to insert, delete or change. */
static size_t distance(const char *a, const char *b) {
    size_t row[NAME_MAX_SIZE + 1];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smallest(changed, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[n];
}

static void nearest(const char *name, const char *const *list, size_t n, const char **ret,
                    size_t *ret_distance) {
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, list[i]);
        if (d < *ret_distance) {
            *ret_distance = d;
            *ret = list[i];
        }
    }
}

static int unknown_option(struct options *o, const char *name) {
    const char *near = NULL;
    size_t far = SUGGESTION_DISTANCE_MAX + 1;
    if (strlen(name) <= NAME_MAX_SIZE) {
        nearest(name, own_options, COUNT(own_options), &near, &far);
        nearest(name, kernel_options, COUNT(kernel_options), &near, &far);
        nearest(name, ignored_options, COUNT(ignored_options), &near, &far);
    }
    if (near != NULL) {
        snprintf(o->error, sizeof o->error, "unknown option -o %.64s: did you mean %s?", name,
                 near);
    } else {
        snprintf(o->error, sizeof o->error, "unknown option -o %.64s", name);
    }
    return -1;
}

static int parse_seconds(struct options *o, const char *name, const char *value, int64_t *ret_ns) {
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= 0) || seconds > SECONDS_MAX) {
        snprintf(o->error, sizeof o->error, "-o %s=%.64s: a number of seconds, 0 to %d", name,
                 value, SECONDS_MAX);
        return -1;
    }
    *ret_ns = (int64_t)(seconds * (double)SECOND_NS);
    return 0;
}

static void set_text(char **field, const char *value) {
    free(*field);
    *field = strdup(value);
}

static void for_kernel(struct options *o, const char *name, const char *value) {
    if (o->kernel.size > 0) {
        buffer_put_u8(&o->kernel, ',');
    }
    buffer_put(&o->kernel, name, strlen(name));
    if (value != NULL) {
        buffer_put_u8(&o->kernel, '=');
        buffer_put(&o->kernel, value, strlen(value));
    }
}

/* What later options may still change, until all are known. */
struct undecided {
    bool allow_other;
    char *fsname;
};

static int own_option(struct options *o, struct undecided *u, const char *name, const char *value) {
    if (strcmp(name, "timeo") == 0) {
        return parse_seconds(o, name, value, &o->timeout_ns);
    }
    if (strcmp(name, "attr_timeout") == 0) {
        return parse_seconds(o, name, value, &o->attributes_ns);
    }
    if (strcmp(name, "key_file") == 0) {
        set_text(&o->key_file, value);
    } else if (strcmp(name, "log_file") == 0) {
        set_text(&o->log_file, value);
    } else if (strcmp(name, "fsname") == 0) {
        set_text(&u->fsname, value);
    } else if (strcmp(name, "ro") == 0 || strcmp(name, "rw") == 0) {
        o->read_only = name[1] == 'o';
    } else if (strcmp(name, "allow_other") == 0 || strcmp(name, "noallow_other") == 0) {
        u->allow_other = name[0] == 'a';
    } /* subtype: it is ringfs, whatever mount(8) says */
    return 0;
}

/* One NAME or NAME=VALUE, in place. */
static int one_option(struct options *o, struct undecided *u, char *text) {
    if (strncmp(text, "x-", 2) == 0 || strncmp(text, "comment=", 8) == 0 || text[0] == '\0') {
        return 0;
    }
    char *value = strchr(text, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    static const char *const valued[] = {"timeo",    "attr_timeout", "key_file",
                                         "log_file", "fsname",       "subtype"};
    if (is_among(text, own_options, COUNT(own_options))) {
        if (is_among(text, valued, COUNT(valued)) != (value != NULL)) {
            snprintf(o->error, sizeof o->error, "-o %.64s %s", text,
                     value == NULL ? "needs a value" : "takes no value");
            return -1;
        }
        return own_option(o, u, text, value);
    }
    if (is_among(text, kernel_options, COUNT(kernel_options))) {
        for_kernel(o, text, NULL);
        return 0;
    }
    return is_among(text, ignored_options, COUNT(ignored_options)) ? 0 : unknown_option(o, text);
}

static int option_list(struct options *o, struct undecided *u, const char *list) {
    char *copy = strdup(list);
    int status = 0;
    for (char *rest = copy, *one; status == 0 && (one = strsep(&rest, ",")) != NULL;) {
        status = one_option(o, u, one);
    }
    free(copy);
    return status;
}

static int usage_error(struct options *o, const char *text, const char *what) {
    snprintf(o->error, sizeof o->error, "%s%.64s; see ringfs --help", text, what);
    return OPTIONS_ERROR;
}

/* A single argument that is no operand; *at moves on when it takes the next one too. */
static int dashed(struct options *o, struct undecided *u, int argc, char *const *argv, int *at) {
    const char *a = argv[*at];
    if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
        return OPTIONS_HELP;
    }
    if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0) {
        return OPTIONS_VERSION;
    }
    if (strcmp(a, "-f") == 0 || strcmp(a, "-d") == 0) {
        o->foreground = true;
        o->debug = o->debug || a[1] == 'd';
        return OPTIONS_RUN;
    }
    if (strncmp(a, "-o", 2) != 0) {
        return usage_error(o, "unknown option ", a);
    }
    if (a[2] == '\0' && *at + 1 >= argc) {
        return usage_error(o, "-o needs a value", "");
    }
    const char *list = a[2] != '\0' ? a + 2 : argv[++*at];
    return option_list(o, u, list) == 0 ? OPTIONS_RUN : OPTIONS_ERROR;
}

static int operand(struct options *o, const char *a) {
    if (o->addresses == NULL) {
        o->addresses = a;
    } else if (o->mountpoint == NULL) {
        o->mountpoint = a;
    } else {
        return usage_error(o, "one argument too many: ", a);
    }
    return OPTIONS_RUN;
}

static int parse_all(struct options *o, struct undecided *u, int argc, char *const *argv) {
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        int answer = OPTIONS_RUN;
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-') {
            answer = dashed(o, u, argc, argv, &i);
        } else {
            answer = operand(o, argv[i]);
        }
        if (answer != OPTIONS_RUN) {
            return answer;
        }
    }
    if (o->addresses == NULL) {
        return usage_error(o, "which cluster? give a node's address", "");
    }
    return o->mountpoint == NULL ? usage_error(o, "where? give the directory to mount at", "")
                                 : OPTIONS_RUN;
}

enum options_answer options_parse(int argc, char *const *argv, bool is_root, struct options *ret) {
    *ret = (struct options){.timeout_ns = 10 * SECOND_NS, .attributes_ns = SECOND_NS};
    struct undecided undecided = {.allow_other = is_root};
    int answer = parse_all(ret, &undecided, argc, argv);
    if (answer == OPTIONS_RUN) {
        for_kernel(ret, "default_permissions", NULL);
        for_kernel(ret, "subtype", "ringfs");
        for_kernel(ret, "fsname", undecided.fsname != NULL ? undecided.fsname : "ringfs");
        if (ret->read_only) {
            for_kernel(ret, "ro", NULL);
        }
        if (undecided.allow_other) {
            for_kernel(ret, "allow_other", NULL);
        }
        buffer_put_u8(&ret->kernel, '\0');
    }
    free(undecided.fsname);
    return (enum options_answer)answer;
}

void options_release(struct options *options) {
    free(options->key_file);
    free(options->log_file);
    buffer_release(&options->kernel);
    options->key_file = options->log_file = NULL;
}
