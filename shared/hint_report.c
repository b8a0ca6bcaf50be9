/* hint_report: what a node keeps for replicas that are away, as told in answer to HINTS. */
#include "shared/hint_report.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/err.h"
#include "shared/ring.h"

enum { TARGET_SIZE = 4 + 6 * 8 };

static void target_put(const struct hint_target *target, struct buffer *into) {
    buffer_put_u16(into, target->node);
    buffer_put_u8(into, target->state);
    buffer_put_u8(into, target->last_error);
    buffer_put_u64(into, target->n);
    buffer_put_u64(into, target->bytes);
    buffer_put_u64(into, target->age_ms);
    buffer_put_u64(into, target->dropped);
    buffer_put_u64(into, target->delivered);
    buffer_put_u64(into, target->rate);
}

static struct hint_target target_take(struct reader *r) {
    struct hint_target target = {.node = reader_u16(r)};
    target.state = reader_u8(r);
    target.last_error = reader_u8(r);
    target.n = reader_u64(r);
    target.bytes = reader_u64(r);
    target.age_ms = reader_u64(r);
    target.dropped = reader_u64(r);
    target.delivered = reader_u64(r);
    target.rate = reader_u64(r);
    return target;
}

void hint_report_encode(const struct hint_report *report, struct buffer *into) {
    assert(report->n_targets <= RING_MEMBERS_MAX);
    buffer_put_u8(into, report->ready ? 1 : 0);
    buffer_put_u64(into, report->bytes_max);
    buffer_put_u64(into, report->target_max);
    buffer_put_u64(into, report->n_marked);
    buffer_put_u16(into, (uint16_t)report->n_targets);
    for (uint32_t i = 0; i < report->n_targets; i++) {
        target_put(&report->targets[i], into);
    }
}

int hint_report_decode(struct bytes payload, struct hint_report *ret) {
    struct reader r = reader_of(payload);
    uint8_t ready = reader_u8(&r);
    struct hint_report report = {.ready = ready == 1};
    report.bytes_max = reader_u64(&r);
    report.target_max = reader_u64(&r);
    report.n_marked = reader_u64(&r);
    report.n_targets = reader_u16(&r);
    if (r.bad || ready > 1 || report.n_targets > RING_MEMBERS_MAX ||
        r.left != (size_t)report.n_targets * TARGET_SIZE) {
        return ERR_INVALID;
    }
    report.targets = memory_new((size_t)report.n_targets + 1, sizeof *report.targets);
    for (uint32_t i = 0; i < report.n_targets; i++) {
        report.targets[i] = target_take(&r);
        if (report.targets[i].state > HINTS_RETRYING) {
            hint_report_release(&report);
            return ERR_INVALID;
        }
    }
    *ret = report;
    return 0;
}

void hint_report_release(struct hint_report *report) {
    free(report->targets);
    *report = (struct hint_report){0};
}
