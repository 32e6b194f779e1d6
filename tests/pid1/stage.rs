//! A start of the judged init, and what can be done with it while it runs: hear its workload, signal it, see how it ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::spawn::{self, Stream, Surroundings};
use crate::support::start::{Place, binary};
use crate::table::{Home, Init};

/// Who is judged, where, and how long a hang may take to be one.
pub struct Stage {
    pub init: Init,
    pub home: Home,
    pub patience: Duration,
    pub place: Place,
}

impl Stage {
    pub fn new(init: Init, home: Home, patience: Duration) -> Stage {
        Stage { init, home, patience, place: Place::new() }
    }

    pub fn is_portcullis(&self) -> bool {
        self.init == Init::Portcullis
    }

    /// A start with pipes for all three streams.
    pub fn start(&self, words: &[&str]) -> Result<Running, String> {
        self.begin().start(words)
    }

    pub fn begin(&self) -> Start<'_> {
        let streams = [Stream::Pipe, Stream::Pipe, Stream::Pipe];
        let surroundings = Surroundings { streams, more: Vec::new(), terminal: false, before: None };
        Start { stage: self, flags: Vec::new(), surroundings, terminal: None, first: "run" }
    }

    /// The words up to the program.
    pub fn init_words(&self, flags: &[&str]) -> Vec<OsString> {
        let words: Vec<&OsStr> = match (self.init, self.home) {
            (Init::Tini, Home::Pid1) => ["/usr/bin/tini", "--"].map(OsStr::new).to_vec(),
            (Init::Tini, Home::Subreaper) => ["/usr/bin/tini", "-s", "--"].map(OsStr::new).to_vec(),
            (Init::Portcullis, _) => {
                let own = [binary().as_os_str(), OsStr::new("run"), OsStr::new("--user=65532:65532")];
                own.into_iter().chain(flags.iter().map(OsStr::new)).chain([OsStr::new("--")]).collect()
            }
        };
        words.into_iter().map(OsStr::to_owned).collect()
    }
}

/// What differs from an ordinary start.
pub struct Start<'a> {
    stage: &'a Stage,
    flags: Vec<&'a str>,
    surroundings: Surroundings,
    terminal: Option<OwnedFd>,
    first: &'a str,
}

impl<'a> Start<'a> {
    /// For portcullis alone.
    pub fn flags(mut self, flags: &[&'a str]) -> Self {
        self.flags.extend(flags);
        self
    }

    pub fn stream(mut self, at: usize, stream: Stream) -> Self {
        self.surroundings.streams[at] = stream;
        self
    }

    pub fn descriptor(mut self, fd: OwnedFd, at: i32) -> Self {
        self.surroundings.more.push((fd, at));
        self
    }

    pub fn before(mut self, before: fn()) -> Self {
        self.surroundings.before = Some(before);
        self
    }

    /// All three streams are a new terminal, which is the session's; not PID 1, the init is a job of a shell then.
    pub fn on_a_terminal(mut self) -> Self {
        let pair = nix::pty::openpty(None, None).expect("a terminal");
        // Other tests start processes at the same time: these may not have them.
        let own = |fd: &OwnedFd| fd.try_clone().expect("a descriptor");
        let end = || Stream::File(File::from(own(&pair.slave)));
        self.surroundings.streams = [end(), end(), end()];
        self.surroundings.terminal = true;
        self.terminal = Some(own(&pair.master));
        self
    }

    /// The terminal stays nobody's controlling one.
    pub fn without_a_session(mut self) -> Self {
        self.surroundings.terminal = false;
        self
    }

    /// The shell's first word to its job: `run-bg`.
    pub fn in_the_background(mut self) -> Self {
        self.first = "run-bg";
        self
    }

    /// The probe is the workload.
    pub fn start(self, words: &[&str]) -> Result<Running, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        self.start_program(probe().as_os_str(), &words)
    }

