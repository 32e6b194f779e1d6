/* Whoever starts an init that is not PID 1: a keeper of one child, or a shell with job control on a terminal.
 *
 * Descriptor 7 has its commands, one line each: run, run-bg, fg, bg, who, modes, left. Descriptor 8 gets its news: what became
 * of the job, and how many processes it left behind. Being PID 1 of a namespace, it takes them along when it ends. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { COMMANDS = 7, NEWS = 8 };

static pid_t job;
static int stopped, interactive;
static struct termios own;
static sigset_t found;
static struct sigaction found_chld;

static void tell(const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    text[length] = '\n';
    if (write(NEWS, text, length + 1) == -1)
        _exit(99);
}

static void start(char **command, int foreground) {
    job = fork();
    if (!job) {
        if (interactive) {
            setpgid(0, 0);
            if (foreground)
                tcsetpgrp(0, getpid());
            for (int signal_ = 1; signal_ < 32; signal_++)
                signal(signal_, SIG_DFL);
        }
        if (!interactive)
            sigaction(SIGCHLD, &found_chld, 0);
        sigprocmask(SIG_SETMASK, &found, 0);
        execv(command[0], command);
        _exit(94);
    }
    if (interactive) {
        setpgid(job, job);
        if (foreground)
            tcsetpgrp(0, job);
    }
    // The streams are the job's alone: their other ends hear of it, not of us.
    if (!interactive)
        for (int stream = 0; stream < 3; stream++)
            close(stream), open("/dev/null", O_RDWR | O_CLOEXEC);
    tell("job %d", job);
}

/* As every shell: the terminal and its modes are the shell's again. */
static void take_back(void) {
    if (!interactive)
        return;
    tcsetpgrp(0, getpgrp());
    tcsetattr(0, TCSADRAIN, &own);
}

/* Processes of this namespace that live, but for us. */
static int left(void) {
    int count = 0, pid;
    char path[64], state;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        if ((pid = atoi(entry->d_name)) <= 1)
            continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z')
            count++;
        if (file)
            fclose(file);
    }
    closedir(proc);
    return count;
}

static void terminal(const char *word) {
    struct termios modes;
    pid_t group = tcgetpgrp(0);
    tcgetattr(0, &modes);
    if (!strcmp(word, "who"))
        tell("foreground %s", group == getpgrp() ? "shell" : group == job ? "job" : "another");
    else
        tell("modes %s", modes.c_lflag & ICANON ? "cooked" : "raw");
}

static void obey(char **command, const char *word) {
    if (!strcmp(word, "run") || !strcmp(word, "run-bg")) {
        start(command, !strcmp(word, "run"));
    } else if (!strcmp(word, "fg")) {
        tcsetpgrp(0, job);
        if (stopped)
            kill(-job, SIGCONT);
        stopped = 0;
        tell("fg");
    } else if (!strcmp(word, "bg")) {
        kill(-job, SIGCONT);
        stopped = 0;
        tell("bg");
    } else if (!strcmp(word, "left")) {
        tell("left %d", left());
    } else {
        terminal(word);
    }
}

/* Before the terminal is taken back, its state is told: that is what the job left. */
static void news(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != job)
            continue;
        if (interactive)
            terminal("who"), terminal("modes");
        take_back();
        if (WIFSTOPPED(status)) {
            stopped = 1;
            tell("stopped %d", WSTOPSIG(status));
            continue;
        }
        tell(WIFEXITED(status) ? "exited %d" : "signalled %d", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        tell("left %d", left());
    }
}

int keep(char **command, int terminal_) {
    interactive = terminal_;
    // What its own parent left it is for the init, not for itself.
    struct sigaction chld = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &chld, &found_chld);
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &found);
    int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    // A standard number that was closed is the job's to find closed.
    signals = fcntl(signals, F_DUPFD_CLOEXEC, 10);
    fcntl(COMMANDS, F_SETFD, FD_CLOEXEC);
    fcntl(NEWS, F_SETFD, FD_CLOEXEC);
    if (interactive) {
        for (int ignored = 0; ignored < 5; ignored++)
            signal((int[]){SIGTTOU, SIGTTIN, SIGTSTP, SIGINT, SIGQUIT}[ignored], SIG_IGN);
        tcgetattr(0, &own);
    }
    FILE *commands = fdopen(COMMANDS, "r");
    setvbuf(commands, 0, _IONBF, 0);
    for (;;) {
        struct pollfd ready[2] = {{signals, POLLIN, 0}, {COMMANDS, POLLIN, 0}};
        poll(ready, 2, -1);
        struct signalfd_siginfo info;
        char word[64];
        if (ready[0].revents && read(signals, &info, sizeof info) > 0)
            news();
        if (ready[1].revents && fgets(word, sizeof word, commands))
            word[strcspn(word, "\n")] = 0, obey(command, word);
        else if (ready[1].revents)
            return 0;
    }
}
