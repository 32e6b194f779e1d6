//! The fetcher's slice: the plan's part of it, and the list of descriptors that goes with it.

mod aws;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use crate::plan::{ExecPlan, FetchPlan, IdentityFile, KeepPlan, Key, LoginPlan, Plan, SecretPlan, StorePlan};
use crate::refusal::Refusal;
use crate::sys::hidden;
use crate::sys::memory::{self, Purpose};
use crate::wire::slice::{
    AgeKey, Credential, ExecOutput, FetcherCage, KeeperSlice, Kept, KeptStore, OutputFile, Outputs, Place, Slice,
    VaultLogin, VaultStore, Wanted,
};

use super::bundle::BundleEnds;
use super::open::{self, Removable};
use super::printer::CommandEnds;
use super::short_of;
use super::volume::Volumes;

/// The slice, the files to give with it, and the one to remove once it was used.
pub struct Cut {
    pub slice: Slice,
    pub gifts: Vec<OwnedFd>,
    pub single_use: Option<Removable>,
    /// Init's own descriptor of the hidden region, for the keeper.
    pub region: Option<OwnedFd>,
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
    let mut bag = Bag { gifts: Vec::new(), single_use: None, region: None };
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
    let cage = cage(fetch, fetch.ports(), fetch.resolves());
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
    Ok(Cut { slice, gifts: bag.gifts, single_use: bag.single_use, region: bag.region })
}

fn cage(fetch: &FetchPlan, connect: Vec<u16>, resolve: bool) -> FetcherCage {
    FetcherCage {
        ids: fetch.ids,
        address_space: fetch.address_space,
        connect,
        resolve,
        landlock_abi: fetch.landlock_abi,
    }
}

/// The keeper's slice, and the descriptors to give with it: the region, and what the store is recognised by.
pub fn cut_for_keeper(plan: &Plan, kept: &[Kept], region: OwnedFd) -> Result<(KeeperSlice, Vec<OwnedFd>), Refusal> {
    let mut bag = Bag { gifts: Vec::new(), single_use: None, region: None };
    let Some((fetch, store)) = plan.fetch.as_ref().and_then(|fetch| Some((fetch, fetch.vault.as_ref()?))) else {
        return Err(Refusal::internal("there is no store to keep leases at"));
    };
    let client = client(store, &mut bag)?;
    let slice = KeeperSlice {
        store: KeptStore {
            addresses: store.addresses.clone(),
            namespace: store.namespace.clone(),
            ca: bag.open(&store.ca)?,
            client,
            min_tls: store.min_tls,
        },
        region: bag.put(region),
        kept: kept.to_vec(),
        ahead_ms: u64::try_from(plan.stop.timeout.as_millis()).unwrap_or(u64::MAX),
        cage: cage(fetch, store.ports.clone(), store.resolve),
    };
    Ok((slice, bag.gifts))
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
    region: Option<OwnedFd>,
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

    /// An empty region for the fetcher to fill; init keeps a descriptor and never maps it.
    fn region(&mut self, keep: KeepPlan) -> Result<Place, Refusal> {
        let made = match keep.hidden {
            true => hidden::region(),
            false => memory::sealable(c"kept", Purpose::Data).and_then(hidden::sized),
        };
        let region = made.map_err(|errno| short_of("memory for what is kept", errno))?;
        let own = region.try_clone().map_err(|error| short_of("a descriptor", error))?;
        self.region = Some(own);
        Ok(self.put(region))
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
    let client = client(store, bag)?;
    Ok(VaultStore {
        addresses: store.addresses.clone(),
        namespace: store.namespace.clone(),
        ca: bag.open(&store.ca)?,
        client,
        min_tls: store.min_tls,
        mounts: store.mounts.clone(),
        writes: store.writes.clone(),
        leases: store.leases,
        region: store.keep.map(|keep| bag.region(keep)).transpose()?,
        login,
    })
}

fn client(store: &StorePlan, bag: &mut Bag) -> Result<Option<(Place, Place)>, Refusal> {
    let Some(client) = &store.client else { return Ok(None) };
    Ok(Some((bag.open(&client.cert)?, bag.open(&client.key)?)))
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
