//! The user's own template: `${secret:NAME}` becomes the value, `${secret:NAME|json}` the value escaped for the inside of a
//! JSON string, `$$` one dollar sign. Everything else stays as it is; an unknown `${...}` is refused.
//!
//! A plain placeholder refuses a value that could break out of the text around it: quotes, backslashes, control characters.

use zeroize::Zeroizing;

use super::{Bundle, json_escape};

const OPEN: &str = "${";

/// Fills the template. The error says where, in words, and never a value.
pub fn fill(template: &str, bundle: &Bundle) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut out =
        Zeroizing::new(Vec::with_capacity(template.len() + bundle.size_hint() * (1 + template.matches(OPEN).count())));
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.extend_from_slice(&rest.as_bytes()[..dollar]);
        let tail = &rest[dollar..];
        rest = if let Some(after) = tail.strip_prefix("$$") {
            out.push(b'$');
            after
        } else if let Some(inner) = tail.strip_prefix(OPEN) {
            let end = inner.find('}').ok_or("the template has a `${` without its `}`")?;
            placeholder(&mut out, &inner[..end], bundle)?;
            &inner[end + 1..]
        } else {
            out.push(b'$');
            &tail[1..]
        };
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn placeholder(out: &mut Vec<u8>, inner: &str, bundle: &Bundle) -> Result<(), String> {
    let shown: String = inner.chars().take(60).collect();
    let unknown = || format!("the template has `${{{shown}}}`, which is no ${{secret:NAME}} or ${{secret:NAME|json}}");
    let (name, form) = match inner.strip_prefix("secret:").ok_or_else(unknown)?.split_once('|') {
        None => (&inner["secret:".len()..], None),
        Some((name, form)) => (name, Some(form)),
    };
    let value = bundle.get(name).ok_or_else(|| {
        format!("the template names the secret `{}`, which is not delivered to it", shown.trim_start_matches("secret:"))
    })?;
    match form {
        Some("json") => {
            json_escape(out, value.expose());
            Ok(())
        }
        Some(_) => Err(unknown()),
        None if value.expose().chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\')) => Err(format!(
            "the value of `{name}` has quotes, backslashes or control characters, which could break the template: write ${{secret:{name}|json}} inside a JSON string"
        )),
        None => {
            out.extend_from_slice(value.expose().as_bytes());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    fn filled(template: &str, value: &str) -> Result<String, String> {
        let bundle = Bundle::new(vec![("key".to_owned(), SecretText::new(value.to_owned()))]);
        fill(template, &bundle).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn placeholders_become_values_and_the_rest_stays() {
        assert_eq!(filled("a=${secret:key} $b $$c $", "v").unwrap(), "a=v $b $c $");
        assert_eq!(filled(r#"{"k": "${secret:key|json}"}"#, "a\"b\n").unwrap(), r#"{"k": "a\"b\n"}"#);
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        assert_eq!(filled("${secret:key}", "${secret:key}$$").unwrap(), "${secret:key}$$");
    }

    #[test]
    fn what_could_break_out_is_refused_without_the_value() {
        for value in ["a\"b", "a'b", "a\\b", "a\nb"] {
            let error = filled("${secret:key}", value).unwrap_err();
            assert!(error.contains("|json") && !error.contains(value), "{error}");
        }
    }

    #[test]
    fn unknown_names_forms_and_open_ends_are_refused() {
        for template in ["${secret:other}", "${HOME}", "${secret:key|hex}", "${secret:key", "${}"] {
            assert!(filled(template, "v").is_err(), "{template}");
        }
    }
}
