// Files: reading, changing, listing and executing what no grant covers; then the metadata of it.
#include "attacker.h"
#include <dirent.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#define SECRET at("outside/secret")
static int opath(const char *path) { return open(path, O_PATH | O_CLOEXEC); }
static const char *by_fd(int fd) {
    static char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}
static const char *of_victim(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "/proc/%ld/%s", stage_number("victim"), name);
    return path;
}
static int openat2_(int dir, const char *path, unsigned long flags, unsigned long mode, unsigned long resolve) {
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return CALL(SYS_openat2, dir, path, &how, sizeof how);
}

ONE(r_open, READ, "read", "open", read_fd(CALL(SYS_open, SECRET, O_RDONLY)))
ONE(r_openat, READ, "read", "openat", read_fd(CALL(SYS_openat, AT_FDCWD, SECRET, O_RDONLY)))
ONE(r_openat2, READ, "read", "openat2", read_fd(openat2_(AT_FDCWD, SECRET, O_RDONLY, 0, 0)))
ONE(r_beneath, READ, "read", "openat2 beneath a directory descriptor", read_fd(openat2_(opath(at("outside")), "secret", O_RDONLY, 0, RESOLVE_BENEATH)))
ONE(r_dirfd, READ, "read", "openat with a directory descriptor", read_fd(openat(opath(at("outside")), "secret", O_RDONLY)))
ONE(r_dotdot, READ, "read", "a path out of a grant by ..", read_path(at("data/../outside/secret")))
ONE(r_root, READ, "read", "through /proc/self/root", ({ char p[700]; snprintf(p, sizeof p, "/proc/self/root%s", SECRET); read_path(p); }))
ONE(r_cwd, READ, "read", "after chdir, by a relative path", chdir(at("outside")) ? 0 : read_path("secret"))
ONE(r_pcwd, READ, "read", "after chdir, through /proc/self/cwd", chdir(at("outside")) ? 0 : read_path("/proc/self/cwd/secret"))
ONE(r_opath, READ, "read", "an O_PATH descriptor opened anew", read_path(by_fd(opath(SECRET))))
ATTEMPT(r_symlink, READ, "read", "a symbolic link in the writable directory") {
    return !symlink(SECRET, at("data/link")) && read_path(at("data/link"));
}
ATTEMPT(r_dirlink, READ, "read", "a link to its directory in the writable one") {
    return !symlink(at("outside"), at("data/dirlink")) && read_path(at("data/dirlink/secret"));
}
ATTEMPT(r_hardlink, READ, "read", "a hard link into the writable directory") {
    return !link(SECRET, at("data/hard")) && read_path(at("data/hard"));
}
ATTEMPT(r_linkfd, READ, "read", "a hard link made from a descriptor") {
    return !linkat(AT_FDCWD, by_fd(opath(SECRET)), AT_FDCWD, at("data/hard2"), AT_SYMLINK_FOLLOW) && read_path(at("data/hard2"));
}
ATTEMPT(r_rename, READ, "read", "a rename into the writable directory") {
    return !rename(SECRET, at("data/moved")) && read_path(at("data/moved"));
}
ATTEMPT(r_exchange, READ, "read", "an exchange with a file of the writable directory") {
    close(open(at("data/swap"), O_CREAT | O_WRONLY, 0600));
    return !CALL(SYS_renameat2, AT_FDCWD, SECRET, AT_FDCWD, at("data/swap"), RENAME_EXCHANGE) && read_path(at("data/swap"));
}
ATTEMPT(r_renamedir, READ, "read", "a rename of its directory into the writable one") {
    return !rename(at("outside/dir"), at("data/dir")) && read_path(at("data/dir/secret"));
}
ATTEMPT(r_mmap, READ, "read", "mmap of the file") {
    int fd = open(SECRET, O_RDONLY);
    char *bytes = mmap(0, 16, PROT_READ, MAP_PRIVATE, fd, 0);
    return bytes != MAP_FAILED && contains_secret(bytes, 64);
}
ATTEMPT(r_sendfile, READ, "read", "sendfile into a pipe") {
    int ends[2], fd = open(SECRET, O_RDONLY);
    return !pipe(ends) && sendfile(ends[1], fd, 0, 4096) > 0 && read_fd(ends[0]);
}
ATTEMPT(r_list, READ, "read", "listing a directory") {
    DIR *dir = opendir(at("outside"));
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) if (contains_secret(entry->d_name, strlen(entry->d_name))) return 1;
    return 0;
}
ONE(r_shm, READ, "read", "a file in /dev/shm", read_path(stage("in_shm")))
ATTEMPT(r_vroot, READ, "read", "through /proc/PID/root of another process") {
    char path[700];
    snprintf(path, sizeof path, "%s%s", of_victim("root"), SECRET);
    return read_path(path);
}
ONE(r_vcwd, READ, "read", "through /proc/PID/cwd of another process", read_path(of_victim("cwd/secret")))
ONE(r_vfd, READ, "read", "through /proc/PID/fd of another process", ({ char n[32]; snprintf(n, sizeof n, "fd/%s", stage("held")); read_path(of_victim(n)); }))
ONE(r_venv, READ, "read", "/proc/PID/environ", read_path(of_victim("environ")))
ONE(r_vmaps, READ, "read", "/proc/PID/maps", read_path(of_victim("maps")))
ATTEMPT(r_vsmaps, READ, "read", "/proc/PID/smaps") {
    char line[4096];
    FILE *file = fopen(of_victim("smaps"), "r");
    while (file && fgets(line, sizeof line, file)) if (contains_secret(line, strlen(line))) return 1;
    return 0;
}
ATTEMPT(r_vmem, READ, "read", "/proc/PID/mem") {
    char bytes[64] = "";
    int fd = open(of_victim("mem"), O_RDONLY);
    return pread(fd, bytes, 63, stage_number("secret_at")) > 0 && contains_secret(bytes, 63);
}
ATTEMPT(r_vlink, DONE, "read", "the link /proc/PID/cwd itself") {
    char path[600] = "";
    return readlink(of_victim("cwd"), path, 599) > 0 && !strcmp(path, at("outside"));
}
ATTEMPT(r_init_fds, DONE, "read", "the descriptors of the process that started it") {
    char path[64], text[4096] = "", *line;
    snprintf(path, sizeof path, "/proc/%d/status", getppid());
    if (read(open(path, O_RDONLY), text, sizeof text - 1) <= 0 || !(line = strstr(text, "PPid:"))) return 0;
    snprintf(path, sizeof path, "/proc/%d/fd", atoi(line + 5));
    DIR *dir = opendir(path);
    return dir && readdir(dir) && readdir(dir) && readdir(dir);
}
ONE(r_etc, DONE, "read", "a file of the system that no program needs", ({ char b[8]; read(open("/etc/debian_version", O_RDONLY), b, 8) > 0; }))
ONE(r_root_list, DONE, "read", "listing the root directory", ({ DIR *d = opendir("/"); d && readdir(d); }))
ONE(r_tmp_list, DONE, "read", "listing /tmp", ({ DIR *d = opendir("/tmp"); d && readdir(d); }))
ONE(r_opath_list, DONE, "read", "listing by an O_PATH descriptor opened anew", ({ DIR *d = opendir(by_fd(opath(at("outside")))); d && readdir(d); }))

