/* agentd.h: a game's connection to the agentd daemon. C99 and C++, POSIX and Windows, no dependencies.

   In one file, before any other #include:

       #define AGENTD_IMPLEMENTATION
       #include "agentd.h"

   In every other file only include it. On Windows link ws2_32. Before the #include one may define
   AGENTD_MALLOC(size) and AGENTD_FREE(pointer), and AGENTD_API (as `static`, for one file alone).
   There are no globals: a client belongs to one thread at a time, and clients know nothing of each
   other. Arrays are in the numbers of the machine; the wire's byte order is the client's business.
   The wire is described in PROTOCOL.md of agentd; R5 and its like below are the rules there.

   Licence: Apache-2.0, at the end of this file. */
#if defined(AGENTD_IMPLEMENTATION) && !defined(_WIN32)
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200112L /* getaddrinfo, clock_gettime */
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE 1 /* SO_NOSIGPIPE */
#endif
#endif

#ifndef AGENTD_H
#define AGENTD_H

#include <stddef.h>
#include <stdint.h>

#ifndef AGENTD_API
#define AGENTD_API extern
#endif
#define AGENTD_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

enum { AGENTD_FIRST, AGENTD_MID, AGENTD_TERMINATED, AGENTD_TRUNCATED }; /* what a row is */
enum { AGENTD_BY_AGENT, AGENTD_BY_PERSON, AGENTD_BY_SCRIPT };           /* who chose an action */
typedef enum { AGENTD_UINT8, AGENTD_INT8, AGENTD_INT32, AGENTD_FLOAT16, AGENTD_FLOAT32 } agentd_dtype;
typedef enum { AGENTD_DISCRETE, AGENTD_MULTI_DISCRETE, AGENTD_BOX, AGENTD_MIXED } agentd_action_kind;

typedef enum {
    AGENTD_OK,       /* done */
    AGENTD_WAIT,     /* not yet: no answer, no connection, or `window` frames wait; call again later */
    AGENTD_REFUSED,  /* the frame was refused whole; the streams stand where they stood before it */
    AGENTD_LOST,     /* a new session has begun: every stream begins with a first row */
    AGENTD_BAD_CALL, /* the arguments do not fit; nothing was sent */
    AGENTD_CLOSED    /* over for good; only agentd_close is left */
} agentd_status;     /* after all but OK and WAIT agentd_why tells more */

typedef struct {
    const char *name;
    agentd_dtype dtype; /* float16: the bits, as uint16_t */
    int dims;           /* 0 to 4; 0 is one number */
    int shape[4];
} agentd_tensor;

typedef struct { /* one part of an action: n choices, or (n = 0) a number from low to high */
    int n;
    double low, high;
    const char *name; /* may be NULL; in mixed actions only */
} agentd_head;

typedef struct {         /* Set all to zero first: what is 0 or NULL has the default. */
    const char *address; /* "host", "host:port" or "[ipv6]:port"; "127.0.0.1:7331" */
    const char *agent;   /* no default, unless the role is "admin" */
    const char *role;    /* "train" (default): learns; "eval", "play": greedy */
    const char *client;  /* the program's name in logs; "agentd-c" */
    const char *token;
    const unsigned char *run;   /* 16 bytes that name this start of the game; random */
    const agentd_tensor *tensors; /* what a row shows */
    int n_tensors;
    const agentd_head *heads; /* discrete: one head */
    int n_heads;
    agentd_action_kind kind;
    int streams;          /* episodes side by side; 1 */
    int explain;          /* 1: answers bring q and explored */
    int deadline_ms;      /* how long an answer is of use */
    const char *priority; /* "realtime" (default) or "bulk" */
    double dt_ms;         /* nominal time between two rows */
    double wait_s;        /* how long to try for the first connection; 0: one try */
    double retry_s;       /* how long to try after it broke; 60; below 0: not at all */
} agentd_options;

typedef struct {            /* One frame of n rows (R5); NULL leaves a part out. */
    int n;
    const uint32_t *stream; /* [n]; 0, 1, 2 ... */
    const uint8_t *kind;    /* [n]; needed */
    const float *reward;    /* [n], for the action that led here; 0 */
    const void *const *obs; /* one array [n][shape] a tensor, in the order of options.tensors; needed */
    const uint8_t *mask;    /* [n][all choices], 1: legal; all are */
    const void *taken;      /* [n][parts], as act.action or act.value: what was really played */
    const uint8_t *by;      /* [n], who chose `taken` */
    const float *elapsed;   /* [n], steps of dt_ms that this row took; 1 */
    const uint8_t *success; /* [n], counts on ended rows: 1 won */
} agentd_rows;

typedef struct {             /* The answer; its arrays last until the next call with the client. */
    uint64_t seq;
    int n;
    const int32_t *action;   /* [n], or [n][heads]; -1 on ended rows. NULL for box and mixed */
    const float *value;      /* box and mixed: [n][heads]; NaN on ended rows */
    uint64_t version;        /* number of the weights that chose */
    const float *q;          /* with explain: [n][all choices], else NULL */
    const uint8_t *explored; /* with explain: [n], 1 where drawn at random, else NULL */
    int late;                /* 1: given at the deadline by older weights */
} agentd_act;

typedef struct {
    char code[32]; /* of R10, or UNREACHABLE, NOT_AGENTD, SESSION_LOST, BAD_CALL, SERVER_TOO_OLD ... */
    char message[256], field[128], expected[256], got[256]; /* "" where nothing was said */
    uint64_t seq, retry_ms;
    int fatal;
} agentd_error;

typedef struct { /* the last welcome, kept up to date */
    int protocol, connected, resumed, reconnects;
    unsigned settings; /* grows whenever the settings change */
    int window, pending; /* frames that may be, and that are, unanswered */
    uint64_t version, max_frame, max_rows;
    double heartbeat_s;
} agentd_session;

typedef struct agentd agentd;

/* Begin to connect, without waiting (but for the resolver, where the address is a name).
   Returns NULL, and the reason in `why` (may be NULL), for options that do not fit. */
AGENTD_API agentd *agentd_open(const agentd_options *options, agentd_error *why);
/* Wait for the connection. OK, CLOSED or LOST. Step does it by itself. */
AGENTD_API agentd_status agentd_connect(agentd *client);
/* Send a frame and wait for its answer. A broken connection is made anew meanwhile (R7). */
AGENTD_API agentd_status agentd_step(agentd *client, const agentd_rows *rows, agentd_act *act);
/* Send a frame without waiting. WAIT: it was not taken, poll and try again. */
AGENTD_API agentd_status agentd_send(agentd *client, const agentd_rows *rows);
/* Take the oldest answer, if it is there, without waiting. Call it in every round of the game's
   loop: it also answers pings and connects again. Receive does the same and waits. */
AGENTD_API agentd_status agentd_poll(agentd *client, agentd_act *act);
AGENTD_API agentd_status agentd_receive(agentd *client, agentd_act *act);
/* Show n numbers of the game beside the agent's (R16); at most 32, 100 calls a second.
   WAIT: not connected, they were dropped. */
