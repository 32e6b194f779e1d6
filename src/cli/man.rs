//! The manual page, out of the tables that the program itself uses: clap's commands and flags, the config's schema, the exit
//! codes. Only the environment, the files and the signals are told here in words; `tests/documents.rs` holds them to the code.
//!
//! man(7) macros. Nothing here may know a step of the start.

mod keys;

use clap::{Arg, Command};

use crate::refusal::Exit;

const ENVIRONMENT: [(&str, &str); 14] = [
    ("PORTCULLIS_CONFIG", "The config, where neither -c nor a command is given."),
    (
        "PORTCULLIS_LOG",
        "The level of the debug lines on standard error: error, warn, info, debug or trace. No level shows a value.",
    ),
    ("VAULT_ADDR", "The address of the store, where the config gives none."),
    ("VAULT_NAMESPACE", "Its namespace, where the config gives none."),
    ("VAULT_CACERT", "The PEM bundle that alone is trusted, where the config gives none."),
    ("VAULT_SKIP_VERIFY", "Set to a true value it is refused: verification cannot be turned off."),
    ("AWS_REGION", "The region of AWS Secrets Manager, where the config gives none."),
    (
        "AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE",
        "For method web-identity, where the config gives no role_arn or token_file.",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "For method container, where the config gives no uri or token_file. Keys are taken from no variable.",
    ),
    ("CREDENTIALS_DIRECTORY", "What $CREDENTIALS_DIRECTORY in a path of the config stands for (systemd.exec(5))."),
    (
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "Sockets of a service manager, handed on where workload.sockets is true.",
    ),
    (
        "NOTIFY_SOCKET",
        "Where a service manager waits for READY=1 (sd_notify(3)). Portcullis says it once the program runs, or hands the variable on where workload.notify is pass.",
    ),
    (
        "WATCHDOG_USEC, WATCHDOG_PID",
        "A service manager's watchdog, handed on with the program's own pid where workload.notify is pass; refused where it is not, for nobody would answer.",
    ),
    (
        "JOURNAL_STREAM",
        "Where it names standard error, each line begins with its level for the journal (sd-daemon(3)).",
    ),
];

/// For the workload, which gets PATH, HOME, these, and what the config passes or sets; nothing else.
const WORKLOADS: (&str, &str) = (
    "PORTCULLIS_CREDENTIALS_FD",
    "Set for the program: the number of the descriptor with the credentials, one JSON object, which can be read once. It is 3, or 3 and the number of sockets handed on. Not set where deliver.pipe is false or there are no secrets.",
);

const FILES: [(&str, &str); 3] = [
    ("/etc/portcullis/portcullis.toml", "The config, where nothing else is named."),
    ("/etc/portcullis/age.key", "The identity that opens age: files, where the config names none."),
    ("/proc/self/fd/N", "What the variable of a deliver.file holds: a sealed file in memory, the workload's own."),
];

/// The whole page.
pub fn page(mut command: Command) -> String {
    command.build();
    let mut page = Page::default();
    page.text(&format!(".TH PORTCULLIS 1 \"\" \"portcullis {}\"", env!("CARGO_PKG_VERSION")));
    page.section("NAME");
    page.line(&format!("portcullis \\- {}", escape(&about(&command))));
    page.section("SYNOPSIS");
    for sub in commands(&command) {
        page.text(".br");
        page.line(&escape(&usage(sub)));
    }
    page.section("DESCRIPTION");
    page.line(&escape(&command.get_long_about().map(ToString::to_string).unwrap_or_default()));
    page.section("COMMANDS");
    commands(&command).for_each(|sub| page.command(sub, &command));
    page.section("CONFIGURATION");
    page.line(&escape(
        "TOML; `portcullis schema` prints the same as a JSON Schema for editors. Unknown keys are refused.",
    ));
    for key in keys::all() {
        page.item(&key.name, &key.text());
    }
    page.section("EXIT STATUS");
    page.line(&escape("The program's own, or 128 and the number of the signal that ended it. Before it has started:"));
    for (exit, meaning) in Exit::TABLE {
        page.item(&exit.code().to_string(), meaning);
    }
    page.section("ENVIRONMENT");
    for (name, text) in ENVIRONMENT.into_iter().chain([WORKLOADS]) {
        page.item(name, text);
    }
    page.section("FILES");
    for (name, text) in FILES {
        page.item(name, text);
    }
    page.0
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Every command that does something, seal's own among them.
fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    let own = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    own.flat_map(|sub| -> Box<dyn Iterator<Item = &Command>> {
        match sub.has_subcommands() {
            true => Box::new(sub.get_subcommands().filter(|sub| sub.get_name() != "help")),
            false => Box::new(std::iter::once(sub)),
        }
    })
}

fn usage(command: &Command) -> String {
    let text = command.clone().render_usage().to_string();
    text.trim_start_matches("Usage: ").trim().to_owned()
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn text(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Already escaped. An empty line is a new paragraph; a line that starts like a macro is none.
    fn line(&mut self, text: &str) {
        for line in text.lines() {
            match line {
                "" => self.text(".PP"),
                _ if line.starts_with(['.', '\'']) => self.text(&format!("\\&{line}")),
                _ => self.text(line),
            }
        }
    }

    fn section(&mut self, name: &str) {
        self.text(&format!(".SH {name}"));
    }

    fn item(&mut self, name: &str, text: &str) {
        self.text(".TP");
        self.line(&format!("\\fB{}\\fR", escape(name)));
        self.line(&escape(text));
    }

    /// `check` takes the flags of `run`, which are told once.
    fn command(&mut self, command: &Command, all: &Command) {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        self.text(&format!(".SS {}", escape(name)));
        self.line(&escape(&about(command)));
        let run = all.find_subcommand("run").filter(|_| command.get_name() == "check");
        if run.is_some() {
            self.text(".PP");
            self.line("It takes every flag of run, and these:");
        }
        let shown = |arg: &&Arg| {
            let told = run.is_some_and(|run| run.get_arguments().any(|known| known.get_id() == arg.get_id()));
            !told && !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
        };
        for arg in command.get_arguments().filter(shown) {
            self.item(&argument(arg), &described(arg));
        }
    }
}

/// As clap writes it in help: `-c, --config <FILE>`.
fn argument(arg: &Arg) -> String {
    match arg.get_short() {
        Some(short) => format!("-{short}, {arg}"),
        None => arg.to_string(),
    }
}

fn described(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let takes_words = arg.get_action().takes_values();
    let words: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if takes_words && !words.is_empty() {
        text.push_str(&format!(" [{}]", words.join(", ")));
    }
    text
}

/// Text as man(7) takes it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_a_macro_or_an_escape() {
        let mut page = Page::default();
        page.item("-x", ".SH no\n'no\na\\b");
        assert_eq!(page.0, ".TP\n\\fB\\-x\\fR\n\\&.SH no\n\\&'no\na\\eb\n");
    }
}