    pub fn start_program(self, program: &OsStr, words: &[OsString]) -> Result<Running, String> {
        let mut command = self.stage.init_words(&self.flags);
        command.push(program.to_owned());
        command.extend_from_slice(words);
        let folder = self.stage.place.path("app");
        let Start { stage, mut surroundings, terminal, first, .. } = self;
        let (mut commands, mut news) = (None, None);
        if stage.home == Home::Subreaper {
            let (theirs, ours) = pipe();
            surroundings.more.push((theirs, 7));
            let (read, write) = pipe();
            surroundings.more.push((write, 8));
            (commands, news) = (Some(File::from(ours)), Some(spawn::lines(read)));
            let role = if terminal.is_some() { "shell" } else { "keep" };
            command.splice(0..0, [probe().as_os_str().to_owned(), role.into()]);
        }
        let mut child = spawn::spawn(&command, &folder, surroundings);
        let master = terminal.as_ref().map(|master| master.try_clone().expect("a descriptor"));
        let out = master.map(spawn::lines).or_else(|| child.stdout.take().map(spawn::lines));
        let errors = child.stderr.take().map(spawn::lines);
        let stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe))).or(terminal.map(File::from));
        let mut running =
            Running { init: child.id() as i32, child, stdin, out, errors, commands, news, patience: stage.patience };
        if stage.home == Home::Subreaper {
            running.order(first)?;
            running.news_is("job 2")?;
            // It may have ended already: there is no process 0.
            running.init = children(running.init).first().copied().unwrap_or_default();
        }
        Ok(running)
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe")
}

/// A started init.
pub struct Running {
    /// Its number in this namespace.
    pub init: i32,
    child: Child,
    pub stdin: Option<File>,
    out: Option<Receiver<String>>,
    errors: Option<Receiver<String>>,
    commands: Option<File>,
    news: Option<Receiver<String>>,
    pub patience: Duration,
}

/// How it ended.
#[derive(Debug)]
pub struct End {
    pub code: Option<i32>,
    /// Lines that nobody had asked for yet.
    pub out: Vec<String>,
    pub errors: Vec<String>,
    /// Processes that were there afterwards; always none as PID 1.
    pub left: usize,
}

impl Running {
    /// The next line of the workload.
    pub fn line(&self) -> Result<String, String> {
        let out = self.out.as_ref().ok_or("no output")?;
        next(out, self.patience).map_err(|why| format!("{why}, waiting for a line; {:?}", self.said()))
    }

    /// It must be this one.
    pub fn says(&self, wanted: &str) -> Result<(), String> {
        let line = self.line()?;
        if line == wanted { Ok(()) } else { Err(format!("`{line}` instead of `{wanted}`; {:?}", self.said())) }
    }

    /// Says this sooner or later: on a terminal there are also echoes, and the messages of init.
    pub fn says_at_last(&self, wanted: &str) -> Result<(), String> {
        let mut seen = Vec::new();
        loop {
            let line = self.line().map_err(|why| format!("{why}; `{wanted}` was due after {seen:?}"))?;
            if line.ends_with(wanted) {
                return Ok(());
            }
            seen.push(line);
        }
    }

