//! Leases live as long as the program, through outages, until their maximum; and end with it. A real OpenBao mints users of a
//! real PostgreSQL that live for seconds.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bao::{Bao, Role};
use support::database::Database;
use support::start::{Place, is_root, user_line};

/// Prints its credentials, then each signal that it gets; ends at TERM with 5.
const BOT: &str = r#"
import json, os, signal, sys
print(json.dumps(json.load(os.fdopen(int(os.environ["PORTCULLIS_CREDENTIALS_FD"])))), flush=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
while True:
    name = signal.sigwait([signal.SIGTERM, signal.SIGUSR1]).name
    print(name, flush=True)
    if name == "SIGTERM":
        sys.exit(5)
"#;

/// One database for all: a server and a mount are dear. It dies with the process.
fn database() -> Option<&'static Database<'static>> {
    static SHARED: std::sync::OnceLock<Option<Database<'static>>> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| Bao::shared().and_then(Database::new)).as_ref()
}

/// Freezing the server stops it for every test.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A start that runs, what it says, and whose user it has.
struct Bot {
    child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
    said: Vec<String>,
    user: String,
    password: String,
    _place: Place,
}

fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
    });
    receiver
}

fn config(place: &Place, bao: &Bao, role: &Role, kind: &str, more: &str) -> String {
    place.write("ca.pem", &bao.ca.pem, 0o644);
    place.write("secret-id", &role.secret_id, 0o600);
    place.write("app/bot.py", BOT, 0o644);
    let text = format!(
        r#"
{more}
[workload]
command = ["/usr/bin/python3", "{app}/bot.py"]
stop_timeout = "4s"
{user}
[secrets]
user = "vault:database/creds/{kind}#username"
password = "vault:database/creds/{kind}#password"
[confine]
read = ["{app}"]
[vault]
address = "{address}"
auth = {{ method = "approle", role_id = "{role}", secret_id_file = "secret-id" }}
tls = {{ ca = "ca.pem" }}
mounts = {{ database = "read" }}
"#,
        app = place.app(),
        user = user_line(),
        address = bao.address,
        role = role.role_id,
    );
    place.write("portcullis.toml", text, 0o644).display().to_string()
}

impl Bot {
    /// `vault`: more lines of `[vault]`.
    fn start(database: &Database, role: &Role, kind: &str, vault: &str) -> Bot {
        let place = Place::new();
        let config = config(&place, database.bao, role, kind, "");
        let text = std::fs::read_to_string(&config).expect("a config") + vault;
        std::fs::write(&config, text).expect("a config");
        let mut command = place.command(&["run", "-c", &config]);
        command.env("PORTCULLIS_LOG", "trace");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis");
        let (out, err) = (lines(child.stdout.take().expect("stdout")), lines(child.stderr.take().expect("stderr")));
        let mut bot =
            Bot { child, out, err, said: Vec::new(), user: String::new(), password: String::new(), _place: place };
        let first = bot.hears();
        let credentials: Value = serde_json::from_str(&first).unwrap_or_else(|_| panic!("{first}"));
        bot.user = credentials["user"].as_str().expect("a user").to_owned();
        bot.password = credentials["password"].as_str().expect("a password").to_owned();
        bot
    }

    /// The next line of the program.
    fn hears(&mut self) -> String {
        match self.out.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => line,
            Err(_) => panic!("the program said nothing: {:#?}", self.said_so_far()),
        }
    }

    fn said_so_far(&mut self) -> &[String] {
        self.said.extend(self.err.try_iter());
        &self.said
    }

    /// Waits until init says a line with these words.
    fn says(&mut self, words: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.said.iter().any(|line| line.contains(words)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.err.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(_) => panic!("never said `{words}`: {:#?}", self.said),
            }
        }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    fn term(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our own child");
    }

    /// Its end, by its code.
    fn ends(&mut self) -> Option<i32> {
        let code = self.child.wait().expect("a child").code();
        self.said.extend(self.err.iter());
        code
    }

    /// A child of init by the name it was executed by.
    fn role(&self, name: &str) -> u32 {
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).expect("children");
        let named =
            |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(name));
        children.split_whitespace().find(named).unwrap_or_else(|| panic!("no {name}")).parse().expect("a pid")
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        if self.is_alive() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Something in the form of this store's tokens: `s.` and 24 letters or digits. The binary's own texts have such places, too.
fn has_a_token(memory: &[u8]) -> bool {
    let tokens = |bytes: &[u8]| -> BTreeSet<Vec<u8>> {
        let formed = |w: &&[u8]| w.starts_with(b"s.") && w[2..].iter().all(u8::is_ascii_alphanumeric);
        bytes.windows(26).filter(formed).map(<[u8]>::to_vec).collect()
    };
    let own = tokens(&std::fs::read(support::start::binary()).expect("the binary"));
    !tokens(memory).is_subset(&own)
}

