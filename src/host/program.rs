//! What the command is: found in PATH, followed through `#!` lines to an ELF file, static or with a loader.
//!
//! The kernel's own rules (execve(2), elf(5)), read without executing anything.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::refusal::{Exit, Refusal, cause};

/// The program that will run, and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The ELF file, without symbolic links.
    pub path: PathBuf,
    /// What the program sees as its first argument.
    pub argv0: OsString,
    /// What `#!` lines put before the user's own arguments: options, then the script.
    pub before_args: Vec<OsString>,
    /// Scripts that led here, outermost first: they must be readable by the workload.
    pub scripts: Vec<PathBuf>,
    /// The dynamic loader that the file asks for; `None` for a static file.
    pub loader: Option<PathBuf>,
}

/// `#!` lines may lead to scripts, as deep as the kernel allows (BINPRM_MAX_RECURSION).
const DEEPEST: usize = 4;

/// Finds what `command` would run. A name with a slash is taken relative to `workdir`, any other is looked up in `path`.
pub fn find(command: &OsStr, path: &OsStr, workdir: &Path) -> Result<Program, Refusal> {
    let mut file = locate(command, path, workdir)?;
    let mut program = Program {
        path: PathBuf::new(),
        argv0: command.to_owned(),
        before_args: Vec::new(),
        scripts: Vec::new(),
        loader: None,
    };
    for _ in 0..=DEEPEST {
        match Head::read(&file)?.kind(&file)? {
            Kind::Elf(loader) => {
                program.path = file.canonicalize().map_err(|error| cannot(&file, &cause(error)))?;
                program.loader = loader;
                return Ok(program);
            }
            Kind::Script { interpreter, argument } => {
                let (interpreter, argument) = through_env(interpreter, argument, path)?;
                must_exist(&interpreter, &file)?;
                let inner = std::mem::take(&mut program.before_args);
                program.before_args =
                    argument.into_iter().chain([file.clone().into_os_string()]).chain(inner).collect();
                program.scripts.push(file);
                program.argv0 = interpreter.clone().into_os_string();
                file = interpreter;
            }
        }
    }
    Err(cannot(&file, "its #! lines lead through more than four scripts"))
}

/// `#!/usr/bin/env NAME` runs what PATH says: resolved here, so that the protections meet the interpreter and not `env`.
fn through_env(
    interpreter: PathBuf,
    argument: Option<OsString>,
    path: &OsStr,
) -> Result<(PathBuf, Option<OsString>), Refusal> {
    match &argument {
        Some(name) if interpreter.file_name() == Some(OsStr::new("env")) => {
            let plain = !name.as_bytes().iter().any(|b| matches!(b, b' ' | b'\t' | b'=' | b'/'))
                && !name.as_bytes().starts_with(b"-");
            if plain { Ok((locate(name, path, Path::new("/"))?, None)) } else { Ok((interpreter, argument)) }
        }
        _ => Ok((interpreter, argument)),
    }
}

fn locate(command: &OsStr, path: &OsStr, workdir: &Path) -> Result<PathBuf, Refusal> {
    if command.as_bytes().contains(&b'/') {
        let file = workdir.join(Path::new(command).strip_prefix("./").unwrap_or(Path::new(command)));
        return if file.exists() { Ok(file) } else { Err(not_found(command, None)) };
    }
    let directories = path.as_bytes().split(|b| *b == b':').filter(|d| d.starts_with(b"/"));
    directories
        .map(|directory| Path::new(OsStr::from_bytes(directory)).join(command))
        .find(|file| std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0))
        .ok_or_else(|| not_found(command, Some(path)))
}

fn not_found(command: &OsStr, path: Option<&OsStr>) -> Refusal {
    let hint = match path {
        Some(path) => format!(
            "install it, write its full path, or set PATH in workload.env.set; looked in {}",
            path.to_string_lossy()
        ),
        None => "check the path; a relative one is taken from workload.workdir".to_owned(),
    };
    Refusal::new(Exit::NotFound, format!("the command `{}` was not found", command.to_string_lossy()), hint)
}

/// sh(1) says "not found" of the script that is there: here the interpreter is named.
fn must_exist(interpreter: &Path, script: &Path) -> Result<(), Refusal> {
    if interpreter.exists() {
        return Ok(());
    }
    Err(Refusal::new(
        Exit::NotFound,
        format!("`{}` names the interpreter `{}`, which does not exist here", script.display(), interpreter.display()),
        "install it, or correct the script's first line",
    ))
}

fn cannot(file: &Path, why: &str) -> Refusal {
    Refusal::new(
        Exit::NotExecutable,
        format!("`{}` cannot be executed: {why}", file.display()),
        "the command must be an ELF program of this machine, or a script whose first line is #! and an interpreter's path",
    )
}

enum Kind {
    Elf(Option<PathBuf>),
    Script { interpreter: PathBuf, argument: Option<OsString> },
}

/// The first bytes of a file, and the file for what lies further on.
struct Head {
    file: std::fs::File,
    bytes: Vec<u8>,
}

