//! `portcullis seal`: make and edit a sealed file, by hand or from a script, with no plaintext on any disk.
//!
//! The commands and who a file is sealed for; where a value comes from is in `value.rs` and `prompt.rs`. Values come in
//! by standard input or a hidden prompt, never as an argument, and no command prints one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use age::x25519;

use super::now;
use crate::refusal::{Exit, Refusal, escape};
use crate::seal::document::{Document, Format};
use crate::seal::file::Locked;
use crate::seal::keys::{self, Key};
use crate::seal::open::{self, is_armored};
use crate::seal::write::{Target, encrypt};
use crate::seal::{dotenv, json};

mod prompt;
mod value;

/// Where `[age] identity` points when a config does not say.
const DEFAULT_IDENTITY: &str = "/etc/portcullis/age.key";
const MAX_NAME: usize = 128;

/// The commands of `portcullis seal`.
#[derive(Debug, clap::Subcommand)]
pub enum SealCommand {
    /// Make a new sealed file, empty or from standard input
    Create(Create),
    /// Set a value, from standard input or a hidden prompt
    Set {
        /// The secret's name
        name: String,
        #[command(flatten)]
        place: Place,
        /// Whom to seal for beside the identity itself: each that the file names has to be named here (may be repeated)
        #[arg(long = "recipient", value_name = "age1...")]
        recipients: Vec<String>,
    },
    /// Remove a value
    Remove {
        /// The secret's name
        name: String,
        #[command(flatten)]
        place: Place,
        /// Whom to seal for beside the identity itself: each that the file names has to be named here (may be repeated)
        #[arg(long = "recipient", value_name = "age1...")]
        recipients: Vec<String>,
    },
    /// List names, ages and recipients; never a value
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Seal the file for other recipients, or with another passphrase
    Rekey {
        #[command(flatten)]
        place: Place,
        /// Whom to seal for from now on (may be repeated)
        #[arg(long = "recipient", value_name = "age1...", required_unless_present = "new_passphrase_file")]
        recipients: Vec<String>,
        /// A file whose first line is the passphrase from now on
        #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
        new_passphrase_file: Option<PathBuf>,
    },
}

/// A sealed file and what opens it.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The sealed file
    #[arg(short = 'f', long, value_name = "FILE", default_value = "secrets.env.age")]
    file: PathBuf,
    /// The identity file that opens it [default: /etc/portcullis/age.key]
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    identity: Option<PathBuf>,
    /// A file whose first line is the passphrase that opens it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The sealed file to make
    #[arg(short = 'f', long, value_name = "FILE", default_value = "secrets.env.age")]
    file: PathBuf,
    /// Whom to seal for (may be repeated)
    #[arg(long = "recipient", value_name = "age1...")]
    recipients: Vec<String>,
    /// An identity file whose public keys to seal for [default, with no recipient: /etc/portcullis/age.key]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// A file whose first line is the passphrase to seal with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipients", "identity"])]
    passphrase_file: Option<PathBuf>,
    /// Take a whole dotenv or JSON document from standard input
    #[arg(long, conflicts_with = "json")]
    stdin: bool,
    /// A JSON document inside, not dotenv
    #[arg(long)]
    json: bool,
    /// ASCII armour
    #[arg(long)]
    armor: bool,
}

