//! Start to the workload's first instruction with a login at OpenBao, a read, and the token revoked: portcullis, the three
//! bare calls of a minimal client, a shell entrypoint with curl and jq, and `bao agent` as process supervisor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{PLAIN, Stage};
use crate::support::bao::{Bao, Role, binary};
use crate::support::https::Https;
use crate::table::{Arm, Series, heading, interleave, ms, times, value, verdict};

/// The agent takes two seconds and more a start.
const AGENT_RUNS: usize = 5;

pub fn section(stage: &Stage) {
    let Some(bao) = Bao::shared() else { return };
    bao.put("secret", "measured", json!({"api_key": "a-value-of-ordinary-length"}));
    let role = bao.role(&["secret/data/measured"]);
    for (user, name) in [(0, "root"), (PLAIN, "a plain user")] {
        heading(&format!(
            "start to the first instruction with a secret of OpenBao (AppRole, KV 2, TLS 1.3), as {name}"
        ));
        compare(stage, bao, &role, user);
    }
}

fn compare(stage: &Stage, bao: &Bao, role: &Role, user: u32) {
    let workload = stage.path("workload");
    let config = with_vault(stage, &bao.address, &bao.ca.pem, role, user);
    let none = stage.config("none.toml", &[workload.as_os_str()], "", "");
    let script = shell_entrypoint(stage, bao, role);
    let start = |command: &mut Command| stage.start(command, user);
    let arms: [Arm; 6] = [
        ("tini, no secret", Box::new(|| start(Command::new("/usr/bin/tini").args(["-s", "--"]).arg(&workload)))),
        ("portcullis, no secrets", Box::new(|| start(&mut stage.portcullis(&none)))),
        ("the three bare calls of a minimal client", Box::new(|| bare_calls(bao, role))),
        ("portcullis, one secret by vault:", Box::new(|| start(&mut stage.portcullis(&config)))),
        ("the same, from a readable binary", Box::new(|| start(&mut stage.readable(&config)))),
        ("sh with curl and jq", Box::new(|| start(Command::new(&script).arg(&workload)))),
    ];
    let mut all = interleave(stage.runs, &arms);
    all.push(agent(stage, bao, role, user));
    let [_, none, bare, ours, readable, shell, agent] = &all[..] else { unreachable!("six arms and the agent") };
    times(&all, ours, "ours");
    let on_top = ms(ours.median()) - ms(bare.median());
    let ratio = |peer: &Series| ours.median().as_secs_f64() / peer.median().as_secs_f64();
    verdict("on top of the store's answers", on_top, 5.0, "ms");
    value("the same, from a readable binary", ms(readable.median()) - ms(bare.median()), "ms");
    value("on top, less a start without secrets", on_top - ms(none.median()), "ms");
    verdict("times the shell entrypoint's", ratio(shell), 0.15, "x");
    verdict("times the agent's (100 times faster)", ratio(agent), 0.01, "x");
}

/// A config with one secret of a store, the identity readable by `user` alone.
pub fn with_vault(stage: &Stage, address: &str, ca: &[u8], role: &Role, user: u32) -> PathBuf {
    let ca = stage.write("ca.pem", &String::from_utf8_lossy(ca));
    let secret_id = stage.private("secret-id", user, &role.secret_id);
    let more = format!(
        "[secrets]\napi_key = \"vault:secret/measured#api_key\"\n[vault]\naddress = \"{address}\"\n\
         auth = {{ method = \"approle\", role_id = \"{}\", secret_id_file = {secret_id:?} }}\ntls = {{ ca = {ca:?} }}\n",
        role.role_id
    );
    stage.config("vault.toml", &[stage.path("workload").as_os_str()], "", &more)
}

/// What the store alone takes: no process, one connection, three requests.
fn bare_calls(bao: &Bao, role: &Role) -> Duration {
    let start = Instant::now();
    let mut https = Https::connect(&bao.address, &bao.ca.pem).expect("connected");
    let login = json!({"role_id": role.role_id, "secret_id": role.secret_id}).to_string();
    let (_, answer) = https.call("POST", "auth/approle/login", "", &login).expect("logged in");
    let token = answer["auth"]["client_token"].as_str().expect("a token");
    assert_eq!(https.call("GET", "secret/data/measured", token, "").expect("read").0, 200);
    assert_eq!(https.call("POST", "auth/token/revoke-self", token, "").expect("revoked").0, 204);
    start.elapsed()
}

/// The entrypoint that people write; its token and its values go through arguments and the environment, as they do.
fn shell_entrypoint(stage: &Stage, bao: &Bao, role: &Role) -> PathBuf {
    let script = format!(
        r#"#!/bin/sh
set -eu
vault() {{ curl -sS --fail --max-time 10 --cacert {ca:?} --tlsv1.3 "$@"; }}
token=$(printf '{{"role_id":"{role_id}","secret_id":"%s"}}' "$(cat {secret_id:?})" |
  vault --data @- {address}/v1/auth/approle/login | jq -er .auth.client_token)
API_KEY=$(vault -H "X-Vault-Token: $token" {address}/v1/secret/data/measured | jq -er .data.data.api_key)
vault -X POST -H "X-Vault-Token: $token" {address}/v1/auth/token/revoke-self
export API_KEY
exec "$@"
"#,
        ca = stage.path("ca.pem"),
        secret_id = stage.path("secret-id"),
        role_id = role.role_id,
        address = bao.address
    );
    let path = stage.write("entrypoint", &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode set");
    path
}

/// `bao agent` with a template for one variable, fewer times than the others.
fn agent(stage: &Stage, bao: &Bao, role: &Role, user: u32) -> Series {
    stage.write("role-id", &role.role_id);
    let config = format!(
        r#"vault {{
  address = "{address}"
  ca_cert = {ca:?}
}}
auto_auth {{
  method "approle" {{
    config = {{ role_id_file_path = {role_id:?}, secret_id_file_path = {secret_id:?}, remove_secret_id_file_after_reading = false }}
  }}
}}
template_config {{ exit_on_retry_failure = true }}
env_template "API_KEY" {{
  contents             = "{{{{ with secret \"secret/data/measured\" }}}}{{{{ .Data.data.api_key }}}}{{{{ end }}}}"
  error_on_missing_key = true
}}
exec {{
  command                   = [{workload:?}]
  restart_on_secret_changes = "never"
}}
"#,
        address = bao.address,
        ca = stage.path("ca.pem"),
        role_id = stage.path("role-id"),
        secret_id = stage.path("secret-id"),
        workload = stage.path("workload")
    );
    let config = stage.write("agent.hcl", &config);
    let mut series = Series::new("bao agent as process supervisor");
    for _ in 0..AGENT_RUNS.min(stage.runs) {
        let mut command = Command::new(binary().expect("bao is there"));
        series.add(stage.start(command.arg("agent").arg(format!("-config={}", config.display())), user));
    }
    series
}
