/* Catch: a ball falls through 10 rows, a paddle below moves left, stays or moves right; +1 if it
   catches the ball, -1 if not. cc -O2 catch.c -o catch && ./catch [ADDRESS] [EPISODES] [ROLE] */
#define AGENTD_IMPLEMENTATION
#include "../agentd.h"

enum { ROWS = 10, COLUMNS = 5 };

static void draw(float board[ROWS][COLUMNS], int row, int column, int paddle) {
    memset(board, 0, sizeof(float) * ROWS * COLUMNS);
    board[row][column] = 1;
    board[ROWS - 1][paddle] = 1;
}

int main(int argc, char **argv) {
    const agentd_tensor tensor = {"board", AGENTD_FLOAT32, 2, {ROWS, COLUMNS}};
    const agentd_head moves = {3, 0, 0, NULL};
    float board[ROWS][COLUMNS], reward, sum = 0;
    const void *obs[1] = {board};
    uint8_t kind;
    int episodes = argc > 2 ? atoi(argv[2]) : 2000, episode, row, column, paddle;
    agentd_options options;
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
    for (episode = 1; episode <= episodes; episode++) {
        row = 0, column = rand() % COLUMNS, paddle = COLUMNS / 2;
        for (kind = AGENTD_FIRST, reward = 0; kind != AGENTD_TERMINATED;) {
            draw(board, row, column, paddle);
            if (agentd_step(client, &rows, &act) != AGENTD_OK) goto failed;
            paddle += act.action[0] - 1;
            paddle = paddle < 0 ? 0 : paddle >= COLUMNS ? COLUMNS - 1 : paddle;
            kind = ++row < ROWS - 1 ? AGENTD_MID : AGENTD_TERMINATED;
            if (kind == AGENTD_TERMINATED) reward = paddle == column ? 1.0f : -1.0f;
        }
        draw(board, row, column, paddle);
        if (agentd_step(client, &rows, &act) != AGENTD_OK) goto failed;
        sum += reward;
        if (episode % 100 == 0) printf("episode %d mean %.2f\n", episode, sum / 100), fflush(stdout), sum = 0;
    }
    agentd_close(client);
    return 0;
failed:
    fprintf(stderr, "%s: %s\n", agentd_why(client)->code, agentd_why(client)->message);
    return agentd_close(client), 1;
}
