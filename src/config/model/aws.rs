//! `[aws]`: which region's secrets manager, and who we are to it.

use serde::Deserialize;

use super::Tls;

/// AWS Secrets Manager, and how to log in. Nothing is looked for in the environment but what is named here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// Such as `eu-central-1`; `AWS_REGION` if not given.
    pub region: Option<String>,
    /// `https://host[:port]` of a VPC endpoint; the region's own if not given.
    pub endpoint: Option<String>,
    /// The same for the security token service.
    pub sts_endpoint: Option<String>,
    /// The region's FIPS endpoints.
    #[serde(default)]
    pub fips: bool,
    pub auth: AwsAuth,
    /// A role to take on after the login.
    pub assume: Option<Assume>,
    /// How the store is recognised.
    #[serde(default)]
    pub tls: Tls,
}

/// A role to take on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Assume {
    pub role_arn: String,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    pub external_id: Option<String>,
}

/// How to log in; `method` is the key that tells which.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(tag = "method", rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum AwsAuth {
    /// By the projected token of a pod's service account (IRSA), or another OpenID token.
    WebIdentity {
        /// `AWS_ROLE_ARN` if not given.
        role_arn: Option<String>,
        /// The token stands in this file, alone; `AWS_WEB_IDENTITY_TOKEN_FILE` if not given.
        token_file: Option<String>,
    },
    /// By the credentials of an ECS task or an EKS pod identity.
    Container {
        /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, or `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` below `http://169.254.170.2`, if not given.
        uri: Option<String>,
        /// The token that is sent along; `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` if not given.
        token_file: Option<String>,
    },
    /// By the instance's role: IMDSv2, never v1.
    Instance {
        #[cfg_attr(test, schemars(default = "imds_endpoint"))]
        endpoint: String,
    },
    /// By a section of a credentials file.
    Profile {
        /// As `aws configure` writes it.
        file: String,
        #[cfg_attr(test, schemars(default = "default_profile"))]
        profile: String,
    },
    /// By a key of a user.
    Keys {
        /// Which is no secret.
        access_key_id: String,
        /// The secret access key stands in this file, alone.
        secret_access_key_file: String,
    },
}

pub fn imds_endpoint() -> String {
    "http://169.254.169.254".to_owned()
}

pub fn default_profile() -> String {
    "default".to_owned()
}
