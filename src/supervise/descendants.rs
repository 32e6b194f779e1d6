//! Who is left: the processes that descend from init, by the parents in `/proc/PID/stat` (proc_pid_stat(5)).

use std::collections::BTreeMap;

use nix::unistd::Pid;

/// Every living descendant of this process, in no particular order. Zombies are not listed: they have ended.
///
/// Where `/proc` hides other users' processes (hidepid of proc(5)), the direct children at least, which the kernel always
/// tells their parent; their own children become ours when they end.
///
/// `without`: a child that is left out, with all that descends from it.
pub fn living(without: Option<Pid>) -> Vec<Pid> {
    let mut found = by_parents(without);
    let direct = children().into_iter().filter(|child| Some(*child) != without);
    found.extend(direct.filter(|child| !found.contains(child)).collect::<Vec<_>>());
    found
}

/// proc_pid_task(5): `/proc/PID/task/TID/children`; our one thread has the id of the process.
fn children() -> Vec<Pid> {
    let own = Pid::this();
    let listed = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn by_parents(without: Option<Pid>) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let parents: BTreeMap<i32, i32> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let own = Pid::this().as_raw();
    let apart =
        |pid: i32| without.is_some_and(|apart| pid == apart.as_raw() || descends(pid, apart.as_raw(), &parents));
    let found = parents.keys().filter(|pid| descends(**pid, own, &parents) && !apart(**pid));
    found.map(|pid| Pid::from_raw(*pid)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state ppid ...`: the name may hold anything, so the fields are counted from the last parenthesis.
fn parse(stat: &[u8]) -> Option<i32> {
    let after = stat.iter().rposition(|b| *b == b')')?;
    let mut fields = std::str::from_utf8(&stat[after + 1..]).ok()?.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

fn descends(mut pid: i32, ancestor: i32, parents: &BTreeMap<i32, i32>) -> bool {
    // Bounded by the number of processes: pids seen at different moments could form a circle.
    for _ in 0..=parents.len() {
        match parents.get(&pid) {
            Some(parent) if *parent == ancestor => return true,
            Some(parent) => pid = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_hide_its_parent() {
        assert_eq!(parse(b"7 (a) S 1) R 42 7 7"), Some(42));
        assert_eq!(parse(b"7 (a) Z 42 7 7"), None);
        assert_eq!(parse(b"7 no name"), None);
    }

    #[test]
    fn descent_goes_through_generations_and_ends() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 9), (5, 6), (6, 5)]);
        let found: Vec<bool> = [2, 3, 4, 5].iter().map(|pid| descends(*pid, 1, &parents)).collect();
        assert_eq!(found, [true, true, false, false]);
    }
}
