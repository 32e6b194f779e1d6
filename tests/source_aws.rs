//! `aws:` against moto, which verifies every signature with botocore's own signer and every action against IAM.
//!
//! What moto takes blindly, and AWS does not give out, is stood in for by recorders: the metadata service, the container's
//! endpoint, and what a web identity's token holds. They prove what is sent, not what AWS makes of it.

mod support;

use std::sync::Mutex;

use support::aws::{Moto, Recorder};
use support::ca::Ca;
use support::faults::{FaultServer, Piece, answer};
use support::start::{Place, texts, user_line};

/// Starts are counted by the lines of one log: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A start with these references and this `[aws]`, in which DIR is the place.
struct Start<'a> {
    secrets: &'a str,
    aws: &'a str,
    more: &'a str,
    files: &'a [(&'a str, String)],
    environment: &'a [(&'a str, String)],
    args: &'a [&'a str],
}

impl Default for Start<'_> {
    fn default() -> Self {
        Start { secrets: "", aws: "", more: "", files: &[], environment: &[], args: &["run"] }
    }
}

impl Start<'_> {
    fn run(&self, ca: &Ca) -> (String, String, Option<i32>) {
        let place = Place::new();
        let dir = place.path("").display().to_string();
        place.write("ca.pem", &ca.pem, 0o644);
        for (name, text) in self.files {
            place.write(name, text, 0o600);
        }
        let text = format!(
            "deadline = \"20s\"\n[workload]\ncommand = [\"sh\", \"-c\", \"cat <&3\"]\n{}\n[secrets]\n{}\n\
             [aws]\nregion = \"eu-central-1\"\ntls = {{ ca = \"ca.pem\" }}\n{}\n{}\n",
            user_line(),
            self.secrets,
            self.aws,
            self.more
        );
        place.write("portcullis.toml", text.replace("DIR/", &dir), 0o644);
        let mut command = place.command(&[self.args, &["-c", "portcullis.toml"]].concat());
        command
            .env("PORTCULLIS_LOG", "trace")
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        texts(&command.output().expect("portcullis"))
    }
}

/// `[aws]`'s part for a user of moto's, by keys.
fn keys(moto: &Moto, id: &str) -> String {
    let address = moto.fact("/address");
    format!(
        "endpoint = \"{address}\"\nsts_endpoint = \"{address}\"\nauth = {{ method = \"keys\", access_key_id = \"{id}\", secret_access_key_file = \"key\" }}"
    )
}

fn reader(moto: &Moto) -> (String, [(&'static str, String); 1]) {
    (keys(moto, &moto.fact("/reader/id")), [("key", moto.fact("/reader/secret") + "\n")])
}

fn json(out: &str) -> serde_json::Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn several_secrets_are_one_signed_request() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (aws, files) = reader(moto);
    let arn = moto.fact("/arn");
    let secrets = format!(
        "a = \"aws:prod/bot#api_key\"\nb = \"aws:prod/bot#/deep/list/1\"\nc = \"aws:plain\"\nd = {{ from = \"aws:binary\", encoding = \"base64\" }}\n\
         e = \"aws:{arn}#api_key\"\nf = {{ from = \"aws:plain\", encoding = \"base64\" }}"
    );
    let before = moto.requests(0).len();
    let (out, err, code) = Start { secrets: &secrets, aws: &aws, files: &files, ..Start::default() }.run(&moto.ca);
    assert_eq!(code, Some(0), "{err}");
    let values = json(&out);
    for (name, value) in [
        ("a", "s3cret-of-the-bot"),
        ("b", "s3cret-below"),
        ("c", "s3cret-alone"),
        ("d", "AP9zM2NyZXQ="),
        ("e", "s3cret-of-the-bot"),
        ("f", "czNjcmV0LWFsb25l"),
    ] {
        assert_eq!(values[name], value, "{name}");
    }
    let asked = moto.requests(before);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["target"], "secretsmanager.BatchGetSecretValue");
    assert_eq!(asked[0]["signed"], true);
    assert!(err.contains("DEBUG") && !err.contains("s3cret") && !err.contains(&moto.fact("/reader/secret")), "{err}");
}

