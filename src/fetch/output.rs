//! The bundle into its pipes and sealed files. Either everything is written or the start is refused.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};

use super::given::Given;
use crate::deliver::{self, Bundle, environment};
use crate::refusal::{Exit, Refusal, cause};
use crate::sys::memory;
use crate::wire::slice::{OutputFile, Outputs, Place};

/// Bytes written into each pipe: init counts them again.
#[derive(Default)]
pub struct Written {
    pub pipe: u64,
    pub stdin: u64,
    pub env: u64,
}

pub fn write(outputs: &Outputs, bundle: &Bundle, given: &mut Given) -> Result<Written, Refusal> {
    let mut written = Written::default();
    let json = bundle.json();
    if let Some(place) = outputs.pipe {
        written.pipe = into_pipe(&json, place, given)?;
    }
    if let Some(place) = outputs.stdin {
        written.stdin = into_pipe(&json, place, given)?;
    }
    if let Some((place, variables)) = &outputs.env {
        let bytes =
            environment::encode(variables, bundle).ok_or_else(|| Refusal::internal("a variable without its secret"))?;
        written.env = into_pipe(&bytes, *place, given)?;
    }
    for file in &outputs.files {
        into_file(file, bundle, given)?;
    }
    Ok(written)
}

fn bounded(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() <= deliver::MOST {
        return Ok(());
    }
    Err(Refusal::new(
        Exit::StoreSaidNo,
        format!("the bundle is {} bytes, and 1 MiB is the most that can be handed over", bytes.len()),
        "hand over credentials, not data: store less under these names",
    ))
}

/// Makes the pipe large enough, reads its size back, and writes all or refuses: the writer does not block.
pub fn into_pipe(bytes: &[u8], place: Place, given: &mut Given) -> Result<u64, Refusal> {
    bounded(bytes)?;
    let pipe = given.take(place)?;
    let size = libc::c_int::try_from(bytes.len()).map_err(|_| Refusal::internal("a bundle beyond its bound"))?;
    let now = fcntl(&pipe, FcntlArg::F_GETPIPE_SZ).map_err(small)?;
    if now < size {
        fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(size)).map_err(small)?;
        if fcntl(&pipe, FcntlArg::F_GETPIPE_SZ).map_err(small)? < size {
            return Err(small("it is still smaller than the bundle"));
        }
    }
    match File::from(pipe).write_all(bytes) {
        Ok(()) => Ok(bytes.len() as u64),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(small("it is full")),
        Err(error) => Err(Refusal::internal(format!("writing the bundle: {error}"))),
    }
}

/// pipe(7): beyond pipe-user-pages-soft a user's new pipes hold two pages.
fn small(error: impl std::fmt::Display) -> Refusal {
    Refusal::host(
        format!("the kernel gives no pipe large enough for the bundle: {error}", error = cause(error)),
        "raise fs.pipe-max-size or fs.pipe-user-pages-soft on the host, or hand over less",
    )
}

fn into_file(out: &OutputFile, bundle: &Bundle, given: &mut Given) -> Result<(), Refusal> {
    let selected = bundle.only(&out.secrets).ok_or_else(|| Refusal::internal("a file of unknown secrets"))?;
    let template = out.template.map(|place| given.text(place, &format!("the template of {}", out.var))).transpose()?;
    let bytes = selected.render(out.format, template.as_ref().map(|text| text.expose())).map_err(|why| {
        Refusal::config(format!("deliver.file for {}: {why}", out.var), "correct the template or the secret")
    })?;
    bounded(&bytes)?;
    let mut file = File::from(given.take(out.file)?);
    file.write_all(&bytes).map_err(|error| Refusal::internal(format!("writing a credentials file: {error}")))?;
    memory::seal(&OwnedFd::from(file), FILE_SEALS)
        .map_err(|errno| Refusal::internal(format!("sealing a credentials file: {errno}")))
}

/// Nothing about a delivered file changes any more.
pub const FILE_SEALS: libc::c_int = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
