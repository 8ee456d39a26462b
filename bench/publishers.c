/* publishers: N cheap publishers over RTMP, each of a stream of its own, from one FLV file.
 *
 *   cc -O2 -o publishers publishers.c
 *   publishers PORT APP NAME N SECONDS WARM_UP FILE.flv
 *
 * The streams are APP/NAME0, APP/NAME1 and so on; a NAME that ends in a digit could be mistaken. The chunks of all messages are made
 * once, and are the same for all: after the headers every message has a chunk header of type 1, which carries the time since the one
 * before it, and so fits each publisher and each time round the file. What a publisher does is one send a message, when that is due.
 * The publishers begin spread over SPREAD_S, so that neither their key frames nor their pictures come at one instant. Time goes in
 * steps of STEP_S: what has become due is sent together. Loopback only.
 *
 * Says "ready" once the server has let all of them publish; goes on for SECONDS, the first WARM_UP of which do not count (0: until it
 * is asked to end). Prints one line of JSON then: publishers, seconds, messages, megabytes, mean and lowest kbit/s of a publisher, how
 * late messages were given to the kernel (p50, p99, worst), how often a socket was full, how many were closed by the server, and what
 * this process took of a core.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include "load.h"

enum { FLV_HEADER = 13, DATA = 18, CHUNK = 4096, MAX_MESSAGES = 200000, LATE_MS = 10000 };
static const double SPREAD_S = 2, STEP_S = 0.001, ANSWER_S = 20;

typedef struct { long at, size; double due; } Message; /* where its chunks are in `wire`; when, since the publisher's begin */
typedef struct { int fd, next; long sent; double begun; long bytes; } Publisher; /* the message to send next, and what of it is sent */

static unsigned char *wire, *head; /* chunks of what repeats, and of what comes first */
static long wire_size, head_size;
static Message messages[MAX_MESSAGES];
static int message_count, count, ep;
static double loop_s; /* of the file, once round */
static Publisher *publishers;
static long late[LATE_MS + 1], sent_messages, full, closed; /* `late`: messages by ms */
static double worst_s;
static int *heap; /* publishers by when their next message is due: the first one is the first to send */

/* What is sent */

