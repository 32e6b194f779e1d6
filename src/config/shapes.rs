//! The config's types that accept two shapes: each visitor says what it expects, so that errors name it.
//!
//! Nothing here but `Deserialize` for types of `model.rs`.

mod aws;

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fault::complain;
use super::model::{
    Addresses, Dns, Encoding, Secret, VaultAuth, Wrapping, approle_mount, cert_mount, jwt_mount, kubernetes_mount,
    service_account_token,
};
use super::values::Span;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            from: super::reference::Reference,
            max_age: Option<Span>,
            encoding: Option<Encoding>,
        }
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference such as \"age:secrets.env.age#API_KEY\", or a table with `from` and `max_age`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                let from = text.parse().map_err(|bad| complain(&bad))?;
                Ok(Secret { from, max_age: None, encoding: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Secret { from: table.from, max_age: table.max_age, encoding: table.encoding })
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address such as \"https://vault.internal:8200\", or a list of the addresses of one cluster",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Addresses, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Addresses)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for Dns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Dns;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"tcp\"")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Dns, E> {
                Ok(if on { Dns::Udp } else { Dns::Off })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dns, E> {
                match text {
                    "tcp" => Ok(Dns::Tcp),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

/// The `method` stands first (the tree sees to it) and chooses which keys the table has: an unknown one keeps its place.
impl<'de> Deserialize<'de> for VaultAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = VaultAuth;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { method = \"token\", token_file = \"/run/vault-token\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VaultAuth, A::Error> {
                if map.next_key::<String>()?.as_deref() != Some("method") {
                    return Err(de::Error::missing_field("method"));
                }
                let method = map.next_value()?;
                let rest = de::value::MapAccessDeserializer::new(map);
                match method {
                    Method::Approle => Approle::deserialize(rest).map(Into::into),
                    Method::Kubernetes => Kubernetes::deserialize(rest).map(Into::into),
                    Method::Jwt => Jwt::deserialize(rest).map(Into::into),
                    Method::Cert => Cert::deserialize(rest).map(Into::into),
                    Method::Token => Token::deserialize(rest).map(Into::into),
                }
            }
        }
        deserializer.deserialize_map(Shape)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Approle,
    Kubernetes,
    Jwt,
    Cert,
    Token,
}

/// `flatten` would lose the place of an unknown key, so the three keys stand in both tables.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Approle {
    role_id: String,
    secret_id_file: String,
    #[serde(default = "approle_mount")]
    mount: String,
    #[serde(default)]
    wrapped: bool,
    wrapped_path: Option<String>,
    #[serde(default)]
    single_use: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Kubernetes {
    role: String,
    #[serde(default = "service_account_token")]
    token_file: String,
    #[serde(default = "kubernetes_mount")]
    mount: String,
    audience: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwt {
    role: String,
    token_file: String,
    #[serde(default = "jwt_mount")]
    mount: String,
    audience: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Cert {
    role: Option<String>,
    #[serde(default = "cert_mount")]
    mount: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token_file: String,
    #[serde(default)]
    wrapped: bool,
    wrapped_path: Option<String>,
    #[serde(default)]
    single_use: bool,
}

impl From<Approle> for VaultAuth {
    fn from(table: Approle) -> Self {
        let Approle { role_id, secret_id_file, mount, wrapped, wrapped_path, single_use } = table;
        VaultAuth::Approle { role_id, secret_id_file, mount, wrapping: Wrapping { wrapped, wrapped_path, single_use } }
    }
}

impl From<Kubernetes> for VaultAuth {
    fn from(Kubernetes { role, token_file, mount, audience }: Kubernetes) -> Self {
        VaultAuth::Kubernetes { role, token_file, mount, audience }
    }
}

impl From<Jwt> for VaultAuth {
    fn from(Jwt { role, token_file, mount, audience }: Jwt) -> Self {
        VaultAuth::Jwt { role, token_file, mount, audience }
    }
}

impl From<Cert> for VaultAuth {
    fn from(Cert { role, mount }: Cert) -> Self {
        VaultAuth::Cert { role, mount }
    }
}

impl From<Token> for VaultAuth {
    fn from(Token { token_file, wrapped, wrapped_path, single_use }: Token) -> Self {
        VaultAuth::Token { token_file, wrapping: Wrapping { wrapped, wrapped_path, single_use } }
    }
}
