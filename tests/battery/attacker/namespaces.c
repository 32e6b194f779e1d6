// Namespaces: each kind by each way, and what a user has inside one of its own.
#include "attacker.h"
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/mount.h>

static int cloned(unsigned long flags) {
    pid_t pid = CALL(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (!pid) _exit(0);
    return pid > 0 && waitpid(pid, 0, 0) == pid;
}
static int cloned3(unsigned long flags) {
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t pid = CALL(SYS_clone3, &args, sizeof args);
    if (!pid) _exit(0);
    return pid > 0 && waitpid(pid, 0, 0) == pid;
}
#define KIND(id, flag, name)                                                                                           \
    ONE(u_##id, DONE, "namespaces", "unshare: " name, !unshare(CLONE_NEWUSER | flag))                                  \
    ONE(c_##id, DONE, "namespaces", "clone: " name, cloned(CLONE_NEWUSER | flag))
KIND(user, 0, "user")
KIND(mnt, CLONE_NEWNS, "mount")
KIND(net, CLONE_NEWNET, "network")
KIND(pid, CLONE_NEWPID, "process")
KIND(uts, CLONE_NEWUTS, "names")
KIND(ipc, CLONE_NEWIPC, "IPC")
KIND(cgroup, CLONE_NEWCGROUP, "cgroup")
ONE(u_time, DONE, "namespaces", "unshare: time", !unshare(CLONE_NEWUSER | CLONE_NEWTIME))
ONE(u_all, DONE, "namespaces", "unshare: everything at once", !unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP))
ONE(u_high, DONE, "namespaces", "unshare by a number that is read as 32 bits", !CALL(HIGH((long)SYS_unshare), CLONE_NEWUSER))
ONE(c_high, DONE, "namespaces", "clone with a bit that the kernel does not read", cloned(HIGH((long)CLONE_NEWUSER)))
ONE(c_three, DONE, "namespaces", "clone3: user", cloned3(CLONE_NEWUSER))
ONE(c_threemnt, DONE, "namespaces", "clone3: user and mount", cloned3(CLONE_NEWUSER | CLONE_NEWNS))
ONE(s_pidfd, DONE, "namespaces", "setns by a pidfd", !setns(CALL(SYS_pidfd_open, stage_number("namespaced"), 0), CLONE_NEWUSER))
ATTEMPT(s_proc, DONE, "namespaces", "setns by /proc") {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/ns/user", stage_number("namespaced"));
    return !setns(open(path, O_RDONLY), CLONE_NEWUSER);
}

// As root of an own user namespace, with every capability in it.
static int map_id(const char *file, int id) {
    char map[64];
    int length = id < 0 ? snprintf(map, sizeof map, "deny") : snprintf(map, sizeof map, "0 %d 1", id);
    int fd = open(file, O_WRONLY);
    int written = write(fd, map, length) == length;
    close(fd);
    return written;
}
static int as_root(void) {
    int uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS)) return 0;
    if (!map_id("/proc/self/uid_map", uid) || !map_id("/proc/self/setgroups", -1) || !map_id("/proc/self/gid_map", gid)) return 0;
    return !mount(0, "/", 0, MS_REC | MS_PRIVATE, 0);
}
ONE(m_mount, DONE, "mounts", "a file system over a directory", as_root() && !mount("none", at("data"), "tmpfs", 0, 0))
ONE(m_bind, READ, "mounts", "a directory bound into the writable one", as_root() && !mount(at("outside"), at("data"), 0, MS_BIND, 0) && read_path(at("data/secret")))
ONE(m_tree, DONE, "mounts", "a detached tree (open_tree)", as_root() && CALL(SYS_open_tree, AT_FDCWD, at("outside"), OPEN_TREE_CLONE) >= 0)
ATTEMPT(m_move, READ, "mounts", "a detached tree moved into the writable directory") {
    if (!as_root()) return 0;
    int tree = CALL(SYS_open_tree, AT_FDCWD, at("outside"), OPEN_TREE_CLONE);
    return tree >= 0 && !CALL(SYS_move_mount, tree, "", AT_FDCWD, at("data"), MOVE_MOUNT_F_EMPTY_PATH) && read_path(at("data/secret"));
}
ONE(m_fsopen, DONE, "mounts", "a new file system (fsopen)", as_root() && CALL(SYS_fsopen, "tmpfs", 0) >= 0)
ONE(m_umount, DONE, "mounts", "a mount taken away", as_root() && !mount("none", at("data"), "tmpfs", 0, 0) && !umount2(at("data"), MNT_DETACH))
ATTEMPT(m_setattr, DONE, "mounts", "a mount's attributes changed") {
    struct mount_attr wanted = {.attr_set = MOUNT_ATTR_RDONLY};
    return as_root() && !mount("none", at("data"), "tmpfs", 0, 0) && !CALL(SYS_mount_setattr, AT_FDCWD, at("data"), 0, &wanted, sizeof wanted);
}
ATTEMPT(m_pivot, DONE, "mounts", "another root (pivot_root)") {
    return as_root() && !mount("none", at("data"), "tmpfs", 0, 0) && !mkdir(at("data/old"), 0700) && !CALL(SYS_pivot_root, at("data"), at("data/old"));
}
ONE(m_chroot, READ, "mounts", "chroot", as_root() && !chroot(at("outside")) && read_path("/secret"))
ONE(m_hostname, DONE, "mounts", "another host name", as_root() && !sethostname("battery", 7))
ONE(m_map, DONE, "mounts", "root in a user namespace", as_root() && !getuid())
