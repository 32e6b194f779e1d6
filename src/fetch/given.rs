//! The descriptors that init gave: each by its place, each read within a bound.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use zeroize::Zeroizing;

use crate::refusal::{Exit, Refusal, cause};
use crate::secret::SecretText;
use crate::wire::slice::Place;
use crate::wire::{Channel, Frame, Tag};

/// The most that is read of any file: a sealed file's bound and a little more.
const MOST: u64 = 6 << 20;

pub struct Given(Vec<Option<OwnedFd>>);

impl Given {
    /// Waits for the one message that carries them all.
    pub fn receive(channel: &Channel) -> Result<Given, Refusal> {
        let broken =
            |error| Refusal::new(Exit::RoleBroke, format!("the fetcher lost init: init {error}"), "start again");
        match channel.receive().map_err(broken)? {
            Some((Frame { tag: Tag::Give, a, .. }, descriptors)) if a == descriptors.len() as u64 => {
                Ok(Given(descriptors.into_iter().map(Some).collect()))
            }
            _ => Err(Refusal::internal("init gave the fetcher something else than its descriptors")),
        }
    }

    /// Takes one; each place is used once.
    pub fn take(&mut self, place: Place) -> Result<OwnedFd, Refusal> {
        self.0.get_mut(place).and_then(Option::take).ok_or_else(|| Refusal::internal("a descriptor was not given"))
    }

    /// Reads a whole file, bounded (limit + 1, then compare).
    pub fn bytes(&mut self, place: Place, what: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let bytes = self.start(place, what)?;
        if bytes.len() as u64 > MOST {
            return Err(Refusal::config(format!("{what} is larger than {} MiB", MOST >> 20), "name the right file"));
        }
        Ok(bytes)
    }

    /// Reads a file up to the bound and one byte more: the caller compares.
    pub fn start(&mut self, place: Place, what: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let file = File::from(self.take(place)?);
        let size = file.metadata().map(|m| m.len()).unwrap_or(0).min(MOST);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
        let cannot =
            |error| Refusal::config(format!("{what} cannot be read: {error}", error = cause(error)), "check the file");
        file.take(MOST + 1).read_to_end(&mut bytes).map_err(cannot)?;
        Ok(bytes)
    }

    /// Reads a whole file as UTF-8 text.
    pub fn text(&mut self, place: Place, what: &str) -> Result<SecretText, Refusal> {
        let bytes = self.bytes(place, what)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(SecretText::new(text.to_owned())),
            Err(_) => Err(Refusal::config(format!("{what} is not UTF-8 text"), "name a text file")),
        }
    }
}
