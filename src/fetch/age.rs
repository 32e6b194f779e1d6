//! `age:FILE#NAME`: one value out of a sealed file. Each file is opened once, however many references name it.

use std::collections::BTreeMap;

use super::given::Given;
use crate::refusal::Refusal;
use crate::seal::document::Document;
use crate::seal::keys::Key;
use crate::seal::{open, pick};
use crate::secret::Fetched;
use crate::wire::slice::{AgeKey, Wanted};

/// The key that opens this start's sealed files.
pub fn key(key: &AgeKey, given: &mut Given) -> Result<Key, Refusal> {
    const IDENTITY: &str = "name a file that `age-keygen -o FILE` or `portcullis init` made";
    const PASSPHRASE: &str = "name a file whose first line is the passphrase";
    let (path, text, parsed, hint) = match key {
        AgeKey::Identity { path, file } => {
            let text = given.text(*file, "the age identity")?;
            let parsed = Key::from_identities(text.expose());
            (path, "age.identity", parsed, IDENTITY)
        }
        AgeKey::Passphrase { path, file } => {
            let text = given.text(*file, "the age passphrase file")?;
            let parsed = Key::from_passphrase(text.expose());
            (path, "age.passphrase_file", parsed, PASSPHRASE)
        }
    };
    parsed.map_err(|bad| Refusal::config(format!("{text}: `{path}` {}", bad.0), hint))
}

/// The documents that were opened so far, by the path in the reference.
#[derive(Default)]
pub struct Files(BTreeMap<String, Document>);

impl Files {
    pub fn value(&mut self, wanted: &Wanted, key: &Key, given: &mut Given) -> Result<Fetched, Refusal> {
        let path = &wanted.from.path;
        if !self.0.contains_key(path) {
            let place = wanted.file.ok_or_else(|| Refusal::internal("an age reference without its file"))?;
            // One that is too large is refused by what knows a sealed file's bound.
            let bytes = given.start(place, &format!("the sealed file `{path}`"))?;
            let document = open::open(&bytes, key).map_err(|error| error.refusal(path))?;
            self.0.insert(path.clone(), document);
        }
        pick::pick(&self.0[path], &wanted.from.field, path)
    }
}
