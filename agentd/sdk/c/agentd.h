/* agentd.h: a game's connection to the agentd daemon. C99 and C++, POSIX and Windows, no dependencies.

   In one file, before any other #include:

       #define AGENTD_IMPLEMENTATION
       #include "agentd.h"

   Everywhere else only include it; on Windows link ws2_32. One may define AGENTD_MALLOC(size) and
   AGENTD_FREE(pointer) before, and AGENTD_API (as `static`, for one file alone). There are no globals:
   a client belongs to one thread at a time. Arrays hold numbers of the machine; the wire's byte order
   is the client's business. R5 and its like are the rules of agentd's PROTOCOL.md.

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
    const char *agent;   /* no default */
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
    const double *level;  /* how strong to play as "eval" or "play", 0 to 100; NULL: at its best */
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
    int settings;        /* how often they have come: see agentd_setting */
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
/* After REFUSED, where the game has no right frame to send: end the open episodes as truncated where
   they stand. The next frame begins an episode (first) in every stream. Pending answers are lost. */
AGENTD_API void agentd_abandon(agentd *client);
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
#define AGENTD__INT(n) ((int)(n))
#define AGENTD__NOT_NOW (WSAGetLastError() == WSAEWOULDBLOCK || WSAGetLastError() == WSAENOTCONN)
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
#define AGENTD__INT(n) (n)
#define AGENTD__NOT_NOW (errno == EAGAIN || errno == EINTR || errno == EINPROGRESS || errno == ENOTCONN)
#endif
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef AGENTD_MALLOC
#define AGENTD_MALLOC(size) malloc(size)
#define AGENTD_FREE(pointer) free(pointer)
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { AGENTD__CHUNK = 65536, AGENTD__TRY_MS = 10000, AGENTD__WINDOW = 64 };
enum { AGENTD__DOWN, AGENTD__SHAKING, AGENTD__OPEN, AGENTD__OVER };

typedef struct { /* bytes [start, end) of `room`; `failed` once memory has run out */
    unsigned char *data;
    size_t start, end, room;
    int failed;
} agentd__buffer;

struct agentd {
    agentd_session session;
    agentd_error error;
    agentd__buffer hello, in, out, game, answer;
    struct { uint64_t seq; int n; agentd__buffer bytes; } frames[AGENTD__WINDOW]; /* a ring from `oldest` on */
    int oldest;
    char address[128], names[64][65]; /* names of the tensors */
    size_t row_bytes[64], width[64];  /* of each tensor: bytes of a row, of a number */
    int choices[64];                  /* of each head; 0: a number */
    int n_tensors, n_heads, all_choices, floats, pairs, low; /* pairs of hello; lowest protocol offered */
    uint64_t seq, seed, now, retry_at, give_up_at, began, heard, pinged, wait_ms, retry_ms, delay_ms;
    unsigned char token[16]; /* of the session */
    int state, known, begun, lost, deaf; /* known: there is a session; deaf: writing has failed */
    agentd__socket socket;
    struct addrinfo *places, *place;
};

/* -- bytes out: msgpack ----------------------------------------------------------------------- */

/* Make room for `more` bytes at the end and count them as used; NULL when there is no memory. */
static unsigned char *agentd__grow(agentd__buffer *b, size_t more) {
    size_t used = b->end - b->start, room = b->room ? b->room : 256;
    if (b->failed) return NULL;
    if (b->room - b->end < more) {
        unsigned char *data = b->data;
        while (room - used < more && room < SIZE_MAX / 2) room *= 2;
        if (room > b->room) data = (unsigned char *)AGENTD_MALLOC(room);
        if (!data || room - used < more) { b->failed = 1; if (data != b->data) AGENTD_FREE(data); return NULL; }
        if (used) memmove(data, b->data + b->start, used);
        if (data != b->data) AGENTD_FREE(b->data);
        b->data = data, b->room = room, b->start = 0, b->end = used;
    }
    b->end += more;
    return b->data + b->end - more;
}

static void agentd__put(agentd__buffer *b, const void *data, size_t size) {
    unsigned char *to = agentd__grow(b, size);
    if (to && size) memcpy(to, data, size);
}

/* Numbers of `width` bytes between this machine's order and the wire's, which is little-endian. */
static void agentd__swap(unsigned char *to, const void *from, size_t size, size_t width) {
    const uint16_t one = 1;
    size_t i;
    memcpy(to, from, size);
    for (i = 0; i < size && !*(const unsigned char *)&one; i++)
        to[i] = ((const unsigned char *)from)[i - i % width + (width - 1 - i % width)];
}

static void agentd__tag(agentd__buffer *b, unsigned tag, uint64_t value, int bytes) {
    unsigned char head[9];
    int i;
    head[0] = (unsigned char)tag;
    for (i = 1; i <= bytes; i++) head[i] = (unsigned char)(value >> (8 * (bytes - i)));
    agentd__put(b, head, (size_t)bytes + 1);
}

/* Write one value a letter: m map, a array (int); s str; u integer (uint64_t); f double; t true;
   r bytes as they are (pointer, size_t); n numbers (pointer, size_t count, size_t width), NULL: zeros. */
static void agentd__write(agentd__buffer *b, const char *letters, ...) {
    va_list all;
    va_start(all, letters);
    for (; *letters; letters++) {
        if (*letters == 'm' || *letters == 'a') {
            unsigned n = (unsigned)va_arg(all, int), fix = *letters == 'm' ? 0x80 : 0x90;
            agentd__tag(b, n < 16 ? fix + n : fix == 0x80 ? 0xde : 0xdc, n, n < 16 ? 0 : 2);
        } else if (*letters == 's') {
            const char *text = va_arg(all, const char *);
            size_t n = strlen(text);
            agentd__tag(b, n < 32 ? 0xa0 + (unsigned)n : n < 256 ? 0xd9 : 0xda, n, n < 32 ? 0 : n < 256 ? 1 : 2);
            agentd__put(b, text, n);
        } else if (*letters == 'u') {
            uint64_t v = va_arg(all, uint64_t);
            int bytes = v < 128 ? 0 : v < 256 ? 1 : v < 65536 ? 2 : v <= 0xffffffffu ? 4 : 8;
            agentd__tag(b, !bytes ? (unsigned)v : bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf, v, bytes);
        } else if (*letters == 'f') {
            double v = va_arg(all, double);
            uint64_t bits;
            memcpy(&bits, &v, 8);
            agentd__tag(b, 0xcb, bits, 8);
        } else if (*letters == 't') {
            agentd__tag(b, 0xc3, 0, 0);
        } else if (*letters == 'r') {
            const void *data = va_arg(all, const void *);
            agentd__put(b, data, va_arg(all, size_t));
        } else if (*letters == 'n') {
            const void *data = va_arg(all, const void *);
            size_t count = va_arg(all, size_t), width = va_arg(all, size_t), n = count * width;
            unsigned char *to;
            agentd__tag(b, n < 256 ? 0xc4 : n < 65536 ? 0xc5 : 0xc6, n, n < 256 ? 1 : n < 65536 ? 2 : 4);
            to = agentd__grow(b, n);
            if (to && data) agentd__swap(to, data, n, width);
            else if (to) memset(to, 0, n);
        }
    }
    va_end(all);
}

