#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void die(const char *what)
{
    perror(what);
    exit(1);
}

void thread(void *(*run)(void *), void *argument)
{
    pthread_t id;
    if (pthread_create(&id, NULL, run, argument) != 0)
        die("pthread_create");
    pthread_detach(id);
}

static void tune(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

int listen_on(int type, int port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || (type == SOCK_STREAM && listen(fd, 128) < 0))
        die("listen");
    return fd;
}

struct service {
    int fd;
    void (*talk)(int fd);
};

static void *talk_and_close(void *argument)
{
    struct service connection = *(struct service *)argument;
    free(argument);
    connection.talk(connection.fd);
    close(connection.fd);
    return NULL;
}

static void *accept_all(void *argument)
{
    struct service *service = argument;
    for (;;) {
        int fd = accept4(service->fd, NULL, NULL, SOCK_CLOEXEC);
        struct service *connection = fd < 0 ? NULL : malloc(sizeof *connection);
        pthread_t id;
        if (connection) {
            tune(fd);
            *connection = (struct service){fd, service->talk};
            if (pthread_create(&id, NULL, talk_and_close, connection) == 0) {
                pthread_detach(id);
                continue;
            }
            free(connection);
        }
        if (fd >= 0)
            close(fd);
        usleep(10000); /* out of descriptors or memory: do not spin */
    }
    return NULL;
}

void serve(int port, void (*talk)(int fd))
{
    struct service *service = malloc(sizeof *service);
    if (!service)
        die("malloc");
    *service = (struct service){listen_on(SOCK_STREAM, port), talk};
    thread(accept_all, service);
}

/* A connection to a name, or -1 after limit_ms. */
int dial(const char *name, int port, int limit_ms)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    char service[8];
    int error = 1;
    socklen_t size = sizeof error;
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(name, service, &hints, &found) != 0)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd made = {.fd = fd, .events = POLLOUT};
    if (connect(fd, found->ai_addr, found->ai_addrlen) == 0 || (errno == EINPROGRESS && poll(&made, 1, limit_ms) == 1))
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    freeaddrinfo(found);
    if (error) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, 0);
    tune(fd);
    return fd;
}

bool send_all(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool fill(struct reader *from)
{
    memmove(from->buffer, from->buffer + from->start, from->end - from->start);
    from->end -= from->start;
    from->start = 0;
    ssize_t got;
    do
        got = recv(from->fd, from->buffer + from->end, sizeof from->buffer - from->end, 0);
    while (got < 0 && errno == EINTR);
    from->end += got > 0 ? (size_t)got : 0;
    return got > 0;
}

static char *newline(const struct reader *from)
{
    return memchr(from->buffer + from->start, '\n', from->end - from->start);
}

bool has_line(const struct reader *from)
{
    return newline(from) != NULL;
}

/* The next line without its end (\n or \r\n); false when the connection ended or the line is too long. */
bool read_line(struct reader *from, char line[LINE])
{
    char *end;
    while (!(end = newline(from)))
        if (from->end - from->start >= sizeof from->buffer / 2 || !fill(from))
            return false;
    char *begin = from->buffer + from->start;
    size_t length = (size_t)(end - begin);
    from->start += length + 1;
    if (length > 0 && begin[length - 1] == '\r')
        length--;
    if (length >= LINE)
        return false;
    memcpy(line, begin, length);
    line[length] = '\0';
    return true;
}

bool read_bytes(struct reader *from, char *bytes, size_t size)
{
    while (from->end - from->start < size)
        if (!fill(from))
            return false;
    memcpy(bytes, from->buffer + from->start, size);
    from->start += size;
    return true;
}
