/* node_options: what is wrong is said in a sentence, and the command line wins over the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/node_options.h"
#include "shared/seal.h"

static struct node_options options;
static char why[NODE_OPTIONS_WHY_MAX];

/* Parses a command line given as one string, words separated by single spaces. */
static enum node_options_action parse(const char *line) {
    char copy[1024], *words[64] = {"ringnode"};
    int n = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        words[n++] = word;
    }
    why[0] = '\0';
    return node_options_parse(n, words, &options, why);
}

static void assert_bad(const char *line, const char *said) {
    assert_int_equal(parse(line), NODE_OPTIONS_BAD);
    if (!strstr(why, said)) {
        fail_msg("\"%s\" says \"%s\", without \"%s\"", line, why, said);
    }
}

#define TWO "--member 1=ipc:///run/a --member 2=ipc:///run/b"

static void a_node_needs_little_else_is_default(void **state) {
    (void)state;
    assert_int_equal(parse("--id 2 --data /d " TWO " --member 3=ipc:///run/c,zone=z,weight=50"),
                     NODE_OPTIONS_RUN);
    assert_int_equal(options.id, 2);
    assert_int_equal(options.n_members, 3);
    assert_string_equal(options.members[2].zone, "z");
    assert_int_equal(options.members[2].weight, 50);
    assert_string_equal(options.listen, "ipc:///run/b");
    assert_int_equal(options.n_slices, RING_SLICES_DEFAULT);
    assert_int_equal(options.n_replicas, 3);
    assert_int_equal(options.read_quorum, 2);
    assert_int_equal(options.write_quorum, 2);
}

static void quorums_follow_from_the_copies_there_can_be(void **state) {
    (void)state;
    assert_int_equal(parse("--id 1 --data /d --listen ipc:///run/a"), NODE_OPTIONS_RUN);
    assert_int_equal(options.n_members, 1);
    assert_int_equal(options.read_quorum, 1);
    assert_int_equal(parse("--id 1 --data /d " TWO), NODE_OPTIONS_RUN);
    assert_int_equal(options.write_quorum, 2);
    assert_bad("--id 1 --data /d --write-quorum 3 " TWO, "lower --read-quorum");
}

static void a_list_of_members_is_as_good_as_one_each(void **state) {
    (void)state;
    char *words[] = {"ringnode",
                     "--id",
                     "1",
                     "--data",
                     "/d",
                     "--join",
                     "1=ipc:///run/a; 2=ipc:///run/b,weight=7;3=ipc:///run/c"};
    assert_int_equal(node_options_parse(7, words, &options, why), NODE_OPTIONS_RUN);
    assert_int_equal(options.n_members, 3);
    assert_int_equal(options.members[1].weight, 7);
}

static void clusters_of_other_names_have_other_seeds(void **state) {
    (void)state;
    assert_int_equal(parse("--id 1 --data /d --cluster a " TWO), NODE_OPTIONS_RUN);
    uint64_t seed = options.seed;
    assert_int_equal(parse("--id 1 --data /d --cluster b " TWO), NODE_OPTIONS_RUN);
    assert_true(seed != options.seed);
}

static void every_bad_value_is_named(void **state) {
    (void)state;
    assert_bad("", "--id");
    assert_bad("--id 1 " TWO, "--data");
    assert_bad("--id 0 --data /d " TWO, "--id needs a number from 1 to 65535, not \"0\"");
    assert_bad("--id 1x --data /d " TWO, "\"1x\"");
    assert_bad("--id 1 --data /d", "--member");
    assert_bad("--id 3 --data /d " TWO, "node 3 is not among the members");
    assert_bad("--id 1 --data /d --member 1=ipc:///run/c " TWO, "member 1 is given twice");
    assert_bad("--id 1 --data /d --member 3=ipc:///run/a " TWO, "have the same address");
    assert_bad("--id 1 --data /d --member 3=udp://x " TWO, "begins with ipc:/// or tcp://");
    assert_bad("--id 1 --data /d --listen 7001 " TWO, "--listen \"7001\"");
    assert_bad("--id 1 --data /d --slices 8 " TWO, "from 16 to 4096");
    assert_bad("--id 1 --data /d --replicas 8 " TWO, "from 1 to 7");
    assert_bad("--id 1 --data /d --speed 8 " TWO, "--speed");
    assert_bad("--id 1 --data /d " TWO " extra", "what is \"extra\"");
    assert_bad("--id", "--id needs a value");
}

