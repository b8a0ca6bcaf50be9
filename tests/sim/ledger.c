/* ledger: every write of a run and what became of it. */
#include "tests/sim/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "tests/sim/patches.h"

struct dot_entry {
    struct dot dot; /* actor 0 = empty place */
    uint32_t write;
};

static void name_rows(struct ledger *ledger) {
    const struct options *o = ledger->options;
    for (uint32_t p = 0; p < o->n_partitions; p++) {
        for (uint32_t r = 0; r < o->n_rows; r++) {
            snprintf(ledger->partition_keys[ledger->n_rows], LEDGER_KEY_MAX, "p%u", p);
            snprintf(ledger->sort_keys[ledger->n_rows], LEDGER_KEY_MAX, r == 0 ? "%.0u" : "r%u", r);
            ledger->n_rows++;
        }
    }
    static const char *const directory_rows[DIRECTORY_ROWS] = {"h", "e0", "e1"};
    for (uint32_t d = 0; d < DIRECTORIES_MAX * DIRECTORY_ROWS; d++) {
        snprintf(ledger->partition_keys[ledger->n_rows], LEDGER_KEY_MAX, "directory%u",
                 d / DIRECTORY_ROWS);
        snprintf(ledger->sort_keys[ledger->n_rows], LEDGER_KEY_MAX, "%s",
                 directory_rows[d % DIRECTORY_ROWS]);
        ledger->n_rows++;
    }
    for (uint32_t c = 0; c < CONTESTS_MAX; c++) {
        snprintf(ledger->partition_keys[ledger->n_rows], LEDGER_KEY_MAX, "contest%u", c);
        snprintf(ledger->sort_keys[ledger->n_rows], LEDGER_KEY_MAX, "winner");
        ledger->n_rows++;
    }
}

void ledger_init(struct ledger *ledger, struct sim *sim, const struct options *options) {
    memset(ledger, 0, sizeof(*ledger));
    ledger->sim = sim;
    ledger->options = options;
    dice_init(&ledger->dice, sim->seed, DICE_OP, 0);
    ledger->dots_capacity = 1024;
    ledger->dots = memory_new(ledger->dots_capacity, sizeof(*ledger->dots));
    name_rows(ledger);
}

void ledger_release(struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        for (uint32_t k = 0; k < ledger->writes[i].n; k++) {
            context_release(&ledger->writes[i].rows[k].seen);
            free(ledger->writes[i].rows[k].dots);
        }
    }
    for (uint32_t row = 0; row < ROWS_TOTAL_MAX; row++) {
        context_release(&ledger->reaped[row]);
    }
    free(ledger->writes);
    free(ledger->reads);
    free(ledger->dots);
}

struct bytes ledger_partition_key(const struct ledger *ledger, uint32_t row) {
    return bytes_of_string(ledger->partition_keys[row]);
}

struct bytes ledger_sort_key(const struct ledger *ledger, uint32_t row) {
    return bytes_of_string(ledger->sort_keys[row]);
}

int ledger_row(const struct ledger *ledger, struct bytes partition_key, struct bytes sort_key) {
    for (uint32_t i = 0; i < ledger->n_rows; i++) {
        if (bytes_equal(ledger_partition_key(ledger, i), partition_key) &&
            bytes_equal(ledger_sort_key(ledger, i), sort_key)) {
            return (int)i;
        }
    }
    return -1;
}

uint32_t ledger_directory(const struct ledger *ledger, uint32_t index) {
    return (uint32_t)ledger->options->n_partitions * ledger->options->n_rows +
           index * DIRECTORY_ROWS;
}

uint32_t ledger_partition(const struct ledger *ledger, uint32_t row, uint32_t *ret_n) {
    if (row >= ledger_contest(ledger, 0)) {
        *ret_n = 1;
        return row;
    }
    uint32_t base = row >= ledger_directory(ledger, 0) ? ledger_directory(ledger, 0) : 0;
    *ret_n = base > 0 ? DIRECTORY_ROWS : ledger->options->n_rows;
    return base + (row - base) / *ret_n * *ret_n;
}

uint32_t ledger_contest(const struct ledger *ledger, uint32_t index) {
    return ledger->n_rows - CONTESTS_MAX + index;
}

/* Half random, half the write's number, so that it is found without a search. */
static struct op_id op_of(struct ledger *ledger, uint32_t index) {
    struct op_id op;
    bytes_store_u64(op.bytes, dice_throw(&ledger->dice));
    bytes_store_u64(op.bytes + 8, index);
    return op;
}

