//! `auth` of `[aws]`: the `method` stands first and chooses which keys the table has.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::config::model::{AwsAuth, default_profile, imds_endpoint};

impl<'de> Deserialize<'de> for AwsAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = AwsAuth;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { method = \"web-identity\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AwsAuth, A::Error> {
                if map.next_key::<String>()?.as_deref() != Some("method") {
                    return Err(de::Error::missing_field("method"));
                }
                let method = map.next_value()?;
                let rest = de::value::MapAccessDeserializer::new(map);
                match method {
                    Method::WebIdentity => WebIdentity::deserialize(rest)
                        .map(|WebIdentity { role_arn, token_file }| AwsAuth::WebIdentity { role_arn, token_file }),
                    Method::Container => Container::deserialize(rest)
                        .map(|Container { uri, token_file }| AwsAuth::Container { uri, token_file }),
                    Method::Instance => {
                        Instance::deserialize(rest).map(|Instance { endpoint }| AwsAuth::Instance { endpoint })
                    }
                    Method::Profile => {
                        Profile::deserialize(rest).map(|Profile { file, profile }| AwsAuth::Profile { file, profile })
                    }
                    Method::Keys => Keys::deserialize(rest).map(|Keys { access_key_id, secret_access_key_file }| {
                        AwsAuth::Keys { access_key_id, secret_access_key_file }
                    }),
                }
            }
        }
        deserializer.deserialize_map(Shape)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    WebIdentity,
    Container,
    Instance,
    Profile,
    Keys,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WebIdentity {
    role_arn: Option<String>,
    token_file: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    uri: Option<String>,
    token_file: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    #[serde(default = "imds_endpoint")]
    endpoint: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    file: String,
    #[serde(default = "default_profile")]
    profile: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    access_key_id: String,
    secret_access_key_file: String,
}
