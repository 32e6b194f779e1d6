//! The rules that every value must pass, whatever its source: it is there, it is text for a program, it is not too old, and
//! it does not stand in the config as well.

use crate::refusal::{Exit, Refusal};
use crate::secret::Fetched;
use crate::wire::slice::{Slice, Wanted};

/// The longest single value, in bytes.
const LONGEST: usize = 512 << 10;

/// A shorter value is looked for as a whole text only: three digits stand in every config.
const SUBSTRING_FROM: usize = 8;

/// `now` in seconds since 1970.
pub fn all(slice: &Slice, fetched: &[Fetched], now: i64) -> Result<(), Refusal> {
    slice.secrets.iter().zip(fetched).try_for_each(|(wanted, got)| {
        usable(wanted, got)?;
        young_enough(wanted, got, now)?;
        nowhere_else(wanted, got, &slice.must_not_contain)
    })
}

fn said_no(wanted: &Wanted, what: &str, hint: &str) -> Refusal {
    Refusal::new(Exit::StoreSaidNo, format!("the secret `{}` ({}) {what}", wanted.name, wanted.from), hint)
}

pub fn usable(wanted: &Wanted, got: &Fetched) -> Result<(), Refusal> {
    let value = got.value.expose();
    if value.is_empty() {
        return Err(said_no(wanted, "is empty", "set a value in the store; an empty credential is never handed on"));
    }
    if value.contains('\0') {
        return Err(said_no(
            wanted,
            "contains a NUL byte",
            "store text; no program reads a credential past a NUL byte",
        ));
    }
    if value.len() > LONGEST {
        return Err(said_no(wanted, "is longer than 512 KiB", "store a credential, not a file of this size"));
    }
    Ok(())
}

fn young_enough(wanted: &Wanted, got: &Fetched, now: i64) -> Result<(), Refusal> {
    let Some(most) = wanted.max_age_secs else { return Ok(()) };
    let Some(set_at) = got.vouched.set_at else {
        return Err(said_no(
            wanted,
            "has no time that its store vouches for, and max_age is set",
            "set it again with `portcullis seal set`, which writes the time, or leave max_age out",
        ));
    };
    let age = now.saturating_sub(set_at);
    if age < -300 {
        return Err(said_no(wanted, "was set in the future", "correct the clock of this host or of the store"));
    }
    if age > i64::try_from(most).unwrap_or(i64::MAX) {
        let (days, most_days) = (age / 86_400, most / 86_400);
        let what = if days > 0 && most_days > 0 {
            format!("was set {days} days ago, and max_age is {most_days} days")
        } else {
            format!("was set {age} seconds ago, and max_age is {most} seconds")
        };
        return Err(said_no(wanted, &what, "rotate the key, and set the new value in the store"));
    }
    Ok(())
}

/// There is no fallback key: a value that also stands in the config, the command or the environment would be one.
pub fn nowhere_else(wanted: &Wanted, got: &Fetched, texts: &[String]) -> Result<(), Refusal> {
    let value = got.value.expose();
    let stands_in = |text: &String| {
        if value.len() >= SUBSTRING_FROM {
            return text.contains(value);
        }
        text == value || text.contains(&format!("\"{value}\"")) || text.contains(&format!("'{value}'"))
    };
    if texts.iter().any(stands_in) {
        return Err(Refusal::config(
            format!(
                "the value of `{}` also stands in the config, the command or the environment in plain text",
                wanted.name
            ),
            "remove it there, and rotate it: it has been lying open",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SecretText, Vouched};

    fn wanted(max_age_secs: Option<u64>) -> Wanted {
        Wanted { name: "k".into(), from: "age:f#K".parse().unwrap(), file: None, max_age_secs, base64: false }
    }

    fn got(value: &str, set_at: Option<i64>) -> Fetched {
        Fetched { value: SecretText::new(value.into()), vouched: Vouched { set_at, ..Vouched::default() } }
    }

    #[test]
    fn empty_nul_and_giant_values_are_refused() {
        for value in ["", "a\0b", &"x".repeat(LONGEST + 1)] {
            assert_eq!(usable(&wanted(None), &got(value, None)).unwrap_err().exit, Exit::StoreSaidNo);
        }
        assert!(usable(&wanted(None), &got("x", None)).is_ok());
    }

    #[test]
    fn age_is_judged_by_the_stores_time_and_nothing_else() {
        let judge = |set_at| young_enough(&wanted(Some(100)), &got("v", set_at), 1000);
        assert!(judge(Some(900)).is_ok() && judge(Some(1000)).is_ok());
        assert!(judge(Some(899)).is_err(), "too old");
        assert!(judge(None).is_err(), "no time");
        assert!(judge(Some(2000)).is_err(), "in the future");
        assert!(young_enough(&wanted(None), &got("v", None), 1000).is_ok());
    }

    #[test]
    fn a_value_that_lies_open_is_refused_without_being_shown() {
        let texts = ["set = { MODE = \"live\", KEY = 'hunter2' } # supersecretvalue".to_owned(), "short".to_owned()];
        for value in ["supersecretvalue", "live", "hunter2", "short"] {
            let refusal = nowhere_else(&wanted(None), &got(value, None), &texts).unwrap_err();
            assert!(!refusal.to_string().contains(value), "{refusal}");
        }
        for value in ["KEY", "set", "other-secret-value"] {
            assert!(nowhere_else(&wanted(None), &got(value, None), &texts).is_ok(), "{value}");
        }
    }
}