    /// A new size of the terminal, in rows and columns.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), String> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = std::os::fd::AsRawFd::as_raw_fd(self.stdin.as_ref().ok_or("no terminal")?);
        // SAFETY: the kernel reads one winsize that lives here.
        match unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().to_string()),
        }
    }

    /// The other end of the terminal is closed.
    pub fn hang_up(&mut self) -> Result<(), String> {
        self.out = None;
        // The reader has that end as well: the echo of a line wakes it, and it finds nobody to tell.
        self.type_in("\n")?;
        self.stdin = None;
        Ok(())
    }

    /// The output has ended, though init lives.
    pub fn output_ends(&self) -> Result<(), String> {
        match self.out.as_ref().ok_or("no output")?.recv_timeout(self.patience) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            other => Err(format!("the output goes on: {other:?}")),
        }
    }

    /// Messages of the init so far.
    pub fn said(&self) -> Vec<String> {
        self.errors.iter().flat_map(|errors| errors.try_iter().collect::<Vec<_>>()).collect()
    }

    /// To init; an error where it is gone.
    pub fn signal(&self, signal: i32) -> Result<(), String> {
        if state(self.init).is_none_or(|state| state == 'Z') {
            return Err("init has ended".to_owned());
        }
        spawn::kill(self.init, signal);
        Ok(())
    }

    /// How many processes live beside the keeper now.
    pub fn left(&mut self) -> Result<usize, String> {
        self.order("left")?;
        let news = self.news()?;
        news.strip_prefix("left ").and_then(|number| number.parse().ok()).ok_or(news)
    }

    /// A line to its standard input, or to the terminal.
    pub fn type_in(&mut self, text: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("no input")?;
        stdin.write_all(text.as_bytes()).map_err(|error| error.to_string())
    }

    pub fn order(&mut self, word: &str) -> Result<(), String> {
        let commands = self.commands.as_mut().ok_or("there is no keeper")?;
        writeln!(commands, "{word}").map_err(|error| error.to_string())
    }

    pub fn news(&self) -> Result<String, String> {
        next(self.news.as_ref().ok_or("there is no keeper")?, self.patience)
            .map_err(|why| format!("{why}, waiting for news"))
    }

    pub fn news_is(&self, wanted: &str) -> Result<(), String> {
        let news = self.news()?;
        if news == wanted { Ok(()) } else { Err(format!("news `{news}` instead of `{wanted}`; {:?}", self.said())) }
    }

    /// The workload's number in this namespace: the only child that init has had for sure.
    pub fn workload(&self) -> Result<i32, String> {
        children(self.init).first().copied().ok_or_else(|| "init has no child".to_owned())
    }

    /// Waits for the end of init, and of everything with it.
    pub fn end(&mut self) -> Result<End, String> {
        let (mut code, mut left) = (None, 0);
        if let Some(news) = &self.news {
            loop {
                let said = next(news, self.patience)
                    .map_err(|why| format!("{why}, waiting for the end; {:?}", self.said()))?;
                match said.split_once(' ') {
                    Some(("exited", number)) => code = number.parse().ok(),
                    Some(("left", number)) => {
                        left = number.parse().map_err(|_| said.clone())?;
                        break;
                    }
                    _ => {}
                }
            }
        }
        // A keeper ends when nobody has orders for it.
        self.commands = None;
        if !spawn::ends_within(self.child.id() as i32, self.patience) {
            return Err(format!("it does not end; {:?}", self.said()));
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if self.news.is_none() {
            code = status.code();
        }
        let rest = |lines: &Option<Receiver<String>>| {
            lines.iter().flat_map(|lines| lines.iter().collect::<Vec<_>>()).collect()
        };
        // Descriptors of the test's own keep a terminal open: its reader would wait for ever.
        let out = if self.errors.is_some() {
            rest(&self.out)
        } else {
            self.out.iter().flat_map(Receiver::try_iter).collect()
        };
        Ok(End { code, out, errors: rest(&self.errors), left })
    }

    /// The end, with this code and nothing more to say.
    pub fn ends_with(&mut self, code: i32) -> Result<End, String> {
        let end = self.end()?;
        if end.code == Some(code) { Ok(end) } else { Err(format!("{code} was due: {end:?}")) }
    }

    /// `/proc/PID/status` of init, one field.
    pub fn status(&self, key: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.init)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    }

    /// Waits until a look at init is satisfied. For what the kernel tells nobody: there is no event to wait for.
    pub fn until(&self, what: &str, mut look: impl FnMut(&Running) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !look(self) {
            if begun.elapsed() > self.patience {
                return Err(format!("not in time: {what}"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Running {
    /// The namespace goes with its first process.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn next(lines: &Receiver<String>, patience: Duration) -> Result<String, String> {
    lines.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => "nothing came in time".to_owned(),
        RecvTimeoutError::Disconnected => "the stream has ended".to_owned(),
    })
}

/// Children of a process, oldest first, zombies among them.
pub fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The state letter of a process, of proc_pid_stat(5).
pub fn state(pid: i32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

/// Compiled once, beside the binary under test.
pub fn probe() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let path = binary().with_file_name("probe");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pid1");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-static", "-o"]).arg(&path);
        let made = compiler.args([source.join("probe.c"), source.join("keeper.c")]).status();
        assert!(made.expect("a C compiler").success(), "the probe compiles");
        path
    })
}
