/* store: giving back what the seam's calls filled in. */
#include "shared/store.h"

#include <stdlib.h>

static void held_release(struct bytes *held) {
    free((void *)(uintptr_t)held->data);
    *held = (struct bytes){0};
}

void store_row_release(struct store_row *row) {
    versions_release(&row->versions);
    held_release(&row->held);
    *row = (struct store_row){0};
}

void store_page_release(struct store_page *page) {
    scan_reply_release(&page->reply);
    held_release(&page->held);
    *page = (struct store_page){0};
}

void store_outcome_release(struct store_outcome *outcome) {
    batch_reply_release(&outcome->reply);
    held_release(&outcome->held);
    *outcome = (struct store_outcome){0};
}
