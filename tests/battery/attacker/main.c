// The attacker: each attempt in a child of its own, one line for each, and a wait for the harness' word before the next.
//
//   attacker try STAGE attacks|honest   tries everything
//   attacker victim DIR SECRET          the process outside: listeners, handlers, memory
//   attacker tty CMD...                 runs CMD with a terminal of its own on descriptor 2
//   attacker 77                         what a program does that was to be executed
#include "attacker.h"
#include <pty.h>
#include <stdarg.h>
#include <sys/uio.h>

struct attempt { enum judge judge; const char *group, *name; attempt_function *function; };
static struct attempt attempts[512];
static int count, number;
static char facts[8192], told[2048];
static int told_fd = -1;

void add(enum judge judge, const char *group, const char *name, attempt_function *function) {
    attempts[count++] = (struct attempt){judge, group, name, function};
}

const char *stage(const char *key) {
    static char value[512];
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\n%s=", key);
    char *found = strstr(facts, wanted);
    if (!found) { fprintf(stdout, "the stage has no %s\n", key); exit(70); }
    found += strlen(wanted);
    size_t length = strcspn(found, "\n");
    snprintf(value, sizeof value, "%.*s", (int)length, found);
    return value;
}
long stage_number(const char *key) { return strtol(stage(key), 0, 0); }

const char *at(const char *below) {
    static char paths[4][600];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", stage("dir"), below);
    return path;
}

int say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(told, sizeof told, format, args);
    va_end(args);
    return 1;
}

int contains_secret(const char *bytes, size_t length) {
    const char *secret = stage("secret");
    return memmem(bytes, length, secret, strlen(secret)) ? say("%s", secret) : 0;
}

int read_fd(int fd) {
    static char bytes[65536];
    if (fd < 0) return 0;
    ssize_t length = read(fd, bytes, sizeof bytes);
    return length > 0 && contains_secret(bytes, length);
}
int read_path(const char *path) { return read_fd(open(path, O_RDONLY)); }

const char *mark(void) {
    static char text[32];
    snprintf(text, sizeof text, "A%03d", number);
    return text;
}

int in_child(attempt_function *function) {
    pid_t pid = fork();
    if (!pid) _exit(function() ? 0 : errno ? errno : 255);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 0;
    if (WIFEXITED(status) && !WEXITSTATUS(status)) return 1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return 0;
}

int ran(pid_t child) {
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return 0;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 77;
}

void *low_memory(void) {
    return mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
}

long i386(long number, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
    if ((int)result < 0) { errno = -(int)result; return -1; }
    return (int)result;
}

// The child's verdict and what it says come through a pipe: it may die of a signal at any point.
static void attempt(struct attempt *a) {
    int ends[2];
    if (pipe(ends)) exit(70);
    pid_t pid = fork();
    if (!pid) {
        close(ends[0]);
        told_fd = ends[1];
        setpgid(0, 0);
        alarm(6);
        signal(SIGTTOU, SIG_IGN);
        errno = 0;
        int claimed = a->function();
        if (!claimed && !told[0]) say("%s", strerror(errno));
        dprintf(told_fd, "%c%s", claimed ? '+' : '-', told);
        _exit(0);
    }
    close(ends[1]);
    // Its grandchildren may hold the pipe: the wait comes first.
    int status = 0;
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL);
    char answer[2100] = "";
    ssize_t length = read(ends[0], answer, sizeof answer - 1);
    if (length <= 0) snprintf(answer, sizeof answer, "-ended by signal %d", WTERMSIG(status));
    close(ends[0]);
    for (char *c = answer; *c; c++) if (*c == '\n' || *c == '\t') *c = ' ';
    static const char *judges[] = {"read", "done", "files", "reached", "state", "honest"};
    printf("%d\t%s\t%s\t%s\t%c\t%s\n", number, judges[a->judge], a->group, a->name, answer[0], answer + 1);
    fflush(stdout);
}

static int try_all(const char *path, int honest) {
    int fd = open(path, O_RDONLY);
    facts[0] = '\n';
    if (fd < 0 || read(fd, facts + 1, sizeof facts - 2) <= 0) { perror(path); return 70; }
    close(fd);
    char word[8];
    for (int i = 0; i < count; i++) {
        if ((attempts[i].judge == HONEST) != honest) continue;
        number++;
        attempt(&attempts[i]);
        if (read(0, word, 1) != 1) return 71;
    }
    return 0;
}

static int with_tty(char **command) {
    int master, slave, status;
    if (openpty(&master, &slave, 0, 0, 0)) { perror("openpty"); return 70; }
    pid_t pid = fork();
    if (!pid) {
        close(master);
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        dup2(slave, 2);
        close(slave);
        execv(command[0], command);
        _exit(71);
    }
    close(slave);
    char bytes[4096];
    ssize_t length;
    while ((length = read(master, bytes, sizeof bytes)) > 0)
        if (write(2, bytes, length) < 0) break;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    const char *role = argc > 1 ? argv[1] : "";
    if (!strcmp(role, "77")) return 77;
    if (!strcmp(role, "try") && argc > 3) return try_all(argv[2], !strcmp(argv[3], "honest"));
    if (!strcmp(role, "victim") && argc > 3) return victim(argv[2], argv[3]);
    if (!strcmp(role, "tty") && argc > 2) return with_tty(argv + 2);
    fprintf(stderr, "roles: try victim tty 77\n");
    return 64;
}
