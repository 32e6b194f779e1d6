//! A fetcher that is not ours, at the other end of the socket: whatever it says out of turn ends the start.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;
use crate::config::model::{Dns, LogFormat, Mode};
use crate::plan::{Cage, Delivery, Ids, Image, LandlockPlan, Launch, Rewrite, Stop, SyscallPlan};
use crate::refusal::Exit;
use crate::wire::{self, Channel, Frame, LogLines, NO_TIME, Tag};

fn plan() -> Plan {
    Plan {
        deadline: Duration::from_secs(1),
        stop: Stop { signal: libc::SIGTERM, before: Vec::new(), timeout: Duration::from_secs(1) },
        rewrite: Rewrite::new(),
        mode: Mode::Supervise,
        launch: Launch {
            program: "/bin/true".into(),
            image: Image::Direct,
            loader: None,
            scripts: Vec::new(),
            argv: Vec::new(),
            env: Vec::new(),
            workdir: "/".into(),
            umask: 0o22,
            sockets: 0,
            socket_names: None,
            notify: None,
        },
        cage: Cage {
            ids: Ids { uid: 1, gid: 1, groups: Vec::new(), change: false },
            bounding: false,
            core: 1,
            limits: Vec::new(),
            landlock: LandlockPlan { abi: 7, grants: Vec::new(), connect: None, bind: None, scopes: false },
            syscalls: SyscallPlan {
                profile: crate::config::model::Profile::Default,
                deny_write_execute: false,
                listen: false,
                metadata: false,
                dns: Dns::Off,
                explained: true,
                explanation_optional: false,
                notify: false,
                exec_by_descriptor: false,
                explain_files: false,
            },
        },
        delivery: Delivery { pipe: true, ..Delivery::default() },
        fetch: None,
        pid1: false,
        kernel: String::new(),
        notes: Vec::new(),
    }
}

/// The other side of a preparation that waits for a fetcher of two secrets.
struct Hostile {
    socket: Channel,
    log: std::fs::File,
    pipe: OwnedFd,
}

fn prepared(plan: &Plan) -> (Preparation<'_>, Hostile) {
    let (ours, theirs) = wire::pair().unwrap();
    let (log, writer) = nix::unistd::pipe().unwrap();
    fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut ends = BundleEnds::make(plan).unwrap();
    let pipe = ends.pipe.take_writer().unwrap();
    let role = Role { pid: Pid::from_raw(i32::MAX), channel: ours, log: LogLines::new("fetcher", log) };
    let fetching = Fetching {
        single_use: None,
        region: None,
        role,
        gifts: Vec::new(),
        given: false,
        allowance: Allowance::fetcher(2),
        bundle: None,
        ended: None,
        closed: false,
    };
    let preparation = Preparation {
        plan,
        console: Console::new(LogFormat::Text),
        end: Instant::now() + plan.deadline,
        signals: signals::descriptor(0).unwrap(),
        launching: None,
        fetching: Some(fetching),
        commands: Vec::new(),
        denials: None,
        ends,
        held: Vec::new(),
        notes: Vec::new(),
        kept: Vec::new(),
        keeping: None,
    };
    (preparation, Hostile { socket: theirs, log: writer.into(), pipe })
}

impl Hostile {
    fn say(&self, tag: Tag, a: u64) {
        self.socket.send(Frame::new(tag, a, 0, NO_TIME), &[]).unwrap();
    }

    fn kept(&self, number: u64) {
        self.socket.send(Frame::new(Tag::Kept, number, 60, 1), &[]).unwrap();
    }

    fn say_bytes(&self, bytes: &[u8]) {
        nix::unistd::write(&self.socket, bytes).unwrap();
    }
}

fn refusal(done: Result<(), Stopped>) -> Refusal {
    match done {
        Err(Stopped::Refused(refusal)) => refusal,
        Err(Stopped::Signalled(signal)) => panic!("signal {signal}"),
        Ok(()) => panic!("it was believed"),
    }
}

/// What is said when the other side behaves like this.
fn heard(act: impl FnOnce(&mut Hostile)) -> Refusal {
    let plan = plan();
    let (mut preparation, mut hostile) = prepared(&plan);
    act(&mut hostile);
    let done = preparation.hear_out();
    refusal(done)
}