static int csid_of(int type) { return type == AUDIO ? 4 : type == VIDEO ? 6 : 5; }
static int is_header(const unsigned char *tag) { /* of a codec; AVC and AAC as FLV has them */
    const unsigned char *body = tag + 11;
    return tag[0] == VIDEO ? (body[0] & 15) == 7 && body[1] == 0 : body[0] >> 4 == 10 && body[1] == 0;
}
static void prepare(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail(path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    unsigned char *file = malloc(size), *p, *h, body[4096];
    if (!file || fread(file, 1, size, f) != (size_t)size) fail(path);
    fclose(f);
    p = wire = malloc(size * 2);
    h = head = malloc(1 << 20);
    unsigned char chunk_size[4] = {0, 0, CHUNK >> 8, CHUNK & 255};
    h = rtmp_message(h, 2, 1, 0, chunk_size, 4, FIRST_CHUNK);
    long last_ms[32] = {0}, first_ms[32], frames[32] = {0}, loop_ms = 0, begin_ms = -1;
    for (long tag = FLV_HEADER; tag + 11 <= size; tag += 15 + (file[tag + 1] << 16 | file[tag + 2] << 8 | file[tag + 3])) {
        int type = file[tag] & 31;
        long ms = file[tag + 4] << 16 | file[tag + 5] << 8 | file[tag + 6];
        if (type == DATA || (type != AUDIO && type != VIDEO) || is_header(file + tag)) continue;
        if (!frames[type]++) first_ms[type] = ms;
        if (begin_ms < 0) begin_ms = ms;
        last_ms[type] = ms;
    }
    for (int type = AUDIO; type <= VIDEO; type++) if (frames[type] > 1) { /* the loop is as long as the longer track with its last frame */
        long whole = last_ms[type] - first_ms[type] + (last_ms[type] - first_ms[type]) / (frames[type] - 1);
        if (whole > loop_ms) loop_ms = whole;
    }
    if (!loop_ms) { fprintf(stderr, "%s: no frames\n", path); exit(1); }
    loop_s = loop_ms / 1000.;
    long before[32];
    for (int type = 0; type < 32; type++) before[type] = last_ms[type] - loop_ms; /* of the loop before this one */
    for (long tag = FLV_HEADER; tag + 11 <= size; tag += 15 + (file[tag + 1] << 16 | file[tag + 2] << 8 | file[tag + 3])) {
        int type = file[tag] & 31, n = file[tag + 1] << 16 | file[tag + 2] << 8 | file[tag + 3];
        long ms = file[tag + 4] << 16 | file[tag + 5] << 8 | file[tag + 6];
        const unsigned char *from = file + tag + 11;
        if (type == DATA && n < (int)sizeof body - 16) {
            static const unsigned char set[] = {2, 0, 13, '@', 's', 'e', 't', 'D', 'a', 't', 'a', 'F', 'r', 'a', 'm', 'e'};
            memcpy(body, set, sizeof set);
            memcpy(body + sizeof set, from, n);
            h = rtmp_message(h, csid_of(type), type, 1, body, n + sizeof set, CHUNK);
        } else if (type != AUDIO && type != VIDEO) continue;
        else if (is_header(file + tag)) h = rtmp_message(h, csid_of(type), type, 1, from, n, CHUNK);
        else {
            if (message_count == MAX_MESSAGES) { fprintf(stderr, "%s: too long\n", path); exit(1); }
            Message *m = &messages[message_count++];
            m->at = p - wire;
            m->due = (ms - begin_ms) / 1000.;
            *p++ = 0x40 | csid_of(type); /* type 1: the time since the message before it on this chunk stream */
            p = put24(put24(p, ms - before[type]), n);
            *p++ = type;
            p = rtmp_chunks(p, csid_of(type), from, n, CHUNK);
            m->size = p - wire - m->at;
            before[type] = ms;
        }
    }
    wire_size = p - wire;
    head_size = h - head;
    free(file);
}

/* How one begins */

static void await(int fd, const char *word, const char *bad) { /* an answer is shorter than a chunk up to its code */
    static unsigned char got[65536];
    long n = 0;
    while (n < (long)sizeof got) {
        ssize_t more = read(fd, got + n, sizeof got - n);
        if (more <= 0) fail(word);
        n += more;
        if (memmem(got, n, word, strlen(word))) return;
        if (bad && memmem(got, n, bad, strlen(bad))) break;
    }
    fprintf(stderr, "no %s from the server, but: ", word);
    for (long i = 0; i < n && i < 2000; i++) if (got[i] >= ' ' && got[i] < 127) fputc(got[i], stderr);
    fputc('\n', stderr);
    exit(1);
}
static int publish(int port, const char *app, const char *name) {
    struct sockaddr_in to = loopback(port);
    struct timeval limit = {.tv_sec = ANSWER_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0 || connect(fd, (void *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    unsigned char body[2048];
    rtmp_shake(fd);
    must(rtmp_command(fd, 3, 0, body, amf_connect(body, port, app, "FMLE/3.0 (compatible; publishers)") - body), "connect");
    await(fd, "_result", "_error");
    must(rtmp_command(fd, 3, 0, body, amf_create_stream(body) - body), "createStream");
    await(fd, "_result", "_error");
    must(rtmp_command(fd, 8, 1, body, amf_publish(body, name) - body), "publish");
    await(fd, "NetStream.Publish.Start", "error");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* How all go on */

static double due(const Publisher *p) {
    return p->begun + messages[p->next % message_count].due + p->next / message_count * loop_s;
}
static void sink(int at) { /* put the publisher at that place of the heap where it belongs, downwards */
    for (int child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && due(&publishers[heap[child + 1]]) < due(&publishers[heap[child]])) child++;
        if (due(&publishers[heap[at]]) <= due(&publishers[heap[child]])) return;
        int own = heap[at]; heap[at] = heap[child]; heap[child] = own;
    }
}
static void rise(int at) {
    for (int parent; at > 0 && due(&publishers[heap[at]]) < due(&publishers[heap[parent = (at - 1) / 2]]); at = parent) {
        int own = heap[at]; heap[at] = heap[parent]; heap[parent] = own;
    }
}
static void gone(Publisher *p) {
    close(p->fd);
    p->fd = -1;
    closed++;
}
static void forward(Publisher *p, double now) { /* send the message that is due; nothing more where the socket is full */
    Message *m = &messages[p->next % message_count];
    if (p->fd >= 0) {
        ssize_t done = send(p->fd, wire + m->at + p->sent, m->size - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno != EAGAIN) gone(p);
        else {
            if (done > 0) { p->sent += done; p->bytes += done; }
            if (p->sent < m->size) { full++; return; }
            double behind = now - due(p);
            sent_messages++;
            late[behind * 1000 < LATE_MS ? (int)(behind * 1000) : LATE_MS]++;
            if (behind > worst_s) worst_s = behind;
        }
    }
    p->sent = 0;
    p->next++;
}
static void pump(void) { /* send all that is due */
    static int stuck[65536];
    double now = now_s();
    int stuck_count = 0;
    while (count > 0 && due(&publishers[heap[0]]) <= now) {
        int i = heap[0], before = publishers[i].next;
        forward(&publishers[i], now);
        if (publishers[i].next != before) { sink(0); continue; }
        heap[0] = heap[--count]; /* its socket is full: the others first, it again the next time */
        sink(0);
        stuck[stuck_count++] = i;
    }
    while (stuck_count > 0) { heap[count++] = stuck[--stuck_count]; rise(count - 1); }
}
static void hear(void) { /* what servers say, acknowledgements above all, is not looked at */
    struct epoll_event events[256];
    int ready = epoll_wait(ep, events, 256, 0);
    for (int j = 0; j < ready; j++) {
        Publisher *p = &publishers[events[j].data.u32];
        ssize_t got = p->fd < 0 ? 1 : recv(p->fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) gone(p);
    }
}
static double share_ms(double share) { /* what that share of the messages was not later than */
    long seen = 0, ms = 0;
    while (ms < LATE_MS && (seen += late[ms]) < share * sent_messages) ms++;
    return ms + 1;
}
int main(int argc, char **argv) {
    if (argc < 8) { fprintf(stderr, "see the head of publishers.c\n"); return 2; }
    int port = atoi(argv[1]), n = atoi(argv[4]);
    double seconds = atof(argv[5]), warm_up = atof(argv[6]);
    if (n < 1 || n > 65536) { fprintf(stderr, "%d publishers\n", n); return 2; }
    end_when_asked();
    prepare(argv[7]);
    publishers = calloc(n, sizeof *publishers);
    heap = calloc(n, sizeof *heap);
    ep = epoll_create1(0);
    for (int i = 0; i < n && !over; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s%d", argv[3], i);
        Publisher *p = &publishers[i];
        p->fd = publish(port, argv[2], name);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(ep, EPOLL_CTL_ADD, p->fd, &e);
        must(send_all(p->fd, head, head_size), "write");
        double turn = i * 0.6180339887; /* however many there are, they are spread */
        p->begun = now_s() + (turn - (long)turn) * SPREAD_S;
        heap[count++] = i;
        rise(count - 1);
        pump();
    }
    puts("ready");
    fflush(stdout);
    double start = now_s(), used = 0, counted_from = start;
    for (int warm = 0; !over && (seconds == 0 || now_s() - start < seconds);) {
        if (!warm && now_s() - start >= warm_up) {
            warm = 1;
            used = used_s();
            counted_from = now_s();
            memset(late, 0, sizeof late);
            sent_messages = full = 0;
            worst_s = 0;
            for (int i = 0; i < n; i++) publishers[i].bytes = 0;
        }
        pump();
        hear();
        usleep(STEP_S * 1e6);
    }
    double counted = now_s() - counted_from;
    long total = 0, lowest = -1;
    for (int i = 0; i < n; i++) {
        total += publishers[i].bytes;
        if (lowest < 0 || publishers[i].bytes < lowest) lowest = publishers[i].bytes;
    }
    printf("{\"publishers\": %d, \"seconds\": %.1f, \"messages\": %ld, \"megabytes\": %.1f, \"mean_kbps\": %.0f, \"lowest_kbps\": %.0f, "
           "\"late_p50_ms\": %.0f, \"late_p99_ms\": %.0f, \"late_worst_ms\": %.1f, \"full\": %ld, \"closed\": %ld, \"cpu_percent\": %.1f}\n",
           n, counted, sent_messages, total / 1e6, total * 8 / counted / n / 1000, lowest * 8 / counted / 1000, share_ms(0.5),
           share_ms(0.99), worst_s * 1000, full, closed, (used_s() - used) / counted * 100);
}
