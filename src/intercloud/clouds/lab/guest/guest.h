/* What the files of the guest's program share: sockets, lines, HTTP, and the services of every role. Calls block. */
#ifndef GUEST_H
#define GUEST_H
#include <stdbool.h>
#include <stddef.h>

/* TEXT: the longest record; LINE: the longest line, a record percent-encoded in a request. */
enum { TEXT = 1000, LINE = 3200 };

struct reader {
    int fd;
    size_t start, end;
    char buffer[8192];
};

struct request {
    bool post, close, bad;
    char path[LINE], body[TEXT + 1];
};

/* net.c */
void die(const char *what);
void thread(void *(*run)(void *), void *argument);
int listen_on(int type, int port);
void serve(int port, void (*talk)(int fd));
int dial(const char *name, int port, int limit_ms);
bool send_all(int fd, const void *data, size_t size);
bool has_line(const struct reader *from);
bool read_line(struct reader *from, char line[LINE]);
bool read_bytes(struct reader *from, char *bytes, size_t size);

/* http.c */
bool query(const char *path, const char *key, char *value, size_t size);
void talk_http(int fd, bool (*answer)(int fd, const struct request *request));
bool respond(int fd, const struct request *request, int status, const char *text);

/* every.c */
void serve_every_role(void);
void count_for_ever(void);
#endif
