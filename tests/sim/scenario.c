/* scenario: a directed run: what happens when, told by a script. */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/err.h"
#include "tests/sim/run_seed.h"
#include "tests/sim/workload.h"

enum { WORDS_MAX = 8, RULES_MAX = 16, LINE_MAX_SIZE = 200, ANSWER_MAX_S = 80, ANY_NODE = 0xffff };

/* Messages that are held or lost, or at which something happens. */
struct rule {
    uint8_t type;      /* 0 = any */
    uint16_t from, to; /* node ids, ANY_NODE */
    enum sim_verdict verdict;
    bool sent; /* of a `when` */
    char action[16];
    struct world_node *target;
};

struct scenario {
    const char *path;
    unsigned line;
    char *words[WORDS_MAX];
    unsigned n_words;
    bool wrong; /* the script cannot be read */
    struct world *world;
    struct workload *workload;
    struct rule rules[RULES_MAX]; /* of hold and lose */
    unsigned n_rules;
    struct rule whens[RULES_MAX];
    unsigned n_whens;
};

static void complain(struct scenario *s, const char *what) {
    fprintf(stderr, "%s:%u: %s\n", s->path, s->line, what);
    s->wrong = true;
}

/* ---- words ---- */

static const char *word(const struct scenario *s, unsigned i) {
    return i < s->n_words ? s->words[i] : "";
}

static uint16_t node_id(struct scenario *s, const char *name) {
    static const char *const places[] = {"first", "second", "third"};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(name, places[i]) == 0) {
            const struct ring *ring = world_ring(s->world);
            uint16_t slice = ring_slice(ring, ledger_partition_key(&s->world->ledger, 0));
            return ring->members[ring_preference(ring, slice)[i]].id;
        }
    }
    unsigned id = 0;
    if (strcmp(name, "any") == 0) {
        return ANY_NODE;
    }
    if (sscanf(name, "n%u", &id) != 1 || id == 0 || id > s->world->options.n_nodes) {
        complain(s, "no such node");
        id = 1;
    }
    return (uint16_t)id;
}

static struct world_node *node_of(struct scenario *s, const char *name) {
    uint16_t id = node_id(s, name);
    return &s->world->nodes[id == ANY_NODE ? 0 : id - 1];
}

static int64_t time_of(struct scenario *s, const char *text) {
    long long n = 0;
    char unit[4] = "";
    if (sscanf(text, "%lld%3s", &n, unit) != 2 ||
        (strcmp(unit, "ms") != 0 && strcmp(unit, "s") != 0)) {
        complain(s, "a time is a number with ms or s");
    }
    return n * (strcmp(unit, "ms") == 0 ? SIM_MS : SIM_S);
}

static uint8_t type_of(struct scenario *s, const char *name) {
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {{"any", 0},
                 {"batch", MESSAGE_BATCH},
                 {"get", MESSAGE_GET},
                 {"replicate", MESSAGE_REPLICATE},
                 {"read", MESSAGE_READ},
                 {"repair", MESSAGE_REPAIR},
                 {"prepare", 20},
                 {"tail", 21},
                 {"propose", 22},
                 {"chosen", 23},
                 {"hint", MESSAGE_HINT},
                 {"handoff", MESSAGE_HANDOFF},
                 {"slice", 28}};
    size_t size = strcspn(name, "+");
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strlen(types[i].name) == size && strncmp(name, types[i].name, size) == 0) {
            return (uint8_t)(types[i].type | (name[size] == '+' ? MESSAGE_REPLY : 0));
        }
    }
    complain(s, "no such message");
    return 0;
}

static struct session *session_of(struct scenario *s, const char *name) {
    unsigned number = 0;
    if (sscanf(name, "s%u", &number) != 1 || number >= s->world->options.n_sessions) {
        return NULL;
    }
    return &s->workload->sessions[number];
}

/* ---- messages ---- */

