//! Strict reading of a body's members: each is taken by name and checked, and what nobody took is an error. All errors
//! are reported at once, each with its JSON pointer.

use std::str::FromStr;

use http::{HeaderMap, StatusCode, header};
use money::{Currency, Minor};
use serde_json::Value;
use service_kit::{Problem, RawRequest};

use super::json_object::JsonObject;

/// The members not taken yet, and the errors found so far.
pub(super) struct Fields {
    members: Vec<(String, Value)>,
    errors: Vec<(String, &'static str)>,
}

impl Fields {
    /// The body of a request: `application/json` (else 415) holding one object (else 400).
    pub(super) fn of(request: &RawRequest) -> Result<Self, Problem> {
        if !is_json(&request.headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type_unsupported",
                "send the body as application/json",
            ));
        }
        let object: JsonObject = serde_json::from_slice(&request.body).map_err(|error| {
            Problem::bad_request("body_invalid", format!("the body is not what this route takes: {error}"))
        })?;
        Ok(Self { members: object.0, errors: Vec::new() })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.swap_remove(place).1)
    }

    fn wrong(&mut self, name: &str, code: &'static str) {
        // JSON pointer escapes, RFC 6901 section 3
        let escaped = name.replace('~', "~0").replace('/', "~1");
        self.errors.push((format!("/{escaped}"), code));
    }

    /// A member that must be there; `None` after an error that is noted.
    fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let Some(value) = self.take(name) else {
            self.wrong(name, "missing");
            return None;
        };
        parse(&value).map_err(|code| self.wrong(name, code)).ok()
    }

    /// A member that may be left out or null.
    fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        match self.take(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => parse(&value).map(Some).map_err(|code| self.wrong(name, code)).ok(),
        }
    }

    /// A payable amount: a JSON integer of minor units.
    pub(super) fn amount(&mut self, name: &str) -> Option<Minor> {
        self.required(name, |value| {
            let number = value.as_number().ok_or("not_an_integer")?;
            // 1e3 and 10.0 are floats to JSON readers, and no float is ever money
            let amount = match number.as_i64() {
                Some(amount) => Minor(amount),
                None if number.is_u64() => return Err("out_of_range"),
                None => return Err("not_an_integer"),
            };
            amount.payable().map_err(|_| "out_of_range")
        })
    }

    /// An ISO 4217 code.
    pub(super) fn currency(&mut self, name: &str) -> Option<Currency> {
        self.parsed(name, "not_a_currency")
    }

    /// An id as a decimal string.
    pub(super) fn id<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.parsed(name, "not_an_id")
    }

    fn parsed<T: FromStr>(&mut self, name: &str, code: &'static str) -> Option<T> {
        self.required(name, |value| value.as_str().ok_or("not_a_string")?.parse().map_err(|_| code))
    }

    /// 1 to `longest` characters without control characters.
    pub(super) fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        self.required(name, |value| text(value, 1, longest))
    }

    /// As [`Self::text`], but it may be left out.
    pub(super) fn optional_text(&mut self, name: &str, longest: usize) -> Option<Option<String>> {
        self.optional(name, |value| text(value, 1, longest))
    }

    /// A free remark of up to 255 characters; left out is empty.
    pub(super) fn remark(&mut self) -> Option<String> {
        self.optional("remark", |value| text(value, 0, 255)).map(Option::unwrap_or_default)
    }

    /// A text that `accept` takes.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        accept: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        self.required(name, |value| accept(value.as_str().ok_or("not_a_string")?))
    }

    /// An array of texts that `accept` takes, or nothing.
    pub(super) fn optional_words<T>(
        &mut self,
        name: &str,
        accept: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Option<Vec<T>>> {
        self.optional(name, |value| {
            let words = value.as_array().ok_or("not_an_array")?;
            words.iter().map(|word| accept(word.as_str().ok_or("not_a_string")?)).collect()
        })
    }

    /// Notes an error that shows only when members are seen together.
    pub(super) fn refuse(&mut self, name: &str, code: &'static str) {
        self.wrong(name, code);
    }

    /// The command, if nothing was wrong and nothing was left over.
    pub(super) fn finish<T>(mut self, command: Option<T>) -> Result<T, Problem> {
        for (name, _) in std::mem::take(&mut self.members) {
            self.wrong(&name, "unknown_field");
        }
        match command {
            Some(command) if self.errors.is_empty() => Ok(command),
            _ => {
                let problem = Problem::bad_request(
                    "body_invalid",
                    "some members of the body are not valid: see errors",
                );
                Err(self
                    .errors
                    .into_iter()
                    .fold(problem, |problem, (pointer, code)| problem.error(pointer, code)))
            }
        }
    }
}

