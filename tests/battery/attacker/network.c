// The network: sockets of other families and protocols, ports that are not granted, and ways past the rules for ports.
#include "attacker.h"
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>

static struct sockaddr_in v4(const char *port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(stage_number(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static struct sockaddr_in6 v6(const char *port) {
    return (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(stage_number(port)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}
static struct sockaddr_in6 mapped(const char *port) {
    struct sockaddr_in6 to = v6(port);
    to.sin6_addr = (struct in6_addr){{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}}};
    return to;
}
static int tell(int fd, void *to, socklen_t length) {
    return fd >= 0 && !connect(fd, to, length) && write(fd, mark(), 4) == 4;
}
#define TO(address) ({ static __typeof__(address) a; a = address; (void *)&a; }), sizeof(address)

ONE(t_connect, REACHED, "ports", "TCP to a port that is not granted", tell(socket(AF_INET, SOCK_STREAM, 0), TO(v4("closed"))))
ONE(t_connect6, REACHED, "ports", "the same by IPv6", tell(socket(AF_INET6, SOCK_STREAM, 0), TO(v6("closed"))))
ONE(t_mapped, REACHED, "ports", "the same by an address of IPv4 in IPv6", tell(socket(AF_INET6, SOCK_STREAM, 0), TO(mapped("closed"))))
ONE(t_proto, REACHED, "ports", "the same with the protocol named", tell(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), TO(v4("closed"))))
ATTEMPT(t_nonblocking, REACHED, "ports", "a connect that does not wait") {
    struct sockaddr_in to = v4("closed");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS) return 0;
    poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 2000);
    return !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) && !error && write(fd, mark(), 4) == 4;
}
static int fastopen(int family, int protocol, void *to, socklen_t length, long flags) {
    int fd = socket(family, SOCK_STREAM, protocol);
    return fd >= 0 && CALL(SYS_sendto, fd, mark(), 4, flags, to, length) == 4;
}
ONE(t_fastopen, REACHED, "ports", "sendto with MSG_FASTOPEN", fastopen(AF_INET, 0, TO(v4("closed")), MSG_FASTOPEN))
ONE(t_fastopen6, REACHED, "ports", "sendto with MSG_FASTOPEN by IPv6", fastopen(AF_INET6, 0, TO(v6("closed")), MSG_FASTOPEN))
ONE(t_fastopenmore, REACHED, "ports", "sendto with MSG_FASTOPEN among other flags", fastopen(AF_INET, 0, TO(v4("closed")), MSG_FASTOPEN | MSG_NOSIGNAL))
ONE(t_fastopenhigh, REACHED, "ports", "sendto with MSG_FASTOPEN and a bit that the kernel does not read", fastopen(AF_INET, 0, TO(v4("closed")), HIGH(MSG_FASTOPEN)))
static struct msghdr message(void *to, socklen_t length) {
    static struct iovec part;
    part = (struct iovec){(void *)mark(), 4};
    return (struct msghdr){.msg_name = to, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};
}
ATTEMPT(t_sendmsg, REACHED, "ports", "sendmsg with MSG_FASTOPEN") {
    struct msghdr m = message(TO(v4("closed")));
    return sendmsg(socket(AF_INET, SOCK_STREAM, 0), &m, MSG_FASTOPEN) == 4;
}
ATTEMPT(t_sendmmsg, REACHED, "ports", "sendmmsg with MSG_FASTOPEN") {
    struct mmsghdr m = {.msg_hdr = message(TO(v4("closed")))};
    return sendmmsg(socket(AF_INET, SOCK_STREAM, 0), &m, 1, MSG_FASTOPEN) == 1;
}
static int connect_later(long level, long name) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    return fd >= 0 && !CALL(SYS_setsockopt, fd, level, name, &on, sizeof on) && tell(fd, TO(v4("closed")));
}
ONE(t_later, REACHED, "ports", "TCP_FASTOPEN_CONNECT", connect_later(IPPROTO_TCP, TCP_FASTOPEN_CONNECT))
ONE(t_laterhigh, REACHED, "ports", "TCP_FASTOPEN_CONNECT with bits that the kernel does not read", connect_later(HIGH(IPPROTO_TCP), HIGH(TCP_FASTOPEN_CONNECT)))
ONE(t_mptcp, REACHED, "protocols", "MPTCP", tell(socket(AF_INET, SOCK_STREAM, 262), TO(v4("closed"))))
ONE(t_mptcp6, REACHED, "protocols", "MPTCP by IPv6", tell(socket(AF_INET6, SOCK_STREAM, 262), TO(v6("closed"))))
ONE(t_mptcpfast, REACHED, "protocols", "MPTCP with MSG_FASTOPEN", fastopen(AF_INET, 262, TO(v4("closed")), MSG_FASTOPEN))
ONE(t_mptcphigh, REACHED, "protocols", "MPTCP and a bit that the kernel does not read", tell(CALL(SYS_socket, (long)AF_INET, (long)SOCK_STREAM, HIGH(262)), TO(v4("closed"))))
ATTEMPT(u_sendto, REACHED, "protocols", "UDP by sendto") {
    struct sockaddr_in to = v4("udp");
    return sendto(socket(AF_INET, SOCK_DGRAM, 0), mark(), 4, 0, (void *)&to, sizeof to) == 4;
}
ONE(u_connect, REACHED, "protocols", "UDP by connect", tell(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), TO(v4("udp"))))
ONE(u_six, REACHED, "protocols", "UDP by IPv6", tell(socket(AF_INET6, SOCK_DGRAM, 0), TO(v6("udp"))))
ONE(u_high, REACHED, "protocols", "UDP and a bit that the kernel does not read", tell(CALL(SYS_socket, HIGH(AF_INET), HIGH(SOCK_DGRAM), 0L), TO(v4("udp"))))
ONE(u_cloexec, REACHED, "protocols", "UDP with SOCK_CLOEXEC", tell(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), TO(v4("udp"))))
ATTEMPT(u_sendmmsg, REACHED, "protocols", "UDP by sendmmsg") {
    struct mmsghdr m = {.msg_hdr = message(TO(v4("udp")))};
    return sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), &m, 1, 0) == 1;
}

