/* address: what is an address, what is refused with which sentence, and what derives from one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "shared/address.h"
#include "shared/err.h"

static void assert_refused(const char *address) {
    const char *why = NULL;
    if (address_check(address, &why) != ERR_INVALID) {
        fail_msg("accepted: %s", address);
    }
    assert_non_null(why);
}

static void assert_peer(const char *address, const char *peer) {
    const char *why = NULL;
    if (address_check(address, &why) != 0) {
        fail_msg("refused: %s: %s", address, why);
    }
    char derived[RING_ADDRESS_MAX];
    address_peer(address, derived);
    assert_string_equal(derived, peer);
}

static void a_peer_address_derives_from_each_kind_of_address(void **state) {
    (void)state;
    assert_peer("ipc:///run/ringfs/n1", "ipc:///run/ringfs/n1.peer");
    assert_peer("tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002");
    assert_peer("tcp://node-1.example.org:9999", "tcp://node-1.example.org:10000");
    assert_peer("tcp://[fe80::1]:65534", "tcp://[fe80::1]:65535");
    assert_peer("tcp://[::]:1", "tcp://[::]:2");
    assert_true(address_is_tcp("tcp://a:1"));
    assert_false(address_is_tcp("ipc:///tcp://a:1"));
}

static void what_is_no_address_is_refused_with_a_sentence(void **state) {
    (void)state;
    const char *bad[] = {
        "",
        "ipc:",
        "ipc://",
        "ipc://relative",
        "ipc:///",
        "ipc:///directory/",
        "ipc:///a b",
        "ipc:///a,b",
        "ipc:///a;b",
        "ipc:///a\n",
        "inproc://a",
        "http://a:1",
        "tcp://",
        "tcp://host",
        "tcp://:1",
        "tcp://host:",
        "tcp://host:0",
        "tcp://host:65535",
        "tcp://host:99999999999999999999",
        "tcp://host:-1",
        "tcp://host:1x",
        "tcp://*:1",
        "tcp://a/b:1",
        "tcp://eth0;h:1",
        "tcp://-a:1",
        "tcp://[::1]",
        "tcp://[::1:1",
        "tcp://::1:1",
        "tcp://[]:1",
        "tcp://[1.2]:1",
        "tcp://[::1]x:1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(bad[i]);
    }
}

static void the_longest_path_leaves_room_for_its_peer_socket(void **state) {
    (void)state;
    size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1 - strlen(".peer");
    char address[RING_ADDRESS_MAX] = "ipc:///";
    memset(address + 7, 'a', longest - 1);
    const char *why;
    assert_int_equal(address_check(address, &why), 0);
    address[7 + longest - 1] = 'a';
    assert_refused(address);
}

static void an_address_too_long_for_a_ring_is_refused(void **state) {
    (void)state;
    char address[1024] = "tcp://";
    memset(address + 6, 'a', 900);
    strcat(address, ":1");
    assert_refused(address);
}

static void a_member_is_parsed_with_its_zone_and_weight_in_any_order(void **state) {
    (void)state;
    struct ring_member member;
    const char *why;
    assert_int_equal(member_parse("7=tcp://[::1]:7001,weight=250,zone=rack-1", &member, &why), 0);
    assert_int_equal(member.id, 7);
    assert_int_equal(member.weight, 250);
    assert_string_equal(member.address, "tcp://[::1]:7001");
    assert_string_equal(member.zone, "rack-1");
    assert_int_equal(member_parse("65535=ipc:///a=b", &member, &why), 0);
    assert_int_equal(member.id, 65535);
    assert_int_equal(member.weight, RING_WEIGHT_DEFAULT);
    assert_string_equal(member.address, "ipc:///a=b");
    assert_string_equal(member.zone, "");
}

static void what_is_no_member_is_refused_and_leaves_the_output_alone(void **state) {
    (void)state;
    const char *bad[] = {
        "",
        "1",
        "=ipc:///a",
        "0=ipc:///a",
        "65536=ipc:///a",
        "x=ipc:///a",
        "1=",
        "1=ipc://a",
        "1=ipc:///a,",
        "1=ipc:///a,zone",
        "1=ipc:///a,zone=",
        "1=ipc:///a,zone=a b",
        "1=ipc:///a,zone=a,zone=b",
        "1=ipc:///a,zone=an-endlessly-long-name-of-a-zone-",
        "1=ipc:///a,weight=0",
        "1=ipc:///a,weight=10001",
        "1=ipc:///a,weight=1,weight=1",
        "1=ipc:///a,weight=-1",
        "1=ipc:///a,colour=red",
        "1=ipc:///a ",
    };
    struct ring_member member;
    memset(&member, 0x55, sizeof(member));
    struct ring_member before = member;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *why = NULL;
        if (member_parse(bad[i], &member, &why) != ERR_INVALID) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_non_null(why);
        assert_memory_equal(&member, &before, sizeof(member));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_address_derives_from_each_kind_of_address),
        cmocka_unit_test(what_is_no_address_is_refused_with_a_sentence),
        cmocka_unit_test(the_longest_path_leaves_room_for_its_peer_socket),
        cmocka_unit_test(an_address_too_long_for_a_ring_is_refused),
        cmocka_unit_test(a_member_is_parsed_with_its_zone_and_weight_in_any_order),
        cmocka_unit_test(what_is_no_member_is_refused_and_leaves_the_output_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
