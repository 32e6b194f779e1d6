//! `[aws]`: addresses that are servers over TLS, or of this machine and its links; references that fit the region; and the
//! environment's part in it, which is where things are and never a key.

use std::ffi::OsStr;
use std::path::Path;

use super::Check;
use crate::config::Config;
use crate::config::fault::{Fault, place};
use crate::config::flags::anchor;
use crate::config::load::Environment;
use crate::config::model::{Aws, AwsAuth, Secret};
use crate::config::reference::Source;
use crate::config::text::echo;
use crate::config::values::SecretName;
use crate::refusal::Refusal;

/// Takes the conventional variables of a pod, a task or a user for keys that are not given.
pub fn fill_from_environment(config: &mut Config, environment: &Environment, cwd: &Path) -> Result<(), Refusal> {
    let Some(aws) = &mut config.aws else { return Ok(()) };
    fill(&mut aws.region, environment, "AWS_REGION")?;
    match &mut aws.auth {
        AwsAuth::WebIdentity { role_arn, token_file } => {
            fill(role_arn, environment, "AWS_ROLE_ARN")?;
            fill_file(token_file, environment, "AWS_WEB_IDENTITY_TOKEN_FILE", cwd)
        }
        AwsAuth::Container { uri, token_file } => {
            fill(uri, environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
            let mut relative = None;
            fill(&mut relative, environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")?;
            *uri = uri.take().or(relative.map(|path| format!("http://169.254.170.2{path}")));
            fill_file(token_file, environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", cwd)
        }
        _ => Ok(()),
    }
}

fn fill_file(key: &mut Option<String>, environment: &Environment, name: &str, cwd: &Path) -> Result<(), Refusal> {
    if key.is_none() {
        fill(key, environment, name)?;
        key.as_mut().map_or(Ok(()), |file| anchor(file, cwd))?;
    }
    Ok(())
}

fn fill(key: &mut Option<String>, environment: &Environment, name: &str) -> Result<(), Refusal> {
    let Some(value) = environment.get(OsStr::new(name)).filter(|value| key.is_none() && !value.is_empty()) else {
        return Ok(());
    };
    let text = value.to_str().ok_or_else(|| {
        Refusal::config(format!("{name} is not valid UTF-8"), "correct it, or write the key in [aws]")
    })?;
    *key = Some(text.to_owned());
    Ok(())
}

pub fn check(config: &Config) -> Check {
    let wanted = || config.secrets.iter().filter(|(_, secret)| secret.from.source == Source::Aws);
    let Some(aws) = &config.aws else {
        return wanted().next().map_or(Ok(()), |(name, _)| Err(no_aws(name)));
    };
    let Some(region) = &aws.region else {
        return Err(Fault::said(
            place!["aws"],
            "no region is given for aws",
            "set aws.region, such as \"eu-central-1\", or AWS_REGION",
        ));
    };
    region_is_one(region)?;
    addresses(aws)?;
    if aws.tls.client_cert.is_some() || aws.tls.client_key.is_some() {
        let what = "aws asks for no client certificate";
        return Err(Fault::said(
            place!["aws", "tls"],
            what,
            "remove client_cert and client_key: aws.auth says who we are",
        ));
    }
    auth(&aws.auth)?;
    wanted().try_for_each(|(name, secret)| reference(region, name, secret))
}

fn no_aws(name: &SecretName) -> Fault {
    Fault::said(
        place!["secrets", name.as_str()],
        format!("`{name}` is in AWS Secrets Manager, but there is no [aws]"),
        "add [aws] with `region` and `auth`",
    )
}

/// It becomes a part of a host's name.
fn region_is_one(region: &str) -> Check {
    let plain = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && (4..=32).contains(&region.len()) && !region.starts_with('-') && !region.ends_with('-') {
        return Ok(());
    }
    let what = format!("`{}` is no region", echo(region));
    Err(Fault::said(place!["aws", "region"], what, "write it as AWS does, such as \"eu-central-1\""))
}

fn addresses(aws: &Aws) -> Check {
    for (key, address) in [("endpoint", &aws.endpoint), ("sts_endpoint", &aws.sts_endpoint)] {
        let Some(address) = address else { continue };
        let host = address.strip_prefix("https://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        if !host.is_some_and(super::vault::is_host_and_port) {
            return Err(Fault::said(
                place!["aws", key],
                format!("{key} is no https://host with an optional port"),
                "write \"https://vpce-0123.secretsmanager.eu-central-1.vpce.amazonaws.com\" or the like",
            ));
        }
        if aws.fips {
            return Err(Fault::said(
                place!["aws", "fips"],
                format!("fips chooses the endpoint, and {key} is given too"),
                "keep the one that is meant",
            ));
        }
    }
    Ok(())
}

fn auth(auth: &AwsAuth) -> Check {
    let needs = |key: &'static str, variable: &str| {
        Err(Fault::said(
            place!["aws", "auth", key],
            format!("neither `{key}` nor {variable} is given, by which aws is logged in to"),
            format!("set {key} in aws.auth, or see why {variable} is not set in this pod or task"),
        ))
    };
    match auth {
        AwsAuth::WebIdentity { role_arn: None, .. } => needs("role_arn", "AWS_ROLE_ARN"),
        AwsAuth::WebIdentity { token_file: None, .. } => needs("token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        AwsAuth::Container { uri: None, .. } => needs("uri", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        AwsAuth::Container { uri: Some(uri), .. } => near("uri", uri),
        AwsAuth::Instance { endpoint } => near("endpoint", endpoint),
        _ => Ok(()),
    }
}

/// Plain http carries credentials over the machine's own links alone: to AWS's link-local addresses and to loopback.
fn near(key: &'static str, uri: &str) -> Check {
    const NEAR: [&str; 6] =
        ["169.254.169.254", "169.254.170.2", "169.254.170.23", "127.0.0.1", "[fd00:ec2::254]", "[fd00:ec2::23]"];
    let authority = uri.strip_prefix("http://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    let host = authority.map(|authority| match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => host,
        _ => authority,
    });
    if host.is_some_and(|host| NEAR.contains(&host)) {
        return Ok(());
    }
    Err(Fault::said(
        place!["aws", "auth", key],
        format!("`{}` is no place of this machine's own for credentials", echo(uri)),
        format!("it is http:// and one of {}", NEAR.join(", ")),
    ))
}

fn reference(region: &str, name: &SecretName, secret: &Secret) -> Check {
    let mut parts = secret.from.path.split(':');
    let (Some("arn"), _, Some(service), Some(theirs)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Ok(());
    };
    let fail = |what: String, hint: String| Err(Fault::said(place!["secrets", name.as_str()], what, hint));
    if service != "secretsmanager" {
        return fail(format!("`{name}` is an ARN of {}, not of secretsmanager", echo(service)), "name a secret".into());
    }
    if theirs != region {
        return fail(
            format!("`{name}` is in {}, and aws.region is {region}", echo(theirs)),
            "one start asks one region: correct the ARN, or aws.region, or name the replica".into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for uri in [
            "http://169.254.169.254",
            "http://127.0.0.1:8080/x",
            "http://169.254.170.2/v2/credentials/abc",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://[fd00:ec2::254]:80",
        ] {
            assert_eq!(near("uri", uri), Ok(()), "{uri}");
        }
        for uri in [
            "http://169.254.169.254.evil.example/x",
            "http://127.0.0.1@evil.example/",
            "http://evil.example:80",
            "https://127.0.0.1",
            "http://10.0.0.1",
            "",
        ] {
            assert!(near("uri", uri).is_err(), "{uri}");
        }
    }
}
