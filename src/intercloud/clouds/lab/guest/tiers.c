/* An application in three tiers, web (HTTP) -> app -> db, each reached by name; one program, ROLE says which tier.
   Environment: ROLE, NAME, BOOT_ID, BOOTS, HOSTS. Without a role only every guest's own services run.
   A record is acknowledged only when it is on the disk. A request in flight when a connection breaks is answered with
   an error and never retried: whoever asked cannot know whether it was done. */
#define _GNU_SOURCE
#include "guest.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { DB_PORT = 5000, APP_PORT = 6000, WEB_PORT = 80, BLOCK = 16384, CONNECT_MS = 3000 };

/* ---- db: the file of records ---- */

static struct {
    pthread_mutex_t lock;
    int fd;
    off_t size; /* bytes that are on the disk */
    unsigned long count;
} records = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Counts the whole lines; a last one without its end was never acknowledged and is cut off. */
static void open_records(const char *path)
{
    char block[BLOCK];
    ssize_t got;
    off_t at = 0;
    records.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (records.fd < 0)
        die(path);
    for (; (got = pread(records.fd, block, sizeof block, at)) > 0; at += got)
        for (ssize_t i = 0; i < got; i++)
            if (block[i] == '\n') {
                records.count++;
                records.size = at + i + 1;
            }
    if (got < 0 || ftruncate(records.fd, records.size) < 0 || fsync(records.fd) < 0)
        die(path);
}

/* The record's number once it is on the disk, else 0. */
static unsigned long put(char *text)
{
    size_t length = strlen(text);
    unsigned long number = 0;
    if (length > TEXT || strcmp(text, "END") == 0)
        return 0;
    text[length] = '\n';
    pthread_mutex_lock(&records.lock);
    if (pwrite(records.fd, text, length + 1, records.size) == (ssize_t)length + 1 && fsync(records.fd) == 0) {
        records.size += (off_t)length + 1;
        number = ++records.count;
    } else if (ftruncate(records.fd, records.size) < 0)
        perror("records");
    pthread_mutex_unlock(&records.lock);
    return number;
}

static bool dump(int fd)
{
    char block[BLOCK];
    pthread_mutex_lock(&records.lock);
    off_t end = records.size;
    pthread_mutex_unlock(&records.lock);
    for (off_t at = 0; at < end;) {
        size_t want = end - at < BLOCK ? (size_t)(end - at) : BLOCK;
        ssize_t got = pread(records.fd, block, want, at);
        if (got <= 0 || !send_all(fd, block, (size_t)got))
            return false;
        at += got;
    }
    return send_all(fd, "END\n", 4);
}

static void talk_db(int fd)
{
    struct reader from = {.fd = fd};
    char line[LINE + 1], answer[64];
    for (bool open = true; open && read_line(&from, line);) {
        if (strcmp(line, "DUMP") == 0) {
            open = dump(fd);
            continue;
        }
        unsigned long number = strncmp(line, "PUT ", 4) == 0 ? put(line + 4) : 0;
        pthread_mutex_lock(&records.lock);
        if (strcmp(line, "COUNT") == 0)
            snprintf(answer, sizeof answer, "OK %lu\n", records.count);
        else if (number)
            snprintf(answer, sizeof answer, "OK %lu\n", number);
        else
            snprintf(answer, sizeof answer, "ERR not recorded\n");
        pthread_mutex_unlock(&records.lock);
        open = send_all(fd, answer, strlen(answer));
    }
}

/* ---- app and web: connections to the tier below, kept open and used by one request at a time ---- */

struct upstream {
    struct reader from;
    struct upstream *next;
};

static struct {
    pthread_mutex_t lock;
    struct upstream *idle;
    const char *host;
    int port, limit_s;
} below = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hang_up(struct upstream *connection)
{
    while (connection) {
        struct upstream *next = connection->next;
        close(connection->from.fd);
        free(connection);
        connection = next;
    }
}

