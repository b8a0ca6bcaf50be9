/* omit: what a run leaves out of what its seed would bring. */
#include "tests/sim/omit.h"

#include <stdio.h>
#include <string.h>

static const char *const knob_names[KNOBS] = {
    "tail", "loss", "double", "reorder", "stale", "busy",
    "slow", "hang", "drift",  "wall",    "twin",  "end",
};

/* Kinds that stay out unless asked for, until the core has what mends them. */
static const bool stays_out[FAULT_KINDS] = {
    [FAULT_ROT] = true,
};

static void bits_set(uint64_t *bits, uint32_t first, uint32_t last, bool value) {
    for (uint32_t i = first; i <= last; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;
        bits[i / 64] = value ? bits[i / 64] | bit : bits[i / 64] & ~bit;
    }
}

static bool bit_of(const uint64_t *bits, uint32_t i) {
    return (bits[i / 64] >> i % 64 & 1) != 0;
}

static uint32_t strike_bit(uint32_t n) {
    return n < OMIT_STRIKES_MAX ? n : OMIT_STRIKES_MAX - 1;
}

bool omit_strike(const struct omit *omit, enum fault_kind kind, uint32_t n) {
    return bit_of(omit->strikes[kind], strike_bit(n));
}

bool omit_op(const struct omit *omit, uint32_t session, uint32_t n) {
    return bit_of(&omit->ops[session], n);
}

void omit_strikes_set(struct omit *omit, enum fault_kind kind, uint32_t first, uint32_t last,
                      bool left_out) {
    bits_set(omit->strikes[kind], strike_bit(first), strike_bit(last), left_out);
}

void omit_ops_set(struct omit *omit, uint32_t session, uint32_t first, uint32_t last,
                  bool left_out) {
    bits_set(&omit->ops[session], first, last < OPS_MAX ? last : OPS_MAX - 1, left_out);
}

/* ---- text ---- */

/* "", "3" or "3-9". */
static bool parse_range(const char *text, uint32_t max, uint32_t *ret_first, uint32_t *ret_last) {
    unsigned first = 0, last = 0;
    char rest;
    int n = sscanf(text, "%u-%u%c", &first, &last, &rest);
    if (text[0] == '\0') {
        last = max;
    } else if (n == 1 && strchr(text, '-') == NULL) {
        last = first;
    } else if (n != 2) {
        return false;
    }
    *ret_first = first;
    *ret_last = last;
    return first <= last && last <= max;
}

static bool parse_op(const char *text, struct omit *into) {
    unsigned session = 0;
    int used = 0;
    if (sscanf(text, "%u%n", &session, &used) != 1 || session >= SESSIONS_MAX ||
        (text[used] != '.' && text[used] != '\0')) {
        return false;
    }
    uint32_t first, last;
    if (!parse_range(text + used + (text[used] == '.'), OPS_MAX - 1, &first, &last)) {
        return false;
    }
    omit_ops_set(into, session, first, last, true);
    return true;
}

static bool parse_part(char *part, struct omit *into) {
    char *colon = strchr(part, ':');
    const char *numbers = colon != NULL ? colon + 1 : "";
    if (colon != NULL) {
        *colon = '\0';
    }
    if (strcmp(part, "op") == 0) {
        return colon != NULL && parse_op(numbers, into);
    }
    for (int knob = 0; knob < KNOBS && colon == NULL; knob++) {
        if (strcmp(part, knob_names[knob]) == 0) {
            into->knobs[knob] = true;
            return true;
        }
    }
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        uint32_t first, last;
        if (strcmp(part, fault_names[kind]) == 0 &&
            parse_range(numbers, OMIT_STRIKES_MAX - 1, &first, &last)) {
            omit_strikes_set(into, (enum fault_kind)kind, first, last, true);
            return true;
        }
    }
    return false;
}

bool omit_parse(const char *text, struct omit *into) {
    char copy[OMIT_TEXT_MAX];
    if (strlen(text) >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    char *rest = NULL;
    for (char *part = strtok_r(copy, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        if (!parse_part(part, into)) {
            return false;
        }
    }
    return true;
}

struct text {
    char *into;
    size_t size, used;
};

static void add_part(struct text *text, const char *part) {
    size_t size = strlen(part) + (text->used > 0);
    if (text->used + size < text->size) {
        snprintf(text->into + text->used, text->size - text->used, "%s%s",
                 text->used > 0 ? "," : "", part);
        text->used += size;
    }
}

/* One part for each run of bits; `name` ends in what stands before the numbers. */
static void add_bits(struct text *text, const char *name, char mark, const uint64_t *bits,
                     uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = i;
        while (i < n && bit_of(bits, i)) {
            i++;
        }
        char part[64];
        if (i == n && first == 0) {
            snprintf(part, sizeof(part), "%s", name);
        } else if (i == first + 1) {
            snprintf(part, sizeof(part), "%s%c%u", name, mark, first);
        } else {
            snprintf(part, sizeof(part), "%s%c%u-%u", name, mark, first, i - 1);
        }
        if (i > first) {
            add_part(text, part);
        }
    }
}

void omit_print(const struct omit *omit, char *into, size_t size) {
    struct text text = {into, size, 0};
    into[0] = '\0';
    for (int knob = 0; knob < KNOBS; knob++) {
        if (omit->knobs[knob]) {
            add_part(&text, knob_names[knob]);
        }
    }
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        add_bits(&text, fault_names[kind], ':', omit->strikes[kind], OMIT_STRIKES_MAX);
    }
    for (uint32_t session = 0; session < SESSIONS_MAX; session++) {
        char name[16];
        snprintf(name, sizeof(name), "op:%u", session);
        add_bits(&text, name, '.', &omit->ops[session], OPS_MAX);
    }
}

/* ---- effect ---- */

bool omit_with(const char *name, struct omit *into) {
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (strcmp(name, fault_names[kind]) == 0) {
            into->with[kind] = true;
            return true;
        }
    }
    return false;
}

static bool whole_kind(const struct omit *omit, int kind) {
    for (uint32_t i = 0; i < OMIT_STRIKES_MAX / 64; i++) {
        if (~omit->strikes[kind][i] != 0) {
            return false;
        }
    }
    return true;
}

void omit_apply(const struct omit *omit, struct options *o) {
    uint32_t *const rates[] = {
        [KNOB_TAIL] = &o->net.tail_ppm,     [KNOB_LOSS] = &o->net.loss_ppm,
        [KNOB_DOUBLE] = &o->net.double_ppm, [KNOB_REORDER] = &o->net.reorder_ppm,
        [KNOB_STALE] = &o->net.stale_ppm,   [KNOB_BUSY] = &o->net.busy_ppm,
        [KNOB_HANG] = &o->disk_hang_ppm,    [KNOB_TWIN] = &o->crash_twin_ppm,
    };
    for (size_t knob = 0; knob < sizeof(rates) / sizeof(*rates); knob++) {
        if (omit->knobs[knob] && rates[knob] != NULL) {
            *rates[knob] = 0;
        }
    }
    o->slow_node = omit->knobs[KNOB_SLOW] ? 0 : o->slow_node;
    o->drift_max_ppm = omit->knobs[KNOB_DRIFT] ? 0 : o->drift_max_ppm;
    o->wall_offset_max_ns = omit->knobs[KNOB_WALL] ? 0 : o->wall_offset_max_ns;
    o->crash_all_at_end = omit->knobs[KNOB_END] ? false : o->crash_all_at_end;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (whole_kind(omit, kind) || (stays_out[kind] && !omit->with[kind])) {
            o->every_ns[kind] = 0;
        }
    }
}
