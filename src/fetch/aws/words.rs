//! What a trouble with AWS means to an operator: what happened, and what to do. Nothing of an answer is repeated but the name of
//! its error.

use crate::refusal::{Exit, Refusal};

use super::super::vault::trouble::Trouble;
use super::super::vault::words::in_short;
use super::Want;

fn no(what: String, hint: impl Into<String>) -> Refusal {
    Refusal::new(Exit::StoreSaidNo, what, hint)
}

/// A refusal by what is shared with the other store, in this one's words.
pub fn of_aws(refusal: Refusal) -> Refusal {
    let ours = |text: &str| text.replace("the vault", "the aws").replace("[vault] address", "aws.endpoint");
    Refusal { what: ours(&refusal.what), hint: ours(&refusal.hint).replace("tls.ca", "aws.tls.ca"), ..refusal }
}

pub fn unreachable(base: &str, trouble: &Trouble) -> Refusal {
    let down = |what: String, hint: &str| Refusal::new(Exit::StoreUnavailable, what, hint);
    match trouble {
        Trouble::Deadline => Refusal::new(
            Exit::Deadline,
            format!("the deadline passed while {base} was asked"),
            "see why it is slow from here, or raise the deadline",
        ),
        Trouble::Request => Refusal::internal(format!("no request to {base} could be built")),
        Trouble::Status(status, _) => down(
            format!("{base} answered {status}, three times"),
            "see the AWS health dashboard for the region; if it throttles (400, 429), start fewer at a time",
        ),
        Trouble::TooLarge => down(
            format!("{base} answered more than a secret can be"),
            "see whether the endpoint is AWS's own: aws.endpoint, aws.sts_endpoint",
        ),
        Trouble::Broken | Trouble::Encoded => down(
            format!("{base} ended the conversation, or does not speak HTTP as AWS does"),
            "see whether the endpoint is AWS's own, and whether a proxy is in between",
        ),
        trouble => down(
            format!("{base} {}", in_short(trouble)),
            "see whether this host reaches it: `curl -v` from here; a private network needs a VPC endpoint, a private CA aws.tls.ca",
        ),
    }
}

pub fn nonsense(who: &str, what: &str) -> Refusal {
    Refusal::new(
        Exit::StoreUnavailable,
        format!("{who} did not answer with {what}"),
        "see whether the endpoint is AWS's own, and whether a proxy is in between",
    )
}

pub fn batch_refused(code: &str) -> Refusal {
    match code {
        "AccessDeniedException" => no(
            "the identity for aws may not ask for several secrets at once (AccessDeniedException)".to_owned(),
            "allow it secretsmanager:BatchGetSecretValue, beside secretsmanager:GetSecretValue on each",
        ),
        code => refused(code, None, "the region"),
    }
}

/// What a secret's own request was answered with.
pub fn refused(code: &str, want: Option<&Want>, region: &str) -> Refusal {
    let secret = match want {
        Some(want) => format!("the secret `{}` (aws:{})", want.name, want.id),
        None => "the secrets in aws".to_owned(),
    };
    let what = |text: &str| format!("{secret} {text} ({code})");
    match code {
        "ResourceNotFoundException" => no(
            what(&format!("has no such version or is not there in {region}")),
            "see `aws secretsmanager describe-secret` for its name, its region and the stages of its versions",
        ),
        "AccessDeniedException" | "AccessDenied" => no(
            what("may not be read by the identity for aws"),
            "allow it secretsmanager:GetSecretValue on this secret, and kms:Decrypt on its key",
        ),
        "DecryptionFailure" | "DecryptionFailureException" => no(
            what("cannot be decrypted for the identity for aws"),
            "allow it kms:Decrypt on the secret's key, and see whether that key is enabled",
        ),
        "InvalidRequestException" | "InvalidRequest" => no(
            what("is scheduled for deletion, or has no such version"),
            "`aws secretsmanager restore-secret` brings it back; else name another",
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidClientTokenIdException" => no(
            format!("aws does not know the credentials it was asked with ({code})"),
            "see whether they are of this account and still active: `aws iam list-access-keys`",
        ),
        "ExpiredTokenException" | "ExpiredToken" => no(
            format!("the session's credentials for aws have ended ({code})"),
            "log in anew: what wrote them must renew them",
        ),
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => no(
            format!("aws does not take the signature ({code})"),
            "see whether the secret access key is whole, and whether this host's clock is right",
        ),
        code => Refusal::new(
            Exit::StoreUnavailable,
            format!("aws answered {code} for {secret}"),
            "see that name in the documentation of AWS Secrets Manager, and the AWS health dashboard",
        ),
    }
}

pub fn role_refused(code: &str, role: &str, who: &str) -> Refusal {
    match code {
        "AccessDenied" | "InvalidIdentityToken" | "IDPRejectedClaim" | "InvalidIdentityTokenException" => no(
            format!("aws does not let {who} take on {role} ({code})"),
            "see the role's trust policy: its principal, the token's audience and subject, the external id",
        ),
        "ExpiredTokenException" | "ExpiredToken" => no(
            format!("{who} has expired ({code})"),
            "what writes it must renew it: see whether its volume is still mounted",
        ),
        code => {
            let refusal = refused(code, None, "the region");
            Refusal { what: format!("taking on {role}: {}", refusal.what), ..refusal }
        }
    }
}

pub fn not_lent(by: &str, status: u16) -> Refusal {
    no(
        format!("{by} answered {status}"),
        "see whether this task or pod has a role, and whether aws.auth.token_file is its own token",
    )
}

pub fn no_metadata_session(status: u16) -> Refusal {
    no(
        format!("the instance metadata service gives no session ({status}), and version 1 is never used"),
        "enable IMDSv2, with a hop limit of 2 where this runs in a container",
    )
}

pub fn no_instance_role(status: u16) -> Refusal {
    no(format!("this instance has no role ({status})"), "attach an instance profile, or choose another aws.auth")
}

pub fn no_value(want: &Want, what: &str, hint: &str) -> Refusal {
    no(format!("the secret `{}` (aws:{}) {what}", want.name, want.id), hint)
}
