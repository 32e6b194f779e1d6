//! The role's story: confine itself, report, take what it is given, fetch, judge, write, die.
//!
//! Process death is the wipe: library buffers cannot be zeroized from outside, so nothing here outlives the write.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::given::Given;
use super::local::Local;
use super::{ask_aws, cage, exec, judge, output, vault};
use crate::config::reference::Source;
use crate::confine::{dumps, filter};
use crate::console;
use crate::deliver::Bundle;
use crate::refusal::{Exit, Refusal};
use crate::secret::{Fetched, Lease, SecretText, Vouched};
use crate::sys::{descriptors, hidden, process};
use crate::wire::slice::{Credential, Slice, VaultLogin, VaultStore, Wanted};
use crate::wire::{Channel, Frame, NO_END, NO_TIME, ROLE_SLICE, ROLE_SOCKET, Reporter, Tag};

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
    cage::enter(&slice.cage, &filter::fetcher(!slice.cage.connect.is_empty(), slice.cage.resolve)?)?;
    tell(reporter, Frame::new(Tag::Ready, 0, 0, 0))?;
    let mut given = Given::receive(&reporter.channel)?;
    let deadline = begun + Duration::from_millis(slice.deadline_ms);
    let (fetched, kept) = fetch_all(&slice, &mut given, deadline, reporter)?;
    let done = keep(reporter, &slice, kept.as_ref(), &mut given);
    done.and_then(|()| hand_over(reporter, &slice, fetched, &mut given)).map_err(|mut refusal| {
        let unrevoked = kept.and_then(vault::Kept::give_up);
        refusal.hint.extend(unrevoked.map(|warning| format!("; also, {warning}")));
        refusal
    })
}

/// Leaves to the keeper what the values live by: the secrets of it in hidden memory, how long each lasts in frames.
fn keep(reporter: &Reporter, slice: &Slice, kept: Option<&vault::Kept>, given: &mut Given) -> Result<(), Refusal> {
    let Some((estate, kept)) = kept.and_then(vault::Kept::estate) else { return Ok(()) };
    let region = slice.vault.as_ref().and_then(|store| store.region);
    let region = region.ok_or_else(|| Refusal::internal("leases are to be kept, and there is no place for them"))?;
    hidden::fill(&given.take(region)?, &estate.to_bytes()?).map_err(no_room)?;
    for (number, kept) in kept.iter().enumerate() {
        let seconds = kept.seconds.unwrap_or(NO_END);
        tell(reporter, Frame::new(Tag::Kept, number as u64, seconds, kept.renewable.into()))?;
    }
    Ok(())
}

fn no_room(errno: Errno) -> Refusal {
    match errno {
        Errno::EFBIG => Refusal::config(
            format!("the store's token and leases do not fit into {} KiB of hidden memory", hidden::SIZE >> 10),
            "fetch fewer leased secrets in one start",
        ),
        errno => Refusal::host(
            format!("hidden memory could not be filled: {}", errno.desc()),
            "raise the limit on locked memory (ulimit -l, docker run --ulimit memlock, LimitMEMLOCK)",
        ),
    }
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
        if let Some(Lease { seconds, renewable, kept }) = lease {
            let how = u64::from(renewable) + 2 * kept.unwrap_or(0) as u64;
            tell(reporter, Frame::new(Tag::Lease, index, seconds, how))?;
        }
        if let Some(beyond) = beyond {
            tell(reporter, Frame::new(Tag::Beyond, index, beyond.bits(), 0))?;
        }
    }
    Ok(())
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