AGENTD_API agentd_status agentd_log(agentd *client, int n, const char *const *names, const double *values);
/* A number that the agent's operator gives to the game (R19); `otherwise` when there is none. */
AGENTD_API double agentd_setting(const agentd *client, const char *name, double otherwise);
AGENTD_API const agentd_session *agentd_state(const agentd *client);
/* What went wrong last: after REFUSED, LOST, BAD_CALL and CLOSED. */
AGENTD_API const agentd_error *agentd_why(const agentd *client);
/* Say goodbye, wait for the server's (2 s at most) and free everything. Open episodes end truncated. */
AGENTD_API void agentd_close(agentd *client);

#ifdef __cplusplus
}
#endif
#endif /* AGENTD_H */

#ifdef AGENTD_IMPLEMENTATION
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
typedef SOCKET agentd__socket;
#define AGENTD__NONE INVALID_SOCKET
#define AGENTD__CLOSE closesocket
#define AGENTD__LENGTH(n) ((int)(n))
#define AGENTD__NOT_NOW (WSAGetLastError() == WSAEWOULDBLOCK)
#else
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef int agentd__socket;
#define AGENTD__NONE (-1)
#define AGENTD__CLOSE close
#define AGENTD__LENGTH(n) (n)
#define AGENTD__NOT_NOW (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == EINPROGRESS)
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef AGENTD_MALLOC
#define AGENTD_MALLOC(size) malloc(size)
#define AGENTD_FREE(pointer) free(pointer)
#endif
#ifdef MSG_NOSIGNAL
#define AGENTD__QUIET MSG_NOSIGNAL
#else
#define AGENTD__QUIET 0
#endif

enum { AGENTD__HANDSHAKE = 16384, AGENTD__FIRST_ANSWER = 65536, AGENTD__TRY_MS = 10000 };
enum { AGENTD__DOWN, AGENTD__DIALING, AGENTD__SHAKING, AGENTD__OPEN, AGENTD__OVER };

typedef struct { /* bytes [start, size) are in use; `failed` when memory ran out */
    unsigned char *data;
    size_t start, size, room;
    int failed;
} agentd__buffer;

typedef struct { uint64_t seq; int n; agentd__buffer bytes; } agentd__frame;

struct agentd {
    agentd_session session;
    agentd_error error;
    char address[300];
    agentd__buffer hello, in, out, game, answer;
    agentd__frame *frames; /* a ring of session.window; pending ones begin at `oldest` */
    int oldest, room;
    char names[64][65];
    size_t row_bytes[64], width[64]; /* of each tensor: bytes of a row, of a number */
    int32_t choices[64];             /* of each head, 0: a number */
    size_t row_size;
    int n_tensors, n_heads, all_choices, floats, pairs, low;
    uint64_t seq, seed, now, retry_at, give_up_at, began, heard, pinged;
    uint64_t wait_ms, retry_ms, delay_ms;
    unsigned char token[16]; /* of the session */
    int state, welcomed, known, begun, lost, deaf, fault;
    agentd__socket socket;
    struct addrinfo *addresses, *place;
};

/* -- bytes ---------------------------------------------------------------------------------- */

/* Make room for `more` bytes at the end and count them as used; NULL when there is no memory. */
static unsigned char *agentd__grow(agentd__buffer *b, size_t more) {
    size_t used = b->size - b->start, room = b->room ? b->room : 256;
    if (!b->failed && b->room - b->size < more) {
        unsigned char *data = b->data;
        while (room < SIZE_MAX / 2 && (room < more || room - more < used)) room *= 2;
        if (room > b->room) data = (unsigned char *)AGENTD_MALLOC(room);
        if (!data || room < more || room - more < used) b->failed = 1;
        if (data && used) memmove(data, b->data + b->start, used);
        if (data && data != b->data) { AGENTD_FREE(b->data); b->data = data; b->room = room; }
        if (data) { b->start = 0; b->size = used; }
    }
    if (b->failed) return NULL;
    b->size += more;
    return b->data + b->size - more;
}

static void agentd__put(agentd__buffer *b, const void *data, size_t size) {
    unsigned char *to = agentd__grow(b, size);
    if (to && size) memcpy(to, data, size);
}

/* Numbers of `width` bytes, between this machine's order and the wire's (little-endian). */
static void agentd__swap(void *to, const void *from, size_t size, size_t width) {
    const uint16_t one = 1;
    const unsigned char *source = (const unsigned char *)from;
    size_t i;
    if (width == 1 || *(const unsigned char *)&one) { memcpy(to, from, size); return; }
    for (i = 0; i < size; i++) ((unsigned char *)to)[i - i % width + (width - 1 - i % width)] = source[i];
}

