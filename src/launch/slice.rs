//! The fetcher's slice: the plan's part of it, and the list of descriptors that goes with it.

mod aws;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::plan::{ExecPlan, FetchPlan, IdentityFile, Key, LoginPlan, Plan, SecretPlan, StorePlan};
use crate::refusal::Refusal;
use crate::wire::slice::{
    AgeKey, Credential, ExecOutput, FetcherCage, OutputFile, Outputs, Place, Slice, VaultLogin, VaultStore, Wanted,
};

use super::bundle::BundleEnds;
use super::command::CommandEnds;
use super::open::{self, Removable};
use super::volume::Volumes;

/// The slice, the files to give with it, and the one to remove once it was used.
pub struct Cut {
    pub slice: Slice,
    pub gifts: Vec<OwnedFd>,
    pub single_use: Option<Removable>,
}

/// The slice, and the files to give with it. Everything is opened here, by init, with the rights it was started with: the
/// fetcher itself then needs none.
pub fn cut(
    plan: &Plan,
    fetch: &FetchPlan,
    ends: &mut BundleEnds,
    commands: Vec<CommandEnds>,
    left: Duration,
    check: bool,
) -> Result<Cut, Refusal> {
    let mut bag = Bag { gifts: Vec::new(), single_use: None };
    let mut volumes = Volumes::new(nix::unistd::geteuid().is_root());
    let secrets = fetch
        .secrets
        .iter()
        .map(|secret| wanted(secret, &mut volumes, &mut bag))
        .collect::<Result<Vec<_>, Refusal>>()?;
    let age = fetch.age.as_ref().map(|key| age_key(key, &mut bag)).transpose()?;
    let vault = fetch.vault.as_ref().map(|store| vault(store, &mut bag)).transpose()?;
    let aws = fetch.aws.as_ref().map(|store| aws::part(store, &mut bag)).transpose()?;
    let printed = fetch.exec.iter().zip(commands);
    let exec = printed
        .map(|(command, ends)| output_of(command, ends, &mut volumes, &mut bag))
        .collect::<Result<Vec<_>, Refusal>>()?;
    let cage = FetcherCage {
        ids: fetch.ids,
        address_space: fetch.address_space,
        connect: fetch.ports(),
        resolve: fetch.resolves(),
        landlock_abi: fetch.landlock_abi,
    };
    let outputs = outputs(plan, ends, &mut bag)?;
    let slice = Slice {
        check,
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        secrets,
        age,
        vault,
        aws,
        exec,
        outputs,
        must_not_contain: fetch.must_not_contain.clone(),
        cage,
    };
    Ok(Cut { slice, gifts: bag.gifts, single_use: bag.single_use })
}

fn wanted(secret: &SecretPlan, volumes: &mut Volumes, bag: &mut Bag) -> Result<Wanted, Refusal> {
    Ok(Wanted {
        name: secret.name.clone(),
        from: secret.from.clone(),
        file: secret.file.as_deref().map(|path| bag.open(&volumes.path(path))).transpose()?,
        max_age_secs: secret.max_age.map(|age| age.as_secs()),
        base64: secret.base64,
    })
}

fn output_of(
    command: &ExecPlan,
    ends: CommandEnds,
    volumes: &mut Volumes,
    bag: &mut Bag,
) -> Result<ExecOutput, Refusal> {
    Ok(ExecOutput {
        name: command.name.clone(),
        raw: command.raw,
        output: bag.put(ends.output),
        inputs: command.inputs.iter().map(|input| wanted(input, volumes, bag)).collect::<Result<_, _>>()?,
        credentials: ends.credentials.map(|fd| bag.put(fd)),
        stdin: command.stdin.zip(ends.stdin.map(|fd| bag.put(fd))),
    })
}

/// The descriptors, in the order in which they will be given.
struct Bag {
    gifts: Vec<OwnedFd>,
    single_use: Option<Removable>,
}

impl Bag {
    fn put(&mut self, fd: OwnedFd) -> Place {
        self.gifts.push(fd);
        self.gifts.len() - 1
    }

    fn credential(&mut self, file: &IdentityFile) -> Result<Credential, Refusal> {
        let place = match file.single_use {
            false => self.open(&file.path)?,
            true => {
                let (fd, removable) = open::single_use(&file.path, nix::unistd::geteuid().is_root())?;
                self.single_use = Some(removable);
                self.put(fd)
            }
        };
        let IdentityFile { wrapped, wrapped_path, single_use, .. } = file.clone();
        Ok(Credential { file: place, wrapped, wrapped_path, single_use })
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
    let login = login(&store.login, bag)?;
    let client = match &store.client {
        Some(client) => Some((bag.open(&client.cert)?, bag.open(&client.key)?)),
        None => None,
    };
    Ok(VaultStore {
        addresses: store.addresses.clone(),
        namespace: store.namespace.clone(),
        ca: bag.open(&store.ca)?,
        client,
        min_tls: store.min_tls,
        mounts: store.mounts.clone(),
        writes: store.writes.clone(),
        leases: store.leases,
        login,
    })
}

fn login(plan: &LoginPlan, bag: &mut Bag) -> Result<VaultLogin, Refusal> {
    Ok(match plan.clone() {
        LoginPlan::AppRole { mount, role_id, secret_id } => {
            VaultLogin::AppRole { mount, role_id, secret_id: bag.credential(&secret_id)? }
        }
        LoginPlan::Kubernetes { mount, role, token_file, audience } => {
            VaultLogin::Kubernetes { mount, role, token: bag.open(&token_file)?, audience }
        }
        LoginPlan::Jwt { mount, role, token_file, audience } => {
            VaultLogin::Jwt { mount, role, token: bag.open(&token_file)?, audience }
        }
        LoginPlan::Cert { mount, role } => VaultLogin::Cert { mount, role },
        LoginPlan::Token { token } => VaultLogin::Token { token: bag.credential(&token)? },
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
