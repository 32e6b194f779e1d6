/* The workload of every case: does the words of its command line one after the other and says on standard output what it saw.
 *
 * Groups in braces are done by other processes: `fork{ ... }` by a child, `orphan{ ... }` by a process whose parent has ended
 * already. Signals are the kernel's own numbers, 32 and 33 among them, which the C library keeps for itself. No word sleeps:
 * each waits for an event. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int keep(char **command, int terminal);
void say(const char *format, ...);

static const char *program;
static uint64_t caught;

/* One write a line: several processes share the output. */
void say(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length] = '\n';
    if (write(1, line, length + 1) == -1)
        _exit(99);
}

static uint64_t set_of(const char *list) {
    uint64_t set = 0;
    if (!strcmp(list, "all"))
        return ~0ull;
    for (char *at = (char *)list; *at; at += *at == ',')
        set |= 1ull << (strtol(at, &at, 10) - 1);
    return set;
}

/* What the kernel reads for rt_sigaction(2): glibc's own wrapper refuses 32 and 33. */
static void dispose(uint64_t set, uintptr_t handler) {
    struct { uintptr_t handler; unsigned long flags; uintptr_t restorer; uint64_t mask; } action = {handler, 0, 0, 0};
    for (int signal = 1; signal <= 64; signal++)
        if (set >> (signal - 1) & 1)
            syscall(SYS_rt_sigaction, signal, &action, 0, 8);
}

static void catch (uint64_t set) {
    caught |= set;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
}

static int next(siginfo_t *info) {
    long signal;
    while ((signal = syscall(SYS_rt_sigtimedwait, &caught, info, 0, 8)) == -1 && errno == EINTR)
        ;
    return signal;
}

static int hear(void) {
    siginfo_t info;
    int signal = next(&info);
    if (info.si_code == SI_QUEUE)
        say("heard %d value %d", signal, info.si_value.sival_int);
    else
        say("heard %d", signal);
    return signal;
}

/* Counts `most` signals; their values must go up by one where `values` says so. */
static void storm(int most, int values) {
    siginfo_t info;
    int wrong = 0;
    for (int count = 0; count < most; count++) {
        next(&info);
        wrong += values && (info.si_code != SI_QUEUE || info.si_value.sival_int != count);
    }
    say("storm %d wrong %d", most, wrong);
}

/* Children that all end at one moment, their parent gone before: whoever adopts them hears of it by few SIGCHLD. */
static void batch(int count) {
    int gate[2], unused;
    char byte;
    if (pipe(gate))
        _exit(98);
    pid_t parent = fork();
    if (!parent) {
        for (int made = 0; made < count; made++)
            if (!fork()) {
                close(gate[1]);
                unused = read(gate[0], &byte, 1);
                (void)unused;
                _exit(made & 127);
            }
        _exit(0);
    }
    waitpid(parent, 0, 0);
    close(gate[0]);
    close(gate[1]);
}

static void line(void) {
    char text[256];
    int length = 0;
    while (length < 255 && read(0, text + length, 1) == 1 && text[length] != '\n')
        length++;
    text[length] = 0;
    say(length ? "line %s" : "eof", text);
}

static void status(const char *key) {
    char text[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(text, sizeof text, file))
        if (!strncmp(text, key, strlen(key)))
            text[strcspn(text, "\n")] = 0, say("%s", text);
    if (file)
        fclose(file);
}

static void terminal(const char *word) {
    struct termios modes;
    struct winsize size;
    if (!strcmp(word, "fg"))
        say("foreground %s", tcgetpgrp(0) == getpgrp() ? "mine" : "another's");
    else if (!strcmp(word, "raw"))
        tcgetattr(0, &modes), cfmakeraw(&modes), tcsetattr(0, TCSANOW, &modes);
    else if (!strcmp(word, "size"))
        ioctl(0, TIOCGWINSZ, &size), say("size %d %d", size.ws_row, size.ws_col);
    else if (!strcmp(word, "take"))
        signal(SIGTTOU, SIG_IGN), tcsetpgrp(0, getpgrp()), signal(SIGTTOU, SIG_DFL);
}

static void run(char **words, int count);

