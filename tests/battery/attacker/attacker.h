// What the parts of the attacker share: the table of attempts, the stage they are tried on, and how one is told.
#ifndef ATTACKER_H
#define ATTACKER_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// How an attempt is judged. READ: what it says must hold the stage's secret. DONE: its own read-back is the proof. FILES,
// REACHED, STATE: the harness must see files changed, a listener or handler of the victim reached, the victim's state changed.
enum judge { READ, DONE, FILES, REACHED, STATE, HONEST };

typedef int attempt_function(void);
void add(enum judge, const char *group, const char *name, attempt_function *);

#define ATTEMPT(id, judge, group, text)                                                                                \
    static int id(void);                                                                                               \
    __attribute__((constructor)) static void add_##id(void) { add(judge, group, text, id); }                           \
    static int id(void)
// One expression as an attempt: it must be more than zero.
#define ONE(id, judge, group, text, expression)                                                                        \
    ATTEMPT(id, judge, group, text) { return (expression) > 0; }

const char *stage(const char *key);
long stage_number(const char *key);
// A path on the stage: `at("outside/secret")`. Four buffers take turns.
const char *at(const char *below);
int say(const char *format, ...);
int read_path(const char *path);
int read_fd(int fd);
int contains_secret(const char *bytes, size_t length);
const char *mark(void);
// Runs the function in a child and says what it returned: for what would change the caller.
int in_child(attempt_function *);
// Whether a program started this way ends with the code 77, which the stage's programs do.
int ran(pid_t child);
long i386(long number, long a, long b, long c, long d, long e);
void *low_memory(void);
int victim(const char *dir, const char *secret);

#define CALL(...) syscall(__VA_ARGS__)
#define HIGH(n) ((n) | (1L << 32))
#endif
