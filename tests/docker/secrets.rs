//! Credentials of one test run: random values, an age key of Debian's tool, a sealed file, and the config that names them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use tempfile::TempDir;

use crate::engine::run;

pub struct Secrets {
    pub key: String,
    pub secret: String,
    /// The age identity, as text.
    pub identity: String,
    dir: TempDir,
}

/// So many random bytes in hexadecimal digits.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut buffer)).expect("random bytes");
    buffer.iter().map(|b| format!("{b:02x}")).collect()
}

/// A file of one owner who alone may read it.
pub fn private(path: &Path, owner: u32, content: &str) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).expect("mode set");
    chown(path, Some(owner), Some(owner)).expect("owner set");
}

/// A new age identity and its recipient.
pub fn identity() -> (String, String) {
    let output = run("age-keygen", &[], b"");
    assert!(output.status.success(), "age-keygen works");
    let identity = String::from_utf8(output.stdout).expect("text");
    let recipient = identity.lines().find_map(|l| l.strip_prefix("# public key: ")).expect("a recipient").to_owned();
    (identity, recipient)
}

impl Secrets {
    /// New values for a start by `owner`, who alone may read the identity.
    pub fn new(owner: u32, command: &[&str]) -> Secrets {
        let (identity, recipient) = identity();
        let dir = TempDir::new().expect("a directory");
        let made = Secrets { key: random_hex(12), secret: random_hex(24), identity, dir };
        let (etc, store) = (made.dir.path().join("etc"), made.dir.path().join("run"));
        for path in [&etc, &store] {
            fs::create_dir(path).expect("a directory");
        }
        // mkdtemp's 0700 would keep a plain user of the container out.
        fs::set_permissions(made.dir.path(), fs::Permissions::from_mode(0o755)).expect("mode set");
        private(&store.join("age.key"), owner, &made.identity);
        private(&store.join("api_key"), owner, &made.key);
        private(&store.join("api_secret"), owner, &made.secret);
        let dotenv = format!("API_KEY={}\nAPI_SECRET={}\n", made.key, made.secret);
        let sealed = run("age", &["--encrypt", "--recipient", &recipient], dotenv.as_bytes());
        assert!(sealed.status.success(), "age encrypts");
        fs::write(etc.join("secrets.env.age"), sealed.stdout).expect("written");
        made.configure(command, "age:secrets.env.age#API_KEY", "age:secrets.env.age#API_SECRET");
        made
    }

    /// Writes a config whose two secrets come from these references.
    pub fn configure(&self, command: &[&str], key: &str, secret: &str) {
        let config = format!(
            r#"[workload]
command = {command:?}
user = "65532:65532"
stop_timeout = "8s"

[secrets]
api_key = "{key}"
api_secret = "{secret}"

[age]
identity = "/run/secrets/age.key"
"#
        );
        fs::write(self.dir.path().join("etc/portcullis.toml"), config).expect("written");
    }

    /// Adds to the config's end.
    pub fn configure_more(&self, lines: &str) {
        self.edit(|config| config + lines);
    }

    /// Says something else where the config says `old`.
    pub fn replace(&self, old: &str, new: &str) {
        self.edit(|config| config.replace(old, new));
    }

    fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.dir.path().join("etc/portcullis.toml");
        let config = fs::read_to_string(&path).expect("read");
        fs::write(path, change(config)).expect("written");
    }

    /// Another identity in the place of the right one.
    pub fn break_identity(&self, owner: u32) {
        private(&self.dir.path().join("run/age.key"), owner, &identity().0);
    }

    /// The flags that put the config and the identity where the config says.
    pub fn mounts(&self) -> Vec<String> {
        let dir = self.dir.path().display();
        vec![format!("--volume={dir}/etc:/etc/portcullis:ro"), format!("--volume={dir}/run:/run/secrets:ro")]
    }

    /// What may stand nowhere: the values, and the line of the identity that matters.
    pub fn needles(&self) -> Vec<&str> {
        let line = self.identity.lines().find(|l| l.starts_with("AGE-SECRET-KEY-")).expect("a key line");
        vec![&self.key, &self.secret, line]
    }
}