#[test]
fn more_secrets_than_one_request_takes_are_asked_for_in_several() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (aws, files) = reader(moto);
    let secrets: Vec<String> = (0..25).map(|n| format!("k{n} = \"aws:many/{n}\"")).collect();
    let before = moto.requests(0).len();
    let (out, err, code) =
        Start { secrets: &secrets.join("\n"), aws: &aws, files: &files, ..Start::default() }.run(&moto.ca);
    assert_eq!(code, Some(0), "{err}");
    let values = json(&out);
    for n in 0..25 {
        assert_eq!(values[format!("k{n}")], format!("s3cret-{n}"));
    }
    assert_eq!(moto.requests(before).len(), 2);
}

#[test]
fn a_stage_or_a_version_is_always_asked_for() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (aws, files) = reader(moto);
    let version = moto.fact("/version");
    for (reference, value, stage, asked_version) in [
        ("aws:prod/bot#api_key".to_owned(), "s3cret-of-the-bot", Some("AWSCURRENT"), None),
        ("aws:prod/bot#api_key?stage=AWSPREVIOUS".to_owned(), "old-key", Some("AWSPREVIOUS"), None),
        (format!("aws:prod/bot#api_key?version={version}"), "old-key", None, Some(version.as_str())),
        (
            format!("aws:prod/bot#api_key?version={version}&stage=AWSPREVIOUS"),
            "old-key",
            Some("AWSPREVIOUS"),
            Some(version.as_str()),
        ),
    ] {
        let before = moto.requests(0).len();
        let secrets = format!("k = \"{reference}\"");
        let (out, err, code) = Start { secrets: &secrets, aws: &aws, files: &files, ..Start::default() }.run(&moto.ca);
        assert_eq!((code, json(&out)["k"].as_str()), (Some(0), Some(value)), "{reference}: {err}");
        let asked = moto.requests(before);
        assert_eq!(asked.len(), 1);
        let body = json(asked[0]["body"].as_str().unwrap());
        assert_eq!((body["VersionStage"].as_str(), body["VersionId"].as_str()), (stage, asked_version), "{reference}");
    }
}

#[test]
fn the_age_is_the_versions_and_a_check_tells_of_rotation() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (aws, files) = reader(moto);
    let start = |secrets, args| Start { secrets, aws: &aws, files: &files, args, ..Start::default() }.run(&moto.ca);
    let (_, err, code) = start("k = { from = \"aws:old#k\", max_age = \"99d\" }", &["run"]);
    assert_eq!(code, Some(77), "{err}");
    assert!(err.contains("was set 100 days ago, and max_age is 99 days"), "{err}");
    assert_eq!(start("k = { from = \"aws:old#k\", max_age = \"101d\" }", &["run"]).2, Some(0));
    let (out, err, code) = start("k = \"aws:old#k\"\nl = \"aws:plain\"", &["check", "--live"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("k from aws:old#k: fetched, set 100d ago"), "{out}");
    assert!(err.contains("warning: rotation of old is off in aws"), "{err}");
    assert!(!out.contains("s3cret") && !err.contains("s3cret"));
}