/* Begin a frame of one map, and return where: agentd__end writes its length there. */
static size_t agentd__begin(agentd__buffer *b, int pairs, const char *type) {
    size_t at = b->end - b->start;
    agentd__write(b, "rmss", "\0\0\0\0", (size_t)4, pairs, "type", type);
    return at;
}

static void agentd__end(agentd__buffer *b, size_t at) {
    size_t n = b->end - b->start - at - 4, i;
    for (i = 0; i < 4 && !b->failed; i++) b->data[b->start + at + i] = (unsigned char)(n >> (8 * i));
}

/* -- bytes in: every read is checked against the end ------------------------------------------ */

typedef struct { const unsigned char *at, *end; } agentd__cursor;

typedef struct { /* kind: 0 absent or nil, b bool, u i f numbers, s str, B bin, a array, m map */
    char kind;
    uint64_t u; /* bool, number, count */
    double f;
    const unsigned char *data, *raw; /* of a str or bin; of the value with its head */
    size_t size, raw_size;
} agentd__value;

/* Read a value; of an array or map its head alone. 0: cut, or an extension type. */
static int agentd__head(agentd__cursor *c, agentd__value *v) {
    static const char kinds[] = "0xbbBBBxxxffuuuuiiiixxxxxsssaamm", sizes[] = "00001240004812481248000001242424";
    unsigned tag;
    int bytes = 0, i;
    memset(v, 0, sizeof *v);
    v->raw = c->at;
    if (c->at == c->end) return 0;
    tag = *c->at++;
    v->kind = tag < 0x80 ? 'u' : tag < 0x90 ? 'm' : tag < 0xa0 ? 'a' : tag < 0xc0 ? 's' : tag >= 0xe0 ? 'i' : kinds[tag - 0xc0];
    v->u = tag < 0x80 ? tag : tag < 0xa0 ? tag & 15 : tag < 0xc0 ? tag & 31 : tag >= 0xe0 ? (uint64_t)tag - 256 : 0;
    if (tag >= 0xc0 && tag < 0xe0) bytes = sizes[tag - 0xc0] - '0';
    if (v->kind == 'x' || c->end - c->at < bytes) return 0;
    for (i = 0; i < bytes; i++) v->u = v->u << 8 | *c->at++;
    if (v->kind == 'i' && bytes && bytes < 8 && v->u >> (8 * bytes - 1)) v->u -= (uint64_t)1 << (8 * bytes);
    if (v->kind == 'i' && !(v->u >> 63)) v->kind = 'u';
    if (v->kind == 'u') v->f = (double)v->u;
    if (v->kind == 'i') v->f = -(double)(~v->u + 1);
    if (v->kind == 'b') v->u = tag & 1;
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
    if (v->kind == '0') v->kind = 0;
    v->raw_size = (size_t)(c->at - v->raw);
    return 1;
}

/* Read one value with all that is in it. */
static int agentd__whole(agentd__cursor *c, agentd__value *v) {
    agentd__value inner;
    uint64_t left;
    if (!agentd__head(c, v)) return 0;
    for (left = v->kind == 'a' ? v->u : v->kind == 'm' ? 2 * v->u : 0; left > 0; left--) {
        if (left > (uint64_t)(c->end - c->at) || !agentd__head(c, &inner)) return 0;
        left += inner.kind == 'a' ? inner.u : inner.kind == 'm' ? 2 * inner.u : 0;
    }
    v->raw_size = (size_t)(c->at - v->raw);
    return 1;
}

/* Read a body of one map into out[]: `wanted` is "key:kinds key:kinds ...", and among the kinds a ?
   allows that the key is absent. 0: this is no such map. */
static int agentd__scan(const unsigned char *body, size_t size, const char *wanted, agentd__value *out) {
    agentd__cursor c;
    agentd__value map, name, value;
    const char *key;
    int i;
    c.at = body, c.end = body + size;
    for (i = 0, key = wanted; key; i++, key = strchr(key + 1, ' ')) memset(&out[i], 0, sizeof *out);
    if (!size || !agentd__head(&c, &map) || map.kind != 'm') return 0;
    for (; map.u > 0; map.u--) {
        if (!agentd__head(&c, &name) || name.kind != 's' || !agentd__whole(&c, &value)) return 0;
        for (i = 0, key = wanted; key; i++, key = strchr(key + 1, ' ')) {
            const char *word = key + (*key == ' ');
            if (strcspn(word, ":") == name.size && !memcmp(word, name.data, name.size)) out[i] = value;
        }
    }
    for (i = 0, key = wanted; key; i++, key = strchr(key + 1, ' ')) {
        const char *kinds = strchr(key, ':'), kind = out[i].kind ? out[i].kind : '?';
        if (!memchr(kinds, kind, strcspn(kinds, " "))) return 0;
    }
    return c.at == c.end;
}

/* -- the end of a connection ------------------------------------------------------------------ */

static uint64_t agentd__clock(void) { /* ms */
#ifdef _WIN32
    return (uint64_t)GetTickCount64();
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
#endif
}

static uint64_t agentd__random(agentd *c) { /* Knuth's linear congruence: for jitter, and to fall back on */
    c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
    return c->seed >> 33;
}

static agentd_status agentd__say(agentd *c, agentd_status status, const char *code, const char *what, const char *message) {
    memset(&c->error, 0, sizeof c->error);
    snprintf(c->error.code, sizeof c->error.code, "%.31s", code);
    snprintf(c->error.message, sizeof c->error.message, "%.127s: %.120s", what, message);
    return status;
}

static void agentd__hang_up(agentd *c, int state) {
    if (c->socket != AGENTD__NONE) AGENTD__CLOSE(c->socket);
    c->socket = AGENTD__NONE;
    c->in.start = c->in.end = c->out.start = c->out.end = 0;
    c->session.connected = c->deaf = 0;
    c->state = state;
}

static agentd_status agentd__stop(agentd *c, const char *code, const char *message) { /* for good */
    agentd__hang_up(c, AGENTD__OVER);
    return agentd__say(c, AGENTD_CLOSED, code, c->address, message);
}