#[test]
fn a_lease_lives_as_long_as_the_program_and_no_longer() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("lives", "8s", "1h");
    let mut bot = Bot::start(database, &role, "lives", "");
    let begun = Instant::now();
    if is_root() {
        for pid in [bot.child.id(), bot.role("portcullis-role-keeper")] {
            let memory = support::memory::of(pid);
            let holds = |needle: &str| memory.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(holds("portcullis"), "the memory was read");
            assert!(!has_a_token(&memory) && !holds(&bot.password) && !holds("database/creds/lives/"), "process {pid}");
        }
    }
    while begun.elapsed() < Duration::from_secs(18) {
        assert!(database.has(&bot.user) && bot.is_alive(), "after {:?}: {:#?}", begun.elapsed(), bot.said_so_far());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(database.bao.requests("database/creds/lives"), 1, "nothing is minted again");
    let token = database.bao.accessors_of(&role);
    bot.term();
    assert_eq!((bot.hears().as_str(), bot.ends()), ("SIGTERM", Some(5)), "{:#?}", bot.said);
    assert!(
        token.iter().all(|accessor| !database.bao.lives(accessor)),
        "the token ends with the program: {:#?}",
        bot.said
    );
    // The store takes back what hangs on it in its own time.
    database.bao.wait_until("the lease ends with its token", || !database.has(&bot.user));
    let said = bot.said.join("\n");
    assert!(!said.contains("warning") && !has_a_token(said.as_bytes()) && !said.contains(&bot.password), "{said}");
}

#[test]
fn an_outage_of_less_than_the_life_changes_nothing() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("outage", "15s", "1h");
    let mut bot = Bot::start(database, &role, "outage", "");
    let begun = Instant::now();
    {
        let _frozen = database.bao.frozen();
        bot.says("could not be renewed: the store cannot be reached");
        assert!(begun.elapsed() > Duration::from_secs(8), "it was tried at two thirds: {:?}", begun.elapsed());
    }
    bot.says("is renewed again");
    assert!(begun.elapsed() < Duration::from_secs(15), "in time: {:?}", begun.elapsed());
    while begun.elapsed() < Duration::from_secs(17) {
        assert!(database.has(&bot.user) && bot.is_alive(), "after {:?}: {:#?}", begun.elapsed(), bot.said_so_far());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(database.bao.requests("database/creds/outage"), 1, "nothing is minted again");
    bot.term();
    assert_eq!(bot.ends(), Some(5));
}

#[test]
fn an_outage_of_more_than_the_life_stops_the_program() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("long-outage", "4s", "1h");
    let mut bot = Bot::start(database, &role, "long-outage", "");
    let _frozen = database.bao.frozen();
    assert_eq!((bot.hears().as_str(), bot.ends()), ("SIGTERM", Some(5)), "{:#?}", bot.said);
    let said = bot.said.join("\n");
    assert!(
        said.contains("the lease of password, user has ended: the store cannot be reached; the program is stopped"),
        "{said}"
    );
    assert!(said.contains("were not revoked in time") || said.contains("could not be revoked"), "{said}");
}

#[test]
fn the_end_of_a_lease_does_what_the_config_says() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("ends", "8s", "13s");
    let mut stopped = Bot::start(database, &role, "ends", "");
    let mut told = Bot::start(database, &role, "ends", "on_lease_end = \"signal:USR1\"\n");
    let mut ignored = Bot::start(database, &role, "ends", "on_lease_end = \"ignore\"\n");
    assert_eq!((stopped.hears().as_str(), stopped.ends()), ("SIGTERM", Some(5)));
    assert!(
        stopped.said.join("\n").contains("the store's maximum is reached; the program is stopped"),
        "{:#?}",
        stopped.said
    );
    assert_eq!(told.hears(), "SIGUSR1");
    told.says("the program gets SIGUSR1 (on_lease_end)");
    ignored.says("nothing is done (on_lease_end)");
    for bot in [&mut told, &mut ignored] {
        assert!(bot.is_alive());
        bot.term();
        assert_eq!((bot.hears().as_str(), bot.ends()), ("SIGTERM", Some(5)), "and was asked to end by us alone");
    }
}

