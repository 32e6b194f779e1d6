//! What is done when a lease ends: `stop`, `ignore`, or `signal:NAME`.

use std::fmt;
use std::str::FromStr;

use super::signal::SignalName;
use super::text::{BadValue, bad, echo, from_text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLeaseEnd {
    /// The program is asked to end, as by TERM to init.
    #[default]
    Stop,
    /// The program gets this signal, once for each end.
    Signal(SignalName),
    /// A line says it.
    Ignore,
}

impl FromStr for OnLeaseEnd {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match (text, text.strip_prefix("signal:")) {
            ("stop", _) => Ok(OnLeaseEnd::Stop),
            ("ignore", _) => Ok(OnLeaseEnd::Ignore),
            (_, Some(signal)) => signal.parse().map(OnLeaseEnd::Signal),
            _ => bad(
                format!("`{}` is nothing to do at the end of a lease", echo(text)),
                "write \"stop\", \"ignore\", or a signal such as \"signal:USR1\"",
            ),
        }
    }
}

impl fmt::Display for OnLeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnLeaseEnd::Stop => f.write_str("stop"),
            OnLeaseEnd::Ignore => f.write_str("ignore"),
            OnLeaseEnd::Signal(signal) => write!(f, "signal:{signal}"),
        }
    }
}
from_text!(OnLeaseEnd, "\"stop\", \"ignore\" or \"signal:NAME\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_is_shown() {
        for text in ["stop", "ignore", "signal:SIGUSR1", "signal:SIGRTMIN+3"] {
            assert_eq!(text.parse::<OnLeaseEnd>().unwrap().to_string(), text);
        }
        for text in ["", "restart", "signal", "signal:", "signal:KILL", "Stop"] {
            assert!(text.parse::<OnLeaseEnd>().is_err(), "{text}");
        }
    }
}
