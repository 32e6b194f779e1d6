// What honest programs do: none of it may break in the cage.
#include "attacker.h"
#include <dirent.h>
#include <linux/membarrier.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

#define DOES(id, text, expression) ONE(id, HONEST, "honest", text, expression)
#define OWN at("data/own")
static int own(void) { return open(OWN, O_CREAT | O_RDWR, 0600); }
static volatile sig_atomic_t caught;
static void catch(int signal) { caught = signal; }
static int nothing(void) { return 1; }
static int session(void) { return setsid() > 0; }
static void *one(void *argument) { return argument; }

DOES(h_thread, "a thread", ({ pthread_t t; void *back; !pthread_create(&t, 0, one, (void *)1) && !pthread_join(t, &back) && back; }))
DOES(h_mutex, "a lock and a condition that times out", ({
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; pthread_cond_t c = PTHREAD_COND_INITIALIZER; struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t); t.tv_nsec += 1000; pthread_mutex_lock(&m); pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT; }))
DOES(h_semaphore, "a semaphore between processes in shared memory", ({
    sem_t *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); sem_init(s, 1, 0);
    pid_t p = fork(); if (!p) { sem_post(s); _exit(0); } !sem_wait(s) && waitpid(p, 0, 0) == p; }))
DOES(h_fork, "fork and wait", in_child(nothing))
DOES(h_vfork, "vfork and execve", ({ pid_t p = vfork(); if (!p) { execl("/bin/true", "true", (char *)0); _exit(1); } int s; waitpid(p, &s, 0) == p && !s; }))
DOES(h_spawn, "posix_spawn by PATH", ({ pid_t p; int s; char *v[] = {"true", 0}; !posix_spawnp(&p, "true", 0, 0, v, 0) && waitpid(p, &s, 0) == p && !s; }))
DOES(h_shell, "system()", system("test $((1+1)) = 2") == 0)
DOES(h_popen, "popen()", ({ char b[16] = ""; FILE *f = popen("echo hello", "r"); fgets(b, 16, f) && !pclose(f) && !strcmp(b, "hello\n"); }))
DOES(h_waitid, "waitid by a pidfd", ({ pid_t p = fork(); if (!p) _exit(3); siginfo_t i; !waitid(P_PIDFD, CALL(SYS_pidfd_open, p, 0), &i, WEXITED) && i.si_status == 3; }))
DOES(h_kill, "a signal to its child", ({ int s; pid_t p = fork(); if (!p) for (;;) pause(); kill(p, SIGTERM); waitpid(p, &s, 0) == p && WTERMSIG(s) == SIGTERM; }))
DOES(h_group, "a process group and a signal to it", ({ int s; pid_t p = fork(); if (!p) { setpgid(0, 0); for (;;) pause(); } setpgid(p, p); usleep(1000); kill(-p, SIGKILL); waitpid(p, &s, 0) == p; }))
DOES(h_session, "a session of its own", in_child(session))
DOES(h_handler, "a handler", ({ signal(SIGUSR1, catch); raise(SIGUSR1); caught == SIGUSR1; }))
DOES(h_altstack, "a handler on its own stack", ({ stack_t s = {.ss_sp = malloc(65536), .ss_size = 65536}; struct sigaction a = {.sa_handler = catch, .sa_flags = SA_ONSTACK}; !sigaltstack(&s, 0) && !sigaction(SIGUSR2, &a, 0) && !raise(SIGUSR2) && caught == SIGUSR2; }))
DOES(h_alarm, "an interval timer", ({ struct itimerval t = {.it_value = {0, 2000}}; signal(SIGALRM, catch); setitimer(ITIMER_REAL, &t, 0); pause(); caught == SIGALRM; }))
DOES(h_timer, "a POSIX timer", ({ timer_t t; struct itimerspec w = {.it_value = {0, 1000000}}; struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; caught = 0; signal(SIGUSR1, catch); !timer_create(CLOCK_MONOTONIC, &e, &t) && !timer_settime(t, 0, &w, 0) && (pause(), caught == SIGUSR1); }))
DOES(h_timerfd, "a timer's descriptor", ({ unsigned long n; struct itimerspec w = {.it_value = {0, 1000000}}; int f = timerfd_create(CLOCK_MONOTONIC, 0); !timerfd_settime(f, 0, &w, 0) && read(f, &n, 8) == 8; }))
DOES(h_signalfd, "a signal's descriptor", ({ sigset_t s; struct signalfd_siginfo i; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0); int f = signalfd(-1, &s, 0); raise(SIGUSR1); read(f, &i, sizeof i) == sizeof i; }))
DOES(h_eventfd, "an event's descriptor", ({ unsigned long n = 1; int f = eventfd(0, 0); write(f, &n, 8) == 8 && read(f, &n, 8) == 8; }))
DOES(h_epoll, "epoll", ({ int e = epoll_create1(0), p[2]; struct epoll_event v = {.events = EPOLLIN}; pipe(p) + epoll_ctl(e, EPOLL_CTL_ADD, p[0], &v) == 0 && write(p[1], "x", 1) == 1 && epoll_wait(e, &v, 1, 1000) == 1; }))
DOES(h_select, "select", ({ int p[2]; fd_set s; FD_ZERO(&s); pipe(p); FD_SET(p[0], &s); struct timeval t = {1, 0}; write(p[1], "x", 1) == 1 && select(p[0] + 1, &s, 0, 0, &t) == 1; }))
DOES(h_poll, "poll", ({ int p[2]; !pipe(p) && write(p[1], "x", 1) == 1 && poll(&(struct pollfd){p[0], POLLIN, 0}, 1, 1000) == 1; }))
DOES(h_pipe, "a larger pipe", ({ int p[2]; !pipe2(p, O_CLOEXEC) && fcntl(p[0], F_SETPIPE_SZ, 1 << 17) >= 1 << 17; }))
DOES(h_splice, "splice and tee", ({ int p[2], q[2]; !pipe(p) && !pipe(q) && write(p[1], "ab", 2) == 2 && tee(p[0], q[1], 2, 0) == 2 && splice(p[0], 0, q[1], 0, 2, 0) == 2; }))
DOES(h_jit, "code that it makes itself", ({ unsigned char *c = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); memcpy(c, "\xb8\x4d\0\0\0\xc3", 6); !mprotect(c, 4096, PROT_READ | PROT_EXEC) && ((int (*)(void))c)() == 77; }))
DOES(h_memory, "memory grown, advised, given back", ({ char *m = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); m[0] = 1; m = mremap(m, 1 << 20, 1 << 21, MREMAP_MAYMOVE); m != MAP_FAILED && !madvise(m, 1 << 21, MADV_DONTNEED) && !munmap(m, 1 << 21); }))
DOES(h_mlock, "memory locked", ({ char m[64]; !mlock(m, 64) && !munlock(m, 64); }))
DOES(h_memfd, "a file in memory that is not executable", ({ int f = memfd_create("data", MFD_ALLOW_SEALING | 8); f >= 0 && write(f, "x", 1) == 1 && !fcntl(f, F_ADD_SEALS, F_SEAL_WRITE); }))
DOES(h_barrier, "membarrier", CALL(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0)
DOES(h_write, "a file written and read", ({ char b[4]; int f = own(); write(f, "abcd", 4) == 4 && pread(f, b, 4, 0) == 4 && !memcmp(b, "abcd", 4); }))
DOES(h_vector, "vectors written and read", ({ char b[4]; struct iovec v[2] = {{"ab", 2}, {"cd", 2}}, r = {b, 4}; int f = own(); pwritev(f, v, 2, 0) == 4 && preadv(f, &r, 1, 0) == 4; }))
DOES(h_append, "a log appended to and synced", ({ int f = open(OWN, O_CREAT | O_APPEND | O_WRONLY, 0600); write(f, "x", 1) == 1 && !fsync(f) && !fdatasync(f); }))
DOES(h_allocate, "room reserved, a file cut", ({ int f = own(); !posix_fallocate(f, 0, 8192) && !ftruncate(f, 16) && !truncate(OWN, 8); }))
DOES(h_locks, "a file locked in three ways", ({ int f = own(); struct flock l = {.l_type = F_WRLCK}; !flock(f, LOCK_EX) && !fcntl(f, F_SETLK, &l) && (l.l_type = F_UNLCK, !fcntl(f, F_SETLK, &l)) && (l.l_type = F_WRLCK, !fcntl(f, F_OFD_SETLK, &l)); }))
DOES(h_replace, "a file replaced by rename", ({ int f = open(at("data/next"), O_CREAT | O_WRONLY, 0600); write(f, "x", 1) == 1 && !rename(at("data/next"), OWN); }))
DOES(h_between, "a file moved to another directory", ({ mkdir(at("data/sub"), 0700); close(own()); !rename(OWN, at("data/sub/moved")) && !unlink(at("data/sub/moved")) && !rmdir(at("data/sub")); }))
DOES(h_links, "links", ({ close(own()); char b[8]; !link(OWN, at("data/l1")) && !symlink("own", at("data/l2")) && readlink(at("data/l2"), b, 8) == 3 && !unlink(at("data/l1")) && !unlink(at("data/l2")); }))
DOES(h_fifo, "a fifo", !mkfifo(at("data/fifo"), 0600) && !unlink(at("data/fifo")))
DOES(h_temporary, "a temporary file", ({ char p[600]; snprintf(p, 600, "%s", at("data/XXXXXX")); int f = mkstemp(p); f >= 0 && !unlink(p); }))
DOES(h_copy, "a file copied by the kernel", ({ int f = own(), t = open(at("data/copy"), O_CREAT | O_WRONLY, 0600); ftruncate(f, 4) || copy_file_range(f, &(off_t){0}, t, 0, 4, 0) == 4; }))
DOES(h_send, "sendfile", ({ int f = own(), p[2]; off_t o = 0; ftruncate(f, 4) || pipe(p) || sendfile(p[1], f, &o, 4) == 4; }))
DOES(h_stat, "stat, access, statfs", ({ struct stat s; struct statfs t; close(own()); !stat(OWN, &s) && !access(OWN, R_OK) && !statfs(OWN, &t); }))
DOES(h_mode, "the mode and times of its own file", ({ close(own()); !chmod(OWN, 0640) && !utime(OWN, 0); }))
DOES(h_map, "a file mapped and synced", ({ int f = own(); ftruncate(f, 4096); char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0); m != MAP_FAILED && (m[0] = 1) && !msync(m, 4096, MS_SYNC); }))
DOES(h_list, "a directory listed", ({ DIR *d = opendir(at("read")); d && readdir(d) && !closedir(d); }))
DOES(h_read, "a file of a read grant", ({ char b[4]; read(open(at("read/file"), O_RDONLY), b, 4) > 0; }))
DOES(h_cwd, "another working directory", ({ char b[600]; !chdir(at("data")) && getcwd(b, 600) && !strcmp(b, at("data")); }))
DOES(h_watch, "its own directory watched", ({ int i = inotify_init1(0); inotify_add_watch(i, at("data"), IN_CREATE) >= 0; }))
DOES(h_null, "/dev/null, /dev/zero, /dev/urandom", ({ char b; write(open("/dev/null", O_WRONLY), "x", 1) == 1 && read(open("/dev/zero", O_RDONLY), &b, 1) == 1 && read(open("/dev/urandom", O_RDONLY), &b, 1) == 1; }))
DOES(h_proc, "/proc/self/status and /proc/cpuinfo", ({ char b[64]; read(open("/proc/self/status", O_RDONLY), b, 64) > 0 && read(open("/proc/cpuinfo", O_RDONLY), b, 64) > 0; }))
DOES(h_random, "getrandom", ({ char b[16]; getrandom(b, 16, 0) == 16; }))
DOES(h_clock, "clocks and a sleep", ({ struct timespec t; !clock_gettime(CLOCK_MONOTONIC, &t) && !clock_getres(CLOCK_REALTIME, &t) && !clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000}, 0); }))
DOES(h_who, "who it is", ({ gid_t g[64]; getuid() == geteuid() && getgroups(64, g) >= 0 && (CALL(SYS_getresuid, g, g + 1, g + 2) == 0); }))
DOES(h_machine, "what the machine is", ({ struct utsname u; struct sysinfo s; !uname(&u) && !sysinfo(&s) && sysconf(_SC_NPROCESSORS_ONLN) > 0; }))
DOES(h_usage, "its use and its limits", ({ struct rusage u; struct rlimit l; !getrusage(RUSAGE_SELF, &u) && !getrlimit(RLIMIT_NOFILE, &l) && (l.rlim_cur--, !setrlimit(RLIMIT_NOFILE, &l)); }))
DOES(h_nice, "its own priority and processors", ({ cpu_set_t c; !setpriority(PRIO_PROCESS, 0, 1) && !sched_getaffinity(0, sizeof c, &c) && !sched_setaffinity(0, sizeof c, &c) && !sched_yield(); }))
DOES(h_name, "its own name", !prctl(PR_SET_NAME, "named"))
DOES(h_fds, "descriptors copied and closed", ({ int f = dup(0); f > 0 && dup2(f, 90) == 90 && dup3(f, 91, O_CLOEXEC) == 91 && !close_range(90, 91, 0); }))
DOES(h_pair, "a socket pair", ({ int p[2]; char b; !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) && write(p[0], "x", 1) == 1 && read(p[1], &b, 1) == 1; }))
DOES(h_passed, "a descriptor passed over a pair", ({
    int p[2]; char room[CMSG_SPACE(4)]; struct iovec v = {"x", 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    socketpair(AF_UNIX, SOCK_STREAM, 0, p); struct cmsghdr *c = CMSG_FIRSTHDR(&m); c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(4); *(int *)CMSG_DATA(c) = 0; sendmsg(p[0], &m, 0) == 1; }))
static int granted(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(stage_number("granted")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (void *)&to, sizeof to) ? -1 : fd;
}
DOES(h_tcp, "TCP to a granted port", ({ char b[4]; int f = granted(); send(f, "abc\n", 4, MSG_NOSIGNAL) == 4 && recv(f, b, 4, MSG_WAITALL) == 4; }))
DOES(h_options, "its options", ({ int f = granted(), on = 1; !setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &on, 4) && !setsockopt(f, SOL_SOCKET, SO_KEEPALIVE, &on, 4) && !getsockopt(f, SOL_SOCKET, SO_ERROR, &on, &(socklen_t){4}) && !shutdown(f, SHUT_RDWR); }))
DOES(h_msg, "sendmsg and recvmsg", ({ char b[4]; struct iovec v = {"abc\n", 4}, r = {b, 4}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}, n = {.msg_iov = &r, .msg_iovlen = 1}; int f = granted(); sendmsg(f, &m, 0) == 4 && recvmsg(f, &n, MSG_WAITALL) == 4; }))
DOES(h_async, "a connect that does not wait", ({ int f = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(stage_number("granted")), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}; (!connect(f, (void *)&to, sizeof to) || errno == EINPROGRESS) && poll(&(struct pollfd){f, POLLOUT, 0}, 1, 1000) == 1; }))
DOES(h_size, "the terminal asked for its size and settings", ({ struct winsize w; char t[64]; !ioctl(2, TIOCGWINSZ, &w) && !ioctl(2, TCGETS, t); }))