/* End this connection and plan the next try: exponential, with full jitter. NULL: error says why. */
static agentd_status agentd__retry(agentd *c, const char *message) {
    uint64_t left, wait;
    if (message) agentd__say(c, AGENTD_WAIT, "UNREACHABLE", c->address, message);
    if (c->state == AGENTD__OPEN && c->now - c->began > 5000) c->give_up_at = 0;
    c->place = c->heard ? NULL : c->place->ai_next;
    agentd__hang_up(c, AGENTD__DOWN);
    c->retry_at = c->now;
    if (c->place) return AGENTD_WAIT; /* the host has another address */
    if (!c->give_up_at) {
        c->give_up_at = c->now + (c->session.protocol ? c->retry_ms : c->wait_ms);
        c->delay_ms = 50;
    }
    left = c->give_up_at > c->now ? c->give_up_at - c->now : 0;
    if (!left || left < c->error.retry_ms) {
        c->state = AGENTD__OVER;
        return AGENTD_CLOSED;
    }
    wait = agentd__random(c) % c->delay_ms;
    wait = wait < c->error.retry_ms ? c->error.retry_ms : wait;
    c->retry_at += wait < left ? wait : left;
    c->delay_ms = c->delay_ms < 2500 ? c->delay_ms * 2 : 5000;
    return AGENTD_WAIT;
}

/* -- the server's messages: WAIT means that it was no answer ---------------------------------- */

static void agentd__text(char *to, size_t room, const agentd__value *v) {
    size_t size = v->size < room ? v->size : room - 1;
    if (size) memcpy(to, v->data, size);
    to[size] = 0;
}

static int agentd__passing(const char *word) { /* the same words may be welcome later */
    char padded[40];
    snprintf(padded, sizeof padded, " %.31s ", word);
    return strstr(" HELLO_TIMEOUT IDLE_TIMEOUT SLOW_READER LIMIT SHUTTING_DOWN INTERNAL"
                  " shutdown idle slow_reader limit error ", padded) != NULL;
}

static void agentd__pop(agentd *c) {
    c->oldest = (c->oldest + 1) % AGENTD__WINDOW;
    c->session.pending--;
    c->give_up_at = 0;
}

static void agentd__settings(agentd *c, const agentd__value *map) {
    c->game.start = c->game.end = 0;
    agentd__put(&c->game, map->raw, map->raw_size);
    c->session.settings++;
}

static agentd_status agentd__welcome(agentd *c, const unsigned char *d, size_t n) {
    enum { PROTOCOL, SESSION, FRAME, ROWS, WINDOW, BEAT, RESUMED, LAST, VERSION, GAME, COUNT };
    agentd__value v[COUNT];
    int i;
    if (!agentd__scan(d, n, "protocol:u session:B max_frame:u max_rows:u window:u heartbeat_s:uf resumed:b last_seq:u "
                            "version:u game:m?", v) ||
        v[SESSION].size != 16 || !v[WINDOW].u || !(v[BEAT].f > 0 && v[BEAT].f < 1e9) || v[PROTOCOL].u < (uint64_t)c->low ||
        v[PROTOCOL].u > 2 || (v[RESUMED].u && (!c->known || v[LAST].u > c->seq)))
        return agentd__stop(c, "BAD_MESSAGE", "the server's welcome breaks the protocol");
    if (v[RESUMED].u && v[LAST].u < c->seq - (uint64_t)c->session.pending) {
        c->known = 0; /* it lost its last seconds: begin a new session */
        return agentd__retry(c, "the server has forgotten frames that it had answered");
    }
    if (!v[RESUMED].u) {
        c->lost = c->begun;
        c->seq = 0, c->begun = c->session.pending = 0;
    }
    memcpy(c->token, v[SESSION].data, 16);
    c->session.reconnects += c->session.protocol != 0;
    c->session.protocol = (int)v[PROTOCOL].u;
    c->session.window = v[WINDOW].u < AGENTD__WINDOW ? (int)v[WINDOW].u : AGENTD__WINDOW;
    c->session.max_frame = v[FRAME].u < (1u << 30) ? v[FRAME].u : 1u << 30;
    c->session.max_rows = v[ROWS].u < (1u << 24) ? v[ROWS].u : 1u << 24;
    c->session.heartbeat_s = v[BEAT].f;
    c->session.version = v[VERSION].u;
    c->session.resumed = (int)v[RESUMED].u;
    c->session.connected = c->known = 1;
    c->state = AGENTD__OPEN;
    agentd__settings(c, &v[GAME]);
    for (i = 0; i < c->session.pending; i++) {
        const agentd__buffer *b = &c->frames[(c->oldest + i) % AGENTD__WINDOW].bytes;
        agentd__put(&c->out, b->data, b->end);
    }
    return AGENTD_WAIT;
}

static agentd_status agentd__answer(agentd *c, const unsigned char *d, size_t n, agentd_act *act) {
    enum { SEQ, ACTION, VERSION, Q, EXPLORED, LATE, COUNT };
    agentd__value v[COUNT];
    const size_t rows = c->session.pending ? (size_t)c->frames[c->oldest].n : 0;
    const size_t heads = (size_t)c->n_heads, size = 4 * rows * heads, q_size = 4 * rows * (size_t)c->all_choices;
    unsigned char *to;
    size_t i;
    if (!agentd__scan(d, n, "seq:u action:B version:u q:B? explored:B? late:b?", v) || !rows ||
        v[SEQ].u != c->frames[c->oldest].seq || v[ACTION].size != size || (v[Q].kind && v[Q].size != q_size) ||
        (v[EXPLORED].kind && v[EXPLORED].size != rows))
        return agentd__stop(c, "BAD_MESSAGE", "the server's act does not fit the frame that is next");
    c->answer.start = c->answer.end = 0;
    to = agentd__grow(&c->answer, size + q_size + rows);
    if (!to) return agentd__stop(c, "OUT_OF_MEMORY", "no memory for an answer");
    memset(act, 0, sizeof *act);
    agentd__swap(to, v[ACTION].data, size, 4);
    if (c->floats) act->value = (const float *)(void *)to;
    else act->action = (const int32_t *)(void *)to;
    for (i = 0; i < rows * heads && !c->floats; i++)
        if (act->action[i] < -1 || act->action[i] >= c->choices[i % heads])
            return agentd__stop(c, "BAD_MESSAGE", "the server's act has an action that there is not");
    if (v[Q].kind) agentd__swap(to + size, v[Q].data, q_size, 4);
    if (v[Q].kind) act->q = (const float *)(void *)(to + size);
    if (v[EXPLORED].kind) act->explored = (uint8_t *)memcpy(to + size + q_size, v[EXPLORED].data, rows);
    act->seq = v[SEQ].u;
    act->n = (int)rows;
    act->version = c->session.version = v[VERSION].u;
    act->late = (int)v[LATE].u;
    agentd__pop(c);
    return AGENTD_OK;
}

