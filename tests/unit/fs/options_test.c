/* options: what the command line and fstab may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fs/options.h"

static struct options options;
static const char *program = "ringfs";

static enum options_answer parse(bool is_root, const char *const *words) {
    char *argv[16] = {(char *)(uintptr_t)program};
    int argc = 1;
    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    options_release(&options);
    return options_parse(argc, argv, is_root, &options);
}

#define PARSE(is_root, ...) parse(is_root, (const char *const[]){__VA_ARGS__, NULL})

static bool has_kernel(const char *option) {
    const char *list = (const char *)options.kernel.data;
    const char *at = strstr(list, option);
    char end = at != NULL ? at[strlen(option)] : '?';
    return at != NULL && (at == list || at[-1] == ',') && (end == ',' || end == '\0');
}

static void defaults_are_for_plain_use(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, "ipc:///a", "/mnt"), OPTIONS_RUN);
    assert_string_equal(options.addresses, "ipc:///a");
    assert_string_equal(options.mountpoint, "/mnt");
    assert_true(options.timeout_ns == 10000000000);
    assert_true(options.attributes_ns == 1000000000);
    assert_true(options.names_ns == 10000000000);
    assert_false(options.foreground);
    assert_true(has_kernel("default_permissions") && has_kernel("subtype=ringfs"));
    assert_true(has_kernel("fsname=ipc:///a"));
    assert_false(has_kernel("allow_other"));
    assert_int_equal(PARSE(true, "ipc:///a", "/mnt"), OPTIONS_RUN);
    assert_true(has_kernel("allow_other"));
}

static void options_come_in_any_order_and_number(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "-o", "timeo=2.5,ro", "a", "-f", "/m", "-ofsname=x#y,noatime",
                           "-o", "key_file=/k,noallow_other,attr_timeout=0,entry_timeout=2"),
                     OPTIONS_RUN);
    assert_true(options.timeout_ns == 2500000000);
    assert_true(options.attributes_ns == 0);
    assert_true(options.names_ns == 2000000000);
    assert_true(options.foreground && options.read_only);
    assert_string_equal(options.key_file, "/k");
    assert_true(has_kernel("fsname=x#y") && has_kernel("noatime") && has_kernel("ro"));
    assert_false(has_kernel("allow_other"));
}

static void what_fstab_and_mount_add_is_accepted(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m", "-o",
                           "rw,dev,suid,defaults,_netdev,nofail,x-systemd.automount,noauto,user,"
                           "relatime,comment=hi,subtype=ringfs"),
                     OPTIONS_RUN);
    assert_true(has_kernel("dev") && has_kernel("suid"));
    assert_false(has_kernel("defaults"));
    assert_true(options.relative_atime && !options.strict_atime);
}

static void an_unknown_option_is_an_error_with_a_suggestion(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m", "-o", "timout=3"), OPTIONS_ERROR);
    assert_non_null(strstr(options.error, "timeo"));
    assert_int_equal(PARSE(true, "a", "/m", "-o", "noexc"), OPTIONS_ERROR);
    assert_non_null(strstr(options.error, "noexec"));
    assert_int_equal(PARSE(true, "a", "/m", "-o", "quux_zzz"), OPTIONS_ERROR);
    assert_null(strstr(options.error, "did you mean"));
    assert_int_equal(PARSE(true, "a", "/m", "--frobnicate"), OPTIONS_ERROR);
}

static void bad_values_and_missing_words_are_errors(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m", "-o", "timeo=soon"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "timeo"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "timeo=-1"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "timeo=nan"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "ro=1"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-o"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "more"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "-f"), OPTIONS_ERROR);
}

static void a_path_behind_the_addresses_or_subdir_says_what_to_mount(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "tcp://a:1,ipc:///x/y:/some/dir", "/m"), OPTIONS_RUN);
    assert_string_equal(options.addresses, "tcp://a:1,ipc:///x/y");
    assert_string_equal(options.subdir, "/some/dir");
    assert_true(has_kernel("fsname=tcp://a:1\\,ipc:///x/y:/some/dir"));
    assert_int_equal(PARSE(true, "ipc:///x/y", "/m", "-o", "subdir=a/b"), OPTIONS_RUN);
    assert_string_equal(options.addresses, "ipc:///x/y");
    assert_string_equal(options.subdir, "a/b");
    assert_int_equal(PARSE(true, "tcp://a:1:/", "/m"), OPTIONS_RUN);
    assert_string_equal(options.addresses, "tcp://a:1");
    assert_string_equal(options.subdir, "/");
}

static void a_mount_is_soft_unless_told_otherwise_and_the_last_word_counts(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m"), OPTIONS_RUN);
    assert_false(options.hard);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "soft,hard"), OPTIONS_RUN);
    assert_true(options.hard);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "hard,soft,ro,rw"), OPTIONS_RUN);
    assert_false(options.hard || options.read_only);
}

static void sweeps_are_daily_or_as_often_as_told_or_off(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m"), OPTIONS_RUN);
    assert_true(options.sweep_ns == 86400000000000);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "sweep=1800"), OPTIONS_RUN);
    assert_true(options.sweep_ns == 1800000000000);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "sweep=off"), OPTIONS_RUN);
    assert_true(options.sweep_ns == 0);
    static const char *const wrong[] = {"sweep", "sweep=0", "sweep=0.1", "sweep=never", "sweep=-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(PARSE(true, "a", "/m", "-o", wrong[i]), OPTIONS_ERROR);
        assert_non_null(strstr(options.error, "sweep"));
    }
}

static void what_there_is_without_a_majority_and_of_conflicts_is_a_choice(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "a", "/m"), OPTIONS_RUN);
    assert_false(options.strict || options.hide_conflicts);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "conflicts=hide,mode=strict"), OPTIONS_RUN);
    assert_true(options.strict && options.hide_conflicts);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "conflicts=hide,conflicts=show"), OPTIONS_RUN);
    assert_false(options.hide_conflicts);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "mode=strict,mode=available"), OPTIONS_RUN);
    assert_false(options.strict);
    static const char *const wrong[] = {"conflicts=hidden", "conflicts=sho", "conflicts",
                                        "conflicts=",       "mode=strictly", "mode=show|hide"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(PARSE(true, "a", "/m", "-o", wrong[i]), OPTIONS_ERROR);
        assert_non_null(strchr(options.error, wrong[i][0]));
    }
    assert_int_equal(PARSE(true, "a", "/m", "-o", "mode=avail"), OPTIONS_ERROR);
    assert_non_null(strstr(options.error, "available|strict"));
}

static void called_by_mount_the_flags_are_those_of_mount(void **state) {
    (void)state;
    program = "/sbin/mount.ringfs";
    assert_int_equal(PARSE(true, "a", "/m", "-f", "-v", "-n", "-t", "ringfs", "-o", "rw,nofail"),
                     OPTIONS_RUN);
    assert_true(options.fake);
    assert_false(options.foreground);
    assert_int_equal(PARSE(true, "a", "/m", "-o", "quux"), OPTIONS_ERROR);
    assert_int_equal(PARSE(true, "a", "/m", "-s", "-r", "-o", "quux"), OPTIONS_RUN);
    assert_true(options.read_only);
    program = "ringfs";
    assert_int_equal(PARSE(true, "a", "/m", "-f"), OPTIONS_RUN);
    assert_true(options.foreground && !options.fake);
    assert_int_equal(PARSE(true, "a", "/m", "-s"), OPTIONS_ERROR);
}

static void the_help_names_every_option(void **state) {
    (void)state;
    struct buffer help = {0};
    options_help(&help);
    static const char *const names[] = {"  soft ", "  hard ", "  timeo=SECONDS ", "  subdir=PATH "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_non_null(strstr((const char *)help.data, names[i]));
    }
    buffer_release(&help);
}

static void help_and_version_need_nothing_else(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "--help"), OPTIONS_HELP);
    assert_int_equal(PARSE(true, "-V"), OPTIONS_VERSION);
    options_release(&options);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_for_plain_use),
        cmocka_unit_test(options_come_in_any_order_and_number),
        cmocka_unit_test(what_fstab_and_mount_add_is_accepted),
        cmocka_unit_test(an_unknown_option_is_an_error_with_a_suggestion),
        cmocka_unit_test(bad_values_and_missing_words_are_errors),
        cmocka_unit_test(a_path_behind_the_addresses_or_subdir_says_what_to_mount),
        cmocka_unit_test(a_mount_is_soft_unless_told_otherwise_and_the_last_word_counts),
        cmocka_unit_test(sweeps_are_daily_or_as_often_as_told_or_off),
        cmocka_unit_test(what_there_is_without_a_majority_and_of_conflicts_is_a_choice),
        cmocka_unit_test(called_by_mount_the_flags_are_those_of_mount),
        cmocka_unit_test(the_help_names_every_option),
        cmocka_unit_test(help_and_version_need_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