impl Head {
    fn read(path: &Path) -> Result<Head, Refusal> {
        let metadata = std::fs::metadata(path).map_err(|error| cannot(path, &cause(error)))?;
        if !metadata.is_file() {
            return Err(cannot(path, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(cannot(path, "it is empty"));
        }
        if metadata.mode() & 0o111 == 0 {
            return Err(cannot(path, "it has no execute permission; try chmod +x"));
        }
        let file =
            std::fs::File::open(path).map_err(|error| cannot(path, &format!("it cannot be read: {}", cause(error))))?;
        let mut bytes = vec![0; 4096];
        let length = file.read_at(&mut bytes, 0).map_err(|error| cannot(path, &cause(error)))?;
        bytes.truncate(length);
        Ok(Head { file, bytes })
    }

    fn kind(&self, path: &Path) -> Result<Kind, Refusal> {
        match self.bytes.as_slice() {
            [b'#', b'!', line @ ..] => {
                shebang(line).ok_or_else(|| cannot(path, "its #! line names no interpreter by full path"))
            }
            [0x7f, b'E', b'L', b'F', ..] => self.elf(path),
            _ => Err(cannot(path, "it is neither an ELF program nor a script with a #! line")),
        }
    }

    /// Reads the program headers of a 64-bit little-endian ELF file for PT_INTERP.
    fn elf(&self, path: &Path) -> Result<Kind, Refusal> {
        let header: &[u8; 64] = self
            .bytes
            .get(..64)
            .and_then(|b| b.try_into().ok())
            .ok_or_else(|| cannot(path, "its ELF header is cut"))?;
        if header[4] != 2 || header[5] != 1 || u16_at(header, 18) != MACHINE {
            return Err(cannot(path, "it is an ELF program of another machine"));
        }
        let (offset, size, count) = (u64_at(header, 32), u16_at(header, 54) as usize, u16_at(header, 56) as usize);
        if size < 56 || count > 256 {
            return Err(cannot(path, "its program headers make no sense"));
        }
        let mut table = vec![0; size * count];
        self.file.read_exact_at(&mut table, offset).map_err(|_| cannot(path, "its program headers are cut"))?;
        let interp = table.chunks_exact(size).find(|entry| u32_at(entry, 0) == PT_INTERP);
        let loader = interp.map(|entry| self.loader_name(path, u64_at(entry, 8), u64_at(entry, 32))).transpose()?;
        Ok(Kind::Elf(loader))
    }

    fn loader_name(&self, path: &Path, offset: u64, length: u64) -> Result<PathBuf, Refusal> {
        let length = usize::try_from(length).ok().filter(|n| (2..=4096).contains(n));
        let mut name = vec![0; length.ok_or_else(|| cannot(path, "its loader's name makes no sense"))?];
        self.file.read_exact_at(&mut name, offset).map_err(|_| cannot(path, "its loader's name is cut"))?;
        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
        let loader = PathBuf::from(OsString::from_vec(name));
        // A file of /proc has no length, and may never end.
        if loader.metadata().is_ok_and(|found| found.is_file() && found.len() > 0) {
            return Ok(loader);
        }
        Err(Refusal::new(
            Exit::NotFound,
            format!("`{}` needs the loader `{}`, which does not exist here", path.display(), loader.display()),
            "build the program statically, or use an image with the C library it was built for",
        ))
    }
}

const PT_INTERP: u32 = 3;
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// `#! /path/of/interpreter [one argument]`, as the kernel splits it.
fn shebang(line: &[u8]) -> Option<Kind> {
    let line = &line[..line.iter().position(|b| *b == b'\n')?.min(254)];
    let line = line.trim_ascii();
    let (interpreter, argument) = match line.iter().position(|b| matches!(b, b' ' | b'\t')) {
        Some(space) => (&line[..space], Some(line[space..].trim_ascii())),
        None => (line, None),
    };
    if !interpreter.starts_with(b"/") {
        return None;
    }
    Some(Kind::Script {
        interpreter: PathBuf::from(OsStr::from_bytes(interpreter)),
        argument: argument.map(|a| OsStr::from_bytes(a).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PATH: &str = "/usr/bin:/bin";

    fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn find_at(path: &Path) -> Result<Program, Refusal> {
        find(path.as_os_str(), OsStr::new(PATH), Path::new("/"))
    }

    #[test]
    fn a_dynamic_program_has_its_loader() {
        let bash = find(OsStr::new("bash"), OsStr::new(PATH), Path::new("/")).unwrap();
        assert_eq!(bash.argv0, "bash");
        assert!(bash.loader.is_some() && bash.scripts.is_empty() && bash.before_args.is_empty());
    }

    #[test]
    fn scripts_lead_to_their_interpreter_with_the_arguments_of_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let inner = script(dir.path(), "inner", "#!/bin/bash  -e \n");
        let outer = script(dir.path(), "outer", &format!("#!{} one two\n", inner.display()));
        let program = find_at(&outer).unwrap();
        assert_eq!(program.path, Path::new("/bin/bash").canonicalize().unwrap());
        assert_eq!(program.argv0, "/bin/bash");
        let expected: Vec<OsString> = vec!["-e".into(), inner.into(), "one two".into(), outer.into()];
        assert_eq!(program.before_args, expected);
    }

    #[test]
    fn env_is_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let program = find_at(&script(dir.path(), "s", "#!/usr/bin/env bash\n")).unwrap();
        assert_eq!(program.path.file_name().unwrap(), "bash");
    }

    #[test]
    fn what_cannot_run_has_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let text = script(dir.path(), "text", "echo hello\n");
        let looped = dir.path().join("loop");
        script(dir.path(), "loop", &format!("#!{}\n", looped.display()));
        assert_eq!(find_at(&text).unwrap_err().exit, Exit::NotExecutable);
        assert_eq!(find_at(&looped).unwrap_err().exit, Exit::NotExecutable);
        assert_eq!(find_at(dir.path()).unwrap_err().exit, Exit::NotExecutable);
        assert_eq!(find_at(&dir.path().join("none")).unwrap_err().exit, Exit::NotFound);
        assert_eq!(find(OsStr::new("no-such"), OsStr::new(PATH), Path::new("/")).unwrap_err().exit, Exit::NotFound);
    }
}
