//! One process in namespaces of its own (pid, mounts), with exactly the descriptors that a case wants; and waiting for it.
//!
//! Nothing here knows an init.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What one standard stream is.
pub enum Stream {
    /// A pipe to the test.
    Pipe,
    Closed,
    File(File),
}

impl Stream {
    fn stdio(&mut self) -> Stdio {
        match std::mem::replace(self, Stream::Closed) {
            Stream::Pipe => Stdio::piped(),
            Stream::Closed => Stdio::null(),
            Stream::File(file) => file.into(),
        }
    }
}

/// Everything about the process but its command.
pub struct Surroundings {
    pub streams: [Stream; 3],
    /// Placed at these numbers and inherited.
    pub more: Vec<(OwnedFd, RawFd)>,
    /// Its standard input becomes its controlling terminal.
    pub terminal: bool,
    /// Blocked, ignored, pending: what its parent left it, done last.
    pub before: Option<fn()>,
}

/// Starts it as PID 1 of a new namespace with its own `/proc`.
pub fn spawn(command: &[OsString], folder: &Path, mut surroundings: Surroundings) -> Child {
    let mut spawned = Command::new(&command[0]);
    spawned.args(&command[1..]).current_dir(folder).env_clear();
    let closed: Vec<RawFd> = (0..3).filter(|at| matches!(surroundings.streams[*at as usize], Stream::Closed)).collect();
    let [input, output, errors] = &mut surroundings.streams;
    spawned.stdin(input.stdio()).stdout(output.stdio()).stderr(errors.stdio());
    // Well above every number that is wanted, so that placing one does not overwrite another.
    let more: Vec<(OwnedFd, RawFd)> = surroundings.more.drain(..).map(|(fd, at)| (raised(&fd), at)).collect();
    let (terminal, before) = (surroundings.terminal, surroundings.before);
    // SAFETY: between fork and exec: system calls alone, on values that were made before.
    unsafe {
        spawned.pre_exec(move || prepare(&more, &closed, terminal, before));
    }
    // The namespace for children is a property of the thread, and good for one first process.
    let thread = std::thread::spawn(move || {
        // SAFETY: changes where this thread's next child is born, and nothing else.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "a pid namespace");
        spawned.spawn().expect("a process")
    });
    thread.join().expect("the thread that starts it")
}

fn raised(fd: &OwnedFd) -> OwnedFd {
    // SAFETY: a new descriptor, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 200)) }
}

fn prepare(more: &[(OwnedFd, RawFd)], closed: &[RawFd], terminal: bool, before: Option<fn()>) -> std::io::Result<()> {
    let none = std::ptr::null();
    // What the standard library's own way to start processes leaves ignored for its children: 32, of the C library.
    let fresh = [0u64; 4];
    // SAFETY: system calls with constant texts and numbers; the kernel reads a whole sigaction.
    unsafe {
        for signal in [32, 33] {
            libc::syscall(libc::SYS_rt_sigaction, signal, fresh.as_ptr(), 0, 8);
        }
        let own = libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
            && libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, none.cast()) == 0;
        if !own || (terminal && (libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1)) {
            return Err(std::io::Error::last_os_error());
        }
        // Whatever else the test was started with.
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        for (fd, at) in more {
            libc::dup2(fd.as_raw_fd(), *at);
        }
        for fd in closed {
            libc::close(*fd);
        }
    }
    if let Some(before) = before {
        before();
    }
    Ok(())
}

/// Waits for its end, without reaping it: true when it came in time.
pub fn ends_within(pid: i32, patience: Duration) -> bool {
    // SAFETY: a new descriptor of our own child, which nobody has reaped.
    let pidfd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as RawFd;
        assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    let mut ready = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives here.
    unsafe { libc::poll(&raw mut ready, 1, patience.as_millis() as i32) > 0 }
}

/// The lines of a stream as they come; without the carriage returns of a terminal. It ends with the stream.
pub fn lines(stream: impl Into<OwnedFd>) -> Receiver<String> {
    let (send, receive) = channel();
    let mut reader = BufReader::new(File::from(stream.into()));
    std::thread::spawn(move || {
        let mut line = Vec::new();
        // EIO is how a terminal says that nobody has it open any more.
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).replace('\r', "").trim_end_matches('\n').to_owned();
            if send.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receive
}

/// Every signal number, and values: libc's `sigqueue` as the kernel's call, which knows 32 and 33.
pub fn queue(pid: i32, signal: i32, value: i32) -> std::io::Result<()> {
    #[repr(C)]
    struct Info {
        signal: i32,
        errno: i32,
        code: i32,
        gap: i32,
        pid: i32,
        uid: u32,
        value: u64,
        rest: [u64; 12],
    }
    let info =
        Info { signal, errno: 0, code: libc::SI_QUEUE, gap: 0, pid: 0, uid: 0, value: value as u64, rest: [0; 12] };
    // SAFETY: the kernel reads 128 bytes, which is the size of the struct.
    match unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill(2) touches no memory.
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}
