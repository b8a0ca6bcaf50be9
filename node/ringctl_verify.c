/* ringctl_verify: whether all replicas of all rows hold the same versions, and which do not. */
#include "node/ringctl_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERIFY_SLICES_AT_ONCE = 8,
    VERIFY_SHOWN_MAX = 1000, /* differences that are told one by one; the others are counted */
    VERIFY_FAILED_MAX = 16,  /* nodes of which it is remembered that they do not answer */
    VERIFY_AGAIN_MS = 1000,  /* pause before a difference is looked at again */
    VERIFY_INCOMPLETE = 2,   /* exit code: some replica did not answer */
};

/* A row that differed. */
struct difference {
    uint16_t slice;
    struct bytes before; /* owned: the row key ahead of it */
    struct bytes key;    /* owned */
    bool stays;          /* it still did when it was looked at again */
    uint32_t n;
    uint16_t nodes[RING_REPLICAS_MAX];
    uint8_t flags[RING_REPLICAS_MAX]; /* MISSING or enum leaf_flags */
    uint8_t clocks[RING_REPLICAS_MAX][4];
};
enum { MISSING = 0x80 };

struct verify {
    struct ctl *ctl;
    uint16_t next;
    uint64_t n_rows, n_slices, n_differences;
    struct difference *differences;
    uint32_t n_shown;
    uint32_t n_failed;                  /* slices that could not be compared */
    uint16_t failed[VERIFY_FAILED_MAX]; /* nodes that are not asked any more, and why */
    int failed_status[VERIFY_FAILED_MAX];
    uint32_t n_failed_nodes;
};

static bool is_failed(const struct verify *v, uint16_t node) {
    for (uint32_t i = 0; i < v->n_failed_nodes; i++) {
        if (v->failed[i] == node) {
            return true;
        }
    }
    return false;
}

static void fail(struct verify *v, const struct slice_reader *reader) {
    for (uint32_t i = 0; i < reader->n; i++) {
        const struct slice_stream *stream = &reader->streams[i];
        if (stream->status != 0 && !is_failed(v, stream->node) &&
            v->n_failed_nodes < VERIFY_FAILED_MAX) {
            v->failed[v->n_failed_nodes] = stream->node;
            v->failed_status[v->n_failed_nodes++] = stream->status;
        }
    }
    v->n_failed++;
}

static bool any_failed(const struct verify *v, const struct slice_reader *reader) {
    for (uint32_t i = 0; i < reader->n; i++) {
        if (is_failed(v, reader->streams[i].node)) {
            return true;
        }
    }
    return false;
}

static void note(struct verify *v, uint16_t slice, struct bytes before,
                 const struct slice_row *row) {
    v->n_differences++;
    if (v->n_shown == VERIFY_SHOWN_MAX) {
        return;
    }
    struct difference *d = &v->differences[v->n_shown++];
    *d = (struct difference){.slice = slice, .stays = true};
    d->before = bytes_copy(before);
    d->key = bytes_copy(row->key);
}

static int verify_slice(struct verify *v, uint16_t slice) {
    struct slice_reader reader;
    struct slice_row row;
    struct buffer before = {0};
    slice_reader_init(&reader, v->ctl, slice);
    int status = any_failed(v, &reader) ? ERR_UNAVAILABLE : 1;
    while (status == 1 && (status = slice_reader_next(&reader, &row)) == 1) {
        v->n_rows++;
        if (!row.same) {
            note(v, slice, buffer_bytes(&before), &row);
        }
        buffer_clear(&before);
        buffer_put_bytes(&before, row.key);
    }
    if (status < 0) {
        fail(v, &reader);
    }
    v->n_slices += status == 0 ? 1 : 0;
    slice_reader_release(&reader);
    buffer_release(&before);
    return 0;
}

static int verify_some(void *context) {
    struct verify *v = context;
    while (v->next < client_ring(session_client(v->ctl->session))->n_slices) {
        verify_slice(v, v->next++);
    }
    return 0;
}

/* ---- again ---- */

static void describe_replicas(struct difference *d, const struct slice_reader *reader,
                              const struct slice_row *row) {
    d->n = reader->n;
    for (uint32_t i = 0; i < reader->n; i++) {
        const struct leaf_row *at = row->rows[i];
        d->nodes[i] = reader->streams[i].node;
        d->flags[i] = at != NULL ? at->flags : MISSING;
        memcpy(d->clocks[i], at != NULL ? at->clock : (const uint8_t *)"\0\0\0\0",
               sizeof d->clocks[i]);
    }
}

/* Rows written while they were being compared have settled meanwhile. */
static void look_again(struct verify *v, struct difference *d) {
    struct slice_reader reader;
    struct slice_row row;
    slice_reader_init(&reader, v->ctl, d->slice);
    slice_reader_seek(&reader, d->before);
    int status;
    while ((status = slice_reader_next(&reader, &row)) == 1 && bytes_compare(row.key, d->key) < 0) {
    }
    if (status < 0) {
        fail(v, &reader);
    } else if (status == 0 || !bytes_equal(row.key, d->key) || row.same) {
        d->stays = false;
        v->n_differences--;
    } else {
        describe_replicas(d, &reader, &row);
    }
    slice_reader_release(&reader);
}

