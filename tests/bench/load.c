/* Load for an echo server on 127.0.0.1: one epoll loop in one thread, so that the server is what is
 * measured. Prints one line of JSON.
 *
 * Every connection has one message under way. A message is one byte repeated, which depends on the
 * connection and on how many came before it: bytes that are lost, doubled or another's are noticed.
 * An answer that does not come, comes wrong, or ends the connection is an error.
 *
 * churn: each connection carries one message and is closed, then the next is made. We close first,
 * so the address pair stays in TIME-WAIT here; sources are spread over 127.0.0.1..127.0.0.64, or the
 * local ports would be used up within a second.
 *
 * Bounded in connections (60,000) and in time (60 s to open them, 60 s to use them), and it connects
 * to 127.0.0.1 only.
 * Read first: man 7 epoll, man 2 connect (EINPROGRESS), man 7 ip (IP_BIND_ADDRESS_NO_PORT).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_CONNECTIONS = 60000,
    LONGEST_S = 60,
    LARGEST_MESSAGE = 1 << 20,
    EVENTS = 1024,
    SOURCES = 64,
    ANSWER_WITHIN_S = 10,
    STEPS = 64, /* of the histogram, within a factor of two: 1.6 % */
    BUCKETS = 64 * STEPS,
};

struct connection {
    int fd;
    bool connecting, wants_out;
    uint32_t index, serial; /* which connection; which of its messages */
    uint32_t sent, received; /* bytes of this message */
    uint64_t asked_ns;
};

static struct {
    bool churn;
    uint16_t port;
    uint32_t active, idle, size, each; /* each: messages a connection, 0 for as long as it lasts */
    double seconds;
} asked = {.active = 1, .size = 64, .seconds = 1};

static int poller;
static struct connection *connections;
static char *message, *answer;
static uint64_t done, errors, underway, begun_ns, end_ns, histogram[BUCKETS];
static uint32_t next_source;
static char first_error[200];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fatal(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void note_error(const struct connection *c, const char *what)
{
    if (errors++ == 0)
        snprintf(first_error, sizeof first_error, "connection %u, message %u: %s", c->index,
                 c->serial, what);
}

/* -- latencies: a histogram with equal steps in each factor of two -- */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    return (shift + 1) * STEPS + (unsigned)((ns >> shift) - STEPS);
}

static double quantile_us(double share)
{
    uint64_t wanted = (uint64_t)(share * (double)done), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen > wanted)
            return (i < STEPS ? i : (double)((uint64_t)(i % STEPS + STEPS) << (i / STEPS - 1))) / 1e3;
    }
    return 0;
}

/* -- one connection -- */

static void watch(struct connection *c, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &event))
        fatal("epoll_ctl");
}

static int open_socket(int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    if (fd < 0)
        fatal("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (asked.churn) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + next_source++ % SOURCES);
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&from, sizeof from))
            fatal("bind");
    }
    return fd;
}

static int connect_to_server(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(asked.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, (struct sockaddr *)&to, sizeof to);
}

static unsigned char pattern(const struct connection *c)
{
    return (unsigned char)(c->index * 31u + c->serial);
}

static void finish(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
    underway--;
}

/* Send what is left of the message; the rest when there is room. */
static void go_on_sending(struct connection *c)
{
    memset(message, pattern(c), asked.size - c->sent);
    ssize_t n = send(c->fd, message, asked.size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) {
        note_error(c, strerror(errno));
        finish(c);
        return;
    }
    if (n > 0)
        c->sent += (uint32_t)n;
    bool wants_out = c->sent < asked.size;
    if (wants_out != c->wants_out)
        watch(c, EPOLL_CTL_MOD, wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN);
    c->wants_out = wants_out;
}

static void begin_message(struct connection *c, uint64_t now)
{
    c->sent = c->received = 0;
    c->asked_ns = now;
    go_on_sending(c);
}

/* Begin to connect; EPOLLOUT says when it is done. */
static void begin_connection(struct connection *c, uint64_t now)
{
    c->fd = open_socket(SOCK_NONBLOCK);
    c->connecting = true;
    c->sent = c->received = 0;
    c->asked_ns = now;
    underway++;
    if (connect_to_server(c->fd) && errno != EINPROGRESS) {
        note_error(c, strerror(errno));
        finish(c);
        return;
    }
    c->wants_out = true;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void answered(struct connection *c, uint64_t now)
{
    done++;
    histogram[bucket_of(now - c->asked_ns)]++;
    c->serial++;
    bool more = now < end_ns && (asked.each == 0 || c->serial < asked.each);
    if (!asked.churn && more) {
        begin_message(c, now);
        return;
    }
    finish(c);
    if (more)
        begin_connection(c, now);
}

static void readable(struct connection *c)
{
    ssize_t n = recv(c->fd, answer, asked.size, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        note_error(c, n ? strerror(errno) : "the server closed the connection");
        finish(c);
        return;
    }
    /* All bytes equal the first: memcmp with itself, one further on. */
    if ((unsigned char)answer[0] != pattern(c) || memcmp(answer, answer + 1, (size_t)n - 1)) {
        note_error(c, "wrong bytes came back");
        finish(c);
        return;
    }
    c->received += (uint32_t)n;
    if (c->received > c->sent) {
        note_error(c, "more came back than was sent");
        finish(c);
    } else if (c->received == asked.size) {
        answered(c, now_ns());
    }
}

static void writable(struct connection *c)
{
    if (c->connecting) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            note_error(c, strerror(error));
            finish(c);
            return;
        }
        c->connecting = false;
    }
    go_on_sending(c);
}