static bool matches(const struct rule *rule, uint16_t from, uint16_t to, uint8_t type) {
    return (rule->type == 0 || rule->type == type) &&
           (rule->from == ANY_NODE || rule->from == from) &&
           (rule->to == ANY_NODE || rule->to == to);
}

static enum sim_verdict judge(void *context, const struct sim_port *from, const struct sim_port *to,
                              const struct message *message) {
    const struct scenario *s = context;
    for (unsigned i = 0; i < s->n_rules; i++) {
        if (matches(&s->rules[i], from->node, to->node, message->type)) {
            return s->rules[i].verdict;
        }
    }
    return SIM_PASS;
}

static void crash(struct world_node *node) {
    if (node->node != NULL) {
        world_node_crash(node);
    }
}

static void isolate(struct world_node *node) {
    struct world *world = node->world;
    uint64_t all = ((uint64_t)1 << world->net.n_ports) - 1, one = (uint64_t)1 << node->port.index;
    sim_net_cut(&world->net, one, all & ~one);
    sim_net_cut(&world->net, all & ~one, one);
}

static void act(void *context, uint64_t index) {
    struct scenario *s = context;
    struct rule *when = &s->whens[index];
    sim_trace(&s->world->sim, "scenario: %s %s", when->action, when->target->process.name);
    if (strcmp(when->action, "crash") == 0) {
        crash(when->target);
    } else if (strcmp(when->action, "isolate") == 0) {
        isolate(when->target);
    } else {
        when->target->process.paused_until_ns = s->world->sim.now_ns + SIM_S;
    }
}

static void watch(void *context, struct sim_port *port, uint8_t type, bool sent) {
    struct scenario *s = context;
    for (unsigned i = 0; i < s->n_whens; i++) {
        struct rule *when = &s->whens[i];
        if (when->verdict == SIM_HOLD && when->sent == sent && matches(when, port->node, 0, type)) {
            when->verdict = SIM_PASS; /* once */
            sim_at(&s->world->sim, s->world->sim.now_ns, act, s, i);
        }
    }
}

/* ---- commands ---- */

static void command_rule(struct scenario *s) {
    if (s->n_words != 4 || s->n_rules == RULES_MAX) {
        complain(s, "hold|lose MESSAGE FROM TO");
        return;
    }
    s->rules[s->n_rules++] =
        (struct rule){.type = type_of(s, word(s, 1)),
                      .from = node_id(s, word(s, 2)),
                      .to = node_id(s, word(s, 3)),
                      .verdict = strcmp(word(s, 0), "hold") == 0 ? SIM_HOLD : SIM_LOSE};
}

static void command_when(struct scenario *s) {
    const char *action = word(s, 4);
    if (s->n_words != 6 || s->n_whens == RULES_MAX ||
        (strcmp(action, "crash") != 0 && strcmp(action, "pause") != 0 &&
         strcmp(action, "isolate") != 0)) {
        complain(s, "when NODE sent|got MESSAGE crash|pause|isolate NODE");
        return;
    }
    struct rule *when = &s->whens[s->n_whens++];
    *when = (struct rule){.type = type_of(s, word(s, 3)),
                          .from = node_id(s, word(s, 1)),
                          .to = ANY_NODE,
                          .verdict = SIM_HOLD,
                          .sent = strcmp(word(s, 2), "sent") == 0,
                          .target = node_of(s, word(s, 5))};
    snprintf(when->action, sizeof(when->action), "%s", action);
}

static void command_pass(struct scenario *s) {
    s->n_rules = 0;
    sim_net_release_held(&s->world->net);
}

static void command_cut(struct scenario *s) {
    uint64_t a = (uint64_t)1 << node_of(s, word(s, 1))->port.index;
    uint64_t b = (uint64_t)1 << node_of(s, word(s, 2))->port.index;
    sim_net_cut(&s->world->net, a, b);
    if (strcmp(word(s, 0), "cut") == 0) {
        sim_net_cut(&s->world->net, b, a);
    }
}

