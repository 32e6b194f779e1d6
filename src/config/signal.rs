//! Signals by name, as a config writes them: `TERM`, `SIGTERM`, `RTMIN+3`, or a number.
//!
//! Names are the kernel's (signal(7)); RTMIN is 34, as the C libraries and Docker's STOPSIGNAL count.

use std::fmt;
use std::str::FromStr;

use super::text::{BadValue, bad, echo, from_text};

/// Standard signals by their numbers on x86_64 and aarch64 (asm-generic/signal.h), from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// A signal that can be sent to a program as a message: all but KILL and STOP, which are none, and CHLD and URG, which
/// runtimes and the kernel send for their own purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalName(i32);

impl SignalName {
    pub const TERM: SignalName = SignalName(15);

    /// For what arrived: any number from 1 to 64.
    pub fn of(number: i32) -> SignalName {
        SignalName(number)
    }

    /// As the kernel counts, 1 to 64.
    pub fn number(self) -> i32 {
        self.0
    }
}

const FORM: &str = "write a name such as \"INT\", \"USR1\" or \"RTMIN+3\", or a number from 1 to 64";

impl FromStr for SignalName {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        match by_name(name) {
            None => bad(format!("`{}` is no signal", echo(text)), FORM),
            Some(9 | 19) => bad(
                format!("`{}` cannot be heard by a program", echo(text)),
                "after `stop_timeout` whatever remains is killed anyway; name a signal that the program handles",
            ),
            Some(17 | 23) => bad(
                format!("`{}` is no message to a program", echo(text)),
                "the kernel and runtimes send it for their own purposes; name another",
            ),
            Some(number) => Ok(SignalName(number)),
        }
    }
}

fn by_name(name: &str) -> Option<i32> {
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(at + 1).ok();
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(RTMIN),
        (_, Some("")) => Some(RTMAX),
        (Some(above), _) => above.strip_prefix('+').and_then(digits).map(|n| RTMIN + n),
        (_, Some(below)) => below.strip_prefix('-').and_then(digits).map(|n| RTMAX - n),
        (None, None) => digits(name),
    };
    let real_time = name.starts_with("RT");
    number.filter(|number| (if real_time { RTMIN } else { 1 }..=RTMAX).contains(number))
}

/// One or two digits: no sign, no blank.
fn digits(text: &str) -> Option<i32> {
    let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|at| NAMES.get(at)) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}
from_text!(SignalName, "the name of a signal, such as \"INT\"");

/// What a rewritten signal becomes: another, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten(Option<SignalName>);

impl Rewritten {
    pub fn number(self) -> Option<i32> {
        self.0.map(SignalName::number)
    }
}

impl FromStr for Rewritten {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "none" {
            return Ok(Rewritten(None));
        }
        text.parse().map(|signal| Rewritten(Some(signal))).map_err(|bad: BadValue| match bad.hint.as_str() {
            FORM => BadValue { hint: format!("{FORM}; \"none\" drops it"), ..bad },
            _ => bad,
        })
    }
}
from_text!(Rewritten, "the name of a signal, such as \"USR1\", or \"none\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_distances_are_read() {
        let read = |text: &str| text.parse::<SignalName>().ok().map(SignalName::number);
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("15", 15),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("64", 64),
            ("32", 32),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in
            ["", "SIG", "term", "0", "65", "-1", "+1", "RTMIN+31", "RTMAX-31", "RTMIN-1", "RTMIN+", "015", "1 5"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["KILL", "STOP", "CHLD", "URG", "9", "SIGSTOP"] {
            assert!(text.parse::<SignalName>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_is_read_as_it_is_shown() {
        for number in (1..=64).filter(|number| ![9, 17, 19, 23, 32, 33].contains(number)) {
            assert_eq!(SignalName(number).to_string().parse(), Ok(SignalName(number)));
        }
    }

    #[test]
    fn none_is_nothing() {
        assert_eq!("none".parse::<Rewritten>().map(Rewritten::number), Ok(None));
        assert_eq!("USR1".parse::<Rewritten>().map(Rewritten::number), Ok(Some(10)));
    }
}
