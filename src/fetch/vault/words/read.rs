//! What a read was refused for, and the command or the line of a policy that mends it.

use crate::fetch::vault::location::{How, Location};
use crate::fetch::vault::trouble::Said;
use crate::refusal::{Exit, Refusal};
use crate::secret::Lease;

fn no(what: String, hint: String) -> Refusal {
    Refusal::new(Exit::StoreSaidNo, what, hint)
}

pub(super) fn of_status(status: u16, said: Said, name: &str, place: &Location, own: bool) -> Refusal {
    let mount = &place.mount;
    let at = format!("`{name}`: {}", place.path());
    match (status, said) {
        (_, Said::Deleted(version)) => no(
            format!("{at} is deleted (version {version})"),
            format!("bring it back: `vault kv undelete -versions={version} {}`, or write a new version", place.cli()),
        ),
        (_, Said::Destroyed(version)) => no(
            format!("{at} is destroyed (version {version})"),
            format!("it cannot be brought back; write a new version: `vault kv put {} FIELD=VALUE`", place.cli()),
        ),
        (_, Said::NoData) => {
            no(format!("{at} holds no data"), format!("write it: `vault kv put {} FIELD=VALUE`", place.cli()))
        }
        (403, _) => no(
            format!("{at} is forbidden to this token"),
            format!(
                "{}add to its policy: {}{}",
                if own { "" } else { "it may have expired (`vault token lookup`); else " },
                place.policy_line(),
                data_hint(place)
            ),
        ),
        (404, Said::NoMount) => no(
            format!("{at}: nothing is mounted at {mount}/"),
            "`vault secrets list` shows the mounts; one of more than one segment is listed in [vault] mounts"
                .to_owned(),
        ),
        (404, Said::IsKv2) => no(
            format!("{at} is in a KV 2 mount, and the config says {}", kind(place)),
            format!("set mounts.{mount} = \"kv2\" in [vault]"),
        ),
        (404, _) => missing(&at, place),
        (405, _) if place.is_written() => no(
            format!("{at} cannot be written to"),
            format!(
                "remove it from [vault.write] and set mounts.{mount} = \"read\": `vault path-help {}`",
                place.path()
            ),
        ),
        (405, _) => no(
            format!("{at} cannot be read"),
            format!("list it in [vault.write] with its parameters: `vault path-help {}` shows them", place.path()),
        ),
        (400, _) if place.mints() => no(
            format!("{at}: vault refuses the request (400)"),
            format!("`{}` says why; the role or a parameter in [vault.write] is wrong", place.command()),
        ),
        _ => no(format!("{at}: vault answers {status}"), format!("try `{}`", place.command())),
    }
}

fn kind(place: &Location) -> &'static str {
    match place.how {
        How::Kv1 => "kv1",
        How::Kv2 { .. } => "kv2",
        How::Read => "read",
        How::Write(_) => "write",
    }
}

fn missing(at: &str, place: &Location) -> Refusal {
    let put = || format!("write it: `vault kv put {} FIELD=VALUE`", place.cli());
    match &place.how {
        How::Kv2 { version: Some(version) } => no(
            format!("{at} has no version {version}"),
            format!("`vault kv metadata get {}` shows the versions that there are", place.cli()),
        ),
        How::Kv2 { version: None } => no(
            format!("{at} does not exist"),
            format!(
                "{}{}; if the mount is KV 1, set mounts.{} = \"kv1\" in [vault]",
                put(),
                data_hint(place),
                place.mount
            ),
        ),
        How::Kv1 => no(format!("{at} does not exist"), format!("{}{}", put(), data_hint(place))),
        How::Read | How::Write(_) => no(
            format!("{at} does not exist"),
            format!(
                "`{}` must answer; `vault path-help {}` shows the paths of the engine",
                place.command(),
                place.mount
            ),
        ),
    }
}

/// The usual slip: the API's path instead of the command's.
fn data_hint(place: &Location) -> String {
    match (&place.how, place.rest.strip_prefix("data/")) {
        (How::Kv2 { .. }, Some(rest)) => format!("; or leave out data/: {}/{rest}", place.mount),
        _ => String::new(),
    }
}

/// Nothing renews leases: a program that runs longer than one would lose its credentials under its feet.
pub fn unkept_lease(name: &str, place: &Location, lease: Lease) -> Refusal {
    Refusal::config(
        format!("`{name}`: {} is leased for {} s, and nothing would renew it", place.path(), lease.seconds),
        "set leases = \"keep\" in [vault] and mode = \"supervise\", or leases = \"unkept\" if the program ends before that; it was given back",
    )
}

pub fn unkept(name: &str, lease: Lease) -> String {
    format!("`{name}` ends in {} s with its lease, which nothing renews (leases = \"unkept\")", lease.seconds)
}
