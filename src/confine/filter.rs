//! From the rules to one filter: three programs of `seccompiler`, joined into one so that each call is looked at once.
//!
//! quiet (an errno, no line) -> dangerous (notified, or an errno) -> allowed, else ENOSYS. A foreign architecture kills.
//! `seccompiler` has one match action a program and knows no USER_NOTIF: the joiner rewrites its returns.

mod shorten;

use std::collections::BTreeMap;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::failed;
use super::profiles::{Conditional, Group, If, Test, default, files, roles, strict};
use crate::config::model::{Dns, Profile};
use crate::plan::SyscallPlan;
use crate::refusal::Refusal;
use crate::sys::seccomp::Instruction;

/// A finished filter. It can only be installed.
pub struct Filter(Vec<Instruction>);

impl Filter {
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The workload's filter.
pub fn workload(plan: &SyscallPlan) -> Result<Filter, Refusal> {
    profile(plan, &[])
}

/// The filter of a command that prints secrets: the workload's, and nothing leaves the command's process group, by whose
/// number it is ended with all it started.
pub fn command(plan: &SyscallPlan) -> Result<Filter, Refusal> {
    profile(plan, roles::COMMAND_NEVER)
}

fn profile(plan: &SyscallPlan, never: &[Group]) -> Result<Filter, Refusal> {
    let dangerous = if plan.explained { Answer::Notify } else { Answer::Errno(Errno::EPERM) };
    let mut allowed = Rules::new();
    plain(&mut allowed, default::ALLOWED);
    let mut conditions: Vec<&Conditional> = default::ALLOWED_IF.iter().collect();
    if plan.dns == Dns::Udp {
        conditional(&mut allowed, std::slice::from_ref(&default::UDP_SOCKETS))?;
    }
    if plan.notify {
        conditional(&mut allowed, std::slice::from_ref(&default::NOTIFY_SOCKETS))?;
    }
    let mut quiet = Rules::new();
    conditional(&mut quiet, std::slice::from_ref(&default::QUIET_FAMILIES))?;
    let mut denied = Rules::new();
    plain(&mut denied, default::DANGEROUS);
    plain(&mut denied, never);
    if plan.profile == Profile::Strict {
        plain(&mut denied, strict::WITHHELD);
        conditions.extend(strict::ALLOWED_IF);
    }
    if plan.explain_files {
        plain(&mut denied, files::ABOUT_FILES);
    }
    let listening = if plan.listen { &mut allowed } else { &mut denied };
    listening.insert(default::LISTEN.1, Vec::new());
    plain(if plan.metadata { &mut allowed } else { &mut denied }, files::METADATA);
    if plan.exec_by_descriptor {
        allowed.insert(default::EXEC_BY_DESCRIPTOR.1, Vec::new());
    } else {
        denied.insert(default::EXEC_BY_DESCRIPTOR.1, Vec::new());
    }
    // A conditional call that no set allows is dangerous, too: it is taken out of "not known" by a last, plain rule.
    let mut rest = Rules::new();
    for under in conditions {
        // What the default profile allows without a condition loses that.
        allowed
            .remove(&under.call.1)
            .filter(|found| !found.is_empty())
            .map(|found| allowed.insert(under.call.1, found));
        conditional(&mut allowed, std::slice::from_ref(under))?;
        rest.insert(under.call.1, Vec::new());
    }
    join([
        (quiet, Answer::Errno(Errno::EAFNOSUPPORT)),
        (denied, dangerous),
        (allowed, Answer::Allow),
        (rest, dangerous),
    ])
}

/// The fetcher's own filter.
///
/// `network`: it talks to a store; `resolve`: whose name it has to look up.
pub fn fetcher(network: bool, resolve: bool) -> Result<Filter, Refusal> {
    join([(fetching(network, resolve)?, Answer::Allow)])
}

fn fetching(network: bool, resolve: bool) -> Result<Rules, Refusal> {
    let mut allowed = Rules::new();
    plain(&mut allowed, roles::FETCHER);
    // The workload's own conditions on sending: without them Landlock's port rule has a way round.
    let sends = [libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_sendmmsg, libc::SYS_setsockopt];
    for sending in default::ALLOWED_IF.iter().filter(|conditional| sends.contains(&conditional.call.1)) {
        conditional(&mut allowed, std::slice::from_ref(sending))?;
    }
    if resolve {
        conditional(&mut allowed, std::slice::from_ref(&roles::FETCHER_RESOLVER))?;
    }
    if network {
        plain(&mut allowed, roles::FETCHER_NETWORK);
        conditional(&mut allowed, std::slice::from_ref(&roles::FETCHER_SOCKETS))?;
    }
    Ok(allowed)
}

/// The keeper's own filter. What it forks to renew lives under it too, and then under the fetcher's as well.
pub fn keeper(resolve: bool) -> Result<Filter, Refusal> {
    let mut allowed = fetching(true, resolve)?;
    plain(&mut allowed, roles::KEEPER);
    conditional(&mut allowed, std::slice::from_ref(&roles::KEEPER_FORK))?;
    join([(allowed, Answer::Allow)])
}

/// Init's own filter, once the workload runs; `keeper`: it talks to one; `explain_files`: it looks into the workload.
pub fn init(keeper: bool, explain_files: bool) -> Result<Filter, Refusal> {
    let mut allowed = Rules::new();
    plain(&mut allowed, roles::INIT);
    if explain_files {
        plain(&mut allowed, roles::INIT_LOOKS);
    }
    if keeper {
        plain(&mut allowed, roles::INIT_WITH_KEEPER);
    }
    join([(allowed, Answer::Allow)])
}

fn plain(rules: &mut Rules, groups: &[Group]) {
    for (_, number) in groups.iter().flat_map(|group| group.calls) {
        rules.insert(*number, Vec::new());
    }
}

fn conditional(rules: &mut Rules, conditionals: &[Conditional]) -> Result<(), Refusal> {
    for conditional in conditionals {
        for set in conditional.sets {
            let conditions = set.iter().map(condition).collect::<Result<Vec<_>, _>>();
            let rule = conditions.and_then(SeccompRule::new).map_err(|error| failed("compiling the filter", error))?;
            rules.entry(conditional.call.1).or_default().push(rule);
        }
    }
    Ok(())
}

fn condition(test: &If) -> Result<SeccompCondition, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let (length, operator, value) = match test.test {
        Test::Is(value) => (Dword, SeccompCmpOp::Eq, value.into()),
        Test::IsNot(value) => (Dword, SeccompCmpOp::Ne, value.into()),
        Test::Masked(mask, value) => (Dword, SeccompCmpOp::MaskedEq(mask.into()), value.into()),
        Test::WideMasked(mask, value) => (Qword, SeccompCmpOp::MaskedEq(mask), value),
    };
    SeccompCondition::new(test.argument, length, operator, value)
}

