/* ringctl: the operator's and scripter's tool: options, the table of commands, one command run. */
#include "node/ringctl.h"

#include <stdio.h>
#include <string.h>

#include "node/ringctl_options.h"
#include "node/ringctl_store.h"

#define LEVEL_OPTION                                                                               \
    { "level", "LEVEL", "replicas that must answer: one, quorum (default), all", 0 }

static const struct ctl_option put_options[] = {
    {"context", "CONTEXT", "replace what CONTEXT has seen, stay beside what it has not", 0},
    {"blind", NULL, "replace nothing: stay beside every other version", 0},
    {"if-match", "CONTEXT", "only if CONTEXT has seen every version there is", 0},
    {"if-absent", NULL, "only if there is no such file", 0},
    LEVEL_OPTION,
    {0},
};
static const struct ctl_option get_options[] = {
    {"all", NULL, "the context and every version instead of the contents", 0},
    {"dot", "DOT", "the contents of the version with this dot", 0},
    {"strict", NULL, "what is read is the latest, whoever writes meanwhile; needs a majority", 0},
    LEVEL_OPTION,
    {0},
};
static const struct ctl_option del_options[] = {
    {"context", "CONTEXT", "delete what CONTEXT has seen, and nothing else", 0},
    {"if-match", "CONTEXT", "only if CONTEXT has seen every version there is", 0},
    LEVEL_OPTION,
    {0},
};
static const struct ctl_option resolve_options[] = {
    {"keep", "DOT", "the version that is to stay", 0},
    {"value", "VALUE", "the file's contents instead (- = standard input)", 0},
    {0},
};
static const struct ctl_option ls_options[] = {
    {"long", NULL, "mode, owner, group, size, time of change and name", 'l'},
    LEVEL_OPTION,
    {0},
};

static const struct ctl_option bench_options[] = {
    {"clients", "N", "how many at once, each waiting for its answer (default 8)", 0},
    {"seconds", "S", "how long (default 5)", 0},
    {"ops", "N", "how many requests in all, instead of --seconds", 0},
    {"size", "BYTES", "of a value, 24 to 1048576 (default 100)", 0},
    {"puts", "PERCENT", "of puts among the requests, the others are gets (default 100)", 0},
    {"rows", "N", "how many different rows (default 1000)", 0},
    {"prefix", "NAME", "of the rows' keys (default bench)", 0},
    {"synced", NULL, "on the disks of a write quorum before the answer", 0},
    {"strict", NULL, "conditional puts, strict reads", 0},
    {"journal", "FILE", "note every acknowledged write in a new FILE, check every read", 0},
    {"check", "FILE", "read back what a journal says was acknowledged", 0},
    {"race", "ROUNDS", "two clients, each ROUNDS times the first to write the same row, or not", 0},
    LEVEL_OPTION,
    {0},
};

static const struct ctl_option repair_options[] = {
    {"all", NULL, "everything", 0},
    {0},
};

static const struct ctl_option fsck_options[] = {
    {"repair", NULL, "repair what is found", 0},
    {"dry-run", NULL, "only tell (default)", 0},
    {"min-age", "AGE", "leave alone what changed later than this ago (default 1h)", 0},
    {0},
};

