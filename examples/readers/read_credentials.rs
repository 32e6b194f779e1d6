//! The credentials of this start, in five lines of Rust: one JSON object of names and texts, which can be read once.
//!
//! Take the number in the variable, never /dev/fd or /proc/self/fd: the kernel refuses those where root made the pipe.

use std::collections::BTreeMap;
use std::{env, error::Error, fs::File, io::BufReader, os::fd::FromRawFd};

fn main() -> Result<(), Box<dyn Error>> {
    let fd = env::var("PORTCULLIS_CREDENTIALS_FD")?.parse()?;
    // SAFETY: the number is this process's own by portcullis's contract, and nothing else here has taken it.
    let pipe = BufReader::new(unsafe { File::from_raw_fd(fd) });
    let credentials: BTreeMap<String, String> = serde_json::from_reader(pipe)?;
    credentials.iter().for_each(|(name, value)| println!("{name} {} characters", value.chars().count()));
    Ok(())
}
