//! Certificates by the `openssl` command: a CA of the test's own, and what it signs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A CA in a directory.
#[derive(Clone)]
pub struct Ca {
    dir: PathBuf,
    pub pem: Vec<u8>,
}

/// A server's certificate and key, as files.
pub struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Ca {
    pub fn new(dir: &Path) -> Ca {
        key(&dir.join("ca.key"));
        let usage = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
        openssl(dir, "req -x509 -new -key ca.key -days 2 -subj /CN=portcullis-test-ca -out ca.pem", &usage);
        Ca { dir: dir.to_owned(), pem: std::fs::read(dir.join("ca.pem")).expect("ca.pem") }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// For this host, by address and by name.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_for(name, "IP:127.0.0.1,DNS:localhost", 2)
    }

    /// `days` below zero makes one that has expired.
    pub fn issue_for(&self, name: &str, alt_names: &str, days: i32) -> Issued {
        let (cert, key_file) = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        key(&key_file);
        let alt_names = format!("subjectAltName={alt_names}");
        let usage = [
            alt_names.as_str(),
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=serverAuth,clientAuth",
        ];
        openssl(&self.dir, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"), &usage);
        // Not from a file beside the CA, which tests at the same time would tear.
        static SERIAL: AtomicU32 = AtomicU32::new(1);
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {} -days {days} -copy_extensions copyall -out {name}.pem",
            SERIAL.fetch_add(1, Ordering::Relaxed)
        );
        openssl(&self.dir, &sign, &[]);
        Issued { cert, key: key_file }
    }
}

fn key(file: &Path) {
    let name = file.file_name().expect("a file name").to_string_lossy().into_owned();
    openssl(file.parent().expect("a directory"), &format!("ecparam -name prime256v1 -genkey -noout -out {name}"), &[]);
}

fn openssl(dir: &Path, line: &str, extensions: &[&str]) {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(line.split(' '));
    for extension in extensions {
        command.args(["-addext", extension]);
    }
    let out = command.output().expect("the openssl command");
    assert!(out.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&out.stderr));
}