/// Does one command.
pub fn run(command: SealCommand) -> Result<(), Refusal> {
    match command {
        SealCommand::Create(create) => create.run(),
        SealCommand::Set { name, place, recipients } => set(&name, &place, &recipients),
        SealCommand::Remove { name, place, recipients } => remove(&name, &place, &recipients),
        SealCommand::List { place } => list(&place),
        SealCommand::Rekey { place, recipients, new_passphrase_file } => {
            rekey(&place, &recipients, new_passphrase_file.as_deref())
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Refusal> {
        let target = self.target()?;
        let mut document = match self.stdin {
            true => value::document(now())?,
            false => Document::new(if self.json { Format::Json } else { Format::Dotenv }),
        };
        let place = Locked::vacant(&self.file)?;
        place.write(&encrypt(&mut document, &target, self.armor)?)?;
        say(&format!("{} is sealed for {}", self.file.display(), described(&target)));
        Ok(())
    }

    fn target(&self) -> Result<Target, Refusal> {
        if let Some(path) = &self.passphrase_file {
            return with_passphrase(path);
        }
        let mut recipients = parse_recipients(&self.recipients)?;
        match &self.identity {
            Some(path) => recipients.extend(Key::identity_file(path)?.recipients()),
            None if recipients.is_empty() => recipients.extend(default_key()?.recipients()),
            None => (),
        }
        Ok(Target::Recipients(recipients))
    }
}

fn set(name: &str, place: &Place, recipients: &[String]) -> Result<(), Refusal> {
    check_name(name)?;
    let key = place.key()?;
    // A question is worth asking only if the answer can be sealed.
    let file = open::read_file(&place.file)?;
    target(&place.file, &file, &place.open(&file, &key)?, &key, recipients)?;
    let value = value::read(name)?;
    let target = place.edit(&key, recipients, |document| {
        document.set(name, value, now());
        Ok(())
    })?;
    say(&format!("{name} is set in {}, sealed for {}", place.file.display(), described(&target)));
    Ok(())
}

fn remove(name: &str, place: &Place, recipients: &[String]) -> Result<(), Refusal> {
    let target = place.edit(&place.key()?, recipients, |document| match document.remove(name) {
        true => Ok(()),
        false => {
            let what = format!("there is no {name} in {}", place.file.display());
            Err(Refusal::new(Exit::Usage, what, "`portcullis seal list` shows the names; nothing was changed"))
        }
    })?;
    say(&format!("{name} is removed from {}, sealed for {}", place.file.display(), described(&target)));
    Ok(())
}

fn list(place: &Place) -> Result<(), Refusal> {
    let document = place.open(&open::read_file(&place.file)?, &place.key()?)?;
    let width = document.entries().map(|(name, _)| escape(name).chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("{:width$}  AGE\n", "NAME");
    for (name, entry) in document.entries() {
        let age = entry.set_at.map_or("-".to_owned(), |set_at| age_text(now() - set_at));
        let wrong = match &entry.value {
            json::Node::Text(_) => String::new(),
            other => format!("  {}, not a text", other.kind()),
        };
        text += &format!("{:width$}  {age}{wrong}\n", escape(name));
    }
    for recipient in &document.recipients {
        text += &format!("sealed for {}\n", escape(recipient));
    }
    print(&text)
}

fn rekey(place: &Place, recipients: &[String], passphrase_file: Option<&Path>) -> Result<(), Refusal> {
    let target = match passphrase_file {
        Some(path) => with_passphrase(path)?,
        None => Target::Recipients(parse_recipients(recipients)?),
    };
    let key = place.key()?;
    let locked = Locked::existing(&place.file)?;
    let file = locked.read()?;
    let mut document = place.open(&file, &key)?;
    locked.write(&encrypt(&mut document, &target, is_armored(&file))?)?;
    say(&format!("{} is sealed for {}", place.file.display(), described(&target)));
    say("whoever could open the old file may have a copy of it: change the secrets themselves at their issuer");
    Ok(())
}

impl Place {
    fn key(&self) -> Result<Key, Refusal> {
        match (&self.identity, &self.passphrase_file) {
            (Some(path), _) => Key::identity_file(path),
            (None, Some(path)) => Key::passphrase_file(path),
            (None, None) => default_key(),
        }
    }

    fn open(&self, file: &[u8], key: &Key) -> Result<Document, Refusal> {
        open::open(file, key).map_err(|error| error.refusal(&self.file.display().to_string()))
    }

    /// Reads, changes and writes the file under one lock; tells whom it is sealed for.
    fn edit(
        &self,
        key: &Key,
        recipients: &[String],
        change: impl FnOnce(&mut Document) -> Result<(), Refusal>,
    ) -> Result<Target, Refusal> {
        let locked = Locked::existing(&self.file)?;
        let file = locked.read()?;
        let mut document = self.open(&file, key)?;
        let target = target(&self.file, &file, &document, key, recipients)?;
        change(&mut document)?;
        locked.write(&encrypt(&mut document, &target, is_armored(&file))?)?;
        Ok(target)
    }
}

/// Whom an edited file is sealed for: exactly those it was sealed for. An age file does not say who they are; `seal`
/// writes them into the document, and for a file that has none the caller must know, unless there is but one. What is written
/// there is only as true as whoever may write the file: age authenticates no sender. So it names nobody but this identity
/// itself whom the caller has not named, too.
fn target(path: &Path, file: &[u8], document: &Document, key: &Key, given: &[String]) -> Result<Target, Refusal> {
    let identities = match key {
        Key::Passphrase(passphrase) if given.is_empty() => return Ok(Target::Passphrase(passphrase.clone())),
        Key::Passphrase(_) => return Err(use_rekey(path, "is sealed with a passphrase")),
        Key::Identities(identities) => identities,
    };
    let given = parse_recipients(given)?;
    let own = key.recipients();
    let recipients = match (document.recipients.is_empty(), given.is_empty()) {
        (false, _) => recorded(path, &parse_recipients(&document.recipients)?, &given, &own)?,
        (true, false) => given,
        (true, true) => vec![only_recipient(path, file, identities)?],
    };
    match recipients.iter().any(|recipient| own.contains(recipient)) {
        true => Ok(Target::Recipients(recipients)),
        false => Err(Refusal::new(
            Exit::Usage,
            format!("this identity could not open {} any longer", path.display()),
            "name its public key too with --recipient, or run `portcullis seal rekey`; nothing was changed",
        )),
    }
}

/// Those that the file names, if the caller has named each that is not this identity's own.
fn recorded(
    path: &Path,
    named: &[x25519::Recipient],
    given: &[x25519::Recipient],
    own: &[x25519::Recipient],
) -> Result<Vec<x25519::Recipient>, Refusal> {
    if given.iter().any(|recipient| !named.contains(recipient)) {
        return Err(use_rekey(path, "says itself whom it is sealed for"));
    }
    let mut strangers = named.to_vec();
    strangers.retain(|recipient| !own.contains(recipient) && !given.contains(recipient));
    if strangers.is_empty() {
        return Ok(named.to_vec());
    }
    Err(Refusal::new(
        Exit::Usage,
        format!("{} says that it is sealed for others, too: {}", path.display(), names(&strangers).join(", ")),
        "whoever may write the file can have added them; if they are yours, name each with --recipient, else run `portcullis seal rekey`",
    ))
}

/// The identity that opens a file for one recipient is that recipient's.
fn only_recipient(path: &Path, file: &[u8], identities: &[x25519::Identity]) -> Result<x25519::Recipient, Refusal> {
    let opens = |identity: &&x25519::Identity| open::open(file, &Key::Identities(vec![(*identity).clone()])).is_ok();
    let count = open::header(file).map_or(0, |header| header.recipients());
    match identities.iter().find(opens) {
        Some(identity) if count == 1 => Ok(identity.to_public()),
        _ => Err(Refusal::new(
            Exit::Usage,
            format!("{} is sealed for {count} recipients and does not say who they are", path.display()),
            "name all of them with --recipient age1..., once: the file will say it from then on",
        )),
    }
}

fn use_rekey(path: &Path, why: &str) -> Refusal {
    let what = format!("{} {why}, and --recipient names others", path.display());
    Refusal::new(Exit::Usage, what, "leave --recipient away, or run `portcullis seal rekey --recipient age1...`")
}

fn with_passphrase(path: &Path) -> Result<Target, Refusal> {
    match Key::passphrase_file(path)? {
        Key::Passphrase(passphrase) => Ok(Target::Passphrase(passphrase)),
        Key::Identities(_) => Err(Refusal::internal("a passphrase file was read as identities")),
    }
}

fn default_key() -> Result<Key, Refusal> {
    Key::identity_file(Path::new(DEFAULT_IDENTITY)).map_err(|mut refusal| {
        refusal.hint = "name an identity file with --identity (`age-keygen -o FILE` makes one)".to_owned();
        refusal
    })
}

fn parse_recipients(texts: &[String]) -> Result<Vec<x25519::Recipient>, Refusal> {
    let parse = |text: &String| {
        keys::recipient(text)
            .map_err(|error| Refusal::new(Exit::Usage, error.0, "`age-keygen -y KEY` prints a key's recipient"))
    };
    texts.iter().map(parse).collect()
}

fn names(recipients: &[x25519::Recipient]) -> Vec<String> {
    recipients.iter().map(ToString::to_string).collect()
}

fn described(target: &Target) -> String {
    match target {
        Target::Recipients(_) => target.names().join(", "),
        Target::Passphrase(_) => "a passphrase".to_owned(),
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if dotenv::is_name(name) && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(Refusal::new(
        Exit::Usage,
        format!("`{name}` is no name of a secret"),
        "letters, digits, `_`, `.` and `-`, starting with a letter or `_`, at most 128",
    ))
}

fn age_text(seconds: i64) -> String {
    match seconds {
        i64::MIN..0 => "in the future".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A line for the person at the terminal; standard output is for what a script reads.
fn say(line: &str) {
    eprintln!("portcullis: {}", escape(line));
}

fn print(text: &str) -> Result<(), Refusal> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Refusal::internal(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
