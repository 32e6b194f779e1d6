// Makes calls that the filter denies: `storm` from several processes while it waits for signals, `thread` from a thread,
// `foreign` by the door of another architecture, `each` one of each kind.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *traces(void *name) {
    prctl(PR_SET_NAME, name);
    ptrace(PTRACE_ATTACH, getppid(), 0, 0);
    return 0;
}

static int storm(void) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, 0);
    for (int i = 0; i < 4; i++)
        if (!fork()) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            // Each socket's protocol is another, so that kinds are invented as well.
            for (int n = 0;; n++) n % 8 ? syscall(SYS_ptrace, 0, 0, 0, 0) : syscall(SYS_socket, AF_INET, SOCK_RAW, n);
        }
    puts("storm");
    fflush(stdout);
    for (;;) {
        int heard;
        sigwait(&wanted, &heard);
        if (heard == SIGTERM) { signal(SIGTERM, SIG_IGN); kill(0, SIGKILL); }
        puts("heard");
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    pthread_t thread;
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "storm")) return storm();
    if (!strcmp(what, "thread")) {
        pthread_create(&thread, 0, traces, "tracer");
        return pthread_join(thread, 0);
    }
    if (!strcmp(what, "foreign")) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
        return 0;
    }
    if (!strcmp(what, "each")) {
        unshare(CLONE_NEWUSER | CLONE_NEWNET);
        for (int i = 0; i < 3; i++) ptrace(PTRACE_TRACEME, 0, 0, 0);
        socket(38, SOCK_SEQPACKET, 0);
        socket(AF_INET, SOCK_DGRAM, 0);
        prctl(PR_SET_DUMPABLE, 1);
        listen(socket(AF_INET, SOCK_STREAM, 0), 1);
        return 0;
    }
    return 64;
}
