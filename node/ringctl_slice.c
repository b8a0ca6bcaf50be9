/* ringctl_slice: the rows of one slice at all its replicas, merged by key. */
#include <stdlib.h>
#include <string.h>

#include "node/ringctl_verify.h"

/* A page of short keys; one of long ones may be larger, and then waits for the link to be free. */
enum { PAGE_SIZE_EXPECTED = 48 << 10 };

void slice_reader_init(struct slice_reader *reader, struct ctl *ctl, uint16_t slice) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    const uint16_t *list = ring_preference(ring, slice);
    *reader = (struct slice_reader){.ctl = ctl, .slice = slice, .n = ring->n_replicas_held};
    for (uint32_t i = 0; i < reader->n; i++) {
        reader->streams[i] = (struct slice_stream){.node = ring->members[list[i]].id, .more = true};
    }
}

static void drop_page(struct slice_stream *stream) {
    free((void *)(uintptr_t)stream->payload.data);
    stream->payload = bytes_of(NULL, 0);
    stream->rows = bytes_of(NULL, 0);
    stream->has_row = false;
}

void slice_reader_release(struct slice_reader *reader) {
    for (uint32_t i = 0; i < reader->n; i++) {
        drop_page(&reader->streams[i]);
        buffer_release(&reader->streams[i].after);
    }
}

void slice_reader_seek(struct slice_reader *reader, struct bytes after) {
    for (uint32_t i = 0; i < reader->n; i++) {
        struct slice_stream *stream = &reader->streams[i];
        drop_page(stream);
        stream->more = true;
        buffer_clear(&stream->after);
        buffer_put_bytes(&stream->after, after);
    }
}

static int take_page(struct slice_stream *stream) {
    struct leaf leaf;
    int err = leaf_decode(stream->payload, &leaf);
    if (err != 0) {
        return err;
    }
    stream->rows = leaf.rows;
    stream->more = leaf.more;
    buffer_clear(&stream->after);
    buffer_put_bytes(&stream->after, leaf.cursor);
    return 0;
}

static int fetch_page(struct slice_reader *reader, struct slice_stream *stream) {
    struct ctl *ctl = reader->ctl;
    struct buffer payload = {0};
    struct leaf_request request = {
        .slice = reader->slice, .rows_max = SLICE_PAGE_ROWS, .after = buffer_bytes(&stream->after)};
    leaf_request_encode(&request, &payload);
    struct session_question question = {.type = MESSAGE_LEAF,
                                        .node = stream->node,
                                        .payload = buffer_bytes(&payload),
                                        .reply_size = PAGE_SIZE_EXPECTED,
                                        .deadline_ns = session_now_ns(ctl->session) + ctl->wait_ns};
    drop_page(stream);
    int err = session_ask_about(ctl->session, &question, &stream->payload);
    buffer_release(&payload);
    return err == 0 ? take_page(stream) : err;
}

/* Brings the stream's next row to hand; it may have none any more. */
static int fill(struct slice_reader *reader, struct slice_stream *stream) {
    while (!stream->has_row && (stream->rows.size > 0 || stream->more)) {
        if (stream->rows.size > 0) {
            stream->has_row = leaf_next(&stream->rows, &stream->row);
            return 0;
        }
        stream->status = fetch_page(reader, stream);
        if (stream->status != 0) {
            return stream->status;
        }
    }
    return 0;
}

static bool same_row(const struct leaf_row *a, const struct leaf_row *b) {
    return a != NULL && b != NULL && a->flags == b->flags && (a->flags & LEAF_CORRUPT) == 0 &&
           memcmp(a->clock, b->clock, LEAF_DIGEST_SIZE) == 0;
}

int slice_reader_next(struct slice_reader *reader, struct slice_row *ret) {
    struct leaf_row *lowest = NULL;
    for (uint32_t i = 0; i < reader->n; i++) {
        struct slice_stream *stream = &reader->streams[i];
        int err = fill(reader, stream);
        if (err != 0) {
            return err;
        }
        if (stream->has_row &&
            (lowest == NULL || bytes_compare(stream->row.key, lowest->key) < 0)) {
            lowest = &stream->row;
        }
    }
    if (lowest == NULL) {
        return 0;
    }
    *ret = (struct slice_row){.key = lowest->key, .same = true};
    for (uint32_t i = 0; i < reader->n; i++) {
        struct slice_stream *stream = &reader->streams[i];
        bool here = stream->has_row && bytes_equal(stream->row.key, lowest->key);
        ret->rows[i] = here ? &stream->row : NULL;
        ret->same = ret->same && same_row(ret->rows[i], lowest);
    }
    /* Taken all at once: `lowest` is one of them. The rows stay readable until their page goes. */
    for (uint32_t i = 0; i < reader->n; i++) {
        reader->streams[i].has_row = reader->streams[i].has_row && ret->rows[i] == NULL;
    }
    return 1;
}
