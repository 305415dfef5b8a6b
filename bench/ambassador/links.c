/* links: the load generator of the part `ambassador`, in C because its own time must not hide what it measures.
 *
 *   links serve LETTER PORT SINK          echoes messages, the first octet replaced by LETTER; reads everything from SINK
 *   links echo ADDRESS PORT SECONDS       exchanges messages on one connection, one after another
 *   links connect ADDRESS PORT SECONDS COUNT
 *                                         connects, exchanges a message, resets; until the time or the count is over
 *   links send ADDRESS PORT SECONDS       sends as fast as the connection takes it
 *   links watch ADDRESS PORT NAME DNS...  connects, and asks each server DNS (ADDRESS:PORT) for the A records of NAME,
 *                                         again and again; ADDRESS `-`: only asks
 *
 * It prints JSON, one object a line: `watch` one for each change of what it sees, the others one at the end. Times are
 * microseconds, `at` is CLOCK_MONOTONIC in milliseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  MESSAGE = 64,
  CHUNK = 1 << 18,
  MAX_SAMPLES = 4 << 20,
  TIMEOUT_SECONDS = 5,
  DNS_TIMEOUT_MS = 200,
  WATCH_PAUSE_US = 200,
  MAX_SERVERS = 8,
  BACKLOG = 4096,
  EVENTS = 64,
};

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static struct sockaddr_in address_of(const char *address, int port) {
  struct sockaddr_in found = { .sin_family = AF_INET, .sin_port = htons(port) };
  if (inet_pton(AF_INET, address, &found.sin_addr) != 1) {
    fprintf(stderr, "%s is no IPv4 address\n", address);
    exit(2);
  }
  return found;
}

/* Without delays, so that small messages are not collected. */
static int connected(const struct sockaddr_in *to) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (const struct sockaddr *) to, sizeof *to) == 0) return fd;
  int problem = errno;
  close(fd);
  errno = problem;
  return -1;
}

/* Returns the letter of the server; 0 with errno if it does not answer. */
static char exchange(int fd) {
  char message[MESSAGE] = { 0 };
  if (send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE) return 0;
  errno = ECONNABORTED; /* for an end without an answer */
  if (recv(fd, message, MESSAGE, MSG_WAITALL) != MESSAGE) return 0;
  return message[0];
}

/* A reset leaves no socket in TIME_WAIT, so ports do not run out. */
static void reset(int fd) {
  struct linger now = { .l_onoff = 1, .l_linger = 0 };
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static char connect_once(const struct sockaddr_in *to) {
  int fd = connected(to);
  if (fd < 0) return 0;
  char letter = exchange(fd);
  int problem = errno;
  reset(fd);
  errno = problem;
  return letter;
}

static float samples[MAX_SAMPLES];
static long sampled;

static void sample(double us) {
  if (sampled < MAX_SAMPLES) samples[sampled++] = us;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *) a, y = *(const float *) b;
  return (x > y) - (x < y);
}

static double percentile(double share) {
  return sampled == 0 ? 0 : samples[(long) (share * (sampled - 1))];
}

static void print_samples(long failed, const char *error) {
  qsort(samples, sampled, sizeof *samples, compare);
  printf("{\"count\":%ld,\"failed\":%ld,\"error\":\"%s\",\"p50\":%.2f,\"p99\":%.2f,\"max\":%.0f}\n",
         sampled, failed, error, percentile(0.5), percentile(0.99), percentile(1));
}

static void echo(const struct sockaddr_in *to, double seconds) {
  int fd = connected(to);
  if (fd < 0) fail("connect");
  double end = now_us() + seconds * 1e6;
  for (double start = now_us(); start < end;) {
    if (exchange(fd) == 0) fail("echo");
    double done = now_us();
    sample(done - start);
    start = done;
  }
  print_samples(0, "");
}

static void connect_often(const struct sockaddr_in *to, double seconds, long count) {
  double end = now_us() + seconds * 1e6;
  long failed = 0;
  char error[128] = "";
  for (double start = now_us(); start < end && sampled + failed < count;) {
    if (connect_once(to) != 0) sample(now_us() - start);
    else if (failed++ == 0) snprintf(error, sizeof error, "%s", strerror(errno));
    start = now_us();
  }
  print_samples(failed, error);
}

static void send_fast(const struct sockaddr_in *to, double seconds) {
  static char chunk[CHUNK];
  int fd = connected(to);
  if (fd < 0) fail("connect");
  double start = now_us(), end = start + seconds * 1e6, octets = 0;
  while (now_us() < end) {
    ssize_t sent = send(fd, chunk, CHUNK, MSG_NOSIGNAL);
    if (sent < 0) fail("send");
    octets += sent;
  }
  double took = (now_us() - start) / 1e6;
  reset(fd);
  printf("{\"octets\":%.0f,\"seconds\":%.6f}\n", octets, took);
}

static int question(unsigned char *packet, unsigned id, const char *name) {
  unsigned char header[12] = { id >> 8, id & 255, 1, 0, 0, 1 };
  memcpy(packet, header, 12);
  int at = 12;
  for (const char *label = name; *label != 0;) {
    int length = strcspn(label, ".");
    packet[at++] = length;
    memcpy(packet + at, label, length);
    at += length;
    label += length + (label[length] == '.');
  }
  unsigned char end[5] = { 0, 0, 1, 0, 1 }; /* the root, type A, class IN */
  memcpy(packet + at, end, 5);
  return at + 5;
}