/* -- the whole -- */

/* A connection that was accepted for certain: it has carried one byte there and back. */
static int open_proven(struct connection *c)
{
    struct timeval within = {.tv_sec = ANSWER_WITHIN_S};
    char byte = 'x';
    int fd = open_socket(0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within);
    if (connect_to_server(fd) || send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1) {
        note_error(c, errno ? strerror(errno) : "closed while it was new");
        close(fd);
        return -1;
    }
    return fd;
}

static void open_all(void)
{
    uint64_t late_ns = now_ns() + LONGEST_S * 1000000000ull;
    for (uint32_t i = 0; i < asked.active + asked.idle; i++) {
        struct connection *c = &connections[i];
        c->index = i;
        c->fd = -1;
        if (now_ns() > late_ns) {
            errno = ETIMEDOUT;
            fatal("opening the connections");
        }
        if (asked.churn && i < asked.active)
            continue;
        c->fd = open_proven(c);
        if (c->fd < 0)
            continue;
        if (i >= asked.active)
            continue;
        underway++;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd,
                      &(struct epoll_event){.events = EPOLLIN, .data.ptr = c}))
            fatal("epoll_ctl");
    }
}

static void run(void)
{
    static struct epoll_event events[EVENTS];
    begun_ns = now_ns();
    end_ns = begun_ns + (uint64_t)(asked.seconds * 1e9);
    for (uint32_t i = 0; i < asked.active; i++) {
        if (asked.churn)
            begin_connection(&connections[i], now_ns());
        else if (connections[i].fd >= 0)
            begin_message(&connections[i], now_ns());
    }
    while (underway && now_ns() < end_ns + ANSWER_WITHIN_S * 1000000000ull) {
        int ready = epoll_wait(poller, events, EVENTS, ANSWER_WITHIN_S * 1000);
        if (ready < 0 && errno != EINTR)
            fatal("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                writable(c);
            if (c->fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT)
                readable(c);
        }
    }
}

/* Nothing may have come on the idle ones, nor may they have ended. */
static void check_idle(void)
{
    for (uint32_t i = asked.active; i < asked.active + asked.idle; i++) {
        char byte;
        if (connections[i].fd < 0)
            continue;
        if (recv(connections[i].fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            note_error(&connections[i], "an idle connection was not left alone");
    }
}

static void report(uint64_t finished_ns)
{
    double took_s = (double)(finished_ns - begun_ns) / 1e9;
    for (uint32_t i = 0; i < asked.active; i++)
        if (connections[i].fd >= 0)
            note_error(&connections[i], "no answer");
    check_idle();
    printf("{\"done\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"errors\": %llu, \"first_error\": \"%s\"}\n",
           (unsigned long long)done, took_s, quantile_us(0.5), quantile_us(0.99),
           (unsigned long long)errors, first_error);
    fflush(stdout);
}

/* Say how far we are, and go on when told to, or when there is nobody to tell. */
static void pause_for_a_look(const char *where)
{
    char byte;
    printf("%s\n", where);
    fflush(stdout);
    if (read(0, &byte, 1) < 0)
        fatal("read");
}

static void read_arguments(int count, char **arguments)
{
    int option;
    while ((option = getopt(count, arguments, "cp:n:i:s:e:t:")) != -1) {
        if (option == 'c') asked.churn = true;
        else if (option == 'p') asked.port = (uint16_t)atoi(optarg);
        else if (option == 'n') asked.active = (uint32_t)atol(optarg);
        else if (option == 'i') asked.idle = (uint32_t)atol(optarg);
        else if (option == 's') asked.size = (uint32_t)atol(optarg);
        else if (option == 'e') asked.each = (uint32_t)atol(optarg);
        else if (option == 't') asked.seconds = atof(optarg);
        else exit(2);
    }
    if (!asked.port || asked.size < 1 || asked.size > LARGEST_MESSAGE || asked.active < 1 ||
        asked.active > MOST_CONNECTIONS || asked.idle > MOST_CONNECTIONS - asked.active ||
        !(asked.seconds > 0 && asked.seconds <= LONGEST_S)) {
        fprintf(stderr, "usage: load -p PORT [-n CONNECTIONS] [-i IDLE] [-s BYTES] [-t SECONDS]\n"
                        "            [-e MESSAGES-EACH] [-c: a connection for each message]\n");
        exit(2);
    }
}

int main(int count, char **arguments)
{
    read_arguments(count, arguments);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(asked.active + asked.idle, sizeof *connections);
    message = malloc(asked.size);
    answer = malloc(asked.size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !message || !answer || poller < 0)
        fatal("start");
    open_all();
    bool watched = asked.idle > 0; /* the server's memory and time are looked at in between */
    if (watched)
        pause_for_a_look("open");
    run();
    report(now_ns());
    if (watched)
        pause_for_a_look("done");
    return 0;
}
