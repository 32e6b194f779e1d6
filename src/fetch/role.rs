//! The role's story: confine itself, report, take what it is given, fetch, judge, write, die.
//!
//! Process death is the wipe: library buffers cannot be zeroized from outside, so nothing here outlives the write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::given::Given;
use super::{age, file, judge, output, vault};
use crate::config::reference::Source;
use crate::confine::verify::{Expected, Status};
use crate::confine::{capabilities, dumps, filter, ids, landlock, limits};
use crate::console;
use crate::deliver::Bundle;
use crate::plan::{Grant, GrantKind, LandlockPlan};
use crate::refusal::{Exit, Refusal, cause};
use crate::secret::{Fetched, SecretText};
use crate::sys::{descriptors, process, seccomp};
use crate::wire::slice::{FetcherCage, Slice, VaultLogin, VaultStore, Wanted};
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
    let fetched = fetch_all(&slice, &mut given, deadline)?;
    judge::all(&slice, &fetched, now())?;
    report_each(reporter, &fetched)?;
    let values = slice.secrets.iter().zip(fetched).map(|(wanted, got)| (wanted.name.clone(), got.value));
    let written = output::write(&slice.outputs, &Bundle::new(values.collect()), &mut given)?;
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
    for (index, got) in fetched.iter().enumerate() {
        let version = got.version.map_or(0, |version| version.saturating_add(1));
        let set_at = got.set_at.map_or(NO_TIME, |seconds| seconds as u64);
        tell(reporter, Frame::new(Tag::Secret, index as u64, version, set_at))?;
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
        process::die_with_parent().map_err(|errno| {
            let errno = cause(errno);
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
    let filter = filter::fetcher(cage.connect.is_some(), cage.resolve)?;
    let found = status.filters()?;
    seccomp::install(filter.instructions(), false).map_err(|errno| {
        Refusal::host(
            format!("the fetcher's filter failed: {errno}", errno = cause(errno)),
            "an outer sandbox forbids seccomp",
        )
    })?;
    groups.sort_unstable();
    groups.dedup();
    status.must_say(&Expected { uid, gid, groups, bounding_empty: false, filters: found + 1 })
}

/// What a resolver reads (resolv.conf(5), hosts(5), nsswitch.conf(5), gai.conf(5)).
const RESOLVER_FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];

/// The store's port, and the resolver's files if a name has to be resolved; no other file at all.
fn domain(cage: &FetcherCage) -> LandlockPlan {
    let mut connect: Vec<u16> = cage.connect.into_iter().collect();
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

/// Every value, in the order of the slice. Each source sees its own references alone, and each store is asked once.
fn fetch_all(slice: &Slice, given: &mut Given, deadline: Instant) -> Result<Vec<Fetched>, Refusal> {
    let mut found: BTreeMap<usize, Fetched> = BTreeMap::new();
    let of = |source| slice.secrets.iter().enumerate().filter(move |(_, wanted)| wanted.from.source == source);
    if let Some(key) = &slice.age {
        let key = age::key(key, given)?;
        let mut files = age::Files::default();
        for (index, wanted) in of(Source::Age) {
            found.insert(index, files.value(wanted, &key, given)?);
        }
    }
    for (index, wanted) in of(Source::File) {
        found.insert(index, file::value(wanted, given)?);
    }
    if let Some(store) = &slice.vault {
        let wanted: Vec<(usize, &Wanted)> = of(Source::Vault).collect();
        let wants: Vec<vault::Want> = wanted.iter().map(|(_, wanted)| want(wanted)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = vault::fetch(vault_store(store, given)?, &wants, left)?;
        for warning in &answer.warnings {
            console::note(&format!("warning: {warning}"));
        }
        found.extend(wanted.iter().map(|(index, _)| *index).zip(answer.fetched));
    }
    let all: Vec<Fetched> = found.into_values().collect();
    if all.len() == slice.secrets.len() {
        Ok(all)
    } else {
        Err(Refusal::internal("a source returned fewer values than asked"))
    }
}

fn want(wanted: &Wanted) -> vault::Want {
    vault::Want { name: wanted.name.clone(), path: wanted.from.path.clone(), field: wanted.from.field.clone() }
}

fn vault_store(store: &VaultStore, given: &mut Given) -> Result<vault::Store, Refusal> {
    let login = match &store.login {
        VaultLogin::AppRole { mount, role_id, secret_id } => vault::Login::AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: one_line(given.text(*secret_id, "the secret-id file")?, "the secret-id file")?,
        },
        VaultLogin::Token { token } => {
            vault::Login::Token { token: one_line(given.text(*token, "the token file")?, "the token file")? }
        }
    };
    Ok(vault::Store {
        address: store.address.clone(),
        namespace: store.namespace.clone(),
        ca_pem: given.bytes(store.ca, "the CA file")?.to_vec(),
        min_tls: store.min_tls,
        mounts: store.mounts.clone(),
        login,
    })
}

/// A credential file holds one line; the newline that editors add is not part of it.
fn one_line(text: SecretText, what: &str) -> Result<SecretText, Refusal> {
    let line = text.expose().trim();
    if line.is_empty() || line.contains(char::is_whitespace) {
        let found = if line.is_empty() { "is empty" } else { "holds more than one word" };
        return Err(Refusal::config(format!("{what} {found}"), "put the credential alone on one line into it"));
    }
    Ok(SecretText::new(line.to_owned()))
}