#[test]
fn every_no_is_named_and_nothing_of_an_answer_is_repeated() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (aws, files) = reader(moto);
    let key = |text: &str| [("key", text.to_owned())];
    let stranger = (keys(moto, &moto.fact("/stranger/id")), key(&moto.fact("/stranger/secret")));
    let wrong = (aws.clone(), key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let unknown = (keys(moto, "AKIAUNKNOWNUNKNOWN00"), key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let right = (aws, files);
    for (who, secrets, code, what) in [
        (&right, "k = \"aws:none\"", 77, "ResourceNotFoundException"),
        (&right, "k = \"aws:none\"\nl = \"aws:plain\"", 77, "the secret `k` (aws:none)"),
        (&right, "k = \"aws:prod/bot#api_key?stage=NOPE\"", 77, "ResourceNotFoundException"),
        (&right, "k = \"aws:deleted\"", 77, "is scheduled for deletion"),
        (&right, "k = \"aws:prod/bot#zzz\"", 77, "there is no zzz in prod/bot"),
        (&right, "k = \"aws:prod/bot#n\"", 77, "is a number, not a text"),
        (&right, "k = \"aws:plain#x\"", 77, "is no JSON object"),
        (&right, "k = \"aws:binary\"", 77, "is binary"),
        (&stranger, "k = \"aws:plain\"", 77, "may not be read by the identity"),
        (&wrong, "k = \"aws:plain\"", 77, "aws does not take the signature"),
        (&unknown, "k = \"aws:plain\"", 77, "aws does not know the credentials"),
    ] {
        let (out, err, exit) = Start { secrets, aws: &who.0, files: &who.1, ..Start::default() }.run(&moto.ca);
        assert_eq!((exit, out.as_str()), (Some(code), ""), "{secrets}: {err}");
        assert!(err.contains(what), "{secrets}: {err}");
        assert!(!err.contains("s3cret") && !err.contains(who.1[0].1.trim()), "{err}");
    }
}

/// Each login against moto: a profile, a web identity, and a role that is taken on.
#[test]
fn logins_that_moto_knows() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let address = moto.fact("/address");
    let at = format!("endpoint = \"{address}\"\nsts_endpoint = \"{address}\"");
    let (id, secret, role) = (moto.fact("/reader/id"), moto.fact("/reader/secret"), moto.fact("/role"));
    let profile = format!(
        "[default]\naws_access_key_id = X\naws_secret_access_key = X\n[bot]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    let token = "eyJ.not-a-real-token.sig".to_owned();
    let cases = [
        (
            format!("{at}\nauth = {{ method = \"profile\", file = \"credentials\", profile = \"bot\" }}"),
            vec![("credentials", profile)],
            vec![],
            vec![],
        ),
        (
            format!("{at}\nauth = {{ method = \"web-identity\", role_arn = \"{role}\", token_file = \"jwt\" }}"),
            vec![("jwt", token.clone())],
            vec![],
            vec![
                "Action=AssumeRoleWithWebIdentity",
                "WebIdentityToken=eyJ.not-a-real-token.sig",
                "DurationSeconds=900",
            ],
        ),
        (
            format!("{at}\nauth = {{ method = \"web-identity\" }}"),
            vec![("jwt", token)],
            vec![("AWS_ROLE_ARN", role.clone()), ("AWS_WEB_IDENTITY_TOKEN_FILE", "jwt".to_owned())],
            vec!["Action=AssumeRoleWithWebIdentity"],
        ),
        (
            format!("{}\nassume = {{ role_arn = \"{role}\", external_id = \"ex ternal/1\" }}", keys(moto, &id)),
            vec![("key", secret)],
            vec![],
            vec!["Action=AssumeRole&", "ExternalId=ex+ternal%2F1"],
        ),
    ];
    for (aws, files, environment, form) in &cases {
        let before = moto.requests(0).len();
        let start = Start { secrets: "k = \"aws:plain\"", aws, files, environment, ..Start::default() };
        let (out, err, code) = start.run(&moto.ca);
        assert_eq!((code, out.as_str()), (Some(0), "{\"k\":\"s3cret-alone\"}"), "{aws}: {err}");
        let asked = moto.requests(before);
        assert_eq!(asked.len(), 1 + usize::from(!form.is_empty()), "{asked:?}");
        let sent = asked[0]["body"].as_str().unwrap();
        assert!(form.iter().all(|part| sent.contains(part)), "{sent}");
        if !form.is_empty() {
            assert_eq!((&asked[1]["signed"], &asked[1]["token"]), (&true.into(), &true.into()), "a session's token");
        }
        assert!(!err.contains("not-a-real-token"), "{err}");
    }
}

/// Stand-ins: what the metadata service and the container's endpoint are asked, and what becomes of what they lend.
#[test]
fn logins_over_this_machines_links() {
    let Some(moto) = Moto::shared() else { return };
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let address = moto.fact("/address");
    let lent = serde_json::json!({
        "Code": "Success", "AccessKeyId": moto.fact("/lent/id"), "SecretAccessKey": moto.fact("/lent/secret"),
        "Token": moto.fact("/lent/token"), "Expiration": "2027-01-01T00:00:00Z",
    })
    .to_string();
    let (of_instance, of_container) = (lent.clone(), lent);
    let metadata = Recorder::start(move |head| match head.lines().next().unwrap_or_default() {
        "put /latest/api/token http/1.1" if head.contains("x-aws-ec2-metadata-token-ttl-seconds: 60") => {
            (200, "session-token==".to_owned())
        }
        _ if !head.contains("x-aws-ec2-metadata-token: session-token==") => (401, String::new()),
        "get /latest/meta-data/iam/security-credentials/ http/1.1" => (200, "bot-role".to_owned()),
        "get /latest/meta-data/iam/security-credentials/bot-role http/1.1" => (200, of_instance.clone()),
        _ => (404, String::new()),
    });
    let container = Recorder::start(move |head| match head.contains("authorization: pod-token") {
        true if head.starts_with("get /v1/credentials http/1.1") => (200, of_container.clone()),
        _ => (403, String::new()),
    });
    let at = format!("endpoint = \"{address}\"");
    let instance = format!("{at}\nauth = {{ method = \"instance\", endpoint = \"{}\" }}", metadata.address);
    let uri = format!("{}/v1/credentials", container.address);
    let pod = format!("{at}\nauth = {{ method = \"container\", uri = \"{uri}\", token_file = \"pod\" }}");
    let by_variables = format!("{at}\nauth = {{ method = \"container\" }}");
    let variables =
        vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "pod".to_owned())];
    for (aws, environment) in [(&instance, vec![]), (&pod, vec![]), (&by_variables, variables)] {
        let files = [("pod", "pod-token\n".to_owned())];
        let start =
            Start { secrets: "k = \"aws:plain\"", aws, files: &files, environment: &environment, ..Start::default() };
        let (out, err, code) = start.run(&moto.ca);
        assert_eq!((code, out.as_str()), (Some(0), "{\"k\":\"s3cret-alone\"}"), "{aws}: {err}");
        for secret in ["session-token==", "pod-token", &moto.fact("/lent/token"), &moto.fact("/lent/secret")] {
            assert!(!err.contains(secret), "{err}");
        }
    }
    assert_eq!(metadata.seen().len(), 3, "a session, a name, credentials");
    assert!(metadata.seen()[0].starts_with("PUT /latest/api/token"));

    let old = Recorder::start(|_| (403, String::new()));
    let aws = format!("{at}\nauth = {{ method = \"instance\", endpoint = \"{}\" }}", old.address);
    let (_, err, code) = Start { secrets: "k = \"aws:plain\"", aws: &aws, ..Start::default() }.run(&moto.ca);
    assert_eq!(code, Some(77), "{err}");
    assert!(err.contains("gives no session (403), and version 1 is never used"), "{err}");
    assert_eq!(old.seen().len(), 1, "version 1 was asked: {:?}", old.seen());
}

