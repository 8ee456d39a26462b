/* reloaders: players of low-latency HLS that do nothing but reload their playlist, each as soon as it has the one before.
 *
 *   cc -O2 -o reloaders reloaders.c
 *   reloaders PORT /hls/live/s-%d/live.m3u8 STREAMS N SECONDS WARM_UP [DIRECT_PORT]
 *
 * Player I plays stream I modulo STREAMS, whose number stands for %d. It asks for the playlist, goes where it is sent (302), and then
 * asks for the playlist that has one part more (_HLS_msn, _HLS_part: draft-pantos-hls-rfc8216bis §6.2.5.2), which the server answers
 * when there is such a part: so all ask as often as parts are made, however fast the server is. With DIRECT_PORT one more player of
 * each stream asks there, past what is measured. How late an answer is counts from when anybody had that playlist first.
 * Players come within half of WARM_UP; what is answered in WARM_UP is not counted.
 * Prints one line of JSON: players, answers, per_s, bytes (of all), p50_ms, p99_ms, worst_ms, failed (answers other than 200 and
 * that first 302, playlists without the part that was asked for, closed connections), missed (playlists that a player never had).
 * Loopback only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include "load.h"

enum { PATH_BYTES = 512, ANSWER_BYTES = 64 << 10, KEPT = 64 };
static const double BIN_S = 20e-6; /* of lateness */
enum { BINS = 500000 };            /* ten seconds */

struct playlist { long number; int part; double first; }; /* what comes next, and when somebody had it first */
struct stream {
    char path[PATH_BYTES];
    char *body;
    int size;
    long next_number;
    int next_part;
    long made; /* playlists so far */
    struct playlist kept[KEPT];
};
struct player {
    int fd, port, sent_on;
    struct stream *stream;
    char session[128], *answer;
    int have;
    long number; /* asked for; -1: the first */
    int part;
    long at; /* of the stream's playlists, the one that it had last */
};
static struct stream *streams;
static long answers, bytes, failed, missed, *bins;
static int counts;

