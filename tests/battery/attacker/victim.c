// The process outside: everything an escape could reach is here, and what reached it is told on standard output.
//
// Commands on standard input: `sync` (all that has arrived was told: `synced`), `state` (one line of what others could have
// changed here), `set` (puts the attributes of the stage's files as they were, then `state`).
#include "attacker.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/xattr.h>

static struct pollfd fds[256];
static const char *names[256];
static int used;
static int shm, msg, sem, inbound;
static mqd_t queue;
static volatile char *memory;
static char tick[600];

static void watch(int fd, const char *name) {
    if (used == 256) return;
    fds[used].fd = fd;
    fds[used].events = POLLIN;
    names[used++] = name;
}

static int unix_socket(int type, const char *path, const char *name) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof to;
    if (path[0] == '@') { strncpy(to.sun_path + 1, path + 1, 100); length = 2 + 1 + strlen(path + 1); }
    else strncpy(to.sun_path, path, 100);
    if (bind(fd, (void *)&to, length)) perror(name);
    if (type != SOCK_DGRAM) listen(fd, 16);
    watch(fd, name);
    return fd;
}

static int inet_socket(int type, const char *name) {
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    socklen_t length = sizeof to;
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0), off = 0, on = 1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (void *)&to, length)) perror(name);
    if (type == SOCK_STREAM) listen(fd, 16);
    getsockname(fd, (void *)&to, &length);
    watch(fd, name);
    return ntohs(to.sin6_port);
}

// The extended attributes of the two files that attempts are made on.
static const char *attributes(void) {
    static char all[256];
    const char *files[] = {"file", "../read/file"}, *keys[] = {"user.kept", "user.battery"};
    all[0] = 0;
    for (int i = 0; i < 4; i++) {
        char value[16] = "";
        ssize_t length = getxattr(files[i / 2], keys[i % 2], value, 15);
        snprintf(all + strlen(all), 32, "[%.*s]", length < 0 ? 0 : (int)length, value);
    }
    return all;
}

static void set_attributes(void) {
    const char *files[] = {"file", "../read/file"};
    for (int i = 0; i < 2; i++) {
        if (setxattr(files[i], "user.kept", "kept", 4, 0)) perror("setxattr");
        removexattr(files[i], "user.battery");
    }
}

static void tell_state(void) {
    struct rlimit nofile;
    struct msqid_ds messages;
    struct mq_attr waiting = {0};
    struct sched_attr_head { unsigned size, policy; unsigned long flags; int nice; unsigned priority; unsigned long r, d, p; unsigned umin, umax; } scheduling = {0};
    cpu_set_t cpus;
    char adjustment[32] = "", filter[32] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY);
    if (read(fd, adjustment, 8) > 0) adjustment[strcspn(adjustment, "\n")] = 0;
    close(fd);
    fd = open("/proc/self/coredump_filter", O_RDONLY);
    if (read(fd, filter, 9) > 0) filter[strcspn(filter, "\n")] = 0;
    close(fd);
    sched_getaffinity(0, sizeof cpus, &cpus);
    getrlimit(RLIMIT_NOFILE, &nofile);
    msgctl(msg, IPC_STAT, &messages);
    mq_getattr(queue, &waiting);
    syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0);
    printf("state nice=%d cpus=%d policy=%d slack=%lu nofile=%ld io=%ld messages=%ld sem=%d queue=%ld oom=%s filter=%s memory=%.8s attributes=%s\n",
           getpriority(PRIO_PROCESS, 0), CPU_COUNT(&cpus), sched_getscheduler(0), scheduling.r, (long)nofile.rlim_cur,
           syscall(SYS_ioprio_get, 1, 0), (long)messages.msg_qnum, semctl(sem, 0, GETVAL), waiting.mq_curmsgs,
           adjustment, filter, memory, attributes());
}

static void handle(int i) {
    char bytes[512] = "";
    if (!strcmp(names[i], "signal")) {
        struct signalfd_siginfo info;
        while (read(fds[i].fd, &info, sizeof info) == sizeof info) printf("reached signal %d\n", info.ssi_signo);
        return;
    }
    int listening = 0;
    socklen_t size = sizeof listening;
    getsockopt(fds[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    if (listening) {
        int fd = accept4(fds[i].fd, 0, 0, SOCK_NONBLOCK);
        if (fd >= 0) { printf("reached %s by a connection\n", names[i]); watch(fd, names[i]); }
        return;
    }
    ssize_t length = recv(fds[i].fd, bytes, sizeof bytes - 1, MSG_DONTWAIT);
    if (length > 0) printf("reached %s with %s\n", names[i], bytes);
    else if (length == 0) { close(fds[i].fd); fds[i].fd = -1; }
}

// Whether somebody listens where nobody should.
static void knock(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(inbound), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!connect(fd, (void *)&to, sizeof to)) printf("reached from outside: a listener inside\n");
    close(fd);
    struct timeval now[2] = {0};
    gettimeofday(now, 0);
    now[1] = now[0];
    utimes(tick, now);
}

static void commands(void) {
    static char line[256];
    static int length;
    char byte;
    while (poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, 0) > 0) {
        if (read(0, &byte, 1) != 1) exit(0);
        if (byte != '\n') { if (length < 255) line[length++] = byte; continue; }
        line[length] = 0;
        length = 0;
        if (!strcmp(line, "state")) tell_state();
        if (!strcmp(line, "set")) { set_attributes(); tell_state(); }
        if (!strcmp(line, "sync")) {
            while (poll(fds + 1, used - 1, 0) > 0)
                for (int i = 1; i < used; i++) if (fds[i].revents) handle(i);
            printf("synced\n");
        }
        fflush(stdout);
    }
}

