//! What a login or an unwrapping was refused for, what stays unrevoked, and the command that mends it.

use crate::refusal::{Exit, Refusal};

use super::Step;
use crate::fetch::vault::trouble::{Said, Trouble};

fn no(what: String, hint: String) -> Refusal {
    Refusal::new(Exit::StoreSaidNo, what, hint)
}

pub(super) fn of_status(status: u16, said: Said, step: &Step) -> Refusal {
    let (mount, denied, cure) = match step {
        Step::Unwrap { expected } => return of_unwrap(status, expected),
        Step::AppRole { mount } => return of_approle(status, said, mount),
        Step::Kubernetes { mount, role } => (
            mount,
            format!("the role `{role}` does not exist, or is not for this service account"),
            format!(
                "compare `vault read auth/{mount}/role/{role}` with the pod's service account, namespace and the token's audience; the server itself needs `system:auth-delegator` to review tokens"
            ),
        ),
        Step::Jwt { mount, role } => (
            mount,
            format!("the role `{role}` does not exist, or the token is not for it, expired or of another issuer"),
            format!(
                "compare `vault read auth/{mount}/role/{role}` and `vault read auth/{mount}/config` with the token's iss, aud, sub and exp; a clock that is off makes it expired"
            ),
        ),
        Step::Cert { mount } => (
            mount,
            "no role takes this client certificate".to_owned(),
            format!(
                "`vault list auth/{mount}/certs` shows the roles; compare their CA and allowed names with tls.client_cert"
            ),
        ),
        Step::Read { .. } | Step::Capabilities => return Refusal::internal("a read took the way of a login"),
    };
    match (status, said) {
        (200, _) => no_token(mount),
        (_, Said::NoMount) => unmounted(status, mount),
        // What is not mounted is forbidden, like what is.
        (403 | 404, _) => no(
            format!("vault refuses the login at auth/{mount}: {denied} ({status})"),
            format!("`vault auth list` must show {mount}/ in this namespace; {cure}"),
        ),
        (400 | 401, _) => no(format!("vault refuses the login at auth/{mount}: {denied} ({status})"), cure),
        _ => no(format!("vault answers {status} to the login at auth/{mount}"), "see vault's log".to_owned()),
    }
}

/// The answer to a token that the Kubernetes API does not know, and to an API that vault cannot reach.
pub(super) fn unreviewed(status: u16, step: &Step) -> Refusal {
    Refusal::new(
        Exit::StoreUnavailable,
        format!("the service account's token was not reviewed ({status}) while {}", super::doing(step)),
        "the token has expired or is another cluster's, or vault cannot ask that cluster's API: see vault's log, its kubernetes_host, and whether its own account has `system:auth-delegator`",
    )
}

fn no_token(mount: &str) -> Refusal {
    no(
        format!("the login at auth/{mount} gave no token"),
        "a login that asks for a second factor cannot be made unattended: exempt the role from MFA".to_owned(),
    )
}

fn unmounted(status: u16, mount: &str) -> Refusal {
    no(
        format!("vault forbids the login at auth/{mount} ({status})"),
        format!("`vault auth list` must show {mount}/ in this namespace; see the role's secret_id_bound_cidrs"),
    )
}

fn of_approle(status: u16, said: Said, mount: &str) -> Refusal {
    match (status, said) {
        (200, _) => no_token(mount),
        (400, _) => no(
            format!(
                "vault refuses the login at auth/{mount}: the role id or the secret id is wrong, used up or expired"
            ),
            format!(
                "issue a new one: `vault write -f auth/{mount}/role/ROLE/secret-id`, and compare `vault read auth/{mount}/role/ROLE/role-id`"
            ),
        ),
        (403 | 404, _) => unmounted(status, mount),
        _ => no(format!("vault answers {status} to the login at auth/{mount}"), "see vault's log".to_owned()),
    }
}

/// What was wrapped may be in other hands: that is said first.
fn of_unwrap(status: u16, expected: &[String]) -> Refusal {
    no(
        format!(
            "the wrapping token is not valid ({status}): it was used already, has expired, or never was one, so what it wrapped may have been stolen"
        ),
        format!(
            "unless an earlier start of your own used it (which single_use = true would have removed), look for sys/wrapping/unwrap in vault's audit log and destroy what it wrapped; then deliver a new one: `{}`",
            wrapping_command(expected)
        ),
    )
}

pub fn made_elsewhere(made_at: &str, expected: &[String]) -> Refusal {
    let shown: String = made_at.chars().filter(|c| !c.is_control()).take(120).collect();
    no(
        format!(
            "the wrapping token was made at {shown} and not at {}: it was exchanged, and what it should have wrapped may have been stolen",
            expected.join(" or ")
        ),
        format!(
            "it was not unwrapped: find out who delivered it, then deliver a new one: `{}`; wrapped_path in [vault.auth] names another place",
            wrapping_command(expected)
        ),
    )
}

fn wrapping_command(expected: &[String]) -> String {
    let path = expected.first().map(|path| path.replace('*', "ROLE")).unwrap_or_default();
    format!("vault write -wrap-ttl=5m -f {path}")
}

const LIVES: &str = "the token of this login could not be revoked and lives until its ttl ends";

/// A revocation that failed: the caller goes on and tells.
pub fn unrevoked(trouble: &Trouble) -> String {
    format!("{LIVES}: {}", why(trouble, "path \"auth/token/revoke-self\" { capabilities = [\"update\"] }"))
}

/// The same for a lease that an operator's token was granted.
pub fn unrevoked_lease(trouble: &Trouble) -> String {
    let why = why(trouble, "path \"sys/leases/revoke\" { capabilities = [\"update\"] }");
    format!("a lease of this fetch could not be revoked and lives until it ends: {why}")
}

fn why(trouble: &Trouble, line: &str) -> String {
    match trouble {
        Trouble::Status(403, _) => format!("its policy lacks {line}"),
        Trouble::Status(status, _) => format!("the store answered {status}"),
        Trouble::Deadline => "the store did not answer in time".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}