struct write *ledger_begin(struct ledger *ledger, uint16_t session, uint32_t *ret_index) {
    if (ledger->n == ledger->capacity) {
        ledger->capacity = ledger->capacity > 0 ? ledger->capacity * 2 : 256;
        ledger->writes = memory_resize(ledger->writes, ledger->capacity * sizeof(*ledger->writes));
    }
    struct write *write = &ledger->writes[ledger->n];
    memset(write, 0, sizeof(*write));
    write->op = op_of(ledger, ledger->n);
    write->session = session;
    write->start_ns = ledger->sim->now_ns;
    write->end_ns = TIMERS_NEVER;
    write->outcome = LEDGER_PENDING;
    *ret_index = ledger->n++;
    return write;
}

struct strict_read *ledger_read(struct ledger *ledger, uint32_t row, int64_t start_ns) {
    if (ledger->n_reads == ledger->reads_capacity) {
        ledger->reads_capacity = ledger->reads_capacity > 0 ? ledger->reads_capacity * 2 : 64;
        ledger->reads =
            memory_resize(ledger->reads, ledger->reads_capacity * sizeof(*ledger->reads));
    }
    uint32_t n;
    struct strict_read *read = &ledger->reads[ledger->n_reads++];
    *read = (struct strict_read){.start_ns = start_ns,
                                 .end_ns = ledger->sim->now_ns,
                                 .first_row = ledger_partition(ledger, row, &n)};
    return read;
}

void strict_read_saw(struct ledger *ledger, struct strict_read *read, uint32_t row,
                     const struct versions *versions) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct write *write = ledger_find(ledger, &versions->siblings[i].op);
        if (read->n == STRICT_SIBLINGS_MAX) {
            read->too_many = true;
        } else if (write != NULL) {
            read->siblings[read->n].row = (uint8_t)(row - read->first_row);
            read->siblings[read->n++].write = (uint32_t)(write - ledger->writes);
        }
    }
}

struct write *ledger_find(struct ledger *ledger, const struct op_id *op) {
    uint64_t index = bytes_load_u64(op->bytes + 8);
    if (index >= ledger->n || !op_id_equal(&ledger->writes[index].op, op)) {
        return NULL;
    }
    return &ledger->writes[index];
}

struct write_row *write_row_of(struct write *write, uint32_t row) {
    for (uint32_t i = 0; i < write->n; i++) {
        if (write->rows[i].row == row && write->rows[i].kind != ROW_GUARD) {
            return &write->rows[i];
        }
    }
    return NULL;
}

static bool refused(int outcome) {
    return outcome == ERR_CONFLICT || outcome == ERR_INVALID || outcome == ERR_TOO_BIG ||
           outcome == ERR_TIMEOUT || outcome == ERR_SIBLINGS;
}

bool write_possible(const struct write *write) {
    return !refused(write->outcome);
}

void ledger_end(struct ledger *ledger, uint32_t index, int outcome) {
    struct write *write = &ledger->writes[index];
    assert(write->outcome == LEDGER_PENDING);
    write->outcome = outcome;
    write->end_ns = ledger->sim->now_ns;
    for (uint32_t i = 0; i < write->n && refused(outcome); i++) {
        if (write->rows[i].stored) {
            sim_fail(ledger->sim, "write %u was answered %s but row %u of it is on a disk", index,
                     err_name(outcome), write->rows[i].row);
        }
    }
}

/* Sizes vary with the write, so that a mixed-up value has the wrong size too. */
void ledger_value(const struct ledger *ledger, uint32_t index, uint32_t position,
                  struct buffer *into) {
    uint64_t salt = (index * 4u + position) * 0x9e3779b97f4a7c15u ^ ledger->sim->seed;
    size_t size = 8 + salt % (ledger->options->value_size_max + 1);
    uint8_t *data = buffer_extend(into, size);
    bytes_store_u32(data, index);
    bytes_store_u32(data + 4, position);
    memset(data + 8, (int)(salt >> 8 & 0xff), size - 8);
}

static bool value_right(struct ledger *ledger, uint32_t index, uint32_t position,
                        struct bytes value) {
    struct buffer expected = {0};
    ledger_value(ledger, index, position, &expected);
    bool right = bytes_equal(buffer_bytes(&expected), value);
    buffer_release(&expected);
    return right;
}