static void tcp_needs_a_key_that_others_cannot_read(void **state) {
    (void)state;
    const char *wrong;
    char path[] = "/tmp/ringfs-key-XXXXXX", line[256];
    assert_bad("--id 1 --data /d --member 1=tcp://host:7001", "--key-file");
    assert_bad("--id 1 --data /d --member 1=tcp://host:7001 --key-file /none", "--key-file /none");
    assert_non_null(mkdtemp(path));
    char key[64];
    snprintf(key, sizeof key, "%s/key", path);
    assert_int_equal(seal_key_write(key, &wrong), 0);
    snprintf(line, sizeof line, "--id 1 --data /d --member 1=tcp://host:7001 --key-file %s", key);
    assert_int_equal(parse(line), NODE_OPTIONS_RUN);
    assert_int_equal(chmod(key, 0644), 0);
    assert_bad(line, key);
    unlink(key);
    rmdir(path);
}

static void help_version_and_check_start_nothing(void **state) {
    (void)state;
    assert_int_equal(parse("--help"), NODE_OPTIONS_HELP);
    assert_int_equal(parse("--version"), NODE_OPTIONS_VERSION);
    assert_int_equal(parse("--check-config --id 1 --data /d " TWO), NODE_OPTIONS_CHECKED);
    assert_bad("--check-config --id 1 " TWO, "--data");
}

/* ---- the file ---- */

static char file[64];

static void write_config(const char *text) {
    strcpy(file, "/tmp/ringfs-conf-XXXXXX");
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static enum node_options_action parse_with(const char *text, const char *more) {
    char line[512];
    write_config(text);
    snprintf(line, sizeof line, "--config %s %s", file, more);
    enum node_options_action action = parse(line);
    unlink(file);
    return action;
}

#define FILE_OF_TWO                                                                                \
    "; a comment\n[ringnode]\nid = 1\ndata = /d\nmember = 1=ipc:///run/a,zone=x\n"                 \
    "member = 2=ipc:///run/b\nreplicas = 2\n"

static void the_file_knows_the_same_names(void **state) {
    (void)state;
    assert_int_equal(parse_with(FILE_OF_TWO, ""), NODE_OPTIONS_RUN);
    assert_int_equal(options.id, 1);
    assert_int_equal(options.n_members, 2);
    assert_string_equal(options.members[0].zone, "x");
    assert_int_equal(options.n_replicas, 2);
}

static void the_command_line_wins_over_the_file(void **state) {
    (void)state;
    assert_int_equal(parse_with(FILE_OF_TWO, "--replicas 1 --id 2"), NODE_OPTIONS_RUN);
    assert_int_equal(options.id, 2);
    assert_int_equal(options.n_replicas, 1);
    assert_int_equal(options.n_members, 2);
    assert_int_equal(parse_with(FILE_OF_TWO, "--member 1=ipc:///run/other"), NODE_OPTIONS_RUN);
    assert_int_equal(options.n_members, 1);
    assert_string_equal(options.listen, "ipc:///run/other");
}

static void assert_bad_file(const char *text, const char *said) {
    assert_int_equal(parse_with(text, ""), NODE_OPTIONS_BAD);
    if (!strstr(why, said)) {
        fail_msg("\"%s\" says \"%s\", without \"%s\"", text, why, said);
    }
}

static void a_bad_line_of_the_file_is_named_by_its_number(void **state) {
    (void)state;
    assert_bad_file("id = 1\nid = zero\n", "line 2 id needs a number");
    assert_bad_file("id = 1\n\nspeed = 3\n", "line 3 has an unknown name \"speed\"");
    assert_bad_file("[other]\nid = 1\n", "section [other]");
    assert_bad_file("id = 1\nrubbish\n", "line 2 is neither");
    assert_bad_file("config = /etc/other\n", "unknown name \"config\"");
    char text[400];
    snprintf(text, sizeof text, "id = 1\njoin = %0300d\n", 1);
    assert_bad_file(text, "line 2 is longer than");
    assert_bad("--config /none/such", "cannot read /none/such");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_needs_little_else_is_default),
        cmocka_unit_test(quorums_follow_from_the_copies_there_can_be),
        cmocka_unit_test(a_list_of_members_is_as_good_as_one_each),
        cmocka_unit_test(clusters_of_other_names_have_other_seeds),
        cmocka_unit_test(every_bad_value_is_named),
        cmocka_unit_test(tcp_needs_a_key_that_others_cannot_read),
        cmocka_unit_test(help_version_and_check_start_nothing),
        cmocka_unit_test(the_file_knows_the_same_names),
        cmocka_unit_test(the_command_line_wins_over_the_file),
        cmocka_unit_test(a_bad_line_of_the_file_is_named_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
