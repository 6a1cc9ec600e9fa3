/* Sends 23 bytes with send() and 4093 through an io_uring to a listener of its own, then closes. */
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&here, size);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&here, &size);
    connect(out, (struct sockaddr *)&here, size);
    int in = accept(listener, 0, 0);
    static char bytes[4096];
    send(out, bytes, 23, 0);

    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) {
        puts("refused");
        return 0;
    }
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                    IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqe = mmap(0, p.sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE,
                                    MAP_SHARED, ring, IORING_OFF_SQES);
    sqe[0] = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND, .fd = out, .addr = (uintptr_t)bytes, .len = 4093};
    ((uint32_t *)(sq + p.sq_off.array))[0] = 0;
    __atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    close(out);
    long total = 0, got;
    while ((got = recv(in, bytes, sizeof bytes, 0)) > 0) total += got;
    printf("%ld\n", total);
    close(in);
    return 0;
}
