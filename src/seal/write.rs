//! A document and who it is for to ciphertext.
//!
//! Nothing here may touch a file: plaintext and files never meet in one module.

use std::io::Write;

use age::armor::{ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{Encryptor, Recipient, x25519};

use super::document::Document;
use super::open::{MAX_ENCRYPTED, MAX_PLAINTEXT, MAX_WORK_FACTOR};
use super::syntax::TOO_MANY;
use crate::refusal::{Exit, Refusal};
use crate::secret::SecretText;

/// Who a file is sealed for.
pub enum Target {
    Recipients(Vec<x25519::Recipient>),
    Passphrase(SecretText),
}

impl Target {
    /// The recipients as text, each once, in order; none for a passphrase.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if let Target::Recipients(recipients) = self {
            for name in recipients.iter().map(ToString::to_string) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// The document as an age file. It will say in itself who it is for, so that it can be edited without being told.
pub fn encrypt(document: &mut Document, target: &Target, armored: bool) -> Result<Vec<u8>, Refusal> {
    document.recipients = target.names();
    let plaintext = document.render();
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(too_large("4 MiB before it is sealed"));
    }
    // What a start could not read is never put in the place of what it could.
    match Document::parse(plaintext.as_bytes()) {
        Ok(again) if *again.render() == *plaintext => (),
        Err(syntax) if syntax.what == TOO_MANY => {
            let hint = "the time that is kept beside each value counts, too; seal the keys, not the data";
            return Err(Refusal::new(Exit::Usage, syntax.what, hint));
        }
        _ => {
            return Err(Refusal::internal(
                "the document does not read back as it was written; the old file is unchanged",
            ));
        }
    }
    let file = match target {
        Target::Recipients(recipients) => seal(recipients.iter().map(|r| r as &dyn Recipient), armored, &plaintext),
        Target::Passphrase(passphrase) => {
            let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
            // As the age tool does, whatever this machine's speed.
            recipient.set_work_factor(MAX_WORK_FACTOR);
            seal(std::iter::once(&recipient as &dyn Recipient), armored, &plaintext)
        }
    }?;
    if file.len() > MAX_ENCRYPTED {
        return Err(too_large("5 MiB sealed"));
    }
    Ok(file)
}

fn too_large(bound: &str) -> Refusal {
    Refusal::new(Exit::Usage, format!("the file would be larger than {bound}"), "keep secrets alone in it")
}

fn seal<'a>(
    recipients: impl Iterator<Item = &'a dyn Recipient>,
    armored: bool,
    plaintext: &str,
) -> Result<Vec<u8>, Refusal> {
    let encryptor = Encryptor::with_recipients(recipients).map_err(|_| {
        Refusal::new(Exit::Usage, "a file for nobody cannot be sealed", "give a recipient: --recipient age1...")
    })?;
    let format = if armored { Format::AsciiArmor } else { Format::Binary };
    let sealed = (|| {
        let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(Vec::new(), format)?)?;
        writer.write_all(plaintext.as_bytes())?;
        writer.finish()?.finish()
    })();
    sealed.map_err(|error: std::io::Error| Refusal::internal(format!("sealing in memory failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::document::Format as Syntax;
    use super::super::keys::Key;
    use super::super::open::{is_armored, open};
    use super::*;

    fn document() -> Document {
        let mut document = Document::new(Syntax::Dotenv);
        document.set("A", SecretText::new("hunter2".to_owned()), 0);
        document
    }

    #[test]
    fn each_recipient_alone_opens_what_was_sealed_for_several() {
        let identities = [x25519::Identity::generate(), x25519::Identity::generate()];
        let both = identities.iter().map(x25519::Identity::to_public);
        let target = Target::Recipients(both.clone().chain(both).collect());
        for armored in [false, true] {
            let file = encrypt(&mut document(), &target, armored).unwrap();
            assert_eq!(is_armored(&file), armored);
            for identity in &identities {
                let Ok(opened) = open(&file, &Key::Identities(vec![identity.clone()])) else { panic!() };
                assert_eq!(opened.recipients, target.names());
                assert_eq!(opened.recipients.len(), 2);
                assert_eq!(*opened.render(), *{
                    let mut expected = document();
                    expected.recipients = target.names();
                    expected.render()
                });
            }
        }
    }

    #[test]
    fn a_passphrase_file_has_the_work_factor_of_age_and_names_nobody() {
        let mut document = document();
        document.recipients = vec!["age1old".to_owned()];
        let file = encrypt(&mut document, &Target::Passphrase(SecretText::new("p".to_owned())), false).unwrap();
        assert_eq!(super::super::header::scan(&file).unwrap().work_factor(), Some(18));
        let Ok(opened) = open(&file, &Key::Passphrase(SecretText::new("p".to_owned()))) else { panic!() };
        assert!(opened.recipients.is_empty());
    }

    #[test]
    fn a_file_for_nobody_or_too_large_is_refused() {
        assert_eq!(encrypt(&mut document(), &Target::Recipients(vec![]), false).unwrap_err().exit, Exit::Usage);
        let target = Target::Recipients(vec![x25519::Identity::generate().to_public()]);
        let mut large = document();
        large.set("B", SecretText::new("x".repeat(MAX_PLAINTEXT)), 0);
        assert_eq!(encrypt(&mut large, &target, false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn the_ciphertext_shows_neither_names_nor_values() {
        let target = Target::Recipients(vec![x25519::Identity::generate().to_public()]);
        let file = encrypt(&mut document(), &target, false).unwrap();
        assert!(!file.windows(7).any(|window| window == b"hunter2"));
        assert!(!file.windows(4).any(|window| window == b"age1"));
    }
}
