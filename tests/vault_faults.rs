//! The vault source against servers that misbehave: each ends in time, with the right code, and shows no body.
//!
//! No OpenBao is needed here; that one behaves, and is in `vault_source.rs`.

mod support;

use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use support::ca::{Ca, Issued};
use support::faults::{FaultServer, Piece, Script, answer, json, kv2, listen};

const DEADLINE: Duration = Duration::from_secs(4);
const READ: &str = "/v1/secret/data/a";
const LOGIN: &str = "/v1/auth/approle/login";
const MAY: &str = "/v1/sys/capabilities-self";
const REVOKE: &str = "/v1/auth/token/revoke-self";
const AWAY: Exit = Exit::StoreUnavailable;

fn ca() -> &'static (Ca, Issued) {
    static CA: OnceLock<(Ca, Issued)> = OnceLock::new();
    CA.get_or_init(|| {
        let ca = Ca::new(&support::scratch("faults"));
        let issued = ca.issue("faulty");
        (ca, issued)
    })
}

fn store(address: &str) -> Store {
    Store {
        addresses: vec![address.to_owned()],
        namespace: None,
        ca_pem: ca().0.pem.clone(),
        min_tls: TlsVersion::V13,
        engines: Engines::default(),
        identity: None,
        leases: Leases::Refuse,
        login: Login::AppRole {
            mount: "approle".into(),
            role_id: "bot".into(),
            secret_id: Credential::Plain(SecretText::new("s3cr3t-id".into())),
        },
    }
}

fn get(address: &str) -> Result<Answer, Refusal> {
    fetch(
        store(address),
        &[Want { name: "k".into(), path: "secret/a".into(), field: "x".into(), ..Want::default() }],
        DEADLINE,
        Purpose::Start,
        &|| Ok(()),
    )
}

/// Refused before the deadline, in the given words, with nothing of a body in them.
#[track_caller]
fn refused(address: &str, exit: Exit, what: &str) -> Refusal {
    let start = Instant::now();
    let refusal = get(address).err().expect("a refusal");
    assert!(start.elapsed() < DEADLINE, "{:?}: {refusal}", start.elapsed());
    assert_eq!(refusal.exit, exit, "{refusal}");
    assert!(refusal.what.contains(what), "no `{what}` in: {refusal}");
    assert!(!refusal.to_string().contains("s3cr3t"), "{refusal}");
    refusal
}

#[track_caller]
fn refused_by(script: Script, exit: Exit, what: &str) -> FaultServer {
    let server = FaultServer::start(&ca().1, script);
    refused(&server.address, exit, what);
    server
}

fn on(path: &str, wanted: &str, pieces: Vec<Piece>) -> Option<Vec<Piece>> {
    (path == wanted).then_some(pieces)
}

fn bytes(text: &str) -> Piece {
    Piece::Bytes(text.as_bytes().to_vec())
}

#[test]
fn an_answer_that_is_none_of_vaults_is_refused() {
    refused_by(|p, _| on(p, READ, answer("200 OK", "Content-Type: text/html\r\n", "<p>s3cr3t")), AWAY, "is not JSON");
    refused_by(|p, _| on(p, READ, answer("200 OK", "", "")), AWAY, "is not JSON");
    refused_by(|p, _| on(p, READ, json("200 OK", "")), AWAY, "cut off or has not the shape");
    refused_by(|p, _| on(p, READ, json("204 No Content", "")), AWAY, "is not JSON");
    refused_by(|p, _| on(p, READ, json("200 OK", "{\"data\":{\"data\":{\"x\":\"s3cr3t")), AWAY, "cut off");
    refused_by(|p, _| on(p, READ, json("200 OK", "{\"data\":null}")), AWAY, "not the shape");
    refused_by(|p, _| on(p, READ, json("200 OK", "[\"s3cr3t\"]")), AWAY, "not the shape");
    refused_by(|p, _| on(p, READ, json("200 OK", "{\"data\":{\"x\":\"s3cr3t\"}}")), AWAY, "not the shape");
    refused_by(|p, _| on(p, READ, json("200 OK", &"[".repeat(100_000))), AWAY, "not the shape");
    refused_by(|p, _| on(p, READ, json("200 OK", "\u{7f}\u{0}\u{1}")), AWAY, "not the shape");
    refused_by(
        |p, _| on(p, READ, answer("403 Forbidden", "Content-Type: text/html\r\n", "s3cr3t")),
        AWAY,
        "not as vault does",
    );
    refused_by(|p, _| on(p, LOGIN, json("200 OK", "{\"auth\":null}")), AWAY, "while logging in at auth/approle");
    refused_by(
        |p, _| on(p, LOGIN, json("200 OK", "{\"auth\":{\"client_token\":\"\",\"token_type\":\"service\"}}")),
        Exit::StoreSaidNo,
        "gave no token",
    );
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    const MIB: usize = 1024 * 1024;
    refused_by(
        |p, _| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", 64 * MIB);
            on(p, READ, vec![bytes(&head), Piece::Repeat(vec![b' '; MIB], 64)])
        },
        AWAY,
        "larger than 1 MiB",
    );
    refused_by(
        |p, _| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut chunk = b"10000\r\n".to_vec();
            chunk.extend([b' '; 0x10000]);
            chunk.extend(b"\r\n");
            on(p, READ, vec![bytes(head), Piece::Repeat(chunk, 1024)])
        },
        AWAY,
        "larger than 1 MiB",
    );
    // What is announced alone is enough, and is not made room for.
    refused_by(
        |p, _| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", i64::MAX);
            on(p, READ, vec![bytes(&head), Piece::Pause(Duration::from_secs(60))])
        },
        AWAY,
        "larger than 1 MiB",
    );
    // An error's body has the same bound, and so do headers.
    refused_by(|p, _| on(p, READ, json("404 Not Found", &" ".repeat(2 * MIB))), AWAY, "larger than 1 MiB");
    refused_by(
        |p, _| {
            on(p, READ, vec![bytes("HTTP/1.1 200 OK\r\n"), Piece::Repeat(b"X-Filler: 0123456789\r\n".to_vec(), MIB)])
        },
        AWAY,
        "no HTTP",
    );
}

