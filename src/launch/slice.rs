//! The fetcher's slice: the plan's part of it, and the list of descriptors that goes with it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::plan::{FetchPlan, Key, LoginPlan, Plan, SecretPlan, StorePlan};
use crate::refusal::Refusal;
use crate::wire::slice::{AgeKey, FetcherCage, OutputFile, Outputs, Place, Slice, VaultLogin, VaultStore, Wanted};

use super::bundle::BundleEnds;
use super::open;
use super::volume::Volumes;

/// The slice, and the files to give with it. Everything is opened here, by init, with the rights it was started with: the
/// fetcher itself then needs none.
pub fn cut(
    plan: &Plan,
    fetch: &FetchPlan,
    ends: &mut BundleEnds,
    left: Duration,
) -> Result<(Slice, Vec<OwnedFd>), Refusal> {
    let mut bag = Bag(Vec::new());
    let mut volumes = Volumes::new(nix::unistd::geteuid().is_root());
    let secrets = fetch
        .secrets
        .iter()
        .map(|secret| wanted(secret, &mut volumes, &mut bag))
        .collect::<Result<Vec<_>, Refusal>>()?;
    let age = fetch.age.as_ref().map(|key| age_key(key, &mut bag)).transpose()?;
    let vault = fetch.vault.as_ref().map(|store| vault(store, &mut bag)).transpose()?;
    let cage = FetcherCage {
        ids: fetch.ids,
        address_space: fetch.address_space,
        connect: fetch.vault.as_ref().map(|store| store.port),
        resolve: fetch.vault.as_ref().is_some_and(|store| store.resolve),
        landlock_abi: fetch.landlock_abi,
    };
    let outputs = outputs(plan, ends, &mut bag)?;
    let slice = Slice {
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        secrets,
        age,
        vault,
        outputs,
        must_not_contain: fetch.must_not_contain.clone(),
        cage,
    };
    Ok((slice, bag.0))
}

fn wanted(secret: &SecretPlan, volumes: &mut Volumes, bag: &mut Bag) -> Result<Wanted, Refusal> {
    Ok(Wanted {
        name: secret.name.clone(),
        from: secret.from.clone(),
        file: secret.file.as_deref().map(|path| bag.open(&volumes.path(path))).transpose()?,
        max_age_secs: secret.max_age.map(|age| age.as_secs()),
    })
}

/// The descriptors, in the order in which they will be given.
struct Bag(Vec<OwnedFd>);

impl Bag {
    fn put(&mut self, fd: OwnedFd) -> Place {
        self.0.push(fd);
        self.0.len() - 1
    }

    fn open(&mut self, path: &Path) -> Result<Place, Refusal> {
        let as_root = nix::unistd::geteuid().is_root();
        let fd = open::regular(path, as_root)?;
        Ok(self.put(fd))
    }
}

fn age_key(key: &Key, bag: &mut Bag) -> Result<AgeKey, Refusal> {
    let file = bag.open(key.path())?;
    let path = key.path().display().to_string();
    Ok(match key {
        Key::Identity(_) => AgeKey::Identity { path, file },
        Key::Passphrase(_) => AgeKey::Passphrase { path, file },
    })
}

fn vault(store: &StorePlan, bag: &mut Bag) -> Result<VaultStore, Refusal> {
    let identity = bag.open(store.login.identity_file())?;
    let login = match &store.login {
        LoginPlan::AppRole { mount, role_id, .. } => {
            VaultLogin::AppRole { mount: mount.clone(), role_id: role_id.clone(), secret_id: identity }
        }
        LoginPlan::Token { .. } => VaultLogin::Token { token: identity },
    };
    Ok(VaultStore {
        address: store.address.clone(),
        namespace: store.namespace.clone(),
        ca: bag.open(&store.ca)?,
        min_tls: store.min_tls,
        mounts: store.mounts.clone(),
        login,
    })
}

/// Moves the write ends into the bag: once they are given, init has none left.
fn outputs(plan: &Plan, ends: &mut BundleEnds, bag: &mut Bag) -> Result<Outputs, Refusal> {
    let variables = plan.delivery.env.iter().map(|e| (e.var.clone(), e.secret.clone())).collect();
    let mut files = Vec::new();
    for (file, memory) in plan.delivery.files.iter().zip(&ends.files) {
        let memory = memory.try_clone().map_err(|error| Refusal::internal(format!("copying a descriptor: {error}")))?;
        files.push(OutputFile {
            var: file.var.clone(),
            file: bag.put(memory),
            format: file.format,
            template: file.template.as_deref().map(|path| bag.open(path)).transpose()?,
            secrets: file.secrets.clone(),
        });
    }
    Ok(Outputs {
        pipe: ends.pipe.take_writer().map(|fd| bag.put(fd)),
        stdin: ends.stdin.take_writer().map(|fd| bag.put(fd)),
        env: ends.env.take_writer().map(|fd| (bag.put(fd), variables)),
        files,
    })
}
