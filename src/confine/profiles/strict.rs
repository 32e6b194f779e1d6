//! The strict profile, as what it takes from the default one: no code that is made at run time, no other program, TCP alone.
//!
//! Python, Go and Rust run under it. Node and Java do not: they compile while they run. Beside the filter the launcher sets
//! PR_SET_MDWE, which no later call can unset, and Landlock lets nothing but the command be executed.

use super::{Conditional, Group, If, Test, calls, on};

/// Allowed by the default profile, dangerous here.
pub const WITHHELD: &[Group] = &[
    Group { who: "nobody under strict", why: "starts another program", calls: calls![SYS_execve] },
    Group {
        who: "nobody under strict",
        why: "guards code that is made at run time",
        calls: calls![SYS_pkey_alloc SYS_pkey_free],
    },
    Group {
        who: "nobody under strict",
        why: "watches files outside the grants too",
        calls: calls![SYS_inotify_init1 SYS_inotify_add_watch],
    },
    #[cfg(target_arch = "x86_64")]
    Group { who: "nobody under strict", why: "watches files outside the grants too", calls: calls![SYS_inotify_init] },
];

const WRITE: u32 = libc::PROT_WRITE as u32;
const EXEC: u32 = libc::PROT_EXEC as u32;

const fn not(protection: u32) -> If {
    on(2, Test::Masked(protection, 0))
}

/// Without condition in the default profile.
pub const ALLOWED_IF: &[Conditional] = &[
    Conditional {
        call: ("SYS_mmap", libc::SYS_mmap),
        who: "every program",
        why: "memory is writable or executable, never both",
        sets: &[&[not(WRITE)], &[not(EXEC)]],
    },
    Conditional {
        call: ("SYS_mprotect", libc::SYS_mprotect),
        who: "every program",
        why: "memory does not become executable; the loader maps code as such from the start",
        sets: &[&[not(EXEC)]],
    },
    Conditional {
        call: ("SYS_pkey_mprotect", libc::SYS_pkey_mprotect),
        who: "every program",
        why: "memory does not become executable",
        sets: &[&[not(EXEC)]],
    },
];
