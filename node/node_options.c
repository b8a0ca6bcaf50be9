/* node_options: see the header. One table serves the command line, the file and the help. */
#include "node/node_options.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "shared/address.h"
#include "shared/bytes.h"
#include "shared/err.h"
#include "shared/seal.h"

enum {
    SENTENCE_MAX = 1024,
    HELP_COLUMN = 30,
    ROW_FIRST = 256, /* getopt's number of the table's first row */
    MIB = 1 << 20,
    MIB_MAX = 1 << 20, /* of an option in MiB: a TiB */
    SPIN_US_MAX = 1000,
};

__attribute__((format(printf, 2, 3))) static int refuse(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, SENTENCE_MAX, format, arguments);
    va_end(arguments);
    return ERR_INVALID;
}

/* ---- one value at a time: 0, or ERR_INVALID with a sentence ---- */

static int number_read(const char *text, long long min, long long max, long long *ret, char *why) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || text[0] == ' ' || value < min || value > max) {
        return refuse(why, "needs a number from %lld to %lld, not \"%.100s\"", min, max, text);
    }
    *ret = value;
    return 0;
}

static int u16_read(const char *text, long long min, long long max, uint16_t *ret, char *why) {
    long long value = 0;
    if (number_read(text, min, max, &value, why)) {
        return ERR_INVALID;
    }
    *ret = (uint16_t)value;
    return 0;
}

static int u8_read(const char *text, long long min, long long max, uint8_t *ret, char *why) {
    uint16_t value = 0;
    if (u16_read(text, min, max, &value, why)) {
        return ERR_INVALID;
    }
    *ret = (uint8_t)value;
    return 0;
}

static int mib_read(const char *text, uint64_t *ret_bytes, char *why) {
    long long mib = 0;
    if (number_read(text, 1, MIB_MAX, &mib, why)) {
        return ERR_INVALID;
    }
    *ret_bytes = (uint64_t)mib * MIB;
    return 0;
}

static int path_read(const char *text, char ret[NODE_OPTIONS_PATH_MAX], char *why) {
    size_t size = strlen(text);
    if (size == 0 || size >= NODE_OPTIONS_PATH_MAX) {
        return refuse(why, "needs a path of 1 to %d bytes", NODE_OPTIONS_PATH_MAX - 1);
    }
    memcpy(ret, text, size + 1);
    return 0;
}

static int set_id(struct node_options *o, const char *text, char *why) {
    return u16_read(text, 1, UINT16_MAX, &o->id, why);
}

static int set_data(struct node_options *o, const char *text, char *why) {
    return path_read(text, o->data, why);
}

static int set_listen(struct node_options *o, const char *text, char *why) {
    const char *wrong = NULL;
    if (address_check(text, &wrong)) {
        return refuse(why, "\"%.200s\": %s", text, wrong);
    }
    strcpy(o->listen, text);
    return 0;
}

static int set_member(struct node_options *o, const char *text, char *why) {
    const char *wrong = NULL;
    if (o->n_members == RING_MEMBERS_MAX) {
        return refuse(why, "a cluster has %d members at most", RING_MEMBERS_MAX);
    }
    if (member_parse(text, &o->members[o->n_members], &wrong)) {
        return refuse(why, "\"%.200s\": %s", text, wrong);
    }
    o->n_members++;
    return 0;
}

/* Members separated by spaces or semicolons. */
static int set_join(struct node_options *o, const char *text, char *why) {
    char *copy = strdup(text), *rest = NULL;
    int status = 0;
    for (char *one = strtok_r(copy, " ;\t", &rest); one && !status;
         one = strtok_r(NULL, " ;\t", &rest)) {
        status = set_member(o, one, why);
    }
    free(copy);
    return status;
}

static int set_cluster(struct node_options *o, const char *text, char *why) {
    size_t size = strlen(text);
    if (size == 0 || size >= NODE_OPTIONS_NAME_MAX) {
        return refuse(why, "needs a name of 1 to %d bytes", NODE_OPTIONS_NAME_MAX - 1);
    }
    memcpy(o->cluster, text, size + 1);
    return 0;
}

