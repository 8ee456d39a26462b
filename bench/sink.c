/* sink: the least that any server must spend on publishers: one thread that only reads.
 *
 *   cc -O2 -o sink sink.c
 *   sink PORT
 *
 * Answers the handshake and the three commands of `publishers.c` with the words that it waits for, then reads whatever comes as soon as
 * it is there, and looks at nothing: its processor time is the floor under a server that takes streams in. Runs until it is killed.
 * Loopback only.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include "load.h"

enum { MAX_FDS = 65536, C0_C1 = 1 + SHAKE, C2 = SHAKE, S0_S1_S2 = 1 + 2 * SHAKE, READ = 65536 };
static long begun[MAX_FDS]; /* bytes of the handshake that have come */
static int answered[MAX_FDS]; /* how much of the dialogue is done: the handshake, then each command */

static void answer(int fd, const char *what, long size) {
    if (write(fd, what, size) != size) perror("write");
    answered[fd]++;
}
static void come(int fd, long size) {
    static const char shake[S0_S1_S2] = {3};
    static const char *const words[] = {"_result", "_result", "NetStream.Publish.Start"}; /* connect, createStream, publish */
    long before = begun[fd];
    if (answered[fd] > 3) return;
    begun[fd] += size;
    if (answered[fd] == 0 && begun[fd] >= C0_C1) answer(fd, shake, sizeof shake);
    else if (answered[fd] > 0 && before + size > C0_C1 + C2) { /* who publishes waits for each answer: what comes is one command */
        const char *word = words[answered[fd] - 1];
        answer(fd, word, strlen(word));
    }
}
int main(int argc, char **argv) {
    if (argc < 2) { fprintf(stderr, "see the head of sink.c\n"); return 2; }
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, ep = epoll_create1(0);
    struct sockaddr_in at = loopback(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 4096)) { perror("listen"); return 1; }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    static char buffer[READ];
    for (;;) {
        int ready = epoll_wait(ep, events, 256, -1);
        for (int j = 0; j < ready; j++) {
            int fd = events[j].data.fd;
            if (fd == listener) {
                if ((fd = accept(listener, 0, 0)) < 0) continue;
                if (fd >= MAX_FDS) { close(fd); continue; }
                begun[fd] = answered[fd] = 0;
                e.data.fd = fd;
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
                continue;
            }
            ssize_t got = read(fd, buffer, sizeof buffer);
            if (got > 0) come(fd, got);
            else close(fd);
        }
    }
}
