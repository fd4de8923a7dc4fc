/* A server that breaks the protocol in every way: `hostile ROUNDS SEED`, the hex of its right frames on
   stdin. Each round plays some of them, mutated, to a client at the other end of a socket pair. What a
   sanitizer has to say ends the program; it prints how often each status came. */
#define AGENTD_IMPLEMENTATION
#define AGENTD_API static
#include "agentd.h"

enum { FRAMES = 64, MOST = 4096 };
static unsigned char frames[FRAMES][MOST], stream[2 * MOST];
static size_t sizes[FRAMES];
static int count, counts[6];

static void mutate(unsigned char *d, size_t *n) {
    size_t at = (size_t)rand() % *n;
    switch (rand() % 7) {
        case 0: d[at] = (unsigned char)rand(); break;
        case 1: d[at] ^= (unsigned char)(1 << rand() % 8); break;
        case 2: *n = at + 1; break;
        case 3: memmove(d + at, d + at + 1, *n - at - 1); *n -= *n > 1; break;
        case 4: d[at] = (unsigned char)(0xc0 + rand() % 32); break; /* another type, of another size */
        case 5: if (*n + 4 < MOST) { memmove(d + at + 4, d + at, *n - at); *n += 4; } break;
        default: if (at + 5 < *n) memset(d + at, 0xff, 4); break;
    }
}

/* Write a frame, most often with a length that fits what became of its body. */
static size_t add(int which, int mutations) {
    size_t n = sizes[which], i;
    memcpy(stream, frames[which], n);
    while (mutations-- > 0) mutate(stream, &n);
    for (i = 0; i < 4 && n > 4 && rand() % 8; i++) stream[i] = (unsigned char)((n - 4) >> (8 * i));
    return n;
}

static agentd_status counted(agentd_status status) {
    counts[status]++;
    return status;
}

static void play(const agentd_options *options, int welcome) {
    static const uint8_t kinds[] = {0, 0, 0};
    static const float board[6];
    static struct addrinfo nowhere;
    const void *obs[] = {board};
    agentd *c = (agentd *)calloc(1, sizeof *c);
    agentd_status status;
    agentd_act act;
    agentd_rows r;
    agentd__value seq;
    int ends[2], i, a, which, sum = 0;
    size_t n;
    if (agentd__check(c, options) || socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) exit(2);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    c->socket = ends[0];
    c->place = &nowhere;
    c->state = AGENTD__SHAKING, c->began = agentd__clock();
    memset(&r, 0, sizeof r);
    r.kind = kinds, r.obs = obs;
    for (i = 0; i < 6 && (status = counted(agentd_poll(c, &act))) != AGENTD_CLOSED; i++) {
        which = i == 0 ? welcome : rand() % count;
        if (i > 0 && agentd__scan(frames[which] + 4, sizes[which] - 4, "seq:u?", &seq) && seq.kind && rand() % 8) {
            r.n = seq.u == 1 ? 1 : seq.u == 7 ? 3 : 2; /* the rows that this example answers */
            if (!c->session.pending) c->seq = seq.u - 1;
            agentd_send(c, &r);
        }
        n = add(which, i == 0 ? rand() % 8 == 0 : rand() % 4);
        if (send(ends[1], stream, n, 0) < 0) exit(2);
        if (status == AGENTD_OK) /* read all that was answered: it must be there */
            for (a = 0; a < act.n; a++)
                sum += act.action[a] + (act.q ? (int)(act.q[3 * a] > 0) : 0) + (act.explored ? act.explored[a] : 0);
        sum += (int)strlen(agentd_why(c)->message) + (agentd_setting(c, "level", 0) > sum);
    }
    if (sum == 123456789) puts("");
    c->state = AGENTD__OVER; /* there is nobody to say goodbye to */
    agentd_close(c);
    close(ends[1]);
}

int main(int argc, char **argv) {
    static const agentd_tensor board = {"board", AGENTD_FLOAT32, 1, {2}};
    static const agentd_head three = {3, 0, 0, NULL};
    static char line[2 * MOST + 2];
    agentd_options options;
    unsigned byte;
    int rounds = argc > 1 ? atoi(argv[1]) : 1000, i, welcomes = 0;
    char *at;
    srand(argc > 2 ? (unsigned)atoi(argv[2]) : 1);
    while (count < FRAMES && fgets(line, sizeof line, stdin)) {
        for (at = line; sscanf(at, "%2x", &byte) == 1; at += 2) frames[count][sizes[count]++] = (unsigned char)byte;
        if (sizes[count] > 18 && !memcmp(frames[count] + 11, "welcome", 7)) welcomes = count;
        count++;
    }
    memset(&options, 0, sizeof options);
    options.agent = "catch", options.tensors = &board, options.n_tensors = 1, options.heads = &three, options.n_heads = 1;
    for (i = 0; i < rounds; i++) play(&options, welcomes);
    printf("ok %d wait %d refused %d lost %d bad call %d closed %d\n", counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]);
    return 0;
}
