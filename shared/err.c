#include "shared/err.h"

const char *err_text(int err) {
    switch (err) {
    case 0:
        return "done";
#define ERR_CASE(name, number, errno_, text)                                                       \
    case ERR_##name:                                                                               \
        return text;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error";
    }
}

const char *err_name(int err) {
    switch (err) {
    case 0:
        return "OK";
#define ERR_CASE(name, number, errno_, text)                                                       \
    case ERR_##name:                                                                               \
        return #name;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "?";
    }
}

int err_errno(int err) {
    switch (err) {
    case 0:
        return 0;
#define ERR_CASE(name, number, errno_, text)                                                       \
    case ERR_##name:                                                                               \
        return errno_;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return EIO;
    }
}
