//! `portcullis init DIR`: a key, a sealed file with two samples, a config and a sample bot, for a first run at once.
//!
//! Everything or nothing: what is in the way is a refusal before anything is made, and a failure removes what was made.
//! The key lies beside the bot's folder and never in it, so that no grant of the config covers it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519;
use zeroize::Zeroizing;

use super::now;
use crate::refusal::{Exit, Refusal, escape};
use crate::seal::document::Document;
use crate::seal::keys::io_text;
use crate::seal::stamp;
use crate::seal::write::{Target, encrypt};

const CONFIG: &str = include_str!("scaffold/portcullis.toml");
const BOT: &str = include_str!("scaffold/bot.py");

/// What is made in DIR, in this order.
const MADE: [&str; 4] = ["age.key", "secrets.env.age", "portcullis.toml", "app"];
/// Where every program may read, so that a key there would be readable too.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev"];

/// The arguments of `portcullis init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to make, or one that is there
    dir: PathBuf,
}

/// Makes the folder and says what to run.
pub fn run(args: &InitArgs) -> Result<(), Refusal> {
    let root = nix::unistd::geteuid().is_root();
    let place = Place::survey(&args.dir, root)?;
    place.build(root)?;
    let text = closing_words(&args.dir);
    // The folder is there and complete, whether anybody can read this or not.
    io::stdout().write_all(text.as_bytes()).ok();
    Ok(())
}

/// The folder, before anything is made in it.
struct Place {
    /// Absolute and without links.
    dir: PathBuf,
    /// `dir` as text for the config.
    text: String,
    exists: bool,
}

impl Place {
    fn survey(dir: &Path, root: bool) -> Result<Place, Refusal> {
        let exists = fs::symlink_metadata(dir).is_ok();
        let real = if exists { dir.canonicalize() } else { canonical_parent(dir) };
        let real = real.map_err(|error| {
            refuse(format!("{} cannot be made: {}", dir.display(), io_text(&error)), "make the folder above it first")
        })?;
        let text = real.to_str().filter(|text| !text.chars().any(char::is_control)).map(str::to_owned);
        let place = Place {
            text: text.ok_or_else(|| refuse("the folder's path is not plain text", "choose another DIR"))?,
            dir: real,
            exists,
        };
        place.is_free()?;
        place.keeps_its_key()?;
        if root {
            place.is_roots_alone()?;
            place.is_reachable()?;
        }
        Ok(place)
    }

    fn is_free(&self) -> Result<(), Refusal> {
        if !self.exists {
            return Ok(());
        }
        if !self.dir.is_dir() {
            return Err(refuse(format!("{} is not a folder", self.text), "choose another DIR"));
        }
        match MADE.iter().find(|name| fs::symlink_metadata(self.dir.join(name)).is_ok()) {
            Some(name) => {
                let what = format!("{} is there already", self.dir.join(name).display());
                Err(refuse(what, "choose another DIR, or move it away; nothing was changed"))
            }
            None => Ok(()),
        }
    }

    fn keeps_its_key(&self) -> Result<(), Refusal> {
        match SYSTEM.iter().find(|system| self.dir.starts_with(system)) {
            Some(system) => {
                let what =
                    format!("every program may read what is under {system}, so a key in {} would be read", self.text);
                Err(refuse(what, "choose another DIR, such as /srv/bot"))
            }
            None => Ok(()),
        }
    }

    /// A root start takes its config from nowhere else.
    fn is_roots_alone(&self) -> Result<(), Refusal> {
        let Ok(about) = fs::metadata(&self.dir) else { return Ok(()) };
        if about.uid() == 0 && about.mode() & 0o022 == 0 {
            return Ok(());
        }
        let what = format!("others than root may write {} (mode {:04o})", self.text, about.mode() & 0o7777);
        Err(refuse(what, format!("chown root {0} && chmod go-w {0}, or choose another DIR", shell_word(&self.text))))
    }

    /// The bot runs as 65532 and must get to its own program.
    fn is_reachable(&self) -> Result<(), Refusal> {
        let closed = |path: &&Path| fs::metadata(path).is_ok_and(|about| about.mode() & 0o001 == 0);
        match self.dir.ancestors().find(closed) {
            Some(path) => {
                let what = format!("the bot would run as user 65532, who cannot pass through {}", path.display());
                Err(refuse(what, "choose another DIR, such as /srv/bot, or run this as a plain user"))
            }
            None => Ok(()),
        }
    }

