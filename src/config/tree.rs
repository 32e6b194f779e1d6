//! The parsed TOML tree as a serde deserializer whose errors are [`Fault`]s: exact key, exact place.
//!
//! The `toml` crate's own deserializer flattens its errors into English and loses places inside tagged tables. Nothing
//! here knows a key of the config, but one: `method`, which comes first so that a type may choose its shape by it.

use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::right_word;
use super::fault::{Fault, Kind, Step};
use super::text::{BadValue, echo};

type Value<'t> = Spanned<DeValue<'t>>;

/// One value of the tree.
pub struct Node<'a, 't> {
    value: &'a DeValue<'t>,
    span: Range<usize>,
}

impl<'a, 't> Node<'a, 't> {
    pub fn new(spanned: &'a Value<'t>) -> Self {
        Node { value: spanned.get_ref(), span: spanned.span() }
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Boolean(on) => visitor.visit_bool(*on),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(n) => visitor.visit_i64(n),
                Err(_) => Err(Error::invalid_type(Unexpected::Other("a number of more than 64 bits"), &visitor)),
            },
            DeValue::Float(digits) => visitor.visit_f64(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Datetime(_) => Err(Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            DeValue::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            DeValue::Table(table) => visitor.visit_map(Entries::new(table)),
        }
    }

    fn word<'de, V: Visitor<'de>>(&self, known: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::String(text) => visitor.visit_enum(Word(text)),
            _ => Err(Fault::new(Kind::WrongType { got: self.kind().to_owned(), expected: one_of(known) })),
        }
    }

    fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}

fn one_of(known: &[&str]) -> String {
    match known {
        [only] => format!("\"{only}\""),
        [most @ .., last] => format!("one of \"{}\" and \"{last}\"", most.join("\", \"")),
        [] => "nothing".to_owned(),
    }
}

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor).map_err(|fault| fault.at(self.span))
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.word(known, visitor).map_err(|fault| fault.at(self.span))
    }
    /// serde's derived structs would take a list of their values in order: a config never means that.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::Table(_) => self.deserialize_any(visitor),
            _ => {
                let kind = Kind::WrongType { got: self.kind().to_owned(), expected: "a table".to_owned() };
                Err(Fault::new(kind).at(self.span))
            }
        }
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// A list's items; a fault learns its index on the way out.
struct Items<'a, 't> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Value<'t>>>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(Node::new(item)).map(Some).map_err(|fault| fault.below(Step::Index(index)))
    }
}

/// A table's entries; a fault learns its key on the way out.
struct Entries<'a, 't> {
    rest: std::vec::IntoIter<(&'a str, Range<usize>, &'a Value<'t>)>,
    current: Option<(&'a str, &'a Value<'t>)>,
}

impl<'a, 't> Entries<'a, 't> {
    fn new(table: &'a DeTable<'t>) -> Self {
        let mut all: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        // In the order of the text, so that the first error is the topmost one.
        all.sort_by_key(|(key, span, _)| (*key != "method", span.start));
        Entries { rest: all.into_iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, span, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.current = Some((key, value));
        seed.deserialize(Key(key)).map(Some).map_err(|fault| fault.at(span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.current.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Node::new(value)).map_err(|fault| fault.below(key.into()))
    }
}

/// A key. One that is none of a closed list is an unknown key, not an unknown word.
struct Key<'a>(&'a str);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if !known.contains(&self.0) {
            return Err(Error::unknown_field(self.0, known));
        }
        visitor.visit_enum(Word(self.0))
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A text that names one variant of an enum.
struct Word<'a>(&'a str);

impl<'de, 'a> EnumAccess<'de> for Word<'a> {
    type Error = Fault;
    type Variant = Unit;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Fault> {
        let name: StrDeserializer<'a, Fault> = self.0.into_deserializer();
        seed.deserialize(name).map(|variant| (variant, Unit))
    }
}

/// The config's enums carry nothing beside their name.
struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Fault;
    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Error::custom("a word carries no value"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Error::custom("a word carries no list"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Error::custom("a word carries no table"))
    }
}

/// The place of the key or item at `path`, if the text has it.
pub fn locate(root: &DeTable<'_>, path: &[Step]) -> Option<Range<usize>> {
    let (Step::Key(first), rest) = path.split_first()? else {
        return None;
    };
    let (key, value) = root.get_key_value(first.as_str())?;
    locate_in(key.span(), value, rest)
}

fn locate_in(found: Range<usize>, value: &Value<'_>, path: &[Step]) -> Option<Range<usize>> {
    match (path.split_first(), value.get_ref()) {
        (None, _) => Some(found),
        (Some((Step::Key(_), _)), DeValue::Table(table)) => locate(table, path),
        (Some((Step::Index(index), rest)), DeValue::Array(items)) => {
            let item = items.get(*index)?;
            locate_in(item.span(), item, rest)
        }
        _ => None,
    }
}

/// A word of a closed list, such as a [`super::model::Mode`], as the command line gives it.
pub fn parse_word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, BadValue> {
    T::deserialize(WordAlone(text)).map_err(|fault| match fault.kind {
        Kind::UnknownWord { word, known } => BadValue {
            what: format!("`{}` is none of the words known here", echo(&word)),
            hint: right_word(&word, known),
        },
        Kind::WrongValue { got, expected } => BadValue {
            what: format!("`{}` is none of the words known here", echo(&got)),
            hint: format!("it can be {expected}"),
        },
        other => BadValue { what: format!("`{}` is no value here", echo(text)), hint: format!("{other:?}") },
    })
}

struct WordAlone<'a>(&'a str);

impl<'de> Deserializer<'de> for WordAlone<'_> {
    type Error = Fault;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Word(self.0))
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
