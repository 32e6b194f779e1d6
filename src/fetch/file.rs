//! `file:DIR#NAME`: a file that an orchestrator mounted: Docker secrets, a Kubernetes secret volume, systemd credentials.
//!
//! The value is the file's text without one newline at its end, which tools add and no key has. No store vouches for a time.

use super::given::Given;
use crate::refusal::Refusal;
use crate::secret::{Fetched, SecretText, Vouched};
use crate::wire::slice::Wanted;

pub fn value(wanted: &Wanted, given: &mut Given) -> Result<Fetched, Refusal> {
    let place = wanted.file.ok_or_else(|| Refusal::internal("a file reference without its file"))?;
    let text = given.text(place, &format!("the secret file of `{}` ({})", wanted.name, wanted.from))?;
    Ok(Fetched { value: without_newline(text), vouched: Vouched::default() })
}

fn without_newline(text: SecretText) -> SecretText {
    let value = text.expose();
    let value = value.strip_suffix('\n').map_or(value, |v| v.strip_suffix('\r').unwrap_or(v));
    SecretText::new(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_newline_is_removed() {
        for (text, value) in [("v", "v"), ("v\n", "v"), ("v\r\n", "v"), ("v\n\n", "v\n"), ("v\r", "v\r"), ("\n", "")] {
            assert!(without_newline(SecretText::new(text.to_owned())).expose() == value, "{text:?}");
        }
    }
}