static int set_replicas(struct node_options *o, const char *text, char *why) {
    return u16_read(text, 1, RING_REPLICAS_MAX, &o->n_replicas, why);
}

static int set_read_quorum(struct node_options *o, const char *text, char *why) {
    return u8_read(text, 1, RING_REPLICAS_MAX, &o->read_quorum, why);
}

static int set_write_quorum(struct node_options *o, const char *text, char *why) {
    return u8_read(text, 1, RING_REPLICAS_MAX, &o->write_quorum, why);
}

static int set_slices(struct node_options *o, const char *text, char *why) {
    return u16_read(text, RING_SLICES_MIN, RING_SLICES_MAX, &o->n_slices, why);
}

static int set_key_file(struct node_options *o, const char *text, char *why) {
    return path_read(text, o->key_file, why);
}

static int set_reserve(struct node_options *o, const char *text, char *why) {
    return mib_read(text, &o->reserve_bytes, why);
}

static int set_hints(struct node_options *o, const char *text, char *why) {
    return mib_read(text, &o->hint_bytes, why);
}

static int set_spin(struct node_options *o, const char *text, char *why) {
    long long us = 0;
    if (number_read(text, 0, SPIN_US_MAX, &us, why)) {
        return ERR_INVALID;
    }
    o->spin_us = (uint32_t)us;
    return 0;
}

static int set_pid_file(struct node_options *o, const char *text, char *why) {
    return path_read(text, o->pid_file, why);
}

static int set_log_file(struct node_options *o, const char *text, char *why) {
    return path_read(text, o->log_file, why);
}

static int set_config(struct node_options *o, const char *text, char *why) {
    return path_read(text, o->config, why);
}

static int set_rebuild(struct node_options *o, const char *text, char *why) {
    (void)text, (void)why;
    o->rebuild = true;
    return 0;
}

static int set_trust_disk(struct node_options *o, const char *text, char *why) {
    (void)text, (void)why;
    o->trust_disk = true;
    return 0;
}

static int set_check(struct node_options *o, const char *text, char *why) {
    (void)text, (void)why;
    o->check_config = true;
    return 0;
}

/* ---- the table ---- */

struct row {
    const char *name;
    const char *value; /* what it takes, for the help; NULL = nothing */
    int (*set)(struct node_options *o, const char *text, char *why); /* NULL: see action */
    bool command_line_only;
    enum node_options_action action;
    const char *help;
};

static const struct row table[] = {
    {"id", "N", set_id, false, 0, "this node's number, 1 to 65535, unique in the cluster"},
    {"data", "DIR", set_data, false, 0, "its data directory, made if need be"},
    {"listen", "ADDRESS", set_listen, false, 0,
     "ipc:///PATH or tcp://HOST:PORT (default: its member's address)"},
    {"member", "ID=ADDRESS[,zone=Z][,weight=W]", set_member, false, 0,
     "a member of the cluster, this node too; once for each"},
    {"join", "LIST", set_join, false, 0, "several members, separated by spaces or semicolons"},
    {"cluster", "NAME", set_cluster, false, 0, "the cluster's name (default: ringfs)"},
    {"slices", "Q", set_slices, false, 0,
     "slices of the hash space, for the cluster's life (default: 1024)"},
    {"replicas", "N", set_replicas, false, 0, "copies of each row (default: 3)"},
    {"read-quorum", "R", set_read_quorum, false, 0, "copies asked for a read (default: N/2+1)"},
    {"write-quorum", "W", set_write_quorum, false, 0,
     "copies that a write waits for (default: N/2+1)"},
    {"key-file", "FILE", set_key_file, false, 0, "the cluster's key: needed for tcp://"},
    {"reserve-mib", "MIB", set_reserve, false, 0,
     "free disk space below which writes are refused (default: 256)"},
    {"hint-mib", "MIB", set_hints, false, 0,
     "kept for nodes that are away at most (default: a tenth of the disk)"},
    {"spin-us", "US", set_spin, false, 0,
     "look for more work this long before sleeping (default: 0)"},
    {"pid-file", "FILE", set_pid_file, false, 0, "holds the process id while the node runs"},
    {"log-file", "FILE", set_log_file, false, 0, "the log (default: stderr); SIGHUP reopens it"},
    {"rebuild", NULL, set_rebuild, true, 0,
     "sets damaged rows aside, refills the node from the others"},
    {"trust-disk", NULL, set_trust_disk, true, 0,
     "serves what the disk has, without recovering what may be lost"},
    {"config", "FILE", set_config, true, 0, "reads these options, NAME = VALUE, from a file first"},
    {"check-config", NULL, set_check, true, 0, "checks the options, starts nothing"},
    {"help", NULL, NULL, true, NODE_OPTIONS_HELP, "this text"},
    {"version", NULL, NULL, true, NODE_OPTIONS_VERSION, "the version"},
};
enum { N_ROWS = sizeof table / sizeof table[0] };

