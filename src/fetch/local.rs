//! The sources whose values are files of this host, which init has opened: `age:` and `file:`.

use super::given::Given;
use super::{age, file};
use crate::config::reference::Source;
use crate::refusal::Refusal;
use crate::seal::keys::Key;
use crate::secret::Fetched;
use crate::wire::slice::{AgeKey, Wanted};

/// Each sealed file is opened once, for whomever it is.
pub struct Local {
    key: Option<Key>,
    sealed: age::Files,
}

impl Local {
    pub fn new(key: Option<&AgeKey>, given: &mut Given) -> Result<Local, Refusal> {
        let key = key.map(|key| age::key(key, given)).transpose()?;
        Ok(Local { key, sealed: age::Files::default() })
    }

    pub fn value(&mut self, wanted: &Wanted, given: &mut Given) -> Result<Fetched, Refusal> {
        match (wanted.from.source, &self.key) {
            (Source::Age, Some(key)) => self.sealed.value(wanted, key, given),
            (Source::Age, None) => Err(Refusal::internal("an age reference without a key")),
            (Source::File, _) => file::value(wanted, given),
            _ => Err(Refusal::internal("a reference that is no file of this host")),
        }
    }
}
