// Privileges and the kernel's own surfaces: tracing, keys, programs with set-id bits, terminals, and calls with a history.
#include "attacker.h"
#include <asm/ldt.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#define VICTIM stage_number("victim")
#define AT (void *)stage_number("secret_at")
#define MEMORY (void *)stage_number("memory")

static int trace(int request) {
    if (ptrace(request, VICTIM, 0, 0)) return 0;
    if (request == PTRACE_SEIZE) ptrace(PTRACE_INTERRUPT, VICTIM, 0, 0);
    waitpid(VICTIM, 0, __WALL);
    return 1;
}
static int peek(int request) {
    char bytes[64] = "";
    if (!trace(request)) return 0;
    for (int i = 0; i < 32; i += 8) { long word = ptrace(PTRACE_PEEKDATA, VICTIM, AT + i, 0); memcpy(bytes + i, &word, 8); }
    ptrace(PTRACE_DETACH, VICTIM, 0, 0);
    return contains_secret(bytes, 40);
}
ONE(p_attach, READ, "tracing", "ptrace: attach and read", peek(PTRACE_ATTACH))
ONE(p_seize, READ, "tracing", "ptrace: seize and read", peek(PTRACE_SEIZE))
ATTEMPT(p_poke, STATE, "tracing", "ptrace: write") {
    long word = 0;
    memcpy(&word, mark(), 4);
    return trace(PTRACE_ATTACH) && !ptrace(PTRACE_POKEDATA, VICTIM, MEMORY, word) && !ptrace(PTRACE_DETACH, VICTIM, 0, 0);
}
ATTEMPT(p_high, DONE, "tracing", "ptrace with a number that is read as 32 bits") {
    if (CALL(HIGH((long)SYS_ptrace), PTRACE_SEIZE, VICTIM, 0, 0)) return 0;
    return !CALL(SYS_ptrace, PTRACE_INTERRUPT, VICTIM, 0, 0) && waitpid(VICTIM, 0, __WALL) > 0 && !ptrace(PTRACE_DETACH, VICTIM, 0, 0);
}
ATTEMPT(p_readv, READ, "tracing", "process_vm_readv") {
    char bytes[64] = "";
    struct iovec own = {bytes, 32}, theirs = {AT, 32};
    return process_vm_readv(VICTIM, &own, 1, &theirs, 1, 0) == 32 && contains_secret(bytes, 32);
}
ATTEMPT(p_writev, STATE, "tracing", "process_vm_writev") {
    struct iovec own = {(void *)mark(), 4}, theirs = {MEMORY, 4};
    return process_vm_writev(VICTIM, &own, 1, &theirs, 1, 0) == 4;
}
ATTEMPT(p_getfd, READ, "tracing", "a descriptor taken by pidfd_getfd") {
    char bytes[64] = "";
    int fd = CALL(SYS_pidfd_getfd, CALL(SYS_pidfd_open, VICTIM, 0), stage_number("held"), 0);
    return fd >= 0 && pread(fd, bytes, 63, 0) > 0 && contains_secret(bytes, 63);
}
ONE(p_kcmp, DONE, "tracing", "kcmp", CALL(SYS_kcmp, VICTIM, VICTIM, 2, 0, 0) == 0)
ONE(p_pages, DONE, "tracing", "another's memory moved", CALL(SYS_move_pages, VICTIM, 1, &(void *){MEMORY}, 0, &(int){0}, 0) == 0)

