/* flow: servers and clients for tests that watch connections while their backends change.
 *
 *   flow serve TEXT PORT...                   answers each line and each datagram with "TEXT SERVER CLIENT LINE"
 *   flow connects NAME PORT COUNT PAUSE_MS    connects COUNT times, and exchanges a line each time
 *   flow stream NAME PORT EVERY_MS SECONDS    exchanges lines on one connection
 *   flow datagrams NAME PORT EVERY_MS SECONDS exchanges datagrams on one connected socket
 *   flow attempts NAME PORT EVERY_MS SECONDS  connects every EVERY_MS, which is also the time limit of each attempt
 *   flow serve-once TEXT PORT                 serves one connection, then refuses
 *
 * SERVER and CLIENT are the addresses of the two ends as the server sees them. Clients resolve NAME once. They print JSON,
 * one object a line: `connects` one at the end, the others one for each change of what they see. With
 * FLOW_GRACE_SECONDS in the environment servers end that long after SIGTERM, like programs that finish what they do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 512, MAX_TEXTS = 64, CONNECT_TIMEOUT_SECONDS = 5, REPLY_TIMEOUT_SECONDS = 60, BACKLOG = 4096 };

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void print_address(const struct sockaddr_storage *from, char *text) {
  int is_v4 = from->ss_family == AF_INET;
  const void *address = is_v4 ? (const void *) &((const struct sockaddr_in *) from)->sin_addr
                              : (const void *) &((const struct sockaddr_in6 *) from)->sin6_addr;
  inet_ntop(from->ss_family, address, text, INET6_ADDRSTRLEN);
}

static int bound(int type, int port) {
  int fd = socket(AF_INET6, type, 0), on = 1, off = 0;
  struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, (struct sockaddr *) &any, sizeof any) == 0) return fd;
  close(fd);
  struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
  fd = socket(AF_INET, type, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *) &any4, sizeof any4) != 0) fail("bind");
  return fd;
}

/* An IPv4 address mapped into IPv6 becomes the IPv4 address. */
static void print_end(const struct sockaddr_storage *from, char *text) {
  print_address(from, text);
  if (strncmp(text, "::ffff:", 7) == 0) memmove(text, text + 7, strlen(text + 7) + 1);
}

static int answer(char *reply, const char *text, int fd, const struct sockaddr_storage *peer, const char *line) {
  struct sockaddr_storage own;
  socklen_t length = sizeof own;
  char server[INET6_ADDRSTRLEN], client[INET6_ADDRSTRLEN];
  getsockname(fd, (struct sockaddr *) &own, &length);
  print_end(&own, server);
  print_end(peer, client);
  return snprintf(reply, 2 * MAX_LINE, "%s %s %s %s\n", text, server, client, line);
}

static void answer_datagram(int fd, const char *text) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  char line[MAX_LINE], reply[2 * MAX_LINE];
  ssize_t got = recvfrom(fd, line, sizeof line - 1, 0, (struct sockaddr *) &peer, &length);
  if (got < 0) return;
  line[got] = 0;
  int octets = answer(reply, text, fd, &peer, line);
  sendto(fd, reply, octets, 0, (struct sockaddr *) &peer, length);
}

/* Lines are short, so one read has one line. Returns whether the connection goes on. */
static int answer_line(int fd, const char *text) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  char line[MAX_LINE], reply[2 * MAX_LINE];
  ssize_t got = read(fd, line, sizeof line - 1);
  if (got <= 0) return 0;
  line[strcspn(line, "\n") < (size_t) got ? strcspn(line, "\n") : (size_t) got] = 0;
  if (getpeername(fd, (struct sockaddr *) &peer, &length) != 0) return 0;
  int octets = answer(reply, text, fd, &peer, line);
  return write(fd, reply, octets) == octets;
}

struct served { int fd; enum { LISTENER, DATAGRAMS, CONNECTION } kind; };

static void watch(int epoll, int fd, int kind) {
  struct served *served = malloc(sizeof *served);
  *served = (struct served) { .fd = fd, .kind = kind };
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = served };
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void serve(const char *text, int count, char **ports, int once) {
  int epoll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    int listener = bound(SOCK_STREAM, atoi(ports[i]));
    listen(listener, BACKLOG);
    watch(epoll, listener, LISTENER);
    if (!once) watch(epoll, bound(SOCK_DGRAM, atoi(ports[i])), DATAGRAMS);
  }
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    struct served *served = event.data.ptr;
    if (served->kind == LISTENER) {
      int fd = accept(served->fd, NULL, NULL);
      if (fd >= 0) watch(epoll, fd, CONNECTION);
      if (once) close(served->fd);
    } else if (served->kind == DATAGRAMS) answer_datagram(served->fd, text);
    else if (!answer_line(served->fd, text)) {
      close(served->fd);
      free(served);
    }
  }
}

static struct sockaddr_storage target;
static socklen_t target_octets;

static void resolve(const char *name, const char *port) {
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
  int problem = getaddrinfo(name, port, &hints, &found);
  if (problem != 0) {
    fprintf(stderr, "%s: %s\n", name, gai_strerror(problem));
    exit(1);
  }
  memcpy(&target, found->ai_addr, found->ai_addrlen);
  target_octets = found->ai_addrlen;
}

static void limit(int fd, int option, double seconds) {
  struct timeval timeout = { .tv_sec = seconds, .tv_usec = (seconds - (int) seconds) * 1e6 };
  setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout);
}

static int connected(int type, double timeout_seconds) {
  int fd = socket(target.ss_family, type, 0);
  limit(fd, SO_SNDTIMEO, timeout_seconds);
  limit(fd, SO_RCVTIMEO, timeout_seconds);
  if (connect(fd, (struct sockaddr *) &target, target_octets) == 0) return fd;
  int problem = errno;
  close(fd);
  errno = problem;
  return -1;
}

