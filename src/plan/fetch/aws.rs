//! AWS Secrets Manager, decided: which servers are asked, and which files say who we are.

use super::super::model::{AwsLoginPlan, AwsPlan};
use super::{Places, host_and_port};
use crate::config::model::{Aws, AwsAuth};
use crate::host::paths;
use crate::refusal::Refusal;

pub(super) fn decide(aws: &Aws, places: &Places<'_>) -> Result<AwsPlan, Refusal> {
    let region = aws.region.clone().ok_or_else(|| Refusal::internal("an aws without a region"))?;
    let login = login(&aws.auth, places)?;
    let endpoint = aws.endpoint.clone().unwrap_or_else(|| endpoint("secretsmanager", &region, aws.fips));
    let sts = aws.sts_endpoint.clone().unwrap_or_else(|| self::endpoint("sts", &region, aws.fips));
    let mut plan = AwsPlan {
        ca: authority(aws, places)?,
        min_tls: aws.tls.min_version,
        assume: aws.assume.clone(),
        ports: Vec::new(),
        resolve: false,
        endpoint,
        sts,
        region,
        login,
    };
    let needs_sts = plan.assume.is_some() || matches!(plan.login, AwsLoginPlan::WebIdentity { .. });
    let servers = [Some(&plan.endpoint), needs_sts.then_some(&plan.sts)].into_iter().flatten();
    for address in servers.map(|address| host_and_port(address)).collect::<Result<Vec<_>, _>>()? {
        plan.resolve |= address.0.parse::<std::net::IpAddr>().is_err();
        plan.ports.push(address.1);
    }
    plan.ports.extend(plan.login.near().map(|uri| near_port(uri)));
    plan.ports.sort_unstable();
    plan.ports.dedup();
    Ok(plan)
}

/// The region's own endpoint, by AWS's own pattern; China's partition has another domain.
fn endpoint(service: &str, region: &str, fips: bool) -> String {
    let fips = if fips { "-fips" } else { "" };
    let end = if region.starts_with("cn-") { "com.cn" } else { "com" };
    format!("https://{service}{fips}.{region}.amazonaws.{end}")
}

/// The port of an `http://` address that the config's checks have taken.
pub fn near_port(uri: &str) -> u16 {
    let authority = uri.trim_start_matches("http://").split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80)
}

fn authority(aws: &Aws, places: &Places<'_>) -> Result<std::path::PathBuf, Refusal> {
    match &aws.tls.ca {
        Some(ca) => places.file(ca, "aws.tls.ca"),
        None => paths::system_certificates().ok_or_else(|| {
            Refusal::config(
                "no certificate authority is given for aws, and this system has no bundle of its own",
                "install ca-certificates, or set aws.tls.ca to a PEM file",
            )
        }),
    }
}

fn login(auth: &AwsAuth, places: &Places<'_>) -> Result<AwsLoginPlan, Refusal> {
    let missing = || Refusal::internal("an aws login without what it needs");
    Ok(match auth.clone() {
        AwsAuth::WebIdentity { role_arn, token_file } => AwsLoginPlan::WebIdentity {
            role_arn: role_arn.ok_or_else(missing)?,
            token: places.file(&token_file.ok_or_else(missing)?, "aws.auth.token_file")?,
        },
        AwsAuth::Container { uri, token_file } => AwsLoginPlan::Container {
            uri: uri.ok_or_else(missing)?,
            token: token_file.map(|file| places.file(&file, "aws.auth.token_file")).transpose()?,
        },
        AwsAuth::Instance { endpoint } => AwsLoginPlan::Instance { endpoint },
        AwsAuth::Profile { file, profile } => {
            AwsLoginPlan::Profile { file: places.file(&file, "aws.auth.file")?, profile }
        }
        AwsAuth::Keys { access_key_id, secret_access_key_file } => AwsLoginPlan::Keys {
            access_key_id,
            secret: places.file(&secret_access_key_file, "aws.auth.secret_access_key_file")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_the_region() {
        assert_eq!(endpoint("sts", "eu-central-1", false), "https://sts.eu-central-1.amazonaws.com");
        assert_eq!(
            endpoint("secretsmanager", "us-gov-west-1", true),
            "https://secretsmanager-fips.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(
            endpoint("secretsmanager", "cn-north-1", false),
            "https://secretsmanager.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn a_near_address_has_port_80_or_its_own() {
        for (uri, port) in [
            ("http://169.254.169.254", 80),
            ("http://127.0.0.1:8080/x:9", 8080),
            ("http://[fd00:ec2::23]/v1", 80),
            ("http://[fd00:ec2::23]:81/v1", 81),
        ] {
            assert_eq!(near_port(uri), port, "{uri}");
        }
    }
}