static agentd_status agentd__refusal(agentd *c, const unsigned char *d, size_t n) {
    enum { CODE, MESSAGE, FATAL, SEQ, FIELD, EXPECTED, GOT, RETRY, COUNT };
    agentd_error *e = &c->error;
    agentd__value v[COUNT];
    if (!agentd__scan(d, n, "code:s message:s fatal:b seq:u? field:s? expected:s? got:s? retry_ms:u?", v) ||
        (!v[FATAL].u && v[SEQ].kind && (!c->session.pending || v[SEQ].u != c->frames[c->oldest].seq)))
        return agentd__stop(c, "BAD_MESSAGE", "the server's error breaks the protocol");
    agentd__text(e->code, sizeof e->code, &v[CODE]);
    agentd__text(e->message, sizeof e->message, &v[MESSAGE]);
    agentd__text(e->field, sizeof e->field, &v[FIELD]);
    agentd__text(e->expected, sizeof e->expected, &v[EXPECTED]);
    agentd__text(e->got, sizeof e->got, &v[GOT]);
    e->fatal = (int)v[FATAL].u;
    e->seq = v[SEQ].u;
    e->retry_ms = v[RETRY].u;
    if (e->fatal && agentd__passing(e->code)) return agentd__retry(c, NULL);
    if (e->fatal) agentd__hang_up(c, AGENTD__OVER);
    if (e->fatal) return AGENTD_CLOSED;
    if (!v[SEQ].kind) return AGENTD_WAIT; /* BAD_LOG: it answers nothing */
    agentd__pop(c);
    return AGENTD_REFUSED;
}

static agentd_status agentd__message(agentd *c, const unsigned char *d, size_t n, agentd_act *act) {
    enum { TYPE, REASON, T, VALUES, COUNT };
    agentd__value v[COUNT];
    char type[16], reason[32];
    size_t at;
    if (!agentd__scan(d, n, "type:s reason:s? t:uif? values:m?", v))
        return agentd__stop(c, "BAD_FRAME", "the server sent what is no message");
    agentd__text(type, sizeof type, &v[TYPE]);
    agentd__text(reason, sizeof reason, &v[REASON]);
    if (!strcmp(type, "error")) return agentd__refusal(c, d, n);
    if (!strcmp(type, "goodbye") && agentd__passing(reason)) return agentd__retry(c, "the server said goodbye");
    if (!strcmp(type, "goodbye")) {
        agentd__stop(c, "CLOSED", "the server said goodbye");
        agentd__text(c->error.got, sizeof c->error.got, &v[REASON]);
        return AGENTD_CLOSED;
    }
    if (c->state == AGENTD__SHAKING && !strcmp(type, "welcome")) return agentd__welcome(c, d, n);
    if (c->state == AGENTD__OPEN && !strcmp(type, "act")) return agentd__answer(c, d, n, act);
    if (c->state == AGENTD__OPEN && !strcmp(type, "settings") && v[VALUES].kind) {
        agentd__settings(c, &v[VALUES]);
    } else if (c->state == AGENTD__OPEN && !strcmp(type, "ping") && v[T].kind) {
        if (c->out.end - c->out.start > AGENTD__CHUNK) return AGENTD_WAIT; /* bytes on the way will do */
        at = agentd__begin(&c->out, 2, "pong");
        agentd__write(&c->out, "sr", "t", v[T].raw, v[T].raw_size); /* as it came: int or float */
        agentd__end(&c->out, at);
    } else if (c->state != AGENTD__OPEN || strcmp(type, "pong")) {
        return agentd__stop(c, "UNEXPECTED_MESSAGE", "the server sent what nobody asked for");
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
    if (!c->place) c->place = c->places;
    c->began = c->now;
    c->heard = c->pinged = 0;
    c->socket = socket(c->place->ai_family, SOCK_STREAM, 0);
    c->state = AGENTD__SHAKING;
#ifdef _WIN32
    ioctlsocket(c->socket, (long)FIONBIO, &on);
#else
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
#endif
#ifdef SO_NOSIGPIPE
    setsockopt(c->socket, SOL_SOCKET, SO_NOSIGPIPE, (const char *)&one, sizeof one);
#endif
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&one, sizeof one);
    at = agentd__begin(&c->out, c->pairs + c->known, "hello");
    agentd__put(&c->out, c->hello.data, c->hello.end);
    if (c->known) agentd__write(&c->out, "sn", "resume", c->token, (size_t)16, (size_t)1);
    agentd__end(&c->out, at);
    if (connect(c->socket, c->place->ai_addr, AGENTD__INT(c->place->ai_addrlen)) && !AGENTD__NOT_NOW)
        agentd__retry(c, "the connection was refused");
}

/* Send what the socket takes. A fault is left for agentd__read to find: there may be last words. */
static void agentd__flush(agentd *c) {
    while (c->out.end > c->out.start && !c->deaf) {
        long sent = (long)send(c->socket, (const char *)c->out.data + c->out.start, AGENTD__INT(c->out.end - c->out.start), MSG_NOSIGNAL);
        if (sent <= 0) { c->deaf = !AGENTD__NOT_NOW; return; }
        c->out.start += (size_t)sent;
    }
}

/* Receive what is there: 1 something, 0 nothing yet, -1 the connection is over. */
static int agentd__read(agentd *c) {
    unsigned char *to = agentd__grow(&c->in, AGENTD__CHUNK);
    long got = 0;
    int fault = 0;
    socklen_t size = sizeof fault;
    if (!to) { agentd__stop(c, "OUT_OF_MEMORY", "no memory for an answer"); return -1; }
    if (!c->heard) getsockopt(c->socket, SOL_SOCKET, SO_ERROR, (char *)&fault, &size);
    if (!fault) got = (long)recv(c->socket, (char *)to, AGENTD__CHUNK, 0);
    c->in.end -= AGENTD__CHUNK - (size_t)(got > 0 ? got : 0);
    if (got < 0 && AGENTD__NOT_NOW) return 0;
    if (got <= 0) { agentd__retry(c, fault ? "nobody answers there" : "the server closed the connection"); return -1; }
    c->heard = c->now;
    c->pinged = 0;
    return 1;
}