void ledger_check_sibling(struct ledger *ledger, uint32_t row, const struct sibling *sibling,
                          const char *where) {
    struct write *write = ledger_find(ledger, &sibling->op);
    struct write_row *part = write != NULL ? write_row_of(write, row) : NULL;
    if (part == NULL) {
        sim_fail(ledger->sim, "%s: row %u holds a sibling that nobody wrote", where, row);
        return;
    }
    uint32_t index = (uint32_t)(write - ledger->writes);
    if (refused(write->outcome)) {
        sim_fail(ledger->sim, "%s: row %u holds write %u, which was answered %s", where, row, index,
                 err_name(write->outcome));
    }
    bool tombstone = (sibling->flags & SIBLING_TOMBSTONE) != 0;
    if (tombstone != (part->kind == ROW_DELETE) || (tombstone && sibling->value.size > 0)) {
        sim_fail(ledger->sim, "%s: row %u write %u: deleted and written mixed up", where, row,
                 index);
    } else if (part->kind == ROW_PATCH) {
        patch_check(ledger, row, index, sibling->value, where);
    } else if (!tombstone &&
               !value_right(ledger, index, (uint32_t)(part - write->rows), sibling->value)) {
        sim_fail(ledger->sim, "%s: row %u write %u: not the value written", where, row, index);
    }
}

static struct dot_entry *dot_place(struct ledger *ledger, struct dot dot) {
    uint64_t h = (dot.actor ^ dot.counter * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    uint32_t i = (uint32_t)(h >> 32) & (ledger->dots_capacity - 1);
    while (ledger->dots[i].dot.actor != 0 &&
           (ledger->dots[i].dot.actor != dot.actor || ledger->dots[i].dot.counter != dot.counter)) {
        i = (i + 1) & (ledger->dots_capacity - 1);
    }
    return &ledger->dots[i];
}

static void grow_dots(struct ledger *ledger) {
    struct dot_entry *old = ledger->dots;
    uint32_t old_capacity = ledger->dots_capacity;
    ledger->dots_capacity *= 2;
    ledger->dots = memory_new(ledger->dots_capacity, sizeof(*ledger->dots));
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i].dot.actor != 0) {
            *dot_place(ledger, old[i].dot) = old[i];
        }
    }
    free(old);
}

static void add_dot(struct write_row *part, struct dot dot) {
    for (uint32_t i = 0; i < part->n_dots; i++) {
        if (part->dots[i].actor == dot.actor && part->dots[i].counter == dot.counter) {
            return;
        }
    }
    part->dots = memory_resize(part->dots, (part->n_dots + 1) * sizeof(*part->dots));
    part->dots[part->n_dots++] = dot;
}

/* Learns which write a dot stands for; a dot stands for one write only, and for all its rows: a row
 * that covers it has the write or had it, whether the dot was made for this row or for another. */
static void learn_dot(struct ledger *ledger, struct write *write, struct dot dot) {
    uint32_t index = (uint32_t)(write - ledger->writes);
    struct dot_entry *entry = dot_place(ledger, dot);
    if (entry->dot.actor == 0) {
        *entry = (struct dot_entry){dot, index};
        if (++ledger->n_dots * 2 > ledger->dots_capacity) {
            grow_dots(ledger);
        }
    } else if (entry->write != index) {
        sim_fail(ledger->sim, "dot (%llx, %llu) stands for writes %u and %u",
                 (unsigned long long)dot.actor, (unsigned long long)dot.counter, entry->write,
                 index);
    }
    for (uint32_t i = 0; i < write->n; i++) {
        if (write->rows[i].kind != ROW_GUARD) {
            add_dot(&write->rows[i], dot);
        }
    }
}

static void learn_stored(struct ledger *ledger, uint32_t row, const struct sibling *sibling) {
    struct write *write = ledger_find(ledger, &sibling->op);
    struct write_row *part = write != NULL ? write_row_of(write, row) : NULL;
    if (part != NULL) { /* else it failed already */
        part->stored = true;
        learn_dot(ledger, write, sibling->dot);
    }
}

void ledger_replicated(struct ledger *ledger, struct bytes payload) {
    struct batch batch;
    if (batch_decode(payload, true, &batch) != 0) {
        sim_fail(ledger->sim, "a REPLICATE that cannot be decoded");
        return;
    }
    struct write *write = ledger_find(ledger, &batch.op);
    struct versions versions = {0};
    for (uint32_t i = 0; i < batch.n && write != NULL; i++) {
        if (batch.ops[i].kind != ROW_GUARD && versions_decode(batch.ops[i].value, &versions) == 0) {
            const struct sibling *mine = versions_find(&versions, &batch.op);
            if (mine != NULL) {
                learn_dot(ledger, write, mine->dot);
            }
        }
    }
    versions_release(&versions);
    batch_release(&batch);
}