static void ask(struct player *one) {
    char request[PATH_BYTES * 2];
    int n;
    if (one->number < 0)
        n = snprintf(request, sizeof request, "GET %s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                     one->stream->path, *one->session ? "?" : "", one->session, one->port);
    else
        n = snprintf(request, sizeof request, "GET %s?_HLS_msn=%ld&_HLS_part=%d%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                     one->stream->path, one->number, one->part, *one->session ? "&" : "", one->session, one->port);
    if (send(one->fd, request, n, MSG_NOSIGNAL) != n) failed++;
}
/* What comes after the playlist `body`: one part more. That a segment is whole is nothing new where its parts are listed: the part
 * behind its last one is the first of the next segment. */
static void following(const char *body, long *number, int *part) {
    const char *line = strstr(body, "#EXT-X-MEDIA-SEQUENCE:");
    int whole = 0; /* parts of the segment before */
    *number = line ? atol(line + 22) : 0;
    *part = 0;
    for (line = body; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (!strncmp(line, "#EXTINF:", 8)) { ++*number; whole = *part; *part = 0; }
        else if (!strncmp(line, "#EXT-X-PART:", 12)) ++*part;
    }
    if (!*part && whole) { --*number; *part = whole; }
}
/* A whole playlist: when others had it, and what is asked for next. One that was not waited for has failed. */
static void had(struct player *one, char *body, int size, double now) {
    struct stream *s = one->stream;
    long number = s->next_number;
    int part = s->next_part;
    if (size != s->size || memcmp(body, s->body, size)) following(body, &number, &part);
    if (number < one->number || (number == one->number && part <= one->part)) { failed++; return; }
    if (number > s->next_number || (number == s->next_number && part > s->next_part)) { /* nobody had it before */
        s->next_number = number; s->next_part = part;
        s->kept[++s->made % KEPT] = (struct playlist){number, part, now};
        s->body = realloc(s->body, size);
        memcpy(s->body, body, size);
        s->size = size;
    }
    for (long k = s->made; k > 0 && k > s->made - KEPT; k--) {
        struct playlist *p = &s->kept[k % KEPT];
        if (p->number != number || p->part != part) continue;
        if (counts && one->number >= 0 && !one->sent_on) {
            long bin = (now - p->first) / BIN_S;
            bins[bin < BINS ? bin : BINS - 1]++;
            answers++;
            if (one->at && k > one->at + 1) missed += k - one->at - 1;
        }
        one->at = k;
        break;
    }
    one->number = number; one->part = part;
}
/* The answer that has come, if it is whole: 1 and the next question is asked; 0: not yet. */
static int answered(struct player *one, double now) {
    char *end = memmem(one->answer, one->have, "\r\n\r\n", 4), *at;
    if (!end) return 0;
    int head = end + 4 - one->answer, status = atoi(one->answer + 9), size = 0;
    *end = 0;
    if ((at = strcasestr(one->answer, "\r\nContent-Length:"))) size = atoi(at + 17);
    if (head + size >= ANSWER_BYTES) { failed++; one->have = 0; return 0; }
    if (one->have < head + size) { *end = '\r'; return 0; }
    if (status == 302 && one->number < 0 && !*one->session && (at = strcasestr(one->answer, "\r\nLocation:")) && (at = strchr(at, '?')))
        snprintf(one->session, sizeof one->session, "%.*s", (int)strcspn(at + 1, "\r\n"), at + 1);
    else if (status == 200) {
        char after = one->answer[head + size];
        one->answer[head + size] = 0;
        had(one, one->answer + head, size, now);
        one->answer[head + size] = after;
        if (counts && !one->sent_on) bytes += head + size;
    } else { failed++; one->have = 0; return 0; } /* it asks no more */
    one->have -= head + size;
    memmove(one->answer, one->answer + head + size, one->have);
    ask(one);
    return 1;
}
static void come(struct player *one, int ep) {
    struct sockaddr_in to = loopback(one->port);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = one};
    int yes = 1;
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (void *)&to, sizeof to)) fail("connect");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(ep, EPOLL_CTL_ADD, one->fd, &e);
    one->number = -1;
    one->answer = malloc(ANSWER_BYTES + 1);
    ask(one);
}
static double late(double share) {
    long wanted = share * answers, seen = 0;
    for (long k = 0; k < BINS; k++) if ((seen += bins[k]) > wanted) return (k + 1) * BIN_S * 1e3;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 7 && argc != 8) { fprintf(stderr, "see the head of reloaders.c\n"); return 2; }
    int port = atoi(argv[1]), streaming = atoi(argv[3]), n = atoi(argv[4]), direct = argc == 8 ? atoi(argv[7]) : 0, came = 0;
    double seconds = atof(argv[5]), warm_up = atof(argv[6]), counted = seconds - warm_up;
    int all = n + (direct ? streaming : 0), ep = epoll_create1(0);
    struct player *players = calloc(all, sizeof *players);
    struct epoll_event events[1024];
    streams = calloc(streaming, sizeof *streams);
    bins = calloc(BINS, sizeof *bins);
    for (int i = 0; i < streaming; i++) snprintf(streams[i].path, PATH_BYTES, argv[2], i);
    for (int i = 0; i < all; i++) {
        players[i].stream = &streams[i % streaming];
        players[i].sent_on = i >= n;
        players[i].port = i < n ? port : direct;
    }
    for (int i = n; i < all; i++) come(&players[i], ep);
    double start = now_s(), now = start;
    while ((now = now_s()) - start < seconds) {
        while (came < n && now - start >= warm_up / 2 * came / n) come(&players[came++], ep);
        if (!counts && now - start >= warm_up) counts = 1;
        int ready = epoll_wait(ep, events, 1024, 1);
        for (int j = 0; j < ready; j++) {
            struct player *one = events[j].data.ptr;
            ssize_t got = recv(one->fd, one->answer + one->have, ANSWER_BYTES - one->have, 0);
            if (got > 0) { one->have += got; now = now_s(); while (answered(one, now)); }
            else if (got == 0 || errno != EAGAIN) { failed++; epoll_ctl(ep, EPOLL_CTL_DEL, one->fd, NULL); close(one->fd); }
        }
    }
    long worst = BINS - 1;
    while (worst > 0 && !bins[worst]) worst--;
    printf("{\"players\": %d, \"answers\": %ld, \"per_s\": %.1f, \"bytes\": %ld, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
           "\"worst_ms\": %.2f, \"failed\": %ld, \"missed\": %ld}\n",
           n, answers, answers / counted, bytes, late(0.5), late(0.99), answers ? (worst + 1) * BIN_S * 1e3 : 0, failed, missed);
}