static void agentd__tag(agentd__buffer *b, unsigned tag, uint64_t value, int bytes) {
    unsigned char head[9];
    int i;
    head[0] = (unsigned char)tag;
    for (i = 0; i < bytes; i++) head[1 + i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
    agentd__put(b, head, (size_t)bytes + 1);
}

static void agentd__uint(agentd__buffer *b, uint64_t v) {
    if (v < 128) agentd__tag(b, (unsigned)v, 0, 0);
    else if (v < 256) agentd__tag(b, 0xcc, v, 1);
    else if (v < 65536) agentd__tag(b, 0xcd, v, 2);
    else if (v <= 0xffffffffu) agentd__tag(b, 0xce, v, 4);
    else agentd__tag(b, 0xcf, v, 8);
}

static void agentd__float(agentd__buffer *b, double v) {
    uint64_t bits;
    memcpy(&bits, &v, 8);
    agentd__tag(b, 0xcb, bits, 8);
}

static void agentd__many(agentd__buffer *b, unsigned fix, unsigned tag16, size_t n) {
    if (n < 16) agentd__tag(b, fix + (unsigned)n, 0, 0);
    else agentd__tag(b, tag16, n, 2);
}
#define agentd__map(b, n) agentd__many(b, 0x80, 0xde, (size_t)(n))
#define agentd__array(b, n) agentd__many(b, 0x90, 0xdc, (size_t)(n))

static void agentd__str(agentd__buffer *b, const char *text) {
    size_t n = strlen(text);
    if (n < 32) agentd__tag(b, 0xa0 + (unsigned)n, 0, 0);
    else if (n < 256) agentd__tag(b, 0xd9, n, 1);
    else agentd__tag(b, 0xda, n, 2); /* longer ones do not fit into a hello anyway */
    agentd__put(b, text, n);
}

static void agentd__numbers(agentd__buffer *b, const char *key, const void *data, size_t size, size_t width) {
    unsigned char *to;
    agentd__str(b, key);
    if (size < 256) agentd__tag(b, 0xc4, size, 1);
    else if (size < 65536) agentd__tag(b, 0xc5, size, 2);
    else agentd__tag(b, 0xc6, size, 4);
    to = agentd__grow(b, size);
    if (to && size && data) agentd__swap(to, data, size, width);
    else if (to && size) memset(to, 0, size);
}

/* Begin a frame of one map, and return where: agentd__end writes its length there. */
static size_t agentd__begin(agentd__buffer *b, int pairs, const char *type) {
    size_t at = b->size - b->start;
    agentd__put(b, "\0\0\0\0", 4);
    agentd__map(b, pairs);
    agentd__str(b, "type");
    agentd__str(b, type);
    return at;
}

static void agentd__end(agentd__buffer *b, size_t at) {
    size_t n = b->size - b->start - at - 4, i;
    for (i = 0; i < 4 && !b->failed; i++) b->data[b->start + at + i] = (unsigned char)(n >> (8 * i));
}

/* -- reading msgpack: every read is checked against the end ----------------------------------- */

typedef struct { const unsigned char *at, *end; } agentd__cursor;

typedef struct { /* kind: 0 absent or nil, b bool, u, i, f numbers, s str, B bin, a array, m map */
    char kind;
    uint64_t u; /* bool, number, count */
    double f;
    const unsigned char *data, *raw; /* of str and bin; of the whole value */
    size_t size, raw_size;
} agentd__value;

static int agentd__big(agentd__cursor *c, int bytes, uint64_t *value) {
    if (c->end - c->at < bytes) return 0;
    for (*value = 0; bytes > 0; bytes--) *value = *value << 8 | *c->at++;
    return 1;
}

/* Read one value, of an array or a map its head. 0: cut, or an extension type. */
static int agentd__head(agentd__cursor *c, agentd__value *v) {
    static const struct { char kind; unsigned char bytes; } heads[32] = {
        {0, 0},   {'x', 0}, {'b', 0}, {'b', 0}, {'B', 1}, {'B', 2}, {'B', 4}, {'x', 0},
        {'x', 0}, {'x', 0}, {'f', 4}, {'f', 8}, {'u', 1}, {'u', 2}, {'u', 4}, {'u', 8},
        {'i', 1}, {'i', 2}, {'i', 4}, {'i', 8}, {'x', 0}, {'x', 0}, {'x', 0}, {'x', 0},
        {'x', 0}, {'s', 1}, {'s', 2}, {'s', 4}, {'a', 2}, {'a', 4}, {'m', 2}, {'m', 4}};
    unsigned tag;
    int bytes = 0;
    memset(v, 0, sizeof *v);
    v->raw = c->at;
    if (c->at == c->end) return 0;
    tag = *c->at++;
    if (tag < 0x80) { v->kind = 'u'; v->u = tag; }
    else if (tag < 0xc0) { v->kind = tag < 0x90 ? 'm' : tag < 0xa0 ? 'a' : 's'; v->u = tag & (tag < 0xa0 ? 15u : 31u); }
    else if (tag >= 0xe0) { v->kind = 'i'; v->f = (double)tag - 256; }
    else {
        v->kind = heads[tag - 0xc0].kind;
        bytes = heads[tag - 0xc0].bytes;
        if (v->kind == 'x' || !agentd__big(c, bytes, &v->u)) return 0;
    }
    if (v->kind == 'b') v->u = tag & 1;
    if (v->kind == 'u') v->f = (double)v->u;
    if (v->kind == 'i' && bytes) {
        uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
        if (v->u & sign) v->f = -(double)((~v->u & (sign - 1)) + 1);
        else { v->kind = 'u'; v->f = (double)v->u; }
    }
    if (v->kind == 'f' && bytes == 8) memcpy(&v->f, &v->u, 8);
    if (v->kind == 'f' && bytes == 4) {
        uint32_t bits = (uint32_t)v->u;
        float f;
        memcpy(&f, &bits, 4);
        v->f = (double)f;
    }
    if (v->kind == 's' || v->kind == 'B') {
        if (v->u > (uint64_t)(c->end - c->at)) return 0;
        v->data = c->at;
        v->size = (size_t)v->u;
        c->at += v->size;
    }
    v->raw_size = (size_t)(c->at - v->raw);
    return 1;
}

/* Read one whole value, with all that is in it. */
static int agentd__whole(agentd__cursor *c, agentd__value *v) {
    agentd__value inner;
    uint64_t left;
    if (!agentd__head(c, v)) return 0;
    left = v->kind == 'a' ? v->u : v->kind == 'm' ? 2 * v->u : 0;
    for (; left > 0; left--) {
        if (left > (uint64_t)(c->end - c->at) || !agentd__head(c, &inner)) return 0;
        left += inner.kind == 'a' ? inner.u : inner.kind == 'm' ? 2 * inner.u : 0;
    }
    v->raw_size = (size_t)(c->at - v->raw);
    return 1;
}

static int agentd__is(const agentd__value *v, const char *text) {
    return v->kind == 's' && v->size == strlen(text) && !memcmp(v->data, text, v->size);
}

/* The value of `key` in a map that is read whole; absent is kind 0. 0: this is not one map. */
static int agentd__find(const unsigned char *data, size_t size, const char *key, agentd__value *found) {
    agentd__cursor c;
    agentd__value map, name, value;
    memset(found, 0, sizeof *found);
    c.at = data;
    c.end = data + size;
    if (!agentd__head(&c, &map) || map.kind != 'm') return 0;
    for (; map.u > 0; map.u--) {
        if (!agentd__head(&c, &name) || name.kind != 's' || !agentd__whole(&c, &value)) return 0;
        if (agentd__is(&name, key)) *found = value;
    }
    return c.at == c.end;
}

/* -- faults and the end of a connection ------------------------------------------------------- */

static uint64_t agentd__clock(void) { /* ms */
#ifdef _WIN32
    return (uint64_t)GetTickCount64();
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
#endif
}

static void agentd__say(agentd_error *e, const char *code, const char *what, const char *message) {
    memset(e, 0, sizeof *e);
    snprintf(e->code, sizeof e->code, "%s", code);
    snprintf(e->message, sizeof e->message, "%.120s%s%.120s", what, *what ? ": " : "", message);
}

static void agentd__hang_up(agentd *c, int state) {
    if (c->socket != AGENTD__NONE) AGENTD__CLOSE(c->socket);
    c->socket = AGENTD__NONE;
    c->in.start = c->in.size = c->out.start = c->out.size = 0;
    c->session.connected = c->deaf = 0;
    c->state = state;
}

/* End for good. */
static agentd_status agentd__stop(agentd *c, const char *code, const char *message) {
    agentd__say(&c->error, code, c->address, message);
    c->error.fatal = 1;
    agentd__hang_up(c, AGENTD__OVER);
    return AGENTD_CLOSED;
}

/* End this connection and plan the next try: exponential, with full jitter; NULL: error says why. */
static agentd_status agentd__retry(agentd *c, const char *message) {
    uint64_t left, wait;
    if (c->state == AGENTD__OPEN && c->now - c->began > 5000) c->give_up_at = 0;
    if (message) agentd__say(&c->error, "UNREACHABLE", c->address, message);
    c->place = c->heard ? NULL : c->place->ai_next;
    agentd__hang_up(c, AGENTD__DOWN);
    c->retry_at = c->now;
    if (c->place) return AGENTD_WAIT; /* the name has another address */
    if (!c->give_up_at) {
        c->give_up_at = c->now + (c->known ? c->retry_ms : c->wait_ms);
        c->delay_ms = 50;
    }
    left = c->give_up_at > c->now ? c->give_up_at - c->now : 0;
    if (!left || left < c->error.retry_ms) { c->state = AGENTD__OVER; return AGENTD_CLOSED; }
    c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
    wait = (c->seed >> 33) % c->delay_ms;
    if (wait < c->error.retry_ms) wait = c->error.retry_ms;
    c->retry_at += wait < left ? wait : left;
    c->delay_ms = c->delay_ms < 2500 ? c->delay_ms * 2 : 5000;
    return AGENTD_WAIT;
}

/* -- the server's messages -------------------------------------------------------------------- */

/* The value of `key`, when it is of one of the `kinds`. */
static int agentd__get(const unsigned char *d, size_t n, const char *key, const char *kinds, agentd__value *v) {
    return agentd__find(d, n, key, v) && v->kind && strchr(kinds, v->kind);
}

static void agentd__text(char *to, size_t room, const unsigned char *d, size_t n, const char *key) {
    agentd__value v;
    size_t size = agentd__get(d, n, key, "s", &v) ? (v.size < room ? v.size : room - 1) : 0;
    if (size) memcpy(to, v.data, size);
    to[size] = 0;
}

static int agentd__among(const char *word, const char *words) { /* words: " a b c " */
    char padded[64];
    snprintf(padded, sizeof padded, " %s ", word);
    return strstr(words, padded) != NULL;
}

static void agentd__pop(agentd *c) {
    c->oldest = (c->oldest + 1) % c->room;
    c->session.pending--;
    c->give_up_at = 0;
}

static agentd_status agentd__welcome(agentd *c, const unsigned char *d, size_t n) {
    agentd__value protocol, session, max_frame, max_rows, window, beat, resumed, last, version, game;
    uint64_t answered = c->seq - (uint64_t)c->session.pending;
    int i;
    if (!agentd__get(d, n, "protocol", "u", &protocol) || !agentd__get(d, n, "session", "B", &session) ||
        !agentd__get(d, n, "max_frame", "u", &max_frame) || !agentd__get(d, n, "max_rows", "u", &max_rows) ||
        !agentd__get(d, n, "window", "u", &window) || !agentd__get(d, n, "heartbeat_s", "uf", &beat) ||
        !agentd__get(d, n, "resumed", "b", &resumed) || !agentd__get(d, n, "last_seq", "u", &last) ||
        !agentd__get(d, n, "version", "u", &version) || session.size != 16 || !max_frame.u || !window.u ||
        !(beat.f > 0 && beat.f < 1e9) || protocol.u < (uint64_t)c->low || protocol.u > 2 ||
        (resumed.u && (!c->known || last.u > c->seq)))
        return agentd__stop(c, "BAD_MESSAGE", "the server's welcome breaks the protocol");
    if (resumed.u && last.u < answered) { /* it lost its last seconds: begin a new session */
        c->known = 0;
        c->error.retry_ms = 0;
        return agentd__retry(c, "the server has forgotten frames that it had answered");
    }
    if (!resumed.u) {
        c->seq = 0;
        c->session.pending = 0;
        c->lost = c->begun;
        c->begun = 0;
    }
    window.u = window.u < 4096 ? window.u : 4096;
    if ((int)window.u > c->room) {
        agentd__frame *frames = (agentd__frame *)AGENTD_MALLOC((size_t)window.u * sizeof *frames);
        if (!frames) return agentd__stop(c, "OUT_OF_MEMORY", "no memory for the window");
        memset(frames, 0, (size_t)window.u * sizeof *frames);
        for (i = 0; i < c->room; i++) frames[i] = c->frames[(c->oldest + i) % c->room];
        AGENTD_FREE(c->frames);
        c->frames = frames;
        c->oldest = 0;
        c->room = (int)window.u;
    }
    memcpy(c->token, session.data, 16);
    c->session.protocol = (int)protocol.u;
    c->session.window = (int)window.u;
    c->session.max_frame = max_frame.u < (1u << 30) ? max_frame.u : 1u << 30;
    c->session.max_rows = max_rows.u < (1u << 24) ? max_rows.u : 1u << 24;
    c->session.heartbeat_s = beat.f;
    c->session.version = version.u;
    c->session.resumed = (int)resumed.u;
    c->session.reconnects += c->welcomed;
    c->session.connected = c->known = c->welcomed = 1;
    c->session.settings++;
    c->game.start = c->game.size = 0;
    if (agentd__get(d, n, "game", "m", &game)) agentd__put(&c->game, game.raw, game.raw_size);
    c->state = AGENTD__OPEN;
    for (i = 0; i < c->session.pending; i++) {
        const agentd__buffer *b = &c->frames[(c->oldest + i) % c->room].bytes;
        agentd__put(&c->out, b->data, b->size);
    }
    return AGENTD_WAIT;
}

static agentd_status agentd__answer(agentd *c, const unsigned char *d, size_t n, agentd_act *act) {
    const agentd__frame *f = c->session.pending ? &c->frames[c->oldest] : NULL;
    size_t rows = f ? (size_t)f->n : 0, heads = (size_t)c->n_heads, i, size = 4 * rows * heads;
    size_t q_size = 4 * rows * (size_t)c->all_choices;
    agentd__value seq, action, version, q, explored, late;
    unsigned char *to;
    if (!f || !agentd__get(d, n, "seq", "u", &seq) || seq.u != f->seq ||
        !agentd__get(d, n, "action", "B", &action) || action.size != size ||
        !agentd__get(d, n, "version", "u", &version) ||
        (agentd__find(d, n, "q", &q), q.kind && (q.kind != 'B' || q.size != q_size)) ||
        (agentd__find(d, n, "explored", &explored), explored.kind && (explored.kind != 'B' || explored.size != rows)))
        return agentd__stop(c, "BAD_MESSAGE", "the server's act does not fit the frame that is next");
    c->answer.start = c->answer.size = 0;
    to = agentd__grow(&c->answer, size + q_size + rows);
    if (!to) return agentd__stop(c, "OUT_OF_MEMORY", "no memory for an answer");
    memset(act, 0, sizeof *act);
    agentd__swap(to, action.data, size, 4);
    if (c->floats) act->value = (const float *)(void *)to;
    else act->action = (const int32_t *)(void *)to;
    for (i = 0; i < rows * heads && !c->floats; i++)
        if (act->action[i] < -1 || act->action[i] >= c->choices[i % heads])
            return agentd__stop(c, "BAD_MESSAGE", "the server's act has an action that there is not");
    if (q.kind) agentd__swap(to + size, q.data, q_size, 4);
    if (q.kind) act->q = (const float *)(void *)(to + size);
    if (explored.kind) act->explored = (uint8_t *)memcpy(to + size + q_size, explored.data, rows);
    act->seq = f->seq;
    act->n = f->n;
    act->version = c->session.version = version.u;
    act->late = agentd__get(d, n, "late", "b", &late) && late.u;
    agentd__pop(c);
    return AGENTD_OK;
}

static agentd_status agentd__refusal(agentd *c, const unsigned char *d, size_t n) {
    agentd_error *e = &c->error;
    agentd__value fatal, v;
    memset(e, 0, sizeof *e);
    agentd__text(e->code, sizeof e->code, d, n, "code");
    agentd__text(e->message, sizeof e->message, d, n, "message");
    agentd__text(e->field, sizeof e->field, d, n, "field");
    agentd__text(e->expected, sizeof e->expected, d, n, "expected");
    agentd__text(e->got, sizeof e->got, d, n, "got");
    if (agentd__get(d, n, "retry_ms", "u", &v)) e->retry_ms = v.u;
    if (!*e->code || !agentd__get(d, n, "fatal", "b", &fatal))
        return agentd__stop(c, "BAD_MESSAGE", "the server's error breaks the protocol");
    e->fatal = (int)fatal.u;
    if (fatal.u && agentd__among(e->code, " HELLO_TIMEOUT IDLE_TIMEOUT SLOW_READER LIMIT SHUTTING_DOWN INTERNAL "))
        return agentd__retry(c, NULL); /* the same words may be welcome later */
    if (fatal.u) { agentd__hang_up(c, AGENTD__OVER); return AGENTD_CLOSED; }
    if (!agentd__get(d, n, "seq", "u", &v)) return AGENTD_WAIT; /* BAD_LOG: it answers nothing */
    if (!c->session.pending || v.u != c->frames[c->oldest].seq)
        return agentd__stop(c, "BAD_MESSAGE", "the server refused another frame than the next");
    e->seq = v.u;
    agentd__pop(c);
    return AGENTD_REFUSED;
}

/* Act on one message. WAIT: it was no answer. */
static agentd_status agentd__message(agentd *c, const unsigned char *d, size_t n, agentd_act *act) {
    agentd__value type, v;
    char reason[32];
    if (!agentd__get(d, n, "type", "s", &type)) return agentd__stop(c, "BAD_FRAME", "the server sent no message");
    if (agentd__is(&type, "error")) return agentd__refusal(c, d, n);
    if (agentd__is(&type, "goodbye")) {
        agentd__text(reason, sizeof reason, d, n, "reason");
        c->error.retry_ms = 0;
        if (agentd__among(reason, " shutdown idle slow_reader limit error "))
            return agentd__retry(c, "the server said goodbye");
        agentd__stop(c, "CLOSED", "the server said goodbye");
        snprintf(c->error.got, sizeof c->error.got, "%s", reason);
        return AGENTD_CLOSED;
    }
    if (c->state == AGENTD__SHAKING && agentd__is(&type, "welcome")) return agentd__welcome(c, d, n);
    if (c->state != AGENTD__OPEN) return agentd__stop(c, "UNEXPECTED_MESSAGE", "the server did not say welcome");
    if (agentd__is(&type, "act")) return agentd__answer(c, d, n, act);
    if (agentd__is(&type, "ping") && agentd__get(d, n, "t", "uif", &v)) {
        size_t at;
        if (c->out.size - c->out.start > AGENTD__FIRST_ANSWER) return AGENTD_WAIT; /* bytes on the way will do */
        at = agentd__begin(&c->out, 2, "pong");
        agentd__str(&c->out, "t");
        agentd__put(&c->out, v.raw, v.raw_size);
        agentd__end(&c->out, at);
    } else if (agentd__is(&type, "settings") && agentd__get(d, n, "values", "m", &v)) {
        c->game.start = c->game.size = 0;
        agentd__put(&c->game, v.raw, v.raw_size);
        c->session.settings++;
    } else if (!agentd__is(&type, "pong")) {
        return agentd__stop(c, "UNEXPECTED_MESSAGE", "the server answered what nobody asked");
    }
    return AGENTD_WAIT;
}

/* -- the connection --------------------------------------------------------------------------- */

static void agentd__dial(agentd *c) {
    const int one = 1;
    size_t at;
#ifdef _WIN32
    u_long on = 1;
#endif
    if (!c->place) c->place = c->addresses;
    c->began = c->now;
    c->heard = c->pinged = 0;
    c->state = AGENTD__SHAKING;
    c->socket = socket(c->place->ai_family, SOCK_STREAM, 0);
    if (c->socket == AGENTD__NONE) { agentd__retry(c, "no socket can be had"); return; }
#ifdef _WIN32
    ioctlsocket(c->socket, FIONBIO, &on);
#else
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
#endif
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&one, sizeof one);
#ifdef SO_NOSIGPIPE
    setsockopt(c->socket, SOL_SOCKET, SO_NOSIGPIPE, (const char *)&one, sizeof one);
#endif
    at = agentd__begin(&c->out, c->pairs + c->known, "hello");
    agentd__put(&c->out, c->hello.data, c->hello.size);
    if (c->known) agentd__numbers(&c->out, "resume", c->token, 16, 1);
    agentd__end(&c->out, at);
    if (connect(c->socket, c->place->ai_addr, c->place->ai_addrlen) && !AGENTD__NOT_NOW)
        agentd__retry(c, "the connection was refused");
}

