/* shortfall: why a request ended UNAVAILABLE or UNKNOWN: what it needed, what answered, who not. */
#include "shared/shortfall.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "shared/err.h"

void shortfall_add(struct shortfall *shortfall, uint16_t node) {
    for (uint8_t i = 0; i < shortfall->n_silent; i++) {
        if (shortfall->silent[i] == node) {
            return;
        }
    }
    if (shortfall->n_silent < RING_REPLICAS_MAX) {
        shortfall->silent[shortfall->n_silent++] = node;
    }
}

void shortfall_encode(const struct shortfall *shortfall, struct buffer *into) {
    assert(shortfall->n_silent <= RING_REPLICAS_MAX);
    buffer_put_u8(into, shortfall->needed);
    buffer_put_u8(into, shortfall->answered);
    buffer_put_u8(into, shortfall->n_silent);
    for (uint8_t i = 0; i < shortfall->n_silent; i++) {
        buffer_put_u16(into, shortfall->silent[i]);
    }
}

int shortfall_decode(struct bytes payload, struct shortfall *ret) {
    struct reader r = reader_of(payload);
    struct shortfall got = {.needed = reader_u8(&r)};
    got.answered = reader_u8(&r);
    got.n_silent = reader_u8(&r);
    if (got.n_silent > RING_REPLICAS_MAX) {
        return ERR_INVALID;
    }
    for (uint8_t i = 0; i < got.n_silent; i++) {
        got.silent[i] = reader_u16(&r);
    }
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret = got;
    return 0;
}

/* Appends at *at, which may pass the end: then nothing is written. */
static void say(char *text, size_t size, size_t *at, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (*at < size) {
        *at += (size_t)vsnprintf(text + *at, size - *at, format, arguments);
    }
    va_end(arguments);
}

const char *shortfall_text(const struct shortfall *shortfall, char *ret, size_t size) {
    size_t at = 0;
    uint8_t n = shortfall->n_silent;
    ret[0] = '\0';
    if (shortfall->needed > 0) {
        say(ret, size, &at, "%u of %u replicas answered%s", shortfall->answered, shortfall->needed,
            n > 0 ? ", " : "");
    }
    for (uint8_t i = 0; i < n; i++) {
        const char *word = n > 1 ? "nodes " : "node ";
        if (i > 0) {
            word = i + 1 == n ? " and " : ", ";
        }
        say(ret, size, &at, "%s%u", word, shortfall->silent[i]);
    }
    if (n > 0) {
        say(ret, size, &at, " did not%s", shortfall->needed > 0 ? "" : " answer");
    }
    return ret;
}
