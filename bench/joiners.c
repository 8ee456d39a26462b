/* joiners: players that come one after the other, and how long each waits for its first frame.
 *
 *   cc -O2 -o joiners joiners.c
 *   joiners http PORT /live/test.flv N WITHIN_S STAY_S
 *   joiners rtmp PORT live test      N WITHIN_S STAY_S
 *
 * N players come evenly spread over WITHIN_S; each stays for STAY_S after it came (0: it leaves with its first frame). A player's
 * wait is from its call of connect until a key frame is there whole, RTMP with every round trip that a client makes. After that it
 * throws the media away inside the kernel, as players.c does. Loopback only.
 * Prints one line of JSON: players, joined, closed (by the server, before or after the first frame), p50_ms, p99_ms, worst_ms,
 * late_ms (the furthest that this program was behind with letting them come), within_s (in which they came).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include "load.h"

enum { HEAD_BYTES = 4096, SHOWN = 16, CSIDS = 64, FLV_FILE_HEADER = 13, FLV_TAG_HEADER = 11, FLV_TRAILER = 4 };
enum { SET_CHUNK_SIZE = 1 };
static const double GRACE_S = 10; /* after the last one came, for the first frames of all */
static const double DRAIN_S = 0.01; /* how often those who have their first frame are read */

enum state { AWAY, CONNECTING, ASKED, PLAYS, GONE };
/* Bytes are taken in steps: `need` of a head are collected, then `skip` bytes of a body pass, of which the first SHOWN are kept. */
struct message { long length, left; int type, chunk_left; unsigned char shown[SHOWN]; int has; };
struct player {
    int fd, step, replies;
    enum state state;
    double came, waited;
    unsigned char head[HEAD_BYTES];
    int have, need;
    long skip, chunk_size;
    struct message now, *by_csid, *chunk;
};
static const char *app, *name;
static int rtmp, port;
static char request[512];

/* What can't be sent is not looked at: the server has closed the connection then, which is seen when it is read. */
static void ask_connect(int fd) {
    unsigned char body[512];
    rtmp_command(fd, 3, 0, body, amf_connect(body, port, app, "LNX 9,0,124,2") - body);
}
static void ask_next(struct player *one) { /* after each _result: createStream, then play */
    unsigned char body[512];
    if (++one->replies == 1) rtmp_command(one->fd, 3, 0, body, amf_create_stream(body) - body);
    else if (one->replies == 2) rtmp_command(one->fd, 8, 1, body, amf_play(body, name) - body);
}

static int is_key_frame(const struct message *m) { /* a whole picture, not the configuration: FLV 10.1 Annex E.4.3 */
    int is_old = !(m->shown[0] & 0x80);
    return m->type == VIDEO && (m->shown[0] >> 4 & 7) == 1 && (is_old ? m->shown[1] == 1 : (m->shown[0] & 15) != 0);
}
/* A message is whole; gives whether the player has its first frame. */
static int whole(struct player *one, const struct message *m) {
    if (m->type == SET_CHUNK_SIZE) one->chunk_size = (long)m->shown[0] << 24 | m->shown[1] << 16 | m->shown[2] << 8 | m->shown[3];
    if (m->type == COMMAND && !memcmp(m->shown, "\x02\x00\x07_result", 10)) ask_next(one);
    return is_key_frame(m);
}
static long number(const unsigned char *p, int n) { long v = 0; while (n--) v = v << 8 | *p++; return v; }

/* A head is there. Steps of HTTP: 0 answer, 1 file header, 2 tag header; of RTMP: 0 S0 to S2, 1 basic header, 2 the rest of it. */
static int head_http(struct player *one) {
    unsigned char *h = one->head;
    if (one->step == 0) {
        if (one->have < 4 || memcmp(h + one->have - 4, "\r\n\r\n", 4)) { one->need = one->have + 1; return one->need <= HEAD_BYTES; }
        if (memcmp(h, "HTTP/1.1 200", 12) && memcmp(h, "HTTP/1.0 200", 12)) return 0;
        one->step = 1; one->need = FLV_FILE_HEADER;
    } else if (one->step == 1) {
        one->step = 2; one->need = FLV_TAG_HEADER;
    } else {
        one->now = (struct message){.type = h[0] & 31, .length = number(h + 1, 3)};
        one->chunk = &one->now;
        one->skip = one->now.left = one->now.length;
        one->need = FLV_TRAILER + FLV_TAG_HEADER; /* the head of the next one */
    }
    one->have = 0;
    return 1;
}
static int head_rtmp(struct player *one) {
    static const int sizes[] = {11, 7, 3, 0};
    unsigned char *h = one->head;
    int fmt = h[0] >> 6, csid = h[0] & 63, size = sizes[fmt];
    struct message *m = &one->by_csid[csid];
    if (one->step == 0) { /* C2 echoes S1 (RTMP 1.0 §5.2.4) */
        send_all(one->fd, h + 1, SHAKE);
        ask_connect(one->fd);
        one->step = 1; one->need = 1; one->have = 0;
        return 1;
    }
    if (csid < 2) return 0; /* longer forms: no server uses them for what a player gets */
    if (one->have < 1 + size) { one->need = 1 + size; return 1; }
    int has_time = size >= 3 ? number(h + 1, 3) == 0xFFFFFF : m->chunk_left; /* extended timestamp, §5.3.1.3 */
    if (has_time && one->have < 1 + size + 4) { one->need = 1 + size + 4; return 1; }
    if (size >= 7) { m->length = number(h + 4, 3); m->type = h[7]; }
    m->chunk_left = has_time;
    if (!m->left) { m->left = m->length; m->has = 0; }
    one->chunk = m;
    one->skip = m->left < one->chunk_size ? m->left : one->chunk_size;
    one->need = 1; one->have = 0;
    return 1;
}
/* Take in what was read; 1: the first frame is there, -1: the server makes no sense, or refuses. */
static int take(struct player *one, const unsigned char *p, long n) {
    while (n > 0 || (one->chunk && !one->skip)) {
        if (one->chunk) { /* body */
            struct message *m = one->chunk;
            long k = n < one->skip ? n : one->skip;
            for (long i = 0; i < k && m->has < SHOWN; i++) m->shown[m->has++] = p[i];
            p += k; n -= k; one->skip -= k; m->left -= k;
            if (one->skip) return 0;
            one->chunk = NULL;
            if (!m->left && whole(one, m)) return 1;
            continue;
        }
        int k = one->need - one->have < n ? one->need - one->have : n;
        memcpy(one->head + one->have, p, k);
        one->have += k; p += k; n -= k;
        if (one->have < one->need) return 0;
        if (!rtmp && one->step == 2 && one->need > FLV_TAG_HEADER) memmove(one->head, one->head + FLV_TRAILER, FLV_TAG_HEADER);
        if (!(rtmp ? head_rtmp(one) : head_http(one))) return -1;
    }
    return 0;
}

