/* A game that uses all that the client has: `game ADDRESS STEPS [WORD ...]` with two streams, two tensors,
   two branches, masks, explain, a script that takes over, elapsed, success, log and settings. Words:
     poll       a frame loop that never waits, instead of blocking steps
     box        two numbers as the action
     mixed      a number and three choices
     nan        one frame has a number that is not finite
     patient    keep trying for the first connection
     play       the role
     level=40   how strong to play
   It prints one line of what happened. */
#define AGENTD_IMPLEMENTATION
#include "agentd.h"
#include <math.h>

static int count, words_from = 3;
static char **words;

static int has(const char *word) {
    int i;
    for (i = words_from; i < count; i++)
        if (!strcmp(words[i], word)) return 1;
    return 0;
}

static const double *asked(void) { /* the level that a word says, or NULL */
    static double level;
    int i;
    for (i = words_from; i < count; i++)
        if (!strncmp(words[i], "level=", 6)) return level = strtod(words[i] + 6, NULL), &level;
    return NULL;
}

typedef struct { /* of one frame: at most four rows of two streams */
    agentd_rows rows;
    uint32_t stream[4];
    uint8_t kind[4], mask[20], by[4], success[4], seen[4][3];
    float reward[4], place[4][2], elapsed[4], numbers[8];
    int32_t taken[8];
    const void *obs[2];
} frame;

static int at[2]; /* moments of each stream's episode */

static void restart(void) { at[0] = at[1] = 0; }

static void add(frame *f, uint32_t stream, uint8_t kind) {
    const int i = f->rows.n++;
    f->stream[i] = stream;
    f->kind[i] = kind;
    f->reward[i] = kind == AGENTD_TERMINATED ? 1.0f : -0.25f;
    f->place[i][0] = (float)at[stream], f->place[i][1] = 0.5f;
    f->seen[i][0] = f->seen[i][1] = f->seen[i][2] = (uint8_t)(200 + at[stream]);
    f->elapsed[i] = 1.5f;
    f->success[i] = kind == AGENTD_TERMINATED;
    f->by[i] = AGENTD_BY_SCRIPT;
}

/* The next frame: an ended row, and the first of the next episode behind it. */
static void fill(frame *f, int number, int multi) {
    static const uint8_t legal[2][5] = {{1, 0, 1, 1, 1}, {1, 1, 1, 1, 0}};
    uint32_t s;
    int i;
    memset(f, 0, sizeof *f);
    for (s = 0; s < 2; s++) {
        const int end = s ? 6 : 9;
        add(f, s, at[s] == 0 ? AGENTD_FIRST : at[s] < end ? AGENTD_MID : s ? AGENTD_TRUNCATED : AGENTD_TERMINATED);
        at[s]++;
        if (at[s] > end) { at[s] = 0; add(f, s, AGENTD_FIRST); at[s] = 1; }
    }
    for (i = 0; i < f->rows.n; i++) memcpy(f->mask + 5 * i, legal[f->stream[i]], 5);
    f->obs[0] = f->place, f->obs[1] = f->seen;
    f->rows.stream = f->stream, f->rows.kind = f->kind, f->rows.reward = f->reward, f->rows.obs = f->obs;
    if (multi) f->rows.mask = f->mask;
    if (number % 5 == 4) { /* the script plays action 0 of each branch, which is always legal */
        f->rows.taken = multi ? (const void *)f->taken : (const void *)f->numbers;
        f->rows.by = f->by, f->rows.elapsed = f->elapsed, f->rows.success = f->success;
    }
}

int main(int argc, char **argv) {
    static const agentd_tensor tensors[] = {{"place", AGENTD_FLOAT32, 1, {2}}, {"seen", AGENTD_UINT8, 1, {3}}};
    static const agentd_head branches[] = {{3, 0, 0, NULL}, {2, 0, 0, NULL}}, box[] = {{0, -1, 1, NULL}, {0, 0, 2, NULL}};
    static const agentd_head mixed[] = {{0, -1, 1, "wheel"}, {3, 0, 0, NULL}};
    const char *const names[] = {"game/steps"};
    int steps = argc > 2 ? atoi(argv[2]) : 50, number = 0, answers = 0, refused = 0, lost = 0, bad = 0, i, multi;
    agentd_options o;
    agentd_error why;
    agentd_status status;
    agentd_act act;
    agentd *client;
    frame f;
    double shown;
    count = argc, words = argv;
    memset(&o, 0, sizeof o);
    o.address = argv[1], o.agent = has("box") ? "boxed" : has("mixed") ? "mixture" : "game", o.client = "game";
    o.tensors = tensors, o.n_tensors = 2, o.n_heads = 2, o.streams = 2;
    o.kind = has("box") ? AGENTD_BOX : has("mixed") ? AGENTD_MIXED : AGENTD_MULTI_DISCRETE;
    o.heads = has("box") ? box : has("mixed") ? mixed : branches;
    multi = o.kind == AGENTD_MULTI_DISCRETE;
    o.explain = multi, o.wait_s = has("patient") ? 30 : 0;
    o.role = has("play") ? "play" : NULL, o.level = asked();
    client = agentd_open(&o, &why);
    if (!client) return printf("%s|%s\n", why.code, why.message), 1;
    status = agentd_connect(client);
    fill(&f, number, multi);
    while (status != AGENTD_CLOSED && answers < steps) {
        const int newer = agentd_state(client)->protocol > 1;
        if (!newer) f.rows.taken = NULL, f.rows.by = NULL, f.rows.elapsed = NULL, f.rows.success = NULL;
        if (has("nan") && number == 7 && !refused) f.place[0][0] = (float)NAN;
        if (newer && number % 100 == 0) shown = number, agentd_log(client, 1, names, &shown);
        if (has("poll")) {
            status = agentd_send(client, &f.rows);
            if (status == AGENTD_OK) fill(&f, ++number, multi);
            if (status == AGENTD_OK || status == AGENTD_WAIT) {
                if (status == AGENTD_WAIT) agentd__sleep(client); /* a game would draw its picture here */
                status = agentd_poll(client, &act);
            }
        } else {
            status = agentd_step(client, &f.rows, &act);
            if (status == AGENTD_OK) fill(&f, ++number, multi);
        }
        if (status == AGENTD_OK) {
            answers++;
            for (i = 0; i < 2 * act.n; i++) {
                if (multi) bad += act.action[i] < -1 || act.action[i] > 2 || !act.q || !act.explored;
                else bad += !isnan(act.value[i]) && !(act.value[i] >= -1 && act.value[i] <= 2);
            }
        } else if (status == AGENTD_REFUSED) {
            if (!refused++) printf("%s|%s|%s|%d ", agentd_why(client)->code, agentd_why(client)->field, agentd_why(client)->got,
                                   (int)agentd_why(client)->seq);
            agentd_abandon(client);
        } else if (status == AGENTD_LOST) {
            lost++;
        } else if (status == AGENTD_BAD_CALL) {
            break;
        }
        if (status == AGENTD_REFUSED || status == AGENTD_LOST) restart(), fill(&f, number, multi);
    }
    why = *agentd_why(client);
    printf("answers %d bad %d refused %d lost %d reconnects %d level %g", answers, bad, refused, lost,
           agentd_state(client)->reconnects, agentd_setting(client, "level", -1));
    if (answers < steps) printf(" %s|%s|%s|%s", why.code, why.field, why.expected, why.got);
    puts("");
    agentd_close(client);
    return answers < steps;
}
