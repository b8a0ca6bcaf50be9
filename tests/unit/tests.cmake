# One line per test program: its file and what it links.
set(U ${CMAKE_CURRENT_SOURCE_DIR}/unit)
# The pure modules of shared.
unit_test(${U}/shared/timers_test.c ringfs_shared)
unit_test(${U}/shared/wire_test.c ringfs_shared)
unit_test(${U}/shared/hlc_test.c ringfs_shared)
unit_test(${U}/shared/ring_test.c ringfs_shared)
unit_test(${U}/shared/request_test.c ringfs_shared)
unit_test(${U}/shared/message_test.c ringfs_shared)
unit_test(${U}/shared/versions_test.c ringfs_shared)
unit_test(${U}/shared/bytes_test.c ringfs_shared)
unit_test(${U}/shared/address_test.c ringfs_shared)
unit_test(${U}/shared/fence_test.c ringfs_shared)
# The edges: real descriptors and sockets.
unit_test(${U}/shared/loop_test.c ringfs_transport)
unit_test(${U}/shared/frame_test.c ringfs_transport)
unit_test(${U}/shared/seal_test.c ringfs_transport)
unit_test(${U}/shared/transport_test.c ringfs_transport)
unit_test(${U}/shared/task_test.c ringfs_shared)
unit_test(${U}/node/disk_mem_test.c ringfs_testlib)
# The node's edges.
unit_test(${U}/node/disk_leveldb_test.c ringfs_disk)
unit_test(${U}/node/disk_directory_test.c ringfs_disk)
unit_test(${U}/shared/client_test.c ringfs_shared)
# The namespace, over a store in memory.
unit_test(${U}/shared/record_test.c ringfs_shared)
unit_test(${U}/shared/namespace_test.c ringfs_testlib)
unit_test(${U}/node/node_options_test.c ringfs_node)
unit_test(${U}/lib/sim_test.c ringfs_testlib)