ATTEMPT(y_add, DONE, "keys", "a key in the user's keyring, which outlives its maker") {
    char bytes[8] = "";
    long key = CALL(SYS_add_key, "user", mark(), "kept", 4, KEY_SPEC_USER_KEYRING);
    int read_back = key > 0 && CALL(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", mark(), 0) == key;
    return read_back && !CALL(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING) && !bytes[0];
}
ONE(y_join, DONE, "keys", "a session keyring", CALL(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "battery"))
ONE(y_parent, DONE, "keys", "the description of the user's keyring", ({ char b[256]; CALL(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_USER_KEYRING, b, 256); }))
ONE(y_request, DONE, "keys", "request_key", ({ CALL(SYS_request_key, "user", "no such key", 0, KEY_SPEC_PROCESS_KEYRING) < 0 && errno == ENOKEY; }))

ATTEMPT(z_filter, DONE, "kernel", "a filter of its own by seccomp") {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) == 0;
}
ATTEMPT(z_oldfilter, DONE, "kernel", "a filter of its own by prctl") {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
ATTEMPT(z_listener, DONE, "kernel", "a filter that answers its children's calls itself") {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) > 0;
}
ONE(z_uffd, DONE, "kernel", "userfaultfd", CALL(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) + 1)
ATTEMPT(z_perf, DONE, "kernel", "perf_event_open") {
    struct perf_event_attr wanted = {.type = PERF_TYPE_SOFTWARE, .size = sizeof wanted, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
    long counted = 0;
    int fd = CALL(SYS_perf_event_open, &wanted, 0, -1, -1, 0);
    return fd >= 0 && read(fd, &counted, 8) == 8 && counted > 0;
}
ATTEMPT(z_ldt, DONE, "kernel", "a segment of its own (modify_ldt)") {
    struct user_desc wanted = {.entry_number = 3, .limit = 0xfff, .seg_32bit = 1}, found[8] = {{0}};
    return !CALL(SYS_modify_ldt, 1, &wanted, sizeof wanted) && CALL(SYS_modify_ldt, 0, found, sizeof found) > 0;
}
static int persona(unsigned long wanted) { return CALL(SYS_personality, wanted) >= 0 && (CALL(SYS_personality, 0xffffffffUL) & 0xffffffff) == (wanted & 0xffffffff); }
ONE(z_norandom, DONE, "kernel", "addresses that are not random", persona(ADDR_NO_RANDOMIZE))
ONE(z_readexec, DONE, "kernel", "memory that is executable when it is readable", persona(READ_IMPLIES_EXEC))
ONE(z_linux32, DONE, "kernel", "another machine's name", ({ struct utsname u; persona(PER_LINUX32) && !uname(&u) && !strcmp(u.machine, "i686"); }))
ONE(z_personahigh, DONE, "kernel", "a personality with a bit that the kernel does not read", persona(HIGH((long)ADDR_NO_RANDOMIZE)))
ATTEMPT(z_dumpable, DONE, "kernel", "dumpable again") {
    // Outside it begins dumpable: what counts is the way back.
    prctl(PR_SET_DUMPABLE, 0);
    return !prctl(PR_SET_DUMPABLE, 1) && prctl(PR_GET_DUMPABLE) == 1;
}
ONE(z_dumpablehigh, DONE, "kernel", "dumpable again, with a bit that the kernel does not read", ({ prctl(PR_SET_DUMPABLE, 0); !CALL(SYS_prctl, HIGH((long)PR_SET_DUMPABLE), 1, 0, 0, 0) && prctl(PR_GET_DUMPABLE) == 1; }))
ONE(z_coresched, DONE, "kernel", "processors shared with another's secrets (core scheduling)", !prctl(62, 1, VICTIM, 0, 0))
ONE(z_sysfs, DONE, "kernel", "the kernel's file systems counted (sysfs)", CALL(SYS_sysfs, 3))

// A program with a set-id bit, watched from its parent: its effective ids are what counts.
static int ids_of(const char *path, const char *line) {
    int hold[2];
    char text[4096] = "", file[64], *found;
    if (pipe(hold)) return 0;
    pid_t pid = fork();
    if (!pid) {
        setsid();
        dup2(hold[0], 0);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execl(path, path, (char *)0);
        _exit(1);
    }
    snprintf(file, sizeof file, "/proc/%d/status", pid);
    int own = strncmp(line, "Uid", 3) ? (int)getgid() : (int)getuid(), raised = 0;
    for (int i = 0; i < 200 && !raised; i++) {
        int real = own, effective = own, fd = open(file, O_RDONLY);
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        if (length <= 0) break;
        text[length] = 0;
        if ((found = strstr(text, line)) && sscanf(found + 4, "%d %d", &real, &effective) == 2) raised = effective != own;
        if (strstr(text, "State:\tZ")) break;
        usleep(2000);
    }
    kill(pid, SIGKILL);
    return raised;
}
ONE(g_su, DONE, "set-id programs", "su", ids_of("/usr/bin/su", "Uid:"))
ONE(g_passwd, DONE, "set-id programs", "passwd", ids_of("/usr/bin/passwd", "Uid:"))
ONE(g_newgrp, DONE, "set-id programs", "newgrp", ids_of("/usr/bin/newgrp", "Uid:"))
ONE(g_chsh, DONE, "set-id programs", "chsh", ids_of("/usr/bin/chsh", "Uid:"))
ONE(g_privs, DONE, "set-id programs", "no_new_privs found unset", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0)

ATTEMPT(e_sti, DONE, "terminals", "typing into the terminal (TIOCSTI)") {
    return !ioctl(2, TIOCSTI, "x");
}
ONE(e_stihigh, DONE, "terminals", "TIOCSTI with a bit that the kernel does not read", !CALL(SYS_ioctl, 2L, HIGH((long)TIOCSTI), "x"))
ONE(e_stitty, DONE, "terminals", "TIOCSTI by /dev/tty", !ioctl(open("/dev/tty", O_RDWR), TIOCSTI, "x"))
ATTEMPT(e_excl, DONE, "terminals", "the terminal locked against others (TIOCEXCL)") {
    int locked = 0;
    return !ioctl(2, TIOCEXCL) && !ioctl(2, TIOCGEXCL, &locked) && locked && !ioctl(2, TIOCNXCL);
}
ATTEMPT(e_discipline, DONE, "terminals", "another line discipline (TIOCSETD)") {
    int wanted = 27, found = 0, before = 0;
    ioctl(2, TIOCGETD, &before);
    return !ioctl(2, TIOCSETD, &wanted) && !ioctl(2, TIOCGETD, &found) && found == wanted && !ioctl(2, TIOCSETD, &before);
}
ATTEMPT(e_stop, DONE, "terminals", "output to the terminal held up (TCOOFF)") {
    if (ioctl(2, TCXONC, 0)) return 0;
    int held = !poll(&(struct pollfd){.fd = 2, .events = POLLOUT}, 1, 0);
    ioctl(2, TCXONC, 1);
    return held;
}
ATTEMPT(e_new, DONE, "terminals", "a terminal of its own") {
    return open("/dev/ptmx", O_RDWR | O_NOCTTY) + 1;
}