static void command_node(struct scenario *s) {
    const char *what = word(s, 0);
    struct world_node *node = node_of(s, word(s, 1));
    if (strcmp(what, "crash") == 0) {
        crash(node);
    } else if (strcmp(what, "start") == 0 && node->node == NULL) {
        world_node_start(node);
    } else if (strcmp(what, "stop") == 0 && node->node != NULL) {
        node_stop(node->node);
        sim_process_settle(&node->process);
        sim_run(&s->world->sim, s->world->sim.now_ns + SIM_S);
        crash(node);
    } else if (strcmp(what, "pause") == 0) {
        node->process.paused_until_ns = s->world->sim.now_ns + time_of(s, word(s, 2));
    } else if (strcmp(what, "slow") == 0) {
        s->world->options.slow_node = node->id;
    } else if (strcmp(what, "fail") == 0) {
        disk_mem_fail(node->disk, DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, ERR_NO_SPACE, 1);
    } else if (strcmp(what, "isolate") == 0) {
        isolate(node);
    }
}

/* s0 create r0 [via NODE] [in TIME] */
static void command_ask(struct scenario *s, struct session *session) {
    static const struct {
        const char *name;
        enum op_kind kind;
    } kinds[] = {{"get", OP_GET},        {"strict", OP_STRICT_GET},   {"put", OP_BLIND},
                 {"update", OP_CONTEXT}, {"overwrite", OP_OVERWRITE}, {"patch", OP_PATCH},
                 {"match", OP_MATCH},    {"create", OP_ABSENT},       {"delete", OP_DELETE},
                 {"erase", OP_ERASE}};
    unsigned row = 0;
    int64_t patience = 5 * SIM_S;
    session->via = 0;
    for (unsigned i = 3; i + 1 < s->n_words; i += 2) {
        if (strcmp(word(s, i), "via") == 0) {
            session->via = node_id(s, word(s, i + 1));
        } else if (strcmp(word(s, i), "in") == 0) {
            patience = time_of(s, word(s, i + 1));
        }
    }
    if (sscanf(word(s, 2), "r%u", &row) != 1 || row >= ROWS_MAX || session->busy) {
        complain(s, session->busy ? "the session is busy" : "no such row");
        return;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].name, word(s, 1)) == 0) {
            workload_ask(session, kinds[i].kind, row, patience);
            return;
        }
    }
    complain(s, "no such operation");
}

/* s0 is done */
static void command_is(struct scenario *s, struct session *session) {
    struct sim *sim = &s->world->sim;
    int64_t end = sim->now_ns + ANSWER_MAX_S * SIM_S;
    while (session->busy && sim->now_ns < end && !sim->failed) {
        sim_run(sim, sim->now_ns + SIM_MS);
    }
    char name[32];
    snprintf(name, sizeof(name), "%s", session->status == 0 ? "done" : err_name(session->status));
    bool as_told = strcmp(word(s, 2), "any") == 0 || strcasecmp(name, word(s, 2)) == 0;
    if (!session->busy && !as_told) {
        sim_fail(sim, "line %u: %s was answered %s", s->line, word(s, 0), name);
    } else if (session->busy) {
        sim_fail(sim, "line %u: %s was never answered", s->line, word(s, 0));
    }
}

static void command(struct scenario *s) {
    static const struct {
        const char *name;
        void (*run)(struct scenario *s);
    } commands[] = {{"hold", command_rule},   {"lose", command_rule},  {"when", command_when},
                    {"pass", command_pass},   {"cut", command_cut},    {"deaf", command_cut},
                    {"crash", command_node},  {"start", command_node}, {"stop", command_node},
                    {"pause", command_node},  {"slow", command_node},  {"fail", command_node},
                    {"isolate", command_node}};
    struct session *session = session_of(s, word(s, 0));
    sim_trace(&s->world->sim, "scenario line %u", s->line);
    if (session != NULL) {
        (strcmp(word(s, 1), "is") == 0 ? command_is : command_ask)(s, session);
        return;
    }
    if (strcmp(word(s, 0), "run") == 0) {
        sim_run(&s->world->sim, s->world->sim.now_ns + time_of(s, word(s, 1)));
        return;
    }
    if (strcmp(word(s, 0), "mend") == 0) {
        sim_net_mend_all(&s->world->net);
        return;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, word(s, 0)) == 0) {
            commands[i].run(s);
            return;
        }
    }
    complain(s, "no such command");
}