static pid_t child_in_namespace(void) {
    int ready[2];
    char byte = 0;
    if (pipe(ready)) exit(70);
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        byte = unshare(CLONE_NEWUSER) == 0;
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    if (read(ready[0], &byte, 1) != 1 || !byte) fprintf(stderr, "no user namespaces\n");
    return pid;
}

int victim(const char *dir, const char *secret) {
    char path[600], name[64];
    static char own[64];
    prctl(PR_SET_DUMPABLE, 1);
    setpgid(0, 0);
    // Reads of memory want the secret, writes to it are seen in the first bytes of another place.
    snprintf(own, sizeof own, "%s", secret);
    memory = strdup("untouched");
    snprintf(tick, sizeof tick, "%s/outside/tick", dir);
    close(open(tick, O_CREAT | O_WRONLY, 0644));
    if (chdir(dir) || chdir("outside")) return 70;
    setvbuf(stdout, 0, _IOFBF, 65536);

    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    watch(0, "command");
    watch(signalfd(-1, &all, SFD_NONBLOCK), "signal");
    int closed = inet_socket(SOCK_STREAM, "tcp"), udp = inet_socket(SOCK_DGRAM, "udp");
    // A free port at which nobody listens: this process knocks there.
    struct sockaddr_in free_port = {.sin_family = AF_INET};
    socklen_t length = sizeof free_port;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    bind(probe, (void *)&free_port, length);
    getsockname(probe, (void *)&free_port, &length);
    close(probe);
    inbound = ntohs(free_port.sin_port);
    struct { int type; const char *name; } kinds[] = {{SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}, {SOCK_SEQPACKET, "seqpacket"}};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/outside/%s.sock", dir, kinds[i].name);
        unix_socket(kinds[i].type, path, kinds[i].name);
        snprintf(path, sizeof path, "@portcullis-battery-%d-%s", getpid(), kinds[i].name);
        unix_socket(kinds[i].type, path, "abstract");
    }
    shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    char *shared = shmat(shm, 0, 0);
    strcpy(shared, secret);
    // Gone with this process: marked now, attachable until the last one detaches.
    msg = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    snprintf(name, sizeof name, "/portcullis-battery-%d", getpid());
    queue = mq_open(name, O_CREAT | O_RDWR, 0600, 0);
    int held = memfd_create("held", 0);
    dprintf(held, "%s", secret);
    lseek(held, 0, SEEK_SET);
    snprintf(path, sizeof path, "%s/outside/mapped-%s", dir, secret);
    int mapped = open(path, O_CREAT | O_RDWR, 0600);
    if (ftruncate(mapped, 4096)) return 70;
    mmap(0, 4096, PROT_READ, MAP_SHARED, mapped, 0);
    snprintf(path, sizeof path, "/dev/shm/portcullis-battery-%d", getpid());
    int in_shm = open(path, O_CREAT | O_RDWR, 0600);
    dprintf(in_shm, "%s", secret);

    printf("dir=%s\nsecret=%s\nvictim=%d\ngroup=%d\nmemory=%p\nsecret_at=%p\nclosed=%d\nudp=%d\ninbound=%d\nshm=%d\nmsg=%d\nsem=%d\n"
           "queue=%s\nheld=%d\nnamespaced=%d\nabstract=portcullis-battery-%d-\nin_shm=%s\nready\n",
           dir, secret, getpid(), getpgrp(), memory, own, closed, udp, inbound, shm, msg, sem, name, held,
           child_in_namespace(), getpid(), path);
    fflush(stdout);
    for (;;) {
        if (poll(fds, used, 40) < 0 && errno != EINTR) return 71;
        // Descriptor 0 is first: its end is the end.
        if (fds[0].revents) {
            if (fds[0].revents & POLLHUP && !(fds[0].revents & POLLIN)) break;
            commands();
        }
        for (int i = 1; i < used; i++) if (fds[i].revents) handle(i);
        knock();
        fflush(stdout);
    }
    return 0;
}

// What outlives a process is taken away by hand, however it ends.
__attribute__((destructor)) static void clean(void) {
    char name[64];
    if (!memory) return;
    shmctl(shm, IPC_RMID, 0);
    msgctl(msg, IPC_RMID, 0);
    semctl(sem, 0, IPC_RMID);
    snprintf(name, sizeof name, "/portcullis-battery-%d", getpid());
    mq_unlink(name);
    snprintf(name, sizeof name, "/dev/shm/portcullis-battery-%d", getpid());
    unlink(name);
}
