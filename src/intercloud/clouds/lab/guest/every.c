#define _GNU_SOURCE
#include "guest.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
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

/* Fills the slice with words that were never there before, nor in another guest: nothing of it compresses, or was sent. */
static void rewrite(char *slice, size_t size)
{
    static uint64_t word; /* xorshift64, Marsaglia 2003 */
    while (word == 0)
        if (getrandom(&word, sizeof word, 0) < 0)
            die("getrandom");
    for (size_t at = 0; at < size; at += sizeof word) {
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

static bool set_hot(int fd, const struct request *request)
{
    char mib[16], rate[16] = "0", answer[64];
    if (!query(request->path, "mib", mib, sizeof mib))
        return respond(fd, request, 400, "/hot?mib=N&rate=R\n");
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
    return respond(fd, request, fits ? 200 : 507, fits ? answer : "not enough free memory\n");
}

static bool show_state(int fd, const struct request *request)
{
    char text[512];
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    snprintf(text, sizeof text,
             "{\"name\": \"%s\", \"boot_id\": \"%s\", \"uptime_s\": %.3f, \"memory_counter\": %lu, \"boots\": %s, "
             "\"hot_mib\": %zu}\n",
             getenv("NAME"), getenv("BOOT_ID"), (double)up.tv_sec + (double)up.tv_nsec / 1e9, atomic_load(&counter),
             getenv("BOOTS"), hot.mib);
    return respond(fd, request, 200, text);
}

struct peer {
    pthread_t id;
    const char *name;
    bool tried, up;
};

static void *try_peer(void *argument)
{
    struct peer *peer = argument;
    int fd = dial(peer->name, ECHO_PORT, PEER_MS);
    peer->up = fd >= 0;
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Tries every name in HOSTS ("name=ip,name=ip"), all at the same time. */
static bool show_peers(int fd, const struct request *request)
{
    char hosts[2048], text[3072] = "{", *rest, *name;
    struct peer peers[PEERS];
    size_t n = 0, size = 1;
    snprintf(hosts, sizeof hosts, "%s", getenv("HOSTS"));
    for (name = strtok_r(hosts, ",", &rest); name && n < PEERS; name = strtok_r(NULL, ",", &rest), n++) {
        name[strcspn(name, "=")] = '\0';
        peers[n] = (struct peer){.name = name};
        peers[n].tried = pthread_create(&peers[n].id, NULL, try_peer, &peers[n]) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (peers[i].tried)
            pthread_join(peers[i].id, NULL);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s\"%s\": %s", i ? ", " : "", peers[i].name,
                                 peers[i].up ? "true" : "false");
    }
    strcpy(text + size, "}\n");
    return respond(fd, request, 200, text);
}

static bool answer_state(int fd, const struct request *request)
{
    if (!request->post && strcmp(request->path, "/state") == 0)
        return show_state(fd, request);
    if (!request->post && strcmp(request->path, "/peers") == 0)
        return show_peers(fd, request);
    if (request->post && strncmp(request->path, "/hot?", 5) == 0)
        return set_hot(fd, request);
    return respond(fd, request, 404, "GET /state, GET /peers, POST /hot?mib=N&rate=R\n");
}

static void talk_state(int fd)
{
    talk_http(fd, answer_state);
}

void serve_every_role(void)
{
    static int datagrams;
    datagrams = listen_on(SOCK_DGRAM, ECHO_PORT);
    /* What queued during a switchover comes all at once; the kernel's own 208 KiB hold some 270 datagrams. */
    int room = 4 * MIB;
    setsockopt(datagrams, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
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
