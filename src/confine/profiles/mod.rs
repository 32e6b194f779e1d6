//! The filters as data: which calls are allowed, for whom and why; which are dangerous, and what is said about them.
//!
//! Rules only. How they become instructions is `filter.rs`; how a denial is told is `denial.rs`.

pub mod default;
pub mod files;
pub mod roles;
pub mod strict;

/// A condition on one argument; all conditions of a set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct If {
    /// 0 to 5.
    pub argument: u8,
    pub test: Test,
}

/// Arguments are compared as 32 bits unless `Wide`: the kernel reads these as `int` or `unsigned int`, and a filter that
/// compared 64 would be passed by setting a high bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    Is(u32),
    IsNot(u32),
    /// Of the bits of a mask, exactly these are set.
    Masked(u32, u32),
    /// The same on all 64 bits, for `unsigned long` flags.
    WideMasked(u64, u64),
}

/// A call by name and number.
pub type Call = (&'static str, i64);

/// Calls that share a reason.
pub struct Group {
    /// Which runtimes need it.
    pub who: &'static str,
    pub why: &'static str,
    pub calls: &'static [Call],
}

/// A call that is allowed, or dangerous, under conditions; each set is enough alone.
pub struct Conditional {
    pub call: Call,
    pub who: &'static str,
    pub why: &'static str,
    pub sets: &'static [&'static [If]],
}

/// Names and numbers from libc's constants.
macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}
pub(crate) use calls;

const fn on(argument: u8, test: Test) -> If {
    If { argument, test }
}