/* Send what the socket takes. A fault is left for agentd__read to find: there may be last words. */
static void agentd__flush(agentd *c) {
    while (c->out.size > c->out.start && c->socket != AGENTD__NONE && !c->deaf) {
        size_t n = c->out.size - c->out.start;
        long sent = (long)send(c->socket, (const char *)c->out.data + c->out.start, AGENTD__LENGTH(n), AGENTD__QUIET);
        if (sent <= 0) { c->deaf = !AGENTD__NOT_NOW; return; }
        c->out.start += (size_t)sent;
    }
    c->out.start = c->out.size = 0;
}

/* Receive what is there: 1 something, 0 nothing yet, -1 the connection is over. */
static int agentd__read(agentd *c) {
    unsigned char *to = agentd__grow(&c->in, AGENTD__FIRST_ANSWER);
    long got;
    int fault = 0;
    socklen_t length = sizeof fault;
    if (!to) { agentd__stop(c, "OUT_OF_MEMORY", "no memory for an answer"); return -1; }
    if (!c->heard) getsockopt(c->socket, SOL_SOCKET, SO_ERROR, (char *)&fault, &length);
    got = fault ? 0 : (long)recv(c->socket, (char *)to, AGENTD__FIRST_ANSWER, 0);
    c->in.size -= AGENTD__FIRST_ANSWER - (got > 0 ? (size_t)got : 0);
    if (got < 0 && AGENTD__NOT_NOW) return 0;
    if (got <= 0) {
        c->error.retry_ms = 0;
        agentd__retry(c, fault ? "nobody answers there" : "the server closed the connection");
        return -1;
    }
    c->heard = c->now;
    c->pinged = 0;
    return 1;
}