/* Done by another process; how many words it was. */
static int group(char **words, int count, int orphaned) {
    int depth = 1, end = 1;
    for (; end < count && depth; end++)
        depth += words[end][strlen(words[end]) - 1] == '{' ? 1 : !strcmp(words[end], "}") ? -1 : 0;
    pid_t child = fork(), parent = getpid();
    if (child) {
        if (orphaned)
            waitpid(child, 0, 0);
        return end;
    }
    if (orphaned) {
        if (fork())
            _exit(0);
        while (getppid() == parent)
            sched_yield();
    }
    run(words + 1, end - 2);
    _exit(0);
}

static void word(const char *verb, const char *value) {
    int number = value ? atoi(value) : 1;
    char path[4096];
    if (!strcmp(verb, "say")) say("%s", value);
    else if (!strcmp(verb, "exit")) _exit(number);
    else if (!strcmp(verb, "die")) {
        uint64_t set = 1ull << (number - 1);
        dispose(set, 0);
        syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, 0, 8);
        kill(getpid(), number);
    }
    else if (!strcmp(verb, "crash")) *(volatile int *)8 = 1;
    else if (!strcmp(verb, "stop")) kill(getpid(), number);
    else if (!strcmp(verb, "ignore")) dispose(set_of(value), 1);
    else if (!strcmp(verb, "block")) { uint64_t set = set_of(value); syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, 0, 8); }
    else if (!strcmp(verb, "catch")) catch (set_of(value));
    else if (!strcmp(verb, "hear")) while (number--) hear();
    else if (!strcmp(verb, "quiet")) { siginfo_t info; while (number--) next(&info); }
    else if (!strcmp(verb, "until")) while (hear() != number) ;
    else if (!strcmp(verb, "count")) storm(number, 0);
    else if (!strcmp(verb, "values")) storm(number, 1);
    else if (!strcmp(verb, "batch")) batch(number);
    else if (!strcmp(verb, "line")) line();
    else if (!strcmp(verb, "wait")) for (;;) pause();
    else if (!strcmp(verb, "setsid")) setsid();
    else if (!strcmp(verb, "pgrp")) setpgid(0, 0);
    else if (!strcmp(verb, "close")) close(number);
    else if (!strcmp(verb, "null")) dup2(open("/dev/null", O_RDWR), number);
    else if (!strcmp(verb, "root")) { if (chdir("/")) _exit(97); }
    else if (!strcmp(verb, "pid")) say("pid %d", getpid());
    else if (!strcmp(verb, "ppid")) say("ppid %d", getppid());
    else if (!strcmp(verb, "cwd")) say("cwd %s", getcwd(path, sizeof path));
    else if (!strcmp(verb, "umask")) say("umask %03o", umask(0));
    else if (!strcmp(verb, "status")) status(value);
    else if (!strcmp(verb, "tty")) terminal(value);
    else if (!strcmp(verb, "name")) prctl(PR_SET_NAME, value);
    else if (!strcmp(verb, "reap")) while (wait(0) > 0) ;
    else say("no such word: %s", verb), _exit(96);
}

static void run(char **words, int count) {
    for (int at = 0; at < count; at++) {
        if (!strcmp(words[at], "fork{")) at += group(words + at, count - at, 0) - 1;
        else if (!strcmp(words[at], "orphan{")) at += group(words + at, count - at, 1) - 1;
        else if (!strcmp(words[at], "show")) { while (++at < count) say("[%s]", words[at]); }
        else if (!strcmp(words[at], "exec")) { execv(words[at + 1], words + at + 1); _exit(95); }
        else if (!strcmp(words[at], "again")) at = -1;
        else {
            char verb[64] = {0};
            char *value = strchr(words[at], ':');
            memcpy(verb, words[at], value ? (size_t)(value - words[at]) : strlen(words[at]));
            word(verb, value ? value + 1 : 0);
        }
    }
}

int main(int count, char **words) {
    program = words[0];
    if (count > 2 && !strcmp(words[1], "keep"))
        return keep(words + 2, 0);
    if (count > 2 && !strcmp(words[1], "shell"))
        return keep(words + 2, 1);
    run(words + 1, count - 1);
    return 0;
}