#[test]
fn a_lease_that_somebody_revoked_is_over_at_once() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("revoked", "6s", "1h");
    let mut bot = Bot::start(database, &role, "revoked", "");
    database.bao.call("POST", "sys/leases/revoke-prefix/database/creds/revoked", json!({}));
    assert_eq!((bot.hears().as_str(), bot.ends()), ("SIGTERM", Some(5)), "{:#?}", bot.said);
    assert!(bot.said.join("\n").contains("the store does not know it any more"), "{:#?}", bot.said);
}

#[test]
fn without_its_keeper_the_program_is_stopped_and_without_a_renewer_it_is_not() {
    let Some(database) = database() else { return };
    if !is_root() {
        return support::skip("only root may kill the keeper of another user");
    }
    let _alone = alone();
    let role = database.kind("killed", "5s", "1h");
    let mut bot = Bot::start(database, &role, "killed", "");
    let keeper = bot.role("portcullis-role-keeper");
    let kill = |pid: u32| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL)
            .expect("alive")
    };
    {
        // Frozen, the store holds a renewer up for long enough to be found.
        let _frozen = database.bao.frozen();
        let path = format!("/proc/{keeper}/task/{keeper}/children");
        let end = Instant::now() + Duration::from_secs(30);
        let renewer = loop {
            let children = std::fs::read_to_string(&path).expect("the keeper's children");
            if let Some(pid) = children.split_whitespace().next() {
                break pid.parse().expect("a pid");
            }
            assert!(Instant::now() < end, "no renewer came");
            std::thread::sleep(Duration::from_millis(5));
        };
        kill(renewer);
    }
    bot.says("could not be renewed: the renewer died");
    bot.says("is renewed again");
    assert!(bot.is_alive());
    kill(keeper);
    assert_eq!((bot.hears().as_str(), bot.ends()), ("SIGTERM", Some(5)));
    let said = bot.said.join("\n");
    assert!(
        said.contains("the keeper was ended by SIGKILL: leases are not renewed any more; the program is stopped"),
        "{said}"
    );
}

#[test]
fn nobody_is_left_to_keep_a_lease_in_replace_mode() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("replaced", "1m", "1h");
    let place = Place::new();
    let config = config(&place, database.bao, &role, "replaced", "mode = \"replace\"");
    let output = place.run(&["run", "-c", &config]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{err}");
    assert!(
        err.contains("is leased for 60 s, and nothing would renew it") && err.contains("mode = \"supervise\""),
        "{err}"
    );
    let left = || database.postgres.superuser("select count(*) from pg_roles where rolname like '%replaced%'");
    database.bao.wait_until("it is given back", || left() == "0");
}

/// A file that is open for writing cannot be executed (ETXTBSY of execve(2)): that shows after the last word to the launcher.
#[test]
fn a_start_that_fails_behind_the_fetch_gives_back_what_it_was_granted() {
    let Some(database) = database() else { return };
    let _alone = alone();
    let role = database.kind("failed", "1m", "1h");
    let place = Place::new();
    let config = config(&place, database.bao, &role, "failed", "");
    let bot = place.write("app/bot", std::fs::read("/bin/true").expect("a program"), 0o755);
    let _busy = std::fs::File::options().append(true).open(&bot).expect("the program");
    let text = std::fs::read_to_string(&config).expect("a config");
    let command = format!("command = [\"/usr/bin/python3\", \"{}/bot.py\"]", place.app());
    assert!(text.contains(&command), "{text}");
    let other = format!("shield = \"off\"\ncommand = [\"{}\"]", bot.display());
    std::fs::write(&config, text.replace(&command, &other)).expect("a config");
    let output = place.run(&["run", "-c", &config]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(126), "{err}");
    assert_eq!(database.bao.requests("database/creds/failed"), 1, "it was granted: {err}");
    assert!(database.bao.accessors_of(&role).iter().all(|accessor| !database.bao.lives(accessor)), "{err}");
    let left = || database.postgres.superuser("select count(*) from pg_roles where rolname like '%failed%'");
    database.bao.wait_until("it is given back", || left() == "0");
}
