/* peer: a line service and its clients, for containers that know each other only by name.
 *
 *   peer serve PORT TEXT        answers the line of each TCP connection with "TEXT LINE"
 *   peer srv NAME LINE          resolves SRV and the address of a target; connects, exchanges a line
 *   peer a NAME PORT LINE       resolves only the address; connects, exchanges a line
 *   peer lookups NAME SECONDS   looks the name up repeatedly
 *
 * Clients print "ADDRESS PORT REPLY", lookups "COUNT FAILED SLOWEST_MS". The C library resolves the names. Exits with 1
 * and a message on any failure. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 1024, TIMEOUT_SECONDS = 10, PAUSE_MS = 5 };

static void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

static int look_up(const char *name, const char *port, int family, struct addrinfo **found) {
  struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
  return getaddrinfo(name, port, &hints, found);
}

static void read_line(int fd, char *line) {
  int length = 0;
  while (length < MAX_LINE - 1 && read(fd, line + length, 1) == 1 && line[length] != '\n') length++;
  line[length] = 0;
}

static void exchange(const char *name, const char *port, const char *line) {
  struct addrinfo *found;
  int problem = look_up(name, port, AF_INET, &found);
  if (problem != 0) fail("%s: %s", name, gai_strerror(problem));
  int fd = socket(found->ai_family, SOCK_STREAM, 0);
  struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  char address[INET6_ADDRSTRLEN], reply[MAX_LINE];
  getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) fail("%s:%s: %m", address, port);
  dprintf(fd, "%s\n", line);
  read_line(fd, reply);
  if (*reply == 0) fail("%s:%s sends nothing", address, port);
  printf("%s %s %s\n", address, port, reply);
}

static void follow_srv(const char *name, const char *line) {
  unsigned char reply[4096];
  int length = res_query(name, ns_c_in, ns_t_srv, reply, sizeof reply);
  if (length < 0) fail("SRV %s: error %d", name, h_errno);
  ns_msg message;
  ns_rr record;
  if (ns_initparse(reply, length, &message) != 0) fail("SRV %s: not a message", name);
  if (ns_msg_count(message, ns_s_an) == 0) fail("SRV %s: no record", name);
  if (ns_parserr(&message, ns_s_an, 0, &record) != 0) fail("SRV %s: not a record", name);
  const unsigned char *data = ns_rr_rdata(record);
  char target[NS_MAXDNAME], port[8];
  if (dn_expand(ns_msg_base(message), ns_msg_end(message), data + 6, target, sizeof target) < 0)
    fail("SRV %s: no target", name);
  snprintf(port, sizeof port, "%u", (unsigned) ns_get16(data + 4));
  exchange(target, port, line);
}

static void serve(int port, const char *text) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *) &any, sizeof any) != 0) fail("port %d: %m", port);
  listen(listener, 16);
  for (;;) {
    char line[MAX_LINE];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    read_line(fd, line);
    dprintf(fd, "%s %s\n", text, line);
    close(fd);
  }
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Looks the name up for IPv4 and IPv6 at once, like most programs. */
static void look_up_for(const char *name, double seconds) {
  long count = 0, failed = 0;
  double slowest_ms = 0, end_ms = now_ms() + seconds * 1e3;
  while (now_ms() < end_ms) {
    struct addrinfo *found = NULL;
    double start_ms = now_ms();
    int problem = look_up(name, NULL, AF_UNSPEC, &found);
    double took_ms = now_ms() - start_ms;
    if (problem == 0) freeaddrinfo(found);
    else fprintf(stderr, "%s after %.0f ms\n", gai_strerror(problem), took_ms);
    count++;
    failed += problem != 0;
    if (took_ms > slowest_ms) slowest_ms = took_ms;
    usleep(PAUSE_MS * 1000);
  }
  printf("%ld %ld %.0f\n", count, failed, slowest_ms);
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (argc == 4 && strcmp(command, "serve") == 0) {
    signal(SIGTERM, _exit); /* process 1 ignores it by default */
    serve(atoi(argv[2]), argv[3]);
  } else if (argc == 4 && strcmp(command, "srv") == 0) follow_srv(argv[2], argv[3]);
  else if (argc == 5 && strcmp(command, "a") == 0) exchange(argv[2], argv[3], argv[4]);
  else if (argc == 4 && strcmp(command, "lookups") == 0) look_up_for(argv[2], atof(argv[3]));
  else fail("peer serve PORT TEXT | srv NAME LINE | a NAME PORT LINE | lookups NAME SECONDS");
  return 0;
}