static int unix_to(int type, const char *name, int abstract) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    socklen_t length = sizeof to;
    if (abstract) length = 3 + snprintf(to.sun_path + 1, 100, "%s%s", stage("abstract"), name);
    else snprintf(to.sun_path, 108, "%s/outside/%s.sock", stage("dir"), name);
    return tell(socket(AF_UNIX, type, 0), &to, length);
}
ONE(n_stream, REACHED, "unix sockets", "a stream to a path", unix_to(SOCK_STREAM, "stream", 0))
ONE(n_dgram, REACHED, "unix sockets", "a datagram to a path", unix_to(SOCK_DGRAM, "dgram", 0))
ONE(n_seq, REACHED, "unix sockets", "a packet to a path", unix_to(SOCK_SEQPACKET, "seqpacket", 0))
ONE(n_astream, REACHED, "unix sockets", "a stream to an abstract name", unix_to(SOCK_STREAM, "stream", 1))
ONE(n_adgram, REACHED, "unix sockets", "a datagram to an abstract name", unix_to(SOCK_DGRAM, "dgram", 1))
ONE(n_aseq, REACHED, "unix sockets", "a packet to an abstract name", unix_to(SOCK_SEQPACKET, "seqpacket", 1))
ONE(n_high, REACHED, "unix sockets", "a family with a bit that the kernel does not read", ({
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, 108, "%s/outside/stream.sock", stage("dir"));
    tell(CALL(SYS_socket, HIGH(AF_UNIX), (long)SOCK_STREAM, 0L), &to, sizeof to);
}))
static int from_pair(int type, int connected) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int pair[2];
    snprintf(to.sun_path, 108, "%s/outside/dgram.sock", stage("dir"));
    if (socketpair(AF_UNIX, type, 0, pair)) return 0;
    if (connected) return tell(pair[0], &to, sizeof to);
    return sendto(pair[0], mark(), 4, 0, (void *)&to, sizeof to) == 4;
}
ONE(n_pair, REACHED, "unix sockets", "one of a pair of datagram sockets", from_pair(SOCK_DGRAM, 0))
ONE(n_pairconnect, REACHED, "unix sockets", "one of a pair, connected anew", from_pair(SOCK_DGRAM, 1))
ONE(n_pairraw, REACHED, "unix sockets", "one of a pair of type raw", from_pair(SOCK_RAW, 0))

static int listen_at(int family, void *at_, socklen_t length, int reuse) {
    int fd = socket(family, SOCK_STREAM, 0), on = 1;
    if (reuse) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    else setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return at_ && bind(fd, at_, length) ? -1 : listen(fd, 4) ? -1 : fd;
}
static int heard(int fd) {
    return fd >= 0 && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 2000) > 0 && accept(fd, 0, 0) >= 0;
}
ONE(l_bind, REACHED, "listening", "a port that is not granted", heard(listen_at(AF_INET, TO(v4("inbound")), 0)))
ONE(l_bind6, REACHED, "listening", "the same by an address of IPv4 in IPv6", heard(listen_at(AF_INET6, TO(mapped("inbound")), 0)))
ONE(l_steal, DONE, "listening", "beside another's listener, by SO_REUSEPORT", listen_at(AF_INET6, TO(((struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(stage_number("closed"))})), 1) + 1)
ATTEMPT(l_unbound, DONE, "listening", "without a bind, at a port of the kernel's choice") {
    struct sockaddr_in own = {0};
    socklen_t length = sizeof own;
    int fd = listen_at(AF_INET, 0, 0, 0);
    return fd >= 0 && !getsockname(fd, (void *)&own, &length) && own.sin_port;
}
ATTEMPT(l_udp, DONE, "listening", "UDP") {
    struct sockaddr_in own = v4("inbound");
    return !bind(socket(AF_INET, SOCK_DGRAM, 0), (void *)&own, sizeof own);
}

