//! What `args.rs` promises, by example.

use std::os::unix::ffi::OsStringExt;

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::usage::NotRun;
use crate::config::reference::Source;
use crate::refusal::Exit;

/// As the real command line is built: the flags beneath a subcommand.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run {
        #[command(flatten)]
        start: Box<StartArgs>,
    },
}

fn parse(words: &[&str]) -> Result<(Option<PathBuf>, Flags), NotRun> {
    let words = ["portcullis", "run"].iter().chain(words);
    let Command::Run { start } = Cli::try_parse_from(words)?.command;
    Ok(start.into_parts())
}

fn flags(words: &[&str]) -> Flags {
    parse(words).unwrap_or_else(|error| panic!("{words:?}: {error:?}")).1
}

fn refused(words: &[&str]) -> String {
    match parse(words) {
        Err(NotRun::Refused(refusal)) => {
            assert_eq!(refusal.exit, Exit::Usage);
            format!("{} / {}", refusal.what, refusal.hint)
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

fn v<T: FromStr<Err = BadValue>>(text: &str) -> T {
    text.parse().unwrap()
}

#[test]
fn clap_finds_no_fault_in_the_flags() {
    Cli::command().debug_assert();
}

#[test]
fn no_flags_are_no_change() {
    assert_eq!(parse(&[]).unwrap(), (None, Flags::default()));
}

#[test]
fn the_short_case_of_the_manual_is_understood() {
    let flags = flags(&[
        "--secret",
        "api_key=age:secrets.env.age#API_KEY",
        "--read",
        "/app",
        "--connect",
        "443",
        "--",
        "python3",
        "bot.py",
        "--flag",
    ]);
    assert_eq!(flags.secrets[0].0, v("api_key"));
    assert_eq!(flags.secrets[0].1.source, Source::Age);
    assert_eq!((flags.read, flags.connect), (vec![v("/app")], vec![v("443")]));
    assert_eq!(flags.command, ["python3", "bot.py", "--flag"]);
}

#[test]
fn every_flag_reaches_its_field() {
    let (file, flags) = parse(&[
        "-c=x.toml",
        "--deadline=5s",
        "--mode=replace",
        "--log-format=auto",
        "--user=1:2",
        "--groups=3,audio",
        "--workdir=/w",
        "--env=TZ",
        "--env=A=b=c",
        "--stop-timeout=9s",
        "--stop-signal=INT",
        "--stop-before=USR1=1s",
        "--rewrite=HUP=none",
        "--shield=loader",
        "--sockets",
        "--notify=pass",
        "--limit=nofile=1KiB",
        "--limit=as=2GiB",
        "--secret=k=file:/s#k",
        "--max-age=k=3d",
        "--no-pipe",
        "--deliver-stdin",
        "--deliver-env=K,L",
        "--deliver-file=F=raw:k",
        "--read=/a,/b",
        "--read=/c",
        "--write=/d",
        "--execute=/e",
        "--connect=1,2",
        "--bind=3",
        "--dns=tcp",
        "--profile=strict",
        "--devices=/dev/x,/dev/y",
        "--explain-files",
        "--optional=landlock-tcp,landlock-scopes,explained-denials,write-xor-execute",
        "--require=bounding-set,read-only-root",
        "--age-identity=i",
        "--vault-address=https://v",
        "--vault-namespace=n",
        "--vault-ca=c",
        "--vault-role-id=r",
        "--vault-secret-id-file=s",
        "--vault-mount=old=kv1",
        "--fetch-user=7",
    ])
    .unwrap();
    let expected = Flags {
        deadline: Some(v("5s")),
        mode: Some(Mode::Replace),
        log_format: Some(LogFormat::Auto),
        command: vec![],
        user: Some(v("1:2")),
        groups: vec![v("3"), v("audio")],
        workdir: Some(v("/w")),
        env: vec![EnvFlag::Pass(v("TZ")), EnvFlag::Set(v("A"), "b=c".into())],
        stop_timeout: Some(v("9s")),
        stop_signal: Some(v("SIGINT")),
        stop_before: vec![StopBefore { signal: v("USR1"), wait: v("1s") }],
        rewrite: vec![(v("HUP"), v("none"))],
        shield: Some(Shield::Loader),
        sockets: true,
        notify: Some(Notify::Pass),
        limits: vec![(Limit::Nofile, v("1024")), (Limit::As, v("2GiB"))],
        secrets: vec![(v("k"), v("file:/s#k"))],
        max_ages: vec![(v("k"), v("3d"))],
        no_pipe: true,
        deliver_stdin: true,
        deliver_env: vec![v("K"), v("L")],
        deliver_file: vec![FileDelivery {
            var: v("F"),
            format: FileFormat::Raw,
            template: None,
            secrets: Some(vec![v("k")]),
        }],
        read: vec![v("/a"), v("/b"), v("/c")],
        write: vec![v("/d")],
        execute: vec![v("/e")],
        connect: vec![v("1"), v("2")],
        bind: vec![v("3")],
        dns: Some(Dns::Tcp),
        profile: Some(Profile::Strict),
        devices: vec![v("/dev/x"), v("/dev/y")],
        explain_files: true,
        optional: vec![
            Optional::LandlockTcp,
            Optional::LandlockScopes,
            Optional::ExplainedDenials,
            Optional::WriteXorExecute,
        ],
        require: vec![Require::BoundingSet, Require::ReadOnlyRoot],
        age_identity: Some("i".into()),
        age_passphrase_file: None,
        fetch_user: Some(v("7")),
        vault: VaultFlags {
            address: Some("https://v".into()),
            namespace: Some("n".into()),
            ca: Some("c".into()),
            role_id: Some("r".into()),
            secret_id_file: Some("s".into()),
            token_file: None,
            mounts: vec![("old".into(), MountKind::Kv1)],
        },
    };
    assert_eq!((file, flags), (Some("x.toml".into()), expected));
    assert_eq!(self::flags(&["--age-passphrase-file=p"]).age_passphrase_file.as_deref(), Some("p"));
    assert_eq!(self::flags(&["--vault-token-file=t"]).vault.token_file.as_deref(), Some("t"));
}

#[test]
fn every_word_of_a_closed_list_is_taken_by_the_configs_parser() {
    let mut cli = Cli::command();
    cli.build();
    let run = cli.find_subcommand("run").unwrap();
    let mut tried = 0;
    for argument in run.get_arguments() {
        for word in argument.get_possible_values() {
            let Some(name) = argument.get_long().filter(|_| argument.get_action().takes_values()) else {
                continue;
            };
            assert!(parse(&[&format!("--{name}={}", word.get_name())]).is_ok(), "--{name}={}", word.get_name());
            tried += 1;
        }
    }
    assert_eq!(tried, 2 + 3 + 4 + 2 + 3 + 2 + 5 + 2);
}

#[test]
fn dns_alone_is_true() {
    assert_eq!(flags(&["--dns", "--", "x"]).dns, Some(Dns::Udp));
    assert_eq!(flags(&["--dns=true"]).dns, Some(Dns::Udp));
    assert_eq!(flags(&["--dns=false"]).dns, Some(Dns::Off));
}

#[test]
fn a_file_delivery_has_a_format_and_what_it_holds() {
    let delivery = |text: &str| flags(&[&format!("--deliver-file={text}")]).deliver_file.remove(0);
    let made = |format, template: Option<&str>, secrets: Option<Vec<SecretName>>| FileDelivery {
        var: v("F"),
        format,
        template: template.map(str::to_owned),
        secrets,
    };
    assert_eq!(delivery("F=json"), made(FileFormat::Json, None, None));
    assert_eq!(delivery("F=dotenv:a,b"), made(FileFormat::Dotenv, None, Some(vec![v("a"), v("b")])));
    assert_eq!(delivery("F=template:t:x.tmpl"), made(FileFormat::Template, Some("t:x.tmpl"), None));
    assert_eq!(delivery("F=template"), made(FileFormat::Template, None, None));
}

#[test]
fn the_command_may_be_any_bytes_and_a_flag_may_not() {
    let odd = || OsString::from_vec(vec![b'x', 0xff]);
    let words = |before: &str| ["portcullis".into(), "run".into(), before.into(), "--".into(), odd()];
    let Command::Run { start } = Cli::try_parse_from(words("--dns")).unwrap().command;
    assert_eq!(start.into_parts().1.command, [odd()]);
    let error = Cli::try_parse_from(["portcullis".into(), "run".into(), "--vault-ca".into(), odd()]).unwrap_err();
    let NotRun::Refused(refusal) = NotRun::from(error) else { panic!() };
    assert_eq!(refusal.what, "a flag's value is not valid UTF-8");
}

#[test]
fn usage_errors_are_two_lines_and_exit_64() {
    for (words, said) in [
        (&["--conect=443"][..], "unknown flag `--conect` / did you mean `--connect`?"),
        (&["--zzz"], "unknown flag `--zzz` / `portcullis --help` and `portcullis run --help` list the flags"),
        (&["bot.py"], "unknown argument `bot.py` / write the command to start, and its arguments, after `--`"),
        (&["--mode=replac"], "--mode cannot be `replac` / did you mean `replace`?"),
        (&["--mode=x"], "--mode cannot be `x` / it can be: supervise, replace"),
        (&["--user"], "--user needs a value / write --user <USER[:GROUP]>"),
        (
            &["--deadline=5"],
            "--deadline: `5` is no duration / write a whole number and one of ms, s, m, h, d, such as \"30s\"",
        ),
        (&["--read=app"], "--read: `app` is a relative path / write it from the root, such as \"/app\""),
        (&["--connect=443,0"], "--connect: `0` is no port / ports are whole numbers from 1 to 65535, such as 443"),
        (
            &["--secret=k"],
            "--secret: there is no `=` in it / write a name, `=` and what belongs to it, as `portcullis run --help` shows",
        ),
        (
            &["--limit=core=0"],
            "--limit: `core` is none of the words known here / \
             it can be: as, cpu, data, fsize, memlock, nofile, nproc, stack",
        ),
        (&["--vault-mount=a=kv3"], "--vault-mount: `kv3` is none of the words known here / it can be: kv1, kv2, read"),
        (&["--user=1", "--user=2"], "--user is given twice / keep one of the two"),
        (
            &["--age-identity=a", "--age-passphrase-file=b"],
            "--age-identity and --age-passphrase-file exclude each other / keep one of the two",
        ),
    ] {
        assert_eq!(refused(words), said, "{words:?}");
    }
}

#[test]
fn a_secret_written_as_its_reference_is_not_echoed() {
    for words in [&["--secret=k=hunter2"][..], &["--secret", "k=hunter2"], &["--secret=hunter2"]] {
        let said = refused(words);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn commands_are_asked_for_and_suggested() {
    let said = |words: &[&str]| match Cli::try_parse_from(words).map_err(NotRun::from) {
        Err(NotRun::Refused(refusal)) => {
            assert_eq!(refusal.exit.code(), 64);
            format!("{} / {}", refusal.what, refusal.hint)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        said(&["portcullis"]),
        "no command is given / `portcullis --help` lists them; `portcullis run` is the main one"
    );
    assert_eq!(said(&["portcullis", "runn"]), "unknown command `runn` / did you mean `run`?");
    assert_eq!(
        said(&["portcullis", "python3"]),
        "unknown command `python3` / to start a program, write `portcullis run -- CMD`; `portcullis --help` lists the commands"
    );
}

#[test]
fn help_and_version_are_printed_and_no_refusal() {
    for words in [&["portcullis", "--help"][..], &["portcullis", "run", "-h"], &["portcullis", "--version"]] {
        let error = Cli::try_parse_from(words).unwrap_err();
        assert!(matches!(NotRun::from(error), NotRun::Printed(text) if text.contains("portcullis")));
    }
}

#[test]
fn every_flag_has_a_line_of_help() {
    let mut cli = Cli::command();
    cli.build();
    let run = cli.find_subcommand("run").unwrap();
    for argument in run.get_arguments().filter(|argument| argument.get_id() != "help") {
        assert!(argument.get_help().is_some(), "{}", argument.get_id());
    }
}
