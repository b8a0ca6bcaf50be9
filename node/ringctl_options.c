/* ringctl_options: getopt twice: up to the command's name, and behind it. */
#include "node/ringctl_options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_DEFAULT_S = 10,
    TIMEOUT_MAX_S = 3600,
    CLUSTER_FILE_MAX = 64 << 10,
    OWN_BASE = 256, /* getopt's value of a command's first option of its own */
};

static const struct option every[] = {{"cluster", required_argument, NULL, 'c'},
                                      {"key-file", required_argument, NULL, 'k'},
                                      {"timeout", required_argument, NULL, 't'},
                                      {"json", no_argument, NULL, 'j'},
                                      {"help", no_argument, NULL, 'h'},
                                      {"version", no_argument, NULL, 'V'},
                                      {NULL, 0, NULL, 0}};
enum { N_EVERY = sizeof every / sizeof every[0] - 1 };

void options_init(struct options *options) {
    *options = (struct options){.addresses = getenv("RINGFS_CLUSTER"),
                                .key_file = getenv("RINGFS_KEY_FILE"),
                                .timeout_s = TIMEOUT_DEFAULT_S};
}

int ctl_usage_error(const char *what, const char *which) {
    fprintf(stderr, "ringctl: %s%s%s; see ringctl --help\n", what, which[0] != '\0' ? " " : "",
            which);
    return CTL_USAGE;
}

static int parse_number(const char *name, const char *text, uint64_t min, uint64_t max,
                        uint64_t *ret) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-' || errno != 0 || value < min || value > max) {
        char what[160];
        snprintf(what, sizeof what, "--%s takes a number from %llu to %llu, not", name,
                 (unsigned long long)min, (unsigned long long)max);
        return ctl_usage_error(what, text);
    }
    *ret = value;
    return CTL_DONE;
}

/* ---- one of the options that every command takes; -1 = it is none of them
 * ---------------------------------------------------------------------------------------------- */

static int take(int c, char **argv, struct options *ret) {
    switch (c) {
    case 'c':
        ret->addresses = optarg;
        return CTL_DONE;
    case 'k':
        ret->key_file = optarg;
        return CTL_DONE;
    case 't':
        return parse_number("timeout", optarg, 1, TIMEOUT_MAX_S, &ret->timeout_s);
    case 'j':
        ret->json = true;
        return CTL_DONE;
    case 'h':
        ret->help = true;
        return CTL_DONE;
    case 'V':
        ret->version = true;
        return CTL_DONE;
    case ':':
        return ctl_usage_error("an option needs a value:", argv[optind - 1]);
    case '?':
        return ctl_usage_error("unknown option", argv[optind - 1]);
    default:
        return -1;
    }
}

int options_parse(int argc, char **argv, struct options *options, int *ret_command) {
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "+:c:k:t:jhV", every, NULL)) != -1;) {
        int status = take(c, argv, options);
        if (status != CTL_DONE) {
            return status;
        }
    }
    *ret_command = optind;
    return CTL_DONE;
}

/* ---- behind the command
 * ---------------------------------------------------------------------------------------------- */

static uint32_t options_of(const struct ctl_command *command) {
    uint32_t n = 0;
    while (command->options != NULL && command->options[n].name != NULL) {
        n++;
    }
    assert(n <= CTL_OPTIONS_MAX);
    return n;
}

/* getopt's tables for one command: its own options and those of every command. */
struct tables {
    struct option longs[N_EVERY + CTL_OPTIONS_MAX + 1];
    char shorts[32 + 2 * CTL_OPTIONS_MAX];
};

static void make_tables(const struct ctl_command *command, struct tables *ret) {
    uint32_t n = options_of(command);
    *ret = (struct tables){.shorts = ":c:k:t:jhV"};
    memcpy(ret->longs, every, N_EVERY * sizeof every[0]);
    for (uint32_t i = 0; i < n; i++) {
        const struct ctl_option *option = &command->options[i];
        bool takes = option->argument != NULL;
        ret->longs[N_EVERY + i] = (struct option){
            option->name, takes ? required_argument : no_argument, NULL, OWN_BASE + (int)i};
        if (option->letter != 0) {
            size_t end = strlen(ret->shorts);
            snprintf(ret->shorts + end, sizeof ret->shorts - end, "%c%s", option->letter,
                     takes ? ":" : "");
        }
    }
}

/* The index of the command's own option that getopt answered `c` for; -1 = none. */
static int own_option(const struct ctl_command *command, int c) {
    uint32_t n = options_of(command);
    for (uint32_t i = 0; i < n; i++) {
        if (c == OWN_BASE + (int)i || (c == command->options[i].letter && c != 0)) {
            return (int)i;
        }
    }
    return -1;
}

int options_parse_command(int argc, char **argv, struct options *options, struct ctl *ctl) {
    struct tables tables;
    make_tables(ctl->command, &tables);
    optind = 0; /* begin anew */
    for (int c; (c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1;) {
        int own = own_option(ctl->command, c);
        if (own >= 0) {
            ctl->given[own] = optarg != NULL ? optarg : "";
            continue;
        }
        int status = take(c, argv, options);
        if (status != CTL_DONE) {
            return status;
        }
    }
    ctl->argc = argc - optind;
    ctl->argv = argv + optind;
    return CTL_DONE;
}

/* The index of an option in the command's table; -1 = it has none of that name. */
static int find_option(const struct ctl *ctl, const char *name) {
    uint32_t n = options_of(ctl->command);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(ctl->command->options[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *ctl_option(const struct ctl *ctl, const char *name) {
    int i = find_option(ctl, name);
    assert(i >= 0);
    return ctl->given[i];
}

const char *ctl_option_if_any(const struct ctl *ctl, const char *name) {
    int i = find_option(ctl, name);
    return i >= 0 ? ctl->given[i] : NULL;
}

int ctl_option_number(const struct ctl *ctl, const char *name, uint64_t min, uint64_t max,
                      uint64_t *ret) {
    const char *text = ctl_option(ctl, name);
    return text == NULL ? CTL_DONE : parse_number(name, text, min, max, ret);
}

/* ---- the cluster of this user's mount.sh
 * ---------------------------------------------------------------------------------------------- */

static char cluster_file[CLUSTER_FILE_MAX];

const char *options_local_cluster(void) {
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
