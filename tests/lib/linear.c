/* linear: whether a history has an order that explains it. */
#include "tests/lib/linear.h"

#include <stdlib.h>
#include <string.h>

#include "shared/bytes.h"
#include "shared/request.h"

struct siblings {
    uint32_t n;
    uint32_t ops[LINEAR_SIBLINGS_MAX];
};

struct state {
    struct siblings rows[LINEAR_ROWS_MAX];
};

/* One operation that was put into the order, and what it took: for the way back. */
struct step {
    uint32_t op;
    uint32_t next; /* the candidate to try after it */
    bool forced;   /* it changes nothing and fits: no other needs to be tried in its place */
    uint64_t hash;
    struct state before;
};

struct search {
    const struct linear_history *history;
    bool *placed;
    uint32_t first; /* the first operation that is not placed */
    uint32_t n_placed, n_needed;
    struct state state;
    uint64_t hash; /* of the set of placed operations and the state */
    struct step *steps;
    uint32_t n_steps;
    uint64_t *tried; /* hash table of hashes; 0 = empty */
    uint32_t n_tried, tried_capacity;
    uint32_t furthest, blocked; /* the most placed, plus 1, and what could not follow */
    bool overflown;
};

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static uint64_t op_hash(uint32_t op) {
    return mix(op + 0x1234567u);
}

static uint64_t sibling_hash(uint32_t row, uint32_t op) {
    return mix(((uint64_t)row + 1) << 40 | op);
}

/* ---- the model ---- */

static const struct linear_op *op_of(const struct search *s, uint32_t op) {
    return &s->history->ops[op];
}

static bool covers(const struct search *s, uint32_t op, uint32_t part, uint32_t other) {
    return s->history->covers(s->history->context, op, part, other);
}

static bool replaces(const struct search *s, uint32_t op, uint32_t part, uint32_t other) {
    return s->history->replaces(s->history->context, op, part, other);
}

static bool noisy(const struct search *s, uint32_t row, int64_t before_ns) {
    return s->history->noisy(s->history->context, row, before_ns);
}

/* Whether what `op` left in the row is a value rather than a tombstone. */
static bool is_live(const struct search *s, uint32_t op, uint32_t row) {
    const struct linear_op *o = op_of(s, op);
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->parts[i].row == row && o->parts[i].kind != ROW_GUARD) {
            return o->parts[i].kind != ROW_DELETE;
        }
    }
    return false;
}

static bool row_live(const struct search *s, uint32_t row) {
    for (uint32_t i = 0; i < s->state.rows[row].n; i++) {
        if (is_live(s, s->state.rows[row].ops[i], row)) {
            return true;
        }
    }
    return false;
}

/* Live rows for certain: those that others may have deleted do not count. */
static uint32_t live_rows(const struct search *s, int64_t before_ns) {
    uint32_t n = 0;
    for (uint32_t row = 0; row < LINEAR_ROWS_MAX; row++) {
        n += row_live(s, row) && !noisy(s, row, before_ns);
    }
    return n;
}

static bool part_passes(const struct search *s, uint32_t op, uint32_t index) {
    const struct linear_part *part = &op_of(s, op)->parts[index];
    const struct siblings *row = &s->state.rows[part->row];
    if (part->condition == ROW_COUNT_MAX) {
        return live_rows(s, op_of(s, op)->end_ns) <= part->count_max;
    }
    if (part->condition != ROW_IF_MATCH && part->condition != ROW_IF_ABSENT) {
        return true;
    }
    for (uint32_t i = 0; i < row->n; i++) {
        bool matters = part->condition == ROW_IF_MATCH || is_live(s, row->ops[i], part->row);
        if (matters && !covers(s, op, index, row->ops[i])) {
            return false;
        }
    }
    return true;
}

static bool passes(const struct search *s, uint32_t op) {
    for (uint32_t i = 0; i < op_of(s, op)->n; i++) {
        if (!part_passes(s, op, i)) {
            return false;
        }
    }
    return true;
}

/* Whether it had seen a version of a row that is gone: one that was deleted and reaped, or that was
 * proposed and never chosen. */
