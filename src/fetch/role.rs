//! The role's story: confine itself, report, take what it is given, fetch, judge, write, die.
//!
//! Process death is the wipe: library buffers cannot be zeroized from outside, so nothing here outlives the write.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::given::Given;
use super::local::Local;
use super::{ask_aws, exec, judge, output, vault};
use crate::config::reference::Source;
use crate::confine::verify::{Expected, Status};
use crate::confine::{capabilities, dumps, filter, ids, landlock, limits};
use crate::console;
use crate::deliver::Bundle;
use crate::plan::{Grant, GrantKind, LandlockPlan};
use crate::refusal::{Exit, Refusal, cause};
use crate::secret::{Fetched, Lease, SecretText, Vouched};
use crate::sys::{descriptors, process, seccomp};
use crate::wire::slice::{Credential, FetcherCage, Slice, VaultLogin, VaultStore, Wanted};
use crate::wire::{Channel, Frame, NO_TIME, ROLE_SLICE, ROLE_SOCKET, Reporter, Tag};

/// The fetcher's `main`. Its descriptors are a contract: see `wire`.
pub fn main() -> ! {
    let begun = Instant::now();
    let (Some(socket), Some(slice)) = (descriptors::take_contract(ROLE_SOCKET), descriptors::take_contract(ROLE_SLICE))
    else {
        console::note("this is a role of portcullis and is not started by hand");
        process::exit_now(Exit::Usage.code());
    };
    let log = descriptors::standard(2).try_clone_to_owned();
    let Ok(log) = log else { process::exit_now(Exit::Internal.code()) };
    let reporter = Reporter::new(Channel::from_contract(socket), log);
    let code = match run(&reporter, File::from(slice), begun) {
        Ok(()) => 0,
        Err(refusal) => match reporter.refuse(&refusal) {
            Ok(()) => refusal.exit.code(),
            Err(_) => Exit::RoleBroke.code(),
        },
    };
    process::exit_now(code)
}

fn run(reporter: &Reporter, slice: File, begun: Instant) -> Result<(), Refusal> {
    dumps::forbid()?;
    let slice = read_slice(slice)?;
    confine(&slice.cage)?;
    tell(reporter, Frame::new(Tag::Ready, 0, 0, 0))?;
    let mut given = Given::receive(&reporter.channel)?;
    let deadline = begun + Duration::from_millis(slice.deadline_ms);
    let (fetched, kept) = fetch_all(&slice, &mut given, deadline, reporter)?;
    hand_over(reporter, &slice, fetched, &mut given).map_err(|mut refusal| {
        let unrevoked = kept.and_then(vault::Kept::give_up);
        refusal.hint.extend(unrevoked.map(|warning| format!("; also, {warning}")));
        refusal
    })
}

fn hand_over(reporter: &Reporter, slice: &Slice, fetched: Vec<Fetched>, given: &mut Given) -> Result<(), Refusal> {
    judge::all(slice, &fetched, now())?;
    report_each(reporter, &fetched)?;
    let values = slice.secrets.iter().zip(fetched).map(|(wanted, got)| (wanted.name.clone(), got.value));
    let written = output::write(&slice.outputs, &Bundle::new(values.collect()), given)?;
    tell(reporter, Frame::new(Tag::Bundle, written.pipe, written.stdin, written.env))
}