/* Give up a silent server (R9), or ask whether it is still there. */
static void agentd__listen(agentd *c) {
    uint64_t beat = (uint64_t)(c->session.heartbeat_s * 1000);
    if (c->state == AGENTD__SHAKING && c->now - c->began > AGENTD__TRY_MS) {
        agentd__retry(c, "nobody says welcome there");
    } else if (c->state == AGENTD__OPEN && c->pinged && c->now - c->pinged > beat) {
        agentd__retry(c, "the server is silent");
    } else if (c->state == AGENTD__OPEN && !c->pinged && c->now - c->heard > beat) {
        size_t at = agentd__begin(&c->out, 2, "ping");
        agentd__write(&c->out, "su", "t", c->now);
        agentd__end(&c->out, at);
        c->pinged = c->now;
        agentd__flush(c);
    }
}

static agentd_status agentd__lost(agentd *c) {
    c->lost = 0;
    return agentd__say(c, AGENTD_LOST, "SESSION_LOST", c->address, "a new session has begun; open episodes are gone");
}

/* One turn without waiting: until an answer is there (without `act` a welcome), or nothing to do now. */
static agentd_status agentd__turn(agentd *c, agentd_act *act) {
    agentd_status status;
    int i;
    c->now = agentd__clock();
    for (i = 0; i < 1000; i++) {
        const unsigned char *d = c->in.data + c->in.start;
        size_t have = c->in.end - c->in.start, n = 0, most = AGENTD__CHUNK;
        if (c->state == AGENTD__OVER) return AGENTD_CLOSED;
        if (c->lost) return agentd__lost(c);
        if (!act && c->state == AGENTD__OPEN) return AGENTD_OK;
        if (c->state == AGENTD__DOWN && c->now < c->retry_at) return AGENTD_WAIT;
        if (c->state == AGENTD__DOWN) { agentd__dial(c); continue; }
        if (have >= 4) n = d[0] | (size_t)d[1] << 8 | (size_t)d[2] << 16 | (size_t)d[3] << 24;
        if (c->state == AGENTD__OPEN && c->session.pending)
            most += (size_t)c->frames[c->oldest].n * (size_t)(4 * c->n_heads + 4 * c->all_choices + 1);
        if (c->state == AGENTD__OPEN) most += (size_t)c->session.max_frame;
        if (n > most) return agentd__stop(c, c->state == AGENTD__OPEN ? "FRAME_TOO_LARGE" : "NOT_AGENTD",
                                          "what answers there does not speak the protocol of a game port");
        if (have >= 4 && have - 4 >= n) {
            c->in.start += 4 + n;
            if ((status = agentd__message(c, d + 4, n, act)) != AGENTD_WAIT) return status;
            continue;
        }
        agentd__flush(c);
        if (!agentd__read(c)) {
            agentd__listen(c);
            return c->state == AGENTD__OVER ? AGENTD_CLOSED : AGENTD_WAIT;
        }
    }
    return AGENTD_WAIT;
}

/* Wait until the socket or the time has something for the next turn; at most a second. */
static void agentd__sleep(agentd *c) {
    uint64_t now = agentd__clock(), left = c->retry_at > now ? c->retry_at - now : 0;
    int ms = c->state == AGENTD__DOWN && left < 1000 ? (int)left : 1000;
    struct pollfd p;
    p.fd = c->socket;
    p.events = (short)(POLLIN | (c->out.end > c->out.start && !c->deaf ? POLLOUT : 0));
#ifdef _WIN32
    if (c->socket == AGENTD__NONE) Sleep((DWORD)ms);
    else WSAPoll(&p, 1, ms);
#else
    poll(&p, 1, ms); /* a descriptor of -1 is left out */
#endif
}

/* Say goodbye on this connection and wait for the server to close it. */
static void agentd__farewell(agentd *c) {
    uint64_t until = agentd__clock() + 2000;
    int got = c->state == AGENTD__OPEN ? 0 : -1;
    size_t at = agentd__begin(&c->out, 2, "goodbye");
    agentd__write(&c->out, "ss", "reason", "client_done");
    agentd__end(&c->out, at);
    while (got >= 0 && agentd__clock() < until) {
        agentd__flush(c);
        if (!got) agentd__sleep(c);
        c->in.start = c->in.end = 0;
        got = agentd__read(c);
    }
}

/* -- the interface ---------------------------------------------------------------------------- */

/* Write what a hello says after its type; the number of pairs. */
static int agentd__hello(agentd__buffer *b, const agentd_options *o, int low, int high, const unsigned char *run) {
    static const char *const dtypes[] = {"uint8", "int8", "int32", "float16", "float32"};
    static const char *const kinds[] = {"discrete", "multi_discrete", "box", "mixed"};
    const agentd_head *h;
    int i, j;
    agentd__write(b, "sauussss", "protocol", 2, (uint64_t)low, (uint64_t)high, "client",
                  o->client ? o->client : "agentd-c/" AGENTD_VERSION, "role", o->role ? o->role : "train");
    agentd__write(b, "snsssm", "run", run, (size_t)16, (size_t)1, "agent", o->agent, "observation", o->n_tensors);
    for (i = 0; i < o->n_tensors; i++) {
        const agentd_tensor *t = &o->tensors[i];
        agentd__write(b, "smsssa", t->name, 2, "dtype", dtypes[t->dtype], "shape", t->dims);
        for (j = 0; j < t->dims; j++) agentd__write(b, "u", (uint64_t)t->shape[j]);
    }
    agentd__write(b, "smss", "action", o->kind == AGENTD_BOX ? 3 : 2, "kind", kinds[o->kind]);
    for (j = 0; j < (o->kind == AGENTD_BOX ? 2 : 1); j++) {
        agentd__write(b, "s", o->kind == AGENTD_MIXED ? "heads" : o->kind != AGENTD_BOX ? "n" : j ? "high" : "low");
        if (o->kind != AGENTD_DISCRETE) agentd__write(b, "a", o->n_heads);
        for (i = 0, h = o->heads; i < o->n_heads; i++, h++) {
            if (o->kind == AGENTD_BOX) agentd__write(b, "f", j ? h->high : h->low);
            else if (o->kind != AGENTD_MIXED) agentd__write(b, "u", (uint64_t)h->n);
            else if (h->n) agentd__write(b, "msu", h->name ? 2 : 1, "n", (uint64_t)h->n);
            else agentd__write(b, "msfsf", h->name ? 3 : 2, "low", h->low, "high", h->high);
            if (o->kind == AGENTD_MIXED && h->name) agentd__write(b, "ss", "name", h->name);
        }
    }
    agentd__write(b, "su", "streams", (uint64_t)(o->streams ? o->streams : 1));
    if (o->token) agentd__write(b, "ss", "token", o->token);
    if (o->explain) agentd__write(b, "st", "explain");
    if (o->deadline_ms) agentd__write(b, "su", "deadline_ms", (uint64_t)o->deadline_ms);
    if (o->priority) agentd__write(b, "ss", "priority", o->priority);
    if (o->dt_ms > 0) agentd__write(b, "sf", "dt_ms", o->dt_ms);
    if (o->level) agentd__write(b, "sf", "level", *o->level);
    return 9 + !!o->token + !!o->explain + !!o->deadline_ms + !!o->priority + (o->dt_ms > 0) + !!o->level;
}

