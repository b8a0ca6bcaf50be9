/* page_ahead: pages of a listing, and the one that is asked for before the kernel comes for it. */
#include "fs/page_ahead.h"

#include <stdlib.h>

/* What takes longer is read anew when it is wanted, and unmounting does not wait for it. */
#define AHEAD_WITHIN_NS 2000000000

int page_read(struct mount *mount, struct inode *directory, uint64_t after, bool names_only,
              struct directory_page *ret) {
    struct directory_page page = {.names_only = names_only, .began = inodes_clock(&mount->inodes)};
    int status = (names_only ? namespace_list_names : namespace_list)(
        mount->config.ns, &directory->directory, after, DIRECTORY_PAGE_ENTRIES, &page.listing);
    if (status == 0) {
        page.read_ns = mount_now_ns(mount);
        *ret = page;
    }
    return status;
}

/* Of the task that reads until that is done, and of who has asked until it is taken or dropped. */
struct page_ahead {
    struct mount *mount;
    struct inode *directory; /* pinned */
    uint64_t after;
    bool names_only;
    struct directory_page page; /* when `status` is 0 */
    int status;
    bool done;
    bool dropped;
    bool goes_on, goes_on_names_only;
    struct page_ahead *next;
    struct task_queue came;
};

static void ahead_free(struct page_ahead *ahead) {
    if (ahead->status == 0) {
        listing_release(&ahead->page.listing);
    }
    ahead->mount->n_pages_ahead--;
    mount_unpin(ahead->mount, ahead->directory);
    free(ahead);
}

static void check_next(struct page_ahead *ahead) {
    const struct listing *listing = &ahead->page.listing;
    if (ahead->goes_on && ahead->done && ahead->status == 0 && ahead->next == NULL &&
        !listing->end) {
        uint64_t last = listing->entries[listing->n - 1].cookie;
        ahead->next =
            page_ahead_ask(ahead->mount, ahead->directory, last, ahead->goes_on_names_only);
    }
}

static void ask(void *arg) {
    struct page_ahead *ahead = arg;
    struct mount *mount = ahead->mount;
    int64_t before_ns = task_deadline_ns(task_self());
    task_set_deadline(task_self(), mount_now_ns(mount) + AHEAD_WITHIN_NS);
    ahead->status =
        page_read(mount, ahead->directory, ahead->after, ahead->names_only, &ahead->page);
    task_set_deadline(task_self(), before_ns); /* it may be another's task */
    ahead->done = true;
    task_wake_all(&ahead->came);
    if (ahead->dropped) {
        ahead_free(ahead);
    } else {
        check_next(ahead);
    }
    mount_background_done(mount);
}

struct page_ahead *page_ahead_ask(struct mount *mount, struct inode *directory, uint64_t after,
                                  bool names_only) {
    if (mount->n_pages_ahead >= PAGES_AHEAD_MAX || mount->config.attributes_ns == 0 ||
        mount->stopping) {
        return NULL;
    }
    struct page_ahead *ahead = memory_new(1, sizeof *ahead);
    ahead->mount = mount;
    ahead->directory = directory;
    ahead->after = after;
    ahead->names_only = names_only;
    inode_pin(directory);
    mount->n_pages_ahead++;
    mount_background(mount, ask, ahead);
    return ahead;
}

void page_ahead_go_on(struct page_ahead *ahead, bool names_only) {
    if (ahead != NULL) {
        ahead->goes_on = true;
        ahead->goes_on_names_only = names_only;
        check_next(ahead);
    }
}

bool page_ahead_is_there(const struct page_ahead *ahead) {
    return ahead->done;
}

bool page_ahead_names_only(const struct page_ahead *ahead) {
    return ahead->names_only;
}

/* As good as a page that is read now, as far as is known. */
static bool is_good(const struct page_ahead *ahead) {
    const struct mount *mount = ahead->mount;
    const struct inode *directory = ahead->directory;
    uint64_t told = directory->watch != NULL ? directory->watch->told : 0;
    return ahead->status == 0 && directory->changed <= ahead->page.began &&
           told <= ahead->page.began &&
           mount_now_ns(mount) - ahead->page.read_ns <= mount->config.attributes_ns;
}

int page_ahead_take(struct page_ahead **at, struct directory_page *ret) {
    struct page_ahead *ahead = *at;
    int status = 0;
    while (!ahead->done && status == 0) {
        status = task_wait(&ahead->came);
    }
    if (!ahead->done || !is_good(ahead)) {
        page_ahead_drop(at);
        return status != 0 ? status : ERR_CONFLICT;
    }
    *ret = ahead->page;
    ahead->page = (struct directory_page){0};
    *at = ahead->next;
    ahead_free(ahead);
    return 0;
}

void page_ahead_drop(struct page_ahead **at) {
    while (*at != NULL) {
        struct page_ahead *ahead = *at;
        *at = ahead->next;
        if (ahead->done) {
            ahead_free(ahead);
        } else {
            ahead->dropped = true;
        }
    }
}
