/* gai NAME: prints the number of addresses that the C library's getaddrinfo returns for a name; exits with 1 if none. */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
  int problem = getaddrinfo(argc > 1 ? argv[1] : "", NULL, &hints, &found);
  if (problem != 0) {
    puts(gai_strerror(problem));
    return 1;
  }
  int count = 0;
  for (; found != NULL; found = found->ai_next) count++;
  printf("%d\n", count);
  return 0;
}
