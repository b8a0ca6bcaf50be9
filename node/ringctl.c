/* ringctl: the operator's and scripter's tool: options, the table of commands, one command run. */
#include "node/ringctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TIMEOUT_DEFAULT_S = 10, TIMEOUT_MAX_S = 3600, CLUSTER_FILE_MAX = 64 << 10 };

static const struct ctl_command commands[] = {
    {"put", "PATH [VALUE|-]", "write a file",
     "The file at PATH becomes VALUE, byte for byte, or what standard input holds when VALUE is - "
     "or missing.\n"
     "Directories on the way must exist. Readers see the old file or the new one, nothing between.",
     CTL_FILES, 1, 2, ctl_put},
    {"get", "PATH", "print a file", "Writes the contents of PATH to standard output.", CTL_FILES, 1,
     1, ctl_get},
    {"del", "PATH", "remove a file or an empty directory", "", CTL_FILES, 1, 1, ctl_del},
    {"ls", "[-l] [PATH]", "list a directory",
     "One name per line, directories with a slash; in the order of the ring's hash, not sorted.\n"
     "  -l    mode, owner, group, size, time of change and name",
     CTL_FILES, 0, 1, ctl_ls},
    {"stat", "PATH", "show what is known of a file", "", CTL_FILES, 1, 1, ctl_stat},
    {"where", "PATH", "show which nodes hold a path",
     "The slice that the path's entry falls into, and its preference list.", CTL_FILES, 1, 1,
     ctl_where},
    {"status", "", "show the nodes and what they count",
     "Exit 0 when every node answers, 1 when some do not, 4 when none does.", CTL_CLUSTER, 0, 0,
     ctl_status},
    {"ring", "", "show the ring: members and the slices they own", "", CTL_CLUSTER, 0, 0, ctl_ring},
    {"keygen", "FILE", "make a cluster key",
     "Writes a new random key to FILE (mode 0600), which must not exist. Every node and client of "
     "a cluster\n"
     "on tcp:// needs the same key file.",
     CTL_NOTHING, 1, 1, ctl_keygen},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *to) {
    fputs("Usage: ringctl [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n", to);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(to, "  %-20s %s\n", usage, commands[i].summary);
    }
    fputs("\nOptions:\n"
          "  -c, --cluster ADDRESSES  nodes to ask first, separated by commas (default: "
          "$RINGFS_CLUSTER,\n"
          "                           else the cluster that mount.sh started)\n"
          "  -k, --key-file FILE      the cluster's key, for tcp:// (default: $RINGFS_KEY_FILE)\n"
          "  -t, --timeout SECONDS    give up after this long (default 10)\n"
          "  -j, --json               status, ring, where, stat, ls: for programs to read\n"
          "  -h, --help               this text; after a command: its own\n"
          "  -V, --version\n"
          "\nExit: 0 done, 1 failed, 2 usage, 3 no such file, 4 cluster unreachable or too few "
          "replicas.\n",
          to);
}

static int usage_error(const char *what, const char *which) {
    fprintf(stderr, "ringctl: %s%s%s; see ringctl --help\n", what, which[0] != '\0' ? " " : "",
            which);
    return CTL_USAGE;
}

int ctl_complain(const struct ctl *ctl, const char *what, const char *path, int err) {
    fprintf(stderr, "ringctl: %s %s: %s", what, path, err_text(err));
    switch (err) {
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        fprintf(stderr, "; `ringctl status` shows which nodes answer at %s\n", ctl->addresses);
        return CTL_UNREACHABLE;
    case ERR_UNKNOWN:
        fputs("; look at it before doing it again\n", stderr);
        return CTL_FAILED;
    case ERR_NOT_FOUND:
    case ERR_NO_ENTRY:
        fputc('\n', stderr);
        return CTL_NOT_FOUND;
    default:
        fputc('\n', stderr);
        return CTL_FAILED;
    }
}

void ctl_print_json(json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

/* ---- options ------------------------------------------------------------------------------------
 */

struct options {
    const char *addresses;
    const char *key_file;
    long timeout_s;
    bool json;
    bool detail;
    bool help;
};

static char cluster_file[CLUSTER_FILE_MAX];

/* The addresses that mount.sh left in the user's state directory; NULL when there are none. */
static const char *local_cluster(void) {
    const char *state = getenv("RINGFS_STATE");
    const char *base = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char path[4096];
    if (state != NULL) {
        snprintf(path, sizeof path, "%s/cluster", state);
    } else if (base != NULL) {
        snprintf(path, sizeof path, "%s/ringfs/cluster", base);
    } else {
        snprintf(path, sizeof path, "%s/.local/state/ringfs/cluster",
                 home != NULL ? home : "/root");
    }
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return NULL;
    }
    size_t size = fread(cluster_file, 1, sizeof cluster_file - 1, f);
    fclose(f);
    cluster_file[size] = '\0';
    /* One address per line; shown in messages as it would be written on a command line. */
    while (size > 0 && strchr(" \n", cluster_file[size - 1]) != NULL) {
        cluster_file[--size] = '\0';
    }
    for (size_t i = 0; i < size; i++) {
        cluster_file[i] = cluster_file[i] == '\n' ? ',' : cluster_file[i];
    }
    return size > 0 ? cluster_file : NULL;
}

