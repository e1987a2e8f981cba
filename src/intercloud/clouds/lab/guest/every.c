#define _GNU_SOURCE
#include "every.h"
#include "net.h"
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096, ECHO_PORT = 7, STATE_PORT = 8080, PEERS = 64, PEER_MS = 1000, KEEP_FREE_MIB = 12 };

static atomic_ulong counter;

/* The hot set: wanted by requests, rewritten by one thread. rate: MiB/s, 0 means as fast as it can. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t mib;
    double rate;
} hot = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *echo_datagrams(void *argument)
{
    static char packet[65536];
    int fd = *(int *)argument;
    struct sockaddr_in peer;
    for (;;) {
        socklen_t size = sizeof peer;
        ssize_t got = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&peer, &size);
        if (got >= 0)
            sendto(fd, packet, (size_t)got, 0, (struct sockaddr *)&peer, size);
    }
    return NULL;
}

static void echo_stream(int fd)
{
    char data[16384];
    ssize_t got;
    while ((got = recv(fd, data, sizeof data, 0)) > 0 && send_all(fd, data, (size_t)got))
        ;
}

/* Dirties every page of the slice with words that were never there before. */
static void rewrite(char *slice, size_t size)
{
    static uint64_t word = 88172645463325252ULL; /* xorshift64, Marsaglia 2003 */
    for (size_t at = 0; at < size; at += 64) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        *(volatile uint64_t *)(slice + at) = word;
    }
}

/* Sleeps until `next` plus the time that `size` bytes may take; a guest that was paused does not catch up. */
static void pace(struct timespec *next, size_t size, double rate)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > next->tv_sec + 1)
        *next = now;
    next->tv_nsec += (long)(1e9 * (double)size / (rate * MIB));
    next->tv_sec += next->tv_nsec / 1000000000;
    next->tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

static void *keep_hot(void *argument)
{
    (void)argument;
    char *set = NULL;
    size_t size = 0, at = 0;
    struct timespec next = {0};
    setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
    for (;;) {
        pthread_mutex_lock(&hot.lock);
        if (hot.mib * MIB != size) {
            if (set)
                munmap(set, size);
            size = hot.mib * MIB;
            at = 0;
            set = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
            if (set == MAP_FAILED)
                die("mmap");
        }
        while (hot.mib == 0 && size == 0)
            pthread_cond_wait(&hot.changed, &hot.lock);
        double rate = hot.rate;
        pthread_mutex_unlock(&hot.lock);
        if (size == 0)
            continue;
        size_t slice = rate > 0 ? (size_t)(rate * MIB / 100) / PAGE * PAGE : MIB; /* about 10 ms of work */
        slice = slice < PAGE ? PAGE : slice;
        slice = slice > size - at ? size - at : slice;
        rewrite(set + at, slice);
        at = (at + slice) % size;
        if (rate > 0)
            pace(&next, slice, rate);
    }
    return NULL;
}

static bool free_for(size_t mib)
{
    struct sysinfo info;
    return mib <= 1 << 20 && sysinfo(&info) == 0 && (mib + KEEP_FREE_MIB) * MIB <= info.freeram * info.mem_unit + hot.mib * MIB;
}

static bool set_hot(const struct reader *to, const struct request *request)
{
    char mib[16] = "", rate[16] = "0", answer[64];
    if (!query(request->path, "mib", mib, sizeof mib))
        return respond(to, request, 400, "text/plain", "/hot?mib=N&rate=R\n");
    query(request->path, "rate", rate, sizeof rate);
    pthread_mutex_lock(&hot.lock);
    bool fits = free_for(strtoul(mib, NULL, 10));
    if (fits) {
        hot.mib = strtoul(mib, NULL, 10);
        hot.rate = strtod(rate, NULL);
        pthread_cond_signal(&hot.changed);
    }
    snprintf(answer, sizeof answer, "{\"hot_mib\": %zu, \"rate\": %g}\n", hot.mib, hot.rate);
    pthread_mutex_unlock(&hot.lock);
    return fits ? respond(to, request, 200, "application/json", answer)
                : respond(to, request, 507, "text/plain", "not enough free memory\n");
}