#[test]
fn a_body_of_exactly_the_bound_is_read() {
    let server = FaultServer::start(&ca().1, |p, _| {
        let good = "{\"data\":{\"data\":{\"x\":\"at-the-bound\"},\"metadata\":{\"created_time\":\"2026-11-24T08:25:46Z\",\"deletion_time\":\"\",\"destroyed\":false,\"version\":1}}}";
        on(p, READ, json("200 OK", &(good.to_owned() + &" ".repeat(1024 * 1024 - good.len()))))
    });
    assert_eq!(get(&server.address).ok().unwrap().fetched[0].value.expose(), "at-the-bound");
}

#[test]
fn a_compressed_answer_is_refused_unread() {
    refused_by(
        |p, _| on(p, READ, answer("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "\u{1f}?")),
        AWAY,
        "is compressed",
    );
}

#[test]
fn a_redirect_is_not_followed() {
    static ELSEWHERE: OnceLock<FaultServer> = OnceLock::new();
    let elsewhere = ELSEWHERE.get_or_init(|| FaultServer::start(&ca().1, |_, _| None));
    let moved: Script = |p, _| {
        let location = format!("Location: {}{p}\r\n", ELSEWHERE.get().unwrap().address);
        on(p, LOGIN, answer("307 Temporary Redirect", &location, ""))
    };
    let refusal = refused(&FaultServer::start(&ca().1, moved).address, AWAY, "redirects (307)");
    assert!(refusal.hint.contains("active node"));
    let moved: Script = |p, _| {
        let location = format!("Location: {}{p}\r\n", ELSEWHERE.get().unwrap().address);
        on(p, READ, answer("301 Moved", &location, ""))
    };
    refused(&FaultServer::start(&ca().1, moved).address, AWAY, "redirects (301)");
    assert_eq!(elsewhere.seen(), [""; 0], "nothing was sent there");
}

#[test]
fn a_slow_server_ends_at_the_deadline() {
    let said = "while reading `k` (secret/a)";
    let server = refused_by(
        |p, _| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
            on(p, READ, vec![bytes(head), Piece::Pause(Duration::from_secs(60))])
        },
        Exit::Deadline,
        said,
    );
    assert_eq!(server.seen(), [LOGIN, READ, REVOKE], "what is left of the time is for the revocation");
    let drip = |p: &str, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let pieces = head.bytes().flat_map(|b| [Piece::Bytes(vec![b]), Piece::Pause(Duration::from_secs(1))]);
        on(p, READ, pieces.collect())
    };
    refused_by(drip, Exit::Deadline, said);
    refused_by(|p, _| on(p, LOGIN, vec![Piece::Pause(Duration::from_secs(60))]), Exit::Deadline, "while logging in");
}

#[test]
fn a_port_that_says_nothing_is_told_before_the_deadline() {
    let black_hole = listen(|_tcp| std::thread::sleep(Duration::from_secs(60)));
    refused(&format!("https://127.0.0.1:{black_hole}"), AWAY, "no TLS connection within 2.0s");
}

#[test]
fn nothing_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refusal = refused(&format!("https://127.0.0.1:{port}"), AWAY, "refuses the connection");
    assert!(refusal.hint.contains("vault status -address="));
}

#[test]
fn a_name_without_an_address() {
    refused("https://no-such-host.invalid:8200", AWAY, "no-such-host.invalid has no address");
}

#[test]
fn a_port_without_tls() {
    let plain = listen(|mut tcp| {
        use std::io::Write;
        tcp.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent s3cr3t").ok();
    });
    refused(&format!("https://127.0.0.1:{plain}"), AWAY, "does not answer in TLS");
    assert_eq!(get(&format!("http://127.0.0.1:{plain}")).err().unwrap().exit, Exit::Config);
}

