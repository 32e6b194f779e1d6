//! The table: what a case is, what tini is known to do, and the four tests that each case becomes.
//!
//! Nothing here knows what a case looks at.

use std::time::Duration;

use crate::stage::Stage;
use crate::support;

/// Who is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Tini,
    Portcullis,
}

/// Where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The first process of its namespace.
    Pid1,
    /// A child of another, and subreaper (`tini -s`).
    Subreaper,
}

/// What tini does with a case, in each home: `None` is passing it, else why it fails, or cannot be asked.
#[derive(Debug, Clone, Copy)]
pub enum Tini {
    Passes,
    Fails(&'static str),
    FailsAsPid1(&'static str),
    FailsAsSubreaper(&'static str),
}

impl Tini {
    fn fault(self, home: Home) -> Option<&'static str> {
        match (self, home) {
            (Tini::Fails(why), _) | (Tini::FailsAsPid1(why), Home::Pid1) => Some(why),
            (Tini::FailsAsSubreaper(why), Home::Subreaper) => Some(why),
            _ => None,
        }
    }
}

/// What a case comes to: what was not as it should be.
pub type Judged = Result<(), String>;

/// Longer than anything takes; a hang is a hang at any length.
const HANGS: Duration = Duration::from_secs(30);
/// For a case that tini is known to fail: many of its failures are hangs.
const KNOWN_HANGS: Duration = Duration::from_secs(2);

pub fn judge(init: Init, home: Home, tini: Tini, case: fn(&Stage) -> Judged) {
    if !support::start::is_root() {
        return support::skip("a pid namespace needs root");
    }
    let known = if init == Init::Tini { tini.fault(home) } else { None };
    let stage = Stage::new(init, home, if known.is_some() { KNOWN_HANGS } else { HANGS });
    match (case(&stage), known) {
        (Ok(()), None) | (Err(_), Some(_)) => {}
        (Err(wrong), None) => panic!("{init:?} as {home:?}: {wrong}"),
        (Ok(()), Some(why)) => panic!("tini passes after all, and the table says: {why}"),
    }
}

/// `name, what tini does => |stage| { ... }`: four tests a case, in a module of its name.
macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident, $tini:expr => |$stage:ident| $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use crate::table::{Home, Init, Judged, judge};
            fn case($stage: &crate::stage::Stage) -> Judged { $body }
            #[test]
            fn portcullis_as_pid_1() { judge(Init::Portcullis, Home::Pid1, $tini, case); }
            #[test]
            fn portcullis_as_subreaper() { judge(Init::Portcullis, Home::Subreaper, $tini, case); }
            #[test]
            fn tini_as_pid_1() { judge(Init::Tini, Home::Pid1, $tini, case); }
            #[test]
            fn tini_as_subreaper() { judge(Init::Tini, Home::Subreaper, $tini, case); }
        }
    )*};
}
pub(crate) use cases;

/// Equal, or what was found instead.
macro_rules! same {
    ($found:expr, $wanted:expr) => {
        match (&$found, &$wanted) {
            (found, wanted) if *found == *wanted => {}
            (found, wanted) => return Err(format!("{}: {found:?} instead of {wanted:?}", stringify!($found))),
        }
    };
}
pub(crate) use same;

/// True, or the words.
macro_rules! holds {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use holds;
