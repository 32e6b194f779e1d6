//! What portcullis prints for people and for log collectors: one place decides between text and JSON lines.
//!
//! Every text is escaped here, so that one message is one line. Nothing here may see a secret.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};

use crate::config::model::LogFormat;
use crate::refusal::{Refusal, escape};

/// Standard error, in the format that the config asks for.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    json: bool,
}

impl Console {
    pub fn new(format: LogFormat) -> Self {
        let json = match format {
            LogFormat::Text => false,
            LogFormat::Json => true,
            LogFormat::Auto => !std::io::stderr().is_terminal(),
        };
        Console { json }
    }

    /// One line of news: `portcullis: started ...`.
    pub fn say(&self, event: &str, text: &str) {
        let line = if self.json {
            serde_json::json!({ "portcullis": event, "text": text }).to_string()
        } else {
            format!("portcullis: {}", escape(text))
        };
        write_line(&line);
    }

    /// A line that a role wrote, already escaped and capped.
    pub fn pass_on(&self, line: &str) {
        if self.json {
            self.say("role", line.strip_prefix("portcullis: ").unwrap_or(line));
        } else {
            write_line(line);
        }
    }

    /// The two lines of a refusal, or one JSON line.
    pub fn refused(&self, refusal: &Refusal) {
        if self.json {
            let exit = refusal.exit.code();
            let line = serde_json::json!({
                "portcullis": "refused", "text": refusal.what, "hint": refusal.hint, "exit": exit,
            });
            write_line(&line.to_string());
        } else {
            write_line(&refusal.to_string());
        }
    }
}

/// The two lines of a refusal, for the moments in which there is no config yet, or no more.
pub fn refuse_plainly(refusal: &Refusal) {
    write_line(&refusal.to_string());
}

/// A line from a role: its standard error is its log pipe.
pub fn note(text: &str) {
    write_line(&escape(text));
}

/// One write(2) a line, so that lines of several processes do not mix.
fn write_line(line: &str) {
    let result = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    // Standard error may be gone (a closed terminal, a full disk behind it). There is nobody left to tell, and a broken
    // log must not decide over the workload.
    drop(result);
}
