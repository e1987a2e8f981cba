#define _GNU_SOURCE
#include "guest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool read_body(struct reader *from, char *body, size_t length)
{
    if (length > TEXT || !read_bytes(from, body, length))
        return false;
    while (length > 0 && (body[length - 1] == '\n' || body[length - 1] == '\r'))
        length--;
    body[length] = '\0';
    return strlen(body) == length;
}

/* False when the peer is gone, or says what cannot be served (`bad`); the connection is then of no more use. */
static bool read_request(struct reader *from, struct request *to)
{
    char line[LINE], method[8];
    int minor;
    size_t length = 0;
    to->bad = false;
    if (!read_line(from, line))
        return false;
    to->bad = true;
    if (sscanf(line, "%7s %3199s HTTP/1.%d", method, to->path, &minor) != 3)
        return false;
    to->post = strcmp(method, "POST") == 0;
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

/* Whether the connection goes on. */
bool respond(int fd, const struct request *request, int status, const char *text)
{
    char answer[4096];
    const char *type = text[0] == '{' ? "application/json" : "text/plain";
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s", status,
                        status < 400 ? "OK" : "Error", type, strlen(text), request->close ? "close" : "keep-alive", text);
    return size < (int)sizeof answer && send_all(fd, answer, (size_t)size) && !request->close;
}

/* Answers the requests of one connection in their order, as long as they can be read. */
void talk_http(int fd, bool (*answer)(int fd, const struct request *request))
{
    struct reader from = {.fd = fd};
    struct request request;
    bool open = read_request(&from, &request);
    while (open && answer(fd, &request))
        open = read_request(&from, &request);
    if (!open && request.bad) {
        request.close = true;
        respond(fd, &request, 400, "cannot read this request\n");
    }
}
