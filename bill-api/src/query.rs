//! Query strings, parsed strictly: a parameter that is unknown, given twice or not valid is a 400 that names it.
//! A filter that is silently dropped would answer a broader question than was asked.

use percent_encoding::percent_decode_str;
use service_kit::Problem;

/// The decoded parameters of a request, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `query` and refuses every name outside `known`.
    pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for piece in query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let detail = format!("unknown query parameter; known here: {}", known.join(", "));
                return Err(Problem::bad_request("parameter_unknown", detail).error(shown, "unknown"));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                let detail = format!("the query parameter {name} is given twice");
                return Err(Problem::bad_request("parameter_duplicate", detail).error(name, "duplicate"));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The parameter through `parse`; `wanted` completes "must be ..." when that gives nothing.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.get(name).map(|text| parse(text).ok_or_else(|| invalid(name, wanted))).transpose()
    }
}

/// The 400 for a parameter whose value cannot be used.
pub(crate) fn invalid(name: &str, wanted: &str) -> Problem {
    Problem::bad_request("parameter_invalid", format!("the query parameter {name} must be {wanted}"))
        .error(name, "invalid")
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned());
    decoded
        .map_err(|_| Problem::bad_request("query_invalid", "the query string is not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["from", "limit"];

    #[test]
    fn known_parameters_are_decoded() {
        let query = Query::parse(Some("from=2026-11-01T00%3A00%3A00%2B04:00&limit=5"), &KNOWN).unwrap();
        assert_eq!(query.get("from"), Some("2026-11-01T00:00:00+04:00"));
        assert_eq!(query.parsed("limit", "a number", |text| text.parse::<u8>().ok()).unwrap(), Some(5));
        assert!(Query::parse(None, &KNOWN).unwrap().get("from").is_none());
        assert!(Query::parse(Some(""), &KNOWN).is_ok());
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let code = |text: &str| Query::parse(Some(text), &KNOWN).unwrap_err();
        assert_eq!(code("form=1").code(), "parameter_unknown");
        assert_eq!(code("form=1").errors()[0].pointer, "form");
        assert_eq!(code("limit=1&limit=2").code(), "parameter_duplicate");
        assert_eq!(code("=1").code(), "parameter_unknown");
        assert_eq!(code("limit%5B%5D=1").code(), "parameter_unknown");
        assert_eq!(code("from=%FF").code(), "query_invalid");
        let query = Query::parse(Some("limit=many"), &KNOWN).unwrap();
        assert_eq!(
            query.parsed("limit", "a number", |text| text.parse::<u8>().ok()).unwrap_err().status(),
            400
        );
    }
}