/* An idle connection that still stands, else a new one; NULL when the tier below does not answer. */
static struct upstream *borrow(void)
{
    char byte;
    for (;;) {
        pthread_mutex_lock(&below.lock);
        struct upstream *connection = below.idle;
        if (connection)
            below.idle = connection->next;
        pthread_mutex_unlock(&below.lock);
        if (!connection)
            break;
        connection->next = NULL;
        if (recv(connection->from.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
            return connection; /* nothing to read: neither closed nor out of step */
        hang_up(connection);
    }
    struct timeval limit = {.tv_sec = below.limit_s};
    struct upstream *connection = calloc(1, sizeof *connection);
    if (!connection || (connection->from.fd = dial(below.host, below.port, CONNECT_MS)) < 0) {
        free(connection);
        return NULL;
    }
    setsockopt(connection->from.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(connection->from.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return connection;
}

/* After a failure the other idle connections are hung up too: they led to the same peer. */
static void give_back(struct upstream *connection, bool good)
{
    pthread_mutex_lock(&below.lock);
    connection->next = below.idle;
    below.idle = good ? connection : NULL;
    pthread_mutex_unlock(&below.lock);
    if (!good)
        hang_up(connection);
}

/* One line to the tier below, one line back; false when that failed or the answer is not OK. */
static bool ask(const char *line, char answer[LINE])
{
    struct upstream *connection = borrow();
    if (!connection)
        return false;
    bool good = send_all(connection->from.fd, line, strlen(line)) && read_line(&connection->from, answer);
    give_back(connection, good);
    return good && strncmp(answer, "OK ", 3) == 0;
}

/* Passes a dump on, up to its END; `send` gets whole lines, as many as are there. */
static bool relay_dump(int fd, bool (*send)(int fd, const void *data, size_t size))
{
    char block[BLOCK], line[LINE];
    size_t size = 0;
    bool ended = false, open = true;
    struct upstream *connection = borrow();
    if (!connection)
        return false;
    open = send_all(connection->from.fd, "DUMP\n", 5);
    while (open && !ended && (open = read_line(&connection->from, line))) {
        ended = strcmp(line, "END") == 0;
        if (!ended)
            size += (size_t)sprintf(block + size, "%s\n", line);
        if (size > 0 && (ended || size + LINE >= BLOCK || !has_line(&connection->from))) {
            open = send(fd, block, size);
            size = 0;
        }
    }
    give_back(connection, ended);
    return open && ended;
}

static void talk_app(int fd)
{
    struct reader from = {.fd = fd};
    char line[LINE + 1], answer[LINE + 1];
    for (bool open = true; open && read_line(&from, line);) {
        if (strcmp(line, "DUMP") == 0) {
            open = relay_dump(fd, send_all) && send_all(fd, "END\n", 4);
            continue;
        }
        strcat(line, "\n");
        if (!ask(line, answer))
            strcpy(answer, "ERR db does not answer or refused");
        strcat(answer, "\n");
        open = send_all(fd, answer, strlen(answer));
    }
}

static bool send_chunk(int fd, const void *data, size_t size)
{
    char head[16];
    int length = snprintf(head, sizeof head, "%zx\r\n", size);
    return send_all(fd, head, (size_t)length) && send_all(fd, data, size) && send_all(fd, "\r\n", 2);
}

static const char silent[] = "app or db does not answer\n";

/* The status is sent before the records: a dump that breaks later ends without the last chunk. */
static bool web_dump(int fd, const struct request *request)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    char count[LINE];
    if (!ask("COUNT\n", count))
        return respond(fd, request, 502, silent);
    return send_all(fd, head, sizeof head - 1) && relay_dump(fd, send_chunk) && send_all(fd, "0\r\n\r\n", 5) &&
           !request->close;
}

static bool web_put(int fd, const struct request *request, const char *text)
{
    char line[TEXT + 8], answer[LINE], json[64];
    bool plain = text[0] != '\0' && strcmp(text, "END") != 0;
    for (const char *at = text; *at; at++)
        plain = plain && (unsigned char)*at >= ' ';
    if (!plain)
        return respond(fd, request, 400, "a record is one line of 1 to 1000 bytes, and not END\n");
    snprintf(line, sizeof line, "PUT %s\n", text);
    if (!ask(line, answer))
        return respond(fd, request, 502, silent);
    snprintf(json, sizeof json, "{\"record\": %lu}\n", strtoul(answer + 3, NULL, 10));
    return respond(fd, request, 200, json);
}

static bool answer_web(int fd, const struct request *request)
{
    char text[TEXT + 1], count[LINE];
    if (strcmp(request->path, "/records") == 0)
        return request->post ? web_put(fd, request, request->body) : web_dump(fd, request);
    if (strncmp(request->path, "/put?", 5) == 0)
        return web_put(fd, request, query(request->path, "text", text, sizeof text) ? text : "");
    if (strcmp(request->path, "/health") == 0)
        return ask("COUNT\n", count) ? respond(fd, request, 200, "ok\n") : respond(fd, request, 502, silent);
    return respond(fd, request, 404, "POST /records, GET /records, GET /put?text=, GET /health\n");
}

static void talk_web(int fd)
{
    talk_http(fd, answer_web);
}

int main(void)
{
    const char *role = getenv("ROLE") ? getenv("ROLE") : "";
    if (strcmp(role, "db") == 0) {
        open_records("/data/records");
        serve(DB_PORT, talk_db);
    } else if (strcmp(role, "app") == 0) {
        below.host = "db", below.port = DB_PORT, below.limit_s = 15;
        serve(APP_PORT, talk_app);
    } else if (strcmp(role, "web") == 0) {
        below.host = "app", below.port = APP_PORT, below.limit_s = 20; /* app answers first, with its error */
        serve(WEB_PORT, talk_web);
    }
    serve_every_role();
    printf("GUEST-UP name=%s boot_id=%s\n", getenv("NAME"), getenv("BOOT_ID"));
    fflush(stdout);
    count_for_ever();
}
