// Other processes: their signals, their shared memory and queues, their scheduling and limits.
#include "attacker.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define VICTIM stage_number("victim")

static int queued(int thread) {
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    return !(thread ? CALL(SYS_rt_tgsigqueueinfo, VICTIM, VICTIM, SIGUSR2, &info) : CALL(SYS_rt_sigqueueinfo, VICTIM, SIGUSR2, &info));
}
ONE(s_kill, REACHED, "signals", "kill", !kill(VICTIM, SIGUSR1))
ONE(s_killhigh, REACHED, "signals", "kill with bits that the kernel does not read", !CALL(SYS_kill, HIGH(VICTIM), HIGH((long)SIGUSR1)))
ONE(s_group, REACHED, "signals", "kill of its process group", !kill(-stage_number("group"), SIGUSR1))
ONE(s_tkill, REACHED, "signals", "tkill", !CALL(SYS_tkill, VICTIM, SIGUSR1))
ONE(s_tgkill, REACHED, "signals", "tgkill", !CALL(SYS_tgkill, VICTIM, VICTIM, SIGUSR1))
ONE(s_queue, REACHED, "signals", "a queued signal", queued(0))
ONE(s_tqueue, REACHED, "signals", "a signal queued to a thread", queued(1))
ONE(s_pidfd, REACHED, "signals", "a signal by pidfd", !CALL(SYS_pidfd_send_signal, CALL(SYS_pidfd_open, VICTIM, 0), SIGUSR1, 0, 0))
ONE(s_realtime, REACHED, "signals", "a real-time signal", !kill(VICTIM, SIGRTMIN + 3))
static int owned(int how) {
    int pair[2], on = 1, owner = VICTIM, group = -VICTIM;
    struct f_owner_ex thread = {F_OWNER_TID, VICTIM};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 0;
    int set = how == 0 ? fcntl(pair[0], F_SETOWN, owner) : how == 1 ? fcntl(pair[0], F_SETOWN, group) : how == 2 ? fcntl(pair[0], F_SETOWN_EX, &thread) : ioctl(pair[0], how == 3 ? 0x8901 : 0x8902, &owner);
    return !set && !ioctl(pair[0], FIOASYNC, &on) && write(pair[1], "x", 1) == 1;
}
ONE(s_owner, REACHED, "signals", "SIGIO by the owner of a descriptor", owned(0))
ONE(s_ownergroup, REACHED, "signals", "SIGIO by a group as the owner", owned(1))
ONE(s_ownerthread, REACHED, "signals", "SIGIO by a thread as the owner", owned(2))
ONE(s_fiosetown, REACHED, "signals", "SIGIO by FIOSETOWN", owned(3))
ONE(s_siocspgrp, REACHED, "signals", "SIGIO by SIOCSPGRP", owned(4))
ATTEMPT(s_setsig, REACHED, "signals", "another signal by the owner of a pipe") {
    int ends[2];
    return !pipe(ends) && !fcntl(ends[0], F_SETSIG, SIGUSR2) && !fcntl(ends[0], F_SETOWN, (int)VICTIM) && !fcntl(ends[0], F_SETFL, O_ASYNC) && write(ends[1], "x", 1) == 1;
}

ATTEMPT(v_shmat, READ, "shared memory", "another's segment") {
    char *bytes = shmat(stage_number("shm"), 0, SHM_RDONLY);
    return bytes != (void *)-1 && contains_secret(bytes, 64);
}
ATTEMPT(v_shmget, DONE, "shared memory", "a segment that outlives its maker") {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    return id >= 0 && !shmctl(id, IPC_RMID, 0);
}
ATTEMPT(v_shmstat, DONE, "shared memory", "another's segment looked at") {
    struct shmid_ds found;
    return !shmctl(stage_number("shm"), IPC_STAT, &found);
}
ATTEMPT(v_msgsnd, STATE, "queues", "a message into another's queue") {
    struct { long type; char text[8]; } message = {1, "x"};
    return !msgsnd(stage_number("msg"), &message, 8, IPC_NOWAIT);
}
ATTEMPT(v_msgrcv, STATE, "queues", "another's message taken") {
    struct { long type; char text[64]; } message;
    return msgrcv(stage_number("msg"), &message, 64, 0, IPC_NOWAIT) > 0;
}
ATTEMPT(v_msgget, DONE, "queues", "a queue that outlives its maker") {
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    return id >= 0 && !msgctl(id, IPC_RMID, 0);
}
ATTEMPT(v_semop, STATE, "queues", "another's semaphore raised") {
    struct sembuf up = {0, 1, IPC_NOWAIT};
    return !semop(stage_number("sem"), &up, 1);
}
ONE(v_semctl, STATE, "queues", "another's semaphore set", !semctl(stage_number("sem"), 0, SETVAL, 7))
ATTEMPT(v_semget, DONE, "queues", "a semaphore that outlives its maker") {
    int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    return id >= 0 && !semctl(id, 0, IPC_RMID);
}
ATTEMPT(q_send, STATE, "queues", "a POSIX message into another's queue") {
    mqd_t queue = mq_open(stage("queue"), O_WRONLY | O_NONBLOCK);
    return queue >= 0 && !mq_send(queue, "x", 1, 0);
}
ATTEMPT(q_take, STATE, "queues", "another's POSIX message taken") {
    char bytes[8192];
    mqd_t queue = mq_open(stage("queue"), O_RDONLY | O_NONBLOCK);
    return queue >= 0 && mq_receive(queue, bytes, sizeof bytes, 0) > 0;
}
ATTEMPT(q_make, DONE, "queues", "a POSIX queue that outlives its maker") {
    char name[64];
    snprintf(name, sizeof name, "/portcullis-battery-made-%d", getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_WRONLY, 0600, 0);
    return queue >= 0 && !mq_unlink(name);
}

