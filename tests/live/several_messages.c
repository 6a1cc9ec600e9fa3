/* Two datagrams in one sendmmsg, read by one recvmmsg that has too little room for the second. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    bind(in, (struct sockaddr *)&here, size);
    getsockname(in, (struct sockaddr *)&here, &size);
    char sent[] = "abcdefgh", got[40];
    struct iovec iov[] = {{sent, 3}, {sent + 3, 5}, {got, 10}, {got + 10, 3}, {got + 20, 10}};
    struct mmsghdr out_list[2] = {{{&here, size, &iov[0], 1}}, {{&here, size, &iov[1], 1}}};
    struct sockaddr_in from[3];
    struct mmsghdr in_list[3] = {
        {{&from[0], size, &iov[2], 1}}, {{&from[1], size, &iov[3], 1}}, {{&from[2], size, &iov[4], 1}}};
    sendmmsg(out, out_list, 2, 0);
    printf("%d\n", recvmmsg(in, in_list, 3, MSG_DONTWAIT, 0));
    return 0;
}
