/* sweeper: now and then, once a day by default, one of all mounts sweeps up what crashed clients
 * left. */
#include "fs/sweeper.h"

#include <stdlib.h>

#include "fs/file.h"
#include "shared/err.h"
#include "shared/sweep.h"

struct sweeper {
    struct mount *mount;
    struct sweeper_config config;
};

/* What is stored of a file that no record names: its own contents, when it was unlinked or they are
 * still to be named. */
static bool unnamed(const struct file *file) {
    return file->kind == CONTENTS_BLOCKS && (file->inode->gone || file_pending(file));
}

void sweeper_touch(struct mount *mount) {
    uint32_t n = 0;
    for (const struct file *file = mount->files; file != NULL; file = file->next) {
        n += unnamed(file);
    }
    /* Copied: the list is another one after each call. */
    struct id128 *contents = memory_new(n + 1, sizeof *contents);
    uint32_t k = 0;
    for (const struct file *file = mount->files; file != NULL && k < n; file = file->next) {
        if (unnamed(file)) {
            contents[k++] = file->blocks.contents;
        }
    }
    for (uint32_t i = 0; i < k && !mount->stopping; i++) {
        task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
        if (!id128_is_zero(&contents[i])) {
            sweep_touch(mount->config.ns, &contents[i]); /* the next time, if not now */
        }
    }
    free(contents);
}

static void take_turn(struct sweeper *sweeper) {
    struct mount *mount = sweeper->mount;
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    if (sweep_claim(mount->config.ns, (uint64_t)sweeper->config.every_ns) != 0) {
        return;
    }
    int status = sweeper->config.sweep(sweeper->config.context, &mount->stopping);
    if (status != 0) {
        task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
        sweep_claim_return(mount->config.ns);
    }
}

static void keep_touching(void *arg) {
    struct sweeper *sweeper = arg;
    struct mount *mount = sweeper->mount;
    int64_t every_ns = sweeper->config.every_ns / SWEEPER_TOUCHES;
    if (every_ns == 0 || every_ns > SWEEPER_TOUCH_NS) {
        every_ns = SWEEPER_TOUCH_NS;
    }
    while (mount_pause(mount, every_ns)) {
        sweeper_touch(mount);
    }
    free(sweeper);
    mount_background_done(mount);
}

static void keep_asking(void *arg) {
    struct sweeper *sweeper = arg;
    struct mount *mount = sweeper->mount;
    struct store *store = mount->config.store;
    /* Not all mounts of a rack that has just got its power back at once. */
    int64_t ask_ns = sweeper->config.every_ns / SWEEPER_ASKS;
    int64_t first_ns = (int64_t)(store->random(store->self) % (uint64_t)(ask_ns + 1));
    for (bool on = mount_pause(mount, first_ns); on; on = mount_pause(mount, ask_ns)) {
        take_turn(sweeper);
    }
    free(sweeper);
    mount_background_done(mount);
}

static int start_one(struct mount *mount, const struct sweeper_config *config,
                     void (*keep)(void *sweeper)) {
    struct sweeper *sweeper = memory_new(1, sizeof *sweeper);
    *sweeper = (struct sweeper){mount, *config};
    int status = task_spawn(mount->config.tasks, keep, sweeper, 0);
    if (status != 0) {
        free(sweeper);
        return status;
    }
    mount->n_background++;
    return 0;
}

int sweeper_start(struct mount *mount, const struct sweeper_config *config) {
    int status = start_one(mount, config, keep_touching);
    return status != 0 || config->every_ns == 0 ? status : start_one(mount, config, keep_asking);
}