/* ---- the run ---- */

static void quiet_options(struct options *o, uint16_t n_nodes) {
    memset(o, 0, sizeof(*o));
    o->n_slices = 16;
    o->n_clients = o->n_sessions = CLIENTS_MAX;
    o->n_partitions = 1;
    o->n_strict_partitions = 0;
    o->n_rows = ROWS_MAX;
    o->value_size_max = 50;
    o->think_mean_ns = SIM_MS;
    o->net.delay_base_ns = 100 * SIM_US;
    o->disk_read_ns = o->disk_commit_ns = 10 * SIM_US;
    o->disk_sync_ns = SIM_MS;
    options_set_nodes(o, n_nodes);
}

/* Reads the next command into `words`; false at the end. */
static bool next_line(struct scenario *s, FILE *file, char *line) {
    while (fgets(line, LINE_MAX_SIZE, file) != NULL) {
        s->line++;
        line[strcspn(line, "#\n")] = '\0';
        char *rest = NULL;
        s->n_words = 0;
        for (char *at = strtok_r(line, " \t", &rest); at != NULL && s->n_words < WORDS_MAX;
             at = strtok_r(NULL, " \t", &rest)) {
            s->words[s->n_words++] = at;
        }
        if (s->n_words > 0) {
            return true;
        }
    }
    return false;
}

static void begin(struct scenario *s, const struct options *options, bool tracing) {
    struct run_plan plan = {.seed = 1, .tracing = tracing, .options = options};
    world_init(s->world, &plan);
    workload_init(s->workload, s->world);
    s->world->net.judge = judge;
    s->world->net.watch = watch;
    s->world->net.context = s;
    sim_run(&s->world->sim, 2 * SIM_S);
}

static int run(struct scenario *s, FILE *file, bool tracing) {
    char line[LINE_MAX_SIZE];
    bool more = next_line(s, file, line);
    unsigned n_nodes = 3;
    if (more && strcmp(word(s, 0), "nodes") == 0) {
        n_nodes = (unsigned)atoi(word(s, 1));
        more = next_line(s, file, line);
    }
    if (n_nodes < 1 || n_nodes > NODES_MAX) {
        complain(s, "nodes 1 to 7");
        return 2;
    }
    struct options options;
    quiet_options(&options, (uint16_t)n_nodes);
    if (more && strcmp(word(s, 0), "reap") == 0) {
        options.repair_round_ms = 1000;
        options.reap_ms = (uint32_t)(time_of(s, word(s, 1)) / SIM_MS);
        more = next_line(s, file, line);
    }
    begin(s, &options, tracing);
    for (; more && !s->wrong && !s->world->sim.failed; more = next_line(s, file, line)) {
        command(s);
    }
    command_pass(s);
    if (!s->wrong && !s->world->sim.failed) {
        run_end(s->world, s->workload);
    }
    bool failed = s->world->sim.failed;
    if (!s->wrong) {
        printf("%s: %s%s\n", s->path, failed ? "FAILED: " : "passed", s->world->sim.failure);
    }
    s->world->sim.failed = true; /* what the release answers is not judged */
    world_release(s->world);
    workload_release(s->workload);
    return s->wrong ? 2 : failed ? 1 : 0;
}

int scenario_run(const char *path, bool tracing) {
    static struct world world; /* large */
    static struct workload workload;
    struct scenario s = {.path = path, .world = &world, .workload = &workload};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return 2;
    }
    int outcome = run(&s, file, tracing);
    fclose(file);
    return outcome;
}