fn read_slice(mut file: File) -> Result<Slice, Refusal> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| Refusal::internal(format!("reading the slice: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::internal(format!("the slice is unreadable: {error}")))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn tell(reporter: &Reporter, frame: Frame) -> Result<(), Refusal> {
    let broken = |error| Refusal::new(Exit::RoleBroke, format!("the fetcher lost init: init {error}"), "start again");
    reporter.channel.send(frame, &[]).map_err(broken)
}

fn report_each(reporter: &Reporter, fetched: &[Fetched]) -> Result<(), Refusal> {
    for (index, Vouched { version, set_at, lease, beyond }) in fetched.iter().map(|got| got.vouched).enumerate() {
        let index = index as u64;
        let version = version.map_or(0, |version| version.saturating_add(1));
        let set_at = set_at.map_or(NO_TIME, |seconds| seconds as u64);
        tell(reporter, Frame::new(Tag::Secret, index, version, set_at))?;
        if let Some(Lease { seconds, renewable }) = lease {
            tell(reporter, Frame::new(Tag::Lease, index, seconds, renewable.into()))?;
        }
        if let Some(beyond) = beyond {
            tell(reporter, Frame::new(Tag::Beyond, index, beyond.bits(), 0))?;
        }
    }
    Ok(())
}

/// Confines this process before it reads one byte of a store or an identity.
fn confine(cage: &FetcherCage) -> Result<(), Refusal> {
    nix::sys::prctl::set_no_new_privs().map_err(|errno| {
        Refusal::host(
            format!("setting no_new_privs failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    limits::address_space(cage.address_space)?;
    let found = nix::unistd::getgroups().map_err(|errno| {
        Refusal::host(
            format!("the fetcher cannot read its groups: {errno}", errno = cause(errno)),
            "an outer sandbox forbids it",
        )
    })?;
    let mut groups: Vec<u32> = found.iter().map(|gid| gid.as_raw()).collect();
    if let Some((uid, gid)) = cage.ids {
        let init = nix::unistd::getppid();
        ids::change(uid, gid, &[])?;
        // The change cleared the death signal (prctl(2)); init may have died in between.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(|errno| {
            Refusal::host(format!("setting the parent-death signal failed: {errno}"), "an outer sandbox forbids it")
        })?;
        if nix::unistd::getppid() != init {
            return Err(Refusal::internal("init died while the fetcher confined itself"));
        }
        groups.clear();
        // Changing ids made the process's dumpable flag follow fs.suid_dumpable: say it again.
        dumps::forbid()?;
    }
    capabilities::drop_all()?;
    ids::try_to_undo()?;
    let status = Status::at(Status::open()?);
    // Asked now: the filter has no use for the question.
    let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    let (uid, gid) = cage.ids.unwrap_or(own);
    landlock::enforce(&domain(cage))?;
    let filter = filter::fetcher(!cage.connect.is_empty(), cage.resolve)?;
    seccomp::install(filter.instructions(), false).map_err(|errno| {
        Refusal::host(
            format!("the fetcher's filter failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids seccomp",
        )
    })?;
    groups.sort_unstable();
    groups.dedup();
    status.must_say(&Expected { uid, gid, groups, bounding_empty: false })
}

/// What a resolver reads (resolv.conf(5), hosts(5), nsswitch.conf(5), gai.conf(5)).
const RESOLVER_FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];

/// The store's ports, and the resolver's files if a name has to be resolved; no other file at all.
fn domain(cage: &FetcherCage) -> LandlockPlan {
    let mut connect = cage.connect.clone();
    let mut grants = Vec::new();
    if cage.resolve {
        connect.push(53);
        let paths = RESOLVER_FILES.iter().filter_map(|path| PathBuf::from(path).canonicalize().ok());
        grants.extend(paths.map(|path| Grant { path, directory: false, kind: GrantKind::Read, from: "the resolver" }));
    }
    LandlockPlan {
        abi: cage.landlock_abi,
        grants,
        connect: (cage.landlock_abi >= 4).then_some(connect),
        bind: (cage.landlock_abi >= 4).then(Vec::new),
        scopes: cage.landlock_abi >= 6,
    }
}

/// Every value, in the order of the slice, and what has to be given up if the start fails from here on. Each source sees its
/// own references alone, and each store is asked once; the one that mints is asked last.
fn fetch_all(
    slice: &Slice,
    given: &mut Given,
    deadline: Instant,
    reporter: &Reporter,
) -> Result<(Vec<Fetched>, Option<vault::Kept>), Refusal> {
    let mut found: BTreeMap<usize, Fetched> = BTreeMap::new();
    let of = |source| slice.secrets.iter().enumerate().filter(move |(_, wanted)| wanted.from.source == source);
    let mut local = Local::new(slice.age.as_ref(), given)?;
    for (index, wanted) in of(Source::Age).chain(of(Source::File)) {
        found.insert(index, local.value(wanted, given)?);
    }
    if !slice.exec.is_empty() {
        let (places, wanted): (Vec<usize>, Vec<&Wanted>) = of(Source::Exec).unzip();
        let texts = &slice.must_not_contain;
        let values = exec::fetch(&slice.exec, &wanted, texts, &mut local, given, &reporter.channel)?;
        found.extend(places.into_iter().zip(values));
    }
    if let Some(store) = &slice.aws {
        let (places, wanted): (Vec<usize>, Vec<&Wanted>) = of(Source::Aws).unzip();
        let values = ask_aws::values(store, &wanted, given, deadline, slice.check)?;
        found.extend(places.into_iter().zip(values));
    }
    let mut kept = None;
    if let Some(store) = &slice.vault {
        let wanted: Vec<(usize, &Wanted)> = of(Source::Vault).collect();
        let answer = ask_vault(slice, store, &wanted, given, deadline, reporter)?;
        for warning in &answer.warnings {
            console::note(&format!("warning: {warning}"));
        }
        kept = answer.kept;
        found.extend(wanted.iter().map(|(index, _)| *index).zip(answer.fetched));
    }
    let all: Vec<Fetched> = found.into_values().collect();
    match all.len() == slice.secrets.len() {
        true => Ok((all, kept)),
        false => Err(Refusal::internal("a source returned fewer values than asked")),
    }
}

fn ask_vault(
    slice: &Slice,
    store: &VaultStore,
    wanted: &[(usize, &Wanted)],
    given: &mut Given,
    deadline: Instant,
    reporter: &Reporter,
) -> Result<vault::Answer, Refusal> {
    let wants = wanted.iter().map(|(_, wanted)| want(wanted)).collect::<Result<Vec<_>, Refusal>>()?;
    let purpose = if slice.check { vault::Purpose::Check } else { vault::Purpose::Start };
    let single_use = match &store.login {
        VaultLogin::AppRole { secret_id: file, .. } | VaultLogin::Token { token: file } => file.single_use,
        _ => false,
    };
    // A wrapped secret id is used twice over, and its file is gone after the first.
    let told = Cell::new(!single_use);
    let used = || match told.replace(true) {
        true => Ok(()),
        false => tell(reporter, Frame::new(Tag::Used, 0, 0, 0)),
    };
    let store = vault_store(store, given)?;
    vault::fetch(store, &wants, deadline.saturating_duration_since(Instant::now()), purpose, &used)
}

fn want(wanted: &Wanted) -> Result<vault::Want, Refusal> {
    let version = wanted.from.query.get("version").map(|version| version.parse());
    let version = version.transpose().map_err(|_| Refusal::internal("a version that is no number"))?;
    let (name, path, field) = (wanted.name.clone(), wanted.from.path.clone(), wanted.from.field.clone());
    Ok(vault::Want { name, path, field, version, base64: wanted.base64 })
}

fn vault_store(store: &VaultStore, given: &mut Given) -> Result<vault::Store, Refusal> {
    let identity = match store.client {
        None => None,
        Some((cert, key)) => Some(vault::Identity {
            cert_pem: given.bytes(cert, "the client certificate")?,
            key_pem: given.bytes(key, "the client key")?,
        }),
    };
    Ok(vault::Store {
        addresses: store.addresses.clone(),
        namespace: store.namespace.clone(),
        ca_pem: given.bytes(store.ca, "the CA file")?.to_vec(),
        identity,
        min_tls: store.min_tls,
        engines: vault::Engines { mounts: store.mounts.clone(), writes: store.writes.clone() },
        leases: store.leases,
        login: vault_login(&store.login, given)?,
    })
}

fn vault_login(login: &VaultLogin, given: &mut Given) -> Result<vault::Login, Refusal> {
    let mut word = |place, what: &str| one_line(given.text(place, what)?, what);
    Ok(match login.clone() {
        VaultLogin::AppRole { mount, role_id, secret_id } => {
            let text = word(secret_id.file, "the secret-id file")?;
            vault::Login::AppRole { mount, role_id, secret_id: credential(&secret_id, text) }
        }
        VaultLogin::Kubernetes { mount, role, token, audience } => {
            vault::Login::Kubernetes { mount, role, jwt: word(token, "the service account token")?, audience }
        }
        VaultLogin::Jwt { mount, role, token, audience } => {
            vault::Login::Jwt { mount, role, jwt: word(token, "the login token's file")?, audience }
        }
        VaultLogin::Cert { mount, role } => vault::Login::Cert { mount, role },
        VaultLogin::Token { token } => {
            let text = word(token.file, "the token file")?;
            vault::Login::Token { token: credential(&token, text) }
        }
    })
}

fn credential(file: &Credential, text: SecretText) -> vault::Credential {
    match file.wrapped {
        false => vault::Credential::Plain(text),
        true => vault::Credential::Wrapped { token: text, made_at: file.wrapped_path.clone() },
    }
}

/// A credential file holds one line; the newline that editors add is not part of it.
pub(super) fn one_line(text: SecretText, what: &str) -> Result<SecretText, Refusal> {
    let line = text.expose().trim();
    if line.is_empty() || line.contains(char::is_whitespace) {
        let found = if line.is_empty() { "is empty" } else { "holds more than one word" };
        return Err(Refusal::config(format!("{what} {found}"), "put the credential alone on one line into it"));
    }
    Ok(SecretText::new(line.to_owned()))
}