static void come(struct player *one, int ep, const struct sockaddr_in *to) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = one};
    int yes = 1;
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (one->fd < 0) fail("socket");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    one->need = rtmp ? 1 + 2 * SHAKE : 1;
    one->chunk_size = 128;
    one->state = CONNECTING;
    one->came = now_s();
    if (connect(one->fd, (const void *)to, sizeof *to) && errno != EINPROGRESS) fail("connect");
    epoll_ctl(ep, EPOLL_CTL_ADD, one->fd, &e);
}
static void ask(struct player *one, int ep) { /* connected */
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = one};
    unsigned char shake[1 + SHAKE];
    epoll_ctl(ep, EPOLL_CTL_MOD, one->fd, &e);
    rtmp_c0_c1(shake);
    one->state = ASKED;
    if (rtmp) send_all(one->fd, shake, sizeof shake);
    else send_all(one->fd, request, strlen(request));
}
static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 7) { fprintf(stderr, "see the head of joiners.c\n"); return 2; }
    rtmp = !strcmp(argv[1], "rtmp");
    port = atoi(argv[2]);
    if (argc != 7 + rtmp) { fprintf(stderr, "see the head of joiners.c\n"); return 2; }
    app = argv[3]; name = argv[4];
    int n = atoi(argv[4 + rtmp]), waiting = epoll_create1(0), playing = epoll_create1(0);
    double within = atof(argv[5 + rtmp]), stay = atof(argv[6 + rtmp]);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: joiners\r\n\r\n", argv[3], port);
    struct sockaddr_in to = loopback(port);
    struct player *players = calloc(n, sizeof *players);
    double *waits = calloc(n, sizeof *waits), late = 0, drained = 0, start = now_s(), last = start;
    int came = 0, there = 0, joined = 0, closed = 0, left = 0; /* left: who stay no longer, `there` in order of coming */
    static unsigned char buffer[256 << 10];
    struct epoll_event events[1024];
    if (rtmp) for (int i = 0; i < n; i++) players[i].by_csid = calloc(CSIDS, sizeof(struct message));
    while (left < n) {
        double now = now_s();
        while (came < n && now >= start + within * came / n) {
            double behind = now - (start + within * came / n);
            if (behind > late) late = behind;
            come(&players[came++], waiting, &to);
            last = now = now_s();
        }
        int ready = epoll_wait(waiting, events, 1024, 1);
        for (int j = 0; j < ready; j++) {
            struct player *one = events[j].data.ptr;
            if (one->state == CONNECTING && events[j].events & EPOLLOUT) ask(one, waiting);
            if (!(events[j].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t got = recv(one->fd, buffer, sizeof buffer, 0);
            int found = got > 0 ? take(one, buffer, got) : got < 0 && errno == EAGAIN ? 0 : -1;
            if (!found) continue;
            epoll_ctl(waiting, EPOLL_CTL_DEL, one->fd, NULL);
            one->state = PLAYS;
            if (found > 0) {
                waits[joined++] = now_s() - one->came;
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = one};
                epoll_ctl(playing, EPOLL_CTL_ADD, one->fd, &e);
            } else { closed++; one->state = GONE; close(one->fd); }
        }
        now = now_s();
        if (now - drained >= DRAIN_S) {
            drained = now;
            ready = epoll_wait(playing, events, 1024, 0);
            for (int j = 0; j < ready; j++) {
                struct player *one = events[j].data.ptr;
                ssize_t got = recv(one->fd, NULL, 1 << 20, MSG_TRUNC);
                if (got > 0 || (got < 0 && errno == EAGAIN)) continue;
                closed++; one->state = GONE; close(one->fd);
            }
        }
        for (; there < came && (players[there].state == GONE || (players[there].state == PLAYS && now >= players[there].came + stay)
                                || now >= last + stay + GRACE_S); there++, left++)
            if (players[there].state != GONE) { players[there].state = GONE; close(players[there].fd); }
    }
    qsort(waits, joined, sizeof *waits, by_size);
    double p50 = joined ? waits[joined / 2] : 0, p99 = joined ? waits[joined * 99 / 100] : 0, worst = joined ? waits[joined - 1] : 0;
    printf("{\"players\": %d, \"joined\": %d, \"closed\": %d, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"worst_ms\": %.2f, "
           "\"late_ms\": %.2f, \"within_s\": %.3f}\n",
           n, joined, closed, p50 * 1e3, p99 * 1e3, worst * 1e3, late * 1e3, last - start);
}