#[test]
fn frames_out_of_turn_end_the_start() {
    type Act = fn(&mut Hostile);
    let cases: [(&str, Act); 13] = [
        ("a bundle more than was planned", |h| (0..2).for_each(|i| h.say([Tag::Secret, Tag::Bundle][i as usize], 0))),
        ("an unknown tag", |h| h.say_bytes(&[0xB7, 99].into_iter().chain([0; 30]).collect::<Vec<u8>>())),
        ("a short frame", |h| h.say_bytes(&Frame::new(Tag::Ready, 0, 0, 0).encode()[..31])),
        ("a long frame", |h| h.say_bytes(&[&Frame::new(Tag::Ready, 0, 0, 0).encode()[..], b"x"].concat())),
        ("a launcher's tag", |h| h.say(Tag::Caged, 0)),
        ("init's own tag", |h| h.say(Tag::Go, 0)),
        ("ready twice", |h| (0..2).for_each(|_| h.say(Tag::Ready, 0))),
        ("a secret out of order", |h| h.say(Tag::Secret, 1)),
        ("a secret too many", |h| (0..3).for_each(|i| h.say(Tag::Secret, i))),
        ("something kept out of order", |h| h.say(Tag::Kept, 1)),
        ("something kept too many", |h| (0..4).for_each(|i| h.kept(i))),
        ("something kept after the secrets", |h| [Tag::Secret, Tag::Kept].into_iter().for_each(|tag| h.say(tag, 0))),
        ("a descriptor", |h| h.socket.send(Frame::new(Tag::Ready, 0, 0, 0), &[h.pipe.as_fd()]).unwrap()),
    ];
    for (what, act) in cases {
        let refusal = heard(act);
        assert_eq!(refusal.exit, Exit::RoleBroke, "{what}: {refusal}");
    }
}

#[test]
fn silence_and_a_closed_socket_end_at_the_deadline_without_spinning() {
    let begun = Instant::now();
    assert_eq!(heard(|_| {}).exit, Exit::Deadline);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let plan = plan();
    let (mut preparation, hostile) = prepared(&plan);
    drop(hostile.socket);
    let before = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap().user_time();
    assert_eq!(refusal(preparation.hear_out()).exit, Exit::Deadline);
    let after = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap().user_time();
    assert!(
        nix::sys::time::TimeValLike::num_milliseconds(&(after - before)) < 500,
        "it spins while it waits for the death"
    );
}

#[test]
fn a_lie_about_the_length_is_seen() {
    let plan = plan();
    for (written, said) in [(5, 6), (5, 4), (0, 1), (0, 0)] {
        let (mut preparation, hostile) = prepared(&plan);
        nix::unistd::write(&hostile.pipe, &vec![b'x'; written]).unwrap();
        preparation.fetching.as_mut().unwrap().bundle = Some([said, 0, 0]);
        preparation.fetching.as_mut().unwrap().ended = Some(Ended::Exited(0));
        let refusal = preparation.is_complete().unwrap_err();
        assert_eq!(refusal.exit, Exit::RoleBroke, "{refusal}");
    }
}

#[test]
fn a_bundle_counts_only_once_its_fetcher_is_gone() {
    let plan = plan();
    let (mut preparation, hostile) = prepared(&plan);
    nix::unistd::write(&hostile.pipe, b"{}").unwrap();
    preparation.fetching.as_mut().unwrap().bundle = Some([2, 0, 0]);
    assert_eq!(preparation.is_complete(), Ok(false));
    preparation.fetching.as_mut().unwrap().ended = Some(Ended::Exited(0));
    assert_eq!(preparation.is_complete(), Ok(true));
}

#[test]
fn a_flood_of_log_lines_is_cut_and_its_pipe_closed() {
    let plan = plan();
    let (mut preparation, hostile) = prepared(&plan);
    let mut log = hostile.log;
    let writer = std::thread::spawn(move || {
        let line = [b"\x1b[2J".as_slice(), &[b'a'; 1000], b"\n"].concat();
        (0..10_000).take_while(|_| log.write_all(&line).is_ok()).count()
    });
    assert_eq!(refusal(preparation.hear_out()).exit, Exit::Deadline);
    let log = &preparation.fetching.as_ref().unwrap().role.log;
    assert!(log.as_fd().is_none(), "the pipe is closed");
    assert!(writer.join().unwrap() < 200, "the writer was stopped");
}

#[test]
fn a_refusal_is_believed_with_a_known_code_alone() {
    let with = |code| {
        heard(move |hostile| {
            hostile.log.write_all(b"refused: no\nhint: yes\n").unwrap();
            hostile.say(Tag::Refused, code);
        })
    };
    assert_eq!(with(77), Refusal::new(Exit::StoreSaidNo, "no", "yes"));
    for code in [0, 1, 999, u64::MAX] {
        assert_eq!(with(code).exit, Exit::RoleBroke, "{code}");
    }
}
