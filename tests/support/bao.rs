//! A real OpenBao server on loopback: TLS 1.3 and TLS 1.2 listeners, KV mounts of both kinds, AppRole, an audit log.
//!
//! The binary is `$PORTCULLIS_TEST_BAO`, else `tests/.cache/bin/bao`. The server dies with the test process.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ca::Ca;
use super::https::Https;

pub struct Bao {
    pub ca: Ca,
    /// TLS 1.3 alone.
    pub address: String,
    /// TLS 1.2 alone.
    pub address_tls12: String,
    /// Wants a client certificate of this CA.
    pub address_mtls: String,
    /// Empty while it is sealed.
    pub root_token: String,
    unseal_key: String,
    dir: PathBuf,
    child: Child,
}

/// An identity made by [`Bao::role`].
pub struct Role {
    pub name: String,
    pub role_id: String,
    pub secret_id: String,
}

/// Where the binary is, if it is.
pub fn binary() -> Option<PathBuf> {
    let cached = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/bin/bao");
    let path = std::env::var_os("PORTCULLIS_TEST_BAO").map(PathBuf::from).unwrap_or(cached);
    path.is_file().then_some(path)
}

impl Bao {
    /// One server for all tests of a binary: unsealed, with mounts `secret` and `teams/kv` (KV 2) and `old` (KV 1).
    pub fn shared() -> Option<&'static Bao> {
        static SHARED: OnceLock<Option<Bao>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            binary().map(|binary| {
                let mut bao = Bao::start(binary);
                bao.set_up();
                bao
            })
        });
        if shared.is_none() {
            super::skip("no bao at $PORTCULLIS_TEST_BAO or tests/.cache/bin/bao");
        }
        shared.as_ref()
    }

    /// A server of one's own, set up like the shared one.
    pub fn own() -> Option<Bao> {
        let mut bao = Bao::start(binary()?);
        bao.set_up();
        Some(bao)
    }

    /// Stops it in the middle of whatever it does, until the guard is dropped.
    pub fn frozen(&self) -> Frozen {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("our own child");
        Frozen(pid)
    }

    /// A server of one's own that was initialised and never unsealed.
    pub fn sealed() -> Option<Bao> {
        let bao = Bao::start(binary()?);
        bao.call("PUT", "sys/init", json!({"secret_shares": 1, "secret_threshold": 1}));
        Some(bao)
    }

    /// A server of one's own that was never initialised.
    pub fn uninitialised() -> Option<Bao> {
        Some(Bao::start(binary()?))
    }

    fn start(binary: PathBuf) -> Bao {
        let dir = super::scratch("bao");
        let ca = Ca::new(&dir);
        Bao::start_in(binary, dir, ca, free_ports(3), "storage \"inmem\" {}\n")
    }

    /// With this storage, in a directory, with certificates of a CA.
    fn start_in(binary: PathBuf, dir: PathBuf, ca: Ca, ports: Vec<u16>, storage: &str) -> Bao {
        let issued = ca.issue(&format!("server-{}", ports[0]));
        let listener = |port: u16, min: &str, max: &str| {
            format!(
                "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = {:?}\n tls_key_file = {:?}\n tls_min_version = \"{min}\"\n tls_max_version = \"{max}\"\n}}\n",
                issued.cert, issued.key
            )
        };
        // A member of a cluster listens for the others at a fourth port.
        let cluster = ports.get(3).map(|port| format!(" cluster_address = \"127.0.0.1:{port}\"\n}}\n"));
        let cluster = cluster.unwrap_or_else(|| "}\n".to_owned());
        let config = format!(
            "{storage}disable_mlock = true\nlog_level = \"warn\"\napi_addr = \"https://localhost:{}\"\n{}{}{}audit \"file\" \"requests\" {{ options {{ file_path = \"audit.log\" hmac_accessor = \"false\" }} }}\n",
            ports[0],
            listener(ports[0], "tls13", "tls13").replace("}\n", &cluster),
            listener(ports[1], "tls12", "tls12"),
            listener(ports[2], "tls13", "tls13").replace(
                "}\n",
                &format!(" tls_require_and_verify_client_cert = true\n tls_client_ca_file = {:?}\n}}\n", ca.file())
            ),
        );
        std::fs::write(dir.join("bao.hcl"), config).expect("bao.hcl");
        let child = spawn(binary, dir.clone());
        let at = |port: u16| format!("https://localhost:{port}");
        let (address, address_tls12, address_mtls) = (at(ports[0]), at(ports[1]), at(ports[2]));
        let bao = Bao {
            ca,
            address,
            address_tls12,
            address_mtls,
            root_token: String::new(),
            unseal_key: String::new(),
            dir,
            child,
        };
        bao.wait_until("it answers", || bao.try_call("GET", "sys/seal-status", Value::Null).is_ok());
        bao
    }

    fn set_up(&mut self) {
        let init = self.call("PUT", "sys/init", json!({"secret_shares": 1, "secret_threshold": 1}));
        self.root_token = init["root_token"].as_str().expect("a root token").to_owned();
        self.call("PUT", "sys/unseal", json!({"key": init["keys"][0]}));
        let active = || self.try_call("GET", "sys/health", Value::Null);
        self.wait_until("it leads", || active().is_ok_and(|(status, _)| status == 200));
        self.call("POST", "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}}));
        self.call("POST", "sys/mounts/teams/kv", json!({"type": "kv", "options": {"version": "2"}}));
        self.call("POST", "sys/mounts/old", json!({"type": "kv", "options": {"version": "1"}}));
        self.call("POST", "sys/auth/approle", json!({"type": "approle"}));
        // A fresh KV 2 mount upgrades itself for a moment and answers 400 meanwhile.
        for mount in ["secret", "teams/kv"] {
            let put = || self.try_call("POST", &format!("{mount}/data/ready"), json!({"data": {"ready": "yes"}}));
            self.wait_until("the KV mount is upgraded", || put().is_ok_and(|(status, _)| status == 200));
        }
        init["keys"][0].as_str().expect("a key").clone_into(&mut self.unseal_key);
    }

    pub fn seal(&self) {
        self.call("PUT", "sys/seal", json!({}));
    }

    pub fn unseal(&self) {
        self.call("PUT", "sys/unseal", json!({"key": self.unseal_key}));
    }

    /// An API call that must succeed, by the root token.
    pub fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_call(method, path, body).expect(path);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub fn try_call(&self, method: &str, path: &str, body: Value) -> std::io::Result<(u16, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Https::connect(&self.address, &self.ca.pem)?.call(method, path, &self.root_token, &body)
    }

    /// Writes a new version below a KV 2 mount.
    pub fn put(&self, mount: &str, path: &str, data: Value) {
        self.call("POST", &format!("{mount}/data/{path}"), json!({"data": data}));
    }

    /// A role whose tokens may read what `paths` names, as policies name it.
    pub fn role(&self, paths: &[&str]) -> Role {
        self.role_with(paths, json!({}))
    }

    pub fn role_with(&self, paths: &[&str], mut settings: Value) -> Role {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("role{}", COUNT.fetch_add(1, Ordering::Relaxed));
        // An empty policy is refused, so that one without paths names a path that is nowhere.
        let paths = if paths.is_empty() { &["nothing"] } else { paths };
        let policy: String =
            paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}\n")).collect();
        self.call("PUT", &format!("sys/policies/acl/{name}"), json!({"policy": policy}));
        settings["token_policies"] = json!(name);
        self.call("POST", &format!("auth/approle/role/{name}"), settings);
        let text = |answer: Value, key: &str| answer["data"][key].as_str().expect(key).to_owned();
        let role_id = text(self.call("GET", &format!("auth/approle/role/{name}/role-id"), Value::Null), "role_id");
        let secret_id = text(self.call("POST", &format!("auth/approle/role/{name}/secret-id"), json!({})), "secret_id");
        Role { name, role_id, secret_id }
    }

    /// A policy of these lines, by its name.
    pub fn policy(&self, lines: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("policy{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.call("PUT", &format!("sys/policies/acl/{name}"), json!({"policy": lines}));
        name
    }

    /// A token of this policy, and its accessor.
    pub fn token(&self, policy: &str) -> (String, String) {
        let made = self.call("POST", "auth/token/create", json!({"policies": [policy], "ttl": "10m"}));
        let text = |key: &str| made["auth"][key].as_str().expect(key).to_owned();
        (text("client_token"), text("accessor"))
    }

    /// A response wrapped: the wrapping token.
    pub fn wrapped(&self, path: &str, body: Value) -> String {
        let mut https = Https::connect(&self.address, &self.ca.pem).expect("a connection");
        let (status, answer) = https
            .call_with("POST", path, &self.root_token, &body.to_string(), "X-Vault-Wrap-TTL: 120\r\n")
            .expect(path);
        assert_eq!(status, 200, "{answer}");
        answer["wrap_info"]["token"].as_str().expect("a wrapping token").to_owned()
    }

    /// The accessors of all tokens that answers of a path gave.
    pub fn accessors_at(&self, path: &str) -> Vec<String> {
        let audit = self.audit();
        let answers = audit.iter().filter(|entry| entry["type"] == "response" && entry["request"]["path"] == path);
        answers.filter_map(|entry| entry["response"]["auth"]["accessor"].as_str().map(str::to_owned)).collect()
    }

    /// The audit log's entries, oldest first.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("audit.log")).expect("the audit log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many requests for a path the server saw.
    pub fn requests(&self, path: &str) -> usize {
        self.audit().iter().filter(|entry| entry["type"] == "request" && entry["request"]["path"] == path).count()
    }

    /// The accessors of tokens that a role's logins gave.
    pub fn accessors_of(&self, role: &Role) -> Vec<String> {
        self.audit()
            .iter()
            .filter(|entry| entry["type"] == "response" && entry["request"]["path"] == "auth/approle/login")
            .filter(|entry| entry["response"]["auth"]["metadata"]["role_name"] == role.name.as_str())
            .filter_map(|entry| entry["response"]["auth"]["accessor"].as_str().map(str::to_owned))
            .collect()
    }

    /// Whether a token still lives.
    pub fn lives(&self, accessor: &str) -> bool {
        let body = json!({"accessor": accessor});
        self.try_call("POST", "auth/token/lookup-accessor", body).expect("lookup").0 == 200
    }

    pub fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(30), "bao: not so in 30 s: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// Three real servers on raft, unsealed, with the mounts of the shared one.
pub struct Cluster {
    pub nodes: Vec<Bao>,
}

impl Cluster {
    pub fn start() -> Option<Cluster> {
        let binary = binary()?;
        let ca = Ca::new(&super::scratch("raft-ca"));
        let ports: Vec<Vec<u16>> = free_ports(12).chunks(4).map(<[u16]>::to_vec).collect();
        let first = format!("https://127.0.0.1:{}", ports[0][0]);
        let node = |(at, ports): (usize, &Vec<u16>)| {
            let dir = super::scratch("raft");
            std::fs::create_dir(dir.join("raft")).expect("a directory");
            let join =
                format!("retry_join {{\n leader_api_addr = \"{first}\"\n leader_ca_cert_file = {:?}\n }}\n", ca.file());
            let storage = format!(
                "storage \"raft\" {{\n path = {:?}\n node_id = \"n{at}\"\n performance_multiplier = 1\n {} }}\ncluster_addr = \"https://127.0.0.1:{}\"\n",
                dir.join("raft"),
                if at == 0 { "" } else { &join },
                ports[3]
            );
            Bao::start_in(binary.clone(), dir, ca.clone(), ports.clone(), &storage)
        };
        let mut nodes: Vec<Bao> = ports.iter().enumerate().map(node).collect();
        nodes[0].set_up();
        let (key, root_token) = (nodes[0].unseal_key.clone(), nodes[0].root_token.clone());
        for node in &mut nodes[1..] {
            node.root_token.clone_from(&root_token);
            // Accepted once the node has found the first one; a second time would begin anew.
            let unseal = || node.try_call("PUT", "sys/unseal", json!({ "key": key }));
            node.wait_until("it takes the key", || unseal().is_ok_and(|(status, _)| status == 200));
            let status = || node.try_call("GET", "sys/seal-status", Value::Null);
            node.wait_until("it has joined", || status().is_ok_and(|(_, answer)| answer["sealed"] == false));
            let healthy = || node.try_call("GET", "sys/health?standbyok=true", Value::Null);
            node.wait_until("it is healthy", || healthy().is_ok_and(|(status, _)| status == 200));
        }
        // A member that has no vote yet cannot elect anybody.
        let first = &nodes[0];
        first.call("POST", "sys/storage/raft/autopilot/configuration", json!({"server_stabilization_time": "1s"}));
        first.wait_until("all have a vote", || {
            let answer = first.call("GET", "sys/storage/raft/configuration", Value::Null);
            let servers = answer["data"]["config"]["servers"].as_array().cloned().unwrap_or_default();
            servers.len() == 3 && servers.iter().all(|server| server["voter"] == true)
        });
        Some(Cluster { nodes })
    }

    /// Who leads now.
    pub fn leader(&self) -> Option<usize> {
        let leads =
            |node: &Bao| node.try_call("GET", "sys/leader", Value::Null).is_ok_and(|(_, a)| a["is_self"] == true);
        self.nodes.iter().position(leads)
    }
}

/// A server that stands still.
pub struct Frozen(nix::unistd::Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        nix::sys::signal::kill(self.0, nix::sys::signal::Signal::SIGCONT).expect("our own child");
    }
}

/// The death signal follows the thread that forks, and test threads end: so this one never does.
fn spawn(binary: PathBuf, dir: PathBuf) -> Child {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let mut command = Command::new(binary);
        // Members of a cluster must have the same audit devices, each its own file: by a relative path.
        command.arg("server").arg("-config").arg(dir.join("bao.hcl")).current_dir(&dir);
        command.env_clear().stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches nothing that the parent's memory holds.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        send.send(command.spawn().expect("bao starts")).expect("the test waits");
        loop {
            std::thread::park();
        }
    });
    receive.recv().expect("bao starts")
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}