static int parse_timeout(const char *text, long *ret) {
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > TIMEOUT_MAX_S) {
        return usage_error("--timeout takes seconds from 1 to 3600, not", text);
    }
    *ret = value;
    return CTL_DONE;
}

/* CTL_DONE, or the exit code; -1 = exit 0 at once (version). */
static int parse_options(int argc, char **argv, struct options *ret) {
    static const struct option long_options[] = {{"cluster", required_argument, NULL, 'c'},
                                                 {"key-file", required_argument, NULL, 'k'},
                                                 {"timeout", required_argument, NULL, 't'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {"version", no_argument, NULL, 'V'},
                                                 {NULL, 0, NULL, 0}};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":c:k:t:jlhV", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            ret->addresses = optarg;
            break;
        case 'k':
            ret->key_file = optarg;
            break;
        case 't':
            if (parse_timeout(optarg, &ret->timeout_s) != CTL_DONE) {
                return CTL_USAGE;
            }
            break;
        case 'j':
            ret->json = true;
            break;
        case 'l':
            ret->detail = true;
            break;
        case 'h':
            ret->help = true;
            break;
        case 'V':
            puts("ringctl " RINGFS_VERSION);
            return -1;
        case ':':
            return usage_error("an option needs a value:", argv[optind - 1]);
        default:
            return usage_error("unknown option", argv[optind - 1]);
        }
    }
    return CTL_DONE;
}

static const struct ctl_command *find_command(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* ---- one command --------------------------------------------------------------------------------
 */

struct job {
    struct ctl *ctl;
    const struct ctl_command *command;
};

static int run_job(void *context) {
    struct job *job = context;
    struct ctl *ctl = job->ctl;
    int status = session_wait_ring(ctl->session);
    if (status == 0 && job->command->needs == CTL_FILES) {
        status = namespace_open(session_store(ctl->session), &ctl->ns);
    }
    if (status != 0) {
        fprintf(stderr, "ringctl: the cluster at %s: %s\n", ctl->addresses,
                status == ERR_TIMEOUT ? "no node answers; is it running?" : err_text(status));
        return CTL_UNREACHABLE;
    }
    int exit_code = job->command->run(ctl);
    if (ctl->ns != NULL) {
        namespace_close(ctl->ns);
    }
    return exit_code;
}

static void log_line(void *context, int level, const char *line) {
    (void)context;
    if (level == 0) {
        fprintf(stderr, "ringctl: %s\n", line);
    }
}

static int run_with_session(struct ctl *ctl, const struct ctl_command *command,
                            const struct options *options) {
    struct loop *loop = loop_new();
    struct session_config config = {
        .addresses = options->addresses,
        .key_file = options->key_file,
        .wait_ns = (int64_t)options->timeout_s * 1000000000,
        .log = log_line,
    };
    int exit_code = CTL_USAGE;
    if (session_new(loop, &config, &ctl->session) == 0) {
        struct job job = {.ctl = ctl, .command = command};
        exit_code = session_run(ctl->session, run_job, &job, loop_now_ns(loop) + config.wait_ns);
        session_free(ctl->session);
    }
    loop_free(loop);
    return exit_code;
}

static int run_command(const struct ctl_command *command, const struct options *options, int argc,
                       char **argv) {
    struct ctl ctl = {
        .addresses = options->addresses,
        .json = options->json,
        .detail = options->detail,
        .argc = argc,
        .argv = argv,
    };
    if (argc < command->arguments_min || argc > command->arguments_max) {
        fprintf(stderr, "ringctl: usage: ringctl %s %s\n", command->name, command->arguments);
        return CTL_USAGE;
    }
    if (command->needs == CTL_NOTHING) {
        return command->run(&ctl);
    }
    if (options->addresses == NULL) {
        return usage_error("which cluster? give --cluster ADDRESSES, or set RINGFS_CLUSTER, or "
                           "start one with mount.sh",
                           "");
    }
    int exit_code = run_with_session(&ctl, command, options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ringctl: standard output");
        return CTL_FAILED;
    }
    return exit_code;
}

int main(int argc, char **argv) {
    struct options options = {.addresses = getenv("RINGFS_CLUSTER"),
                              .key_file = getenv("RINGFS_KEY_FILE"),
                              .timeout_s = TIMEOUT_DEFAULT_S};
    int status = parse_options(argc, argv, &options);
    if (status != CTL_DONE) {
        return status == -1 ? CTL_DONE : status;
    }
    if (options.addresses == NULL) {
        options.addresses = local_cluster();
    }
    if (optind == argc) {
        print_usage(options.help ? stdout : stderr);
        return options.help ? CTL_DONE : CTL_USAGE;
    }
    const struct ctl_command *command = find_command(argv[optind]);
    if (command == NULL) {
        return usage_error("unknown command", argv[optind]);
    }
    if (options.help) {
        printf("Usage: ringctl [OPTION]... %s %s\n\n%s.\n%s%s", command->name, command->arguments,
               command->summary, command->help, command->help[0] != '\0' ? "\n" : "");
        return CTL_DONE;
    }
    return run_command(command, &options, argc - optind - 1, argv + optind + 1);
}
