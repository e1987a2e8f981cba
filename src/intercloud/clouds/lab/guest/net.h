/* Sockets, lines and HTTP for the guest's services. Every call blocks; every connection has its own thread. */
#ifndef NET_H
#define NET_H
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
    char method[8], path[LINE], body[TEXT + 1];
    bool close;
};

void die(const char *what);
void thread(void *(*run)(void *), void *argument);
int listen_on(int type, int port);
void serve(int port, void (*talk)(int fd));
int start_connect(const char *name, int port);
bool connected(int fd);
int dial(const char *name, int port);
bool send_all(int fd, const void *data, size_t size);
bool read_line(struct reader *from, char line[LINE]);
bool has_line(const struct reader *from);
bool read_request(struct reader *from, struct request *to);
bool respond(const struct reader *to, const struct request *request, int status, const char *type, const char *text);
bool query(const char *path, const char *key, char *value, size_t size);
#endif