static int put(int fd) { return fd >= 0 && write(fd, mark(), 4) == 4; }
#define FILE1 at("outside/file")
ONE(w_open, FILES, "write", "open to write", put(CALL(SYS_open, FILE1, O_WRONLY)))
ONE(w_rdwr, FILES, "write", "openat to read and write", put(open(FILE1, O_RDWR)))
ONE(w_append, FILES, "write", "append", put(open(FILE1, O_WRONLY | O_APPEND)))
ONE(w_openat2, FILES, "write", "openat2", put(openat2_(AT_FDCWD, FILE1, O_WRONLY, 0, 0)))
ONE(w_trunc, FILES, "write", "open to truncate", open(FILE1, O_RDWR | O_TRUNC) + 1)
ONE(w_truncate, FILES, "write", "truncate", !truncate(FILE1, 1))
ONE(w_creat, FILES, "write", "creat", put(CALL(SYS_creat, at("outside/new1"), 0600)))
ONE(w_create, FILES, "write", "open to create", put(open(at("outside/new2"), O_CREAT | O_WRONLY, 0600)))
ONE(w_reopen, FILES, "write", "an O_PATH descriptor opened anew", put(open(by_fd(opath(FILE1)), O_WRONLY)))
ATTEMPT(w_link, FILES, "write", "through a link in the writable directory") {
    return !symlink(FILE1, at("data/wlink")) && put(open(at("data/wlink"), O_WRONLY));
}
ONE(w_unlink, FILES, "write", "unlink", !CALL(SYS_unlink, FILE1))
ONE(w_unlinkat, FILES, "write", "unlinkat with a directory descriptor", !unlinkat(opath(at("outside")), "file", 0))
ONE(w_rename, FILES, "write", "rename", !CALL(SYS_rename, FILE1, at("outside/renamed")))
ONE(w_noreplace, FILES, "write", "renameat2", !CALL(SYS_renameat2, AT_FDCWD, FILE1, AT_FDCWD, at("outside/renamed"), RENAME_NOREPLACE))
ONE(w_exchange, FILES, "write", "an exchange of two files", !CALL(SYS_renameat2, AT_FDCWD, FILE1, AT_FDCWD, SECRET, RENAME_EXCHANGE))
ATTEMPT(w_over, FILES, "write", "a rename from the writable directory over a file") {
    close(open(at("data/over"), O_CREAT | O_WRONLY, 0600));
    return !rename(at("data/over"), FILE1);
}
ATTEMPT(w_linkout, FILES, "write", "a hard link out of the writable directory") {
    close(open(at("data/out"), O_CREAT | O_WRONLY, 0600));
    return !link(at("data/out"), at("outside/linked"));
}
ATTEMPT(w_tmpfile, FILES, "write", "a nameless file given a name") {
    int fd = open(at("outside"), O_TMPFILE | O_RDWR, 0600);
    return fd >= 0 && !linkat(AT_FDCWD, by_fd(fd), AT_FDCWD, at("outside/named"), AT_SYMLINK_FOLLOW);
}
ONE(w_mkdir, FILES, "write", "mkdir", !CALL(SYS_mkdir, at("outside/newdir"), 0700))
ONE(w_mkdirat, FILES, "write", "mkdirat", !mkdirat(opath(at("outside")), "newdir2", 0700))
ONE(w_rmdir, FILES, "write", "rmdir", !rmdir(at("outside/empty")))
ONE(w_symlink, FILES, "write", "symlink", !CALL(SYS_symlink, "secret", at("outside/newlink")))
ONE(w_hardlink, FILES, "write", "a hard link beside it", !CALL(SYS_link, FILE1, at("outside/second")))
ONE(w_fifo, FILES, "write", "mknod of a fifo", !mknod(at("outside/fifo"), S_IFIFO | 0600, 0))
ONE(w_node, FILES, "write", "mknod of a file", !mknod(at("outside/node"), S_IFREG | 0600, 0))
ATTEMPT(w_socket, FILES, "write", "a socket's name") {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, 108, "%s", at("outside/mine.sock"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd >= 0 && !bind(fd, (void *)&to, sizeof to);
}
ONE(w_readonly, FILES, "write", "a file of a read grant", put(open(at("read/file"), O_WRONLY)))
ONE(w_readcreate, FILES, "write", "a new file in a read grant", put(open(at("read/new"), O_CREAT | O_WRONLY, 0600)))
ONE(w_readunlink, FILES, "write", "unlink in a read grant", !unlink(at("read/file")))
ONE(w_readtruncate, FILES, "write", "truncate in a read grant", !truncate(at("read/file"), 1))
static int made(const char *path) {
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    return fd >= 0 && !unlink(path);
}
static const char *unique(const char *folder) {
    static char path[128];
    snprintf(path, sizeof path, "%s/portcullis-battery-new-%d", folder, getpid());
    return path;
}
ONE(w_tmp, DONE, "write", "a file in /tmp", made(unique("/tmp")))
ONE(w_vartmp, DONE, "write", "a file in /var/tmp", made(unique("/var/tmp")))
ONE(w_shm, DONE, "write", "a file in /dev/shm", made(unique("/dev/shm")))
ONE(w_oom, STATE, "write", "another process' oom_score_adj", write(open(of_victim("oom_score_adj"), O_WRONLY), "777", 3))
ONE(w_filter, STATE, "write", "another process' coredump_filter", write(open(of_victim("coredump_filter"), O_WRONLY), "0", 1))
ATTEMPT(w_vmem, STATE, "write", "another process' memory by /proc/PID/mem") {
    return pwrite(open(of_victim("mem"), O_WRONLY), mark(), 4, stage_number("memory")) == 4;
}
ATTEMPT(w_flags, DONE, "write", "the flags of a file of a read grant (chattr)") {
    int fd = open(at("read/file"), O_RDONLY), flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags)) return 0;
    flags ^= FS_NODUMP_FL;
    int wanted = flags;
    return !ioctl(fd, FS_IOC_SETFLAGS, &flags) && !ioctl(fd, FS_IOC_GETFLAGS, &flags) && flags == wanted;
}
ATTEMPT(w_xflags, DONE, "write", "the extended flags of a file of a read grant") {
    struct fsxattr attributes;
    int fd = open(at("read/file"), O_RDONLY);
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes)) return 0;
    attributes.fsx_xflags ^= FS_XFLAG_NODUMP;
    unsigned wanted = attributes.fsx_xflags;
    return !ioctl(fd, FS_IOC_FSSETXATTR, &attributes) && !ioctl(fd, FS_IOC_FSGETXATTR, &attributes) && attributes.fsx_xflags == wanted;
}

