/* faults_disk: disks that fail, fill up, rot, forget, or are lost. */
#include "tests/sim/faults.h"

#include "shared/err.h"
#include "tests/sim/stored.h"

static void works_again(void *context, uint64_t number) {
    (void)number;
    struct world_node *node = context;
    sim_trace(&node->world->sim, "the disk of %s works again", node->process.name);
    disk_mem_fail(node->disk, 0, 0, 0);
}

/* Works of these kinds answer `status` for a while. */
static void trouble(struct strike *strike, struct world_node *node, unsigned works, int status) {
    struct world *world = strike->world;
    int64_t length = dice_exponential(&strike->dice, world->options.disk_trouble_ns);
    sim_trace(&world->sim, "the disk of %s answers %s to works %x for %lld us", node->process.name,
              err_name(status), works, (long long)(length / SIM_US));
    disk_mem_fail(node->disk, works, status, DISK_MEM_ALWAYS);
    sim_at(&world->sim, world->sim.now_ns + length, works_again, node, 0);
}

void fault_disk_fail(struct strike *strike) {
    static const unsigned kinds[] = {DISK_MEM_READ | DISK_MEM_SCAN,
                                     DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, DISK_MEM_ANY};
    world_cover(strike->world, COVER_DISK_FAILURES);
    struct world_node *node = strike_node(strike);
    trouble(strike, node, kinds[dice_below(&strike->dice, 3)], ERR_DISK);
}

void fault_disk_full(struct strike *strike) {
    world_cover(strike->world, COVER_DISKS_FULL);
    trouble(strike, strike_node(strike), DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, ERR_NO_SPACE);
}

static struct world_node *frail_node(struct world *world) {
    return world->options.frail > 0 ? &world->nodes[world->options.frail - 1] : NULL;
}

void fault_rot(struct strike *strike) {
    struct world_node *node = frail_node(strike->world);
    uint32_t n = node != NULL ? disk_mem_size(node->disk) : 0;
    if (n == 0) {
        return;
    }
    struct bytes partition_key, sort_key;
    struct bytes value;
    struct disk_row pair = disk_mem_at(node->disk, (uint32_t)dice_below(&strike->dice, n));
    /* One that has rotted stays so: the same bit once more would make it sound. */
    bool sound = stored_value(pair.value, &value) == 0;
    if (sound && stored_row_key(pair.key, &partition_key, &sort_key)) {
        sim_trace(&strike->world->sim, "%s: row %.*s/%.*s rots", node->process.name,
                  (int)partition_key.size, (const char *)partition_key.data, (int)sort_key.size,
                  (const char *)sort_key.data);
        world_cover(strike->world, COVER_ROTS);
        disk_mem_corrupt(node->disk, pair.key);
    }
}

void fault_machine(struct strike *strike) {
    struct world_node *node = frail_node(strike->world);
    if (node != NULL && node->node != NULL) {
        world_cover(strike->world, COVER_MACHINE_CRASHES);
        node->loses = WORLD_LOSES_BUFFERED;
        strike_down(strike, node);
    }
}

void fault_wipe(struct strike *strike) {
    struct world_node *node = frail_node(strike->world);
    if (node != NULL && node->node != NULL) {
        world_cover(strike->world, COVER_WIPES);
        node->loses = WORLD_LOSES_ALL;
        strike_down(strike, node);
    }
}