#[test]
fn certificates_that_do_not_hold() {
    let ca = &ca().0;
    for (issued, what) in [
        (ca.issue_for("expired", "IP:127.0.0.1,DNS:localhost", -1), "has expired"),
        (ca.issue_for("other-name", "DNS:vault.example", 2), "is not for localhost"),
        (Issued { cert: ca.file(), key: ca.file().with_extension("key") }, "is not acceptable for a server"),
    ] {
        let server = FaultServer::start(&issued, |_, _| None);
        refused(&server.address, AWAY, what);
        assert_eq!(server.seen(), [""; 0], "nothing was sent");
    }
    let foreign = Ca::new(&support::scratch("foreign")).issue("foreign");
    refused(&FaultServer::start(&foreign, |_, _| None).address, AWAY, "not signed by a CA in tls.ca");
}

#[test]
fn what_may_pass_is_tried_three_times_and_what_mints_is_not() {
    let ok = |script: Script| {
        let server = FaultServer::start(&ca().1, script);
        let answer = get(&server.address).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(answer.fetched[0].value.expose(), "good-value");
        server.seen()
    };
    let seen = ok(|p, before| if before < 2 { on(p, READ, json("502 Bad Gateway", "{}")) } else { None });
    assert_eq!(seen, [LOGIN, READ, READ, READ, REVOKE]);
    let seen = ok(|p, before| if before < 1 { on(p, READ, vec![Piece::Close]) } else { None });
    assert_eq!(seen, [LOGIN, READ, READ, REVOKE]);
    // A replica that does not know the token yet forbids the question what it may do as well.
    let seen = ok(|p, before| {
        let lags = before < 2 && [READ, MAY].contains(&p);
        lags.then(|| json("403 Forbidden", "{\"errors\":[]}"))
    });
    assert_eq!(seen, [LOGIN, READ, MAY, READ, MAY, READ, REVOKE]);
    let seen = ok(|p, before| if before < 2 { on(p, LOGIN, json("503 Unavailable", "{}")) } else { None });
    assert_eq!(seen, [LOGIN, LOGIN, LOGIN, READ, REVOKE]);

    let server = refused_by(|p, _| on(p, READ, json("503 Unavailable", "s3cr3t")), AWAY, "answered 503");
    assert_eq!(server.seen(), [LOGIN, READ, READ, READ, REVOKE]);
    let server = refused_by(|p, _| on(p, LOGIN, json("502 Bad Gateway", "s3cr3t")), AWAY, "answered 502");
    assert_eq!(server.seen(), [LOGIN], "a login that may have been made is not made again");
    let server = refused_by(|p, _| on(p, LOGIN, vec![Piece::Close]), AWAY, "broke off");
    assert_eq!(server.seen(), [LOGIN]);
    let server = refused_by(|p, _| on(p, READ, json("500 Oops", "s3cr3t")), AWAY, "answered 500");
    assert_eq!(server.seen(), [LOGIN, READ, REVOKE]);
}

#[test]
fn a_standby_says_where_to_go() {
    refused_by(|p, _| on(p, LOGIN, json("429 Too Many", "{}")), AWAY, "429: too many requests, or a standby");
    refused_by(|p, _| on(p, LOGIN, json("472 DR", "{}")), AWAY, "a standby that serves no requests (472)");
    refused_by(|p, _| on(p, READ, json("473 PS", "{}")), AWAY, "a standby that serves no requests (473)");
}

#[test]
fn a_revocation_that_fails_is_told_and_stops_nothing() {
    for (script, what) in [
        ((|p, _| on(p, REVOKE, json("500 Oops", "s3cr3t"))) as Script, "answered 500"),
        (|p, _| on(p, REVOKE, vec![Piece::Pause(Duration::from_secs(60))]), "in time"),
        (|p, _| on(p, REVOKE, vec![Piece::Close]), "the connection failed"),
    ] {
        let server = FaultServer::start(&ca().1, script);
        let answer = get(&server.address).ok().unwrap();
        assert_eq!(answer.fetched[0].value.expose(), "good-value");
        assert!(answer.warnings[0].contains(what), "{:?}", answer.warnings);
    }
    let both: Script = |p, _| match p {
        READ => Some(json("404 Not Found", "{\"errors\":[]}")),
        REVOKE => Some(json("500 Oops", "{}")),
        _ => None,
    };
    let refusal = refused(&FaultServer::start(&ca().1, both).address, Exit::StoreSaidNo, "does not exist");
    assert!(refusal.hint.contains("; also, the token of this login could not be revoked"), "{refusal}");
}

#[test]
fn a_version_and_a_time_are_as_the_store_says() {
    let server = FaultServer::start(&ca().1, |p, _| on(p, READ, kv2("v")));
    let fetched = &get(&server.address).ok().unwrap().fetched[0];
    assert_eq!((fetched.vouched.version, fetched.vouched.set_at), (Some(7), Some(1_795_508_746)));
    let undated: Script = |p, _| {
        let metadata = "{\"created_time\":\"yesterday\",\"deletion_time\":\"\",\"destroyed\":false,\"version\":7}";
        on(p, READ, json("200 OK", &format!("{{\"data\":{{\"data\":{{\"x\":\"s3cr3t\"}},\"metadata\":{metadata}}}}}")))
    };
    refused_by(undated, AWAY, "not the shape");
}