static const struct ctl_command commands[] = {
    {"put", "[OPTION]... PATH [VALUE|-]", "write a file",
     "The file at PATH becomes VALUE, byte for byte, or what standard input holds when VALUE is - "
     "or missing.\n"
     "Directories on the way must exist. Readers see the old file or the new one, nothing "
     "between.\n"
     "With an option the context of the new version is printed.",
     put_options, CTL_FILES, 1, 2, ctl_put},
    {"get", "[OPTION]... PATH", "print a file", "Writes the contents of PATH to standard output.",
     get_options, CTL_FILES, 1, 1, ctl_get},
    {"resolve", "PATH --keep DOT | --value VALUE", "make one version of several",
     "Fails with exit code 5 when the file has changed meanwhile.", resolve_options, CTL_FILES, 1,
     1, ctl_resolve},
    {"del", "[OPTION]... PATH", "remove a file or an empty directory", "", del_options, CTL_FILES,
     1, 1, ctl_del},
    {"ls", "[-l] [PATH]", "list a directory",
     "One name per line, directories with a slash; in the order of the ring's hash, not sorted.",
     ls_options, CTL_FILES, 0, 1, ctl_ls},
    {"stat", "PATH", "show what is known of a file", "", NULL, CTL_FILES, 1, 1, ctl_stat},
    {"conflicts", "ls [PATH] | show PATH | keep PATH N|all|winner",
     "find and resolve files that two sides wrote",
     "ls: every version below PATH that does not have its file's name. show: the versions of one "
     "file,\nnumbered. keep: the version N becomes the file and the others go; winner: the others "
     "go;\nall: each stays, as STEM.kept-NODE-NUMBER.EXT.",
     NULL, CTL_FILES, 1, 3, ctl_conflicts},
    {"where", "PATH", "show which nodes hold a path",
     "The slice that the path's entry falls into, and its preference list.", NULL, CTL_FILES, 1, 1,
     ctl_where},
    {"status", "", "show the nodes and what they count",
     "Exit 0 when every node answers, 1 when some do not, 4 when none does.", NULL, CTL_CLUSTER, 0,
     0, ctl_status},
    {"ring", "", "show the ring: members and the slices they own", "", NULL, CTL_CLUSTER, 0, 0,
     ctl_ring},
    {"bench", "[OPTION]...", "measure reads and writes of small rows, or check them",
     "Puts and gets rows of its own, which it removes at the end; with --journal they stay.\n"
     "Exit 1 when a request failed; with --journal when a read did not show what was "
     "acknowledged;\n"
     "with --check when an acknowledged write is missing; with --race unless each had one winner.",
     bench_options, CTL_NOTHING, 0, 0, ctl_bench},
    {"repair", "PATH | --all | status", "compare replicas and mend what differs, now",
     "Every node compares what it holds with the others': the slices of PATH, or all, or only "
     "tells "
     "how far it is.\n"
     "Shows the progress until it is done; interrupted, the nodes go on by themselves, as they do "
     "each\n"
     "30 s unasked. Exit 0 when all was compared and what differed was mended, 1 when not.",
     repair_options, CTL_CLUSTER, 0, 1, ctl_repair},
    {"verify", "", "compare every row of every replica, and tell which differ",
     "Keys and versions, not values. Rows that are being written are looked at twice.\n"
     "Exit 0 when all are equal, 1 when some differ, 2 when some node could not be compared.",
     NULL, CTL_CLUSTER, 0, 0, ctl_verify},
    {"fsck", "[--repair] [--min-age AGE] [PATH]",
     "look for what crashed clients left in the filesystem",
     "Reads all directories, or those below PATH, while the filesystem is in use; without PATH "
     "also looks\n"
     "for blocks and directories that have no name. --repair finishes what was begun, removes "
     "blocks\n"
     "without a name, and puts directories with files into /lost+found; it needs every node to "
     "answer.\n"
     "Interrupted, it is begun again without harm. Exit 0 when nothing wrong is left, 1 when "
     "something is.",
     fsck_options, CTL_FILES, 0, 1, ctl_fsck},
    {"hints", "", "show what nodes keep for others that are away",
     "Per node, and per replica that it keeps rows for: how many, bytes, age of the oldest, how "
     "many were\n"
     "dropped, and why the others are still there. Exit as of status.",
     NULL, CTL_CLUSTER, 0, 0, ctl_hints},
    {"keygen", "FILE", "make a cluster key",
     "Writes a new random key to FILE (mode 0600), which must not exist. Every node and client of "
     "a cluster\n"
     "on tcp:// needs the same key file.",
     NULL, CTL_NOTHING, 1, 1, ctl_keygen},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *to) {
    fputs("Usage: ringctl [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n", to);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(to, "  %-40s %s\n", usage, commands[i].summary);
    }
    fputs("\nOptions:\n"
          "  -c, --cluster ADDRESSES  nodes to ask first, separated by commas (default: "
          "$RINGFS_CLUSTER,\n"
          "                           else the cluster that mount.sh started)\n"
          "  -k, --key-file FILE      the cluster's key, for tcp:// (default: $RINGFS_KEY_FILE)\n"
          "  -t, --timeout SECONDS    give up after this long (default 10)\n"
          "  -j, --json               for programs to read, where there is something to tell\n"
          "  -h, --help               this text; after a command: its own\n"
          "  -V, --version\n"
          "\nExit: 0 done, 1 failed, 2 usage, 3 no such file, 4 cluster unreachable or too few "
          "replicas,\n5 a condition did not hold, 6 unknown whether it was done.\n",
          to);
}

/* What an error means, and for those of missing replicas, which. */
static void print_error(const struct ctl *ctl, int err) {
    char why[SHORTFALL_TEXT_MAX] = "";
    if (ctl->session != NULL &&
        (err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT)) {
        session_shortfall(ctl->session, why, sizeof why);
    }
    fputs(err_text(err), stderr);
    if (why[0] != '\0') {
        fprintf(stderr, " (%s)", why);
    }
}

