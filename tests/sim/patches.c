/* patches: writes that lay a few bytes over a row: what they write, and what they must not miss. */
#include "tests/sim/patches.h"

#include <string.h>

#include "shared/overlay.h"

#define NO_BODY UINT32_MAX

/* What a value is made of. */
struct made {
    uint32_t body;               /* the put's number; NO_BODY: of nothing */
    uint32_t last[SESSIONS_MAX]; /* of each session: its patch's number plus 1; 0 = none */
    size_t size;
    bool right;
};

static uint32_t slot_at(uint32_t session) {
    return PATCH_AT + PATCH_SLOT * session;
}

void patch_pieces(uint16_t session, uint32_t index, struct buffer *into) {
    uint8_t number[PATCH_SLOT];
    bytes_store_u32(number, index + 1);
    overlay_add(into, slot_at(session), bytes_of(number, sizeof number));
}

static bool is_patch(const struct ledger *ledger, uint32_t index, uint32_t row, uint32_t session) {
    const struct write *write = index < ledger->n ? &ledger->writes[index] : NULL;
    return write != NULL && write->session == session && write->n == 1 &&
           write->rows[0].row == row && write->rows[0].kind == ROW_PATCH && write_possible(write);
}

/* The bytes of [at, at + size) of a body that is longer by zeros. */
static void body_part(struct bytes body, size_t at, uint8_t *ret, size_t size) {
    memset(ret, 0, size);
    for (size_t i = 0; i < size && at + i < body.size; i++) {
        ret[i] = body.data[at + i];
    }
}

static void take_slot(const struct ledger *ledger, uint32_t row, uint32_t session,
                      struct bytes body, struct bytes value, struct made *made) {
    uint8_t before[PATCH_SLOT];
    size_t at = slot_at(session);
    if (at + PATCH_SLOT > value.size) {
        return;
    }
    body_part(body, at, before, sizeof before);
    uint32_t number = bytes_load_u32(value.data + at);
    /* (A number may look like the body's last byte and zeros.) */
    bool patch = number > 0 && is_patch(ledger, number - 1, row, session);
    if (!patch && memcmp(before, value.data + at, PATCH_SLOT) == 0) {
        return;
    }
    made->right = made->right && patch;
    made->last[session] = number;
    made->size = made->size > at + PATCH_SLOT ? made->size : at + PATCH_SLOT;
}

/* Outside the slots that were patched, the value is the body and zeros. */
static bool rest_right(const struct made *made, struct bytes body, struct bytes value) {
    for (size_t i = 0; i < value.size; i++) {
        size_t session = i >= PATCH_AT ? (i - PATCH_AT) / PATCH_SLOT : SESSIONS_MAX;
        bool in_slot = session < SESSIONS_MAX && made->last[session] > 0;
        if (!in_slot && value.data[i] != (i < body.size ? body.data[i] : 0)) {
            return false;
        }
    }
    return value.size == made->size;
}

static struct made made_with(const struct ledger *ledger, uint32_t row, uint32_t index,
                             struct bytes body, struct bytes value) {
    struct made made = {.body = index, .size = body.size, .right = true};
    for (uint32_t session = 0; session < SESSIONS_MAX; session++) {
        take_slot(ledger, row, session, body, value, &made);
    }
    made.right = made.right && rest_right(&made, body, value);
    return made;
}

static struct made made_of(struct ledger *ledger, uint32_t row, struct bytes value) {
    uint32_t index = value.size >= 8 ? bytes_load_u32(value.data) : NO_BODY;
    uint32_t position = value.size >= 8 ? bytes_load_u32(value.data + 4) : 0;
    struct made made = {.body = NO_BODY};
    if (index < ledger->n && position < ledger->writes[index].n &&
        ledger->writes[index].rows[position].row == row &&
        ledger->writes[index].rows[position].kind == ROW_PUT) {
        struct buffer body = {0};
        ledger_value(ledger, index, position, &body);
        made = made_with(ledger, row, index, buffer_bytes(&body), value);
        buffer_release(&body);
    }
    return made.right ? made : made_with(ledger, row, NO_BODY, bytes_of(NULL, 0), value);
}

/* ---- what must not be missing ---- */