/// A server that is not AWS, or is broken: each start is refused in time, and shows nothing of what was answered.
#[test]
fn broken_and_hostile_servers_are_refused() {
    let dir = support::scratch("aws-faults");
    let ca = Ca::new(&dir);
    let issued = ca.issue("aws");
    let other = Ca::new(&support::scratch("aws-other"));
    let aws = |address: &str| {
        format!(
            "endpoint = \"{address}\"\nauth = {{ method = \"keys\", access_key_id = \"AKIAX\", secret_access_key_file = \"key\" }}"
        )
    };
    let files = [("key", "k3y-of-the-test".to_owned())];
    let start = |address: &str, ca: &Ca, deadline: &str| {
        let aws = aws(address);
        let more = format!("[confine]\nconnect = [443]\n#{deadline}");
        Start { secrets: "k = \"aws:x#k\"", aws: &aws, files: &files, more: &more, ..Start::default() }.run(ca)
    };
    type Script = fn(&str, usize) -> Option<Vec<Piece>>;
    let cases: [(Script, i32, &str); 9] = [
        (|_, _| Some(answer("200 OK", "", "")), 69, "did not answer with a secret"),
        (|_, _| Some(answer("200 OK", "", "<html>leaked-words</html>")), 69, "did not answer with a secret"),
        (
            |_, _| Some(answer("200 OK", "", "{\"ARN\":\"a\",\"Name\":\"y\",\"SecretString\":\"leaked-words\"}")),
            69,
            "did not answer with",
        ),
        (|_, _| Some(answer("307 X", "Location: https://localhost:1/\r\n", "")), 69, "aws answered an unnamed error"),
        (|_, _| Some(answer("500 X", "", "leaked-words")), 69, "answered 500, three times"),
        (
            |_, _| Some(answer("400 X", "", "{\"__type\":\"leaked words\",\"Message\":\"leaked-words\"}")),
            69,
            "an unnamed error",
        ),
        (|_, _| Some(answer("400 X", "", "{\"__type\":\"ThrottlingException\"}")), 69, "answered 400, three times"),
        (
            |_, _| {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
                Some(vec![Piece::Bytes(head), Piece::Repeat(vec![b'x'; 65536], 1600)])
            },
            69,
            "answered more than a secret can be",
        ),
        (
            |_, _| Some(vec![Piece::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec()), Piece::Close]),
            69,
            "ended the conversation",
        ),
    ];
    for (script, code, what) in cases {
        let server = FaultServer::start(&issued, script);
        let (out, err, exit) = start(&server.address, &ca, "");
        assert_eq!((exit, out.as_str()), (Some(code), ""), "{what}: {err}");
        assert!(err.contains(what), "{err}");
        assert!(!err.contains("leaked") && !err.contains("k3y-of-the-test"), "{err}");
    }
    let server = FaultServer::start(&issued, |_, _| None);
    let (_, err, code) = start(&server.address, &other, "");
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("has a certificate of another CA"), "{err}");
    assert!(server.seen().is_empty(), "nothing is sent to a stranger");
}