static bool saw_what_is_gone(const struct search *s, uint32_t op) {
    const struct linear_op *o = op_of(s, op);
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->parts[i].knows && !row_live(s, o->parts[i].row)) {
            return true;
        }
    }
    return false;
}

/* Whether a refusal may be due to what others wrote. */
static bool excused(const struct search *s, uint32_t op) {
    const struct linear_op *o = op_of(s, op);
    for (uint32_t i = 0; i < o->n; i++) {
        bool all = o->parts[i].condition == ROW_COUNT_MAX;
        for (uint32_t row = 0; row < LINEAR_ROWS_MAX; row++) {
            if ((all || o->parts[i].row == row) && noisy(s, row, o->end_ns)) {
                return true;
            }
        }
    }
    return false;
}

static bool read_fits(const struct search *s, const struct linear_op *o) {
    for (uint32_t row = 0; row < LINEAR_ROWS_MAX; row++) {
        if ((o->rows >> row & 1) == 0 || noisy(s, row, o->end_ns)) {
            continue;
        }
        const struct siblings *now = &s->state.rows[row];
        uint32_t n = 0, met = 0;
        for (uint32_t i = 0; i < o->n_observed; i++) {
            n += o->observed[i].row == row;
            for (uint32_t k = 0; k < now->n; k++) {
                met += o->observed[i].row == row && now->ops[k] == o->observed[i].op;
            }
        }
        bool live = row_live(s, row);
        bool gone = n == 0 && !live; /* tombstones are reaped in the end */
        bool shown = n == now->n && met == n && (live || !o->live_only);
        if (!gone && !shown) {
            return false;
        }
    }
    return true;
}

static bool fits(const struct search *s, uint32_t op) {
    const struct linear_op *o = op_of(s, op);
    switch (o->kind) {
    case LINEAR_REFUSED:
        return !passes(s, op) || saw_what_is_gone(s, op) || excused(s, op);
    case LINEAR_READ:
        return read_fits(s, o);
    case LINEAR_DONE:
    case LINEAR_MAYBE:
        break;
    }
    return passes(s, op);
}

static void write_row(struct search *s, uint32_t op, uint32_t index) {
    const struct linear_part *part = &op_of(s, op)->parts[index];
    struct siblings *row = &s->state.rows[part->row];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < row->n; i++) {
        if (part->condition == ROW_ANY && !replaces(s, op, index, row->ops[i])) {
            row->ops[kept++] = row->ops[i];
        } else {
            s->hash ^= sibling_hash(part->row, row->ops[i]);
        }
    }
    row->n = kept;
    if (row->n == LINEAR_SIBLINGS_MAX) {
        s->overflown = true;
        return;
    }
    row->ops[row->n++] = op;
    s->hash ^= sibling_hash(part->row, op);
}

/* ---- the search ---- */

/* Whether this set of operations and state is new. */
static bool remember(struct search *s) {
    if (s->n_tried * 2 >= s->tried_capacity) {
        uint64_t *old = s->tried;
        uint32_t old_capacity = s->tried_capacity;
        s->tried_capacity = old_capacity > 0 ? old_capacity * 4 : 1024;
        s->tried = memory_new(s->tried_capacity, sizeof(*s->tried));
        for (uint32_t i = 0; i < old_capacity; i++) {
            for (uint64_t at = old[i]; old[i] != 0; at++) {
                if (s->tried[at & (s->tried_capacity - 1)] == 0) {
                    s->tried[at & (s->tried_capacity - 1)] = old[i];
                    break;
                }
            }
        }
        free(old);
    }
    uint64_t hash = s->hash != 0 ? s->hash : 1;
    uint64_t at = hash;
    while (s->tried[at & (s->tried_capacity - 1)] != 0) {
        if (s->tried[at & (s->tried_capacity - 1)] == hash) {
            return false;
        }
        at++;
    }
    s->tried[at & (s->tried_capacity - 1)] = hash;
    s->n_tried++;
    return true;
}