void ledger_failed(struct ledger *ledger, uint32_t row, struct bytes value) {
    struct versions versions = {0};
    if (versions_decode(value, &versions) != 0) {
        sim_fail(ledger->sim, "a version of row %u that cannot be decoded", row);
    }
    for (uint32_t i = 0; i < versions.n_siblings; i++) {
        struct write *write = ledger_find(ledger, &versions.siblings[i].op);
        if (write != NULL && write_row_of(write, row) != NULL) {
            learn_dot(ledger, write, versions.siblings[i].dot);
        }
    }
    versions_release(&versions);
}

/* "n1 stores row 3: {n1.0.1:4 n2.0.1:7} write 12 at n2.0.1:7, write 9 deleted ..." */
static void trace_stored(struct ledger *ledger, uint32_t row, const char *process,
                         const struct versions *now) {
    struct buffer text = {0};
    char part[80];
    for (uint32_t i = 0; i < now->context.n; i++) {
        struct dot dot = now->context.entries[i];
        snprintf(part, sizeof(part), " n%u.%u:%llu", actor_node(dot.actor),
                 (unsigned)(dot.actor & 0xffff), (unsigned long long)dot.counter);
        buffer_put_bytes(&text, bytes_of_string(part));
    }
    for (uint32_t i = 0; i < now->n_siblings; i++) {
        const struct sibling *sibling = &now->siblings[i];
        struct write *write = ledger_find(ledger, &sibling->op);
        snprintf(part, sizeof(part), ", write %d at n%u.%u:%llu%s",
                 write != NULL ? (int)(write - ledger->writes) : -1, actor_node(sibling->dot.actor),
                 (unsigned)(sibling->dot.actor & 0xffff), (unsigned long long)sibling->dot.counter,
                 (sibling->flags & SIBLING_TOMBSTONE) != 0 ? " deleted" : "");
        buffer_put_bytes(&text, bytes_of_string(part));
    }
    sim_trace(ledger->sim, "%s stores row %u:%.*s", process, row, (int)text.size,
              (const char *)text.data);
    buffer_release(&text);
}

static void learn_reaped(struct ledger *ledger, uint32_t row, const char *process,
                         const struct versions *before) {
    if (versions_live(before) > 0) {
        sim_fail(ledger->sim, "%s removed row %u, which is live", process, row);
    }
    sim_trace(ledger->sim, "%s removes row %u", process, row);
    context_join(&ledger->reaped[row], &before->context);
    ledger->n_reaped[row]++;
}

/* A live sibling that a tombstone had replaced before it went. */
static void check_resurrection(struct ledger *ledger, uint32_t row, const char *process,
                               const struct versions *after) {
    for (uint32_t i = 0; i < after->n_siblings; i++) {
        const struct sibling *sibling = &after->siblings[i];
        if ((sibling->flags & SIBLING_TOMBSTONE) == 0 &&
            context_covers(&ledger->reaped[row], sibling->dot)) {
            sim_fail(ledger->sim, "%s: row %u is back after its tombstone went", process, row);
        }
    }
}

bool write_row_reaped(const struct ledger *ledger, const struct write_row *part) {
    return write_row_covered(part, &ledger->reaped[part->row]);
}

void ledger_stored(struct ledger *ledger, uint32_t row, const char *process, struct bytes old,
                   struct bytes now) {
    struct versions before = {0}, after = {0};
    if (versions_decode(old, &before) != 0 || versions_decode(now, &after) != 0) {
        sim_fail(ledger->sim, "%s stored something else than versions in row %u", process, row);
    } else {
        versions_check(&after);
        if (ledger->sim->tracing) {
            trace_stored(ledger, row, process, &after);
        }
        for (uint32_t i = 0; i < after.n_siblings; i++) {
            if (versions_find(&before, &after.siblings[i].op) == NULL) {
                ledger_check_sibling(ledger, row, &after.siblings[i], process);
            }
            learn_stored(ledger, row, &after.siblings[i]);
        }
        check_resurrection(ledger, row, process, &after);
        if (now.size == 0 && old.size > 0) {
            learn_reaped(ledger, row, process, &before);
        } else if (!context_includes(&after.context, &before.context)) {
            sim_fail(ledger->sim, "%s: the clock of row %u went backwards", process, row);
        }
    }
    versions_release(&before);
    versions_release(&after);
}

bool write_row_covered(const struct write_row *part, const struct context *context) {
    for (uint32_t i = 0; i < part->n_dots; i++) {
        if (context_covers(context, part->dots[i])) {
            return true;
        }
    }
    return false;
}
