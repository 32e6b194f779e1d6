//! Calls about files that the plan decides on: changed metadata, and what `run --explain-files` is told of.

use super::{Group, calls};

/// Allowed where `confine.write` names a place. No scope of Landlock covers them: where nothing may be written, nothing of
/// this is the program's to change either, and where something may, files of the same user outside it pay the price.
pub const METADATA: &[Group] = &[
    Group {
        who: "every program that writes files",
        why: "changes modes, owners and times of any file of the same user, and nothing may be written",
        calls: calls![SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        who: "every program that writes files",
        why: "changes modes, owners and times of any file of the same user, and nothing may be written",
        calls: calls![SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat],
    },
];

/// Allowed calls that `run --explain-files` is told of before they go on: Landlock decides each of them, and no condition of
/// the filter stands on any, for whoever lets a call go on skips the filter.
pub const ABOUT_FILES: &[Group] = &[
    Group {
        who: "run --explain-files",
        why: "opens, changes, executes or connects",
        calls: calls![
            SYS_openat SYS_openat2 SYS_execve SYS_truncate SYS_mkdirat SYS_unlinkat SYS_symlinkat SYS_renameat
            SYS_renameat2 SYS_linkat SYS_connect SYS_bind
        ],
    },
    #[cfg(target_arch = "x86_64")]
    Group {
        who: "run --explain-files",
        why: "opens, changes, executes or connects",
        calls: calls![
            SYS_open SYS_creat SYS_mkdir SYS_rmdir SYS_unlink SYS_symlink SYS_rename SYS_link
        ],
    },
];