ONE(c_nice, STATE, "scheduling", "another's priority", !setpriority(PRIO_PROCESS, VICTIM, 5))
ONE(c_nicehigh, STATE, "scheduling", "another's priority, with a bit that the kernel does not read", !CALL(SYS_setpriority, HIGH((long)PRIO_PROCESS), VICTIM, 6L))
ONE(c_nicegroup, STATE, "scheduling", "a process group's priority", !setpriority(PRIO_PGRP, stage_number("group"), 7))
ATTEMPT(c_affinity, STATE, "scheduling", "another's processors") {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    return !sched_setaffinity(VICTIM, sizeof one, &one);
}
ATTEMPT(c_policy, STATE, "scheduling", "another's policy") {
    struct sched_param none = {0};
    return !sched_setscheduler(VICTIM, SCHED_BATCH, &none);
}
ATTEMPT(c_attr, STATE, "scheduling", "another's policy by sched_setattr") {
    struct { unsigned size, policy; unsigned long flags; int nice; unsigned priority; unsigned long r, d, p; } wanted = {48, SCHED_IDLE, 0, 0, 0, 0, 0, 0};
    return !CALL(SYS_sched_setattr, VICTIM, &wanted, 0);
}
ONE(c_io, STATE, "scheduling", "another's priority on disks", !CALL(SYS_ioprio_set, 1, VICTIM, 3 << 13))
ATTEMPT(c_limit, STATE, "limits", "another's limit") {
    struct rlimit64 limit;
    if (CALL(SYS_prlimit64, VICTIM, RLIMIT_NOFILE, 0, &limit)) return 0;
    limit.rlim_cur -= 1;
    return !CALL(SYS_prlimit64, VICTIM, RLIMIT_NOFILE, &limit, 0);
}
ATTEMPT(c_limithigh, STATE, "limits", "another's limit, with a bit that the kernel does not read") {
    struct rlimit64 limit;
    if (CALL(SYS_prlimit64, HIGH(VICTIM), RLIMIT_NOFILE, 0, &limit)) return 0;
    limit.rlim_cur -= 2;
    return !CALL(SYS_prlimit64, HIGH(VICTIM), RLIMIT_NOFILE, &limit, 0);
}
ATTEMPT(c_limitread, DONE, "limits", "another's limit asked for") {
    struct rlimit64 limit;
    return !CALL(SYS_prlimit64, VICTIM, RLIMIT_NOFILE, 0, &limit);
}
static int core(int which) {
    struct rlimit limit = {1 << 20, 1 << 20}, now;
    int set = which ? CALL(SYS_prlimit64, 0, RLIMIT_CORE, &limit, 0) : CALL(SYS_setrlimit, RLIMIT_CORE, &limit);
    return !set && !getrlimit(RLIMIT_CORE, &now) && now.rlim_cur == 1 << 20;
}
ONE(c_core, DONE, "limits", "core files allowed again by setrlimit", core(0))
ONE(c_core64, DONE, "limits", "core files allowed again by prlimit64", core(1))
ATTEMPT(c_dump, DONE, "limits", "a core file of its own memory") {
    struct rlimit limit = {1 << 24, 1 << 24};
    struct stat found;
    char path[600];
    setrlimit(RLIMIT_CORE, &limit);
    pid_t pid = fork();
    if (!pid) { if (chdir(at("data"))) _exit(1); signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
    waitpid(pid, 0, 0);
    snprintf(path, sizeof path, "%s/core.%d", at("data"), pid);
    return (!stat(path, &found) || !stat(at("data/core"), &found)) && found.st_size > 0;
}
