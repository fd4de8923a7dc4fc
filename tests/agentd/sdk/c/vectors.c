/* What the C client makes of PROTOCOL.md. Without arguments: every line of stdin, the hex of a frame,
   read value by value and written again. `says`: what the client itself says, as lines "name hex".
   `hears`: what it reads in the server's messages on stdin, as lines. */
#define AGENTD_IMPLEMENTATION
#define AGENTD_API static
#include "agentd.h"

static void print_hex(const char *name, const unsigned char *d, size_t n) {
    printf("%s%s", name, *name ? " " : "");
    while (n--) printf("%02x", *d++);
    putchar('\n');
}

static size_t read_hex(const char *line, unsigned char *to) {
    size_t n = 0;
    unsigned byte;
    for (; sscanf(line, "%2x", &byte) == 1; line += 2) to[n++] = (unsigned char)byte;
    return n;
}

static void again(const unsigned char *d, size_t n) {
    agentd__buffer b = {NULL, 0, 0, 0, 0};
    agentd__cursor c = {d + 4, d + n};
    agentd__value v;
    char text[4096];
    agentd__put(&b, "\0\0\0\0", 4);
    while (c.at < c.end) {
        if (!agentd__head(&c, &v)) { puts("cut"); break; }
        if (v.kind == 's') agentd__text(text, sizeof text, &v), agentd__write(&b, "s", text);
        else if (v.kind == 'B') agentd__write(&b, "n", v.data, v.size, (size_t)1);
        else if (v.kind == 'm') agentd__write(&b, "m", (int)v.u);
        else if (v.kind == 'a') agentd__write(&b, "a", (int)v.u);
        else if (v.kind == 'u') agentd__write(&b, "u", v.u);
        else if (v.kind == 'f') agentd__write(&b, "f", v.f);
        else if (v.kind == 'b') agentd__tag(&b, 0xc2 + (unsigned)v.u, 0, 0);
    }
    agentd__end(&b, 0);
    print_hex("", b.data, b.end);
    AGENTD_FREE(b.data);
}

static agentd_options plain(void) {
    static const agentd_tensor board = {"board", AGENTD_FLOAT32, 1, {2}};
    static const agentd_head three = {3, 0, 0, NULL};
    agentd_options o;
    memset(&o, 0, sizeof o);
    o.client = "catch-demo", o.agent = "catch", o.streams = 2;
    o.tensors = &board, o.n_tensors = 1;
    o.heads = &three, o.n_heads = 1;
    return o;
}

static agentd *made(const agentd_options *o, int protocol) { /* a client that knows its server */
    agentd *c = (agentd *)calloc(1, sizeof *c);
    const char *fault = agentd__check(c, o);
    static struct addrinfo nowhere;
    if (fault) fprintf(stderr, "%s\n", fault), exit(1);
    c->socket = AGENTD__NONE;
    c->place = &nowhere;
    c->known = 1;
    c->state = AGENTD__OPEN;
    c->deaf = 1; /* nothing is sent: it stays in c->out */
    c->session.protocol = protocol;
    c->session.window = 8, c->session.max_rows = 4096, c->session.max_frame = 8388608;
    return c;
}

static void say_hello(const char *name, const agentd_options *o, int low, int high, int resume) {
    unsigned char run[16], session[16];
    agentd__buffer pairs = {NULL, 0, 0, 0, 0}, b = {NULL, 0, 0, 0, 0};
    int i, n;
    for (i = 0; i < 16; i++) run[i] = (unsigned char)i, session[i] = (unsigned char)(0xa0 + i);
    n = agentd__hello(&pairs, o, low, high, run);
    agentd__begin(&b, n + resume, "hello");
    agentd__put(&b, pairs.data, pairs.end);
    if (resume) agentd__write(&b, "sn", "resume", session, (size_t)16, (size_t)1);
    agentd__end(&b, 0);
    print_hex(name, b.data, b.end);
    AGENTD_FREE(pairs.data);
    AGENTD_FREE(b.data);
}

static void say_hellos(void) {
    static const agentd_tensor two[] = {{"view", AGENTD_UINT8, 3, {3, 8, 8}}, {"ammo", AGENTD_INT32, 0, {0}}};
    static const agentd_tensor see = {"see", AGENTD_FLOAT32, 1, {8}};
    static const agentd_head branches[] = {{3, 0, 0, NULL}, {2, 0, 0, NULL}};
    static const agentd_head box[] = {{0, -1, 1, NULL}, {0, 0, 1, NULL}};
    static const agentd_head mixed[] = {{0, -1, 1, "wheel"}, {3, 0, 0, NULL}};
    const double level = 40;
    agentd_options o = plain();
    agentd *c;
    say_hello("hello", &o, 1, 1, 0);
    say_hello("hello-resume", &o, 1, 1, 1);
    o.dt_ms = 16.7;
    say_hello("hello-newer", &o, 1, 2, 0);
    o = plain();
    o.role = "play", o.level = &level;
    c = made(&o, 2);
    say_hello("hello-level", &o, c->low, 2, 0); /* what is newer keeps protocol 1 from being offered */
    c->state = AGENTD__DOWN; /* nobody is there to say goodbye to */
    agentd_close(c);
    o = plain();
    o.client = "arena/2.1", o.role = "play", o.agent = "arena.v2", o.tensors = two, o.n_tensors = 2;
    o.kind = AGENTD_MULTI_DISCRETE, o.heads = branches, o.n_heads = 2, o.streams = 1;
    o.token = "a-token-of-16-chars", o.explain = 1, o.deadline_ms = 50, o.priority = "bulk";
    say_hello("hello-multi", &o, 1, 1, 0);
    o = plain();
    o.client = o.agent = "car", o.tensors = &see, o.streams = 0;
    o.kind = AGENTD_BOX, o.heads = box, o.n_heads = 2;
    say_hello("hello-box", &o, 2, 2, 0);
    o.agent = "car.shift", o.kind = AGENTD_MIXED, o.heads = mixed;
    say_hello("hello-mixed", &o, 2, 2, 0);
}