fn text(value: &Value, shortest: usize, longest: usize) -> Result<String, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?;
    let characters = text.chars().count();
    if characters < shortest {
        return Err("too_short");
    }
    if characters > longest {
        return Err("too_long");
    }
    if text.chars().any(char::is_control) {
        return Err("control_character");
    }
    Ok(text.to_owned())
}

/// `application/json`, alone or with `charset=utf-8`; one header.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/json")
        && parts.all(|part| {
            let part = part.to_ascii_lowercase();
            part.is_empty() || part == "charset=utf-8" || part == "charset=\"utf-8\""
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        let object: JsonObject = serde_json::from_str(body).unwrap();
        Fields { members: object.0, errors: Vec::new() }
    }

    fn errors<T: std::fmt::Debug>(fields: Fields, command: Option<T>) -> Vec<(String, &'static str)> {
        let problem = fields.finish(command).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (400, "body_invalid"));
        problem.errors().iter().map(|error| (error.pointer.clone(), error.code)).collect()
    }

    #[test]
    fn an_amount_is_a_positive_json_integer_and_nothing_that_only_looks_like_one() {
        for (json, code) in [
            ("0", "out_of_range"),
            ("-1", "out_of_range"),
            ("1000000000000001", "out_of_range"),
            ("9223372036854775807", "out_of_range"),
            ("18446744073709551615", "out_of_range"),
            ("1e3", "not_an_integer"),
            ("10.0", "not_an_integer"),
            ("10.1", "not_an_integer"),
            ("\"10\"", "not_an_integer"),
            ("null", "not_an_integer"),
            ("99999999999999999999999", "not_an_integer"),
        ] {
            let mut fields = fields(&format!("{{\"amount\":{json}}}"));
            let amount = fields.amount("amount");
            assert_eq!(errors(fields, amount), [("/amount".to_owned(), code)], "{json}");
        }
        let mut fields = fields("{\"amount\":1000000000000000}");
        let amount = fields.amount("amount");
        assert_eq!(fields.finish(amount).unwrap(), Minor(1_000_000_000_000_000));
    }

    #[test]
    fn every_wrong_member_is_named_at_once() {
        let mut fields = fields(r#"{"currency":"yuan","payer_name":"","remark":"a\nb","a/b~c":1}"#);
        let amount = fields.amount("amount");
        let (currency, name) = (fields.currency("currency"), fields.text("payer_name", 128));
        let remark = fields.remark();
        let command = amount.zip(currency).zip(name).zip(remark);
        let found = errors(fields, command);
        let expected = [
            ("/amount", "missing"),
            ("/currency", "not_a_currency"),
            ("/payer_name", "too_short"),
            ("/remark", "control_character"),
            ("/a~1b~0c", "unknown_field"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn lengths_count_characters_as_the_columns_do() {
        let check = |length: usize| {
            let mut fields = fields(&format!("{{\"payer_name\":\"{}\"}}", "汉".repeat(length)));
            let name = fields.text("payer_name", 128);
            fields.finish(name).is_ok()
        };
        assert!(check(128) && !check(129));
    }

    #[test]
    fn only_json_is_json() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        for fine in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert!(check(fine), "{fine}");
        }
        for bad in
            ["text/plain", "application/jsonp", "application/json; charset=gbk", "application/problem+json"]
        {
            assert!(!check(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
