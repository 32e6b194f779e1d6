//! docker/compose.yaml as it is: a store on TLS 1.3, AppRole, and the bot with its credentials from there.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use tempfile::TempDir;

use crate::cases::hmac;
use crate::engine::{Container, docker, run, text, wait_for};
use crate::images;
use crate::outsider::search;
use crate::secrets::{Secrets, private, random_hex};

/// The stack of one test; taken down when dropped.
struct Stack {
    secrets: TempDir,
    project: String,
}

impl Stack {
    fn compose(&self, args: &[&str]) -> Output {
        let file = images::root().join("docker/compose.yaml").display().to_string();
        let dir = format!("SECRETS={}", self.secrets.path().display());
        let args = [&[&dir, "docker-compose", "--file", &file, "--project-name", &self.project], args].concat();
        run("env", &args, b"")
    }

    /// A service's container, running or not.
    fn container(&self, service: &str) -> String {
        let label = format!("label=com.docker.compose.service={service}");
        let project = format!("label=com.docker.compose.project={}", self.project);
        docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label, "--filter", &project])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "1"]);
    }
}

#[test]
#[ignore = "needs an engine: tests/run docker"]
fn compose_brings_up_a_store_and_a_bot_with_its_credentials() {
    images::python_bot();
    images::openbao();
    let values = Secrets::new(0, &[]);
    let (secret_id, dir) = (random_hex(24), TempDir::new().expect("a directory"));
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("mode set");
    private(&dir.path().join("secret-id"), 0, &format!("{secret_id}\n"));
    let credentials = format!(r#"{{"api_key": "{}", "api_secret": "{}"}}"#, values.key, values.secret);
    private(&dir.path().join("credentials.json"), 0, &credentials);

    let stack = Stack { secrets: dir, project: format!("stack{}", random_hex(4)) };
    let up = stack.compose(&["up", "--detach"]);
    assert!(up.status.success(), "{}\n{}", text(&up), text(&stack.compose(&["logs", "--no-color"])));
    // Compose v1 may return before the last service in the chain has its container.
    let bot = Container(wait_for("the bot's container", || Some(stack.container("bot")).filter(|id| !id.is_empty())));
    assert!(bot.line("bot: ready as uid ").starts_with("65532"));
    assert_eq!(bot.line("bot: signed "), hmac(&values));

    let (found, report) = search(&bot, "65532:65532", &[&values.key, &values.secret, &secret_id]);
    assert!(found.is_empty(), "{found:?} in {report}");
    bot.stop();
    assert_eq!(bot.code(), 0, "{}", bot.logs());
    assert!(bot.logs().contains("bot: last word"), "{}", bot.logs());
    let known = text(&stack.compose(&["logs", "--no-color"])) + &docker(&["inspect", &bot.0]);
    for needle in [&values.key, &values.secret, &secret_id] {
        assert!(!known.contains(needle.as_str()), "a secret in the stack's logs or the bot's description");
    }
}
