#define _GNU_SOURCE
#include "net.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CONNECT_MS = 3000, ANSWER_S = 20 };

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
    int on = 1, idle_s = 300;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
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

/* A descriptor on which a connection is being made, or -1. */
int start_connect(const char *name, int port)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(name, service, &hints, &found) != 0)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* Whether a started connection that polled writable was accepted. */
bool connected(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/* A blocking connection whose reads and writes end after ANSWER_S seconds, or -1. */
int dial(const char *name, int port)
{
    struct timeval limit = {.tv_sec = ANSWER_S};
    int fd = start_connect(name, port);
    if (fd < 0)
        return -1;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (poll(&wait, 1, CONNECT_MS) != 1 || !connected(fd)) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, 0);
    tune(fd);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
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

static bool read_body(struct reader *from, char *body, size_t length)
{
    if (length > TEXT)
        return false;
    while (from->end - from->start < length)
        if (!fill(from))
            return false;
    memcpy(body, from->buffer + from->start, length);
    from->start += length;
    while (length > 0 && (body[length - 1] == '\n' || body[length - 1] == '\r'))
        length--;
    body[length] = '\0';
    return strlen(body) == length;
}

/* False when the peer is gone or speaks something else; the connection is then of no more use. */
bool read_request(struct reader *from, struct request *to)
{
    char line[LINE];
    int minor;
    size_t length = 0;
    if (!read_line(from, line) || sscanf(line, "%7s %3199s HTTP/1.%d", to->method, to->path, &minor) != 3)
        return false;
    to->close = minor == 0;
    while (read_line(from, line)) {
        if (line[0] == '\0')
            return read_body(from, to->body, length);
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            length = strtoul(line + 15, NULL, 10);
        else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
            return false;
        else if (strncasecmp(line, "Connection:", 11) == 0 && strcasestr(line, "close"))
            to->close = true;
    }
    return false;
}

/* Whether the connection goes on. */
bool respond(const struct reader *to, const struct request *request, int status, const char *type, const char *text)
{
    char answer[4096];
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s", status,
                        status < 400 ? "OK" : "Error", type, strlen(text), request->close ? "close" : "keep-alive", text);
    return size < (int)sizeof answer && send_all(to->fd, answer, (size_t)size) && !request->close;
}

/* The value of one key of the path's query, decoded; false when it is absent, too long or badly encoded. */
bool query(const char *path, const char *key, char *value, size_t size)
{
    size_t length = strlen(key), n = 0;
    const char *at = strchr(path, '?');
    while (at && (strncmp(at + 1, key, length) != 0 || at[1 + length] != '='))
        at = strchr(at + 1, '&');
    if (!at)
        return false;
    for (at += length + 2; *at && *at != '&'; at++) {
        int c = *at == '+' ? ' ' : *at;
        if (c == '%') {
            char pair[3] = {at[1], at[1] ? at[2] : '\0', '\0'}, *end;
            c = (int)strtoul(pair, &end, 16);
            if (end != pair + 2)
                return false;
            at += 2;
        }
        if (n + 1 >= size)
            return false;
        value[n++] = (char)c;
    }
    value[n] = '\0';
    return strlen(value) == n;
}