/* Sends a line and reads the reply. Returns 0, or the errno: ECONNABORTED for an end without a reply. */
static int exchange(int fd, char *reply) {
  if (send(fd, "hello\n", 6, MSG_NOSIGNAL) != 6) return errno;
  ssize_t got = recv(fd, reply, 2 * MAX_LINE - 1, 0);
  if (got < 0) return errno;
  if (got == 0) return ECONNABORTED;
  reply[got] = 0;
  reply[strcspn(reply, "\n")] = 0;
  return 0;
}

static void count_text(const char *reply, char texts[][MAX_LINE], long *counts) {
  char text[MAX_LINE];
  snprintf(text, sizeof text, "%.*s", (int) strcspn(reply, " "), reply);
  for (int i = 0; i < MAX_TEXTS; i++) {
    if (counts[i] > 0 && strcmp(texts[i], text) != 0) continue;
    strcpy(texts[i], text);
    counts[i]++;
    return;
  }
}

/* A reset leaves no socket in TIME_WAIT, so ports do not run out. */
static void reset(int fd) {
  struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

static void connect_often(long count, long pause_ms) {
  static char texts[MAX_TEXTS][MAX_LINE];
  static long counts[MAX_TEXTS];
  long failed = 0;
  double slowest_ms = 0;
  char error[MAX_LINE] = "", reply[2 * MAX_LINE];
  for (long i = 0; i < count; i++) {
    double start_ms = now_ms();
    int fd = connected(SOCK_STREAM, CONNECT_TIMEOUT_SECONDS);
    int problem = fd < 0 ? errno : exchange(fd, reply);
    reset(fd);
    double took_ms = now_ms() - start_ms;
    if (took_ms > slowest_ms) slowest_ms = took_ms;
    if (problem == 0) count_text(reply, texts, counts);
    else {
      if (failed++ == 0) snprintf(error, sizeof error, "%s at %ld after %.0f ms", strerror(problem), i, took_ms);
      usleep(1000);
    }
    if (pause_ms > 0) usleep(pause_ms * 1000);
  }
  printf("{\"count\":%ld,\"failed\":%ld,\"error\":\"%s\",\"slowestMs\":%.0f,\"replies\":{", count, failed, error, slowest_ms);
  for (int i = 0; i < MAX_TEXTS && counts[i] > 0; i++)
    printf("%s\"%s\":%ld", i > 0 ? "," : "", texts[i], counts[i]);
  printf("}}\n");
}

/* `watch` is the type of a socket, or 0 for a new connection each time. */
static void watch_socket(int watch, double every_ms, double seconds) {
  char last[2 * MAX_LINE] = "", reply[2 * MAX_LINE], seen[2 * MAX_LINE];
  double start_ms = now_ms();
  int is_stream = watch == SOCK_STREAM;
  int fd = watch == 0 ? -1 : connected(watch, is_stream ? CONNECT_TIMEOUT_SECONDS : every_ms / 1e3);
  int problem = fd < 0 && watch != 0 ? errno : 0;
  if (is_stream) limit(fd, SO_RCVTIMEO, REPLY_TIMEOUT_SECONDS);
  for (;;) {
    double sent_ms = now_ms();
    if (watch == 0) {
      fd = connected(SOCK_STREAM, every_ms / 1e3);
      problem = fd < 0 ? errno : 0;
    }
    if (problem == 0) problem = exchange(fd, reply);
    if (watch == 0) {
      reset(fd);
      reply[strcspn(reply, " ")] = 0;
    }
    double at_ms = now_ms() - start_ms;
    if (problem == 0) snprintf(seen, sizeof seen, "\"reply\":\"%s\"", reply);
    else snprintf(seen, sizeof seen, "\"error\":\"%s\"", problem == EAGAIN || problem == EINPROGRESS ? "timeout" : strerror(problem));
    if (strcmp(seen, last) != 0) printf("{\"atMs\":%.0f,%s}\n", at_ms, seen);
    fflush(stdout);
    strcpy(last, seen);
    if (is_stream && problem != 0) break;
    problem = 0;
    if (at_ms >= seconds * 1e3) break;
    double left_ms = every_ms - (now_ms() - sent_ms);
    if (left_ms > 0) usleep(left_ms * 1000);
  }
  printf("{\"atMs\":%.0f,\"end\":true}\n", now_ms() - start_ms);
}

static void end_soon(int signal_number) {
  const char *grace = getenv("FLOW_GRACE_SECONDS");
  (void) signal_number;
  if (grace == NULL) _exit(0);
  alarm(atoi(grace));
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, strncmp(command, "serve", 5) == 0 ? end_soon : _exit); /* process 1 ignores it by default */
  signal(SIGALRM, _exit);
  if (argc >= 4 && strcmp(command, "serve") == 0) serve(argv[2], argc - 3, argv + 3, 0);
  if (argc == 4 && strcmp(command, "serve-once") == 0) serve(argv[2], 1, argv + 3, 1);
  if (argc != 6) {
    fprintf(stderr, "flow serve TEXT PORT... | connects NAME PORT COUNT PAUSE_MS | stream|datagrams|attempts NAME PORT EVERY_MS SECONDS\n");
    return 2;
  }
  resolve(argv[2], argv[3]);
  double a = atof(argv[4]), b = atof(argv[5]);
  if (strcmp(command, "connects") == 0) connect_often(a, b);
  else if (strcmp(command, "stream") == 0) watch_socket(SOCK_STREAM, a, b);
  else if (strcmp(command, "datagrams") == 0) watch_socket(SOCK_DGRAM, a, b);
  else if (strcmp(command, "attempts") == 0) watch_socket(0, a, b);
  return 0;
}