/* What keeps the options from being sent, or NULL; the server checks the rest. Keeps what is needed later. */
static const char *agentd__check(agentd *c, const agentd_options *o) {
    static const size_t widths[] = {1, 1, 4, 2, 4};
    int i, j;
    if (!o->agent || o->n_tensors < 1 || o->n_tensors > 64) return "want the name of an agent, and 1 to 64 tensors";
    if (o->n_heads < 1 || o->n_heads > 64 || (o->kind == AGENTD_DISCRETE && o->n_heads != 1))
        return "want 1 to 64 heads, and 1 where actions are discrete";
    c->n_tensors = o->n_tensors;
    c->n_heads = o->n_heads;
    c->floats = o->kind >= AGENTD_BOX;
    c->low = c->floats || o->dt_ms > 0 || o->level ? 2 : 1; /* a hello must be valid in the lowest version that it offers */
    for (i = 0; i < o->n_tensors; i++) {
        const agentd_tensor *t = &o->tensors[i];
        if (!t->name || strlen(t->name) > 64 || t->dims < 0 || t->dims > 4)
            return "want a name of 1 to 64 characters, and 0 to 4 dimensions, of each tensor";
        strcpy(c->names[i], t->name);
        c->width[i] = c->row_bytes[i] = widths[t->dtype];
        for (j = 0; j < t->dims; j++) {
            if (t->shape[j] < 1 || t->shape[j] > 65536) return "want dimensions of 1 to 65536";
            c->row_bytes[i] *= (size_t)t->shape[j];
            if (c->row_bytes[i] > 4194304) return "want at most 4194304 bytes a row";
        }
    }
    for (i = 0; i < o->n_heads; c->all_choices += o->heads[i++].n) {
        c->choices[i] = o->heads[i].n;
        if (c->choices[i] < 0 || c->choices[i] > 65536 || (!c->choices[i] && !c->floats)) return "want 1 to 65536 choices (n)";
    }
    return o->streams < 0 || o->deadline_ms < 0 ? "want no streams and no deadline below 0" : NULL;
}

/* Look up "host", "host:port" or "[ipv6]:port". */
static int agentd__resolve(agentd *c, const char *text) {
    struct addrinfo hints;
    char host[128] = "", port[8] = "7331";
    snprintf(c->address, sizeof c->address, "%.127s", text);
    if (*text == '[') sscanf(c->address, "[%127[^]]]:%7[0-9]", host, port);
    else sscanf(c->address, "%127[^:]:%7[0-9]", host, port);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    return *host && !getaddrinfo(host, port, &hints, &c->places);
}

AGENTD_API agentd *agentd_open(const agentd_options *o, agentd_error *why) {
    agentd *c = (agentd *)AGENTD_MALLOC(sizeof *c);
    unsigned char run[16];
    const char *fault;
    size_t i;
#ifdef _WIN32
    WSADATA data;
    if (c) WSAStartup(MAKEWORD(2, 2), &data);
#else
    FILE *source = fopen("/dev/urandom", "rb");
#endif
    if (!c && why) memset(why, 0, sizeof *why), strcpy(why->code, "OUT_OF_MEMORY");
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->socket = AGENTD__NONE;
    c->seed = agentd__clock() ^ (uint64_t)(size_t)c << 20 ^ (uint64_t)(size_t)&run;
    for (i = 0; i < 64; i++) run[i % 16] = (unsigned char)agentd__random(c);
#ifndef _WIN32
    if (source) { if (fread(run, 1, 16, source) == 16) c->seed ^= run[0]; fclose(source); }
#endif
    c->wait_ms = (uint64_t)(o->wait_s > 0 ? o->wait_s * 1000 : 0);
    c->retry_ms = (uint64_t)(o->retry_s > 0 ? o->retry_s * 1000 : o->retry_s < 0 ? 0 : 60000);
    fault = agentd__check(c, o);
    if (!fault) c->pairs = agentd__hello(&c->hello, o, c->low, 2, o->run ? o->run : run);
    if (!fault && (c->hello.failed || c->hello.end > 16384 - 64)) fault = "the hello is longer than 16384 bytes";
    if (!fault && !agentd__resolve(c, o->address ? o->address : "127.0.0.1:7331"))
        fault = "want the address of a known host: host, host:port or [ipv6]:port";
    if (!fault) { agentd__turn(c, NULL); return c; }
    agentd__say(c, AGENTD_CLOSED, "BAD_CALL", "options", fault);
    if (why) *why = c->error;
    agentd_close(c);
    return NULL;
}

AGENTD_API agentd_status agentd_connect(agentd *c) {
    agentd_status status;
    while ((status = agentd__turn(c, NULL)) == AGENTD_WAIT) agentd__sleep(c);
    return status;
}

AGENTD_API agentd_status agentd_send(agentd *c, const agentd_rows *r) {
    const struct { const char *name; const void *data; size_t count, width; } parts[] = {
        {"mask", r->mask, (size_t)c->all_choices, 1}, {"taken", r->taken, (size_t)c->n_heads, 4}, {"by", r->by, 1, 1},
        {"elapsed", r->elapsed, 1, 4}, {"success", r->success, 1, 1}};
    const int newer = !!r->taken + !!r->by + !!r->elapsed + !!r->success;
    const int slot = (c->oldest + c->session.pending) % AGENTD__WINDOW;
    agentd__buffer *b = &c->frames[slot].bytes;
    uint64_t n = r->n > 0 ? (uint64_t)r->n : 0, bytes = 0;
    size_t i;
    if (c->state == AGENTD__OVER) return AGENTD_CLOSED;
    if (c->lost) return agentd__lost(c);
    if (!c->known || c->session.pending >= c->session.window) return AGENTD_WAIT;
    for (i = 0; i < (size_t)c->n_tensors; i++) bytes += n * c->row_bytes[i];
    if (!n || n > c->session.max_rows || bytes > c->session.max_frame)
        return agentd__say(c, AGENTD_BAD_CALL, "BAD_CALL", "n", "want at least one row, and what max_rows and max_frame allow");
    if (!r->kind || !r->obs || (r->by && !r->taken))
        return agentd__say(c, AGENTD_BAD_CALL, "BAD_CALL", "rows", "want kind and obs, and `by` only with `taken`");
    if (newer && c->session.protocol < 2)
        return agentd__say(c, AGENTD_BAD_CALL, "SERVER_TOO_OLD", "taken, by, elapsed, success", "need protocol 2");
    b->start = b->end = 0;
    agentd__begin(b, 6 + newer + !!r->mask, "step");
    agentd__write(b, "susn", "seq", c->seq + 1, "stream", r->stream, (size_t)n, (size_t)4);
    for (i = 0; i < n && !b->failed && !r->stream; i++) {
        uint32_t id = (uint32_t)i;
        agentd__swap(b->data + b->end - 4 * (n - i), &id, 4, 4);
    }
    agentd__write(b, "snsnsm", "kind", r->kind, (size_t)n, (size_t)1, "reward", r->reward, (size_t)n, (size_t)4, "obs", c->n_tensors);
    for (i = 0; i < (size_t)c->n_tensors; i++)
        agentd__write(b, "sn", c->names[i], r->obs[i], (size_t)n * (c->row_bytes[i] / c->width[i]), c->width[i]);
    for (i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].data) agentd__write(b, "sn", parts[i].name, parts[i].data, (size_t)n * parts[i].count, parts[i].width);
    agentd__end(b, 0);
    if (b->failed) return agentd__stop(c, "OUT_OF_MEMORY", "no memory for a frame");
    if (b->end - 4 > c->session.max_frame)
        return agentd__say(c, AGENTD_BAD_CALL, "BAD_CALL", "n", "the frame is longer than max_frame");
    c->frames[slot].seq = ++c->seq;
    c->frames[slot].n = r->n;
    c->session.pending++;
    c->begun = 1;
    if (c->state == AGENTD__OPEN) { agentd__put(&c->out, b->data, b->end); agentd__flush(c); }
    return AGENTD_OK;
}

