// The second door of x86_64: the calls of i386 by `int 0x80`, whose numbers a filter for 64 bits does not know.
#include "attacker.h"
#include <linux/net.h>
#include <sys/ptrace.h>

#define VICTIM stage_number("victim")
static void *low;
static char *put(const void *bytes, size_t length, int offset) {
    if (!low) low = low_memory();
    return memcpy((char *)low + offset, bytes, length);
}
#define STRING(text, offset) (long)put(text, strlen(text) + 1, offset)

ONE(a_getpid, DONE, "abi", "i386: getpid", i386(20, 0, 0, 0, 0, 0) == getpid())
ONE(a_read, READ, "abi", "i386: opening a file", read_fd(i386(5, STRING(at("outside/secret"), 0), O_RDONLY, 0, 0, 0)))
ONE(a_create, FILES, "abi", "i386: making a directory", !i386(39, STRING(at("outside/i386"), 0), 0700, 0, 0, 0))
ONE(a_kill, REACHED, "abi", "i386: a signal", !i386(37, VICTIM, SIGUSR1, 0, 0, 0))
ATTEMPT(a_udp, REACHED, "abi", "i386: UDP by socketcall") {
    unsigned int ask[] = {AF_INET, SOCK_DGRAM, 0};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(stage_number("udp")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = i386(102, SYS_SOCKET, (long)put(ask, sizeof ask, 0), 0, 0, 0);
    return fd >= 0 && sendto(fd, mark(), 4, 0, (void *)&to, sizeof to) == 4;
}
ATTEMPT(a_tcp, REACHED, "abi", "i386: a connect") {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(stage_number("closed")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = i386(359, AF_INET, SOCK_STREAM, 0, 0, 0);
    return fd >= 0 && !i386(362, fd, (long)put(&to, sizeof to, 0), sizeof to, 0, 0) && write(fd, mark(), 4) == 4;
}
ATTEMPT(a_unix, REACHED, "abi", "i386: a unix socket") {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, 108, "%s/outside/stream.sock", stage("dir"));
    int fd = i386(359, AF_UNIX, SOCK_STREAM, 0, 0, 0);
    return fd >= 0 && !connect(fd, (void *)&to, sizeof to) && write(fd, mark(), 4) == 4;
}
ATTEMPT(a_ptrace, DONE, "abi", "i386: tracing") {
    if (i386(26, PTRACE_ATTACH, VICTIM, 0, 0, 0)) return 0;
    waitpid(VICTIM, 0, __WALL);
    return !i386(26, PTRACE_DETACH, VICTIM, 0, 0, 0);
}
ONE(a_unshare, DONE, "abi", "i386: a user namespace", !i386(310, CLONE_NEWUSER, 0, 0, 0, 0))
ATTEMPT(a_clone, DONE, "abi", "i386: clone, whose number is getresgid's in 64 bits") {
    long pid = i386(120, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (!pid) _exit(0);
    return pid > 0;
}