#[test]
fn a_throttled_request_is_sent_again() {
    let dir = support::scratch("aws-again");
    let ca = Ca::new(&dir);
    let server = FaultServer::start(&ca.issue("aws"), |_, before| {
        Some(match before {
            0 => answer("400 X", "", "{\"__type\":\"ThrottlingException\"}"),
            1 => answer("503 X", "", ""),
            _ => answer(
                "200 OK",
                "",
                "{\"ARN\":\"a\",\"Name\":\"x\",\"VersionStages\":[\"AWSCURRENT\"],\"SecretString\":\"v-at-last\"}",
            ),
        })
    });
    let aws = format!(
        "endpoint = \"{}\"\nauth = {{ method = \"keys\", access_key_id = \"AKIAX\", secret_access_key_file = \"key\" }}",
        server.address
    );
    let files = [("key", "x".to_owned())];
    let (out, err, code) = Start { secrets: "k = \"aws:x\"", aws: &aws, files: &files, ..Start::default() }.run(&ca);
    assert_eq!((code, out.as_str()), (Some(0), "{\"k\":\"v-at-last\"}"), "{err}");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn the_identity_for_aws_is_out_of_the_workloads_reach() {
    let ca = Ca::new(&support::scratch("aws-reach"));
    let files = [("key", "x".to_owned())];
    let by_key = "auth = { method = \"keys\", access_key_id = \"AKIAX\", secret_access_key_file = \"key\" }";
    for (aws, confine, what) in [
        (by_key, "read = [\"DIR/key\"]", "the workload could read the identity for aws"),
        (by_key, "read = [\"DIR/\"]", "the workload could read the identity for aws"),
        (by_key, "write = [\"DIR/app\"]\nread = [\"DIR/key\"]", "the identity for aws"),
        ("auth = { method = \"instance\" }", "connect = [443, 80]", "the workload could ask http://169.254.169.254"),
        (
            "auth = { method = \"container\", uri = \"http://127.0.0.1:8181/c\" }",
            "connect = [8181]",
            "the workload could ask http://127.0.0.1:8181/c",
        ),
    ] {
        let more = format!("[confine]\n{confine}");
        let (out, err, code) =
            Start { secrets: "k = \"aws:x\"", aws, files: &files, more: &more, ..Start::default() }.run(&ca);
        assert_eq!((code, out.as_str()), (Some(78), ""), "{confine}: {err}");
        assert!(err.contains(what), "{err}");
    }
}