static bool show_state(const struct reader *to, const struct request *request)
{
    char text[512];
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    snprintf(text, sizeof text,
             "{\"name\": \"%s\", \"boot_id\": \"%s\", \"uptime_s\": %.3f, \"memory_counter\": %lu, \"boots\": %s, "
             "\"hot_mib\": %zu}\n",
             getenv("NAME"), getenv("BOOT_ID"), (double)up.tv_sec + (double)up.tv_nsec / 1e9, atomic_load(&counter),
             getenv("BOOTS"), hot.mib);
    return respond(to, request, 200, "application/json", text);
}

/* Starts a connection to the echo port of every name in HOSTS ("name=ip,name=ip"); returns how many names. */
static nfds_t start_connects(char *hosts, char *names[PEERS], struct pollfd sockets[PEERS])
{
    nfds_t n = 0;
    char *rest;
    for (char *entry = strtok_r(hosts, ",", &rest); entry && n < PEERS; entry = strtok_r(NULL, ",", &rest)) {
        entry[strcspn(entry, "=")] = '\0';
        names[n] = entry;
        sockets[n++] = (struct pollfd){.fd = start_connect(entry, ECHO_PORT), .events = POLLOUT};
    }
    return n;
}

static long left_ms(const struct timespec *start, long limit_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long left = limit_ms - (now.tv_sec - start->tv_sec) * 1000 - (now.tv_nsec - start->tv_nsec) / 1000000;
    return left > 0 ? left : 0;
}

static bool show_peers(const struct reader *to, const struct request *request)
{
    char hosts[2048], text[3072] = "{", *names[PEERS];
    struct pollfd sockets[PEERS], waiting[PEERS];
    struct timespec start;
    snprintf(hosts, sizeof hosts, "%s", getenv("HOSTS"));
    clock_gettime(CLOCK_MONOTONIC, &start);
    nfds_t n = start_connects(hosts, names, sockets);
    memcpy(waiting, sockets, sizeof waiting);
    for (int ready = 1; ready > 0;) {
        ready = poll(waiting, n, (int)left_ms(&start, PEER_MS));
        for (nfds_t i = 0; i < n; i++)
            if (waiting[i].fd >= 0 && waiting[i].revents) {
                sockets[i].revents = 1;
                waiting[i].fd = -1; /* poll passes over it from now on */
            }
    }
    for (nfds_t i = 0; i < n; i++) {
        bool up = sockets[i].fd >= 0 && sockets[i].revents && connected(sockets[i].fd);
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s\"%s\": %s", i ? ", " : "", names[i], up ? "true" : "false");
        if (sockets[i].fd >= 0)
            close(sockets[i].fd);
    }
    strcat(text, "}\n");
    return respond(to, request, 200, "application/json", text);
}

static bool answer(const struct reader *to, const struct request *request)
{
    bool get = strcmp(request->method, "GET") == 0;
    if (get && strcmp(request->path, "/state") == 0)
        return show_state(to, request);
    if (get && strcmp(request->path, "/peers") == 0)
        return show_peers(to, request);
    if (!get && strncmp(request->path, "/hot?", 5) == 0)
        return set_hot(to, request);
    return respond(to, request, 404, "text/plain", "GET /state, GET /peers, POST /hot?mib=N&rate=R\n");
}

static void talk_state(int fd)
{
    struct reader from = {.fd = fd};
    struct request request;
    while (read_request(&from, &request) && answer(&from, &request))
        ;
}

void serve_every_role(void)
{
    static int datagrams;
    datagrams = listen_on(SOCK_DGRAM, ECHO_PORT);
    thread(echo_datagrams, &datagrams);
    serve(ECHO_PORT, echo_stream);
    serve(STATE_PORT, talk_state);
    thread(keep_hot, NULL);
}

void count_for_ever(void)
{
    for (;; atomic_fetch_add(&counter, 1))
        usleep(100000);
}
