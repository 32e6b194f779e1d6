//! The config's types that accept two shapes: each visitor says what it expects, so that errors name it.
//!
//! Nothing here but `Deserialize` for types of `model.rs`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::model::{Dns, Secret};
use super::values::Span;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            from: super::reference::Reference,
            max_age: Option<Span>,
        }
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference such as \"age:secrets.env.age#API_KEY\", or a table with `from` and `max_age`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret { from: text.parse().map_err(E::custom)?, max_age: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Secret { from: table.from, max_age: table.max_age })
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
