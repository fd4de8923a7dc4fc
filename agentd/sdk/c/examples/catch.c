/* Catch: a ball falls through 10 rows, a paddle below moves left, stays or moves right; +1 if it
   catches the ball, -1 if not. cc -O2 catch.c -o catch && ./catch [ADDRESS] [EPISODES] [ROLE] */
#define AGENTD_IMPLEMENTATION
#include "../agentd.h"

enum { ROWS = 10, COLUMNS = 5 };

int main(int argc, char **argv) {
    const agentd_tensor tensor = {"board", AGENTD_FLOAT32, 2, {ROWS, COLUMNS}};
    const agentd_head moves = {3, 0, 0, NULL};
    float board[ROWS][COLUMNS], reward = 0, sum = 0;
    const void *obs[1] = {board};
    uint8_t kind = AGENTD_FIRST;
    int episodes = argc > 2 ? atoi(argv[2]) : 2000, episode = 0, row = 0, column = 0, paddle = 0;
    agentd_options options;
    agentd_status status;
    agentd_error why;
    agentd_rows rows;
    agentd_act act;
    agentd *client;

    memset(&options, 0, sizeof options);
    options.address = argc > 1 ? argv[1] : NULL;
    options.agent = "catch";
    options.role = argc > 3 ? argv[3] : NULL;
    options.tensors = &tensor, options.n_tensors = 1;
    options.heads = &moves, options.n_heads = 1;
    client = agentd_open(&options, &why);
    if (!client) return fprintf(stderr, "%s: %s\n", why.code, why.message), 1;

    memset(&rows, 0, sizeof rows);
    rows.n = 1, rows.kind = &kind, rows.reward = &reward, rows.obs = obs;
    while (episode < episodes) {
        if (kind == AGENTD_FIRST) row = 0, column = rand() % COLUMNS, paddle = COLUMNS / 2, reward = 0;
        memset(board, 0, sizeof board);
        board[row][column] = board[ROWS - 1][paddle] = 1;
        status = agentd_step(client, &rows, &act);
        if (status == AGENTD_REFUSED) agentd_abandon(client);
        if (status == AGENTD_CLOSED || status == AGENTD_BAD_CALL) break;
        if (status != AGENTD_OK) { kind = AGENTD_FIRST; continue; } /* begin anew */
        if (kind == AGENTD_TERMINATED) {
            sum += reward, kind = AGENTD_FIRST;
            if (++episode % 100 == 0) printf("episode %d mean %.2f\n", episode, (double)sum / 100), sum = 0, fflush(stdout);
            continue;
        }
        paddle += act.action[0] - 1;
        paddle = paddle < 0 ? 0 : paddle >= COLUMNS ? COLUMNS - 1 : paddle;
        kind = ++row < ROWS - 1 ? AGENTD_MID : AGENTD_TERMINATED;
        if (kind == AGENTD_TERMINATED) reward = paddle == column ? 1.0f : -1.0f;
    }
    if (episode < episodes) fprintf(stderr, "%s: %s\n", agentd_why(client)->code, agentd_why(client)->message);
    return agentd_close(client), episode < episodes;
}