void node_options_help(FILE *to) {
    fputs("Usage: ringnode --id N --data DIR --member ID=ADDRESS ... [OPTION]...\n"
          "Serves its part of a ringfs cluster. See ringnode(1).\n\n",
          to);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *row = &table[i];
        int n = fprintf(to, "  --%s%s%s", row->name, row->value ? " " : "",
                        row->value ? row->value : "");
        if (n >= HELP_COLUMN) {
            fputc('\n', to);
            n = 0;
        }
        fprintf(to, "%*s%s\n", HELP_COLUMN - n, "", row->help);
    }
    fputs("\nExit: 0 ended cleanly; 1 failed while running; 2 bad options; 3 data directory "
          "refused.\n",
          to);
}

/* ---- the command line ---- */

static void getopt_table(struct option options[N_ROWS + 1]) {
    memset(options, 0, (N_ROWS + 1) * sizeof *options);
    for (int i = 0; i < N_ROWS; i++) {
        options[i].name = table[i].name;
        options[i].has_arg = table[i].value ? required_argument : no_argument;
        options[i].val = ROW_FIRST + i;
    }
}

static enum node_options_action say_unknown(int answer, char **argv, char *why) {
    snprintf(why, NODE_OPTIONS_WHY_MAX,
             answer == ':' ? "%.200s needs a value: see ringnode --help"
                           : "%.200s is not an option, or short for several: see ringnode --help",
             argv[optind - 1]);
    return NODE_OPTIONS_BAD;
}

static enum node_options_action row_apply(const struct row *row, struct node_options *o,
                                          char *why) {
    char sentence[SENTENCE_MAX];
    if (!row->set) {
        return row->action;
    }
    if (row->set(o, optarg, sentence)) {
        snprintf(why, NODE_OPTIONS_WHY_MAX, "--%s %s", row->name, sentence);
        return NODE_OPTIONS_BAD;
    }
    return NODE_OPTIONS_RUN;
}

/* Everything on the command line into `o`, what is there already giving way. */
static enum node_options_action command_line(int argc, char **argv, struct node_options *o,
                                             char *why) {
    struct option options[N_ROWS + 1];
    getopt_table(options);
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    for (int answer; (answer = getopt_long(argc, argv, ":", options, NULL)) != -1;) {
        if (answer < ROW_FIRST) {
            return say_unknown(answer, argv, why);
        }
        enum node_options_action action = row_apply(&table[answer - ROW_FIRST], o, why);
        if (action != NODE_OPTIONS_RUN) {
            return action;
        }
    }
    if (optind < argc) {
        snprintf(why, NODE_OPTIONS_WHY_MAX,
                 "what is \"%.200s\"? Options begin with --: see "
                 "ringnode --help",
                 argv[optind]);
        return NODE_OPTIONS_BAD;
    }
    return NODE_OPTIONS_RUN;
}

