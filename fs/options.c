/* options: the command line of ringfs, also as mount(8) and fstab write it. */
#include "fs/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_MAX = 86400, NAME_MAX_SIZE = 64, SUGGESTION_DISTANCE_MAX = 3 };
#define SECOND_NS 1000000000ll
/* Shorter than two seconds, and a busy machine loses its locks; longer than an hour is for ever. */
enum { LEASE_SECONDS_MIN = 2, LEASE_SECONDS_MAX = 3600 };

/* What may follow -o and is ours. A new one is a line here and a field of struct options. */
enum kind {
    SECONDS, /* an int64_t, nanoseconds */
    PERIOD,  /* the same, at least a second, or "off", which is 0 */
    TEXT,    /* a char *, owned */
    ON,      /* a bool that becomes true */
    OFF,     /* a bool that becomes false */
    CHOICE,  /* a bool: the first word of `value` is false, the second true */
    ANYTHING /* a value that says nothing to us */
};

static const struct own_option {
    const char *name;
    enum kind kind;
    size_t field;
    const char *value; /* as the help calls it; NULL = takes none */
    const char *help;  /* NULL = not worth a line */
} own_options[] = {
#define FIELD(name) offsetof(struct options, name)
    {"soft", OFF, FIELD(hard), NULL,
     "what cannot be served within timeo= fails with EIO (default)"},
    {"hard", ON, FIELD(hard), NULL, "what cannot be served waits; signals interrupt it"},
    {"timeo", SECONDS, FIELD(timeout_ns), "SECONDS", "how long soft waits (10)"},
    {"attr_timeout", SECONDS, FIELD(attributes_ns), "SECONDS",
     "how long names and attributes may be cached (1)"},
    {"entry_timeout", SECONDS, FIELD(names_ns), "SECONDS",
     "how long the kernel holds names whose changes are told (10)"},
    {"locks", TEXT, FIELD(locks), "SCOPE",
     "flock and fcntl locks hold on all mounts (cluster, default), or on this one (local)"},
    {"lease", SECONDS, FIELD(lease_ns), "SECONDS",
     "when this mount has died its locks are freed after so long (15)"},
    {"cto", OFF, FIELD(nocto), NULL,
     "what was closed elsewhere is seen by the next open (default)"},
    {"nocto", ON, FIELD(nocto), NULL, "it is seen when it was told, ms later: opens cost nothing"},
    {"mode", CHOICE, FIELD(strict), "available|strict",
     "without a majority: go on where it loses nothing, or not"},
    {"conflicts", CHOICE, FIELD(hide_conflicts), "show|hide",
     "list what both sides of a partition wrote (show)"},
    {"sweep", PERIOD, FIELD(sweep_ns), "SECONDS|off",
     "how often one of all mounts removes what crashed ones left (86400)"},
    {"subdir", TEXT, FIELD(subdir), "PATH", "mount this directory of the tree, as :PATH does"},
    {"key_file", TEXT, FIELD(key_file), "FILE", "the cluster's key, needed for tcp://"},
    {"log_file", TEXT, FIELD(log_file), "FILE", "log there instead of syslog"},
    {"supervisor", ON, FIELD(supervised), NULL, "the mount survives its process (default)"},
    {"nosupervisor", OFF, FIELD(supervised), NULL, "it does not"},
    {"relatime", ON, FIELD(relative_atime), NULL,
     "note when a file was read, once after each change and once a day"},
    {"norelatime", OFF, FIELD(relative_atime), NULL, NULL},
    {"strictatime", ON, FIELD(strict_atime), NULL, "note each reading of a file"},
    {"nostrictatime", OFF, FIELD(strict_atime), NULL, NULL},
    {"ro", ON, FIELD(read_only), NULL, "mount read-only"},
    {"rw", OFF, FIELD(read_only), NULL, "mount for reading and writing (default)"},
    {"allow_other", ON, FIELD(allow_other), NULL, "other users may use it (default for root)"},
    {"noallow_other", OFF, FIELD(allow_other), NULL, "they may not"},
    {"fsname", TEXT, FIELD(fsname), "NAME", "the source in /proc/mounts (as it was given)"},
    {"subtype", ANYTHING, 0, "TYPE", NULL}, /* it is ringfs, whatever mount(8) says */
#undef FIELD
};

