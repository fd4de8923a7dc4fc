/* CartPole: push a cart left or right so that its pole stays up; 500 steps are the best return.
   cc -O2 cartpole.c -o cartpole -lm && ./cartpole [ADDRESS] [EPISODES] [ROLE] */
#define AGENTD_IMPLEMENTATION
#include "../agentd.h"
#include <math.h>

typedef struct { double x, v, angle, spin; } state;

static double start(void) { return (double)rand() / (RAND_MAX + 1.0) * 0.1 - 0.05; }

static state push(state s, int right) { /* 20 ms by Euler's rule, as Gymnasium's CartPole-v1 */
    double c = cos(s.angle), n = sin(s.angle), force = right ? 10.0 : -10.0;
    double drive = (force + 0.05 * (s.spin * s.spin) * n) / 1.1;
    double turn = (9.8 * n - c * drive) / (0.5 * (4.0 / 3.0 - 0.1 * (c * c) / 1.1));
    state after = {s.x + 0.02 * s.v, s.v + 0.02 * (drive - 0.05 * turn * c / 1.1), s.angle + 0.02 * s.spin,
                   s.spin + 0.02 * turn};
    return after;
}

int main(int argc, char **argv) {
    const agentd_tensor tensor = {"state", AGENTD_FLOAT32, 1, {4}};
    const agentd_head pushes = {2, 0, 0, NULL};
    float seen[4], reward = 1;
    const void *obs[1] = {seen};
    uint8_t kind;
    int episodes = argc > 2 ? atoi(argv[2]) : 300, episode, steps, total = 0, over;
    agentd_options options;
    agentd_error why;
    agentd_rows rows;
    agentd_act act;
    agentd *client;

    memset(&options, 0, sizeof options);
    options.address = argc > 1 ? argv[1] : NULL, options.agent = "cartpole";
    options.role = argc > 3 ? argv[3] : NULL;
    options.tensors = &tensor, options.n_tensors = 1, options.heads = &pushes, options.n_heads = 1;
    client = agentd_open(&options, &why);
    if (!client) return fprintf(stderr, "%s: %s\n", why.code, why.message), 1;

    memset(&rows, 0, sizeof rows);
    rows.n = 1, rows.kind = &kind, rows.reward = &reward, rows.obs = obs;
    for (episode = 1; episode <= episodes; episode++) {
        state s = {start(), start(), start(), start()};
        for (kind = AGENTD_FIRST, steps = over = 0; !over; steps++) {
            over = kind == AGENTD_TERMINATED || kind == AGENTD_TRUNCATED;
            seen[0] = (float)s.x, seen[1] = (float)s.v, seen[2] = (float)s.angle, seen[3] = (float)s.spin;
            if (agentd_step(client, &rows, &act) != AGENTD_OK) {
                fprintf(stderr, "%s: %s\n", agentd_why(client)->code, agentd_why(client)->message);
                return agentd_close(client), 1;
            }
            s = push(s, act.action[0] == 1);
            kind = fabs(s.x) > 2.4 || fabs(s.angle) > 0.20943951023931953 ? AGENTD_TERMINATED
                   : steps + 1 >= 500 ? AGENTD_TRUNCATED : AGENTD_MID;
        }
        total += steps - 1;
        if (episode % 10 == 0) printf("episode %d mean %.1f\n", episode, total / 10.0), fflush(stdout), total = 0;
    }
    return agentd_close(client), 0;
}