/* ---- the file ---- */

struct file_reading {
    struct node_options *options;
    FILE *file;
    int n_lines;
    int bad_line; /* 0 = none so far */
    char sentence[SENTENCE_MAX];
};

/* inih's reader. A line that fills the buffer would be taken for two. */
static char *file_line(char *line, int size, void *stream) {
    struct file_reading *reading = stream;
    if (!fgets(line, size, reading->file)) {
        return NULL;
    }
    reading->n_lines++;
    if (!strchr(line, '\n') && !feof(reading->file) && !reading->bad_line) {
        reading->bad_line = reading->n_lines;
        refuse(reading->sentence, "is longer than %d bytes: give members one a line",
               NODE_OPTIONS_LINE_MAX);
    }
    return line;
}

static int file_value(void *user, const char *section, const char *name, const char *value) {
    struct file_reading *reading = user;
    char sentence[SENTENCE_MAX - 100];
    if (reading->bad_line) {
        return 1;
    }
    const struct row *row = NULL;
    for (int i = 0; i < N_ROWS && !row; i++) {
        row = !table[i].command_line_only && strcmp(table[i].name, name) == 0 ? &table[i] : NULL;
    }
    if (section[0] && strcmp(section, "ringnode") != 0) {
        refuse(reading->sentence, "stands in section [%.40s]: only [ringnode] is known", section);
    } else if (!row) {
        refuse(reading->sentence, "has an unknown name \"%.40s\": see ringnode --help", name);
    } else if (row->set(reading->options, value, sentence)) {
        refuse(reading->sentence, "%s %s", name, sentence);
    } else {
        return 1;
    }
    reading->bad_line = reading->n_lines;
    return 0;
}

static enum node_options_action file_read(struct node_options *o, char *why) {
    struct file_reading reading = {.options = o};
    reading.file = fopen(o->config, "re");
    if (!reading.file) {
        snprintf(why, NODE_OPTIONS_WHY_MAX, "cannot read %s (%s): check --config", o->config,
                 strerror(errno));
        return NODE_OPTIONS_BAD;
    }
    int bad = ini_parse_stream(file_line, &reading, file_value, &reading);
    fclose(reading.file);
    if (bad && !reading.bad_line) {
        reading.bad_line = bad > 0 ? bad : reading.n_lines;
        refuse(reading.sentence, "is neither NAME = VALUE nor [ringnode] nor a comment");
    }
    if (reading.bad_line) {
        snprintf(why, NODE_OPTIONS_WHY_MAX, "%s: line %d %s", o->config, reading.bad_line,
                 reading.sentence);
        return NODE_OPTIONS_BAD;
    }
    return NODE_OPTIONS_RUN;
}

/* ---- what must agree ---- */

static const struct ring_member *member_of(const struct node_options *o, uint16_t id) {
    for (int i = 0; i < o->n_members; i++) {
        if (o->members[i].id == id) {
            return &o->members[i];
        }
    }
    return NULL;
}

static int members_check(struct node_options *o, char *why) {
    if (o->n_members == 0) {
        if (!o->listen[0]) {
            return refuse(why, "no members: give --member ID=ADDRESS once for each node of the "
                               "cluster, this one too (or --listen alone for a cluster of one)");
        }
        o->members[0] = (struct ring_member){.id = o->id, .weight = RING_WEIGHT_DEFAULT};
        strcpy(o->members[0].address, o->listen);
        o->n_members = 1;
    }
    for (int i = 0; i < o->n_members; i++) {
        for (int j = 0; j < i; j++) {
            if (o->members[i].id == o->members[j].id) {
                return refuse(why, "member %u is given twice: each node needs a number of its own",
                              o->members[i].id);
            }
            if (strcmp(o->members[i].address, o->members[j].address) == 0) {
                return refuse(why, "members %u and %u have the same address %s", o->members[j].id,
                              o->members[i].id, o->members[i].address);
            }
        }
    }
    const struct ring_member *self = member_of(o, o->id);
    if (!self) {
        return refuse(why,
                      "node %u is not among the members: add --member %u=ADDRESS, or correct "
                      "--id",
                      o->id, o->id);
    }
    if (!o->listen[0]) {
        strcpy(o->listen, self->address);
    }
    return 0;
}