static const char *const kernel_options[] = {"dev",    "nodev", "suid",  "nosuid",  "exec",
                                             "noexec", "sync",  "async", "noatime", "dirsync"};

static const char *const ignored_options[] = {
    "defaults",   "auto",     "noauto",     "user",   "nouser",   "users",      "owner",
    "group",      "_netdev",  "nofail",     "atime",  "diratime", "nodiratime", "lazytime",
    "nolazytime", "iversion", "noiversion", "silent", "loud",     "mand",       "nomand",
};

static const char help_before[] =
    "Usage: ringfs ADDRESS[,ADDRESS...][:/PATH] DIRECTORY [OPTION]...\n"
    "Mounts a ringfs cluster, or a directory of it, at DIRECTORY. Any of its nodes'\n"
    "addresses will do: ipc:///path or tcp://host:port.\n"
    "\n"
    "  -o OPTION,...    options, see below\n"
    "  -f               stay in the foreground, log to stderr\n"
    "  -d               the same, and log every request\n"
    "  -h, --help       this text\n"
    "  -V, --version    the version\n"
    "\n";

static const char help_after[] =
    "  [no]dev, [no]suid, [no]exec, [a]sync, noatime, dirsync: as in mount(8); its other\n"
    "  generic options are accepted and ignored\n"
    "\n"
    "Called as mount.ringfs it takes mount(8)'s -o -f(ake) -n -r -s(loppy) -v -w -t -N.\n"
    "Unmount: umount DIRECTORY, or fusermount3 -u DIRECTORY.\n"
    "Exit: 0 mounted; 1 usage; 2 system error; 32 the mount failed.\n";

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
    if (o->sloppy) {
        return 0;
    }
    if (strlen(name) <= NAME_MAX_SIZE) {
        for (size_t i = 0; i < COUNT(own_options); i++) {
            nearest(name, &own_options[i].name, 1, &near, &far);
        }
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

static int parse_period(struct options *o, const char *name, const char *value, int64_t *ret_ns) {
    int64_t ns = 0;
    if (strcmp(value, "off") != 0 && (parse_seconds(o, name, value, &ns) != 0 || ns < SECOND_NS)) {
        snprintf(o->error, sizeof o->error, "-o %s=%.64s: a number of seconds, 1 to %d, or off",
                 name, value, SECONDS_MAX);
        return -1;
    }
    *ret_ns = ns;
    return 0;
}

static int parse_choice(struct options *o, const struct own_option *own, const char *value,
                        bool *ret) {
    size_t first = strcspn(own->value, "|");
    *ret = strcmp(value, own->value + first + 1) == 0;
    if (*ret || (strlen(value) == first && strncmp(value, own->value, first) == 0)) {
        return 0;
    }
    snprintf(o->error, sizeof o->error, "-o %s=%.64s: %s", own->name, value, own->value);
    return -1;
}

static void set_text(char **field, const char *value) {
    free(*field);
    *field = strdup(value);
}

/* `value` NULL = none. Commas in it are its own. */
static void for_kernel(struct options *o, const char *name, const char *value) {
    if (o->kernel.size > 0) {
        buffer_put_u8(&o->kernel, ',');
    }
    buffer_put(&o->kernel, name, strlen(name));
    if (value != NULL) {
        buffer_put_u8(&o->kernel, '=');
    }
    for (; value != NULL && *value != '\0'; value++) {
        if (*value == ',' || *value == '\\') {
            buffer_put_u8(&o->kernel, '\\');
        }
        buffer_put_u8(&o->kernel, (uint8_t)*value);
    }
}

static int own_option(struct options *o, const struct own_option *own, const char *value) {
    if ((own->value != NULL) != (value != NULL)) {
        snprintf(o->error, sizeof o->error, "-o %.64s %s", own->name,
                 value == NULL ? "needs a value" : "takes no value");
        return -1;
    }
    void *field = (char *)o + own->field;
    switch (own->kind) {
    case SECONDS:
        return parse_seconds(o, own->name, value, field);
    case PERIOD:
        return parse_period(o, own->name, value, field);
    case TEXT:
        set_text(field, value);
        break;
    case ON:
    case OFF:
        *(bool *)field = own->kind == ON;
        break;
    case CHOICE:
        return parse_choice(o, own, value, field);
    case ANYTHING:
        break;
    }
    return 0;
}

/* One NAME or NAME=VALUE, in place. */
static int one_option(struct options *o, char *text) {
    if (strncmp(text, "x-", 2) == 0 || strncmp(text, "X-", 2) == 0 ||
        strncmp(text, "comment=", 8) == 0 || text[0] == '\0') {
        return 0;
    }
    char *value = strchr(text, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    for (size_t i = 0; i < COUNT(own_options); i++) {
        if (strcmp(text, own_options[i].name) == 0) {
            return own_option(o, &own_options[i], value);
        }
    }
    if (is_among(text, kernel_options, COUNT(kernel_options))) {
        for_kernel(o, text, NULL);
        return 0;
    }
    return is_among(text, ignored_options, COUNT(ignored_options)) ? 0 : unknown_option(o, text);
}

static int option_list(struct options *o, const char *list) {
    char *copy = strdup(list);
    int status = 0;
    for (char *rest = copy, *one; status == 0 && (one = strsep(&rest, ",")) != NULL;) {
        status = one_option(o, one);
    }
    free(copy);
    return status;
}

static int usage_error(struct options *o, const char *text, const char *what) {
    snprintf(o->error, sizeof o->error, "%s%.64s; see ringfs --help", text, what);
    return OPTIONS_ERROR;
}

/* A flag of mount(8), given to mount.ringfs. False when it is none. */
static bool mount_flag(struct options *o, const char *a, int *at) {
    if (!o->by_mount || a[1] == '\0' || a[2] != '\0' || strchr("fnrsvwtN", a[1]) == NULL) {
        return false;
    }
    o->fake = o->fake || a[1] == 'f';
    o->sloppy = o->sloppy || a[1] == 's';
    if (a[1] == 'r' || a[1] == 'w') {
        o->read_only = a[1] == 'r';
    }
    *at += a[1] == 't' || a[1] == 'N'; /* their values are mount(8)'s own affair */
    return true;
}

/* A single argument that is no operand; *at moves on when it takes the next one too. */
static int dashed(struct options *o, int argc, char *const *argv, int *at) {
    const char *a = argv[*at];
    if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
        return OPTIONS_HELP;
    }
    if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0) {
        return OPTIONS_VERSION;
    }
    if (mount_flag(o, a, at)) {
        return OPTIONS_RUN;
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
    return option_list(o, list) == 0 ? OPTIONS_RUN : OPTIONS_ERROR;
}

/* ADDRESSES, or ADDRESSES:/PATH. The path begins at the last ":/" that is not a "://". */
static void source(struct options *o, const char *a) {
    set_text(&o->source, a);
    set_text(&o->addresses, a);
    for (size_t i = strlen(a); i-- > 0;) {
        if (a[i] == ':' && a[i + 1] == '/' && a[i + 2] != '/') {
            o->addresses[i] = '\0';
            if (o->subdir == NULL) {
                set_text(&o->subdir, a + i + 1);
            }
            return;
        }
    }
}

static int operand(struct options *o, const char *a) {
    if (o->addresses == NULL) {
        source(o, a);
    } else if (o->mountpoint == NULL) {
        o->mountpoint = a;
    } else {
        return usage_error(o, "one argument too many: ", a);
    }
    return OPTIONS_RUN;
}

static int parse_all(struct options *o, int argc, char *const *argv) {
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        int answer = OPTIONS_RUN;
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-') {
            answer = dashed(o, argc, argv, &i);
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

static int check_locks(struct options *o) {
    o->local_locks = o->locks != NULL && strcmp(o->locks, "local") == 0;
    if (o->locks != NULL && !o->local_locks && strcmp(o->locks, "cluster") != 0) {
        snprintf(o->error, sizeof o->error, "-o locks=%.64s: cluster or local", o->locks);
        return OPTIONS_ERROR;
    }
    if (o->lease_ns < LEASE_SECONDS_MIN * SECOND_NS ||
        o->lease_ns > LEASE_SECONDS_MAX * SECOND_NS) {
        snprintf(o->error, sizeof o->error, "-o lease=SECONDS: %d to %d", LEASE_SECONDS_MIN,
                 LEASE_SECONDS_MAX);
        return OPTIONS_ERROR;
    }
    return OPTIONS_RUN;
}

static bool called_by_mount(const char *program) {
    const char *slash = strrchr(program, '/');
    return strncmp(slash != NULL ? slash + 1 : program, "mount.", 6) == 0;
}

enum options_answer options_parse(int argc, char *const *argv, bool is_root, struct options *ret) {
    *ret = (struct options){
        .timeout_ns = 10 * SECOND_NS,
        .attributes_ns = SECOND_NS,
        .names_ns = 10 * SECOND_NS,
        .lease_ns = 15 * SECOND_NS,
        .sweep_ns = SECONDS_MAX * SECOND_NS,
        .allow_other = is_root,
        .supervised = true,
        .by_mount = called_by_mount(argv[0]),
    };
    int answer = parse_all(ret, argc, argv);
    if (answer == OPTIONS_RUN) {
        answer = check_locks(ret);
    }
    if (answer == OPTIONS_RUN) {
        for_kernel(ret, "default_permissions", NULL);
        for_kernel(ret, "subtype", "ringfs");
        for_kernel(ret, "fsname", ret->fsname != NULL ? ret->fsname : ret->source);
        if (ret->read_only) {
            for_kernel(ret, "ro", NULL);
        }
        if (ret->allow_other) {
            for_kernel(ret, "allow_other", NULL);
        }
        buffer_put_u8(&ret->kernel, '\0');
    }
    return (enum options_answer)answer;
}

static void make_absolute(char **path, const char *directory) {
    if (*path != NULL && (*path)[0] != '/') {
        size_t size = strlen(directory) + strlen(*path) + 2;
        char *absolute = memory_new(size, 1);
        snprintf(absolute, size, "%s/%s", directory, *path);
        free(*path);
        *path = absolute;
    }
}

void options_resolve(struct options *options, const char *directory) {
    snprintf(options->directory, sizeof options->directory, "%s", directory);
    make_absolute(&options->key_file, directory);
    make_absolute(&options->log_file, directory);
}

void options_release(struct options *options) {
    for (size_t i = 0; i < COUNT(own_options); i++) {
        if (own_options[i].kind == TEXT) {
            char **field = (char **)((char *)options + own_options[i].field);
            free(*field);
            *field = NULL;
        }
    }
    free(options->source);
    free(options->addresses);
    options->source = options->addresses = NULL;
    buffer_release(&options->kernel);
}

void options_help(struct buffer *into) {
    buffer_put(into, help_before, sizeof help_before - 1);
    for (size_t i = 0; i < COUNT(own_options); i++) {
        const struct own_option *own = &own_options[i];
        char name[NAME_MAX_SIZE], line[256];
        snprintf(name, sizeof name, "%s%s%s", own->name, own->value != NULL ? "=" : "",
                 own->value != NULL ? own->value : "");
        snprintf(line, sizeof line, "  %-21s %s\n", name, own->help);
        if (own->help != NULL) {
            buffer_put(into, line, strlen(line));
        }
    }
    buffer_put(into, help_after, sizeof help_after);
}