static char *const seventyseven[] = {"program", "77", 0}, *none[] = {0};
static pid_t execute(const char *path) {
    pid_t pid = fork();
    if (!pid) { execve(path, seventyseven, none); _exit(errno); }
    return pid;
}
static pid_t execute_at(int dir, const char *path, int flags) {
    pid_t pid = fork();
    if (!pid) { CALL(SYS_execveat, dir, path, seventyseven, none, flags); _exit(errno); }
    return pid;
}
static int copy_to(int to) {
    int from = open(at("read/program"), O_RDONLY);
    while (sendfile(to, from, 0, 1 << 20) > 0) {}
    return to;
}
#define PROGRAM at("outside/program")
ONE(x_execve, DONE, "execute", "execve", ran(execute(PROGRAM)))
ONE(x_execveat, DONE, "execute", "execveat with a directory descriptor", ran(execute_at(opath(at("outside")), "program", 0)))
ONE(x_empty, DONE, "execute", "execveat of a descriptor", ran(execute_at(opath(PROGRAM), "", AT_EMPTY_PATH)))
ONE(x_procfd, DONE, "execute", "execve of /proc/self/fd/N", ran(execute(by_fd(open(PROGRAM, O_PATH)))))
ONE(x_script, DONE, "execute", "a script", ran(execute(at("outside/script"))))
ONE(x_readgrant, DONE, "execute", "a program of a read grant", ran(execute(at("read/program"))))
ONE(x_readempty, DONE, "execute", "a program of a read grant by its descriptor", ran(execute_at(opath(at("read/program")), "", AT_EMPTY_PATH)))
ATTEMPT(x_symlink, DONE, "execute", "through a link in the writable directory") {
    return !symlink(PROGRAM, at("data/xlink")) && ran(execute(at("data/xlink")));
}
ATTEMPT(x_spawn, DONE, "execute", "posix_spawn") {
    pid_t pid = -1;
    errno = posix_spawn(&pid, PROGRAM, 0, 0, seventyseven, none);
    return !errno && ran(pid);
}
ATTEMPT(x_written, DONE, "execute", "a program that it wrote itself") {
    close(copy_to(open(at("data/written"), O_CREAT | O_WRONLY, 0755)));
    return ran(execute(at("data/written")));
}
ATTEMPT(x_writtenfd, DONE, "execute", "a program that it wrote itself, by its descriptor") {
    close(copy_to(open(at("data/written2"), O_CREAT | O_WRONLY, 0755)));
    return ran(execute_at(opath(at("data/written2")), "", AT_EMPTY_PATH));
}
ATTEMPT(x_writtenscript, DONE, "execute", "a script that it wrote itself") {
    int fd = open(at("data/written.sh"), O_CREAT | O_WRONLY, 0755);
    dprintf(fd, "#!/bin/sh\nexit 77\n");
    close(fd);
    return ran(execute(at("data/written.sh")));
}
ATTEMPT(x_tmpfile, DONE, "execute", "a nameless file that it wrote itself") {
    int fd = copy_to(open(at("data"), O_TMPFILE | O_RDWR, 0755));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    return ran(execute_at(readable, "", AT_EMPTY_PATH));
}
static int in_memory(unsigned flags) {
    int fd = copy_to(memfd_create("program", MFD_CLOEXEC | flags));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    return readable;
}
ONE(x_memfd, DONE, "execute", "a program in memory, by its descriptor", ran(execute_at(in_memory(0), "", AT_EMPTY_PATH)))
ONE(x_memfdpath, DONE, "execute", "a program in memory, by /proc/self/fd/N", ran(execute(by_fd(in_memory(0)))))
ONE(x_memfdexec, DONE, "execute", "a program in memory made with MFD_EXEC", ran(execute_at(in_memory(16), "", AT_EMPTY_PATH)))

