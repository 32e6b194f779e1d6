//! The sources of secrets as a table: what each one's references may have, by the text alone.
//!
//! A new source is a row here, a table in `model.rs`, a file in `checks/` and in `plan/fetch/`, and a folder in `fetch/`.

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Age,
    Aws,
    Exec,
    File,
    Vault,
}

/// What a source's references may have.
pub struct Traits {
    pub name: &'static str,
    /// Whether a reference may end without `#field`, and then means the whole value.
    pub whole: bool,
    /// The keys after `?`.
    pub query: &'static [&'static str],
    /// Why nobody vouches for a time, where nobody does: `max_age` is then refused.
    pub timeless: Option<&'static str>,
    /// Whether a value that is no text can be handed on in base64.
    pub base64: bool,
}

impl Source {
    pub const ALL: [Source; 5] = [Source::Age, Source::Aws, Source::Exec, Source::File, Source::Vault];

    pub const fn traits(self) -> Traits {
        match self {
            Source::Age => Traits { name: "age", whole: false, query: &[], timeless: None, base64: false },
            Source::Aws => {
                Traits { name: "aws", whole: true, query: &["stage", "version"], timeless: None, base64: true }
            }
            Source::Exec => Traits {
                name: "exec",
                whole: true,
                query: &[],
                timeless: Some("nobody vouches for a time in what a command prints"),
                base64: false,
            },
            Source::File => Traits {
                name: "file",
                whole: false,
                query: &[],
                timeless: Some("a file's time is no proof of its age"),
                base64: false,
            },
            Source::Vault => Traits { name: "vault", whole: false, query: &["version"], timeless: None, base64: true },
        }
    }

    pub fn name(self) -> &'static str {
        self.traits().name
    }
}
