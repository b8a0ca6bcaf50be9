/* ringctl_nodes: one question to every node at once, and what each answered. */
#include "node/ringctl_nodes.h"

#include <stdlib.h>

static int ask(void *context) {
    struct ctl_answer *answer = context;
    answer->status =
        session_ask(answer->ctl->session, answer->type, answer->member.id, &answer->payload);
    return 0;
}

struct ctl_answer *ctl_ask_nodes(struct ctl *ctl, uint8_t type, int64_t wait_ms, uint32_t *ret_n) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    uint32_t n = ring->n_members;
    struct ctl_answer *answers = memory_new(n, sizeof *answers);
    struct task_group group = {0};
    int64_t limit = task_deadline_ns(task_self());
    int64_t soon = session_now_ns(ctl->session) + wait_ms * 1000000;
    task_set_deadline(task_self(), soon < limit ? soon : limit);
    for (uint32_t i = 0; i < n; i++) {
        answers[i] = (struct ctl_answer){.ctl = ctl, .type = type, .member = ring->members[i]};
        task_group_run(&group, ask, &answers[i]);
    }
    task_group_wait(&group, 0);
    *ret_n = n;
    return answers;
}

void ctl_answers_free(struct ctl_answer *answers, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)answers[i].payload.data);
    }
    free(answers);
}

int ctl_silent_exit(uint32_t n_silent, uint32_t n) {
    return n_silent == 0 ? CTL_DONE : n_silent < n ? CTL_FAILED : CTL_UNREACHABLE;
}
