//! A body that must be one flat JSON object: parsed strictly, names kept once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// No route takes as many; more would only make work, as each name is compared with all before it.
const MOST_MEMBERS: usize = 64;

/// The members in the order they came. A name that comes twice is an error: readers disagree on which one counts.
#[derive(Debug)]
pub(super) struct JsonObject(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.len() == MOST_MEMBERS {
                        return Err(A::Error::custom(format!("more than {MOST_MEMBERS} members")));
                    }
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("the member {name:?} comes twice")));
                    }
                    members.push((name, value));
                }
                Ok(JsonObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_very_many_members_is_refused_before_its_names_are_compared() {
        let members: Vec<_> = (0..6_000).map(|name| format!("\"{name}\":1")).collect();
        let object = serde_json::from_str::<JsonObject>(&format!("{{{}}}", members.join(",")));
        assert!(object.unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn one_object_with_each_name_once_and_nothing_after_it() {
        let parse = |text: &str| serde_json::from_str::<JsonObject>(text).map(|object| object.0.len());
        assert_eq!(parse(r#"{"a":1,"b":{"a":2}}"#).unwrap(), 2);
        for bad in
            ["", "[]", "1", r#"{"a":1,"a":1}"#, r#"{"a":1} x"#, r#"{"a":1,}"#, r#"{"a":01}"#, "{\"a\":NaN}"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
