//! Programs of each runtime that do what programs do, in the default cage: nothing honest is broken, nothing is denied. And
//! those that run under the strict profile, where what it takes away is refused and told.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;

use portcullis::confine::profiles::default;
use support::start::{Place, UID, is_root, texts, user_line};

/// A server that gives each line back, on a port of its own.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a socket");
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // One write a line: a reader may take what has arrived for all there is.
                    if writer.write_all(format!("{line}\n").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Runs a command (program and script) in the cage and returns what it printed and what portcullis said.
fn in_the_cage(place: &Place, command: &[&str], more: &str) -> (String, String, Option<i32>) {
    let data = place.path("data");
    std::fs::create_dir(&data).expect("a directory");
    if is_root() {
        std::os::unix::fs::chown(&data, Some(UID), Some(UID)).expect("an owner");
    }
    let port = echo();
    let words = command.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let config = format!(
        "[workload]\ncommand = [{words}, \"{port}\", {data:?}]\n{user}\n[confine]\nread = [\"{app}\"]\nwrite = [{data:?}]\nconnect = [{port}]\n{more}\n",
        user = user_line(),
        app = place.app(),
    );
    let config = place.write("portcullis.toml", config, 0o644);
    texts(&place.run(&["run", "-c", config.to_str().expect("a path")]))
}

#[track_caller]
fn works(ran: (String, String, Option<i32>), printed: &str, may_be_denied: &[&str]) {
    let (out, err, code) = ran;
    assert_eq!((out.trim_end(), code), (printed, Some(0)), "{err}");
    let denials: Vec<&str> =
        err.lines().filter(|line| line.contains("portcullis: denied: ") && line.contains(" by ")).collect();
    let unexpected: Vec<&&str> =
        denials.iter().filter(|line| !may_be_denied.iter().any(|known| line.contains(known))).collect();
    assert!(unexpected.is_empty(), "honest calls were denied: {unexpected:#?}");
}

/// glibc asks nscd before it reads /etc/passwd or /etc/hosts, and goes on without.
const NSCD: &str = "socket(AF_UNIX, stream)";

fn script(place: &Place, name: &str, text: &str) -> String {
    place.write(&format!("app/{name}"), text, 0o644).display().to_string()
}

#[test]
fn python_does_what_python_does() {
    let place = Place::new();
    let script = script(&place, "everyday.py", include_str!("runtimes/everyday.py"));
    let ran = in_the_cage(&place, &["/usr/bin/python3", &script], "");
    let all = "threads | thread pool | asyncio | ssl | sqlite | subprocess | files | signals | names | ctypes | itself | fork";
    works(ran, all, &[NSCD, "socket(AF_INET, datagram", "socket(AF_INET6, datagram"]);
}

#[test]
fn node_does_what_node_does() {
    let place = Place::new();
    let script = script(&place, "everyday.mjs", include_str!("runtimes/everyday.mjs"));
    let ran = in_the_cage(&place, &["node", &script], "");
    works(ran, "files | net | names | crypto | workers | children | timers", &[NSCD, "datagram"]);
}

#[test]
fn bash_does_what_bash_does() {
    let place = Place::new();
    let script = script(&place, "everyday.sh", include_str!("runtimes/everyday.sh"));
    works(in_the_cage(&place, &["bash", &script], ""), "pipes | files | net | jobs | traps | environment", &[NSCD]);
}

/// Builds a program beside the scripts; the tests need its compiler, as the README says.
fn built(place: &Place, compiler: &mut Command) -> String {
    let output = compiler.current_dir(place.path("app")).output().expect("a compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.path("app/program").display().to_string()
}

#[test]
fn a_static_rust_program_does_what_programs_do() {
    let place = Place::new();
    script(&place, "everyday.rs", include_str!("runtimes/everyday.rs"));
    let mut rustc = Command::new("rustc");
    rustc.args(["-C", "target-feature=+crt-static", "-o", "program", "everyday.rs"]);
    let program = built(&place, &mut rustc);
    works(in_the_cage(&place, &[&program], ""), "threads | files | net | children", &[]);
}

#[test]
fn a_go_program_does_what_programs_do() {
    let place = Place::new();
    script(&place, "everyday.go", include_str!("runtimes/everyday.go"));
    let mut go = Command::new("go");
    go.args(["build", "-o", "program", "everyday.go"]).env("CGO_ENABLED", "0");
    let program = built(&place, &mut go);
    works(in_the_cage(&place, &[&program], ""), "goroutines | files | net | children", &[]);
}

#[test]
fn java_does_what_java_does() {
    let place = Place::new();
    script(&place, "Everyday.java", include_str!("runtimes/Everyday.java"));
    let compiled = Command::new("javac").arg("Everyday.java").current_dir(place.path("app")).output().expect("javac");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let app = place.app();
    let ran = in_the_cage(&place, &["java", "-cp", &app, "Everyday"], "");
    works(ran, "threads | files | net | nio | names | crypto | jit | children", &[NSCD, "datagram"]);
}

const STRICT: &str = "profile = \"strict\"";

/// What strict takes away is told with the line that gives it back.
#[track_caller]
fn strictly(ran: (String, String, Option<i32>), printed: &str, denied: &[&str]) {
    let (out, err, code) = ran;
    assert_eq!((out.trim_end(), code), (printed, Some(0)), "{err}");
    for call in denied {
        let told = err.lines().find(|line| line.contains(&format!("denied: {call} by ")));
        assert!(told.is_some_and(|line| line.contains("confine.profile = \"default\"")), "{call}: {err}");
    }
}

#[test]
fn python_runs_under_the_strict_profile() {
    let place = Place::new();
    let script = script(&place, "strict.py", include_str!("runtimes/strict.py"));
    let ran = in_the_cage(&place, &["/usr/bin/python3", &script], STRICT);
    let all = "threads | asyncio | ssl | sqlite | fork | no program | no code | no udp | no later code | held";
    let denied = ["execve", "mmap(writable and executable)", "mprotect(executable)", "socket(AF_INET, datagram)"];
    strictly(ran, all, &denied);
}

#[test]
fn rust_runs_under_the_strict_profile() {
    let place = Place::new();
    script(&place, "strict.rs", include_str!("runtimes/strict.rs"));
    let mut rustc = Command::new("rustc");
    rustc.args(["-C", "target-feature=+crt-static", "-o", "program", "strict.rs"]);
    let program = built(&place, &mut rustc);
    strictly(in_the_cage(&place, &[&program], STRICT), "threads | files | net | no program | no udp", &["execve"]);
}

#[test]
fn go_runs_under_the_strict_profile() {
    let place = Place::new();
    script(&place, "strict.go", include_str!("runtimes/strict.go"));
    let mut go = Command::new("go");
    go.args(["build", "-o", "program", "strict.go"]).env("CGO_ENABLED", "0");
    let program = built(&place, &mut go);
    strictly(in_the_cage(&place, &[&program], STRICT), "goroutines | files | net | no program | no code", &["execve"]);
}

/// A dynamic program without a shield has its loader executed by the kernel, which strict grants beside the program alone.
#[test]
fn a_dynamic_program_without_a_shield_runs_under_the_strict_profile() {
    let place = Place::new();
    let config = format!(
        "[workload]\ncommand = [\"/bin/echo\", \"here\"]\nshield = \"off\"\n{}\n[confine]\n{STRICT}\n",
        user_line()
    );
    let config = place.write("portcullis.toml", config, 0o644);
    let (out, err, code) = texts(&place.run(&["run", "-c", config.to_str().expect("a path")]));
    assert_eq!((out.as_str(), code), ("here\n", Some(0)), "{err}");
}

/// The calls of a program and its children, outside the cage.
fn calls_of(place: &Place, command: &[&str]) -> BTreeSet<String> {
    let data = place.path("traced");
    std::fs::create_dir_all(&data).expect("a directory");
    let log = place.path("calls");
    let mut strace = Command::new("/usr/bin/strace");
    strace.args(["-f", "-qq", "-o"]).arg(&log).args(command).arg(echo().to_string()).arg(&data);
    let output = strace.env("PATH", "/usr/local/go/bin:/usr/bin:/bin").output().expect("strace");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(&data).expect("a directory");
    let text = std::fs::read_to_string(&log).expect("the calls");
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    text.lines().filter_map(name).filter(|name| !name.contains(' ')).collect()
}

/// Every rule has somebody who needs it: a program here that was seen to make the call, or a line that says who else does.
#[test]
fn a_rule_that_nobody_uses_is_no_rule() {
    let place = Place::new();
    for (name, text) in [
        ("everyday.py", include_str!("runtimes/everyday.py")),
        ("everyday.mjs", include_str!("runtimes/everyday.mjs")),
        ("everyday.sh", include_str!("runtimes/everyday.sh")),
        ("everyday.rs", include_str!("runtimes/everyday.rs")),
        ("everyday.go", include_str!("runtimes/everyday.go")),
        ("Everyday.java", include_str!("runtimes/Everyday.java")),
    ] {
        script(&place, name, text);
    }
    let app = place.app();
    let mut go = Command::new("go");
    go.args(["build", "-o", "program", "everyday.go"]).env("CGO_ENABLED", "0");
    let mut used = calls_of(&place, &[&built(&place, &mut go)]);
    let mut rustc = Command::new("rustc");
    rustc.args(["-C", "target-feature=+crt-static", "-o", "program", "everyday.rs"]);
    used.extend(calls_of(&place, &[&built(&place, &mut rustc)]));
    let compiled = Command::new("javac").arg("Everyday.java").current_dir(&app).output().expect("javac");
    assert!(compiled.status.success());
    used.extend(calls_of(&place, &["java", "-cp", &app, "Everyday"]));
    for (runtime, name) in [("/usr/bin/python3", "everyday.py"), ("node", "everyday.mjs"), ("bash", "everyday.sh")] {
        used.extend(calls_of(&place, &[runtime, &format!("{app}/{name}")]));
    }
    assert!(used.len() > 80 && used.contains("futex"), "{used:?}");

    let rules =
        default::ALLOWED.iter().flat_map(|group| group.calls).chain(default::ALLOWED_IF.iter().map(|c| &c.call));
    let rules: BTreeSet<String> = rules.map(|(name, _)| name.trim_start_matches("SYS_").to_owned()).collect();
    let listed: BTreeSet<String> = include_str!("runtimes/unused.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split_once(':').expect("a reason").0.split(' ').map(str::to_owned))
        .collect();
    let strangers: Vec<&String> = listed.difference(&rules).collect();
    assert!(strangers.is_empty(), "listed and no rule: {strangers:?}");
    let unused: Vec<&String> = rules.difference(&used).collect();
    println!("{} rules, {} not used here: {unused:?}", rules.len(), unused.len());
    let nobody: Vec<&&String> = unused.iter().filter(|name| !listed.contains(**name)).collect();
    assert!(nobody.is_empty(), "no program here makes these calls, and nobody is named who does: {nobody:?}");
}