static int netlink(int protocol, int type, int size) {
    struct { struct nlmsghdr head; char body[128]; } ask = {.head = {.nlmsg_len = NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    char bytes[8192];
    int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
    if (protocol == NETLINK_SOCK_DIAG) ask.body[0] = AF_INET, ask.body[1] = IPPROTO_TCP, memset(ask.body + 4, 0xff, 4);
    return fd >= 0 && send(fd, &ask, ask.head.nlmsg_len, 0) > 0 && recv(fd, bytes, sizeof bytes, 0) > 40;
}
ONE(k_route, DONE, "families", "netlink: the machine's addresses", netlink(NETLINK_ROUTE, RTM_GETADDR, 8))
ONE(k_diag, DONE, "families", "netlink: the machine's sockets", netlink(NETLINK_SOCK_DIAG, 20, 56))
ATTEMPT(k_uevent, DONE, "families", "netlink: the machine's devices") {
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = 1};
    return !bind(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT), (void *)&own, sizeof own);
}
ONE(k_xfrm, DONE, "families", "netlink: IPsec", socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM) + 1)
ATTEMPT(k_vsock, DONE, "families", "vsock: the machine's host") {
    struct sockaddr_vm own = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    return !bind(fd, (void *)&own, sizeof own) && !listen(fd, 1);
}
ONE(k_vsockd, DONE, "families", "vsock datagrams", socket(AF_VSOCK, SOCK_DGRAM, 0) + 1)
static int packet(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNET) ? 0 : socket(AF_PACKET, SOCK_RAW, htons(3)) + 1; }
static int raw(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNET) ? 0 : socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) + 1; }
ONE(k_packet, DONE, "families", "raw frames in a network of its own", packet())
ONE(k_raw, DONE, "families", "raw IP in a network of its own", raw())

// io_uring: a call for which no filter sees the calls it makes.
struct ring { int fd; struct io_uring_params p; char *sq, *cq; struct io_uring_sqe *sqes; };
static int ring_open(struct ring *r) {
    memset(r, 0, sizeof *r);
    r->fd = CALL(SYS_io_uring_setup, 8, &r->p);
    if (r->fd < 0) return 0;
    r->sq = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
    r->cq = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
    if (r->sq == MAP_FAILED) {
        size_t size = r->p.sq_off.array + r->p.sq_entries * 4, other = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
        r->sq = mmap(0, size > other ? size : other, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
        r->cq = r->sq;
    }
    r->sqes = mmap(0, r->p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
    return r->sq != MAP_FAILED && r->sqes != MAP_FAILED;
}
static int ring_do(struct ring *r, struct io_uring_sqe sqe) {
    unsigned *tail = (unsigned *)(r->sq + r->p.sq_off.tail), mask = *(unsigned *)(r->sq + r->p.sq_off.ring_mask);
    r->sqes[*tail & mask] = sqe;
    ((unsigned *)(r->sq + r->p.sq_off.array))[*tail & mask] = *tail & mask;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (CALL(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) return -1;
    unsigned *head = (unsigned *)(r->cq + r->p.cq_off.head);
    struct io_uring_cqe *cqe = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes) + (*head & (r->p.cq_entries - 1));
    int result = cqe->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    if (result < 0) errno = -result;
    return result;
}
ATTEMPT(o_open, READ, "io_uring", "opening a file") {
    struct ring r;
    if (!ring_open(&r)) return 0;
    int fd = ring_do(&r, (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)at("outside/secret"), .open_flags = O_RDONLY});
    return read_fd(fd);
}
ATTEMPT(o_connect, REACHED, "io_uring", "connecting to a port") {
    struct ring r;
    struct sockaddr_in to = v4("closed");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return ring_open(&r) && !ring_do(&r, (struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (unsigned long)&to, .off = sizeof to}) && write(fd, mark(), 4) == 4;
}
ATTEMPT(o_fastopen, REACHED, "io_uring", "a message with MSG_FASTOPEN") {
    struct ring r;
    struct msghdr m = message(TO(v4("closed")));
    // The message leaves with the connection's first packet: what comes back may be EINPROGRESS.
    return ring_open(&r) && (errno = 0, ring_do(&r, (struct io_uring_sqe){.opcode = IORING_OP_SENDMSG, .fd = socket(AF_INET, SOCK_STREAM, 0), .addr = (unsigned long)&m, .len = 1, .msg_flags = MSG_FASTOPEN}) >= 0 || errno == EINPROGRESS);
}
ATTEMPT(o_socket, REACHED, "io_uring", "a unix socket") {
    struct ring r;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, 108, "%s/outside/stream.sock", stage("dir"));
    return ring_open(&r) && tell(ring_do(&r, (struct io_uring_sqe){.opcode = IORING_OP_SOCKET, .fd = AF_UNIX, .off = SOCK_STREAM}), &to, sizeof to);
}
ATTEMPT(o_write, FILES, "io_uring", "making a directory") {
    struct ring r;
    return ring_open(&r) && !ring_do(&r, (struct io_uring_sqe){.opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = (unsigned long)at("outside/ring"), .len = 0700});
}
