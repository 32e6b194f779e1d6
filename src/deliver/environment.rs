//! Variables that carry values: the fetcher writes `NAME=value` ended by NUL, the launcher alone reads them back.
//!
//! The last resort: the launcher then holds plaintext for the moment between the pipe and the exec.

use std::ffi::CString;

use zeroize::Zeroizing;

use super::Bundle;

/// The variables, each ended by NUL. `None` when a secret is missing.
pub fn encode(variables: &[(String, String)], bundle: &Bundle) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bundle.size_hint() + variables.len() * 80));
    for (variable, secret) in variables {
        out.extend_from_slice(variable.as_bytes());
        out.push(b'=');
        out.extend_from_slice(bundle.get(secret)?.expose().as_bytes());
        out.push(0);
    }
    Some(out)
}

/// What the launcher adds to the environment. `None` for anything but exactly these variables, in this order.
pub fn decode(bytes: &[u8], variables: &[String]) -> Option<Vec<CString>> {
    let body = match bytes {
        [] => return variables.is_empty().then(Vec::new),
        [body @ .., 0] => body,
        _ => return None,
    };
    let entries: Vec<&[u8]> = body.split(|b| *b == 0).collect();
    if entries.len() != variables.len() {
        return None;
    }
    let named =
        |entry: &[u8], variable: &str| entry.strip_prefix(variable.as_bytes()).is_some_and(|v| v.starts_with(b"="));
    let matches = entries.iter().zip(variables).all(|(entry, variable)| named(entry, variable));
    if !matches {
        return None;
    }
    entries.into_iter().map(|entry| CString::new(entry).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    fn names() -> Vec<String> {
        vec!["A".to_owned(), "B".to_owned()]
    }

    #[test]
    fn variables_survive_the_pipe() {
        let bundle =
            Bundle::new(vec![("a".into(), SecretText::new("1=\n2".into())), ("b".into(), SecretText::new("x".into()))]);
        let pairs = [("A".to_owned(), "a".to_owned()), ("B".to_owned(), "b".to_owned())];
        let bytes = encode(&pairs, &bundle).unwrap();
        let decoded = decode(&bytes, &names()).unwrap();
        assert_eq!(decoded, [CString::new("A=1=\n2").unwrap(), CString::new("B=x").unwrap()]);
    }

    #[test]
    fn anything_but_the_planned_variables_is_none() {
        for bytes in [&b"A=1\0"[..], b"A=1\0B=2", b"A=1\0B=2\0C=3\0", b"B=1\0A=2\0", b"A=1\0BB=2\0", b""] {
            assert_eq!(decode(bytes, &names()), None);
        }
    }
}
