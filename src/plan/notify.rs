//! Who answers the service manager, decided: by its variables, which count for this very process alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::model::Notify;
use crate::config::model::{Config, Notify as Word, Optional};
use crate::host::Started;
use crate::refusal::Refusal;

const SOCKET: &str = "NOTIFY_SOCKET";

/// The most bytes of a unix socket's name (unix(7): `sun_path`, with its last zero).
const LONGEST: usize = 107;

/// `pid` is our own.
pub fn decide(
    config: &Config,
    started: &Started,
    pid: i32,
    notes: &mut Vec<String>,
) -> Result<Option<Notify>, Refusal> {
    let Some(socket) = variable(started, SOCKET) else {
        if config.workload.notify == Word::Pass {
            notes.push(
                "workload.notify = \"pass\", and no service manager waits (NOTIFY_SOCKET): unix sockets stay closed"
                    .to_owned(),
            );
        }
        return Ok(None);
    };
    let socket = socket.to_owned();
    named(&socket)?;
    let watchdog = watchdog(started, pid);
    match (config.workload.notify, watchdog) {
        (Word::Ready, None) => Ok(Some(Notify::Ready { socket })),
        (Word::Ready, Some(_)) => Err(Refusal::config(
            "the service manager has a watchdog on this start (WATCHDOG_USEC), and nobody would answer it",
            "leave WatchdogSec= out of the unit, or set workload.notify = \"pass\" for a program that answers it",
        )),
        (Word::Pass, watchdog) => {
            within_reach(&socket, config)?;
            notes.push("workload.notify = \"pass\" opens unix datagram sockets: every one that the program's user may write to is within its reach, the journal's among them; the unit needs NotifyAccess=all".to_owned());
            Ok(Some(Notify::Pass { socket, watchdog }))
        }
    }
}

fn variable<'a>(started: &'a Started, name: &str) -> Option<&'a OsStr> {
    started.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
}

/// sd_watchdog_enabled(3): without WATCHDOG_PID it is for whoever reads it.
fn watchdog(started: &Started, pid: i32) -> Option<OsString> {
    let ours = variable(started, "WATCHDOG_PID").is_none_or(|owner| owner.as_bytes() == pid.to_string().as_bytes());
    variable(started, "WATCHDOG_USEC").filter(|_| ours).map(OsStr::to_owned)
}

/// sd_notify(3): a path, or a name in the abstract namespace after `@`.
fn named(socket: &OsStr) -> Result<(), Refusal> {
    let bytes = socket.as_bytes();
    if matches!(bytes.first(), Some(b'/' | b'@')) && (2..=LONGEST).contains(&bytes.len()) {
        return Ok(());
    }
    Err(Refusal::config(
        format!("NOTIFY_SOCKET is `{}`, which is no name of a unix socket", socket.display()),
        "it is a service manager's to set, to a path or to `@` and a name; remove it from the environment",
    ))
}

/// The cage closes the abstract namespace, where the kernel can.
fn within_reach(socket: &OsStr, config: &Config) -> Result<(), Refusal> {
    if socket.as_bytes().starts_with(b"/") || config.confine.optional.contains(&Optional::LandlockScopes) {
        return Ok(());
    }
    Err(Refusal::config(
        format!("NOTIFY_SOCKET is `{}`, an abstract socket, which the cage keeps the program from", socket.display()),
        "use workload.notify = \"ready\", with which portcullis answers",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(word: Word, variables: &[(&str, &str)]) -> Result<Option<Notify>, String> {
        let mut config = Config::default();
        config.workload.notify = word;
        let env = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let started = Started { env, ..Started::default() };
        decide(&config, &started, 7, &mut Vec::new()).map_err(|refusal| refusal.what)
    }

    #[test]
    fn nobody_is_answered_where_nobody_asks() {
        for word in [Word::Ready, Word::Pass] {
            assert_eq!(asked(word, &[]), Ok(None));
            assert_eq!(asked(word, &[("NOTIFY_SOCKET", "")]), Ok(None));
            assert_eq!(asked(word, &[("WATCHDOG_USEC", "1000000")]), Ok(None));
        }
    }

    #[test]
    fn a_watchdog_counts_for_the_named_process_and_is_never_left_unanswered() {
        let socket = || OsString::from("/run/notify");
        let variables = |pid| [("NOTIFY_SOCKET", "/run/notify"), ("WATCHDOG_USEC", "5"), ("WATCHDOG_PID", pid)];
        let pass = |watchdog: Option<&str>| {
            Ok(Some(Notify::Pass { socket: socket(), watchdog: watchdog.map(OsString::from) }))
        };
        assert_eq!(asked(Word::Pass, &variables("7")), pass(Some("5")));
        assert_eq!(asked(Word::Pass, &variables("8")), pass(None));
        assert_eq!(asked(Word::Pass, &variables("7")[..2]), pass(Some("5")));
        assert_eq!(asked(Word::Ready, &variables("8")), Ok(Some(Notify::Ready { socket: socket() })));
        assert!(asked(Word::Ready, &variables("7")).unwrap_err().contains("nobody would answer"));
    }

    #[test]
    fn names_are_paths_or_abstract_and_the_cage_closes_the_latter() {
        let long = format!("/{}", "x".repeat(LONGEST));
        for name in ["vsock:2:1", "relative", "/", "@", &long] {
            assert!(asked(Word::Ready, &[("NOTIFY_SOCKET", name)]).unwrap_err().contains("no name"), "{name}");
        }
        assert!(asked(Word::Ready, &[("NOTIFY_SOCKET", "@abstract")]).is_ok());
        assert!(asked(Word::Pass, &[("NOTIFY_SOCKET", "@abstract")]).unwrap_err().contains("keeps the program from"));
    }
}
