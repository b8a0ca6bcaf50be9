/* answers: what a session's answer must be, checked the moment it comes. */
#ifndef RINGFS_TESTS_SIM_ANSWERS_H
#define RINGFS_TESTS_SIM_ANSWERS_H

#include "tests/sim/workload.h"

/* The client called done(): checks status, time and contents, and remembers what the session knows
 * from now on. */
void answer_check(struct session *session, int status, struct bytes payload);
/* client_submit() did not take the request. */
void answer_refused(struct session *session, int err);

#endif
