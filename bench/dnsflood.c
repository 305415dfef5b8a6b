/* dnsflood: a UDP DNS load generator for loopback, cheap enough to saturate a server on one core.
 * It keeps a window of pending queries on each of several sockets, with sendmmsg and recvmmsg.
 *
 *   gcc -O2 -o dnsflood dnsflood.c
 *   dnsflood PORT QUERYFILE SECONDS [SOCKETS=4] [WINDOW=64]
 *
 * QUERYFILE has a line "name TYPE" for each question; dnsflood repeats them in order. Prints one line of key=value pairs:
 * qps, answered, lost, noerror, nxdomain, refused, servfail, tc, avgbytes, and cpu, its own CPU time in microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_QUESTIONS = 200000, MAX_SOCKETS = 64, MAX_WINDOW = 1024, MAX_MESSAGE = 1500 };
static const double LOST_AFTER_SECONDS = 0.2;

static struct { unsigned char *bytes; int length; } questions[MAX_QUESTIONS];
static int question_count, next_question;
static unsigned short next_id;

static struct { int fd, outstanding; double last_answer; } sockets[MAX_SOCKETS];

static struct mmsghdr out[MAX_WINDOW], in[MAX_WINDOW];
static struct iovec out_parts[MAX_WINDOW], in_parts[MAX_WINDOW];
static unsigned char in_bytes[MAX_WINDOW][MAX_MESSAGE];

static long answered, lost, truncated, octets, rcodes[16];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int type_of(const char *text) {
  static const struct { const char *name; int number; } types[] = {
    {"A", 1}, {"NS", 2}, {"CNAME", 5}, {"SOA", 6}, {"PTR", 12}, {"MX", 15}, {"TXT", 16}, {"AAAA", 28}, {"SRV", 33}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!strcasecmp(text, types[i].name)) return types[i].number;
  return atoi(text);
}

static void add_question(const char *name, int type) {
  unsigned char message[600] = {0};
  int n = 12;
  message[2] = 1; /* RD */
  message[5] = 1; /* QDCOUNT */
  while (*name) {
    int length = strcspn(name, ".");
    if (length > 0 && length < 64) {
      message[n++] = length;
      memcpy(message + n, name, length);
      n += length;
    }
    name += length + (name[length] == '.');
  }
  n++; /* the root label */
  message[n++] = type >> 8;
  message[n++] = type;
  n++;
  message[n++] = 1; /* class IN */
  questions[question_count].bytes = memcpy(malloc(n), message, n);
  questions[question_count++].length = n;
}

static int read_questions(const char *path) {
  char line[600], name[256], type[32];
  FILE *file = fopen(path, "r");
  if (!file) return perror(path), 0;
  while (question_count < MAX_QUESTIONS && fgets(line, sizeof line, file))
    if (sscanf(line, "%255s %31s", name, type) == 2) add_question(name, type_of(type));
  fclose(file);
  return question_count;
}

static int open_socket(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (connect(fd, (void *)&to, sizeof to)) return perror("connect"), exit(2), -1;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void send_queries(int s, int count) {
  for (int i = 0; i < count; i++) {
    unsigned char *message = questions[next_question].bytes;
    message[0] = next_id >> 8;
    message[1] = next_id++;
    out_parts[i] = (struct iovec){message, questions[next_question].length};
    next_question = (next_question + 1) % question_count;
  }
  int sent = sendmmsg(sockets[s].fd, out, count, 0);
  if (sent > 0) sockets[s].outstanding += sent;
}

static void receive_replies(int s, double time) {
  int count = recvmmsg(sockets[s].fd, in, MAX_WINDOW, MSG_DONTWAIT, NULL);
  if (count > 0) {
    sockets[s].last_answer = time;
    sockets[s].outstanding -= count < sockets[s].outstanding ? count : sockets[s].outstanding;
    answered += count;
    for (int i = 0; i < count; i++) {
      rcodes[in_bytes[i][3] & 15]++;
      truncated += in_bytes[i][2] >> 1 & 1;
      octets += in[i].msg_len;
    }
  } else if (sockets[s].outstanding && time - sockets[s].last_answer > LOST_AFTER_SECONDS) {
    lost += sockets[s].outstanding;
    sockets[s].outstanding = 0;
    sockets[s].last_answer = time;
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: dnsflood PORT QUERYFILE SECONDS [SOCKETS] [WINDOW]\n"), 2;
  int socket_count = argc > 4 ? atoi(argv[4]) : 4, window = argc > 5 ? atoi(argv[5]) : 64;
  if (socket_count < 1 || socket_count > MAX_SOCKETS || window < 1 || window > MAX_WINDOW) return 2;
  if (!read_questions(argv[2])) return 2;

  struct pollfd polled[MAX_SOCKETS];
  double start = now();
  for (int s = 0; s < socket_count; s++) {
    sockets[s].fd = open_socket(atoi(argv[1]));
    sockets[s].last_answer = start;
    polled[s] = (struct pollfd){.fd = sockets[s].fd, .events = POLLIN};
  }
  for (int i = 0; i < MAX_WINDOW; i++) {
    in_parts[i] = (struct iovec){in_bytes[i], MAX_MESSAGE};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
    out[i].msg_hdr = (struct msghdr){.msg_iov = &out_parts[i], .msg_iovlen = 1};
  }

  double end = start + atof(argv[3]);
  for (double time = start; time < end; time = now()) {
    for (int s = 0; s < socket_count; s++) {
      int room = window - sockets[s].outstanding;
      if (room >= (window + 3) / 4) send_queries(s, room);
      receive_replies(s, time);
    }
    poll(polled, socket_count, 1);
  }
  printf("qps=%.0f answered=%ld lost=%ld noerror=%ld nxdomain=%ld refused=%ld servfail=%ld tc=%ld avgbytes=%.0f cpu=%.0f\n",
         answered / (now() - start), answered, lost, rcodes[0], rcodes[3], rcodes[5], rcodes[2], truncated,
         answered ? (double)octets / answered : 0.0, clock() * 1e6 / CLOCKS_PER_SEC);
  return answered ? 0 : 1;
}