/* ---- telling ---- */

static void state_of(const struct difference *d, uint32_t i, char *ret, size_t size) {
    const uint8_t *c = d->clocks[i];
    if ((d->flags[i] & MISSING) != 0) {
        snprintf(ret, size, "missing");
    } else if ((d->flags[i] & LEAF_CORRUPT) != 0) {
        snprintf(ret, size, "unreadable");
    } else {
        snprintf(ret, size, "%s %02x%02x%02x%02x",
                 (d->flags[i] & LEAF_DEAD) != 0 ? "deleted" : "live", c[0], c[1], c[2], c[3]);
    }
}

static void describe(struct namespace *ns, const struct difference *d, struct buffer *into) {
    struct bytes partition_key, sort_key;
    if (row_key_split(d->key, &partition_key, &sort_key) == 0) {
        namespace_describe(ns, partition_key, sort_key, into);
    }
    buffer_put_u8(into, 0);
}

static void print_difference(struct namespace *ns, const struct difference *d) {
    struct buffer name = {0};
    describe(ns, d, &name);
    printf("slice %u: %s:", d->slice, (const char *)name.data);
    for (uint32_t i = 0; i < d->n; i++) {
        char state[32];
        state_of(d, i, state, sizeof state);
        printf("%s node %u %s", i > 0 ? "," : "", d->nodes[i], state);
    }
    putchar('\n');
    buffer_release(&name);
}

static json_t *difference_json(struct namespace *ns, const struct difference *d) {
    struct buffer name = {0};
    json_t *replicas = json_array();
    describe(ns, d, &name);
    for (uint32_t i = 0; i < d->n; i++) {
        char state[32];
        state_of(d, i, state, sizeof state);
        json_array_append_new(replicas,
                              json_pack("{s:i, s:s}", "node", (int)d->nodes[i], "state", state));
    }
    json_t *text = json_string((const char *)name.data);
    buffer_release(&name);
    return json_pack("{s:i, s:o, s:o}", "slice", (int)d->slice, "row",
                     text != NULL ? text : json_string("?"), "replicas", replicas);
}

static void print_verify(const struct verify *v, struct namespace *ns) {
    json_t *all = json_array();
    for (uint32_t i = 0; i < v->n_shown; i++) {
        const struct difference *d = &v->differences[i];
        if (d->stays && v->ctl->json) {
            json_array_append_new(all, difference_json(ns, d));
        } else if (d->stays) {
            print_difference(ns, d);
        }
    }
    if (v->ctl->json) {
        ctl_print_json(json_pack("{s:I, s:I, s:I, s:i, s:o}", "rows", (json_int_t)v->n_rows,
                                 "slices", (json_int_t)v->n_slices, "differing",
                                 (json_int_t)v->n_differences, "slices_not_compared",
                                 (int)v->n_failed, "differences", all));
        return;
    }
    json_decref(all);
    printf("%llu rows in %llu slices compared at all replicas: %llu differ\n",
           (unsigned long long)v->n_rows, (unsigned long long)v->n_slices,
           (unsigned long long)v->n_differences);
}

int ctl_verify(struct ctl *ctl) {
    struct verify v = {.ctl = ctl};
    struct task_group group = {0};
    struct namespace *ns = NULL;
    task_set_deadline(task_self(), 0); /* --timeout is for each page */
    v.differences = memory_new(VERIFY_SHOWN_MAX, sizeof *v.differences);
    for (int i = 0; i < VERIFY_SLICES_AT_ONCE; i++) {
        task_group_run(&group, verify_some, &v);
    }
    task_group_wait(&group, 0);
    if (v.n_differences > 0) {
        task_sleep((int64_t)VERIFY_AGAIN_MS * 1000000);
    }
    for (uint32_t i = 0; i < v.n_shown; i++) {
        look_again(&v, &v.differences[i]);
    }
    if (v.n_differences > 0 && namespace_open(session_store(ctl->session), &ns) != 0) {
        ns = NULL;
    }
    print_verify(&v, ns);
    for (uint32_t i = 0; i < v.n_failed_nodes; i++) {
        fprintf(stderr, "ringctl: verify: node %u: %s; its slices were not compared\n", v.failed[i],
                err_text(v.failed_status[i]));
    }
    for (uint32_t i = 0; i < v.n_shown; i++) {
        free((void *)(uintptr_t)v.differences[i].before.data);
        free((void *)(uintptr_t)v.differences[i].key.data);
    }
    free(v.differences);
    if (ns != NULL) {
        namespace_close(ns);
    }
    return v.n_failed > 0 ? VERIFY_INCOMPLETE : v.n_differences > 0 ? CTL_FAILED : CTL_DONE;
}