/* Whether the body was there before `later` began, for certain and for good. (That of write 0 may
 * be zeros, which look like none.) */
static bool body_before(const struct ledger *ledger, uint32_t row, uint32_t body,
                        const struct write *later) {
    if (body != NO_BODY) {
        const struct write *write = &ledger->writes[body];
        return body > 0 && write->outcome == 0 && !write->retried &&
               write->end_ns < later->start_ns;
    }
    for (uint32_t i = 0; i < ledger->n; i++) {
        const struct write_row *part = write_row_of(&ledger->writes[i], row);
        if (part != NULL && part->kind == ROW_DELETE && write_possible(&ledger->writes[i])) {
            return false;
        }
    }
    return true;
}

/* Whether a patch of the row was under way together with the write: they may stand side by side,
 * and the patch, made without the write, is shown. */
static bool beside_a_patch(struct ledger *ledger, uint32_t row, const struct write *write) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        const struct write *other = &ledger->writes[i];
        const struct write_row *part = write_row_of(&ledger->writes[i], row);
        bool over = other->outcome == 0 && other->end_ns < write->start_ns;
        if (part != NULL && part->kind == ROW_PATCH && write_possible(other) && !over &&
            other->start_ns < write->end_ns) {
            return true;
        }
    }
    return false;
}

/* Whether a deletion may have replaced the write: it shows nothing, so what the write stood beside
 * is shown again. */
static bool may_be_deleted(struct ledger *ledger, uint32_t row, const struct write *write) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        const struct write *other = &ledger->writes[i];
        const struct write_row *part = write_row_of(&ledger->writes[i], row);
        bool over = other->outcome == 0 && other->end_ns < write->start_ns;
        if (part != NULL && part->kind == ROW_DELETE && write_possible(other) && !over) {
            return true;
        }
    }
    return false;
}

/* A put replaces what its coordinator knows of; what it does not stands beside it, and is shown if
 * that one's clock is ahead. */
static bool replaces_all(struct ledger *ledger, uint32_t row, const struct write *write,
                         const struct write_row *part) {
    const struct options *o = ledger->options;
    bool one_time = o->wall_offset_max_ns == 0 && o->every_ns[FAULT_WALL_JUMP] == 0;
    return part->kind == ROW_PUT && part->condition == ROW_OVERWRITE && one_time &&
           !beside_a_patch(ledger, row, write) && !may_be_deleted(ledger, row, write);
}

static void check_missing(struct ledger *ledger, uint32_t row, const struct made *made,
                          int64_t at_ns, const char *where) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        struct write *write = &ledger->writes[i];
        const struct write_row *part = write_row_of(write, row);
        if (part == NULL || write->outcome != 0 || write->stood_in || write->retried ||
            write->end_ns >= at_ns || i == made->body) {
            continue;
        }
        bool patch = part->kind == ROW_PATCH;
        bool missing =
            patch ? made->last[write->session] < i + 1 : replaces_all(ledger, row, write, part);
        if (missing && body_before(ledger, row, made->body, write)) {
            sim_fail(ledger->sim, "%s: row %u was patched without write %u, which was acknowledged",
                     where, row, i);
        }
    }
}

void patch_check(struct ledger *ledger, uint32_t row, uint32_t index, struct bytes value,
                 const char *where) {
    const struct write *write = &ledger->writes[index];
    struct made made = made_of(ledger, row, value);
    if (!made.right || made.last[write->session] != index + 1) {
        sim_fail(ledger->sim, "%s: row %u write %u: not what becomes of a value by patches", where,
                 row, index);
        return;
    }
    check_missing(ledger, row, &made, write->start_ns, where);
}

void patches_check_final(struct world *world, uint32_t row, const struct versions *now) {
    struct ledger *ledger = &world->ledger;
    const struct sibling *winner = versions_winner(now);
    struct write *write =
        winner != NULL && now->n_siblings == 1 ? ledger_find(ledger, &winner->op) : NULL;
    struct write_row *part = write != NULL ? write_row_of(write, row) : NULL;
    if (part != NULL && part->kind == ROW_PATCH) {
        struct made made = made_of(ledger, row, winner->value);
        check_missing(ledger, row, &made, world->sim.now_ns, "in the end");
    }
}
