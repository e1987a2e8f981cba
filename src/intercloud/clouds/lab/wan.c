// The WAN of a lab in user space, for kernels without netem: a learning switch between the sites' tap devices that
// holds each frame for the one-way delay and drops frames at random. The rate is the kernel's business (tbf on each
// tap's egress), so that the senders feel back pressure. Frames carry virtio-net headers: a TCP segment of 64 KiB
// crosses in one read and one write.
//
//     wan DELAY_US LOSS_PPM NAMESPACE... (the tap is called "uplink" in each)
//
// It goes to the background when all is set up.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SITES = 32, STATIONS = 256, HEADER = 10, FRAME = HEADER + 65536 + 64, BURST = 32, QUEUED = 64 << 20 };

struct frame {
    struct frame *next;
    int64_t due;
    int from;
    size_t size;
    unsigned char bytes[];
};

static struct { unsigned char mac[6]; int site; } stations[STATIONS];
static int known, taps[SITES], sites;
static struct frame *first, **last = &first;
static size_t queued;

static void die(const char *what, const char *where) {
    fprintf(stderr, "wan: %s %s: %s\n", what, where, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int open_tap(const char *namespace, int offload) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int net = open(path, O_RDONLY | O_CLOEXEC);
    if (net < 0 || setns(net, CLONE_NEWNET) < 0) die("cannot enter", path);
    close(net);
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_name = "uplink", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0) die("cannot open the tap of", namespace);
    int header = HEADER;
    if (ioctl(tap, TUNSETVNETHDRSZ, &header) < 0 || ioctl(tap, TUNSETOFFLOAD, offload) < 0)
        die("cannot set up the tap of", namespace);
    return tap;
}

static int station_of(const unsigned char *mac) {
    for (int i = 0; i < known; i++)
        if (!memcmp(stations[i].mac, mac, 6)) return i;
    return -1;
}

static void learn(const unsigned char *mac, int site) {
    int found = station_of(mac);
    if (found < 0 && known < STATIONS) memcpy(stations[found = known++].mac, mac, 6);
    if (found >= 0) stations[found].site = site;
}

static void receive(int from, int64_t delay, long loss) {
    static unsigned char buffer[FRAME];
    for (int i = 0; i < BURST; i++) {
        ssize_t size = read(taps[from], buffer, sizeof buffer);
        if (size < HEADER + 14) return;
        learn(buffer + HEADER + 6, from);
        if (random() % 1000000 < loss || queued + size > QUEUED) continue;
        struct frame *frame = malloc(sizeof *frame + size);
        if (!frame) continue;
        *frame = (struct frame){.due = now() + delay, .from = from, .size = size};
        memcpy(frame->bytes, buffer, size);
        *last = frame;
        last = &frame->next;
        queued += size;
    }
}

static void deliver(struct frame *frame) {
    int station = station_of(frame->bytes + HEADER);
    int only = station < 0 ? -1 : stations[station].site;
    for (int to = 0; to < sites; to++)
        if (to != frame->from && (only < 0 || only == to))
            if (write(taps[to], frame->bytes, frame->size) < 0 && errno == EBADFD) die("tap", "gone");
}

static int64_t deliver_due(void) {
    while (first) {
        int64_t wait = first->due - now();
        if (wait > 0) return wait;
        struct frame *frame = first;
        deliver(frame);
        queued -= frame->size;
        first = frame->next;
        if (!first) last = &first;
        free(frame);
    }
    return -1;
}

int main(int count, char **words) {
    if (count < 5 || count - 3 > SITES) return fprintf(stderr, "usage: wan DELAY_US LOSS_PPM NAMESPACE...\n"), 2;
    int64_t delay = atoll(words[1]) * 1000;
    long loss = atol(words[2]);
    // A lost frame is one packet only where segments are cut before they get here.
    int offload = TUN_F_CSUM | (loss ? 0 : TUN_F_TSO4);
    struct pollfd polls[SITES];
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (sites = 0; sites < count - 3; sites++)
        polls[sites] = (struct pollfd){.fd = taps[sites] = open_tap(words[sites + 3], offload), .events = POLLIN};
    if (home < 0 || setns(home, CLONE_NEWNET) < 0) die("cannot return", "home");
    prctl(PR_SET_TIMERSLACK, 1);
    if (daemon(0, 0) < 0) die("cannot go to", "the background");
    for (;;) {
        int64_t wait = deliver_due();
        struct timespec pause = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        if (ppoll(polls, sites, wait < 0 ? NULL : &pause, NULL) < 0 && errno != EINTR) die("cannot", "wait");
        for (int site = 0; site < sites; site++) {
            if (polls[site].revents & (POLLERR | POLLHUP | POLLNVAL)) die("a tap is", "gone");
            if (polls[site].revents & POLLIN) receive(site, delay, loss);
        }
    }
}