/* Give up a silent server (R9), or ask whether it is still there. */
static void agentd__listen(agentd *c) {
    uint64_t beat = (uint64_t)(c->session.heartbeat_s * 1000);
    size_t at;
    c->error.retry_ms = 0;
    if (c->state == AGENTD__SHAKING && c->now - c->began > AGENTD__TRY_MS) {
        agentd__retry(c, "nobody says welcome there");
    } else if (c->state == AGENTD__OPEN && c->pinged && c->now - c->pinged > beat) {
        agentd__retry(c, "the server is silent");
    } else if (c->state == AGENTD__OPEN && !c->pinged && c->now - c->heard > beat) {
        at = agentd__begin(&c->out, 2, "ping");
        agentd__str(&c->out, "t");
        agentd__uint(&c->out, c->now);
        agentd__end(&c->out, at);
        c->pinged = c->now;
        agentd__flush(c);
    }
}

static agentd_status agentd__lost(agentd *c) {
    c->lost = 0;
    agentd__say(&c->error, "SESSION_LOST", c->address,
                "a new session has begun; open episodes and unanswered frames are gone");
    return AGENTD_LOST;
}

/* One turn without waiting: until an answer is there, or nothing more is to be done now. */
static agentd_status agentd__turn(agentd *c, agentd_act *act) {
    agentd_status status;
    int i, got;
    c->now = agentd__clock();
    for (i = 0; i < 1000; i++) {
        const unsigned char *d = c->in.data + c->in.start;
        size_t have = c->in.size - c->in.start, n, most = AGENTD__FIRST_ANSWER;
        if (c->state == AGENTD__OVER) return AGENTD_CLOSED;
        if (c->lost) return agentd__lost(c);
        if (!act && c->state == AGENTD__OPEN) return AGENTD_OK;
        if (c->state == AGENTD__DOWN) {
            if (c->now < c->retry_at) return AGENTD_WAIT;
            agentd__dial(c);
            continue;
        }
        if (have >= 4) {
            n = d[0] | (size_t)d[1] << 8 | (size_t)d[2] << 16 | (size_t)d[3] << 24;
            if (c->state == AGENTD__OPEN) {
                most += (size_t)c->session.max_frame;
                if (c->session.pending)
                    most += (size_t)c->frames[c->oldest].n * (size_t)(4 * c->n_heads + 4 * c->all_choices + 1);
            }
            if (n > most) return agentd__stop(c, c->state == AGENTD__OPEN ? "FRAME_TOO_LARGE" : "NOT_AGENTD",
                                              "what answers there does not speak the protocol of a game port");
            if (have - 4 >= n) {
                c->in.start += 4 + n;
                status = agentd__message(c, d + 4, n, act);
                if (status != AGENTD_WAIT) return status;
                continue;
            }
        } else if (!have) {
            c->in.start = c->in.size = 0;
        }
        agentd__flush(c);
        got = agentd__read(c);
        if (!got) { agentd__listen(c); return c->state == AGENTD__OVER ? AGENTD_CLOSED : AGENTD_WAIT; }
    }
    return AGENTD_WAIT;
}

