/* What the programs that load a server have in common: the clocks, where they connect, how they fail and how they are asked to end,
 * and RTMP's handshake and commands (RTMP 1.0 §5.2, §5.3, §7.2). A program defines _GNU_SOURCE before it includes this. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { AUDIO = 8, VIDEO = 9, COMMAND = 20, FIRST_CHUNK = 128 }; /* message types; the size of chunks until another is said */
enum { SHAKE = 1536 }; /* bytes of C1, C2, S1 and S2 each */

static inline double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static inline double used_s(void) { /* of the processor, by this process */
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static volatile sig_atomic_t over; /* whether this process was asked to end */
static inline void end(int signal) { (void)signal; over = 1; }
static inline void end_when_asked(void) { signal(SIGTERM, end); signal(SIGINT, end); }

static inline void fail(const char *what) { perror(what); exit(1); }
static inline void must(int done, const char *what) { if (!done) fail(what); }
static inline int send_all(int fd, const void *buf, long n) { /* gives whether all of it went */
    for (const char *p = buf; n > 0;) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
        if (done <= 0) return 0;
        p += done; n -= done;
    }
    return 1;
}
static inline void read_all(int fd, unsigned char *buf, int n) {
    while (n > 0) {
        int got = read(fd, buf, n);
        if (got <= 0) fail("read");
        buf += got; n -= got;
    }
}

/* AMF0 values; each gives where the next one goes */
static inline unsigned char *amf_text(unsigned char *p, const char *s) {
    int n = strlen(s);
    *p++ = n >> 8; *p++ = n;
    memcpy(p, s, n);
    return p + n;
}
static inline unsigned char *amf_string(unsigned char *p, const char *s) { *p++ = 2; return amf_text(p, s); }
static inline unsigned char *amf_number(unsigned char *p, double d) {
    unsigned char *b = (unsigned char *)&d;
    *p++ = 0;
    for (int i = 7; i >= 0; i--) *p++ = b[i];
    return p;
}
/* What connect says of `program`; gives where it ends. */
static inline unsigned char *amf_connect(unsigned char *p, int port, const char *app, const char *program) {
    char url[256];
    snprintf(url, sizeof url, "rtmp://127.0.0.1:%d/%s", port, app);
    p = amf_number(amf_string(p, "connect"), 1);
    *p++ = 3;
    p = amf_string(amf_text(p, "app"), app);
    p = amf_string(amf_text(p, "tcUrl"), url);
    p = amf_string(amf_text(p, "flashVer"), program);
    *p++ = 0; *p++ = 0; *p++ = 9;
    return p;
}
static inline unsigned char *amf_create_stream(unsigned char *p) {
    p = amf_number(amf_string(p, "createStream"), 2);
    *p++ = 5;
    return p;
}
static inline unsigned char *amf_play(unsigned char *p, const char *name) {
    p = amf_number(amf_string(p, "play"), 3);
    *p++ = 5;
    return amf_number(amf_string(p, name), -2000);
}
static inline unsigned char *amf_publish(unsigned char *p, const char *name) {
    p = amf_number(amf_string(p, "publish"), 3);
    *p++ = 5;
    return amf_string(amf_string(p, name), "live");
}
/* Chunks; each gives where they end. */
static inline unsigned char *put24(unsigned char *p, unsigned v) { *p++ = v >> 16; *p++ = v >> 8; *p++ = v; return p; }
static inline unsigned char *rtmp_chunks(unsigned char *p, int csid, const unsigned char *body, int n, int size) { /* after the first header */
    for (int i = 0; i < n; i += size) {
        int k = n - i < size ? n - i : size;
        if (i) *p++ = 0xC0 | csid;
        memcpy(p, body + i, k);
        p += k;
    }
    return p;
}
static inline unsigned char *rtmp_message(unsigned char *p, int csid, int type, int stream, const unsigned char *body, int n, int size) {
    *p++ = csid; /* type 0: time 0, and the message stream */
    p = put24(put24(p, 0), n);
    *p++ = type; *p++ = stream; *p++ = 0; *p++ = 0; *p++ = 0;
    return rtmp_chunks(p, csid, body, n, size);
}
/* On a connection. */
static inline int rtmp_command(int fd, int csid, int stream, const unsigned char *body, int n) { /* gives whether it went */
    unsigned char out[4096];
    return send_all(fd, out, rtmp_message(out, csid, COMMAND, stream, body, n, FIRST_CHUNK) - out);
}
static inline void rtmp_c0_c1(unsigned char *out) { /* 1 + SHAKE bytes: version 3, time and zero, and what is random */
    out[0] = 3;
    memset(out + 1, 0, 8);
    for (int k = 9; k <= SHAKE; k++) out[k] = rand();
}
static inline void rtmp_shake(int fd) { /* waits for the server */
    unsigned char bytes[1 + 2 * SHAKE];
    rtmp_c0_c1(bytes);
    must(send_all(fd, bytes, 1 + SHAKE), "C0 C1");
    read_all(fd, bytes, sizeof bytes);          /* S0 S1 S2 */
    must(send_all(fd, bytes + 1, SHAKE), "C2"); /* echoes S1 */
}