static void place(struct search *s, uint32_t op, bool forced) {
    const struct linear_op *o = op_of(s, op);
    s->steps[s->n_steps++] = (struct step){op, op + 1, forced, s->hash, s->state};
    s->placed[op] = true;
    s->n_placed += o->kind != LINEAR_MAYBE;
    s->hash ^= op_hash(op);
    for (uint32_t i = 0; i < o->n; i++) {
        if ((o->kind == LINEAR_DONE || o->kind == LINEAR_MAYBE) && o->parts[i].kind != ROW_GUARD) {
            write_row(s, op, i);
        }
    }
    while (s->first < s->history->n && s->placed[s->first]) {
        s->first++;
    }
}

static struct step *take_out(struct search *s) {
    struct step *step = &s->steps[--s->n_steps];
    s->placed[step->op] = false;
    s->n_placed -= op_of(s, step->op)->kind != LINEAR_MAYBE;
    s->state = step->before;
    s->hash = step->hash;
    s->first = step->op < s->first ? step->op : s->first;
    return step;
}

/* Goes back to the last choice and returns the candidate to go on with there; false when there was
 * none. */
static bool take_back(struct search *s, uint32_t *ret_from) {
    while (s->n_steps > 0) {
        struct step *step = take_out(s);
        if (!step->forced) {
            *ret_from = step->next;
            return true;
        }
    }
    return false;
}

/* The operation that ends first of those not placed: no operation that starts later can go before
 * it. */
static uint32_t earliest_end(const struct search *s) {
    uint32_t best = s->first;
    for (uint32_t i = s->first; i < s->history->n; i++) {
        if (op_of(s, i)->start_ns > op_of(s, best)->end_ns) {
            break;
        }
        if (!s->placed[i] && op_of(s, i)->end_ns < op_of(s, best)->end_ns) {
            best = i;
        }
    }
    return best;
}

/* Places one more operation, candidate `from` at the earliest; false when there is none. */
static bool advance(struct search *s, uint32_t from) {
    uint32_t last = earliest_end(s);
    if (s->n_placed + 1 > s->furthest) {
        s->furthest = s->n_placed + 1;
        s->blocked = last;
    }
    int64_t end_ns = op_of(s, last)->end_ns;
    uint32_t n = s->history->n;
    for (uint32_t i = s->first; i < n && op_of(s, i)->start_ns <= end_ns; i++) {
        bool writes = op_of(s, i)->kind == LINEAR_DONE || op_of(s, i)->kind == LINEAR_MAYBE;
        if (!s->placed[i] && !writes && fits(s, i)) {
            place(s, i, true);
            return true;
        }
    }
    for (uint32_t i = from > s->first ? from : s->first; i < n && op_of(s, i)->start_ns <= end_ns;
         i++) {
        bool writes = op_of(s, i)->kind == LINEAR_DONE || op_of(s, i)->kind == LINEAR_MAYBE;
        if (!s->placed[i] && writes && fits(s, i)) {
            place(s, i, false);
            return true;
        }
    }
    return false;
}

static enum linear_verdict run(struct search *s) {
    uint32_t from = 0;
    for (uint32_t steps = 0; steps < LINEAR_STEPS_MAX; steps++) {
        if (s->n_placed == s->n_needed) {
            return LINEAR_YES;
        }
        bool moved = advance(s, from) && remember(s);
        from = 0;
        if (s->overflown) {
            return LINEAR_UNDECIDED;
        }
        if (!moved && !take_back(s, &from)) {
            return LINEAR_NO;
        }
    }
    return LINEAR_UNDECIDED;
}

enum linear_verdict linear_check(const struct linear_history *history, uint32_t *ret_blocked) {
    struct search s = {.history = history};
    s.placed = memory_new(history->n + 1, sizeof(*s.placed));
    s.steps = memory_new(history->n + 1, sizeof(*s.steps));
    for (uint32_t i = 0; i < history->n; i++) {
        s.n_needed += history->ops[i].kind != LINEAR_MAYBE;
    }
    enum linear_verdict verdict = run(&s);
    if (verdict == LINEAR_NO) {
        *ret_blocked = s.blocked;
    }
    free(s.placed);
    free(s.steps);
    free(s.tried);
    return verdict;
}