/* Wait until the socket or the time has something for the next turn; at most a second. */
static void agentd__sleep(agentd *c) {
    int writing = c->out.size > c->out.start && !c->deaf;
    uint64_t ms = 1000;
    c->now = agentd__clock();
    if (c->state == AGENTD__DOWN) {
        uint64_t left = c->retry_at > c->now ? c->retry_at - c->now : 0;
        ms = left < ms ? left : ms;
    }
#ifdef _WIN32
    if (c->socket == AGENTD__NONE) Sleep((DWORD)ms);
    else {
        fd_set in, out, bad;
        struct timeval t;
        t.tv_sec = (long)ms / 1000;
        t.tv_usec = (long)ms % 1000 * 1000;
        FD_ZERO(&in); FD_ZERO(&out); FD_ZERO(&bad);
        FD_SET(c->socket, &in); FD_SET(c->socket, &bad);
        if (writing) FD_SET(c->socket, &out);
        select(0, &in, &out, &bad, &t);
    }
#else
    {
        struct pollfd p;
        p.fd = c->socket; /* -1 is left out */
        p.events = (short)(POLLIN | (writing ? POLLOUT : 0));
        poll(&p, 1, (int)ms);
    }
#endif
}

/* -- the interface ---------------------------------------------------------------------------- */

static agentd_status agentd__bad_call(agentd *c, const char *field, const char *message) {
    agentd__say(&c->error, "BAD_CALL", field, message);
    snprintf(c->error.field, sizeof c->error.field, "%s", field);
    return AGENTD_BAD_CALL;
}

/* Write what a hello says after its type; the number of its pairs, or 0 with the reason in `why`. */
static int agentd__hello(agentd__buffer *b, const agentd_options *o, int low, int high, const unsigned char *run) {
    static const char *const dtypes[] = {"uint8", "int8", "int32", "float16", "float32"};
    static const char *const kinds[] = {"discrete", "multi_discrete", "box", "mixed"};
    const char *role = o->role ? o->role : "train";
    int admin = !strcmp(role, "admin"), pairs = 4, i, j;
    agentd__str(b, "protocol");
    agentd__array(b, 2);
    agentd__uint(b, (uint64_t)low);
    agentd__uint(b, (uint64_t)high);
    agentd__str(b, "client");
    agentd__str(b, o->client ? o->client : "agentd-c/" AGENTD_VERSION);
    agentd__str(b, "role");
    agentd__str(b, role);
    agentd__numbers(b, "run", run, 16, 1);
    if (!admin) {
        pairs += 4;
        agentd__str(b, "agent");
        agentd__str(b, o->agent);
        agentd__str(b, "observation");
        agentd__map(b, o->n_tensors);
        for (i = 0; i < o->n_tensors; i++) {
            agentd__str(b, o->tensors[i].name);
            agentd__map(b, 2);
            agentd__str(b, "dtype");
            agentd__str(b, dtypes[o->tensors[i].dtype]);
            agentd__str(b, "shape");
            agentd__array(b, o->tensors[i].dims);
            for (j = 0; j < o->tensors[i].dims; j++) agentd__uint(b, (uint64_t)o->tensors[i].shape[j]);
        }
        agentd__str(b, "action");
        agentd__map(b, o->kind == AGENTD_BOX ? 3 : 2);
        agentd__str(b, "kind");
        agentd__str(b, kinds[o->kind]);
        for (j = 0; j < (o->kind == AGENTD_BOX ? 2 : 1); j++) {
            agentd__str(b, o->kind == AGENTD_MIXED ? "heads" : o->kind != AGENTD_BOX ? "n" : j ? "high" : "low");
            if (o->kind != AGENTD_DISCRETE) agentd__array(b, o->n_heads);
            for (i = 0; i < o->n_heads; i++) {
                const agentd_head *h = &o->heads[i];
                if (o->kind == AGENTD_BOX) { agentd__float(b, j ? h->high : h->low); continue; }
                if (o->kind == AGENTD_MIXED) agentd__map(b, (h->n ? 1 : 2) + (h->name ? 1 : 0));
                if (o->kind == AGENTD_MIXED && h->n) agentd__str(b, "n");
                if (h->n) agentd__uint(b, (uint64_t)h->n);
                else { agentd__str(b, "low"); agentd__float(b, h->low); agentd__str(b, "high"); agentd__float(b, h->high); }
                if (o->kind == AGENTD_MIXED && h->name) { agentd__str(b, "name"); agentd__str(b, h->name); }
            }
        }
        agentd__str(b, "streams");
        agentd__uint(b, (uint64_t)(o->streams ? o->streams : 1));
    }
    if (o->token) { pairs++; agentd__str(b, "token"); agentd__str(b, o->token); }
    if (o->explain) { pairs++; agentd__str(b, "explain"); agentd__tag(b, 0xc3, 0, 0); }
    if (o->deadline_ms) { pairs++; agentd__str(b, "deadline_ms"); agentd__uint(b, (uint64_t)o->deadline_ms); }
    if (o->priority) { pairs++; agentd__str(b, "priority"); agentd__str(b, o->priority); }
    if (o->dt_ms > 0) { pairs++; agentd__str(b, "dt_ms"); agentd__float(b, o->dt_ms); }
    return pairs;
}

