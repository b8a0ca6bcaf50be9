/* node_options: ringnode's command line and configuration file. */
#ifndef RINGFS_NODE_NODE_OPTIONS_H
#define RINGFS_NODE_NODE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/ring.h"

/* The file (--config) holds "NAME = VALUE" lines with the long options' names, in INI syntax
 * (inih; a section [ringnode] may head them, " ;" begins a comment). The command line wins over
 * the file; members given on the command line replace the file's. One thread. */
enum {
    NODE_OPTIONS_PATH_MAX = 3000,
    NODE_OPTIONS_WHY_MAX = 4096, /* a sentence: what is wrong and what to do */
    NODE_OPTIONS_NAME_MAX = 64,
    NODE_OPTIONS_LINE_MAX = 198, /* of a line of the file: inih's buffer */
};

enum node_options_action {
    NODE_OPTIONS_RUN,
    NODE_OPTIONS_CHECKED, /* --check-config, and nothing is wrong */
    NODE_OPTIONS_HELP,
    NODE_OPTIONS_VERSION,
    NODE_OPTIONS_BAD, /* see the sentence */
};

struct node_options {
    uint16_t id;
    uint16_t n_slices;
    uint16_t n_replicas;
    uint8_t read_quorum;  /* after parsing: at most the replicas that the members allow */
    uint8_t write_quorum; /* likewise */
    char cluster[NODE_OPTIONS_NAME_MAX];
    uint64_t seed;                 /* of the cluster: from its name */
    char listen[RING_ADDRESS_MAX]; /* where it binds; its member's address says where others go */
    uint16_t n_members;
    struct ring_member members[RING_MEMBERS_MAX];
    uint64_t reserve_bytes; /* of free disk space; 0 = the disk's default */
    uint64_t hint_bytes;    /* kept for other nodes at most; 0 = a share of the disk */
    uint32_t spin_us;       /* of the loop (shared/loop.h) */
    bool rebuild;           /* set the rows aside and refill the directory from the others */
    bool trust_disk;        /* serve without recovering what may be lost */
    bool check_config;
    /* "" = not given */
    char data[NODE_OPTIONS_PATH_MAX];
    char key_file[NODE_OPTIONS_PATH_MAX];
    char pid_file[NODE_OPTIONS_PATH_MAX];
    char log_file[NODE_OPTIONS_PATH_MAX];
    char config[NODE_OPTIONS_PATH_MAX];
};

/* Reads options (and the file they name) and checks them against each other. Fills `ret` for
 * RUN and CHECKED, `why` for BAD. */
enum node_options_action node_options_parse(int argc, char **argv, struct node_options *ret,
                                            char why[NODE_OPTIONS_WHY_MAX]);
void node_options_help(FILE *to);

#endif
