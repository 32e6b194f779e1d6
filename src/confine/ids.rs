//! Ids: groups first, then group, then user (setresuid(2)); afterwards the drop is verified by trying to undo it.

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::{failed, not_held};
use crate::refusal::Refusal;

/// Becomes `uid:gid` with these supplementary groups, for good. Needs CAP_SETUID and CAP_SETGID.
pub fn change(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Refusal> {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&groups).map_err(|errno| failed("setting the supplementary groups", errno))?;
    setresgid(gid, gid, gid).map_err(|errno| failed(&format!("becoming group {gid}"), errno))?;
    setresuid(uid, uid, uid).map_err(|errno| failed(&format!("becoming user {uid}"), errno))
}

/// Tries to become root again, by user and by group. Each attempt must be refused by the kernel.
pub fn try_to_undo() -> Result<(), Refusal> {
    let (root, roots_group) = (Uid::from_raw(0), Gid::from_raw(0));
    refused("becoming root again", setresuid(root, root, root))?;
    refused("becoming root again by the saved id", nix::unistd::seteuid(root))?;
    if nix::unistd::getgid() != roots_group {
        refused("joining root's group again", setresgid(roots_group, roots_group, roots_group))?;
    }
    refused("changing the supplementary groups again", setgroups(&[roots_group]))
}

fn refused(what: &str, attempt: Result<(), Errno>) -> Result<(), Refusal> {
    match attempt {
        // EINVAL: a user namespace in which there is no such id at all.
        Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(failed(what, format!("the attempt failed with {errno} instead of EPERM"))),
        Ok(()) => Err(not_held(format!("{what} worked"))),
    }
}