/* What is wrong with the options, or NULL. Keeps what later calls need. */
static const char *agentd__check(agentd *c, const agentd_options *o) {
    int i, j;
    if (!o->agent || !*o->agent || strlen(o->agent) > 64) return "agent: want a name of 1 to 64 characters";
    if (o->n_tensors < 1 || o->n_tensors > 64) return "tensors: want 1 to 64";
    if (o->streams < 0 || o->deadline_ms < 0) return "streams, deadline_ms: want no number below 0";
    if (o->n_heads < 1 || o->n_heads > 64 || (o->kind == AGENTD_DISCRETE && o->n_heads != 1))
        return "heads: want 1 to 64, for discrete actions 1";
    c->n_tensors = o->n_tensors;
    c->n_heads = o->n_heads;
    c->floats = o->kind >= AGENTD_BOX;
    c->low = c->floats || o->dt_ms > 0 ? 2 : 1; /* a hello must be valid in the lowest that it offers */
    for (i = 0; i < o->n_tensors; i++) {
        static const size_t widths[] = {1, 1, 4, 2, 4};
        const agentd_tensor *t = &o->tensors[i];
        size_t size = widths[t->dtype];
        if (!t->name || !*t->name || strlen(t->name) > 64) return "tensors: want names of 1 to 64 characters";
        if (t->dims < 0 || t->dims > 4) return "tensors: want at most 4 dimensions";
        for (j = 0; j < t->dims; j++) {
            if (t->shape[j] < 1 || t->shape[j] > 65536) return "tensors: want dimensions of 1 to 65536";
            size *= (size_t)t->shape[j];
            if (size > 4194304) return "tensors: want at most 4194304 bytes a row";
        }
        snprintf(c->names[i], sizeof c->names[i], "%s", t->name);
        c->width[i] = widths[t->dtype];
        c->row_bytes[i] = size;
        c->row_size += size;
    }
    for (i = 0; i < o->n_heads; i++) {
        const agentd_head *h = &o->heads[i];
        if (h->n < 0 || h->n > 65536 || (h->n && o->kind == AGENTD_BOX) || (!h->n && !c->floats))
            return "heads: want 1 to 65536 choices (n), and none in a box";
        if (!h->n && !(h->low < h->high)) return "heads: want low < high";
        c->choices[i] = (int32_t)h->n;
        c->all_choices += h->n;
    }
    return c->all_choices > 65536 ? "heads: want at most 65536 choices in all" : NULL;
}

/* Look the address up: "host", "host:port", "[ipv6]:port". */
static int agentd__resolve(agentd *c, const char *text) {
    struct addrinfo hints;
    char host[256];
    const char *end = *text == '[' ? strchr(text, ']') : strchr(text, ':'), *port = "7331";
    size_t n = end ? (size_t)(end - text) : strlen(text);
    snprintf(c->address, sizeof c->address, "%s", text);
    if (*text == '[') { text++; n -= n > 0; end = end ? end + 1 : end; }
    if (end && *end == ':') port = end + 1;
    if (n >= sizeof host) return 0;
    memcpy(host, text, n);
    host[n] = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    return getaddrinfo(host, port, &hints, &c->addresses) == 0;
}

static void agentd__random(agentd *c, unsigned char *to) {
    size_t i, got = 0;
#ifndef _WIN32
    FILE *source = fopen("/dev/urandom", "rb");
    if (source) { got = fread(to, 1, 16, source); fclose(source); }
    c->seed ^= (uint64_t)getpid() << 32;
#else
    LARGE_INTEGER ticks;
    QueryPerformanceCounter(&ticks);
    c->seed ^= (uint64_t)ticks.QuadPart ^ (uint64_t)GetCurrentProcessId() << 32;
#endif
    c->seed ^= agentd__clock() ^ (uint64_t)(size_t)c;
    for (i = 0; i < 16; i++) {
        c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
        if (got < 16) to[i] = (unsigned char)(c->seed >> 56);
    }
}

AGENTD_API agentd *agentd_open(const agentd_options *o, agentd_error *why) {
    agentd *c = (agentd *)AGENTD_MALLOC(sizeof *c);
    agentd_error none;
    unsigned char run[16];
    const char *fault;
#ifdef _WIN32
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
#endif
    why = why ? why : &none;
    memset(why, 0, sizeof *why);
    if (!c) { agentd__say(why, "OUT_OF_MEMORY", "", "no memory for a client"); return NULL; }
    memset(c, 0, sizeof *c);
    c->socket = AGENTD__NONE;
    agentd__random(c, run);
    fault = agentd__check(c, o);
    if (fault) {
        agentd__say(why, "BAD_CALL", "", fault);
    } else {
        c->pairs = 1 + agentd__hello(&c->hello, o, c->low, 2, o->run ? o->run : run);
        c->wait_ms = (uint64_t)(o->wait_s > 0 ? o->wait_s * 1000 : 0);
        c->retry_ms = (uint64_t)(o->retry_s > 0 ? o->retry_s * 1000 : o->retry_s < 0 ? 0 : 60000);
        if (c->hello.failed || c->hello.size > AGENTD__HANDSHAKE - 64) agentd__say(why, "BAD_CALL", "", "the hello is too long");
        else if (!agentd__resolve(c, o->address ? o->address : "127.0.0.1:7331"))
            agentd__say(why, "UNREACHABLE", c->address, "want host, host:port or [ipv6]:port of a known host");
    }
    if (*why->code) { agentd_close(c); return NULL; }
    agentd__turn(c, NULL);
    return c;
}

AGENTD_API agentd_status agentd_connect(agentd *c) {
    agentd_status status;
    while ((status = agentd__turn(c, NULL)) == AGENTD_WAIT) agentd__sleep(c);
    return status;
}