    fn build(&self, root: bool) -> Result<(), Refusal> {
        let mut made = Made(Vec::new());
        self.fill(&mut made, root)?;
        made.0.clear();
        Ok(())
    }

    fn fill(&self, made: &mut Made, root: bool) -> Result<(), Refusal> {
        let identity = x25519::Identity::generate();
        let sealed = samples(&identity)?;
        let app = self.dir.join("app");
        let make = |made: &mut Made| {
            if !self.exists {
                made.folder(&self.dir)?;
            }
            made.file(&self.dir.join("age.key"), 0o600, key_file(&identity).as_bytes())?;
            made.file(&self.dir.join("secrets.env.age"), 0o600, &sealed)?;
            made.file(&self.dir.join("portcullis.toml"), 0o644, config(&app, root).as_bytes())?;
            made.folder(&app)?;
            made.file(&app.join("bot.py"), 0o644, BOT.as_bytes())
        };
        make(made).map_err(|error: io::Error| {
            let what = format!("{} cannot be filled: {}", self.text, io_text(&error));
            refuse(what, "the folder must be writable and its disk not full; what was made is removed")
        })
    }
}

fn canonical_parent(dir: &Path) -> io::Result<PathBuf> {
    let name = dir.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.canonicalize()?.join(name))
}

/// What was made so far; it is removed, the last first, unless the list is emptied.
struct Made(Vec<PathBuf>);

impl Made {
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)?;
        self.0.push(path.to_owned());
        // Not by mkdir(2)'s mode, which the umask narrows.
        fs::set_permissions(path, Permissions::from_mode(0o755))
    }

    fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        self.0.push(path.to_owned());
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // What cannot be removed is not made worse by going on.
            if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }.ok();
        }
    }
}

/// As `age-keygen` writes it.
fn key_file(identity: &x25519::Identity) -> Zeroizing<String> {
    let secret = identity.to_string();
    Zeroizing::new(format!(
        "# created: {}\n# public key: {}\n{}\n",
        stamp::format(now()),
        identity.to_public(),
        secret.expose_secret()
    ))
}

fn samples(identity: &x25519::Identity) -> Result<Vec<u8>, Refusal> {
    let text = Zeroizing::new(format!(
        "# Samples, good for nothing: `portcullis seal set API_KEY` puts a real value in.\nAPI_KEY={}\nAPI_SECRET={}\n",
        *sample(10)?,
        *sample(20)?
    ));
    let mut document = Document::parse(text.as_bytes()).map_err(|syntax| Refusal::internal(syntax.to_string()))?;
    document.stamp_all(now());
    encrypt(&mut document, &Target::Recipients(vec![identity.to_public()]), false)
}

/// `sample-` and random hexadecimal digits.
fn sample(bytes: usize) -> Result<Zeroizing<String>, Refusal> {
    let mut random = Zeroizing::new(vec![0; bytes]);
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).map_err(|error| {
        Refusal::host(format!("/dev/urandom cannot be read: {}", io_text(&error)), "a program needs it for its keys")
    })?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Zeroizing::new(format!("sample-{digits}")))
}

fn config(app: &Path, root: bool) -> String {
    let user = match root {
        true => "user = \"65532:65532\"         # nobody else's ids on this machine",
        false => "# user = \"65532:65532\"       # needed when started as root",
    };
    // A JSON string without control characters is a TOML string too.
    let app = serde_json::Value::from(app.to_string_lossy()).to_string();
    CONFIG.replace("@APP@", &app).replace("@USER@", user)
}

fn closing_words(dir: &Path) -> String {
    let path = |name: &str| shell_word(&escape(&dir.join(name).to_string_lossy()));
    let python = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let missing = match python.iter().any(|folder| Path::new(folder).join("python3").exists()) {
        true => "",
        false => "python3, which the sample bot is written in, is not on this machine: install it first\n",
    };
    format!(
        "made a key, a sealed file with two samples, a config and a bot in {}\n{missing}\
        run it:           portcullis run -c {}\n\
        put a real key in: portcullis seal set API_KEY -f {} --identity {}\n",
        shell_word(&escape(&dir.to_string_lossy())),
        path("portcullis.toml"),
        path("secrets.env.age"),
        path("age.key"),
    )
}

/// A word that a shell reads as it is.
fn shell_word(text: &str) -> String {
    match text.chars().all(|c| c.is_alphanumeric() || "/._-+,@%".contains(c)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn refuse(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(Exit::Usage, what, hint)
}

#[cfg(test)]
mod tests;
