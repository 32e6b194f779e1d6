//! The config's JSON Schema: generated from the types when the tests run, committed beside this file, printed by `schema`.
//!
//! The types that parse themselves describe themselves here, each by a pattern for exactly what its parser takes. What no
//! schema can say (bounds hidden in digits, rules over several keys) is listed in `tests/configs.rs`.

/// The committed schema.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod shapes {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use crate::config::lease_end::OnLeaseEnd;
    use crate::config::model::{Dns, Encoding, Secret};
    use crate::config::reference::Reference;
    use crate::config::signal::{Rewritten, SignalName};
    use crate::config::values::{AbsPath, EnvName, Id, Port, SecretName, Size, Span, TableName, UserSpec};

    /// Types that are a text of one pattern.
    macro_rules! pattern {
        ($($type:ident, $title:literal, $pattern:expr;)*) => { $(
            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "description": $title, "pattern": $pattern })
                }
            }
        )* };
    }

    const NAME: &str = "^[A-Za-z_][A-Za-z0-9_]{0,63}$";
    const AWS_NAME: &str = "[A-Za-z0-9/_+=.@:-]+";
    const IDENTIFIER: &str = "[A-Za-z_][A-Za-z0-9_]{0,63}";
    /// Digits alone are a number of at most 32 bits, whatever zeros stand before it; all else but `:` is a name.
    const ID: &str = r"(?:0*[0-9]{1,10}|[^\x00\n:]*[^\x00\n:0-9][^\x00\n:]*)";
    /// One part of an absolute path: no NUL byte, neither `.` nor `..`, maybe empty.
    const PART: &str = r"(?:[^/.\x00][^/\x00]*|\.[^/.\x00][^/\x00]*|\.\.[^/\x00]+)?";
    const QUERY: &str = r"(?:\?[^=&CTRL]+=[^&CTRL]+(?:&[^=&CTRL]+=[^&CTRL]+)*)?";
    /// A plain field, or a pointer in which each `~` is `~0` or `~1`.
    const FIELD: &str = r"(?:[^?/CTRL][^?CTRL]*|/(?:[^?~CTRL]|~[01])*)";
    const VAULT_PART: &str = r"(?:[^#?/.CTRL][^#?/CTRL]*|\.[^#?/.CTRL][^#?/CTRL]*|\.\.[^#?/CTRL]+)";

    /// All but KILL, STOP, CHLD and URG, by name and by number.
    const SIGNAL: &str = "(?:(?:SIG)?(?:HUP|INT|QUIT|ILL|TRAP|ABRT|BUS|FPE|USR1|SEGV|USR2|PIPE|ALRM|TERM|STKFLT|CONT|TSTP|TTIN|TTOU|XCPU|XFSZ|VTALRM|PROF|WINCH|IO|PWR|SYS|RTMIN(?:\\+(?:0?[0-9]|[12][0-9]|30))?|RTMAX(?:-(?:0?[0-9]|[12][0-9]|30))?|0?[1-8]|1[0-68]|2[0-24-9]|[3-5][0-9]|6[0-4]))";

    fn reference_pattern() -> String {
        let path = "[^#?CTRL]+";
        let file = r"(?:[^?/.CTRL][^?/CTRL]*|\.[^?/.CTRL][^?/CTRL]*|\.\.[^?/CTRL]+)";
        let age = format!("age:{path}#{FIELD}");
        let file = format!("file:{path}#{file}");
        let vault = format!("vault:{VAULT_PART}(?:/{VAULT_PART})*#{FIELD}");
        let whole = format!("(?:exec:{IDENTIFIER}|aws:{AWS_NAME})");
        let with_field = format!("(?:{age}|{whole}#{FIELD}|{file}|{vault}){QUERY}");
        // Without a field a `#` after the `?` is a field in the wrong place.
        let whole = format!("{whole}{}", QUERY.replace("CTRL", "#CTRL"));
        format!("^(?:{with_field}|{whole})$").replace("CTRL", r"\x00-\x1f\x7f-\x9f")
    }

    pattern! {
        Span, "a length of time: a whole number and one of ms, s, m, h, d", "^0*[1-9][0-9]*(?:ms|s|m|h|d)$";
        AbsPath, "an absolute path without `.` or `..` parts", format!("^(?:/{PART})+$");
        SecretName, "the name of a secret", NAME;
        EnvName, "the name of an environment variable", NAME;
        TableName, "the name of a table", NAME;
        Id, "a name or a number", format!("^{ID}$");
        UserSpec, "a user and, after a colon, a group: names or numbers", format!("^{ID}(?::{ID})?$");
        Reference, "where a value is: source:path#field", reference_pattern();
        OnLeaseEnd, "stop, ignore or signal:NAME", format!("^(?:stop|ignore|signal:{SIGNAL})$");
        SignalName, "a signal, such as INT, USR1 or RTMIN+3", format!("^{SIGNAL}$");
        Rewritten, "a signal, or none", format!("^(?:none|{SIGNAL})$");
    }

    /// For the defaults that stand in the schema.
    macro_rules! shown {
        ($($type:ident)*) => { $(
            impl serde::Serialize for $type {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }
        )* };
    }
    shown!(Span UserSpec SignalName OnLeaseEnd);

    impl JsonSchema for Size {
        fn schema_name() -> Cow<'static, str> {
            "Size".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "a whole number, or a text with KiB, MiB or GiB",
                "anyOf": [
                    { "type": "integer", "minimum": 0 },
                    { "type": "string", "pattern": "^[0-9]+(?:KiB|MiB|GiB)?$" },
                ],
            })
        }
    }

    impl JsonSchema for Port {
        fn schema_name() -> Cow<'static, str> {
            "Port".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "integer", "description": "a TCP port", "minimum": 1, "maximum": 65535 })
        }
    }

    impl JsonSchema for Dns {
        fn schema_name() -> Cow<'static, str> {
            "Dns".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "enum": [true, false, "tcp"] })
        }
    }

    impl JsonSchema for Secret {
        fn schema_name() -> Cow<'static, str> {
            "Secret".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let from = generator.subschema_for::<Reference>();
            let mut max_age = generator.subschema_for::<Span>();
            max_age.insert("description".into(), "a value that its store set longer ago than this is refused".into());
            let mut encoding = generator.subschema_for::<Encoding>();
            encoding.insert("description".into(), "handed on in base64, whatever it is, a text or not".into());
            json_schema!({
                "description": "a reference, or a table with its conditions",
                "anyOf": [
                    from,
                    {
                        "type": "object",
                        "properties": { "from": from, "max_age": max_age, "encoding": encoding },
                        "required": ["from"],
                        "additionalProperties": false,
                    },
                ],
            })
        }
    }
}

#[cfg(test)]
mod tests;