AGENTD_API agentd_status agentd_send(agentd *c, const agentd_rows *r) {
    agentd__frame *f;
    agentd__buffer *b;
    size_t n = r->n > 0 ? (size_t)r->n : 0, i;
    const int newer = r->taken || r->by || r->elapsed || r->success;
    if (c->state == AGENTD__OVER) return AGENTD_CLOSED;
    if (c->lost) return agentd__lost(c);
    if (!c->known || c->session.pending >= c->session.window) return AGENTD_WAIT;
    if (!n || n > c->session.max_rows || n * (uint64_t)c->row_size > c->session.max_frame)
        return agentd__bad_call(c, "n", "want at least one row, and no more than the server's max_rows and max_frame");
    if (!r->kind || !r->obs) return agentd__bad_call(c, r->kind ? "obs" : "kind", "missing");
    if (r->by && !r->taken) return agentd__bad_call(c, "by", "says who chose `taken`, and there is none");
    if (newer && c->session.protocol < 2) {
        agentd__bad_call(c, "taken, by, elapsed, success", "need protocol 2, which this server does not speak");
        snprintf(c->error.code, sizeof c->error.code, "SERVER_TOO_OLD");
        return AGENTD_BAD_CALL;
    }
    f = &c->frames[(c->oldest + c->session.pending) % c->room];
    b = &f->bytes;
    b->start = b->size = 0;
    agentd__begin(b, 6 + !!r->mask + !!r->taken + !!r->by + !!r->elapsed + !!r->success, "step");
    agentd__str(b, "seq");
    agentd__uint(b, c->seq + 1);
    agentd__numbers(b, "stream", r->stream, 4 * n, 4);
    for (i = 0; i < n && !b->failed && !r->stream; i++) {
        uint32_t id = (uint32_t)i;
        agentd__swap(b->data + b->size - 4 * (n - i), &id, 4, 4);
    }
    agentd__numbers(b, "kind", r->kind, n, 1);
    agentd__numbers(b, "reward", r->reward, 4 * n, 4);
    agentd__str(b, "obs");
    agentd__map(b, c->n_tensors);
    for (i = 0; i < (size_t)c->n_tensors; i++) {
        if (!r->obs[i]) return agentd__bad_call(c, c->names[i], "this tensor is missing");
        agentd__numbers(b, c->names[i], r->obs[i], n * c->row_bytes[i], c->width[i]);
    }
    if (r->mask) agentd__numbers(b, "mask", r->mask, n * (size_t)c->all_choices, 1);
    if (r->taken) agentd__numbers(b, "taken", r->taken, 4 * n * (size_t)c->n_heads, 4);
    if (r->by) agentd__numbers(b, "by", r->by, n, 1);
    if (r->elapsed) agentd__numbers(b, "elapsed", r->elapsed, 4 * n, 4);
    if (r->success) agentd__numbers(b, "success", r->success, n, 1);
    agentd__end(b, 0);
    if (b->failed) return agentd__stop(c, "OUT_OF_MEMORY", "no memory for a frame");
    if (b->size - 4 > c->session.max_frame) return agentd__bad_call(c, "n", "the frame is longer than the server's max_frame");
    f->seq = ++c->seq;
    f->n = r->n;
    c->session.pending++;
    c->begun = 1;
    if (c->state == AGENTD__OPEN) { agentd__put(&c->out, b->data, b->size); agentd__flush(c); }
    return AGENTD_OK;
}

AGENTD_API agentd_status agentd_poll(agentd *c, agentd_act *act) {
    return agentd__turn(c, act);
}

AGENTD_API agentd_status agentd_receive(agentd *c, agentd_act *act) {
    agentd_status status;
    while ((status = agentd__turn(c, act)) == AGENTD_WAIT) {
        if (!c->session.pending) return agentd__bad_call(c, "receive", "no frame waits for an answer");
        agentd__sleep(c);
    }
    return status;
}

AGENTD_API agentd_status agentd_step(agentd *c, const agentd_rows *rows, agentd_act *act) {
    agentd_status status = c->known ? AGENTD_OK : agentd_connect(c);
    if (status != AGENTD_OK) return status;
    if (c->session.pending) return agentd__bad_call(c, "step", "earlier answers wait: receive them first");
    status = agentd_send(c, rows);
    return status == AGENTD_OK ? agentd_receive(c, act) : status;
}

AGENTD_API agentd_status agentd_log(agentd *c, int n, const char *const *names, const double *values) {
    size_t at, i;
    if (c->state == AGENTD__OVER) return AGENTD_CLOSED;
    if (n < 0 || n > 32) return agentd__bad_call(c, "log", "want at most 32 numbers");
    for (i = 0; i < (size_t)n; i++) {
        size_t size = strlen(names[i]);
        if (!size || size > 64 || strspn(names[i], "abcdefghijklmnopqrstuvwxyz0123456789_./-") != size)
            return agentd__bad_call(c, "log", "want names of 1 to 64 of a-z 0-9 _ . / -");
        if (!(values[i] - values[i] == 0)) return agentd__bad_call(c, names[i], "want a finite number");
    }
    if (c->state != AGENTD__OPEN) return AGENTD_WAIT;
    if (c->session.protocol < 2) return agentd__bad_call(c, "log", "needs protocol 2, which this server does not speak");
    at = agentd__begin(&c->out, 2, "log");
    agentd__str(&c->out, "values");
    agentd__many(&c->out, 0x80, 0xde, (size_t)n);
    for (i = 0; i < (size_t)n; i++) { agentd__str(&c->out, names[i]); agentd__float(&c->out, values[i]); }
    agentd__end(&c->out, at);
    agentd__flush(c);
    return AGENTD_OK;
}

AGENTD_API double agentd_setting(const agentd *c, const char *name, double otherwise) {
    agentd__value v;
    return agentd__get(c->game.data, c->game.size, name, "uif", &v) ? v.f : otherwise;
}

AGENTD_API const agentd_session *agentd_state(const agentd *c) { return &c->session; }

AGENTD_API const agentd_error *agentd_why(const agentd *c) { return &c->error; }

AGENTD_API void agentd_close(agentd *c) {
    size_t at;
    int i, got = 0;
    if (!c) return;
    if (c->state == AGENTD__OPEN) {
        uint64_t until = agentd__clock() + 2000;
        at = agentd__begin(&c->out, 2, "goodbye");
        agentd__str(&c->out, "reason");
        agentd__str(&c->out, "client_done");
        agentd__end(&c->out, at);
        while (got >= 0 && agentd__clock() < until) {
            agentd__flush(c);
            if (!got) agentd__sleep(c);
            c->in.start = c->in.size = 0;
            got = agentd__read(c);
        }
    }
    agentd__hang_up(c, AGENTD__OVER);
    if (c->addresses) freeaddrinfo(c->addresses);
    for (i = 0; i < c->room; i++) AGENTD_FREE(c->frames[i].bytes.data);
    AGENTD_FREE(c->frames);
    AGENTD_FREE(c->hello.data);
    AGENTD_FREE(c->in.data);
    AGENTD_FREE(c->out.data);
    AGENTD_FREE(c->game.data);
    AGENTD_FREE(c->answer.data);
    AGENTD_FREE(c);
#ifdef _WIN32
    WSACleanup();
#endif
}
#endif /* AGENTD_IMPLEMENTATION */