AGENTD_API agentd_status agentd_poll(agentd *c, agentd_act *act) { return agentd__turn(c, act); }

AGENTD_API agentd_status agentd_receive(agentd *c, agentd_act *act) {
    agentd_status status;
    while ((status = agentd__turn(c, act)) == AGENTD_WAIT && c->session.pending) agentd__sleep(c);
    return status;
}

AGENTD_API agentd_status agentd_step(agentd *c, const agentd_rows *rows, agentd_act *act) {
    agentd_status status = c->known ? AGENTD_OK : agentd_connect(c);
    if (c->session.pending) return agentd__say(c, AGENTD_BAD_CALL, "BAD_CALL", "step", "earlier answers wait: receive them first");
    if (status == AGENTD_OK) status = agentd_send(c, rows);
    return status == AGENTD_OK ? agentd_receive(c, act) : status;
}

AGENTD_API agentd_status agentd_log(agentd *c, int n, const char *const *names, const double *values) {
    size_t at;
    int i;
    for (i = 0; i < n; i++)
        if (n > 32 || !*names[i] || strlen(names[i]) > 64 || names[i][strspn(names[i], "abcdefghijklmnopqrstuvwxyz0123456789_./-")] ||
            !(values[i] - values[i] == 0))
            return agentd__say(c, AGENTD_BAD_CALL, "BAD_CALL", names[i], "want at most 32 finite numbers under names of a-z 0-9 _ . / -");
    if (c->state != AGENTD__OPEN) return c->state == AGENTD__OVER ? AGENTD_CLOSED : AGENTD_WAIT;
    if (c->session.protocol < 2) return agentd__say(c, AGENTD_BAD_CALL, "SERVER_TOO_OLD", "log", "needs protocol 2");
    at = agentd__begin(&c->out, 2, "log");
    agentd__write(&c->out, "sm", "values", n);
    for (i = 0; i < n; i++) agentd__write(&c->out, "sf", names[i], values[i]);
    agentd__end(&c->out, at);
    agentd__flush(c);
    return AGENTD_OK;
}

AGENTD_API double agentd_setting(const agentd *c, const char *name, double otherwise) {
    agentd__value v;
    char wanted[80];
    snprintf(wanted, sizeof wanted, "%.64s:uif", name);
    return agentd__scan(c->game.data, c->game.end, wanted, &v) ? v.f : otherwise;
}

AGENTD_API const agentd_session *agentd_state(const agentd *c) { return &c->session; }

AGENTD_API const agentd_error *agentd_why(const agentd *c) { return &c->error; }

AGENTD_API void agentd_abandon(agentd *c) {
    if (c->state == AGENTD__OVER) return;
    agentd__farewell(c);
    agentd__hang_up(c, AGENTD__DOWN);
    c->known = c->begun = c->lost = c->session.pending = 0;
    c->seq = c->retry_at = c->give_up_at = 0;
}

