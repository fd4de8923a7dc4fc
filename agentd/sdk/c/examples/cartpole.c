/* CartPole: push a cart left or right so that its pole stays up; 500 steps are the best return.
   cc -O2 cartpole.c -o cartpole -lm && ./cartpole [ADDRESS] [EPISODES] [ROLE] */
#define AGENTD_IMPLEMENTATION
#include "../agentd.h"
#include <math.h>

static double start(void) { return (double)rand() / (RAND_MAX + 1.0) * 0.1 - 0.05; }

static void push(double s[4], int right) { /* 20 ms by Euler's rule, as Gymnasium's CartPole-v1 */
    double c = cos(s[2]), n = sin(s[2]), force = right ? 10.0 : -10.0;
    double drive = (force + 0.05 * (s[3] * s[3]) * n) / 1.1;
    double turn = (9.8 * n - c * drive) / (0.5 * (4.0 / 3.0 - 0.1 * (c * c) / 1.1));
    s[0] += 0.02 * s[1], s[1] += 0.02 * (drive - 0.05 * turn * c / 1.1);
    s[2] += 0.02 * s[3], s[3] += 0.02 * turn;
}

int main(int argc, char **argv) {
    const agentd_tensor tensor = {"state", AGENTD_FLOAT32, 1, {4}};
    const agentd_head pushes = {2, 0, 0, NULL};
    double s[4] = {0, 0, 0, 0};
    float seen[4], reward = 1;
    const void *obs[1] = {seen};
    uint8_t kind = AGENTD_FIRST;
    int episodes = argc > 2 ? atoi(argv[2]) : 300, episode = 0, steps = 0, total = 0, i;
    agentd_options options;
    agentd_status status;
    agentd_error why;
    agentd_rows rows;
    agentd_act act;
    agentd *client;

    memset(&options, 0, sizeof options);
    options.address = argc > 1 ? argv[1] : NULL, options.agent = "cartpole", options.role = argc > 3 ? argv[3] : NULL;
    options.tensors = &tensor, options.n_tensors = 1, options.heads = &pushes, options.n_heads = 1;
    client = agentd_open(&options, &why);
    if (!client) return fprintf(stderr, "%s: %s\n", why.code, why.message), 1;

    memset(&rows, 0, sizeof rows);
    rows.n = 1, rows.kind = &kind, rows.reward = &reward, rows.obs = obs;
    while (episode < episodes) {
        for (i = 0; i < 4 && kind == AGENTD_FIRST; i++) s[i] = start(), steps = 0;
        for (i = 0; i < 4; i++) seen[i] = (float)s[i];
        status = agentd_step(client, &rows, &act);
        if (status == AGENTD_REFUSED) agentd_abandon(client);
        if (status == AGENTD_CLOSED || status == AGENTD_BAD_CALL) break;
        if (status != AGENTD_OK) { kind = AGENTD_FIRST; continue; } /* begin anew */
        if (kind >= AGENTD_TERMINATED) {
            total += steps, kind = AGENTD_FIRST;
            if (++episode % 10 == 0) printf("episode %d mean %.1f\n", episode, total / 10.0), total = 0, fflush(stdout);
            continue;
        }
        push(s, act.action[0]), steps++;
        kind = fabs(s[0]) > 2.4 || fabs(s[2]) > 0.20943951023931953 ? AGENTD_TERMINATED
               : steps >= 500 ? AGENTD_TRUNCATED : AGENTD_MID;
    }
    if (episode < episodes) fprintf(stderr, "%s: %s\n", agentd_why(client)->code, agentd_why(client)->message);
    return agentd_close(client), episode < episodes;
}
