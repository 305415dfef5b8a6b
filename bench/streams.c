/*
 * Clients and backends of a TCP proxy, cheap enough to measure one.
 *
 *   streams serve PORT                     echoes what comes; a connection that begins with "S" gets zeros without end
 *   streams connects HOST PORT COUNT       microseconds of connect + echo of 64 octets, the median of that many
 *   streams pull HOST PORT SECONDS NUMBER  bytes a second over that many connections at once
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) { perror(what); exit(1); }

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static struct sockaddr_in address(const char *host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) fail("address");
  return a;
}

static int connected(const struct sockaddr_in *to) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (const void *)to, sizeof *to)) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void *source(void *arg) {
  static char zeros[1 << 18];
  int fd = (int)(long)arg;
  while (send(fd, zeros, sizeof zeros, MSG_NOSIGNAL) > 0) {}
  close(fd);
  return NULL;
}

static void serve(int port) {
  struct sockaddr_in at = address("0.0.0.0", port);
  int one = 1, listening = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listening, (void *)&at, sizeof at) || listen(listening, 4096)) fail("listen");
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[64];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listening) {
        int client = accept(listening, NULL, NULL);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        event = (struct epoll_event){.events = EPOLLIN, .data.fd = client};
        epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        continue;
      }
      char room[4096];
      ssize_t octets = recv(fd, room, sizeof room, 0);
      if (octets <= 0) {
        close(fd);
      } else if (room[0] == 'S') {
        pthread_t thread;
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        pthread_create(&thread, NULL, source, (void *)(long)fd);
        pthread_detach(thread);
      } else if (send(fd, room, octets, MSG_NOSIGNAL) < 0) {
        close(fd);
      }
    }
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void connects(const struct sockaddr_in *to, int count) {
  double *us = calloc(count, sizeof *us);
  struct linger reset = {1, 0};
  for (int i = 0; i < count; i++) {
    char room[64] = "echo";
    double began = now_us();
    int fd = connected(to);
    if (send(fd, room, sizeof room, 0) != sizeof room) fail("send");
    if (recv(fd, room, sizeof room, MSG_WAITALL) != sizeof room) fail("recv");
    us[i] = now_us() - began;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
  qsort(us, count, sizeof *us, ascending);
  printf("%.1f\n", us[count / 2]);
}

static volatile int over;
static long pulled;

static void *pull(void *arg) {
  static __thread char room[1 << 18];
  int fd = (int)(long)arg;
  if (send(fd, "S", 1, 0) != 1) fail("send");
  while (!over) {
    ssize_t octets = recv(fd, room, sizeof room, 0);
    if (octets <= 0) fail("recv");
    __atomic_add_fetch(&pulled, octets, __ATOMIC_RELAXED);
  }
  close(fd);
  return NULL;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]));
  if (argc < 5) return 2;
  struct sockaddr_in to = address(argv[2], atoi(argv[3]));
  if (!strcmp(argv[1], "connects")) {
    connects(&to, atoi(argv[4]));
    return 0;
  }
  int number = argc > 5 ? atoi(argv[5]) : 1;
  pthread_t threads[number];
  for (int i = 0; i < number; i++)
    pthread_create(&threads[i], NULL, pull, (void *)(long)connected(&to));
  usleep(200000);
  double began = now_us();
  long before = pulled;
  usleep(atof(argv[4]) * 1e6);
  double rate = (pulled - before) / (now_us() - began) * 1e6;
  over = 1;
  for (int i = 0; i < number; i++) pthread_join(threads[i], NULL);
  printf("%.0f\n", rate);
  return 0;
}