/* The first address of the answer, whose names are compressed; "-" without one. */
static void first_address(const unsigned char *reply, int got, int asked, char *text) {
  strcpy(text, "-");
  if (got < asked + 16 || (reply[6] << 8 | reply[7]) == 0) return;
  int at = asked + ((reply[asked] & 0xc0) == 0xc0 ? 2 : (int) strlen((const char *) reply + asked) + 1);
  int type = reply[at] << 8 | reply[at + 1];
  if (type == 1 && at + 14 <= got) inet_ntop(AF_INET, reply + at + 10, text, INET_ADDRSTRLEN);
}

struct watched { int fd; char seen[INET_ADDRSTRLEN]; };

static struct watched dns_server(char *text) {
  char *colon = strchr(text, ':');
  if (colon == NULL) exit(2);
  *colon = 0;
  struct sockaddr_in to = address_of(text, atoi(colon + 1));
  struct timeval timeout = { .tv_usec = DNS_TIMEOUT_MS * 1000 };
  struct watched server = { .fd = socket(AF_INET, SOCK_DGRAM, 0), .seen = "" };
  setsockopt(server.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (connect(server.fd, (struct sockaddr *) &to, sizeof to) != 0) fail("dns");
  return server;
}

static void note(const char *what, int number, const char *text, char *seen) {
  if (strcmp(text, seen) == 0) return;
  strcpy(seen, text);
  printf("{\"at\":%.3f,\"%s\":%d,\"seen\":\"%s\"}\n", now_us() / 1e3, what, number, text);
  fflush(stdout);
}

static void ask(struct watched *server, int number, const char *name) {
  static unsigned id;
  unsigned char packet[512], reply[4096];
  char text[INET_ADDRSTRLEN];
  int asked = question(packet, id = (id + 1) & 0xffff, name);
  if (send(server->fd, packet, asked, 0) != asked) return;
  ssize_t got;
  do got = recv(server->fd, reply, sizeof reply, 0); /* a late answer has another id */
  while (got >= 2 && (unsigned) (reply[0] << 8 | reply[1]) != id);
  if (got < 12) return;
  first_address(reply, got, asked, text);
  note("dns", number, text, server->seen);
}

static void watch(const char *address, int port, const char *name, int count, char **servers) {
  struct watched dns[MAX_SERVERS];
  int connects = strcmp(address, "-") != 0;
  struct sockaddr_in to = address_of(connects ? address : "0.0.0.0", port);
  char seen[2] = "";
  for (int i = 0; i < count; i++) dns[i] = dns_server(servers[i]);
  for (;;) {
    if (connects) {
      char letter = connect_once(&to);
      note("connect", 0, (char[2]) { letter == 0 ? '-' : letter, 0 }, seen);
    }
    for (int i = 0; i < count; i++) ask(&dns[i], i, name);
    usleep(WATCH_PAUSE_US);
  }
}

struct served { int fd; enum { LISTENER, SINK_LISTENER, CONNECTION, SINK } kind; };

static void add(int epoll, int fd, int kind) {
  struct served *served = malloc(sizeof *served);
  *served = (struct served) { .fd = fd, .kind = kind };
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = served };
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listener(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *) &any, sizeof any) != 0) fail("bind");
  listen(fd, BACKLOG);
  return fd;
}

static int serve_one(int epoll, const struct served *served, char letter) {
  static char chunk[CHUNK];
  if (served->kind == LISTENER || served->kind == SINK_LISTENER) {
    int fd = accept(served->fd, NULL, NULL), on = 1;
    if (fd < 0) return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    add(epoll, fd, served->kind == LISTENER ? CONNECTION : SINK);
    return 1;
  }
  if (served->kind == SINK) return recv(served->fd, chunk, CHUNK, 0) > 0;
  ssize_t got = recv(served->fd, chunk, MESSAGE, 0);
  chunk[0] = letter;
  return got > 0 && send(served->fd, chunk, got, MSG_NOSIGNAL) == got;
}

static void serve(char letter, int port, int sink) {
  int epoll = epoll_create1(0);
  add(epoll, listener(port), LISTENER);
  add(epoll, listener(sink), SINK_LISTENER);
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      struct served *served = events[i].data.ptr;
      if (serve_one(epoll, served, letter)) continue;
      close(served->fd);
      free(served);
    }
  }
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (argc == 5 && strcmp(command, "serve") == 0) serve(argv[2][0], atoi(argv[3]), atoi(argv[4]));
  if (argc > 5 && argc <= 5 + MAX_SERVERS && strcmp(command, "watch") == 0)
    watch(argv[2], atoi(argv[3]), argv[4], argc - 5, argv + 5);
  if (argc < 5) {
    fprintf(stderr, "links serve | echo | connect | send | watch: see links.c\n");
    return 2;
  }
  struct sockaddr_in to = address_of(argv[2], atoi(argv[3]));
  double seconds = atof(argv[4]);
  if (strcmp(command, "echo") == 0) echo(&to, seconds);
  else if (strcmp(command, "connect") == 0) connect_often(&to, seconds, argc > 5 ? atol(argv[5]) : MAX_SAMPLES);
  else if (strcmp(command, "send") == 0) send_fast(&to, seconds);
  return 0;
}