AGENTD_API void agentd_close(agentd *c) {
    int i;
    if (!c) return;
    agentd__farewell(c);
    agentd__hang_up(c, AGENTD__OVER);
    if (c->places) freeaddrinfo(c->places);
    for (i = 0; i < AGENTD__WINDOW; i++) AGENTD_FREE(c->frames[i].bytes.data);
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

/*

                                 Apache License
                           Version 2.0, January 2004
                        http://www.apache.org/licenses/

   TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION

   1. Definitions.

      "License" shall mean the terms and conditions for use, reproduction,
      and distribution as defined by Sections 1 through 9 of this document.

      "Licensor" shall mean the copyright owner or entity authorized by
      the copyright owner that is granting the License.

      "Legal Entity" shall mean the union of the acting entity and all
      other entities that control, are controlled by, or are under common
      control with that entity. For the purposes of this definition,
      "control" means (i) the power, direct or indirect, to cause the
      direction or management of such entity, whether by contract or
      otherwise, or (ii) ownership of fifty percent (50%) or more of the
      outstanding shares, or (iii) beneficial ownership of such entity.

      "You" (or "Your") shall mean an individual or Legal Entity
      exercising permissions granted by this License.

      "Source" form shall mean the preferred form for making modifications,
      including but not limited to software source code, documentation
      source, and configuration files.

      "Object" form shall mean any form resulting from mechanical
      transformation or translation of a Source form, including but
      not limited to compiled object code, generated documentation,
      and conversions to other media types.

      "Work" shall mean the work of authorship, whether in Source or
      Object form, made available under the License, as indicated by a
      copyright notice that is included in or attached to the work
      (an example is provided in the Appendix below).

      "Derivative Works" shall mean any work, whether in Source or Object
      form, that is based on (or derived from) the Work and for which the
      editorial revisions, annotations, elaborations, or other modifications
      represent, as a whole, an original work of authorship. For the purposes
      of this License, Derivative Works shall not include works that remain
      separable from, or merely link (or bind by name) to the interfaces of,
      the Work and Derivative Works thereof.

      "Contribution" shall mean any work of authorship, including
      the original version of the Work and any modifications or additions
      to that Work or Derivative Works thereof, that is intentionally
      submitted to Licensor for inclusion in the Work by the copyright owner
      or by an individual or Legal Entity authorized to submit on behalf of
      the copyright owner. For the purposes of this definition, "submitted"
      means any form of electronic, verbal, or written communication sent
      to the Licensor or its representatives, including but not limited to
      communication on electronic mailing lists, source code control systems,
      and issue tracking systems that are managed by, or on behalf of, the
      Licensor for the purpose of discussing and improving the Work, but
      excluding communication that is conspicuously marked or otherwise
      designated in writing by the copyright owner as "Not a Contribution."

      "Contributor" shall mean Licensor and any individual or Legal Entity
      on behalf of whom a Contribution has been received by Licensor and
      subsequently incorporated within the Work.

   2. Grant of Copyright License. Subject to the terms and conditions of
      this License, each Contributor hereby grants to You a perpetual,
      worldwide, non-exclusive, no-charge, royalty-free, irrevocable
      copyright license to reproduce, prepare Derivative Works of,
      publicly display, publicly perform, sublicense, and distribute the
      Work and such Derivative Works in Source or Object form.

   3. Grant of Patent License. Subject to the terms and conditions of
      this License, each Contributor hereby grants to You a perpetual,
      worldwide, non-exclusive, no-charge, royalty-free, irrevocable
      (except as stated in this section) patent license to make, have made,
      use, offer to sell, sell, import, and otherwise transfer the Work,
      where such license applies only to those patent claims licensable
      by such Contributor that are necessarily infringed by their
      Contribution(s) alone or by combination of their Contribution(s)
      with the Work to which such Contribution(s) was submitted. If You
      institute patent litigation against any entity (including a
      cross-claim or counterclaim in a lawsuit) alleging that the Work
      or a Contribution incorporated within the Work constitutes direct
      or contributory patent infringement, then any patent licenses
      granted to You under this License for that Work shall terminate
      as of the date such litigation is filed.

   4. Redistribution. You may reproduce and distribute copies of the
      Work or Derivative Works thereof in any medium, with or without
      modifications, and in Source or Object form, provided that You
      meet the following conditions:

      (a) You must give any other recipients of the Work or
          Derivative Works a copy of this License; and

      (b) You must cause any modified files to carry prominent notices
          stating that You changed the files; and

      (c) You must retain, in the Source form of any Derivative Works
          that You distribute, all copyright, patent, trademark, and
          attribution notices from the Source form of the Work,
          excluding those notices that do not pertain to any part of
          the Derivative Works; and

      (d) If the Work includes a "NOTICE" text file as part of its
          distribution, then any Derivative Works that You distribute must
          include a readable copy of the attribution notices contained
          within such NOTICE file, excluding those notices that do not
          pertain to any part of the Derivative Works, in at least one
          of the following places: within a NOTICE text file distributed
          as part of the Derivative Works; within the Source form or
          documentation, if provided along with the Derivative Works; or,
          within a display generated by the Derivative Works, if and
          wherever such third-party notices normally appear. The contents
          of the NOTICE file are for informational purposes only and
          do not modify the License. You may add Your own attribution
          notices within Derivative Works that You distribute, alongside
          or as an addendum to the NOTICE text from the Work, provided
          that such additional attribution notices cannot be construed
          as modifying the License.

      You may add Your own copyright statement to Your modifications and
      may provide additional or different license terms and conditions
      for use, reproduction, or distribution of Your modifications, or
      for any such Derivative Works as a whole, provided Your use,
      reproduction, and distribution of the Work otherwise complies with
      the conditions stated in this License.

   5. Submission of Contributions. Unless You explicitly state otherwise,
      any Contribution intentionally submitted for inclusion in the Work
      by You to the Licensor shall be under the terms and conditions of
      this License, without any additional terms or conditions.
      Notwithstanding the above, nothing herein shall supersede or modify
      the terms of any separate license agreement you may have executed
      with Licensor regarding such Contributions.

   6. Trademarks. This License does not grant permission to use the trade
      names, trademarks, service marks, or product names of the Licensor,
      except as required for reasonable and customary use in describing the
      origin of the Work and reproducing the content of the NOTICE file.

   7. Disclaimer of Warranty. Unless required by applicable law or
      agreed to in writing, Licensor provides the Work (and each
      Contributor provides its Contributions) on an "AS IS" BASIS,
      WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or
      implied, including, without limitation, any warranties or conditions
      of TITLE, NON-INFRINGEMENT, MERCHANTABILITY, or FITNESS FOR A
      PARTICULAR PURPOSE. You are solely responsible for determining the
      appropriateness of using or redistributing the Work and assume any
      risks associated with Your exercise of permissions under this License.

   8. Limitation of Liability. In no event and under no legal theory,
      whether in tort (including negligence), contract, or otherwise,
      unless required by applicable law (such as deliberate and grossly
      negligent acts) or agreed to in writing, shall any Contributor be
      liable to You for damages, including any direct, indirect, special,
      incidental, or consequential damages of any character arising as a
      result of this License or out of the use or inability to use the
      Work (including but not limited to damages for loss of goodwill,
      work stoppage, computer failure or malfunction, or any and all
      other commercial damages or losses), even if such Contributor
      has been advised of the possibility of such damages.

   9. Accepting Warranty or Additional Liability. While redistributing
      the Work or Derivative Works thereof, You may choose to offer,
      and charge a fee for, acceptance of support, warranty, indemnity,
      or other liability obligations and/or rights consistent with this
      License. However, in accepting such obligations, You may act only
      on Your own behalf and on Your sole responsibility, not on behalf
      of any other Contributor, and only if You agree to indemnify,
      defend, and hold each Contributor harmless for any liability
      incurred by, or claims asserted against, such Contributor by reason
      of your accepting any such warranty or additional liability.

   END OF TERMS AND CONDITIONS

   APPENDIX: How to apply the Apache License to your work.

      To apply the Apache License to your work, attach the following
      boilerplate notice, with the fields enclosed by brackets "[]"
      replaced with your own identifying information. (Don't include
      the brackets!)  The text should be enclosed in the appropriate
      comment syntax for the file format. We also recommend that a
      file or class name and description of purpose be included on the
      same "printed page" as the copyright notice for easier
      identification within third-party archives.

   Copyright [yyyy] [name of copyright owner]

   Licensed under the Apache License, Version 2.0 (the "License");
   you may not use this file except in compliance with the License.
   You may obtain a copy of the License at

       http://www.apache.org/licenses/LICENSE-2.0

   Unless required by applicable law or agreed to in writing, software
   distributed under the License is distributed on an "AS IS" BASIS,
   WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
   See the License for the specific language governing permissions and
   limitations under the License.
*/
