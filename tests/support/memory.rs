//! What stands in another process' memory, for root to see.

use std::os::unix::fs::FileExt;

/// Every readable byte of a process' memory.
pub fn of(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let file = std::fs::File::open(format!("/proc/{pid}/mem")).expect("mem");
    let mut all = Vec::new();
    for range in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with('r'))) {
        let (start, end) = range.split(' ').next().and_then(|r| r.split_once('-')).expect("a range");
        let (start, end) = (u64::from_str_radix(start, 16).expect("hex"), u64::from_str_radix(end, 16).expect("hex"));
        let mut bytes = vec![0; (end - start) as usize];
        if file.read_exact_at(&mut bytes, start).is_ok() {
            all.extend_from_slice(&bytes);
        }
    }
    all
}
