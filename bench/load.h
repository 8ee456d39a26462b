/* What the programs that load a server have in common: the clock, how they fail, and RTMP's commands (RTMP 1.0 §5.3, §7.2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AUDIO = 8, VIDEO = 9, COMMAND = 20, FIRST_CHUNK = 128 }; /* message types; the size of chunks until another is said */

static inline double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static inline void fail(const char *what) { perror(what); exit(1); }
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
/* What connect says; gives where it ends. */
static inline unsigned char *amf_connect(unsigned char *p, int port, const char *app) {
    char url[256];
    snprintf(url, sizeof url, "rtmp://127.0.0.1:%d/%s", port, app);
    p = amf_number(amf_string(p, "connect"), 1);
    *p++ = 3;
    p = amf_string(amf_text(p, "app"), app);
    p = amf_string(amf_text(p, "tcUrl"), url);
    p = amf_string(amf_text(p, "flashVer"), "LNX 9,0,124,2");
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