static int quorums_check(struct node_options *o, char *why) {
    unsigned copies = o->n_replicas < o->n_members ? o->n_replicas : o->n_members;
    if (o->read_quorum > copies || o->write_quorum > copies) {
        return refuse(why,
                      "a quorum of %u needs as many copies, but %u replicas on %u members "
                      "make %u: lower --read-quorum and --write-quorum",
                      o->read_quorum > o->write_quorum ? o->read_quorum : o->write_quorum,
                      o->n_replicas, o->n_members, copies);
    }
    if (!o->read_quorum) {
        o->read_quorum = (uint8_t)(copies / 2 + 1);
    }
    if (!o->write_quorum) {
        o->write_quorum = (uint8_t)(copies / 2 + 1);
    }
    return 0;
}

static int key_check(const struct node_options *o, char *why) {
    const char *tcp = address_is_tcp(o->listen) ? o->listen : NULL;
    for (int i = 0; i < o->n_members && !tcp; i++) {
        tcp = address_is_tcp(o->members[i].address) ? o->members[i].address : NULL;
    }
    if (!o->key_file[0]) {
        return tcp ? refuse(why, "%s needs the cluster's key: give --key-file", tcp) : 0;
    }
    struct seal_key key;
    const char *wrong = NULL;
    if (seal_key_read(o->key_file, &key, &wrong)) {
        return refuse(why, "--key-file %.400s: %s", o->key_file, wrong);
    }
    seal_key_release(&key);
    return 0;
}

static int options_check(struct node_options *o, char *why) {
    if (!o->id) {
        return refuse(why, "which node is this? Give --id");
    }
    if (!o->data[0]) {
        return refuse(why, "where does it keep its data? Give --data");
    }
    o->seed = XXH3_64bits(o->cluster, strlen(o->cluster));
    if (members_check(o, why) || quorums_check(o, why)) {
        return ERR_INVALID;
    }
    return key_check(o, why);
}

static void options_default(struct node_options *o) {
    memset(o, 0, sizeof *o);
    o->n_slices = RING_SLICES_DEFAULT;
    o->n_replicas = RING_REPLICAS_DEFAULT;
    strcpy(o->cluster, "ringfs");
}

/* The file's values first, then the command line's over them. */
static enum node_options_action file_then_command_line(int argc, char **argv,
                                                       const struct node_options *given,
                                                       struct node_options *o, char *why) {
    options_default(o);
    strcpy(o->config, given->config);
    enum node_options_action action = file_read(o, why);
    if (action != NODE_OPTIONS_RUN) {
        return action;
    }
    if (given->n_members) {
        o->n_members = 0;
    }
    return command_line(argc, argv, o, why);
}

enum node_options_action node_options_parse(int argc, char **argv, struct node_options *ret,
                                            char why[NODE_OPTIONS_WHY_MAX]) {
    struct node_options *o = memory_new(1, sizeof *o);
    struct node_options *given = memory_new(1, sizeof *given);
    options_default(o);
    enum node_options_action action = command_line(argc, argv, o, why);
    if (action == NODE_OPTIONS_RUN && o->config[0]) {
        *given = *o;
        action = file_then_command_line(argc, argv, given, o, why);
    }
    if (action == NODE_OPTIONS_RUN && options_check(o, why)) {
        action = NODE_OPTIONS_BAD;
    }
    if (action == NODE_OPTIONS_RUN) {
        action = o->check_config ? NODE_OPTIONS_CHECKED : NODE_OPTIONS_RUN;
        *ret = *o;
    }
    free(given);
    free(o);
    return action;
}