static void say_the_rest(void) {
    static const uint32_t streams[] = {0, 1, 1};
    static const uint8_t kinds[] = {1, 2, 0}, mask[] = {1, 1, 0, 1, 1, 1, 0, 1, 1}, by[] = {1, 0}, won[] = {0, 1};
    static const float rewards[] = {0.5f, -1, 0}, board[] = {1, 0, 0, 1, 0.25f, 0.75f};
    static const float later[] = {0, 1}, elapsed[] = {2, 1};
    static const int32_t taken[] = {2, 1};
    static const unsigned char ping[] = {0x82, 0xa4, 't', 'y', 'p', 'e', 0xa4, 'p', 'i', 'n', 'g', 0xa1, 't', 0xcb, 0x40, 0x29, 0, 0, 0, 0, 0, 0};
    const char *const names[] = {"race/lap_s", "fuel"};
    const double values[] = {41.5, 0.25};
    const void *obs[] = {board};
    agentd_options o = plain();
    agentd *c = made(&o, 2);
    agentd_rows r;
    agentd_act act;
    memset(&r, 0, sizeof r);
    c->seq = 6;
    r.n = 3, r.stream = streams, r.kind = kinds, r.reward = rewards, r.obs = obs, r.mask = mask;
    if (agentd_send(c, &r)) exit(1);
    print_hex("step", c->frames[0].bytes.data, c->frames[0].bytes.end);
    r.n = 2, r.reward = later, r.mask = NULL, r.taken = taken, r.by = by, r.elapsed = elapsed, r.success = won;
    if (agentd_send(c, &r)) exit(1);
    print_hex("step-taken", c->frames[1].bytes.data, c->frames[1].bytes.end);
    c->out.end = 0;
    if (agentd__message(c, ping, sizeof ping, &act) != AGENTD_WAIT) exit(1);
    print_hex("pong", c->out.data, c->out.end);
    c->out.end = 0;
    if (agentd_log(c, 2, names, values)) exit(1);
    print_hex("log", c->out.data, c->out.end);
    c->out.end = 0;
    c->state = AGENTD__DOWN;
    agentd__farewell(c);
    print_hex("goodbye", c->out.data, c->out.end);
    agentd_close(c);
}

static void hear(const unsigned char *d, size_t n) {
    static const agentd_head branches[] = {{3, 0, 0, NULL}, {2, 0, 0, NULL}};
    agentd_options o = plain();
    agentd__value seq, kind;
    agentd_status status;
    agentd_act act;
    agentd *c;
    int i;
    if (!agentd__scan(d + 4, n - 4, "seq:u?", &seq) || !agentd__scan(d + 4, n - 4, "q:B?", &kind)) exit(1);
    if (kind.kind) o.kind = AGENTD_MULTI_DISCRETE, o.heads = branches, o.n_heads = 2;
    c = made(&o, 2);
    if (seq.kind) c->session.pending = 1, c->frames[0].seq = c->seq = seq.u, c->frames[0].n = kind.kind ? 1 : seq.u == 9 ? 2 : 3;
    if (n - 4 > 18 && !memcmp(d + 11, "welcome", 7)) c->state = AGENTD__SHAKING, c->seq = 7, c->heard = 1;
    memset(&act, 0, sizeof act);
    status = agentd__message(c, d + 4, n - 4, &act);
    printf("status %d", (int)status);
    if (status == AGENTD_OK) {
        printf(" seq %d version %d late %d action", (int)act.seq, (int)act.version, act.late);
        for (i = 0; i < act.n * o.n_heads; i++) printf(" %d", (int)act.action[i]);
        for (i = 0; act.q && i < 5; i++) printf(" q %g", (double)act.q[i]);
        if (act.explored) printf(" explored %d", act.explored[0]);
    } else if (*c->error.code && status != AGENTD_WAIT) {
        printf(" %s|%s|%s|%s|%s|%d", c->error.code, c->error.message, c->error.field, c->error.expected, c->error.got,
               (int)c->error.retry_ms);
    } else if (c->session.heartbeat_s > 0) {
        printf(" protocol %d window %d max_frame %d max_rows %d heartbeat %g resumed %d token %02x%02x", c->session.protocol,
               c->session.window, (int)c->session.max_frame, (int)c->session.max_rows, c->session.heartbeat_s,
               c->session.resumed, c->token[0], c->token[15]);
    }
    printf(" level %g wind %g\n", agentd_setting(c, "level", -1), agentd_setting(c, "wind", -1));
    c->state = AGENTD__DOWN; /* nobody is there to say goodbye to */
    agentd_close(c);
}

int main(int argc, char **argv) {
    static char line[200000];
    static unsigned char bytes[100000];
    if (argc > 1 && !strcmp(argv[1], "says")) return say_hellos(), say_the_rest(), 0;
    while (fgets(line, sizeof line, stdin)) {
        size_t n = read_hex(line, bytes);
        if (argc > 1) hear(bytes, n);
        else again(bytes, n);
    }
    return 0;
}