int ctl_complain(const struct ctl *ctl, const char *what, const char *path, int err) {
    fprintf(stderr, "ringctl: %s %s: ", what, path);
    print_error(ctl, err);
    switch (err) {
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        fprintf(stderr, "; `ringctl status` shows which nodes answer at %s\n", ctl->addresses);
        return CTL_UNREACHABLE;
    case ERR_SIBLINGS:
        fprintf(stderr, "; `ringctl get --all %s` shows them, `ringctl resolve` keeps one\n", path);
        return CTL_FAILED;
    case ERR_UNKNOWN:
        fputs("; look at it before doing it again\n", stderr);
        return CTL_UNKNOWN;
    case ERR_CONFLICT:
    case ERR_EXISTS:
        fputc('\n', stderr);
        return CTL_CONFLICT;
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
    enum ctl_needs needs;
    int (*run)(struct ctl *ctl);
};

static int run_job(void *context) {
    struct job *job = context;
    struct ctl *ctl = job->ctl;
    int status = session_wait_ring(ctl->session);
    if (status == 0 && job->needs == CTL_FILES) {
        status = namespace_open(ctl->store, &ctl->ns);
    }
    if (status != 0) {
        fprintf(stderr, "ringctl: the cluster at %s: ", ctl->addresses);
        if (client_ring(session_client(ctl->session)) == NULL) {
            fputs("no node answers; is it running?", stderr);
        } else {
            print_error(ctl, status);
        }
        fputc('\n', stderr);
        return CTL_UNREACHABLE;
    }
    int exit_code = job->run(ctl);
    if (ctl->ns != NULL) {
        namespace_close(ctl->ns);
        ctl->ns = NULL;
    }
    return exit_code;
}

static void log_line(void *context, int level, const char *line) {
    (void)context;
    if (level == 0) {
        fprintf(stderr, "ringctl: %s\n", line);
    }
}

int ctl_run_session(struct ctl *ctl, enum ctl_needs needs, int (*run)(struct ctl *ctl)) {
    if (ctl->addresses == NULL) {
        return ctl_usage_error("which cluster? give --cluster ADDRESSES, or set RINGFS_CLUSTER, or "
                               "start one with mount.sh",
                               "");
    }
    struct session_config config = {
        .addresses = ctl->addresses,
        .key_file = ctl->key_file,
        .wait_ns = ctl->wait_ns,
        .log = log_line,
    };
    const char *word = ctl_option_if_any(ctl, "level");
    store_options level = LEVEL_QUORUM;
    if (word != NULL && ctl_level(word, &level) != 0) {
        return ctl_usage_error("--level is one, quorum or all, not", word);
    }
    ctl->loop = loop_new();
    int exit_code = CTL_USAGE;
    if (session_new(ctl->loop, &config, &ctl->session) == 0) {
        struct job job = {.ctl = ctl, .needs = needs, .run = run};
        struct ctl_store store;
        bool strict = ctl_option_if_any(ctl, "strict") != NULL;
        ctl_store_init(&store, session_store(ctl->session),
                       level | (strict ? (store_options)MESSAGE_STRICT : 0), level);
        ctl->store = &store.store;
        exit_code =
            session_run(ctl->session, run_job, &job, loop_now_ns(ctl->loop) + config.wait_ns);
        session_free(ctl->session);
    }
    loop_free(ctl->loop);
    return exit_code;
}

static int run_command(struct ctl *ctl) {
    const struct ctl_command *command = ctl->command;
    if (ctl->argc < command->arguments_min || ctl->argc > command->arguments_max) {
        fprintf(stderr, "ringctl: usage: ringctl %s %s\n", command->name, command->arguments);
        return CTL_USAGE;
    }
    if (command->needs == CTL_NOTHING) {
        return command->run(ctl);
    }
    int exit_code = ctl_run_session(ctl, command->needs, command->run);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("ringctl: standard output");
        return CTL_FAILED;
    }
    return exit_code;
}

static void print_help(const struct ctl_command *command) {
    printf("Usage: ringctl [OPTION]... %s %s\n\n%s.\n%s%s", command->name, command->arguments,
           command->summary, command->help, command->help[0] != '\0' ? "\n" : "");
    for (const struct ctl_option *o = command->options; o != NULL && o->name != NULL; o++) {
        char usage[64];
        char letter[] = {'-', o->letter, ',', ' ', '\0'};
        snprintf(usage, sizeof usage, "%s--%s%s%s", o->letter != 0 ? letter : "", o->name,
                 o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
        printf("%s  %-22s %s\n", o == command->options ? "\nOptions:\n" : "", usage, o->help);
    }
}

int main(int argc, char **argv) {
    struct options options;
    int at = 0;
    options_init(&options);
    int status = options_parse(argc, argv, &options, &at);
    if (status != CTL_DONE) {
        return status;
    }
    struct ctl ctl = {.command = at < argc ? find_command(argv[at]) : NULL};
    if (at < argc && ctl.command == NULL) {
        return ctl_usage_error("unknown command", argv[at]);
    }
    if (ctl.command != NULL) {
        status = options_parse_command(argc - at, argv + at, &options, &ctl);
    }
    if (status != CTL_DONE) {
        return status;
    }
    if (options.version) {
        puts("ringctl " RINGFS_VERSION);
        return CTL_DONE;
    }
    if (ctl.command == NULL) {
        print_usage(options.help ? stdout : stderr);
        return options.help ? CTL_DONE : CTL_USAGE;
    }
    if (options.help) {
        print_help(ctl.command);
        return CTL_DONE;
    }
    ctl.addresses = options.addresses != NULL ? options.addresses : options_local_cluster();
    ctl.key_file = options.key_file;
    ctl.wait_ns = (int64_t)options.timeout_s * 1000000000;
    ctl.json = options.json;
    return run_command(&ctl);
}
