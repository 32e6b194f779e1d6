//! A real PostgreSQL of the test's own on loopback, out of Debian's packages, as the user `postgres` where root runs it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Postgres {
    pub port: u16,
    pub password: String,
    bin: PathBuf,
    child: Child,
}

/// Its standard input ends with the test process, however that ends; nothing is left then, no process and no file. What a
/// shell puts into the background ignores INT until it sets a handler, as postgres does: fast shutdown.
const UNTIL_THE_TEST_ENDS: &str = "dir=$1; shift; \"$@\" & read -r _; kill -INT $!; wait $!; rm -rf \"$dir\"";

/// The newest version's programs, if there are any.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").exists() && bin.join("psql").exists()).max()
}

impl Postgres {
    /// `None` where it is not installed.
    pub fn start() -> Option<Postgres> {
        let bin = programs()?;
        // Below /tmp: the user `postgres` may not enter the checkout.
        let dir = PathBuf::from(format!("/tmp/portcullis-postgres-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let password = "pass-of-the-superuser".to_owned();
        std::fs::write(dir.join("password"), &password).expect("a password file");
        own(&dir);
        let initdb = user(Command::new(bin.join("initdb")))
            .args(["-U", "postgres", "-A", "scram-sha-256", "--no-sync", "--pwfile"])
            .arg(dir.join("password"))
            .arg("-D")
            .arg(dir.join("data"))
            .current_dir("/tmp")
            .output()
            .expect("initdb");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let mut server = user(Command::new("sh"));
        server.args(["-c", UNTIL_THE_TEST_ENDS, "sh"]).arg(&dir).arg(bin.join("postgres"));
        server.args(["-F", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(&dir).arg("-D").arg(dir.join("data"));
        server.stdin(Stdio::piped()).stdout(log.try_clone().expect("the log")).stderr(log).current_dir("/tmp");
        let child = server.spawn().expect("postgres");
        let postgres = Postgres { port, password, bin, child };
        let begun = Instant::now();
        while postgres.query("postgres", &postgres.password, "select 1").is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "postgres does not answer in 30 s");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(postgres)
    }

    /// What psql prints for a query of this user, or what it says instead.
    pub fn query(&self, user: &str, password: &str, query: &str) -> Result<String, String> {
        let out = Command::new(self.bin.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", user, "-d", "postgres", "-Atqc", query])
            .env_clear()
            .env("PGPASSWORD", password)
            .current_dir("/tmp")
            .output()
            .expect("psql");
        match out.status.success() {
            true => Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
        }
    }

    pub fn superuser(&self, query: &str) -> String {
        self.query("postgres", &self.password, query).expect(query)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn ids() -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_name("postgres").ok().flatten()?;
    nix::unistd::geteuid().is_root().then_some((user.uid.as_raw(), user.gid.as_raw()))
}

fn own(path: &Path) {
    if let Some((uid, gid)) = ids() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("an owner");
        std::os::unix::fs::chown(path.join("password"), Some(uid), Some(gid)).expect("an owner");
    }
}

fn user(mut command: Command) -> Command {
    if let Some((uid, gid)) = ids() {
        command.gid(gid).uid(uid);
    }
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command
}