// The trades: what no unprivileged cage holds without a price. Each changes a file of the workload's own user.
ONE(m_chmod, FILES, "metadata", "chmod", !CALL(SYS_chmod, FILE1, 0640))
ONE(m_fchmodat, FILES, "metadata", "fchmodat", !CALL(SYS_fchmodat, AT_FDCWD, FILE1, 0604))
ONE(m_fchmodat2, FILES, "metadata", "fchmodat2", !CALL(452, AT_FDCWD, FILE1, 0606, 0))
ONE(m_fchmod, FILES, "metadata", "fchmod of a file of a read grant", !fchmod(open(at("read/file"), O_RDONLY), 0640))
ONE(m_chown, FILES, "metadata", "chown, which takes set-id bits away", !CALL(SYS_chown, at("outside/setid"), getuid(), getgid()))
ONE(m_lchown, FILES, "metadata", "lchown", !CALL(SYS_lchown, at("outside/setid"), getuid(), getgid()))
ONE(m_fchownat, FILES, "metadata", "fchownat", !fchownat(AT_FDCWD, at("outside/setid"), getuid(), getgid(), 0))
ONE(m_fchown, FILES, "metadata", "fchown of a file of a read grant", !fchown(open(at("read/setid"), O_RDONLY), getuid(), getgid()))
ONE(m_utime, FILES, "metadata", "utime", ({ struct utimbuf t = {1, 1}; !CALL(SYS_utime, FILE1, &t); }))
ONE(m_utimes, FILES, "metadata", "utimes", ({ struct timeval t[2] = {{2, 0}, {2, 0}}; !CALL(SYS_utimes, FILE1, t); }))
ONE(m_futimesat, FILES, "metadata", "futimesat", ({ struct timeval t[2] = {{3, 0}, {3, 0}}; !CALL(SYS_futimesat, AT_FDCWD, FILE1, t); }))
ONE(m_utimensat, FILES, "metadata", "utimensat", ({ struct timespec t[2] = {{4, 0}, {4, 0}}; !CALL(SYS_utimensat, AT_FDCWD, FILE1, t, 0); }))
ONE(m_setxattr, STATE, "attributes", "setxattr", !setxattr(FILE1, "user.battery", "x", 1, 0))
ONE(m_lsetxattr, STATE, "attributes", "lsetxattr", !lsetxattr(FILE1, "user.battery", "y", 1, 0))
ONE(m_fsetxattr, STATE, "attributes", "fsetxattr of a file of a read grant", !fsetxattr(open(at("read/file"), O_RDONLY), "user.battery", "z", 1, 0))
ONE(m_removexattr, STATE, "attributes", "removexattr", !removexattr(FILE1, "user.kept"))
ONE(m_fremovexattr, STATE, "attributes", "fremovexattr of a file of a read grant", !fremovexattr(open(at("read/file"), O_RDONLY), "user.kept"))
static int event(int fd) {
    char bytes[4096];
    return fd >= 0 && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 2000) > 0 && read(fd, bytes, sizeof bytes) > 0;
}
ATTEMPT(i_inotify, DONE, "inotify", "inotify of a directory outside") {
    int fd = inotify_init1(IN_NONBLOCK);
    return inotify_add_watch(fd, at("outside"), IN_ALL_EVENTS) >= 0 && event(fd);
}
ATTEMPT(i_fanotify, DONE, "watch", "fanotify of a directory outside") {
    int fd = CALL(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY);
    return fd >= 0 && !CALL(SYS_fanotify_mark, fd, FAN_MARK_ADD, (unsigned long)(FAN_ATTRIB | FAN_EVENT_ON_CHILD), AT_FDCWD, at("outside")) && event(fd);
}
ATTEMPT(i_handle, DONE, "watch", "a handle of a file outside") {
    struct { struct file_handle head; char rest[128]; } handle = {.head = {.handle_bytes = 128}};
    int mount;
    return !name_to_handle_at(AT_FDCWD, SECRET, &handle.head, &mount, 0);
}