/// What a call gets when a program's rules match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    Errno(Errno),
    Notify,
}

// Return values of linux/seccomp.h.
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_KILL_PROCESS: u32 = 0x8000_0000;
/// What `seccompiler` is told to return on a match and on a mismatch; both are rewritten and never reach the kernel.
const MATCH: SeccompAction = SeccompAction::Trace(1);
const MISMATCH: SeccompAction = SeccompAction::Trace(2);

const BPF_RET: u16 = 0x06;
const BPF_JA: u16 = 0x05;

/// Joins the programs: a match returns its answer, a mismatch jumps to the next program, the last one's is ENOSYS.
fn join<const N: usize>(programs: [(Rules, Answer); N]) -> Result<Filter, Refusal> {
    let mut joined: Vec<Instruction> = Vec::new();
    for (rules, answer) in programs {
        let program = compile(rules)?;
        let end = program.len();
        for (at, instruction) in program.into_iter().enumerate() {
            joined.push(rewrite(instruction, answer, end - at - 1)?);
        }
    }
    joined.push(ret(RET_ERRNO | Errno::ENOSYS as u32));
    Ok(Filter(shorten::shorten(joined)))
}

fn compile(rules: Rules) -> Result<BpfProgram, Refusal> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed("compiling the filter", error))?;
    SeccompFilter::new(rules, MISMATCH, MATCH, arch)
        .and_then(BpfProgram::try_from)
        .map_err(|error| failed("compiling the filter", error))
}

/// One instruction as it stands in the joined program; `left` is how many of its own program follow it.
fn rewrite(instruction: seccompiler::sock_filter, answer: Answer, left: usize) -> Result<Instruction, Refusal> {
    let same = Instruction { code: instruction.code, jt: instruction.jt, jf: instruction.jf, k: instruction.k };
    if instruction.code != BPF_RET {
        return Ok(same);
    }
    if instruction.k == u32::from(MATCH) {
        return Ok(ret(match answer {
            Answer::Allow => RET_ALLOW,
            Answer::Errno(errno) => RET_ERRNO | errno as u32,
            Answer::Notify => RET_USER_NOTIF,
        }));
    }
    if instruction.k == u32::from(MISMATCH) {
        let left = u32::try_from(left).map_err(|error| failed("joining the filter", error))?;
        return Ok(Instruction { code: BPF_JA, jt: 0, jf: 0, k: left });
    }
    if instruction.k == RET_KILL_PROCESS { Ok(same) } else { Err(failed("joining the filter", "an unknown return")) }
}

fn ret(value: u32) -> Instruction {
    Instruction { code: BPF_RET, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests;
